package main

import (
	"context"
	"fmt"

	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	esdktypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
)

const awsModule = "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk"

// newAWS returns AWS's own SDK under the same wrapping key, suite and frame
// length as ours. It has no streams.
func newAWS() (memoryCipher, error) {
	ctx := context.Background()
	providers, err := mpl.NewClient(mpltypes.MaterialProvidersConfig{})
	if err != nil {
		return memoryCipher{}, fmt.Errorf("aws: %w", err)
	}
	keyring, err := providers.CreateRawAesKeyring(ctx, mpltypes.CreateRawAesKeyringInput{
		KeyNamespace: keyNamespace,
		KeyName:      keyName,
		WrappingKey:  wrappingKey(),
		WrappingAlg:  mpltypes.AesWrappingAlgAlgAes256GcmIv12Tag16,
	})
	if err != nil {
		return memoryCipher{}, fmt.Errorf("aws: %w", err)
	}
	client, err := esdk.NewClient(esdktypes.AwsEncryptionSdkConfig{})
	if err != nil {
		return memoryCipher{}, fmt.Errorf("aws: %w", err)
	}
	suite := mpltypes.ESDKAlgorithmSuiteIdAlgAes256GcmHkdfSha512CommitKey
	frameLength := int64(frameLen)
	return memoryCipher{
		name: awsName,
		encrypt: func(_, plaintext []byte) ([]byte, error) {
			out, err := client.Encrypt(ctx, esdktypes.EncryptInput{
				Plaintext:         plaintext,
				EncryptionContext: encryptionContext(),
				Keyring:           keyring,
				AlgorithmSuiteId:  &suite,
				FrameLength:       &frameLength,
			})
			if err != nil {
				return nil, err
			}
			return out.Ciphertext, nil
		},
		decrypt: func(_, msg []byte) ([]byte, error) {
			out, err := client.Decrypt(ctx, esdktypes.DecryptInput{
				Ciphertext:        msg,
				EncryptionContext: encryptionContext(),
				Keyring:           keyring,
			})
			if err != nil {
				return nil, err
			}
			return out.Plaintext, nil
		},
	}, nil
}
