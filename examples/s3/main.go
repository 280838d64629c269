// Command s3 puts an object into S3 encrypted and reads it, whole and in parts, and does the
// same without encryption to compare.
//
// Without flags it runs on an S3 server and a KMS inside its own process, with no AWS
// account. The server keeps objects in memory: of the 300 MB, a few times as much.
//
//	go -C examples/s3 run . [-size BYTES]
//
// With a bucket and a key it runs on AWS, with the configuration and the credentials that
// AWS's tools would use. It makes two objects under a name of its own, and deletes them:
//
//	go -C examples/s3 run . -bucket BUCKET -key URI [-size BYTES]
//
// The URI names a key as package keyuri has it: the ARN of a key in KMS, or
// raw-aes:?namespace=NAMESPACE&name=NAME&file=PATH, for example. The caller needs
// s3:PutObject, s3:AbortMultipartUpload, s3:GetObject and s3:DeleteObject, and
// kms:GenerateDataKey and kms:Decrypt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/keyuri"
)

const usage = `usage:
  s3 [-size BYTES]                             on embedded servers
  s3 -bucket BUCKET -key URI [-size BYTES]     on AWS`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "s3:", err)
		os.Exit(1)
	}
}

type options struct {
	bucket string
	key    keyuri.URI
	size   int64
}

func run(ctx context.Context, out io.Writer, args []string) error {
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err := fmt.Fprintln(out, usage)
		return err
	case err != nil:
		return fmt.Errorf("%w\n%s", err, usage)
	case o.bucket == "":
		return onEmbedded(ctx, out, o)
	default:
		return onAWS(ctx, out, o)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("s3", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run says what is wrong
	flags.StringVar(&o.bucket, "bucket", "", "")
	flags.TextVar(&o.key, "key", keyuri.URI{}, "")
	flags.Int64Var(&o.size, "size", 300e6, "")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.size < 4<<20:
		return o, errors.New("-size must be 4194304 or more")
	case (o.bucket == "") != (o.key == keyuri.URI{}):
		return o, errors.New("-bucket and -key need each other")
	}
	return o, nil
}

func onAWS(ctx context.Context, out io.Writer, o options) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	opener := &keyuri.Opener{KMS: func(ctx context.Context, region string) (keyuri.KMSClient, error) {
		return kms.NewFromConfig(cfg, func(o *kms.Options) { o.Region = region }), nil
	}}
	defer opener.Close()
	kr, err := opener.Open(ctx, o.key)
	if err != nil {
		return err
	}
	d := &demo{out: out, bucket: o.bucket, size: o.size, keyring: counted{Keyring: kr, calls: new(calls)}}
	d.client = s3.NewFromConfig(cfg, d.countGets)
	fmt.Fprintf(out, "bucket %s, key %s\n", o.bucket, o.key)
	return d.run(ctx)
}

func onEmbedded(ctx context.Context, out io.Writer, o options) error {
	const region, bucket = "us-east-1", "scans"
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		return err
	}
	store := httptest.NewServer(gofakes3.New(backend).Server())
	defer store.Close()
	keys, err := kmstest.New(kmstest.Config{Regions: []string{region}})
	if err != nil {
		return err
	}
	defer keys.Close()

	anybody := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "example", SecretAccessKey: "example"}, nil
	})
	opener := &keyuri.Opener{KMS: func(_ context.Context, region string) (keyuri.KMSClient, error) {
		return kms.New(kms.Options{Region: region, BaseEndpoint: aws.String(keys.URL(region)), Credentials: anybody}), nil
	}}
	defer opener.Close()
	uri, err := keyuri.Parse(keys.CreateKey(region, kmstest.SymmetricDefault))
	if err != nil {
		return err
	}
	kr, err := opener.Open(ctx, uri)
	if err != nil {
		return err
	}
	d := &demo{out: out, bucket: bucket, size: o.size, keyring: counted{Keyring: kr, calls: new(calls)}}
	d.client = s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(store.URL), UsePathStyle: true,
		Credentials: anybody, HTTPClient: http.DefaultClient,
	}, d.countGets)
	fmt.Fprintln(out, "an S3 server and a KMS in this process; -bucket and -key run on AWS")
	return d.run(ctx)
}
