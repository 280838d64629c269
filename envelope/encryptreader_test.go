package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

// onlySeeker hides all but Read and Seek.
type onlySeeker struct{ io.ReadSeeker }

// pullSources are the kinds of sources that an EncryptReader reads in ways of their own.
var pullSources = map[string]func([]byte) io.Reader{
	"in memory":       func(b []byte) io.Reader { return bytes.NewReader(b) },
	"seekable":        func(b []byte) io.Reader { return onlySeeker{bytes.NewReader(b)} },
	"not seekable":    func(b []byte) io.Reader { return onlyReader{bytes.NewReader(b)} },
	"by halves":       func(b []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(b)) },
	"EOF with data":   func(b []byte) io.Reader { return iotest.DataErrReader(bytes.NewReader(b)) },
	"seekable, slow":  func(b []byte) io.Reader { return &slowSeeker{bytes.NewReader(b)} },
	"seeks to no end": func(b []byte) io.Reader { return &noSeeker{bytes.NewReader(b)} },
}

// slowSeeker gives few bytes at once.
type slowSeeker struct{ *bytes.Reader }

func (s *slowSeeker) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 13)]) }

// noSeeker has a method Seek that fails, as that of a file which is a pipe does.
type noSeeker struct{ r io.Reader }

func (s *noSeeker) Read(p []byte) (int, error)     { return s.r.Read(p) }
func (s *noSeeker) Seek(int64, int) (int64, error) { return 0, fs.ErrInvalid }

func newEncryptReader(t testing.TB, c *envelope.Client, src io.Reader, size int) *envelope.EncryptReader {
	t.Helper()
	r, err := c.NewEncryptReader(t.Context(), src, int64(size), testContext)
	require.NoError(t, err)
	return r
}

func TestEncryptReader(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 200)
	for _, s := range []keyring.Suite{unsigned, signed} {
		for _, frameLen := range []int{7, 50, 500} {
			for _, n := range []int{0, 1, frameLen, frameLen + 1, 1000, 3000} {
				for _, concurrency := range []int{1, 3} {
					c := withConcurrency(t, s, frameLen, concurrency)
					plaintext := randomBytes(n)
					r := newEncryptReader(t, c, onlySeeker{bytes.NewReader(plaintext)}, n)
					msg, err := io.ReadAll(r)
					require.NoError(t, err)
					require.EqualValues(t, r.Size(), len(msg))
					h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
					require.NoError(t, err)
					require.Equal(t, h, r.Header())
					decryptsTo(t, c, msg, plaintext, testContext)
					_, err = r.Seek(0, io.SeekStart)
					require.NoError(t, err)
					require.NoError(t, iotest.TestReader(r, msg))
				}
			}
		}
	}
}

// TestEncryptReaderBase has the plaintext begin where the source stands.
func TestEncryptReaderBase(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 10})
	name := t.TempDir() + "/file"
	plaintext := randomBytes(100)
	require.NoError(t, os.WriteFile(name, append([]byte("left out"), plaintext...), 0o600))
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Seek(8, io.SeekStart)
	require.NoError(t, err)
	r := newEncryptReader(t, c, f, len(plaintext))
	for range 2 {
		msg, err := io.ReadAll(r)
		require.NoError(t, err)
		decryptsTo(t, c, msg, plaintext, testContext)
		_, err = r.Seek(0, io.SeekStart)
		require.NoError(t, err)
	}
}

