package main

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope/dynamoitem"
)

// A beaconCase is a table with beacons, and items that both sides put into tables of their
// own. The beacons must be the same, and each side finds in both tables what each put there.
type beaconCase struct {
	beacons map[string]dynamoitem.Beacon
	signed  []string // attributes that are signed, and in version 2 in the context. All others are encrypted
	items   []item   // without the key
	finds   []find   // besides those of equality with the value of each item

	// signedOnly are those of signed that are never in the context, since items may lack them.
	signedOnly []string

	// indexed are the beacons whose columns have an index. Others are found by scans.
	indexed []string

	// unasked are standard beacons that no item is found by.
	unasked bool

	// rewritten are beacons that the two sides write differently. No finds are made by them.
	rewritten []string

	rawData bool     // data keys are under a raw key, and beacon keys under a branch key
	tenants []string // of the items in turn. Each has a branch key
	by      string   // the attribute with the tenant
	refused bool     // no item can be put
	version int      // 0 for both
}

const idName = "id"

func (c beaconCase) table(s *services, k kind, b branch) table {
	t := table{Config: dynamoitem.Config{
		Table: "people", PartitionKey: idName, Suite: k.suite, Beacons: c.beacons,
		Actions: map[string]dynamoitem.Action{idName: k.keyAction()},
	}, branch: &b, beacons: &b}
	for _, it := range c.items {
		for name := range it {
			t.Actions[name] = dynamoitem.EncryptAndSign
		}
	}
	for _, name := range c.signed {
		t.Actions[name] = dynamoitem.SignOnly
		if k.version == 2 && !slices.Contains(c.signedOnly, name) {
			t.Actions[name] = dynamoitem.SignAndIncludeInContext
		}
	}
	if c.by != "" && c.by != idName {
		t.Actions[c.by] = dynamoitem.SignAndIncludeInContext
	}
	if c.rawData {
		t.branch, t.keys = nil, oneKey
	}
	return t
}

// allItems returns the items with their keys.
func (c beaconCase) allItems(prefix string) (all []item) {
	for i, it := range c.items {
		it = with(it, idName, str(fmt.Sprintf("item %d", i)))
		if c.tenants != nil {
			it[c.by] = str(prefix + c.tenants[i%len(c.tenants)])
		}
		all = append(all, it)
	}
	return all
}

// versionMark is an attribute that has a row of its own: the two sides differ in it.
const versionMark = "aws_dbe_v_1"

// beaconsOf returns the beacons of an item in DynamoDB.
func beaconsOf(raw item) item {
	all := item{}
	for name, v := range raw {
		if strings.HasPrefix(name, "aws_dbe_") && name != headName && name != footName && name != versionMark {
			all[name] = v
		}
	}
	return all
}

func (c beaconCase) run(ctx context.Context, s *services, k kind, d direction) error {
	if c.version != 0 && c.version != k.version {
		return errNone
	}
	b, prefix := branch{in: s}, ""
	var err error
	if c.tenants == nil {
		b.id, err = s.keyMadeBy(ctx, d.writer)
	} else {
		// AWS's client takes the attribute's value for the branch key's ID.
		b.tenant, prefix = c.by, fmt.Sprintf("beacons %d of ", s.next())
		for _, name := range c.tenants {
			if err == nil {
				err = d.writer.createKey(ctx, s, prefix+name)
			}
		}
	}
	if err != nil {
		return err
	}
	items := c.allItems(prefix)
	sides := []side{d.writer, d.reader}
	var tables []table
	added := make([][]item, 2)
	for i, w := range sides {
		t, err := s.makeTable(ctx, c.table(s, k, b), c.indexed...)
		if err != nil {
			return err
		}
		tables = append(tables, t)
		for _, it := range items {
			err := w.put(ctx, t, it)
			if c.refused {
				if err := mustRefuse(w, nil, err); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return fmt.Errorf("%v does not write it: %w", w, err)
			}
			raw, err := t.raw(ctx, item{idName: it[idName]})
			if err != nil {
				return err
			}
			added[i] = append(added[i], beaconsOf(raw))
			maps.DeleteFunc(raw, func(name string, _ types.AttributeValue) bool {
				return strings.HasPrefix(name, "aws_dbe_") && name != headName && name != footName
			})
			if err := checkWritten(t, it, raw); err != nil {
				return fmt.Errorf("%v: %w", w, err)
			}
		}
	}
	if c.refused {
		return nil
	}
	if err := c.compare(sides, added); err != nil {
		return err
	}
	if c.rewritten != nil {
		return nil
	}
	for i, t := range tables {
		for _, r := range sides {
			if err := c.read(ctx, r, t, items); err != nil {
				return fmt.Errorf("what %v put: %w", sides[i], err)
			}
		}
	}
	return nil
}

