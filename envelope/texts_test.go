package envelope_test

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// texts decrypts msg in all ways and checks that each fails with this text.
func texts(t *testing.T, c *envelope.Client, msg []byte, ec keyring.EncryptionContext, text string, is error) {
	t.Helper()
	for way, decrypt := range decryptWays {
		_, err := decrypt(t.Context(), c.Decrypter, msg, ec)
		require.EqualError(t, err, "envelope: decrypt: "+text, way)
		require.ErrorIs(t, err, is, way)
	}
}

// TestNoMessageText gives what is no message. What it is may be secret.
func TestNoMessageText(t *testing.T) {
	const text = "malformed message: header: no message of this format begins like this: " +
		"it may be plaintext that was never encrypted, or base64 that must be decoded first"
	c := newClient(t, nil)
	for _, plaintext := range []string{"7", "7 of hearts", "AYADeHJ4", "\x00", "\x03", "\xff"} {
		texts(t, c, []byte(plaintext), nil, text, envelope.ErrMalformed)
		_, err := envelope.ParseHeader(bytes.NewReader([]byte(plaintext)), nil)
		require.EqualError(t, err, "envelope: "+text)
		_, err = c.NewReaderAt(t.Context(), bytes.NewReader([]byte(plaintext)), int64(len(plaintext)), nil)
		require.EqualError(t, err, "envelope: decrypt: "+text)
	}
}

func TestEmptyMessageText(t *testing.T) {
	const text = "the message is empty: unexpected EOF"
	c := newClient(t, nil)
	texts(t, c, nil, nil, text, io.ErrUnexpectedEOF)
	_, err := envelope.ParseHeader(bytes.NewReader(nil), nil)
	require.EqualError(t, err, "envelope: "+text)
	_, err = c.NewReaderAt(t.Context(), bytes.NewReader(nil), 0, nil)
	require.EqualError(t, err, "envelope: decrypt: "+text)

	// A source that broke off is not empty, nor is a message of one byte.
	_, err = c.NewReader(t.Context(), iotest.ErrReader(io.ErrUnexpectedEOF), nil)
	require.EqualError(t, err, "envelope: decrypt: header: version: unexpected EOF")
	texts(t, c, []byte{2}, nil, "header: algorithm suite: unexpected EOF", io.ErrUnexpectedEOF)
}

func TestNotStoredText(t *testing.T) {
	const text = "authentication failed (perhaps an encryption context mismatch: the message does not store [\"row\"], " +
		"and what was given for these keys may not be what it was written with)"
	manager, err := keyring.NewManager(unbound{zeroKey(t)})
	require.NoError(t, err)
	c, err := envelope.NewFromManager(manager, nil)
	require.NoError(t, err)
	texts(t, c, encrypt(t, c, []byte("plaintext")), keyring.EncryptionContext{"row": "7"}, "header: "+text, envelope.ErrContextMismatch)
}
