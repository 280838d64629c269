package s3object_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/s3object"
	"github.com/go-sealring/sealring/internal/faulttest"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

var errFault = faulttest.Err

// stride is how many places a test goes on to try the next: all of them, or in go test -short
// each nth.
func stride(n int) int {
	if testing.Short() {
		return n
	}
	return 1
}

// A fault is a way to fail of what others give.
type fault struct {
	name   string
	is     error // what the library must return then
	after  bool  // a call fails when its work has been done
	late   bool  // a call itself does not fail
	ever   bool  // all calls behind it fail too, with errFault
	cancel bool
	panics bool // with errFault

	// Of a reader alone:
	end  bool // it ends, or seems to
	some bool // it gives a byte with it
}

// fails returns the error of a call that fails, whose work ended with err.
func (f *faulty) fails(err error) error {
	if f.cancel {
		f.done()
	}
	switch {
	case f.panics:
		panic(errFault)
	case f.late:
		return err
	}
	return f.is
}

var denied = &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"}

// callFaults are those of calls of S3 and of keyrings, each before the work is done and behind it.
func callFaults() (all []fault) {
	for _, k := range []fault{
		{name: "error", is: errFault},
		{name: "end", is: io.EOF},
		{name: "deadline", is: context.DeadlineExceeded},
		{name: "unavailable", is: keyring.ErrUnavailable},
		{name: "denied", is: denied},
		{name: "cancel", is: context.Canceled, cancel: true},
		{name: "cancel, and nothing works", is: context.Canceled, cancel: true, ever: true},
		{name: "nothing works", is: errFault, ever: true},
		{name: "panic", is: errFault, panics: true}, // of keyrings alone
	} {
		all = append(all, k)
		k.name, k.after = k.name+", when it was done", true
		all = append(all, k)
	}
	return append(all, fault{name: "cancel behind it", is: context.Canceled, cancel: true, after: true, late: true})
}

// readFaults are those of sources of a plaintext, and of bodies that S3 returns.
var readFaults = []fault{
	{name: "error", is: errFault},
	{name: "error with a byte", is: errFault, some: true},
	{name: "unexpected end", is: io.ErrUnexpectedEOF},
	{name: "end", is: io.EOF, end: true},
	{name: "end with a byte", is: io.EOF, end: true, some: true},
	{name: "deadline", is: context.DeadlineExceeded},
	{name: "cancel", is: context.Canceled, cancel: true},
	{name: "panic", is: errFault, panics: true},
}

// A faulty is all that a client is given by others: S3, keyrings, and what is read. It fails in
// one place, and works before and after it.
type faulty struct {
	fault
	*bucketInMemory
	done func() // cancels

	lock sync.Mutex
	left int    // calls before the one that fails
	at   string // the call that has failed
	gone bool   // all calls fail from now on

	gets, read int // the body that fails, and how much of it is sound; -1 for none
	hit        bool
	length     int // of that body
}

func (f *faulty) call(ctx context.Context, name string, work func() error) error {
	f.lock.Lock()
	f.left--
	hit, gone := f.left == -1, f.gone
	if f.panics && name != "wrap" && name != "unwrap" {
		hit = false
		if f.left == -1 {
			f.left++ // of those there is none
		}
	}
	if hit {
		f.at = name
	}
	f.lock.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case gone:
		return errFault
	case !hit:
		return work()
	}
	var err error
	if f.after {
		err = work()
	}
	err = f.fails(err)
	f.lock.Lock()
	defer f.lock.Unlock()
	f.gone = f.ever
	return err
}

// met says whether something has failed.
func (f *faulty) met() bool { return f.at != "" || f.hit }

func through[O any](ctx context.Context, f *faulty, name string, work func() (*O, error)) (out *O, err error) {
	err = f.call(ctx, name, func() error { out, err = work(); return err })
	if err != nil {
		if got, ok := any(out).(*s3.GetObjectOutput); ok && got != nil {
			got.Body.Close()
		}
		return nil, err
	}
	return out, nil
}

func (f *faulty) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return through(ctx, f, "put", func() (*s3.PutObjectOutput, error) { return f.bucketInMemory.PutObject(ctx, in) })
}

