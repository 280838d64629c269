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
// and a random message ID. What sharing costs is that who gets at one data key
// reads all messages under it; Limits say how many those may be.
//
// Data keys are shared between requests that are alike in operation, suite,
// commitment policy, partition, encryption context and required keys, and to decrypt
// also in the wrapped keys and in the pairs that the caller expects. A cache that New
// made leaves out expected pairs that the message stores. A context pair that differs for each record makes each
// record a miss: put into the context what policies and audits need.
//
// Suites that use the data key itself, without derivation, are never cached.
// Neither are encryption requests of unknown length when there is a limit on
// bytes.
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
	limits  Limits

	// confirmsAlone says that reproduced pairs which only confirm what a message
	// stores change nothing of what the manager answers. It is so for the default
	// one. Another may insist on them.
	confirmsAlone bool

	// elapsed is the time since the cache was made, by a clock that does not jump
	// when the system's is set.
	elapsed func() time.Duration

	shards    [shardCount]shard
	admit     sync.Mutex // held to change which entries there are
	admission admission  // guarded by admit
	gone      []Cause    // evictions to announce when admit is released

	loads    loads
	refresh  chan struct{} // holds a token for each refresh under way
	counters counters

	// generation counts the purges that the user asked for. A load that began
	// before one brings nothing into the cache. Guarded by admit.
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
	c.confirmsAlone = true
	return c, nil
}

// NewFromManager returns a cache of the materials of another manager. The cache
// belongs above a manager that makes signing keys, as the default one does: below
// it, every request would have another public key in its context. It may stand above
// or below that of keyring.NewRequiredContextManager. What a manager below it answers is
// taken to depend on the request alone.
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

// Close ends the cache: it clears all data keys and cancels the loads that are
// under way, without waiting for them. Messages that were begun are not affected.
// Close may be called more than once.
func (c *Cache) Close() error {
	c.cancel()
	c.purge(func(*entry) bool { return true }, Purged)
	return nil
}

// Purge drops all data keys. What is being loaded serves those who wait for it,
// and is not kept; that holds for the other purges too, whatever is loaded.
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
// is as good as the Cache until that is closed.
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
		c.counters.bypasses.Add(1)
		return c.manager.EncryptionMaterials(ctx, req)
	}
	var buf [512]byte
	id, err := encryptionIdentity(buf[:0], &req, partition)
	if err != nil {
		return nil, fmt.Errorf("cache: %w: %w", keyring.ErrInvalidArgument, err)
	}
	if got := c.hit(id, max(req.PlaintextLength, 0)); !got.none() {
		if got.answersEncryption(&req) {
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
	if !req.Suite.DerivesKey() {
		c.counters.bypasses.Add(1)
		return c.manager.DecryptionMaterials(ctx, req)
	}
	var buf [1024]byte
	id, err := decryptionIdentity(buf[:0], &req, partition, !c.confirmsAlone)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	got, answers := c.decryptionHit(id, &req)
	if !answers && c.confirmsAlone && !message.Stores(req.Stored, req.Reproduced) {
		// That was the identity of messages which store all that is expected.
		got.clear()
		if id, err = decryptionIdentity(buf[:0], &req, partition, true); err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
		got, answers = c.decryptionHit(id, &req)
	}
	if answers {
		return got.d, nil
	}
	if !got.none() {
		c.poisoned(identity(id), got)
	}
	return c.decryptionMiss(ctx, identity(id), req, partition)
}

// decryptionHit returns a copy of the materials that id names, if they are in the
// cache and good, and whether they answer a request.
func (c *Cache) decryptionHit(id []byte, req *keyring.DecryptionRequest) (got copied, answers bool) {
	got, worn := c.lookUp(id, 0)
	if got.none() || !got.answersDecryption(req) {
		return got, false
	}
	c.hadHit(worn)
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
	// One message for each key leaves nothing to share.
	if !s.DerivesKey() || c.limits.MaxMessages == 1 {
		return false
	}
	return c.limits.MaxBytes == 0 || req.PlaintextLength >= 0 && req.PlaintextLength <= c.limits.MaxBytes
}

// hit returns a copy of the materials that id names for a message of n bytes, if
// they are in the cache and good.
func (c *Cache) hit(id []byte, n int64) copied {
	got, worn := c.lookUp(id, n)
	if !got.none() {
		c.hadHit(worn)
	}
	return got
}

func (c *Cache) lookUp(id []byte, n int64) (got copied, worn *entry) {
	s := c.shardOf(id)
	s.mu.RLock()
	return c.take(s, s.entries[identity(id)], n)
}

func (c *Cache) hadHit(worn *entry) {
	if worn != nil && !c.limits.NoRefresh {
		c.refreshSoon(worn)
	}
	c.counters.hits.Add(1)
}

// poisoned drops materials that do not answer the requests they are kept for:
// somebody changed what is shared.
func (c *Cache) poisoned(id identity, got copied) {
	got.clear()
	if e := c.find(id); e != nil {
		c.drop(e, Purged)
	}
}

// miss has the materials that id names loaded, alone or with others who ask for
// the same, and returns a copy for a message of n bytes.
func (c *Cache) miss(ctx context.Context, id identity, n int64, describe func() *entry) (copied, error) {
	c.counters.misses.Add(1)
	c.event(Event{Kind: Miss, Cause: c.gaveWay(id)})
	for turn := 0; ; turn++ {
		// Somebody may have loaded them meanwhile, and then others may have used
		// them up again.
		s := c.shard(id)
		s.mu.RLock()
		if got, _ := c.take(s, s.entries[id], n); !got.none() {
			return got, nil
		}
		if got := c.stale(id, n); !got.none() {
			return got, nil
		}
		l, leads := c.join(id, n, func() *load { return c.startLoad(ctx, id, n, describe()) })
		if l == nil {
			continue
		}
		if !leads && turn == 0 {
			c.counters.shared.Add(1)
		}
		got, err := c.wait(ctx, l, leads)
		if err == nil && !leads {
			// A purge came in between: who waited goes on as if just come, but not
			// for ever.
			if l.kept || l.purged && turn < 3 {
				continue
			}
			// Waiting in line for loads that serve one caller each would only
			// make a queue of them.
			got, err = c.wait(ctx, c.startLoad(ctx, id, n, describe()), true)
		}
		if unavailable(err) {
			if got := c.stale(id, n); !got.none() {
				return got, nil
			}
		}
		return got, err
	}
}

// wait returns when a load is done, or the error of whoever ends first. Whoever
// started the load has a use of what it brought set aside, so that somebody always
// gets on; the others find it in the cache.
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
	c.left(l)
	return copied{}, err
}

// stale returns a use of a key past its age, if the key service is known to be out
// for it, and has somebody look from time to time whether it is back.
func (c *Cache) stale(id identity, n int64) copied {
	if c.limits.StaleFor == 0 {
		return copied{}
	}
	e := c.find(id)
	if e == nil {
		return copied{}
	}
	known, probe := e.outages.known(c.elapsed())
	if !known {
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
	c.event(Event{Kind: StaleUse})
	return got
}

// counters are what Stats reports.
type counters struct {
	hits, misses, capacityMisses, shared, loads, failed, rejected, refreshes, bypasses, staleUses atomic.Uint64

	evicted [Replaced + 1]atomic.Uint64
}
