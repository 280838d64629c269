package envelope

// SetFrames makes w believe that it has sealed n frames.
func (w *Writer) SetFrames(n uint32) { w.sealer.seq = n }

// BatchLen is how long batches are unless a test has set another length.
var BatchLen = batchLen

// SetBatchLen makes batches about n bytes long, and returns how long they were. No test
// that runs in parallel may call it.
func SetBatchLen(n int) (was int) {
	was, batchLen = batchLen, n
	return was
}

// BatchLenNow returns how long batches are.
func BatchLenNow() int { return batchLen }

// FramesPerBatch returns how many frames of so many bytes of content make a batch.
var FramesPerBatch = framesPerBatch

// NewBuffer and FreeBuffer are the pooled buffers.
var NewBuffer, FreeBuffer = newBuffer, freeBuffer