func (f *faulty) GetObject(ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return through(ctx, f, "get", func() (*s3.GetObjectOutput, error) {
		out, err := f.bucketInMemory.GetObject(ctx, in)
		if err != nil {
			return nil, err
		}
		f.lock.Lock()
		defer f.lock.Unlock()
		if f.gets--; f.gets == -1 {
			f.length = int(*out.ContentLength)
			out.Body = struct {
				io.Reader
				io.Closer
			}{&faultyReader{f, out.Body, f.read, io.EOF}, out.Body}
		}
		return out, nil
	})
}

func (f *faulty) GetObjectTagging(ctx context.Context, in *s3.GetObjectTaggingInput, _ ...func(*s3.Options)) (*s3.GetObjectTaggingOutput, error) {
	return through(ctx, f, "tagging", func() (*s3.GetObjectTaggingOutput, error) { return f.bucketInMemory.GetObjectTagging(ctx, in) })
}

func (f *faulty) CreateMultipartUpload(ctx context.Context, in *s3.CreateMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	return through(ctx, f, "create", func() (*s3.CreateMultipartUploadOutput, error) {
		return f.bucketInMemory.CreateMultipartUpload(ctx, in)
	})
}

func (f *faulty) UploadPart(ctx context.Context, in *s3.UploadPartInput, _ ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	return through(ctx, f, "part", func() (*s3.UploadPartOutput, error) { return f.bucketInMemory.UploadPart(ctx, in) })
}

func (f *faulty) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	return through(ctx, f, "complete", func() (*s3.CompleteMultipartUploadOutput, error) {
		return f.bucketInMemory.CompleteMultipartUpload(ctx, in)
	})
}

func (f *faulty) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput, _ ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	return through(ctx, f, "abort", func() (*s3.AbortMultipartUploadOutput, error) { return f.bucketInMemory.AbortMultipartUpload(ctx, in) })
}

func (f *faulty) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, _ ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	return through(ctx, f, "list", func() (*s3.ListObjectsV2Output, error) { return f.bucketInMemory.ListObjectsV2(ctx, in) })
}

// A faultyKeyring is a keyring whose calls are among those that fail.
type faultyKeyring struct {
	keyring.Keyring
	f *faulty
}

func (k faultyKeyring) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	return k.f.call(ctx, "wrap", func() error { return k.Keyring.OnEncrypt(ctx, m) })
}

func (k faultyKeyring) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	return k.f.call(ctx, "unwrap", func() error { return k.Keyring.OnDecrypt(ctx, m, keys) })
}

// A faultyReader is sound for n bytes, and ends behind its fault with then.
type faultyReader struct {
	f    *faulty
	from io.Reader
	n    int
	then error
}

func (r *faultyReader) Read(p []byte) (int, error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case r.n < 0: // it has failed
		return 0, r.then
	case r.n > 0:
		n, err := r.from.Read(p[:min(r.n, len(p))])
		if r.n -= n; err != io.EOF || n > 0 {
			err = nil
		}
		return n, err
	}
	r.n, r.f.hit = -1, true
	n := 0
	if r.f.some {
		n, _ = r.from.Read(p[:1])
	}
	r.then = r.f.fails(nil)
	return n, r.then
}

// A bucketInMemory is an S3 of one bucket.
type bucketInMemory struct {
	s3object.API // what is not used

	mu      sync.Mutex
	objects map[string]objectInMemory
	uploads map[string]map[int32][]byte
	named   int             // how many ETags and uploads there were
	bodies  int             // those that are open
	wrote   map[string]bool // the keys that were written
}

type objectInMemory struct {
	content []byte
	etag    string
}

func (b *bucketInMemory) name() string {
	b.named++
	return fmt.Sprintf("%q", fmt.Sprint(b.named))
}

func (b *bucketInMemory) write(key string, content []byte, match *string) (etag *string, err error) {
	if match != nil && b.objects[key].etag != *match {
		return nil, &smithy.GenericAPIError{Code: "PreconditionFailed", Message: "no"}
	}
	o := objectInMemory{content, b.name()}
	b.objects[key], b.wrote[key] = o, true
	return &o.etag, nil
}

func (b *bucketInMemory) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	content, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	etag, err := b.write(*in.Key, content, in.IfMatch)
	return &s3.PutObjectOutput{ETag: etag}, err
}

