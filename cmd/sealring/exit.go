package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

// The exit codes. Scripts rely on them: none changes its meaning.
const (
	exitDone = iota
	exitFailed
	exitUsage
	exitNotAuthentic
	exitNoKey
	exitUnavailable
	exitContext
	exitExists
	exitRefused

	exitSignal = 128 // and the signal's number
)

// exitCodes says what they mean, for the help and the manual.
var exitCodes = []struct {
	code    string
	meaning string
}{
	{"0", "done"},
	{"1", "failed for another reason, such as a file that cannot be read or written"},
	{"2", "a command, a flag, a key's URI, what it refers to, or an encryption context that cannot be used"},
	{"3", "the input is not a whole and authentic message: it was altered or cut short, or is none"},
	{"4", "no key: none of those given opens the message, or the key service refuses the use of one"},
	{"5", "a key service, a table or S3 could not be asked just then: the same command may succeed later"},
	{"6", "the message has another encryption context than the one expected"},
	{"7", "what is to be made is there already: the output file, without -f, or a branch key"},
	{"8", "refused by a policy or a limit, which a flag may change"},
	{"128+N", "ended by signal N: 130 by an interrupt, 143 by a termination"},
}

// A usageError is about the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errExists says that the output file is there.
var errExists = errors.New("the file exists")

// A hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (e hinted) Unwrap() error { return e.error }

// exitCode returns the code for an error.
func exitCode(err error) int {
	var usage usageError
	var kms *awskms.Error
	var text base64.CorruptInputError
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	case is(errExists, branchkey.ErrExists):
		return exitExists
	case is(envelope.ErrUnavailable): // first of those of keys, as it says
		return exitUnavailable
	case is(envelope.ErrContextMismatch):
		return exitContext
	case is(envelope.ErrNoMatchingKey, branchkey.ErrNotFound), errors.As(err, &kms):
		return exitNoKey
	case objectsUnavailable(err):
		return exitUnavailable
	case is(envelope.ErrMalformed, envelope.ErrAuthentication, envelope.ErrCommitment, envelope.ErrSignature, io.ErrUnexpectedEOF), errors.As(err, &text):
		return exitNotAuthentic
	case is(envelope.ErrPolicy, envelope.ErrLimit, errors.ErrUnsupported):
		return exitRefused
	case is(envelope.ErrInvalidArgument):
		return exitUsage
	}
	return exitFailed
}

// report prints an error with hints, and returns the exit code for it.
func report(w io.Writer, err error) int {
	code := exitCode(err)
	if err == nil {
		return code
	}
	fmt.Fprintln(w, "sealring: error:", oneLine(err))
	for _, hint := range hints(err, code) {
		fmt.Fprintln(w, "sealring: hint:", hint)
	}
	return code
}

// oneLine returns an error's text, in which may be what a service, or who made a table, wrote:
// it does nothing to a terminal, and cannot pass for another line.
func oneLine(err error) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ReplaceAll(err.Error(), "\n", "; "))
}

func hints(err error, code int) []string {
	var h hinted
	if errors.As(err, &h) {
		return []string{h.hint}
	}
	switch code {
	case exitUsage:
		var usage usageError
		if errors.As(err, &usage) {
			return []string{`"sealring help" lists the commands, "sealring help COMMAND" its flags`}
		}
	case exitNoKey:
		if errors.Is(err, envelope.ErrNoMatchingKey) {
			return []string{`"sealring inspect" shows which keys wrapped the message`}
		}
	case exitUnavailable:
		return []string{"the same command may succeed later"}
	case exitContext:
		return []string{`"sealring inspect" shows the encryption context that is stored`}
	case exitRefused:
		if errors.Is(err, envelope.ErrPolicy) {
			return []string{"--commitment-policy says which suites are used, and --refuse-signed that signed messages are not decrypted"}
		}
		if errors.Is(err, envelope.ErrLimit) {
			return []string{"--max-memory of decrypt and reencrypt raises the limit of a frame and of a body without frames, and no other"}
		}
	}
	return nil
}
