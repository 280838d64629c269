package envelope_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

// shortBatches makes batches n bytes long for a test, so that short messages go
// the parallel ways.
func shortBatches(t testing.TB, n int) {
	was := envelope.SetBatchLen(n)
	t.Cleanup(func() { envelope.SetBatchLen(was) })
}

// withConcurrency returns a client that works with so many goroutines.
func withConcurrency(t testing.TB, s keyring.Suite, frameLen, n int) *envelope.Client {
	o := optionsFor(s, frameLen)
	o.Concurrency = n
	return newClient(t, o)
}

func encryptWith(t testing.TB, way string, c *envelope.Client, plaintext []byte) []byte {
	msg, err := encryptWays[way](t.Context(), c.Encrypter, plaintext, testContext)
	require.NoError(t, err, way)
	return msg
}

// TestBatchBoundaries has messages end at, before and after the ends of batches.
func TestBatchBoundaries(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	const frameLen = 10
	shortBatches(t, 100)
	var counts []int // of bytes
	for _, perBatch := range []int{envelope.FramesPerBatch(frameLen), envelope.FramesPerBatch(frameLen + 32)} {
		for _, batches := range []int{1, 2, 4, 5, 17} {
			frames := perBatch * batches
			counts = append(counts, (frames-1)*frameLen, frames*frameLen-1, frames*frameLen, frames*frameLen+1, (frames+1)*frameLen)
		}
	}
	for _, s := range []keyring.Suite{unsigned, signed} {
		for _, concurrency := range []int{1, 2, 20} {
			t.Run(fmt.Sprintf("%v/%d", s, concurrency), func(t *testing.T) {
				c := withConcurrency(t, s, frameLen, concurrency)
				for i, n := range counts {
					plaintext := randomBytes(n)
					for way := range encryptWays {
						// Signatures take long; the ways take turns.
						if s.Signs() && i%len(encryptWays) != len(way)%len(encryptWays) {
							continue
						}
						decryptsTo(t, c, encryptWith(t, way, c, plaintext), plaintext, testContext)
					}
					if s.Signs() {
						continue
					}
					msg := encryptWith(t, "Write", c, plaintext)
					r, err := c.NewReaderAt(t.Context(), bytes.NewReader(msg), int64(len(msg)), testContext)
					require.NoError(t, err)
					got := make([]byte, n)
					for off := range min(n, 2*frameLen) {
						m, err := r.ReadAt(got[off:], int64(off))
						require.NoError(t, err)
						require.Equal(t, n-off, m)
						require.True(t, bytes.Equal(plaintext[off:], got[off:]))
					}
				}
			})
		}
	}
}

// TestParallelDefaults takes messages through batches of their real length.
func TestParallelDefaults(t *testing.T) {
	for _, frameLen := range []int{1000, 4096, 65536, 300_000} {
		for _, concurrency := range []int{0, 1, 3} {
			c := withConcurrency(t, unsigned, frameLen, concurrency)
			for _, n := range []int{2 * envelope.BatchLen, 25*envelope.BatchLen + 123} {
				plaintext := randomBytes(n)
				for _, way := range []string{"Encrypt", "ReadFrom ahead", "Write and ReadFrom"} {
					msg := encryptWith(t, way, c, plaintext)
					for _, way := range []string{"Decrypt", "Read long", "Read ahead", "WriteTo in place"} {
						got, err := decryptWays[way](t.Context(), c.Decrypter, msg, testContext)
						require.NoError(t, err, way)
						require.True(t, bytes.Equal(plaintext, got), way)
					}
				}
			}
		}
	}
}

