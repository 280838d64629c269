package envelope

import (
	"errors"
	"fmt"
	"io"
)

// batchLen is about how many bytes are read, sealed or written at once: enough
// to make the calls around the cipher cheap, few enough for a core's cache.
const batchLen = 128 << 10

// A source is a window on a reader: the bytes that were read and not yet used.
// It never reads for more than it was asked to have, so that what has arrived
// can be used without waiting.
type source struct {
	src  io.Reader
	buf  []byte
	r, w int   // buf[r:w] is the window
	err  error // what src ended with
}

// window returns the bytes at hand.
func (s *source) window() []byte { return s.buf[s.r:s.w] }

// skip drops n bytes of the window.
func (s *source) skip(n int) { s.r += n }

// fill reads until the window has n bytes. An error is src's own, io.EOF
// included.
func (s *source) fill(n int) error {
	for s.w-s.r < n {
		if s.err != nil {
			return s.err
		}
		s.makeRoom(n)
		var got int
		got, s.err = careful{s.src}.Read(s.buf[s.w:])
		s.w += got
	}
	return nil
}

// careful reads from a reader that may break the rules: it returns a count that
// can be, and does not ask forever.
type careful struct{ io.Reader }

func (c careful) Read(p []byte) (int, error) {
	for range 100 {
		n, err := c.Reader.Read(p)
		if n < 0 || n > len(p) {
			return 0, errors.New("source returned an impossible count of bytes")
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// makeRoom makes buf fit for reading towards a window of n bytes. The buffer
// doubles only once it has been filled: up to a batch, since src has much at a
// time, and beyond if n asks for it. So a number that nobody vouches for never
// makes it much longer than what has arrived.
func (s *source) makeRoom(n int) {
	full := s.w == len(s.buf)
	switch {
	case full && (len(s.buf) < batchLen || s.r == 0):
		longest := max(n, batchLen)
		size := max(4096, 2*min(len(s.buf), longest))
		if len(s.buf) > longest/2 {
			size = longest // and no overflow on the way
		}
		bigger := make([]byte, size)
		s.w = copy(bigger, s.window())
		clear(s.buf) // plaintext, in a Writer
		s.buf, s.r = bigger, 0
	case full || s.r == s.w || len(s.buf)-s.r < n:
		s.w = copy(s.buf, s.window())
		s.r = 0
	}
}

// Read implements io.Reader for the header, which is parsed field by field.
func (s *source) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.fill(1); err != nil {
		return 0, err
	}
	n := copy(p, s.window())
	s.skip(n)
	return n, nil
}

// end returns nil if src has nothing more.
func (s *source) end() error {
	switch err := s.fill(1); {
	case err == nil:
		return errTrailing
	case err == io.EOF:
		return nil
	default:
		return fmt.Errorf("source: %w", err)
	}
}
