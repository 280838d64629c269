package message

import (
	"encoding/binary"

	"github.com/go-sealring/sealring/internal/suite"
)

// Sizes in bytes of what surrounds the content on the wire.
const (
	// RegularOverhead is sequence number, IV and tag.
	RegularOverhead = 4 + suite.IVLen + suite.TagLen

	// FinalOverhead is end marker, sequence number, IV, content length and tag.
	FinalOverhead = 4 + 4 + suite.IVLen + 4 + suite.TagLen

	// RegularPrefix and FinalPrefix are the parts that stand before the content.
	RegularPrefix = RegularOverhead - suite.TagLen
	FinalPrefix   = FinalOverhead - suite.TagLen

	// NonFramedPrefix is what stands before a non-framed body's content: IV
	// and content length.
	NonFramedPrefix = suite.IVLen + 8
)

const (
	// EndMarker stands where a regular frame has its sequence number.
	EndMarker = 1<<32 - 1

	// MaxFrames is the most frames a message may have, its final one included.
	MaxFrames = 1<<32 - 1

	// MaxNonFramed is the longest content of a non-framed body in bytes.
	MaxNonFramed = 1<<36 - 32
)

// RegularFrames returns how many regular frames stand before the final one when n bytes
// of content are written. The final frame has what is left: 1 byte to frameLen, or none if
// n is 0. Other writers end a message whose length is a multiple of frameLen with an empty
// final frame, and that is read too.
func RegularFrames(n, frameLen int64) int64 { return max(n-1, 0) / frameLen }

// AppendRegularPrefix appends what stands before a regular frame's content.
func AppendRegularPrefix(dst []byte, seq uint32, iv []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, seq), iv...)
}

// AppendFinalPrefix appends what stands before the final frame's content of n bytes.
func AppendFinalPrefix(dst []byte, seq uint32, iv []byte, n int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, EndMarker)
	dst = AppendRegularPrefix(dst, seq, iv)
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

// A FramePrefix is what stands before a frame's content.
type FramePrefix struct {
	Final bool
	Seq   uint32
	IV    []byte // refers to the parsed bytes
	Len   int    // of the prefix
	N     uint32 // length of the content, of a final frame only
}

// ParseFramePrefix parses the prefix that b begins with. It needs
// [RegularPrefix] bytes for a regular frame and [FinalPrefix] for the final one;
// ok is false when b is too short to tell or to parse.
func ParseFramePrefix(b []byte) (p FramePrefix, ok bool) {
	if len(b) < RegularPrefix {
		return p, false
	}
	if seq := binary.BigEndian.Uint32(b); seq != EndMarker {
		return FramePrefix{Seq: seq, IV: b[4:RegularPrefix], Len: RegularPrefix}, true
	}
	if len(b) < FinalPrefix {
		return p, false
	}
	return FramePrefix{
		Final: true,
		Seq:   binary.BigEndian.Uint32(b[4:]),
		IV:    b[8 : 8+suite.IVLen],
		Len:   FinalPrefix,
		N:     binary.BigEndian.Uint32(b[8+suite.IVLen:]),
	}, true
}

const (
	aadFrame       = "AWSKMSEncryptionClient Frame"
	aadFinalFrame  = "AWSKMSEncryptionClient Final Frame"
	aadSingleBlock = "AWSKMSEncryptionClient Single Block"

	aadMaxLen = 32 + len(aadSingleBlock) + 4 + 8
)

// BodyAAD builds the additional authenticated data of the frames of one
// message. It is not safe for concurrent use.
type BodyAAD struct {
	regular, final       [aadMaxLen]byte
	regularLen, finalLen int
}

// NewBodyAAD returns the builder for a message.
func NewBodyAAD(messageID []byte) BodyAAD {
	var a BodyAAD
	a.regularLen = copy(a.regular[:], messageID)
	a.regularLen += copy(a.regular[a.regularLen:], aadFrame)
	a.finalLen = copy(a.final[:], messageID)
	a.finalLen += copy(a.final[a.finalLen:], aadFinalFrame)
	return a
}

// Regular returns the data for a regular frame of n bytes of content. The next
// call overwrites it.
func (a *BodyAAD) Regular(seq uint32, n int) []byte {
	return number(a.regular[:a.regularLen+12], seq, uint64(n))
}

// Final returns the data for the final frame of n bytes of content. The next
// call overwrites it.
func (a *BodyAAD) Final(seq uint32, n int) []byte {
	return number(a.final[:a.finalLen+12], seq, uint64(n))
}

// NonFramedAAD returns the additional authenticated data of a non-framed body.
func NonFramedAAD(messageID []byte, n uint64) []byte {
	aad := append([]byte(nil), messageID...)
	aad = append(aad, aadSingleBlock...)
	return number(append(aad, make([]byte, 12)...), 1, n)
}

func number(aad []byte, seq uint32, n uint64) []byte {
	at := len(aad) - 12
	binary.BigEndian.PutUint32(aad[at:], seq)
	binary.BigEndian.PutUint64(aad[at+4:], n)
	return aad
}

// AppendFooter appends the footer that holds sig.
func AppendFooter(dst, sig []byte) []byte {
	return appendString16(dst, sig)
}

// FooterPrefix is the length in bytes of what stands before the signature: its
// length.
const FooterPrefix = 2