// TestParallelPrefixesAndFlips has every prefix and every flip fail where the
// parallel ways see them.
func TestParallelPrefixesAndFlips(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	const frameLen = 7
	shortBatches(t, 2*(frameLen+32))
	for _, s := range []keyring.Suite{unsigned, signed} {
		t.Run(s.String(), func(t *testing.T) {
			c := withConcurrency(t, s, frameLen, 3)
			plaintext := randomBytes(9*frameLen - 1) // five batches of two frames, but for one
			msg := encryptWith(t, "Write", c, plaintext)
			for n := range len(msg) {
				decryptFails(t, c, msg[:n], plaintext, testContext, io.ErrUnexpectedEOF)
				flipped := bytes.Clone(msg)
				flipped[n] ^= 1 << (n % 8)
				for name, decrypt := range decryptWays {
					got, err := decrypt(t.Context(), c.Decrypter, flipped, testContext)
					require.Error(t, err, "%s: byte %d", name, n)
					require.True(t, bytes.HasPrefix(plaintext, got), "%s: byte %d: released something else", name, n)
					require.Less(t, len(got), len(plaintext))
				}
			}
		})
	}
}

// TestParallelFrameOrder drops, repeats and swaps frames on both sides of batch
// boundaries. What came before the fault is released, and no more.
func TestParallelFrameOrder(t *testing.T) {
	const frameLen, wire = 10, 42
	shortBatches(t, 2*wire)
	c := withConcurrency(t, unsigned, frameLen, 3)
	plaintext := randomBytes(15*frameLen + 5)
	msg := encryptWith(t, "Encrypt", c, plaintext)
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)
	at := func(frame int) int { return h.Length + frame*wire }
	for frame := range 14 {
		for name, wrong := range map[string][]byte{
			"dropped":  append(bytes.Clone(msg[:at(frame)]), msg[at(frame+1):]...),
			"repeated": append(bytes.Clone(msg[:at(frame+1)]), msg[at(frame):]...),
			"swapped": bytes.Join([][]byte{msg[:at(frame)], msg[at(frame+1):at(frame+2)],
				msg[at(frame):at(frame+1)], msg[at(frame+2):]}, nil),
		} {
			before := frame
			if name == "repeated" {
				before++
			}
			for way, decrypt := range decryptWays {
				got, err := decrypt(t.Context(), c.Decrypter, wrong, testContext)
				require.ErrorIs(t, err, envelope.ErrMalformed, "%s %s", way, name)
				if way != "Decrypt" {
					require.Equal(t, string(plaintext[:before*frameLen]), string(got), "%s %s %d", way, name, frame)
				}
			}
			// The number put right does not help.
			if name == "swapped" {
				binary.BigEndian.PutUint32(wrong[at(frame):], uint32(frame+1))
				decryptFails(t, c, wrong, plaintext, testContext, envelope.ErrAuthentication)
			}
		}
	}
}

// TestParallelDestinationFails stops writing in the middle of what is in flight.
func TestParallelDestinationFails(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	const frameLen = 10
	shortBatches(t, 100)
	for _, s := range []keyring.Suite{unsigned, signed} {
		c := withConcurrency(t, s, frameLen, 3)
		plaintext := randomBytes(2000)
		msg := encryptWith(t, "Encrypt", c, plaintext)
		for n := 0; n < len(plaintext); n += 37 {
			for _, src := range []io.Reader{bytes.NewReader(msg), onlyReader{bytes.NewReader(msg)}} {
				r, err := c.NewReader(t.Context(), src, testContext)
				require.NoError(t, err)
				// What one destination does not take, the next ones get.
				var got []byte
				for rest := n; ; rest = 300 {
					dst := &limitedWriter{n: rest, err: errBroken}
					_, err := r.WriteTo(dst)
					got = append(got, dst.dst.Bytes()...)
					if err == nil {
						break
					}
					require.ErrorIs(t, err, errBroken)
					some := make([]byte, 33)
					m, err := io.ReadFull(r, some)
					got = append(got, some[:m]...)
					if err != nil {
						break
					}
				}
				require.True(t, bytes.Equal(plaintext, got))
			}
		}
		for n := 0; n < len(msg); n += 211 {
			for _, src := range []io.Reader{bytes.NewReader(plaintext), onlyReader{bytes.NewReader(plaintext)}} {
				dst := &limitedWriter{n: n, err: errBroken}
				w, err := c.NewWriter(t.Context(), dst, testContext)
				require.NoError(t, err)
				_, err = w.ReadFrom(src)
				if err == nil {
					err = w.Close()
				}
				require.ErrorIs(t, err, errBroken)
				require.Equal(t, err, w.Close())
				require.LessOrEqual(t, dst.over, 1)
				decryptFails(t, c, dst.dst.Bytes(), plaintext, testContext, io.ErrUnexpectedEOF)
			}
		}
	}
}

