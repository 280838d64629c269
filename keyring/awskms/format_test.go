package awskms_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"math/big"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// TestRSAFormat reads a wrapped key by code that shares nothing with the package.
func TestRSAFormat(t *testing.T) {
	const keyARN = "arn:aws:kms:us-east-1:111122223333:key/01234567-89ab-4cde-8f01-23456789abcd"
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	s := newServer(t)
	inKMS := s.CreateKey(east, kmstest.RSA2048)
	for algorithm, hash := range map[types.EncryptionAlgorithmSpec]crypto.Hash{
		"": crypto.SHA256,
		types.EncryptionAlgorithmSpecRsaesOaepSha256: crypto.SHA256,
		types.EncryptionAlgorithmSpecRsaesOaepSha1:   crypto.SHA1,
	} {
		t.Run(string(algorithm), func(t *testing.T) {
			k, err := awskms.NewRSAEncrypter(awskms.RSAConfig{KeyARN: keyARN, PublicKey: &private.PublicKey, Algorithm: algorithm})
			require.NoError(t, err)
			m := &keyring.EncryptionMaterials{Suite: suite, Context: keyring.EncryptionContext{"b": "2", "a": "1"}}
			require.NoError(t, k.OnEncrypt(t.Context(), m))
			require.Len(t, m.EncryptedDataKeys, 1)
			edk := m.EncryptedDataKeys[0]
			assert.Equal(t, "aws-kms-rsa", edk.ProviderID)
			assert.Equal(t, keyARN, string(edk.ProviderInfo))
			got, err := private.Decrypt(nil, edk.Ciphertext, &rsa.OAEPOptions{Hash: hash, MGFHash: hash})
			require.NoError(t, err)
			digest := sha512.Sum384([]byte("\x00\x02\x00\x01a\x00\x011\x00\x01b\x00\x012"))
			assert.Equal(t, append(digest[:], m.DataKey...), got)

			// KMS is asked with the same algorithm.
			both, err := awskms.NewRSA(awskms.RSAConfig{
				Client: newClient(s, east), KeyARN: inKMS, PublicKey: rsaPublicKey(t, s, inKMS), Algorithm: algorithm,
			})
			require.NoError(t, err)
			unwraps(t, both, wrapNew(t, both))
		})
	}
	small := &rsa.PublicKey{N: new(big.Int).Rsh(private.N, 1024), E: private.E}
	_, err = awskms.NewRSAEncrypter(awskms.RSAConfig{KeyARN: keyARN, PublicKey: small})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	assert.ErrorContains(t, err, "1024 bits, the least is 2048")
}

// TestRSAReplica has one replica of a multi-Region key unwrap what another has wrapped.
func TestRSAReplica(t *testing.T) {
	s := newServer(t)
	mrk := s.CreateMultiRegionKey(east, kmstest.RSA2048)
	replica := s.Replicate(mrk, west)
	public := rsaPublicKey(t, s, mrk)
	e, err := awskms.NewRSAEncrypter(awskms.RSAConfig{KeyARN: mrk, PublicKey: public})
	require.NoError(t, err)
	d, err := awskms.NewRSADecrypter(awskms.RSAConfig{Client: newClient(s, west), KeyARN: replica})
	require.NoError(t, err)
	unwraps(t, d, wrapNew(t, e))
	call, _ := s.LastCall(kmstest.Match{})
	assert.Equal(t, replica, call.KeyID)
}

// TestGivenDataKey has keyrings wrap a data key that another has made, with kms:Encrypt.
func TestGivenDataKey(t *testing.T) {
	s := newServer(t)
	another := s.CreateKey(east, kmstest.SymmetricDefault)
	for name, mrkAware := range map[string]bool{"key": false, "multi-Region key": true} {
		key := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
		k, err := awskms.New(awskms.Config{Client: newClient(s, east), KeyID: key, MRKAware: mrkAware, GrantTokens: []string{"grant"}})
		require.NoError(t, err)
		given := func() *keyring.EncryptionMaterials {
			m := &keyring.EncryptionMaterials{Suite: suite, Context: testContext}
			m.GenerateDataKey()
			return m
		}
		t.Run(name, func(t *testing.T) {
			m := given()
			s.ResetCalls()
			require.NoError(t, k.OnEncrypt(t.Context(), m))
			log := s.Log(kmstest.Match{})
			require.Len(t, log, 1)
			assert.Equal(t, "Encrypt", log[0].Operation)
			assert.Equal(t, key, log[0].KeyID)
			assert.Equal(t, []string{"grant"}, log[0].GrantTokens)
			assert.Equal(t, map[string]string(testContext), log[0].EncryptionContext)
			require.Len(t, m.EncryptedDataKeys, 1)
			assert.Equal(t, "aws-kms", m.EncryptedDataKeys[0].ProviderID)
			assert.Equal(t, key, string(m.EncryptedDataKeys[0].ProviderInfo))
			unwraps(t, k, m)
		})
		for what, answer := range map[string]func(map[string]any){
			"another key":        func(a map[string]any) { a["KeyId"] = another },
			"no key":             func(a map[string]any) { delete(a, "KeyId") },
			"a key that is none": func(a map[string]any) { a["KeyId"] = "alias/orders" },
			"no ciphertext":      func(a map[string]any) { delete(a, "CiphertextBlob") },
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				s.Tamper(func(_ string, a map[string]any) { answer(a) })
				defer s.Tamper(nil)
				m := given()
				require.ErrorContains(t, k.OnEncrypt(t.Context(), m), "the answer is of no use")
				assert.Empty(t, m.EncryptedDataKeys)
			})
		}
		t.Run(name+"/denied", func(t *testing.T) {
			defer s.Deny("kms:Encrypt", key)()
			m := given()
			require.ErrorContains(t, k.OnEncrypt(t.Context(), m), "must allow kms:Encrypt on this key")
			assert.Empty(t, m.EncryptedDataKeys)
		})
	}
}

