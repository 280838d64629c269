package dynamoitem

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/keyring"
)

// A fake is an API that keeps what was sent, and answers.
type fake struct {
	sent   []any
	answer func(in any) (out any, err error) // an empty output if it is nil
}

func ask[T any](f *fake, in any) (*T, error) {
	f.sent = append(f.sent, in)
	if f.answer == nil {
		return new(T), nil
	}
	out, err := f.answer(in)
	if err != nil {
		return nil, err
	}
	return out.(*T), nil
}

func (f *fake) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return ask[dynamodb.GetItemOutput](f, in)
}
func (f *fake) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return ask[dynamodb.PutItemOutput](f, in)
}
func (f *fake) UpdateItem(_ context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return ask[dynamodb.UpdateItemOutput](f, in)
}
func (f *fake) DeleteItem(_ context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	return ask[dynamodb.DeleteItemOutput](f, in)
}
func (f *fake) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return ask[dynamodb.QueryOutput](f, in)
}
func (f *fake) Scan(_ context.Context, in *dynamodb.ScanInput, _ ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	return ask[dynamodb.ScanOutput](f, in)
}
func (f *fake) BatchGetItem(_ context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	return ask[dynamodb.BatchGetItemOutput](f, in)
}
func (f *fake) BatchWriteItem(_ context.Context, in *dynamodb.BatchWriteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	return ask[dynamodb.BatchWriteItemOutput](f, in)
}
func (f *fake) TransactGetItems(_ context.Context, in *dynamodb.TransactGetItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactGetItemsOutput, error) {
	return ask[dynamodb.TransactGetItemsOutput](f, in)
}
func (f *fake) TransactWriteItems(_ context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return ask[dynamodb.TransactWriteItemsOutput](f, in)
}

// patients is the config of the table that most tests here use.
func patients() Config {
	return Config{
		Table: "patients", PartitionKey: "id", SortKey: "visit",
		Actions: map[string]Action{
			"id": SignOnly, "visit": SignOnly, "status": SignOnly, "ssn": EncryptAndSign, "notes": EncryptAndSign, ":seen": DoNothing,
		},
		Unsigned: []string{"hits"}, UnsignedPrefix: ":",
	}
}

func patientTable(t testing.TB, change ...func(*Config)) *Table {
	c := patients()
	c.Suite = keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384
	for _, f := range change {
		f(&c)
	}
	return newTable(t, manager(t, rawAES(t, "test", "key", make([]byte, 32))), c)
}

func newClient(t testing.TB, api API, c ClientConfig) *Client {
	client, err := NewClient(api, c)
	require.NoError(t, err)
	return client
}

// patientClient returns a client with the table, under its own name, and one in the clear.
func patientClient(t testing.TB, f *fake, change ...func(*Config)) (*Client, *Table) {
	table := patientTable(t, change...)
	return newClient(t, f, ClientConfig{Tables: map[string]*Table{"patients": table}, Unencrypted: []string{"logs"}}), table
}

func keyOf(id string) item { return item{"id": str(id), "visit": num("1")} }

func patient(id string) item {
	return item{"id": str(id), "visit": num("1"), "status": str("in"), "ssn": str("secret " + id), "notes": list(str("secret")), "hits": num("1")}
}

func encrypt(t testing.TB, table *Table, it item) item {
	encrypted, err := table.Encrypt(t.Context(), it)
	require.NoError(t, err)
	return encrypted
}

// altered returns an encrypted item that does not verify.
func altered(t testing.TB, table *Table, it item) item {
	encrypted := encrypt(t, table, it)
	encrypted["status"] = str("secret: altered")
	return encrypted
}

var patientsName, logsName = aws.String("patients"), aws.String("logs")

