package envelope

import (
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/sha512"
	"crypto/subtle"
	"encoding"
	"encoding/binary"
	"hash"
	"slices"
	"sync"

	"github.com/go-sealring/sealring/internal/suite"
)

// A derivation is HKDF-SHA512 for the committing suites: one extraction and two
// expansions of one block each, in ten compressions. crypto/hkdf takes fourteen
// for it, and most of the time and allocations of a small message; it is used
// where FIPS 140-3 asks for the validated module's own.
//
// What it derives is in its arrays, which are cleared before they go back to the
// pool.
type derivation struct {
	hash hash.Hash

	// HMAC's padded keys, and the hash's states behind them.
	inner, outer           [sha512.BlockSize]byte
	behindInner, behindOut []byte

	prk, digest []byte
	info        []byte

	key        [32]byte
	commitment [suite.CommitmentLen]byte
}

var (
	derivations = sync.Pool{New: func() any { return newDerivation() }}

	innerPad = slices.Repeat([]byte{0x36}, sha512.BlockSize)
	outerPad = slices.Repeat([]byte{0x5c}, sha512.BlockSize)

	// fresh is the state of a hash that has nothing to hide.
	fresh = newDerivation().save(nil)

	// HKDF's info for the key, after the suite's ID, and for the commitment, each
	// with the number of the only block behind it.
	keyInfo    = []byte("DERIVEKEY\x01")
	commitInfo = []byte("COMMITKEY\x01")
)

func newDerivation() *derivation {
	state := make([]byte, 0, 2*256)
	digests := make([]byte, 0, 2*sha512.Size)
	return &derivation{
		hash:        sha512.New(),
		behindInner: state[:0:256],
		behindOut:   state[256:256:512],
		prk:         digests[:0:sha512.Size],
		digest:      digests[sha512.Size:sha512.Size],
	}
}

// derive sets key and commitment.
func (d *derivation) derive(s *suite.Suite, dataKey, messageID []byte) error {
	d.info = append(binary.BigEndian.AppendUint16(d.info[:0], s.ID), keyInfo...)
	if fips140.Enabled() {
		return d.deriveValidated(dataKey, messageID)
	}
	d.pad(messageID)
	d.prk = d.two(d.prk, d.inner[:], dataKey)
	d.prk = d.two(d.prk, d.outer[:], d.prk)

	d.pad(d.prk)
	d.hash.Reset()
	d.hash.Write(d.inner[:])
	d.behindInner = d.save(d.behindInner[:0])
	d.hash.Write(d.info)
	d.digest = d.hash.Sum(d.digest[:0])
	d.hash.Reset()
	d.hash.Write(d.outer[:])
	d.behindOut = d.save(d.behindOut[:0])
	d.hash.Write(d.digest)
	d.digest = d.hash.Sum(d.digest[:0])
	copy(d.key[:], d.digest)

	d.restore(d.behindInner)
	d.hash.Write(commitInfo)
	d.digest = d.hash.Sum(d.digest[:0])
	d.restore(d.behindOut)
	d.hash.Write(d.digest)
	d.digest = d.hash.Sum(d.digest[:0])
	copy(d.commitment[:], d.digest)
	return nil
}

func (d *derivation) deriveValidated(dataKey, messageID []byte) error {
	prk, err := hkdf.Extract(sha512.New, dataKey, messageID)
	if err != nil {
		return err
	}
	defer clear(prk)
	key, err := hkdf.Expand(sha512.New, prk, string(d.info[:len(d.info)-1]), len(d.key))
	if err != nil {
		return err
	}
	defer clear(key)
	commitment, err := hkdf.Expand(sha512.New, prk, string(commitInfo[:len(commitInfo)-1]), len(d.commitment))
	if err != nil {
		return err
	}
	copy(d.key[:], key)
	copy(d.commitment[:], commitment)
	return nil
}

// pad makes HMAC's blocks of a key that is no longer than a block.
func (d *derivation) pad(key []byte) {
	n := subtle.XORBytes(d.inner[:], innerPad, key)
	copy(d.inner[n:], innerPad[n:])
	n = subtle.XORBytes(d.outer[:], outerPad, key)
	copy(d.outer[n:], outerPad[n:])
}

// two hashes two parts into dst's array.
func (d *derivation) two(dst, first, second []byte) []byte {
	d.hash.Reset()
	d.hash.Write(first)
	d.hash.Write(second)
	return d.hash.Sum(dst[:0])
}

// save and restore move the hash's state, which the standard library's SHA-512
// does without fail.
func (d *derivation) save(dst []byte) []byte {
	dst, err := d.hash.(encoding.BinaryAppender).AppendBinary(dst)
	if err != nil {
		panic("sealring: SHA-512 has no state to save: " + err.Error())
	}
	return dst
}

func (d *derivation) restore(state []byte) {
	if err := d.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		panic("sealring: SHA-512 refuses its own state: " + err.Error())
	}
}

// release clears the derivation and gives it back.
func (d *derivation) release() {
	d.restore(fresh)
	clear(d.inner[:])
	clear(d.outer[:])
	clear(d.behindInner[:cap(d.behindInner)])
	clear(d.behindOut[:cap(d.behindOut)])
	clear(d.prk[:cap(d.prk)])
	clear(d.digest[:cap(d.digest)])
	clear(d.key[:])
	clear(d.commitment[:])
	derivations.Put(d)
}
