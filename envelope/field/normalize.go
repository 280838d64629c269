package field

import (
	"strings"
	"unicode"
)

// A Normalizer makes texts alike that an index is to find by each other. Its name is bound
// into the index's key: the terms of another are others, and one that changes what it does
// must change its name.
type Normalizer struct {
	Name      string
	Normalize func(string) string
}

// The normalizers that every table has.
var builtin = []Normalizer{
	{"fold", fold},
	{"digits", digits},
}

// fold takes white space from both ends and makes letters alike that differ in case
// alone, by Unicode's simple folding. It does not compose accents: a normalizer with
// golang.org/x/text/unicode/norm can.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		// The least of the runes that fold into each other stands for them.
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, strings.TrimSpace(s))
}

// digits leaves the digits 0 to 9.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}
