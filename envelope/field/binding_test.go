package field_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// decrypted returns the plaintext of a message, which any SDK can decrypt.
func decrypted(t testing.TB, m keyring.MaterialsManager, table string, message []byte) []byte {
	client, err := envelope.NewFromManager(m, nil)
	require.NoError(t, err)
	b, err := client.Decrypt(t.Context(), message, keyring.EncryptionContext{"table": table})
	require.NoError(t, err)
	return b
}

// bindingOf computes a binding from the package comment alone.
func bindingOf(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		binary.Write(h, binary.BigEndian, uint32(len(p)))
		h.Write([]byte(p))
	}
	return h.Sum(nil)[:16]
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// The example of the package comment, byte by byte.
func TestWorkedExample(t *testing.T) {
	hashed := unhex(t, "00000008 70617469656e7473 00000003 73736e 00000004 702d3137")
	sum := sha256.Sum256(hashed)
	want := unhex(t, "01 f7d02f873a27870c7bf7f21ca474d66f 3037382d30352d31313230")
	assert.Equal(t, want[1:17], sum[:16])
	assert.Equal(t, want[1:17], bindingOf("patients", "ssn", "p-17"))

	m := uncached(t, rawKeyring(t, "a"))
	p := one{ID: "p-17", SSN: field.New("078-05-1120")}
	require.NoError(t, newTable[one](t, m, "patients", nil).Seal(t.Context(), &p))
	assert.Equal(t, want, decrypted(t, m, "patients", bytesOf(t, p.SSN)))

	h, err := envelope.ParseHeader(bytes.NewReader(bytesOf(t, p.SSN)), nil)
	require.NoError(t, err)
	assert.Equal(t, keyring.EncryptionContext{"table": "patients"}, h.Context)
	assert.False(t, h.Suite.Signs())
}

type padded struct {
	ID string               `seal:",row"`
	V  field.Sealed[string] `seal:"v,pad=16"`
}

func TestPadding(t *testing.T) {
	m := cached(t, rawKeyring(t, "a"))
	table := newTable[padded](t, m, "t", nil)
	for n := range 50 {
		for _, last := range []string{"x", "\x80", "\x00"} { // values that end like padding too
			value := strings.Repeat(last, n)
			p := padded{ID: "p", V: field.New(value)}
			require.NoError(t, table.Seal(t.Context(), &p))
			b := decrypted(t, m, "t", bytesOf(t, p.V))
			assert.Equal(t, 17+(n/16+1)*16, len(b), n)
			assert.Equal(t, append([]byte{2}, bindingOf("t", "v", "p")...), b[:17])
			assert.Equal(t, value+"\x80"+strings.Repeat("\x00", 15-n%16), string(b[17:]))
			got := padded{ID: "p", V: stored(t, p.V)}
			require.NoError(t, table.Open(t.Context(), &got))
			assert.Equal(t, value, plaintext(t, got.V))
		}
	}
}

// forged returns a message that was made by a holder of the keys, who is not this package.
func forged(t testing.TB, m keyring.MaterialsManager, plaintext []byte, ec keyring.EncryptionContext) []byte {
	client, err := envelope.NewFromManager(m, nil)
	require.NoError(t, err)
	b, err := client.Encrypt(t.Context(), plaintext, ec)
	require.NoError(t, err)
	return b
}

// What holds no value of this place fails, whoever made it; no error repeats it.
func TestMalformedPlaintext(t *testing.T) {
	m := cached(t, rawKeyring(t, "a"))
	table := newTable[padded](t, m, "t", nil)
	bound := string(bindingOf("t", "v", "p"))
	for name, c := range map[string]struct{ plaintext, want string }{
		"made without a binding": {"secret-078-05-1120", ""},
		"empty":                  {"", ""},
		"short":                  {"\x01" + bound[:15], ""},
		"version 0":              {"\x00" + bound + "secret", ""},
		"version 3":              {"\x03" + bound + "secret", ""},
		"another binding":        {"\x01" + strings.Repeat("\x00", 16) + "secret", ""},
		"last byte differs":      {"\x01" + bound[:15] + string(bound[15]^1) + "secret", ""},
		"no padding":             {"\x02" + bound, ""},
		"only zeros":             {"\x02" + bound + "\x00\x00", ""},
		"no 80":                  {"\x02" + bound + "secret\x00\x00", ""},
		"another end":            {"\x02" + bound + "secret\x80\x01", ""},
		// Readers do not insist on a bucket, so that pad= can change.
		"without padding":   {"\x01" + bound + "secret", "secret"},
		"another bucket":    {"\x02" + bound + "secret\x80", "secret"},
		"a very long one":   {"\x02" + bound + "secret\x80" + strings.Repeat("\x00", 10000), "secret"},
		"padded empty":      {"\x02" + bound + "\x80", ""},
		"not padded, empty": {"\x01" + bound, ""},
	} {
		p := padded{ID: "p"}
		require.NoError(t, p.V.Scan(forged(t, m, []byte(c.plaintext), keyring.EncryptionContext{"table": "t"})))
		err := table.Open(t.Context(), &p)
		if c.want != "" || strings.Contains(name, "padded, empty") || name == "padded empty" {
			require.NoError(t, err, name)
			assert.Equal(t, c.want, plaintext(t, p.V), name)
			continue
		}
		assert.ErrorIs(t, err, field.ErrBinding, name)
		assert.NotContains(t, err.Error(), "secret", name)
		_, err = p.V.Plaintext()
		assert.ErrorIs(t, err, field.ErrNotOpened, name)
	}
}