// TestEncryptReaderLength has sources end too early and too late.
func TestEncryptReaderLength(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	const frameLen = 10
	shortBatches(t, 100)
	for _, s := range []keyring.Suite{unsigned, signed} {
		c := withConcurrency(t, s, frameLen, 3)
		for name, source := range pullSources {
			for _, n := range []int{1, 9, 10, 11, 20, 500, 505} {
				plaintext := randomBytes(n + 30)
				for _, has := range []int{n - 1, n + 1, n + 30, 0} {
					if has == n {
						continue
					}
					for way, read := range map[string]func(*envelope.EncryptReader, io.Writer) error{
						"Read":    func(r *envelope.EncryptReader, w io.Writer) error { _, err := io.Copy(w, onlyReader{r}); return err },
						"WriteTo": func(r *envelope.EncryptReader, w io.Writer) error { _, err := r.WriteTo(w); return err },
					} {
						if s.Signs() && n > 11 {
							continue
						}
						about := fmt.Sprintf("%s, %s, %d bytes where %d were said", name, way, has, n)
						r := newEncryptReader(t, c, source(plaintext[:has]), n)
						var got bytes.Buffer
						err := read(r, &got)
						require.ErrorIs(t, err, envelope.ErrSourceChanged, about)
						require.Equal(t, has < n, errors.Is(err, io.ErrUnexpectedEOF), "%s: %v", about, err)
						require.Less(t, int64(got.Len()), r.Size())
						_, again := r.Read(make([]byte, 1))
						require.Equal(t, err, again, "the error did not stick")
						m, again := r.WriteTo(io.Discard)
						require.Equal(t, err, again)
						require.Zero(t, m)
						_, again = r.Seek(0, io.SeekStart)
						require.Equal(t, err, again)
						if has > 0 {
							decryptFails(t, c, got.Bytes(), plaintext[:n], testContext, io.ErrUnexpectedEOF)
						}
					}
				}
			}
		}
	}
}

func TestEncryptReaderSourceFails(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 10})
	lost := fmt.Errorf("connection lost: %w", io.EOF)
	for _, broken := range []error{errBroken, lost} {
		for _, n := range []int{0, 5, 10, 55, 100} {
			src := io.MultiReader(bytes.NewReader(randomBytes(n)), iotest.ErrReader(broken))
			msg, err := io.ReadAll(newEncryptReader(t, c, src, 100))
			require.ErrorIs(t, err, broken)
			require.NotErrorIs(t, err, envelope.ErrSourceChanged)
			_, err = c.Decrypt(t.Context(), msg, testContext)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	}
	_, err := io.ReadAll(newEncryptReader(t, c, lazyReader{}, 100))
	require.ErrorIs(t, err, io.ErrNoProgress)
	_, err = io.ReadAll(newEncryptReader(t, c, liar(-1), 100))
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)

	src := &failingSeeker{ReadSeeker: bytes.NewReader(randomBytes(100))}
	r := newEncryptReader(t, c, src, 100)
	_, err = io.ReadAll(r)
	require.NoError(t, err)
	_, err = r.Seek(0, io.SeekStart)
	require.NoError(t, err)
	src.err = errBroken
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, errBroken)
}

type failingSeeker struct {
	io.ReadSeeker
	err error
}

func (f *failingSeeker) Seek(offset int64, whence int) (int64, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.ReadSeeker.Seek(offset, whence)
}

