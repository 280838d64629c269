package field

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/go-sealring/sealring/envelope"
)

// Stale says whether a record has a sealed field that is not wrapped by exactly the given
// keys, or an index of another version than the current one. It looks at what is stored
// alone: it needs no key, and the fields need not be open. Keys are named as
// keyring.EncryptedDataKey.KeyName names them: a KMS key's ARN, a raw key's name, a branch
// key's ID; a branch key also by its version, as KeyVersion gives it and
// branchkey.KeyStore.Version returned it, if older versions are to count as stale. Without
// any, only indexes are looked at. A field that was not sealed yet, and a column that holds
// no sealed value, are stale. An index that is NULL is stale only if it has no normalizer,
// which may have left nothing to index: fill a new index that has one by a rotation without
// Keys.
func (t *Table[T]) Stale(record *T, keys ...string) bool {
	return len(t.stale(reflect.ValueOf(record).Elem(), keys)) > 0
}

// stale returns the columns of a record that are stale.
func (t *table) stale(record reflect.Value, keys []string) []*column {
	var stale []*column
	for _, c := range t.plan.columns {
		v, ok := at(record, c.path)
		if !ok {
			continue
		}
		one := v.Addr().Interface().(cell)
		if state, _ := one.current(); state == null {
			continue
		} else if state == unsealed || t.indexStale(c, record) || !wrappedBy(one.stored(), keys) {
			stale = append(stale, c)
		}
	}
	return stale
}

// wrappedBy says whether a message's data key is wrapped by each of some keys, and by no
// other.
func wrappedBy(message []byte, keys []string) bool {
	if len(keys) == 0 {
		return isMessage(message)
	}
	h, err := envelope.ParseHeader(bytes.NewReader(message), nil)
	return err == nil && h.WrappedBy(keys...)
}

// A Rotation reseals the records of a table, page by page: under the keys that the table's
// materials manager uses now, with the current index key.
type Rotation[T any] struct {
	// Read returns the next page of records after a place in the table, and the place
	// behind them: "" as the place is the table's beginning, and no records are its end.
	// Read is called by one goroutine at a time. A record needs the fields of its row's
	// key and of its context, and all sealed columns and indexes. It is Rotate's until the
	// checkpoint of its page.
	Read func(ctx context.Context, after string) (page []*T, next string, err error)

	// Write stores the sealed columns and indexes of records, and no other columns. It
	// must write a record only if the columns still hold what they held when the page
	// was read, which is in Resealed.Before, so that no write of another's is lost:
	// compare them in the same statement. Lost is how many records it left for that
	// reason; they were sealed anew by whoever wrote them. Write is called by several
	// goroutines.
	Write func(ctx context.Context, page []Resealed[T]) (lost int, err error)

	// Checkpoint, if not nil, is called when all records up to a place are done. Store
	// the place: Rotate goes on from there after a crash. What was written behind it is
	// found not to be stale then. It is called by one goroutine at a time, in order.
	Checkpoint func(ctx context.Context, at string, so Progress) error

	// Failed, if not nil, is called with each record that could not be opened or
	// sealed, which stays as it is. It is called by several goroutines.
	Failed func(record *T, err error)

	// Keys are the names of the keys that are to wrap each message, as for [Table.Stale].
	// If there are none, each record is sealed anew.
	Keys []string

	// Concurrency is how many pages are worked on at once, and so what is held in
	// memory. Zero is 4.
	Concurrency int
}

// Resealed is a record before and after.
type Resealed[T any] struct {
	// Before is a copy of the record as it was read, whose fields are not open.
	Before T

	// Record is the one that was read, with its fields sealed anew.
	Record *T
}

// Progress counts records.
type Progress struct {
	Read   int64 // those that are done, in one way or another
	Fresh  int64 // of these, those that were not stale
	Sealed int64 // those that were sealed anew and written
	Lost   int64 // those that another had written meanwhile
	Failed int64 // those that could not be opened or sealed
}

