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
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// A shelf is a store with one object.
type shelf struct {
	mu      sync.Mutex
	object  []byte
	version string
	asked   []envelope.FetchRequest
	open    atomic.Int64 // bodies that were not closed

	// What a test has it do in another way than it should.
	body func(r io.Reader) io.Reader
	lie  func(req envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error)
}

func (s *shelf) fetch(ctx context.Context, req envelope.FetchRequest) (*envelope.FetchResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, req)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if req.Version != "" && req.Version != s.version {
		return nil, fmt.Errorf("412: %w", envelope.ErrSourceChanged)
	}
	end := min(req.Offset+req.Length, int64(len(s.object)))
	if req.Offset < 0 || req.Length <= 0 || req.Offset >= end {
		return nil, fmt.Errorf("416: %d bytes at %d", req.Length, req.Offset)
	}
	body := io.Reader(bytes.NewReader(s.object[req.Offset:end]))
	if s.body != nil {
		body = s.body(body)
	}
	s.open.Add(1)
	res := &envelope.FetchResult{Body: &shelfBody{Reader: body, shelf: s}, Size: int64(len(s.object)), Version: s.version}
	if s.lie != nil {
		return s.lie(req, res)
	}
	return res, nil
}

// fetches returns what was asked since it was called last.
func (s *shelf) fetches() []envelope.FetchRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

type shelfBody struct {
	io.Reader
	shelf  *shelf
	closed bool
}

func (b *shelfBody) Read(p []byte) (int, error) {
	if b.closed {
		return 0, errors.New("body read after it was closed")
	}
	return b.Reader.Read(p)
}

func (b *shelfBody) Close() error {
	if !b.closed {
		b.shelf.open.Add(-1)
	}
	b.closed = true
	return nil
}

func newShelf(t testing.TB, msg []byte) *shelf {
	s := &shelf{object: msg, version: "v1"}
	t.Cleanup(func() { assert.Zero(t, s.open.Load(), "bodies that were not closed") })
	return s
}

func newRangeReader(t testing.TB, c *envelope.Client, s *shelf) *envelope.RangeReader {
	t.Helper()
	r, err := c.NewRangeReader(t.Context(), s.fetch, testContext)
	require.NoError(t, err)
	return r
}

// TestRangeReader reads ranges: each with one fetch, which is as long as MessageRange says
// but for the final frame.
func TestRangeReader(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 1000) // the first fetch has as many bytes
	bodies := map[string]func(io.Reader) io.Reader{
		"whole":         nil,
		"halves":        iotest.HalfReader,
		"EOF with data": iotest.DataErrReader,
	}
	for _, frameLen := range []int{1, 7, 100, 1500} {
		for _, n := range []int{0, 1, frameLen - 1, frameLen, frameLen + 1, 5 * frameLen, 5*frameLen + 3, 6000} {
			if frameLen == 1 && n > 1000 {
				continue
			}
			for _, concurrency := range []int{1, 3} {
				c := withConcurrency(t, unsigned, frameLen, concurrency)
				plaintext := randomBytes(n)
				msg := encrypt(t, c, plaintext)
				for name, body := range bodies {
					s := newShelf(t, msg)
					s.body = body
					r := newRangeReader(t, c, s)
					opened := len(s.fetches())
					kept := len(msg) <= 1000
					if kept {
						require.Equal(t, 1, opened)
					} else {
						require.LessOrEqual(t, opened, 2)
					}
					require.EqualValues(t, n, r.Size())
					require.Equal(t, "v1", r.Version())
					h := r.Header()
					finalAt := (n - 1) / frameLen * frameLen
					for range 30 {
						off := rand.Int64N(int64(n) + 2)
						length := rand.Int64N(int64(n) + 2)
						want := plaintext[min(off, int64(n)):min(off+length, int64(n))]
						var got []byte
						p := make([]byte, length)
						switch rand.IntN(3) {
						case 0:
							m, err := r.ReadAt(p, off)
							if m < len(p) || off >= int64(n) {
								require.Equal(t, io.EOF, err)
							} else {
								require.NoError(t, err)
							}
							got = p[:m]
						case 1:
							section := r.NewSectionReader(t.Context(), off, length)
							require.EqualValues(t, len(want), section.Size())
							var err error
							got, err = io.ReadAll(section)
							require.NoError(t, err)
							require.NoError(t, section.Close())
						default:
							section := r.NewSectionReader(t.Context(), off, length)
							var dst bytes.Buffer
							m, err := section.WriteTo(&dst)
							require.NoError(t, err)
							require.EqualValues(t, dst.Len(), m)
							got = dst.Bytes()
							require.NoError(t, section.Close())
						}
						require.True(t, bytes.Equal(want, got), "%s: %d bytes at %d", name, length, off)
						asked := s.fetches()
						if kept || len(want) == 0 || off >= int64(finalAt) {
							require.Empty(t, asked, "it was there")
							continue
						}
						require.Len(t, asked, 1)
						regular := min(length, int64(finalAt)-off)
						start, long, err := h.MessageRange(off, regular, int64(len(msg)))
						require.NoError(t, err)
						require.Equal(t, envelope.FetchRequest{Offset: start, Length: long, Version: "v1"}, asked[0])
					}
					if n <= 1000 && name == "whole" {
						section := r.NewSectionReader(t.Context(), 0, r.Size())
						require.NoError(t, iotest.TestReader(section, plaintext))
						require.NoError(t, section.Close())
						require.NoError(t, iotest.TestReader(io.NewSectionReader(r, 0, r.Size()), plaintext))
					}
				}
			}
		}
	}
}

