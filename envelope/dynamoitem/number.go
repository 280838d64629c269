package dynamoitem

import (
	"errors"
)

// What DynamoDB's numbers hold: 38 significant digits, and magnitudes from 1e-130 to less
// than 1e126.
const (
	maxDigits   = 38
	minExponent = -129 // of 0.ddd * 10^e, where the first d is not 0
	maxExponent = 126
)

var (
	errNotNumber     = errors.New("not a number")
	errManyDigits    = errors.New("a number has more than the 38 significant digits that DynamoDB keeps")
	errNumberTooBig  = errors.New("a number is larger than DynamoDB's numbers can be")
	errNumberTooTiny = errors.New("a number is closer to zero than DynamoDB's numbers can be")
)

const manyZeros = "00000000000000000000000000000000000000000000000000000000000000000" +
	"00000000000000000000000000000000000000000000000000000000000000000"

// appendNumber appends a number as DynamoDB writes it: no exponent, no plus sign, no zeros
// but those that its magnitude needs, and 0 without a sign. On error dst is returned as it
// was.
func appendNumber(dst []byte, s string) ([]byte, error) {
	negative := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s = s[1:]
	}
	whole := countDigits(s)
	before, rest := s[:whole], s[whole:]
	after := ""
	if rest != "" && rest[0] == '.' {
		n := countDigits(rest[1:])
		after, rest = rest[1:1+n], rest[1+n:]
	}
	if before == "" && after == "" {
		return dst, errNotNumber
	}
	exponent, ok := parseExponent(rest)
	if !ok {
		return dst, errNotNumber
	}

	// The number is 0.digits * 10^exponent, with digits in two parts.
	exponent += len(before)
	for before != "" && before[0] == '0' {
		before = before[1:]
		exponent--
	}
	if before == "" {
		for after != "" && after[0] == '0' {
			after = after[1:]
			exponent--
		}
	}
	for after != "" && after[len(after)-1] == '0' {
		after = after[:len(after)-1]
	}
	if after == "" {
		for before != "" && before[len(before)-1] == '0' {
			before = before[:len(before)-1]
		}
	}
	n := len(before) + len(after)
	switch {
	case n == 0:
		return append(dst, '0'), nil
	case n > maxDigits:
		return dst, errManyDigits
	case exponent > maxExponent:
		return dst, errNumberTooBig
	case exponent < minExponent:
		return dst, errNumberTooTiny
	}

	if negative {
		dst = append(dst, '-')
	}
	var array [maxDigits]byte
	digits := append(append(array[:0], before...), after...)
	switch {
	case exponent <= 0:
		dst = append(append(dst, "0."...), manyZeros[:-exponent]...)
		dst = append(dst, digits...)
	case exponent >= n:
		dst = append(append(dst, digits...), manyZeros[:exponent-n]...)
	default:
		dst = append(append(dst, digits[:exponent]...), '.')
		dst = append(dst, digits[exponent:]...)
	}
	return dst, nil
}

// normalized returns a number as appendNumber writes it, and s itself if that is the same.
func normalized(s string) (string, error) {
	var array [3 + maxExponent - minExponent + maxDigits]byte
	b, err := appendNumber(array[:0], s)
	if err != nil || string(b) == s {
		return s, err
	}
	return string(b), nil
}

func countDigits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// parseExponent parses all of s: nothing, or e, a sign and digits.
func parseExponent(s string) (n int, ok bool) {
	if s == "" {
		return 0, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	negative := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s = s[1:]
	}
	if s == "" || countDigits(s) != len(s) {
		return 0, false
	}
	// Far past every number, however many digits stand before or after the point: no item
	// has as many.
	const most = 1 << 30
	for i := range len(s) {
		n = min(10*n+int(s[i]-'0'), most/10-1)
	}
	if negative {
		n = -n
	}
	return n, true
}
