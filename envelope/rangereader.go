package envelope

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/go-sealring/sealring/keyring"
)

// A FetchFunc reads a range of bytes of a stored message, such as an object in a store or
// the answer to an HTTP request with a Range. It must return bytes of that range or an error:
// a store that ignores the range, and gives the object from its beginning, is one. The
// context covers the reading of the body too. A RangeReader calls it from the goroutines
// that call its own methods.
type FetchFunc func(ctx context.Context, req FetchRequest) (*FetchResult, error)

// A FetchRequest says what to fetch.
type FetchRequest struct {
	// Offset is the place of the first byte, and Length how many there are, 1 or more.
	// The first request of a RangeReader asks for 64 KiB, and a message may be shorter.
	Offset, Length int64

	// Version, if not empty, is the version that an earlier result had: fetch no other, as
	// with If-Match. If the store says that it has no such version any more, return an
	// error that wraps [ErrSourceChanged].
	Version string
}

// A FetchResult is what was fetched.
type FetchResult struct {
	// Body has the bytes. The RangeReader closes it, and may do so before its end. What it
	// has beyond the length that was asked for is not read.
	Body io.ReadCloser

	// Size is the length of the whole message in bytes, not that of the range. In HTTP it
	// stands behind the slash of Content-Range.
	Size int64

	// Version tells versions of the object apart: an ETag, a generation, a version ID. It is
	// empty if the store has none. Then an object that is replaced while it is read is
	// found by its length, or by frames that do not authenticate.
	Version string
}

// A RangeReader decrypts any range of a message in an object store, with one fetch for each
// range. Get one from [Decrypter.NewRangeReader].
//
// What it returns has been verified: that it is those bytes of the plaintext, of this
// message. It is safe for concurrent use if its FetchFunc is. It needs no Close: between
// calls it has no goroutine and owns nothing but memory.
type RangeReader struct {
	ends
	ctx     context.Context
	fetch   FetchFunc
	opts    *Options
	length  int64  // of the message
	version string // of the object
	head    []byte // what the first fetch gave
	fetched bool   // the first fetch has told length and version
}

var _ io.ReaderAt = (*RangeReader)(nil)

// NewRangeReader fetches the header of a message and its final frame, has the keyring unwrap
// the data key, and authenticates both before it returns: so a message that was cut short or
// made longer is found at once. That takes two fetches, and one if the message is no longer
// than 64 KiB: that is then kept, and nothing is fetched any more. Only a header that is
// longer takes a third.
//
// The version that the first fetch returns is asked for in all others. If one returns
// another version, or another size, the object was replaced, and that is [ErrSourceChanged].
//
// A message with a signature is verified only as a whole, and a non-framed one has no parts:
// both are refused with an error that wraps [errors.ErrUnsupported], before the keyring is
// asked.
//
// What ec means is said at [Decrypter.Decrypt]. The context is for these fetches, and for
// those of ReadAt: once it is done, ReadAt fails with its error.
func (d *Decrypter) NewRangeReader(ctx context.Context, fetch FetchFunc, ec keyring.EncryptionContext) (*RangeReader, error) {
	if fetch == nil {
		return nil, invalid("fetch is nil")
	}
	r := &RangeReader{ctx: ctx, fetch: fetch, opts: &d.opts}
	began := d.opts.began()
	err := r.openEnds(d, ec)
	if err != nil {
		err = fmt.Errorf("envelope: decrypt: %w", err)
	}
	r.tell(ctx, r.opts, began, OpOpen, 0, err)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (r *RangeReader) openEnds(d *Decrypter, ec keyring.EncryptionContext) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if err := r.fetchHead(); err != nil {
		return err
	}
	more := &laterReader{open: func() (io.ReadCloser, error) {
		have := int64(len(r.head))
		return r.get(r.ctx, have, min(r.length, int64(r.opts.MaxHeaderLength))-have)
	}}
	defer more.Close()
	head := io.Reader(bytes.NewReader(r.head))
	if most := min(r.length, int64(r.opts.MaxHeaderLength)); int64(len(r.head)) < most {
		head = io.MultiReader(head, bufio.NewReader(careful{more}))
	}
	if err := r.open(r.ctx, d, ec, r.length, head, r.readFull); err != nil {
		return err
	}
	if int64(len(r.head)) < r.length {
		r.head = nil
	}
	return nil
}

