// Package batchlen says how long the runs of frames are that are worked on at once.
// It is a package of its own so that the tests of several others can make them
// short, and so have short messages take the ways of long ones.
package batchlen

// Len is about how many bytes are read, sealed, opened or written at once: enough
// to make what is around the cipher cheap, few enough for a core's cache.
var Len = 64 << 10

// Bulk is from how many bytes on other cores are worth their waking.
func Bulk() int { return 2 * Len }

// Frames returns how many frames with so many bytes of content make a batch.
func Frames(frameLen int) int { return max(1, Len/(frameLen+frameOverhead)) }

// frameOverhead is what a regular frame has on the wire beside its content. Short
// frames are mostly that.
const frameOverhead = 32

// MaxInFlight returns how many batches of frames of so many bytes a stream may
// have at once, and with them how many goroutines. Each has a buffer to read into
// and one to write from, so that this bounds a stream's memory.
func MaxInFlight(frameLen int) int {
	const (
		most  = 16
		bytes = 2 << 20
	)
	return max(1, min(most, bytes/max(frameLen, Len)))
}
