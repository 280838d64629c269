package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/go-sealring/sealring/envelope/dynamoitem"
)

// A javaItem is an item that AWS's release wrote, with all that is needed to read it.
type javaItem struct {
	Name         string            `json:"name"`
	Table        string            `json:"logical_table"`
	PartitionKey string            `json:"partition_key"`
	SortKey      string            `json:"sort_key,omitempty"`
	Suite        string            `json:"suite"`
	Version      int               `json:"version"`
	Actions      map[string]string `json:"actions"`
	Unsigned     []string          `json:"unsigned,omitempty"`
	Prefix       string            `json:"unsigned_prefix,omitempty"`
	Keys         []wrappingKey     `json:"keys"`
	Plaintext    jsonItem          `json:"plaintext"`
	Encrypted    jsonItem          `json:"encrypted"`
	Decrypted    jsonItem          `json:"decrypted"`
}

// writeItems has AWS's release write items, and read them, and writes both to a file.
func writeItems(ctx context.Context, java theirs, file string) error {
	var all []javaItem
	add := func(name string, k kind, t table, in item) error {
		out, err := java.encrypt(ctx, t, in)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := checkWritten(t, in, out); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		back, err := java.decrypt(ctx, t, out)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c := t.java()
		all = append(all, javaItem{
			Name: fmt.Sprintf("%s, %v", name, k), Table: c.Table, PartitionKey: c.Partition, SortKey: c.Sort,
			Suite: fmt.Sprintf("0x%04X", uint16(t.Suite)), Version: k.version, Actions: c.Actions, Unsigned: c.Unsigned, Prefix: c.Prefix,
			Keys: c.Keys, Plaintext: toJSON(in), Encrypted: toJSON(out), Decrypted: toJSON(back),
		})
		return nil
	}
	for _, k := range kinds {
		if err := add("every type", k, everyType(k), everyTypeItem(k)); err != nil {
			return err
		}
		names := named(k, "～", "😀", "é", "～a", "😀a", "z")
		names.writer.Table = "tâble 😀"
		names.writer.Unsigned, names.writer.UnsignedPrefix = []string{"free"}, ":"
		names.in["free"], names.in[":x"] = num("07"), strs("b", "a")
		names.writer.SortKey, names.in["schlüssel"] = "schlüssel", bin("\x00\xff")
		names.writer.Actions["schlüssel"] = k.keyAction()
		delete(names.writer.Actions, "sk")
		delete(names.in, "sk")
		if err := add("names and unsigned attributes", k, names.writer, names.in); err != nil {
			return err
		}
	}
	numbers := numbered(kinds[0], "-0012.50e1", "1E3")
	if err := add("numbers", kinds[0], numbers.writer, numbers.in); err != nil {
		return err
	}
	several := basic(kinds[2])
	several.keys = []wrappingKey{aesKey("first", 32), aesKey("second", 16), aesKey("third", 24)}
	if err := add("three wrapped keys", kinds[2], several, basicItem()); err != nil {
		return err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(all); err != nil {
		return err
	}
	fmt.Printf("%d items, %d bytes\n", len(all), b.Len())
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// everyType is a table without a sort key, whose items have each type under each action.
func everyType(k kind) table {
	t := basic(k)
	t.SortKey = ""
	delete(t.Actions, "sk")
	for name := range everyTypeItem(k) {
		switch name[:2] {
		case "e-":
			t.Actions[name] = dynamoitem.EncryptAndSign
		case "s-":
			t.Actions[name] = dynamoitem.SignOnly
		case "c-":
			t.Actions[name] = dynamoitem.SignAndIncludeInContext
		}
	}
	return t
}

func everyTypeItem(k kind) item {
	x := holding(k, item{
		"S": str("é～😀"), "N": num("-12.5"), "B": bin("\x00\xff"), "BOOL": boolean(true), "NULL": null(),
		"SS": strs("a", "～", "😀"), "NS": nums("9", "10"), "BS": bins("", "b"),
		"L": list(str(""), list(), bin("")), "M": object(item{"😀": num("1"), "～": object(item{})}),
	})
	delete(x.in, "sk")
	return x.in
}
