package field_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/internal/faulttest"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

// The tests of faults have all that the package is given by others fail, in each way and at
// each call: the materials manager, the functions of a rotation, the values' own methods.
// Whatever happens, a field is done or as it was, an error can be told from others, and the
// table works on.

var errFault = faulttest.Err

// A fault is a way of a call to fail.
type fault struct {
	name  string
	fails func(cancel func()) error
	late  bool  // it fails when the work is done
	is    error // what the library must return then, or nil if it is a panic
	down  bool  // the key service is, so that a rotation ends
}

var faults = slices.Concat(early, func() (late []fault) {
	for _, f := range early {
		f.name, f.late = f.name+" behind the work", true
		late = append(late, f)
	}
	return late
}())

var early = []fault{
	{name: "error", is: errFault, fails: func(func()) error { return errFault }},
	{name: "end", is: io.EOF, fails: func(func()) error { return io.EOF }},
	{name: "deadline", is: context.DeadlineExceeded, fails: func(func()) error { return context.DeadlineExceeded }},
	{name: "outage", is: envelope.ErrUnavailable, down: true, fails: func(func()) error { return envelope.ErrUnavailable }},
	{name: "cancel", is: context.Canceled, down: true, fails: func(cancel func()) error {
		cancel()
		return context.Canceled
	}},
	{name: "panic", down: true, fails: func(func()) error { panic(errFault) }},
}

// A breaker has one call of some fail, and counts them.
type breaker struct {
	fault
	cancel func()

	left atomic.Int64 // calls before
	hit  atomic.Bool
}

// newBreaker returns a breaker that fails behind so many calls.
func newBreaker(f fault, cancel func(), calls int) *breaker {
	b := &breaker{fault: f, cancel: cancel}
	b.left.Store(int64(calls))
	return b
}

func (b *breaker) call(work func() error) error {
	if b.left.Add(-1) != -1 {
		return work()
	}
	b.hit.Store(true)
	if b.late {
		if err := work(); err != nil {
			return err
		}
	}
	return b.fails(b.cancel)
}

// eachCall calls try with each fault at each call that try makes.
func eachCall(t *testing.T, faults []fault, try func(ctx context.Context, b *breaker, where string)) {
	for _, f := range faults {
		for calls := 0; ; calls++ {
			ctx, cancel := context.WithCancel(t.Context())
			b := newBreaker(f, cancel, calls)
			try(ctx, b, fmt.Sprintf("%s at call %d", f.name, calls))
			cancel()
			if !b.hit.Load() {
				require.Positive(t, calls, "nothing was called")
				break
			}
		}
	}
}

// A faulty is a materials manager that has a breaker, for what it makes, reads, or both.
type faulty struct {
	keyring.MaterialsManager
	encrypts, decrypts *breaker // nil for none
}

func (m *faulty) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (e *keyring.EncryptionMaterials, err error) {
	if m.encrypts == nil {
		return m.MaterialsManager.EncryptionMaterials(ctx, req)
	}
	if err := m.encrypts.call(func() error { e, err = m.MaterialsManager.EncryptionMaterials(ctx, req); return err }); err != nil {
		return nil, err
	}
	return e, nil
}

func (m *faulty) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (d *keyring.DecryptionMaterials, err error) {
	if m.decrypts == nil {
		return m.MaterialsManager.DecryptionMaterials(ctx, req)
	}
	if err := m.decrypts.call(func() error { d, err = m.MaterialsManager.DecryptionMaterials(ctx, req); return err }); err != nil {
		return nil, err
	}
	return d, nil
}

// columns returns the errors of a call by record and column, all of which must be of columns.
func columns(t *testing.T, err error, where string) map[string]error {
	t.Helper()
	failed := map[string]error{}
	if err == nil {
		return failed
	}
	var all field.Errors
	require.ErrorAs(t, err, &all, where)
	for _, e := range all {
		require.NotEmpty(t, e.Column, where)
		key := fmt.Sprint(e.Index, e.Column)
		require.NotContains(t, failed, key, where)
		failed[key] = e
	}
	return failed
}

