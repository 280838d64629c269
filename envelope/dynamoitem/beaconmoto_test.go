package dynamoitem

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/mototest"
	"github.com/go-sealring/sealring/keyring"
)

// TestMotoBeacons finds items by beacons: in an index, and by filters.
func TestMotoBeacons(t *testing.T) {
	url := mototest.Start(t)
	bare := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})})
	s := aws.String
	hash := func(name string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: &name, KeyType: types.KeyTypeHash}}
	}
	_, err := bare.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: s("people"), KeySchema: hash("id"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: s("id"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: s("aws_dbe_b_ssn"), AttributeType: types.ScalarAttributeTypeS}},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{
			{IndexName: s("by ssn"), KeySchema: hash("aws_dbe_b_ssn"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}}},
	})
	require.NoError(t, err)
	config := people(t)
	config.Suite = keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384
	config.Beacons["ssn"] = Beacon{Bits: 2}
	table := newTable(t, manager(t, rawAES(t, "ns", "key", make([]byte, 32))), config)
	c := newClient(t, bare, ClientConfig{Tables: map[string]*Table{"people": table}})
	const n = 40
	for i := range n {
		it := person()
		it["id"], it["ssn"], it["year"] = str(fmt.Sprint("p", i)), str(fmt.Sprint(i/2)), num(fmt.Sprint(1980+i%4))
		it["langs"] = strs("en", fmt.Sprint("l", i%5))
		_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: s("people"), Item: it})
		require.NoError(t, err)
	}

	want := item{"ssn": str("7")}
	attribute, value, err := table.Beacon(t.Context(), "ssn", want)
	require.NoError(t, err)
	out, err := c.Query(t.Context(), &dynamodb.QueryInput{TableName: s("people"), IndexName: s("by ssn"), KeyConditionExpression: s("#b = :b"),
		ExpressionAttributeNames: map[string]string{"#b": attribute}, ExpressionAttributeValues: item{":b": value}})
	require.NoError(t, err)
	found, err := table.Filter("ssn", out.Items, want)
	require.NoError(t, err)
	assert.Len(t, found, 2)
	assert.Greater(t, len(out.Items), 2, "of 20 values, several have the same 2 bits")
	assert.Less(t, len(out.Items), n)

	scan := func(filter, name string, want item, found int) {
		t.Helper()
		attribute, value, err := table.Beacon(t.Context(), name, want)
		require.NoError(t, err)
		out, err := c.Scan(t.Context(), &dynamodb.ScanInput{TableName: s("people"), FilterExpression: &filter,
			ExpressionAttributeNames: map[string]string{"#b": attribute}, ExpressionAttributeValues: item{":b": value}})
		require.NoError(t, err)
		items, err := table.Filter(name, out.Items, want)
		require.NoError(t, err)
		assert.Len(t, items, found)
	}
	scan("contains(#b, :b)", "langs", item{"langs": str("l3")}, n/5)
	scan("#b = :b", "langs", item{"langs": strs("l3", "en")}, n/5)
	scan("begins_with(#b, :b)", "place", item{"year": num("1982"), "city": str("Ulm")}, n/4)
	scan("contains(#b, :b)", "place", item{"zip": num("12345")}, n)

	// Nobody writes a beacon of his own.
	for _, expression := range []string{"SET aws_dbe_b_ssn = :b", "REMOVE aws_dbe_b_ssn", "SET aws_dbe_v_1 = :b"} {
		in := &dynamodb.UpdateItemInput{TableName: s("people"), Key: item{"id": str("p1")}, UpdateExpression: &expression}
		if expression[0] == 'S' {
			in.ExpressionAttributeValues = item{":b": str("0")}
		}
		_, err = c.UpdateItem(t.Context(), in)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument, expression)
	}
}
