package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding"
	"encoding/binary"
	"errors"
	"hash"
	"maps"
	"slices"

	"github.com/go-sealring/sealring/keyring"
)

// A shortest makes and opens messages of one frame with no more calls of the
// standard library than the format leaves room for. All that two messages under
// one data key have in common is prepared, nothing is checked that a key does
// not need, and there is one output buffer.
type shortest struct {
	dataKey []byte
	middle  []byte // the header from behind the message ID to the commitment
	derive  func(dataKey, messageID []byte) (key, commitment []byte, err error)
	aad     [messageIDLen + len(finalFrame) + 4 + 8]byte
}

const (
	suiteID       = "\x04\x78"
	finalFrame    = "AWSKMSEncryptionClient Final Frame"
	messageIDLen  = 32
	commitmentLen = 32
	idOffset      = 1 + len(suiteID) // behind the version
	finalPrefix   = 4 + 4 + 12 + 4   // end marker, sequence number, nonce, length
)

// newShortest returns one that derives keys by crypto/hkdf, in the fewest calls,
// or by crypto/sha512, in the least time that we know of.
func newShortest(frameLen int, leastTime bool) (*shortest, error) {
	kr, err := newKeyring()
	if err != nil {
		return nil, err
	}
	manager, err := keyring.NewManager(kr)
	if err != nil {
		return nil, err
	}
	ec := encryptionContext()
	m, err := manager.EncryptionMaterials(context.Background(), keyring.EncryptionRequest{Context: ec})
	if err != nil {
		return nil, err
	}

	var pairs []byte
	for _, k := range slices.Sorted(maps.Keys(ec)) {
		pairs = append16(append16(pairs, k), ec[k])
	}
	var middle []byte
	middle = binary.BigEndian.AppendUint16(middle, uint16(2+len(pairs)))
	middle = binary.BigEndian.AppendUint16(middle, uint16(len(ec)))
	middle = append(middle, pairs...)
	middle = binary.BigEndian.AppendUint16(middle, uint16(len(m.EncryptedDataKeys)))
	for _, k := range m.EncryptedDataKeys {
		middle = append16(append16(append16(middle, k.ProviderID), k.ProviderInfo), k.Ciphertext)
	}
	middle = append(middle, 2) // framed
	middle = binary.BigEndian.AppendUint32(middle, uint32(frameLen))

	s := &shortest{dataKey: m.DataKey, middle: middle, derive: callHKDF}
	if leastTime {
		s.derive = newDerivation().derive
	}
	copy(s.aad[messageIDLen:], finalFrame)
	binary.BigEndian.PutUint32(s.aad[messageIDLen+len(finalFrame):], 1)
	return s, nil
}

func append16[T string | []byte](dst []byte, s T) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// headerNonce and frameNonce are what the format fixes.
var (
	headerNonce [12]byte
	frameNonce  = [12]byte{11: 1}
)

// encrypt appends a message to dst. The plaintext fits one frame.
func (s *shortest) encrypt(dst, plaintext []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, "\x02"+suiteID...)
	dst = append(dst, s.aad[:messageIDLen]...) // any bytes: the ID comes here
	id := dst[start+idOffset:]
	rand.Read(id)
	key, commitment, err := s.derive(s.dataKey, id)
	if err != nil {
		return nil, err
	}
	dst = append(append(dst, s.middle...), commitment...)

	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	dst = aead.Seal(dst, headerNonce[:], nil, dst[start:])
	dst = binary.BigEndian.AppendUint32(dst, 1<<32-1)
	dst = binary.BigEndian.AppendUint32(dst, 1)
	dst = append(dst, frameNonce[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(plaintext)))
	return aead.Seal(dst, frameNonce[:], plaintext, s.frameAAD(id, len(plaintext))), nil
}

