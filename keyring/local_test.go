package keyring_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

const commit = keyring.SuiteAES256GCMHKDFSHA512Commit

func TestRawAESArguments(t *testing.T) {
	key := make([]byte, 32)
	for name, c := range map[string]struct {
		namespace, name string
		key             []byte
		says            string
	}{
		"short key":          {"ns", "name", key[:15], "15 bytes"},
		"no key":             {"ns", "name", nil, "0 bytes"},
		"long key":           {"ns", "name", make([]byte, 33), "33 bytes"},
		"no namespace":       {"", "name", key, "namespace is empty"},
		"no name":            {"ns", "", key, "key name is empty"},
		"KMS namespace":      {"aws-kms", "name", key, "belong to the KMS keyrings"},
		"KMS-like namespace": {"aws-kms-mine", "name", key, "belong to the KMS keyrings"},
		"namespace not text": {"\xff", "name", key, "namespace is not UTF-8"},
		"name not text":      {"ns", "\xff", key, "key name is not UTF-8"},
		"long namespace":     {strings.Repeat("n", 1<<16), "name", key, "at most 65535 fit"},
		"long name":          {"ns", strings.Repeat("n", 1<<16-20), key, "at most 65515 fit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := keyring.NewRawAES(c.namespace, c.name, c.key)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.ErrorContains(t, err, c.says)
		})
	}
}

func TestRawAESLongestName(t *testing.T) {
	k, err := keyring.NewRawAES(strings.Repeat("n", 1<<16-1), strings.Repeat("k", 1<<16-1-20), make([]byte, 32))
	require.NoError(t, err)
	m := &keyring.EncryptionMaterials{Suite: commit}
	require.NoError(t, k.OnEncrypt(t.Context(), m))
	assert.Len(t, m.EncryptedDataKeys[0].ProviderInfo, 1<<16-1)
}

func TestRawRSAArguments(t *testing.T) {
	key, other := rsaKeys()[0], rsaKeys()[1]
	short := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		public  *rsa.PublicKey
		private crypto.Decrypter
		padding keyring.RSAPadding
		says    string
	}{
		"no public key":   {nil, key, 0, "public key is nil"},
		"empty":           {&rsa.PublicKey{}, key, 0, "public key is nil"},
		"no private key":  {&key.PublicKey, nil, 0, "private key is nil"},
		"nil private key": {&key.PublicKey, (*rsa.PrivateKey)(nil), 0, "private key is nil"},
		"not a pair":      {&key.PublicKey, other, 0, "not a pair"},
		"short":           {short, key, 0, "1024 bits"},
		"not RSA":         {&key.PublicKey, notRSA{ed}, 0, "not RSA"},
		"unknown padding": {&key.PublicKey, key, 99, "RSAPadding(99)"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := keyring.NewRawRSA("ns", "name", c.public, c.private, c.padding)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.ErrorContains(t, err, c.says)
		})
	}
	_, err = keyring.NewRawRSA("aws-kms", "name", &key.PublicKey, key, 0)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = keyring.NewRawRSADecrypter("ns", "", key, 0)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
}

type notRSA struct{ ed25519.PrivateKey }

func (notRSA) Decrypt(io.Reader, []byte, crypto.DecrypterOpts) ([]byte, error) { return nil, nil }

// hsm stands for a key that is only reachable through crypto.Decrypter.
type hsm struct {
	key  *rsa.PrivateKey
	fail error
}

func (h hsm) Public() crypto.PublicKey { return h.key.Public() }
func (h hsm) Decrypt(r io.Reader, msg []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	if h.fail != nil {
		return nil, h.fail
	}
	return h.key.Decrypt(r, msg, opts)
}

