// Package fromtink has the code of docs/from-tink.md, before and after.
package fromtink

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	tinkawskms "github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/go-sealring/sealring/envelope/tinkaead"
	"github.com/go-sealring/sealring/keyring/awskms"
)

// Before.
func newTink(ctx context.Context, kmsClient *kms.Client, keyARN string) (tink.AEAD, error) {
	uri := "aws-kms://" + keyARN
	client, err := tinkawskms.NewClientWithOptions(ctx, uri, tinkawskms.WithKMS(kmsClient))
	if err != nil {
		return nil, err
	}
	wrapping, err := client.GetAEAD(uri)
	if err != nil {
		return nil, err
	}
	return aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), wrapping), nil
}

// After: the same interface, the same key in KMS.
func newSealring(kmsClient *kms.Client, keyARN string) (tink.AEAD, error) {
	kr, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: keyARN})
	if err != nil {
		return nil, err
	}
	return tinkaead.New(kr, nil)
}

// A moving reads both, and writes messages.
type moving struct{ messages, old tink.AEAD }

func (m moving) Encrypt(plaintext, associatedData []byte) ([]byte, error) {
	return m.messages.Encrypt(plaintext, associatedData)
}

func (m moving) Decrypt(ciphertext, associatedData []byte) ([]byte, error) {
	// Tink's begins with the length of the wrapped key, 4096 at most, in 4 bytes: so with 0.
	// A message begins with its version, 1 or 2.
	if len(ciphertext) > 0 && ciphertext[0] == 0 {
		return m.old.Decrypt(ciphertext, associatedData)
	}
	return m.messages.Decrypt(ciphertext, associatedData)
}
