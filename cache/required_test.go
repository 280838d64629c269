package cache

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// insisting is a manager of somebody's own that wants a pair to be confirmed.
type insisting struct{ keyring.MaterialsManager }

func (m insisting) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	if _, ok := req.Reproduced["tenant"]; !ok {
		return nil, keyring.ErrContextMismatch
	}
	return m.MaterialsManager.DecryptionMaterials(ctx, req)
}

// TestRequiredPairsThroughCache stacks a cache and a manager that insists on pairs
// in both orders: what is in the cache opens nothing for who does not give them, also
// where the message stores them.
func TestRequiredPairsThroughCache(t *testing.T) {
	aes, err := keyring.NewRawAES("test", "kek", make([]byte, 32))
	require.NoError(t, err)
	plain, err := keyring.NewManager(aes)
	require.NoError(t, err)
	required := func(m keyring.MaterialsManager) keyring.MaterialsManager {
		r, err := keyring.NewRequiredContextManager(m, "tenant")
		require.NoError(t, err)
		return r
	}
	cached := func(m keyring.MaterialsManager) keyring.MaterialsManager {
		return newTestCache(t, m, Limits{}, nil).Partition("a")
	}
	ec := keyring.EncryptionContext{"tenant": "42", "row": "7"}
	for name, m := range map[string]keyring.MaterialsManager{
		"cache above":                required(cached(plain)),
		"cache below":                cached(required(plain)),
		"cache below, pair stored":   cached(insisting{plain}),
		"cache above, pair stored":   insisting{cached(plain)},
		"cache twice":                cached(required(cached(plain))),
		"cache below, other's cache": cached(cached(insisting{plain})),
	} {
		t.Run(name, func(t *testing.T) {
			client, err := envelope.NewFromManager(m, nil)
			require.NoError(t, err)
			var msgs [][]byte
			for range 2 {
				msg, err := client.Encrypt(t.Context(), []byte("plaintext"), ec)
				require.NoError(t, err)
				msgs = append(msgs, msg)
			}
			// A message that stores the pair, as one from before it was required.
			writer, err := envelope.NewFromManager(plain, nil)
			require.NoError(t, err)
			msg, err := writer.Encrypt(t.Context(), []byte("plaintext"), ec)
			require.NoError(t, err)
			msgs = append(msgs, msg)
			for range 3 {
				for _, msg := range msgs {
					_, err := client.Decrypt(t.Context(), msg, ec)
					require.NoError(t, err)
					for _, less := range []keyring.EncryptionContext{nil, {"row": "7"}, {}} {
						_, err := client.Decrypt(t.Context(), msg, less)
						require.ErrorIs(t, err, keyring.ErrContextMismatch)
					}
					_, err = client.Decrypt(t.Context(), msg, keyring.EncryptionContext{"tenant": "43"})
					require.ErrorIs(t, err, keyring.ErrContextMismatch)
				}
			}
		})
	}
}

// TestConfirmedPairsShare has the default manager below: pairs that only confirm
// what is stored make no other entry.
func TestConfirmedPairsShare(t *testing.T) {
	aes, err := keyring.NewRawAES("test", "kek", make([]byte, 32))
	require.NoError(t, err)
	c, err := New(aes, Limits{MaxAge: 1e12})
	require.NoError(t, err)
	defer c.Close()
	client, err := envelope.NewFromManager(c, nil)
	require.NoError(t, err)
	ec := keyring.EncryptionContext{"tenant": "42"}
	msg, err := client.Encrypt(t.Context(), nil, ec)
	require.NoError(t, err)
	for _, expected := range []keyring.EncryptionContext{ec, nil, {}, ec} {
		_, err := client.Decrypt(t.Context(), msg, expected)
		require.NoError(t, err)
	}
	assert.EqualValues(t, 2, c.Stats().Loads, "one to encrypt, one to decrypt")
}
