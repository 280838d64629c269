package cache

// An admission decides which entries stay where there is no room for all. Who may
// send messages may have entries made, by the thousand and at no cost: an entry
// therefore has to have been asked for again before it displaces one that was.
//
// New entries wait in probation, a queue that has a tenth of the room. Its oldest
// goes on to main if that has room, or if its frequency is higher than that of the
// coldest entry there. Else it goes itself. So a stream of entries that are used
// once flows through probation alone, and of a round of more entries than there is
// room for, those in main stay and are hit.
//
// An entry's frequency is how often it was loaded, and found used when it was looked
// at. Many uses in a row count as one, so that they are no way to push others out.
// It is remembered in history for a while after the entry is gone.
//
// The scheme is W-TinyLFU's, with a clock instead of exact order, and what is known
// of entries that were held lately instead of a sketch of all there are. All of it is
// guarded by Cache.admit, except that a hit sets entry.used.
type admission struct {
	maxEntries int // 0 for no limit
	maxMemory  int64

	probation, main list
	history         history

	// longest is the longest entry that came: probation has room for it, so that
	// nothing in main goes for an entry because that is long.
	longest int64
}

// mostFrequent is where frequencies end. The higher, the longer does what was hot
// stay when it is not any more.
const mostFrequent = 3

func (a *admission) len() int    { return a.probation.len + a.main.len }
func (a *admission) size() int64 { return a.probation.size + a.main.size }

// fits says whether an entry is short enough to be kept: two always have room.
func (a *admission) fits(e *entry) bool { return e.size <= a.maxMemory/2 }

// over says whether something has to go, and by which limit.
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

// add takes in an entry that is new. Others may have to go for it.
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

// victim returns the entry to give up, now that there is one too many. It is not
// newest, which somebody has just loaded.
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
		// If oldest wins it goes on to main as soon as there is room.
		coldest := a.coldest(newest)
		if coldest == nil || !oldest.displaces(coldest) {
			return oldest
		}
		return coldest
	}
}

// displaces says whether an entry takes the place of another in main. Counts that
// differ by one do not: entries that are used in turns would displace each other.
func (e *entry) displaces(in *entry) bool {
	return e.frequency > in.frequency+1
}

// coldest returns an entry of main that has not been used since it was last looked
// at, or nil if main is empty but for newest. The ones it passes go to the end of
// the queue, and so does the result, should it stay.
func (a *admission) coldest(newest *entry) (coldest *entry) {
	// The second time round finds one, unless hits keep coming meanwhile.
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

// count adds to an entry's frequency if it was used since the last time, and says
// whether it was. Frequencies halve with each period of the history, so that what
// was hot once gives way in the end.
func (a *admission) count(e *entry) (used bool) {
	e.frequency >>= min(a.history.period-e.period, 8)
	e.period = a.history.period
	if !e.used.Swap(false) {
		return false
	}
	e.frequency = min(e.frequency+1, mostFrequent)
	return true
}

// gone remembers an entry that gave way.
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

// fromOlder and fromNewer are the links that lead to an entry, from either side.
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
