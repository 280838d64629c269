package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

// The tests of faults have the manager fail in each way, at each load that the cache makes,
// while callers wait for it. Whatever happens, what they get is right, or an error that can be
// told from others, and the cache works on.

var errFault = errors.New("a SECRET")

// A fault is a way of a manager to fail.
type fault struct {
	name  string
	fails func(ctx context.Context, over <-chan struct{}) error
	late  bool // it fails when the materials are made

	is     error  // what callers are told, or nil
	says   string // the same
	outage bool   // what is kept may be used past its age then
	denies bool   // what is kept may not be used any more
}

func returns(err error) func(context.Context, <-chan struct{}) error {
	return func(context.Context, <-chan struct{}) error { return err }
}

var faults = []fault{
	{name: "error", fails: returns(errFault), is: errFault},
	{name: "error behind the work", fails: returns(errFault), late: true, is: errFault},
	{name: "end", fails: returns(io.EOF), is: io.EOF},
	{name: "cancelled", fails: returns(context.Canceled), is: context.Canceled},
	{name: "deadline", fails: returns(context.DeadlineExceeded), is: context.DeadlineExceeded, outage: true},
	{name: "outage", fails: returns(outage(true)), is: keyring.ErrUnavailable, outage: true},
	{name: "outage behind the work", fails: returns(outage(true)), late: true, is: keyring.ErrUnavailable, outage: true},
	{name: "refusal", fails: returns(outage(false)), is: outage(false), denies: true},
	{name: "refusal behind the work", fails: returns(outage(false)), late: true, is: outage(false), denies: true},
	{name: "panic", fails: func(context.Context, <-chan struct{}) error { panic(errFault) }, says: "panicked"},
	{name: "panic behind the work", fails: func(context.Context, <-chan struct{}) error { panic(errFault) }, late: true, says: "panicked"},
	{name: "Goexit", fails: func(context.Context, <-chan struct{}) error { runtime.Goexit(); return nil }, says: "ended its goroutine"},
	{name: "nothing made", fails: returns(nil), is: keyring.ErrInvalidMaterials},
	{name: "slow", is: keyring.ErrUnavailable, outage: true, fails: func(ctx context.Context, _ <-chan struct{}) error {
		<-ctx.Done()
		return ctx.Err()
	}},
	{name: "hanging", is: keyring.ErrUnavailable, outage: true, late: true, fails: func(_ context.Context, over <-chan struct{}) error {
		<-over
		return nil
	}},
}

// A faulty is a manager that has a fault from a moment on.
type faulty struct {
	*manager
	fault *fault // nil for none
	begin chan struct{}
	over  chan struct{}
}

// breaks begins a fault, which loads meet once meet is called.
func (m *faulty) breaks(f *fault) (meet func()) {
	m.begin = make(chan struct{})
	m.fault = f
	return sync.OnceFunc(func() { close(m.begin) })
}

func (m *faulty) call(ctx context.Context, make func() error, undo func()) error {
	f := m.fault
	if f == nil {
		return make()
	}
	<-m.begin
	if !f.late {
		return f.fails(ctx, m.over)
	}
	if err := make(); err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned {
			undo()
		}
	}()
	err := f.fails(ctx, m.over)
	returned = err == nil
	return err
}

func (m *faulty) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (e *keyring.EncryptionMaterials, err error) {
	err = m.call(ctx, func() error { e, err = m.manager.EncryptionMaterials(ctx, req); return err }, func() { e.Clear() })
	if err != nil {
		e = nil
	}
	return e, err
}

func (m *faulty) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (d *keyring.DecryptionMaterials, err error) {
	err = m.call(ctx, func() error { d, err = m.manager.DecryptionMaterials(ctx, req); return err }, func() { d.Clear() })
	if err != nil {
		d = nil
	}
	return d, err
}

// TestFaults has callers meet each fault with nothing in the cache, with a data key that is
// being replaced ahead of time, with one past its age, and with one that is used in an outage.
// The first of them stays, or leaves before the load has ended.
func TestFaults(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	for _, f := range faults {
		for _, operation := range []string{"encrypt", "decrypt"} {
			for _, with := range []string{"nothing", "a young key", "an old key", "a key in an outage"} {
				t.Run(fmt.Sprintf("%s/%s with %s", f.name, operation, with), func(t *testing.T) {
					for _, leaves := range []bool{false, true} {
						faketime.Test(t, func(t *testing.T) { meetFault(t, f, operation, with, leaves) })
					}
				})
			}
		}
	}
}

