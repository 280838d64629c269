package field_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
)

const secret = "Zyzzyva-078-05-1120"

// looksOf returns how a value could look in a text.
func looksOf(value string) []string {
	b := []byte(value)
	list := strings.Trim(fmt.Sprint(b[:6]), "[]")
	goList := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b[:6]), "[]byte{"), "}")
	looks := []string{value[:6], hex.EncodeToString(b[:6]), strings.ToUpper(hex.EncodeToString(b[:6])),
		fmt.Sprintf("% x", b[:6]), fmt.Sprintf("% X", b[:6]), list, goList, strings.ReplaceAll(list, " ", ","),
		fmt.Sprintf("%b", b[:6]), fmt.Sprintf("%q", value[:6])[1:7]}
	for from := range 3 { // wherever in the encoded text it begins
		cut := value[from : from+6]
		looks = append(looks, base64.StdEncoding.EncodeToString([]byte(cut)), base64.URLEncoding.EncodeToString([]byte(cut)))
	}
	return looks
}

func assertHidden(t testing.TB, text, where string) {
	t.Helper()
	for _, look := range looksOf(secret) {
		assert.NotContains(t, text, look, where)
	}
}

// The search finds what it is for: of a string and of bytes, in every form.
func TestLooksAreFound(t *testing.T) {
	for _, format := range []string{"%v", "%s", "%q", "%x", "%X", "% x", "%#v", "%d"} {
		for _, v := range []any{secret, []byte(secret), struct{ V []byte }{[]byte(secret)}} {
			text := fmt.Sprintf(format, v)
			found := false
			for _, look := range looksOf(secret) {
				found = found || strings.Contains(text, look)
			}
			assert.True(t, found || strings.HasPrefix(text, "%!"), "%s of %T: %s", format, v, text)
		}
	}
	b, _ := json.Marshal(map[string][]byte{"v": []byte("." + secret)})
	found := false
	for _, look := range looksOf(secret) {
		found = found || bytes.Contains(b, []byte(look))
	}
	assert.True(t, found, "base64 at any offset")
}

type card struct{ Number string }

type holder struct {
	S      field.Sealed[string]
	B      field.Sealed[[]byte]
	C      field.Sealed[card]
	P      *field.Sealed[string]
	hidden field.Sealed[string]
	within struct{ bytes *field.Sealed[[]byte] }
	any    any
	list   []field.Sealed[string]
	array  [2]field.Sealed[[]byte]
	byName map[string]field.Sealed[card]
}

// holders returns everything that can hold a field, in each state that has a value.
func holders(t testing.TB) map[string]any {
	type record struct {
		ID string               `seal:",row"`
		S  field.Sealed[string] `seal:"s"`
		B  field.Sealed[[]byte] `seal:"b"`
		C  field.Sealed[card]   `seal:"c"`
	}
	table := newTable[record](t, uncached(t, rawKeyring(t, "a")), "t", nil)
	unsealed := record{ID: "p", S: field.New(secret), B: field.New([]byte(secret)), C: field.New(card{secret})}
	sealed := unsealed
	require.NoError(t, table.Seal(t.Context(), &sealed))
	opened := record{ID: "p", S: stored(t, sealed.S), B: stored(t, sealed.B), C: stored(t, sealed.C)}
	require.NoError(t, table.Open(t.Context(), &opened))
	all := map[string]any{}
	for state, r := range map[string]record{"unsealed": unsealed, "sealed": sealed, "opened": opened} {
		h := holder{S: r.S, B: r.B, C: r.C, P: &r.S, hidden: r.S, any: r.S, list: []field.Sealed[string]{r.S},
			array: [2]field.Sealed[[]byte]{r.B, r.B}, byName: map[string]field.Sealed[card]{"a": r.C}}
		h.within.bytes = &r.B
		p := &h
		for name, v := range map[string]any{
			"string": r.S, "bytes": r.B, "struct": r.C, "pointer": &r.S, "holder": h, "pointer to holder": p,
			"pointer to pointer": &p, "slice": []any{r.S, &r.B, h}, "map": map[string]any{"a": r.S, "b": p},
			"array": [1]holder{h}, "in an interface": struct{ v any }{p}, "record": r, "records": []*record{&r},
			"an error's argument": fmt.Errorf("bad patient: %v %+v %#v", r, &h, h), "chan": make(chan field.Sealed[string]),
			"func": func() field.Sealed[string] { return r.S },
		} {
			all[state+" "+name] = v
		}
	}
	return all
}

