package s3object_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/s3object"
	"github.com/go-sealring/sealring/keyring"
)

// from returns an envelope client that encrypts under one key and decrypts under both.
func from(t testing.TB, encrypts, also string) *envelope.Client {
	t.Helper()
	kr, err := keyring.NewMultiDecrypter(rawKeyring(t, encrypts), rawKeyring(t, also))
	require.NoError(t, err)
	d, err := envelope.NewDecrypter(kr, nil)
	require.NoError(t, err)
	e, err := envelope.NewEncrypter(rawKeyring(t, encrypts), nil)
	require.NoError(t, err)
	return &envelope.Client{Encrypter: e, Decrypter: d}
}

func TestCopy(t *testing.T) {
	for name, test := range map[string]struct {
		options *envelope.Options
		n       int
	}{
		"small":          {nil, 100},
		"in parts":       {nil, 12e6},
		"signed":         {&envelope.Options{Sign: true}, 100_000},
		"signed, parts":  {&envelope.Options{Sign: true}, 12e6},
		"empty":          {nil, 0},
		"other framing":  {&envelope.Options{FrameLength: 100}, 100_000},
		"bucket and key": {nil, 100},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			content := randomBytes(test.n)
			binding := s3object.BindKey
			if name == "bucket and key" {
				binding = s3object.BindBucketAndKey
			}
			old := newClient(t, s, smallParts, func(c *s3object.Config) {
				c.Envelope, c.Binding = newEnvelope(t, rawKeyring(t, "k1"), test.options), binding
			})
			in := put("a", bytes.NewReader(content))
			in.ContentType, in.ContentEncoding = aws.String("image/tiff"), aws.String("gzip")
			in.Metadata = map[string]string{"camera": "7"}
			_, err := old.Put(t.Context(), in, tenant)
			require.NoError(t, err)

			both := newClient(t, s, smallParts, func(c *s3object.Config) { c.Envelope, c.Binding = from(t, "k2", "k1"), binding })
			to := &transfermanager.UploadObjectInput{Bucket: aws.String("other"), Key: aws.String("b")}
			_, err = both.Copy(t.Context(), get("a"), to, tenant)
			require.NoError(t, err)
			assert.Nil(t, to.Body, "the input was changed")

			fresh := newClient(t, s, func(c *s3object.Config) { c.Envelope, c.Binding = newEnvelope(t, rawKeyring(t, "k2"), nil), binding })
			o, err := fresh.Get(t.Context(), &s3.GetObjectInput{Bucket: to.Bucket, Key: to.Key}, tenant)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(content, readAll(t, o)))
			want := keyring.EncryptionContext{"tenant": "42", "s3-key": "b"}
			if binding == s3object.BindBucketAndKey {
				want["s3-bucket"] = "other"
			}
			assert.Equal(t, want, o.Header.Context)
			assert.Equal(t, "image/tiff", *o.ContentType)
			assert.Equal(t, "gzip", *o.ContentEncoding)
			assert.Equal(t, map[string]string{"camera": "7"}, o.Metadata)
		})
	}
}

func TestCopyRefused(t *testing.T) {
	s := newStore(t)
	c := newClient(t, s)
	for name, to := range map[string]*transfermanager.UploadObjectInput{
		"Body":           put("b", strings.NewReader("x")),
		"ContentLength":  {ContentLength: aws.Int64(1)},
		"ChecksumSHA256": {ChecksumSHA256: aws.String("x")},
	} {
		_, err := c.Copy(t.Context(), get("a"), to, nil)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument, name)
		require.ErrorContains(t, err, name)
	}
	_, err := c.Reencrypt(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("a"), VersionId: aws.String("1")}, nil)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	assert.Empty(t, s.count())

	_, err = c.Put(t.Context(), put("a", strings.NewReader("x")), tenant)
	require.NoError(t, err)
	_, err = c.Copy(t.Context(), get("a"), put("b", nil), keyring.EncryptionContext{"tenant": "43"})
	require.ErrorIs(t, err, envelope.ErrContextMismatch)
}