func TestRawRSAOpaquePrivateKey(t *testing.T) {
	key := rsaKeys()[0]
	e, err := keyring.NewRawRSAEncrypter("ns", "name", &key.PublicKey, keyring.RSAOAEPSHA256)
	require.NoError(t, err)
	m := &keyring.EncryptionMaterials{Suite: commit}
	require.NoError(t, e.OnEncrypt(t.Context(), m))

	d, err := keyring.NewRawRSADecrypter("ns", "name", hsm{key: key}, keyring.RSAOAEPSHA256)
	require.NoError(t, err)
	got := &keyring.DecryptionMaterials{Suite: commit}
	require.NoError(t, d.OnDecrypt(t.Context(), got, m.EncryptedDataKeys))
	assert.Equal(t, m.DataKey, got.DataKey)

	broken := errors.New("session closed")
	d, err = keyring.NewRawRSADecrypter("ns", "name", hsm{key, broken}, keyring.RSAOAEPSHA256)
	require.NoError(t, err)
	err = d.OnDecrypt(t.Context(), &keyring.DecryptionMaterials{Suite: commit}, m.EncryptedDataKeys)
	require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
	require.ErrorIs(t, err, broken)
}

// countingHSM counts what the private key is used for.
type countingHSM struct {
	hsm
	uses *int
}

func (h countingHSM) Decrypt(r io.Reader, msg []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	*h.uses++
	return h.hsm.Decrypt(r, msg, opts)
}

// TestPrivateKeyUses has a header ask for more uses of a private key than one message
// may cause.
func TestPrivateKeyUses(t *testing.T) {
	key := rsaKeys()[0]
	var uses int
	rsaDecrypter, err := keyring.NewRawRSADecrypter("ns", "name", countingHSM{hsm{key: key}, &uses}, keyring.RSAOAEPSHA256)
	require.NoError(t, err)
	rsaEncrypter, err := keyring.NewRawRSAEncrypter("ns", "name", &key.PublicKey, keyring.RSAOAEPSHA256)
	require.NoError(t, err)
	bob := newECDHKey(t, ecdh.P256())
	ecdhDecrypter, err := keyring.NewRawECDHDecrypter(bob)
	require.NoError(t, err)
	ecdhEncrypter, err := keyring.NewRawECDHEncrypter(bob.PublicKey())
	require.NoError(t, err)
	for name, k := range map[string]struct {
		keyring.Encrypter
		keyring.Decrypter
	}{
		"RSA":  {rsaEncrypter, rsaDecrypter},
		"ECDH": {ecdhEncrypter, ecdhDecrypter},
	} {
		t.Run(name, func(t *testing.T) {
			m := &keyring.EncryptionMaterials{Suite: commit}
			require.NoError(t, k.OnEncrypt(t.Context(), m))
			good := m.EncryptedDataKeys[0]
			bad := good
			bad.Ciphertext = bytes.Clone(good.Ciphertext)
			bad.Ciphertext[len(bad.Ciphertext)/2] ^= 1
			foreign := good
			foreign.ProviderID = "elsewhere" // not this keyring's, and so not counted
			for _, c := range []struct {
				bad, good int
				says      string
			}{
				{9, 1, ""},
				{10, 0, ""},
				{10, 1, "1 of 11 encrypted data keys were not tried: this keyring tries 10 for a message"},
				{64, 0, "54 of 64 encrypted data keys were not tried: this keyring tries 10 for a message"},
			} {
				keys := append(slices.Repeat([]keyring.EncryptedDataKey{foreign, bad}, c.bad), slices.Repeat([]keyring.EncryptedDataKey{good}, c.good)...)
				got := &keyring.DecryptionMaterials{Suite: commit}
				uses = 0
				err := k.OnDecrypt(t.Context(), got, keys)
				if name == "RSA" {
					require.Equal(t, min(c.bad+c.good, 10), uses)
				}
				if c.says == "" && c.good > 0 {
					require.NoError(t, err)
					require.Equal(t, m.DataKey, got.DataKey)
					continue
				}
				require.Nil(t, got.DataKey)
				require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
				var noMatch *keyring.NoMatchError
				require.ErrorAs(t, err, &noMatch)
				if c.says != "" {
					require.EqualError(t, noMatch.Reasons[0], c.says)
					noMatch.Reasons = noMatch.Reasons[1:]
				}
				// Each key that was tried is a reason, and no other is.
				require.Len(t, noMatch.Reasons, min(c.bad+c.good, 10))
				for _, reason := range noMatch.Reasons {
					require.ErrorContains(t, reason, "encrypted data key ")
				}
			}
		})
	}
}

