package awskms_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

const (
	east  = "us-east-1"
	west  = "us-west-2"
	south = "sa-east-1"

	suite       = keyring.SuiteAES256GCMHKDFSHA512Commit
	signedSuite = keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384
)

var testContext = keyring.EncryptionContext{"tenant": "42"}

// newServer returns a server on ports. It is for tests whose outcome no time changes.
func newServer(t testing.TB) *kmstest.Server {
	return kmstest.Start(t, kmstest.Config{Regions: []string{east, west, south}})
}

// inBubble runs a test in simulated time, on a server that works in it.
func inBubble(t *testing.T, test func(t *testing.T, s *kmstest.Server)) {
	t.Helper()
	faketime.Test(t, func(t *testing.T) {
		test(t, kmstest.Start(t, kmstest.Config{Regions: []string{east, west, south}, NoNetwork: true}))
	})
}

// newClient returns the SDK's client for one region of a server. It tries every
// call once, so that counts are exact.
func newClient(s *kmstest.Server, region string) *kms.Client { return newRetryingClient(s, region, 1) }

// newRetryingClient tries every call up to n times.
func newRetryingClient(s *kmstest.Server, region string, n int) *kms.Client {
	return kms.New(kms.Options{
		Region:           region,
		BaseEndpoint:     aws.String(s.URL(region)),
		RetryMaxAttempts: n,
		HTTPClient:       s.Client(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

// wrapNew has a keyring generate and wrap a data key for testContext.
func wrapNew(t testing.TB, k keyring.Encrypter) *keyring.EncryptionMaterials {
	t.Helper()
	m := &keyring.EncryptionMaterials{Suite: suite, Context: testContext}
	require.NoError(t, k.OnEncrypt(t.Context(), m))
	return m
}

func unwrap(t testing.TB, k keyring.Decrypter, keys []keyring.EncryptedDataKey) ([]byte, error) {
	m := &keyring.DecryptionMaterials{Suite: suite, Context: testContext}
	err := k.OnDecrypt(t.Context(), m, keys)
	return m.DataKey, err
}

// unwraps checks that a keyring unwraps what was wrapped.
func unwraps(t testing.TB, k keyring.Decrypter, m *keyring.EncryptionMaterials) {
	t.Helper()
	got, err := unwrap(t, k, m.EncryptedDataKeys)
	require.NoError(t, err)
	require.Equal(t, m.DataKey, got)
}

// refuses checks that a keyring does not unwrap, and returns why.
func refuses(t testing.TB, k keyring.Decrypter, keys []keyring.EncryptedDataKey) error {
	t.Helper()
	got, err := unwrap(t, k, keys)
	require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
	require.Nil(t, got)
	return err
}

func rsaPublicKey(t testing.TB, s *kmstest.Server, arn string) *rsa.PublicKey {
	key, err := x509.ParsePKIXPublicKey(s.PublicKey(arn))
	require.NoError(t, err)
	return key.(*rsa.PublicKey)
}

func ecdhPublicKey(t testing.TB, s *kmstest.Server, arn string) *ecdh.PublicKey {
	key, err := x509.ParsePKIXPublicKey(s.PublicKey(arn))
	require.NoError(t, err)
	public, err := key.(*ecdsa.PublicKey).ECDH()
	require.NoError(t, err)
	return public
}
