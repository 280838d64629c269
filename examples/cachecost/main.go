// Command cachecost encrypts and decrypts small records of many tenants under
// data keys from AWS KMS, with the data-key cache and without it, and counts what
// KMS was asked.
//
//	go run ./examples/cachecost [-records N] [-tenants N]
//
// Without flags it is a million records of 100 tenants. Without the cache each
// record takes two calls, so that run is a sample of about a thousand records,
// and its counts are extrapolated. Every decrypted record is compared with what
// was encrypted, and what the cache says it loaded with what KMS was asked.
//
// It runs on a KMS inside its own process, over HTTP, and has no flag for a key
// on AWS: there the calls would cost money, and AWS does not tell at once how
// many they were. Across a network calls take longer than here, and the records
// per second without the cache are fewer.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

const usage = "usage: cachecost [-records N] [-tenants N]"

const (
	maxRecords  = 1_000_000_000
	maxMessages = 100_000
	maxAge      = 5 * time.Minute
	sampleSize  = 1000
	callPrice   = 0.03 / 10_000 // dollars
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cachecost:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	records, tenants, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err := fmt.Fprintln(out, usage)
		return err
	case err != nil:
		return fmt.Errorf("%w\n%s", err, usage)
	}

	const region = "us-east-1"
	server, err := kmstest.New(kmstest.Config{Regions: []string{region}})
	if err != nil {
		return err
	}
	defer server.Close()
	kr, err := awskms.New(awskms.Config{
		Client: kms.New(kms.Options{
			Region:       region,
			BaseEndpoint: aws.String(server.URL(region)),
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "example", SecretAccessKey: "example"}, nil
			}),
		}),
		KeyID: server.CreateKey(region, kmstest.SymmetricDefault),
	})
	if err != nil {
		return err
	}

	fmt.Fprintf(out, "records  %d, each encrypted and decrypted\n", records)
	fmt.Fprintf(out, "tenants  %d\n", tenants)
	fmt.Fprintf(out, "workers  %d goroutines\n", runtime.GOMAXPROCS(0))
	w := newWorkload(tenants, runtime.GOMAXPROCS(0))
	without, err := uncached(ctx, out, server, kr, w, records)
	if err != nil {
		return fmt.Errorf("without the cache: %w", err)
	}
	server.ResetCalls()
	with, err := cached(ctx, out, server, kr, w, records)
	if err != nil {
		return fmt.Errorf("with the cache: %w", err)
	}
	_, err = fmt.Fprintf(out, "\nkms calls: %d without, %d with (%s%% fewer)\n", without.total(), with.total(), fewer(without.total(), with.total()))
	return err
}

func parse(args []string) (records, tenants int, err error) {
	flags := flag.NewFlagSet("cachecost", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run says what is wrong
	flags.IntVar(&records, "records", 1_000_000, "")
	flags.IntVar(&tenants, "tenants", 100, "")
	if err := flags.Parse(args); err != nil {
		return 0, 0, err
	}
	switch {
	case flags.NArg() > 0:
		return 0, 0, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case records < 1 || records > maxRecords:
		return 0, 0, fmt.Errorf("-records is %d: it must be 1 to %d", records, maxRecords)
	case tenants < 1 || tenants > records:
		return 0, 0, fmt.Errorf("-tenants is %d: it must be 1 to the number of records, %d", tenants, records)
	}
	return records, tenants, nil
}

// uncached measures a sample, and returns the calls that all records would take.
func uncached(ctx context.Context, out io.Writer, server *kmstest.Server, kr keyring.Keyring, w *workload, records int) (calls, error) {
	client, err := envelope.New(kr, nil)
	if err != nil {
		return calls{}, err
	}
	// As many of each tenant.
	sample := min(max(sampleSize/w.tenants(), 1)*w.tenants(), records)
	start := time.Now()
	if err := w.do(ctx, client, sample); err != nil {
		return calls{}, err
	}
	took := time.Since(start)
	got, err := callsTo(server)
	if err != nil {
		return calls{}, err
	}
	if err := checkUncached(got, sample); err != nil {
		return calls{}, err
	}

	if sample == records {
		fmt.Fprint(out, "\nwithout the cache, all records\n")
		got.print(out)
		printSpeed(out, sample, took)
		return got, nil
	}
	fmt.Fprintf(out, "\nwithout the cache, a sample of %d records\n", sample)
	got.print(out)
	printSpeed(out, sample, took)
	all := got.extrapolate(sample, records)
	fmt.Fprintf(out, "without the cache, extrapolated from the sample to %d records\n", records)
	all.print(out)
	return all, nil
}

func cached(ctx context.Context, out io.Writer, server *kmstest.Server, kr keyring.Keyring, w *workload, records int) (calls, error) {
	c, err := cache.New(kr, cache.Limits{
		MaxAge:      maxAge,
		MaxMessages: maxMessages,
		// For each tenant a data key to encrypt and one to decrypt with, and as
		// many again while these are replaced.
		MaxEntries: 4 * w.tenants(),
	})
	if err != nil {
		return calls{}, err
	}
	defer c.Close()
	client, err := envelope.NewFromManager(c, nil)
	if err != nil {
		return calls{}, err
	}
	start := time.Now()
	if err := w.do(ctx, client, records); err != nil {
		return calls{}, err
	}
	took := time.Since(start)
	got, stats, err := settled(ctx, server, c)
	if err != nil {
		return calls{}, err
	}
	if err := checkCached(got, stats, records, w.tenants()); err != nil {
		return calls{}, err
	}

	fmt.Fprintf(out, "\nwith the cache, a data key for at most %d messages and %v, all records\n", maxMessages, maxAge)
	got.print(out)
	printSpeed(out, records, took)
	fmt.Fprint(out, "the cache's statistics\n")
	printStats(out, stats)
	return got, nil
}

func printSpeed(out io.Writer, records int, took time.Duration) {
	fmt.Fprintf(out, "  records/s        %.0f (took %.2f s)\n", float64(records)/took.Seconds(), took.Seconds())
}

func printStats(out io.Writer, s cache.Stats) {
	fmt.Fprintf(out, "  hits             %d\n", s.Hits)
	fmt.Fprintf(out, "  misses           %d, %d of them waited for the load of another\n", s.Misses, s.Shared)
	fmt.Fprintf(out, "  bypasses         %d\n", s.Bypasses)
	fmt.Fprintf(out, "  loads            %d, %d of them ahead of need, %d failed\n", s.Loads, s.Refreshes, s.LoadsFailed)
	fmt.Fprintf(out, "  stale uses       %d\n", s.StaleUses)
	for cause := cache.Expired; cause <= cache.Replaced; cause++ {
		if n := s.Evicted[cause]; n > 0 {
			fmt.Fprintf(out, "  evicted          %d, %v\n", n, cause)
		}
	}
	fmt.Fprintf(out, "  held             %d entries, about %d bytes\n", s.Entries, s.Bytes)
	fmt.Fprintf(out, "  calls saved      %d\n", s.CallsSaved)
}

// fewer returns by how many percent b is less than a, with two decimals or as
// many more as it takes to work out b from a and the percentage.
func fewer(a, b int) string {
	for decimals := 2; ; decimals++ {
		s := strconv.FormatFloat(100*float64(a-b)/float64(a), 'f', decimals, 64)
		percent, err := strconv.ParseFloat(s, 64)
		if err != nil || decimals == 12 || math.Round(float64(a)*(1-percent/100)) == float64(b) {
			return s
		}
	}
}
