package envelope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-sealring/sealring/keyring"
)

// An Event says how an operation of a client has ended. It holds no plaintext, no keys
// and no encryption context. What an error says, the error of the call says too.
type Event struct {
	Operation Operation

	// Suite is the algorithm suite; zero if the operation failed before it was known.
	Suite keyring.Suite

	// Bytes is the length of the plaintext; zero after an error, and for operations that
	// have none.
	Bytes int64

	// Duration is how long the operation took. For a Writer and a Reader that is their
	// whole life, with the time that the caller spent between calls; for an EncryptReader and
	// the parts of a RangeReader too.
	Duration time.Duration

	// Err is the error that the caller gets, or nil.
	Err error
}

// An Operation is what an [Event] is about.
type Operation int

const (
	// OpEncrypt is one message in memory, by Encrypt or AppendEncrypt.
	OpEncrypt Operation = iota + 1

	// OpDecrypt is one message in memory, by Decrypt or AppendDecrypt, or one of
	// DecryptBatch: there it takes from the beginning of the call to when the message is
	// done, and is told of when the call ends.
	OpDecrypt

	// OpWriter is a stream that is encrypted: from NewWriter to the end of Close, or to
	// the first error. A [Writer] that is dropped is not told of.
	OpWriter

	// OpReader is a stream that is decrypted: from NewReader to when the end of the
	// message was verified, or to the first error. A [Reader] that is dropped is not
	// told of.
	OpReader

	// OpEncryptReader is a message that is encrypted as it is read: from NewEncryptReader to
	// when its end was sealed for the first time, or to the first error. An [EncryptReader]
	// that is dropped, or closed before, is not told of.
	OpEncryptReader

	// OpOpen is one call of NewReaderAt or NewRangeReader, which has no plaintext yet.
	OpOpen

	// OpReadAt is one call of [ReaderAt.ReadAt] that begins within the plaintext, or one
	// fetch of a [RangeReader]: from its beginning to when all that was asked for was read,
	// or the reader was moved or closed.
	OpReadAt

	// OpNewKey is one request of the materials manager for a message to be written. It is
	// a part of another operation, and so is OpUnwrapKey. With a cache, few of them ask a
	// key service: package cache tells of each how it was answered.
	OpNewKey

	// OpUnwrapKey is one request of the materials manager for a message to be read.
	OpUnwrapKey
)

// String returns the operation's name, in lower case with underscores.
func (o Operation) String() string {
	switch o {
	case OpEncrypt:
		return "encrypt"
	case OpDecrypt:
		return "decrypt"
	case OpWriter:
		return "writer"
	case OpReader:
		return "reader"
	case OpEncryptReader:
		return "encrypt_reader"
	case OpOpen:
		return "open"
	case OpReadAt:
		return "read_at"
	case OpNewKey:
		return "new_key"
	case OpUnwrapKey:
		return "unwrap_key"
	}
	return fmt.Sprintf("Operation(%d)", int(o))
}

// began returns the time if the end of what begins now is to be told of.
func (o *Options) began() (now time.Time) {
	if o.OnEvent != nil {
		now = time.Now()
	}
	return now
}

// tell calls OnEvent, if there is one, for an operation that has ended.
func (o *Options) tell(ctx context.Context, began time.Time, e Event) {
	if o.OnEvent != nil {
		e.Duration = time.Since(began)
		o.OnEvent(ctx, e)
	}
}

// ErrorKind returns what kind of error err is, in one word for a metric or a log. Where
// several would do, it is the first of these:
//
//	""                   err is nil
//	"unavailable"        ErrUnavailable
//	"refused"            a key service said no: an error with a method Refused() bool
//	                     that returns true, as awskms.Error has
//	"canceled"           context.Canceled
//	"deadline_exceeded"  context.DeadlineExceeded
//	"context_mismatch"   ErrContextMismatch
//	"policy"             ErrPolicy
//	"invalid_argument"   ErrInvalidArgument
//	"invalid_materials"  ErrInvalidMaterials
//	"no_matching_key"    ErrNoMatchingKey
//	"commitment"         ErrCommitment
//	"signature"          ErrSignature
//	"authentication"     ErrAuthentication
//	"limit"              ErrLimit
//	"malformed"          ErrMalformed
//	"truncated"          io.ErrUnexpectedEOF
//	"source_changed"     ErrSourceChanged
//	"other"              none of these, such as an error of a source or a destination
func ErrorKind(err error) string {
	if err == nil {
		return ""
	}
	for _, k := range errorKinds {
		if k.is != nil && errors.Is(err, k.is) || k.is == nil && refused(err) {
			return k.name
		}
	}
	return "other"
}

var errorKinds = []struct {
	name string
	is   error // nil for refused
}{
	{"unavailable", ErrUnavailable},
	{"refused", nil},
	{"canceled", context.Canceled},
	{"deadline_exceeded", context.DeadlineExceeded},
	{"context_mismatch", ErrContextMismatch},
	{"policy", ErrPolicy},
	{"invalid_argument", ErrInvalidArgument},
	{"invalid_materials", ErrInvalidMaterials},
	{"no_matching_key", ErrNoMatchingKey},
	{"commitment", ErrCommitment},
	{"signature", ErrSignature},
	{"authentication", ErrAuthentication},
	{"limit", ErrLimit},
	{"malformed", ErrMalformed},
	{"truncated", io.ErrUnexpectedEOF},
	{"source_changed", ErrSourceChanged},
}

// refused says whether any part of an error is a refusal by a key service. errors.As would
// look at the first part that has the method, and no further.
func refused(err error) bool {
	if r, ok := err.(interface{ Refused() bool }); ok && r.Refused() {
		return true
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return refused(u.Unwrap())
	case interface{ Unwrap() []error }:
		for _, part := range u.Unwrap() {
			if refused(part) {
				return true
			}
		}
	}
	return false
}
