package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope/dynamoitem"
)

const (
	headName = "aws_dbe_head"
	footName = "aws_dbe_foot"
	tagLen   = 48
)

func binaryOf(v types.AttributeValue) ([]byte, bool) {
	b, ok := v.(*types.AttributeValueMemberB)
	if !ok {
		return nil, false
	}
	return b.Value, true
}

func with(it item, name string, v types.AttributeValue) item {
	it = maps.Clone(it)
	it[name] = v
	return it
}

func without(it item, name string) item {
	it = maps.Clone(it)
	delete(it, name)
	return it
}

// A span is a part of a head: from one byte to before another.
type span struct{ from, to int }

// partsOf returns where the parts of a head are. The head is one that was written, and not
// altered yet.
func partsOf(head []byte) map[string]span {
	at := 0
	take := func(n int) span {
		at += n
		return span{at - n, at}
	}
	number := func() int { return int(binary.BigEndian.Uint16(head[at:])) }
	parts := map[string]span{"version": take(1), "suite": take(1), "message ID": take(32)}
	parts["legend"] = take(2 + number())
	from := at
	count := number()
	take(2)
	for range 2 * count {
		take(2 + number())
	}
	parts["stored context"] = span{from, at}
	parts["wrapped keys"] = span{at, len(head) - 32}
	parts["commitment"] = span{len(head) - 32, len(head)}
	return parts
}

// An altered item is one that both readers must refuse.
type altered struct {
	what   string
	item   item
	reader *table // nil if it is the writer's
}

// flips returns an item with each byte of a part of a binary attribute altered.
func flips(it item, name string, part span) (all []altered) {
	b, _ := binaryOf(it[name])
	for i := part.from; i < part.to; i++ {
		c := slices.Clone(b)
		c[i] ^= 1 << (i % 8)
		all = append(all, altered{what: fmt.Sprintf("byte %d of %s", i, name), item: with(it, name, bin(string(c)))})
	}
	return all
}

// tampered is a row of items that one side writes. Altered in any of the ways that alter
// returns, both sides must refuse them.
func tampered(name string, alter func(k kind, t table, it item) []altered) row {
	return row{group: "tampered", name: name, run: func(ctx context.Context, k kind, d direction) error {
		return runTampered(ctx, nil, alter, k, d)
	}}
}

// runTampered runs a cell of such a row, under a branch key if b is not nil.
func runTampered(ctx context.Context, b *branch, alter func(k kind, t table, it item) []altered, k kind, d direction) error {
	x := holding(k, item{"string": str("abc"), "number": num("12"), "set": strs("a", "b"), "map": object(item{"a": num("1"), "b": null()}),
		"list": list(num("1"), num("2")), "yes": boolean(true), "null": null(), "binary": bin("ab")})
	if b != nil {
		x.writer.branch, x.writer.keys = b, nil
	}
	x.writer.Unsigned = []string{"free"}
	x.in["free"] = str("x")
	out, err := d.writer.encrypt(ctx, x.writer, x.in)
	if err != nil {
		return err
	}
	sides := []side{d.writer, d.reader}
	for _, s := range sides {
		got, err := s.decrypt(ctx, x.writer, out)
		if err != nil {
			return fmt.Errorf("%v does not read it before it is altered: %w", s, err)
		}
		if diff := differ(x.in, got); diff != "" {
			return fmt.Errorf("%v reads something else before it is altered: %s", s, diff)
		}
	}
	all := alter(k, x.writer, out)
	if all == nil {
		return errNone
	}
	for _, a := range all {
		reader := a.reader
		if reader == nil {
			reader = &x.writer
		}
		for _, s := range sides {
			got, err := s.decrypt(ctx, *reader, a.item)
			if err := mustRefuse(s, got, err); err != nil {
				return fmt.Errorf("%s: %w", a.what, err)
			}
		}
	}
	return nil
}

