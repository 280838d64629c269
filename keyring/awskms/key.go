package awskms

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
)

// Config says which KMS key a keyring uses.
type Config struct {
	// Client asks KMS in the key's region.
	Client Client

	// KeyID names the key to wrap with: key ARN, key ID, alias ARN or alias
	// ("alias/orders").
	KeyID string

	// DecryptKeys are the ARNs of further keys, in the client's region, that data
	// keys may be unwrapped with: those that were used before the one of KeyID.
	// That one is always among them, unless KeyID is an alias.
	//
	// With an alias DecryptKeys must be set to decrypt: an alias can be pointed at
	// another key at any time, and a message names keys by ARN. List the ARNs of
	// all keys that the alias has stood for; [ResolveKey] tells the one it
	// stands for now. [NewEncrypter] needs none.
	DecryptKeys []string

	// MRKAware lets one replica of a multi-Region key unwrap what another replica has
	// wrapped. The replica that KeyID or DecryptKeys names is asked, in its own region. Without it the replicas of a multi-Region key are different
	// keys. Keys that are not multi-Region are the same either way. It is about
	// decrypting alone, and so [NewEncrypter] refuses it.
	MRKAware bool

	// GrantTokens go with every request.
	GrantTokens []string

	// MaxCalls is the most calls to KMS that unwrapping one message's data key
	// may take. Zero is 10.
	MaxCalls int

	// Observer hears of the calls to KMS.
	Observer Observer
}

// An Encrypter wraps data keys with a KMS key. It is safe for concurrent use.
type Encrypter struct {
	wrapping wrapping
}

// A Keyring wraps and unwraps data keys with a KMS key. It is safe for concurrent
// use.
type Keyring struct {
	*Encrypter
	unwrapping
}

var _ keyring.Keyring = (*Keyring)(nil)

// New returns a keyring for one KMS key. A data key is wrapped with
// kms:GenerateDataKey, or kms:Encrypt where another keyring made it, and unwrapped
// with kms:Decrypt.
//
// A Config that could encrypt and not decrypt is refused: an alias without
// DecryptKeys.
//
// Source: framework/aws-kms/aws-kms-keyring.md of the AWS Encryption SDK
// specification, and aws-kms-mrk-keyring.md there for Config.MRKAware.
func New(c Config) (*Keyring, error) {
	e, err := newEncrypter(c)
	if err != nil {
		return nil, err
	}
	match, region, err := strictMatch(c, e.wrapping.id, e.wrapping.region)
	if err != nil {
		return nil, err
	}
	name := keyringName{kind: "AWS KMS", key: kmscall.Clip(c.KeyID), remedy: "list in Config.DecryptKeys the ARNs of keys that were used before"}
	u, err := newUnwrapping(c.Client, name, region, c.GrantTokens, c.MaxCalls, c.Observer)
	if err != nil {
		return nil, err
	}
	u.match = match
	return &Keyring{e, u}, nil
}

// NewMulti returns a keyring that wraps each data key with several KMS keys, the
// first of which generates it. All must succeed. Each may be unwrapped.
//
// Each Config has its own MRKAware. Two that both have it set must not name replicas of
// one multi-Region key: the second would wrap again what the first can unwrap already.
//
// Source: framework/aws-kms/aws-kms-multi-keyrings.md of the AWS Encryption SDK
// specification, and aws-kms-mrk-multi-keyrings.md there for Config.MRKAware.
func NewMulti(generator Config, others ...Config) (keyring.Keyring, error) {
	if err := checkReplicas(append([]Config{generator}, others...)); err != nil {
		return nil, err
	}
	first, err := New(generator)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{generator.KeyID: true}
	children := make([]keyring.Keyring, len(others))
	for i, c := range others {
		if seen[c.KeyID] {
			return nil, invalid("key %q is listed twice", kmscall.Clip(c.KeyID))
		}
		seen[c.KeyID] = true
		if children[i], err = New(c); err != nil {
			return nil, err
		}
	}
	return keyring.NewMulti(first, children...)
}

// checkReplicas returns an error if two configs that are MRKAware name replicas of one
// multi-Region key. An alias may stand for any key, and so is not compared.
func checkReplicas(configs []Config) error {
	var replicas []string
	seen := map[string]string{}
	for _, c := range configs {
		if !c.MRKAware {
			continue
		}
		id, err := parseKeyID(c.KeyID)
		if err != nil {
			return err
		}
		key := id.bare + id.arn.ID
		if id.alias || !strings.HasPrefix(key, "mrk-") {
			continue
		}
		if other, ok := seen[key]; ok {
			replicas = append(replicas, other, c.KeyID)
		}
		seen[key] = c.KeyID
	}
	if len(replicas) > 0 {
		return invalid("replicas of one multi-Region key, with Config.MRKAware: %q", replicas)
	}
	return nil
}

