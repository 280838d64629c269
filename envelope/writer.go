package envelope

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"time"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// A Writer encrypts what is written to it into one message on a destination. Get
// one from [Encrypter.NewWriter].
//
// The message is whole when Close has returned nil; before, what the destination
// has does not decrypt. A Writer that is not to be closed, because its input
// failed, is just dropped, or its context cancelled: between calls it has no
// goroutine and owns nothing but memory. So where the input can fail, do not defer
// Close. If it is deferred all the same, cancel the context before it runs: else a
// shortened plaintext becomes a valid message.
//
// A Writer is not safe for concurrent use.
type Writer struct {
	ctx    context.Context
	dst    io.Writer
	sealer *sealer
	tail   []byte // plaintext that may belong into the final frame: a frame at most
	out    []byte // sealed, not yet written to dst
	left   int64  // how many bytes of plaintext the caller may still write
	opts   *Options
	pipe   *pipeline // nil until there is much to seal
	err    error     // what all calls to come return
	closed bool
	began  time.Time
}

var (
	_ io.WriteCloser = (*Writer)(nil)
	_ io.ReaderFrom  = (*Writer)(nil)
)

// NewWriter gets a data key for a message and returns a Writer that encrypts to
// dst. Nothing is written to dst before there is a batch of frames or Close. The
// Writer never closes dst.
//
// The context covers the life of the Writer: once it is done, Write and Close
// fail with its error. An encryption context that may not be used is
// [ErrInvalidArgument].
func (e *Encrypter) NewWriter(ctx context.Context, dst io.Writer, ec keyring.EncryptionContext) (*Writer, error) {
	if dst == nil {
		return nil, invalid("destination is nil")
	}
	length, left := int64(-1), int64(math.MaxInt64)
	if e.opts.MaxStreamLength > 0 {
		length, left = e.opts.MaxStreamLength, e.opts.MaxStreamLength
	}
	s := &sealer{}
	began := e.opts.began()
	head, err := s.sealHeader(ctx, e, nil, ec, -1, length)
	if err != nil {
		err = fmt.Errorf("envelope: encrypt: %w", err)
		e.opts.tell(ctx, began, Event{Operation: OpWriter, Suite: e.opts.Suite, Err: err})
		return nil, err
	}
	return &Writer{ctx: ctx, dst: dst, sealer: s, left: left, opts: &e.opts, out: bytes.Clone(head), began: began}, nil
}

// Header returns the header of the message. [Header.MessageSize] tells from it
// how long the message for a plaintext will be.
func (w *Writer) Header() *Header { return newHeader(&w.sealer.header, w.sealer.keys) }

// Write implements [io.Writer]. It does not keep or change p. Errors stick, and
// leave a message that cannot be completed.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.write(p)
	return n, w.stick(err)
}

// write seals p up to a tail, which may belong into the final frame and waits until more
// comes.
func (w *Writer) write(p []byte) (int, error) {
	frameLen := w.sealer.frameLen
	total := len(p)
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if err := w.spend(total); err != nil {
		return 0, err
	}
	for len(p) > 0 {
		var n int
		var err error
		switch {
		case len(w.tail) == frameLen:
			_, err = w.seal(w.tail)
			w.tail = w.tail[:0]
		case len(w.tail) == 0 && len(p) > max(worthOtherCores(), frameLen):
			n, err = w.writeParallel(p)
		case len(w.tail) == 0 && len(p) > frameLen:
			n, err = w.seal(p[:w.sealer.wholeFrames(p)])
		default:
			n = min(len(p), frameLen-len(w.tail))
			w.tail = append(extend(w.tail, n, frameLen), p[:n]...)
		}
		p = p[n:]
		if err != nil {
			return total - len(p), err
		}
	}
	return total, nil
}

// writeParallel seals and writes p up to the last frame's length of it or less. The tail
// is empty. It returns how many bytes of p it has written.
func (w *Writer) writeParallel(p []byte) (done int, err error) {
	w.usePipeline()
	defer w.pipe.stop()
	err = w.pipe.run(nil, func(b *batch) (bool, error) {
		frames := p[:w.sealer.wholeFrames(p)]
		if len(frames) == 0 {
			return false, nil
		}
		p = p[len(frames):]
		return true, w.fillBatch(b, frames)
	}, func(b *batch) error {
		n := len(b.in)
		err := w.writeBatch(b)
		if err == nil {
			done += n
		}
		return err
	})
	return done, err
}

