package branchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
	"github.com/go-sealring/sealring/keyring/keyringtest"
)

func TestConformance(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	w.create(t, "b")
	fixed, stranger := w.keyring(t, nil), w.keyring(t, func(c *branchkey.Config) { c.ID = "b" })
	supplied := w.keyring(t, func(c *branchkey.Config) {
		c.ID = ""
		c.Supplier = func(keyring.EncryptionContext) (string, error) { return "a", nil }
	})
	for name, k := range map[string]*branchkey.Keyring{"ID": fixed, "supplier": supplied} {
		t.Run(name, func(t *testing.T) {
			keyringtest.Run(t, keyringtest.Keyring{Encrypter: k, Decrypter: k, Stranger: stranger, ContextBound: true})
		})
	}
	raw, err := keyring.NewRawAES("ns", "name", make([]byte, 32))
	require.NoError(t, err)
	multi, err := keyring.NewMulti(raw, fixed)
	require.NoError(t, err)
	t.Run("child", func(t *testing.T) {
		keyringtest.Run(t, keyringtest.Keyring{Encrypter: multi, Decrypter: fixed, Stranger: stranger, ContextBound: true})
	})
}

func TestMessageFormat(t *testing.T) {
	w := newWorld(t)
	id := "tenant/ключ"
	w.create(t, id)
	k := w.keyring(t, func(c *branchkey.Config) { c.ID = id })
	active, err := w.keys.Active(t.Context(), id)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, s := range []keyring.Suite{keyring.SuiteAES128GCM, keyring.SuiteAES192GCMHKDFSHA256, suite} {
		for range 20 {
			m := &keyring.EncryptionMaterials{Suite: s, Context: tenant}
			require.NoError(t, k.OnEncrypt(t.Context(), m))
			edk := m.EncryptedDataKeys[0]
			assert.Equal(t, "aws-kms-hierarchy", edk.ProviderID)
			assert.Equal(t, id, string(edk.ProviderInfo))
			require.Len(t, edk.Ciphertext, 60+s.DataKeyLen())
			assert.Equal(t, active.Version, versionOf(m))
			assert.Equal(t, active.Version, edk.KeyVersion())
			for _, part := range []string{string(edk.Ciphertext[:16]), string(edk.Ciphertext[16:28])} {
				assert.False(t, seen[part], "a salt or an IV came twice")
				seen[part] = true
			}
		}
	}
}

// TestFewCalls has many messages and contexts cost one call for each branch key.
func TestFewCalls(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	w.create(t, "b")
	k := w.keyring(t, by)
	client, err := envelope.New(k, nil)
	require.NoError(t, err)
	w.kms.ResetCalls()
	var messages [][]byte
	for i := range 200 {
		ec := keyring.EncryptionContext{"tenant": []string{"a", "b"}[i%2], "row": fmt.Sprint(i)}
		msg, err := client.Encrypt(t.Context(), []byte("secret"), ec)
		require.NoError(t, err)
		messages = append(messages, msg)
	}
	for _, msg := range messages {
		got, err := client.Decrypt(t.Context(), msg, nil)
		require.NoError(t, err)
		assert.Equal(t, "secret", string(got))
	}
	assert.Equal(t, 2, w.kms.Calls(kmstest.Match{}), "one for each of two branch keys, to write and to read")
	stats := k.Stats()
	assert.EqualValues(t, 2, stats.Loads)
	assert.EqualValues(t, 398, stats.Hits)
}