// failsAfter gives n bytes and then fails, or panics.
type failsAfter struct {
	io.Reader
	n    int
	with error // nil: panic
}

func (f *failsAfter) Read(p []byte) (int, error) {
	if f.n == 0 {
		if f.with == nil {
			panic("source panicked")
		}
		return 0, f.with
	}
	n, err := f.Reader.Read(p[:min(len(p), f.n)])
	f.n -= n
	return n, err
}

func TestParallelSourceFails(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	const frameLen = 10
	shortBatches(t, 100)
	c := withConcurrency(t, unsigned, frameLen, 3)
	plaintext := randomBytes(5000)
	msg := encryptWith(t, "Encrypt", c, plaintext)
	for n := 0; n < len(plaintext); n += 97 {
		var dst bytes.Buffer
		w, err := c.NewWriter(t.Context(), &dst, testContext)
		require.NoError(t, err)
		m, err := w.ReadFrom(&failsAfter{bytes.NewReader(plaintext), n, errBroken})
		require.ErrorIs(t, err, errBroken)
		require.EqualValues(t, n, m)
		require.ErrorIs(t, w.Close(), errBroken)
		decryptFails(t, c, dst.Bytes(), plaintext, testContext, io.ErrUnexpectedEOF)

		w, err = c.NewWriter(t.Context(), &dst, testContext)
		require.NoError(t, err)
		require.PanicsWithValue(t, "source panicked", func() {
			w.ReadFrom(&failsAfter{bytes.NewReader(plaintext), n, nil})
		})
	}
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)
	for n := h.Length; n < len(msg); n += 1 + len(msg)/50 {
		dst := &bytes.Buffer{}
		r, err := c.NewReader(t.Context(), &failsAfter{bytes.NewReader(msg), n, errBroken}, testContext)
		require.NoError(t, err)
		_, err = r.WriteTo(dst)
		require.ErrorIs(t, err, errBroken)
		whole := (n - h.Length) / (frameLen + 32) * frameLen
		require.Equal(t, string(plaintext[:whole]), dst.String(), "what had come was not released")

		r, err = c.NewReader(t.Context(), &failsAfter{bytes.NewReader(msg), n, nil}, testContext)
		require.NoError(t, err)
		require.PanicsWithValue(t, "source panicked", func() { r.WriteTo(io.Discard) })
	}
}

// TestParallelPanics has sources and destinations panic, or end the goroutine, with
// batches in flight. The caller can recover, and a Writer that is closed then does
// not pass off what it has as the whole.
func TestParallelPanics(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 100)
	plaintext := randomBytes(5000)
	for _, concurrency := range []int{1, 3} {
		c := withConcurrency(t, unsigned, 10, concurrency)
		sealed := encryptWith(t, "Encrypt", c, plaintext)
		for name, run := range map[string]struct {
			dst   io.Writer
			write func(*envelope.Writer)
		}{
			"Write":                {&panicky{}, func(w *envelope.Writer) { w.Write(plaintext) }},
			"ReadFrom":             {&panicky{}, func(w *envelope.Writer) { w.ReadFrom(bytes.NewReader(plaintext)) }},
			"ReadFrom a panic":     {io.Discard, func(w *envelope.Writer) { w.ReadFrom(&failsAfter{bytes.NewReader(plaintext), 3000, nil}) }},
			"ReadFrom a panic now": {io.Discard, func(w *envelope.Writer) { w.ReadFrom(&failsAfter{bytes.NewReader(plaintext), 0, nil}) }},
			"Copy from a Reader": {io.Discard, func(w *envelope.Writer) {
				r, err := c.NewReader(t.Context(), &failsAfter{bytes.NewReader(sealed), len(sealed) - 100, nil}, testContext)
				require.NoError(t, err)
				io.Copy(w, r)
			}},
		} {
			w, err := c.NewWriter(t.Context(), run.dst, testContext)
			require.NoError(t, err)
			require.Panics(t, func() { run.write(w) }, name)
			require.ErrorContains(t, w.Close(), "panicked", name)
			_, err = w.Write(plaintext)
			require.ErrorContains(t, err, "panicked", name)
		}
	}
	c := withConcurrency(t, unsigned, 10, 3)
	msg := encryptWith(t, "Encrypt", c, plaintext)
	r, err := c.NewReader(t.Context(), bytes.NewReader(msg), testContext)
	require.NoError(t, err)
	require.Panics(t, func() { r.WriteTo(&panicky{}) })
}

