package keyring_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/keyringtest"
)

var curves = []ecdh.Curve{ecdh.P256(), ecdh.P384(), ecdh.P521()}

func newRawAES(t testing.TB, name string, bits int) keyring.Keyring {
	key := make([]byte, bits/8)
	rand.Read(key)
	k, err := keyring.NewRawAES("payments", name, key)
	require.NoError(t, err)
	return k
}

// rsaKeys are made once: they take long.
var rsaKeys = sync.OnceValue(func() [2]*rsa.PrivateKey {
	var keys [2]*rsa.PrivateKey
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

func newRawRSA(t testing.TB, name string, which int, padding keyring.RSAPadding) keyring.Keyring {
	key := rsaKeys()[which]
	k, err := keyring.NewRawRSA("hsm", name, &key.PublicKey, key, padding)
	require.NoError(t, err)
	return k
}

func newECDHKey(t testing.TB, c ecdh.Curve) *ecdh.PrivateKey {
	key, err := c.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return key
}

func TestConformance(t *testing.T) {
	for _, bits := range []int{128, 192, 256} {
		t.Run(fmt.Sprintf("RawAES%d", bits), func(t *testing.T) {
			k := newRawAES(t, "kek", bits)
			keyringtest.Run(t, keyringtest.Keyring{
				Encrypter: k, Decrypter: k, Stranger: newRawAES(t, "other", bits), ContextBound: true,
			})
		})
	}
	for _, padding := range []keyring.RSAPadding{
		keyring.RSAOAEPSHA256, keyring.RSAOAEPSHA384, keyring.RSAOAEPSHA512, keyring.RSAOAEPSHA1, keyring.RSAPKCS1,
	} {
		t.Run("RawRSA-"+padding.String(), func(t *testing.T) {
			k := newRawRSA(t, "key", 0, padding)
			keyringtest.Run(t, keyringtest.Keyring{
				Encrypter: k, Decrypter: k, Stranger: newRawRSA(t, "other", 1, padding),
				Malleable: padding == keyring.RSAPKCS1,
			})
		})
	}
	for _, curve := range curves {
		t.Run(fmt.Sprintf("RawECDH-%v", curve), func(t *testing.T) {
			alice, bob, carol := newECDHKey(t, curve), newECDHKey(t, curve), newECDHKey(t, curve)
			aliceToBob, err := keyring.NewRawECDH(alice, bob.PublicKey())
			require.NoError(t, err)
			bobToAlice, err := keyring.NewRawECDH(bob, alice.PublicKey())
			require.NoError(t, err)
			carolToBob, err := keyring.NewRawECDH(carol, bob.PublicKey())
			require.NoError(t, err)
			toBob, err := keyring.NewRawECDHEncrypter(bob.PublicKey())
			require.NoError(t, err)
			asBob, err := keyring.NewRawECDHDecrypter(bob)
			require.NoError(t, err)
			asCarol, err := keyring.NewRawECDHDecrypter(carol)
			require.NoError(t, err)

			for name, k := range map[string]keyringtest.Keyring{
				"own":               {Encrypter: aliceToBob, Decrypter: aliceToBob, Stranger: carolToBob},
				"other way":         {Encrypter: aliceToBob, Decrypter: bobToAlice, Stranger: carolToBob},
				"static discovered": {Encrypter: aliceToBob, Decrypter: asBob, Stranger: asCarol},
				"ephemeral":         {Encrypter: toBob, Decrypter: asBob, Stranger: aliceToBob},
			} {
				k.ContextBound = true
				t.Run(name, func(t *testing.T) { keyringtest.Run(t, k) })
			}
		})
	}
	t.Run("Example", func(t *testing.T) {
		k, err := newXChaCha("kek", make([]byte, 32))
		require.NoError(t, err)
		stranger, err := newXChaCha("other", make([]byte, 32))
		require.NoError(t, err)
		keyringtest.Run(t, keyringtest.Keyring{Encrypter: k, Decrypter: k, Stranger: stranger, ContextBound: true})
	})
	t.Run("Multi", func(t *testing.T) {
		aes, more := newRawAES(t, "kek", 256), newRawAES(t, "more", 128)
		k, err := keyring.NewMulti(aes, more)
		require.NoError(t, err)
		keyringtest.Run(t, keyringtest.Keyring{
			Encrypter: k, Decrypter: k, Stranger: newRawAES(t, "other", 256), ContextBound: true,
		})
	})
	t.Run("MultiWithoutGenerator", func(t *testing.T) {
		aes, more := newRawAES(t, "kek", 256), newRawAES(t, "more", 256)
		inner, err := keyring.NewMultiEncrypter(nil, aes, more)
		require.NoError(t, err)
		e, err := keyring.NewMultiEncrypter(newRawAES(t, "first", 256), inner)
		require.NoError(t, err)
		d, err := keyring.NewMultiDecrypter(aes, more)
		require.NoError(t, err)
		m := &keyring.EncryptionMaterials{Suite: keyring.SuiteAES256GCMHKDFSHA512Commit}
		require.NoError(t, e.OnEncrypt(t.Context(), m))
		require.Len(t, m.EncryptedDataKeys, 3)
		got := &keyring.DecryptionMaterials{Suite: m.Suite}
		require.NoError(t, d.OnDecrypt(t.Context(), got, m.EncryptedDataKeys))
		require.Equal(t, m.DataKey, got.DataKey)
	})
}
