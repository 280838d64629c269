package dynamoitem_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope/dynamoitem"
	"github.com/go-sealring/sealring/keyring"
)

func Example() {
	kr, err := keyring.NewRawAES("orders", "kek-2026", make([]byte, 32)) // a key of your own
	if err != nil {
		log.Fatal(err)
	}
	manager, err := keyring.NewManager(kr)
	if err != nil {
		log.Fatal(err)
	}
	orders, err := dynamoitem.NewTable(manager, dynamoitem.Config{
		Table:        "orders",
		PartitionKey: "customer",
		Actions: map[string]dynamoitem.Action{
			"customer": dynamoitem.SignOnly,
			"address":  dynamoitem.EncryptAndSign,
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	encrypted, err := orders.Encrypt(ctx, map[string]types.AttributeValue{
		"customer": &types.AttributeValueMemberS{Value: "c-17"},
		"address":  &types.AttributeValueMemberS{Value: "12 Main Street"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T\n", encrypted["address"])

	item, err := orders.Decrypt(ctx, encrypted)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(item["address"].(*types.AttributeValueMemberS).Value)
	// Output:
	// *types.AttributeValueMemberB
	// 12 Main Street
}