func (b *bucketInMemory) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, has := b.objects[*in.Key]
	switch {
	case !has:
		return nil, &types.NoSuchKey{}
	case in.IfMatch != nil && *in.IfMatch != o.etag:
		return nil, &smithy.GenericAPIError{Code: "PreconditionFailed", Message: "no"}
	}
	out := &s3.GetObjectOutput{ETag: &o.etag, TagCount: aws.Int32(1)}
	content := o.content
	if in.Range != nil {
		var start, end int
		if _, err := fmt.Sscanf(*in.Range, "bytes=%d-%d", &start, &end); err != nil {
			return nil, err
		}
		end = min(end+1, len(content))
		content = content[start:end]
		out.ContentRange = aws.String(fmt.Sprintf("bytes %d-%d/%d", start, end-1, len(o.content)))
	}
	out.ContentLength = aws.Int64(int64(len(content)))
	b.bodies++
	out.Body = &bodyInMemory{bytes.NewReader(content), b, false}
	return out, nil
}

type bodyInMemory struct {
	io.Reader
	of     *bucketInMemory
	closed bool
}

func (o *bodyInMemory) Close() error {
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	if !o.closed {
		o.closed = true
		o.of.bodies--
	}
	return nil
}

func (b *bucketInMemory) GetObjectTagging(context.Context, *s3.GetObjectTaggingInput, ...func(*s3.Options)) (*s3.GetObjectTaggingOutput, error) {
	return &s3.GetObjectTaggingOutput{TagSet: []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}}, nil
}

func (b *bucketInMemory) CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := b.name()
	b.uploads[id] = map[int32][]byte{}
	return &s3.CreateMultipartUploadOutput{UploadId: &id}, nil
}

func (b *bucketInMemory) UploadPart(_ context.Context, in *s3.UploadPartInput, _ ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	content, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uploads[*in.UploadId][*in.PartNumber] = content
	return &s3.UploadPartOutput{ETag: in.UploadId}, nil
}

func (b *bucketInMemory) CompleteMultipartUpload(_ context.Context, in *s3.CompleteMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var content []byte
	for _, part := range in.MultipartUpload.Parts {
		content = append(content, b.uploads[*in.UploadId][*part.PartNumber]...)
	}
	etag, err := b.write(*in.Key, content, in.IfMatch)
	if err == nil {
		delete(b.uploads, *in.UploadId)
	}
	return &s3.CompleteMultipartUploadOutput{ETag: etag}, err
}

func (b *bucketInMemory) AbortMultipartUpload(_ context.Context, in *s3.AbortMultipartUploadInput, _ ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.uploads[*in.UploadId] == nil {
		return nil, &types.NoSuchUpload{}
	}
	delete(b.uploads, *in.UploadId)
	return &s3.AbortMultipartUploadOutput{}, nil
}

// ListObjectsV2 lists two keys at once.
func (b *bucketInMemory) ListObjectsV2(_ context.Context, in *s3.ListObjectsV2Input, _ ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := &s3.ListObjectsV2Output{IsTruncated: aws.Bool(false)}
	behind := max(aws.ToString(in.StartAfter), aws.ToString(in.ContinuationToken))
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if key <= behind || !strings.HasPrefix(key, *in.Prefix) {
			continue
		}
		if len(out.Contents) == 2 {
			out.IsTruncated, out.NextContinuationToken = aws.Bool(true), out.Contents[1].Key
			break
		}
		out.Contents = append(out.Contents, types.Object{Key: &key, Size: aws.Int64(int64(len(b.objects[key].content)))})
	}
	return out, nil
}

// A faultWorld has objects in memory, a client that faults are tried with, and one that is sound.
type faultWorld struct {
	*testing.T
	f        *faulty
	c, sound *s3object.Client
	stored   map[string]objectInMemory
	contents map[string][]byte
}

// tinyParts has objects of more than a thousand bytes be uploaded in parts.
func tinyParts(c *s3object.Config) {
	c.Upload = func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency = 1000, 1000, 2
	}
}

