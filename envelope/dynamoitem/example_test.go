package dynamoitem_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope/dynamoitem"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
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

// A beacon that is a set is in no index: it goes into the filter of a scan.
func ExampleTable_Beacon() {
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
	people, err := dynamoitem.NewTable(manager, dynamoitem.Config{
		Table:        "people",
		PartitionKey: "id",
		Actions: map[string]dynamoitem.Action{
			"id":     dynamoitem.SignOnly,
			"phones": dynamoitem.EncryptAndSign,
		},
		Beacons:     map[string]dynamoitem.Beacon{"phones": {Bits: 20, Set: true}},
		BeaconKeys:  branchKeys,
		BeaconKeyID: "people",
	})
	if err != nil {
		log.Fatal(err)
	}
	encrypted, err := people.Encrypt(ctx, map[string]types.AttributeValue{
		"id":     &types.AttributeValueMemberS{Value: "p-1"},
		"phones": &types.AttributeValueMemberSS{Value: []string{"555-0100", "555-0101"}},
	}) // then PutItem
	if err != nil {
		log.Fatal(err)
	}

	want := map[string]types.AttributeValue{"phones": &types.AttributeValueMemberS{Value: "555-0100"}}
	attribute, value, err := people.Beacon(ctx, "phones", want)
	if err != nil {
		log.Fatal(err)
	}
	// The scan:
	//	FilterExpression:          aws.String("contains(#b, :b)"),
	//	ExpressionAttributeNames:  map[string]string{"#b": attribute},
	//	ExpressionAttributeValues: map[string]types.AttributeValue{":b": value},
	fmt.Println(attribute, len(value.(*types.AttributeValueMemberS).Value))

	item, err := people.Decrypt(ctx, encrypted) // each row that came back
	if err != nil {
		log.Fatal(err)
	}
	found, err := people.Filter("phones", []map[string]types.AttributeValue{item}, want)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(found))
	// Output:
	// aws_dbe_b_phones 5
	// 1
}

// keyStore stands for a branchkey.NewKeyStore over a table and a KMS key.
func keyStore() *branchkey.KeyStore {
	store := branchkeytest.NewPlaintextStoreForTests()
	if err := store.Add("people", "00000000-0000-4000-8000-000000000001", make([]byte, 32), []byte("a key of 32 bytes, for beacons. ")); err != nil {
		log.Fatal(err)
	}
	return store.KeyStore()
}

func ExampleRecords() {
	type Order struct {
		Customer string `dynamodbav:"customer" seal:"partition"`
		Number   int    `dynamodbav:"order" seal:"sort"`
		Address  string `dynamodbav:"address"` // encrypted
		Status   string `dynamodbav:"status" seal:"sign"`
	}
	kr, err := keyring.NewRawAES("orders", "kek-2026", make([]byte, 32)) // a key of your own
	if err != nil {
		log.Fatal(err)
	}
	manager, err := keyring.NewManager(kr)
	if err != nil {
		log.Fatal(err)
	}
	orders, err := dynamoitem.NewRecords[Order](manager, dynamoitem.Config{Table: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	item, err := orders.Encrypt(ctx, &Order{"c-17", 4, "12 Main Street", "sent"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T %T\n", item["address"], item["status"])

	order, err := orders.Decrypt(ctx, item)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(order.Address)
	// Output:
	// *types.AttributeValueMemberB *types.AttributeValueMemberS
	// 12 Main Street
}
