package field_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

// pair is a keyring that wraps with one and unwraps with others.
type pair struct {
	keyring.Encrypter
	keyring.Decrypter
}

// A rotationStore is a database table of patients, with a rotation that reads and writes it:
// under the keys old and a first index key before, under new and a second one after.
type rotationStore struct {
	testing.TB
	before, table *field.Table[patient] // of those who wrote before, and of all others
	manager       *manager              // the second table's

	mu         sync.Mutex
	rows       map[string]patient // as read: closed
	want       map[string]string  // the values
	checkpoint string
}

func newStore(t testing.TB, n int) *rotationStore {
	old, young := rawKeyring(t, "old"), rawKeyring(t, "new")
	either, err := keyring.NewMultiDecrypter(young, old)
	require.NoError(t, err)
	first := field.NewIndexKeys()
	second, err := first.Add()
	require.NoError(t, err)
	second, err = second.Use(2)
	require.NoError(t, err)
	s := &rotationStore{TB: t, rows: map[string]patient{}, want: map[string]string{}}
	s.before = newTable[patient](t, cached(t, old), "patients", &field.Options{IndexKeys: first})
	s.manager = &manager{MaterialsManager: cached(t, pair{young, either})}
	s.table = newTable[patient](t, s.manager, "patients", &field.Options{IndexKeys: second})
	for i := range n {
		s.put(s.before, fmt.Sprintf("%04d", i+1), fmt.Sprint("ssn ", i))
	}
	return s
}

// put seals a row and stores it, as a writer does.
func (s *rotationStore) put(table *field.Table[patient], id, ssn string) {
	p := &patient{ID: id, Tenant: "t" + id[3:], SSN: field.New(ssn)}
	if id[3] == '5' {
		p.Notes.Set("notes " + ssn)
	}
	require.NoError(s, table.Seal(context.Background(), p))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[id] = *reread(s, p)
	s.want[id] = ssn
}

// read returns a page of n.
func (s *rotationStore) read(after string, n int) (page []*patient, next string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, _ := strconv.Atoi(after)
	for i := from + 1; len(page) < n; i++ {
		id := fmt.Sprintf("%04d", i)
		p, ok := s.rows[id]
		if !ok {
			break
		}
		page, next = append(page, &p), id
	}
	return page, next
}

// write compares and sets.
func (s *rotationStore) write(page []field.Resealed[patient]) (lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range page {
		now := s.rows[one.Record.ID]
		if !bytes.Equal(bytesOf(s, now.SSN), bytesOf(s, one.Before.SSN)) || !bytes.Equal(now.SSNIdx, one.Before.SSNIdx) {
			lost++
			continue
		}
		s.rows[one.Record.ID] = *reread(s, one.Record)
	}
	return lost
}

// rotation returns one that does not fail.
func (s *rotationStore) rotation(n int) field.Rotation[patient] {
	return field.Rotation[patient]{
		Keys: []string{"new"},
		Read: func(_ context.Context, after string) ([]*patient, string, error) {
			page, next := s.read(after, n)
			return page, next, nil
		},
		Write: func(_ context.Context, page []field.Resealed[patient]) (int, error) { return s.write(page), nil },
		Checkpoint: func(_ context.Context, at string, _ field.Progress) error {
			s.checkpoint = at
			return nil
		},
	}
}

// check says of rows up to a place whether they are fresh.
func (s *rotationStore) check(upTo string, bad map[string]bool, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, p := range s.rows {
		if id <= upTo && !bad[id] && s.table.Stale(&p, "new") {
			s.Errorf("%s: row %s is stale behind the checkpoint %s", why, id, upTo)
		}
	}
}

func (s *rotationStore) checkAll(bad map[string]bool) {
	s.check("9999", bad, "at the end")
	for id, p := range s.rows {
		if bad[id] {
			continue
		}
		require.NoError(s, s.table.Open(context.Background(), &p))
		assert.Equal(s, s.want[id], plaintext(s, p.SSN), id)
		assert.Equal(s, byte(2), p.SSNIdx[0])
		assert.Equal(s, id[3] != '5', p.Notes.IsNull())
	}
}

