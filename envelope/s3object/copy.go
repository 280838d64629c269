package s3object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// Copy puts the plaintext of one object under another key, or into another bucket, as a new
// message with a data key of its own. It passes through memory, part after part: S3's own copy
// would leave an object that is bound to the name of the old one.
//
// The new encryption context has the pairs that the old one stores, those of ec, whose meaning
// is as for Get, and those that bind it to the new name. The input names the new object. Its
// Body and ContentLength are the old object's and are refused; each other field that is not set
// is taken from the old object too: content type and encoding, metadata, tags, storage class,
// the key of SSE-KMS, locks, the kind of checksum if it is SHA or CRC32C. A Metadata that is
// empty but not nil leaves it out. ACLs, grants, keys of SSE-C and an encryption context of
// SSE-KMS are never taken over; nor are tags and locks that the caller may not read, as the
// package's Permissions say.
//
// To rename, copy and then delete.
func (c *Client) Copy(ctx context.Context, from *s3.GetObjectInput, to *transfermanager.UploadObjectInput, ec keyring.EncryptionContext) (*transfermanager.UploadObjectOutput, error) {
	source, in := copied(from), copied(to)
	out, err := c.copy(ctx, &source, &in, ec)
	if err != nil {
		return nil, &Error{"copy", aws.ToString(in.Bucket), aws.ToString(in.Key), err}
	}
	return out, nil
}

func (c *Client) copy(ctx context.Context, from *s3.GetObjectInput, to *transfermanager.UploadObjectInput, ec keyring.EncryptionContext) (*transfermanager.UploadObjectOutput, error) {
	if to.Body != nil || to.ContentLength != nil {
		return nil, invalid("Body and ContentLength are those of the object that is copied")
	}
	if err := checkPut(to); err != nil {
		return nil, err
	}
	return c.moved(ctx, from, to, ec, false)
}

// Reencrypt encrypts an object anew where it is, under the keys that the client's Envelope
// encrypts with now. What Copy keeps it keeps; an ACL is lost, unless the bucket has none, as
// is S3's default. The object is written only if it still is the one that was read: if somebody
// has written or deleted it meanwhile, that stands, and the error is
// envelope.ErrSourceChanged. It can also be that error if S3 has written the new object and its
// answer was lost, so that the SDK tried again. Tags and locks have no part in this: those that
// are changed meanwhile are lost. In a bucket with versions the old one stays, under the old
// keys.
//
// There is no faster way that wraps the data key for other keys and keeps the body: see
// envelope.Encrypter.Reencrypt. An input with a VersionId is refused, since it would put that
// version in the place of the current one: Copy does so.
func (c *Client) Reencrypt(ctx context.Context, input *s3.GetObjectInput, ec keyring.EncryptionContext) (*transfermanager.UploadObjectOutput, error) {
	in := copied(input)
	out, err := c.reencrypt(ctx, &in, ec)
	if err != nil {
		return nil, failed("reencrypt", &in, err)
	}
	return out, nil
}

func (c *Client) reencrypt(ctx context.Context, in *s3.GetObjectInput, ec keyring.EncryptionContext) (*transfermanager.UploadObjectOutput, error) {
	if in.VersionId != nil {
		return nil, invalid("VersionId: it would take the place of the current version; to want that, use Copy")
	}
	to := &transfermanager.UploadObjectInput{
		Bucket: in.Bucket, Key: in.Key,
		ExpectedBucketOwner: in.ExpectedBucketOwner, RequestPayer: tmtypes.RequestPayer(in.RequestPayer),
		SSECustomerAlgorithm: in.SSECustomerAlgorithm, SSECustomerKey: in.SSECustomerKey, SSECustomerKeyMD5: in.SSECustomerKeyMD5,
	}
	return c.moved(ctx, in, to, ec, true)
}

// moved decrypts one object and encrypts it to another, or to the same one in its place.
func (c *Client) moved(ctx context.Context, from *s3.GetObjectInput, to *transfermanager.UploadObjectInput, ec keyring.EncryptionContext, inPlace bool) (*transfermanager.UploadObjectOutput, error) {
	expected, err := c.checkGet(from, ec)
	if err != nil {
		return nil, err
	}
	if c.envelope.Encrypter == nil {
		return nil, invalid("Config.Envelope cannot encrypt")
	}
	get := *from
	get.ChecksumMode = types.ChecksumModeEnabled // tells which the object has
	out, err := c.s3.GetObject(ctx, &get, plainGet)
	if err != nil {
		return nil, err
	}
	src := &source{ctx: ctx, wire: &wire{ReadCloser: out.Body}}
	defer src.wire.Close()
	if src.plain, err = c.envelope.NewReader(ctx, src.wire, expected); err != nil {
		return nil, src.blame(c.decryptError(err))
	}
	o, err := newObject(out, out.ContentLength, src.plain.Header())
	if err != nil {
		return nil, unreadable{err}
	}
	if err := c.keep(ctx, from, o.GetObjectOutput, to); err != nil {
		return nil, err
	}
	if inPlace {
		if aws.ToString(out.ETag) == "" {
			return nil, errors.New("S3 returned no ETag, without which a write of others could be lost")
		}
		to.IfMatch = out.ETag
	}
	// What binds the old object is left out by its names, so that another Binding's pair
	// cannot stay.
	pairs := keyring.EncryptionContext{}
	maps.Copy(pairs, o.Header.Context)
	maps.DeleteFunc(pairs, func(name, _ string) bool {
		return strings.HasPrefix(name, "aws-crypto-") || c.binding != BindNothing && (name == keyPair || name == bucketPair)
	})
	maps.Copy(pairs, ec)
	for name := range c.binding.pairs("", "") {
		delete(pairs, name)
	}
	if pairs, err = c.binding.bound(pairs, aws.ToString(to.Bucket), aws.ToString(to.Key)); err != nil {
		return nil, err
	}
	to.Body, to.ContentLength = src, o.ContentLength
	made, err := c.upload(ctx, to, pairs)
	if err != nil && inPlace && wasReplaced(err) {
		err = fmt.Errorf("%w: it was written or deleted since it was read: %w", envelope.ErrSourceChanged, err)
	}
	return made, err
}

