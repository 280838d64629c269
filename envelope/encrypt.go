package envelope

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/go-sealring/sealring/keyring"
)

// ctxEvery is how many bytes are encrypted or decrypted between two looks at
// the context.
const ctxEvery = 1 << 20

// Encrypt returns plaintext as an encrypted message with the encryption context
// in it. Neither argument is kept or changed; both may be nil.
//
// An encryption context that may not be used is [ErrInvalidArgument]. What the
// keyring returns is wrapped, as is the error of a ctx that is done.
func (e *Encrypter) Encrypt(ctx context.Context, plaintext []byte, ec keyring.EncryptionContext) ([]byte, error) {
	return e.AppendEncrypt(ctx, nil, plaintext, ec)
}

// AppendEncrypt is [Encrypter.Encrypt] with the message appended to dst, whose
// spare capacity must not overlap plaintext. It returns the longer slice. On
// error it returns nil, and dst's spare capacity may hold parts of a message.
func (e *Encrypter) AppendEncrypt(ctx context.Context, dst, plaintext []byte, ec keyring.EncryptionContext) ([]byte, error) {
	dst, err := e.appendEncrypt(ctx, dst, plaintext, ec)
	if err != nil {
		return nil, fmt.Errorf("envelope: encrypt: %w", err)
	}
	return dst, nil
}

func (e *Encrypter) appendEncrypt(ctx context.Context, dst, plaintext []byte, ec keyring.EncryptionContext) ([]byte, error) {
	s, err := e.newSealer(ctx, ec, int64(len(plaintext)))
	if err != nil {
		return nil, err
	}
	size, err := layoutOf(s.header).messageSize(int64(len(plaintext)))
	if err != nil {
		return nil, err
	}
	if size > math.MaxInt-int64(len(dst)) {
		return nil, fmt.Errorf("%w: a message of %d bytes does not fit in memory", ErrLimit, size)
	}
	dst = slices.Grow(dst, int(size))
	dst = append(dst, s.header.Raw...)
	for sealed := 0; len(plaintext) > s.frameLen; sealed += s.frameLen {
		if sealed >= ctxEvery {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			sealed = 0
		}
		if dst, err = s.regular(dst, plaintext[:s.frameLen]); err != nil {
			return nil, err
		}
		plaintext = plaintext[s.frameLen:]
	}
	return s.final(dst, plaintext)
}
