package envelope

import (
	"slices"
	"sync"
)

// Long buffers are reused: making one costs as much as a part of the cipher's
// work, and a message of a few hundred KiB would need several. What was secret in
// them is cleared before they go back.
var longBuffers, batchBuffers sync.Pool

const (
	batchBuffer = 192 << 10 // the longest of batchBuffers
	shortBuffer = 16 << 10  // not worth keeping up to here
	roundBuffer = 64 << 10  // lengths are multiples, so that more of them fit
)

// newBuffer returns n bytes that hold anything.
func newBuffer(n int) []byte {
	if n <= shortBuffer {
		return make([]byte, n)
	}
	if b, ok := bufferPool(n).Get().(*[]byte); ok && cap(*b) >= n {
		return (*b)[:n]
	}
	return make([]byte, n, (n+roundBuffer-1)/roundBuffer*roundBuffer)
}

// freeBuffer takes back what newBuffer returned, or any other buffer that is used
// by nobody and holds nothing secret.
func freeBuffer(b []byte) {
	if cap(b) > shortBuffer {
		b = b[:cap(b)]
		bufferPool(len(b)).Put(&b)
	}
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

func bufferPool(n int) *sync.Pool {
	if n <= batchBuffer {
		return &batchBuffers
	}
	return &longBuffers
}
