package dynamoitem

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// everyType has values of all types, in the form that comes back.
func everyType() item {
	return item{
		"null": null(), "string": str("text ～ 😀"), "empty": str(""), "number": num("-12.5"), "zero": num("0"),
		"bool": boolean(true), "no": boolean(false), "binary": bin("\x00\xff"), "no-bytes": bin(""),
		"strings": strs("😀", "～"), "numbers": nums("-1", "10", "9"), "binaries": bins("\x01", "\x01\x00", "\xff"),
		"no-strings": strs(), "no-numbers": nums(), "no-binaries": bins(),
		"map":  object(item{"😀": num("1"), "～": null(), "a": object(item{})}),
		"list": list(list(), str("x"), list(boolean(true), bins("b")), object(item{"k": strs("s")})),
	}
}

func nested(depth int) types.AttributeValue {
	v := list()
	for range depth - 1 {
		v = list(v)
	}
	return v
}

func TestSerialization(t *testing.T) {
	for name, c := range map[string]struct {
		value types.AttributeValue
		want  string // in hexadecimal
	}{
		"null":     {null(), "0000"},
		"string":   {str("é"), "0001 c3a9"},
		"number":   {num("01.50"), "0002 312e35"},
		"true":     {boolean(true), "0004 01"},
		"false":    {boolean(false), "0004 00"},
		"binary":   {bin("\x00\x01"), "ffff 0001"},
		"strings":  {strs("～", "b", "😀"), "0101 00000003 00000001 62 00000004 f09f9880 00000003 efbd9e"},
		"numbers":  {nums("9", "010", "-1.0"), "0102 00000003 00000002 2d31 00000002 3130 00000001 39"},
		"binaries": {bins("\xff", "", "\x00"), "01ff 00000003 00000000 00000001 00 00000001 ff"},
		"map": {object(item{"～": null(), "a": num("1"), "😀": boolean(true)}), "0200 00000003" +
			"0001 00000001 61 0002 00000001 31" +
			"0001 00000004 f09f9880 0004 00000001 01" +
			"0001 00000003 efbd9e 0000 00000000"},
		"list":      {list(str("a"), list()), "0300 00000002 0001 00000001 61 0300 00000004 00000000"},
		"empty set": {nums(), "0102 00000000"},
		"empty map": {object(item{}), "0200 00000000"},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.ReplaceAll(c.want, " ", ""))
			require.NoError(t, err)
			got, err := appendTyped([]byte("before"), c.value)
			require.NoError(t, err)
			assert.Equal(t, "before"+string(want), string(got))
			back, err := parseTyped(want)
			require.NoError(t, err)
			assert.Equal(t, string(want), serialized(t, back))
			for n := range want { // every proper prefix
				if v, err := parseTyped(want[:n]); err == nil {
					assert.Equal(t, string(want[:n]), serialized(t, v), "%d bytes", n)
				}
			}
		})
	}
	for name, v := range everyType() {
		back, err := parseTyped([]byte(serialized(t, v)))
		require.NoError(t, err, name)
		assert.Equal(t, v, back, name)
	}
}

func TestSerializationRefuses(t *testing.T) {
	var nilString *types.AttributeValueMemberS
	for name, c := range map[string]struct {
		value types.AttributeValue
		err   error
	}{
		"nil":               {nil, errNilValue},
		"nil pointer":       {nilString, errNilValue},
		"nil in a list":     {list(nil), errNilValue},
		"NULL false":        {&types.AttributeValueMemberNULL{}, errNullFalse},
		"not UTF-8":         {str("\xff"), errNotUTF8},
		"set not UTF-8":     {strs("a", "\xff"), errNotUTF8},
		"key not UTF-8":     {object(item{"\xff": null()}), errNotUTF8},
		"empty key":         {object(item{"": null()}), errMapKey},
		"long key":          {object(item{strings.Repeat("k", maxNameLen+1): null()}), errMapKey},
		"string twice":      {strs("a", "b", "a"), errDuplicate},
		"binary twice":      {bins("a", "b", "a"), errDuplicate},
		"number twice":      {nums("1", "2", "1"), errDuplicate},
		"equal numbers":     {nums("1", "2", "1.0"), errDuplicate},
		"no number":         {nums("1", "x"), errNotNumber},
		"number in a map":   {object(item{"a": num("")}), errNotNumber},
		"39 digits":         {num(strings.Repeat("1", 39)), errManyDigits},
		"33 levels":         {nested(33), errDepth},
		"32 levels, a leaf": {list(nested(31), list(list(nested(30)))), errDepth},
		"unknown":           {&types.UnknownUnionMember{Tag: "X"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := appendTyped(nil, c.value)
			require.Error(t, err)
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
			}
		})
	}
	_, err := appendTyped(nil, nested(32))
	require.NoError(t, err)
}