func TestEncryptReaderRefuses(t *testing.T) {
	counting := &countingKeyring{Keyring: zeroKey(t)}
	c, err := envelope.New(counting, &envelope.Options{FrameLength: 1})
	require.NoError(t, err)
	_, err = c.NewEncryptReader(t.Context(), nil, 0, nil)
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	_, err = c.NewEncryptReader(t.Context(), bytes.NewReader(nil), -1, nil)
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	assert.Zero(t, counting.encrypts.Load())
	for _, n := range []int64{1 << 32, math.MaxInt64} {
		_, err = c.NewEncryptReader(t.Context(), bytes.NewReader(nil), n, nil)
		require.ErrorIs(t, err, envelope.ErrLimit)
	}

	r := newEncryptReader(t, c, bytes.NewReader([]byte("plaintext")), 9)
	for _, bad := range []struct {
		offset int64
		whence int
	}{{-1, io.SeekStart}, {-1, io.SeekCurrent}, {-r.Size() - 1, io.SeekEnd}, {0, 3}} {
		_, err := r.Seek(bad.offset, bad.whence)
		require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	}
	n, err := r.Read(nil)
	require.NoError(t, err)
	require.Zero(t, n)
	msg, err := io.ReadAll(r)
	require.NoError(t, err, "a seek that was refused is no error of the reader")
	decryptsTo(t, c, msg, []byte("plaintext"), testContext)
	n, err = r.Read(nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

// TestEncryptReaderTellsLength does what aws-sdk-go-v2 does to find a body's length, with
// sources that can seek and such that cannot.
func TestEncryptReaderTellsLength(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 10})
	plaintext := randomBytes(95)
	for name, source := range pullSources {
		r := newEncryptReader(t, c, source(plaintext), len(plaintext))
		at, err := r.Seek(0, io.SeekCurrent)
		require.NoError(t, err, name)
		end, err := r.Seek(0, io.SeekEnd)
		require.NoError(t, err, name)
		require.Equal(t, r.Size(), end-at)
		_, err = r.Seek(at, io.SeekStart)
		require.NoError(t, err, name)
		msg, err := io.ReadAll(r)
		require.NoError(t, err, name)
		decryptsTo(t, c, msg, plaintext, testContext)
	}
}

// TestEncryptReaderCannotSeekBack has a source be read once.
func TestEncryptReaderCannotSeekBack(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 10})
	plaintext := randomBytes(95)
	r := newEncryptReader(t, c, onlyReader{bytes.NewReader(plaintext)}, len(plaintext))
	start, err := io.ReadAll(io.LimitReader(r, 100))
	require.NoError(t, err)
	_, err = r.Seek(99, io.SeekStart)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	// Onwards it can.
	_, err = r.Seek(1, io.SeekCurrent)
	require.NoError(t, err)
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.EqualValues(t, r.Size(), len(start)+1+len(rest))
	_, err = r.Seek(0, io.SeekStart)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	for byte101 := range 256 {
		msg := append(append(bytes.Clone(start), byte(byte101)), rest...)
		if got, err := c.Decrypt(t.Context(), msg, testContext); err == nil {
			require.Equal(t, plaintext, got)
			return
		}
	}
	t.Fatal("what was read around the byte is not of the message")
}

// TestEncryptReaderChanged changes each byte of the source between two readings: the second
// returns a beginning of the first, and the error.
func TestEncryptReaderChanged(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	const frameLen = 10
	shortBatches(t, 100)
	for _, s := range []keyring.Suite{unsigned, signed} {
		for _, n := range []int{1, 10, 125, 130} {
			if s.Signs() && n > 10 {
				n = 35 // a signature for each byte
			}
			c := withConcurrency(t, s, frameLen, 3)
			for at := range n {
				for _, place := range []int64{0, 1, -1} {
					plaintext := randomBytes(n)
					r := newEncryptReader(t, c, onlySeeker{bytes.NewReader(plaintext)}, n)
					first, err := io.ReadAll(r)
					require.NoError(t, err)
					plaintext[at] ^= 1 << (at % 8)
					start := place
					if place < 0 {
						// The beginning of the frame that holds the byte.
						start = int64(r.Header().Length + at/frameLen*(frameLen+32))
					}
					_, err = r.Seek(start, io.SeekStart)
					require.NoError(t, err)
					second, err := io.ReadAll(r)
					require.ErrorIs(t, err, envelope.ErrSourceChanged)
					require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
					require.True(t, bytes.HasPrefix(first[start:], second))
					require.LessOrEqual(t, int(start)+len(second), max(int(start), r.Header().Length+at/frameLen*(frameLen+32)))

					// It is the last word, even if the source is as it was.
					plaintext[at] ^= 1 << (at % 8)
					_, again := r.Seek(0, io.SeekStart)
					require.Equal(t, err, again)
					_, again = r.Read(make([]byte, 1))
					require.Equal(t, err, again)
				}
			}
		}
	}
}

