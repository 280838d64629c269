package envelope

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// A Header is what stands at the beginning of a message, readable without keys.
type Header struct {
	// Version is the message format version, 1 or 2.
	Version int

	// Suite is the algorithm suite.
	Suite keyring.Suite

	// MessageID is the message's random ID: 16 bytes in version 1, 32 in 2.
	MessageID []byte

	// Context holds the pairs of the encryption context that are stored. In
	// signed messages it includes the public key, "aws-crypto-public-key".
	Context keyring.EncryptionContext

	// EncryptedDataKeys are the wrapped data keys, with the names of the keys
	// that wrapped them.
	EncryptedDataKeys []keyring.EncryptedDataKey

	// FrameLength is the length of the regular frames' content in bytes; zero
	// for a non-framed body.
	FrameLength int

	// Length is the header's length in bytes.
	Length int
}

// String describes the header in one line, for people to read: version, suite, who wrapped
// the data key, and the keys of the encryption context's pairs. It leaves out the pairs'
// values, which may name persons, and the bytes of wrapped keys. What is long it cuts, since
// a stranger may have written it.
func (h *Header) String() string {
	const most = 8 // keys and pairs, so that a log can hold it
	quote := func(name string) string {
		const longest = 200 // an ARN is shorter
		if len(name) > longest {
			return strconv.Quote(name[:longest]) + "…"
		}
		return strconv.Quote(name)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "message of version %d, suite %v, ", h.Version, h.Suite)
	if h.FrameLength > 0 {
		fmt.Fprintf(&b, "frames of %d bytes", h.FrameLength)
	} else {
		b.WriteString("non-framed")
	}
	list := func(intro string, n int, item func(i int) string) {
		for i := range min(n, most) {
			b.WriteString(intro)
			b.WriteString(item(i))
			intro = ", "
		}
		if n > most {
			fmt.Fprintf(&b, " and %d more", n-most)
		}
	}
	list(", wrapped by ", len(h.EncryptedDataKeys), func(i int) string {
		k := h.EncryptedDataKeys[i]
		return quote(k.ProviderID) + "/" + quote(k.KeyName())
	})
	pairs := slices.Sorted(maps.Keys(h.Context))
	list(", context with ", len(pairs), func(i int) string { return quote(pairs[i]) })
	return b.String()
}

// WrappedBy says whether the data key is wrapped by each of the given keys, and by no other:
// whether a message is already under the keys that it is to be under. Keys are named as
// keyring.EncryptedDataKey.KeyName names them: a KMS key's ARN, a raw key's name, a branch
// key's ID; a branch key also by its version, as KeyVersion gives it. It compares what the
// header says, which is authentic only once the message was decrypted. Without keys it is
// false.
func (h *Header) WrappedBy(keys ...string) bool {
	names := func(key string, edk keyring.EncryptedDataKey) bool {
		version := edk.KeyVersion()
		return edk.KeyName() == key || version != "" && version == key
	}
	for _, key := range keys {
		if !slices.ContainsFunc(h.EncryptedDataKeys, func(edk keyring.EncryptedDataKey) bool { return names(key, edk) }) {
			return false
		}
	}
	return !slices.ContainsFunc(h.EncryptedDataKeys, func(edk keyring.EncryptedDataKey) bool {
		return !slices.ContainsFunc(keys, func(key string) bool { return names(key, edk) })
	})
}

// ParseHeader reads the header of a message from r, and not a byte more. It
// needs no keys, and so authenticates nothing: use it to see what a message says
// of itself. Of a message that was then decrypted, the header is authentic.
//
// Of the options only the limits count; nil means the defaults. Errors are
// [ErrMalformed], [ErrLimit], io.ErrUnexpectedEOF for a header that ends early,
// and what r returns.
func ParseHeader(r io.Reader, o *Options) (*Header, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	h, err := message.ReadHeader(careful{r}, opts.limits())
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return newHeader(h, dataKeys(h)), nil
}

// dataKeys returns a header's wrapped keys, which keyrings know by another type.
func dataKeys(h *message.Header) []keyring.EncryptedDataKey {
	keys := make([]keyring.EncryptedDataKey, len(h.EncryptedDataKeys))
	for i, k := range h.EncryptedDataKeys {
		keys[i] = keyring.EncryptedDataKey(k)
	}
	return keys
}

// newHeader copies what h and its wrapped keys refer to.
func newHeader(h *message.Header, wrapped []keyring.EncryptedDataKey) *Header {
	keys := make([]keyring.EncryptedDataKey, len(wrapped))
	for i, k := range wrapped {
		keys[i] = keyring.EncryptedDataKey{
			ProviderID:   k.ProviderID,
			ProviderInfo: bytes.Clone(k.ProviderInfo),
			Ciphertext:   bytes.Clone(k.Ciphertext),
		}
	}
	return &Header{
		Version:           int(h.Suite.Version),
		Suite:             keyring.Suite(h.Suite.ID),
		MessageID:         bytes.Clone(h.MessageID),
		Context:           maps.Clone(keyring.EncryptionContext(h.Context)),
		EncryptedDataKeys: keys,
		FrameLength:       int(h.FrameLength),
		Length:            len(h.Raw),
	}
}
