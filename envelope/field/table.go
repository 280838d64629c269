package field

import (
	"context"
	"fmt"
	"hash/maphash"
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"
	"unicode/utf8"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// tablePair is the name of the pair of the encryption context that holds the table's name.
const tablePair = "table"

// Options are the options of a [Table]. The zero value is the safest choice.
type Options struct {
	// IndexKeys are the keys of the record's blind indexes. They must be set if it has any.
	IndexKeys *IndexKeys

	// Normalizers are those that tags can name beside "fold" and "digits". A name means
	// one function for good.
	Normalizers []Normalizer

	// WithoutRow binds values to table and column alone, for rows whose key the database
	// makes and that must be sealed before. Then whoever can write to the table can
	// exchange the values of two rows. To seal after the insert is safer.
	WithoutRow bool

	// ReadPlaintext has Open take a column that holds no sealed value for plaintext, while
	// a table is being moved. The value is then as if it had been Set, and the next Seal
	// seals it. Whoever can write to the table can put in any value. Table.PlaintextsRead
	// counts: switch it off when nothing is counted any more.
	ReadPlaintext bool

	// Envelope are the options of the messages. A suite that signs cannot be used.
	Envelope *envelope.Options
}

// normalizer returns the normalizer of a name.
func (o *Options) normalizer(name string) (Normalizer, bool) {
	for _, n := range slices.Concat(builtin, o.Normalizers) {
		if n.Name == name {
			return n, true
		}
	}
	return Normalizer{}, false
}

func (o *Options) check() error {
	for i, n := range o.Normalizers {
		switch {
		case n.Name == "" || n.Normalize == nil:
			return invalid("Options.Normalizers[%d] has no name or no function", i)
		case slices.ContainsFunc(slices.Concat(builtin, o.Normalizers[:i]), func(other Normalizer) bool { return other.Name == n.Name }):
			return invalid("Options.Normalizers[%d]: there is another %q", i, n.Name)
		}
	}
	return nil
}

// A Table seals and opens the sealed fields of records of type T. It is made once, and is
// safe for concurrent use.
type Table[T any] struct{ *table }

// table is a Table without its type.
type table struct {
	name   string
	plan   *plan
	opts   Options
	client *envelope.Client
	seed   maphash.Seed // of marks

	// unwraps is how many calls of the materials manager are made at once, concurrency
	// how many fields are worked on.
	unwraps, concurrency int

	// latest is the encryption context that was made last. Most calls need it again.
	latest atomic.Pointer[contextPairs]

	plaintexts atomic.Int64
}

// NewTable returns a table of the records of type T, whose tags the package comment
// describes. The name is the database table's, and goes into every message: it must stay
// the same for good. Materials come from m, which should be a cache: without one each field
// costs a call of the key service. Opts may be nil; it is copied.
//
// All that is wrong with the tags is in one error, which is [ErrInvalidArgument].
func NewTable[T any](m keyring.MaterialsManager, name string, opts *Options) (*Table[T], error) {
	t, err := newTable(reflect.TypeFor[T](), m, name, opts)
	if err != nil {
		return nil, fmt.Errorf("field: table %s: %w", name, err)
	}
	return &Table[T]{t}, nil
}

func newTable(record reflect.Type, m keyring.MaterialsManager, name string, opts *Options) (*table, error) {
	t := &table{name: name, seed: maphash.MakeSeed()}
	if opts != nil {
		t.opts = *opts
	}
	if name == "" || !utf8.ValidString(name) {
		return nil, invalid("the table's name is empty or not UTF-8")
	}
	if err := t.opts.check(); err != nil {
		return nil, err
	}
	var err error
	if t.plan, err = makePlan(record, name, &t.opts); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	var o envelope.Options
	if t.opts.Envelope != nil {
		o = *t.opts.Envelope
	}
	if o.Sign || o.Suite.Signs() {
		return nil, invalid("Options.Envelope: a sealed field is not signed: leave Sign and Suite zero")
	}
	o.RefuseSigned = true
	t.unwraps, t.concurrency = o.MaxUnwraps, o.Concurrency
	if t.unwraps == 0 {
		t.unwraps = 16
	}
	if t.concurrency == 0 {
		t.concurrency = runtime.GOMAXPROCS(0)
	}
	t.client, err = envelope.NewFromManager(m, &o)
	return t, err
}

// Columns returns the names of the sealed columns, in the order of the fields.
func (t *Table[T]) Columns() []string {
	var names []string
	for _, c := range t.plan.columns {
		names = append(names, c.name)
	}
	return names
}

// PlaintextsRead returns how many columns Options.ReadPlaintext has let Open read that
// held plaintext.
func (t *Table[T]) PlaintextsRead() int64 { return t.plaintexts.Load() }

// Seal seals the fields of records that were Set, and those whose row or context is
// another than they were sealed or opened for; it fills their indexes. Other fields stay as
// they are, so that each value is sealed once, however often Seal is called.
//
// The error is [Errors], which names what could not be sealed, by record and column. The
// rest is sealed. If the materials manager fails for an encryption context, it is not asked
// again for the other fields that have it. When ctx is done, fields that have not been
// sealed have its error.
//
// A ciphertext that was not opened stays as it is, also if the record's row or context has
// changed since: open a record before you change them.
//
// Records must not be used elsewhere during the call. A record that is there twice is
// sealed once.
func (t *Table[T]) Seal(ctx context.Context, records ...*T) error {
	r := newRun(ctx, t.table)
	defer r.free()
	gather(r, records, func(i int, v reflect.Value) { r.gatherToSeal(i, v, false) })
	r.seal()
	return r.errors()
}

// Open opens the sealed fields of records that were read. It needs the fields of the row's
// key and of the context, and opens whatever other columns were read; NULL stays NULL. The
// materials manager is asked once for all fields whose message has the same wrapped data
// keys, and for at most Options.Envelope.MaxUnwraps such groups at once.
//
// The error is [Errors], which names what could not be opened, by record and column. The
// rest is open. [ErrBinding] is the error of a value of another row or column, and
// envelope's ErrContextMismatch that of another table or context. When ctx is done, fields
// that have not been opened have its error.
//
// Records must not be used elsewhere during the call.
func (t *Table[T]) Open(ctx context.Context, records ...*T) error {
	r := newRun(ctx, t.table)
	defer r.free()
	gather(r, records, r.gatherToOpen)
	r.open()
	return r.errors()
}

// gather calls f for each record that there is, once.
func gather[T any](r *run, records []*T, f func(i int, record reflect.Value)) {
	var seen map[*T]int
	if len(records) > 1 {
		seen = make(map[*T]int, len(records))
		r.jobs = slices.Grow(r.jobs, len(records)*len(r.table.plan.columns))
	}
	for i, p := range records {
		if p == nil {
			r.failRecord(i, invalid("the record is nil"))
			continue
		}
		if first, ok := seen[p]; ok {
			r.again = append(r.again, repeated{i, first})
			continue
		}
		if seen != nil {
			seen[p] = i
		}
		f(i, reflect.ValueOf(p).Elem())
	}
}
