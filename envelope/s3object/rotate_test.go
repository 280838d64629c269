package s3object_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/s3object"
	"github.com/go-sealring/sealring/keyring"
)

// put25 puts objects under a prefix, and one beside it.
func put25(t *testing.T, s *store) {
	t.Helper()
	c := newClient(t, s, smallParts)
	for i := range 25 {
		_, err := c.Put(t.Context(), put(fmt.Sprintf("p/%02d", i), strings.NewReader(fmt.Sprint("content ", i))), tenant)
		require.NoError(t, err)
	}
	_, err := c.Put(t.Context(), put("q", strings.NewReader("beside")), tenant)
	require.NoError(t, err)
	s.store(t, "p/folder/", nil)
}

func rotating(t *testing.T, s *store) *s3object.Client {
	return newClient(t, s, func(c *s3object.Config) { c.Envelope = from(t, "k2", "k1") })
}

func TestRotate(t *testing.T) {
	s := newStore(t)
	put25(t, s)
	c := rotating(t, s)
	var at []string
	var last s3object.Progress
	r := s3object.Rotation{
		Bucket: bucket, Prefix: "p/", Keys: []string{"k2"},
		Context: func(string) keyring.EncryptionContext { return tenant },
		Checkpoint: func(_ context.Context, key string, so s3object.Progress) error {
			at, last = append(at, key), so
			return nil
		},
	}
	so, err := c.Rotate(t.Context(), r, "p/04")
	require.NoError(t, err)
	assert.Equal(t, s3object.Progress{Read: 20, Reencrypted: 20}, so)
	assert.Equal(t, so, last)
	require.Len(t, at, 20)
	assert.Equal(t, "p/05", at[0])
	assert.IsIncreasing(t, at)

	s.count()
	so, err = c.Rotate(t.Context(), r, "")
	require.NoError(t, err)
	assert.Equal(t, s3object.Progress{Read: 25, Fresh: 20, Reencrypted: 5}, so)
	assert.Equal(t, map[string]int{"list": 1, "get": 25 + 5, "put": 5}, s.count())
	so, err = c.Rotate(t.Context(), r, "")
	require.NoError(t, err)
	assert.Equal(t, s3object.Progress{Read: 25, Fresh: 25}, so)

	only2 := newClient(t, s, func(c *s3object.Config) { c.Envelope = newEnvelope(t, rawKeyring(t, "k2"), nil) })
	for i := range 25 {
		o, err := only2.Get(t.Context(), get(fmt.Sprintf("p/%02d", i)), tenant)
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprint("content ", i), string(readAll(t, o)))
	}
	_, err = only2.Get(t.Context(), get("q"), tenant)
	require.ErrorIs(t, err, envelope.ErrNoMatchingKey)

	r.Keys = nil
	so, err = c.Rotate(t.Context(), r, "")
	require.NoError(t, err)
	assert.Equal(t, s3object.Progress{Read: 25, Reencrypted: 25}, so, "each anew")

	_, err = c.Rotate(t.Context(), s3object.Rotation{}, "")
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
}

