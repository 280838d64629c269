package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// A world is a history's accounts at work.
type world struct {
	history
	journal  *journal
	service  *service
	accounts []*party
	calls    sync.WaitGroup
}

// A party is an account with what it is made of.
type party struct {
	account
	index   int
	arns    []string
	keyring keyring.Keyring // with its journal
	cache   *cache.Cache
	clients []*envelope.Client // of its tenants
	direct  *envelope.Client   // without the cache
	written [][][]byte         // messages by tenant
	allow   []func()           // ends the denial there is
}

// run plays a history, and returns what is wrong with it. It runs in a bubble of its
// own.
func run(t *testing.T, h history, s sabotage) (err error) {
	k, err := kmstest.New(kmstest.Config{Regions: regions})
	require.NoError(t, err)
	defer k.Close()
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("%v\n%v", p, h))
		}
	}()
	faketime.Test(t, func(t *testing.T) {
		w, failed := newWorld(k, h, s)
		if failed != nil {
			err = failed
			return
		}
		err = w.play()
		w.close()
		if err == nil {
			err = w.left()
		}
	})
	return err
}

func newWorld(k *kmstest.Server, h history, s sabotage) (*world, error) {
	j := newJournal()
	w := &world{history: h, journal: j, service: newService(k, j)}
	shared := map[string]awskms.Client{}
	for _, r := range regions {
		shared[r] = w.service.client(r)
	}
	for i, a := range h.accounts {
		p := &party{account: a, index: i}
		w.accounts = append(w.accounts, p)
		var keys []awskms.RegionKey
		for n, r := range regions[:a.regions] {
			var arn string
			switch {
			case !a.replicas:
				arn = k.CreateKey(r, kmstest.SymmetricDefault)
			case n == 0:
				arn = k.CreateMultiRegionKey(r, kmstest.SymmetricDefault)
			default:
				arn = k.Replicate(p.arns[0], r)
			}
			client := shared[r]
			if a.ownClients {
				client = w.service.client(r)
			}
			p.arns = append(p.arns, arn)
			keys = append(keys, awskms.RegionKey{Client: client, KeyARN: arn})
		}
		var inner keyring.Keyring
		var err error
		if a.regions == 1 {
			inner, err = awskms.New(awskms.Config{Client: keys[0].Client, KeyID: keys[0].KeyARN})
		} else {
			inner, err = awskms.NewMultiRegion(awskms.MultiRegionConfig{
				Regions: keys, MinRegions: a.minRegions, HedgeAfter: a.hedgeAfter,
				AttemptTimeout: attemptTimeout, Cooldown: cooldown, Observer: awskms.Observer{OnEvent: func(_ context.Context, e awskms.Event) { j.told(i, e) }},
			})
		}
		if err != nil {
			return nil, err
		}
		p.keyring = &watched{Keyring: inner, journal: j, account: i, sabotage: s}
		age := maxAge
		if s.maxAge != 0 {
			age = s.maxAge
		}
		if p.cache, err = cache.New(p.keyring, cache.Limits{
			MaxAge: age, StaleFor: a.staleFor, LoadTimeout: loadTimeout, MaxEntries: a.maxEntries,
		}); err != nil {
			return nil, err
		}
		writer, err := envelope.New(inner, options())
		if err != nil {
			return nil, err
		}
		if p.direct, err = envelope.New(p.keyring, options()); err != nil {
			return nil, err
		}
		for tenant := range a.tenants {
			client, err := envelope.NewFromManager(p.cache.Partition(fmt.Sprint(tenant)), options())
			if err != nil {
				return nil, err
			}
			p.clients = append(p.clients, client)
			var written [][]byte
			for range messages {
				msg, err := writer.Encrypt(context.Background(), plaintext(tenant), contextOf(tenant))
				if err != nil {
					return nil, err
				}
				written = append(written, msg)
			}
			p.written = append(p.written, written)
		}
	}
	return w, nil
}

func options() *envelope.Options {
	return &envelope.Options{Suite: keyring.SuiteAES256GCMHKDFSHA512Commit}
}

func contextOf(tenant int) keyring.EncryptionContext {
	return keyring.EncryptionContext{"tenant": fmt.Sprint(tenant)}
}

func plaintext(tenant int) []byte { return fmt.Appendf(nil, "the plaintext of tenant %d", tenant) }

// play takes the steps, and looks at the journal after each.
func (w *world) play() error {
	checked := &checked{}
	for i, s := range w.steps {
		time.Sleep(s.after)
		if err := w.take(s); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		synctest.Wait()
		if err := w.check(checked); err != nil {
			return fmt.Errorf("after step %d: %w", i, err)
		}
	}
	w.calls.Wait()
	if err := w.check(checked); err != nil {
		return fmt.Errorf("in the end: %w", err)
	}
	if err := w.recovers(); err != nil {
		return err
	}
	return w.check(checked)
}

