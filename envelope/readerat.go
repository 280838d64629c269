package envelope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// A ReaderAt decrypts any part of a message, opening only the frames that it
// touches. Get one from [Decrypter.NewReaderAt].
//
// What it returns has been verified: that it is those bytes of the plaintext, of
// this message. It is safe for concurrent use if its source is. It needs no
// Close: it starts no goroutine and owns nothing but memory.
type ReaderAt struct {
	ctx     context.Context
	src     io.ReaderAt
	opener  *opener // its AEAD and header are read, and nothing of it is changed
	layout  layout
	size    int64  // of the plaintext
	regular int64  // count of the regular frames
	final   []byte // content of the final frame
	scratch sync.Pool
}

var _ io.ReaderAt = (*ReaderAt)(nil)

// NewReaderAt reads the header of a message of size bytes from src, has the data
// key unwrapped, and authenticates the header and the final frame before it
// returns. So a message that was cut short or made longer is found at once.
// Frames in between are verified when they are read.
//
// A message with a signature is verified only as a whole, and a non-framed one
// has no parts: both are refused with an error that wraps [errors.ErrUnsupported],
// before the keyring is asked.
//
// What ec means is said at [Decrypter.Decrypt]. The context covers the life of
// the ReaderAt: once it is done, ReadAt fails with its error.
func (d *Decrypter) NewReaderAt(ctx context.Context, src io.ReaderAt, size int64, ec keyring.EncryptionContext) (*ReaderAt, error) {
	switch {
	case src == nil:
		return nil, invalid("source is nil")
	case size < 0:
		return nil, invalid("message of %d bytes", size)
	}
	r := &ReaderAt{ctx: ctx, src: src}
	if err := r.open(d, size, ec); err != nil {
		return nil, fmt.Errorf("envelope: decrypt: %w", err)
	}
	return r, nil
}

func (r *ReaderAt) open(d *Decrypter, size int64, ec keyring.EncryptionContext) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	h, err := message.ReadHeader(&source{src: io.NewSectionReader(r.src, 0, size)}, d.opts.limits())
	if err != nil {
		return err
	}
	switch {
	case h.Suite.Signs():
		return fmt.Errorf("%w: a signed message can only be read as a whole, with NewReader", errors.ErrUnsupported)
	case h.FrameLength == 0:
		return fmt.Errorf("%w: a non-framed message can only be read as a whole, with NewReader", errors.ErrUnsupported)
	}
	if r.opener, err = d.newOpener(r.ctx, h, ec); err != nil {
		return err
	}
	r.layout = layoutOf(h)
	if r.size, err = r.layout.plaintextSize(size); err != nil {
		return err
	}
	end := r.layout.finalFrame(size)
	r.regular = end.before
	wire := make([]byte, end.length)
	if err := r.readFull(wire, end.offset); err != nil {
		return fmt.Errorf("final frame: %w", err)
	}
	o := r.at(r.regular)
	p, err := o.next(wire)
	if err == nil && (!p.final || !p.whole || p.need != len(wire)) {
		err = fmt.Errorf("%w: the final frame is not where it belongs: the message is cut short or has bytes added", ErrMalformed)
	}
	if err != nil {
		return err
	}
	r.final, err = o.open(nil, wire, p)
	return err
}

// at returns an opener that stands behind n frames. It shares only what does not
// change.
func (r *ReaderAt) at(n int64) *opener {
	o := *r.opener
	o.seq = uint32(n)
	return &o
}

// Size returns the length of the plaintext in bytes.
func (r *ReaderAt) Size() int64 { return r.size }

// Header returns the message's header, which has been authenticated.
func (r *ReaderAt) Header() *Header { return newHeader(r.opener.header) }

// ReadAt implements [io.ReaderAt]. On error the bytes of p that were counted are
// verified plaintext, and the others hold nothing of use. Errors do not stick:
// another part of the message may be sound.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, invalid("negative offset %d", off)
	}
	if off >= r.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), r.size-off)]
	n, err := r.readAt(want, off)
	if err != nil {
		return n, fmt.Errorf("envelope: decrypt: %w", err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// buffers are what one call of ReadAt needs.
type buffers struct{ wire, plain []byte }

func (r *ReaderAt) readAt(p []byte, off int64) (n int, err error) {
	b, _ := r.scratch.Get().(*buffers)
	if b == nil {
		b = &buffers{}
	}
	defer func() {
		clear(b.plain)
		r.scratch.Put(b)
	}()
	for n < len(p) {
		frame := (off + int64(n)) / r.layout.frameLen
		if frame == r.regular {
			n += copy(p[n:], r.final[off+int64(n)-frame*r.layout.frameLen:])
			break
		}
		got, err := r.readFrames(b, p[n:], off+int64(n), frame)
		n += got
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// readFrames reads a batch of regular frames from the source at once, and copies
// the plaintext from off on, which is in the first of them.
func (r *ReaderAt) readFrames(b *buffers, p []byte, off, frame int64) (n int, err error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	frameLen := r.layout.frameLen
	wireLen := frameLen + message.RegularOverhead
	last := min((off+int64(len(p))-1)/frameLen, r.regular-1)
	count := min(last-frame+1, max(1, batchLen/wireLen))
	b.wire = sized(b.wire, int(count*wireLen))
	if err := r.readFull(b.wire, r.layout.headerLen+frame*wireLen); err != nil {
		return 0, fmt.Errorf("frame %d: %w", frame+1, err)
	}
	o := r.at(frame)
	for i := range count {
		wire := b.wire[i*wireLen : (i+1)*wireLen]
		part, err := o.next(wire)
		if err == nil && part.final {
			err = fmt.Errorf("%w: frame %d is a final frame, and others follow", ErrMalformed, frame+i+1)
		}
		if err != nil {
			return n, err
		}
		skip := off + int64(n) - (frame+i)*frameLen
		// A frame that is wanted whole is opened into its place.
		if skip == 0 && int64(len(p)-n) >= frameLen {
			if _, err := o.open(p[n:n:int64(n)+frameLen], wire, part); err != nil {
				return n, err
			}
			n += int(frameLen)
			continue
		}
		b.plain = sized(b.plain, int(frameLen))
		plain, err := o.open(b.plain[:0], wire, part)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], plain[skip:])
	}
	return n, nil
}

func sized(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// readFull fills p from the source. A source that ends before has cut the
// message short.
func (r *ReaderAt) readFull(p []byte, off int64) error {
	n, err := r.src.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF
	default:
		return fmt.Errorf("source: %w", err)
	}
}
