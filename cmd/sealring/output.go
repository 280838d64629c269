package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// An output is what a command writes. It is there as a whole once commit has returned nil.
type output interface {
	io.Writer

	// commit ends the output and puts it in its place.
	commit() error

	// abort drops what commit has not put in place. After commit it does nothing.
	abort()

	// held says that nothing of it can be seen before commit.
	held() bool
}

// finish ends the input, which is nil if there is none, and puts the output in its place. That
// may be the input's, and Windows replaces no file that is open.
func finish(in *input, out output) error {
	if in != nil {
		in.close()
	}
	return out.commit()
}

// A form is what is written to an output.
type form int

const (
	plaintext form = iota
	binary         // a message
	armored        // a message as text
)

// createOutput opens what -o names. What exists is replaced only if force is set.
func createOutput(name string, force bool, as form) (output, error) {
	out, err := newOutput(name, force, as)
	if err == nil && as == armored {
		out = newText(out)
	}
	return out, err
}

func newOutput(name string, force bool, as form) (output, error) {
	if strings.HasPrefix(name, s3Scheme) {
		return nil, usagef("-o takes no object in S3 here")
	}
	if name != "" && name != "-" {
		return newFile(name, force)
	}
	if force {
		return nil, usagef("-f needs -o FILE")
	}
	terminal := name == "" && term.IsTerminal(int(os.Stdout.Fd()))
	switch {
	case terminal && as == binary:
		return nil, hinted{usagef("a message is binary, and standard output is a terminal"),
			"--armor makes it text, -o FILE writes it to a file, and -o - to the terminal all the same"}
	case terminal && as == plaintext:
		return &printable{}, nil
	}
	return stdout{}, nil
}

// stdout is the standard output.
type stdout struct{}

func (stdout) Write(b []byte) (int, error) { return os.Stdout.Write(b) }

func (stdout) commit() error { return nil }
func (stdout) abort()        {}
func (stdout) held() bool    { return false }

// printable is a terminal as the standard output. It refuses what would do something to it.
type printable struct {
	stdout
	part []byte // of a character, whose other bytes come with the next call
}

func (p *printable) Write(b []byte) (int, error) {
	all := append(p.part, b...)
	rest := all
	for utf8.FullRune(rest) {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 || unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return 0, errBinary
		}
		rest = rest[n:]
	}
	p.part = bytes.Clone(rest)
	if _, err := p.stdout.Write(all[:len(all)-len(rest)]); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p *printable) commit() error {
	if len(p.part) > 0 {
		return errBinary
	}
	return nil
}

var errBinary = hinted{usagef("the plaintext is binary, and standard output is a terminal"),
	"-o FILE writes it to a file, and -o - to the terminal all the same"}

// text is an output that is written as text: unpadded base64url, in one line.
type text struct {
	output
	encoder io.WriteCloser
}

func newText(out output) *text {
	return &text{out, base64.NewEncoder(base64.RawURLEncoding, out)}
}

func (t *text) Write(b []byte) (int, error) { return t.encoder.Write(b) }

func (t *text) commit() error {
	if err := t.encoder.Close(); err != nil {
		return err
	}
	if _, err := io.WriteString(t.output, "\n"); err != nil {
		return err
	}
	return t.output.commit()
}

// A file is an output that has no name, or another one in the same directory, until it is
// whole.
type file struct {
	*os.File
	name  string // in the end
	aside string // until then; empty if it has no name
	force bool

	mu   sync.Mutex // of what follows, which a signal may end
	done bool
}

func newFile(name string, force bool) (*file, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && (!info.Mode().IsRegular() || isStdout(info)): // a link such as /dev/stdout would be replaced
		return nil, usagef("-o %s is no regular file, or standard output: use -o - with a redirection", name)
	case !force:
		if _, err := os.Lstat(name); err == nil { // a link that leads nowhere too
			return nil, existsAs(name)
		}
	}
	f := &file{name: name, force: force}
	return f, guarded(f.open)
}

func isStdout(info fs.FileInfo) bool {
	out, err := os.Stdout.Stat()
	return err == nil && os.SameFile(info, out)
}

// Variables for tests.
var (
	openUnnamed = unnamed
	rename      = os.Rename
)

// open returns what undoes it.
func (f *file) open() (func(), error) {
	if f.File = openUnnamed(filepath.Dir(f.name)); f.File != nil {
		return f.abort, nil
	}
	f.aside = beside(f.name)
	var err error
	f.File, err = os.OpenFile(f.aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	var p *fs.PathError
	if errors.As(err, &p) {
		p.Path = f.name
	}
	return f.abort, err
}

func existsAs(name string) error {
	return hinted{fmt.Errorf("-o %s: %w", name, errExists), "-f replaces it, once the new one is whole"}
}

// beside returns a new name in the same directory. It has nothing of the other one, which
// may be as long as a name can be.
func beside(name string) string {
	return filepath.Join(filepath.Dir(name), ".sealring-"+rand.Text())
}

func (f *file) held() bool { return true }

func (f *file) commit() error {
	if err := f.Sync(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return fs.ErrClosed
	}
	if err := f.place(); err != nil {
		return err
	}
	f.done = true
	if dir, err := os.Open(filepath.Dir(f.name)); err == nil {
		_ = dir.Sync() // not every system can, and the file is there
		dir.Close()
	}
	return nil
}

// place gives the file its name.
func (f *file) place() error {
	if f.aside == "" {
		// A link never replaces a file.
		f.aside = f.name
		if f.force {
			f.aside = beside(f.name)
		}
		err := nameUnnamed(f.File, f.aside)
		if err != nil {
			f.aside = ""
		}
		if errors.Is(err, fs.ErrExist) {
			return existsAs(f.name)
		}
		if err != nil || !f.force {
			return errors.Join(err, f.Close())
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	if f.force {
		return rename(f.aside, f.name)
	}
	err := os.Link(f.aside, f.name)
	switch {
	case err == nil:
		return os.Remove(f.aside)
	case errors.Is(err, fs.ErrExist):
		return existsAs(f.name)
	}
	// Some file systems have no links.
	if _, err := os.Lstat(f.name); err == nil {
		return existsAs(f.name)
	}
	return os.Rename(f.aside, f.name)
}

func (f *file) abort() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return
	}
	f.done = true
	f.Close()
	if f.aside != "" {
		os.Remove(f.aside)
	}
}
