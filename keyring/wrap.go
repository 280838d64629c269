package keyring

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-sealring/sealring/internal/erase"
)

// wrap is the OnEncrypt of the local keyrings. It generates a data key if m has none, has
// seal wrap it, and changes m only if that succeeds.
func wrap(ctx context.Context, m *EncryptionMaterials, k fmt.Stringer, seal func(dataKey []byte) (EncryptedDataKey, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !m.Suite.valid() {
		return fmt.Errorf("%v: %w", k, invalid("suite %v", m.Suite))
	}
	generated := m.DataKey == nil
	if generated {
		m.GenerateDataKey()
	}
	var edk EncryptedDataKey
	var err error
	erase.After(func() { edk, err = seal(m.DataKey) })
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

// maxPrivate is the most wrapped keys of one message that a keyring with a private key
// tries. Each costs an operation with that key, which may take milliseconds, and whoever
// sends a message decides how many there are. It is the default of the keyrings for AWS
// KMS too.
const maxPrivate = 10

// unwrap is the OnDecrypt of the local keyrings. It has open unwrap the keys that match, in
// order, until one succeeds. If most is above zero, it tries at most that many. If none
// succeeds, it returns the reasons of all.
func unwrap(ctx context.Context, m *DecryptionMaterials, keys []EncryptedDataKey, k fmt.Stringer, most int,
	matches func(EncryptedDataKey) bool, open func(EncryptedDataKey) ([]byte, error)) error {
	if m.DataKey != nil {
		return fmt.Errorf("%v: %w", k, invalid("the materials already have a data key"))
	}
	var reasons []error
	matching := 0
	for i, edk := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !matches(edk) {
			continue
		}
		if matching++; most > 0 && matching > most {
			continue // said once, below
		}
		var dataKey []byte
		var err error
		erase.After(func() { dataKey, err = open(edk) })
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
	if most > 0 && matching > most {
		// First, since the text of many reasons is cut short.
		reasons = slices.Insert(reasons, 0, fmt.Errorf("%d of %d encrypted data keys were not tried: this keyring tries %d for a message",
			matching-most, matching, most))
	}
	return NoMatch(k.String(), keys, reasons...)
}
