// Package faketime runs tests with the clock of testing/synctest, which moves on when all of a
// test's goroutines wait.
package faketime

import (
	"crypto/fips140"
	"testing"
	"testing/synctest"
)

// Test is synctest.Test, and skips a test in FIPS mode: there crypto/rand draws entropy from
// how long the processor takes, and panics when time stands still.
func Test(t *testing.T, test func(*testing.T)) {
	if fips140.Enabled() {
		t.Skip("crypto/rand needs a clock that runs in FIPS mode")
	}
	synctest.Test(t, test)
}
