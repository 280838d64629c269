package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope/dynamoitem"
	"github.com/go-sealring/sealring/keyring"
)

// An Order is an item of the table. It is signed as a whole: nobody without the key can
// change an attribute, or put the item elsewhere.
type Order struct {
	Customer string `dynamodbav:"customer" seal:"partition"`
	ID       string `dynamodbav:"order_id" seal:"sort"`
	Address  string `dynamodbav:"address"` // encrypted, as is what has no tag
	Phone    string `dynamodbav:"phone"`
	Status   string `dynamodbav:"status" seal:"sign"`
}

// logicalTable is bound into what is encrypted, in both ways. It stays if the table is
// restored under another name.
const logicalTable = "orders"

// Items keeps orders as items in the format of AWS's Database Encryption SDK.
type Items struct {
	client *dynamoitem.Client // has the SDK's methods, and takes items in the clear
	table  string
}

// NewItems returns the items of a table.
func NewItems(kr keyring.Keyring, db dynamoitem.API, table string) (*Items, error) {
	// A cache would not help: each item has an encryption context of its own.
	manager, err := keyring.NewManager(kr)
	if err != nil {
		return nil, err
	}
	records, err := dynamoitem.NewRecords[Order](manager, dynamoitem.Config{Table: logicalTable})
	if err != nil {
		return nil, err
	}
	client, err := dynamoitem.NewClient(db, dynamoitem.ClientConfig{
		Tables: map[string]*dynamoitem.Table{table: records.Table()},
	})
	if err != nil {
		return nil, err
	}
	return &Items{client: client, table: table}, nil
}

// Close does nothing: no keys are kept.
func (s *Items) Close() {}

// Add stores a new order.
func (s *Items) Add(ctx context.Context, o Order) error {
	item, err := attributevalue.MarshalMap(o)
	if err != nil {
		return err
	}
	_, err = s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table, Item: item, ConditionExpression: aws.String("attribute_not_exists(customer)"),
	})
	return err
}

// OfCustomer returns the orders of a customer, by ID.
func (s *Items) OfCustomer(ctx context.Context, customer string) ([]Order, error) {
	var all []Order
	pages := dynamodb.NewQueryPaginator(s.client, ofCustomer(s.table, customer))
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		var orders []Order
		if err := attributevalue.UnmarshalListOfMaps(page.Items, &orders); err != nil {
			return nil, err
		}
		all = append(all, orders...)
	}
	return all, nil
}

// SetStatus changes an order. UpdateItem cannot, since the signatures would not fit any
// more: the item is read and put again, unless its status has changed in between.
func (s *Items) SetStatus(ctx context.Context, customer, id, status string) error {
	found, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: keyOf(customer, id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return err
	}
	if found.Item == nil {
		return fmt.Errorf("there is no order %s", id)
	}
	before := found.Item["status"]
	found.Item["status"] = &types.AttributeValueMemberS{Value: status}
	_, err = s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table, Item: found.Item,
		ConditionExpression:       aws.String("#status = :before"),
		ExpressionAttributeNames:  map[string]string{"#status": "status"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":before": before},
	})
	return err
}

func keyOf(customer, id string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"customer": &types.AttributeValueMemberS{Value: customer},
		"order_id": &types.AttributeValueMemberS{Value: id},
	}
}

// ofCustomer asks for the orders of a customer.
func ofCustomer(table, customer string) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		TableName:                 &table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("customer = :customer"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":customer": &types.AttributeValueMemberS{Value: customer}},
	}
}