// NewEncrypter returns the encrypting half of [New]. It needs no DecryptKeys, also
// where KeyID is an alias, and sends no kms:Decrypt.
func NewEncrypter(c Config) (*Encrypter, error) {
	if len(c.DecryptKeys) > 0 || c.MaxCalls != 0 || c.MRKAware {
		return nil, invalid("Config.DecryptKeys, Config.MaxCalls and Config.MRKAware are for decrypting, which an Encrypter does not")
	}
	return newEncrypter(c)
}

func newEncrypter(c Config) (*Encrypter, error) {
	if c.Client == nil {
		return nil, invalid("Config.Client is nil")
	}
	id, err := parseKeyID(c.KeyID)
	if err != nil {
		return nil, err
	}
	region := kmscall.RegionOf(c.Client)
	if id.arn.Region != "" {
		if err := checkRegion(c.Client, id.arn.Region); err != nil {
			return nil, err
		}
		region = id.arn.Region
	}
	return &Encrypter{wrapping{
		client:      c.Client,
		id:          id,
		region:      region,
		grantTokens: slices.Clone(c.GrantTokens),
		options:     kmscall.Options(region),
		observer:    c.Observer,
	}}, nil
}

// strictMatch returns the match for the keys that a Config lists, and their region. The
// region it is given is empty if neither the client nor KeyID tells it.
func strictMatch(c Config, id keyID, region string) (match, string, error) {
	var own []kmscall.ARN
	switch {
	case id.alias && len(c.DecryptKeys) == 0:
		return nil, "", invalid("Config.KeyID %q is an alias, which is enough to encrypt and not to decrypt: "+
			"list in Config.DecryptKeys the ARNs of the keys it stands for or has stood for (ResolveKey tells the present one), or use NewEncrypter", kmscall.Clip(id.text))
	case id.bare != "" && region == "":
		return nil, "", invalid("Config.KeyID %q does not tell its region, and neither does the client, which is no *kms.Client and has no method Region: give the key's ARN", kmscall.Clip(id.text))
	case !id.alias && id.bare == "":
		a, err := kmscall.ParseKeyARN(c.KeyID)
		if err != nil {
			return nil, "", invalid("Config.KeyID: %v", err)
		}
		own = append(own, a)
	}
	for _, k := range c.DecryptKeys {
		a, err := kmscall.ParseKeyARN(k)
		if err != nil {
			return nil, "", invalid("Config.DecryptKeys: %v", err)
		}
		if region == "" {
			region = a.Region
		}
		if a.Region != region {
			return nil, "", invalid("Config.DecryptKeys: %q is not in %s, which the client asks", kmscall.Clip(k), region)
		}
		own = append(own, a)
	}
	matches := func(own, named kmscall.ARN) bool { return own == named }
	if c.MRKAware {
		matches = kmscall.ARN.Related
	}
	return func(named kmscall.ARN) (send, want string, ok bool) {
		if i := slices.IndexFunc(own, func(a kmscall.ARN) bool { return matches(a, named) }); i >= 0 {
			send := own[i].String()
			return send, send, true
		}
		if c.MRKAware && named.MultiRegion() {
			named = named.In(region)
		}
		// KMS finds the key of a bare ID in the caller's own account.
		return id.text, named.String(), id.bare != "" && named.ID == id.bare && named.Region == region
	}, region, nil
}

// String names the keyring.
func (k *Keyring) String() string { return k.unwrapping.String() }

// OnEncrypt implements [keyring.Encrypter].
func (e *Encrypter) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	request := pending{observer: &e.wrapping.observer, request: WrapDataKey}
	err := e.wrapping.onEncrypt(request.begin(ctx), m)
	request.end(err)
	return err
}

// String names the keyring.
func (e *Encrypter) String() string { return "AWS KMS " + kmscall.Clip(e.wrapping.id.text) }

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
	region := id.arn.Region
	if region == "" {
		region = kmscall.RegionOf(client)
	} else if err := checkRegion(client, region); err != nil {
		return "", err
	}
	out, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &keyID}, kmscall.Options(region)...)
	if err != nil {
		return "", NewError(ctx, op, keyID, region, err)
	}
	if out.KeyMetadata == nil || out.KeyMetadata.Arn == nil {
		return "", badAnswer(op, keyID, region, "no key")
	}
	if !id.mayAnswer(*out.KeyMetadata.Arn) {
		return "", badAnswer(op, keyID, region, "%s", kmscall.AnsweredAs(out.KeyMetadata.Arn))
	}
	return *out.KeyMetadata.Arn, nil
}
