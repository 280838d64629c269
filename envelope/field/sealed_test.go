package field_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/field"
)

var (
	_ driver.Valuer              = field.Sealed[int]{}
	_ sql.Scanner                = (*field.Sealed[int])(nil)
	_ json.Marshaler             = field.Sealed[int]{}
	_ json.Unmarshaler           = (*field.Sealed[int])(nil)
	_ encoding.TextMarshaler     = field.Sealed[int]{}
	_ encoding.TextUnmarshaler   = (*field.Sealed[int])(nil)
	_ encoding.BinaryMarshaler   = field.Sealed[int]{}
	_ encoding.BinaryUnmarshaler = (*field.Sealed[int])(nil)
)

type oneText struct {
	ID  string               `seal:",row"`
	SSN field.Sealed[string] `seal:"ssn,text"`
}

func sealedOne(t testing.TB, value string) field.Sealed[string] {
	p := one{ID: "p-17", SSN: field.New(value)}
	require.NoError(t, newTable[one](t, uncached(t, rawKeyring(t, "a")), "patients", nil).Seal(t.Context(), &p))
	return p.SSN
}

func sealedText(t testing.TB, value string) field.Sealed[string] {
	p := oneText{ID: "p-17", SSN: field.New(value)}
	require.NoError(t, newTable[oneText](t, uncached(t, rawKeyring(t, "a")), "patients", nil).Seal(t.Context(), &p))
	return p.SSN
}

// Each state of a field, and how it is reached.
func TestStates(t *testing.T) {
	opened := sealedOne(t, "v")
	for name, c := range map[string]struct {
		s        func() field.Sealed[string]
		null     bool
		want     string
		err      error // of Plaintext
		writeErr error // of Value and the marshalers
	}{
		"zero":     {s: func() (s field.Sealed[string]) { return }, null: true, err: field.ErrNull},
		"new":      {s: func() field.Sealed[string] { return field.New("v") }, want: "v", writeErr: field.ErrUnsealed},
		"empty":    {s: func() field.Sealed[string] { return field.New("") }, writeErr: field.ErrUnsealed},
		"set":      {s: func() (s field.Sealed[string]) { s.Set("v"); return }, want: "v", writeErr: field.ErrUnsealed},
		"set null": {s: func() (s field.Sealed[string]) { s.Set("v"); s.SetNull(); return }, null: true, err: field.ErrNull},
		"sealed":   {s: func() field.Sealed[string] { return opened }, want: "v"},
		"set anew": {s: func() field.Sealed[string] { s := opened; s.Set("w"); return s }, want: "w", writeErr: field.ErrUnsealed},
		"sealed, then null": {s: func() field.Sealed[string] { s := opened; s.SetNull(); return s },
			null: true, err: field.ErrNull},
		"scanned": {s: func() field.Sealed[string] { return stored(t, opened) }, err: field.ErrNotOpened},
		"scanned null": {s: func() field.Sealed[string] { s := opened; require.NoError(t, s.Scan(nil)); return s },
			null: true, err: field.ErrNull},
		"scanned over a value": {s: func() field.Sealed[string] {
			s := field.New("w")
			require.NoError(t, s.Scan(bytesOf(t, opened)))
			return s
		}, err: field.ErrNotOpened},
		"scanned empty": {s: func() (s field.Sealed[string]) { require.NoError(t, s.Scan([]byte{})); return },
			err: field.ErrNotOpened, writeErr: field.ErrNoMessage},
		"scanned plaintext": {s: func() (s field.Sealed[string]) { require.NoError(t, s.Scan("v")); return },
			err: field.ErrNotOpened, writeErr: field.ErrNoMessage},
	} {
		s := c.s()
		assert.Equal(t, c.null, s.IsNull(), name)
		got, err := s.Plaintext()
		assert.ErrorIs(t, err, c.err, name)
		assert.Equal(t, c.want, got, name)

		value, err := s.Value()
		assert.ErrorIs(t, err, c.writeErr, name)
		assert.Equal(t, c.null || c.writeErr != nil, value == nil, name)
		for which, marshal := range map[string]func() ([]byte, error){"JSON": s.MarshalJSON, "text": s.MarshalText, "binary": s.MarshalBinary} {
			b, err := marshal()
			assert.ErrorIs(t, err, c.writeErr, name+", "+which)
			switch {
			case c.writeErr != nil:
				assert.Nil(t, b, name+", "+which)
			case c.null && which == "JSON":
				assert.Equal(t, "null", string(b), name)
			default:
				assert.Equal(t, c.null, len(b) == 0, name+", "+which)
			}
		}
	}
}