// usePipeline makes the pipeline, unless there is one already.
func (w *Writer) usePipeline() {
	if w.pipe == nil {
		n := streamBatches(w.sealer.frameLen)
		w.pipe = newPipeline(w.opts.concurrency(), n, w.sealer.state.aad, w.sealer.sealBatch, nil)
	}
}

// fillBatch has b seal whole regular frames into memory of its own.
func (w *Writer) fillBatch(b *batch, frames []byte) error {
	if err := w.sealer.fillBatch(w.ctx, b, frames); err != nil {
		return err
	}
	b.useOwnMemory(w.sealer.sealedLen(len(frames)))
	return nil
}

// writeBatch writes what was sealed in b. Little it adds to out instead, to be written
// with what comes.
func (w *Writer) writeBatch(b *batch) error {
	sealed := b.out
	b.in, b.out = nil, nil // in is the caller's
	w.sealer.addToSignature(sealed)
	if len(w.out)+len(sealed) <= batchLen/2 {
		w.out = append(extend(w.out, len(sealed), batchLen), sealed...)
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.writeOut(sealed)
}

// spend counts n bytes of plaintext against Options.MaxStreamLength.
func (w *Writer) spend(n int) error {
	if int64(n) > w.left {
		return fmt.Errorf("%w: the plaintext is longer than Options.MaxStreamLength", ErrLimit)
	}
	w.left -= int64(n)
	return nil
}

// seal seals whole regular frames, a batch at most, into out, which it writes before if
// both would be more than a batch. It returns how many bytes of frames it has sealed.
func (w *Writer) seal(frames []byte) (n int, err error) {
	need := w.sealer.sealedLen(len(frames))
	if len(w.out)+need > batchLen {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	if w.out, err = w.sealer.appendRegular(extend(w.out, need, batchLen), frames); err != nil {
		return 0, err
	}
	return len(frames), nil
}

// flush writes out and empties it.
func (w *Writer) flush() error {
	err := w.writeOut(w.out)
	if err == nil {
		w.out = w.out[:0]
	}
	return err
}

// writeOut writes p to the destination.
func (w *Writer) writeOut(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	returned := false
	defer unlessReturned(&returned, w.failPanicked)
	n, err := w.dst.Write(p)
	returned = true
	switch {
	case n < 0 || n > len(p):
		return fmt.Errorf("destination: %w: it returned an impossible count of bytes", ErrInvalidArgument)
	case err == nil && n < len(p):
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	return nil
}

// ReadFrom implements [io.ReaderFrom]: it encrypts src to its end. It does not close the
// message. After an error of src or of the destination, all later calls return that error,
// Close too, so that the part which was read does not become a whole message.
//
// io.Copy calls ReadFrom, unless the source has a method WriteTo. Then the Writer does not
// see the source's errors: check the error of io.Copy before you call Close. A [Reader] as
// the source is an exception, whose errors the Writer does see.
//
// If Options.Concurrency is not one, ReadFrom may read src in another goroutine while it
// writes to the destination. It does so only while src returns as many bytes as it is
// asked for. That goroutine has ended when ReadFrom returns: so an error is returned only
// when its read has ended. If that read waits for long, closing src ends it.
//
// If src is a bytes.Reader, its bytes are encrypted without a copy, and must not change
// during the call.
func (w *Writer) ReadFrom(src io.Reader) (int64, error) {
	if w.err != nil {
		return 0, w.err
	}
	in := newSource(src)
	defer in.close()
	returned := false
	defer unlessReturned(&returned, w.failPanicked)
	n, err := w.readFrom(in)
	returned = true
	return n, w.stick(err)
}

func (w *Writer) readFrom(in source) (total int64, err error) {
	w.usePipeline()
	in.begin(everything)
	in.expectFrames(w.sealer.frameLen, framesPerBatch(w.sealer.frameLen), 1, len(w.pipe.ring))
	defer in.settle()
	defer w.pipe.stop()
	for {
		err := w.pipe.run(in, func(b *batch) (bool, error) {
			frames := in.window()
			frames = frames[:w.sealer.wholeFrames(frames)]
			if len(frames) == 0 || len(w.tail) > 0 { // the tail comes before a frame
				return false, nil
			}
			if err := w.spend(len(frames)); err != nil {
				return false, err
			}
			if err := w.fillBatch(b, frames); err != nil {
				return false, err
			}
			in.lend(b)
			in.skip(len(frames))
			total += int64(len(frames))
			return true, nil
		}, func(b *batch) error {
			in.giveBack(b)
			return w.writeBatch(b)
		})
		if err != nil {
			return total, err
		}
		n, end, err := w.readMore(in)
		total += int64(n)
		if end || err != nil {
			return total, err
		}
	}
}

// readMore has the source read, since less is at hand than a frame and what must follow
// it. It moves n bytes into the tail: those that complete it, or at the source's end all
// that are left.
func (w *Writer) readMore(in source) (n int, end bool, err error) {
	if err := w.ctx.Err(); err != nil {
		return 0, false, err
	}
	// The source gives all that it has even if one byte is asked for.
	need := 1
	if len(w.tail) == 0 {
		need = len(in.window()) + 1
	}
	err = in.fill(need)
	switch {
	case err == io.EOF: // an error that wraps io.EOF is no clean end
		end, err = true, nil
	case err != nil:
		err = fmt.Errorf("source: %w", err)
	case len(w.tail) == 0:
		return 0, false, nil
	case len(w.tail) == w.sealer.frameLen:
		_, err = w.seal(w.tail)
		w.tail = w.tail[:0]
		return 0, false, err
	}
	n, errWrite := w.write(in.window()[:min(len(in.window()), w.sealer.frameLen-len(w.tail))])
	in.skip(n)
	if errWrite != nil {
		err = errWrite
	}
	return n, end, err
}

// Close ends the message: it seals and writes the final frame, and the signature
// if there is one. It does not close the destination. After an error of an
// earlier call it returns that; after success it does nothing and returns nil.
func (w *Writer) Close() error {
	if w.closed {
		return nil
	}
	if w.err != nil || w.stick(w.writeEnd()) != nil {
		return w.err
	}
	w.closed = true
	length := int64(w.sealer.seq-1)*int64(w.sealer.frameLen) + int64(len(w.tail))
	w.fail(fmt.Errorf("writer: %w", fs.ErrClosed))
	w.opts.tell(w.ctx, w.began, Event{Operation: OpWriter, Suite: w.opts.Suite, Bytes: length})
	return nil
}

// writeEnd seals the final frame with the tail as its content, signs the message if its
// suite does, and writes what is left.
func (w *Writer) writeEnd() error {
	need := len(w.tail) + message.FinalOverhead + int(layout{suite: w.sealer.header.Suite}.footerLen())
	var err error
	if w.out, err = w.sealer.appendFinal(extend(w.out, need, batchLen), w.tail); err != nil {
		return err
	}
	return w.flush()
}

// stick returns what all calls to come return if a call has ended with err.
func (w *Writer) stick(err error) error {
	if err != nil {
		w.fail(err)
	}
	return w.err
}

// failPanicked is fail for a call that a source or a destination did not let return:
// Close must not make a whole message of what came before.
func (w *Writer) failPanicked() {
	if w.err == nil {
		w.fail(errPanicked)
	}
}

// fail has all calls to come return err, clears the plaintext and lets go of the keys.
func (w *Writer) fail(err error) {
	w.err = fmt.Errorf("envelope: encrypt: %w", err)
	clear(w.tail[:cap(w.tail)])
	freeBuffer(w.tail)
	freeBuffer(w.out)
	w.tail, w.out = nil, nil
	if w.pipe != nil {
		w.pipe.freeMemory(false)
		w.pipe = nil
	}
	w.sealer.aead, w.sealer.signingKey = nil, nil
	if !w.closed {
		w.opts.tell(w.ctx, w.began, Event{Operation: OpWriter, Suite: w.opts.Suite, Err: w.err})
	}
}
