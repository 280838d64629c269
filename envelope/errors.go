package envelope

import (
	"errors"
	"fmt"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// The errors of this package, wrapped with the part that failed: test for them
// with errors.Is. Two more are io.ErrUnexpectedEOF, for a message that ends too
// early, and the error of a context that is done. Errors from a keyring, from a
// source and from a destination stay reachable too. None carries plaintext, keys
// or ciphertext.
var (
	// ErrMalformed says that a message does not follow the format.
	ErrMalformed = message.ErrMalformed

	// ErrAuthentication says that a header, a frame or a body does not verify
	// under the message's key: it was altered, or authenticated with another
	// encryption context.
	ErrAuthentication = errors.New("authentication failed")

	// ErrCommitment says that the unwrapped data key is not the one that the
	// message commits to.
	ErrCommitment = errors.New("key commitment does not match")

	// ErrSignature says that the signature at the end of a message does not
	// verify.
	ErrSignature = errors.New("signature does not verify")

	// ErrLimit says that a message is past a limit of the format, or past one
	// that [Options] can raise.
	ErrLimit = message.ErrLimit

	// ErrSourceChanged says that a source is not what it was said to be, or not what it
	// was before. That of an [EncryptReader] is shorter or longer than was said, or has
	// other bytes when it is read again. The object of a [RangeReader] was replaced.
	ErrSourceChanged = errors.New("the source has changed")

	// ErrContextMismatch says that the encryption context that the caller
	// expects does not hold for the message: a stored pair has another value, or
	// a pair that is not stored could not be authenticated. In the second case
	// the error is ErrNoMatchingKey or ErrAuthentication too, since a wrong pair
	// cannot be told from a wrong key or an altered message.
	ErrContextMismatch = keyring.ErrContextMismatch

	// ErrUnavailable says that a key service could not be asked just then; the same
	// call may succeed later. Test for it first: an error of decrypting for such a
	// reason is ErrNoMatchingKey as well.
	ErrUnavailable = keyring.ErrUnavailable

	// ErrNoMatchingKey says that the keyring could unwrap none of the message's
	// data keys. A keyring.NoMatchError holds the reasons.
	ErrNoMatchingKey = keyring.ErrNoMatchingKey

	// ErrPolicy says that the commitment policy, RefuseSigned or a table's
	// RequireSignature refuses the algorithm suite.
	ErrPolicy = keyring.ErrPolicy

	// ErrInvalidArgument says that what the caller gave cannot be used: an
	// option, an encryption context that may not be encrypted with, or a source, a
	// destination or a FetchFunc that returns what it must not.
	ErrInvalidArgument = keyring.ErrInvalidArgument

	// ErrInvalidMaterials says that a keyring or materials manager returned
	// something it must not. It points at a defect there.
	ErrInvalidMaterials = keyring.ErrInvalidMaterials
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("envelope: %w: %s", ErrInvalidArgument, fmt.Sprintf(format, args...))
}
