// Package tinkaead is the envelope client as a Tink AEAD, so that code written
// for tink.AEAD moves over by changing one constructor.
//
//	var a tink.AEAD
//	a, err = tinkaead.New(kr, nil) // was: aead.New(handle)
//	if err != nil {
//		log.Fatal(err)
//	}
//	ciphertext, err := a.Encrypt(plaintext, associatedData)
//	if err != nil {
//		log.Fatal(err)
//	}
//
// A ciphertext is a message of package envelope. It is not Tink's: what Tink
// wrote has to be decrypted with Tink and encrypted again. Of Tink only the
// interfaces are imported, so that the package also works in programs on the
// archived github.com/google/tink/go, which cannot be linked beside the rest.
//
// # Associated data
//
// Associated data becomes one pair of the message's encryption context: the key
// is [AssociatedDataKey], the value its bytes in base64 (standard alphabet, with
// padding), since a context holds only text. The pair is authenticated and not
// stored. Nil and empty are the same, and give the pair an empty value. Any
// client that is given the pair reads the messages, AWS's included.
//
// Not stored in the message does not mean not seen: a keyring gets the whole
// context, and AWS KMS writes it to its audit log. A keyring may also take a
// shorter context than the format does, as AWS KMS and other services do; then
// it is its error that Encrypt returns.
//
// # What it costs
//
// A data key is wrapped for one encryption context, and so for one associated
// data. A key service is asked once for every call, and a cache of data keys
// helps only the calls whose associated data is equal: with a primary key or
// another value that differs for each record it never does. Where that is too
// slow or too dear, use package envelope with a context that names what records
// share, and keep what differs inside the plaintext.
//
// A message is longer than Tink's ciphertext by its header: the wrapped key and
// some hundred bytes.
package tinkaead

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// AssociatedDataKey is the key of the encryption context's pair that carries
// associated data.
const AssociatedDataKey = "tink-associated-data"

// MaxAssociatedDataLen is the longest associated data: 49,062 bytes. Its base64
// form fills the encryption context, which the format ends at 65,535 bytes,
// beside the pair's key and, in signed messages, the public key. It is the same
// for suites that do not sign, so that changing the suite makes nothing fail.
const MaxAssociatedDataLen = (maxContext - countOfPairs -
	(lengthsOfPair + len(AssociatedDataKey)) -
	(lengthsOfPair + len("aws-crypto-public-key") + publicKey)) / 4 * 3

const (
	maxContext    = 1<<16 - 1
	countOfPairs  = 2
	lengthsOfPair = 4
	publicKey     = 68 // base64 of a compressed point on P-384, the longest
)

// An AEAD encrypts and decrypts with an [envelope.Client]. It is a tink.AEAD and
// a tink.AEADWithContext, and safe for concurrent use.
type AEAD struct{ client *envelope.Client }

var (
	_ tink.AEAD            = (*AEAD)(nil)
	_ tink.AEADWithContext = (*AEAD)(nil)
)

// New returns an AEAD that asks the keyring for a data key for every call.
// Options may be nil; what is wrong with them or the keyring is the error that
// envelope.New has for it.
func New(k keyring.Keyring, o *envelope.Options) (*AEAD, error) {
	m, err := keyring.NewManager(k)
	if err != nil {
		return nil, err
	}
	return NewFromManager(m, o)
}

// NewFromManager is [New] over a materials manager, such as a cache. It sees to
// it that the pair with the associated data is not stored; the manager needs to
// know nothing of it. A manager that requires further context keys cannot be
// used: every call would fail for want of them.
func NewFromManager(m keyring.MaterialsManager, o *envelope.Options) (*AEAD, error) {
	required, err := keyring.NewRequiredContextManager(m, AssociatedDataKey)
	if err != nil {
		return nil, err
	}
	client, err := envelope.NewFromManager(required, o)
	if err != nil {
		return nil, err
	}
	return &AEAD{client}, nil
}

// Encrypt is [AEAD.EncryptWithContext] without a context: a call to a key
// service cannot be stopped, and has only the timeouts that the keyring sets.
func (a *AEAD) Encrypt(plaintext, associatedData []byte) ([]byte, error) {
	return a.EncryptWithContext(context.Background(), plaintext, associatedData)
}

// Decrypt is [AEAD.DecryptWithContext] without a context: a call to a key
// service cannot be stopped, and has only the timeouts that the keyring sets.
func (a *AEAD) Decrypt(ciphertext, associatedData []byte) ([]byte, error) {
	return a.DecryptWithContext(context.Background(), ciphertext, associatedData)
}

// EncryptWithContext returns plaintext as an encrypted message that is bound to
// associatedData. None of the arguments is kept or changed; the slices may be
// nil.
//
// Associated data past [MaxAssociatedDataLen] is [envelope.ErrLimit] and
// [envelope.ErrInvalidArgument]. Otherwise errors are those of envelope's
// Encrypt; the error of a ctx that is done is wrapped.
func (a *AEAD) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if err := checkLen(associatedData); err != nil {
		return nil, fmt.Errorf("tinkaead: encrypt: %w: %w", envelope.ErrInvalidArgument, err)
	}
	return a.client.Encrypt(ctx, plaintext, pair(associatedData))
}

// DecryptWithContext returns the plaintext of a message that was encrypted with
// the same associated data, once all of it has been verified. None of the
// arguments is kept or changed.
//
// Other associated data is [envelope.ErrContextMismatch], together with the
// error of the part that failed: it cannot be told from a wrong key or an altered
// header, and those are ErrContextMismatch too. Otherwise errors are those of
// envelope's Decrypt; the error of a ctx that is done is wrapped.
func (a *AEAD) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if err := checkLen(associatedData); err != nil {
		return nil, fmt.Errorf("tinkaead: decrypt: %w: %w", envelope.ErrContextMismatch, err)
	}
	return a.client.Decrypt(ctx, ciphertext, pair(associatedData))
}

func checkLen(associatedData []byte) error {
	if n := len(associatedData); n > MaxAssociatedDataLen {
		return fmt.Errorf("%w: associated data of %d bytes, the most is %d", envelope.ErrLimit, n, MaxAssociatedDataLen)
	}
	return nil
}

func pair(associatedData []byte) keyring.EncryptionContext {
	return keyring.EncryptionContext{AssociatedDataKey: base64.StdEncoding.EncodeToString(associatedData)}
}