// Rotate reseals the records of a table that are stale, from a place that Checkpoint was
// called with, or "" for the beginning. It returns when all pages are done; or with the
// error of Read, Write or Checkpoint, or of ctx, when the pages under way have ended. It
// also ends, with the materials manager's error, when a key service cannot be asked and when
// there are no materials to seal with. A record that cannot be opened or sealed for any
// other reason is counted, and does not end it.
//
// Progress counts from the place on. Records that were Lost may be under the old key in
// part, and so may those that a program wrote which still had it: rotate again from the
// beginning until nothing is Sealed, and take the old key away then.
//
// Rotate cannot move plaintext (Options.ReadPlaintext) in place, since what was in the column
// cannot be compared: read such records, seal and write them by statements of your own.
func (t *Table[T]) Rotate(ctx context.Context, r Rotation[T], from string) (Progress, error) {
	if r.Read == nil || r.Write == nil || r.Concurrency < 0 {
		return Progress{}, fmt.Errorf("field: table %s: rotate: %w", t.name, invalid("Read or Write is nil, or Concurrency negative"))
	}
	if r.Concurrency == 0 {
		r.Concurrency = 4
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	so, err := (&rotating[T]{Rotation: r, table: t, cancel: cancel}).run(ctx, from)
	if err != nil {
		return so, fmt.Errorf("field: table %s: rotate: %w", t.name, err)
	}
	return so, nil
}

// rotating is one call of Rotate.
type rotating[T any] struct {
	Rotation[T]
	table  *Table[T]
	cancel context.CancelCauseFunc

	panicOnce sync.Once
	panicked  any
}

// A page is a page of records that is being worked on. What came of it is set when done is
// closed.
type page struct {
	next string
	done chan struct{}
	came Progress
	err  error
}

// run reads pages and has them worked on, and goes through them in their order.
func (r *rotating[T]) run(ctx context.Context, from string) (Progress, error) {
	inFlight := make(chan *page, r.Concurrency)
	slots := make(chan struct{}, r.Concurrency) // one for each page that is read, until it is done
	readErr := errEnded
	var wait sync.WaitGroup
	defer wait.Wait() // also if Checkpoint ends the goroutine
	wait.Go(func() {
		defer close(inFlight)
		defer r.keepPanic()
		readErr = r.readAll(ctx, from, slots, inFlight, &wait)
	})
	var so Progress
	var err error
	for p := range inFlight {
		<-p.done
		if err == nil {
			err = p.err
		}
		if err == nil {
			so.add(p.came)
			if r.Checkpoint != nil {
				err = r.guarded(func() error { return r.Checkpoint(ctx, p.next, so) })
			}
		}
		if err != nil {
			r.cancel(err)
		}
		<-slots
	}
	wait.Wait()
	if r.panicked != nil {
		panic(r.panicked)
	}
	if err == nil {
		err = readErr
	}
	return so, err
}

// readAll reads pages until there are no more.
func (r *rotating[T]) readAll(ctx context.Context, from string, slots chan<- struct{}, inFlight chan<- *page, wait *sync.WaitGroup) error {
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		records, next, err := r.Read(ctx, from)
		if err != nil || len(records) == 0 {
			return err
		}
		if err := checkPage(records, from, next); err != nil {
			return err
		}
		from = next
		p := &page{next: next, done: make(chan struct{})}
		wait.Go(func() {
			defer close(p.done)
			p.err = errEnded
			defer r.keepPanic()
			p.came, p.err = r.reseal(ctx, records)
		})
		inFlight <- p
	}
}

// checkPage says what Read must not have returned: what would lead in a circle, or have two
// goroutines seal one record.
func checkPage[T any](records []*T, from, next string) error {
	switch next {
	case from:
		return invalid("Read returned records and the place that it was given")
	case "":
		return invalid("Read returned records and \"\", which is the table's beginning: return the place behind the last one")
	}
	seen := make(map[*T]bool, len(records))
	for i, one := range records {
		if one == nil || seen[one] {
			return invalid("Read returned a page whose record %d is nil, or there twice", i)
		}
		seen[one] = true
	}
	return nil
}

var errEnded = errors.New("a function of the caller ended the goroutine that called it")

// keepPanic, deferred, keeps a panic for Rotate's caller.
func (r *rotating[T]) keepPanic() {
	if v := recover(); v != nil {
		r.panicOnce.Do(func() { r.panicked = v })
		r.cancel(errEnded)
	}
}

