package awskms

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/keyring"
)

// Config says which KMS key a keyring uses.
type Config struct {
	// Client asks KMS in the key's region.
	Client Client

	// KeyID names the key to wrap with: key ARN, key ID, alias ARN or alias
	// ("alias/orders").
	KeyID string

	// DecryptKeys are the ARNs of the keys that data keys may be unwrapped
	// with. Empty means the key of KeyID.
	//
	// With an alias it must be set to decrypt: an alias can be pointed at
	// another key at any time, and a message names keys by ARN. List the ARNs of
	// all keys that the alias has stood for; [ResolveKey] tells the one it
	// stands for now.
	DecryptKeys []string

	// GrantTokens go with every request.
	GrantTokens []string

	// MaxCalls is the most calls to KMS that unwrapping one message's data key
	// may take. Zero is 10.
	MaxCalls int
}

// A Keyring wraps data keys with a KMS key. It is safe for concurrent use.
type Keyring struct {
	wrapping wrapping
	unwrapping
}

var _ keyring.Keyring = (*Keyring)(nil)

// New returns a keyring for one KMS key. A data key is wrapped with
// kms:GenerateDataKey, or kms:Encrypt where another keyring made it, and unwrapped
// with kms:Decrypt. Replicas of a multi-Region key are different keys to it.
//
// Source: framework/aws-kms/aws-kms-keyring.md of the AWS Encryption SDK
// specification.
func New(c Config) (*Keyring, error) {
	return newKeyring(c, false)
}

// NewMRKAware is [New] for a multi-Region key: a data key that any replica
// wrapped is unwrapped with the one that the Config names, in its region. Keys
// that are not multi-Region are treated as by New.
//
// Source: framework/aws-kms/aws-kms-mrk-keyring.md of the AWS Encryption SDK
// specification.
func NewMRKAware(c Config) (*Keyring, error) {
	return newKeyring(c, true)
}

// NewMulti returns a keyring that wraps each data key with several KMS keys, the
// first of which generates it. All must succeed. Each may be unwrapped.
//
// Source: framework/aws-kms/aws-kms-multi-keyrings.md of the AWS Encryption SDK
// specification.
func NewMulti(generator Config, others ...Config) (*keyring.Multi, error) {
	return newMulti(New, generator, others)
}

// NewMRKAwareMulti is [NewMulti] with keyrings as [NewMRKAware] makes them. No two
// may be replicas of one key: the second would wrap what the first can unwrap.
//
// Source: framework/aws-kms/aws-kms-mrk-multi-keyrings.md of the AWS Encryption
// SDK specification.
func NewMRKAwareMulti(generator Config, others ...Config) (*keyring.Multi, error) {
	var twice []string
	seen := map[string]string{}
	for _, c := range append([]Config{generator}, others...) {
		id, err := parseKeyID(c.KeyID)
		if err != nil {
			return nil, err
		}
		key := id.bare + id.arn.id
		if id.alias || !strings.HasPrefix(key, "mrk-") {
			continue
		}
		if other, ok := seen[key]; ok {
			twice = append(twice, other, c.KeyID)
		}
		seen[key] = c.KeyID
	}
	if len(twice) > 0 {
		return nil, invalid("replicas of one multi-Region key: %q", twice)
	}
	return newMulti(NewMRKAware, generator, others)
}

func newMulti(newOne func(Config) (*Keyring, error), generator Config, others []Config) (*keyring.Multi, error) {
	first, err := newOne(generator)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{generator.KeyID: true}
	children := make([]keyring.Keyring, len(others))
	for i, c := range others {
		if seen[c.KeyID] {
			return nil, invalid("key %q is listed twice", clip(c.KeyID))
		}
		seen[c.KeyID] = true
		if children[i], err = newOne(c); err != nil {
			return nil, err
		}
	}
	return keyring.NewMulti(first, children...)
}

func newKeyring(c Config, mrkAware bool) (*Keyring, error) {
	if c.Client == nil {
		return nil, invalid("Config.Client is nil")
	}
	id, err := parseKeyID(c.KeyID)
	if err != nil {
		return nil, err
	}
	base, err := newUnwrapping(c.Client, c.GrantTokens, c.MaxCalls)
	if err != nil {
		return nil, err
	}
	if id.arn.region != "" {
		if err := checkRegion(c.Client, id.arn.region); err != nil {
			return nil, err
		}
		base.region = id.arn.region
	}
	base.name = "AWS KMS " + clip(c.KeyID)
	if base.match, err = strictMatch(c, id, base.region, mrkAware); err != nil {
		return nil, err
	}
	return &Keyring{
		wrapping: wrapping{
			client:      c.Client,
			id:          id,
			region:      base.region,
			grantTokens: base.grantTokens,
			wrapOptions: base.options,
		},
		unwrapping: *base,
	}, nil
}

// strictMatch returns the match for the keys that a Config lists.
func strictMatch(c Config, id keyID, region string, mrkAware bool) (match, error) {
	keys := c.DecryptKeys
	switch {
	case len(keys) > 0:
	case id.alias:
		return func(arn) (string, string, bool, error) {
			return "", "", false, fmt.Errorf("alias %q is enough to encrypt, not to decrypt: "+
				"list in Config.DecryptKeys the ARNs of the keys it stands for or has stood for (ResolveKey tells the present one), or use NewDiscovery", id.text)
		}, nil
	case id.bare != "" && region == "":
		return nil, invalid("Config.KeyID %q does not tell its region, and neither does the client: give the key's ARN", id.text)
	case id.bare != "":
		return func(named arn) (string, string, bool, error) {
			if mrkAware && named.multiRegion() {
				named = named.in(region)
			}
			// KMS finds the key in the caller's own account.
			return id.text, named.String(), named.id == id.bare && named.region == region, nil
		}, nil
	default:
		keys = []string{c.KeyID}
	}
	matches := func(own, named arn) bool { return own == named }
	if mrkAware {
		matches = arn.related
	}
	own := make([]arn, len(keys))
	for i, k := range keys {
		a, err := parseKeyARN(k)
		if err != nil {
			return nil, invalid("Config.DecryptKeys: %v", err)
		}
		own[i] = a
	}
	return func(named arn) (string, string, bool, error) {
		i := slices.IndexFunc(own, func(a arn) bool { return matches(a, named) })
		if i < 0 {
			return "", "", false, nil
		}
		send := own[i].String()
		return send, send, true, nil
	}, nil
}

// OnEncrypt implements [keyring.Encrypter].
func (k *Keyring) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	return k.wrapping.onEncrypt(ctx, m)
}

// ResolveKey returns the ARN of the key that an ID, ARN or alias stands for now,
// with one call of kms:DescribeKey.
func ResolveKey(ctx context.Context, client DescribeClient, keyID string) (string, error) {
	if client == nil {
		return "", invalid("client is nil")
	}
	id, err := parseKeyID(keyID)
	if err != nil {
		return "", err
	}
	const op = "DescribeKey"
	region := regionOf(client)
	out, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &keyID}, userAgent)
	if err != nil {
		return "", newError(ctx, op, keyID, region, err)
	}
	if out.KeyMetadata == nil || out.KeyMetadata.Arn == nil {
		return "", badAnswer(op, keyID, region, "no key")
	}
	if !id.mayAnswer(*out.KeyMetadata.Arn) {
		return "", badAnswer(op, keyID, region, "%s", answeredAs(out.KeyMetadata.Arn))
	}
	return *out.KeyMetadata.Arn, nil
}