func TestParseRefuses(t *testing.T) {
	deep := []byte{}
	for range maxDepth {
		deep = slices.Concat([]byte{0, 0, 0, 1, 3, 0, 0, 0, byte(len(deep) >> 8), byte(len(deep))}, deep)
	}
	deepMap := []byte{0, 0, 0, 0}
	for range maxDepth {
		deepMap = slices.Concat([]byte{0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 'a', 2, 0, 0, 0, byte(len(deepMap) >> 8), byte(len(deepMap))}, deepMap)
	}
	for name, c := range map[string]struct {
		hex string
		err error
	}{
		"33 levels of maps":   {"0200" + hex.EncodeToString(deepMap), errDepth},
		"nothing":             {"", errShort},
		"one byte":            {"00", errShort},
		"unknown type":        {"0003", nil},
		"unknown nested type": {"0300 00000001 0005 00000000", nil},
		"null with bytes":     {"0000 00", errTrailing},
		"bool of none":        {"0004", errBool},
		"bool of two":         {"0004 0101", errBool},
		"bool of 2":           {"0004 02", errBool},
		"string not UTF-8":    {"0001 ff", errNotUTF8},
		"number":              {"0002 30 31", errNotCanonical},
		"no number":           {"0002 78", errNotNumber},
		"set without count":   {"0101 000000", errShort},
		"set cut short":       {"0101 00000002 00000001 61", errShort},
		"huge count":          {"0101 ffffffff 00000001 61", errShort},
		"huge list":           {"0300 ffffffff 0000 00000000", errShort},
		"huge map":            {"0200 ffffffff 0001 00000001 61 0000 00000000", errShort},
		"huge length":         {"0101 00000001 ffffffff 61", errShort},
		"set with more":       {"0101 00000001 00000001 61 00", errTrailing},
		"set not in order":    {"0101 00000002 00000001 62 00000001 61", errOrder},
		"set in UTF-8 order":  {"0101 00000002 00000003 efbd9e 00000004 f09f9880", errOrder},
		"member twice":        {"01ff 00000002 00000001 61 00000001 61", errOrder},
		"set not UTF-8":       {"0101 00000001 00000001 ff", errNotUTF8},
		"set of no numbers":   {"0102 00000001 00000001 61", errNotNumber},
		"map not in order":    {"0200 00000002 0001 00000001 62 0000 00000000 0001 00000001 61 0000 00000000", errOrder},
		"key twice":           {"0200 00000002 0001 00000001 61 0000 00000000 0001 00000001 61 0000 00000000", errOrder},
		"key no string":       {"0200 00000001 ffff 00000001 61 0000 00000000", errKeyType},
		"empty key":           {"0200 00000001 0001 00000000 0000 00000000 00", errMapKey},
		"key not UTF-8":       {"0200 00000001 0001 00000001 ff 0000 00000000", errNotUTF8},
		"map with more":       {"0200 00000000 00", errTrailing},
		"list with more":      {"0300 00000000 00", errTrailing},
		"list cut short":      {"0300 00000002 0000 00000000 0000 00", errShort},
		"33 levels":           {"0300" + hex.EncodeToString(deep), errDepth},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := hex.DecodeString(strings.ReplaceAll(c.hex, " ", ""))
			require.NoError(t, err)
			v, err := parseTyped(b)
			require.Error(t, err)
			assert.Nil(t, v)
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
			}
		})
	}
}

