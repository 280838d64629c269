package s3object_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/s3object"
	"github.com/go-sealring/sealring/keyring"
)

var tenant = keyring.EncryptionContext{"tenant": "42"}

// What is put is got, from each kind of source and in each size, and is not in the store in
// the clear.
func TestPutAndGet(t *testing.T) {
	s := newStore(t)
	c := newClient(t, s, smallParts)
	for _, n := range []int{0, 1, 4096, 100_000, 5<<20 - 1, 5 << 20, 12_000_000} {
		content := randomBytes(n)
		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, append([]byte("skipped"), content...), 0o600))
		open, err := os.Open(file)
		require.NoError(t, err)
		defer open.Close()
		_, err = open.Seek(7, io.SeekStart)
		require.NoError(t, err)
		for name, source := range map[string]struct {
			body   io.Reader
			length *int64
		}{
			"bytes.Reader":     {bytes.NewReader(content), nil},
			"bytes.Buffer":     {bytes.NewBuffer(bytes.Clone(content)), nil},
			"file":             {open, nil},
			"length given":     {only{bytes.NewReader(content)}, aws.Int64(int64(n))},
			"length not known": {only{bytes.NewReader(content)}, nil},
		} {
			t.Run(fmt.Sprintf("%d/%s", n, name), func(t *testing.T) {
				in := put("dir/a key", source.body)
				in.ContentLength = source.length
				in.ContentType = aws.String("image/tiff")
				in.Metadata = map[string]string{"camera": "7"}
				before := *in
				s.count()
				_, err := c.Put(t.Context(), in, tenant)
				require.NoError(t, err)
				assert.Equal(t, before, *in, "the input was changed")
				counts := s.count()
				assert.Equal(t, n >= 5<<20-1, counts["part"] > 0, "%v", counts)
				assert.Zero(t, counts["abort"])

				stored := s.stored(t, "dir/a key")
				if n > 8 {
					assert.NotContains(t, string(stored), string(content[:min(n, 64)]))
				}
				o, err := c.Get(t.Context(), get("dir/a key"), tenant)
				require.NoError(t, err)
				assert.Equal(t, int64(n), *o.ContentLength)
				assert.Equal(t, "image/tiff", *o.ContentType)
				assert.Equal(t, map[string]string{"camera": "7"}, o.Metadata)
				assert.Equal(t, keyring.EncryptionContext{"tenant": "42", "s3-key": "dir/a key"}, o.Header.Context)
				assert.True(t, bytes.Equal(content, readAll(t, o)))
			})
		}
	}
	o, err := c.Put(t.Context(), put("none", nil), tenant)
	require.NoError(t, err)
	require.NotNil(t, o.ETag)
	got, err := c.Get(t.Context(), get("none"), nil)
	require.NoError(t, err)
	assert.Empty(t, readAll(t, got))
}

// Any message is an object, and any object a message.
func TestPlainMessage(t *testing.T) {
	s := newStore(t)
	e := newEnvelope(t, rawKeyring(t, "k1"), nil)
	c := newClient(t, s)
	_, err := c.Put(t.Context(), put("a", strings.NewReader("hello")), tenant)
	require.NoError(t, err)
	plain, err := e.Decrypt(t.Context(), s.stored(t, "a"), tenant)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(plain))

	msg, err := e.Encrypt(t.Context(), []byte("hello"), tenant)
	require.NoError(t, err)
	s.store(t, "b", msg)
	_, err = c.Get(t.Context(), get("b"), tenant)
	require.ErrorIs(t, err, envelope.ErrContextMismatch)
	require.ErrorContains(t, err, "Config.Binding")
	unbound := newClient(t, s, func(c *s3object.Config) { c.Binding = s3object.BindNothing })
	o, err := unbound.Get(t.Context(), get("b"), tenant)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(readAll(t, o)))
}

