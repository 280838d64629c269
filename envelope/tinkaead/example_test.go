package tinkaead_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/tinkaead"
	"github.com/go-sealring/sealring/keyring"
)

func Example() {
	plaintext, associatedData := []byte("IBAN"), []byte("tenant 42")
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}

	var a tink.AEAD
	a, err = tinkaead.New(kr, nil) // was: aead.New(handle)
	if err != nil {
		log.Fatal(err)
	}
	ciphertext, err := a.Encrypt(plaintext, associatedData)
	if err != nil {
		log.Fatal(err)
	}

	plaintext, err = a.Decrypt(ciphertext, associatedData)
	fmt.Printf("%s %v\n", plaintext, err)

	_, err = a.Decrypt(ciphertext, []byte("tenant 43"))
	fmt.Println(errors.Is(err, envelope.ErrContextMismatch))
	// Output:
	// IBAN <nil>
	// true
}
