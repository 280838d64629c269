package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/go-sealring/sealring/envelope/dynamoitem"
)

// underBranchKey has the items of another row under a branch key that the writer made.
func (s *services) underBranchKey(r row) row {
	return row{group: "branch key: " + r.group, name: r.name, run: func(ctx context.Context, k kind, d direction) error {
		all := r.exchanges(k)
		if all == nil {
			return errNone
		}
		id, err := s.keyMadeBy(ctx, d.writer)
		if err != nil {
			return err
		}
		b := &branch{in: s, id: id}
		for _, x := range all {
			x.writer.branch, x.writer.keys = b, nil
			if x.reader != nil {
				reader := *x.reader
				reader.branch, reader.keys = b, nil
				x.reader = &reader
			}
			if err := d.run(ctx, x); err != nil {
				return err
			}
		}
		return nil
	}}
}

// under returns the basic table under branch keys alone.
func under(k kind, b branch) table {
	t := basic(k)
	t.keys, t.branch = nil, &b
	return t
}

// versionOf returns the version of the branch key that wraps the only data key of an item.
func versionOf(it item) (string, error) {
	const salt, iv, version = 16, 12, 16
	head, _ := binaryOf(it[headName])
	at := partsOf(head)["wrapped keys"].from
	if head[at] != 1 {
		return "", fmt.Errorf("%d wrapped keys", head[at])
	}
	at++
	var field []byte
	for range 3 {
		n := int(binary.BigEndian.Uint16(head[at:]))
		field = head[at+2 : at+2+n]
		at += 2 + n
	}
	field = field[48:] // what is wrapped by the branch key stands behind the data key
	return string(field[salt+iv : salt+iv+version]), nil
}

// twice is for what takes long and has nothing to do with suites and versions: two of the
// four kinds have both of each.
func twice(run func(ctx context.Context, k kind, d direction) error) func(ctx context.Context, k kind, d direction) error {
	return func(ctx context.Context, k kind, d direction) error {
		if k != kinds[0] && k != kinds[3] {
			return errNone
		}
		return run(ctx, k, d)
	}
}

