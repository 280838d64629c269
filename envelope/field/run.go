package field

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A run is one call of Seal or Open. It first goes through the records to find what is to
// be done, on the caller's goroutine, and then does it, on several.
type run struct {
	ctx   context.Context
	table *table

	jobs     []job
	contexts []*recordContext // the different ones
	first    recordContext    // the first of them: most calls have one
	byKey    map[string]*recordContext
	parts    []byte // the parts of the rows' keys, with their lengths, one after the other
	scratch  []byte
	errs     Errors
	again    []repeated
	pointed  map[any]bool // the fields and indexes so far that were reached through a pointer

	panicOnce sync.Once
	panicked  any
}

// A repeated record has the errors of the first of its kind.
type repeated struct{ index, first int }

// A job is one field to be sealed or opened.
type job struct {
	index   int // of the record
	record  reflect.Value
	column  *column
	cell    cell
	context *recordContext
	row     [2]int // from and to in run.parts
	err     error

	// indexOnly says that the message stays, and the indexes are made anew.
	indexOnly bool
}

// contextPairs are an encryption context, with its pairs but for the table's as a key: by
// name, each with its length.
type contextPairs struct {
	key   string
	pairs keyring.EncryptionContext
}

// A recordContext is the encryption context of some records of a run.
type recordContext struct {
	*contextPairs

	// failed is set when there are no materials for it: then nothing else is tried.
	failed atomic.Pointer[error]
}

var runs = sync.Pool{New: func() any { return &run{} }}

// longRun is the length from which a run's memory is not kept for the next.
const longRun = 64

func newRun(ctx context.Context, t *table) *run {
	r := runs.Get().(*run)
	r.ctx, r.table = ctx, t
	return r
}

// free gives back the run's memory.
func (r *run) free() {
	if cap(r.jobs) > longRun || cap(r.scratch) > 64*longRun || cap(r.parts) > 64*longRun {
		clear(r.scratch[:cap(r.scratch)])
		return
	}
	clear(r.jobs)
	clear(r.contexts)
	*r = run{jobs: r.jobs[:0], contexts: r.contexts[:0], parts: r.parts[:0], scratch: r.scratch[:0]}
	runs.Put(r)
}

func (r *run) failRecord(index int, err error) {
	r.errs = append(r.errs, &Error{Table: r.table.name, Index: index, Err: err})
}

func (r *run) failColumn(index int, c *column, err error) {
	r.errs = append(r.errs, &Error{Table: r.table.name, Index: index, Column: c.name, Err: err})
}

// errors returns the errors of the run, nil if there are none.
func (r *run) errors() error {
	for i := range r.jobs {
		if j := &r.jobs[i]; j.err != nil {
			r.failColumn(j.index, j.column, j.err)
		}
	}
	if len(r.errs) == 0 {
		return nil
	}
	byIndex := map[int][]*Error{}
	if len(r.again) > 0 {
		for _, e := range r.errs {
			byIndex[e.Index] = append(byIndex[e.Index], e)
		}
	}
	for _, a := range r.again {
		for _, e := range byIndex[a.first] {
			r.errs = append(r.errs, &Error{Table: e.Table, Index: a.index, Column: e.Column, Err: e.Err})
		}
	}
	slices.SortStableFunc(r.errs, func(a, b *Error) int { return cmp.Compare(a.Index, b.Index) })
	return r.errs
}

// place finds where a record is: its context and its row.
func (r *run) place(record reflect.Value) (c *recordContext, row [2]int, err error) {
	if c, err = r.contextOf(record); err != nil {
		return nil, row, err
	}
	row[0] = len(r.parts)
	for _, p := range r.table.plan.row {
		if r.scratch, err = r.part(r.scratch[:0], record, p); err != nil {
			return nil, row, invalid("field %s, part of the row's key, %v", p.field, err)
		}
		r.parts = appendWithLength(r.parts, r.scratch)
	}
	row[1] = len(r.parts)
	return c, row, nil
}