// TestRangeReaderFetches is what is promised of the count of fetches, with batches and first
// fetches of their real length.
func TestRangeReaderFetches(t *testing.T) {
	c := newClient(t, nil)
	plaintext := randomBytes(2 << 20)
	s := newShelf(t, encrypt(t, c, plaintext))
	r := newRangeReader(t, c, s)
	require.Len(t, s.fetches(), 2)
	p := make([]byte, 1<<20)
	_, err := r.ReadAt(p, 333_333)
	require.NoError(t, err)
	require.Equal(t, plaintext[333_333:333_333+1<<20], p)
	require.Len(t, s.fetches(), 1)

	// A stream after a seek is one, in however small pieces it is read.
	section := r.NewSectionReader(t.Context(), 0, r.Size())
	defer section.Close()
	require.Empty(t, s.fetches(), "fetched before it is read")
	_, err = section.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	_, err = section.Seek(1<<20, io.SeekStart)
	require.NoError(t, err)
	var got bytes.Buffer
	_, err = io.CopyBuffer(struct{ io.Writer }{&got}, io.LimitReader(section, 500_000), make([]byte, 1000))
	require.NoError(t, err)
	require.True(t, bytes.Equal(plaintext[1<<20:1<<20+500_000], got.Bytes()))
	// To where the reader is, a seek costs nothing.
	_, err = section.Seek(0, io.SeekCurrent)
	require.NoError(t, err)
	rest, err := io.ReadAll(section)
	require.NoError(t, err)
	require.True(t, bytes.Equal(plaintext[1<<20+500_000:], rest))
	require.Len(t, s.fetches(), 1)

	// A message that the first fetch holds is not fetched again.
	s = newShelf(t, encrypt(t, c, plaintext[:60_000]))
	r = newRangeReader(t, c, s)
	_, err = r.ReadAt(p[:50_000], 5_000)
	require.NoError(t, err)
	require.Equal(t, plaintext[5_000:55_000], p[:50_000])
	require.Len(t, s.fetches(), 1)

	// A header that it does not hold takes a third.
	long := keyring.EncryptionContext{"long": string(bytes.Repeat([]byte("x"), 60_000))}
	many, err := keyring.NewMulti(zeroKey(t), zeroKey(t), zeroKey(t))
	require.NoError(t, err)
	c, err = envelope.New(many, nil)
	require.NoError(t, err)
	for at := range 3 {
		long[fmt.Sprint(at)] = string(bytes.Repeat([]byte("y"), 1_800))
	}
	msg, err := c.Encrypt(t.Context(), plaintext, long)
	require.NoError(t, err)
	s = newShelf(t, msg)
	r, err = c.NewRangeReader(t.Context(), s.fetch, long)
	require.NoError(t, err)
	require.Len(t, s.fetches(), 3)
	_, err = r.ReadAt(p, 1000)
	require.NoError(t, err)
	require.Equal(t, plaintext[1000:1000+1<<20], p)
}