func TestRotate(t *testing.T) {
	for _, keys := range [][]string{{"new"}, nil} {
		leaktest.AtEnd(t, "sealring/envelope/field.(*rotating", "sealring/envelope/field.(*run)")
		s := newStore(t, 100)
		for id := range s.rows {
			if p := s.rows[id]; !s.table.Stale(&p, "new") || s.before.Stale(&p, "old") {
				t.Fatal("the rows are not as the test needs them")
			}
		}
		s.put(s.table, "0007", "fresh 7")
		r := s.rotation(7)
		r.Keys = keys
		so, err := s.table.Rotate(t.Context(), r, "")
		require.NoError(t, err)
		want := field.Progress{Read: 100, Fresh: 1, Sealed: 99}
		if keys == nil {
			want.Fresh, want.Sealed = 0, 100
		}
		assert.Equal(t, want, so)
		assert.Equal(t, "0100", s.checkpoint)
		s.checkAll(nil)

		// A second time there is nothing to do, and no key is asked for.
		s.manager.decrypts.Store(0)
		r.Keys = []string{"new"}
		so, err = s.table.Rotate(t.Context(), r, "0050")
		require.NoError(t, err)
		assert.Equal(t, field.Progress{Read: 50, Fresh: 50}, so)
		assert.Zero(t, s.manager.decrypts.Load())
	}
}

func TestStale(t *testing.T) {
	a, b := rawKeyring(t, "a"), rawKeyring(t, "b")
	both, err := keyring.NewMulti(a, b)
	require.NoError(t, err)
	k := field.NewIndexKeys()
	table := newTable[patient](t, uncached(t, both), "t", &field.Options{IndexKeys: k})
	sealed := patient{ID: "p", Tenant: "t", SSN: field.New("078")}
	require.NoError(t, table.Seal(t.Context(), &sealed))
	closed := *reread(t, &sealed)
	change := func(f func(p *patient)) patient { p := closed; f(&p); return p }
	k2, err := k.Add()
	require.NoError(t, err)
	k2, err = k2.Use(2)
	require.NoError(t, err)
	next := newTable[patient](t, uncached(t, both), "t", &field.Options{IndexKeys: k2})

	for name, c := range map[string]struct {
		table *field.Table[patient]
		p     patient
		keys  []string
		want  bool
	}{
		"closed":               {table, closed, []string{"a", "b"}, false},
		"opened":               {table, sealed, []string{"b", "a"}, false},
		"one key too many":     {table, closed, []string{"a"}, true},
		"one key missing":      {table, closed, []string{"a", "b", "c"}, true},
		"another key":          {table, closed, []string{"c"}, true},
		"no keys":              {table, closed, nil, false},
		"index version":        {next, closed, nil, true},
		"unknown version":      {table, change(func(p *patient) { p.SSNIdx = field.Index{9, 1, 2} }), nil, true},
		"all NULL":             {table, patient{}, []string{"c"}, false},
		"not sealed":           {table, change(func(p *patient) { p.Notes.Set("n") }), nil, true},
		"plaintext":            {table, change(func(p *patient) { require.NoError(t, p.Notes.Scan("n")) }), nil, true},
		"empty":                {table, change(func(p *patient) { require.NoError(t, p.Notes.Scan("")) }), nil, true},
		"cut off":              {table, change(func(p *patient) { require.NoError(t, p.Notes.Scan(bytesOf(t, p.SSN)[:20])) }), []string{"a", "b"}, true},
		"without an index yet": {table, change(func(p *patient) { p.SSNIdx = nil }), nil, false}, // its normalizer may leave nothing
	} {
		p := c.p
		assert.Equal(t, c.want, c.table.Stale(&p, c.keys...), name)
	}
	type bare struct {
		ID string               `seal:",row"`
		V  field.Sealed[string] `seal:"v"`
		I  field.Index          `seal:"index=v"`
	}
	bares := newTable[bare](t, uncached(t, a), "t", &field.Options{IndexKeys: k})
	p := bare{ID: "p", V: field.New("v")}
	require.NoError(t, bares.Seal(t.Context(), &p))
	assert.False(t, bares.Stale(&p))
	p.I = nil
	assert.True(t, bares.Stale(&p), "an index without a normalizer is never nil")
}

