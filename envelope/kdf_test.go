package envelope

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/suite"
)

// TestDerivation compares with crypto/hkdf, and checks that what goes back to the
// pool is cleared.
func TestDerivation(t *testing.T) {
	for _, s := range suite.All() {
		if !s.Commits {
			continue
		}
		for range 200 {
			dataKey, messageID := make([]byte, 32), make([]byte, 32)
			rand.Read(dataKey)
			rand.Read(messageID)
			prk, err := hkdf.Extract(sha512.New, dataKey, messageID)
			require.NoError(t, err)
			key, err := hkdf.Expand(sha512.New, prk, string([]byte{byte(s.ID >> 8), byte(s.ID)})+"DERIVEKEY", 32)
			require.NoError(t, err)
			commitment, err := hkdf.Expand(sha512.New, prk, "COMMITKEY", 32)
			require.NoError(t, err)

			d := derivations.Get().(*derivation)
			require.NoError(t, d.derive(s, dataKey, messageID))
			require.Equal(t, key, d.key[:])
			require.Equal(t, commitment, d.commitment[:])
			require.NoError(t, d.deriveValidated(dataKey, messageID))
			require.Equal(t, key, d.key[:])
			require.Equal(t, commitment, d.commitment[:])

			d.release()
			for _, b := range [][]byte{d.inner[:], d.outer[:], d.behindInner[:256], d.behindOut[:256],
				d.prk[:64], d.digest[:64], d.key[:], d.commitment[:]} {
				require.Equal(t, make([]byte, len(b)), b)
			}
			require.Equal(t, fresh, d.save(nil), "the hash still knows something")
		}
	}
}

func BenchmarkDerivation(b *testing.B) {
	dataKey, messageID := make([]byte, 32), make([]byte, 32)
	s := suite.ByID(0x0478)
	b.ReportAllocs()
	for b.Loop() {
		d := derivations.Get().(*derivation)
		if err := d.derive(s, dataKey, messageID); err != nil {
			b.Fatal(err)
		}
		d.release()
	}
}
