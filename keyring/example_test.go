package keyring_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A keyring under a key that the program holds serves a client.
func Example() {
	ctx := context.Background()
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

	msg, err := client.Encrypt(ctx, []byte("IBAN"), nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := client.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: IBAN
}

// A program moves to a new AES key: what it writes is wrapped by that, and what the old
// key wrapped is still read.
func ExampleNewRawAES() {
	ctx := context.Background()
	oldKey, newKey := make([]byte, 32), make([]byte, 32)
	rand.Read(oldKey)
	rand.Read(newKey)
	last, err := keyring.NewRawAES("payments", "kek-2025", oldKey)
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(last, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := client.Encrypt(ctx, []byte("written in 2025"), nil)
	if err != nil {
		log.Fatal(err)
	}

	current, err := keyring.NewRawAES("payments", "kek-2026", newKey)
	if err != nil {
		log.Fatal(err)
	}
	either, err := keyring.NewMultiDecrypter(current, last)
	if err != nil {
		log.Fatal(err)
	}
	encrypter, err := envelope.NewEncrypter(current, nil)
	if err != nil {
		log.Fatal(err)
	}
	decrypter, err := envelope.NewDecrypter(either, nil)
	if err != nil {
		log.Fatal(err)
	}
	newMsg, err := encrypter.Encrypt(ctx, []byte("written in 2026"), nil)
	if err != nil {
		log.Fatal(err)
	}

	for _, msg := range [][]byte{msg, newMsg} {
		plaintext, err := decrypter.Decrypt(ctx, msg, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", plaintext)
	}
	// Output:
	// written in 2025
	// written in 2026
}

// Each data key is wrapped twice, so that a backup key opens the messages when the first
// is lost.
func ExampleNewMulti() {
	ctx := context.Background()
	daily, backup := make([]byte, 32), make([]byte, 32)
	rand.Read(daily)
	rand.Read(backup)
	first, err := keyring.NewRawAES("payments", "kek-2026", daily)
	if err != nil {
		log.Fatal(err)
	}
	second, err := keyring.NewRawAES("payments", "backup", backup)
	if err != nil {
		log.Fatal(err)
	}
	both, err := keyring.NewMulti(first, second)
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.New(both, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := client.Encrypt(ctx, []byte("IBAN"), nil)
	if err != nil {
		log.Fatal(err)
	}

	rescue, err := envelope.NewDecrypter(second, nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := rescue.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: IBAN
}

// The row that a field belongs to is bound to the message and not stored in it: whoever
// decrypts has to give it.
func ExampleNewRequiredContextManager() {
	ctx := context.Background()
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	manager, err := keyring.NewManager(kr)
	if err != nil {
		log.Fatal(err)
	}
	required, err := keyring.NewRequiredContextManager(manager, "row")
	if err != nil {
		log.Fatal(err)
	}
	client, err := envelope.NewFromManager(required, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := client.Encrypt(ctx, []byte("IBAN"), keyring.EncryptionContext{"tenant": "42", "row": "7"})
	if err != nil {
		log.Fatal(err)
	}

	for _, ec := range []keyring.EncryptionContext{
		{"row": "7"},
		{"row": "8"},
		{"tenant": "42"},
	} {
		plaintext, err := client.Decrypt(ctx, msg, ec)
		switch {
		case errors.Is(err, keyring.ErrContextMismatch):
			fmt.Println(ec, "refused")
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Printf("%v %s\n", ec, plaintext)
		}
	}
	// Output:
	// map[row:7] IBAN
	// map[row:8] refused
	// map[tenant:42] refused
}

// When no wrapped key can be unwrapped, the error has the reason of each that was tried,
// or the names of the keys that would be needed.
func ExampleNoMatchError() {
	ctx := context.Background()
	key := make([]byte, 32)
	rand.Read(key)
	writer, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	reader, err := keyring.NewRawAES("payments", "kek-2025", key)
	if err != nil {
		log.Fatal(err)
	}
	encrypter, err := envelope.NewEncrypter(writer, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := encrypter.Encrypt(ctx, []byte("IBAN"), nil)
	if err != nil {
		log.Fatal(err)
	}

	decrypter, err := envelope.NewDecrypter(reader, nil)
	if err != nil {
		log.Fatal(err)
	}
	_, err = decrypter.Decrypt(ctx, msg, nil)
	var noMatch *keyring.NoMatchError
	if !errors.As(err, &noMatch) {
		log.Fatal(err)
	}
	fmt.Println("tried with:", noMatch.Keyring)
	fmt.Println("wrapped by:", noMatch.WrappedBy)
	fmt.Println("reasons:", len(noMatch.Reasons))
	// Output:
	// tried with: raw AES "payments"/"kek-2025"
	// wrapped by: [kek-2026]
	// reasons: 0
}
