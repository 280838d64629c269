// Package envelope encrypts bytes and streams under data keys that a keyring
// makes, in the AWS Encryption SDK's message format. AWS's releases for Go (v0.4.0), Python
// (4.0.7), JavaScript (5.0.2), Java (3.0.2) and Rust (1.2.4) and this package read each
// other's messages, and AWS's official test vectors are read: tests hold that. AWS's other
// SDKs have the same format by specification.
//
//	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
//	if err != nil {
//		log.Fatal(err)
//	}
//	client, err := envelope.New(kr, nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//
//	ec := keyring.EncryptionContext{"tenant": "42", "table": "patients"}
//	msg, err := client.Encrypt(ctx, plaintext, ec)
//	if err != nil {
//		log.Fatal(err)
//	}
//	plaintext, err = client.Decrypt(ctx, msg, ec)
//	if err != nil {
//		log.Fatal(err)
//	}
//
// [Encrypter.NewWriter] and [Decrypter.NewReader] do the same for streams of any
// length in constant memory. [Encrypter.NewEncryptReader] is for uploads, which read what
// they send, and [Decrypter.NewRangeReader] for ranges of objects in a store.
// [Decrypter.DecryptBatch] decrypts many messages at once,
// and has them wait for a key service together.
//
// # Encryption context
//
// The encryption context is authenticated with a message and stored in it in the
// clear. Pass it to Decrypt again, whole or in part: a message whose context
// contradicts it is refused, which is what keeps one tenant's or one row's
// ciphertext from being taken for another's.
//
// # What is released when
//
// Decrypt releases plaintext when the whole message has been verified. A Reader
// releases each frame when that frame has been verified. A message with a
// signature is verified as a whole only at its end: trust what a Reader gave
// only once it returned io.EOF.
//
// # FIPS 140-3
//
// The message format fixes the nonces of AES-GCM, so that this package works
// with GODEBUG=fips140=on and returns an error with fips140=only.
package envelope

import (
	"github.com/go-sealring/sealring/keyring"
)

// An Encrypter encrypts messages. It is safe for concurrent use.
type Encrypter struct {
	manager keyring.EncryptionManager
	opts    Options
}

// A Decrypter decrypts messages. It is safe for concurrent use.
type Decrypter struct {
	manager keyring.DecryptionManager
	opts    Options
}

// A Client encrypts and decrypts messages: it has the methods of [Encrypter] and
// [Decrypter]. It is safe for concurrent use.
type Client struct {
	*Encrypter
	*Decrypter
}

// New returns a client that asks the keyring for a data key for every message.
// Options may be nil; ones that cannot be used are [ErrInvalidArgument], a suite
// that its policy forbids is [ErrPolicy].
func New(k keyring.Keyring, o *Options) (*Client, error) {
	m, err := keyring.NewManager(k)
	if err != nil {
		return nil, err
	}
	return NewFromManager(m, o)
}

// NewFromManager returns a client that asks a materials manager, such as a cache
// or the manager of required context pairs, for every message's data key.
func NewFromManager(m keyring.MaterialsManager, o *Options) (*Client, error) {
	e, err := NewEncrypterFromManager(m, o)
	if err != nil {
		return nil, err
	}
	d, err := NewDecrypterFromManager(m, o)
	if err != nil {
		return nil, err
	}
	return &Client{e, d}, nil
}

// NewEncrypter is [New] for a program that only encrypts, or a keyring that can
// do no more.
func NewEncrypter(k keyring.Encrypter, o *Options) (*Encrypter, error) {
	m, err := keyring.NewEncryptionManager(k)
	if err != nil {
		return nil, err
	}
	return NewEncrypterFromManager(m, o)
}

// NewDecrypter is [New] for a program that only decrypts, or a keyring that can
// do no more.
func NewDecrypter(k keyring.Decrypter, o *Options) (*Decrypter, error) {
	m, err := keyring.NewDecryptionManager(k)
	if err != nil {
		return nil, err
	}
	return NewDecrypterFromManager(m, o)
}

// NewEncrypterFromManager is [NewFromManager] for a program that only encrypts.
func NewEncrypterFromManager(m keyring.EncryptionManager, o *Options) (*Encrypter, error) {
	if m == nil {
		return nil, invalid("materials manager is nil")
	}
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := opts.CommitmentPolicy.CheckEncrypt(opts.Suite); err != nil {
		return nil, err
	}
	return &Encrypter{m, opts}, nil
}

// NewDecrypterFromManager is [NewFromManager] for a program that only decrypts.
func NewDecrypterFromManager(m keyring.DecryptionManager, o *Options) (*Decrypter, error) {
	if m == nil {
		return nil, invalid("materials manager is nil")
	}
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Decrypter{m, opts}, nil
}
