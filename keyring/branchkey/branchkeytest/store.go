// Package branchkeytest is a conformance suite for stores of branch keys, and has a store
// in memory.
//
//	func TestMyStore(t *testing.T) {
//		branchkeytest.TestStore(t, func(t *testing.T) branchkey.Store { return mystore.New(...) })
//	}
package branchkeytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-sealring/sealring/keyring/branchkey"
)

// TestStore tests a store in subtests of t. Each has newStore make an empty one: over a
// table of its own, or over one that no other subtest uses.
func TestStore(t *testing.T, newStore func(t *testing.T) branchkey.Store) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, branchkey.Store)
	}{
		{"NotFound", testNotFound},
		{"AsItWasPut", testAsItWasPut},
		{"ComparedByByte", testComparedByByte},
		{"MustNotExist", testMustNotExist},
		{"MustBeTheSame", testMustBeTheSame},
		{"AllOrNone", testAllOrNone},
		{"OneWinsTheRace", testOneWinsTheRace},
		{"List", testList},
		{"Delete", testDelete},
		{"DeleteWhilePut", testDeleteWhilePut},
		{"NothingShared", testNothingShared},
		{"Cancelled", testCancelled},
		{"ManyAtOnce", testManyAtOnce},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newStore(t)) })
	}
}

const (
	active  = "branch:ACTIVE"
	version = "branch:version:01234567-89ab-4cde-8f01-23456789abcd"
)

func newItem(id, itemType, enc string) branchkey.Item {
	return branchkey.Item{ID: id, Type: itemType, Enc: []byte(enc), Attributes: map[string]string{
		"kms-arn":           "arn:aws:kms:us-east-1:111122223333:key/01234567-89ab-4cde-8f01-23456789abcd",
		"create-time":       "2026-01-02T03:04:05.678901Z",
		"hierarchy-version": "1",
	}}
}