// A copy is a field of its own: what is done to one does not show in the other.
func TestCopies(t *testing.T) {
	table := newTable[one](t, uncached(t, rawKeyring(t, "a")), "patients", nil)
	first := one{ID: "p", SSN: field.New("first")}
	second := first
	second.SSN.Set("second")
	assert.Equal(t, "first", plaintext(t, first.SSN))
	require.NoError(t, table.Seal(t.Context(), &first, &second))

	third := second
	third.SSN.SetNull()
	assert.Equal(t, "second", plaintext(t, second.SSN))

	a := one{ID: "p", SSN: stored(t, first.SSN)}
	b := a
	require.NoError(t, table.Open(t.Context(), &a))
	_, err := b.SSN.Plaintext()
	assert.ErrorIs(t, err, field.ErrNotOpened)
	require.NoError(t, table.Open(t.Context(), &b))
	assert.Equal(t, "first", plaintext(t, b.SSN))

	before := bytes.Clone(bytesOf(t, a.SSN))
	a.SSN.Set("another")
	require.NoError(t, table.Seal(t.Context(), &a))
	assert.Equal(t, before, bytesOf(t, b.SSN), "sealing one leaves the other's ciphertext")
}

// What a driver gave belongs to the driver, and what was marshaled to the caller.
func TestScanAndMarshalCopy(t *testing.T) {
	s := sealedOne(t, "v")
	want := bytes.Clone(bytesOf(t, s))
	for name, take := range map[string]func(*field.Sealed[string], []byte) error{
		"Scan":            func(s *field.Sealed[string], b []byte) error { return s.Scan(b) },
		"UnmarshalBinary": (*field.Sealed[string]).UnmarshalBinary,
	} {
		b := bytes.Clone(want)
		var got field.Sealed[string]
		require.NoError(t, take(&got, b))
		clear(b)
		assert.Equal(t, want, bytesOf(t, got), name)
	}
	b, err := s.MarshalBinary()
	require.NoError(t, err)
	clear(b)
	assert.Equal(t, want, bytesOf(t, s))

	var plain field.Sealed[string]
	b = []byte("plaintext")
	require.NoError(t, plain.Scan(b))
	clear(b)
	p := one{ID: "p", SSN: plain}
	require.NoError(t, newTable[one](t, uncached(t, rawKeyring(t, "a")), "patients", &field.Options{ReadPlaintext: true}).Open(t.Context(), &p))
	assert.Equal(t, "plaintext", plaintext(t, p.SSN))
}

// A text column stays one through reading, and a column of bytes too.
func TestTextColumns(t *testing.T) {
	inText, inBytes := sealedText(t, "v"), sealedOne(t, "v")
	v, err := inText.Value()
	require.NoError(t, err)
	require.IsType(t, "", v)
	text := v.(string)
	message, err := base64.RawURLEncoding.DecodeString(text)
	require.NoError(t, err)
	assert.Equal(t, []byte{2, 4, 0x78}, message[:3])
	binary := bytesOf(t, inBytes)

	for name, c := range map[string]struct{ src, want any }{
		"text":                           {text, text},
		"text, as bytes":                 {[]byte(text), text},
		"bytes":                          {binary, binary},
		"bytes that a driver calls text": {string(binary), binary},
	} {
		for which, s := range map[string]field.Sealed[string]{"": {}, "over text": inText, "over bytes": inBytes} {
			require.NoError(t, s.Scan(c.src), name+which)
			got, err := s.Value()
			require.NoError(t, err, name+which)
			assert.Equal(t, c.want, got, name+which)
		}
	}

	s := inText
	for name, change := range map[string]func(){
		"Set":     func() { s.Set("w") },
		"SetNull": func() { s.SetNull(); s.Set("w") },
	} {
		change()
		p := oneText{ID: "p", SSN: s}
		require.NoError(t, newTable[oneText](t, uncached(t, rawKeyring(t, "a")), "patients", nil).Seal(t.Context(), &p))
		v, err := p.SSN.Value()
		require.NoError(t, err)
		assert.IsType(t, "", v, name)
	}
}

