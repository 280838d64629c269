package awskms

import (
	"slices"

	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
)

// DiscoveryConfig says which of the keys that messages name may be used.
type DiscoveryConfig struct {
	// Client asks KMS in the region of the keys.
	Client DecryptClient

	// Region is the client's region. Keys of others are passed over. It may be
	// empty if the client is a *kms.Client, or has a method Region, which tells.
	Region string

	// Partition is the partition of the accounts: "aws", "aws-cn" or
	// "aws-us-gov". Empty is "aws".
	Partition string

	// Accounts are the IDs of the AWS accounts whose keys may be used.
	Accounts []string

	// AnyAccount lets keys of every account be used. Then whoever may have
	// their own key used by the caller can write messages that decrypt. It
	// excludes Accounts.
	AnyAccount bool

	// MRKAware lets a data key that was wrapped by a multi-Region key in another region
	// be unwrapped: the replica in this region is asked.
	MRKAware bool

	// GrantTokens go with every request.
	GrantTokens []string

	// MaxCalls is the most calls to KMS that unwrapping one message's data key
	// may take. Zero is 10.
	MaxCalls int

	// Observer hears of the calls to KMS.
	Observer Observer
}

// A Discovery unwraps data keys with the KMS keys that messages name, within
// bounds. It cannot wrap. It is safe for concurrent use.
type Discovery struct{ unwrapping }

var _ keyring.Decrypter = (*Discovery)(nil)

// NewDiscovery returns a keyring that decrypts with any key of the accounts and
// the region that the config allows, without a list of keys.
//
// Source: framework/aws-kms/aws-kms-discovery-keyring.md of the AWS Encryption
// SDK specification, and aws-kms-mrk-discovery-keyring.md there for
// DiscoveryConfig.MRKAware.
func NewDiscovery(c DiscoveryConfig) (*Discovery, error) {
	if c.Client == nil {
		return nil, invalid("DiscoveryConfig.Client is nil")
	}
	if c.Region == "" {
		c.Region = kmscall.RegionOf(c.Client)
	}
	if err := checkRegion(c.Client, c.Region); err != nil && c.Region != "" {
		return nil, err
	}
	switch {
	case c.Region == "":
		return nil, invalid("DiscoveryConfig.Region is empty, and the client does not tell its own")
	case len(c.Accounts) == 0 && !c.AnyAccount:
		return nil, invalid("DiscoveryConfig.Accounts is empty: list the accounts whose keys may be used, or set AnyAccount")
	case len(c.Accounts) > 0 && c.AnyAccount:
		return nil, invalid("DiscoveryConfig has both Accounts and AnyAccount")
	case slices.Contains(c.Accounts, ""):
		return nil, invalid("DiscoveryConfig.Accounts has an empty account ID")
	}
	if c.Partition == "" {
		c.Partition = "aws"
	}
	kind := "AWS KMS discovery"
	if c.MRKAware {
		kind = "AWS KMS multi-Region discovery"
	}
	base, err := newUnwrapping(c.Client, keyringName{kind: kind, key: "in " + c.Region,
		remedy: "the key must be in this region, and in the partition and an account of the DiscoveryConfig"}, c.Region, c.GrantTokens, c.MaxCalls, c.Observer)
	if err != nil {
		return nil, err
	}
	base.headerChooses = true
	accounts := slices.Clone(c.Accounts)
	base.match = func(named kmscall.ARN) (send, want string, ok bool) {
		if named.Partition != c.Partition || !c.AnyAccount && !slices.Contains(accounts, named.Account) {
			return "", "", false
		}
		if c.MRKAware && named.MultiRegion() {
			named = named.In(c.Region)
		}
		return named.String(), named.String(), named.Region == c.Region
	}
	return &Discovery{base}, nil
}
