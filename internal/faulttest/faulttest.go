// Package faulttest has what tests share that make sources, destinations and services fail.
package faulttest

import "errors"

// Err is the error that these tests inject, and the value with which they panic.
var Err = errors.New("injected")

// Outcome calls do, and returns its error. If do panics with Err, that is the error. It passes
// on any other panic.
func Outcome(do func() error) (err error, panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != any(Err) {
				panic(p)
			}
			err, panicked = Err, true
		}
	}()
	return do(), false
}