func TestRawECDHArguments(t *testing.T) {
	p256, p384 := newECDHKey(t, ecdh.P256()), newECDHKey(t, ecdh.P384())
	x25519 := newECDHKey(t, ecdh.X25519())
	for name, make := range map[string]func() error{
		"no sender":       func() error { _, err := keyring.NewRawECDH(nil, p256.PublicKey()); return err },
		"no recipient":    func() error { _, err := keyring.NewRawECDH(p256, nil); return err },
		"two curves":      func() error { _, err := keyring.NewRawECDH(p256, p384.PublicKey()); return err },
		"X25519":          func() error { _, err := keyring.NewRawECDH(x25519, x25519.PublicKey()); return err },
		"encrypt: no key": func() error { _, err := keyring.NewRawECDHEncrypter(nil); return err },
		"encrypt: X25519": func() error { _, err := keyring.NewRawECDHEncrypter(x25519.PublicKey()); return err },
		"decrypt: no key": func() error { _, err := keyring.NewRawECDHDecrypter(nil); return err },
		"decrypt: X25519": func() error { _, err := keyring.NewRawECDHDecrypter(x25519); return err },
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, make(), keyring.ErrInvalidArgument)
		})
	}
}

// TestRawECDHHostileSender has the message's sender key, which nothing
// vouches for, not be a point of the curve.
func TestRawECDHHostileSender(t *testing.T) {
	bob := newECDHKey(t, ecdh.P256())
	e, err := keyring.NewRawECDHEncrypter(bob.PublicKey())
	require.NoError(t, err)
	d, err := keyring.NewRawECDHDecrypter(bob)
	require.NoError(t, err)
	m := &keyring.EncryptionMaterials{Suite: commit}
	require.NoError(t, e.OnEncrypt(t.Context(), m))
	edk := m.EncryptedDataKeys[0]
	sender := edk.ProviderInfo[len(edk.ProviderInfo)-33:]
	for name, change := range map[string]func(){
		"not on the curve": func() { copy(sender[1:], strings.Repeat("\xff", 32)) },
		"infinity":         func() { clear(sender) },
		"uncompressed":     func() { sender[0] = 4 },
	} {
		t.Run(name, func(t *testing.T) {
			change()
			err := d.OnDecrypt(t.Context(), &keyring.DecryptionMaterials{Suite: commit}, m.EncryptedDataKeys)
			require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
			assert.ErrorContains(t, err, "sender's public key")
		})
	}
}

// TestRawECDHPassesOverOthers has wrapped keys of other pairs, for which no secret is agreed
// on: there is no reason why they do not unwrap, but that they are not this keyring's.
func TestRawECDHPassesOverOthers(t *testing.T) {
	alice, bob, carol := newECDHKey(t, ecdh.P256()), newECDHKey(t, ecdh.P256()), newECDHKey(t, ecdh.P256())
	between := func(sender *ecdh.PrivateKey, recipient *ecdh.PublicKey) keyring.Keyring {
		k, err := keyring.NewRawECDH(sender, recipient)
		require.NoError(t, err)
		return k
	}
	asCarol, err := keyring.NewRawECDHDecrypter(carol)
	require.NoError(t, err)
	m := &keyring.EncryptionMaterials{Suite: commit}
	require.NoError(t, between(alice, bob.PublicKey()).OnEncrypt(t.Context(), m))
	for name, k := range map[string]keyring.Decrypter{
		"another sender":    between(carol, bob.PublicKey()),
		"another recipient": between(alice, carol.PublicKey()),
		"discovery":         asCarol,
	} {
		t.Run(name, func(t *testing.T) {
			var noMatch *keyring.NoMatchError
			require.ErrorAs(t, k.OnDecrypt(t.Context(), &keyring.DecryptionMaterials{Suite: commit}, m.EncryptedDataKeys), &noMatch)
			assert.Empty(t, noMatch.Reasons)
		})
	}
}