func put(t *testing.T, s branchkey.Store, items ...branchkey.Item) {
	t.Helper()
	puts := make([]branchkey.Put, len(items))
	for i, it := range items {
		puts[i].Item = it
	}
	if err := s.Put(t.Context(), puts...); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

// has checks that the store has just this item under its ID and type.
func has(t *testing.T, s branchkey.Store, want branchkey.Item) {
	t.Helper()
	got, err := s.Get(t.Context(), want.ID, want.Type)
	if err != nil {
		t.Fatalf("Get %q %q: %v", want.ID, want.Type, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("Get %q %q returned\n%+v, want\n%+v", want.ID, want.Type, got, want)
	}
}

func hasNot(t *testing.T, s branchkey.Store, id, itemType string) {
	t.Helper()
	if got, err := s.Get(t.Context(), id, itemType); !errors.Is(err, branchkey.ErrNotFound) {
		t.Fatalf("Get %q %q returned %+v and %v, want ErrNotFound", id, itemType, got, err)
	}
}

func testNotFound(t *testing.T, s branchkey.Store) {
	hasNot(t, s, "a", active)
	put(t, s, newItem("a", version, "1"))
	hasNot(t, s, "a", active)
	hasNot(t, s, "b", version)
}

func testAsItWasPut(t *testing.T, s branchkey.Store) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	it := newItem("tenant/ключ \U0001F511 '\"\\%_ "+strings.Repeat("x", 1900), version, "")
	it.Enc = slices.Concat(every, bytes.Repeat([]byte{0xff}, 5000))
	maps.Copy(it.Attributes, map[string]string{
		"aws-crypto-ec:empty":        "",
		"aws-crypto-ec: spaces ":     "  both ends  ",
		"aws-crypto-ec:π":            "\u2028\ufffd\U0010ffff é e\u0301", // composed, and not
		"aws-crypto-ec:quotes":       `'"\<>&{}`,
		"aws-crypto-ec:control":      "\t\r\n\x01\x7f",
		"aws-crypto-ec:number":       "1.0",
		"aws-crypto-ec:long":         strings.Repeat("ab", 2500),
		"something of the table's":   "x",
		"Kms-Arn":                    "another case",
		"aws-crypto-ec:hierarchy":    "01",
		"aws-crypto-ec:ends in zero": "1\u0000",
	})
	put(t, s, it)
	has(t, s, it)
}

func testComparedByByte(t *testing.T, s branchkey.Store) {
	var items []branchkey.Item
	for i, id := range []string{"a", "A", "a ", " a", "á", "a\u0301", "a%", "a_", "aa", "a/b", "ß", "ss"} {
		items = append(items, newItem(id, active, fmt.Sprint("active", i)), newItem(id, "branch:active", fmt.Sprint("lower", i)))
	}
	for _, it := range items {
		put(t, s, it)
	}
	for _, it := range items {
		has(t, s, it)
		if all, err := s.List(t.Context(), it.ID); err != nil || len(all) != 2 {
			t.Errorf("List %q returned %d items and %v, want 2", it.ID, len(all), err)
		}
	}
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	for _, it := range items[2:] {
		has(t, s, it)
	}
}

func conflicts(t *testing.T, s branchkey.Store, puts ...branchkey.Put) {
	t.Helper()
	if err := s.Put(t.Context(), puts...); !errors.Is(err, branchkey.ErrConflict) {
		t.Fatalf("Put returned %v, want ErrConflict", err)
	}
}

func testMustNotExist(t *testing.T, s branchkey.Store) {
	first := newItem("a", active, "first")
	put(t, s, first)
	conflicts(t, s, branchkey.Put{Item: newItem("a", active, "second")})
	conflicts(t, s, branchkey.Put{Item: first})
	has(t, s, first)
}

func testMustBeTheSame(t *testing.T, s branchkey.Store) {
	first, second := newItem("a", active, "first"), newItem("a", active, "second")
	second.Attributes["version"] = version
	delete(second.Attributes, "create-time")
	conflicts(t, s, branchkey.Put{Item: second, Replaces: first.Enc})
	hasNot(t, s, "a", active)
	put(t, s, first)
	for _, other := range []string{"another", "First", "first ", "firs", ""} {
		conflicts(t, s, branchkey.Put{Item: second, Replaces: []byte(other)})
		has(t, s, first)
	}
	if err := s.Put(t.Context(), branchkey.Put{Item: second, Replaces: first.Enc}); err != nil {
		t.Fatalf("Put: %v", err)
	}
	has(t, s, second)
	if err := s.Put(t.Context(), branchkey.Put{Item: second, Replaces: second.Enc}); err != nil {
		t.Fatalf("Put of what is there already: %v", err)
	}
	has(t, s, second)
}

func testAllOrNone(t *testing.T, s branchkey.Store) {
	old := newItem("a", active, "old")
	put(t, s, old)
	again, next := newItem("a", active, "new"), newItem("a", version, "next")
	for name, puts := range map[string][]branchkey.Put{
		"the first fails":      {{Item: again}, {Item: next}},
		"the last fails":       {{Item: next}, {Item: again}},
		"the condition":        {{Item: next}, {Item: again, Replaces: []byte("other")}},
		"the second of three":  {{Item: next}, {Item: again}, {Item: newItem("a", "beacon:ACTIVE", "b")}},
		"one replaces nothing": {{Item: again, Replaces: old.Enc}, {Item: next, Replaces: []byte("none")}},
	} {
		t.Run(name, func(t *testing.T) {
			conflicts(t, s, puts...)
			has(t, s, old)
			hasNot(t, s, "a", version)
			hasNot(t, s, "a", "beacon:ACTIVE")
		})
	}
	if err := s.Put(t.Context(), branchkey.Put{Item: next}, branchkey.Put{Item: again, Replaces: old.Enc}); err != nil {
		t.Fatalf("Put: %v", err)
	}
	has(t, s, again)
	has(t, s, next)
}

// testOneWinsTheRace has many give one key a new version, and many create one, at the same
// time. One of each succeeds, and the others get ErrConflict and leave nothing.
func testOneWinsTheRace(t *testing.T, s branchkey.Store) {
	old := newItem("a", active, "old")
	put(t, s, old)
	const n = 8
	race := func(puts func(i int) []branchkey.Put) (won []int) {
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { errs[i] = s.Put(t.Context(), puts(i)...) })
		}
		wg.Wait()
		for i, err := range errs {
			switch {
			case err == nil:
				won = append(won, i)
			case !errors.Is(err, branchkey.ErrConflict):
				t.Errorf("Put returned %v, want ErrConflict", err)
			}
		}
		return won
	}
	typeOf := func(i int) string { return fmt.Sprint("branch:version:", i) }
	won := race(func(i int) []branchkey.Put {
		return []branchkey.Put{
			{Item: newItem("a", typeOf(i), "v")},
			{Item: newItem("a", active, typeOf(i)), Replaces: old.Enc},
		}
	})
	if len(won) != 1 {
		t.Fatalf("%d of %d replaced the same item, want one", len(won), n)
	}
	has(t, s, newItem("a", active, typeOf(won[0])))
	if all, err := s.List(t.Context(), "a"); err != nil || len(all) != 2 {
		t.Errorf("List returned %d items and %v, want 2", len(all), err)
	}
	won = race(func(i int) []branchkey.Put {
		return []branchkey.Put{{Item: newItem("b", typeOf(i), "v")}, {Item: newItem("b", active, typeOf(i))}}
	})
	if len(won) != 1 {
		t.Fatalf("%d of %d created the same item, want one", len(won), n)
	}
	if all, err := s.List(t.Context(), "b"); err != nil || len(all) != 2 {
		t.Errorf("List returned %d items and %v, want 2", len(all), err)
	}
}

