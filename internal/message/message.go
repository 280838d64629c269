// Package message is the wire codec of the AWS Encryption SDK message format,
// versions 1 and 2: header, frames, non-framed body and footer. It holds no
// keys, decides no policy, and reads only what it is told to.
//
// Source: the data-format folder and framework/structures.md of
// github.com/awslabs/aws-encryption-sdk-specification.
package message

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed says that bytes do not follow the message format.
	ErrMalformed = errors.New("malformed message")

	// ErrLimit says that a length or a count is past what the format or the
	// caller's limits allow.
	ErrLimit = errors.New("limit exceeded")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
