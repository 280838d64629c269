package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/internal/mototest"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// A region has replicas of the key and of the table.
type region struct {
	name   string
	keyARN string
	kms    *kms.Client
	asked  atomic.Int64 // requests to KMS
	db     *dynamodb.Client
	made   bool // the table, by this program
}

// patience is how long KMS in a region may take before the other region is asked. It is longer
// than a service would have it, so that a busy machine does not look like an outage.
const patience = 15 * time.Second

// keyringIn returns the keyring of a service in the region local. KMS there is asked, and
// KMS in the other region only when that fails. To stay in the region at any price, take
// awskms.New with the local replica's ARN and MRKAware.
func keyringIn(local, other *region) (keyring.Keyring, error) {
	return awskms.NewMultiRegion(awskms.MultiRegionConfig{Regions: []awskms.RegionKey{
		{Client: local.kms, KeyARN: local.keyARN},
		{Client: other.kms, KeyARN: other.keyARN},
	}, AttemptTimeout: patience})
}

// A counter counts the requests that a client sends, and each retry too.
type counter struct {
	kms.HTTPClient
	n *atomic.Int64
}

func (c counter) Do(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.HTTPClient.Do(r)
}

// start connects to KMS and DynamoDB in both regions. What it started is closed by close,
// also if it fails.
func (d *demo) start(ctx context.Context) (err error) {
	d.writer, d.reader = &region{name: d.from}, &region{name: d.to}
	var cfg aws.Config
	if d.kmsOnAWS() || d.dynamoOnAWS() {
		if cfg, err = config.LoadDefaultConfig(ctx, config.WithRegion(d.writer.name)); err != nil {
			return err
		}
		// Fetching credentials can take a while, and should not count against the time that
		// KMS has to answer.
		if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
			return err
		}
	}
	if !d.dynamoOnAWS() && d.endpoint == "" {
		if d.endpoint, d.stopMoto, err = mototest.Run(ctx); errors.Is(err, mototest.ErrNotInstalled) {
			return fmt.Errorf("%w\nor run another emulator of DynamoDB and name it with -endpoint", err)
		} else if err != nil {
			return err
		}
	}
	if err := d.startKMS(cfg); err != nil {
		return err
	}
	return d.startDynamo(ctx, cfg)
}

func (d *demo) startKMS(cfg aws.Config) (err error) {
	where := "on AWS"
	if d.kmsOnAWS() {
		for _, r := range d.regions() {
			replica := d.key
			replica.Region = r.name
			r.keyARN = replica.String()
		}
	} else {
		where = "inside this process"
		if d.server, err = kmstest.New(kmstest.Config{Regions: []string{d.writer.name, d.reader.name}}); err != nil {
			return err
		}
		d.writer.keyARN = d.server.CreateMultiRegionKey(d.writer.name, kmstest.SymmetricDefault)
		d.reader.keyARN = d.server.Replicate(d.writer.keyARN, d.reader.name)
	}
	for _, r := range d.regions() {
		local := cfg
		if !d.kmsOnAWS() {
			local = emulated(d.server.URL(r.name))
		}
		local.Region = r.name
		r.kms = kms.NewFromConfig(local, func(o *kms.Options) { o.HTTPClient = counter{o.HTTPClient, &r.asked} })
	}
	fmt.Fprintf(d.out, "KMS: %s, a key with replicas in %s and %s\n", where, d.writer.name, d.reader.name)
	return nil
}

func (d *demo) startDynamo(ctx context.Context, cfg aws.Config) error {
	where := "on AWS, global"
	if !d.dynamoOnAWS() {
		cfg = emulated(d.endpoint)
		where = "at " + d.endpoint
		if d.stopMoto != nil {
			where = "in moto"
		}
		if d.table == "" {
			d.table = "orders"
		}
	}
	for _, r := range d.regions() {
		local := cfg
		local.Region = r.name
		r.db = dynamodb.NewFromConfig(local)
		if d.dynamoOnAWS() {
			continue
		}
		if err := r.createTable(ctx, d.table); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "DynamoDB: %s, table %s in both\n", where, d.table)
	return nil
}

// emulated is the configuration for a server that takes any credentials.
func emulated(url string) aws.Config {
	return aws.Config{
		BaseEndpoint: &url,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "example", SecretAccessKey: "example"}, nil
		}),
	}
}

// createTable makes the region's table in an emulator. It ends though the program is
// interrupted: else nobody would know whether there is a table to delete.
func (r *region) createTable(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	in := &dynamodb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest}
	for _, k := range []struct {
		attribute string
		kind      types.KeyType
	}{{"customer", types.KeyTypeHash}, {"order_id", types.KeyTypeRange}} {
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: &k.attribute, KeyType: k.kind})
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &k.attribute, AttributeType: types.ScalarAttributeTypeS})
	}
	_, err := r.db.CreateTable(ctx, in)
	var there *types.ResourceInUseException
	if errors.As(err, &there) { // it may hold what somebody needs
		return fmt.Errorf("table %s is there already in %s, and is left as it is: name one that is not with -table", name, r.name)
	}
	r.made = err == nil
	return err
}

// close deletes what was made, also if ctx is done.
func (d *demo) close(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	switch {
	case d.stopMoto != nil:
		d.stopMoto() // and the tables are gone
	case d.dynamoOnAWS():
		err = d.deleteOrders(ctx)
	default:
		for _, r := range d.regions() {
			if r.made {
				_, e := r.db.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &d.table})
				err = errors.Join(err, e)
			}
		}
	}
	if d.server != nil {
		d.server.Close()
	}
	return err
}

// deleteOrders deletes the orders in both regions: one that was not copied yet is in one.
func (d *demo) deleteOrders(ctx context.Context) error {
	for _, r := range d.regions() {
		for _, customer := range d.customers {
			items, err := r.stored(ctx, d.table, customer)
			if err != nil {
				return fmt.Errorf("orders of %s may still be in table %s: %w", customer, d.table, err)
			}
			for _, item := range items {
				key := map[string]types.AttributeValue{"customer": item["customer"], "order_id": item["order_id"]}
				if _, err := r.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &d.table, Key: key}); err != nil {
					return fmt.Errorf("orders of %s may still be in table %s: %w", customer, d.table, err)
				}
			}
		}
	}
	return nil
}

// stored returns the orders of a customer as they are in the table.
func (r *region) stored(ctx context.Context, table, customer string) ([]map[string]types.AttributeValue, error) {
	out, err := r.db.Query(ctx, ofCustomer(table, customer))
	if err != nil {
		return nil, fmt.Errorf("table %s in %s: %w", table, r.name, err)
	}
	return out.Items, nil
}
