package envelope

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// A sealer makes the parts of one message in order: header, regular frames, final frame
// with footer. Its fields are values where they can be: for a small message, allocations
// are most of the work.
type sealer struct {
	header     message.Header
	keys       []keyring.EncryptedDataKey // those of the header
	id         [32]byte                   // the header's message ID is the beginning of it
	commitment [suite.CommitmentLen]byte
	aead       cipher.AEAD
	state      frameState
	frameLen   int
	seq        uint32 // of the last frame that was sealed
	hash       hash.Hash
	signingKey *ecdsa.PrivateKey
	done       bool // the final frame was sealed
}

// sealHeader gets the materials for a message from e's manager and appends the header to
// dst. The sealer is new. The length is the plaintext's: if it is known, dst gets room for
// the whole message; if it is -1, the manager is told bound instead.
func (s *sealer) sealHeader(ctx context.Context, e *Encrypter, dst []byte, ec keyring.EncryptionContext, length, bound int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := ec.Validate(); err != nil {
		return nil, err
	}
	req := keyring.EncryptionRequest{
		Suite:            e.opts.Suite,
		CommitmentPolicy: e.opts.CommitmentPolicy,
		Context:          ec,
		PlaintextLength:  max(length, bound),
	}
	began := e.opts.began()
	m, err := e.manager.EncryptionMaterials(ctx, req)
	if err == nil {
		err = m.Check(req)
	}
	// The message's own key is derived before this returns.
	defer m.Clear()
	if err != nil {
		err = fmt.Errorf("data key: %w", err)
	}
	e.opts.tell(ctx, began, Event{Operation: OpNewKey, Suite: req.Suite, Err: err})
	if err != nil {
		return nil, err
	}
	if n := len(m.EncryptedDataKeys); n > e.opts.MaxEncryptedDataKeys {
		return nil, fmt.Errorf("%w: the keyring made %d encrypted data keys, this client writes %d (Options.MaxEncryptedDataKeys)",
			ErrLimit, n, e.opts.MaxEncryptedDataKeys)
	}

	s.frameLen, s.keys, s.signingKey = e.opts.FrameLength, m.EncryptedDataKeys, m.SigningKey
	s.header.Suite = suite.ByID(uint16(m.Suite))
	s.header.FrameLength = uint32(e.opts.FrameLength)
	return s.appendHeader(dst, m, length, e.opts.MaxHeaderLength)
}

// appendHeader draws the message ID, which makes the message's key unlike that of every
// other message, makes the cipher under that key, and appends the header to dst. It is
// called once for a sealer: message.HeaderIV says why.
func (s *sealer) appendHeader(dst []byte, m *keyring.EncryptionMaterials, length int64, maxLen int) ([]byte, error) {
	h := &s.header
	h.MessageID = s.id[:h.Suite.MessageIDLen()]
	rand.Read(h.MessageID) // never fails: it ends the program instead
	s.state.aad = message.NewBodyAAD(h.MessageID)

	stored, authenticated := message.SplitContext(m.Context, m.RequiredKeys)
	h.Context = stored
	var err error
	if h.Stored, err = m.Stored(); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	n := h.Len()
	if n > maxLen {
		return nil, fmt.Errorf("%w: the header is %d bytes, this client writes %d (Options.MaxHeaderLength)", ErrLimit, n, maxLen)
	}
	size := int64(n)
	if length >= 0 {
		if size, err = (layout{h.Suite, int64(n), int64(h.FrameLength)}).messageSize(length); err != nil {
			return nil, err
		}
		if size > math.MaxInt-int64(len(dst)) {
			return nil, fmt.Errorf("%w: a message of %d bytes does not fit in memory", ErrLimit, size)
		}
	}
	start := len(dst)
	dst = grow(dst, int(size))

	if s.aead, h.Commitment, err = messageCipher(h.Suite, m.DataKey, h.MessageID, s.commitment[:0]); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if dst, err = h.AppendBody(dst); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	h.BodyLen = len(dst) - start
	h.IV = message.HeaderIV[:]
	h.Stored = nil

	aad := dst[start:]
	if len(authenticated) > 0 {
		if aad, err = authenticated.AppendBinary(bytes.Clone(aad)); err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
	}
	if h.Suite.Version == 1 {
		dst = append(dst, h.IV...)
	}
	erase.After(func() { dst = s.aead.Seal(dst, h.IV, nil, aad) })
	h.Raw = dst[start:]
	if h.Suite.Signs() {
		s.hash = h.Suite.SigHash.New()
		s.hash.Write(h.Raw)
	}
	return dst, nil
}

