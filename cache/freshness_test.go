package cache

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/leaktest"
)

// TestRefreshAhead moves a busy key to its age: no caller waits for the manager.
func TestRefreshAhead(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	faketime.Test(t, func(t *testing.T) {
		m, clock := newManager(t), newClock()
		c := newTestCache(t, m, Limits{MaxAge: time.Minute}, clock.Now)
		first := encrypt(t, c, request("42"))

		proceed := make(chan struct{})
		m.set(func(context.Context) error { <-proceed; return nil })
		clock.Move(58 * time.Second) // past any moment that may have been drawn
		for range 100 {
			assert.Equal(t, first.DataKey, encrypt(t, c, request("42")).DataKey)
		}
		synctest.Wait()
		require.EqualValues(t, 2, m.loads.Load())
		close(proceed)
		synctest.Wait()
		require.EqualValues(t, 1, c.Stats().Evicted[Replaced])
		assert.NotEqual(t, first.DataKey, encrypt(t, c, request("42")).DataKey)
		clock.Move(59 * time.Second)
		stats := c.Stats()
		assert.EqualValues(t, 1, stats.Misses, "a caller waited")
		assert.EqualValues(t, 1, stats.Refreshes)
	})
}

func TestRefreshBeforeMessagesRunOut(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		c := newTestCache(t, m, Limits{MaxMessages: 1000}, nil)
		for range 900 {
			encrypt(t, c, request("42"))
		}
		synctest.Wait()
		require.EqualValues(t, 1, c.Stats().Evicted[Replaced])
		assert.EqualValues(t, 1, c.Stats().Misses)
	})
}

func TestRefreshBeforeBytesRunOut(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		c := newTestCache(t, m, Limits{MaxBytes: 1000}, nil)
		for range 90 {
			encrypt(t, c, request("42"))
		}
		synctest.Wait()
		require.EqualValues(t, 1, c.Stats().Evicted[Replaced])
		assert.EqualValues(t, 1, c.Stats().Misses)
	})
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
	leaktest.AtEnd(t, cacheFuncs)
	faketime.Test(t, func(t *testing.T) {
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
		synctest.Wait()
		assert.EqualValues(t, 23, m.loads.Load())
		assert.EqualValues(t, 3, c.Stats().Refreshes)
	})
}

func TestNoRefresh(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m, clock := newManager(t), newClock()
		c := newTestCache(t, m, Limits{MaxAge: time.Minute, NoRefresh: true}, clock.Now)
		encrypt(t, c, request("42"))
		clock.Move(59 * time.Second)
		encrypt(t, c, request("42"))
		synctest.Wait()
		assert.EqualValues(t, 1, m.loads.Load())
	})
}

// TestRefreshThatIsNotKept has a key refreshed while another partition is purged, so
// that what was loaded is not kept: a later hit must have it refreshed again.
func TestRefreshThatIsNotKept(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	faketime.Test(t, func(t *testing.T) {
		m, clock := newManager(t), newClock()
		c := newTestCache(t, m, Limits{MaxAge: time.Hour}, clock.Now)
		encrypt(t, c, request("42"))

		proceed := make(chan struct{})
		m.set(func(context.Context) error { <-proceed; return nil })
		clock.Move(58 * time.Minute)
		encrypt(t, c, request("42"))
		synctest.Wait()
		require.EqualValues(t, 2, m.loads.Load())
		c.PurgePartition("another")
		close(proceed)

		time.Sleep(firstProbe)
		synctest.Wait()
		require.Zero(t, c.Stats().Evicted[Replaced])
		encrypt(t, c, request("42"))
		synctest.Wait()
		require.EqualValues(t, 1, c.Stats().Evicted[Replaced])
		assert.EqualValues(t, 1, c.Stats().Misses)
		assert.EqualValues(t, 3, m.loads.Load())
	})
}
