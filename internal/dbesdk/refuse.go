package main

import (
	"context"
	"fmt"
	"strings"

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
		refused("an item that is encrypted", func(_ kind, _ *table, it item) { it[headName], it[footName] = bin("x"), bin("x") }),
		refused("an empty item", func(_ kind, _ *table, it item) { clear(it) }),
		refused("256 wrapped keys", func(_ kind, t *table, _ item) {
			t.MaxEncryptedDataKeys = 255
			t.keys = keysOf(256)
		}),
		refused("a key longer than the context holds", func(_ kind, _ *table, it item) { it["pk"] = str(strings.Repeat("x", 70_000)) }),
		refused("an action for an attribute that is added", func(_ kind, t *table, _ item) { t.Actions[headName] = dynamoitem.SignOnly }),
		refused("no action for the key", func(_ kind, t *table, _ item) { delete(t.Actions, "pk") }),
	}
}

// difference is a row of something that AWS's release writes, and this repository does not.
func difference(name, reason string, weRead bool, change func(k kind, t *table, it item)) row {
	return row{group: "written by Java only", name: name, reason: reason, run: func(ctx context.Context, k kind, d direction) error {
		t, it := basic(k).with(func(*dynamoitem.Config) {}), basicItem()
		change(k, &t, it)
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
		if !weRead {
			return mustRefuse(d.reader, got, err)
		}
		if err != nil {
			return fmt.Errorf("%v does not read it: %w", d.reader, err)
		}
		if diff := differ(it, got); diff != "" {
			return fmt.Errorf("%v reads something else: %s", d.reader, diff)
		}
		return nil
	}}
}

func differenceRows() []row {
	return []row{
		difference("a set as the key", "DynamoDB refuses the item; Java leaves that to it. Here it is refused before it is sent, and read.", true,
			func(_ kind, _ *table, it item) { it["pk"] = strs("a") }),
		difference("an empty key", "as above.", true,
			func(_ kind, _ *table, it item) { it["pk"] = str("") }),
		difference("an item of more than 400 KB", "as above.", true,
			func(_ kind, _ *table, it item) { it["secret"] = str(strings.Repeat("x", 410<<10)) }),
		difference("65 wrapped keys", "Java has no limit but the format's 255. Here Config.MaxEncryptedDataKeys is 64 if it is not set, for reading too.", false,
			func(_ kind, t *table, _ item) { t.keys = keysOf(65) }),
		difference("an empty key of a map", "DynamoDB refuses empty names. Here they are refused, in items that are read too.", false,
			func(_ kind, _ *table, it item) { it["secret"] = object(item{"": null()}) }),
		difference("no name of the table", "items of all such tables could be exchanged for each other. Here a Config must have one.", false,
			func(_ kind, t *table, _ item) { t.Table = "" }),
		difference("an unsigned prefix that is reserved", "it can only be a mistake, which Java lets pass.", false,
			func(_ kind, t *table, _ item) { t.UnsignedPrefix = "aws_dbe_" }),
		difference("an unsigned name twice", "as above.", false,
			func(_ kind, t *table, _ item) { t.Unsigned = []string{"free", "free"} }),
	}
}
