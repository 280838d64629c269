// Package dynamostore keeps branch keys in a table of DynamoDB, laid out as AWS's
// releases do, which can share it.
//
//	store, err := dynamostore.New(dynamostore.Config{Client: dynamodb.NewFromConfig(cfg), Table: "tenant-keys"})
//	if err != nil {
//		log.Fatal(err)
//	}
//	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{
//		Store: store, Name: "tenant-keys", Client: kmsClient, KeyARN: keyARN,
//	})
//
// # Permissions
//
// On the table, a Keyring and KeyStore.Active, ByVersion and Beacon need
// dynamodb:GetItem; List dynamodb:Query; Create dynamodb:PutItem; Version
// dynamodb:GetItem and dynamodb:PutItem; Destroy dynamodb:Query and
// dynamodb:DeleteItem. [Store.CreateTable] needs dynamodb:CreateTable and
// dynamodb:DescribeTable.
//
// # Global tables
//
// Reads are strongly consistent within one region. In another region of a global table,
// what was just written may be missing for a moment. KeyStore looks twice for a version;
// after Create, wait before another region uses the branch key. Make new versions in one
// region alone: a global table keeps the last of two writes, and does not tell the other.
package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

// A Client is what a store needs of a [dynamodb.Client].
type Client interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
	CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

var _ Client = (*dynamodb.Client)(nil)

// Config says where the table is.
type Config struct {
	// Client asks DynamoDB in the region of the table.
	Client Client

	// Table is the table's name or ARN.
	Table string
}

// A Store is a [branchkey.Store] in a table of DynamoDB. It is safe for concurrent use.
type Store struct {
	client Client
	table  string
}

var _ branchkey.Store = (*Store)(nil)

// New returns a store. It makes no call, and the table need not be there yet.
func New(c Config) (*Store, error) {
	switch {
	case c.Client == nil:
		return nil, invalid("Config.Client is nil")
	case c.Table == "":
		return nil, invalid("Config.Table is empty")
	}
	return &Store{c.Client, c.Table}, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("dynamostore: %w: %s", keyring.ErrInvalidArgument, fmt.Sprintf(format, args...))
}

// The attributes that are not text, or are part of the table's key.
const (
	idAttribute        = "branch-key-id"
	typeAttribute      = "type"
	encAttribute       = "enc"
	hierarchyAttribute = "hierarchy-version" // a number
)

// userAgent names the library in the requests.
func userAgent(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, middleware.AddUserAgentKey("sealring"))
}

func key(id, itemType string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		idAttribute:   &types.AttributeValueMemberS{Value: id},
		typeAttribute: &types.AttributeValueMemberS{Value: itemType},
	}
}

// toAttributes returns an item as DynamoDB has it.
func toAttributes(it branchkey.Item) (map[string]types.AttributeValue, error) {
	all := key(it.ID, it.Type)
	all[encAttribute] = &types.AttributeValueMemberB{Value: it.Enc}
	for name, value := range it.Attributes {
		if _, twice := all[name]; twice || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, invalid("item %.50q: attribute %.50q is not UTF-8, or is there twice", it.Type, name)
		}
		if name == hierarchyAttribute {
			all[name] = &types.AttributeValueMemberN{Value: value}
		} else {
			all[name] = &types.AttributeValueMemberS{Value: value}
		}
	}
	return all, nil
}

// fromAttributes returns the item that DynamoDB has.
func fromAttributes(all map[string]types.AttributeValue) (branchkey.Item, error) {
	it := branchkey.Item{Attributes: make(map[string]string, len(all))}
	for name, value := range all {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			switch name {
			case idAttribute:
				it.ID = v.Value
				continue
			case typeAttribute:
				it.Type = v.Value
				continue
			case encAttribute, hierarchyAttribute:
			default:
				it.Attributes[name] = v.Value
				continue
			}
		case *types.AttributeValueMemberN:
			if name == hierarchyAttribute {
				it.Attributes[name] = v.Value
				continue
			}
		case *types.AttributeValueMemberB:
			if name == encAttribute {
				it.Enc = v.Value
				continue
			}
		}
		return it, fmt.Errorf("%w: attribute %.100q is of a kind that it has in no item: %T", branchkey.ErrForeignItem, name, value)
	}
	return it, nil
}