// Each operation refuses each parameter that cannot be served, and sends nothing.
func TestClientRefuses(t *testing.T) {
	const (
		encryptedName = "it is encrypted, and DynamoDB sees ciphertext"
		unknown       = "Config.Actions has no action for it"
		signed        = "it is not unsigned, and an update would"
		partial       = "cannot be verified without all of it"
		noKey         = "it is not part of the table's key"
		unread        = "it may name an encrypted attribute, and cannot be read: at byte"
	)
	s := aws.String
	values := item{":v": str("secret")}
	names := map[string]string{"#s": "ssn", "#st": "status"}
	badKey := item{"id": str("a"), "visit": num("1"), "ssn": str("secret")}
	type attempt struct {
		do        func(ctx context.Context, c *Client) error
		attribute string
		says      string
	}
	attempts := map[string]attempt{}
	add := func(name, attribute, says string, do func(ctx context.Context, c *Client) error) {
		attempts[name] = attempt{do, attribute, says}
	}

	// Conditions, in each place where there is one.
	for place, do := range map[string]func(ctx context.Context, c *Client, e *string) error{
		"PutItem ConditionExpression": func(ctx context.Context, c *Client, e *string) error {
			_, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: patientsName, Item: patient("a"), ConditionExpression: e, ExpressionAttributeNames: names, ExpressionAttributeValues: values})
			return err
		},
		"DeleteItem ConditionExpression": func(ctx context.Context, c *Client, e *string) error {
			_, err := c.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: patientsName, Key: keyOf("a"), ConditionExpression: e, ExpressionAttributeNames: names})
			return err
		},
		"UpdateItem ConditionExpression": func(ctx context.Context, c *Client, e *string) error {
			_, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("a"), ConditionExpression: e, ExpressionAttributeNames: names})
			return err
		},
		"Query KeyConditionExpression": func(ctx context.Context, c *Client, e *string) error {
			_, err := c.Query(ctx, &dynamodb.QueryInput{TableName: patientsName, KeyConditionExpression: e, ExpressionAttributeNames: names})
			return err
		},
		"Query FilterExpression": func(ctx context.Context, c *Client, e *string) error {
			_, err := c.Query(ctx, &dynamodb.QueryInput{TableName: patientsName, KeyConditionExpression: s("id = :v"), FilterExpression: e, ExpressionAttributeNames: names, Select: types.SelectCount})
			return err
		},
		"Scan FilterExpression": func(ctx context.Context, c *Client, e *string) error {
			_, err := c.Scan(ctx, &dynamodb.ScanInput{TableName: patientsName, FilterExpression: e, ExpressionAttributeNames: names})
			return err
		},
		"Put ConditionExpression": func(ctx context.Context, c *Client, e *string) error {
			return transact(ctx, c, types.TransactWriteItem{Put: &types.Put{TableName: patientsName, Item: patient("a"), ConditionExpression: e, ExpressionAttributeNames: names}})
		},
		"Delete ConditionExpression": func(ctx context.Context, c *Client, e *string) error {
			return transact(ctx, c, types.TransactWriteItem{Delete: &types.Delete{TableName: patientsName, Key: keyOf("a"), ConditionExpression: e, ExpressionAttributeNames: names}})
		},
		"Update ConditionExpression": func(ctx context.Context, c *Client, e *string) error {
			return transact(ctx, c, types.TransactWriteItem{Update: &types.Update{TableName: patientsName, Key: keyOf("a"), UpdateExpression: s("SET hits = :v"), ConditionExpression: e, ExpressionAttributeNames: names}})
		},
		"ConditionCheck ConditionExpression": func(ctx context.Context, c *Client, e *string) error {
			return transact(ctx, c, types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: patientsName, Key: keyOf("a"), ConditionExpression: e, ExpressionAttributeNames: names}})
		},
	} {
		for expression, want := range map[string]attempt{
			"ssn = :v":                      {nil, "ssn", encryptedName},
			"id = :v AND #s = :v":           {nil, "ssn", encryptedName},
			"contains(notes[0].a, :v)":      {nil, "notes", encryptedName},
			"attribute_exists(ssn)":         {nil, "ssn", encryptedName},
			"id = :v OR size(notes) > :v":   {nil, "notes", encryptedName},
			"NOT (id IN (:v, ssn))":         {nil, "ssn", encryptedName},
			"Status = :v":                   {nil, "Status", unknown},
			"id = 'secret'":                 {nil, "", unread},
			"":                              {nil, "", unread},
			"id = :v AND #secret = :v":      {nil, "", unread},
			"id = :v --AND secret = :v\n()": {nil, "", unread},
		} {
			add(place+": "+expression, want.attribute, want.says, func(ctx context.Context, c *Client) error { return do(ctx, c, &expression) })
		}
	}

	// Conditions of the kind that was there before.
	old := map[string]types.Condition{"id": {}, "ssn": {ComparisonOperator: types.ComparisonOperatorEq, AttributeValueList: []types.AttributeValue{str("secret")}}}
	expected := map[string]types.ExpectedAttributeValue{"id": {}, "ssn": {Value: str("secret")}}
	add("PutItem Expected", "ssn", encryptedName, func(ctx context.Context, c *Client) error {
		_, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: patientsName, Item: patient("a"), Expected: expected})
		return err
	})
	add("DeleteItem Expected", "ssn", encryptedName, func(ctx context.Context, c *Client) error {
		_, err := c.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: patientsName, Key: keyOf("a"), Expected: expected})
		return err
	})
	add("UpdateItem Expected", "ssn", encryptedName, func(ctx context.Context, c *Client) error {
		_, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("a"), Expected: expected})
		return err
	})
	add("UpdateItem Expected OR", "id", "use ConditionExpression and UpdateExpression", func(ctx context.Context, c *Client) error {
		_, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("a"), ConditionalOperator: types.ConditionalOperatorOr,
			Expected: map[string]types.ExpectedAttributeValue{"status": {Value: str("secret")}}})
		return err
	})
	add("UpdateItem Expected key", "id", "use ConditionExpression and UpdateExpression", func(ctx context.Context, c *Client) error {
		_, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("a"),
			Expected: map[string]types.ExpectedAttributeValue{"id": {Exists: aws.Bool(false)}}})
		return err
	})
	add("Query KeyConditions", "ssn", encryptedName, func(ctx context.Context, c *Client) error {
		_, err := c.Query(ctx, &dynamodb.QueryInput{TableName: patientsName, KeyConditions: old})
		return err
	})
	add("Query QueryFilter", "ssn", encryptedName, func(ctx context.Context, c *Client) error {
		_, err := c.Query(ctx, &dynamodb.QueryInput{TableName: patientsName, QueryFilter: old})
		return err
	})
	add("Scan ScanFilter", "ssn", encryptedName, func(ctx context.Context, c *Client) error {
		_, err := c.Scan(ctx, &dynamodb.ScanInput{TableName: patientsName, ScanFilter: old})
		return err
	})

	// Updates.
	for place, do := range map[string]func(ctx context.Context, c *Client, e *string) error{
		"UpdateItem": func(ctx context.Context, c *Client, e *string) error {
			_, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("a"), UpdateExpression: e, ExpressionAttributeNames: names})
			return err
		},
		"Update": func(ctx context.Context, c *Client, e *string) error {
			return transact(ctx, c, types.TransactWriteItem{Update: &types.Update{TableName: patientsName, Key: keyOf("a"), UpdateExpression: e, ExpressionAttributeNames: names}})
		},
	} {
		for expression, want := range map[string]attempt{
			"SET ssn = :v":                        {nil, "ssn", signed},
			"SET hits = :v, #st = :v":             {nil, "status", signed},
			"SET hits = :v REMOVE notes[0].a":     {nil, "notes", signed},
			"ADD hits :v DELETE status :v":        {nil, "status", signed},
			"SET hits = if_not_exists(status,:v)": {nil, "status", signed},
			"SET id = :v":                         {nil, "id", signed},
			"SET Hits = :v":                       {nil, "Hits", signed},
			"REMOVE aws_dbe_head":                 {nil, "aws_dbe_head", signed},
			"SET remove = :v":                     {nil, "remove", signed},
			"set hits = 'secret'":                 {nil, "", unread},
		} {
			add(place+" "+expression, want.attribute, want.says, func(ctx context.Context, c *Client) error { return do(ctx, c, &expression) })
		}
	}
	add("UpdateItem AttributeUpdates", "ssn", signed, func(ctx context.Context, c *Client) error {
		_, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("a"),
			AttributeUpdates: map[string]types.AttributeValueUpdate{"hits": {}, "ssn": {Value: str("secret")}}})
		return err
	})
	add("UpdateItem placeholder", "", "#aws_dbe_key is reserved", func(ctx context.Context, c *Client) error {
		_, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("a"), ExpressionAttributeNames: map[string]string{"#aws_dbe_key": "hits"}})
		return err
	})

	// Projections.
	for place, do := range map[string]func(ctx context.Context, c *Client, e *string, toGet []string) error{
		"GetItem": func(ctx context.Context, c *Client, e *string, toGet []string) error {
			_, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: patientsName, Key: keyOf("a"), ProjectionExpression: e, AttributesToGet: toGet})
			return err
		},
		"Query": func(ctx context.Context, c *Client, e *string, toGet []string) error {
			_, err := c.Query(ctx, &dynamodb.QueryInput{TableName: patientsName, KeyConditionExpression: s("id = :v"), ProjectionExpression: e, AttributesToGet: toGet})
			return err
		},
		"Scan": func(ctx context.Context, c *Client, e *string, toGet []string) error {
			_, err := c.Scan(ctx, &dynamodb.ScanInput{TableName: patientsName, ProjectionExpression: e, AttributesToGet: toGet})
			return err
		},
		"BatchGetItem": func(ctx context.Context, c *Client, e *string, toGet []string) error {
			_, err := c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
				"patients": {Keys: []map[string]types.AttributeValue{keyOf("a")}, ProjectionExpression: e, AttributesToGet: toGet}}})
			return err
		},
		"TransactGetItems": func(ctx context.Context, c *Client, e *string, toGet []string) error {
			if toGet != nil {
				e = s("id") // it has no AttributesToGet
			}
			return transactGet(ctx, c, types.Get{TableName: patientsName, Key: keyOf("a"), ProjectionExpression: e})
		},
	} {
		for expression, want := range map[string]attempt{
			"id, visit": {nil, "notes", partial},
			"hits":      {nil, "id", partial},
			"id, visit, #s, notes, status, aws_dbe_head, aws_dbe_foot":   {nil, "", unread},
			"id, visit, ssn, notes[0], status, aws_dbe_head":             {nil, "notes", partial},
			"id, visit, ssn, notes, status, aws_dbe_head":                {nil, "aws_dbe_foot", partial},
			"id, visit, ssn, notes, status, aws_dbe_foot.a, aws_dbe_foo": {nil, "aws_dbe_head", partial},
		} {
			add(place+" ProjectionExpression "+expression, want.attribute, want.says, func(ctx context.Context, c *Client) error { return do(ctx, c, &expression, nil) })
		}
		add(place+" AttributesToGet", "notes", partial, func(ctx context.Context, c *Client) error { return do(ctx, c, nil, []string{"id", "hits"}) })
	}

	// Keys.
	for place, do := range map[string]func(ctx context.Context, c *Client) error{
		"GetItem": func(ctx context.Context, c *Client) error {
			_, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: patientsName, Key: badKey})
			return err
		},
		"DeleteItem": func(ctx context.Context, c *Client) error {
			_, err := c.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: patientsName, Key: badKey})
			return err
		},
		"UpdateItem": func(ctx context.Context, c *Client) error {
			_, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: patientsName, Key: badKey})
			return err
		},
		"BatchGetItem": func(ctx context.Context, c *Client) error {
			_, err := c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
				"patients": {Keys: []map[string]types.AttributeValue{keyOf("a"), badKey}}}})
			return err
		},
		"BatchWriteItem": func(ctx context.Context, c *Client) error {
			_, err := c.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{
				"patients": {{DeleteRequest: &types.DeleteRequest{Key: keyOf("a")}}, {DeleteRequest: &types.DeleteRequest{Key: badKey}}}}})
			return err
		},
		"Get": func(ctx context.Context, c *Client) error {
			return transactGet(ctx, c, types.Get{TableName: patientsName, Key: badKey})
		},
		"Delete": func(ctx context.Context, c *Client) error {
			return transact(ctx, c, types.TransactWriteItem{Delete: &types.Delete{TableName: patientsName, Key: badKey}})
		},
		"Update": func(ctx context.Context, c *Client) error {
			return transact(ctx, c, types.TransactWriteItem{Update: &types.Update{TableName: patientsName, Key: badKey}})
		},
		"ConditionCheck": func(ctx context.Context, c *Client) error {
			return transact(ctx, c, types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: patientsName, Key: badKey}})
		},
	} {
		add(place+" Key", "ssn", noKey, do)
	}

	// Items that cannot be encrypted.
	for place, do := range map[string]func(ctx context.Context, c *Client, it item) error{
		"PutItem": func(ctx context.Context, c *Client, it item) error {
			_, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: patientsName, Item: it})
			return err
		},
		"BatchWriteItem": func(ctx context.Context, c *Client, it item) error {
			_, err := c.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{
				"patients": {{PutRequest: &types.PutRequest{Item: patient("a")}}, {PutRequest: &types.PutRequest{Item: it}}}}})
			return err
		},
		"TransactWriteItems": func(ctx context.Context, c *Client, it item) error {
			return transact(ctx, c, types.TransactWriteItem{Put: &types.Put{TableName: patientsName, Item: it}})
		},
	} {
		add(place+" no item", "id", "lacks the partition key", func(ctx context.Context, c *Client) error { return do(ctx, c, nil) })
		add(place+" unknown attribute", "SSN", "no action for it", func(ctx context.Context, c *Client) error {
			it := patient("a")
			it["SSN"] = str("secret")
			return do(ctx, c, it)
		})
		add(place+" encrypted before", "aws_dbe_head", "cannot be encrypted twice", func(ctx context.Context, c *Client) error {
			it := patient("a")
			it["aws_dbe_head"] = bin("head")
			return do(ctx, c, it)
		})
	}

	// Parts of transactions.
	none := func(name, says string, do func(ctx context.Context, c *Client) error) { add(name, "", says, do) }
	none("a part that does nothing", "TransactItems[1]: it must have one of", func(ctx context.Context, c *Client) error {
		return transact(ctx, c, types.TransactWriteItem{})
	})
	none("a part that does two things", "TransactItems[1]: it must have one of", func(ctx context.Context, c *Client) error {
		return transact(ctx, c, types.TransactWriteItem{Delete: &types.Delete{TableName: logsName}, Put: &types.Put{TableName: patientsName}})
	})
	none("no Get", "TransactItems[0] has no Get", func(ctx context.Context, c *Client) error {
		_, err := c.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{}}})
		return err
	})

	for name, a := range attempts {
		t.Run(name, func(t *testing.T) {
			var f fake
			c, _ := patientClient(t, &f)
			err := a.do(t.Context(), c)
			require.ErrorContains(t, err, a.says)
			var typed *Error
			require.ErrorAs(t, err, &typed)
			assert.Equal(t, a.attribute, typed.Attribute)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.NotContains(t, err.Error(), "secret")
			assert.Empty(t, f.sent)
		})
	}
}

