package field_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/internal/leaktest"
)

const workers = "sealring/envelope/field.(*run)"

// batch returns n patients of so many tenants, with two fields set.
func batch(n, tenants int) []*patient {
	var all []*patient
	for i := range n {
		all = append(all, &patient{ID: fmt.Sprint("p", i), Tenant: fmt.Sprint("t", i%tenants),
			SSN: field.New(fmt.Sprint(i)), Notes: field.New(fmt.Sprint("notes ", i))})
	}
	return all
}

// closed returns records as they are read after they were written.
func closed(t testing.TB, records []*patient) []*patient {
	var all []*patient
	for _, p := range records {
		all = append(all, reread(t, p))
	}
	return all
}

func indexed() *field.Options { return &field.Options{IndexKeys: field.NewIndexKeys()} }

// One bad record of many is named by its index, and the others are done.
func TestOneBadRecord(t *testing.T) {
	leaktest.AtEnd(t, workers)
	m := cached(t, rawKeyring(t, "a"))
	table := newTable[patient](t, m, "patients", indexed())
	for _, n := range []int{1, 2, 5, 1000} {
		bad := n / 2
		for name, c := range map[string]struct {
			seal, open func(records []*patient)
			err        error
			column     string
		}{
			"nil":               {seal: func(r []*patient) { r[bad] = nil }, err: field.ErrInvalidArgument},
			"no row":            {seal: func(r []*patient) { r[bad].ID = "" }, err: field.ErrInvalidArgument},
			"no tenant":         {seal: func(r []*patient) { r[bad].Tenant = "" }, err: field.ErrInvalidArgument},
			"tenant not UTF-8":  {seal: func(r []*patient) { r[bad].Tenant = "\xff" }, err: field.ErrInvalidArgument},
			"nil, opened":       {open: func(r []*patient) { r[bad] = nil }, err: field.ErrInvalidArgument},
			"no tenant, opened": {open: func(r []*patient) { r[bad].Tenant = "" }, err: field.ErrInvalidArgument},
			"another row":       {open: func(r []*patient) { r[bad].ID = "q"; r[bad].Notes.SetNull() }, err: field.ErrBinding, column: "ssn"},
			"another tenant":    {open: func(r []*patient) { r[bad].Tenant = "q"; r[bad].SSN.SetNull() }, err: envelope.ErrContextMismatch, column: "notes"},
			"empty":             {open: func(r []*patient) { require.NoError(t, r[bad].SSN.Scan("")) }, err: field.ErrNoMessage, column: "ssn"},
			"cut off": {open: func(r []*patient) { require.NoError(t, r[bad].SSN.Scan(bytesOf(t, r[bad].SSN)[:50])) },
				err: io.ErrUnexpectedEOF, column: "ssn"},
		} {
			records := batch(n, 3)
			if c.seal != nil {
				c.seal(records)
			}
			err := table.Seal(t.Context(), records...)
			if c.seal == nil {
				require.NoError(t, err, name)
				records = closed(t, records)
				c.open(records)
				err = table.Open(t.Context(), records...)
			}
			var all field.Errors
			require.ErrorAs(t, err, &all, name)
			require.Len(t, all, 1, name)
			assert.Equal(t, bad, all[0].Index, name)
			assert.Equal(t, c.column, all[0].Column, name)
			assert.Equal(t, "patients", all[0].Table, name)
			assert.ErrorIs(t, err, c.err, name)
			assert.ErrorContains(t, err, fmt.Sprint("record ", bad), name)
			for i, p := range records {
				if i == bad {
					continue
				}
				if c.seal != nil {
					_, err = p.SSN.Value()
				} else {
					_, err = p.SSN.Plaintext()
				}
				require.NoError(t, err, name)
			}
		}
	}
}

// The first three errors are in the text, and all can be reached, in the order of the
// records.
func TestManyErrors(t *testing.T) {
	table := newTable[patient](t, cached(t, rawKeyring(t, "a")), "patients", indexed())
	records := batch(100, 3)
	for i := 90; i >= 10; i -= 20 {
		records[i].ID = ""
	}
	records[50] = nil
	err := table.Seal(t.Context(), records...)
	var all field.Errors
	require.ErrorAs(t, err, &all)
	var indexes []int
	for _, e := range all {
		indexes = append(indexes, e.Index)
	}
	assert.Equal(t, []int{10, 30, 50, 70, 90}, indexes)
	assert.ErrorContains(t, err, "record 10: ")
	assert.ErrorContains(t, err, "record 50: ")
	assert.NotContains(t, err.Error(), "record 70")
	assert.ErrorContains(t, err, "and 2 more")
	require.NoError(t, table.Seal(t.Context()))
	require.NoError(t, table.Open(t.Context()))
}

