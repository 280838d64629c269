package awskms

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
)

// ProviderID is the provider ID of data keys that a symmetric KMS key wrapped.
const ProviderID = "aws-kms"

// A Client is what keyrings with symmetric keys need of a [kms.Client]. A type that
// wraps one must pass on the options of each call. If it has a method Region() string,
// which names the region that it asks, constructors check that this is the key's, as they
// do with a kms.Client. The same holds for the other clients here. To count or to time
// calls, no such type is needed: an [Observer] hears of them.
type Client interface {
	GenerateDataKey(context.Context, *kms.GenerateDataKeyInput, ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error)
	Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error)
	DecryptClient
}

// A DecryptClient is what decrypting needs of a [kms.Client].
type DecryptClient interface {
	Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

// A KeyAgreementClient is what [NewECDH] needs of a [kms.Client].
type KeyAgreementClient interface {
	DeriveSharedSecret(context.Context, *kms.DeriveSharedSecretInput, ...func(*kms.Options)) (*kms.DeriveSharedSecretOutput, error)
	GetPublicKey(context.Context, *kms.GetPublicKeyInput, ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error)
}

// A DescribeClient is what [ResolveKey] needs of a [kms.Client].
type DescribeClient interface {
	DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error)
}

var (
	_ Client             = (*kms.Client)(nil)
	_ KeyAgreementClient = (*kms.Client)(nil)
	_ DescribeClient     = (*kms.Client)(nil)
)

// checkRegion returns an error if a client asks another region than its key is in.
func checkRegion(client any, region string) error {
	if err := kmscall.CheckRegion(client, region); err != nil {
		return invalid("%v", err)
	}
	return nil
}

const defaultMaxCalls = 10

// wrapping wraps data keys with one KMS key.
type wrapping struct {
	client      Client
	id          keyID
	region      string
	grantTokens []string
	options     []func(*kms.Options)
	observer    Observer
}

// generate returns a new data key and its wrapped form.
func (w *wrapping) generate(ctx context.Context, s keyring.Suite, ec keyring.EncryptionContext) (_ []byte, _ keyring.EncryptedDataKey, err error) {
	const op = "GenerateDataKey"
	defer w.observer.calling(ctx, op, w.region, &err)()
	n := int32(s.DataKeyLen())
	out, err := w.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
		KeyId:             &w.id.text,
		NumberOfBytes:     &n,
		EncryptionContext: ec,
		GrantTokens:       w.grantTokens,
	}, w.options...)
	if err != nil {
		return nil, keyring.EncryptedDataKey{}, NewError(ctx, op, w.id.text, w.region, err)
	}
	if len(out.Plaintext) != s.DataKeyLen() {
		n := len(out.Plaintext)
		clear(out.Plaintext)
		return nil, keyring.EncryptedDataKey{}, badAnswer(op, w.id.text, w.region, "a data key of %d bytes, where %d were asked for", n, s.DataKeyLen())
	}
	edk, err := w.wrapped(op, out.KeyId, out.CiphertextBlob)
	if err != nil {
		clear(out.Plaintext)
		return nil, keyring.EncryptedDataKey{}, err
	}
	return out.Plaintext, edk, nil
}

// wrap returns the wrapped form of a data key.
func (w *wrapping) wrap(ctx context.Context, dataKey []byte, ec keyring.EncryptionContext) (_ keyring.EncryptedDataKey, err error) {
	const op = "Encrypt"
	defer w.observer.calling(ctx, op, w.region, &err)()
	out, err := w.client.Encrypt(ctx, &kms.EncryptInput{
		KeyId:             &w.id.text,
		Plaintext:         dataKey,
		EncryptionContext: ec,
		GrantTokens:       w.grantTokens,
	}, w.options...)
	if err != nil {
		return keyring.EncryptedDataKey{}, NewError(ctx, op, w.id.text, w.region, err)
	}
	return w.wrapped(op, out.KeyId, out.CiphertextBlob)
}

func (w *wrapping) wrapped(op string, answered *string, ciphertext []byte) (keyring.EncryptedDataKey, error) {
	if answered == nil || !w.id.mayAnswer(*answered) {
		return keyring.EncryptedDataKey{}, badAnswer(op, w.id.text, w.region, "%s", kmscall.AnsweredAs(answered))
	}
	if len(ciphertext) == 0 {
		return keyring.EncryptedDataKey{}, badAnswer(op, w.id.text, w.region, "no ciphertext")
	}
	return keyring.EncryptedDataKey{ProviderID: ProviderID, ProviderInfo: []byte(*answered), Ciphertext: ciphertext}, nil
}

// onEncrypt is what OnEncrypt does with one key.
func (w *wrapping) onEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.DataKey == nil {
		dataKey, edk, err := w.generate(ctx, m.Suite, m.Context)
		if err != nil {
			return err
		}
		m.DataKey = dataKey
		m.EncryptedDataKeys = append(m.EncryptedDataKeys, edk)
		return nil
	}
	edk, err := w.wrap(ctx, m.DataKey, m.Context)
	if err != nil {
		return err
	}
	m.EncryptedDataKeys = append(m.EncryptedDataKeys, edk)
	return nil
}

// decrypting unwraps data keys with KMS in one region.
type decrypting struct {
	client        DecryptClient
	region        string
	grantTokens   []string
	options       []func(*kms.Options)
	headerChooses bool // the message's header chooses the key, among those that are allowed
	observer      Observer
}

// unwrap asks KMS to decrypt a data key under the key that send names. It returns an error
// unless the answer comes from the key with the ARN want.
func (d *decrypting) unwrap(ctx context.Context, m *keyring.DecryptionMaterials, send, want string, ciphertext []byte) (_ []byte, err error) {
	const op = "Decrypt"
	if n := len(ciphertext); n > kmscall.MaxCiphertext {
		return nil, tooLongForKMS(op, send, d.region, n)
	}
	defer d.observer.calling(ctx, op, d.region, &err)()
	out, err := d.client.Decrypt(ctx, &kms.DecryptInput{
		KeyId:             &send,
		CiphertextBlob:    ciphertext,
		EncryptionContext: m.Context,
		GrantTokens:       d.grantTokens,
	}, d.options...)
	if err != nil {
		err := NewError(ctx, op, send, d.region, err)
		err.headerChose = d.headerChooses
		return nil, err
	}
	if out.KeyId == nil || *out.KeyId != want {
		clear(out.Plaintext)
		if id := (keyID{bare: send}); out.KeyId != nil && id.mayAnswer(*out.KeyId) {
			// True only if send is a key ID and no ARN: that key has answered, and it is
			// in another account than the header says. The message is to blame.
			return nil, badContent(op, send, d.region, "%s", kmscall.AnsweredAs(out.KeyId))
		}
		return nil, badAnswer(op, send, d.region, "%s", kmscall.AnsweredAs(out.KeyId))
	}
	if n := len(out.Plaintext); n != m.Suite.DataKeyLen() {
		clear(out.Plaintext)
		return nil, badContent(op, send, d.region, "a data key of %d bytes, suite %v takes %d", n, m.Suite, m.Suite.DataKeyLen())
	}
	return out.Plaintext, nil
}
