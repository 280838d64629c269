package keyuri

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

// A KMSClient is what the schemes of AWS KMS need of a kms.Client. One that wraps it must
// pass on the options of each call.
type KMSClient interface {
	awskms.Client
	awskms.DescribeClient
	branchkey.Client
}

// An Opener opens keyrings. Its functions say how to reach what a URI names; one that is
// nil makes the schemes that need it an error. What they return stays the program's to
// close. The zero value opens raw keys. Set the fields before the first use; its methods are
// then safe for concurrent use. It must be closed if it opens branch keys.
type Opener struct {
	// KMS returns a client for a region, which is never empty. It is called for each
	// region of each URI. With the package config of the AWS SDK:
	//
	//	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	//	return kms.NewFromConfig(cfg), err
	KMS func(ctx context.Context, region string) (KMSClient, error)

	// Observer hears of the calls to KMS that the keyrings of all URIs make, and of what
	// they show of a region. Its OnEvent must be set if a URI has min-regions.
	Observer awskms.Observer

	// BranchKeyStore returns the store of a table of branch keys, as dynamostore.New
	// does. The region is that of the KMS key, for those who need one.
	BranchKeyStore func(ctx context.Context, table, region string) (branchkey.Store, error)

	// PKCS11 finds an RSA private key in a token. Its Public must return the public half,
	// an *rsa.PublicKey, and its Decrypt take the options of package rsa, as keyring.NewRawRSA
	// has it.
	PKCS11 func(ctx context.Context, key PKCS11Key) (crypto.Decrypter, error)

	mu      sync.Mutex
	closers []func() error
}

// Open returns the keyring that URIs name. Several make a multi-keyring: the first makes
// the data keys, the others wrap them too, and any one can unwrap. The first must encrypt.
// Of the others, one that only decrypts takes no part in encrypting, and one that only
// encrypts, as a public key does, none in decrypting; one at least must decrypt.
//
// No URI may be there twice, and no two of aws-kms-mrk may be replicas of one key. An
// error of a function of the Opener is wrapped, as is that of a file; what is wrong with a
// URI or what it refers to is [keyring.ErrInvalidArgument].
//
// It reads files and environment variables once: a key that is replaced there is noticed
// by the next Open. To see that the keyring works, use envelope's Client.Check.
func (o *Opener) Open(ctx context.Context, uris ...URI) (keyring.Keyring, error) {
	all, keep, err := o.openAll(ctx, uris, encrypts|decrypts)
	if err != nil {
		return nil, err
	}
	k, err := combine(all)
	if err != nil {
		keep(false)
		return nil, err
	}
	keep(true)
	return k, nil
}

// OpenEncrypter is [Opener.Open] for a program that only encrypts. Each URI must encrypt.
// An alias takes no call, and no permission to describe or decrypt.
func (o *Opener) OpenEncrypter(ctx context.Context, uris ...URI) (keyring.Encrypter, error) {
	all, keep, err := o.openAll(ctx, uris, encrypts)
	if err != nil {
		return nil, err
	}
	keep(true)
	if len(all) == 1 {
		return all[0].encrypter, nil
	}
	encrypters := make([]keyring.Encrypter, len(all))
	for i, k := range all {
		encrypters[i] = k.encrypter
	}
	return keyring.NewMultiEncrypter(encrypters[0], encrypters[1:]...)
}

// OpenDecrypter is [Opener.Open] for a program that only decrypts. Each URI must decrypt.
func (o *Opener) OpenDecrypter(ctx context.Context, uris ...URI) (keyring.Decrypter, error) {
	all, keep, err := o.openAll(ctx, uris, decrypts)
	if err != nil {
		return nil, err
	}
	keep(true)
	if len(all) == 1 {
		return all[0].decrypter, nil
	}
	decrypters := make([]keyring.Decrypter, len(all))
	for i, k := range all {
		decrypters[i] = k.decrypter
	}
	return keyring.NewMultiDecrypter(decrypters...)
}

// Close closes the keyrings of branch keys that were opened so far. They must not be used
// from then on. It may be called more than once.
func (o *Opener) Close() error {
	o.mu.Lock()
	closers := o.closers
	o.closers = nil
	o.mu.Unlock()
	return closeAll(closers)
}

func closeAll(closers []func() error) error {
	var errs []error
	for _, c := range closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// half says what a keyring can do.
type half int

const (
	encrypts half = 1 << iota
	decrypts
)

// opened is what a URI was opened as. Either half may be nil.
type opened struct {
	encrypter keyring.Encrypter
	decrypter keyring.Decrypter
	whole     keyring.Keyring // if one keyring has both halves
}

func wholly(k keyring.Keyring) opened { return opened{k, k, k} }

// opening is one call of a method of Opener.
type opening struct {
	*Opener
	closers []func() error
}

// client returns a client for KMS in a region.
func (o *opening) client(ctx context.Context, region string) (KMSClient, error) {
	if o.KMS == nil {
		return nil, fmt.Errorf("%w: Opener.KMS is nil: this program has no AWS KMS", keyring.ErrInvalidArgument)
	}
	c, err := o.KMS(ctx, region)
	if err == nil && c == nil {
		err = errors.New("Opener.KMS returned nil")
	}
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", region, err)
	}
	return c, nil
}

