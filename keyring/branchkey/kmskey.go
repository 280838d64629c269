package branchkey

import (
	"fmt"
	"slices"

	"github.com/go-sealring/sealring/internal/kmscall"
)

// Discovery lets a key store read what any KMS key of certain accounts has wrapped: the
// key that each item names is asked. Such a key store cannot create.
type Discovery struct {
	// Region is the client's region. It may be empty if the client is a *kms.Client, or
	// has a method Region, which tells.
	Region string

	// Partition is the partition of the accounts: "aws", "aws-cn" or "aws-us-gov".
	// Empty is "aws".
	Partition string

	// Accounts are the IDs of the AWS accounts whose keys may be used.
	Accounts []string

	// AnyAccount lets keys of every account be used. Then whoever can write to the table
	// can have a key of their own used, and read what is encrypted under it. It excludes
	// Accounts.
	AnyAccount bool
}

// A keyChoice says which KMS key may be asked about an item.
type keyChoice struct {
	own       kmscall.ARN // if there is no discovery
	mrkAware  bool
	discovery *Discovery
	region    string // that the client asks
}

func newKeyChoice(c KeyStoreConfig) (keyChoice, error) {
	choice := keyChoice{mrkAware: c.MRKAware}
	if c.Discovery == nil {
		own, err := kmscall.ParseKeyARN(c.KeyARN)
		if err != nil {
			return choice, invalid("KeyStoreConfig.KeyARN: %v", err)
		}
		if err := kmscall.CheckRegion(c.Client, own.Region); err != nil {
			return choice, invalid("%v", err)
		}
		choice.own, choice.region = own, own.Region
		return choice, nil
	}
	d := *c.Discovery
	if d.Region == "" {
		d.Region = kmscall.RegionOf(c.Client)
	}
	if d.Partition == "" {
		d.Partition = "aws"
	}
	d.Accounts = slices.Clone(d.Accounts)
	switch {
	case c.KeyARN != "":
		return choice, invalid("KeyStoreConfig has both KeyARN and Discovery")
	case d.Region == "":
		return choice, invalid("Discovery.Region is empty, and the client does not tell its own")
	case len(d.Accounts) == 0 && !d.AnyAccount:
		return choice, invalid("Discovery.Accounts is empty: list the accounts whose keys may be used, or set AnyAccount")
	case len(d.Accounts) > 0 && d.AnyAccount:
		return choice, invalid("Discovery has both Accounts and AnyAccount")
	}
	if err := kmscall.CheckRegion(c.Client, d.Region); err != nil {
		return choice, invalid("%v", err)
	}
	choice.discovery, choice.region = &d, d.Region
	return choice, nil
}

// choose returns the ARN of the KMS key to ask about an item. What KMS answers must be
// from that key.
func (k *keyChoice) choose(it Item) (string, error) {
	text := it.Attributes[kmsAttribute]
	named, err := kmscall.ParseKeyARN(text)
	if err != nil {
		return "", foreign(it, kmsAttribute, "is none of a key: %v", err)
	}
	mayNot := func(why string, args ...any) error {
		return &Error{ID: it.ID, Type: it.Type, Attributes: []string{kmsAttribute},
			err: fmt.Errorf("%w: %s: %s", ErrKMSKey, kmscall.Clip(text), fmt.Sprintf(why, args...))}
	}
	if d := k.discovery; d != nil {
		if k.mrkAware && named.MultiRegion() {
			named = named.In(d.Region)
		}
		switch {
		case named.Partition != d.Partition || !d.AnyAccount && !slices.Contains(d.Accounts, named.Account):
			return "", mayNot("its account or partition is not among those of Discovery")
		case named.Region != d.Region:
			return "", mayNot("the client asks %s", d.Region)
		}
		return named.String(), nil
	}
	if named == k.own || k.mrkAware && k.own.Related(named) {
		return k.own.String(), nil
	}
	if k.own.Related(named) {
		return "", mayNot("KeyARN is another replica, %s; KeyStoreConfig.MRKAware would let it be used", k.own)
	}
	return "", mayNot("KeyARN is %s", k.own)
}