// TestRangeReaderLongHeader has the first fetch end in the header.
func TestRangeReaderLongHeader(t *testing.T) {
	shortBatches(t, 100)
	c := newClient(t, &envelope.Options{FrameLength: 50})
	plaintext := randomBytes(1000)
	s := newShelf(t, encrypt(t, c, plaintext))
	r := newRangeReader(t, c, s)
	asked := s.fetches()
	require.Len(t, asked, 3)
	require.EqualValues(t, 100, asked[1].Offset)
	p := make([]byte, 1000)
	_, err := r.ReadAt(p, 0)
	require.NoError(t, err)
	require.Equal(t, plaintext, p)
}

func TestRangeReaderSuites(t *testing.T) {
	eachSuite(t, 100, func(t *testing.T, c *envelope.Client) {
		plaintext := randomBytes(1050)
		s := newShelf(t, encrypt(t, c, plaintext))
		r, err := c.NewRangeReader(t.Context(), s.fetch, testContext)
		h, errHeader := envelope.ParseHeader(bytes.NewReader(s.object), nil)
		require.NoError(t, errHeader)
		if h.Suite.Signs() {
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.ErrorContains(t, err, "signed")
			return
		}
		require.NoError(t, err)
		require.Equal(t, h, r.Header())
		p := make([]byte, 333)
		_, err = r.ReadAt(p, 444)
		require.NoError(t, err)
		require.Equal(t, plaintext[444:777], p)
	})
}

// TestRangeReaderTruncated finds at open, of every prefix and of the message with more
// behind it, that it is not whole.
func TestRangeReaderTruncated(t *testing.T) {
	for _, batch := range []int{50, 100_000} {
		shortBatches(t, batch)
		for _, n := range []int{0, 1, 35, 40} {
			c := newClient(t, &envelope.Options{FrameLength: 10})
			msg := encrypt(t, c, randomBytes(n))
			for cut := 1; cut < len(msg); cut++ {
				s := newShelf(t, msg[:cut])
				_, err := c.NewRangeReader(t.Context(), s.fetch, testContext)
				require.Error(t, err)
				// The store says that there is more than it gives.
				s.lie = func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
					res.Size = int64(len(msg))
					return res, nil
				}
				_, err = c.NewRangeReader(t.Context(), s.fetch, testContext)
				require.Error(t, err)
			}
			for more := 1; more < 100; more++ {
				s := newShelf(t, append(bytes.Clone(msg), randomBytes(more)...))
				_, err := c.NewRangeReader(t.Context(), s.fetch, testContext)
				require.Error(t, err, "%d bytes more", more)
			}
		}
	}
	_, err := newClient(t, nil).NewRangeReader(t.Context(), func(context.Context, envelope.FetchRequest) (*envelope.FetchResult, error) {
		return &envelope.FetchResult{Body: http.NoBody}, nil
	}, nil)
	require.EqualError(t, err, "envelope: decrypt: the message is empty: unexpected EOF")
}

// TestRangeReaderFlips alters every byte: what is read is right, or an error.
func TestRangeReaderFlips(t *testing.T) {
	for _, batch := range []int{50, 100_000} {
		shortBatches(t, batch)
		for _, suite := range []keyring.Suite{unsigned, keyring.SuiteAES256GCMHKDFSHA256, keyring.SuiteAES128GCM} {
			c := newClient(t, optionsFor(suite, 10))
			plaintext := randomBytes(35)
			msg := encrypt(t, c, plaintext)
			for at := range msg {
				altered := bytes.Clone(msg)
				altered[at] ^= 1 << (at % 8)
				r, err := c.NewRangeReader(t.Context(), newShelf(t, altered).fetch, testContext)
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
				section := r.NewSectionReader(t.Context(), 0, 35)
				got, err := io.ReadAll(section)
				require.Error(t, err)
				require.Equal(t, plaintext[:len(got)], got)
				_, again := section.Read(make([]byte, 1))
				require.Equal(t, err, again, "the error did not stay")
				_, again = section.WriteTo(io.Discard)
				require.Equal(t, err, again)
				require.NoError(t, section.Close())
			}
		}
	}
}

