// Package sealed keeps objects in S3 encrypted. It does what package plain does: a test
// counts the lines that are not there too.
package sealed

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/s3object"
	"github.com/go-sealring/sealring/keyring"
)

var ec = keyring.EncryptionContext{"purpose": "scans"}

// A Store keeps objects in a bucket.
type Store struct {
	objects *s3object.Client
	bucket  string
}

// New returns a store.
func New(client *s3.Client, bucket string, kr keyring.Keyring) (*Store, error) {
	e, err := envelope.New(kr, nil)
	if err != nil {
		return nil, err
	}
	objects, err := s3object.New(s3object.Config{S3: client, Envelope: e})
	return &Store{objects, bucket}, err
}

// Upload stores all of body.
func (s *Store) Upload(ctx context.Context, key string, body io.Reader) error {
	_, err := s.objects.Put(ctx, &transfermanager.UploadObjectInput{
		Bucket: &s.bucket, Key: &key, Body: body, ContentType: aws.String("image/tiff"),
	}, ec)
	return err
}

// Download writes an object to w.
func (s *Store) Download(ctx context.Context, key string, w io.Writer) error {
	o, err := s.objects.Get(ctx, s.object(key), ec)
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

// Open returns an object of which ranges are read: ReadAt takes a request for each.
func (s *Store) Open(ctx context.Context, key string) (*s3object.File, error) {
	return s.objects.Open(ctx, s.object(key), ec)
}

// ServeHTTP answers with the object that the path names, or the range that is asked for.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o, err := s.Open(r.Context(), strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		http.Error(w, "the object cannot be read", http.StatusBadGateway)
		return
	}
	content := o.NewSectionReader(r.Context(), 0, o.Size())
	defer content.Close()
	w.Header().Set("Content-Type", aws.ToString(o.Output.ContentType))
	http.ServeContent(w, r, "", aws.ToTime(o.Output.LastModified), content)
}
