package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

func TestHits(t *testing.T) {
	for _, s := range []keyring.Suite{0, unsigned, signed} {
		m := newManager(t)
		c := newTestCache(t, m, Limits{}, nil)
		req := request("42")
		req.Suite = s
		first := encrypt(t, c, req)
		second := encrypt(t, c, req)
		assert.EqualValues(t, 1, m.loads.Load())
		assert.Equal(t, first.DataKey, second.DataKey)
		assert.Equal(t, first.EncryptedDataKeys, second.EncryptedDataKeys)

		// Each is its owner's.
		first.Clear()
		assert.NotEqual(t, make([]byte, 32), second.DataKey)
		assert.Equal(t, second.DataKey, encrypt(t, c, req).DataKey)

		decryptReq := toDecrypt(second)
		got := decrypt(t, c, decryptReq)
		assert.Equal(t, second.DataKey, got.DataKey)
		assert.Equal(t, second.DataKey, decrypt(t, c, decryptReq).DataKey)
		assert.EqualValues(t, 2, m.loads.Load())

		stats := c.Stats()
		assert.EqualValues(t, 3, stats.Hits)
		assert.EqualValues(t, 2, stats.Misses)
		assert.EqualValues(t, 2, stats.Loads)
		assert.EqualValues(t, 3, stats.CallsSaved)
		assert.Equal(t, 2, stats.Entries)
		assert.Positive(t, stats.Bytes)
	}
}

// TestIdentity has pairs of requests that must not share.
func TestIdentity(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{}, nil)
	misses := func(t *testing.T, ask func()) {
		before := m.loads.Load()
		ask()
		assert.Equal(t, before+1, m.loads.Load(), "shared with another request")
		ask()
		assert.Equal(t, before+1, m.loads.Load(), "not shared with itself")
	}
	for name, req := range map[string]keyring.EncryptionRequest{
		"base":            request("42"),
		"suite":           {Suite: signed, Context: request("42").Context},
		"suite named":     {Suite: unsigned, Context: request("42").Context},
		"policy":          {CommitmentPolicy: keyring.RequireEncryptAllowDecrypt, Context: request("42").Context},
		"no context":      {},
		"another value":   request("43"),
		"another key":     {Context: keyring.EncryptionContext{"tenan": "t42"}},
		"shifted":         {Context: keyring.EncryptionContext{"tenant4": "2"}},
		"more":            {Context: keyring.EncryptionContext{"tenant": "42", "": ""}},
		"required":        {Context: request("42").Context, RequiredKeys: []string{"tenant"}},
		"committing less": {CommitmentPolicy: keyring.ForbidEncryptAllowDecrypt, Context: request("42").Context},
	} {
		t.Run("encrypt: "+name, func(t *testing.T) {
			misses(t, func() { encrypt(t, c, req) })
		})
	}
	t.Run("partitions", func(t *testing.T) {
		for _, name := range []string{"a", "b", "ab"} {
			misses(t, func() { encrypt(t, c.Partition(name), request("42")) })
		}
		misses(t, func() { encrypt(t, c.Partition("x"), request("x")) })
	})
	t.Run("order of required keys", func(t *testing.T) {
		req := keyring.EncryptionRequest{Context: keyring.EncryptionContext{"a": "", "b": ""}, RequiredKeys: []string{"a", "b"}}
		misses(t, func() { encrypt(t, c, req) })
		before := m.loads.Load()
		req.RequiredKeys = []string{"b", "a"}
		encrypt(t, c, req)
		assert.Equal(t, before, m.loads.Load())
	})

	aes, err := keyring.NewRawAES("test", "kek", make([]byte, 32))
	require.NoError(t, err)
	e := encrypt(t, m, request("42"))
	again := &keyring.EncryptionMaterials{Suite: e.Suite, Context: e.Context, DataKey: e.DataKey}
	require.NoError(t, aes.OnEncrypt(t.Context(), again))
	base := toDecrypt(e)
	stored := func(ec keyring.EncryptionContext, keys []keyring.EncryptedDataKey) []byte {
		return toDecrypt(&keyring.EncryptionMaterials{Context: ec, EncryptedDataKeys: keys}).Stored
	}
	for name, change := range map[string]func(*keyring.DecryptionRequest){
		"base":   func(*keyring.DecryptionRequest) {},
		"policy": func(r *keyring.DecryptionRequest) { r.CommitmentPolicy = keyring.RequireEncryptAllowDecrypt },
		"not stored": func(r *keyring.DecryptionRequest) {
			r.Reproduced, r.Stored = e.Context, stored(nil, e.EncryptedDataKeys)
		},
		"wrapped key": func(r *keyring.DecryptionRequest) { r.Stored = stored(e.Context, again.EncryptedDataKeys) },
		"wrapped keys": func(r *keyring.DecryptionRequest) {
			r.Stored = stored(e.Context, append(e.EncryptedDataKeys[:1:1], again.EncryptedDataKeys...))
		},
	} {
		t.Run("decrypt: "+name, func(t *testing.T) {
			req := base
			change(&req)
			misses(t, func() { decrypt(t, c, req) })
		})
	}
	t.Run("decrypt: pairs that confirm what is stored", func(t *testing.T) {
		req := base
		req.Reproduced = e.Context
		before := m.loads.Load()
		decrypt(t, c, req)
		assert.Equal(t, before, m.loads.Load())

		// What contradicts it is no hit, and never was.
		req.Reproduced = keyring.EncryptionContext{"tenant": "43"}
		_, err := c.DecryptionMaterials(t.Context(), req)
		require.ErrorIs(t, err, keyring.ErrContextMismatch)
	})
	t.Run("partition of decrypts", func(t *testing.T) {
		misses(t, func() { decrypt(t, c.Partition("a"), base) })
	})
	t.Run("another cache", func(t *testing.T) {
		other := newTestCache(t, m, Limits{}, nil)
		misses(t, func() { encrypt(t, other, request("42")) })
	})
}

