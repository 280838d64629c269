package keyring

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/message"
)

// An EncryptionManager supplies the materials for a message to be written.
type EncryptionManager interface {
	// EncryptionMaterials returns materials that answer req: they pass
	// [EncryptionMaterials.Check]. They are the caller's, to be cleared when
	// done: a manager that keeps materials hands out copies, with a data key of
	// their own. With a suite that
	// does not derive keys, a data key must never be handed out twice.
	EncryptionMaterials(ctx context.Context, req EncryptionRequest) (*EncryptionMaterials, error)
}

// A DecryptionManager supplies the materials for a message to be read.
type DecryptionManager interface {
	// DecryptionMaterials returns materials that answer req: they pass
	// [DecryptionMaterials.Check]. They are the caller's, to be cleared when
	// done: a manager that keeps materials hands out copies, with a data key of
	// their own.
	DecryptionMaterials(ctx context.Context, req DecryptionRequest) (*DecryptionMaterials, error)
}

// A MaterialsManager stands between a client and its keyring. It makes signing
// keys, checks contexts and policies, and may keep data keys for reuse. The
// specification calls it a cryptographic materials manager.
//
// Its methods are safe for concurrent use.
type MaterialsManager interface {
	EncryptionManager
	DecryptionManager
}

// An EncryptionRequest says what materials are wanted for. What it refers to is the
// caller's: managers do not change it, and clone what they keep.
type EncryptionRequest struct {
	// Suite is the suite to use; zero leaves it to the commitment policy.
	Suite Suite

	// CommitmentPolicy is the policy in force.
	CommitmentPolicy CommitmentPolicy

	// Context is the caller's encryption context.
	Context EncryptionContext

	// RequiredKeys are keys of Context whose pairs are not to be stored in the
	// message.
	RequiredKeys []string

	// PlaintextLength is the length of the plaintext in bytes, or an upper
	// bound of it; -1 when unknown.
	PlaintextLength int64

	// Fresh asks for materials that were never kept and will not be: a manager that keeps
	// materials passes the request on. envelope.Client.Check sets it, to learn what the
	// keyring answers now.
	Fresh bool
}

// A DecryptionRequest says what materials are wanted for. What it refers to is the
// caller's: managers do not change it, and clone what they keep.
type DecryptionRequest struct {
	// Suite is the message's suite.
	Suite Suite

	// CommitmentPolicy is the policy in force.
	CommitmentPolicy CommitmentPolicy

	// Stored is what the message's header says of its data key, not yet
	// authenticated: the serialized encryption context behind its length, and the
	// wrapped keys behind their count, as [EncryptionMaterials.Stored] returns them.
	// Parse reads it.
	Stored []byte

	// Reproduced holds the pairs that the caller expects. Those that the message
	// stores must be equal there; the others must have been authenticated, but
	// not stored, when the message was written.
	Reproduced EncryptionContext

	// Fresh is as in [EncryptionRequest].
	Fresh bool
}

// Parse returns what Stored holds: the pairs that the message stores, and its wrapped
// keys, which refer to Stored. Nothing of it is authenticated. It fails with an error
// that wraps envelope.ErrMalformed or io.ErrUnexpectedEOF.
func (r *DecryptionRequest) Parse() (EncryptionContext, []EncryptedDataKey, error) {
	return message.ParseStored[EncryptedDataKey](r.Stored)
}

// defaultEncryptionManager is the encrypting half of [defaultManager].
type defaultEncryptionManager struct{ keyring Encrypter }

// defaultDecryptionManager is the decrypting half of [defaultManager].
type defaultDecryptionManager struct{ keyring Decrypter }

// defaultManager asks a keyring for every message.
type defaultManager struct {
	defaultEncryptionManager
	defaultDecryptionManager
}

// NewManager returns the default manager for a keyring, the one that envelope.New puts
// around it: the keyring is asked for every message. The error of a keyring that is nil
// is [ErrInvalidArgument].
//
// To encrypt, it makes a new key pair for a suite that signs, and puts the public half
// into the encryption context. A context that [EncryptionContext.Validate] refuses and
// an unknown suite are ErrInvalidArgument; a suite that the policy refuses is
// [ErrPolicy].
//
// To decrypt, a reproduced pair that is stored with another value is
// [ErrContextMismatch], and the keyring is not asked. When the keyring can unwrap
// nothing and there are reproduced pairs that the message does not store, they may be
// the reason, so that error is ErrContextMismatch too, unless it is [ErrUnavailable].
func NewManager(k Keyring) (MaterialsManager, error) {
	if k == nil {
		return nil, invalid("keyring is nil")
	}
	return &defaultManager{defaultEncryptionManager{k}, defaultDecryptionManager{k}}, nil
}

// NewEncryptionManager returns the default manager for a keyring that can
// only encrypt.
func NewEncryptionManager(k Encrypter) (EncryptionManager, error) {
	if k == nil {
		return nil, invalid("keyring is nil")
	}
	return &defaultEncryptionManager{k}, nil
}

// NewDecryptionManager returns the default manager for a keyring that can
// only decrypt.
func NewDecryptionManager(k Decrypter) (DecryptionManager, error) {
	if k == nil {
		return nil, invalid("keyring is nil")
	}
	return &defaultDecryptionManager{k}, nil
}

