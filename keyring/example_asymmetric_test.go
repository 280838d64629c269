package keyring_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// Whoever has the public key encrypts, and the holder of the private key decrypts. That
// may be in an HSM: any crypto.Decrypter will do.
func ExampleNewRawRSAEncrypter() {
	ctx := context.Background()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}

	wrap, err := keyring.NewRawRSAEncrypter("partner", "rsa-2026", &private.PublicKey, keyring.RSAOAEPSHA256)
	if err != nil {
		log.Fatal(err)
	}
	encrypter, err := envelope.NewEncrypter(wrap, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := encrypter.Encrypt(ctx, []byte("invoice"), nil)
	if err != nil {
		log.Fatal(err)
	}

	unwrap, err := keyring.NewRawRSADecrypter("partner", "rsa-2026", private, keyring.RSAOAEPSHA256)
	if err != nil {
		log.Fatal(err)
	}
	decrypter, err := envelope.NewDecrypter(unwrap, nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := decrypter.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: invoice
}

// Two parties who know each other's public key read what either wrote.
func ExampleNewRawECDH() {
	ctx := context.Background()
	alice, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	bob, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}

	ofAlice, err := keyring.NewRawECDH(alice, bob.PublicKey())
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(ofAlice, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := client.Encrypt(ctx, []byte("hello Bob"), nil)
	if err != nil {
		log.Fatal(err)
	}

	ofBob, err := keyring.NewRawECDH(bob, alice.PublicKey())
	if err != nil {
		log.Fatal(err)
	}
	peer, err := envelope.New(ofBob, nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := peer.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: hello Bob
}