// Over random histories, with failures anywhere, other writers, and rows that are bad: the
// rotation, resumed until it ends, leaves no good row stale and loses no write, and its
// checkpoints never go back, nor past a row that is not done.
func TestRandomRotations(t *testing.T) {
	seeds := 150
	if s := os.Getenv("FIELD_TEST_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		randomRotation(t, seed)
		return
	}
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { randomRotation(t, uint64(seed)) }) {
			return
		}
	}
}

func randomRotation(t *testing.T, seed uint64) {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 0))
	n := func(n int) int { mu.Lock(); defer mu.Unlock(); return rnd.IntN(n) }
	failed := errors.New("failed on purpose")
	fails := 2 + n(30)
	maybe := func() error {
		if n(fails) == 0 {
			return failed
		}
		return nil
	}

	rows := 1 + n(50)
	s := newStore(t, rows)
	bad := map[string]bool{}
	for range n(3) {
		id := fmt.Sprintf("%04d", 1+n(rows))
		p := s.rows[id]
		b := bytes.Clone(bytesOf(t, p.SSN))
		b[len(b)-1] ^= 1
		require.NoError(t, p.SSN.Scan(b))
		s.rows[id], bad[id] = p, true
	}
	s.manager.before = func(context.Context, string) error {
		if n(10*fails) == 0 {
			return fmt.Errorf("%w: %w", envelope.ErrUnavailable, failed)
		}
		return nil
	}
	var writes atomic.Int64
	meanwhile := func() {
		if id := fmt.Sprintf("%04d", 1+n(rows)); n(4) == 0 && !bad[id] {
			p := s.table // writers go on with what is there
			for range 20 {
				q := &patient{ID: id, Tenant: "t" + id[3:], SSN: field.New(fmt.Sprint("written meanwhile ", writes.Add(1)))}
				if id[3] == '5' {
					q.Notes.Set("n")
				}
				if p.Seal(context.Background(), q) != nil {
					continue
				}
				s.mu.Lock()
				s.rows[id], s.want[id] = *reread(t, q), plaintext(t, q.SSN)
				s.mu.Unlock()
				return
			}
		}
	}
	g := &gauge{}
	r := field.Rotation[patient]{Keys: []string{"new"}, Concurrency: 1 + n(4)}
	r.Read = func(ctx context.Context, after string) ([]*patient, string, error) {
		if err := maybe(); err != nil {
			return nil, "", err
		}
		page, next := s.read(after, 1+n(7))
		meanwhile()
		return page, next, nil
	}
	r.Write = func(ctx context.Context, page []field.Resealed[patient]) (int, error) {
		g.enter()
		defer g.leave()
		meanwhile()
		if err := maybe(); err != nil { // before it, or in the middle
			s.write(page[:n(len(page))])
			return 0, err
		}
		lost := s.write(page)
		return lost, maybe() // or when all is written
	}
	r.Checkpoint = func(ctx context.Context, at string, so field.Progress) error {
		if err := maybe(); err != nil {
			return err
		}
		if at <= s.checkpoint {
			t.Errorf("checkpoint %s after %s", at, s.checkpoint)
		}
		s.check(at, bad, "checkpoint")
		s.checkpoint = at
		return maybe()
	}
	for runs := 0; ; runs++ {
		require.Less(t, runs, 1000, "it does not end")
		ctx, cancel := context.WithCancel(t.Context())
		if n(10) == 0 {
			go cancel()
		}
		so, err := s.table.Rotate(ctx, r, s.checkpoint)
		cancel()
		assert.Equal(t, so.Read, so.Fresh+so.Sealed+so.Lost+so.Failed)
		if err == nil {
			break
		}
		if !errors.Is(err, failed) && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	assert.LessOrEqual(t, g.most, r.Concurrency)
	s.manager.before = nil
	s.checkAll(bad)
}

