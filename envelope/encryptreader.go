package envelope

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// An EncryptReader is the message of a source whose length is known, for those who read
// what they send, as uploads do. Get one from [Encrypter.NewEncryptReader].
//
// It can be read again from any place, if its source can: an upload that is tried again,
// or whose checksum is computed first, sends the same bytes. What was sealed before is
// sealed again from the source, and compared before any of it is returned. If the source
// has changed meanwhile, the error is [ErrSourceChanged], and not a byte is returned that
// another plaintext has made: two plaintexts under one key and nonce would give both away.
//
// An EncryptReader is for one call at a time. Another that comes meanwhile, from another
// goroutine or out of the source, fails with an error that does not stick; only Close, Size
// and Header may be called at any time. Between calls it has no goroutine and
// owns nothing but memory: what is read and sealed at once, and, if its source can seek, 16
// bytes for about 60 KiB of plaintext, or for each frame that is longer, which is 80 KB for
// 300 MB. Close clears its key. One that is dropped leaves the key to the garbage collector.
type EncryptReader struct {
	turn   turn
	ctx    context.Context
	src    io.Reader
	seeker io.Seeker // src too; nil if it cannot seek
	base   int64     // where in src the plaintext begins, if it can seek
	sealer *sealer
	head   []byte // the header
	length int64  // of the plaintext
	size   int64  // of the message

	// The message is the header, a number of parts with the regular frames, a batch each,
	// and the end: the final frame and the footer. The end is counted as the last part.
	regular int64 // count of the regular frames
	perPart int64 // count of those in a part, but for the last of them
	parts   int64 // count of the parts before the end

	in     source // what was read from src; nil if src must first be moved to part next
	pipe   *pipeline
	next   int64  // the part to be started next
	taken  int64  // the part to be taken next: those up to next are in flight
	unread []byte // what comes before part taken, and may be returned
	burst  int    // how many parts Read starts at once
	end    []byte // memory for the end
	pos    int64  // where Seek has moved to; else where unread begins
	err    error  // what all calls return

	opts  *Options
	began time.Time
	told  bool // of how it ended

	// What was sealed once: it may be sealed again only from the same plaintext.
	sealed int64      // count of the parts, the end included
	proofs []tagsHash // of each of them, if src can seek
	footer []byte     // since no two signatures are alike
}

var (
	_ io.ReadSeekCloser = (*EncryptReader)(nil)
	_ io.WriterTo       = (*EncryptReader)(nil)
)

// NewEncryptReader gets a data key for the message of size bytes from src, and returns a
// reader of that message. Src must end after these bytes: if it has more, or fewer, reading
// fails with [ErrSourceChanged] before the message is whole. If src is an io.Seeker, the
// plaintext begins where src stands now. Src belongs to the EncryptReader, which never
// closes it. A bytes.Reader is read where it is, without a copy: its bytes must not change
// during a call.
//
// The context covers the life of the EncryptReader: once it is done, Read fails with its
// error. An encryption context that may not be used is [ErrInvalidArgument]. A size that
// takes more frames than the format has is [ErrLimit]; Options.MaxStreamLength does not
// count, since the length is known.
//
// # Uploads
//
// Send Size as the length of the content. aws-sdk-go-v2 finds it by itself, and seeks back
// to sign the content and to try again. The other way to upload a message, an io.Pipe with
// a [Writer] on a goroutine, needs more care: that SDK drops the ContentLength that it was
// given for any *io.PipeReader, so that S3 refuses the request; a pipe cannot be read again;
// and whoever stops reading must end the goroutine.
//
// An http.Client closes the body that it has sent, and so an EncryptReader. For one that is
// to be sent again, give it in io.NopCloser, and Seek in Request.GetBody. If the server
// redirects the request before it has the body, the client may ask for the next body while it
// sends this one: then Seek fails, or the body that is sent again ends early, and so the
// request fails.
func (e *Encrypter) NewEncryptReader(ctx context.Context, src io.Reader, size int64, ec keyring.EncryptionContext) (*EncryptReader, error) {
	switch {
	case src == nil:
		return nil, invalid("source is nil")
	case size < 0:
		return nil, invalid("plaintext of %d bytes", size)
	}
	r := &EncryptReader{ctx: ctx, src: src, length: size, sealer: &sealer{}, opts: &e.opts, began: e.opts.began()}
	if err := r.begin(e, ec); err != nil {
		err = fmt.Errorf("envelope: encrypt: %w", err)
		r.tell(0, err)
		return nil, err
	}
	return r, nil
}

