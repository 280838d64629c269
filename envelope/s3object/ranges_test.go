package s3object_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/s3object"
	"github.com/go-sealring/sealring/keyring"
)

// Two requests to open, one for each range, and one call to the key service.
func TestRequestsForRanges(t *testing.T) {
	s := newStore(t)
	kr := rawKeyring(t, "k1")
	c := newClient(t, s, func(c *s3object.Config) { c.Envelope = newEnvelope(t, kr, nil) })
	content := randomBytes(10 << 20)
	_, err := c.Put(t.Context(), put("a", bytes.NewReader(content)), tenant)
	require.NoError(t, err)
	s.count()

	f, err := c.Open(t.Context(), get("a"), tenant)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"get": 2}, s.count())
	assert.Equal(t, int64(len(content)), f.Size())
	assert.Equal(t, int64(len(content)), *f.Output.ContentLength)
	assert.Nil(t, f.Output.Body)

	mib := make([]byte, 1<<20)
	_, err = f.ReadAt(mib, 5_000_001)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content[5_000_001:][:1<<20], mib))
	assert.Equal(t, map[string]int{"get": 1}, s.count())

	rng := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 64<<10)
	for range 1000 {
		off := rng.Int64N(int64(len(content) - len(p) - 4096))
		_, err := f.ReadAt(p, off)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content[off:][:len(p)], p))
	}
	assert.Equal(t, map[string]int{"get": 1000}, s.count())
	assert.Equal(t, 1, kr.unwraps)

	_, err = c.Put(t.Context(), put("small", strings.NewReader("hello")), tenant)
	require.NoError(t, err)
	s.count()
	f, err = c.Open(t.Context(), get("small"), tenant)
	require.NoError(t, err)
	n, err := f.ReadAt(p, 0)
	require.ErrorIs(t, err, io.EOF)
	assert.Equal(t, "hello", string(p[:n]))
	assert.Equal(t, map[string]int{"get": 1}, s.count())
}

// An object that was replaced, deleted or cut is an error, and never a mixture.
func TestReplaced(t *testing.T) {
	for name, replace := range map[string]func(t *testing.T, s *store, c *s3object.Client){
		"other content": func(t *testing.T, s *store, c *s3object.Client) {
			_, err := c.Put(t.Context(), put("a", bytes.NewReader(randomBytes(1e6))), nil)
			require.NoError(t, err)
		},
		"cut": func(t *testing.T, s *store, c *s3object.Client) { s.store(t, "a", s.stored(t, "a")[:500_000]) },
		"deleted": func(t *testing.T, s *store, c *s3object.Client) {
			s.failing(func(r *http.Request) (*http.Response, error) { return answer(r, 404, "NoSuchKey"), nil })
		},
		"version deleted": func(t *testing.T, s *store, c *s3object.Client) {
			s.failing(func(r *http.Request) (*http.Response, error) { return answer(r, 404, "NoSuchVersion"), nil })
		},
		"the server does not look at If-Match": func(t *testing.T, s *store, c *s3object.Client) {
			s.failing(func(r *http.Request) (*http.Response, error) {
				r.Header.Del("If-Match")
				return nil, nil
			})
			_, err := c.Put(t.Context(), put("a", bytes.NewReader(randomBytes(1e6))), nil)
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			c := newClient(t, s)
			_, err := c.Put(t.Context(), put("a", bytes.NewReader(randomBytes(1e6))), nil)
			require.NoError(t, err)
			f, err := c.Open(t.Context(), get("a"), nil)
			require.NoError(t, err)
			replace(t, s, c)
			n, err := f.ReadAt(make([]byte, 1000), 0)
			require.ErrorIs(t, err, envelope.ErrSourceChanged)
			assert.Zero(t, n)
		})
	}
}

func TestRangeIsCutOrIgnored(t *testing.T) {
	s := newStore(t)
	c := newClient(t, s)
	content := randomBytes(1e6)
	_, err := c.Put(t.Context(), put("a", bytes.NewReader(content)), nil)
	require.NoError(t, err)
	f, err := c.Open(t.Context(), get("a"), nil)
	require.NoError(t, err)
	s.altering(func(r *http.Request, answer *http.Response) {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, 50_000), answer.Body}
	})
	p := make([]byte, 300_000)
	n, err := f.ReadAt(p, 100)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.True(t, bytes.Equal(content[100:][:n], p[:n]))
	s.altering(nil)
	_, err = f.ReadAt(p, 100)
	require.NoError(t, err, "errors do not stick")

	s.failing(func(r *http.Request) (*http.Response, error) {
		r.Header.Del("Range")
		return nil, nil
	})
	_, err = f.ReadAt(p, 100)
	require.ErrorContains(t, err, "the range that was asked for")
}