// One message has one text. Padding, line breaks and the other alphabet are none.
func TestTextIsCanonical(t *testing.T) {
	text, err := sealedOne(t, "v").MarshalText()
	require.NoError(t, err)
	for name, bad := range map[string]string{
		"newline at the end": string(text) + "\n",
		"newline within":     string(text[:8]) + "\n" + string(text[8:]),
		"return":             string(text[:8]) + "\r" + string(text[8:]),
		"padding":            string(text) + "=",
		"space":              string(text) + " ",
		"quoted":             `"` + string(text) + `"`,
	} {
		var s field.Sealed[string]
		assert.ErrorIs(t, s.UnmarshalText([]byte(bad)), field.ErrNoMessage, name)
		assert.True(t, s.IsNull(), name)
		b, _ := json.Marshal(bad)
		assert.ErrorIs(t, s.UnmarshalJSON(b), field.ErrNoMessage, name)
		require.NoError(t, s.Scan(bad))
		_, err := s.Value()
		assert.ErrorIs(t, err, field.ErrNoMessage, name)
	}
}

func TestRoundTrips(t *testing.T) {
	type document struct {
		A, B field.Sealed[string]
		P    *field.Sealed[string]
		M    map[string]field.Sealed[string]
	}
	s := sealedOne(t, "v")
	want := document{A: stored(t, s), M: map[string]field.Sealed[string]{"k": stored(t, s)}}
	b, err := json.Marshal(want)
	require.NoError(t, err)
	text, err := s.MarshalText()
	require.NoError(t, err)
	assert.JSONEq(t, `{"A":"`+string(text)+`","B":null,"P":null,"M":{"k":"`+string(text)+`"}}`, string(b))
	var got document
	require.NoError(t, json.Unmarshal(b, &got))
	assert.Equal(t, want, got)

	for name, c := range map[string]struct {
		marshal   func() ([]byte, error)
		unmarshal func(*field.Sealed[string], []byte) error
	}{
		"JSON":   {s.MarshalJSON, (*field.Sealed[string]).UnmarshalJSON},
		"text":   {s.MarshalText, (*field.Sealed[string]).UnmarshalText},
		"binary": {s.MarshalBinary, (*field.Sealed[string]).UnmarshalBinary},
	} {
		b, err := c.marshal()
		require.NoError(t, err, name)
		got := field.New("something else")
		require.NoError(t, c.unmarshal(&got, b), name)
		assert.Equal(t, bytesOf(t, s), bytesOf(t, got), name)
		_, err = got.Plaintext()
		assert.ErrorIs(t, err, field.ErrNotOpened, name)
	}
}

