package dynamoitem

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// refuser checks that items are refused before any attribute is opened, with an error that
// names no value.
type refuser struct {
	table  *Table
	opened int
	count  int
}

func newRefuser(t testing.TB, m keyring.MaterialsManager, c Config) *refuser {
	r := &refuser{table: newTable(t, m, c)}
	r.table.onOpen = func(string) { r.opened++ }
	return r
}

func (r *refuser) refuses(t testing.TB, it item, format string, args ...any) error {
	t.Helper()
	what := fmt.Sprintf(format, args...)
	r.opened = 0
	r.count++
	got, err := r.table.Decrypt(t.Context(), it)
	require.Error(t, err, what)
	require.Nil(t, got, what)
	require.Zero(t, r.opened, "%s: opened before it was verified: %v", what, err)
	var e *Error
	require.ErrorAs(t, err, &e, what)
	require.Equal(t, "decrypt", e.Op)
	require.Equal(t, r.table.name, e.Table)
	require.True(t, errors.Is(err, envelope.ErrMalformed) || errors.Is(err, envelope.ErrAuthentication) || errors.Is(err, envelope.ErrCommitment) ||
		errors.Is(err, envelope.ErrSignature) || errors.Is(err, envelope.ErrContextMismatch) || errors.Is(err, envelope.ErrNoMatchingKey) ||
		errors.Is(err, envelope.ErrLimit) || errors.Is(err, keyring.ErrInvalidArgument), "%s: %v", what, err)
	for _, value := range []string{"customer-17", "plaintext-1", "plaintext-2", "open-text"} {
		require.NotContains(t, err.Error(), value, what)
	}
	return err
}

// with returns an item with another value of an attribute.
func with(it item, name string, v types.AttributeValue) item {
	it = maps.Clone(it)
	it[name] = v
	return it
}

func without(it item, name string) item {
	it = maps.Clone(it)
	delete(it, name)
	return it
}

// alter calls do with values that differ from v in one place each.
func alter(v types.AttributeValue, do func(what string, v types.AttributeValue)) {
	inText := func(s string, do func(string, string)) {
		for i := range len(s) {
			b := []byte(s)
			b[i] ^= 1
			do(fmt.Sprintf("byte %d", i), string(b))
		}
		do("longer", s+"0")
		if s != "" {
			do("shorter", s[:len(s)-1])
			do("empty", "")
		}
	}
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		inText(v.Value, func(what, s string) { do(what, str(s)) })
		do("type N", num("1"))
		do("type B", bin(v.Value))
	case *types.AttributeValueMemberN:
		for _, s := range []string{"1", "-" + v.Value, v.Value + "1", "1" + v.Value, v.Value + "e1", "x", ""} {
			if a, err := normalized(s); err != nil || a != v.Value {
				do(fmt.Sprintf("number %q", s), num(s))
			}
		}
		do("type S", str(v.Value))
	case *types.AttributeValueMemberB:
		for i := range v.Value {
			for _, x := range []byte{1, 0x80} {
				b := slices.Clone(v.Value)
				b[i] ^= x
				do(fmt.Sprintf("byte %d", i), &types.AttributeValueMemberB{Value: b})
			}
		}
		do("longer", &types.AttributeValueMemberB{Value: append(slices.Clone(v.Value), 0)})
		if n := len(v.Value); n > 0 {
			do("shorter", &types.AttributeValueMemberB{Value: v.Value[:n-1]})
			do("without its first", &types.AttributeValueMemberB{Value: v.Value[1:]})
			do("empty", bin(""))
		}
		do("type S", str(string(v.Value)))
		do("type BS", &types.AttributeValueMemberBS{Value: [][]byte{v.Value}})
	case *types.AttributeValueMemberBOOL:
		do("the other", boolean(!v.Value))
		do("type NULL", null())
	case *types.AttributeValueMemberNULL:
		do("false", &types.AttributeValueMemberNULL{})
		do("type S", str(""))
		do("type BOOL", boolean(false))
	case *types.AttributeValueMemberSS:
		do("more", strs(append(slices.Clone(v.Value), "more")...))
		if len(v.Value) > 0 {
			do("twice", strs(append(slices.Clone(v.Value), v.Value...)...))
		}
		for i := range v.Value {
			do(fmt.Sprintf("without member %d", i), strs(slices.Delete(slices.Clone(v.Value), i, i+1)...))
		}
		do("type L", list())
	case *types.AttributeValueMemberNS:
		do("more", nums(append(slices.Clone(v.Value), "77")...))
		for i := range v.Value {
			do(fmt.Sprintf("without member %d", i), nums(slices.Delete(slices.Clone(v.Value), i, i+1)...))
		}
		do("type SS", strs(v.Value...))
	case *types.AttributeValueMemberBS:
		do("more", &types.AttributeValueMemberBS{Value: append(slices.Clone(v.Value), []byte("more"))})
		do("type SS", strs("x"))
	case *types.AttributeValueMemberL:
		do("more", list(append(slices.Clone(v.Value), null())...))
		for i, e := range v.Value {
			do(fmt.Sprintf("without entry %d", i), list(slices.Delete(slices.Clone(v.Value), i, i+1)...))
			alter(e, func(what string, e types.AttributeValue) {
				l := slices.Clone(v.Value)
				l[i] = e
				do(fmt.Sprintf("entry %d: %s", i, what), list(l...))
			})
		}
		if len(v.Value) > 1 {
			l := slices.Clone(v.Value)
			slices.Reverse(l)
			do("reversed", list(l...))
		}
	case *types.AttributeValueMemberM:
		do("more", object(with(v.Value, "more", null())))
		for k, e := range v.Value {
			do(fmt.Sprintf("without entry %q", k), object(without(v.Value, k)))
			do(fmt.Sprintf("entry %q renamed", k), object(with(without(v.Value, k), k+"x", e)))
			alter(e, func(what string, e types.AttributeValue) {
				do(fmt.Sprintf("entry %q: %s", k, what), object(with(v.Value, k, e)))
			})
		}
	default:
		panic("no alteration")
	}
}

