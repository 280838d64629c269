package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/spf13/cobra"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/s3object"
	"github.com/go-sealring/sealring/keyring"
)

// objectsUnavailable says whether S3 was not reached, failed by itself or had enough of
// requests: whether the SDK itself would have asked again. That S3 refuses, or has no such
// object, is none of it.
func objectsUnavailable(err error) bool {
	var unsent *smithyhttp.RequestSendError // for a host with no address too
	return errors.As(err, &unsent) || retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

// A wire tells a connection that was cut, after which the same command may succeed, from an
// object that was.
type wire struct{ s3.HTTPClient }

func (w wire) Do(request *http.Request) (*http.Response, error) {
	answer, err := w.HTTPClient.Do(request)
	if err == nil {
		answer.Body = wireBody{answer.Body}
	}
	return answer, err
}

type wireBody struct{ io.ReadCloser }

func (b wireBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = wireCut{err}
	}
	return n, err
}

type wireCut struct{ error }

func (c wireCut) Error() string         { return "the connection to S3 was cut: " + c.error.Error() }
func (c wireCut) Unwrap() error         { return c.error }
func (c wireCut) ConnectionError() bool { return true } // for the SDK, which may ask again

const s3Scheme = "s3://"

// An object names an object in S3. The zero value is none.
type object struct{ bucket, key string }

// parseObject returns the object that a FILE names, or none if it names a file.
func parseObject(name string) (object, error) {
	path, ok := strings.CutPrefix(name, s3Scheme)
	if !ok {
		return object{}, nil
	}
	bucket, key, _ := strings.Cut(path, "/")
	if bucket == "" || key == "" {
		return object{}, usagef("an object is s3://BUCKET/KEY")
	}
	return object{bucket, key}, nil
}

func (o object) is() bool { return o != object{} }

func (o object) input() *s3.GetObjectInput {
	return &s3.GetObjectInput{Bucket: &o.bucket, Key: &o.key}
}

// target is for an upload that replaces an object only if force is set.
func (o object) target(force bool) *transfermanager.UploadObjectInput {
	in := &transfermanager.UploadObjectInput{Bucket: &o.bucket, Key: &o.key}
	if !force {
		in.IfNoneMatch = aws.String("*")
	}
	return in
}

// objectFlags say how objects are bound to their names.
type objectFlags struct{ binding string }

var bindings = map[string]s3object.Binding{
	"key": s3object.BindKey, "bucket-and-key": s3object.BindBucketAndKey, "nothing": s3object.BindNothing,
}

func (f *objectFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.binding, "s3-binding", "key", "what an object in S3 is bound to by its encryption `CONTEXT`: key, bucket-and-key, or nothing, for objects that other programs read or write")
	complete(c, "s3-binding", []string{"key", "bucket-and-key", "nothing"})
}

// open returns a client for objects.
func (f *objectFlags) open(ctx context.Context, client *envelope.Client) (*s3object.Client, error) {
	binding, ok := bindings[f.binding]
	if !ok {
		return nil, usagef("--s3-binding is none of key, bucket-and-key and nothing")
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return s3object.New(s3object.Config{
		S3: s3.NewFromConfig(cfg, func(o *s3.Options) {
			o.HTTPClient = wire{o.HTTPClient}
			o.UsePathStyle = o.BaseEndpoint != nil // other servers than AWS's have no name for each bucket
		}),
		Envelope: client,
		Binding:  binding,
	})
}

// put encrypts what body has, which is size bytes long unless that is negative.
func (f *objectFlags) put(ctx context.Context, client *envelope.Encrypter, to object, force bool, body io.Reader, size int64, ec keyring.EncryptionContext) error {
	objects, err := f.open(ctx, &envelope.Client{Encrypter: client})
	if err != nil {
		return err
	}
	in := to.target(force)
	in.Body = until(ctx, body)
	if size >= 0 {
		in.ContentLength = &size
	}
	return uploaded(to, func() error {
		_, err := objects.Put(ctx, in, ec)
		return err
	})
}

// reencrypt encrypts an object anew, where it is or under another name.
func (f *objectFlags) reencrypt(ctx context.Context, client *envelope.Client, from, to object, force bool, ec keyring.EncryptionContext) error {
	objects, err := f.open(ctx, client)
	if err != nil {
		return err
	}
	return uploaded(to, func() error {
		if from != to {
			_, err := objects.Copy(ctx, from.input(), to.target(force), ec)
			return err
		}
		if !force {
			return existsAs(s3Scheme + to.bucket + "/" + to.key)
		}
		_, err := objects.Reencrypt(ctx, from.input(), ec)
		return err
	})
}

// until returns a reader of src that ends with ctx, also while a read of src waits. That read
// is left behind, and ends with the program.
func until(ctx context.Context, src io.Reader) io.Reader {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(w, src)
		w.CloseWithError(err)
	}()
	return r
}

// uploaded calls do, which uploads. A signal that ends the program waits for a while, so that
// the parts that were uploaded so far can be deleted.
func uploaded(to object, do func() error) error {
	done := make(chan struct{})
	wait := func() {
		select {
		case <-done:
		case <-time.After(10 * time.Second):
		}
	}
	if err := guarded(func() (func(), error) { return wait, nil }); err != nil {
		return err
	}
	err := do()
	close(done)
	var answer smithy.APIError
	if errors.As(err, &answer) && answer.ErrorCode() == "PreconditionFailed" && !errors.Is(err, envelope.ErrSourceChanged) {
		return hinted{fmt.Errorf("%w: %w", errExists, err), "-f replaces it"}
	}
	return err
}