// NULL is nothing everywhere; an empty column, an empty JSON string and an empty value are
// something else.
func TestNullIsNotEmpty(t *testing.T) {
	var s field.Sealed[string]
	for name, take := range map[string]func(s *field.Sealed[string]) error{
		"Scan nil":        func(s *field.Sealed[string]) error { return s.Scan(nil) },
		"JSON null":       func(s *field.Sealed[string]) error { return s.UnmarshalJSON([]byte("null")) },
		"empty text":      func(s *field.Sealed[string]) error { return s.UnmarshalText(nil) },
		"no bytes":        func(s *field.Sealed[string]) error { return s.UnmarshalBinary(nil) },
		"no bytes at all": func(s *field.Sealed[string]) error { return s.UnmarshalBinary([]byte{}) },
	} {
		s.Set("v")
		require.NoError(t, take(&s), name)
		assert.True(t, s.IsNull(), name)
	}
	assert.ErrorIs(t, s.UnmarshalJSON([]byte(`""`)), field.ErrNoMessage)

	table := newTable[one](t, uncached(t, rawKeyring(t, "a")), "patients", nil)
	empty := one{ID: "p", SSN: field.New("")}
	require.NoError(t, table.Seal(t.Context(), &empty))
	got := one{ID: "p", SSN: stored(t, empty.SSN)}
	require.NoError(t, table.Open(t.Context(), &got))
	assert.False(t, got.SSN.IsNull())
	assert.Equal(t, "", plaintext(t, got.SSN))

	for name, src := range map[string]any{"bytes": []byte{}, "text": ""} {
		got := one{ID: "p"}
		require.NoError(t, got.SSN.Scan(src))
		assert.False(t, got.SSN.IsNull(), name)
		err := table.Open(t.Context(), &got)
		assert.ErrorIs(t, err, field.ErrNoMessage, name)
		assert.ErrorContains(t, err, "it is empty", name)
	}
	type blob struct {
		ID string               `seal:",row"`
		B  field.Sealed[[]byte] `seal:"b"`
	}
	nilSlice := blob{ID: "p", B: field.New[[]byte](nil)}
	blobs := newTable[blob](t, uncached(t, rawKeyring(t, "a")), "blobs", nil)
	require.NoError(t, blobs.Seal(t.Context(), &nilSlice))
	assert.False(t, nilSlice.B.IsNull())
}

func TestWrongTypes(t *testing.T) {
	want := sealedOne(t, "v")
	for _, src := range []any{1, int64(1), 1.5, true, time.Now(), []string{"a"}, sql.RawBytes("x"), struct{}{}, new(string)} {
		s := want
		err := s.Scan(src)
		assert.ErrorIs(t, err, field.ErrNoMessage)
		assert.Equal(t, bytesOf(t, want), bytesOf(t, s), "an error leaves the field as it was")
	}
	for _, in := range []string{`1`, `true`, `{}`, `[]`, `"?"`, `"AAAA"`, `nul`, ``, `"`, `["AgR4"]`} {
		s := want
		assert.ErrorIs(t, s.UnmarshalJSON([]byte(in)), field.ErrNoMessage, in)
		assert.Equal(t, bytesOf(t, want), bytesOf(t, s), in)
	}
	s := want
	assert.ErrorIs(t, s.UnmarshalBinary([]byte("plaintext")), field.ErrNoMessage)
	assert.ErrorIs(t, s.UnmarshalText([]byte("AAAA")), field.ErrNoMessage)
	assert.Equal(t, bytesOf(t, want), bytesOf(t, s))
}

func TestHuge(t *testing.T) {
	value := strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB, many frames
	s := sealedOne(t, value)
	assert.Greater(t, len(bytesOf(t, s)), len(value))
	m := uncached(t, rawKeyring(t, "a"))
	table := newTable[oneText](t, m, "patients", nil)
	p := oneText{ID: "p", SSN: field.New(value)}
	require.NoError(t, table.Seal(t.Context(), &p))
	got := oneText{ID: "p", SSN: stored(t, p.SSN)}
	require.NoError(t, table.Open(t.Context(), &got))
	assert.True(t, value == plaintext(t, got.SSN))

	// Plaintext of that size is kept for Open to judge, and is not repeated in an error.
	got = oneText{ID: "p"}
	require.NoError(t, got.SSN.Scan(value))
	err := table.Open(t.Context(), &got)
	assert.ErrorIs(t, err, field.ErrNoMessage)
	assert.Less(t, len(err.Error()), 300)
}

