package envelope_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

func newReaderAt(t testing.TB, c *envelope.Client, msg []byte) *envelope.ReaderAt {
	t.Helper()
	r, err := c.NewReaderAt(t.Context(), bytes.NewReader(msg), int64(len(msg)), testContext)
	require.NoError(t, err)
	return r
}

// countingReaderAt remembers what was read.
type countingReaderAt struct {
	io.ReaderAt
	mu            sync.Mutex
	lowest, upper int64
	bytes         int64
}

func (c *countingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	if c.bytes == 0 || off < c.lowest {
		c.lowest = off
	}
	c.upper = max(c.upper, off+int64(len(p)))
	c.bytes += int64(len(p))
	c.mu.Unlock()
	return c.ReaderAt.ReadAt(p, off)
}

func TestReaderAt(t *testing.T) {
	for _, frameLen := range []int{1, 7, 100, 4096, envelope.BatchLen + 1} {
		t.Run(fmt.Sprint(frameLen), func(t *testing.T) {
			t.Parallel()
			c := newClient(t, &envelope.Options{FrameLength: frameLen})
			for _, n := range sizes(frameLen) {
				if n < 0 || frameLen < 100 && n > 5_000 {
					continue
				}
				plaintext := randomBytes(n)
				msg := encrypt(t, c, plaintext)
				counting := &countingReaderAt{ReaderAt: bytes.NewReader(msg)}
				r, err := c.NewReaderAt(t.Context(), counting, int64(len(msg)), testContext)
				require.NoError(t, err)
				require.EqualValues(t, n, r.Size())

				whole := make([]byte, n+1)
				got, err := r.ReadAt(whole, 0)
				require.ErrorIs(t, err, io.EOF)
				require.True(t, bytes.Equal(plaintext, whole[:got]))

				h := r.Header()
				for range 50 {
					off := rand.Int64N(int64(n) + 2)
					length := rand.Int64N(int64(3*frameLen) + 2)
					want := plaintext[min(off, int64(n)):min(off+length, int64(n))]
					counting.bytes, counting.upper = 0, 0
					p := make([]byte, length)
					got, err := r.ReadAt(p, off)
					require.True(t, bytes.Equal(want, p[:got]), "%d bytes at %d", length, off)
					if got < len(p) || off >= int64(n) {
						require.ErrorIs(t, err, io.EOF)
					} else {
						require.NoError(t, err)
					}
					// Only the frames of the range are read.
					start, long, err := h.MessageRange(off, length, int64(len(msg)))
					require.NoError(t, err)
					if counting.bytes > 0 {
						require.GreaterOrEqual(t, counting.lowest, start)
						require.LessOrEqual(t, counting.upper, start+long)
						require.LessOrEqual(t, counting.bytes, long)
					}
				}
				if n <= 2000 { // it reads byte by byte, and each opens a frame
					require.NoError(t, iotest.TestReader(io.NewSectionReader(r, 0, r.Size()), plaintext))
				}
			}
		})
	}
}

func TestReaderAtSuites(t *testing.T) {
	eachSuite(t, 100, func(t *testing.T, c *envelope.Client) {
		plaintext := randomBytes(1050)
		msg := encrypt(t, c, plaintext)
		h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
		require.NoError(t, err)
		r, err := c.NewReaderAt(t.Context(), bytes.NewReader(msg), int64(len(msg)), testContext)
		if h.Suite.Signs() {
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.ErrorContains(t, err, "signed")
			return
		}
		require.NoError(t, err)
		p := make([]byte, 333)
		_, err = r.ReadAt(p, 444)
		require.NoError(t, err)
		require.Equal(t, plaintext[444:777], p)
	})
}

func TestReaderAtEmptyFinalFrame(t *testing.T) {
	f := newForger(t, unsigned, 100)
	plaintext := randomBytes(200)
	f.writeHeader().regular(1, plaintext[:100]).regular(2, plaintext[100:]).final(3, nil)
	d, err := envelope.NewDecrypter(f, nil)
	require.NoError(t, err)
	r, err := d.NewReaderAt(t.Context(), bytes.NewReader(f.msg), int64(len(f.msg)), nil)
	require.NoError(t, err)
	require.EqualValues(t, 200, r.Size())
	require.NoError(t, iotest.TestReader(io.NewSectionReader(r, 0, 200), plaintext))
}

