package simulation

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
)

// An identity is what data keys are shared by: an account's tenant that encrypts, or
// one of its messages that is decrypted.
type identity struct {
	account, tenant int
	message         string // empty to encrypt
	uncached        bool
}

// An invocation is one call of an account's keyring.
type invocation struct {
	identity
	began, ended time.Duration // ended is zero while it lasts
	err          error
	cancelled    bool        // its context was done when it ended
	denied       atomic.Bool // KMS answered it with AccessDeniedException
}

type invocationKey struct{}

// uncachedKey marks the context of calls that go past the cache.
type uncachedKey struct{}

// A call is what a client was asked for, and what came of it.
type call struct {
	identity
	began, ended time.Duration
	timeLimit    time.Duration // zero is none
	hostile      bool          // the message was altered
	wrong        bool          // the plaintext was not what was encrypted
	err          error
}

// A change is a moment at which the world became another.
type change struct {
	at      time.Duration
	region  string // set for a fault
	fault   fault
	account int // else: of a denial or a purge
	denied  bool
	purged  bool
}

// An event is what an account's keyring told.
type event struct {
	awskms.Event
	account int
	at      time.Duration
}

// A journal is what happened in a history.
type journal struct {
	start time.Time

	mu          sync.Mutex
	invocations []*invocation
	calls       []*call
	changes     []change
	events      []event
	dataKeys    [][]byte // that keyrings have handed out
}

func newJournal() *journal { return &journal{start: time.Now()} }

func (j *journal) now() time.Duration { return time.Since(j.start) }

func (j *journal) add(c change) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c.at = j.now()
	j.changes = append(j.changes, c)
}

func (j *journal) fault(region string, f fault)  { j.add(change{region: region, fault: f}) }
func (j *journal) denied(account int, deny bool) { j.add(change{account: account, denied: deny}) }
func (j *journal) purged(account int)            { j.add(change{account: account, purged: true}) }

func (j *journal) told(account int, e awskms.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, event{e, account, j.now()})
}

func (j *journal) called(c *call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c.ended = j.now()
	j.calls = append(j.calls, c)
}

// begin records an invocation, and returns a context by which the service knows it.
func (j *journal) begin(ctx context.Context, id identity) (context.Context, *invocation) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := &invocation{identity: id, began: j.now()}
	j.invocations = append(j.invocations, i)
	return context.WithValue(ctx, invocationKey{}, i), i
}

func (j *journal) end(ctx context.Context, i *invocation, dataKey []byte, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	// Never zero.
	i.ended, i.err, i.cancelled = j.now()+1, err, ctx.Err() != nil
	if dataKey != nil {
		j.dataKeys = append(j.dataKeys, dataKey)
	}
}

// watched is a keyring that writes what it does to the journal.
type watched struct {
	keyring.Keyring
	journal *journal
	account int
	sabotage
}

// sabotage is what a test has a keyring or a cache do wrong, to see that it is found.
type sabotage struct {
	before func() error
	after  func(error) error
	leaks  bool          // the cache gets a copy of the data key
	maxAge time.Duration // of the cache
}

func (w *watched) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	ctx, i := w.journal.begin(ctx, w.identity(ctx, m.Context, nil))
	err := w.do(func() error { return w.Keyring.OnEncrypt(ctx, m) })
	w.journal.end(ctx, i, m.DataKey, err)
	if w.leaks {
		m.DataKey = bytes.Clone(m.DataKey)
	}
	return err
}

func (w *watched) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	ctx, i := w.journal.begin(ctx, w.identity(ctx, m.Context, keys))
	err := w.do(func() error { return w.Keyring.OnDecrypt(ctx, m, keys) })
	w.journal.end(ctx, i, m.DataKey, err)
	return err
}

func (w *watched) identity(ctx context.Context, ec keyring.EncryptionContext, keys []keyring.EncryptedDataKey) identity {
	return identity{w.account, tenantOf(ec), nameOf(keys), ctx.Value(uncachedKey{}) != nil}
}

func (w *watched) do(work func() error) error {
	if w.before != nil {
		if err := w.before(); err != nil {
			return err
		}
	}
	err := work()
	if w.after != nil && err != nil {
		err = w.after(err)
	}
	return err
}

func tenantOf(ec keyring.EncryptionContext) (tenant int) {
	fmt.Sscan(ec["tenant"], &tenant)
	return tenant
}

// nameOf tells messages apart by their wrapped keys.
func nameOf(keys []keyring.EncryptedDataKey) string {
	name := ""
	for _, k := range keys {
		name += fmt.Sprintf("%x,", k.Ciphertext)
	}
	return name
}
