package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// slowManager takes its time, counts its calls, and remembers what it handed out.
type slowManager struct {
	keyring.DecryptionManager
	takes time.Duration
	each  func(call int, req keyring.DecryptionRequest) error // if not nil, before the call

	mutex            sync.Mutex
	calls, now, most int
	handedOut        [][]byte
}

func (m *slowManager) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	m.mutex.Lock()
	m.calls++
	call := m.calls
	m.now++
	m.most = max(m.most, m.now)
	m.mutex.Unlock()
	defer func() {
		m.mutex.Lock()
		m.now--
		m.mutex.Unlock()
	}()
	if m.takes > 0 {
		time.Sleep(m.takes)
	}
	if m.each != nil {
		if err := m.each(call, req); err != nil {
			return nil, err
		}
	}
	got, err := m.DecryptionManager.DecryptionMaterials(ctx, req)
	if err == nil {
		m.mutex.Lock()
		m.handedOut = append(m.handedOut, got.DataKey)
		m.mutex.Unlock()
	}
	return got, err
}

// cleared checks that all data keys that were handed out are overwritten.
func (m *slowManager) cleared(t *testing.T) {
	t.Helper()
	for i, key := range m.handedOut {
		require.NotEmpty(t, key)
		require.Equal(t, make([]byte, len(key)), key, "data key %d was left", i)
	}
}

// slow returns a decrypter over a slowManager for the test's keyring.
func slow(t testing.TB, o *envelope.Options) (*slowManager, *envelope.Decrypter) {
	inner, err := keyring.NewDecryptionManager(zeroKey(t))
	require.NoError(t, err)
	m := &slowManager{DecryptionManager: inner}
	d, err := envelope.NewDecrypterFromManager(m, o)
	require.NoError(t, err)
	return m, d
}

// sealMany returns n messages, each under a data key of its own, and their plaintexts.
func sealMany(t *testing.T, c *envelope.Client, n int) (msgs []envelope.Sealed, plaintexts [][]byte) {
	for i := range n {
		plaintext := fmt.Appendf(nil, "plaintext %d", i)
		plaintexts = append(plaintexts, plaintext)
		msgs = append(msgs, envelope.Sealed{Message: encrypt(t, c, plaintext), Context: testContext})
	}
	return msgs, plaintexts
}

// oneDataKey returns a client that encrypts all it gets under one data key.
func oneDataKey(t *testing.T, s keyring.Suite) *envelope.Client {
	manager, err := keyring.NewManager(zeroKey(t))
	require.NoError(t, err)
	o := optionsFor(s, 100)
	e, err := manager.EncryptionMaterials(t.Context(),
		keyring.EncryptionRequest{Suite: s, CommitmentPolicy: o.CommitmentPolicy, Context: testContext})
	require.NoError(t, err)
	c, err := envelope.NewFromManager(&materials{encrypt: *e}, o)
	require.NoError(t, err)
	return c
}

func opens(t *testing.T, got []envelope.Opened, plaintexts [][]byte) {
	t.Helper()
	require.Len(t, got, len(plaintexts))
	for i, want := range plaintexts {
		require.NoError(t, got[i].Err, "message %d", i)
		require.True(t, bytes.Equal(want, got[i].Plaintext), "message %d: %q", i, got[i].Plaintext)
	}
}

// TestDecryptBatchWaitsTogether has a manager wait as for a key service.
func TestDecryptBatchWaitsTogether(t *testing.T) {
	const takes = 20 * time.Millisecond
	msgs, plaintexts := sealMany(t, newClient(t, nil), 200)
	for _, c := range []struct {
		unwraps, concurrency, atOnce int
		want                         time.Duration
	}{
		{0, 0, 16, 13 * takes},
		{0, 1, 16, 13 * takes},
		{1, 0, 1, 200 * takes},
		{7, 3, 7, 29 * takes},
		{200, 0, 200, takes},
		{1 << 30, 0, 200, takes},
	} {
		t.Run(fmt.Sprint(c.unwraps, c.concurrency), func(t *testing.T) {
			faketime.Test(t, func(t *testing.T) {
				m, d := slow(t, &envelope.Options{MaxUnwraps: c.unwraps, Concurrency: c.concurrency})
				m.takes = takes
				start := time.Now()
				got := d.DecryptBatch(t.Context(), msgs)
				assert.Equal(t, c.want, time.Since(start))
				opens(t, got, plaintexts)
				assert.Equal(t, 200, m.calls)
				assert.Equal(t, c.atOnce, m.most)
				m.cleared(t)
			})
		})
	}
}

