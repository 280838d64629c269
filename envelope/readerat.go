package envelope

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// A ReaderAt decrypts any part of a message, opening only the frames that it
// touches. Get one from [Decrypter.NewReaderAt]. For an object store, where each read is a
// request, there is [RangeReader].
//
// What it returns has been verified: that it is those bytes of the plaintext, of
// this message. It is safe for concurrent use if its source is. It needs no
// Close: between calls it has no goroutine and owns nothing but memory.
type ReaderAt struct {
	ends
	ctx     context.Context
	src     io.ReaderAt
	opts    *Options
	scratch sync.Pool // of *scratch
}

var _ io.ReaderAt = (*ReaderAt)(nil)

// NewReaderAt reads the header of a message of size bytes from src, has the keyring
// unwrap the data key, and authenticates the header and the final frame before it
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
	r := &ReaderAt{ctx: ctx, src: src, opts: &d.opts}
	began := d.opts.began()
	err := r.open(ctx, d, ec, size, bufio.NewReader(careful{io.NewSectionReader(src, 0, size)}), r.readFull)
	if err != nil {
		err = fmt.Errorf("envelope: decrypt: %w", err)
	}
	r.tell(ctx, &d.opts, began, OpOpen, 0, err)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// An ends is a message of which any part can be opened: its header and its final frame have
// been authenticated, and so its length.
type ends struct {
	opener        *opener // not changed any more
	layout        layout
	size          int64 // of the plaintext
	regularFrames int64
	final         []byte // content of the final frame
}

// open reads the header of a message of size bytes from head, and with readFull, which fills
// p with the bytes from off on, its final frame. It authenticates them.
func (e *ends) open(ctx context.Context, d *Decrypter, ec keyring.EncryptionContext, size int64, head io.Reader, readFull func(p []byte, off int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := message.ReadHeader(head, d.opts.limits())
	if err != nil {
		return err
	}
	switch {
	case h.Suite.Signs():
		return fmt.Errorf("%w: a signed message can only be read as a whole, with NewReader", errors.ErrUnsupported)
	case h.FrameLength == 0:
		return fmt.Errorf("%w: a non-framed message can only be read as a whole, with NewReader", errors.ErrUnsupported)
	}
	if e.opener, err = d.newOpener(ctx, h, ec); err != nil {
		return err
	}
	e.layout = layoutOf(h)
	if e.size, err = e.layout.plaintextSize(size); err != nil {
		return err
	}
	end := e.layout.finalFrame(size)
	e.regularFrames = end.before
	wire := make([]byte, end.length)
	if err := readFull(wire, end.offset); err != nil {
		return fmt.Errorf("final frame: %w", err)
	}
	e.opener.seq = uint32(e.regularFrames)
	p, err := e.opener.parsePart(wire)
	if err == nil && (!p.final || !p.whole || p.need != len(wire)) {
		err = fmt.Errorf("%w: the final frame is not where it belongs: the message is cut short or has bytes added", ErrMalformed)
	}
	if err != nil {
		return err
	}
	e.final, err = e.opener.openLast(nil, wire, p)
	return err
}

// Size returns the length of the plaintext in bytes.
func (r *ReaderAt) Size() int64 { return r.size }

// Header returns the message's header, which has been authenticated.
func (r *ReaderAt) Header() *Header { return r.authenticHeader() }

func (e *ends) authenticHeader() *Header {
	return newHeader(e.opener.header, dataKeys(e.opener.header))
}

// ReadAt implements [io.ReaderAt]. On error the bytes of p that were counted are
// verified plaintext, and the others hold nothing of use. Errors do not stick:
// another part of the message may be sound.
//
// A read of much is split into parts of about 64 KiB, which with a concurrency
// of more than one are read from the source and opened in parallel.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, invalid("negative offset %d", off)
	}
	if off >= r.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), r.size-off)]
	began := r.opts.began()
	n, err := r.readAt(want, off)
	if err != nil {
		err = fmt.Errorf("envelope: decrypt: %w", err)
		r.tell(r.ctx, r.opts, began, OpReadAt, 0, err)
		return n, err
	}
	r.tell(r.ctx, r.opts, began, OpReadAt, int64(n), nil)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// tell tells of an operation that has ended.
func (e *ends) tell(ctx context.Context, o *Options, began time.Time, op Operation, n int64, err error) {
	told := Event{Operation: op, Bytes: n, Err: err}
	if e.opener != nil {
		told.Suite = keyring.Suite(e.opener.header.Suite.ID)
	}
	o.tell(ctx, began, told)
}

