package keyring

import (
	"context"
	"crypto/hkdf"
	"crypto/sha512"
	"errors"
	"fmt"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
)

// Suites that sign symmetrically wrap a data key twice. A keyring wraps an intermediate
// key, as it would wrap a data key. Two keys are derived from that: one wraps the data key,
// and one signs. A wrapped key is the wrapped data key, then what the keyring made.
//
// Keyrings know nothing of it, so that each of them serves these suites.
//
// Source: framework/structures.md and framework/algorithm-suites.md of the AWS Encryption
// SDK specification. That the wrapping half is 32 bytes long is what AWS's releases do.
const (
	symmetricSigningKeyLen = 32
	doublyWrappedLen       = 32 + suite.TagLen

	infoWrap = "AWS_MPL_INTERMEDIATE_KEYWRAP_ENC"
	infoSign = "AWS_MPL_INTERMEDIATE_KEYWRAP_MAC"
)

// carrier returns the suite that keyrings are asked with for an intermediate key. It signs
// if s does, since some keyrings are not for suites that sign.
func (s Suite) carrier() Suite {
	if s.Signs() {
		return SuiteAES256GCMHKDFSHA512CommitECDSAP384
	}
	return SuiteAES256GCMHKDFSHA512Commit
}

// onEncrypt has a keyring wrap a new data key for m.
func onEncrypt(ctx context.Context, k Encrypter, m *EncryptionMaterials) error {
	if !m.Suite.SignsSymmetrically() {
		return k.OnEncrypt(ctx, m)
	}
	aad, err := m.Context.AppendBinary(nil)
	if err != nil {
		return err
	}
	m.GenerateDataKey()
	// Each keyring has an intermediate key of its own: who reads by one must not be able to
	// sign for those who read by another.
	for i, leaf := range leaves(k) {
		if err := wrapDoubly(ctx, leaf, i > 0, m, aad); err != nil {
			return err
		}
	}
	return nil
}

// An eachEncrypter is a keyring whose keys may be held apart, though it is one keyring: it
// wraps a key of its own with each.
type eachEncrypter interface {
	OnEncryptEach(ctx context.Context, next func() *EncryptionMaterials) error
}

// wrapDoubly has one keyring wrap a new intermediate key, which wraps the data key of m. The
// first keyring generates the key, and the others are given one: so that they need the
// same permissions as for a message.
func wrapDoubly(ctx context.Context, k Encrypter, given bool, m *EncryptionMaterials, aad []byte) error {
	var all []*EncryptionMaterials
	defer func() {
		for _, inner := range all {
			inner.Clear()
		}
	}()
	next := func() *EncryptionMaterials {
		inner := &EncryptionMaterials{Suite: m.Suite.carrier(), Context: m.Context}
		if given {
			inner.GenerateDataKey()
		}
		all = append(all, inner)
		return inner
	}
	var err error
	if each, ok := k.(eachEncrypter); ok {
		err = each.OnEncryptEach(ctx, next)
	} else {
		err = k.OnEncrypt(ctx, next())
	}
	if err != nil {
		return err
	}
	for _, inner := range all {
		if err := sealFor(inner, m, aad); err != nil {
			return err
		}
	}
	return nil
}

// sealFor wraps the data key of m under an intermediate key, which inner has wrapped.
func sealFor(inner, m *EncryptionMaterials, aad []byte) error {
	if err := checkIntermediate(inner.Suite, inner.DataKey); err != nil {
		return err
	}
	// A keyring that wraps the key more than once has one intermediate key for all. This is
	// sealed once, since the nonce is fixed.
	sealed, signing, err := sealUnder(inner.DataKey, m.DataKey, aad)
	if err != nil {
		return err
	}
	defer clear(signing)
	for _, edk := range inner.EncryptedDataKeys {
		edk.Ciphertext = append(sealed[:len(sealed):len(sealed)], edk.Ciphertext...)
		m.EncryptedDataKeys = append(m.EncryptedDataKeys, edk)
		m.SymmetricSigningKeys = append(m.SymmetricSigningKeys, append([]byte(nil), signing...))
	}
	return nil
}

