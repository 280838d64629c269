package envelope_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A message as text goes where bytes cannot: into an environment variable, a parameter or a
// file of configuration.
func ExampleEncrypter_EncryptText() {
	ctx := context.Background()
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	ec := keyring.EncryptionContext{"service": "billing"}
	text, err := client.EncryptText(ctx, []byte("correct horse"), ec)
	if err != nil {
		log.Fatal(err)
	}
	os.Setenv("DATABASE_PASSWORD", text)

	password, err := client.DecryptText(ctx, os.Getenv("DATABASE_PASSWORD"), ec)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, in %d characters\n", password, len(text))
	// Output: correct horse, in 340 characters
}

// A message that is under an old key is encrypted anew, under a new data key. Which messages
// need it, their headers tell without a key.
func ExampleEncrypter_Reencrypt() {
	ctx := context.Background()
	clients := map[string]*envelope.Client{}
	for _, name := range []string{"kek-2025", "kek-2026"} {
		key := make([]byte, 32)
		rand.Read(key)
		kr, err := keyring.NewRawAES("payments", name, key)
		if err != nil {
			log.Fatal(err)
		}
		if clients[name], err = envelope.New(kr, nil); err != nil {
			log.Fatal(err)
		}
	}
	ec := keyring.EncryptionContext{"tenant": "42"}
	object, err := clients["kek-2025"].Encrypt(ctx, []byte("a scan"), ec)
	if err != nil {
		log.Fatal(err)
	}

	header, err := envelope.ParseHeader(bytes.NewReader(object), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(header)
	if !header.WrappedBy("kek-2026") {
		var again bytes.Buffer // or an upload, which is given up if this fails
		err := clients["kek-2026"].Reencrypt(ctx, &again, clients["kek-2025"].Decrypter, bytes.NewReader(object), ec)
		if err != nil {
			log.Fatal(err)
		}
		object = again.Bytes()
	}
	plaintext, err := clients["kek-2026"].Decrypt(ctx, object, ec)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output:
	// message of version 2, suite 0x0478 (AES-256-GCM, HKDF-SHA512, key commitment), frames of 4096 bytes, wrapped by "payments"/"kek-2025", context with "tenant"
	// a scan
}
