package cache

import (
	"hash/maphash"
	"time"
)

// A history remembers entries that were evicted: how frequently they were used, and by
// which limit they had to go. It stores a hash of the identity. The hash has a seed of
// the cache's own, so that nobody can choose two identities with the same hash.
//
// Time is divided into periods. A period ends when there have been twice as many evictions
// in it as the cache has entries. The history has the evictions of this period and of the
// one before, and so at most four times as many entries as the cache. With each new
// period, frequencies are halved: those from the period before by recall, and those of
// entries in the cache by admission.count.
type history struct {
	recent, before map[uint64]memory // evicted in this period, and in the one before
	evictions      int               // in this period
	period         uint64            // its number
}

// leastPeriod is the least number of evictions in a period, for small caches.
const leastPeriod = 32

// A memory is what the history has of one entry.
type memory struct {
	made      uint32 // entry.made, in seconds
	frequency uint8
	why       uint8 // a Cause
}

// remember adds an entry that was evicted. entries is how many the cache has.
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

// recall returns the frequency that a new entry begins with, and removes it from the
// history. It is one for an entry that is not there. For one that is, it is what is
// remembered, halved if that is from the period before, and one more for the new load.
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
	return min(m.frequency+1, maxFrequency)
}

// cause returns the limit by which an entry was evicted, or 0 if it is not in the history
// or would be too old by now.
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

// capacityMiss counts a miss in Stats.CapacityMisses if its entry was evicted for want of
// room. It returns the limit that was reached, or 0.
func (c *Cache) capacityMiss(id identity) Cause {
	hash := c.hash(id)
	c.admit.Lock()
	why := c.admission.history.cause(hash, c.elapsed(), c.limits.MaxAge)
	c.admit.Unlock()
	if why != 0 {
		c.counters.capacityMisses.Add(1)
	}
	return why
}