// guarded calls f, and cancels the rotation if it does not return.
func (r *rotating[T]) guarded(f func() error) (err error) {
	err = errEnded
	defer r.keepPanic()
	returned := false
	defer func() {
		if !returned {
			r.cancel(errEnded)
		}
	}()
	err = f()
	returned = true
	return err
}

// reseal does one page.
func (r *rotating[T]) reseal(ctx context.Context, records []*T) (Progress, error) {
	came := Progress{Read: int64(len(records))}
	var stale []*T
	var before []Resealed[T]
	for _, one := range records {
		if len(r.Keys) > 0 && !r.table.Stale(one, r.Keys...) {
			came.Fresh++
			continue
		}
		stale = append(stale, one)
		before = append(before, Resealed[T]{*r.table.copyOf(one), one})
	}
	failed := map[int]error{}
	note := func(err error) {
		var all Errors
		if errors.As(err, &all) {
			for _, e := range all {
				failed[e.Index] = errors.Join(failed[e.Index], e)
			}
		}
	}
	note(r.table.Open(ctx, stale...))
	opened := slices.Clone(stale)
	for i := range failed {
		opened[i] = nil
	}
	sealErr := r.sealAnew(ctx, opened)
	note(sealErr)
	if err := ctx.Err(); err != nil {
		return came, context.Cause(ctx)
	}
	if err := withoutKeys(sealErr); err != nil {
		return came, err
	}
	var good []Resealed[T]
	for i, one := range before {
		err := failed[i]
		switch {
		case errors.Is(err, envelope.ErrUnavailable):
			// It would be the same for all that follow.
			return came, err
		case err != nil:
			came.Failed++
			if r.Failed != nil {
				r.Failed(one.Record, err)
			}
		default:
			good = append(good, one)
		}
	}
	if len(good) == 0 {
		return came, nil
	}
	lost, err := r.Write(ctx, good)
	if err == nil && (lost < 0 || lost > len(good)) {
		err = invalid("Write returned that it left %d of %d records", lost, len(good))
	}
	if err != nil {
		return came, err
	}
	came.Lost = int64(lost)
	came.Sealed = int64(len(good) - lost)
	return came, nil
}

// withoutKeys returns what of an error of sealing is not the record's fault: that there
// were no materials. All that follow would fail as well.
func withoutKeys(err error) error {
	var all Errors
	if !errors.As(err, &all) {
		return nil
	}
	for _, e := range all {
		if !errors.Is(e, ErrInvalidArgument) && !errors.Is(e, ErrType) && !errors.Is(e, envelope.ErrLimit) {
			return e
		}
	}
	return nil
}

// copyOf returns a copy of a record that shares no sealed field and no index with it.
func (t *Table[T]) copyOf(record *T) *T {
	c := *record
	v := reflect.ValueOf(&c).Elem()
	copied := map[any]reflect.Value{} // pointers, by what they were
	for _, column := range t.plan.columns {
		separate(v, column.path, copied)
		for _, x := range column.indexes {
			separate(v, x.path, copied)
		}
	}
	return &c
}

// separate replaces the pointers on the way to a field by pointers to copies.
func separate(v reflect.Value, path []int, copied map[any]reflect.Value) {
	for i, n := range path {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return
			}
			// The pointers are keys with their types: a struct and its first field are at
			// one address.
			c, ok := copied[v.Interface()]
			if !ok {
				c = reflect.New(v.Type().Elem())
				c.Elem().Set(v.Elem())
				copied[v.Interface()] = c
				copied[c.Interface()] = c
			}
			v.Set(c)
			v = c.Elem()
		}
		v = v.Field(n)
	}
}

// sealAnew seals all fields that have a value, also those that are sealed. Records that are
// nil are left out.
func (r *rotating[T]) sealAnew(ctx context.Context, records []*T) error {
	run := newRun(ctx, r.table.table)
	defer run.free()
	for i, one := range records {
		if one != nil {
			run.gatherToSeal(i, reflect.ValueOf(one).Elem(), true)
		}
	}
	run.seal()
	return run.errors()
}

func (p *Progress) add(q Progress) {
	p.Read += q.Read
	p.Fresh += q.Fresh
	p.Sealed += q.Sealed
	p.Lost += q.Lost
	p.Failed += q.Failed
}
