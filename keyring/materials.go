package keyring

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-sealring/sealring/internal/ecdhwrap"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
)

// An EncryptedDataKey is a data key wrapped by one wrapping key, as a message's
// header carries it. None of its fields is secret, and none is authenticated
// before the key has been unwrapped and the header verified.
type EncryptedDataKey struct {
	// ProviderID names the kind of keyring: "aws-kms", "raw-ecdh", or the
	// namespace of a raw AES or RSA keyring. UTF-8, at most 65,535 bytes.
	ProviderID string

	// ProviderInfo tells keyrings of that kind which wrapping key it is: for
	// AWS KMS the key's ARN. At most 65,535 bytes.
	ProviderInfo []byte

	// Ciphertext is the wrapped key. At most 65,535 bytes.
	Ciphertext []byte
}

// KeyName returns the name of the wrapping key for people to read: an ARN, a
// raw key's name, the recipient's public key in hexadecimal for key agreement.
// It is made of bytes that anybody may have written, and empty if they are no
// name.
func (k EncryptedDataKey) KeyName() string {
	if k.ProviderID == ecdhwrap.RawProviderID || k.ProviderID == ecdhwrap.KMSProviderID {
		info, err := ecdhwrap.ParseInfo(k.ProviderInfo)
		if err != nil {
			return ""
		}
		return hex.EncodeToString(info.Recipient)
	}
	name := k.ProviderInfo
	if at := len(name) - rawAESInfoLen; at > 0 &&
		binary.BigEndian.Uint32(name[at:]) == 8*suite.TagLen &&
		binary.BigEndian.Uint32(name[at+4:]) == suite.IVLen {
		name = name[:at]
	}
	if !utf8.Valid(name) {
		return ""
	}
	return string(name)
}

// KeyVersion returns the version of the branch key that wrapped the data key, a UUID in
// lower case, whose KeyName is the branch key's ID. It is empty for other kinds of keys, and
// for the wrapped keys of items. It too is made of bytes that anybody may have written.
func (k EncryptedDataKey) KeyVersion() string {
	// Salt, IV, version, and the sealed data key with its tag. What is longer than any such
	// has the data key of an item before it.
	const at, n, maxKey = 16 + suite.IVLen, 16, 32
	sealed := len(k.Ciphertext) - at - n - suite.TagLen
	if k.ProviderID != "aws-kms-hierarchy" || sealed <= 0 || sealed > maxKey {
		return ""
	}
	v := k.Ciphertext[at : at+n]
	return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
}

// EncryptionMaterials are what one message is encrypted with.
//
// They belong to whoever asked for them and are not safe for concurrent use.
// The data key and the signing keys are secret.
type EncryptionMaterials struct {
	// Suite is the algorithm suite to encrypt with; never zero.
	Suite Suite

	// Context is the whole encryption context: what wrapping keys are bound to.
	Context EncryptionContext

	// RequiredKeys are the keys of those pairs of Context that are
	// authenticated but not stored in the message.
	RequiredKeys []string

	// DataKey is the plaintext data key, Suite.DataKeyLen bytes; nil until a
	// keyring has set it.
	DataKey []byte

	// EncryptedDataKeys are the wrapped forms of DataKey.
	EncryptedDataKeys []EncryptedDataKey

	// SigningKey signs the message, in suites that do.
	SigningKey *ecdsa.PrivateKey

	// SymmetricSigningKeys are keys for HMAC-SHA384 of 32 bytes, one for each of
	// EncryptedDataKeys and in their order, in suites that sign symmetrically: whoever
	// unwraps a data key has the one that stands beside it.
	SymmetricSigningKeys [][]byte

	serialized *[]byte // by Serialize; a pointer keeps copies short
}

// GenerateDataKey sets DataKey to new random bytes of the suite's length.
func (m *EncryptionMaterials) GenerateDataKey() {
	m.DataKey = make([]byte, m.Suite.DataKeyLen())
	rand.Read(m.DataKey) // never fails: it ends the program instead
}