func newFaultWorld(t *testing.T) *faultWorld {
	leaktest.AtEnd(t, "envelope/s3object.(*", "sealring/envelope.(*", "transfermanager.")
	log.SetOutput(io.Discard) // the transfer manager writes there
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	f := &faulty{bucketInMemory: &bucketInMemory{}}
	w := &faultWorld{T: t, f: f, stored: map[string]objectInMemory{}, contents: map[string][]byte{
		"p/1": randomBytes(300), "p/2": randomBytes(3000), "p/3": randomBytes(301), "p/4": randomBytes(70_000), "p/5": randomBytes(10),
	}}
	options := &envelope.Options{FrameLength: 400}
	writes := newClient(t, nil, tinyParts, func(c *s3object.Config) {
		c.S3, c.Envelope = f.bucketInMemory, newEnvelope(t, rawKeyring(t, "k1"), options)
	})
	w.reset()
	for key, content := range w.contents {
		ec := maps.Clone(tenant)
		if key == "p/5" {
			ec["long"] = strings.Repeat("x", 8000) // longer than what Head asks for first
		}
		_, err := writes.Put(t.Context(), put(key, bytes.NewReader(content)), ec)
		require.NoError(t, err)
	}
	w.stored = maps.Clone(f.objects)
	w.reset()

	both := func(wrap func(keyring.Keyring) keyring.Keyring) *envelope.Client {
		keys, err := keyring.NewMultiDecrypter(rawKeyring(t, "k2"), rawKeyring(t, "k1"))
		require.NoError(t, err)
		e, err := envelope.NewEncrypter(wrap(rawKeyring(t, "k2")), options)
		require.NoError(t, err)
		d, err := envelope.NewDecrypter(decrypterOf{keys, wrap}, options)
		require.NoError(t, err)
		return &envelope.Client{Encrypter: e, Decrypter: d}
	}
	w.c = newClient(t, nil, tinyParts, func(c *s3object.Config) {
		c.S3, c.Envelope = f, both(func(k keyring.Keyring) keyring.Keyring { return faultyKeyring{k, f} })
	})
	w.sound = newClient(t, nil, tinyParts, func(c *s3object.Config) {
		c.S3, c.Envelope = f.bucketInMemory, both(func(k keyring.Keyring) keyring.Keyring { return k })
	})
	return w
}

// A decrypterOf is a decrypter with faults.
type decrypterOf struct {
	keyring.Decrypter
	wrap func(keyring.Keyring) keyring.Keyring
}

type onlyDecrypts struct{ keyring.Decrypter }

func (onlyDecrypts) OnEncrypt(context.Context, *keyring.EncryptionMaterials) error {
	return errors.ErrUnsupported
}

func (d decrypterOf) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	return d.wrap(onlyDecrypts{d.Decrypter}).OnDecrypt(ctx, m, keys)
}

// reset puts all back as it was, without a fault.
func (w *faultWorld) reset() {
	*w.f.bucketInMemory = bucketInMemory{objects: maps.Clone(w.stored), uploads: map[string]map[int32][]byte{}, wrote: map[string]bool{}, named: len(w.stored) + 10}
	*w.f = faulty{bucketInMemory: w.f.bucketInMemory, left: -1, gets: -1, done: func() {}}
}

// checkBucket checks that each object is whole, with the content that it had, or that it should
// get if it was written, and that nothing is open or half done.
func (w *faultWorld) checkBucket(writes map[string][]byte, where string) {
	t, f := w.T, w.f
	t.Helper()
	require.Zero(t, f.bodies, "%s: a body is not closed", where)
	lost := f.at == "create" && f.after || f.ever // none can abort them
	require.True(t, len(f.uploads) == 0 || lost, "%s: an upload was not aborted", where)
	want := maps.Clone(w.contents)
	for key := range f.wrote {
		require.Contains(t, writes, key, where)
		want[key] = writes[key]
	}
	require.Len(t, f.objects, len(want), where)
	for key, content := range want {
		if !f.wrote[key] {
			require.Equal(t, w.stored[key].etag, f.objects[key].etag, where)
			require.True(t, bytes.Equal(w.stored[key].content, f.objects[key].content), "%s: %s has another content", where, key)
			continue
		}
		o, err := w.sound.Get(t.Context(), get(key), tenant)
		require.NoError(t, err, where)
		got, err := io.ReadAll(o.Body)
		require.NoError(t, err, where)
		require.NoError(t, o.Body.Close())
		require.True(t, bytes.Equal(content, got), "%s: %s has another content", where, key)
		require.True(t, o.Header.WrappedBy("k2"), "%s: the keys of %s", where, key)
	}
}

