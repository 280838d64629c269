package keyring_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

// TestNoMatchText has a message that was wrapped by other keys, as after a rotation.
func TestNoMatchText(t *testing.T) {
	wrappedBy := func(names ...string) (keys []keyring.EncryptedDataKey) {
		for _, name := range names {
			keys = append(keys, keyring.EncryptedDataKey{ProviderID: "aws-kms", ProviderInfo: []byte(name)})
		}
		return keys
	}
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"one":     {keyring.NoMatch("k", wrappedBy("a")), `k: no encrypted data key could be unwrapped: the message was not wrapped by this key, but by "a"`},
		"none":    {keyring.NoMatch("k", nil), `k: no encrypted data key could be unwrapped: the message was not wrapped by this key`},
		"twice":   {keyring.NoMatch("k", wrappedBy("a", "a")), `but by "a"`},
		"many":    {keyring.NoMatch("k", wrappedBy("a", "b", "c", "d", "e", "f")), `but by "a", "b", "c", "d", 2 more`},
		"hostile": {keyring.NoMatch("k", wrappedBy("a\nlevel=INFO")), `but by "a\nlevel=INFO"`},
		"long":    {keyring.NoMatch("k", wrappedBy(strings.Repeat("x", 1000))), `but by "` + strings.Repeat("x", 200) + `..."`},
		"reasons": {keyring.NoMatch("k", wrappedBy("a"), errors.New("first"), errors.New("second")), `k: no encrypted data key could be unwrapped: first; second`},
		"remedy": {&keyring.NoMatchError{Keyring: "k", WrappedBy: []string{"a"}, Remedy: "do this"},
			`the message was not wrapped by this key, but by "a": do this`},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, c.err, keyring.ErrNoMatchingKey)
			assert.True(t, strings.HasSuffix(c.err.Error(), c.says), "%v", c.err)
		})
	}
}

// TestMultiNamesOnce has several keyrings for none of which a message was wrapped: its
// keys are named once.
func TestMultiNamesOnce(t *testing.T) {
	var children []keyring.Decrypter
	for _, name := range []string{"one", "two", "three"} {
		k, err := keyring.NewRawAES("ns", name, make([]byte, 32))
		require.NoError(t, err)
		children = append(children, k)
	}
	k, err := keyring.NewMultiDecrypter(children...)
	require.NoError(t, err)
	keys := []keyring.EncryptedDataKey{{ProviderID: "ns", ProviderInfo: []byte("another"), Ciphertext: []byte("x")}}
	m := &keyring.DecryptionMaterials{Suite: commit}
	err = k.OnDecrypt(t.Context(), m, keys)
	require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
	assert.Equal(t, 1, strings.Count(err.Error(), `"another"`), "%v", err)
	for _, name := range []string{"one", "two", "three"} {
		assert.ErrorContains(t, err, name)
	}
}