func testList(t *testing.T, s branchkey.Store) {
	if all, err := s.List(t.Context(), "a"); err != nil || len(all) != 0 {
		t.Fatalf("List of nothing returned %v and %v", all, err)
	}
	var want []branchkey.Item
	const n = 120 // more than one page or transaction of some databases
	for i := range n {
		it := newItem("a", fmt.Sprintf("branch:version:%03d", i), strings.Repeat("x", 200))
		it.Attributes["aws-crypto-ec:i"] = fmt.Sprint(i)
		want = append(want, it)
	}
	want = slices.Insert(want, 0, newItem("a", "beacon:ACTIVE", "b"), newItem("a", active, "a"))
	for _, it := range slices.Backward(want) {
		put(t, s, it)
	}
	put(t, s, newItem("b", active, "b"))
	got, err := s.List(t.Context(), "a")
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("List returned %d items that are not the %d that were put, in the order of their types", len(got), len(want))
	}
}

func testDelete(t *testing.T, s branchkey.Store) {
	if err := s.Delete(t.Context(), "a"); !errors.Is(err, branchkey.ErrNotFound) {
		t.Errorf("Delete of nothing returned %v, want ErrNotFound", err)
	}
	const n = 120
	for i := range n {
		put(t, s, newItem("a", fmt.Sprintf("branch:version:%03d", i), "x"))
	}
	other := newItem("b", active, "b")
	put(t, s, newItem("a", active, "a"), newItem("a", "beacon:ACTIVE", "b"))
	put(t, s, other)
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if all, err := s.List(t.Context(), "a"); err != nil || len(all) != 0 {
		t.Errorf("after Delete, List returned %d items and %v", len(all), err)
	}
	hasNot(t, s, "a", active)
	has(t, s, other)
	put(t, s, newItem("a", active, "again"))
	has(t, s, newItem("a", active, "again"))
}

// testDeleteWhilePut has an ID deleted while several give it a new version. Whichever comes
// first, nothing is left: who comes first is deleted, and who comes later finds no active item.
func testDeleteWhilePut(t *testing.T, s branchkey.Store) {
	for round := range 20 {
		id := fmt.Sprint("tenant", round)
		old := newItem(id, active, "old")
		put(t, s, newItem(id, version, "v"), old)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				err := s.Put(t.Context(),
					branchkey.Put{Item: newItem(id, fmt.Sprint("branch:version:", i), "v")},
					branchkey.Put{Item: newItem(id, active, fmt.Sprint(i)), Replaces: old.Enc})
				if err != nil && !errors.Is(err, branchkey.ErrConflict) {
					t.Errorf("Put returned %v, want ErrConflict or nil", err)
				}
			})
		}
		if err := s.Delete(t.Context(), id); err != nil {
			t.Errorf("Delete: %v", err)
		}
		wg.Wait()
		if all, err := s.List(t.Context(), id); err != nil || len(all) != 0 {
			t.Errorf("after Delete, List returned %+v and %v", all, err)
		}
	}
}

// testNothingShared changes what was given and what was returned.
func testNothingShared(t *testing.T, s branchkey.Store) {
	given := newItem("a", active, "enc")
	put(t, s, given)
	spoil := func(it branchkey.Item) {
		clear(it.Enc)
		it.Attributes["kms-arn"] = "spoiled"
	}
	spoil(given)
	got, err := s.Get(t.Context(), "a", active)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	spoil(got)
	all, err := s.List(t.Context(), "a")
	if err != nil || len(all) != 1 {
		t.Fatalf("List: %d items, %v", len(all), err)
	}
	spoil(all[0])
	has(t, s, newItem("a", active, "enc"))
}

func testCancelled(t *testing.T, s branchkey.Store) {
	put(t, s, newItem("a", active, "enc"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Get(ctx, "a", active)
	_, listErr := s.List(ctx, "a")
	for name, err := range map[string]error{
		"Get": err, "List": listErr, "Put": s.Put(ctx, branchkey.Put{Item: newItem("b", active, "enc")}), "Delete": s.Delete(ctx, "a"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context returned %v", name, err)
		}
	}
	has(t, s, newItem("a", active, "enc"))
	hasNot(t, s, "b", active)
}

func testManyAtOnce(t *testing.T, s branchkey.Store) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			id := fmt.Sprint("tenant", i)
			puts := []branchkey.Put{{Item: newItem(id, version, "v")}, {Item: newItem(id, active, "a")}}
			if err := s.Put(t.Context(), puts...); err != nil {
				t.Errorf("Put: %v", err)
				return
			}
			if got, err := s.Get(t.Context(), id, active); err != nil || !reflect.DeepEqual(got, puts[1].Item) {
				t.Errorf("Get after Put returned %+v and %v", got, err)
			}
			if err := s.Delete(t.Context(), id); err != nil {
				t.Errorf("Delete: %v", err)
			}
			if _, err := s.Get(t.Context(), id, active); !errors.Is(err, branchkey.ErrNotFound) {
				t.Errorf("Get after Delete: %v", err)
			}
		})
	}
	wg.Wait()
}
