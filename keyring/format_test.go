package keyring_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	_ "crypto/sha1"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

// The tests of this file read wrapped keys by code that shares nothing with the package,
// from the specification's tables.

var formatContext = keyring.EncryptionContext{"b": "2", "a": "1"}

const serializedContext = "\x00\x02\x00\x01a\x00\x011\x00\x01b\x00\x012"

func wrapOne(t *testing.T, k keyring.Encrypter) (dataKey []byte, edk keyring.EncryptedDataKey) {
	t.Helper()
	m := &keyring.EncryptionMaterials{Suite: commit, Context: formatContext}
	require.NoError(t, k.OnEncrypt(t.Context(), m))
	require.Len(t, m.EncryptedDataKeys, 1)
	return m.DataKey, m.EncryptedDataKeys[0]
}

func gcm(t *testing.T, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	return aead
}

func TestRawAESFormat(t *testing.T) {
	for _, n := range []int{16, 24, 32} {
		t.Run(fmt.Sprint(8*n), func(t *testing.T) {
			key := bytes.Repeat([]byte{7}, n)
			k, err := keyring.NewRawAES("payments", "kek", key)
			require.NoError(t, err)
			seen := map[string]bool{}
			for range 20 {
				dataKey, edk := wrapOne(t, k)
				assert.Equal(t, "payments", edk.ProviderID)
				info, ok := bytes.CutPrefix(edk.ProviderInfo, []byte("kek\x00\x00\x00\x80\x00\x00\x00\x0c"))
				require.True(t, ok)
				require.Len(t, info, 12)
				require.False(t, seen[string(info)], "an IV came twice")
				seen[string(info)] = true
				require.Len(t, edk.Ciphertext, 32+16)
				got, err := gcm(t, key).Open(nil, info, edk.Ciphertext, []byte(serializedContext))
				require.NoError(t, err)
				assert.Equal(t, dataKey, got)

				// And the other way round, with an IV that is no random one.
				iv, dataKey := bytes.Repeat([]byte{9}, 12), bytes.Repeat([]byte{8}, 32)
				edk.ProviderInfo = append([]byte("kek\x00\x00\x00\x80\x00\x00\x00\x0c"), iv...)
				edk.Ciphertext = gcm(t, key).Seal(nil, iv, dataKey, []byte(serializedContext))
				unwrapsTo(t, k, edk, dataKey)
			}
		})
	}
}

// unwrapsTo has a keyring unwrap what a test has wrapped by itself.
func unwrapsTo(t *testing.T, k keyring.Decrypter, edk keyring.EncryptedDataKey, dataKey []byte) {
	t.Helper()
	d := &keyring.DecryptionMaterials{Suite: commit, Context: formatContext}
	require.NoError(t, k.OnDecrypt(t.Context(), d, []keyring.EncryptedDataKey{edk}))
	assert.Equal(t, dataKey, d.DataKey)
}

var oaepHashes = map[keyring.RSAPadding]crypto.Hash{
	keyring.RSAOAEPSHA256: crypto.SHA256, keyring.RSAOAEPSHA384: crypto.SHA384,
	keyring.RSAOAEPSHA512: crypto.SHA512, keyring.RSAOAEPSHA1: crypto.SHA1,
}

func TestRawRSAFormat(t *testing.T) {
	private := rsaKeys()[0]
	for _, padding := range []keyring.RSAPadding{
		keyring.RSAOAEPSHA256, keyring.RSAOAEPSHA384, keyring.RSAOAEPSHA512, keyring.RSAOAEPSHA1, keyring.RSAPKCS1,
	} {
		t.Run(padding.String(), func(t *testing.T) {
			dataKey, edk := wrapOne(t, newRawRSA(t, "key", 0, padding))
			assert.Equal(t, "hsm", edk.ProviderID)
			assert.Equal(t, "key", string(edk.ProviderInfo))
			var got []byte
			var err error
			if hash := oaepHashes[padding]; hash != 0 {
				got, err = private.Decrypt(nil, edk.Ciphertext, &rsa.OAEPOptions{Hash: hash, MGFHash: hash})
			} else {
				got, err = private.Decrypt(nil, edk.Ciphertext, &rsa.PKCS1v15DecryptOptions{})
			}
			require.NoError(t, err)
			assert.Equal(t, dataKey, got)
		})
	}
}

