// Package message is the wire codec of the AWS Encryption SDK message format,
// versions 1 and 2: header, frames, non-framed body and footer. It holds no
// keys, decides no policy, and reads only what it is told to.
//
// A message is a header, a body and, if its suite signs, a footer. Numbers are
// big-endian. In the tables, "1:" and "2:" stand before what only that version has.
//
// # Header
//
//	bytes    field
//	1        version: 01 or 02
//	1        1: message type: 80
//	2        algorithm suite
//	16 | 32  message ID: 16 bytes in version 1, 32 in version 2
//	2        length of the encryption context in bytes; 0 if it is empty
//	           2  number of pairs; for each, in the order of the keys' bytes:
//	           2  length of the key, and the key in UTF-8
//	           2  length of the value, and the value in UTF-8
//	2        number of encrypted data keys, at least one; for each:
//	           2  length of the provider ID, and the provider ID in UTF-8
//	           2  length of the provider information, and that
//	           2  length of the wrapped key, and that
//	1        content type: 01 non-framed, 02 framed
//	4        1: reserved: 0
//	1        1: length of an IV: 12
//	4        frame length: of the content of regular frames; 0 if non-framed
//	32       2: commitment to the data key
//	12       1: IV of the tag
//	16       authentication tag
//
// The fields before the last two are the header's body. The tag is that of AES-GCM over no
// plaintext; the additional data is the header's body and, serialized like the stored
// ones, the pairs of the encryption context that the message does not store. [HeaderIV]
// is the IV.
//
// # Body in frames
//
// Regular frames, then one final frame; [RegularFrames] says how the content is divided
// among them.
//
//	bytes  regular frame               bytes  final frame
//	                                   4      end marker: FFFFFFFF
//	4      sequence number, from 1     4      sequence number
//	12     IV                          12     IV
//	                                   4      length of the content
//	       content: the frame length          content
//	16     authentication tag          16     authentication tag
//
// # Body without frames
//
//	bytes  field
//	12     IV
//	8      length of the content
//	       content
//	16     authentication tag
//
// # Footer
//
//	bytes  field
//	2      length of the signature
//	       ECDSA signature in DER, over header and body
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
