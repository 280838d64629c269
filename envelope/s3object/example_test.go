package s3object_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/s3object"
	"github.com/go-sealring/sealring/keyring"
)

func Example() {
	ctx := context.Background()
	backend := s3mem.New()
	if err := backend.CreateBucket("scans"); err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()
	client := s3.New(s3.Options{ // s3.NewFromConfig(cfg), on AWS
		Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "example", SecretAccessKey: "example"}, nil
		}),
	})
	kr, err := keyring.NewRawAES("example", "kek-2026", make([]byte, 32)) // awskms.New, on AWS
	if err != nil {
		log.Fatal(err)
	}
	e, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}

	objects, err := s3object.New(s3object.Config{S3: client, Envelope: e})
	if err != nil {
		log.Fatal(err)
	}
	ec := keyring.EncryptionContext{"tenant": "42"}
	_, err = objects.Put(ctx, &transfermanager.UploadObjectInput{
		Bucket: aws.String("scans"), Key: aws.String("0001"), ContentType: aws.String("text/plain"),
		Body: bytes.NewReader(bytes.Repeat([]byte("0123456789"), 100_000)),
	}, ec)
	if err != nil {
		log.Fatal(err)
	}

	in := &s3.GetObjectInput{Bucket: aws.String("scans"), Key: aws.String("0001")}
	whole, err := objects.Get(ctx, in, ec)
	if err != nil {
		log.Fatal(err)
	}
	defer whole.Body.Close()
	n, err := io.Copy(io.Discard, whole.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "bytes of", *whole.ContentType)

	parts, err := objects.Open(ctx, in, ec)
	if err != nil {
		log.Fatal(err)
	}
	part := make([]byte, 7)
	if _, err := parts.ReadAt(part, 500_003); err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(part))

	head, err := objects.Head(ctx, in) // needs no key
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(*head.ContentLength, head.Header.WrappedBy("kek-2026"), head.Header.Context["s3-key"])
	// Output:
	// 1000000 bytes of text/plain
	// 3456789
	// 1000000 true 0001
}

// Objects under an old key are encrypted anew under the one that the client encrypts with now.
// Whoever kills this and begins again, at the place that was stored last, loses nothing.
func ExampleClient_Rotate() {
	var objects *s3object.Client // decrypts with both keys
	var load = func() string { return "" }
	var store = func(place string) error { return nil }
	_ = func(ctx context.Context) {
		so, err := objects.Rotate(ctx, s3object.Rotation{
			Bucket: "scans", Prefix: "2025/", Keys: []string{"kek-2026"},
			Checkpoint: func(_ context.Context, key string, _ s3object.Progress) error { return store(key) },
			Failed:     func(key string, err error) { log.Print(err) },
		}, load())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(so.Reencrypted, "of", so.Read)
	}
}
