package kmstest_test

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

// exampleClient returns an envelope client under a KMS key, which tries each call once.
func exampleClient(s *kmstest.Server, arn string) *envelope.Client {
	kr, err := awskms.New(awskms.Config{Client: exampleKMS(s), KeyID: arn})
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// exampleKMS returns the SDK's client of a server, as the package's example makes it,
// which tries each call once.
func exampleKMS(s *kmstest.Server) *kms.Client {
	return kms.New(kms.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(s.URL("us-east-1")),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
		Retryer: aws.NopRetryer{},
	})
}

// What a program does in an outage is tested, and what it does after it.
func ExampleServer_Outage() {
	ctx := context.Background()
	s, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	client := exampleClient(s, s.CreateKey("us-east-1", kmstest.SymmetricDefault))

	s.Outage("us-east-1", kmstest.Refuse)
	_, err = client.Encrypt(ctx, []byte("IBAN"), nil)
	fmt.Println("unavailable:", errors.Is(err, envelope.ErrUnavailable))

	s.Restore("us-east-1")
	_, err = client.Encrypt(ctx, []byte("IBAN"), nil)
	fmt.Println("restored:", err)
	// Output:
	// unavailable: true
	// restored: <nil>
}

// A test holds that a cache keeps the calls of a hundred messages down to one.
func ExampleServer_Calls() {
	ctx := context.Background()
	s, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	arn := s.CreateKey("us-east-1", kmstest.SymmetricDefault)
	kr, err := awskms.New(awskms.Config{Client: exampleKMS(s), KeyID: arn})
	if err != nil {
		log.Fatal(err)
	}
	cached, err := cache.New(kr, cache.Limits{MaxAge: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer cached.Close()
	client, err := envelope.NewFromManager(cached, nil)
	if err != nil {
		log.Fatal(err)
	}

	for range 100 {
		if _, err := client.Encrypt(ctx, []byte("IBAN"), nil); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(s.Calls(kmstest.Match{Operation: "GenerateDataKey", Key: arn}))
	// Output: 1
}

// What KMS would write to its audit log is in the log of the server.
func ExampleServer_LastCall() {
	ctx := context.Background()
	s, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	client := exampleClient(s, s.CreateKey("us-east-1", kmstest.SymmetricDefault))
	_, err = client.Encrypt(ctx, []byte("IBAN"), keyring.EncryptionContext{"tenant": "42"})
	if err != nil {
		log.Fatal(err)
	}

	call, ok := s.LastCall(kmstest.Match{})
	if !ok {
		log.Fatal("KMS was not asked")
	}
	fmt.Println(call.Region, call.Operation, call.EncryptionContext, call.Status)
	// Output: us-east-1 GenerateDataKey map[tenant:42] 200
}

// Access is taken away, as a change of the key's policy does, and given back.
func ExampleServer_Deny() {
	ctx := context.Background()
	s, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	arn := s.CreateKey("us-east-1", kmstest.SymmetricDefault)
	client := exampleClient(s, arn)
	msg, err := client.Encrypt(ctx, []byte("IBAN"), nil)
	if err != nil {
		log.Fatal(err)
	}

	allow := s.Deny("kms:Decrypt", arn)
	_, err = client.Decrypt(ctx, msg, nil)
	var denied *awskms.Error
	if !errors.As(err, &denied) {
		log.Fatal(err)
	}
	fmt.Println(denied.Code)

	allow()
	plaintext, err := client.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output:
	// AccessDeniedException
	// IBAN
}