// outcome calls do, and turns a panic that was injected into an error.
func outcome(do func() ([]byte, error)) (got []byte, err error, panicked bool) {
	err, panicked = faulttest.Outcome(func() (err error) { got, err = do(); return err })
	return got, err, panicked
}

// A work is something that a client does, and what comes of it.
type work struct {
	do     func(ctx context.Context, c *s3object.Client) ([]byte, error)
	want   []byte
	writes map[string][]byte
}

func (w *faultWorld) works() map[string]work {
	all := map[string]work{}
	for key, how := range map[string]string{"p/1": "", "p/2": " in parts"} {
		content := w.contents[key]
		upload := func(key string, body func() io.Reader) work {
			return work{writes: map[string][]byte{key: content}, do: func(ctx context.Context, c *s3object.Client) ([]byte, error) {
				_, err := c.Put(ctx, put(key, body()), tenant)
				return nil, err
			}}
		}
		all["Put"+how] = upload("new", func() io.Reader { return bytes.NewReader(content) })
		all["Put over another"+how] = upload("p/3", func() io.Reader { return bytes.NewReader(content) })
		all["Put of unknown length"+how] = upload("new", func() io.Reader { return only{bytes.NewReader(content)} })
		all["Copy"+how] = work{writes: map[string][]byte{"new": content}, do: func(ctx context.Context, c *s3object.Client) ([]byte, error) {
			_, err := c.Copy(ctx, get(key), put("new", nil), tenant)
			return nil, err
		}}
		all["Reencrypt"+how] = work{writes: map[string][]byte{key: content}, do: func(ctx context.Context, c *s3object.Client) ([]byte, error) {
			_, err := c.Reencrypt(ctx, get(key), tenant)
			return nil, err
		}}
	}
	for _, key := range []string{"p/1", "p/2", "p/4", "p/5"} {
		content := w.contents[key]
		size := fmt.Sprint(" ", len(content))
		all["Get"+size] = work{want: content, do: func(ctx context.Context, c *s3object.Client) ([]byte, error) {
			o, err := c.Get(ctx, get(key), tenant)
			if err != nil {
				return nil, err
			}
			defer o.Body.Close()
			return io.ReadAll(o.Body)
		}}
		all["Open"+size] = work{want: content, do: func(ctx context.Context, c *s3object.Client) (got []byte, err error) {
			o, err := c.Open(ctx, get(key), tenant)
			if err != nil {
				return nil, err
			}
			p := make([]byte, len(content))
			for off, next := 0, 0; off < len(p); off = next {
				next = min(off+50_000, len(p))
				n, err := o.ReadAt(p[off:next], int64(off))
				if err != nil && (err != io.EOF || n < next-off) {
					return p[:off+n], err
				}
			}
			return p, nil
		}}
		all["Head"+size] = work{want: []byte(size), do: func(ctx context.Context, c *s3object.Client) ([]byte, error) {
			o, err := c.Head(ctx, get(key))
			if err != nil {
				return nil, err
			}
			return []byte(fmt.Sprint(" ", *o.ContentLength)), nil
		}}
	}
	return all
}

// try does a work with a fault, and again without one.
func (w *faultWorld) try(one work, set func(f *faulty), where string) (met bool) {
	t, f := w.T, w.f
	w.reset()
	set(f)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.done = cancel
	got, err, panicked := outcome(func() ([]byte, error) { return one.do(ctx, w.c) })
	met = f.met()
	w.checkBucket(one.writes, where)
	require.True(t, bytes.HasPrefix(one.want, got), "%s: it is not what was stored", where)
	if err == nil {
		w.checkDone(one, got, where)
	} else {
		w.checkError(err, panicked, where)
		require.True(t, met, "%s: failed without a fault: %v", where, err)
		require.True(t, len(got) < len(one.want) || len(got) == 0, where)
	}

	w.reset()
	got, err = one.do(t.Context(), w.c)
	require.NoError(t, err, "%s, then again", where)
	w.checkDone(one, got, where+", then again")
	return met
}

// checkDone checks what says that it has not failed.
func (w *faultWorld) checkDone(one work, got []byte, where string) {
	t, f := w.T, w.f
	require.True(t, bytes.Equal(one.want, got), where)
	for key := range one.writes {
		require.True(t, f.wrote[key], "%s: it was not written", where)
	}
	atEnd := f.length
	if f.some {
		atEnd--
	}
	require.True(t, f.at == "" || f.late, "%s was not noticed", where)
	require.True(t, !f.hit || f.read >= atEnd, "%s was not noticed", where)
}

