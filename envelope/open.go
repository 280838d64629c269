package envelope

import (
	"context"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// An opener verifies the parts of one message in order: regular frames, final
// frame or non-framed body, signature. Its header has been authenticated.
type opener struct {
	header       *message.Header
	aead         cipher.AEAD
	state        frameState
	frameLen     int
	maxNonFramed int64
	seq          uint32 // of the last frame that was opened
	hash         hash.Hash
	verifyKey    *ecdsa.PublicKey
}

// newOpener returns an opener for the message that h is of. With an error, it has the header
// alone.
func (d *Decrypter) newOpener(ctx context.Context, h *message.Header, ec keyring.EncryptionContext) (*opener, error) {
	o := &opener{header: h}
	return o, d.openHeader(ctx, o, ec)
}

// openHeader gets the materials for the message whose header o has, and authenticates the
// header.
func (d *Decrypter) openHeader(ctx context.Context, o *opener, ec keyring.EncryptionContext) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.accepts(o.header); err != nil {
		return err
	}
	m, err := d.materials(ctx, o.header, ec)
	if err != nil {
		return err
	}
	// The message's own key is derived before this returns.
	defer m.Clear()
	return d.verifyHeader(o, m)
}

// accepts returns an error for a message that will be refused whatever its key is. It
// comes before the manager is asked, so that such a message costs no call to a key
// service.
func (d *Decrypter) accepts(h *message.Header) error {
	if err := d.opts.CommitmentPolicy.CheckDecrypt(keyring.Suite(h.Suite.ID)); err != nil {
		return err
	}
	if d.opts.RefuseSigned && h.Suite.Signs() {
		return fmt.Errorf("%w: Options.RefuseSigned is set and suite %v signs", ErrPolicy, keyring.Suite(h.Suite.ID))
	}
	return nil
}

// verifyHeader derives the message's own key from the materials, compares the commitment
// and then authenticates o's header. It only reads the materials.
func (d *Decrypter) verifyHeader(o *opener, m *keyring.DecryptionMaterials) error {
	h := o.header
	var commitment [suite.CommitmentLen]byte
	aead, got, err := messageCipher(h.Suite, m.DataKey, h.MessageID, commitment[:0])
	if err != nil {
		return err
	}
	// The first thing that is done under this key, and in constant time: nothing is
	// tried under a key that the message does not commit to. In suites that do not
	// commit, both are empty.
	if subtle.ConstantTimeCompare(got, h.Commitment) != 1 {
		return fmt.Errorf("header: %w", ErrCommitment)
	}
	_, authenticated := message.SplitContext(m.Context, m.RequiredKeys)
	aad, err := authenticated.AppendBinary(h.Raw[:h.BodyLen:h.BodyLen])
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	erase.After(func() { _, err = aead.Open(nil, h.IV, h.Tag, aad) })
	if err != nil {
		err = fmt.Errorf("header: %w", ErrAuthentication)
		if len(m.RequiredKeys) > 0 {
			err = message.NotStored(err, m.RequiredKeys)
		}
		return err
	}

	o.aead = aead
	o.state.aad = message.NewBodyAAD(h.MessageID)
	o.frameLen = int(h.FrameLength)
	o.maxNonFramed = d.opts.MaxNonFramedLength
	o.verifyKey = m.VerificationKey
	if h.Suite.Signs() {
		o.hash = h.Suite.SigHash.New()
		o.hash.Write(h.Raw)
	}
	return nil
}

// materials gets the materials for a message, and checks them.
func (d *Decrypter) materials(ctx context.Context, h *message.Header, ec keyring.EncryptionContext) (*keyring.DecryptionMaterials, error) {
	req := keyring.DecryptionRequest{
		Suite: keyring.Suite(h.Suite.ID), CommitmentPolicy: d.opts.CommitmentPolicy, Stored: h.Stored, Reproduced: ec,
	}
	began := d.opts.began()
	m, err := d.manager.DecryptionMaterials(ctx, req)
	if err == nil {
		err = m.Check(req)
	}
	if err != nil {
		m.Clear()
		m = nil
		if !errors.Is(err, ErrMalformed) { // of the header, which the manager has parsed the rest of
			err = fmt.Errorf("data key: %w", err)
		}
	}
	d.opts.tell(ctx, began, Event{Operation: OpUnwrapKey, Suite: req.Suite, Err: err})
	return m, err
}

