package envelope_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// The benchmarks of streams time in turns, so that the machine's drift hits all
// alike, and report quotients of medians:
//
//   - "ratio" compares with a bare loop of the cipher over frames that come as
//     ours come: out of memory, or from the same io.Reader;
//   - "of-cipher" compares with the loop over memory in each case, which a
//     stream from a reader cannot reach on one core: the reader copies.

const streamLen = 64 << 20

// next returns up to n bytes of a stream in memory or from a reader; none at
// the end.
type next func(n int) []byte

func fromMemory(src []byte) next {
	return func(n int) []byte {
		frame := src[:min(n, len(src))]
		src = src[len(frame):]
		return frame
	}
}

func fromReader(src []byte) next {
	r := bytes.NewReader(src)
	var buf []byte
	return func(n int) []byte {
		buf = slices.Grow(buf[:0], n)
		got, _ := io.ReadFull(r, buf[:n])
		return buf[:got]
	}
}

// bareSeal seals a stream in frames into one buffer, and does nothing else.
func bareSeal(aead cipher.AEAD, src next, frameLen int) {
	var iv [12]byte
	dst := make([]byte, 0, frameLen+16)
	for seq := uint32(1); ; seq++ {
		frame := src(frameLen)
		if len(frame) == 0 {
			return
		}
		binary.BigEndian.PutUint32(iv[8:], seq)
		aead.Seal(dst, iv[:], frame, nil)
	}
}

