package branchkey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
)

// ProviderID is the provider ID of data keys that a branch key wrapped.
const ProviderID = "aws-kms-hierarchy"

const defaultMaxCalls = 10

// Config says which branch keys a keyring uses, and for how long it keeps them.
type Config struct {
	// KeyStore reads branch keys.
	KeyStore *KeyStore

	// ID is the ID of the one branch key to use. It is empty with Supplier.
	ID string

	// Supplier, if not nil, returns the ID of the branch key for a message by its encryption
	// context: all pairs, those too that the message does not store. It is called for each
	// message, to encrypt and to decrypt, by several goroutines at once, and must not
	// change the context or keep it. To decrypt, anybody may have written the context.
	//
	// A message for which it returns an error can be neither encrypted nor decrypted.
	Supplier func(keyring.EncryptionContext) (string, error)

	// Limits bound how long branch keys are kept in memory, in plain, and how many.
	// MaxAge must be set: it is the time to live, by the end of which a new version is used
	// to encrypt, and access that was withdrawn is lost. StaleFor lets them be used past
	// that while the table or KMS cannot be reached. While the table cannot, KMS is not
	// asked, so that what it denies is not noticed.
	//
	// MaxMessages and MaxBytes must be zero: a branch key may wrap as many data keys as
	// there are.
	Limits cache.Limits

	// MaxCalls is the most wrapped keys of one message that are tried, each of which may
	// take two reads of the table and a call to KMS, and the active version as many. Zero
	// is 10.
	MaxCalls int
}

// A Keyring wraps and unwraps data keys under branch keys. It is safe for concurrent
// use. It keeps branch keys in a [cache.Cache] of its own, and must be closed.
//
// A data-key cache is of use before it all the same where contexts repeat: it saves the
// wrapping.
type Keyring struct {
	keys     *KeyStore
	id       string
	supplier func(keyring.EncryptionContext) (string, error)
	cache    *cache.Cache
	loads    *loads // of beacon keys
	maxCalls int
	close    sync.Once

	// activeFailed says that an active version could not be had, ever. Until then there is
	// no need to look whether the cache holds it.
	activeFailed atomic.Bool
}

var _ keyring.Keyring = (*Keyring)(nil)

// New returns a keyring. It makes no call.
//
// Source: framework/aws-kms/aws-kms-hierarchical-keyring.md of the AWS Encryption SDK
// specification.
func New(c Config) (*Keyring, error) {
	switch {
	case c.KeyStore == nil:
		return nil, invalid("Config.KeyStore is nil")
	case (c.ID == "") == (c.Supplier == nil):
		return nil, invalid("Config.ID or Config.Supplier must be set, and not both")
	case c.Limits.MaxMessages != 0 || c.Limits.MaxBytes != 0:
		return nil, invalid("Limits.MaxMessages and Limits.MaxBytes bound a data key, and a branch key is none: leave them zero")
	case c.MaxCalls < 0:
		return nil, invalid("MaxCalls is %d", c.MaxCalls)
	}
	if c.ID != "" {
		if err := checkID(c.ID); err != nil {
			return nil, err
		}
	}
	if c.MaxCalls == 0 {
		c.MaxCalls = defaultMaxCalls
	}
	loaded := new(loads)
	branchKeys, err := cache.NewFromManager(source{c.KeyStore, loaded}, c.Limits)
	if err != nil {
		return nil, err
	}
	k := &Keyring{keys: c.KeyStore, id: c.ID, supplier: c.Supplier, cache: branchKeys, loads: loaded, maxCalls: c.MaxCalls}
	k.keys.mu.Lock()
	defer k.keys.mu.Unlock()
	k.keys.keyrings[k] = struct{}{}
	return k, nil
}

// Close clears the branch keys that the keyring holds. After it every call fails with
// cache.ErrClosed. It may be called more than once, and returns nil.
func (k *Keyring) Close() error {
	k.close.Do(func() {
		k.keys.mu.Lock()
		delete(k.keys.keyrings, k)
		k.keys.mu.Unlock()
		_ = k.cache.Close() // is always nil
	})
	return nil
}

// Purge drops all versions of a branch key that the keyring holds. They are read
// again when they are needed.
func (k *Keyring) Purge(id string) { k.cache.PurgeKey(id) }

