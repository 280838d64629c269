package envelope

import (
	"fmt"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
)

// MessageSize returns the length in bytes of the message with this header whose
// plaintext is n bytes long, as this package writes it. An n that is negative or
// takes more frames than the format has is [ErrLimit]; so is any for a non-framed
// message, which this package does not write.
//
// A Writer's header tells it before anything is written.
func (h *Header) MessageSize(n int64) (int64, error) {
	size, err := h.layout().messageSize(n)
	if err != nil {
		return 0, fmt.Errorf("envelope: %w", err)
	}
	return size, nil
}

// PlaintextSize returns the length in bytes of the plaintext in the message with
// this header that is n bytes long: the inverse of MessageSize. An n that no
// message has is [ErrMalformed].
//
// Other writers' signatures vary in length, so that for a signed message the
// result is certain only if this package wrote it.
func (h *Header) PlaintextSize(n int64) (int64, error) {
	size, err := h.layout().plaintextSize(n)
	if err != nil {
		return 0, fmt.Errorf("envelope: %w", err)
	}
	return size, nil
}

// MessageRange returns the part of the message with this header that holds n bytes
// of plaintext from offset off on: the frames that they are in, for one ranged
// read of an object store. The message is size bytes long; a range that goes past
// the plaintext's end is cut there. An off or n that is negative, a size that no
// message has, and a non-framed message are [ErrLimit] or [ErrMalformed].
//
// A [RangeReader] fetches such ranges by itself.
func (h *Header) MessageRange(off, n, size int64) (start, length int64, err error) {
	start, length, err = h.layout().messageRange(off, n, size)
	if err != nil {
		return 0, 0, fmt.Errorf("envelope: %w", err)
	}
	return start, length, nil
}

func (h *Header) layout() layout {
	return layout{suite.ByID(uint16(h.Suite)), int64(h.Length), int64(h.FrameLength)}
}

func layoutOf(h *message.Header) layout {
	return layout{h.Suite, int64(len(h.Raw)), int64(h.FrameLength)}
}

// A layout is what must be known of a message to compute where its parts lie.
type layout struct {
	suite     *suite.Suite
	headerLen int64
	frameLen  int64 // zero: non-framed
}

func (l layout) footerLen() int64 {
	if l.suite == nil || !l.suite.Signs() {
		return 0
	}
	return message.FooterPrefix + int64(l.suite.SigLen)
}

func (l layout) messageSize(n int64) (int64, error) {
	if l.frameLen <= 0 {
		return 0, fmt.Errorf("%w: a non-framed message is never written", ErrLimit)
	}
	if n < 0 {
		return 0, fmt.Errorf("%w: plaintext of %d bytes", ErrLimit, n)
	}
	regular := message.RegularFrames(n, l.frameLen)
	if regular >= message.MaxFrames {
		return 0, fmt.Errorf("%w: plaintext of %d bytes takes more than %d frames of %d bytes",
			ErrLimit, n, int64(message.MaxFrames), l.frameLen)
	}
	overhead := l.headerLen + regular*message.RegularOverhead + message.FinalOverhead + l.footerLen()
	if n+overhead < 0 {
		return 0, fmt.Errorf("%w: plaintext of %d bytes", ErrLimit, n)
	}
	return n + overhead, nil
}

func (l layout) plaintextSize(n int64) (int64, error) {
	// From a number far below zero, the subtraction below would wrap around to one far
	// above.
	if n < 0 {
		return 0, l.noSuchSize(n)
	}
	body := n - l.headerLen - l.footerLen()
	if l.frameLen <= 0 {
		content := body - message.NonFramedPrefix - suite.TagLen
		if content < 0 {
			return 0, l.noSuchSize(n)
		}
		return content, nil
	}
	rest := body - message.FinalOverhead
	wire := l.frameLen + message.RegularOverhead
	if rest < 0 || rest/wire >= message.MaxFrames || rest%wire > l.frameLen {
		return 0, l.noSuchSize(n)
	}
	return rest/wire*l.frameLen + rest%wire, nil
}

func (l layout) noSuchSize(n int64) error {
	return fmt.Errorf("%w: no message with this header is %d bytes long", ErrMalformed, n)
}

// A span is where a frame lies in a message.
type span struct {
	before         int64 // count of the frames before it
	offset, length int64 // in bytes
}

// finalFrame returns where the final frame of a message of size bytes lies, which
// plaintextSize has found to be possible.
func (l layout) finalFrame(size int64) span {
	wire := l.frameLen + message.RegularOverhead
	regular := (size - l.headerLen - l.footerLen() - message.FinalOverhead) / wire
	start := l.headerLen + regular*wire
	return span{regular, start, size - l.footerLen() - start}
}

func (l layout) messageRange(off, n, size int64) (start, length int64, err error) {
	plaintext, err := l.plaintextSize(size)
	switch {
	case err != nil:
		return 0, 0, err
	case l.frameLen <= 0:
		return 0, 0, fmt.Errorf("%w: a non-framed message has no parts", ErrLimit)
	case off < 0 || n < 0:
		return 0, 0, fmt.Errorf("%w: range of %d bytes at %d", ErrLimit, n, off)
	}
	off = min(off, plaintext)
	n = min(n, plaintext-off)
	if n == 0 {
		return l.headerLen, 0, nil
	}
	wire := l.frameLen + message.RegularOverhead
	final := l.finalFrame(size)
	first, last := off/l.frameLen, (off+n-1)/l.frameLen
	start = l.headerLen + first*wire
	if last >= final.before {
		return start, final.offset + final.length - start, nil
	}
	return start, (last - first + 1) * wire, nil
}