func TestMultiArguments(t *testing.T) {
	k := newRawAES(t, "kek", 256)
	for name, make := range map[string]func() error{
		"nothing":           func() error { _, err := keyring.NewMultiEncrypter(nil); return err },
		"nil generator":     func() error { _, err := keyring.NewMulti(nil, k); return err },
		"nil child":         func() error { _, err := keyring.NewMulti(k, nil); return err },
		"nil encrypt child": func() error { _, err := keyring.NewMultiEncrypter(k, nil); return err },
		"no decrypter":      func() error { _, err := keyring.NewMultiDecrypter(); return err },
		"nil decrypter":     func() error { _, err := keyring.NewMultiDecrypter(k, nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, make(), keyring.ErrInvalidArgument)
		})
	}
}

func TestMultiEveryChildMustWrap(t *testing.T) {
	down := errors.New("key service is down")
	aes := newRawAES(t, "kek", 256)
	for name, k := range map[string]struct {
		generator keyring.Encrypter
		children  []keyring.Encrypter
		is        error
	}{
		"generator fails":          {failing{down}, []keyring.Encrypter{aes}, down},
		"generator makes no key":   {failing{nil}, []keyring.Encrypter{aes}, keyring.ErrInvalidMaterials},
		"a child fails":            {aes, []keyring.Encrypter{aes, failing{down}}, down},
		"no generator and no key":  {nil, []keyring.Encrypter{aes}, keyring.ErrInvalidArgument},
		"generator, and given key": {aes, nil, keyring.ErrInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := keyring.NewMultiEncrypter(k.generator, k.children...)
			require.NoError(t, err)
			m := &keyring.EncryptionMaterials{Suite: commit}
			if name == "generator, and given key" {
				m.GenerateDataKey()
			}
			before := *m
			require.ErrorIs(t, e.OnEncrypt(t.Context(), m), k.is)
			assert.Equal(t, before, *m, "materials changed")
		})
	}
}

func TestMultiReportsAllReasons(t *testing.T) {
	down, denied := errors.New("region is down"), errors.New("access denied")
	wrapping := newRawAES(t, "kek", 256)
	m := &keyring.EncryptionMaterials{Suite: commit}
	require.NoError(t, wrapping.OnEncrypt(t.Context(), m))

	d, err := keyring.NewMultiDecrypter(failing{down}, newRawAES(t, "other", 256), failing{denied})
	require.NoError(t, err)
	got := &keyring.DecryptionMaterials{Suite: commit}
	err = d.OnDecrypt(t.Context(), got, m.EncryptedDataKeys)
	require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
	require.ErrorIs(t, err, down)
	require.ErrorIs(t, err, denied)
	var noMatch *keyring.NoMatchError
	require.ErrorAs(t, err, &noMatch)
	assert.Len(t, noMatch.Reasons, 3)
	for _, says := range []string{"region is down", "access denied", `raw AES "payments"/"other"`} {
		assert.ErrorContains(t, err, says)
	}
	assert.Nil(t, got.DataKey)

	// A later keyring that can unwrap makes up for the others.
	d, err = keyring.NewMultiDecrypter(failing{down}, wrapping)
	require.NoError(t, err)
	require.NoError(t, d.OnDecrypt(t.Context(), got, m.EncryptedDataKeys))
	assert.Equal(t, m.DataKey, got.DataKey)

	d, err = keyring.NewMultiDecrypter(failing{nil})
	require.NoError(t, err)
	err = d.OnDecrypt(t.Context(), &keyring.DecryptionMaterials{Suite: commit}, m.EncryptedDataKeys)
	require.ErrorIs(t, err, keyring.ErrInvalidMaterials)
}

// spoiling is a keyring that fails and leaves the materials changed.
type spoiling struct{ keyring.Keyring }

func (spoiling) OnDecrypt(_ context.Context, m *keyring.DecryptionMaterials, _ []keyring.EncryptedDataKey) error {
	m.Suite, m.DataKey = keyring.SuiteAES128GCM, make([]byte, 16)
	return errors.New("spoiled")
}

