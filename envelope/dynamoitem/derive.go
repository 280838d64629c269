package dynamoitem

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha512"
	"crypto/subtle"
	"encoding"
	"hash"
	"slices"

	"github.com/go-sealring/sealring/internal/erase"
)

// Info of HKDF, before the message ID.
const (
	commitInfo = "AWS_DBE_COMMIT_KEY"
	deriveInfo = "AWS_DBE_DERIVE_KEY"
)

const (
	fieldKeyLen   = 32
	fieldNonceLen = 12

	// fieldStep is how far apart the keys of two attributes are in the key stream: three
	// blocks, of which key and nonce take 44 bytes.
	fieldStep = 3 * aes.BlockSize
)

// fieldIV is the counter block that the key stream begins with: the one of the attribute
// whose position is 0. Since those of the next are 3, 6, ..., one stream has all keys.
var fieldIV = append([]byte("AwsDbeField\x2c"), 0, 0, 0, 0)

// A derivation has the keys of one item and what they are made with. It computes HMAC
// itself, since the states behind a key serve both expansions of HKDF, and those behind
// HKDF's empty salt every item. Where FIPS 140-3 is asked for, the validated module does
// all of it.
//
// Whoever has one clears it before it is used again.
type derivation struct {
	sha512, sha384 hash.Hash

	block                  [sha512.BlockSize]byte // HMAC's padded key
	behindInner, behindOut []byte                 // the hash's states behind it
	sum                    []byte

	commitKey, rootKey [32]byte
	messageID          [messageIDLen]byte
	info               []byte
	result             [sha512.Size]byte // of an HMAC
	stream             []byte            // keys and nonces of attributes
}

const stateLen = 256 // at least what the state of a hash takes

func newDerivation() *derivation {
	return &derivation{
		sha512: sha512.New(), sha384: sha512.New384(),
		behindInner: make([]byte, 0, stateLen), behindOut: make([]byte, 0, stateLen),
		sum: make([]byte, 0, sha512.Size),
	}
}

var (
	innerPad = slices.Repeat([]byte{0x36}, sha512.BlockSize)
	outerPad = slices.Repeat([]byte{0x5c}, sha512.BlockSize)

	// freshSHA512 and freshSHA384 are states of hashes that have nothing to hide, noSaltInner
	// and noSaltOuter those of SHA-512 behind HMAC's padded key of zeros.
	freshSHA512, freshSHA384, noSaltInner, noSaltOuter = func() (a, b, c, d []byte) {
		fresh := newDerivation()
		a, b = save(nil, fresh.sha512), save(nil, fresh.sha384)
		fresh.sha512.Write(innerPad)
		c = save(nil, fresh.sha512)
		fresh.sha512.Reset()
		fresh.sha512.Write(outerPad)
		return a, b, c, save(nil, fresh.sha512)
	}()
)

// save and restore move a hash's state, which the standard library's SHA-512 does without
// fail.
func save(dst []byte, h hash.Hash) []byte {
	dst, err := h.(encoding.BinaryAppender).AppendBinary(dst)
	if err != nil {
		panic("sealring: SHA-512 has no state to save: " + err.Error())
	}
	return dst
}

func restore(h hash.Hash, state []byte) {
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		panic("sealring: SHA-512 refuses its own state: " + err.Error())
	}
}

// derive sets the commit key and the root key of an item, whose message ID is in d.
func (d *derivation) derive(dataKey []byte) (err error) {
	erase.After(func() { err = d.deriveKeys(dataKey) })
	return err
}

func (d *derivation) deriveKeys(dataKey []byte) error {
	if fips140.Enabled() {
		return d.deriveValidated(dataKey)
	}
	restore(d.sha512, noSaltInner)
	d.sha512.Write(dataKey)
	d.sum = d.sha512.Sum(d.sum[:0])
	restore(d.sha512, noSaltOuter)
	d.sha512.Write(d.sum)
	d.sum = d.sha512.Sum(d.sum[:0])

	d.pad(d.sum, innerPad)
	d.sha512.Reset()
	d.sha512.Write(d.block[:])
	d.behindInner = save(d.behindInner[:0], d.sha512)
	d.pad(d.sum, outerPad)
	d.sha512.Reset()
	d.sha512.Write(d.block[:])
	d.behindOut = save(d.behindOut[:0], d.sha512)
	d.expand(d.commitKey[:], commitInfo)
	d.expand(d.rootKey[:], deriveInfo)
	return nil
}

