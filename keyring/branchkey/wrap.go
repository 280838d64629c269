package branchkey

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/suite"
)

// The ciphertext of a wrapped data key: salt, IV, version, sealed data key.
//
// Source: framework/aws-kms/aws-kms-hierarchical-keyring.md of the AWS Encryption SDK
// specification. One section of it leaves the label out of the key derivation; AWS's
// releases have it in both directions.
const (
	saltLen    = 16
	ivAt       = saltLen
	versionAt  = ivAt + suite.IVLen
	sealedAt   = versionAt + len(uuid{})
	wrappedLen = sealedAt + suite.TagLen // beside the data key
)

// appendAAD appends what a wrapped data key is bound to, but for the encryption context,
// which the caller appends.
func appendAAD(b []byte, id string, version []byte) []byte {
	b = append(b, ProviderID...)
	b = append(b, id...)
	return append(b, version...)
}

// wrap fills out, of wrappedLen bytes and the data key's length, with a wrapped data key.
func wrap(out, branchKey, version, dataKey, aad []byte) error {
	rand.Read(out[:versionAt]) // salt and IV; never fails: it ends the program instead
	copy(out[versionAt:], version)
	var err error
	erase.After(func() { err = seal(out, branchKey, dataKey, aad) })
	return err
}

func seal(out, branchKey, dataKey, aad []byte) error {
	key := wrappingKey(branchKey, out[:saltLen])
	defer clear(key[:])
	aead, err := suite.NewAEAD(key[:])
	if err != nil {
		return err
	}
	aead.Seal(out[:sealedAt], out[ivAt:versionAt], dataKey, aad)
	return nil
}

// unwrap returns the data key that wrap was given. It checks the length of the wrapped one.
func unwrap(branchKey, wrapped, aad []byte, dataKeyLen int) (dataKey []byte, err error) {
	if err := checkLength(wrapped, dataKeyLen); err != nil {
		return nil, err
	}
	erase.After(func() { dataKey, err = open(branchKey, wrapped, aad) })
	return dataKey, err
}

func open(branchKey, wrapped, aad []byte) ([]byte, error) {
	key := wrappingKey(branchKey, wrapped[:saltLen])
	defer clear(key[:])
	aead, err := suite.NewAEAD(key[:])
	if err != nil {
		return nil, err
	}
	dataKey, err := aead.Open(nil, wrapped[ivAt:versionAt], wrapped[sealedAt:], aad)
	if err != nil {
		return nil, errors.New("does not authenticate: another encryption context, or altered")
	}
	return dataKey, nil
}

func checkLength(wrapped []byte, dataKeyLen int) error {
	if n, want := len(wrapped), wrappedLen+dataKeyLen; n != want {
		return fmt.Errorf("wrapped key is %d bytes, one for this suite has %d", n, want)
	}
	return nil
}

// What HMAC takes of the key derivation, SP 800-108 in counter mode with one block, before
// the salt and behind it.
const (
	kdfBefore = "\x00\x00\x00\x01" + ProviderID + "\x00"
	kdfBehind = "\x00\x00\x01\x00"
)

// HMAC's inner pad, and what turns a key that is padded with it into one padded with the
// outer pad.
var (
	innerPad     = slices.Repeat([]byte{0x36}, sha256.BlockSize)
	innerToOuter = slices.Repeat([]byte{0x36 ^ 0x5c}, sha256.BlockSize)
)

// wrappingKey derives the key for one data key.
func wrappingKey(branchKey, salt []byte) (key [sha256.Size]byte) {
	if fips140.Enabled() {
		return validatedWrappingKey(branchKey, salt)
	}
	// HMAC written out, which allocates nothing. TestWrappingKey compares the two.
	const block = sha256.BlockSize
	var buf [block + len(kdfBefore) + saltLen + len(kdfBehind)]byte
	copy(buf[:], branchKey) // of 32 bytes
	subtle.XORBytes(buf[:block], buf[:block], innerPad)
	copy(buf[block:], kdfBefore)
	copy(buf[block+len(kdfBefore):], salt)
	copy(buf[block+len(kdfBefore)+saltLen:], kdfBehind)
	digest := sha256.Sum256(buf[:])
	subtle.XORBytes(buf[:block], buf[:block], innerToOuter)
	n := block + copy(buf[block:], digest[:])
	key = sha256.Sum256(buf[:n])
	clear(buf[:])
	clear(digest[:])
	return key
}

// validatedWrappingKey is wrappingKey by crypto/hmac, which FIPS 140-3 asks for. It stands
// apart since what it hands over is allocated.
func validatedWrappingKey(branchKey, salt []byte) (key [sha256.Size]byte) {
	h := hmac.New(sha256.New, branchKey)
	h.Write([]byte(kdfBefore))
	h.Write(salt)
	h.Write([]byte(kdfBehind))
	sum := h.Sum(nil)
	copy(key[:], sum)
	clear(sum)
	return key
}
