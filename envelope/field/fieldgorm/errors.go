package fieldgorm

import (
	"errors"
	"fmt"
)

// ErrCondition says that a condition compares a sealed column, or its index, with something
// that no row can have there, such as plaintext.
var ErrCondition = errors.New("a sealed column cannot be compared with this")

// An Error says which column a statement cannot use in this way, and what to do instead. It
// never holds a value. Err wraps field.ErrUnsealed for what would be written and is not
// sealed, [ErrCondition], or field.ErrInvalidArgument.
type Error struct {
	Model  string // the type, as Go names it
	Column string // as the database names it; "" if it is not about one
	Err    error
}

func (e *Error) Error() string {
	where := "fieldgorm: " + e.Model
	if e.Column != "" {
		where += ": column " + e.Column
	}
	return where + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// fail returns the error of a column.
func (c *columns) fail(column string, kind error, format string, args ...any) error {
	return &Error{Model: c.schema.ModelType.String(), Column: column, Err: fmt.Errorf("%w: %s", kind, fmt.Sprintf(format, args...))}
}