// A record that is there twice is sealed once, and its errors have both indexes.
func TestRecordTwice(t *testing.T) {
	m := uncached(t, rawKeyring(t, "a"))
	table := newTable[patient](t, m, "patients", indexed())
	p := batch(2, 1)
	require.NoError(t, table.Seal(t.Context(), p[0], p[1], p[0]))
	assert.EqualValues(t, 4, m.encrypts.Load())
	r := closed(t, p)
	require.NoError(t, table.Open(t.Context(), r[0], r[0], r[1], r[0]))
	assert.EqualValues(t, 4, m.decrypts.Load())
	assert.Equal(t, "0", plaintext(t, r[0].SSN))

	r[1].ID = ""
	r[1].SSN.Set("new")
	var all field.Errors
	require.ErrorAs(t, table.Seal(t.Context(), r[1], r[0], r[1]), &all)
	require.Len(t, all, 2)
	assert.Equal(t, []int{0, 2}, []int{all[0].Index, all[1].Index})
}

// Each value is sealed once, however often Seal is called, until it or its place changes.
func TestSealedOnce(t *testing.T) {
	m := uncached(t, rawKeyring(t, "a"))
	table := newTable[patient](t, m, "patients", indexed())
	p := batch(1, 1)[0]
	require.NoError(t, table.Seal(t.Context(), p))
	r := reread(t, p)
	require.NoError(t, table.Open(t.Context(), r))
	for _, p := range []*patient{p, r} {
		for name, c := range map[string]struct {
			change func(p *patient)
			ssn    bool // is sealed anew
			notes  bool
		}{
			"nothing":          {func(p *patient) {}, false, false},
			"a value":          {func(p *patient) { p.SSN.Set("new 1") }, true, false},
			"the same value":   {func(p *patient) { p.SSN.Set(plaintext(t, p.SSN)) }, true, false},
			"the row":          {func(p *patient) { p.ID = "q" }, true, true},
			"the tenant":       {func(p *patient) { p.Tenant = "q" }, true, true},
			"the index":        {func(p *patient) { p.SSNIdx = field.Index{7, 1} }, false, false},
			"one to the other": {func(p *patient) { p.SSN = p.Notes; p.SSNIdx = nil }, true, false},
		} {
			q := *p
			c.change(&q)
			require.NoError(t, table.Seal(t.Context(), &q), name)
			assert.Equal(t, c.ssn, string(bytesOf(t, q.SSN)) != string(bytesOf(t, p.SSN)), name)
			assert.Equal(t, c.notes, string(bytesOf(t, q.Notes)) != string(bytesOf(t, p.Notes)), name)
			r := reread(t, &q)
			require.NoError(t, table.Open(t.Context(), r), name)
			assert.Equal(t, plaintext(t, q.SSN), plaintext(t, r.SSN), name)
			assert.Equal(t, byte(1), q.SSNIdx[0], name)
		}
	}
	// Another table, with the same name or another, does not take what is not its own.
	for _, name := range []string{"patients", "doctors"} {
		q := *p
		other := newTable[patient](t, m, name, indexed())
		require.NoError(t, other.Seal(t.Context(), &q))
		require.NoError(t, other.Open(t.Context(), reread(t, &q)))
	}
}

