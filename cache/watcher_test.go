package cache

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

// watching is a manager that is told what the cache drops.
type watching struct {
	*manager
	mu      sync.Mutex
	dropped map[*keyring.DecryptionMaterials]int
	cleared bool // whether something was cleared before
}

func (w *watching) Dropped(m *keyring.DecryptionMaterials) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped[m]++
	w.cleared = w.cleared || m.DataKey == nil
}

// made counts what the cache was given.
type made struct {
	*watching
	all []*keyring.DecryptionMaterials
}

func (m *made) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	got, err := m.watching.DecryptionMaterials(ctx, req)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, got)
	return got, err
}

// TestDropped has a manager told once of each materials for decrypting, and before they are
// cleared, for whatever reason they go, or are not kept at all.
func TestDropped(t *testing.T) {
	at := newClock()
	m := &made{watching: &watching{manager: newManager(t), dropped: map[*keyring.DecryptionMaterials]int{}}}
	c := newTestCache(t, m, Limits{MaxAge: time.Hour, MaxEntries: 3}, at.Now)
	var wrapped []keyring.DecryptionRequest
	for i := range 9 {
		e, err := m.EncryptionMaterials(t.Context(), request(fmt.Sprint(i)))
		require.NoError(t, err)
		wrapped = append(wrapped, toDecrypt(e))
	}
	load := func(i int) {
		got, err := c.DecryptionMaterials(t.Context(), wrapped[i])
		require.NoError(t, err)
		got.Clear()
	}
	load(0)
	assert.Empty(t, m.dropped)
	at.Move(2 * time.Hour)
	load(0)
	assert.Equal(t, map[*keyring.DecryptionMaterials]int{m.all[0]: 1}, m.dropped, "expired, or replaced")
	for i := range 8 {
		load(i)
	}
	m.set(func(context.Context) error { c.Purge(); return nil })
	load(8)
	assert.Len(t, m.dropped, len(m.all), "one was loaded while there was a purge")
	m.set(nil)
	load(8)
	assert.Len(t, m.dropped, len(m.all)-1)
	require.NoError(t, c.Close())
	assert.Len(t, m.dropped, len(m.all))
	for _, n := range m.dropped {
		assert.Equal(t, 1, n)
	}
	assert.False(t, m.cleared)
}
