package docs

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// clientOf is the code of docs/choosing-a-keyring.md.
func clientOf(newKey, oldKey keyring.Keyring) (*envelope.Client, error) {
	encrypter, err := envelope.NewEncrypter(newKey, nil)
	if err != nil {
		return nil, err
	}
	both, err := keyring.NewMultiDecrypter(newKey, oldKey)
	if err != nil {
		return nil, err
	}
	decrypter, err := envelope.NewDecrypter(both, nil)
	if err != nil {
		return nil, err
	}
	return &envelope.Client{Encrypter: encrypter, Decrypter: decrypter}, nil
}

func TestToAnotherKeyring(t *testing.T) {
	key := func(name string) keyring.Keyring {
		kr, err := keyring.NewRawAES("app", name, bytes.Repeat([]byte(name[:1]), 32))
		require.NoError(t, err)
		return kr
	}
	before, err := envelope.New(key("old"), nil)
	require.NoError(t, err)
	written, err := before.Encrypt(t.Context(), []byte("attack at dawn"), nil)
	require.NoError(t, err)

	during, err := clientOf(key("new"), key("old"))
	require.NoError(t, err)
	var anew bytes.Buffer
	require.NoError(t, during.Reencrypt(t.Context(), &anew, during.Decrypter, bytes.NewReader(written), nil))

	after, err := envelope.New(key("new"), nil)
	require.NoError(t, err)
	plaintext, err := after.Decrypt(t.Context(), anew.Bytes(), nil)
	require.NoError(t, err)
	assert.Equal(t, "attack at dawn", string(plaintext))
	_, err = after.Decrypt(t.Context(), written, nil)
	require.ErrorIs(t, err, envelope.ErrNoMatchingKey)
}
