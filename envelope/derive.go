package envelope

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/binary"

	"github.com/go-sealring/sealring/internal/suite"
)

// messageCipher returns the AEAD under a message's key, and in suites that have
// one the commitment to the data key. The message key itself is cleared.
//
// Source: framework/transitive-requirements.md and framework/algorithm-suites.md
// of the AWS Encryption SDK specification.
func messageCipher(s *suite.Suite, dataKey, messageID []byte) (aead cipher.AEAD, commitment []byte, err error) {
	id := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(messageID)), s.ID)
	var key []byte
	switch {
	case s.Commits:
		prk, err := hkdf.Extract(sha512.New, dataKey, messageID)
		if err != nil {
			return nil, nil, err
		}
		defer clear(prk)
		if key, err = hkdf.Expand(sha512.New, prk, string(id)+"DERIVEKEY", s.KeyLen); err != nil {
			return nil, nil, err
		}
		defer clear(key)
		if commitment, err = hkdf.Expand(sha512.New, prk, "COMMITKEY", suite.CommitmentLen); err != nil {
			return nil, nil, err
		}
	case s.KDF != 0:
		// No salt is a salt of zeros as long as the hash.
		if key, err = hkdf.Key(s.KDF.New, dataKey, nil, string(append(id, messageID...)), s.KeyLen); err != nil {
			return nil, nil, err
		}
		defer clear(key)
	default:
		key = dataKey // the caller's to clear
	}
	aead, err = suite.NewAEAD(key)
	return aead, commitment, err
}

// headerIV is the nonce of the header's tag. Frames count from one, so that it
// is theirs never.
var headerIV [suite.NonceLen]byte

// headerAAD returns what a header's tag covers: the header's body, then the
// pairs that are authenticated and not stored.
func headerAAD(body []byte, authenticated interface {
	AppendBinary([]byte) ([]byte, error)
}) ([]byte, error) {
	return authenticated.AppendBinary(body[:len(body):len(body)])
}