// fetchHead fetches the first bytes of the message. What the store says of its size makes no
// allocation.
func (r *RangeReader) fetchHead() error {
	most := int64(batchLen)
	body, err := r.get(r.ctx, 0, most)
	if err != nil {
		return err
	}
	defer body.Close()
	r.head = make([]byte, min(most, r.length))
	return readFull(body, r.head)
}

// get fetches a range. The body has no more than that: what a store gives beyond it is not
// waited for.
func (r *RangeReader) get(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	res, err := r.fetch(ctx, FetchRequest{Offset: off, Length: n, Version: r.version})
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	if res == nil || res.Body == nil {
		return nil, fmt.Errorf("fetch: %w: there is no body, and no error", ErrInvalidArgument)
	}
	body := struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, n), res.Body}
	switch {
	case !r.fetched && res.Size >= 0:
		r.length, r.version, r.fetched = res.Size, res.Version, true
		return body, nil
	case !r.fetched:
		err = fmt.Errorf("fetch: %w: message of %d bytes", ErrInvalidArgument, res.Size)
	case res.Version != r.version:
		err = fmt.Errorf("fetch: %w: it has another version than when it was opened", ErrSourceChanged)
	case res.Size != r.length:
		err = fmt.Errorf("fetch: %w: it is %d bytes, and was %d when it was opened", ErrSourceChanged, res.Size, r.length)
	default:
		return body, nil
	}
	res.Body.Close()
	return nil, err
}

// readFull fills p with the bytes of the message from off on.
func (r *RangeReader) readFull(p []byte, off int64) error {
	if off < int64(len(r.head)) && off+int64(len(p)) <= int64(len(r.head)) {
		copy(p, r.head[off:])
		return nil
	}
	body, err := r.get(r.ctx, off, int64(len(p)))
	if err != nil {
		return err
	}
	defer body.Close()
	return readFull(body, p)
}

// readFull fills p from a body. If that ends before, it is an error.
func readFull(body io.Reader, p []byte) error {
	_, err := io.ReadFull(careful{body}, p)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return io.ErrUnexpectedEOF
	case err != nil:
		return fmt.Errorf("fetch: %w", err)
	}
	return nil
}

// A laterReader reads what is opened when it is first read.
type laterReader struct {
	open func() (io.ReadCloser, error)
	body io.ReadCloser
}

func (l *laterReader) Read(p []byte) (int, error) {
	if l.body == nil {
		var err error
		if l.body, err = l.open(); err != nil {
			l.body = nil
			return 0, err
		}
	}
	return l.body.Read(p)
}

func (l *laterReader) Close() error {
	if l.body == nil {
		return nil
	}
	return l.body.Close()
}

// Size returns the length of the plaintext in bytes.
func (r *RangeReader) Size() int64 { return r.size }

// Version returns the version of the object, as the FetchFunc gave it.
func (r *RangeReader) Version() string { return r.version }

// Header returns the message's header, which has been authenticated.
func (r *RangeReader) Header() *Header { return r.authenticHeader() }

// ReadAt implements [io.ReaderAt] with one fetch for each call, of the frames that the range
// is in, and none for what the final frame has. On error the bytes of p that were counted
// are verified plaintext, and the others hold nothing of use. Errors do not stick.
func (r *RangeReader) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, invalid("negative offset %d", off)
	case off >= r.size:
		return 0, io.EOF
	}
	s := r.NewSectionReader(r.ctx, off, int64(len(p)))
	defer s.Close()
	n, err := io.ReadFull(s, p)
	if err == io.ErrUnexpectedEOF && int64(n) == r.size-off {
		err = io.EOF
	}
	return n, err
}