// What is closed or NULL stays as it is; the index of NULL is NULL.
func TestPartialRecords(t *testing.T) {
	table := newTable[patient](t, cached(t, rawKeyring(t, "a")), "patients", indexed())
	p := batch(1, 1)[0]
	require.NoError(t, table.Seal(t.Context(), p))

	partial := &patient{ID: p.ID, Tenant: p.Tenant, Notes: stored(t, p.Notes)}
	require.NoError(t, table.Open(t.Context(), partial))
	assert.Equal(t, "notes 0", plaintext(t, partial.Notes))
	assert.True(t, partial.SSN.IsNull())

	r := reread(t, p)
	r.Notes.Set("new")
	require.NoError(t, table.Seal(t.Context(), r))
	assert.Equal(t, bytesOf(t, p.SSN), bytesOf(t, r.SSN))
	assert.Equal(t, p.SSNIdx, r.SSNIdx)
	_, err := r.SSN.Plaintext()
	assert.ErrorIs(t, err, field.ErrNotOpened)

	r.SSN.SetNull()
	require.NoError(t, table.Seal(t.Context(), r))
	assert.Nil(t, r.SSNIdx)

	// A record with nothing to do needs no row and no tenant.
	require.NoError(t, table.Seal(t.Context(), &patient{}))
	require.NoError(t, table.Open(t.Context(), &patient{}))
}

// A record that was read as text or as bytes, or decoded from JSON, is written as its column
// is.
func TestSealKeepsTheColumnsForm(t *testing.T) {
	table := newTable[oneText](t, cached(t, rawKeyring(t, "a")), "patients", nil)
	p := oneText{ID: "p", SSN: field.New("v")}
	require.NoError(t, table.Seal(t.Context(), &p))
	b, err := p.SSN.MarshalJSON()
	require.NoError(t, err)
	got := oneText{ID: "p"}
	require.NoError(t, got.SSN.UnmarshalJSON(b))
	require.NoError(t, table.Seal(t.Context(), &got))
	want, err := p.SSN.Value()
	require.NoError(t, err)
	v, err := got.SSN.Value()
	require.NoError(t, err)
	assert.Equal(t, want, v)
}

// Records that point to one field are refused, since it can be sealed for one row only; so
// are those that point to one index.
func TestSharedPointers(t *testing.T) {
	type part struct {
		V field.Sealed[string] `seal:"v"`
	}
	type withIndex struct {
		I field.Index `seal:"index=v"`
	}
	type record struct {
		ID string `seal:",row"`
		P  *part  `seal:",inline"`
	}
	type split struct {
		ID string               `seal:",row"`
		V  field.Sealed[string] `seal:"v"`
		I  *withIndex           `seal:",inline"`
	}
	m := cached(t, rawKeyring(t, "a"))
	table := newTable[record](t, m, "t", nil)
	for _, n := range []int{2, 100} {
		shared, sharedIndex := &part{field.New("v")}, &withIndex{}
		var records []*record
		var splits []*split
		for i := range n {
			records = append(records, &record{ID: fmt.Sprint(i), P: shared})
			splits = append(splits, &split{ID: fmt.Sprint(i), V: field.New(fmt.Sprint(i)), I: sharedIndex})
		}
		var all field.Errors
		require.ErrorAs(t, table.Seal(t.Context(), records...), &all)
		assert.Len(t, all, n-1)
		assert.Equal(t, 1, all[0].Index)
		assert.ErrorIs(t, all[0], field.ErrInvalidArgument)
		require.NoError(t, table.Open(t.Context(), &record{ID: "0", P: &part{stored(t, shared.V)}}))

		indexes := newTable[split](t, m, "t", indexed())
		require.ErrorAs(t, indexes.Seal(t.Context(), splits...), &all)
		assert.Len(t, all, n-1)
		assert.ErrorIs(t, all[0], field.ErrInvalidArgument)
		terms, err := indexes.Terms("v", "0", nil)
		require.NoError(t, err)
		assert.Equal(t, terms[0], []byte(sharedIndex.I))
	}
	// NULLs are nothing that could be shared.
	empty := &part{}
	require.NoError(t, table.Seal(t.Context(), &record{ID: "1", P: empty}, &record{ID: "2", P: empty}))
}

// An index that has no place to go to is an error, and not left out.
func TestIndexInNilStruct(t *testing.T) {
	type withIndex struct {
		I field.Index `seal:"index=v"`
	}
	type record struct {
		ID string               `seal:",row"`
		V  field.Sealed[string] `seal:"v"`
		I  *withIndex           `seal:",inline"`
	}
	table := newTable[record](t, cached(t, rawKeyring(t, "a")), "t", indexed())
	p := record{ID: "p", V: field.New("v")}
	err := table.Seal(t.Context(), &p)
	assert.ErrorIs(t, err, field.ErrInvalidArgument)
	assert.ErrorContains(t, err, "I.I")
	_, err = p.V.Value()
	assert.ErrorIs(t, err, field.ErrUnsealed)
}

