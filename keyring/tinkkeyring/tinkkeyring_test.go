package tinkkeyring_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/testing/fakekms"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/keyringtest"
	"github.com/go-sealring/sealring/keyring/tinkkeyring"
)

const suite = keyring.SuiteAES256GCMHKDFSHA512Commit

func newHandle(t testing.TB, template *tinkpb.KeyTemplate) *keyset.Handle {
	handle, err := keyset.NewHandle(template)
	require.NoError(t, err)
	return handle
}

func fromHandle(t testing.TB, handle *keyset.Handle) tink.AEAD {
	a, err := aead.New(handle)
	require.NoError(t, err)
	return a
}

func newAEAD(t testing.TB) tink.AEAD {
	return fromHandle(t, newHandle(t, aead.AES256GCMKeyTemplate()))
}

func newKeyring(t testing.TB, name string, a tink.AEAD) *tinkkeyring.Keyring {
	k, err := tinkkeyring.New("payments", name, a)
	require.NoError(t, err)
	return k
}

func TestConformance(t *testing.T) {
	for name, template := range map[string]*tinkpb.KeyTemplate{
		"AES128GCM":         aead.AES128GCMKeyTemplate(),
		"AES256GCM":         aead.AES256GCMKeyTemplate(),
		"AES256GCMNoPrefix": aead.AES256GCMNoPrefixKeyTemplate(),
		"AES256GCMSIV":      aead.AES256GCMSIVKeyTemplate(),
		"AES256CTRHMAC":     aead.AES256CTRHMACSHA256KeyTemplate(),
		"XChaCha20Poly1305": aead.XChaCha20Poly1305KeyTemplate(),
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeyring(t, "kek", fromHandle(t, newHandle(t, template)))
			keyringtest.Run(t, keyringtest.Keyring{
				Encrypter: k, Decrypter: k, Stranger: newKeyring(t, "other", newAEAD(t)), ContextBound: true,
			})
		})
	}
	t.Run("SameNameStranger", func(t *testing.T) {
		k := newKeyring(t, "kek", newAEAD(t))
		keyringtest.Run(t, keyringtest.Keyring{
			Encrypter: k, Decrypter: k, Stranger: newKeyring(t, "kek", newAEAD(t)), ContextBound: true,
		})
	})
	t.Run("WithContext", func(t *testing.T) {
		k, err := tinkkeyring.NewWithContext("payments", "kek", newRemoteAEAD(t))
		require.NoError(t, err)
		keyringtest.Run(t, keyringtest.Keyring{Encrypter: k, Decrypter: k, ContextBound: true})
	})
	t.Run("KMSEnvelope", func(t *testing.T) {
		a, err := aead.NewKMSEnvelopeAEADWithContext(aead.AES256GCMKeyTemplate(), newRemoteAEAD(t))
		require.NoError(t, err)
		k, err := tinkkeyring.NewWithContext("payments", "kek", a)
		require.NoError(t, err)
		keyringtest.Run(t, keyringtest.Keyring{Encrypter: k, Decrypter: k, ContextBound: true})
	})
}

// newRemoteAEAD returns an AEAD such as Tink's clients for key services have.
func newRemoteAEAD(t *testing.T) tink.AEADWithContext {
	uri, err := fakekms.NewKeyURI()
	require.NoError(t, err)
	a, err := fakekms.NewAEADWithContext(uri)
	require.NoError(t, err)
	return a
}

func TestWrappedKeyIsTinksCiphertext(t *testing.T) {
	a := newAEAD(t)
	k := newKeyring(t, "kek", a)
	for _, ec := range []keyring.EncryptionContext{nil, {}, {"tenant": "42", "table": "patients"}} {
		m := &keyring.EncryptionMaterials{Suite: suite, Context: ec}
		require.NoError(t, k.OnEncrypt(t.Context(), m))
		require.Len(t, m.EncryptedDataKeys, 1)
		edk := m.EncryptedDataKeys[0]
		assert.Equal(t, "payments", edk.ProviderID)
		assert.Equal(t, "kek", string(edk.ProviderInfo))
		assert.Equal(t, "kek", edk.KeyName())

		associated, err := ec.AppendBinary(nil)
		require.NoError(t, err)
		dataKey, err := a.Decrypt(edk.Ciphertext, associated)
		require.NoError(t, err)
		assert.Equal(t, m.DataKey, dataKey)
	}
}