// part appends the text of one part of a record.
func (r *run) part(dst []byte, record reflect.Value, p part) ([]byte, error) {
	v, ok := at(record, p.path)
	if !ok {
		return dst, errors.New("is in a struct that is nil")
	}
	return appendPart(dst, v)
}

// contextOf returns the encryption context of a record.
func (r *run) contextOf(record reflect.Value) (*recordContext, error) {
	if len(r.table.plan.context) == 0 && len(r.contexts) == 1 {
		return r.contexts[0], nil
	}
	b := r.scratch[:0]
	for _, p := range r.table.plan.context {
		b = appendWithLength(b, p.name)
		at := len(b)
		b = append(b, 0, 0, 0, 0)
		var err error
		if b, err = r.part(b, record, p); err != nil {
			return nil, invalid("field %s, the context's %s, %v", p.field, p.name, err)
		}
		if !validText(b[at+4:]) {
			return nil, invalid("field %s, the context's %s, is not UTF-8", p.field, p.name)
		}
		setLength(b, at)
	}
	r.scratch = b[:0]
	return r.contextOfKey(b), nil
}

// contextOfKey returns the run's context of a key.
func (r *run) contextOfKey(key []byte) *recordContext {
	if n := len(r.contexts); n > 0 && r.contexts[n-1].key == string(key) {
		return r.contexts[n-1] // as in most batches
	}
	if c := r.byKey[string(key)]; c != nil {
		return c
	}
	pairs := r.table.latest.Load()
	if pairs == nil || pairs.key != string(key) {
		pairs = r.table.newContext(string(key))
		r.table.latest.Store(pairs)
	}
	c := &r.first
	if len(r.contexts) > 0 {
		c = &recordContext{}
	}
	c.contextPairs = pairs
	r.contexts = append(r.contexts, c)
	if len(r.contexts) > 1 {
		if r.byKey == nil {
			r.byKey = map[string]*recordContext{r.contexts[0].key: r.contexts[0]}
		}
		r.byKey[c.key] = c
	}
	return c
}

// newContext makes the encryption context of a key.
func (t *table) newContext(key string) *contextPairs {
	c := &contextPairs{key: key, pairs: keyring.EncryptionContext{tablePair: t.name}}
	maps.Insert(c.pairs, pairsOf(key))
	return c
}

// mark returns a number for a field's place in its table: column, row and context. It is
// never zero.
func (r *run) mark(c *column, rc *recordContext, row [2]int) uint64 {
	var h maphash.Hash
	h.SetSeed(r.table.seed)
	h.Write(c.prefix)
	h.WriteString(rc.key)
	h.WriteByte(0)
	h.Write(r.parts[row[0]:row[1]])
	return max(h.Sum64(), 1)
}

// binding returns the binding of a job's field, and b with what it was made in.
func (r *run) binding(b []byte, j *job) (binding, []byte) {
	b = append(append(b[:0], j.column.prefix...), r.parts[j.row[0]:j.row[1]]...)
	return bind(b), b
}

var errShared = invalid("another pointer of the call's records leads to the same field")

// shared says whether a field or an index, to which p points, was there before in this run.
func (r *run) shared(pointed bool, p any) bool {
	if !pointed {
		return false
	}
	if r.pointed == nil {
		r.pointed = map[any]bool{}
	}
	before := r.pointed[p]
	r.pointed[p] = true
	return before
}

// checkIndexes says whether a column's indexes are in a place of their own.
func (r *run) checkIndexes(c *column, record reflect.Value) error {
	for _, x := range c.indexes {
		if !x.pointed {
			continue
		}
		v, ok := at(record, x.path)
		if !ok {
			return invalid("its index, field %s, is in a struct that is nil", x.field)
		}
		if r.shared(true, v.Addr().Interface()) {
			return errShared
		}
	}
	return nil
}