// TestWhatReadingCosts has messages under an older version and under the active one read,
// by keyrings in several states: a call for the active version, and one for the older.
func TestWhatReadingCosts(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	early := w.keyring(t, nil)
	older := wrapNew(t, early, tenant)
	_, err := w.keys.Version(t.Context(), "a")
	require.NoError(t, err)
	newer := wrapNew(t, w.keyring(t, nil), tenant)
	require.NotEqual(t, versionOf(older), versionOf(newer))

	type messages []*keyring.EncryptionMaterials
	for name, c := range map[string]struct {
		keyring *branchkey.Keyring
		read    messages
		calls   int
	}{
		"the active version": {nil, messages{newer, newer}, 1},
		"an older version":   {nil, messages{older, older}, 2},
		"both":               {nil, messages{newer, older, newer, older}, 2},
		"what this keyring takes to be the active version":              {early, messages{older, older}, 0},
		"a version newer than what this keyring takes to be the active": {early, messages{newer, older, newer}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			k := c.keyring
			if k == nil {
				k = w.keyring(t, nil)
			}
			w.kms.ResetCalls()
			for _, m := range c.read {
				unwraps(t, k, m)
			}
			assert.Equal(t, c.calls, w.kms.Calls(kmstest.Match{}))
		})
	}
}

// TestNoActiveVersion has readers to whom the active version is of no use: others are read
// all the same, and the active one is asked for no more than needed.
func TestNoActiveVersion(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(t, "a")
		m := wrapNew(t, w.keyring(t, nil), tenant)
		var asked atomic.Int64
		w.store.other = func(it branchkey.Item) branchkey.Item {
			if it.Type == typeActive {
				asked.Add(1)
				it.Attributes["hierarchy-version"] = "2"
			}
			return it
		}
		k := w.keyring(t, nil)
		for range 3 {
			unwraps(t, k, m)
		}
		assert.EqualValues(t, 1, asked.Load())
		require.ErrorIs(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite, Context: tenant}), branchkey.ErrHierarchyVersion)
	})
}

// TestDestroyedIsLookedForOnce has the rows of a tenant that is gone cost no more reads of
// the table than needed.
func TestDestroyedIsLookedForOnce(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(t, "a")
		m := wrapNew(t, w.keyring(t, nil), tenant)
		require.NoError(t, w.store.Delete(t.Context(), "a"))
		reads := 0
		w.store.gets = func() error { reads++; return nil }
		_, err := unwrap(t, w.keyring(t, nil), m)
		require.ErrorIs(t, err, branchkey.ErrNotFound)
		assert.Equal(t, 1, reads)
	})
}

// TestColdInAnOutage has a keyring that keeps nothing ask KMS once for each message in an
// outage, and not for the active version and then for another.
func TestColdInAnOutage(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(t, "a")
		m := wrapNew(t, w.keyring(t, nil), tenant)
		k := w.keyring(t, nil)
		w.kms.Outage(east, kmstest.InternalError)
		w.kms.ResetCalls()
		_, err := unwrap(t, k, m)
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		assert.Equal(t, 1, w.kms.Calls(kmstest.Match{}))
	})
}

// TestMillionFields has a million rows of ten thousand tenants, each with a context of its
// own, be written and read by a process: one call to KMS for each tenant, with the default
// bounds of the cache.
func TestMillionFields(t *testing.T) {
	const tenants = 10_000
	rows := 100
	if branchkey.RaceDetector {
		rows = 3
	}
	var calls atomic.Int64
	service := &openKMS{err: func() error { calls.Add(1); return nil }}
	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: branchkeytest.NewMemoryStore(), Name: storeName, Client: service, KeyARN: openKMSKey,
	})
	require.NoError(t, err)
	for i := range tenants {
		_, err := keys.Create(t.Context(), fmt.Sprint(i), tenant)
		require.NoError(t, err)
	}
	c := branchkey.Config{KeyStore: keys, Limits: cache.Limits{MaxAge: time.Hour}}
	by(&c)
	k, err := branchkey.New(c)
	require.NoError(t, err)
	defer k.Close()
	for row := range rows {
		for i := range tenants {
			m := &keyring.EncryptionMaterials{Suite: suite, Context: keyring.EncryptionContext{"tenant": fmt.Sprint(i), "row": fmt.Sprint(row)}}
			if err := k.OnEncrypt(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if got, err := unwrap(t, k, m); err != nil || !bytes.Equal(got, m.DataKey) {
				t.Fatal("unwrapped to another data key, or not:", err)
			}
		}
	}
	assert.EqualValues(t, tenants, calls.Load())
	stats := k.Stats()
	assert.EqualValues(t, tenants, stats.Loads)
	assert.Equal(t, tenants, stats.Entries)
	t.Logf("%d branch keys take %d bytes each by the cache's estimate", stats.Entries, stats.Bytes/int64(stats.Entries))
}