func TestCompositeKeys(t *testing.T) {
	type record struct {
		B   int                  `seal:",row=2"`
		A   string               `seal:",row=1,context=a"`
		V   field.Sealed[string] `seal:"v"`
		Old field.Sealed[string] `seal:"old"`
	}
	m := cached(t, rawKeyring(t, "a"))
	table := newTable[record](t, m, "t", nil)
	p := record{A: "a", B: 7, V: field.New("v")}
	require.NoError(t, table.Seal(t.Context(), &p))
	for _, c := range []struct {
		r  record
		ok bool
	}{{record{A: "a", B: 7}, true}, {record{A: "a", B: 8}, false}, {record{A: "b", B: 7}, false}, {record{A: "a"}, false}, {record{B: 7}, false}} {
		c.r.V = stored(t, p.V)
		assert.Equal(t, c.ok, table.Open(t.Context(), &c.r) == nil, c)
	}
}

// A key that the database makes: sealed after the insert, or bound to no row.
func TestDatabaseMakesTheKey(t *testing.T) {
	type record struct {
		ID int64                `seal:",row"`
		V  field.Sealed[string] `seal:"v"`
	}
	type rowless struct {
		ID int64
		V  field.Sealed[string] `seal:"v"`
	}
	m := cached(t, rawKeyring(t, "a"))
	table := newTable[record](t, m, "t", nil)
	p := record{V: field.New("v")}
	assert.ErrorIs(t, table.Seal(t.Context(), &p), field.ErrInvalidArgument)
	p.ID = 7
	require.NoError(t, table.Seal(t.Context(), &p))

	without := newTable[rowless](t, m, "t", &field.Options{WithoutRow: true})
	q := rowless{V: field.New("v")}
	require.NoError(t, without.Seal(t.Context(), &q))
	other := rowless{ID: 8, V: stored(t, q.V)}
	require.NoError(t, without.Open(t.Context(), &other), "rows can be exchanged, as the option says")
}

func TestReadPlaintext(t *testing.T) {
	type record struct {
		ID string               `seal:",row"`
		S  field.Sealed[string] `seal:"s"`
		N  field.Sealed[int]    `seal:"n"`
		C  field.Sealed[card]   `seal:"c"`
		I  field.Index          `seal:"index=s"`
	}
	m := cached(t, rawKeyring(t, "a"))
	o := indexed()
	strict := newTable[record](t, m, "t", o)
	o.ReadPlaintext = true
	table := newTable[record](t, m, "t", o)
	half := record{ID: "p", S: field.New("sealed")}
	require.NoError(t, strict.Seal(t.Context(), &half))
	read := func() *record {
		r := &record{ID: "p", S: stored(t, half.S), I: half.I}
		require.NoError(t, r.N.Scan("17"))
		require.NoError(t, r.C.Scan([]byte(`{"Number":"4711"}`)))
		return r
	}
	r := read()
	var all field.Errors
	require.ErrorAs(t, strict.Open(t.Context(), r), &all)
	require.Len(t, all, 2)
	assert.ErrorIs(t, all[0], field.ErrNoMessage)
	assert.Zero(t, strict.PlaintextsRead())

	r = read()
	require.NoError(t, table.Open(t.Context(), r))
	assert.EqualValues(t, 2, table.PlaintextsRead())
	assert.Equal(t, "sealed", plaintext(t, r.S))
	assert.Equal(t, 17, plaintext(t, r.N))
	assert.Equal(t, card{"4711"}, plaintext(t, r.C))
	_, err := r.N.Value()
	assert.ErrorIs(t, err, field.ErrUnsealed, "not even now is plaintext written")
	require.NoError(t, table.Seal(t.Context(), r))
	got := &record{ID: "p", N: stored(t, r.N)}
	require.NoError(t, strict.Open(t.Context(), got))
	assert.Equal(t, 17, plaintext(t, got.N))

	// An empty text is a value there. What does not fit the type is an error, and no value is
	// made up; a sealed value of another row stays refused.
	r = &record{ID: "p"}
	require.NoError(t, r.S.Scan(""))
	require.NoError(t, r.N.Scan("x"))
	err = table.Open(t.Context(), r)
	assert.ErrorIs(t, err, field.ErrType)
	assert.Equal(t, "", plaintext(t, r.S))
	assert.EqualValues(t, 3, table.PlaintextsRead())
	r = &record{ID: "q", S: stored(t, half.S)}
	assert.ErrorIs(t, table.Open(t.Context(), r), field.ErrBinding)
}

