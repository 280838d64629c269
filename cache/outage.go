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
	// outageMemory is how long after a load failed for an outage the key service is
	// taken to be out. Limits.StaleFor documents it.
	outageMemory = 30 * time.Second

	// The key service is looked at again in the background once a moment has passed
	// since the last failure. The moment doubles with each.
	firstProbe = time.Second
	lastProbe  = 8 * time.Second
)

// outages are what is known of the key service by failures to replace one entry.
type outages struct {
	mu       sync.Mutex
	failures int
	last     time.Duration // the moment of the last, by Cache.elapsed
	probing  bool          // a background load looks whether it is over
}

// met records a load that failed for an outage.
func (o *outages) met(now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures++
	o.last = now
}

// known says whether the key service is known to be out, and whether it is time
// to look whether it is back: then the caller does, and calls looked.
func (o *outages) known(now time.Duration) (known, probe bool) {
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

// looked ends what known began.
func (o *outages) looked() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.probing = false
}

// settle deals with the entry that was to be replaced, when loading failed. An
// outage leaves it, for StaleFor. A refusal ends what was granted before. Of
// another error nothing is known, so that the entry lives to its age, and not
// past it.
func (c *Cache) settle(id identity, err error) {
	e := c.find(id)
	if e == nil {
		return
	}
	now := c.elapsed()
	switch outage, refusal := verdict(err); {
	case refusal:
		c.drop(e, Purged)
	case outage:
		e.outages.met(now)
	case now-e.made >= c.limits.MaxAge:
		c.drop(e, Purged)
	}
}

// unavailable says whether an error comes from an outage, and no key service has
// said no.
func unavailable(err error) bool {
	outage, refusal := verdict(err)
	return outage && !refusal
}

// verdict says whether an error comes from an outage, and whether a key service, or
// a policy, has said no. Parts of an error that are neither, as another keyring's
// that has no key for a message, say nothing.
func verdict(err error) (outage, refusal bool) {
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
		o, r := verdict(part)
		outage, refusal = outage || o, refusal || r
	}
	return outage, refusal
}

// rejected says whether an error blames the request, and not the key service: what
// the caller expects, or a message that no key here has wrapped.
func rejected(err error) bool {
	if errors.Is(err, message.ErrBlamesMessage) {
		outage, _ := verdict(err)
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

// ofService says whether a part of an error comes from a key service: it says whether
// that is unavailable or has refused, or is a timeout.
func ofService(err error) bool {
	outage, refusal := verdict(err)
	var u interface{ Unavailable() bool }
	var r interface{ Refused() bool }
	return outage || refusal || errors.As(err, &u) || errors.As(err, &r)
}

// asUnavailable has an error that comes from an outage be [keyring.ErrUnavailable].
func asUnavailable(err error) error {
	if !unavailable(err) || errors.Is(err, keyring.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("cache: %w: %w", keyring.ErrUnavailable, err)
}

var errIgnoresContext = fmt.Errorf("cache: %w: the materials manager did not heed its context: %w", keyring.ErrUnavailable, context.DeadlineExceeded)