func (w *faultWorld) checkError(err error, panicked bool, where string) {
	t, f := w.T, w.f
	var of *s3object.Error
	require.Equal(t, f.panics, panicked, where)
	if f.end {
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, where)
	} else {
		require.ErrorIs(t, err, f.is, where)
	}
	// What is read from Body or at a place is an error of package envelope.
	if !panicked && !strings.Contains(where, "Get") && !strings.Contains(where, "Open") {
		require.ErrorAs(t, err, &of, where)
	}
}

// TestFaultsOfCalls has each call of S3 and of a keyring fail, in each way, before its work is
// done or behind it, in all that a client does. What fails has a kind; each object is whole, with
// the old content or the new one; no upload and no body is left; and what comes after it works.
func TestFaultsOfCalls(t *testing.T) {
	w := newFaultWorld(t)
	for name, one := range w.works() {
		for _, kind := range callFaults() {
			// One more than there are, so that nothing fails at last.
			for left, met := 0, true; met; left += stride(3) {
				met = w.try(one, func(f *faulty) { f.fault, f.left = kind, left }, fmt.Sprintf("%s at call %d of %s", kind.name, left, name))
				require.True(t, met || left > 0 || kind.panics, name)
			}
		}
	}
}

// TestFaultsOfBodies has each body that S3 returns fail, in each way, after some bytes.
func TestFaultsOfBodies(t *testing.T) {
	w := newFaultWorld(t)
	for name, one := range w.works() {
		for _, kind := range readFaults {
			for gets, first := 0, true; first; gets++ {
				first = false
				for read, met := 0, true; met; {
					where := fmt.Sprintf("%s after %d bytes of body %d of %s", kind.name, read, gets, name)
					met = w.try(one, func(f *faulty) { f.fault, f.gets, f.read = kind, gets, read }, where)
					first = first || met
					if read += 307 * stride(4); read > 5000 {
						read += 9001
					}
				}
			}
		}
	}
}

// TestFaultsOfSources has the body of a Put fail, in each way, after some bytes.
func TestFaultsOfSources(t *testing.T) {
	w := newFaultWorld(t)
	for _, n := range []int{300, 3000, 70_000} { // put at once, and in parts, of one batch of frames or two
		content := randomBytes(n)
		for _, known := range []bool{true, false} {
			for _, kind := range readFaults {
				for read := 0; read <= n; read += n / 20 {
					where := fmt.Sprintf("%s after %d bytes of %d, length known: %v", kind.name, read, n, known)
					writes, ended := content, read
					if kind.some {
						ended = min(n, read+1)
					}
					if kind.end && !known {
						writes = content[:ended]
					}
					w.reset()
					w.f.fault = kind
					ctx, cancel := context.WithCancel(t.Context())
					w.f.done = cancel
					in := put("new", &faultyReader{w.f, bytes.NewReader(content), read, io.EOF})
					if known {
						in.ContentLength = aws.Int64(int64(n))
					}
					before := *in
					_, err, panicked := outcome(func() ([]byte, error) {
						_, err := w.c.Put(ctx, in, tenant)
						return nil, err
					})
					require.Equal(t, before, *in, where)
					w.checkBucket(map[string][]byte{"new": writes}, where)
					require.Equal(t, kind.panics, panicked, where)
					switch {
					case err == nil:
						require.True(t, kind.end && (!known || ended == n), "%s was not noticed", where)
						require.True(t, w.f.wrote["new"], where)
					case kind.end:
						require.ErrorIs(t, err, envelope.ErrSourceChanged, where)
					default:
						require.ErrorIs(t, err, kind.is, where)
					}
					require.Equal(t, err == nil, w.f.wrote["new"], where)
					cancel()
				}
			}
		}
	}
}

