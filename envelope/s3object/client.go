package s3object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// An API is what a [Client] and the transfer manager need of an [s3.Client].
type API interface {
	transfermanager.S3APIClient
	GetObjectTagging(context.Context, *s3.GetObjectTaggingInput, ...func(*s3.Options)) (*s3.GetObjectTaggingOutput, error)
}

var _ API = (*s3.Client)(nil)

// A Config says what a [Client] works with.
type Config struct {
	// S3 is the [s3.Client].
	S3 API

	// Envelope encrypts and decrypts. One that lacks a half makes a Client that lacks it:
	// &envelope.Client{Encrypter: e} cannot read. Head needs neither, so that Envelope may be
	// nil.
	Envelope *envelope.Client

	// Binding says what of its name an object is bound to. All clients of a bucket must agree
	// on it. Zero is BindKey.
	Binding Binding

	// Upload, if not nil, adjusts the transfer manager: the size of parts, how many are sent at
	// once, listeners for progress. Sizes are those of the stored message. The manager holds
	// the parts that are sent, of 8 MiB and six of them unless changed here. A message that
	// would take more than 10,000 parts has longer ones: of 100 MB for 1 TB.
	Upload func(*transfermanager.Options)
}

// A Client puts encrypted objects into S3 and reads them. It is safe for concurrent use.
//
// Inputs are not changed; fields that are not spoken of mean what they mean to S3. All errors
// are of type [*Error], through which S3's own are found: with errors.As to a
// *types.NoSuchKey, for example.
type Client struct {
	s3       API
	uploads  *transfermanager.Client
	envelope envelope.Client
	binding  Binding
}

// An aborting is the API of the transfer manager. It keeps to itself that an upload could not be
// aborted, as when S3 had completed it and the answer was lost: the manager would return that,
// as text, in place of a context's error, and nobody could tell a call that was cancelled.
type aborting struct{ API }

func (a aborting) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput, optFns ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	if out, err := a.API.AbortMultipartUpload(ctx, in, optFns...); err == nil {
		return out, nil
	}
	return &s3.AbortMultipartUploadOutput{}, nil
}

// How long a multipart upload that failed may take to be aborted, even if its context is done.
const abortTimeout = 30 * time.Second

// New returns a client. It makes no call. A config that cannot be used is
// keyring.ErrInvalidArgument.
func New(c Config) (*Client, error) {
	switch {
	case c.S3 == nil:
		return nil, fmt.Errorf("s3object: %w", invalid("Config.S3 is nil"))
	case c.Binding < BindKey || c.Binding > BindNothing:
		return nil, fmt.Errorf("s3object: %w", invalid("Config.Binding %d", c.Binding))
	}
	client := &Client{s3: c.S3, binding: c.Binding}
	if c.Envelope != nil {
		client.envelope = *c.Envelope
	}
	client.uploads = transfermanager.New(aborting{c.S3}, func(o *transfermanager.Options) {
		o.FailTimeout = abortTimeout
		if c.Upload != nil {
			c.Upload(o)
		}
	})
	return client, nil
}

// An Object is an object in the clear.
type Object struct {
	// The output is what S3 returned: metadata, content type, ETag, version. ContentLength is
	// the plaintext's, and nil if that cannot be told beforehand, as for signed messages. The
	// ETag and checksums are those of what is stored.
	//
	// Of Get, Body is the plaintext, and must be closed. It is an io.WriterTo, and what
	// [envelope.Reader] says of reading holds for it.
	*s3.GetObjectOutput

	// Header is the header of the message.
	Header *envelope.Header
}

// Put encrypts the input's Body and uploads it: in parts at once if it is long. The object is
// there when Put has returned without error: a Body that fails, or that is longer or shorter
// than ContentLength, makes no object, and a multipart upload that failed is aborted. After an
// error the object is what was there before, unless S3 has done the last request and its answer
// was lost. An upload whose abort failed too, or whose ID was lost with S3's answer, stays,
// unseen, until a lifecycle rule of the bucket ends it.
//
// ContentLength is the length of the plaintext. It can be left out: then an io.Seeker and a
// bytes.Buffer tell it, and of any other Body Put finds out, which needs a goroutine that ends
// when the call to Read has. Of a Body whose length is not known at most 10,000 parts are
// uploaded: 80 GB, unless Config.Upload changes the size of parts. Body is never closed, and
// read once. If it panics, Put aborts the upload and panics with the same value. Part after
// part is held in memory, and sent from there if it must be sent again.
//
// Checksums, of which S3 would find that they are not the stored message's, and MpuObjectSize
// are refused; ChecksumAlgorithm is not. ContentEncoding is that of the plaintext.
//
// With IfMatch or IfNoneMatch the object is written only if nobody else has written it.
func (c *Client) Put(ctx context.Context, input *transfermanager.UploadObjectInput, ec keyring.EncryptionContext) (*transfermanager.UploadObjectOutput, error) {
	in := copied(input)
	out, err := c.put(ctx, &in, ec)
	if err != nil {
		return nil, &Error{"put", aws.ToString(in.Bucket), aws.ToString(in.Key), err}
	}
	return out, nil
}

