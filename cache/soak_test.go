package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

// soakEnv names how long TestSoak lasts, as time.ParseDuration reads it.
const soakEnv = "SEALRING_SOAK"

// TestSoak has random tenants, expiries, purges, outages and cancellations meet:
// every message decrypts, and no key is used after it was cleared.
func TestSoak(t *testing.T) {
	leaktest.AtEnd(t, cacheFuncs)
	length := 2 * time.Second
	if s := os.Getenv(soakEnv); s != "" {
		var err error
		length, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	m := newManager(t)
	var down atomic.Bool
	m.set(func(ctx context.Context) error {
		time.Sleep(time.Duration(rand.Int64N(int64(2 * time.Millisecond))))
		if down.Load() {
			return outage(true)
		}
		return ctx.Err()
	})
	// What the manager gave is looked at once the cache is closed.
	c, err := NewFromManager(m, Limits{
		MaxAge: 30 * time.Millisecond, MaxMessages: 50, MaxBytes: 100_000, MaxEntries: 80, StaleFor: 20 * time.Millisecond,
		OnEvent: func(context.Context, Event) {},
	})
	require.NoError(t, err)

	// On a machine that is busy, longer, until the caches have been of use in an outage.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := time.Now()
	var workers sync.WaitGroup
	var written, refused atomic.Int64
	for i := range 8 {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			clients := make([]*envelope.Client, 3)
			for p := range clients {
				client, err := envelope.NewFromManager(c.Partition(fmt.Sprint(p)), nil)
				if !assert.NoError(t, err) {
					return
				}
				clients[p] = client
			}
			for ctx.Err() == nil {
				client := clients[random.IntN(len(clients))]
				ec := keyring.EncryptionContext{"tenant": fmt.Sprint(random.IntN(20))}
				plaintext := bytes.Repeat([]byte{byte(i)}, random.IntN(3000))
				call, leave := context.WithCancel(ctx)
				if random.IntN(10) == 0 {
					time.AfterFunc(time.Duration(random.IntN(1000))*time.Microsecond, leave)
				}
				msg, err := client.Encrypt(call, plaintext, ec)
				if err == nil {
					written.Add(1)
					var got []byte
					got, err = client.Decrypt(call, msg, ec)
					if err == nil {
						assert.Equal(t, plaintext, got)
					}
				}
				leave()
				switch {
				case err == nil:
				case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, outage(true)):
					refused.Add(1)
				default:
					// A key that was cleared under a message would show here:
					// as a commitment that does not match, or as zeros.
					t.Error(err)
				}
			}
		})
	}
	workers.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			time.Sleep(7 * time.Millisecond)
			if time.Since(start) > length && c.Stats().StaleUses > 0 {
				cancel()
			}
			if n/40%2 == 1 {
				// A while without purges and with longer outages, so that keys
				// grow old.
				down.Store(n%10 < 4)
				continue
			}
			down.Store(n%5 == 0)
			switch n % 3 {
			case 0:
				c.Purge()
			case 1:
				c.PurgePartition("1")
			case 2:
				c.PurgeKey("kek")
			}
			stats := c.Stats()
			assert.LessOrEqual(t, stats.Entries, 80)
		}
	})
	workers.Wait()
	stats := c.Stats()
	require.NoError(t, c.Close())
	leaktest.None(t, cacheFuncs) // loads clear what they bring after the end
	assert.Zero(t, m.kept(), "data keys left")
	t.Logf("%d messages, %d refused; %+v", written.Load(), refused.Load(), stats)
	assert.Positive(t, written.Load())
	assert.Positive(t, stats.StaleUses)
}
