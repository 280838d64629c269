package keyuri

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
)

var (
	kmsScheme = &scheme{
		name:   "aws-kms",
		form:   "aws-kms:ARN, aws-kms:ID?region=REGION or aws-kms:alias/NAME?region=REGION, with previous=ARN,ARN for keys that were used before",
		params: []string{"region", "previous"},
		read:   readKMSKey,
	}
	mrkScheme = &scheme{
		name:   "aws-kms-mrk",
		form:   "aws-kms-mrk:ARN, with either previous=ARN,ARN for keys that were used before, or regions=REGION,REGION for the replicas to use, the nearest first",
		params: []string{"regions", "previous"},
		read:   readMRKKey,
	}
	regionsScheme = &scheme{
		name:   "aws-kms-regions",
		form:   "aws-kms-regions:ARN,ARN, the nearest region's key first, with min-regions=N if not all need be up to encrypt",
		params: []string{"min-regions"},
		read:   readRegions,
	}
	discoveryScheme = &scheme{
		name:   "aws-kms-discovery",
		form:   "aws-kms-discovery:?regions=REGION,REGION&accounts=ACCOUNT,ACCOUNT, with partition=aws-cn or another than aws",
		params: []string{"regions", "accounts", "partition"},
		read:   func(p *parts) (opens, error) { return readDiscovery(p, false) },
	}
	mrkDiscoveryScheme = &scheme{
		name:   "aws-kms-mrk-discovery",
		form:   strings.Replace(discoveryScheme.form, "aws-kms-discovery", "aws-kms-mrk-discovery", 1),
		params: discoveryScheme.params,
		read:   func(p *parts) (opens, error) { return readDiscovery(p, true) },
	}
)

func isRegion(s string) bool { return regionShape.MatchString(s) }

// parseARN returns the ARN of a key or alias, and whether it is one.
func parseARN(s string) (kmscall.ARN, bool) {
	a, err := kmscall.ParseARN(s)
	ok := err == nil && partitionShape.MatchString(a.Partition) && isRegion(a.Region) && accountShape.MatchString(a.Account) &&
		(a.Kind == "alias" && isAlias("alias/"+a.ID) || a.Kind == "key" && keyIDShape.MatchString(a.ID))
	return a, ok
}

func parseKeyARN(s string) (kmscall.ARN, bool) {
	a, ok := parseARN(s)
	return a, ok && a.Kind == "key"
}

func isAlias(s string) bool {
	return strings.HasPrefix(s, "alias/") && s != "alias/" && len(s) <= 256 && kmscall.IsName(s, "/_")
}

func isMultiRegion(s string) bool {
	a, ok := parseARN(s)
	return ok && a.MultiRegion()
}

// previous returns the ARNs of keys that were used before in a region.
func (p *parts) previous(region string) ([]string, error) {
	return p.list("previous", "what is no key ARN, or not one in "+region+",", func(item string) bool {
		a, ok := parseKeyARN(item)
		return ok && a.Region == region && item != p.path
	})
}

// A kmsKey is a key in KMS.
type kmsKey struct {
	id, region string
	alias      bool
	previous   []string
	mrkAware   bool
}

func readKMSKey(p *parts) (opens, error) {
	k := &kmsKey{id: p.path, region: p.params["region"]}
	const part = "the key"
	a, isARN := parseARN(p.path)
	switch {
	case isARN && k.region != "":
		return nil, p.scheme.bad("parameter region", "is given, and the ARN has one already: leave it out")
	case isARN:
		k.region, k.alias = a.Region, a.Kind == "alias"
	case p.path == "":
		return nil, p.scheme.bad(part, "is missing")
	case isAlias(p.path):
		k.alias = true
	case strings.HasPrefix(strings.ToLower(p.path), "arn:"):
		return nil, p.scheme.bad(part, "looks like an ARN and is none of a KMS key or alias; an ARN is arn:aws:kms:REGION:ACCOUNT:key/ID, in lower case, with an account of 12 digits and an ID as KMS makes it")
	case strings.HasPrefix(p.path, "alias/"):
		return nil, p.scheme.bad(part, "is an alias with other characters than letters, digits, / _ and -")
	case !keyIDShape.MatchString(p.path):
		return nil, p.scheme.bad(part, "is neither an ARN, nor a key ID, nor an alias with alias/ before it")
	}
	if _, given := p.params["region"]; !isARN && !given {
		return nil, p.scheme.bad("parameter region", "is missing, which only an ARN does without")
	}
	if !isRegion(k.region) {
		return nil, p.scheme.bad("parameter region", "is no region such as eu-west-1")
	}
	var err error
	k.previous, err = p.previous(k.region)
	return k, err
}