// A value opens where it was sealed, and nowhere else.
func TestSwaps(t *testing.T) {
	type record struct {
		ID     string               `seal:",row"`
		Tenant string               `seal:",context=tenant"`
		SSN    field.Sealed[string] `seal:"ssn"`
		Notes  field.Sealed[string] `seal:"notes"`
	}
	kr := rawKeyring(t, "a")
	m := cached(t, kr)
	table := newTable[record](t, m, "patients", nil)
	p := record{ID: "p-17", Tenant: "42", SSN: field.New("ssn"), Notes: field.New("notes")}
	require.NoError(t, table.Seal(t.Context(), &p))
	ssn, notes := stored(t, p.SSN), stored(t, p.Notes)

	for name, c := range map[string]struct {
		table  *field.Table[record]
		record record
		err    error
	}{
		"as it was":       {table, record{ID: "p-17", Tenant: "42", SSN: ssn, Notes: notes}, nil},
		"another row":     {table, record{ID: "p-18", Tenant: "42", SSN: ssn}, field.ErrBinding},
		"another column":  {table, record{ID: "p-17", Tenant: "42", SSN: notes}, field.ErrBinding},
		"another tenant":  {table, record{ID: "p-17", Tenant: "43", SSN: ssn}, envelope.ErrContextMismatch},
		"another table":   {newTable[record](t, m, "doctors", nil), record{ID: "p-17", Tenant: "42", SSN: ssn}, envelope.ErrContextMismatch},
		"another keyring": {newTable[record](t, cached(t, rawKeyring(t, "b")), "patients", nil), record{ID: "p-17", Tenant: "42", SSN: ssn}, envelope.ErrNoMatchingKey},
		"no tenant":       {table, record{ID: "p-17", SSN: ssn}, field.ErrInvalidArgument},
		"no row":          {table, record{Tenant: "42", SSN: ssn}, field.ErrInvalidArgument},
	} {
		r := c.record
		err := c.table.Open(t.Context(), &r)
		assert.ErrorIs(t, err, c.err, name)
		if c.err == nil {
			assert.Equal(t, "ssn", plaintext(t, r.SSN), name)
			continue
		}
		_, err = r.SSN.Plaintext()
		assert.ErrorIs(t, err, field.ErrNotOpened, name)

		// The same among others, by the path for many.
		good, r := record{ID: "p-17", Tenant: "42", Notes: notes}, c.record
		err = c.table.Open(t.Context(), &good, &r)
		assert.ErrorIs(t, err, c.err, name)
		_, err = r.SSN.Plaintext()
		assert.ErrorIs(t, err, field.ErrNotOpened, name)
	}

	// Sealed without a row, a value does not open with one, nor the other way round.
	type rowless struct {
		ID     string
		Tenant string               `seal:",context=tenant"`
		SSN    field.Sealed[string] `seal:"ssn"`
	}
	without := newTable[rowless](t, m, "patients", &field.Options{WithoutRow: true})
	q := rowless{Tenant: "42", SSN: field.New("ssn")}
	require.NoError(t, without.Seal(t.Context(), &q))
	r := record{ID: "p-17", Tenant: "42", SSN: stored(t, q.SSN)}
	assert.ErrorIs(t, table.Open(t.Context(), &r), field.ErrBinding)
	q = rowless{Tenant: "42", SSN: ssn}
	assert.ErrorIs(t, without.Open(t.Context(), &q), field.ErrBinding)
}

