package cache

// An admission decides which entries stay when there is no room for all. Anybody who can
// send messages can have thousands of entries made at no cost. So an entry displaces one
// that is in use only after it has been asked for again itself.
//
// New entries wait in probation, a queue that has a tenth of the room. When there are too
// many, the oldest entry in probation moves on to main, the rest of the room, if main is
// not full, or displaces the coldest entry of main if it has a higher frequency. Else it
// is evicted. So entries that are used once pass through probation and leave main alone.
// And when more entries are used in turns than there is room for, those in main stay and
// are hit.
//
// An entry's frequency counts its loads, and how often admission has looked at it and
// found that it had been used since the last look. So many uses in a row count as one,
// and cannot push others out. The history remembers the frequency for a while after the
// entry is gone.
//
// The scheme is W-TinyLFU, with two changes: a clock stands in for the exact order of use,
// and the history for a sketch of all entries' frequencies. All of it is guarded by
// Cache.admit, except that a hit sets entry.used.
type admission struct {
	maxEntries int // 0 for no limit
	maxMemory  int64

	probation, main list
	history         history

	// longest is the size of the largest entry so far. Probation always has room for one
	// of that size, so that a large entry displaces none of main for its size.
	longest int64
}

// maxFrequency is the highest frequency. With a higher one, entries that are no longer used
// would stay longer.
const maxFrequency = 3

func (a *admission) len() int    { return a.probation.len + a.main.len }
func (a *admission) size() int64 { return a.probation.size + a.main.size }

// fits says whether an entry may be kept: it takes at most half of the memory.
func (a *admission) fits(e *entry) bool { return e.size <= a.maxMemory/2 }

// over says whether an entry must be evicted, and by which limit.
func (a *admission) over() (why Cause, over bool) {
	switch {
	case a.maxEntries > 0 && a.len() > a.maxEntries:
		return Capacity, true
	case a.size() > a.maxMemory:
		return Memory, true
	}
	return 0, false
}

// probationEntries and probationMemory are probation's share of the room.
func (a *admission) probationEntries() int  { return max(a.maxEntries/10, 1) }
func (a *admission) probationMemory() int64 { return max(a.maxMemory/10, a.longest) }

func (a *admission) probationOver() bool {
	return a.maxEntries > 0 && a.probation.len > a.probationEntries() || a.probation.size > a.probationMemory()
}

// mainHolds says whether main has room for e beside what it has.
func (a *admission) mainHolds(e *entry) bool {
	return (a.maxEntries == 0 || a.main.len < a.maxEntries-a.probationEntries()) &&
		a.main.size+e.size <= a.maxMemory-a.probationMemory()
}

// add puts a new entry into probation. The caller then evicts for as long as over says so.
func (a *admission) add(e *entry, hash uint64) {
	e.frequency, e.period = a.history.recall(hash), a.history.period
	a.longest = max(a.longest, e.size)
	a.probation.add(e)
}

// replace puts an entry in the place of an older one for the same requests.
func (a *admission) replace(older, e *entry) {
	e.frequency, e.period = older.frequency, older.period
	e.used.Store(older.used.Load())
	a.longest = max(a.longest, e.size)
	older.list.replace(older, e)
}

// remove takes an entry out.
func (a *admission) remove(e *entry) { e.list.remove(e) }

// victim returns the entry to evict. It is not newest, which somebody has just loaded.
func (a *admission) victim(newest *entry) *entry {
	for {
		oldest := a.probation.oldest
		if oldest != nil && oldest == newest {
			oldest = oldest.newer
		}
		if oldest == nil || !a.probationOver() {
			if coldest := a.coldest(newest); coldest != nil {
				return coldest
			}
			return oldest
		}
		if a.mainHolds(oldest) {
			a.probation.remove(oldest)
			a.main.add(oldest)
			continue
		}
		a.count(oldest)
		if oldest.frequency < 2 {
			return oldest
		}
		// If oldest wins, it moves to main at the next call, when there is room.
		coldest := a.coldest(newest)
		if coldest == nil || !oldest.displaces(coldest) {
			return oldest
		}
		return coldest
	}
}

// displaces says whether an entry takes the place of another in main. Its frequency must
// be higher by two: else entries that are used in turns would displace each other.
func (e *entry) displaces(in *entry) bool {
	return e.frequency > in.frequency+1
}

// coldest returns the first entry of main that has not been used since the last look, or
// nil if main has none but newest. All entries that it looks at, the result included, move
// to the end of the queue.
func (a *admission) coldest(newest *entry) (coldest *entry) {
	// The second round finds one, since the first took note of all use; unless hits come
	// in between, and then the last entry looked at has to do.
	for range 2 * a.main.len {
		e := a.main.oldest
		a.main.remove(e)
		a.main.add(e)
		if e == newest {
			continue
		}
		coldest = e
		if used := a.count(e); !used {
			break
		}
	}
	return coldest
}

// count looks at an entry: it adds one to the frequency if the entry was used since the
// last look, and says whether it was. Before, it halves the frequency once for each period
// of the history that has passed, so that entries which are no longer used give way.
func (a *admission) count(e *entry) (used bool) {
	e.frequency >>= min(a.history.period-e.period, 8)
	e.period = a.history.period
	if !e.used.Swap(false) {
		return false
	}
	e.frequency = min(e.frequency+1, maxFrequency)
	return true
}

// gone puts an entry that was evicted into the history.
func (a *admission) gone(e *entry, hash uint64, why Cause) {
	a.count(e)
	a.history.remember(hash, e, why, a.len())
}

// A list is a queue of entries.
type list struct {
	oldest, newest *entry
	len            int
	size           int64
}

func (l *list) add(e *entry) {
	e.list, e.older, e.newer = l, l.newest, nil
	if l.newest == nil {
		l.oldest = e
	} else {
		l.newest.newer = e
	}
	l.newest = e
	l.len++
	l.size += e.size
}

func (l *list) remove(e *entry) {
	*l.fromOlder(e), *l.fromNewer(e) = e.newer, e.older
	e.list, e.older, e.newer = nil, nil, nil
	l.len--
	l.size -= e.size
}

// replace puts e where older is.
func (l *list) replace(older, e *entry) {
	e.list, e.older, e.newer = l, older.older, older.newer
	*l.fromOlder(older), *l.fromNewer(older) = e, e
	older.list, older.older, older.newer = nil, nil, nil
	l.size += e.size - older.size
}

// fromOlder and fromNewer return the pointers of its neighbours, or of the list, that point
// to an entry.
func (l *list) fromOlder(e *entry) **entry {
	if e.older == nil {
		return &l.oldest
	}
	return &e.older.newer
}

func (l *list) fromNewer(e *entry) **entry {
	if e.newer == nil {
		return &l.newest
	}
	return &e.newer.older
}