// transact makes a transaction of a part that is in order and one that may not be.
func transact(ctx context.Context, c *Client, one types.TransactWriteItem) error {
	_, err := c.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: patientsName, Item: patient("first")}}, one,
	}})
	var all ItemErrors
	if errors.As(err, &all) && (len(all) != 1 || all[0].Index != 1 || all[0].Table != "patients") {
		return fmt.Errorf("not of the second item: %w", err)
	}
	return err
}

func transactGet(ctx context.Context, c *Client, get types.Get) error {
	_, err := c.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{Get: &get}}})
	return err
}

// A table that the client does not know is refused by every operation.
func TestClientUnknownTables(t *testing.T) {
	for name, says := range map[string]string{
		"patient": `table "patient": invalid argument: the client does not know it`,
		"":        "the request names no table",
		"arn:aws:dynamodb:us-east-1:1:table/other":    "the client does not know it",
		"arn:aws:dynamodb:us-east-1:1:index/patients": "the client does not know it",
	} {
		for i, do := range everyOperation(&name) {
			var f fake
			c, _ := patientClient(t, &f)
			_, err := do(t.Context(), c)
			require.ErrorContains(t, err, says, "%d", i)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.Empty(t, f.sent)
		}
	}
	var f fake
	c, _ := patientClient(t, &f)
	for _, do := range []func() error{
		func() error { _, err := c.GetItem(t.Context(), nil); return err },
		func() error { _, err := c.PutItem(t.Context(), nil); return err },
		func() error { _, err := c.UpdateItem(t.Context(), nil); return err },
		func() error { _, err := c.DeleteItem(t.Context(), nil); return err },
		func() error { _, err := c.Query(t.Context(), nil); return err },
		func() error { _, err := c.Scan(t.Context(), nil); return err },
	} {
		require.ErrorContains(t, do(), "the request names no table")
	}
	assert.Empty(t, f.sent)
}

// everyOperation makes requests that are in order on a table. Each returns its input.
func everyOperation(table *string) []func(ctx context.Context, c *Client) (any, error) {
	e := aws.String("id = :v")
	return []func(ctx context.Context, c *Client) (any, error){
		func(ctx context.Context, c *Client) (any, error) {
			in := &dynamodb.GetItemInput{TableName: table, Key: keyOf("a")}
			_, err := c.GetItem(ctx, in)
			return in, err
		},
		func(ctx context.Context, c *Client) (any, error) {
			in := &dynamodb.PutItemInput{TableName: table, Item: patient("a"), ConditionExpression: e}
			_, err := c.PutItem(ctx, in)
			return in, err
		},
		func(ctx context.Context, c *Client) (any, error) {
			in := &dynamodb.UpdateItemInput{TableName: table, Key: keyOf("a"), UpdateExpression: aws.String("SET #h = :v"), ExpressionAttributeNames: map[string]string{"#h": "hits"}}
			_, err := c.UpdateItem(ctx, in)
			return in, err
		},
		func(ctx context.Context, c *Client) (any, error) {
			in := &dynamodb.UpdateItemInput{TableName: table, Key: keyOf("a"), AttributeUpdates: map[string]types.AttributeValueUpdate{"hits": {}},
				Expected: map[string]types.ExpectedAttributeValue{"status": {Value: str("in")}}}
			_, err := c.UpdateItem(ctx, in)
			return in, err
		},
		func(ctx context.Context, c *Client) (any, error) {
			in := &dynamodb.DeleteItemInput{TableName: table, Key: keyOf("a"), ConditionExpression: e}
			_, err := c.DeleteItem(ctx, in)
			return in, err
		},
		func(ctx context.Context, c *Client) (any, error) {
			in := &dynamodb.QueryInput{TableName: table, KeyConditionExpression: e, IndexName: aws.String("index")}
			_, err := c.Query(ctx, in)
			return in, err
		},
		func(ctx context.Context, c *Client) (any, error) {
			in := &dynamodb.ScanInput{TableName: table, FilterExpression: e, IndexName: aws.String("index")}
			_, err := c.Scan(ctx, in)
			return in, err
		},
		func(ctx context.Context, c *Client) (any, error) {
			in := &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*table: {Keys: []map[string]types.AttributeValue{keyOf("a")}}}}
			_, err := c.BatchGetItem(ctx, in)
			return in, err
		},
		func(ctx context.Context, c *Client) (any, error) {
			in := &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*table: {
				{PutRequest: &types.PutRequest{Item: patient("a")}}, {DeleteRequest: &types.DeleteRequest{Key: keyOf("b")}}}}}
			_, err := c.BatchWriteItem(ctx, in)
			return in, err
		},
		func(ctx context.Context, c *Client) (any, error) {
			in := &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{Get: &types.Get{TableName: table, Key: keyOf("a")}}}}
			_, err := c.TransactGetItems(ctx, in)
			return in, err
		},
		func(ctx context.Context, c *Client) (any, error) {
			in := &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{TableName: table, Item: patient("a")}}, {Delete: &types.Delete{TableName: table, Key: keyOf("b")}},
				{Update: &types.Update{TableName: table, Key: keyOf("c"), UpdateExpression: aws.String("REMOVE hits"), ConditionExpression: e}},
				{ConditionCheck: &types.ConditionCheck{TableName: table, Key: keyOf("d"), ConditionExpression: e}}}}
			_, err := c.TransactWriteItems(ctx, in)
			return in, err
		},
	}
}

// Whatever is done with a request, the caller's input stays as it is, and what is sent has no
// plaintext.
func TestClientInputsUnchanged(t *testing.T) {
	for name, arn := range map[string]bool{"patients": false, "arn:aws:dynamodb:us-east-1:1:table/patients": true} {
		did, again := everyOperation(&name), everyOperation(&name)
		for i := range did {
			t.Run(fmt.Sprint(i, arn), func(t *testing.T) {
				var f, other fake
				c, _ := patientClient(t, &f)
				in, err := did[i](t.Context(), c)
				require.NoError(t, err)
				require.Len(t, f.sent, 1)
				assert.NotSame(t, in, f.sent[0])
				// A client that passes it on changes nothing.
				same, err := again[i](t.Context(), newClient(t, &other, ClientConfig{Tables: map[string]*Table{"other": patientTable(t)}, Unencrypted: []string{name}}))
				require.NoError(t, err)
				assert.Equal(t, same, in)
				for _, it := range itemsIn(f.sent[0]) {
					assert.IsType(t, &types.AttributeValueMemberB{}, it["ssn"])
					assert.Contains(t, it, "aws_dbe_head")
				}
			})
		}
	}
}

