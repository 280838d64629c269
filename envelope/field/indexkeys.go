package field

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// IndexKeys are the keys of a program's blind indexes. They have versions, one of which is
// current: Seal makes terms of that one, and Terms gives one for each.
//
// They rotate in place, in four steps, each of which every process must have taken before
// the next: Add a version, and from then on find by both; Use it, and from then on write
// it; rotate the records (see [Table.Rotate]); Remove the old one. While both are there, a
// unique constraint holds within each version.
//
// Add, Use and Remove change nothing, neither the keys that they are called on nor what is
// stored: they return other keys. So each step ends in the same way: Seal what was returned,
// store that in the place of what Seal returned before, and have every process open it with
// [OpenIndexKeys] and make its table anew, with NewTable.
//
// Without them no index can be searched, and with them every index can be tested for a
// value that is guessed: keep them sealed. IndexKeys do not change and are safe for
// concurrent use.
type IndexKeys struct {
	keys    []indexKey // by version
	current byte
	last    byte // the highest version that ever was
}

type indexKey struct {
	version byte
	secret  func() []byte // a function for the reason that Sealed.value is one
}

const indexSecretLen = 32

// NewIndexKeys makes one key, of version 1.
func NewIndexKeys() *IndexKeys {
	return &IndexKeys{keys: []indexKey{newIndexKey(1)}, current: 1, last: 1}
}

func newIndexKey(version byte) indexKey {
	secret := make([]byte, indexSecretLen)
	rand.Read(secret)
	return indexKey{version, func() []byte { return secret }}
}

// Versions returns the versions of the keys, the oldest first.
func (k *IndexKeys) Versions() []byte {
	var all []byte
	for _, one := range k.keys {
		all = append(all, one.version)
	}
	return all
}

// Current returns the version that terms are written with.
func (k *IndexKeys) Current() byte { return k.current }

// Add returns new keys: those of k and one more, which is not current yet. There are no more than 255
// versions; a number is never used again.
func (k *IndexKeys) Add() (*IndexKeys, error) {
	if k.last == 255 {
		return nil, errors.New("field: index keys: there have been 255 versions, the most that there are")
	}
	more := *k
	more.last++
	more.keys = append(slices.Clip(k.keys), newIndexKey(more.last))
	return &more, nil
}

// Use returns new keys: those of k with another current version.
func (k *IndexKeys) Use(version byte) (*IndexKeys, error) {
	if k.find(version) < 0 {
		return nil, fmt.Errorf("field: index keys: %w", invalid("there is no version %d: Add makes one", version))
	}
	used := *k
	used.current = version
	return &used, nil
}

// Remove returns new keys: those of k without a version, by which nothing is found any more. The current
// one cannot be removed.
func (k *IndexKeys) Remove(version byte) (*IndexKeys, error) {
	i := k.find(version)
	switch {
	case i < 0:
		return nil, fmt.Errorf("field: index keys: %w", invalid("there is no version %d", version))
	case version == k.current:
		return nil, fmt.Errorf("field: index keys: %w", invalid("version %d is current: Use another first", version))
	}
	fewer := *k
	fewer.keys = slices.Delete(slices.Clone(k.keys), i, i+1)
	return &fewer, nil
}

func (k *IndexKeys) find(version byte) int {
	return slices.IndexFunc(k.keys, func(one indexKey) bool { return one.version == version })
}

// currentKey returns the key that terms are written with.
func (k *IndexKeys) currentKey() indexKey { return k.keys[k.find(k.current)] }

// indexKeysContext is the encryption context of sealed index keys.
var indexKeysContext = keyring.EncryptionContext{"purpose": "sealring-index-keys"}

// storedIndexKeys is what sealed index keys hold, in JSON.
type storedIndexKeys struct {
	Current byte             `json:"current"`
	Last    byte             `json:"last"`
	Keys    []storedIndexKey `json:"keys"`
}

type storedIndexKey struct {
	Version byte   `json:"version"`
	Secret  []byte `json:"secret"`
}

// Seal returns the keys as an encrypted message with the encryption context purpose =
// sealring-index-keys, to be kept anywhere: in a file, a table, a parameter store. It asks
// m for materials once.
func (k *IndexKeys) Seal(ctx context.Context, m keyring.EncryptionManager) ([]byte, error) {
	e, err := envelope.NewEncrypterFromManager(m, nil)
	if err != nil {
		return nil, fmt.Errorf("field: seal index keys: %w", err)
	}
	stored := storedIndexKeys{Current: k.current, Last: k.last}
	for _, one := range k.keys {
		stored.Keys = append(stored.Keys, storedIndexKey{one.version, one.secret()})
	}
	b, err := json.Marshal(stored)
	if err != nil {
		return nil, fmt.Errorf("field: seal index keys: %w", err)
	}
	defer clear(b)
	sealed, err := e.Encrypt(ctx, b, indexKeysContext)
	if err != nil {
		return nil, fmt.Errorf("field: seal index keys: %w", err)
	}
	return sealed, nil
}

// OpenIndexKeys returns the keys that Seal gave. It asks m for materials once. Its errors
// are those of [envelope.Decrypter.Decrypt], and [ErrType] for a message that holds
// something else.
func OpenIndexKeys(ctx context.Context, m keyring.DecryptionManager, sealed []byte) (*IndexKeys, error) {
	d, err := envelope.NewDecrypterFromManager(m, &envelope.Options{RefuseSigned: true})
	if err != nil {
		return nil, fmt.Errorf("field: open index keys: %w", err)
	}
	b, err := d.Decrypt(ctx, sealed, indexKeysContext)
	if err != nil {
		return nil, fmt.Errorf("field: open index keys: %w", err)
	}
	defer clear(b)
	var stored storedIndexKeys
	if json.Unmarshal(b, &stored) != nil {
		return nil, fmt.Errorf("field: open index keys: %w: they are not in the form that Seal gives", ErrType)
	}
	k := &IndexKeys{current: stored.Current, last: stored.Last}
	for _, one := range stored.Keys {
		if one.Version == 0 || one.Version > k.last || len(k.keys) > 0 && one.Version <= k.keys[len(k.keys)-1].version ||
			len(one.Secret) != indexSecretLen {
			return nil, fmt.Errorf("field: open index keys: %w: a key is malformed", ErrType)
		}
		k.keys = append(k.keys, indexKey{one.Version, func() []byte { return one.Secret }})
	}
	if k.find(k.current) < 0 {
		return nil, fmt.Errorf("field: open index keys: %w: the current key is missing", ErrType)
	}
	return k, nil
}

// Format implements [fmt.Formatter]: every verb prints "[sealed]".
func (k *IndexKeys) Format(f fmt.State, verb rune) { f.Write([]byte(shown)) }