func (r *EncryptReader) begin(e *Encrypter, ec keyring.EncryptionContext) error {
	s := r.sealer
	head, err := s.sealHeader(r.ctx, e, nil, ec, -1, r.length)
	if err != nil {
		return err
	}
	r.head = bytes.Clone(head)
	l := r.layout()
	if r.size, err = l.messageSize(r.length); err != nil {
		return err
	}
	if seeker, ok := r.src.(io.Seeker); ok {
		// A file that is a pipe has the method, and cannot.
		if base, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			r.seeker, r.base = seeker, base
		}
	}
	r.regular = message.RegularFrames(r.length, l.frameLen)
	r.perPart = int64(framesPerBatch(s.frameLen))
	r.parts = (r.regular + r.perPart - 1) / r.perPart
	inFlight := min(int64(streamBatches(s.frameLen)), max(1, r.parts))
	r.pipe = newPipeline(e.opts.concurrency(), int(inFlight), s.state.aad, s.sealBatch, nil)
	r.unread, r.burst = r.head, 1
	return nil
}

func (r *EncryptReader) layout() layout {
	return layout{r.sealer.header.Suite, int64(len(r.head)), int64(r.sealer.frameLen)}
}

// Header returns the header of the message.
func (r *EncryptReader) Header() *Header { return newHeader(&r.sealer.header, r.sealer.keys) }

// Size returns the length of the message in bytes.
func (r *EncryptReader) Size() int64 { return r.size }

// framesBefore returns how many frames stand before a part.
func (r *EncryptReader) framesBefore(part int64) int64 { return min(part*r.perPart, r.regular) }

// start returns where a part begins in the message. Behind the last part that is its end.
func (r *EncryptReader) start(part int64) int64 {
	if part > r.parts {
		return r.size
	}
	return int64(len(r.head)) + r.framesBefore(part)*(int64(r.sealer.frameLen)+message.RegularOverhead)
}

// plainLen returns how many bytes of plaintext are in a part before the end.
func (r *EncryptReader) plainLen(part int64) int {
	return int(r.framesBefore(part+1)-r.framesBefore(part)) * r.sealer.frameLen
}

// at returns where in the message unread begins.
func (r *EncryptReader) at() int64 { return r.start(r.taken) - int64(len(r.unread)) }

// Read implements [io.Reader]. Errors stick. A source that is not what it was said to be,
// or not what it was, is [ErrSourceChanged]; one that ended too early is
// io.ErrUnexpectedEOF too. Nothing is returned after it: what was read so far does not
// decrypt as a whole message.
func (r *EncryptReader) Read(p []byte) (int, error) {
	if !r.turn.begin() {
		return 0, errEncryptReaderInUse
	}
	defer r.turn.end(r.closeNow)
	if len(p) == 0 && r.err == nil {
		return 0, nil
	}
	returned := false
	defer unlessReturned(&returned, r.failPanicked)
	err := r.reach()
	if err == nil {
		err = r.awaitUnread()
	}
	returned = true
	if err != nil {
		return 0, err
	}
	n := copy(p, r.unread)
	r.advance(n)
	return n, nil
}

// advance takes n bytes of what is unread away.
func (r *EncryptReader) advance(n int) {
	r.unread = r.unread[n:]
	r.pos += int64(n)
}

// WriteTo implements [io.WriterTo]: it writes the message to w, from where the reader is
// to the end. After an error of w, what w did not take can still be read.
//
// If Options.Concurrency is not one, WriteTo may read the source in another goroutine while
// it writes to w. It does so only while the source returns as many bytes as it is asked
// for. That goroutine has ended when WriteTo returns.
func (r *EncryptReader) WriteTo(w io.Writer) (int64, error) {
	if !r.turn.begin() {
		return 0, errEncryptReaderInUse
	}
	defer r.turn.end(r.closeNow)
	returned := false
	defer unlessReturned(&returned, r.failPanicked)
	start := r.pos
	err := r.reach()
	switch err {
	case nil:
		start = r.pos
		err = r.writeTo(w)
	case io.EOF:
		err = nil
	}
	returned = true
	return r.pos - start, err
}

