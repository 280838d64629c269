package branchkey

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// TestWrappingKey compares the key derivation with crypto/hmac. The vectors of
// internal/testvectors hold what it derives.
func TestWrappingKey(t *testing.T) {
	for range 100 {
		key, salt := make([]byte, keyLen), make([]byte, saltLen)
		rand.Read(key)
		rand.Read(salt)
		validated := validatedWrappingKey(key, salt)
		got := wrappingKey(key, salt)
		require.Equal(t, validated, got)
	}
}

func TestWrapUnwrap(t *testing.T) {
	key, version, dataKey, aad := make([]byte, keyLen), newUUID(), []byte("0123456789abcdef"), []byte("aad")
	out := make([]byte, wrappedLen+len(dataKey))
	require.NoError(t, wrap(out, key, version[:], dataKey, aad))
	got, err := unwrap(key, out, aad, len(dataKey))
	require.NoError(t, err)
	assert.Equal(t, dataKey, got)
	_, err = unwrap(key, out, []byte("other"), len(dataKey))
	require.ErrorContains(t, err, "does not authenticate")
	_, err = unwrap(key, out[:len(out)-1], aad, len(dataKey))
	require.ErrorContains(t, err, "75 bytes, one for this suite has 76")
	assert.NotContains(t, string(out), string(dataKey))
}

// TestWrappedKeyFormat reads a wrapped key by code that shares nothing with the package.
func TestWrappedKeyFormat(t *testing.T) {
	k := benchKeyring(t)
	m := &keyring.EncryptionMaterials{Suite: carrier, Context: keyring.EncryptionContext{"b": "2", "a": "1"}}
	require.NoError(t, k.OnEncrypt(t.Context(), m))
	edk := m.EncryptedDataKeys[0]
	require.Len(t, edk.Ciphertext, 16+12+16+32+16)
	salt, iv, version, sealed := edk.Ciphertext[:16], edk.Ciphertext[16:28], edk.Ciphertext[28:44], edk.Ciphertext[44:]
	assert.Equal(t, "0123456789ab4cde8f0123456789abcd", hex.EncodeToString(version))

	h := hmac.New(sha256.New, make([]byte, 32)) // one's branch key
	h.Write([]byte("\x00\x00\x00\x01aws-kms-hierarchy\x00" + string(salt) + "\x00\x00\x01\x00"))
	block, err := aes.NewCipher(h.Sum(nil))
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	aad := []byte("aws-kms-hierarchytenant-42" + string(version) + "\x00\x02\x00\x01a\x00\x011\x00\x01b\x00\x012")
	got, err := aead.Open(nil, iv, sealed, aad)
	require.NoError(t, err)
	assert.Equal(t, m.DataKey, got)

	// And the other way round.
	other := bytes.Repeat([]byte{8}, 32)
	edk.Ciphertext = aead.Seal(slices.Concat(salt, iv, version), iv, other, aad)
	d := &keyring.DecryptionMaterials{Suite: carrier, Context: m.Context}
	require.NoError(t, k.OnDecrypt(t.Context(), d, []keyring.EncryptedDataKey{edk}))
	assert.Equal(t, other, d.DataKey)
}

// TestContextThatCannotBeSerialized has a context which the format does not hold.
func TestContextThatCannotBeSerialized(t *testing.T) {
	k := benchKeyring(t)
	good := &keyring.EncryptionMaterials{Suite: carrier}
	require.NoError(t, k.OnEncrypt(t.Context(), good))
	bad := keyring.EncryptionContext{"a": "\xff"}
	m := &keyring.EncryptionMaterials{Suite: carrier, Context: bad}
	require.ErrorContains(t, k.OnEncrypt(t.Context(), m), "not UTF-8")
	assert.Nil(t, m.DataKey)
	assert.Empty(t, m.EncryptedDataKeys)
	d := &keyring.DecryptionMaterials{Suite: carrier, Context: bad}
	require.ErrorContains(t, k.OnDecrypt(t.Context(), d, good.EncryptedDataKeys), "not UTF-8")
	assert.Nil(t, d.DataKey)
}

