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

	mu      sync.Mutex
	open    bool
	until   time.Time // when it may be tried again
	probing bool      // a call with the turn probe is under way
	misses  int       // in a row, while closed
	slow    int       // likewise
	waits   bool      // asking costs time: its last failure was a timeout
	lastErr error     // what opened it
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
	tooSlow                // it had not answered at all when another region had
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
func (b *breaker) report(t turn, r result, err error) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t == probe {
		b.probing = false
	}
	wasOpen := b.open
	if r != nothing {
		b.waits = r == timedOut
	}
	switch r {
	case nothing:
		return false
	case answered:
		b.open, b.misses, b.slow, b.lastErr = false, 0, 0, nil
		return wasOpen
	case failing:
		b.misses++
	case timedOut:
		b.misses = missesToOpen
	case tooSlow:
		b.slow++
	}
	if b.open || b.misses >= missesToOpen || b.slow >= slowToOpen {
		b.open, b.until = true, time.Now().Add(b.cooldown)
		if err != nil {
			b.lastErr = err
		}
	}
	return b.open && !wasOpen
}

// reason returns what opened the breaker, and whether asking all the same would
// cost the caller time for nothing: once the cooldown is over, and another call tries
// the region again, it may well be back.
func (b *breaker) reason() (err error, waits bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lastErr, b.waits && time.Now().Before(b.until)
}
