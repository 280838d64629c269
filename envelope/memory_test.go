package envelope_test

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/leaktest"
)

// heldBy returns how many bytes of the heap each of n streams holds that open leaves
// open.
func heldBy(t *testing.T, n int, open func() any) int64 {
	look := func() (alloc, inUse int64) {
		leaktest.None(t, envelopeFuncs) // they hold buffers, or put them into pools
		// Twice, since what is pooled outlives one collection.
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc), int64(m.HeapInuse)
	}
	streams := make([]any, n)
	allocBefore, inUseBefore := look()
	for i := range streams {
		streams[i] = open()
	}
	alloc, inUse := look()
	runtime.KeepAlive(streams)
	return max(alloc-allocBefore, inUse-inUseBefore) / int64(n)
}

// TestSlowStreamsHoldLittle has many streams stay open of which little was read or
// written, as those of slow peers do.
func TestSlowStreamsHoldLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("encrypts 300 MB")
	}
	const streams = 300
	c := newClient(t, nil)
	plaintext := randomBytes(1 << 20)
	msg := encrypt(t, c, plaintext)

	reader := func(src io.Reader) *envelope.Reader {
		r, err := c.NewReader(t.Context(), src, testContext)
		require.NoError(t, err)
		return r
	}
	read := func(r io.Reader, total, piece int) {
		buf := make([]byte, piece)
		for at := 0; at < total; at += piece {
			_, err := io.ReadFull(r, buf)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plaintext[at:at+piece], buf))
		}
	}
	write := func(total, piece int) *envelope.Writer {
		w, err := c.NewWriter(t.Context(), io.Discard, testContext)
		require.NoError(t, err)
		for at := 0; at < total; at += piece {
			_, err := w.Write(plaintext[at : at+piece])
			require.NoError(t, err)
		}
		return w
	}
	pull := func(src io.Reader) *envelope.EncryptReader {
		r, err := c.NewEncryptReader(t.Context(), src, int64(len(plaintext)), testContext)
		require.NoError(t, err)
		return r
	}
	pass := func(r io.Reader, n int64) {
		_, err := io.Copy(io.Discard, io.LimitReader(r, n))
		require.NoError(t, err)
	}
	kinds := map[string]struct {
		most int64
		open func() any
	}{
		"Reader":           {64 << 10, func() any { r := reader(onlyReader{bytes.NewReader(msg)}); read(r, 1024, 1024); return r }},
		"Reader, by bytes": {64 << 10, func() any { r := reader(onlyReader{bytes.NewReader(msg)}); read(r, 1024, 1); return r }},
		"Reader, in place": {64 << 10, func() any { r := reader(bytes.NewReader(msg)); read(r, 1024, 1024); return r }},
		"Reader, in bufio": {64 << 10, func() any {
			r := bufio.NewReader(reader(onlyReader{bytes.NewReader(msg)}))
			read(r, 1024, 1024)
			return r
		}},
		"Reader, not begun": {64 << 10, func() any { return reader(onlyReader{bytes.NewReader(msg)}) }},
		"Writer":            {64 << 10, func() any { return write(1024, 1024) }},
		"Writer, by bytes":  {64 << 10, func() any { return write(1024, 1) }},

		// At least a batch is sealed at once, and later several: two for each goroutine,
		// and no more than 16.
		"EncryptReader":            {192 << 10, func() any { r := pull(onlyReader{bytes.NewReader(plaintext)}); pass(r, 1024); return r }},
		"EncryptReader, in place":  {128 << 10, func() any { r := pull(bytes.NewReader(plaintext)); pass(r, 1024); return r }},
		"EncryptReader, not begun": {16 << 10, func() any { return pull(bytes.NewReader(plaintext)) }},
		"EncryptReader, ended":     {64 << 10, func() any { r := pull(onlySeeker{bytes.NewReader(plaintext)}); pass(r, math.MaxInt64); return r }},
		"EncryptReader, long":      {2500 << 10, func() any { r := pull(onlySeeker{bytes.NewReader(plaintext)}); pass(r, 600<<10); return r }},

		// A buffer to read into and one to open into, of 64 KiB each at most.
		"Reader, long":           {192 << 10, func() any { r := reader(onlyReader{bytes.NewReader(msg)}); read(r, 600<<10, 1024); return r }},
		"Reader, long, in place": {128 << 10, func() any { r := reader(bytes.NewReader(msg)); read(r, 600<<10, 1024); return r }},
		"Writer, long":           {128 << 10, func() any { return write(600<<10, 1024) }},
	}
	check := func(t *testing.T) {
		for name, kind := range kinds {
			held := heldBy(t, streams, kind.open)
			t.Logf("%s: %d bytes", name, held)
			require.Less(t, held, kind.most, name)
		}
	}
	t.Run("at first", check)
	t.Run("after long frames", func(t *testing.T) {
		// Its buffers are there to be used again when the streams are opened.
		const frameLen = 16 << 20
		long := newClient(t, &envelope.Options{FrameLength: frameLen})
		plaintext := make([]byte, 2*frameLen+1)
		longMsg, err := long.Encrypt(t.Context(), plaintext, nil)
		require.NoError(t, err)
		useLong := func() {
			r, err := long.NewReader(t.Context(), onlyReader{bytes.NewReader(longMsg)}, nil)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, r)
			require.NoError(t, err)
		}
		for name, kind := range kinds {
			first := true
			held := heldBy(t, streams, func() any {
				if first {
					useLong()
					first = false
				}
				return kind.open()
			})
			t.Logf("%s: %d bytes", name, held)
			require.Less(t, held, kind.most, name)
		}
	})
}

// TestBuffersAreNoLongerThanNeeded takes buffers of all lengths from pools that hold
// others.
func TestBuffersAreNoLongerThanNeeded(t *testing.T) {
	for round := range 2 {
		for shift := range 27 {
			for _, n := range []int{1<<shift - 1, 1 << shift, 1<<shift + 1, 5 << shift / 4, 5<<shift/4 + 1, 3 << shift / 2, 7<<shift/4 + 1} {
				b := envelope.NewBuffer(n)
				require.Len(t, b, n)
				require.LessOrEqual(t, cap(b), n+n/4, "round %d: buffer of %d bytes", round, n)
				envelope.FreeBuffer(b)
				envelope.FreeBuffer(make([]byte, n)) // from elsewhere
			}
		}
	}
}