// NewSectionReader returns a reader of n bytes of the plaintext from off on, or of as many as
// there are: of all of it, for [net/http.ServeContent], with 0 and Size. Nothing is fetched
// before the first read. The context is for the fetches, and may end before that of the
// RangeReader. An off or n that is negative is [ErrInvalidArgument] when it is read.
func (r *RangeReader) NewSectionReader(ctx context.Context, off, n int64) *SectionReader {
	s := &SectionReader{r: r, ctx: ctx}
	if off < 0 || n < 0 {
		s.err = invalid("section of %d bytes at %d", n, off)
		return s
	}
	s.start = min(off, r.size)
	s.size = min(n, r.size-s.start)
	return s
}

// A SectionReader reads a range of a message's plaintext from a [RangeReader], as a stream.
//
// One fetch serves all reads that follow a Seek, and reaches from there to the section's
// end: so the shorter the section, the less is fetched for nothing when reading ends early.
// http.ServeContent reads the beginning twice to find the content's type, unless the
// header Content-Type is set before.
//
// A SectionReader is for one call at a time. Another that comes meanwhile fails with an error
// that does not stick; only Close and Size may be called at any time. Between calls it has no
// goroutine. Close closes the body that is being read.
type SectionReader struct {
	turn        turn
	r           *RangeReader
	ctx         context.Context
	start, size int64   // of the section in the plaintext
	pos         int64   // in the section
	stream      *Reader // nil if nothing was fetched
	body        io.Closer
	at          int64 // where stream is in the section
	began       time.Time
	got         int64 // bytes of the stream that were read
	err         error // what all calls return; until Seek, unless it is fs.ErrClosed
	closed      bool
}

var (
	_ io.ReadSeekCloser = (*SectionReader)(nil)
	_ io.WriterTo       = (*SectionReader)(nil)
)

// Size returns the length of the section in bytes.
func (s *SectionReader) Size() int64 { return s.size }

// Read implements [io.Reader]. Only the bytes of p that it counts are plaintext; those
// behind them are of no use. An error stays until Seek: then the section is fetched anew.
func (s *SectionReader) Read(p []byte) (int, error) {
	if !s.turn.begin() {
		return 0, errSectionReaderInUse
	}
	defer s.turn.end(s.closeNow)
	if len(p) == 0 && s.err == nil {
		return 0, nil
	}
	returned := false
	defer unlessReturned(&returned, s.failPanicked)
	n := 0
	err := s.reach()
	if err == nil {
		n, err = s.stream.Read(p) // it has more, and so no io.EOF
		s.moved(int64(n), err)
	}
	returned = true
	return n, err
}

// WriteTo implements [io.WriterTo], as that of [Reader] does: it writes the section to w,
// from where the reader is to the end. After an error of w, what w did not take can still be
// read.
func (s *SectionReader) WriteTo(w io.Writer) (int64, error) {
	if !s.turn.begin() {
		return 0, errSectionReaderInUse
	}
	defer s.turn.end(s.closeNow)
	returned := false
	defer unlessReturned(&returned, s.failPanicked)
	n, err := s.writeTo(w)
	returned = true
	return n, err
}

func (s *SectionReader) writeTo(w io.Writer) (int64, error) {
	err := s.reach()
	if err == io.EOF {
		return 0, nil
	}
	if err != nil {
		if next, ok := w.(*Writer); ok && next.err == nil {
			next.fail(err) // as Reader.WriteTo says
		}
		return 0, err
	}
	n, err := s.stream.WriteTo(w)
	var failed error
	if s.stream.err != io.EOF { // else err is that of w
		failed = s.stream.err
	}
	s.moved(n, failed)
	return n, err
}

// moved counts n bytes that were read, and keeps the error that the stream ended with.
func (s *SectionReader) moved(n int64, err error) {
	s.pos += n
	s.at += n
	s.got += n
	if err != nil {
		s.err = err
	}
	if err != nil || s.pos == s.size {
		s.drop()
	}
}

// failPanicked is for a call that a body or a destination did not let return: nobody knows
// where the stream is.
func (s *SectionReader) failPanicked() {
	s.err = fmt.Errorf("envelope: decrypt: %w", errPanicked)
	s.drop()
}

