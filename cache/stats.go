package cache

import (
	"context"
	"fmt"
	"time"
)

// Stats are counts since a cache was made, and its present size.
type Stats struct {
	// Hits are requests that were answered from the cache at once, Misses those
	// that were not, and Bypasses those that the cache passes on to the manager. Shared
	// are misses that waited for a load which another caller had started.
	Hits, Misses, Shared, Bypasses uint64

	// CapacityMisses are misses that a larger cache would save: the data key was in the
	// cache, had to give way to others by MaxEntries or MaxMemory, and would still be
	// young enough. The count is somewhat too low when far more data keys are in use
	// than there is room for, since the cache forgets those that gave way long ago.
	CapacityMisses uint64

	// Loads are requests to the manager, and Refreshes those of them that were made
	// in the background.
	Loads, Refreshes uint64

	// LoadsRejected are loads that failed by the request's fault: a wrong encryption
	// context, or a message that no key here has wrapped. LoadsFailed are all other
	// loads that failed. A load that was cancelled, since its callers had gone away, is
	// in neither.
	LoadsFailed, LoadsRejected uint64

	// StaleUses are uses of a data key past its age, in an outage.
	StaleUses uint64

	// CallsSaved are the hits and misses less the loads, or zero.
	CallsSaved uint64

	// Evicted are entries that are gone, by cause.
	Evicted map[Cause]uint64

	// Entries and Bytes are the data keys in the cache now, and an estimate of the memory
	// that they take.
	Entries int
	Bytes   int64

	// Oldest is the age of the oldest of them, or zero. It is past Limits.MaxAge in an
	// outage, and also for a data key that nobody has used for as long.
	Oldest time.Duration
}

// Stats returns the counts. They are taken one after another, while others go on. It looks
// at each entry: so call it now and then, and not for each message.
func (c *Cache) Stats() Stats {
	n := &c.counters
	s := Stats{
		Hits: n.hits.Load(), Misses: n.misses.Load(), Shared: n.shared.Load(), Bypasses: n.bypasses.Load(),
		Loads: n.loads.Load(), Refreshes: n.refreshes.Load(), LoadsFailed: n.failed.Load(), LoadsRejected: n.rejected.Load(),
		StaleUses: n.staleUses.Load(), CapacityMisses: n.capacityMisses.Load(),
		Evicted: map[Cause]uint64{},
	}
	for cause := Expired; cause <= Replaced; cause++ {
		s.Evicted[cause] = n.evicted[cause].Load()
	}
	if asked := s.Hits + s.Misses; asked > s.Loads {
		s.CallsSaved = asked - s.Loads
	}
	c.admit.Lock()
	s.Entries, s.Bytes = c.admission.len(), c.admission.size()
	c.admit.Unlock()
	s.Oldest = c.oldest()
	return s
}

// oldest returns the age of the oldest entry.
func (c *Cache) oldest() (age time.Duration) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		now := c.elapsed()
		for _, e := range s.entries {
			age = max(age, now-e.made)
		}
		s.mu.RUnlock()
	}
	return age
}

// A Cause is why an entry is gone.
type Cause int

const (
	Expired   Cause = iota + 1 // reached MaxAge, and StaleFor
	Exhausted                  // reached MaxMessages or MaxBytes
	Capacity                   // gave way to another, by MaxEntries
	Memory                     // gave way to another, by MaxMemory
	Purged                     // by Purge, Close, or an error that ended its use
	Replaced                   // by a new data key for the same requests
)

// String returns the cause's name.
func (c Cause) String() string {
	switch c {
	case 0:
		return "none"
	case Expired:
		return "expired"
	case Exhausted:
		return "exhausted"
	case Capacity:
		return "capacity"
	case Memory:
		return "memory"
	case Purged:
		return "purged"
	case Replaced:
		return "replaced"
	}
	return fmt.Sprintf("Cause(%d)", int(c))
}

// An EventKind is what an [Event] is about.
type EventKind int

// The first five are how a request was answered, or failed: each request is told once, when
// it ends. One that waited and then had to use a data key past its age is a StaleUse. One
// that fails at once, since its context is done, the cache closed or the request malformed,
// is not told, and neither is a Bypass in which the manager panics.
const (
	Hit      EventKind = iota + 1 // answered from the cache, at once
	StaleUse                      // answered with a data key past its age, in an outage
	Waited                        // waited for a load that another caller had started, as Stats.Shared counts
	Miss                          // answered by a load of its own
	Bypass                        // passed on to the manager, since it may not be cached

	Load         // materials that the manager made
	LoadFailed   // a load that counts in Stats.LoadsFailed
	LoadRejected // a load that counts in Stats.LoadsRejected
	Refresh      // a load in the background that begins
	Evict        // an entry that is gone
)

// String returns the kind's name.
func (k EventKind) String() string {
	switch k {
	case Hit:
		return "hit"
	case StaleUse:
		return "stale use"
	case Waited:
		return "waited"
	case Miss:
		return "miss"
	case Bypass:
		return "bypass"
	case Load:
		return "load"
	case LoadFailed:
		return "load failed"
	case LoadRejected:
		return "load rejected"
	case Refresh:
		return "refresh"
	case Evict:
		return "evict"
	}
	return fmt.Sprintf("EventKind(%d)", int(k))
}

// An Event is something that a cache did.
type Event struct {
	Kind EventKind

	// Cause is why the entry of an Evict is gone. For a Miss or Waited that counts in
	// Stats.CapacityMisses it is which limit the entry gave way by. Else it is zero.
	Cause Cause

	// Duration is how long the request waited, or the load took. It is zero for a Hit, a
	// Refresh, which only begins, and an Evict.
	Duration time.Duration

	// Err is why the request or the load failed, or nil.
	Err error
}

func (c *Cache) event(ctx context.Context, e Event) {
	if c.limits.OnEvent != nil {
		c.limits.OnEvent(ctx, e)
	}
}
