package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/leaktest"
)

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
			faketime.Test(t, func(t *testing.T) {
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
				synctest.Wait()
				stale := cache.Stats().StaleUses
				assert.NotEqual(t, first.DataKey, encrypt(t, cache, request("42")).DataKey)
				encrypt(t, cache, request("42"))
				assert.Equal(t, stale, cache.Stats().StaleUses)
			})
		})
	}
}

// TestStaleSpendsOnce has few messages left in an outage.
func TestStaleSpendsOnce(t *testing.T) {
	m, clock := newManager(t), newClock()
	c := newTestCache(t, m, Limits{MaxAge: time.Minute, StaleFor: time.Hour, MaxMessages: 100, NoRefresh: true}, clock.Now)
	encrypt(t, c, request("42"))
	m.set(func(context.Context) error { return outage(true) })
	clock.Move(90 * time.Second)
	var done sync.WaitGroup
	for range 50 {
		done.Go(func() {
			_, err := c.EncryptionMaterials(t.Context(), request("42"))
			assert.NoError(t, err)
		})
	}
	done.Wait()
	for range 49 {
		encrypt(t, c, request("42"))
	}
	_, err := c.EncryptionMaterials(t.Context(), request("42"))
	require.ErrorIs(t, err, outage(true), "past the messages that the key allows")
	assert.EqualValues(t, 99, c.Stats().StaleUses)
}

// TestStaleWhileItHangs has the key service hang: the first caller waits for
// LoadTimeout, and nobody after it.
func TestStaleWhileItHangs(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		c := newTestCache(t, m, Limits{MaxAge: time.Minute, StaleFor: time.Hour, NoRefresh: true}, nil)
		defer c.Close()
		encrypt(t, c, request("42"))
		m.set(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		time.Sleep(90 * time.Second)
		start := time.Now()
		encrypt(t, c, request("42"))
		assert.Equal(t, defaultLoadTimeout, time.Since(start))
		for range 100 {
			start := time.Now()
			encrypt(t, c, request("42"))
			assert.Zero(t, time.Since(start))
			time.Sleep(time.Second)
		}
		assert.EqualValues(t, 101, c.Stats().StaleUses)
		assert.LessOrEqual(t, m.loads.Load(), int64(2+100/10), "one look at a time")
	})
}

// TestSlownessIsNoOutage has the key service take its time to refuse: nothing is
// served past its age meanwhile, also when an outage was met long ago.
func TestSlownessIsNoOutage(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		c := newTestCache(t, m, Limits{MaxAge: time.Minute, StaleFor: time.Hour, NoRefresh: true}, nil)
		defer c.Close()
		encrypt(t, c, request("42"))
		m.set(func(context.Context) error { return outage(true) })
		time.Sleep(time.Minute)
		encrypt(t, c, request("42"))
		require.EqualValues(t, 1, c.Stats().StaleUses)

		m.set(func(context.Context) error { time.Sleep(5 * time.Second); return outage(false) })
		time.Sleep(outageMemory)
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorIs(t, err, outage(false))
		assert.EqualValues(t, 1, c.Stats().StaleUses)
		assert.Zero(t, c.Stats().Entries)
	})
}

// TestDenialEndsWhatWasGranted has a refresh meet a denial while the key is
// still young enough.
func TestDenialEndsWhatWasGranted(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m, clock := newManager(t), newClock()
		c := newTestCache(t, m, Limits{MaxAge: time.Minute}, clock.Now)
		encrypt(t, c, request("42"))
		m.set(func(context.Context) error { return outage(false) })
		clock.Move(59 * time.Second)
		encrypt(t, c, request("42")) // starts the refresh
		synctest.Wait()
		require.Zero(t, c.Stats().Entries)
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorIs(t, err, outage(false))
	})
}

