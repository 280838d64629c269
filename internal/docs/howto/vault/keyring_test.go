package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"testing"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/keyringtest"
)

// fake is a service in memory.
type fake struct {
	keys map[string]cipher.AEAD
	down bool
}

func newFake(t *testing.T, keys ...string) *fake {
	f := &fake{keys: map[string]cipher.AEAD{}}
	for i, key := range keys {
		secret := make([]byte, 32)
		secret[0] = byte(i)
		block, err := aes.NewCipher(secret)
		if err != nil {
			t.Fatal(err)
		}
		if f.keys[key], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *fake) Wrap(ctx context.Context, key string, plaintext, associatedData []byte) ([]byte, error) {
	if f.down {
		return nil, ErrDown
	}
	return f.keys[key].Seal(nil, nil, plaintext, associatedData), ctx.Err()
}

func (f *fake) Unwrap(ctx context.Context, key string, ciphertext, associatedData []byte) ([]byte, error) {
	if f.down {
		return nil, ErrDown
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return f.keys[key].Open(nil, nil, ciphertext, associatedData)
}

// What every keyring must do.
func TestKeyring(t *testing.T) {
	service := newFake(t, "orders", "other")
	kr := New(service, "orders")
	keyringtest.Run(t, keyringtest.Keyring{
		Encrypter: kr, Decrypter: kr, Stranger: New(service, "other"), ContextBound: true,
	})
}

// What only this one can be asked: to tell an outage.
func TestOutage(t *testing.T) {
	service := newFake(t, "orders")
	client, err := envelope.New(New(service, "orders"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ec := keyring.EncryptionContext{"tenant": "42"}
	msg, err := client.Encrypt(t.Context(), []byte("order 17"), ec)
	if err != nil {
		t.Fatal(err)
	}
	service.down = true
	if _, err := client.Decrypt(t.Context(), msg, ec); !errors.Is(err, envelope.ErrUnavailable) {
		t.Errorf("decrypting: %v", err)
	}
	if _, err := client.Encrypt(t.Context(), nil, ec); !errors.Is(err, envelope.ErrUnavailable) {
		t.Errorf("encrypting: %v", err)
	}
}