// TestReplicasAreNamed has a keyring of several keys with replicas among them.
func TestReplicasAreNamed(t *testing.T) {
	s := newServer(t)
	client := map[string]awskms.Client{east: newClient(s, east), west: newClient(s, west)}
	a, b := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault), s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	aWest, bWest := s.Replicate(a, west), s.Replicate(b, west)
	single := s.CreateKey(east, kmstest.SymmetricDefault)
	id := func(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }
	for name, c := range map[string]struct {
		keys  []string // all in the east, but for those that end with a space
		names []string
	}{
		"no multi-Region key": {[]string{single, strings.Replace(single, east, west, 1) + " "}, nil},
		"no replicas":         {[]string{a, b, single}, nil},
		"alias":               {[]string{a, "alias/" + id(aWest) + " "}, nil},
		"one pair":            {[]string{a, single, aWest + " "}, []string{a, aWest}},
		"two pairs":           {[]string{a, b, bWest + " ", aWest + " "}, []string{a, aWest, b, bWest}},
		"an ID":               {[]string{single, a, id(a) + " "}, []string{a, id(a)}},
	} {
		t.Run(name, func(t *testing.T) {
			var configs []awskms.Config
			for _, key := range c.keys {
				region := east
				if bare, inWest := strings.CutSuffix(key, " "); inWest {
					key, region = bare, west
				}
				config := awskms.Config{Client: client[region], KeyID: key, MRKAware: true}
				if strings.HasPrefix(key, "alias/") {
					config.DecryptKeys = []string{aWest}
				}
				configs = append(configs, config)
			}
			_, err := awskms.NewMulti(configs[0], configs[1:]...)
			if c.names == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			for _, key := range c.names {
				assert.ErrorContains(t, err, `"`+key+`"`)
			}
			assert.NotContains(t, err.Error(), single)
		})
	}
}

// TestContextThatCannotBeSerialized has keyrings that serialize the context themselves get
// one which the format does not hold.
func TestContextThatCannotBeSerialized(t *testing.T) {
	s := newServer(t)
	for name, k := range everyKeyring(t, s) {
		if name != "RSA" && name != "ECDH" && name != "ECDH discovery" {
			continue // KMS binds the context
		}
		t.Run(name, func(t *testing.T) {
			good := wrapNew(t, k.Encrypter).EncryptedDataKeys
			bad := keyring.EncryptionContext{"a": "\xff"}
			m := &keyring.EncryptionMaterials{Suite: suite, Context: bad}
			require.ErrorContains(t, k.OnEncrypt(t.Context(), m), "not UTF-8")
			assert.Nil(t, m.DataKey)
			assert.Empty(t, m.EncryptedDataKeys)
			d := &keyring.DecryptionMaterials{Suite: suite, Context: bad}
			require.ErrorContains(t, k.OnDecrypt(t.Context(), d, good), "not UTF-8")
			assert.Nil(t, d.DataKey)
		})
	}
}

// TestHalvesAreApart holds that what can do one thing alone has no method for the other.
func TestHalvesAreApart(t *testing.T) {
	for _, k := range []any{new(awskms.Discovery), new(awskms.ECDHDecrypter), new(awskms.RSADecrypter)} {
		_, encrypts := k.(keyring.Encrypter)
		assert.False(t, encrypts, "%T", k)
		_, decrypts := k.(keyring.Decrypter)
		assert.True(t, decrypts, "%T", k)
	}
	for _, k := range []any{new(awskms.Encrypter), new(awskms.RSAEncrypter)} {
		_, decrypts := k.(keyring.Decrypter)
		assert.False(t, decrypts, "%T", k)
		_, encrypts := k.(keyring.Encrypter)
		assert.True(t, encrypts, "%T", k)
	}
}