// Every type of value, through a seal and an open, and with the encoding that the package
// comment names.
func TestTypes(t *testing.T) {
	type named string
	type group struct {
		Name  string
		Count *int
	}
	n := 7
	testType(t, "string", "ä\xff\x00", "ä\xff\x00")
	testType(t, "named string", named("x"), "x")
	testType(t, "bytes", []byte{0, 1, 0xff}, "\x00\x01\xff")
	testType(t, "raw JSON", json.RawMessage(`{"a":1}`), `{"a":1}`)
	testType(t, "true", true, "true")
	testType(t, "false", false, "false")
	testType(t, "int", -17, "-17")
	testType(t, "int8", int8(math.MinInt8), "-128")
	testType(t, "int64", int64(math.MinInt64), "-9223372036854775808")
	testType(t, "uint64", uint64(math.MaxUint64), "18446744073709551615")
	testType(t, "byte", byte(255), "255")
	testType(t, "duration", time.Second, "1000000000")
	testType(t, "float64", 0.1, "0.1")
	testType(t, "float64, large", 1e21, "1e+21")
	testType(t, "float32", float32(0.1), "0.1")
	testType(t, "infinite", math.Inf(-1), "-Inf")
	testType(t, "time", time.Date(2026, 2, 3, 4, 5, 6, 700, time.UTC), "2026-02-03T04:05:06.0000007Z")
	testType(t, "struct", group{"x", &n}, `{"Name":"x","Count":7}`)
	testType(t, "slice", []string{"a", "b"}, `["a","b"]`)
	testType(t, "map", map[int]string{1: "a"}, `{"1":"a"}`)
	testType(t, "array", [2]int{1, 2}, `[1,2]`)
	testType(t, "any", any("x"), `"x"`)

	type at struct {
		ID string                  `seal:",row"`
		At field.Sealed[time.Time] `seal:"at"`
	}
	table := newTable[at](t, uncached(t, rawKeyring(t, "a")), "t", nil)
	local := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 7200))
	p := at{ID: "p", At: field.New(local)}
	require.NoError(t, table.Seal(t.Context(), &p))
	got := at{ID: "p", At: stored(t, p.At)}
	require.NoError(t, table.Open(t.Context(), &got))
	assert.True(t, local.Equal(plaintext(t, got.At)))
	assert.Equal(t, time.UTC, plaintext(t, got.At).Location())
	for _, year := range []int{-1, 10000} {
		p.At.Set(time.Date(year, 1, 2, 0, 0, 0, 0, time.UTC))
		assert.ErrorIs(t, table.Seal(t.Context(), &p), field.ErrType)
	}
}

func testType[T any](t *testing.T, name string, value T, encoding string) {
	t.Run(name, func(t *testing.T) {
		type record struct {
			ID string          `seal:",row"`
			V  field.Sealed[T] `seal:"v"`
		}
		m := uncached(t, rawKeyring(t, "a"))
		table := newTable[record](t, m, "t", nil)
		p := record{ID: "p", V: field.New(value)}
		require.NoError(t, table.Seal(t.Context(), &p))
		got := record{ID: "p", V: stored(t, p.V)}
		require.NoError(t, table.Open(t.Context(), &got))
		assert.Equal(t, value, plaintext(t, got.V))
		assert.Equal(t, encoding, string(decrypted(t, m, "t", bytesOf(t, p.V))[17:]))
	})
}

// A fakeDriver is a database of one table with one column, in memory: INSERT adds the
// argument, and SELECT returns all rows. It checks what a driver may be given.
type fakeDriver struct{ rows []driver.Value }

func (d *fakeDriver) Connect(context.Context) (driver.Conn, error) { return d, nil }
func (d *fakeDriver) Driver() driver.Driver                        { return nil }
func (d *fakeDriver) Prepare(query string) (driver.Stmt, error)    { return fakeStmt{d, query}, nil }
func (d *fakeDriver) Begin() (driver.Tx, error)                    { return nil, errors.New("no transactions") }
func (d *fakeDriver) Close() error                                 { return nil }

type fakeStmt struct {
	*fakeDriver
	query string
}

func (s fakeStmt) NumInput() int { return strings.Count(s.query, "?") }

