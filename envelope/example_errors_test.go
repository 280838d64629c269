package envelope_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// cause says what became of a message by the error of decrypting it.
func cause(err error) string {
	switch {
	case err == nil:
		return "decrypted"
	case errors.Is(err, envelope.ErrUnavailable): // first: it is ErrNoMatchingKey as well
		return "try again later"
	case errors.Is(err, envelope.ErrContextMismatch):
		return "a message of another context"
	case errors.Is(err, envelope.ErrNoMatchingKey):
		return "wrapped by a key that is not here"
	case errors.Is(err, envelope.ErrAuthentication):
		return "altered"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "cut short"
	default:
		return err.Error()
	}
}

// unreachable is a keyring whose key service does not answer.
type unreachable struct{ keyring.Keyring }

func (unreachable) OnDecrypt(_ context.Context, _ *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	return keyring.NoMatch("unreachable", keys, fmt.Errorf("%w: connection refused", keyring.ErrUnavailable))
}

// clientOf returns a client of a keyring.
func clientOf(kr keyring.Keyring) *envelope.Client {
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// Errors are told apart with errors.Is. Whether to try again is asked first.
func Example_errors() {
	ctx := context.Background()
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	other, err := keyring.NewRawAES("payments", "kek-1999", key)
	if err != nil {
		log.Fatal(err)
	}

	ec := keyring.EncryptionContext{"tenant": "42"}
	msg, err := clientOf(kr).Encrypt(ctx, []byte("IBAN"), ec)
	if err != nil {
		log.Fatal(err)
	}
	cut := msg[:len(msg)-1]
	altered := bytes.Clone(msg)
	altered[len(msg)-1] ^= 1

	for _, try := range []struct {
		client *envelope.Client
		msg    []byte
		ec     keyring.EncryptionContext
	}{
		{clientOf(kr), msg, ec},
		{clientOf(unreachable{kr}), msg, ec},
		{clientOf(kr), msg, keyring.EncryptionContext{"tenant": "43"}},
		{clientOf(other), msg, ec},
		{clientOf(kr), altered, ec},
		{clientOf(kr), cut, ec},
	} {
		_, err := try.client.Decrypt(ctx, try.msg, try.ec)
		fmt.Println(cause(err))
	}
	// Output:
	// decrypted
	// try again later
	// a message of another context
	// wrapped by a key that is not here
	// altered
	// cut short
}