// Beacon returns the key for searchable HMACs that belongs to a branch key, as
// [KeyStore.Beacon] does, whichever branch keys the keyring wraps data keys under. The
// keyring keeps it as it keeps branch keys: within its Limits, until Purge, Close or
// KeyStore.Destroy, and what [BeaconKey.AppendMAC] derives from it just as long, which
// Limits.MaxMemory does not count: about 1 KB for each name of a beacon and each processor.
// What is returned is the caller's own, to be cleared.
func (k *Keyring) Beacon(ctx context.Context, id string) (*BeaconKey, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	b := scratch.Get().(*buffers)
	defer b.release()
	m, err := k.cache.DecryptionMaterials(ctx, b.request(id, []byte(beaconMark)))
	if err != nil {
		return nil, fmt.Errorf("branchkey: %w", err) // which names the branch key
	}
	defer m.Clear()
	derived, own := k.loads.of(m)
	return &BeaconKey{newSecret(m.DataKey), derived, own}, nil
}

// Stats returns counts of the branch keys and beacon keys that were used and read: a load
// is a read of the table and a call to KMS.
func (k *Keyring) Stats() cache.Stats { return k.cache.Stats() }

// String names the keyring.
func (k *Keyring) String() string {
	if k.supplier != nil {
		return "branch keys by context"
	}
	return fmt.Sprintf("branch key %q", kmscall.Clip(k.id))
}

// idFor returns the ID of the branch key for a message.
func (k *Keyring) idFor(ec keyring.EncryptionContext) (string, error) {
	if k.supplier == nil {
		return k.id, nil
	}
	id, err := k.supplier(ec)
	if err != nil {
		return "", fmt.Errorf("the supplier of branch key IDs: %w", err)
	}
	return id, checkID(id)
}

// scratch has memory for requests and for what a wrapped key is bound to. Nothing of it is
// secret.
var scratch = sync.Pool{New: func() any { return new(buffers) }}

type buffers struct{ stored, aad []byte }

// release puts b back, unless it has grown so long that it should not be kept.
func (b *buffers) release() {
	const most = 4096
	if cap(b.stored)+cap(b.aad) <= most {
		scratch.Put(b)
	}
}

// request returns the request for a version of a branch key, or for the active one if
// there is no version. It is good until the next.
func (b *buffers) request(id string, version []byte) keyring.DecryptionRequest {
	b.stored = appendRequest(b.stored[:0], id, version)
	return keyring.DecryptionRequest{Suite: carrier, Stored: b.stored}
}

// active returns the active version of a branch key, from the cache or from the key store.
// It is the caller's to clear.
func (k *Keyring) active(ctx context.Context, b *buffers, id string) (*keyring.DecryptionMaterials, error) {
	return k.cache.DecryptionMaterials(ctx, b.request(id, nil))
}

// version returns a version of a branch key, from the cache or from the key store. It is the
// caller's to clear.
//
// Most versions that are asked for are the active one, and so that is asked for first: one
// call to KMS then serves those who write and those who read. Only a version that is kept
// while no active one is, since that could not be had, is asked for at once.
func (k *Keyring) version(ctx context.Context, b *buffers, id string, version []byte) (*keyring.DecryptionMaterials, error) {
	if !k.activeFailed.Load() || k.cache.Holds(b.request(id, nil)) || !k.cache.Holds(b.request(id, version)) {
		active, err := k.active(ctx, b, id)
		switch {
		case err == nil && active.Context[versionPair] == string(version):
			return active, nil
		case err == nil:
			active.Clear()
		case ctx.Err() != nil:
			return nil, err
		case errors.Is(err, ErrNotFound):
			// The branch key was destroyed. To look for the version, and again a while later,
			// would make many of its rows take long to fail.
			return nil, err
		default:
			k.activeFailed.Store(true)
			if errors.Is(err, keyring.ErrUnavailable) && !k.cache.Holds(b.request(id, version)) {
				return nil, err // the version would not be had either, and cost the same time again
			}
		}
	}
	return k.cache.DecryptionMaterials(ctx, b.request(id, version))
}

// bind sets b.aad to what a wrapped key is bound to.
func (b *buffers) bind(id string, version []byte, ec keyring.EncryptionContext) (err error) {
	b.aad, err = ec.AppendBinary(appendAAD(b.aad[:0], id, version))
	return err
}

