package dynamoitem

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/mototest"
)

// TestMoto does each operation for real.
func TestMoto(t *testing.T) {
	url := mototest.Start(t)
	bare := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})})
	s := aws.String
	attribute := func(name string, kind types.ScalarAttributeType) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: kind}
	}
	key := func(hash, sortKey string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash}, {AttributeName: &sortKey, KeyType: types.KeyTypeRange}}
	}
	tables := 0
	// set makes a table, and returns its name and a client for it.
	set := func(t *testing.T, change ...func(*Config)) (*string, *Client, *Table) {
		tables++
		name := fmt.Sprint("table", tables)
		_, err := bare.CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: &name, KeySchema: key("id", "visit"), BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{
				attribute("id", types.ScalarAttributeTypeS), attribute("visit", types.ScalarAttributeTypeN), attribute("status", types.ScalarAttributeTypeS)},
			GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{
				{IndexName: s("all"), KeySchema: key("status", "visit"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}},
				{IndexName: s("keys"), KeySchema: key("status", "visit"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}}},
			LocalSecondaryIndexes: []types.LocalSecondaryIndex{
				{IndexName: s("local"), KeySchema: key("id", "status"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}}},
		})
		require.NoError(t, err)
		table := patientTable(t, change...)
		return &name, newClient(t, bare, ClientConfig{Tables: map[string]*Table{name: table}, Unencrypted: []string{"logs"}}), table
	}
	put := func(t *testing.T, api API, name *string, items ...item) {
		for _, it := range items {
			_, err := api.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: name, Item: it})
			require.NoError(t, err)
		}
	}
	get := func(t *testing.T, api API, name *string, id string) item {
		out, err := api.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: name, Key: keyOf(id), ConsistentRead: aws.Bool(true)})
		require.NoError(t, err)
		return out.Item
	}
	v := item{":v": str("a"), ":n": num("7")}

	t.Run("PutItem, GetItem, DeleteItem", func(t *testing.T) {
		name, c, _ := set(t)
		changed := patient("a")
		changed["ssn"] = str("another")
		once := &dynamodb.PutItemInput{TableName: name, Item: patient("a"), ConditionExpression: s("attribute_not_exists(id)"),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}
		_, err := c.PutItem(t.Context(), once)
		require.NoError(t, err)
		assert.Equal(t, patient("a"), get(t, c, name, "a"))
		stored := get(t, bare, name, "a")
		assert.Contains(t, stored, "aws_dbe_head")
		assert.NotContains(t, fmt.Sprint(stored["ssn"]), "secret")

		_, err = c.PutItem(t.Context(), once)
		var failed *types.ConditionalCheckFailedException
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, patient("a"), failed.Item)

		replaced, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: name, Item: changed, ReturnValues: types.ReturnValueAllOld})
		require.NoError(t, err)
		assert.Equal(t, patient("a"), replaced.Attributes)
		deleted, err := c.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: name, Key: keyOf("a"), ReturnValues: types.ReturnValueAllOld})
		require.NoError(t, err)
		assert.Equal(t, changed, deleted.Attributes)
		assert.Empty(t, get(t, c, name, "a"))

		_, err = c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: s("logs"), Item: item{"x": str("y")}})
		var none *types.ResourceNotFoundException
		require.ErrorAs(t, err, &none)
	})

	t.Run("UpdateItem", func(t *testing.T) {
		name, c, _ := set(t)
		put(t, c, name, patient("a"))
		update := func(id string, values types.ReturnValue) (*dynamodb.UpdateItemOutput, error) {
			return c.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: name, Key: keyOf(id), ReturnValues: values,
				UpdateExpression: s("SET hits = hits + :n"), ConditionExpression: s("#st <> :v"), ExpressionAttributeNames: map[string]string{"#st": "status"}, ExpressionAttributeValues: v})
		}
		want := patient("a")
		for values, hits := range map[types.ReturnValue]int{types.ReturnValueAllNew: 7, types.ReturnValueAllOld: 0, types.ReturnValueUpdatedNew: 7, types.ReturnValueUpdatedOld: 0, types.ReturnValueNone: 0} {
			put(t, c, name, patient("a"))
			out, err := update("a", values)
			require.NoError(t, err)
			want["hits"] = num(fmt.Sprint(1 + hits))
			switch values {
			case types.ReturnValueNone:
				assert.Empty(t, out.Attributes)
			case types.ReturnValueAllNew, types.ReturnValueAllOld:
				assert.Equal(t, want, out.Attributes)
			default:
				assert.Equal(t, item{"hits": want["hits"]}, out.Attributes)
			}
			assert.Equal(t, num("8"), get(t, c, name, "a")["hits"])
		}
		_, err := c.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: name, Key: keyOf("a"),
			AttributeUpdates: map[string]types.AttributeValueUpdate{"hits": {Action: types.AttributeActionPut, Value: num("9")}}})
		require.NoError(t, err)
		assert.Equal(t, num("9"), get(t, c, name, "a")["hits"])

		// None is made that could not be read.
		var failed *types.ConditionalCheckFailedException
		_, err = update("b", types.ReturnValueAllNew)
		require.ErrorAs(t, err, &failed)
		_, err = c.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: name, Key: keyOf("b"),
			AttributeUpdates: map[string]types.AttributeValueUpdate{"hits": {Action: types.AttributeActionPut, Value: num("9")}}})
		require.ErrorAs(t, err, &failed)
		assert.Empty(t, get(t, bare, name, "b"))
	})

	t.Run("Query and Scan", func(t *testing.T) {
		name, c, table := set(t)
		var want []item
		for i := range 5 {
			it := patient("a")
			it["visit"] = num(fmt.Sprint(i))
			want = append(want, it)
			put(t, c, name, it)
		}
		query := &dynamodb.QueryInput{TableName: name, KeyConditionExpression: s("id = :v"), ExpressionAttributeValues: item{":v": str("a")}, Limit: aws.Int32(2)}
		var got []item
		pages := 0
		for p := dynamodb.NewQueryPaginator(c, query); p.HasMorePages(); pages++ {
			out, err := p.NextPage(t.Context())
			require.NoError(t, err)
			got = append(got, out.Items...)
		}
		assert.Equal(t, want, got)
		assert.GreaterOrEqual(t, pages, 3)

		got = nil
		for p := dynamodb.NewScanPaginator(c, &dynamodb.ScanInput{TableName: name, Limit: aws.Int32(2)}); p.HasMorePages(); {
			out, err := p.NextPage(t.Context())
			require.NoError(t, err)
			got = append(got, out.Items...)
		}
		assert.ElementsMatch(t, want, got)

		for _, index := range []string{"all", "local"} {
			in := &dynamodb.QueryInput{TableName: name, IndexName: &index, KeyConditionExpression: s("#st = :v"),
				ExpressionAttributeNames: map[string]string{"#st": "status"}, ExpressionAttributeValues: item{":v": str("in")}}
			if index == "local" {
				in.KeyConditionExpression, in.ExpressionAttributeValues = s("#id = :v"), item{":v": str("a")}
				in.ExpressionAttributeNames = map[string]string{"#id": "id"}
			}
			out, err := c.Query(t.Context(), in)
			require.NoError(t, err, index)
			assert.ElementsMatch(t, want, out.Items, index)
		}
		// DynamoDB refuses to give whole items from this index. Moto gives parts of them, which
		// do not verify.
		_, err := c.Scan(t.Context(), &dynamodb.ScanInput{TableName: name, IndexName: s("keys")})
		require.Error(t, err)

		count, err := c.Query(t.Context(), &dynamodb.QueryInput{TableName: name, KeyConditionExpression: s("id = :v"), FilterExpression: s("visit < :n"),
			ExpressionAttributeValues: item{":v": str("a"), ":n": num("3")}, Select: types.SelectCount})
		require.NoError(t, err)
		assert.EqualValues(t, 3, count.Count)

		// All that verification needs may be named.
		out, err := c.Query(t.Context(), &dynamodb.QueryInput{TableName: name, KeyConditionExpression: s("id = :v"), ExpressionAttributeValues: item{":v": str("a")},
			ProjectionExpression: s("id, visit, ssn, notes, #st, aws_dbe_head, aws_dbe_foot"), ExpressionAttributeNames: map[string]string{"#st": "status"}})
		require.NoError(t, err)
		require.Len(t, out.Items, 5)
		assert.NotContains(t, out.Items[0], "hits")
		assert.Equal(t, want[0]["ssn"], out.Items[0]["ssn"])

		// One that somebody altered harms no other.
		bad := encrypt(t, table, want[2])
		bad["notes"] = bin(strings.Repeat("x", 40))
		put(t, bare, name, bad)
		query.Limit = nil
		out, err = c.Query(t.Context(), query)
		var all ItemErrors
		require.ErrorAs(t, err, &all)
		require.Len(t, all, 1)
		assert.Equal(t, 2, all[0].Index)
		require.ErrorIs(t, err, envelope.ErrAuthentication)
		assert.Equal(t, []item{want[0], want[1], nil, want[3], want[4]}, out.Items)
	})

	t.Run("BatchWriteItem and BatchGetItem", func(t *testing.T) {
		name, c, _ := set(t)
		put(t, c, name, patient("old"))
		writes := []types.WriteRequest{{DeleteRequest: &types.DeleteRequest{Key: keyOf("old")}}}
		var keys, want []map[string]types.AttributeValue
		for i := range 20 {
			id := fmt.Sprint(i)
			writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: patient(id)}})
			keys, want = append(keys, keyOf(id)), append(want, patient(id))
		}
		written, err := c.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*name: writes}})
		require.NoError(t, err)
		assert.Empty(t, written.UnprocessedItems)
		read, err := c.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*name: {Keys: append(keys, keyOf("old"))}}})
		require.NoError(t, err)
		assert.ElementsMatch(t, want, read.Responses[*name])
	})

	t.Run("TransactWriteItems and TransactGetItems", func(t *testing.T) {
		name, c, _ := set(t)
		put(t, c, name, patient("updated"), patient("deleted"))
		in := &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: name, Item: patient("new"), ConditionExpression: s("attribute_not_exists(id)"), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}},
			{Update: &types.Update{TableName: name, Key: keyOf("updated"), UpdateExpression: s("SET hits = :n"), ExpressionAttributeValues: item{":n": num("7")}}},
			{Delete: &types.Delete{TableName: name, Key: keyOf("deleted")}},
		}}
		_, err := c.TransactWriteItems(t.Context(), in)
		require.NoError(t, err)
		updated := patient("updated")
		updated["hits"] = num("7")
		got, err := c.TransactGetItems(t.Context(), &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
			{Get: &types.Get{TableName: name, Key: keyOf("new")}}, {Get: &types.Get{TableName: name, Key: keyOf("deleted")}}, {Get: &types.Get{TableName: name, Key: keyOf("updated")}}}})
		require.NoError(t, err)
		require.Len(t, got.Responses, 3)
		assert.Equal(t, patient("new"), got.Responses[0].Item)
		assert.Empty(t, got.Responses[1].Item)
		assert.Equal(t, updated, got.Responses[2].Item)

		_, err = c.TransactWriteItems(t.Context(), in)
		var cancelled *types.TransactionCanceledException
		require.ErrorAs(t, err, &cancelled)
		require.NotEmpty(t, cancelled.CancellationReasons)
		if it := cancelled.CancellationReasons[0].Item; it != nil {
			assert.Equal(t, patient("new"), it)
		}
		_, err = c.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{ConditionCheck: &types.ConditionCheck{TableName: name, Key: keyOf("new"), ConditionExpression: s("hits = :n"), ExpressionAttributeValues: item{":n": num("1")}}}}})
		require.NoError(t, err)
	})

	t.Run("from the clear and back", func(t *testing.T) {
		name, before, _ := set(t, func(c *Config) { c.Plaintext = ForcePlaintextWrite })
		table := patientTable(t, func(c *Config) { c.Plaintext = AllowPlaintextRead })
		during := newClient(t, bare, ClientConfig{Tables: map[string]*Table{*name: table}})
		after := newClient(t, bare, ClientConfig{Tables: map[string]*Table{*name: patientTable(t)}})
		put(t, before, name, patient("a"), patient("b"))
		assert.Equal(t, patient("a"), get(t, bare, name, "a"))
		_, err := after.Scan(t.Context(), &dynamodb.ScanInput{TableName: name})
		require.ErrorIs(t, err, ErrNotEncrypted)
		out, err := during.Scan(t.Context(), &dynamodb.ScanInput{TableName: name})
		require.NoError(t, err)
		put(t, during, name, out.Items...)
		out, err = after.Scan(t.Context(), &dynamodb.ScanInput{TableName: name})
		require.NoError(t, err)
		slices.SortFunc(out.Items, func(a, b item) int {
			return strings.Compare(a["id"].(*types.AttributeValueMemberS).Value, b["id"].(*types.AttributeValueMemberS).Value)
		})
		assert.Equal(t, []item{patient("a"), patient("b")}, out.Items)
	})
}
