package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

// kmsPrice is what calls with a symmetric key cost, in dollars, without the free ones of
// each month. Source: https://aws.amazon.com/kms/pricing/, us-east-1.
func kmsPrice(calls int) float64 { return float64(calls) * 0.03 / 10_000 }

// dynamoPrice is what units of reading and writing cost in a table billed by request.
// Source: https://aws.amazon.com/dynamodb/pricing/on-demand/, us-east-1.
func dynamoPrice(writes, reads int) float64 {
	return float64(writes)*0.625/1_000_000 + float64(reads)*0.125/1_000_000
}

// sayPrice says what the steps cost, before they run.
func (o options) sayPrice(out io.Writer) {
	if o.kmsOnAWS() {
		calls := o.kmsCalls()
		fmt.Fprintf(out, "KMS on AWS: this takes about %d calls, $%.4f\n", calls, kmsPrice(calls))
	}
	if o.dynamoOnAWS() {
		writes, reads := o.dynamoUnits()
		fmt.Fprintf(out, "DynamoDB on AWS: this takes about %d writes and %d reads, $%.4f\n", writes, reads, dynamoPrice(writes, reads))
	}
}

// kmsCalls returns how many calls to KMS the steps make: three to make a branch key, four
// to write and read its rows without and with a data-key cache, one to read them again in
// shred, and those under the KMS keyring.
func (o options) kmsCalls() int {
	const version, others = 6, 2
	return (3+4+1)*o.tenants + 8*o.rows + version + others
}

// dynamoUnits returns how many units of writing and reading the steps take. All writes are
// in transactions, where they count twice. There is a read for each call to KMS under a
// branch key that is there already, and shred looks some times for the one that is not.
func (o options) dynamoUnits() (writes, reads int) {
	const created, versioned, destroyed = 2 * 3, 2 * 2, 2 * 3
	const others = 20
	return created*o.tenants + versioned + destroyed, (4+1)*o.tenants + others
}

func tenantName(i int) string { return fmt.Sprintf("tenant-%06d", i) }

// newAccount returns a row of a tenant, not sealed yet. All values follow from its ID, so
// that what is read can be compared.
func newAccount(tenant, id string) *Account {
	iban, email, notes := values(id)
	return &Account{ID: id, Tenant: tenant, IBAN: field.New(iban), Email: field.New(email), Notes: field.New(notes)}
}

func values(id string) (iban, email, notes string) {
	return "IBAN of " + id, id + "@example.com", "asks to be called back about " + id
}

// accounts returns the rows of a tenant.
func (d *demo) accounts(tenant int) []*Account {
	all := make([]*Account, d.rows)
	for i := range all {
		all[i] = newAccount(tenantName(tenant), fmt.Sprintf("row-%08d", tenant*d.rows+i))
	}
	return all
}

// check compares a row that was opened with what was sealed.
func check(a *Account) error {
	iban, email, notes := values(a.ID)
	for _, f := range []struct {
		got  field.Sealed[string]
		want string
	}{{a.IBAN, iban}, {a.Email, email}, {a.Notes, notes}} {
		got, err := f.got.Plaintext()
		if err != nil {
			return fmt.Errorf("row %s: %w", a.ID, err)
		}
		if got != f.want {
			return fmt.Errorf("row %s opened to something else than was sealed", a.ID)
		}
	}
	return nil
}

func checkAll(all []*Account, want int) error {
	if len(all) != want {
		return fmt.Errorf("read %d rows, want %d", len(all), want)
	}
	for _, a := range all {
		if err := check(a); err != nil {
			return err
		}
	}
	return nil
}

// calls returns how many requests KMS got while f ran.
func (d *demo) calls(f func() error) (int, error) {
	before := d.asked.Load()
	err := f()
	return int(d.asked.Load() - before), err
}

