package message

import (
	"errors"
	"fmt"
	"slices"
)

// ErrContextMismatch is keyring.ErrContextMismatch.
var ErrContextMismatch = errors.New("encryption context mismatch")

// A Mismatch is an [ErrContextMismatch] of which it is known which keys it may be of.
type Mismatch struct {
	Keys []string
	err  error
}

func (m *Mismatch) Error() string { return m.err.Error() }

func (m *Mismatch) Unwrap() error { return m.err }

// AnotherValue says that a message stores another value for a key than the caller expects.
func AnotherValue(key string) error {
	return &Mismatch{[]string{key}, fmt.Errorf("%w: the message has another value for key %q", ErrContextMismatch, key)}
}

// NotStored returns err, wrapped so that it is [ErrContextMismatch] as well and names
// the keys of reproduced pairs that a message does not store. It is for when
// authentication failed and those pairs may be why. Of many keys it names the first: those
// of an item come from whoever wrote it.
func NotStored(err error, keys []string) error {
	const most = 8
	m := &Mismatch{Keys: keys}
	keys = slices.Sorted(slices.Values(keys))
	more := ""
	if len(keys) > most {
		more = fmt.Sprintf(" and %d others", len(keys)-most)
		keys = keys[:most]
	}
	for i, k := range keys {
		keys[i] = clip(k)
	}
	m.err = fmt.Errorf("%w (perhaps an %w: the message does not store %q%s, and what was given for these keys may not be what it was written with)",
		err, ErrContextMismatch, keys, more)
	return m
}
