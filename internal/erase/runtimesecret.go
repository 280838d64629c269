//go:build goexperiment.runtimesecret

package erase

import "runtime/secret"

// After calls do, by runtime/secret.Do. The other After says what that erases.
func After(do func()) { secret.Do(do) }
