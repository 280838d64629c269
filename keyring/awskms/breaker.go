package awskms

import (
	"sync"
	"time"
)

// A breaker remembers that a region did not answer, so that not every call waits
// for its timeout. While it is open the region is asked last; after the cooldown
// one call at a time tries it again.
type breaker struct {
	cooldown time.Duration

	mu      sync.Mutex
	open    bool
	until   time.Time // when it may be tried again
	probing bool
}

// admit says whether the region should be asked in its turn, and not last.
func (b *breaker) admit() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true
	}
	if b.probing || time.Now().Before(b.until) {
		return false
	}
	b.probing = true
	return true
}

// report takes the result of a call that the region was asked for, and says
// whether it opened or closed the breaker. A call that says nothing about the
// region, because its caller went away, is reported as abandoned.
func (b *breaker) report(r result) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	switch r {
	case answered:
		changed, b.open = b.open, false
	case unavailable:
		changed, b.open = !b.open, true
		b.until = time.Now().Add(b.cooldown)
	}
	return changed
}

type result int

const (
	answered    result = iota // also with a refusal
	unavailable               // see Error.Unavailable
	abandoned
)
