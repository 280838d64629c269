package envelope

import (
	"crypto/cipher"
	"crypto/hkdf"
	"encoding/binary"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/suite"
)

// messageCipher returns the AEAD under a message's key, and appends the
// commitment to the data key to dst in suites that have one. The message key
// itself is cleared.
//
// Source: framework/transitive-requirements.md and framework/algorithm-suites.md
// of the AWS Encryption SDK specification.
func messageCipher(s *suite.Suite, dataKey, messageID, dst []byte) (aead cipher.AEAD, commitment []byte, err error) {
	erase.After(func() { aead, commitment, err = deriveCipher(s, dataKey, messageID, dst) })
	return aead, commitment, err
}

func deriveCipher(s *suite.Suite, dataKey, messageID, dst []byte) (cipher.AEAD, []byte, error) {
	switch {
	case s.Commits:
		d := derivations.Get().(*derivation)
		defer d.release()
		if err := d.derive(s, dataKey, messageID); err != nil {
			return nil, nil, err
		}
		aead, err := suite.NewAEAD(d.key[:s.KeyLen])
		return aead, append(dst, d.commitment[:]...), err
	case s.KDF != 0:
		info := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(messageID)), s.ID)
		// No salt is a salt of zeros as long as the hash.
		key, err := hkdf.Key(s.KDF.New, dataKey, nil, string(append(info, messageID...)), s.KeyLen)
		if err != nil {
			return nil, nil, err
		}
		defer clear(key)
		aead, err := suite.NewAEAD(key)
		return aead, dst, err
	default:
		aead, err := suite.NewAEAD(dataKey) // the caller's to clear
		return aead, dst, err
	}
}