// Whoever can write to the bucket cannot put one object in another's place.
func TestBinding(t *testing.T) {
	for _, test := range []struct {
		binding               s3object.Binding
		otherKey, otherBucket bool // opens there
	}{
		{s3object.BindKey, false, true},
		{s3object.BindBucketAndKey, false, false},
		{s3object.BindNothing, true, true},
	} {
		t.Run(fmt.Sprint(test.binding), func(t *testing.T) {
			s := newStore(t)
			c := newClient(t, s, func(c *s3object.Config) { c.Binding = test.binding })
			_, err := c.Put(t.Context(), put("a", strings.NewReader("hello")), tenant)
			require.NoError(t, err)
			for _, to := range []struct {
				bucket, key string
				opens       bool
			}{{bucket, "a", true}, {bucket, "b", test.otherKey}, {"other", "a", test.otherBucket}} {
				_, err := s.s3.PutObject(t.Context(), &s3.PutObjectInput{
					Bucket: &to.bucket, Key: &to.key, Body: bytes.NewReader(s.stored(t, "a")),
				})
				require.NoError(t, err)
				in := &s3.GetObjectInput{Bucket: &to.bucket, Key: &to.key}
				_, getErr := c.Get(t.Context(), in, tenant)
				_, openErr := c.Open(t.Context(), in, tenant)
				for _, err := range []error{getErr, openErr} {
					if to.opens {
						require.NoError(t, err)
					} else {
						require.ErrorIs(t, err, envelope.ErrContextMismatch)
					}
				}
			}
		})
	}
	c := newClient(t, newStore(t))
	_, err := c.Put(t.Context(), put("a", nil), keyring.EncryptionContext{"s3-key": "b"})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = c.Put(t.Context(), put("a", nil), keyring.EncryptionContext{"s3-key": "a"})
	require.NoError(t, err)
}

// The error points at the binding only if a pair that the binding adds does not match.
func TestBindingHint(t *testing.T) {
	const hint = "Config.Binding expects"
	s := newStore(t)
	inBucket := func(c *s3object.Config) { c.Binding = s3object.BindBucketAndKey }
	for name, test := range map[string]struct {
		binding s3object.Binding
		bucket  string
		key     string
		expect  keyring.EncryptionContext
		hint    bool
	}{
		"wrong tenant":                {s3object.BindKey, bucket, "a", keyring.EncryptionContext{"tenant": "43"}, false},
		"pair that it never had":      {s3object.BindKey, bucket, "a", keyring.EncryptionContext{"table": "x"}, false},
		"renamed":                     {s3object.BindKey, bucket, "b", tenant, true},
		"other bucket":                {s3object.BindBucketAndKey, "other", "a", tenant, true},
		"wrong tenant, bucket bound":  {s3object.BindBucketAndKey, bucket, "a", keyring.EncryptionContext{"tenant": "43"}, false},
		"wrong tenant, nothing bound": {s3object.BindNothing, bucket, "a", keyring.EncryptionContext{"tenant": "43"}, false},
		"written without the binding": {s3object.BindKey, bucket, "plain", tenant, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, s, inBucket).Put(t.Context(), put("a", strings.NewReader("hello")), tenant)
			require.NoError(t, err)
			plain, err := newEnvelope(t, rawKeyring(t, "k1"), nil).Encrypt(t.Context(), []byte("hello"), tenant)
			require.NoError(t, err)
			s.store(t, "plain", plain)
			stored := s.stored(t, "a")
			if test.key == "plain" {
				stored = plain
			}
			_, err = s.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &test.bucket, Key: &test.key, Body: bytes.NewReader(stored)})
			require.NoError(t, err)

			c := newClient(t, s, func(c *s3object.Config) { c.Binding = test.binding })
			in := &s3.GetObjectInput{Bucket: &test.bucket, Key: &test.key}
			_, getErr := c.Get(t.Context(), in, test.expect)
			_, openErr := c.Open(t.Context(), in, test.expect)
			_, copyErr := c.Copy(t.Context(), in, put("c", nil), test.expect)
			for _, err := range []error{getErr, openErr, copyErr} {
				require.ErrorIs(t, err, envelope.ErrContextMismatch)
				if test.hint {
					assert.ErrorContains(t, err, hint)
				} else {
					assert.NotContains(t, err.Error(), hint)
				}
			}
		})
	}
}

