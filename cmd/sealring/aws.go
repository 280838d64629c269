package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/dynamostore"
	"github.com/go-sealring/sealring/keyring/keyuri"
)

// newOpener returns what opens keys. Credentials and endpoints are those that the AWS SDK
// finds.
func newOpener() *keyuri.Opener {
	return &keyuri.Opener{
		KMS: func(ctx context.Context, region string) (keyuri.KMSClient, error) {
			return newKMS(ctx, region)
		},
		BranchKeyStore: func(ctx context.Context, table, region string) (branchkey.Store, error) {
			return newTable(ctx, table, region)
		},
		OnEvent: func(e awskms.Event) {
			fmt.Fprintf(os.Stderr, "sealring: warning: %v %s", e.Kind, e.Region)
			if len(e.Missing) > 0 {
				fmt.Fprintf(os.Stderr, "without %s", strings.Join(e.Missing, ", "))
			}
			if e.Err != nil {
				fmt.Fprintf(os.Stderr, ": %v", e.Err)
			}
			fmt.Fprintln(os.Stderr)
		},
	}
}

func newKMS(ctx context.Context, region string) (*kms.Client, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, err
	}
	return kms.NewFromConfig(cfg), nil
}

func newTable(ctx context.Context, table, region string) (*dynamostore.Store, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, err
	}
	return dynamostore.New(dynamostore.Config{Client: dynamodb.NewFromConfig(cfg), Table: table})
}