// No two places have the same binding, however the parts are cut.
func TestBindingsDiffer(t *testing.T) {
	type two struct {
		A string               `seal:",row=1"`
		B string               `seal:",row=2"`
		V field.Sealed[string] `seal:"v"`
	}
	m := cached(t, rawKeyring(t, "a"))
	seen := map[string]string{}
	note := func(name string, b []byte) {
		at := string(b[1:17])
		assert.Empty(t, seen[at], name)
		seen[at] = name
	}
	for _, row := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"\x00", "\x00\x00"}, {"\x00\x00", "\x00"}, {"bc", "a"}, {"a\x00\x00\x00\x02bc", "x"}} {
		table := newTable[two](t, m, "t", nil)
		p := two{A: row[0], B: row[1], V: field.New("")}
		require.NoError(t, table.Seal(t.Context(), &p))
		b := decrypted(t, m, "t", bytesOf(t, p.V))
		note(fmt.Sprintf("%q", row), b)
		assert.Equal(t, bindingOf("t", "v", row[0], row[1]), b[1:17])
	}
	for _, row := range []string{"abc", "a\x00\x00\x00\x02bc", "v"} {
		type single struct {
			A string               `seal:",row"`
			V field.Sealed[string] `seal:"v"`
		}
		p := single{A: row, V: field.New("")}
		require.NoError(t, newTable[single](t, m, "t", nil).Seal(t.Context(), &p))
		note(row, decrypted(t, m, "t", bytesOf(t, p.V)))
	}
}

// A stored message is authentic as a whole: no part of it and none with a bit changed opens,
// neither in a column of bytes nor in one of text.
func TestAlteredMessages(t *testing.T) {
	m := cached(t, rawKeyring(t, "a"))
	table := newTable[one](t, m, "t", nil)
	p := one{ID: "p", SSN: field.New("078-05-1120")}
	require.NoError(t, table.Seal(t.Context(), &p))
	message := bytesOf(t, p.SSN)
	text, err := p.SSN.MarshalText()
	require.NoError(t, err)
	fails := func(src any, what string) {
		got := one{ID: "p"}
		require.NoError(t, got.SSN.Scan(src))
		err := table.Open(t.Context(), &got)
		if assert.Error(t, err, what) {
			assert.NotContains(t, err.Error(), "078-05")
		}
		_, err = got.SSN.Plaintext()
		assert.ErrorIs(t, err, field.ErrNotOpened, what)
	}
	for n := range message {
		fails(message[:n], fmt.Sprint("prefix of ", n))
		for _, bit := range []byte{1, 0x10, 0x80} {
			b := bytes.Clone(message)
			b[n] ^= bit
			fails(b, fmt.Sprintf("byte %d ^ %02x", n, bit))
		}
	}
	for n := range text {
		fails(text[:n], fmt.Sprint("text, prefix of ", n))
		b := bytes.Clone(text)
		b[n] ^= 1
		fails(b, fmt.Sprint("text, byte ", n))
		b[n] = '\n'
		fails(b, fmt.Sprint("text, newline at ", n))
	}
	fails(append(bytes.Clone(message), 0), "a byte more")
	fails(append(bytes.Clone(message), message...), "twice")
}

// The type of a field may change if what is stored fits the new one; otherwise that is said,
// and the rest of the record opens.
func TestChangedType(t *testing.T) {
	type before struct {
		ID    string               `seal:",row"`
		V     field.Sealed[string] `seal:"v"`
		Other field.Sealed[string] `seal:"other"`
	}
	type after struct {
		ID    string               `seal:",row"`
		V     field.Sealed[int8]   `seal:"v"`
		Other field.Sealed[string] `seal:"other"`
	}
	m := cached(t, rawKeyring(t, "a"))
	for value, want := range map[string]int8{"12": 12, "-128": -128, "128": 0, "secret": 0, "": 0, "1.5": 0} {
		p := before{ID: "p", V: field.New(value), Other: field.New("other")}
		require.NoError(t, newTable[before](t, m, "t", nil).Seal(t.Context(), &p))
		got := after{ID: "p", V: stored(t, field.Sealed[int8]{}), Other: stored(t, p.Other)}
		require.NoError(t, got.V.Scan(bytesOf(t, p.V)))
		err := newTable[after](t, m, "t", nil).Open(t.Context(), &got)
		assert.Equal(t, "other", plaintext(t, got.Other))
		if want != 0 {
			require.NoError(t, err)
			assert.Equal(t, want, plaintext(t, got.V))
			continue
		}
		assert.ErrorIs(t, err, field.ErrType, value)
		assert.ErrorContains(t, err, "int8")
		assert.NotContains(t, err.Error(), "secret")
		_, err = got.V.Plaintext()
		assert.ErrorIs(t, err, field.ErrNotOpened)
	}
}
