package awskms_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/mototest"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/keyringtest"
)

// The package's other tests run on kmstest, which was written with the same
// reading of the service in mind as the keyrings. What both got wrong they would
// not notice. So the cases in this file run on services that others wrote too,
// and reach them by the operations of KMS alone.

// TestEvidenceKMSTest shows that the cases are right about kmstest, so that a
// failure elsewhere is a difference between the services.
func TestEvidenceKMSTest(t *testing.T) {
	s := newServer(t)
	runEvidence(t, &service{
		near: east, far: west, contextBound: true,
		client: func(region string) *kms.Client { return newClient(s, region) },
	})
}

// TestEvidenceMoto runs the cases on moto_server, Python's emulator of AWS. It
// is skipped where that is not installed:
//
//	pip install 'moto[server]'
//
// Left out is what moto does not do as KMS does. As of moto 5.2.5:
//
//   - Multi-Region keys: their IDs have 40 characters in place of 36, of which
//     ciphertexts keep 36, so that nothing they encrypted can be decrypted, even
//     in the same region. ReplicateKey with an ARN fails with status 500.
//   - Disabled keys and those pending deletion: they encrypt and decrypt.
//   - RSA keys: Encrypt and Decrypt use AES whatever the kind of key, so that
//     what was encrypted offline with the public key cannot be decrypted.
//   - Key agreement: there is no DeriveSharedSecret.
//   - Denied access, throttling and dry runs: there are none.
//   - Contexts whose keys and values are equal only when strung together
//     ("tenant": "42" and "tenant4": "2"): they are taken for the same. That is
//     one of the contexts of keyringtest's case WrongContext, which for that is
//     skipped here. The case "wrong context" below has the others.
//   - ARNs of another account or region: only the key ID in them is looked at.
//     The cases rely on it nowhere: the keyrings compare ARNs themselves.
//   - Decrypting with the wrong key is answered with AccessDeniedException, not
//     IncorrectKeyException. The cases expect that of moto, and KMS's own codes else.
//   - ReEncrypt does not look at SourceKeyId.
//
// And the case "rotation" shows less here than it does elsewhere, for moto keeps
// a rotated key's material.
func TestEvidenceMoto(t *testing.T) {
	url := mototest.Start(t)
	runEvidence(t, &service{
		near: east, far: west,
		client: func(region string) *kms.Client {
			return kms.New(kms.Options{
				Region: region, BaseEndpoint: &url, RetryMaxAttempts: 1,
				Credentials: credentials("test", "test", ""),
			})
		},
		codes: map[string][]string{"IncorrectKeyException": {"AccessDeniedException"}},
	})
}

// TestEvidenceAWS runs the cases on AWS itself, with the key whose ARN is in
// SEALRING_TEST_KMS_KEY, a symmetric key of one region. It is skipped if the
// variable is not set. A run makes some hundreds of requests.
//
// Credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if they are
// temporary, AWS_SESSION_TOKEN: this module does without the packages that know
// the other places. They must allow kms:GenerateDataKey, kms:Encrypt, kms:Decrypt
// and kms:DescribeKey on the key.
//
// Cases that need more keys, an alias or a rotation are skipped: the test makes
// nothing that would stay in the account and changes nothing there.
func TestEvidenceAWS(t *testing.T) {
	key := os.Getenv("SEALRING_TEST_KMS_KEY")
	if key == "" {
		t.Skip("SEALRING_TEST_KMS_KEY does not name a KMS key to test with")
	}
	parts := strings.Split(key, ":")
	require.Len(t, parts, 6, "SEALRING_TEST_KMS_KEY is not the ARN of a key")
	others := map[string][2]string{
		"aws": {east, west}, "aws-cn": {"cn-north-1", "cn-northwest-1"}, "aws-us-gov": {"us-gov-east-1", "us-gov-west-1"},
	}[parts[1]]
	require.NotEmpty(t, others[0], "the ARN is of an unknown partition")
	near, far := parts[3], others[0]
	if near == far {
		far = others[1]
	}
	id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	require.True(t, id != "" && secret != "", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set")
	runEvidence(t, &service{
		near: near, far: far, key: key, contextBound: true,
		client: func(region string) *kms.Client {
			return kms.New(kms.Options{
				Region: region, Credentials: credentials(id, secret, os.Getenv("AWS_SESSION_TOKEN")),
			})
		},
		// Whoever may use one key alone does not hear which others there are.
		codes: map[string][]string{"NotFoundException": {"NotFoundException", "AccessDeniedException"}},
	})
}

func credentials(id, secret, token string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, nil
	})
}

