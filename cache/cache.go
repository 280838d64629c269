// Package cache reuses data keys within strict limits, so that a key service is
// asked rarely.
//
//	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer cached.Close()
//	client, err := envelope.NewFromManager(cached, nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//
// Messages that share a data key still have keys of their own, derived from it
// and a random message ID. Sharing has a cost: who gets hold of one data key can read
// all messages under it. [Limits] bound how many those are.
//
// Requests share a data key if they have the same operation, suite, commitment policy,
// partition, encryption context and required keys. To decrypt, they must also have the
// same wrapped keys, and the same expected pairs; in a cache that [New] made, expected
// pairs that the message stores do not count. A context pair that differs for each
// record makes each record a miss: put into the context what policies and audits need.
//
// Suites that use the data key itself, without derivation, are never cached.
// Neither are encryption requests of unknown length when there is a limit on
// bytes, and the requests of envelope's Check. Suites of DynamoDB items derive keys for each item, and are cached. Since an
// item's context has its partition and sort key, only an item that is read again is a hit.
package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// ErrClosed is the error of calls after Close, and of those that were waiting
// for a data key when it came.
var ErrClosed = errors.New("cache: closed")

// A Cache is a materials manager that keeps the materials of another. It is safe
// for concurrent use. It runs a goroutine, and must be closed.
type Cache struct {
	manager keyring.MaterialsManager
	watcher watcher // the manager, or nil
	limits  Limits

	// ignoresStoredPairs says that the manager answers the same whether or not the caller
	// expects pairs that the message stores. The default manager does. Another may
	// insist on such pairs.
	ignoresStoredPairs bool

	// elapsed returns the time since the cache was made, by a monotonic clock.
	elapsed func() time.Duration

	shards    [shardCount]shard
	admit     sync.Mutex // held to change which entries there are
	admission admission  // guarded by admit
	gone      []Cause    // evictions that OnEvent hears of when admit is released

	loads    loads
	refresh  chan struct{} // has an element for each refresh under way
	counters counters

	// generation counts the purges that the user asked for. A load that began before
	// the last of them does not put its result into the cache. Guarded by admit.
	generation uint64

	seed   maphash.Seed
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
}

var (
	_ keyring.MaterialsManager = (*Cache)(nil)
	_ keyring.MaterialsManager = partition{}
)

// New returns a cache of a keyring's data keys.
func New(k keyring.Keyring, limits Limits) (*Cache, error) {
	m, err := keyring.NewManager(k)
	if err != nil {
		return nil, err
	}
	c, err := NewFromManager(m, limits)
	if err != nil {
		return nil, err
	}
	c.ignoresStoredPairs = true
	return c, nil
}

// NewFromManager returns a cache of the materials of another manager, which it asks when
// it has none. That manager's answer must depend on the request alone.
//
// The manager that makes signing keys, such as the default one, must be asked by the
// cache. If it asked the cache instead, each request would come with a new public key in
// its context, and none would hit. The manager of keyring.NewRequiredContextManager may
// be asked by the cache, or ask it.
func NewFromManager(m keyring.MaterialsManager, limits Limits) (*Cache, error) {
	start := time.Now()
	return newCache(m, limits, func() time.Duration { return time.Since(start) })
}