func meetFault(t *testing.T, f fault, operation, with string, leaves bool) {
	sound := newManager(t)
	written := encrypt(t, sound, request("42"))
	m := &faulty{manager: &manager{MaterialsManager: sound}, over: make(chan struct{})}
	c := newTestCache(t, m, Limits{MaxAge: time.Minute, StaleFor: time.Hour}, nil)

	// use returns the data key that a request gets, which must be the one that reads what is
	// written so.
	use := func(ctx context.Context) ([]byte, error) {
		var key []byte
		want := written
		if operation == "decrypt" {
			d, err := c.DecryptionMaterials(ctx, toDecrypt(written))
			if err != nil {
				return nil, err
			}
			key = d.DataKey
		} else {
			var err error
			if want, err = c.EncryptionMaterials(ctx, request("42")); err != nil {
				return nil, err
			}
			key = want.DataKey
		}
		// Also if the caller has left.
		d, err := sound.DecryptionMaterials(context.WithoutCancel(ctx), toDecrypt(want))
		if err != nil || !bytes.Equal(d.DataKey, key) {
			return nil, fmt.Errorf("the data key does not read what is written under it (%v)", err)
		}
		return key, nil
	}

	var first []byte
	if with != "nothing" {
		var err error
		first, err = use(t.Context())
		require.NoError(t, err)
	}
	switch with {
	case "a young key":
		time.Sleep(58 * time.Second) // past any moment that may have been drawn
	case "an old key":
		time.Sleep(time.Minute)
	case "a key in an outage":
		time.Sleep(time.Minute)
		out := fault{fails: returns(outage(true))}
		m.breaks(&out)()
		_, err := use(t.Context())
		require.NoError(t, err)
		time.Sleep(firstProbe)
	}

	meet := m.breaks(&f)
	loads := c.Stats().Loads
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	type outcome struct {
		key []byte
		err error
	}
	const callers = 5
	got := make(chan outcome, callers)
	leads := make(chan outcome, 1)
	go func() {
		key, err := use(ctx)
		leads <- outcome{key, err}
	}()
	synctest.Wait()
	for range callers {
		go func() {
			key, err := use(t.Context())
			got <- outcome{key, err}
		}()
	}
	synctest.Wait()
	if leaves {
		leave()
		synctest.Wait()
	}
	meet()

	// Who waits is not told of a fault in the background, and of no outage if there is a key.
	waits := with == "nothing" || with == "an old key"
	serves := !waits || with == "an old key" && f.outage
	check := func(one outcome) {
		if serves {
			require.NoError(t, one.err)
			require.Equal(t, first, one.key)
			return
		}
		require.Error(t, one.err)
		if f.is != nil {
			require.ErrorIs(t, one.err, f.is)
		}
		require.ErrorContains(t, one.err, f.says)
		if f.is != errFault {
			require.NotContains(t, one.err.Error(), "SECRET")
		}
	}
	if one := <-leads; leaves && waits {
		require.ErrorIs(t, one.err, context.Canceled)
	} else {
		check(one)
	}
	for range callers {
		check(<-got)
	}
	require.Equal(t, loads+1, c.Stats().Loads, "the manager was asked again for what had just failed")

	// What is kept goes when it may not be used any more, and not before.
	time.Sleep(2 * defaultLoadTimeout) // until a hanging load has been given up
	kept := f.outage && with != "nothing" || !f.denies && with == "a young key"
	require.Equal(t, kept, c.Stats().Entries == 1)

	// The fault is over.
	m.fault = nil
	_, err := use(t.Context())
	require.NoError(t, err)
	time.Sleep(lastProbe)
	_, err = use(t.Context())
	require.NoError(t, err)
	synctest.Wait()
	fresh, err := use(t.Context())
	require.NoError(t, err)
	require.Less(t, c.Stats().Oldest, time.Minute)
	stale := c.Stats().StaleUses

	// So is what had been hanging until now. It does not take the place of what is younger.
	close(m.over)
	synctest.Wait()
	again, err := use(t.Context())
	require.NoError(t, err)
	require.Equal(t, fresh, again)
	require.Equal(t, stale, c.Stats().StaleUses)
	require.Equal(t, 1, c.Stats().Entries)
	require.Empty(t, c.loads.running)
	require.Empty(t, c.loads.orphans)
	require.Empty(t, c.refresh)

	require.NoError(t, c.Close())
	synctest.Wait()
	require.Zero(t, m.kept(), "data keys left")
}

// TestFaultsOfBypasses has the manager fail in requests that are passed on to it: that is the
// caller's, the panic too.
func TestFaultsOfBypasses(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	m := newManager(t)
	c := newTestCache(t, m, Limits{}, nil)
	req := request("42")
	req.Fresh = true
	read := toDecrypt(encrypt(t, m, req))
	read.Fresh = true
	for name, ask := range map[string]func() error{
		"encrypt": func() error { _, err := c.EncryptionMaterials(t.Context(), req); return err },
		"decrypt": func() error { _, err := c.DecryptionMaterials(t.Context(), read); return err },
	} {
		for _, want := range []error{errFault, io.EOF, context.Canceled, context.DeadlineExceeded, outage(true), outage(false)} {
			m.set(func(context.Context) error { return want })
			require.Equal(t, want, ask(), name)
		}
		m.set(func(context.Context) error { panic(errFault) })
		require.PanicsWithValue(t, errFault, func() { ask() }, name)
		m.set(func(context.Context) error { runtime.Goexit(); return nil })
		ended := make(chan bool)
		go func() {
			defer close(ended)
			ask()
			ended <- false
		}()
		_, returned := <-ended
		require.False(t, returned, name)
		m.set(nil)
		require.NoError(t, ask(), name)
	}
	require.Zero(t, c.Stats().Entries)
	encrypt(t, c, request("42"))
}