// Get implements [branchkey.Store].
func (s *Store) Get(ctx context.Context, id, itemType string) (branchkey.Item, error) {
	consistent := true
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: key(id, itemType), ConsistentRead: &consistent}, userAgent)
	if err != nil {
		return branchkey.Item{}, s.failed("GetItem", err)
	}
	if len(out.Item) == 0 {
		return branchkey.Item{}, branchkey.ErrNotFound
	}
	return fromAttributes(out.Item)
}

// List implements [branchkey.Store].
func (s *Store) List(ctx context.Context, id string) ([]branchkey.Item, error) {
	var all []branchkey.Item
	err := s.query(ctx, id, "", func(found map[string]types.AttributeValue) error {
		it, err := fromAttributes(found)
		all = append(all, it)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// query calls do for each item of an ID, in the order of their types, with all attributes
// or with those that are named.
func (s *Store) query(ctx context.Context, id, attributes string, do func(map[string]types.AttributeValue) error) error {
	consistent := true
	condition := "#id = :id"
	in := &dynamodb.QueryInput{
		TableName: &s.table, ConsistentRead: &consistent,
		KeyConditionExpression:    &condition,
		ExpressionAttributeNames:  map[string]string{"#id": idAttribute},
		ExpressionAttributeValues: map[string]types.AttributeValue{":id": &types.AttributeValueMemberS{Value: id}},
	}
	if attributes != "" {
		in.ProjectionExpression = &attributes
		in.ExpressionAttributeNames["#type"] = typeAttribute
	}
	for {
		out, err := s.client.Query(ctx, in, userAgent)
		if err != nil {
			return s.failed("Query", err)
		}
		for _, found := range out.Items {
			if err := do(found); err != nil {
				return err
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// Put implements [branchkey.Store]. The items are written in one transaction.
func (s *Store) Put(ctx context.Context, puts ...branchkey.Put) error {
	var writes []types.TransactWriteItem
	missing, same := "attribute_not_exists(#id)", "#enc = :enc"
	for _, p := range puts {
		all, err := toAttributes(p.Item)
		if err != nil {
			return err
		}
		put := &types.Put{TableName: &s.table, Item: all}
		if p.Replaces == nil {
			put.ConditionExpression, put.ExpressionAttributeNames = &missing, map[string]string{"#id": idAttribute}
		} else {
			put.ConditionExpression, put.ExpressionAttributeNames = &same, map[string]string{"#enc": encAttribute}
			put.ExpressionAttributeValues = map[string]types.AttributeValue{":enc": &types.AttributeValueMemberB{Value: p.Replaces}}
		}
		writes = append(writes, types.TransactWriteItem{Put: put})
	}
	return s.transact(ctx, writes)
}

// transact makes a transaction, again if another one was under way on the same items.
func (s *Store) transact(ctx context.Context, writes []types.TransactWriteItem) error {
	const tries = 8
	for try := 1; ; try++ {
		// The SDK adds a token, so that its own retries write once.
		_, err := s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes}, userAgent)
		if err == nil {
			return nil
		}
		var cancelled *types.TransactionCanceledException
		reason := func(code string) bool {
			return errors.As(err, &cancelled) && slices.ContainsFunc(cancelled.CancellationReasons, func(r types.CancellationReason) bool {
				return r.Code != nil && *r.Code == code
			})
		}
		if reason("ConditionalCheckFailed") {
			return branchkey.ErrConflict
		}
		if !reason("TransactionConflict") || try == tries || pause(ctx, rand.N(time.Duration(try)*20*time.Millisecond)) != nil {
			return s.failed("TransactWriteItems", err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Delete implements [branchkey.Store]. The first 100 items go in one transaction, the
// active one among them, and the others in further ones.
func (s *Store) Delete(ctx context.Context, id string) error {
	const most = 100 // that a transaction may have
	found := false
	// Again until there is nothing, since a new version may have come while the old ones
	// were listed. None comes once the active item is gone.
	for {
		var deletes []types.TransactWriteItem
		err := s.query(ctx, id, "#id, #type", func(keys map[string]types.AttributeValue) error {
			deletes = append(deletes, types.TransactWriteItem{Delete: &types.Delete{TableName: &s.table, Key: keys}})
			return nil
		})
		if err != nil {
			return err
		}
		if len(deletes) == 0 {
			if !found {
				return branchkey.ErrNotFound
			}
			return nil
		}
		found = true
		for chunk := range slices.Chunk(deletes, most) {
			if err := s.transact(ctx, chunk); err != nil {
				return err
			}
		}
	}
}

// CreateTable makes the table if it is not there, and waits until it can be used. It is
// billed by request and protected from deletion. A table that is there must have the
// key that a key store needs. For one that is being deleted, or that DynamoDB has archived,
// CreateTable does not wait.
func (s *Store) CreateTable(ctx context.Context) error {
	protected := true
	id, itemType := idAttribute, typeAttribute
	schema := []types.KeySchemaElement{
		{AttributeName: &id, KeyType: types.KeyTypeHash}, {AttributeName: &itemType, KeyType: types.KeyTypeRange},
	}
	_, err := s.client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &s.table, KeySchema: schema, BillingMode: types.BillingModePayPerRequest, DeletionProtectionEnabled: &protected,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &id, AttributeType: types.ScalarAttributeTypeS}, {AttributeName: &itemType, AttributeType: types.ScalarAttributeTypeS},
		},
	}, userAgent)
	var exists *types.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return s.failed("CreateTable", err)
	}
	for {
		out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table}, userAgent)
		var notYet *types.ResourceNotFoundException
		switch {
		case err != nil && !errors.As(err, &notYet):
			return s.failed("DescribeTable", err)
		case err == nil && !hasKey(out.Table, schema):
			return invalid("table %s is there and has another key than %s (S, hash) and %s (S, range)", s.table, id, itemType)
		case err == nil && out.Table.TableStatus == types.TableStatusActive:
			return nil
		case err == nil && out.Table.TableStatus != types.TableStatusCreating && out.Table.TableStatus != types.TableStatusUpdating:
			return fmt.Errorf("dynamostore: table %s is %s, and cannot be used", s.table, out.Table.TableStatus)
		}
		if err := pause(ctx, time.Second); err != nil {
			return s.failed("DescribeTable", err)
		}
	}
}

// hasKey says whether a table has a key of two strings.
func hasKey(table *types.TableDescription, schema []types.KeySchemaElement) bool {
	if table == nil || len(table.KeySchema) != len(schema) {
		return false
	}
	for i, k := range table.KeySchema {
		if k.AttributeName == nil || *k.AttributeName != *schema[i].AttributeName || k.KeyType != schema[i].KeyType ||
			!slices.ContainsFunc(table.AttributeDefinitions, func(a types.AttributeDefinition) bool {
				return a.AttributeName != nil && *a.AttributeName == *k.AttributeName && a.AttributeType == types.ScalarAttributeTypeS
			}) {
			return false
		}
	}
	return true
}

// failed returns the error for a call that failed.
func (s *Store) failed(operation string, err error) error {
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return fmt.Errorf("dynamodb:%s on table %s: %w: %w", operation, s.table, branchkey.ErrNoTable, err)
	}
	var answer smithy.APIError
	if errors.As(err, &answer) && denies(answer.ErrorCode()) {
		return &deniedError{operation, s.table, err}
	}
	return fmt.Errorf("dynamodb:%s on table %s: %w", operation, s.table, err)
}

// denies says whether a code of DynamoDB, or of the service that gives the credentials, says
// that access is not allowed, or that the credentials are not taken, as after somebody has
// deleted an access key. Credentials that have run out are no refusal.
func denies(code string) bool {
	switch code {
	case "AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "InvalidClientTokenId",
		"InvalidSignatureException", "SignatureDoesNotMatch", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
		"IncompleteSignature", "IncompleteSignatureException":
		return true
	}
	return false
}

// A deniedError ends the use of branch keys that were read before.
type deniedError struct {
	operation, table string
	err              error
}

func (e *deniedError) Error() string {
	return fmt.Sprintf("dynamodb:%s on table %s denied: the caller's IAM policy must allow it, and the credentials be valid: %v", e.operation, e.table, e.err)
}

func (e *deniedError) Unwrap() error { return e.err }

// Refused says that it is a refusal and no outage.
func (e *deniedError) Refused() bool { return true }
