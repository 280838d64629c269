package field

import (
	"crypto/hmac"
	"crypto/sha256"
	"database/sql/driver"
	"fmt"
	"reflect"
	"slices"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/keyring"
)

// An Index is a blind index of a sealed field: a term that is the same for the same value,
// table, column, context and normalizer, and tells nothing else of the value to who does
// not have the index key. [Table.Seal] fills it; nil stands for NULL.
//
// A term is the version of its key in one byte, and 32 bytes of HMAC-SHA-256, or as many
// as the tag's bytes= says.
//
// A record's field may as well be a []byte, or a type made of it, with the same tag: where
// the type is chosen by a generator of code.
type Index []byte

// Value implements [driver.Valuer]: it returns the term, which is the index's own and must
// not be changed, and nil for NULL.
func (x Index) Value() (driver.Value, error) {
	if x == nil {
		return nil, nil
	}
	return []byte(x), nil
}

// Scan implements [sql.Scanner]. It takes a copy of a term, or nil for NULL. Any other
// type than []byte and nil is an error.
//
// [sql.Scanner]: https://pkg.go.dev/database/sql#Scanner
func (x *Index) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*x = nil
	case []byte:
		*x = append(Index{}, src...)
	default:
		return fmt.Errorf("field: the column gave a %T; an index is in a column of bytes", src)
	}
	return nil
}

const (
	minTerm = 2
	maxTerm = sha256.Size
)

// An index is an Index field of a record type.
type index struct {
	of         string // the column's name
	path       []int
	pointed    bool   // through a pointer
	field      string // as Go names it
	length     int    // of a term, without the version
	normalizer Normalizer

	// info is what all of its keys are derived with: that it is an index, the table,
	// the column and the normalizer, each with its length.
	info []byte
}

func (x *index) setInfo(table string) {
	b := appendWithLength(nil, "sealring blind index")
	b = appendWithLength(b, table)
	b = appendWithLength(b, x.of)
	x.info = appendWithLength(b, x.normalizer.Name)
}

// normalize returns what of an encoding is indexed. It is empty if nothing is.
func (x *index) normalize(encoding []byte) []byte {
	if x.normalizer.Normalize == nil {
		return encoding
	}
	return []byte(x.normalizer.Normalize(string(encoding)))
}

// term returns the term of what normalize returned, under one key. Context is the
// record's pairs, as recordContext.key has them.
func (x *index) term(k indexKey, context string, normalized []byte) Index {
	term := append(make(Index, 0, 1+sha256.Size), k.version)
	erase.After(func() { term = x.appendMAC(term, k, context, normalized) })
	return term[:1+x.length]
}

func (x *index) appendMAC(b []byte, k indexKey, context string, normalized []byte) []byte {
	mac := hmac.New(sha256.New, k.secret())
	mac.Write(x.info)
	mac.Write([]byte(context))
	var derived [sha256.Size]byte
	mac = hmac.New(sha256.New, mac.Sum(derived[:0]))
	clear(derived[:])
	mac.Write(normalized)
	return mac.Sum(b)
}

// Terms returns the terms by which records are found whose column has this value: one for
// each key in Options.IndexKeys, so that records are found while index keys rotate. Query
// with all of them: WHERE ssn_idx = ANY ($1), or IN (?, ?).
//
// The value has the type of the column's field. Context has the pairs that the record's
// tags add to the encryption context, by name, such as the tenant: nil if there are none.
// The pair of an integer field is its decimal digits: "42".
// If the column has several indexes, name the Go field of one after a dot: "ssn.SSNIdx".
// What is wrong with an argument is [ErrInvalidArgument]. Terms asks no key service.
func (t *Table[T]) Terms(column string, value any, context keyring.EncryptionContext) ([][]byte, error) {
	terms, err := t.table.terms(column, value, context)
	if err != nil {
		return nil, fmt.Errorf("field: table %s: terms of %s: %w", t.name, column, err)
	}
	return terms, nil
}

func (t *table) terms(name string, value any, context keyring.EncryptionContext) ([][]byte, error) {
	c, x, err := t.findIndex(name)
	if err != nil {
		return nil, err
	}
	encoding, err := c.cell.encodeAs(nil, value)
	if err != nil {
		return nil, invalid("%v", err)
	}
	defer clear(encoding)
	normalized := x.normalize(encoding)
	if len(normalized) == 0 && x.normalizer.Normalize != nil {
		return nil, invalid("the normalizer %s leaves nothing of the value", x.normalizer.Name)
	}
	key, err := t.contextKey(context)
	if err != nil {
		return nil, err
	}
	var terms [][]byte
	for _, k := range t.opts.IndexKeys.keys {
		terms = append(terms, x.term(k, key, normalized))
	}
	return terms, nil
}

// findIndex returns the index that a name means: its column's, or that and its own.
func (t *table) findIndex(name string) (*column, *index, error) {
	for _, c := range t.plan.columns {
		for _, x := range c.indexes {
			if name == c.name && len(c.indexes) == 1 || name == c.name+"."+x.field {
				return c, x, nil
			}
		}
		if name == c.name && len(c.indexes) > 1 {
			return nil, nil, invalid("the column has %d indexes: name one, as in %q", len(c.indexes), name+"."+c.indexes[0].field)
		}
	}
	return nil, nil, invalid("no index of that name")
}

// contextKey returns the pairs that a caller gave as recordContext.key has them.
func (t *table) contextKey(context keyring.EncryptionContext) (string, error) {
	var b []byte
	for _, p := range t.plan.context {
		value := context[p.name]
		if value == "" {
			return "", invalid("the context has no %q, which the records' tags have", p.name)
		}
		b = appendWithLength(appendWithLength(b, p.name), value)
	}
	if len(context) > len(t.plan.context) {
		for name := range context {
			if !slices.ContainsFunc(t.plan.context, func(p part) bool { return p.name == name }) {
				return "", invalid("the context has %q, which the records' tags do not have", name)
			}
		}
	}
	return string(b), nil
}

// set gives an index of a record its term, or nil if nothing of the value is indexed.
func (x *index) set(record reflect.Value, term Index) {
	if v, ok := at(record, x.path); ok {
		v.SetBytes(term)
	}
}

// stale says whether an index of a record is of another key than the current one. One
// that is nil is, unless the normalizer may have left nothing.
func (x *index) stale(record reflect.Value, current byte) bool {
	v, ok := at(record, x.path)
	if !ok {
		return false
	}
	b := v.Bytes()
	if len(b) == 0 {
		return x.normalizer.Normalize == nil
	}
	return b[0] != current
}
