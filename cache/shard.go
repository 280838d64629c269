package cache

import (
	"context"
	"sync"
)

// Entries are spread over shards by their identity, so that hits on different entries
// seldom wait for the same lock.
const shardCount = 16

type shard struct {
	mu      sync.RWMutex
	entries map[identity]*entry
}

// find returns the entry with an identity, which may be expired or used up, or nil.
func (c *Cache) find(id identity) *entry {
	s := c.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[id]
}

// take returns a copy of the materials of entry e for one message of n bytes. It returns no
// materials if e is nil, expired or used up, and drops e if it is of no use to anybody. It
// returns e as due if it is time to replace it. The caller has read-locked e's shard s,
// and take unlocks it.
func (c *Cache) take(s *shard, e *entry, n int64) (got copied, due *entry) {
	if e == nil {
		s.mu.RUnlock()
		return copied{}, nil
	}
	// The clock is read under the lock, and so after e was inserted. If e seems to be
	// made later than now, the clock went back, and e's age is unknown.
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
	// Set only if it is not set, since a write takes the cache line from other cores.
	if !e.used.Load() {
		e.used.Store(true)
	}
	if now >= e.refreshAt || e.nearlySpent(&c.limits) {
		return got, e
	}
	return got, nil
}

// staleNow says whether an entry is past MaxAge, and by less than StaleFor.
func (c *Cache) staleNow(e *entry) bool {
	age := c.elapsed() - e.made
	return age >= c.limits.MaxAge && age < c.limits.MaxAge+c.limits.StaleFor
}

// takeStale returns a copy of the materials of an entry that staleNow is true of, or none.
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

// usable says whether take would return materials. It counts no use.
func (c *Cache) usable(id identity, n int64) bool {
	e := c.find(id)
	if e == nil {
		return false
	}
	age := c.elapsed() - e.made
	return age >= 0 && age < c.limits.MaxAge && e.holds(n, &c.limits)
}

// insert puts an entry into the cache, in place of an older one with the same identity if
// there is one, and evicts others if they are too many. If there is a younger one, which
// others have loaded since, that stays, and insert clears the entry. It returns false if the
// entry may not be kept: it is too large, the cache is closed, or there was a purge.
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
	switch {
	case older == nil:
		c.admission.add(e, c.hash(e.id))
	case older.made > e.made:
		c.clear(e)
		return true
	default:
		c.admission.replace(older, e)
		c.lost(Replaced)
	}
	for why, over := c.admission.over(); over; why, over = c.admission.over() {
		victim := c.admission.victim(e)
		c.remove(victim, why)
		c.admission.gone(victim, c.hash(victim.id), why)
	}
	// In one step, so that there is no moment at which nobody finds either of them.
	s := c.shard(e.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[e.id] = e
	if older != nil {
		c.clear(older)
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
	c.clear(e)
	s.mu.Unlock()
	c.admission.remove(e)
	c.lost(why)
}

// lost counts an entry that was removed. Cache.admit is held.
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

// release unlocks admit, and then calls OnEvent for entries that were removed: not before,
// since OnEvent may call the cache.
func (c *Cache) release() {
	gone := c.gone
	c.gone = nil
	c.admit.Unlock()
	for _, why := range gone {
		c.event(context.Background(), Event{Kind: Evict, Cause: why})
	}
}