// TestEncryptReaderChangedLength makes the source longer or shorter between two readings.
func TestEncryptReaderChangedLength(t *testing.T) {
	const frameLen, n = 10, 95
	c := newClient(t, &envelope.Options{FrameLength: frameLen})
	for _, has := range []int{n - 1, n + 1, 0} {
		plaintext := randomBytes(n + 1)
		src := &growing{b: plaintext[:n]}
		r := newEncryptReader(t, c, src, n)
		first, err := io.ReadAll(r)
		require.NoError(t, err)
		src.b = plaintext[:has]
		_, err = r.Seek(0, io.SeekStart)
		require.NoError(t, err)
		second, err := io.ReadAll(r)
		require.ErrorIs(t, err, envelope.ErrSourceChanged)
		require.True(t, bytes.HasPrefix(first, second))
		require.Less(t, len(second), len(first))
	}
}

// growing is a source whose bytes may change, by their count too. It changes one itself, now
// and then, if it is told how often.
type growing struct {
	b      []byte
	at     int64
	rand   *rand.Rand
	change float64
}

func (g *growing) Read(p []byte) (int, error) {
	if g.rand != nil && g.rand.Float64() < g.change {
		g.b[g.rand.IntN(len(g.b))] ^= 1
	}
	if g.at >= int64(len(g.b)) {
		return 0, io.EOF
	}
	n := copy(p, g.b[g.at:])
	if g.rand != nil {
		n = min(n, 1+g.rand.IntN(40))
	}
	g.at += int64(n)
	return n, nil
}

func (g *growing) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += g.at
	case io.SeekEnd:
		offset += int64(len(g.b))
	}
	g.at = offset
	return offset, nil
}

// released remembers every byte of a message that has left. A place in the message stands
// for a place in the key stream under one key and nonce: two bytes that differ there give
// away how their plaintexts differ.
type released struct {
	bytes []byte
	known []bool
}

func (r *released) add(at int64, p []byte) error {
	for i, b := range p {
		at := at + int64(i)
		if r.known[at] && r.bytes[at] != b {
			return fmt.Errorf("byte %d was released with two values", at)
		}
		r.bytes[at], r.known[at] = b, true
	}
	return nil
}

