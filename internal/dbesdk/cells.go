package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope/dynamoitem"
)

// A row has a cell for each kind of item and each direction.
type row struct {
	group, name string

	// reason says why the two sides differ, in rows that hold down where they do.
	reason string

	run func(ctx context.Context, k kind, d direction) error

	exchanges func(k kind) []exchange // of a row of items that must be read
}

// errNone says that a row has nothing for a kind of item or a direction.
var errNone = errors.New("does not apply")

// errDiffers says that the two sides differ in the way that a row's reason says. The cell is
// not counted.
var errDiffers = errors.New("differs")

var oneKey = []wrappingKey{aesKey("key", 32)}

// aesKey returns a key that is told by its name and size.
func aesKey(name string, size int) wrappingKey {
	r := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", fmt.Sprint(name, size)))))
	key := make([]byte, size)
	r.Read(key)
	return wrappingKey{"interop", name, key}
}

func keysOf(n int) (all []wrappingKey) {
	for i := range n {
		all = append(all, aesKey(fmt.Sprint("key", i), 32))
	}
	return all
}

// basic is a table with a partition key, a sort key and a secret.
func basic(k kind) table {
	return table{Config: dynamoitem.Config{
		Table: "orders", PartitionKey: "pk", SortKey: "sk", Suite: k.suite,
		Actions: map[string]dynamoitem.Action{"pk": k.keyAction(), "sk": k.keyAction(), "secret": dynamoitem.EncryptAndSign, "seen": dynamoitem.SignOnly},
	}, keys: oneKey}
}

func basicItem() item {
	return item{"pk": str("customer-17"), "sk": num("7"), "secret": str("plaintext"), "seen": str("open")}
}

// passes is a row of items that must be read. exchanges returns none where a row does not
// apply.
func passes(group, name string, exchanges func(k kind) []exchange) row {
	return row{group: group, name: name, exchanges: exchanges, run: func(ctx context.Context, k kind, d direction) error {
		all := exchanges(k)
		if all == nil {
			return errNone
		}
		for _, x := range all {
			if err := d.run(ctx, x); err != nil {
				return err
			}
		}
		return nil
	}}
}

// holding returns a table and an item with values, each encrypted, signed, and in version 2
// in the encryption context.
func holding(k kind, values item) exchange {
	t, it := basic(k), basicItem()
	for name, v := range values {
		for prefix, action := range map[string]dynamoitem.Action{
			"e-": dynamoitem.EncryptAndSign, "s-": dynamoitem.SignOnly, "c-": dynamoitem.SignAndIncludeInContext,
		} {
			if action == dynamoitem.SignAndIncludeInContext && k.version == 1 {
				continue
			}
			t.Actions[prefix+name] = action
			it[prefix+name] = v
		}
	}
	return exchange{writer: t, in: it}
}

func holds(group, name string, values item) row {
	return passes(group, name, func(k kind) []exchange { return []exchange{holding(k, values)} })
}

// rows returns all rows, without those of branch keys and beacons if s is nil.
func rows(s *services) []row {
	var all []row
	all = append(all, typeRows()...)
	all = append(all, actionRows()...)
	all = append(all, nameRows()...)
	all = append(all, keyRows()...)
	all = append(all, numberRows()...)
	all = append(all, sizeRows()...)
	all = append(all, wrappedKeyRows()...)
	all = append(all, policyRows()...)
	all = append(all, randomRows()...)
	all = append(all, tamperRows()...)
	all = append(all, refusedRows()...)
	all = append(all, differenceRows()...)
	if s != nil {
		all = append(all, branchRows(s)...)
		all = append(all, beaconRows(s)...)
	}
	return all
}

func nested(depth int) types.AttributeValue {
	v := list()
	for i := range depth - 1 {
		if i%2 == 0 {
			v = object(item{"k": v})
		} else {
			v = list(v)
		}
	}
	return v
}

