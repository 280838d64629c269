package field

import (
	"errors"
	"fmt"
)

// A Sealed is one sealed field of a record: NULL, a value that is yet to be sealed, a
// ciphertext that is yet to be opened, or a ciphertext with its value. The zero Sealed
// is NULL.
//
// [Table.Seal] makes the ciphertext of a value, and [Table.Open] the value of a
// ciphertext. Everything that reads or writes a Sealed elsewhere (database/sql, JSON,
// text and binary encodings) moves the ciphertext alone, and asks no key service.
// Whatever prints it (fmt, log/slog, a debugger that walks structs by reflection) shows
// no plaintext.
//
// Package attributevalue of AWS's SDK takes a Sealed with its options UseEncodingMarshalers
// and UseEncodingUnmarshalers. Without them it stores an empty map, and the value is lost
// without an error.
//
// T is a string, []byte, bool, a number, time.Time, or any type that encoding/json
// encodes; the package comment says how. A Sealed may be copied. It is not safe for
// concurrent use if one of the uses changes it.
type Sealed[T any] struct {
	// The value is behind a function, which reflection cannot look into: fmt prints
	// fields that are not exported without asking their methods, and so do the printers
	// that tests use.
	value func() *T

	message []byte // what the column holds, in binary
	state   state
	text    bool   // the column holds text: the message in base64url
	mark    uint64 // the place that the message was sealed for, if its value is known
}

// A state says what of a Sealed there is.
type state uint8

const (
	null     state = iota
	unsealed       // a value
	closed         // a message
	opened         // both
)

// New returns a field with the value v, to be sealed. It keeps v: what v refers to must
// not be changed afterwards.
func New[T any](v T) Sealed[T] {
	var s Sealed[T]
	s.Set(v)
	return s
}

// Set gives the field a new value, to be sealed. It keeps v: what v refers to must not be
// changed afterwards. A nil slice is a value too, and not NULL: it is sealed as if empty.
func (s *Sealed[T]) Set(v T) {
	*s = Sealed[T]{value: func() *T { return &v }, state: unsealed, text: s.text}
}

// SetNull makes the field NULL.
func (s *Sealed[T]) SetNull() { *s = Sealed[T]{text: s.text} }

// IsNull says whether the field is NULL, which it can tell without opening it.
func (s Sealed[T]) IsNull() bool { return s.state == null }

// Plaintext returns the value. The error is [ErrNull] for NULL, and [ErrNotOpened] for a
// ciphertext that [Table.Open] has not opened. What the value refers to stays the
// field's, and must not be changed: call Set with a new value instead.
func (s Sealed[T]) Plaintext() (T, error) {
	var zero T
	switch s.state {
	case null:
		return zero, ErrNull
	case closed:
		return zero, ErrNotOpened
	}
	return *s.value(), nil
}

// A cell is a *Sealed of any type, as a Table sees it.
type cell interface {
	current() (state, uint64)

	// appendValue appends the value's encoding.
	appendValue(dst []byte) ([]byte, error)

	// sealed takes the message that was made of the value.
	sealed(message []byte, text bool, mark uint64)

	// inText says that the column holds text.
	inText()

	// stored returns what the column holds.
	stored() []byte

	// openedTo takes the value's encoding. It does not keep it.
	openedTo(encoding []byte, mark uint64) error

	// found takes the value's encoding, which was in the column in plaintext.
	found(encoding []byte) error

	// checkType says whether values can be encoded.
	checkType() error

	// encodeAs appends the encoding of a value that has the field's type.
	encodeAs(dst []byte, v any) ([]byte, error)

	// isText says whether the values are text.
	isText() bool
}

func (s *Sealed[T]) current() (state, uint64) { return s.state, s.mark }

func (s *Sealed[T]) appendValue(dst []byte) ([]byte, error) { return appendValue(dst, s.value()) }

func (s *Sealed[T]) sealed(message []byte, text bool, mark uint64) {
	s.message, s.text, s.mark, s.state = message, text, mark, opened
}

func (s *Sealed[T]) inText() { s.text = true }

func (s *Sealed[T]) stored() []byte { return s.message }

func (s *Sealed[T]) openedTo(encoding []byte, mark uint64) error {
	v := new(T)
	if err := decodeValue(encoding, v); err != nil {
		return err
	}
	s.value, s.mark, s.state = func() *T { return v }, mark, opened
	return nil
}

func (s *Sealed[T]) found(encoding []byte) error {
	v := new(T)
	if err := decodeValue(encoding, v); err != nil {
		return err
	}
	*s = Sealed[T]{value: func() *T { return v }, state: unsealed, text: s.text}
	return nil
}

func (s *Sealed[T]) checkType() error { return checkType[T]() }

func (s *Sealed[T]) isText() bool { return isText[T]() }

func (s *Sealed[T]) encodeAs(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case T:
		return appendValue(dst, &v)
	case Sealed[T]:
		if v.state == unsealed || v.state == opened {
			return v.appendValue(dst)
		}
		return nil, errors.New("the field has no value")
	}
	return nil, fmt.Errorf("the value has type %T, and the field %T", v, *new(T))
}
