package cache

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// TestStored checks what is found by a header's bytes: what the whole request
// finds, and else nothing.
func TestStored(t *testing.T) {
	for _, s := range []keyring.Suite{unsigned, signed} {
		t.Run(s.String(), func(t *testing.T) {
			m := newManager(t)
			c := newTestCache(t, m, Limits{}, nil)
			e := encrypt(t, m, keyring.EncryptionRequest{Suite: s, Context: request("42").Context})
			stored, err := e.Stored()
			require.NoError(t, err)
			base := keyring.StoredDecryptionRequest{Suite: s, Stored: stored}

			require.Nil(t, c.StoredDecryptionMaterials(base), "nothing was loaded")
			whole := decrypt(t, c, toDecrypt(e))
			before := c.Stats()
			for name, change := range map[string]func(*keyring.StoredDecryptionRequest){
				"base":       func(*keyring.StoredDecryptionRequest) {},
				"confirming": func(r *keyring.StoredDecryptionRequest) { r.Reproduced = request("42").Context },
			} {
				req := base
				change(&req)
				got := c.StoredDecryptionMaterials(req)
				require.NotNil(t, got, name)
				assert.Equal(t, whole, got, name)
				got.Clear()
			}
			assert.Equal(t, before.Hits+2, c.Stats().Hits)

			for name, change := range map[string]func(*keyring.StoredDecryptionRequest){
				"policy":      func(r *keyring.StoredDecryptionRequest) { r.CommitmentPolicy = keyring.RequireEncryptAllowDecrypt },
				"suite":       func(r *keyring.StoredDecryptionRequest) { r.Suite = unsigned + signed - r.Suite },
				"no key":      func(r *keyring.StoredDecryptionRequest) { r.Suite = keyring.SuiteAES256GCM },
				"shorter":     func(r *keyring.StoredDecryptionRequest) { r.Stored = r.Stored[:len(r.Stored)-1] },
				"longer":      func(r *keyring.StoredDecryptionRequest) { r.Stored = append(bytes.Clone(r.Stored), 0) },
				"empty":       func(r *keyring.StoredDecryptionRequest) { r.Stored = nil },
				"contradicts": func(r *keyring.StoredDecryptionRequest) { r.Reproduced = request("43").Context },
				"not stored": func(r *keyring.StoredDecryptionRequest) {
					r.Reproduced = keyring.EncryptionContext{"tenant": "42", "row": "7"}
				},
			} {
				req := base
				change(&req)
				assert.Nil(t, c.StoredDecryptionMaterials(req), name)
			}
			for i := range stored {
				req := base
				req.Stored = bytes.Clone(stored)
				req.Stored[i] ^= 1
				assert.Nil(t, c.StoredDecryptionMaterials(req), "byte %d", i)
			}
			assert.Equal(t, before.Hits+2, c.Stats().Hits, "what was not found counts as a hit")
			assert.Equal(t, before.Misses, c.Stats().Misses)
			other := c.Partition("other").(keyring.StoredDecryptionManager)
			assert.Nil(t, other.StoredDecryptionMaterials(base), "another partition's")
			decrypt(t, c.Partition("other"), toDecrypt(e))
			assert.NotNil(t, other.StoredDecryptionMaterials(base))

			require.NoError(t, c.Close())
			assert.Nil(t, c.StoredDecryptionMaterials(base), "closed")
		})
	}
}

// TestStoredRequiredPairs has an entry for a pair that a message does not store:
// the message's bytes alone do not name it.
func TestStoredRequiredPairs(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{}, nil)
	ec := keyring.EncryptionContext{"tenant": "42", "row": "7"}
	e := encrypt(t, m, keyring.EncryptionRequest{Context: ec, RequiredKeys: []string{"row"}})
	stored, err := e.Stored()
	require.NoError(t, err)
	req := keyring.DecryptionRequest{
		Suite: e.Suite, Context: keyring.EncryptionContext{"tenant": "42"}, Reproduced: ec, EncryptedDataKeys: e.EncryptedDataKeys,
	}
	decrypt(t, c, req)
	assert.Nil(t, c.StoredDecryptionMaterials(keyring.StoredDecryptionRequest{Suite: e.Suite, Stored: stored}))
	assert.Nil(t, c.StoredDecryptionMaterials(keyring.StoredDecryptionRequest{Suite: e.Suite, Stored: stored, Reproduced: ec}))
}

