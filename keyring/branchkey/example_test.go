package branchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
)

// Each tenant has a branch key. A context that differs for each message costs no call to
// KMS.
func Example() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("us-east-1", kmstest.SymmetricDefault)
	kmsClient := newClient(server, "us-east-1") // in a program: kms.NewFromConfig(cfg)
	store := branchkeytest.NewMemoryStore()     // in a program: sqlstore.New(…)

	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: store, Client: kmsClient, KeyARN: keyARN, Name: "tenant-keys",
	})
	if err != nil {
		log.Fatal(err)
	}
	kr, err := branchkey.New(branchkey.Config{
		KeyStore: keys,
		Supplier: func(ec keyring.EncryptionContext) (string, error) { return ec["tenant"], nil },
		Limits:   cache.Limits{MaxAge: time.Hour},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer kr.Close()
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}

	// Once for each tenant.
	if _, err := keys.Create(ctx, "42", keyring.EncryptionContext{"tenant": "42"}); err != nil {
		log.Fatal(err)
	}
	server.ResetCalls()
	for i := range 1000 {
		ec := keyring.EncryptionContext{"tenant": "42", "row": fmt.Sprint(i)}
		if _, err := client.Encrypt(ctx, []byte("IBAN"), ec); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(server.Calls(kmstest.Match{}), "call to KMS for 1000 messages")
	// Output: 1 call to KMS for 1000 messages
}

// A tenant's branch key gets a new version, and is destroyed.
func ExampleKeyStore() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store:  branchkeytest.NewMemoryStore(),
		Client: newClient(server, "us-east-1"),
		KeyARN: server.CreateKey("us-east-1", kmstest.SymmetricDefault),
		Name:   "tenant-keys",
	})
	if err != nil {
		log.Fatal(err)
	}
	kr, err := branchkey.New(branchkey.Config{KeyStore: keys, ID: "42", Limits: cache.Limits{MaxAge: time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	defer kr.Close()
	client, err := envelope.New(kr, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := keys.Create(ctx, "42", keyring.EncryptionContext{"tenant": "42"}); err != nil {
		log.Fatal(err)
	}
	msg, err := client.Encrypt(ctx, []byte("IBAN"), nil)
	if err != nil {
		log.Fatal(err)
	}

	// What the old version has wrapped can be read.
	if _, err := keys.Version(ctx, "42"); err != nil {
		log.Fatal(err)
	}
	plaintext, err := client.Decrypt(ctx, msg, nil)
	if err != nil {
		log.Fatal(err)
	}
	versions, err := keys.List(ctx, "42")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %d versions\n", plaintext, len(versions))

	// The ID is repeated so that no slip does this.
	if err := keys.Destroy(ctx, "42", "42"); err != nil {
		log.Fatal(err)
	}
	_, err = client.Decrypt(ctx, msg, nil)
	fmt.Println(errors.Is(err, branchkey.ErrNotFound))
	// Output:
	// IBAN, 2 versions
	// true
}

// A tenant is shredded: its branch key is destroyed, and every process drops what it keeps.
func ExampleKeyStore_Destroy() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("us-east-1", kmstest.SymmetricDefault)
	table := branchkeytest.NewMemoryStore() // in a program: one table in a database

	// Two processes, each with branch keys and, before them, data keys that it keeps.
	type process struct {
		keys     *branchkey.KeyStore
		keyring  *branchkey.Keyring
		dataKeys *cache.Cache
		client   *envelope.Client
	}
	start := func() (p process) {
		if p.keys, err = branchkey.NewKeyStore(branchkey.KeyStoreConfig{
			Store: table, Client: newClient(server, "us-east-1"), KeyARN: keyARN, Name: "tenant-keys",
		}); err != nil {
			log.Fatal(err)
		}
		if p.keyring, err = branchkey.New(branchkey.Config{
			KeyStore: p.keys,
			Supplier: func(ec keyring.EncryptionContext) (string, error) { return ec["tenant"], nil },
			Limits:   cache.Limits{MaxAge: time.Hour},
		}); err != nil {
			log.Fatal(err)
		}
		if p.dataKeys, err = cache.New(p.keyring, cache.Limits{MaxAge: 5 * time.Minute, MaxMessages: 1000}); err != nil {
			log.Fatal(err)
		}
		if p.client, err = envelope.NewFromManager(p.dataKeys, nil); err != nil {
			log.Fatal(err)
		}
		return p
	}
	processes := []process{start(), start()}
	tenant := keyring.EncryptionContext{"tenant": "42"}
	if _, err := processes[0].keys.Create(ctx, "42", tenant); err != nil {
		log.Fatal(err)
	}
	msg, err := processes[0].client.Encrypt(ctx, []byte("IBAN"), tenant)
	if err != nil {
		log.Fatal(err)
	}
	readable := func() (n int) {
		for _, p := range processes {
			if _, err := p.client.Decrypt(ctx, msg, tenant); err == nil {
				n++
			}
		}
		return n
	}
	fmt.Println(readable(), "processes read it")

	if err := processes[0].keys.Destroy(ctx, "42", "42"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(readable(), "still do, from what they keep")

	// Sent to every process, or waited for: MaxAge of both.
	for _, p := range processes {
		p.keyring.Purge("42")
		p.dataKeys.PurgeKey("42")
	}
	fmt.Println(readable(), "do")
	for _, p := range processes {
		_ = p.dataKeys.Close()
		_ = p.keyring.Close()
	}
	// Output:
	// 2 processes read it
	// 2 still do, from what they keep
	// 0 do
}
