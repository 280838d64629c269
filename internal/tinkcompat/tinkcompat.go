// Package tinkcompat holds the tests with the Go library of Tink that was
// archived, github.com/google/tink/go. It is a module of its own so that the
// archived one and its dependencies enter nobody's build.
//
// That the tests start at all shows something too: a program that links the
// archived library and the new one panics when it starts, so that tinkkeyring and
// tinkaead must not import the parts of the new one that have protocol buffers.
package tinkcompat
