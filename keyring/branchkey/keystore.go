package branchkey

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
)

// A Client is what a key store needs of a [kms.Client]. A type that wraps one must pass on
// the options of each call. If it has a method Region() string, NewKeyStore checks that
// it asks the key's region, as it does with a kms.Client.
type Client interface {
	GenerateDataKeyWithoutPlaintext(context.Context, *kms.GenerateDataKeyWithoutPlaintextInput, ...func(*kms.Options)) (*kms.GenerateDataKeyWithoutPlaintextOutput, error)
	ReEncrypt(context.Context, *kms.ReEncryptInput, ...func(*kms.Options)) (*kms.ReEncryptOutput, error)
	Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

var _ Client = (*kms.Client)(nil)

const (
	generateOperation  = "GenerateDataKeyWithoutPlaintext"
	reEncryptOperation = "ReEncrypt"
	decryptOperation   = "Decrypt"
)

// KeyStoreConfig says where branch keys are and which KMS key wraps them.
type KeyStoreConfig struct {
	// Store is the table.
	Store Store

	// Name is the logical name of the key store, which every wrapped key is bound to. It
	// need not be the table's. It must be the same wherever the table is used, and can
	// never be changed. UTF-8, not empty.
	Name string

	// Client asks KMS in the region of the key.
	Client Client

	// KeyARN is the ARN of the KMS key that wraps branch keys. What another key has
	// wrapped is not read. It is empty with Discovery.
	KeyARN string

	// MRKAware lets a replica of a multi-Region key unwrap what another replica has
	// wrapped: that of KeyARN is asked, or with Discovery the one in its region.
	MRKAware bool

	// Discovery, if not nil, takes the place of KeyARN: the KMS key that an item names is
	// asked.
	Discovery *Discovery

	// GrantTokens go with every request to KMS.
	GrantTokens []string

	// Observer hears of the calls to KMS. A request is a read of the table and a call for
	// what it has, or all that makes a new version.
	Observer awskms.Observer
}

// A KeyStore makes branch keys and reads them. It keeps none: a [Keyring] does. It is
// safe for concurrent use.
//
// Create and Version have KMS make a branch key and wrap it, so that an administrator who
// calls them needs no kms:Decrypt and never has the key.
type KeyStore struct {
	store       Store
	name        string
	client      Client
	keys        keyChoice
	grantTokens []string
	options     []func(*kms.Options)
	now         func() time.Time
	observer    awskms.Observer

	mu       sync.Mutex
	keyrings map[*Keyring]struct{} // not closed
}

// NewKeyStore returns a key store. It makes no call.
//
// Source: framework/branch-key-store.md of the AWS Encryption SDK specification.
func NewKeyStore(c KeyStoreConfig) (*KeyStore, error) {
	switch {
	case c.Store == nil:
		return nil, invalid("KeyStoreConfig.Store is nil")
	case c.Client == nil:
		return nil, invalid("KeyStoreConfig.Client is nil")
	case c.Name == "" || !utf8.ValidString(c.Name) || len(c.Name) > maxID:
		return nil, invalid("KeyStoreConfig.Name is empty, not UTF-8, or longer than %d bytes", maxID)
	}
	keys, err := newKeyChoice(c)
	if err != nil {
		return nil, err
	}
	return &KeyStore{
		store: c.Store, name: c.Name, client: c.Client, keys: keys,
		grantTokens: slices.Clone(c.GrantTokens), options: kmscall.Options(keys.region), now: time.Now,
		observer: c.Observer, keyrings: map[*Keyring]struct{}{},
	}, nil
}

// Create makes a branch key with its first version, and returns its ID. With an empty ID
// that is a new UUID. An ID of the caller's own, of at most 2,048 bytes, needs an
// encryption context, which is bound to the branch key and can be read by whoever can read
// the table. If the ID exists the error is [ErrExists], and what is there stays as it is.
//
// When Create fails for an outage of the table, the branch key may have been made.
func (s *KeyStore) Create(ctx context.Context, id string, ec keyring.EncryptionContext) (string, error) {
	ctx, ended := s.request(ctx, awskms.WriteBranchKey)
	id, err := s.create(ctx, id, ec)
	ended(err)
	return id, err
}

func (s *KeyStore) create(ctx context.Context, id string, ec keyring.EncryptionContext) (string, error) {
	if err := s.canCreate(); err != nil {
		return "", err
	}
	switch {
	case id == "":
		id = newUUID().String()
	case len(ec) == 0:
		return "", invalid("a branch key with an ID of your own needs an encryption context, such as the tenant's name")
	}
	if err := checkID(id); err != nil {
		return "", err
	}
	if err := ec.Validate(); err != nil {
		return "", err
	}
	attributes := map[string]string{kmsAttribute: s.keys.own.String()}
	for k, v := range ec {
		if k == "" {
			return "", invalid("encryption context: a key is empty")
		}
		attributes[ownPrefix+k] = v
	}
	version, active, err := s.newVersion(ctx, id, attributes)
	if err != nil {
		return "", err
	}
	beacon := Item{ID: id, Type: typeBeacon, Attributes: maps.Clone(version.Attributes)}
	if err := s.generate(ctx, &beacon); err != nil {
		return "", err
	}
	err = s.store.Put(ctx, Put{Item: version}, Put{Item: active}, Put{Item: beacon})
	if errors.Is(err, ErrConflict) {
		return "", &Error{ID: id, err: ErrExists}
	}
	if err != nil {
		return "", storeFailed(ctx, id, "", err)
	}
	return id, nil
}

// Version gives a branch key a new version, makes it the active one, and returns its UUID.
// What the old versions have wrapped can still be read. Keyrings that write take the new
// one within their Limits.MaxAge, and StaleFor if the table or KMS cannot be reached, or at
// once after [Keyring.Purge]; a data-key cache before one goes on with its data keys for its
// own MaxAge, or until its PurgeKey.
//
// If somebody else does the same at the same time, one of them gets [ErrConflict].
// When Version fails for an outage of the table, the new version may be active.
func (s *KeyStore) Version(ctx context.Context, id string) (string, error) {
	ctx, ended := s.request(ctx, awskms.WriteBranchKey)
	version, err := s.version(ctx, id)
	ended(err)
	return version, err
}

func (s *KeyStore) version(ctx context.Context, id string) (string, error) {
	if err := s.canCreate(); err != nil {
		return "", err
	}
	old, err := s.get(ctx, id, typeActive)
	if err != nil {
		return "", err
	}
	// Who can write to the table could else have attributes of their own carried over.
	ec := s.kmsContext(old)
	if _, err := s.reEncrypt(ctx, old, ec, ec); err != nil {
		return "", err
	}
	attributes := map[string]string{kmsAttribute: old.Attributes[kmsAttribute]}
	for name, value := range old.Attributes {
		if strings.HasPrefix(name, ownPrefix) {
			attributes[name] = value
		}
	}
	version, active, err := s.newVersion(ctx, id, attributes)
	if err != nil {
		return "", err
	}
	err = s.store.Put(ctx, Put{Item: version}, Put{Item: active, Replaces: old.Enc})
	if err != nil {
		return "", storeFailed(ctx, id, typeActive, err)
	}
	return strings.TrimPrefix(version.Type, versionPrefix), nil
}

// newVersion has KMS make a branch key, and returns it as the item of a new version and as
// the active item. It takes the attributes over.
func (s *KeyStore) newVersion(ctx context.Context, id string, attributes map[string]string) (version, active Item, err error) {
	attributes[createdAttribute] = s.now().UTC().Format(timeLayout)
	attributes[hierarchyAttribute] = hierarchyVersion
	version = Item{ID: id, Type: versionPrefix + newUUID().String(), Attributes: attributes}
	active = Item{ID: id, Type: typeActive, Attributes: maps.Clone(attributes)}
	active.Attributes[versionAttribute] = version.Type
	to := s.kmsContext(active)
	if n := contextSize(to); n > maxKMSPairs {
		return Item{}, Item{}, invalid("the ID, its encryption context and the key store's name are %d bytes together with what is added, KMS takes %d", n, maxKMSPairs)
	}
	if err := s.generate(ctx, &version); err != nil {
		return Item{}, Item{}, err
	}
	active.Enc, err = s.reEncrypt(ctx, version, s.kmsContext(version), to)
	return version, active, err
}

func (s *KeyStore) canCreate() error {
	if s.keys.discovery != nil {
		return invalid("a key store with Discovery cannot make branch keys: it does not say which KMS key should wrap them")
	}
	return nil
}

func checkID(id string) error {
	if id == "" || len(id) > maxID || !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		return invalid("the branch key's ID %q is empty, not UTF-8, has a zero byte, or is longer than %d bytes", kmscall.Clip(id), maxID)
	}
	return nil
}

