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
		refused("a set as the key", func(_ kind, _ *table, it item) { it["pk"] = strs("a") }),
		refused("an empty key", func(_ kind, _ *table, it item) { it["pk"] = str("") }),
		refused("an item of more than 400 KB", func(_ kind, _ *table, it item) { it["secret"] = str(strings.Repeat("x", 410<<10)) }),
		refused("no name of the table", func(_ kind, t *table, _ item) { t.Table = "" }),
		refused("an empty key of a map", func(_ kind, _ *table, it item) { it["secret"] = object(item{"": null()}) }),
		refused("65 wrapped keys", func(_ kind, t *table, _ item) {
			t.keys = nil
			for i := range 65 {
				t.keys = append(t.keys, aesKey(fmt.Sprint("key", i), 32))
			}
		}),
	}
}

func differenceRows() []row {
	return nil
}