// onDecrypt has a keyring unwrap one of keys for m.
func onDecrypt(ctx context.Context, k Decrypter, m *DecryptionMaterials, keys []EncryptedDataKey) error {
	if !m.Suite.SignsSymmetrically() {
		return k.OnDecrypt(ctx, m, keys)
	}
	aad, err := m.Context.AppendBinary(nil)
	if err != nil {
		return err
	}
	inner := make([]EncryptedDataKey, len(keys))
	for i, edk := range keys {
		if len(edk.Ciphertext) <= doublyWrappedLen {
			return fmt.Errorf("%w: encrypted data key %d is %d bytes, and more than %d with suite %v",
				message.ErrMalformed, i+1, len(edk.Ciphertext), doublyWrappedLen, m.Suite)
		}
		inner[i] = edk
		inner[i].Ciphertext = edk.Ciphertext[doublyWrappedLen:]
	}
	work := &DecryptionMaterials{Suite: m.Suite.carrier(), Context: m.Context, RequiredKeys: m.RequiredKeys}
	defer work.Clear()
	if err := k.OnDecrypt(ctx, work, inner); err != nil {
		return err
	}
	if err := checkIntermediate(work.Suite, work.DataKey); err != nil {
		return err
	}
	// The keyring does not say which of the keys it has unwrapped.
	dataKey, signing, err := openUnder(work.DataKey, keys, aad)
	if err != nil {
		return NoMatch("intermediate key", keys, err)
	}
	m.DataKey, m.SymmetricSigningKey = dataKey, signing
	return nil
}

// checkIntermediate refuses what is no intermediate key. One that a keyring shares, and that
// somebody has cleared, would be a key that everybody knows.
func checkIntermediate(s Suite, key []byte) error {
	if err := checkDataKey(s, key); err != nil {
		return err
	}
	if isZero(key) {
		return badMaterials("the intermediate key is all zeros, as after Clear")
	}
	return nil
}

// sealUnder wraps a data key under an intermediate key, which must never wrap another. It
// returns the signing key too.
func sealUnder(intermediate, dataKey, aad []byte) (sealed, signing []byte, err error) {
	erase.After(func() { sealed, signing, err = deriveAndSeal(intermediate, dataKey, aad) })
	return sealed, signing, err
}

func deriveAndSeal(intermediate, dataKey, aad []byte) (sealed, signing []byte, err error) {
	wrapping, signing, err := deriveIntermediate(intermediate)
	if err != nil {
		return nil, nil, err
	}
	defer clear(wrapping)
	aead, err := suite.NewAEAD(wrapping)
	if err != nil {
		clear(signing)
		return nil, nil, err
	}
	return aead.Seal(nil, make([]byte, suite.IVLen), dataKey, aad), signing, nil
}

// openUnder unwraps the data key that an intermediate key has wrapped, whichever of keys
// has it.
func openUnder(intermediate []byte, keys []EncryptedDataKey, aad []byte) (dataKey, signing []byte, err error) {
	erase.After(func() { dataKey, signing, err = deriveAndOpen(intermediate, keys, aad) })
	return dataKey, signing, err
}

func deriveAndOpen(intermediate []byte, keys []EncryptedDataKey, aad []byte) (dataKey, signing []byte, err error) {
	wrapping, signing, err := deriveIntermediate(intermediate)
	if err != nil {
		return nil, nil, err
	}
	defer clear(wrapping)
	aead, err := suite.NewAEAD(wrapping)
	if err != nil {
		clear(signing)
		return nil, nil, err
	}
	for _, edk := range keys {
		dataKey, err := aead.Open(nil, make([]byte, suite.IVLen), edk.Ciphertext[:doublyWrappedLen], aad)
		if err == nil {
			return dataKey, signing, nil
		}
	}
	clear(signing)
	return nil, nil, errors.New("the data key does not authenticate under the intermediate key that was unwrapped: it was altered")
}

// deriveIntermediate returns the two keys that come of an intermediate key.
func deriveIntermediate(intermediate []byte) (wrapping, signing []byte, err error) {
	prk, err := hkdf.Extract(sha512.New, intermediate, nil)
	if err != nil {
		return nil, nil, err
	}
	defer clear(prk)
	if wrapping, err = hkdf.Expand(sha512.New, prk, infoWrap, 32); err != nil {
		return nil, nil, err
	}
	if signing, err = hkdf.Expand(sha512.New, prk, infoSign, symmetricSigningKeyLen); err != nil {
		clear(wrapping)
		return nil, nil, err
	}
	return wrapping, signing, nil
}
