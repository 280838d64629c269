package keyring_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/cryptobyte"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

var itemSuites = []keyring.Suite{
	keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384,
	keyring.SuiteDBEAES256GCMHKDFSHA512CommitECDSAP384HMACSHA384,
}

// itemMaterials returns new materials of an item's suite, and the request that reads what
// they wrote.
func itemMaterials(t *testing.T, m keyring.EncryptionManager, s keyring.Suite) (*keyring.EncryptionMaterials, keyring.DecryptionRequest) {
	t.Helper()
	e, err := m.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{
		Suite: s, PlaintextLength: -1, RequiredKeys: []string{"row"},
		Context: keyring.EncryptionContext{"tenant": "42", "row": "7"},
	})
	require.NoError(t, err)
	stored, err := e.Stored()
	require.NoError(t, err)
	return e, keyring.DecryptionRequest{Suite: s, Stored: stored, Reproduced: keyring.EncryptionContext{"row": "7"}}
}

func TestSymmetricSigningKeys(t *testing.T) {
	a, b, c := newRawAES(t, "a", 256), newRawAES(t, "b", 128), newRawAES(t, "c", 192)
	inner, err := keyring.NewMulti(b, c)
	require.NoError(t, err)
	all, err := keyring.NewMulti(a, inner)
	require.NoError(t, err)
	for _, s := range itemSuites {
		t.Run(s.String(), func(t *testing.T) {
			assert.True(t, s.SignsSymmetrically())
			assert.True(t, s.Commits())
			assert.True(t, s.DerivesKey())
			assert.Equal(t, 32, s.DataKeyLen())
			e, req := itemMaterials(t, newManager(t, all), s)
			require.Len(t, e.EncryptedDataKeys, 3)
			require.Len(t, e.SymmetricSigningKeys, 3)
			for i, k := range []keyring.Keyring{a, b, c} {
				d, err := newManager(t, k).DecryptionMaterials(t.Context(), req)
				require.NoError(t, err)
				assert.Equal(t, e.DataKey, d.DataKey)
				assert.Equal(t, e.SymmetricSigningKeys[i], d.SymmetricSigningKey)
				for j := range i {
					assert.NotEqual(t, e.SymmetricSigningKeys[j], d.SymmetricSigningKey)
				}
				assert.Len(t, e.EncryptedDataKeys[i].Ciphertext, 48+48)
				key := d.SymmetricSigningKey
				d.Clear()
				assert.Equal(t, make([]byte, 32), key)
				assert.Nil(t, d.SymmetricSigningKey)
			}
			key := e.SymmetricSigningKeys[2]
			e.Clear()
			assert.Equal(t, make([]byte, 32), key)
			assert.Nil(t, e.SymmetricSigningKeys)
		})
	}
}

// TestDoublyWrappedAltered flips each byte of a wrapped key, shortens it, and changes the
// context.
func TestDoublyWrappedAltered(t *testing.T) {
	k := newRawAES(t, "a", 256)
	m := newManager(t, k)
	for _, s := range itemSuites {
		t.Run(s.String(), func(t *testing.T) {
			_, req := itemMaterials(t, m, s)
			whole := req.Stored
			_, keys, err := req.Parse()
			require.NoError(t, err)
			n := len(keys[0].Ciphertext)
			for i := range n {
				req.Stored = slices.Clone(whole)
				req.Stored[len(whole)-n+i] ^= 1
				_, err := m.DecryptionMaterials(t.Context(), req)
				require.ErrorIs(t, err, keyring.ErrContextMismatch, "byte %d", i) // it may be the pair that is not stored
				require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
			}
			stored := keyring.EncryptionContext{"tenant": "42"}
			if s.Signs() {
				parsed, _, _ := req.Parse()
				stored = parsed
			}
			for cut := range n {
				short := keys[0]
				short.Ciphertext = short.Ciphertext[:cut]
				req.Stored = storedOf(t, stored, short)
				_, err := m.DecryptionMaterials(t.Context(), req)
				if cut <= 48 {
					require.ErrorIs(t, err, envelope.ErrMalformed)
					assert.ErrorContains(t, err, "encrypted data key 1")
				} else {
					require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
				}
			}
			req.Stored, req.Reproduced = whole, keyring.EncryptionContext{"row": "8"}
			_, err = m.DecryptionMaterials(t.Context(), req)
			require.ErrorIs(t, err, keyring.ErrContextMismatch)
		})
	}
}