func TestDecryptBatchSharesDataKeys(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	for _, s := range suite.IDs[keyring.Suite]() {
		t.Run(s.String(), func(t *testing.T) {
			if testing.Short() && s.Signs() {
				t.Skip("verifies thousands of signatures")
			}
			const keys = 3
			var clients [keys]*envelope.Client
			for k := range clients {
				clients[k] = oneDataKey(t, s)
			}
			var msgs []envelope.Sealed
			var plaintexts [][]byte
			for i := range 90 {
				plaintext := randomBytes(i * 7)
				plaintexts = append(plaintexts, plaintext)
				msg := encrypt(t, clients[i%keys], plaintext)
				msgs = append(msgs, envelope.Sealed{Message: msg, Context: testContext})
			}
			msgs, plaintexts = append(msgs, msgs[:10]...), append(plaintexts, plaintexts[:10]...)
			m, d := slow(t, optionsFor(s, 100))
			opens(t, d.DecryptBatch(t.Context(), msgs), plaintexts)
			if !s.DerivesKey() {
				assert.Equal(t, len(msgs), m.calls, "a data key that is used as it is was kept")
				return
			}
			assert.Equal(t, keys, m.calls)
			m.cleared(t)

			// Another expected context is another question.
			for i := range msgs[:20] {
				msgs[i].Context = nil
			}
			m.calls = 0
			opens(t, d.DecryptBatch(t.Context(), msgs), plaintexts)
			assert.Equal(t, 2*keys, m.calls)
		})
	}
}

// TestDecryptBatchOfAKeptKey takes the materials from a manager that has them at hand.
func TestDecryptBatchOfAKeptKey(t *testing.T) {
	manager, err := keyring.NewManager(zeroKey(t))
	require.NoError(t, err)
	e, err := manager.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Context: testContext})
	require.NoError(t, err)
	kept := &materials{*e, keyring.DecryptionMaterials{Suite: e.Suite, Context: testContext, DataKey: e.DataKey}}
	c, err := envelope.NewFromManager(kept, nil)
	require.NoError(t, err)
	msgs, plaintexts := sealMany(t, c, 50)
	for range 2 {
		opens(t, c.DecryptBatch(t.Context(), msgs), plaintexts)
	}
	assert.NotEqual(t, make([]byte, 32), e.DataKey, "the manager's own key was cleared")
}

