package dynamoitem

import "unicode/utf8"

// compareUTF16 compares two strings of valid UTF-8 by the units of their UTF-16 forms.
//
// The order of the bytes of UTF-8 is that of the code points. In UTF-16 those past U+FFFF
// begin with a surrogate, and so stand before U+E000 to U+FFFF. Only the first bytes tell.
func compareUTF16(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x >= 0xee && y >= 0xee {
			x, y = surrogatesFirst(x), surrogatesFirst(y)
		}
		if x < y {
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}

// surrogatesFirst moves the first bytes of code points past U+FFFF, f0 to f4, before those
// of U+E000 to U+FFFF, ee and ef.
func surrogatesFirst(b byte) byte {
	if b >= 0xf0 {
		return b - 2
	}
	return b + 5
}

// utf16Len returns the number of units of a string's UTF-16 form.
func utf16Len(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		// One unit for each code point, two for those of four bytes.
		if utf8.RuneStart(s[i]) {
			n++
			if s[i] >= 0xf0 {
				n++
			}
		}
	}
	return n
}
