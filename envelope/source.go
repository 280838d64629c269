package envelope

import (
	"bytes"
	"fmt"
	"io"
)

// A source gives a stream its input. Its window has the bytes that have arrived and have
// not been used. Two methods wait until more arrives: fill, and settle, which waits for the
// read that ahead has begun. All others return at once.
type source interface {
	// begin is called at the beginning of every call of the user. Between two calls the
	// user may use the reader too. In this one, about n bytes will be taken, or everything.
	begin(n int)

	// expectFrames says that batches of frames of n bytes are taken, with some bytes
	// more, and how many batches may be in flight.
	expectFrames(n, perBatch, more, inFlight int)

	// window returns the bytes at hand, and skip takes n of them away.
	window() []byte
	skip(n int)

	// fill reads until there are n bytes in the window. Its error is the reader's own,
	// io.EOF included.
	fill(n int) error

	// lend keeps the bytes in the window unchanged, for b to use, until giveBack.
	lend(b *batch)
	giveBack(b *batch)

	// ahead begins a read of what follows the window, in another goroutine, if the reader
	// is likely to have it. When the channel that it returns has an element, the read
	// has ended, and settle does not wait. The channel is nil if there is no such read.
	ahead() <-chan struct{}

	// settle waits for the read that ahead has begun, and puts what it has read into the
	// window. It is called at the end of every call of the user that reads ahead.
	settle()

	// close clears the source's own memory, except what is lent to batches. The window is
	// empty from then on.
	close()
}

// everything is the n of a call that reads to the end.
const everything = -1

// newSource returns a source that takes from r. Out of a bytes.Reader it takes without a
// copy. Out of a bytes.Buffer it cannot: a destination that writes to that would move
// what is being worked on.
func newSource(r io.Reader) source {
	if r, ok := r.(*bytes.Reader); ok {
		return &memorySource{reader: r}
	}
	return &streamSource{reader: careful{r}, buf: &buffer{}, size: batchLen}
}

// A memorySource is a window on all that a bytes.Reader has left. It relies on two
// things that bytes.Reader does: its WriteTo offers all that is left at once, and counts
// as read what was taken of that.
type memorySource struct {
	reader *bytes.Reader // nil once closed
	rest   []byte
}

func (s *memorySource) begin(int) {
	s.rest = nil
	if s.reader != nil {
		s.reader.WriteTo((*capture)(&s.rest))
	}
}

func (s *memorySource) window() []byte { return s.rest }

func (s *memorySource) skip(n int) {
	s.reader.Seek(int64(n), io.SeekCurrent)
	s.rest = s.rest[n:]
}

func (s *memorySource) fill(n int) error {
	if len(s.rest) < n {
		return io.EOF
	}
	return nil
}

func (s *memorySource) close() { *s = memorySource{} }

// Everything is there, and stays where it is.

func (s *memorySource) expectFrames(int, int, int, int) {}
func (s *memorySource) lend(*batch)                     {}
func (s *memorySource) giveBack(*batch)                 {}
func (s *memorySource) ahead() <-chan struct{}          { return nil }
func (s *memorySource) settle()                         {}

// capture takes nothing of what is written to it, and remembers where it is.
type capture []byte

func (c *capture) Write(p []byte) (int, error) {
	*c = p
	return 0, nil
}

// careful reads from a reader that may break the rules of io.Reader: it never returns an
// impossible count, and gives up after many reads that return nothing.
type careful struct{ io.Reader }

func (c careful) Read(p []byte) (int, error) {
	for range 100 {
		n, err := c.Reader.Read(p)
		if n < 0 || n > len(p) {
			return 0, fmt.Errorf("%w: it returned an impossible count of bytes", ErrInvalidArgument)
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}
