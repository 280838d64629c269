package field

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"iter"
)

// A message's plaintext is, in bytes:
//
//	1    version: 1, or 2 with padding
//	16   binding
//	     the value's encoding
//	     in version 2, padding: 80, then any number of 00
//
// The package comment has a worked example.
const (
	versionPlain  = 1
	versionPadded = 2

	bindingLen = 16
	prefixLen  = 1 + bindingLen
)

// A binding names the row and the column of a value: the first bytes of a SHA-256 over the
// table, the column and the parts of the row's key, each with its length before it in four
// bytes, big-endian.
type binding [bindingLen]byte

// appendWithLength appends a part with its length before it.
func appendWithLength[P ~string | ~[]byte](dst []byte, part P) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(part))), part...)
}

// setLength writes the length of what follows the four bytes at b[at:] into them.
func setLength(b []byte, at int) {
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
}

// pairsOf goes through parts that were appended with their lengths, two by two.
func pairsOf(parts string) iter.Seq2[string, string] {
	next := func() string {
		n := binary.BigEndian.Uint32([]byte(parts[:4]))
		part := parts[4 : 4+n]
		parts = parts[4+n:]
		return part
	}
	return func(yield func(string, string) bool) {
		for parts != "" && yield(next(), next()) {
		}
	}
}

// bind returns the binding of the parts that were appended with their lengths.
func bind(parts []byte) binding {
	sum := sha256.Sum256(parts)
	return binding(sum[:bindingLen])
}

// appendPrefix appends what stands before the value's encoding. Bucket is a padding's.
func appendPrefix(dst []byte, b binding, bucket int) []byte {
	version := byte(versionPlain)
	if bucket > 0 {
		version = versionPadded
	}
	return append(append(dst, version), b[:]...)
}

// appendPadding pads the encoding that begins at from to a multiple of bucket bytes, of
// which the padding takes at least one. It does nothing if bucket is zero.
func appendPadding(dst []byte, from, bucket int) []byte {
	if bucket == 0 {
		return dst
	}
	n := len(dst)
	padding := bucket - (n-from)%bucket
	if cap(dst)-n < padding {
		grown := append(make([]byte, 0, n+padding), dst...)
		clear(dst) // the value's copy
		dst = grown
	}
	dst = dst[:n+padding]
	clear(dst[n:])
	dst[n] = 0x80
	return dst
}

// encodingOf returns the value's encoding in a message's plaintext, of which it is a part.
// The error is ErrBinding if the plaintext is bound to another place than b.
func encodingOf(plaintext []byte, b binding) ([]byte, error) {
	if len(plaintext) < prefixLen {
		return nil, fmt.Errorf("%w: its plaintext is too short to be bound to a place", ErrBinding)
	}
	version, bound, encoding := plaintext[0], plaintext[1:prefixLen], plaintext[prefixLen:]
	if version != versionPlain && version != versionPadded {
		return nil, fmt.Errorf("%w: its plaintext has version %d, which this package does not know", ErrBinding, version)
	}
	if subtle.ConstantTimeCompare(bound, b[:]) != 1 {
		return nil, ErrBinding
	}
	if version == versionPlain {
		return encoding, nil
	}
	end := len(encoding)
	for end > 0 && encoding[end-1] == 0 {
		end--
	}
	if end == 0 || encoding[end-1] != 0x80 {
		return nil, fmt.Errorf("%w: its padding is malformed", ErrBinding)
	}
	return encoding[:end-1], nil
}