// compare compares what both sides added to each item.
func (c beaconCase) compare(sides []side, added [][]item) error {
	missing := map[string]bool{}
	for name, b := range c.beacons {
		if !b.PartOnly {
			missing["aws_dbe_b_"+name] = true
		}
	}
	wanted := maps.Clone(missing)
	for i := range added[0] {
		for _, name := range c.rewritten {
			column := "aws_dbe_b_" + name
			if equal(added[0][i][column], added[1][i][column]) {
				return fmt.Errorf("item %d: both have the same beacon %q", i, name)
			}
			added[1][i] = with(added[1][i], column, added[0][i][column])
		}
		if diff := differ(added[0][i], added[1][i]); diff != "" {
			return fmt.Errorf("item %d: the beacons of %v differ from those of %v: %s", i, sides[1], sides[0], diff)
		}
		for name := range added[0][i] {
			if !wanted[name] {
				return fmt.Errorf("item %d has the attribute %q", i, name)
			}
			delete(missing, name)
		}
	}
	for name := range missing {
		return fmt.Errorf("no item has the beacon %q", name)
	}
	return nil
}

// read gets all items, and finds them by their values and by the finds of the case.
func (c beaconCase) read(ctx context.Context, r side, t table, items []item) error {
	for _, it := range items {
		got, err := r.get(ctx, t, item{idName: it[idName]})
		if err != nil {
			return fmt.Errorf("%v does not get it: %w", r, err)
		}
		if diff := differItems([]item{it}, []item{got}); diff != "" {
			return fmt.Errorf("%v gets something else: %s", r, diff)
		}
	}
	finds := slices.Clone(c.finds)
	if !c.unasked {
		for _, name := range slices.Sorted(maps.Keys(c.beacons)) {
			finds = append(finds, c.equalities(name, items)...)
		}
	}
	for _, f := range finds {
		var wants [][]item
		if c.tenants == nil {
			wants = append(wants, nil)
		}
		for _, it := range items { // each tenant's own
			if c.tenants != nil && !slices.ContainsFunc(wants, func(w []item) bool { return equal(w[0][c.by], it[c.by]) }) {
				wants = append(wants, []item{it})
			}
		}
		for _, w := range wants {
			g := f
			if w != nil {
				g.want = with(f.want, c.by, w[0][c.by])
			}
			g.index = ""
			if i := slices.Index(c.indexed, f.beacon); i >= 0 && f.op == "=" {
				g.index = *indexOf(i)
			}
			var found []item
			for _, it := range items {
				if matches(it, g.want) {
					found = append(found, it)
				}
			}
			if (r != ours{}) && g.theirs != nil {
				found = nil
				for _, i := range g.theirs {
					found = append(found, items[i])
				}
			}
			got, err := r.find(ctx, t, g)
			if err != nil {
				return fmt.Errorf("%v does not find by %q %s %s: %w", r, f.beacon, f.op, shown(f.text), err)
			}
			if diff := differItems(found, got); diff != "" {
				return fmt.Errorf("%v finds something else by %q %s %s: %s", r, f.beacon, f.op, shown(f.text), diff)
			}
		}
	}
	return nil
}

// equalities returns finds of a standard beacon for the value that each item has: for a set,
// of each member.
func (c beaconCase) equalities(name string, items []item) (all []find) {
	b := c.beacons[name]
	if b.Parts != nil || b.PartOnly {
		return nil
	}
	of := b.Attribute
	if of == "" {
		of = name
	}
	for _, it := range items {
		v, has := it[of]
		switch {
		case !has:
		case b.Set:
			for _, m := range members(v) {
				all = append(all, find{beacon: name, op: "contains", want: item{of: m}, text: m})
			}
		default:
			all = append(all, find{beacon: name, op: "=", want: item{of: v}, text: v})
		}
	}
	return all
}

