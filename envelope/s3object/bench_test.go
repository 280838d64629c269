package s3object_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"
)

const transferSize = 300e6

// content is an endless plaintext that takes no time and little memory.
type content []byte

var endless = content(randomBytes(1<<20 - 3))

func (c content) ReadAt(p []byte, off int64) (int, error) {
	for n := 0; n < len(p); {
		n += copy(p[n:], c[(off+int64(n))%int64(len(c)):])
	}
	return len(p), nil
}

func transfer() *io.SectionReader { return io.NewSectionReader(endless, 0, transferSize) }

// benchStore is a store as it comes, without what tests need.
func benchStore(b *testing.B) *store {
	b.Helper()
	s := &store{counts: map[string]int{}}
	backend := s3mem.New()
	require.NoError(b, backend.CreateBucket(bucket))
	s.server = httptest.NewServer(gofakes3.New(backend).Server())
	b.Cleanup(s.server.Close)
	s.s3 = s.client(s)
	return s
}

// alternate runs the same transfer without and with encryption by turns, and reports the
// best times of both, and how many times longer the second is.
func alternate(b *testing.B, plain, sealed func()) {
	plain() // warms up
	sealed()
	best := func(so time.Duration, run func()) time.Duration {
		start := time.Now()
		run()
		return min(so, time.Since(start))
	}
	without, with := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	b.ResetTimer()
	for range b.N {
		without = best(without, plain)
		with = best(with, sealed)
	}
	b.ReportMetric(with.Seconds()/without.Seconds(), "times-plain")
	b.ReportMetric(without.Seconds()*1e3, "plain-ms")
	b.ReportMetric(with.Seconds()*1e3, "sealed-ms")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkUpload(b *testing.B) {
	s := benchStore(b)
	uploads := transfermanager.New(s.s3)
	c := newClient(b, s)
	alternate(b, func() {
		_, err := uploads.UploadObject(b.Context(), put("plain", transfer()))
		require.NoError(b, err)
	}, func() {
		_, err := c.Put(b.Context(), put("sealed", transfer()), tenant)
		require.NoError(b, err)
	})
}

func BenchmarkDownload(b *testing.B) {
	s := benchStore(b)
	c := newClient(b, s)
	_, err := transfermanager.New(s.s3).UploadObject(b.Context(), put("plain", transfer()))
	require.NoError(b, err)
	_, err = c.Put(b.Context(), put("sealed", transfer()), tenant)
	require.NoError(b, err)
	for _, size := range []int{64 << 10, 1 << 20} {
		buffer := make([]byte, size)
		drain := func(body io.ReadCloser) {
			defer body.Close()
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, only{body}, buffer)
			require.NoError(b, err)
			require.Equal(b, int64(transferSize), n)
		}
		b.Run(fmt.Sprintf("reads of %d KiB", size>>10), func(b *testing.B) {
			alternate(b, func() {
				o, err := s.s3.GetObject(b.Context(), get("plain"))
				require.NoError(b, err)
				drain(o.Body)
			}, func() {
				o, err := c.Get(b.Context(), get("sealed"), tenant)
				require.NoError(b, err)
				drain(o.Body)
			})
		})
	}
}

func BenchmarkRange(b *testing.B) {
	s := benchStore(b)
	c := newClient(b, s)
	_, err := transfermanager.New(s.s3).UploadObject(b.Context(), put("plain", transfer()))
	require.NoError(b, err)
	_, err = c.Put(b.Context(), put("sealed", transfer()), tenant)
	require.NoError(b, err)
	f, err := c.Open(b.Context(), get("sealed"), tenant)
	require.NoError(b, err)
	s.count()
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(p)))
	b.ResetTimer()
	for range b.N {
		_, err := f.ReadAt(p, rand.Int64N(transferSize-int64(len(p))-4096))
		require.NoError(b, err)
	}
	b.ReportMetric(float64(s.count()["get"])/float64(b.N), "GETs/op")
}
