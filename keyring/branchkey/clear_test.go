package branchkey

import (
	"bytes"
	"context"
	"encoding/hex"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
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
	key, err := (&BeaconKey{newSecret(beacon)}).Derive("ssn")
	require.NoError(t, err)
	assert.Equal(t, "e931ec6bdd8a8d7624a740bf3f413c7c801ca05556bb56b6ca86aeb53ac9370d"+
		"4b74252465e615121f8740f97c499d6db9e4658ca0ed0d27d374ffd93d6547a9", hex.EncodeToString(key))
}
