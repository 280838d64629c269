package envelope

import (
	"errors"
	"sync/atomic"
)

// unlessReturned calls f if returned is false. A function defers it to learn that a source,
// a destination or a cipher panicked in it or ended the goroutine.
func unlessReturned(returned *bool, f func()) {
	if !*returned {
		f()
	}
}

// contain calls f on behalf of another goroutine, which is to see a panic in its place.
// It calls ended when f has ended in whatever way, with the value that f panicked with,
// and says whether f returned.
func contain(f func(), ended func(panicked any, returned bool)) {
	returned := false
	defer func() { ended(recover(), returned) }()
	f()
	returned = true
}

// errPanicked sticks to a stream after a call that did not return.
var errPanicked = errors.New("an earlier call panicked")

// errGoexit is what a goroutine reports that was ended by the source it read.
var errGoexit = errors.New("source ended the goroutine that read it")

// A turn lets one call at a time into a reader. Readers that are the body of a request need
// it: net/http closes a body while another goroutine reads it, and may begin the next request
// while the one before still reads the same body. Without it memory would be let go of that a
// call works on, and used by other streams.
type turn struct{ state atomic.Int32 }

const (
	noCall      = iota
	inCall      // a call is running
	closingCall // so it is, and is to close the reader when it ends
)

// begin says whether a call may begin: no other is running.
func (t *turn) begin() bool { return t.state.CompareAndSwap(noCall, inCall) }

// end ends a call. If close was called meanwhile, it calls closeNow.
func (t *turn) end(closeNow func()) {
	if !t.state.CompareAndSwap(inCall, noCall) {
		closeNow()
		t.state.Store(noCall)
	}
}

// close calls closeNow, or has the call that is running do so when it ends.
func (t *turn) close(closeNow func()) {
	for !t.begin() {
		if t.state.CompareAndSwap(inCall, closingCall) || t.closing() {
			return
		}
	}
	defer t.end(closeNow)
	closeNow()
}

// closing says whether close was called during the call that is running.
func (t *turn) closing() bool { return t.state.Load() == closingCall }

// errInUse is what a call returns that may not begin.
var errInUse = errors.New("the reader is in use by another call")
