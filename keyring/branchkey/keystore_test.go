package branchkey_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
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
)

// TestLayout holds the items that Create and Version write, and the calls that they make.
func TestLayout(t *testing.T) {
	w := newWorld(t)
	w.keys = w.keyStore(t, func(c *branchkey.KeyStoreConfig) { c.GrantTokens = []string{"token"} })
	id, err := w.keys.Create(t.Context(), "a", keyring.EncryptionContext{"tenant": "42", "π": ""})
	require.NoError(t, err)
	assert.Equal(t, "a", id)

	items, err := w.store.List(t.Context(), "a")
	require.NoError(t, err)
	require.Len(t, items, 3)
	byType := map[string]branchkey.Item{}
	var version string
	for _, it := range items {
		byType[it.Type] = it
		assert.Equal(t, "a", it.ID)
		assert.NotEmpty(t, it.Enc)
		if v, ok := strings.CutPrefix(it.Type, "branch:version:"); ok {
			version = v
			assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, v)
		}
	}
	base := map[string]string{
		"kms-arn": w.key, "hierarchy-version": "1", "aws-crypto-ec:tenant": "42", "aws-crypto-ec:π": "",
		"create-time": byType[typeActive].Attributes["create-time"],
	}
	assert.Regexp(t, `^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`, base["create-time"])
	made, err := time.Parse(time.RFC3339Nano, base["create-time"])
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), made, time.Minute)
	assert.Equal(t, base, byType["branch:version:"+version].Attributes)
	assert.Equal(t, base, byType[typeBeacon].Attributes)
	active := maps.Clone(base)
	active["version"] = "branch:version:" + version
	assert.Equal(t, active, byType[typeActive].Attributes)

	in := func(it branchkey.Item) map[string]string {
		ec := maps.Clone(it.Attributes)
		ec["branch-key-id"], ec["type"], ec["tablename"] = it.ID, it.Type, storeName
		return ec
	}
	calls := w.kms.Log(kmstest.Match{})
	calls = calls[len(calls)-3:]
	for i, want := range []struct {
		operation string
		from, to  map[string]string
	}{
		{"GenerateDataKeyWithoutPlaintext", in(byType["branch:version:"+version]), nil},
		{"ReEncrypt", in(byType["branch:version:"+version]), in(byType[typeActive])},
		{"GenerateDataKeyWithoutPlaintext", in(byType[typeBeacon]), nil},
	} {
		assert.Equal(t, want.operation, calls[i].Operation)
		assert.Equal(t, want.from, calls[i].EncryptionContext)
		assert.Equal(t, want.to, calls[i].DestinationContext)
		assert.Equal(t, w.key, calls[i].KeyID)
		assert.Equal(t, []string{"token"}, calls[i].GrantTokens)
		assert.Contains(t, calls[i].UserAgent, "sealring")
	}

	w.kms.ResetCalls()
	next, err := w.keys.Version(t.Context(), "a")
	require.NoError(t, err)
	assert.NotEqual(t, version, next)
	assert.Equal(t, byType[typeBeacon], w.item(t, "a", typeBeacon))
	assert.Equal(t, byType["branch:version:"+version], w.item(t, "a", "branch:version:"+version))
	now, nextItem := w.item(t, "a", typeActive), w.item(t, "a", "branch:version:"+next)
	assert.Equal(t, "branch:version:"+next, now.Attributes["version"])
	calls = w.kms.Log(kmstest.Match{})
	require.Len(t, calls, 3)
	assert.Equal(t, in(byType[typeActive]), calls[0].EncryptionContext, "the old active item is authenticated")
	assert.Equal(t, in(byType[typeActive]), calls[0].DestinationContext)
	assert.Equal(t, in(nextItem), calls[1].EncryptionContext)
	assert.Equal(t, in(nextItem), calls[2].EncryptionContext)
	assert.Equal(t, in(now), calls[2].DestinationContext)
	assert.Zero(t, w.kms.Calls(kmstest.Match{Operation: "Decrypt"}), "an administrator needs no kms:Decrypt")

	w.kms.ResetCalls()
	k, err := w.keys.Active(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, branchkey.VersionInfo{ID: "a", Version: next, Active: true, Created: now.Attributes["create-time"],
		KMSKey: w.key, Context: keyring.EncryptionContext{"tenant": "42", "π": ""}}, k.VersionInfo)
	call, _ := w.kms.LastCall(kmstest.Match{})
	assert.Equal(t, "Decrypt", call.Operation)
	assert.Equal(t, w.key, call.KeyID)
	assert.Equal(t, []string{"token"}, call.GrantTokens)
	assert.Contains(t, call.UserAgent, "sealring")
	assert.Equal(t, in(now), call.EncryptionContext)
	k, err = w.keys.ByVersion(t.Context(), "a", version)
	require.NoError(t, err)
	assert.Equal(t, version, k.Version)
	assert.False(t, k.Active)
	beacon, err := w.keys.Beacon(t.Context(), "a")
	require.NoError(t, err)
	derived, err := beacon.Derive("ssn")
	require.NoError(t, err)
	assert.Len(t, derived, 64)
	assert.Equal(t, 3, w.kms.Calls(kmstest.Match{}), "one call for each read")

	infos, err := w.keys.List(t.Context(), "a")
	require.NoError(t, err)
	require.Len(t, infos, 2)
	assert.Equal(t, next, infos[0].Version)
	assert.True(t, infos[0].Active)
	assert.Equal(t, version, infos[1].Version)
	assert.False(t, infos[1].Active)
}

