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
	if !e.used.Load() {
		e.used.Store(true)
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
	if !c.admission.fits(e) {
		return false
	}
	c.admit.Lock()
	defer c.release()
	if c.ctx.Err() != nil || e.generation != c.generation {
		return false
	}
	older := c.find(e.id)
	if older != nil {
		c.admission.replace(older, e)
		c.lost(Replaced)
	} else {
		c.admission.add(e, c.hash(e.id))
	}
	for why, over := c.admission.over(); over; why, over = c.admission.over() {
		victim := c.admission.victim(e)
		c.remove(victim, why)
		c.admission.gone(victim, c.hash(victim.id), why)
	}
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
	c.admission.remove(e)
	c.lost(why)
}

// lost counts an entry that is gone. Cache.admit is held.
func (c *Cache) lost(why Cause) {
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
	for _, l := range []*list{&c.admission.probation, &c.admission.main} {
		for e := l.oldest; e != nil; {
			next := e.newer
			if match(e) {
				c.remove(e, why)
			}
			e = next
		}
	}
	if why == Purged && c.admission.len() == 0 {
		c.admission.history.forget()
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