func TestBypass(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{MaxBytes: 100}, nil)
	unknown, long := request("42"), request("42")
	unknown.PlaintextLength, long.PlaintextLength = -1, 101
	identitySuite := keyring.EncryptionRequest{Suite: keyring.SuiteAES256GCM, CommitmentPolicy: keyring.ForbidEncryptAllowDecrypt, PlaintextLength: 1}
	for _, req := range []keyring.EncryptionRequest{unknown, long, identitySuite} {
		a, b := encrypt(t, c, req), encrypt(t, c, req)
		assert.NotEqual(t, a.DataKey, b.DataKey)
	}
	e := encrypt(t, m, identitySuite)
	req := toDecrypt(e)
	req.CommitmentPolicy = keyring.ForbidEncryptAllowDecrypt
	decrypt(t, c, req)
	decrypt(t, c, req)
	stats := c.Stats()
	assert.EqualValues(t, 8, stats.Bypasses)
	assert.Zero(t, stats.Entries)

	// Without a limit on bytes an unknown length does no harm.
	c = newTestCache(t, m, Limits{}, nil)
	assert.Equal(t, encrypt(t, c, unknown).DataKey, encrypt(t, c, unknown).DataKey)
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
			noGoroutinesLeft(t)
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
	m := newManager(t)
	c := newTestCache(t, m, Limits{MaxAge: 20 * time.Millisecond}, nil)
	encrypt(t, c, request("42"))
	require.Eventually(t, func() bool { return c.Stats().Entries == 0 }, 5*time.Second, time.Millisecond)
	assert.Zero(t, m.kept(), "an expired data key was not cleared")
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

func TestPurge(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{}, nil)
	fill := func() {
		encrypt(t, c, request("42"))
		encrypt(t, c.Partition("a"), request("42"))
		encrypt(t, c.Partition("b"), request("42"))
		decrypt(t, c.Partition("a"), toDecrypt(encrypt(t, m, request("42"))))
	}
	for name, step := range map[string]struct {
		purge func()
		left  int
	}{
		"all":               {c.Purge, 0},
		"partition":         {func() { c.PurgePartition("a") }, 2},
		"own partition":     {func() { c.PurgePartition("") }, 3},
		"key":               {func() { c.PurgeKey("kek") }, 0},
		"another key":       {func() { c.PurgeKey("other") }, 4},
		"another partition": {func() { c.PurgePartition("c") }, 4},
	} {
		c.Purge()
		m.given = nil
		fill()
		require.Equal(t, 4, c.Stats().Entries)
		step.purge()
		assert.Equal(t, step.left, c.Stats().Entries, name)
		assert.Equal(t, step.left, m.kept()-1, name) // one went to the test itself
	}
}