// storedOf serializes a context and one wrapped key.
func storedOf(t *testing.T, ec keyring.EncryptionContext, edk keyring.EncryptedDataKey) []byte {
	m := &keyring.EncryptionMaterials{Context: ec, EncryptedDataKeys: []keyring.EncryptedDataKey{edk}}
	b, err := m.Stored()
	require.NoError(t, err)
	return b
}

func TestChecksOfSymmetricKeys(t *testing.T) {
	m := newManager(t, newRawAES(t, "a", 256))
	request := keyring.EncryptionRequest{Suite: itemSuites[0], Context: keyring.EncryptionContext{"tenant": "42", "row": "7"}, RequiredKeys: []string{"row"}}
	for name, change := range map[string]func(*keyring.EncryptionMaterials){
		"none": func(m *keyring.EncryptionMaterials) { m.SymmetricSigningKeys = nil },
		"too many": func(m *keyring.EncryptionMaterials) {
			m.SymmetricSigningKeys = append(m.SymmetricSigningKeys, make([]byte, 32))
		},
		"short":     func(m *keyring.EncryptionMaterials) { m.SymmetricSigningKeys[0] = m.SymmetricSigningKeys[0][:31] },
		"cleared":   func(m *keyring.EncryptionMaterials) { clear(m.SymmetricSigningKeys[0]) },
		"a message": func(m *keyring.EncryptionMaterials) { m.Suite = keyring.SuiteAES256GCMHKDFSHA512Commit },
	} {
		e, _ := itemMaterials(t, m, itemSuites[0])
		require.NoError(t, e.Check(request))
		change(e)
		require.ErrorIs(t, e.Check(request), keyring.ErrInvalidMaterials, name)
	}
	for name, change := range map[string]func(*keyring.DecryptionMaterials){
		"none":    func(m *keyring.DecryptionMaterials) { m.SymmetricSigningKey = nil },
		"short":   func(m *keyring.DecryptionMaterials) { m.SymmetricSigningKey = m.SymmetricSigningKey[:31] },
		"cleared": func(m *keyring.DecryptionMaterials) { clear(m.SymmetricSigningKey) },
	} {
		_, req := itemMaterials(t, m, itemSuites[0])
		d, err := m.DecryptionMaterials(t.Context(), req)
		require.NoError(t, err)
		change(d)
		require.ErrorIs(t, d.Check(req), keyring.ErrInvalidMaterials, name)
	}

	// No client makes a message of them, whatever its manager answers.
	for _, s := range itemSuites {
		e, _ := itemMaterials(t, m, s)
		require.ErrorIs(t, e.Check(keyring.EncryptionRequest{}), keyring.ErrInvalidMaterials)
		_, err := envelope.NewFromManager(m, &envelope.Options{Suite: s})
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	}
}

// TestGeneratorAndChildren has the first keyring generate the intermediate key, and the
// others be given one, as with messages.
func TestGeneratorAndChildren(t *testing.T) {
	var given []bool
	spy := func(name string) keyring.Keyring { return watched{newRawAES(t, name, 256), &given} }
	multi, err := keyring.NewMulti(spy("a"), spy("b"), spy("c"))
	require.NoError(t, err)
	itemMaterials(t, newManager(t, multi), itemSuites[0])
	assert.Equal(t, []bool{false, true, true}, given)
	require.NoError(t, err)

	broken := errors.New("broken")
	multi, err = keyring.NewMulti(spy("a"), failing{broken})
	require.NoError(t, err)
	_, err = newManager(t, multi).EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Suite: itemSuites[0]})
	require.ErrorIs(t, err, broken)
}

// watched notes whether materials came with a data key.
type watched struct {
	keyring.Keyring
	given *[]bool
}

