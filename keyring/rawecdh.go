package keyring

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/go-sealring/sealring/internal/ecdhwrap"
)

// rawECDH wraps data keys for two parties who know each other's public key.
type rawECDH struct {
	curve  *ecdhwrap.Curve
	own    *ecdh.PrivateKey
	peer   *ecdh.PublicKey
	info   ecdhwrap.Info // as this party writes it
	secret []byte        // the agreed secret; it depends on the two keys alone
}

// rawECDHEncrypter wraps data keys for the holder of a private key, with a new
// key pair each time. It cannot unwrap them.
type rawECDHEncrypter struct {
	curve     *ecdhwrap.Curve
	recipient *ecdh.PublicKey
}

// rawECDHDecrypter unwraps data keys that anybody wrapped for its private key.
type rawECDHDecrypter struct {
	curve      *ecdhwrap.Curve
	own        *ecdh.PrivateKey
	compressed []byte
}

// NewRawECDH returns a keyring that agrees on wrapping keys between the sender's
// private and the recipient's public key, both on the same one of P-256, P-384
// and P-521. Wrapped keys are bound to the encryption context.
//
// The other party uses the same keyring with its own private key and this
// party's public key, and both can read what either wrote.
//
// This is the RawPrivateKeyToStaticPublicKey schema of
// framework/raw-ecdh-keyring.md in the AWS Encryption SDK specification.
func NewRawECDH(sender *ecdh.PrivateKey, recipient *ecdh.PublicKey) (Keyring, error) {
	if sender == nil || recipient == nil {
		return nil, invalid("ECDH key is nil")
	}
	curve, err := ecdhCurve(sender.Curve())
	if err != nil {
		return nil, err
	}
	if recipient.Curve() != sender.Curve() {
		return nil, invalid("ECDH keys are on different curves: %v and %v", sender.Curve(), recipient.Curve())
	}
	secret, err := sender.ECDH(recipient)
	if err != nil {
		return nil, invalid("ECDH key agreement: %v", err)
	}
	info := ecdhwrap.Info{Recipient: ecdhwrap.Compress(recipient), Sender: ecdhwrap.Compress(sender.PublicKey())}
	return &rawECDH{curve, sender, recipient, info, secret}, nil
}

// NewRawECDHEncrypter returns a keyring that wraps data keys for the holder of
// the recipient's private key. The sender is anonymous: each data key is wrapped
// with a key pair that is made for it and forgotten.
//
// This is the EphemeralPrivateKeyToStaticPublicKey schema of
// framework/raw-ecdh-keyring.md in the AWS Encryption SDK specification.
func NewRawECDHEncrypter(recipient *ecdh.PublicKey) (Encrypter, error) {
	if recipient == nil {
		return nil, invalid("ECDH key is nil")
	}
	curve, err := ecdhCurve(recipient.Curve())
	if err != nil {
		return nil, err
	}
	return &rawECDHEncrypter{curve, recipient}, nil
}

// NewRawECDHDecrypter returns a keyring that unwraps what was wrapped for the
// private key, whoever the sender was: it says nothing about who wrote a
// message. To unwrap a message's data key it uses the private key at most 10 times,
// however many wrapped keys the header has for it.
//
// This is the PublicKeyDiscovery schema of framework/raw-ecdh-keyring.md in the
// AWS Encryption SDK specification.
func NewRawECDHDecrypter(recipient *ecdh.PrivateKey) (Decrypter, error) {
	if recipient == nil {
		return nil, invalid("ECDH key is nil")
	}
	curve, err := ecdhCurve(recipient.Curve())
	if err != nil {
		return nil, err
	}
	return &rawECDHDecrypter{curve, recipient, ecdhwrap.Compress(recipient.PublicKey())}, nil
}

func ecdhCurve(c ecdh.Curve) (*ecdhwrap.Curve, error) {
	curve, err := ecdhwrap.CurveOf(c)
	if err != nil {
		return nil, invalid("ECDH: %v", err)
	}
	return curve, nil
}

func (k *rawECDH) String() string          { return "raw ECDH " + k.curve.Name }
func (k *rawECDHEncrypter) String() string { return "raw ECDH " + k.curve.Name + " to one recipient" }
func (k *rawECDHDecrypter) String() string { return "raw ECDH " + k.curve.Name + " from any sender" }

