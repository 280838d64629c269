package awskms

import (
	"sync"
	"time"
)

// A breaker remembers that a region does not answer, so that not every call waits
// for its timeout. While it is open the region is asked last or not at all; after
// the cooldown one call at a time tries it again.
type breaker struct {
	cooldown time.Duration
	timeout  time.Duration // how long the region may take

	mu      sync.Mutex
	open    bool
	until   time.Time // when it may be tried again
	probing bool      // a call with the turn probe is under way
	misses  int       // in a row, while closed
	slow    int       // likewise
	waits   bool      // asking costs time: its last failure was a timeout
	tried   time.Time // when it was last asked, or could have been, while open
	lastErr error     // what opened it

	// waited is how long calls have waited in vain since the last answer, that had
	// less time than the region may take. Those of several at once count once.
	waited time.Duration
	from   time.Time // up to when that is counted
}

// A turn is what a call to a region is, as the breaker sees it. Each must be
// reported, once.
type turn int

const (
	regular    turn = iota
	probe           // the one call that tries a region again
	lastResort      // the region is down, and not to be asked if there is another
)

// admit says how the region may be asked.
func (b *breaker) admit() turn {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open:
		return regular
	case b.probing || time.Now().Before(b.until):
		return lastResort
	default:
		b.probing = true
		return probe
	}
}

// A result is what a call told of the region.
type result int

const (
	nothing  result = iota // it was not made, or its caller went away
	answered               // also with a refusal
	failing                // see Error.Unavailable
	timedOut               // failing, after all the time that a region may take
	tooSlow                // it had not answered at all when one that was asked later had
	cutShort               // it had less time than it may take, and no answer came
)

// Failures that cost little open a breaker only when they come in a row, since
// one dropped connection says little of a region. A timeout opens it at once, if
// the region had all the time that the configuration gives it: a caller in a hurry
// says nothing of a region.
const (
	missesToOpen = 2
	slowToOpen   = 3
)

// report takes what came of a turn, and says whether it opened or closed the
// breaker.
func (b *breaker) report(t turn, r result, waited time.Duration, err error) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t == probe {
		b.probing = false
	}
	wasOpen := b.open
	if r != nothing && r != cutShort {
		b.waits = r == timedOut
	}
	switch r {
	case nothing:
		return false
	case answered:
		b.open, b.misses, b.slow, b.waited, b.lastErr = false, 0, 0, 0, nil
		return wasOpen
	case failing:
		b.misses++
	case timedOut:
		b.misses = missesToOpen
	case tooSlow:
		b.slow++
	case cutShort:
		if !b.waitedInVain(waited) {
			return false
		}
	}
	if b.open || b.misses >= missesToOpen || b.slow >= slowToOpen || r == cutShort {
		if !b.open {
			b.tried = time.Now()
		}
		b.open, b.until, b.waited = true, time.Now().Add(b.cooldown), 0
		if err != nil {
			b.lastErr = err
		}
	}
	return b.open && !wasOpen
}

// waitedInVain adds up the time that calls without an answer have waited, and says
// whether it is as long as the region may take.
func (b *breaker) waitedInVain(d time.Duration) bool {
	now := time.Now()
	if since := now.Sub(b.from); since < d {
		d = since
	}
	b.from = now
	b.waited += d
	return b.waited >= b.timeout
}

// needed says whether the region, which is down, is not to be asked by a call that
// another region has served, and why it is down. A call that needs it asks it all the
// same, unless that costs time for nothing: after the cooldown, while another call
// tries it again, and once in a second before. One that does not need it asks it after
// the cooldown, if it is quick to fail.
func (b *breaker) needed(needs bool) (why error, down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case !b.open:
		return nil, false // it has just come back
	case !b.waits && (needs || !now.Before(b.until)):
		return b.lastErr, false
	case !needs:
		return b.lastErr, true
	case !now.Before(b.until):
		return b.lastErr, false
	case now.Sub(b.tried) >= retryEvery:
		b.tried = now
		return b.lastErr, false
	default:
		return b.lastErr, true
	}
}

// retryEvery is how often a region that does not answer is asked before the cooldown is
// over, by calls that fail without it.
const retryEvery = time.Second