func (r *EncryptReader) writeTo(w io.Writer) error {
	if in := r.in; in != nil {
		in.begin(everything)
		defer in.settle()
	}
	defer r.pipe.stop()
	for {
		if err := r.writeUnread(w); err != nil {
			return err
		}
		if r.in == nil {
			// The source is opened, or comes to its end.
			err := r.prepare(everything)
			if err == io.EOF { // not one of w's
				return nil
			}
			if err != nil {
				return err
			}
			defer r.in.settle()
		}
		err := r.pipe.run(r.in, r.fill, func(b *batch) error {
			if err := r.take(b); err != nil {
				return err
			}
			return r.writeUnread(w)
		})
		if err != nil {
			return err
		}
		if err := r.awaitPart(); err != nil {
			return err
		}
	}
}

// writeUnread writes what is unread.
func (r *EncryptReader) writeUnread(w io.Writer) error {
	if len(r.unread) == 0 {
		return nil
	}
	n, err := w.Write(r.unread)
	if n < 0 || n > len(r.unread) {
		return invalid("destination: it returned an impossible count of bytes")
	}
	r.advance(n)
	if err == nil && len(r.unread) > 0 {
		err = io.ErrShortWrite
	}
	return err
}

// Seek implements [io.Seeker]. It moves to a place in the message, and reads nothing: so
// Seek(0, io.SeekEnd) tells the length, and moving back to where the reader was costs
// nothing. The next Read moves the source. What lies between the farthest place that was
// read so far and a place beyond it is read and sealed then, and not returned.
//
// If the source is no io.Seeker, a place before what was read already is refused, with an
// error that wraps [errors.ErrUnsupported].
func (r *EncryptReader) Seek(offset int64, whence int) (int64, error) {
	if !r.turn.begin() {
		return 0, errEncryptReaderInUse
	}
	defer r.turn.end(r.closeNow)
	if r.err != nil {
		return 0, r.err
	}
	pos := offset
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		pos += r.pos
	case io.SeekEnd:
		pos += r.size
	default:
		return 0, invalid("whence %d", whence)
	}
	switch {
	case pos < 0:
		return 0, invalid("seek to %d", pos)
	case pos < r.at() && r.seeker == nil:
		return 0, fmt.Errorf("envelope: encrypt: seek back: %w: the source cannot", errors.ErrUnsupported)
	}
	r.pos = pos
	return pos, nil
}

// reach makes what comes at pos unread, or come next.
func (r *EncryptReader) reach() error {
	switch {
	case r.err != nil:
		return r.err
	case r.pos >= r.size:
		return io.EOF
	case r.pos == r.at():
		return nil
	}
	if r.seeker != nil {
		// From what was never sealed, the source is read on.
		part := min(r.partOf(r.pos), r.sealed)
		if r.pos < r.at() || part > r.taken {
			r.move(part)
		}
	}
	for r.at() < r.pos {
		if err := r.awaitUnread(); err != nil {
			return err
		}
		r.unread = r.unread[min(int64(len(r.unread)), r.pos-r.at()):]
	}
	return nil
}

// partOf returns the part that the byte at pos is in. To it the header belongs to the first.
func (r *EncryptReader) partOf(pos int64) int64 {
	frame := (pos - int64(len(r.head))) / (int64(r.sealer.frameLen) + message.RegularOverhead)
	return min(max(frame, 0)/r.perPart, r.parts)
}

// move has a part come next, which was sealed before or comes behind those.
func (r *EncryptReader) move(part int64) {
	r.unread = nil
	r.pipe.freeMemory(true)
	r.closeSource()
	r.next, r.taken = part, part
	if part == 0 {
		r.unread = r.head
	}
}

// awaitUnread waits until something is unread.
func (r *EncryptReader) awaitUnread() error {
	defer r.pipe.stop()
	for len(r.unread) == 0 {
		switch {
		case r.pipe.inFlight > 0:
			if err := r.take(r.pipe.next(nil)); err != nil {
				return err
			}
		default:
			if err := r.startBurst(); err != nil {
				return err
			}
		}
	}
	return nil
}

