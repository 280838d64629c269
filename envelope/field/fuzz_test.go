package field

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

type fuzzed struct {
	ID string            `seal:",row"`
	V  Sealed[[]byte]    `seal:"v"`
	N  Sealed[int]       `seal:"n"`
	T  Sealed[time.Time] `seal:"t,text,pad=16"`
}

// Whatever a column holds, Scan and Open end with an error or with the value that was
// sealed, and Value gives back a message or an error.
func FuzzScanAndOpen(f *testing.F) {
	kr, err := keyring.NewRawAES("test", "a", make([]byte, 32))
	require.NoError(f, err)
	m, err := keyring.NewManager(kr)
	require.NoError(f, err)
	table, err := NewTable[fuzzed](m, "t", nil)
	require.NoError(f, err)
	lenient, err := NewTable[fuzzed](m, "t", &Options{ReadPlaintext: true})
	require.NoError(f, err)
	p := fuzzed{ID: "p", V: New([]byte("value")), N: New(17), T: New(time.Unix(0, 0))}
	require.NoError(f, table.Seal(f.Context(), &p))
	for _, b := range [][]byte{p.V.message, p.N.message, p.T.message} {
		f.Add(b, false)
		f.Add([]byte(base64url.EncodeToString(b)), true)
		f.Add(b[:len(b)-1], false)
		f.Add(b[:20], false)
	}
	f.Add([]byte{}, true)
	f.Add([]byte("plaintext"), true)
	f.Add([]byte{2, 4, 0x78}, false)
	f.Add([]byte{1, 0x80, 0, 0x14, 0xff, 0xff}, false)
	f.Fuzz(func(t *testing.T, b []byte, text bool) {
		var src any = b
		if text {
			src = string(b)
		}
		for _, table := range []*Table[fuzzed]{table, lenient} {
			q := fuzzed{ID: "p"}
			require.NoError(t, q.V.Scan(src))
			require.NoError(t, q.N.Scan(src))
			require.NoError(t, q.T.Scan(src))
			if v, err := q.V.Value(); err == nil && v != nil {
				require.True(t, isMessage(q.V.message))
			}
			table.Stale(&q, "a")
			table.Open(t.Context(), &q)
			// Each process that fuzzes has other messages of the same values.
			if q.V.state == opened {
				require.Equal(t, "value", string(*q.V.value()))
			}
			if q.N.state == opened {
				require.Equal(t, 17, *q.N.value())
			}
			if q.T.state == opened {
				require.Equal(t, int64(0), q.T.value().UnixNano())
			}
		}
		var s Sealed[string]
		if s.UnmarshalText(b) == nil && !s.IsNull() {
			again, err := s.MarshalText()
			require.NoError(t, err)
			require.Equal(t, string(b), string(again))
		}
		s.UnmarshalJSON(b)
		s.UnmarshalBinary(b)
	})
}

type fuzzedValue struct {
	A string
	B *int
	C []fuzzedValue
}

// What decodes encodes again, to something that decodes to the same.
func FuzzDecodeValue(f *testing.F) {
	for _, s := range []string{"", "x", "true", "false", "-17", "255", "1e+21", "NaN", "-Inf", "0x1p-2", "2026-02-03T04:05:06.7Z", "2026-02-03T04:05:06+02:00",
		"0000-01-01T00:00:00Z", `{"A":"x","B":7,"C":[{}]}`, "null", `[1]`, "1_0", "+5", "9999-12-31T23:59:59-23:59"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		recode[string](t, b)
		recode[[]byte](t, b)
		recode[bool](t, b)
		recode[int8](t, b)
		recode[int64](t, b)
		recode[uint](t, b)
		recode[float32](t, b)
		recode[float64](t, b)
		recode[time.Time](t, b)
		recode[fuzzedValue](t, b)
		recode[map[string]any](t, b)
		recode[json.RawMessage](t, b)
	})
}

func recode[T any](t *testing.T, b []byte) {
	var v, again T
	in := bytes.Clone(b)
	if err := decodeValue(in, &v); err != nil {
		require.ErrorIs(t, err, ErrType)
		if len(b) > 8 {
			require.NotContains(t, err.Error(), string(b))
		}
		return
	}
	require.Equal(t, b, in, "decoding changes nothing")
	encoding, err := appendValue([]byte("before"), &v)
	if _, ok := any(v).(time.Time); ok && err != nil {
		require.ErrorIs(t, err, ErrType) // of a year that UTC moves out of the range
		return
	}
	require.NoError(t, err)
	require.NoError(t, decodeValue(encoding[6:], &again))
	second, err := appendValue(nil, &again)
	require.NoError(t, err)
	require.Equal(t, string(encoding[6:]), string(second))
}

// A tag is its name and its options, or an error.
func FuzzParseTag(f *testing.F) {
	for _, s := range []string{"", "-", "ssn", "ssn,text", "ssn,pad=64", ",row", ",row=1,context=a", "index=ssn,bytes=8", "a=b=c", ",,", "=", "\xff", "a,a,a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tag, err := parseTag(text)
		if err != nil {
			return
		}
		items := len(tag.options)
		if first, _, _ := strings.Cut(text, ","); !strings.Contains(first, "=") {
			require.Equal(t, first, tag.name)
			items++
		}
		require.Equal(t, strings.Count(text, ",")+1, items)
		require.False(t, tag.has(""))
		p := &planner{table: "t", opts: &Options{}}
		for _, typ := range []reflect.Type{reflect.TypeFor[Sealed[string]](), reflect.TypeFor[Index](), reflect.TypeFor[string](), reflect.TypeFor[fuzzed]()} {
			p.field(reflect.StructField{Name: "F", Type: typ, Tag: reflect.StructTag(`seal:"` + text + `"`)}, []int{0}, "F", "")
		}
	})
}

// A plaintext opens only with its binding before it; then what is found is a part of it.
func FuzzEncodingOf(f *testing.F) {
	bound := bind([]byte("x"))
	f.Add(appendPadding(append(appendPrefix(nil, bound, 16), "value"...), prefixLen, 16))
	f.Add(append(appendPrefix(nil, bound, 0), "value"...))
	f.Add(appendPrefix(nil, binding{}, 16))
	f.Add([]byte{})
	f.Add([]byte{2, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		encoding, err := encodingOf(b, bound)
		if err != nil {
			require.ErrorIs(t, err, ErrBinding)
			require.Nil(t, encoding)
			return
		}
		require.Equal(t, bound[:], b[1:prefixLen])
		require.True(t, bytes.HasPrefix(b[prefixLen:], encoding))
		if b[0] == versionPadded {
			padding := b[prefixLen+len(encoding):]
			require.Equal(t, byte(0x80), padding[0])
			require.Empty(t, bytes.Trim(padding[1:], "\x00"))
		}
	})
}

// Where padding needs more memory, the value does not stay in the old.
func TestPaddingLeavesNothing(t *testing.T) {
	for n := range 40 {
		b := append(make([]byte, 0, prefixLen+n), make([]byte, prefixLen)...)
		b = append(b, strings.Repeat("s", n)...)
		padded := appendPadding(b, prefixLen, 16)
		assert.Equal(t, strings.Repeat("s", n)+"\x80"+strings.Repeat("\x00", 15-n%16), string(padded[prefixLen:]))
		assert.NotContains(t, string(b), "s")
	}
}
