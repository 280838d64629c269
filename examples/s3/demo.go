package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/go-sealring/sealring/envelope/s3object"
	"github.com/go-sealring/sealring/examples/s3/plain"
	"github.com/go-sealring/sealring/examples/s3/sealed"
	"github.com/go-sealring/sealring/keyring"
)

// A demo stores one object as it is, and the same encrypted.
type demo struct {
	out     io.Writer
	client  *s3.Client
	bucket  string
	size    int64
	keyring counted

	gets   atomic.Int64
	plain  *plain.Store
	sealed *sealed.Store
	name   string // what the keys of both objects begin with
}

// calls counts what the keyring was asked: a call to KMS each, for a key in KMS.
type calls struct{ wrap, unwrap atomic.Int64 }

type counted struct {
	keyring.Keyring
	*calls
}

func (c counted) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	c.wrap.Add(1)
	return c.Keyring.OnEncrypt(ctx, m)
}

func (c counted) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	c.unwrap.Add(1)
	return c.Keyring.OnDecrypt(ctx, m, keys)
}

// countGets has the GET requests of a client counted.
func (d *demo) countGets(o *s3.Options) {
	next := o.HTTPClient
	o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			d.gets.Add(1)
		}
		return next.Do(r)
	})
}

type doer func(r *http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func (d *demo) run(ctx context.Context) (err error) {
	if d.plain, err = plain.New(d.client, d.bucket); err != nil {
		return err
	}
	if d.sealed, err = sealed.New(d.client, d.bucket, d.keyring); err != nil {
		return err
	}
	d.name = "sealring-example-" + rand.Text()
	defer func() { err = errors.Join(err, d.clean(ctx)) }()
	for _, step := range []func(context.Context) error{d.up, d.down, d.ranges, d.serve, d.head} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) plainKey() string  { return d.name + "/plain" }
func (d *demo) sealedKey() string { return d.name + "/sealed" }

// clean deletes both objects, also if the context is done.
func (d *demo) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var all []error
	for _, key := range []string{d.plainKey(), d.sealedKey()} {
		_, err := d.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &d.bucket, Key: &key})
		all = append(all, err)
	}
	return errors.Join(all...)
}

// compare says how long a step takes encrypted and as it is.
func (d *demo) compare(what string, plain, sealed func() error) error {
	start := time.Now()
	if err := plain(); err != nil {
		return err
	}
	asItIs := time.Since(start)
	start = time.Now()
	if err := sealed(); err != nil {
		return err
	}
	encrypted := time.Since(start)
	fmt.Fprintf(d.out, "%-5s %d MB: encrypted %v, as it is %v\n", what, d.size/1e6,
		encrypted.Round(time.Millisecond), asItIs.Round(time.Millisecond))
	return nil
}

func (d *demo) up(ctx context.Context) error {
	return d.compare("up", func() error {
		return d.plain.Upload(ctx, d.plainKey(), d.content())
	}, func() error {
		return d.sealed.Upload(ctx, d.sealedKey(), d.content())
	})
}

func (d *demo) down(ctx context.Context) error {
	want := sha256.New()
	if _, err := io.Copy(want, d.content()); err != nil {
		return err
	}
	into := func(download func(context.Context, string, io.Writer) error, key string) func() error {
		return func() error {
			got := sha256.New()
			if err := download(ctx, key, got); err != nil {
				return err
			}
			return same(want, got)
		}
	}
	return d.compare("down", into(d.plain.Download, d.plainKey()), into(d.sealed.Download, d.sealedKey()))
}

func same(want, got hash.Hash) error {
	if !bytes.Equal(want.Sum(nil), got.Sum(nil)) {
		return errors.New("what came back is not what was stored")
	}
	return nil
}

// requests returns how many GETs there were since it was called before.
func (d *demo) requests() int64 { return d.gets.Swap(0) }

func (d *demo) ranges(ctx context.Context) error {
	d.requests()
	d.keyring.unwrap.Store(0)
	o, err := d.sealed.Open(ctx, d.sealedKey())
	if err != nil {
		return err
	}
	mib := make([]byte, 1<<20)
	if err := d.read(o, mib, d.size/3); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "range of 1 MiB: %d GETs with open", d.requests())
	if err := d.read(o, mib, d.size/2); err != nil {
		return err
	}
	fmt.Fprintf(d.out, ", %d for the next\n", d.requests())
	const count = 1000
	part := make([]byte, 64<<10)
	for range count {
		// What is in the last frame takes no request.
		if err := d.read(o, part, mathrand.Int64N(d.size-int64(len(part))-4096)); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "%d ranges of 64 KiB: %d GETs; data keys unwrapped for all this: %d\n", count, d.requests(), d.keyring.unwrap.Load())
	return nil
}

// read reads a range and compares it.
func (d *demo) read(o *s3object.File, p []byte, off int64) error {
	if _, err := o.ReadAt(p, off); err != nil {
		return err
	}
	want := make([]byte, len(p))
	if _, err := d.content().ReadAt(want, off); err != nil {
		return err
	}
	if !bytes.Equal(want, p) {
		return errors.New("the range is not what was stored")
	}
	return nil
}

// serve has a client ask for the second half of the object, as a browser does that seeks.
func (d *demo) serve(ctx context.Context) error {
	front := httptest.NewServer(d.sealed)
	defer front.Close()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, front.URL+"/"+d.sealedKey(), nil)
	if err != nil {
		return err
	}
	half := d.size / 2
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-", half))
	d.requests()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	want, got := sha256.New(), sha256.New()
	n, err := io.Copy(got, answer.Body)
	if err != nil {
		return err
	}
	if _, err := io.Copy(want, io.NewSectionReader(d.content(), half, d.size-half)); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "served over HTTP: %s, %s, %d bytes, %d GETs\n", answer.Status, answer.Header.Get("Content-Range"), n, d.requests())
	return same(want, got)
}

// head shows what can be known of an object by those who have no key.
func (d *demo) head(ctx context.Context) error {
	noKey, err := s3object.New(s3object.Config{S3: d.client})
	if err != nil {
		return err
	}
	key := d.sealedKey()
	o, err := noKey.Head(ctx, &s3.GetObjectInput{Bucket: &d.bucket, Key: &key})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "without a key: %d bytes of %s; %v\n", *o.ContentLength, *o.ContentType, o.Header)
	return nil
}

// content returns what is stored: the same bytes at each call, which take no memory.
func (d *demo) content() *io.SectionReader {
	return io.NewSectionReader(pattern, 0, d.size)
}

// A repeated is made of bytes that begin again and again.
type repeated []byte

var pattern = func() repeated {
	b := make([]byte, 1<<20-3) // so that no two frames are alike
	mathrand.NewChaCha8([32]byte{}).Read(b)
	return b
}()

// ReadAt implements io.ReaderAt.
func (r repeated) ReadAt(p []byte, off int64) (int, error) {
	for n := 0; n < len(p); {
		n += copy(p[n:], r[(off+int64(n))%int64(len(r)):])
	}
	return len(p), nil
}
