package envelope

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// Encrypt returns plaintext as an encrypted message with the encryption context
// in it. Neither argument is kept or changed; both may be nil.
//
// An encryption context that may not be used is [ErrInvalidArgument]. What the
// keyring returns is wrapped, as is the error of a ctx that is done.
func (e *Encrypter) Encrypt(ctx context.Context, plaintext []byte, ec keyring.EncryptionContext) ([]byte, error) {
	return e.AppendEncrypt(ctx, nil, plaintext, ec)
}

// AppendEncrypt is [Encrypter.Encrypt] with the message appended to dst. It returns
// the longer slice. If plaintext overlaps dst's spare capacity, as it does with
// plaintext[:0] as dst, that stays as it is and the result is in new memory. On error
// it returns nil, and dst's spare capacity may hold parts of a message.
func (e *Encrypter) AppendEncrypt(ctx context.Context, dst, plaintext []byte, ec keyring.EncryptionContext) ([]byte, error) {
	dst, err := e.appendEncrypt(ctx, apart(dst, plaintext), plaintext, ec)
	if err != nil {
		return nil, fmt.Errorf("envelope: encrypt: %w", err)
	}
	return dst, nil
}

// sealers are empty ones: a message in memory needs one for one call.
var sealers = sync.Pool{New: func() any { return &sealer{} }}

func (e *Encrypter) appendEncrypt(ctx context.Context, dst, plaintext []byte, ec keyring.EncryptionContext) ([]byte, error) {
	s := sealers.Get().(*sealer)
	defer func() {
		*s = sealer{}
		sealers.Put(s)
	}()
	dst, err := s.sealHeader(ctx, e, dst, ec, int64(len(plaintext)), -1)
	if err != nil {
		return nil, err
	}
	if len(plaintext) > worthOtherCores() {
		dst, plaintext, err = s.sealParallel(ctx, dst, plaintext, &e.opts)
	}
	for n := s.wholeFrames(plaintext); n > 0 && err == nil; n = s.wholeFrames(plaintext) {
		dst, err = s.appendRegular(dst, plaintext[:n])
		plaintext = plaintext[n:]
	}
	if err != nil {
		return nil, err
	}
	return s.appendFinal(dst, plaintext)
}

// sealParallel appends the regular frames of plaintext to dst, which has room for them,
// and returns what is left for the final frame. On error dst is nil.
func (s *sealer) sealParallel(ctx context.Context, dst, plaintext []byte, o *Options) ([]byte, []byte, error) {
	pipe := memoryPipeline(o, len(plaintext), s.frameLen, s.state.aad, s.sealBatch)
	defer pipe.stop()
	room := dst[len(dst):cap(dst)]
	for {
		if n := s.wholeFrames(plaintext); n > 0 && !pipe.full() {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			b := pipe.free()
			count := n / s.frameLen
			var err error
			if b.seq, err = s.reserveNumbers(count); err != nil {
				return nil, nil, err
			}
			wire := n + count*message.RegularOverhead
			b.in, b.out = plaintext[:n], room[:0:wire]
			plaintext, room = plaintext[n:], room[wire:]
			pipe.start(b)
			continue
		}
		if pipe.inFlight == 0 {
			return dst, plaintext, nil
		}
		b := pipe.next(nil)
		s.addToSignature(b.out)
		dst = dst[:len(dst)+len(b.out)]
	}
}