// faultTables are the ways in which materials come to the tables that faults are tried with.
func faultTables(t *testing.T, each func(t *testing.T, caches bool, n int, o *envelope.Options)) {
	leaktest.AtEnd(t, workers, "sealring/envelope.(*batchRun)", "sealring/cache.(*Cache)")
	for _, caches := range []bool{false, true} {
		for _, n := range []int{1, 7} { // 7 are sealed by several goroutines
			for _, concurrency := range []int{1, 3} {
				t.Run(fmt.Sprintf("cached=%t/%d records/concurrency %d", caches, n, concurrency), func(t *testing.T) {
					each(t, caches, n, &envelope.Options{Concurrency: concurrency, MaxUnwraps: concurrency})
				})
			}
		}
	}
}

// through returns a manager over another, with or without a cache between.
func through(t *testing.T, m keyring.MaterialsManager, caches bool) keyring.MaterialsManager {
	if !caches {
		return m
	}
	c, err := cache.NewFromManager(m, cache.Limits{MaxAge: 1 << 40})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// ended waits for the loads of caches. One goes on when its caller is cancelled, and the next
// would be told of the same fault.
func ended(t *testing.T) { leaktest.None(t, "sealring/cache.(*Cache).startLoad") }

// failsRight checks how a call has failed, if it has. A cache turns a panic of its manager
// into an error.
func failsRight(t *testing.T, b *breaker, err error, panicked, caches bool, where string) {
	t.Helper()
	require.Equal(t, b.hit.Load(), err != nil, "%s: %v", where, err)
	require.Equal(t, b.hit.Load() && b.is == nil && !caches, panicked, where)
	if err == nil || panicked {
		return
	}
	for _, one := range columns(t, err, where) {
		if b.is != nil {
			require.ErrorIs(t, one, b.is, where)
		} else {
			require.ErrorContains(t, one, "panicked", where)
		}
	}
}

// TestFaultsOfSealing has each call for materials fail while records are sealed: new ones, and
// those that were opened and have moved to another row.
func TestFaultsOfSealing(t *testing.T) {
	faultTables(t, func(t *testing.T, caches bool, n int, o *envelope.Options) {
		sound := uncached(t, rawKeyring(t, "a"))
		keys := field.NewIndexKeys()
		check := newTable[patient](t, sound, "patients", &field.Options{IndexKeys: keys})
		stored := batch(n, 3)
		require.NoError(t, check.Seal(t.Context(), stored...))
		eachCall(t, faults, func(ctx context.Context, b *breaker, where string) {
			m := &faulty{MaterialsManager: sound}
			table := newTable[patient](t, through(t, m, caches), "patients", &field.Options{IndexKeys: keys, Envelope: o})
			records, before := batch(n, 3), make([]patient, n)
			for i := range records {
				if i%2 == 1 {
					records[i] = reread(t, stored[i])
					require.NoError(t, table.Open(t.Context(), records[i]))
					records[i].ID = fmt.Sprint("moved", i)
				}
				before[i] = *records[i]
			}
			m.encrypts = b
			err, panicked := faulttest.Outcome(func() error { return table.Seal(ctx, records...) })
			failsRight(t, b, err, panicked, caches, where)

			// What failed is as it was; all else can be read where it is now.
			failed := columns(t, err2nil(err, panicked), where)
			whole := func(i int) {
				p := reread(t, records[i])
				require.NoError(t, check.Open(t.Context(), p), where)
				require.Equal(t, fmt.Sprint(i), plaintext(t, p.SSN), where)
				require.Equal(t, fmt.Sprint("notes ", i), plaintext(t, p.Notes), where)
				terms, err := check.Terms("ssn", fmt.Sprint(i), keyring.EncryptionContext{"tenant": p.Tenant})
				require.NoError(t, err)
				require.Equal(t, terms[0], []byte(p.SSNIdx), where)
			}
			for i, p := range records {
				require.Equal(t, fmt.Sprint(i), plaintext(t, p.SSN), where)
				require.Equal(t, fmt.Sprint("notes ", i), plaintext(t, p.Notes), where)
				ssn := sealedAnew(t, before[i].SSN, p.SSN)
				notes := sealedAnew(t, before[i].Notes, p.Notes)
				if !panicked {
					require.Equal(t, failed[fmt.Sprint(i, "ssn")] == nil, ssn, "%s: record %d", where, i)
					require.Equal(t, failed[fmt.Sprint(i, "notes")] == nil, notes, "%s: record %d", where, i)
				}
				one := &patient{ID: p.ID, Tenant: p.Tenant}
				if ssn {
					one.SSN, one.SSNIdx = p.SSN, p.SSNIdx
				} else {
					require.Equal(t, before[i].SSNIdx, p.SSNIdx, where)
				}
				if notes {
					one.Notes = p.Notes
				}
				require.NoError(t, check.Open(t.Context(), reread(t, one)), where)
			}

			// A second call does what is left.
			ended(t)
			require.NoError(t, table.Seal(t.Context(), records...), where)
			for i := range records {
				whole(i)
			}
		})
	})
}

// err2nil returns no error for a panic.
func err2nil(err error, panicked bool) error {
	if panicked {
		return nil
	}
	return err
}

// sealedAnew says whether a field was sealed since before. If not, it must be as it was.
func sealedAnew(t *testing.T, before, now field.Sealed[string]) bool {
	was, errWas := before.Value()
	is, errIs := now.Value()
	if errWas != nil {
		require.ErrorIs(t, errWas, field.ErrUnsealed)
		if errIs != nil {
			require.ErrorIs(t, errIs, field.ErrUnsealed)
		}
		return errIs == nil
	}
	require.NoError(t, errIs)
	return string(was.([]byte)) != string(is.([]byte))
}

// TestFaultsOfOpening has each call for materials fail while records are opened: those of
// two fields, and of one, so that there is one message alone.
func TestFaultsOfOpening(t *testing.T) {
	for _, single := range []bool{false, true} {
		t.Run(fmt.Sprintf("single=%t", single), func(t *testing.T) { faultsOfOpening(t, single) })
	}
}

func faultsOfOpening(t *testing.T, single bool) {
	faultTables(t, func(t *testing.T, caches bool, n int, o *envelope.Options) {
		sound := uncached(t, rawKeyring(t, "a"))
		keys := field.NewIndexKeys()
		stored := batch(n, 3)
		for _, p := range stored {
			if single {
				p.Notes = field.Sealed[string]{}
			}
		}
		// Data keys are shared where there is a cache, and so are the calls that fail.
		require.NoError(t, newTable[patient](t, through(t, sound, caches), "patients", &field.Options{IndexKeys: keys}).Seal(t.Context(), stored...))
		eachCall(t, faults, func(ctx context.Context, b *breaker, where string) {
			m := &faulty{MaterialsManager: sound, decrypts: b}
			table := newTable[patient](t, through(t, m, caches), "patients", &field.Options{IndexKeys: keys, Envelope: o})
			records := closed(t, stored)
			err, panicked := faulttest.Outcome(func() error { return table.Open(ctx, records...) })
			failsRight(t, b, err, panicked, caches, where)
			failed := columns(t, err2nil(err, panicked), where)
			for i, p := range records {
				for column, one := range map[string]struct {
					stored, read field.Sealed[string]
					want         string
				}{"ssn": {stored[i].SSN, p.SSN, fmt.Sprint(i)}, "notes": {stored[i].Notes, p.Notes, fmt.Sprint("notes ", i)}} {
					if single && column == "notes" {
						require.True(t, one.read.IsNull(), where)
						continue
					}
					require.Equal(t, bytesOf(t, one.stored), bytesOf(t, one.read), where)
					got, err := one.read.Plaintext()
					if panicked || failed[fmt.Sprint(i, column)] != nil {
						require.ErrorIs(t, err, field.ErrNotOpened, where)
						require.Empty(t, got, where)
						continue
					}
					require.NoError(t, err, where)
					require.Equal(t, one.want, got, where)
				}
			}
			ended(t)
			require.NoError(t, table.Open(t.Context(), records...), where)
			for i, p := range records {
				require.Equal(t, fmt.Sprint(i), plaintext(t, p.SSN), where)
				if !single {
					require.Equal(t, fmt.Sprint("notes ", i), plaintext(t, p.Notes), where)
				}
			}
		})
	})
}

// TestFaultsOfIndexKeys has the calls for materials fail while index keys are sealed and opened.
func TestFaultsOfIndexKeys(t *testing.T) {
	sound := uncached(t, rawKeyring(t, "a"))
	keys := field.NewIndexKeys()
	sealed, err := keys.Seal(t.Context(), sound)
	require.NoError(t, err)
	eachCall(t, faults, func(ctx context.Context, b *breaker, where string) {
		m := &faulty{MaterialsManager: sound, encrypts: b, decrypts: b}
		var again []byte
		var opened *field.IndexKeys
		err, panicked := faulttest.Outcome(func() (err error) {
			if again, err = keys.Seal(ctx, m); err != nil {
				return err
			}
			opened, err = field.OpenIndexKeys(ctx, m, again)
			return err
		})
		require.Equal(t, b.hit.Load(), err != nil, where)
		require.Equal(t, b.hit.Load(), opened == nil, where)
		require.Equal(t, b.hit.Load() && b.is == nil, panicked, where)
		if b.hit.Load() && !panicked {
			require.ErrorIs(t, err, b.is, where)
		}
		opened, err = field.OpenIndexKeys(t.Context(), sound, sealed)
		require.NoError(t, err, where)
		require.Equal(t, keys.Versions(), opened.Versions())
	})
}

// A brittle is a string whose methods fail as a test says.
type brittle struct{ s string }

// brittleness is what the methods of all brittles meet.
var brittleness *breaker

func (v brittle) call() (b []byte, err error) {
	err = brittleness.call(func() error { b = []byte(v.s); return nil })
	if err != nil {
		b = nil
	}
	return b, err
}

func (v brittle) MarshalText() ([]byte, error) { return v.call() }

func (v *brittle) UnmarshalText(b []byte) error {
	return brittleness.call(func() error { v.s = string(b); return nil })
}

// TestFaultsOfValues has the methods of values, rows and contexts fail, and a normalizer, which
// can but panic.
func TestFaultsOfValues(t *testing.T) {
	leaktest.AtEnd(t, workers, "sealring/envelope.(*batchRun)")
	type record struct {
		ID     brittle               `seal:",row"`
		Tenant brittle               `seal:",context=tenant"`
		V      field.Sealed[brittle] `seal:"v"`
		W      field.Sealed[string]  `seal:"w"`
		I      field.Index           `seal:"index=w,normalize=own"`
	}
	sound := func() { brittleness = newBreaker(fault{}, nil, -1) }
	for _, n := range []int{1, 7} {
		for _, open := range []bool{false, true} {
			table := newTable[record](t, cached(t, rawKeyring(t, "a")), "t", &field.Options{
				IndexKeys: field.NewIndexKeys(), Envelope: &envelope.Options{Concurrency: 3},
				Normalizers: []field.Normalizer{{Name: "own", Normalize: func(s string) string {
					if brittleness.is == nil {
						brittleness.call(func() error { return nil })
					}
					return s
				}}},
			})
			fresh := func() (all []*record) {
				for i := range n {
					all = append(all, &record{ID: brittle{fmt.Sprint("p", i)}, Tenant: brittle{fmt.Sprint("t", i%3)},
						V: field.New(brittle{fmt.Sprint("v", i)}), W: field.New(fmt.Sprint("w", i))})
				}
				return all
			}
			// check says which fields of a record are done, and holds that the others are as they
			// were.
			check := func(p *record, i int, where string) (v, w bool) {
				one := record{ID: p.ID, Tenant: p.Tenant}
				_, err := p.V.Value()
				if v = err == nil; v {
					one.V = stored(t, p.V)
				} else {
					require.ErrorIs(t, err, field.ErrUnsealed, where)
				}
				_, err = p.W.Value()
				if w = err == nil; w {
					one.W = stored(t, p.W)
				} else {
					require.ErrorIs(t, err, field.ErrUnsealed, where)
				}
				require.Equal(t, w, p.I != nil, where)
				require.NoError(t, table.Open(t.Context(), &one), where)
				if v {
					require.Equal(t, fmt.Sprint("v", i), plaintext(t, one.V).s, where)
				}
				if w {
					require.Equal(t, fmt.Sprint("w", i), plaintext(t, one.W), where)
				}
				return v, w
			}
			sound()
			written := fresh()
			require.NoError(t, table.Seal(t.Context(), written...))
			eachCall(t, slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.is == context.Canceled }),
				func(ctx context.Context, b *breaker, where string) {
					records := fresh()
					if open {
						for i, p := range records {
							p.V, p.W, p.I = stored(t, written[i].V), stored(t, written[i].W), written[i].I
						}
					}
					work := table.Seal
					if open {
						work = table.Open
					}
					brittleness = b
					err, panicked := faulttest.Outcome(func() error { return work(ctx, records...) })
					sound()
					require.Equal(t, b.hit.Load(), err != nil, "%s: %v", where, err)
					require.Equal(t, b.hit.Load() && b.is == nil, panicked, where)
					failed := map[string]bool{}
					if err != nil && !panicked {
						var all field.Errors
						require.ErrorAs(t, err, &all, where)
						require.Len(t, all, 1, where)
						require.True(t, errors.Is(err, field.ErrType) || errors.Is(err, field.ErrInvalidArgument), "%s: %v", where, err)
						columns := []string{all[0].Column}
						if all[0].Column == "" {
							columns = []string{"v", "w"}
						}
						for _, c := range columns {
							failed[fmt.Sprint(all[0].Index, c)] = true
						}
					}
					for i, p := range records {
						var v, w bool
						if open {
							got, errV := p.V.Plaintext()
							_, errW := p.W.Plaintext()
							v, w = errV == nil, errW == nil
							if !v {
								require.Empty(t, got.s, where)
							}
						} else {
							v, w = check(p, i, where)
						}
						if !panicked {
							require.Equal(t, !failed[fmt.Sprint(i, "v")], v, "%s: record %d", where, i)
							require.Equal(t, !failed[fmt.Sprint(i, "w")], w, "%s: record %d", where, i)
						}
					}
					require.NoError(t, work(t.Context(), records...), where)
					for i, p := range records {
						require.Equal(t, fmt.Sprint("v", i), plaintext(t, p.V).s, where)
						v, w := check(p, i, where)
						require.True(t, v && w, where)
					}
				})
		}
	}
}

