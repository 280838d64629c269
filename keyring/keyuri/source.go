package keyuri

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/go-sealring/sealring/keyring"
)

// A source is where a secret is: in a file or in an environment variable.
type source struct{ file, env string }

// source returns the source that the parameters file and env name.
func (p *parts) source() (source, error) {
	file, isFile := p.params["file"]
	env, isEnv := p.params["env"]
	switch {
	case isFile == isEnv:
		return source{}, p.scheme.bad("parameter file", "must be given, or env, and not both")
	case isFile && likeKey(file):
		return source{}, p.scheme.bad("parameter file", "looks like a key, which has no place in a URI; a file that is really named so is written with ./ before its name")
	case isEnv && !isVariable(env):
		return source{}, p.scheme.bad("parameter env", "is no name of a variable: upper case, digits and underscores, and no dollar sign")
	}
	return source{file, env}, nil
}

func isVariable(s string) bool {
	_, err := hex.DecodeString(s)
	return variableShape.MatchString(s) && (err != nil || len(s) < 32)
}

func (s source) String() string {
	if s.env != "" {
		return "environment variable " + s.env
	}
	return fmt.Sprintf("file %q", s.file)
}

// problem returns the error for a source that holds what is of no use. The text of err
// begins with a verb.
func (s source) problem(err error) error {
	return fmt.Errorf("%w: %v %w", keyring.ErrInvalidArgument, s, err)
}

// read returns what a source of a secret holds, without the line break at its end. It is
// the caller's to clear.
func (s source) read(most int) ([]byte, error) {
	text, mode, err := s.readAny(most)
	if err != nil {
		return nil, err
	}
	if err := mode.check(false); err != nil {
		clear(text)
		return nil, s.problem(err)
	}
	return text, nil
}

// readAny is read without a look at the mode, which it returns.
func (s source) readAny(most int) ([]byte, fileMode, error) {
	if s.env != "" {
		value, ok := os.LookupEnv(s.env)
		switch {
		case !ok:
			return nil, 0, s.problem(fmt.Errorf("is not set"))
		case len(value) > most:
			return nil, 0, s.problem(tooLong(most))
		}
		return trimBreak([]byte(value)), 0, nil
	}
	// Looked at before it is opened, since to open a pipe is to wait for its writer.
	info, err := os.Stat(s.file)
	if err != nil {
		return nil, 0, fmt.Errorf("file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, s.problem(fmt.Errorf("is no regular file"))
	}
	f, err := os.Open(s.file)
	if err != nil {
		return nil, 0, fmt.Errorf("file: %w", err)
	}
	defer f.Close()
	// Looked at again, since another may have come to its place meanwhile.
	if info, err = f.Stat(); err != nil {
		return nil, 0, fmt.Errorf("file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, s.problem(fmt.Errorf("is no regular file"))
	}
	text := make([]byte, most+1)
	n, err := io.ReadFull(f, text)
	switch {
	case err == nil:
		clear(text)
		return nil, 0, s.problem(tooLong(most))
	case err != io.ErrUnexpectedEOF && err != io.EOF:
		clear(text)
		return nil, 0, fmt.Errorf("file: %w", err)
	}
	return trimBreak(text[:n]), fileMode(info.Mode().Perm()), nil
}

func tooLong(most int) error { return fmt.Errorf("is longer than %d bytes", most) }

// trimBreak takes one line break from the end.
func trimBreak(text []byte) []byte {
	text, found := bytes.CutSuffix(text, []byte("\n"))
	if found {
		text = bytes.TrimSuffix(text, []byte("\r"))
	}
	return text
}

// A fileMode is who may read and write a file; zero for what is none.
type fileMode fs.FileMode

// check returns an error if too many may read or write a file.
func (m fileMode) check(public bool) error {
	const groupWrites, othersWrite, others = 0o020, 0o002, 0o007
	switch {
	case runtime.GOOS == "windows":
		return nil
	case m&(groupWrites|othersWrite) != 0:
		return fmt.Errorf("may be written by others than its owner (its mode is %04o): chmod 0600", m)
	case !public && m&others != 0:
		return fmt.Errorf("may be read by all users (its mode is %04o): chmod 0600, or 0640 for a group; in a Kubernetes volume defaultMode is 0400 or 0440", m)
	}
	return nil
}
