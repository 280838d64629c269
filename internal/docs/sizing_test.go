package docs

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/keyring"
)

// callsOfAnHour is the arithmetic of docs/sizing-a-cache.md, for contexts that are always in use.
func callsOfAnHour(writers, readers, contexts int, maxAge time.Duration) (write, read float64) {
	keys := float64(time.Hour) / (0.85 * float64(maxAge)) // data keys of one context in one writer
	write = float64(writers) * float64(contexts) * keys
	read = 1.5 * float64(readers) * write // once, and before the writer takes the next one about half of them again
	return write, read
}

// TestSizing holds that the figures of the page come from the arithmetic.
func TestSizing(t *testing.T) {
	page := read1(t, root+"/docs/sizing-a-cache.md")
	for _, c := range []struct {
		writers, readers, contexts int
		maxAge                     time.Duration
		age                        string
	}{
		{1, 1, 1, 5 * time.Minute, "5 min"},
		{4, 4, 100, 5 * time.Minute, "5 min"},
		{4, 4, 100, time.Hour, "1 h"},
		{20, 20, 1000, 5 * time.Minute, "5 min"},
		{20, 20, 1000, time.Hour, "1 h"},
	} {
		write, read := callsOfAnHour(c.writers, c.readers, c.contexts, c.maxAge)
		assert.Contains(t, page, fmt.Sprintf("| %d | %d | %d | %s | %.0f | %.0f | $%.2f |\n",
			c.writers, c.readers, c.contexts, c.age, write, read, (write+read)*24*0.03/10_000))
	}
}

type counting struct {
	keyring.Keyring
	wraps, unwraps atomic.Int64
}

func (c *counting) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	c.wraps.Add(1)
	return c.Keyring.OnEncrypt(ctx, m)
}

func (c *counting) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	c.unwraps.Add(1)
	return c.Keyring.OnDecrypt(ctx, m, keys)
}

// TestArithmetic compares the arithmetic with an hour of a cache, on a clock that does not run:
// one writer and one reader, a message every five seconds in each of some contexts.
func TestArithmetic(t *testing.T) {
	const contexts, every, maxAge = 12, 5 * time.Second, 5 * time.Minute
	raw, err := keyring.NewRawAES("app", "kek-2026", make([]byte, 32))
	require.NoError(t, err)
	kms := &counting{Keyring: raw}
	faketime.Test(t, func(t *testing.T) {
		clients := make([]*envelope.Client, 2)
		for i := range clients {
			cached, err := cache.New(kms, cache.Limits{MaxAge: maxAge})
			require.NoError(t, err)
			defer cached.Close()
			clients[i], err = envelope.NewFromManager(cached, nil)
			require.NoError(t, err)
		}
		for range int(time.Hour / every) {
			for i := range contexts {
				ec := keyring.EncryptionContext{"tenant": fmt.Sprint(i)}
				msg, err := clients[0].Encrypt(t.Context(), []byte("x"), ec)
				require.NoError(t, err)
				_, err = clients[1].Decrypt(t.Context(), msg, ec)
				require.NoError(t, err)
			}
			time.Sleep(every)
		}
	})
	write, read := callsOfAnHour(1, 1, contexts, maxAge)
	// Data keys are replaced at 75 to 95 of 100 parts of MaxAge, by chance: in 150 runs the counts
	// were within 0.1.
	assert.InDelta(t, write, kms.wraps.Load(), 0.2*write)
	assert.InDelta(t, read, kms.unwraps.Load(), 0.2*read)
}
