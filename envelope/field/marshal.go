package field

import (
	"bytes"
	"database/sql/driver"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/go-sealring/sealring/internal/suite"
)

// base64url is how a message stands in a text column, in JSON and in text.
var base64url = base64.RawURLEncoding.Strict()

// decodeText returns the message that a text stands for, and false if it stands for none.
// Each message has one text: encoding/base64 would skip line breaks.
func decodeText(text []byte) ([]byte, bool) {
	b, err := base64url.AppendDecode(nil, text)
	return b, err == nil && base64url.EncodedLen(len(b)) == len(text)
}

// isMessage says whether b begins as a message of the AWS Encryption SDK does: with a
// version, and a suite that is in use with it.
func isMessage(b []byte) bool {
	switch {
	case len(b) < 4:
		return false
	case b[0] == 1:
		// Version 1 has a type between, which has one value.
		s := suite.ByID(binary.BigEndian.Uint16(b[2:]))
		return b[1] == 0x80 && s != nil && s.Version == 1
	case b[0] == 2:
		s := suite.ByID(binary.BigEndian.Uint16(b[1:]))
		return s != nil && s.Version == 2
	}
	return false
}

// writable returns what may be written, in binary. NULL is nil.
func (s Sealed[T]) writable() ([]byte, error) {
	switch s.state {
	case null:
		return nil, nil
	case unsealed:
		return nil, ErrUnsealed
	}
	if !isMessage(s.message) {
		return nil, fmt.Errorf("field: %w", noMessage(s.message))
	}
	return s.message, nil
}

// noMessage says what a column holds instead of a message.
func noMessage(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: it is empty, which is neither NULL nor a sealed value", ErrNoMessage)
	}
	return fmt.Errorf("%w: its %d bytes do not begin as one", ErrNoMessage, len(b))
}

// Value implements [driver.Valuer]. It returns the ciphertext, as []byte or, for a text
// column, as a string in unpadded base64url; nil for NULL. The bytes are the field's and
// must not be changed. The error is [ErrUnsealed] for a value that was not sealed, and
// [ErrNoMessage] for what was scanned and is no ciphertext: plaintext never comes out.
func (s Sealed[T]) Value() (driver.Value, error) {
	b, err := s.writable()
	if b == nil || err != nil {
		return nil, err
	}
	if s.text {
		return base64url.EncodeToString(b), nil
	}
	return b, nil
}

// Scan implements [sql.Scanner]. It takes a copy of a ciphertext, as bytes or in
// base64url, or nil for NULL. What is no ciphertext is kept for [Table.Open] to judge, so
// that one such row does not end the reading of the others. Any other type than []byte,
// string and nil is an error.
//
// [sql.Scanner]: https://pkg.go.dev/database/sql#Scanner
func (s *Sealed[T]) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		s.SetNull()
	case []byte:
		s.take(src)
	case string:
		s.take([]byte(src))
	default:
		return fmt.Errorf("field: %w: the column gave a %T; a sealed value is in a column of bytes or text", ErrNoMessage, src)
	}
	return nil
}

// take makes the field hold what a column held, of which it takes a copy.
func (s *Sealed[T]) take(b []byte) {
	if isMessage(b) {
		*s = Sealed[T]{message: bytes.Clone(b), state: closed}
		return
	}
	if m, ok := decodeText(b); ok && isMessage(m) {
		*s = Sealed[T]{message: m, state: closed, text: true}
		return
	}
	*s = Sealed[T]{message: append([]byte{}, b...), state: closed, text: s.text}
}

// MarshalBinary implements [encoding.BinaryMarshaler]: it returns a copy of the
// ciphertext, and nothing for NULL. Its errors are those of Value.
func (s Sealed[T]) MarshalBinary() ([]byte, error) {
	b, err := s.writable()
	return bytes.Clone(b), err
}

// UnmarshalBinary implements [encoding.BinaryUnmarshaler]. No bytes are NULL.
func (s *Sealed[T]) UnmarshalBinary(b []byte) error {
	if len(b) == 0 {
		s.SetNull()
		return nil
	}
	if !isMessage(b) {
		return fmt.Errorf("field: %w", noMessage(b))
	}
	*s = Sealed[T]{message: bytes.Clone(b), state: closed}
	return nil
}

// MarshalText implements [encoding.TextMarshaler]: it returns the ciphertext in unpadded
// base64url, and nothing for NULL. Its errors are those of Value.
func (s Sealed[T]) MarshalText() ([]byte, error) {
	b, err := s.writable()
	if b == nil || err != nil {
		return nil, err
	}
	return base64url.AppendEncode(nil, b), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. An empty text is NULL.
func (s *Sealed[T]) UnmarshalText(text []byte) error {
	b, ok := decodeText(text)
	if !ok {
		return fmt.Errorf("field: %w: its text is not unpadded base64url", ErrNoMessage)
	}
	return s.UnmarshalBinary(b)
}

// MarshalJSON implements [json.Marshaler]: it returns the ciphertext as a string in
// unpadded base64url, or null. Its errors are those of Value.
func (s Sealed[T]) MarshalJSON() ([]byte, error) {
	b, err := s.writable()
	if err != nil {
		return nil, err
	}
	if b == nil {
		return []byte("null"), nil
	}
	return append(base64url.AppendEncode([]byte{'"'}, b), '"'), nil
}

// UnmarshalJSON implements [json.Unmarshaler]. An empty string is an error; null is NULL.
func (s *Sealed[T]) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		s.SetNull()
		return nil
	}
	var text string
	if json.Unmarshal(b, &text) != nil {
		return fmt.Errorf("field: %w: in JSON it is a string or null", ErrNoMessage)
	}
	if text == "" {
		return fmt.Errorf("field: %w", noMessage(nil))
	}
	return s.UnmarshalText([]byte(text))
}
