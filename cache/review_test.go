package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

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

// TestEventsMayComeBack has the event hook ask for the same key, and close the
// cache.
func TestEventsMayComeBack(t *testing.T) {
	noGoroutinesLeft(t)
	for _, kind := range []EventKind{Miss, Load, LoadFailed, Refresh, Evict} {
		t.Run(kind.String(), func(t *testing.T) {
			m := newManager(t)
			var c *Cache
			var begun atomic.Bool
			made := make(chan struct{})
			called := make(chan struct{})
			var err error
			c, err = NewFromManager(m, Limits{MaxAge: 50 * time.Millisecond, MaxMessages: 16, OnEvent: func(e Event) {
				<-made
				if e.Kind == kind && begun.CompareAndSwap(false, true) {
					c.EncryptionMaterials(context.Background(), request("42"))
					c.Close()
					close(called)
				}
			}})
			require.NoError(t, err)
			close(made)
			if kind == LoadFailed {
				m.set(func(context.Context) error { return errors.New("failed") })
			}
			defer c.Close()
			giveUp := time.After(10 * time.Second)
			for {
				c.EncryptionMaterials(t.Context(), request("42"))
				select {
				case <-called:
					return
				case <-giveUp:
					t.Fatal("the hook did not return")
				default:
				}
			}
		})
	}
}

func TestPurgeDuringLoad(t *testing.T) {
	m := newManager(t)
	proceed := make(chan struct{})
	m.set(func(context.Context) error { <-proceed; return nil })
	c := newTestCache(t, m, Limits{}, nil)
	got := make(chan error)
	go func() {
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		got <- err
	}()
	require.Eventually(t, func() bool { return m.loads.Load() == 1 }, time.Second, time.Millisecond)
	c.PurgeKey("kek")
	close(proceed)
	require.NoError(t, <-got, "who waits is served")
	assert.Zero(t, c.Stats().Entries, "what began before the purge is kept")
}