// readAt fills p, which the plaintext from off on is long enough for.
func (r *ReaderAt) readAt(p []byte, off int64) (n int, err error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	for n < len(p) {
		frame, skip := (off+int64(n))/r.layout.frameLen, (off+int64(n))%r.layout.frameLen
		if frame == r.regularFrames {
			n += copy(p[n:], r.final[skip:])
			break
		}
		read := r.readFrames
		whole := min(int64(len(p)-n)/r.layout.frameLen, r.regularFrames-frame)
		if skip == 0 && whole*r.layout.frameLen > int64(worthOtherCores()) {
			read = r.readParallel
		}
		got, err := read(p[n:], frame, skip)
		n += got
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// A scratch is memory that a read works in.
type scratch struct {
	wire, plain []byte
	state       frameState
}

// takeScratch returns a scratch, which is given back to r.scratch.
func (r *ReaderAt) takeScratch() *scratch {
	if s, ok := r.scratch.Get().(*scratch); ok {
		return s
	}
	return &scratch{state: r.opener.state}
}

// readFrames reads regular frames, the first of which is given by the count of those before
// it, with one read of the source: a batch at most. It fills p with their plaintext, of
// which it leaves out the first skip bytes. Frames that p has room for are opened in place.
func (r *ReaderAt) readFrames(p []byte, frame, skip int64) (n int, err error) {
	s := r.takeScratch()
	defer r.scratch.Put(s)

	frameLen := r.layout.frameLen
	count := min((skip+int64(len(p))+frameLen-1)/frameLen, r.regularFrames-frame, int64(framesPerBatch(int(frameLen))))
	wire, err := r.readWire(&s.wire, frame, count)
	if err != nil {
		return 0, err
	}
	length := frameLen + message.RegularOverhead
	seq := uint32(frame)
	// The first frame may be wanted in part, and the last.
	var plain []byte
	defer func() { clear(plain) }()
	part := func(skip int64) error {
		plain = sized(&s.plain, frameLen)
		if _, err := r.opener.openFrames(plain[:0], wire[:length], seq, &s.state); err != nil {
			return err
		}
		n += copy(p[n:], plain[skip:])
		wire, seq = wire[length:], seq+1
		return nil
	}
	if skip > 0 {
		if err := part(skip); err != nil {
			return n, err
		}
	}
	if whole := min(int64(len(wire))/length, int64(len(p)-n)/frameLen); whole > 0 {
		out, err := r.opener.openFrames(p[n:n:int64(n)+whole*frameLen], wire[:whole*length], seq, &s.state)
		n += len(out)
		if err != nil {
			return n, err
		}
		wire, seq = wire[whole*length:], seq+uint32(whole)
	}
	if len(wire) > 0 && n < len(p) {
		err = part(0)
	}
	return n, err
}

// readParallel is readFrames for as many whole frames as there is room for in p, several
// batches at once.
func (r *ReaderAt) readParallel(p []byte, frame, _ int64) (n int, err error) {
	frameLen := r.layout.frameLen
	whole := min(int64(len(p))/frameLen, r.regularFrames-frame)
	perBatch := int64(framesPerBatch(int(frameLen)))
	inFlight := min(int64(streamBatches(int(frameLen))), 1+whole/perBatch)
	pipe := newPipeline(r.opts.concurrency(), int(inFlight), r.opener.state.aad, r.readBatch, nil)
	defer pipe.stop()
	room := p
	err = pipe.run(nil, func(b *batch) (bool, error) {
		count := min(whole, perBatch)
		if count == 0 {
			return false, nil
		}
		b.seq, b.out = uint32(frame), room[:0:count*frameLen]
		room = room[count*frameLen:]
		frame, whole = frame+count, whole-count
		return true, nil
	}, func(b *batch) error {
		n += len(b.out)
		return b.err
	})
	if err != nil {
		clear(p[n : len(p)-len(room)]) // what was opened behind the error
	}
	return n, err
}

// readBatch reads as many frames as b has room for, and opens them.
func (r *ReaderAt) readBatch(b *batch) {
	s := r.takeScratch()
	defer r.scratch.Put(s)
	var wire []byte
	if wire, b.err = r.readWire(&s.wire, int64(b.seq), int64(cap(b.out))/r.layout.frameLen); b.err == nil {
		b.out, b.err = r.opener.openFrames(b.out, wire, b.seq, &b.state)
	}
}

// readWire reads count regular frames into buf, which it makes longer if need be. The
// first of them is given by the count of those before it.
func (r *ReaderAt) readWire(buf *[]byte, frame, count int64) ([]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	length := r.layout.frameLen + message.RegularOverhead
	wire := sized(buf, count*length)
	if err := r.readFull(wire, r.layout.headerLen+frame*length); err != nil {
		return nil, fmt.Errorf("frame %d: %w", frame+1, err)
	}
	return wire, nil
}

// sized returns the first n bytes of b, which it makes longer if need be.
func sized(b *[]byte, n int64) []byte {
	if int64(cap(*b)) < n {
		*b = make([]byte, n)
	}
	return (*b)[:n]
}

// readFull fills p from the source. If the source ends before, the message was cut short.
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
