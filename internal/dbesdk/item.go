package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue   { return &types.AttributeValueMemberN{Value: s} }
func bin(b string) types.AttributeValue   { return &types.AttributeValueMemberB{Value: []byte(b)} }
func boolean(b bool) types.AttributeValue { return &types.AttributeValueMemberBOOL{Value: b} }
func null() types.AttributeValue          { return &types.AttributeValueMemberNULL{Value: true} }
func strs(s ...string) types.AttributeValue {
	return &types.AttributeValueMemberSS{Value: append([]string{}, s...)}
}
func nums(s ...string) types.AttributeValue {
	return &types.AttributeValueMemberNS{Value: append([]string{}, s...)}
}
func bins(s ...string) types.AttributeValue {
	set := [][]byte{}
	for _, b := range s {
		set = append(set, []byte(b))
	}
	return &types.AttributeValueMemberBS{Value: set}
}
func list(v ...types.AttributeValue) types.AttributeValue {
	return &types.AttributeValueMemberL{Value: append([]types.AttributeValue{}, v...)}
}
func object(m item) types.AttributeValue { return &types.AttributeValueMemberM{Value: m} }

// A jsonValue is an attribute as DynamoDB's JSON has it.
type jsonValue struct{ types.AttributeValue }

type jsonItem map[string]jsonValue

func toJSON(it item) jsonItem {
	all := make(jsonItem, len(it))
	for name, v := range it {
		all[name] = jsonValue{v}
	}
	return all
}

func (j jsonItem) item() item {
	all := make(item, len(j))
	for name, v := range j {
		all[name] = v.AttributeValue
	}
	return all
}

// MarshalJSON implements [json.Marshaler].
func (v jsonValue) MarshalJSON() ([]byte, error) {
	one := func(kind string, value any) ([]byte, error) { return json.Marshal(map[string]any{kind: value}) }
	switch v := v.AttributeValue.(type) {
	case *types.AttributeValueMemberS:
		return one("S", v.Value)
	case *types.AttributeValueMemberN:
		return one("N", v.Value)
	case *types.AttributeValueMemberB:
		return one("B", append([]byte{}, v.Value...))
	case *types.AttributeValueMemberBOOL:
		return one("BOOL", v.Value)
	case *types.AttributeValueMemberNULL:
		return one("NULL", v.Value)
	case *types.AttributeValueMemberSS:
		return one("SS", v.Value)
	case *types.AttributeValueMemberNS:
		return one("NS", v.Value)
	case *types.AttributeValueMemberBS:
		return one("BS", v.Value)
	case *types.AttributeValueMemberL:
		all := make([]jsonValue, len(v.Value))
		for i, e := range v.Value {
			all[i] = jsonValue{e}
		}
		return one("L", all)
	case *types.AttributeValueMemberM:
		return one("M", toJSON(v.Value))
	}
	return nil, fmt.Errorf("no attribute: %T", v.AttributeValue)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (v *jsonValue) UnmarshalJSON(b []byte) error {
	var one map[string]json.RawMessage
	if err := json.Unmarshal(b, &one); err != nil || len(one) != 1 {
		return fmt.Errorf("no attribute: %.100s", b)
	}
	for kind, raw := range one {
		var to any
		var elements []jsonValue
		var entries jsonItem
		switch kind {
		case "S":
			x := &types.AttributeValueMemberS{}
			v.AttributeValue, to = x, &x.Value
		case "N":
			x := &types.AttributeValueMemberN{}
			v.AttributeValue, to = x, &x.Value
		case "B":
			x := &types.AttributeValueMemberB{}
			v.AttributeValue, to = x, &x.Value
		case "BOOL":
			x := &types.AttributeValueMemberBOOL{}
			v.AttributeValue, to = x, &x.Value
		case "NULL":
			x := &types.AttributeValueMemberNULL{}
			v.AttributeValue, to = x, &x.Value
		case "SS":
			x := &types.AttributeValueMemberSS{}
			v.AttributeValue, to = x, &x.Value
		case "NS":
			x := &types.AttributeValueMemberNS{}
			v.AttributeValue, to = x, &x.Value
		case "BS":
			x := &types.AttributeValueMemberBS{}
			v.AttributeValue, to = x, &x.Value
		case "L":
			to = &elements
		case "M":
			to = &entries
		default:
			return fmt.Errorf("no attribute: %.100s", b)
		}
		if err := json.Unmarshal(raw, to); err != nil {
			return err
		}
		switch kind {
		case "L":
			x := &types.AttributeValueMemberL{Value: []types.AttributeValue{}}
			for _, e := range elements {
				x.Value = append(x.Value, e.AttributeValue)
			}
			v.AttributeValue = x
		case "M":
			v.AttributeValue = object(entries.item())
		}
	}
	return nil
}

// differ says where two items differ, or "". Sets have no order.
func differ(want, got item) string {
	for name, v := range want {
		g, ok := got[name]
		if !ok {
			return fmt.Sprintf("%.40q is missing", name)
		}
		if !equal(v, g) {
			w, _ := json.Marshal(jsonValue{v})
			g, _ := json.Marshal(jsonValue{g})
			return fmt.Sprintf("%.40q is %.200s, want %.200s", name, g, w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return fmt.Sprintf("%.40q is new", name)
		}
	}
	return ""
}

// equal compares JSON, where sets are in order first.
func equal(a, b types.AttributeValue) bool {
	x, errX := json.Marshal(jsonValue{ordered(a)})
	y, errY := json.Marshal(jsonValue{ordered(b)})
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func ordered(v types.AttributeValue) types.AttributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberSS:
		return strs(slices.Sorted(slices.Values(v.Value))...)
	case *types.AttributeValueMemberNS:
		return nums(slices.Sorted(slices.Values(v.Value))...)
	case *types.AttributeValueMemberBS:
		set := slices.Clone(v.Value)
		slices.SortFunc(set, bytes.Compare)
		return &types.AttributeValueMemberBS{Value: append([][]byte{}, set...)}
	case *types.AttributeValueMemberL:
		all := list()
		for _, e := range v.Value {
			all.(*types.AttributeValueMemberL).Value = append(all.(*types.AttributeValueMemberL).Value, ordered(e))
		}
		return all
	case *types.AttributeValueMemberM:
		all := item{}
		for k, e := range v.Value {
			all[k] = ordered(e)
		}
		return object(all)
	}
	return v
}