func (k *kmsKey) open(ctx context.Context, o *opening, need half) (opened, error) {
	client, err := o.client(ctx, k.region)
	if err != nil {
		return opened{}, err
	}
	if need == encrypts {
		e, err := awskms.NewEncrypter(awskms.Config{Client: client, KeyID: k.id, Observer: o.Observer})
		return opened{encrypter: e}, err
	}
	c := awskms.Config{Client: client, KeyID: k.id, DecryptKeys: k.previous, MRKAware: k.mrkAware, Observer: o.Observer}
	if k.alias {
		now, err := awskms.ResolveKey(ctx, client, k.id)
		if err != nil {
			return opened{}, err
		}
		if !slices.Contains(k.previous, now) {
			c.DecryptKeys = append([]string{now}, k.previous...)
		}
	}
	kr, err := awskms.New(c)
	return wholly(kr), err
}

// An mrkKey is a multi-Region key, in one region or in several.
type mrkKey struct {
	arn      kmscall.ARN
	regions  []string
	previous []string
}

func readMRKKey(p *parts) (opens, error) {
	a, ok := parseKeyARN(p.path)
	switch {
	case p.path == "":
		return nil, p.scheme.bad("the key", "is missing")
	case !ok:
		return nil, p.scheme.bad("the key", "is no key ARN; an ARN is arn:aws:kms:REGION:ACCOUNT:key/mrk-ID, in lower case")
	case !a.MultiRegion():
		return nil, p.scheme.bad("the key", "is no multi-Region key, whose ID begins with mrk-: use aws-kms:ARN, or aws-kms-regions:ARN,ARN for keys in several regions")
	}
	k := &mrkKey{arn: a}
	var err error
	if k.regions, err = p.list("regions", "what is no region such as eu-west-1", isRegion); err != nil {
		return nil, err
	}
	if k.regions != nil {
		switch _, both := p.params["previous"]; {
		case both:
			return nil, p.scheme.bad("parameter previous", "cannot be had with regions")
		case len(k.regions) < 2:
			return nil, p.scheme.bad("parameter regions", "has one region, for which it is left out: the ARN says which")
		case !slices.Contains(k.regions, a.Region):
			return nil, p.scheme.bad("parameter regions", "lacks %s, the region of the ARN", a.Region)
		}
	}
	k.previous, err = p.previous(a.Region)
	return k, err
}

func (k *mrkKey) open(ctx context.Context, o *opening, need half) (opened, error) {
	if k.regions == nil {
		one := &kmsKey{id: k.arn.String(), region: k.arn.Region, previous: k.previous, mrkAware: true}
		return one.open(ctx, o, need)
	}
	all := &kmsRegions{}
	for _, r := range k.regions {
		all.keys = append(all.keys, k.arn.In(r))
	}
	return all.open(ctx, o, need)
}

// kmsRegions are keys in several regions.
type kmsRegions struct {
	keys       []kmscall.ARN
	minRegions int
}