func TestCreate(t *testing.T) {
	w := newWorld(t)
	id, err := w.keys.Create(t.Context(), "", nil)
	require.NoError(t, err)
	assert.Len(t, id, 36)
	_, err = w.keys.Active(t.Context(), id)
	require.NoError(t, err)
	_, err = w.keys.Create(t.Context(), "", tenant)
	require.NoError(t, err)

	w.create(t, "a")
	before := w.item(t, "a", typeActive)
	_, err = w.keys.Create(t.Context(), "a", tenant)
	require.ErrorIs(t, err, branchkey.ErrExists)
	assert.ErrorContains(t, err, `branch key "a"`)
	assert.Equal(t, before, w.item(t, "a", typeActive))

	for name, c := range map[string]struct {
		id   string
		ec   keyring.EncryptionContext
		says string
	}{
		"no context":    {"b", nil, "needs an encryption context"},
		"long ID":       {strings.Repeat("x", 2049), tenant, "2048 bytes"},
		"ID not UTF-8":  {"\xff", tenant, "not UTF-8"},
		"zero byte":     {"a\x00b", tenant, "zero byte"},
		"reserved pair": {"b", keyring.EncryptionContext{"aws-crypto-x": ""}, "reserved"},
		"empty key":     {"b", keyring.EncryptionContext{"": "x"}, "a key is empty"},
		"not UTF-8":     {"b", keyring.EncryptionContext{"x": "\xff"}, "UTF-8"},
		"long context":  {"b", keyring.EncryptionContext{"x": strings.Repeat("y", 8192)}, "KMS takes 8192"},
	} {
		t.Run(name, func(t *testing.T) {
			w.kms.ResetCalls()
			_, err := w.keys.Create(t.Context(), c.id, c.ec)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.ErrorContains(t, err, c.says)
			assert.Zero(t, w.kms.Calls(kmstest.Match{}))
		})
	}
}

// TestAlteredItem alters each attribute of each item, and what its key is. KMS refuses it,
// and the error names the item and the attribute.
func TestAlteredItem(t *testing.T) {
	w := newWorld(t)
	_, err := w.keys.Create(t.Context(), "a", tenant)
	require.NoError(t, err)
	other := w.kms.CreateKey(east, kmstest.SymmetricDefault)
	first, err := w.keys.Active(t.Context(), "a")
	require.NoError(t, err)
	version := first.Version
	anyKey := w.keyStore(t, func(c *branchkey.KeyStoreConfig) {
		c.KeyARN, c.Discovery = "", &branchkey.Discovery{AnyAccount: true}
	})
	read := map[string]func(*branchkey.KeyStore) error{
		typeActive: func(s *branchkey.KeyStore) error { _, err := s.Active(t.Context(), "a"); return err },
		"branch:version:" + version: func(s *branchkey.KeyStore) error {
			_, err := s.ByVersion(t.Context(), "a", version)
			return err
		},
		typeBeacon: func(s *branchkey.KeyStore) error { _, err := s.Beacon(t.Context(), "a"); return err },
		"Version":  func(s *branchkey.KeyStore) error { _, err := s.Version(t.Context(), "a"); return err },
	}
	for what, call := range read {
		itemType := what
		if what == "Version" {
			itemType = typeActive
		}
		original := w.item(t, "a", itemType)
		alter := func(name, attribute string, keys *branchkey.KeyStore, change func(*branchkey.Item)) {
			t.Run(what+" "+name, func(t *testing.T) {
				w.store.other = func(it branchkey.Item) branchkey.Item {
					change(&it)
					return it
				}
				defer func() { w.store.other = nil }()
				err := call(keys)
				var e *branchkey.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, "a", e.ID)
				assert.Equal(t, itemType, e.Type)
				assert.Contains(t, e.Attributes, attribute)
				assert.ErrorContains(t, err, attribute)
				assert.NotContains(t, err.Error(), "\n")
				var k *awskms.Error
				require.ErrorAs(t, err, &k, "KMS was not asked")
				assert.False(t, k.Unavailable())
				assert.NotContains(t, err.Error(), hex.EncodeToString(original.Enc[:8]))
			})
		}
		for _, name := range slices.Sorted(maps.Keys(original.Attributes)) {
			if name == "kms-arn" || name == "hierarchy-version" {
				continue // below
			}
			value := original.Attributes[name]
			changed := value + "x"
			if name == "version" {
				changed = "branch:version:01234567-89ab-4cde-8f01-23456789abcd"
			}
			alter(name, name, w.keys, func(it *branchkey.Item) { it.Attributes[name] = changed })
			if name != "version" && name != "create-time" {
				alter("without "+name, "kms-arn", w.keys, func(it *branchkey.Item) { delete(it.Attributes, name) })
				alter("renamed "+name, name+"y", w.keys, func(it *branchkey.Item) {
					delete(it.Attributes, name)
					it.Attributes[name+"y"] = value
				})
			}
		}
		alter("one more", "more", w.keys, func(it *branchkey.Item) { it.Attributes["more"] = "" })
		if what != "Version" {
			alter("kms-arn", "kms-arn", anyKey, func(it *branchkey.Item) { it.Attributes["kms-arn"] = other })
		}
		for i := 0; i < len(original.Enc); i += 7 {
			alter(fmt.Sprintf("enc byte %d", i), "kms-arn", w.keys, func(it *branchkey.Item) { it.Enc[i] ^= 1 })
		}
		other := w.keyStore(t, func(c *branchkey.KeyStoreConfig) { c.Name = "another" })
		alter("logical name", "kms-arn", other, func(*branchkey.Item) {})
	}
	// One item's wrapped key in another item.
	for from := range read {
		for to, call := range read {
			if from == "Version" || to == "Version" || from == to {
				continue
			}
			enc := w.item(t, "a", from).Enc
			w.store.other = func(it branchkey.Item) branchkey.Item {
				it.Enc = enc
				return it
			}
			var k *awskms.Error
			require.ErrorAs(t, call(w.keys), &k)
			assert.Equal(t, "InvalidCiphertextException", k.Code)
		}
	}
	w.store.other = nil
	for _, call := range read {
		require.NoError(t, call(w.keys))
	}
}

