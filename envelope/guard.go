package envelope

import "errors"

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
