package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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

func TestStampede(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		go1 := make(chan struct{})
		m.set(func(context.Context) error { <-go1; return nil })
		c := newTestCache(t, m, Limits{}, nil)
		const goroutines = 10_000
		var done sync.WaitGroup
		for range goroutines {
			done.Go(func() {
				e, err := c.EncryptionMaterials(t.Context(), request("42"))
				if assert.NoError(t, err) {
					assert.Len(t, e.DataKey, 32)
				}
			})
		}
		synctest.Wait()
		close(go1)
		done.Wait()
		assert.EqualValues(t, 1, m.loads.Load())
		stats := c.Stats()
		assert.EqualValues(t, goroutines-1, stats.CallsSaved)
		assert.EqualValues(t, goroutines, stats.Hits+stats.Misses)
	})
}

// TestStampedeAgain has goroutines miss while others' loads end: none may start
// a second load for what has just come.
func TestStampedeAgain(t *testing.T) {
	for range 200 {
		m := newManager(t)
		c := newTestCache(t, m, Limits{}, nil)
		var done sync.WaitGroup
		for range 64 {
			done.Go(func() {
				_, err := c.EncryptionMaterials(t.Context(), request("42"))
				assert.NoError(t, err)
			})
		}
		done.Wait()
		require.EqualValues(t, 1, m.loads.Load())
		require.Empty(t, c.Stats().Evicted[Replaced]+c.Stats().Evicted[Expired])
		c.Close()
	}
}

// TestNotKept has materials that are too long to keep: callers are served side by
// side, not one after another.
func TestNotKept(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		const takes = 20 * time.Millisecond
		m := newManager(t)
		m.set(func(context.Context) error { time.Sleep(takes); return nil })
		c := newTestCache(t, m, Limits{MaxMemory: leastMemory}, nil)
		req := request("42")
		req.Context["long"] = string(make([]byte, 20_000))
		var done sync.WaitGroup
		start := time.Now()
		for range 50 {
			done.Go(func() {
				_, err := c.EncryptionMaterials(t.Context(), req)
				assert.NoError(t, err)
			})
		}
		done.Wait()
		assert.Equal(t, 2*takes, time.Since(start), "all wait for the first, and then load for themselves")
		assert.Zero(t, c.Stats().Entries)
		assert.EqualValues(t, 50, m.loads.Load())
	})
}

func TestErrorsAreShared(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		denied := errors.New("denied")
		proceed := make(chan struct{})
		m.set(func(context.Context) error { <-proceed; return denied })
		c := newTestCache(t, m, Limits{}, nil)
		errs := make(chan error, 100)
		for range cap(errs) {
			go func() {
				_, err := c.EncryptionMaterials(t.Context(), request("42"))
				errs <- err
			}()
		}
		synctest.Wait()
		close(proceed)
		for range cap(errs) {
			require.ErrorIs(t, <-errs, denied)
		}
		assert.EqualValues(t, 1, m.loads.Load())

		// The error is not kept.
		m.set(nil)
		encrypt(t, c, request("42"))
	})
}

