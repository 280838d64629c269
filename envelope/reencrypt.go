package envelope

import (
	"context"
	"io"
	"maps"

	"github.com/go-sealring/sealring/keyring"
)

// Reencrypt decrypts the message in src with d, and encrypts the plaintext to dst: in a
// message of its own, with a new data key of e's manager. Memory is constant, whatever the
// length. Neither dst nor src is closed.
//
// The new message has the encryption context of the old one: the pairs that are stored there,
// and those of ec, whose meaning [Decrypter.Decrypt] says.
//
// Dst holds a message only when Reencrypt has returned nil. After an error it holds the
// beginning of one, which does not decrypt: drop that. The context is for all of the call.
//
// There is no faster way that keeps the body and wraps its data key for other keys: the
// format fixes the nonce of the header's authentication, so that a second header under one
// data key would use it twice, which gives away what AES-GCM's authenticity rests on.
// [Header.WrappedBy] tells which messages need it.
func (e *Encrypter) Reencrypt(ctx context.Context, dst io.Writer, d *Decrypter, src io.Reader, ec keyring.EncryptionContext) error {
	if d == nil {
		return invalid("decrypter is nil")
	}
	r, err := d.NewReader(ctx, src, ec)
	if err != nil {
		return err
	}
	pairs := keyring.EncryptionContext{}
	maps.Copy(pairs, r.opener.header.Context)
	maps.Copy(pairs, ec)
	delete(pairs, "aws-crypto-public-key") // of a signed message, and of that alone
	w, err := e.NewWriter(ctx, dst, pairs)
	if err != nil {
		return err
	}
	if _, err := r.WriteTo(w); err != nil {
		return err
	}
	return w.Close()
}
