package cache

import "sync"

// Entries are spread over shards by their identity, so that hits on different
// keys do not meet at one lock.
const shardCount = 16

type shard struct {
	mu      sync.RWMutex
	entries map[identity]*entry
}

// find returns the entry that id names, good or not.
func (c *Cache) find(id identity) *entry {
	s := c.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[id]
}

// take returns a copy of the materials of an entry, or of none, for one message of
// n bytes, or none when they are not good, and the entry if it is to be replaced
// soon. The entry is of shard s, which is read-locked, and unlocked then.
func (c *Cache) take(s *shard, e *entry, n int64) (got copied, worn *entry) {
	if e == nil {
		s.mu.RUnlock()
		return copied{}, nil
	}
	// Read under the lock, so that no entry is younger than this moment unless
	// the clock went back: then every age is uncertain.
	now := c.elapsed()
	age := now - e.made
	switch {
	case age < 0 || age >= c.limits.MaxAge+c.limits.StaleFor:
		s.mu.RUnlock()
		c.drop(e, Expired)
		return copied{}, nil
	case age >= c.limits.MaxAge:
		s.mu.RUnlock()
		return copied{}, nil
	case !e.spend(n, &c.limits):
		s.mu.RUnlock()
		c.drop(e, Exhausted)
		return copied{}, nil
	}
	got = e.copy()
	s.mu.RUnlock()
	// Written only when it changes, to keep the line in every core's cache.
	if !e.used.Load() {
		e.used.Store(true)
	}
	if now >= e.refreshAt || e.worn(&c.limits) {
		return got, e
	}
	return got, nil
}

// staleNow says whether an entry is past its age, and may be used in an outage.
func (c *Cache) staleNow(e *entry) bool {
	age := c.elapsed() - e.made
	return age >= c.limits.MaxAge && age < c.limits.MaxAge+c.limits.StaleFor
}

// takeStale is take for an outage.
func (c *Cache) takeStale(e *entry, n int64) copied {
	s := c.shard(e.id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.entries[e.id] != e || !c.staleNow(e) || !e.spend(n, &c.limits) {
		return copied{}
	}
	return e.copy()
}

// usable says whether take would give something, without taking it.
func (c *Cache) usable(id identity, n int64) bool {
	e := c.find(id)
	if e == nil {
		return false
	}
	age := c.elapsed() - e.made
	return age >= 0 && age < c.limits.MaxAge && e.holds(n, &c.limits)
}

// insert puts an entry in its place, in that of an older one if there is one,
// and makes room. It says whether the entry is kept.
func (c *Cache) insert(e *entry) bool {
	if e.size > c.limits.MaxMemory {
		return false
	}
	c.admit.Lock()
	defer c.release()
	if c.ctx.Err() != nil || e.generation != c.generation {
		return false
	}
	older := c.find(e.id)
	if older != nil {
		c.forget(older, Replaced)
	}
	for len(c.ring.entries) >= c.limits.MaxEntries {
		c.remove(c.ring.victim(), Capacity)
	}
	for c.ring.size+e.size > c.limits.MaxMemory {
		c.remove(c.ring.victim(), Memory)
	}
	c.ring.add(e)
	// At once, so that nobody finds neither of them.
	s := c.shard(e.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[e.id] = e
	if older != nil {
		older.clear()
	}
	return true
}

// drop removes an entry if it is still there.
func (c *Cache) drop(e *entry, why Cause) {
	c.admit.Lock()
	defer c.release()
	if c.find(e.id) == e {
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
	c.forget(e, why)
}

// forget takes an entry out of the books. Cache.admit is held.
func (c *Cache) forget(e *entry, why Cause) {
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
	if why == Purged {
		c.generation++
	}
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