// TestFaultsOfRotation has each call of a rotation fail, of its functions and of the manager.
// Each row can be read all the time, under the old keys or the new ones; no checkpoint is past
// a row that is not done; and a second rotation that goes on from there ends the work.
func TestFaultsOfRotation(t *testing.T) {
	leaktest.AtEnd(t, workers, "sealring/envelope/field.(*rotating", "sealring/envelope.(*batchRun)")
	half := fault{name: "error in the middle", is: errFault, fails: func(func()) error { return errFault }}
	silent := fault{name: "cancel that is not told", late: true, down: true, is: context.Canceled, fails: func(cancel func()) error {
		cancel()
		return nil
	}}
	for _, of := range []string{"Read", "Write", "Checkpoint", "encrypt", "decrypt"} {
		for _, concurrency := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/concurrency %d", of, concurrency), func(t *testing.T) {
				faults := append(slices.Clone(faults), silent)
				if of == "Write" {
					faults = append(faults, half)
				}
				eachCall(t, faults, func(ctx context.Context, b *breaker, where string) {
					s := newStore(t, 8)
					call := func(name string, work func() error) error {
						if name != of {
							return work()
						}
						return b.call(work)
					}
					sound := s.rotation(3)
					r := sound
					r.Concurrency = concurrency
					r.Read = func(ctx context.Context, after string) (page []*patient, next string, err error) {
						err = call("Read", func() error { page, next, err = sound.Read(ctx, after); return err })
						if err != nil {
							return nil, "", err
						}
						return page, next, nil
					}
					r.Write = func(ctx context.Context, page []field.Resealed[patient]) (lost int, err error) {
						err = call("Write", func() error { lost, err = sound.Write(ctx, page); return err })
						if err != nil && b.name == half.name {
							s.write(page[:len(page)/2])
						}
						return lost, err
					}
					r.Checkpoint = func(ctx context.Context, at string, so field.Progress) error {
						return call("Checkpoint", func() error { return sound.Checkpoint(ctx, at, so) })
					}
					m := &faulty{MaterialsManager: s.manager.MaterialsManager}
					switch of {
					case "encrypt":
						m.encrypts = b
					case "decrypt":
						m.decrypts = b
					}
					s.manager.MaterialsManager = m
					var so field.Progress
					err, panicked := faulttest.Outcome(func() (err error) { so, err = s.table.Rotate(ctx, r, ""); return err })
					b.left.Store(-1)

					// A record that cannot be opened is counted, and what was cancelled last is done.
					bad := map[string]bool{}
					switch {
					case of == "decrypt" && b.hit.Load() && !b.down:
						require.NoError(t, err, where)
						require.Positive(t, so.Failed, where)
						for id, p := range s.rows {
							bad[id] = s.table.Stale(&p, "new")
						}
					case err == nil && b.name == silent.name:
						require.EqualValues(t, 8, so.Sealed, where)
					default:
						require.Equal(t, b.hit.Load(), err != nil, "%s: %v", where, err)
						require.Equal(t, b.hit.Load() && b.is == nil, panicked, where)
						if err != nil && !panicked {
							require.ErrorIs(t, err, b.is, where)
						}
					}
					require.Equal(t, so.Read, so.Fresh+so.Sealed+so.Lost+so.Failed, where)
					require.Zero(t, so.Lost, where)
					s.check(s.checkpoint, bad, where)
					s.readable(where)

					from := s.checkpoint
					if len(bad) > 0 {
						from = ""
					}
					_, err = s.table.Rotate(t.Context(), sound, from)
					require.NoError(t, err, where)
					s.checkAll(nil)
				})
			})
		}
	}
}

// readable checks that each row can be read with all its columns, which are of one rotation.
func (s *rotationStore) readable(where string) {
	for id, p := range s.rows {
		young := !s.table.Stale(&p, "new")
		require.NotEqual(s, young, !s.before.Stale(&p, "old"), "%s: row %s is neither old nor new", where, id)
		require.NoError(s, s.table.Open(s.Context(), &p), where)
		require.Equal(s, s.want[id], plaintext(s, p.SSN), where)
		require.Equal(s, id[3] != '5', p.Notes.IsNull(), where)
		terms, err := s.table.Terms("ssn", s.want[id], keyring.EncryptionContext{"tenant": p.Tenant})
		require.NoError(s, err)
		require.Equal(s, terms[int(p.SSNIdx[0])-1], []byte(p.SSNIdx), where)
	}
}