func TestRefused(t *testing.T) {
	s := newStore(t)
	c := newClient(t, s)
	for name, change := range map[string]func(*transfermanager.UploadObjectInput){
		"ChecksumCRC32":     func(in *transfermanager.UploadObjectInput) { in.ChecksumCRC32 = aws.String("x") },
		"ChecksumCRC32C":    func(in *transfermanager.UploadObjectInput) { in.ChecksumCRC32C = aws.String("x") },
		"ChecksumCRC64NVME": func(in *transfermanager.UploadObjectInput) { in.ChecksumCRC64NVME = aws.String("x") },
		"ChecksumSHA1":      func(in *transfermanager.UploadObjectInput) { in.ChecksumSHA1 = aws.String("x") },
		"ChecksumSHA256":    func(in *transfermanager.UploadObjectInput) { in.ChecksumSHA256 = aws.String("x") },
		"ChecksumSHA512":    func(in *transfermanager.UploadObjectInput) { in.ChecksumSHA512 = aws.String("x") },
		"MpuObjectSize":     func(in *transfermanager.UploadObjectInput) { in.MpuObjectSize = aws.Int64(1) },
		"ContentLength":     func(in *transfermanager.UploadObjectInput) { in.ContentLength = aws.Int64(-1) },
	} {
		in := put("a", strings.NewReader("hello"))
		change(in)
		_, err := c.Put(t.Context(), in, nil)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument, name)
		require.ErrorContains(t, err, name)
	}
	for name, in := range map[string]*s3.GetObjectInput{
		"Range":      {Bucket: aws.String(bucket), Key: aws.String("a"), Range: aws.String("bytes=0-1")},
		"PartNumber": {Bucket: aws.String(bucket), Key: aws.String("a"), PartNumber: aws.Int32(1)},
	} {
		_, getErr := c.Get(t.Context(), in, nil)
		_, openErr := c.Open(t.Context(), in, nil)
		_, headErr := c.Head(t.Context(), in)
		for _, err := range []error{getErr, openErr, headErr} {
			require.ErrorIs(t, err, keyring.ErrInvalidArgument, name)
			require.ErrorContains(t, err, "use Open", name)
		}
	}
	half := newClient(t, s, func(c *s3object.Config) { c.Envelope = nil })
	_, err := half.Put(t.Context(), put("a", nil), nil)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = half.Get(t.Context(), get("a"), nil)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	assert.Empty(t, s.count(), "requests were sent")

	_, err = s3object.New(s3object.Config{})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = s3object.New(s3object.Config{S3: s.s3, Binding: 3})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
}

// The checksum that S3 checks and keeps is that of the stored message.
func TestChecksumAlgorithm(t *testing.T) {
	s := newStore(t)
	c := newClient(t, s)
	for algorithm, header := range map[string]string{"": "X-Amz-Checksum-Crc32", "SHA256": "X-Amz-Checksum-Sha256"} {
		var sent string
		s.failing(func(r *http.Request) (*http.Response, error) {
			sent = r.Header.Get(header)
			return nil, nil
		})
		in := put("a", strings.NewReader("hello"))
		in.ChecksumAlgorithm = tmtypes.ChecksumAlgorithm(algorithm)
		_, err := c.Put(t.Context(), in, nil)
		require.NoError(t, err)
		assert.NotEmpty(t, sent, algorithm)
	}
}

