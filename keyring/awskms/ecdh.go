package awskms

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/go-sealring/sealring/internal/ecdhwrap"
	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
)

// ECDHProviderID is the provider ID of data keys that were wrapped under a
// secret which KMS took part in agreeing on.
const ECDHProviderID = ecdhwrap.KMSProviderID

// ECDHConfig says which KMS key for key agreement a keyring uses, and with whom.
type ECDHConfig struct {
	// Client asks KMS.
	Client KeyAgreementClient

	// KeyID names this party's key, on P-256, P-384 or P-521 and for key
	// agreement: key ARN, key ID, alias ARN or alias. An alias is resolved by the
	// constructor, with kms:GetPublicKey, and the key it stands for then is used.
	KeyID string

	// PublicKey is that key's public half. When nil the constructor asks for it
	// with kms:GetPublicKey. A wrong one is not noticed here: the keyring reads
	// what it wrote, and the peer cannot.
	PublicKey *ecdh.PublicKey

	// Peer is the other party's public key, on the same curve. [NewECDHDecrypter]
	// takes the sender's from the message instead.
	Peer *ecdh.PublicKey

	// GrantTokens go with every request.
	GrantTokens []string

	// MaxCalls is the most calls to KMS that unwrapping one message's data key
	// may take. Zero is 10.
	MaxCalls int

	// Observer hears of the calls to KMS.
	Observer Observer
}

// ECDH wraps data keys for two parties, of whom this one keeps its private key
// in KMS. It is safe for concurrent use.
type ECDH struct {
	agreement
	peer *ecdh.PublicKey
	info ecdhwrap.Info // as this party writes it
}

// ECDHDecrypter unwraps data keys that anybody wrapped for its KMS key. It is
// safe for concurrent use.
type ECDHDecrypter struct{ agreement }

var (
	_ keyring.Keyring   = (*ECDH)(nil)
	_ keyring.Decrypter = (*ECDHDecrypter)(nil)
)

// agreement is one party's half of the key agreement.
type agreement struct {
	client      KeyAgreementClient
	id          keyID
	region      string
	curve       *ecdhwrap.Curve
	public      []byte // compressed
	grantTokens []string
	maxCalls    int
	observer    Observer
}