// A service is a KMS to run the cases on.
type service struct {
	near, far string // the regions
	client    func(region string) *kms.Client

	// key is the ARN of the only key there is, in the near region, where none may
	// be created.
	key string

	// contextBound says that no two encryption contexts are the same to it.
	contextBound bool

	// codes are what it may answer with in place of an error code of KMS's.
	codes map[string][]string
}

// newKey returns a key for one case.
func (s *service) newKey(t *testing.T, region string) string {
	if s.key != "" {
		require.Equal(t, s.near, region)
		return s.key
	}
	out, err := s.client(region).CreateKey(t.Context(), &kms.CreateKeyInput{Description: aws.String(t.Name())})
	require.NoError(t, err)
	return *out.KeyMetadata.Arn
}

// newAlias points a new alias at a key and returns its name and ARN.
func (s *service) newAlias(t *testing.T, key string) (name, arn string) {
	name = "alias/evidence-" + strings.ToLower(rand.Text())
	_, err := s.client(s.near).CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &key})
	require.NoError(t, err)
	return name, key[:strings.LastIndex(key, ":")+1] + name
}

// keyring returns a keyring for a key of the near region, or for an alias of
// the keys to decrypt with.
func (s *service) keyring(t *testing.T, id string, decryptKeys ...string) *awskms.Keyring {
	k, err := awskms.New(awskms.Config{Client: s.client(s.near), KeyID: id, DecryptKeys: decryptKeys})
	require.NoError(t, err)
	return k
}

// discovery returns a keyring that finds keys of these accounts in a region.
func (s *service) discovery(t *testing.T, region, key string, accounts ...string) *awskms.Discovery {
	k, err := awskms.NewDiscovery(awskms.DiscoveryConfig{
		Client: s.client(region), Partition: strings.Split(key, ":")[1], Accounts: accounts,
	})
	require.NoError(t, err)
	return k
}

// failed checks that an error is the service's answer to an operation, with a
// code of KMS's.
func (s *service) failed(t *testing.T, err error, operation, code string) {
	t.Helper()
	var e *awskms.Error
	require.ErrorAs(t, err, &e)
	codes := s.codes[code]
	if codes == nil {
		codes = []string{code}
	}
	assert.Contains(t, codes, e.Code, "%v", err)
	assert.Equal(t, operation, e.Operation)
	assert.NotEmpty(t, e.RequestID, "%v", err)
	assert.False(t, e.Unavailable(), "%v", err)
}

// strangeAccount is an account that has no part in the tests.
const strangeAccount = "444455556666"

// keyID and account return parts of a key's ARN; strangeKey and inRegion return
// ARNs of keys that do not exist.
func keyID(arn string) string   { return arn[strings.LastIndex(arn, "/")+1:] }
func account(arn string) string { return strings.Split(arn, ":")[4] }

func strangeKey(arn string) string {
	return arn[:strings.LastIndex(arn, "/")+1] + "00000000-0000-4000-8000-000000000000"
}

func inRegion(arn, region string) string {
	parts := strings.Split(arn, ":")
	parts[3] = region
	return strings.Join(parts, ":")
}

