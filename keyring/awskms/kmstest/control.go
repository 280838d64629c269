package kmstest

import (
	"strings"
	"sync"
	"time"
)

// A Match selects calls. An empty field selects any.
type Match struct {
	Region    string
	Operation string // such as "Decrypt"

	// Key is a key's ARN, or a key ID, which stands for the key of that ID in
	// every region.
	Key string
}

func (m Match) matches(region, operation string, keys ...string) bool {
	if m.Region != "" && m.Region != region || m.Operation != "" && m.Operation != operation {
		return false
	}
	for _, arn := range keys {
		if matchesKey(m.Key, arn) {
			return true
		}
	}
	return m.Key == ""
}

// matchesKey reports whether an ARN is meant by a key's ARN or ID, or by "".
func matchesKey(pattern, arn string) bool {
	return pattern == "" || pattern == arn || strings.HasSuffix(arn, ":key/"+pattern)
}

// controls are what a test does to the calls of its clients. Nothing of the
// store, or of a region, is locked while its mutex is held.
type controls struct {
	mu         sync.Mutex
	clock      func() time.Time
	tamperer   func(op string, answer map[string]any)
	denials    []*denial
	throttling []*throttle
}

type denial struct{ action, key string }

type throttle struct {
	match Match
	left  int // below 0: no end
}

// Deny has calls that need an action answered with AccessDeniedException, until
// the returned function is called.
//
// The action is as in a policy, such as "kms:Decrypt" or "Decrypt", or "" for all;
// ReEncrypt needs kms:ReEncryptFrom and kms:ReEncryptTo. The key is an ARN or a key
// ID, as in [Match], or "" for all. Rules add up.
func (s *Server) Deny(action, key string) (allow func()) {
	if action != "" && !strings.HasPrefix(action, "kms:") {
		action = "kms:" + action
	}
	if action == "kms:*" {
		action = ""
	}
	d := &denial{action, key}
	c := &s.controls
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denials = append(c.denials, d)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.denials = without(c.denials, d)
	}
}

// without returns the list without an element, leaving the old one as it is.
func without[T comparable](list []T, gone T) []T {
	var out []T
	for _, e := range list {
		if e != gone {
			out = append(out, e)
		}
	}
	return out
}

func (c *controls) denies(action, resource string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.denials {
		if (d.action == "" || d.action == action) && matchesKey(d.key, resource) {
			return true
		}
	}
	return false
}

// Throttle has the next n calls that match answered with ThrottlingException, or
// all of them if n is 0 or less, until the returned function is called. Mind that
// SDK clients retry such calls, and that each try counts.
func (s *Server) Throttle(m Match, n int) (lift func()) {
	if n <= 0 {
		n = -1
	}
	t := &throttle{m, n}
	c := &s.controls
	c.mu.Lock()
	defer c.mu.Unlock()
	c.throttling = append(c.throttling, t)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.throttling = without(c.throttling, t)
	}
}

// throttles reports whether a call is to be throttled, and counts it if so.
func (c *controls) throttles(call Call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.throttling {
		if t.left == 0 || !t.match.matches(call.Region, call.Operation, call.keys()...) {
			continue
		}
		if t.left > 0 {
			t.left--
		}
		return true
	}
	return false
}

// Latency has every call to a region wait for d before it is looked at; 0 ends
// that. Calls that are waiting already go on doing so.
func (s *Server) Latency(region string, d time.Duration) { s.mustRegion(region).setLatency(d) }

// SetClock replaces the clock, nil being time.Now. The function is called from
// many goroutines at once, and may call any method of the server but Close,
// Outage and Restore.
func (s *Server) SetClock(now func() time.Time) {
	if now == nil {
		now = time.Now
	}
	s.controls.mu.Lock()
	defer s.controls.mu.Unlock()
	s.controls.clock = now
}

func (c *controls) now() time.Time {
	c.mu.Lock()
	clock := c.clock
	c.mu.Unlock()
	return clock()
}

// Tamper has f change the answers of calls that succeeded before they are sent,
// so that a test can see what its client makes of them; nil ends that.
//
// The answer holds the members of the operation's output: strings, booleans,
// integers, []byte for blobs, float64 for timestamps (in seconds), []string, and
// maps and slices of maps of these. What is in it when f returns is sent. It
// belongs to that one call, and must not be kept. Operations without output, such
// as CreateAlias, do not come by. An answer that JSON cannot express is sent as
// KMSInternalException.
//
// The function is called from many goroutines at once, and may call any method of
// the server but Close, Outage and Restore.
func (s *Server) Tamper(f func(op string, answer map[string]any)) {
	s.controls.mu.Lock()
	defer s.controls.mu.Unlock()
	s.controls.tamperer = f
}

func (c *controls) tamper(op string, out answer) {
	c.mu.Lock()
	f := c.tamperer
	c.mu.Unlock()
	if f != nil {
		f(op, out)
	}
}
