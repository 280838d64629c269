package awskms

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // crypto.SHA1, for RSAES_OAEP_SHA_1
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
)

// RSAProviderID is the provider ID of data keys that an RSA KMS key wrapped.
const RSAProviderID = "aws-kms-rsa"

// RSAConfig says which RSA KMS key a keyring uses.
type RSAConfig struct {
	// Client asks KMS to decrypt.
	Client DecryptClient

	// KeyARN is the ARN of an RSA key of 2048 bits or more for encryption and
	// decryption.
	KeyARN string

	// PublicKey is the key's public half, as kms:GetPublicKey gives it. It must
	// come from a source that can be trusted: who can replace it can read
	// what is encrypted.
	PublicKey *rsa.PublicKey

	// Algorithm is RSAES_OAEP_SHA_256, also when empty, or RSAES_OAEP_SHA_1.
	Algorithm types.EncryptionAlgorithmSpec

	// GrantTokens go with every request.
	GrantTokens []string

	// MaxCalls is the most calls to KMS that unwrapping one message's data key
	// may take. Zero is 10.
	MaxCalls int

	// Observer hears of the calls to KMS.
	Observer Observer
}

// RSAEncrypter wraps data keys offline, with the public half of a KMS key. It is
// safe for concurrent use.
type RSAEncrypter struct {
	keyARN string
	public *rsa.PublicKey
	hash   crypto.Hash
}

// RSADecrypter unwraps data keys with an RSA KMS key. It is safe for concurrent
// use.
type RSADecrypter struct {
	client      DecryptClient
	key         kmscall.ARN
	algorithm   types.EncryptionAlgorithmSpec
	grantTokens []string
	maxCalls    int
	observer    Observer
}

// RSA wraps data keys offline and unwraps them with KMS.
type RSA struct {
	*RSAEncrypter
	*RSADecrypter
}

var _ keyring.Keyring = (*RSA)(nil)

// NewRSA returns a keyring for an RSA key in KMS. Encrypting needs no call, and so
// no permission: use it, or [NewRSAEncrypter], where callers may not reach KMS.
// The encryption context is bound to the wrapped key.
//
// It serves suites that do not sign. Whoever has the public key can encrypt, so
// that a signature would prove nothing.
//
// Source: framework/aws-kms/aws-kms-rsa-keyring.md of the AWS Encryption SDK
// specification.
func NewRSA(c RSAConfig) (*RSA, error) {
	e, err := NewRSAEncrypter(c)
	if err != nil {
		return nil, err
	}
	d, err := NewRSADecrypter(c)
	if err != nil {
		return nil, err
	}
	return &RSA{e, d}, nil
}

// NewRSAEncrypter returns the encrypting half of [NewRSA]. It needs no Client.
func NewRSAEncrypter(c RSAConfig) (*RSAEncrypter, error) {
	if _, err := kmscall.ParseKeyARN(c.KeyARN); err != nil {
		return nil, invalid("RSAConfig.KeyARN: %v", err)
	}
	const least = 2048
	if c.PublicKey == nil || c.PublicKey.N == nil {
		return nil, invalid("RSAConfig.PublicKey is nil")
	}
	if n := c.PublicKey.N.BitLen(); n < least {
		return nil, invalid("RSAConfig.PublicKey has %d bits, the least is %d", n, least)
	}
	_, hash, err := rsaAlgorithm(c.Algorithm)
	if err != nil {
		return nil, err
	}
	return &RSAEncrypter{c.KeyARN, c.PublicKey, hash}, nil
}

// NewRSADecrypter returns the decrypting half of [NewRSA]. It needs no
// PublicKey.
func NewRSADecrypter(c RSAConfig) (*RSADecrypter, error) {
	if c.Client == nil {
		return nil, invalid("RSAConfig.Client is nil")
	}
	key, err := kmscall.ParseKeyARN(c.KeyARN)
	if err != nil {
		return nil, invalid("RSAConfig.KeyARN: %v", err)
	}
	if err := checkRegion(c.Client, key.Region); err != nil {
		return nil, err
	}
	algorithm, _, err := rsaAlgorithm(c.Algorithm)
	if err != nil {
		return nil, err
	}
	maxCalls, err := checkMaxCalls(c.MaxCalls)
	if err != nil {
		return nil, err
	}
	return &RSADecrypter{c.Client, key, algorithm, slices.Clone(c.GrantTokens), maxCalls, c.Observer}, nil
}

func rsaAlgorithm(a types.EncryptionAlgorithmSpec) (types.EncryptionAlgorithmSpec, crypto.Hash, error) {
	switch a {
	case "", types.EncryptionAlgorithmSpecRsaesOaepSha256:
		return types.EncryptionAlgorithmSpecRsaesOaepSha256, crypto.SHA256, nil
	case types.EncryptionAlgorithmSpecRsaesOaepSha1:
		return a, crypto.SHA1, nil
	}
	return a, 0, invalid("RSAConfig.Algorithm %q is neither RSAES_OAEP_SHA_256 nor RSAES_OAEP_SHA_1", a)
}

