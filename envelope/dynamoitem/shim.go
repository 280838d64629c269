package dynamoitem

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
	"maps"

	"github.com/go-sealring/sealring/keyring"
)

// Stands for what package keyring will have.

const (
	suitePlain  keyring.Suite = 0x6700
	suiteSigned keyring.Suite = 0x6701
)

func signs(s keyring.Suite) bool { return s == suiteSigned }

type encryptionMaterials struct {
	keyring.EncryptionMaterials
	SymmetricSigningKeys [][]byte
}

func (m *encryptionMaterials) Check(keyring.EncryptionRequest) error { return nil }

type decryptionMaterials struct {
	keyring.DecryptionMaterials
	SymmetricSigningKey []byte
}

func (m *decryptionMaterials) Check(keyring.DecryptionRequest) error { return nil }

type MaterialsManager interface {
	EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*encryptionMaterials, error)
	DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*decryptionMaterials, error)
}

type shimManager struct{ kr keyring.Keyring }

func newManager(kr keyring.Keyring) (MaterialsManager, error) { return &shimManager{kr}, nil }

func shimKeys(intermediate []byte) (cipher.AEAD, []byte) {
	kek, _ := hkdf.Key(sha512.New, intermediate, nil, "AWS_MPL_INTERMEDIATE_KEYWRAP_ENC", 32)
	mac, _ := hkdf.Key(sha512.New, intermediate, nil, "AWS_MPL_INTERMEDIATE_KEYWRAP_MAC", 32)
	block, _ := aes.NewCipher(kek)
	aead, _ := cipher.NewGCM(block)
	return aead, mac
}

func (s *shimManager) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*encryptionMaterials, error) {
	m := &encryptionMaterials{}
	m.Suite, m.Context = req.Suite, maps.Clone(req.Context)
	if signs(req.Suite) {
		m.SigningKey, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		k := m.SigningKey.PublicKey
		m.Context["aws-crypto-public-key"] = base64.StdEncoding.EncodeToString(elliptic.MarshalCompressed(k.Curve, k.X, k.Y))
	}
	inner := &keyring.EncryptionMaterials{Suite: keyring.SuiteAES256GCMHKDFSHA512Commit, Context: m.Context}
	if err := s.kr.OnEncrypt(ctx, inner); err != nil {
		return nil, err
	}
	m.DataKey = make([]byte, 32)
	rand.Read(m.DataKey)
	aad, _ := m.Context.AppendBinary(nil)
	for _, k := range inner.EncryptedDataKeys {
		aead, mac := shimKeys(inner.DataKey)
		k.Ciphertext = append(aead.Seal(nil, make([]byte, 12), m.DataKey, aad), k.Ciphertext...)
		m.EncryptedDataKeys = append(m.EncryptedDataKeys, k)
		m.SymmetricSigningKeys = append(m.SymmetricSigningKeys, mac)
	}
	return m, nil
}

func (s *shimManager) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*decryptionMaterials, error) {
	stored, keys, err := req.Parse()
	if err != nil {
		return nil, err
	}
	m := &decryptionMaterials{}
	m.Suite, m.Context = req.Suite, keyring.EncryptionContext{}
	maps.Copy(m.Context, stored)
	maps.Copy(m.Context, req.Reproduced)
	if signs(req.Suite) {
		b, _ := base64.StdEncoding.DecodeString(stored["aws-crypto-public-key"])
		x, y := elliptic.UnmarshalCompressed(elliptic.P384(), b)
		if x == nil {
			return nil, malformed("no public key")
		}
		m.VerificationKey = &ecdsa.PublicKey{Curve: elliptic.P384(), X: x, Y: y}
	}
	aad, _ := m.Context.AppendBinary(nil)
	for _, k := range keys {
		if len(k.Ciphertext) < 48 {
			continue
		}
		wrapped := k.Ciphertext[:48]
		k.Ciphertext = k.Ciphertext[48:]
		inner := &keyring.DecryptionMaterials{Suite: keyring.SuiteAES256GCMHKDFSHA512Commit, Context: m.Context}
		if s.kr.OnDecrypt(ctx, inner, []keyring.EncryptedDataKey{k}) != nil {
			continue
		}
		aead, mac := shimKeys(inner.DataKey)
		if m.DataKey, err = aead.Open(nil, make([]byte, 12), wrapped, aad); err == nil {
			m.SymmetricSigningKey = mac
			return m, nil
		}
	}
	return nil, keyring.NoMatch("shim", keys)
}
