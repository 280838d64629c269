package branchkey_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

// TestObserver checks what is told of requests for branch keys, and of the calls that they
// take.
func TestObserver(t *testing.T) {
	type who struct{}
	var told []string
	observer := awskms.Observer{
		OnEvent: func(ctx context.Context, e awskms.Event) {
			assert.Equal(t, "request", ctx.Value(who{}))
			assert.Equal(t, awskms.Call, e.Kind)
			assert.Positive(t, e.Duration)
			assert.Equal(t, e.Code != "", e.Err != nil)
			told = append(told, e.Operation+" "+e.Region+e.Code)
		},
		OnRequest: func(ctx context.Context, r awskms.Request) (context.Context, func(error)) {
			told = append(told, r.String())
			return context.WithValue(ctx, who{}, "request"), func(err error) {
				if err != nil {
					told = append(told, "failed")
				}
			}
		},
	}
	w := newWorld(t)
	keys := w.keyStore(t, func(c *branchkey.KeyStoreConfig) { c.Observer = observer })
	does := func(want ...string) {
		t.Helper()
		assert.Equal(t, want, told)
		told = nil
	}

	_, err := keys.Create(t.Context(), "42", tenant)
	require.NoError(t, err)
	const generate, reEncrypt = "GenerateDataKeyWithoutPlaintext us-east-1", "ReEncrypt us-east-1"
	does("write_branch_key", generate, reEncrypt, generate)

	_, err = keys.Version(t.Context(), "42")
	require.NoError(t, err)
	does("write_branch_key", reEncrypt, generate, reEncrypt)

	_, err = keys.Active(t.Context(), "42")
	require.NoError(t, err)
	does("read_branch_key", "Decrypt us-east-1")

	_, err = keys.Active(t.Context(), "43")
	require.ErrorIs(t, err, branchkey.ErrNotFound)
	does("read_branch_key", "failed")

	w.kms.Deny("Decrypt", "")
	_, err = keys.Active(t.Context(), "42")
	require.Error(t, err)
	does("read_branch_key", "Decrypt us-east-1AccessDeniedException", "failed")

	// A client that hides its region, which is not the key's, sends nothing.
	keys = w.keyStore(t, func(c *branchkey.KeyStoreConfig) {
		c.Observer, c.Client = observer, struct{ branchkey.Client }{newClient(w.kms, west)}
	})
	_, err = keys.Active(t.Context(), "42")
	require.Error(t, err)
	does("read_branch_key", "failed")
}
