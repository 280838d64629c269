package field_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// knownKeys returns index keys with known secrets, in the form that Seal gives.
func knownKeys(t testing.TB, current, last int, secrets map[int][]byte) *field.IndexKeys {
	m := uncached(t, rawKeyring(t, "a"))
	type key struct {
		Version int    `json:"version"`
		Secret  []byte `json:"secret"`
	}
	var keys []key
	for v := 1; v <= last; v++ {
		if secrets[v] != nil {
			keys = append(keys, key{v, secrets[v]})
		}
	}
	b, err := json.Marshal(map[string]any{"current": current, "last": last, "keys": keys})
	require.NoError(t, err)
	k, err := field.OpenIndexKeys(t.Context(), m, forged(t, m, b, keyring.EncryptionContext{"purpose": "sealring-index-keys"}))
	require.NoError(t, err)
	return k
}

// withLengths puts the length of each part before it.
func withLengths(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return b
}

func mac(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

// Terms, computed with crypto/hmac alone.
func TestTermsRecomputed(t *testing.T) {
	type record struct {
		ID     string               `seal:",row"`
		Region string               `seal:",context=region"`
		Tenant string               `seal:",context=tenant"`
		SSN    field.Sealed[string] `seal:"ssn"`
		N      field.Sealed[int]    `seal:"n"`
		Whole  field.Index          `seal:"index=ssn"`
		Short  field.Index          `seal:"index=ssn,bytes=8,normalize=digits"`
		Num    field.Index          `seal:"index=n"`
	}
	secrets := map[int][]byte{2: []byte(strings.Repeat("2", 32)), 7: []byte(strings.Repeat("7", 32))}
	table := newTable[record](t, cached(t, rawKeyring(t, "a")), "patients", &field.Options{IndexKeys: knownKeys(t, 7, 9, secrets)})
	p := record{ID: "p", Region: "eu", Tenant: "42", SSN: field.New("078-05-1120"), N: field.New(-5)}
	require.NoError(t, table.Seal(t.Context(), &p))
	ec := keyring.EncryptionContext{"tenant": "42", "region": "eu"}

	want := func(version int, column, normalizer, value string) []byte {
		key := mac(secrets[version], withLengths("sealring blind index", "patients", column, normalizer, "region", "eu", "tenant", "42"))
		return append([]byte{byte(version)}, mac(key, []byte(value))...)
	}
	assert.Equal(t, want(7, "ssn", "", "078-05-1120"), []byte(p.Whole))
	assert.Equal(t, want(7, "ssn", "digits", "078051120")[:9], []byte(p.Short))
	assert.Equal(t, want(7, "n", "", "-5"), []byte(p.Num))

	for name, value := range map[string]any{"ssn.Whole": "078-05-1120", "ssn.Short": "(078) 05 1120", "n": -5} {
		terms, err := table.Terms(name, value, ec)
		require.NoError(t, err, name)
		require.Len(t, terms, 2, name)
		assert.EqualValues(t, 2, terms[0][0], "one for each version")
		found := map[string]field.Index{"ssn.Whole": p.Whole, "ssn.Short": p.Short, "n": p.Num}[name]
		assert.Equal(t, []byte(found), terms[1], name)
	}
	terms, err := table.Terms("ssn.Whole", p.SSN, ec)
	require.NoError(t, err)
	assert.Equal(t, []byte(p.Whole), terms[1], "of a field with a value")
}

// Two terms are the same if and only if everything is that they are made of.
func TestTermsDiffer(t *testing.T) {
	type record struct {
		ID     string               `seal:",row"`
		Tenant string               `seal:",context=tenant"`
		A      field.Sealed[string] `seal:"a"`
		B      field.Sealed[string] `seal:"b"`
		IA     field.Index          `seal:"index=a"`
		IB     field.Index          `seal:"index=b"`
		Own    field.Index          `seal:"index=a,normalize=own"`
		Same   field.Index          `seal:"index=a,normalize=same"`
	}
	same := func(s string) string { return s }
	k1 := field.NewIndexKeys()
	k2, err := k1.Add()
	require.NoError(t, err)
	seen := map[string]string{}
	for _, table := range []string{"t", "u"} {
		for _, tenant := range []string{"1", "2"} {
			for _, value := range []string{"v", "w", ""} {
				tb := newTable[record](t, uncached(t, rawKeyring(t, "a")), table, &field.Options{IndexKeys: k2,
					Normalizers: []field.Normalizer{{Name: "own", Normalize: same}, {Name: "same", Normalize: same}}})
				for _, index := range []string{"a.IA", "b", "a.Own", "a.Same"} {
					terms, err := tb.Terms(index, value, keyring.EncryptionContext{"tenant": tenant})
					if value == "" && strings.HasPrefix(index, "a.") && index != "a.IA" {
						assert.ErrorIs(t, err, field.ErrInvalidArgument, "nothing is left to be found by")
						continue
					}
					require.NoError(t, err)
					for _, term := range terms {
						name := fmt.Sprint(table, tenant, value, index, term[0])
						assert.Len(t, term, 33)
						assert.Empty(t, seen[string(term[1:])], name)
						seen[string(term[1:])] = name
					}
					again, err := tb.Terms(index, value, keyring.EncryptionContext{"tenant": tenant})
					require.NoError(t, err)
					assert.Equal(t, terms, again)
				}
			}
		}
	}
	// The row does not count: that is what an index is for.
	tb := newTable[patient](t, cached(t, rawKeyring(t, "a")), "t", &field.Options{IndexKeys: k1})
	p, q := patient{ID: "p", Tenant: "1", SSN: field.New("07-8")}, patient{ID: "q", Tenant: "1", SSN: field.New("0 78")}
	require.NoError(t, tb.Seal(t.Context(), &p, &q))
	assert.Equal(t, p.SSNIdx, q.SSNIdx)
}

func TestTermsMistakes(t *testing.T) {
	type record struct {
		ID     string               `seal:",row"`
		Tenant string               `seal:",context=tenant"`
		A      field.Sealed[string] `seal:"a"`
		B      field.Sealed[string] `seal:"b"`
		IA     field.Index          `seal:"index=a"`
		JA     field.Index          `seal:"index=a,bytes=8"`
		N      field.Sealed[int64]  `seal:"n"`
		IN     field.Index          `seal:"index=n,bytes=2"`
	}
	table := newTable[record](t, uncached(t, rawKeyring(t, "a")), "t", indexed())
	ec := keyring.EncryptionContext{"tenant": "42"}
	for name, c := range map[string]struct {
		column string
		value  any
		ec     keyring.EncryptionContext
		want   string
	}{
		"no such column":    {"c", "v", ec, "no index"},
		"no index":          {"b", "v", ec, "no index"},
		"several":           {"a", "v", ec, `"a.IA"`},
		"no such index":     {"a.IX", "v", ec, "a.IA"},
		"another type":      {"a.IA", 5, ec, "the value has type int, and the field string"},
		"an untyped number": {"n", 5, ec, "int64"},
		"nil":               {"a.IA", nil, ec, "nil"},
		"NULL":              {"a.IA", field.Sealed[string]{}, ec, "no value"},
		"no context":        {"a.IA", "v", nil, `no "tenant"`},
		"an empty tenant":   {"a.IA", "v", keyring.EncryptionContext{"tenant": ""}, `no "tenant"`},
		"another pair":      {"a.IA", "v", keyring.EncryptionContext{"tenant": "42", "x": "y"}, `"x"`},
		"with the table":    {"a.IA", "v", keyring.EncryptionContext{"tenant": "42", "table": "t"}, `"table"`},
	} {
		terms, err := table.Terms(c.column, c.value, c.ec)
		assert.ErrorIs(t, err, field.ErrInvalidArgument, name)
		if name != "no such index" {
			assert.ErrorContains(t, err, c.want, name)
		}
		assert.Nil(t, terms, name)
	}
	terms, err := table.Terms("n", int64(5), ec)
	require.NoError(t, err)
	assert.Len(t, terms[0], 3)
}

// Nothing is indexed of NULL, and of a value of which the normalizer leaves nothing, so that
// a unique constraint lets any number of them be.
func TestNothingIndexed(t *testing.T) {
	table := newTable[patient](t, cached(t, rawKeyring(t, "a")), "t", indexed())
	none, null := patient{ID: "p", Tenant: "1", SSN: field.New("unknown")}, patient{ID: "p", Tenant: "1"}
	null.SSNIdx = field.Index{1, 2, 3}
	require.NoError(t, table.Seal(t.Context(), &none, &null))
	assert.Nil(t, none.SSNIdx)
	assert.Nil(t, null.SSNIdx)
	v, err := null.SSN.Value()
	require.NoError(t, err)
	assert.Nil(t, v)
}

func TestNormalizers(t *testing.T) {
	type record struct {
		ID  string               `seal:",row"`
		V   field.Sealed[string] `seal:"v"`
		F   field.Index          `seal:"index=v,normalize=fold"`
		D   field.Index          `seal:"index=v,normalize=digits"`
		Own field.Index          `seal:"index=v,normalize=own"`
	}
	o := indexed()
	o.Normalizers = []field.Normalizer{{Name: "own", Normalize: func(s string) string { return s[:min(2, len(s))] }}}
	table := newTable[record](t, cached(t, rawKeyring(t, "a")), "t", o)
	terms := func(index, value string) string {
		terms, err := table.Terms("v."+index, value, nil)
		require.NoError(t, err, value)
		return string(terms[0])
	}
	for _, c := range []struct {
		index, a, b string
		same        bool
	}{
		{"F", "Müller", "MÜLLER", true},
		{"F", " a\t\n", "A", true},
		{"F", "a b", "ab", false},
		{"F", "\u212a", "k", true}, // the sign for Kelvin
		{"F", "ß", "ẞ", true},
		{"F", "ß", "ss", false},
		{"F", "Σ", "ς", true},
		{"F", "é", "e\u0301", false}, // not composed
		{"F", "i", "ı", false},
		{"D", "078-05-1120", "078051120", true},
		{"D", "1", "2", false},
		{"D", "1", "01", false},
		{"D", "1", "1\u0661", true}, // other digits are none
		{"Own", "abc", "abd", true},
		{"Own", "abc", "acc", false},
	} {
		assert.Equal(t, c.same, terms(c.index, c.a) == terms(c.index, c.b), "%+q", c)
	}
}

func TestIndexKeys(t *testing.T) {
	m := uncached(t, rawKeyring(t, "a"))
	table := func(k *field.IndexKeys) *field.Table[patient] {
		return newTable[patient](t, m, "t", &field.Options{IndexKeys: k})
	}
	ec := keyring.EncryptionContext{"tenant": "1"}
	find := func(k *field.IndexKeys, p patient) bool {
		terms, err := table(k).Terms("ssn", "078", ec)
		require.NoError(t, err)
		for _, term := range terms {
			if string(term) == string(p.SSNIdx) {
				return true
			}
		}
		return false
	}
	seal := func(k *field.IndexKeys, p *patient) {
		p.ID, p.Tenant = "p", "1"
		if p.SSN.IsNull() {
			p.SSN.Set("078")
		}
		require.NoError(t, table(k).Seal(t.Context(), p))
	}
	// The steps of a rotation: by the keys of each, what the step before wrote is found.
	k1 := field.NewIndexKeys()
	added, err := k1.Add()
	require.NoError(t, err)
	used, err := added.Use(2)
	require.NoError(t, err)
	removed, err := used.Remove(1)
	require.NoError(t, err)
	assert.Equal(t, [][]byte{{1}, {1, 2}, {1, 2}, {2}}, [][]byte{k1.Versions(), added.Versions(), used.Versions(), removed.Versions()})
	assert.Equal(t, []byte{1, 1, 2, 2}, []byte{k1.Current(), added.Current(), used.Current(), removed.Current()})
	steps := []*field.IndexKeys{k1, added, used, removed}
	for i, k := range steps {
		// They are as well after they were sealed and opened.
		sealed, err := k.Seal(t.Context(), m)
		require.NoError(t, err)
		steps[i], err = field.OpenIndexKeys(t.Context(), m, sealed)
		require.NoError(t, err)
		assert.Equal(t, k.Versions(), steps[i].Versions())
		assert.Equal(t, k.Current(), steps[i].Current())
	}
	for i, k := range steps[:3] {
		var p patient
		seal(k, &p)
		assert.Equal(t, k.Current(), p.SSNIdx[0])
		assert.True(t, find(k, p))
		assert.True(t, find(steps[i+1], p), "step %d", i)
	}

	// An opened record's index follows the keys without its message being sealed anew.
	var p patient
	seal(k1, &p)
	r := *reread(t, &p)
	require.NoError(t, table(used).Open(t.Context(), &r))
	old := bytesOf(t, r.SSN)
	tb := table(used)
	r = *reread(t, &p)
	require.NoError(t, tb.Open(t.Context(), &r))
	require.NoError(t, tb.Seal(t.Context(), &r))
	assert.Equal(t, old, bytesOf(t, r.SSN))
	assert.EqualValues(t, 2, r.SSNIdx[0])
	assert.True(t, find(removed, r))
	assert.False(t, find(removed, p))

	// Versions are never used again, and there are 255.
	for _, err := range []error{
		func() error { _, err := removed.Use(1); return err }(),
		func() error { _, err := removed.Use(0); return err }(),
		func() error { _, err := removed.Remove(2); return err }(),
		func() error { _, err := removed.Remove(1); return err }(),
	} {
		assert.ErrorIs(t, err, field.ErrInvalidArgument)
	}
	k := removed
	for k.Versions()[len(k.Versions())-1] < 255 {
		if k, err = k.Add(); err != nil {
			break
		}
		last := k.Versions()[len(k.Versions())-1]
		if last == 3 {
			k, err = k.Remove(3)
			require.NoError(t, err)
			k, err = k.Add()
			require.NoError(t, err)
			assert.Equal(t, []byte{2, 4}, k.Versions())
		}
	}
	require.NoError(t, err)
	_, err = k.Add()
	assert.ErrorContains(t, err, "255 versions")

	// Two that were made from one do not change each other.
	a, err := k1.Add()
	require.NoError(t, err)
	b, err := k1.Add()
	require.NoError(t, err)
	var pa patient
	usedA, err := a.Use(2)
	require.NoError(t, err)
	seal(usedA, &pa)
	assert.True(t, find(a, pa))
	assert.False(t, find(b, pa))
	assert.Equal(t, []byte{1}, k1.Versions())
}

// Of what Seal did not give, no keys are made, and the error does not repeat it.
func TestOpenIndexKeysMalformed(t *testing.T) {
	m := uncached(t, rawKeyring(t, "a"))
	ec := keyring.EncryptionContext{"purpose": "sealring-index-keys"}
	key := func(version, n int) string {
		b, _ := json.Marshal([]byte(strings.Repeat("S", n)))
		return fmt.Sprintf(`{"version":%d,"secret":%s}`, version, b)
	}
	keys := func(current, last int, keys ...string) string {
		return fmt.Sprintf(`{"current":%d,"last":%d,"keys":[%s]}`, current, last, strings.Join(keys, ","))
	}
	good := keys(1, 1, key(1, 32))
	for name, c := range map[string]struct {
		plaintext string
		ok        bool
	}{
		"good":             {good, true},
		"a gap":            {keys(5, 9, key(2, 32), key(5, 32)), true},
		"empty":            {"", false},
		"no JSON":          {"SSSSSSSS", false},
		"null":             {"null", false},
		"nothing":          {"{}", false},
		"cut off":          {good[:len(good)-1], false},
		"more":             {good + good, false},
		"no keys":          {keys(1, 1), false},
		"short secret":     {keys(1, 1, key(1, 31)), false},
		"long secret":      {keys(1, 1, key(1, 33)), false},
		"no secret":        {keys(1, 1, `{"version":1}`), false},
		"version 0":        {keys(0, 1, key(0, 32)), false},
		"version 256":      {keys(1, 1, key(1, 32), key(256, 32)), false},
		"past the last":    {keys(1, 1, key(1, 32), key(2, 32)), false},
		"twice":            {keys(1, 1, key(1, 32), key(1, 32)), false},
		"not in order":     {keys(1, 2, key(2, 32), key(1, 32)), false},
		"current missing":  {keys(2, 2, key(1, 32)), false},
		"current negative": {keys(-1, 2, key(1, 32)), false},
	} {
		k, err := field.OpenIndexKeys(t.Context(), m, forged(t, m, []byte(c.plaintext), ec))
		if c.ok {
			require.NoError(t, err, name)
			continue
		}
		assert.ErrorIs(t, err, field.ErrType, name)
		assert.Nil(t, k, name)
		assert.NotContains(t, err.Error(), "SSSS", name)
		assert.NotContains(t, err.Error(), "U1NT", name)
	}
	_, err := field.OpenIndexKeys(t.Context(), m, forged(t, m, []byte(good), nil))
	assert.ErrorIs(t, err, envelope.ErrContextMismatch, "another purpose")
	_, err = field.OpenIndexKeys(t.Context(), m, []byte(good))
	assert.ErrorIs(t, err, envelope.ErrMalformed)
	_, err = field.OpenIndexKeys(t.Context(), uncached(t, rawKeyring(t, "b")), forged(t, m, []byte(good), ec))
	assert.ErrorIs(t, err, envelope.ErrNoMatchingKey)
}