// TestClientsShareMessages decrypts through a cache in every way, whatever header
// the message has, and within the limits of the client that asks.
func TestClientsShareMessages(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{MaxAge: time.Hour}, nil)
	client, err := envelope.NewFromManager(c, nil)
	require.NoError(t, err)
	ec := request("42").Context
	for range 3 {
		msg, err := client.Encrypt(t.Context(), []byte("plaintext"), ec)
		require.NoError(t, err)
		for _, expected := range []keyring.EncryptionContext{nil, ec} {
			got, err := client.Decrypt(t.Context(), msg, expected)
			require.NoError(t, err)
			assert.Equal(t, "plaintext", string(got))
			r, err := client.NewReader(t.Context(), bytes.NewReader(msg), expected)
			require.NoError(t, err)
			assert.Equal(t, ec, r.Header().Context)
			assert.Len(t, r.Header().EncryptedDataKeys, 1)
		}
		_, err = client.Decrypt(t.Context(), msg, keyring.EncryptionContext{"tenant": "43"})
		require.ErrorIs(t, err, keyring.ErrContextMismatch)
		_, err = client.Decrypt(t.Context(), msg, keyring.EncryptionContext{"row": "7"})
		require.ErrorIs(t, err, keyring.ErrContextMismatch)

		for name, o := range map[string]*envelope.Options{
			"header": {MaxHeaderLength: 100},
			"frame":  {MaxFrameLength: 4095, FrameLength: 1},
		} {
			strict, err := envelope.NewFromManager(c, o)
			require.NoError(t, err)
			_, err = strict.Decrypt(t.Context(), msg, ec)
			require.ErrorIs(t, err, envelope.ErrLimit, name)
		}
	}
	assert.EqualValues(t, 2+3*2, m.loads.Load(), "one to encrypt, one to decrypt, and those that failed")
}

// auditing embeds a cache and has a method of its own in front of it.
type auditing struct {
	*Cache
	asked int
}

func (a *auditing) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	a.asked++
	return a.Cache.DecryptionMaterials(ctx, req)
}

func TestEmbeddedCacheIsAsked(t *testing.T) {
	a := &auditing{Cache: newTestCache(t, newManager(t), Limits{}, nil)}
	client, err := envelope.NewFromManager(a, nil)
	require.NoError(t, err)
	msg, err := client.Encrypt(t.Context(), []byte("plaintext"), nil)
	require.NoError(t, err)
	for range 3 {
		_, err := client.Decrypt(t.Context(), msg, nil)
		require.NoError(t, err)
	}
	assert.Equal(t, 3, a.asked)
}

// TestTamperedContext has somebody change the context that materials share: what a
// message stores is what counts.
func TestTamperedContext(t *testing.T) {
	c := newTestCache(t, newManager(t), Limits{}, nil)
	client, err := envelope.NewFromManager(c, nil)
	require.NoError(t, err)
	ec := request("42").Context
	msg, err := client.Encrypt(t.Context(), []byte("plaintext"), ec)
	require.NoError(t, err)
	_, err = client.Decrypt(t.Context(), msg, ec)
	require.NoError(t, err)

	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)
	shared := decrypt(t, c, keyring.DecryptionRequest{
		Suite: h.Suite, Context: h.Context, EncryptedDataKeys: h.EncryptedDataKeys,
	})
	shared.Context["tenant"] = "43"
	shared.Context["row"] = "7"
	for _, wrong := range []keyring.EncryptionContext{{"tenant": "43"}, {"row": "7"}} {
		_, err = client.Decrypt(t.Context(), msg, wrong)
		require.Error(t, err)
	}
	assert.Equal(t, h.Context, ec)
}

// taggingManager adds a pair to the caller's context in place, and takes it out
// again. It should not, and must not get another's data key for it.
type taggingManager struct {
	keyring.MaterialsManager
	tenant string
}

func (m taggingManager) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	req.Context["tenant"] = m.tenant
	defer delete(req.Context, "tenant")
	return m.MaterialsManager.EncryptionMaterials(ctx, req)
}

func TestContextChangedInPlace(t *testing.T) {
	c := newTestCache(t, newManager(t), Limits{}, nil)
	for range 2 {
		for _, tenant := range []string{"42", "43"} {
			e, err := envelope.NewEncrypterFromManager(taggingManager{c, tenant}, nil)
			require.NoError(t, err)
			msg, err := e.Encrypt(t.Context(), nil, keyring.EncryptionContext{"row": "7"})
			require.NoError(t, err)
			h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
			require.NoError(t, err)
			assert.Equal(t, keyring.EncryptionContext{"row": "7", "tenant": tenant}, h.Context)
		}
	}
}
