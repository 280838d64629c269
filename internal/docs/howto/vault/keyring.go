// Package vault has a keyring for a key service of one's own.
package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-sealring/sealring/keyring"
)

// A Service wraps and unwraps. What was wrapped with associated data unwraps with the same
// alone. An error of it that wraps ErrDown is an outage.
type Service interface {
	Wrap(ctx context.Context, key string, plaintext, associatedData []byte) ([]byte, error)
	Unwrap(ctx context.Context, key string, ciphertext, associatedData []byte) ([]byte, error)
}

var ErrDown = errors.New("the service does not answer")

// ProviderID stands in each message, beside the key's name: it is how a keyring finds its
// own among the wrapped keys. It never changes.
const ProviderID = "example-vault"

// A Keyring wraps data keys by a service.
type Keyring struct {
	service Service
	key     string
}

// New returns a keyring that uses the key of this name.
func New(service Service, key string) *Keyring { return &Keyring{service, key} }

// OnEncrypt implements [keyring.Encrypter].
func (k *Keyring) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	context, err := m.Context.AppendBinary(nil)
	if err != nil {
		return err
	}
	made := m.DataKey == nil
	if made { // else another keyring has made it, and this one wraps it too
		m.GenerateDataKey()
	}
	wrapped, err := k.service.Wrap(ctx, k.key, m.DataKey, context)
	if err != nil {
		if made { // on error, m is to be as it was
			clear(m.DataKey)
			m.DataKey = nil
		}
		return k.failed(ctx, "wrap", err)
	}
	m.EncryptedDataKeys = append(m.EncryptedDataKeys, keyring.EncryptedDataKey{
		ProviderID: ProviderID, ProviderInfo: []byte(k.key), Ciphertext: wrapped,
	})
	return nil
}

// OnDecrypt implements [keyring.Decrypter].
func (k *Keyring) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	if m.DataKey != nil {
		return errors.New("vault: the materials have a data key")
	}
	context, err := m.Context.AppendBinary(nil)
	if err != nil {
		return err
	}
	var reasons []error
	for _, wrapped := range keys {
		if wrapped.ProviderID != ProviderID || string(wrapped.ProviderInfo) != k.key {
			continue // another keyring's
		}
		dataKey, err := k.service.Unwrap(ctx, k.key, wrapped.Ciphertext, context)
		switch {
		case err != nil && ctx.Err() != nil:
			return k.failed(ctx, "unwrap", err)
		case err != nil:
			reasons = append(reasons, k.failed(ctx, "unwrap", err))
		case len(dataKey) != m.Suite.DataKeyLen():
			clear(dataKey)
			reasons = append(reasons, fmt.Errorf("vault: key %q: a data key of another length", k.key))
		default:
			m.DataKey = dataKey
			return nil
		}
	}
	return keyring.NoMatch("vault "+k.key, keys, reasons...)
}

// failed names what failed. ErrUnavailable tells callers to try again, and the cache that
// what it holds may be used on.
func (k *Keyring) failed(ctx context.Context, what string, err error) error {
	if errors.Is(err, ErrDown) && ctx.Err() == nil {
		err = errors.Join(keyring.ErrUnavailable, err)
	}
	return errors.Join(fmt.Errorf("vault: %s with key %q: %w", what, k.key, err), ctx.Err())
}
