package envelope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// A Reader decrypts a message from a source. Get one from [Decrypter.NewReader].
//
// It releases each frame's plaintext when that frame has been verified. If the
// message is signed, only io.EOF says that all of it was: until then treat the
// plaintext as unverified, and undo what was done with it on any other error.
//
// A Reader is not safe for concurrent use. It needs no Close: between calls it
// has no goroutine and owns nothing but memory. Plaintext in that memory is cleared
// when Read returns io.EOF or an error, and when WriteTo has written all or the message
// fails. A Reader that is dropped before, or after an error of WriteTo's destination,
// leaves it to the garbage collector.
type Reader struct {
	ctx    context.Context
	src    source
	opener *opener
	pipe   *pipeline
	unread []byte // verified, for the next calls to return; part of a batch, or of last
	last   []byte // the content of the final frame, or of a non-framed body
	piece  int    // about how many bytes Read opens next, if not into p
	err    error  // what all calls return once unread is empty

	opts  *Options
	began time.Time
	told  bool // of the end

	section *section // nil if the Reader is of the whole message
}

// A section is what is to be read of a message whose ends have been authenticated. The
// source has the regular frames that it is in, and the final frame was opened before.
type section struct {
	skip  int    // bytes to leave out at the beginning of the first frame
	left  int64  // bytes that were not taken yet
	last  uint32 // number of the last regular frame
	final []byte // content of the final frame, which is not the Reader's
	turn  *turn  // of the SectionReader
}

// cut takes what belongs to the section from b, which was opened next.
func (s *section) cut(b []byte) []byte {
	b = b[min(s.skip, len(b)):]
	b = b[:min(int64(len(b)), s.left)]
	s.skip = 0
	s.left -= int64(len(b))
	return b
}

var (
	_ io.Reader   = (*Reader)(nil)
	_ io.WriterTo = (*Reader)(nil)
)

// NewReader reads the header of a message from src, has the keyring unwrap the data key,
// and authenticates the header before it returns. The Reader then reads src to
// its end, since nothing may follow a message. It never closes src. A bytes.Reader
// is read where it is, without a copy: its bytes must not change during a call.
//
// What ec means is said at [Decrypter.Decrypt]. The context covers the life of
// the Reader: once it is done, nothing more is decrypted, and Read fails with its
// error.
func (d *Decrypter) NewReader(ctx context.Context, src io.Reader, ec keyring.EncryptionContext) (*Reader, error) {
	if src == nil {
		return nil, invalid("source is nil")
	}
	r := &Reader{ctx: ctx, src: newSource(src), piece: firstPiece, opts: &d.opts, began: d.opts.began()}
	r.src.begin(0)
	if err := r.readHeader(d, ec); err != nil {
		err = fmt.Errorf("envelope: decrypt: %w", err)
		r.tell(0, err)
		return nil, err
	}
	return r, nil
}

// readHeader reads and authenticates the header.
func (r *Reader) readHeader(d *Decrypter, ec keyring.EncryptionContext) error {
	// Before the source is read, which may take long.
	if err := r.ctx.Err(); err != nil {
		return err
	}
	h, err := message.ReadHeader(headerReader{r.src}, d.opts.limits())
	if err != nil {
		return err
	}
	if r.opener, err = d.newOpener(r.ctx, h, ec); err != nil {
		return err
	}
	o := r.opener
	maxInFlight := streamBatches(o.frameLen)
	if s, ok := r.src.(*memorySource); ok {
		// Half of a short message at most: then the second half uses the memory of
		// the first again, and there is less to clear in the end.
		maxInFlight = min(maxInFlight, 1+len(s.rest)/worthOtherCores())
	}
	r.pipe = newPipeline(d.opts.concurrency(), maxInFlight, o.state.aad, o.openBatch, o.addBatchToSignature)
	if o.frameLen > 0 {
		r.src.expectFrames(o.wireLen(), framesPerBatch(o.frameLen), 0, len(r.pipe.ring))
	}
	return nil
}

// A headerReader reads a header, which is parsed field by field, from a source.
type headerReader struct{ source }

func (h headerReader) Read(p []byte) (int, error) {
	if err := h.fill(1); err != nil {
		return 0, err
	}
	n := copy(p, h.window())
	h.skip(n)
	return n, nil
}

// Header returns the message's header, which has been authenticated. In a signed
// message whoever can decrypt could have written it, until io.EOF says that the
// signature verified.
func (r *Reader) Header() *Header { return newHeader(r.opener.header, dataKeys(r.opener.header)) }

