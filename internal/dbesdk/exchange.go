package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

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
	keys   []wrappingKey // the first makes data keys, if branch does not
	branch *branch       // if not nil, it makes data keys

	beacons  *branch   // where the keys of Config.Beacons are
	db       *services // where the table is, if it is anywhere
	physical string    // its name there
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
	t.Config = c
	return t
}

// A find is for items in a table whose attributes have some values.
type find struct {
	beacon string
	index  string // of the beacon's column. Empty is to scan the table
	op     string // "=", or a function: "begins_with", "contains"
	want   item
	text   types.AttributeValue // what AWS's client compares the beacon's name with

	// theirs are the items that AWS's client finds, where it differs.
	theirs []int
}

// condition returns the condition of a find on the name #b and the value :b.
func (f find) condition() string {
	if f.op == "=" {
		return "#b = :b"
	}
	return f.op + "(#b, :b)"
}

type side interface {
	fmt.Stringer
	encrypt(ctx context.Context, t table, it item) (item, error)
	decrypt(ctx context.Context, t table, it item) (item, error)

	// put, get and find are for tables in DynamoDB.
	put(ctx context.Context, t table, it item) error
	get(ctx context.Context, t table, key item) (item, error)
	find(ctx context.Context, t table, f find) ([]item, error)

	// createKey and versionKey make a branch key, and a version of one.
	createKey(ctx context.Context, s *services, id string) error
	versionKey(ctx context.Context, s *services, id string) error
}

// ours is this repository.
type ours struct{}

func (ours) String() string { return "sealring" }

func (ours) table(t table) (*dynamoitem.Table, error) {
	var all []keyring.Keyring
	if t.branch != nil {
		kr, err := t.branch.keyring()
		if err != nil {
			return nil, err
		}
		all = append(all, kr)
	}
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
	c, err := t.withKeys()
	if err != nil {
		return nil, err
	}
	return dynamoitem.NewTable(m, c)
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

func (o ours) client(t table) (*dynamoitem.Table, *dynamoitem.Client, error) {
	table, err := o.table(t)
	if err != nil {
		return nil, nil, err
	}
	c, err := dynamoitem.NewClient(t.db.dynamo, dynamoitem.ClientConfig{Tables: map[string]*dynamoitem.Table{t.physical: table}})
	return table, c, err
}

func (o ours) put(ctx context.Context, t table, it item) error {
	_, c, err := o.client(t)
	if err != nil {
		return err
	}
	_, err = c.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.physical, Item: it})
	return err
}

func (o ours) get(ctx context.Context, t table, key item) (item, error) {
	_, c, err := o.client(t)
	if err != nil {
		return nil, err
	}
	out, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.physical, Key: key})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

func (o ours) find(ctx context.Context, t table, f find) ([]item, error) {
	table, c, err := o.client(t)
	if err != nil {
		return nil, err
	}
	if f.index != "" {
		var items []item
		for it, err := range c.Find(ctx, &dynamoitem.FindInput{TableName: t.physical, IndexName: f.index, PartitionKey: f.beacon, Want: f.want}) {
			if err != nil {
				return nil, err
			}
			items = append(items, it)
		}
		return items, nil
	}
	attribute, value, err := table.Beacon(ctx, f.beacon, f.want)
	if err != nil {
		return nil, err
	}
	condition := f.condition()
	out, err := c.Scan(ctx, &dynamodb.ScanInput{
		TableName: &t.physical, FilterExpression: &condition,
		ExpressionAttributeNames: map[string]string{"#b": attribute}, ExpressionAttributeValues: item{":b": value},
	})
	if err != nil {
		return nil, err
	}
	return table.Filter(f.beacon, out.Items, f.want)
}

func (ours) createKey(ctx context.Context, s *services, id string) error {
	_, err := s.store.Create(ctx, id, branchContext)
	return err
}

func (ours) versionKey(ctx context.Context, s *services, id string) error {
	_, err := s.store.Version(ctx, id)
	return err
}

// theirs is AWS's release.
type theirs struct{ peer *peer }

func (theirs) String() string { return "AWS's Java" }

func (j theirs) encrypt(_ context.Context, t table, it item) (item, error) {
	return j.peer.one(request{Op: "encrypt", Config: t.java(), Item: toJSON(it)})
}

func (j theirs) decrypt(_ context.Context, t table, it item) (item, error) {
	return j.peer.one(request{Op: "decrypt", Config: t.java(), Item: toJSON(it)})
}

func (j theirs) put(_ context.Context, t table, it item) error {
	_, err := j.peer.call(request{Op: "put", Config: t.java(), Item: toJSON(it)})
	return err
}

func (j theirs) get(_ context.Context, t table, key item) (item, error) {
	return j.peer.one(request{Op: "get", Config: t.java(), Item: toJSON(key)})
}

// find names the tenant too, where there are several: AWS's client takes it out of the
// condition, and finds the beacon key by it.
func (j theirs) find(_ context.Context, t table, f find) ([]item, error) {
	q := &javaFind{Index: f.index, Condition: f.condition(), Names: map[string]string{"#b": f.beacon}, Values: toJSON(item{":b": f.text})}
	if tenant := t.beacons.tenant; tenant != "" {
		q.Filter, q.Names["#t"], q.Values[":t"] = "#t = :t", tenant, jsonValue{f.want[tenant]}
	}
	return j.peer.call(request{Op: "find", Config: t.java(), Find: q})
}

func (j theirs) createKey(_ context.Context, _ *services, id string) error {
	_, err := j.peer.call(request{Op: "createKey", ID: id, Context: branchContext})
	return err
}

func (j theirs) versionKey(_ context.Context, _ *services, id string) error {
	_, err := j.peer.call(request{Op: "versionKey", ID: id})
	return err
}

func (t table) java() *javaConfig {
	c := &javaConfig{
		Table: t.Table, Partition: t.PartitionKey, Sort: t.SortKey, Actions: map[string]string{},
		Unsigned: t.Unsigned, Prefix: t.UnsignedPrefix, Keys: append([]wrappingKey{}, t.keys...), Physical: t.physical,
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
	if t.branch != nil {
		b := t.branch.java()
		c.Branch = &b
	}
	if t.beacons == nil {
		return c
	}
	c.Beacons = &javaBeacons{Keys: t.beacons.java()}
	for _, name := range slices.Sorted(maps.Keys(t.Beacons)) {
		b := t.Beacons[name]
		j := javaBeacon{Name: name, Attribute: b.Attribute, Bits: b.Bits, Set: b.Set, PartOnly: b.PartOnly}
		for _, p := range b.Parts {
			_, isBeacon := t.Beacons[p.Name]
			j.Parts = append(j.Parts, javaPart{p.Name, p.Prefix, p.Optional, !isBeacon})
			j.Split = string(b.Split)
		}
		c.Beacons.All = append(c.Beacons.All, j)
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
