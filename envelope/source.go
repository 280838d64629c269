package envelope

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
)

// A source is a window on a reader: the bytes that were read and not yet used.
// It never reads for more than it was asked to have, so that what has arrived
// can be used without waiting; except ahead, which does not make one wait.
type source struct {
	src  io.Reader
	buf  *buffer
	r, w int   // buf.bytes[r:w] is the window
	err  error // what src ended with

	inPlace *bytesReader // if not nil, the window is the rest of it and buf is unused
	rest    []byte

	size     int       // how long buf becomes, at least; zero is batchLen
	limit    int       // how long it becomes for now, zero is no less
	frame    int       // length on the wire, zero if not known
	headroom int       // how long a window may be left over when more was read ahead
	eager    bool      // there is something to gain from reading ahead
	short    bool      // the last read got less than there was room for
	spare    []*buffer // those that nobody uses
	closed   bool
	reading  *readAhead // nil if none is under way
	idle     *readAhead // one to use again
}

// A buffer holds what was read. While it has users, what they use of it stays as
// it is.
type buffer struct {
	bytes []byte
	users int // batches
}

// A bytesReader is read where it is. It relies on what bytes.Reader does: it offers
// all that is left at once, and counts as read what was taken of it.
type bytesReader struct{ *bytes.Reader }

// bytes returns what is left.
func (r bytesReader) bytes() []byte {
	var offered capture
	r.WriteTo(&offered)
	return offered
}

func (r bytesReader) skip(n int) { r.Seek(int64(n), io.SeekCurrent) }

// capture takes nothing of what is written to it, and remembers it.
type capture []byte

func (c *capture) Write(p []byte) (int, error) {
	*c = p
	return 0, nil
}

// newSource returns a source that takes from src where it is, if it can. A
// bytes.Buffer it cannot: a destination that writes to it would move what is being
// worked on.
func newSource(src io.Reader) source {
	s := source{src: src, buf: &buffer{}}
	if r, ok := src.(*bytes.Reader); ok {
		s.inPlace = &bytesReader{r}
	}
	s.look()
	return s
}

// look sees what src has. It is called first in every call of the user, between
// which src is theirs.
func (s *source) look() {
	if s.inPlace != nil {
		s.rest = s.inPlace.bytes()
	}
}

// frames tells the source that it is read in batches of frames of n bytes, with
// some bytes more. If several batches can be in flight it reads as many at once,
// and ahead.
func (s *source) frames(n, perBatch, more, inFlight int) {
	s.size = min(inFlight, 8)*perBatch*n + more
	s.frame = n
	s.headroom = min(n, 128<<10)
	s.eager = inFlight > 1
}

// serve keeps the buffer as short as it may be for who takes n bytes at a time: many
// streams may be open and slow. It holds until all is called.
func (s *source) serve(n int) {
	s.limit = max(batchLen, 2*n)
	if s.frame > 0 {
		s.limit = max(1, s.limit/s.frame) * s.frame
	}
}

// all lets the buffer become as long as it may be.
func (s *source) all() { s.limit = 0 }

// window returns the bytes at hand.
func (s *source) window() []byte {
	if s.inPlace != nil {
		return s.rest
	}
	return s.buf.bytes[s.r:s.w]
}

// skip drops n bytes of the window.
func (s *source) skip(n int) {
	if s.inPlace != nil {
		s.inPlace.skip(n)
		s.rest = s.rest[n:]
		return
	}
	s.r += n
}