// startBurst waits for the source to have the next part, and starts that and those behind
// it that are at hand: few at first, since many messages may be open of which little is
// ever read, and then twice as many as there are goroutines to seal them.
func (r *EncryptReader) startBurst() error {
	if err := r.prepare(r.burst * r.plainLen(min(r.next, r.parts)) / 2); err != nil {
		return err
	}
	if err := r.awaitPart(); err != nil {
		return err
	}
	for started := 0; started < r.burst; started++ {
		b := r.pipe.vacant()
		more, err := r.fill(b)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		r.pipe.start(b)
	}
	r.burst = min(2*r.burst, 2*(r.pipe.helpers+1), len(r.pipe.ring))
	return nil
}

// prepare moves the source to the next part, if need be. About n bytes will be taken from it,
// or everything.
func (r *EncryptReader) prepare(n int) error {
	if r.taken > r.parts {
		return io.EOF
	}
	if r.in == nil {
		if r.seeker != nil {
			to := r.base + r.framesBefore(r.next)*int64(r.sealer.frameLen)
			if _, err := r.seeker.Seek(to, io.SeekStart); err != nil {
				return r.fail(fmt.Errorf("source: seek: %w", err))
			}
		}
		r.in = newSource(r.src)
		r.in.expectFrames(r.sealer.frameLen, int(r.perPart), 1, len(r.pipe.ring))
	}
	r.in.begin(n)
	return nil
}

// awaitPart waits for the source to have the next part. The end it seals too: nothing is in
// flight then.
func (r *EncryptReader) awaitPart() error {
	if err := r.ctx.Err(); err != nil {
		return r.fail(err)
	}
	if r.turn.closing() {
		return r.fail(errReaderClosed)
	}
	if r.next == r.parts {
		if err := r.sealEnd(); err != nil {
			return r.fail(err)
		}
		r.tell(r.length, nil)
		return nil
	}
	if err := r.in.fill(r.plainLen(r.next)); err != nil {
		return r.fail(r.sourceError(err))
	}
	return nil
}

// sourceError says how the source failed.
func (r *EncryptReader) sourceError(err error) error {
	if err != io.EOF { // an error that wraps io.EOF is no clean end
		return fmt.Errorf("source: %w", err)
	}
	missing := r.length - r.framesBefore(r.next)*int64(r.sealer.frameLen) - int64(len(r.in.window()))
	return fmt.Errorf("%w: it is %d bytes shorter than the %d that were said: %w", ErrSourceChanged, missing, r.length, io.ErrUnexpectedEOF)
}

// fill makes the next part the input of b, if it is at hand.
func (r *EncryptReader) fill(b *batch) (bool, error) {
	if r.next >= r.parts {
		return false, nil
	}
	n := r.plainLen(r.next)
	if len(r.in.window()) < n {
		return false, nil
	}
	if err := r.ctx.Err(); err != nil {
		return false, r.fail(err)
	}
	// The same numbers, and so the same nonces, each time: take sees to it that nothing
	// is returned but what was sealed under them first.
	b.in, b.seq = r.in.window()[:n], uint32(r.framesBefore(r.next))
	b.useOwnMemory(r.sealer.sealedLen(n))
	r.in.lend(b)
	r.in.skip(n)
	r.next++
	return true, nil
}

// take makes what was sealed in b unread. Nothing else was.
func (r *EncryptReader) take(b *batch) error {
	r.in.giveBack(b)
	sealed := b.out
	b.in, b.out = nil, nil
	if r.turn.closing() {
		return r.fail(errReaderClosed)
	}
	if err := r.release(sealed, r.sealer.frameLen+message.RegularOverhead); err != nil {
		return r.fail(err)
	}
	return nil
}