// named returns wrapped keys as they would be had the key of this ARN wrapped
// them, which is how a header can lie.
func named(arn string, keys []keyring.EncryptedDataKey) []keyring.EncryptedDataKey {
	out := make([]keyring.EncryptedDataKey, len(keys))
	for i, k := range keys {
		out[i] = keyring.EncryptedDataKey{ProviderID: k.ProviderID, ProviderInfo: []byte(arn), Ciphertext: bytes.Clone(k.Ciphertext)}
	}
	return out
}

func runEvidence(t *testing.T, s *service) {
	for _, c := range []struct {
		name    string
		creates bool // more than the one key it is given
		run     func(t *testing.T, s *service, key string)
	}{
		{"conformance, key", false, evidenceConformance},
		{"conformance, discovery", false, evidenceConformanceDiscovery},
		{"conformance, alias", true, evidenceConformanceAlias},
		{"conformance, regions", true, evidenceConformanceRegions},
		{"data key", false, evidenceDataKey},
		{"data key of another program", false, evidenceForeignDataKey},
		{"wrapping a given key", false, evidenceWrapGiven},
		{"key ID", false, evidenceKeyID},
		{"wrong context", false, evidenceWrongContext},
		{"unknown key", false, evidenceUnknownKey},
		{"altered", false, evidenceAltered},
		{"another key's wrapped key", true, evidenceAnotherKey},
		{"alias", true, evidenceAlias},
		{"alias re-pointed", true, evidenceAliasRepointed},
		{"ReEncrypt", true, evidenceReEncrypt},
		{"key of another region", false, evidenceAnotherRegion},
		{"keys in two regions", true, evidenceTwoRegions},
		{"rotation", true, evidenceRotation},
		{"discovery", false, evidenceDiscovery},
		{"messages", false, evidenceMessages},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.creates && s.key != "" {
				t.Skip("makes keys or changes them, and here only the given key may be used, as it is")
			}
			c.run(t, s, s.newKey(t, s.near))
		})
	}
}

// evidenceSuites have data keys of 16, 24 and 32 bytes.
var evidenceSuites = []keyring.Suite{
	keyring.SuiteAES128GCMHKDFSHA256, keyring.SuiteAES192GCMHKDFSHA256, suite, signedSuite,
}

func (s *service) conforms(t *testing.T, e keyring.Encrypter, d, stranger keyring.Decrypter) {
	keyringtest.Run(t, keyringtest.Keyring{
		Encrypter: e, Decrypter: d, Stranger: stranger,
		ContextBound: s.contextBound, Suites: evidenceSuites, MaxAlterations: 8,
	})
}

func evidenceConformance(t *testing.T, s *service, key string) {
	k := s.keyring(t, key)
	s.conforms(t, k, k, s.keyring(t, strangeKey(key)))
}

func evidenceConformanceDiscovery(t *testing.T, s *service, key string) {
	s.conforms(t, s.keyring(t, key), s.discovery(t, s.near, key, account(key)), s.discovery(t, s.near, key, strangeAccount))
}

func evidenceConformanceAlias(t *testing.T, s *service, key string) {
	name, _ := s.newAlias(t, key)
	k := s.keyring(t, name, key)
	s.conforms(t, k, k, s.keyring(t, name, s.newKey(t, s.near)))
}

func evidenceConformanceRegions(t *testing.T, s *service, key string) {
	k := s.regions(t, key, s.newKey(t, s.far))
	s.conforms(t, k, k, s.regions(t, s.newKey(t, s.near), s.newKey(t, s.far)))
}

// regions returns a keyring for a key of each region.
func (s *service) regions(t *testing.T, near, far string) *awskms.MultiRegion {
	k, err := awskms.NewMultiRegion(awskms.MultiRegionConfig{
		Regions:        []awskms.RegionKey{{Client: s.client(s.near), KeyARN: near}, {Client: s.client(s.far), KeyARN: far}},
		AttemptTimeout: time.Minute, // no stall counts as an outage
	})
	require.NoError(t, err)
	return k
}

