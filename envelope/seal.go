package envelope

import (
	"context"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"github.com/go-sealring/sealring/internal/batchlen"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// A sealer makes the parts of one message in order: header, regular frames,
// final frame with footer.
type sealer struct {
	header     *message.Header
	aead       cipher.AEAD
	state      frameState
	frameLen   int
	seq        uint32 // of the last frame that was sealed
	hash       hash.Hash
	signingKey *ecdsa.PrivateKey
	done       bool // the final frame was sealed
}

// newSealer gets the materials for a message and makes its header, which
// sealer.header.Raw holds. The length is the plaintext's, -1 if unknown.
func (e *Encrypter) newSealer(ctx context.Context, ec keyring.EncryptionContext, length int64) (*sealer, error) {
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
		PlaintextLength:  length,
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

	s := &sealer{
		header:     &message.Header{Suite: suite.ByID(uint16(m.Suite)), FrameLength: uint32(e.opts.FrameLength)},
		frameLen:   e.opts.FrameLength,
		signingKey: m.SigningKey,
	}
	if err := s.writeHeader(m); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if n := len(s.header.Raw); n > e.opts.MaxHeaderLength {
		return nil, fmt.Errorf("%w: the header is %d bytes, this client writes %d (Options.MaxHeaderLength)",
			ErrLimit, n, e.opts.MaxHeaderLength)
	}
	if s.header.Suite.Signs() {
		s.hash = s.header.Suite.SigHash.New()
		s.hash.Write(s.header.Raw)
	}
	return s, nil
}

// writeHeader makes the header and the cipher under the message's key. It is
// called once for a sealer: the header's nonce is fixed, so that a second header
// under one key would repeat it. The message ID, drawn here, makes the key
// unlike that of every other message.
func (s *sealer) writeHeader(m *keyring.EncryptionMaterials) error {
	h := s.header
	h.MessageID = make([]byte, h.Suite.MessageIDLen())
	rand.Read(h.MessageID) // never fails: it ends the program instead

	stored, authenticated := m.SplitContext()
	h.Context = stored
	h.EncryptedDataKeys = make([]message.EncryptedDataKey, len(m.EncryptedDataKeys))
	for i, k := range m.EncryptedDataKeys {
		h.EncryptedDataKeys[i] = message.EncryptedDataKey(k)
	}
	var err error
	if s.aead, h.Commitment, err = messageCipher(h.Suite, m.DataKey, h.MessageID); err != nil {
		return err
	}
	s.state.aad = message.NewBodyAAD(h.MessageID)

	if h.Raw, err = h.AppendBody(make([]byte, 0, 512)); err != nil {
		return err
	}
	h.BodyLen = len(h.Raw)
	aad, err := headerAAD(h.Raw, authenticated)
	if err != nil {
		return err
	}
	h.IV = headerIV[:]
	h.Tag = s.aead.Seal(nil, headerIV[:], nil, aad)
	h.Raw = h.AppendAuth(h.Raw)
	return nil
}

// regular appends whole regular frames to dst.
func (s *sealer) regular(dst, plaintext []byte) ([]byte, error) {
	seq, err := s.reserve(len(plaintext) / s.frameLen)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = s.sealFrames(dst, plaintext, seq, &s.state)
	s.hashed(dst[start:])
	return dst, nil
}

// reserve takes the numbers of the next n regular frames, so that no others get
// them: a frame's number is its nonce. It returns the number before the first.
func (s *sealer) reserve(n int) (seq uint32, err error) {
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
// be hashed in order.
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

// whole returns how many bytes of plaintext may be sealed as regular frames: a
// batch at most, and not the last ones, which may be the final frame's.
func (s *sealer) whole(plaintext []byte) int {
	frames := max(len(plaintext)-1, 0) / s.frameLen
	return min(frames, batchlen.Frames(s.frameLen)) * s.frameLen
}

// work seals a batch.
func (s *sealer) work(b *batch) {
	b.out = s.sealFrames(b.out, b.in, b.seq, &b.state)
}

// hashed adds to what the signature covers.
func (s *sealer) hashed(b []byte) {
	if s.hash != nil {
		s.hash.Write(b)
	}
}

// final appends the final frame to dst, of at most the frame length, and the
// footer if there is one.
func (s *sealer) final(dst, plaintext []byte) ([]byte, error) {
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
