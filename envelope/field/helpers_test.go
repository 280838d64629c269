package field_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// A manager counts the calls of a materials manager, and lets a test step in before each.
type manager struct {
	keyring.MaterialsManager
	encrypts, decrypts atomic.Int64
	before             func(ctx context.Context, tenant string) error // may be nil
}

func (m *manager) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	m.encrypts.Add(1)
	if m.before != nil {
		if err := m.before(ctx, req.Context["tenant"]); err != nil {
			return nil, err
		}
	}
	return m.MaterialsManager.EncryptionMaterials(ctx, req)
}

func (m *manager) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	m.decrypts.Add(1)
	if m.before != nil {
		if err := m.before(ctx, req.Reproduced["tenant"]); err != nil {
			return nil, err
		}
	}
	return m.MaterialsManager.DecryptionMaterials(ctx, req)
}

// uncached returns a manager that asks the keyring for each message.
func uncached(t testing.TB, kr keyring.Keyring) *manager {
	m, err := keyring.NewManager(kr)
	require.NoError(t, err)
	return &manager{MaterialsManager: m}
}

// A keyringCounter counts what is asked of a keyring, as a key service would be.
type keyringCounter struct {
	keyring.Keyring
	encrypts, decrypts atomic.Int64
	before             func() // may be nil
}

func (k *keyringCounter) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	k.encrypts.Add(1)
	if k.before != nil {
		k.before()
	}
	return k.Keyring.OnEncrypt(ctx, m)
}

func (k *keyringCounter) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	k.decrypts.Add(1)
	if k.before != nil {
		k.before()
	}
	return k.Keyring.OnDecrypt(ctx, m, keys)
}

// A gauge says how many are within at once, and how many were at most.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

func (g *gauge) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now++
	g.most = max(g.most, g.now)
}

func (g *gauge) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now--
}

// stored returns a field as it is after it was written to a column and read again.
func stored[T any](t testing.TB, s field.Sealed[T]) field.Sealed[T] {
	v, err := s.Value()
	require.NoError(t, err)
	var got field.Sealed[T]
	require.NoError(t, got.Scan(v))
	return got
}

// plaintext returns a field's value, which must be there.
func plaintext[T any](t testing.TB, s field.Sealed[T]) T {
	v, err := s.Plaintext()
	require.NoError(t, err)
	return v
}

// bytesOf returns what Value returns for a column of bytes.
func bytesOf[T any](t testing.TB, s field.Sealed[T]) []byte {
	v, err := s.Value()
	require.NoError(t, err)
	require.IsType(t, []byte{}, v)
	return v.([]byte)
}