// TestDecryptBatchBadMessages has each of many faults among good messages: it fails as
// it does alone, and harms no other.
func TestDecryptBatchBadMessages(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	signing := newClient(t, optionsFor(signed, 100))
	c := oneDataKey(t, unsigned)
	long := randomBytes(3 * envelope.BatchLen)
	good := encrypt(t, c, randomBytes(250))
	flip := func(at int) []byte {
		msg := bytes.Clone(good)
		if at < 0 {
			at += len(msg)
		}
		msg[at] ^= 1
		return msg
	}
	bad := map[string]envelope.Sealed{
		"empty":            {nil, testContext},
		"no message":       {[]byte("plaintext"), testContext},
		"suite":            {flip(1), testContext},
		"message ID":       {flip(10), testContext},
		"context":          {flip(45), testContext},
		"tag":              {flip(-1), testContext},
		"cut":              {good[:len(good)-1], testContext},
		"cut in header":    {good[:60], testContext},
		"longer":           {append(bytes.Clone(good), 0), testContext},
		"wrong context":    {good, keyring.EncryptionContext{"tenant": "43"}},
		"more context":     {good, keyring.EncryptionContext{"tenant": "42", "row": "7"}},
		"reserved context": {good, keyring.EncryptionContext{"aws-crypto-x": "7"}},
		"context no text":  {good, keyring.EncryptionContext{"row": "\xff"}},
		"signed":           {encrypt(t, signing, []byte("plaintext")), testContext},
		"no such key":      {encrypt(t, otherKey(t), []byte("plaintext")), testContext},
		"long, cut":        {encrypt(t, c, long)[:2*envelope.BatchLen], testContext},
	}
	o := &envelope.Options{RefuseSigned: true}
	for name, sealed := range bad {
		t.Run(name, func(t *testing.T) {
			m, d := slow(t, o)
			_, want := d.Decrypt(t.Context(), sealed.Message, sealed.Context)
			require.Error(t, want)
			var msgs []envelope.Sealed
			for i := range 7 {
				msgs = append(msgs, envelope.Sealed{Message: good, Context: testContext})
				if i == 0 || i == 3 || i == 6 {
					msgs[i] = sealed
				}
			}
			got := d.DecryptBatch(t.Context(), msgs)
			for i, o := range got {
				if i == 0 || i == 3 || i == 6 {
					require.EqualError(t, o.Err, want.Error())
					require.Nil(t, o.Plaintext)
				} else {
					require.NoError(t, o.Err)
					require.Len(t, o.Plaintext, 250)
				}
			}
			m.cleared(t)
		})
	}
	t.Run("all at once", func(t *testing.T) {
		m, d := slow(t, o)
		var msgs []envelope.Sealed
		var want []error
		for range 5 {
			for _, sealed := range bad {
				_, err := d.Decrypt(t.Context(), sealed.Message, sealed.Context)
				msgs, want = append(msgs, sealed, envelope.Sealed{Message: good}), append(want, err, nil)
			}
		}
		for i, o := range d.DecryptBatch(t.Context(), msgs) {
			if want[i] != nil {
				require.EqualError(t, o.Err, want[i].Error())
			} else {
				require.NoError(t, o.Err)
			}
		}
		m.cleared(t)
	})
}

// otherKey is a client under another wrapping key.
func otherKey(t testing.TB) *envelope.Client {
	k, err := keyring.NewRawAES("test", "other", make([]byte, 32))
	require.NoError(t, err)
	c, err := envelope.New(k, nil)
	require.NoError(t, err)
	return c
}

// TestDecryptBatchLimits checks that numbers that nobody vouches for are bounded, and
// make no long buffer.
func TestDecryptBatchLimits(t *testing.T) {
	c := newClient(t, nil)
	good := encrypt(t, c, []byte("plaintext"))
	m, d := slow(t, &envelope.Options{FrameLength: 100, MaxFrameLength: 4095, MaxHeaderLength: 500})
	long, err := c.Encrypt(t.Context(), nil, keyring.EncryptionContext{"tenant": string(bytes.Repeat([]byte("x"), 1000))})
	require.NoError(t, err)
	for _, o := range d.DecryptBatch(t.Context(), []envelope.Sealed{{Message: good}, {Message: long}}) {
		require.ErrorIs(t, o.Err, envelope.ErrLimit)
	}
	assert.Zero(t, m.calls, "the manager was asked")

	// 1,000 messages that claim frames of 16 MiB, which no key opens.
	claim := encrypt(t, newClient(t, &envelope.Options{FrameLength: 16 << 20}), []byte("plaintext"))
	claim[10] ^= 1
	_, d = slow(t, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, o := range d.DecryptBatch(t.Context(), make1000(claim)) {
		require.ErrorIs(t, o.Err, envelope.ErrCommitment)
	}
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
}

func make1000(msg []byte) []envelope.Sealed {
	msgs := make([]envelope.Sealed, 1000)
	for i := range msgs {
		msgs[i].Message = msg
	}
	return msgs
}

func TestDecryptBatchCancelled(t *testing.T) {
	msgs, plaintexts := sealMany(t, newClient(t, nil), 100)
	faketime.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m, d := slow(t, &envelope.Options{MaxUnwraps: 4})
		m.takes = time.Second
		go func() {
			time.Sleep(10*time.Second + time.Millisecond) // in the eleventh round of four
			cancel()
		}()
		got := d.DecryptBatch(ctx, msgs)
		assert.Equal(t, 44, m.calls, "the manager was asked for what is not wanted any more")
		done := 0
		for i, o := range got {
			if o.Err == nil {
				require.Equal(t, plaintexts[i], o.Plaintext)
				done++
				continue
			}
			require.ErrorIs(t, o.Err, context.Canceled)
			require.Nil(t, o.Plaintext)
		}
		assert.Equal(t, 40, done)
		m.cleared(t)
	})

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m, d := slow(t, nil)
	for _, o := range d.DecryptBatch(ctx, msgs) {
		require.EqualError(t, o.Err, "envelope: decrypt: context canceled")
	}
	assert.Zero(t, m.calls)
}

