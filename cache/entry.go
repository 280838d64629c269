package cache

import (
	"bytes"
	"crypto/subtle"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-sealring/sealring/keyring"
)

// An entry is one data key with its materials, and counts of its use. Fields that are not
// atomic are set before the entry is in the cache, and not changed then, but for two: the
// data key is cleared under the shard's lock, and Cache.admit guards the last group.
type entry struct {
	id        identity
	partition string

	// Of these, either the two for encrypting or the two for decrypting are set: the
	// request, for loading again, and the materials once they are loaded.
	encryptReq *keyring.EncryptionRequest
	decryptReq *keyring.DecryptionRequest
	encrypt    *keyring.EncryptionMaterials
	decrypt    *keyring.DecryptionMaterials

	made      time.Duration // by Cache.elapsed
	refreshAt time.Duration
	size      int64

	messages, bytes atomic.Int64
	used            atomic.Bool // since admission.count last looked
	refreshing      atomic.Bool

	outages outages // of loads to replace the entry

	generation uint64 // Cache.generation, when loading began

	// The place among other entries; guarded by Cache.admit.
	list         *list
	older, newer *entry
	frequency    uint8  // at the last look of admission.count
	period       uint64 // history.period at that time
}

func newEncryptionEntry(id identity, partition string, req keyring.EncryptionRequest) *entry {
	req.Context = maps.Clone(req.Context)
	req.RequiredKeys = slices.Clone(req.RequiredKeys)
	req.PlaintextLength = -1 // those who share the entry have other lengths
	return &entry{id: id, partition: partition, encryptReq: &req}
}

func newDecryptionEntry(id identity, partition string, req keyring.DecryptionRequest) *entry {
	req.Reproduced = maps.Clone(req.Reproduced)
	req.Stored = bytes.Clone(req.Stored) // the caller's is a part of a message
	return &entry{id: id, partition: partition, decryptReq: &req}
}

// again returns an entry for loading the same materials anew.
func (e *entry) again() *entry {
	return &entry{id: e.id, partition: e.partition, encryptReq: e.encryptReq, decryptReq: e.decryptReq}
}

// born starts the entry's age at now. The time to replace it is random, in the last quarter
// of MaxAge, so that data keys which were made together are not replaced together.
func (e *entry) born(now time.Duration, limits *Limits) {
	e.made = now
	e.refreshAt = now + limits.MaxAge/4*3 + time.Duration(rand.Int64N(int64(limits.MaxAge/5)+1))
	e.size = e.measure()
}

// overhead is about what an entry takes beside the bytes that vary: itself, its
// materials, small maps, its place in the shard's map, and four in the history.
const overhead = 1200

// pairOverhead is about what a pair takes in a map beside its bytes.
const pairOverhead = 64

// measure estimates what an entry takes. TestBytesAreHonest compares it with the
// heap.
func (e *entry) measure() int64 {
	n := overhead + len(e.partition) + len(e.id)
	context := func(ec keyring.EncryptionContext) {
		for k, v := range ec {
			n += len(k) + len(v) + pairOverhead
		}
	}
	keys := func(keys []keyring.EncryptedDataKey) {
		for _, k := range keys {
			n += len(k.ProviderID) + len(k.ProviderInfo) + len(k.Ciphertext) + 96
		}
	}
	if e.encrypt != nil {
		n += pairOverhead * len(e.encryptReq.Context) // its strings are those of the next
		context(e.encrypt.Context)
		keys(e.encrypt.EncryptedDataKeys)
		for _, key := range e.encrypt.SymmetricSigningKeys {
			n += len(key) + 24
		}
		if stored, err := e.encrypt.Stored(); err == nil {
			n += len(stored)
		}
	} else {
		n += len(e.decryptReq.Stored) + len(e.decrypt.SymmetricSigningKey)
		context(e.decryptReq.Reproduced)
		context(e.decrypt.Context)
	}
	return int64(n)
}

func (e *entry) wrappedBy(name string) bool {
	var keys []keyring.EncryptedDataKey
	if e.encrypt != nil {
		keys = e.encrypt.EncryptedDataKeys
	} else {
		// What does not parse has no materials, and so no entry.
		_, keys, _ = e.decryptReq.Parse()
	}
	return slices.ContainsFunc(keys, func(k keyring.EncryptedDataKey) bool { return k.KeyName() == name })
}

// A watcher is a manager that keeps more with the materials that it made, for as long as the
// cache keeps them. Package branchkey has one.
type watcher interface {
	// Dropped is called once with each materials for decrypting that the manager returned,
	// when they are about to be cleared. It must not call the cache.
	Dropped(*keyring.DecryptionMaterials)
}