// TestOneFlight has a thousand goroutines meet one cold key.
func TestOneFlight(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(t, "a")
		var reads atomic.Int64
		w.store.gets = func() error { reads.Add(1); return nil }
		w.kms.Latency(east, 50*time.Millisecond)
		w.kms.ResetCalls()
		k := w.keyring(t, nil)
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				m := &keyring.EncryptionMaterials{Suite: suite, Context: keyring.EncryptionContext{"row": fmt.Sprint(i)}}
				assert.NoError(t, k.OnEncrypt(t.Context(), m))
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, reads.Load())
		assert.Equal(t, 1, w.kms.Calls(kmstest.Match{}))
	})
}

// TestNewVersion has a writer take a new version within the time to live, and readers read
// both before and after.
func TestNewVersion(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(t, "a")
		const maxAge = 300 * time.Millisecond
		k := w.keyring(t, func(c *branchkey.Config) { c.Limits.MaxAge = maxAge })
		old := wrapNew(t, k, tenant)
		next, err := w.keys.Version(t.Context(), "a")
		require.NoError(t, err)
		made := time.Now()
		fresh := w.keyring(t, nil)
		unwraps(t, fresh, old)
		now := wrapNew(t, fresh, tenant)
		unwraps(t, k, now)
		assert.Equal(t, next, versionOf(now))
		for time.Since(made) < maxAge {
			unwraps(t, k, wrapNew(t, k, tenant))
			time.Sleep(time.Millisecond)
		}
		assert.Equal(t, next, versionOf(wrapNew(t, k, tenant)))
		unwraps(t, k, old)
	})
}

func TestHostileHeader(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(t, "a")
		k := w.keyring(t, func(c *branchkey.Config) { c.MaxCalls = 3 })
		good := wrapNew(t, k, tenant).EncryptedDataKeys[0]
		junk := func(i byte) keyring.EncryptedDataKey {
			edk := good
			edk.Ciphertext = slices.Clone(good.Ciphertext)
			edk.Ciphertext[28] ^= i // the version, which is another then
			return edk
		}
		reads := 0
		w.store.gets = func() error { reads++; return nil }
		m := &keyring.EncryptionMaterials{Suite: suite, Context: tenant}
		for i := range 100 {
			m.EncryptedDataKeys = append(m.EncryptedDataKeys, junk(byte(i+1)))
		}
		m.EncryptedDataKeys = append(m.EncryptedDataKeys, good)
		_, err := unwrap(t, k, m)
		require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
		require.ErrorIs(t, err, branchkey.ErrNotFound)
		assert.ErrorContains(t, err, "98 of 101 encrypted data keys were not tried: MaxCalls is 3")
		assert.Equal(t, 6, reads)
		stats := k.Stats()
		assert.EqualValues(t, 3, stats.LoadsRejected, "a version that was made up is the message's fault")
		assert.Zero(t, stats.LoadsFailed)

		reads = 0
		_, err = unwrap(t, w.keyring(t, nil), m)
		assert.ErrorContains(t, err, "91 of 101 encrypted data keys were not tried: MaxCalls is 10")
		assert.Equal(t, 21, reads, "one for the active version, and two for each of ten")

		// Those of another length or ID cost nothing.
		reads = 0
		m.EncryptedDataKeys = nil
		for n := range 200 {
			if n != len(good.Ciphertext) {
				m.EncryptedDataKeys = append(m.EncryptedDataKeys, keyring.EncryptedDataKey{
					ProviderID: branchkey.ProviderID, ProviderInfo: good.ProviderInfo, Ciphertext: make([]byte, n),
				})
			}
		}
		other := good
		other.ProviderInfo = []byte("b")
		m.EncryptedDataKeys = append(m.EncryptedDataKeys, other)
		_, err = unwrap(t, k, m)
		require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
		assert.Zero(t, reads)
		m.EncryptedDataKeys = append(m.EncryptedDataKeys, good)
		_, err = unwrap(t, k, m)
		require.NoError(t, err)
	})
}

