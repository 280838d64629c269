package envelope_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// An upload reads its body. The body's length is known before, and it can be sent a second
// time, as after this server's first answer.
func ExampleEncrypter_NewEncryptReader() {
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

	var stored [][]byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		object, _ := io.ReadAll(r.Body)
		stored = append(stored, object)
		if r.ContentLength != int64(len(object)) {
			w.WriteHeader(http.StatusLengthRequired)
		} else if len(stored) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()

	scan := strings.NewReader(strings.Repeat("0123456789", 100_000)) // or a file
	body, err := client.NewEncryptReader(ctx, scan, scan.Size(), keyring.EncryptionContext{"tenant": "42"})
	if err != nil {
		log.Fatal(err)
	}
	defer body.Close()
	for range 2 {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			log.Fatal(err)
		}
		// The client closes what it has sent.
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL, io.NopCloser(body))
		if err != nil {
			log.Fatal(err)
		}
		req.ContentLength = body.Size()
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
		fmt.Println(answer.Status)
	}
	fmt.Println("the same bytes:", bytes.Equal(stored[0], stored[1]))
	plaintext, err := client.Decrypt(ctx, stored[1], nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d bytes, %s...\n", len(plaintext), plaintext[:10])
	// Output:
	// 503 Service Unavailable
	// 200 OK
	// the same bytes: true
	// 1000000 bytes, 0123456789...
}