// gatherToSeal finds what of a record is to be sealed: what was set, what has moved, or
// everything that has a value.
func (r *run) gatherToSeal(index int, record reflect.Value, anew bool) {
	var place job
	for _, c := range r.table.plan.columns {
		v, ok := at(record, c.path)
		if !ok {
			continue
		}
		cell := v.Addr().Interface().(cell)
		state, mark := cell.current()
		if state != null && c.text {
			cell.inText()
		}
		if state != null && r.shared(c.pointed, cell) {
			r.failColumn(index, c, errShared)
			continue
		}
		if state == null {
			for _, x := range c.indexes {
				x.set(record, nil)
			}
		}
		if state != unsealed && state != opened {
			continue
		}
		if place.context == nil {
			var err error
			if place.context, place.row, err = r.place(record); err != nil {
				r.failRecord(index, err)
				return
			}
		}
		one := job{index: index, record: record, column: c, cell: cell, context: place.context, row: place.row}
		if state == opened && !anew && mark == r.mark(c, place.context, place.row) {
			if !r.table.indexStale(c, record) {
				continue
			}
			one.indexOnly = true
		}
		if err := r.checkIndexes(c, record); err != nil {
			r.failColumn(index, c, err)
			continue
		}
		r.jobs = append(r.jobs, one)
	}
}

// indexStale says whether an index of a column has to be made anew.
func (t *table) indexStale(c *column, record reflect.Value) bool {
	for _, x := range c.indexes {
		if x.stale(record, t.opts.IndexKeys.current) {
			return true
		}
	}
	return false
}

// seal does the jobs.
func (r *run) seal() {
	if len(r.jobs) < 8 {
		for i := range r.jobs {
			r.sealOne(i, &r.scratch)
		}
		return
	}
	// First one of each context, so that the key service is asked for many contexts at
	// once. A cache then has what the others need.
	var first, rest []int
	seen := make(map[*recordContext]bool, len(r.contexts))
	for i := range r.jobs {
		if c := r.jobs[i].context; !seen[c] {
			seen[c] = true
			first = append(first, i)
		} else {
			rest = append(rest, i)
		}
	}
	r.each(first, r.table.unwraps, 1, r.sealOne)
	r.each(rest, max(r.table.concurrency, r.table.unwraps), 32, r.sealOne)
}

// each does jobs on several goroutines, which take some of them at a time. A panic in one
// of them ends the others, and is the caller's.
func (r *run) each(indexes []int, goroutines, atOnce int, do func(i int, scratch *[]byte)) {
	for _, i := range indexes {
		r.jobs[i].err = errEnded // unless the job is done
	}
	goroutines = min(goroutines, (len(indexes)+atOnce-1)/atOnce)
	var next atomic.Int64
	work := func() {
		defer func() {
			if p := recover(); p != nil {
				r.panicOnce.Do(func() { r.panicked = p })
				next.Store(int64(len(indexes)))
			}
		}()
		var scratch []byte
		defer func() { clear(scratch[:cap(scratch)]) }()
		for {
			from := int(next.Add(int64(atOnce))) - atOnce
			if from >= len(indexes) {
				return
			}
			for _, i := range indexes[from:min(from+atOnce, len(indexes))] {
				do(i, &scratch)
			}
		}
	}
	var wait sync.WaitGroup
	defer wait.Wait() // also if a job ends this goroutine: the run is used again
	for range goroutines - 1 {
		wait.Go(work)
	}
	work()
	wait.Wait()
	if r.panicked != nil {
		panic(r.panicked)
	}
}

// sealOne does a job of sealing.
func (r *run) sealOne(i int, scratch *[]byte) { r.jobs[i].err = r.sealField(&r.jobs[i], scratch) }