func TestFmtShowsNoPlaintext(t *testing.T) {
	for name, v := range holders(t) {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspw!zZ" {
			for _, flags := range []string{"", "+", "#", " ", "0", "-", "+#", "# ", "#0", "100", ".3", "+100.50"} {
				format := "%" + flags + string(verb)
				assertHidden(t, fmt.Sprintf(format, v), name+" "+format)
			}
		}
		assertHidden(t, fmt.Sprint(v, v), name)
		assertHidden(t, fmt.Sprintln(v), name)
		for _, tooShort := range []string{"%d", "no verb"} {
			assertHidden(t, fmt.Sprintf(tooShort, v, v), name) // what is left over is printed too
		}
	}
	// Only the shape shows.
	s := field.New(secret)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		assert.Equal(t, "[sealed]", fmt.Sprintf(format, s), format)
		assert.Equal(t, "[sealed]", fmt.Sprintf(format, &s), format)
		assert.Equal(t, "[sealed]", fmt.Sprintf(format, field.Sealed[int]{}), format)
	}
	assert.Equal(t, "[sealed]", s.String())
	assert.Equal(t, "[sealed]", s.LogValue().String())
}

func TestSlogShowsNoPlaintext(t *testing.T) {
	for name, v := range holders(t) {
		var b bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			l := slog.New(h)
			l.Info("patient", "v", v)
			l.With("v", v).WithGroup("g").Info("patient", slog.Group("h", "v", v), slog.Any("w", []any{v}))
		}
		assertHidden(t, b.String(), name)
		assert.NotEmpty(t, b.String())
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "ssn", field.New(secret))
	assert.Contains(t, b.String(), "ssn=[sealed]")
}

// A testingT takes what testify would print.
type testingT struct{ strings.Builder }

func (t *testingT) Errorf(format string, args ...any) { fmt.Fprintf(t, format, args...) }
func (t *testingT) FailNow()                          {}

// Testify prints with go-spew, methods disabled: by reflection, unexported fields too.
func TestTestifyShowsNoPlaintext(t *testing.T) {
	for name, v := range holders(t) {
		var out testingT
		assert.Equal(&out, nil, v)
		assert.Equal(&out, v, struct{ X any }{v})
		assert.Nil(&out, v)
		assert.Contains(&out, []any{v}, 1)
		assert.ElementsMatch(&out, []any{v}, []any{1})
		assert.Empty(&out, v)
		assert.NoError(&out, fmt.Errorf("%+v", v))
		assert.NotEmpty(t, out.String(), name)
		assertHidden(t, out.String(), name)
	}
}

// A panic prints its value; that of a struct by address, that of an error or a Stringer by
// its methods.
func TestPanicShowsNoPlaintext(t *testing.T) {
	if os.Getenv("FIELD_TEST_PANIC") != "" {
		s := field.New(os.Getenv("FIELD_TEST_PANIC"))
		switch os.Getenv("FIELD_TEST_HOW") {
		case "value":
			panic(s)
		case "pointer":
			panic(&s)
		case "struct":
			panic(holder{S: s, hidden: s})
		case "error":
			panic(fmt.Errorf("%+v", holder{S: s, hidden: s}))
		}
	}
	for _, how := range []string{"value", "pointer", "struct", "error"} {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPanicShowsNoPlaintext$")
		c.Env = append(os.Environ(), "FIELD_TEST_PANIC="+secret, "FIELD_TEST_HOW="+how)
		out, err := c.CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(out), "panic: ", how)
		assertHidden(t, string(out), how)
	}
}