// expand sets key to the first bytes of HKDF's only block.
func (d *derivation) expand(key []byte, info string) {
	d.info = append(append(append(d.info[:0], info...), d.messageID[:]...), 1)
	restore(d.sha512, d.behindInner)
	d.sha512.Write(d.info)
	d.sum = d.sha512.Sum(d.sum[:0])
	restore(d.sha512, d.behindOut)
	d.sha512.Write(d.sum)
	d.sum = d.sha512.Sum(d.sum[:0])
	copy(key, d.sum)
}

func (d *derivation) deriveValidated(dataKey []byte) error {
	prk, err := hkdf.Extract(sha512.New, dataKey, nil)
	if err != nil {
		return err
	}
	defer clear(prk)
	for _, k := range []struct {
		key  []byte
		info string
	}{{d.commitKey[:], commitInfo}, {d.rootKey[:], deriveInfo}} {
		key, err := hkdf.Expand(sha512.New, prk, k.info+string(d.messageID[:]), len(k.key))
		if err != nil {
			return err
		}
		copy(k.key, key)
		clear(key)
	}
	return nil
}

// pad makes HMAC's block of a key that is no longer than a block.
func (d *derivation) pad(key, pad []byte) {
	n := subtle.XORBytes(d.block[:], pad, key)
	copy(d.block[n:], pad[n:])
}

// mac appends HMAC of a message to dst, with one of the derivation's hashes.
func (d *derivation) mac(dst []byte, h hash.Hash, key, message []byte) []byte {
	erase.After(func() { dst = d.appendMAC(dst, h, key, message) })
	return dst
}

func (d *derivation) appendMAC(dst []byte, h hash.Hash, key, message []byte) []byte {
	if fips140.Enabled() {
		newHash := sha512.New
		if h.Size() == sha512.Size384 {
			newHash = sha512.New384
		}
		m := hmac.New(newHash, key)
		m.Write(message)
		return m.Sum(dst)
	}
	d.pad(key, innerPad)
	h.Reset()
	h.Write(d.block[:])
	h.Write(message)
	d.sum = h.Sum(d.sum[:0])
	d.pad(key, outerPad)
	h.Reset()
	h.Write(d.block[:])
	h.Write(d.sum)
	return h.Sum(dst)
}

// appendCommitment appends the commitment of a head's body to dst.
func (d *derivation) appendCommitment(dst, body []byte) []byte {
	n := len(dst)
	return d.mac(dst, d.sha512, d.commitKey[:], body)[:n+commitmentLen]
}

// fieldKeys makes the keys and nonces of n attributes.
func (d *derivation) fieldKeys(n int) error {
	d.stream = slices.Grow(d.stream[:0], n*fieldStep)[:n*fieldStep]
	clear(d.stream)
	var err error
	erase.After(func() {
		var block cipher.Block
		if block, err = aes.NewCipher(d.rootKey[:]); err == nil {
			cipher.NewCTR(block, fieldIV).XORKeyStream(d.stream, d.stream)
		}
	})
	return err
}

// field returns the key and the nonce of the i-th encrypted attribute in canonical order.
func (d *derivation) field(i int) (key, nonce []byte) {
	k := d.stream[i*fieldStep:]
	return k[:fieldKeyLen], k[fieldKeyLen : fieldKeyLen+fieldNonceLen]
}

func (d *derivation) clear() {
	restore(d.sha512, freshSHA512)
	restore(d.sha384, freshSHA384)
	clear(d.block[:])
	clear(d.behindInner[:cap(d.behindInner)])
	clear(d.behindOut[:cap(d.behindOut)])
	clear(d.sum[:cap(d.sum)])
	clear(d.commitKey[:])
	clear(d.rootKey[:])
	clear(d.result[:])
	clear(d.stream[:cap(d.stream)])
}
