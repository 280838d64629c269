package envelope

import (
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"hash"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/suite"
)

// sign returns the signature over what h has hashed, of the length that the
// suite fixes, so that the message's length can be told before it is written.
func sign(s *suite.Suite, key *ecdsa.PrivateKey, h hash.Hash) ([]byte, error) {
	digest := h.Sum(nil)
	// Every second signature has the length; that none of so many has means
	// that something is broken.
	for range 256 {
		var sig []byte
		var err error
		erase.After(func() { sig, err = ecdsa.SignASN1(rand.Reader, key, digest) })
		if err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
		if len(sig) == s.SigLen {
			return sig, nil
		}
	}
	return nil, errors.New("signature: none has the suite's length")
}