// TestRefusalOfACancelledLoad has a manager that does not heed its context come back
// with a refusal when nobody waits any more. It counts.
func TestRefusalOfACancelledLoad(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		c := newTestCache(t, m, Limits{MaxAge: time.Minute, StaleFor: time.Hour, MaxRefreshes: 1, NoRefresh: true}, nil)
		defer c.Close()
		encrypt(t, c, request("42"))
		time.Sleep(time.Minute)
		m.set(func(context.Context) error { time.Sleep(5 * time.Second); return outage(false) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.EncryptionMaterials(ctx, request("42"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(5 * time.Second)
		m.set(func(context.Context) error { return outage(true) })
		_, err = c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorIs(t, err, outage(true))
	})
}

// TestUnknownErrorsLeaveAKeyItsAge has a refresh fail in a way that is neither an
// outage nor a refusal.
func TestUnknownErrorsLeaveAKeyItsAge(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m, clock := newManager(t), newClock()
		c := newTestCache(t, m, Limits{MaxAge: time.Minute, StaleFor: time.Hour}, clock.Now)
		first := encrypt(t, c, request("42"))
		m.set(func(context.Context) error { return errors.New("connection reset") })
		clock.Move(58 * time.Second)
		encrypt(t, c, request("42"))
		synctest.Wait()
		require.EqualValues(t, 1, c.Stats().LoadsFailed)
		assert.Equal(t, first.DataKey, encrypt(t, c, request("42")).DataKey)
		clock.Move(10 * time.Second)
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorContains(t, err, "connection reset")
	})
}

// TestManyTenantsInAnOutage has 200 tenants' keys pass their age while the key
// service is out for ten minutes, and then is back.
func TestManyTenantsInAnOutage(t *testing.T) {
	for name, fail := range map[string]func(context.Context) error{
		"fails at once": func(context.Context) error { return outage(true) },
		"fails slowly":  func(context.Context) error { time.Sleep(2 * time.Second); return outage(true) },
		"hangs":         func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"hangs for good": func(context.Context) error {
			time.Sleep(time.Hour)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			leaktest.AtEnd(t, cacheFuncs)
			faketime.Test(t, func(t *testing.T) {
				const tenants = 200
				m := newManager(t)
				c := newTestCache(t, m, Limits{MaxAge: time.Minute, StaleFor: time.Hour}, nil)
				ask := func() {
					var all sync.WaitGroup
					for i := range tenants {
						all.Go(func() { encrypt(t, c, request(fmt.Sprint(i))) })
					}
					all.Wait()
				}
				ask()
				m.set(fail)
				for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(2 * time.Second) {
					ask()
				}
				// One look in some seconds for each key.
				assert.Less(t, m.loads.Load(), int64(tenants*10*60/5))
				m.set(nil)
				time.Sleep(15 * time.Second)
				ask()
				time.Sleep(time.Second)
				stale := c.Stats().StaleUses
				ask()
				assert.Equal(t, stale, c.Stats().StaleUses, "the outage is over")
				c.Close()
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// TestHurriedTenantsInAnOutage has callers with less time than LoadTimeout while the
// key service hangs. Their loads go on without them, so that the outage is known once
// LoadTimeout has passed.
func TestHurriedTenantsInAnOutage(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		const tenants = 200
		m := newManager(t)
		c := newTestCache(t, m, Limits{MaxAge: 5 * time.Minute, StaleFor: time.Hour}, nil)
		defer c.Close()
		round := func() int64 {
			var failed atomic.Int64
			var all sync.WaitGroup
			for i := range tenants {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					defer cancel()
					if _, err := c.EncryptionMaterials(ctx, request(fmt.Sprint(i))); err != nil {
						failed.Add(1)
					}
				})
			}
			all.Wait()
			return failed.Load()
		}
		require.Zero(t, round())
		m.set(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		time.Sleep(5 * time.Minute)
		for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(3 * time.Second) {
			if failed := round(); time.Since(began) > defaultLoadTimeout*9/8+3*time.Second {
				require.Zero(t, failed, "after %v", time.Since(began))
			}
		}
	})
}
