package message

import (
	"errors"
	"fmt"
	"slices"
)

// ErrContextMismatch is keyring.ErrContextMismatch.
var ErrContextMismatch = errors.New("encryption context mismatch")

// NotStored returns err, wrapped so that it is [ErrContextMismatch] as well and names
// the keys of reproduced pairs that a message does not store. It is for when
// authentication failed and those pairs may be why.
func NotStored(err error, keys []string) error {
	keys = slices.Sorted(slices.Values(keys))
	return fmt.Errorf("%w (perhaps an %w: the message does not store %q, and what was given for these keys may not be what it was written with)",
		err, ErrContextMismatch, keys)
}
