package docs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/keyuri"
)

// makeKey is the command of docs/howto.md.
const makeKey = `
umask 077
head -c 32 /dev/urandom | base64 >kek-1
`

// keyFromConfig is the code of docs/howto.md.
func keyFromConfig(ctx context.Context) (keyring.Keyring, error) {
	uri, err := keyuri.Parse(os.Getenv("KEY")) // raw-aes:?namespace=clinic&name=kek-1&file=/run/secrets/kek-1
	if err != nil {
		return nil, err
	}
	var opener keyuri.Opener // with its field KMS set it opens the ARNs of keys too
	return opener.Open(ctx, uri)
}

func TestKeyFromFile(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no sh")
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), sh, "-c", makeKey)
	cmd.Dir = dir
	require.NoError(t, cmd.Run())
	t.Setenv("KEY", "raw-aes:?namespace=clinic&name=kek-1&file="+filepath.ToSlash(filepath.Join(dir, "kek-1")))

	var msg []byte
	for _, start := range []string{"first", "second"} {
		kr, err := keyFromConfig(t.Context())
		require.NoError(t, err, start)
		client, err := envelope.New(kr, nil)
		require.NoError(t, err, start)
		if msg == nil {
			msg, err = client.Encrypt(t.Context(), []byte("attack at dawn"), nil)
			require.NoError(t, err, start)
			continue
		}
		plaintext, err := client.Decrypt(t.Context(), msg, nil)
		require.NoError(t, err, start)
		assert.Equal(t, "attack at dawn", string(plaintext), start)
	}
}
