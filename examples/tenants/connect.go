package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/middleware"
	_ "modernc.org/sqlite" // driver "sqlite"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/dynamostore"
	"github.com/go-sealring/sealring/keyring/branchkey/sqlstore"
)

// demo is what the steps share.
type demo struct {
	options
	out io.Writer

	db     *sql.DB
	server *kmstest.Server // nil if KMS is on AWS
	kms    *kms.Client
	kmsKey string       // its ARN
	asked  atomic.Int64 // requests to KMS
	dynamo *dynamoTable // nil if the branch keys are in SQLite
	keys   *branchkey.KeyStore
}

func newDemo(ctx context.Context, out io.Writer, file string, o options) (*demo, error) {
	d := &demo{options: o, out: out}
	if err := d.start(ctx, file); err != nil {
		return nil, errors.Join(err, d.close(ctx))
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
	var cfg aws.Config
	if d.onAWS() {
		if cfg, err = config.LoadDefaultConfig(ctx, config.WithRegion(d.region)); err != nil {
			return err
		}
		if cfg.Region == "" {
			return errors.New("AWS's configuration has no region: say which with -region")
		}
	}
	if err := d.startKMS(cfg); err != nil {
		return err
	}
	store, err := d.newStore(ctx, cfg)
	if err != nil {
		return err
	}
	d.keys, err = branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: store, Client: d.kms, KeyARN: d.kmsKey, Name: "tenant-keys",
	})
	return err
}

func (d *demo) startKMS(cfg aws.Config) (err error) {
	d.kmsKey = d.keyARN
	if !d.kmsOnAWS() {
		if d.server, err = kmstest.New(kmstest.Config{Regions: []string{emulatedRegion}}); err != nil {
			return err
		}
		d.kmsKey = d.server.CreateKey(emulatedRegion, kmstest.SymmetricDefault)
		cfg = emulated(d.server.URL(emulatedRegion))
	}
	d.kms = kms.NewFromConfig(cfg, d.count)
	return nil
}

// count has a client count its requests, and each retry too, for which AWS asks a price.
func (d *demo) count(o *kms.Options) {
	count := middleware.FinalizeMiddlewareFunc("count", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		d.asked.Add(1)
		return next.HandleFinalize(ctx, in)
	})
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(count, "Retry", middleware.After)
	})
}

// newStore returns where the branch keys are. They may be in the database of the rows,
// since KMS wraps them.
func (d *demo) newStore(ctx context.Context, cfg aws.Config) (branchkey.Store, error) {
	if d.table == "" {
		store, err := sqlstore.New(sqlstore.Config{DB: d.db, Dialect: sqlstore.SQLite})
		if err != nil {
			return nil, err
		}
		return store, store.Migrate(ctx)
	}
	where := cfg.Region
	if !d.dynamoOnAWS() {
		cfg, where = emulated(d.endpoint), d.endpoint
	}
	d.dynamo = &dynamoTable{Client: dynamodb.NewFromConfig(cfg), name: d.table}
	store, err := dynamostore.New(dynamostore.Config{Client: d.dynamo, Table: d.table})
	if err != nil {
		return nil, err
	}
	if err := d.dynamo.create(ctx, store); err != nil {
		return nil, err
	}
	fmt.Fprintf(d.out, "table %s of DynamoDB is made, in %s, and deleted at the end\n", d.table, where)
	return store, nil
}

const emulatedRegion = "us-east-1"

// emulated is the configuration for a server that takes any credentials.
func emulated(url string) aws.Config {
	return aws.Config{
		Region:       emulatedRegion,
		BaseEndpoint: &url,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "example", SecretAccessKey: "example"}, nil
		}),
	}
}

// close deletes what was made, also if ctx is done.
func (d *demo) close(ctx context.Context) (err error) {
	if d.dynamo != nil && d.dynamo.made {
		if err = d.dynamo.delete(ctx); err == nil {
			fmt.Fprintf(d.out, "\ntable %s is deleted\n", d.table)
		}
	}
	if d.server != nil {
		d.server.Close()
	}
	if d.db != nil {
		d.db.Close()
	}
	return err
}
