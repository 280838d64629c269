// Command tenants keeps the rows of a thousand tenants, each under a branch key of its own,
// and counts what KMS is asked. Then it gives one tenant's key a new version while rows are
// written and read, and destroys another's, whose rows no longer open.
//
//	go -C examples/tenants run . [-tenants N] [-rows N]
//
// It runs on SQLite, on a file that is removed afterwards, and on a KMS inside its own
// process. It has no flag for a key on AWS, where the calls would cost money: what a
// program there changes is the client of KMS and the key's ARN, as in examples/kms.
//
// DynamoDB is left out, so that this module needs neither its client nor a server of it.
// With branchkey/dynamostore in place of sqlstore, nothing else here is another.
//
// service.go is what a service of yours would have.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	_ "modernc.org/sqlite" // driver "sqlite"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/sqlstore"
)

const usage = `usage: tenants [-tenants N] [-rows N]
  -tenants N   from 2; 1000 if not given
  -rows N      of each tenant, from 1; 10 if not given`

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

func run(ctx context.Context, out io.Writer, args []string) error {
	tenants, rows, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := fmt.Fprintln(out, usage)
		return err
	} else if err != nil {
		return fmt.Errorf("%w\n%s", err, usage)
	}
	dir, err := os.MkdirTemp("", "tenants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := newDemo(ctx, out, filepath.Join(dir, "tenants.db"), tenants, rows)
	if err != nil {
		return err
	}
	defer d.close()
	for _, step := range []func(context.Context) error{d.createKeys, d.compare, d.version, d.shred} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func parse(args []string) (tenants, rows int, err error) {
	flags := flag.NewFlagSet("tenants", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run says what is wrong
	flags.IntVar(&tenants, "tenants", 1000, "")
	flags.IntVar(&rows, "rows", 10, "")
	if err := flags.Parse(args); err != nil {
		return 0, 0, err
	}
	switch {
	case flags.NArg() > 0:
		return 0, 0, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case tenants < minTenants || tenants > maxTenants:
		return 0, 0, fmt.Errorf("-tenants must be from %d to %d", minTenants, maxTenants)
	case rows < 1 || rows > maxRows/tenants:
		return 0, 0, fmt.Errorf("-rows must be from 1 to %d with %d tenants", maxRows/tenants, tenants)
	}
	return tenants, rows, nil
}

// demo is what the steps share.
type demo struct {
	out           io.Writer
	tenants, rows int

	db     *sql.DB
	server *kmstest.Server
	kms    *kms.Client
	keyARN string
	keys   *branchkey.KeyStore
}

func newDemo(ctx context.Context, out io.Writer, file string, tenants, rows int) (*demo, error) {
	d := &demo{out: out, tenants: tenants, rows: rows}
	if err := d.start(ctx, file); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *demo) start(ctx context.Context, file string) (err error) {
	d.db, err = sql.Open("sqlite", "file:"+filepath.ToSlash(file)+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(60000)&_txlock=immediate")
	if err != nil {
		return err
	}
	d.db.SetMaxOpenConns(1) // SQLite has one writer at a time
	if _, err := d.db.ExecContext(ctx, schema); err != nil {
		return err
	}
	// The branch keys may be in the database of the rows: they are wrapped by KMS.
	store, err := sqlstore.New(sqlstore.Config{DB: d.db, Dialect: sqlstore.SQLite})
	if err != nil {
		return err
	}
	if err := store.Migrate(ctx); err != nil {
		return err
	}

	const region = "us-east-1"
	if d.server, err = kmstest.New(kmstest.Config{Regions: []string{region}}); err != nil {
		return err
	}
	d.keyARN = d.server.CreateKey(region, kmstest.SymmetricDefault)
	d.kms = kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String(d.server.URL(region)),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "example", SecretAccessKey: "example"}, nil
		}),
	})
	d.keys, err = branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: store, Client: d.kms, KeyARN: d.keyARN, Name: "tenant-keys",
	})
	return err
}

func (d *demo) close() {
	if d.server != nil {
		d.server.Close()
	}
	if d.db != nil {
		d.db.Close()
	}
}