// TestRangeReaderReplaced has the object replaced after it was opened, by another message
// under the same key.
func TestRangeReaderReplaced(t *testing.T) {
	shortBatches(t, 600) // so that the first fetch has all of the header
	c := newClient(t, &envelope.Options{FrameLength: 10})
	plaintext := randomBytes(995)
	other := encrypt(t, c, randomBytes(995))
	type lie = func(envelope.FetchRequest, *envelope.FetchResult) (*envelope.FetchResult, error)
	for name, replaced := range map[string]struct {
		object  []byte
		version string
		lie     lie
		is      error
	}{
		"which the store says":    {other, "v2", nil, envelope.ErrSourceChanged},
		"by another size":         {encrypt(t, c, randomBytes(996)), "v1", nil, envelope.ErrSourceChanged},
		"with the version it had": {other, "v1", nil, envelope.ErrAuthentication},
		"which the version tells": {other, "v1", func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			res.Version = "v2"
			return res, nil
		}, envelope.ErrSourceChanged},
		"and there is no version": {other, "v1", func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			res.Version = ""
			return res, nil
		}, envelope.ErrSourceChanged},
		"and another size is lied ": {other, "v1", func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			res.Size++
			return res, nil
		}, envelope.ErrSourceChanged},
	} {
		s := newShelf(t, encrypt(t, c, plaintext))
		r := newRangeReader(t, c, s)
		section := r.NewSectionReader(t.Context(), 0, r.Size())
		start := make([]byte, 100)
		_, err := io.ReadFull(section, start)
		require.NoError(t, err)

		s.mu.Lock()
		s.object, s.version, s.lie = replaced.object, replaced.version, replaced.lie
		s.mu.Unlock()
		n, err := r.ReadAt(make([]byte, 100), 300)
		require.ErrorIs(t, err, replaced.is, name)
		require.Zero(t, n)
		// What is being read goes on.
		rest, err := io.ReadAll(section)
		require.NoError(t, err)
		require.Equal(t, plaintext, append(start, rest...))
		_, err = section.Seek(0, io.SeekStart)
		require.NoError(t, err)
		n, err = section.Read(start)
		require.ErrorIs(t, err, replaced.is, name)
		require.Zero(t, n)
		require.NoError(t, section.Close())

		// Between the two fetches of opening it, too.
		s = newShelf(t, encrypt(t, c, plaintext))
		_, err = c.NewRangeReader(t.Context(), func(ctx context.Context, req envelope.FetchRequest) (*envelope.FetchResult, error) {
			res, err := s.fetch(ctx, req)
			s.object, s.version, s.lie = replaced.object, replaced.version, replaced.lie
			return res, err
		}, testContext)
		require.ErrorIs(t, err, replaced.is, name)
	}
}