// TestEncryptReaderHistories reads, seeks and changes the source at random. No byte of the
// message is ever released with two values; what was released of a message whose source did
// not change decrypts.
func TestEncryptReaderHistories(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 100)
	const frameLen = 10
	var changed, complete, read int
	for seed := range uint64(1500) {
		random := rand.New(rand.NewPCG(seed, 1))
		suite, steps := unsigned, 30
		if seed%10 == 0 {
			suite = signed
		}
		n := random.IntN(400)
		src := &growing{b: randomBytes(n)}
		if n > 0 && seed%2 == 0 {
			src.rand, src.change = random, 0.005
		}
		plaintext := bytes.Clone(src.b)
		c := withConcurrency(t, suite, frameLen, 1+random.IntN(3))
		r := newEncryptReader(t, c, src, n)
		seen := &released{make([]byte, r.Size()), make([]bool, r.Size())}
		pos := int64(0)
		var history []string
		did := func(format string, args ...any) { history = append(history, fmt.Sprintf(format, args...)) }
		var failed error
		for range steps {
			var err error
			switch random.IntN(8) {
			case 0:
				if n > 0 && seed%3 > 0 && random.IntN(3) == 0 {
					at := random.IntN(n)
					src.b[at] ^= byte(1 + random.IntN(255))
					did("change %d", at)
				}
			case 1, 2:
				to := random.Int64N(r.Size() + 20)
				whence, offset := random.IntN(3), to
				switch whence {
				case io.SeekCurrent:
					offset -= pos
				case io.SeekEnd:
					offset -= r.Size()
				}
				did("seek to %d", to)
				if pos, err = r.Seek(offset, whence); err == nil {
					require.Equal(t, to, pos)
				}
			case 3:
				dst := &limitedWriter{n: random.IntN(300), err: errBroken}
				did("write to, %d bytes", dst.n)
				var m int64
				m, err = r.WriteTo(dst)
				require.EqualValues(t, dst.dst.Len(), m)
				require.NoError(t, seen.add(pos, dst.dst.Bytes()), "seed %d: %v", seed, history)
				pos += m
				if errors.Is(err, errBroken) {
					err = nil
				}
			default:
				p := make([]byte, 1+random.IntN(300))
				did("read %d", len(p))
				var m int
				m, err = r.Read(p)
				require.NoError(t, seen.add(pos, p[:m]), "seed %d: %v", seed, history)
				require.Equal(t, make([]byte, len(p)-m), p[m:], "seed %d: written behind what is counted", seed)
				pos += int64(m)
				read += m
				if err == io.EOF {
					require.GreaterOrEqual(t, pos, r.Size())
					err = nil
				}
			}
			if err != nil {
				require.ErrorIs(t, err, envelope.ErrSourceChanged, "seed %d: %v", seed, history)
				if failed != nil {
					require.Equal(t, failed, err, "the error did not stick")
				} else {
					changed++
				}
				failed = err
			}
		}
		if failed == nil && bytes.Equal(plaintext, src.b) {
			_, err := r.Seek(0, io.SeekStart)
			require.NoError(t, err)
			msg, err := io.ReadAll(r)
			if src.change == 0 {
				require.NoError(t, err, "seed %d: %v", seed, history)
			}
			require.NoError(t, seen.add(0, msg), "seed %d: %v", seed, history)
			if err == nil {
				got, err := c.Decrypt(t.Context(), msg, testContext)
				require.NoError(t, err)
				require.Len(t, got, n)
				if src.change == 0 {
					require.Equal(t, plaintext, got)
				}
				complete++
			}
		}
	}
	t.Logf("%d histories ended in a change that was seen, %d in a whole message; %d bytes were read", changed, complete, read)
	require.Greater(t, changed, 200)
	require.Greater(t, complete, 200)
}

func TestEncryptReaderDestinationFails(t *testing.T) {
	c := newClient(t, nil)
	plaintext := randomBytes(5 * envelope.BatchLen)
	for name, source := range pullSources {
		if name == "seekable, slow" {
			continue
		}
		for _, n := range []int{0, 1, 500, envelope.BatchLen, 3*envelope.BatchLen + 1} {
			for _, fails := range []struct{ err, is error }{{errBroken, errBroken}, {nil, io.ErrShortWrite}} {
				r := newEncryptReader(t, c, source(plaintext), len(plaintext))
				dst := &limitedWriter{n: n, err: fails.err}
				m, err := r.WriteTo(dst)
				require.ErrorIs(t, err, fails.is)
				require.EqualValues(t, n, m)
				rest, err := io.ReadAll(r)
				require.NoError(t, err, name)
				decryptsTo(t, c, append(dst.dst.Bytes(), rest...), plaintext, testContext)
			}
		}
	}
	r := newEncryptReader(t, c, bytes.NewReader(plaintext), len(plaintext))
	_, err := r.WriteTo(liar(1 << 30))
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
}

func TestEncryptReaderClose(t *testing.T) {
	c := newClient(t, nil)
	plaintext := randomBytes(3 * envelope.BatchLen)
	for _, n := range []int64{0, 10, 100_000, math.MaxInt64} {
		r := newEncryptReader(t, c, bytes.NewReader(plaintext), len(plaintext))
		_, err := io.ReadAll(io.LimitReader(r, n))
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.NoError(t, r.Close())
		_, err = r.Read(make([]byte, 1))
		require.ErrorIs(t, err, fs.ErrClosed)
		_, err = r.WriteTo(io.Discard)
		require.ErrorIs(t, err, fs.ErrClosed)
		_, err = r.Seek(0, io.SeekStart)
		require.ErrorIs(t, err, fs.ErrClosed)
	}
}

