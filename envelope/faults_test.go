package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

// These tests have all that the package is given by others fail: a source after each byte, a
// destination after each byte, a keyring at each call, a fetch in each way. Whatever happens,
// what comes out is the right thing or an error that can be told from others, and the
// client works on.

// A fault is one way to fail, of a source or a destination.
type fault struct {
	name string

	// read fails a source's call, once all before the fault has been read. The byte is
	// what it may yet give.
	read func(f *faulty, p []byte, next byte) (int, error)

	// write is the same for a destination, which may yet take all of p.
	write func(f *faulty, p []byte) (int, error)

	is     error // of the error that the library then returns; nil: another way to say no
	panics bool
}

var errFault = errors.New("injected")

func counts(n int, err error) func(*faulty, []byte) (int, error) {
	return func(*faulty, []byte) (int, error) { return n, err }
}

// faults are of sources and destinations both.
var faults = []fault{
	{"error", func(_ *faulty, p []byte, _ byte) (int, error) { return 0, errFault }, counts(0, errFault), errFault, false},
	{"error with a byte", func(_ *faulty, p []byte, next byte) (int, error) {
		p[0] = next
		return 1, errFault
	}, counts(1, errFault), errFault, false},
	{"unexpected EOF", func(*faulty, []byte, byte) (int, error) { return 0, io.ErrUnexpectedEOF }, counts(0, io.ErrUnexpectedEOF), io.ErrUnexpectedEOF, false},
	{"end", func(*faulty, []byte, byte) (int, error) { return 0, io.EOF }, counts(0, io.EOF), nil, false},
	{"end wrapped", func(*faulty, []byte, byte) (int, error) { return 0, fmt.Errorf("lost: %w", io.EOF) }, counts(0, fmt.Errorf("lost: %w", errFault)), nil, false},
	{"nothing", func(*faulty, []byte, byte) (int, error) { return 0, nil }, counts(0, nil), nil, false},
	{"too many", func(_ *faulty, p []byte, _ byte) (int, error) { return len(p) + 1, nil }, func(_ *faulty, p []byte) (int, error) { return len(p) + 1, nil }, nil, false},
	{"too many and an error", func(_ *faulty, p []byte, _ byte) (int, error) { return len(p) + 1, errFault }, func(_ *faulty, p []byte) (int, error) { return len(p) + 1, errFault }, nil, false},
	{"below zero", func(*faulty, []byte, byte) (int, error) { return -1, nil }, counts(-1, nil), nil, false},
	{"panic", func(*faulty, []byte, byte) (int, error) { panic(errFault) }, func(*faulty, []byte) (int, error) { panic(errFault) }, nil, true},
	{"cancelled", func(f *faulty, p []byte, next byte) (int, error) {
		f.cancel()
		p[0] = next
		f.n++
		f.calm = true
		return 1, nil
	}, func(f *faulty, p []byte) (int, error) {
		f.cancel()
		f.calm = true
		return len(p), nil
	}, context.Canceled, false},
	{"deadline", func(*faulty, []byte, byte) (int, error) { return 0, context.DeadlineExceeded }, counts(0, context.DeadlineExceeded), context.DeadlineExceeded, false},
}
