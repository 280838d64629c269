package chainraw

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/keyringtest"
)

// TestChainifynet decrypts what v0.5.0 of that library wrote: see testdata/chainifynet.
func TestChainifynet(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "chainifynet.json"))
	require.NoError(t, err)
	var messages []struct {
		Name, Namespace, KeyName, Key, Plaintext string
		Context                                  keyring.EncryptionContext
		Message                                  []byte
	}
	require.NoError(t, json.Unmarshal(text, &messages))
	require.Len(t, messages, 3)
	for _, m := range messages {
		t.Run(m.Name, func(t *testing.T) {
			key, err := hex.DecodeString(m.Key)
			require.NoError(t, err)
			d, err := New(m.Namespace, m.KeyName, key)
			require.NoError(t, err)
			client, err := envelope.NewDecrypter(d, nil)
			require.NoError(t, err)
			plaintext, err := client.Decrypt(t.Context(), m.Message, m.Context)
			require.NoError(t, err)
			assert.Equal(t, m.Plaintext, string(plaintext))

			_, err = client.Decrypt(t.Context(), m.Message, keyring.EncryptionContext{"tenant": "43"})
			require.ErrorIs(t, err, envelope.ErrContextMismatch)
			other := bytes.Clone(key)
			other[0] ^= 1
			d, err = New(m.Namespace, m.KeyName, other)
			require.NoError(t, err)
			client, err = envelope.NewDecrypter(d, nil)
			require.NoError(t, err)
			_, err = client.Decrypt(t.Context(), m.Message, m.Context)
			require.ErrorIs(t, err, envelope.ErrNoMatchingKey)

			// The layout is not AWS's, so that a raw AES keyring does not know its own key.
			raw, err := keyring.NewRawAES(m.Namespace, m.KeyName, key)
			require.NoError(t, err)
			client, err = envelope.NewDecrypter(raw, nil)
			require.NoError(t, err)
			_, err = client.Decrypt(t.Context(), m.Message, m.Context)
			require.ErrorIs(t, err, envelope.ErrNoMatchingKey)
		})
	}
}

func TestKeyring(t *testing.T) {
	d, err := New("raw", "static1", []byte("0123456789abcdef0123456789abcdef"))
	require.NoError(t, err)
	keyringtest.Run(t, keyringtest.Keyring{Decrypter: d, ContextBound: true})
}

// TestChainifynetCompiles compiles the program that wrote them against declarations of that
// library's API.
func TestChainifynetCompiles(t *testing.T) {
	const module = "github.com/chainifynet/aws-encryption-sdk-go"
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("..", "testdata", "chainifynet"))))
	for path, text := range map[string]string{
		"go.mod":     "module written\n\ngo 1.26\n\nrequire " + module + " v0.5.0\n\nreplace " + module + " => ./api\n",
		"api/go.mod": "module " + module + "\n\ngo 1.26\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.FromSlash(path)), []byte(text), 0o600))
	}
	vet := exec.CommandContext(t.Context(), "go", "vet", ".")
	vet.Dir, vet.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOPROXY=off")
	out, err := vet.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
