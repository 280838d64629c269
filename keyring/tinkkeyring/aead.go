package tinkkeyring

import "context"

// An AEAD encrypts and decrypts small values, bound to associated data that it
// does not store. It has the methods of Tink's tink.AEAD, so that a value from
// any version of Tink's Go library is one, the archived github.com/google/tink/go
// included. This package imports neither: a program that links both panics when
// it starts.
//
// It must be safe for concurrent use. It may not change or keep its arguments,
// and what it returns is the caller's: the keyring clears plaintext that it has
// no use for.
type AEAD interface {
	// Encrypt returns the ciphertext of plaintext.
	Encrypt(plaintext, associatedData []byte) ([]byte, error)

	// Decrypt returns the plaintext of what Encrypt returned for the same
	// associated data, and fails for anything else.
	Decrypt(ciphertext, associatedData []byte) ([]byte, error)
}

// An AEADWithContext is an [AEAD] whose calls take a context, as those do that
// reach a key service. It has the methods of Tink's tink.AEADWithContext.
type AEADWithContext interface {
	// EncryptWithContext is Encrypt, given up when ctx is done.
	EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error)

	// DecryptWithContext is Decrypt, given up when ctx is done.
	DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error)
}

// contextless drops the context, which an AEAD has no place for.
type contextless struct{ aead AEAD }

func (c contextless) EncryptWithContext(_ context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return c.aead.Encrypt(plaintext, associatedData)
}

func (c contextless) DecryptWithContext(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	return c.aead.Decrypt(ciphertext, associatedData)
}