func TestErrorsOfS3(t *testing.T) {
	c := newClient(t, newStore(t))
	_, getErr := c.Get(t.Context(), get("none"), nil)
	_, openErr := c.Open(t.Context(), get("none"), nil)
	_, headErr := c.Head(t.Context(), get("none"))
	for op, err := range map[string]error{"get": getErr, "open": openErr, "head": headErr} {
		var noKey *types.NoSuchKey
		require.ErrorAs(t, err, &noKey)
		var of *s3object.Error
		require.ErrorAs(t, err, &of)
		assert.Equal(t, []string{op, bucket, "none"}, []string{of.Op, of.Bucket, of.Key})
	}
}

// No source that fails leaves an object, or a part of one.
func TestSourceFails(t *testing.T) {
	broken := errors.New("the disk is broken")
	for name, test := range map[string]struct {
		body   io.Reader
		length *int64
		want   error
	}{
		"error":                 {io.MultiReader(bytes.NewReader(randomBytes(11e6)), failingReader{broken}), aws.Int64(12e6), broken},
		"error at once":         {failingReader{broken}, aws.Int64(12e6), broken},
		"error, length unknown": {io.MultiReader(bytes.NewReader(randomBytes(11e6)), failingReader{broken}), nil, broken},
		"too short":             {only{bytes.NewReader(randomBytes(11e6))}, aws.Int64(12e6), envelope.ErrSourceChanged},
		"too short, small":      {only{bytes.NewReader(randomBytes(11))}, aws.Int64(12), envelope.ErrSourceChanged},
		"too long":              {only{bytes.NewReader(randomBytes(13e6))}, aws.Int64(12e6), envelope.ErrSourceChanged},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			c := newClient(t, s, smallParts)
			in := put("a", test.body)
			in.ContentLength = test.length
			_, err := c.Put(t.Context(), in, nil)
			require.ErrorIs(t, err, test.want)
			counts := s.count()
			assert.Equal(t, counts["create"], counts["abort"])
			assert.Zero(t, counts["complete"])
			_, err = c.Get(t.Context(), get("a"), nil)
			var noKey *types.NoSuchKey
			require.ErrorAs(t, err, &noKey)
		})
	}
}

// A source that told its length and is not where it was is not read from there.
func TestSourceDoesNotSeekBack(t *testing.T) {
	s := newStore(t)
	c := newClient(t, s)
	_, err := c.Put(t.Context(), put("a", &oneWay{Reader: bytes.NewReader(randomBytes(1000))}), nil)
	require.ErrorIs(t, err, errOneWay)
	assert.Empty(t, s.count(), "an empty object was made")
}

// A oneWay seeks to its end, and not back.
type oneWay struct{ *bytes.Reader }

var errOneWay = errors.New("it seeks to its end only")

func (r *oneWay) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekStart {
		return 0, errOneWay
	}
	return r.Reader.Seek(offset, whence)
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// A part that must be sent again is sent as it was.
func TestPartsAreSentAgain(t *testing.T) {
	s := newStore(t)
	c := newClient(t, s, smallParts)
	var failures atomic.Int32
	s.failing(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("partNumber") == "2" && failures.Add(1) <= 2 {
			return answer(r, http.StatusInternalServerError, "InternalError"), nil
		}
		return nil, nil
	})
	content := randomBytes(12e6)
	for name, body := range map[string]io.Reader{"seeks": bytes.NewReader(content), "does not": only{bytes.NewReader(content)}} {
		failures.Store(0)
		_, err := c.Put(t.Context(), put("a", body), nil)
		require.NoError(t, err, name)
		assert.Equal(t, int32(3), failures.Load(), name)
		o, err := c.Get(t.Context(), get("a"), nil)
		require.NoError(t, err, name)
		assert.True(t, bytes.Equal(content, readAll(t, o)), name)
	}
}