// TestRangeReaderLies has a store answer otherwise than it was asked.
func TestRangeReaderLies(t *testing.T) {
	shortBatches(t, 400)
	c := newClient(t, &envelope.Options{FrameLength: 100})
	plaintext := randomBytes(5050)
	msg := encrypt(t, c, plaintext)
	another := func(b []byte) func(envelope.FetchRequest, *envelope.FetchResult) (*envelope.FetchResult, error) {
		return func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			res.Body.(*shelfBody).Reader = bytes.NewReader(b)
			return res, nil
		}
	}
	for name, test := range map[string]struct {
		lie func(envelope.FetchRequest, *envelope.FetchResult) (*envelope.FetchResult, error)
		is  []error // nil: it does no harm
	}{
		"more": {func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			b := res.Body.(*shelfBody)
			b.Reader = io.MultiReader(b.Reader, bytes.NewReader(randomBytes(10_000)))
			return res, nil
		}, nil},
		"more, at once": {func(req envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			res.Body.(*shelfBody).Reader = bytes.NewReader(append(bytes.Clone(msg[req.Offset:]), msg...))
			return res, nil
		}, nil},
		"without end": {func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			b := res.Body.(*shelfBody)
			endless := zeros(math.MaxInt64)
			b.Reader = io.MultiReader(b.Reader, &endless)
			return res, nil
		}, nil},
		"fewer": {func(req envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			b := res.Body.(*shelfBody)
			b.Reader = io.LimitReader(b.Reader, req.Length-1)
			return res, nil
		}, []error{io.ErrUnexpectedEOF}},
		"nothing":         {another(nil), []error{io.ErrUnexpectedEOF}},
		"the object":      {another(msg), []error{envelope.ErrMalformed, envelope.ErrAuthentication}},
		"the final frame": {another(append(bytes.Clone(msg[len(msg)-50-message.FinalOverhead:]), msg...)), []error{envelope.ErrMalformed}},
		"a broken body": {func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			b := res.Body.(*shelfBody)
			b.Reader = io.MultiReader(io.LimitReader(b.Reader, 50), iotest.ErrReader(errBroken))
			return res, nil
		}, []error{errBroken}},
		"a lazy body": {func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			res.Body.(*shelfBody).Reader = lazyReader{}
			return res, nil
		}, []error{io.ErrNoProgress}},
		"an error": {func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			res.Body.Close()
			return nil, errBroken
		}, []error{errBroken}},
	} {
		s := newShelf(t, msg)
		r := newRangeReader(t, c, s)
		s.lie = test.lie
		for _, section := range [][2]int64{{0, 5050}, {950, 1100}, {1000, 1000}, {50, 60}} {
			p := make([]byte, section[1])
			n, err := r.ReadAt(p, section[0])
			want := plaintext[section[0]:][:section[1]]
			var dst bytes.Buffer
			stream := r.NewSectionReader(t.Context(), section[0], section[1])
			_, errStream := stream.WriteTo(&dst)
			require.NoError(t, stream.Close())
			if test.is == nil {
				require.NoError(t, err, name)
				require.NoError(t, errStream, name)
				require.Equal(t, want, p)
				require.Equal(t, want, dst.Bytes())
				continue
			}
			require.Error(t, err, name)
			require.True(t, bytes.HasPrefix(want, p[:n]) && n < len(want), name)
			require.True(t, bytes.HasPrefix(want, dst.Bytes()), name)
			for _, err := range []error{err, errStream} {
				matches := false
				for _, is := range test.is {
					matches = matches || errors.Is(err, is)
				}
				require.True(t, matches, "%s: %v", name, err)
			}
		}
		s.lie = nil
		p := make([]byte, len(plaintext))
		_, err := r.ReadAt(p, 0)
		require.NoError(t, err, "errors do not stick")
		require.Equal(t, plaintext, p)

		// All that, when it is opened.
		s.lie = test.lie
		_, err = c.NewRangeReader(t.Context(), s.fetch, testContext)
		if test.is == nil {
			require.NoError(t, err, name)
		} else {
			require.Error(t, err, name)
		}
	}
	for name, fetch := range map[string]envelope.FetchFunc{
		"nothing": func(context.Context, envelope.FetchRequest) (*envelope.FetchResult, error) { return nil, nil },
		"no body": func(context.Context, envelope.FetchRequest) (*envelope.FetchResult, error) {
			return &envelope.FetchResult{}, nil
		},
		"negative size": func(context.Context, envelope.FetchRequest) (*envelope.FetchResult, error) {
			return &envelope.FetchResult{Body: http.NoBody, Size: -1}, nil
		},
		"great size": func(context.Context, envelope.FetchRequest) (*envelope.FetchResult, error) {
			return &envelope.FetchResult{Body: http.NoBody, Size: math.MaxInt64}, nil
		},
	} {
		_, err := c.NewRangeReader(t.Context(), fetch, nil)
		if name == "great size" {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		} else {
			require.ErrorIs(t, err, envelope.ErrInvalidArgument, name)
		}
	}
}