// A part is the next frame, or the non-framed body, as far as it can be told
// from the bytes that are there.
type part struct {
	whole  bool // all of it is there
	need   int  // its length; or, while not even that is known, the length of its prefix
	final  bool // it is the last part of the body
	prefix int  // bytes before the content
	n      int  // bytes of content
	seq    uint32
	iv     []byte
}

// parsePart returns the part that b begins with, where b comes after the parts that were
// opened so far. If it is not whole, come back with as many bytes as it needs.
func (o *opener) parsePart(b []byte) (part, error) {
	if o.frameLen == 0 {
		return o.parseNonFramed(b)
	}
	f, ok := message.ParseFramePrefix(b)
	if !ok {
		if len(b) < message.RegularPrefix {
			return part{need: message.RegularPrefix}, nil
		}
		return part{need: message.FinalPrefix}, nil
	}
	if err := checkSeq(f.Seq, o.seq); err != nil {
		return part{}, err
	}
	p := part{final: f.Final, prefix: f.Len, n: o.frameLen, seq: f.Seq, iv: f.IV}
	if f.Final {
		if int64(f.N) > int64(o.frameLen) {
			return part{}, fmt.Errorf("%w: final frame of %d bytes is longer than the frame length %d", ErrMalformed, f.N, o.frameLen)
		}
		p.n = int(f.N)
	}
	p.need = p.prefix + p.n + suite.TagLen
	p.whole = len(b) >= p.need
	return p, nil
}

func (o *opener) parseNonFramed(b []byte) (part, error) {
	if len(b) < message.NonFramedPrefix {
		return part{need: message.NonFramedPrefix}, nil
	}
	n := binary.BigEndian.Uint64(b[suite.IVLen:])
	if n > uint64(o.maxNonFramed) {
		return part{}, fmt.Errorf("%w: non-framed body of %d bytes, this client reads %d (Options.MaxNonFramedLength)",
			ErrLimit, n, o.maxNonFramed)
	}
	p := part{final: true, prefix: message.NonFramedPrefix, n: int(n), seq: 1, iv: b[:suite.IVLen]}
	p.need = p.prefix + p.n + suite.TagLen
	p.whole = len(b) >= p.need
	return p, nil
}

// wholeFrames returns how many bytes at the beginning of b are whole regular frames,
// a batch at most. It looks for the end marker and checks nothing: openFrames does.
func (o *opener) wholeFrames(b []byte) int {
	if o.frameLen == 0 {
		return 0
	}
	wire := o.wireLen()
	n := 0
	for range framesPerBatch(o.frameLen) {
		if len(b)-n < wire || binary.BigEndian.Uint32(b[n:]) == message.EndMarker {
			break
		}
		n += wire
	}
	return n
}

// openFrames verifies whole regular frames, which must have the numbers from seq+1 on, and
// appends their content to dst. On error it has appended that of the frames before. Its
// caller adds the frames to the signature, in their order. It only reads the opener, so
// that several goroutines may call it, each with a state of its own.
func (o *opener) openFrames(dst, wire []byte, seq uint32, state *frameState) (_ []byte, err error) {
	erase.After(func() { dst, err = o.openEach(dst, wire, seq, state) })
	return dst, err
}

