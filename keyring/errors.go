package keyring

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that keyrings and materials managers return, wrapped: test for them
// with errors.Is. Package envelope has the same ones under the same names.
var (
	// ErrNoMatchingKey says that none of a message's encrypted data keys could
	// be unwrapped. [NoMatchError] holds the reasons.
	ErrNoMatchingKey = errors.New("no encrypted data key could be unwrapped")

	// ErrContextMismatch says that the encryption context that the caller
	// expects does not hold for the message.
	ErrContextMismatch = errors.New("encryption context mismatch")

	// ErrPolicy says that a policy in force refuses an algorithm suite.
	ErrPolicy = errors.New("refused by policy")

	// ErrInvalidArgument says that what the caller gave cannot be used: an
	// option, a key, a name, an encryption context.
	ErrInvalidArgument = errors.New("invalid argument")

	// ErrInvalidMaterials says that a keyring or a materials manager returned
	// something it must not. It points at a defect in that keyring or manager.
	ErrInvalidMaterials = errors.New("invalid materials")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidArgument, fmt.Sprintf(format, args...))
}

// A NoMatchError says that a keyring unwrapped none of the encrypted data keys.
// It wraps [ErrNoMatchingKey] and each of the reasons.
type NoMatchError struct {
	// Keyring names the keyring that tried, without secrets: "raw AES a/b".
	Keyring string

	// Reasons has one error for each key or keyring that was tried. It is
	// empty when the message holds no key that this keyring could try.
	Reasons []error
}

func (e *NoMatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v", e.Keyring, ErrNoMatchingKey)
	if len(e.Reasons) == 0 {
		b.WriteString(": the message holds none for this key")
	}
	// All stay reachable through Unwrap; the text stays one that a log can hold.
	const most = 8
	for i, reason := range e.Reasons {
		switch {
		case i == 0:
			b.WriteString(": ")
		case i == most:
			fmt.Fprintf(&b, "; and %d more reasons", len(e.Reasons)-most)
			return b.String()
		default:
			b.WriteString("; ")
		}
		b.WriteString(reason.Error())
	}
	return b.String()
}

// Unwrap returns [ErrNoMatchingKey] and the reasons.
func (e *NoMatchError) Unwrap() []error {
	return append([]error{ErrNoMatchingKey}, e.Reasons...)
}