// evidenceDataKey has the service itself say what a wrapped key holds.
func evidenceDataKey(t *testing.T, s *service, key string) {
	k := s.keyring(t, key)
	for _, suite := range evidenceSuites {
		t.Run(suite.String(), func(t *testing.T) {
			m := &keyring.EncryptionMaterials{Suite: suite, Context: testContext}
			require.NoError(t, k.OnEncrypt(t.Context(), m))
			require.Len(t, m.DataKey, suite.DataKeyLen())
			require.Len(t, m.EncryptedDataKeys, 1)
			edk := m.EncryptedDataKeys[0]
			assert.Equal(t, "aws-kms", edk.ProviderID)
			assert.Equal(t, key, string(edk.ProviderInfo))
			out, err := s.client(s.near).Decrypt(t.Context(), &kms.DecryptInput{
				KeyId: &key, CiphertextBlob: edk.Ciphertext, EncryptionContext: testContext,
			})
			require.NoError(t, err)
			assert.Equal(t, m.DataKey, out.Plaintext)

			d := &keyring.DecryptionMaterials{Suite: suite, Context: testContext}
			require.NoError(t, k.OnDecrypt(t.Context(), d, m.EncryptedDataKeys))
			assert.Equal(t, m.DataKey, d.DataKey)
		})
	}
}

// evidenceForeignDataKey unwraps what no keyring of ours asked for.
func evidenceForeignDataKey(t *testing.T, s *service, key string) {
	client, k := s.client(s.near), s.keyring(t, key)
	check := func(dataKey, wrapped []byte, answered *string) {
		require.NotNil(t, answered)
		got, err := unwrap(t, k, []keyring.EncryptedDataKey{{ProviderID: "aws-kms", ProviderInfo: []byte(*answered), Ciphertext: wrapped}})
		require.NoError(t, err)
		assert.Equal(t, dataKey, got)
	}
	generated, err := client.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{
		KeyId: &key, KeySpec: "AES_256", EncryptionContext: testContext,
	})
	require.NoError(t, err)
	check(generated.Plaintext, generated.CiphertextBlob, generated.KeyId)

	dataKey := make([]byte, suite.DataKeyLen())
	_, _ = rand.Read(dataKey)
	encrypted, err := client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &key, Plaintext: dataKey, EncryptionContext: testContext})
	require.NoError(t, err)
	check(dataKey, encrypted.CiphertextBlob, encrypted.KeyId)
}

func evidenceWrapGiven(t *testing.T, s *service, key string) {
	local, err := keyring.NewRawAES("evidence", "kek", make([]byte, 32))
	require.NoError(t, err)
	k := s.keyring(t, key)
	m := wrapNew(t, local)
	dataKey := bytes.Clone(m.DataKey)
	require.NoError(t, k.OnEncrypt(t.Context(), m))
	require.Equal(t, dataKey, m.DataKey)
	require.Len(t, m.EncryptedDataKeys, 2)
	assert.Equal(t, key, string(m.EncryptedDataKeys[1].ProviderInfo))
	unwraps(t, k, m)
	unwraps(t, local, m)
}

func evidenceKeyID(t *testing.T, s *service, key string) {
	byARN, byID := s.keyring(t, key), s.keyring(t, keyID(key))
	m := wrapNew(t, byID)
	require.Equal(t, key, string(m.EncryptedDataKeys[0].ProviderInfo), "the header must name the key's ARN")
	unwraps(t, byID, m)
	unwraps(t, byARN, m)
	unwraps(t, byID, wrapNew(t, byARN))
	for _, id := range []string{key, keyID(key)} {
		got, err := awskms.ResolveKey(t.Context(), s.client(s.near), id)
		require.NoError(t, err)
		assert.Equal(t, key, got)
	}
}

