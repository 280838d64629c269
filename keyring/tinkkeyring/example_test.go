package tinkkeyring_test

import (
	"context"
	"fmt"
	"log"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/tinkkeyring"
)

func Example() {
	// A program would read its keyset: keyset.Read, with the AEAD that it is
	// encrypted under.
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		log.Fatal(err)
	}
	wrapping, err := aead.New(handle) // github.com/tink-crypto/tink-go/v2/aead
	if err != nil {
		log.Fatal(err)
	}
	kr, err := tinkkeyring.New("payments", "tink-2026", wrapping)
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	ec := keyring.EncryptionContext{"tenant": "42"}
	msg, err := client.Encrypt(ctx, []byte("IBAN"), ec)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := client.Decrypt(ctx, msg, ec)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: IBAN <nil>
}
