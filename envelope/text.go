package envelope

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/go-sealring/sealring/keyring"
)

// base64url is how a message stands in text.
var base64url = base64.RawURLEncoding.Strict()

// EncryptText is [Encrypter.Encrypt] with the message as text, for environment variables,
// parameters and configuration files: unpadded base64url, in one line without its end.
//
// Every 3 bytes of the message take 4 characters. A message under one KMS key is longer than
// its plaintext by about 400 bytes and its encryption context, and by 32 more for each
// frame. So these hold at most, with a short context:
//   - a parameter of 4 KiB, as those of AWS Systems Manager are: 2,600 bytes of plaintext
//   - one of 8 KiB: 5,600 bytes
//   - a secret of 64 KiB in AWS Secrets Manager: 48,000 bytes
//   - an environment variable in Linux, 128 KiB with its name: 96,000 bytes
//
// A signed message takes 300 bytes more.
func (e *Encrypter) EncryptText(ctx context.Context, plaintext []byte, ec keyring.EncryptionContext) (string, error) {
	msg, err := e.Encrypt(ctx, plaintext, ec)
	if err != nil {
		return "", err
	}
	return base64url.EncodeToString(msg), nil
}

// DecryptText is [Decrypter.Decrypt] for a message as text, as EncryptText returns it. One
// line end behind the text is left out, since editors and shells put it there. Text that is
// not unpadded base64url is [ErrMalformed].
func (d *Decrypter) DecryptText(ctx context.Context, text string, ec keyring.EncryptionContext) ([]byte, error) {
	msg, err := decodeText(text)
	if err != nil {
		return nil, fmt.Errorf("envelope: decrypt: %w", err)
	}
	return d.Decrypt(ctx, msg, ec)
}

func decodeText(text string) ([]byte, error) {
	if rest, ok := strings.CutSuffix(text, "\n"); ok {
		text = strings.TrimSuffix(rest, "\r")
	}
	msg, err := base64url.DecodeString(text)
	// Each message has one text: encoding/base64 would skip line breaks.
	if err == nil && base64url.EncodedLen(len(msg)) == len(text) {
		return msg, nil
	}
	reason := "it is cut short, or no message"
	switch {
	case strings.ContainsAny(text, "+/="):
		reason = "it seems to be standard base64, which has + / and = where this has - _ and nothing"
	case strings.ContainsAny(text, " \t\r\n"):
		reason = "there is white space in it"
	}
	return nil, fmt.Errorf("%w: the text is not unpadded base64url: %s", ErrMalformed, reason)
}