func evidenceWrongContext(t *testing.T, s *service, key string) {
	k := s.keyring(t, key)
	m := &keyring.EncryptionMaterials{Suite: suite, Context: keyring.EncryptionContext{"tenant": "42", "table": "patients"}}
	require.NoError(t, k.OnEncrypt(t.Context(), m))
	for name, ec := range map[string]keyring.EncryptionContext{
		"none":          nil,
		"another value": {"tenant": "43", "table": "patients"},
		"another key":   {"tenanT": "42", "table": "patients"},
		"swapped":       {"tenant": "patients", "table": "42"},
		"one more pair": {"tenant": "42", "table": "patients", "purpose": "billing"},
		"one pair less": {"tenant": "42"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &keyring.DecryptionMaterials{Suite: suite, Context: ec}
			err := k.OnDecrypt(t.Context(), d, m.EncryptedDataKeys)
			require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
			require.Nil(t, d.DataKey)
			s.failed(t, err, "Decrypt", "InvalidCiphertextException")
		})
	}
}

func evidenceUnknownKey(t *testing.T, s *service, key string) {
	m := wrapNew(t, s.keyring(t, key))
	unknown := strangeKey(key)
	for name, id := range map[string]string{
		"ARN": unknown, "ID": keyID(unknown), "alias": "alias/evidence-of-nothing",
		"alias ARN": key[:strings.LastIndex(key, ":")+1] + "alias/evidence-of-nothing",
	} {
		t.Run(name, func(t *testing.T) {
			k := s.keyring(t, id, unknown)
			s.failed(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}), "GenerateDataKey", "NotFoundException")
			given := &keyring.EncryptionMaterials{Suite: suite, DataKey: bytes.Clone(m.DataKey)}
			s.failed(t, k.OnEncrypt(t.Context(), given), "Encrypt", "NotFoundException")
			s.failed(t, refuses(t, k, named(unknown, m.EncryptedDataKeys)), "Decrypt", "NotFoundException")
			_, err := awskms.ResolveKey(t.Context(), s.client(s.near), id)
			s.failed(t, err, "DescribeKey", "NotFoundException")
		})
	}
}

func evidenceAltered(t *testing.T, s *service, key string) {
	k := s.keyring(t, key)
	m := wrapNew(t, k)
	altered := named(key, m.EncryptedDataKeys)
	altered[0].Ciphertext[len(altered[0].Ciphertext)-1] ^= 1
	s.failed(t, refuses(t, k, altered), "Decrypt", "InvalidCiphertextException")

	// A broken one costs a call, and does not hide a good one.
	got, err := unwrap(t, k, append(altered, m.EncryptedDataKeys...))
	require.NoError(t, err)
	assert.Equal(t, m.DataKey, got)
}

// evidenceAnotherKey has a header lie about which key wrapped its data key.
func evidenceAnotherKey(t *testing.T, s *service, key string) {
	another := s.newKey(t, s.near)
	m := wrapNew(t, s.keyring(t, another))
	k := s.keyring(t, key)
	refuses(t, k, m.EncryptedDataKeys)
	lie := named(key, m.EncryptedDataKeys)
	s.failed(t, refuses(t, k, lie), "Decrypt", "IncorrectKeyException")
	s.failed(t, refuses(t, s.discovery(t, s.near, key, account(key)), lie), "Decrypt", "IncorrectKeyException")
	unwraps(t, s.keyring(t, another), m)
}