// What concerns one object is counted, and does not end it.
func TestRotateFailed(t *testing.T) {
	s := newStore(t)
	put25(t, s)
	altered := s.stored(t, "p/03")
	altered[len(altered)-1] ^= 1
	s.store(t, "p/03", altered)
	s.store(t, "p/05", []byte("never was encrypted, and is longer than what a header begins with"))
	s.store(t, "p/07", nil)
	s.store(t, "p/09", s.stored(t, "p/10")) // bound to another key
	cut := map[string]int{}
	var mu sync.Mutex
	s.failing(func(r *http.Request) (*http.Response, error) {
		switch {
		case r.URL.Path == "/bucket/p/11":
			return answer(r, http.StatusForbidden, "AccessDenied"), nil
		case r.URL.Path == "/bucket/p/15": // written with a customer's key, SSE-C
			return answer(r, http.StatusBadRequest, "InvalidRequest"), nil
		case r.URL.Path == "/bucket/p/17": // the key of SSE-KMS is disabled
			return answer(r, http.StatusBadRequest, "KMS.DisabledException"), nil
		case r.URL.Path == "/bucket/p/13":
			return answer(r, http.StatusNotFound, "NoSuchKey"), nil // deleted since it was listed
		}
		return nil, nil
	})
	s.altering(func(r *http.Request, answer *http.Response) {
		mu.Lock()
		defer mu.Unlock()
		if cut[r.URL.Path]++; r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/bucket/p/2") && cut[r.URL.Path] <= 2 {
			answer.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(answer.Body, 10), failingReader{io.ErrUnexpectedEOF}), answer.Body}
		}
	})
	failed := map[string]error{}
	r := s3object.Rotation{
		Bucket: bucket, Prefix: "p/", Keys: []string{"k2"},
		Failed: func(key string, err error) { failed[key] = err },
	}
	c := rotating(t, s)
	so, err := c.Rotate(t.Context(), r, "")
	require.NoError(t, err)
	assert.Equal(t, s3object.Progress{Read: 25, Reencrypted: 17, Lost: 1, Failed: 7}, so)
	require.Len(t, failed, 7)
	require.ErrorIs(t, failed["p/03"], envelope.ErrAuthentication)
	require.ErrorIs(t, failed["p/05"], envelope.ErrMalformed)
	require.ErrorIs(t, failed["p/07"], io.ErrUnexpectedEOF)
	require.ErrorIs(t, failed["p/09"], envelope.ErrContextMismatch)
	require.ErrorContains(t, failed["p/11"], "AccessDenied")
	require.ErrorContains(t, failed["p/15"], "InvalidRequest")
	require.ErrorContains(t, failed["p/17"], "KMS.DisabledException")
	assert.Equal(t, altered, s.stored(t, "p/03"), "it stays as it was")
}

type unavailable struct{ keyring.Keyring }

func (unavailable) OnEncrypt(context.Context, *keyring.EncryptionMaterials) error {
	return fmt.Errorf("no data key: %w", keyring.ErrUnavailable)
}

// What would be the error of all others ends it, and nothing behind it is done.
func TestRotateEnds(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		how  func(t *testing.T, s *store, c *s3object.Config, r *s3object.Rotation)
		want error
	}{
		"no data key": {func(t *testing.T, s *store, c *s3object.Config, r *s3object.Rotation) {
			e, err := envelope.NewEncrypter(unavailable{rawKeyring(t, "k2")}, nil)
			require.NoError(t, err)
			c.Envelope.Encrypter = e
		}, keyring.ErrUnavailable},
		"S3 does not answer": {func(t *testing.T, s *store, c *s3object.Config, r *s3object.Rotation) {
			s.failing(func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.URL.Path, "p/07") {
					return nil, broken
				}
				return nil, nil
			})
		}, broken},
		"every connection ends": {func(t *testing.T, s *store, c *s3object.Config, r *s3object.Rotation) {
			s.altering(func(r *http.Request, answer *http.Response) {
				if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/bucket/p/") {
					answer.Body = struct {
						io.Reader
						io.Closer
					}{failingReader{broken}, answer.Body}
				}
			})
		}, broken},
		"checkpoint": {func(t *testing.T, s *store, c *s3object.Config, r *s3object.Rotation) {
			r.Checkpoint = func(context.Context, string, s3object.Progress) error { return broken }
		}, broken},
		"checkpoint that is an object": {func(t *testing.T, s *store, c *s3object.Config, r *s3object.Rotation) {
			r.Checkpoint = func(context.Context, string, s3object.Progress) error {
				return errors.Join(broken, &s3object.Error{Op: "put", Err: io.ErrUnexpectedEOF})
			}
		}, broken},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			put25(t, s)
			r := s3object.Rotation{
				Bucket: bucket, Prefix: "p/", Keys: []string{"k2"},
				Failed: func(key string, err error) { t.Error(key, err) },
			}
			at := ""
			r.Checkpoint = func(_ context.Context, key string, _ s3object.Progress) error {
				at = key
				return nil
			}
			c := newClient(t, s, func(c *s3object.Config) {
				c.Envelope = from(t, "k2", "k1")
				test.how(t, s, c, &r)
			})
			so, err := c.Rotate(t.Context(), r, "")
			require.ErrorIs(t, err, test.want)
			var of *s3object.Error
			require.ErrorAs(t, err, &of)
			assert.Equal(t, "rotate", of.Op)
			assert.Less(t, at, "p/07")
			assert.LessOrEqual(t, so.Read, int64(7))
		})
	}
}

