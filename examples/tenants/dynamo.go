package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/go-sealring/sealring/keyring/branchkey/dynamostore"
)

// dynamoTable is a client of DynamoDB that knows whether it has made the table.
type dynamoTable struct {
	*dynamodb.Client
	name string
	made bool
}

// CreateTable is what the store calls. It ends though the program is interrupted: else
// nobody would know whether there is a table to delete.
func (t *dynamoTable) CreateTable(ctx context.Context, in *dynamodb.CreateTableInput, o ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	out, err := t.Client.CreateTable(ctx, in, o...)
	t.made = err == nil
	return out, err
}

// create makes the table. One that is there may hold keys that somebody needs.
func (t *dynamoTable) create(ctx context.Context, store *dynamostore.Store) error {
	if err := store.CreateTable(ctx); err != nil {
		return err
	}
	if !t.made {
		return fmt.Errorf("table %s is there already, and is left as it is: name one that is not", t.name)
	}
	return nil
}

// delete deletes the table that create has made, also if ctx is done.
func (t *dynamoTable) delete(ctx context.Context) error {
	const patience = 2 * time.Minute // for each wait
	ctx = context.WithoutCancel(ctx)
	described := &dynamodb.DescribeTableInput{TableName: &t.name}
	ready := dynamodb.NewTableExistsWaiter(t, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, 5*time.Second })
	gone := dynamodb.NewTableNotExistsWaiter(t, func(o *dynamodb.TableNotExistsWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, 5*time.Second })
	protected := false
	for _, step := range []func() error{
		// It may not be, if making it was interrupted.
		func() error { return ready.Wait(ctx, described, patience) },
		func() error {
			_, err := t.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &t.name, DeletionProtectionEnabled: &protected})
			return err
		},
		func() error { return ready.Wait(ctx, described, patience) },
		func() error {
			_, err := t.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &t.name})
			return err
		},
		func() error { return gone.Wait(ctx, described, patience) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("table %s was made and may still be there: look, and delete it: %w", t.name, err)
		}
	}
	return nil
}