// Read implements [io.Reader]. Only the bytes of p that it counts are plaintext; those
// behind them are of no use. Once Read has returned an error, all later calls return it
// too. If the source is a bytes.Reader, p must not overlap its bytes.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 && r.err == nil {
		return 0, nil
	}
	r.src.begin(len(p))
	// If p is long enough for a frame, frames are opened into it, without a copy.
	into := p
	if s := r.section; s != nil {
		into = p[:min(int64(len(p)), s.left)]
		if s.skip > 0 {
			into = nil
		}
	}
	if len(r.unread) == 0 && r.pipe.inFlight == 0 && r.err == nil && r.opener.frameLen > 0 && len(into) >= r.opener.frameLen {
		if len(r.atHand()) == 0 {
			r.readPart()
		}
		if n := r.readInto(into); n > 0 {
			if r.section != nil {
				r.section.left -= int64(n)
			}
			return n, nil
		}
	}
	// One batch after another: a stream that is read in small pieces starts no goroutine.
	for len(r.unread) == 0 {
		frames := r.atHand()
		switch {
		case r.pipe.inFlight > 0:
			r.take(r.pipe.next(nil))
		case len(frames) > 0:
			b := r.pipe.vacant()
			if r.fillOwn(b, r.nextPiece(frames)) {
				r.pipe.start(b)
			}
		case r.err != nil:
			r.clearRead()
			return 0, r.err
		default:
			r.readPart()
		}
	}
	n := copy(p, r.unread)
	r.unread = r.unread[n:]
	return n, nil
}

// readInto opens the regular frames at hand into p, as many as it has room for. It may
// have set r.err when it returns, whatever n is.
func (r *Reader) readInto(p []byte) (n int) {
	returned := false
	// If the caller recovers from a panic, later calls must fail: the batch in which the
	// panic was is missing.
	defer unlessReturned(&returned, func() { r.fail(errPanicked) })
	defer r.pipe.stop()
	o, room := r.opener, p
	err := r.pipe.run(nil, func(b *batch) (bool, error) {
		frames := r.atHand()
		frames = frames[:min(len(frames), len(room)/o.frameLen*o.wireLen())]
		if len(frames) == 0 {
			return false, nil
		}
		if err := r.fillBatch(b, frames); err != nil {
			return false, err
		}
		opened := o.openedLen(len(frames))
		b.out, room = room[:0:opened], room[opened:]
		return true, nil
	}, func(b *batch) error {
		r.src.giveBack(b)
		n += len(b.out)
		b.in, b.out = nil, nil // which are not the batch's own
		return b.err
	})
	if err != nil {
		r.fail(err)
		clear(p[n : len(p)-len(room)]) // what was opened behind the error
	}
	returned = true
	return n
}

// atHand returns the whole regular frames that the source has at hand, a batch at most.
func (r *Reader) atHand() []byte {
	window := r.src.window()
	n := r.opener.wholeFrames(window)
	if r.section != nil {
		n = int(min(int64(n), int64(r.section.last-r.opener.seq)*int64(r.opener.wireLen())))
	}
	return window[:n]
}

// fillBatch makes frames at hand the input of b. The caller says where the output goes.
func (r *Reader) fillBatch(b *batch, frames []byte) error {
	if err := r.closed(); err != nil {
		return err
	}
	if err := r.opener.fillBatch(r.ctx, b, frames); err != nil {
		return err
	}
	r.src.lend(b)
	r.src.skip(len(frames))
	return nil
}

// closed returns an error if the Reader is that of a SectionReader which was closed meanwhile.
func (r *Reader) closed() error {
	if r.section != nil && r.section.turn.closing() {
		return errSectionReaderClosed
	}
	return nil
}

// WriteTo implements [io.WriterTo]: it writes the rest of the plaintext to w, each frame
// once it has been verified. After an error of the message or of its source, all later
// calls return that error. After an error of w, the plaintext that w did not take can
// still be read.
//
// If Options.Concurrency is not one, WriteTo may read the source in another goroutine
// while it writes to w. It does so only while the source returns as many bytes as it is
// asked for. That goroutine has ended when WriteTo returns: so an error is returned only
// when its read has ended. If that read waits for long, closing the source ends it.
func (r *Reader) WriteTo(w io.Writer) (total int64, err error) {
	// If w is a Writer, an error must stick to it as in its own ReadFrom, so that
	// closing it does not pass off what was read as the whole.
	next, writer := w.(*Writer)
	returned := !writer
	defer unlessReturned(&returned, next.failPanicked)
	total, err = r.writeTo(w)
	returned = true
	if err != nil && r.err != nil && writer && next.err == nil {
		next.fail(err)
	}
	return total, err
}

func (r *Reader) writeTo(w io.Writer) (total int64, err error) {
	r.src.begin(everything)
	defer r.src.settle()
	defer r.pipe.stop()
	write := func() error {
		n, err := r.writeUnread(w)
		total += int64(n)
		return err
	}
	for {
		if err := write(); err != nil {
			return total, err
		}
		err := r.pipe.run(r.src, func(b *batch) (bool, error) {
			frames := r.atHand()
			return len(frames) > 0 && r.fillOwn(b, frames), nil
		}, func(b *batch) error {
			r.take(b)
			return write()
		})
		switch {
		case err != nil:
			return total, err
		case r.err == nil:
			r.readPart()
		case len(r.unread) == 0:
			r.clearRead()
			if r.err == io.EOF {
				return total, nil
			}
			return total, r.err
		}
	}
}

