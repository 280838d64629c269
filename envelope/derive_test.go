package envelope

import (
	"bytes"
	"crypto/hkdf"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/suite"
)

// TestMessageCipher derives each suite's key as the specification words it, with the standard
// library's HKDF.
func TestMessageCipher(t *testing.T) {
	dataKey := bytes.Repeat([]byte{7}, 32)
	for _, s := range suite.All() {
		if s.ID>>8 == 0x67 { // of items, whose keys are derived elsewhere
			continue
		}
		dataKey := dataKey[:s.KeyLen]
		id := bytes.Repeat([]byte{9}, s.MessageIDLen())
		key, commitment := dataKey, []byte(nil)
		suiteID := string(binary.BigEndian.AppendUint16(nil, s.ID))
		var err error
		switch {
		case s.Commits:
			key, err = hkdf.Key(s.KDF.New, dataKey, id, suiteID+"DERIVEKEY", s.KeyLen)
			require.NoError(t, err)
			commitment, err = hkdf.Key(s.KDF.New, dataKey, id, "COMMITKEY", suite.CommitmentLen)
		case s.KDF != 0:
			key, err = hkdf.Key(s.KDF.New, dataKey, make([]byte, s.KDF.Size()), suiteID+string(id), s.KeyLen)
		}
		require.NoError(t, err)
		want, err := suite.NewAEAD(key)
		require.NoError(t, err)

		aead, got, err := messageCipher(s, dataKey, id, []byte("before"))
		require.NoError(t, err)
		require.Equal(t, "before"+string(commitment), string(got), "%04x", s.ID)
		iv := make([]byte, suite.IVLen)
		require.Equal(t, want.Seal(nil, iv, nil, nil), aead.Seal(nil, iv, nil, nil), "%04x", s.ID)
	}
	_, _, err := messageCipher(suite.ByID(0x0014), dataKey[:5], nil, nil)
	require.Error(t, err, "no key of AES")
}

// TestDerivationsAgree compares the two ways to derive, of which FIPS 140-3 takes one. Each has
// arrays of its own: in one derivation the second would find what the first has left.
func TestDerivationsAgree(t *testing.T) {
	s := suite.ByID(0x0478)
	for n := range 3 {
		dataKey, id := bytes.Repeat([]byte{byte(n)}, 32), bytes.Repeat([]byte{byte(2 * n)}, 32)
		one, other := newDerivation(), newDerivation()
		require.NoError(t, one.derive(s, dataKey, id))
		other.info = append(binary.BigEndian.AppendUint16(nil, s.ID), keyInfo...)
		require.NoError(t, other.deriveValidated(dataKey, id))
		require.Equal(t, one.key, other.key)
		require.Equal(t, one.commitment, other.commitment)
		require.NotZero(t, one.key)
	}
}
