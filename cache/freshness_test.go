package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRefreshAhead moves a busy key to its age: no caller waits for the manager.
func TestRefreshAhead(t *testing.T) {
	noGoroutinesLeft(t)
	m, clock := newManager(t), newClock()
	c := newTestCache(t, m, Limits{MaxAge: time.Minute}, clock.Now)
	first := encrypt(t, c, request("42"))

	proceed := make(chan struct{})
	m.set(func(context.Context) error { <-proceed; return nil })
	clock.Move(58 * time.Second) // past any moment that may have been drawn
	for range 100 {
		assert.Equal(t, first.DataKey, encrypt(t, c, request("42")).DataKey)
	}
	require.Eventually(t, func() bool { return m.loads.Load() == 2 }, time.Second, time.Millisecond)
	close(proceed)
	require.Eventually(t, func() bool { return c.Stats().Evicted[Replaced] == 1 }, time.Second, time.Millisecond)
	assert.NotEqual(t, first.DataKey, encrypt(t, c, request("42")).DataKey)
	clock.Move(59 * time.Second)
	stats := c.Stats()
	assert.EqualValues(t, 1, stats.Misses, "a caller waited")
	assert.EqualValues(t, 1, stats.Refreshes)
}

func TestRefreshBeforeMessagesRunOut(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{MaxMessages: 1000}, nil)
	for range 900 {
		encrypt(t, c, request("42"))
	}
	require.Eventually(t, func() bool { return c.Stats().Evicted[Replaced] == 1 }, time.Second, time.Millisecond)
	assert.EqualValues(t, 1, c.Stats().Misses)
}

func TestRefreshJitter(t *testing.T) {
	m, clock := newManager(t), newClock()
	c := newTestCache(t, m, Limits{MaxAge: time.Hour}, clock.Now)
	moments := map[time.Duration]bool{}
	for i := range 50 {
		encrypt(t, c, request(fmt.Sprint(i)))
	}
	for e := c.admission.probation.oldest; e != nil; e = e.newer {
		after := e.refreshAt - e.made
		assert.GreaterOrEqual(t, after, 45*time.Minute)
		assert.Less(t, after, time.Hour)
		moments[after] = true
	}
	assert.Greater(t, len(moments), 40)
}

func TestRefreshesAreBounded(t *testing.T) {
	noGoroutinesLeft(t)
	m, clock := newManager(t), newClock()
	c := newTestCache(t, m, Limits{MaxAge: time.Hour, MaxRefreshes: 3}, clock.Now)
	ask := func() {
		for i := range 20 {
			encrypt(t, c, request(fmt.Sprint(i)))
		}
	}
	ask()
	m.set(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	clock.Move(59 * time.Minute)
	for range 5 {
		ask()
	}
	require.Eventually(t, func() bool { return m.loads.Load() == 23 }, time.Second, time.Millisecond)
	time.Sleep(10 * time.Millisecond)
	assert.EqualValues(t, 23, m.loads.Load())
	assert.EqualValues(t, 3, c.Stats().Refreshes)
}

func TestNoRefresh(t *testing.T) {
	m, clock := newManager(t), newClock()
	c := newTestCache(t, m, Limits{MaxAge: time.Minute, NoRefresh: true}, clock.Now)
	encrypt(t, c, request("42"))
	clock.Move(59 * time.Second)
	encrypt(t, c, request("42"))
	time.Sleep(10 * time.Millisecond)
	assert.EqualValues(t, 1, m.loads.Load())
}

func TestStale(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		stale time.Duration
		after time.Duration
		used  bool
	}{
		"outage":               {outage(true), time.Minute, 90 * time.Second, true},
		"outage, wrapped":      {fmt.Errorf("data key: %w", outage(true)), time.Minute, 90 * time.Second, true},
		"not asked for":        {outage(true), 0, 90 * time.Second, false},
		"too long":             {outage(true), time.Minute, 2 * time.Minute, false},
		"denied":               {outage(false), time.Minute, 90 * time.Second, false},
		"another error":        {errors.New("malformed"), time.Minute, 90 * time.Second, false},
		"denied in one region": {errors.Join(outage(true), outage(false)), time.Minute, 90 * time.Second, false},
		"down in both regions": {errors.Join(outage(true), outage(true)), time.Minute, 90 * time.Second, true},
		"timed out":            {context.DeadlineExceeded, time.Minute, 90 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, clock := newManager(t), newClock()
			cache := newTestCache(t, m, Limits{MaxAge: time.Minute, StaleFor: c.stale, NoRefresh: true}, clock.Now)
			first := encrypt(t, cache, request("42"))
			m.set(func(context.Context) error { return c.err })
			clock.Move(c.after)
			got, err := cache.EncryptionMaterials(t.Context(), request("42"))
			if !c.used {
				require.ErrorIs(t, err, c.err)
				assert.Zero(t, cache.Stats().StaleUses)

				// Once refused, an outage does not bring it back.
				m.set(func(context.Context) error { return outage(true) })
				_, err = cache.EncryptionMaterials(t.Context(), request("42"))
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, first.DataKey, got.DataKey)
			assert.EqualValues(t, 1, cache.Stats().StaleUses)

			// The key service is not asked by every caller meanwhile.
			before := m.loads.Load()
			for range 10 {
				encrypt(t, cache, request("42"))
			}
			assert.Equal(t, before, m.loads.Load())
			assert.EqualValues(t, 11, cache.Stats().StaleUses)

			// When it is back, so is a new key, and nobody waits for it.
			m.set(nil)
			clock.Move(2 * time.Second)
			assert.Equal(t, first.DataKey, encrypt(t, cache, request("42")).DataKey)
			require.Eventually(t, func() bool {
				return !bytes.Equal(first.DataKey, encrypt(t, cache, request("42")).DataKey)
			}, 5*time.Second, time.Millisecond)
			stale := cache.Stats().StaleUses
			encrypt(t, cache, request("42"))
			assert.Equal(t, stale, cache.Stats().StaleUses)
		})
	}
}

