package branchkey

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
)

// Errors that a [KeyStore] returns, most of them in an [Error], and some of which a
// [Store] returns: test for them with errors.Is. An error of KMS is an
// [awskms.Error], and a table that cannot be reached keyring.ErrUnavailable.
var (
	// ErrNotFound says that there is no such branch key, or no such version of it. It was
	// never made, or it was destroyed. Of a key that was used before it ends the use.
	ErrNotFound error = notFound{}

	// ErrExists says that there is a branch key of this ID already.
	ErrExists = errors.New("there is a branch key of this ID already: KeyStore.Version gives it a new version")

	// ErrConflict says that somebody else has written the item meanwhile. From
	// [KeyStore.Version] it says that another new version is active, and that
	// nothing was changed.
	ErrConflict = errors.New("somebody else has changed the branch key meanwhile, and nothing was written: " +
		"look at KeyStore.Active before you try again, since the other's new version may be enough")

	// ErrNoTable says that the store's table is not there.
	ErrNoTable = errors.New("the table does not exist: check the database and the table's name, or create it")

	// ErrForeignItem says that an item is in the table which no key store has written in
	// this form.
	ErrForeignItem = errors.New("not an item of a key store")

	// ErrHierarchyVersion says that an item has a hierarchy-version other than 1, which
	// newer programs than this may write.
	ErrHierarchyVersion = errors.New("hierarchy-version is not 1, the only one known here: read the branch key with the program that wrote it, or with a newer release")

	// ErrKMSKey says that an item is wrapped by a KMS key that the key store's
	// configuration does not allow.
	ErrKMSKey = errors.New("wrapped by a KMS key that this key store may not use")
)

// notFound ends the use of a key that was read before, and in a cache counts as the fault
// of the message that names the branch key.
type notFound struct{}

func (notFound) Error() string        { return "no such branch key, or no such version" }
func (notFound) Refused() bool        { return true }
func (notFound) Is(target error) bool { return target == message.ErrBlamesMessage }

// An Error says which item of a key store could not be read or written, and why. It
// unwraps to one of the errors of this package, to an [awskms.Error], or to an error of the
// [Store].
type Error struct {
	// ID is the branch key's ID, and Type the item's type, such as "branch:ACTIVE";
	// empty where it is about all items.
	ID, Type string

	// Attributes are the names of the attributes that are to blame, sorted. If KMS did
	// not accept the item, they are all that it was wrapped with: at least one was
	// altered, or the wrapped key itself, or the key store has another logical name.
	Attributes []string

	err    error
	remedy string
}

// Error says which item failed and why, and where the caller can act, what to do.
func (e *Error) Error() string {
	s := fmt.Sprintf("branch key %q", kmscall.Clip(e.ID))
	if e.Type != "" {
		s += ", item " + shown(e.Type)
	}
	return s + ": " + strings.ReplaceAll(e.err.Error(), "\n", "; ") + e.remedy
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.err }

// shown returns a name that is in the table for people to read. Whoever can write there chose
// it, so that it is cut, and quoted if it would not stay on its line.
func shown(name string) string {
	name = kmscall.Clip(name)
	if strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// foreign is the error for an item that is not as AWS lays it out.
func foreign(it Item, attribute, format string, args ...any) error {
	return &Error{ID: it.ID, Type: it.Type, Attributes: []string{attribute},
		err: fmt.Errorf("%w: attribute %s %s", ErrForeignItem, shown(attribute), fmt.Sprintf(format, args...))}
}

// storeFailed is the error for a failed call of the store.
func storeFailed(ctx context.Context, id, itemType string, err error) error {
	if cause := ctx.Err(); cause != nil {
		if !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return &Error{ID: id, Type: itemType, err: err}
	}
	for _, known := range []error{ErrNotFound, ErrConflict, ErrNoTable, ErrForeignItem, keyring.ErrUnavailable, keyring.ErrInvalidArgument} {
		if errors.Is(err, known) {
			return &Error{ID: id, Type: itemType, err: err}
		}
	}
	var r interface{ Refused() bool }
	if !errors.As(err, &r) || !r.Refused() {
		err = fmt.Errorf("the key store's table: %w: %w", keyring.ErrUnavailable, err)
	}
	return &Error{ID: id, Type: itemType, err: err}
}

// kmsFailed is the error for a call of KMS about an item that failed. The context is what
// the item's wrapped key was said to be bound to.
func (s *KeyStore) kmsFailed(ctx context.Context, operation, keyARN string, it Item, ec map[string]string, err error) error {
	e := awskms.NewError(ctx, operation, keyARN, s.keys.region, err)
	failed := &Error{ID: it.ID, Type: it.Type, err: e}
	if e.Code == "InvalidCiphertextException" || e.Code == "IncorrectKeyException" {
		failed.Attributes = slices.DeleteFunc(slices.Sorted(maps.Keys(ec)), func(name string) bool { return name == tableAttribute })
		names := make([]string, len(failed.Attributes))
		for i, name := range failed.Attributes {
			names[i] = shown(name)
		}
		failed.remedy = fmt.Sprintf(": one of the item's attributes %s or enc was altered, or the key store's logical name is not %q",
			strings.Join(names, ", "), s.name)
	}
	return failed
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("branchkey: %w: %s", keyring.ErrInvalidArgument, fmt.Sprintf(format, args...))
}
