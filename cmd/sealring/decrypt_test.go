package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
)

// TestLimited holds that of a signed message no more is held than was said, that there are
// no copies of it, and that nothing stays.
func TestLimited(t *testing.T) {
	plain := bytes.Repeat([]byte("secret"), 50_000)
	l := &limited{most: int64(len(plain))}
	for rest := plain; len(rest) > 0; {
		n := min(len(rest), 7001)
		wrote, err := l.Write(rest[:n])
		require.NoError(t, err)
		require.Equal(t, n, wrote)
		if len(l.parts) > 1 {
			first := l.parts[0]
			require.Equal(t, plain[:len(first)], first)
		}
		rest = rest[n:]
	}
	assert.Equal(t, plain, bytes.Join(l.parts, nil))
	held := 0
	for _, part := range l.parts {
		held += cap(part)
	}
	assert.LessOrEqual(t, held, len(plain)+64<<10)

	_, err := l.Write([]byte{1})
	assert.ErrorIs(t, err, envelope.ErrLimit)

	l.clear()
	assert.Equal(t, make([]byte, len(plain)), bytes.Join(l.parts, nil))
}
