package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope/dynamoitem"
	"github.com/go-sealring/sealring/internal/mototest"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/dynamostore"
)

const (
	region      = "us-east-1" // that of the Java program too
	keysTable   = "branch-keys"
	logicalName = "the logical name"
)

// services are what branch keys and beacons need: moto's DynamoDB, an AWS KMS in memory, and
// a table of branch keys that both sides use.
type services struct {
	java   javaServices
	dynamo *dynamodb.Client
	store  *branchkey.KeyStore

	keyrings map[branch]*branchkey.Keyring
	made     map[string]string // a branch key by the side that made it
	last     int               // of what must be told from all others
}

// startServices starts them. They run until the context is done or stop is called.
func startServices(ctx context.Context) (s *services, stop func(), err error) {
	moto, stopMoto, err := mototest.Run(ctx)
	if err != nil {
		return nil, nil, err
	}
	server, err := kmstest.New(kmstest.Config{Regions: []string{region}})
	if err != nil {
		stopMoto()
		return nil, nil, err
	}
	s = &services{
		java: javaServices{
			Dynamo: moto, KMS: server.URL(region), KeyARN: server.CreateKey(region, kmstest.SymmetricDefault), Table: keysTable, Name: logicalName,
		},
		keyrings: map[branch]*branchkey.Keyring{}, made: map[string]string{},
	}
	stop = func() {
		for _, kr := range s.keyrings {
			_ = kr.Close()
		}
		server.Close()
		stopMoto()
	}
	if err := s.makeStore(ctx); err != nil {
		stop()
		return nil, nil, err
	}
	return s, stop, nil
}

func (s *services) makeStore(ctx context.Context) error {
	login := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})
	s.dynamo = dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: &s.java.Dynamo, Credentials: login})
	table, err := dynamostore.New(dynamostore.Config{Client: s.dynamo, Table: keysTable})
	if err != nil {
		return err
	}
	s.store, err = branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: table, Name: logicalName, KeyARN: s.java.KeyARN,
		Client: kms.New(kms.Options{Region: region, BaseEndpoint: &s.java.KMS, Credentials: login}),
	})
	if err != nil {
		return err
	}
	return table.CreateTable(ctx)
}

// next returns a number that it has not returned before.
func (s *services) next() int {
	s.last++
	return s.last
}

// branchContext is the encryption context of all branch keys.
var branchContext = keyring.EncryptionContext{"tenant": "42", "ключ": "значение 😀"}

// newKey has a side make a branch key.
func (s *services) newKey(ctx context.Context, by side, prefix string) (string, error) {
	id := fmt.Sprintf("%s %d ～😀", prefix, s.next())
	if err := by.createKey(ctx, s, id); err != nil {
		return "", fmt.Errorf("%v does not make a branch key: %w", by, err)
	}
	return id, nil
}

// keyMadeBy returns a branch key that a side made.
func (s *services) keyMadeBy(ctx context.Context, by side) (string, error) {
	id, has := s.made[by.String()]
	if !has {
		var err error
		if id, err = s.newKey(ctx, by, "by "+by.String()); err != nil {
			return "", err
		}
		s.made[by.String()] = id
	}
	return id, nil
}

// A branch says which branch keys wrap the data keys of a table, or make its beacons.
type branch struct {
	in     *services
	id     string // of the one there is, or
	tenant string // the attribute that has the ID,
	prefix string // behind this
	fresh  int    // keyrings of another number hold nothing yet
}

func (b branch) java() javaBranch {
	return javaBranch{ID: b.id, Tenant: b.tenant, Prefix: b.prefix, Fresh: b.fresh}
}

// keyring returns this repository's keyring for branch keys, which keeps what it has read.
func (b branch) keyring() (*branchkey.Keyring, error) {
	if kr := b.in.keyrings[b]; kr != nil {
		return kr, nil
	}
	c := branchkey.Config{KeyStore: b.in.store, ID: b.id, Limits: cache.Limits{MaxAge: time.Hour}}
	if b.id == "" {
		c.Supplier = b.idOfContext
	}
	kr, err := branchkey.New(c)
	if err != nil {
		return nil, err
	}
	b.in.keyrings[b] = kr
	return kr, nil
}

var errNoTenant = errors.New("no tenant")

// idOfContext returns the ID of the branch key for the encryption context of an item. In
// version 1 an attribute's value stands in it with its type, in base64.
func (b branch) idOfContext(ec keyring.EncryptionContext) (string, error) {
	v, has := ec["aws-crypto-attr."+b.tenant]
	if _, version2 := ec["aws-crypto-legend"]; has && !version2 {
		typed, err := base64.StdEncoding.DecodeString(v)
		if err != nil || len(typed) < 2 {
			return "", errNoTenant
		}
		v = string(typed[2:])
	}
	if v == "" {
		return "", errNoTenant
	}
	return b.prefix + v, nil
}

// idOfItem returns it for an item.
func (b branch) idOfItem(it item) (string, error) {
	v, ok := it[b.tenant].(*types.AttributeValueMemberS)
	if !ok || v.Value == "" {
		return "", errNoTenant
	}
	return b.prefix + v.Value, nil
}

// withKeys returns a table's config with the keys of its beacons.
func (t table) withKeys() (dynamoitem.Config, error) {
	c := t.Config
	if t.beacons == nil {
		return c, nil
	}
	// Which branch keys the keyring itself is for makes no difference to beacon keys.
	kr, err := t.beacons.keyring()
	if err != nil {
		return c, err
	}
	c.BeaconKeys, c.BeaconKeyID = kr, t.beacons.id
	if c.BeaconKeyID == "" {
		c.BeaconKeySupplier = t.beacons.idOfItem
	}
	return c, nil
}

// makeTable makes a table in DynamoDB for t, of string keys, with an index for each of some
// beacons, and returns t with it.
func (s *services) makeTable(ctx context.Context, t table, indexed ...string) (table, error) {
	t.db, t.physical = s, fmt.Sprintf("items-%d", s.next())
	in := &dynamodb.CreateTableInput{TableName: &t.physical, BillingMode: types.BillingModePayPerRequest}
	key := func(name string, kind types.KeyType) types.KeySchemaElement {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS})
		return types.KeySchemaElement{AttributeName: &name, KeyType: kind}
	}
	in.KeySchema = append(in.KeySchema, key(t.PartitionKey, types.KeyTypeHash))
	for i, name := range indexed {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: indexOf(i), KeySchema: []types.KeySchemaElement{key("aws_dbe_b_"+name, types.KeyTypeHash)},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		})
	}
	_, err := s.dynamo.CreateTable(ctx, in)
	return t, err
}

// indexOf returns the name of an index.
func indexOf(i int) *string {
	name := fmt.Sprintf("index-%d", i)
	return &name
}

// raw returns an item as it lies in DynamoDB.
func (t table) raw(ctx context.Context, key item) (item, error) {
	out, err := t.db.dynamo.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.physical, Key: key})
	if err != nil {
		return nil, err
	}
	if out.Item == nil {
		return nil, errors.New("there is no such item")
	}
	return out.Item, nil
}