// OnEncrypt implements [Encrypter].
func (k *rawECDH) OnEncrypt(ctx context.Context, m *EncryptionMaterials) error {
	return wrap(ctx, m, k, func(dataKey []byte) (EncryptedDataKey, error) {
		return wrapECDH(k.curve, k.secret, k.info, m.Context, dataKey)
	})
}

// OnEncrypt implements [Encrypter].
func (k *rawECDHEncrypter) OnEncrypt(ctx context.Context, m *EncryptionMaterials) error {
	return wrap(ctx, m, k, func(dataKey []byte) (EncryptedDataKey, error) {
		ephemeral, err := k.curve.ECDH.GenerateKey(rand.Reader)
		if err != nil {
			return EncryptedDataKey{}, err
		}
		secret, err := ephemeral.ECDH(k.recipient)
		if err != nil {
			return EncryptedDataKey{}, err
		}
		defer clear(secret)
		info := ecdhwrap.Info{Recipient: ecdhwrap.Compress(k.recipient), Sender: ecdhwrap.Compress(ephemeral.PublicKey())}
		return wrapECDH(k.curve, secret, info, m.Context, dataKey)
	})
}

func wrapECDH(curve *ecdhwrap.Curve, secret []byte, info ecdhwrap.Info, ec EncryptionContext, dataKey []byte) (EncryptedDataKey, error) {
	serialized, err := ec.AppendBinary(nil)
	if err != nil {
		return EncryptedDataKey{}, err
	}
	ciphertext, err := curve.Wrap(secret, info, serialized, dataKey)
	return EncryptedDataKey{
		ProviderID:   ecdhwrap.RawProviderID,
		ProviderInfo: info.Append(nil),
		Ciphertext:   ciphertext,
	}, err
}

// OnDecrypt implements [Decrypter].
func (k *rawECDH) OnDecrypt(ctx context.Context, m *DecryptionMaterials, keys []EncryptedDataKey) error {
	matches := func(edk EncryptedDataKey) bool {
		info, ok := ecdhInfo(edk)
		// The parties may have the roles that they have here, or each other's.
		return ok && (bytes.Equal(info.Recipient, k.info.Recipient) && bytes.Equal(info.Sender, k.info.Sender) ||
			bytes.Equal(info.Recipient, k.info.Sender) && bytes.Equal(info.Sender, k.info.Recipient))
	}
	return unwrap(ctx, m, keys, k, 0, matches, func(edk EncryptedDataKey) ([]byte, error) {
		return unwrapECDH(k.curve, k.secret, m.Context, edk)
	})
}

// OnDecrypt implements [Decrypter].
func (k *rawECDHDecrypter) OnDecrypt(ctx context.Context, m *DecryptionMaterials, keys []EncryptedDataKey) error {
	matches := func(edk EncryptedDataKey) bool {
		info, ok := ecdhInfo(edk)
		return ok && bytes.Equal(info.Recipient, k.compressed)
	}
	return unwrap(ctx, m, keys, k, maxPrivate, matches, func(edk EncryptedDataKey) ([]byte, error) {
		info, _ := ecdhInfo(edk)
		sender, err := k.curve.Decompress(info.Sender)
		if err != nil {
			return nil, fmt.Errorf("sender's public key: %w", err)
		}
		secret, err := k.own.ECDH(sender)
		if err != nil {
			return nil, errors.New("key agreement with the sender's public key failed")
		}
		defer clear(secret)
		return unwrapECDH(k.curve, secret, m.Context, edk)
	})
}

// ecdhInfo also accepts keys of the keyring awskms.ECDH, whose format is the same.
func ecdhInfo(edk EncryptedDataKey) (ecdhwrap.Info, bool) {
	if edk.ProviderID != ecdhwrap.RawProviderID && edk.ProviderID != ecdhwrap.KMSProviderID {
		return ecdhwrap.Info{}, false
	}
	info, err := ecdhwrap.ParseInfo(edk.ProviderInfo)
	return info, err == nil
}

func unwrapECDH(curve *ecdhwrap.Curve, secret []byte, ec EncryptionContext, edk EncryptedDataKey) ([]byte, error) {
	info, err := ecdhwrap.ParseInfo(edk.ProviderInfo)
	if err != nil {
		return nil, err
	}
	serialized, err := ec.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	return curve.Unwrap(secret, info, serialized, edk.Ciphertext)
}