func (s fakeStmt) Exec(args []driver.Value) (driver.Result, error) {
	for _, v := range args {
		if !driver.IsValue(v) {
			return nil, errors.New("not a driver.Value")
		}
		if b, ok := v.([]byte); ok {
			v = bytes.Clone(b)
		}
		s.rows = append(s.rows, v)
	}
	s.fakeDriver.rows = s.rows
	return driver.RowsAffected(1), nil
}

func (s fakeStmt) Query([]driver.Value) (driver.Rows, error) {
	return &fakeRows{rows: s.rows}, nil
}

type fakeRows struct {
	rows []driver.Value
	buf  []byte // used for each row anew, as drivers do
}

func (r *fakeRows) Columns() []string { return []string{"v"} }
func (r *fakeRows) Close() error      { return nil }
func (r *fakeRows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	dest[0] = r.rows[0]
	if b, ok := dest[0].([]byte); ok {
		clear(r.buf)
		r.buf = append(r.buf[:0], b...)
		dest[0] = r.buf
	}
	r.rows = r.rows[1:]
	return nil
}

func TestDatabaseSQL(t *testing.T) {
	d := &fakeDriver{}
	db := sql.OpenDB(d)
	defer db.Close()
	table := newTable[one](t, cached(t, rawKeyring(t, "a")), "patients", nil)
	texts := newTable[oneText](t, cached(t, rawKeyring(t, "a")), "patients", nil)
	insert := func(v any) error { _, err := db.Exec("INSERT ?", v); return err }

	p, q, null := one{ID: "p", SSN: field.New("in bytes")}, oneText{ID: "q", SSN: field.New("in text")}, one{}
	assert.ErrorIs(t, insert(p.SSN), field.ErrUnsealed)
	assert.ErrorIs(t, insert(&p.SSN), field.ErrUnsealed)
	require.Empty(t, d.rows)
	require.NoError(t, table.Seal(t.Context(), &p))
	require.NoError(t, texts.Seal(t.Context(), &q))
	require.NoError(t, insert(p.SSN))
	require.NoError(t, insert(q.SSN))
	require.NoError(t, insert(null.SSN))
	require.NoError(t, insert(&p.SSN))
	require.NoError(t, insert((*field.Sealed[string])(nil)))
	assert.IsType(t, []byte{}, d.rows[0])
	assert.IsType(t, "", d.rows[1])
	assert.Nil(t, d.rows[2])
	assert.Equal(t, d.rows[0], d.rows[3])
	assert.Nil(t, d.rows[4])

	rows, err := db.Query("SELECT")
	require.NoError(t, err)
	var got []field.Sealed[string]
	for rows.Next() {
		var s field.Sealed[string]
		require.NoError(t, rows.Scan(&s))
		got = append(got, s)
	}
	require.NoError(t, rows.Err())
	require.Len(t, got, 5)
	first, second := one{ID: "p", SSN: got[0]}, oneText{ID: "q", SSN: got[1]}
	require.NoError(t, table.Open(t.Context(), &first))
	require.NoError(t, texts.Open(t.Context(), &second))
	assert.Equal(t, "in bytes", plaintext(t, first.SSN))
	assert.Equal(t, "in text", plaintext(t, second.SSN))
	assert.True(t, got[2].IsNull())

	// Of other types, the scan says so, and no value gets into the error.
	d.rows = []driver.Value{int64(4711)}
	err = db.QueryRow("SELECT").Scan(new(field.Sealed[string]))
	assert.ErrorIs(t, err, field.ErrNoMessage)
	assert.NotContains(t, err.Error(), "4711")

	// database/sql writes NULL for an index that is nil, and scans it.
	d.rows = d.rows[:0]
	require.NoError(t, insert(field.Index(nil)))
	assert.Nil(t, d.rows[0])
	index := field.Index{1}
	require.NoError(t, db.QueryRow("SELECT").Scan(&index))
	assert.Nil(t, index)

	// sql.Null of a field is scanned and written like the field.
	d.rows = d.rows[:0]
	require.NoError(t, insert(sql.Null[field.Sealed[string]]{V: p.SSN, Valid: true}))
	assert.Equal(t, bytesOf(t, p.SSN), d.rows[0])
}
