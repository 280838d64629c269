package envelope_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A stream of any length is encrypted in constant memory. Close ends the message, and
// is left out when the input failed.
func ExampleEncrypter_NewWriter() {
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

	src := strings.NewReader(strings.Repeat("one line of a report\n", 1000))
	var dst bytes.Buffer // or a file, or the body of an upload
	w, err := client.NewWriter(ctx, &dst, keyring.EncryptionContext{"tenant": "42"})
	if err != nil {
		log.Fatal(err)
	}
	n, err := io.Copy(w, src)
	if err != nil {
		log.Fatal(err) // dst does not hold a message
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	fmt.Println("encrypted", n, "bytes to", dst.Len())
	// Output: encrypted 21000 bytes to 21396
}

// A message is decrypted while it is read. One that was cut short is an error, not a
// shorter plaintext.
func ExampleDecrypter_NewReader() {
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
	msg, err := client.Encrypt(ctx, []byte("a report\n"), ec)
	if err != nil {
		log.Fatal(err)
	}

	r, err := client.NewReader(ctx, bytes.NewReader(msg), ec)
	if err != nil {
		log.Fatal(err)
	}
	var dst strings.Builder
	if _, err := io.Copy(&dst, r); err != nil {
		log.Fatal(err)
	}
	fmt.Print(dst.String())

	r, err = client.NewReader(ctx, bytes.NewReader(msg[:len(msg)-1]), ec)
	if err != nil {
		log.Fatal(err)
	}
	_, err = io.Copy(io.Discard, r)
	fmt.Println("cut short:", errors.Is(err, io.ErrUnexpectedEOF))
	// Output:
	// a report
	// cut short: true
}

// An encrypted file is served over HTTP, with ranges: only the frames that a request
// touches are read and decrypted.
func ExampleDecrypter_NewReaderAt() {
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
	plaintext := strings.Repeat(".", 10_000) + "needle" + strings.Repeat(".", 10_000)
	msg, err := client.Encrypt(ctx, []byte(plaintext), ec)
	if err != nil {
		log.Fatal(err)
	}

	file := bytes.NewReader(msg) // or an *os.File
	ra, err := client.NewReaderAt(ctx, file, int64(len(msg)), ec)
	if err != nil {
		log.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodGet, "/report.txt", nil)
	req.Header.Set("Range", "bytes=10000-10005")
	resp := httptest.NewRecorder()
	http.ServeContent(resp, req, "report.txt", time.Time{}, io.NewSectionReader(ra, 0, ra.Size()))

	fmt.Println(resp.Code, resp.Header().Get("Content-Range"))
	fmt.Println(resp.Body)
	// Output:
	// 206 bytes 10000-10005/20006
	// needle
}

// An upload announces its length before anything is encrypted.
func ExampleHeader_MessageSize() {
	ctx := context.Background()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("announced", r.ContentLength, "and sent", n)
	}))
	defer server.Close()
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

	src := strings.NewReader(strings.Repeat("one line of a report\n", 1000))
	body, dst := io.Pipe()
	w, err := client.NewWriter(ctx, dst, keyring.EncryptionContext{"tenant": "42"})
	if err != nil {
		log.Fatal(err)
	}
	size, err := w.Header().MessageSize(src.Size())
	if err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL, body)
	if err != nil {
		log.Fatal(err)
	}
	req.ContentLength = size

	go func() {
		_, err := io.Copy(w, src)
		if err == nil {
			err = w.Close()
		}
		dst.CloseWithError(err) // a failure becomes that of the request
	}()
	resp, err := server.Client().Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// announced 21396 and sent 21396
	// 200 OK
}