// generate has KMS make the key of an item.
func (s *KeyStore) generate(ctx context.Context, it *Item) error {
	n := int32(keyLen)
	keyARN, ec := s.keys.own.String(), s.kmsContext(*it)
	began := time.Now()
	out, err := s.client.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyWithoutPlaintextInput{
		KeyId: &keyARN, NumberOfBytes: &n, EncryptionContext: ec, GrantTokens: s.grantTokens,
	}, s.options...)
	if err == nil {
		err = checkAnswer(out.CiphertextBlob, keyARN, out.KeyId)
	}
	if err != nil {
		err = s.kmsFailed(ctx, generateOperation, keyARN, *it, ec, err)
	}
	s.called(ctx, began, generateOperation, err)
	if err != nil {
		return err
	}
	it.Enc = out.CiphertextBlob
	return nil
}

// reEncrypt has KMS bind the key of an item to another context.
func (s *KeyStore) reEncrypt(ctx context.Context, it Item, from, to map[string]string) ([]byte, error) {
	keyARN, err := s.keys.choose(it)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	out, err := s.client.ReEncrypt(ctx, &kms.ReEncryptInput{
		SourceKeyId: &keyARN, SourceEncryptionContext: from, CiphertextBlob: it.Enc,
		DestinationKeyId: &keyARN, DestinationEncryptionContext: to, GrantTokens: s.grantTokens,
	}, s.options...)
	if err == nil {
		err = checkAnswer(out.CiphertextBlob, keyARN, out.SourceKeyId, out.KeyId)
	}
	if err != nil {
		err = s.kmsFailed(ctx, reEncryptOperation, keyARN, it, from, err)
	}
	s.called(ctx, began, reEncryptOperation, err)
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

// checkAnswer checks that KMS has answered with the key that was asked for, and with a
// wrapped key.
func checkAnswer(ciphertext []byte, want string, answered ...*string) error {
	for _, a := range answered {
		if a == nil || *a != want {
			return kmscall.BadAnswer("%s", kmscall.AnsweredAs(a))
		}
	}
	if n := len(ciphertext); n == 0 || n > kmscall.MaxCiphertext {
		return kmscall.BadAnswer("a ciphertext of %d bytes", n)
	}
	return nil
}

// Active reads the active version of a branch key: one read of the table, and one
// kms:Decrypt. It is to find out what is there, and whether it can be read; a [Keyring]
// reads what it needs itself.
func (s *KeyStore) Active(ctx context.Context, id string) (*Key, error) {
	return s.read(ctx, id, typeActive)
}

// ByVersion reads a version of a branch key: one read of the table, and one kms:Decrypt.
// The version is a UUID in lower case. If the table does not have it, ByVersion looks
// once more after a moment, since it may be so new that a replica of the table lacks it.
func (s *KeyStore) ByVersion(ctx context.Context, id, version string) (*Key, error) {
	if _, ok := parseUUID(version); !ok {
		return nil, invalid("version %q is not a UUID in lower case", kmscall.Clip(version))
	}
	return s.read(ctx, id, versionPrefix+version)
}

// Beacon reads the key for searchable HMACs that belongs to a branch key: one read of the
// table, and one kms:Decrypt. It is another key than the versions, and stays the same.
func (s *KeyStore) Beacon(ctx context.Context, id string) (*BeaconKey, error) {
	k, err := s.read(ctx, id, typeBeacon)
	if err != nil {
		return nil, err
	}
	return &BeaconKey{k.secret, newMACs(), true}, nil
}

// secondLook is how long to wait before a version that was not found is looked for again.
const secondLook = 50 * time.Millisecond

// get returns an item of the table, checked but not authenticated.
func (s *KeyStore) get(ctx context.Context, id, itemType string) (Item, error) {
	if err := checkID(id); err != nil {
		return Item{}, err
	}
	it, err := s.store.Get(ctx, id, itemType)
	if errors.Is(err, ErrNotFound) && strings.HasPrefix(itemType, versionPrefix) {
		wait := time.NewTimer(secondLook)
		defer wait.Stop()
		select {
		case <-wait.C:
			it, err = s.store.Get(ctx, id, itemType)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return Item{}, storeFailed(ctx, id, itemType, err)
	}
	return it, s.check(it, id, itemType)
}

// read returns the key of an item.
func (s *KeyStore) read(ctx context.Context, id, itemType string) (*Key, error) {
	ctx, ended := s.request(ctx, awskms.ReadBranchKey)
	k, err := s.readKey(ctx, id, itemType)
	ended(err)
	return k, err
}

// request tells that the table and KMS are about to be asked. It returns the context for
// that, and what to call when the request has ended.
func (s *KeyStore) request(ctx context.Context, r awskms.Request) (context.Context, func(error)) {
	ended := func(error) {}
	if s.observer.OnRequest != nil {
		var tell func(error)
		if ctx, tell = s.observer.OnRequest(ctx, r); tell != nil {
			ended = tell
		}
	}
	return ctx, ended
}

// called tells of a call to KMS that has ended with err, which kmsFailed returned.
func (s *KeyStore) called(ctx context.Context, began time.Time, operation string, err error) {
	var elsewhere *kmscall.RegionError
	if s.observer.OnEvent == nil || errors.As(err, &elsewhere) { // then none was made
		return
	}
	e := awskms.Event{Kind: awskms.Call, Region: s.keys.region, Operation: operation, Duration: time.Since(began), Err: err}
	var failed *awskms.Error
	if errors.As(err, &failed) {
		e.Code = failed.Code
	}
	s.observer.OnEvent(ctx, e)
}

// readKey does what read says.
func (s *KeyStore) readKey(ctx context.Context, id, itemType string) (*Key, error) {
	it, err := s.get(ctx, id, itemType)
	if err != nil {
		return nil, err
	}
	keyARN, err := s.keys.choose(it)
	if err != nil {
		return nil, err
	}
	ec := s.kmsContext(it)
	began := time.Now()
	out, err := s.client.Decrypt(ctx, &kms.DecryptInput{
		KeyId: &keyARN, CiphertextBlob: it.Enc, EncryptionContext: ec, GrantTokens: s.grantTokens,
	}, s.options...)
	if err == nil && (out.KeyId == nil || *out.KeyId != keyARN) {
		clear(out.Plaintext)
		err = kmscall.BadAnswer("%s", kmscall.AnsweredAs(out.KeyId))
	}
	if err != nil {
		err = s.kmsFailed(ctx, decryptOperation, keyARN, it, ec, err)
	}
	s.called(ctx, began, decryptOperation, err)
	if err != nil {
		return nil, err
	}
	defer clear(out.Plaintext)
	if n := len(out.Plaintext); n != keyLen {
		return nil, foreign(it, encAttribute, "holds %d bytes, where a branch key has %d", n, keyLen)
	}
	return newKey(it, out.Plaintext), nil
}

// List returns the versions of a branch key, the active one first and the others in the
// order of their UUIDs. It asks only the table: nothing of it is authenticated. If there is
// nothing of the ID the error is [ErrNotFound].
func (s *KeyStore) List(ctx context.Context, id string) ([]VersionInfo, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	items, err := s.store.List(ctx, id)
	if err == nil && len(items) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, storeFailed(ctx, id, "", err)
	}
	var active string
	var all []VersionInfo
	for _, it := range items {
		if err := s.check(it, id, it.Type); err != nil {
			return nil, err
		}
		switch v, ok := versionOf(it.Type); {
		case ok:
			all = append(all, versionInfo(it, v))
		case it.Type == typeActive:
			active = it.Attributes[versionAttribute]
		case it.Type != typeBeacon:
			return nil, foreign(it, typeAttribute, "is none of a branch key's items")
		}
	}
	for i := range all {
		if versionPrefix+all[i].Version == active {
			all[i].Active = true
			first := all[i]
			copy(all[1:], all[:i])
			all[0] = first
		}
	}
	return all, nil
}

// Destroy deletes all versions of a branch key and its beacon key from the table. Nothing
// that was encrypted under them alone can be read again: there is no way back but a
// backup of the table, for as long as KMS would still unwrap what it holds.
//
// The second argument must repeat the ID, so that no slip does this. Keyrings of this
// KeyStore drop the branch key at once; those of other processes within their
// Limits.MaxAge, and StaleFor if the table or KMS cannot be reached. A data-key cache before a
// keyring goes on with the data keys that it holds, in this process too: call its PurgeKey
// with the ID. When Destroy fails, some versions may be gone; it can be called again, and is
// to be before Create makes the ID anew, which would leave the old versions readable.
func (s *KeyStore) Destroy(ctx context.Context, id, repeated string) error {
	if id != repeated {
		return invalid("Destroy of branch key %q was not confirmed: the second argument must repeat the ID", kmscall.Clip(id))
	}
	if err := checkID(id); err != nil {
		return err
	}
	defer s.purge(id)
	if err := s.store.Delete(ctx, id); err != nil {
		return storeFailed(ctx, id, "", err)
	}
	return nil
}

// purge has the keyrings forget a branch key.
func (s *KeyStore) purge(id string) {
	s.mu.Lock()
	keyrings := slices.Collect(maps.Keys(s.keyrings))
	s.mu.Unlock()
	for _, k := range keyrings {
		k.Purge(id)
	}
}