func (w watched) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	*w.given = append(*w.given, m.DataKey != nil)
	return w.Keyring.OnEncrypt(ctx, m)
}

// asked notes the suites that a keyring is asked with.
type asked struct {
	keyring.Keyring
	suites *[]keyring.Suite
}

func (a asked) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	*a.suites = append(*a.suites, m.Suite)
	return a.Keyring.OnEncrypt(ctx, m)
}

func (a asked) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	*a.suites = append(*a.suites, m.Suite)
	return a.Keyring.OnDecrypt(ctx, m, keys)
}

// TestCarrier has a keyring that is not for suites that sign see whether an item is signed.
func TestCarrier(t *testing.T) {
	for _, s := range itemSuites {
		var suites []keyring.Suite
		m := newManager(t, asked{newRawAES(t, "a", 256), &suites})
		_, req := itemMaterials(t, m, s)
		_, err := m.DecryptionMaterials(t.Context(), req)
		require.NoError(t, err)
		require.Len(t, suites, 2)
		for _, inner := range suites {
			assert.Equal(t, s.Signs(), inner.Signs())
			assert.False(t, inner.SignsSymmetrically())
		}
	}
}

// zeroed has a data key of zeros, as a keyring does that hands out a slice which it shares,
// and which somebody has cleared.
type zeroed struct{ keyring.Keyring }

func (z zeroed) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	m.DataKey = make([]byte, m.Suite.DataKeyLen())
	return z.Keyring.OnEncrypt(ctx, m)
}

func (z zeroed) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	err := z.Keyring.OnDecrypt(ctx, m, keys)
	clear(m.DataKey)
	return err
}

// TestZeroIntermediateKey has keyrings give an intermediate key that everybody knows: the
// data key would be wrapped under it, and the item signed.
func TestZeroIntermediateKey(t *testing.T) {
	good := newRawAES(t, "a", 256)
	second, err := keyring.NewMulti(newRawAES(t, "b", 256), zeroed{good})
	require.NoError(t, err)
	for name, k := range map[string]keyring.Keyring{"alone": zeroed{good}, "second": second} {
		_, err := newManager(t, k).EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Suite: itemSuites[0]})
		require.ErrorIs(t, err, keyring.ErrInvalidMaterials, name)
	}

	// An item that somebody without a key has made, for a reader whose keyring is broken.
	aead := func(key []byte, info string) cipher.AEAD {
		wrapping, err := hkdf.Key(sha512.New, key, nil, info, 32)
		require.NoError(t, err)
		block, err := aes.NewCipher(wrapping)
		require.NoError(t, err)
		aead, err := cipher.NewGCM(block)
		require.NoError(t, err)
		return aead
	}
	ec := keyring.EncryptionContext{"tenant": "42", "row": "7"}
	aad, err := ec.AppendBinary(nil)
	require.NoError(t, err)
	e, req := itemMaterials(t, newManager(t, good), itemSuites[0])
	forged := e.EncryptedDataKeys[0]
	known := aead(make([]byte, 32), "AWS_MPL_INTERMEDIATE_KEYWRAP_ENC").Seal(nil, make([]byte, 12), bytes.Repeat([]byte{1}, 32), aad)
	forged.Ciphertext = append(known, forged.Ciphertext[48:]...)
	req.Stored = storedOf(t, keyring.EncryptionContext{"tenant": "42"}, forged)
	_, err = newManager(t, zeroed{good}).DecryptionMaterials(t.Context(), req)
	require.ErrorIs(t, err, keyring.ErrInvalidMaterials)
}

// holding keeps the slices of the data keys that it makes, is given and unwraps.
type holding struct {
	keyring.Keyring
	keys *[][]byte
}

func (h holding) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	err := h.Keyring.OnEncrypt(ctx, m)
	*h.keys = append(*h.keys, m.DataKey)
	return err
}

func (h holding) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	err := h.Keyring.OnDecrypt(ctx, m, keys)
	*h.keys = append(*h.keys, m.DataKey)
	return err
}

