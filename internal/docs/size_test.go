package docs

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// messageSize is the arithmetic of docs/format.md.
func messageSize(plaintext, frameLength, context, keys int) int {
	frames := max(1, (plaintext+frameLength-1)/frameLength) // rounded up
	header := 92 + context + keys
	message := header + plaintext + 32*frames + 8
	return message
}

func TestMessageSize(t *testing.T) {
	const frameLength = 16
	kr, err := keyring.NewRawAES("app", "kek-2026", make([]byte, 32))
	require.NoError(t, err)
	client, err := envelope.New(kr, &envelope.Options{FrameLength: frameLength})
	require.NoError(t, err)
	for _, c := range []struct {
		ec      keyring.EncryptionContext
		context int
	}{
		{nil, 0},
		{keyring.EncryptionContext{"tenant": "42"}, 2 + 4 + len("tenant42")},
	} {
		for _, n := range []int{0, 1, frameLength - 1, frameLength, frameLength + 1, 3 * frameLength} {
			msg, err := client.Encrypt(t.Context(), bytes.Repeat([]byte{1}, n), c.ec)
			require.NoError(t, err)
			keys := 6 + len("app") + len("kek-2026") + 4 + 4 + 12 + 32 + 16
			assert.Len(t, msg, messageSize(n, frameLength, c.context, keys), "%d bytes, context %v", n, c.ec)
		}
	}
}