func readRegions(p *parts) (opens, error) {
	if p.path == "" {
		return nil, p.scheme.bad("the list of keys", "is missing")
	}
	r := &kmsRegions{}
	seen := map[string]bool{}
	texts, err := p.items("the list of keys", p.path, "what is no key ARN", func(item string) bool {
		_, ok := parseKeyARN(item)
		return ok
	})
	if err != nil {
		return nil, err
	}
	for _, text := range texts {
		a, _ := parseKeyARN(text)
		if seen[a.Region] {
			return nil, p.scheme.bad("the list of keys", "has two in %s", a.Region)
		}
		seen[a.Region] = true
		r.keys = append(r.keys, a)
	}
	if len(r.keys) < 2 {
		return nil, p.scheme.bad("the list of keys", "has one: use aws-kms:ARN for it")
	}
	if n, ok := p.params["min-regions"]; ok {
		r.minRegions, err = strconv.Atoi(n)
		if err != nil || r.minRegions < 1 || r.minRegions > len(r.keys) || n != strconv.Itoa(r.minRegions) {
			return nil, p.scheme.bad("parameter min-regions", "is no number from 1 to %d, of the keys that are listed", len(r.keys))
		}
	}
	return r, nil
}

func (r *kmsRegions) open(ctx context.Context, o *opening, _ half) (opened, error) {
	if r.minRegions > 0 && r.minRegions < len(r.keys) && o.Observer.OnEvent == nil {
		return opened{}, fmt.Errorf("%w: min-regions: Opener.Observer.OnEvent is nil: nobody would hear that a data key is not for all regions", keyring.ErrInvalidArgument)
	}
	c := awskms.MultiRegionConfig{MinRegions: r.minRegions, Observer: o.Observer}
	for _, a := range r.keys {
		client, err := o.client(ctx, a.Region)
		if err != nil {
			return opened{}, err
		}
		c.Regions = append(c.Regions, awskms.RegionKey{Client: client, KeyARN: a.String()})
	}
	kr, err := awskms.NewMultiRegion(c)
	return wholly(kr), err
}

// A discovery decrypts with every key of some accounts.
type discovery struct {
	regions, accounts []string
	partition         string
	mrkAware          bool
}

// otherPartitions begin the names of regions that are not in the partition aws.
var otherPartitions = []string{"cn-", "us-gov-", "us-iso", "eu-iso", "eusc-"}

func readDiscovery(p *parts, mrkAware bool) (opens, error) {
	if err := p.noPath(); err != nil {
		return nil, err
	}
	d := &discovery{mrkAware: mrkAware, partition: p.params["partition"]}
	var err error
	for _, name := range []string{"regions", "accounts"} {
		if _, err := p.must(name); err != nil {
			return nil, err
		}
	}
	if d.regions, err = p.list("regions", "what is no region such as eu-west-1", isRegion); err != nil {
		return nil, err
	}
	if p.params["accounts"] != "any" {
		if d.accounts, err = p.list("accounts", "what is no account ID of 12 digits", accountShape.MatchString); err != nil {
			return nil, err
		}
	}
	if d.partition != "" && !partitionShape.MatchString(d.partition) {
		return nil, p.scheme.bad("parameter partition", "is no partition such as aws or aws-cn")
	}
	for _, r := range d.regions {
		for _, prefix := range otherPartitions {
			if strings.HasPrefix(r, prefix) && d.partition == "" {
				return nil, p.scheme.bad("parameter partition", "is missing, and %s is not in the partition aws", r)
			}
		}
	}
	return d, nil
}

func (d *discovery) open(ctx context.Context, o *opening, need half) (opened, error) {
	if need == encrypts {
		return opened{}, nil
	}
	var all []keyring.Decrypter
	for _, r := range d.regions {
		client, err := o.client(ctx, r)
		if err != nil {
			return opened{}, err
		}
		k, err := awskms.NewDiscovery(awskms.DiscoveryConfig{
			Client: client, Region: r, Partition: d.partition, Accounts: d.accounts, AnyAccount: d.accounts == nil, MRKAware: d.mrkAware,
			Observer: o.Observer,
		})
		if err != nil {
			return opened{}, err
		}
		all = append(all, k)
	}
	if len(all) == 1 {
		return opened{decrypter: all[0]}, nil
	}
	k, err := keyring.NewMultiDecrypter(all...)
	return opened{decrypter: k}, err
}
