// Package leaktest checks in tests that goroutines have ended.
//
// A goroutine counts if its stack holds a part of a function's name as the runtime
// prints it, such as "sealring/envelope." for the functions and methods of package
// envelope, or "sealring/cache.(*Cache)" for the methods of cache.Cache alone. The stack
// ends with the function that started the goroutine, which counts too: of a goroutine that
// has not run yet, the stack may hold nothing else.
//
// In a test of the package itself the part must leave out the test's own functions,
// which are on the stack while it checks.
package leaktest

import (
	"runtime"
	"slices"
	"strings"
	"time"
)

// TB is what the package needs of a testing.TB.
type TB interface {
	Cleanup(f func())
	Errorf(format string, args ...any)
	Helper()
}

// patience is how often it is looked, a millisecond apart, until a goroutine has ended. One
// that has told of its end can still be on its way out. Looks are counted, and not time,
// which passes on a machine that does nothing for us. A variable for this package's tests.
var patience = 5000

// AtEnd fails the test if goroutines whose stacks hold one of parts are left when it has
// ended. Cleanups that the test registers later run before.
func AtEnd(t TB, parts ...string) {
	t.Helper()
	t.Cleanup(func() { None(t, parts...) })
}

// None fails the test if goroutines whose stacks hold one of parts are left now. It
// waits some seconds for them to end.
func None(t TB, parts ...string) {
	t.Helper()
	if stacks := left(parts); len(stacks) > 0 {
		t.Errorf("%d goroutines left:\n%s", len(stacks), strings.Join(stacks, "\n\n"))
	}
}

// left returns the stacks that hold one of parts, once there are none or patience is over.
func left(parts []string) []string {
	for looks := 1; ; looks++ {
		stacks := slices.DeleteFunc(all(), func(stack string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(stack, part) })
		})
		if len(stacks) == 0 || looks > patience {
			return stacks
		}
		time.Sleep(time.Millisecond)
	}
}

// all returns the stack of every goroutine.
func all() []string {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size { // or the last were cut off
			return strings.Split(string(buf[:n]), "\n\n")
		}
	}
}