func members(v types.AttributeValue) (all []types.AttributeValue) {
	switch v := v.(type) {
	case *types.AttributeValueMemberSS:
		for _, s := range v.Value {
			all = append(all, str(s))
		}
	case *types.AttributeValueMemberNS:
		for _, s := range v.Value {
			all = append(all, num(s))
		}
	case *types.AttributeValueMemberBS:
		for _, s := range v.Value {
			all = append(all, bin(string(s)))
		}
	}
	return all
}

// matches says whether an item has the values that are wanted, or has them as members.
func matches(it, want item) bool {
	for name, v := range want {
		has, ok := it[name]
		if !ok || !same(has, v) && !slices.ContainsFunc(members(has), func(m types.AttributeValue) bool { return same(m, v) }) {
			return false
		}
	}
	return true
}

// same says whether two values are equal to DynamoDB.
func same(a, b types.AttributeValue) bool { return equal(plain(a), plain(b)) }

// plain returns a value whose numbers are written in one way.
func plain(v types.AttributeValue) types.AttributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberN:
		if r, ok := new(big.Rat).SetString(v.Value); ok {
			return num(r.RatString())
		}
	case *types.AttributeValueMemberNS:
		all := nums()
		for _, m := range members(v) {
			all.(*types.AttributeValueMemberNS).Value = append(all.(*types.AttributeValueMemberNS).Value, plain(m).(*types.AttributeValueMemberN).Value)
		}
		return all
	}
	return v
}

func plainItem(it item) item {
	it = maps.Clone(it)
	for name, v := range it {
		it[name] = plain(v)
	}
	return it
}

// differItems says where two lists of items differ, whose order is no matter.
func differItems(want, got []item) string {
	byID := func(all []item) map[string]item {
		m := map[string]item{}
		for _, it := range all {
			m[shown(it[idName])] = plainItem(it)
		}
		return m
	}
	w, g := byID(want), byID(got)
	if len(got) != len(want) || len(g) != len(w) {
		return fmt.Sprintf("%q, want %q", slices.Sorted(maps.Keys(g)), slices.Sorted(maps.Keys(w)))
	}
	for id, it := range w {
		if g[id] == nil {
			return fmt.Sprintf("%q, want %q", slices.Sorted(maps.Keys(g)), slices.Sorted(maps.Keys(w)))
		}
		if diff := differ(it, g[id]); diff != "" {
			return id + ": " + diff
		}
	}
	return ""
}

// shown returns a value for an error.
func shown(v types.AttributeValue) string {
	b, _ := jsonValue{v}.MarshalJSON()
	return fmt.Sprintf("%.100s", b)
}

// each returns an item for each value of an attribute.
func each(name string, values ...types.AttributeValue) (all []item) {
	for _, v := range values {
		all = append(all, item{name: v})
	}
	return all
}

// standard is a case of one beacon with values. The last item does not have the attribute.
func standard(bits int, values ...types.AttributeValue) beaconCase {
	return beaconCase{
		beacons: map[string]dynamoitem.Beacon{"b": {Attribute: "v", Bits: bits}},
		items:   append(each("v", values...), item{"other": str("x")}),
		indexed: []string{"b"},
	}
}

func setCase(bits int, values ...types.AttributeValue) beaconCase {
	c := standard(bits, values...)
	c.beacons, c.indexed = map[string]dynamoitem.Beacon{"b": {Attribute: "v", Bits: bits, Set: true}}, nil
	return c
}

// place is a compound beacon of a signed part, two encrypted ones and another signed one.
func place(split rune, prefixes ...string) map[string]dynamoitem.Beacon {
	return map[string]dynamoitem.Beacon{
		"city": {Bits: 16, PartOnly: true}, "by zip": {Attribute: "zip", Bits: 12},
		"place": {Split: split, Parts: []dynamoitem.BeaconPart{
			{Name: "year", Prefix: prefixes[0]}, {Name: "city", Prefix: prefixes[1]}, {Name: "by zip", Prefix: prefixes[2], Optional: true}, {Name: "vip", Prefix: prefixes[3], Optional: true},
		}},
	}
}