func evidenceAlias(t *testing.T, s *service, key string) {
	name, arn := s.newAlias(t, key)
	for _, id := range []string{name, arn} {
		t.Run(id[:strings.Index(id, "alias/")]+"alias", func(t *testing.T) {
			got, err := awskms.ResolveKey(t.Context(), s.client(s.near), id)
			require.NoError(t, err)
			require.Equal(t, key, got)

			k := s.keyring(t, id, got)
			m := wrapNew(t, k)
			require.Equal(t, key, string(m.EncryptedDataKeys[0].ProviderInfo), "the header must name the key's ARN")
			unwraps(t, k, m)
			unwraps(t, s.keyring(t, key), m)
			given := &keyring.EncryptionMaterials{Suite: suite, Context: testContext, DataKey: bytes.Clone(m.DataKey)}
			require.NoError(t, k.OnEncrypt(t.Context(), given))
			require.Equal(t, key, string(given.EncryptedDataKeys[0].ProviderInfo))
			unwraps(t, k, given)

			encrypter, err := awskms.NewEncrypter(awskms.Config{Client: s.client(s.near), KeyID: id})
			require.NoError(t, err)
			unwraps(t, s.keyring(t, key), wrapNew(t, encrypter))
		})
	}
}

// evidenceAliasRepointed rotates a key the way imported keys are.
func evidenceAliasRepointed(t *testing.T, s *service, first string) {
	second := s.newKey(t, s.near)
	name, arn := s.newAlias(t, first)
	for _, id := range []string{name, arn} {
		t.Run(id[:strings.Index(id, "alias/")]+"alias", func(t *testing.T) {
			point := func(key string) {
				_, err := s.client(s.near).UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: &key})
				require.NoError(t, err)
				got, err := awskms.ResolveKey(t.Context(), s.client(s.near), id)
				require.NoError(t, err)
				require.Equal(t, key, got)
			}
			point(first)
			both := s.keyring(t, id, first, second)
			before := wrapNew(t, both)
			require.Equal(t, first, string(before.EncryptedDataKeys[0].ProviderInfo))
			point(second)
			after := wrapNew(t, both)
			require.Equal(t, second, string(after.EncryptedDataKeys[0].ProviderInfo))

			unwraps(t, both, before)
			unwraps(t, both, after)
			onlyNew := s.keyring(t, id, second)
			refuses(t, onlyNew, before.EncryptedDataKeys)
			unwraps(t, onlyNew, after)
			discovery := s.discovery(t, s.near, first, account(first))
			unwraps(t, discovery, before)
			unwraps(t, discovery, after)
		})
	}
}

// evidenceReEncrypt moves a wrapped key to another KMS key, and to another
// encryption context, within the service.
func evidenceReEncrypt(t *testing.T, s *service, from string) {
	to := s.newKey(t, s.near)
	source, destination := s.keyring(t, from), s.keyring(t, to)
	m := wrapNew(t, source)
	moved := keyring.EncryptionContext{"tenant": "42", "moved": "yes"}
	for name, ec := range map[string]keyring.EncryptionContext{"same context": testContext, "new context": moved} {
		t.Run(name, func(t *testing.T) {
			out, err := s.client(s.near).ReEncrypt(t.Context(), &kms.ReEncryptInput{
				CiphertextBlob: m.EncryptedDataKeys[0].Ciphertext,
				SourceKeyId:    &from, SourceEncryptionContext: testContext,
				DestinationKeyId: &to, DestinationEncryptionContext: ec,
			})
			require.NoError(t, err)
			require.Equal(t, from, *out.SourceKeyId)
			require.Equal(t, to, *out.KeyId)
			keys := []keyring.EncryptedDataKey{{ProviderID: awskms.ProviderID, ProviderInfo: []byte(*out.KeyId), Ciphertext: out.CiphertextBlob}}
			d := &keyring.DecryptionMaterials{Suite: suite, Context: ec}
			require.NoError(t, destination.OnDecrypt(t.Context(), d, keys))
			assert.Equal(t, m.DataKey, d.DataKey)

			// The old key has no part in it any more.
			d = &keyring.DecryptionMaterials{Suite: suite, Context: ec}
			require.ErrorIs(t, source.OnDecrypt(t.Context(), d, keys), keyring.ErrNoMatchingKey)
			s.failed(t, source.OnDecrypt(t.Context(), d, named(from, keys)), "Decrypt", "IncorrectKeyException")
			require.Nil(t, d.DataKey)
		})
	}
	unwraps(t, source, m)

	_, err := s.client(s.near).ReEncrypt(t.Context(), &kms.ReEncryptInput{
		CiphertextBlob: m.EncryptedDataKeys[0].Ciphertext,
		SourceKeyId:    &from, SourceEncryptionContext: moved, DestinationKeyId: &to,
	})
	require.ErrorContains(t, err, "InvalidCiphertextException")
}