// A list whose keys do not ascend, and so has no place to go on from.
type unordered struct{ s3object.API }

func (u unordered) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, o ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	in.ContinuationToken = nil
	out, err := u.API.ListObjectsV2(ctx, in, o...)
	if err == nil {
		out.IsTruncated, out.NextContinuationToken = aws.Bool(true), aws.String("again")
	}
	return out, err
}

// A rotation neither goes round for ever nor has a checkpoint with objects before it undone.
func TestRotateUnordered(t *testing.T) {
	s := newStore(t)
	put25(t, s)
	c := newClient(t, s, func(c *s3object.Config) { c.Envelope, c.S3 = from(t, "k2", "k1"), unordered{s.s3} })
	so, err := c.Rotate(t.Context(), s3object.Rotation{Bucket: bucket, Prefix: "p/"}, "")
	require.ErrorContains(t, err, "order")
	assert.LessOrEqual(t, so.Read, int64(25))
}

// In histories of writes, copies, rotations, kills and faults, each object is there with the
// content that was last written, and in the end all are under the new key.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			history(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func history(t *testing.T, rng *rand.Rand) {
	s := newStore(t)
	undisturbed := s.client(http.DefaultTransport)
	old := newClient(t, s, smallParts, func(c *s3object.Config) { c.S3 = undisturbed })
	rotates := newClient(t, s, smallParts, func(c *s3object.Config) { c.Envelope = from(t, "k2", "k1") })
	reads := newClient(t, s, func(c *s3object.Config) { c.S3, c.Envelope = undisturbed, from(t, "k2", "k1") })

	var mu sync.Mutex // of what follows, which a rotation's requests use too
	want := map[string][]byte{}
	write := func() {
		key, n := fmt.Sprintf("p/%d", rng.IntN(12)), rng.IntN(10_000)
		if rng.IntN(20) == 0 {
			n += 5 << 20
		}
		content := make([]byte, n)
		for i := range content[:min(n, 100)] {
			content[i] = byte(rng.Uint32())
		}
		switch {
		case rng.IntN(8) == 0:
			_, err := undisturbed.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key})
			require.NoError(t, err)
			delete(want, key)
		case rng.IntN(4) == 0 && len(want) > 0:
			source := slices.Sorted(maps.Keys(want))[0]
			_, err := reads.Copy(t.Context(), get(source), put(key, nil), tenant)
			require.NoError(t, err)
			want[key] = want[source]
		default:
			_, err := old.Put(t.Context(), put(key, bytes.NewReader(content)), tenant)
			require.NoError(t, err)
			want[key] = content
		}
	}
	check := func() {
		list, err := undisturbed.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
		require.NoError(t, err)
		require.Len(t, list.Contents, len(want))
		for key, content := range want {
			o, err := reads.Get(t.Context(), get(key), tenant)
			require.NoError(t, err, key)
			require.True(t, bytes.Equal(content, readAll(t, o)), key)
		}
	}
	for range 20 {
		write()
	}
	at := ""
	rotation := s3object.Rotation{
		Bucket: bucket, Prefix: "p/", Keys: []string{"k2"},
		Checkpoint: func(_ context.Context, key string, _ s3object.Progress) error {
			at = key
			return nil
		},
		Failed: func(key string, err error) { t.Error(key, err) },
	}
	for range 15 {
		rotation.Concurrency = 1 + rng.IntN(4)
		ctx, kill := context.WithCancel(t.Context())
		left := rng.IntN(60) // requests until it is killed
		s.failing(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			left--
			switch {
			case left < 0 && left > -3:
				kill()
				return nil, context.Canceled
			case rng.IntN(15) == 0:
				return nil, errors.New("connection reset")
			case rng.IntN(15) == 0:
				return answer(r, http.StatusServiceUnavailable, "SlowDown"), nil
			case rng.IntN(6) == 0:
				write()
			}
			return nil, nil
		})
		_, err := rotates.Rotate(ctx, rotation, at)
		kill()
		s.failing(nil)
		check()
		if err == nil {
			at = ""
		}
		write()
	}
	for {
		so, err := rotates.Rotate(t.Context(), rotation, "")
		require.NoError(t, err)
		if so.Reencrypted == 0 {
			assert.Equal(t, int64(len(want)), so.Fresh)
			break
		}
	}
	check()
}
