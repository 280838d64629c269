package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// demo is what the steps share.
type demo struct {
	options
	out io.Writer

	server         *kmstest.Server // nil if KMS is on AWS
	stopMoto       func()          // nil if it was not started
	writer, reader *region
	customers      []string // whose orders were written
	rows           []row
}

func (d *demo) regions() []*region { return []*region{d.writer, d.reader} }

// A row is what the table says of a step.
type row struct {
	step           string
	writer, reader int // calls to KMS in each region
}

// A service is what both ways have.
type service interface {
	Add(context.Context, Order) error
	OfCustomer(ctx context.Context, customer string) ([]Order, error)
	SetStatus(ctx context.Context, customer, id, status string) error
	Close()
}

const orders = 3 // of a customer

// A way is that of items.go or fields.go.
type way struct {
	name  string
	start func(keyring.Keyring, *dynamodb.Client, string) (service, error)

	// The calls to KMS that it takes to write all orders, to read them, to change the
	// status of one, and to read them again.
	write, read, change, again int

	signed bool // the status is, so that nobody else can change it
}

var ways = []way{{
	name: "items",
	start: func(kr keyring.Keyring, db *dynamodb.Client, table string) (service, error) {
		return NewItems(kr, db, table)
	},
	write: orders, read: orders, change: 2, again: orders,
	signed: true,
}, {
	name: "fields",
	start: func(kr keyring.Keyring, db *dynamodb.Client, table string) (service, error) {
		return NewFields(kr, db, table)
	},
	write: 1, read: 1, change: 0, again: 0, // its cache holds the data key
}}

// show has orders written in one region and read in the other, in both ways.
func (d *demo) show(ctx context.Context) error {
	for _, w := range ways {
		if err := d.showWay(ctx, w); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	fmt.Fprintln(d.out)
	t := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "calls to KMS in\t%s\t%s\n", d.writer.name, d.reader.name)
	for _, r := range d.rows {
		fmt.Fprintf(t, "%s\t%d\t%d\n", r.step, r.writer, r.reader)
	}
	return t.Flush()
}

func (d *demo) showWay(ctx context.Context, w way) error {
	customer := w.name + "-" + rand.Text() // a new one, for a table that has others
	d.customers = append(d.customers, customer)
	var want []Order
	for i := range orders {
		want = append(want, Order{
			Customer: customer, ID: fmt.Sprintf("order-%d", i+1),
			Address: fmt.Sprintf("%d Rue Cuvier, Paris", 50+i), Phone: fmt.Sprintf("+33 1 55 01 0%d", i), Status: "paid",
		})
	}

	there, err := d.serviceIn(d.writer, w)
	if err != nil {
		return err
	}
	defer there.Close()
	err = d.step(w, fmt.Sprintf("%d orders written in %s", orders, d.writer.name), w.write, 0, func() error {
		for _, o := range want {
			if err := there.Add(ctx, o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := d.replicate(ctx, w, customer, want); err != nil {
		return err
	}

	// The rest happens at the reader, who has not talked to the writer.
	here, err := d.serviceIn(d.reader, w)
	if err != nil {
		return err
	}
	defer here.Close()
	read := func() error {
		got, err := here.OfCustomer(ctx, customer)
		if err == nil && !slices.Equal(got, want) {
			err = errors.New("other orders were read than were written")
		}
		return err
	}
	if err := d.step(w, "read in "+d.reader.name, 0, w.read, read); err != nil {
		return err
	}
	want[0].Status = "shipped"
	err = d.step(w, "the status of one changed there", 0, w.change, func() error {
		return here.SetStatus(ctx, customer, want[0].ID, want[0].Status)
	})
	if err != nil {
		return err
	}
	if err := d.step(w, "read again there", 0, w.again, read); err != nil {
		return err
	}

	// Somebody who can write to the table and has no key changes a status.
	want[1].Status = "refunded"
	if _, err := d.reader.db.UpdateItem(ctx, setStatus(d.table, customer, want[1].ID, want[1].Status)); err != nil {
		return err
	}
	err = read()
	switch {
	case !w.signed && err != nil:
		return err
	case !w.signed:
		fmt.Fprintf(d.out, "%s: a status that somebody without the key changed is read: it is not sealed\n", w.name)
	case !errors.Is(err, envelope.ErrAuthentication):
		return fmt.Errorf("a status that somebody without the key changed: error %v", err)
	default:
		fmt.Fprintf(d.out, "%s: a status that somebody without the key changed is refused: %v\n", w.name, err)
	}
	return nil
}

// serviceIn returns a service in one region, which holds no keys yet.
func (d *demo) serviceIn(local *region, w way) (service, error) {
	other := d.writer
	if local == d.writer {
		other = d.reader
	}
	kr, err := keyringIn(local, other)
	if err != nil {
		return nil, err
	}
	return w.start(kr, local.db, d.table)
}

// step does something, and checks how often KMS was asked for it in each region.
func (d *demo) step(w way, title string, writer, reader int, do func() error) error {
	d.writer.asked.Store(0)
	d.reader.asked.Store(0)
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	r := row{step: w.name + ": " + title, writer: int(d.writer.asked.Load()), reader: int(d.reader.asked.Load())}
	d.rows = append(d.rows, r)
	if r.writer != writer || r.reader != reader {
		return fmt.Errorf("%s: KMS was asked %d times in %s and %d in %s, want %d and %d",
			title, r.writer, d.writer.name, r.reader, d.reader.name, writer, reader)
	}
	return nil
}

// replicate waits until the reader's replica has what the writer stored, to a byte. Under
// an emulator it copies the items first, which DynamoDB does by itself for a global table.
func (d *demo) replicate(ctx context.Context, w way, customer string, plain []Order) error {
	stored, err := d.writer.stored(ctx, d.table, customer)
	if err != nil {
		return err
	}
	if len(stored) != len(plain) {
		return fmt.Errorf("%d orders are stored, want %d", len(stored), len(plain))
	}
	size := 0
	for _, item := range stored {
		data := flat(item)
		size += len(data)
		for _, o := range plain {
			if bytes.Contains(data, []byte(o.Address)) || bytes.Contains(data, []byte(o.Phone)) {
				return errors.New("an address or a phone number is stored in the clear")
			}
		}
	}
	how := "was replicated"
	if !d.dynamoOnAWS() {
		how = "was copied as it is"
		for _, item := range stored {
			if _, err := d.reader.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: &d.table, Item: item}); err != nil {
				return err
			}
		}
	}
	const patience, pause = time.Minute, 500 * time.Millisecond
	for range patience / pause {
		copied, err := d.reader.stored(ctx, d.table, customer)
		if err != nil {
			return err
		}
		if reflect.DeepEqual(copied, stored) {
			fmt.Fprintf(d.out, "%s: an order takes %d bytes, and %s from %s to %s\n",
				w.name, size/len(stored), how, d.writer.name, d.reader.name)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return fmt.Errorf("table %s in %s has other orders than in %s after %v: is it a global table?",
		d.table, d.reader.name, d.writer.name, patience)
}

// flat returns the names and values of an item, whose length is the item's size: all are
// texts and bytes.
func flat(item map[string]types.AttributeValue) (data []byte) {
	for name, value := range item {
		data = append(data, name...)
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			data = append(data, v.Value...)
		case *types.AttributeValueMemberB:
			data = append(data, v.Value...)
		}
	}
	return data
}
