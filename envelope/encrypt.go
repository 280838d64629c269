package envelope

import (
	"context"
	"fmt"
	"sync"

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
	began := e.opts.began()
	dst, err := e.appendEncrypt(ctx, apart(dst, plaintext), plaintext, ec)
	told := Event{Operation: OpEncrypt, Suite: e.opts.Suite, Bytes: int64(len(plaintext))}
	if err != nil {
		dst, err = nil, fmt.Errorf("envelope: encrypt: %w", err)
		told.Bytes, told.Err = 0, err
	}
	e.opts.tell(ctx, began, told)
	return dst, err
}

// sealers holds sealers in their zero state. A message in memory needs one for one call.
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

// sealParallel seals plaintext as regular frames and appends them to dst, which has room
// for them. It returns what is left for the final frame. On error dst is nil.
func (s *sealer) sealParallel(ctx context.Context, dst, plaintext []byte, o *Options) ([]byte, []byte, error) {
	room := dst[len(dst):cap(dst)]
	pipe := memoryPipeline(o, len(plaintext), s.frameLen, s.state.aad, s.sealBatch, nil)
	defer pipe.stop()
	err := pipe.run(nil, func(b *batch) (bool, error) {
		n := s.wholeFrames(plaintext)
		if n == 0 {
			return false, nil
		}
		wire := s.sealedLen(n)
		b.out = room[:0:wire]
		err := s.fillBatch(ctx, b, plaintext[:n])
		plaintext, room = plaintext[n:], room[wire:]
		return true, err
	}, func(b *batch) error {
		s.addToSignature(b.out)
		dst = dst[:len(dst)+len(b.out)]
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return dst, plaintext, nil
}
