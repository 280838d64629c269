package dynamoitem_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope/dynamoitem"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

// Code that was written for the SDK's client goes on as it is.
func ExampleClient() {
	ctx := context.Background()
	var manager keyring.MaterialsManager                  // such as one of keyring.NewManager
	ddb := dynamodb.New(dynamodb.Options{Region: "eu-1"}) // in a program: dynamodb.NewFromConfig(cfg)

	patients, err := dynamoitem.NewTable(manager, dynamoitem.Config{
		Table: "patients", PartitionKey: "id",
		Actions: map[string]dynamoitem.Action{"id": dynamoitem.SignOnly, "ssn": dynamoitem.EncryptAndSign},
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := dynamoitem.NewClient(ddb, dynamoitem.ClientConfig{
		Tables: map[string]*dynamoitem.Table{"patients": patients},
	})
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: aws.String("patients"),
		Item: map[string]types.AttributeValue{
			"id": &types.AttributeValueMemberS{Value: "7"}, "ssn": &types.AttributeValueMemberS{Value: "123-45-6789"},
		},
		ConditionExpression: aws.String("attribute_not_exists(id)"),
	})
	if err != nil {
		log.Fatal(err)
	}

	// One item that cannot be decrypted loses none of the others.
	out, err := client.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String("patients")})
	var bad dynamoitem.ItemErrors
	if err != nil && !errors.As(err, &bad) {
		log.Fatal(err)
	}
	for _, e := range bad {
		log.Printf("item %d of the page: %v", e.Index, e.Err)
	}
	for _, item := range out.Items {
		if item != nil {
			fmt.Println(item["ssn"])
		}
	}
}

// People are found by an attribute that is encrypted, in an index of the table.
func ExampleClient_Find() {
	ctx := context.Background()
	branchKeys, err := branchkey.New(branchkey.Config{
		KeyStore: keyStore(), ID: "people", Limits: cache.Limits{MaxAge: time.Hour},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer branchKeys.Close()
	manager, err := keyring.NewManager(branchKeys)
	if err != nil {
		log.Fatal(err)
	}
	least, most := dynamoitem.BeaconBits(1_000_000) // for so many phone numbers
	fmt.Printf("%d to %d bits\n", least, most)
	people, err := dynamoitem.NewTable(manager, dynamoitem.Config{
		Table:        "people",
		PartitionKey: "id",
		Actions: map[string]dynamoitem.Action{
			"id":    dynamoitem.SignOnly,
			"phone": dynamoitem.EncryptAndSign,
		},
		Beacons:     map[string]dynamoitem.Beacon{"phone": {Bits: 12}},
		BeaconKeys:  branchKeys,
		BeaconKeyID: "people",
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := dynamoitem.NewClient(&memory{}, dynamoitem.ClientConfig{ // in a program: dynamodb.NewFromConfig(cfg)
		Tables: map[string]*dynamoitem.Table{"people": people},
	})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 20 {
		_, err = client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: aws.String("people"),
			Item: map[string]types.AttributeValue{
				"id":    &types.AttributeValueMemberS{Value: fmt.Sprint("p-", i)},
				"phone": &types.AttributeValueMemberS{Value: fmt.Sprint("555-010", i%10)},
			},
		})
		if err != nil {
			log.Fatal(err)
		}
	}

	// The index's partition key is aws_dbe_b_phone.
	for person, err := range client.Find(ctx, &dynamoitem.FindInput{
		TableName: "people", IndexName: "by-phone", PartitionKey: "phone",
		Want: map[string]types.AttributeValue{"phone": &types.AttributeValueMemberS{Value: "555-0107"}},
	}) {
		var bad *dynamoitem.ItemError
		switch {
		case errors.As(err, &bad): // one row, and others follow
			log.Print(bad)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println(person["id"].(*types.AttributeValueMemberS).Value)
		}
	}
	// Output:
	// 10 to 18 bits
	// p-7
	// p-17
}

// memory stands for DynamoDB with one table and one index.
type memory struct {
	dynamoitem.API
	items []map[string]types.AttributeValue
}

func (m *memory) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	m.items = append(m.items, in.Item)
	return &dynamodb.PutItemOutput{}, nil
}

func (m *memory) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	out := &dynamodb.QueryOutput{}
	for name, attribute := range in.ExpressionAttributeNames {
		want := in.ExpressionAttributeValues[":"+name[1:]].(*types.AttributeValueMemberS).Value
		for _, item := range m.items {
			if item[attribute].(*types.AttributeValueMemberS).Value == want {
				out.Items = append(out.Items, item)
			}
		}
	}
	return out, nil
}