// EncryptionMaterials implements [EncryptionManager].
func (d *defaultEncryptionManager) EncryptionMaterials(ctx context.Context, req EncryptionRequest) (*EncryptionMaterials, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := req.Suite
	if s == 0 {
		s = req.CommitmentPolicy.DefaultSuite()
	}
	if !s.valid() {
		return nil, invalid("suite %v", s)
	}
	if err := req.CommitmentPolicy.CheckEncrypt(s); err != nil {
		return nil, err
	}
	if err := req.Context.validateFor(s); err != nil {
		return nil, err
	}
	for _, k := range req.RequiredKeys {
		if _, ok := req.Context[k]; !ok {
			return nil, invalid("encryption context: key %q is required and missing", k)
		}
	}

	m := &EncryptionMaterials{
		Suite:        s,
		Context:      maps.Clone(req.Context),
		RequiredKeys: slices.Clone(req.RequiredKeys),
	}
	if curve := s.row().Curve; curve != nil {
		var key *ecdsa.PrivateKey
		var err error
		erase.After(func() { key, err = ecdsa.GenerateKey(curve, rand.Reader) })
		if err != nil {
			return nil, fmt.Errorf("signing key: %w", err)
		}
		m.SigningKey = key
		if m.Context == nil {
			m.Context = EncryptionContext{}
		}
		m.Context[publicKeyPair] = encodePublicKey(&key.PublicKey)
		// Only now is the context as long as it will be in the message.
		if err := message.CheckContext(m.Context); err != nil {
			return nil, invalid("%v, %d of them for the signature's public key", err, len(publicKeyPair)+4+len(m.Context[publicKeyPair]))
		}
	}
	if err := onEncrypt(ctx, d.keyring, m); err != nil {
		m.Clear()
		return nil, err
	}
	req.Suite = s
	if err := m.Check(req); err != nil {
		m.Clear()
		return nil, err
	}
	return m, nil
}

// DecryptionMaterials compares the contexts, takes the verification key from
// the stored one, and has the keyring unwrap the data key.
func (d *defaultDecryptionManager) DecryptionMaterials(ctx context.Context, req DecryptionRequest) (*DecryptionMaterials, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !req.Suite.valid() {
		return nil, invalid("suite %v", req.Suite)
	}
	if err := req.CommitmentPolicy.CheckDecrypt(req.Suite); err != nil {
		return nil, err
	}
	stored, keys, err := req.Parse()
	if err != nil {
		return nil, err
	}
	whole, required, err := reproduce(req.Suite, stored, req.Reproduced)
	if err != nil {
		return nil, err
	}
	m := &DecryptionMaterials{Suite: req.Suite, Context: whole, RequiredKeys: required}

	_, signs := stored[publicKeyPair]
	if err := checkPublicKeyPair(req.Suite, signs); err != nil {
		return nil, err
	}
	if curve := req.Suite.row().Curve; curve != nil {
		if m.VerificationKey, err = decodePublicKey(curve, stored[publicKeyPair]); err != nil {
			return nil, fmt.Errorf("%w: pair %q: %v", message.ErrMalformed, publicKeyPair, err)
		}
	}
	if err := onDecrypt(ctx, d.keyring, m, keys); err != nil {
		if len(required) > 0 && errors.Is(err, ErrNoMatchingKey) && !errors.Is(err, ErrUnavailable) {
			return nil, message.NotStored(err, required)
		}
		return nil, err
	}
	if err := m.Check(req); err != nil {
		m.Clear()
		return nil, err
	}
	return m, nil
}

// reproduce returns the whole encryption context of a message: stored, with the pairs of
// reproduced that it lacks added to it. It also returns the keys of those pairs, sorted.
func reproduce(s Suite, stored, reproduced EncryptionContext) (whole EncryptionContext, required []string, err error) {
	for k, v := range reproduced {
		got, ok := stored[k]
		switch {
		case ok && got != v:
			return nil, nil, message.AnotherValue(k)
		case !ok && s.reserves(k):
			return nil, nil, fmt.Errorf("%w: reserved key %q is not in the message", ErrContextMismatch, k)
		case !ok:
			required = append(required, k)
		}
	}
	whole = stored
	if required == nil {
		return whole, nil, nil
	}
	slices.Sort(required)
	if whole == nil {
		whole = make(EncryptionContext, len(required))
	}
	maps.Copy(whole, reproduced)
	if err := message.CheckContext(whole); err != nil {
		// It is the caller's fault only if the expected pairs alone are too long. Else the
		// sender has chosen what is stored.
		if message.CheckContext(reproduced) != nil {
			return nil, nil, invalid("%v", err)
		}
		return nil, nil, fmt.Errorf("%w: no message has what is stored and what is expected: %v", ErrContextMismatch, err)
	}
	return whole, required, nil
}

func encodePublicKey(k *ecdsa.PublicKey) string {
	return base64.StdEncoding.EncodeToString(elliptic.MarshalCompressed(k.Curve, k.X, k.Y))
}

func decodePublicKey(curve elliptic.Curve, encoded string) (*ecdsa.PublicKey, error) {
	point, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("not base64")
	}
	x, y := elliptic.UnmarshalCompressed(curve, point)
	if x == nil {
		return nil, fmt.Errorf("not a compressed point on %s", curve.Params().Name)
	}
	key := &ecdsa.PublicKey{Curve: curve, X: x, Y: y}
	// The decoder passes over line breaks, and over bits that stand for nothing.
	if encodePublicKey(key) != encoded {
		return nil, errors.New("base64 that no writer makes: with line breaks, or spare bits that are not zero")
	}
	return key, nil
}
