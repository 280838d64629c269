package envelope

import "unsafe"

// apart returns dst without its spare capacity if in lies there, in whole or in
// part, so that what is appended goes into new memory. Messages and plaintexts differ
// in length and are worked on in parallel: neither can take the other's place.
func apart(dst, in []byte) []byte {
	if overlap(dst[len(dst):cap(dst)], in) {
		return dst[:len(dst):len(dst)]
	}
	return dst
}

// overlap says whether a and b have a byte in common.
func overlap(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	startA, startB := address(a), address(b)
	return startA < startB+uintptr(len(b)) && startB < startA+uintptr(len(a))
}

// address returns where b begins. Neither slice is on a stack, which could move
// between two calls: both are handed to interfaces.
func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
