// Package differential holds fuzz tests of this library against AWS's Go release of the
// Encryption SDK, which is translated from a verified implementation. Messages, contexts and
// wrapped keys are put together from the specification and changed by structure: both sides
// must accept the same ones, and get the same plaintext, or the difference be in the list
// below.
//
//	go -C internal/interop test ./differential
//	go -C internal/interop test ./differential -run '^$' -fuzz FuzzMessages -parallel 1
//
// With -v the tests say how many messages of each change were accepted and refused, and how
// many showed which difference.
//
// AWS's release runs in a process of its own, awspeer, so that what it is made of need not be
// built anew for fuzzing, and its coverage does not hide the library's.
package differential