func (c *Client) put(ctx context.Context, in *transfermanager.UploadObjectInput, ec keyring.EncryptionContext) (*transfermanager.UploadObjectOutput, error) {
	if err := checkPut(in); err != nil {
		return nil, err
	}
	ec, err := c.binding.bound(ec, aws.ToString(in.Bucket), aws.ToString(in.Key))
	if err != nil {
		return nil, err
	}
	return c.upload(ctx, in, ec)
}

// upload encrypts the body of an input, which is its own, and uploads it.
func (c *Client) upload(ctx context.Context, in *transfermanager.UploadObjectInput, ec keyring.EncryptionContext) (*transfermanager.UploadObjectOutput, error) {
	if c.envelope.Encrypter == nil {
		return nil, invalid("Config.Envelope cannot encrypt")
	}
	if in.Body == nil {
		in.Body = bytes.NewReader(nil)
	}
	size, err := plaintextLen(in)
	if err != nil {
		return nil, err
	}
	body := &contained{Reader: in.Body}
	defer body.panicAgain()
	in.Body = body
	if size < 0 {
		return c.uploadUnknown(ctx, in, ec)
	}
	message, err := c.envelope.NewEncryptReader(ctx, body, size, ec)
	if err != nil {
		return nil, err
	}
	defer message.Close()
	in.Body, in.ContentLength = message, aws.Int64(message.Size())
	return c.uploads.UploadObject(ctx, in)
}

// A contained is the body of an upload, whose panic is an error until the upload has ended: in
// the midst of the transfer manager it would leave its goroutines, and parts in S3, and in the
// goroutine of uploadUnknown nobody could recover it.
type contained struct {
	io.Reader
	panicked any
}

var errPanicked = errors.New("the body panicked")

func (c *contained) Read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked = v
			n, err = 0, errPanicked
		}
	}()
	return c.Reader.Read(p)
}

// panicAgain panics as the body did, if it did.
func (c *contained) panicAgain() {
	if c.panicked != nil {
		panic(c.panicked)
	}
}

// uploadUnknown is upload for a body whose length is not known.
func (c *Client) uploadUnknown(ctx context.Context, in *transfermanager.UploadObjectInput, ec keyring.EncryptionContext) (*transfermanager.UploadObjectOutput, error) {
	body := in.Body
	message, to := io.Pipe()
	w, err := c.envelope.NewWriter(ctx, to, ec)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := errors.New("the body ended the goroutine that read it")
		defer func() { to.CloseWithError(err) }()
		if _, err = w.ReadFrom(body); err == nil {
			err = w.Close()
		}
	}()
	defer func() {
		message.Close()
		<-done
	}()
	in.Body = message
	return c.uploads.UploadObject(ctx, in)
}

// checkPut says what of an input would be wrong for the stored message.
func checkPut(in *transfermanager.UploadObjectInput) error {
	for name, sum := range map[string]*string{
		"ChecksumCRC32": in.ChecksumCRC32, "ChecksumCRC32C": in.ChecksumCRC32C, "ChecksumCRC64NVME": in.ChecksumCRC64NVME,
		"ChecksumSHA1": in.ChecksumSHA1, "ChecksumSHA256": in.ChecksumSHA256, "ChecksumSHA512": in.ChecksumSHA512,
	} {
		if sum != nil {
			return invalid("%s: S3 would compare it with the encrypted message, which has another. Leave it out: "+
				"ChecksumAlgorithm has what is sent checked, and the plaintext is authenticated when it is read", name)
		}
	}
	switch {
	case in.MpuObjectSize != nil:
		return invalid("MpuObjectSize: leave it out; ContentLength is the plaintext's length")
	case in.ContentLength != nil && *in.ContentLength < 0:
		return invalid("ContentLength %d", *in.ContentLength)
	}
	return nil
}

