package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

const (
	// outageMemory is how long the key service is taken to be out after a load has met
	// an outage. Limits.StaleFor documents it.
	outageMemory = 30 * time.Second

	// How long after the last failure the background tries again: firstProbe after the
	// first one, twice as long after each further one, and lastProbe at the most.
	firstProbe = time.Second
	lastProbe  = 8 * time.Second
)

// outages records the loads that were to replace one entry and met an outage.
type outages struct {
	mu       sync.Mutex
	failures int
	last     time.Duration // when the last of them failed, by Cache.elapsed
	probing  bool          // a load to find out whether the outage is over is under way
}

// recordFailure records a load that met an outage.
func (o *outages) recordFailure(now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures++
	o.last = now
}

// state says whether the key service is taken to be out, and whether it is time for a
// probe. If so, the caller must start one, which calls probeEnded at its end.
func (o *outages) state(now time.Duration) (out, probe bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failures == 0 {
		return false, false
	}
	if o.probing {
		return true, false
	}
	since := now - o.last
	if since < 0 || since >= outageMemory {
		return false, false
	}
	o.probing = since >= min(firstProbe<<min(o.failures-1, 10), lastProbe)
	return true, o.probing
}

// probeEnded says that a probe has ended.
func (o *outages) probeEnded() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.probing = false
}

// loadFailed decides about the entry that a load was to replace, if there is one, when the
// load has failed. After a refusal the entry is dropped. After an outage it is kept, for
// StaleFor. After any other error it is kept up to MaxAge and not longer.
func (c *Cache) loadFailed(id identity, err error) {
	e := c.find(id)
	if e == nil {
		return
	}
	now := c.elapsed()
	switch outage, refusal := classify(err); {
	case refusal:
		c.drop(e, Purged)
	case outage:
		e.outages.recordFailure(now)
	case now-e.made >= c.limits.MaxAge:
		c.drop(e, Purged)
	}
}

// unavailable says whether an error is an outage, and no part of it is a refusal.
func unavailable(err error) bool {
	outage, refusal := classify(err)
	return outage && !refusal
}

// classify says whether a part of an error is an outage, and whether one is a refusal by a
// key service or a policy. Limits.StaleFor says what makes an error one or the other. A
// part that is neither, such as the error of a keyring that has no key for the message,
// changes nothing.
func classify(err error) (outage, refusal bool) {
	if err == nil {
		return false, false
	}
	r, canRefuse := err.(interface{ Refused() bool })
	u, knows := err.(interface{ Unavailable() bool })
	switch {
	case canRefuse && r.Refused():
		return false, true
	case knows && u.Unavailable():
		return true, false
	case knows && !canRefuse:
		return false, true
	case canRefuse || knows:
		return false, false
	}
	switch err {
	case keyring.ErrUnavailable:
		return true, false
	case keyring.ErrPolicy:
		return false, true
	}
	if is, ok := err.(interface{ Is(error) bool }); ok && is.Is(keyring.ErrUnavailable) {
		return true, false
	}
	if t, ok := err.(interface{ Timeout() bool }); ok && t.Timeout() {
		return true, false
	}
	var parts []error
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		parts = []error{u.Unwrap()}
	case interface{ Unwrap() []error }:
		parts = u.Unwrap()
	}
	for _, part := range parts {
		o, r := classify(part)
		outage, refusal = outage || o, refusal || r
	}
	return outage, refusal
}

// rejected says whether the request is to blame for an error, and not the key service: the
// caller expects what does not hold, or no key here has wrapped the message.
func rejected(err error) bool {
	if errors.Is(err, message.ErrBlamesMessage) {
		outage, _ := classify(err)
		return !outage
	}
	if ofService(err) && !errors.Is(err, keyring.ErrPolicy) {
		return false
	}
	for _, blames := range []error{
		keyring.ErrContextMismatch, keyring.ErrNoMatchingKey, keyring.ErrInvalidArgument, keyring.ErrPolicy, message.ErrMalformed,
	} {
		if errors.Is(err, blames) {
			return true
		}
	}
	return false
}

// ofService says whether a part of an error comes from a key service: it is an outage, a
// refusal, or has a method that could say so.
func ofService(err error) bool {
	outage, refusal := classify(err)
	var u interface{ Unavailable() bool }
	var r interface{ Refused() bool }
	return outage || refusal || errors.As(err, &u) || errors.As(err, &r)
}

// asUnavailable returns err, wrapped with [keyring.ErrUnavailable] if it is an outage and
// does not wrap that already.
func asUnavailable(err error) error {
	if !unavailable(err) || errors.Is(err, keyring.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("cache: %w: %w", keyring.ErrUnavailable, err)
}

var errIgnoresContext = fmt.Errorf("cache: %w: the materials manager did not heed its context: %w", keyring.ErrUnavailable, context.DeadlineExceeded)