// TestRangeReaderFinalFrames has a message with a final frame in its midst, which is as long
// as a regular one: only a writer with the key can make it.
func TestRangeReaderFinalFrames(t *testing.T) {
	shortBatches(t, 300)
	f := newForger(t, unsigned, 100)
	plaintext := randomBytes(400)
	f.writeHeader().regular(1, plaintext[:100]).final(2, plaintext[100:192]).regular(3, plaintext[200:300]).final(4, plaintext[300:])
	d, err := envelope.NewDecrypter(f, nil)
	require.NoError(t, err)
	s := newShelf(t, f.msg)
	r, err := d.NewRangeReader(t.Context(), s.fetch, nil)
	require.NoError(t, err)
	require.Len(t, s.fetches(), 2)
	for _, n := range []int64{1, 92, 100, 200} {
		section := r.NewSectionReader(t.Context(), 100, n)
		got, err := io.ReadAll(section)
		require.ErrorIs(t, err, envelope.ErrMalformed)
		require.Empty(t, got)
		require.NoError(t, section.Close())
	}
}

// TestSectionReaderHistories reads, writes and seeks at random.
func TestSectionReaderHistories(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 500)
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 2))
		c := withConcurrency(t, unsigned, 10, 1+random.IntN(3))
		plaintext := randomBytes(1 + random.IntN(3000))
		s := newShelf(t, encrypt(t, c, plaintext))
		r := newRangeReader(t, c, s)
		off := random.IntN(len(plaintext))
		want := plaintext[off : off+random.IntN(len(plaintext)-off+1)]
		section := r.NewSectionReader(t.Context(), int64(off), int64(len(want)))
		pos := 0
		s.fetches()
		for range 30 {
			rest := want[min(pos, len(want)):]
			switch random.IntN(4) {
			case 0:
				to := random.IntN(len(want) + 10)
				if random.IntN(3) == 0 {
					to = pos
				}
				at, err := section.Seek(int64(to-pos), io.SeekCurrent)
				require.NoError(t, err)
				require.EqualValues(t, to, at)
				pos = to
				continue
			case 1:
				dst := &limitedWriter{n: random.IntN(300), err: errBroken}
				n, err := section.WriteTo(dst)
				require.True(t, err == nil || errors.Is(err, errBroken))
				require.True(t, bytes.HasPrefix(rest, dst.dst.Bytes()), "seed %d", seed)
				if err == nil {
					require.EqualValues(t, len(rest), n)
				}
				pos += int(n)
			default:
				p := make([]byte, 1+random.IntN(300))
				n, err := section.Read(p)
				if pos >= len(want) {
					require.Equal(t, io.EOF, err)
				} else {
					require.NoError(t, err)
					require.Positive(t, n)
				}
				require.True(t, bytes.HasPrefix(rest, p[:n]), "seed %d", seed)
				pos += n
			}
			if pos == len(want) && len(rest) > 0 {
				require.Zero(t, s.open.Load(), "read to the end, and not closed")
			}
		}
		require.NoError(t, section.Close())
	}
}

func TestRangeReaderRefuses(t *testing.T) {
	c := newClient(t, nil)
	_, err := c.NewRangeReader(t.Context(), nil, nil)
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	s := newShelf(t, encrypt(t, c, []byte("plaintext")))
	_, err = c.NewRangeReader(t.Context(), s.fetch, keyring.EncryptionContext{"tenant": "43"})
	require.ErrorIs(t, err, envelope.ErrContextMismatch)
	r := newRangeReader(t, c, s)
	_, err = r.ReadAt(make([]byte, 1), -1)
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	_, err = r.ReadAt(make([]byte, 1), 9)
	require.Equal(t, io.EOF, err)
	n, err := r.ReadAt(nil, 3)
	require.NoError(t, err)
	require.Zero(t, n)
	for _, bad := range [][2]int64{{-1, 1}, {0, -1}} {
		_, err = r.NewSectionReader(t.Context(), bad[0], bad[1]).Read(make([]byte, 1))
		require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	}
	section := r.NewSectionReader(t.Context(), 2, math.MaxInt64)
	require.EqualValues(t, 7, section.Size())
	for _, bad := range []struct {
		offset int64
		whence int
	}{{-1, io.SeekStart}, {-1, io.SeekCurrent}, {-8, io.SeekEnd}, {0, 3}} {
		_, err := section.Seek(bad.offset, bad.whence)
		require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	}
	n, err = section.Read(nil)
	require.NoError(t, err)
	require.Zero(t, n)
	got, err := io.ReadAll(section)
	require.NoError(t, err)
	require.Equal(t, "aintext", string(got))
	require.NoError(t, section.Close())
	require.NoError(t, section.Close())
	_, err = section.Read(make([]byte, 1))
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = section.WriteTo(io.Discard)
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = section.Seek(0, io.SeekStart)
	require.ErrorIs(t, err, fs.ErrClosed)

	f := newForger(t, unsigned, 0)
	f.writeHeader().nonFramed([]byte("plaintext"))
	d, err := envelope.NewDecrypter(f, nil)
	require.NoError(t, err)
	_, err = d.NewRangeReader(t.Context(), newShelf(t, f.msg).fetch, nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)

	// A signed message costs no call to the keyring.
	counting := &countingKeyring{Keyring: zeroKey(t)}
	c, err = envelope.New(counting, &envelope.Options{Suite: signed})
	require.NoError(t, err)
	_, err = c.NewRangeReader(t.Context(), newShelf(t, encrypt(t, c, nil)).fetch, nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	assert.Zero(t, counting.decrypts.Load())
}

// TestRangeReaderFrameLength has a header claim long frames, and be altered: nothing is
// fetched by that number.
func TestRangeReaderFrameLength(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 16 << 20})
	msg := encrypt(t, c, randomBytes(100_000))
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)
	msg[h.Length-1] ^= 1 // in the tag
	s := newShelf(t, msg)
	_, err = c.NewRangeReader(t.Context(), s.fetch, testContext)
	require.ErrorIs(t, err, envelope.ErrAuthentication)
	require.Len(t, s.fetches(), 1)
}