func TestEncryptReaderPanics(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 100)
	c := withConcurrency(t, unsigned, 10, 3)
	plaintext := randomBytes(2000)
	for _, after := range []int{0, 5, 500} {
		src := func() io.Reader {
			return io.MultiReader(bytes.NewReader(plaintext[:after]), readerFunc(func([]byte) (int, error) { panic("source panicked") }))
		}
		for name, read := range map[string]func(*envelope.EncryptReader){
			"Read":    func(r *envelope.EncryptReader) { io.ReadAll(r) },
			"WriteTo": func(r *envelope.EncryptReader) { r.WriteTo(io.Discard) },
		} {
			r := newEncryptReader(t, c, src(), len(plaintext))
			require.PanicsWithValue(t, "source panicked", func() { read(r) }, name)
			_, err := r.Read(make([]byte, 1))
			require.ErrorContains(t, err, "panicked")
		}
	}
	r := newEncryptReader(t, c, bytes.NewReader(plaintext), len(plaintext))
	require.Panics(t, func() { r.WriteTo(&panicky{}) })
	_, err := r.Read(make([]byte, 1))
	require.ErrorContains(t, err, "panicked")

	done := make(chan struct{})
	r = newEncryptReader(t, c, readerFunc(func([]byte) (int, error) { runtime.Goexit(); return 0, nil }), len(plaintext))
	go func() {
		defer close(done)
		io.ReadAll(r)
	}()
	<-done
	_, err = r.Read(make([]byte, 1))
	require.ErrorContains(t, err, "panicked")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestEncryptReaderAsks has the manager hear how long the plaintext is, once.
func TestEncryptReaderAsks(t *testing.T) {
	manager, err := keyring.NewManager(zeroKey(t))
	require.NoError(t, err)
	asked := &askedManager{MaterialsManager: manager}
	c, err := envelope.NewFromManager(asked, &envelope.Options{MaxStreamLength: 5})
	require.NoError(t, err)
	r := newEncryptReader(t, c, bytes.NewReader(randomBytes(7)), 7)
	assert.EqualValues(t, 7, asked.length)
	asked.length = -1
	for range 3 {
		_, err := io.ReadAll(r)
		require.NoError(t, err)
		_, err = r.Seek(0, io.SeekStart)
		require.NoError(t, err)
	}
	assert.EqualValues(t, -1, asked.length)
}

func TestEncryptReaderCancelled(t *testing.T) {
	c := newClient(t, nil)
	plaintext := randomBytes(5 * envelope.BatchLen)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := c.NewEncryptReader(ctx, bytes.NewReader(plaintext), int64(len(plaintext)), nil)
	require.NoError(t, err)
	_, err = io.ReadFull(r, make([]byte, 1000))
	require.NoError(t, err)
	cancel()
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, context.Canceled)
	_, again := r.Seek(0, io.SeekStart)
	require.Equal(t, err, again)
}

// TestEncryptReaderDestinationEnds has a destination fail with io.EOF, as the channel of an
// SSH connection does that the other side has closed. That is no end of the message.
func TestEncryptReaderDestinationEnds(t *testing.T) {
	c := newClient(t, nil)
	plaintext := randomBytes(3 * envelope.BatchLen)
	for _, n := range []int{0, 100, envelope.BatchLen + 1} {
		r := newEncryptReader(t, c, bytes.NewReader(plaintext), len(plaintext))
		dst := &limitedWriter{n: n, err: io.EOF}
		m, err := io.Copy(dst, r)
		require.ErrorIs(t, err, io.EOF)
		require.EqualValues(t, n, m)
		rest, err := io.ReadAll(r)
		require.NoError(t, err)
		decryptsTo(t, c, append(dst.dst.Bytes(), rest...), plaintext, testContext)
	}
}
