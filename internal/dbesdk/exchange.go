package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-sealring/sealring/envelope/dynamoitem"
	"github.com/go-sealring/sealring/keyring"
)

const (
	hmacOnly = keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384
	signed   = keyring.SuiteDBEAES256GCMHKDFSHA512CommitECDSAP384HMACSHA384
)

// A kind is the suite and the version of an item's head.
type kind struct {
	suite   keyring.Suite
	version int
}

var kinds = []kind{{hmacOnly, 1}, {hmacOnly, 2}, {signed, 1}, {signed, 2}}

func (k kind) String() string { return fmt.Sprintf("%04X v%d", uint16(k.suite), k.version) }

// keyAction is the action of the key's attributes.
func (k kind) keyAction() dynamoitem.Action {
	if k.version == 2 {
		return dynamoitem.SignAndIncludeInContext
	}
	return dynamoitem.SignOnly
}

// A table is how one side is set up.
type table struct {
	dynamoitem.Config
	keys []wrappingKey // the first makes data keys
}

func (t table) String() string { return fmt.Sprintf("%.40q", t.Table) }

// with returns a table whose config was changed.
func (t table) with(change func(*dynamoitem.Config)) table {
	c := t.Config
	c.Actions = map[string]dynamoitem.Action{}
	for name, action := range t.Actions {
		c.Actions[name] = action
	}
	c.Unsigned = slices.Clone(c.Unsigned)
	change(&c)
	return table{c, t.keys}
}

type side interface {
	fmt.Stringer
	encrypt(ctx context.Context, t table, it item) (item, error)
	decrypt(ctx context.Context, t table, it item) (item, error)
}

// ours is this repository.
type ours struct{}

func (ours) String() string { return "sealring" }

func (ours) table(t table) (*dynamoitem.Table, error) {
	var all []keyring.Keyring
	for _, k := range t.keys {
		kr, err := keyring.NewRawAES(k.Namespace, k.Name, k.Key)
		if err != nil {
			return nil, err
		}
		all = append(all, kr)
	}
	kr := all[0]
	if len(all) > 1 {
		multi, err := keyring.NewMulti(all[0], all[1:]...)
		if err != nil {
			return nil, err
		}
		kr = multi
	}
	m, err := keyring.NewManager(kr)
	if err != nil {
		return nil, err
	}
	return dynamoitem.NewTable(m, t.Config)
}

func (o ours) encrypt(ctx context.Context, t table, it item) (item, error) {
	table, err := o.table(t)
	if err != nil {
		return nil, err
	}
	return table.Encrypt(ctx, it)
}

func (o ours) decrypt(ctx context.Context, t table, it item) (item, error) {
	table, err := o.table(t)
	if err != nil {
		return nil, err
	}
	return table.Decrypt(ctx, it)
}

// theirs is AWS's release.
type theirs struct{ peer *peer }

func (theirs) String() string { return "AWS's Java" }

func (j theirs) encrypt(_ context.Context, t table, it item) (item, error) {
	return j.peer.call("encrypt", t.java(), it)
}

func (j theirs) decrypt(_ context.Context, t table, it item) (item, error) {
	return j.peer.call("decrypt", t.java(), it)
}

func (t table) java() *javaConfig {
	c := &javaConfig{
		Table: t.Table, Partition: t.PartitionKey, Sort: t.SortKey, Actions: map[string]string{},
		Unsigned: t.Unsigned, Prefix: t.UnsignedPrefix, Keys: t.keys,
		Suite: "ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384_SYMSIG_HMAC_SHA384",
		Plaintext: map[dynamoitem.PlaintextPolicy]string{
			dynamoitem.ForbidPlaintext:     "FORBID_PLAINTEXT_WRITE_FORBID_PLAINTEXT_READ",
			dynamoitem.AllowPlaintextRead:  "FORBID_PLAINTEXT_WRITE_ALLOW_PLAINTEXT_READ",
			dynamoitem.ForcePlaintextWrite: "FORCE_PLAINTEXT_WRITE_ALLOW_PLAINTEXT_READ",
		}[t.Plaintext],
	}
	if t.Suite == hmacOnly {
		c.Suite = "ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY_SYMSIG_HMAC_SHA384"
	}
	for name, action := range t.Actions {
		c.Actions[name] = action.String()
	}
	return c
}