// What cannot be opened stays, is told and counted; the rest goes on.
func TestRotateCountsWhatIsBad(t *testing.T) {
	s := newStore(t, 20)
	p := s.rows["0003"]
	require.NoError(t, p.SSN.Scan("plaintext"))
	s.rows["0003"] = p
	p = s.rows["0004"]
	p.ID, p.SSN = "0004", s.rows["0005"].SSN
	s.rows["0004"] = p
	bad := map[string]bool{"0003": true, "0004": true}
	var mu sync.Mutex
	failed := map[string]error{}
	r := s.rotation(6)
	r.Failed = func(p *patient, err error) {
		mu.Lock()
		defer mu.Unlock()
		failed[p.ID] = err
	}
	so, err := s.table.Rotate(t.Context(), r, "")
	require.NoError(t, err)
	assert.Equal(t, field.Progress{Read: 20, Sealed: 18, Failed: 2}, so)
	require.Len(t, failed, 2)
	assert.ErrorIs(t, failed["0003"], field.ErrNoMessage)
	assert.ErrorIs(t, failed["0004"], envelope.ErrContextMismatch)
	assert.Equal(t, p, s.rows["0004"], "it stays as it is")
	s.checkAll(bad)
}

// A key service that cannot be asked ends the rotation, and so does one that lets nobody
// seal: every record would fail like the first, with the checkpoints behind them all.
func TestRotateEndsWithoutKeys(t *testing.T) {
	for name, c := range map[string]struct {
		err         error
		onlySealing bool
	}{
		"unavailable":          {envelope.ErrUnavailable, false},
		"unavailable, sealing": {envelope.ErrUnavailable, true},
		"sealing is denied":    {errors.New("access denied"), true},
	} {
		s := newStore(t, 20)
		s.table = newTable[patient](t, failingManager{s.manager, c.err, c.onlySealing}, "patients",
			&field.Options{IndexKeys: field.NewIndexKeys()})
		r := s.rotation(5)
		r.Write = func(context.Context, []field.Resealed[patient]) (int, error) { panic("nothing is to be written") }
		so, err := s.table.Rotate(t.Context(), r, "")
		assert.ErrorIs(t, err, c.err, name)
		assert.Zero(t, so, name)
		assert.Empty(t, s.checkpoint, name)
	}
}

type failingManager struct {
	keyring.MaterialsManager
	err         error
	onlySealing bool
}

func (m failingManager) EncryptionMaterials(context.Context, keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	return nil, m.err
}

func (m failingManager) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	if m.onlySealing {
		return m.MaterialsManager.DecryptionMaterials(ctx, req)
	}
	return nil, m.err
}

// A panic of any function is that of Rotate, and no goroutine is left.
func TestRotatePanics(t *testing.T) {
	for name, breakIt := range map[string]func(r *field.Rotation[patient], do func()){
		"Read": func(r *field.Rotation[patient], do func()) {
			read := r.Read
			r.Read = func(ctx context.Context, after string) ([]*patient, string, error) {
				if after == "0010" {
					do()
				}
				return read(ctx, after)
			}
		},
		"Write": func(r *field.Rotation[patient], do func()) {
			r.Write = func(context.Context, []field.Resealed[patient]) (int, error) { do(); return 0, nil }
		},
		"Checkpoint": func(r *field.Rotation[patient], do func()) {
			r.Checkpoint = func(context.Context, string, field.Progress) error { do(); return nil }
		},
		"Failed": func(r *field.Rotation[patient], do func()) {
			r.Failed = func(*patient, error) { do() }
		},
	} {
		for _, concurrency := range []int{1, 3} {
			s := newStore(t, 60)
			p := s.rows["0002"]
			require.NoError(t, p.SSN.Scan("plaintext"))
			s.rows["0002"] = p
			r := s.rotation(2)
			r.Concurrency = concurrency
			breakIt(&r, func() { panic(name) })
			assert.PanicsWithValue(t, name, func() { s.table.Rotate(t.Context(), r, "") })
			leaktest.None(t, "field.(*rotating")

			// A function of a test ends its goroutine with FailNow.
			r = s.rotation(2)
			r.Concurrency = concurrency
			breakIt(&r, runtime.Goexit)
			ended := make(chan error, 1)
			go func() {
				defer close(ended)
				_, err := s.table.Rotate(t.Context(), r, "")
				ended <- err
			}()
			if err, returned := <-ended; returned {
				assert.ErrorContains(t, err, "ended", name)
			}
			leaktest.None(t, "field.(*rotating")
		}
	}
}

