package kmstest_test

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// A tb stands in for the *testing.T of a test, which an example has not got.
type tb struct{ cleanups []func() }

func (*tb) Helper()                           {}
func (t *tb) Cleanup(f func())                { t.cleanups = append(t.cleanups, f) }
func (*tb) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

func (t *tb) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

// A test encrypts under a key of its own KMS, which is closed when the test ends.
func ExampleStart() {
	ctx := context.Background()
	t := new(tb) // in a test, t is its *testing.T
	defer t.end()

	s := kmstest.Start(t)
	arn := s.CreateKey("us-east-1", kmstest.SymmetricDefault)
	client := kms.New(kms.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(s.URL("us-east-1")),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		}),
	})

	kr, err := awskms.New(awskms.Config{Client: client, KeyID: arn})
	if err != nil {
		log.Fatal(err)
	}
	sealer, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := sealer.Encrypt(ctx, []byte("IBAN"), nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := sealer.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, after %d calls\n", plaintext, s.Calls(kmstest.Match{}))
	// Output: IBAN, after 2 calls
}
