package keyring_test

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// An xchacha is a keyring that wraps data keys with XChaCha20-Poly1305, bound to the
// encryption context.
type xchacha struct {
	name string
	aead cipher.AEAD
}

const providerID = "example-xchacha"

func newXChaCha(name string, key []byte) (*xchacha, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	return &xchacha{name, aead}, nil
}

func (k *xchacha) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	aad, err := m.Context.AppendBinary(nil)
	if err != nil {
		return err
	}
	if m.DataKey == nil { // else another keyring has made it
		m.GenerateDataKey()
	}
	nonce := make([]byte, k.aead.NonceSize())
	rand.Read(nonce)
	m.EncryptedDataKeys = append(m.EncryptedDataKeys, keyring.EncryptedDataKey{
		ProviderID:   providerID,
		ProviderInfo: []byte(k.name),
		Ciphertext:   k.aead.Seal(nonce, nonce, m.DataKey, aad),
	})
	return nil
}

func (k *xchacha) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.DataKey != nil {
		return errors.New("xchacha: the materials have a data key")
	}
	aad, err := m.Context.AppendBinary(nil)
	if err != nil {
		return err
	}
	var reasons []error
	for _, key := range keys {
		if key.ProviderID != providerID || string(key.ProviderInfo) != k.name {
			continue // another keyring's
		}
		dataKey, err := k.unwrap(key.Ciphertext, aad)
		if err == nil && len(dataKey) != m.Suite.DataKeyLen() {
			err = errors.New("a data key of another length")
		}
		if err != nil {
			reasons = append(reasons, fmt.Errorf("key %q: %w", k.name, err))
			continue
		}
		m.DataKey = dataKey
		return nil
	}
	return keyring.NoMatch("xchacha "+k.name, keys, reasons...)
}

func (k *xchacha) unwrap(ciphertext, aad []byte) ([]byte, error) {
	n := k.aead.NonceSize()
	if len(ciphertext) < n {
		return nil, errors.New("too short")
	}
	return k.aead.Open(nil, ciphertext[:n], ciphertext[n:], aad)
}

// A keyring of one's own has two methods. Package keyringtest tests that it keeps the
// promises of [keyring.Encrypter] and [keyring.Decrypter].
func ExampleKeyring() {
	ctx := context.Background()
	key := make([]byte, chacha20poly1305.KeySize)
	rand.Read(key)
	kr, err := newXChaCha("kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}

	ec := keyring.EncryptionContext{"tenant": "42"}
	msg, err := client.Encrypt(ctx, []byte("IBAN"), ec)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := client.Decrypt(ctx, msg, ec)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: IBAN
}
