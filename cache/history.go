package cache

import (
	"hash/maphash"
	"time"
)

// A history remembers the frequency of entries that gave way to others, and why
// they went. It knows them by a hash whose seed is the cache's own, so that nobody
// can have one entry taken for another.
//
// It goes by periods: twice as many evictions as there are entries. What went in
// this period and in the one before is remembered, which is four times as many as
// there are entries at the most. What the one before says counts
// half, as do then the frequencies of the entries that are held.
type history struct {
	recent, before map[uint64]memory
	evictions      int    // in this period
	period         uint64 // the number of this one
}

// leastPeriod is the least number of evictions in a period, for small caches.
const leastPeriod = 32

// A memory is of one entry.
type memory struct {
	made      uint32 // in seconds of Cache.elapsed
	frequency uint8
	why       uint8 // a Cause
}

// remember adds an entry that goes. The cache has as many entries as is said.
func (h *history) remember(hash uint64, e *entry, why Cause, entries int) {
	if h.evictions >= max(leastPeriod, 2*entries) {
		h.before, h.recent = h.recent, nil
		h.evictions = 0
		h.period++
	}
	if h.recent == nil {
		h.recent = map[uint64]memory{}
	}
	h.evictions++
	h.recent[hash] = memory{uint32(e.made / time.Second), e.frequency, uint8(why)}
}

// recall returns the frequency that an entry begins with, which is one more than
// when it went, and forgets that it did.
func (h *history) recall(hash uint64) uint8 {
	m, ok := h.recent[hash]
	if !ok {
		if m, ok = h.before[hash]; !ok {
			return 1
		}
		m.frequency /= 2
	}
	delete(h.recent, hash)
	delete(h.before, hash)
	return min(m.frequency+1, mostFrequent)
}

// cause says why an entry gave way that would be young enough still, or 0.
func (h *history) cause(hash uint64, now, maxAge time.Duration) Cause {
	m, ok := h.recent[hash]
	if !ok {
		m, ok = h.before[hash]
	}
	if !ok || now-time.Duration(m.made)*time.Second >= maxAge {
		return 0
	}
	return Cause(m.why)
}

func (h *history) forget() { h.recent, h.before = nil, nil }

func (h *history) len() int { return len(h.recent) + len(h.before) }

func (c *Cache) hash(id identity) uint64 { return maphash.String(c.seed, string(id)) }

// gaveWay counts a miss if its entry was here and gave way to another, and returns
// by which limit.
func (c *Cache) gaveWay(id identity) Cause {
	hash := c.hash(id)
	c.admit.Lock()
	why := c.admission.history.cause(hash, c.elapsed(), c.limits.MaxAge)
	c.admit.Unlock()
	if why != 0 {
		c.counters.capacityMisses.Add(1)
	}
	return why
}