// TestDenialEndsWhatWasGranted has a refresh meet a denial while the key is
// still young enough.
func TestDenialEndsWhatWasGranted(t *testing.T) {
	m, clock := newManager(t), newClock()
	c := newTestCache(t, m, Limits{MaxAge: time.Minute}, clock.Now)
	encrypt(t, c, request("42"))
	m.set(func(context.Context) error { return outage(false) })
	clock.Move(59 * time.Second)
	encrypt(t, c, request("42")) // starts the refresh
	require.Eventually(t, func() bool { return c.Stats().Entries == 0 }, time.Second, time.Millisecond)
	_, err := c.EncryptionMaterials(t.Context(), request("42"))
	require.ErrorIs(t, err, outage(false))
}

func TestEvents(t *testing.T) {
	m, clock := newManager(t), newClock()
	var mu sync.Mutex
	seen := map[string]int{}
	var c *Cache
	c = newTestCache(t, m, Limits{MaxAge: time.Minute, MaxEntries: 1, StaleFor: time.Minute, OnEvent: func(e Event) {
		c.Stats() // who is told may come back
		mu.Lock()
		defer mu.Unlock()
		name := e.Kind.String()
		if e.Kind == Evict {
			name += " " + e.Cause.String()
		}
		seen[name]++
	}}, clock.Now)
	encrypt(t, c, request("a"))
	encrypt(t, c, request("a"))
	encrypt(t, c, request("b"))
	m.set(func(context.Context) error { return outage(true) })
	clock.Move(61 * time.Second)
	encrypt(t, c, request("b"))
	c.Purge()
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, map[string]int{
		"miss": 3, "load": 2, "evict capacity": 1, "load failed": 1, "stale use": 1, "evict purged": 1,
	}, seen)
}

func TestNames(t *testing.T) {
	for cause, want := range map[Cause]string{
		Expired: "expired", Exhausted: "exhausted", Capacity: "capacity", Memory: "memory", Purged: "purged", Replaced: "replaced", 0: "none", 99: "Cause(99)",
	} {
		assert.Equal(t, want, cause.String())
	}
	for kind, want := range map[EventKind]string{
		Miss: "miss", Load: "load", LoadFailed: "load failed", LoadRejected: "load rejected", Refresh: "refresh", Evict: "evict", StaleUse: "stale use", 99: "EventKind(99)",
	} {
		assert.Equal(t, want, kind.String())
	}
}

// TestRefreshThatIsNotKept has a key refreshed while another partition is purged, so
// that what was loaded is not kept: a later hit must have it refreshed again.
func TestRefreshThatIsNotKept(t *testing.T) {
	noGoroutinesLeft(t)
	m, clock := newManager(t), newClock()
	c := newTestCache(t, m, Limits{MaxAge: time.Hour}, clock.Now)
	encrypt(t, c, request("42"))

	proceed := make(chan struct{})
	m.set(func(context.Context) error { <-proceed; return nil })
	clock.Move(58 * time.Minute)
	encrypt(t, c, request("42"))
	require.Eventually(t, func() bool { return m.loads.Load() == 2 }, time.Second, time.Millisecond)
	c.PurgePartition("another")
	close(proceed)

	require.Eventually(t, func() bool {
		encrypt(t, c, request("42"))
		return c.Stats().Evicted[Replaced] == 1
	}, 5*time.Second, 10*time.Millisecond)
	assert.EqualValues(t, 1, c.Stats().Misses)
	assert.EqualValues(t, 3, m.loads.Load())
}