// TestForeignItem has items that are not sent to KMS.
func TestForeignItem(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	replica := w.key[:strings.LastIndex(w.key, "/")+1] + "mrk-0123456789abcdef0123456789abcdef"
	for name, c := range map[string]struct {
		change    func(*branchkey.Item)
		attribute string
		want      error
		says      string
	}{
		"another ID":   {func(it *branchkey.Item) { it.ID = "b" }, "branch-key-id", branchkey.ErrForeignItem, `item "branch:ACTIVE" of "b"`},
		"another type": {func(it *branchkey.Item) { it.Type = typeBeacon }, "type", branchkey.ErrForeignItem, `item "beacon:ACTIVE" of "a"`},
		"hierarchy-version 2": {func(it *branchkey.Item) { it.Attributes["hierarchy-version"] = "2" }, "hierarchy-version",
			branchkey.ErrHierarchyVersion, `it is "2": hierarchy-version is not 1`},
		"hierarchy-version 01": {func(it *branchkey.Item) { it.Attributes["hierarchy-version"] = "01" }, "hierarchy-version",
			branchkey.ErrHierarchyVersion, `"01"`},
		"no hierarchy-version": {func(it *branchkey.Item) { delete(it.Attributes, "hierarchy-version") }, "hierarchy-version",
			branchkey.ErrForeignItem, "hierarchy-version is missing"},
		"no create-time": {func(it *branchkey.Item) { delete(it.Attributes, "create-time") }, "create-time",
			branchkey.ErrForeignItem, "create-time is missing"},
		"no version": {func(it *branchkey.Item) { delete(it.Attributes, "version") }, "version", branchkey.ErrForeignItem, "version is missing"},
		"version not a UUID": {func(it *branchkey.Item) { it.Attributes["version"] = "branch:version:x" }, "version",
			branchkey.ErrForeignItem, `version is "branch:version:x", not`},
		"version in upper case": {func(it *branchkey.Item) {
			it.Attributes["version"] = "branch:version:" + strings.ToUpper("01234567-89ab-4cde-8f01-23456789abcd")
		},
			"version", branchkey.ErrForeignItem, "in lower case"},
		"UUID alone": {func(it *branchkey.Item) { it.Attributes["version"] = "01234567-89ab-4cde-8f01-23456789abcd" }, "version",
			branchkey.ErrForeignItem, "not branch:version:"},
		"dashes elsewhere": {func(it *branchkey.Item) {
			it.Attributes["version"] = "branch:version:0123456-789ab-4cde-8f01-23456789abcd"
		}, "version",
			branchkey.ErrForeignItem, "UUID"},
		"no enc":      {func(it *branchkey.Item) { it.Enc = nil }, "enc", branchkey.ErrForeignItem, "enc is missing"},
		"long enc":    {func(it *branchkey.Item) { it.Enc = make([]byte, 6145) }, "enc", branchkey.ErrForeignItem, "6145 bytes, KMS takes 6144"},
		"enc twice":   {func(it *branchkey.Item) { it.Attributes["enc"] = "x" }, "enc", branchkey.ErrForeignItem, "cannot be among"},
		"ID twice":    {func(it *branchkey.Item) { it.Attributes["branch-key-id"] = "x" }, "branch-key-id", branchkey.ErrForeignItem, "cannot be among"},
		"tablename":   {func(it *branchkey.Item) { it.Attributes["tablename"] = "x" }, "tablename", branchkey.ErrForeignItem, "cannot be among"},
		"no name":     {func(it *branchkey.Item) { it.Attributes[""] = "x" }, "", branchkey.ErrForeignItem, "cannot be among"},
		"not UTF-8":   {func(it *branchkey.Item) { it.Attributes["x"] = "\xff" }, "x", branchkey.ErrForeignItem, "x is not UTF-8"},
		"no kms-arn":  {func(it *branchkey.Item) { delete(it.Attributes, "kms-arn") }, "kms-arn", branchkey.ErrForeignItem, "kms-arn is none of a key"},
		"alias":       {func(it *branchkey.Item) { it.Attributes["kms-arn"] = "arn:aws:kms:us-east-1:111122223333:alias/x" }, "kms-arn", branchkey.ErrForeignItem, "kms-arn"},
		"another key": {func(it *branchkey.Item) { it.Attributes["kms-arn"] = replica }, "kms-arn", branchkey.ErrKMSKey, "KeyARN is " + w.key},
	} {
		t.Run(name, func(t *testing.T) {
			w.store.other = func(it branchkey.Item) branchkey.Item {
				c.change(&it)
				return it
			}
			defer func() { w.store.other = nil }()
			w.kms.ResetCalls()
			_, err := w.keys.Active(t.Context(), "a")
			_, versionErr := w.keys.Version(t.Context(), "a")
			for _, err := range []error{err, versionErr} {
				require.ErrorIs(t, err, c.want)
				assert.ErrorContains(t, err, c.says)
				var e *branchkey.Error
				require.ErrorAs(t, err, &e)
				assert.Contains(t, e.Attributes, c.attribute)
				assert.NotErrorIs(t, err, keyring.ErrUnavailable)
			}
			assert.Zero(t, w.kms.Calls(kmstest.Match{}))
		})
	}

	t.Run("huge", func(t *testing.T) {
		w.store.other = func(it branchkey.Item) branchkey.Item {
			it.Attributes[strings.Repeat("n", 1<<20)] = strings.Repeat("v", 1<<20)
			return it
		}
		defer func() { w.store.other = nil }()
		_, err := w.keys.Active(t.Context(), "a")
		require.ErrorIs(t, err, branchkey.ErrForeignItem)
		assert.ErrorContains(t, err, "KMS takes 8192")
		assert.Less(t, len(err.Error()), 1000)
	})

	t.Run("version of a version", func(t *testing.T) {
		k, err := w.keys.Active(t.Context(), "a")
		require.NoError(t, err)
		w.store.other = func(it branchkey.Item) branchkey.Item {
			it.Attributes["version"] = it.Type
			return it
		}
		defer func() { w.store.other = nil }()
		_, err = w.keys.ByVersion(t.Context(), "a", k.Version)
		require.ErrorIs(t, err, branchkey.ErrForeignItem)
		_, err = w.keys.Beacon(t.Context(), "a")
		require.ErrorIs(t, err, branchkey.ErrForeignItem)
	})
	t.Run("a key of another length", func(t *testing.T) {
		client := newClient(w.kms, east)
		w.alter(t, "a", typeActive, func(it *branchkey.Item) {
			ec := maps.Clone(it.Attributes)
			ec["branch-key-id"], ec["type"], ec["tablename"] = it.ID, it.Type, storeName
			out, err := client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &w.key, Plaintext: make([]byte, 31), EncryptionContext: ec})
			require.NoError(t, err)
			it.Enc = out.CiphertextBlob
		})
		_, err := w.keys.Active(t.Context(), "a")
		require.ErrorIs(t, err, branchkey.ErrForeignItem)
		assert.ErrorContains(t, err, "holds 31 bytes")
	})
	t.Run("in a list", func(t *testing.T) {
		require.NoError(t, w.store.Put(t.Context(), branchkey.Put{Item: branchkey.Item{
			ID: "a", Type: "something", Enc: []byte("x"), Attributes: map[string]string{"hierarchy-version": "1", "create-time": "x"},
		}}))
		_, err := w.keys.List(t.Context(), "a")
		require.ErrorIs(t, err, branchkey.ErrForeignItem)
	})
}