func (w *world) take(s step) error {
	if s.kind == faulting {
		w.service.set(regions[s.region], s.fault)
		return nil
	}
	p := w.accounts[s.account]
	client := p.clients[s.tenant]
	if s.uncached {
		client = p.direct
	}
	switch s.kind {
	case encrypting:
		w.start(s, p, identity{p.index, s.tenant, "", s.uncached}, false, func(ctx context.Context) ([]byte, error) {
			msg, err := client.Encrypt(ctx, plaintext(s.tenant), contextOf(s.tenant))
			if err != nil {
				return nil, err
			}
			if err := p.names(msg); err != nil {
				return nil, err
			}
			return plaintext(s.tenant), nil
		})
	case decrypting, attacking:
		msg := p.written[s.tenant][s.message]
		if s.kind == attacking {
			var err error
			if msg, err = altered(msg, s.attack); err != nil {
				return err
			}
		}
		h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
		if err != nil {
			return err
		}
		id := identity{p.index, s.tenant, nameOf(h.EncryptedDataKeys), s.uncached}
		w.start(s, p, id, s.kind == attacking, func(ctx context.Context) ([]byte, error) {
			return client.Decrypt(ctx, msg, contextOf(s.tenant))
		})
	case denying:
		p.denied(w, s.deny)
	case purging:
		w.journal.purged(p.index)
		p.cache.PurgePartition(fmt.Sprint(s.tenant))
	}
	return nil
}

// names checks that a message is for the account's keys alone.
func (p *party) names(msg []byte) error {
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	if err != nil {
		return err
	}
	for _, k := range h.EncryptedDataKeys {
		if !slices.Contains(p.arns, k.KeyName()) {
			return fmt.Errorf("wrapped by %s, which is not the account's", k.KeyName())
		}
	}
	return nil
}

// denied has KMS deny, or allow, the account what it does with its keys.
func (p *party) denied(w *world, deny bool) {
	if deny == (p.allow != nil) {
		return
	}
	w.journal.denied(p.index, deny)
	for _, allow := range p.allow {
		allow()
	}
	p.allow = nil
	if deny {
		for _, arn := range p.arns {
			p.allow = append(p.allow, w.service.kms.Deny("", arn))
		}
	}
}

// start has a client called as often as the step says, in goroutines of their own.
func (w *world) start(s step, p *party, id identity, hostile bool, do func(context.Context) ([]byte, error)) {
	for range s.times {
		c := &call{identity: id, began: w.journal.now(), timeLimit: s.timeLimit, hostile: hostile}
		w.calls.Go(func() {
			ctx := context.Background()
			if s.uncached {
				ctx = context.WithValue(ctx, uncachedKey{}, true)
			}
			if s.timeLimit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, s.timeLimit)
				defer cancel()
			}
			got, err := do(ctx)
			c.err, c.wrong = err, err == nil && !bytes.Equal(got, plaintext(s.tenant))
			w.journal.called(c)
		})
	}
}

// altered returns a message with a hostile header.
func altered(msg []byte, a attack) ([]byte, error) {
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	if err != nil {
		return nil, err
	}
	keys := h.EncryptedDataKeys
	junk := keys[0]
	if a == junkForTheLast {
		junk = keys[len(keys)-1]
	}
	junk.Ciphertext = bytes.Clone(junk.Ciphertext)
	junk.Ciphertext[len(junk.Ciphertext)-1] ^= 1
	if a == tooLong {
		junk.Ciphertext = make([]byte, 7000)
	}
	before, err := message.AppendStored(nil, h.Context, h.EncryptedDataKeys)
	if err != nil {
		return nil, err
	}
	after, err := message.AppendStored(nil, h.Context, append(slices.Repeat([]keyring.EncryptedDataKey{junk}, 9), keys[1:]...))
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(msg, before) {
		return nil, errors.New("the message's header is not as it was serialized")
	}
	return bytes.Replace(msg, before, after, 1), nil
}

// recovers ends all faults and denials, and checks that service is whole after the
// cooldown: nothing fails, and nobody asks another region than the first.
func (w *world) recovers() error {
	for _, r := range regions {
		w.service.set(r, up)
	}
	for _, p := range w.accounts {
		p.denied(w, false)
	}
	time.Sleep(cooldown + loadTimeout*9/8 + time.Second)
	for round := range 2 {
		for _, p := range w.accounts {
			w.journal.purged(p.index)
			p.cache.Purge()
			for tenant, client := range p.clients {
				if _, err := client.Encrypt(context.Background(), plaintext(tenant), contextOf(tenant)); err != nil {
					return fmt.Errorf("after all faults, encrypt: %w", err)
				}
				before := w.service.count(regions[1])
				for _, msg := range p.written[tenant] {
					if _, err := client.Decrypt(context.Background(), msg, contextOf(tenant)); err != nil {
						return fmt.Errorf("after all faults, decrypt: %w", err)
					}
				}
				// The first call of the first round may be the one that tries a region again.
				if round == 1 && p.hedgeAfter != 10*time.Millisecond && w.service.count(regions[1]) != before {
					return fmt.Errorf("account %d: after all faults, decrypting asks another region than the first", p.index)
				}
			}
		}
	}
	return nil
}

func (w *world) close() {
	w.calls.Wait()
	for _, p := range w.accounts {
		if p.cache != nil {
			p.cache.Close()
		}
		p.denied(w, false)
	}
	time.Sleep(loadTimeout * 9 / 8)
	synctest.Wait()
}

// left returns what is left when all is closed: the bubble sees to goroutines.
func (w *world) left() error {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	for _, key := range w.journal.dataKeys {
		if !bytes.Equal(key, make([]byte, len(key))) {
			return errors.New("a data key is left when all caches are closed")
		}
	}
	for _, i := range w.journal.invocations {
		if i.ended == 0 {
			return errors.New("a load goes on when all caches are closed")
		}
	}
	return nil
}
