package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"github.com/go-sealring/sealring/internal/peerkey"
	"github.com/go-sealring/sealring/keyring"
)

// A request is what a peer reads from a line of its input. Bytes are in base64, and a field
// that is absent asks for the peer's default. Keys of contexts may be any text, also such as
// have a meaning in the peer's language.
type request struct {
	ID     int    `json:"id"`
	Op     string `json:"op"`               // encrypt, decrypt or about
	Suite  uint16 `json:"suite,omitempty"`  // to encrypt
	Policy string `json:"policy,omitempty"` // require, requireAllow or forbid
	Frame  *int   `json:"frame,omitempty"`  // to encrypt: the frame length. Zero is a body without frames

	// Stream has the peer use its streams.
	Stream bool `json:"stream,omitempty"`

	// Push, beside Stream, has it use those that one writes to, and not those that one
	// reads from.
	Push bool `json:"push,omitempty"`

	// Piece, beside Stream, is how many bytes a stream is given, or asked for, at a time.
	Piece int `json:"piece,omitempty"`

	// MaxKeys is the most wrapped keys that it reads.
	MaxKeys int `json:"maxKeys,omitempty"`

	// Context is the encryption context, or to decrypt what of it is reproduced. Required
	// are the keys of pairs for a manager that requires them.
	Context  map[string]string `json:"context,omitempty"`
	Required []string          `json:"required,omitempty"`

	Data    []byte        `json:"data,omitempty"` // the plaintext, or the message
	Keyring *peerkey.Spec `json:"keyring,omitempty"`
}

// An answer is what a peer writes to a line of its output. It has one of Data, Error and
// Unsupported; to "about" it has Name and those after it.
type answer struct {
	ID      int               `json:"id"`
	Data    *[]byte           `json:"data"`
	Context map[string]string `json:"context"` // to decrypt: what the SDK returned

	// Error is the SDK's refusal, whatever it threw.
	Error string `json:"error"`

	// Released, beside Error, is what a stream gave before.
	Released *[]byte `json:"released"`

	// Unsupported names what was asked for that the SDK does not have.
	Unsupported string `json:"unsupported"`

	Name    string            `json:"name"`
	Version string            `json:"version"`
	Also    map[string]string `json:"also"`
}

// policies are the names of commitment policies in a request.
var policies = map[keyring.CommitmentPolicy]string{
	keyring.RequireEncryptRequireDecrypt: "require",
	keyring.RequireEncryptAllowDecrypt:   "requireAllow",
	keyring.ForbidEncryptAllowDecrypt:    "forbid",
}

// A refusal is a peer's error.
type refusal string

func (r refusal) Error() string { return fmt.Sprintf("it refuses: %.300s", string(r)) }

// A lack is what a peer does not have.
type lack string

func (l lack) Error() string { return "it has no " + string(l) }

// errBroken is for all else that goes wrong with a peer: it refuses nothing then.
var errBroken = errors.New("the program failed")

// callLimit is far more than any call takes. Rust's release, not optimised, takes half a minute
// for a context of 500 pairs.
const callLimit = 10 * time.Minute

// A peer is a program with one of AWS's releases, which answers one request at a time. It is
// started when it is first asked, and again after it died.
type peer struct {
	command []string
	dir     string
	env     []string
	limit   time.Duration // for an answer

	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	said    *tail
	last    int

	spent time.Duration
	calls int
}

func newPeer(dir string, command ...string) *peer {
	return &peer{command: command, dir: dir, limit: callLimit}
}

func (p *peer) start(ctx context.Context) error {
	c := exec.CommandContext(ctx, p.command[0], p.command[1:]...)
	c.Dir, c.Env, c.WaitDelay = p.dir, p.env, 10*time.Second
	p.said = &tail{}
	c.Stderr = p.said
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	p.process, p.in, p.out = c, in, bufio.NewReaderSize(out, 1<<20)
	return nil
}

// stop ends the program, if it runs.
func (p *peer) stop() {
	if p.process == nil {
		return
	}
	p.in.Close()
	hung := time.AfterFunc(10*time.Second, func() { _ = p.process.Process.Kill() })
	defer hung.Stop()
	_ = p.process.Wait()
	p.process = nil
}

// call asks for one answer. Its error is a refusal, a lack, or wraps errBroken.
func (p *peer) call(ctx context.Context, r request) (a answer, err error) {
	defer func(start time.Time) { p.spent += time.Since(start) }(time.Now())
	p.calls++
	if p.process == nil {
		if err := p.start(ctx); err != nil {
			return a, fmt.Errorf("%w: %w", errBroken, err)
		}
	}
	p.last++
	r.ID = p.last
	if a, err = p.exchange(r); err != nil {
		_ = p.process.Process.Kill()
		_ = p.process.Wait()
		p.process = nil
		return a, fmt.Errorf("%w: %w%s", errBroken, err, p.said)
	}
	switch {
	case a.Unsupported != "":
		return a, lack(a.Unsupported)
	case a.Error != "":
		return a, refusal(a.Error)
	}
	return a, nil
}

func (p *peer) exchange(r request) (a answer, err error) {
	line, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	process := p.process.Process
	hung := time.AfterFunc(p.limit, func() { _ = process.Kill() })
	_, err = p.in.Write(append(line, '\n'))
	if err == nil {
		line, err = p.out.ReadBytes('\n')
	}
	if !hung.Stop() {
		return a, fmt.Errorf("it had not answered after %v", p.limit)
	}
	if errors.Is(err, io.EOF) {
		return a, errors.New("it ended")
	} else if err != nil {
		return a, err
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("its answer: %w", err)
	}
	got := 0
	for _, has := range []bool{a.Data != nil, a.Error != "", a.Unsupported != "", a.Name != ""} {
		if has {
			got++
		}
	}
	if a.ID != r.ID || got != 1 {
		return a, errors.New("its answer is not one to the request")
	}
	return a, nil
}

// about asks for the peer's version.
func (p *peer) about(ctx context.Context) (answer, error) {
	a, err := p.call(ctx, request{Op: "about"})
	if err == nil && a.Name == "" {
		err = fmt.Errorf("%w: it does not say what it is", errBroken)
	}
	return a, err
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if most := 1000; len(t.end) > most {
		t.end = append([]byte{}, t.end[len(t.end)-most:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.end) == 0 {
		return ""
	}
	return fmt.Sprintf("; it said: %s", t.end)
}
