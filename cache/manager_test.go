package cache

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

func TestManagerMisbehaves(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	m := newManager(t)
	c := newTestCache(t, m, Limits{}, nil)
	t.Run("panics", func(t *testing.T) {
		m.set(func(context.Context) error { panic("a SECRET") })
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorContains(t, err, "panicked")
		assert.NotContains(t, err.Error(), "SECRET")
	})
	t.Run("hangs", func(t *testing.T) {
		faketime.Test(t, func(t *testing.T) {
			m := newManager(t)
			m.set(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			c := newTestCache(t, m, Limits{LoadTimeout: 50 * time.Millisecond}, nil)
			_, err := c.EncryptionMaterials(t.Context(), request("42"))
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	})
	m.set(nil)
	for name, change := range map[string]func(*keyring.EncryptionMaterials){
		"another suite":      func(m *keyring.EncryptionMaterials) { m.Suite = signed },
		"suite of policy":    func(m *keyring.EncryptionMaterials) { m.Suite = keyring.SuiteAES256GCMHKDFSHA256 },
		"short key":          func(m *keyring.EncryptionMaterials) { m.DataKey = m.DataKey[:16] },
		"no key":             func(m *keyring.EncryptionMaterials) { m.DataKey = nil },
		"no wrapped key":     func(m *keyring.EncryptionMaterials) { m.EncryptedDataKeys = nil },
		"another context":    func(m *keyring.EncryptionMaterials) { m.Context = nil },
		"identity key suite": func(m *keyring.EncryptionMaterials) { m.Suite = keyring.SuiteAES256GCM },
	} {
		t.Run(name, func(t *testing.T) {
			m.encrypt = change
			defer func() { m.encrypt = nil }()
			_, err := c.EncryptionMaterials(t.Context(), request("42"))
			require.Error(t, err)
			assert.Zero(t, c.Stats().Entries, "bad materials were kept")
		})
	}
	t.Run("none", func(t *testing.T) {
		c := newTestCache(t, nothing{}, Limits{}, nil)
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorIs(t, err, keyring.ErrInvalidMaterials)
		_, err = c.DecryptionMaterials(t.Context(), toDecrypt(encrypt(t, m, request("42"))))
		require.ErrorIs(t, err, keyring.ErrInvalidMaterials)
	})
	encrypt(t, c, request("42"))
}

type nothing struct{}

func (nothing) EncryptionMaterials(context.Context, keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	return nil, nil
}

func (nothing) DecryptionMaterials(context.Context, keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	return nil, nil
}

// TestManagerIgnoresItsContext has a manager hang for good, and end its goroutine.
func TestManagerIgnoresItsContext(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		hang := make(chan struct{})
		defer close(hang)
		c := newTestCache(t, m, Limits{LoadTimeout: 50 * time.Millisecond}, nil)
		m.set(func(context.Context) error { <-hang; return nil })
		for range 3 {
			_, err := c.EncryptionMaterials(t.Context(), request("42"))
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		m.set(func(context.Context) error { runtime.Goexit(); return nil })
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorContains(t, err, "ended its goroutine")
		m.set(nil)
		encrypt(t, c, request("42"))
	})
}

// TestPoisoned has a manager hand out what it keeps, and clear it.
func TestPoisoned(t *testing.T) {
	m := newManager(t)
	var shared []byte
	m.encrypt = func(e *keyring.EncryptionMaterials) { shared = e.DataKey }
	c := newTestCache(t, m, Limits{}, nil)
	first := encrypt(t, c, request("42"))
	clear(shared)
	second := encrypt(t, c, request("42"))
	assert.NotEqual(t, first.DataKey, second.DataKey)
	assert.EqualValues(t, 2, m.loads.Load())
	assert.EqualValues(t, 1, c.Stats().Evicted[Purged])

	// Another policy is another entry, and is checked on its own.
	m.encrypt = func(e *keyring.EncryptionMaterials) { e.Suite = keyring.SuiteAES256GCMHKDFSHA256 }
	_, err := c.EncryptionMaterials(t.Context(), request("43"))
	require.ErrorIs(t, err, keyring.ErrPolicy)
}
