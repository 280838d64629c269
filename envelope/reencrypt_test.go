package envelope_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

func TestReencryptUnderAnotherKey(t *testing.T) {
	key := randomBytes(32)
	other, err := keyring.NewRawAES("test", "other", key)
	require.NoError(t, err)
	eachSuite(t, 100, func(t *testing.T, c *envelope.Client) {
		for _, sign := range []bool{false, true} {
			to, err := envelope.New(other, &envelope.Options{Sign: sign})
			require.NoError(t, err)
			for _, n := range []int{0, 1000, 10_000} {
				plaintext := randomBytes(n)
				msg := encrypt(t, c, plaintext)
				var dst bytes.Buffer
				require.NoError(t, to.Reencrypt(t.Context(), &dst, c.Decrypter, iotest.HalfReader(bytes.NewReader(msg)), testContext))
				decryptsTo(t, to, dst.Bytes(), plaintext, testContext)
				was, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
				require.NoError(t, err)
				is, err := envelope.ParseHeader(&dst, nil)
				require.NoError(t, err)
				require.NotEqual(t, was.MessageID, is.MessageID)
				require.NotEqual(t, was.EncryptedDataKeys, is.EncryptedDataKeys)
				require.True(t, was.WrappedBy("zero"))
				require.True(t, is.WrappedBy("other"))
				delete(was.Context, "aws-crypto-public-key")
				delete(is.Context, "aws-crypto-public-key")
				require.Equal(t, was.Context, is.Context)
			}
		}
	})
}

// TestReencryptContext keeps pairs that a message does not store.
func TestReencryptContext(t *testing.T) {
	manager, err := keyring.NewManager(zeroKey(t))
	require.NoError(t, err)
	manager, err = keyring.NewRequiredContextManager(manager, "row")
	require.NoError(t, err)
	c, err := envelope.NewFromManager(manager, nil)
	require.NoError(t, err)
	msg, err := c.Encrypt(t.Context(), []byte("plaintext"), keyring.EncryptionContext{"tenant": "42", "row": "7"})
	require.NoError(t, err)
	var dst bytes.Buffer
	row := keyring.EncryptionContext{"row": "7"}
	require.NoError(t, c.Reencrypt(t.Context(), &dst, c.Decrypter, bytes.NewReader(msg), row))
	require.Equal(t, keyring.EncryptionContext{"row": "7"}, row, "the caller's context was changed")
	decryptsTo(t, c, dst.Bytes(), []byte("plaintext"), keyring.EncryptionContext{"tenant": "42", "row": "7"})
	h, err := envelope.ParseHeader(bytes.NewReader(dst.Bytes()), nil)
	require.NoError(t, err)
	require.Equal(t, keyring.EncryptionContext{"tenant": "42"}, h.Context)

	require.ErrorIs(t, c.Reencrypt(t.Context(), &dst, c.Decrypter, bytes.NewReader(msg), keyring.EncryptionContext{"row": "8"}), envelope.ErrContextMismatch)
}

func TestReencryptFails(t *testing.T) {
	for _, s := range []keyring.Suite{unsigned, signed} {
		c := newClient(t, optionsFor(s, 100))
		plaintext := randomBytes(1000)
		msg := encrypt(t, c, plaintext)
		for cut := 0; cut < len(msg); cut += 37 {
			var dst bytes.Buffer
			err := c.Reencrypt(t.Context(), &dst, c.Decrypter, bytes.NewReader(msg[:cut]), testContext)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			decryptFails(t, c, dst.Bytes(), plaintext, testContext, io.ErrUnexpectedEOF)
		}
		msg[len(msg)-1] ^= 1
		var dst bytes.Buffer
		require.Error(t, c.Reencrypt(t.Context(), &dst, c.Decrypter, bytes.NewReader(msg), testContext))
		decryptFails(t, c, dst.Bytes(), plaintext, testContext, io.ErrUnexpectedEOF)
		msg[len(msg)-1] ^= 1

		for _, n := range []int{0, 100, 500} {
			err := c.Reencrypt(t.Context(), &limitedWriter{n: n, err: errBroken}, c.Decrypter, bytes.NewReader(msg), testContext)
			require.ErrorIs(t, err, errBroken)
		}
		require.ErrorIs(t, c.Reencrypt(t.Context(), nil, c.Decrypter, bytes.NewReader(msg), testContext), envelope.ErrInvalidArgument)
		require.ErrorIs(t, c.Reencrypt(t.Context(), io.Discard, nil, bytes.NewReader(msg), testContext), envelope.ErrInvalidArgument)
		require.ErrorIs(t, c.Reencrypt(t.Context(), io.Discard, c.Decrypter, nil, testContext), envelope.ErrInvalidArgument)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, c.Reencrypt(ctx, io.Discard, c.Decrypter, bytes.NewReader(msg), testContext), context.Canceled)
	}
}