// TestDecryptBatchManagerPanics checks that the panic reaches the caller, and that
// nothing else is left.
func TestDecryptBatchManagerPanics(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	msgs, _ := sealMany(t, newClient(t, nil), 100)
	for _, unwraps := range []int{1, 16} {
		faketime.Test(t, func(t *testing.T) {
			m, d := slow(t, &envelope.Options{MaxUnwraps: unwraps})
			m.each = func(call int, _ keyring.DecryptionRequest) error {
				if call == 20 {
					panic("manager panicked")
				}
				time.Sleep(time.Second) // until the panic is known
				return nil
			}
			require.PanicsWithValue(t, "manager panicked", func() { d.DecryptBatch(t.Context(), msgs) })
			assert.Less(t, m.calls, 20+unwraps, "further calls were made")
			m.cleared(t)
		})
	}
}

// TestDecryptBatchManagerEndsGoroutine has a manager call runtime.Goexit, as a failing
// test's does.
func TestDecryptBatchManagerEndsGoroutine(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	msgs, plaintexts := sealMany(t, newClient(t, nil), 50)
	told := 0
	m, d := slow(t, &envelope.Options{MaxUnwraps: 2, OnEvent: func(_ context.Context, e envelope.Event) {
		if e.Operation == envelope.OpDecrypt { // in this goroutine
			told++
			assert.GreaterOrEqual(t, e.Duration, time.Duration(0))
		}
	}})
	m.each = func(call int, _ keyring.DecryptionRequest) error {
		if call%10 == 0 {
			runtime.Goexit()
		}
		return nil
	}
	ended := 0
	for i, o := range d.DecryptBatch(t.Context(), msgs) {
		if o.Err != nil {
			require.ErrorContains(t, o.Err, "goroutine that worked on it was ended")
			ended++
			continue
		}
		require.Equal(t, plaintexts[i], o.Plaintext)
	}
	assert.Equal(t, 5, ended)
	assert.Equal(t, len(msgs), told)
	m.cleared(t)
}

// TestDecryptBatchManagerFails checks that the reason stays reachable.
func TestDecryptBatchManagerFails(t *testing.T) {
	c := oneDataKey(t, unsigned)
	msgs, _ := sealMany(t, c, 20)
	down := errors.New("key service is down")
	m, d := slow(t, nil)
	m.each = func(int, keyring.DecryptionRequest) error { return down }
	for _, o := range d.DecryptBatch(t.Context(), msgs) {
		require.ErrorIs(t, o.Err, down)
	}
	assert.Equal(t, 1, m.calls)
}

// TestDecryptBatchSizes mixes short messages with long ones, and batches of few.
func TestDecryptBatchSizes(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	for _, concurrency := range []int{1, 3} {
		c := withConcurrency(t, unsigned, 4096, concurrency)
		require.Empty(t, c.DecryptBatch(t.Context(), nil))
		for _, n := range []int{1, 2, 30} {
			var msgs []envelope.Sealed
			var plaintexts [][]byte
			for i := range n {
				plaintext := randomBytes([]int{0, 1, 4096, 3 * envelope.BatchLen, 1 << 20}[(i+n)%5])
				plaintexts = append(plaintexts, plaintext)
				msgs = append(msgs, envelope.Sealed{Message: encrypt(t, c, plaintext), Context: testContext})
			}
			kept := bytes.Clone(msgs[0].Message)
			opens(t, c.DecryptBatch(t.Context(), msgs), plaintexts)
			require.Equal(t, kept, msgs[0].Message, "the message was changed")
		}
	}
}
