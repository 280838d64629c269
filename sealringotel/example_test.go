package sealringotel_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/sealringotel"
)

// A client that encrypts under one KMS key, with a cache, all of it reported to the global
// providers.
func Example() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey(east, kmstest.SymmetricDefault)
	kmsClient := kms.New(kms.Options{ // in a program: kms.NewFromConfig(cfg)
		Region: east, BaseEndpoint: aws.String(server.URL(east)),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})

	otel, err := sealringotel.New(sealringotel.Config{})
	if err != nil {
		log.Fatal(err)
	}
	kr, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: keyARN, Observer: otel.KMS("orders")})
	if err != nil {
		log.Fatal(err)
	}
	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute, OnEvent: otel.Cache("orders")})
	if err != nil {
		log.Fatal(err)
	}
	defer cached.Close()
	if _, err := otel.WatchCache("orders", cached); err != nil {
		log.Fatal(err)
	}
	client, err := envelope.NewFromManager(cached, &envelope.Options{OnEvent: otel.Envelope})
	if err != nil {
		log.Fatal(err)
	}

	msg, err := client.Encrypt(ctx, []byte("order"), nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := client.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: order
}
