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
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// fuzzPlaintext is what all seeds decrypt to.
var fuzzPlaintext = bytes.Repeat([]byte("plaintext "), 10)

// FuzzDecrypt mutates real messages. Whatever comes out, all ways to decrypt
// agree, nothing but the plaintext is released, and errors are of the package's.
func FuzzDecrypt(f *testing.F) { fuzzDecrypt(f, 1) }

// FuzzDecryptParallel is FuzzDecrypt with goroutines. What they cover differs from
// run to run, so that minimizing has no end: run it with -fuzzminimizetime 1x.
func FuzzDecryptParallel(f *testing.F) { fuzzDecrypt(f, 3) }

func fuzzDecrypt(f *testing.F, concurrency int) {
	shortBatches(f, 70) // the messages of short frames are long, then
	for _, s := range suite.IDs[keyring.Suite]() {
		for _, frameLen := range []int{5, 30, 50, 4096} {
			c := newClient(f, optionsFor(s, frameLen))
			msg, err := c.Encrypt(f.Context(), fuzzPlaintext, keyring.EncryptionContext{"tenant": "42"})
			require.NoError(f, err)
			f.Add(msg)
		}
	}
	d, err := envelope.NewDecrypter(zeroKey(f), &envelope.Options{CommitmentPolicy: keyring.RequireEncryptAllowDecrypt, Concurrency: concurrency})
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

		for _, read := range []func(*envelope.Reader) ([]byte, error){
			func(r *envelope.Reader) ([]byte, error) { return io.ReadAll(r) },
			func(r *envelope.Reader) ([]byte, error) {
				var out bytes.Buffer
				_, err := r.WriteTo(&out)
				return out.Bytes(), err
			},
		} {
			for _, src := range []io.Reader{
				iotest.HalfReader(bytes.NewReader(msg)), bytes.NewReader(msg), onlyReader{bytes.NewReader(msg)},
			} {
				var streamed []byte
				r, errStream := d.NewReader(context.Background(), src, nil)
				if errStream == nil {
					streamed, errStream = read(r)
				}
				if err == nil {
					require.NoError(t, errStream)
					require.Equal(t, got, streamed)
					continue
				}
				require.EqualError(t, errStream, err.Error())
				require.True(t, bytes.HasPrefix(fuzzPlaintext, streamed))
				require.Less(t, len(streamed), len(fuzzPlaintext))
			}
		}
	})
}