// appendRegular seals plaintext, which is a multiple of the frame length, as regular
// frames, and appends them to dst.
func (s *sealer) appendRegular(dst, plaintext []byte) ([]byte, error) {
	seq, err := s.reserveNumbers(len(plaintext) / s.frameLen)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = s.sealFrames(dst, plaintext, seq, &s.state)
	s.addToSignature(dst[start:])
	return dst, nil
}

// reserveNumbers gives away the sequence numbers of the next n regular frames, from seq+1
// on. A number is given away once, since it is the frame's IV.
func (s *sealer) reserveNumbers(n int) (seq uint32, err error) {
	if s.done {
		return 0, errEnded
	}
	// One number is left for the final frame. So no regular frame has the last
	// number of all, which is the end marker.
	if int64(s.seq)+int64(n) > message.MaxFrames-1 {
		return 0, fmt.Errorf("%w: the plaintext takes more than %d frames of %d bytes: choose a longer Options.FrameLength",
			ErrLimit, int64(message.MaxFrames), s.frameLen)
	}
	seq = s.seq
	s.seq += uint32(n)
	return seq, nil
}

// sealFrames seals plaintext, which is a multiple of the frame length, as regular frames,
// and appends them to dst. Its caller has reserved their numbers, from seq+1 on, or compares
// what comes out with what was sealed under them before, as an EncryptReader does. It adds
// the frames to the signature, in their order. It only reads the sealer, so that several
// goroutines may call it, each with a state of its own.
func (s *sealer) sealFrames(dst, plaintext []byte, seq uint32, state *frameState) []byte {
	erase.After(func() {
		for len(plaintext) > 0 {
			frame := plaintext[:s.frameLen]
			plaintext = plaintext[s.frameLen:]
			seq++
			iv := state.frameIV(seq)
			dst = message.AppendRegularPrefix(dst, seq, iv)
			dst = s.aead.Seal(dst, iv, frame, state.aad.Regular(seq, len(frame)))
		}
	})
	return dst
}

// wholeFrames returns how many bytes of plaintext belong into regular frames whatever
// follows them: a batch at most.
func (s *sealer) wholeFrames(plaintext []byte) int {
	frames := int(message.RegularFrames(int64(len(plaintext)), int64(s.frameLen)))
	return min(frames, framesPerBatch(s.frameLen)) * s.frameLen
}

// sealedLen returns how long n bytes, a multiple of the frame length, are when sealed.
func (s *sealer) sealedLen(n int) int { return n + n/s.frameLen*message.RegularOverhead }

// fillBatch makes frames, a multiple of the frame length, the input of b. The caller says
// where the output goes.
func (s *sealer) fillBatch(ctx context.Context, b *batch, frames []byte) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.in = frames
	b.seq, err = s.reserveNumbers(len(frames) / s.frameLen)
	return err
}

// sealBatch is the work of a pipeline that seals.
func (s *sealer) sealBatch(b *batch) {
	b.out = s.sealFrames(b.out, b.in, b.seq, &b.state)
}

// addToSignature hashes b, which comes next in the message, if the message is signed.
func (s *sealer) addToSignature(b []byte) {
	if s.hash != nil {
		s.hash.Write(b)
	}
}

// appendFinal appends the final frame to dst, with plaintext as its content, at most the
// frame length, and the footer if the message is signed.
func (s *sealer) appendFinal(dst, plaintext []byte) ([]byte, error) {
	if s.done {
		return dst, errEnded
	}
	s.done = true
	s.seq++
	start := len(dst)
	dst = s.sealFinal(dst, plaintext, s.seq)
	s.addToSignature(dst[start:])
	return s.appendFooter(dst)
}

// sealFinal seals plaintext as the final frame, which has the number seq, and appends it to
// dst. Its caller adds it to the signature.
func (s *sealer) sealFinal(dst, plaintext []byte, seq uint32) []byte {
	iv := s.state.frameIV(seq)
	dst = message.AppendFinalPrefix(dst, seq, iv, len(plaintext))
	erase.After(func() { dst = s.aead.Seal(dst, iv, plaintext, s.state.aad.Final(seq, len(plaintext))) })
	return dst
}

// appendFooter appends the footer to dst, if the message is signed: all before it has been
// added to the signature.
func (s *sealer) appendFooter(dst []byte) ([]byte, error) {
	if s.hash == nil {
		return dst, nil
	}
	sig, err := sign(s.header.Suite, s.signingKey, s.hash)
	if err != nil {
		return dst, err
	}
	return message.AppendFooter(dst, sig), nil
}

// errEnded keeps a sealer that is misused from writing anything behind the final frame.
var errEnded = errors.New("the message has its final frame already")

// frameIV returns the IV of the frame with number seq: zeros, then the number. The next
// call overwrites it.
func (f *frameState) frameIV(seq uint32) []byte {
	binary.BigEndian.PutUint32(f.iv[suite.IVLen-4:], seq)
	return f.iv[:]
}