// fill reads until the window has n bytes. An error is src's own, io.EOF
// included.
func (s *source) fill(n int) error {
	for len(s.window()) < n {
		switch {
		case s.inPlace != nil:
			return io.EOF
		case s.reading != nil:
			<-s.reading.done
			s.arrived()
		case s.err != nil:
			return s.err
		default:
			s.makeRoom(n)
			var got int
			got, s.err = careful{s.src}.Read(s.buf.bytes[s.w:])
			s.short = got < len(s.buf.bytes)-s.w
			s.w += got
		}
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
// becomes longer only once it has been filled: in two steps up to its size, or in
// smaller ones up to its limit, since src has much at a time, and doubling beyond if n
// asks for it. So a number that nobody vouches for never makes it much longer than what
// has arrived.
func (s *source) makeRoom(n int) {
	size := s.size
	if size == 0 {
		size = batchLen
	}
	factor := 16
	if s.limit > 0 {
		size, factor = min(size, s.limit), 4
	}
	longest := max(n, size)
	length := len(s.buf.bytes)
	full := s.w == length
	used := s.buf.users > 0
	switch {
	case full && (length < size || s.r == 0 && !used):
		grown := max(4096, 2*min(length, longest))
		if length > longest/2 {
			grown = longest // and no overflow on the way
		}
		if length > 0 {
			grown = max(grown, min(size, factor*length))
		}
		s.move(&buffer{bytes: newBuffer(grown)})
	case used && (full || length-s.r < n):
		// To a buffer as long as this one, which was filled before.
		s.move(s.buffer(max(n, length)))
	case used: // there is room behind the window
	case full || s.r == s.w || length-s.r < n:
		s.w = copy(s.buf.bytes, s.window())
		s.r = 0
	}
}

// move takes the window to another buffer.
func (s *source) move(to *buffer) {
	w := copy(to.bytes, s.window())
	if s.buf.users == 0 {
		clear(s.buf.bytes) // plaintext, in a Writer
		freeBuffer(s.buf.bytes)
	}
	s.buf, s.r, s.w = to, 0, w
}

// buffer returns one of n bytes or more.
func (s *source) buffer(n int) *buffer {
	for len(s.spare) > 0 {
		last := len(s.spare) - 1
		b := s.spare[last]
		s.spare = s.spare[:last]
		if len(b.bytes) >= n {
			return b
		}
		clear(b.bytes)
		freeBuffer(b.bytes)
	}
	return &buffer{bytes: newBuffer(n)}
}

// lend returns the buffer that the window is in, nil for one that is in place.
// Every one that was lent is given back.
func (s *source) lend() *buffer {
	if s.inPlace != nil {
		return nil
	}
	s.buf.users++
	return s.buf
}

// giveBack takes back what a batch was lent, if anything.
func (s *source) giveBack(from *batch) {
	b := from.lent
	if b == nil {
		return
	}
	from.lent = nil
	if b.users--; b.users == 0 && b != s.buf {
		s.spare = append(s.spare, b)
	}
}

// readAhead is one read of the source beside other work.
type readAhead struct {
	run      func()
	src      io.Reader
	buf      *buffer
	into     []byte // the part of buf to read into
	n        int
	err      error
	panicked any
	done     chan struct{}
}

func newReadAhead(src io.Reader) *readAhead {
	a := &readAhead{src: careful{src}, done: make(chan struct{}, 1)}
	a.run = func() {
		contain(func() { a.n, a.err = a.src.Read(a.into) }, func(panicked any, returned bool) {
			a.panicked = panicked
			if !returned {
				a.n, a.err = 0, errGoexit
			}
			a.done <- struct{}{}
		})
	}
	return a
}

// ahead starts to read what follows the window, if src seems to have it: if the
// last read got as much as it could. What is in the window then must fit the
// headroom.
func (s *source) ahead() {
	switch {
	case !s.eager || s.inPlace != nil || s.reading != nil || s.err != nil:
		return
	case s.short || len(s.buf.bytes) < s.size || s.w-s.r > s.headroom:
		return
	}
	a := s.idle
	if a == nil {
		a = newReadAhead(s.src)
		s.idle = a
	}
	a.buf = s.buffer(s.headroom + s.size)
	// So that the window ends with a frame, as it should.
	a.into = a.buf.bytes[s.headroom : s.headroom+s.size-(s.w-s.r)]
	s.reading = a
	go a.run()
	// Lets the read begin before this goroutine takes to the cipher, which it
	// does not leave for long.
	runtime.Gosched()
}

// wake returns a channel that has something when the read ahead is done, and
// then arrived must be called.
func (s *source) wake() <-chan struct{} {
	if s.reading == nil {
		return nil
	}
	return s.reading.done
}

// arrived puts the window before what was read ahead.
func (s *source) arrived() {
	a, buf := s.reading, s.reading.buf
	s.reading, a.buf = nil, nil
	if s.closed {
		clear(buf.bytes)
		freeBuffer(buf.bytes)
		return
	}
	left := s.window()
	r := s.headroom - len(left)
	copy(buf.bytes[r:], left)
	if s.buf.users == 0 {
		s.spare = append(s.spare, s.buf)
	}
	s.buf, s.r, s.w = buf, r, s.headroom+a.n
	s.short, s.err = a.n < len(a.into), a.err
	if a.panicked != nil {
		panic(a.panicked)
	}
}

// settle waits for a read that is under way. It is called last in every call of
// the user that reads ahead.
func (s *source) settle() {
	if s.reading != nil {
		<-s.reading.done
		s.arrived()
	}
}

// close leaves nothing in the window ever after. It clears the buffers and lets go
// of them, but for those that batches use.
func (s *source) close() {
	for _, b := range append(s.spare, s.buf) {
		if b.users == 0 {
			clear(b.bytes)
			freeBuffer(b.bytes)
		}
	}
	s.buf, s.r, s.w, s.spare = &buffer{}, 0, 0, nil
	s.inPlace, s.rest, s.closed = nil, nil, true
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