// reach fetches from pos on, unless the stream is there.
func (s *SectionReader) reach() error {
	switch {
	case s.err != nil:
		return s.err
	case s.pos >= s.size:
		return io.EOF
	case s.stream != nil && s.at == s.pos:
		return nil
	}
	s.drop()
	s.began, s.got = s.r.opts.began(), 0
	var err error
	if s.stream, s.body, err = s.r.stream(s.ctx, s.start+s.pos, s.size-s.pos); err != nil {
		s.err = fmt.Errorf("envelope: decrypt: %w", err)
		s.tell()
		return s.err
	}
	s.stream.section.turn = &s.turn
	s.at = s.pos
	return nil
}

// stream returns a Reader of n bytes of the plaintext from off on, which the plaintext has,
// and the body that it reads.
func (r *RangeReader) stream(ctx context.Context, off, n int64) (*Reader, io.Closer, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	frameLen := r.layout.frameLen
	first := min(off/frameLen, r.regularFrames)
	last := min((off+n-1)/frameLen+1, r.regularFrames)
	o := *r.opener
	o.seq = uint32(first)
	wire := int64(o.wireLen())
	start, length := r.layout.headerLen+first*wire, (last-first)*wire

	body, closer := io.Reader(bytes.NewReader(nil)), io.Closer(io.NopCloser(nil))
	switch {
	case length == 0: // it is all in the final frame
	case r.head != nil:
		body = bytes.NewReader(r.head[start : start+length])
	default:
		fetched, err := r.get(ctx, start, length)
		if err != nil {
			return nil, nil, err
		}
		body, closer = fetched, fetched
	}
	perBatch := int64(framesPerBatch(o.frameLen))
	inFlight := min(int64(streamBatches(o.frameLen)), 1+(last-first)/perBatch)
	s := &Reader{
		ctx: ctx, src: newSource(body), opener: &o, piece: firstPiece, told: true, // the SectionReader tells
		section: &section{skip: int(off - first*frameLen), left: n, last: uint32(last), final: r.final},
	}
	s.pipe = newPipeline(r.opts.concurrency(), int(inFlight), o.state.aad, s.opener.openBatch, nil)
	s.src.expectFrames(o.wireLen(), int(perBatch), 0, len(s.pipe.ring))
	return s, closer, nil
}

// Seek implements [io.Seeker]. It fetches nothing: the next read does, unless the reader was
// there already.
func (s *SectionReader) Seek(offset int64, whence int) (int64, error) {
	if !s.turn.begin() {
		return 0, errSectionReaderInUse
	}
	defer s.turn.end(s.closeNow)
	if s.closed {
		return 0, s.err
	}
	pos := offset
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		pos += s.pos
	case io.SeekEnd:
		pos += s.size
	default:
		return 0, invalid("whence %d", whence)
	}
	if pos < 0 {
		return 0, invalid("seek to %d", pos)
	}
	s.pos, s.err = pos, nil
	return pos, nil
}

var (
	errSectionReaderClosed = fmt.Errorf("section reader: %w", fs.ErrClosed)
	errSectionReaderInUse  = fmt.Errorf("envelope: decrypt: %w", errInUse)
)

// Close closes the body that is being read, and clears what is in memory of the plaintext.
// Reads after it fail with fs.ErrClosed. If a call is running, in another goroutine, it ends
// with that error soon, and then this is done; a fetch or a body that it waits for is ended
// by the context. Close returns nil.
func (s *SectionReader) Close() error {
	s.turn.close(s.closeNow)
	return nil
}

func (s *SectionReader) closeNow() {
	s.drop()
	if !s.closed {
		s.closed = true
		s.err = fmt.Errorf("envelope: decrypt: %w", errSectionReaderClosed)
	}
}

// drop ends the stream.
func (s *SectionReader) drop() {
	if s.stream == nil {
		return
	}
	s.body.Close()
	if s.stream.err == nil {
		s.stream.fail(fs.ErrClosed)
	}
	s.stream.clearRead()
	s.stream, s.body = nil, nil
	s.tell()
}

// tell tells of what one fetch has brought.
func (s *SectionReader) tell() {
	n := s.got
	if s.err != nil {
		n = 0
	}
	s.r.tell(s.ctx, s.r.opts, s.began, OpReadAt, n, s.err)
}
