package message

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/go-sealring/sealring/internal/suite"
)

const (
	typeCustomerAuthenticated = 0x80

	contentNonFramed = 1
	contentFramed    = 2
)

// An EncryptedDataKey is a wrapped data key as the header carries it.
type EncryptedDataKey struct {
	ProviderID   string
	ProviderInfo []byte
	Ciphertext   []byte
}

// A Header is a message header, version 1 or 2, parsed or to be written.
type Header struct {
	Suite             *suite.Suite
	MessageID         []byte
	Context           map[string]string // the stored pairs
	EncryptedDataKeys []EncryptedDataKey

	// Stored, if not nil, is what AppendStored made of the two above, and is
	// written in their place. In a parsed header it is what they were parsed
	// from.
	Stored []byte

	// FrameLength is the length of the regular frames' content in bytes; zero
	// means a non-framed body.
	FrameLength uint32

	// Commitment is the commitment to the data key, in suites that have one.
	Commitment []byte

	// IV and Tag authenticate the header. Version 2 does not store the IV:
	// it is HeaderIV.
	IV  []byte
	Tag []byte

	// Raw holds the bytes of a parsed header, and the first BodyLen of them
	// are its body: what the tag covers.
	Raw     []byte
	BodyLen int
}

// Limits bound what parsing a header may take.
type Limits struct {
	EncryptedDataKeys int    // most wrapped keys
	HeaderLen         int    // most bytes
	FrameLength       uint32 // longest frame in bytes
}

// ReadHeader reads a header from src, and not a byte more. A header that ends
// early is io.ErrUnexpectedEOF.
func ReadHeader(src io.Reader, limits Limits) (*Header, error) {
	h := &Header{}
	if err := h.parse(&fields{src: src, max: limits.HeaderLen}, limits); err != nil {
		return nil, err
	}
	if err := h.ParseStored(); err != nil {
		return nil, err
	}
	return h, nil
}

// ParseHeader parses the header that msg begins with. The result refers to msg.
func ParseHeader(msg []byte, limits Limits) (*Header, error) {
	h := &Header{}
	if err := h.Parse(msg, limits); err != nil {
		return nil, err
	}
	if err := h.ParseStored(); err != nil {
		return nil, err
	}
	return h, nil
}

// Parse is [ParseHeader] into h, but for Context and EncryptedDataKeys, which
// ParseStored then parses.
func (h *Header) Parse(msg []byte, limits Limits) error {
	f := fields{raw: msg, max: limits.HeaderLen}
	return h.parse(&f, limits)
}

// ParseStored parses what Stored holds.
func (h *Header) ParseStored() (err error) {
	h.Context, h.EncryptedDataKeys, err = ParseStored[EncryptedDataKey](h.Stored)
	return err
}

func (h *Header) parse(f *fields, limits Limits) error {
	version := f.uint8("version")
	switch {
	case f.err != nil:
	case version == 1:
		if f.uint8("message type") != typeCustomerAuthenticated {
			f.fail("unknown message type")
		}
	case version == 2:
	default:
		// Neither this byte nor those of the type and the suite are told: they may be
		// a secret's first.
		f.fail("no message of this format begins like this: it may be plaintext that was never encrypted, or base64 that must be decoded first")
	}

	id := f.uint16("algorithm suite")
	if h.Suite = suite.ByID(id); h.Suite == nil {
		f.fail("unknown algorithm suite")
	} else if h.Suite.Version != version {
		f.fail("algorithm suite 0x%04x does not belong in a version %d message", id, version)
	}
	if f.err != nil {
		return f.err
	}
	h.MessageID = f.bytes(h.Suite.MessageIDLen(), "message ID")

	from := f.off
	f.bytes16("encryption context")
	skipDataKeys(f, limits)
	to := f.off

	content := f.uint8("content type")
	if content != contentFramed && content != contentNonFramed {
		f.fail("unknown content type 0x%02x", content)
	}
	if version == 1 {
		if r := f.uint32("reserved bytes"); r != 0 {
			f.fail("reserved bytes are not zero")
		}
		if n := f.uint8("IV length"); n != suite.IVLen {
			f.fail("IV length is %d, not %d", n, suite.IVLen)
		}
	}
	h.FrameLength = f.uint32("frame length")
	switch {
	case f.err != nil:
	case content == contentFramed && h.FrameLength == 0:
		f.fail("frame length is zero in a framed message")
	case content == contentNonFramed && h.FrameLength != 0:
		f.fail("frame length is %d in a non-framed message", h.FrameLength)
	case h.FrameLength > limits.FrameLength:
		f.err = fmt.Errorf("%w: header: frame length is %d bytes, this client reads %d",
			ErrLimit, h.FrameLength, limits.FrameLength)
	}
	if h.Suite.Commits {
		h.Commitment = f.bytes(suite.CommitmentLen, "key commitment")
	}
	h.BodyLen = f.off

	if version == 1 {
		h.IV = f.bytes(suite.IVLen, "IV")
	} else {
		h.IV = HeaderIV[:]
	}
	h.Tag = f.bytes(suite.TagLen, "authentication tag")
	if f.err != nil {
		return f.err
	}
	h.Raw = f.raw[:f.off:f.off]
	h.Stored = h.Raw[from:to:to]
	return nil
}

// HeaderIV is the IV of the header's tag: zeros, by the format in version 2, and as
// this library writes version 1. Nobody changes it.
//
// Header and frames are authenticated under one key, which must never see an IV
// twice. A frame that this library writes has its sequence number as its IV. The first
// frame has number 1, and after the last number there is an error: so no frame has the
// header's IV. Nor may a second header be written under the same key,
// even with the same data key wrapped anew; who re-encrypts makes a new message.
var HeaderIV [suite.IVLen]byte