func TestRawECDHFormat(t *testing.T) {
	for name, c := range map[string]struct {
		curve    ecdh.Curve
		elliptic elliptic.Curve
	}{
		"p256": {ecdh.P256(), elliptic.P256()},
		"p384": {ecdh.P384(), elliptic.P384()},
		"p521": {ecdh.P521(), elliptic.P521()},
	} {
		alice, bob := newECDHKey(t, c.curve), newECDHKey(t, c.curve)
		static, err := keyring.NewRawECDH(alice, bob.PublicKey())
		require.NoError(t, err)
		ephemeral, err := keyring.NewRawECDHEncrypter(bob.PublicKey())
		require.NoError(t, err)
		asBob, err := keyring.NewRawECDHDecrypter(bob)
		require.NoError(t, err)
		compress := func(k *ecdh.PublicKey) string {
			point := k.Bytes()[1:]
			x, y := new(big.Int).SetBytes(point[:len(point)/2]), new(big.Int).SetBytes(point[len(point)/2:])
			return string(elliptic.MarshalCompressed(c.elliptic, x, y))
		}
		length := func(s string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) }
		recipient := compress(bob.PublicKey())
		seen := map[string]bool{}
		open := func(t *testing.T, dataKey []byte, edk keyring.EncryptedDataKey, from *ecdh.PublicKey) {
			assert.Equal(t, "raw-ecdh", edk.ProviderID)
			sender := compress(from)
			assert.Equal(t, "\x01"+length(recipient)+recipient+length(sender)+sender, string(edk.ProviderInfo))
			require.Len(t, edk.Ciphertext, 32+32+32+16)
			salt, commitment, sealed := edk.Ciphertext[:32], edk.Ciphertext[32:64], edk.Ciphertext[64:]
			require.False(t, seen[string(salt)], "a salt came twice")
			seen[string(salt)] = true

			fixed := "ecdh-key-derivation\x00" + name + "\x00HMAC_SHA384\x00" + sender + recipient + "\x00\x01\x00" + serializedContext
			secret, err := bob.ECDH(from)
			require.NoError(t, err)
			var derived []byte
			for _, counter := range []string{"\x00\x00\x00\x01", "\x00\x00\x00\x02"} {
				h := hmac.New(sha512.New384, secret)
				h.Write([]byte(counter + fixed + "\x00" + string(salt) + "\x00\x00\x02\x00"))
				derived = h.Sum(derived)
			}
			assert.Equal(t, derived[:32], commitment)
			aead, iv := gcm(t, derived[32:64]), make([]byte, 12)
			got, err := aead.Open(nil, iv, sealed, []byte(fixed))
			require.NoError(t, err)
			assert.Equal(t, dataKey, got)

			// And the other way round.
			other := bytes.Repeat([]byte{8}, 32)
			edk.Ciphertext = aead.Seal(slices.Concat(salt, commitment), iv, other, []byte(fixed))
			unwrapsTo(t, asBob, edk, other)
		}
		t.Run(name, func(t *testing.T) {
			dataKey, edk := wrapOne(t, static)
			open(t, dataKey, edk, alice.PublicKey())
		})
		t.Run(name+" ephemeral", func(t *testing.T) {
			senders := map[string]bool{}
			for range 5 {
				dataKey, edk := wrapOne(t, ephemeral)
				compressed := edk.ProviderInfo[len(edk.ProviderInfo)-len(recipient):]
				require.False(t, senders[string(compressed)], "a key pair served twice")
				senders[string(compressed)] = true
				x, y := elliptic.UnmarshalCompressed(c.elliptic, compressed)
				require.NotNil(t, x)
				size := len(compressed) - 1
				from, err := c.curve.NewPublicKey(slices.Concat([]byte{4}, x.FillBytes(make([]byte, size)), y.FillBytes(make([]byte, size))))
				require.NoError(t, err)
				open(t, dataKey, edk, from)
			}
		})
	}
}

// TestContextThatCannotBeSerialized has keyrings that bind the context get one which the
// format does not hold.
func TestContextThatCannotBeSerialized(t *testing.T) {
	alice, bob := newECDHKey(t, ecdh.P256()), newECDHKey(t, ecdh.P256())
	static, err := keyring.NewRawECDH(alice, bob.PublicKey())
	require.NoError(t, err)
	toBob, err := keyring.NewRawECDHEncrypter(bob.PublicKey())
	require.NoError(t, err)
	asBob, err := keyring.NewRawECDHDecrypter(bob)
	require.NoError(t, err)
	raw := newRawAES(t, "kek", 256)
	for name, k := range map[string]struct {
		keyring.Encrypter
		keyring.Decrypter
	}{
		"AES": {raw, raw}, "ECDH": {static, static}, "ECDH, ephemeral": {toBob, asBob},
	} {
		t.Run(name, func(t *testing.T) {
			_, edk := wrapOne(t, k.Encrypter)
			bad := keyring.EncryptionContext{"a": "\xff"}
			m := &keyring.EncryptionMaterials{Suite: commit, Context: bad}
			require.ErrorContains(t, k.OnEncrypt(t.Context(), m), "not UTF-8")
			assert.Nil(t, m.DataKey)
			assert.Empty(t, m.EncryptedDataKeys)
			d := &keyring.DecryptionMaterials{Suite: commit, Context: bad}
			require.ErrorContains(t, k.OnDecrypt(t.Context(), d, []keyring.EncryptedDataKey{edk}), "not UTF-8")
			assert.Nil(t, d.DataKey)
		})
	}
}

// TestHalvesAreApart holds that what has the keys for one direction alone has no method for
// the other.
func TestHalvesAreApart(t *testing.T) {
	bob := newECDHKey(t, ecdh.P256())
	private := rsaKeys()[0]
	ecdhEncrypter, err := keyring.NewRawECDHEncrypter(bob.PublicKey())
	require.NoError(t, err)
	rsaEncrypter, err := keyring.NewRawRSAEncrypter("hsm", "key", &private.PublicKey, keyring.RSAOAEPSHA256)
	require.NoError(t, err)
	for _, k := range []keyring.Encrypter{ecdhEncrypter, rsaEncrypter} {
		_, decrypts := k.(keyring.Decrypter)
		assert.False(t, decrypts, "%T", k)
	}
	ecdhDecrypter, err := keyring.NewRawECDHDecrypter(bob)
	require.NoError(t, err)
	rsaDecrypter, err := keyring.NewRawRSADecrypter("hsm", "key", private, keyring.RSAOAEPSHA256)
	require.NoError(t, err)
	for _, k := range []keyring.Decrypter{ecdhDecrypter, rsaDecrypter} {
		_, encrypts := k.(keyring.Encrypter)
		assert.False(t, encrypts, "%T", k)
	}
}
