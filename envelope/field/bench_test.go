package field_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// measured is what some calls cost together.
type measured struct {
	time   time.Duration
	allocs uint64
	calls  int
}

func (m *measured) add(n int, f func(i int)) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	for i := range n {
		f(i)
	}
	m.time += time.Since(start)
	runtime.ReadMemStats(&after)
	m.allocs += after.Mallocs - before.Mallocs
	m.calls += n
}

// One field with cached keys against the client's call with the same bytes, the two in turns:
// x-client is how many times as long it takes (1.25 at most), allocs-more the allocations
// beyond (4 at most).
func BenchmarkFieldAgainstClient(b *testing.B) {
	m := cached(b, rawKeyring(b, "a"))
	table := newTable[one](b, m, "patients", nil)
	client, err := envelope.NewFromManager(m, &envelope.Options{RefuseSigned: true})
	require.NoError(b, err)
	ec := keyring.EncryptionContext{"table": "patients"}
	const value = "078-05-1120"
	bytes := append(make([]byte, 17), value...)
	message, err := client.Encrypt(b.Context(), bytes, ec)
	require.NoError(b, err)
	p := one{ID: "p-17", SSN: field.New(value)}
	require.NoError(b, table.Seal(b.Context(), &p))
	stored, err := p.SSN.Value()
	require.NoError(b, err)
	records := make([]one, 500) // Seal seals what was set, and Open opens what was scanned
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		prepare       func(*one)
		field, client func(i int)
	}{
		"Seal": {
			func(p *one) { *p = one{ID: "p-17", SSN: field.New(value)} },
			func(i int) { must(table.Seal(b.Context(), &records[i])) },
			func(int) { _, err := client.Encrypt(b.Context(), bytes, ec); must(err) },
		},
		"Open": {
			func(p *one) { *p = one{ID: "p-17"}; must(p.SSN.Scan(stored)) },
			func(i int) { must(table.Open(b.Context(), &records[i])) },
			func(int) { _, err := client.Decrypt(b.Context(), message, ec); must(err) },
		},
	} {
		b.Run(name, func(b *testing.B) {
			var field, client measured
			for b.Loop() {
				for i := range records {
					c.prepare(&records[i])
				}
				client.add(len(records), c.client)
				field.add(len(records), c.field)
			}
			b.ReportMetric(float64(field.time)/float64(client.time), "x-client")
			b.ReportMetric((float64(field.allocs)-float64(client.allocs))/float64(field.calls), "allocs-more")
			b.ReportMetric(float64(field.time.Nanoseconds())/float64(field.calls), "ns/field")
		})
	}
}

// 10,000 records of three fields under ten data keys, opened by a process that has none of
// them yet: calls of a key service that takes 5 ms (10 at most), how many milliseconds longer
// it takes than with one that answers at once (60 at most), and how much faster two cores are
// than one (1.7 times at least).
func BenchmarkOpenUnderTenKeys(b *testing.B) {
	type record struct {
		ID     string               `seal:",row"`
		Tenant string               `seal:",context=tenant"`
		A      field.Sealed[string] `seal:"a"`
		B      field.Sealed[string] `seal:"b"`
		C      field.Sealed[int]    `seal:"c"`
	}
	kr := rawKeyring(b, "a")
	table := newTable[record](b, cached(b, kr), "t", nil)
	var records []*record
	for i := range 10000 {
		records = append(records, &record{ID: fmt.Sprint("p", i), Tenant: fmt.Sprint("t", i%10),
			A: field.New("078-05-1120"), B: field.New("some notes that are longer than the number"), C: field.New(i)})
	}
	require.NoError(b, table.Seal(b.Context(), records...))
	closed := make([]record, len(records))
	for i, p := range records {
		closed[i] = record{ID: p.ID, Tenant: p.Tenant, A: stored(b, p.A), B: stored(b, p.B), C: stored(b, p.C)}
	}
	var calls int64
	open := func(cores int, delay time.Duration) time.Duration {
		k := &keyringCounter{Keyring: kr, before: func() { time.Sleep(delay) }}
		m := cached(b, k)
		defer m.Close()
		table := newTable[record](b, m, "t", &field.Options{Envelope: &envelope.Options{Concurrency: cores}})
		all := append([]record{}, closed...)
		pointers := make([]*record, len(all))
		for i := range all {
			pointers[i] = &all[i]
		}
		// Else the collector would use the second core.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		runtime.GC()
		start := time.Now()
		if err := table.Open(context.Background(), pointers...); err != nil {
			b.Fatal(err)
		}
		took := time.Since(start)
		calls = k.decrypts.Load()
		return took
	}
	var slow, fast, single time.Duration
	n := 0
	for b.Loop() {
		fast += open(2, 0)
		single += open(1, 0)
		slow += open(2, 5*time.Millisecond)
		n++
	}
	b.ReportMetric(float64(calls), "calls")
	b.ReportMetric(float64((slow-fast).Microseconds())/1000/float64(n), "wait-ms")
	b.ReportMetric(float64(single)/float64(fast), "x-on-two-cores")
	b.ReportMetric(float64(fast.Microseconds())/float64(n)/30000, "us/field")
}
