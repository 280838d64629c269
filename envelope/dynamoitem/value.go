package dynamoitem

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A typeID says what type a serialized value has.
type typeID uint16

const (
	typeNull      typeID = 0x0000
	typeString    typeID = 0x0001
	typeNumber    typeID = 0x0002
	typeBool      typeID = 0x0004
	typeStringSet typeID = 0x0101
	typeNumberSet typeID = 0x0102
	typeBinarySet typeID = 0x01ff
	typeMap       typeID = 0x0200
	typeList      typeID = 0x0300
	typeBinary    typeID = 0xffff
)

const (
	typeIDLen = 2
	countLen  = 4 // of a count, and of a length

	// maxDepth is how deep values nest, the outermost counted, as in DynamoDB.
	maxDepth = 32

	// maxNameLen is the longest name of an attribute in bytes.
	maxNameLen = 1<<16 - 1
)

var (
	errNilValue  = errors.New("the value is nil")
	errNotUTF8   = errors.New("text is not UTF-8")
	errDepth     = fmt.Errorf("the value nests deeper than the %d levels that DynamoDB holds", maxDepth)
	errDuplicate = errors.New("a set has a member twice")
	errNullFalse = errors.New("NULL is false, and DynamoDB's is always true")
	errTooLong   = errors.New("a length does not fit in 32 bits")
	errMapKey    = fmt.Errorf("a map has a key that is not 1 to %d bytes long", maxNameLen)
)

// typeOf returns the type of a value, or an error for one that is nil or of a type that
// the format does not know.
func typeOf(v types.AttributeValue) (typeID, error) {
	var id typeID
	isNil := false
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		id, isNil = typeString, v == nil
	case *types.AttributeValueMemberN:
		id, isNil = typeNumber, v == nil
	case *types.AttributeValueMemberB:
		id, isNil = typeBinary, v == nil
	case *types.AttributeValueMemberBOOL:
		id, isNil = typeBool, v == nil
	case *types.AttributeValueMemberNULL:
		id, isNil = typeNull, v == nil
	case *types.AttributeValueMemberSS:
		id, isNil = typeStringSet, v == nil
	case *types.AttributeValueMemberNS:
		id, isNil = typeNumberSet, v == nil
	case *types.AttributeValueMemberBS:
		id, isNil = typeBinarySet, v == nil
	case *types.AttributeValueMemberM:
		id, isNil = typeMap, v == nil
	case *types.AttributeValueMemberL:
		id, isNil = typeList, v == nil
	case nil:
		isNil = true
	default:
		return 0, fmt.Errorf("a value has the type %T, which is none of DynamoDB's", v)
	}
	if isNil {
		return 0, errNilValue
	}
	return id, nil
}

// appendTyped appends a value behind its type. Numbers are normalized, and sets and maps
// put in order, so that equal values are equal bytes. What it appended to dst on error is
// not to be used.
func appendTyped(dst []byte, v types.AttributeValue) ([]byte, error) {
	id, err := typeOf(v)
	if err != nil {
		return dst, err
	}
	return appendValue(binary.BigEndian.AppendUint16(dst, uint16(id)), v, 1)
}

// appendNested appends a value in a map or a list: behind its type and its length.
func appendNested(dst []byte, v types.AttributeValue, depth int) ([]byte, error) {
	id, err := typeOf(v)
	if err != nil {
		return dst, err
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(id))
	dst = append(dst, 0, 0, 0, 0)
	at := len(dst)
	if dst, err = appendValue(dst, v, depth); err != nil {
		return dst, err
	}
	n, err := length(len(dst) - at)
	binary.BigEndian.PutUint32(dst[at-countLen:], n)
	return dst, err
}

// appendValue appends a value that typeOf has accepted.
func appendValue(dst []byte, v types.AttributeValue, depth int) ([]byte, error) {
	if depth > maxDepth {
		return dst, errDepth
	}
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		if !utf8.ValidString(v.Value) {
			return dst, errNotUTF8
		}
		return append(dst, v.Value...), nil
	case *types.AttributeValueMemberN:
		return appendNumber(dst, v.Value)
	case *types.AttributeValueMemberB:
		return append(dst, v.Value...), nil
	case *types.AttributeValueMemberBOOL:
		if v.Value {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case *types.AttributeValueMemberNULL:
		if !v.Value {
			return dst, errNullFalse
		}
		return dst, nil
	case *types.AttributeValueMemberSS:
		for _, s := range v.Value {
			if !utf8.ValidString(s) {
				return dst, errNotUTF8
			}
		}
		return appendSet(dst, v.Value, compareUTF16)
	case *types.AttributeValueMemberNS:
		numbers := make([]string, len(v.Value))
		for i, s := range v.Value {
			var err error
			if numbers[i], err = normalized(s); err != nil {
				return dst, err
			}
		}
		return appendSet(dst, numbers, compareUTF16)
	case *types.AttributeValueMemberBS:
		return appendSet(dst, v.Value, bytes.Compare)
	case *types.AttributeValueMemberM:
		return appendMap(dst, v.Value, depth)
	case *types.AttributeValueMemberL:
		dst, err := appendLength(dst, len(v.Value))
		for i := 0; i < len(v.Value) && err == nil; i++ {
			dst, err = appendNested(dst, v.Value[i], depth+1)
		}
		return dst, err
	}
	return dst, errNilValue
}

// appendSet appends a set's members in order.
func appendSet[T string | []byte](dst []byte, members []T, compare func(a, b T) int) ([]byte, error) {
	if !increasing(members, compare) {
		members = slices.Clone(members)
		slices.SortFunc(members, compare)
		if !increasing(members, compare) {
			return dst, errDuplicate
		}
	}
	dst, err := appendLength(dst, len(members))
	for i := 0; i < len(members) && err == nil; i++ {
		dst, err = appendLength(dst, len(members[i]))
		dst = append(dst, members[i]...)
	}
	return dst, err
}

func increasing[T any](members []T, compare func(a, b T) int) bool {
	for i := 1; i < len(members); i++ {
		if compare(members[i-1], members[i]) >= 0 {
			return false
		}
	}
	return true
}

func appendMap(dst []byte, m map[string]types.AttributeValue, depth int) ([]byte, error) {
	keys := make([]string, 0, len(m))
	for k := range m {
		switch {
		case k == "" || len(k) > maxNameLen:
			return dst, errMapKey
		case !utf8.ValidString(k):
			return dst, errNotUTF8
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareUTF16)
	dst, err := appendLength(dst, len(keys))
	for i := 0; i < len(keys) && err == nil; i++ {
		dst = binary.BigEndian.AppendUint16(dst, uint16(typeString))
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(keys[i])))
		dst = append(dst, keys[i]...)
		dst, err = appendNested(dst, m[keys[i]], depth+1)
	}
	return dst, err
}

func appendLength(dst []byte, n int) ([]byte, error) {
	n32, err := length(n)
	return binary.BigEndian.AppendUint32(dst, n32), err
}

func length(n int) (uint32, error) {
	if uint64(n) > 1<<32-1 {
		return 0, errTooLong
	}
	return uint32(n), nil
}
