//go:build !goexperiment.runtimesecret

// Package erase has code that handles keys leave as little of them behind as Go can.
package erase

// After calls do. In a program that is built with GOEXPERIMENT=runtimesecret it does so by
// runtime/secret.Do: what do used of registers and stack is erased before After returns,
// and what it allocated when the garbage collector frees that. In others it costs nothing.
//
// What do has other goroutines do is not covered, and do is not preempted. So it does no
// I/O, and writes what may be long into memory that was allocated before.
func After(do func()) { do() }
