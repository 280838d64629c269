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
	"sync/atomic"
	"time"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// Ranges of an encrypted object take one request each, after two that open it. What must be
// written for a store is a FetchFunc: here for one that speaks HTTP.
func ExampleDecrypter_NewRangeReader() {
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
	msg, err := client.Encrypt(ctx, []byte(strings.Repeat("0123456789", 100_000)), ec)
	if err != nil {
		log.Fatal(err)
	}
	var version atomic.Int64
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("GET", r.Header.Get("Range"))
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, version.Load()))
		http.ServeContent(w, r, "scan", time.Time{}, bytes.NewReader(msg))
	}))
	defer store.Close()

	fetch := func(ctx context.Context, req envelope.FetchRequest) (*envelope.FetchResult, error) {
		get, err := http.NewRequestWithContext(ctx, http.MethodGet, store.URL, nil)
		if err != nil {
			return nil, err
		}
		get.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", req.Offset, req.Offset+req.Length-1))
		if req.Version != "" {
			get.Header.Set("If-Match", req.Version)
		}
		res, err := http.DefaultClient.Do(get)
		switch {
		case err != nil:
			return nil, err
		case res.StatusCode == http.StatusPreconditionFailed:
			res.Body.Close()
			return nil, envelope.ErrSourceChanged
		case res.StatusCode != http.StatusPartialContent:
			res.Body.Close()
			return nil, errors.New(res.Status)
		}
		var first, last, size int64
		if _, err := fmt.Sscanf(res.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err != nil {
			res.Body.Close()
			return nil, err
		}
		return &envelope.FetchResult{Body: res.Body, Size: size, Version: res.Header.Get("ETag")}, nil
	}
	scan, err := client.NewRangeReader(ctx, fetch, ec)
	if err != nil {
		log.Fatal(err)
	}
	part := make([]byte, 300_000)
	if _, err := scan.ReadAt(part, 500_000); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d bytes of %d, %s...\n", len(part), scan.Size(), part[:10])

	// To a client that asks for ranges itself. This one's range is in the final frame, which
	// was fetched when the object was opened.
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content := scan.NewSectionReader(r.Context(), 0, scan.Size())
		defer content.Close()
		w.Header().Set("Content-Type", "text/plain")
		http.ServeContent(w, r, "scan", time.Time{}, content)
	}))
	defer front.Close()
	get, err := http.NewRequest(http.MethodGet, front.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	get.Header.Set("Range", "bytes=-16")
	res, err := http.DefaultClient.Do(get)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	end, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s\n", res.Status, end)

	version.Add(1) // somebody has written the object anew
	_, err = scan.ReadAt(part, 0)
	fmt.Println(err)
	// Output:
	// GET bytes=0-65535
	// GET bytes=1007428-1008043
	// GET bytes=503812-809283
	// 300000 bytes of 1000000, 0123456789...
	// 206 Partial Content 4567890123456789
	// GET bytes=196-305667
	// envelope: decrypt: fetch: the source has changed
}