// Stored returns what a message's header stores of the materials, in serialized
// form: the pairs of Context without the required ones, and EncryptedDataKeys. It
// fails where the format does not hold them, with an error that wraps
// envelope.ErrLimit or envelope.ErrMalformed. The result may be shared, and is not
// to be changed.
func (m *EncryptionMaterials) Stored() ([]byte, error) {
	if m.serializedHolds() {
		return *m.serialized, nil
	}
	stored, _ := message.SplitContext(m.Context, m.RequiredKeys)
	return message.AppendStored(nil, stored, m.EncryptedDataKeys)
}

// Serialize keeps the result of Stored in the materials, and in copies that are made of
// them from then on, so that Stored need not make it for each message. A manager that
// hands out the same materials more than once calls it. It has no effect if there are
// RequiredKeys. The fields may still be changed: Stored compares them with what is kept.
func (m *EncryptionMaterials) Serialize() error {
	m.serialized = nil
	b, err := m.Stored()
	if err == nil {
		m.serialized = &b
	}
	return err
}

// serializedHolds says whether what Serialize has kept still fits the fields.
func (m *EncryptionMaterials) serializedHolds() bool {
	return m.serialized != nil && len(m.RequiredKeys) == 0 &&
		message.StoresJust(*m.serialized, m.Context) && message.StoresKeys(*m.serialized, m.EncryptedDataKeys)
}

// Clear overwrites the data key and the symmetric signing keys, and drops them and the
// signing key. Whoever asked for the materials calls it when done.
func (m *EncryptionMaterials) Clear() {
	if m == nil {
		return
	}
	clear(m.DataKey)
	m.DataKey = nil
	m.SigningKey = nil
	for _, key := range m.SymmetricSigningKeys {
		clear(key)
	}
	m.SymmetricSigningKeys = nil
}

// Check returns nil if the materials answer req, and an error that wraps
// [ErrInvalidMaterials] or, where policy refuses the suite, [ErrPolicy] if not.
// Clients check every set of materials with it, wherever it came from.
func (m *EncryptionMaterials) Check(req EncryptionRequest) error {
	if m == nil {
		return badMaterials("none")
	}
	if err := checkDataKey(m.Suite, m.DataKey); err != nil {
		return err
	}
	if err := req.CommitmentPolicy.CheckEncrypt(m.Suite); err != nil {
		return err
	}
	switch {
	case req.Suite != 0 && m.Suite != req.Suite:
		return badMaterials("suite %v where %v was asked for", m.Suite, req.Suite)
	case len(m.EncryptedDataKeys) == 0:
		return badMaterials("no encrypted data key")
	case isZero(m.DataKey):
		// A manager handed out a slice that it shares, and somebody has cleared it.
		return badMaterials("the data key is all zeros, as after Clear")
	case m.Suite.Signs() != (m.SigningKey != nil):
		return badMaterials("suite %v with a signing key: %t", m.Suite, m.SigningKey != nil)
	case m.SigningKey != nil && m.SigningKey.Curve != m.Suite.row().Curve:
		return badMaterials("signing key on another curve than suite %v", m.Suite)
	case m.Suite.SignsSymmetrically() && req.Suite == 0:
		return badMaterials("suite %v, of items, for a message", m.Suite)
	}
	if err := m.checkSymmetricKeys(); err != nil {
		return err
	}
	encoded, ok := m.Context[publicKeyPair]
	switch {
	case ok != m.Suite.Signs():
		return badMaterials("suite %v with the pair %q in the encryption context: %t", m.Suite, publicKeyPair, ok)
	case ok && encoded != encodePublicKey(&m.SigningKey.PublicKey):
		return badMaterials("pair %q is not the signing key's public half", publicKeyPair)
	case slices.Contains(m.RequiredKeys, publicKeyPair):
		return badMaterials("pair %q would not be stored in the message", publicKeyPair)
	}
	if m.storesJust(&req) {
		return nil
	}
	for k, v := range req.Context {
		if got, ok := m.Context[k]; !ok || got != v {
			return badMaterials("the caller's pair %q is missing from the encryption context or changed", k)
		}
	}
	for _, k := range req.RequiredKeys {
		if !slices.Contains(m.RequiredKeys, k) {
			return badMaterials("required context key %q was dropped", k)
		}
	}
	return checkRequired(m.RequiredKeys, m.Context)
}

