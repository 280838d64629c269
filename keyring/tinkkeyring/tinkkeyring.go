// Package tinkkeyring wraps data keys with a Tink AEAD: a keyset that the
// program holds, or a key in another cloud's key service through Tink's client
// for it.
//
//	wrapping, err := aead.New(handle) // github.com/tink-crypto/tink-go/v2/aead
//	if err != nil {
//		log.Fatal(err)
//	}
//	kr, err := tinkkeyring.New("payments", "tink-2026", wrapping)
//	if err != nil {
//		log.Fatal(err)
//	}
//	client, err := envelope.New(kr, nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//
// Only this library reads the wrapped keys that it makes. Where others must read
// the messages too, combine it with another keyring under keyring.NewMulti.
//
// # Rotation
//
// A wrapped key names the keyring, not the key inside a Tink keyset: Tink itself
// finds that. Add a key to the keyset, make it primary and keep the keyring's
// namespace and name: new messages use the new key, and old ones stay readable
// until the old key is disabled or deleted in the keyset.
package tinkkeyring

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-sealring/sealring/keyring"
)

// maxField is the longest field of a wrapped key: the format counts its bytes
// with 16 bits.
const maxField = 1<<16 - 1

// Keyring wraps data keys with an AEAD. It is safe for concurrent use.
type Keyring struct {
	namespace, name string
	aead            AEADWithContext
}

var _ keyring.Keyring = (*Keyring)(nil)

// New returns a keyring that wraps data keys with aead. Wrapped keys are bound
// to the encryption context, whose serialized form is the AEAD's associated
// data; that is at most 65,535 bytes, and a key service may take less.
//
// If aead is an [AEADWithContext] too, those methods are used and get the
// caller's context. Otherwise a call to it cannot be stopped: a context that is
// done is seen before and after. For a value that has only the methods with a
// context use [NewWithContext].
//
// Namespace and name find the key again among a message's wrapped keys: they are
// its provider ID and provider info, and are stored in it in the clear. They must
// be UTF-8, 1 to 65,535 bytes long, and should differ for different AEADs; the
// namespace must not begin with "aws-kms". What does not follow this, and an
// aead that is nil, is [keyring.ErrInvalidArgument].
//
// A raw RSA keyring of the same namespace and name cannot be told apart in a
// message, nor can another AEAD. Each then tries the other's wrapped keys too.
// This keyring finds that they do not authenticate and goes on to the next one,
// so that nothing wrong is unwrapped, but it is one more call to the AEAD and one
// more reason in the error when none fits; RSA keyrings with PKCS #1 v1.5 can
// even, rarely, unwrap a wrong key, which the message's header then shows. Raw
// AES keyrings never collide: their provider info is longer.
//
// Each wrapped key under this namespace and name costs one call to the AEAD
// until one unwraps. Anybody can write such a message; the client's
// MaxEncryptedDataKeys bounds the calls.
//
// Every data key is one encryption under aead, which counts towards the limit of
// its key: 2^32 for Tink's AES-GCM.
func New(namespace, name string, aead AEAD) (*Keyring, error) {
	if aead == nil {
		return nil, invalid("AEAD is nil")
	}
	if withContext, ok := aead.(AEADWithContext); ok {
		return NewWithContext(namespace, name, withContext)
	}
	return NewWithContext(namespace, name, contextless{aead})
}

// NewWithContext is [New] for a value that has only the methods with a context,
// such as Tink's KMSEnvelopeAEADWithContext. The two make the same wrapped keys.
func NewWithContext(namespace, name string, aead AEADWithContext) (*Keyring, error) {
	if strings.HasPrefix(namespace, "aws-kms") {
		return nil, invalid("namespace %q: those that begin with \"aws-kms\" belong to the KMS keyrings", namespace)
	}
	if err := errors.Join(checkName("namespace", namespace), checkName("name", name)); err != nil {
		return nil, err
	}
	if aead == nil {
		return nil, invalid("AEAD is nil")
	}
	return &Keyring{namespace, name, aead}, nil
}