// TestHostileNames has attributes and items whose names would make lines of their own in a
// log, or control a terminal.
func TestHostileNames(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	const name = "x\n2026-01-01 all is well\r\x1b[31m\u2028\u202e"
	holds := func(t *testing.T, err error) {
		t.Helper()
		require.Error(t, err)
		at := strings.IndexFunc(err.Error(), func(r rune) bool { return !strconv.IsPrint(r) })
		assert.Negative(t, at, "%.300q", err)
	}
	for what, change := range map[string]func(*branchkey.Item){
		"one more":  func(it *branchkey.Item) { it.Attributes[name] = "" },
		"not UTF-8": func(it *branchkey.Item) { it.Attributes[name] = "\xff" },
		"kms-arn":   func(it *branchkey.Item) { it.Attributes["kms-arn"] = name },
		"version":   func(it *branchkey.Item) { it.Attributes["version"] = name },
		"hierarchy": func(it *branchkey.Item) { it.Attributes["hierarchy-version"] = name },
		"type":      func(it *branchkey.Item) { it.Type = name },
		"ID":        func(it *branchkey.Item) { it.ID = name },
	} {
		t.Run(what, func(t *testing.T) {
			w.store.other = func(it branchkey.Item) branchkey.Item {
				change(&it)
				return it
			}
			defer func() { w.store.other = nil }()
			_, err := w.keys.Active(t.Context(), "a")
			holds(t, err)
		})
	}
	for what, itemType := range map[string]string{"type in a list": name, "long type in a list": strings.Repeat("\n", 255)} {
		t.Run(what, func(t *testing.T) {
			it := branchkey.Item{ID: what, Type: itemType, Enc: []byte("x"), Attributes: map[string]string{"hierarchy-version": "1", "create-time": "x"}}
			require.NoError(t, w.store.Put(t.Context(), branchkey.Put{Item: it}))
			_, err := w.keys.List(t.Context(), what)
			holds(t, err)
		})
	}
}

