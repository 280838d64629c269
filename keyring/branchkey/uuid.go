package branchkey

import (
	"crypto/rand"
	"encoding/hex"
)

// A uuid is a UUID of RFC 9562.
type uuid [16]byte

// newUUID returns a random one, of version 4.
func newUUID() uuid {
	var u uuid
	rand.Read(u[:])
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// String returns the usual text, in lower case.
func (u uuid) String() string {
	var b [36]byte
	hex.Encode(b[:], u[:4])
	at := 8
	for i := 4; i < 10; i += 2 {
		b[at] = '-'
		hex.Encode(b[at+1:], u[i:i+2])
		at += 5
	}
	b[at] = '-'
	hex.Encode(b[at+1:], u[10:])
	return string(b[:])
}

// parseUUID parses the text that String returns, and no other.
func parseUUID(s string) (u uuid, ok bool) {
	if len(s) != 36 {
		return u, false
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return uuid{}, false
	}
	return u, u.String() == s
}