// An object that was altered is not copied.
func TestCopyAltered(t *testing.T) {
	for name, n := range map[string]int{"at once": 1e6, "in parts": 12e6} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			c := newClient(t, s, smallParts)
			_, err := c.Put(t.Context(), put("a", bytes.NewReader(randomBytes(n))), nil)
			require.NoError(t, err)
			b := s.stored(t, "a")
			b[len(b)-1] ^= 1
			s.store(t, "a", b)
			s.count()
			_, err = c.Copy(t.Context(), get("a"), put("b", nil), nil)
			require.ErrorIs(t, err, envelope.ErrAuthentication)
			counts := s.count()
			assert.Equal(t, counts["create"], counts["abort"])
			_, err = c.Get(t.Context(), get("b"), nil)
			var noKey *types.NoSuchKey
			require.ErrorAs(t, err, &noKey)
		})
	}
}

// A fake is an S3 of one object that returns all fields, as gofakes3 does not.
type fake struct {
	s3object.API
	object s3.GetObjectOutput
	body   []byte
	put    *s3.PutObjectInput
}

func (f *fake) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	o := f.object
	o.Body, o.ContentLength = io.NopCloser(bytes.NewReader(f.body)), aws.Int64(int64(len(f.body)))
	return &o, nil
}

func (f *fake) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	f.put = in
	return &s3.PutObjectOutput{}, nil
}

func (f *fake) GetObjectTagging(context.Context, *s3.GetObjectTaggingInput, ...func(*s3.Options)) (*s3.GetObjectTaggingOutput, error) {
	return &s3.GetObjectTaggingOutput{TagSet: []types.Tag{
		{Key: aws.String("team"), Value: aws.String("a b")}, {Key: aws.String("x"), Value: aws.String("&")},
	}}, nil
}

// What an object has beside its bytes is kept.
func TestKept(t *testing.T) {
	e := newEnvelope(t, rawKeyring(t, "k1"), nil)
	msg, err := e.Encrypt(t.Context(), []byte("hello"), keyring.EncryptionContext{"s3-key": "a"})
	require.NoError(t, err)
	until := time.Now().Add(time.Hour)
	f := &fake{body: msg, object: s3.GetObjectOutput{
		ETag: aws.String("etag"), CacheControl: aws.String("cache"), ContentDisposition: aws.String("disposition"),
		ContentEncoding: aws.String("encoding"), ContentLanguage: aws.String("language"), ContentType: aws.String("type"),
		WebsiteRedirectLocation: aws.String("/other"), Metadata: map[string]string{"camera": "7"},
		ExpiresString: aws.String("Wed, 21 Oct 2015 07:28:00 GMT"), StorageClass: types.StorageClassStandardIa,
		ServerSideEncryption: types.ServerSideEncryptionAwsKms, SSEKMSKeyId: aws.String("key"), BucketKeyEnabled: aws.Bool(true),
		ObjectLockMode: types.ObjectLockModeGovernance, ObjectLockRetainUntilDate: &until, ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn,
		ChecksumSHA256: aws.String("sum"), TagCount: aws.Int32(2),
	}}
	c, err := s3object.New(s3object.Config{S3: f, Envelope: e})
	require.NoError(t, err)
	_, err = c.Reencrypt(t.Context(), get("a"), nil)
	require.NoError(t, err)
	in := f.put
	assert.Equal(t, "etag", *in.IfMatch)
	assert.Equal(t, "cache", *in.CacheControl)
	assert.Equal(t, "disposition", *in.ContentDisposition)
	assert.Equal(t, "encoding", *in.ContentEncoding)
	assert.Equal(t, "language", *in.ContentLanguage)
	assert.Equal(t, "type", *in.ContentType)
	assert.Equal(t, "/other", *in.WebsiteRedirectLocation)
	assert.Equal(t, map[string]string{"camera": "7"}, in.Metadata)
	assert.Equal(t, time.Date(2015, 10, 21, 7, 28, 0, 0, time.UTC), *in.Expires)
	assert.Equal(t, types.StorageClassStandardIa, in.StorageClass)
	assert.Equal(t, types.ServerSideEncryptionAwsKms, in.ServerSideEncryption)
	assert.Equal(t, "key", *in.SSEKMSKeyId)
	assert.True(t, *in.BucketKeyEnabled)
	assert.Equal(t, types.ObjectLockModeGovernance, in.ObjectLockMode)
	assert.Equal(t, until, *in.ObjectLockRetainUntilDate)
	assert.Equal(t, types.ObjectLockLegalHoldStatusOn, in.ObjectLockLegalHoldStatus)
	assert.Equal(t, types.ChecksumAlgorithmSha256, in.ChecksumAlgorithm)
	assert.Equal(t, "team=a+b&x=%26", *in.Tagging)

	// A copy says otherwise.
	_, err = c.Copy(t.Context(), get("a"), &transfermanager.UploadObjectInput{
		Bucket: aws.String("other"), Key: aws.String("b"), ContentType: aws.String("mine"), Metadata: map[string]string{}, Tagging: aws.String(""),
	}, nil)
	require.NoError(t, err)
	assert.Equal(t, "mine", *f.put.ContentType)
	assert.Empty(t, f.put.Metadata)
	assert.Empty(t, *f.put.Tagging)
	assert.Nil(t, f.put.IfMatch)

	past := time.Now().Add(-time.Hour)
	f.object.ObjectLockRetainUntilDate = &past
	f.object.ServerSideEncryption = types.ServerSideEncryptionAes256
	_, err = c.Reencrypt(t.Context(), get("a"), nil)
	require.NoError(t, err)
	assert.Nil(t, f.put.ObjectLockRetainUntilDate, "S3 refuses it")
	assert.Empty(t, f.put.ServerSideEncryption, "the bucket's default")

	f.put = nil
	f.object.MissingMeta = aws.Int32(1)
	_, err = c.Reencrypt(t.Context(), get("a"), nil)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	f.object.MissingMeta, f.object.ETag = nil, nil
	_, err = c.Reencrypt(t.Context(), get("a"), nil)
	require.ErrorContains(t, err, "no ETag")
	assert.Nil(t, f.put)
}