func branchRows(s *services) []row {
	var all []row
	for _, group := range [][]row{typeRows(), actionRows(), nameRows(), keyRows(), numberRows(), sizeRows(), randomRows()} {
		for _, r := range group {
			all = append(all, s.underBranchKey(r))
		}
	}
	of := func(name string, run func(ctx context.Context, k kind, d direction) error) row {
		return row{group: "branch keys", name: name, run: run}
	}
	return append(all,
		of("made by one, versions by both, all read", twice(s.versions)),
		of("made by the reader", func(ctx context.Context, k kind, d direction) error {
			id, err := s.keyMadeBy(ctx, d.reader)
			if err != nil {
				return err
			}
			return d.run(ctx, exchange{writer: under(k, branch{in: s, id: id}), in: basicItem()})
		}),
		of("a tenant each, by the partition key", func(ctx context.Context, k kind, d direction) error {
			return s.tenants(ctx, k, d, "pk")
		}),
		of("a tenant each, by another attribute", func(ctx context.Context, k kind, d direction) error {
			if k.version == 1 {
				return errNone // its context has the key's attributes alone
			}
			return s.tenants(ctx, k, d, "tenant")
		}),
		of("a tenant without one: refused to write", func(ctx context.Context, k kind, d direction) error {
			got, err := d.writer.encrypt(ctx, under(k, branch{in: s, tenant: "pk", prefix: "none "}), basicItem())
			return mustRefuse(d.writer, got, err)
		}),
		of("a tenant without the attribute: refused to read", func(ctx context.Context, k kind, d direction) error {
			id, err := s.keyMadeBy(ctx, d.writer)
			if err != nil {
				return err
			}
			reader := under(k, branch{in: s, tenant: "pk"})
			return d.run(ctx, exchange{writer: under(k, branch{in: s, id: id}), reader: &reader, in: basicItem(), readerRefuses: true})
		}),
		of("another one: refused to read", func(ctx context.Context, k kind, d direction) error {
			id, err := s.keyMadeBy(ctx, d.writer)
			if err != nil {
				return err
			}
			other, err := s.keyMadeBy(ctx, d.reader)
			if err != nil {
				return err
			}
			if other == id {
				return errors.New("both have the same")
			}
			reader := under(k, branch{in: s, id: other})
			return d.run(ctx, exchange{writer: under(k, branch{in: s, id: id}), reader: &reader, in: basicItem(), readerRefuses: true})
		}),
		of("and raw keys, read by each", func(ctx context.Context, k kind, d direction) error {
			id, err := s.keyMadeBy(ctx, d.writer)
			if err != nil {
				return err
			}
			w := under(k, branch{in: s, id: id})
			w.keys = []wrappingKey{aesKey("first", 32), aesKey("second", 16)}
			alone, raw := under(k, *w.branch), basic(k)
			raw.keys = w.keys[1:]
			for what, reader := range map[string]*table{"all": nil, "the branch key": &alone, "a raw key": &raw} {
				if err := d.run(ctx, exchange{what: what, writer: w, reader: reader, in: basicItem()}); err != nil {
					return err
				}
			}
			return nil
		}),
		of("each byte of the wrapped key altered: refused", twice(func(ctx context.Context, k kind, d direction) error {
			id, err := s.keyMadeBy(ctx, d.writer)
			if err != nil {
				return err
			}
			return runTampered(ctx, &branch{in: s, id: id}, func(_ kind, _ table, it item) []altered {
				head, _ := binaryOf(it[headName])
				return flips(it, headName, partsOf(head)["wrapped keys"])
			}, k, d)
		})),
		of("its row in the table altered: refused", twice(s.alteredRow)),
		of("destroyed: refused", twice(s.destroyed)),
		of("put and got by clients", func(ctx context.Context, k kind, d direction) error {
			id, err := s.keyMadeBy(ctx, d.writer)
			if err != nil {
				return err
			}
			t := everyType(k)
			t.keys, t.branch = nil, &branch{in: s, id: id}
			if t, err = s.makeTable(ctx, t); err != nil {
				return err
			}
			in := everyTypeItem(k)
			if err := d.writer.put(ctx, t, in); err != nil {
				return fmt.Errorf("%v does not write it: %w", d.writer, err)
			}
			key := item{"pk": in["pk"]}
			raw, err := t.raw(ctx, key)
			if err != nil {
				return err
			}
			if err := checkWritten(t, in, raw); err != nil {
				return fmt.Errorf("%v: %w", d.writer, err)
			}
			got, err := d.reader.get(ctx, t, key)
			if err != nil {
				return fmt.Errorf("%v does not read it: %w", d.reader, err)
			}
			if diff := differ(in, got); diff != "" {
				return fmt.Errorf("%v reads something else: %s", d.reader, diff)
			}
			return nil
		}),
	)
}

// versions has the writer make a branch key, and both make versions of it. Both use each
// version once it is there, and both read what is under all of them, with keyrings that hold
// nothing.
func (s *services) versions(ctx context.Context, k kind, d direction) error {
	id, err := s.newKey(ctx, d.writer, "versions")
	if err != nil {
		return err
	}
	var seen []string
	var written []item
	sides := []side{d.writer, d.reader}
	for step, by := range []side{nil, d.reader, d.writer, d.reader} {
		if by != nil {
			if err := by.versionKey(ctx, s, id); err != nil {
				return fmt.Errorf("%v does not make a version: %w", by, err)
			}
		}
		t := under(k, branch{in: s, id: id, fresh: s.next()})
		for i, w := range sides {
			out, err := w.encrypt(ctx, t, basicItem())
			if err != nil {
				return fmt.Errorf("%v does not write under version %d: %w", w, step, err)
			}
			version, err := versionOf(out)
			switch {
			case err != nil:
				return err
			case i == 0 && slices.Contains(seen, version):
				return fmt.Errorf("%v writes under an old version", w)
			case i > 0 && version != seen[len(seen)-1]:
				return fmt.Errorf("%v writes under another version than %v", w, sides[0])
			}
			seen, written = append(seen, version), append(written, out)
		}
	}
	t := under(k, branch{in: s, id: id, fresh: s.next()})
	for i, out := range written {
		for _, r := range sides {
			got, err := r.decrypt(ctx, t, out)
			if err != nil {
				return fmt.Errorf("%v does not read item %d: %w", r, i, err)
			}
			if diff := differ(basicItem(), got); diff != "" {
				return fmt.Errorf("%v reads something else: %s", r, diff)
			}
		}
	}
	return nil
}

