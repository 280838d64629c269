package cache

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/leaktest"
)

func TestDefaults(t *testing.T) {
	c := newTestCache(t, newManager(t), Limits{MaxAge: time.Minute}, nil)
	assert.Equal(t, Limits{MaxAge: time.Minute, MaxMessages: 1 << 32, MaxMemory: 64 << 20, LoadTimeout: 10 * time.Second, MaxRefreshes: 4}, c.limits)
}

func TestMaxMessages(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{MaxMessages: 3}, nil)
	for i := range 10 {
		encrypt(t, c, request("42"))
		assert.EqualValues(t, i/3+1, m.loads.Load())
	}
	assert.EqualValues(t, 3, c.Stats().Evicted[Exhausted])

	// Reading has no such limit.
	req := toDecrypt(encrypt(t, m, request("42")))
	before := m.loads.Load()
	for range 10 {
		decrypt(t, c, req)
	}
	assert.Equal(t, before+1, m.loads.Load())
}

func TestMaxBytes(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{MaxBytes: 25, NoRefresh: true}, nil)
	for i := range 10 {
		encrypt(t, c, request("42")) // 10 bytes: two fit
		assert.EqualValues(t, i/2+1, m.loads.Load())
	}
	one := request("43")
	one.PlaintextLength = 25
	encrypt(t, c, one)
	before := m.loads.Load()
	one.PlaintextLength = 0
	encrypt(t, c, one)
	assert.Equal(t, before, m.loads.Load())
	one.PlaintextLength = 1
	encrypt(t, c, one)
	assert.Equal(t, before+1, m.loads.Load())
}

// TestLimitsUnderConcurrency counts the uses of each data key by 1,000
// goroutines: none may be used once more than allowed.
func TestLimitsUnderConcurrency(t *testing.T) {
	for name, limits := range map[string]Limits{
		"messages": {MaxMessages: 7}, "bytes": {MaxBytes: 70}, "one": {MaxMessages: 1},
		"many": {MaxMessages: 100, MaxBytes: 500},
	} {
		t.Run(name, func(t *testing.T) {
			leaktest.AtEnd(t, cacheFuncs)
			m := newManager(t)
			c := newTestCache(t, m, limits, nil)
			most := limits.MaxMessages
			if limits.MaxBytes > 0 && (most == 0 || limits.MaxBytes/10 < most) {
				most = limits.MaxBytes / 10
			}
			var mu sync.Mutex
			uses := map[string]int64{}
			var done sync.WaitGroup
			for range 1000 {
				done.Go(func() {
					for range 3 {
						e, err := c.EncryptionMaterials(t.Context(), request("42"))
						if !assert.NoError(t, err) {
							return
						}
						mu.Lock()
						uses[string(e.DataKey)]++
						mu.Unlock()
					}
				})
			}
			done.Wait()
			var total int64
			for _, n := range uses {
				assert.LessOrEqual(t, n, most)
				total += n
			}
			assert.EqualValues(t, 3000, total)
			assert.NotContains(t, uses, string(make([]byte, 32)), "a cleared key was used")
		})
	}
}

func TestMaxAge(t *testing.T) {
	m, clock := newManager(t), newClock()
	c := newTestCache(t, m, Limits{MaxAge: time.Minute, NoRefresh: true}, clock.Now)
	encrypt(t, c, request("42"))
	clock.Move(time.Minute - 1)
	encrypt(t, c, request("42"))
	assert.EqualValues(t, 1, m.loads.Load())
	clock.Move(1)
	encrypt(t, c, request("42"))
	assert.EqualValues(t, 2, m.loads.Load())
	assert.EqualValues(t, 1, c.Stats().Evicted[Expired])

	// A clock that jumps makes ages uncertain, which counts as expired.
	clock.Move(-time.Hour)
	encrypt(t, c, request("42"))
	assert.EqualValues(t, 3, m.loads.Load())
	clock.Move(24 * time.Hour)
	encrypt(t, c, request("42"))
	assert.EqualValues(t, 4, m.loads.Load())
}

// TestAgeCountsFromBefore has a manager take long: what it brought is as old as
// the question.
func TestAgeCountsFromBefore(t *testing.T) {
	m, clock := newManager(t), newClock()
	m.set(func(context.Context) error { clock.Move(40 * time.Second); return nil })
	c := newTestCache(t, m, Limits{MaxAge: time.Minute, NoRefresh: true}, clock.Now)
	encrypt(t, c, request("42"))
	clock.Move(19 * time.Second)
	encrypt(t, c, request("42"))
	assert.EqualValues(t, 1, m.loads.Load())
	clock.Move(time.Second)
	encrypt(t, c, request("42"))
	assert.EqualValues(t, 2, m.loads.Load())
}

func TestExpiresWithoutTraffic(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m := newManager(t)
		c := newTestCache(t, m, Limits{MaxAge: time.Minute}, nil)
		encrypt(t, c, request("42"))
		require.Equal(t, 1, c.Stats().Entries)
		time.Sleep(time.Minute + time.Minute/4)
		synctest.Wait()
		require.Zero(t, c.Stats().Entries)
		assert.Zero(t, m.kept(), "an expired data key was not cleared")
	})
}

func TestCapacity(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{MaxEntries: 10}, nil)
	for i := range 100 {
		encrypt(t, c, request(fmt.Sprint(i)))
		encrypt(t, c, request("hot")) // must survive
		assert.LessOrEqual(t, c.Stats().Entries, 10)
		assert.LessOrEqual(t, m.kept(), 10)
	}
	assert.EqualValues(t, 101, m.loads.Load())
	assert.EqualValues(t, 91, c.Stats().Evicted[Capacity])
}

func TestMemory(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{MaxMemory: 100_000}, nil)
	for i := range 30 {
		req := request(fmt.Sprint(i))
		req.Context["long"] = strings.Repeat("x", 5000)
		encrypt(t, c, req)
		stats := c.Stats()
		assert.LessOrEqual(t, stats.Bytes, int64(100_000))
		assert.Equal(t, stats.Entries, m.kept())
	}
	assert.Positive(t, c.Stats().Evicted[Memory])

	req := request("huge")
	req.Context["long"] = strings.Repeat("x", 60_000)
	a, b := encrypt(t, c, req), encrypt(t, c, req)
	assert.NotEqual(t, a.DataKey, b.DataKey, "longer than all of the memory")
	assert.LessOrEqual(t, c.Stats().Bytes, int64(100_000))
}