func TestRangeReaderContext(t *testing.T) {
	shortBatches(t, 100)
	c := newClient(t, &envelope.Options{FrameLength: 10})
	plaintext := randomBytes(1000)
	s := newShelf(t, encrypt(t, c, plaintext))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := c.NewRangeReader(ctx, s.fetch, testContext)
	require.NoError(t, err)
	ofRequest, endRequest := context.WithCancel(t.Context())
	section := r.NewSectionReader(ofRequest, 0, r.Size())
	_, err = io.ReadFull(section, make([]byte, 10))
	require.NoError(t, err)
	cancel()
	_, err = r.ReadAt(make([]byte, 10), 0)
	require.ErrorIs(t, err, context.Canceled)
	_, err = io.ReadFull(section, make([]byte, 10))
	require.NoError(t, err, "it has a context of its own")
	endRequest()
	_, err = io.ReadAll(section)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, section.Close())
	s.fetches()
	_, err = c.NewRangeReader(ctx, s.fetch, testContext)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, s.fetches())
}

func TestRangeReaderConcurrently(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	c := newClient(t, &envelope.Options{FrameLength: 100})
	plaintext := randomBytes(200_000)
	counting := &countingKeyring{Keyring: zeroKey(t)}
	d, err := envelope.NewDecrypter(counting, nil)
	require.NoError(t, err)
	s := newShelf(t, encrypt(t, c, plaintext))
	r, err := d.NewRangeReader(t.Context(), s.fetch, testContext)
	require.NoError(t, err)
	s.fetches()
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for range 100 {
				off := rand.IntN(len(plaintext) - 2000)
				p := make([]byte, 1+rand.IntN(1000))
				n, err := r.ReadAt(p, int64(off))
				assert.NoError(t, err)
				assert.Equal(t, plaintext[off:off+n], p)
			}
		})
	}
	done.Wait()
	assert.Len(t, s.fetches(), 800)
	assert.EqualValues(t, 1, counting.decrypts.Load())
}

