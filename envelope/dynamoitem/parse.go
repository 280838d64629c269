package dynamoitem

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/crypto/cryptobyte"
)

var (
	errShort        = errors.New("the serialized value is cut short")
	errTrailing     = errors.New("the serialized value has bytes after its end")
	errOrder        = errors.New("the serialized value has a set or map that is not in order, or a member twice")
	errNotCanonical = errors.New("the serialized value has a number that is not normalized")
	errBool         = errors.New("a serialized boolean is not one byte of 0 or 1")
	errKeyType      = errors.New("a serialized map has a key that is no string")
)

// parseTyped parses what appendTyped appended, and nothing else: bytes that it would not
// have written are an error. The result does not refer to b.
func parseTyped(b []byte) (types.AttributeValue, error) {
	in := cryptobyte.String(b)
	var id uint16
	if !in.ReadUint16(&id) {
		return nil, errShort
	}
	return parseValue(typeID(id), in, 1)
}

// parseValue parses all of in. Recursion ends at maxDepth, and nothing is made for a count
// before there are bytes for it.
func parseValue(id typeID, in cryptobyte.String, depth int) (types.AttributeValue, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	switch id {
	case typeNull:
		if !in.Empty() {
			return nil, errTrailing
		}
		return &types.AttributeValueMemberNULL{Value: true}, nil
	case typeString:
		if !utf8.Valid(in) {
			return nil, errNotUTF8
		}
		return &types.AttributeValueMemberS{Value: string(in)}, nil
	case typeNumber:
		s, err := parseNumber(in)
		if err != nil {
			return nil, err
		}
		return &types.AttributeValueMemberN{Value: s}, nil
	case typeBool:
		if len(in) != 1 || in[0] > 1 {
			return nil, errBool
		}
		return &types.AttributeValueMemberBOOL{Value: in[0] == 1}, nil
	case typeBinary:
		return &types.AttributeValueMemberB{Value: append([]byte{}, in...)}, nil
	case typeStringSet:
		set, err := parseSet(in, compareUTF16, func(b []byte) (string, error) {
			if !utf8.Valid(b) {
				return "", errNotUTF8
			}
			return string(b), nil
		})
		if err != nil {
			return nil, err
		}
		return &types.AttributeValueMemberSS{Value: set}, nil
	case typeNumberSet:
		set, err := parseSet(in, compareUTF16, parseNumber)
		if err != nil {
			return nil, err
		}
		return &types.AttributeValueMemberNS{Value: set}, nil
	case typeBinarySet:
		set, err := parseSet(in, bytes.Compare, func(b []byte) ([]byte, error) { return append([]byte{}, b...), nil })
		if err != nil {
			return nil, err
		}
		return &types.AttributeValueMemberBS{Value: set}, nil
	case typeMap:
		return parseMap(in, depth)
	case typeList:
		return parseList(in, depth)
	default:
		return nil, fmt.Errorf("the type ID 0x%04x is none of the format's", uint16(id))
	}
}

func parseNumber(b []byte) (string, error) {
	s := string(b)
	n, err := normalized(s)
	if err == nil && n != s {
		err = errNotCanonical
	}
	return s, err
}

// readCount reads the count of entries of at least the given length.
func readCount(in *cryptobyte.String, least int) (int, error) {
	var count uint32
	if !in.ReadUint32(&count) || uint64(count) > uint64(len(*in)/least) {
		return 0, errShort
	}
	return int(count), nil
}

// readBytes reads what stands behind its length.
func readBytes(in *cryptobyte.String, out *cryptobyte.String) bool {
	var n uint32
	if !in.ReadUint32(&n) || uint64(n) > uint64(len(*in)) {
		return false
	}
	return in.ReadBytes((*[]byte)(out), int(n))
}

func parseSet[T any](in cryptobyte.String, compare func(a, b T) int, parse func([]byte) (T, error)) ([]T, error) {
	count, err := readCount(&in, countLen)
	if err != nil {
		return nil, err
	}
	set := []T{}
	for i := range count {
		var b cryptobyte.String
		if !readBytes(&in, &b) {
			return nil, errShort
		}
		member, err := parse(b)
		if err != nil {
			return nil, err
		}
		if i > 0 && compare(set[i-1], member) >= 0 {
			return nil, errOrder
		}
		set = append(set, member)
	}
	if !in.Empty() {
		return nil, errTrailing
	}
	return set, nil
}

// readNested reads what appendNested appended.
func readNested(in *cryptobyte.String, depth int) (types.AttributeValue, error) {
	var id uint16
	var value cryptobyte.String
	if !in.ReadUint16(&id) || !readBytes(in, &value) {
		return nil, errShort
	}
	return parseValue(typeID(id), value, depth)
}

func parseMap(in cryptobyte.String, depth int) (types.AttributeValue, error) {
	count, err := readCount(&in, typeIDLen+countLen+1+typeIDLen+countLen)
	if err != nil {
		return nil, err
	}
	m := make(map[string]types.AttributeValue)
	last := ""
	for range count {
		var keyType uint16
		var b cryptobyte.String
		if !in.ReadUint16(&keyType) || !readBytes(&in, &b) {
			return nil, errShort
		}
		switch {
		case typeID(keyType) != typeString:
			return nil, errKeyType
		case len(b) == 0 || len(b) > maxNameLen:
			return nil, errMapKey
		case !utf8.Valid(b):
			return nil, errNotUTF8
		}
		key := string(b)
		if compareUTF16(last, key) >= 0 { // no key is empty
			return nil, errOrder
		}
		if m[key], err = readNested(&in, depth+1); err != nil {
			return nil, err
		}
		last = key
	}
	if !in.Empty() {
		return nil, errTrailing
	}
	return &types.AttributeValueMemberM{Value: m}, nil
}

func parseList(in cryptobyte.String, depth int) (types.AttributeValue, error) {
	count, err := readCount(&in, typeIDLen+countLen)
	if err != nil {
		return nil, err
	}
	list := []types.AttributeValue{}
	for range count {
		v, err := readNested(&in, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if !in.Empty() {
		return nil, errTrailing
	}
	return &types.AttributeValueMemberL{Value: list}, nil
}
