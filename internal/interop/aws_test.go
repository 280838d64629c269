package interop

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"testing"

	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	esdktypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

// theirs is AWS's SDK.
type theirs struct{ keyring mpltypes.IKeyring }

func (theirs) String() string { return "AWS" }

func (a theirs) encrypt(t *testing.T, c exchange, plaintext []byte) ([]byte, error) {
	suite := mpltypes.ESDKAlgorithmSuiteId(fmt.Sprintf("0x%04X", uint16(c.suite)))
	frameLength := int64(c.frameLen)
	out, err := awsClient(t, c.writerPolicy).Encrypt(t.Context(), esdktypes.EncryptInput{
		Plaintext:         append([]byte{}, plaintext...), // nil is none, there
		EncryptionContext: c.context,
		AlgorithmSuiteId:  &suite,
		FrameLength:       &frameLength,
		MaterialsManager:  a.manager(t, c.required),
	})
	if err != nil {
		return nil, err
	}
	return out.Ciphertext, nil
}

func (a theirs) decrypt(t *testing.T, c exchange, msg []byte) ([]byte, error) {
	out, err := awsClient(t, c.readerPolicy).Decrypt(t.Context(), esdktypes.DecryptInput{
		Ciphertext:        msg,
		EncryptionContext: c.reproduced,
		MaterialsManager:  a.manager(t, c.required),
	})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// awsPolicies are their names for the policies.
var awsPolicies = map[keyring.CommitmentPolicy]mpltypes.ESDKCommitmentPolicy{
	keyring.RequireEncryptRequireDecrypt: mpltypes.ESDKCommitmentPolicyRequireEncryptRequireDecrypt,
	keyring.RequireEncryptAllowDecrypt:   mpltypes.ESDKCommitmentPolicyRequireEncryptAllowDecrypt,
	keyring.ForbidEncryptAllowDecrypt:    mpltypes.ESDKCommitmentPolicyForbidEncryptAllowDecrypt,
}

func awsClient(t *testing.T, p keyring.CommitmentPolicy) *esdk.Client {
	policy, ok := awsPolicies[p]
	require.True(t, ok)
	c, err := esdk.NewClient(esdktypes.AwsEncryptionSdkConfig{CommitmentPolicy: &policy})
	require.NoError(t, err)
	return c
}

func awsProviders(t *testing.T) *mpl.Client {
	p, err := mpl.NewClient(mpltypes.MaterialProvidersConfig{})
	require.NoError(t, err)
	return p
}

func (a theirs) manager(t *testing.T, required []string) mpltypes.ICryptographicMaterialsManager {
	p := awsProviders(t)
	m, err := p.CreateDefaultCryptographicMaterialsManager(t.Context(),
		mpltypes.CreateDefaultCryptographicMaterialsManagerInput{Keyring: a.keyring})
	require.NoError(t, err)
	if len(required) == 0 {
		return m
	}
	m, err = p.CreateRequiredEncryptionContextCMM(t.Context(), mpltypes.CreateRequiredEncryptionContextCMMInput{
		UnderlyingCMM:                 m,
		RequiredEncryptionContextKeys: required,
	})
	require.NoError(t, err)
	return m
}

func privatePEM(t *testing.T, key any) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func publicDER(t *testing.T, key any) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(t, err)
	return der
}

func publicPEM(t *testing.T, key any) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(t, key)})
}
