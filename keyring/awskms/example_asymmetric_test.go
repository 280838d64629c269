package awskms_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"log"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// Messages are encrypted where there is no way to KMS, and decrypted by it.
func ExampleNewRSAEncrypter() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("us-east-1", kmstest.RSA2048)
	public, err := x509.ParsePKIXPublicKey(server.PublicKey(keyARN)) // as kms:GetPublicKey gives it
	if err != nil {
		log.Fatal(err)
	}

	wrap, err := awskms.NewRSAEncrypter(awskms.RSAConfig{KeyARN: keyARN, PublicKey: public.(*rsa.PublicKey)})
	if err != nil {
		log.Fatal(err)
	}
	encrypter, err := envelope.NewEncrypter(wrap, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := encrypter.Encrypt(ctx, []byte("telemetry"), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("calls to encrypt:", server.Calls(kmstest.Match{}))

	kmsClient := newClient(server, "us-east-1") // in a program: kms.NewFromConfig(cfg)
	unwrap, err := awskms.NewRSADecrypter(awskms.RSAConfig{Client: kmsClient, KeyARN: keyARN})
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
	// Output:
	// calls to encrypt: 0
	// telemetry
}

// A partner without AWS writes to a service whose private key never leaves KMS.
func ExampleNewECDH() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("us-east-1", kmstest.ECCP256)
	kmsClient := newClient(server, "us-east-1") // in a program: kms.NewFromConfig(cfg)
	partner, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}

	// At the partner's.
	public, err := x509.ParsePKIXPublicKey(server.PublicKey(keyARN)) // as kms:GetPublicKey gives it
	if err != nil {
		log.Fatal(err)
	}
	peer, err := public.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		log.Fatal(err)
	}
	ofPartner, err := keyring.NewRawECDH(partner, peer)
	if err != nil {
		log.Fatal(err)
	}
	writer, err := envelope.New(ofPartner, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := writer.Encrypt(ctx, []byte("invoice"), nil)
	if err != nil {
		log.Fatal(err)
	}

	// In the service.
	kr, err := awskms.NewECDH(ctx, awskms.ECDHConfig{Client: kmsClient, KeyID: keyARN, Peer: partner.PublicKey()})
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := client.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: invoice
}
