package differential

// A Request is what awspeer is to do. It reads requests from its input, and writes an answer
// to each, in the form of package gob.
type Request struct {
	// To open a message.
	Policy   uint8 // keyring.CommitmentPolicy
	Reader   int   // of Orders
	Required []string
	Expected map[string]string
	Message  []byte

	// StrictHeaders says not to try a header as release 4.0.0 for .NET wrote it.
	StrictHeaders bool

	// To unwrap keys instead, if Unwrapper names who is to.
	Unwrapper string
	Suite     uint16
	Context   map[string]string
	Keys      []WrappedKey
}

// A WrappedKey is an encrypted data key.
type WrappedKey struct {
	Provider         string
	Info, Ciphertext []byte
}

// An Answer is what came of it.
type Answer struct {
	Refused   string // why; empty if it was not
	Panicked  bool
	Plaintext []byte // or data key
	Context   map[string]string
}