// evidenceAnotherRegion asks a region for a key of another one.
func evidenceAnotherRegion(t *testing.T, s *service, key string) {
	m := wrapNew(t, s.keyring(t, key))
	for name, id := range map[string]string{
		"its ID": keyID(key), "an ARN of its ID there": inRegion(key, s.far),
	} {
		t.Run(name, func(t *testing.T) {
			k, err := awskms.New(awskms.Config{Client: s.client(s.far), KeyID: id})
			require.NoError(t, err)
			s.failed(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}), "GenerateDataKey", "NotFoundException")
			_, err = awskms.ResolveKey(t.Context(), s.client(s.far), id)
			s.failed(t, err, "DescribeKey", "NotFoundException")
			wrapped := named(inRegion(key, s.far), m.EncryptedDataKeys)
			s.failed(t, refuses(t, k, wrapped), "Decrypt", "NotFoundException")
		})
	}
	refuses(t, s.discovery(t, s.far, key, account(key)), m.EncryptedDataKeys)
	unwraps(t, s.discovery(t, s.near, key, account(key)), m)
}

// evidenceTwoRegions has independent keys in two regions stand in for each other.
func evidenceTwoRegions(t *testing.T, s *service, near string) {
	far := s.newKey(t, s.far)
	k := s.regions(t, near, far)
	m := wrapNew(t, k)
	require.Len(t, m.EncryptedDataKeys, 2)
	unwraps(t, k, m)
	inNear, inFar := s.keyring(t, near), s.discovery(t, s.far, far, account(far))
	unwraps(t, inNear, m)
	unwraps(t, inFar, m)
	for i, edk := range m.EncryptedDataKeys {
		alone := []keyring.EncryptedDataKey{edk}
		got, err := unwrap(t, k, alone)
		require.NoError(t, err)
		assert.Equal(t, m.DataKey, got)
		only, not := keyring.Decrypter(inNear), keyring.Decrypter(inFar)
		if i == 1 {
			only, not = not, only
		}
		_, err = unwrap(t, only, alone)
		require.NoError(t, err)
		refuses(t, not, alone)
	}

	both, err := awskms.NewMulti(
		awskms.Config{Client: s.client(s.far), KeyID: far},
		awskms.Config{Client: s.client(s.near), KeyID: near})
	require.NoError(t, err)
	m = wrapNew(t, both)
	unwraps(t, inNear, m)
	unwraps(t, inFar, m)
	unwraps(t, k, m)

	// What one region wrapped is nothing to the other's key.
	refuses(t, inNear, named(near, wrapNew(t, k).EncryptedDataKeys[1:]))
}

func evidenceRotation(t *testing.T, s *service, key string) {
	client, k := s.client(s.near), s.keyring(t, key)
	before := wrapNew(t, k)
	_, err := client.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: &key})
	require.NoError(t, err)
	wrapped := []*keyring.EncryptionMaterials{before}
	for range 2 {
		_, err = client.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &key})
		require.NoError(t, err)
		wrapped = append(wrapped, wrapNew(t, k))
	}
	for _, m := range wrapped {
		require.Equal(t, key, string(m.EncryptedDataKeys[0].ProviderInfo), "a rotated key keeps its ARN")
		unwraps(t, k, m)
	}
}

