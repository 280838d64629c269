// Package column names types of envelope/field for ent, whose generated files import a
// package of its own under the name field, and so cannot import ours.
package column

import "github.com/go-sealring/sealring/envelope/field"

// A Text is a sealed text.
type Text struct{ field.Sealed[string] }

// New returns a text to be sealed.
func New(text string) Text { return Text{field.New(text)} }

// An Index is a blind index.
type Index []byte
