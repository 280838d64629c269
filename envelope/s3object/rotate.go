package s3object

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A Rotation says which objects [Client.Rotate] encrypts anew. Its functions are called by the
// goroutine that called Rotate.
type Rotation struct {
	// Bucket and Prefix say which objects: those whose keys begin with Prefix. Empty ones
	// whose keys end in a slash, which stand for folders, are passed over.
	Bucket, Prefix string

	// Keys are the names of the keys that are to wrap each message, as
	// envelope.Header.WrappedBy takes them. An object that is wrapped by exactly these is
	// left as it is. That is told from its header, with one request of 4 KiB and no key, and
	// believed though nothing has authenticated it. If there are none, each object is
	// encrypted anew.
	Keys []string

	// Context, if not nil, returns the encryption context to expect of an object, as for Get.
	Context func(key string) keyring.EncryptionContext

	// Checkpoint, if not nil, is called when all objects up to a key are done. Store the key:
	// Rotate goes on behind it after a crash.
	Checkpoint func(ctx context.Context, key string, so Progress) error

	// Failed, if not nil, is called with each object that could not be decrypted, or that S3
	// does not let be read or written. It stays as it is.
	Failed func(key string, err error)

	// Concurrency is how many objects are worked on at once. Each that is long takes the
	// memory of an upload. Zero is 4.
	Concurrency int
}

// Progress counts objects.
type Progress struct {
	Read        int64 // those that are done, in one way or another
	Fresh       int64 // of these, those that were wrapped by the right keys already
	Reencrypted int64 // those that were encrypted anew
	Lost        int64 // those that another had written or deleted meanwhile, as Reencrypt says
	Failed      int64 // those that could not be read or written
}

// Rotate does what Reencrypt does to the objects with a prefix, in the order of their keys,
// behind a key that Checkpoint was called with, or "" for the beginning. No object that others
// write is lost, and at no time is one missing: so it can run, be killed and go on, while the
// objects are used.
//
// It returns when all are done; or with the error of Checkpoint or of ctx, or one that would be
// that of all other objects as well: a key service that cannot be asked, no data key to encrypt
// with, S3 not answering. What concerns one object alone is counted as Failed. A connection
// that ends while an object is read is tried again, three times in all. If a keyring panics,
// Rotate panics with the same value.
//
// Progress counts from the key on. Objects that were Lost, and those that a program wrote which
// still had the old keys, may be under these: rotate again from the beginning until nothing is
// Reencrypted, Lost or Failed, and take the old keys away then. Directory buckets cannot be
// rotated: a list that is not in the order of its keys is an error. In a bucket with versions
// the old ones stay, under the old keys.
func (c *Client) Rotate(ctx context.Context, r Rotation, from string) (Progress, error) {
	so, err := c.rotate(ctx, &r, from)
	if err == nil {
		return so, nil
	}
	if _, ok := err.(*Error); ok {
		return so, err
	}
	return so, &Error{Op: "rotate", Bucket: r.Bucket, Err: err}
}

// A job is an object that is being worked on. What came of it is set when done is closed.
type job struct {
	key    string
	done   chan struct{}
	came   Progress
	failed error // of this object
	err    error // that ends the rotation

	panicked any // what a keyring panicked with
}

// errNotDone stays for an object if a keyring that the caller has written calls
// runtime.Goexit.
var errNotDone = errors.New("the goroutine that worked on it was ended")

