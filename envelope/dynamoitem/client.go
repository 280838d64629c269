package dynamoitem

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/keyring"
)

// An API is what a [Client] needs of a [dynamodb.Client].
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
	TransactGetItems(context.Context, *dynamodb.TransactGetItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactGetItemsOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

var (
	_ API                     = (*dynamodb.Client)(nil)
	_ API                     = (*Client)(nil)
	_ dynamodb.QueryAPIClient = (*Client)(nil)
	_ dynamodb.ScanAPIClient  = (*Client)(nil)
)

// A ClientConfig says which tables a [Client] serves.
type ClientConfig struct {
	// Tables are the tables with encrypted items, by the names that requests give. A
	// request that gives an ARN finds its table by the name in the ARN, unless the ARN
	// itself is here. No two tables have one logical name, since the items of one could
	// then be put into the other.
	Tables map[string]*Table

	// Unencrypted are the names of tables whose requests and items pass as they are. A
	// request for a table that is neither here nor in Tables is refused, since a name that
	// was misspelled would otherwise write items in the clear. None is the name in an ARN
	// among Tables, nor an ARN with a name there.
	Unencrypted []string

	// Concurrency is how many items of a page or batch are encrypted or decrypted at once,
	// each of which may wait for a key service. Zero is 16, or GOMAXPROCS if that is more.
	Concurrency int
}

// A Client reads and writes items in the clear in tables where they are encrypted. Its
// methods are those of [dynamodb.Client], and the SDK's paginators take it; [Client.Find] is one
// more, for encrypted attributes. It is safe for
// concurrent use.
//
// Inputs are not changed. What DynamoDB keeps and compares is ciphertext, so some requests
// cannot be served. They are refused before anything is sent, with an [*Error] that says
// what to do and is keyring.ErrInvalidArgument:
//
//   - conditions and filters, old and new, on encrypted attributes, and on ones that the
//     Table does not know;
//   - updates that touch a signed attribute, even if only to read it;
//   - projections that leave out a signed attribute, aws_dbe_head or aws_dbe_foot, without
//     which an item cannot be verified. Reading all of it costs no more.
//
// PartiQL has no methods here. For tables themselves and all else that does not touch items
// use the [dynamodb.Client].
//
// # Errors
//
// DynamoDB's errors are returned as they are. If several items are worked on, the error for
// those that fail is [ItemErrors]. The output is then returned with it: it has all others,
// and nil for those. Other errors come without an output.
//
// An item with another key than was asked for is envelope.ErrContextMismatch, though it may
// have been encrypted as it is. Which items belong to a query or scan, and whether all of them
// came, is DynamoDB's word alone.
//
// Items that DynamoDB returns in a ConditionalCheckFailedException or a
// TransactionCanceledException are decrypted in it. One that cannot be is taken out, and the
// reason joins the error.
//
// # Differences
//
// A query or scan of an index asks for all attributes (ALL_ATTRIBUTES) instead of those that
// were projected: then DynamoDB refuses a global index that lacks some, and looks up the items
// of a local one.
//
// UpdateItem does not make items, which could not be encrypted: where there is none, it fails
// with a ConditionalCheckFailedException. Only a Table with [ForcePlaintextWrite] lets it.
//
// Encrypting an item twice gives two ciphertexts. So with a ClientRequestToken of the caller's,
// a second call of TransactWriteItems fails with an IdempotentParameterMismatchException if the
// first one succeeded. The SDK's own retries send the same ciphertext.
type Client struct {
	api         API
	tables      map[string]*Table // nil for one that is not encrypted
	concurrency int
}

// NewClient returns a client. It makes no call. The config is copied.
//
// All that is wrong with the config is in one error, which is keyring.ErrInvalidArgument.
func NewClient(api API, c ClientConfig) (*Client, error) {
	var all []error
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if api == nil {
		wrong("the API is nil")
	}
	if len(c.Tables) == 0 {
		wrong("ClientConfig.Tables is empty")
	}
	if c.Concurrency < 0 {
		wrong("ClientConfig.Concurrency %d: it must not be negative", c.Concurrency)
	}
	tables := make(map[string]*Table, len(c.Tables)+len(c.Unencrypted))
	logical := map[string]string{} // what the logical names are of
	encrypted := map[string]bool{} // by name, without what else is in an ARN
	for _, name := range slices.Sorted(maps.Keys(c.Tables)) {
		t := c.Tables[name]
		if name == "" || t == nil {
			wrong("ClientConfig.Tables[%q]: the name is empty, or the table nil", clip(name))
			continue
		}
		if other, has := logical[t.name]; has && other != nameIn(name) {
			wrong("ClientConfig.Tables[%q]: the logical name %q is that of %q too", clip(name), clip(t.name), clip(other))
		}
		tables[name], logical[t.name], encrypted[nameIn(name)] = t, nameIn(name), true
	}
	for i, name := range c.Unencrypted {
		_, twice := tables[name]
		switch {
		case name == "" || twice:
			wrong("ClientConfig.Unencrypted[%d]: it is empty, or there twice, or among Tables", i)
		case encrypted[nameIn(name)]:
			wrong("ClientConfig.Unencrypted[%d]: a table of that name is among Tables: if they are in two accounts or regions, make two clients", i)
		}
		tables[name] = nil
	}
	if err := errors.Join(all...); err != nil {
		return nil, fmt.Errorf("dynamoitem: client: %w: %w", keyring.ErrInvalidArgument, err)
	}
	if c.Concurrency == 0 {
		c.Concurrency = max(16, runtime.GOMAXPROCS(0))
	}
	return &Client{api, tables, c.Concurrency}, nil
}

// table returns the table of a request, or nil for one that is not encrypted.
func (c *Client) table(op string, name *string) (*Table, error) {
	if name == nil || *name == "" {
		return nil, &Error{Op: op, Err: invalid("the request names no table")}
	}
	if t, ok := c.tables[*name]; ok {
		return t, nil
	}
	if t, ok := c.tables[nameIn(*name)]; ok {
		return t, nil
	}
	return nil, &Error{Op: op, Table: *name, Err: invalid("the client does not know it: it must be in ClientConfig.Tables, " +
		"or in Unencrypted if its items are to be in the clear")}
}

// nameIn returns the table's name in an ARN, and any other name as it is.
func nameIn(name string) string {
	if strings.HasPrefix(name, "arn:") {
		if _, inARN, ok := strings.Cut(name, ":table/"); ok {
			return inARN
		}
	}
	return name
}

// GetItem reads an item and decrypts it.
func (c *Client) GetItem(ctx context.Context, input *dynamodb.GetItemInput, optFns ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	const op = "GetItem"
	in := copied(input)
	t, err := c.table(op, in.TableName)
	if err != nil {
		return nil, err
	}
	if t != nil {
		if err := t.checkGet(in.Key, in.ProjectionExpression, in.ExpressionAttributeNames, in.AttributesToGet); err != nil {
			return nil, t.failed(op, err)
		}
	}
	out, err := c.api.GetItem(ctx, &in, named(optFns)...)
	if err != nil || t == nil || len(out.Item) == 0 {
		return out, err
	}
	o := *out
	if o.Item, err = t.wants(in.Key).decrypt(ctx, o.Item); err != nil {
		return nil, err
	}
	return &o, nil
}

// PutItem encrypts an item and writes it. The item that it replaced is decrypted, if
// ReturnValues asks for it. If only that fails, the item has been written, and the output is
// returned with the error.
func (c *Client) PutItem(ctx context.Context, input *dynamodb.PutItemInput, optFns ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	const op = "PutItem"
	in := copied(input)
	t, err := c.table(op, in.TableName)
	if err != nil {
		return nil, err
	}
	wanted := t.wants(in.Item)
	if t != nil {
		if err := t.checkConditions(in.ConditionExpression, in.ExpressionAttributeNames, in.Expected); err != nil {
			return nil, t.failed(op, err)
		}
		if in.Item, err = t.Encrypt(ctx, in.Item); err != nil {
			return nil, err
		}
	}
	out, err := c.api.PutItem(ctx, &in, named(optFns)...)
	if err != nil {
		return nil, openFailed(ctx, err, wanted)
	}
	if t == nil || len(out.Attributes) == 0 {
		return out, nil
	}
	o := *out
	o.Attributes, err = wanted.openOld(ctx, op, o.Attributes)
	return &o, err
}

// DeleteItem deletes an item. It is decrypted, if ReturnValues asks for it. If only that
// fails, the item has been deleted, and the output is returned with the error.
func (c *Client) DeleteItem(ctx context.Context, input *dynamodb.DeleteItemInput, optFns ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	const op = "DeleteItem"
	in := copied(input)
	t, err := c.table(op, in.TableName)
	if err != nil {
		return nil, err
	}
	wanted := t.wants(in.Key)
	if t != nil {
		if err := first(t.checkKey(in.Key), t.checkConditions(in.ConditionExpression, in.ExpressionAttributeNames, in.Expected)); err != nil {
			return nil, t.failed(op, err)
		}
	}
	out, err := c.api.DeleteItem(ctx, &in, named(optFns)...)
	if err != nil {
		return nil, openFailed(ctx, err, wanted)
	}
	if t == nil || len(out.Attributes) == 0 {
		return out, nil
	}
	o := *out
	o.Attributes, err = wanted.openOld(ctx, op, o.Attributes)
	return &o, err
}

// UpdateItem changes unsigned attributes of an item that is there. To change others, read
// the item and put it, with a condition on an attribute that counts its versions if others
// write it too. The whole item is decrypted, if ReturnValues asks for it. If only that fails,
// the item has been updated, and the output is returned with the error.
func (c *Client) UpdateItem(ctx context.Context, input *dynamodb.UpdateItemInput, optFns ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	const op = "UpdateItem"
	in := copied(input)
	t, err := c.table(op, in.TableName)
	if err != nil {
		return nil, err
	}
	wanted := t.wants(in.Key)
	if t != nil {
		if err := t.checkUpdateItem(&in); err != nil {
			return nil, t.failed(op, err)
		}
	}
	out, err := c.api.UpdateItem(ctx, &in, named(optFns)...)
	if err != nil {
		return nil, openFailed(ctx, err, wanted)
	}
	if t == nil || len(out.Attributes) == 0 {
		return out, nil
	}
	o := *out
	if in.ReturnValues == types.ReturnValueAllOld || in.ReturnValues == types.ReturnValueAllNew {
		o.Attributes, err = wanted.openOld(ctx, op, o.Attributes)
		return &o, err
	}
	for name := range o.Attributes {
		if action, known := t.actionOf(name); !known || action != DoNothing {
			o.Attributes = nil
			return &o, t.failed(op, at(name, malformed("DynamoDB returned it, and it was not updated")))
		}
	}
	return &o, nil
}

// Query reads a page of items and decrypts them. The [Client] says what it does about an
// index.
func (c *Client) Query(ctx context.Context, input *dynamodb.QueryInput, optFns ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	const op = "Query"
	in := copied(input)
	t, err := c.table(op, in.TableName)
	if err != nil {
		return nil, err
	}
	if t != nil {
		err := first(
			t.checkExpression("KeyConditionExpression", in.KeyConditionExpression, in.ExpressionAttributeNames),
			t.checkExpression("FilterExpression", in.FilterExpression, in.ExpressionAttributeNames),
			checkLegacy(t, "KeyConditions", in.KeyConditions),
			checkLegacy(t, "QueryFilter", in.QueryFilter),
			t.checkStart(in.ExclusiveStartKey),
			t.checkProjection(in.ProjectionExpression, in.ExpressionAttributeNames, in.AttributesToGet),
		)
		if err != nil {
			return nil, t.failed(op, err)
		}
		in.Select = wholeItems(in.Select, in.IndexName, in.ProjectionExpression, in.AttributesToGet)
	}
	out, err := c.api.Query(ctx, &in, named(optFns)...)
	if err != nil || t == nil {
		return out, err
	}
	o := *out
	o.Items, err = c.openPage(ctx, t, *in.TableName, o.Items)
	return &o, err
}

// Scan reads a page of items and decrypts them. The [Client] says what it does about an
// index.
func (c *Client) Scan(ctx context.Context, input *dynamodb.ScanInput, optFns ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	const op = "Scan"
	in := copied(input)
	t, err := c.table(op, in.TableName)
	if err != nil {
		return nil, err
	}
	if t != nil {
		err := first(
			t.checkExpression("FilterExpression", in.FilterExpression, in.ExpressionAttributeNames),
			checkLegacy(t, "ScanFilter", in.ScanFilter),
			t.checkStart(in.ExclusiveStartKey),
			t.checkProjection(in.ProjectionExpression, in.ExpressionAttributeNames, in.AttributesToGet),
		)
		if err != nil {
			return nil, t.failed(op, err)
		}
		in.Select = wholeItems(in.Select, in.IndexName, in.ProjectionExpression, in.AttributesToGet)
	}
	out, err := c.api.Scan(ctx, &in, named(optFns)...)
	if err != nil || t == nil {
		return out, err
	}
	o := *out
	o.Items, err = c.openPage(ctx, t, *in.TableName, o.Items)
	return &o, err
}

// wholeItems returns what a query or scan of an index must select so that whole items come.
func wholeItems(selected types.Select, index, projection *string, toGet []string) types.Select {
	if index == nil || projection != nil || len(toGet) > 0 {
		return selected
	}
	if selected == "" || selected == types.SelectAllProjectedAttributes {
		return types.SelectAllAttributes
	}
	return selected
}

// openPage decrypts the items of a page.
func (c *Client) openPage(ctx context.Context, t *Table, name string, items []map[string]types.AttributeValue) ([]map[string]types.AttributeValue, error) {
	if len(items) == 0 {
		return items, nil
	}
	opened := make([]map[string]types.AttributeValue, len(items))
	jobs := make([]job, len(items))
	for i, item := range items {
		jobs[i] = job{wanted{table: t}, name, i, item, &opened[i]}
	}
	return opened, c.each(ctx, jobs, wanted.decrypt)
}

// openOld decrypts an item that a write returned, which was done.
func (w wanted) openOld(ctx context.Context, op string, item map[string]types.AttributeValue) (map[string]types.AttributeValue, error) {
	opened, err := w.decrypt(ctx, item)
	if err != nil {
		return nil, fmt.Errorf("dynamoitem: %s was done, but the item that it returned cannot be decrypted: %w", op, err)
	}
	return opened, nil
}

// copied returns a copy that may be changed, though not what it points to.
func copied[T any](input *T) (in T) {
	if input != nil {
		in = *input
	}
	return in
}

// named adds an option that names the library in the requests.
func named(optFns []func(*dynamodb.Options)) []func(*dynamodb.Options) {
	return append(slices.Clip(optFns), func(o *dynamodb.Options) {
		o.APIOptions = append(slices.Clip(o.APIOptions), middleware.AddUserAgentKey("sealring"))
	})
}
