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

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// TestAbandonedLoadsEnd has many callers give up on a key service that hangs: but
// for a few, so do the loads.
func TestAbandonedLoadsEnd(t *testing.T) {
	noGoroutinesLeft(t)
	synctest.Test(t, func(t *testing.T) {
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
	synctest.Test(t, func(t *testing.T) {
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

// blaming is an error of a key service that blames the message.
type blaming struct{ answer }

func (blaming) Is(target error) bool { return target == message.ErrBlamesMessage }

// TestErrorsSayWhoIsToBlame has loads fail in many ways: what the request is to
// blame for does not count as a failure of the key service.
func TestErrorsSayWhoIsToBlame(t *testing.T) {
	for name, c := range map[string]struct {
		err                   error
		rejected, unavailable bool
	}{
		"outage":                   {outage(true), false, true},
		"refusal":                  {outage(false), false, false},
		"unknown":                  {errors.New("panicked"), false, false},
		"timeout":                  {context.DeadlineExceeded, false, true},
		"wrong context":            {fmt.Errorf("%w: tenant", keyring.ErrContextMismatch), true, false},
		"wrong context, by KMS":    {&keyring.NoMatchError{Reasons: []error{blaming{}}}, true, false},
		"blamed, for an outage":    {&keyring.NoMatchError{Reasons: []error{blaming{}, answer{true, false}}}, false, true},
		"no credentials":           {&keyring.NoMatchError{Reasons: []error{answer{false, false}}}, false, false},
		"no key of ours":           {&keyring.NoMatchError{}, true, false},
		"no key, for an outage":    {&keyring.NoMatchError{Reasons: []error{answer{true, false}}}, false, true},
		"no key, for a refusal":    {&keyring.NoMatchError{Reasons: []error{answer{false, true}}}, false, false},
		"policy":                   {keyring.ErrPolicy, true, false},
		"malformed":                {envelope.ErrMalformed, true, false},
		"invalid argument":         {keyring.ErrInvalidArgument, true, false},
		"invalid materials":        {keyring.ErrInvalidMaterials, false, false},
		"mismatch, for an outage":  {fmt.Errorf("%w: %w", keyring.ErrContextMismatch, outage(true)), false, true},
		"unavailable, by its name": {keyring.ErrUnavailable, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t)
			events := make(chan Event, 10)
			cache := newTestCache(t, m, Limits{OnEvent: func(e Event) { events <- e }}, nil)
			m.set(func(context.Context) error { return c.err })
			_, err := cache.EncryptionMaterials(t.Context(), request("42"))
			require.ErrorIs(t, err, c.err)
			assert.Equal(t, c.unavailable, errors.Is(err, keyring.ErrUnavailable))
			assert.Equal(t, Miss, (<-events).Kind)
			told := <-events
			require.ErrorIs(t, told.Err, c.err)
			stats := cache.Stats()
			if c.rejected {
				assert.Equal(t, LoadRejected, told.Kind)
				assert.Equal(t, [2]uint64{0, 1}, [2]uint64{stats.LoadsFailed, stats.LoadsRejected})
			} else {
				assert.Equal(t, LoadFailed, told.Kind)
				assert.Equal(t, [2]uint64{1, 0}, [2]uint64{stats.LoadsFailed, stats.LoadsRejected})
			}
		})
	}
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
			noGoroutinesLeft(t)
			synctest.Test(t, func(t *testing.T) {
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
	synctest.Test(t, func(t *testing.T) {
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

// TestOrphansOfOnePartition has one tenant's loads hang, and its callers leave. Another
// tenant's callers, who have a little less time than a load takes, get their results
// all the same.
func TestOrphansOfOnePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

// TestPurgeOfAnotherPartition purges one partition while many callers of another wait
// for a load: they go on waiting together.
func TestPurgeOfAnotherPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

// TestRefusalOfACancelledLoad has a manager that does not heed its context come back
// with a refusal when nobody waits any more. It counts.
func TestRefusalOfACancelledLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
