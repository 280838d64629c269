package message

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestContextWire(t *testing.T) {
	for name, c := range map[string]struct {
		context map[string]string
		want    string
	}{
		"nil":   {nil, ""},
		"empty": {map[string]string{}, ""},
		"pair":  {map[string]string{"k": "value"}, "\x00\x01\x00\x01k\x00\x05value"},
		"empty strings": {
			map[string]string{"": ""}, "\x00\x01\x00\x00\x00\x00",
		},
		"in order of bytes": {
			map[string]string{"b": "", "a": "", "aa": "", "B": ""},
			"\x00\x04\x00\x01B\x00\x00\x00\x01a\x00\x00\x00\x02aa\x00\x00\x00\x01b\x00\x00",
		},
		// UTF-16, which some languages sort by, has these two the other way round.
		"beyond the basic plane": {
			map[string]string{"\U0001F511": "", "～": ""},
			"\x00\x02\x00\x03\xef\xbd\x9e\x00\x00\x00\x04\xf0\x9f\x94\x91\x00\x00",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := AppendContext([]byte("before"), c.context)
			require.NoError(t, err)
			require.Equal(t, "before"+c.want, string(got))
			require.NoError(t, CheckContext(c.context))

			back, err := ParseContext([]byte(c.want))
			require.NoError(t, err)
			assert.True(t, maps.Equal(c.context, back))
		})
	}
}

func TestContextTooLong(t *testing.T) {
	fits := map[string]string{"k": strings.Repeat("x", MaxContextLen-2-4-1)}
	got, err := AppendContext(nil, fits)
	require.NoError(t, err)
	require.Len(t, got, MaxContextLen)

	fits["k"] += "x"
	got, err = AppendContext([]byte("before"), fits)
	require.ErrorIs(t, err, ErrLimit)
	assert.Equal(t, "before", string(got))
}

func TestContextNotUTF8(t *testing.T) {
	for _, context := range []map[string]string{{"\xff": ""}, {"k": "\xc0\x80"}, {"\xed\xa0\x80": ""}} {
		_, err := AppendContext(nil, context)
		require.ErrorIs(t, err, ErrMalformed)
	}
}

func TestParseContextMalformed(t *testing.T) {
	for name, c := range map[string]struct{ wire, says string }{
		"one byte":                {"\x00", "too short for the count"},
		"count without pairs":     {"\x00\x01", "do not fit"},
		"huge count":              {"\xff\xff\x00\x00\x00\x00", "do not fit"},
		"bytes after no pairs":    {"\x00\x00x", "after the last pair"},
		"bytes after a pair":      {"\x00\x01\x00\x01k\x00\x01vx", "after the last pair"},
		"key cut short":           {"\x00\x01\x00\x09key", "key of pair 1"},
		"value length cut short":  {"\x00\x01\x00\x03key\x00", `value of key "key"`},
		"value cut short":         {"\x00\x01\x00\x03key\x00\x02v", `value of key "key"`},
		"key is not UTF-8":        {"\x00\x01\x00\x01\xff\x00\x00", "key of pair 1"},
		"value is not UTF-8":      {"\x00\x01\x00\x01k\x00\x01\xff", `value of key "k"`},
		"key twice":               {"\x00\x02\x00\x01k\x00\x01a\x00\x01k\x00\x01b", `key "k" stands twice`},
		"key twice, not adjacent": {"\x00\x03\x00\x01k\x00\x00\x00\x01l\x00\x00\x00\x01k\x00\x00", `key "k" stands twice`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseContext([]byte(c.wire))
			require.ErrorIs(t, err, ErrMalformed)
			assert.ErrorContains(t, err, c.says)
		})
	}
}

func TestParseContextLenient(t *testing.T) {
	got, err := ParseContext([]byte("\x00\x00"))
	require.NoError(t, err)
	assert.Nil(t, got)

	got, err = ParseContext([]byte("\x00\x02\x00\x01b\x00\x00\x00\x01a\x00\x00"))
	require.NoError(t, err, "pairs out of order")
	assert.Equal(t, map[string]string{"a": "", "b": ""}, got)
}

func TestErrorsClipNames(t *testing.T) {
	long := strings.Repeat("é", 10_000)
	_, err := AppendContext(nil, map[string]string{long: "\xff"})
	require.ErrorIs(t, err, ErrMalformed)
	assert.Less(t, len(err.Error()), 300)
}

