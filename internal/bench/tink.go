package main

import (
	"io"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/streamingaead"
)

const tinkModule = "github.com/tink-crypto/tink-go/v2"

// associatedData stands where ours has the encryption context.
var associatedData = []byte("tenant=42,table=patients")

// newTinkStream returns Tink's streaming AEAD with AES-256-GCM, in segments as
// the template says.
func newTinkStream(name string, template *tinkpb.KeyTemplate) (streamCipher, error) {
	handle, err := keyset.NewHandle(template)
	if err != nil {
		return streamCipher{}, err
	}
	primitive, err := streamingaead.New(handle)
	if err != nil {
		return streamCipher{}, err
	}
	buf := make([]byte, copyLen)
	return streamCipher{
		name: name,
		encrypt: func(dst io.Writer, src io.Reader) error {
			w, err := primitive.NewEncryptingWriter(dst, associatedData)
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, src); err != nil {
				return err
			}
			return w.Close()
		},
		decrypt: func(dst io.Writer, src io.Reader) error {
			r, err := primitive.NewDecryptingReader(src, associatedData)
			if err != nil {
				return err
			}
			_, err = io.CopyBuffer(dst, r, buf)
			return err
		},
	}, nil
}

// newTinkEnvelope returns Tink's envelope AEAD, with a local key where a key
// service would be.
func newTinkEnvelope() (memoryCipher, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return memoryCipher{}, err
	}
	wrapping, err := aead.New(handle)
	if err != nil {
		return memoryCipher{}, err
	}
	primitive := aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), wrapping)
	return memoryCipher{
		name:    tinkEnvelope,
		encrypt: func(_, plaintext []byte) ([]byte, error) { return primitive.Encrypt(plaintext, associatedData) },
		decrypt: func(_, msg []byte) ([]byte, error) { return primitive.Decrypt(msg, associatedData) },
	}, nil
}