// A direction is who writes and who reads.
type direction struct{ writer, reader side }

func (d direction) String() string { return fmt.Sprintf("%v to %v", d.writer, d.reader) }

// An exchange is an item, how it is written and read, and what must come back.
type exchange struct {
	what          string
	writer        table
	reader        *table // nil if it is the same
	in            item
	back          item            // nil if it is the same
	stored        func(item) item // what DynamoDB makes of what is written, nil if nothing
	inClear       bool            // it is written as it is
	readerRefuses bool
}

// run has an item written by one side and read by the other one.
func (d direction) run(ctx context.Context, x exchange) error {
	reader, back := x.reader, x.back
	if reader == nil {
		reader = &x.writer
	}
	if back == nil {
		back = x.in
	}
	err := d.pass(ctx, x, *reader, back)
	if err != nil && x.what != "" {
		return fmt.Errorf("%s: %w", x.what, err)
	}
	return err
}

func (d direction) pass(ctx context.Context, x exchange, reader table, back item) error {
	out, err := d.writer.encrypt(ctx, x.writer, x.in)
	if err != nil {
		return fmt.Errorf("%v does not write it: %w", d.writer, err)
	}
	if x.inClear {
		if diff := differ(x.in, out); diff != "" {
			return fmt.Errorf("%v did not write it in the clear: %s", d.writer, diff)
		}
	} else if err := checkWritten(x.writer, x.in, out); err != nil {
		return fmt.Errorf("%v: %w", d.writer, err)
	}
	if x.stored != nil {
		out = x.stored(out)
	}
	got, err := d.reader.decrypt(ctx, reader, out)
	if x.readerRefuses {
		return mustRefuse(d.reader, got, err)
	}
	if err != nil {
		return fmt.Errorf("%v does not read it: %w", d.reader, err)
	}
	if diff := differ(back, got); diff != "" {
		return fmt.Errorf("%v reads something else: %s", d.reader, diff)
	}
	return nil
}

// checkWritten says whether an item is of the kind that it should be, and encrypted where it
// should be: two sides that both did nothing would agree.
func checkWritten(t table, in, out item) error {
	head, ok := binaryOf(out["aws_dbe_head"])
	if !ok || len(head) < 2 {
		return errors.New("it wrote no head")
	}
	if foot, ok := binaryOf(out["aws_dbe_foot"]); !ok || len(foot) < 48 {
		return errors.New("it wrote no foot")
	}
	version := byte(1)
	for _, action := range t.Actions {
		if action == dynamoitem.SignAndIncludeInContext {
			version = 2
		}
	}
	if head[0] != version || head[1] != byte(t.Suite) {
		return fmt.Errorf("it wrote a head of version %d and suite 67%02X", head[0], head[1])
	}
	if len(out) != len(in)+2 {
		return fmt.Errorf("it wrote %d attributes for %d", len(out), len(in))
	}
	for name, v := range in {
		if t.Actions[name] != dynamoitem.EncryptAndSign || slices.Contains(t.Unsigned, name) {
			continue
		}
		if _, known := t.Actions[name]; !known {
			continue
		}
		if b, ok := binaryOf(out[name]); !ok || len(b) < 18 || equal(v, out[name]) {
			return fmt.Errorf("it did not encrypt %.40q", name)
		}
	}
	return nil
}

// mustRefuse returns an error unless an item was refused with an error of the library's own.
func mustRefuse(s side, got item, err error) error {
	switch {
	case err == nil:
		return fmt.Errorf("%v does not refuse it", s)
	case got != nil:
		return fmt.Errorf("%v refuses it, and returns an item", s)
	case errors.Is(err, errBroken):
		return err
	}
	return nil
}
