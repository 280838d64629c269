package interop

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	primitives "github.com/aws/aws-cryptographic-material-providers-library/releases/go/primitives/awscryptographyprimitivessmithygeneratedtypes"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

const here, there = "us-east-1", "eu-west-1"

// A service is a KMS that both sides ask.
type service struct {
	*kmstest.Server
	t *testing.T
}

func (s service) client(region string) *kms.Client {
	return kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String(s.URL(region)),
		Credentials:  credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
}

func account(arn string) string { return strings.Split(arn, ":")[4] }

func (s service) symmetric() keyPair {
	arn := s.CreateKey(here, kmstest.SymmetricDefault)
	o, err := awskms.New(awskms.Config{Client: s.client(here), KeyID: arn})
	require.NoError(s.t, err)
	a, err := awsProviders(s.t).CreateAwsKmsKeyring(s.t.Context(), mpltypes.CreateAwsKmsKeyringInput{
		KmsClient: s.client(here), KmsKeyId: arn,
	})
	require.NoError(s.t, err)
	return same("KMS key", o, a)
}

func (s service) discovery() keyPair {
	k := s.symmetric()
	arn := s.CreateKey(here, kmstest.SymmetricDefault)
	o, err := awskms.NewDiscovery(awskms.DiscoveryConfig{Client: s.client(here), Accounts: []string{account(arn)}})
	require.NoError(s.t, err)
	a, err := awsProviders(s.t).CreateAwsKmsDiscoveryKeyring(s.t.Context(), mpltypes.CreateAwsKmsDiscoveryKeyringInput{
		KmsClient:       s.client(here),
		DiscoveryFilter: &mpltypes.DiscoveryFilter{AccountIds: []string{account(arn)}, Partition: "aws"},
	})
	require.NoError(s.t, err)
	k.name, k.oursReads, k.theirsReads = "KMS discovery", half{nil, o}, a
	return k
}

// multiRegion has what was written in one region read in another, with the replica
// there.
func (s service) multiRegion() []keyPair {
	arn := s.CreateMultiRegionKey(here, kmstest.SymmetricDefault)
	replica := s.Replicate(arn, there)
	keyrings := func(region, arn string) (keyring.Keyring, mpltypes.IKeyring) {
		o, err := awskms.New(awskms.Config{Client: s.client(region), KeyID: arn, MRKAware: true})
		require.NoError(s.t, err)
		a, err := awsProviders(s.t).CreateAwsKmsMrkKeyring(s.t.Context(), mpltypes.CreateAwsKmsMrkKeyringInput{
			KmsClient: s.client(region), KmsKeyId: arn,
		})
		require.NoError(s.t, err)
		return o, a
	}
	oHere, aHere := keyrings(here, arn)
	oThere, aThere := keyrings(there, replica)

	o, err := awskms.NewDiscovery(awskms.DiscoveryConfig{Client: s.client(there), Accounts: []string{account(arn)}, MRKAware: true})
	require.NoError(s.t, err)
	a, err := awsProviders(s.t).CreateAwsKmsMrkDiscoveryKeyring(s.t.Context(), mpltypes.CreateAwsKmsMrkDiscoveryKeyringInput{
		KmsClient:       s.client(there),
		Region:          there,
		DiscoveryFilter: &mpltypes.DiscoveryFilter{AccountIds: []string{account(arn)}, Partition: "aws"},
	})
	require.NoError(s.t, err)
	return []keyPair{
		{"KMS multi-Region key", oHere, oThere, aHere, aThere},
		{"KMS multi-Region discovery", oHere, half{nil, o}, aHere, a},
	}
}

func (s service) rsa(algorithm kmstypes.EncryptionAlgorithmSpec) keyPair {
	arn := s.CreateKey(here, kmstest.RSA2048)
	public, err := x509.ParsePKIXPublicKey(s.PublicKey(arn))
	require.NoError(s.t, err)
	o, err := awskms.NewRSA(awskms.RSAConfig{
		Client: s.client(here), KeyARN: arn, PublicKey: public.(*rsa.PublicKey), Algorithm: algorithm,
	})
	require.NoError(s.t, err)
	a, err := awsProviders(s.t).CreateAwsKmsRsaKeyring(s.t.Context(), mpltypes.CreateAwsKmsRsaKeyringInput{
		EncryptionAlgorithm: algorithm,
		KmsClient:           s.client(here),
		KmsKeyId:            arn,
		PublicKey:           pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: s.PublicKey(arn)}),
	})
	require.NoError(s.t, err)
	return same("KMS "+string(algorithm), o, a)
}

