package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope/dynamoitem"
)

// refused is a row of what the writer must refuse.
func refused(name string, change func(k kind, t *table, it item)) row {
	return row{group: "refused to write", name: name, run: func(ctx context.Context, k kind, d direction) error {
		t, it := basic(k).with(func(*dynamoitem.Config) {}), basicItem()
		change(k, &t, it)
		got, err := d.writer.encrypt(ctx, t, it)
		return mustRefuse(d.writer, got, err)
	}}
}

func refusedRows() []row {
	return []row{
		refused("an attribute without an action", func(_ kind, _ *table, it item) { it["unknown"] = str("x") }),
		refused("an attribute of a reserved name", func(_ kind, t *table, it item) {
			t.Actions["aws_dbe_x"], it["aws_dbe_x"] = dynamoitem.SignOnly, str("x")
		}),
		refused("no partition key", func(_ kind, _ *table, it item) { delete(it, "pk") }),
		refused("no sort key", func(_ kind, _ *table, it item) { delete(it, "sk") }),
		refused("a partition key that is encrypted", func(_ kind, t *table, _ item) { t.Actions["pk"] = dynamoitem.EncryptAndSign }),
		refused("a sort key that is unsigned", func(_ kind, t *table, _ item) {
			t.Actions["sk"] = dynamoitem.DoNothing
			t.Unsigned = []string{"sk"}
		}),
		refused("a key of another version", func(k kind, t *table, _ item) {
			t.Actions["pk"] = kind{version: 3 - k.version}.keyAction()
		}),
		refused("unsigned, and not named so", func(_ kind, t *table, _ item) { t.Actions["seen"] = dynamoitem.DoNothing }),
		refused("signed, and named unsigned", func(_ kind, t *table, _ item) { t.Unsigned = []string{"seen"} }),
		refused("signed, and of the unsigned prefix", func(_ kind, t *table, _ item) { t.UnsignedPrefix = "see" }),
		refused("a number of 39 digits", func(_ kind, _ *table, it item) { it["secret"] = num(strings.Repeat("1", 39)) }),
		refused("a number of 39 digits, signed", func(_ kind, _ *table, it item) { it["seen"] = num(strings.Repeat("1", 39)) }),
		refused("a number too large", func(_ kind, _ *table, it item) { it["secret"] = num("1e126") }),
		refused("a number too small", func(_ kind, _ *table, it item) { it["secret"] = num("1e-131") }),
		refused("no number", func(_ kind, _ *table, it item) { it["secret"] = num("x") }),
		refused("an empty number", func(_ kind, _ *table, it item) { it["secret"] = num("") }),
		refused("a string twice in a set", func(_ kind, _ *table, it item) { it["secret"] = strs("a", "b", "a") }),
		refused("a number twice in a set", func(_ kind, _ *table, it item) { it["secret"] = nums("1", "2", "1") }),
		refused("equal numbers in a set", func(_ kind, _ *table, it item) { it["secret"] = nums("1", "2", "1.0") }),
		refused("bytes twice in a set", func(_ kind, _ *table, it item) { it["secret"] = bins("a", "b", "a") }),
		refused("33 levels", func(_ kind, _ *table, it item) { it["secret"] = nested(33) }),
		refused("33 levels, unsigned", func(_ kind, t *table, it item) { t.UnsignedPrefix, it[":deep"] = ":", nested(33) }),
		refused("an item that is encrypted", func(_ kind, _ *table, it item) { it[headName], it[footName] = bin("x"), bin("x") }),
		refused("an empty item", func(_ kind, _ *table, it item) { clear(it) }),
		refused("256 wrapped keys", func(_ kind, t *table, _ item) {
			t.MaxEncryptedDataKeys = 255
			t.keys = keysOf(256)
		}),
		refused("a key longer than the context holds", func(_ kind, _ *table, it item) { it["pk"] = str(strings.Repeat("x", 70_000)) }),
		refused("an action for an attribute that is added", func(_ kind, t *table, _ item) { t.Actions[headName] = dynamoitem.SignOnly }),
		refused("an attribute whose name begins with aws-crypto-", func(_ kind, t *table, it item) {
			t.Actions["aws-crypto-x"], it["aws-crypto-x"] = dynamoitem.SignOnly, str("x")
		}),
		refused("a name of 65536 bytes", func(_ kind, t *table, it item) {
			long := strings.Repeat("n", 1<<16)
			t.Actions[long], it[long] = dynamoitem.SignOnly, str("x")
		}),
		refused("no action for the key", func(_ kind, t *table, _ item) { delete(t.Actions, "pk") }),
	}
}

// A difference is something that AWS's release writes, and this repository does not.
type difference struct {
	name, reason string
	change       func(k kind, t *table, it item)

	// read says that this repository reads what Java wrote, as what back makes of the item
	// if that is not nil.
	read bool
	back func(it item) item

	version int // 0 for both
}

