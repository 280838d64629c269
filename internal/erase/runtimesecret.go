//go:build goexperiment.runtimesecret

package erase

import "runtime/secret"

func After(do func()) { secret.Do(do) }