// A client that seeks is served.
func TestServeContent(t *testing.T) {
	s := newStore(t)
	c := newClient(t, s)
	content := randomBytes(1e6)
	in := put("a", bytes.NewReader(content))
	_, err := c.Put(t.Context(), in, nil)
	require.NoError(t, err)
	f, err := c.Open(t.Context(), get("a"), nil)
	require.NoError(t, err)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content := f.NewSectionReader(r.Context(), 0, f.Size())
		defer content.Close()
		w.Header().Set("Content-Type", "image/tiff")
		http.ServeContent(w, r, "", time.Time{}, content)
	}))
	defer front.Close()
	for _, from := range []int{0, 1, 500_000, 999_999} {
		r, err := http.NewRequest(http.MethodGet, front.URL, nil)
		require.NoError(t, err)
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		b, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		answer.Body.Close()
		assert.Equal(t, http.StatusPartialContent, answer.StatusCode)
		assert.True(t, bytes.Equal(content[from:], b))
	}
}

// Head needs no key, and one request.
func TestHead(t *testing.T) {
	s := newStore(t)
	noKey := newClient(t, s, func(c *s3object.Config) { c.Envelope = nil })
	long := keyring.EncryptionContext{"tenant": strings.Repeat("4", 10_000)}
	for name, test := range map[string]struct {
		ec      keyring.EncryptionContext
		options *envelope.Options
		n       int
		gets    int
	}{
		"small":         {tenant, nil, 5, 1},
		"empty":         {tenant, nil, 0, 1},
		"long":          {tenant, nil, 6 << 20, 1},
		"long header":   {long, nil, 100_000, 2},
		"signed":        {tenant, &envelope.Options{Sign: true}, 5000, 1},
		"other framing": {tenant, &envelope.Options{FrameLength: 1 << 20}, 5 << 20, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, s, smallParts, func(c *s3object.Config) { c.Envelope = newEnvelope(t, rawKeyring(t, "k1"), test.options) })
			in := put("a", bytes.NewReader(randomBytes(test.n)))
			in.Metadata = map[string]string{"camera": "7"}
			_, err := c.Put(t.Context(), in, test.ec)
			require.NoError(t, err)
			s.count()
			o, err := noKey.Head(t.Context(), get("a"))
			require.NoError(t, err)
			assert.Equal(t, map[string]int{"get": test.gets}, s.count())
			assert.True(t, o.Header.WrappedBy("k1"))
			assert.Equal(t, test.ec["tenant"], o.Header.Context["tenant"])
			assert.Equal(t, map[string]string{"camera": "7"}, o.Metadata)
			assert.Nil(t, o.Body)
			if test.options != nil && test.options.Sign {
				assert.Nil(t, o.ContentLength)
			} else {
				assert.Equal(t, int64(test.n), *o.ContentLength)
			}
		})
	}
	s.store(t, "nothing", nil)
	_, err := noKey.Head(t.Context(), get("nothing"))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// What S3 says of the range and the length is checked before it is believed.
func TestContentRange(t *testing.T) {
	s := newStore(t)
	c := newClient(t, s)
	_, err := c.Put(t.Context(), put("a", strings.NewReader("hello")), nil)
	require.NoError(t, err)
	for _, says := range []string{"", "bytes 0-9/*", "bytes 1-9/10", "bytes 0-9/-10", "bytes 0-9/9", "bytes 0--9/10", "bytes 0-9/99999999999999999999"} {
		t.Run(says, func(t *testing.T) {
			s.altering(func(r *http.Request, answer *http.Response) { answer.Header.Set("Content-Range", says) })
			_, openErr := c.Open(t.Context(), get("a"), nil)
			_, headErr := c.Head(t.Context(), get("a"))
			for _, err := range []error{openErr, headErr} {
				require.ErrorContains(t, err, "the range that was asked for")
			}
		})
	}
}