// bareOpen opens what sealFrames made, into one buffer.
func bareOpen(b *testing.B, aead cipher.AEAD, src next, frameLen int) {
	var iv [12]byte
	dst := make([]byte, 0, frameLen)
	for seq := uint32(1); ; seq++ {
		frame := src(frameLen + 16)
		if len(frame) == 0 {
			return
		}
		binary.BigEndian.PutUint32(iv[8:], seq)
		if _, err := aead.Open(dst, iv[:], frame, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func sealFrames(aead cipher.AEAD, src []byte, frameLen int) []byte {
	var iv [12]byte
	// Seal makes its destination no longer than it needs.
	dst := make([]byte, 0, len(src)+(len(src)/frameLen+1)*aead.Overhead())
	for seq := uint32(1); len(src) > 0; seq++ {
		n := min(frameLen, len(src))
		binary.BigEndian.PutUint32(iv[8:], seq)
		dst = aead.Seal(dst, iv[:], src[:n], nil)
		src = src[n:]
	}
	return dst
}

// compare times the bare loops and ours in turns and reports the ratios.
func compare(b *testing.B, memory, bare, ours func()) {
	b.Helper()
	b.SetBytes(streamLen)
	all := []func(){memory, bare, ours}
	var times [3][]time.Duration
	for _, f := range all {
		f()
	}
	for b.Loop() {
		for i, f := range all {
			if i < 2 {
				b.StopTimer()
			} else {
				b.StartTimer()
			}
			start := time.Now()
			f()
			times[i] = append(times[i], time.Since(start))
		}
	}
	median := func(i int) float64 {
		slices.Sort(times[i])
		return times[i][len(times[i])/2].Seconds()
	}
	b.ReportMetric(median(1)/median(2), "ratio")
	b.ReportMetric(median(0)/median(2), "of-cipher")
	b.ReportMetric(streamLen/median(0)/1e6, "cipher-MB/s")
}

func newAEAD(b *testing.B) cipher.AEAD {
	block, err := aes.NewCipher(make([]byte, 32))
	require.NoError(b, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(b, err)
	return aead
}

func BenchmarkStreamEncrypt(b *testing.B) {
	src := randomBytes(streamLen)
	aead := newAEAD(b)
	for _, frameLen := range []int{4096, 65536} {
		c := newClient(b, &envelope.Options{FrameLength: frameLen})
		run := func(name string, source func([]byte) next, feed func(w *envelope.Writer) error) {
			b.Run(fmt.Sprintf("%d/%s", frameLen, name), func(b *testing.B) {
				memory := func() { bareSeal(aead, fromMemory(src), frameLen) }
				compare(b, memory, func() { bareSeal(aead, source(src), frameLen) }, func() {
					w, err := c.NewWriter(b.Context(), io.Discard, nil)
					require.NoError(b, err)
					require.NoError(b, feed(w))
					require.NoError(b, w.Close())
				})
			})
		}
		run("Write", fromMemory, func(w *envelope.Writer) error { _, err := w.Write(src); return err })
		run("Copy", fromReader, func(w *envelope.Writer) error {
			// Hides bytes.Reader's WriteTo, as a file has none.
			_, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(src)})
			return err
		})
	}
}

// BenchmarkEncryptReader reads messages of sources that can seek, as uploads do: "Read" in
// the pieces of net/http, "again" a second time after a first, whose time does not count.
// The bare loop reads the same source.
func BenchmarkEncryptReader(b *testing.B) {
	src := randomBytes(streamLen)
	aead := newAEAD(b)
	c := newClient(b, nil)
	memory := func() { bareSeal(aead, fromMemory(src), 4096) }
	bare := func() { bareSeal(aead, fromReader(src), 4096) }
	buf := make([]byte, 32<<10)
	read := func(r *envelope.EncryptReader) {
		_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, onlyReader{r}, buf)
		require.NoError(b, err)
	}
	open := func() *envelope.EncryptReader {
		r, err := c.NewEncryptReader(b.Context(), onlySeeker{bytes.NewReader(src)}, streamLen, nil)
		require.NoError(b, err)
		return r
	}
	b.Run("Read", func(b *testing.B) { compare(b, memory, bare, func() { read(open()) }) })
	b.Run("WriteTo", func(b *testing.B) {
		compare(b, memory, bare, func() {
			_, err := open().WriteTo(io.Discard)
			require.NoError(b, err)
		})
	})
	b.Run("again", func(b *testing.B) {
		r := open()
		read(r)
		compare(b, memory, bare, func() {
			_, err := r.Seek(0, io.SeekStart)
			require.NoError(b, err)
			read(r)
		})
	})
}

func BenchmarkStreamDecrypt(b *testing.B) {
	src := randomBytes(streamLen)
	aead := newAEAD(b)
	for _, frameLen := range []int{4096, 65536} {
		c := newClient(b, &envelope.Options{FrameLength: frameLen})
		msg, err := c.Encrypt(b.Context(), src, nil)
		require.NoError(b, err)
		frames := sealFrames(aead, src, frameLen)
		run := func(name string, drain func(r *envelope.Reader) error) {
			b.Run(fmt.Sprintf("%d/%s", frameLen, name), func(b *testing.B) {
				memory := func() { bareOpen(b, aead, fromMemory(frames), frameLen) }
				compare(b, memory, func() { bareOpen(b, aead, fromReader(frames), frameLen) }, func() {
					r, err := c.NewReader(b.Context(), bytes.NewReader(msg), nil)
					require.NoError(b, err)
					require.NoError(b, drain(r))
				})
			})
		}
		run("Copy", func(r *envelope.Reader) error { _, err := io.Copy(io.Discard, r); return err })
		buf := make([]byte, 64<<10)
		run("Read", func(r *envelope.Reader) error {
			for {
				if _, err := r.Read(buf); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
			}
		})
	}
}

// BenchmarkRangeReader reads a message from a store in memory: as one section in the pieces
// of net/http, and by ranges of 1 MiB, each with a fetch of its own.
func BenchmarkRangeReader(b *testing.B) {
	src := randomBytes(streamLen)
	aead := newAEAD(b)
	c := newClient(b, nil)
	msg, err := c.Encrypt(b.Context(), src, testContext)
	require.NoError(b, err)
	frames := sealFrames(aead, src, 4096)
	memory := func() { bareOpen(b, aead, fromMemory(frames), 4096) }
	bare := func() { bareOpen(b, aead, fromReader(frames), 4096) }
	s := newShelf(b, msg)
	s.body = func(r io.Reader) io.Reader { return onlyReader{r} }
	r := newRangeReader(b, c, s)
	buf := make([]byte, 1<<20)
	b.Run("Section", func(b *testing.B) {
		compare(b, memory, bare, func() {
			section := r.NewSectionReader(b.Context(), 0, r.Size())
			_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, onlyReader{section}, buf[:32<<10])
			require.NoError(b, err)
		})
	})
	b.Run("ReadAt", func(b *testing.B) {
		compare(b, memory, bare, func() {
			for off := int64(0); off < r.Size(); off += int64(len(buf)) {
				_, err := r.ReadAt(buf, off)
				require.NoError(b, err)
			}
		})
	})
}

func BenchmarkInMemory(b *testing.B) {
	src := randomBytes(streamLen)
	aead := newAEAD(b)
	c := newClient(b, nil)
	msg, err := c.Encrypt(b.Context(), src, nil)
	require.NoError(b, err)
	frames := sealFrames(aead, src, 4096)
	b.Run("AppendEncrypt", func(b *testing.B) {
		dst := make([]byte, 0, 2*streamLen)
		bare := func() { bareSeal(aead, fromMemory(src), 4096) }
		compare(b, bare, bare, func() {
			_, err := c.AppendEncrypt(b.Context(), dst, src, nil)
			require.NoError(b, err)
		})
	})
	b.Run("AppendDecrypt", func(b *testing.B) {
		dst := make([]byte, 0, 2*streamLen)
		bare := func() { bareOpen(b, aead, fromMemory(frames), 4096) }
		compare(b, bare, bare, func() {
			_, err := c.AppendDecrypt(b.Context(), dst, msg, nil)
			require.NoError(b, err)
		})
	})
}

