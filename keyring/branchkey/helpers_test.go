package branchkey_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
)

const (
	east = "us-east-1"
	west = "us-west-2"

	suite = keyring.SuiteAES256GCMHKDFSHA512Commit

	typeActive = "branch:ACTIVE"
	typeBeacon = "beacon:ACTIVE"
	storeName  = "tenant keys"
)

var tenant = keyring.EncryptionContext{"tenant": "42"}

// newServer returns a server that also works in simulated time.
func newServer(t testing.TB) *kmstest.Server {
	return kmstest.Start(t, kmstest.Config{Regions: []string{east, west}, NoNetwork: true})
}

// newClient returns the SDK's client for a region, which tries every call once.
func newClient(s *kmstest.Server, region string) *kms.Client {
	return kms.New(kms.Options{
		Region: region, BaseEndpoint: aws.String(s.URL(region)), RetryMaxAttempts: 1,
		HTTPClient: s.Client(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

// A world is a key store with all that it needs.
type world struct {
	kms   *kmstest.Server
	key   string
	store *testStore
	keys  *branchkey.KeyStore
}

func newWorld(t testing.TB) *world {
	w := &world{kms: newServer(t), store: &testStore{Store: branchkeytest.NewMemoryStore()}}
	w.key = w.kms.CreateKey(east, kmstest.SymmetricDefault)
	w.keys = w.keyStore(t, nil)
	return w
}

// keyStore returns another key store over the same table.
func (w *world) keyStore(t testing.TB, change func(*branchkey.KeyStoreConfig)) *branchkey.KeyStore {
	c := branchkey.KeyStoreConfig{Store: w.store, Name: storeName, Client: newClient(w.kms, east), KeyARN: w.key}
	if change != nil {
		change(&c)
	}
	keys, err := branchkey.NewKeyStore(c)
	require.NoError(t, err)
	return keys
}

// create makes a branch key with tenant as its context.
func (w *world) create(t testing.TB, id string) {
	_, err := w.keys.Create(t.Context(), id, tenant)
	require.NoError(t, err)
}

func (w *world) keyring(t testing.TB, change func(*branchkey.Config)) *branchkey.Keyring {
	c := branchkey.Config{KeyStore: w.keys, ID: "a", Limits: cache.Limits{MaxAge: time.Hour}}
	if change != nil {
		change(&c)
	}
	k, err := branchkey.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func (w *world) item(t testing.TB, id, itemType string) branchkey.Item {
	it, err := w.store.Store.Get(t.Context(), id, itemType)
	require.NoError(t, err)
	return it
}

// alter changes an item in the table.
func (w *world) alter(t testing.TB, id, itemType string, change func(*branchkey.Item)) {
	it := w.item(t, id, itemType)
	before := it.Enc
	it.Enc = append([]byte{}, before...)
	change(&it)
	require.NoError(t, w.store.Store.Put(t.Context(), branchkey.Put{Item: it, Replaces: before}))
}

// by asks for the branch key that the pair "tenant" names.
func by(c *branchkey.Config) {
	c.ID = ""
	c.Supplier = func(ec keyring.EncryptionContext) (string, error) { return ec["tenant"], nil }
}

func wrapNew(t testing.TB, k keyring.Encrypter, ec keyring.EncryptionContext) *keyring.EncryptionMaterials {
	t.Helper()
	m := &keyring.EncryptionMaterials{Suite: suite, Context: ec}
	require.NoError(t, k.OnEncrypt(t.Context(), m))
	return m
}

func unwrap(t testing.TB, k keyring.Decrypter, m *keyring.EncryptionMaterials) ([]byte, error) {
	return unwrapUnder(t.Context(), k, m)
}

func unwrapUnder(ctx context.Context, k keyring.Decrypter, m *keyring.EncryptionMaterials) ([]byte, error) {
	d := &keyring.DecryptionMaterials{Suite: m.Suite, Context: m.Context}
	err := k.OnDecrypt(ctx, d, m.EncryptedDataKeys)
	return d.DataKey, err
}

func unwraps(t testing.TB, k keyring.Decrypter, m *keyring.EncryptionMaterials) {
	t.Helper()
	got, err := unwrap(t, k, m)
	require.NoError(t, err)
	require.Equal(t, m.DataKey, got)
}

// testStore is a store that counts, fails and answers as a test says.
type testStore struct {
	branchkey.Store
	gets  func() error // called before each Get, if not nil
	puts  func() error // called before each Put, if not nil
	other func(branchkey.Item) branchkey.Item
}

func (s *testStore) Get(ctx context.Context, id, itemType string) (branchkey.Item, error) {
	if s.gets != nil {
		if err := s.gets(); err != nil {
			return branchkey.Item{}, err
		}
	}
	it, err := s.Store.Get(ctx, id, itemType)
	if err == nil && s.other != nil {
		it = s.other(it)
	}
	return it, err
}

func (s *testStore) Put(ctx context.Context, puts ...branchkey.Put) error {
	if s.puts != nil {
		if err := s.puts(); err != nil {
			return err
		}
	}
	return s.Store.Put(ctx, puts...)
}

var limits = cache.Limits{MaxAge: time.Hour}
