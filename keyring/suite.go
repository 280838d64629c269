package keyring

import (
	"fmt"
	"strings"

	"github.com/go-sealring/sealring/internal/suite"
)

// A Suite is the ID of an algorithm suite of the AWS Encryption SDK. The zero
// value stands for the default of the commitment policy in force.
type Suite uint16

// The algorithm suites, in the order of their IDs. Source:
// framework/algorithm-suites.md of the AWS Encryption SDK specification.
//
// New messages should use [SuiteAES256GCMHKDFSHA512Commit], the default, or
// [SuiteAES256GCMHKDFSHA512CommitECDSAP384], which adds a signature: choose that
// where those who may decrypt must not be able to pass for those who encrypt.
// The others are for reading, and for writing to readers that know no better.
// The first three use the data key as it is, without derivation.
const (
	SuiteAES128GCM                          Suite = 0x0014
	SuiteAES192GCM                          Suite = 0x0046
	SuiteAES256GCM                          Suite = 0x0078
	SuiteAES128GCMHKDFSHA256                Suite = 0x0114
	SuiteAES192GCMHKDFSHA256                Suite = 0x0146
	SuiteAES256GCMHKDFSHA256                Suite = 0x0178
	SuiteAES128GCMHKDFSHA256ECDSAP256       Suite = 0x0214
	SuiteAES192GCMHKDFSHA384ECDSAP384       Suite = 0x0346
	SuiteAES256GCMHKDFSHA384ECDSAP384       Suite = 0x0378
	SuiteAES256GCMHKDFSHA512Commit          Suite = 0x0478
	SuiteAES256GCMHKDFSHA512CommitECDSAP384 Suite = 0x0578
)

// The suites of the items of AWS's Database Encryption SDK, for DynamoDB. No message has
// them. Their data keys come with a key for an HMAC for each wrapped key: see
// [EncryptionMaterials.SymmetricSigningKeys]. The second adds a signature.
//
// Source: framework/algorithm-suites.md of the AWS Encryption SDK specification.
const (
	SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384          Suite = 0x6700
	SuiteDBEAES256GCMHKDFSHA512CommitECDSAP384HMACSHA384 Suite = 0x6701
)

func (s Suite) row() *suite.Suite {
	if r := suite.ByID(uint16(s)); r != nil {
		return r
	}
	return suite.ItemByID(uint16(s))
}

// valid says whether s is one of the suites above.
func (s Suite) valid() bool { return s.row() != nil }

// SignsSymmetrically says whether the suite is one of items, whose wrapped keys each come
// with a symmetric signing key.
func (s Suite) SignsSymmetrically() bool { return suite.ItemByID(uint16(s)) != nil }

// DataKeyLen returns the length of the suite's data key in bytes: 16, 24 or 32. It is
// zero if s is none of the suites above.
func (s Suite) DataKeyLen() int {
	if r := s.row(); r != nil {
		return r.KeyLen
	}
	return 0
}

// Commits says whether messages carry a commitment to their data key, so that
// no second key can open them to another plaintext.
func (s Suite) Commits() bool {
	r := s.row()
	return r != nil && r.Commits
}

// Signs says whether messages end in a signature.
func (s Suite) Signs() bool {
	r := s.row()
	return r != nil && r.Signs()
}

// DerivesKey says whether each message is encrypted under a key of its own that
// is derived from the data key. Where it is not, a data key must serve one
// message only: a second one would repeat AES-GCM nonces.
func (s Suite) DerivesKey() bool {
	r := s.row()
	return r != nil && r.KDF != 0
}

// reserves says whether callers may not have a key in their contexts. The contexts of items
// have many pairs of the format, which those give who encrypt items, and the manager adds
// the public key alone.
func (s Suite) reserves(key string) bool {
	if s.SignsSymmetrically() {
		return key == publicKeyPair
	}
	return strings.HasPrefix(key, reservedPrefix)
}

// String returns the suite's ID and its parts, for people to read.
func (s Suite) String() string {
	if r := s.row(); r != nil {
		return fmt.Sprintf("0x%04X (%s)", uint16(s), r.Name)
	}
	return fmt.Sprintf("0x%04X (unknown suite)", uint16(s))
}
