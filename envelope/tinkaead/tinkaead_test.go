package tinkaead_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/tinkaead"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

const signed = keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384

func newRawAES(t testing.TB) keyring.Keyring {
	key := make([]byte, 32)
	rand.Read(key)
	k, err := keyring.NewRawAES("payments", "kek", key)
	require.NoError(t, err)
	return k
}

func newAEAD(t testing.TB, k keyring.Keyring, o *envelope.Options) *tinkaead.AEAD {
	a, err := tinkaead.New(k, o)
	require.NoError(t, err)
	return a
}

func newTink(t testing.TB) tink.AEAD {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	a, err := aead.New(handle)
	require.NoError(t, err)
	return a
}

// unbound returns a keyring whose wrapped keys are bound to no context, so that
// only the header tells associated data apart.
func unbound(t testing.TB) keyring.Keyring {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	k, err := keyring.NewRawRSA("hsm", "key", &key.PublicKey, key, keyring.RSAOAEPSHA256)
	require.NoError(t, err)
	return k
}

// TestAsTink runs code that knows only tink.AEAD with Tink's own and with ours.
func TestAsTink(t *testing.T) {
	raw := newRawAES(t)
	for name, a := range map[string]tink.AEAD{
		"Tink":            newTink(t),
		"raw AES":         newAEAD(t, raw, nil),
		"raw RSA":         newAEAD(t, unbound(t), nil),
		"signed":          newAEAD(t, raw, &envelope.Options{Suite: signed}),
		"without context": struct{ tink.AEAD }{newAEAD(t, raw, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("RoundTrip", func(t *testing.T) { testRoundTrip(t, a) })
			t.Run("NilAndEmpty", func(t *testing.T) { testNilAndEmpty(t, a) })
			t.Run("OtherAssociatedData", func(t *testing.T) { testOtherAssociatedData(t, a) })
			t.Run("Altered", func(t *testing.T) { testAltered(t, a) })
			t.Run("Concurrent", func(t *testing.T) { testConcurrent(t, a) })
			t.Run("EncryptedKeyset", func(t *testing.T) { testEncryptedKeyset(t, a) })
			t.Run("KMSEnvelope", func(t *testing.T) { testRoundTrip(t, aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), a)) })
		})
	}
}

func testRoundTrip(t *testing.T, a tink.AEAD) {
	for _, n := range []int{0, 1, 15, 16, 17, 4095, 4096, 4097, 100_000} {
		for _, ad := range [][]byte{nil, []byte("associated"), {0, 0xFF, 0xFE, 0x80}, make([]byte, 4096)} {
			plaintext := make([]byte, n)
			rand.Read(plaintext)
			before, adBefore := bytes.Clone(plaintext), bytes.Clone(ad)
			ciphertext, err := a.Encrypt(plaintext, ad)
			require.NoError(t, err)
			again, err := a.Encrypt(plaintext, ad)
			require.NoError(t, err)
			require.NotEqual(t, ciphertext, again)
			sealed := bytes.Clone(ciphertext)
			got, err := a.Decrypt(ciphertext, ad)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plaintext, got))
			require.Equal(t, before, plaintext)
			require.Equal(t, adBefore, ad)
			require.Equal(t, sealed, ciphertext)
		}
	}
}

func testNilAndEmpty(t *testing.T, a tink.AEAD) {
	both := [][]byte{nil, {}}
	for _, plaintext := range both {
		for _, ad := range both {
			ciphertext, err := a.Encrypt(plaintext, ad)
			require.NoError(t, err)
			for _, same := range both {
				got, err := a.Decrypt(ciphertext, same)
				require.NoError(t, err)
				require.Empty(t, got)
			}
			_, err = a.Decrypt(ciphertext, []byte{0})
			require.Error(t, err)
		}
	}
	for _, none := range both {
		_, err := a.Decrypt(none, nil)
		require.Error(t, err)
	}
}

func testOtherAssociatedData(t *testing.T, a tink.AEAD) {
	ad := []byte("row 42")
	ciphertext, err := a.Encrypt([]byte("plaintext"), ad)
	require.NoError(t, err)
	for _, other := range [][]byte{
		nil, {}, []byte("row 4"), []byte("row 43"), []byte("row 42\x00"), []byte("ROW 42"),
		[]byte(base64.StdEncoding.EncodeToString(ad)),
	} {
		got, err := a.Decrypt(ciphertext, other)
		require.Error(t, err, "%q", other)
		require.Nil(t, got)
		if ours(a) {
			require.ErrorIs(t, err, envelope.ErrContextMismatch)
		}
	}
}

