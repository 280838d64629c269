package envelope

import (
	"io"
	"runtime"
	"sync"
)

// A streamSource is a window on what was read from a reader. It never waits for more
// than it was asked to have.
type streamSource struct {
	reader io.Reader
	buf    *buffer
	r, w   int   // buf.bytes[r:w] is the window
	err    error // what reader ended with
	short  bool  // the last read got less than there was room for

	size     int  // how long buf becomes, unless a window must be longer
	limit    int  // if not zero: how long in this call of the user
	frame    int  // length of a frame; zero if it is not known
	headroom int  // how long a window may be for ahead to read what follows it
	eager    bool // ahead may read

	spare   []*buffer  // buffers that nobody uses
	beside  *readAhead // made when it is used first
	reading bool       // ahead has begun to read beside, and settle has not ended that
	closed  bool
}

// A buffer holds what was read. While batches use it, it stays as it is.
type buffer struct {
	bytes []byte
	users int // batches
}

// expectFrames has the source read as much at once as can be in flight, and ahead if
// several batches can be.
func (s *streamSource) expectFrames(n, perBatch, more, inFlight int) {
	s.size = min(inFlight, 8)*perBatch*n + more
	s.frame = n
	s.headroom = min(n, 128<<10)
	s.eager = inFlight > 1
}

// begin keeps the buffer as short as serves the user well, unless they take everything:
// many streams may be open, and slow.
func (s *streamSource) begin(n int) {
	s.limit = 0
	if n != everything {
		s.limit = max(batchLen, 4*n)
	}
	if s.limit > 0 && s.frame > 0 {
		s.limit = max(1, s.limit/s.frame) * s.frame
	}
}

func (s *streamSource) window() []byte { return s.buf.bytes[s.r:s.w] }

func (s *streamSource) skip(n int) { s.r += n }

func (s *streamSource) fill(n int) error {
	for s.w-s.r < n {
		switch {
		case s.reading:
			s.settle()
		case s.err != nil:
			return s.err
		default:
			s.makeRoom(n)
			var got int
			got, s.err = s.reader.Read(s.buf.bytes[s.w:])
			s.short = got < len(s.buf.bytes)-s.w
			s.w += got
		}
	}
	return nil
}

// makeRoom makes buf fit for reading towards a window of n bytes. The buffer becomes
// longer only once it has been filled: up to its size in two steps, or up to its limit
// in smaller ones, since a reader that filled it has much; beyond that it doubles while n
// asks for more. So a number that nobody vouches for never makes it much longer than
// what has arrived.
func (s *streamSource) makeRoom(n int) {
	size, factor := s.size, 16
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
		s.move(s.spareBuffer(max(n, length)))
	case used: // there is room behind the window
	case full || s.r == s.w || length-s.r < n:
		s.w = copy(s.buf.bytes, s.window())
		s.r = 0
	}
}

// move takes the window to another buffer.
func (s *streamSource) move(to *buffer) {
	w := copy(to.bytes, s.window())
	s.buf.release()
	s.buf, s.r, s.w = to, 0, w
}

// release clears the buffer, which may hold plaintext, and lets go of it, unless batches
// use it.
func (b *buffer) release() {
	if b.users == 0 {
		clear(b.bytes)
		freeBuffer(b.bytes)
	}
}

// spareBuffer returns a buffer of n bytes or more.
func (s *streamSource) spareBuffer(n int) *buffer {
	for len(s.spare) > 0 {
		last := len(s.spare) - 1
		b := s.spare[last]
		s.spare = s.spare[:last]
		if len(b.bytes) >= n {
			return b
		}
		b.release()
	}
	return &buffer{bytes: newBuffer(n)}
}

func (s *streamSource) lend(b *batch) {
	s.buf.users++
	b.lent = s.buf
}

func (s *streamSource) giveBack(b *batch) {
	lent := b.lent
	b.lent = nil
	if lent.users--; lent.users == 0 && lent != s.buf {
		s.spare = append(s.spare, lent)
	}
}

// A readAhead reads the source on a goroutine of its own, one read at a time.
type readAhead struct {
	run      func() // reads once
	buf      *buffer
	into     []byte // the part of buf to read into
	n        int
	err      error
	panicked any
	done     chan struct{}  // gets a value when a read has ended
	wait     sync.WaitGroup // for the read, and for the value
}

func newReadAhead(r io.Reader) *readAhead {
	a := &readAhead{done: make(chan struct{}, 1)}
	a.run = func() {
		contain(func() { a.n, a.err = r.Read(a.into) }, func(panicked any, returned bool) {
			a.panicked = panicked
			if !returned {
				a.n, a.err = 0, errGoexit
			}
			a.done <- struct{}{}
			a.wait.Done()
		})
	}
	return a
}

// ahead reads if the reader seems to have more: if it gave all that it was last asked
// for. What is in the window then must fit the headroom.
func (s *streamSource) ahead() <-chan struct{} {
	if s.reading {
		return s.beside.done
	}
	left := s.w - s.r
	if !s.eager || s.err != nil || s.short || len(s.buf.bytes) < s.size || left > s.headroom {
		return nil
	}
	if s.beside == nil {
		s.beside = newReadAhead(s.reader)
	}
	a := s.beside
	a.buf = s.spareBuffer(s.headroom + s.size)
	// With what is left of the window, this ends where a frame does.
	a.into = a.buf.bytes[s.headroom : s.headroom+s.size-left]
	s.reading = true
	a.wait.Add(1)
	go a.run()
	// Lets the read begin before this goroutine takes to the cipher, which it
	// does not leave for long.
	runtime.Gosched()
	return a.done
}

// settle puts the window before what was read ahead.
func (s *streamSource) settle() {
	if !s.reading {
		return
	}
	a := s.beside
	a.wait.Wait()
	select {
	case <-a.done: // nobody has received it
	default:
	}
	buf, short := a.buf, a.n < len(a.into)
	s.reading, a.buf, a.into = false, nil, nil
	if s.closed {
		buf.release()
		return
	}
	r := s.headroom - copy(buf.bytes[s.headroom-(s.w-s.r):], s.window())
	if s.buf.users == 0 {
		s.spare = append(s.spare, s.buf)
	}
	s.buf, s.r, s.w = buf, r, s.headroom+a.n
	s.short, s.err = short, a.err
	if a.panicked != nil {
		panic(a.panicked)
	}
}

func (s *streamSource) close() {
	for _, b := range append(s.spare, s.buf) {
		b.release()
	}
	s.buf, s.r, s.w, s.spare, s.closed = &buffer{}, 0, 0, nil, true
}
