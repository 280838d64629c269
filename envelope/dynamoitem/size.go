package dynamoitem

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope"
)

// MaxItemSize is the size in bytes of the largest item that DynamoDB stores.
const MaxItemSize = 400 << 10

// A SizeError says that an item would be larger, encrypted, than DynamoDB stores. It is
// envelope.ErrLimit too.
type SizeError struct {
	// Size is the item's size in bytes as DynamoDB counts it, head and foot included.
	Size int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%v: the item is %d bytes encrypted, and DynamoDB stores %d", envelope.ErrLimit, e.Size, MaxItemSize)
}

// Unwrap returns envelope.ErrLimit.
func (e *SizeError) Unwrap() error { return envelope.ErrLimit }

// checkDepth returns an error for a value that nests deeper than DynamoDB's do, such as one
// that holds itself. It is for values that are not serialized, which would find that.
func checkDepth(v types.AttributeValue, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	if _, err := typeOf(v); err != nil {
		return nil // for DynamoDB to refuse
	}
	switch v := v.(type) {
	case *types.AttributeValueMemberM:
		for _, v := range v.Value {
			if err := checkDepth(v, depth+1); err != nil {
				return err
			}
		}
	case *types.AttributeValueMemberL:
		for _, v := range v.Value {
			if err := checkDepth(v, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// sizeOf returns the size of a value as DynamoDB's documentation counts it. The value was
// serialized, or checkDepth has seen it.
func sizeOf(v types.AttributeValue) int {
	if _, err := typeOf(v); err != nil {
		return 0 // for DynamoDB to refuse
	}
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return sizeOfNumber(v.Value)
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberSS:
		n := 0
		for _, s := range v.Value {
			n += len(s)
		}
		return n
	case *types.AttributeValueMemberNS:
		n := 0
		for _, s := range v.Value {
			n += sizeOfNumber(s)
		}
		return n
	case *types.AttributeValueMemberBS:
		n := 0
		for _, b := range v.Value {
			n += len(b)
		}
		return n
	case *types.AttributeValueMemberM:
		n := 3
		for k, v := range v.Value {
			n += 1 + len(k) + sizeOf(v)
		}
		return n
	case *types.AttributeValueMemberL:
		n := 3
		for _, v := range v.Value {
			n += 1 + sizeOf(v)
		}
		return n
	}
	return 1 // NULL and BOOL
}

// sizeOfNumber returns one byte, one more for two significant digits, and one for a minus
// sign.
func sizeOfNumber(s string) int {
	s, _ = normalized(s) // one that is none was refused before, or will be by DynamoDB
	s, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(s, ".")
	switch {
	case fraction == "":
		whole = strings.TrimRight(whole, "0")
	case whole == "0":
		whole, fraction = "", strings.TrimLeft(fraction, "0")
	}
	n := 1 + (len(whole)+len(fraction)+1)/2
	if negative {
		n++
	}
	return n
}