func newCache(m keyring.MaterialsManager, limits Limits, elapsed func() time.Duration) (*Cache, error) {
	if m == nil {
		return nil, invalid("materials manager is nil")
	}
	if err := limits.setDefaults(); err != nil {
		return nil, err
	}
	c := &Cache{
		manager: m,
		limits:  limits,
		elapsed: elapsed,
		refresh: make(chan struct{}, limits.MaxRefreshes),
	}
	c.watcher, _ = m.(watcher)
	c.seed = maphash.MakeSeed()
	c.admission.maxEntries, c.admission.maxMemory = limits.MaxEntries, limits.MaxMemory
	c.loads.running = map[identity]*load{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for i := range c.shards {
		c.shards[i].entries = map[identity]*entry{}
	}
	go c.sweep()
	return c, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("cache: %w: %s", keyring.ErrInvalidArgument, fmt.Sprintf(format, args...))
}

// Close ends the cache: it clears all data keys, and cancels the loads that are under way
// without waiting for them. Messages that have been begun can be completed. Close may be
// called more than once, and returns nil.
func (c *Cache) Close() error {
	c.cancel()
	c.purge(func(*entry) bool { return true }, Purged)
	return nil
}

// Purge drops all data keys. A load that is under way goes on for the caller who started
// it. Its result is not kept, and other callers who wait for it load again. That is so
// for PurgePartition and PurgeKey too, whichever data key is being loaded.
func (c *Cache) Purge() { c.purge(func(*entry) bool { return true }, Purged) }

// PurgePartition drops the data keys of one partition: "" for those of the Cache
// itself.
func (c *Cache) PurgePartition(name string) {
	c.purge(func(e *entry) bool { return e.partition == name }, Purged)
}

// PurgeKey drops the data keys that are wrapped by a key of this name, alone or
// among others, as keyring.EncryptedDataKey.KeyName gives it: a KMS key's ARN, a
// raw key's name, the recipient's public key for key agreement.
func (c *Cache) PurgeKey(name string) {
	c.purge(func(e *entry) bool { return e.wrappedBy(name) }, Purged)
}

// Partition returns a manager that uses this cache and shares data keys only with
// partitions of the same name. Clients of different tenants that may have equal
// contexts belong in different ones. Partition("") shares with the Cache itself. It
// can be used until the Cache is closed.
func (c *Cache) Partition(name string) keyring.MaterialsManager { return partition{c, name} }

type partition struct {
	cache *Cache
	name  string
}

func (p partition) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	return p.cache.encryption(ctx, req, p.name)
}

func (p partition) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	return p.cache.decryption(ctx, req, p.name)
}

// EncryptionMaterials implements [keyring.EncryptionManager]. The result is the
// caller's to clear; what it holds beside the data key is shared, and not to be
// changed.
func (c *Cache) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	return c.encryption(ctx, req, "")
}

// DecryptionMaterials implements [keyring.DecryptionManager]. The result is the
// caller's to clear; what it holds beside the data key is shared, and not to be
// changed.
func (c *Cache) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	return c.decryption(ctx, req, "")
}

func (c *Cache) encryption(ctx context.Context, req keyring.EncryptionRequest, partition string) (*keyring.EncryptionMaterials, error) {
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	if !c.cachesEncryption(req) {
		began := c.bypass()
		m, err := c.manager.EncryptionMaterials(ctx, req)
		c.answered(ctx, Event{Kind: Bypass, Err: err}, began)
		return m, err
	}
	var buf [512]byte
	id, err := encryptionIdentity(buf[:0], &req, partition)
	if err != nil {
		return nil, fmt.Errorf("cache: %w: %w", keyring.ErrInvalidArgument, err)
	}
	if got, due := c.lookUp(id, max(req.PlaintextLength, 0)); !got.none() {
		if got.answersEncryption(&req) {
			c.hadHit(ctx, due)
			return got.e, nil
		}
		c.poisoned(identity(id), got)
	}
	return c.encryptionMiss(ctx, identity(id), req, partition)
}

// encryptionMiss stands apart so that a hit does not allocate for it.
func (c *Cache) encryptionMiss(ctx context.Context, id identity, req keyring.EncryptionRequest, partition string) (*keyring.EncryptionMaterials, error) {
	got, err := c.miss(ctx, id, max(req.PlaintextLength, 0), func() *entry {
		return newEncryptionEntry(id, partition, req)
	})
	if err != nil {
		return nil, err
	}
	return got.e, nil
}

