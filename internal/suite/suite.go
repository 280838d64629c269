// Package suite is the table of the algorithm suites of the AWS Encryption SDK
// message format, and of those of AWS's Database Encryption SDK.
//
// Source: framework/algorithm-suites.md of
// github.com/awslabs/aws-encryption-sdk-specification.
package suite

import (
	"crypto"
	"crypto/elliptic"
	_ "crypto/sha256" // crypto.SHA256, in the table below
	_ "crypto/sha512" // crypto.SHA384 and crypto.SHA512
)

// Sizes in bytes that all suites share. An IV, as the format calls it, is a nonce of
// AES-GCM: one that no key is used with twice.
const (
	IVLen         = 12
	TagLen        = 16
	CommitmentLen = 32
)

// A Suite is one row of the table. Rows are shared and must not be changed.
type Suite struct {
	ID   uint16
	Name string

	// Version is the message format version that carries the suite, 1 or 2; zero if none
	// does.
	Version byte

	// KeyLen is the length in bytes of the data key and of the message key
	// derived from it.
	KeyLen int

	// KDF is the hash of the HKDF that derives the message key. Zero means that
	// the data key is the message key: such a key must never serve two messages.
	KDF crypto.Hash

	// Commits says whether the header carries a commitment to the data key.
	Commits bool

	// Curve is the curve of the message signature; nil where there is none.
	Curve elliptic.Curve

	// SigHash is the hash that is signed.
	SigHash crypto.Hash

	// SigLen is the length in bytes of the signatures that are written.
	// DER signatures vary in length, so writers sign again until they have this
	// one, and message lengths can be told in advance.
	SigLen int
}

// Signs says whether messages of the suite end in a signature.
func (s *Suite) Signs() bool { return s.Curve != nil }

// MessageIDLen returns the length of the message ID in bytes.
func (s *Suite) MessageIDLen() int {
	if s.Version == 1 {
		return 16
	}
	return 32
}

// The suites. A new row is enough for a suite that combines what others have. Beside it:
//
//   - suite_test.go: the number of suites, and the structure of its ID if that differs.
//   - index, below: more bits, if TestTable finds that two rows share a place.
//   - keyring/suite.go: its constant; then go test ./internal/apitext -update.
//   - keyring/policy.go, DefaultSuite, and envelope/options.go, Options.Sign: if it is
//     to be a default. COMPATIBILITY.md says when it may.
//   - README.md and CHANGELOG.md: the number of suites, and that it is new.
//
// And where it is unlike the others:
//
//   - another cipher, IV or tag: aead.go and the sizes above, which all suites share.
//   - a data key of more than 32 bytes: cache/entry.go, whose copies have 32, and
//     derivation.key in envelope/kdf.go.
//   - another derivation: envelope/derive.go. A suite that commits with another hash than
//     SHA-512: envelope/kdf.go, which is written for that one.
//   - another signature than ECDSA: envelope/sign.go and open.go, and the key pair in
//     keyring/manager.go and materials.go.
//   - another header, or a message ID of another length: MessageIDLen,
//     internal/message/header.go, and sealer.id in envelope/seal.go, which has 32 bytes.
//   - no derivation: SECURITY.md and keyring/suite.go count those suites.
//
// Tests that go through all suites take IDs, and so the new one; messages of other SDKs
// must be made anew with it (CONTRIBUTING.md, Vectors).
var table = [...]Suite{
	{ID: 0x0014, Name: "AES-128-GCM, no key derivation", Version: 1, KeyLen: 16},
	{ID: 0x0046, Name: "AES-192-GCM, no key derivation", Version: 1, KeyLen: 24},
	{ID: 0x0078, Name: "AES-256-GCM, no key derivation", Version: 1, KeyLen: 32},
	{ID: 0x0114, Name: "AES-128-GCM, HKDF-SHA256", Version: 1, KeyLen: 16, KDF: crypto.SHA256},
	{ID: 0x0146, Name: "AES-192-GCM, HKDF-SHA256", Version: 1, KeyLen: 24, KDF: crypto.SHA256},
	{ID: 0x0178, Name: "AES-256-GCM, HKDF-SHA256", Version: 1, KeyLen: 32, KDF: crypto.SHA256},
	{ID: 0x0214, Name: "AES-128-GCM, HKDF-SHA256, ECDSA-P256", Version: 1, KeyLen: 16, KDF: crypto.SHA256,
		Curve: elliptic.P256(), SigHash: crypto.SHA256, SigLen: 71},
	{ID: 0x0346, Name: "AES-192-GCM, HKDF-SHA384, ECDSA-P384", Version: 1, KeyLen: 24, KDF: crypto.SHA384,
		Curve: elliptic.P384(), SigHash: crypto.SHA384, SigLen: 103},
	{ID: 0x0378, Name: "AES-256-GCM, HKDF-SHA384, ECDSA-P384", Version: 1, KeyLen: 32, KDF: crypto.SHA384,
		Curve: elliptic.P384(), SigHash: crypto.SHA384, SigLen: 103},
	{ID: 0x0478, Name: "AES-256-GCM, HKDF-SHA512, key commitment", Version: 2, KeyLen: 32, KDF: crypto.SHA512,
		Commits: true},
	{ID: 0x0578, Name: "AES-256-GCM, HKDF-SHA512, key commitment, ECDSA-P384", Version: 2, KeyLen: 32, KDF: crypto.SHA512,
		Commits: true, Curve: elliptic.P384(), SigHash: crypto.SHA384, SigLen: 103},
}

// items are the suites of the items of AWS's Database Encryption SDK: of no message. Each
// data key of theirs is wrapped by an intermediate key, which a wrapping key wraps, and
// each such key signs too (HMAC-SHA384).
var items = [...]Suite{
	{ID: 0x6700, Name: "AES-256-GCM, HKDF-SHA512, key commitment, HMAC-SHA384", KeyLen: 32, KDF: crypto.SHA512,
		Commits: true},
	{ID: 0x6701, Name: "AES-256-GCM, HKDF-SHA512, key commitment, ECDSA-P384, HMAC-SHA384", KeyLen: 32, KDF: crypto.SHA512,
		Commits: true, Curve: elliptic.P384(), SigHash: crypto.SHA384, SigLen: 103},
}

// ItemByID returns the suite of items with the given ID, or nil if there is none.
func ItemByID(id uint16) *Suite {
	for i := range items {
		if items[i].ID == id {
			return &items[i]
		}
	}
	return nil
}

// ByID returns the suite of messages with the given ID, or nil if the format has none.
func ByID(id uint16) *Suite {
	// An array, since this is called many times for each message. No two rows have the
	// same place in it, which three bits of the high byte and five of the low one make.
	if s := index[id>>8&7][id&31]; s != nil && s.ID == id {
		return s
	}
	return nil
}

var index = func() (index [8][32]*Suite) {
	for i := range table {
		s := &table[i]
		index[s.ID>>8&7][s.ID&31] = s
	}
	return index
}()

// IDs returns the ID of every suite of messages, in order, as a type of the caller's.
func IDs[T ~uint16]() []T {
	ids := make([]T, len(table))
	for i := range table {
		ids[i] = T(table[i].ID)
	}
	return ids
}

// All returns every suite of messages, in order of ID.
func All() []*Suite {
	all := make([]*Suite, len(table))
	for i := range table {
		all[i] = &table[i]
	}
	return all
}