// ours says whether errors of a are envelope's.
func ours(a tink.AEAD) bool {
	if s, ok := a.(struct{ tink.AEAD }); ok {
		a = s.AEAD
	}
	_, ok := a.(*tinkaead.AEAD)
	return ok
}

func testAltered(t *testing.T, a tink.AEAD) {
	ad := []byte("row 42")
	ciphertext, err := a.Encrypt([]byte("plaintext"), ad)
	require.NoError(t, err)
	for i := range ciphertext {
		altered := bytes.Clone(ciphertext)
		altered[i] ^= 1
		_, err := a.Decrypt(altered, ad)
		require.Error(t, err, "byte %d", i)
		_, err = a.Decrypt(ciphertext[:i], ad)
		require.Error(t, err, "cut to %d bytes", i)
		if ours(a) {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	}
	_, err = a.Decrypt(append(bytes.Clone(ciphertext), 0), ad)
	require.Error(t, err, "a byte more")
}

func testConcurrent(t *testing.T, a tink.AEAD) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 4 {
				plaintext, ad := fmt.Appendf(nil, "%d", i), fmt.Appendf(nil, "%d/%d", i, j)
				ciphertext, err := a.Encrypt(plaintext, ad)
				if !assert.NoError(t, err) {
					return
				}
				got, err := a.Decrypt(ciphertext, ad)
				assert.NoError(t, err)
				assert.Equal(t, plaintext, got)
			}
		})
	}
	wg.Wait()
}

// testEncryptedKeyset has Tink store a keyset under the AEAD.
func testEncryptedKeyset(t *testing.T, a tink.AEAD) {
	handle, err := keyset.NewHandle(mac.HMACSHA256Tag256KeyTemplate())
	require.NoError(t, err)
	var stored bytes.Buffer
	require.NoError(t, handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&stored), a, []byte("mac")))
	read, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(stored.Bytes())), a, []byte("mac"))
	require.NoError(t, err)
	require.Equal(t, handle.String(), read.String())
	_, err = keyset.Read(keyset.NewBinaryReader(&stored), a)
	require.Error(t, err)
}

// TestAsTinkWithContext runs code that knows only tink.AEADWithContext.
func TestAsTinkWithContext(t *testing.T) {
	var a tink.AEADWithContext = newAEAD(t, newRawAES(t), nil)
	handle, err := keyset.NewHandle(mac.HMACSHA256Tag256KeyTemplate())
	require.NoError(t, err)
	var stored bytes.Buffer
	require.NoError(t, handle.WriteWithContext(t.Context(), keyset.NewBinaryWriter(&stored), a, []byte("mac")))
	read, err := keyset.ReadWithContext(t.Context(), keyset.NewBinaryReader(&stored), a, []byte("mac"))
	require.NoError(t, err)
	require.Equal(t, handle.String(), read.String())
}

// TestPair holds how associated data stands in a message: any client that is
// given the pair reads it, and the message does not have it.
func TestPair(t *testing.T) {
	raw := newRawAES(t)
	client, err := envelope.New(raw, nil)
	require.NoError(t, err)
	for ad, value := range map[string]string{"": "", "row 42": "cm93IDQy", "\xff\xfe\xfd\xfb": "//79+w=="} {
		ciphertext, err := newAEAD(t, raw, nil).Encrypt([]byte("plaintext"), []byte(ad))
		require.NoError(t, err)
		h, err := envelope.ParseHeader(bytes.NewReader(ciphertext), nil)
		require.NoError(t, err)
		require.Empty(t, h.Context)

		got, err := client.Decrypt(t.Context(), ciphertext, keyring.EncryptionContext{"tink-associated-data": value})
		require.NoError(t, err)
		require.Equal(t, "plaintext", string(got))
		_, err = client.Decrypt(t.Context(), ciphertext, nil)
		require.ErrorIs(t, err, envelope.ErrNoMatchingKey)
	}
}

// TestOthersMessages decrypts what another client wrote with the same keyring
// and without associated data.
func TestOthersMessages(t *testing.T) {
	for name, k := range map[string]keyring.Keyring{"raw AES": newRawAES(t), "raw RSA": unbound(t)} {
		t.Run(name, func(t *testing.T) {
			client, err := envelope.New(k, nil)
			require.NoError(t, err)
			for _, ec := range []keyring.EncryptionContext{nil, {"tenant": "42"}} {
				msg, err := client.Encrypt(t.Context(), []byte("plaintext"), ec)
				require.NoError(t, err)
				for _, ad := range [][]byte{nil, []byte("row 42")} {
					_, err = newAEAD(t, k, nil).Decrypt(msg, ad)
					require.ErrorIs(t, err, envelope.ErrContextMismatch)
				}
			}
		})
	}
}

