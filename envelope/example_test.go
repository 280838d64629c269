package envelope_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

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
