package envelope

import (
	"math/bits"
	"slices"
	"sync"
)

// longBuffers holds long buffers to use again: to make one takes a good part of the time
// that the cipher takes to fill it, and a message of a few hundred KiB needs several. Who
// gives one back has cleared what was secret in it.
//
// Each length has a pool of its own. There are four lengths from one power of two to the
// next, so that nobody holds more than a fourth beyond what was asked for: many slow
// streams may be open.
var longBuffers [4 * (longestBits - shortestBits)]sync.Pool

const (
	shortestBits = 14 // up to 16 KiB a buffer is not worth keeping
	longestBits  = 25 // from 32 MiB on one is rare
)

// newBuffer returns n bytes. They are not cleared.
func newBuffer(n int) []byte {
	class, size, ok := bufferClass(n)
	if !ok {
		return make([]byte, n)
	}
	if b, ok := longBuffers[class].Get().(*[]byte); ok {
		return (*b)[:n]
	}
	return make([]byte, n, size)
}

// freeBuffer takes b back if newBuffer returned it; others it leaves to the garbage
// collector. Nobody uses b any more, and it holds nothing secret.
func freeBuffer(b []byte) {
	if class, size, ok := bufferClass(cap(b)); ok && size == cap(b) {
		b = b[:cap(b)]
		longBuffers[class].Put(&b)
	}
}

// bufferClass returns the index of the pool whose buffers are the shortest of n bytes or
// more, and their length. Few bytes have no pool, nor have very many.
func bufferClass(n int) (class, size int, ok bool) {
	if n <= 1<<shortestBits || n > 1<<longestBits {
		return 0, 0, false
	}
	octave := bits.Len(uint(n-1)) - 1 // 2^octave < n <= 2^(octave+1)
	step := 1 << (octave - 2)
	quarter := (n - 1) >> (octave - 2) & 3
	return 4*(octave-shortestBits) + quarter, 1<<octave + (quarter+1)*step, true
}

// extend returns b with room for n more bytes. If it needs other memory, it makes that
// twice as long as b's, but no longer than most unless n asks for it, and clears b's.
func extend(b []byte, n, most int) []byte {
	need := len(b) + n
	if need <= cap(b) {
		return b
	}
	longer := newBuffer(max(need, min(2*cap(b), most)))
	longer = longer[:copy(longer, b)]
	clear(b[:cap(b)])
	freeBuffer(b)
	return longer
}

// grow returns dst with room for n more bytes. If dst is empty, that is memory that nobody
// has touched: slices.Grow would clear it, and all goroutines would wait until one had
// touched all of its pages.
func grow(dst []byte, n int) []byte {
	if cap(dst) > 0 {
		return slices.Grow(dst, n)
	}
	return make([]byte, 0, n)
}