// itemsIn returns the items in what was sent.
func itemsIn(in any) (all []item) {
	switch in := in.(type) {
	case *dynamodb.PutItemInput:
		return []item{in.Item}
	case *dynamodb.BatchWriteItemInput:
		for _, writes := range in.RequestItems {
			for _, w := range writes {
				if w.PutRequest != nil {
					all = append(all, w.PutRequest.Item)
				}
			}
		}
	case *dynamodb.TransactWriteItemsInput:
		for _, w := range in.TransactItems {
			if w.Put != nil {
				all = append(all, w.Put.Item)
			}
		}
	}
	return all
}

// Requests for a table in the clear are sent as they are, and so is what comes back.
func TestClientUnencryptedTables(t *testing.T) {
	for i, do := range everyOperation(logsName) {
		var f fake
		c, _ := patientClient(t, &f)
		in, err := do(t.Context(), c)
		require.NoError(t, err, "%d", i)
		assert.Equal(t, []any{in}, f.sent)
	}
	items := []map[string]types.AttributeValue{{"anything": str("x")}}
	f := &fake{answer: func(in any) (any, error) {
		switch in.(type) {
		case *dynamodb.GetItemInput:
			return &dynamodb.GetItemOutput{Item: items[0]}, nil
		case *dynamodb.PutItemInput:
			return &dynamodb.PutItemOutput{Attributes: items[0]}, nil
		case *dynamodb.ScanInput:
			return &dynamodb.ScanOutput{Items: items}, nil
		case *dynamodb.BatchGetItemInput:
			return &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]types.AttributeValue{"logs": items}}, nil
		case *dynamodb.TransactGetItemsInput:
			return &dynamodb.TransactGetItemsOutput{Responses: []types.ItemResponse{{Item: items[0]}}}, nil
		case *dynamodb.BatchWriteItemInput:
			return &dynamodb.BatchWriteItemOutput{UnprocessedItems: map[string][]types.WriteRequest{"logs": {{PutRequest: &types.PutRequest{Item: items[0]}}}}}, nil
		}
		return nil, &types.ConditionalCheckFailedException{Item: items[0]}
	}}
	c, _ := patientClient(t, f)
	ctx := t.Context()
	get, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: logsName})
	require.NoError(t, err)
	assert.Equal(t, items[0], get.Item)
	put, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: logsName})
	require.NoError(t, err)
	assert.Equal(t, items[0], put.Attributes)
	scan, err := c.Scan(ctx, &dynamodb.ScanInput{TableName: logsName})
	require.NoError(t, err)
	assert.Equal(t, items, scan.Items)
	batch, err := c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{"logs": {}}})
	require.NoError(t, err)
	assert.Equal(t, items, batch.Responses["logs"])
	many, err := c.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{Get: &types.Get{TableName: logsName}}}})
	require.NoError(t, err)
	assert.Equal(t, items[0], many.Responses[0].Item)
	written, err := c.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"logs": nil}})
	require.NoError(t, err)
	assert.Equal(t, items[0], written.UnprocessedItems["logs"][0].PutRequest.Item)
	_, err = c.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: logsName})
	var failed *types.ConditionalCheckFailedException
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, items[0], failed.Item)
}

// An index is asked for whole items, however it was asked.
func TestClientIndexes(t *testing.T) {
	all := aws.String("id, visit, ssn, notes, status, aws_dbe_head, aws_dbe_foot")
	for name, c := range map[string]struct {
		index, projection *string
		toGet             []string
		selected, want    types.Select
	}{
		"table":                   {nil, nil, nil, "", ""},
		"table, count":            {nil, nil, nil, types.SelectCount, types.SelectCount},
		"index":                   {aws.String("i"), nil, nil, "", types.SelectAllAttributes},
		"index, projected":        {aws.String("i"), nil, nil, types.SelectAllProjectedAttributes, types.SelectAllAttributes},
		"index, count":            {aws.String("i"), nil, nil, types.SelectCount, types.SelectCount},
		"index, all, named":       {aws.String("i"), all, nil, "", ""},
		"index, all, named twice": {aws.String("i"), all, nil, types.SelectSpecificAttributes, types.SelectSpecificAttributes},
		"index, all, listed": {aws.String("i"), nil, []string{"id", "visit", "ssn", "notes", "status", "aws_dbe_head", "aws_dbe_foot"},
			"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var f fake
			client, _ := patientClient(t, &f)
			_, err := client.Query(t.Context(), &dynamodb.QueryInput{TableName: patientsName, IndexName: c.index, Select: c.selected, ProjectionExpression: c.projection, AttributesToGet: c.toGet})
			require.NoError(t, err)
			_, err = client.Scan(t.Context(), &dynamodb.ScanInput{TableName: patientsName, IndexName: c.index, Select: c.selected, ProjectionExpression: c.projection, AttributesToGet: c.toGet})
			require.NoError(t, err)
			assert.Equal(t, c.want, f.sent[0].(*dynamodb.QueryInput).Select)
			assert.Equal(t, c.want, f.sent[1].(*dynamodb.ScanInput).Select)
		})
	}
}

// Names that are no attribute of the table's are fine where nothing of them is encrypted.
func TestClientAllows(t *testing.T) {
	var f fake
	c, _ := patientClient(t, &f)
	for _, e := range []string{
		"attribute_not_exists(id)", "#st = :ssn AND hits > :v", "attribute_exists(aws_dbe_head)", "aws_dbe_b_ssn = :v", "#c BETWEEN :a AND :b",
	} {
		_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: patientsName, Item: patient("a"), ConditionExpression: &e,
			ExpressionAttributeNames: map[string]string{"#st": "status", "#c": ":colon", "#unused": "ssn"}})
		require.NoError(t, err, e)
	}
	for _, e := range []string{
		"id, visit, status, ssn, notes, aws_dbe_head, aws_dbe_foot", "aws_dbe_foot, aws_dbe_head, notes, notes[0], ssn, status, visit, id, hits",
	} {
		_, err := c.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: patientsName, Key: keyOf("a"), ProjectionExpression: &e})
		require.NoError(t, err, e)
	}
}