// TestAltered alters everything that an item has that is signed, one thing at a time.
func TestAltered(t *testing.T) {
	m := manager(t, rawAES(t, "ns", "key", make([]byte, 32)))
	eachKind(t, func(t *testing.T, suite keyring.Suite, key Action) {
		c := simple(suite, key)
		c.Unsigned, c.UnsignedPrefix = []string{"free"}, "free-"
		in := simpleItem()
		for name, v := range everyType() {
			c.Actions[name] = SignOnly
			in[name] = v
			if key == SignAndIncludeInContext && suite == hmacOnly {
				c.Actions["c-"+name] = key
				in["c-"+name] = v
			}
		}
		in["free"], in["free-too"] = str("x"), str("y")
		r := newRefuser(t, m, c)
		out, err := r.table.Encrypt(t.Context(), in)
		require.NoError(t, err)

		for name, v := range out {
			if r.table.config.isUnsigned(name) {
				continue
			}
			alter(v, func(what string, v types.AttributeValue) { r.refuses(t, with(out, name, v), "%s: %s", name, what) })
			r.refuses(t, without(out, name), "%s dropped", name)
			r.refuses(t, with(out, name, nil), "%s nil", name)
			if name == headAttribute || name == footAttribute {
				continue
			}
			r.refuses(t, with(without(out, name), name+"x", v), "%s renamed", name)
			r.refuses(t, with(without(out, name), "free-"+name, v), "%s renamed to one that is unsigned", name)
			r.refuses(t, with(out, name+"x", v), "%s twice", name)
			for other, v2 := range out {
				if name < other && !strings.HasPrefix(other, reservedPrefix) && !r.table.config.isUnsigned(other) && serializedOr(v) != serializedOr(v2) {
					r.refuses(t, with(with(out, name, v2), other, v), "%s and %s exchanged", name, other)
				}
			}
		}
		r.refuses(t, with(out, "more", str("x")), "an attribute more")
		r.refuses(t, with(without(out, "seen"), "more", str("x")), "another attribute")
		require.Greater(t, r.count, 1000)

		// Unsigned ones are anybody's, and beacons are dropped.
		free := with(with(without(out, "free"), "free-too", str("z")), "free-more", null())
		free["aws_dbe_b_secret"], free["aws_dbe_v_1"] = str("0f"), str(" ")
		back, err := r.table.Decrypt(t.Context(), free)
		require.NoError(t, err)
		assert.Equal(t, with(with(without(in, "free"), "free-too", str("z")), "free-more", null()), back)
		assert.Equal(t, 2, r.opened)
	})
}

// serializedOr is serialized for values that may be none.
func serializedOr(v types.AttributeValue) string {
	b, _ := appendTyped(nil, v)
	return string(b)
}