func TestSectionReaderDestinationFails(t *testing.T) {
	shortBatches(t, 100)
	c := withConcurrency(t, unsigned, 10, 3)
	plaintext := randomBytes(5000)
	s := newShelf(t, encrypt(t, c, plaintext))
	r := newRangeReader(t, c, s)
	for _, n := range []int{0, 1, 500, 4995} {
		section := r.NewSectionReader(t.Context(), 3, 4997)
		dst := &limitedWriter{n: n, err: errBroken}
		m, err := section.WriteTo(dst)
		require.ErrorIs(t, err, errBroken)
		require.EqualValues(t, n, m)
		rest, err := io.ReadAll(section)
		require.NoError(t, err)
		require.Equal(t, plaintext[3:], append(dst.dst.Bytes(), rest...))
		require.NoError(t, section.Close())
	}

	// What could not be fetched does not become a whole message.
	for _, fetched := range []bool{false, true} {
		var dst bytes.Buffer
		w, err := c.NewWriter(t.Context(), &dst, nil)
		require.NoError(t, err)
		s.lie = func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			b := res.Body.(*shelfBody)
			b.Reader = io.MultiReader(io.LimitReader(b.Reader, 500), iotest.ErrReader(errBroken))
			if !fetched {
				res.Body.Close()
				return nil, errBroken
			}
			return res, nil
		}
		section := r.NewSectionReader(t.Context(), 0, r.Size())
		_, err = io.Copy(w, section)
		require.ErrorIs(t, err, errBroken)
		require.ErrorIs(t, w.Close(), errBroken)
		require.NoError(t, section.Close())
	}
}

// TestRangeReaderOverHTTP serves ranges out of another server's ranges. Each body is read to
// its end before it is closed, so that its connection can be used again.
func TestRangeReaderOverHTTP(t *testing.T) {
	c := newClient(t, nil)
	plaintext := randomBytes(1 << 20)
	msg := encrypt(t, c, plaintext)
	var gets, ends atomic.Int64
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		gets.Add(1)
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(msg))
	}))
	defer store.Close()
	fetch := httpFetch(store.Client(), store.URL)
	r, err := c.NewRangeReader(t.Context(), func(ctx context.Context, req envelope.FetchRequest) (*envelope.FetchResult, error) {
		res, err := fetch(ctx, req)
		if err == nil {
			res.Body = &endingBody{ReadCloser: res.Body, ends: &ends}
		}
		return res, err
	}, testContext)
	require.NoError(t, err)
	assert.Equal(t, `"v1"`, r.Version())
	for range 20 {
		off, p := rand.Int64N(1<<19), make([]byte, 1+rand.IntN(1<<18))
		_, err := r.ReadAt(p, off)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext[off:off+int64(len(p))], p))
	}
	assert.EqualValues(t, 22, gets.Load())
	assert.EqualValues(t, 22, ends.Load())

	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		section := r.NewSectionReader(req.Context(), 0, r.Size())
		defer section.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, req, "", time.Time{}, section)
	}))
	defer front.Close()
	for _, asked := range []struct {
		header string
		want   []byte
	}{
		{"", plaintext},
		{"bytes=100000-699999", plaintext[100_000:700_000]},
		{"bytes=-500000", plaintext[len(plaintext)-500_000:]},
	} {
		gets.Store(0)
		req, err := http.NewRequest(http.MethodGet, front.URL, nil)
		require.NoError(t, err)
		if asked.header != "" {
			req.Header.Set("Range", asked.header)
		}
		answer, err := front.Client().Do(req)
		require.NoError(t, err)
		got, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		answer.Body.Close()
		require.True(t, bytes.Equal(asked.want, got), asked.header)
		assert.EqualValues(t, 1, gets.Load(), asked.header)
	}
}

// endingBody counts bodies whose end was read before they were closed.
type endingBody struct {
	io.ReadCloser
	ends  *atomic.Int64
	ended bool
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

func (b *endingBody) Close() error {
	if b.ended {
		b.ends.Add(1)
	}
	return b.ReadCloser.Close()
}

// httpFetch fetches from a server that has ranges and ETags.
func httpFetch(client *http.Client, url string) envelope.FetchFunc {
	return func(ctx context.Context, req envelope.FetchRequest) (*envelope.FetchResult, error) {
		get, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		get.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", req.Offset, req.Offset+req.Length-1))
		if req.Version != "" {
			get.Header.Set("If-Match", req.Version)
		}
		answer, err := client.Do(get)
		if err != nil {
			return nil, err
		}
		if answer.StatusCode != http.StatusPartialContent {
			answer.Body.Close()
			return nil, errors.New(answer.Status)
		}
		_, total, _ := bytes.Cut([]byte(answer.Header.Get("Content-Range")), []byte("/"))
		size, err := strconv.ParseInt(string(total), 10, 64)
		return &envelope.FetchResult{Body: answer.Body, Size: size, Version: answer.Header.Get("ETag")}, err
	}
}