// OnEncrypt implements [keyring.Encrypter]. A new data key is made here: no call to KMS is
// needed while the branch key is held.
func (k *Keyring) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.Suite.DataKeyLen() == 0 {
		return fmt.Errorf("%v: %w: suite %v", k, keyring.ErrInvalidArgument, m.Suite)
	}
	id, err := k.idFor(m.Context)
	if err != nil {
		return fmt.Errorf("%v: %w", k, err)
	}
	b := scratch.Get().(*buffers)
	defer b.release()
	branch, err := k.active(ctx, b, id)
	if err != nil {
		return fmt.Errorf("branchkey: %w", err) // which names the branch key
	}
	defer branch.Clear()
	var version uuid
	copy(version[:], branch.Context[versionPair])
	if err := b.bind(id, version[:], m.Context); err != nil {
		return fmt.Errorf("%v: %w", k, err)
	}
	generated := m.DataKey == nil
	if generated {
		m.GenerateDataKey()
	}
	// One allocation for both.
	both := make([]byte, len(id)+wrappedLen+len(m.DataKey))
	info, wrapped := both[:len(id):len(id)], both[len(id):]
	copy(info, id)
	if err := wrap(wrapped, branch.DataKey, version[:], m.DataKey, b.aad); err != nil {
		if generated {
			clear(m.DataKey)
			m.DataKey = nil
		}
		return fmt.Errorf("%v: %w", k, err)
	}
	m.EncryptedDataKeys = append(m.EncryptedDataKeys, keyring.EncryptedDataKey{
		ProviderID: ProviderID, ProviderInfo: info, Ciphertext: wrapped,
	})
	return nil
}

// OnDecrypt implements [keyring.Decrypter]. It tries the wrapped keys that name the
// branch key of the message's context, under the version that each names.
func (k *Keyring) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	if m.DataKey != nil {
		return fmt.Errorf("%v: %w: the materials already have a data key", k, keyring.ErrInvalidArgument)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !slices.ContainsFunc(keys, func(edk keyring.EncryptedDataKey) bool { return edk.ProviderID == ProviderID }) {
		return k.noMatch(keys, nil)
	}
	id, err := k.idFor(m.Context)
	if err != nil {
		// As a reason, since another child of a multi-keyring may unwrap the data key.
		return k.noMatch(keys, []error{err})
	}
	b := scratch.Get().(*buffers)
	defer b.release()
	var reasons []error
	tried, outages := 0, 0
	for i, edk := range keys {
		if edk.ProviderID != ProviderID || string(edk.ProviderInfo) != id {
			continue
		}
		err := checkLength(edk.Ciphertext, m.Suite.DataKeyLen())
		if err == nil {
			if tried++; tried > k.maxCalls {
				continue // said once, below
			}
			var dataKey []byte
			if dataKey, err = k.unwrap(ctx, b, id, m, edk.Ciphertext); err == nil {
				m.DataKey = dataKey
				return nil
			}
			if cause := ctx.Err(); cause != nil {
				return fmt.Errorf("%v: %w: %w", k, cause, err)
			}
		}
		reasons = append(reasons, fmt.Errorf("encrypted data key %d: %w", i+1, err))
		// One more is tried, since it may be held: of a message that two tables' branch keys of
		// one ID have wrapped, only one is of this table. Further ones would only cost the same
		// time again.
		if errors.Is(err, keyring.ErrUnavailable) {
			if outages++; outages > 1 {
				return k.noMatch(keys, reasons)
			}
		}
	}
	if tried > k.maxCalls {
		// First, since the text of many reasons is cut short.
		reasons = slices.Insert(reasons, 0, fmt.Errorf("%d of %d encrypted data keys were not tried: MaxCalls is %d", tried-k.maxCalls, tried, k.maxCalls))
	}
	return k.noMatch(keys, reasons)
}

func (k *Keyring) unwrap(ctx context.Context, b *buffers, id string, m *keyring.DecryptionMaterials, wrapped []byte) ([]byte, error) {
	version := wrapped[versionAt:sealedAt]
	branch, err := k.version(ctx, b, id, version)
	if err != nil {
		return nil, err
	}
	defer branch.Clear()
	if err := b.bind(id, version, m.Context); err != nil {
		return nil, err
	}
	return unwrap(branch.DataKey, wrapped, b.aad, m.Suite.DataKeyLen())
}

// noMatch returns the error for wrapped keys of which none was unwrapped.
func (k *Keyring) noMatch(keys []keyring.EncryptedDataKey, reasons []error) error {
	err := keyring.NoMatch(k.String(), keys, reasons...)
	if k.supplier != nil {
		err.Remedy = "the branch key of this encryption context is another, as Config.Supplier says"
	} else {
		err.Remedy = "use that branch key's ID, or a Config.Supplier that tells it from the encryption context"
	}
	return err
}
