package keyuri

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

var branchKeysScheme = &scheme{
	name:   "branch-keys",
	form:   "branch-keys:ID?table=TABLE&name=NAME&kms=ARN&max-age=5m, or branch-keys:?id-from=PAIR&table=…, with kms-mrk=ARN in place of kms for a multi-Region key, and stale-for=1h for outages",
	params: []string{"id-from", "table", "name", "kms", "kms-mrk", "max-age", "stale-for"},
	read:   readBranchKeys,
}

var tableShape = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,255}$`)

// branchKeys are one branch key, or those that the encryption context names.
type branchKeys struct {
	id, idFrom       string
	table, name      string
	kms              kmscall.ARN
	mrkAware         bool
	maxAge, staleFor time.Duration
}

func readBranchKeys(p *parts) (opens, error) {
	k := &branchKeys{id: p.path, idFrom: p.params["id-from"]}
	switch {
	case k.id == "" && k.idFrom == "":
		return nil, p.scheme.bad("the ID", "is missing; id-from=tenant takes it from the pair tenant of the encryption context")
	case k.id != "" && k.idFrom != "":
		return nil, p.scheme.bad("parameter id-from", "is given beside an ID: one of them must go")
	}
	var err error
	if k.table, err = p.must("table"); err != nil {
		return nil, err
	}
	if !tableShape.MatchString(k.table) {
		return nil, p.scheme.bad("parameter table", "has other characters than letters, digits and . _ -")
	}
	if k.name, err = p.must("name"); err != nil {
		return nil, fmt.Errorf("%w; it is the key store's logical name, which its branch keys are bound to", err)
	}
	kms, one := p.params["kms"]
	kmsMRK, other := p.params["kms-mrk"]
	part := "parameter kms"
	switch {
	case one == other:
		return nil, p.scheme.bad(part, "must be given, or kms-mrk, and not both")
	case other:
		part, kms, k.mrkAware = "parameter kms-mrk", kmsMRK, true
	}
	var ok bool
	switch k.kms, ok = parseKeyARN(kms); {
	case !ok:
		return nil, p.scheme.bad(part, "is no key ARN; an ARN is arn:aws:kms:REGION:ACCOUNT:key/ID, in lower case")
	case other && !k.kms.MultiRegion():
		return nil, p.scheme.bad(part, "is no multi-Region key, whose ID begins with mrk-: use kms")
	}
	if _, err = p.must("max-age"); err != nil {
		return nil, fmt.Errorf("%w; it is how long a branch key is kept in memory", err)
	}
	if k.maxAge, err = p.duration("max-age"); err != nil {
		return nil, err
	}
	if _, given := p.params["stale-for"]; given {
		k.staleFor, err = p.duration("stale-for")
	}
	return k, err
}

func (k *branchKeys) open(ctx context.Context, o *opening, _ half) (opened, error) {
	if o.BranchKeyStore == nil {
		return opened{}, fmt.Errorf("%w: Opener.BranchKeyStore is nil: this program has no store of branch keys", keyring.ErrInvalidArgument)
	}
	client, err := o.client(ctx, k.kms.Region)
	if err != nil {
		return opened{}, err
	}
	store, err := o.BranchKeyStore(ctx, k.table, k.kms.Region)
	if err == nil && store == nil {
		err = errors.New("Opener.BranchKeyStore returned nil")
	}
	if err != nil {
		return opened{}, fmt.Errorf("table %q: %w", k.table, err)
	}
	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: store, Name: k.name, Client: client, KeyARN: k.kms.String(), MRKAware: k.mrkAware, Observer: o.Observer,
	})
	if err != nil {
		return opened{}, err
	}
	c := branchkey.Config{KeyStore: keys, ID: k.id, Limits: cache.Limits{MaxAge: k.maxAge, StaleFor: k.staleFor}}
	if k.idFrom != "" {
		c.Supplier = k.fromContext
	}
	kr, err := branchkey.New(c)
	if err != nil {
		return opened{}, err
	}
	o.closers = append(o.closers, kr.Close)
	return wholly(kr), nil
}

// fromContext returns the ID of the branch key for a message.
func (k *branchKeys) fromContext(ec keyring.EncryptionContext) (string, error) {
	id := ec[k.idFrom]
	if id == "" {
		return "", fmt.Errorf("the encryption context has no pair %q, or an empty one", k.idFrom)
	}
	return id, nil
}