// keep sets what an input leaves open to what an object has.
func (c *Client) keep(ctx context.Context, from *s3.GetObjectInput, o *s3.GetObjectOutput, to *transfermanager.UploadObjectInput) error {
	keepField(&to.CacheControl, o.CacheControl)
	keepField(&to.ContentDisposition, o.ContentDisposition)
	keepField(&to.ContentEncoding, o.ContentEncoding)
	keepField(&to.ContentLanguage, o.ContentLanguage)
	keepField(&to.ContentType, o.ContentType)
	keepField(&to.WebsiteRedirectLocation, o.WebsiteRedirectLocation)
	if to.Metadata == nil {
		if aws.ToInt32(o.MissingMeta) > 0 {
			return invalid("metadata of the object cannot be read over HTTP, and would be lost: set Metadata in a Copy")
		}
		to.Metadata = o.Metadata
	}
	if at, err := http.ParseTime(aws.ToString(o.ExpiresString)); err == nil && to.Expires == nil {
		to.Expires = &at
	}
	if to.StorageClass == "" {
		to.StorageClass = tmtypes.StorageClass(o.StorageClass)
	}
	// Encryption with S3's own keys is what a bucket does by itself.
	if to.ServerSideEncryption == "" && to.SSECustomerKey == nil && strings.HasPrefix(string(o.ServerSideEncryption), "aws:kms") {
		to.ServerSideEncryption = tmtypes.ServerSideEncryption(o.ServerSideEncryption)
		keepField(&to.SSEKMSKeyID, o.SSEKMSKeyId)
		if to.BucketKeyEnabled == nil {
			to.BucketKeyEnabled = o.BucketKeyEnabled
		}
	}
	if to.ObjectLockMode == "" && o.ObjectLockRetainUntilDate != nil && o.ObjectLockRetainUntilDate.After(time.Now()) {
		to.ObjectLockMode = tmtypes.ObjectLockMode(o.ObjectLockMode)
		to.ObjectLockRetainUntilDate = o.ObjectLockRetainUntilDate
	}
	if to.ObjectLockLegalHoldStatus == "" {
		to.ObjectLockLegalHoldStatus = tmtypes.ObjectLockLegalHoldStatus(o.ObjectLockLegalHoldStatus)
	}
	if to.ChecksumAlgorithm == "" {
		to.ChecksumAlgorithm = checksumOf(o)
	}
	if to.Tagging == nil && aws.ToInt32(o.TagCount) > 0 {
		tags, err := c.s3.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{
			Bucket: from.Bucket, Key: from.Key, VersionId: from.VersionId,
			ExpectedBucketOwner: from.ExpectedBucketOwner, RequestPayer: from.RequestPayer,
		})
		if err != nil {
			return err
		}
		query := url.Values{}
		for _, tag := range tags.TagSet {
			query.Set(aws.ToString(tag.Key), aws.ToString(tag.Value))
		}
		to.Tagging = aws.String(query.Encode())
	}
	return nil
}

func keepField(to **string, has *string) {
	if *to == nil {
		*to = has
	}
}

// checksumOf returns the kind of checksum that an object has, or "" for the transfer
// manager's default.
func checksumOf(o *s3.GetObjectOutput) tmtypes.ChecksumAlgorithm {
	switch {
	case o.ChecksumSHA256 != nil:
		return tmtypes.ChecksumAlgorithmSha256
	case o.ChecksumSHA512 != nil:
		return tmtypes.ChecksumAlgorithmSha512
	case o.ChecksumSHA1 != nil:
		return tmtypes.ChecksumAlgorithmSha1
	case o.ChecksumCRC32C != nil:
		return tmtypes.ChecksumAlgorithmCrc32c
	}
	return ""
}

// A source is the plaintext of an object that is copied. Its errors say who is to blame.
type source struct {
	ctx   context.Context
	wire  *wire
	plain *envelope.Reader
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.plain.Read(p)
	if err != nil && err != io.EOF {
		err = s.blame(err)
	}
	return n, err
}

func (s *source) blame(err error) error {
	switch {
	case s.ctx.Err() != nil || errors.Is(err, envelope.ErrUnavailable):
		return err
	case s.wire.err != nil:
		return cut{err}
	}
	return unreadable{err}
}

// A wire keeps the error of a body of S3's.
type wire struct {
	io.ReadCloser
	err error
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// A cut is an error of a connection, while a body was read.
type cut struct{ error }

func (c cut) Unwrap() error { return c.error }

// An unreadable is an error for which the object is to blame.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }
