// Command tinkv2 is the new Tink library's side of a test: a program cannot hold
// it and the archived one, since both register the same protocol buffers.
//
// It reads two lines in base64, a keyset in the clear and a message whose data
// key is wrapped under it, decrypts the message, and writes its plaintext in a
// new message, again in base64.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/tinkkeyring"
)

func main() {
	log.SetFlags(0)
	var stored, msg []byte
	for _, into := range []*[]byte{&stored, &msg} {
		var line string
		_, err := fmt.Scanln(&line)
		check(err)
		*into, err = base64.StdEncoding.DecodeString(line)
		check(err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(stored)))
	check(err)
	a, err := aead.New(handle)
	check(err)
	kr, err := tinkkeyring.New("payments", "kek", a)
	check(err)
	client, err := envelope.New(kr, nil)
	check(err)

	ec := keyring.EncryptionContext{"tenant": "42"}
	plaintext, err := client.Decrypt(context.Background(), msg, ec)
	check(err)
	msg, err = client.Encrypt(context.Background(), plaintext, ec)
	check(err)
	fmt.Println(base64.StdEncoding.EncodeToString(msg))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
