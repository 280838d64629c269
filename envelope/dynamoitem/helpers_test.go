package dynamoitem

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
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

// An attribute as DynamoDB's JSON has it.
type jsonValue struct{ types.AttributeValue }

func (v *jsonValue) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"': // AWS's manifests have bare strings and numbers too
		var x types.AttributeValueMemberS
		v.AttributeValue = &x
		return json.Unmarshal(b, &x.Value)
	case '{':
	default:
		v.AttributeValue = num(string(b))
		return nil
	}
	var one map[string]json.RawMessage
	if err := json.Unmarshal(b, &one); err != nil || len(one) != 1 {
		return fmt.Errorf("no attribute: %s: %w", b, err)
	}
	for kind, raw := range one {
		switch kind {
		case "S":
			var x types.AttributeValueMemberS
			v.AttributeValue = &x
			return json.Unmarshal(raw, &x.Value)
		case "N":
			var x types.AttributeValueMemberN
			v.AttributeValue = &x
			return json.Unmarshal(raw, &x.Value)
		case "B":
			var x types.AttributeValueMemberB
			v.AttributeValue = &x
			return json.Unmarshal(raw, &x.Value)
		case "BOOL":
			var x types.AttributeValueMemberBOOL
			v.AttributeValue = &x
			return json.Unmarshal(raw, &x.Value)
		case "NULL":
			var x types.AttributeValueMemberNULL
			v.AttributeValue = &x
			return json.Unmarshal(raw, &x.Value)
		case "SS":
			var x types.AttributeValueMemberSS
			v.AttributeValue = &x
			return json.Unmarshal(raw, &x.Value)
		case "NS":
			var x types.AttributeValueMemberNS
			v.AttributeValue = &x
			return json.Unmarshal(raw, &x.Value)
		case "BS":
			var x types.AttributeValueMemberBS
			v.AttributeValue = &x
			return json.Unmarshal(raw, &x.Value)
		case "L":
			var all []jsonValue
			if err := json.Unmarshal(raw, &all); err != nil {
				return err
			}
			x := &types.AttributeValueMemberL{Value: []types.AttributeValue{}}
			for _, e := range all {
				x.Value = append(x.Value, e.AttributeValue)
			}
			v.AttributeValue = x
			return nil
		case "M":
			var all map[string]jsonValue
			if err := json.Unmarshal(raw, &all); err != nil {
				return err
			}
			v.AttributeValue = object(plain(all))
			return nil
		}
	}
	return fmt.Errorf("no attribute: %s", b)
}

// serialized returns a value in the form that is the same for equal values.
func serialized(t testing.TB, v types.AttributeValue) string {
	b, err := appendTyped(nil, v)
	require.NoError(t, err)
	return string(b)
}

func plain(m map[string]jsonValue) item {
	all := item{}
	for k, v := range m {
		all[k] = v.AttributeValue
	}
	return all
}

// action is an Action by AWS's name.
type action struct{ Action }

func (a *action) UnmarshalText(b []byte) error {
	for a.Action = EncryptAndSign; a.Action <= DoNothing; a.Action++ {
		if a.String() == string(b) {
			return nil
		}
	}
	return fmt.Errorf("no action: %s", b)
}

func actions(m map[string]action) map[string]Action {
	all := map[string]Action{}
	for k, a := range m {
		all[k] = a.Action
	}
	return all
}

func rawAES(t testing.TB, namespace, name string, key []byte) keyring.Keyring {
	kr, err := keyring.NewRawAES(namespace, name, key)
	require.NoError(t, err)
	return kr
}

func manager(t testing.TB, kr keyring.Keyring) keyring.MaterialsManager {
	m, err := keyring.NewManager(kr)
	require.NoError(t, err)
	return m
}

func newTable(t testing.TB, m keyring.MaterialsManager, c Config) *Table {
	table, err := NewTable(m, c)
	require.NoError(t, err)
	return table
}