// TestRotation gives a keyset a new primary key, then takes the old one away.
func TestRotation(t *testing.T) {
	ec := keyring.EncryptionContext{"tenant": "42"}
	client := func(h *keyset.Handle) *envelope.Client {
		c, err := envelope.New(newKeyring(t, "kek", fromHandle(t, h)), nil)
		require.NoError(t, err)
		return c
	}
	before := newHandle(t, aead.AES256GCMKeyTemplate())
	old, err := client(before).Encrypt(t.Context(), []byte("old"), ec)
	require.NoError(t, err)

	manager := keyset.NewManagerFromHandle(before)
	oldID := before.KeysetInfo().GetPrimaryKeyId()
	newID, err := manager.Add(aead.XChaCha20Poly1305KeyTemplate())
	require.NoError(t, err)
	require.NoError(t, manager.SetPrimary(newID))
	rotated, err := manager.Handle()
	require.NoError(t, err)

	got, err := client(rotated).Decrypt(t.Context(), old, ec)
	require.NoError(t, err)
	require.Equal(t, "old", string(got))
	msg, err := client(rotated).Encrypt(t.Context(), []byte("new"), ec)
	require.NoError(t, err)
	_, err = client(before).Decrypt(t.Context(), msg, ec)
	require.ErrorIs(t, err, envelope.ErrNoMatchingKey, "the new key is in use")

	require.NoError(t, manager.Delete(oldID))
	retired, err := manager.Handle()
	require.NoError(t, err)
	got, err = client(retired).Decrypt(t.Context(), msg, ec)
	require.NoError(t, err)
	require.Equal(t, "new", string(got))
	_, err = client(retired).Decrypt(t.Context(), old, ec)
	require.ErrorIs(t, err, envelope.ErrNoMatchingKey)
}

func TestMessages(t *testing.T) {
	k := newKeyring(t, "kek", newAEAD(t))
	ec := keyring.EncryptionContext{"tenant": "42"}
	for _, s := range []keyring.Suite{suite, keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384} {
		c, err := envelope.New(k, &envelope.Options{Suite: s})
		require.NoError(t, err)
		msg, err := c.Encrypt(t.Context(), []byte("plaintext"), ec)
		require.NoError(t, err)
		got, err := c.Decrypt(t.Context(), msg, ec)
		require.NoError(t, err)
		assert.Equal(t, "plaintext", string(got))
		_, err = c.Decrypt(t.Context(), msg, keyring.EncryptionContext{"tenant": "43"})
		require.ErrorIs(t, err, envelope.ErrContextMismatch)
	}
}

// TestSameNameAsRSA has an RSA keyring and this one share a message and a name.
func TestSameNameAsRSA(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	raw, err := keyring.NewRawRSA("payments", "kek", &private.PublicKey, private, keyring.RSAOAEPSHA256)
	require.NoError(t, err)
	tk := newKeyring(t, "kek", newAEAD(t))
	for _, order := range [][]keyring.Keyring{{raw, tk}, {tk, raw}} {
		both, err := keyring.NewMulti(order[0], order[1])
		require.NoError(t, err)
		m := &keyring.EncryptionMaterials{Suite: suite}
		require.NoError(t, both.OnEncrypt(t.Context(), m))
		for _, k := range []keyring.Keyring{raw, tk, both} {
			got := &keyring.DecryptionMaterials{Suite: suite}
			require.NoError(t, k.OnDecrypt(t.Context(), got, m.EncryptedDataKeys))
			require.Equal(t, m.DataKey, got.DataKey)
		}
	}
}

