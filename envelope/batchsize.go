package envelope

import "github.com/go-sealring/sealring/internal/message"

// batchLen is about how many bytes are read, sealed, opened or written at once: enough
// to make what is around the cipher cheap, few enough for a core's cache. Tests set it,
// through export_test.go, so that short messages take the ways of long ones.
var batchLen = 64 << 10

// worthOtherCores returns from how many bytes on it is worth waking other cores.
func worthOtherCores() int { return 2 * batchLen }

// framesPerBatch returns how many regular frames of frameLen bytes of content make a
// batch. Short frames are mostly what is around their content.
func framesPerBatch(frameLen int) int {
	return max(1, batchLen/(frameLen+message.RegularOverhead))
}

// streamBatches returns how many batches of frames of frameLen bytes a stream may have
// in flight, and so how many goroutines. Each batch has a buffer to read into and one to
// write from: this bounds a stream's memory.
func streamBatches(frameLen int) int {
	const (
		most  = 16
		bytes = 2 << 20
	)
	return max(1, min(most, bytes/max(frameLen, batchLen)))
}