// places returns items for place, and what they are found by.
func places(split rune, prefixes ...string) beaconCase {
	ulm, bonn := str("Ulm"), str("Bönn é😀")
	join := func(parts ...string) types.AttributeValue { return str(strings.Join(parts, string(split))) }
	y, c, z, v := prefixes[0], prefixes[1], prefixes[2], prefixes[3]
	return beaconCase{
		beacons: place(split, prefixes...), signed: []string{"year", "vip"}, signedOnly: []string{"vip"}, indexed: []string{"place", "by zip"},
		items: []item{
			{"year": num("1984"), "city": ulm, "zip": num("89073"), "vip": boolean(true)},
			{"year": num("1984"), "city": bonn, "zip": str("53111"), "vip": null()},
			{"year": str("1985"), "city": ulm, "zip": str("7"), "vip": str("yes é😀")},
			{"year": num("-5"), "city": str(""), "zip": boolean(false), "vip": num("1")},
		},
		finds: []find{
			{beacon: "place", op: "=", text: join(y+"1984", c+"Ulm", z+"89073", v+"true"), want: item{"year": num("1984"), "city": ulm, "zip": num("89073"), "vip": boolean(true)}},
			{beacon: "place", op: "=", text: join(y+"1984", c+"Bönn é😀", z+"53111", v+"null"), want: item{"year": num("1984"), "city": bonn, "zip": str("53111"), "vip": null()}},
			{beacon: "place", op: "begins_with", text: join(y + "1984"), want: item{"year": num("1984")}},
			{beacon: "place", op: "begins_with", text: join(y+"1985", c+"Ulm"), want: item{"year": str("1985"), "city": ulm}},
			{beacon: "place", op: "contains", text: join(c + "Ulm"), want: item{"city": ulm}},
			{beacon: "place", op: "=", text: join(y+"-5", c, z+"false", v+"1"), want: item{"year": num("-5"), "city": str(""), "zip": boolean(false), "vip": num("1")}},
			{beacon: "place", op: "contains", text: join(c+"Ulm", z+"89073"), want: item{"city": ulm, "zip": num("89073")}},
			{beacon: "place", op: "contains", text: join(v + "yes é😀"), want: item{"vip": str("yes é😀")}},
		},
	}
}

// differing are rows of cases in which the two sides are known to differ. Their cells do not
// count, unless it is in another way.
func (s *services) differing() (all []row) {
	marked := func(ctx context.Context, k kind, d direction) error {
		id, err := s.keyMadeBy(ctx, d.writer)
		if err != nil {
			return err
		}
		c := standard(8, str("x"))
		t, err := s.makeTable(ctx, c.table(s, k, branch{in: s, id: id}))
		if err != nil {
			return err
		}
		it := item{idName: str("x"), "v": str("x")}
		if err := d.writer.put(ctx, t, it); err != nil {
			return err
		}
		raw, err := t.raw(ctx, item{idName: str("x")})
		if err != nil {
			return err
		}
		_, has := raw[versionMark]
		if here := d.writer == (ours{}); has != here {
			return fmt.Errorf("%v writes it: %v", d.writer, has)
		}
		return nil
	}
	alike := func(c beaconCase) func(ctx context.Context, k kind, d direction) error {
		return func(ctx context.Context, k kind, d direction) error { return c.run(ctx, s, k, d) }
	}
	finds := func(c beaconCase, all ...find) beaconCase {
		c.unasked, c.finds = true, all
		return c
	}
	order := strs("😀", "～", "a")
	one, empty := num("1.0"), places('.', "Y-", "C-", "Z-", "V-")
	typed := empty
	typed.items = []item{
		{"year": num("1984"), "city": str("7"), "zip": num("1"), "vip": null()}, {"year": str("1984"), "city": num("7"), "zip": num("1"), "vip": null()},
	}
	// What a part is in the item, DynamoDB has written as it writes numbers.
	number := typed
	number.items, number.rewritten = []item{{"year": num("1984"), "city": num("1e1"), "zip": num("1"), "vip": null()}}, []string{"place"}
	for _, r := range []struct {
		name, reason string
		run          func(ctx context.Context, k kind, d direction) error
	}{
		{"the mark of the version", "the specification has aws_dbe_v_1 in each item with beacons. This repository writes it, and Java does not.", marked},
		{"a set as one value, in another order", "Java opens the item and then compares sets with the order of their members, so that it finds nothing.",
			alike(finds(standard(24, strs("a", "😀", "～")), find{beacon: "b", op: "=", want: item{"v": order}, text: order, theirs: []int{}}))},
		{"a member that is a number not as DynamoDB writes it", "Java compares it as text after the item was opened, and finds nothing.",
			alike(finds(setCase(16, nums("1", "2")), find{beacon: "b", op: "contains", want: item{"v": one}, text: one, theirs: []int{}}))},
		{"an empty last part, in begins_with and contains", "to Java it is the prefix alone, which all items have. Here it is the empty value.",
			alike(finds(empty, find{beacon: "place", op: "contains", want: item{"city": str("")}, text: str("C-"), theirs: []int{0, 1, 2, 3}}))},
		{"text and a number alike in a compound beacon", "to Java a compound beacon is text, and it finds both. Here the wanted value has a type.",
			alike(finds(typed, find{beacon: "place", op: "=", want: typed.items[0], text: str("Y-1984.C-7.Z-1.V-null"), theirs: []int{0, 1}}))},
		{"a number not as DynamoDB writes it in a compound beacon", "Java takes the part as it is given, and so makes another beacon than of the number that comes back.",
			alike(number)},
	} {
		run := r.run
		all = append(all, row{group: "beacons that differ", name: r.name, reason: r.reason, run: func(ctx context.Context, k kind, d direction) error {
			if err := run(ctx, k, d); err != nil {
				return err
			}
			return errDiffers
		}})
	}
	return all
}

