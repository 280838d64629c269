package interop

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	esdktypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// before is docs/from-aws-sdk.md's program on AWS's Go release.
type before struct {
	client  *esdk.Client
	keyring mpltypes.IKeyring
}

func newBefore(ctx context.Context, kmsClient *kms.Client, keyARN string) (*before, error) {
	providers, err := mpl.NewClient(mpltypes.MaterialProvidersConfig{})
	if err != nil {
		return nil, err
	}
	kr, err := providers.CreateAwsKmsKeyring(ctx, mpltypes.CreateAwsKmsKeyringInput{KmsClient: kmsClient, KmsKeyId: keyARN})
	if err != nil {
		return nil, err
	}
	client, err := esdk.NewClient(esdktypes.AwsEncryptionSdkConfig{})
	if err != nil {
		return nil, err
	}
	return &before{client, kr}, nil
}

func (b *before) seal(ctx context.Context, plaintext []byte, tenant string) ([]byte, error) {
	out, err := b.client.Encrypt(ctx, esdktypes.EncryptInput{
		Plaintext:         plaintext,
		EncryptionContext: map[string]string{"tenant": tenant},
		Keyring:           b.keyring,
	})
	if err != nil {
		return nil, err
	}
	return out.Ciphertext, nil
}

func (b *before) open(ctx context.Context, msg []byte, tenant string) ([]byte, error) {
	out, err := b.client.Decrypt(ctx, esdktypes.DecryptInput{
		Ciphertext:        msg,
		EncryptionContext: map[string]string{"tenant": tenant},
		Keyring:           b.keyring,
	})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// after is the same on this library.
type after struct {
	client *envelope.Client
}

func newAfter(kmsClient *kms.Client, keyARN string) (*after, error) {
	kr, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: keyARN})
	if err != nil {
		return nil, err
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		return nil, err
	}
	return &after{client}, nil
}

func (a *after) seal(ctx context.Context, plaintext []byte, tenant string) ([]byte, error) {
	return a.client.Encrypt(ctx, plaintext, keyring.EncryptionContext{"tenant": tenant})
}

func (a *after) open(ctx context.Context, msg []byte, tenant string) ([]byte, error) {
	return a.client.Decrypt(ctx, msg, keyring.EncryptionContext{"tenant": tenant})
}

// newCached is newAfter with a cache, which AWS's Go release does not have.
func newCached(kmsClient *kms.Client, keyARN string) (*after, *cache.Cache, error) {
	kr, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: keyARN})
	if err != nil {
		return nil, nil, err
	}
	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
	if err != nil {
		return nil, nil, err
	}
	client, err := envelope.NewFromManager(cached, nil)
	if err != nil {
		return nil, nil, errors.Join(err, cached.Close())
	}
	return &after{client}, cached, nil
}

// TestMovingFromAWS has each program read what both have written, under one KMS key.
func TestMovingFromAWS(t *testing.T) {
	s := service{kmstest.Start(t, kmstest.Config{Regions: []string{here}}), t}
	arn := s.CreateKey(here, kmstest.SymmetricDefault)
	b, err := newBefore(t.Context(), s.client(here), arn)
	require.NoError(t, err)
	a, err := newAfter(s.client(here), arn)
	require.NoError(t, err)
	c, cached, err := newCached(s.client(here), arn)
	require.NoError(t, err)
	defer cached.Close()

	type program interface {
		seal(ctx context.Context, plaintext []byte, tenant string) ([]byte, error)
		open(ctx context.Context, msg []byte, tenant string) ([]byte, error)
	}
	for _, writer := range []program{b, a, c} {
		msg, err := writer.seal(t.Context(), []byte("attack at dawn"), "42")
		require.NoError(t, err)
		for _, reader := range []program{b, a, c} {
			name := fmt.Sprintf("%T reads %T", reader, writer)
			plaintext, err := reader.open(t.Context(), msg, "42")
			require.NoError(t, err, name)
			require.Equal(t, "attack at dawn", string(plaintext), name)
			_, err = reader.open(t.Context(), msg, "43")
			require.Error(t, err, name)
		}
	}
}
