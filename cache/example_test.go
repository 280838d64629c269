package cache_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A thousand messages of one tenant take one data key. Stats counts what was saved.
func Example() {
	ctx := context.Background()
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("payments", "kek-2026", key) // or one that asks a key service
	if err != nil {
		log.Fatal(err)
	}

	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer cached.Close()
	client, err := envelope.NewFromManager(cached, nil)
	if err != nil {
		log.Fatal(err)
	}

	for range 1000 {
		_, err := client.Encrypt(ctx, []byte("IBAN"), keyring.EncryptionContext{"tenant": "42"})
		if err != nil {
			log.Fatal(err)
		}
	}
	stats := cached.Stats()
	fmt.Println("loads:", stats.Loads)
	fmt.Println("calls saved:", stats.CallsSaved)
	// Output:
	// loads: 1
	// calls saved: 999
}

// No data key encrypts more than a hundred messages. With NoRefresh the caller that
// needs the next one waits for it; without, it is mostly made in the background before.
func ExampleLimits() {
	ctx := context.Background()
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	cached, err := cache.New(kr, cache.Limits{
		MaxAge:      5 * time.Minute,
		MaxMessages: 100,
		NoRefresh:   true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cached.Close()
	client, err := envelope.NewFromManager(cached, nil)
	if err != nil {
		log.Fatal(err)
	}

	for range 1000 {
		if _, err := client.Encrypt(ctx, []byte("IBAN"), nil); err != nil {
			log.Fatal(err)
		}
	}
	stats := cached.Stats()
	fmt.Println("data keys:", stats.Loads)
	fmt.Println("calls saved:", stats.CallsSaved)
	// Output:
	// data keys: 10
	// calls saved: 990
}

// Tenants whose messages have equal contexts share no data keys if each has a partition.
// The data keys of one who leaves are dropped.
func ExampleCache_Partition() {
	ctx := context.Background()
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer cached.Close()

	ec := keyring.EncryptionContext{"table": "patients"}
	for _, tenant := range []string{"41", "42", "41"} {
		client, err := envelope.NewFromManager(cached.Partition(tenant), nil)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := client.Encrypt(ctx, []byte("blood group 0+"), ec); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("data keys:", cached.Stats().Entries)

	cached.PurgePartition("42")
	fmt.Println("after tenant 42 left:", cached.Stats().Entries)
	// Output:
	// data keys: 2
	// after tenant 42 left: 1
}

// A wrapping key is withdrawn: what it wrapped is not served from the cache any more.
func ExampleCache_PurgeKey() {
	ctx := context.Background()
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer cached.Close()
	client, err := envelope.NewFromManager(cached, nil)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := client.Encrypt(ctx, []byte("IBAN"), nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Decrypt(ctx, msg, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println("to encrypt and to decrypt:", cached.Stats().Entries)

	cached.PurgeKey("kek-2026")
	fmt.Println("after the purge:", cached.Stats().Entries)
	// Output:
	// to encrypt and to decrypt: 2
	// after the purge: 0
}