func beaconRows(s *services) []row {
	of := func(name string, c beaconCase) row {
		return row{group: "beacons", name: name, run: func(ctx context.Context, k kind, d direction) error { return c.run(ctx, s, k, d) }}
	}
	short := func(name string, c beaconCase) row {
		r := of(name, c)
		r.run = twice(r.run)
		return r
	}
	lengths := beaconCase{beacons: map[string]dynamoitem.Beacon{}, items: []item{{}, {}}, unasked: true}
	for bits := 1; bits <= 63; bits++ {
		name := fmt.Sprintf("b%d", bits)
		lengths.beacons[name] = dynamoitem.Beacon{Bits: bits}
		for i, it := range lengths.items {
			it[name] = str(fmt.Sprint("value ", i, bits))
		}
	}
	for _, bits := range []int{1, 8, 33, 63} {
		v := lengths.items[1][fmt.Sprint("b", bits)]
		lengths.finds = append(lengths.finds, find{beacon: fmt.Sprint("b", bits), op: "=", want: item{fmt.Sprint("b", bits): v}, text: v})
	}
	names := beaconCase{
		beacons: map[string]dynamoitem.Beacon{"v": {Bits: 24}, "～": {Bits: 24}, "😀 é": {Bits: 24}, "a b": {Attribute: "w", Bits: 24}, "#:": {Bits: 24}},
		items:   []item{{"v": str("x"), "～": str("x"), "😀 é": str("x"), "w": str("x"), "#:": str("x"), "a b": num("1")}},
		indexed: []string{"～", "😀 é", "a b"},
	}
	// The value is the same for both tenants. The partition key has room for an item each.
	tenants := standard(12, str("x"), str("x"))
	tenants.items = tenants.items[:2]
	tenants.tenants, tenants.by = []string{"one ～😀", "two"}, idName
	byOther := standard(12, str("x"), str("x"), num("1"), str("y"), str("y"), num("1"))
	byOther.tenants, byOther.by, byOther.version = tenants.tenants, "tenant", 2
	raw := standard(12, str("x"), str("y"))
	raw.rawData = true
	optional := places('.', "Y-", "C-", "Z-", "V-")
	optional.items = []item{
		{"year": num("1984"), "city": str("Ulm")}, {"year": num("1984"), "city": str("Ulm"), "zip": num("1")},
		{"year": num("1984"), "city": str("Ulm"), "vip": str("x")}, {"year": num("1984"), "zip": num("1"), "vip": str("x")},
		{"year": num("1985"), "zip": num("1")},
	}
	optional.finds = []find{
		{beacon: "place", op: "begins_with", text: str("Y-1984.C-Ulm"), want: item{"year": num("1984"), "city": str("Ulm")}},
		{beacon: "place", op: "begins_with", text: str("Y-1984.C-Ulm.V-x"), want: item{"year": num("1984"), "city": str("Ulm"), "vip": str("x")}},
	}
	encrypted := beaconCase{
		beacons: map[string]dynamoitem.Beacon{"a": {Bits: 20}, "b": {Bits: 3, PartOnly: true}, "both": {Split: ' ', Parts: []dynamoitem.BeaconPart{{Name: "b", Prefix: "b"}, {Name: "a", Prefix: "a"}}}},
		items:   []item{{"a": str("1"), "b": str("2")}, {"a": num("1"), "b": num("3")}, {"a": str("1")}},
		indexed: []string{"a", "both"},
		finds: []find{
			{beacon: "both", op: "=", text: str("b2 a1"), want: item{"a": str("1"), "b": str("2")}},
			{beacon: "both", op: "begins_with", text: str("b3"), want: item{"b": num("3")}},
		},
	}
	numberSets := setCase(16, nums("1.0", "02"), nums("1e1"))
	numberSets.unasked = true
	for _, n := range []string{"1", "2", "10"} {
		numberSets.finds = append(numberSets.finds, find{beacon: "b", op: "contains", want: item{"v": num(n)}, text: num(n)})
	}
	refuse := func(c beaconCase, items ...item) beaconCase {
		c.items, c.refused, c.finds = items, true, nil
		return c
	}
	dotted := places('.', "Y-", "C-", "Z-", "V-")
	long := strings.Repeat("é", 1000)
	return append([]row{
		short("standard, of 1 to 63 bits", lengths),
		short("standard, of text", standard(24, str(""), str("a"), str("b"), str("é"), str("e\u0301"), str("～"), str("😀"), str("\x00"), str("a\x00"), str("\U0010ffff"), str(long))),
		short("standard, of numbers", standard(24, num("0"), num("1"), num("-1"), num("0.5"), num("10"), num(strings.Repeat("9", 38)), num("-0.000123"))),
		short("standard, of numbers not as DynamoDB writes them", standard(24, num("007"), num("1.50"), num("1e3"), num("-0"), num("+5"))),
		short("standard, of binary", standard(24, bin(""), bin("\x00"), bin("\x00\xff"), bin("a"))),
		short("standard, of booleans and null", standard(24, boolean(true), boolean(false), null())),
		short("standard, of text and a number alike", standard(24, str("1"), num("1"), bin("1"))),
		short("standard, of lists and maps", standard(24, list(), list(str("a"), num("1")), object(item{}), object(item{"k": list(null()), "～": bins("b"), "😀": num("1")}))),
		short("standard, of sets as one value", standard(24, strs("a", "😀", "～"), nums("10", "9"), bins("", "b"))),
		short("standard, of few bits", standard(2, str("a"), str("b"), str("c"), str("d"), str("e"), str("f"), str("g"), str("h"))),
		short("standard, of names past ASCII", names),
		short("sets of text", setCase(16, strs("a"), strs("a", "b", "～", "😀"), strs("", "é"))),
		short("sets of numbers", setCase(16, nums("1"), nums("1", "2.5", "-3"), nums("10"))),
		short("sets of numbers not as DynamoDB writes them", numberSets),
		short("sets of binary", setCase(16, bins("\x00"), bins("\x00", "\xff", ""))),
		short("sets whose members share beacons", setCase(1, strs("a", "b", "c", "d", "e"), strs("f"))),
		of("compound, of signed and encrypted parts", places('.', "Y-", "C-", "Z-", "V-")),
		of("compound, of encrypted parts alone", encrypted),
		of("compound, with optional parts", optional),
		of("compound, another split and prefixes", places('|', "year:", "C", "...", "v\x00")),
		of("compound, split and prefixes past ASCII", places('～', "é", "😀", "ü😀", "\ue000")),
		of("under a branch key, the items under a raw one", raw),
		of("a tenant each, by the partition key", tenants),
		of("a tenant each, by another attribute", byOther),
		of("refused to write: the split in an encrypted part", refuse(dotted, item{"year": num("1"), "city": str("St. Ives"), "zip": num("1"), "vip": null()})),
		of("refused to write: the split in a signed part", refuse(dotted, item{"year": str("1.5"), "city": str("x"), "zip": num("1"), "vip": null()})),
		of("refused to write: binary in a part", refuse(dotted, item{"year": num("1"), "city": bin("x"), "zip": num("1"), "vip": null()})),
		of("refused to write: a list in a part", refuse(dotted, item{"year": list(), "city": str("x"), "zip": num("1"), "vip": null()})),
		of("refused to write: no set for a set", refuse(setCase(16), item{"v": str("a")})),
	}, s.differing()...)
}
