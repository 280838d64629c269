package envelope

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// A Reader decrypts a message from a source. Get one from [Decrypter.NewReader].
//
// It releases each frame's plaintext when that frame has been verified. If the
// message is signed, only io.EOF says that all of it was: until then treat the
// plaintext as unverified, and undo what was done with it on any other error.
//
// A Reader is not safe for concurrent use. It needs no Close: it starts no
// goroutine and owns nothing but memory.
type Reader struct {
	ctx    context.Context
	src    source
	opener *opener
	unread []byte // verified, not yet read; in buf
	buf    []byte
	err    error // sticks
}

var (
	_ io.Reader   = (*Reader)(nil)
	_ io.WriterTo = (*Reader)(nil)
)

// NewReader reads the header of a message from src, has the data key unwrapped,
// and authenticates the header before it returns. The Reader then reads src to
// its end, since nothing may follow a message. It never closes src.
//
// What ec means is said at [Decrypter.Decrypt]. The context covers the life of
// the Reader: once it is done, nothing more is decrypted, and Read fails with its
// error.
func (d *Decrypter) NewReader(ctx context.Context, src io.Reader, ec keyring.EncryptionContext) (*Reader, error) {
	if src == nil {
		return nil, invalid("source is nil")
	}
	r := &Reader{ctx: ctx, src: source{src: src}}
	if err := r.readHeader(d, ec); err != nil {
		return nil, fmt.Errorf("envelope: decrypt: %w", err)
	}
	return r, nil
}

func (r *Reader) readHeader(d *Decrypter, ec keyring.EncryptionContext) error {
	// Before the source is asked, which may wait for long.
	if err := r.ctx.Err(); err != nil {
		return err
	}
	h, err := message.ReadHeader(&r.src, d.opts.limits())
	if err != nil {
		return err
	}
	r.opener, err = d.newOpener(r.ctx, h, ec)
	return err
}

// Header returns the message's header, which has been authenticated. In a signed
// message whoever can decrypt could have written it, until io.EOF says that the
// signature verified.
func (r *Reader) Header() *Header { return newHeader(r.opener.header) }

// Read implements [io.Reader]. On error p holds nothing of use beyond the bytes
// that were counted. Errors stick.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 && r.err == nil {
		return 0, nil
	}
	// A long read is served without a copy.
	if len(r.unread) == 0 && r.err == nil && r.opener.frameLen > 0 && len(p) >= r.opener.frameLen {
		out := r.openInto(p[:0:len(p)])
		if len(out) > 0 {
			return len(out), nil
		}
	}
	if err := r.more(); err != nil {
		return 0, err
	}
	n := copy(p, r.unread)
	r.unread = r.unread[n:]
	return n, nil
}

// WriteTo implements [io.WriterTo]: it writes the rest of the plaintext to w,
// frames as they are verified. Errors of the message stick; those of w do not,
// and the plaintext that w did not take is still to be read.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if err := r.more(); err != nil {
			if err == io.EOF {
				return total, nil
			}
			if next, ok := w.(*Writer); ok && next.err == nil {
				// As if it had read this message itself: closing it must
				// not pass off what was read as the whole.
				next.fail(err)
			}
			return total, err
		}
		n, err := w.Write(r.unread)
		if n < 0 || n > len(r.unread) {
			return total, errors.New("envelope: destination returned an impossible count of bytes")
		}
		total += int64(n)
		r.unread = r.unread[n:]
		if err == nil && len(r.unread) > 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return total, err
		}
	}
}

// more sees to it that there is plaintext to read, or returns the error that
// there is instead.
func (r *Reader) more() error {
	for len(r.unread) == 0 {
		if r.err != nil {
			clear(r.buf)
			r.buf = nil
			return r.err
		}
		p, err := r.nextPart(true)
		switch {
		case err != nil:
			r.fail(err)
		case p.final:
			r.unread = r.openLast(p)
		default:
			r.growBuf(max(p.n, min(len(r.src.window()), batchLen)))
			r.unread = r.openInto(r.buf[:0])
		}
	}
	return nil
}

// openInto opens the regular frames that are at hand, at least one, into dst as
// far as its capacity goes. It returns none when the last part of the message is
// next, when dst is too short for a frame, or when it has set r.err.
func (r *Reader) openInto(dst []byte) []byte {
	for {
		first := len(dst) == 0
		p, err := r.nextPart(first)
		if err == nil {
			if !p.whole || p.final || cap(dst)-len(dst) < p.n {
				return dst
			}
			dst, err = r.opener.open(dst, r.src.window(), p)
		}
		if err != nil {
			// What was verified before is released first. The same frame then
			// fails again.
			if first {
				r.fail(err)
			}
			return dst
		}
		r.src.skip(p.need)
	}
}

// nextPart returns the part that comes next, reading for it if it must be whole.
func (r *Reader) nextPart(wait bool) (part, error) {
	for {
		p, err := r.opener.next(r.src.window())
		if err != nil || !wait {
			return p, err
		}
		if err := r.ctx.Err(); err != nil {
			return p, err
		}
		if p.whole {
			return p, nil
		}
		if err := r.src.fill(p.need); err != nil {
			return p, r.sourceError(r.opener.name(p), err)
		}
	}
}

// openLast opens the last part of the message, and returns its content once all
// that follows has been verified.
func (r *Reader) openLast(p part) []byte {
	r.growBuf(p.n)
	out, err := r.opener.open(r.buf[:0], r.src.window(), p)
	if err == nil {
		r.src.skip(p.need)
		err = r.finish()
	}
	if err != nil {
		r.fail(err)
		return nil
	}
	r.err = io.EOF
	r.dropKeys()
	return out
}

// growBuf makes the buffer, which holds nothing unread, at least n bytes long.
func (r *Reader) growBuf(n int) {
	if len(r.buf) < n {
		clear(r.buf)
		r.buf = make([]byte, n)
	}
}

// finish verifies the footer and that nothing follows it.
func (r *Reader) finish() error {
	// Twice: with the length at hand, the footer's length is known.
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
	return r.src.end()
}

// sourceError says what part was being read when the source failed. A source
// that ends there has cut the message short.
func (r *Reader) sourceError(part string, err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", part, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s: source: %w", part, err)
}

func (r *Reader) fail(err error) {
	r.err = fmt.Errorf("envelope: decrypt: %w", err)
	r.dropKeys()
}

// dropKeys lets go of what is not needed any more.
func (r *Reader) dropKeys() {
	r.opener.aead = nil
	r.src.buf, r.src.r, r.src.w = nil, 0, 0
}