// What another has written meanwhile stands.
func TestReencryptLosesNoWrite(t *testing.T) {
	for name, n := range map[string]int{"at once": 1000, "in parts": 12e6} {
		for how, meanwhile := range map[string]func(t *testing.T, s *store, c *s3object.Client){
			"written": func(t *testing.T, s *store, c *s3object.Client) {
				_, err := c.Put(t.Context(), put("a", strings.NewReader("newer")), nil)
				require.NoError(t, err)
			},
			"deleted": func(t *testing.T, s *store, c *s3object.Client) {
				_, err := s.client(http.DefaultTransport).DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("a")})
				require.NoError(t, err)
			},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				s := newStore(t)
				c := newClient(t, s, smallParts)
				_, err := c.Put(t.Context(), put("a", bytes.NewReader(randomBytes(n))), nil)
				require.NoError(t, err)
				other := newClient(t, s, func(c *s3object.Config) { c.S3 = s.client(http.DefaultTransport) })
				done := false
				s.count()
				s.altering(func(r *http.Request, answer *http.Response) {
					if r.Method == http.MethodGet && !done {
						done = true
						meanwhile(t, s, other)
					}
				})
				_, err = c.Reencrypt(t.Context(), get("a"), nil)
				require.ErrorIs(t, err, envelope.ErrSourceChanged)
				require.True(t, done)
				counts := s.count()
				assert.Equal(t, counts["create"], counts["abort"])
				o, err := other.Get(t.Context(), get("a"), nil)
				if how == "deleted" {
					var noKey *types.NoSuchKey
					require.ErrorAs(t, err, &noKey)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, "newer", string(readAll(t, o)))
			})
		}
	}
}

// A context that is not stored beside the message is that of the copy too.
func TestCopyWithRequiredContext(t *testing.T) {
	s := newStore(t)
	keys, err := keyring.NewManager(rawKeyring(t, "k1"))
	require.NoError(t, err)
	required, err := keyring.NewRequiredContextManager(keys, "tenant")
	require.NoError(t, err)
	e, err := envelope.NewFromManager(required, nil)
	require.NoError(t, err)
	c := newClient(t, s, func(c *s3object.Config) { c.Envelope, c.Binding = e, s3object.BindNothing })
	_, err = c.Put(t.Context(), put("a", strings.NewReader("hello")), tenant)
	require.NoError(t, err)
	_, err = c.Copy(t.Context(), get("a"), put("b", nil), tenant)
	require.NoError(t, err)
	o, err := c.Get(t.Context(), get("b"), tenant)
	require.NoError(t, err)
	assert.Empty(t, o.Header.Context)
	assert.Equal(t, "hello", string(readAll(t, o)))
}
