// Package plain keeps objects in S3 as they are. It is there to compare with.
package plain

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A Store keeps objects in a bucket.
type Store struct {
	client  *s3.Client
	objects *transfermanager.Client
	bucket  string
}

// New returns a store.
func New(client *s3.Client, bucket string) (*Store, error) {
	return &Store{client, transfermanager.New(client), bucket}, nil
}

// Upload stores all of body.
func (s *Store) Upload(ctx context.Context, key string, body io.Reader) error {
	_, err := s.objects.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: &s.bucket, Key: &key, Body: body, ContentType: aws.String("image/tiff"),
	})
	return err
}

// Download writes an object to w.
func (s *Store) Download(ctx context.Context, key string, w io.Writer) error {
	o, err := s.client.GetObject(ctx, s.object(key))
	if err != nil {
		return err
	}
	defer o.Body.Close()
	_, err = io.Copy(w, o.Body)
	return err
}

func (s *Store) object(key string) *s3.GetObjectInput {
	return &s3.GetObjectInput{Bucket: &s.bucket, Key: &key}
}

// Range fills p with the part of an object that begins at off.
func (s *Store) Range(ctx context.Context, key string, p []byte, off int64) error {
	in := s.object(key)
	in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1))
	o, err := s.client.GetObject(ctx, in)
	if err != nil {
		return err
	}
	defer o.Body.Close()
	_, err = io.ReadFull(o.Body, p)
	return err
}

// ServeHTTP answers with the object that the path names, or the range that is asked for.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in := s.object(strings.TrimPrefix(r.URL.Path, "/"))
	if wanted := r.Header.Get("Range"); wanted != "" {
		in.Range = &wanted
	}
	o, err := s.client.GetObject(r.Context(), in)
	if err != nil {
		http.Error(w, "the object cannot be read", http.StatusBadGateway)
		return
	}
	defer o.Body.Close()
	w.Header().Set("Content-Type", aws.ToString(o.ContentType))
	w.Header().Set("Content-Length", fmt.Sprint(aws.ToInt64(o.ContentLength)))
	if o.ContentRange != nil {
		w.Header().Set("Content-Range", *o.ContentRange)
		w.WriteHeader(http.StatusPartialContent)
	}
	io.Copy(w, o.Body)
}