// TestReadPanics reads into the memory that is being decrypted, which AES-GCM does
// not take. Whoever recovers gets no plaintext from behind the fault.
func TestReadPanics(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 100)
	for _, concurrency := range []int{1, 3} {
		c := withConcurrency(t, unsigned, 10, concurrency)
		msg := encryptWith(t, "Encrypt", c, randomBytes(5000))
		h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
		require.NoError(t, err)
		for _, at := range []int{17, 17 + 42} {
			both := bytes.Clone(msg)
			r, err := c.NewReader(t.Context(), bytes.NewReader(both), testContext)
			require.NoError(t, err)
			require.Panics(t, func() { r.Read(both[h.Length+at:][:2000]) })
			n, err := r.Read(make([]byte, 100))
			require.Zero(t, n)
			require.ErrorContains(t, err, "panicked")
			require.ErrorIs(t, stuck(r, err), err)
		}
	}
}

// TestFaultLeavesNoPlaintext has a fault among batches that are opened at once. What
// comes after it may have been opened, and must be cleared when the call returns.
func TestFaultLeavesNoPlaintext(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	const frameLen, wire = 10, 42
	shortBatches(t, 2*wire)
	c := withConcurrency(t, unsigned, frameLen, 3)
	plaintext := bytes.Repeat([]byte{0xff}, 400*frameLen)
	msg := encryptWith(t, "Encrypt", c, plaintext)
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)
	for frame := range 100 {
		faulty := bytes.Clone(msg)
		faulty[h.Length+frame*wire+20] ^= 1
		for name, read := range map[string]func(p []byte) (int, error){
			"ReadAt": func(p []byte) (int, error) {
				r, err := c.NewReaderAt(t.Context(), bytes.NewReader(faulty), int64(len(faulty)), testContext)
				require.NoError(t, err)
				return r.ReadAt(p, 0)
			},
			"Read": func(p []byte) (int, error) {
				r, err := c.NewReader(t.Context(), bytes.NewReader(faulty), testContext)
				require.NoError(t, err)
				n, err := r.Read(p)
				if n > 0 && err == nil {
					_, err = r.Read(nil)
				}
				return n, err
			},
		} {
			p := make([]byte, len(plaintext))
			n, err := read(p)
			require.ErrorIs(t, err, envelope.ErrAuthentication, name)
			require.Equal(t, frame*frameLen, n, name)
			require.True(t, bytes.Equal(plaintext[:n], p[:n]), name)
			require.True(t, bytes.Equal(make([]byte, len(p)-n), p[n:]), "%s: frame %d: plaintext from behind the fault", name, frame)
		}
	}
}

// TestReaderAtCancelled checks that a context that is done ends reads of every part.
func TestReaderAtCancelled(t *testing.T) {
	shortBatches(t, 100)
	c := withConcurrency(t, unsigned, 10, 3)
	msg := encryptWith(t, "Encrypt", c, randomBytes(995))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := c.NewReaderAt(ctx, bytes.NewReader(msg), int64(len(msg)), testContext)
	require.NoError(t, err)
	cancel()
	for _, off := range []int64{0, 5, 989, 990, 994} { // the last two are in the final frame
		for _, n := range []int{1, 500} {
			m, err := r.ReadAt(make([]byte, n), off)
			require.ErrorIs(t, err, context.Canceled)
			require.Zero(t, m)
		}
	}
}

