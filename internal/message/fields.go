package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// fields reads a header field by field, from bytes in memory or from a reader,
// and keeps the bytes as they were, since tag and signature cover them. The
// first error sticks, and reads after it return zeros.
type fields struct {
	raw []byte    // everything read so far
	off int       // how much of it has been parsed
	src io.Reader // nil: raw is all there is
	max int       // most bytes that may be read
	err error
}

// errEmpty says that there is nothing where a message should be.
var errEmpty = fmt.Errorf("the message is empty: %w", io.ErrUnexpectedEOF)

// bytes returns the next n bytes, an alias of raw. The part names them in errors.
func (f *fields) bytes(n int, part string) []byte {
	if f.err != nil {
		return nil
	}
	if n > f.max-f.off {
		f.err = fmt.Errorf("%w: header: %s ends past %d bytes, the most this client reads", ErrLimit, part, f.max)
		return nil
	}
	for len(f.raw)-f.off < n {
		if f.src == nil && len(f.raw) == 0 {
			f.err = errEmpty
			return nil
		}
		if f.src == nil {
			f.err = fmt.Errorf("header: %s: %w", part, io.ErrUnexpectedEOF)
			return nil
		}
		// n is only claimed, so the buffer at most doubles on what has arrived.
		step := min(n-(len(f.raw)-f.off), max(512, len(f.raw)))
		have := len(f.raw)
		f.raw = slices.Grow(f.raw, step)[:have+step]
		got, err := io.ReadFull(f.src, f.raw[have:])
		f.raw = f.raw[:have+got]
		if err == io.EOF && len(f.raw) == 0 {
			f.err = errEmpty
			return nil
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			f.err = fmt.Errorf("header: %s: %w", part, err)
			return nil
		}
	}
	b := f.raw[f.off : f.off+n : f.off+n]
	f.off += n
	return b
}

func (f *fields) uint8(part string) uint8 {
	if b := f.bytes(1, part); f.err == nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint16(part string) uint16 {
	if b := f.bytes(2, part); f.err == nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (f *fields) uint32(part string) uint32 {
	if b := f.bytes(4, part); f.err == nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// bytes16 returns the bytes behind a 16-bit length.
func (f *fields) bytes16(part string) []byte {
	return f.bytes(int(f.uint16(part)), part)
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = malformed("header: "+format, args...)
	}
}