func TestSupplier(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	w.create(t, "b")
	k := w.keyring(t, by)
	a := wrapNew(t, k, keyring.EncryptionContext{"tenant": "a"})
	assert.Equal(t, "a", string(a.EncryptedDataKeys[0].ProviderInfo))
	unwraps(t, k, a)

	swapped := &keyring.EncryptionMaterials{Suite: suite, Context: keyring.EncryptionContext{"tenant": "b"}, EncryptedDataKeys: a.EncryptedDataKeys}
	_, err := unwrap(t, k, swapped)
	require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
	assert.ErrorContains(t, err, `but by "a"`)

	no := errors.New("no tenant")
	refusing := w.keyring(t, func(c *branchkey.Config) {
		c.ID, c.Supplier = "", func(keyring.EncryptionContext) (string, error) { return "", no }
	})
	require.ErrorIs(t, refusing.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}), no)
	_, err = unwrap(t, refusing, a)
	require.ErrorIs(t, err, no)
	require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
	reads := 0
	w.store.gets = func() error { reads++; return nil }
	for _, id := range []string{"", "\xff", "a\x00", strings.Repeat("x", 2049), strings.Repeat("x", 1<<16) + "a"} {
		err = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite, Context: keyring.EncryptionContext{"tenant": id}})
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
		stranger := &keyring.EncryptionMaterials{Suite: suite, Context: keyring.EncryptionContext{"tenant": id}, EncryptedDataKeys: slices.Clone(a.EncryptedDataKeys)}
		stranger.EncryptedDataKeys[0].ProviderInfo = []byte(id)
		_, err = unwrap(t, k, stranger)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	}
	assert.Zero(t, reads)
	assert.Zero(t, k.Stats().LoadsRejected, "the cache was asked")
}

func TestConfig(t *testing.T) {
	w := newWorld(t)
	for says, change := range map[string]func(*branchkey.Config){
		"KeyStore is nil": func(c *branchkey.Config) { c.KeyStore = nil },
		"not both": func(c *branchkey.Config) {
			c.Supplier = func(keyring.EncryptionContext) (string, error) { return "", nil }
		},
		"must be set":              func(c *branchkey.Config) { c.ID = "" },
		"not UTF-8":                func(c *branchkey.Config) { c.ID = "\xff" },
		"MaxCalls is -1":           func(c *branchkey.Config) { c.MaxCalls = -1 },
		"Limits.MaxAge is 0s":      func(c *branchkey.Config) { c.Limits.MaxAge = 0 },
		"a branch key is none":     func(c *branchkey.Config) { c.Limits.MaxMessages = 1 },
		"MaxBytes bound a data":    func(c *branchkey.Config) { c.Limits.MaxBytes = 1 },
		"Limits.MaxEntries is -1":  func(c *branchkey.Config) { c.Limits.MaxEntries = -1 },
		"Limits.LoadTimeout is -1": func(c *branchkey.Config) { c.Limits.LoadTimeout = -1 },
	} {
		t.Run(says, func(t *testing.T) {
			c := branchkey.Config{KeyStore: w.keys, ID: "a", Limits: limits}
			change(&c)
			_, err := branchkey.New(c)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.ErrorContains(t, err, says)
		})
	}
	err := w.keyring(t, nil).OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: 1})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
}

func TestClose(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	k := w.keyring(t, nil)
	m := wrapNew(t, k, tenant)
	require.NoError(t, k.Close())
	require.NoError(t, k.Close())
	require.ErrorIs(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}), cache.ErrClosed)
	_, err := unwrap(t, k, m)
	require.ErrorIs(t, err, cache.ErrClosed)
}

