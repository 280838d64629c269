//go:build !unix

package pgtest

import "os/exec"

// setUser is not called: there is no user 0.
func setUser(*exec.Cmd, int, int) {}