func (o *opener) openEach(dst, wire []byte, seq uint32, state *frameState) ([]byte, error) {
	length := o.wireLen()
	for ; len(wire) > 0; wire = wire[length:] {
		f, _ := message.ParseFramePrefix(wire)
		if f.Final {
			return dst, fmt.Errorf("%w: frame %d is a final frame, and others follow", ErrMalformed, int64(seq)+1)
		}
		if err := checkSeq(f.Seq, seq); err != nil {
			return dst, err
		}
		out, err := o.aead.Open(dst, f.IV, wire[f.Len:length], state.aad.Regular(f.Seq, o.frameLen))
		if err != nil {
			return dst, fmt.Errorf("frame %d: %w", f.Seq, ErrAuthentication)
		}
		dst = out
		seq++
	}
	return dst, nil
}

// wireLen returns the length of a regular frame on the wire.
func (o *opener) wireLen() int { return o.frameLen + message.RegularOverhead }

// openedLen returns how long the content of n bytes of whole regular frames is.
func (o *opener) openedLen(n int) int { return n / o.wireLen() * o.frameLen }

// fillBatch makes the regular frames that come next the input of b. The caller says where
// the output goes.
func (o *opener) fillBatch(ctx context.Context, b *batch, wire []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.in, b.seq = wire, o.seq
	o.advance(wire)
	return nil
}

// openBatch is the work of a pipeline that opens.
func (o *opener) openBatch(b *batch) {
	b.out, b.err = o.openFrames(b.out, b.in, b.seq, &b.state)
}

// advance has what follows these regular frames come next. They may still be in work.
func (o *opener) advance(wire []byte) {
	o.seq += uint32(len(wire) / o.wireLen())
}

// addToSignature hashes wire, which comes next in the message, if the message is signed.
func (o *opener) addToSignature(wire []byte) {
	if o.hash != nil {
		o.hash.Write(wire)
	}
}

// addBatchToSignature hashes the input of b, which may be in work meanwhile.
func (o *opener) addBatchToSignature(b *batch) { o.addToSignature(b.in) }

// checkSeq returns an error if a frame does not come after number prev.
func checkSeq(seq, prev uint32) error {
	// Behind the last number there is zero, which no frame has.
	if seq != prev+1 || seq == 0 {
		return fmt.Errorf("%w: frame %d has sequence number %d: frames are missing, repeated or out of order",
			ErrMalformed, int64(prev)+1, seq)
	}
	return nil
}

// openLast verifies the last part p of the body, which b begins with and which is whole, and
// appends its content to dst.
func (o *opener) openLast(dst, b []byte, p part) ([]byte, error) {
	aad := o.state.aad.Final(p.seq, p.n)
	if o.frameLen == 0 {
		aad = message.NonFramedAAD(o.header.MessageID, uint64(p.n))
	}
	var out []byte
	var err error
	erase.After(func() { out, err = o.aead.Open(dst, p.iv, b[p.prefix:p.need], aad) })
	if err != nil {
		return dst, fmt.Errorf("%s: %w", o.name(p), ErrAuthentication)
	}
	o.addToSignature(b[:p.need])
	o.seq = p.seq
	return out, nil
}

// name names a part, or the next one, in errors.
func (o *opener) name(p part) string {
	switch {
	case o.frameLen == 0:
		return "non-framed body"
	case p.final:
		return fmt.Sprintf("final frame %d", int64(o.seq)+1)
	default:
		return fmt.Sprintf("frame %d", int64(o.seq)+1)
	}
}

// footerLen returns the length of the footer, of which b may be the beginning: without the
// signature while its length is not in b. It is zero in suites that do not sign.
func (o *opener) footerLen(b []byte) int {
	switch {
	case o.hash == nil:
		return 0
	case len(b) < message.FooterPrefix:
		return message.FooterPrefix
	default:
		return message.FooterPrefix + int(binary.BigEndian.Uint16(b))
	}
}

// verify checks the signature in a whole footer.
func (o *opener) verify(footer []byte) error {
	if o.hash == nil {
		return nil
	}
	if !ecdsa.VerifyASN1(o.verifyKey, o.hash.Sum(nil), footer[message.FooterPrefix:]) {
		return fmt.Errorf("footer: %w", ErrSignature)
	}
	return nil
}

var errTrailing = fmt.Errorf("%w: bytes after the end of the message", ErrMalformed)