// Rotate ends when its context does, at any step, with the context's cause.
func TestRotateCancelled(t *testing.T) {
	cause := errors.New("the reason")
	for _, at := range []string{"before", "Read", "Write", "Checkpoint"} {
		leaktest.AtEnd(t, "field.(*rotating")
		s := newStore(t, 60)
		ctx, cancel := context.WithCancelCause(t.Context())
		if at == "before" {
			cancel(cause)
		}
		r := s.rotation(3)
		read, write, checkpoint := r.Read, r.Write, r.Checkpoint
		r.Read = func(ctx context.Context, after string) ([]*patient, string, error) {
			if at == "Read" && after == "0009" {
				cancel(cause)
			}
			return read(ctx, after)
		}
		r.Write = func(ctx context.Context, page []field.Resealed[patient]) (int, error) {
			if at == "Write" {
				cancel(cause)
			}
			return write(ctx, page)
		}
		r.Checkpoint = func(ctx context.Context, place string, so field.Progress) error {
			if at == "Checkpoint" {
				cancel(cause)
			}
			return checkpoint(ctx, place, so)
		}
		_, err := s.table.Rotate(ctx, r, "")
		assert.ErrorIs(t, err, cause, at)
		assert.Less(t, s.checkpoint, "0060", at)
		s.check(s.checkpoint, nil, at)

		_, err = s.table.Rotate(t.Context(), s.rotation(3), s.checkpoint)
		require.NoError(t, err)
		s.checkAll(nil)
	}
}

// No more pages are held at once than Concurrency, and as many are worked on.
func TestRotateConcurrency(t *testing.T) {
	for _, concurrency := range []int{1, 2, 5} {
		s := newStore(t, 60)
		r := s.rotation(2)
		r.Concurrency = concurrency
		var held gauge
		var together sync.WaitGroup
		together.Add(concurrency)
		var first atomic.Int64
		read, write, checkpoint := r.Read, r.Write, r.Checkpoint
		r.Read = func(ctx context.Context, after string) ([]*patient, string, error) {
			page, next, err := read(ctx, after)
			if len(page) > 0 {
				held.enter()
			}
			return page, next, err
		}
		r.Write = func(ctx context.Context, page []field.Resealed[patient]) (int, error) {
			if first.Add(1) <= int64(concurrency) {
				together.Done()
				together.Wait() // so many are there at once
			}
			return write(ctx, page)
		}
		r.Checkpoint = func(ctx context.Context, at string, so field.Progress) error {
			held.leave()
			return checkpoint(ctx, at, so)
		}
		so, err := s.table.Rotate(t.Context(), r, "")
		require.NoError(t, err)
		assert.EqualValues(t, 60, so.Sealed)
		assert.Equal(t, concurrency, held.most)
	}
}

// What Read must not return ends the rotation, before it can go round in circles.
func TestRotateBadPages(t *testing.T) {
	s := newStore(t, 4)
	one := func() *patient { page, _ := s.read("", 1); return page[0] }
	twice := one()
	for name, c := range map[string]struct {
		page []*patient
		next string
		want string
	}{
		"the place it was given": {[]*patient{one()}, "here", "the place that it was given"},
		"the beginning":          {[]*patient{one()}, "", "the table's beginning"},
		"a nil record":           {[]*patient{one(), nil}, "there", "record 1"},
		"a record twice":         {[]*patient{twice, one(), twice}, "there", "record 2"},
	} {
		r := s.rotation(1)
		r.Read = func(context.Context, string) ([]*patient, string, error) { return c.page, c.next, nil }
		r.Write = func(context.Context, []field.Resealed[patient]) (int, error) { panic("nothing is to be written") }
		_, err := s.table.Rotate(t.Context(), r, "here")
		assert.ErrorIs(t, err, field.ErrInvalidArgument, name)
		assert.ErrorContains(t, err, c.want, name)
	}
	ok := s.rotation(1)
	for name, change := range map[string]func(r *field.Rotation[patient]){
		"no Read":              func(r *field.Rotation[patient]) { r.Read = nil },
		"no Write":             func(r *field.Rotation[patient]) { r.Write = nil },
		"negative concurrency": func(r *field.Rotation[patient]) { r.Concurrency = -1 },
	} {
		r := ok
		change(&r)
		_, err := s.table.Rotate(t.Context(), r, "")
		assert.ErrorIs(t, err, field.ErrInvalidArgument, name)
	}
	ok.Checkpoint = nil
	_, err := s.table.Rotate(t.Context(), ok, "")
	require.NoError(t, err)
	s.checkAll(nil)
}

