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
// authentication failed and those pairs may be why. Of many keys it names the first: those
// of an item come from whoever wrote it.
func NotStored(err error, keys []string) error {
	const most = 8
	keys = slices.Sorted(slices.Values(keys))
	more := ""
	if len(keys) > most {
		more = fmt.Sprintf(" and %d others", len(keys)-most)
		keys = keys[:most]
	}
	for i, k := range keys {
		keys[i] = clip(k)
	}
	return fmt.Errorf("%w (perhaps an %w: the message does not store %q%s, and what was given for these keys may not be what it was written with)",
		err, ErrContextMismatch, keys, more)
}
