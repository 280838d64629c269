// Command tenants keeps the rows of a thousand tenants, each under a branch key of its own,
// and counts what KMS is asked. Then it gives one tenant's key a new version while rows are
// written and read, and destroys another's, whose rows no longer open.
//
//	go -C examples/tenants run . [-tenants N] [-rows N]
//
// The rows are in SQLite, in a file that is removed afterwards. Without further flags the
// branch keys are there too, and KMS is inside the program's own process, with no AWS
// account.
//
// With the ARN of a symmetric key it asks KMS on AWS, and with the name of a table it keeps
// the branch keys in DynamoDB, on AWS or where an emulator is, such as DynamoDB Local or
// moto. Each goes without the other. On AWS it runs with the configuration and the
// credentials that AWS's tools would use:
//
//	go -C examples/tenants run . -key ARN -table NAME [-region REGION]
//	go -C examples/tenants run . -table NAME -endpoint http://127.0.0.1:8000
//
// On AWS the calls cost money: it says how much before it makes them. With either flag there
// are 10 tenants if -tenants does not say otherwise; a thousand take too long on moto.
// It makes the table, and deletes it at the end, also when it fails or is interrupted. It
// does not touch a table that is there already. Nothing else is changed.
//
// The caller needs kms:GenerateDataKeyWithoutPlaintext, kms:ReEncryptFrom, kms:ReEncryptTo,
// kms:GenerateDataKey and kms:Decrypt on the key. On the table it needs
// dynamodb:CreateTable, dynamodb:DescribeTable, dynamodb:UpdateTable, dynamodb:DeleteTable,
// dynamodb:GetItem, dynamodb:PutItem, dynamodb:Query and dynamodb:DeleteItem.
//
// service.go is what a service of yours would have.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

const usage = `usage: tenants [-tenants N] [-rows N] [-key ARN] [-table NAME [-endpoint URL]] [-region REGION]
  -tenants N       from 2; 1000 if not given, and 10 with -key or -table
  -rows N          of each tenant, from 1; 10 if not given
  -key ARN         KMS on AWS; an embedded one if not given
  -table NAME      branch keys in DynamoDB, in a table that is made and deleted; in SQLite
                   if not given
  -endpoint URL    where an emulator of DynamoDB is; on AWS if not given
  -region REGION   that of the ARN, or of AWS's configuration, if not given`

const (
	minTenants = 2 // one gets a new version, another is destroyed
	maxTenants = 100_000
	maxRows    = 10_000_000 // of all tenants
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tenants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) (err error) {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := fmt.Fprintln(out, usage)
		return err
	} else if err != nil {
		return fmt.Errorf("%w\n%s", err, usage)
	}
	o.sayPrice(out)
	dir, err := os.MkdirTemp("", "tenants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := newDemo(ctx, out, filepath.Join(dir, "tenants.db"), o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close(ctx)) }()
	for _, step := range []func(context.Context) error{d.createKeys, d.compare, d.version, d.shred} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	calls := int(d.asked.Load())
	fmt.Fprintf(out, "\nall this took %d calls to KMS, $%.4f\n", calls, kmsPrice(calls))
	return nil
}

// options are what the flags say.
type options struct {
	tenants, rows   int
	keyARN          string // empty for the embedded KMS
	table, endpoint string // empty for SQLite, and for DynamoDB on AWS
	region          string // on AWS; empty for that of AWS's configuration
}

func (o options) kmsOnAWS() bool    { return o.keyARN != "" }
func (o options) dynamoOnAWS() bool { return o.table != "" && o.endpoint == "" }
func (o options) onAWS() bool       { return o.kmsOnAWS() || o.dynamoOnAWS() }

// tableNames are those that DynamoDB takes.
var tableNames = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("tenants", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run says what is wrong
	flags.IntVar(&o.tenants, "tenants", 1000, "")
	flags.IntVar(&o.rows, "rows", 10, "")
	flags.StringVar(&o.keyARN, "key", "", "")
	flags.StringVar(&o.table, "table", "", "")
	flags.StringVar(&o.endpoint, "endpoint", "", "")
	flags.StringVar(&o.region, "region", "", "")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) {
		given[f.Name] = true
		if f.Value.String() == "" { // as from a variable of the shell that is not set
			err = fmt.Errorf("-%s is empty", f.Name)
		}
	})
	if err != nil {
		return o, err
	}
	if (given["key"] || given["table"]) && !given["tenants"] {
		o.tenants = 10
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.tenants < minTenants || o.tenants > maxTenants:
		return o, fmt.Errorf("-tenants must be from %d to %d", minTenants, maxTenants)
	case o.rows < 1 || o.rows > maxRows/o.tenants:
		return o, fmt.Errorf("-rows must be from 1 to %d with %d tenants", maxRows/o.tenants, o.tenants)
	case given["table"] && !tableNames.MatchString(o.table):
		return o, fmt.Errorf("-table %q is not 3 to 255 letters, digits, underscores, hyphens and dots", o.table)
	case given["endpoint"] && !given["table"]:
		return o, errors.New("-endpoint needs -table")
	case given["endpoint"] && !isURL(o.endpoint):
		return o, fmt.Errorf("-endpoint %q is not a URL such as http://127.0.0.1:8000", o.endpoint)
	case given["region"] && !o.onAWS():
		return o, errors.New("-region is for AWS: it needs -key, or -table without -endpoint")
	case !given["key"]:
		return o, nil
	}
	key, err := arn.Parse(o.keyARN)
	if err != nil || key.Service != "kms" || key.Region == "" || !strings.HasPrefix(key.Resource, "key/") {
		return o, fmt.Errorf("-key %q is not the ARN of a KMS key", o.keyARN)
	}
	if given["region"] && o.region != key.Region {
		return o, fmt.Errorf("-region %s is not that of the key, %s", o.region, key.Region)
	}
	o.region = key.Region
	return o, nil
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