func reversed[T any](s []T) []T {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

func typeRows() []row {
	const g = "types"
	return []row{
		holds(g, "string", item{"v": str("text é ～ 😀 \x00\n\u2028")}),
		holds(g, "number", item{"v": num("-12.5")}),
		holds(g, "binary", item{"v": bin("\x00\xff\x80")}),
		holds(g, "boolean", item{"yes": boolean(true), "no": boolean(false)}),
		holds(g, "null", item{"v": null()}),
		holds(g, "string set", item{"v": strs("😀", "～", "a", "aa", "é")}),
		holds(g, "number set", item{"v": nums("-1", "10", "9", "0.5")}),
		holds(g, "binary set", item{"v": bins("\x01", "\x01\x00", "\xff")}),
		passes(g, "sets that come in another order", func(k kind) []exchange {
			x := holding(k, item{"strings": strs("😀", "～", "a"), "numbers": nums("9", "10", "-1"), "binaries": bins("b", "", "a")})
			x.stored = func(it item) item {
				it = maps.Clone(it)
				for name, v := range it {
					switch v := v.(type) {
					case *types.AttributeValueMemberSS:
						it[name] = strs(reversed(v.Value)...)
					case *types.AttributeValueMemberNS:
						it[name] = nums(reversed(v.Value)...)
					case *types.AttributeValueMemberBS:
						it[name] = &types.AttributeValueMemberBS{Value: reversed(v.Value)}
					}
				}
				return it
			}
			return []exchange{x}
		}),
		holds(g, "list", item{"v": list(str("x"), num("1"), null(), boolean(false), bin("b"), strs("s"), nums("1"), bins("b"))}),
		holds(g, "map", item{"v": object(item{"a": num("1"), "b": str("x"), "c": null(), "d": bins("\xff", "")})}),
		holds(g, "maps and lists in each other", item{"v": object(item{
			"list": list(object(item{"deep": list(list(), object(item{}))}), strs("z", "a")), "map": object(item{"map": object(item{"x": boolean(true)})}),
		})}),
		holds(g, "32 levels deep", item{"v": nested(32)}),
		holds(g, "empty string", item{"v": str("")}),
		holds(g, "empty binary", item{"v": bin("")}),
		holds(g, "empty list", item{"v": list()}),
		holds(g, "empty map", item{"v": object(item{})}),
		holds(g, "empty values in maps and lists", item{"v": object(item{"s": str(""), "b": bin(""), "l": list(list(), str("")), "m": object(item{})})}),
		holds(g, "empty members of sets", item{"s": strs("", "a"), "b": bins("", "a")}),
		holds(g, "empty sets", item{"s": strs(), "n": nums(), "b": bins()}),
	}
}

func actionRows() []row {
	const g = "actions"
	all := func(action dynamoitem.Action) func(k kind) []exchange {
		return func(k kind) []exchange {
			if action == dynamoitem.SignAndIncludeInContext && k.version == 1 {
				return nil
			}
			t, it := basic(k), basicItem()
			for i := range 10 {
				name := fmt.Sprintf("a%d", i)
				t.Actions[name], it[name] = action, str(name)
			}
			t.Actions["secret"], t.Actions["seen"] = action, action
			return []exchange{{writer: t, in: it}}
		}
	}
	return []row{
		passes(g, "all encrypted", all(dynamoitem.EncryptAndSign)),
		passes(g, "all signed", all(dynamoitem.SignOnly)),
		passes(g, "all in the context", all(dynamoitem.SignAndIncludeInContext)),
		passes(g, "only the key", func(k kind) []exchange {
			return []exchange{{writer: basic(k), in: item{"pk": str("x"), "sk": num("1")}}}
		}),
		passes(g, "unsigned by name", func(k kind) []exchange {
			t, it := basic(k), basicItem()
			t.Unsigned = []string{"free", "later"}
			t.Actions["free"] = dynamoitem.DoNothing
			it["free"], it["later"] = str("x"), strs("b", "a")
			return []exchange{{writer: t, in: it}}
		}),
		passes(g, "unsigned by prefix", func(k kind) []exchange {
			t, it := basic(k), basicItem()
			t.UnsignedPrefix = ":é😀"
			t.Actions[":é😀"] = dynamoitem.DoNothing
			it[":é😀"], it[":é😀more"] = str("x"), object(item{"k": num("1")})
			return []exchange{{writer: t, in: it}}
		}),
		passes(g, "unsigned values stay as they are", func(k kind) []exchange {
			t, it := basic(k), basicItem()
			t.UnsignedPrefix = ":"
			it[":n"], it[":exp"], it[":numbers"], it[":list"] = num("007"), num("1E3"), nums("1.0", "2"), list(num("00"), null())
			return []exchange{{writer: t, in: it}}
		}),
		passes(g, "each, and attributes absent", func(k kind) []exchange {
			x := holding(k, item{"v": str("x"), "w": list(null())})
			x.writer.Unsigned, x.writer.UnsignedPrefix = []string{"free"}, ":"
			for _, name := range []string{"absent", "more"} {
				x.writer.Actions[name] = dynamoitem.EncryptAndSign
			}
			x.in["free"], x.in[":x"] = num("5"), null()
			return []exchange{x}
		}),
		passes(g, "action changed since", func(k kind) []exchange {
			var all []exchange
			ways := [][2]dynamoitem.Action{{dynamoitem.EncryptAndSign, dynamoitem.SignOnly}, {dynamoitem.SignOnly, dynamoitem.EncryptAndSign}}
			if k.version == 2 {
				for _, other := range []dynamoitem.Action{dynamoitem.EncryptAndSign, dynamoitem.SignOnly} {
					ways = append(ways, [2]dynamoitem.Action{dynamoitem.SignAndIncludeInContext, other}, [2]dynamoitem.Action{other, dynamoitem.SignAndIncludeInContext})
				}
			}
			for _, way := range ways {
				t, it := basic(k), basicItem()
				it["changed"] = nums("2", "10")
				t.Actions["changed"] = way[0]
				after := t.with(func(c *dynamoitem.Config) { c.Actions["changed"] = way[1] })
				all = append(all, exchange{what: fmt.Sprint(way), writer: t, reader: &after, in: it})
			}
			return all
		}),
		passes(g, "suite changed since", func(k kind) []exchange {
			t := basic(k)
			after := t.with(func(c *dynamoitem.Config) { c.Suite = hmacOnly + signed - c.Suite })
			return []exchange{{writer: t, reader: &after, in: basicItem()}}
		}),
		passes(g, "version changed since", func(k kind) []exchange {
			after := basic(kind{k.suite, 3 - k.version})
			return []exchange{{writer: basic(k), reader: &after, in: basicItem()}}
		}),
	}
}

// named is an exchange with attributes of names.
func named(k kind, names ...string) exchange {
	t, it := basic(k), basicItem()
	for i, name := range names {
		action := dynamoitem.Action(i % 3)
		if action == dynamoitem.SignAndIncludeInContext && k.version == 1 {
			action = dynamoitem.EncryptAndSign
		}
		t.Actions[name], it[name] = action, str("value of "+name)
	}
	return exchange{writer: t, in: it}
}

func nameRows() []row {
	const g = "names"
	of := func(name string, names ...string) row {
		return passes(g, name, func(k kind) []exchange { return []exchange{named(k, names...)} })
	}
	// The order of U+FF5E and U+1F600 in UTF-8 is another in UTF-16.
	return []row{
		of("ASCII", "a b", "a.b", "a[0]", "#n", ":v", "$", "\"q\"", "\\", "'", "/", "-", "_", "0"),
		of("prefixes of each other", "a", "aa", "aaa", "ab", "b", "A", "AA"),
		of("control characters", "\x00", "\x01", "\n", "\t", "\x7f", "a\x00b", "\u2028"),
		of("two and three bytes", "é", "ключ", "～", "한국어", "\ue000", "\uffff", "\ufeff"),
		of("supplementary planes", "😀", "😀a", "a😀", "𝄞", "\U0010ffff", "\U00010000", "～", "～a", "\ue000"),
		of("combining", "é", "e\u0301", "a\u0301", "á", "👨\u200d👩\u200d👧"),
		of("like those that are added", "aws_dbe", "aws-dbe-x", "AWS_DBE_head", "aws_db_head"),
		of("255 bytes", strings.Repeat("n", 255), strings.Repeat("é", 127)),
		of("65535 bytes", strings.Repeat("n", 65535)),
		passes(g, "of the key", func(k kind) []exchange {
			var all []exchange
			for _, keys := range [][2]string{{"schlüssel", "～"}, {"😀", "～"}, {"p\x00", "s\n"}, {strings.Repeat("p", 255), strings.Repeat("s", 255)}} {
				x := named(k, "～～", "😀😀", "z")
				x.writer.PartitionKey, x.writer.SortKey = keys[0], keys[1]
				for i, old := range []string{"pk", "sk"} {
					x.writer.Actions[keys[i]], x.in[keys[i]] = x.writer.Actions[old], x.in[old]
					delete(x.writer.Actions, old)
					delete(x.in, old)
				}
				x.what = fmt.Sprintf("%.20q", keys)
				all = append(all, x)
			}
			return all
		}),
		passes(g, "of the table", func(k kind) []exchange {
			var all []exchange
			for _, name := range []string{"tâble", "～😀", "t", "a b\x00", strings.Repeat("t", 255), strings.Repeat("😀", 3000)} {
				x := named(k, "～", "😀", "é", "z")
				x.writer.Table = name
				x.what = fmt.Sprintf("%.20q", name)
				all = append(all, x)
			}
			return all
		}),
		holds(g, "of entries of maps", item{"v": object(item{"😀": num("1"), "～": null(), "\ue000": null(), "é": str("é"), "a": str(""), "a\x00": list(), "\uffff": boolean(true), "aws_dbe_head": null()})}),
		holds(g, "members of sets", item{"v": strs("😀", "～", "\ue000", "\uffff", "a", "é", "e\u0301", "\U00010000")}),
	}
}

func keyRows() []row {
	const g = "keys"
	of := func(name string, partition, sort types.AttributeValue) row {
		return passes(g, name, func(k kind) []exchange {
			t, it := basic(k), basicItem()
			it["pk"] = partition
			if sort == nil {
				t.SortKey = ""
				delete(t.Actions, "sk")
				delete(it, "sk")
			} else {
				it["sk"] = sort
			}
			return []exchange{{writer: t, in: it}}
		})
	}
	return []row{
		of("string", str("x"), nil),
		of("number", num("-17.25"), nil),
		of("binary", bin("\x00\xff"), nil),
		of("string and string", str("x"), str("x")),
		of("string and number", str("x"), num("0")),
		of("number and binary", num("123456789012345678901234567890.12345678"), bin("\x00")),
		of("binary and string", bin("pk"), str("～😀é\x00")),
		of("2048 and 1024 bytes", str(strings.Repeat("é", 1024)), bin(strings.Repeat("\xff", 1024))),
	}
}

// numbered has a number where numbers can be.
func numbered(k kind, e, s string) exchange {
	x := exchange{writer: basic(k), in: item{"pk": num(s), "sk": num(s)}}
	for name, action := range map[string]dynamoitem.Action{
		"e": dynamoitem.EncryptAndSign, "s": dynamoitem.SignOnly, "c": dynamoitem.SignAndIncludeInContext,
	} {
		n := num(s)
		switch {
		case action == dynamoitem.EncryptAndSign:
			n = num(e)
		case action == dynamoitem.SignAndIncludeInContext && k.version == 1:
			continue
		}
		for nested, v := range map[string]types.AttributeValue{
			"": n, "-set": nums(n.(*types.AttributeValueMemberN).Value), "-list": list(n), "-map": object(item{"k": list(n)}),
		} {
			x.writer.Actions[name+nested], x.in[name+nested] = action, v
		}
	}
	return x
}

func numberRows() []row {
	const g = "numbers"
	nines := strings.Repeat("9", 38)
	// What is encrypted comes back as DynamoDB would have written it, what is signed as it is
	// given to the reader: that is either what the writer had, or what DynamoDB made of it.
	of := func(name string, pairs ...string) row {
		return passes(g, name, func(k kind) []exchange {
			var all []exchange
			for i := 0; i < len(pairs); i += 2 {
				given, normal := pairs[i], pairs[i+1]
				asGiven, stored := numbered(k, given, given), numbered(k, given, given)
				asGiven.what, stored.what = given+", as it was written", given+", as it is stored"
				asGiven.back, stored.back = numbered(k, normal, given).in, numbered(k, normal, normal).in
				stored.stored = func(it item) item {
					it = maps.Clone(it)
					for name, v := range stored.back {
						if _, encrypted := binaryOf(it[name]); !encrypted {
							it[name] = v
						}
					}
					return it
				}
				all = append(all, asGiven, stored)
			}
			return all
		})
	}
	return []row{
		of("as DynamoDB writes them", "0", "0", "1", "1", "-1", "-1", "0.1", "0.1", "-0.000123", "-0.000123", "1000", "1000", nines, nines, "0."+nines, "0."+nines),
		of("zeros", "00", "0", "-0", "0", "0.00", "0", "-0.0", "0", "01", "1", "-007.50", "-7.5", "1.0", "1", "100.000", "100", ".5", "0.5", "5.", "5"),
		of("exponents", "1e3", "1000", "1E+3", "1000", "1e-3", "0.001", "12.5e1", "125", "-1.5E2", "-150", "0e10", "0", "1e0", "1"),
		of("the largest and the smallest", "9.9999999999999999999999999999999999999E+125", nines+strings.Repeat("0", 88), "1e-130", "0."+strings.Repeat("0", 129)+"1", "-1e-130", "-0."+strings.Repeat("0", 129)+"1", "1e125", "1"+strings.Repeat("0", 125)),
		of("plus signs", "+1", "1", "+0.50", "0.5"),
		passes(g, "sets", func(k kind) []exchange {
			in, back := nums("1.0", "2e1", "-0", "0.50", "007"), nums("1", "20", "0", "0.5", "7")
			x := holding(k, item{"v": in})
			x.back = with(x.in, "e-v", back)
			y := holding(k, item{"v": in})
			y.back = holding(k, item{"v": back}).in
			y.stored = func(it item) item {
				for _, prefix := range []string{"s-", "c-"} {
					if it[prefix+"v"] != nil {
						it = with(it, prefix+"v", back)
					}
				}
				return it
			}
			return []exchange{x, y}
		}),
	}
}

func sizeRows() []row {
	const g = "sizes"
	of := func(name string, v types.AttributeValue) row {
		return passes(g, name, func(k kind) []exchange {
			t, it := basic(k), basicItem()
			it["secret"] = v
			signs := basicItem()
			signs["seen"] = v
			return []exchange{{writer: t, in: it}, {writer: t, in: signs}}
		})
	}
	many := list()
	members, numbers := strs(), nums()
	for i := range 1000 {
		l := many.(*types.AttributeValueMemberL)
		l.Value = append(l.Value, object(item{"n": num(fmt.Sprint(i)), "s": str("entry")}))
		members.(*types.AttributeValueMemberSS).Value = append(members.(*types.AttributeValueMemberSS).Value, fmt.Sprint("member", i))
		numbers.(*types.AttributeValueMemberNS).Value = append(numbers.(*types.AttributeValueMemberNS).Value, fmt.Sprint(i))
	}
	return []row{
		of("1 byte", str("x")),
		of("1 KiB", str(strings.Repeat("é", 512))),
		of("16 KiB", bin(strings.Repeat("\xff", 16<<10))),
		of("100 KiB", str(strings.Repeat("text ", 20<<10))),
		of("300 KB of text", str(strings.Repeat("x", 300_000))),
		of("300 KB of binary", bin(strings.Repeat("\x00", 300_000))),
		of("a list of 1000 maps", many),
		of("a set of 1000 strings", members),
		of("a set of 1000 numbers", numbers),
		passes(g, "500 attributes", func(k kind) []exchange {
			t, it := basic(k), basicItem()
			for i := range 500 {
				name := fmt.Sprintf("attribute-%d", i)
				t.Actions[name], it[name] = dynamoitem.Action(i%2), str(strings.Repeat("v", i))
			}
			return []exchange{{writer: t, in: it}}
		}),
	}
}

func wrappedKeyRows() []row {
	const g = "wrapped keys"
	one := func(name string, key wrappingKey) row {
		return passes(g, name, func(k kind) []exchange {
			t := basic(k)
			t.keys = []wrappingKey{key}
			return []exchange{{writer: t, in: basicItem()}}
		})
	}
	several := []wrappingKey{aesKey("first", 32), aesKey("second", 16), aesKey("third", 24)}
	return []row{
		one("AES-128", aesKey("key", 16)),
		one("AES-192", aesKey("key", 24)),
		one("AES-256", aesKey("key", 32)),
		one("names past ASCII", wrappingKey{"～", "😀é", aesKey("key", 32).Key}),
		passes(g, "three, read by each", func(k kind) []exchange {
			var all []exchange
			for _, key := range several {
				t := basic(k)
				t.keys = several
				reader := t
				reader.keys = []wrappingKey{key}
				all = append(all, exchange{what: key.Name, writer: t, reader: &reader, in: basicItem()})
			}
			return all
		}),
		passes(g, "three, read by others too", func(k kind) []exchange {
			t := basic(k)
			t.keys = several
			reader := t
			reader.keys = []wrappingKey{aesKey("other", 32), {"interop", "first", aesKey("wrong", 32).Key}, several[2], several[1]}
			return []exchange{{writer: t, reader: &reader, in: basicItem()}}
		}),
		passes(g, "ten", func(k kind) []exchange {
			t := basic(k)
			t.keys = keysOf(10)
			reader := t
			reader.keys = t.keys[9:]
			return []exchange{{writer: t, reader: &reader, in: basicItem()}}
		}),
		passes(g, "255", func(k kind) []exchange {
			t := basic(k).with(func(c *dynamoitem.Config) { c.MaxEncryptedDataKeys = 255 })
			t.keys = keysOf(255)
			reader := t
			reader.keys = t.keys[254:]
			return []exchange{{writer: t, reader: &reader, in: basicItem()}}
		}),
		passes(g, "another key: refused", func(k kind) []exchange {
			reader := basic(k)
			reader.keys = []wrappingKey{aesKey("other", 32)}
			wrong := basic(k)
			wrong.keys = []wrappingKey{{"interop", "key", aesKey("wrong", 32).Key}}
			return []exchange{
				{what: "of another name", writer: basic(k), reader: &reader, in: basicItem(), readerRefuses: true},
				{what: "of that name", writer: basic(k), reader: &wrong, in: basicItem(), readerRefuses: true},
			}
		}),
	}
}

func policyRows() []row {
	const g = "plaintext"
	policy := func(k kind, p dynamoitem.PlaintextPolicy) *table {
		t := basic(k).with(func(c *dynamoitem.Config) { c.Plaintext = p })
		return &t
	}
	return []row{
		passes(g, "encrypted, read where it is allowed", func(k kind) []exchange {
			return []exchange{
				{writer: basic(k), reader: policy(k, dynamoitem.AllowPlaintextRead), in: basicItem()},
				{writer: basic(k), reader: policy(k, dynamoitem.ForcePlaintextWrite), in: basicItem()},
			}
		}),
		passes(g, "in the clear, read where it is allowed", func(k kind) []exchange {
			w := *policy(k, dynamoitem.ForcePlaintextWrite)
			return []exchange{
				{writer: w, reader: policy(k, dynamoitem.AllowPlaintextRead), in: basicItem(), inClear: true},
				{writer: w, reader: policy(k, dynamoitem.ForcePlaintextWrite), in: basicItem(), inClear: true},
			}
		}),
		passes(g, "in the clear, refused where it is not", func(k kind) []exchange {
			w := *policy(k, dynamoitem.ForcePlaintextWrite)
			return []exchange{{writer: w, reader: policy(k, dynamoitem.ForbidPlaintext), in: basicItem(), inClear: true, readerRefuses: true}}
		}),
	}
}