// TestOutage has the table, KMS and both be out. What is held goes on being used for
// StaleFor, and what is not fails with ErrUnavailable.
func TestOutage(t *testing.T) {
	down := errors.New("connection refused")
	for name, c := range map[string]struct{ table, kms bool }{
		"table": {true, false}, "KMS": {false, true}, "both": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			faketime.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.create(t, "a")
				w.create(t, "b")
				const maxAge = 100 * time.Millisecond
				var mu sync.Mutex
				out := false
				w.store.gets = func() error {
					mu.Lock()
					defer mu.Unlock()
					if out && c.table {
						return down
					}
					return nil
				}
				set := func(now bool) {
					mu.Lock()
					defer mu.Unlock()
					out = now
					if c.kms && now {
						w.kms.Outage(east, kmstest.InternalError)
					} else {
						w.kms.Restore(east)
					}
				}
				k := w.keyring(t, func(c *branchkey.Config) {
					by(c)
					c.Limits.MaxAge, c.Limits.StaleFor = maxAge, time.Hour
				})
				ec := keyring.EncryptionContext{"tenant": "a"}
				m := wrapNew(t, k, ec)
				unwraps(t, k, m)
				set(true)
				time.Sleep(maxAge + maxAge/10)
				for range 10 {
					unwraps(t, k, wrapNew(t, k, ec))
					unwraps(t, k, m)
				}
				assert.NotZero(t, k.Stats().StaleUses)
				err := k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite, Context: keyring.EncryptionContext{"tenant": "b"}})
				require.ErrorIs(t, err, keyring.ErrUnavailable)
				assert.NotContains(t, err.Error(), "\n")
				set(false)
				wrapNew(t, k, keyring.EncryptionContext{"tenant": "b"})
			})
		})
	}
}

// TestOutageOfAnother has messages under branch keys of two tables, both with the same ID. The
// one that is held unwraps them when the table is out, though it is not the first; and a
// message whose keys are all not held does not wait for the outage again and again.
func TestOutageOfAnother(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w, other := newWorld(t), newWorld(t)
		w.create(t, "a")
		other.create(t, "a")
		k := w.keyring(t, nil)
		both, err := keyring.NewMulti(other.keyring(t, nil), k)
		require.NoError(t, err)
		m := wrapNew(t, both, tenant)
		require.Len(t, m.EncryptedDataKeys, 2)
		unwraps(t, k, m)
		reads := 0
		w.store.gets = func() error { reads++; return errors.New("connection refused") }
		unwraps(t, k, m)
		assert.Equal(t, 1, reads)

		reads = 0
		hostile := &keyring.EncryptionMaterials{Suite: suite, Context: tenant}
		for i := range byte(10) {
			edk := m.EncryptedDataKeys[0]
			edk.Ciphertext = slices.Clone(edk.Ciphertext)
			edk.Ciphertext[28] ^= i
			hostile.EncryptedDataKeys = append(hostile.EncryptedDataKeys, edk)
		}
		_, err = unwrap(t, k, hostile)
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		assert.Equal(t, 2, reads)
	})
}

// TestHeldVersionInAnOutage has the table go out when the active version has reached MaxAge and
// an older one, which was read later, has not.
func TestHeldVersionInAnOutage(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		store := &testStore{Store: branchkeytest.NewMemoryStore()}
		keys := branchkeytest.PlaintextKeyStoreForTests(store)
		_, err := keys.Create(t.Context(), "a", tenant)
		require.NoError(t, err)
		newKeyring := func() *branchkey.Keyring {
			k, err := branchkey.New(branchkey.Config{KeyStore: keys, ID: "a", Limits: cache.Limits{MaxAge: 10 * time.Minute, NoRefresh: true}})
			require.NoError(t, err)
			return k
		}
		writer, k := newKeyring(), newKeyring()
		defer synctest.Wait()
		defer writer.Close()
		defer k.Close()
		older := wrapNew(t, writer, tenant)
		_, err = keys.Version(t.Context(), "a")
		require.NoError(t, err)
		newer := wrapNew(t, k, tenant)
		time.Sleep(6 * time.Minute)
		unwraps(t, k, older)
		time.Sleep(6 * time.Minute)
		reads := 0
		store.gets = func() error { reads++; return errors.New("connection refused") }
		for range 3 {
			unwraps(t, k, older)
		}
		assert.Equal(t, 1, reads, "of the active version, which cannot be had")
		_, err = unwrap(t, k, newer)
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		time.Sleep(6 * time.Minute)
		_, err = unwrap(t, k, older)
		require.ErrorIs(t, err, keyring.ErrUnavailable, "it is past MaxAge")
	})
}

