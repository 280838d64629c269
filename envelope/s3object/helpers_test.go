package s3object_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/s3object"
	"github.com/go-sealring/sealring/keyring"
)

const bucket = "bucket"

// A store is an S3 server in the process, with a client for it whose requests can be counted
// and made to fail.
type store struct {
	s3     *s3.Client
	server *httptest.Server

	mu     sync.Mutex
	counts map[string]int
	fail   func(r *http.Request) (*http.Response, error) // both nil: let it pass
	after  func(r *http.Request, answer *http.Response)
}

func newStore(t testing.TB) *store {
	t.Helper()
	s := &store{counts: map[string]int{}}
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket(bucket))
	require.NoError(t, backend.CreateBucket("other"))
	s.server = httptest.NewServer(conditional(gofakes3.New(backend).Server()))
	t.Cleanup(s.server.Close)
	s.s3 = s.client(s)
	return s
}

func (s *store) client(transport http.RoundTripper) *s3.Client {
	return s3.New(s3.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(s.server.URL),
		UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		}),
		HTTPClient: &http.Client{Transport: transport},
		Retryer:    noPause{aws.NopRetryer{}},
	})
}

// noPause tries three times, as the SDK does, and at once.
type noPause struct{ aws.NopRetryer }

func (noPause) IsErrorRetryable(err error) bool {
	var answer interface{ HTTPStatusCode() int }
	return !errors.Is(err, context.Canceled) && (!errors.As(err, &answer) || answer.HTTPStatusCode() >= 500)
}

func (noPause) MaxAttempts() int { return 3 }

func (noPause) RetryDelay(int, error) (time.Duration, error) { return 0, nil }

func (noPause) GetRetryToken(context.Context, error) (func(error) error, error) {
	return func(error) error { return nil }, nil
}

// conditional does what gofakes3 lacks: conditions of reads, and of multipart uploads.
func conditional(next http.Handler) http.Handler {
	var writing sync.Mutex
	etag := func(r *http.Request) string {
		head := httptest.NewRequest(http.MethodHead, r.URL.Path, nil)
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, head)
		if answer.Code != http.StatusOK {
			return ""
		}
		return answer.Header().Get("ETag")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		completes := r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
		if r.Method == http.MethodPut || completes || r.Method == http.MethodDelete {
			if !r.URL.Query().Has("partNumber") {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				writing.Lock()
				defer writing.Unlock()
			}
		}
		if completes || r.Method == http.MethodGet {
			match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
			now := ""
			if match != "" || none != "" {
				now = etag(r)
			}
			if match != "" && now != "" && match != now || none == "*" && now != "" {
				w.WriteHeader(http.StatusPreconditionFailed)
				io.WriteString(w, `<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>`)
				return
			}
			if match != "" && now == "" {
				w.WriteHeader(http.StatusNotFound)
				io.WriteString(w, `<Error><Code>NoSuchKey</Code><Message>no</Message></Error>`)
				return
			}
		}
		next.ServeHTTP(&forgetful{ResponseWriter: w}, r)
	})
}

// A forgetful leaves out checksums: gofakes3 keeps those of an object that was replaced.
type forgetful struct {
	http.ResponseWriter
	wrote bool
}

func (f *forgetful) WriteHeader(status int) {
	if f.wrote {
		return // gofakes3 does so when a client has gone
	}
	f.wrote = true
	for name := range f.Header() {
		if strings.HasPrefix(name, "X-Amz-Checksum-") {
			f.Header().Del(name)
		}
	}
	f.ResponseWriter.WriteHeader(status)
}

func (f *forgetful) Write(p []byte) (int, error) {
	if !f.wrote {
		f.WriteHeader(http.StatusOK)
	}
	return f.ResponseWriter.Write(p)
}

func (s *store) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.counts[operation(r)]++
	fail, after := s.fail, s.after
	s.mu.Unlock()
	if fail != nil {
		if answer, err := fail(r); answer != nil || err != nil {
			if r.Body != nil {
				io.Copy(io.Discard, r.Body)
				r.Body.Close()
			}
			return answer, err
		}
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && after != nil {
		after(r, answer)
	}
	return answer, err
}

func operation(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case q.Has("uploads"):
		return "create"
	case q.Has("partNumber"):
		return "part"
	case q.Has("uploadId") && r.Method == http.MethodDelete:
		return "abort"
	case q.Has("uploadId"):
		return "complete"
	case q.Has("list-type"):
		return "list"
	case q.Has("tagging"):
		return "tagging"
	}
	return strings.ToLower(r.Method)
}

// count returns how many requests there were since the last call.
func (s *store) count() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.counts
	s.counts = map[string]int{}
	return counts
}

func (s *store) failing(fail func(r *http.Request) (*http.Response, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *store) altering(after func(r *http.Request, answer *http.Response)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = after
}

// stored returns what is stored under a key.
func (s *store) stored(t testing.TB, key string) []byte {
	t.Helper()
	out, err := s.client(http.DefaultTransport).GetObject(t.Context(), get(key))
	require.NoError(t, err)
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	require.NoError(t, err)
	return b
}

func (s *store) store(t testing.TB, key string, b []byte) {
	t.Helper()
	_, err := s.client(http.DefaultTransport).PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(b),
	})
	require.NoError(t, err)
}

func answer(r *http.Request, status int, code string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/xml"}},
		Body:   io.NopCloser(strings.NewReader("<Error><Code>" + code + "</Code><Message>no</Message></Error>")),
	}
}

func get(key string) *s3.GetObjectInput {
	return &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key}
}

func put(key string, body io.Reader) *transfermanager.UploadObjectInput {
	return &transfermanager.UploadObjectInput{Bucket: aws.String(bucket), Key: &key, Body: body}
}

// A counting keyring counts what would be calls to a key service.
type counting struct {
	keyring.Keyring
	wraps, unwraps int
	mu             sync.Mutex
}

func (c *counting) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	c.mu.Lock()
	c.wraps++
	c.mu.Unlock()
	return c.Keyring.OnEncrypt(ctx, m)
}

func (c *counting) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	c.mu.Lock()
	c.unwraps++
	c.mu.Unlock()
	return c.Keyring.OnDecrypt(ctx, m, keys)
}

func rawKeyring(t testing.TB, name string) *counting {
	t.Helper()
	key := make([]byte, 32)
	copy(key, name)
	kr, err := keyring.NewRawAES("test", name, key)
	require.NoError(t, err)
	return &counting{Keyring: kr}
}

func newEnvelope(t testing.TB, kr keyring.Keyring, o *envelope.Options) *envelope.Client {
	t.Helper()
	c, err := envelope.New(kr, o)
	require.NoError(t, err)
	return c
}

func newClient(t testing.TB, s *store, change ...func(*s3object.Config)) *s3object.Client {
	t.Helper()
	c := s3object.Config{Envelope: newEnvelope(t, rawKeyring(t, "k1"), nil)}
	if s != nil {
		c.S3 = s.s3
	}
	for _, f := range change {
		f(&c)
	}
	client, err := s3object.New(c)
	require.NoError(t, err)
	return client
}

// smallParts has objects of more than 5 MiB uploaded in parts.
func smallParts(c *s3object.Config) {
	c.Upload = func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency = 5<<20, 5<<20, 2
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(b)
	return b
}

func readAll(t testing.TB, o *s3object.Object) []byte {
	t.Helper()
	defer o.Body.Close()
	b, err := io.ReadAll(o.Body)
	require.NoError(t, err)
	return b
}

// only hides all but Read.
type only struct{ io.Reader }