// skipDataKeys goes past the wrapped keys, of which it stops at the first past the
// limit.
func skipDataKeys(f *fields, limits Limits) {
	count := int(f.uint16("count of encrypted data keys"))
	switch {
	case f.err != nil:
	case count == 0:
		f.fail("no encrypted data key")
	case count > limits.EncryptedDataKeys:
		f.err = fmt.Errorf("%w: header: %d encrypted data keys, this client reads %d",
			ErrLimit, count, limits.EncryptedDataKeys)
	}
	for range count {
		if f.err != nil {
			return
		}
		f.bytes16("key provider ID")
		f.bytes16("key provider information")
		f.bytes16("encrypted data key")
	}
}

// ParseStored parses the part of a header that [AppendStored] appends. The keys refer
// to stored.
func ParseStored[K ~struct {
	ProviderID               string
	ProviderInfo, Ciphertext []byte
}](stored []byte) (context map[string]string, keys []K, err error) {
	f := fields{raw: stored, max: math.MaxInt}
	serialized := f.bytes16("encryption context")
	if f.err == nil {
		context, f.err = ParseContext(serialized)
	}
	count := int(f.uint16("count of encrypted data keys"))
	// Each has three lengths, so that a count that nobody vouches for makes no more
	// room than the bytes that are here.
	if f.err == nil && count > (len(stored)-f.off)/6 {
		f.err = fmt.Errorf("header: encrypted data keys: %w", io.ErrUnexpectedEOF)
	}
	if f.err != nil {
		return nil, nil, f.err
	}
	keys = make([]K, 0, count)
	for i := range count {
		provider := f.bytes16("key provider ID")
		if !utf8.Valid(provider) {
			f.fail("provider ID of encrypted data key %d is not UTF-8", i+1)
		}
		keys = append(keys, K{
			ProviderID:   string(provider),
			ProviderInfo: f.bytes16("key provider information"),
			Ciphertext:   f.bytes16("encrypted data key"),
		})
	}
	if f.err == nil && f.off != len(stored) {
		f.fail("bytes after the encrypted data keys")
	}
	if f.err != nil {
		return nil, nil, f.err
	}
	return context, keys, nil
}

// AppendBody appends the header's body to dst: what the tag covers. On error
// dst is returned unchanged.
func (h *Header) AppendBody(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, h.Suite.Version)
	if h.Suite.Version == 1 {
		dst = append(dst, typeCustomerAuthenticated)
	}
	dst = appendUint16(dst, int(h.Suite.ID))
	dst = append(dst, h.MessageID...)

	if h.Stored != nil {
		dst = append(dst, h.Stored...)
	} else {
		var err error
		if dst, err = AppendStored(dst, h.Context, h.EncryptedDataKeys); err != nil {
			return dst[:start], err
		}
	}

	if h.FrameLength == 0 {
		dst = append(dst, contentNonFramed)
	} else {
		dst = append(dst, contentFramed)
	}
	if h.Suite.Version == 1 {
		dst = append(dst, 0, 0, 0, 0, suite.IVLen)
	}
	dst = binary.BigEndian.AppendUint32(dst, h.FrameLength)
	return append(dst, h.Commitment...), nil
}

// AppendStored appends the part of a header that messages under one data key have
// in common: the encryption context and the wrapped keys, each with its length or
// count. On error dst is returned unchanged.
func AppendStored[K ~struct {
	ProviderID               string
	ProviderInfo, Ciphertext []byte
}](dst []byte, context map[string]string, keys []K) ([]byte, error) {
	start := len(dst)
	if n := len(keys); n < 1 || n > 1<<16-1 {
		return dst, fmt.Errorf("%w: %d encrypted data keys, the format holds 1 to 65535", ErrLimit, n)
	}
	room := 4 + 32*len(context) // about what the pairs take
	for i := range keys {
		k := EncryptedDataKey(keys[i])
		if max(len(k.ProviderID), len(k.ProviderInfo), len(k.Ciphertext)) > 1<<16-1 {
			return dst, fmt.Errorf("%w: a field of encrypted data key %d is longer than 65535 bytes", ErrLimit, i+1)
		}
		if !utf8.ValidString(k.ProviderID) {
			return dst, malformed("provider ID of encrypted data key %d is not UTF-8", i+1)
		}
		room += 6 + len(k.ProviderID) + len(k.ProviderInfo) + len(k.Ciphertext)
	}
	dst, err := AppendContext(append(slices.Grow(dst, room), 0, 0), context)
	if err != nil {
		return dst[:start], err
	}
	binary.BigEndian.PutUint16(dst[start:], uint16(len(dst)-start-2))

	dst = appendUint16(dst, len(keys))
	for i := range keys {
		k := EncryptedDataKey(keys[i])
		dst = appendString16(dst, k.ProviderID)
		dst = appendString16(dst, k.ProviderInfo)
		dst = appendString16(dst, k.Ciphertext)
	}
	return dst, nil
}

// Len returns the length in bytes of a header that has Stored, its commitment
// not yet made.
func (h *Header) Len() int {
	n := 1 + 2 + h.Suite.MessageIDLen() + len(h.Stored) + 1 + 4 + suite.TagLen
	if h.Suite.Version == 1 {
		n += 1 + 4 + 1 + suite.IVLen
	}
	if h.Suite.Commits {
		n += suite.CommitmentLen
	}
	return n
}

// AppendAuth appends the header's authentication fields to dst.
func (h *Header) AppendAuth(dst []byte) []byte {
	if h.Suite.Version == 1 {
		dst = append(dst, h.IV...)
	}
	return append(dst, h.Tag...)
}