// TestAnswers has KMS answer with what must not be believed.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	other := w.kms.CreateKey(east, kmstest.SymmetricDefault)
	for name, change := range map[string]func(map[string]any){
		"another key":   func(a map[string]any) { a["KeyId"] = other },
		"no key":        func(a map[string]any) { delete(a, "KeyId") },
		"no ciphertext": func(a map[string]any) { delete(a, "CiphertextBlob"); a["Plaintext"] = []byte(nil); delete(a, "KeyId") },
		"long":          func(a map[string]any) { a["CiphertextBlob"] = make([]byte, 7000); a["KeyId"] = other },
	} {
		for operation, call := range map[string]func() error{
			"Decrypt":                         func() error { _, err := w.keys.Active(t.Context(), "a"); return err },
			"ReEncrypt":                       func() error { _, err := w.keys.Version(t.Context(), "a"); return err },
			"GenerateDataKeyWithoutPlaintext": func() error { _, err := w.keys.Create(t.Context(), "", nil); return err },
		} {
			t.Run(operation+" "+name, func(t *testing.T) {
				w.kms.Tamper(func(op string, a map[string]any) {
					if op == operation {
						change(a)
					}
				})
				defer w.kms.Tamper(nil)
				err := call()
				var e *awskms.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, "InvalidAnswer", e.Code)
				require.ErrorIs(t, err, keyring.ErrUnavailable)
			})
		}
	}
	w.kms.Tamper(func(op string, a map[string]any) {
		if op == "ReEncrypt" {
			a["SourceKeyId"] = other
		}
	})
	_, err := w.keys.Version(t.Context(), "a")
	assert.ErrorContains(t, err, "another key")

	// A wrapped key that could not be read again, from the right key.
	before, err := w.store.List(t.Context(), "a")
	require.NoError(t, err)
	for _, operation := range []string{"GenerateDataKeyWithoutPlaintext", "ReEncrypt"} {
		for says, blob := range map[string][]byte{"a ciphertext of 0 bytes": nil, "a ciphertext of 6145 bytes": make([]byte, 6145)} {
			w.kms.Tamper(func(op string, a map[string]any) {
				if op == operation {
					a["CiphertextBlob"] = blob
				}
			})
			_, createErr := w.keys.Create(t.Context(), "b", tenant)
			_, versionErr := w.keys.Version(t.Context(), "a")
			for _, err := range []error{createErr, versionErr} {
				require.ErrorIs(t, err, keyring.ErrUnavailable)
				assert.ErrorContains(t, err, says)
			}
		}
	}
	w.kms.Tamper(nil)
	after, err := w.store.List(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, before, after)
	_, err = w.keys.Active(t.Context(), "b")
	require.ErrorIs(t, err, branchkey.ErrNotFound)
}

func TestDenied(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	for action, call := range map[string]func() error{
		"kms:Decrypt":                         func() error { _, err := w.keys.Active(t.Context(), "a"); return err },
		"kms:ReEncryptFrom":                   func() error { _, err := w.keys.Version(t.Context(), "a"); return err },
		"kms:ReEncryptTo":                     func() error { _, err := w.keys.Version(t.Context(), "a"); return err },
		"kms:GenerateDataKeyWithoutPlaintext": func() error { _, err := w.keys.Create(t.Context(), "", nil); return err },
	} {
		allow := w.kms.Deny(action, w.key)
		err := call()
		var e *awskms.Error
		require.ErrorAs(t, err, &e, action)
		assert.True(t, e.Refused())
		assert.ErrorContains(t, err, "denied")
		assert.NotErrorIs(t, err, keyring.ErrUnavailable)
		allow()
		require.NoError(t, call())
	}
}

