package envelope

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// Sealed is a message that [Decrypter.DecryptBatch] is to decrypt.
type Sealed struct {
	// Message is the whole message.
	Message []byte

	// Context is what is expected of its encryption context, as [Decrypter.Decrypt]
	// says.
	Context keyring.EncryptionContext
}

// Opened is what became of a [Sealed].
type Opened struct {
	// Plaintext is the message's plaintext, in memory of its own that is the
	// caller's. It is nil if there was an error.
	Plaintext []byte

	// Err is nil or the error that Decrypt would have returned for the message.
	Err error
}

// DecryptBatch decrypts many messages at once. The result has one element for each,
// in their order: a message that cannot be decrypted harms no other. Neither the
// messages nor the contexts are kept; they must not change during the call.
//
// Messages form a group if they have the same suite, stored encryption context, wrapped
// data keys and expected context. The materials manager is asked once for each group, and
// for at most [Options].MaxUnwraps groups at the same time. In suites that derive no keys,
// each message is a group of its own. Options.Concurrency messages are decrypted at once,
// each as by Decrypt. All goroutines have ended when this returns. When ctx is done,
// messages that have not been decrypted have its error.
//
// If the manager panics, no further call is made, and DecryptBatch panics with the
// same value, once its goroutines have ended.
//
// All plaintexts are held in memory: about as many bytes as the messages have.
func (d *Decrypter) DecryptBatch(ctx context.Context, msgs []Sealed) []Opened {
	r := &batchRun{
		d:       d,
		ctx:     ctx,
		msgs:    msgs,
		headers: make([]message.Header, len(msgs)),
		opened:  make([]Opened, len(msgs)),
		ready:   make(chan share, len(msgs)), // room for all, so that sending never waits
		began:   d.opts.began(),
	}
	if d.opts.OnEvent != nil {
		r.ended = make([]time.Time, len(msgs))
	}
	r.parseAll()
	r.findGroups()
	r.run()
	if r.panicked != nil {
		for _, o := range r.opened {
			clear(o.Plaintext)
		}
		panic(r.panicked)
	}
	r.tell()
	return r.opened
}

// tell tells of each message. It does so at the end, and in the caller's goroutine, so that
// a panic of OnEvent can be recovered.
func (r *batchRun) tell() {
	for i, ended := range r.ended {
		o := &r.opened[i]
		if ended.IsZero() { // errNotDone
			ended = time.Now()
		}
		e := Event{Operation: OpDecrypt, Bytes: int64(len(o.Plaintext)), Duration: ended.Sub(r.began), Err: o.Err}
		if s := r.headers[i].Suite; s != nil {
			e.Suite = keyring.Suite(s.ID)
		}
		r.d.opts.OnEvent(r.ctx, e)
	}
}

// A batchRun is one call of DecryptBatch.
type batchRun struct {
	d       *Decrypter
	ctx     context.Context
	msgs    []Sealed
	headers []message.Header // parsed if opened has no error
	opened  []Opened
	groups  []*group
	ready   chan share // messages whose data key is unwrapped

	began time.Time
	ended []time.Time // when each message was done; nil if nobody is told

	once     sync.Once
	panicked any // the value of the first panic of the manager
	stopped  atomic.Bool
}

// A group is the messages that share a data key, which is unwrapped once. The key that
// encrypts each is its own, derived with its message ID.
type group struct {
	messages  []int // their indexes
	materials *keyring.DecryptionMaterials
	left      atomic.Int64 // how many have not derived their keys yet
}

// A share is some of a group's messages, which one goroutine decrypts.
type share struct {
	group    *group
	messages []int
}

// errNotDone is the error of each message until its result replaces it. It stays if a manager, or a context that the caller has written, calls runtime.Goexit in the
// goroutine that works on the message.
var errNotDone = errors.New("envelope: decrypt: the goroutine that worked on it was ended")

// parseAll parses the headers, and has the messages fail that the client does not accept.
func (r *batchRun) parseAll() {
	// Each goroutine parses a row of messages, so long that it is worth the goroutine.
	share := max(256, len(r.msgs)/r.d.opts.concurrency()+1)
	var wait sync.WaitGroup
	for from := 0; from < len(r.msgs); from += share {
		parse := func() {
			for i := from; i < min(from+share, len(r.msgs)); i++ {
				r.parse(i)
			}
		}
		if from+share >= len(r.msgs) {
			parse() // here, the last
			break
		}
		wait.Go(parse)
	}
	wait.Wait()
}

func (r *batchRun) parse(i int) {
	h := &r.headers[i]
	err := h.Parse(r.msgs[i].Message, r.d.opts.limits())
	if err == nil {
		err = r.d.accepts(h)
	}
	if err != nil {
		r.fail(i, err)
	}
}

