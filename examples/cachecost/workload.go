package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A workload is what both runs do with a client.
type workload struct {
	contexts   []keyring.EncryptionContext // by tenant
	goroutines int
}

func newWorkload(tenants, goroutines int) *workload {
	w := &workload{goroutines: goroutines}
	for i := range tenants {
		w.contexts = append(w.contexts, keyring.EncryptionContext{
			"tenant": fmt.Sprintf("tenant-%d", i),
			"table":  "orders",
		})
	}
	return w
}

func (w *workload) tenants() int { return len(w.contexts) }

// do encrypts and decrypts n records, each goroutine its share of them. The first
// error ends all.
func (w *workload) do(ctx context.Context, client *envelope.Client, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	share := (n + w.goroutines - 1) / w.goroutines
	for from := 0; from < n; from += share {
		wg.Go(func() {
			if err := w.share(ctx, client, from, min(from+share, n)); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// share does the records from one number up to another. Those of a tenant are not
// next to each other.
func (w *workload) share(ctx context.Context, client *envelope.Client, from, to int) error {
	var record, msg, got []byte
	for i := from; i < to; i++ {
		ec := w.contexts[i%len(w.contexts)]
		record = appendRecord(record[:0], i)
		var err error
		if msg, err = client.AppendEncrypt(ctx, msg[:0], record, ec); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		// Left as it is, a record of before would pass for this one.
		clear(got)
		if got, err = client.AppendDecrypt(ctx, got[:0], msg, ec); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		if !bytes.Equal(got, record) {
			return fmt.Errorf("record %d: decrypted to something else than was encrypted", i)
		}
	}
	return nil
}

// appendRecord appends an order, which no other number has.
func appendRecord(dst []byte, i int) []byte {
	return fmt.Appendf(dst, `{"order":%d,"item":"A-%04d","count":%d,"paid":%t}`, i, i%7919, i%12+1, i%3 > 0)
}