func TestInvalidArguments(t *testing.T) {
	a := newAEAD(t)
	long := strings.Repeat("x", 1<<16)
	for name, c := range map[string]struct {
		namespace, name string
		aead            tinkkeyring.AEAD
	}{
		"empty namespace":     {"", "kek", a},
		"KMS's namespace":     {"aws-kms", "kek", a},
		"like KMS's":          {"aws-kms-tink", "kek", a},
		"namespace not UTF-8": {"\xff", "kek", a},
		"long namespace":      {long, "kek", a},
		"empty name":          {"payments", "", a},
		"name not UTF-8":      {"payments", "\xff", a},
		"long name":           {"payments", long, a},
		"no AEAD":             {"payments", "kek", nil},
	} {
		k, err := tinkkeyring.New(c.namespace, c.name, c.aead)
		assert.ErrorIs(t, err, keyring.ErrInvalidArgument, name)
		assert.Nil(t, k, name)
	}
	_, err := tinkkeyring.NewWithContext("payments", "kek", nil)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = tinkkeyring.New(long[1:], long[1:], a)
	require.NoError(t, err, "the longest names")

	k := newKeyring(t, "kek", a)
	m := &keyring.EncryptionMaterials{Suite: 0x9999}
	require.ErrorIs(t, k.OnEncrypt(t.Context(), m), keyring.ErrInvalidArgument)
	require.Equal(t, &keyring.EncryptionMaterials{Suite: 0x9999}, m)
	notUTF8 := keyring.EncryptionContext{"\xff": ""}
	m = &keyring.EncryptionMaterials{Suite: suite, Context: notUTF8}
	require.ErrorIs(t, k.OnEncrypt(t.Context(), m), envelope.ErrMalformed)
	require.Nil(t, m.DataKey)
	require.ErrorIs(t, k.OnDecrypt(t.Context(), &keyring.DecryptionMaterials{Suite: suite, Context: notUTF8}, nil), envelope.ErrMalformed)
}

// stub is an AEAD that does as a test says.
type stub struct {
	encrypt func(plaintext []byte) ([]byte, error)
	decrypt func(ciphertext []byte) ([]byte, error)
}

func (s stub) Encrypt(plaintext, _ []byte) ([]byte, error)  { return s.encrypt(plaintext) }
func (s stub) Decrypt(ciphertext, _ []byte) ([]byte, error) { return s.decrypt(ciphertext) }

func wrapped(ciphertexts ...string) []keyring.EncryptedDataKey {
	var keys []keyring.EncryptedDataKey
	for _, c := range ciphertexts {
		keys = append(keys, keyring.EncryptedDataKey{ProviderID: "payments", ProviderInfo: []byte("kek"), Ciphertext: []byte(c)})
	}
	return keys
}

func TestEncryptFailure(t *testing.T) {
	broken := errors.New("out of order")
	for name, c := range map[string]struct {
		ciphertext []byte
		err        error
		is         error
	}{
		"error":            {nil, broken, broken},
		"empty ciphertext": {nil, nil, keyring.ErrInvalidMaterials},
		"long ciphertext":  {make([]byte, 1<<16), nil, keyring.ErrInvalidMaterials},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []byte
			k := newKeyring(t, "kek", stub{encrypt: func(plaintext []byte) ([]byte, error) {
				seen = plaintext
				return c.ciphertext, c.err
			}})
			m := &keyring.EncryptionMaterials{Suite: suite}
			err := k.OnEncrypt(t.Context(), m)
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, `Tink AEAD "payments"/"kek"`)
			require.Equal(t, &keyring.EncryptionMaterials{Suite: suite}, m)
			require.Equal(t, make([]byte, 32), seen, "the generated key was not cleared")

			m.GenerateDataKey()
			given := bytes.Clone(m.DataKey)
			require.ErrorIs(t, k.OnEncrypt(t.Context(), m), c.is)
			require.Equal(t, given, m.DataKey, "the key that was there was changed")
			require.Empty(t, m.EncryptedDataKeys)
		})
	}
}

func TestDecryptFailure(t *testing.T) {
	denied, disabled := errors.New("denied"), errors.New("disabled")
	short := bytes.Repeat([]byte{7}, 16)
	partial := bytes.Repeat([]byte{9}, 32)
	k := newKeyring(t, "kek", stub{decrypt: func(ciphertext []byte) ([]byte, error) {
		switch string(ciphertext) {
		case "denied":
			return nil, denied
		case "disabled":
			return partial, disabled
		}
		return short, nil
	}})
	m := &keyring.DecryptionMaterials{Suite: suite}
	err := k.OnDecrypt(t.Context(), m, wrapped("denied", "short", "disabled"))
	require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
	require.ErrorIs(t, err, denied)
	require.ErrorIs(t, err, disabled)
	var none *keyring.NoMatchError
	require.ErrorAs(t, err, &none)
	require.Len(t, none.Reasons, 3)
	assert.ErrorContains(t, none.Reasons[0], "encrypted data key 1: denied")
	assert.ErrorContains(t, none.Reasons[1], "holds 16 bytes")
	assert.Nil(t, m.DataKey)
	assert.Equal(t, make([]byte, 16), short, "a key of another length was not cleared")
	assert.Equal(t, make([]byte, 32), partial, "what came with an error was not cleared")
}