// TestConfigurations has each of the four KMS configurations read what each that can
// create has created.
func TestConfigurations(t *testing.T) {
	w := newWorld(t)
	mrk := w.kms.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	replica := w.kms.Replicate(mrk, west)
	in := func(region string, change func(*branchkey.KeyStoreConfig)) *branchkey.KeyStore {
		return w.keyStore(t, func(c *branchkey.KeyStoreConfig) {
			c.Client, c.KeyARN = newClient(w.kms, region), ""
			change(c)
		})
	}
	discovery := func(mrkAware bool) func(*branchkey.KeyStoreConfig) {
		return func(c *branchkey.KeyStoreConfig) {
			c.Discovery, c.MRKAware = &branchkey.Discovery{Accounts: []string{"111122223333"}}, mrkAware
		}
	}
	stores := map[string]*branchkey.KeyStore{
		"one key":              w.keys,
		"replica":              in(east, func(c *branchkey.KeyStoreConfig) { c.KeyARN = mrk }),
		"other replica":        in(west, func(c *branchkey.KeyStoreConfig) { c.KeyARN = replica }),
		"MRK":                  in(east, func(c *branchkey.KeyStoreConfig) { c.KeyARN, c.MRKAware = mrk, true }),
		"MRK, other region":    in(west, func(c *branchkey.KeyStoreConfig) { c.KeyARN, c.MRKAware = replica, true }),
		"discovery":            in(east, discovery(false)),
		"discovery, other":     in(west, discovery(false)),
		"MRK discovery":        in(east, discovery(true)),
		"MRK discovery, other": in(west, discovery(true)),
		"discovery, no account": in(east, func(c *branchkey.KeyStoreConfig) {
			c.Discovery = &branchkey.Discovery{Accounts: []string{"444455556666"}}
		}),
		"any account": in(east, func(c *branchkey.KeyStoreConfig) { c.Discovery = &branchkey.Discovery{AnyAccount: true} }),
		"another partition": in(east, func(c *branchkey.KeyStoreConfig) {
			c.Discovery = &branchkey.Discovery{AnyAccount: true, Partition: "aws-cn"}
		}),
	}
	reads := map[string][]string{
		"one key":           {"one key", "discovery", "MRK discovery", "any account"},
		"replica":           {"replica", "MRK", "MRK, other region", "discovery", "MRK discovery", "MRK discovery, other", "any account"},
		"other replica":     {"other replica", "MRK", "MRK, other region", "discovery, other", "MRK discovery", "MRK discovery, other"},
		"MRK":               {"replica", "MRK", "MRK, other region", "discovery", "MRK discovery", "MRK discovery, other", "any account"},
		"MRK, other region": {"other replica", "MRK", "MRK, other region", "discovery, other", "MRK discovery", "MRK discovery, other"},
	}
	for by, s := range stores {
		id := "made by " + by
		_, err := s.Create(t.Context(), id, tenant)
		if reads[by] == nil {
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.ErrorContains(t, err, "Discovery cannot make")
			_, err := s.Version(t.Context(), id)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			continue
		}
		require.NoError(t, err)
		for with, s := range stores {
			_, err := s.Active(t.Context(), id)
			if slices.Contains(reads[by], with) {
				assert.NoError(t, err, "%s, read with %s", id, with)
			} else {
				assert.ErrorIs(t, err, branchkey.ErrKMSKey, "%s, read with %s", id, with)
			}
		}
	}

	// A new version by the other replica keeps the ARN that is there.
	_, err := stores["MRK, other region"].Version(t.Context(), "made by MRK")
	require.NoError(t, err)
	assert.Equal(t, mrk, w.item(t, "made by MRK", typeActive).Attributes["kms-arn"])
	_, err = stores["MRK"].Active(t.Context(), "made by MRK")
	require.NoError(t, err)
	last, _ := w.kms.LastCall(kmstest.Match{Operation: "ReEncrypt"})
	assert.Equal(t, west, last.Region)
}

func TestKeyStoreConfig(t *testing.T) {
	w := newWorld(t)
	for says, change := range map[string]func(*branchkey.KeyStoreConfig){
		"Store is nil":              func(c *branchkey.KeyStoreConfig) { c.Store = nil },
		"Client is nil":             func(c *branchkey.KeyStoreConfig) { c.Client = nil },
		"Name is empty":             func(c *branchkey.KeyStoreConfig) { c.Name = "" },
		"not UTF-8":                 func(c *branchkey.KeyStoreConfig) { c.Name = "\xff" },
		`"" is not the ARN`:         func(c *branchkey.KeyStoreConfig) { c.KeyARN = "" },
		"something else":            func(c *branchkey.KeyStoreConfig) { c.KeyARN = "arn:aws:kms:us-east-1:111122223333:alias/x" },
		"the client asks us-west-2": func(c *branchkey.KeyStoreConfig) { c.Client = newClient(w.kms, west) },
		"both KeyARN and Discovery": func(c *branchkey.KeyStoreConfig) { c.Discovery = &branchkey.Discovery{AnyAccount: true} },
		"list the accounts":         func(c *branchkey.KeyStoreConfig) { c.KeyARN, c.Discovery = "", &branchkey.Discovery{} },
		"both Accounts and AnyAccount": func(c *branchkey.KeyStoreConfig) {
			c.KeyARN, c.Discovery = "", &branchkey.Discovery{Accounts: []string{"1"}, AnyAccount: true}
		},
		"asks us-east-1, and the key is in eu": func(c *branchkey.KeyStoreConfig) {
			c.KeyARN, c.Discovery = "", &branchkey.Discovery{Region: "eu", AnyAccount: true}
		},
		"does not tell its own": func(c *branchkey.KeyStoreConfig) {
			c.KeyARN, c.Discovery, c.Client = "", &branchkey.Discovery{AnyAccount: true}, struct{ branchkey.Client }{c.Client}
		},
	} {
		t.Run(says, func(t *testing.T) {
			c := branchkey.KeyStoreConfig{Store: w.store, Name: storeName, Client: newClient(w.kms, east), KeyARN: w.key}
			change(&c)
			_, err := branchkey.NewKeyStore(c)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.ErrorContains(t, err, says)
		})
	}
}

// TestSilentClient has a client that does not tell which region it asks, and asks another than
// the key's. Nothing is sent there.
func TestSilentClient(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	keys := w.keyStore(t, func(c *branchkey.KeyStoreConfig) { c.Client = struct{ branchkey.Client }{newClient(w.kms, west)} })
	w.kms.ResetCalls()
	_, createErr := keys.Create(t.Context(), "", nil)
	_, versionErr := keys.Version(t.Context(), "a")
	_, activeErr := keys.Active(t.Context(), "a")
	for _, err := range []error{createErr, versionErr, activeErr} {
		assert.ErrorContains(t, err, "the client asks us-west-2, and the key is in us-east-1")
	}
	assert.Zero(t, w.kms.Calls(kmstest.Match{}))
}