// clear overwrites the data key of an entry. Copies that were handed out are not affected.
func (c *Cache) clear(e *entry) {
	e.encrypt.Clear()
	c.clearDecryption(e.decrypt)
}

func (c *Cache) clearDecryption(m *keyring.DecryptionMaterials) {
	if c.watcher != nil && m != nil {
		c.watcher.Dropped(m)
	}
	m.Clear()
}

// spend counts one message of n bytes, and returns false if that is past MaxMessages or
// MaxBytes. For decrypting there are no such limits.
func (e *entry) spend(n int64, limits *Limits) bool {
	if e.encrypt == nil {
		return true
	}
	if limits.MaxBytes > 0 {
		for {
			spent := e.bytes.Load()
			if n > limits.MaxBytes-spent {
				return false
			}
			if e.bytes.CompareAndSwap(spent, spent+n) {
				break
			}
		}
	}
	return e.messages.Add(1) <= limits.MaxMessages
}

// holds says whether spend would succeed.
func (e *entry) holds(n int64, limits *Limits) bool {
	return e.encrypt == nil ||
		e.messages.Load() < limits.MaxMessages && (limits.MaxBytes == 0 || n <= limits.MaxBytes-e.bytes.Load())
}

// nearlySpent says whether most of the messages or bytes are spent, so that it is time
// for another data key.
func (e *entry) nearlySpent(limits *Limits) bool {
	if e.encrypt == nil {
		return false
	}
	return limits.MaxMessages >= 16 && e.messages.Load() > limits.MaxMessages-limits.MaxMessages/8 ||
		limits.MaxBytes >= 16 && e.bytes.Load() > limits.MaxBytes-limits.MaxBytes/8
}

// copied are materials for one message, with a data key of their own: for encrypting, for
// decrypting, or none.
type copied struct {
	e *keyring.EncryptionMaterials
	d *keyring.DecryptionMaterials
}

// copy returns the materials for one use, in one allocation if there are no symmetric
// signing keys. The shard's lock is held, so that the keys are not cleared meanwhile.
func (e *entry) copy() copied {
	if e.encrypt != nil {
		c := &struct {
			keyring.EncryptionMaterials
			key [32]byte
		}{EncryptionMaterials: *e.encrypt}
		c.DataKey = append(c.key[:0], c.DataKey...)
		if c.SymmetricSigningKeys != nil {
			c.SymmetricSigningKeys = slices.Clone(c.SymmetricSigningKeys)
			for i, key := range c.SymmetricSigningKeys {
				c.SymmetricSigningKeys[i] = bytes.Clone(key)
			}
		}
		return copied{e: &c.EncryptionMaterials}
	}
	c := &struct {
		keyring.DecryptionMaterials
		key [32]byte
	}{DecryptionMaterials: *e.decrypt}
	c.DataKey = append(c.key[:0], c.DataKey...)
	c.SymmetricSigningKey = bytes.Clone(c.SymmetricSigningKey)
	return copied{d: &c.DecryptionMaterials}
}

func (c copied) none() bool { return c == copied{} }

// answersEncryption says whether a copy answers a request, as far as that is cheap to see:
// the client that gets it checks everything.
func (c copied) answersEncryption(req *keyring.EncryptionRequest) bool {
	return (req.Suite == 0 || c.e.Suite == req.Suite) && req.CommitmentPolicy.CheckEncrypt(c.e.Suite) == nil &&
		len(c.e.DataKey) == c.e.Suite.DataKeyLen() && subtle.ConstantTimeCompare(c.e.DataKey, zeros[:len(c.e.DataKey)]) == 0
}

// answersDecryption is the same for decrypting. The context is checked, since it is shared
// and somebody may have changed it.
func (c copied) answersDecryption(req *keyring.DecryptionRequest) bool {
	return c.d.Suite == req.Suite && req.CommitmentPolicy.CheckDecrypt(c.d.Suite) == nil && len(c.d.DataKey) == c.d.Suite.DataKeyLen() &&
		confirms(req.Reproduced, c.d.Context)
}

// confirms says whether a context has all of some pairs.
func confirms(pairs, context keyring.EncryptionContext) bool {
	for k, v := range pairs {
		if got, ok := context[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// zeros is what a data key is that was cleared.
var zeros [32]byte

func (c copied) clear() {
	c.e.Clear()
	c.d.Clear()
}
