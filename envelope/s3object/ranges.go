package s3object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A File is an object that is open for ranges: its methods are those of
// [envelope.RangeReader], and take one request to S3 for each range. It is safe for concurrent
// use. It needs no Close.
type File struct {
	*envelope.RangeReader

	// Output is what S3 returned to the first request: metadata, content type, ETag, when it
	// was written. Body is nil, and ContentLength the plaintext's. The ETag and checksums are
	// those of what is stored.
	Output *s3.GetObjectOutput
}

// Open opens an object for ranges. It takes two requests, and one for an object of at most 64
// KiB, which is kept and read from memory; after it one request for each range that is read.
//
// All requests ask for the ETag that the first one found. An object that was replaced or
// deleted meanwhile is envelope.ErrSourceChanged, and never a mixture. With a VersionId in the
// input, it is that version which is read.
//
// What Decrypter.NewRangeReader says of the context and of messages that are refused holds. As
// for Get, a pair that the context leaves out is not compared: always give the tenant.
// Range and PartNumber are refused.
func (c *Client) Open(ctx context.Context, input *s3.GetObjectInput, ec keyring.EncryptionContext) (*File, error) {
	in := copied(input)
	f, err := c.open(ctx, &in, ec)
	if err != nil {
		return nil, failed("open", &in, err)
	}
	return f, nil
}

func (c *Client) open(ctx context.Context, in *s3.GetObjectInput, ec keyring.EncryptionContext) (*File, error) {
	ec, err := c.checkGet(in, ec)
	if err != nil {
		return nil, err
	}
	var first *s3.GetObjectOutput
	fetch := func(ctx context.Context, req envelope.FetchRequest) (*envelope.FetchResult, error) {
		out, size, err := c.getRange(ctx, in, req.Offset, req.Length, req.Version)
		if err != nil {
			return nil, err
		}
		if first == nil { // NewRangeReader makes its requests one after the other
			first = out
		}
		return &envelope.FetchResult{Body: out.Body, Size: size, Version: aws.ToString(out.ETag)}, nil
	}
	r, err := c.envelope.NewRangeReader(ctx, fetch, ec)
	if err != nil {
		return nil, c.decryptError(err)
	}
	out := *first
	out.Body, out.ContentRange, out.ContentLength = nil, nil, aws.Int64(r.Size())
	return &File{r, &out}, nil
}

// getRange gets a range of what is stored, and the length of all of it. With an ETag it gets
// no other version.
func (c *Client) getRange(ctx context.Context, object *s3.GetObjectInput, off, n int64, etag string) (*s3.GetObjectOutput, int64, error) {
	in := *object
	in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	if etag != "" {
		// The caller's conditions were for the first request.
		in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince = &etag, nil, nil, nil
	}
	out, err := c.s3.GetObject(ctx, &in, plainGet)
	switch {
	case err != nil && etag != "" && wasReplaced(err):
		return nil, 0, fmt.Errorf("%w: %w", envelope.ErrSourceChanged, err)
	case err != nil && off == 0 && status(err) == http.StatusRequestedRangeNotSatisfiable:
		return nil, 0, unreadable{fmt.Errorf("the object is empty: %w: %w", io.ErrUnexpectedEOF, err)}
	case err != nil:
		return nil, 0, err
	}
	var start, end, size int64
	if _, err := fmt.Sscanf(aws.ToString(out.ContentRange), "bytes %d-%d/%d", &start, &end, &size); err != nil || start != off || end < start || size <= end {
		out.Body.Close()
		return nil, 0, errors.New("S3 has not answered with the range that was asked for")
	}
	return out, size, nil
}

// What Head asks for first. Headers are some hundred bytes long.
const headLen = 4 << 10

// Head reads the header of an object's message, without any key: who wrapped its data key, its
// encryption context, and the length of its plaintext. Nothing of it is authenticated; it is
// what the message says of itself. Body is nil. The other fields are those that S3 returns for
// the object.
//
// It takes one request, of 4 KiB, and a second one for a header that is longer. Range and
// PartNumber are refused.
func (c *Client) Head(ctx context.Context, input *s3.GetObjectInput) (*Object, error) {
	in := copied(input)
	o, err := c.head(ctx, &in)
	if err != nil {
		return nil, failed("head", &in, err)
	}
	return o, nil
}

func (c *Client) head(ctx context.Context, in *s3.GetObjectInput) (*Object, error) {
	if err := checkWhole(in); err != nil {
		return nil, err
	}
	out, size, err := c.getRange(ctx, in, 0, headLen, "")
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	head := make([]byte, min(size, headLen))
	if _, err := io.ReadFull(out.Body, head); err != nil {
		return nil, cut{unexpected(err)}
	}
	h, err := envelope.ParseHeader(bytes.NewReader(head), nil)
	if errors.Is(err, io.ErrUnexpectedEOF) && size > headLen {
		var rest *s3.GetObjectOutput
		if rest, _, err = c.getRange(ctx, in, headLen, min(size, maxHeaderLen)-headLen, aws.ToString(out.ETag)); err != nil {
			return nil, err
		}
		defer rest.Body.Close()
		w := &wire{ReadCloser: rest.Body}
		h, err = envelope.ParseHeader(io.MultiReader(bytes.NewReader(head), w), nil)
		if err != nil && w.err != nil {
			return nil, cut{err}
		}
	}
	if err != nil {
		return nil, unreadable{err}
	}
	o, err := newObject(out, &size, h)
	if err != nil {
		return nil, unreadable{err}
	}
	o.ContentRange = nil
	return o, nil
}

// unexpected returns the error of a body that ended before its length.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// The longest header that ParseHeader takes, as envelope.Options says.
const maxHeaderLen = 256 << 10
