package envelope

import (
	"math/bits"
	"slices"
	"sync"
)

// Long buffers are reused: making one costs as much as a part of the cipher's
// work, and a message of a few hundred KiB would need several. What was secret in
// them is cleared before they go back.
//
// They come in classes, each with a pool of its own: four between a power of two and
// the next, so that nobody holds more than a fourth beyond what was asked for. A
// stream may be slow, and many may be open.
var longBuffers [4 * (longestBits - shortestBits)]sync.Pool

const (
	shortestBits = 14 // up to 16 KiB a buffer is not worth keeping
	longestBits  = 25 // from 32 MiB on one is rare
)

// newBuffer returns n bytes that hold anything.
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

// freeBuffer takes back what newBuffer returned, if it is used by nobody and holds
// nothing secret. Others it leaves to the garbage collector.
func freeBuffer(b []byte) {
	if class, size, ok := bufferClass(cap(b)); ok && size == cap(b) {
		b = b[:cap(b)]
		longBuffers[class].Put(&b)
	}
}

// bufferClass returns the class of the shortest buffers of n bytes or more, and their
// length. There is none for few bytes, nor for very many.
func bufferClass(n int) (class, size int, ok bool) {
	if n <= 1<<shortestBits || n > 1<<longestBits {
		return 0, 0, false
	}
	octave := bits.Len(uint(n-1)) - 1 // 2^octave < n <= 2^(octave+1)
	step := 1 << (octave - 2)
	quarter := (n - 1) >> (octave - 2) & 3
	return 4*(octave-shortestBits) + quarter, 1<<octave + (quarter+1)*step, true
}

// extend makes room for n bytes behind b, and for as many again as b has, but no more
// than most, if it needs other memory for that. Then it clears b's, which may be secret.
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

// grow makes room for n bytes behind dst. Where there is no memory yet it does not
// touch what it makes: slices.Grow would clear it, and one goroutine would wait for
// all of its pages before the others could begin to fill them.
func grow(dst []byte, n int) []byte {
	if cap(dst) > 0 {
		return slices.Grow(dst, n)
	}
	return make([]byte, 0, n)
}