// TestReaderAtTruncated finds at open, of every prefix and of the message with
// more behind it, that it is not whole.
func TestReaderAtTruncated(t *testing.T) {
	for _, n := range []int{0, 1, 35, 40} {
		c := newClient(t, &envelope.Options{FrameLength: 10})
		msg := encrypt(t, c, randomBytes(n))
		for cut := range msg {
			_, err := c.NewReaderAt(t.Context(), bytes.NewReader(msg[:cut]), int64(cut), testContext)
			require.Error(t, err)
			// The size says more than the source has.
			_, err = c.NewReaderAt(t.Context(), bytes.NewReader(msg[:cut]), int64(len(msg)), testContext)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
		for more := 1; more < 100; more++ {
			long := append(bytes.Clone(msg), randomBytes(more)...)
			_, err := c.NewReaderAt(t.Context(), bytes.NewReader(long), int64(len(long)), testContext)
			require.Error(t, err, "%d bytes more", more)
		}
	}
}

// TestReaderAtFlips alters every byte: what is read is right, or an error.
func TestReaderAtFlips(t *testing.T) {
	for _, s := range []keyring.Suite{unsigned, keyring.SuiteAES256GCMHKDFSHA256, keyring.SuiteAES128GCM} {
		c := newClient(t, optionsFor(s, 10))
		plaintext := randomBytes(35)
		msg := encrypt(t, c, plaintext)
		for at := range msg {
			altered := bytes.Clone(msg)
			altered[at] ^= 1 << (at % 8)
			r, err := c.NewReaderAt(t.Context(), bytes.NewReader(altered), int64(len(msg)), testContext)
			if err != nil {
				continue
			}
			failed := 0
			for off := range plaintext {
				p := make([]byte, 1)
				if n, err := r.ReadAt(p, int64(off)); err != nil {
					require.Zero(t, n)
					failed++
				} else {
					require.Equal(t, plaintext[off], p[0])
				}
			}
			require.Equal(t, 10, failed, "byte %d: one frame fails, and the others do not", at)
			p := make([]byte, 35)
			n, err := r.ReadAt(p, 0)
			require.Error(t, err)
			require.Equal(t, plaintext[:n], p[:n])
		}
	}
}

// TestReaderAtFrames moves frames about: each must stand at its own place.
func TestReaderAtFrames(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 10})
	msg := encrypt(t, c, randomBytes(45))
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)
	const wire = 10 + message.RegularOverhead
	frame := func(msg []byte, i int) []byte { return msg[h.Length+i*wire : h.Length+(i+1)*wire] }
	swapped := bytes.Clone(msg)
	copy(frame(swapped, 0), frame(msg, 1))
	copy(frame(swapped, 1), frame(msg, 0))
	r := newReaderAt(t, c, swapped)
	for _, off := range []int64{0, 5, 10, 19} {
		_, err := r.ReadAt(make([]byte, 1), off)
		require.ErrorIs(t, err, envelope.ErrMalformed)
	}
	_, err = r.ReadAt(make([]byte, 1), 20)
	require.NoError(t, err)
}