// sealField seals a job's field. Scratch is memory for a plaintext, which is cleared.
func (r *run) sealField(j *job, scratch *[]byte) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if failed := j.context.failed.Load(); failed != nil {
		return *failed
	}
	bound, b := r.binding(*scratch, j)
	b = appendPrefix(b[:0], bound, j.column.bucket)
	b, err := j.cell.appendValue(b)
	*scratch = b
	defer func() { clear(*scratch) }()
	if err != nil {
		return err
	}
	encoding := b[prefixLen:]
	terms := r.terms(j, encoding)
	if !j.indexOnly {
		b = appendPadding(b, prefixLen, j.column.bucket)
		*scratch = b
		message, err := r.table.client.Encrypt(r.ctx, b, j.context.pairs)
		if err != nil {
			if !errors.Is(err, envelope.ErrLimit) && r.ctx.Err() == nil {
				j.context.failed.Store(&err)
			}
			return err
		}
		j.cell.sealed(message, j.column.text, r.mark(j.column, j.context, j.row))
	}
	for i, x := range j.column.indexes {
		x.set(j.record, terms[i])
	}
	return nil
}

// terms returns a column's terms for a value.
func (r *run) terms(j *job, encoding []byte) []Index {
	if len(j.column.indexes) == 0 {
		return nil
	}
	k := r.table.opts.IndexKeys.currentKey()
	terms := make([]Index, len(j.column.indexes))
	for i, x := range j.column.indexes {
		normalized := x.normalize(encoding)
		if len(normalized) > 0 || x.normalizer.Normalize == nil {
			terms[i] = x.term(k, j.context.key, normalized)
		}
	}
	return terms
}

// gatherToOpen finds what of a record is to be opened.
func (r *run) gatherToOpen(index int, record reflect.Value) {
	var place job
	for _, c := range r.table.plan.columns {
		v, ok := at(record, c.path)
		if !ok {
			continue
		}
		cell := v.Addr().Interface().(cell)
		if state, _ := cell.current(); state != closed {
			continue
		}
		if r.shared(c.pointed, cell) {
			r.failColumn(index, c, errShared)
			continue
		}
		if b := cell.stored(); !isMessage(b) {
			if err := r.readPlaintext(cell, b); err != nil {
				r.failColumn(index, c, err)
			}
			continue
		}
		if place.context == nil {
			var err error
			if place.context, place.row, err = r.place(record); err != nil {
				r.failRecord(index, err)
				return
			}
		}
		r.jobs = append(r.jobs, job{index: index, record: record, column: c, cell: cell, context: place.context, row: place.row})
	}
}

// readPlaintext takes what a column holds that is no message, if that is allowed.
func (r *run) readPlaintext(c cell, b []byte) error {
	if !r.table.opts.ReadPlaintext {
		return noMessage(b)
	}
	if err := c.found(b); err != nil {
		return fmt.Errorf("plaintext: %w", err)
	}
	r.table.plaintexts.Add(1)
	return nil
}

// open does the jobs.
func (r *run) open() {
	if len(r.jobs) == 1 {
		j := &r.jobs[0]
		plaintext, err := r.table.client.Decrypt(r.ctx, j.cell.stored(), j.context.pairs)
		r.takeOpened(j, plaintext, err, &r.scratch)
		return
	}
	if len(r.jobs) == 0 {
		return
	}
	messages := make([]envelope.Sealed, len(r.jobs))
	indexes := make([]int, len(r.jobs))
	for i := range r.jobs {
		messages[i] = envelope.Sealed{Message: r.jobs[i].cell.stored(), Context: r.jobs[i].context.pairs}
		indexes[i] = i
	}
	all := r.table.client.DecryptBatch(r.ctx, messages)
	defer func() {
		for i := range all {
			clear(all[i].Plaintext)
		}
	}()
	r.each(indexes, r.table.concurrency, 32, func(i int, scratch *[]byte) {
		r.takeOpened(&r.jobs[i], all[i].Plaintext, all[i].Err, scratch)
	})
}

// takeOpened gives a job's field the value in a message's plaintext, which it clears.
func (r *run) takeOpened(j *job, plaintext []byte, err error, scratch *[]byte) {
	if err != nil {
		j.err = err
		return
	}
	defer clear(plaintext)
	var bound binding
	bound, *scratch = r.binding(*scratch, j)
	encoding, err := encodingOf(plaintext, bound)
	if err == nil {
		err = j.cell.openedTo(encoding, r.mark(j.column, j.context, j.row))
	}
	j.err = err
}
