package cache

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

// TestIdentity has pairs of requests that must not share.
func TestIdentity(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{}, nil)
	misses := func(t *testing.T, ask func()) {
		before := m.loads.Load()
		ask()
		assert.Equal(t, before+1, m.loads.Load(), "shared with another request")
		ask()
		assert.Equal(t, before+1, m.loads.Load(), "not shared with itself")
	}
	for name, req := range map[string]keyring.EncryptionRequest{
		"base":            request("42"),
		"suite":           {Suite: signed, Context: request("42").Context},
		"suite named":     {Suite: unsigned, Context: request("42").Context},
		"policy":          {CommitmentPolicy: keyring.RequireEncryptAllowDecrypt, Context: request("42").Context},
		"no context":      {},
		"another value":   request("43"),
		"another key":     {Context: keyring.EncryptionContext{"tenan": "t42"}},
		"shifted":         {Context: keyring.EncryptionContext{"tenant4": "2"}},
		"more":            {Context: keyring.EncryptionContext{"tenant": "42", "": ""}},
		"required":        {Context: request("42").Context, RequiredKeys: []string{"tenant"}},
		"committing less": {CommitmentPolicy: keyring.ForbidEncryptAllowDecrypt, Context: request("42").Context},
	} {
		t.Run("encrypt: "+name, func(t *testing.T) {
			misses(t, func() { encrypt(t, c, req) })
		})
	}
	t.Run("partitions", func(t *testing.T) {
		for _, name := range []string{"a", "b", "ab"} {
			misses(t, func() { encrypt(t, c.Partition(name), request("42")) })
		}
		misses(t, func() { encrypt(t, c.Partition("x"), request("x")) })
	})
	t.Run("order of required keys", func(t *testing.T) {
		req := keyring.EncryptionRequest{Context: keyring.EncryptionContext{"a": "", "b": ""}, RequiredKeys: []string{"a", "b"}}
		misses(t, func() { encrypt(t, c, req) })
		before := m.loads.Load()
		req.RequiredKeys = []string{"b", "a"}
		encrypt(t, c, req)
		assert.Equal(t, before, m.loads.Load())
	})

	aes, err := keyring.NewRawAES("test", "kek", make([]byte, 32))
	require.NoError(t, err)
	e := encrypt(t, m, request("42"))
	again := &keyring.EncryptionMaterials{Suite: e.Suite, Context: e.Context, DataKey: e.DataKey}
	require.NoError(t, aes.OnEncrypt(t.Context(), again))
	base := toDecrypt(e)
	stored := func(ec keyring.EncryptionContext, keys []keyring.EncryptedDataKey) []byte {
		return toDecrypt(&keyring.EncryptionMaterials{Context: ec, EncryptedDataKeys: keys}).Stored
	}
	for name, change := range map[string]func(*keyring.DecryptionRequest){
		"base":   func(*keyring.DecryptionRequest) {},
		"policy": func(r *keyring.DecryptionRequest) { r.CommitmentPolicy = keyring.RequireEncryptAllowDecrypt },
		"not stored": func(r *keyring.DecryptionRequest) {
			r.Reproduced, r.Stored = e.Context, stored(nil, e.EncryptedDataKeys)
		},
		"wrapped key": func(r *keyring.DecryptionRequest) { r.Stored = stored(e.Context, again.EncryptedDataKeys) },
		"wrapped keys": func(r *keyring.DecryptionRequest) {
			r.Stored = stored(e.Context, append(e.EncryptedDataKeys[:1:1], again.EncryptedDataKeys...))
		},
	} {
		t.Run("decrypt: "+name, func(t *testing.T) {
			req := base
			change(&req)
			misses(t, func() { decrypt(t, c, req) })
		})
	}
	t.Run("decrypt: pairs that confirm what is stored", func(t *testing.T) {
		req := base
		req.Reproduced = e.Context
		before := m.loads.Load()
		decrypt(t, c, req)
		assert.Equal(t, before, m.loads.Load())

		// What contradicts it is no hit, and never was.
		req.Reproduced = keyring.EncryptionContext{"tenant": "43"}
		_, err := c.DecryptionMaterials(t.Context(), req)
		require.ErrorIs(t, err, keyring.ErrContextMismatch)
	})
	t.Run("partition of decrypts", func(t *testing.T) {
		misses(t, func() { decrypt(t, c.Partition("a"), base) })
	})
	t.Run("another cache", func(t *testing.T) {
		other := newTestCache(t, m, Limits{}, nil)
		misses(t, func() { encrypt(t, other, request("42")) })
	})
}