// An upload that fails is aborted, also if its context is done, and leaves what was there.
func TestUploadFails(t *testing.T) {
	for name, how := range map[string]func(s *store, cancel func()){
		"a part fails": func(s *store, _ func()) {
			s.failing(func(r *http.Request) (*http.Response, error) {
				if r.URL.Query().Get("partNumber") == "2" {
					return answer(r, http.StatusForbidden, "AccessDenied"), nil
				}
				return nil, nil
			})
		},
		"cancelled": func(s *store, cancel func()) {
			s.failing(func(r *http.Request) (*http.Response, error) {
				if r.URL.Query().Get("partNumber") == "2" {
					cancel()
					return nil, context.Canceled
				}
				return nil, nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			c := newClient(t, s, smallParts)
			_, err := c.Put(t.Context(), put("a", strings.NewReader("before")), nil)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			how(s, cancel)
			s.count()
			_, err = c.Put(ctx, put("a", bytes.NewReader(randomBytes(12e6))), nil)
			require.Error(t, err)
			assert.Equal(t, 1, s.count()["abort"])
			s.failing(nil)
			o, err := c.Get(t.Context(), get("a"), nil)
			require.NoError(t, err)
			assert.Equal(t, "before", string(readAll(t, o)))
		})
	}
}

func TestConditionalPut(t *testing.T) {
	for name, n := range map[string]int{"at once": 10, "in parts": 12e6} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, newStore(t), smallParts)
			in := put("a", bytes.NewReader(randomBytes(n)))
			in.IfNoneMatch = aws.String("*")
			_, err := c.Put(t.Context(), in, nil)
			require.NoError(t, err)
			in.Body = bytes.NewReader(randomBytes(n))
			_, err = c.Put(t.Context(), in, nil)
			require.ErrorContains(t, err, "PreconditionFailed")
		})
	}
}

// What was cut, by whoever or whatever, does not read as a whole object.
func TestTruncated(t *testing.T) {
	s := newStore(t)
	c := newClient(t, s)
	content := randomBytes(300_000)
	_, err := c.Put(t.Context(), put("a", bytes.NewReader(content)), nil)
	require.NoError(t, err)
	whole := s.stored(t, "a")
	for _, n := range []int{0, 1, 100, 5000, len(whole) - 4096, len(whole) - 1} {
		s.store(t, "a", whole[:n])
		o, err := c.Get(t.Context(), get("a"), nil)
		if err == nil {
			var b []byte
			b, err = io.ReadAll(o.Body)
			assert.True(t, bytes.HasPrefix(content, b))
			o.Body.Close()
		}
		require.Error(t, err, n)
		_, err = c.Open(t.Context(), get("a"), nil)
		require.Error(t, err, n)
	}
	s.store(t, "a", whole)
	// The connection ends in the middle.
	s.altering(func(r *http.Request, answer *http.Response) {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(answer.Body, 100_000), failingReader{io.ErrUnexpectedEOF}), answer.Body}
	})
	o, err := c.Get(t.Context(), get("a"), nil)
	require.NoError(t, err)
	b, err := io.ReadAll(o.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.True(t, bytes.HasPrefix(content, b))
	assert.NotEmpty(t, b)
	o.Body.Close()
}

func TestAltered(t *testing.T) {
	s := newStore(t)
	c := newClient(t, s)
	_, err := c.Put(t.Context(), put("a", bytes.NewReader(randomBytes(100_000))), nil)
	require.NoError(t, err)
	b := s.stored(t, "a")
	b[50_000] ^= 1
	s.store(t, "a", b)
	o, err := c.Get(t.Context(), get("a"), nil)
	require.NoError(t, err)
	_, err = io.ReadAll(o.Body)
	require.ErrorIs(t, err, envelope.ErrAuthentication)

	s.store(t, "plain", []byte("not encrypted, and longer than the fields that a header begins with"))
	_, getErr := c.Get(t.Context(), get("plain"), nil)
	_, openErr := c.Open(t.Context(), get("plain"), nil)
	_, headErr := c.Head(t.Context(), get("plain"))
	for _, err := range []error{getErr, openErr, headErr} {
		require.ErrorIs(t, err, envelope.ErrMalformed)
	}
}
