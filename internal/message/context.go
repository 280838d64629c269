package message

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
)

// MaxContextLen is the longest serialized encryption context in bytes: its
// length is a 16-bit field of the header.
const MaxContextLen = 1<<16 - 1

// AppendContext appends the serialized encryption context to dst: the number of
// pairs, then the pairs in the order of their keys' bytes. An empty context is
// zero bytes.
//
// A context longer than [MaxContextLen] is ErrLimit; one that is not UTF-8 is
// ErrMalformed. On error dst is returned unchanged.
func AppendContext(dst []byte, context map[string]string) ([]byte, error) {
	if len(context) == 0 {
		return dst, nil
	}
	total, err := contextLen(context)
	if err != nil {
		return dst, err
	}

	var few [8]string // no allocation for the usual context
	keys := few[:0]
	for k := range context {
		keys = append(keys, k)
	}
	slices.Sort(keys)

	dst = slices.Grow(dst, total)
	dst = appendUint16(dst, len(keys))
	for _, k := range keys {
		dst = appendString16(dst, k)
		dst = appendString16(dst, context[k])
	}
	return dst, nil
}

// CheckContext returns the error that [AppendContext] would.
func CheckContext(context map[string]string) error {
	_, err := contextLen(context)
	return err
}

// contextLen returns the length of a serialized context that is not empty. The
// key and value lengths fit their 16 bits because the total does.
func contextLen(context map[string]string) (int, error) {
	total := 2
	for k, v := range context {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return 0, malformed("encryption context: pair with key %q is not UTF-8", clip(k))
		}
		// Before it is added up, since the sum could overflow.
		if len(k) > MaxContextLen || len(v) > MaxContextLen || total > MaxContextLen {
			total = MaxContextLen + 1
			break
		}
		total += 4 + len(k) + len(v)
	}
	if total > MaxContextLen {
		return 0, fmt.Errorf("%w: encryption context is longer than the %d bytes that the format holds", ErrLimit, MaxContextLen)
	}
	return total, nil
}

// ParseContext parses what [AppendContext] wrote. It also takes a count of zero
// with no pairs, which some writers use for the empty context, and pairs in any
// order. The map is nil when there are no pairs.
func ParseContext(b []byte) (map[string]string, error) {
	if len(b) == 0 {
		return nil, nil
	}
	in := cryptobyte.String(b)
	var count uint16
	if !in.ReadUint16(&count) {
		return nil, malformed("encryption context: %d bytes are too short for the count of pairs", len(b))
	}
	if len(in) < 4*int(count) {
		return nil, malformed("encryption context: %d pairs do not fit in %d bytes", count, len(b))
	}
	if count == 0 {
		if !in.Empty() {
			return nil, malformed("encryption context: bytes after the last pair")
		}
		return nil, nil
	}

	// One string for all keys and values instead of one for each.
	text := string(b)
	next := func() (string, bool) {
		var n uint16
		if !in.ReadUint16(&n) {
			return "", false
		}
		start := len(b) - len(in)
		if !in.Skip(int(n)) {
			return "", false
		}
		s := text[start : start+int(n)]
		return s, utf8.ValidString(s)
	}
	context := make(map[string]string, count)
	for i := range int(count) {
		k, okKey := next()
		if !okKey {
			return nil, malformed("encryption context: key of pair %d is cut short or not UTF-8", i+1)
		}
		v, okValue := next()
		if !okValue {
			return nil, malformed("encryption context: value of key %q is cut short or not UTF-8", clip(k))
		}
		if _, twice := context[k]; twice {
			return nil, malformed("encryption context: key %q stands twice", clip(k))
		}
		context[k] = v
	}
	if !in.Empty() {
		return nil, malformed("encryption context: bytes after the last pair")
	}
	return context, nil
}

func appendUint16(dst []byte, n int) []byte {
	return append(dst, byte(n>>8), byte(n))
}

func appendString16[T string | []byte](dst []byte, s T) []byte {
	dst = appendUint16(dst, len(s))
	return append(dst, s...)
}

// clip keeps names that an attacker chose from filling a log.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