// FuzzContext checks that what parses marshals, and what was in canonical form
// to the same bytes.
func FuzzContext(f *testing.F) {
	for _, context := range []map[string]string{
		nil,
		{"k": "value"},
		{"": "", "tenant": "42", "\U0001F511": "～"},
		{"long": strings.Repeat("x", 1000)},
	} {
		wire, err := AppendContext(nil, context)
		require.NoError(f, err)
		f.Add(wire)
	}
	f.Add([]byte("\x00\x00"))
	f.Add([]byte("\x00\x02\x00\x01b\x00\x00\x00\x01a\x00\x00"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		context, err := ParseContext(wire)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		again, err := AppendContext(nil, context)
		if len(wire) > MaxContextLen {
			return // longer than a header can hold
		}
		require.NoError(t, err)
		back, err := ParseContext(again)
		require.NoError(t, err)
		require.True(t, maps.Equal(context, back))
		// Marshalling sorts and never grows.
		require.True(t, len(again) == len(wire) || len(wire) == 2 && len(again) == 0)
	})
}

func TestFindPair(t *testing.T) {
	stored, err := AppendStored(nil, map[string]string{"a": "1", "": "empty", "long": "value"}, []EncryptedDataKey{{ProviderID: "b"}})
	require.NoError(t, err)
	for key, want := range map[string]string{"a": "1", "": "empty", "long": "value"} {
		got, ok := FindPair(stored, key)
		require.True(t, ok, key)
		require.Equal(t, want, string(got))
	}
	for _, key := range []string{"b", "lon", "longe", "1", "value"} {
		_, ok := FindPair(stored, key)
		require.False(t, ok, key)
	}
	for n := range stored {
		got, ok := FindPair(stored[:n], "long")
		require.True(t, !ok || string(got) == "value")
	}
	_, ok := FindPair([]byte{0, 0, 0, 1}, "a")
	require.False(t, ok)
}

func TestConfirms(t *testing.T) {
	type pairs = map[string]string
	stored := func(kv ...string) []byte {
		b := appendUint16(nil, len(kv)/2)
		for _, s := range kv {
			b = appendString16(b, s)
		}
		return append(appendString16(nil, b), 0, 1)
	}
	whole := pairs{"a": "1", "b": "2", "c": "3"}
	for name, test := range map[string]struct {
		stored        []byte
		pairs, second pairs
		want          bool
	}{
		"none":                   {stored("a", "1"), nil, whole, true},
		"none of none":           {nil, nil, nil, true},
		"all":                    {stored("a", "1", "b", "2", "c", "3"), whole, whole, true},
		"some":                   {stored("a", "1", "b", "2", "c", "3"), pairs{"b": "2"}, whole, true},
		"another value":          {stored("a", "1", "b", "2"), pairs{"b": "3"}, pairs{"b": "3"}, false},
		"not stored":             {stored("a", "1", "b", "2"), pairs{"c": "3"}, whole, false},
		"not in the second":      {stored("a", "1", "b", "2"), pairs{"b": "2"}, pairs{"a": "1"}, false},
		"other in the second":    {stored("a", "1", "b", "2"), pairs{"b": "2"}, pairs{"b": "1"}, false},
		"empty, not stored":      {stored("a", "1"), pairs{"b": ""}, pairs{"b": ""}, false},
		"twice for another":      {stored("a", "1", "a", "1"), pairs{"a": "1", "b": "2"}, whole, false},
		"twice, another between": {stored("a", "1", "0", "0", "a", "1"), pairs{"a": "1", "b": "2"}, whole, false},
		"cut short":              {stored("a", "1", "b", "2")[:10], pairs{"a": "1"}, whole, false},
		"more than there are":    {append([]byte{0, 2, 0, 9}, 0, 1), pairs{"a": "1"}, whole, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, Confirms(test.stored, test.pairs, test.second))
		})
	}
}

func TestStoresJust(t *testing.T) {
	type pairs = map[string]string
	for name, test := range map[string]struct {
		stored, pairs pairs
		want          bool
	}{
		"none":          {nil, nil, true},
		"none of some":  {pairs{"a": "1"}, nil, false},
		"some of none":  {nil, pairs{"a": "1"}, false},
		"equal":         {pairs{"a": "1", "b": ""}, pairs{"a": "1", "b": ""}, true},
		"another value": {pairs{"a": "1", "b": "2"}, pairs{"a": "1", "b": "3"}, false},
		"another key":   {pairs{"a": "1", "b": ""}, pairs{"a": "1", "c": ""}, false},
		"fewer":         {pairs{"a": "1"}, pairs{"a": "1", "b": "2"}, false},
		"more":          {pairs{"a": "1", "b": "2"}, pairs{"a": "1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			stored, err := AppendStored(nil, test.stored, []EncryptedDataKey{{ProviderID: "x"}})
			require.NoError(t, err)
			require.Equal(t, test.want, StoresJust(stored, test.pairs))
			require.False(t, StoresJust(stored[:1], test.pairs))
		})
	}
}
