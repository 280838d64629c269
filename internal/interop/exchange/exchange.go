package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/peerkey"
	"github.com/go-sealring/sealring/keyring"
)

// An exchange is one message, and how it is written and read.
type exchange struct {
	suite                      keyring.Suite
	writerPolicy, readerPolicy keyring.CommitmentPolicy
	frame                      int // zero: without frames, which only peers write
	size                       int // of the plaintext in bytes
	context, reproduced        keyring.EncryptionContext
	required                   []string // for the managers of both
	writes, reads              *peerkey.Spec

	// writerRefuses and readerRefuses say who must refuse it.
	writerRefuses, readerRefuses bool
}

// newExchange returns one under a keyring that must succeed.
func newExchange(s keyring.Suite, k *peerkey.Spec) exchange {
	p := keyring.RequireEncryptRequireDecrypt
	if !s.Commits() {
		p = keyring.ForbidEncryptAllowDecrypt
	}
	return exchange{suite: s, writerPolicy: p, readerPolicy: p, frame: 4096, size: 519, context: two, writes: k, reads: k}
}

// stored is the part of the context that the message has.
func (x *exchange) stored() keyring.EncryptionContext {
	ec := maps.Clone(x.context)
	for _, k := range x.required {
		delete(ec, k)
	}
	return ec
}

// A cell is one question put to a peer.
type cell struct {
	group, name string
	exchange
	theirs bool // the peer writes it, and this library reads it
	stream bool // the peer uses its streams, and this library its Writer
	push   bool // the peer's streams are those that one writes to

	// part, if not empty, is what of the message is altered, which the reader must refuse.
	part string

	// edges has only the first and the last byte of each field be altered.
	edges bool

	// special, if not nil, is done instead.
	special func(ctx context.Context, t *table) error
}

func (c *cell) String() string {
	way := "ours to theirs"
	if c.theirs {
		way = "theirs to ours"
	}
	if c.stream {
		way += ", streams"
	}
	if c.push {
		way += " to write to"
	}
	if c.special != nil {
		way = "both"
	}
	return fmt.Sprintf("%s: %s: %s", c.group, c.name, way)
}

// A kind of fault says who did what.
type kind int

const (
	fails    kind = iota // this library failed, or somebody made something else of it
	refuses              // the peer refuses what it must not
	opens                // the peer does what it must refuse
	misreads             // the peer opens an altered message as another
	releases             // the peer's stream gives plaintext of frames that are not authentic
	unread               // this library cannot read what the peer wrote
	dies                 // the peer's program failed
	lacks                // the peer has no such thing
)