// TestMultiSparesChildren has a child change the materials. Those after it get them as they
// were, and so does the caller.
func TestMultiSparesChildren(t *testing.T) {
	good := newRawAES(t, "kek", 256)
	m := &keyring.EncryptionMaterials{Suite: commit}
	require.NoError(t, good.OnEncrypt(t.Context(), m))
	d, err := keyring.NewMultiDecrypter(spoiling{}, good)
	require.NoError(t, err)
	got := &keyring.DecryptionMaterials{Suite: commit}
	require.NoError(t, d.OnDecrypt(t.Context(), got, m.EncryptedDataKeys))
	assert.Equal(t, m.DataKey, got.DataKey)

	d, err = keyring.NewMultiDecrypter(spoiling{})
	require.NoError(t, err)
	got = &keyring.DecryptionMaterials{Suite: commit}
	require.ErrorIs(t, d.OnDecrypt(t.Context(), got, m.EncryptedDataKeys), keyring.ErrNoMatchingKey)
	assert.Equal(t, &keyring.DecryptionMaterials{Suite: commit}, got)
}

func TestNoMatchErrorStaysShort(t *testing.T) {
	e := &keyring.NoMatchError{Keyring: "k"}
	for range 60_000 {
		e.Reasons = append(e.Reasons, errors.New("reason"))
	}
	assert.Less(t, len(e.Error()), 200)
	assert.Contains(t, e.Error(), "and 59992 more reasons")
	assert.Len(t, e.Unwrap(), 60_001)
}

func TestKeyName(t *testing.T) {
	bob := newECDHKey(t, ecdh.P256())
	toBob, err := keyring.NewRawECDHEncrypter(bob.PublicKey())
	require.NoError(t, err)
	wrap := func(k keyring.Encrypter) keyring.EncryptedDataKey {
		m := &keyring.EncryptionMaterials{Suite: commit}
		require.NoError(t, k.OnEncrypt(t.Context(), m))
		return m.EncryptedDataKeys[0]
	}
	for name, c := range map[string]struct {
		edk  keyring.EncryptedDataKey
		want string
	}{
		"raw AES":  {wrap(newRawAES(t, "kek-2026", 256)), "kek-2026"},
		"raw RSA":  {wrap(newRawRSA(t, "hsm-1", 0, keyring.RSAOAEPSHA256)), "hsm-1"},
		"KMS":      {keyring.EncryptedDataKey{ProviderID: "aws-kms", ProviderInfo: []byte("arn:aws:kms:…")}, "arn:aws:kms:…"},
		"not text": {keyring.EncryptedDataKey{ProviderID: "x", ProviderInfo: []byte{0xff}}, ""},
		"nothing":  {keyring.EncryptedDataKey{}, ""},
		"bad ECDH": {keyring.EncryptedDataKey{ProviderID: "raw-ecdh", ProviderInfo: []byte{1, 0, 0}}, ""},
	} {
		assert.Equal(t, c.want, c.edk.KeyName(), name)
	}
	assert.Regexp(t, "^0[23][0-9a-f]{64}$", wrap(toBob).KeyName())
}

func TestKeyVersion(t *testing.T) {
	wrapped := make([]byte, 92)
	for i := range wrapped {
		wrapped[i] = byte(i)
	}
	for name, c := range map[string]struct {
		provider   string
		ciphertext []byte
		want       string
	}{
		"branch key":        {"aws-kms-hierarchy", wrapped, "1c1d1e1f-2021-2223-2425-262728292a2b"},
		"shortest":          {"aws-kms-hierarchy", wrapped[:61], "1c1d1e1f-2021-2223-2425-262728292a2b"},
		"without a key":     {"aws-kms-hierarchy", wrapped[:60], ""},
		"of an item":        {"aws-kms-hierarchy", append(make([]byte, 48), wrapped...), ""},
		"nothing":           {"aws-kms-hierarchy", nil, ""},
		"another provider":  {"aws-kms", wrapped, ""},
		"its name in upper": {"AWS-KMS-HIERARCHY", wrapped, ""},
	} {
		assert.Equal(t, c.want, keyring.EncryptedDataKey{ProviderID: c.provider, Ciphertext: c.ciphertext}.KeyVersion(), name)
	}
}
