package envelope

import (
	"slices"
	"sync"
)

// Long buffers are reused: making one costs as much as a part of the cipher's
// work, and a message of a few hundred KiB would need several. What was secret in
// them is cleared before they go back.
//
// Lengths are multiples of pooledBuffer. Those of batches come in few lengths, and
// each has a pool of its own, so that whoever asks gets one that is long enough.
var (
	batchBuffers [3]sync.Pool
	longBuffers  sync.Pool
)

const (
	shortBuffer  = 16 << 10 // not worth keeping up to here
	pooledBuffer = 64 << 10
)

// newBuffer returns n bytes that hold anything.
func newBuffer(n int) []byte {
	if n <= shortBuffer {
		return make([]byte, n)
	}
	size := (n + pooledBuffer - 1) / pooledBuffer * pooledBuffer
	if b, ok := buffersOf(size).Get().(*[]byte); ok && cap(*b) >= n {
		return (*b)[:n]
	}
	return make([]byte, n, size)
}

// freeBuffer takes back what newBuffer returned, or any other buffer that is used
// by nobody and holds nothing secret.
func freeBuffer(b []byte) {
	if size := cap(b) / pooledBuffer * pooledBuffer; size > 0 {
		b = b[:cap(b)]
		buffersOf(size).Put(&b)
	}
}

// buffersOf returns the pool of buffers of a length or somewhat more.
func buffersOf(size int) *sync.Pool {
	if i := size/pooledBuffer - 1; i < len(batchBuffers) {
		return &batchBuffers[i]
	}
	return &longBuffers
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
