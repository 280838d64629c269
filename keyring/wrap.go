package keyring

import (
	"context"
	"fmt"
)

// wrap is what OnEncrypt does in every local keyring around its own
// cryptography: it generates the data key if need be, and changes m only when
// all went well.
func wrap(ctx context.Context, m *EncryptionMaterials, k fmt.Stringer, seal func(dataKey []byte) (EncryptedDataKey, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !m.Suite.Valid() {
		return fmt.Errorf("%v: %w", k, invalid("suite %v", m.Suite))
	}
	generated := m.DataKey == nil
	if generated {
		m.GenerateDataKey()
	}
	edk, err := seal(m.DataKey)
	if err != nil {
		if generated {
			clear(m.DataKey)
			m.DataKey = nil
		}
		return fmt.Errorf("%v: %w", k, err)
	}
	m.EncryptedDataKeys = append(m.EncryptedDataKeys, edk)
	return nil
}

// unwrap is what OnDecrypt does in every local keyring around its own
// cryptography: it tries the keys that match in order and collects why they fail.
func unwrap(ctx context.Context, m *DecryptionMaterials, keys []EncryptedDataKey, k fmt.Stringer,
	matches func(EncryptedDataKey) bool, open func(EncryptedDataKey) ([]byte, error)) error {
	if m.DataKey != nil {
		return fmt.Errorf("%v: %w", k, invalid("the materials already have a data key"))
	}
	var reasons []error
	for i, edk := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !matches(edk) {
			continue
		}
		dataKey, err := open(edk)
		if err == nil && len(dataKey) != m.Suite.DataKeyLen() {
			clear(dataKey)
			err = fmt.Errorf("holds %d bytes, suite %v takes %d", len(dataKey), m.Suite, m.Suite.DataKeyLen())
		}
		if err != nil {
			reasons = append(reasons, fmt.Errorf("encrypted data key %d: %w", i+1, err))
			continue
		}
		m.DataKey = dataKey
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return &NoMatchError{Keyring: k.String(), Reasons: reasons}
}
