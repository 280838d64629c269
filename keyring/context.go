package keyring

import (
	"github.com/go-sealring/sealring/internal/message"
)

// An EncryptionContext is a set of key-value pairs that is bound to a message:
// authenticated with it, and by AWS KMS written to the audit log. It is not
// secret: unless said otherwise it is stored in the message in the clear.
//
// Keys and values are UTF-8. The serialized context, which takes 2 bytes and
// 4 bytes a pair beside the text, is at most 65,535 bytes. Keys that begin with
// "aws-crypto-" are reserved.
//
// AWS's Encryption SDK for Java (3.0.2) reads no message with an empty key or
// value in its context, nor one with a key or value above 32,767 bytes. Its
// older master key providers read none whose serialized context is longer than
// that.
type EncryptionContext map[string]string

const (
	reservedPrefix = "aws-crypto-"

	// publicKeyPair is the key under which signed messages store the public key
	// that verifies them.
	publicKeyPair = reservedPrefix + "public-key"
)

// Validate returns nil if a caller may encrypt with the context, and an error
// that wraps [ErrInvalidArgument] if not: a reserved key, text that is not
// UTF-8, or a context that is too long.
func (c EncryptionContext) Validate() error {
	return c.validateFor(SuiteAES256GCMHKDFSHA512Commit)
}

// validateFor is Validate for a suite, which decides what keys are reserved.
func (c EncryptionContext) validateFor(s Suite) error {
	var checker message.ContextChecker
	for k, v := range c {
		if s.reserves(k) {
			return invalid("encryption context: keys that begin with %q are reserved: %q", reservedPrefix, k)
		}
		if err := checker.Add(k, v); err != nil {
			return invalid("%v", err)
		}
	}
	return nil
}

// AppendBinary appends the context's serialized form to b, as the format
// defines it: what keyrings bind to a wrapped key. The empty context is zero
// bytes. On error, which a context that passed Validate does not give, b is
// returned unchanged.
func (c EncryptionContext) AppendBinary(b []byte) ([]byte, error) {
	return message.AppendContext(b, c)
}
