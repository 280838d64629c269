package keyring

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-sealring/sealring/internal/suite"
)

// rawAESInfoLen is what follows the key's name in the provider info: tag length
// in bits, IV length in bytes, IV.
const rawAESInfoLen = 4 + 4 + suite.IVLen

type rawAES struct {
	namespace, name string
	aead            cipher.AEAD
}

// NewRawAES returns a keyring that wraps data keys with AES-GCM under a key that the
// program holds, of 16, 24 or 32 bytes. Wrapped keys are bound to the encryption
// context.
//
// Namespace and name find the key again among a message's wrapped keys, are
// stored in it in the clear, and should differ for different keys. Neither may
// be empty, and the namespace must not begin with "aws-kms".
//
// The key is not kept, but an AES key schedule that is as secret is. Every
// wrapping draws a random 96-bit IV, so that one key should not wrap more than
// 2^32 data keys (NIST SP 800-38D, section 8.3).
//
// Source: framework/raw-aes-keyring.md of the AWS Encryption SDK specification.
func NewRawAES(namespace, name string, key []byte) (Keyring, error) {
	if err := errors.Join(checkNamespace(namespace), checkName("key name", name, 1<<16-1-rawAESInfoLen)); err != nil {
		return nil, err
	}
	if n := len(key); n != 16 && n != 24 && n != 32 {
		return nil, invalid("AES key of %d bytes: it must be 16, 24 or 32", n)
	}
	aead, err := suite.NewAEAD(key)
	if err != nil {
		return nil, fmt.Errorf("raw AES: %w", err)
	}
	return &rawAES{namespace, name, aead}, nil
}

func (k *rawAES) String() string { return fmt.Sprintf("raw AES %q/%q", k.namespace, k.name) }

// OnEncrypt implements [Encrypter].
func (k *rawAES) OnEncrypt(ctx context.Context, m *EncryptionMaterials) error {
	return wrap(ctx, m, k, func(dataKey []byte) (EncryptedDataKey, error) {
		aad, err := m.Context.AppendBinary(nil)
		if err != nil {
			return EncryptedDataKey{}, err
		}
		info := make([]byte, 0, len(k.name)+rawAESInfoLen)
		info = append(info, k.name...)
		info = binary.BigEndian.AppendUint32(info, 8*suite.TagLen)
		info = binary.BigEndian.AppendUint32(info, suite.IVLen)
		info = info[:len(info)+suite.IVLen]
		iv := info[len(info)-suite.IVLen:]
		rand.Read(iv)
		return EncryptedDataKey{
			ProviderID:   k.namespace,
			ProviderInfo: info,
			Ciphertext:   k.aead.Seal(nil, iv, dataKey, aad),
		}, nil
	})
}

// OnDecrypt implements [Decrypter].
func (k *rawAES) OnDecrypt(ctx context.Context, m *DecryptionMaterials, keys []EncryptedDataKey) error {
	var aad []byte
	return unwrap(ctx, m, keys, k, 0, k.matches, func(edk EncryptedDataKey) ([]byte, error) {
		if aad == nil {
			var err error
			if aad, err = m.Context.AppendBinary([]byte{}); err != nil {
				return nil, err
			}
		}
		iv := edk.ProviderInfo[len(edk.ProviderInfo)-suite.IVLen:]
		dataKey, err := k.aead.Open(nil, iv, edk.Ciphertext, aad)
		if err != nil {
			return nil, errors.New("does not authenticate: another wrapping key, another encryption context, or altered")
		}
		return dataKey, nil
	})
}

func (k *rawAES) matches(edk EncryptedDataKey) bool {
	info := edk.ProviderInfo
	at := len(k.name)
	return edk.ProviderID == k.namespace && len(info) == at+rawAESInfoLen && string(info[:at]) == k.name &&
		binary.BigEndian.Uint32(info[at:]) == 8*suite.TagLen &&
		binary.BigEndian.Uint32(info[at+4:]) == suite.IVLen
}
