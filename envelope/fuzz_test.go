package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// fuzzPlaintext is what all seeds decrypt to.
var fuzzPlaintext = bytes.Repeat([]byte("plaintext "), 10)

// FuzzDecrypt mutates real messages. Whatever comes out, all ways to decrypt
// agree, nothing but the plaintext is released, and errors are of the package's.
func FuzzDecrypt(f *testing.F) {
	for _, s := range keyring.Suites() {
		for _, frameLen := range []int{30, 50, 4096} {
			c := newClient(f, optionsFor(s, frameLen))
			msg, err := c.Encrypt(f.Context(), fuzzPlaintext, keyring.EncryptionContext{"tenant": "42"})
			require.NoError(f, err)
			f.Add(msg)
		}
	}
	d, err := envelope.NewDecrypter(zeroKey(f), &envelope.Options{CommitmentPolicy: keyring.RequireEncryptAllowDecrypt})
	require.NoError(f, err)
	typed := append(tampered, envelope.ErrPolicy)
	f.Fuzz(func(t *testing.T, msg []byte) {
		kept := bytes.Clone(msg)
		got, err := d.Decrypt(context.Background(), msg, nil)
		require.Equal(t, kept, msg, "the message was changed")
		if err == nil {
			require.Equal(t, fuzzPlaintext, got)
		} else {
			require.Nil(t, got)
			known := false
			for _, target := range typed {
				known = known || errors.Is(err, target)
			}
			require.True(t, known, "%v", err)
		}

		var streamed []byte
		r, errStream := d.NewReader(context.Background(), iotest.HalfReader(bytes.NewReader(msg)), nil)
		if errStream == nil {
			streamed, errStream = io.ReadAll(r)
		}
		if err == nil {
			require.NoError(t, errStream)
			require.Equal(t, got, streamed)
			return
		}
		require.EqualError(t, errStream, err.Error())
		require.True(t, bytes.HasPrefix(fuzzPlaintext, streamed))
		require.Less(t, len(streamed), len(fuzzPlaintext))
	})
}