func checkName(what, s string) error {
	switch {
	case s == "":
		return invalid("%s is empty", what)
	case !utf8.ValidString(s):
		return invalid("%s is not UTF-8", what)
	case len(s) > maxField:
		return invalid("%s is %d bytes, at most %d fit", what, len(s), maxField)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("tinkkeyring: %w: %s", keyring.ErrInvalidArgument, fmt.Sprintf(format, args...))
}

// String returns the namespace and the name, for people to read.
func (k *Keyring) String() string { return fmt.Sprintf("Tink AEAD %q/%q", k.namespace, k.name) }

// OnEncrypt implements [keyring.Encrypter]. The AEAD's error is wrapped.
//
// A ctx that is done fails the call with ctx's error, also when the AEAD took no
// notice of it.
func (k *Keyring) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.Suite.DataKeyLen() == 0 {
		return fmt.Errorf("%v: %w: suite %v", k, keyring.ErrInvalidArgument, m.Suite)
	}
	// m is changed only at the end, even if the AEAD panics.
	work := keyring.EncryptionMaterials{Suite: m.Suite, DataKey: m.DataKey}
	if m.DataKey == nil {
		work.GenerateDataKey()
	}
	wrapped, err := k.wrap(ctx, work.DataKey, m.Context)
	if err != nil {
		if m.DataKey == nil {
			clear(work.DataKey)
		}
		return fmt.Errorf("%v: %w", k, err)
	}
	m.DataKey = work.DataKey
	m.EncryptedDataKeys = append(m.EncryptedDataKeys, keyring.EncryptedDataKey{
		ProviderID:   k.namespace,
		ProviderInfo: []byte(k.name),
		Ciphertext:   wrapped,
	})
	return nil
}

func (k *Keyring) wrap(ctx context.Context, dataKey []byte, ec keyring.EncryptionContext) ([]byte, error) {
	associated, err := ec.AppendBinary([]byte{})
	if err != nil {
		return nil, err
	}
	wrapped, err := k.aead.EncryptWithContext(ctx, dataKey, associated)
	if done := ctx.Err(); done != nil {
		return nil, because(done, err)
	}
	if err != nil {
		return nil, err
	}
	if n := len(wrapped); n == 0 || n > maxField {
		return nil, fmt.Errorf("%w: the AEAD's ciphertext is %d bytes, it must be 1 to %d", keyring.ErrInvalidMaterials, n, maxField)
	}
	return wrapped, nil
}

// OnDecrypt implements [keyring.Decrypter]. The AEAD's errors are among the
// reasons of the [keyring.NoMatchError].
//
// A ctx that is done fails the call with ctx's error and no NoMatchError, also
// when the AEAD took no notice of it or reported something else.
func (k *Keyring) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.DataKey != nil {
		return fmt.Errorf("%v: %w: the materials already have a data key", k, keyring.ErrInvalidArgument)
	}
	associated, err := m.Context.AppendBinary([]byte{})
	if err != nil {
		return fmt.Errorf("%v: %w", k, err)
	}
	var reasons []error
	for i, edk := range keys {
		if edk.ProviderID != k.namespace || string(edk.ProviderInfo) != k.name {
			continue
		}
		dataKey, err := k.aead.DecryptWithContext(ctx, edk.Ciphertext, associated)
		if done := ctx.Err(); done != nil {
			clear(dataKey)
			return fmt.Errorf("%v: %w", k, because(done, err))
		}
		if err == nil && len(dataKey) != m.Suite.DataKeyLen() {
			err = fmt.Errorf("holds %d bytes, suite %v takes %d", len(dataKey), m.Suite, m.Suite.DataKeyLen())
		}
		if err != nil {
			clear(dataKey)
			reasons = append(reasons, fmt.Errorf("encrypted data key %d: %w", i+1, err))
			continue
		}
		m.DataKey = dataKey
		return nil
	}
	return keyring.NoMatch(k.String(), keys, reasons...)
}

// because returns the error of a context that is done, with what the AEAD said.
// Clients of key services have errors of their own for it, which errors.Is does
// not take for the context's.
func because(done, err error) error {
	switch {
	case err == nil:
		return done
	case errors.Is(err, done):
		return err
	default:
		return fmt.Errorf("%w: %w", done, err)
	}
}