func tamperRows() []row {
	var all []row
	for _, part := range []string{"version", "suite", "message ID", "legend", "stored context", "wrapped keys", "commitment"} {
		all = append(all, tampered("head: each byte of "+part, func(k kind, _ table, it item) []altered {
			head, _ := binaryOf(it[headName])
			return flips(it, headName, partsOf(head)[part])
		}))
	}
	values := func(it item, prefix string) (all []altered) {
		for name, others := range map[string][]types.AttributeValue{
			"string": {str("abd"), str("ab"), str(""), bin("abc"), num("1"), null()},
			"number": {num("13"), num("-12"), num("1.2"), str("12")},
			"set":    {strs("a", "c"), strs("a"), strs("a", "b", "c"), list(str("a"), str("b")), bins("a", "b")},
			"map":    {object(item{"a": num("1")}), object(item{"a": num("1"), "c": null()}), object(item{"a": num("2"), "b": null()}), object(item{"a": num("1"), "b": null(), "c": null()})},
			"list":   {list(num("2"), num("1")), list(num("1")), list(num("1"), num("2"), num("3")), list(str("1"), num("2"))},
			"yes":    {boolean(false), null(), str("true")},
			"null":   {boolean(false), str("")},
			"binary": {bin("ac"), bin("a"), bin("abc"), str("ab"), bins("ab")},
		} {
			for i, v := range others {
				all = append(all, altered{what: fmt.Sprintf("%s%s: %d", prefix, name, i), item: with(it, prefix+name, v)})
			}
		}
		return all
	}
	return append(all,
		tampered("head: cut short or longer", func(k kind, _ table, it item) []altered { return resized(it, headName) }),
		tampered("foot: each byte of the tag", func(k kind, _ table, it item) []altered { return flips(it, footName, span{0, tagLen}) }),
		tampered("foot: each byte of the signature", func(k kind, _ table, it item) []altered {
			foot, _ := binaryOf(it[footName])
			return flips(it, footName, span{tagLen, len(foot)})
		}),
		tampered("foot: cut short or longer", func(k kind, _ table, it item) []altered { return resized(it, footName) }),
		tampered("head or foot missing", func(k kind, _ table, it item) []altered {
			return []altered{
				{what: "no head", item: without(it, headName)}, {what: "no foot", item: without(it, footName)},
				{what: "neither", item: without(without(it, headName), footName)},
				{what: "exchanged", item: with(with(it, headName, it[footName]), footName, it[headName])},
				{what: "head of text", item: with(it, headName, str("x"))}, {what: "foot of text", item: with(it, footName, str("x"))},
			}
		}),
		tampered("encrypted attribute: each byte", func(k kind, _ table, it item) []altered {
			var all []altered
			for _, name := range []string{"e-string", "e-null", "e-map"} {
				b, _ := binaryOf(it[name])
				all = append(all, flips(it, name, span{0, len(b)})...)
			}
			return all
		}),
		tampered("encrypted attribute: cut short, longer or in the clear", func(k kind, _ table, it item) []altered {
			return append(resized(it, "e-string"), values(it, "e-")...)
		}),
		tampered("encrypted attributes exchanged", func(k kind, _ table, it item) []altered {
			return []altered{{what: "exchanged", item: with(with(it, "e-string", it["secret"]), "secret", it["e-string"])}}
		}),
		tampered("signed attribute: another value or type", func(k kind, _ table, it item) []altered { return values(it, "s-") }),
		tampered("in the context: another value or type", func(k kind, _ table, it item) []altered {
			if k.version == 1 {
				return nil
			}
			return values(it, "c-")
		}),
		tampered("key: another value or type", func(k kind, _ table, it item) []altered {
			return []altered{
				{what: "partition key", item: with(it, "pk", str("customer-18"))}, {what: "its type", item: with(it, "pk", bin("customer-17"))},
				{what: "sort key", item: with(it, "sk", num("8"))}, {what: "its type", item: with(it, "sk", str("7"))},
			}
		}),
		tampered("attribute dropped", func(k kind, _ table, it item) []altered {
			var all []altered
			for name := range it {
				if name != "free" {
					all = append(all, altered{what: name, item: without(it, name)})
				}
			}
			return all
		}),
		tampered("attribute added", func(k kind, _ table, it item) []altered {
			return []altered{
				{what: "unknown", item: with(it, "added", str("x"))}, {what: "of a name before others", item: with(it, "\x00", str("x"))},
				{what: "a copy", item: with(it, "zz", it["secret"])},
			}
		}),
		tampered("attribute renamed", func(k kind, _ table, it item) []altered {
			return []altered{
				{what: "encrypted", item: with(without(it, "secret"), "secret2", it["secret"])}, {what: "signed", item: with(without(it, "seen"), "seen2", it["seen"])},
				{what: "to unsigned", item: with(without(it, "seen"), "free", it["seen"])},
			}
		}),
		tampered("another configuration", func(k kind, t table, it item) []altered {
			var all []altered
			for what, change := range map[string]func(c *dynamoitem.Config){
				"table":                    func(c *dynamoitem.Config) { c.Table += "2" },
				"no sort key":              func(c *dynamoitem.Config) { c.SortKey = "" },
				"keys exchanged":           func(c *dynamoitem.Config) { c.PartitionKey, c.SortKey = c.SortKey, c.PartitionKey },
				"signed is unsigned":       func(c *dynamoitem.Config) { c.Unsigned = append(c.Unsigned, "seen"); delete(c.Actions, "seen") },
				"unsigned is signed":       func(c *dynamoitem.Config) { c.Unsigned = nil; c.Actions["free"] = dynamoitem.SignOnly },
				"prefix makes it unsigned": func(c *dynamoitem.Config) { c.UnsignedPrefix = "see"; delete(c.Actions, "seen") },
			} {
				reader := t.with(change)
				all = append(all, altered{what: what, item: it, reader: &reader})
			}
			return all
		}),
	)
}

// resized returns an item with a binary attribute cut short and longer.
func resized(it item, name string) (all []altered) {
	b, _ := binaryOf(it[name])
	for _, n := range []int{0, 1, 2, len(b) / 2, len(b) - tagLen, len(b) - 1} {
		if n >= 0 && n < len(b) {
			all = append(all, altered{what: fmt.Sprintf("%d bytes of %s", n, name), item: with(it, name, bin(string(b[:n])))})
		}
	}
	return append(all, altered{what: name + " and a byte", item: with(it, name, bin(string(b)+"\x00"))})
}