// TestAccessEnds has kms:Decrypt be withdrawn, the table deny access, and the branch key
// be destroyed by another process: each ends the use, of stale keys too.
func TestAccessEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*testing.T, *world)
		want func(error) bool
	}{
		"KMS": {func(t *testing.T, w *world) { t.Cleanup(w.kms.Deny("kms:Decrypt", w.key)) }, func(err error) bool {
			var e *awskms.Error
			return errors.As(err, &e) && e.Refused()
		}},
		"table":     {func(_ *testing.T, w *world) { w.store.gets = func() error { return refusal{} } }, func(err error) bool { return errors.Is(err, refusal{}) }},
		"destroyed": {func(t *testing.T, w *world) { require.NoError(t, w.store.Delete(t.Context(), "a")) }, func(err error) bool { return errors.Is(err, branchkey.ErrNotFound) }},
	} {
		t.Run(name, func(t *testing.T) {
			faketime.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.create(t, "a")
				const maxAge = 100 * time.Millisecond
				k := w.keyring(t, func(c *branchkey.Config) {
					c.Limits = cache.Limits{MaxAge: maxAge, StaleFor: time.Hour, NoRefresh: true}
				})
				m := wrapNew(t, k, tenant)
				unwraps(t, k, m)
				c.end(t, w)
				time.Sleep(maxAge + maxAge/10)
				for range 3 {
					err := k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite, Context: tenant})
					assert.True(t, c.want(err), "%v", err)
					_, err = unwrap(t, k, m)
					assert.True(t, c.want(err), "%v", err)
					require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
					assert.NotErrorIs(t, err, keyring.ErrUnavailable)
				}
			})
		})
	}
}

// TestTwoRegions has branch keys that one region made used in another, with the replica of a
// multi-Region key there. They go on being used, and cold keyrings start, when the first
// region is down.
func TestTwoRegions(t *testing.T) {
	w := newWorld(t)
	mrk := w.kms.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	replica := w.kms.Replicate(mrk, west)
	first := w.keyStore(t, func(c *branchkey.KeyStoreConfig) { c.KeyARN, c.MRKAware = mrk, true })
	second := w.keyStore(t, func(c *branchkey.KeyStoreConfig) {
		c.Client, c.KeyARN, c.MRKAware = newClient(w.kms, west), replica, true
	})
	_, err := first.Create(t.Context(), "a", tenant)
	require.NoError(t, err)
	old := wrapNew(t, w.keyring(t, func(c *branchkey.Config) { c.KeyStore = first }), tenant)
	_, err = first.Version(t.Context(), "a")
	require.NoError(t, err)

	w.kms.Outage(east, kmstest.InternalError)
	w.kms.ResetCalls()
	k := w.keyring(t, func(c *branchkey.Config) { c.KeyStore = second })
	unwraps(t, k, old)
	unwraps(t, k, wrapNew(t, k, tenant))
	_, err = second.Version(t.Context(), "a")
	require.NoError(t, err)
	unwraps(t, w.keyring(t, func(c *branchkey.Config) { c.KeyStore = second }), old)
	assert.Zero(t, w.kms.Calls(kmstest.Match{Region: east}))

	// Both are the same branch key for the first region when it is back.
	w.kms.Restore(east)
	unwraps(t, w.keyring(t, func(c *branchkey.Config) { c.KeyStore = first }), wrapNew(t, w.keyring(t, func(c *branchkey.Config) { c.KeyStore = second }), tenant))
}