func TestVersionRace(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	other := w.keyStore(t, func(c *branchkey.KeyStoreConfig) { c.Store = w.store.Store })
	var theirs string
	w.store.puts = func() (err error) {
		w.store.puts = nil
		theirs, err = other.Version(t.Context(), "a")
		return err
	}
	_, err := w.keys.Version(t.Context(), "a")
	require.ErrorIs(t, err, branchkey.ErrConflict)
	assert.ErrorContains(t, err, "nothing was written")
	k, err := w.keys.Active(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, theirs, k.Version)
	infos, err := w.keys.List(t.Context(), "a")
	require.NoError(t, err)
	assert.Len(t, infos, 2)
}

func TestNotFound(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	const version = "01234567-89ab-4cde-8f01-23456789abcd"
	_, activeErr := w.keys.Active(t.Context(), "b")
	_, versionErr := w.keys.ByVersion(t.Context(), "a", version)
	_, beaconErr := w.keys.Beacon(t.Context(), "b")
	_, nextErr := w.keys.Version(t.Context(), "b")
	_, listErr := w.keys.List(t.Context(), "b")
	for _, err := range []error{activeErr, versionErr, beaconErr, nextErr, listErr, w.keys.Destroy(t.Context(), "b", "b")} {
		require.ErrorIs(t, err, branchkey.ErrNotFound)
		assert.NotErrorIs(t, err, keyring.ErrUnavailable)
		var r interface{ Refused() bool }
		require.ErrorAs(t, err, &r, "a cache drops what was read before")
		assert.True(t, r.Refused())
	}
	_, err := w.keys.ByVersion(t.Context(), "a", strings.ToUpper(version))
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
}

// TestSecondLook has a version that a replica of the table did not have at first.
func TestSecondLook(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(t, "a")
		k, err := w.keys.Active(t.Context(), "a")
		require.NoError(t, err)
		looks := 0
		w.store.gets = func() error {
			if looks++; looks == 1 {
				return branchkey.ErrNotFound
			}
			return nil
		}
		_, err = w.keys.ByVersion(t.Context(), "a", k.Version)
		require.NoError(t, err)
		assert.Equal(t, 2, looks)

		looks = 0
		w.store.gets = func() error { looks++; return branchkey.ErrNotFound }
		_, err = w.keys.ByVersion(t.Context(), "a", k.Version)
		require.ErrorIs(t, err, branchkey.ErrNotFound)
		assert.Equal(t, 2, looks)
		looks = 0
		_, err = w.keys.Active(t.Context(), "a")
		require.ErrorIs(t, err, branchkey.ErrNotFound)
		assert.Equal(t, 1, looks)
	})
}

// TestSecondLookWaits holds the wait in simulated time, and that it ends with the caller.
func TestSecondLookWaits(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		keys := branchkeytest.PlaintextKeyStoreForTests(branchkeytest.NewMemoryStore())
		const version = "01234567-89ab-4cde-8f01-23456789abcd"
		start := time.Now()
		_, err := keys.ByVersion(t.Context(), "a", version)
		require.ErrorIs(t, err, branchkey.ErrNotFound)
		assert.Equal(t, 50*time.Millisecond, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start = time.Now()
		_, err = keys.ByVersion(ctx, "a", version)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Millisecond, time.Since(start))
	})
}

func TestDestroy(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	w.create(t, "b")
	_, err := w.keys.Version(t.Context(), "a")
	require.NoError(t, err)
	for _, wrong := range []string{"", "b", "A"} {
		require.ErrorIs(t, w.keys.Destroy(t.Context(), "a", wrong), keyring.ErrInvalidArgument)
	}
	k := w.keyring(t, by)
	a, b := wrapNew(t, k, keyring.EncryptionContext{"tenant": "a"}), wrapNew(t, k, keyring.EncryptionContext{"tenant": "b"})
	unwraps(t, k, a)
	unwraps(t, k, b)
	require.NoError(t, w.keys.Destroy(t.Context(), "a", "a"))
	items, err := w.store.List(t.Context(), "a")
	require.NoError(t, err)
	assert.Empty(t, items)
	_, err = unwrap(t, k, a)
	require.ErrorIs(t, err, branchkey.ErrNotFound, "the keyring still has it")
	require.ErrorIs(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite, Context: a.Context}), branchkey.ErrNotFound)
	w.kms.ResetCalls()
	unwraps(t, k, b)
	assert.Zero(t, w.kms.Calls(kmstest.Match{}), "the other branch key was dropped too")
}

// TestDestroyAndDataKeys has a cache of data keys before the keyring, which goes on reading
// until PurgeKey.
func TestDestroyAndDataKeys(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	w.create(t, "b")
	cached, err := cache.New(w.keyring(t, by), limits)
	require.NoError(t, err)
	defer cached.Close()
	client, err := envelope.NewFromManager(cached, nil)
	require.NoError(t, err)
	messages := map[string][]byte{}
	for _, id := range []string{"a", "b"} {
		messages[id], err = client.Encrypt(t.Context(), []byte("secret"), keyring.EncryptionContext{"tenant": id})
		require.NoError(t, err)
		_, err = client.Decrypt(t.Context(), messages[id], nil)
		require.NoError(t, err)
	}
	require.NoError(t, w.keys.Destroy(t.Context(), "a", "a"))
	_, err = client.Decrypt(t.Context(), messages["a"], nil)
	require.NoError(t, err)
	cached.PurgeKey("a")
	_, err = client.Decrypt(t.Context(), messages["a"], nil)
	require.ErrorIs(t, err, branchkey.ErrNotFound)
	_, err = client.Encrypt(t.Context(), nil, keyring.EncryptionContext{"tenant": "a"})
	require.ErrorIs(t, err, branchkey.ErrNotFound)
	entries := cached.Stats().Entries
	_, err = client.Decrypt(t.Context(), messages["b"], nil)
	require.NoError(t, err)
	assert.Equal(t, 2, entries, "what the other branch key has wrapped stays")
}