// An update is on condition that the item is there.
func TestClientUpdates(t *testing.T) {
	s := aws.String
	for name, c := range map[string]struct {
		in, want dynamodb.UpdateItemInput
	}{
		"nothing": {
			dynamodb.UpdateItemInput{},
			dynamodb.UpdateItemInput{ConditionExpression: s("attribute_exists(#aws_dbe_key)"), ExpressionAttributeNames: map[string]string{"#aws_dbe_key": "id"}},
		},
		"expressions": {
			dynamodb.UpdateItemInput{UpdateExpression: s("ADD hits :v"), ConditionExpression: s("#st = :v OR hits < :w"), ExpressionAttributeNames: map[string]string{"#st": "status"}},
			dynamodb.UpdateItemInput{UpdateExpression: s("ADD hits :v"), ConditionExpression: s("attribute_exists(#aws_dbe_key) AND (#st = :v OR hits < :w)"),
				ExpressionAttributeNames: map[string]string{"#st": "status", "#aws_dbe_key": "id"}},
		},
		"old, without conditions": {
			dynamodb.UpdateItemInput{AttributeUpdates: map[string]types.AttributeValueUpdate{"hits": {}}},
			dynamodb.UpdateItemInput{AttributeUpdates: map[string]types.AttributeValueUpdate{"hits": {}},
				Expected: map[string]types.ExpectedAttributeValue{"id": {ComparisonOperator: types.ComparisonOperatorNotNull}}},
		},
		"old conditions alone": {
			dynamodb.UpdateItemInput{Expected: map[string]types.ExpectedAttributeValue{"status": {}}},
			dynamodb.UpdateItemInput{Expected: map[string]types.ExpectedAttributeValue{"status": {}, "id": {ComparisonOperator: types.ComparisonOperatorNotNull}}},
		},
		"old": {
			dynamodb.UpdateItemInput{AttributeUpdates: map[string]types.AttributeValueUpdate{"hits": {}}, Expected: map[string]types.ExpectedAttributeValue{"status": {}}},
			dynamodb.UpdateItemInput{AttributeUpdates: map[string]types.AttributeValueUpdate{"hits": {}},
				Expected: map[string]types.ExpectedAttributeValue{"status": {}, "id": {ComparisonOperator: types.ComparisonOperatorNotNull}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var f fake
			client, _ := patientClient(t, &f)
			c.in.TableName, c.in.Key = patientsName, keyOf("a")
			c.want.TableName, c.want.Key = patientsName, keyOf("a")
			_, err := client.UpdateItem(t.Context(), &c.in)
			require.NoError(t, err)
			assert.Equal(t, &c.want, f.sent[0])
			// Nor does it while items in the clear are read.
			reads, _ := patientClient(t, &f, func(c *Config) { c.Plaintext = AllowPlaintextRead })
			_, err = reads.UpdateItem(t.Context(), &c.in)
			require.NoError(t, err)
			assert.Equal(t, &c.want, f.sent[1])
			if c.in.AttributeUpdates == nil && c.in.Expected == nil {
				in := &types.Update{TableName: c.in.TableName, Key: c.in.Key, UpdateExpression: c.in.UpdateExpression,
					ConditionExpression: c.in.ConditionExpression, ExpressionAttributeNames: c.in.ExpressionAttributeNames}
				require.NoError(t, transact(t.Context(), client, types.TransactWriteItem{Update: in}))
				sent := f.sent[2].(*dynamodb.TransactWriteItemsInput).TransactItems[1].Update
				assert.Equal(t, c.want.ConditionExpression, sent.ConditionExpression)
				assert.Equal(t, c.want.ExpressionAttributeNames, sent.ExpressionAttributeNames)
			}

			// While items are written in the clear, an update may make one.
			client, _ = patientClient(t, &f, func(c *Config) { c.Plaintext = ForcePlaintextWrite })
			_, err = client.UpdateItem(t.Context(), &c.in)
			require.NoError(t, err)
			assert.Equal(t, &c.in, f.sent[len(f.sent)-1])
		})
	}
}

// What writes return is decrypted. If it cannot be, the write was done all the same.
func TestClientReturnValues(t *testing.T) {
	ctx := t.Context()
	var returned item
	f := &fake{answer: func(in any) (any, error) {
		switch in.(type) {
		case *dynamodb.PutItemInput:
			return &dynamodb.PutItemOutput{Attributes: returned}, nil
		case *dynamodb.DeleteItemInput:
			return &dynamodb.DeleteItemOutput{Attributes: returned}, nil
		}
		return &dynamodb.UpdateItemOutput{Attributes: returned}, nil
	}}
	c, table := patientClient(t, f)
	operations := map[string]func() (item, error){
		"PutItem": func() (item, error) {
			out, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: patientsName, Item: patient("a"), ReturnValues: types.ReturnValueAllOld})
			return out.Attributes, err
		},
		"DeleteItem": func() (item, error) {
			out, err := c.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: patientsName, Key: keyOf("a"), ReturnValues: types.ReturnValueAllOld})
			return out.Attributes, err
		},
	}
	update := func(values types.ReturnValue) (item, error) {
		out, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("a"), UpdateExpression: aws.String("SET hits = :v"), ReturnValues: values})
		return out.Attributes, err
	}
	for _, values := range []types.ReturnValue{types.ReturnValueAllOld, types.ReturnValueAllNew} {
		operations["UpdateItem "+string(values)] = func() (item, error) { return update(values) }
	}
	for name, do := range operations {
		t.Run(name, func(t *testing.T) {
			returned = encrypt(t, table, patient("a"))
			got, err := do()
			require.NoError(t, err)
			assert.Equal(t, patient("a"), got)
			assert.Contains(t, returned, "aws_dbe_head", "what DynamoDB returned is not changed")

			returned = nil
			got, err = do()
			require.NoError(t, err)
			assert.Empty(t, got)

			for _, bad := range []item{altered(t, table, patient("a")), patient("a")} {
				returned = bad
				got, err = do()
				require.ErrorContains(t, err, "was done, but the item that it returned cannot be decrypted")
				assert.Empty(t, got)
				assert.NotContains(t, err.Error(), "secret")
			}
		})
	}
	for _, values := range []types.ReturnValue{types.ReturnValueUpdatedOld, types.ReturnValueUpdatedNew, ""} {
		returned = item{"hits": num("2")}
		got, err := update(values)
		require.NoError(t, err)
		assert.Equal(t, returned, got)
		returned = item{"hits": num("2"), "ssn": bin("ciphertext")}
		got, err = update(values)
		require.ErrorIs(t, err, envelope.ErrMalformed)
		assert.Empty(t, got)
	}
}

// pageOf returns what DynamoDB has for the patients a, b and c, of which b was altered.
func pageOf(t testing.TB, table *Table) []map[string]types.AttributeValue {
	return []map[string]types.AttributeValue{encrypt(t, table, patient("a")), altered(t, table, patient("b")), encrypt(t, table, patient("c"))}
}

// One bad item is reported by its index, and loses none of the others.
func TestClientItemErrors(t *testing.T) {
	ctx := t.Context()
	f := &fake{}
	c, table := patientClient(t, f)
	page := pageOf(t, table)
	responses := []types.ItemResponse{{Item: page[0]}, {Item: page[1]}, {Item: page[2]}, {}, {Item: item{"x": str("y")}}}
	f.answer = func(in any) (any, error) {
		switch in.(type) {
		case *dynamodb.QueryInput:
			return &dynamodb.QueryOutput{Items: page, Count: 3, LastEvaluatedKey: keyOf("c")}, nil
		case *dynamodb.ScanInput:
			return &dynamodb.ScanOutput{Items: page, Count: 3, LastEvaluatedKey: keyOf("c")}, nil
		case *dynamodb.BatchGetItemInput:
			return &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]types.AttributeValue{"patients": page, "logs": {{"x": str("y")}}},
				UnprocessedKeys: map[string]types.KeysAndAttributes{"patients": {Keys: []map[string]types.AttributeValue{keyOf("d")}}}}, nil
		}
		return &dynamodb.TransactGetItemsOutput{Responses: responses}, nil
	}
	for name, do := range map[string]func() ([]map[string]types.AttributeValue, error){
		"Query": func() ([]map[string]types.AttributeValue, error) {
			out, err := c.Query(ctx, &dynamodb.QueryInput{TableName: patientsName})
			assert.Equal(t, keyOf("c"), out.LastEvaluatedKey)
			return out.Items, err
		},
		"Scan": func() ([]map[string]types.AttributeValue, error) {
			out, err := c.Scan(ctx, &dynamodb.ScanInput{TableName: patientsName})
			assert.Equal(t, keyOf("c"), out.LastEvaluatedKey)
			return out.Items, err
		},
		"BatchGetItem": func() ([]map[string]types.AttributeValue, error) {
			out, err := c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
				"patients": {Keys: []map[string]types.AttributeValue{keyOf("a"), keyOf("b"), keyOf("c"), keyOf("d")}}, "logs": {}}})
			assert.Equal(t, []map[string]types.AttributeValue{{"x": str("y")}}, out.Responses["logs"])
			assert.Equal(t, []map[string]types.AttributeValue{keyOf("d")}, out.UnprocessedKeys["patients"].Keys)
			return out.Responses["patients"], err
		},
		"TransactGetItems": func() ([]map[string]types.AttributeValue, error) {
			in := &dynamodb.TransactGetItemsInput{}
			for i, table := range []*string{patientsName, patientsName, patientsName, patientsName, logsName} {
				in.TransactItems = append(in.TransactItems, types.TransactGetItem{Get: &types.Get{TableName: table, Key: keyOf(string("abcde"[i]))}})
			}
			out, err := c.TransactGetItems(ctx, in)
			require.Len(t, out.Responses, 5)
			assert.Empty(t, out.Responses[3].Item)
			assert.Equal(t, item{"x": str("y")}, out.Responses[4].Item)
			return []map[string]types.AttributeValue{out.Responses[0].Item, out.Responses[1].Item, out.Responses[2].Item}, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			items, err := do()
			assert.Equal(t, []map[string]types.AttributeValue{patient("a"), nil, patient("c")}, items)
			var all ItemErrors
			require.ErrorAs(t, err, &all)
			require.Len(t, all, 1)
			assert.Equal(t, "patients", all[0].Table)
			assert.Equal(t, 1, all[0].Index)
			assert.Equal(t, []string{"id", "visit"}, all[0].Key)
			require.ErrorIs(t, err, envelope.ErrAuthentication)
			assert.ErrorContains(t, err, `table "patients" (key id, visit): item 1: dynamoitem: decrypt`)
			assert.NotContains(t, err.Error(), "secret")
			assert.Contains(t, page[0], "aws_dbe_head", "what DynamoDB returned is not changed")
			assert.Contains(t, responses[0].Item, "aws_dbe_head")
		})
	}
	many := ItemErrors{all("a", 1), all("a", 2), all("b", 0), all("b", 7)}
	assert.Equal(t, `table "a" (key k): item 1: bad; table "a" (key k): item 2: bad; table "b" (key k): item 0: bad; and 1 more`, many.Error())
}

func all(table string, index int) *ItemError {
	return &ItemError{table, index, []string{"k"}, errors.New("bad")}
}

