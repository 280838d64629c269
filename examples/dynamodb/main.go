// Command dynamodb encrypts orders in one AWS region and reads them in another, from the
// replicas of one DynamoDB table under the replicas of one multi-Region KMS key. It counts
// what KMS is asked in each region, and fails if a region asks another.
//
//	go -C examples/dynamodb run .
//
// It does so in two ways: items.go encrypts whole items, as AWS's Database Encryption SDK
// does, and fields.go seals single fields. README.md says when to choose which.
//
// Without flags KMS is inside the program's own process, and DynamoDB is moto, Python's
// AWS emulator, which must be installed and is started: pip install 'moto[server]'. Where
// an emulator runs already, -endpoint names it. No emulator has replicas: the program makes
// a table in each region, copies the items as they are stored, and deletes the tables.
//
// With the ARN of a multi-Region key it asks KMS on AWS, and with the name of a global table
// it keeps the items there. Each goes without the other. It runs with the configuration and
// the credentials that AWS's tools would use:
//
//	go -C examples/dynamodb run . -key ARN -table NAME [-regions WRITER,READER]
//
// The table has the partition key customer and the sort key order_id, both strings, and a
// replica in both regions, as has the key; README.md has the commands that make them. The
// orders are those of new customers, and are deleted at the end, also when the program
// fails or is interrupted. On AWS that is less than 20 calls to KMS and less than 100
// reads and writes, which cost less than a cent.
//
// The caller needs kms:GenerateDataKey and kms:Decrypt on the key, and dynamodb:PutItem,
// dynamodb:GetItem, dynamodb:Query, dynamodb:UpdateItem and dynamodb:DeleteItem on the
// table, in both regions.
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
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

const usage = `usage: dynamodb [-key ARN] [-table NAME] [-endpoint URL] [-regions WRITER,READER]
  -key ARN         a multi-Region key of KMS on AWS, with a replica in both regions; an
                   embedded one if not given
  -table NAME      a global table of DynamoDB on AWS, or with -endpoint a table that is made
                   there and deleted; if neither is given, a table in moto, which is started
  -endpoint URL    where an emulator of DynamoDB is
  -regions WRITER,READER
                   us-east-1,eu-west-1 if not given`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dynamodb:", err)
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
	d := &demo{options: o, out: out}
	defer func() { err = errors.Join(err, d.close(ctx)) }()
	if err := d.start(ctx); err != nil {
		return err
	}
	return d.show(ctx)
}

// options are what the flags say.
type options struct {
	key      arn.ARN // empty for the embedded KMS
	table    string
	endpoint string // empty for DynamoDB on AWS, and for moto that is to be started
	from, to string // the writer's region and the reader's
}

func (o options) kmsOnAWS() bool    { return o.key.Resource != "" }
func (o options) dynamoOnAWS() bool { return o.table != "" && o.endpoint == "" }

var (
	// tableNames are those that DynamoDB takes.
	tableNames = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

	regionNames = regexp.MustCompile(`^[a-z0-9-]+$`)
)

func parse(args []string) (o options, err error) {
	var key, regions string
	flags := flag.NewFlagSet("dynamodb", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run says what is wrong
	flags.StringVar(&key, "key", "", "")
	flags.StringVar(&o.table, "table", "", "")
	flags.StringVar(&o.endpoint, "endpoint", "", "")
	flags.StringVar(&regions, "regions", "us-east-1,eu-west-1", "")
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
	o.from, o.to, _ = strings.Cut(regions, ",")
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case !regionNames.MatchString(o.from) || !regionNames.MatchString(o.to) || o.from == o.to:
		return o, fmt.Errorf("-regions %q is not two regions, such as us-east-1,eu-west-1", regions)
	case given["table"] && !tableNames.MatchString(o.table):
		return o, fmt.Errorf("-table %q is not 3 to 255 letters, digits, underscores, hyphens and dots", o.table)
	case given["endpoint"] && !isURL(o.endpoint):
		return o, fmt.Errorf("-endpoint %q is not a URL such as http://127.0.0.1:8000", o.endpoint)
	case given["key"]:
		if o.key, err = arn.Parse(key); err != nil || o.key.Service != "kms" || !strings.HasPrefix(o.key.Resource, "key/mrk-") {
			return o, fmt.Errorf("-key %q is not the ARN of a multi-Region key of KMS", key)
		}
	}
	return o, nil
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
