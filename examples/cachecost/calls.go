package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// calls are what KMS was asked, by operation.
type calls struct{ generate, decrypt int }

// callsTo returns what has reached the server. There should be nothing but the
// two operations.
func callsTo(server *kmstest.Server) (calls, error) {
	all := server.Calls(kmstest.Match{}) // first, since more may come meanwhile
	c := calls{
		generate: server.Calls(kmstest.Match{Operation: "GenerateDataKey"}),
		decrypt:  server.Calls(kmstest.Match{Operation: "Decrypt"}),
	}
	if others := all - c.total(); others > 0 {
		return c, fmt.Errorf("KMS had %d calls of other operations", others)
	}
	return c, nil
}

func (c calls) total() int { return c.generate + c.decrypt }

// extrapolate returns the calls for so many records if the sample has these.
func (c calls) extrapolate(sample, records int) calls {
	scale := func(n int) int { return int((int64(n)*int64(records) + int64(sample)/2) / int64(sample)) }
	return calls{scale(c.generate), scale(c.decrypt)}
}

func (c calls) print(out io.Writer) {
	fmt.Fprintf(out, "  GenerateDataKey  %d\n", c.generate)
	fmt.Fprintf(out, "  Decrypt          %d\n", c.decrypt)
	fmt.Fprintf(out, "  price            $%.4f\n", float64(c.total())*callPrice)
}

// settled returns both counts when they agree. A data key may still be being
// replaced ahead of need; counts that go on differing are for the caller to find.
func settled(ctx context.Context, server *kmstest.Server, c *cache.Cache) (calls, cache.Stats, error) {
	deadline := time.Now().Add(time.Minute)
	for {
		stats := c.Stats()
		got, err := callsTo(server)
		if err != nil || uint64(got.total()) == stats.Loads || time.Now().After(deadline) {
			return got, stats, err
		}
		select {
		case <-ctx.Done():
			return got, stats, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func checkUncached(got calls, records int) error {
	if want := (calls{records, records}); got != want {
		return fmt.Errorf("KMS had %d calls of GenerateDataKey and %d of Decrypt for %d records", got.generate, got.decrypt, records)
	}
	return nil
}

// checkCached compares what KMS and the cache counted with each other, and with
// what was asked of the cache.
func checkCached(got calls, s cache.Stats, records, tenants int) error {
	requests := 2 * uint64(records) // one to encrypt a record and one to decrypt it
	switch {
	case uint64(got.total()) != s.Loads:
		return fmt.Errorf("KMS had %d calls, and the cache counts %d loads", got.total(), s.Loads)
	case s.LoadsFailed > 0:
		return fmt.Errorf("%d loads failed", s.LoadsFailed)
	case s.Bypasses > 0:
		return fmt.Errorf("%d requests went by the cache", s.Bypasses)
	case s.Hits+s.Misses != requests:
		return fmt.Errorf("the cache counts %d hits and %d misses, and had %d requests", s.Hits, s.Misses, requests)
	case s.CallsSaved+s.Loads != requests:
		return fmt.Errorf("the cache counts %d loads and %d calls saved, and had %d requests", s.Loads, s.CallsSaved, requests)
	}
	if least := leastKeys(records, tenants); got.generate < least || got.decrypt < least {
		return fmt.Errorf("KMS had %d calls of GenerateDataKey and %d of Decrypt, and the limit of %d messages takes %d data keys",
			got.generate, got.decrypt, maxMessages, least)
	}
	return nil
}

// leastKeys returns how many data keys the records take if each serves as many
// messages as it may.
func leastKeys(records, tenants int) int {
	keys := func(messages int) int { return (messages + maxMessages - 1) / maxMessages }
	more := records % tenants // so many tenants have one record more than the rest
	return more*keys(records/tenants+1) + (tenants-more)*keys(records/tenants)
}