// deletes is a store whose Delete is as a test says.
type deletes struct {
	branchkey.Store
	do func(ctx context.Context, id string) error
}

func (s *deletes) Delete(ctx context.Context, id string) error { return s.do(ctx, id) }

// TestDestroyPurges has keyrings read a branch key again while it is being destroyed, and a
// Destroy that fails after it has deleted.
func TestDestroyPurges(t *testing.T) {
	failed := errors.New("connection reset")
	for name, want := range map[string]error{"done": nil, "failed": failed} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(t, "a")
			store := &deletes{Store: w.store}
			keys := w.keyStore(t, func(c *branchkey.KeyStoreConfig) { c.Store = store })
			k := w.keyring(t, func(c *branchkey.Config) { c.KeyStore = keys })
			var m *keyring.EncryptionMaterials
			store.do = func(ctx context.Context, id string) error {
				m = wrapNew(t, k, tenant)
				unwraps(t, k, m)
				require.NoError(t, w.store.Delete(ctx, id))
				return want
			}
			require.ErrorIs(t, keys.Destroy(t.Context(), "a", "a"), want)
			_, err := unwrap(t, k, m)
			require.ErrorIs(t, err, branchkey.ErrNotFound)
			require.ErrorIs(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}), branchkey.ErrNotFound)
		})
	}
}

// refusal is what a store may say when the database denies access.
type refusal struct{}

func (refusal) Error() string { return "access denied" }
func (refusal) Refused() bool { return true }

func TestStoreErrors(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	broken := errors.New("connection refused")
	for name, c := range map[string]struct {
		err, want   error
		unavailable bool
	}{
		"outage":   {broken, broken, true},
		"no table": {fmt.Errorf("keys: %w", branchkey.ErrNoTable), branchkey.ErrNoTable, false},
		"foreign":  {branchkey.ErrForeignItem, branchkey.ErrForeignItem, false},
		"denied":   {refusal{}, refusal{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w.store.gets, w.store.puts = func() error { return c.err }, func() error { return c.err }
			_, err := w.keys.Active(t.Context(), "a")
			_, createErr := w.keys.Create(t.Context(), "b", tenant)
			for _, err := range []error{err, createErr} {
				require.ErrorIs(t, err, c.want)
				assert.Equal(t, c.unavailable, errors.Is(err, keyring.ErrUnavailable), "%v", err)
			}
		})
	}
}

// TestNotPrinted walks the ways to print a value, and finds no key.
func TestNotPrinted(t *testing.T) {
	p := branchkeytest.NewPlaintextStoreForTests()
	key := bytes.Repeat([]byte{0xab, 0xcd}, 16)
	const version = "01234567-89ab-4cde-8f01-23456789abcd"
	require.NoError(t, p.Add("a", version, key, key))
	keys := p.KeyStore()
	k, err := keys.Active(t.Context(), "a")
	require.NoError(t, err)
	beacon, err := keys.Beacon(t.Context(), "a")
	require.NoError(t, err)
	kr, err := branchkey.New(branchkey.Config{KeyStore: keys, ID: "a", Limits: limits})
	require.NoError(t, err)
	defer kr.Close()
	wrapNew(t, kr, nil)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	text := slog.New(slog.NewTextHandler(&out, nil))
	for _, v := range []any{k, *k, beacon, *beacon, []any{k, beacon}, map[string]any{"k": *k}, struct{ K *branchkey.Key }{k}, kr} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "%o", "%b"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if reflect.TypeOf(v) != reflect.TypeOf(kr) {
			log.Info("x", "v", v)
			text.Info("x", "v", v)
		}
	}
	printed := out.String()
	for _, form := range []string{"abcdabcd", "ABCDABCD", "171 205 171", "171,205", "0xab, 0xcd", "q83", `\xab\xcd`, "253 315", "10101011 11001101"} {
		assert.False(t, strings.Contains(printed, form), "the key is shown as %s", form)
	}
	assert.Contains(t, printed, version)
}

// TestClearedBeaconKey has a beacon key that is used after it was cleared, or was never read.
// The keys of beacons that it would give are those that anybody can compute.
func TestClearedBeaconKey(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a")
	beacon, err := w.keys.Beacon(t.Context(), "a")
	require.NoError(t, err)
	first, err := beacon.Derive("ssn")
	require.NoError(t, err)
	again, err := beacon.Derive("ssn")
	require.NoError(t, err)
	assert.Equal(t, first, again)
	other, err := beacon.Derive("name")
	require.NoError(t, err)
	assert.NotEqual(t, first, other)
	shallow := *beacon
	beacon.Clear()
	beacon.Clear()
	for _, k := range []*branchkey.BeaconKey{beacon, &shallow, {}} {
		key, err := k.Derive("ssn")
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
		assert.Nil(t, key)
	}
	new(branchkey.BeaconKey).Clear()
	new(branchkey.Key).Clear()
}
