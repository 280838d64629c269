package field

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-sealring/sealring/keyring"
)

var (
	// ErrUnsealed says that a value would be written that was not sealed: call
	// [Table.Seal] on the record first.
	ErrUnsealed = errors.New("field: the value is not sealed: call Table.Seal before writing it")

	// ErrNotOpened says that a field holds a ciphertext that was not opened: call
	// [Table.Open] on the record first.
	ErrNotOpened = errors.New("field: the value is not opened: call Table.Open before reading it")

	// ErrNull says that a field is NULL, and has no value.
	ErrNull = errors.New("field: the value is NULL")

	// ErrBinding says that a ciphertext is authentic, and belongs to another row or
	// column than the one that it was found in, or to none. It is also the error of
	// messages that were not made by this package.
	ErrBinding = errors.New("the value was sealed for another row or column")

	// ErrType says that a value cannot be decoded as its field's type, which may have
	// changed since it was sealed, or cannot be encoded.
	ErrType = errors.New("the value does not fit the field's type")

	// ErrNoMessage says that a column holds something that is no sealed value, such as
	// plaintext or nothing at all.
	ErrNoMessage = errors.New("the column holds no sealed value")

	// ErrInvalidArgument says that what the caller gave cannot be used: a record type, a
	// record, an option.
	ErrInvalidArgument = keyring.ErrInvalidArgument
)

// An Error says what failed for one record, or for one field of it. It never holds a value.
type Error struct {
	Table  string
	Index  int    // of the record among those that were given
	Column string // the name in the field's tag; "" if the whole record failed
	Err    error
}

func (e *Error) Error() string {
	where := fmt.Sprintf("field: table %s: record %d", e.Table, e.Index)
	if e.Column != "" {
		where += ": column " + e.Column
	}
	return where + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Errors are the errors of one call, in the order of the records, then of the columns. All
// fields that are not named in it are done.
type Errors []*Error

// Error names the first three.
func (e Errors) Error() string {
	var b strings.Builder
	for i, one := range e {
		if i == 3 {
			fmt.Fprintf(&b, "; and %d more", len(e)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(one.Error())
	}
	return b.String()
}

// Unwrap returns the single errors.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i := range e {
		all[i] = e[i]
	}
	return all
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidArgument, fmt.Sprintf(format, args...))
}