// openAll opens URIs, all of which must have the half that is needed if only one is. The
// caller says by keep whether they are used; if not they are closed.
func (o *Opener) openAll(ctx context.Context, uris []URI, need half) (all []opened, keep func(bool), err error) {
	if len(uris) == 0 {
		return nil, nil, invalid("no URI")
	}
	run := &opening{Opener: o}
	keep = func(kept bool) {
		if !kept {
			_ = closeAll(run.closers) // the error that led here says more
			return
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.closers = append(o.closers, run.closers...)
	}
	replicas := map[string]bool{}
	for i, u := range uris {
		k, err := run.openOne(ctx, uris, i, need, replicas)
		if err != nil {
			keep(false)
			if name, _, ok := strings.Cut(u.text, ":"); ok {
				err = fmt.Errorf("%s: %w", name, err)
			}
			if len(uris) > 1 {
				err = fmt.Errorf("URI %d of %d: %w", i+1, len(uris), err)
			}
			return nil, nil, fmt.Errorf("keyuri: %w", err)
		}
		all = append(all, k)
	}
	return all, keep, nil
}

func (o *opening) openOne(ctx context.Context, uris []URI, i int, need half, replicas map[string]bool) (opened, error) {
	u := uris[i]
	if u == (URI{}) {
		return opened{}, fmt.Errorf("%w: the URI is the zero value: make one with Parse", keyring.ErrInvalidArgument)
	}
	if at := slices.Index(uris[:i], u); at >= 0 {
		return opened{}, fmt.Errorf("%w: it is the same as URI %d", keyring.ErrInvalidArgument, at+1)
	}
	_, meaning, err := parse(u.text)
	if err != nil {
		return opened{}, err // only if the package changed what it wrote
	}
	if k, ok := meaning.(*mrkKey); ok {
		if replicas[k.arn.ID] {
			return opened{}, fmt.Errorf("%w: another URI names a replica of the same key; name all regions in one, with aws-kms-mrk:ARN?regions=REGION,REGION", keyring.ErrInvalidArgument)
		}
		replicas[k.arn.ID] = true
	}
	if err := ctx.Err(); err != nil {
		return opened{}, err
	}
	k, err := meaning.open(ctx, o, need)
	switch {
	case err != nil:
		return opened{}, err
	case need == encrypts && k.encrypter == nil, need == encrypts|decrypts && i == 0 && k.encrypter == nil:
		return opened{}, fmt.Errorf("%w: it only decrypts: name first a key to encrypt with, or open to decrypt only", keyring.ErrInvalidArgument)
	case need == decrypts && k.decrypter == nil:
		return opened{}, fmt.Errorf("%w: it has a public key, which encrypts only: the private key is needed to decrypt", keyring.ErrInvalidArgument)
	}
	return k, nil
}

// joined is a keyring of two halves.
type joined struct {
	keyring.Encrypter
	keyring.Decrypter
}

// combine makes one keyring of several, the first of which encrypts.
//
// The manager asks each keyring of a multi-keyring by itself for the suites of items. So
// what only decrypts is added to the decrypting half of the keyring before it, which stays
// one of them.
func combine(all []opened) (keyring.Keyring, error) {
	if !slices.ContainsFunc(all, func(k opened) bool { return k.decrypter != nil }) {
		return nil, invalid("what was named only encrypts: name a key that decrypts too, such as the private one, or open to encrypt only")
	}
	var keyrings []keyring.Keyring
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].encrypter == nil {
			n++
		}
		k, err := withDecrypters(all[0], all[1:n])
		if err != nil {
			return nil, err
		}
		keyrings, all = append(keyrings, k), all[n:]
	}
	if len(keyrings) == 1 {
		return keyrings[0], nil
	}
	return keyring.NewMulti(keyrings[0], keyrings[1:]...)
}

// withDecrypters returns k with further keyrings that decrypt.
func withDecrypters(k opened, others []opened) (keyring.Keyring, error) {
	if len(others) == 0 && k.whole != nil {
		return k.whole, nil
	}
	var decrypters []keyring.Decrypter
	for _, d := range append([]opened{k}, others...) {
		if d.decrypter != nil {
			decrypters = append(decrypters, d.decrypter)
		}
	}
	if len(decrypters) == 0 {
		return joined{k.encrypter, publicOnly{}}, nil
	}
	d, err := keyring.NewMultiDecrypter(decrypters...)
	return joined{k.encrypter, d}, err
}

// publicOnly is the decrypting half of a keyring that has none.
type publicOnly struct{}

func (publicOnly) OnDecrypt(_ context.Context, _ *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	return keyring.NoMatch("public key", keys)
}