// An item that cannot be read is an error, and nothing of it is returned.
func TestClientGetItem(t *testing.T) {
	f := &fake{}
	c, table := patientClient(t, f)
	var stored item
	f.answer = func(any) (any, error) { return &dynamodb.GetItemOutput{Item: stored}, nil }
	get := func() (*dynamodb.GetItemOutput, error) {
		return c.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: patientsName, Key: keyOf("a")})
	}
	out, err := get()
	require.NoError(t, err)
	assert.Empty(t, out.Item)
	stored = encrypt(t, table, patient("a"))
	out, err = get()
	require.NoError(t, err)
	assert.Equal(t, patient("a"), out.Item)
	for _, bad := range []item{altered(t, table, patient("a")), patient("a"), keyOf("a"), {"x": str("secret")}} {
		stored = bad
		out, err = get()
		require.Error(t, err)
		assert.Nil(t, out)
		assert.NotContains(t, err.Error(), "secret")
	}
}

// An item that was encrypted as it is, and was not asked for, is refused wherever the key was
// given. Numbers are compared as numbers.
func TestClientOtherItem(t *testing.T) {
	ctx := t.Context()
	f := &fake{}
	c, table := patientClient(t, f)
	s := aws.String
	for name, sends := range map[string]struct {
		answer func(stored item) (any, error)
		do     func(key item) (item, error)
	}{
		"GetItem": {
			func(stored item) (any, error) { return &dynamodb.GetItemOutput{Item: stored}, nil },
			func(key item) (item, error) {
				out, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: patientsName, Key: key})
				if err != nil {
					return nil, err
				}
				return out.Item, nil
			},
		},
		"PutItem": {
			func(stored item) (any, error) { return &dynamodb.PutItemOutput{Attributes: stored}, nil },
			func(key item) (item, error) {
				out, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: patientsName, Item: key})
				return out.Attributes, err
			},
		},
		"DeleteItem": {
			func(stored item) (any, error) { return &dynamodb.DeleteItemOutput{Attributes: stored}, nil },
			func(key item) (item, error) {
				out, err := c.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: patientsName, Key: key})
				return out.Attributes, err
			},
		},
		"UpdateItem": {
			func(stored item) (any, error) { return &dynamodb.UpdateItemOutput{Attributes: stored}, nil },
			func(key item) (item, error) {
				out, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: patientsName, Key: key, ReturnValues: types.ReturnValueAllNew})
				return out.Attributes, err
			},
		},
		"a condition": {
			func(stored item) (any, error) { return nil, &types.ConditionalCheckFailedException{Item: stored} },
			func(key item) (item, error) {
				_, err := c.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: patientsName, Key: key, ConditionExpression: s("attribute_exists(id)")})
				var failed *types.ConditionalCheckFailedException
				require.ErrorAs(t, err, &failed)
				if failed.Item != nil {
					err = nil
				}
				return failed.Item, err
			},
		},
		"BatchGetItem": {
			func(stored item) (any, error) {
				return &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]types.AttributeValue{"patients": {stored}}}, nil
			},
			func(key item) (item, error) {
				out, err := c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
					"arn:aws:dynamodb:us-east-1:1:table/patients": {Keys: []map[string]types.AttributeValue{key, keyOf("x")}},
					"patients": {Keys: []map[string]types.AttributeValue{keyOf("y")}}}})
				return out.Responses["patients"][0], err
			},
		},
		"TransactGetItems": {
			func(stored item) (any, error) {
				return &dynamodb.TransactGetItemsOutput{Responses: []types.ItemResponse{{Item: stored}}}, nil
			},
			func(key item) (item, error) {
				out, err := c.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{Get: &types.Get{TableName: patientsName, Key: key}}}})
				return out.Responses[0].Item, err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			stored := encrypt(t, table, patient("a"))
			f.answer = func(any) (any, error) { return sends.answer(stored) }
			got, err := sends.do(item{"id": str("a"), "visit": num("1.00")})
			require.NoError(t, err)
			assert.Equal(t, patient("a"), got)
			for _, other := range []item{keyOf("b"), {"id": str("a"), "visit": num("2")}, {"id": bin("a"), "visit": num("1")}} {
				got, err = sends.do(other)
				require.ErrorIs(t, err, envelope.ErrContextMismatch)
				assert.ErrorContains(t, err, "the item's key is not the one that was asked for")
				assert.Empty(t, got)
			}
		})
	}
	// A request without a key that can be one is answered by no item.
	f.answer = func(any) (any, error) { return &dynamodb.GetItemOutput{Item: encrypt(t, table, patient("a"))}, nil }
	for _, key := range []item{nil, {"id": str("a")}, {"id": str("a"), "visit": num("x")}, {"id": str("a"), "visit": nil}} {
		_, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: patientsName, Key: key})
		require.ErrorIs(t, err, envelope.ErrContextMismatch)
	}
	// Where one part of a key ends and the next begins is part of it.
	c, table = patientClient(t, f)
	f.answer = func(any) (any, error) {
		return &dynamodb.GetItemOutput{Item: encrypt(t, table, item{"id": str("a\x00\x00\x00\x00\x00\x01b"), "visit": str("c")})}, nil
	}
	_, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: patientsName, Key: item{"id": str("a"), "visit": str("b\x00\x00\x00\x00\x00\x01c")}})
	require.ErrorIs(t, err, envelope.ErrContextMismatch)

	// A table that was not asked for is no other.
	f.answer = func(any) (any, error) {
		return &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]types.AttributeValue{"patients": {encrypt(t, table, patient("a"))}}}, nil
	}
	_, err = c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{})
	require.ErrorIs(t, err, envelope.ErrMalformed)
	require.NotErrorIs(t, err, keyring.ErrInvalidArgument) // nothing was refused before it was sent
}

// Requests that were not processed come back in the clear: sending them until there are none
// writes each item once.
func TestClientUnprocessedItems(t *testing.T) {
	f := &fake{}
	c, table := patientClient(t, f)
	stored := map[string]item{}
	f.answer = func(in any) (any, error) {
		// DynamoDB takes the first of each table's, and returns the others as they were sent.
		out := &dynamodb.BatchWriteItemOutput{UnprocessedItems: map[string][]types.WriteRequest{}}
		for name, writes := range in.(*dynamodb.BatchWriteItemInput).RequestItems {
			if put := writes[0].PutRequest; put != nil && name == "patients" {
				stored[put.Item["id"].(*types.AttributeValueMemberS).Value] = put.Item
			}
			for _, w := range writes[1:] {
				if w.PutRequest != nil {
					it := maps.Clone(w.PutRequest.Item)
					if _, ok := it["visit"]; ok {
						it["visit"] = num("1.0") // whatever it makes of numbers
					}
					w.PutRequest = &types.PutRequest{Item: it}
				}
				out.UnprocessedItems[name] = append(out.UnprocessedItems[name], w)
			}
		}
		return out, nil
	}
	requests := map[string][]types.WriteRequest{
		"patients": {
			{PutRequest: &types.PutRequest{Item: patient("a")}}, {DeleteRequest: &types.DeleteRequest{Key: keyOf("x")}},
			{PutRequest: &types.PutRequest{Item: patient("b")}}, {PutRequest: &types.PutRequest{Item: patient("c")}},
		},
		"logs": {{PutRequest: &types.PutRequest{Item: item{"x": str("1")}}}, {PutRequest: &types.PutRequest{Item: item{"x": str("2")}}}},
	}
	first := requests
	for calls := 0; len(requests) > 0; calls++ {
		require.Less(t, calls, 4)
		out, err := c.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: requests})
		require.NoError(t, err)
		if calls == 0 {
			assert.Equal(t, first["patients"][1:], out.UnprocessedItems["patients"])
			assert.Equal(t, first["logs"][1:], out.UnprocessedItems["logs"])
		}
		requests = out.UnprocessedItems
	}
	require.Len(t, stored, 3)
	for id, it := range stored {
		opened, err := table.Decrypt(t.Context(), it)
		require.NoError(t, err)
		assert.Equal(t, patient(id), opened)
	}

	// What was not sent is not handed on, and loses no other.
	foreign := encrypt(t, table, patient("z"))
	f.answer = func(in any) (any, error) {
		sent := in.(*dynamodb.BatchWriteItemInput).RequestItems["patients"]
		return &dynamodb.BatchWriteItemOutput{UnprocessedItems: map[string][]types.WriteRequest{
			"patients": {{PutRequest: &types.PutRequest{Item: foreign}}, sent[0], {PutRequest: &types.PutRequest{Item: patient("y")}}}}}, nil
	}
	out, err := c.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"patients": first["patients"][:1]}})
	var all ItemErrors
	require.ErrorAs(t, err, &all)
	require.Len(t, all, 2)
	assert.Equal(t, []int{0, 2}, []int{all[0].Index, all[1].Index})
	assert.Equal(t, first["patients"][:1], out.UnprocessedItems["patients"])

	// Where there is nothing to send again, no table is named.
	f.answer = func(any) (any, error) {
		return &dynamodb.BatchWriteItemOutput{UnprocessedItems: map[string][]types.WriteRequest{"patients": {{PutRequest: &types.PutRequest{Item: foreign}}}}}, nil
	}
	out, err = c.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{})
	require.ErrorIs(t, err, envelope.ErrMalformed)
	assert.Empty(t, out.UnprocessedItems)

	// While items are written in the clear, they come back as they were sent.
	c, _ = patientClient(t, f, func(c *Config) { c.Plaintext = ForcePlaintextWrite })
	f.answer = func(in any) (any, error) {
		return &dynamodb.BatchWriteItemOutput{UnprocessedItems: in.(*dynamodb.BatchWriteItemInput).RequestItems}, nil
	}
	out, err = c.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: first})
	require.NoError(t, err)
	assert.Equal(t, first, out.UnprocessedItems)
}

