package interop

import (
	"crypto/hkdf"
	"crypto/sha512"
	"testing"
	"time"

	keystore "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographykeystoresmithygenerated"
	keystoretypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographykeystoresmithygeneratedtypes"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/internal/mototest"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/dynamostore"
)

// A table is one of branch keys that both sides use, in moto's DynamoDB.
type table struct {
	kms    service
	keyARN string
	ours   *branchkey.KeyStore
	theirs *keystore.Client
}

const tableName, logicalName = "branch-keys", "logical name"

// newTable has us make the table, or AWS's SDK.
func newTable(t *testing.T, byAWS bool) *table {
	url := mototest.Start(t)
	ddb := dynamodb.New(dynamodb.Options{Region: here, BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")})
	b := &table{kms: service{kmstest.Start(t, kmstest.Config{Regions: []string{here, there}}), t}}
	b.keyARN = b.kms.CreateKey(here, kmstest.SymmetricDefault)
	store, err := dynamostore.New(dynamostore.Config{Client: ddb, Table: tableName})
	require.NoError(t, err)
	b.ours, err = branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: store, Name: logicalName, Client: b.kms.client(here), KeyARN: b.keyARN,
	})
	require.NoError(t, err)
	b.theirs, err = keystore.NewClient(keystoretypes.KeyStoreConfig{
		DdbTableName: tableName, LogicalKeyStoreName: logicalName, DdbClient: ddb, KmsClient: b.kms.client(here),
		KmsConfiguration: &keystoretypes.KMSConfigurationMemberkmsKeyArn{Value: b.keyARN},
	})
	require.NoError(t, err)
	if byAWS {
		_, err = b.theirs.CreateKeyStore(t.Context(), keystoretypes.CreateKeyStoreInput{})
		require.NoError(t, err)
	}
	require.NoError(t, store.CreateTable(t.Context()))
	if !byAWS {
		_, err = b.theirs.CreateKeyStore(t.Context(), keystoretypes.CreateKeyStoreInput{})
		require.NoError(t, err)
	}
	return b
}

// pair returns keyrings of both sides for a branch key, which hold nothing yet.
func (b *table) pair(t *testing.T, id string) keyPair {
	o, err := branchkey.New(branchkey.Config{KeyStore: b.ours, ID: id, Limits: cache.Limits{MaxAge: time.Hour}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = o.Close() })
	a, err := awsProviders(t).CreateAwsKmsHierarchicalKeyring(t.Context(), mpltypes.CreateAwsKmsHierarchicalKeyringInput{
		KeyStore: b.theirs, BranchKeyId: &id, TtlSeconds: 3600,
	})
	require.NoError(t, err)
	return same("branch key", o, a)
}

// agree has both sides read the same of a branch key.
func (b *table) agree(t *testing.T, id string, ec keyring.EncryptionContext) (version string) {
	k, err := b.ours.Active(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, ec, k.Context)
	a, err := b.theirs.GetActiveBranchKey(t.Context(), keystoretypes.GetActiveBranchKeyInput{BranchKeyIdentifier: id})
	require.NoError(t, err)
	assert.Equal(t, a.BranchKeyMaterials.BranchKeyVersion, k.Version)

	_, err = b.theirs.GetBranchKeyVersion(t.Context(), keystoretypes.GetBranchKeyVersionInput{BranchKeyIdentifier: id, BranchKeyVersion: k.Version})
	require.NoError(t, err)
	_, err = b.ours.ByVersion(t.Context(), id, k.Version)
	require.NoError(t, err)

	beacon, err := b.ours.Beacon(t.Context(), id)
	require.NoError(t, err)
	got, err := beacon.Derive("ssn")
	require.NoError(t, err)
	theirs, err := b.theirs.GetBeaconKey(t.Context(), keystoretypes.GetBeaconKeyInput{BranchKeyIdentifier: id})
	require.NoError(t, err)
	want, err := hkdf.Key(sha512.New, theirs.BeaconKeyMaterials.BeaconKey, nil, "AWS_DBE_SCAN_BEACONssn", 64)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	return k.Version
}

// TestBranchKeys has each side create a branch key and make versions of it, both sides read
// all of them, and messages go both ways.
func TestBranchKeys(t *testing.T) {
	ec := keyring.EncryptionContext{"tenant": "42", "ключ": "значение"}
	for name, byAWS := range map[string]bool{"table by sealring": false, "table by AWS": true} {
		t.Run(name, func(t *testing.T) {
			b := newTable(t, byAWS)
			createOurs := func(id string) {
				_, err := b.ours.Create(t.Context(), id, ec)
				require.NoError(t, err)
			}
			createTheirs := func(id string) {
				_, err := b.theirs.CreateKey(t.Context(), keystoretypes.CreateKeyInput{BranchKeyIdentifier: &id, EncryptionContext: ec})
				require.NoError(t, err)
			}
			versionOurs := func(id string) {
				_, err := b.ours.Version(t.Context(), id)
				require.NoError(t, err)
			}
			versionTheirs := func(id string) {
				_, err := b.theirs.VersionKey(t.Context(), keystoretypes.VersionKeyInput{BranchKeyIdentifier: id})
				require.NoError(t, err)
			}
			for id, steps := range map[string][]func(string){
				"ours":            {createOurs, versionTheirs, versionOurs, versionTheirs},
				"theirs":          {createTheirs, versionOurs, versionTheirs, versionOurs},
				"ours for tenant": {createOurs, versionOurs},
			} {
				type message struct {
					d   direction
					msg []byte
				}
				var messages []message
				c := newExchange(keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384)
				seen := map[string]bool{}
				for _, step := range steps {
					step(id)
					version := b.agree(t, id, ec)
					assert.False(t, seen[version], "the version stayed the same")
					seen[version] = true
					pair := b.pair(t, id)
					for _, d := range pair.directions() {
						d.passes(t, c, 519, id)
						msg, err := d.writer.encrypt(t, c, []byte("plaintext"))
						require.NoError(t, err)
						messages = append(messages, message{d, msg})
					}
				}
				infos, err := b.ours.List(t.Context(), id)
				require.NoError(t, err)
				assert.Len(t, infos, len(steps))
				// What was written under old versions, with keyrings that hold nothing.
				for i, d := range b.pair(t, id).directions() {
					for _, m := range messages {
						got, err := d.reader.decrypt(t, c, m.msg)
						require.NoError(t, err, "%d", i)
						assert.Equal(t, "plaintext", string(got))
					}
				}
			}
			pair := b.pair(t, "ours")
			for _, s := range suite.IDs[keyring.Suite]() {
				c := newExchange(s)
				for _, context := range []keyring.EncryptionContext{nil, two, unicode} {
					c.context = context
					for _, d := range pair.directions() {
						d.passes(t, c, 10, s.String())
					}
				}
			}
			c := newExchange(keyring.SuiteAES256GCMHKDFSHA512Commit)
			c.context, c.required, c.reproduced = unicode, []string{"z"}, unicode
			for _, d := range pair.directions() {
				d.passes(t, c, 10, "a pair that is not stored")
			}
		})
	}
}
