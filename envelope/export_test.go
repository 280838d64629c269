package envelope

import "github.com/go-sealring/sealring/internal/batchlen"

// SetFrames makes w believe that it has sealed n frames.
func (w *Writer) SetFrames(n uint32) { w.sealer.seq = n }

// BatchLen is about how much is read, sealed or written at once.
var BatchLen = batchlen.Len

// NewBuffer and FreeBuffer are the pooled buffers.
var NewBuffer, FreeBuffer = newBuffer, freeBuffer
