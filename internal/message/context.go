package message

import (
	"bytes"
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
	type pair struct{ key, value string }
	var few [8]pair // no allocation for the usual context
	pairs := few[:0]
	total := 2
	for k, v := range context {
		if err := addPair(&total, k, v); err != nil {
			return dst, err
		}
		pairs = append(pairs, pair{k, v})
	}
	switch {
	case len(pairs) == 2 && pairs[0].key > pairs[1].key:
		pairs[0], pairs[1] = pairs[1], pairs[0]
	case len(pairs) > 2:
		slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	}

	dst = slices.Grow(dst, total)
	dst = appendUint16(dst, len(pairs))
	for _, p := range pairs {
		dst = appendString16(dst, p.key)
		dst = appendString16(dst, p.value)
	}
	return dst, nil
}

// CheckContext returns the error that [AppendContext] would.
func CheckContext(context map[string]string) error {
	var checker ContextChecker
	for k, v := range context {
		if err := checker.Add(k, v); err != nil {
			return err
		}
	}
	return nil
}

// A ContextChecker finds the errors that [AppendContext] would, pair by pair.
type ContextChecker struct{ total int }

// Add returns an error if the pairs added so far cannot be serialized.
func (c *ContextChecker) Add(k, v string) error {
	if c.total == 0 {
		c.total = 2
	}
	return addPair(&c.total, k, v)
}

// addPair adds a pair's serialized length to the total, and refuses what the
// format does not hold. The lengths fit their 16 bits because the total does.
func addPair(total *int, k, v string) error {
	if !utf8.ValidString(k) || !utf8.ValidString(v) {
		return malformed("encryption context: pair with key %q is not UTF-8", clip(k))
	}
	// Each length before the sum, which could overflow.
	if len(k) <= MaxContextLen && len(v) <= MaxContextLen {
		if *total += 4 + len(k) + len(v); *total <= MaxContextLen {
			return nil
		}
	}
	return fmt.Errorf("%w: encryption context is longer than the %d bytes that the format holds", ErrLimit, MaxContextLen)
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

// SplitContext returns the pairs of a context that are stored in a message, and those of
// the required keys, which are only authenticated. Without required keys the first is
// the context itself.
func SplitContext[M ~map[string]string](context M, required []string) (stored, authenticated M) {
	if len(required) == 0 {
		return context, nil
	}
	stored = make(M, len(context))
	for k, v := range context {
		stored[k] = v
	}
	authenticated = make(M, len(required))
	for _, k := range required {
		if v, ok := context[k]; ok {
			authenticated[k] = v
			delete(stored, k)
		}
	}
	return stored, authenticated
}

// FindPair returns the value of a key in what [AppendStored] wrote, without
// parsing more of it than it must.
func FindPair(stored []byte, key string) (value []byte, ok bool) {
	rest, count, _ := storedPairs(stored)
	for range count {
		k, v, ok := readPair(&rest)
		if !ok {
			break
		}
		if string(k) == key {
			return v, true
		}
	}
	return nil, false
}

// StoresJust says whether what [AppendStored] wrote has some pairs and no others.
func StoresJust(stored []byte, pairs map[string]string) bool {
	rest, count, ok := storedPairs(stored)
	if !ok || count != len(pairs) {
		return false
	}
	// No key stands twice, so that as many are all.
	for range count {
		k, v, ok := readPair(&rest)
		if !ok {
			return false
		}
		if got, ok := pairs[string(k)]; !ok || got != string(v) {
			return false
		}
	}
	return true
}

// StoresKeys says whether what [AppendStored] wrote has these wrapped keys.
func StoresKeys[K ~struct {
	ProviderID               string
	ProviderInfo, Ciphertext []byte
}](stored []byte, keys []K) bool {
	in := cryptobyte.String(stored)
	var pairs, field cryptobyte.String
	var count uint16
	if !in.ReadUint16LengthPrefixed(&pairs) || !in.ReadUint16(&count) || int(count) != len(keys) {
		return false
	}
	for i := range keys {
		k := EncryptedDataKey(keys[i])
		if !in.ReadUint16LengthPrefixed(&field) || string(field) != k.ProviderID ||
			!in.ReadUint16LengthPrefixed(&field) || !bytes.Equal(field, k.ProviderInfo) ||
			!in.ReadUint16LengthPrefixed(&field) || !bytes.Equal(field, k.Ciphertext) {
			return false
		}
	}
	return in.Empty()
}

// Stores says whether what [AppendStored] wrote has all of some pairs.
func Stores(stored []byte, pairs map[string]string) bool {
	return Confirms(stored, pairs, pairs)
}

// Confirms says whether what [AppendStored] wrote has all of some pairs, and a
// second context has them too. It may say no where keys are not in order, which
// the format lets others write.
func Confirms(stored []byte, pairs, second map[string]string) bool {
	// One pass over the bytes takes less time than one over a map.
	rest, count, _ := storedPairs(stored)
	found := 0
	var last []byte
	for range count {
		k, v, ok := readPair(&rest)
		if !ok {
			break
		}
		want, ok := pairs[string(k)]
		if !ok {
			continue
		}
		// In order, so that no key counts twice.
		if found > 0 && bytes.Compare(last, k) >= 0 || string(v) != want {
			return false
		}
		if got, ok := second[string(k)]; !ok || got != want {
			return false
		}
		last = k
		found++
	}
	return found == len(pairs)
}

// storedPairs returns the pairs in what [AppendStored] wrote, and how many there
// should be.
func storedPairs(stored []byte) (pairs cryptobyte.String, count int, ok bool) {
	in := cryptobyte.String(stored)
	if !in.ReadUint16LengthPrefixed(&pairs) {
		return nil, 0, false
	}
	if pairs.Empty() {
		return nil, 0, true
	}
	var n uint16
	ok = pairs.ReadUint16(&n)
	return pairs, int(n), ok
}

func readPair(pairs *cryptobyte.String) (key, value cryptobyte.String, ok bool) {
	ok = pairs.ReadUint16LengthPrefixed(&key) && pairs.ReadUint16LengthPrefixed(&value)
	return key, value, ok
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