func (c *Client) rotate(ctx context.Context, r *Rotation, from string) (Progress, error) {
	if r.Bucket == "" || r.Concurrency < 0 {
		return Progress{}, invalid("Rotation.Bucket is empty, or Concurrency negative")
	}
	if c.envelope.Encrypter == nil || c.envelope.Decrypter == nil {
		return Progress{}, invalid("Config.Envelope cannot both encrypt and decrypt")
	}
	concurrency := r.Concurrency
	if concurrency == 0 {
		concurrency = 4
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var so Progress
	var inFlight []*job
	settle := func() error { // the first that is in flight
		j := inFlight[0]
		inFlight = inFlight[1:]
		<-j.done
		if j.panicked != nil {
			panic(j.panicked)
		}
		if j.err != nil {
			return &Error{"rotate", r.Bucket, j.key, j.err}
		}
		if j.failed != nil && r.Failed != nil {
			r.Failed(j.key, &Error{"rotate", r.Bucket, j.key, j.failed})
		}
		so.add(j.came)
		if r.Checkpoint != nil {
			return r.Checkpoint(ctx, j.key, so)
		}
		return nil
	}
	list := s3.NewListObjectsV2Paginator(c.s3, &s3.ListObjectsV2Input{
		Bucket: &r.Bucket, Prefix: &r.Prefix, StartAfter: optional(from),
	})
	last := from
	for list.HasMorePages() {
		page, err := list.NextPage(ctx)
		if err != nil {
			return so, err
		}
		for _, o := range page.Contents {
			key := aws.ToString(o.Key)
			if key <= last {
				return so, fmt.Errorf("S3 lists key %q behind %q, and not in their order: there is no place to go on from", key, last)
			}
			last = key
			if strings.HasSuffix(key, "/") && aws.ToInt64(o.Size) == 0 {
				continue
			}
			if len(inFlight) == concurrency {
				if err := settle(); err != nil {
					return so, err
				}
			}
			var ec keyring.EncryptionContext
			if r.Context != nil {
				ec = r.Context(key)
			}
			j := &job{key: key, done: make(chan struct{}), err: errNotDone}
			inFlight = append(inFlight, j)
			wait.Go(func() {
				defer close(j.done)
				defer func() { j.panicked = recover() }()
				j.err = c.rotateOne(ctx, r, j, ec)
			})
		}
	}
	for len(inFlight) > 0 {
		if err := settle(); err != nil {
			return so, err
		}
	}
	return so, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// How often an object is tried whose connection ends.
const tries = 3

// rotateOne encrypts one object anew, if it is stale. Its error is one that ends the rotation.
func (c *Client) rotateOne(ctx context.Context, r *Rotation, j *job, ec keyring.EncryptionContext) error {
	var err error
	for try := 1; try == 1 || try <= tries && isCut(err); try++ {
		var fresh bool
		if fresh, err = c.refresh(ctx, r, j.key, ec); fresh {
			j.came = Progress{Read: 1, Fresh: 1}
			return nil
		}
	}
	switch {
	case err == nil:
		j.came = Progress{Read: 1, Reencrypted: 1}
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, envelope.ErrSourceChanged) || hasCode(err, "NoSuchKey", "NotFound"):
		j.came = Progress{Read: 1, Lost: 1}
	case ofOne(err):
		j.came, j.failed = Progress{Read: 1, Failed: 1}, err
	default:
		return err
	}
	return nil
}

func isCut(err error) bool {
	var c cut
	return errors.As(err, &c)
}

// ofOne says whether an error concerns one object alone.
func ofOne(err error) bool {
	var u unreadable
	return errors.As(err, &u) || errors.Is(err, keyring.ErrInvalidArgument) || errors.Is(err, envelope.ErrLimit) ||
		hasCode(err, "AccessDenied", "InvalidObjectState",
			"InvalidRequest", // of one with a key of SSE-C
			"KMS.DisabledException", "KMS.InvalidKeyUsageException", "KMS.KMSInvalidStateException", "KMS.NotFoundException")
}

// refresh encrypts an object anew, unless it is fresh.
func (c *Client) refresh(ctx context.Context, r *Rotation, key string, ec keyring.EncryptionContext) (fresh bool, err error) {
	object := &s3.GetObjectInput{Bucket: &r.Bucket, Key: &key}
	if len(r.Keys) > 0 {
		o, err := c.head(ctx, object)
		if err != nil {
			return false, err
		}
		if o.Header.WrappedBy(r.Keys...) {
			return true, nil
		}
	}
	_, err = c.reencrypt(ctx, object, ec)
	return false, err
}

func (p *Progress) add(q Progress) {
	p.Read += q.Read
	p.Fresh += q.Fresh
	p.Reencrypted += q.Reencrypted
	p.Lost += q.Lost
	p.Failed += q.Failed
}
