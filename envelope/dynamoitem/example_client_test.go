package dynamoitem_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope/dynamoitem"
	"github.com/go-sealring/sealring/keyring"
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
