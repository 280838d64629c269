package main

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// A SealedOrder is an item of the table whose sealed fields are bound to its key. The
// others are the table's own, and can be changed in place.
type SealedOrder struct {
	Customer string               `dynamodbav:"customer" seal:",row=1,context=customer"`
	ID       string               `dynamodbav:"order_id" seal:",row=2"`
	Address  field.Sealed[string] `dynamodbav:"address" seal:"address"`
	Phone    field.Sealed[string] `dynamodbav:"phone" seal:"phone"`
	Status   string               `dynamodbav:"status"`
}

// toItem and fromItems have package attributevalue use the field's own encoding: text,
// which is empty for NULL. Without the options it sees a struct without exported fields,
// and stores an empty map: the value would be lost without an error. So marshal such
// records here alone.
func toItem(o *SealedOrder) (map[string]types.AttributeValue, error) {
	return attributevalue.MarshalMapWithOptions(o, func(o *attributevalue.EncoderOptions) { o.UseEncodingMarshalers = true })
}

func fromItems(items []map[string]types.AttributeValue) (orders []*SealedOrder, err error) {
	err = attributevalue.UnmarshalListOfMapsWithOptions(items, &orders, func(o *attributevalue.DecoderOptions) { o.UseEncodingUnmarshalers = true })
	return orders, err
}

// Fields keeps orders in whose items some fields are sealed.
type Fields struct {
	db     *dynamodb.Client
	table  string
	orders *field.Table[SealedOrder]
	cache  *cache.Cache
}

// NewFields returns the orders in a table, with a cache that holds no data keys yet.
func NewFields(kr keyring.Keyring, db *dynamodb.Client, table string) (*Fields, error) {
	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
	if err != nil {
		return nil, err
	}
	orders, err := field.NewTable[SealedOrder](cached, logicalTable, nil)
	if err != nil {
		cached.Close()
		return nil, err
	}
	return &Fields{db: db, table: table, orders: orders, cache: cached}, nil
}

// Close drops all data keys.
func (s *Fields) Close() { s.cache.Close() }

// Add stores a new order.
func (s *Fields) Add(ctx context.Context, o Order) error {
	sealed := &SealedOrder{Customer: o.Customer, ID: o.ID, Address: field.New(o.Address), Phone: field.New(o.Phone), Status: o.Status}
	if err := s.orders.Seal(ctx, sealed); err != nil {
		return err
	}
	item, err := toItem(sealed)
	if err != nil {
		return err
	}
	_, err = s.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table, Item: item, ConditionExpression: aws.String("attribute_not_exists(customer)"),
	})
	return err
}

// OfCustomer returns the orders of a customer, by ID.
func (s *Fields) OfCustomer(ctx context.Context, customer string) ([]Order, error) {
	var all []Order
	pages := dynamodb.NewQueryPaginator(s.db, ofCustomer(s.table, customer))
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		found, err := fromItems(page.Items)
		if err != nil {
			return nil, err
		}
		if err := s.orders.Open(ctx, found...); err != nil { // once, for all of the page
			return nil, err
		}
		for _, o := range found {
			address, err := o.Address.Plaintext()
			if err != nil {
				return nil, err
			}
			phone, err := o.Phone.Plaintext()
			if err != nil {
				return nil, err
			}
			all = append(all, Order{Customer: o.Customer, ID: o.ID, Address: address, Phone: phone, Status: o.Status})
		}
	}
	return all, nil
}

// SetStatus changes an order that is there.
func (s *Fields) SetStatus(ctx context.Context, customer, id, status string) error {
	_, err := s.db.UpdateItem(ctx, setStatus(s.table, customer, id, status))
	return err
}

// setStatus changes an attribute in place.
func setStatus(table, customer, id, status string) *dynamodb.UpdateItemInput {
	return &dynamodb.UpdateItemInput{
		TableName: &table, Key: keyOf(customer, id),
		UpdateExpression:          aws.String("SET #status = :status"),
		ConditionExpression:       aws.String("attribute_exists(customer)"),
		ExpressionAttributeNames:  map[string]string{"#status": "status"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":status": &types.AttributeValueMemberS{Value: status}},
	}
}
