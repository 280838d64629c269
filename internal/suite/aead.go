package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// NewAEAD returns AES-GCM under a key of 16, 24 or 32 bytes, for nonces that the
// caller sets. It does not keep the key, but a schedule that is as secret.
func NewAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("the message format sets the nonces of AES-GCM, which GODEBUG=fips140=only does not allow and fips140=on does: %w", err)
	}
	return aead, nil
}
