package s3object_test

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/s3object"
)

// A weighing is an S3 that keeps nothing, and looks at the heap while it is read and written.
type weighing struct {
	s3object.API
	object []byte

	mu   sync.Mutex
	peak uint64
	sent int64
}

func (w *weighing) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peak = max(w.peak, live())
}

func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (w *weighing) CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	return &s3.CreateMultipartUploadOutput{UploadId: aws.String("1")}, nil
}

func (w *weighing) UploadPart(_ context.Context, in *s3.UploadPartInput, _ ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	w.look()
	n, err := io.Copy(io.Discard, in.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent += n
	return &s3.UploadPartOutput{ETag: aws.String("etag")}, err
}

func (w *weighing) CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	return &s3.CompleteMultipartUploadOutput{}, nil
}

func (w *weighing) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return &s3.GetObjectOutput{
		Body:          io.NopCloser(only{bytes.NewReader(w.object)}),
		ContentLength: aws.Int64(int64(len(w.object))),
		ETag:          aws.String("etag"),
	}, nil
}

// A looking looks at the heap once for each 2 MiB that are written to it.
type looking struct{ *weighing }

func (l looking) Write(p []byte) (int, error) {
	if before := l.sent; (before+int64(len(p)))>>21 != before>>21 {
		l.look()
	}
	l.sent += int64(len(p))
	return len(p), nil
}

// during returns how much more is live at most while f runs than before.
func (w *weighing) during(f func()) int64 {
	before := live()
	w.peak = before
	f()
	return int64(w.peak - before)
}

// What the library needs beside the parts that the transfer manager holds, which are as many
// without it.
func TestMemory(t *testing.T) {
	const most = 16 << 20
	w := &weighing{}
	c, err := s3object.New(s3object.Config{S3: w, Envelope: newEnvelope(t, rawKeyring(t, "k1"), nil)})
	require.NoError(t, err)
	plain := w.during(func() {
		_, err := transfermanager.New(w).UploadObject(t.Context(), put("a", transfer()))
		require.NoError(t, err)
	})
	require.Equal(t, int64(transferSize), w.sent)
	for name, body := range map[string]io.Reader{"length known": transfer(), "not known": only{transfer()}} {
		sealed := w.during(func() {
			_, err := c.Put(t.Context(), put("a", body), nil)
			require.NoError(t, err)
		})
		t.Logf("upload, %s: %.1f MiB, and %.1f MiB more encrypted", name, float64(plain)/(1<<20), float64(sealed-plain)/(1<<20))
		assert.Less(t, sealed-plain, int64(most), name)
	}

	w.object, err = newEnvelope(t, rawKeyring(t, "k1"), nil).Encrypt(t.Context(), make([]byte, 64<<20), map[string]string{"s3-key": "a"})
	require.NoError(t, err)
	sealed := w.during(func() {
		o, err := c.Get(t.Context(), get("a"), nil)
		require.NoError(t, err)
		defer o.Body.Close()
		n, err := io.Copy(looking{w}, o.Body)
		require.NoError(t, err)
		require.Equal(t, int64(64<<20), n)
	})
	t.Logf("download: %.1f MiB", float64(sealed)/(1<<20))
	assert.Less(t, sealed, int64(most))
}
