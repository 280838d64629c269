package envelope_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
)

// overlaps calls f with slices of one array: a copy of in, and a dst that begins
// before it, with it, inside it, at its end and behind it, and that has room up to
// before it, into it and past it. It checks that what f returns begins with what dst
// held, and that the input is as it was.
func overlaps(t *testing.T, in []byte, f func(dst, in []byte) []byte) {
	const margin = 300
	memory := make([]byte, margin+len(in)+2*len(in)+2*margin)
	first, end := margin, margin+len(in)
	for _, from := range []int{0, first - 1, first, first + 1, first + len(in)/2, end - 1, end, end + 1} {
		for _, length := range []int{0, 1, 16} {
			for _, to := range []int{from + length, first, first + 1, first + 16, end, end + 20, len(memory)} {
				if from+length > to {
					continue
				}
				for i := range memory {
					memory[i] = byte(i)
				}
				copy(memory[first:], in)
				dst := memory[from : from+length : to]
				kept := bytes.Clone(dst)
				got := f(dst, memory[first:end])
				where := fmt.Sprintf("input of %d at %d, dst from %d, %d long, room to %d", len(in), first, from, length, to)
				require.GreaterOrEqual(t, len(got), length, where)
				require.True(t, bytes.Equal(kept, got[:length]), where)
				require.True(t, bytes.Equal(in, memory[first:end]), "the input was changed: %s", where)
			}
		}
	}
}

// TestAppendOverlap has the input lie where the result would be written.
func TestAppendOverlap(t *testing.T) {
	shortBatches(t, 200)
	c := withConcurrency(t, unsigned, 50, 3)
	for _, n := range []int{1, 2, 15, 16, 17, 49, 50, 51, 100, 3000} {
		plaintext := randomBytes(n)
		msg := encrypt(t, c, plaintext)
		overlaps(t, plaintext, func(dst, in []byte) []byte {
			out, err := c.AppendEncrypt(t.Context(), dst, in, testContext)
			require.NoError(t, err)
			got, err := c.Decrypt(t.Context(), out[len(dst):], testContext)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plaintext, got), "another plaintext was encrypted")
			return out
		})
		overlaps(t, msg, func(dst, in []byte) []byte {
			out, err := c.AppendDecrypt(t.Context(), dst, in, testContext)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plaintext, out[len(dst):]))
			return out
		})
	}
}

// TestAppendInPlace is the idiom of crypto/cipher, with batches as long as they are.
func TestAppendInPlace(t *testing.T) {
	for _, s := range []int{1, 64, 4096, 3 * envelope.BatchLen} {
		c := newClient(t, nil)
		plaintext := randomBytes(s)
		p := append(make([]byte, 0, 2*s+1000), plaintext...)
		msg, err := c.AppendEncrypt(t.Context(), p[:0], p, nil)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, p), "the plaintext was changed")
		got, err := c.AppendDecrypt(t.Context(), msg[:0], msg, nil)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, got))

		// A message that is refused is left as it is too.
		msg[len(msg)-1] ^= 1
		kept := bytes.Clone(msg)
		_, err = c.AppendDecrypt(t.Context(), msg[:0], msg, nil)
		require.ErrorIs(t, err, envelope.ErrAuthentication)
		require.Equal(t, kept, msg)
	}
}