// TestManagerIgnoresItsContext has a manager hang for good, and end its goroutine.
func TestManagerIgnoresItsContext(t *testing.T) {
	m := newManager(t)
	hang := make(chan struct{})
	defer close(hang)
	c := newTestCache(t, m, Limits{LoadTimeout: 50 * time.Millisecond}, nil)
	m.set(func(context.Context) error { <-hang; return nil })
	for range 3 {
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	m.set(func(context.Context) error { runtime.Goexit(); return nil })
	_, err := c.EncryptionMaterials(t.Context(), request("42"))
	require.ErrorContains(t, err, "ended its goroutine")
	m.set(nil)
	encrypt(t, c, request("42"))
}

// TestPoisoned has a manager hand out what it keeps, and clear it.
func TestPoisoned(t *testing.T) {
	m := newManager(t)
	var shared []byte
	m.encrypt = func(e *keyring.EncryptionMaterials) { shared = e.DataKey }
	c := newTestCache(t, m, Limits{}, nil)
	first := encrypt(t, c, request("42"))
	clear(shared)
	second := encrypt(t, c, request("42"))
	assert.NotEqual(t, first.DataKey, second.DataKey)
	assert.EqualValues(t, 2, m.loads.Load())
	assert.EqualValues(t, 1, c.Stats().Evicted[Purged])

	// Another policy is another entry, and is checked on its own.
	m.encrypt = func(e *keyring.EncryptionMaterials) { e.Suite = keyring.SuiteAES256GCMHKDFSHA256 }
	_, err := c.EncryptionMaterials(t.Context(), request("43"))
	require.ErrorIs(t, err, keyring.ErrPolicy)
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
	noGoroutinesLeft(t)
	synctest.Test(t, func(t *testing.T) {
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
	noGoroutinesLeft(t)
	synctest.Test(t, func(t *testing.T) {
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

// TestUnknownErrorsLeaveAKeyItsAge has a refresh fail in a way that is neither an
// outage nor a refusal.
func TestUnknownErrorsLeaveAKeyItsAge(t *testing.T) {
	m, clock := newManager(t), newClock()
	c := newTestCache(t, m, Limits{MaxAge: time.Minute, StaleFor: time.Hour}, clock.Now)
	first := encrypt(t, c, request("42"))
	m.set(func(context.Context) error { return errors.New("connection reset") })
	clock.Move(58 * time.Second)
	encrypt(t, c, request("42"))
	require.Eventually(t, func() bool { return c.Stats().LoadsFailed == 1 }, time.Second, time.Millisecond)
	assert.Equal(t, first.DataKey, encrypt(t, c, request("42")).DataKey)
	clock.Move(10 * time.Second)
	_, err := c.EncryptionMaterials(t.Context(), request("42"))
	require.ErrorContains(t, err, "connection reset")
}

// answer is an error that says whether it is an outage, a refusal, or neither.
type answer struct{ unavailable, refused bool }

func (a answer) Error() string     { return fmt.Sprintf("%+v", a.refused) }
func (a answer) Unavailable() bool { return a.unavailable }
func (a answer) Refused() bool     { return a.refused }

func TestCauses(t *testing.T) {
	plain := errors.New("vault: permission denied")
	for name, c := range map[string]struct {
		err                  error
		unavailable, refused bool
	}{
		"outage":                 {outage(true), true, false},
		"refusal":                {outage(false), false, true},
		"unknown":                {plain, false, false},
		"timeout":                {fmt.Errorf("load: %w", context.DeadlineExceeded), true, false},
		"outage and unknown":     {errors.Join(outage(true), plain), true, false},
		"outage and refusal":     {errors.Join(outage(true), outage(false)), false, true},
		"no match for outages":   {&keyring.NoMatchError{Reasons: []error{outage(true), outage(true)}}, true, false},
		"no match for nothing":   {&keyring.NoMatchError{}, false, false},
		"policy":                 {keyring.ErrPolicy, false, true},
		"said so":                {fmt.Errorf("vault: %w", keyring.ErrUnavailable), true, false},
		"timeout of a network":   {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, true, false},
		"neither":                {answer{false, false}, false, false},
		"refused for itself":     {answer{false, true}, false, true},
		"unavailable itself":     {answer{true, false}, true, false},
		"no match, one refuses":  {&keyring.NoMatchError{Reasons: []error{answer{true, false}, answer{false, true}}}, false, true},
		"no match, one has none": {&keyring.NoMatchError{Reasons: []error{answer{true, false}, answer{false, false}, plain}}, true, false},
	} {
		_, refused := verdict(c.err)
		assert.Equal(t, c.unavailable, unavailable(c.err), name)
		assert.Equal(t, c.refused, refused, name)
		assert.Equal(t, c.unavailable, errors.Is(asUnavailable(c.err), keyring.ErrUnavailable), name)
	}
}

func TestRefreshBeforeBytesRunOut(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{MaxBytes: 1000}, nil)
	for range 90 {
		encrypt(t, c, request("42"))
	}
	require.Eventually(t, func() bool { return c.Stats().Evicted[Replaced] == 1 }, time.Second, time.Millisecond)
	assert.EqualValues(t, 1, c.Stats().Misses)
}

// TestNotKept has materials that are too long to keep: callers are served side by
// side, not one after another.
func TestNotKept(t *testing.T) {
	m := newManager(t)
	m.set(func(context.Context) error { time.Sleep(20 * time.Millisecond); return nil })
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
	assert.Less(t, time.Since(start), 50*20*time.Millisecond/2)
	assert.Zero(t, c.Stats().Entries)
	assert.EqualValues(t, 50, m.loads.Load())
}

// TestHitAllocatesOnce holds for the usual request: what the message itself
// needs beside it is the client's.
func TestHitAllocatesOnce(t *testing.T) {
	c := newTestCache(t, newManager(t), Limits{MaxBytes: 1 << 60}, nil)
	req := keyring.EncryptionRequest{Context: keyring.EncryptionContext{"tenant": "42", "table": "patients"}, PlaintextLength: 64}
	decryptReq := toDecrypt(encrypt(t, c, req))
	decrypt(t, c, decryptReq)
	ctx := t.Context()
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { c.EncryptionMaterials(ctx, req) }), 1.0)
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { c.DecryptionMaterials(ctx, decryptReq) }), 1.0)
}
