package kmstest

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Call is the record of one request that reached a region, whether it was
// answered or not.
type Call struct {
	Time      time.Time // by the server's clock
	Region    string
	Operation string // "" if there is no such operation
	RequestID string // the header of the answer

	// KeyID is what the client sent to name the key, or the source of
	// ReEncrypt, or the target of an alias: at most 2048 bytes of it. It is empty
	// if the client sent none.
	KeyID string

	// Key is the ARN of that key, or of the one that made the ciphertext if none
	// was named; empty if there is no such key. DestinationKey is that of
	// ReEncrypt's destination.
	Key, DestinationKey string

	// EncryptionContext is what the client sent, for ReEncrypt that of the source, and
	// DestinationContext that of ReEncrypt's destination. They and GrantTokens are left
	// out if they are longer than the service allows.
	EncryptionContext  map[string]string
	DestinationContext map[string]string
	GrantTokens        []string
	DryRun             bool

	// UserAgent is the header, at most 1024 bytes of it.
	UserAgent string

	// Status is that of the HTTP answer, or 0 while there is none. Error is the
	// answer's error code, such as "ThrottlingException", or empty.
	Status int
	Error  string
}

func (c Call) keys() []string {
	if c.DestinationKey == "" {
		return []string{c.Key}
	}
	return []string{c.Key, c.DestinationKey}
}

func (c Call) clone() Call {
	c.EncryptionContext = maps.Clone(c.EncryptionContext)
	c.DestinationContext = maps.Clone(c.DestinationContext)
	c.GrantTokens = slices.Clone(c.GrantTokens)
	return c
}

// describe returns the record of a request.
func (s *Server) describe(region, op, id string, now time.Time, r *request, req *http.Request) Call {
	c := Call{
		Time:      now,
		Region:    region,
		Operation: op,
		RequestID: id,
		DryRun:    r.DryRun,
		UserAgent: clip(req.UserAgent(), 1024),
	}
	name, ec := r.KeyId, r.EncryptionContext
	switch op {
	case "ReEncrypt":
		name, ec = r.SourceKeyId, r.SourceEncryptionContext
		c.DestinationKey = s.quietly(region, r.DestinationKeyId, nil, now)
	case "CreateAlias", "UpdateAlias":
		name = r.TargetKeyId
	case "DeleteAlias":
		name = r.AliasName
	}
	c.KeyID = clip(name, maxKeyID)
	c.Key = s.quietly(region, name, r.CiphertextBlob, now)
	if contextSize(ec) <= maxContext {
		c.EncryptionContext = ec
	}
	if to := r.DestinationEncryptionContext; contextSize(to) <= maxContext {
		c.DestinationContext = to
	}
	if len(r.GrantTokens) <= maxGrantTokens && !slices.ContainsFunc(r.GrantTokens, func(t string) bool { return len(t) > maxGrantToken }) {
		c.GrantTokens = r.GrantTokens
	}
	return c
}

// A callLog counts all calls and remembers the last ones.
type callLog struct {
	mu      sync.Mutex
	counts  map[counted]int
	entries []*entry // a ring
	next    int
	filled  bool
}

// A counted is what calls are counted by. Operations and keys are known ones, so
// that a client cannot make many of them.
type counted struct{ region, operation, key, destination string }

// An entry is a call in the log. Its status and error are guarded by callLog.mu.
type entry struct{ call Call }

func (l *callLog) init(size int) {
	l.counts = map[counted]int{}
	l.entries = make([]*entry, size)
}

func (l *callLog) add(c Call) *entry {
	e := &entry{c}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[counted{c.Region, c.Operation, c.Key, c.DestinationKey}]++
	l.entries[l.next] = e
	l.next++
	if l.next == len(l.entries) {
		l.next, l.filled = 0, true
	}
	return e
}

func (l *callLog) finish(e *entry, status int, code string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.call.Status, e.call.Error = status, code
}

// Calls returns how many calls that match have reached the server since it was
// started or [Server.ResetCalls] was called: also those that failed, were throttled
// or are waiting for their answer, and each try of a client that retries. ReEncrypt
// matches both of its keys. Calls of the test itself do not count, nor does what
// was refused a connection.
func (s *Server) Calls(m Match) int {
	l := &s.calls
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for c, count := range l.counts {
		keys := []string{c.key}
		if c.destination != "" {
			keys = append(keys, c.destination)
		}
		if m.matches(c.region, c.operation, keys...) {
			n += count
		}
	}
	return n
}

// Log returns the calls that match among the last ones, oldest first. The result
// belongs to the caller.
func (s *Server) Log(m Match) []Call {
	l := &s.calls
	l.mu.Lock()
	defer l.mu.Unlock()
	ordered := l.entries[:l.next]
	if l.filled {
		ordered = slices.Concat(l.entries[l.next:], ordered)
	}
	var out []Call
	for _, e := range ordered {
		if m.matches(e.call.Region, e.call.Operation, e.call.keys()...) {
			out = append(out, e.call.clone())
		}
	}
	return out
}

// LastCall returns the last call that matches, and whether the log has one.
func (s *Server) LastCall(m Match) (Call, bool) {
	log := s.Log(m)
	if len(log) == 0 {
		return Call{}, false
	}
	return log[len(log)-1], true
}

// ResetCalls sets all counts to 0 and empties the log.
func (s *Server) ResetCalls() {
	l := &s.calls
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.counts)
	clear(l.entries)
	l.next, l.filled = 0, false
}
