package envelope

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// Decrypt returns the plaintext of a message. Nothing is released before all of
// the message has been verified. Neither argument is kept or changed.
//
// Every pair of ec must hold for the message:
//   - A pair that the message stores must have the same value there.
//   - A pair that the message does not store must have been given when the message was
//     written, to a client that left it out of the message, as with
//     [keyring.NewRequiredContextManager]. It is authenticated: if it is not the same,
//     or never was given, Decrypt fails.
//
// Pairs that the message stores and ec lacks are accepted. With a nil ec every context is
// accepted: then look at it. What [ParseHeader] returns for the same bytes is authentic
// once Decrypt has succeeded.
//
// See the errors of this package for what fails how.
func (d *Decrypter) Decrypt(ctx context.Context, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
	return d.AppendDecrypt(ctx, nil, msg, ec)
}

// AppendDecrypt is [Decrypter.Decrypt] with the plaintext appended to dst. It returns
// the longer slice. If msg overlaps dst's spare capacity, as it does with msg[:0] as
// dst, that stays as it is and the result is in new memory. On error it returns nil
// and has cleared what it wrote to dst's spare capacity.
func (d *Decrypter) AppendDecrypt(ctx context.Context, dst, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
	began := d.opts.began()
	out, s, err := d.appendDecrypt(ctx, apart(dst, msg), msg, ec)
	told := Event{Operation: OpDecrypt, Suite: s, Bytes: int64(len(out) - len(dst))}
	if err != nil {
		// out has what was opened so far, in dst's array or a longer one.
		clear(out[min(len(dst), len(out)):])
		out, err = nil, fmt.Errorf("envelope: decrypt: %w", err)
		told.Bytes, told.Err = 0, err
	}
	d.opts.tell(ctx, began, told)
	return out, err
}

// openers holds openers in their zero state. A message in memory needs one for one call.
var openers = sync.Pool{New: func() any { return &memoryOpener{} }}

// A memoryOpener is an opener with its header.
type memoryOpener struct {
	opener opener
	header message.Header
}

// appendDecrypt returns the message's suite too, once that is known.
func (d *Decrypter) appendDecrypt(ctx context.Context, dst, msg []byte, ec keyring.EncryptionContext) ([]byte, keyring.Suite, error) {
	m := openers.Get().(*memoryOpener)
	defer func() {
		*m = memoryOpener{}
		openers.Put(m)
	}()
	o := &m.opener
	o.header = &m.header
	if err := o.header.Parse(msg, d.opts.limits()); err != nil {
		return dst, 0, err
	}
	s := keyring.Suite(o.header.Suite.ID)
	if err := d.openHeader(ctx, o, ec); err != nil {
		return dst, s, err
	}
	dst, err := o.openBody(ctx, dst, msg[len(o.header.Raw):], &d.opts)
	return dst, s, err
}

// openBody opens rest, which is all that follows the header, and appends the plaintext to
// dst. It verifies the signature, and that the message ends with rest. On error dst has
// what was opened so far.
func (o *opener) openBody(ctx context.Context, dst, rest []byte, opts *Options) (_ []byte, err error) {
	// No plaintext is longer than its message: so dst grows once, and leaves no
	// plaintext behind in a shorter array.
	dst = grow(dst, len(rest))
	if len(rest) > worthOtherCores() {
		if dst, rest, err = o.openParallel(ctx, dst, rest, opts); err != nil {
			return dst, err
		}
	}
	for n := o.wholeFrames(rest); n > 0; n = o.wholeFrames(rest) {
		wire := rest[:n]
		if dst, err = o.openFrames(dst, wire, o.seq, &o.state); err != nil {
			return dst, err
		}
		o.advance(wire)
		o.addToSignature(wire)
		rest = rest[n:]
	}
	// No regular frame is whole any more: so what is whole is the last part.
	last, err := o.parsePart(rest)
	if err != nil {
		return dst, err
	}
	if !last.whole {
		return dst, fmt.Errorf("%s: %w", o.name(last), io.ErrUnexpectedEOF)
	}
	if dst, err = o.openLast(dst, rest, last); err != nil {
		return dst, err
	}
	rest = rest[last.need:]
	n := o.footerLen(rest)
	if len(rest) >= n {
		n = o.footerLen(rest) // now with the signature, whose length is there
	}
	if len(rest) < n {
		return dst, fmt.Errorf("footer: %w", io.ErrUnexpectedEOF)
	}
	if err := o.verify(rest[:n]); err != nil {
		return dst, err
	}
	if len(rest) > n {
		return dst, errTrailing
	}
	return dst, nil
}

// openParallel opens the regular frames that msg begins with, and appends their content to
// dst, which has room for it. It returns what follows them in msg. On error dst reaches to
// the end of all that may have been opened, so that the caller can clear it.
func (o *opener) openParallel(ctx context.Context, dst, msg []byte, opts *Options) (_, rest []byte, err error) {
	pipe := memoryPipeline(opts, len(msg), max(o.frameLen, 1), o.state.aad, o.openBatch, o.addBatchToSignature)
	defer pipe.stop()
	room := dst[len(dst):cap(dst)]
	err = pipe.run(nil, func(b *batch) (bool, error) {
		wire := msg[:o.wholeFrames(msg)]
		if len(wire) == 0 {
			return false, nil
		}
		if err := o.fillBatch(ctx, b, wire); err != nil {
			return false, err
		}
		n := o.openedLen(len(wire))
		b.out = room[:0:n]
		msg, room = msg[len(wire):], room[n:]
		return true, nil
	}, func(b *batch) error {
		dst = dst[:len(dst)+len(b.out)]
		return b.err
	})
	if err != nil {
		dst = dst[:cap(dst)-len(room)]
	}
	return dst, msg, err
}