// TestCallerGoesAway has a caller with less time than a load takes.
func TestCallerGoesAway(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(t, "a")
		k := w.keyring(t, nil)
		w.kms.Latency(east, 200*time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		m := &keyring.EncryptionMaterials{Suite: suite, Context: tenant}
		require.ErrorIs(t, k.OnEncrypt(ctx, m), context.DeadlineExceeded)
		assert.Nil(t, m.DataKey)
		m = wrapNew(t, k, tenant)
		_, err := unwrapUnder(ctx, w.keyring(t, nil), m)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		// In the middle of it too. That says nothing of the message.
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err = unwrapUnder(ctx, w.keyring(t, nil), m)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotErrorIs(t, err, keyring.ErrNoMatchingKey)
		unwraps(t, k, m)
	})
}

// TestUnderLoad has writers and readers, each with a keyring of its own, while new versions
// are made. Nothing fails, and after the time to live all write under the last version.
func TestUnderLoad(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(t, "a")
		const maxAge = 100 * time.Millisecond
		var keyrings []*branchkey.Keyring
		for range 4 {
			other := w.keyStore(t, nil)
			keyrings = append(keyrings, w.keyring(t, func(c *branchkey.Config) { c.KeyStore, c.Limits.MaxAge = other, maxAge }))
		}
		stop := make(chan struct{})
		messages := make(chan *keyring.EncryptionMaterials, 64)
		var writers, readers sync.WaitGroup
		for i, k := range keyrings {
			writers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					m := &keyring.EncryptionMaterials{Suite: suite, Context: tenant}
					if assert.NoError(t, k.OnEncrypt(t.Context(), m)) {
						messages <- m
					}
					time.Sleep(time.Millisecond)
				}
			})
			readers.Go(func() {
				for m := range messages {
					got, err := unwrap(t, keyrings[(i+1)%len(keyrings)], m)
					assert.NoError(t, err)
					assert.Equal(t, m.DataKey, got)
				}
			})
		}
		var last string
		for range 5 {
			time.Sleep(maxAge / 2)
			var err error
			last, err = w.keys.Version(t.Context(), "a")
			require.NoError(t, err)
		}
		time.Sleep(maxAge + maxAge/2)
		for _, k := range keyrings {
			m := wrapNew(t, k, tenant)
			assert.Equal(t, last, versionOf(m))
		}
		close(stop)
		writers.Wait()
		close(messages)
		readers.Wait()
	})
}

// TestKeyringBeacon has a keyring keep beacon keys, apart from the versions of the branch
// key, until the branch key is destroyed.
func TestKeyringBeacon(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	w.create(t, "b")
	kr := w.keyring(t, nil)
	w.kms.ResetCalls()
	derive := func(source interface {
		Beacon(context.Context, string) (*branchkey.BeaconKey, error)
	}, id string) string {
		key, err := source.Beacon(t.Context(), id)
		require.NoError(t, err)
		defer key.Clear()
		derived, err := key.Derive("ssn")
		require.NoError(t, err)
		return string(derived)
	}
	first := derive(kr, "a")
	assert.Equal(t, first, derive(kr, "a"), "what was returned is cleared, and not what is kept")
	assert.NotEqual(t, first, derive(kr, "b"))
	assert.Equal(t, 2, w.kms.Calls(kmstest.Match{}), "one call for each branch key")
	assert.Equal(t, first, derive(w.keys, "a"))

	_, err := kr.Beacon(t.Context(), "")
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = kr.Beacon(t.Context(), "c")
	require.ErrorIs(t, err, branchkey.ErrNotFound)
	require.NoError(t, w.keys.Destroy(t.Context(), "a", "a"))
	_, err = kr.Beacon(t.Context(), "a")
	require.ErrorIs(t, err, branchkey.ErrNotFound)
	require.NoError(t, kr.Close())
	_, err = kr.Beacon(t.Context(), "b")
	require.ErrorIs(t, err, cache.ErrClosed)
}