func (m *EncryptionMaterials) checkSymmetricKeys() error {
	want := 0
	if m.Suite.SignsSymmetrically() {
		want = len(m.EncryptedDataKeys)
	}
	if len(m.SymmetricSigningKeys) != want {
		return badMaterials("%d symmetric signing keys with suite %v and %d encrypted data keys",
			len(m.SymmetricSigningKeys), m.Suite, len(m.EncryptedDataKeys))
	}
	for _, key := range m.SymmetricSigningKeys {
		if len(key) != symmetricSigningKeyLen || isZero(key) {
			return badMaterials("a symmetric signing key of %d bytes, or all zeros", len(key))
		}
	}
	return nil
}

// storesJust says whether the header will store the caller's context and nothing else. It
// is false if that is not cheap to tell.
func (m *EncryptionMaterials) storesJust(req *EncryptionRequest) bool {
	return len(m.RequiredKeys) == 0 && len(req.RequiredKeys) == 0 && m.serialized != nil &&
		message.StoresJust(*m.serialized, req.Context) && message.StoresJust(*m.serialized, m.Context)
}

// DecryptionMaterials are what one message is decrypted with.
//
// They belong to whoever asked for them and are not safe for concurrent use.
// The data key and the symmetric signing key are secret.
type DecryptionMaterials struct {
	// Suite is the message's algorithm suite.
	Suite Suite

	// Context is the whole encryption context: the pairs stored in the message
	// and those that the caller reproduced.
	Context EncryptionContext

	// RequiredKeys are the keys of the pairs of Context that the message does
	// not store. The header's tag authenticates them.
	RequiredKeys []string

	// DataKey is the plaintext data key, Suite.DataKeyLen bytes; nil until a
	// keyring has set it.
	DataKey []byte

	// VerificationKey verifies the message's signature, in suites that sign.
	VerificationKey *ecdsa.PublicKey

	// SymmetricSigningKey is the key of 32 bytes for HMAC-SHA384 that came with the data
	// key, in suites that sign symmetrically. A keyring leaves it alone.
	SymmetricSigningKey []byte
}

// Clear overwrites the data key and the symmetric signing key, and drops them. Whoever
// asked for the materials calls it when done.
func (m *DecryptionMaterials) Clear() {
	if m == nil {
		return
	}
	clear(m.DataKey)
	m.DataKey = nil
	clear(m.SymmetricSigningKey)
	m.SymmetricSigningKey = nil
}