// plaintextLen returns the length of an input's body, or -1 if it is not known.
func plaintextLen(in *transfermanager.UploadObjectInput) (int64, error) {
	if in.ContentLength != nil {
		return *in.ContentLength, nil
	}
	switch body := in.Body.(type) {
	case io.Seeker:
		// A file that is a pipe has the method, and cannot.
		at, err := body.Seek(0, io.SeekCurrent)
		if err != nil {
			return -1, nil
		}
		end, err := body.Seek(0, io.SeekEnd)
		if err != nil {
			return -1, nil
		}
		// At its end it would read as empty.
		if _, err := body.Seek(at, io.SeekStart); err != nil {
			return 0, fmt.Errorf("seek back to the beginning of Body: %w", err)
		}
		return max(0, end-at), nil
	case *bytes.Buffer:
		return int64(body.Len()), nil
	}
	return -1, nil
}

// Get decrypts an object while it is read. The encryption context is what must hold for the
// message, as envelope.Decrypter.Decrypt says, besides the pairs that bind the object. A pair
// that it leaves out is not compared: with nil, any tenant's object opens. So always give the
// tenant.
//
// Close Body on every path, also if it was read to its end.
//
// Body releases nothing that is not authentic, and io.EOF only at the end of the whole
// message: an object that was cut short, or a connection, is an error such as
// io.ErrUnexpectedEOF. Of a signed message nothing is to be trusted before io.EOF.
//
// Range and PartNumber are refused: see Open.
func (c *Client) Get(ctx context.Context, input *s3.GetObjectInput, ec keyring.EncryptionContext) (*Object, error) {
	in := copied(input)
	o, err := c.get(ctx, &in, ec)
	if err != nil {
		return nil, failed("get", &in, err)
	}
	return o, nil
}

// A body is the plaintext of an object that is being read.
type body struct {
	*envelope.Reader
	io.Closer
}

func (c *Client) get(ctx context.Context, in *s3.GetObjectInput, ec keyring.EncryptionContext) (*Object, error) {
	ec, err := c.checkGet(in, ec)
	if err != nil {
		return nil, err
	}
	out, err := c.s3.GetObject(ctx, in, plainGet)
	if err != nil {
		return nil, err
	}
	opened := false
	defer func() { // also if a keyring panics
		if !opened {
			out.Body.Close()
		}
	}()
	r, err := c.envelope.NewReader(ctx, out.Body, ec)
	if err != nil {
		return nil, c.decryptError(err)
	}
	o, err := newObject(out, out.ContentLength, r.Header())
	if err != nil {
		return nil, err
	}
	o.Body, opened = body{r, out.Body}, true
	return o, nil
}

// checkGet checks an input and returns the encryption context to expect.
func (c *Client) checkGet(in *s3.GetObjectInput, ec keyring.EncryptionContext) (keyring.EncryptionContext, error) {
	if c.envelope.Decrypter == nil {
		return nil, invalid("Config.Envelope cannot decrypt")
	}
	if err := checkWhole(in); err != nil {
		return nil, err
	}
	return c.binding.bound(ec, aws.ToString(in.Bucket), aws.ToString(in.Key))
}

func checkWhole(in *s3.GetObjectInput) error {
	if in.Range != nil || in.PartNumber != nil {
		return invalid("Range and PartNumber would be of the encrypted message: use Open for ranges of the plaintext")
	}
	return nil
}

// decryptError adds to an error what the binding may have to do with it, if a pair that it
// adds is among those that may not match.
func (c *Client) decryptError(err error) error {
	pairs := c.binding.pairs("", "")
	var mismatch *message.Mismatch
	if errors.As(err, &mismatch) && slices.ContainsFunc(mismatch.Keys, func(name string) bool { _, is := pairs[name]; return is }) {
		return fmt.Errorf("%w (Config.Binding expects the object's own name in its encryption context: "+
			"was it copied or renamed by other means than Copy, or written with another Binding?)", err)
	}
	return err
}

// newObject returns an object whose message is size bytes long.
func newObject(out *s3.GetObjectOutput, size *int64, h *envelope.Header) (*Object, error) {
	o := *out
	o.Body, o.ContentLength = nil, nil
	if size != nil && h.FrameLength > 0 && !h.Suite.Signs() {
		n, err := h.PlaintextSize(*size)
		if err != nil {
			return nil, err
		}
		o.ContentLength = &n
	}
	return &Object{&o, h}, nil
}

// plainGet keeps the SDK from looking for checksums, and from logging that there are none:
// what is read is authenticated.
func plainGet(o *s3.Options) {
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	o.DisableLogOutputChecksumValidationSkipped = true
}

func failed(op string, in *s3.GetObjectInput, err error) error {
	return &Error{op, aws.ToString(in.Bucket), aws.ToString(in.Key), err}
}

// copied returns a copy that may be changed, though not what it points to.
func copied[T any](input *T) (in T) {
	if input != nil {
		in = *input
	}
	return in
}
