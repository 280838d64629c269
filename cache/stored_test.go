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

// TestStored checks what a header's bytes find: materials that answer the whole
// request, and else none.
func TestStored(t *testing.T) {
	for _, s := range []keyring.Suite{unsigned, signed} {
		t.Run(s.String(), func(t *testing.T) {
			m := newManager(t)
			c := newTestCache(t, m, Limits{}, nil)
			e := encrypt(t, m, keyring.EncryptionRequest{Suite: s, Context: request("42").Context})
			base := toDecrypt(e)
			whole := decrypt(t, c, base)
			loads := m.loads.Load()
			for name, change := range map[string]func(*keyring.DecryptionRequest){
				"base":       func(*keyring.DecryptionRequest) {},
				"confirming": func(r *keyring.DecryptionRequest) { r.Reproduced = request("42").Context },
			} {
				req := base
				change(&req)
				assert.Equal(t, whole, decrypt(t, c, req), name)
			}
			assert.Equal(t, loads, m.loads.Load(), "not found")
			assert.EqualValues(t, 2, c.Stats().Hits)

			for name, change := range map[string]func(*keyring.DecryptionRequest){
				"policy":      func(r *keyring.DecryptionRequest) { r.CommitmentPolicy = keyring.RequireEncryptAllowDecrypt },
				"suite":       func(r *keyring.DecryptionRequest) { r.Suite = unsigned + signed - r.Suite },
				"shorter":     func(r *keyring.DecryptionRequest) { r.Stored = r.Stored[:len(r.Stored)-1] },
				"longer":      func(r *keyring.DecryptionRequest) { r.Stored = append(bytes.Clone(r.Stored), 0) },
				"empty":       func(r *keyring.DecryptionRequest) { r.Stored = nil },
				"contradicts": func(r *keyring.DecryptionRequest) { r.Reproduced = request("43").Context },
				"not stored": func(r *keyring.DecryptionRequest) {
					r.Reproduced = keyring.EncryptionContext{"tenant": "42", "row": "7"}
				},
			} {
				req := base
				change(&req)
				before := m.loads.Load()
				_, err := c.DecryptionMaterials(t.Context(), req)
				assert.Equal(t, name == "policy", err == nil, "%s: %v", name, err)
				assert.Equal(t, before+1, m.loads.Load(), name)
			}
			for i := range base.Stored {
				req := base
				req.Stored = bytes.Clone(base.Stored)
				req.Stored[i] ^= 1
				_, err := c.DecryptionMaterials(t.Context(), req)
				assert.Error(t, err, "byte %d", i)
			}
			assert.EqualValues(t, 2, c.Stats().Hits, "what was not found counts as a hit")
			loads = m.loads.Load()
			decrypt(t, c.Partition("other"), base)
			assert.Equal(t, loads+1, m.loads.Load(), "another partition's")
			decrypt(t, c.Partition("other"), base)
			assert.Equal(t, loads+1, m.loads.Load())
		})
	}
}

// TestItems has materials of DynamoDB items be kept: each caller gets keys of its own.
func TestItems(t *testing.T) {
	const s = keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384
	m := newManager(t)
	c := newTestCache(t, m, Limits{}, nil)
	req := keyring.EncryptionRequest{Suite: s, Context: keyring.EncryptionContext{"aws-crypto-table-name": "t"}}
	first, second := encrypt(t, c, req), encrypt(t, c, req)
	assert.EqualValues(t, 1, m.loads.Load())
	assert.Equal(t, first.SymmetricSigningKeys, second.SymmetricSigningKeys)
	read := toDecrypt(first)
	first.Clear()
	require.NoError(t, second.Check(req))
	one, two := decrypt(t, c, read), decrypt(t, c, read)
	assert.EqualValues(t, 2, m.loads.Load())
	assert.Equal(t, second.SymmetricSigningKeys[0], one.SymmetricSigningKey)
	one.Clear()
	require.NoError(t, two.Check(read))
	require.NoError(t, decrypt(t, c, read).Check(read))
}

// TestHolds checks that Holds finds what decrypting would find, past MaxAge too, and
// changes nothing.
func TestHolds(t *testing.T) {
	m, clock := newManager(t), newClock()
	c := newTestCache(t, m, Limits{MaxAge: time.Minute, StaleFor: time.Minute}, clock.Now)
	e := encrypt(t, m, keyring.EncryptionRequest{Context: keyring.EncryptionContext{"tenant": "42", "row": "7"}, RequiredKeys: []string{"row"}})
	req := toDecrypt(e)
	_, err := c.DecryptionMaterials(t.Context(), req)
	require.Error(t, err, "the pair that is not stored is missing")
	assert.False(t, c.Holds(req), "nothing was loaded")
	whole := req
	whole.Reproduced = keyring.EncryptionContext{"row": "7"}
	assert.False(t, c.Holds(whole))
	decrypt(t, c, whole)
	before := c.Stats()
	assert.True(t, c.Holds(whole))
	whole.Reproduced = keyring.EncryptionContext{"row": "7", "tenant": "42"}
	assert.False(t, c.Holds(whole), "another request")
	assert.False(t, c.Holds(req))
	assert.Equal(t, before, c.Stats())

	other := toDecrypt(encrypt(t, m, request("42")))
	decrypt(t, c.Partition("p"), other)
	assert.False(t, c.Holds(other), "a partition's")
	decrypt(t, c, other)
	other.Reproduced = keyring.EncryptionContext{"tenant": "42"}
	assert.True(t, c.Holds(other), "a pair that is stored too makes no difference")
	clock.Move(time.Minute)
	assert.True(t, c.Holds(other), "past MaxAge")
	c.Purge()
	assert.False(t, c.Holds(other))
}

// TestStoredRequiredPairs has an entry for a pair that a message does not store:
// the message's bytes alone do not name it, and no entry for fewer pairs serves it.
func TestStoredRequiredPairs(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{}, nil)
	ec := keyring.EncryptionContext{"tenant": "42", "row": "7"}
	e := encrypt(t, m, keyring.EncryptionRequest{Context: ec, RequiredKeys: []string{"row"}})
	req := toDecrypt(e)
	req.Reproduced = ec
	decrypt(t, c, req)
	loads := m.loads.Load()
	decrypt(t, c, req)
	assert.Equal(t, loads, m.loads.Load(), "not shared with itself")
	for _, less := range []keyring.EncryptionContext{nil, {"tenant": "42"}, {"row": "8"}, {"row": "7", "column": "ssn"}} {
		req.Reproduced = less
		_, err := c.DecryptionMaterials(t.Context(), req)
		require.Error(t, err, "%v", less)
	}
	assert.EqualValues(t, 1, c.Stats().Hits)
	assert.EqualValues(t, 1, c.Stats().Entries)
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
	shared := decrypt(t, c, toDecrypt(&keyring.EncryptionMaterials{
		Suite: h.Suite, Context: h.Context, EncryptedDataKeys: h.EncryptedDataKeys,
	}))
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
