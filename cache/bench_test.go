package cache

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

var benchContext = keyring.EncryptionContext{"tenant": "42", "table": "patients"}

// inHand is a manager that copies materials that it has, prepared as a cache's are:
// what a cache costs at the least.
type inHand struct {
	encrypt *keyring.EncryptionMaterials
	decrypt *keyring.DecryptionMaterials
}

func (m *inHand) EncryptionMaterials(context.Context, keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	e := *m.encrypt
	e.DataKey = bytes.Clone(e.DataKey)
	return &e, nil
}

func (m *inHand) DecryptionMaterials(context.Context, keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	d := *m.decrypt
	d.DataKey = bytes.Clone(d.DataKey)
	return &d, nil
}

// BenchmarkHit is the cache alone, on a hit.
func BenchmarkHit(b *testing.B) {
	c := newTestCache(b, newManager(b), Limits{MaxBytes: 1 << 60}, nil)
	req := keyring.EncryptionRequest{Context: benchContext, PlaintextLength: 64}
	e := encrypt(b, c, req)
	decryptReq := toDecrypt(e)
	decrypt(b, c, decryptReq)
	b.Run("Encrypt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.EncryptionMaterials(b.Context(), req); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Decrypt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.DecryptionMaterials(b.Context(), decryptReq); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMissOverCapacity is a request to a full cache that it cannot answer,
// mostly the load's own goroutine: for keys that are used once, and for twice as
// many as there is room for in turn, of which some are hits.
func BenchmarkMissOverCapacity(b *testing.B) {
	for name, tenants := range map[string]int{"Once": 1 << 30, "InTurn": 20_000} {
		b.Run(name, func(b *testing.B) {
			m, err := keyring.NewManager(likeKMS{keys: 1})
			require.NoError(b, err)
			c := newTestCache(b, m, Limits{MaxEntries: 10_000}, nil)
			i := 0
			ask := func() {
				req := keyring.EncryptionRequest{Context: usual(i % tenants)}
				if _, err := c.EncryptionMaterials(b.Context(), req); err != nil {
					b.Fatal(err)
				}
				i++
			}
			for range 40_000 {
				ask()
			}
			before := c.Stats()
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
			after := c.Stats()
			b.ReportMetric(float64(after.Hits-before.Hits)/float64(b.N), "hits/op")
		})
	}
}

// BenchmarkMessage is a message of 64 bytes, with materials in hand and with the
// cache, in turns. "extra-ns" is what the cache adds: the median of the
// differences between neighbours, since the machine's speed drifts by more.
func BenchmarkMessage(b *testing.B) {
	m := newManager(b)
	c := newTestCache(b, m, Limits{}, nil)
	e := encrypt(b, m, keyring.EncryptionRequest{Context: benchContext})
	d := decrypt(b, m, toDecrypt(e))
	require.NoError(b, e.Serialize())
	hand, err := envelope.NewFromManager(&inHand{e, d}, nil)
	require.NoError(b, err)
	cached, err := envelope.NewFromManager(c, nil)
	require.NoError(b, err)
	plaintext := make([]byte, 64)
	msg, err := hand.Encrypt(b.Context(), plaintext, benchContext)
	require.NoError(b, err)
	for name, do := range map[string]func(*envelope.Client){
		"Encrypt": func(client *envelope.Client) {
			if _, err := client.Encrypt(b.Context(), plaintext, benchContext); err != nil {
				b.Fatal(err)
			}
		},
		"Decrypt": func(client *envelope.Client) {
			if _, err := client.Decrypt(b.Context(), msg, benchContext); err != nil {
				b.Fatal(err)
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			const batch = 100
			var extra, whole []float64
			for b.Loop() {
				var times [2]float64
				for i, client := range []*envelope.Client{hand, cached} {
					start := time.Now()
					for range batch {
						do(client)
					}
					times[i] = float64(time.Since(start)) / batch
				}
				extra = append(extra, times[1]-times[0])
				whole = append(whole, times[1])
			}
			b.ReportMetric(median(extra), "extra-ns")
			b.ReportMetric(median(whole), "message-ns")
		})
	}
}

func median(times []float64) float64 {
	slices.Sort(times)
	return times[len(times)/2]
}

// BenchmarkScaling is two goroutines that encrypt under one hot entry, and two
// with a cache each, in turns. "ratio" is the throughput of the first as a part
// of the second's, by the medians.
func BenchmarkScaling(b *testing.B) {
	if runtime.GOMAXPROCS(0) < 2 {
		b.Skip("one core")
	}
	clients := make([]*envelope.Client, 3)
	for i := range clients {
		var err error
		clients[i], err = envelope.NewFromManager(newTestCache(b, newManager(b), Limits{}, nil), nil)
		require.NoError(b, err)
	}
	plaintext := make([]byte, 64)
	both := func(first, second *envelope.Client) float64 {
		const messages = 500
		start := time.Now()
		var done sync.WaitGroup
		for _, client := range []*envelope.Client{first, second} {
			done.Go(func() {
				for range messages {
					if _, err := client.Encrypt(b.Context(), plaintext, benchContext); err != nil {
						b.Error(err)
					}
				}
			})
		}
		done.Wait()
		return float64(time.Since(start))
	}
	var shared, apart []float64
	for b.Loop() {
		shared = append(shared, both(clients[0], clients[0]))
		apart = append(apart, both(clients[1], clients[2]))
	}
	b.ReportMetric(median(apart)/median(shared), "ratio")
}
