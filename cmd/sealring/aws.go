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
		Observer: awskms.Observer{OnEvent: func(_ context.Context, e awskms.Event) {
			if e.Kind != awskms.Call {
				fmt.Fprintln(os.Stderr, "sealring: warning:", warning(e))
			}
		}},
	}
}

// warning says what has happened to a region.
func warning(e awskms.Event) string {
	text := e.Kind.String()
	if e.Region != "" {
		text += " " + e.Region
	}
	if len(e.Missing) > 0 {
		text += " without " + strings.Join(e.Missing, ", ")
	}
	if e.Err != nil {
		text += ": " + oneLine(e.Err)
	}
	return text
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