// writeUnread writes what is unread, and makes what w did not take unread.
func (r *Reader) writeUnread(w io.Writer) (int, error) {
	if len(r.unread) == 0 {
		return 0, nil
	}
	n, err := w.Write(r.unread)
	if n < 0 || n > len(r.unread) {
		return 0, invalid("destination: it returned an impossible count of bytes")
	}
	r.unread = r.unread[n:]
	if err == nil && len(r.unread) > 0 {
		err = io.ErrShortWrite
	}
	return n, err
}

// firstPiece is small, since many streams may be open of which little is ever read.
const firstPiece = 4096

// nextPiece returns those frames that Read opens at once: few at first, and ever more as
// the stream goes on.
func (r *Reader) nextPiece(wire []byte) []byte {
	length := r.opener.wireLen()
	piece := max(1, r.piece/length) * length
	r.piece = min(4*r.piece, batchLen)
	return wire[:min(piece, len(wire))]
}

// fillOwn makes frames at hand the input of b, and b's own memory the place for the output.
// It returns false if it has set r.err instead.
func (r *Reader) fillOwn(b *batch, frames []byte) bool {
	if err := r.fillBatch(b, frames); err != nil {
		r.fail(err)
		return false
	}
	b.useOwnMemory(r.opener.openedLen(len(frames)))
	return true
}

// take makes the result of b unread. Nothing else was.
func (r *Reader) take(b *batch) {
	r.src.giveBack(b)
	r.unread, b.in, b.out = b.out, nil, nil
	if r.section != nil {
		r.unread = r.section.cut(r.unread)
	}
	if b.err != nil {
		r.fail(b.err)
	}
}

// readPart reads the next part of the message until it is at hand. If it is the last,
// readPart opens it too, and makes its content unread.
func (r *Reader) readPart() {
	if err := r.closed(); err != nil {
		r.fail(err)
		return
	}
	if s := r.section; s != nil && s.last == r.opener.seq {
		r.unread = s.cut(s.final)
		r.err = io.EOF
		r.letGo()
		return
	}
	for {
		p, err := r.opener.parsePart(r.src.window())
		if err == nil && p.final && r.section != nil {
			err = fmt.Errorf("%w: frame %d is a final frame, and others follow", ErrMalformed, p.seq)
		}
		if err == nil {
			err = r.ctx.Err()
		}
		if err == nil && !p.whole {
			if err = r.src.fill(p.need); err != nil {
				err = r.sourceError(r.opener.name(p), err)
			}
		}
		switch {
		case err != nil:
			r.fail(err)
			return
		case p.whole && p.final:
			r.unread = r.openLast(p)
			if r.err == io.EOF {
				r.tell(int64(r.opener.seq-1)*int64(r.opener.frameLen)+int64(len(r.last)), nil)
			}
			return
		case p.whole:
			return
		}
	}
}

// openLast opens the last part of the message, and returns its content once it has
// verified all that follows.
func (r *Reader) openLast(p part) []byte {
	var err error
	r.last, err = r.opener.openLast(nil, r.src.window(), p)
	if err == nil {
		r.src.skip(p.need)
		err = r.verifyEnd()
	}
	if err != nil {
		r.fail(err)
		return nil
	}
	r.err = io.EOF
	r.letGo()
	return r.last
}

// verifyEnd verifies the footer and that nothing follows it.
func (r *Reader) verifyEnd() error {
	// Twice, since the footer's length is known once its first bytes are at hand.
	for range 2 {
		if err := r.src.fill(r.opener.footerLen(r.src.window())); err != nil {
			return r.sourceError("footer", err)
		}
	}
	n := r.opener.footerLen(r.src.window())
	if err := r.opener.verify(r.src.window()[:n]); err != nil {
		return err
	}
	r.src.skip(n)
	switch err := r.src.fill(1); {
	case err == nil:
		return errTrailing
	case err != io.EOF:
		return fmt.Errorf("source: %w", err)
	}
	return nil
}

// sourceError says what part was being read when the source failed. A source
// that ends there has cut the message short.
func (r *Reader) sourceError(part string, err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", part, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s: source: %w", part, err)
}

// fail has calls return err once they have returned what is unread. What is in flight it
// clears.
func (r *Reader) fail(err error) {
	r.err = fmt.Errorf("envelope: decrypt: %w", err)
	r.pipe.discard()
	r.letGo()
	r.tell(0, r.err)
}

// tell tells, once, how the message has ended: with n bytes of plaintext, or an error.
func (r *Reader) tell(n int64, err error) {
	if r.told {
		return
	}
	r.told = true
	e := Event{Operation: OpReader, Bytes: n, Err: err}
	if r.opener != nil {
		e.Suite = keyring.Suite(r.opener.header.Suite.ID)
	}
	r.opts.tell(r.ctx, r.began, e)
}

// letGo lets go of the key and of the source.
func (r *Reader) letGo() {
	r.opener.aead = nil
	r.src.close()
}

// clearRead clears the plaintext that the caller has read.
func (r *Reader) clearRead() {
	r.pipe.freeMemory(true)
	clear(r.last)
	r.last = nil
}
