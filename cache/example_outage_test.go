package cache_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A service is a keyring that asks a key service, which can be down.
type service struct {
	keyring.Keyring
	down atomic.Bool
}

func (s *service) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	if s.down.Load() {
		return fmt.Errorf("service: %w: connection refused", keyring.ErrUnavailable)
	}
	return s.Keyring.OnEncrypt(ctx, m)
}

// In an outage data keys go on serving past their age, for as long as StaleFor says.
// A context that has no data key yet has to wait for the service.
func ExampleLimits_staleFor() {
	ctx := context.Background()
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	service := &service{Keyring: kr}
	cached, err := cache.New(service, cache.Limits{
		MaxAge:   10 * time.Millisecond, // minutes, in a program
		StaleFor: time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cached.Close()
	client, err := envelope.NewFromManager(cached, nil)
	if err != nil {
		log.Fatal(err)
	}
	known := keyring.EncryptionContext{"tenant": "42"}
	if _, err := client.Encrypt(ctx, []byte("before"), known); err != nil {
		log.Fatal(err)
	}

	service.down.Store(true)
	time.Sleep(20 * time.Millisecond)
	if _, err := client.Encrypt(ctx, []byte("meanwhile"), known); err != nil {
		log.Fatal(err)
	}
	fmt.Println("stale uses:", cached.Stats().StaleUses)

	_, err = client.Encrypt(ctx, []byte("meanwhile"), keyring.EncryptionContext{"tenant": "43"})
	fmt.Println("without a data key:", errors.Is(err, envelope.ErrUnavailable))
	// Output:
	// stale uses: 1
	// without a data key: true
}