// TestCallerLeaves cancels callers that wait for one load: each leaves at once,
// and the load goes on for the others.
func TestCallerLeaves(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		proceed := make(chan struct{})
		m.set(func(ctx context.Context) error {
			select {
			case <-proceed:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		c := newTestCache(t, m, Limits{}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 2)
		go func() { // starts the load
			_, err := c.EncryptionMaterials(ctx, request("42"))
			left <- err
		}()
		synctest.Wait()
		require.EqualValues(t, 1, m.loads.Load())
		go func() {
			_, err := c.EncryptionMaterials(ctx, request("42"))
			left <- err
		}()
		stays := make(chan error, 1)
		go func() {
			_, err := c.EncryptionMaterials(t.Context(), request("42"))
			stays <- err
		}()
		synctest.Wait()
		require.EqualValues(t, 3, c.Stats().Misses)
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
		require.ErrorIs(t, <-left, context.Canceled)
		close(proceed)
		require.NoError(t, <-stays)
		assert.EqualValues(t, 1, m.loads.Load())
	})
}

// TestAbandonedLoadsEnd has many callers give up on a key service that hangs: but
// for a few, so do the loads.
func TestAbandonedLoadsEnd(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		c := newTestCache(t, m, Limits{MaxRefreshes: 3}, nil)
		defer c.Close()
		var running atomic.Int64
		m.set(func(ctx context.Context) error {
			running.Add(1)
			defer running.Add(-1)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(9 * time.Second):
				return nil
			}
		})
		before := runtime.NumGoroutine()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var done sync.WaitGroup
		for i := range 5000 {
			done.Go(func() {
				_, err := c.EncryptionMaterials(ctx, request(fmt.Sprint(i)))
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
		done.Wait()
		synctest.Wait()
		assert.EqualValues(t, 3, running.Load())
		assert.Less(t, runtime.NumGoroutine(), before+100)

		// Those that went on serve whoever comes next, and others may take their turn.
		time.Sleep(10 * time.Second)
		stats := c.Stats()
		assert.Equal(t, 3, stats.Entries)
		assert.Zero(t, stats.LoadsFailed+stats.LoadsRejected)
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := c.EncryptionMaterials(short, request("another"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		assert.EqualValues(t, 1, running.Load())
		encrypt(t, c, request("another")) // joins it
		assert.Equal(t, 4, c.Stats().Entries)
		assert.EqualValues(t, 5001, m.loads.Load())
	})
}

// TestAbandonedLoadIsStartedAgain has a load cancelled, since another is newer, while
// another caller comes for the same key: it gets one of its own.
func TestAbandonedLoadIsStartedAgain(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		c := newTestCache(t, m, Limits{MaxRefreshes: 1}, nil)
		defer c.Close()
		m.set(func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				time.Sleep(time.Second) // heeds it slowly
				return ctx.Err()
			case <-time.After(3 * time.Second):
				return nil
			}
		})
		for _, tenant := range []string{"42", "newer"} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_, err := c.EncryptionMaterials(ctx, request(tenant))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
		encrypt(t, c, request("42"))
		assert.EqualValues(t, 3, m.loads.Load())
	})
}

// TestOrphansOfOnePartition has one tenant's loads hang, and its callers leave. Another
// tenant's callers, who have a little less time than a load takes, get their results
// all the same.
func TestOrphansOfOnePartition(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		type tenantKey struct{}
		m := newManager(t)
		c := newTestCache(t, m, Limits{}, nil)
		defer c.Close()
		m.set(func(ctx context.Context) error {
			takes := 50 * time.Millisecond
			if ctx.Value(tenantKey{}) == "hangs" {
				takes = time.Hour
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(takes):
				return nil
			}
		})
		ask := func(tenant, name string) error {
			ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), tenantKey{}, tenant), 30*time.Millisecond)
			defer cancel()
			_, err := c.Partition(tenant).EncryptionMaterials(ctx, request(name))
			return err
		}
		var hanging sync.WaitGroup
		for i := range 10 {
			hanging.Go(func() {
				for range 200 {
					assert.Error(t, ask("hangs", fmt.Sprint(i)))
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		failed := 0
		for range 100 {
			if ask("good", "42") != nil {
				failed++
			}
		}
		hanging.Wait()
		assert.LessOrEqual(t, failed, 2)
	})
}

func TestPurgeDuringLoad(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		proceed := make(chan struct{})
		m.set(func(context.Context) error { <-proceed; return nil })
		c := newTestCache(t, m, Limits{}, nil)
		got := make(chan error)
		go func() {
			_, err := c.EncryptionMaterials(t.Context(), request("42"))
			got <- err
		}()
		synctest.Wait()
		require.EqualValues(t, 1, m.loads.Load())
		c.PurgeKey("kek")
		close(proceed)
		require.NoError(t, <-got, "who waits is served")
		assert.Zero(t, c.Stats().Entries, "what began before the purge is kept")
	})
}

// TestPurgeOfAnotherPartition purges one partition while many callers of another wait
// for a load: they go on waiting together.
func TestPurgeOfAnotherPartition(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		c := newTestCache(t, m, Limits{}, nil)
		defer c.Close()
		m.set(func(context.Context) error { time.Sleep(50 * time.Millisecond); return nil })
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() { encrypt(t, c.Partition("b"), request("42")) })
		}
		time.Sleep(10 * time.Millisecond)
		c.PurgePartition("a")
		all.Wait()
		assert.EqualValues(t, 2, m.loads.Load())
	})
}