func TestUUID(t *testing.T) {
	seen := map[uuid]bool{}
	for range 1000 {
		u := newUUID()
		require.False(t, seen[u])
		seen[u] = true
		require.Equal(t, byte(4), u[6]>>4)
		require.Equal(t, byte(2), u[8]>>6)
		got, ok := parseUUID(u.String())
		require.True(t, ok)
		require.Equal(t, u, got)
	}
	u, ok := parseUUID("01234567-89ab-4cde-8f01-23456789abcd")
	require.True(t, ok)
	assert.Equal(t, "0123456789ab4cde8f0123456789abcd", hex.EncodeToString(u[:]))
	for _, bad := range []string{
		"", "01234567-89ab-4cde-8f01-23456789abcD", "0123456789ab4cde8f0123456789abcd", "01234567-89ab-4cde-8f01-23456789abcg",
		"01234567-89ab-4cde-8f0123456789abcd--", "{1234567-89ab-4cde-8f01-23456789abcd", "01234567x89ab-4cde-8f01-23456789abcd",
	} {
		_, ok := parseUUID(bad)
		assert.False(t, ok, bad)
	}
}

// TestAllocations holds how often memory is allocated to wrap and to unwrap a data key under
// a branch key that the cache holds.
func TestAllocations(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("crypto/hmac allocates more in FIPS mode")
	}
	k := benchKeyring(t)
	m := &keyring.EncryptionMaterials{
		Suite: carrier, Context: keyring.EncryptionContext{"tenant": "42"},
		EncryptedDataKeys: make([]keyring.EncryptedDataKey, 0, 1),
	}
	require.NoError(t, k.OnEncrypt(t.Context(), m))
	ctx, keys := t.Context(), slices.Clone(m.EncryptedDataKeys)
	d := &keyring.DecryptionMaterials{Suite: carrier, Context: m.Context}
	// The cipher's, which differ from processor to processor, and two of our own.
	out, key := make([]byte, 64), make([]byte, keyLen)
	most := 2 + testing.AllocsPerRun(1000, func() {
		aead, _ := suite.NewAEAD(key)
		aead.Seal(out[:0], key[:suite.IVLen], key, nil)
	})
	if RaceDetector {
		most += 2 // it empties pools at random
	}
	assert.LessOrEqual(t, testing.AllocsPerRun(1000, func() {
		m.EncryptedDataKeys = m.EncryptedDataKeys[:0]
		_ = k.OnEncrypt(ctx, m)
	}), most)
	assert.LessOrEqual(t, testing.AllocsPerRun(1000, func() {
		d.DataKey = nil
		_ = k.OnDecrypt(ctx, d, keys)
	}), most)
}

// bare is the wrapping of a data key with the calls that it is made of.
func bare(b *testing.B, out, branchKey, input, dataKey, aad []byte) {
	rand.Read(out[:28])
	h := hmac.New(sha256.New, branchKey)
	h.Write(input)
	block, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	aead.Seal(out[:44], out[16:28], dataKey, aad)
}

// BenchmarkInTurns measures wrapping and unwrapping under a branch key that the cache holds
// in turns with the bare calls, and reports the ratio.
func BenchmarkInTurns(b *testing.B) {
	k := benchKeyring(b)
	m := &keyring.EncryptionMaterials{
		Suite: carrier, Context: keyring.EncryptionContext{"tenant": "42"},
		EncryptedDataKeys: make([]keyring.EncryptedDataKey, 0, 1),
	}
	require.NoError(b, k.OnEncrypt(b.Context(), m))
	keys := append([]keyring.EncryptedDataKey{}, m.EncryptedDataKeys...)
	input := []byte(kdfBefore + "................" + kdfBehind)
	branchKey, out, aad := make([]byte, keyLen), make([]byte, 92), make([]byte, 60)
	d := &keyring.DecryptionMaterials{Suite: carrier, Context: m.Context}
	for name, do := range map[string]func(){
		"Wrap": func() {
			m.EncryptedDataKeys = m.EncryptedDataKeys[:0]
			if err := k.OnEncrypt(b.Context(), m); err != nil {
				b.Fatal(err)
			}
		},
		"Unwrap": func() {
			d.DataKey = nil
			if err := k.OnDecrypt(b.Context(), d, keys); err != nil {
				b.Fatal(err)
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			inTurns(b, do, func() { bare(b, out, branchKey, input, m.DataKey, aad) })
			b.ReportMetric(testing.AllocsPerRun(1000, do), "allocs")
		})
	}
}