// createKeys makes a branch key for each tenant, which has the tenant's name.
func (d *demo) createKeys(ctx context.Context) error {
	calls, err := d.calls(func() error {
		for i := range d.tenants {
			name := tenantName(i)
			if _, err := d.keys.Create(ctx, name, keyring.EncryptionContext{"tenant": name}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%d tenants, %d rows of each, with three sealed fields\n", d.tenants, d.rows)
	fmt.Fprintf(d.out, "their branch keys are made once: %d calls to KMS, $%.4f\n", calls, kmsPrice(calls))
	return nil
}

// compare writes and reads all rows under branch keys, without and with a data-key cache,
// and the rows of one tenant under the KMS keyring, whose calls are extrapolated.
func (d *demo) compare(ctx context.Context) error {
	fmt.Fprint(d.out, "\ncalls to KMS                     to write  to read     price\n")
	line := func(name string, write, read int) {
		fmt.Fprintf(d.out, "  %-29s  %8d %8d  %8s\n", name, write, read, fmt.Sprintf("$%.4f", kmsPrice(write+read)))
	}
	for _, c := range []struct {
		name   string
		cached bool
	}{{"branch keys", false}, {"branch keys, data-key cache", true}} {
		if _, err := d.db.ExecContext(ctx, "DELETE FROM accounts"); err != nil {
			return err
		}
		write, read, err := d.writeAndRead(ctx, c.cached)
		if err != nil {
			return err
		}
		line(c.name, write, read)
	}
	var plain []*Account
	for _, c := range []struct {
		name   string
		cached bool
	}{{"KMS keyring *", false}, {"KMS keyring, data-key cache *", true}} {
		plain = d.accounts(0)
		write, read, err := d.underKMS(ctx, plain, c.cached)
		if err != nil {
			return err
		}
		line(c.name, write*d.tenants, read*d.tenants)
	}
	fmt.Fprint(d.out, "  * extrapolated from one tenant\n")
	return d.sizes(ctx, plain)
}

// writeAndRead has one service write all rows and another, which holds no keys yet, read
// them. It returns the calls to KMS.
func (d *demo) writeAndRead(ctx context.Context, cached bool) (write, read int, err error) {
	writer, err := NewService(d.db, d.keys, cached)
	if err != nil {
		return 0, 0, err
	}
	defer writer.Close()
	write, err = d.calls(func() error {
		for i := range d.tenants {
			if err := writer.Add(ctx, d.accounts(i)...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	reader, err := NewService(d.db, d.keys, cached)
	if err != nil {
		return 0, 0, err
	}
	defer reader.Close()
	read, err = d.calls(func() error {
		for i := range d.tenants {
			found, err := reader.OfTenant(ctx, tenantName(i))
			if err != nil {
				return err
			}
			if err := checkAll(found, d.rows); err != nil {
				return err
			}
		}
		return nil
	})
	return write, read, err
}

// underKMS seals and opens accounts with the KMS key itself, and returns the calls. Each
// row has another context, and so takes calls of its own.
func (d *demo) underKMS(ctx context.Context, accounts []*Account, cached bool) (write, read int, err error) {
	kr, err := awskms.New(awskms.Config{Client: d.kms, KeyID: d.kmsKey})
	if err != nil {
		return 0, 0, err
	}
	var m keyring.MaterialsManager
	if cached {
		c, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
		if err != nil {
			return 0, 0, err
		}
		defer c.Close()
		m = c
	} else if m, err = keyring.NewManager(kr); err != nil {
		return 0, 0, err
	}
	table, err := field.NewTable[Account](m, "accounts", nil)
	if err != nil {
		return 0, 0, err
	}
	if write, err = d.calls(func() error { return table.Seal(ctx, accounts...) }); err != nil {
		return 0, 0, err
	}
	// As they would come from the database: sealed, not opened.
	stored := make([]*Account, len(accounts))
	for i, a := range accounts {
		stored[i] = &Account{ID: a.ID, Tenant: a.Tenant}
		for _, f := range []struct{ from, to *field.Sealed[string] }{
			{&a.IBAN, &stored[i].IBAN}, {&a.Email, &stored[i].Email}, {&a.Notes, &stored[i].Notes},
		} {
			v, err := f.from.Value()
			if err != nil {
				return 0, 0, err
			}
			if err := f.to.Scan(v); err != nil {
				return 0, 0, err
			}
		}
	}
	if read, err = d.calls(func() error { return table.Open(ctx, stored...) }); err != nil {
		return 0, 0, err
	}
	return write, read, checkAll(stored, len(accounts))
}

// sizes prints the bytes of the fields of one row under a branch key and under the KMS key.
func (d *demo) sizes(ctx context.Context, plain []*Account) error {
	service, err := NewService(d.db, d.keys, false)
	if err != nil {
		return err
	}
	defer service.Close()
	sealed, err := service.Account(ctx, plain[0].Tenant, plain[0].ID)
	if err != nil {
		return err
	}
	fmt.Fprint(d.out, "\nbytes of a field                plaintext  branch key  KMS keyring\n")
	for _, f := range []struct {
		column      string
		branch, kms field.Sealed[string]
	}{
		{"iban", sealed.IBAN, plain[0].IBAN},
		{"email", sealed.Email, plain[0].Email},
		{"notes", sealed.Notes, plain[0].Notes},
	} {
		text, err := f.branch.Plaintext()
		if err != nil {
			return err
		}
		branch, err := f.branch.MarshalBinary()
		if err != nil {
			return err
		}
		kms, err := f.kms.MarshalBinary()
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "  %-29s %9d %11d %12d\n", f.column, len(text), len(branch), len(kms))
	}
	return nil
}

// version gives the first tenant's key a new version while rows of it are written and read.
func (d *demo) version(ctx context.Context) error {
	service, err := NewService(d.db, d.keys, true)
	if err != nil {
		return err
	}
	defer service.Close()
	tenant := tenantName(0)
	t := &traffic{service: service, tenant: tenant, flows: make(chan struct{}), versioned: make(chan string, 1)}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- t.run(ctx) }()
	select {
	case <-t.flows:
	case err := <-done:
		return err
	}
	version, err := d.keys.Version(ctx, tenant)
	if err != nil {
		stop()
		return errors.Join(err, <-done)
	}
	service.Forget(tenant) // or wait for MaxAge
	t.versioned <- version
	if err := <-done; err != nil {
		return err
	}
	found, err := service.OfTenant(ctx, tenant)
	if err != nil {
		return err
	}
	if err := checkAll(found, d.rows+t.before+t.after); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n%s gets a new version of its key, while rows are written and read\n", tenant)
	fmt.Fprintf(d.out, "  before and during  %d rows, none failed\n", t.before)
	fmt.Fprintf(d.out, "  under the new one  %d rows, none failed\n", t.after)
	fmt.Fprintf(d.out, "  of both            all %d rows open\n", len(found))
	return nil
}

// traffic writes rows of a tenant one by one, and reads each again.
type traffic struct {
	service   *Service
	tenant    string
	flows     chan struct{} // is closed when some rows are written
	versioned chan string   // gets the new version when it is to be used

	before, after int // rows written under other versions, and under the new one
}

// enough is how many rows are written before the new version, and how many under it.
const enough = 25

// run ends when enough rows are written under the new version.
func (t *traffic) run(ctx context.Context) error {
	version := ""
	for t.after < enough {
		if version == "" {
			select {
			case version = <-t.versioned:
			default:
			}
		}
		a := newAccount(t.tenant, fmt.Sprintf("live-%07d", t.before+t.after))
		if err := t.service.Add(ctx, a); err != nil {
			return err
		}
		got, err := t.service.Account(ctx, t.tenant, a.ID)
		if err != nil {
			return err
		}
		if err := check(got); err != nil {
			return err
		}
		under, err := versionOf(got.IBAN)
		if err != nil {
			return err
		}
		switch {
		case version != "" && under == version:
			t.after++
		case version != "":
			return fmt.Errorf("row %s is under version %s, want %s", a.ID, under, version)
		default: // the new one too, until this goroutine is told of it
			if t.before++; t.before == enough {
				close(t.flows)
			}
		}
	}
	return nil
}

// versionOf returns the version of the branch key that a field is sealed under, as a UUID.
// It stands in the wrapped key, behind 16 bytes of salt and 12 of IV.
func versionOf(f field.Sealed[string]) (string, error) {
	msg, err := f.MarshalBinary()
	if err != nil {
		return "", err
	}
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	if err != nil {
		return "", err
	}
	const from, to = 16 + 12, 16 + 12 + 16
	k := h.EncryptedDataKeys
	if len(k) != 1 || k[0].ProviderID != branchkey.ProviderID || len(k[0].Ciphertext) < to {
		return "", errors.New("the field is not sealed under one branch key")
	}
	v := hex.EncodeToString(k[0].Ciphertext[from:to])
	return strings.Join([]string{v[:8], v[8:12], v[12:16], v[16:20], v[20:]}, "-"), nil
}

// shred destroys the second tenant's key. What it had sealed cannot be read again, in the
// rows and in every copy of them, unless a backup has the branch key: SQLite keeps deleted
// bytes in its file for a while too, and KMS would unwrap them.
func (d *demo) shred(ctx context.Context) error {
	service, err := NewService(d.db, d.keys, true)
	if err != nil {
		return err
	}
	defer service.Close()
	tenant := tenantName(1)
	before, err := service.All(ctx)
	if err != nil {
		return err
	}
	if err := d.keys.Destroy(ctx, tenant, tenant); err != nil {
		return err
	}
	service.Forget(tenant)

	all, err := service.All(ctx)
	var failed field.Errors
	if !errors.As(err, &failed) {
		return fmt.Errorf("got %v, want an error for each field of %s", err, tenant)
	}
	lost := map[int]bool{}
	for _, e := range failed {
		if all[e.Index].Tenant != tenant || !errors.Is(e, branchkey.ErrNotFound) {
			return e
		}
		lost[e.Index] = true
	}
	for i, a := range all {
		if lost[i] {
			continue
		}
		if a.Tenant == tenant {
			return fmt.Errorf("row %s opens, and its key is destroyed", a.ID)
		}
		if err := check(a); err != nil {
			return err
		}
	}
	if len(all) != len(before) {
		return fmt.Errorf("read %d rows, want %d", len(all), len(before))
	}
	fmt.Fprintf(d.out, "\n%s has its key destroyed\n", tenant)
	fmt.Fprintf(d.out, "  its rows     %d, none opens\n", len(lost))
	fmt.Fprintf(d.out, "  all others   %d, all open\n", len(all)-len(lost))
	fmt.Fprintf(d.out, "  the error    %v\n", failed[0])
	return nil
}