func TestLongAssociatedData(t *testing.T) {
	for _, s := range suite.IDs[keyring.Suite]() {
		policy := keyring.RequireEncryptRequireDecrypt
		if !s.Commits() {
			policy = keyring.ForbidEncryptAllowDecrypt
		}
		a := newAEAD(t, newRawAES(t), &envelope.Options{Suite: s, CommitmentPolicy: policy})
		ad := make([]byte, tinkaead.MaxAssociatedDataLen+1)
		ciphertext, err := a.Encrypt([]byte("plaintext"), ad[1:])
		require.NoError(t, err, s)
		got, err := a.Decrypt(ciphertext, ad[1:])
		require.NoError(t, err, s)
		require.Equal(t, "plaintext", string(got))

		_, err = a.Encrypt([]byte("plaintext"), ad)
		require.ErrorIs(t, err, envelope.ErrLimit)
		require.ErrorIs(t, err, envelope.ErrInvalidArgument)
		_, err = a.Decrypt(ciphertext, ad)
		require.ErrorIs(t, err, envelope.ErrLimit)
		require.ErrorIs(t, err, envelope.ErrContextMismatch)
	}
}

// TestMaxAssociatedDataLen checks that no byte more would fit a signed message.
func TestMaxAssociatedDataLen(t *testing.T) {
	require.Equal(t, 49_062, tinkaead.MaxAssociatedDataLen)
	m, err := keyring.NewManager(newRawAES(t))
	require.NoError(t, err)
	for more, is := range map[int]error{0: nil, 1: envelope.ErrInvalidArgument} {
		ad := make([]byte, tinkaead.MaxAssociatedDataLen+more)
		_, err = m.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{
			Suite:   signed,
			Context: keyring.EncryptionContext{tinkaead.AssociatedDataKey: base64.StdEncoding.EncodeToString(ad)},
		})
		require.ErrorIs(t, err, is)
	}
}

// waiting is a keyring whose every call waits for its context.
type waiting struct{}

func (waiting) OnEncrypt(ctx context.Context, _ *keyring.EncryptionMaterials) error {
	<-ctx.Done()
	return ctx.Err()
}

func (waiting) OnDecrypt(ctx context.Context, _ *keyring.DecryptionMaterials, _ []keyring.EncryptedDataKey) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestContext(t *testing.T) {
	a := newAEAD(t, newRawAES(t), nil)
	ciphertext, err := a.EncryptWithContext(t.Context(), []byte("plaintext"), nil)
	require.NoError(t, err)

	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := a.EncryptWithContext(ctx, []byte("plaintext"), nil)
		require.ErrorIs(t, err, context.Canceled)
		_, err = a.DecryptWithContext(ctx, ciphertext, nil)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, envelope.ErrContextMismatch)
	})
	t.Run("cancelled during", func(t *testing.T) {
		faketime.Test(t, func(t *testing.T) {
			a := newAEAD(t, waiting{}, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := a.EncryptWithContext(ctx, []byte("plaintext"), nil)
			require.ErrorIs(t, err, context.DeadlineExceeded)

			ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err = a.DecryptWithContext(ctx, ciphertext, nil)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	})
}

func TestInvalidArguments(t *testing.T) {
	_, err := tinkaead.New(nil, nil)
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	_, err = tinkaead.NewFromManager(nil, nil)
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	_, err = tinkaead.New(newRawAES(t), &envelope.Options{FrameLength: -1})
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	_, err = tinkaead.New(newRawAES(t), &envelope.Options{Suite: keyring.SuiteAES256GCM})
	require.ErrorIs(t, err, envelope.ErrPolicy)
}

// broken is a keyring that fails with its own error.
type broken struct{ err error }

func (b broken) OnEncrypt(context.Context, *keyring.EncryptionMaterials) error { return b.err }
func (b broken) OnDecrypt(context.Context, *keyring.DecryptionMaterials, []keyring.EncryptedDataKey) error {
	return b.err
}

func TestKeyringsError(t *testing.T) {
	ciphertext, err := newAEAD(t, newRawAES(t), nil).Encrypt([]byte("plaintext"), nil)
	require.NoError(t, err)
	throttled := errors.New("throttled")
	a := newAEAD(t, broken{throttled}, nil)
	secret := strings.Repeat("secret", 10)
	_, err = a.Encrypt([]byte(secret), []byte("row 42"))
	require.ErrorIs(t, err, throttled)
	require.NotContains(t, err.Error(), "secret")
	_, err = a.Decrypt(ciphertext, nil)
	require.ErrorIs(t, err, throttled)
	require.NotErrorIs(t, err, envelope.ErrContextMismatch)
}
