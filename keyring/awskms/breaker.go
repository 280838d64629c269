package awskms

import (
	"sync"
	"time"
)

// A breaker remembers that a region does not answer, so that not each call has to wait
// for the timeout. While it is open, the region is down: it is asked last or not at all.
// After the cooldown, one call at a time tries the region again. Any answer closes it.
type breaker struct {
	cooldown time.Duration
	timeout  time.Duration // how long the region may take

	mu      sync.Mutex
	open    bool
	until   time.Time // when it may be tried again
	probing bool      // a call with the turn probe is under way
	misses  int       // failures since the last answer
	slow    int       // results tooSlow since the last answer
	waits   bool      // the last result was timedOut: asking costs time
	tried   time.Time // while open: when skip last let a call try, or when it opened
	lastErr error     // the last failure that opened it, or kept it open

	// waited is how long calls have waited without an answer since the last one. Only
	// cutShort calls count, and time in which several waited counts once.
	waited time.Duration
	from   time.Time // the time up to which waited is counted
}

// A turn says how a call may ask a region. Each turn must be reported once.
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

// A result is what the calls of one turn have shown of the region.
type result int

const (
	nothing  result = iota // no call was sent, or the caller went away
	answered               // KMS answered, be it with a refusal
	failing                // it failed otherwise: goOn says which errors are failures
	timedOut               // no answer came in all the time that a region may take
	tooSlow                // no answer had come when a region that was asked later answered
	cutShort               // no answer came in the shorter time that the caller had
)

// How many results failing or tooSlow in a row open a breaker. One is not enough, since a
// dropped connection says little of a region, and costs little time. timedOut opens it at
// once.
const (
	missesToOpen = 2
	slowToOpen   = 3
)

// report takes the result of a turn. It says whether the breaker has opened or closed by
// that. waited is for cutShort, and err is the error of the calls.
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

// waitedInVain adds the time that a cutShort call has waited, and says whether it is in all
// as long as the region may take.
func (b *breaker) waitedInVain(d time.Duration) bool {
	now := time.Now()
	if since := now.Sub(b.from); since < d {
		d = since
	}
	b.from = now
	b.waited += d
	return b.waited >= b.timeout
}

// skip says whether a call leaves out the region, which was down when the call began, and
// does not ask it to wrap a data key that another region has made. required says that
// MinRegions is not reached without it. The error is what took the region down.
//
//	                        required                    not required
//	fails at once (!waits)  ask                         ask after the cooldown
//	costs time (waits)      ask after the cooldown,     do not ask
//	                        and once a second before
func (b *breaker) skip(required bool) (why error, skip bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case !b.open:
		return nil, false // it has just come back
	case !b.waits && (required || !now.Before(b.until)):
		return b.lastErr, false
	case !required:
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

// retryEvery is how often skip lets a call ask a region that costs time, before the
// cooldown is over.
const retryEvery = time.Second