// Encoders that are not ours get ciphertext, or an error.
func TestEncodersShowNoPlaintext(t *testing.T) {
	type document struct {
		ID string
		S  field.Sealed[string]
		B  field.Sealed[[]byte] `xml:",omitempty"`
	}
	type attribute struct {
		S field.Sealed[string] `xml:"s,attr"`
	}
	encoders := map[string]func(v any) ([]byte, error){
		"json": json.Marshal,
		"xml":  xml.Marshal,
		"gob": func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.Bytes(), err
		},
	}
	sealed := sealedOne(t, secret)
	for name, encode := range encoders {
		for _, v := range []any{document{S: field.New(secret)}, document{B: field.New([]byte(secret))}, attribute{field.New(secret)}, &document{S: field.New(secret)}} {
			b, err := encode(v)
			require.Error(t, err, name)
			assert.ErrorContains(t, err, "not sealed", name)
			assertHidden(t, string(b)+err.Error(), name)
		}
		b, err := encode(document{ID: "p", S: sealed})
		require.NoError(t, err, name)
		assertHidden(t, string(b), name)
	}

	want := document{ID: "p", S: sealed}
	b, err := encoders["gob"](want)
	require.NoError(t, err)
	var got document
	require.NoError(t, gob.NewDecoder(bytes.NewReader(b)).Decode(&got))
	assert.Equal(t, bytesOf(t, want.S), bytesOf(t, got.S))
	assert.True(t, got.B.IsNull())
	b, err = encoders["xml"](want)
	require.NoError(t, err)
	got = document{}
	require.NoError(t, xml.Unmarshal(b, &got))
	assert.Equal(t, bytesOf(t, want.S), bytesOf(t, got.S))
	assert.True(t, got.B.IsNull())
}

// A type whose marshalers fail with the value in the error.
type talkative struct{ V string }

func (v talkative) MarshalJSON() ([]byte, error) {
	return nil, errors.New("cannot encode " + v.V)
}
func (v *talkative) UnmarshalJSON(b []byte) error { return fmt.Errorf("cannot decode %s", b) }

type quoting struct{ V string }

func (v quoting) MarshalJSON() ([]byte, error)  { return json.Marshal(v.V) }
func (v *quoting) UnmarshalJSON(b []byte) error { return fmt.Errorf("cannot decode %s", b) }