// TestConcurrencyBoundsNoMemory checks that a large bound is no count of buffers.
func TestConcurrencyBoundsNoMemory(t *testing.T) {
	plaintext := randomBytes(4 * envelope.BatchLen)
	c := withConcurrency(t, unsigned, 4096, 1_000_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	msg := encryptWith(t, "Encrypt", c, plaintext)
	_, err := c.Decrypt(t.Context(), msg, testContext)
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8*len(plaintext)))
}

// exits is a source of which some reads end the goroutine.
type exits struct {
	io.ReaderAt
	after atomic.Int64
}

func (e *exits) ReadAt(p []byte, off int64) (int, error) {
	if e.after.Add(-1) < 0 {
		runtime.Goexit()
	}
	return e.ReaderAt.ReadAt(p, off)
}

func (e *exits) Read(p []byte) (int, error) {
	if e.after.Add(-1) < 0 {
		runtime.Goexit()
	}
	clear(p)
	return len(p), nil
}

// TestParallelGoexit has a source end the goroutine that reads it, as a failing
// test does. What was not read is not counted.
func TestParallelGoexit(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 100)
	c := withConcurrency(t, unsigned, 10, 3)
	plaintext := randomBytes(5000)
	msg := encryptWith(t, "Encrypt", c, plaintext)
	for after := int64(3); after < 60; after++ {
		src := &exits{ReaderAt: bytes.NewReader(msg)}
		src.after.Store(1000)
		r, err := c.NewReaderAt(t.Context(), src, int64(len(msg)), testContext)
		require.NoError(t, err)
		src.after.Store(after)
		got := make([]byte, 4000)
		n, returned := 0, false
		done := make(chan struct{})
		go func() { // it may be this one that ends
			defer close(done)
			n, err = r.ReadAt(got, 0)
			returned = true
		}()
		<-done
		if returned {
			require.Error(t, err)
			require.Equal(t, string(plaintext[:n]), string(got[:n]))
		}

		src.after.Store(after)
		w, err := c.NewWriter(t.Context(), io.Discard, testContext)
		require.NoError(t, err)
		done = make(chan struct{})
		go func() {
			defer close(done)
			w.ReadFrom(onlyReader{src})
		}()
		<-done
		require.Error(t, w.Close())
	}
}

func TestParallelCancelled(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 100)
	c := withConcurrency(t, unsigned, 10, 3)
	plaintext := randomBytes(5000)
	msg := encryptWith(t, "Encrypt", c, plaintext)
	for asks := range 60 {
		for name, encrypt := range encryptWays {
			_, err := encrypt(&cancelledAfter{Context: t.Context(), asks: asks}, c.Encrypter, plaintext, testContext)
			if err != nil {
				require.ErrorIs(t, err, context.Canceled, name)
			}
		}
		for name, decrypt := range decryptWays {
			got, err := decrypt(&cancelledAfter{Context: t.Context(), asks: asks}, c.Decrypter, msg, testContext)
			if err != nil {
				require.ErrorIs(t, err, context.Canceled, name)
			}
			require.True(t, bytes.HasPrefix(plaintext, got))
		}
	}
}

// meeting counts how often a read of the source and a write to the destination
// were under way at once. Each waits for the other until nothing else goes on.
type meeting struct {
	reading, writing chan struct{}
	count            atomic.Int64
}

func (m *meeting) wait(mine, other chan struct{}) {
	select {
	case mine <- struct{}{}:
	case <-other:
		m.count.Add(1)
	case <-time.After(time.Millisecond): // in simulated time
	}
}

type meetingReader struct {
	*meeting
	io.Reader
}

func (m meetingReader) Read(p []byte) (int, error) {
	m.wait(m.reading, m.writing)
	return m.Reader.Read(p)
}

type meetingWriter struct{ *meeting }

func (m meetingWriter) Write(p []byte) (int, error) {
	m.wait(m.writing, m.reading)
	return len(p), nil
}

