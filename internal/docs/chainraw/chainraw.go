// Package chainraw reads messages whose data key was wrapped by a static key of
// github.com/chainifynet/aws-encryption-sdk-go, as docs/from-chainifynet.md shows.
package chainraw

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha512"
	"errors"
	"fmt"

	"github.com/go-sealring/sealring/keyring"
)

// A Decrypter unwraps what a static key of chainifynet's raw provider has wrapped. It writes
// nothing: encrypt under a keyring of this library.
type Decrypter struct {
	provider, name string
	aead           cipher.AEAD
}

// New takes what rawprovider.NewWithOpts(provider, rawprovider.WithStaticKey(name, key)) took.
func New(provider, name string, key []byte) (*Decrypter, error) {
	wrapping, err := hkdf.Key(sha512.New, key, nil, "\x05\x78DERIVEKEY", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(wrapping)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &Decrypter{provider, name, aead}, err
}

// OnDecrypt implements [keyring.Decrypter].
func (d *Decrypter) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.DataKey != nil {
		return errors.New("chainraw: the materials have a data key")
	}
	context, err := m.Context.AppendBinary(nil)
	if err != nil {
		return err
	}
	if len(context) > 0 {
		context = context[2:] // without the count of pairs
	}
	var reasons []error
	for _, key := range keys {
		if key.ProviderID != d.provider || string(key.ProviderInfo) != d.name {
			continue // another keyring's
		}
		n := len(key.Ciphertext) - d.aead.NonceSize() // data key, tag, IV
		if n-d.aead.Overhead() != m.Suite.DataKeyLen() {
			reasons = append(reasons, fmt.Errorf("chainraw: key %q: a wrapped key of another length", d.name))
			continue
		}
		dataKey, err := d.aead.Open(nil, key.Ciphertext[n:], key.Ciphertext[:n], context)
		if err != nil {
			reasons = append(reasons, fmt.Errorf("chainraw: key %q: %w", d.name, err))
			continue
		}
		m.DataKey = dataKey
		return nil
	}
	return keyring.NoMatch("chainifynet "+d.name, keys, reasons...)
}
