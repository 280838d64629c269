package cache

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/leaktest"
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

// TestHitAllocatesOnce holds for the usual request: what the message itself
// needs beside it is the client's.
func TestHitAllocatesOnce(t *testing.T) {
	c := newTestCache(t, newManager(t), Limits{MaxBytes: 1 << 60}, nil)
	req := keyring.EncryptionRequest{Context: keyring.EncryptionContext{"tenant": "42", "table": "patients"}, PlaintextLength: 64}
	decryptReq := toDecrypt(encrypt(t, c, req))
	decrypt(t, c, decryptReq)
	ctx := t.Context()
	leaktest.None(t, loadFunc) // what other goroutines allocate counts too
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { c.EncryptionMaterials(ctx, req) }), 1.0)
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { c.DecryptionMaterials(ctx, decryptReq) }), 1.0)
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

func TestClose(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	faketime.Test(t, func(t *testing.T) {
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
			synctest.Wait()
			require.EqualValues(t, 2+i, m.loads.Load())
		}
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-errs, ErrClosed)
		require.ErrorIs(t, <-errs, ErrClosed)
		close(hang) // brings materials that nobody wants any more
		synctest.Wait()
		assert.Zero(t, m.kept())
		assert.NotEqual(t, make([]byte, 32), held.DataKey, "a message in flight lost its key")

		require.NoError(t, c.Close())
		_, err := c.EncryptionMaterials(t.Context(), request("42"))
		require.ErrorIs(t, err, ErrClosed)
		_, err = c.DecryptionMaterials(t.Context(), toDecrypt(held))
		require.ErrorIs(t, err, ErrClosed)
		_, err = c.Partition("a").EncryptionMaterials(t.Context(), request("42"))
		require.ErrorIs(t, err, ErrClosed)
		assert.Zero(t, c.Stats().Entries)
	})
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
