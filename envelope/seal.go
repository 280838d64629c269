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

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// A sealer makes the parts of one message in order: header, regular frames,
// final frame with footer. It holds what it needs itself, since a small message
// is little more than its allocations.
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

// sealHeader gets the materials for a message and appends its header to dst, which
// grows to have room for the whole message if its length is known. The length is
// the plaintext's, -1 if unknown; bound is what the manager is told then. The
// sealer is new.
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
	m, err := e.manager.EncryptionMaterials(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("data key: %w", err)
	}
	// The message's own key is derived before this returns.
	defer m.Clear()
	if err := m.Check(req); err != nil {
		return nil, fmt.Errorf("data key: %w", err)
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

// appendHeader appends the header to dst, and makes the cipher under the message's
// key. It is called once for a sealer: the header's nonce is fixed, so that a
// second header under one key would repeat it. The message ID, drawn here, makes
// the key unlike that of every other message.
func (s *sealer) appendHeader(dst []byte, m *keyring.EncryptionMaterials, length int64, maxLen int) ([]byte, error) {
	h := &s.header
	h.MessageID = s.id[:h.Suite.MessageIDLen()]
	rand.Read(h.MessageID) // never fails: it ends the program instead
	s.state.aad = message.NewBodyAAD(h.MessageID)

	stored, authenticated := m.SplitContext()
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
	h.IV = headerIV[:]
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
	dst = s.aead.Seal(dst, headerIV[:], nil, aad)
	h.Raw = dst[start:]
	if h.Suite.Signs() {
		s.hash = h.Suite.SigHash.New()
		s.hash.Write(h.Raw)
	}
	return dst, nil
}

// appendRegular appends whole regular frames to dst.
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

// reserveNumbers takes the numbers of the next n regular frames, so that no others get
// them: a frame's number is its nonce. It returns the number before the first.
func (s *sealer) reserveNumbers(n int) (seq uint32, err error) {
	if s.done {
		return 0, errEnded
	}
	// The final frame needs a number too, and the last one of these must not
	// read as the end marker.
	if int64(s.seq)+int64(n) > message.MaxFrames-1 {
		return 0, fmt.Errorf("%w: the plaintext takes more than %d frames of %d bytes: choose a longer Options.FrameLength",
			ErrLimit, int64(message.MaxFrames), s.frameLen)
	}
	seq = s.seq
	s.seq += uint32(n)
	return seq, nil
}

// sealFrames appends plaintext to dst as regular frames, all of the frame length,
// whose numbers after seq were reserved. It only reads the sealer, so that several
// goroutines may call it, each with a state of its own. What it appends must then
// be addToSignature in order.
func (s *sealer) sealFrames(dst, plaintext []byte, seq uint32, state *frameState) []byte {
	for len(plaintext) > 0 {
		frame := plaintext[:s.frameLen]
		plaintext = plaintext[s.frameLen:]
		seq++
		iv := state.nonce(seq)
		dst = message.AppendRegularPrefix(dst, seq, iv)
		dst = s.aead.Seal(dst, iv, frame, state.aad.Regular(seq, len(frame)))
	}
	return dst
}

// wholeFrames returns how many bytes of plaintext may be sealed as regular frames: a
// batch at most, and not the last ones, which may be the final frame's.
func (s *sealer) wholeFrames(plaintext []byte) int {
	frames := max(len(plaintext)-1, 0) / s.frameLen
	return min(frames, framesPerBatch(s.frameLen)) * s.frameLen
}

// sealedLen returns how many bytes n bytes of whole regular frames are sealed.
func (s *sealer) sealedLen(n int) int { return n + n/s.frameLen*message.RegularOverhead }

// fillBatch has b seal whole regular frames, of which the caller says where to.
func (s *sealer) fillBatch(ctx context.Context, b *batch, frames []byte) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.in = frames
	b.seq, err = s.reserveNumbers(len(frames) / s.frameLen)
	return err
}

// sealBatch seals a batch.
func (s *sealer) sealBatch(b *batch) {
	b.out = s.sealFrames(b.out, b.in, b.seq, &b.state)
}

// addToSignature adds to what the signature covers.
func (s *sealer) addToSignature(b []byte) {
	if s.hash != nil {
		s.hash.Write(b)
	}
}

// appendFinal appends the final frame to dst, of at most the frame length, and the
// footer if there is one.
func (s *sealer) appendFinal(dst, plaintext []byte) ([]byte, error) {
	if s.done {
		return dst, errEnded
	}
	s.done = true
	s.seq++
	iv := s.state.nonce(s.seq)
	start := len(dst)
	dst = message.AppendFinalPrefix(dst, s.seq, iv, len(plaintext))
	dst = s.aead.Seal(dst, iv, plaintext, s.state.aad.Final(s.seq, len(plaintext)))
	if s.hash == nil {
		return dst, nil
	}
	s.hash.Write(dst[start:])
	sig, err := sign(s.header.Suite, s.signingKey, s.hash)
	if err != nil {
		return dst, err
	}
	return message.AppendFooter(dst, sig), nil
}

// errEnded keeps a sealer that is misused from going around its frame numbers.
var errEnded = errors.New("the message has its final frame already")

// nonce returns the nonce of a frame that is written. The next call overwrites
// it.
func (f *frameState) nonce(seq uint32) []byte {
	binary.BigEndian.PutUint32(f.iv[suite.NonceLen-4:], seq)
	return f.iv[:]
}
