package branchkey

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
)

// VersionInfo is what the table says of one version of a branch key.
type VersionInfo struct {
	// ID is the branch key's ID, and Version the UUID of the version.
	ID, Version string

	// Active says that data keys are wrapped under this version now. Only
	// [KeyStore.List] and [KeyStore.Active] set it.
	Active bool

	// Created is when the version was made, as its maker wrote it.
	Created string

	// KMSKey is the ARN of the KMS key that wraps it.
	KMSKey string

	// Context is what [KeyStore.Create] was given.
	Context keyring.EncryptionContext
}

func versionInfo(it Item, v uuid) VersionInfo {
	return VersionInfo{ID: it.ID, Version: v.String(), Created: it.Attributes[createdAttribute], KMSKey: it.Attributes[kmsAttribute], Context: it.ownPairs()}
}

// A Key is one version of a branch key, read and authenticated. It does not give the key
// itself away: package fmt shows its name alone. Clear it when done.
type Key struct {
	VersionInfo
	version uuid
	secret  secret
}

// newKey returns the key of an item. It copies the plaintext.
func newKey(it Item, plaintext []byte) *Key {
	itemType := it.Type
	if itemType == typeActive {
		itemType = it.Attributes[versionAttribute]
	}
	v, _ := versionOf(itemType) // zero for the beacon key
	k := &Key{VersionInfo: versionInfo(it, v), version: v, secret: newSecret(plaintext)}
	k.Active = it.Type == typeActive
	return k
}

// Clear overwrites the key.
func (k *Key) Clear() { k.secret.clear() }

// Format implements [fmt.Formatter]: it writes the ID and the version, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "branch key %q version %s", k.ID, k.Version)
}

// A BeaconKey makes the keys of searchable HMACs. Package fmt does not show it. Clear it
// when done.
type BeaconKey struct {
	secret secret
	macs   kept
	own    bool // the macs are of this key alone
}

// Derive returns the 64-byte key for the beacon of a name, as AWS's Database Encryption SDK
// derives it. It is secret, and the caller's. After Clear the error is
// keyring.ErrInvalidArgument.
func (k *BeaconKey) Derive(name string) ([]byte, error) {
	if err := k.check(name); err != nil {
		return nil, err
	}
	var key []byte
	var err error
	erase.After(func() { key, err = hkdf.Key(sha512.New, k.secret()[:], nil, "AWS_DBE_SCAN_BEACON"+name, 64) })
	if err != nil {
		return nil, fmt.Errorf("branchkey: key of beacon %q: %w", name, err)
	}
	return key, nil
}

// AppendMAC appends to b the 48 bytes of HMAC-SHA384 of a value, under the key that Derive
// returns for a name. That key is derived once for all BeaconKeys that a [Keyring] returns
// while it keeps the beacon key; a [KeyStore] keeps none, and so it is once for each that it
// returns. Nothing is kept of the value. Errors are those of Derive. Several goroutines may
// call it at once.
func (k *BeaconKey) AppendMAC(b []byte, name string, value []byte) ([]byte, error) {
	if err := k.check(name); err != nil {
		return nil, err
	}
	mac := k.macs().take(name)
	if mac == nil {
		key, err := k.Derive(name)
		if err != nil {
			return nil, err
		}
		erase.After(func() { mac = hmac.New(sha512.New384, key) })
		clear(key)
		// The first Reset notes how the hash begins, and leaves in its buffer what was written.
		// Each further one overwrites that.
		mac.Reset()
	}
	mac.Write(value)
	b = mac.Sum(b)
	mac.Reset()
	k.macs().put(name, mac)
	return b, nil
}

// check returns an error for a key from which anybody could derive.
func (k *BeaconKey) check(name string) error {
	if k.secret == nil || subtle.ConstantTimeCompare(k.secret()[:], make([]byte, keyLen)) == 1 {
		return invalid("the key of beacon %q: the beacon key was cleared, or never read", kmscall.Clip(name))
	}
	return nil
}

// Clear overwrites the key, and drops what AppendMAC has derived from it unless a [Keyring]
// keeps that. It must not be called while AppendMAC runs.
func (k *BeaconKey) Clear() {
	k.secret.clear()
	if k.own {
		k.macs().drop()
	}
}

// A secret returns a key in plain. It is a function since package fmt reaches through
// every pointer, and cannot ask a field that is not exported how it wants to be shown.
type secret func() *[keyLen]byte

// newSecret returns a secret that holds a copy of a plaintext.
func newSecret(plaintext []byte) secret {
	key := new([keyLen]byte)
	copy(key[:], plaintext)
	return func() *[keyLen]byte { return key }
}

func (s secret) clear() {
	if s != nil {
		clear(s()[:])
	}
}
