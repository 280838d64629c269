package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/leaktest"
)

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
		want := map[string]int{
			"miss": 3, "load": 2, "evict capacity": 1, "load failed": 1, "stale use": 1, "evict purged": 1,
		}
		synctest.Wait() // a load tells of itself once its materials were handed out
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, want, seen)
	})
}

// TestEventsMayComeBack has the event hook ask for the same key, and close the
// cache.
func TestEventsMayComeBack(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	for _, kind := range []EventKind{Miss, Load, LoadFailed, Refresh, Evict} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newManager(t)
				var c *Cache
				var begun, returned atomic.Bool
				made := make(chan struct{})
				var err error
				c, err = NewFromManager(m, Limits{MaxAge: time.Hour, MaxMessages: 16, OnEvent: func(e Event) {
					<-made
					if e.Kind == kind && begun.CompareAndSwap(false, true) {
						c.EncryptionMaterials(context.Background(), request("42"))
						c.Close()
						returned.Store(true)
					}
				}})
				require.NoError(t, err)
				close(made)
				if kind == LoadFailed {
					m.set(func(context.Context) error { return errors.New("failed") })
				}
				defer c.Close()
				for range 17 { // one more than a data key allows
					c.EncryptionMaterials(t.Context(), request("42"))
					synctest.Wait()
				}
				assert.True(t, returned.Load())
			})
		})
	}
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