type ctxKey struct{}

// bothWays is an AEAD with and without a context, whose calls without fail.
type bothWays struct {
	stub
	inner tink.AEAD
	t     *testing.T
}

func (b bothWays) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	assert.Equal(b.t, "caller's", ctx.Value(ctxKey{}))
	return b.inner.Encrypt(plaintext, associatedData)
}

func (b bothWays) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	assert.Equal(b.t, "caller's", ctx.Value(ctxKey{}))
	return b.inner.Decrypt(ciphertext, associatedData)
}

func TestContextIsPassedOn(t *testing.T) {
	unused := func([]byte) ([]byte, error) { return nil, errors.New("called without a context") }
	k := newKeyring(t, "kek", bothWays{stub{unused, unused}, newAEAD(t), t})
	ctx := context.WithValue(t.Context(), ctxKey{}, "caller's")
	m := &keyring.EncryptionMaterials{Suite: suite}
	require.NoError(t, k.OnEncrypt(ctx, m))
	got := &keyring.DecryptionMaterials{Suite: suite}
	require.NoError(t, k.OnDecrypt(ctx, got, m.EncryptedDataKeys))
	require.Equal(t, m.DataKey, got.DataKey)
}

// waiting is an AEAD that waits for its context, then reports an error of its
// own, as clients of key services do.
type waiting struct{ err error }

func (w waiting) EncryptWithContext(ctx context.Context, _, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, w.err
}

func (w waiting) DecryptWithContext(ctx context.Context, _, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, w.err
}

func TestContextEndsTheCall(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		rpc := errors.New("rpc error: code = DeadlineExceeded")
		for _, err := range []error{rpc, fmt.Errorf("post: %w", context.DeadlineExceeded)} {
			k, newErr := tinkkeyring.NewWithContext("payments", "kek", waiting{err})
			require.NoError(t, newErr)
			soon := func() context.Context {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				t.Cleanup(cancel)
				return ctx
			}
			m := &keyring.EncryptionMaterials{Suite: suite}
			got := k.OnEncrypt(soon(), m)
			require.ErrorIs(t, got, context.DeadlineExceeded)
			require.ErrorIs(t, got, err)
			require.Equal(t, &keyring.EncryptionMaterials{Suite: suite}, m)

			got = k.OnDecrypt(soon(), &keyring.DecryptionMaterials{Suite: suite}, wrapped("a", "b"))
			require.ErrorIs(t, got, context.DeadlineExceeded)
			require.ErrorIs(t, got, err)
			require.NotErrorIs(t, got, keyring.ErrNoMatchingKey)
		}
	})
}

// TestContextEndsDuringTheCall uses AEADs that take no context and succeed.
func TestContextEndsDuringTheCall(t *testing.T) {
	var dataKey []byte
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	k := newKeyring(t, "kek", stub{encrypt: func(plaintext []byte) ([]byte, error) {
		cancel()
		dataKey = plaintext
		return []byte("wrapped"), nil
	}})
	m := &keyring.EncryptionMaterials{Suite: suite}
	require.ErrorIs(t, k.OnEncrypt(ctx, m), context.Canceled)
	require.Equal(t, &keyring.EncryptionMaterials{Suite: suite}, m)
	require.Equal(t, make([]byte, 32), dataKey)

	ctx, cancelDecrypt := context.WithCancel(t.Context())
	defer cancelDecrypt()
	calls := 0
	k = newKeyring(t, "kek", stub{decrypt: func([]byte) ([]byte, error) {
		cancelDecrypt()
		calls++
		dataKey = bytes.Repeat([]byte{7}, 32)
		return dataKey, nil
	}})
	d := &keyring.DecryptionMaterials{Suite: suite}
	err := k.OnDecrypt(ctx, d, wrapped("a", "b"))
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, keyring.ErrNoMatchingKey)
	require.Nil(t, d.DataKey)
	require.Equal(t, make([]byte, 32), dataKey)
	require.Equal(t, 1, calls, "a second key was tried after the context ended")
}