// Check returns nil if the materials answer req, and an error that wraps
// [ErrInvalidMaterials] if not, [ErrPolicy] where policy refuses the suite,
// [ErrContextMismatch] where the message contradicts a reproduced pair, or
// envelope.ErrMalformed where the message's suite and its context disagree on
// whether it is signed. Clients check every set of materials with it, wherever
// it came from.
func (m *DecryptionMaterials) Check(req DecryptionRequest) error {
	if m == nil {
		return badMaterials("none")
	}
	if err := checkDataKey(m.Suite, m.DataKey); err != nil {
		return err
	}
	if err := req.CommitmentPolicy.CheckDecrypt(m.Suite); err != nil {
		return err
	}
	switch {
	case m.Suite != req.Suite:
		return badMaterials("suite %v for a message of suite %v", m.Suite, req.Suite)
	case m.Suite.Signs() != (m.VerificationKey != nil):
		return badMaterials("suite %v with a verification key: %t", m.Suite, m.VerificationKey != nil)
	case m.VerificationKey != nil && m.VerificationKey.Curve != m.Suite.row().Curve:
		return badMaterials("verification key on another curve than suite %v", m.Suite)
	case m.Suite.SignsSymmetrically() && (len(m.SymmetricSigningKey) != symmetricSigningKeyLen || isZero(m.SymmetricSigningKey)),
		!m.Suite.SignsSymmetrically() && m.SymmetricSigningKey != nil:
		return badMaterials("suite %v with a symmetric signing key of %d bytes, or all zeros", m.Suite, len(m.SymmetricSigningKey))
	}
	// Whoever can decrypt could make an unsigned message of a signed one, under the same
	// data key. Its context would still have the pair, since wrapped keys are bound to
	// that: so a suite and a pair that do not fit each other are an error.
	var encoded string
	if m.VerificationKey != nil {
		encoded = encodePublicKey(m.VerificationKey)
	}
	stored, signs := message.FindPair(req.Stored, publicKeyPair)
	if err := checkPublicKeyPair(m.Suite, signs); err != nil {
		return err
	}
	if m.VerificationKey != nil && string(stored) != encoded {
		return badMaterials("verification key is not the one that the message names")
	}
	if message.Confirms(req.Stored, req.Reproduced, m.Context) {
		return checkRequired(m.RequiredKeys, m.Context)
	}
	for k, v := range req.Reproduced {
		stored, isStored := message.FindPair(req.Stored, k)
		if isStored && string(stored) != v {
			return message.AnotherValue(k)
		}
		if got, ok := m.Context[k]; !ok || got != v {
			return badMaterials("the caller's pair %q is missing from the encryption context or changed", k)
		}
		// A pair that is neither stored nor required would not be authenticated.
		if !isStored && !slices.Contains(m.RequiredKeys, k) {
			return badMaterials("the caller's pair %q would not be authenticated", k)
		}
	}
	return checkRequired(m.RequiredKeys, m.Context)
}

func checkDataKey(s Suite, key []byte) error {
	if !s.valid() {
		return badMaterials("suite %v", s)
	}
	if len(key) != s.DataKeyLen() {
		return badMaterials("data key is %d bytes, suite %v takes %d", len(key), s, s.DataKeyLen())
	}
	return nil
}

// checkPublicKeyPair checks that a message stores a public key if it is signed,
// and only then.
func checkPublicKeyPair(s Suite, stored bool) error {
	if stored != s.Signs() {
		if stored {
			return fmt.Errorf("%w: suite %v has no signature, yet the encryption context has the pair %q", message.ErrMalformed, s, publicKeyPair)
		}
		return fmt.Errorf("%w: suite %v needs the pair %q in the encryption context", message.ErrMalformed, s, publicKeyPair)
	}
	return nil
}

func isZero(key []byte) bool {
	var or byte
	for _, b := range key {
		or |= b
	}
	return or == 0
}

func checkRequired(required []string, context EncryptionContext) error {
	for _, k := range required {
		if _, ok := context[k]; !ok {
			return badMaterials("required key %q is not in the encryption context", k)
		}
	}
	return nil
}

func badMaterials(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidMaterials, fmt.Sprintf(format, args...))
}

// checkName returns an error for a namespace or name of a raw keyring that a header cannot
// hold.
func checkName(what, s string, most int) error {
	switch {
	case s == "":
		return invalid("%s is empty", what)
	case !utf8.ValidString(s):
		return invalid("%s is not UTF-8", what)
	case len(s) > most:
		return invalid("%s is %d bytes, at most %d fit", what, len(s), most)
	}
	return nil
}

// checkNamespace is checkName for a namespace, which must not look like the provider ID of
// a KMS keyring.
func checkNamespace(s string) error {
	if strings.HasPrefix(s, "aws-kms") {
		return invalid("namespace %q: those that begin with \"aws-kms\" belong to the KMS keyrings", s)
	}
	return checkName("namespace", s, 1<<16-1)
}