func TestCancelled(t *testing.T) {
	leaktest.AtEnd(t, workers)
	for _, n := range []int{1, 3, 500} {
		m := uncached(t, rawKeyring(t, "a"))
		table := newTable[patient](t, m, "patients", indexed())
		done := batch(n, 1)
		require.NoError(t, table.Seal(t.Context(), done...))

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		records, read := batch(n, 1), closed(t, done)
		m.encrypts.Store(0)
		m.decrypts.Store(0)
		for name, err := range map[string]error{"Seal": table.Seal(ctx, records...), "Open": table.Open(ctx, read...)} {
			var all field.Errors
			require.ErrorAs(t, err, &all, name)
			assert.ErrorIs(t, err, context.Canceled, name)
			assert.Len(t, all, 2*n, name)
		}
		assert.Zero(t, m.encrypts.Load())
		_, err := records[0].SSN.Value()
		assert.ErrorIs(t, err, field.ErrUnsealed)

		// In the middle: each field is either done or named.
		for _, seal := range []bool{true, false} {
			ctx, cancel := context.WithCancel(t.Context())
			var calls atomic.Int64
			m.before = func(ctx context.Context, _ string) error {
				if calls.Add(1) == int64(n) {
					cancel()
				}
				return ctx.Err()
			}
			records, read = batch(n, 1), closed(t, done)
			if seal {
				err = table.Seal(ctx, records...)
			} else {
				err = table.Open(ctx, read...)
			}
			cancel()
			m.before = nil
			var all field.Errors
			require.ErrorAs(t, err, &all)
			assert.ErrorIs(t, err, context.Canceled)
			failed := map[string]bool{}
			for _, e := range all {
				failed[fmt.Sprint(e.Index, e.Column)] = true
			}
			assert.Less(t, len(failed), 2*n+1)
			for i := range n {
				for column, isDone := range map[string]bool{
					"ssn":   isDone(records[i].SSN, read[i].SSN, seal),
					"notes": isDone(records[i].Notes, read[i].Notes, seal),
				} {
					assert.Equal(t, !failed[fmt.Sprint(i, column)], isDone, "%d %s", i, column)
				}
			}
			// Then the rest can be done.
			require.NoError(t, table.Seal(t.Context(), records...))
			require.NoError(t, table.Open(t.Context(), read...))
		}
	}
}

func isDone(toSeal, toOpen field.Sealed[string], seal bool) bool {
	if seal {
		_, err := toSeal.Value()
		return err == nil
	}
	_, err := toOpen.Plaintext()
	return err == nil
}

// A manager that fails for one tenant is not asked for each of its records, and the others
// are done.
func TestOneTenantFails(t *testing.T) {
	down := errors.New("key disabled")
	m := uncached(t, rawKeyring(t, "a"))
	table := newTable[patient](t, m, "patients", indexed())
	sealed := batch(1000, 10)
	require.NoError(t, table.Seal(t.Context(), sealed...))
	var asked atomic.Int64
	m.before = func(_ context.Context, tenant string) error {
		if tenant == "t3" {
			asked.Add(1)
			return down
		}
		return nil
	}
	for name, call := range map[string]func() error{
		"Seal": func() error { return table.Seal(t.Context(), batch(1000, 10)...) },
		"Open": func() error { return table.Open(t.Context(), closed(t, sealed)...) },
	} {
		asked.Store(0)
		var all field.Errors
		require.ErrorAs(t, call(), &all, name)
		assert.Len(t, all, 200, name)
		for _, e := range all {
			assert.ErrorIs(t, e, down, name)
			assert.Equal(t, 3, e.Index%10, name)
		}
		if name == "Seal" {
			assert.EqualValues(t, 1, asked.Load())
		}
	}
}