func TestReaderAtRefuses(t *testing.T) {
	c := newClient(t, nil)
	msg := encrypt(t, c, []byte("plaintext"))
	_, err := c.NewReaderAt(t.Context(), nil, 1, nil)
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	_, err = c.NewReaderAt(t.Context(), bytes.NewReader(msg), -1, nil)
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	_, err = c.NewReaderAt(t.Context(), bytes.NewReader(msg), 0, nil)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = c.NewReaderAt(t.Context(), bytes.NewReader(msg), int64(len(msg)), keyring.EncryptionContext{"tenant": "43"})
	require.ErrorIs(t, err, envelope.ErrContextMismatch)
	r := newReaderAt(t, c, msg)
	_, err = r.ReadAt(make([]byte, 1), -1)
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	_, err = r.ReadAt(make([]byte, 1), 9)
	require.Equal(t, io.EOF, err)

	f := newForger(t, unsigned, 0)
	f.writeHeader().nonFramed([]byte("plaintext"))
	d, err := envelope.NewDecrypter(f, nil)
	require.NoError(t, err)
	_, err = d.NewReaderAt(t.Context(), bytes.NewReader(f.msg), int64(len(f.msg)), nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)

	// A signed message costs no call to the keyring.
	counting := &countingKeyring{Keyring: zeroKey(t)}
	c, err = envelope.New(counting, &envelope.Options{Suite: signed})
	require.NoError(t, err)
	msg = encrypt(t, c, nil)
	_, err = c.NewReaderAt(t.Context(), bytes.NewReader(msg), int64(len(msg)), nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	assert.Zero(t, counting.decrypts.Load())
}

func TestReaderAtSourceAndContext(t *testing.T) {
	c := newClient(t, nil)
	msg := encrypt(t, c, randomBytes(100_000))
	src := &failingReaderAt{ReaderAt: bytes.NewReader(msg)}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := c.NewReaderAt(ctx, src, int64(len(msg)), testContext)
	require.NoError(t, err)
	src.err = errBroken
	_, err = r.ReadAt(make([]byte, 10), 0)
	require.ErrorIs(t, err, errBroken)
	src.err = nil
	_, err = r.ReadAt(make([]byte, 10), 0)
	require.NoError(t, err, "errors do not stick")
	cancel()
	_, err = r.ReadAt(make([]byte, 10), 0)
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.NewReaderAt(ctx, src, int64(len(msg)), testContext)
	require.ErrorIs(t, err, context.Canceled)
}

type failingReaderAt struct {
	io.ReaderAt
	err error
}

func (f *failingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

func TestReaderAtConcurrently(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 100})
	plaintext := randomBytes(50_000)
	r := newReaderAt(t, c, encrypt(t, c, plaintext))
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for range 200 {
				off := rand.IntN(len(plaintext))
				p := make([]byte, rand.IntN(1000))
				n, _ := r.ReadAt(p, int64(off))
				assert.Equal(t, plaintext[off:off+n], p[:n])
			}
		})
	}
	done.Wait()
}

// TestReaderAtServes uses it as others do: for HTTP ranges, and for archives.
func TestReaderAtServes(t *testing.T) {
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	f, err := z.Create("file")
	require.NoError(t, err)
	content := bytes.Repeat([]byte("content "), 10_000)
	_, err = f.Write(content)
	require.NoError(t, err)
	require.NoError(t, z.Close())

	c := newClient(t, nil)
	r := newReaderAt(t, c, encrypt(t, c, archive.Bytes()))
	opened, err := zip.NewReader(r, r.Size())
	require.NoError(t, err)
	file, err := opened.Open("file")
	require.NoError(t, err)
	got, err := io.ReadAll(file)
	require.NoError(t, err)
	assert.Equal(t, content, got)

	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set("Range", "bytes=10-19")
	answer := httptest.NewRecorder()
	http.ServeContent(answer, req, "archive.zip", time.Time{}, io.NewSectionReader(r, 0, r.Size()))
	assert.Equal(t, http.StatusPartialContent, answer.Code)
	assert.Equal(t, archive.Bytes()[10:20], answer.Body.Bytes())
}

func TestMessageRange(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 10})
	msg := encrypt(t, c, randomBytes(35))
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)
	size, head := int64(len(msg)), int64(h.Length)
	const wire = 10 + message.RegularOverhead
	for name, want := range map[string]struct{ off, n, start, length int64 }{
		"first byte":     {0, 1, head, wire},
		"first frame":    {0, 10, head, wire},
		"over a border":  {9, 2, head, 2 * wire},
		"second frame":   {10, 10, head + wire, wire},
		"final frame":    {30, 5, head + 3*wire, 5 + message.FinalOverhead},
		"all":            {0, 35, head, size - head},
		"past the end":   {20, 1000, head + 2*wire, size - head - 2*wire},
		"nothing":        {5, 0, head, 0},
		"behind the end": {35, 10, head, 0},
	} {
		start, length, err := h.MessageRange(want.off, want.n, size)
		require.NoError(t, err, name)
		assert.Equal(t, want.start, start, name)
		assert.Equal(t, want.length, length, name)
	}
	for _, bad := range [][3]int64{{-1, 1, size}, {0, -1, size}, {0, 1, 5}} {
		_, _, err := h.MessageRange(bad[0], bad[1], bad[2])
		require.Error(t, err)
	}
	_, _, err = h.MessageRange(1<<62, 1<<62, size)
	require.NoError(t, err)
	h.FrameLength = 0
	_, _, err = h.MessageRange(0, 1, size)
	require.ErrorIs(t, err, envelope.ErrLimit)
}
