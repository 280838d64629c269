// A service with a KMS key in each of two regions, which goes on when one is out.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// newClient returns a client for a service in the region of the first key.
func newClient(keys []awskms.RegionKey) (*envelope.Client, *cache.Cache, error) {
	kr, err := awskms.NewMultiRegion(awskms.MultiRegionConfig{
		Regions: keys, // the nearest first
		Observer: awskms.Observer{OnEvent: func(_ context.Context, e awskms.Event) {
			if e.Kind != awskms.Call {
				fmt.Println("event:", e.Kind, e.Region)
			}
		}},
	})
	if err != nil {
		return nil, nil, err
	}
	cached, err := cache.New(kr, cache.Limits{
		MaxAge:   5 * time.Minute,
		StaleFor: time.Hour, // should all regions be out
	})
	if err != nil {
		return nil, nil, err
	}
	client, err := envelope.NewFromManager(cached, nil)
	if err != nil {
		return nil, nil, errors.Join(err, cached.Close())
	}
	return client, cached, nil
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	server, err := kmstest.New(kmstest.Config{Regions: []string{"us-east-1", "eu-west-1"}})
	if err != nil {
		return err
	}
	defer server.Close()
	// A multi-Region key: one region wraps, each unwraps. With keys that are not replicas of
	// one, each region is asked to wrap, and encrypting needs all of them, unless MinRegions
	// says how many will do.
	primary := server.CreateMultiRegionKey("us-east-1", kmstest.SymmetricDefault)
	east := awskms.RegionKey{Client: localKMS(server, "us-east-1"), KeyARN: primary}
	west := awskms.RegionKey{Client: localKMS(server, "eu-west-1"), KeyARN: server.Replicate(primary, "eu-west-1")}

	writer, writerCache, err := newClient([]awskms.RegionKey{east, west})
	if err != nil {
		return err
	}
	defer writerCache.Close()
	reader, readerCache, err := newClient([]awskms.RegionKey{west, east})
	if err != nil {
		return err
	}
	defer readerCache.Close()

	ec := keyring.EncryptionContext{"purpose": "orders"}
	if err := writer.Check(ctx, ec); err != nil { // at start: permissions, keys, network
		return err
	}
	order, err := writer.Encrypt(ctx, []byte("order 17"), ec)
	if err != nil {
		return err
	}
	plaintext, err := reader.Decrypt(ctx, order, ec)
	if err != nil {
		return err
	}
	fmt.Printf("written in us-east-1, read in eu-west-1: %s\n", plaintext)

	server.Outage("us-east-1", kmstest.Refuse)
	writerCache.Purge() // or its data keys would do
	order, err = writer.Encrypt(ctx, []byte("order 18"), ec)
	if err != nil {
		return err
	}
	plaintext, err = writer.Decrypt(ctx, order, ec)
	if err != nil {
		return err
	}
	fmt.Printf("us-east-1 is out: %s\n", plaintext)
	return nil
}

// localKMS is a client of a KMS in this process. On AWS:
//
//	kms.NewFromConfig(cfg, func(o *kms.Options) { o.Region = region })
func localKMS(server *kmstest.Server, region string) *kms.Client {
	return kms.New(kms.Options{
		Region: region, BaseEndpoint: aws.String(server.URL(region)),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	})
}
