package cache

import "sync"

// Entries are spread over shards by their identity, so that hits on different
// keys do not meet at one lock.
const shardCount = 16

type shard struct {
	mu      sync.RWMutex
	entries map[identity]*entry
}

func (c *Cache) shard(id identity) *shard { return &c.shards[id[0]%shardCount] }

// state is what an entry is good for.
type state int

const (
	expired state = iota // good only in an outage, if there is one at all
	fresh
	due // good, and to be replaced soon
)

// take returns a copy of the materials that id names for one message of n bytes,
// or nil when there are none that may be used.
func (c *Cache) take(id identity, n int64) (*copied, state) {
	s := c.shard(id)
	now := c.now()
	s.mu.RLock()
	e := s.entries[id]
	if e == nil {
		s.mu.RUnlock()
		return nil, expired
	}
	age := now.Sub(e.made)
	// A clock that went back makes every age uncertain.
	past := age < 0 || age >= c.limits.MaxAge
	if past && (age < 0 || age >= c.limits.MaxAge+c.limits.StaleFor) {
		s.mu.RUnlock()
		c.drop(e, Expired)
		return nil, expired
	}
	if !e.spend(n, &c.limits) {
		s.mu.RUnlock()
		c.drop(e, Exhausted)
		return nil, expired
	}
	got := e.copy()
	s.mu.RUnlock()
	// Written only when it changes, to keep the line in every core's cache.
	if !e.used.Load() {
		e.used.Store(true)
	}
	switch {
	case past:
		return got, expired
	case !now.Before(e.refreshAt) || e.worn(&c.limits):
		return got, due
	default:
		return got, fresh
	}
}

// insert puts an entry in its place, in that of an older one if there is one,
// and makes room. It says whether the entry is kept.
func (c *Cache) insert(e *entry) bool {
	if e.size > c.limits.MaxMemory {
		return false
	}
	c.admit.Lock()
	defer c.release()
	if c.ctx.Err() != nil {
		return false
	}
	s := c.shard(e.id)
	s.mu.RLock()
	older := s.entries[e.id]
	s.mu.RUnlock()
	if older != nil {
		c.remove(older, Replaced)
	}
	for len(c.ring.entries) >= c.limits.MaxEntries {
		c.remove(c.ring.victim(), Capacity)
	}
	for c.ring.size+e.size > c.limits.MaxMemory {
		c.remove(c.ring.victim(), Memory)
	}
	c.ring.add(e)
	s.mu.Lock()
	s.entries[e.id] = e
	s.mu.Unlock()
	return true
}

// drop removes an entry if it is still there.
func (c *Cache) drop(e *entry, why Cause) {
	c.admit.Lock()
	defer c.release()
	s := c.shard(e.id)
	s.mu.RLock()
	there := s.entries[e.id] == e
	s.mu.RUnlock()
	if there {
		c.remove(e, why)
	}
}

// remove takes an entry out and clears it. Cache.admit is held.
func (c *Cache) remove(e *entry, why Cause) {
	s := c.shard(e.id)
	s.mu.Lock()
	delete(s.entries, e.id)
	e.clear()
	s.mu.Unlock()
	c.ring.remove(e)
	c.counters.evicted[why].Add(1)
	if c.limits.OnEvent != nil {
		c.gone = append(c.gone, why)
	}
}

// purge removes the entries that match.
func (c *Cache) purge(match func(*entry) bool, why Cause) {
	c.admit.Lock()
	defer c.release()
	for i := len(c.ring.entries) - 1; i >= 0; i-- {
		if e := c.ring.entries[i]; match(e) {
			c.remove(e, why)
		}
	}
}

// release gives admit back, and tells of what went meanwhile: not earlier, since
// who is told may come back.
func (c *Cache) release() {
	gone := c.gone
	c.gone = nil
	c.admit.Unlock()
	for _, why := range gone {
		c.event(Event{Kind: Evict, Cause: why})
	}
}

// held says whether an outage was met so shortly ago that the key service is not
// to be asked again yet.
func (c *Cache) held(id identity) bool {
	s := c.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.entries[id]
	return e != nil && c.now().UnixNano() < e.heldUntil.Load()
}

// A ring holds all entries, and finds one that has not been used for long: a
// hand goes round and spares each that was used since it last came by.
type ring struct {
	entries []*entry
	hand    int
	size    int64
}

func (r *ring) add(e *entry) {
	e.used.Store(true)
	e.place = len(r.entries)
	r.entries = append(r.entries, e)
	r.size += e.size
}

func (r *ring) remove(e *entry) {
	last := len(r.entries) - 1
	r.entries[e.place] = r.entries[last]
	r.entries[e.place].place = e.place
	r.entries[last] = nil
	r.entries = r.entries[:last]
	r.size -= e.size
}

// victim returns the entry to give up. There is one.
func (r *ring) victim() *entry {
	for {
		if r.hand >= len(r.entries) {
			r.hand = 0
		}
		e := r.entries[r.hand]
		r.hand++
		if !e.used.Swap(false) {
			return e
		}
	}
}