func (x difference) row() row {
	return row{group: "written by Java only", name: x.name, reason: x.reason, run: func(ctx context.Context, k kind, d direction) error {
		if x.version != 0 && x.version != k.version {
			return errNone
		}
		t, it := basic(k).with(func(*dynamoitem.Config) {}), basicItem()
		x.change(k, &t, it)
		out, err := d.writer.encrypt(ctx, t, it)
		if (d.writer == ours{}) {
			return mustRefuse(d.writer, out, err)
		}
		if err != nil {
			return fmt.Errorf("%v does not write it any more: %w", d.writer, err)
		}
		if err := checkWritten(t, it, out); err != nil {
			return fmt.Errorf("%v: %w", d.writer, err)
		}
		got, err := d.reader.decrypt(ctx, t, out)
		if !x.read {
			return mustRefuse(d.reader, got, err)
		}
		if err != nil {
			return fmt.Errorf("%v does not read it: %w", d.reader, err)
		}
		if x.back != nil {
			it = x.back(it)
		}
		if diff := differ(it, got); diff != "" {
			return fmt.Errorf("%v reads something else: %s", d.reader, diff)
		}
		return nil
	}}
}

// oursOnly is a row of something that this repository writes and reads, and AWS's release
// does neither.
func oursOnly(name, reason string, change func(k kind, t *table, it item)) row {
	return row{group: "written here only", name: name, reason: reason, run: func(ctx context.Context, k kind, d direction) error {
		t, it := basic(k).with(func(*dynamoitem.Config) {}), basicItem()
		change(k, &t, it)
		out, err := d.writer.encrypt(ctx, t, it)
		if (d.writer != ours{}) {
			return mustRefuse(d.writer, out, err)
		}
		if err != nil {
			return fmt.Errorf("%v does not write it: %w", d.writer, err)
		}
		got, err := d.writer.decrypt(ctx, t, out)
		if err != nil {
			return fmt.Errorf("%v does not read it: %w", d.writer, err)
		}
		if diff := differ(it, got); diff != "" {
			return fmt.Errorf("%v reads something else: %s", d.writer, diff)
		}
		if (d.reader == ours{}) {
			return nil
		}
		got, err = d.reader.decrypt(ctx, t, out)
		return mustRefuse(d.reader, got, err)
	}}
}

func differenceRows() []row {
	nullFalse := &types.AttributeValueMemberNULL{}
	long := strings.Repeat("n", 1<<16)
	all := []row{
		oursOnly("an unsigned set with a member twice", "Java looks into unsigned values too, and refuses what DynamoDB would not store. Here nothing looks at them.",
			func(_ kind, t *table, it item) { t.UnsignedPrefix, it[":set"] = ":", strs("a", "a") }),
	}
	for _, d := range []difference{
		{name: "a set as the key", reason: "DynamoDB refuses the item, and Java leaves that to it. Here it is refused before it is sent; one that was written is read.",
			read: true, change: func(_ kind, _ *table, it item) { it["pk"] = strs("a") }},
		{name: "an empty key", reason: "as above.",
			read: true, change: func(_ kind, _ *table, it item) { it["pk"] = str("") }},
		{name: "an item of more than 400 KB", reason: "as above.",
			read: true, change: func(_ kind, _ *table, it item) { it["secret"] = str(strings.Repeat("x", 410<<10)) }},
		{name: "an encrypted NULL that is false", reason: "as above. It comes back as true.",
			read: true, back: func(it item) item { return with(it, "secret", null()) },
			change: func(_ kind, _ *table, it item) { it["secret"] = nullFalse }},
		{name: "a signed NULL that is false", reason: "DynamoDB refuses it. Here it is refused in items that are read too.",
			change: func(_ kind, _ *table, it item) { it["seen"] = nullFalse }},
		{name: "an empty key of a map", reason: "as above.",
			change: func(_ kind, _ *table, it item) { it["secret"] = object(item{"": null()}) }},
		{name: "a map's key of 65536 bytes", reason: "as above.",
			change: func(_ kind, _ *table, it item) { it["secret"] = object(item{long: null()}) }},
		{name: "65 wrapped keys", reason: "Java has no limit but the format's 255. Here Config.MaxEncryptedDataKeys is 64 where it is not set, for reading too.",
			change: func(_ kind, t *table, _ item) { t.keys = keysOf(65) }},
		{name: "no name of the table", reason: "items of all such tables could be exchanged for each other. Here a Config must have one.",
			change: func(_ kind, t *table, _ item) { t.Table = "" }},
		{name: "an unsigned prefix that is reserved", reason: "it can only be a mistake. Here such a Config is refused.",
			change: func(_ kind, t *table, _ item) { t.UnsignedPrefix = "aws_dbe_" }},
		{name: "an unsigned name twice", reason: "as above.",
			change: func(_ kind, t *table, _ item) { t.Unsigned = []string{"free", "free"} }},
		{name: "a sort key that is the partition key", reason: "as above. In version 1 Java fails with \"Internal Error\".", version: 2,
			change: func(_ kind, t *table, _ item) { t.SortKey = "pk" }},
	} {
		all = append(all, d.row())
	}
	return all
}