func (k *RSADecrypter) String() string { return "AWS KMS RSA " + k.key.String() }

// String names the keyring.
func (k *RSA) String() string { return k.RSADecrypter.String() }

func checkUnsigned(s keyring.Suite) error {
	if s.Signs() {
		return fmt.Errorf("awskms: %w: suite %v signs, which the RSA keyring does not serve", keyring.ErrInvalidArgument, s)
	}
	return nil
}

// contextDigest returns the hash of an encryption context. It is encrypted in front of the
// data key, and so bound to it: RSA has no other place for that.
func contextDigest(ec keyring.EncryptionContext) ([]byte, error) {
	serialized, err := ec.AppendBinary(nil)
	digest := sha512.Sum384(serialized)
	return digest[:], err
}

// OnEncrypt implements [keyring.Encrypter].
func (k *RSAEncrypter) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkUnsigned(m.Suite); err != nil {
		return err
	}
	plaintext, err := contextDigest(m.Context)
	if err != nil {
		return fmt.Errorf("awskms: %w", err)
	}
	generated := m.DataKey == nil
	if generated {
		m.GenerateDataKey()
	}
	// Allocated at its full length, since a slice that grows leaves a part of the key
	// behind.
	plaintext = append(make([]byte, 0, len(plaintext)+len(m.DataKey)), plaintext...)
	plaintext = append(plaintext, m.DataKey...)
	defer clear(plaintext)
	var ciphertext []byte
	erase.After(func() { ciphertext, err = rsa.EncryptOAEP(k.hash.New(), rand.Reader, k.public, plaintext, nil) })
	if err != nil {
		if generated {
			clear(m.DataKey)
			m.DataKey = nil
		}
		return fmt.Errorf("awskms: RSA encryption for %s: %w", k.keyARN, err)
	}
	m.EncryptedDataKeys = append(m.EncryptedDataKeys, keyring.EncryptedDataKey{
		ProviderID: RSAProviderID, ProviderInfo: []byte(k.keyARN), Ciphertext: ciphertext,
	})
	return nil
}

// OnDecrypt implements [keyring.Decrypter].
func (k *RSADecrypter) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	if err := checkUnsigned(m.Suite); err != nil {
		// As a reason of ErrNoMatchingKey, since another child of a multi-keyring may
		// unwrap the data key.
		return keyring.NoMatch(k.String(), keys, err)
	}
	return tryKeys(ctx, &k.observer, keyringName{"AWS KMS RSA", k.key.String(), ""}, k.maxCalls, m, keys, func(edk keyring.EncryptedDataKey) (attempt, error) {
		if edk.ProviderID != RSAProviderID {
			return nil, nil
		}
		named, err := kmscall.ParseKeyARN(string(edk.ProviderInfo))
		if err != nil || !k.key.Related(named) {
			return nil, err
		}
		return func(ctx context.Context) ([]byte, error) { return k.unwrap(ctx, m, edk.Ciphertext) }, nil
	})
}

func (k *RSADecrypter) unwrap(ctx context.Context, m *keyring.DecryptionMaterials, ciphertext []byte) (_ []byte, err error) {
	const op = "Decrypt"
	digest, err := contextDigest(m.Context)
	if err != nil {
		return nil, err
	}
	keyARN := k.key.String()
	if n := len(ciphertext); n > kmscall.MaxCiphertext {
		return nil, tooLongForKMS(op, keyARN, k.key.Region, n)
	}
	defer k.observer.calling(ctx, op, k.key.Region, &err)()
	out, err := k.client.Decrypt(ctx, &kms.DecryptInput{
		KeyId:               &keyARN,
		CiphertextBlob:      ciphertext,
		EncryptionAlgorithm: k.algorithm,
		GrantTokens:         k.grantTokens,
	}, kmscall.Options(k.key.Region)...)
	if err != nil {
		return nil, NewError(ctx, op, keyARN, k.key.Region, err)
	}
	if out.KeyId == nil || *out.KeyId != keyARN {
		clear(out.Plaintext)
		return nil, badAnswer(op, keyARN, k.key.Region, "%s", kmscall.AnsweredAs(out.KeyId))
	}
	if n, want := len(out.Plaintext), len(digest)+m.Suite.DataKeyLen(); n != want {
		clear(out.Plaintext)
		return nil, badContent(op, keyARN, k.key.Region, "%d bytes, suite %v takes %d with the context's digest", n, m.Suite, want)
	}
	if subtle.ConstantTimeCompare(out.Plaintext[:len(digest)], digest) != 1 {
		clear(out.Plaintext)
		return nil, errors.New("the wrapped key was made for another encryption context")
	}
	return out.Plaintext[len(digest):], nil
}
