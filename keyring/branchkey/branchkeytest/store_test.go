package branchkeytest_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
)

func TestMemoryStore(t *testing.T) {
	branchkeytest.TestStore(t, func(*testing.T) branchkey.Store { return branchkeytest.NewMemoryStore() })
}

// TestPlaintextStore has a key store over it do all that one does.
func TestPlaintextStore(t *testing.T) {
	p := branchkeytest.NewPlaintextStoreForTests()
	keys := p.KeyStore()
	const id, version = "known", "01234567-89ab-4cde-8f01-23456789abcd"
	require.NoError(t, p.Add(id, version, bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)))
	k, err := keys.Active(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, version, k.Version)
	_, err = keys.ByVersion(t.Context(), id, version)
	require.NoError(t, err)
	_, err = keys.Beacon(t.Context(), id)
	require.NoError(t, err)

	_, err = keys.Create(t.Context(), "new", keyring.EncryptionContext{"tenant": "42"})
	require.NoError(t, err)
	next, err := keys.Version(t.Context(), "new")
	require.NoError(t, err)
	k, err = keys.Active(t.Context(), "new")
	require.NoError(t, err)
	assert.Equal(t, next, k.Version)
}

// TestPlaintextIsBound has items altered, which KMS would refuse to unwrap.
func TestPlaintextIsBound(t *testing.T) {
	store := branchkeytest.NewMemoryStore()
	keys := branchkeytest.PlaintextKeyStoreForTests(store)
	_, err := keys.Create(t.Context(), "a", keyring.EncryptionContext{"tenant": "42"})
	require.NoError(t, err)
	it, err := store.Get(t.Context(), "a", "branch:ACTIVE")
	require.NoError(t, err)
	it.Attributes["aws-crypto-ec:tenant"] = "43"
	require.NoError(t, store.Put(t.Context(), branchkey.Put{Item: it, Replaces: it.Enc}))
	_, err = keys.Active(t.Context(), "a")
	require.ErrorContains(t, err, "altered")
	_, err = keys.Version(t.Context(), "a")
	require.ErrorContains(t, err, "altered")
}