// sealEnd seals the final frame, and makes it and the footer unread. The source must end.
func (r *EncryptReader) sealEnd() error {
	rest := int(r.length - r.regular*int64(r.sealer.frameLen))
	err := r.in.fill(rest + 1)
	window := r.in.window()
	switch {
	case err == nil:
		return fmt.Errorf("%w: it is longer than the %d bytes that were said", ErrSourceChanged, r.length)
	case err != io.EOF || len(window) < rest:
		return r.sourceError(err)
	}
	if cap(r.end) == 0 {
		r.end = make([]byte, 0, int(r.size-r.start(r.parts)))
	}
	final := r.sealer.sealFinal(r.end[:0], window[:rest], uint32(r.regular)+1)
	r.closeSource()
	r.pipe.freeMemory(false) // nothing is in flight, nor unread
	first := r.sealed == r.parts
	if err := r.release(final, len(final)); err != nil {
		clear(final)
		return err
	}
	r.next = r.taken
	if first {
		if r.footer, err = r.sealer.appendFooter(nil); err != nil {
			r.unread = nil
			return err
		}
		r.sealer.hash, r.sealer.signingKey = nil, nil
	}
	r.unread = append(final, r.footer...)
	if r.seeker == nil {
		r.sealer.aead = nil
	}
	return nil
}

// release makes the next part unread, which is frames of a length, if it was never sealed
// before or is what it was then.
func (r *EncryptReader) release(sealed []byte, frameLen int) error {
	first := r.taken == r.sealed
	if r.seeker != nil {
		proof := hashTags(sealed, frameLen)
		switch {
		case first:
			r.proofs = append(r.proofs, proof)
		case r.proofs[r.taken] != proof:
			return fmt.Errorf("%w: when read again, it has other bytes than before", ErrSourceChanged)
		}
	}
	if first {
		r.sealer.addToSignature(sealed)
		r.sealed++
	}
	r.unread = sealed
	r.taken++
	return nil
}

// A tagsHash stands for what some frames hold: under one key and one nonce, the tags of two
// different plaintexts are the same with a probability of about one in 2^120 for a frame of
// 4 KiB. There is one try, since the error sticks and no key is left.
type tagsHash [16]byte

func hashTags(frames []byte, frameLen int) (t tagsHash) {
	h := sha256.New()
	for ; len(frames) > 0; frames = frames[frameLen:] {
		h.Write(frames[frameLen-suite.TagLen : frameLen])
	}
	var sum [sha256.Size]byte
	copy(t[:], h.Sum(sum[:0]))
	return t
}

var (
	errReaderClosed       = fmt.Errorf("reader: %w", fs.ErrClosed)
	errEncryptReaderInUse = fmt.Errorf("envelope: encrypt: %w", errInUse)
)

// Close clears what is in memory of the plaintext and lets go of the key: nothing can be
// read any more, and the error is fs.ErrClosed. If a call is running, in another goroutine,
// it ends with that error soon, and then this is done; if it waits for the source, only the
// source ends that. Close does not close the source. It returns nil.
func (r *EncryptReader) Close() error {
	r.turn.close(r.closeNow)
	return nil
}

func (r *EncryptReader) closeNow() {
	if r.err == nil {
		r.fail(errReaderClosed)
	}
}

// failPanicked is fail for a call that a source or a destination did not let return.
func (r *EncryptReader) failPanicked() {
	if r.err == nil {
		r.fail(errPanicked)
	}
}

// fail has all calls return err, clears what must not be returned, and lets go of the key.
func (r *EncryptReader) fail(err error) error {
	r.err = fmt.Errorf("envelope: encrypt: %w", err)
	r.unread, r.proofs = nil, nil
	r.pipe.freeMemory(true)
	clear(r.end[:cap(r.end)])
	r.closeSource()
	r.sealer.aead, r.sealer.signingKey, r.sealer.hash = nil, nil, nil
	if err != errReaderClosed { // who closes it early has dropped it
		r.tell(0, r.err)
	}
	return r.err
}

// tell tells, once, how the message was encrypted: n bytes of plaintext, or an error.
func (r *EncryptReader) tell(n int64, err error) {
	if !r.told {
		r.told = true
		r.opts.tell(r.ctx, r.began, Event{Operation: OpEncryptReader, Suite: r.opts.Suite, Bytes: n, Err: err})
	}
}

// closeSource clears the plaintext that was read from the source.
func (r *EncryptReader) closeSource() {
	if r.in != nil {
		r.in.close()
		r.in = nil
	}
}
