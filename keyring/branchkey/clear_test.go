package branchkey

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/keyring"
)

// answering is a KMS that answers as a test says, which sees what becomes of the plaintext.
type answering struct {
	Client
	plaintext []byte
	key       string
}

func (a *answering) Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	return &kms.DecryptOutput{KeyId: &a.key, Plaintext: a.plaintext}, nil
}

// TestCleared holds that no plaintext of a branch key stays where KMS's client put it, and
// that Clear overwrites the one copy.
func TestCleared(t *testing.T) {
	for name, c := range map[string]struct {
		length int
		key    string
		fails  bool
	}{
		"read":           {keyLen, oneARN, false},
		"another length": {keyLen + 1, oneARN, true},
		"another key":    {keyLen, oneARN[:len(oneARN)-1] + "e", true},
	} {
		t.Run(name, func(t *testing.T) {
			client := &answering{one{}, bytes.Repeat([]byte{1}, c.length), c.key}
			keys, err := NewKeyStore(KeyStoreConfig{Store: one{}, Name: "name", Client: client, KeyARN: oneARN})
			require.NoError(t, err)
			k, err := keys.Active(t.Context(), "a")
			assert.Equal(t, make([]byte, c.length), client.plaintext)
			if c.fails {
				require.Error(t, err)
				assert.Nil(t, k)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, bytes.Repeat([]byte{1}, keyLen), k.secret()[:])
			k.Clear()
			assert.Equal(t, make([]byte, keyLen), k.secret()[:])
		})
	}
}

// TestCloseForgets has a key store not keep the keyrings that were closed.
func TestCloseForgets(t *testing.T) {
	keys, err := NewKeyStore(KeyStoreConfig{Store: one{}, Name: "name", Client: one{}, KeyARN: oneARN})
	require.NoError(t, err)
	for range 3 {
		k, err := New(Config{KeyStore: keys, ID: "a", Limits: cache.Limits{MaxAge: time.Hour}})
		require.NoError(t, err)
		assert.Len(t, keys.keyrings, 1)
		require.NoError(t, k.Close())
		assert.Empty(t, keys.keyrings)
	}
}

// TestBeaconDerive has a key that Python's hmac and hashlib derived, by RFC 5869.
func TestBeaconDerive(t *testing.T) {
	beacon := make([]byte, keyLen)
	for i := range beacon {
		beacon[i] = byte(i)
	}
	key, err := (&BeaconKey{secret: newSecret(beacon), macs: newMACs()}).Derive("ssn")
	require.NoError(t, err)
	assert.Equal(t, "e931ec6bdd8a8d7624a740bf3f413c7c801ca05556bb56b6ca86aeb53ac9370d"+
		"4b74252465e615121f8740f97c499d6db9e4658ca0ed0d27d374ffd93d6547a9", hex.EncodeToString(key))
}

// TestDroppedWithTheBeaconKey holds that what was derived from a beacon key goes when the
// keyring drops that, for whatever reason.
func TestDroppedWithTheBeaconKey(t *testing.T) {
	for name, c := range map[string]struct {
		limits cache.Limits
		drop   func(*testing.T, *Keyring)
		left   int // of beacon keys that are kept after it
	}{
		"purged":    {cache.Limits{}, func(_ *testing.T, k *Keyring) { k.Purge("a") }, 0},
		"closed":    {cache.Limits{}, func(_ *testing.T, k *Keyring) { _ = k.Close() }, 0},
		"destroyed": {cache.Limits{}, func(_ *testing.T, k *Keyring) { k.keys.purge("a") }, 0},
		"expired": {cache.Limits{}, func(*testing.T, *Keyring) {
			time.Sleep(2 * time.Hour)
			synctest.Wait()
		}, 0},
		"refreshed": {cache.Limits{}, func(t *testing.T, k *Keyring) {
			time.Sleep(58 * time.Minute)
			beaconMAC(t, k, "a")
			synctest.Wait()
		}, 1},
		"evicted": {cache.Limits{MaxEntries: 1}, func(t *testing.T, k *Keyring) {
			for range 20 { // until it is the one that is used more
				beaconMAC(t, k, "b")
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			faketime.Test(t, func(t *testing.T) {
				keys, err := NewKeyStore(KeyStoreConfig{Store: one{}, Name: "name", Client: one{key: 1}, KeyARN: oneARN})
				require.NoError(t, err)
				c.limits.MaxAge = time.Hour
				k, err := New(Config{KeyStore: keys, ID: "a", Limits: c.limits})
				require.NoError(t, err)
				defer k.Close()
				first := beaconMAC(t, k, "a")
				assert.Equal(t, first, beaconMAC(t, k, "a"))
				all := keptBy(k)
				require.Len(t, all, 1)
				idle, dropped := all[0].look("ssn")
				require.Equal(t, 1, idle, "it was derived again, or not kept")
				require.False(t, dropped)

				c.drop(t, k)
				idle, dropped = all[0].look("ssn")
				assert.Zero(t, idle)
				assert.True(t, dropped)
				left := keptBy(k)
				assert.Len(t, left, c.left)
				for _, m := range left {
					assert.NotSame(t, all[0], m)
				}
			})
		})
	}
}

func beaconMAC(t *testing.T, k *Keyring, id string) []byte {
	key, err := k.Beacon(t.Context(), id)
	require.NoError(t, err)
	defer key.Clear()
	mac, err := key.AppendMAC(nil, "ssn", []byte("value"))
	require.NoError(t, err)
	return mac
}

func (m *macs) look(name string) (idle int, dropped bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.idle[name]), m.dropped
}