// tenants has a branch key for each of two values of an attribute, one made by each side.
func (s *services) tenants(ctx context.Context, k kind, d direction, attribute string) error {
	prefix := fmt.Sprintf("tenants %d of ", s.next())
	b := branch{in: s, tenant: attribute, prefix: prefix}
	t := under(k, b)
	if attribute != "pk" {
		t.Actions[attribute] = dynamoitem.SignAndIncludeInContext
	}
	names := []string{"ü～😀", "two"}
	for i, by := range []side{d.writer, d.reader} {
		if err := by.createKey(ctx, s, prefix+names[i]); err != nil {
			return fmt.Errorf("%v does not make a branch key: %w", by, err)
		}
	}
	for i, name := range names {
		in := basicItem()
		in[attribute] = str(name)
		own, other := t, t
		own.branch, other.branch = &branch{in: s, id: prefix + name}, &branch{in: s, id: prefix + names[1-i]}
		for _, x := range []exchange{
			{what: "read by the same", writer: t, in: in},
			{what: "read with the tenant's branch key alone", writer: t, reader: &own, in: in},
			{what: "written with it", writer: own, reader: &t, in: in},
			{what: "read with the other's", writer: t, reader: &other, in: in, readerRefuses: true},
			{what: "written with the other's", writer: other, reader: &t, in: in, readerRefuses: true},
		} {
			x.what += ", " + name
			if err := d.run(ctx, x); err != nil {
				return err
			}
		}
	}
	return nil
}

// alteredRow alters each part of the row of an active version, as whoever can write to the
// table could.
func (s *services) alteredRow(ctx context.Context, k kind, d direction) error {
	id, err := s.newKey(ctx, d.writer, "altered")
	if err != nil {
		return err
	}
	table := keysTable
	key := item{"branch-key-id": str(id), "type": str("branch:ACTIVE")}
	got, err := s.dynamo.GetItem(ctx, &dynamodb.GetItemInput{TableName: &table, Key: key})
	if err != nil {
		return err
	}
	enc, _ := binaryOf(got.Item["enc"])
	changed := slices.Clone(enc)
	changed[len(changed)-1] ^= 1
	for what, row := range map[string]item{
		"as it was":   got.Item,
		"enc":         with(got.Item, "enc", bin(string(changed))),
		"create-time": with(got.Item, "create-time", str("2020-01-01T00:00:00.000000Z")),
		"kms-arn":     with(got.Item, "kms-arn", str(s.java.KeyARN[:len(s.java.KeyARN)-1]+"x")),
		"a pair":      with(got.Item, "aws-crypto-ec:tenant", str("43")),
		"a pair gone": without(got.Item, "aws-crypto-ec:tenant"),
		"a new pair":  with(got.Item, "aws-crypto-ec:new", str("x")),
		"version":     with(got.Item, "version", str("branch:version:00000000-0000-4000-8000-000000000000")),
		"no version":  without(got.Item, "version"),
	} {
		if _, err := s.dynamo.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: row}); err != nil {
			return err
		}
		for _, by := range []side{d.writer, d.reader} {
			out, err := by.encrypt(ctx, under(k, branch{in: s, id: id, fresh: s.next()}), basicItem())
			if what == "as it was" {
				if err != nil {
					return fmt.Errorf("%v does not write it before the row is altered: %w", by, err)
				}
				continue
			}
			if err := mustRefuse(by, out, err); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	return nil
}

// destroyed has a branch key destroyed, which this repository does.
func (s *services) destroyed(ctx context.Context, k kind, d direction) error {
	id, err := s.newKey(ctx, d.writer, "destroyed")
	if err != nil {
		return err
	}
	fresh := func() table { return under(k, branch{in: s, id: id, fresh: s.next()}) }
	if err := d.run(ctx, exchange{writer: fresh(), in: basicItem()}); err != nil {
		return err
	}
	out, err := d.writer.encrypt(ctx, fresh(), basicItem())
	if err != nil {
		return err
	}
	if err := s.store.Destroy(ctx, id, id); err != nil {
		return err
	}
	for _, by := range []side{d.writer, d.reader} {
		got, err := by.decrypt(ctx, fresh(), out)
		if err := mustRefuse(by, got, err); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		got, err = by.encrypt(ctx, fresh(), basicItem())
		if err := mustRefuse(by, got, err); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}
