package dynamoitem

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// ErrNotEncrypted says that an item has neither a head nor a foot: it was written in the
// clear. Config.Plaintext can let such items pass.
var ErrNotEncrypted = errors.New("the item is not encrypted")

// An Error says what failed for one item, or for one attribute of it. It never holds a
// value. The errors of package envelope and what a keyring returned are reachable through
// it with errors.Is and errors.As.
type Error struct {
	// Op is "encrypt", "decrypt", "beacon" or "filter", or the operation that a Client
	// refused.
	Op string

	// Table is the logical name of the table. Of a table that a Client does not know it is
	// the name in the request.
	Table string

	// Attribute is the name of the attribute that is to blame, aws_dbe_head or aws_dbe_foot
	// where it is one of those, or "" where it is none.
	Attribute string

	Err error
}

func (e *Error) Error() string {
	where := fmt.Sprintf("dynamoitem: %s: table %q: ", e.Op, clip(e.Table))
	if e.Attribute != "" {
		where += fmt.Sprintf("attribute %q: ", clip(e.Attribute))
	}
	return where + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// at returns err as one of an attribute.
func at(attribute string, err error) error {
	return &located{attribute, err}
}

// A located is an error on its way to becoming an Error.
type located struct {
	attribute string
	err       error
}

func (l *located) Error() string { return l.err.Error() }

// failed returns the error of a call.
func (t *Table) failed(op string, err error) error {
	if l, ok := err.(*located); ok {
		return &Error{op, t.name, l.attribute, l.err}
	}
	return &Error{Op: op, Table: t.name, Err: err}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", keyring.ErrInvalidArgument, fmt.Sprintf(format, args...))
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", envelope.ErrMalformed, fmt.Sprintf(format, args...))
}

// clip keeps names that others chose from filling a log.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