// findGroups puts messages that share a data key into one group.
func (r *batchRun) findGroups() {
	byKey := map[string]*group{}
	var key []byte
	for i := range r.msgs {
		h := &r.headers[i]
		if r.opened[i].Err != nil {
			continue
		}
		var err error
		r.opened[i].Err = errNotDone
		// Suite, stored part of the header, expected context. No two of these give the
		// same bytes, since only the last has no length before it.
		key = binary.BigEndian.AppendUint16(key[:0], h.Suite.ID)
		key = binary.BigEndian.AppendUint32(key, uint32(len(h.Stored)))
		key = append(key, h.Stored...)
		key, err = r.msgs[i].Context.AppendBinary(key)
		g := byKey[string(key)]
		// A context that cannot be serialized is for the manager to refuse. In suites
		// without key derivation a data key serves one message.
		alone := err != nil || h.Suite.KDF == 0
		if g == nil || alone {
			g = &group{}
			r.groups = append(r.groups, g)
			if !alone {
				byKey[string(key)] = g
			}
		}
		g.messages = append(g.messages, i)
	}
}

// run unwraps the groups' data keys and decrypts the messages.
func (r *batchRun) run() {
	var wait sync.WaitGroup
	defer func() {
		wait.Wait()
		for _, g := range r.groups {
			g.materials.Clear() // if some message did not derive its key
		}
	}()
	wait.Go(r.unwrapAll)
	for range min(r.d.opts.concurrency(), len(r.msgs)) - 1 {
		wait.Go(r.decryptShares)
	}
	r.decryptShares()
}

// unwrapAll unwraps the groups' data keys, several at once.
func (r *batchRun) unwrapAll() {
	defer close(r.ready)
	var wait sync.WaitGroup
	defer wait.Wait()
	slots := make(chan struct{}, min(r.d.opts.MaxUnwraps, max(1, len(r.groups))))
	for _, g := range r.groups {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			r.keepPanic(func() { r.unwrap(g) })
		})
	}
}

// unwrap asks the manager for a group's materials, and hands its messages on.
func (r *batchRun) unwrap(g *group) {
	if r.stopped.Load() {
		return
	}
	first := g.messages[0]
	err := r.ctx.Err()
	if err == nil {
		g.materials, err = r.d.materials(r.ctx, &r.headers[first], r.msgs[first].Context)
	}
	if err != nil {
		for _, i := range g.messages {
			r.fail(i, err)
		}
		return
	}
	g.left.Store(int64(len(g.messages)))
	// Each share is about a batch long, so that it is worth handing on.
	from, bytes := 0, 0
	for n, i := range g.messages {
		if bytes += len(r.msgs[i].Message); bytes >= batchLen || n == len(g.messages)-1 {
			r.ready <- share{g, g.messages[from : n+1]}
			from, bytes = n+1, 0
		}
	}
}

// decryptShares decrypts messages until there are no more.
func (r *batchRun) decryptShares() {
	for s := range r.ready {
		if r.stopped.Load() {
			continue
		}
		r.keepPanic(func() {
			for _, i := range s.messages {
				r.decryptOne(s.group, i)
			}
		})
	}
}

// decryptOne decrypts one message under its group's data key.
func (r *batchRun) decryptOne(g *group, i int) {
	m := openers.Get().(*memoryOpener)
	defer func() {
		*m = memoryOpener{}
		openers.Put(m)
	}()
	o := &m.opener
	o.header = &r.headers[i]
	err := r.ctx.Err()
	if err == nil {
		err = r.d.verifyHeader(o, g.materials)
	}
	if g.left.Add(-1) == 0 {
		g.materials.Clear()
	}
	var out []byte
	if err == nil {
		out, err = o.openBody(r.ctx, nil, r.msgs[i].Message[len(o.header.Raw):], &r.d.opts)
	}
	if err != nil {
		clear(out)
		r.fail(i, err)
		return
	}
	r.finish(i, Opened{Plaintext: out})
}

func (r *batchRun) fail(i int, err error) {
	r.finish(i, Opened{Err: fmt.Errorf("envelope: decrypt: %w", err)})
}

func (r *batchRun) finish(i int, o Opened) {
	r.opened[i] = o
	if r.ended != nil {
		r.ended[i] = time.Now()
	}
}

// keepPanic calls f, and keeps its panic for the goroutine that called DecryptBatch, out
// of which the user can recover it.
func (r *batchRun) keepPanic(f func()) {
	contain(f, func(panicked any, _ bool) {
		if panicked != nil {
			r.once.Do(func() { r.panicked = panicked })
			r.stopped.Store(true)
		}
	})
}
