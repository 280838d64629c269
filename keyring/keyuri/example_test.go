package keyuri_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/keyuri"
)

// A program opens the key that its configuration names.
func Example() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Alias("alias/orders", server.CreateKey("eu-west-1", kmstest.SymmetricDefault))
	opener := &keyuri.Opener{
		KMS: func(_ context.Context, region string) (keyuri.KMSClient, error) {
			return newClient(server, region), nil // in a program: kms.NewFromConfig(cfg)
		},
	}
	defer opener.Close()

	uri, err := keyuri.Parse("aws-kms:alias/orders?region=eu-west-1")
	if err != nil {
		log.Fatal(err)
	}
	kr, err := opener.Open(ctx, uri)
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Check(ctx, keyring.EncryptionContext{"tenant": "42"}))
	// Output: <nil>
}

// An environment variable lists a key in KMS and one for emergencies, with which every
// message can be opened too.
func ExampleOpener_Open_several() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("eu-west-1", kmstest.SymmetricDefault)
	key := make([]byte, 32)
	rand.Read(key)
	os.Setenv("EMERGENCY_KEY", base64.StdEncoding.EncodeToString(key))
	os.Setenv("KEYS", keyARN+" raw-aes:?namespace=orders&name=emergency&env=EMERGENCY_KEY")

	opener := &keyuri.Opener{
		KMS: func(_ context.Context, region string) (keyuri.KMSClient, error) {
			return newClient(server, region), nil // in a program: kms.NewFromConfig(cfg)
		},
	}
	var uris []keyuri.URI
	for _, text := range strings.Fields(os.Getenv("KEYS")) {
		uri, err := keyuri.Parse(text)
		if err != nil {
			log.Fatal(err)
		}
		uris = append(uris, uri)
	}
	kr, err := opener.Open(ctx, uris...)
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := client.CheckKeys(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, k := range keys {
		fmt.Println(k.ProviderID, k.Name == keyARN || k.Name == "emergency")
	}
	// Output:
	// aws-kms true
	// orders true
}

// What cannot be is an error that shows the right form, and does not repeat what may be a
// key.
func ExampleParse_errors() {
	for _, text := range []string{
		"aws-kms:alias/orders",
		"raw-aes:?namespace=orders&name=kek&key=q83vEjRWeJA",
	} {
		_, err := keyuri.Parse(text)
		fmt.Println(err)
	}
	// Output:
	// keyuri: invalid argument: aws-kms: parameter region is missing, which only an ARN does without; the form is aws-kms:ARN, aws-kms:ID?region=REGION or aws-kms:alias/NAME?region=REGION, with previous=ARN,ARN for keys that were used before
	// keyuri: invalid argument: raw-aes: parameter 3 would put a secret into the URI, which ends up in logs: give the name of a file or of an environment variable that holds it, with file=PATH or env=VARIABLE; the form is raw-aes:?namespace=NAMESPACE&name=NAME&file=PATH, or with env=VARIABLE in place of file
}
