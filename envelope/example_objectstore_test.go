package envelope_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A bucket is an object store in memory, which gives ranges of objects as S3 does.
type bucket map[string][]byte

// get returns length bytes of an object from offset start on.
func (b bucket) get(name string, start, length int64) ([]byte, error) {
	object, ok := b[name]
	if !ok || start < 0 || length < 0 || start+length > int64(len(object)) {
		return nil, fmt.Errorf("bucket: %s has no bytes %d to %d", name, start, start+length)
	}
	fmt.Println("GET", name, "from byte", start)
	return object[start : start+length], nil
}

// An object reads one object of a bucket. Reads within the part that was fetched cost
// no request.
type object struct {
	bucket bucket
	name   string
	part   []byte
	start  int64 // of the part
}

func (o *object) fetch(start, length int64) (err error) {
	o.start = start
	o.part, err = o.bucket.get(o.name, start, length)
	return err
}

func (o *object) ReadAt(p []byte, off int64) (int, error) {
	if at := off - o.start; at >= 0 && at+int64(len(p)) <= int64(len(o.part)) {
		return copy(p, o.part[at:]), nil
	}
	size := int64(len(o.bucket[o.name])) // known from a HEAD request
	length := min(int64(len(p)), size-off)
	part, err := o.bucket.get(o.name, off, length)
	if err != nil {
		return 0, err
	}
	n := copy(p, part)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// A long range of an encrypted object takes one request: MessageRange tells which bytes
// of the message it is in. Two more read the header and the final frame, once for an
// object.
func ExampleHeader_MessageRange() {
	ctx := context.Background()
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	ec := keyring.EncryptionContext{"tenant": "42"}
	msg, err := client.Encrypt(ctx, []byte(strings.Repeat("0123456789", 100_000)), ec)
	if err != nil {
		log.Fatal(err)
	}
	store := bucket{"scan": msg}
	size := int64(len(msg))

	src := &object{bucket: store, name: "scan"}
	ra, err := client.NewReaderAt(ctx, src, size, ec)
	if err != nil {
		log.Fatal(err)
	}
	part := make([]byte, 300_000)
	const off = 500_000
	start, length, err := ra.Header().MessageRange(off, int64(len(part)), size)
	if err != nil {
		log.Fatal(err)
	}
	if err := src.fetch(start, length); err != nil {
		log.Fatal(err)
	}
	n, err := ra.ReadAt(part, off)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(length, "bytes of the message for", n, "of plaintext")
	fmt.Printf("%s...\n", part[:10])
	// Output:
	// GET scan from byte 0
	// GET scan from byte 1007428
	// GET scan from byte 503812
	// 305472 bytes of the message for 300000 of plaintext
	// 0123456789...
}
