//go:build !linux

package main

import (
	"errors"
	"os"
)

// unnamed returns nil: a file must have a name here.
func unnamed(string) *os.File { return nil }

func nameUnnamed(*os.File, string) error { return errors.ErrUnsupported }