func TestStampede(t *testing.T) {
	noGoroutinesLeft(t)
	m := newManager(t)
	go1 := make(chan struct{})
	m.set(func(context.Context) error { <-go1; return nil })
	c := newTestCache(t, m, Limits{}, nil)
	const goroutines = 10_000
	var begun atomic.Int64
	var done sync.WaitGroup
	for range goroutines {
		done.Go(func() {
			begun.Add(1)
			e, err := c.EncryptionMaterials(t.Context(), request("42"))
			if assert.NoError(t, err) {
				assert.Len(t, e.DataKey, 32)
			}
		})
	}
	for begun.Load() < goroutines {
		time.Sleep(time.Millisecond)
	}
	close(go1)
	done.Wait()
	assert.EqualValues(t, 1, m.loads.Load())
	stats := c.Stats()
	assert.EqualValues(t, goroutines-1, stats.CallsSaved)
	assert.EqualValues(t, goroutines, stats.Hits+stats.Misses)
}

// TestCallerLeaves cancels callers that wait for one load: each leaves at once,
// and the load goes on for the others.
func TestCallerLeaves(t *testing.T) {
	noGoroutinesLeft(t)
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
	require.Eventually(t, func() bool { return m.loads.Load() == 1 }, time.Second, time.Millisecond)
	go func() {
		_, err := c.EncryptionMaterials(ctx, request("42"))
		left <- err
	}()
	stays := make(chan error, 1)
	go func() {
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		stays <- err
	}()
	require.Eventually(t, func() bool { return c.Stats().Misses == 3 }, time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-left, context.Canceled)
	require.ErrorIs(t, <-left, context.Canceled)
	close(proceed)
	require.NoError(t, <-stays)
	assert.EqualValues(t, 1, m.loads.Load())
}

func TestErrorsAreShared(t *testing.T) {
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
	require.Eventually(t, func() bool { return c.Stats().Misses == 100 }, 5*time.Second, time.Millisecond)
	close(proceed)
	for range cap(errs) {
		require.ErrorIs(t, <-errs, denied)
	}
	assert.Less(t, m.loads.Load(), int64(100))

	// The error is not kept.
	m.set(nil)
	encrypt(t, c, request("42"))
}