// Before is what was read, whatever pointers lead to its fields.
func TestRotateBefore(t *testing.T) {
	type part struct {
		Street field.Sealed[string] `seal:"street"`
		Index  field.Index          `seal:"index=street"`
	}
	type Inner struct {
		Deep *part `seal:",inline,prefix=deep_"`
	}
	type record struct {
		ID   string `seal:",row"`
		Home part   `seal:",inline,prefix=home_"`
		Work *part  `seal:",inline,prefix=work_"`
		*Inner
		None *part `seal:",inline,prefix=none_"`
	}
	table := newTable[record](t, cached(t, rawKeyring(t, "a")), "t", &field.Options{IndexKeys: field.NewIndexKeys()})
	sealed := record{ID: "p", Home: part{Street: field.New("home")}, Work: &part{Street: field.New("work")}, Inner: &Inner{&part{Street: field.New("deep")}}}
	require.NoError(t, table.Seal(t.Context(), &sealed))
	copyOf := func(p part) part { return part{stored(t, p.Street), bytes.Clone(p.Index)} }
	fresh := func() *record {
		work, deep := copyOf(*sealed.Work), copyOf(*sealed.Deep)
		return &record{ID: "p", Home: copyOf(sealed.Home), Work: &work, Inner: &Inner{&deep}}
	}
	read := fresh()
	r := field.Rotation[record]{
		Read: func(_ context.Context, after string) ([]*record, string, error) {
			if after != "" {
				return nil, "", nil
			}
			return []*record{read}, "1", nil
		},
		Write: func(_ context.Context, page []field.Resealed[record]) (int, error) {
			before, after := page[0].Before, page[0].Record
			assert.Equal(t, *fresh(), before)
			assert.Same(t, read, after)
			for _, p := range [][2]*part{{&before.Home, &after.Home}, {before.Work, after.Work}, {before.Deep, after.Deep}} {
				assert.NotEqual(t, bytesOf(t, p[0].Street), bytesOf(t, p[1].Street))
				_, err := p[0].Street.Plaintext()
				assert.ErrorIs(t, err, field.ErrNotOpened)
			}
			return 0, nil
		},
	}
	so, err := table.Rotate(t.Context(), r, "")
	require.NoError(t, err)
	assert.Equal(t, field.Progress{Read: 1, Sealed: 1}, so)
}

// A struct and its first field are at one address, which are two pointers.
func TestRotatePointersToOneAddress(t *testing.T) {
	type first struct {
		Street field.Sealed[string] `seal:"street"`
	}
	type outer struct {
		First first `seal:",inline,prefix=first_"`
	}
	type record struct {
		ID    string `seal:",row"`
		Outer *outer `seal:",inline"`
		First *first `seal:",inline"`
	}
	table := newTable[record](t, cached(t, rawKeyring(t, "a")), "t", nil)
	o := &outer{First: first{field.New("v")}}
	p := record{ID: "p", Outer: o, First: &o.First}
	var failed error
	so, err := table.Rotate(t.Context(), field.Rotation[record]{
		Read: func(_ context.Context, after string) ([]*record, string, error) {
			if after != "" {
				return nil, "", nil
			}
			return []*record{&p}, "1", nil
		},
		Write:  func(context.Context, []field.Resealed[record]) (int, error) { panic("nothing is to be written") },
		Failed: func(_ *record, err error) { failed = err },
	}, "")
	require.NoError(t, err)
	assert.Equal(t, field.Progress{Read: 1, Failed: 1}, so)
	assert.ErrorIs(t, failed, field.ErrInvalidArgument)
}

// TestRotateLostCounts has Write say that it left a number of records that cannot be.
func TestRotateLostCounts(t *testing.T) {
	for _, lost := range []int{-1, 5} {
		s := newStore(t, 4)
		r := s.rotation(4)
		r.Write = func(context.Context, []field.Resealed[patient]) (int, error) { return lost, nil }
		so, err := s.table.Rotate(t.Context(), r, "")
		require.ErrorIs(t, err, field.ErrInvalidArgument, lost)
		require.ErrorContains(t, err, "Write", lost)
		require.Zero(t, so, lost)
		require.Empty(t, s.checkpoint, lost)
	}
}