// NewECDH returns a keyring that wraps data keys under a secret agreed on between
// a KMS key and the peer's public key. The peer reads and writes with the same
// keyring, or with keyring.NewRawECDH, the other way round. Wrapped keys are
// bound to the encryption context.
//
// This is the KmsPrivateKeyToStaticPublicKey schema of
// framework/aws-kms/aws-kms-ecdh-keyring.md in the AWS Encryption SDK
// specification.
func NewECDH(ctx context.Context, c ECDHConfig) (*ECDH, error) {
	if c.Peer == nil {
		return nil, invalid("ECDHConfig.Peer is nil")
	}
	a, err := newAgreement(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Peer.Curve() != a.curve.ECDH {
		return nil, invalid("ECDHConfig.Peer is not on the curve %s of the KMS key", a.curve.Name)
	}
	info := ecdhwrap.Info{Recipient: ecdhwrap.Compress(c.Peer), Sender: a.public}
	return &ECDH{*a, c.Peer, info}, nil
}

// NewECDHDecrypter returns a keyring that unwraps what was wrapped for the KMS
// key, whoever the sender was: it says nothing about who wrote a message.
// keyring.NewRawECDHEncrypter writes for it.
//
// This is the KmsPublicKeyDiscovery schema of
// framework/aws-kms/aws-kms-ecdh-keyring.md in the AWS Encryption SDK
// specification.
func NewECDHDecrypter(ctx context.Context, c ECDHConfig) (*ECDHDecrypter, error) {
	if c.Peer != nil {
		return nil, invalid("ECDHConfig.Peer is set, and the sender would be anybody")
	}
	a, err := newAgreement(ctx, c)
	if err != nil {
		return nil, err
	}
	return &ECDHDecrypter{*a}, nil
}

func newAgreement(ctx context.Context, c ECDHConfig) (*agreement, error) {
	if c.Client == nil {
		return nil, invalid("ECDHConfig.Client is nil")
	}
	id, err := parseKeyID(c.KeyID)
	if err != nil {
		return nil, err
	}
	maxCalls, err := checkMaxCalls(c.MaxCalls)
	if err != nil {
		return nil, err
	}
	a := &agreement{
		client:      c.Client,
		id:          id,
		region:      kmscall.RegionOf(c.Client),
		grantTokens: slices.Clone(c.GrantTokens),
		maxCalls:    maxCalls,
		observer:    c.Observer,
	}
	if id.arn.Region != "" {
		if err := checkRegion(c.Client, id.arn.Region); err != nil {
			return nil, err
		}
		a.region = id.arn.Region
	}
	if c.PublicKey == nil || id.alias {
		public, err := a.fetchPublicKey(ctx)
		if err != nil {
			return nil, err
		}
		if c.PublicKey != nil && !c.PublicKey.Equal(public) {
			return nil, invalid("ECDHConfig.PublicKey is not that of the key which %q stands for", kmscall.Clip(c.KeyID))
		}
		c.PublicKey = public
	}
	if a.curve, err = ecdhwrap.CurveOf(c.PublicKey.Curve()); err != nil {
		return nil, invalid("ECDH: %v", err)
	}
	a.public = ecdhwrap.Compress(c.PublicKey)
	return a, nil
}

func (a *agreement) fetchPublicKey(ctx context.Context) (_ *ecdh.PublicKey, err error) {
	const op = "GetPublicKey"
	defer a.observer.calling(ctx, op, a.region, &err)()
	out, err := a.client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &a.id.text, GrantTokens: a.grantTokens}, kmscall.Options(a.region)...)
	if err != nil {
		return nil, NewError(ctx, op, a.id.text, a.region, err)
	}
	if out.KeyId == nil || !a.id.mayAnswer(*out.KeyId) {
		return nil, badAnswer(op, a.id.text, a.region, "%s", kmscall.AnsweredAs(out.KeyId))
	}
	if out.KeyUsage != types.KeyUsageTypeKeyAgreement {
		return nil, invalid("KMS key %s is for %s, not for key agreement", kmscall.Clip(a.id.text), out.KeyUsage)
	}
	// From here on the key that answered is used: an alias may later be pointed at
	// another key, whose secrets do not fit this public key.
	if a.id, err = parseKeyID(*out.KeyId); err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(out.PublicKey)
	if err != nil {
		return nil, badAnswer(op, a.id.text, a.region, "a public key that does not parse")
	}
	ec, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, badAnswer(op, a.id.text, a.region, "a public key of type %T", key)
	}
	public, err := ec.ECDH()
	if err != nil {
		return nil, badAnswer(op, a.id.text, a.region, "a public key on no curve that is supported")
	}
	return public, nil
}

// derive returns the secret that KMS agrees on with a peer.
func (a *agreement) derive(ctx context.Context, peer *ecdh.PublicKey) (_ []byte, err error) {
	const op = "DeriveSharedSecret"
	der, err := x509.MarshalPKIXPublicKey(peer)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	defer a.observer.calling(ctx, op, a.region, &err)()
	out, err := a.client.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{
		KeyId:                 &a.id.text,
		KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh,
		PublicKey:             der,
		GrantTokens:           a.grantTokens,
	}, kmscall.Options(a.region)...)
	if err != nil {
		return nil, NewError(ctx, op, a.id.text, a.region, err)
	}
	if out.KeyId == nil || !a.id.mayAnswer(*out.KeyId) {
		clear(out.SharedSecret)
		return nil, badAnswer(op, a.id.text, a.region, "%s", kmscall.AnsweredAs(out.KeyId))
	}
	if n, want := len(out.SharedSecret), (len(peer.Bytes())-1)/2; n != want {
		clear(out.SharedSecret)
		return nil, badAnswer(op, a.id.text, a.region, "a secret of %d bytes, where the curve's have %d", n, want)
	}
	return out.SharedSecret, nil
}