// decrypt appends the plaintext of a message that encrypt made to dst.
func (s *shortest) decrypt(dst, msg []byte) ([]byte, error) {
	id := msg[idOffset:][:messageIDLen]
	commitmentAt := idOffset + messageIDLen + len(s.middle)
	tagAt := commitmentAt + commitmentLen
	key, commitment, err := s.derive(s.dataKey, id)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(commitment, msg[commitmentAt:tagAt]) != 1 {
		return nil, errors.New("another data key")
	}
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	if _, err := aead.Open(nil, headerNonce[:], msg[tagAt:tagAt+tagLen], msg[:tagAt]); err != nil {
		return nil, err
	}
	sealed := msg[tagAt+tagLen+finalPrefix:]
	return aead.Open(dst, frameNonce[:], sealed, s.frameAAD(id, len(sealed)-tagLen))
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// frameAAD returns what the frame's tag covers besides its content.
func (s *shortest) frameAAD(id []byte, n int) []byte {
	copy(s.aad[:], id)
	binary.BigEndian.PutUint64(s.aad[len(s.aad)-8:], uint64(n))
	return s.aad[:]
}

// callHKDF is HKDF-SHA512 from a data key to a message's key and commitment as the
// standard library has it.
func callHKDF(dataKey, messageID []byte) (key, commitment []byte, err error) {
	prk, err := hkdf.Extract(sha512.New, dataKey, messageID)
	if err != nil {
		return nil, nil, err
	}
	if key, err = hkdf.Expand(sha512.New, prk, suiteID+"DERIVEKEY", 32); err != nil {
		return nil, nil, err
	}
	commitment, err = hkdf.Expand(sha512.New, prk, "COMMITKEY", commitmentLen)
	return key, commitment, err
}

// A derivation is HKDF-SHA512 from a data key to a message's key and commitment
// in ten compressions: four to extract, four to expand once, and two for the
// second time, which goes on from the states behind the padded key. It measures
// faster than crypto/hkdf, than crypto/hmac, and than twelve compressions with
// sha512.Sum512.
type derivation struct {
	hash              hash.Hash
	inner, outer      [sha512.BlockSize]byte
	afterIn, afterOut []byte // states of the hash
	prk, key, commit  []byte
}

func newDerivation() *derivation {
	return &derivation{
		hash:     sha512.New(),
		afterIn:  make([]byte, 0, 256),
		afterOut: make([]byte, 0, 256),
		prk:      make([]byte, 0, sha512.Size),
		key:      make([]byte, 0, sha512.Size),
		commit:   make([]byte, 0, sha512.Size),
	}
}

var (
	innerPad = slices.Repeat([]byte{0x36}, sha512.BlockSize)
	outerPad = slices.Repeat([]byte{0x5c}, sha512.BlockSize)

	keyInfo    = []byte(suiteID + "DERIVEKEY\x01")
	commitInfo = []byte("COMMITKEY\x01")
)

// derive returns slices that the next call overwrites.
func (d *derivation) derive(dataKey, messageID []byte) (key, commitment []byte, err error) {
	h := d.hash
	d.pad(messageID)
	h.Reset()
	h.Write(d.inner[:])
	h.Write(dataKey)
	d.prk = h.Sum(d.prk[:0])
	h.Reset()
	h.Write(d.outer[:])
	h.Write(d.prk)
	d.prk = h.Sum(d.prk[:0])

	// A SHA-512 writes and reads its state without fail.
	save, restore := h.(encoding.BinaryAppender).AppendBinary, h.(encoding.BinaryUnmarshaler).UnmarshalBinary
	d.pad(d.prk)
	h.Reset()
	h.Write(d.inner[:])
	d.afterIn, _ = save(d.afterIn[:0])
	h.Write(keyInfo)
	d.key = h.Sum(d.key[:0])
	h.Reset()
	h.Write(d.outer[:])
	d.afterOut, _ = save(d.afterOut[:0])
	h.Write(d.key)
	d.key = h.Sum(d.key[:0])

	_ = restore(d.afterIn)
	h.Write(commitInfo)
	d.commit = h.Sum(d.commit[:0])
	_ = restore(d.afterOut)
	h.Write(d.commit)
	d.commit = h.Sum(d.commit[:0])
	return d.key[:32], d.commit[:commitmentLen], nil
}

// pad makes HMAC's blocks for a key.
func (d *derivation) pad(key []byte) {
	n := subtle.XORBytes(d.inner[:], innerPad, key)
	copy(d.inner[n:], innerPad[n:])
	n = subtle.XORBytes(d.outer[:], outerPad, key)
	copy(d.outer[n:], outerPad[n:])
}
