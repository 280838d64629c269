package awskms_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

const itemSuite = keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384

// itemKeys returns new materials of an item's suite, and the symmetric signing key that each of
// some keyrings has for them, or nil if it cannot unwrap.
func itemKeys(t *testing.T, k keyring.Encrypter, readers ...keyring.Decrypter) (*keyring.EncryptionMaterials, [][]byte) {
	writer, err := keyring.NewEncryptionManager(k)
	require.NoError(t, err)
	e, err := writer.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Suite: itemSuite, PlaintextLength: -1, Context: testContext})
	require.NoError(t, err)
	stored, err := e.Stored()
	require.NoError(t, err)
	var own [][]byte
	for _, reader := range readers {
		m, err := keyring.NewDecryptionManager(reader)
		require.NoError(t, err)
		d, err := m.DecryptionMaterials(t.Context(), keyring.DecryptionRequest{Suite: itemSuite, Stored: stored, Reproduced: testContext})
		if err != nil {
			require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
			own = append(own, nil)
			continue
		}
		assert.Equal(t, e.DataKey, d.DataKey)
		own = append(own, d.SymmetricSigningKey)
	}
	return e, own
}

// TestMultiRegionItems: who may use the key of one region alone must not be able to sign items
// for those who use that of another.
func TestMultiRegionItems(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		arns := independent(s)
		k := newMultiRegion(t, s, arns, nil)
		var readers []keyring.Decrypter
		for _, arn := range arns {
			readers = append(readers, newMultiRegion(t, s, []string{arn}, nil))
		}
		s.ResetCalls()
		e, own := itemKeys(t, k, readers...)
		require.Len(t, e.EncryptedDataKeys, 3)
		assert.Equal(t, e.SymmetricSigningKeys, own)
		for i, key := range own {
			for j := range i {
				assert.NotEqual(t, own[j], key, "regions %d and %d", i, j)
				assert.NotEqual(t, e.EncryptedDataKeys[i].Ciphertext[:48], e.EncryptedDataKeys[j].Ciphertext[:48])
			}
		}
		// The calls are those for a message.
		assert.Equal(t, 1, s.Calls(kmstest.Match{Operation: "GenerateDataKey"}))
		assert.Equal(t, 2, s.Calls(kmstest.Match{Operation: "Encrypt"}))
		assert.Equal(t, 1, s.Calls(kmstest.Match{Region: east, Operation: "GenerateDataKey"}))

		// Among other keyrings too.
		raw, err := keyring.NewRawAES("ns", "name", make([]byte, 32))
		require.NoError(t, err)
		all, err := keyring.NewMulti(raw, k)
		require.NoError(t, err)
		s.ResetCalls()
		e, own = itemKeys(t, all, append(readers, raw)...)
		assert.Equal(t, [][]byte{e.SymmetricSigningKeys[1], e.SymmetricSigningKeys[2], e.SymmetricSigningKeys[3], e.SymmetricSigningKeys[0]}, own)
		assert.Equal(t, 3, s.Calls(kmstest.Match{Operation: "Encrypt"}))
		assert.Zero(t, s.Calls(kmstest.Match{Operation: "GenerateDataKey"}))

		// Replicas are one key.
		e, _ = itemKeys(t, newMultiRegion(t, s, replicas(s), nil))
		require.Len(t, e.EncryptedDataKeys, 1)
	})
}

// TestMultiRegionItemsOutage has a region that does not answer be left out, the first or the last.
func TestMultiRegionItemsOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		arns := independent(s)
		for i, down := range []string{0: east, 2: south} {
			if down == "" {
				continue
			}
			var seen events
			k := newMultiRegion(t, s, arns, func(c *awskms.MultiRegionConfig) { c.MinRegions, c.OnEvent = 2, seen.add })
			var readers []keyring.Decrypter
			for _, arn := range arns {
				readers = append(readers, newMultiRegion(t, s, []string{arn}, nil))
			}
			s.Outage(down, kmstest.Refuse)
			e, own := itemKeys(t, k, readers...)
			s.Restore(down)
			require.Len(t, e.EncryptedDataKeys, 2)
			require.Len(t, e.SymmetricSigningKeys, 2)
			assert.NotEqual(t, e.SymmetricSigningKeys[0], e.SymmetricSigningKeys[1])
			assert.Nil(t, own[i])
			assert.Len(t, seen.of(awskms.Degraded), 1)
		}
	})
}