func TestNumbers(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("0", n) }
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "+0": "0", "000": "0", ".000": "0", "0.": "0", "0e999": "0", "-0.0e-99999999999999999999": "0",
		"1": "1", "+1": "1", "-1": "-1", "01": "1", "1.": "1", ".5": "0.5", "-.5": "-0.5", "1.50": "1.5", "100": "100",
		"0100": "100", "1e2": "100", "1E+2": "100", "1.5e1": "15", "1.5e-1": "0.15", "12.34e1": "123.4", "1200e-2": "12",
		"0.001e3": "1", "0.00120e2": "0.12", "1e-0": "1", "00012.3400e+00": "12.34",
		"1e125":                            "1" + zeros(125),
		"0.0000001e132":                    "1" + zeros(125),
		strings.Repeat("9", 38) + "e88":    strings.Repeat("9", 38) + zeros(88),
		"1e-130":                           "0." + zeros(129) + "1",
		"10e-131":                          "0." + zeros(129) + "1",
		"0." + zeros(129) + "1":            "0." + zeros(129) + "1",
		strings.Repeat("1", 38) + "e-167":  "0." + zeros(129) + strings.Repeat("1", 38),
		strings.Repeat("1", 38) + zeros(9): strings.Repeat("1", 38) + zeros(9),
		"0" + zeros(500) + "." + strings.Repeat("1", 38): "0." + strings.Repeat("1", 38),
		"1234567890123456789.0123456789012345678":        "1234567890123456789.0123456789012345678",
	} {
		got, err := normalized(in)
		require.NoError(t, err, in)
		assert.Equal(t, want, got, in)
		again, err := normalized(got)
		require.NoError(t, err, in)
		assert.Equal(t, got, again, in)
	}
	for in, want := range map[string]error{
		"": errNotNumber, ".": errNotNumber, "+": errNotNumber, "-": errNotNumber, "e": errNotNumber, "E1": errNotNumber, ".e4": errNotNumber,
		"1.2.3": errNotNumber, "1e": errNotNumber, "1e+": errNotNumber, "1e-": errNotNumber, "1e1.1": errNotNumber, "1e1e1": errNotNumber,
		"--1": errNotNumber, "+-1": errNotNumber, "1-1": errNotNumber, "1e--1": errNotNumber, "1a": errNotNumber, " 1": errNotNumber, "1 ": errNotNumber,
		"NaN": errNotNumber, "Infinity": errNotNumber, "0x1": errNotNumber, "1_0": errNotNumber, "１": errNotNumber, "1,5": errNotNumber,
		strings.Repeat("1", 39):              errManyDigits,
		"1" + zeros(37) + "1":                errManyDigits,
		"0." + strings.Repeat("1", 39):       errManyDigits,
		"1e126":                              errNumberTooBig,
		"-10e125":                            errNumberTooBig,
		"1e99999999999999999999":             errNumberTooBig,
		"1" + zeros(126):                     errNumberTooBig,
		"9.9e-131":                           errNumberTooTiny,
		"1e-131":                             errNumberTooTiny,
		"1e-99999999999999999999":            errNumberTooTiny,
		"-0." + zeros(130) + "9":             errNumberTooTiny,
		"0." + zeros(199) + "1" + "e1":       errNumberTooTiny,
		strings.Repeat("1", 300000) + "e-10": errManyDigits,
	} {
		_, err := normalized(in)
		require.ErrorIs(t, err, want, in[:min(len(in), 50)])
	}
}

func TestUTF16(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	runes := []rune("\x00a\u007f\u0080é\u07ff\u0800\ud7ff\ue000～\uffff\U00010000😀\U000fffff\U0010ffff")
	text := func() string {
		var b strings.Builder
		for range random.IntN(4) {
			b.WriteRune(runes[random.IntN(len(runes))])
		}
		return b.String()
	}
	sign := func(n int) int { return min(max(n, -1), 1) }
	for range 20000 {
		a, b := text(), text()
		x, y := utf16.Encode([]rune(a)), utf16.Encode([]rune(b))
		require.Equal(t, slices.Compare(x, y), sign(compareUTF16(a, b)), "%q %q", a, b)
		require.Equal(t, len(x), utf16Len(a), "%q", a)
	}
}

// FuzzParse checks that what parses serializes to the same bytes, so that there is one
// form of each value.
func FuzzParse(f *testing.F) {
	for _, v := range everyType() {
		b, err := appendTyped(nil, v)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parseTyped(b)
		if err != nil {
			return
		}
		again, err := appendTyped(nil, v)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

// FuzzSerialize checks that a value made of the fuzzer's bytes comes back equal in all but
// the order of sets and the form of numbers.
func FuzzSerialize(f *testing.F) {
	f.Add("text", "1.50", []byte{1, 2, 3}, uint8(3))
	f.Add("～", "-0", []byte{}, uint8(31))
	f.Add("\xff", "1e", []byte{0xff}, uint8(40))
	f.Fuzz(func(t *testing.T, s, n string, b []byte, depth uint8) {
		v := list(str(s), num(n), strs(s, s+"a", "😀"), nums(n, "1e5", "7"), bins(string(b), string(b)+"x"), object(item{"k": str(s), s + "k": num(n)}))
		for range depth % 48 {
			v = list(v)
		}
		first, err := appendTyped(nil, v)
		if err != nil {
			return
		}
		require.True(t, utf8.ValidString(s))
		require.LessOrEqual(t, int(depth%48), maxDepth-2)
		back, err := parseTyped(first)
		require.NoError(t, err)
		second, err := appendTyped(nil, back)
		require.NoError(t, err)
		require.True(t, bytes.Equal(first, second))
		for range depth % 48 {
			back = back.(*types.AttributeValueMemberL).Value[0]
		}
		all := back.(*types.AttributeValueMemberL).Value
		require.Equal(t, str(s), all[0])
		require.Equal(t, bins(string(b), string(b)+"x"), all[4])
	})
}