// A panic of a manager is the caller's, and one that ends its goroutine is an error. No
// goroutine is left, and no field is done by halves.
func TestManagerPanics(t *testing.T) {
	leaktest.AtEnd(t, workers)
	for _, n := range []int{1, 3, 20, 500} {
		m := uncached(t, rawKeyring(t, "a"))
		table := newTable[patient](t, m, "patients", indexed())
		sealed := batch(n, 3)
		require.NoError(t, table.Seal(t.Context(), sealed...))
		var calls atomic.Int64
		m.before = func(context.Context, string) error {
			if calls.Add(1) == int64(n) {
				panic("a manager's bug")
			}
			return nil
		}
		assert.PanicsWithValue(t, "a manager's bug", func() { table.Seal(t.Context(), batch(n, 3)...) })
		calls.Store(0)
		assert.PanicsWithValue(t, "a manager's bug", func() { table.Open(t.Context(), closed(t, sealed)...) })

		for range 10 {
			calls.Store(0)
			m.before = func(context.Context, string) error {
				if calls.Add(1) > int64(n/2) {
					runtime.Goexit()
				}
				return nil
			}
			records := batch(n, 3)
			ended := make(chan error, 1)
			go func() {
				defer close(ended)
				ended <- table.Seal(t.Context(), records...)
			}()
			if err, returned := <-ended; returned {
				assert.Error(t, err, "not all fields are sealed")
			}
			leaktest.None(t, workers)
		}
		m.before = nil
		require.NoError(t, table.Open(t.Context(), closed(t, sealed)...))
	}
}

// Normalizers are the user's code too.
func TestNormalizerPanics(t *testing.T) {
	type record struct {
		ID string               `seal:",row"`
		V  field.Sealed[string] `seal:"v"`
		I  field.Index          `seal:"index=v,normalize=own"`
	}
	o := indexed()
	o.Normalizers = []field.Normalizer{{Name: "own", Normalize: func(string) string { panic("own") }}}
	table := newTable[record](t, cached(t, rawKeyring(t, "a")), "t", o)
	var many []*record
	for i := range 100 {
		many = append(many, &record{ID: fmt.Sprint("p", i), V: field.New("v")})
	}
	assert.PanicsWithValue(t, "own", func() { table.Seal(t.Context(), many[0]) })
	assert.PanicsWithValue(t, "own", func() { table.Seal(t.Context(), many...) })
	leaktest.None(t, workers)
}

// One call of the key service for each tenant, to write and to read.
func TestKeyServiceCalls(t *testing.T) {
	for _, c := range []struct{ rows, tenants int }{{1, 1}, {7, 1}, {100, 10}, {20000, 10}} {
		k := &keyringCounter{Keyring: rawKeyring(t, "a")}
		table := newTable[patient](t, cached(t, k), "patients", indexed())
		records := batch(c.rows, c.tenants)
		require.NoError(t, table.Seal(t.Context(), records...))
		assert.EqualValues(t, c.tenants, k.encrypts.Load())
		read := closed(t, records)
		fresh := newTable[patient](t, cached(t, k), "patients", indexed()) // another process
		require.NoError(t, fresh.Open(t.Context(), read...))
		assert.EqualValues(t, c.tenants, k.decrypts.Load())
		assert.Equal(t, fmt.Sprint("notes ", c.rows-1), plaintext(t, read[c.rows-1].Notes))
	}
	// Without a cache each message has a data key of its own.
	m := uncached(t, rawKeyring(t, "a"))
	table := newTable[patient](t, m, "patients", indexed())
	records := batch(50, 5)
	require.NoError(t, table.Seal(t.Context(), records...))
	assert.EqualValues(t, 100, m.encrypts.Load())
	require.NoError(t, table.Open(t.Context(), closed(t, records)...))
	assert.EqualValues(t, 100, m.decrypts.Load())
}

// A table is safe for concurrent use.
func TestConcurrentUse(t *testing.T) {
	leaktest.AtEnd(t, workers)
	table := newTable[patient](t, cached(t, rawKeyring(t, "a")), "patients", indexed())
	for g := range 8 {
		t.Run(fmt.Sprint(g), func(t *testing.T) {
			t.Parallel()
			for n := range 20 {
				records := batch(1+5*n, 1+g)
				require.NoError(t, table.Seal(t.Context(), records...))
				read := closed(t, records)
				require.NoError(t, table.Open(t.Context(), read...))
				for i := range read {
					require.Equal(t, plaintext(t, records[i].SSN), plaintext(t, read[i].SSN))
					require.Equal(t, plaintext(t, records[i].Notes), plaintext(t, read[i].Notes))
				}
			}
		})
	}
}
