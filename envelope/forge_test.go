package envelope_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// A forger writes messages of the committing suites that this package would not:
// correctly encrypted, by code that shares nothing with the package but the
// codec, and wrong or unusual in one place. Its keyring is forger.OnDecrypt.
type forger struct {
	t          testing.TB
	dataKey    []byte
	header     *message.Header
	signingKey *ecdsa.PrivateKey
	aead       cipher.AEAD
	msg        []byte
}

func newForger(t testing.TB, s keyring.Suite, frameLen uint32) *forger {
	f := &forger{t: t, dataKey: randomBytes(32), header: &message.Header{
		Suite:             suite.ByID(uint16(s)),
		MessageID:         randomBytes(32),
		Context:           map[string]string{"tenant": "42"},
		EncryptedDataKeys: []message.EncryptedDataKey{{ProviderID: "forger"}},
		FrameLength:       frameLen,
		IV:                make([]byte, 12),
	}}
	if s.Signs() {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		require.NoError(t, err)
		f.signingKey = key
		f.header.Context["aws-crypto-public-key"] = base64.StdEncoding.EncodeToString(
			elliptic.MarshalCompressed(key.Curve, key.X, key.Y))
	}
	return f
}

func (f *forger) OnDecrypt(_ context.Context, m *keyring.DecryptionMaterials, _ []keyring.EncryptedDataKey) error {
	m.DataKey = append([]byte(nil), f.dataKey...)
	return nil
}

// writeHeader writes the header with a good commitment and tag; alter changes
// the body before it is authenticated.
func (f *forger) writeHeader(alter ...func([]byte) []byte) *forger {
	key, err := hkdf.Key(sha512.New, f.dataKey, f.header.MessageID,
		string(binary.BigEndian.AppendUint16(nil, f.header.Suite.ID))+"DERIVEKEY", 32)
	require.NoError(f.t, err)
	if f.header.Commitment == nil {
		f.header.Commitment, err = hkdf.Key(sha512.New, f.dataKey, f.header.MessageID, "COMMITKEY", 32)
		require.NoError(f.t, err)
	}
	block, err := aes.NewCipher(key)
	require.NoError(f.t, err)
	f.aead, err = cipher.NewGCM(block)
	require.NoError(f.t, err)

	body, err := f.header.AppendBody(nil)
	require.NoError(f.t, err)
	for _, change := range alter {
		body = change(body)
	}
	f.header.Tag = f.aead.Seal(nil, f.header.IV, nil, body)
	f.msg = f.header.AppendAuth(body)
	return f
}

func (f *forger) regular(seq uint32, plaintext []byte) *forger {
	iv := randomBytes(12)
	aad := message.NewBodyAAD(f.header.MessageID)
	f.msg = message.AppendRegularPrefix(f.msg, seq, iv)
	f.msg = f.aead.Seal(f.msg, iv, plaintext, aad.Regular(seq, len(plaintext)))
	return f
}

func (f *forger) final(seq uint32, plaintext []byte) *forger {
	iv := randomBytes(12)
	aad := message.NewBodyAAD(f.header.MessageID)
	f.msg = message.AppendFinalPrefix(f.msg, seq, iv, len(plaintext))
	f.msg = f.aead.Seal(f.msg, iv, plaintext, aad.Final(seq, len(plaintext)))
	return f
}

func (f *forger) nonFramed(plaintext []byte) *forger {
	iv := randomBytes(12)
	f.msg = append(f.msg, iv...)
	f.msg = binary.BigEndian.AppendUint64(f.msg, uint64(len(plaintext)))
	f.msg = f.aead.Seal(f.msg, iv, plaintext, message.NonFramedAAD(f.header.MessageID, uint64(len(plaintext))))
	return f
}

// footer signs all that was written until the signature's length pleases.
func (f *forger) footer(pleases func(n int) bool) *forger {
	digest := sha512.Sum384(f.msg)
	for {
		sig, err := ecdsa.SignASN1(rand.Reader, f.signingKey, digest[:])
		require.NoError(f.t, err)
		if pleases(len(sig)) {
			f.msg = message.AppendFooter(f.msg, sig)
			return f
		}
	}
}
