package awskms_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// Data keys are wrapped in two regions. While the nearest is down, the other unwraps.
func ExampleNewMultiRegion() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	var regions []awskms.RegionKey
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		regions = append(regions, awskms.RegionKey{
			Client: newClient(server, region), // in a program: kms.NewFromConfig(cfg)
			KeyARN: server.CreateKey(region, kmstest.SymmetricDefault),
		})
	}

	kr, err := awskms.NewMultiRegion(awskms.MultiRegionConfig{
		Regions: regions,
		Observer: awskms.Observer{OnEvent: func(_ context.Context, e awskms.Event) {
			fmt.Println("event:", e.Kind, e.Operation, e.Region)
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := client.Encrypt(ctx, []byte("order"), nil)
	if err != nil {
		log.Fatal(err)
	}

	server.Outage("us-east-1", kmstest.Refuse)
	plaintext, err := client.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output:
	// event: call GenerateDataKey us-east-1
	// event: call Encrypt eu-west-1
	// event: call Decrypt us-east-1
	// event: region failed  us-east-1
	// event: call Decrypt eu-west-1
	// order
}

// Each data key is wrapped by two keys, either of which opens the messages: auditors
// need no access to the key that the service uses.
func ExampleNewMulti() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	kmsClient := newClient(server, "us-east-1") // in a program: kms.NewFromConfig(cfg)
	ours := server.CreateKey("us-east-1", kmstest.SymmetricDefault)
	auditors := server.CreateKey("us-east-1", kmstest.SymmetricDefault)

	both, err := awskms.NewMulti(
		awskms.Config{Client: kmsClient, KeyID: ours},
		awskms.Config{Client: kmsClient, KeyID: auditors},
	)
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(both, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := client.Encrypt(ctx, []byte("ledger"), nil)
	if err != nil {
		log.Fatal(err)
	}

	server.Deny("kms:Decrypt", ours)
	kr, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: auditors})
	if err != nil {
		log.Fatal(err)
	}
	auditor, err := envelope.NewDecrypter(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := auditor.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: ledger
}