// DynamoDB's errors are found, with items in the clear or none.
func TestClientConditionFailed(t *testing.T) {
	ctx := t.Context()
	f := &fake{}
	c, table := patientClient(t, f)
	wrapped := func(err error) error {
		return &smithy.OperationError{ServiceID: "DynamoDB", OperationName: "x", Err: err}
	}
	for name, do := range map[string]func() error{
		"PutItem": func() error {
			_, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: patientsName, Item: patient("a")})
			return err
		},
		"DeleteItem": func() error {
			_, err := c.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: patientsName, Key: keyOf("a")})
			return err
		},
		"UpdateItem": func() error {
			_, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("a")})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			for what, it := range map[string]item{"good": encrypt(t, table, patient("a")), "none": nil, "altered": altered(t, table, patient("a")), "clear": patient("a")} {
				failed := wrapped(&types.ConditionalCheckFailedException{Message: aws.String("failed"), Item: it})
				f.answer = func(any) (any, error) { return nil, failed }
				err := do()
				var found *types.ConditionalCheckFailedException
				require.ErrorAs(t, err, &found)
				switch what {
				case "good":
					assert.Same(t, failed, err)
					assert.Equal(t, patient("a"), found.Item)
				case "none":
					assert.Same(t, failed, err)
					assert.Nil(t, found.Item)
				default:
					assert.ErrorContains(t, err, "the item that it returned cannot be decrypted")
					assert.Nil(t, found.Item)
					assert.NotContains(t, err.Error(), "secret")
				}
				var api smithy.APIError
				require.ErrorAs(t, err, &api)
				assert.Equal(t, "ConditionalCheckFailedException", api.ErrorCode())
			}
		})
	}

	t.Run("TransactWriteItems", func(t *testing.T) {
		none := aws.String("None")
		f.answer = func(any) (any, error) {
			return nil, wrapped(&types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{
				{Code: none}, {Item: encrypt(t, table, patient("a"))}, {Item: item{"x": str("y")}}, {Item: altered(t, table, patient("a"))}, {Item: encrypt(t, table, patient("a"))},
			}})
		}
		_, err := c.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: patientsName, Item: patient("a")}},
			{Delete: &types.Delete{TableName: patientsName, Key: keyOf("a")}},
			{Delete: &types.Delete{TableName: logsName, Key: item{"x": str("y")}}},
			{ConditionCheck: &types.ConditionCheck{TableName: patientsName, Key: keyOf("a"), ConditionExpression: aws.String("attribute_exists(id)")}},
		}})
		var found *types.TransactionCanceledException
		require.ErrorAs(t, err, &found)
		assert.Equal(t, []types.CancellationReason{{Code: none}, {Item: patient("a")}, {Item: item{"x": str("y")}}, {}, {}}, found.CancellationReasons)
		require.ErrorIs(t, err, envelope.ErrAuthentication)
	})

	t.Run("others", func(t *testing.T) {
		for _, failed := range []error{&types.ProvisionedThroughputExceededException{}, &types.ResourceNotFoundException{}, errors.New("no network"), context.Canceled} {
			f.answer = func(any) (any, error) { return nil, failed }
			for _, do := range everyOperation(patientsName) {
				_, err := do(ctx, c)
				assert.Equal(t, failed, err)
			}
		}
	})
}

// A heldManager holds its calls until they are let go.
type heldManager struct {
	keyring.MaterialsManager
	now    atomic.Int64
	gate   chan struct{}
	panics bool
}

func (m *heldManager) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	m.now.Add(1)
	defer m.now.Add(-1)
	<-m.gate
	if m.panics {
		panic("the manager panicked")
	}
	return m.MaterialsManager.DecryptionMaterials(ctx, req)
}

// As many items as Concurrency says are worked on at once, and no more.
func TestClientConcurrency(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		const concurrency = 5
		m := &heldManager{MaterialsManager: manager(t, rawAES(t, "test", "key", make([]byte, 32))), gate: make(chan struct{})}
		table := newTable(t, m, patients())
		f := &fake{}
		var page, want []map[string]types.AttributeValue
		for i := range 40 {
			page = append(page, encrypt(t, table, patient(fmt.Sprint(i))))
			want = append(want, patient(fmt.Sprint(i)))
		}
		f.answer = func(any) (any, error) { return &dynamodb.ScanOutput{Items: page}, nil }
		c := newClient(t, f, ClientConfig{Tables: map[string]*Table{"patients": table}, Concurrency: concurrency})
		scan := func() (*dynamodb.ScanOutput, error) {
			return c.Scan(t.Context(), &dynamodb.ScanInput{TableName: patientsName})
		}
		go func() {
			for i := range page {
				synctest.Wait()
				assert.EqualValues(t, min(concurrency, len(page)-i), m.now.Load())
				m.gate <- struct{}{}
			}
		}()
		out, err := scan()
		require.NoError(t, err)
		assert.Equal(t, want, out.Items)

		// A panic of the manager's is the caller's.
		m.panics = true
		close(m.gate)
		assert.PanicsWithValue(t, "the manager panicked", func() { _, _ = scan() })

		// A context that is done ends it.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Scan(ctx, &dynamodb.ScanInput{TableName: patientsName})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestNewClient(t *testing.T) {
	table := patientTable(t)
	tables := map[string]*Table{"patients": table}
	for says, make := range map[string]func() (*Client, error){
		"the API is nil":                                  func() (*Client, error) { return NewClient(nil, ClientConfig{Tables: tables}) },
		"ClientConfig.Tables is empty":                    func() (*Client, error) { return NewClient(&fake{}, ClientConfig{}) },
		`ClientConfig.Tables[""]: the name is empty`:      func() (*Client, error) { return NewClient(&fake{}, ClientConfig{Tables: map[string]*Table{"": table}}) },
		`ClientConfig.Tables["x"]: the name is empty, or`: func() (*Client, error) { return NewClient(&fake{}, ClientConfig{Tables: map[string]*Table{"x": nil}}) },
		"ClientConfig.Concurrency -1":                     func() (*Client, error) { return NewClient(&fake{}, ClientConfig{Tables: tables, Concurrency: -1}) },
		"ClientConfig.Unencrypted[1]": func() (*Client, error) {
			return NewClient(&fake{}, ClientConfig{Tables: tables, Unencrypted: []string{"x", "patients"}})
		},
		"ClientConfig.Unencrypted[0]": func() (*Client, error) {
			return NewClient(&fake{}, ClientConfig{Tables: tables, Unencrypted: []string{""}})
		},
	} {
		_, err := make()
		require.ErrorContains(t, err, says)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	}

	// The config is copied.
	config := ClientConfig{Tables: tables, Unencrypted: []string{"logs"}}
	c, err := NewClient(&fake{}, config)
	require.NoError(t, err)
	delete(tables, "patients")
	config.Unencrypted[0] = "other"
	_, err = c.Scan(t.Context(), &dynamodb.ScanInput{TableName: patientsName})
	require.NoError(t, err)
	_, err = c.Scan(t.Context(), &dynamodb.ScanInput{TableName: logsName})
	require.NoError(t, err)
}

