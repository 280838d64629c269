package branchkey

import "context"

// An Item is one row of a key store's table, as AWS lays it out. It holds no secret: Enc
// can be read with KMS alone.
type Item struct {
	// ID is the branch key's ID, the attribute branch-key-id. Type says which of its
	// items this is. Both together are the table's key, compared byte by byte. ID is
	// UTF-8 of at most 2,048 bytes without a zero byte, Type of at most 255.
	ID, Type string

	// Enc is the wrapped key, at most 6,144 bytes.
	Enc []byte

	// Attributes are all others, by name. They are text, of 8,192 bytes together at the
	// most, and must come back exactly as they were put: a byte that differs makes the
	// item unreadable. DynamoDB has hierarchy-version as a number.
	Attributes map[string]string
}

// A Put writes one item.
type Put struct {
	Item Item

	// Replaces is the Enc that the item in the table must still have. With nil the
	// table must not have the item.
	Replaces []byte
}

// A Store is a table of items. Its methods are safe for concurrent use, by several
// processes too. Package branchkeytest tests one.
//
// A method that could not reach the table, or not do its work there, returns an error of
// the Store's own. It is taken for an outage, unless it has a method Refused() bool
// that returns true, which says that access was denied: then keys that were read before
// are no longer used. A table that is not there is [ErrNoTable].
type Store interface {
	// Get returns one item. It is strongly consistent: it sees every Put and Delete that
	// ended before it began. An item that is not there is [ErrNotFound]. One that has
	// attributes which no Item can hold is [ErrForeignItem]. The result is the caller's.
	Get(ctx context.Context, id, itemType string) (Item, error)

	// List returns all items of an ID, in the order of their types, compared byte by
	// byte. It is as consistent as Get. None is no error.
	List(ctx context.Context, id string) ([]Item, error)

	// Put writes all items, or none and returns [ErrConflict] if for one of them
	// the condition of its Put does not hold. There are at most three, with one ID and
	// different types. Put does not keep or change what it is given.
	Put(ctx context.Context, puts ...Put) error

	// Delete deletes all items of an ID, and those too that a Put which replaces one of them
	// writes meanwhile. If there are none it returns [ErrNotFound]. When it fails some may
	// be gone; it can be called again.
	Delete(ctx context.Context, id string) error
}