// TestOverlap checks that the source is read while the destination is written,
// and that with a concurrency of one all is done by the caller.
func TestOverlap(t *testing.T) {
	for concurrency, batches := range map[int]int{1: 5, 2: 60} {
		plaintext := randomBytes(batches * envelope.BatchLen)
		c := withConcurrency(t, unsigned, 4096, concurrency)
		msg := encryptWith(t, "Encrypt", c, plaintext)
		for name, run := range map[string]func(*meeting) error{
			"ReadFrom": func(m *meeting) error {
				w, err := c.NewWriter(t.Context(), meetingWriter{m}, testContext)
				require.NoError(t, err)
				_, err = w.ReadFrom(meetingReader{m, bytes.NewReader(plaintext)})
				return err
			},
			"WriteTo": func(m *meeting) error {
				r, err := c.NewReader(t.Context(), meetingReader{m, bytes.NewReader(msg)}, testContext)
				require.NoError(t, err)
				_, err = r.WriteTo(meetingWriter{m})
				return err
			},
		} {
			faketime.Test(t, func(t *testing.T) {
				m := &meeting{reading: make(chan struct{}), writing: make(chan struct{})}
				require.NoError(t, run(m), name)
				if concurrency == 1 {
					assert.Zero(t, m.count.Load(), name)
				} else {
					assert.NotZero(t, m.count.Load(), name)
				}
			})
		}
	}
}

// TestWriteToDoesNotWait has a source that gives much at once and then has the
// destination wait for it: what it gave must come through before it gives more.
func TestWriteToDoesNotWait(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	faketime.Test(t, func(t *testing.T) {
		const frameLen = 4096
		for _, concurrency := range []int{1, 2, 4} {
			c := withConcurrency(t, unsigned, frameLen, concurrency)
			plaintext := randomBytes(500 * frameLen)
			msg := encryptWith(t, "Encrypt", c, plaintext)
			h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
			require.NoError(t, err)
			for _, frames := range []int{1, 15, 30, 120, 121, 240, 241, 400, 480} {
				given := h.Length + frames*(frameLen+32)
				var dst signalling
				dst.reached = make(chan struct{})
				dst.want = frames * frameLen
				src := io.MultiReader(bytes.NewReader(msg[:given]), &waits{t: t, on: dst.reached}, bytes.NewReader(msg[given:]))
				r, err := c.NewReader(t.Context(), onlyReader{src}, testContext)
				require.NoError(t, err)
				_, err = r.WriteTo(&dst)
				require.NoError(t, err)
				require.True(t, bytes.Equal(plaintext, dst.Bytes()))
			}
		}
	})
}

// signalling tells when it has so many bytes.
type signalling struct {
	bytes.Buffer
	want    int
	reached chan struct{}
	once    sync.Once
}

func (s *signalling) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if s.Len() >= s.want {
		s.once.Do(func() { close(s.reached) })
	}
	return n, err
}

// waits is an empty source that comes to its end when told.
type waits struct {
	t  *testing.T
	on chan struct{}
}

func (w *waits) Read([]byte) (int, error) {
	select {
	case <-w.on:
		return 0, io.EOF
	case <-time.After(time.Second): // in simulated time: when nothing else goes on
		return 0, errors.New("what was given did not come through")
	}
}

// TestSourceInPlace checks that a bytes.Reader is left behind the message, and that
// what a caller did to it between calls counts.
func TestSourceInPlace(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 10})
	plaintext := randomBytes(1000)
	msg := encryptWith(t, "Encrypt", c, plaintext)
	src := bytes.NewReader(msg)
	r, err := c.NewReader(t.Context(), src, testContext)
	require.NoError(t, err)
	require.Equal(t, len(msg)-r.Header().Length, src.Len(), "read for more than the header")
	got := make([]byte, 55)
	_, err = io.ReadFull(r, got)
	require.NoError(t, err)
	require.Equal(t, plaintext[:55], got)
	_, err = src.Read(make([]byte, 1)) // away goes a byte
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.Error(t, err)

	var dst bytes.Buffer
	w, err := c.NewWriter(t.Context(), &dst, testContext)
	require.NoError(t, err)
	n, err := w.ReadFrom(src)
	require.NoError(t, err)
	require.Zero(t, src.Len())
	require.NoError(t, w.Close())
	read, err := c.Decrypt(t.Context(), dst.Bytes(), testContext)
	require.NoError(t, err)
	require.Len(t, read, int(n))
}
