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

	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

func TestEvents(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m, clock := newManager(t), newClock()
		var mu sync.Mutex
		seen := map[string]int{}
		var c *Cache
		c = newTestCache(t, m, Limits{MaxAge: time.Minute, MaxEntries: 1, StaleFor: time.Minute, OnEvent: func(_ context.Context, e Event) {
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
			"hit": 1, "miss": 2, "load": 2, "evict capacity": 1, "load failed": 1, "stale use": 1, "evict purged": 1,
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
	for _, kind := range []EventKind{Hit, Miss, Load, LoadFailed, Refresh, Evict} {
		t.Run(kind.String(), func(t *testing.T) {
			faketime.Test(t, func(t *testing.T) {
				m := newManager(t)
				var c *Cache
				var begun, returned atomic.Bool
				made := make(chan struct{})
				var err error
				c, err = NewFromManager(m, Limits{MaxAge: time.Hour, MaxMessages: 16, OnEvent: func(_ context.Context, e Event) {
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
		Hit: "hit", Waited: "waited", Miss: "miss", Bypass: "bypass", Load: "load", LoadFailed: "load failed", LoadRejected: "load rejected", Refresh: "refresh", Evict: "evict", StaleUse: "stale use", 99: "EventKind(99)",
	} {
		assert.Equal(t, want, kind.String())
	}
}

// TestRequestsAreTold checks that each request is told of once: how it was answered, how
// long it waited, and with whose context.
func TestRequestsAreTold(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		type who struct{}
		type told struct {
			who   any
			kind  EventKind
			waits time.Duration
			err   error
		}
		const takes = 30 * time.Millisecond
		var mu sync.Mutex
		var requests, loads []told
		m := newManager(t)
		m.set(func(context.Context) error { time.Sleep(takes); return nil })
		c, err := NewFromManager(m, Limits{MaxAge: time.Minute, StaleFor: time.Hour, NoRefresh: true, OnEvent: func(ctx context.Context, e Event) {
			mu.Lock()
			defer mu.Unlock()
			one := told{ctx.Value(who{}), e.Kind, e.Duration, e.Err}
			if e.Kind <= Bypass {
				requests = append(requests, one)
			} else {
				loads = append(loads, one)
			}
		}})
		require.NoError(t, err)
		defer c.Close()
		ask := func(name string, req keyring.EncryptionRequest) error {
			_, err := c.EncryptionMaterials(context.WithValue(t.Context(), who{}, name), req)
			return err
		}
		wants := func(request told, load ...told) {
			t.Helper()
			synctest.Wait() // a load tells of itself after the request
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, []told{request}, requests)
			assert.Equal(t, load, loads)
			requests, loads = nil, nil
		}

		require.NoError(t, ask("first", request("42")))
		wants(told{"first", Miss, takes, nil}, told{"first", Load, takes, nil})
		require.NoError(t, ask("second", request("42")))
		wants(told{"second", Hit, 0, nil})

		bypassing := request("42")
		bypassing.CommitmentPolicy, bypassing.Suite = keyring.ForbidEncryptAllowDecrypt, keyring.SuiteAES256GCM
		require.NoError(t, ask("third", bypassing))
		wants(told{"third", Bypass, takes, nil})

		time.Sleep(61 * time.Second)
		m.set(func(context.Context) error { time.Sleep(takes); return outage(true) })
		require.NoError(t, ask("fourth", request("42")))
		wants(told{"fourth", StaleUse, takes, nil}, told{"fourth", LoadFailed, takes, asUnavailable(outage(true))})
		assert.Equal(t, 61*time.Second+3*takes, c.Stats().Oldest) // from before its load

		refusal := outage(false)
		m.set(func(context.Context) error { time.Sleep(takes); return refusal })
		require.ErrorIs(t, ask("fifth", request("43")), refusal)
		wants(told{"fifth", Miss, takes, refusal}, told{"fifth", LoadFailed, takes, refusal})

		m.set(func(context.Context) error { time.Sleep(takes); return nil })
		var done sync.WaitGroup
		done.Go(func() { assert.NoError(t, ask("sixth", request("44"))) })
		synctest.Wait()
		time.Sleep(takes / 3)
		require.NoError(t, ask("seventh", request("44")))
		done.Wait()
		synctest.Wait()
		assert.ElementsMatch(t, []told{{"sixth", Miss, takes, nil}, {"seventh", Waited, takes - takes/3, nil}}, requests)
		assert.Equal(t, []told{{"sixth", Load, takes, nil}}, loads)
		c.Purge()
		assert.Zero(t, c.Stats().Oldest)
	})
}