// The SDK's paginators take a client.
func TestClientPaginators(t *testing.T) {
	f := &fake{}
	c, table := patientClient(t, f)
	f.answer = func(in any) (any, error) {
		switch in := in.(type) {
		case *dynamodb.QueryInput:
			if in.ExclusiveStartKey == nil {
				return &dynamodb.QueryOutput{Items: []map[string]types.AttributeValue{encrypt(t, table, patient("a"))}, LastEvaluatedKey: keyOf("a")}, nil
			}
			return &dynamodb.QueryOutput{Items: []map[string]types.AttributeValue{encrypt(t, table, patient("b"))}}, nil
		}
		return &dynamodb.ScanOutput{}, nil
	}
	var got []map[string]types.AttributeValue
	for p := dynamodb.NewQueryPaginator(c, &dynamodb.QueryInput{TableName: patientsName}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		require.NoError(t, err)
		got = append(got, page.Items...)
	}
	assert.Equal(t, []map[string]types.AttributeValue{patient("a"), patient("b")}, got)
	page, err := dynamodb.NewScanPaginator(c, &dynamodb.ScanInput{TableName: patientsName}).NextPage(t.Context())
	require.NoError(t, err)
	assert.Empty(t, page.Items)
}

// A prefix that encryption's own names begin with makes none of them unsigned.
func TestClientShortPrefix(t *testing.T) {
	for _, prefix := range []string{"a", "aws_dbe"} {
		f := &fake{}
		c, table := patientClient(t, f, func(c *Config) { c.UnsignedPrefix = prefix; delete(c.Actions, ":seen") })
		for _, name := range []string{"aws_dbe_head", "aws_dbe_foot", "aws_dbe_b_ssn"} {
			_, err := c.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("a"), UpdateExpression: aws.String("SET " + name + " = :v")})
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, name, e.Attribute)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
		}
		assert.Empty(t, f.sent)

		it := patient("a")
		it["aws_dbe"] = str("x") // not reserved
		opened, err := table.Decrypt(t.Context(), encrypt(t, table, it))
		require.NoError(t, err)
		assert.Equal(t, it, opened)
	}
}

// A page does not start at a value in the clear of an attribute that is encrypted.
func TestClientStartKey(t *testing.T) {
	f := &fake{}
	c, _ := patientClient(t, f)
	for _, do := range []func(*Client, item) error{
		func(c *Client, start item) error {
			_, err := c.Query(t.Context(), &dynamodb.QueryInput{TableName: patientsName, KeyConditionExpression: aws.String("id = :v"), ExclusiveStartKey: start})
			return err
		},
		func(c *Client, start item) error {
			_, err := c.Scan(t.Context(), &dynamodb.ScanInput{TableName: patientsName, ExclusiveStartKey: start})
			return err
		},
	} {
		for _, v := range []types.AttributeValue{str("secret"), bin("secret"), bin("12345678901234567"), (*types.AttributeValueMemberB)(nil), nil} {
			f.sent = nil
			err := do(c, item{"id": str("a"), "visit": num("1"), "ssn": v})
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, "ssn", e.Attribute)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			require.NotContains(t, err.Error(), "secret")
			assert.Empty(t, f.sent)
		}
		// What DynamoDB returns for an index, even for one of ciphertext, goes back.
		for name, v := range (item{"ssn": bin("123456789012345678"), "status": str("in"), "aws_dbe_b_ssn": str("0a"), "hits": num("1")}) {
			start := item{"id": str("a"), "visit": num("1"), name: v}
			require.NoError(t, do(c, start))
		}
		plain, _ := patientClient(t, f, func(c *Config) { c.Plaintext = AllowPlaintextRead })
		require.NoError(t, do(plain, item{"id": str("a"), "visit": num("1"), "ssn": str("in the clear there too")}))
	}
}

// One logical name is of one table, and one table is not both encrypted and in the clear.
func TestNewClientNames(t *testing.T) {
	const arn, replica = "arn:aws:dynamodb:us-east-1:1:table/patients", "arn:aws:dynamodb:eu-west-1:1:table/patients"
	table, same := patientTable(t), patientTable(t)
	other := patientTable(t, func(c *Config) { c.Table = "others" })
	for _, c := range []struct {
		tables map[string]*Table
		clear  []string
		says   string
	}{
		{map[string]*Table{"patients": table, arn: table, replica: same}, nil, ""},
		{map[string]*Table{"patients": table, "others": other}, []string{"logs", "arn:aws:dynamodb:us-east-1:1:table/logs"}, ""},
		{map[string]*Table{"patients": table, "restored": table}, nil, `ClientConfig.Tables["restored"]: the logical name "patients" is that of "patients" too`},
		{map[string]*Table{"patients": table, "restored": same}, nil, `ClientConfig.Tables["restored"]: the logical name`},
		{map[string]*Table{arn: table, "restored": same}, nil, `ClientConfig.Tables["restored"]: the logical name`},
		{map[string]*Table{"patients": table}, []string{"logs", arn}, "ClientConfig.Unencrypted[1]: a table of that name is among Tables"},
		{map[string]*Table{arn: table}, []string{"patients"}, "ClientConfig.Unencrypted[0]: a table of that name is among Tables"},
		{map[string]*Table{arn: table}, []string{replica}, "ClientConfig.Unencrypted[0]: a table of that name is among Tables"},
	} {
		_, err := NewClient(&fake{}, ClientConfig{Tables: c.tables, Unencrypted: c.clear})
		if c.says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.says)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	}
}

// What came back for another table than it was sent to, or twice, would be written where it
// does not belong. It loses nothing else.
func TestClientUnprocessedOfOtherTables(t *testing.T) {
	f := &fake{}
	here, there := patientTable(t), patientTable(t, func(c *Config) { c.Table = "others" })
	const arn = "arn:aws:dynamodb:us-east-1:1:table/far"
	far := patientTable(t, func(c *Config) { c.Table = "far" })
	c := newClient(t, f, ClientConfig{Tables: map[string]*Table{"patients": here, "others": there, arn: far}})
	put := func(id string) types.WriteRequest {
		return types.WriteRequest{PutRequest: &types.PutRequest{Item: patient(id)}}
	}
	requests := map[string][]types.WriteRequest{"patients": {put("a"), put("b")}, "others": {put("c")}, arn: {put("d")}}
	f.answer = func(in any) (any, error) {
		sent := in.(*dynamodb.BatchWriteItemInput).RequestItems
		return &dynamodb.BatchWriteItemOutput{UnprocessedItems: map[string][]types.WriteRequest{
			"others":   {sent["patients"][0], sent["others"][0]},
			"patients": {sent["patients"][1], sent["patients"][1]},
			"nobody":   {sent["patients"][0]},
			"far":      sent[arn],
		}}, nil
	}
	out, err := c.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: requests})
	require.ErrorIs(t, err, envelope.ErrMalformed)
	require.NotErrorIs(t, err, keyring.ErrInvalidArgument)
	var all ItemErrors
	require.ErrorAs(t, err, &all)
	type place struct {
		table string
		index int
	}
	var places []place
	for _, e := range all {
		places = append(places, place{e.Table, e.Index})
	}
	assert.Equal(t, []place{{"nobody", 0}, {"others", 0}, {"patients", 1}}, places)
	require.NotNil(t, out)
	assert.Equal(t, map[string][]types.WriteRequest{"others": {put("c")}, "patients": {put("b")}, arn: {put("d")}}, out.UnprocessedItems)

	// Answers to a BatchGetItem by ARN have the name too, if it is that.
	f.answer = func(any) (any, error) {
		return &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]types.AttributeValue{"far": {encrypt(t, far, patient("a"))}}}, nil
	}
	got, err := c.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{arn: {Keys: []map[string]types.AttributeValue{keyOf("a")}}}})
	require.NoError(t, err)
	assert.Equal(t, []map[string]types.AttributeValue{patient("a")}, got.Responses["far"])
}

// leaving is a manager that ends the goroutine which asks it.
type leaving struct{ keyring.MaterialsManager }

func (leaving) DecryptionMaterials(context.Context, keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	runtime.Goexit()
	return nil, nil
}

// No item is left out of the errors where goroutines are ended.
func TestClientGoexit(t *testing.T) {
	c := patients()
	c.Suite = keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384
	table := patientTable(t)
	var page []map[string]types.AttributeValue
	for range 5 {
		page = append(page, encrypt(t, table, patient("a")))
	}
	f := &fake{answer: func(any) (any, error) { return &dynamodb.ScanOutput{Items: page}, nil }}
	client := newClient(t, f, ClientConfig{Tables: map[string]*Table{"patients": newTable(t, leaving{table.manager}, c)}, Concurrency: 2})
	out, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: patientsName})
	var all ItemErrors
	require.ErrorAs(t, err, &all)
	assert.Len(t, all, len(page))
	assert.Equal(t, make([]map[string]types.AttributeValue, len(page)), out.Items)
}
