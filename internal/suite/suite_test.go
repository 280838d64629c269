package suite

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTable checks the table against the structure that the specification gives
// to suite IDs: the low byte is the key length in AES parameter bytes, the high
// byte the combination of derivation, commitment and signature.
func TestTable(t *testing.T) {
	keyLen := map[uint16]int{0x14: 16, 0x46: 24, 0x78: 32}
	seen := map[uint16]bool{}
	for _, s := range All() {
		t.Run(fmt.Sprintf("%04x", s.ID), func(t *testing.T) {
			require.False(t, seen[s.ID])
			seen[s.ID] = true
			require.Same(t, s, ByID(s.ID))

			assert.Equal(t, keyLen[s.ID&0xff], s.KeyLen)
			high := s.ID >> 8
			assert.Equal(t, high != 0, s.KDF != 0, "key derivation")
			assert.Equal(t, high >= 4, s.Commits, "commitment")
			assert.Equal(t, high == 2 || high == 3 || high == 5, s.Signs(), "signature")
			assert.Equal(t, s.Commits, s.Version == 2)
			if s.KDF != 0 {
				assert.True(t, s.KDF.Available())
			}
			if s.Signs() {
				assert.True(t, s.SigHash.Available())
				assert.Equal(t, s.Curve.Params().BitSize, s.SigHash.Size()*8)
			}
			assert.Equal(t, map[byte]int{1: 16, 2: 32}[s.Version], s.MessageIDLen())
		})
	}
	assert.Len(t, seen, 11)
	assert.Nil(t, ByID(0x0000))
	assert.Nil(t, ByID(0x0278))
}