// TestIntermediateKeysAreCleared looks at what is left of intermediate keys, also when a
// later step fails.
func TestIntermediateKeysAreCleared(t *testing.T) {
	var keys [][]byte
	hold := func(name string) keyring.Keyring { return holding{newRawAES(t, name, 256), &keys} }
	multi, err := keyring.NewMulti(hold("a"), hold("b"))
	require.NoError(t, err)
	m := newManager(t, multi)
	_, req := itemMaterials(t, m, itemSuites[0])
	_, err = m.DecryptionMaterials(t.Context(), req)
	require.NoError(t, err)

	// The data key was altered, the intermediate key was not.
	stored, wrapped, err := req.Parse()
	require.NoError(t, err)
	wrapped[0].Ciphertext[0] ^= 1
	req.Stored = storedOf(t, stored, wrapped[0])
	_, err = m.DecryptionMaterials(t.Context(), req)
	require.ErrorIs(t, err, keyring.ErrNoMatchingKey)

	require.Len(t, keys, 4)
	for i, key := range keys {
		assert.Equal(t, make([]byte, 32), key, i)
	}
}

// TestItemsOfAWS unwraps the data keys of items that AWS's Java release wrote, and compares
// the commitments in their headers.
func TestItemsOfAWS(t *testing.T) {
	const file = "../../shared/vectors/dbesdk/java-3.9.0-rawaes.json"
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("not here: " + file)
	}
	require.NoError(t, err)
	var vectors struct {
		Namespace string `json:"key_namespace"`
		Name      string `json:"key_name"`
		Key       string `json:"key_hex"`
		Items     []struct {
			Name    string
			Head    string                    `json:"head_hex"`
			Context keyring.EncryptionContext `json:"encryption_context"`
			Stored  keyring.EncryptionContext `json:"stored_encryption_context"`
		}
	}
	require.NoError(t, json.Unmarshal(b, &vectors))
	require.Len(t, vectors.Items, 5)
	key, err := hex.DecodeString(vectors.Key)
	require.NoError(t, err)
	k, err := keyring.NewRawAES(vectors.Namespace, vectors.Name, key)
	require.NoError(t, err)
	m := newManager(t, k)
	for _, item := range vectors.Items {
		t.Run(item.Name, func(t *testing.T) {
			head, err := hex.DecodeString(item.Head)
			require.NoError(t, err)
			messageID, commitment := head[2:34], head[len(head)-32:]
			in := cryptobyte.String(head[34:])
			var legend, field cryptobyte.String
			var pairs uint16
			require.True(t, in.ReadUint16LengthPrefixed(&legend) && in.ReadUint16(&pairs))
			for range 2 * pairs {
				require.True(t, in.ReadUint16LengthPrefixed(&field))
			}
			var keys uint8
			require.True(t, in.ReadUint8(&keys))
			require.EqualValues(t, 1, keys)
			var id, info, wrapped cryptobyte.String
			require.True(t, in.ReadUint16LengthPrefixed(&id) && in.ReadUint16LengthPrefixed(&info) && in.ReadUint16LengthPrefixed(&wrapped))
			require.Len(t, in, 32)

			reproduced := keyring.EncryptionContext{}
			for k, v := range item.Context {
				if _, ok := item.Stored[k]; !ok {
					reproduced[k] = v
				}
			}
			d, err := m.DecryptionMaterials(t.Context(), keyring.DecryptionRequest{
				Suite:      keyring.Suite(0x6700 + uint16(head[1])),
				Stored:     storedOf(t, item.Stored, keyring.EncryptedDataKey{ProviderID: string(id), ProviderInfo: info, Ciphertext: wrapped}),
				Reproduced: reproduced,
			})
			require.NoError(t, err)
			commitKey, err := hkdf.Key(sha512.New, d.DataKey, nil, "AWS_DBE_COMMIT_KEY"+string(messageID), 32)
			require.NoError(t, err)
			mac := hmac.New(sha512.New, commitKey)
			mac.Write(head[:len(head)-32])
			assert.Equal(t, commitment, mac.Sum(nil)[:32])
		})
	}
}
