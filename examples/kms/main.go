// Command kms encrypts a field and a file-sized payload under data keys that an
// AWS KMS key wraps, decrypts them, and shows what is refused and how the errors
// read.
//
// Without flags it runs on a KMS inside its own process, with no AWS account:
//
//	go -C examples/kms run .
//
// With the ARN of a symmetric key it runs on AWS, with the configuration and the
// credentials that AWS's tools would use:
//
//	go -C examples/kms run . -key ARN [-region REGION]
//
// That takes two calls of kms:GenerateDataKey and three of kms:Decrypt, one of
// which KMS refuses because it is meant to. Nothing is changed: what takes
// denied permissions, a disabled key or an alias is shown on the embedded KMS
// only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

const usage = `usage:
  kms                             on an embedded KMS
  kms -key ARN [-region REGION]   on AWS; the region is that of the ARN if not given`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kms:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	keyARN, region, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err := fmt.Fprintln(out, usage)
		return err
	case err != nil:
		return fmt.Errorf("%w\n%s", err, usage)
	case keyARN == "":
		return onEmbedded(ctx, out)
	default:
		return onAWS(ctx, out, keyARN, region)
	}
}

func parse(args []string) (keyARN, region string, err error) {
	flags := flag.NewFlagSet("kms", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run says what is wrong
	flags.StringVar(&keyARN, "key", "", "")
	flags.StringVar(&region, "region", "", "")
	if err := flags.Parse(args); err != nil {
		return "", "", err
	}
	if flags.NArg() > 0 {
		return "", "", fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if keyARN == "" {
		if len(args) > 0 {
			return "", "", errors.New("-key is missing or empty")
		}
		return "", "", nil
	}
	a, err := arn.Parse(keyARN)
	if err != nil || a.Service != "kms" || a.Region == "" || !strings.HasPrefix(a.Resource, "key/") {
		return "", "", fmt.Errorf("-key %q is not the ARN of a KMS key", keyARN)
	}
	if region == "" {
		region = a.Region
	}
	return keyARN, region, nil
}

func onAWS(ctx context.Context, out io.Writer, keyARN, region string) error {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return err
	}
	d := &demo{out: out, kms: kms.NewFromConfig(cfg), keyARN: keyARN}
	return d.basics(ctx)
}

func onEmbedded(ctx context.Context, out io.Writer) error {
	const region = "us-east-1"
	server, err := kmstest.New(kmstest.Config{Regions: []string{region}})
	if err != nil {
		return err
	}
	defer server.Close()

	// The SDK's own client over HTTP. It only has to be told where the server is,
	// and to sign requests with anything.
	client := kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String(server.URL(region)),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "example", SecretAccessKey: "example"}, nil
		}),
	})
	d := &demo{out: out, kms: client, keyARN: server.CreateKey(region, kmstest.SymmetricDefault), server: server}
	if err := d.basics(ctx); err != nil {
		return err
	}
	if err := d.refusedByPolicyAndState(ctx); err != nil {
		return err
	}
	if err := d.alias(ctx); err != nil {
		return err
	}
	d.calls()
	return nil
}