// No failing path has the value in its error.
func TestErrorsShowNoPlaintext(t *testing.T) {
	type record struct {
		ID string                  `seal:",row"`
		S  field.Sealed[string]    `seal:"v"`
		T  field.Sealed[talkative] `seal:"t"`
	}
	m := uncached(t, rawKeyring(t, "a"))
	table := newTable[record](t, m, "t", nil)
	hidden := func(name string, err error) {
		t.Helper()
		require.Error(t, err, name)
		assertHidden(t, fmt.Sprintf("%v %+v %#v %q", err, err, err, err), name)
		for e := err; e != nil; e = errors.Unwrap(e) {
			assertHidden(t, fmt.Sprintf("%v %+v %#v", e, e, e), name)
		}
		var out testingT
		assert.NoError(&out, err)
		assert.Equal(&out, nil, err)
		assertHidden(t, out.String(), name)
	}

	p := record{ID: "p", T: field.New(talkative{secret})}
	hidden("encoding", table.Seal(t.Context(), &p))
	p = record{S: field.New(secret)}
	hidden("no row", table.Seal(t.Context(), &p))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.ID = "p"
	hidden("cancelled", table.Seal(ctx, &p))
	failing := &manager{MaterialsManager: m, before: func(context.Context, string) error { return envelope.ErrUnavailable }}
	hidden("key service", newTable[record](t, failing, "t", nil).Seal(t.Context(), &p))

	for name, src := range map[string]any{"plaintext": secret, "as bytes": []byte(secret), "hex": hex.EncodeToString([]byte(secret)),
		"base64": base64.RawURLEncoding.EncodeToString([]byte(secret)), "almost a message": "\x02\x04\x78" + secret} {
		p := record{ID: "p"}
		require.NoError(t, p.S.Scan(src))
		hidden("opening "+name, table.Open(t.Context(), &p))
		if name != "almost a message" {
			_, err := p.S.Value()
			hidden("writing "+name, err)
		}
		var s field.Sealed[string]
		b, _ := json.Marshal(fmt.Sprint(src))
		if name != "almost a message" {
			hidden("JSON "+name, s.UnmarshalJSON(b))
			hidden("text "+name, s.UnmarshalText([]byte(secret)))
			hidden("binary "+name, s.UnmarshalBinary([]byte(secret)))
		}
	}
	hidden("JSON", new(field.Sealed[string]).UnmarshalJSON([]byte(`{"v":"`+secret+`"}`)))

	// A value of every type that is no such value.
	p = record{ID: "p", S: field.New(secret)}
	require.NoError(t, table.Seal(t.Context(), &p))
	message := bytesOf(t, p.S)
	decodeAs[int](t, m, message, hidden)
	decodeAs[uint8](t, m, message, hidden)
	decodeAs[bool](t, m, message, hidden)
	decodeAs[float64](t, m, message, hidden)
	decodeAs[card](t, m, message, hidden)
	decodeAs[map[string]int](t, m, message, hidden)
	decodeAs[any](t, m, message, hidden)
	decodeAs[json.Number](t, m, forged(t, m, append(append([]byte{9}, bindingOf("t", "v", "p")...), secret...), map[string]string{"table": "t"}), hidden)
	quoted := append(append([]byte{1}, bindingOf("t", "v", "p")...), `"`+secret+`"`...)
	message = forged(t, m, quoted, map[string]string{"table": "t"})
	decodeAs[quoting](t, m, message, hidden)
	decodeAs[card](t, m, message, hidden)
	decodeAs[[]int](t, m, message, hidden)
	decodeAs[[2]string](t, m, message, hidden)

	type other struct {
		ID string            `seal:",row"`
		N  field.Sealed[int] `seal:"n"`
		I  field.Index       `seal:"index=n"`
	}
	indexed := newTable[other](t, m, "t", &field.Options{IndexKeys: field.NewIndexKeys()})
	_, err := indexed.Terms("n", secret, nil)
	hidden("Terms, wrong type", err)
	_, err = indexed.Terms("n", field.New(secret), nil)
	hidden("Terms, wrong field", err)
	_, err = indexed.Terms("n", []byte(secret), nil)
	hidden("Terms, bytes", err)
}

func decodeAs[T any](t *testing.T, m *manager, message []byte, hidden func(string, error)) {
	type record struct {
		ID string          `seal:",row"`
		V  field.Sealed[T] `seal:"v"`
	}
	for _, plain := range []bool{false, true} {
		table := newTable[record](t, m, "t", &field.Options{ReadPlaintext: plain})
		p := record{ID: "p"}
		require.NoError(t, p.V.Scan(message))
		hidden(fmt.Sprintf("%T", *new(T)), table.Open(t.Context(), &p))
	}
}

// The secrets of index keys show nowhere either.
func TestIndexKeysShowNoSecret(t *testing.T) {
	m := uncached(t, rawKeyring(t, "a"))
	k := field.NewIndexKeys()
	sealed, err := k.Seal(t.Context(), m)
	require.NoError(t, err)
	client, err := envelope.NewFromManager(m, nil)
	require.NoError(t, err)
	b, err := client.Decrypt(t.Context(), sealed, nil)
	require.NoError(t, err)
	var in struct{ Keys []struct{ Secret []byte } }
	require.NoError(t, json.Unmarshal(b, &in))
	secret := in.Keys[0].Secret
	require.Len(t, secret, 32)

	var texts []string
	for _, v := range []any{k, *k, struct{ k *field.IndexKeys }{k}, struct{ K any }{*k}, []any{k}, field.Options{IndexKeys: k}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			texts = append(texts, fmt.Sprintf(format, v))
		}
		var b bytes.Buffer
		slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
		var out testingT
		assert.Equal(&out, nil, v)
		j, _ := json.Marshal(v)
		texts = append(texts, b.String(), out.String(), string(j))
	}
	for _, text := range texts {
		for _, look := range looksOf(string(secret)) {
			if len(look) > 6 { // of random bytes, the shortest forms are no text
				assert.NotContains(t, text, look)
			}
		}
	}
}
