package kmstest

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
)

// A symmetric ciphertext says which key and which version of its material made it:
//
//	magic, u8 length, key ID, u32 version, checksum, nonce, sealed plaintext
//
// The key ID is without region, so that the replicas of a multi-region key open
// each other's. The checksum tells a ciphertext that was altered from one of a
// key that does not exist here, which the service answers with other errors.
var blobMagic = [4]byte{'k', 'm', 't', 1}

const blobChecksum = 8

// A blob is a parsed ciphertext, not yet authenticated.
type blob struct {
	keyID   string
	version uint32
	header  []byte
	sealed  []byte // nonce and ciphertext
}

func parseBlob(b []byte) (blob, bool) {
	at := len(blobMagic)
	if len(b) <= at || [4]byte(b) != blobMagic {
		return blob{}, false
	}
	idLen := int(b[at])
	at++
	end := at + idLen + 4
	if len(b) < end+blobChecksum {
		return blob{}, false
	}
	sum := sha256.Sum256(b[:end])
	if string(sum[:blobChecksum]) != string(b[end:end+blobChecksum]) {
		return blob{}, false
	}
	return blob{
		keyID:   string(b[at : at+idLen]),
		version: binary.BigEndian.Uint32(b[at+idLen:]),
		header:  b[:end],
		sealed:  b[end+blobChecksum:],
	}, true
}

// seal encrypts under the last of the materials.
func seal(keyID string, materials []*material, plaintext []byte, ec map[string]string) []byte {
	version := len(materials) - 1
	out := append([]byte{}, blobMagic[:]...)
	out = append(out, byte(len(keyID)))
	out = append(out, keyID...)
	out = binary.BigEndian.AppendUint32(out, uint32(version))
	aad := appendContext(slices.Clone(out), ec)
	sum := sha256.Sum256(out)
	out = append(out, sum[:blobChecksum]...)
	return materials[version].aead.Seal(out, nil, plaintext, aad)
}

// open decrypts, and returns the material that did it.
func (b blob) open(materials []*material, ec map[string]string) ([]byte, *material, error) {
	if uint64(b.version) >= uint64(len(materials)) {
		return nil, nil, invalidCiphertext()
	}
	m := materials[b.version]
	plaintext, err := m.aead.Open(nil, nil, b.sealed, appendContext(slices.Clone(b.header), ec))
	if err != nil {
		return nil, nil, invalidCiphertext()
	}
	return plaintext, m, nil
}

// appendContext appends the pairs in the order of their names, each part with its
// length before it, so that no two contexts have one form.
func appendContext(dst []byte, ec map[string]string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(ec)))
	for _, name := range slices.Sorted(maps.Keys(ec)) {
		for _, part := range [...]string{name, ec[name]} {
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(part)))
			dst = append(dst, part...)
		}
	}
	return dst
}
