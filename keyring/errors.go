package keyring

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sealring/sealring/internal/message"
)

// Errors that keyrings and materials managers return, wrapped: test for them
// with errors.Is. Package envelope has the same ones under the same names.
var (
	// ErrNoMatchingKey says that none of a message's encrypted data keys could
	// be unwrapped. [NoMatchError] holds the reasons.
	ErrNoMatchingKey = errors.New("no encrypted data key could be unwrapped")

	// ErrUnavailable says that a key service could not be asked just then: it was
	// not reached, timed out, throttled or failed by itself, or there were no
	// credentials to ask it with. The same call may succeed later. Test for it
	// first: when no data key could be unwrapped for such a reason, the error is
	// ErrNoMatchingKey as well.
	//
	// The errors of a keyring that asks a service over a network wrap it, or have a
	// method Is that says so.
	ErrUnavailable = errors.New("key service unavailable")

	// ErrContextMismatch says that the encryption context that the caller
	// expects does not hold for the message.
	ErrContextMismatch = message.ErrContextMismatch

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

	// WrappedBy names the keys that the message says it was wrapped by, as
	// [EncryptedDataKey.KeyName] gives them. The text has them when there are no
	// reasons. They are not authenticated.
	WrappedBy []string

	// Remedy, if not empty, is what the caller can do when there are no reasons.
	Remedy string
}

// NoMatch returns the error of a keyring that unwrapped none of keys, for the
// reasons given.
func NoMatch(keyring string, keys []EncryptedDataKey, reasons ...error) *NoMatchError {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.KeyName()
	}
	return &NoMatchError{Keyring: keyring, Reasons: reasons, WrappedBy: names}
}

func (e *NoMatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v: ", e.Keyring, ErrNoMatchingKey)
	if len(e.Reasons) == 0 {
		b.WriteString(e.wrappedByOthers())
		return b.String()
	}
	// All stay reachable through Unwrap; the text stays one that a log can hold.
	const most = 8
	for i, reason := range e.Reasons {
		if i == most {
			fmt.Fprintf(&b, "; and %d more reasons", len(e.Reasons)-most)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(reason.Error())
	}
	return b.String()
}

// wrappedByOthers returns the text for a message that other keys have wrapped, with their
// names. Anybody may have written those, so they are quoted and cut.
func (e *NoMatchError) wrappedByOthers() string {
	const most, longest = 4, 200
	var names []string
	for _, name := range e.WrappedBy {
		if len(name) > longest {
			name = strings.ToValidUTF8(name[:longest], "") + "..."
		}
		if quoted := strconv.Quote(name); name != "" && !slices.Contains(names, quoted) {
			names = append(names, quoted)
		}
	}
	text := "the message was not wrapped by this key"
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", more))
	}
	if len(names) > 0 {
		text += ", but by " + strings.Join(names, ", ")
	}
	if e.Remedy != "" {
		text += ": " + e.Remedy
	}
	return text
}

// Unwrap returns [ErrNoMatchingKey] and the reasons.
func (e *NoMatchError) Unwrap() []error {
	return append([]error{ErrNoMatchingKey}, e.Reasons...)
}
