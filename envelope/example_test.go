package envelope_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A field is encrypted and decrypted under a key that the program holds.
func Example() {
	ctx := context.Background()
	plaintext := []byte("blood group 0+")
	key := make([]byte, 32)
	rand.Read(key) // a program reads it from where it keeps its secrets

	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}

	ec := keyring.EncryptionContext{"tenant": "42", "table": "patients"}
	msg, err := client.Encrypt(ctx, plaintext, ec)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err = client.Decrypt(ctx, msg, ec)
	if err != nil {
		log.Fatal(err)
	}

	fmt.Printf("%s\n", plaintext)
	// Output: blood group 0+
}

// The context that Decrypt is given may be a part of the message's. What contradicts
// the message is refused.
func ExampleDecrypter_Decrypt() {
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
	msg, err := client.Encrypt(ctx, []byte("blood group 0+"), keyring.EncryptionContext{"tenant": "42", "table": "patients"})
	if err != nil {
		log.Fatal(err)
	}

	for _, expected := range []keyring.EncryptionContext{
		{"tenant": "42", "table": "patients"},
		{"tenant": "42"},
		{"tenant": "43"},
		{"tenant": "42", "row": "7"},
	} {
		plaintext, err := client.Decrypt(ctx, msg, expected)
		switch {
		case errors.Is(err, envelope.ErrContextMismatch):
			fmt.Println(expected, "refused")
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Printf("%v %s\n", expected, plaintext)
		}
	}
	// Output:
	// map[table:patients tenant:42] blood group 0+
	// map[tenant:42] blood group 0+
	// map[tenant:43] refused
	// map[row:7 tenant:42] refused
}

// Messages under many data keys wait for the key service together. One that was stored
// in another's place does not keep the others from being read.
func ExampleDecrypter_DecryptBatch() {
	kr, err := keyring.NewRawAES("payments", "kek-2026", make([]byte, 32))
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	var rows []envelope.Sealed
	for _, tenant := range []string{"41", "42", "43"} {
		ec := keyring.EncryptionContext{"tenant": tenant}
		msg, err := client.Encrypt(ctx, []byte("IBAN of "+tenant), ec)
		if err != nil {
			log.Fatal(err)
		}
		rows = append(rows, envelope.Sealed{Message: msg, Context: ec})
	}
	rows[1].Message = rows[2].Message

	for i, row := range client.DecryptBatch(ctx, rows) {
		if row.Err != nil {
			fmt.Println(i, row.Err)
			continue
		}
		fmt.Println(i, string(row.Plaintext))
	}
	// Output:
	// 0 IBAN of 41
	// 1 envelope: decrypt: data key: encryption context mismatch: the message has another value for key "tenant"
	// 2 IBAN of 43
}

// Many fields are encrypted into one buffer, which is used again for the next record.
func ExampleEncrypter_AppendEncrypt() {
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

	ec := keyring.EncryptionContext{"tenant": "42"}
	var buf []byte
	for _, field := range []string{"IBAN", "blood group 0+"} {
		buf, err = client.AppendEncrypt(ctx, buf[:0], []byte(field), ec)
		if err != nil {
			log.Fatal(err)
		}
		plaintext, err := client.Decrypt(ctx, buf, ec)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d bytes for %q\n", len(buf), plaintext)
	}
	// Output:
	// 240 bytes for "IBAN"
	// 250 bytes for "blood group 0+"
}

// A front end encrypts, and cannot decrypt: it holds a public key alone, and its
// client has no method for it. A back end with the private key decrypts.
func ExampleNewEncrypter() {
	ctx := context.Background()
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}

	// In the front end.
	wrap, err := keyring.NewRawECDHEncrypter(private.PublicKey())
	if err != nil {
		log.Fatal(err)
	}
	encrypter, err := envelope.NewEncrypter(wrap, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := encrypter.Encrypt(ctx, []byte("card 4111"), nil)
	if err != nil {
		log.Fatal(err)
	}

	// In the back end.
	unwrap, err := keyring.NewRawECDHDecrypter(private)
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
	// Output: card 4111
}

// What a message says of itself is read without a key. It is authentic once the
// message has been decrypted.
func ExampleParseHeader() {
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
	msg, err := client.Encrypt(ctx, []byte("blood group 0+"), keyring.EncryptionContext{"tenant": "42"})
	if err != nil {
		log.Fatal(err)
	}

	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("version:", h.Version)
	fmt.Println("suite:", h.Suite)
	fmt.Println("context:", h.Context)
	for _, k := range h.EncryptedDataKeys {
		fmt.Println("wrapped by:", k.ProviderID, k.KeyName())
	}
	fmt.Println("frames of", h.FrameLength, "bytes")
	// Output:
	// version: 2
	// suite: 0x0478 (AES-256-GCM, HKDF-SHA512, key commitment)
	// context: map[tenant:42]
	// wrapped by: payments kek-2026
	// frames of 4096 bytes
}

// Messages are signed, so that whoever can only decrypt cannot write messages that look
// like the client's. The signature stands at the end.
func ExampleOptions_sign() {
	ctx := context.Background()
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(kr, &envelope.Options{Sign: true})
	if err != nil {
		log.Fatal(err)
	}
	msg, err := client.Encrypt(ctx, []byte("blood group 0+"), nil)
	if err != nil {
		log.Fatal(err)
	}

	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("signed:", h.Suite.Signs())
	plaintext, err := client.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)

	msg[len(msg)-1] ^= 1 // in the signature
	_, err = client.Decrypt(ctx, msg, nil)
	fmt.Println("altered:", errors.Is(err, envelope.ErrSignature))
	// Output:
	// signed: true
	// blood group 0+
	// altered: true
}
