package dynamoitem

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/mototest"
)

// TestMotoFind is TestFindIsAScan with indexes of DynamoDB's, as moto has them.
func TestMotoFind(t *testing.T) {
	url := mototest.Start(t)
	bare := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})})
	in := &dynamodb.CreateTableInput{
		TableName: residentsName, BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	}
	attributes := map[string]bool{"id": true}
	indexes := newIndexed().indexes
	for _, name := range slices.Sorted(maps.Keys(indexes)) {
		index := types.GlobalSecondaryIndex{IndexName: &name, Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}}
		for i, attribute := range indexes[name] {
			if attribute != "" {
				attributes[attribute] = true
				index.KeySchema = append(index.KeySchema, types.KeySchemaElement{
					AttributeName: &attribute, KeyType: []types.KeyType{types.KeyTypeHash, types.KeyTypeRange}[i]})
			}
		}
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, index)
	}
	for attribute := range attributes {
		kind := types.ScalarAttributeTypeS
		if attribute == "year" {
			kind = types.ScalarAttributeTypeN
		}
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &attribute, AttributeType: kind})
	}
	_, err := bare.CreateTable(t.Context(), in)
	require.NoError(t, err)

	c := residentClient(t, bare)
	config := residents(t)
	r := rand.New(rand.NewPCG(3, 4))
	found := 0
	for range 40 {
		mutate(t, r, c)
	}
	for range 20 {
		mutate(t, r, c)
		all := scanAll(t, c)
		in := randomFind(r, &config, all)
		got := findAll(t, c, &in)
		assert.Equal(t, wantedOf(all, &config, &in), got, "%+v", in)
		found += len(got)
	}
	assert.Greater(t, found, 5)

	// One bad row of a page loses none of the others.
	put(t, c, "1", "1", "1")
	_, err = bare.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: residentsName, Key: item{"id": str("p01")},
		UpdateExpression: aws.String("SET #y = :y"), ExpressionAttributeNames: map[string]string{"#y": "year"}, ExpressionAttributeValues: item{":y": num("1999")}})
	require.NoError(t, err)
	var good, bad int
	for _, err := range c.Find(t.Context(), bySSN("1")) {
		var one *ItemError
		if err == nil {
			good++
		} else if assert.ErrorAs(t, err, &one) {
			bad++
		}
	}
	assert.Equal(t, 1, bad)
	assert.GreaterOrEqual(t, good, 2)
}
