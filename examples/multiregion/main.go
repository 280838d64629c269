// Command multiregion encrypts in one AWS region and decrypts in another, with a
// multi-Region KMS key and no call across regions. Then the reader's region goes
// down, and comes back, and the reads go on.
//
// Without flags it runs on a KMS inside its own process, with three regions and
// no AWS account:
//
//	go -C examples/multiregion run .
//
// With the ARNs of keys in two or more regions it runs on AWS, with the
// configuration and the credentials that AWS's tools would use. The message is
// written in the region of the first key and read in each of the others:
//
//	go -C examples/multiregion run . -keys ARN1,ARN2,...
//
// The keys are replicas of one multi-Region key, or independent ones, under each
// of which the data key is then wrapped. The caller needs kms:GenerateDataKey and
// kms:Decrypt on all of them, and kms:Encrypt if they are independent. Nothing is
// changed: outages are shown on the embedded KMS only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

const usage = `usage:
  multiregion                        on an embedded KMS
  multiregion -keys ARN1,ARN2,...    on AWS; no two keys in one region`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "multiregion:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	keys, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err := fmt.Fprintln(out, usage)
		return err
	case err != nil:
		return fmt.Errorf("%w\n%s", err, usage)
	case keys == nil:
		return onEmbedded(ctx, out)
	default:
		return onAWS(ctx, out, keys)
	}
}

// parse returns the keys of the flags, or nil if there are no flags.
func parse(args []string) ([]arn.ARN, error) {
	var list string
	flags := flag.NewFlagSet("multiregion", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run says what is wrong
	flags.StringVar(&list, "keys", "", "")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if len(args) == 0 {
		return nil, nil
	}
	var keys []arn.ARN
	for text := range strings.SplitSeq(list, ",") {
		key, err := arn.Parse(text)
		if err != nil || key.Service != "kms" || key.Region == "" || !strings.HasPrefix(key.Resource, "key/") {
			return nil, fmt.Errorf("-keys: %q is not the ARN of a KMS key", text)
		}
		if slices.ContainsFunc(keys, func(k arn.ARN) bool { return k.Region == key.Region }) {
			return nil, fmt.Errorf("-keys: two keys in %s", key.Region)
		}
		keys = append(keys, key)
	}
	if len(keys) < 2 {
		return nil, errors.New("-keys: one key alone; it takes two or more")
	}
	return keys, nil
}

func onAWS(ctx context.Context, out io.Writer, keys []arn.ARN) error {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(keys[0].Region))
	if err != nil {
		return err
	}
	// Fetching credentials can take a while. It should not count against the
	// time that the first region has to answer.
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return err
	}
	d := &demo{out: out}
	for _, key := range keys {
		client := kms.NewFromConfig(cfg, func(o *kms.Options) { o.Region = key.Region })
		d.places = append(d.places, place{region: key.Region, keyARN: key.String(), client: &countingClient{Client: client}})
	}
	if err := d.write(ctx, nil); err != nil {
		return err
	}
	for _, p := range d.places[1:] {
		if err := d.readLocally(ctx, p.region); err != nil {
			return err
		}
	}
	return d.table()
}

const writer, reader, third = "us-east-1", "eu-west-1", "ap-southeast-2"

func onEmbedded(ctx context.Context, out io.Writer) error {
	server, err := kmstest.New(kmstest.Config{Regions: []string{writer, reader, third}})
	if err != nil {
		return err
	}
	defer server.Close()
	return onServer(ctx, out, server, func(region string) *kms.Client {
		return embeddedClient(region, server.URL(region), nil)
	})
}

func onServer(ctx context.Context, out io.Writer, server *kmstest.Server, clientOf func(region string) *kms.Client) error {
	// So long that a machine which is busy for a moment is not taken for an outage.
	d := &demo{out: out, attemptTimeout: 3 * time.Second, cooldown: 10 * time.Second}
	primary := server.CreateMultiRegionKey(writer, kmstest.SymmetricDefault)
	for _, p := range []place{
		{region: writer, keyARN: primary},
		{region: reader, keyARN: server.Replicate(primary, reader)},
		{region: third, keyARN: server.Replicate(primary, third)},
	} {
		p.client = &countingClient{Client: clientOf(p.region)}
		d.places = append(d.places, p)
	}
	if err := d.write(ctx, map[string]int{writer: 1}); err != nil {
		return err
	}

	// The rest happens at the reader.
	for _, p := range []struct {
		region   string
		distance time.Duration
	}{{reader, 2 * time.Millisecond}, {writer, 75 * time.Millisecond}, {third, 250 * time.Millisecond}} {
		server.Latency(p.region, p.distance)
		fmt.Fprintf(out, "%s is made to answer the reader after %v\n", p.region, p.distance)
	}
	if err := d.readLocally(ctx, reader); err != nil {
		return err
	}
	if err := d.outage(ctx, server, reader, writer); err != nil {
		return err
	}

	// What the clients counted is what arrived.
	for _, p := range d.places {
		if sent, arrived := p.client.calls(), server.Calls(kmstest.Match{Region: p.region}); sent != arrived {
			return fmt.Errorf("%s: %d calls were sent and %d arrived", p.region, sent, arrived)
		}
	}
	return d.table()
}

// embeddedClient returns the SDK's own client for one region of the server. The HTTP client
// is the SDK's if it is nil.
func embeddedClient(region, url string, over kms.HTTPClient) *kms.Client {
	return kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: &url,
		HTTPClient:   over,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "example", SecretAccessKey: "example"}, nil
		}),
	})
}
