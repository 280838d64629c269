package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

const payload = "an order, written in one region and read in all"

// A place is a region and the key in it.
type place struct {
	region string
	keyARN string
	client *countingClient
}

// demo is what the steps share.
type demo struct {
	out                      io.Writer
	places                   []place
	attemptTimeout, cooldown time.Duration // zero for the keyring's own

	msg    []byte
	reader *envelope.Client
	rows   []row

	mu     sync.Mutex // events may come from several goroutines
	events []awskms.EventKind
}

// A row is what the table says of a step.
type row struct {
	step  string
	took  time.Duration // per message
	calls map[string]int
}

// clientIn returns a client for a program in one region: that is the nearest to
// it, and asked first.
func (d *demo) clientIn(region string) (*envelope.Client, error) {
	c := awskms.MultiRegionConfig{AttemptTimeout: d.attemptTimeout, Cooldown: d.cooldown, Observer: awskms.Observer{OnEvent: d.event}}
	for _, p := range d.places {
		at := len(c.Regions)
		if p.region == region {
			at = 0
		}
		c.Regions = slices.Insert(c.Regions, at, awskms.RegionKey{Client: p.client, KeyARN: p.keyARN})
	}
	kr, err := awskms.NewMultiRegion(c)
	if err != nil {
		return nil, err
	}
	return envelope.New(kr, nil)
}

// event prints what a keyring did beside what it returned.
func (d *demo) event(_ context.Context, e awskms.Event) {
	if e.Kind == awskms.Call {
		return // the clients count them
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e.Kind)
	fmt.Fprintf(d.out, "  event: %v", e.Kind)
	if e.Region != "" {
		fmt.Fprintf(d.out, ": %s", e.Region)
	}
	if len(e.Missing) > 0 {
		fmt.Fprintf(d.out, ": missing %v", e.Missing)
	}
	// That a region went down follows the failure, which has said why.
	if e.Err != nil && e.Kind != awskms.RegionDown {
		fmt.Fprintf(d.out, ": %v", e.Err)
	}
	fmt.Fprintln(d.out)
}

// step does something n times, and checks which calls it took in all and which
// events came. It takes any calls if the map is nil.
func (d *demo) step(title string, n int, calls map[string]int, events []awskms.EventKind, do func() error) error {
	fmt.Fprintln(d.out, title)
	before := d.calls()
	d.mu.Lock()
	d.events = nil
	d.mu.Unlock()

	start := time.Now()
	for range n {
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", title, err)
		}
	}
	r := row{step: title, took: time.Since(start) / time.Duration(n), calls: d.calls()}
	maps.DeleteFunc(r.calls, func(region string, now int) bool { return now == before[region] })
	for region := range r.calls {
		r.calls[region] -= before[region]
	}
	d.rows = append(d.rows, r)

	if calls != nil && !maps.Equal(r.calls, calls) {
		return fmt.Errorf("%s: calls %v, want %v", title, r.calls, calls)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.events, events) {
		return fmt.Errorf("%s: events %v, want %v", title, d.events, events)
	}
	return nil
}

// calls returns how many calls there have been in each region.
func (d *demo) calls() map[string]int {
	calls := map[string]int{}
	for _, p := range d.places {
		calls[p.region] = p.client.calls()
	}
	return calls
}

func orderContext() keyring.EncryptionContext {
	return keyring.EncryptionContext{"purpose": "orders"}
}

// write encrypts in the first region. Under replicas that takes one call there;
// independent keys elsewhere each take another.
func (d *demo) write(ctx context.Context, calls map[string]int) error {
	region := d.places[0].region
	client, err := d.clientIn(region)
	if err != nil {
		return err
	}
	return d.step("encrypt in "+region, 1, calls, nil, func() (err error) {
		d.msg, err = client.Encrypt(ctx, []byte(payload), orderContext())
		return err
	})
}

// read checks that the message decrypts to what was encrypted.
func (d *demo) read(ctx context.Context) error {
	got, err := d.reader.Decrypt(ctx, d.msg, orderContext())
	if err != nil {
		return err
	}
	if string(got) != payload {
		return errors.New("decrypted to something else than the payload")
	}
	return nil
}

// readLocally decrypts in one region, and checks that no other was asked. The
// steps that follow stay in that region.
func (d *demo) readLocally(ctx context.Context, region string) (err error) {
	if d.reader, err = d.clientIn(region); err != nil {
		return err
	}
	return d.step("decrypt in "+region, 1, map[string]int{region: 1}, nil, func() error { return d.read(ctx) })
}

// outage takes the reader's region down and up again. Of all ways to be down,
// silence is the worst: only a timeout tells.
func (d *demo) outage(ctx context.Context, server *kmstest.Server, local, next string) error {
	read := func() error { return d.read(ctx) }
	server.Outage(local, kmstest.Hang)
	err := d.step(local+" hangs: the first read", 1, map[string]int{local: 1, next: 1},
		[]awskms.EventKind{awskms.RegionFailed, awskms.RegionDown}, read)
	if err != nil {
		return err
	}
	down := time.Now()

	// The timeout has been paid: the region is not asked again for a while.
	if err := d.step("5 more while it hangs, each", 5, map[string]int{next: 5}, nil, read); err != nil {
		return err
	}

	server.Restore(local)
	if err := d.step(local+" is back, cooldown not over", 1, map[string]int{next: 1}, nil, read); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(down.Add(d.cooldown))):
	}
	err = d.step(local+" is back, cooldown over", 1, map[string]int{local: 1}, []awskms.EventKind{awskms.RegionUp}, read)
	if err != nil {
		return err
	}
	return d.step("5 more, each", 5, map[string]int{local: 5}, nil, read)
}

// table prints what the steps took: how long, and how many calls in each region.
func (d *demo) table() error {
	fmt.Fprintln(d.out)
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "step\tlatency")
	for _, p := range d.places {
		fmt.Fprintf(w, "\t%s", p.region)
	}
	fmt.Fprintln(w)
	for _, r := range d.rows {
		fmt.Fprintf(w, "%s\t%.1f ms", r.step, float64(r.took)/float64(time.Millisecond))
		for _, p := range d.places {
			fmt.Fprintf(w, "\t%d", r.calls[p.region])
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(d.out, "\nLatency is that of one message; the columns after it count the calls in each region.\n")
	return err
}
