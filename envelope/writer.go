package envelope

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// A Writer encrypts what is written to it into one message on a destination. Get
// one from [Encrypter.NewWriter].
//
// The message is whole when Close has returned nil; before, what the destination
// has does not decrypt. A Writer that is not to be closed, because its input
// failed, is just dropped, or its context cancelled: it starts no goroutine and
// owns nothing but memory. So do not defer Close where the input can fail, or
// cancel the context first, lest a shortened plaintext becomes a valid message.
//
// A Writer is not safe for concurrent use.
type Writer struct {
	ctx    context.Context
	dst    io.Writer
	sealer *sealer
	tail   []byte // plaintext that may yet be in the final frame: at most a frame
	out    []byte // sealed, not yet written
	left   int64  // how many bytes may still be written; -1 is no limit
	err    error  // sticks
	closed bool
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
	length := int64(-1)
	if e.opts.MaxStreamLength > 0 {
		length = e.opts.MaxStreamLength
	}
	s, err := e.newSealer(ctx, ec, length)
	if err != nil {
		return nil, fmt.Errorf("envelope: encrypt: %w", err)
	}
	return &Writer{ctx: ctx, dst: dst, sealer: s, left: length, out: append([]byte(nil), s.header.Raw...)}, nil
}

// Header returns the header of the message. [Header.MessageSize] tells from it
// how long the message for a plaintext will be.
func (w *Writer) Header() *Header { return newHeader(w.sealer.header) }

// Write implements [io.Writer]. It does not keep or change p. Errors stick, and
// leave a message that cannot be completed.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if err := w.ctx.Err(); err != nil {
		w.fail(err)
		return 0, w.err
	}
	n, err := w.write(p)
	if err != nil {
		w.fail(err)
		return n, w.err
	}
	return n, nil
}

// write seals p but for a tail that may have to go into the final frame: it is
// sealed when more comes.
func (w *Writer) write(p []byte) (int, error) {
	frameLen := w.sealer.frameLen
	total := len(p)
	if w.left >= 0 {
		if int64(total) > w.left {
			return 0, fmt.Errorf("%w: the plaintext is longer than Options.MaxStreamLength", ErrLimit)
		}
		w.left -= int64(total)
	}
	for len(p) > 0 {
		switch {
		case len(w.tail) == frameLen:
			if err := w.seal(w.tail); err != nil {
				return total - len(p), err
			}
			w.tail = w.tail[:0]
		case len(w.tail) == 0 && len(p) > frameLen:
			if err := w.seal(p[:frameLen]); err != nil {
				return total - len(p), err
			}
			p = p[frameLen:]
		default:
			n := min(len(p), frameLen-len(w.tail))
			w.growTail(n)
			w.tail = append(w.tail, p[:n]...)
			p = p[n:]
		}
	}
	return total, nil
}

// growTail makes room for n more bytes, and leaves no plaintext behind.
func (w *Writer) growTail(n int) {
	if need := len(w.tail) + n; need > cap(w.tail) {
		longer := make([]byte, len(w.tail), min(w.sealer.frameLen, max(need, 2*cap(w.tail))))
		copy(longer, w.tail)
		clear(w.tail)
		w.tail = longer
	}
}

// seal seals a regular frame, and writes when there is a batch.
func (w *Writer) seal(frame []byte) error {
	if len(w.out) > 0 && len(w.out)+len(frame)+message.RegularOverhead > batchLen {
		if err := w.flush(); err != nil {
			return err
		}
	}
	var err error
	w.out, err = w.sealer.regular(w.out, frame)
	return err
}

func (w *Writer) flush() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	n, err := w.dst.Write(w.out)
	if err == nil && n != len(w.out) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	w.out = w.out[:0]
	return nil
}

// ReadFrom implements [io.ReaderFrom]: it encrypts src to its end, and does not
// close the message. An error of src sticks like one of the destination, so that
// a Close after it does not pass off what was read as the whole. io.Copy calls
// it, unless the source has a WriteTo of its own: then look at Copy's error
// before Close. A [Reader] as the source is safe either way.
func (w *Writer) ReadFrom(src io.Reader) (int64, error) {
	if w.err != nil {
		return 0, w.err
	}
	in := source{src: src}
	defer func() { clear(in.buf) }()
	var total int64
	for {
		if err := w.ctx.Err(); err != nil {
			w.fail(err)
			return total, w.err
		}
		// Asking for one byte gets as many as src has to give.
		if err := in.fill(1); err != nil {
			if err == io.EOF { // an error that wraps it is no clean end
				return total, nil
			}
			w.fail(fmt.Errorf("source: %w", err))
			return total, w.err
		}
		n, err := w.write(in.window())
		total += int64(n)
		if err != nil {
			w.fail(err)
			return total, w.err
		}
		in.skip(n)
	}
}

// Close ends the message: it seals and writes the final frame, and the signature
// if there is one. It does not close the destination. After an error of an
// earlier call it returns that; after success it does nothing and returns nil.
func (w *Writer) Close() error {
	if w.closed {
		return nil
	}
	if w.err != nil {
		return w.err
	}
	if err := w.finish(); err != nil {
		w.fail(err)
		return w.err
	}
	w.closed = true
	w.fail(fmt.Errorf("writer: %w", fs.ErrClosed)) // for calls to come
	return nil
}

func (w *Writer) finish() error {
	var err error
	if w.out, err = w.sealer.final(w.out, w.tail); err != nil {
		return err
	}
	return w.flush()
}

// fail makes err stick and drops the keys and the plaintext.
func (w *Writer) fail(err error) {
	w.err = fmt.Errorf("envelope: encrypt: %w", err)
	clear(w.tail[:cap(w.tail)])
	w.tail, w.out = nil, nil
	w.sealer.aead, w.sealer.signingKey = nil, nil
}
