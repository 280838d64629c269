// An object in S3: put, read whole, and read in part.
package main

import (
	"bytes"
	"context"
	"errors"
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

func main() {
	client, closeServer, err := localS3("reports")
	if err != nil {
		log.Fatal(err)
	}
	defer closeServer()
	if err := run(context.Background(), client); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, client *s3.Client) error {
	kr, err := keyring.NewRawAES("reports", "kek-1", make([]byte, 32)) // on AWS: awskms.New, and never zeros
	if err != nil {
		return err
	}
	e, err := envelope.New(kr, nil)
	if err != nil {
		return err
	}
	objects, err := s3object.New(s3object.Config{S3: client, Envelope: e})
	if err != nil {
		return err
	}

	ec := keyring.EncryptionContext{"tenant": "42"}
	report := bytes.Repeat([]byte("0123456789"), 100_000)
	_, err = objects.Put(ctx, &transfermanager.UploadObjectInput{
		Bucket: aws.String("reports"), Key: aws.String("2026/11"), Body: bytes.NewReader(report),
	}, ec)
	if err != nil {
		return err
	}
	name := &s3.GetObjectInput{Bucket: aws.String("reports"), Key: aws.String("2026/11")}

	whole, err := objects.Get(ctx, name, ec)
	if err != nil {
		return err
	}
	defer whole.Body.Close() // on every path: else the connection stays open
	got, err := io.ReadAll(whole.Body)
	if err != nil {
		return err
	}
	fmt.Println("whole:", len(got), "bytes, equal:", bytes.Equal(got, report))

	file, err := objects.Open(ctx, name, ec)
	if err != nil {
		return err
	}
	part := make([]byte, 10)
	if _, err := file.ReadAt(part, 500_003); err != nil { // one request, of the frames around it
		return err
	}
	fmt.Printf("bytes 500003 to 500012 of %d: %s\n", file.Size(), part)

	end := file.NewSectionReader(ctx, file.Size()-5, 5) // an io.ReadSeeker, as http.ServeContent takes
	defer end.Close()
	last, err := io.ReadAll(end)
	if err != nil {
		return err
	}
	fmt.Printf("the last 5: %s\n", last)

	_, err = objects.Open(ctx, name, keyring.EncryptionContext{"tenant": "43"})
	fmt.Println("for another tenant:", errors.Is(err, envelope.ErrContextMismatch))
	fmt.Println(err)
	return nil
}

// localS3 is a server in this process. On AWS: s3.NewFromConfig(cfg).
func localS3(bucket string) (client *s3.Client, closeServer func(), err error) {
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		return nil, nil, err
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	}), server.Close, nil
}