// String names the keyring.
func (a *agreement) String() string { return "AWS KMS ECDH " + kmscall.Clip(a.id.text) }

// OnEncrypt implements [keyring.Encrypter].
func (k *ECDH) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	serialized, err := m.Context.AppendBinary(nil)
	if err != nil {
		return fmt.Errorf("%v: %w", k, err)
	}
	request := pending{observer: &k.observer, request: WrapDataKey}
	secret, err := k.derive(request.begin(ctx), k.peer)
	request.end(err)
	if err != nil {
		return err
	}
	defer clear(secret)
	generated := m.DataKey == nil
	if generated {
		m.GenerateDataKey()
	}
	ciphertext, err := k.curve.Wrap(secret, k.info, serialized, m.DataKey)
	if err != nil {
		if generated {
			clear(m.DataKey)
			m.DataKey = nil
		}
		return fmt.Errorf("%v: %w", k, err)
	}
	m.EncryptedDataKeys = append(m.EncryptedDataKeys, keyring.EncryptedDataKey{
		ProviderID: ECDHProviderID, ProviderInfo: k.info.Append(nil), Ciphertext: ciphertext,
	})
	return nil
}

// OnDecrypt implements [keyring.Decrypter].
func (k *ECDH) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	return k.onDecrypt(ctx, m, keys, func(info ecdhwrap.Info) bool {
		// The parties may have the roles that they have here, or each other's.
		return bytes.Equal(info.Recipient, k.info.Recipient) && bytes.Equal(info.Sender, k.info.Sender) ||
			bytes.Equal(info.Recipient, k.info.Sender) && bytes.Equal(info.Sender, k.info.Recipient)
	}, func(ecdhwrap.Info) (*ecdh.PublicKey, error) { return k.peer, nil })
}

// OnDecrypt implements [keyring.Decrypter].
func (k *ECDHDecrypter) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	return k.onDecrypt(ctx, m, keys, func(info ecdhwrap.Info) bool {
		return bytes.Equal(info.Recipient, k.public)
	}, func(info ecdhwrap.Info) (*ecdh.PublicKey, error) {
		sender, err := k.curve.Decompress(info.Sender)
		if err != nil {
			return nil, fmt.Errorf("sender's public key: %w", err)
		}
		return sender, nil
	})
}

// onDecrypt also accepts keys of a raw ECDH keyring, whose format is the same.
func (a *agreement) onDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey,
	matches func(ecdhwrap.Info) bool, peer func(ecdhwrap.Info) (*ecdh.PublicKey, error)) error {
	return tryKeys(ctx, &a.observer, keyringName{"AWS KMS ECDH", kmscall.Clip(a.id.text), ""}, a.maxCalls, m, keys, func(edk keyring.EncryptedDataKey) (attempt, error) {
		if edk.ProviderID != ecdhwrap.RawProviderID && edk.ProviderID != ecdhwrap.KMSProviderID {
			return nil, nil
		}
		info, err := ecdhwrap.ParseInfo(edk.ProviderInfo)
		if err != nil || !matches(info) {
			return nil, err
		}
		return func(ctx context.Context) ([]byte, error) {
			with, err := peer(info)
			if err != nil {
				return nil, err
			}
			return a.unwrap(ctx, m, info, with, edk.Ciphertext)
		}, nil
	})
}

func (a *agreement) unwrap(ctx context.Context, m *keyring.DecryptionMaterials, info ecdhwrap.Info, peer *ecdh.PublicKey, ciphertext []byte) ([]byte, error) {
	serialized, err := m.Context.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	secret, err := a.derive(ctx, peer)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	dataKey, err := a.curve.Unwrap(secret, info, serialized, ciphertext)
	if err != nil {
		return nil, err
	}
	if n := len(dataKey); n != m.Suite.DataKeyLen() {
		clear(dataKey)
		return nil, fmt.Errorf("holds %d bytes, suite %v takes %d", n, m.Suite, m.Suite.DataKeyLen())
	}
	return dataKey, nil
}