func evidenceDiscovery(t *testing.T, s *service, key string) {
	m := wrapNew(t, s.keyring(t, key))
	parts := strings.Split(key, ":")
	partition := parts[1]
	for name, c := range map[string]struct {
		config  awskms.DiscoveryConfig
		unwraps bool
	}{
		"own account":       {awskms.DiscoveryConfig{Partition: partition, Accounts: []string{strangeAccount, account(key)}}, true},
		"any account":       {awskms.DiscoveryConfig{Partition: partition, AnyAccount: true}, true},
		"another account":   {awskms.DiscoveryConfig{Partition: partition, Accounts: []string{strangeAccount}}, false},
		"another partition": {awskms.DiscoveryConfig{Partition: "aws-iso", Accounts: []string{account(key)}}, false},
		"another region":    {awskms.DiscoveryConfig{Partition: partition, Accounts: []string{account(key)}, Region: s.far}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.Client = s.client(s.near)
			if c.config.Region != "" {
				// A client that tells its region must be of the one in the config.
				c.config.Client = struct{ awskms.DecryptClient }{c.config.Client}
			}
			for _, c.config.MRKAware = range []bool{false, true} {
				k, err := awskms.NewDiscovery(c.config)
				require.NoError(t, err)
				if c.unwraps {
					unwraps(t, k, m)
				} else {
					refuses(t, k, m.EncryptedDataKeys)
				}
			}
		})
	}

	// What a header names but the service does not have.
	k := s.discovery(t, s.near, key, account(key))
	s.failed(t, refuses(t, k, named(strangeKey(key), m.EncryptedDataKeys)), "Decrypt", "NotFoundException")
	got, err := unwrap(t, k, append(named(strangeKey(key), m.EncryptedDataKeys), m.EncryptedDataKeys...))
	require.NoError(t, err)
	assert.Equal(t, m.DataKey, got)
}

// evidenceMessages takes whole messages there and back.
func evidenceMessages(t *testing.T, s *service, key string) {
	for _, suite := range evidenceSuites {
		t.Run(suite.String(), func(t *testing.T) {
			options := &envelope.Options{Suite: suite}
			if !suite.Commits() {
				options.CommitmentPolicy = keyring.ForbidEncryptAllowDecrypt
			}
			client, err := envelope.New(s.keyring(t, key), options)
			require.NoError(t, err)
			decrypter, err := envelope.NewDecrypter(s.discovery(t, s.near, key, account(key)), options)
			require.NoError(t, err)
			stranger, err := envelope.New(s.keyring(t, strangeKey(key)), options)
			require.NoError(t, err)
			for _, length := range []int{0, 64, 10_000} {
				plaintext := bytes.Repeat([]byte{'x'}, length)
				message, err := client.Encrypt(t.Context(), plaintext, testContext)
				require.NoError(t, err)
				header, err := envelope.ParseHeader(bytes.NewReader(message), nil)
				require.NoError(t, err)
				require.Len(t, header.EncryptedDataKeys, 1)
				assert.Equal(t, key, string(header.EncryptedDataKeys[0].ProviderInfo))

				got, err := client.Decrypt(t.Context(), message, testContext)
				require.NoError(t, err)
				assert.True(t, bytes.Equal(plaintext, got))
				r, err := decrypter.NewReader(t.Context(), bytes.NewReader(message), testContext)
				require.NoError(t, err)
				got, err = io.ReadAll(r)
				require.NoError(t, err)
				assert.True(t, bytes.Equal(plaintext, got))

				_, err = stranger.Decrypt(t.Context(), message, testContext)
				require.ErrorIs(t, err, keyring.ErrNoMatchingKey)

				// The service, and not the header's tag alone, holds the context.
				at := bytes.Index(message, []byte("tenant"))
				require.Positive(t, at)
				message[at] = 'T'
				_, err = client.Decrypt(t.Context(), message, nil)
				s.failed(t, err, "Decrypt", "InvalidCiphertextException")
			}
		})
	}
}