// TestMoved moves whole items, and parts of them, to where they do not belong.
func TestMoved(t *testing.T) {
	m := manager(t, rawAES(t, "ns", "key", make([]byte, 32)))
	eachKind(t, func(t *testing.T, suite keyring.Suite, key Action) {
		c := simple(suite, key)
		r := newRefuser(t, m, c)
		encrypt := func(it item) item {
			out, err := r.table.Encrypt(t.Context(), it)
			require.NoError(t, err)
			return out
		}
		one, same, other := encrypt(simpleItem()), encrypt(simpleItem()), encrypt(with(simpleItem(), "pk", str("customer-18")))

		for what, donor := range map[string]item{"an item with the same values": same, "an item of another key": other} {
			for name, v := range donor {
				if strings.HasPrefix(name, reservedPrefix) || c.Actions[name] == EncryptAndSign {
					r.refuses(t, with(one, name, v), "%s of %s", name, what)
				}
			}
			err := r.refuses(t, with(with(one, headAttribute, donor[headAttribute]), footAttribute, donor[footAttribute]), "head and foot of %s", what)
			if donor["pk"].(*types.AttributeValueMemberS).Value == "customer-18" {
				require.ErrorIs(t, err, envelope.ErrContextMismatch)
			} else {
				require.ErrorIs(t, err, envelope.ErrAuthentication)
			}
			head, err := binaryOf("", one[headAttribute])
			require.NoError(t, err)
			theirs, err := binaryOf("", donor[headAttribute])
			require.NoError(t, err)
			mixed := append(slices.Clone(head[:len(head)-commitmentLen]), theirs[len(theirs)-commitmentLen:]...)
			require.ErrorIs(t, r.refuses(t, with(one, headAttribute, &types.AttributeValueMemberB{Value: mixed}), "commitment of %s", what), envelope.ErrCommitment)
		}
		require.ErrorIs(t, r.refuses(t, with(one, "pk", str("customer-18")), "another key"), envelope.ErrContextMismatch)
		err := r.refuses(t, with(one, "sk", num("8")), "another sort key")
		require.ErrorIs(t, err, envelope.ErrContextMismatch)
		require.ErrorIs(t, err, envelope.ErrNoMatchingKey)

		for what, change := range map[string]func(*Config){
			"another table": func(c *Config) { c.Table = "orders2" },
			"no sort key":   func(c *Config) { c.SortKey = "" },
			"keys exchanged": func(c *Config) {
				c.PartitionKey, c.SortKey = c.SortKey, c.PartitionKey
			},
		} {
			c := simple(suite, key)
			change(&c)
			require.ErrorIs(t, newRefuser(t, m, c).refuses(t, one, "%s", what), envelope.ErrContextMismatch)
		}
		stranger := manager(t, rawAES(t, "ns", "key", slices.Repeat([]byte{1}, 32)))
		require.ErrorIs(t, newRefuser(t, stranger, c).refuses(t, one, "another wrapping key"), envelope.ErrNoMatchingKey)
	})
}

// TestManyNamesInErrors has whoever writes to the table choose names that an error lists.
func TestManyNamesInErrors(t *testing.T) {
	r := newRefuser(t, manager(t, rawAES(t, "ns", "key", make([]byte, 32))), simple(hmacOnly, SignAndIncludeInContext))
	out, err := r.table.Encrypt(t.Context(), simpleItem())
	require.NoError(t, err)
	b, err := binaryOf(headAttribute, out[headAttribute])
	require.NoError(t, err)
	h, err := parseHead(b, 1)
	require.NoError(t, err)
	for i := range 1000 {
		out[fmt.Sprintf("name %04d\x00\x00\x00\x00%s", i, strings.Repeat("x", 10))] = null()
	}
	h.legend = slices.Repeat([]byte{legendContext}, len(out)-2)
	out[headAttribute] = &types.AttributeValueMemberB{Value: append(appendHead(nil, &h), h.commitment...)}
	err = r.refuses(t, out, "a thousand names")
	require.ErrorIs(t, err, envelope.ErrContextMismatch)
	assert.ErrorContains(t, err, " others, and what was given")
	assert.Less(t, len(err.Error()), 2000)
}

// TestPathsDoNotMix has tables and attributes whose names run together to the same bytes.
func TestPathsDoNotMix(t *testing.T) {
	a := appendPath(nil, pathPrefix("t"), "ab", 2)
	for name, other := range map[string][]byte{
		"table":  appendPath(nil, pathPrefix("ta"), "b", 1),
		"length": appendPath(nil, pathPrefix("t"), "a", 1),
	} {
		assert.NotEqual(t, a, other, name)
	}
	assert.Equal(t, "t\x00\x00\x00\x00\x00\x00\x00\x01$\x00\x00\x00\x00\x00\x00\x00\x03😀a", string(appendPath(nil, pathPrefix("t"), "😀a", utf16Len("😀a"))))
}
