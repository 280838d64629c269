package branchkeytest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/go-sealring/sealring/keyring/branchkey"
)

// A PlaintextStoreForTests keeps branch keys in the clear, in memory, without KMS. It is
// for test vectors whose branch keys are known, and protects nothing.
type PlaintextStoreForTests struct{ store *MemoryStore }

const (
	plaintextName = "plaintext for tests"
	plaintextARN  = "arn:aws:kms:us-east-1:000000000000:key/plaintext-for-tests"
)

// NewPlaintextStoreForTests returns an empty store.
func NewPlaintextStoreForTests() *PlaintextStoreForTests {
	return &PlaintextStoreForTests{NewMemoryStore()}
}

// KeyStore returns a key store over it.
func (p *PlaintextStoreForTests) KeyStore() *branchkey.KeyStore {
	return PlaintextKeyStoreForTests(p.store)
}

// PlaintextKeyStoreForTests returns a key store over any store, without KMS: it keeps branch
// keys in the clear, and protects nothing.
func PlaintextKeyStoreForTests(s branchkey.Store) *branchkey.KeyStore {
	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: s, Name: plaintextName, Client: plaintextKMS{}, KeyARN: plaintextARN,
	})
	if err != nil {
		panic(err) // every argument is good
	}
	return keys
}

// Add puts a branch key into the store, with its version (a UUID in lower case) as the
// active one, and with its beacon key if that is not nil. Keys are 32 bytes.
func (p *PlaintextStoreForTests) Add(id, version string, branchKey, beaconKey []byte) error {
	item := func(itemType string, key []byte) branchkey.Put {
		it := branchkey.Item{ID: id, Type: itemType, Attributes: map[string]string{
			"kms-arn": plaintextARN, "create-time": "2026-01-01T00:00:00.000000Z", "hierarchy-version": "1",
		}}
		if itemType == "branch:ACTIVE" {
			it.Attributes["version"] = "branch:version:" + version
		}
		ec := maps.Clone(it.Attributes)
		ec["branch-key-id"], ec["type"], ec["tablename"] = id, itemType, plaintextName
		it.Enc = bind(key, ec)
		return branchkey.Put{Item: it}
	}
	puts := []branchkey.Put{item("branch:version:"+version, branchKey), item("branch:ACTIVE", branchKey)}
	if beaconKey != nil {
		puts = append(puts, item("beacon:ACTIVE", beaconKey))
	}
	return p.store.Put(context.Background(), puts...)
}

// plaintextKMS stands for KMS: what it wraps is a hash of the encryption context, and the
// key behind it as it is.
type plaintextKMS struct{}

func bind(key []byte, ec map[string]string) []byte {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(ec)) {
		fmt.Fprintf(h, "%q=%q\n", name, ec[name])
	}
	return append(h.Sum(nil), key...)
}

func open(blob []byte, ec map[string]string) ([]byte, error) {
	if len(blob) < sha256.Size || !bytes.Equal(bind(blob[sha256.Size:], ec), blob) {
		return nil, &types.InvalidCiphertextException{}
	}
	return bytes.Clone(blob[sha256.Size:]), nil
}

func (plaintextKMS) GenerateDataKeyWithoutPlaintext(ctx context.Context, in *kms.GenerateDataKeyWithoutPlaintextInput, _ ...func(*kms.Options)) (*kms.GenerateDataKeyWithoutPlaintextOutput, error) {
	key := make([]byte, *in.NumberOfBytes)
	rand.Read(key)
	return &kms.GenerateDataKeyWithoutPlaintextOutput{KeyId: in.KeyId, CiphertextBlob: bind(key, in.EncryptionContext)}, ctx.Err()
}

func (plaintextKMS) ReEncrypt(ctx context.Context, in *kms.ReEncryptInput, _ ...func(*kms.Options)) (*kms.ReEncryptOutput, error) {
	key, err := open(in.CiphertextBlob, in.SourceEncryptionContext)
	if err != nil {
		return nil, err
	}
	return &kms.ReEncryptOutput{
		SourceKeyId: in.SourceKeyId, KeyId: in.DestinationKeyId, CiphertextBlob: bind(key, in.DestinationEncryptionContext),
	}, ctx.Err()
}

func (plaintextKMS) Decrypt(ctx context.Context, in *kms.DecryptInput, _ ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	key, err := open(in.CiphertextBlob, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	return &kms.DecryptOutput{KeyId: in.KeyId, Plaintext: key}, ctx.Err()
}