func TestManagerMisbehaves(t *testing.T) {
	noGoroutinesLeft(t)
	m := newManager(t)
	c := newTestCache(t, m, Limits{LoadTimeout: 50 * time.Millisecond}, nil)
	t.Run("panics", func(t *testing.T) {
		m.set(func(context.Context) error { panic("a SECRET") })
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorContains(t, err, "panicked")
		assert.NotContains(t, err.Error(), "SECRET")
	})
	t.Run("hangs", func(t *testing.T) {
		m.set(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	m.set(nil)
	for name, change := range map[string]func(*keyring.EncryptionMaterials){
		"another suite":      func(m *keyring.EncryptionMaterials) { m.Suite = signed },
		"suite of policy":    func(m *keyring.EncryptionMaterials) { m.Suite = keyring.SuiteAES256GCMHKDFSHA256 },
		"short key":          func(m *keyring.EncryptionMaterials) { m.DataKey = m.DataKey[:16] },
		"no key":             func(m *keyring.EncryptionMaterials) { m.DataKey = nil },
		"no wrapped key":     func(m *keyring.EncryptionMaterials) { m.EncryptedDataKeys = nil },
		"another context":    func(m *keyring.EncryptionMaterials) { m.Context = nil },
		"identity key suite": func(m *keyring.EncryptionMaterials) { m.Suite = keyring.SuiteAES256GCM },
	} {
		t.Run(name, func(t *testing.T) {
			m.encrypt = change
			defer func() { m.encrypt = nil }()
			_, err := c.EncryptionMaterials(t.Context(), request("42"))
			require.Error(t, err)
			assert.Zero(t, c.Stats().Entries, "bad materials were kept")
		})
	}
	t.Run("none", func(t *testing.T) {
		c := newTestCache(t, nothing{}, Limits{}, nil)
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorIs(t, err, keyring.ErrInvalidMaterials)
		_, err = c.DecryptionMaterials(t.Context(), toDecrypt(encrypt(t, m, request("42"))))
		require.ErrorIs(t, err, keyring.ErrInvalidMaterials)
	})
	encrypt(t, c, request("42"))
}

type nothing struct{}

func (nothing) EncryptionMaterials(context.Context, keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	return nil, nil
}

func (nothing) DecryptionMaterials(context.Context, keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	return nil, nil
}

func TestClose(t *testing.T) {
	noGoroutinesLeft(t)
	m := newManager(t)
	hang := make(chan struct{})
	c := newTestCache(t, m, Limits{}, nil)
	encrypt(t, c, request("42"))
	held := encrypt(t, c, request("42"))

	// One load heeds its context, the other does not.
	m.set(func(ctx context.Context) error {
		if m.loads.Load() == 2 {
			<-ctx.Done()
			return ctx.Err()
		}
		<-hang
		return nil
	})
	errs := make(chan error, 2)
	for i := range 2 {
		go func() {
			_, err := c.EncryptionMaterials(t.Context(), request(fmt.Sprint("slow", i)))
			errs <- err
		}()
		require.Eventually(t, func() bool { return m.loads.Load() == int64(2+i) }, time.Second, time.Millisecond)
	}
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-errs, ErrClosed)
	require.ErrorIs(t, <-errs, ErrClosed)
	close(hang) // brings materials that nobody wants any more
	require.Eventually(t, func() bool { return m.kept() == 0 }, 5*time.Second, time.Millisecond)
	assert.NotEqual(t, make([]byte, 32), held.DataKey, "a message in flight lost its key")

	require.NoError(t, c.Close())
	_, err := c.EncryptionMaterials(t.Context(), request("42"))
	require.ErrorIs(t, err, ErrClosed)
	_, err = c.DecryptionMaterials(t.Context(), toDecrypt(held))
	require.ErrorIs(t, err, ErrClosed)
	_, err = c.Partition("a").EncryptionMaterials(t.Context(), request("42"))
	require.ErrorIs(t, err, ErrClosed)
	assert.Zero(t, c.Stats().Entries)
}

func TestArguments(t *testing.T) {
	m := newManager(t)
	for name, limits := range map[string]Limits{
		"no age":             {},
		"negative age":       {MaxAge: -1},
		"negative messages":  {MaxAge: 1, MaxMessages: -1},
		"too many messages":  {MaxAge: 1, MaxMessages: 1<<32 + 1},
		"negative bytes":     {MaxAge: 1, MaxBytes: -1},
		"negative entries":   {MaxAge: 1, MaxEntries: -1},
		"negative memory":    {MaxAge: 1, MaxMemory: -1},
		"negative timeout":   {MaxAge: 1, LoadTimeout: -1},
		"negative refreshes": {MaxAge: 1, MaxRefreshes: -1},
		"negative staleness": {MaxAge: 1, StaleFor: -1},
	} {
		_, err := NewFromManager(m, limits)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument, name)
	}
	_, err := New(nil, Limits{MaxAge: 1})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = NewFromManager(nil, Limits{MaxAge: 1})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)

	c := newTestCache(t, m, Limits{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.EncryptionMaterials(ctx, request("42"))
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Context: keyring.EncryptionContext{"aws-crypto-x": ""}})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = c.DecryptionMaterials(t.Context(), keyring.DecryptionRequest{Suite: unsigned, Reproduced: keyring.EncryptionContext{"a": "\xff"}})
	require.Error(t, err)
	assert.Zero(t, c.Stats().Entries)
}