func keptBy(k *Keyring) (all []*macs) {
	k.loads.kept.Range(func(_, v any) bool {
		all = append(all, v.(kept)())
		return true
	})
	return all
}

// TestUsedWhileDropped has a beacon key at hand that the keyring drops: it goes on to be of
// use, and nothing of it is kept.
func TestUsedWhileDropped(t *testing.T) {
	keys, err := NewKeyStore(KeyStoreConfig{Store: one{}, Name: "name", Client: one{key: 1}, KeyARN: oneARN})
	require.NoError(t, err)
	k, err := New(Config{KeyStore: keys, ID: "a", Limits: cache.Limits{MaxAge: time.Hour}})
	require.NoError(t, err)
	defer k.Close()
	first := beaconMAC(t, k, "a")
	key, err := k.Beacon(t.Context(), "a")
	require.NoError(t, err)
	k.Purge("a")
	for range 2 {
		mac, err := key.AppendMAC(nil, "ssn", []byte("value"))
		require.NoError(t, err)
		assert.Equal(t, first, mac)
	}
	assert.Empty(t, key.macs().idle)
	assert.Empty(t, keptBy(k))
}

// TestClearDrops holds that Clear drops what was derived from a beacon key that no keyring
// keeps, and leaves to the keyring what it keeps.
func TestClearDrops(t *testing.T) {
	keys, err := NewKeyStore(KeyStoreConfig{Store: one{}, Name: "name", Client: one{key: 1}, KeyARN: oneARN})
	require.NoError(t, err)
	k, err := New(Config{KeyStore: keys, ID: "a", Limits: cache.Limits{MaxAge: time.Hour}})
	require.NoError(t, err)
	defer k.Close()
	for name, c := range map[string]struct {
		beacon func(context.Context, string) (*BeaconKey, error)
		kept   bool
	}{"key store": {keys.Beacon, false}, "keyring": {k.Beacon, true}} {
		t.Run(name, func(t *testing.T) {
			key, err := c.beacon(t.Context(), "a")
			require.NoError(t, err)
			_, err = key.AppendMAC(nil, "ssn", []byte("value"))
			require.NoError(t, err)
			key.Clear()
			idle, dropped := key.macs().look("ssn")
			assert.Equal(t, c.kept, idle == 1)
			assert.Equal(t, !c.kept, dropped)
		})
	}
	new(BeaconKey).Clear()
}

// TestNothingIsKeptOfTheValue looks for a value in all memory of an HMAC that was used once.
func TestNothingIsKeptOfTheValue(t *testing.T) {
	key := &BeaconKey{secret: newSecret([]byte("some beacon key")), macs: newMACs()}
	value := []byte("a value of which nothing is kept")
	for range 2 {
		_, err := key.AppendMAC(nil, "ssn", value)
		require.NoError(t, err)
		idle := key.macs().idle["ssn"]
		require.Len(t, idle, 1)
		memory := memoryOf(reflect.ValueOf(idle[0]))
		require.NotEmpty(t, memory)
		assert.NotContains(t, string(memory), string(value[:8]))
	}
}

// memoryOf returns all bytes that a value has or points to.
func memoryOf(v reflect.Value) (all []byte) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			all = memoryOf(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			all = append(all, memoryOf(v.Field(i))...)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			all = append(all, memoryOf(v.Index(i))...)
		}
	case reflect.Uint8:
		all = []byte{byte(v.Uint())}
	}
	return all
}

// TestKeptAreBounded asks for many names, and for one by many goroutines.
func TestKeptAreBounded(t *testing.T) {
	key := &BeaconKey{secret: newSecret([]byte("some beacon key")), macs: newMACs()}
	for i := range 2 * maxBeacons {
		_, err := key.AppendMAC(nil, fmt.Sprint(i), nil)
		require.NoError(t, err)
	}
	m := key.macs()
	assert.Len(t, m.idle, maxBeacons)
	for range m.most + 1 {
		m.put("0", hmac.New(sha512.New384, nil))
	}
	assert.Len(t, m.idle["0"], m.most)
	var taken []hash.Hash
	for mac := m.take("0"); mac != nil; mac = m.take("0") {
		assert.NotContains(t, taken, mac)
		taken = append(taken, mac)
	}
	assert.Len(t, taken, m.most)
}

// TestAppendMAC compares with the HMAC under the derived key, whichever goroutine computes it.
func TestAppendMAC(t *testing.T) {
	key := &BeaconKey{secret: newSecret([]byte("some beacon key")), macs: newMACs()}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 50 {
				name, value := fmt.Sprint("beacon ", (i+j)%3), fmt.Appendf(nil, "value %d", j%7)
				derived, err := key.Derive(name)
				if !assert.NoError(t, err) {
					return
				}
				mac := hmac.New(sha512.New384, derived)
				mac.Write(value)
				got, err := key.AppendMAC([]byte("before"), name, value)
				assert.NoError(t, err)
				assert.Equal(t, mac.Sum([]byte("before")), got)
			}
		})
	}
	wait.Wait()
	key.Clear()
	got, err := key.AppendMAC(nil, "beacon 0", nil)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	assert.Nil(t, got)
}