func (c *Cache) decryption(ctx context.Context, req keyring.DecryptionRequest, partition string) (*keyring.DecryptionMaterials, error) {
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	if req.Fresh || !req.Suite.DerivesKey() {
		began := c.bypass()
		m, err := c.manager.DecryptionMaterials(ctx, req)
		c.answered(ctx, Event{Kind: Bypass, Err: err}, began)
		return m, err
	}
	var buf [1024]byte
	id, err := decryptionIdentity(buf[:0], &req, partition, !c.ignoresStoredPairs)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	got, answers := c.decryptionHit(ctx, id, &req)
	if !answers && c.ignoresStoredPairs && !message.Stores(req.Stored, req.Reproduced) {
		// The identity so far was for requests whose expected pairs are all stored. This
		// one has others, and they are part of its identity.
		got.clear()
		if id, err = decryptionIdentity(buf[:0], &req, partition, true); err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
		got, answers = c.decryptionHit(ctx, id, &req)
	}
	if answers {
		return got.d, nil
	}
	if !got.none() {
		c.poisoned(identity(id), got)
	}
	return c.decryptionMiss(ctx, identity(id), req, partition)
}

// Holds says whether the cache has an entry for a request to decrypt, be it past MaxAge.
// It loads nothing, counts nothing, and does not look into partitions. It is for callers
// whom either of two requests serves, and who would not have both loaded.
func (c *Cache) Holds(req keyring.DecryptionRequest) bool {
	var buf [1024]byte
	reproduced := !c.ignoresStoredPairs || !message.Stores(req.Stored, req.Reproduced)
	id, err := decryptionIdentity(buf[:0], &req, "", reproduced)
	if err != nil {
		return false
	}
	s := c.shardOf(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[identity(id)] != nil
}

// decryptionHit returns a copy of the materials that id names, if they are in the
// cache and good, and whether they answer a request.
func (c *Cache) decryptionHit(ctx context.Context, id []byte, req *keyring.DecryptionRequest) (got copied, answers bool) {
	got, due := c.lookUp(id, 0)
	if got.none() || !got.answersDecryption(req) {
		return got, false
	}
	c.hadHit(ctx, due)
	return got, true
}

// decryptionMiss stands apart so that a hit does not allocate for it.
func (c *Cache) decryptionMiss(ctx context.Context, id identity, req keyring.DecryptionRequest, partition string) (*keyring.DecryptionMaterials, error) {
	got, err := c.miss(ctx, id, 0, func() *entry {
		return newDecryptionEntry(id, partition, req)
	})
	if err != nil {
		return nil, err
	}
	return got.d, nil
}

func (c *Cache) check(ctx context.Context) error {
	if c.ctx.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}

func (c *Cache) cachesEncryption(req keyring.EncryptionRequest) bool {
	s := req.Suite
	if s == 0 {
		s = req.CommitmentPolicy.DefaultSuite()
	}
	// With one message for each data key there is nothing to share.
	if req.Fresh || !s.DerivesKey() || c.limits.MaxMessages == 1 {
		return false
	}
	return c.limits.MaxBytes == 0 || req.PlaintextLength >= 0 && req.PlaintextLength <= c.limits.MaxBytes
}

// lookUp returns a copy of the materials that id names for a message of n bytes, if they
// are in the cache and good, and their entry if it is time to replace it.
func (c *Cache) lookUp(id []byte, n int64) (got copied, due *entry) {
	s := c.shardOf(id)
	s.mu.RLock()
	return c.take(s, s.entries[identity(id)], n)
}

// hadHit counts a request that was answered at once, and begins to replace what is due.
func (c *Cache) hadHit(ctx context.Context, due *entry) {
	if due != nil && !c.limits.NoRefresh {
		c.refreshSoon(due)
	}
	c.counters.hits.Add(1)
	c.event(ctx, Event{Kind: Hit})
}

// bypass counts a request that is passed on to the manager, and returns when it begins.
func (c *Cache) bypass() time.Duration {
	c.counters.bypasses.Add(1)
	return c.elapsed()
}

// answered tells how a request was answered that began at a time by c.elapsed.
func (c *Cache) answered(ctx context.Context, e Event, began time.Duration) {
	e.Duration = c.elapsed() - began
	c.event(ctx, e)
}

// poisoned drops an entry whose materials do not answer the requests that it is kept for:
// somebody has changed what is shared.
func (c *Cache) poisoned(id identity, got copied) {
	got.clear()
	if e := c.find(id); e != nil {
		c.drop(e, Purged)
	}
}

// miss loads the materials that id names, or waits for a load of them that another caller
// has started. It returns a copy for a message of n bytes.
func (c *Cache) miss(ctx context.Context, id identity, n int64, describe func() *entry) (copied, error) {
	c.counters.misses.Add(1)
	began, cause := c.elapsed(), c.capacityMiss(id)
	got, kind, err := c.answerMiss(ctx, id, n, describe)
	c.answered(ctx, Event{Kind: kind, Cause: cause, Err: err}, began)
	return got, err
}

// answerMiss does what miss says, and says how: Miss, Waited or StaleUse.
func (c *Cache) answerMiss(ctx context.Context, id identity, n int64, describe func() *entry) (_ copied, how EventKind, _ error) {
	how = Miss
	for turn := 0; ; turn++ {
		// Another caller may have loaded them meanwhile. Others still may then have
		// used them up, so that this goes round again.
		s := c.shard(id)
		s.mu.RLock()
		if got, _ := c.take(s, s.entries[id], n); !got.none() {
			return got, how, nil
		}
		if got := c.stale(id, n); !got.none() {
			return got, StaleUse, nil
		}
		l, leads := c.join(id, n, func() *load { return c.startLoad(ctx, id, n, describe()) })
		if l == nil {
			continue
		}
		if !leads && turn == 0 {
			c.counters.shared.Add(1)
			how = Waited
		}
		got, err := c.wait(ctx, l, leads)
		if err == nil && !leads {
			// After a purge this caller starts again, but not for ever.
			if l.kept || l.purged && turn < 3 {
				continue
			}
			// The load served only the caller who started it. To wait for the next such
			// load would put all callers in a queue: each loads for itself instead.
			got, err = c.wait(ctx, c.startLoad(ctx, id, n, describe()), true)
		}
		if unavailable(err) {
			if got := c.stale(id, n); !got.none() {
				return got, StaleUse, nil
			}
		}
		return got, how, err
	}
}

// wait waits for a load, until ctx is done or the cache is closed. To the caller who
// started the load (leads) it returns the materials that are reserved for them, so that
// one caller always gets on. The others look in the cache.
func (c *Cache) wait(ctx context.Context, l *load, leads bool) (reserved copied, err error) {
	select {
	case <-l.done:
		if leads {
			reserved = l.reserved
		}
		return reserved, l.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.ctx.Done():
		err = ErrClosed
	}
	if leads {
		l.abandon()
	}
	c.stopWaiting(l)
	return copied{}, err
}

// stale returns a copy of materials that are past MaxAge, if a load to replace them has
// met an outage. From time to time it starts a probe, which finds out whether the outage
// is over.
func (c *Cache) stale(id identity, n int64) copied {
	if c.limits.StaleFor == 0 {
		return copied{}
	}
	e := c.find(id)
	if e == nil {
		return copied{}
	}
	out, probe := e.outages.state(c.elapsed())
	if !out {
		return copied{}
	}
	got := c.takeStale(e, n)
	if got.none() {
		return copied{}
	}
	if probe {
		c.probe(e)
	}
	c.counters.staleUses.Add(1)
	return got
}

// counters are what Stats reports.
type counters struct {
	hits, misses, capacityMisses, shared, loads, failed, rejected, refreshes, bypasses, staleUses atomic.Uint64

	evicted [Replaced + 1]atomic.Uint64
}
