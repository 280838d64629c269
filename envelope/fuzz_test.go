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

// FuzzRangeReader mutates real messages and reads ranges of them. Whatever comes out is of
// the plaintext; and of a message that decrypts as a whole, all ranges do, in all ways.
func FuzzRangeReader(f *testing.F) {
	shortBatches(f, 70)
	d, err := envelope.NewDecrypter(zeroKey(f), &envelope.Options{CommitmentPolicy: keyring.RequireEncryptAllowDecrypt, Concurrency: 1})
	require.NoError(f, err)
	for _, s := range []keyring.Suite{unsigned, keyring.SuiteAES128GCM, signed} {
		for _, frameLen := range []int{5, 30, 50, 4096} {
			c := newClient(f, optionsFor(s, frameLen))
			msg, err := c.Encrypt(f.Context(), fuzzPlaintext, keyring.EncryptionContext{"tenant": "42"})
			require.NoError(f, err)
			f.Add(msg, uint8(0), uint8(100), uint8(0))
			f.Add(msg, uint8(13), uint8(40), uint8(1))
			f.Add(msg, uint8(90), uint8(200), uint8(20))
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte, off, n, seek uint8) {
		ctx := context.Background()
		_, whole := d.Decrypt(ctx, msg, nil)
		s := newShelf(t, msg)
		r, err := d.NewRangeReader(ctx, s.fetch, nil)
		if err != nil {
			if whole == nil {
				require.ErrorIs(t, err, errors.ErrUnsupported) // signed or non-framed
			}
			return
		}
		require.EqualValues(t, len(fuzzPlaintext), r.Size())
		start := min(int(off), len(fuzzPlaintext))
		want := fuzzPlaintext[start:min(start+int(n), len(fuzzPlaintext))]
		check := func(got, want []byte, err error) {
			if whole == nil {
				require.NoError(t, err)
			}
			if err == nil {
				require.Equal(t, string(want), string(got))
			}
			require.True(t, bytes.HasPrefix(want, got))
		}
		p := make([]byte, n)
		m, err := r.ReadAt(p, int64(off))
		if err == io.EOF {
			require.True(t, m < len(p) || int(off) >= len(fuzzPlaintext))
			err = nil
		}
		check(p[:m], want, err)

		section := r.NewSectionReader(ctx, int64(off), int64(n))
		defer section.Close()
		var out bytes.Buffer
		_, err = section.WriteTo(&out)
		check(out.Bytes(), want, err)
		_, err = section.Seek(int64(seek), io.SeekStart)
		require.NoError(t, err)
		got, err := io.ReadAll(iotest.HalfReader(section))
		check(got, want[min(int(seek), len(want)):], err)
	})
}