// materials is a manager that has the data key at hand, as a cache would.
type materials struct {
	encrypt keyring.EncryptionMaterials
	decrypt keyring.DecryptionMaterials
}

func (m *materials) EncryptionMaterials(context.Context, keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	e := m.encrypt
	e.DataKey = bytes.Clone(e.DataKey)
	return &e, nil
}

func (m *materials) DecryptionMaterials(_ context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	d := m.decrypt
	d.DataKey = bytes.Clone(d.DataKey)
	return &d, nil
}

// BenchmarkField is a 64-byte field with two context pairs and the data key at
// hand.
func BenchmarkField(b *testing.B) {
	ec := keyring.EncryptionContext{"tenant": "42", "table": "patients"}
	manager, err := keyring.NewManager(zeroKey(b))
	require.NoError(b, err)
	e, err := manager.EncryptionMaterials(b.Context(), keyring.EncryptionRequest{Context: ec})
	require.NoError(b, err)
	require.NoError(b, e.Serialize())
	c, err := envelope.NewFromManager(&materials{*e, keyring.DecryptionMaterials{
		Suite: e.Suite, Context: ec, DataKey: e.DataKey,
	}}, nil)
	require.NoError(b, err)
	plaintext := randomBytes(64)
	msg, err := c.Encrypt(b.Context(), plaintext, ec)
	require.NoError(b, err)
	b.Run("Encrypt", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			dst, err = c.AppendEncrypt(b.Context(), dst[:0], plaintext, ec)
			require.NoError(b, err)
		}
	})
	b.Run("Decrypt", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			dst, err = c.AppendDecrypt(b.Context(), dst[:0], msg, ec)
			require.NoError(b, err)
		}
	})
}

// zeros is a source of n zeros.
type zeros int64

func (z *zeros) Read(p []byte) (int, error) {
	if *z == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), int64(*z))
	clear(p[:n])
	*z -= zeros(n)
	return int(n), nil
}

// BenchmarkMemory encrypts and decrypts a stream of 1 GiB and reports the most
// that the heap held beyond what it held before, and the allocations.
func BenchmarkMemory(b *testing.B) {
	const length = 1 << 30
	c := newClient(b, nil)
	for b.Loop() {
		peak, allocs := watchHeap(func(look func()) {
			src, dst := io.Pipe()
			go func() {
				w, err := c.NewWriter(b.Context(), dst, nil)
				if err == nil {
					z := zeros(length)
					_, err = io.Copy(w, &z)
				}
				if err == nil {
					err = w.Close()
				}
				dst.CloseWithError(err)
			}()
			r, err := c.NewReader(b.Context(), src, nil)
			require.NoError(b, err)
			var total int64
			buf := make([]byte, 1<<20)
			for {
				n, err := r.Read(buf)
				total += int64(n)
				look()
				if err == io.EOF {
					break
				}
				require.NoError(b, err)
			}
			require.EqualValues(b, length, total)
		})
		b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
		b.ReportMetric(float64(allocs), "allocs/stream")
	}
}

// watchHeap runs f, which calls look now and then, and returns the greatest
// growth of the live heap and the count of allocations.
func watchHeap(f func(look func())) (peak, allocs uint64) {
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var calls int
	f(func() {
		if calls++; calls%64 == 0 {
			runtime.ReadMemStats(&now)
			if now.HeapAlloc > before.HeapAlloc {
				peak = max(peak, now.HeapAlloc-before.HeapAlloc)
			}
		}
	})
	runtime.ReadMemStats(&now)
	return peak, now.Mallocs - before.Mallocs
}

// BenchmarkReadPieces reads a stream from a reader in pieces, short ones too: its
// buffers are as long as serves them.
func BenchmarkReadPieces(b *testing.B) {
	src := randomBytes(streamLen)
	aead := newAEAD(b)
	c := newClient(b, nil)
	msg, err := c.Encrypt(b.Context(), src, nil)
	require.NoError(b, err)
	frames := sealFrames(aead, src, 4096)
	for _, piece := range []int{1 << 10, 32 << 10, 1 << 20} {
		b.Run(fmt.Sprint(piece), func(b *testing.B) {
			buf := make([]byte, piece)
			memory := func() { bareOpen(b, aead, fromMemory(frames), 4096) }
			compare(b, memory, func() { bareOpen(b, aead, fromReader(frames), 4096) }, func() {
				r, err := c.NewReader(b.Context(), onlyReader{bytes.NewReader(msg)}, nil)
				require.NoError(b, err)
				for err == nil {
					_, err = r.Read(buf)
				}
				require.Equal(b, io.EOF, err)
			})
		})
	}
}
