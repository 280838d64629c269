package envelope_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// A service may encrypt with a key, and was not given the permission to decrypt. It learns
// that when it starts, and not when the first customer asks for their data.
func ExampleClient_Check() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("us-east-1", kmstest.SymmetricDefault)
	kmsClient := kms.New(kms.Options{ // in a program: kms.NewFromConfig(cfg)
		Region:       "us-east-1",
		BaseEndpoint: aws.String(server.URL("us-east-1")),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	kr, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: keyARN})
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}

	ready := func() {
		err := client.Check(ctx, keyring.EncryptionContext{"tenant": "42"})
		var failed *envelope.CheckError
		var kmsErr *awskms.Error
		switch {
		case errors.Is(err, envelope.ErrUnavailable):
			fmt.Println("KMS is down: stay in service, for what the cache holds")
		case errors.As(err, &failed) && errors.As(err, &kmsErr):
			fmt.Println("cannot", failed.Op+":", kmsErr.Code)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println("ready")
		}
	}
	allow := server.Deny("kms:Decrypt", keyARN)
	ready()
	allow()
	ready()
	// Output:
	// cannot decrypt: AccessDeniedException
	// ready
}
