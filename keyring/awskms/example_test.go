package awskms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// A field is encrypted under a KMS key.
func Example() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("us-east-1", kmstest.SymmetricDefault)
	kmsClient := newClient(server, "us-east-1") // in a program: kms.NewFromConfig(cfg)

	kr, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: keyARN})
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}

	ec := keyring.EncryptionContext{"tenant": "42"} // KMS sees it: policies can demand it
	msg, err := client.Encrypt(ctx, []byte("IBAN"), ec)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := client.Decrypt(ctx, msg, ec)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: IBAN
}

// A program moves to a new key: KeyID is the new one, and DecryptKeys has the old one,
// whose messages are still read.
func ExampleNew_rotation() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	kmsClient := newClient(server, "us-east-1") // in a program: kms.NewFromConfig(cfg)
	oldARN := server.CreateKey("us-east-1", kmstest.SymmetricDefault)
	newARN := server.CreateKey("us-east-1", kmstest.SymmetricDefault)

	before, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: oldARN})
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(before, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := client.Encrypt(ctx, []byte("written before"), nil)
	if err != nil {
		log.Fatal(err)
	}

	after, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: newARN, DecryptKeys: []string{oldARN}})
	if err != nil {
		log.Fatal(err)
	}
	client, err = envelope.New(after, nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := client.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: written before
}

// An alias is enough to encrypt. Messages name the key that it stood for.
func ExampleNewEncrypter() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("us-east-1", kmstest.SymmetricDefault)
	server.Alias("alias/orders", keyARN)
	kmsClient := newClient(server, "us-east-1") // in a program: kms.NewFromConfig(cfg)

	kr, err := awskms.NewEncrypter(awskms.Config{Client: kmsClient, KeyID: "alias/orders"})
	if err != nil {
		log.Fatal(err)
	}
	encrypter, err := envelope.NewEncrypter(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := encrypter.Encrypt(ctx, []byte("order"), nil)
	if err != nil {
		log.Fatal(err)
	}

	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(h.EncryptedDataKeys[0].KeyName() == keyARN)
	// Output: true
}

// An alias is resolved when the program starts, so that a keyring under the alias can
// decrypt too: messages name keys by ARN.
func ExampleResolveKey() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("us-east-1", kmstest.SymmetricDefault)
	server.Alias("alias/orders", keyARN)
	kmsClient := newClient(server, "us-east-1") // in a program: kms.NewFromConfig(cfg)

	resolved, err := awskms.ResolveKey(ctx, kmsClient, "alias/orders")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resolved == keyARN)
	kr, err := awskms.New(awskms.Config{
		Client:      kmsClient,
		KeyID:       "alias/orders",
		DecryptKeys: []string{resolved}, // and the ARNs of keys that it stood for before
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
	plaintext, err := client.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output:
	// true
	// order
}

// A reader takes whatever key a message names, as long as it is of the accounts that are
// listed.
func ExampleNewDiscovery() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{Account: "111122223333"})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("us-east-1", kmstest.SymmetricDefault)
	kmsClient := newClient(server, "us-east-1") // in a program: kms.NewFromConfig(cfg)
	writer, err := awskms.NewEncrypter(awskms.Config{Client: kmsClient, KeyID: keyARN})
	if err != nil {
		log.Fatal(err)
	}
	encrypter, err := envelope.NewEncrypter(writer, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := encrypter.Encrypt(ctx, []byte("order"), nil)
	if err != nil {
		log.Fatal(err)
	}

	for _, account := range []string{"111122223333", "444455556666"} {
		kr, err := awskms.NewDiscovery(awskms.DiscoveryConfig{Client: kmsClient, Accounts: []string{account}})
		if err != nil {
			log.Fatal(err)
		}
		decrypter, err := envelope.NewDecrypter(kr, nil)
		if err != nil {
			log.Fatal(err)
		}
		plaintext, err := decrypter.Decrypt(ctx, msg, nil)
		switch {
		case errors.Is(err, envelope.ErrNoMatchingKey):
			fmt.Println(account, "refused")
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Printf("%s %s\n", account, plaintext)
		}
	}
	// Output:
	// 111122223333 order
	// 444455556666 refused
}

// A refusal by KMS and an outage are told apart, and name operation, key and code.
func ExampleError() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("us-east-1", kmstest.SymmetricDefault)
	kmsClient := newClient(server, "us-east-1") // in a program: kms.NewFromConfig(cfg)
	kr, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: keyARN})
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}

	try := func() {
		_, err := client.Encrypt(ctx, []byte("IBAN"), nil)
		var e *awskms.Error
		if !errors.As(err, &e) {
			log.Fatal(err)
		}
		fmt.Println(e.Operation, e.Code)
		fmt.Println("  unavailable:", e.Unavailable(), "refused:", e.Refused())
	}

	server.Disable(keyARN)
	try()
	server.Outage("us-east-1", kmstest.InternalError)
	try()
	// Output:
	// GenerateDataKey DisabledException
	//   unavailable: false refused: true
	// GenerateDataKey KMSInternalException
	//   unavailable: true refused: false
}
