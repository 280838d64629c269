package field_test

import (
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// mistake makes a table of T, which must fail, and returns the error's text.
func mistake[T any](t *testing.T, o *field.Options) string {
	table, err := field.NewTable[T](uncached(t, rawKeyring(t, "a")), "patients", o)
	require.ErrorIs(t, err, field.ErrInvalidArgument)
	assert.Nil(t, table)
	return err.Error()
}

type (
	hasSealed struct {
		Street field.Sealed[string] `seal:"street"`
	}
	itself struct {
		ID   string               `seal:",row"`
		V    field.Sealed[string] `seal:"v"`
		Next *itself              `seal:",inline,prefix=next_"`
	}
	roundabout struct {
		ID  string `seal:",row"`
		Mid *midway
	}
	midway struct {
		V    field.Sealed[string] `seal:"v"`
		Back *roundabout
	}
	base struct {
		ID string `seal:",row"`
	}
)

// Each mistake of a tag, a type or an option has an error that names the field.
func TestTagMistakes(t *testing.T) {
	withKeys := &field.Options{IndexKeys: field.NewIndexKeys()}
	for name, c := range map[string]struct {
		err  string
		want []string
	}{
		"no struct": {mistake[int](t, nil), []string{"int is no struct"}},
		"a pointer": {mistake[*one](t, nil), []string{"is no struct"}},
		"no fields": {mistake[struct{ ID string }](t, nil), []string{"no sealed field", "no row"}},
		"no tag":    {mistake[struct{ V field.Sealed[string] }](t, nil), []string{"field V", "has no name"}},
		"an empty tag": {mistake[struct {
			V field.Sealed[string] `seal:""`
		}](t, nil), []string{"field V", "has no name"}},
		"unknown option": {mistake[struct {
			V field.Sealed[string] `seal:"v,txt"`
		}](t, nil), []string{"field V", "option txt"}},
		"a space": {mistake[struct {
			V field.Sealed[string] `seal:"v, text"`
		}](t, nil), []string{"field V", "option  text"}},
		"option twice": {mistake[struct {
			V field.Sealed[string] `seal:"v,text,text"`
		}](t, nil), []string{"field V", "text twice"}},
		"empty option": {mistake[struct {
			V field.Sealed[string] `seal:"v,,text"`
		}](t, nil), []string{"field V", "empty option"}},
		"option with a value": {mistake[struct {
			V field.Sealed[string] `seal:"v,text=false"`
			A hasSealed            `seal:",inline=no"`
		}](t, nil), []string{"field V", "text takes no value", "field A", "inline takes no value"}},
		"option of another": {mistake[struct {
			ID string               `seal:",row,pad=8"`
			V  field.Sealed[string] `seal:"v,row,index=v"`
		}](t, nil), []string{"field ID", "option pad", "field V", "option index", "option row"}},
		"not UTF-8": {mistake[struct {
			V field.Sealed[string] `seal:"\xff"`
		}](t, nil), []string{"field V", "not UTF-8"}},
		"unexported": {mistake[struct {
			v field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field v", "not exported"}},
		"unexported, bare": {mistake[struct{ v field.Sealed[string] }](t, nil), []string{"field v", "not exported"}},
		"unexported row": {mistake[struct {
			id string               `seal:",row"`
			V  field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field id", "not exported"}},
		"a pointer to one": {mistake[struct {
			V *field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field V", "pointer to a Sealed"}},
		"embedded": {mistake[struct {
			ID string `seal:",row"`
			field.Sealed[string]
			W field.Sealed[string] `seal:"w"`
		}](t, nil), []string{"field Sealed", "embedded"}},
		"embedded, tagged": {mistake[struct {
			ID                   string `seal:",row"`
			field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field Sealed", "embedded"}},
		"one name twice": {mistake[struct {
			V field.Sealed[string] `seal:"v"`
			W field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field W", `the name "v"`}},
		"one name through a prefix": {mistake[struct {
			V field.Sealed[string] `seal:"home_street"`
			A hasSealed            `seal:",inline,prefix=home_"`
		}](t, nil), []string{"field A.Street", `the name "home_street"`}},
		"pad": {mistake[struct {
			A field.Sealed[string] `seal:"a,pad"`
			B field.Sealed[string] `seal:"b,pad=0"`
			C field.Sealed[string] `seal:"c,pad=1"`
			D field.Sealed[string] `seal:"d,pad=x"`
			E field.Sealed[string] `seal:"e,pad=9999999"`
		}](t, nil), []string{"field A", "field B", "field C", "field D", "field E", "pad=x"}},
		"no row": {mistake[struct {
			V field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"no row", "WithoutRow"}},
		"row in spite of WithoutRow": {mistake[one](t, &field.Options{WithoutRow: true}), []string{"field ID", "WithoutRow"}},
		"two rows": {mistake[struct {
			A string               `seal:",row"`
			B string               `seal:",row"`
			V field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"numbered"}},
		"rows 1 and 3": {mistake[struct {
			A string               `seal:",row=1"`
			B string               `seal:",row=3"`
			V field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field B", "numbered"}},
		"rows 1 and 1": {mistake[struct {
			A string               `seal:",row=1"`
			B string               `seal:",row=1"`
			V field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field B", "numbered"}},
		"row 0": {mistake[struct {
			A string               `seal:",row=0"`
			V field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field A", "row=0"}},
		"a row of floats, of times, of structs": {mistake[struct {
			A float64              `seal:",row=1"`
			B time.Time            `seal:",row=2"`
			C struct{ X int }      `seal:",row=3"`
			D **string             `seal:",row=4"`
			E bool                 `seal:",row=5"`
			F any                  `seal:",row=6"`
			V field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field A", "field B: a time cannot be a context pair or part of the row's key", "field C", "field D",
			"field E: a bool cannot be a context pair or part of the row's key", "field F"}},
		"a context of bytes": {mistake[struct {
			ID string               `seal:",row"`
			A  []byte               `seal:",context=a"`
			V  field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field A"}},
		"context's name": {mistake[struct {
			ID string               `seal:",row"`
			A  string               `seal:",context"`
			B  string               `seal:",context=table"`
			C  string               `seal:",context=aws-crypto-public-key"`
			V  field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field A", "field B", "field C"}},
		"one context twice": {mistake[struct {
			ID string               `seal:",row"`
			A  string               `seal:",context=tenant"`
			B  string               `seal:",context=tenant"`
			V  field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field B", `pair "tenant"`}},
		"a name without Sealed": {mistake[struct {
			ID string               `seal:",row"`
			A  string               `seal:"a"`
			V  field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field A", "is no field.Sealed"}},
		"a slice of Sealed": {mistake[struct {
			ID string                 `seal:",row"`
			A  []field.Sealed[string] `seal:"a"`
			V  field.Sealed[string]   `seal:"v"`
		}](t, nil), []string{"field A"}},
		"an index of nothing": {mistake[struct {
			ID string               `seal:",row"`
			V  field.Sealed[string] `seal:"v"`
			I  field.Index          `seal:"index=w"`
			J  field.Index          `seal:"index"`
			K  field.Index          `seal:"v"`
			L  field.Index
		}](t, withKeys), []string{"field I", `"w"`, "field J", "field K", "field L", "has no tag"}},
		"an index without keys": {mistake[struct {
			ID string               `seal:",row"`
			V  field.Sealed[string] `seal:"v"`
			I  field.Index          `seal:"index=v"`
		}](t, nil), []string{"field I", "IndexKeys"}},
		"an index's options": {mistake[struct {
			ID string               `seal:",row"`
			V  field.Sealed[string] `seal:"v"`
			N  field.Sealed[int]    `seal:"n"`
			I  field.Index          `seal:"index=v,bytes=1"`
			J  field.Index          `seal:"index=v,bytes=33"`
			K  field.Index          `seal:"index=v,bytes=x"`
			L  field.Index          `seal:"index=v,normalize=upper"`
			M  field.Index          `seal:"index=n,normalize=fold"`
			O  field.Index          `seal:"index=v,pad=2"`
		}](t, withKeys), []string{"field I", "field J", "field K", "field L", "field M", "is no string", "field O"}},
		"a struct with fields": {mistake[struct {
			ID string               `seal:",row"`
			V  field.Sealed[string] `seal:"v"`
			A  hasSealed
			B  *hasSealed
		}](t, nil), []string{"field A", "inline", "field B"}},
		"inline with a name": {mistake[struct {
			ID string    `seal:",row"`
			A  hasSealed `seal:"a,inline"`
		}](t, nil), []string{"field A", "no name"}},
		"inline of no struct": {mistake[struct {
			ID int                  `seal:",row,inline"`
			V  field.Sealed[string] `seal:"v"`
		}](t, nil), []string{"field ID", "inline"}},
		"contains itself":   {mistake[itself](t, nil), []string{"field Next", "contains itself"}},
		"a cycle, untagged": {mistake[roundabout](t, nil), []string{"field Mid", "no tag"}},
		"normalizers": {mistake[one](t, &field.Options{Normalizers: []field.Normalizer{{Name: "x"}}}),
			[]string{"Normalizers[0]"}},
		"a normalizer's name": {mistake[one](t, &field.Options{Normalizers: []field.Normalizer{{Name: "fold", Normalize: strings.ToUpper}}}),
			[]string{"Normalizers[0]", `another "fold"`}},
		"signing":        {mistake[one](t, &field.Options{Envelope: &envelope.Options{Sign: true}}), []string{"not signed"}},
		"a signed suite": {mistake[one](t, &field.Options{Envelope: &envelope.Options{Suite: keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384}}), []string{"not signed"}},
	} {
		for _, want := range append(c.want, "table patients") {
			assert.Contains(t, c.err, want, name)
		}
	}
	for _, name := range []string{"", "\xff"} {
		_, err := field.NewTable[one](uncached(t, rawKeyring(t, "a")), name, nil)
		assert.ErrorIs(t, err, field.ErrInvalidArgument)
	}
	_, err := field.NewTable[one](nil, "t", nil)
	assert.ErrorIs(t, err, field.ErrInvalidArgument)
}

// All that is wrong is said at once.
func TestAllMistakesAtOnce(t *testing.T) {
	err := mistake[struct {
		A float64                       `seal:",row=1"`
		B string                        `seal:",context=table"`
		C field.Sealed[chan int]        `seal:"c,txt"`
		D field.Sealed[string]          `seal:"c"`
		E field.Index                   `seal:"index=e"`
		f field.Sealed[string]          `seal:"f"`
		G field.Sealed[func()]          `seal:"g,pad=x"`
		H *field.Sealed[string]         `seal:"h"`
		I field.Sealed[string]          `seal:"i,,"`
		J string                        `seal:"j"`
		K hasSealed                     //
		L field.Sealed[map[[2]int]bool] `seal:"l"`
	}](t, nil)
	for _, name := range "ABCDEfGHIJKL" {
		assert.Contains(t, err, fmt.Sprintf("field %c: ", name))
	}
	assert.Contains(t, err, "option txt")
	assert.Contains(t, err, "pad=x")
}

// Types of values that could be sealed, and not be opened to what they were.
type (
	secretive   struct{ number string } //lint:ignore U1000 that it is lost is the point
	birthday    time.Time
	onlyJSON    struct{ V string }
	onlyText    string
	both        struct{ v string }
	pointed     struct{ v int }
	embedsHides struct{ *secretive2 }
	secretive2  struct{ V int }
	withLock    struct {
		//lint:ignore U1000 it only has to be there
		lock lock
		V    int
	}
	//lint:ignore U1000 it only has to be there
	lock struct{ held bool }
)

func (onlyJSON) MarshalJSON() ([]byte, error)   { return []byte(`"***"`), nil }
func (onlyText) MarshalText() ([]byte, error)   { return []byte("***"), nil }
func (b both) MarshalText() ([]byte, error)     { return []byte(b.v), nil }
func (b *both) UnmarshalText(t []byte) error    { b.v = string(t); return nil }
func (p *pointed) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%d", p.v), nil }
func (p *pointed) UnmarshalJSON(t []byte) error { _, err := fmt.Sscan(string(t), &p.v); return err }

func typeError[T any](t *testing.T) error {
	type record struct {
		ID string          `seal:",row"`
		V  field.Sealed[T] `seal:"v"`
	}
	_, err := field.NewTable[record](uncached(t, rawKeyring(t, "a")), "t", nil)
	return err
}

// A type whose values would come back as others, or not at all, is refused before anything
// is lost.
func TestTypesThatCannotBeSealed(t *testing.T) {
	for name, err := range map[string]error{
		"chan":               typeError[chan int](t),
		"func":               typeError[func()](t),
		"complex":            typeError[complex128](t),
		"uintptr":            typeError[uintptr](t),
		"pointer":            typeError[*string](t),
		"interface":          typeError[fmt.Stringer](t),
		"error":              typeError[error](t),
		"map key":            typeError[map[float64]int](t),
		"map of struct keys": typeError[map[struct{ A int }]int](t),
		"deep": typeError[struct {
			A []map[string]*struct{ C chan int }
		}](t),
		"nothing exported":                               typeError[secretive](t),
		"a named time":                                   typeError[birthday](t),
		"nothing exported, deep":                         typeError[map[string][]struct{ A birthday }](t),
		"only marshals JSON":                             typeError[onlyJSON](t),
		"only marshals text":                             typeError[onlyText](t),
		"only marshals, deep":                            typeError[[]onlyJSON](t),
		"a URL, whose user would be lost":                typeError[url.URL](t),
		"a field in a field":                             typeError[field.Sealed[string]](t),
		"a field deep in one":                            typeError[struct{ A []field.Sealed[string] }](t),
		"embeds a pointer that encoding/json cannot set": typeError[embedsHides](t),
	} {
		require.ErrorIs(t, err, field.ErrInvalidArgument, name)
		assert.ErrorContains(t, err, "field V: ", name)
	}
	for name, err := range map[string]error{
		"recursive":      typeError[struct{ A *one2 }](t),
		"empty struct":   typeError[map[string]struct{}](t),
		"text":           typeError[both](t),
		"text as key":    typeError[map[netip.Addr]both](t),
		"by pointer":     typeError[pointed](t),
		"big":            typeError[big.Int](t),
		"pointer within": typeError[struct{ A *big.Int }](t),
		"any":            typeError[map[string]any](t),
		"time":           typeError[struct{ A time.Time }](t),
		"hidden and not": typeError[withLock](t),
		"left out": typeError[struct {
			A chan int `json:"-"`
			B int
		}](t),
		"netip":          typeError[netip.Prefix](t),
		"array of bytes": typeError[[16]byte](t),
	} {
		assert.NoError(t, err, name)
	}
}

type one2 struct {
	Next *one2
	V    int
}

type homeAddress struct {
	Street field.Sealed[string] `seal:"street"`
	City   field.Sealed[string] `seal:"city"`
	Index  field.Index          `seal:"index=city"`
}

type meta struct {
	Tenant string `seal:",context=tenant"`
}

type customer struct {
	base
	*Meta
	Name   field.Sealed[string] `seal:"name"`
	Home   homeAddress          `seal:",inline,prefix=home_"`
	Work   *homeAddress         `seal:",inline,prefix=work_"`
	Orders []hasSealed          // sealed by a table of their own
	Old    hasSealed            `seal:"-"`
	Count  int
	//lint:ignore U1000 it only has to be there
	note string
}

type Meta = meta2

type meta2 struct {
	meta
	Region string `seal:",context=region"`
}

// Structs within structs, by value and by pointer, nil and not.
func TestNestedRecords(t *testing.T) {
	m := cached(t, rawKeyring(t, "a"))
	type plain struct {
		base
		meta
		Name field.Sealed[string] `seal:"name"`
		Home homeAddress          `seal:",inline,prefix=home_"`
		Work *homeAddress         `seal:",inline,prefix=work_"`
		Old  hasSealed            `seal:"-"`
	}
	table := newTable[plain](t, m, "customers", &field.Options{IndexKeys: field.NewIndexKeys()})
	assert.Equal(t, []string{"name", "home_street", "home_city", "work_street", "work_city"}, table.Columns())

	p := plain{base: base{"p"}, meta: meta{"42"}, Name: field.New("name"), Home: homeAddress{Street: field.New("home"), City: field.New("c")}}
	p.Old.Street.Set("old")
	require.NoError(t, table.Seal(t.Context(), &p))
	assert.Nil(t, p.Work, "no struct is made where there was none")
	assert.Equal(t, append([]byte{1}, bindingOf("customers", "home_street", "p")...), func() []byte {
		client, err := envelope.NewFromManager(m, nil)
		require.NoError(t, err)
		b, err := client.Decrypt(t.Context(), bytesOf(t, p.Home.Street), keyring.EncryptionContext{"table": "customers", "tenant": "42"})
		require.NoError(t, err)
		return b[:17]
	}())
	_, err := p.Old.Street.Value()
	assert.ErrorIs(t, err, field.ErrUnsealed, "what is left out stays as it was")
	terms, err := table.Terms("home_city", "c", keyring.EncryptionContext{"tenant": "42"})
	require.NoError(t, err)
	assert.Equal(t, []byte(p.Home.Index), terms[0])

	p.Work = &homeAddress{Street: field.New("work")}
	require.NoError(t, table.Seal(t.Context(), &p))
	got := plain{base: p.base, meta: p.meta, Work: &homeAddress{Street: stored(t, p.Work.Street)}}
	require.NoError(t, table.Open(t.Context(), &got))
	assert.Equal(t, "work", plaintext(t, got.Work.Street))
	assert.True(t, got.Home.Street.IsNull())

	// The same under the other prefix is another column.
	got = plain{base: p.base, meta: p.meta, Home: homeAddress{Street: stored(t, p.Work.Street)}}
	assert.ErrorIs(t, table.Open(t.Context(), &got), field.ErrBinding)
}

// A key or a context within a struct that is nil is as good as empty.
func TestNilStructs(t *testing.T) {
	table := newTable[customer](t, cached(t, rawKeyring(t, "a")), "customers", &field.Options{IndexKeys: field.NewIndexKeys()})
	p := customer{base: base{"p"}, Name: field.New("name")}
	err := table.Seal(t.Context(), &p)
	assert.ErrorIs(t, err, field.ErrInvalidArgument)
	assert.ErrorContains(t, err, "in a struct that is nil")
	p.Meta = &Meta{meta: meta{"42"}, Region: "eu"}
	require.NoError(t, table.Seal(t.Context(), &p))
	got := customer{base: base{"p"}, Meta: p.Meta, Name: stored(t, p.Name)}
	require.NoError(t, table.Open(t.Context(), &got))
	assert.Equal(t, "name", plaintext(t, got.Name))
}

// The names of Go types and fields, their order and nesting may change; those in tags and
// the table's may not.
func TestGoNamesMayChange(t *testing.T) {
	type before struct {
		ID     string               `seal:",row"`
		Tenant string               `seal:",context=tenant"`
		SSN    field.Sealed[string] `seal:"ssn"`
		Street field.Sealed[string] `seal:"home_street"`
		Idx    field.Index          `seal:"index=ssn"`
	}
	type after struct {
		ByTerm field.Index          `seal:"index=ssn"`
		Addr   *hasSealed           `seal:",inline,prefix=home_"`
		Number field.Sealed[string] `seal:"ssn,pad=32"`
		meta
		Key struct {
			Value []byte `seal:",row"`
		} `seal:",inline"`
	}
	m, o := cached(t, rawKeyring(t, "a")), &field.Options{IndexKeys: field.NewIndexKeys()}
	p := before{ID: "p", Tenant: "42", SSN: field.New("ssn"), Street: field.New("street")}
	require.NoError(t, newTable[before](t, m, "t", o).Seal(t.Context(), &p))
	q := after{meta: meta{"42"}, Number: stored(t, p.SSN), Addr: &hasSealed{Street: stored(t, p.Street)}}
	q.Key.Value = []byte("p")
	table := newTable[after](t, m, "t", o)
	require.NoError(t, table.Open(t.Context(), &q))
	assert.Equal(t, "ssn", plaintext(t, q.Number))
	assert.Equal(t, "street", plaintext(t, q.Addr.Street))
	terms, err := table.Terms("ssn", "ssn", keyring.EncryptionContext{"tenant": "42"})
	require.NoError(t, err)
	assert.Equal(t, [][]byte{p.Idx}, terms)
}

// Everything that can be a part of a row's key, and what counts as empty.
func TestParts(t *testing.T) {
	testPart(t, "string", "a", "", "a")
	testPart(t, "int", -1, 0, "-1")
	testPart(t, "uint8", uint8(200), 0, "200")
	testPart(t, "bytes", []byte{0xff, 0}, nil, "\xff\x00")
	testPart(t, "empty bytes", []byte("a"), []byte{}, "a")
	testPart(t, "array", [2]byte{0, 1}, [2]byte{}, "\x00\x01")
	testPart(t, "text", netip.MustParseAddr("10.0.0.1"), netip.Addr{}, "10.0.0.1")
	id, empty, zero := "a", "", 0
	testPart(t, "pointer", &id, nil, "a")
	testPart(t, "pointer to nothing", &id, &empty, "a")
	testPart(t, "pointer to zero", &zero, nil, "0")
	ip := netip.MustParseAddr("::1")
	testPart(t, "pointer to text", &ip, nil, "::1")
}

func testPart[T any](t *testing.T, name string, value, empty T, want string) {
	t.Run(name, func(t *testing.T) {
		type record struct {
			ID T                    `seal:",row"`
			V  field.Sealed[string] `seal:"v"`
		}
		m := uncached(t, rawKeyring(t, "a"))
		table := newTable[record](t, m, "t", nil)
		p := record{ID: value, V: field.New("v")}
		require.NoError(t, table.Seal(t.Context(), &p))
		assert.Equal(t, bindingOf("t", "v", want), decrypted(t, m, "t", bytesOf(t, p.V))[1:17])
		p.ID = empty
		p.V.Set("w")
		err := table.Seal(t.Context(), &p)
		assert.ErrorIs(t, err, field.ErrInvalidArgument)
		assert.ErrorContains(t, err, "field ID, part of the row's key, is empty or zero")
	})
}
