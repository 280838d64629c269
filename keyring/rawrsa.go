package keyring

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // crypto.SHA1, for OAEP as older messages use it
	"errors"
	"fmt"
)

// An RSAPadding is a padding scheme of [NewRawRSA].
type RSAPadding uint8

// The padding schemes. OAEP uses the same hash for its label and for MGF1.
//
// [RSAPKCS1] is for reading what others wrote. Whoever can send messages and
// tell a padding failure from a later one, by the error or by the time it
// takes, can in the end decrypt a wrapped key (Bleichenbacher's attack): do not
// show senders how decryption fails.
const (
	RSAOAEPSHA256 RSAPadding = iota
	RSAOAEPSHA384
	RSAOAEPSHA512
	RSAOAEPSHA1
	RSAPKCS1
)

var rsaPaddings = [...]struct {
	name string
	hash crypto.Hash // zero for PKCS #1 v1.5
}{
	RSAOAEPSHA256: {"OAEP-SHA256", crypto.SHA256},
	RSAOAEPSHA384: {"OAEP-SHA384", crypto.SHA384},
	RSAOAEPSHA512: {"OAEP-SHA512", crypto.SHA512},
	RSAOAEPSHA1:   {"OAEP-SHA1", crypto.SHA1},
	RSAPKCS1:      {"PKCS1", 0},
}

// String returns the scheme's name.
func (p RSAPadding) String() string {
	if int(p) < len(rsaPaddings) {
		return rsaPaddings[p].name
	}
	return fmt.Sprintf("RSAPadding(%d)", uint8(p))
}

// rawRSAEncrypter wraps data keys with an RSA public key. It cannot unwrap them.
type rawRSAEncrypter struct {
	rsaNames
	public *rsa.PublicKey
}

// rawRSADecrypter unwraps data keys with an RSA private key.
type rawRSADecrypter struct {
	rsaNames
	private crypto.Decrypter
}

// rawRSA wraps and unwraps data keys with an RSA key pair.
type rawRSA struct {
	rsaNames
	Encrypter
	Decrypter
}

// rsaNames are what tells the wrapped keys of a pair and a padding from others.
type rsaNames struct {
	namespace, name string
	padding         RSAPadding
}

func (k rsaNames) String() string {
	return fmt.Sprintf("raw RSA %v %q/%q", k.padding, k.namespace, k.name)
}

// NewRawRSA returns a keyring for an RSA key pair of at least 2048 bits. RSA
// binds nothing to the wrapped key: the encryption context is bound by the
// message's header alone.
//
// The private half is any [crypto.Decrypter] that takes the options of package
// rsa, such as an *rsa.PrivateKey or the handle of a key in an HSM. Namespace
// and name find the key again among a message's wrapped keys and are stored in
// it in the clear; neither may be empty, and the namespace must not begin with
// "aws-kms".
//
// To unwrap a message's data key it uses the private key at most 10 times, however
// many wrapped keys in the header have its namespace and name.
//
// Source: framework/raw-rsa-keyring.md of the AWS Encryption SDK specification.
func NewRawRSA(namespace, name string, public *rsa.PublicKey, private crypto.Decrypter, padding RSAPadding) (Keyring, error) {
	e, err := NewRawRSAEncrypter(namespace, name, public, padding)
	if err != nil {
		return nil, err
	}
	d, err := NewRawRSADecrypter(namespace, name, private, padding)
	if err != nil {
		return nil, err
	}
	if !public.Equal(private.Public()) {
		return nil, invalid("RSA public and private key are not a pair")
	}
	return &rawRSA{rsaNames{namespace, name, padding}, e, d}, nil
}

// NewRawRSAEncrypter returns the encrypting half of [NewRawRSA], for a program that has
// the public key alone.
func NewRawRSAEncrypter(namespace, name string, public *rsa.PublicKey, padding RSAPadding) (Encrypter, error) {
	k, err := newRawRSA(namespace, name, padding)
	if err != nil {
		return nil, err
	}
	if err := k.checkPublic(public); err != nil {
		return nil, err
	}
	return &rawRSAEncrypter{k, public}, nil
}

// NewRawRSADecrypter returns the decrypting half of [NewRawRSA].
func NewRawRSADecrypter(namespace, name string, private crypto.Decrypter, padding RSAPadding) (Decrypter, error) {
	k, err := newRawRSA(namespace, name, padding)
	if err != nil {
		return nil, err
	}
	if p, isRSA := private.(*rsa.PrivateKey); private == nil || isRSA && p == nil {
		return nil, invalid("RSA private key is nil")
	}
	public, ok := private.Public().(*rsa.PublicKey)
	if !ok {
		return nil, invalid("private key is not RSA: its public half is %T", private.Public())
	}
	if err := k.checkPublic(public); err != nil {
		return nil, err
	}
	return &rawRSADecrypter{k, private}, nil
}

func newRawRSA(namespace, name string, padding RSAPadding) (rsaNames, error) {
	if int(padding) >= len(rsaPaddings) {
		return rsaNames{}, invalid("unknown padding %v", padding)
	}
	return rsaNames{namespace, name, padding},
		errors.Join(checkNamespace(namespace), checkName("key name", name, 1<<16-1))
}

func (k rsaNames) checkPublic(public *rsa.PublicKey) error {
	const least = 2048 // fits the longest data key under every padding
	if public == nil || public.N == nil {
		return invalid("RSA public key is nil")
	}
	if n := public.N.BitLen(); n < least {
		return invalid("RSA key of %d bits, the least is %d", n, least)
	}
	return nil
}

// OnEncrypt implements [Encrypter].
func (k *rawRSAEncrypter) OnEncrypt(ctx context.Context, m *EncryptionMaterials) error {
	return wrap(ctx, m, k, func(dataKey []byte) (EncryptedDataKey, error) {
		var ciphertext []byte
		var err error
		if hash := rsaPaddings[k.padding].hash; hash != 0 {
			ciphertext, err = rsa.EncryptOAEP(hash.New(), rand.Reader, k.public, dataKey, nil)
		} else {
			ciphertext, err = rsa.EncryptPKCS1v15(rand.Reader, k.public, dataKey)
		}
		return EncryptedDataKey{
			ProviderID:   k.namespace,
			ProviderInfo: []byte(k.name),
			Ciphertext:   ciphertext,
		}, err
	})
}

// OnDecrypt implements [Decrypter].
func (k *rawRSADecrypter) OnDecrypt(ctx context.Context, m *DecryptionMaterials, keys []EncryptedDataKey) error {
	matches := func(edk EncryptedDataKey) bool {
		return edk.ProviderID == k.namespace && string(edk.ProviderInfo) == k.name
	}
	return unwrap(ctx, m, keys, k, maxPrivate, matches, func(edk EncryptedDataKey) ([]byte, error) {
		var opts crypto.DecrypterOpts = &rsa.PKCS1v15DecryptOptions{}
		if hash := rsaPaddings[k.padding].hash; hash != 0 {
			opts = &rsa.OAEPOptions{Hash: hash}
		}
		return k.private.Decrypt(rand.Reader, edk.Ciphertext, opts)
	})
}
