package cache

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

const (
	unsigned = keyring.SuiteAES256GCMHKDFSHA512Commit
	signed   = keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384
)

// cacheFuncs is in the names of the functions that the cache's goroutines run.
const cacheFuncs = "sealring/cache.(*Cache)"

// loadFunc starts the goroutines that ask the manager.
const loadFunc = cacheFuncs + ".startLoad"

// clock is a time that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// manager is a materials manager over a local keyring that counts, and that
// fails, waits or changes its results as a test says.
type manager struct {
	keyring.MaterialsManager
	loads atomic.Int64

	mu      sync.Mutex
	before  func(ctx context.Context) error
	encrypt func(*keyring.EncryptionMaterials)
	given   [][]byte // the data keys that the cache holds
}

func newManager(t testing.TB) *manager {
	aes, err := keyring.NewRawAES("test", "kek", make([]byte, 32))
	require.NoError(t, err)
	m, err := keyring.NewManager(aes)
	require.NoError(t, err)
	return &manager{MaterialsManager: m}
}

// set says what happens before the manager does its work, nil for nothing.
func (m *manager) set(before func(ctx context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = before
}

func (m *manager) begin(ctx context.Context) error {
	m.loads.Add(1)
	m.mu.Lock()
	before := m.before
	m.mu.Unlock()
	if before != nil {
		return before(ctx)
	}
	return nil
}

func (m *manager) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	e, err := m.MaterialsManager.EncryptionMaterials(ctx, req)
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.encrypt != nil {
			m.encrypt(e)
		}
		m.given = append(m.given, e.DataKey)
	}
	return e, err
}

func (m *manager) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	d, err := m.MaterialsManager.DecryptionMaterials(ctx, req)
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.given = append(m.given, d.DataKey)
	}
	return d, err
}

// kept counts the data keys given to the cache that have not been cleared.
func (m *manager) kept() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, key := range m.given {
		if strings.Trim(string(key), "\x00") != "" {
			n++
		}
	}
	return n
}

func newTestCache(t testing.TB, m keyring.MaterialsManager, limits Limits, now func() time.Time) *Cache {
	if limits.MaxAge == 0 {
		limits.MaxAge = time.Hour
	}
	if now == nil {
		now = time.Now
	}
	start := now()
	c, err := newCache(m, limits, func() time.Duration { return now().Sub(start) })
	require.NoError(t, err)
	if _, ok := m.(*manager); ok {
		c.ignoresStoredPairs = true // as with the manager that it counts for
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func request(tenant string) keyring.EncryptionRequest {
	return keyring.EncryptionRequest{Context: keyring.EncryptionContext{"tenant": tenant}, PlaintextLength: 10}
}

// toDecrypt returns the request that reads what materials wrote.
func toDecrypt(m *keyring.EncryptionMaterials) keyring.DecryptionRequest {
	stored, err := m.Stored()
	if err != nil {
		panic(err)
	}
	return keyring.DecryptionRequest{Suite: m.Suite, Stored: stored}
}

func encrypt(t testing.TB, m keyring.EncryptionManager, req keyring.EncryptionRequest) *keyring.EncryptionMaterials {
	t.Helper()
	e, err := m.EncryptionMaterials(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, e.Check(req))
	return e
}

func decrypt(t testing.TB, m keyring.DecryptionManager, req keyring.DecryptionRequest) *keyring.DecryptionMaterials {
	t.Helper()
	d, err := m.DecryptionMaterials(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, d.Check(req))
	return d
}

// outage is an error that says whether it is one.
type outage bool

func (o outage) Error() string     { return fmt.Sprintf("outage: %t", bool(o)) }
func (o outage) Unavailable() bool { return bool(o) }