func (s service) ecdh(spec kmstest.KeySpec, curve primitives.ECDHCurveSpec) []keyPair {
	alice, bob := s.CreateKey(here, spec), s.CreateKey(here, spec)
	public := func(arn string) *ecdh.PublicKey {
		k, err := x509.ParsePKIXPublicKey(s.PublicKey(arn))
		require.NoError(s.t, err)
		p, err := k.(*ecdsa.PublicKey).ECDH()
		require.NoError(s.t, err)
		return p
	}
	keyrings := func(own, peer string) (keyring.Keyring, mpltypes.IKeyring) {
		o, err := awskms.NewECDH(s.t.Context(), awskms.ECDHConfig{Client: s.client(here), KeyID: own, Peer: public(peer)})
		require.NoError(s.t, err)
		a, err := awsProviders(s.t).CreateAwsKmsEcdhKeyring(s.t.Context(), mpltypes.CreateAwsKmsEcdhKeyringInput{
			CurveSpec: curve,
			KmsClient: s.client(here),
			KeyAgreementScheme: &mpltypes.KmsEcdhStaticConfigurationsMemberKmsPrivateKeyToStaticPublicKey{
				Value: mpltypes.KmsPrivateKeyToStaticPublicKeyInput{
					SenderKmsIdentifier: own, SenderPublicKey: s.PublicKey(own), RecipientPublicKey: s.PublicKey(peer),
				},
			},
		})
		require.NoError(s.t, err)
		return o, a
	}
	aliceOurs, aliceTheirs := keyrings(alice, bob)
	bobOurs, bobTheirs := keyrings(bob, alice)

	o, err := awskms.NewECDHDecrypter(s.t.Context(), awskms.ECDHConfig{Client: s.client(here), KeyID: bob})
	require.NoError(s.t, err)
	a, err := awsProviders(s.t).CreateAwsKmsEcdhKeyring(s.t.Context(), mpltypes.CreateAwsKmsEcdhKeyringInput{
		CurveSpec: curve,
		KmsClient: s.client(here),
		KeyAgreementScheme: &mpltypes.KmsEcdhStaticConfigurationsMemberKmsPublicKeyDiscovery{
			Value: mpltypes.KmsPublicKeyDiscoveryInput{RecipientKmsIdentifier: bob},
		},
	})
	require.NoError(s.t, err)
	return []keyPair{
		{"KMS ECDH " + string(spec), aliceOurs, bobOurs, aliceTheirs, bobTheirs},
		{"KMS ECDH discovery " + string(spec), aliceOurs, half{nil, o}, aliceTheirs, a},
	}
}

// TestKMSKeyrings has both sides ask one embedded KMS.
func TestKMSKeyrings(t *testing.T) {
	s := service{kmstest.Start(t), t}
	pairs := []keyPair{s.symmetric(), s.discovery()}
	pairs = append(pairs, s.multiRegion()...)
	for _, algorithm := range []kmstypes.EncryptionAlgorithmSpec{
		kmstypes.EncryptionAlgorithmSpecRsaesOaepSha1, kmstypes.EncryptionAlgorithmSpecRsaesOaepSha256,
	} {
		pairs = append(pairs, s.rsa(algorithm))
	}
	for spec, curve := range map[kmstest.KeySpec]primitives.ECDHCurveSpec{
		kmstest.ECCP256: primitives.ECDHCurveSpecEccNistP256,
		kmstest.ECCP384: primitives.ECDHCurveSpecEccNistP384,
		kmstest.ECCP521: primitives.ECDHCurveSpecEccNistP521,
	} {
		pairs = append(pairs, s.ecdh(spec, curve)...)
	}
	pairs = append(pairs, multiPairs(t, s.symmetric(), aesPair(t, "interop", "aes", 32), s.multiRegion()[0])...)

	for _, k := range pairs {
		t.Run(k.name, func(t *testing.T) {
			for _, s := range suite.IDs[keyring.Suite]() {
				c := newExchange(s)
				c.reproduced = c.context
				for _, d := range k.directions() {
					// Whoever has an RSA key's public half can write: a signature
					// would prove nothing, and the specification forbids it.
					if s.Signs() && strings.HasPrefix(k.name, "KMS RSA") {
						_, err := d.writer.encrypt(t, c, []byte("plaintext"))
						require.Error(t, err, "%v: %v", s, d)
						continue
					}
					d.passes(t, c, 519, s.String())
				}
			}
		})
	}
}