// A fault is why a cell did not pass.
type fault struct {
	kind kind
	err  error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func faultf(k kind, format string, args ...any) error {
	return &fault{k, fmt.Errorf(format, args...)}
}

// kindOf returns the kind of fault of an error.
func kindOf(err error) kind {
	if f := (*fault)(nil); errors.As(err, &f) {
		return f.kind
	}
	return fails
}

// A table is where cells are run: this library and one peer.
type table struct {
	ours *ours
	peer *peer
	name string // the peer's
	seed uint64
}

// random returns a source that is the same each time for a cell.
func (t *table) random(about string) *rand.Rand {
	h := fnv.New64()
	_, _ = h.Write([]byte(about))
	return rand.New(rand.NewPCG(t.seed, h.Sum64()))
}

func (t *table) plaintext(c *cell) []byte {
	r, b := t.random(c.String()), make([]byte, c.size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// run runs a cell. Its error is a fault.
func (t *table) run(ctx context.Context, c *cell) error {
	if c.special != nil {
		return c.special(ctx, t)
	}
	plaintext := t.plaintext(c)
	if c.part != "" {
		return t.tamper(ctx, c, plaintext)
	}
	msg, err := t.write(ctx, c, plaintext)
	if err != nil || c.writerRefuses {
		return err
	}
	return t.read(ctx, c, plaintext, msg)
}

// write returns a message, unless it must be refused.
func (t *table) write(ctx context.Context, c *cell, plaintext []byte) ([]byte, error) {
	if !c.theirs {
		msg, err := t.ours.encrypt(ctx, &c.exchange, plaintext, c.stream)
		switch {
		case err != nil && !c.writerRefuses:
			return nil, faultf(fails, "sealring does not write it: %w", err)
		case err == nil && c.writerRefuses:
			return nil, faultf(fails, "sealring writes it")
		case err != nil && untyped(err):
			return nil, faultf(fails, "sealring's error is of no kind: %w", err)
		}
		return msg, nil
	}
	msg, err := t.theirsWrite(ctx, c, plaintext)
	switch {
	case c.writerRefuses && err == nil:
		return nil, faultf(opens, "it writes it")
	case c.writerRefuses && kindOf(err) == refuses:
		return nil, nil
	}
	return msg, err
}

func (t *table) theirsWrite(ctx context.Context, c *cell, plaintext []byte) ([]byte, error) {
	r := t.request(c, "encrypt")
	r.Suite, r.Frame, r.Context, r.Data, r.Keyring = uint16(c.suite), &c.frame, c.context, plaintext, c.writes
	r.Policy = policies[c.writerPolicy]
	a, err := t.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	if c.writerRefuses {
		return *a.Data, nil
	}
	if err := checkHeader(&c.exchange, *a.Data); err != nil {
		return nil, faultf(unread, "what it wrote: %w", err)
	}
	return *a.Data, nil
}

func (t *table) request(c *cell, op string) request {
	r := request{Op: op, Stream: c.stream, Push: c.push, Required: c.required}
	if c.part != "" && c.part != partBehind {
		// So that a stream has released frames before it gets to what was altered. Whether
		// Java's sees a byte behind a signature depends on how the two come.
		r.Piece = 3
	}
	return r
}

// ask has the peer answer with data.
func (t *table) ask(ctx context.Context, r request) (a answer, err error) {
	a, err = t.peer.call(ctx, r)
	switch {
	case errors.As(err, new(refusal)):
		return a, &fault{refuses, err}
	case errors.As(err, new(lack)):
		return a, &fault{lacks, err}
	case err == nil && a.Data == nil:
		err = fmt.Errorf("%w: it answers without data", errBroken)
		fallthrough
	case err != nil:
		return a, &fault{dies, err}
	}
	return a, nil
}

func header(msg []byte) (*envelope.Header, error) {
	return envelope.ParseHeader(bytes.NewReader(msg), nil)
}

// checkHeader says whether a header says what it should.
func checkHeader(x *exchange, msg []byte) error {
	h, err := header(msg)
	if err != nil {
		return err
	}
	version := 1
	if x.suite.Commits() {
		version = 2
	}
	if h.Version != version || h.Suite != x.suite {
		return fmt.Errorf("it has version %d and suite %v", h.Version, h.Suite)
	}
	if h.FrameLength != x.frame {
		return fmt.Errorf("it has frames of %d bytes", h.FrameLength)
	}
	if _, has := h.Context[publicKey]; has != x.suite.Signs() {
		return errors.New("the public key is there, or missing")
	}
	delete(h.Context, publicKey)
	if !maps.Equal(h.Context, x.stored()) {
		return errors.New("it has another context")
	}
	if parts := x.writes.Parts(); len(h.EncryptedDataKeys) != len(parts) {
		return fmt.Errorf("it has %d wrapped keys, not %d", len(h.EncryptedDataKeys), len(parts))
	}
	return nil
}

// untyped says whether an error is none that callers can tell by its kind.
func untyped(err error) bool { return envelope.ErrorKind(err) == "other" }

const publicKey = "aws-crypto-public-key"

// read has the reader read a message, or refuse it.
func (t *table) read(ctx context.Context, c *cell, plaintext, msg []byte) error {
	if c.theirs {
		return t.oursRead(ctx, c, plaintext, msg)
	}
	a, err := t.theirsRead(ctx, c, msg)
	switch {
	case c.readerRefuses && err == nil:
		return faultf(opens, "it opens it")
	case c.readerRefuses && kindOf(err) == refuses:
		return nil
	case err != nil:
		return err
	case !bytes.Equal(plaintext, *a.Data):
		return faultf(fails, "it reads another plaintext")
	}
	// SDKs differ in whether they return what is not stored.
	got := maps.Clone(a.Context)
	delete(got, publicKey)
	for k, v := range got {
		if want, has := c.context[k]; !has || v != want {
			return faultf(fails, "it returns another context")
		}
	}
	for k := range c.stored() {
		if _, has := got[k]; !has {
			return faultf(fails, "it returns a context that lacks a pair")
		}
	}
	return nil
}

func (t *table) theirsRead(ctx context.Context, c *cell, msg []byte) (answer, error) {
	r := t.request(c, "decrypt")
	r.Context, r.Data, r.Keyring, r.Policy = c.reproduced, msg, c.reads, policies[c.readerPolicy]
	return t.ask(ctx, r)
}

// oursRead reads a message in all ways.
func (t *table) oursRead(ctx context.Context, c *cell, plaintext, msg []byte) error {
	d, err := t.ours.decrypter(ctx, &c.exchange)
	if err != nil {
		return &fault{fails, err}
	}
	for _, w := range ways {
		got, err := w.read(ctx, d, msg, c.reproduced)
		switch {
		case errors.Is(err, errors.ErrUnsupported) && w.name != inMemory.name:
			continue // signed, or without frames
		case c.readerRefuses && err == nil:
			return faultf(fails, "sealring's %s opens it", w.name)
		case c.readerRefuses && len(got) > 0:
			return faultf(fails, "sealring's %s refuses it, and returns plaintext", w.name)
		case c.readerRefuses && untyped(err):
			return faultf(fails, "sealring's %s returns an error of no kind: %w", w.name, err)
		case c.readerRefuses:
			continue
		case err != nil:
			return faultf(unread, "sealring's %s does not read it: %w", w.name, err)
		case !bytes.Equal(plaintext, got):
			return faultf(fails, "sealring's %s reads another plaintext", w.name)
		}
	}
	return nil
}

// The ways in which a peer is asked.
var (
	whole    = []cell{{}}
	streamed = []cell{{}, {stream: true}}
	pushed   = []cell{{}, {stream: true}, {stream: true, push: true}}
)

// directions returns the cells of an exchange: one for each side that can write it, in each of
// some ways.
func directions(group, name string, x exchange, ways []cell) []*cell {
	var cells []*cell
	for _, theirs := range []bool{false, true} {
		if x.frame == 0 && !theirs {
			continue
		}
		for _, w := range ways {
			cells = append(cells, &cell{group: group, name: name, exchange: x, theirs: theirs, stream: w.stream, push: w.push})
		}
	}
	return cells
}

// keysOf returns the keys of a map in their order.
func keysOf[M ~map[string]V, V any](m M) []string { return slices.Sorted(maps.Keys(m)) }