// TestFaultsOfRotations has each call and each body fail in a rotation, which then goes on where
// its last checkpoint was. No checkpoint is behind an object that was passed over without a word,
// no object is missing or half written at any time, and in the end all are under the new key.
func TestFaultsOfRotations(t *testing.T) {
	w := newFaultWorld(t)
	for _, key := range []string{"p/3", "p/4"} { // like the first, and with many parts
		delete(w.stored, key)
		delete(w.contents, key)
	}
	for _, concurrency := range []int{1, 2} {
		for _, kind := range callFaults() {
			for left, met := 0, true; met; left += stride(3) {
				where := fmt.Sprintf("%s at call %d, %d at once", kind.name, left, concurrency)
				met = w.rotate(concurrency, func(f *faulty) { f.fault, f.left = kind, left }, where)
			}
		}
	}
	for _, kind := range readFaults {
		for gets, first := 0, true; first; gets++ {
			first = false
			for read, met := 0, true; met; read += 1201 * stride(4) {
				where := fmt.Sprintf("%s after %d bytes of body %d", kind.name, read, gets)
				met = w.rotate(2, func(f *faulty) { f.fault, f.gets, f.read = kind, gets, read }, where)
				first = first || met
			}
		}
	}
}

// rotate has a rotation meet a fault, go on, and begin again until nothing is left to do.
func (w *faultWorld) rotate(concurrency int, set func(f *faulty), where string) (met bool) {
	t, f := w.T, w.f
	w.reset()
	set(f)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.done = cancel
	at, so, failed := "", s3object.Progress{}, map[string]error{}
	r := s3object.Rotation{
		Bucket: bucket, Prefix: "p/", Keys: []string{"k2"}, Concurrency: concurrency,
		Context: func(string) keyring.EncryptionContext { return tenant },
		Checkpoint: func(_ context.Context, key string, now s3object.Progress) error {
			at, so = key, now
			return nil
		},
		Failed: func(key string, err error) { failed[key] = err },
	}
	var last s3object.Progress
	_, err, panicked := outcome(func() (_ []byte, err error) {
		last, err = w.c.Rotate(ctx, r, "")
		return nil, err
	})
	met = f.met()
	w.checkBucket(w.contents, where)
	switch {
	case err != nil:
		w.checkError(err, panicked, where)
	case f.hit || f.at != "" && !f.late: // a body is tried again
		require.True(t, f.hit || len(failed) > 0, "%s was not noticed", where)
	}
	if !panicked {
		require.Equal(t, so, last, where)
	}
	for _, err := range failed {
		w.checkError(err, panicked, where)
	}
	require.Len(t, failed, int(so.Failed), where)
	stale := int64(0)
	for key := range w.contents {
		if key <= at && !f.wrote[key] {
			stale++
		}
	}
	require.LessOrEqual(t, stale, so.Failed+so.Lost, "%s: a checkpoint is behind objects that were not done", where)

	f.fault, f.left, f.gets, f.at, f.hit, f.gone = fault{}, -1, -1, "", false, false
	clear(f.uploads) // of which the check has been
	_, err = w.c.Rotate(t.Context(), r, at)
	require.NoError(t, err, where)
	clear(failed)
	last, err = w.c.Rotate(t.Context(), r, "")
	require.NoError(t, err, where)
	require.Equal(t, s3object.Progress{Read: 3, Fresh: 3 - stale, Reencrypted: stale}, last, where)
	w.checkBucket(w.contents, where)
	return met
}

// An endingKeyring ends the goroutine that asks it for a data key.
type endingKeyring struct{ keyring.Keyring }

func (endingKeyring) OnEncrypt(context.Context, *keyring.EncryptionMaterials) error {
	runtime.Goexit()
	return nil
}

// An object whose goroutine was ended is not one that is done.
func TestRotateGoexit(t *testing.T) {
	w := newFaultWorld(t)
	e, err := envelope.NewEncrypter(endingKeyring{rawKeyring(t, "k2")}, nil)
	require.NoError(t, err)
	c := newClient(t, nil, func(c *s3object.Config) {
		c.S3, c.Envelope = w.f, &envelope.Client{Encrypter: e, Decrypter: from(t, "k2", "k1").Decrypter}
	})
	so, err := c.Rotate(t.Context(), s3object.Rotation{
		Bucket: bucket, Prefix: "p/",
		Checkpoint: func(context.Context, string, s3object.Progress) error {
			t.Error("a checkpoint")
			return nil
		},
	}, "")
	require.ErrorContains(t, err, "ended")
	require.Zero(t, so)
	w.checkBucket(nil, "ended")
}
