package dynamoitem

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

const (
	hmacOnly = keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384
	signed   = keyring.SuiteDBEAES256GCMHKDFSHA512CommitECDSAP384HMACSHA384
)

// eachKind runs a test for each suite and version of the head.
func eachKind(t *testing.T, test func(t *testing.T, suite keyring.Suite, key Action)) {
	for _, suite := range []keyring.Suite{hmacOnly, signed} {
		for version, key := range map[int]Action{version1: SignOnly, version2: SignAndIncludeInContext} {
			t.Run(fmt.Sprintf("%04x, version %d", uint16(suite), version), func(t *testing.T) { test(t, suite, key) })
		}
	}
}

// recorder is a manager that keeps what it was asked for and what it gave.
type recorder struct {
	keyring.MaterialsManager
	encrypts, decrypts int
	contexts           []keyring.EncryptionContext
	lengths            []int64
	dataKeys           [][]byte // of materials that should be cleared by now
	stored             [][]byte
}

func (r *recorder) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	r.encrypts++
	r.contexts = append(r.contexts, maps.Clone(req.Context))
	r.lengths = append(r.lengths, req.PlaintextLength)
	m, err := r.MaterialsManager.EncryptionMaterials(ctx, req)
	if err == nil {
		r.dataKeys = append(append(r.dataKeys, m.DataKey), m.SymmetricSigningKeys...)
	}
	return m, err
}

func (r *recorder) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	r.decrypts++
	r.contexts = append(r.contexts, maps.Clone(req.Reproduced))
	r.stored = append(r.stored, req.Stored)
	m, err := r.MaterialsManager.DecryptionMaterials(ctx, req)
	if err == nil {
		r.dataKeys = append(r.dataKeys, m.DataKey, m.SymmetricSigningKey)
	}
	return m, err
}

func record(t testing.TB) *recorder {
	return &recorder{MaterialsManager: manager(t, rawAES(t, "ns", "key", make([]byte, 32)))}
}

// broad is a configuration whose attributes are of all kinds, with names past ASCII.
func broad(suite keyring.Suite, key Action) Config {
	c := Config{
		Table: "tâble", PartitionKey: "pk", SortKey: "schlüssel", Suite: suite,
		Actions:  map[string]Action{"pk": key, "schlüssel": key, "ｓ": SignOnly, "😀s": SignOnly, "none": DoNothing},
		Unsigned: []string{"none", "later"}, UnsignedPrefix: ":",
	}
	for name := range everyType() {
		c.Actions["e-"+name] = EncryptAndSign
		c.Actions["s-"+name] = SignOnly
		if key == SignAndIncludeInContext {
			c.Actions["c-"+name] = key
		}
		c.Actions["😀"+name] = EncryptAndSign
	}
	return c
}

func broadItem(c Config) item {
	it := item{
		"pk": str("customer ～😀"), "schlüssel": num("-12.5"), "ｓ": str("x"), "😀s": str("y"),
		"none": str("free"), "later": num("07"), ":x": strs("b", "a"),
	}
	for name, v := range everyType() {
		for _, prefix := range []string{"e-", "s-", "c-", "😀"} {
			if _, ok := c.Actions[prefix+name]; ok {
				it[prefix+name] = v
			}
		}
	}
	return it
}

func TestRoundTrip(t *testing.T) {
	eachKind(t, func(t *testing.T, suite keyring.Suite, key Action) {
		r := record(t)
		c := broad(suite, key)
		table := newTable(t, r, c)
		in := broadItem(c)
		before := serialized(t, object(in))
		shallow := maps.Clone(in)

		out, err := table.Encrypt(t.Context(), in)
		require.NoError(t, err)
		assert.Equal(t, before, serialized(t, object(in)))
		assert.Equal(t, shallow, in)
		assert.Len(t, out, len(in)+2)
		for name, v := range in {
			if c.Actions[name] != EncryptAndSign || table.config.isUnsigned(name) {
				assert.Same(t, v, out[name], name)
				continue
			}
			b, err := binaryOf(name, out[name])
			require.NoError(t, err, name)
			plain := serialized(t, v)
			assert.Equal(t, plain[:2], string(b[:2]), name)
			assert.Len(t, b, len(plain)+16, name)
			assert.Equal(t, len(b), cap(b), name)
			if len(plain) > 8 {
				assert.NotContains(t, string(b), plain[2:], name)
			}
		}
		headBytes, err := binaryOf(headAttribute, out[headAttribute])
		require.NoError(t, err)
		h, err := parseHead(headBytes, 1)
		require.NoError(t, err)
		assert.Equal(t, suite, h.suite)
		assert.Equal(t, table.version, h.version)
		foot, err := binaryOf(footAttribute, out[footAttribute])
		require.NoError(t, err)
		if suite == signed {
			assert.Len(t, foot, 48+103)
		} else {
			assert.Len(t, foot, 48)
			assert.Equal(t, noPairs, h.context)
		}

		sealedBefore := serialized(t, object(out))
		back, err := table.Decrypt(t.Context(), out)
		require.NoError(t, err)
		assert.Equal(t, in, back)
		assert.Equal(t, sealedBefore, serialized(t, object(out)))
		require.Len(t, r.dataKeys, 4)
		for _, key := range r.dataKeys {
			assert.Equal(t, make([]byte, 32), key, "not cleared")
		}
		assert.Equal(t, r.contexts[0], r.contexts[1])

		other, err := table.Encrypt(t.Context(), in)
		require.NoError(t, err)
		assert.NotEqual(t, out["e-string"], other["e-string"])
		// With another manager's requests in between, what is pooled does not show.
		again, err := table.Decrypt(t.Context(), out)
		require.NoError(t, err)
		assert.Equal(t, in, again)
	})
}

func TestContext(t *testing.T) {
	typed := func(id string, v string) string { return base64.StdEncoding.EncodeToString([]byte(id + v)) }
	for name, c := range map[string]struct {
		config Config
		item   item
		want   keyring.EncryptionContext
		seen   item // by a supplier of branch keys
	}{
		"partition key": {
			Config{Table: "t", PartitionKey: "pk", Actions: map[string]Action{"pk": SignOnly}},
			item{"pk": num("1.0")},
			keyring.EncryptionContext{"aws-crypto-table-name": "t", "aws-crypto-partition-name": "pk", "aws-crypto-attr.pk": typed("\x00\x02", "1")},
			item{"pk": num("1")},
		},
		"sort key": {
			Config{Table: "t", PartitionKey: "pk", SortKey: "sk", Actions: map[string]Action{"pk": SignOnly, "sk": SignOnly}},
			item{"pk": str("é"), "sk": bin("\x00")},
			keyring.EncryptionContext{"aws-crypto-table-name": "t", "aws-crypto-partition-name": "pk", "aws-crypto-sort-name": "sk",
				"aws-crypto-attr.pk": typed("\x00\x01", "é"), "aws-crypto-attr.sk": typed("\xff\xff", "\x00")},
			item{"pk": str("é"), "sk": bin("\x00")},
		},
		"version 2": {
			Config{Table: "t", PartitionKey: "pk", SortKey: "zz", Actions: map[string]Action{
				"pk": SignAndIncludeInContext, "zz": SignAndIncludeInContext, "～": SignAndIncludeInContext, "😀": SignAndIncludeInContext,
				"long-name": SignAndIncludeInContext, "b": SignAndIncludeInContext, "set": SignAndIncludeInContext, "s": SignOnly,
			}},
			item{"pk": str("id"), "zz": num("010.50"), "～": null(), "😀": boolean(true), "long-name": boolean(false), "b": bin("x"), "set": strs("b", "a"), "s": str("s")},
			keyring.EncryptionContext{"aws-crypto-table-name": "t", "aws-crypto-partition-name": "pk", "aws-crypto-sort-name": "zz",
				"aws-crypto-attr.pk": "id", "aws-crypto-attr.zz": "10.5", "aws-crypto-attr.～": "null", "aws-crypto-attr.😀": "true",
				"aws-crypto-attr.long-name": "false", "aws-crypto-attr.b": typed("\xff\xff", "x"),
				"aws-crypto-attr.set": typed("\x01\x01", "\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x01b"),
				// b, long-name, pk, set, zz, ～, 😀
				"aws-crypto-legend": "BLSBNLL"},
			item{"pk": str("id"), "zz": num("10.5"), "～": null(), "😀": boolean(true), "long-name": boolean(false), "b": bin("x"), "set": strs("a", "b")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t)
			table := newTable(t, r, c.config)
			out, err := table.Encrypt(t.Context(), c.item)
			require.NoError(t, err)
			_, err = table.Decrypt(t.Context(), out)
			require.NoError(t, err)
			assert.Equal(t, []keyring.EncryptionContext{c.want, c.want}, r.contexts)

			var seen item
			id, err := BranchKeySupplier(func(it item) (string, error) { seen = it; return "tenant", nil })(c.want)
			require.NoError(t, err)
			assert.Equal(t, "tenant", id)
			assert.Equal(t, c.seen, seen)
		})
	}
}

// simple is a configuration of few attributes.
func simple(suite keyring.Suite, key Action) Config {
	return Config{Table: "orders", PartitionKey: "pk", SortKey: "sk", Suite: suite, Actions: map[string]Action{
		"pk": key, "sk": key, "secret": EncryptAndSign, "other": EncryptAndSign, "seen": SignOnly,
	}}
}

func simpleItem() item {
	return item{"pk": str("customer-17"), "sk": num("7"), "secret": str("plaintext-1"), "other": str("plaintext-2"), "seen": str("open-text")}
}

// TestActionsThatChange reads items that were written under other actions, as long as the
// same attributes are signed.
func TestActionsThatChange(t *testing.T) {
	m := record(t)
	for name, c := range map[string]struct {
		before, after Action // of "changed"
		beforeKey     Action
		afterKey      Action
	}{
		"encrypt to sign":    {EncryptAndSign, SignOnly, SignOnly, SignOnly},
		"sign to encrypt":    {SignOnly, EncryptAndSign, SignOnly, SignOnly},
		"encrypt to context": {EncryptAndSign, SignAndIncludeInContext, SignOnly, SignAndIncludeInContext},
		"context to encrypt": {SignAndIncludeInContext, EncryptAndSign, SignAndIncludeInContext, SignOnly},
		"context to sign":    {SignAndIncludeInContext, SignOnly, SignAndIncludeInContext, SignAndIncludeInContext},
	} {
		t.Run(name, func(t *testing.T) {
			config := func(changed, key Action) Config {
				c := simple(0, key)
				c.Actions["changed"] = changed
				return c
			}
			before, after := newTable(t, m, config(c.before, c.beforeKey)), newTable(t, m, config(c.after, c.afterKey))
			in := simpleItem()
			in["changed"] = nums("2", "1.0")
			for _, way := range [][2]*Table{{before, after}, {after, before}} {
				out, err := way[0].Encrypt(t.Context(), in)
				require.NoError(t, err)
				back, err := way[1].Decrypt(t.Context(), out)
				require.NoError(t, err)
				assert.Equal(t, serialized(t, object(in)), serialized(t, object(back)))
			}
		})
	}
	// An attribute that has lost its action is read, and no longer written.
	before := simple(0, SignOnly)
	before.Actions["gone"] = EncryptAndSign
	in := simpleItem()
	in["gone"] = str("x")
	out, err := newTable(t, m, before).Encrypt(t.Context(), in)
	require.NoError(t, err)
	after := newTable(t, m, simple(0, SignOnly))
	back, err := after.Decrypt(t.Context(), out)
	require.NoError(t, err)
	assert.Equal(t, in, back)
	_, err = after.Encrypt(t.Context(), back)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)

	// What is signed cannot become unsigned, nor the other way round.
	unsigned := simple(0, SignOnly)
	unsigned.Unsigned = []string{"gone"}
	_, err = newTable(t, m, unsigned).Decrypt(t.Context(), out)
	require.ErrorIs(t, err, envelope.ErrAuthentication)
	out, err = newTable(t, m, unsigned).Encrypt(t.Context(), in)
	require.NoError(t, err)
	_, err = after.Decrypt(t.Context(), out)
	require.ErrorIs(t, err, envelope.ErrAuthentication)
}

func TestPlaintextPolicy(t *testing.T) {
	r := record(t)
	config := func(p PlaintextPolicy) Config {
		c := simple(0, SignOnly)
		c.Plaintext = p
		return c
	}
	forbid, read, write := newTable(t, r, config(ForbidPlaintext)), newTable(t, r, config(AllowPlaintextRead)), newTable(t, r, config(ForcePlaintextWrite))
	in := simpleItem()
	in["not configured"] = str("x")
	clear, err := write.Encrypt(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, in, clear)
	clear["more"] = null()
	assert.NotContains(t, in, "more")
	delete(clear, "more")
	require.Zero(t, r.encrypts)

	_, err = forbid.Decrypt(t.Context(), clear)
	require.ErrorIs(t, err, ErrNotEncrypted)
	for _, table := range []*Table{read, write} {
		back, err := table.Decrypt(t.Context(), clear)
		require.NoError(t, err)
		assert.Equal(t, in, back)
		back["more"] = null()
		assert.NotContains(t, clear, "more")
	}
	require.Zero(t, r.decrypts)

	sealed, err := read.Encrypt(t.Context(), simpleItem())
	require.NoError(t, err)
	assert.Contains(t, sealed, headAttribute)
	for _, table := range []*Table{forbid, read, write} {
		back, err := table.Decrypt(t.Context(), sealed)
		require.NoError(t, err)
		assert.Equal(t, simpleItem(), back)
	}
	// Half an item is no plaintext.
	for _, name := range []string{headAttribute, footAttribute} {
		half := maps.Clone(sealed)
		delete(half, name)
		for _, table := range []*Table{forbid, read, write} {
			_, err := table.Decrypt(t.Context(), half)
			require.ErrorIs(t, err, envelope.ErrMalformed)
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, name, e.Attribute)
		}
	}
	_, err = write.Encrypt(t.Context(), sealed)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
}

// TestRequireSignature has items without a signature be read by all tables but those that
// require one, which ask for no key.
func TestRequireSignature(t *testing.T) {
	const signs, doesNot = keyring.SuiteDBEAES256GCMHKDFSHA512CommitECDSAP384HMACSHA384, keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384
	m := record(t)
	bare := encrypt(t, newTable(t, m, simple(doesNot, SignOnly)), simpleItem())
	for _, suite := range []keyring.Suite{0, signs} {
		c := simple(suite, SignOnly)
		lax := newTable(t, m, c)
		c.RequireSignature = true
		strict := newTable(t, m, c)
		for _, table := range []*Table{lax, strict} {
			got, err := table.Decrypt(t.Context(), encrypt(t, strict, simpleItem()))
			require.NoError(t, err)
			assert.Equal(t, simpleItem(), got)
		}
		got, err := lax.Decrypt(t.Context(), bare)
		require.NoError(t, err)
		assert.Equal(t, simpleItem(), got)

		before := m.decrypts
		_, err = strict.Decrypt(t.Context(), bare)
		require.ErrorIs(t, err, envelope.ErrPolicy)
		require.ErrorContains(t, err, "Config.RequireSignature is set")
		assert.Equal(t, before, m.decrypts)
		signed := encrypt(t, strict, simpleItem())
		signed[headAttribute].(*types.AttributeValueMemberB).Value[1] = 0 // the suite that it says
		_, err = strict.Decrypt(t.Context(), signed)
		require.ErrorIs(t, err, envelope.ErrPolicy)
		_, err = lax.Decrypt(t.Context(), signed)
		require.Error(t, err)
	}
}

func TestSize(t *testing.T) {
	for _, suite := range []keyring.Suite{hmacOnly, signed} {
		r := record(t)
		table := newTable(t, r, simple(suite, SignOnly))
		sized := func(encrypted, open int) item {
			it := simpleItem()
			it["secret"], it["seen"] = bin(strings.Repeat("x", encrypted)), str(strings.Repeat("y", open))
			return it
		}
		size := func(it item) (n int) {
			for name, v := range it {
				n += len(name) + sizeOf(v)
			}
			return n
		}
		out, err := table.Encrypt(t.Context(), sized(0, 0))
		require.NoError(t, err)
		room := MaxItemSize - size(out)
		for _, open := range []int{0, 1000, room} {
			out, err := table.Encrypt(t.Context(), sized(room-open, open))
			require.NoError(t, err)
			assert.Equal(t, MaxItemSize, size(out))
			_, err = table.Decrypt(t.Context(), out)
			require.NoError(t, err)
			out, err = table.Encrypt(t.Context(), sized(room-open+1, open))
			assert.Nil(t, out)
			require.ErrorIs(t, err, envelope.ErrLimit)
			var e *SizeError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, MaxItemSize+1, e.Size)
		}
		before := r.encrypts
		_, err = table.Encrypt(t.Context(), sized(MaxItemSize, 0))
		require.ErrorIs(t, err, envelope.ErrLimit)
		assert.Equal(t, before, r.encrypts, "no key is made for an item that is too large without its head")
	}
}

func TestSizeOf(t *testing.T) {
	var nilString *types.AttributeValueMemberS
	for _, c := range []struct {
		value types.AttributeValue
		want  int
	}{
		{str("é"), 2}, {bin("abc"), 3}, {null(), 1}, {boolean(false), 1}, {str(""), 0},
		{num("0"), 1}, {num("1"), 2}, {num("-1"), 3}, {num("12"), 2}, {num("123"), 3}, {num("1200"), 2}, {num("0.0012"), 2}, {num("1.2"), 2}, {num("10.01"), 3},
		{num(strings.Repeat("9", 38)), 20}, {num("1e100"), 2}, {num("x"), 2},
		{strs("a", "bc"), 3}, {nums("1", "-1"), 5}, {bins("a", "bc"), 3},
		{list(), 3}, {list(str("ab"), null()), 8}, {object(item{}), 3}, {object(item{"k": str("ab")}), 7},
		{nil, 0}, {nilString, 0}, {list(nil), 4},
	} {
		assert.Equal(t, c.want, sizeOf(c.value), "%v", c.value)
	}
}

// TestDepth has values that hold themselves: no call follows them without end, also where
// they are not serialized.
func TestDepth(t *testing.T) {
	m := item{}
	m["self"], m["again"] = object(m), object(m)
	l := &types.AttributeValueMemberL{Value: make([]types.AttributeValue, 2)}
	l.Value[0], l.Value[1] = l, l
	c := simple(hmacOnly, SignOnly)
	c.UnsignedPrefix = "free"
	table := newTable(t, record(t), c)
	for _, name := range []string{"free", "secret", "seen", "pk"} {
		for _, v := range []types.AttributeValue{object(m), l, nested(33)} {
			_, err := table.Encrypt(t.Context(), with(simpleItem(), name, v))
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			require.ErrorContains(t, err, "32 levels")
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, name, e.Attribute)
		}
	}
	in := with(with(simpleItem(), "free", nested(32)), "secret", nested(32))
	out, err := table.Encrypt(t.Context(), in)
	require.NoError(t, err)
	back, err := table.Decrypt(t.Context(), out)
	require.NoError(t, err)
	assert.Equal(t, in, back)

	_, err = table.Decrypt(t.Context(), with(out, "seen", object(m)))
	require.ErrorIs(t, err, envelope.ErrMalformed)
	back, err = table.Decrypt(t.Context(), with(out, "free", object(m)))
	require.NoError(t, err)
	assert.Contains(t, back, "free")
}

// extra is a manager that adds a pair to the context, which is stored.
type extra struct{ keyring.MaterialsManager }

func (e extra) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	req.Context = maps.Clone(req.Context)
	req.Context["tenant"] = "42"
	req.Context["a"] = "b"
	return e.MaterialsManager.EncryptionMaterials(ctx, req)
}

// required is a manager that adds a pair which is authenticated and not stored.
type required struct{ keyring.MaterialsManager }

func (r required) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	req.Context = maps.Clone(req.Context)
	req.Context["purpose"] = "tests"
	req.RequiredKeys = append(slices.Clone(req.RequiredKeys), "purpose")
	return r.MaterialsManager.EncryptionMaterials(ctx, req)
}

func (r required) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	req.Reproduced = maps.Clone(req.Reproduced)
	req.Reproduced["purpose"] = "tests"
	return r.MaterialsManager.DecryptionMaterials(ctx, req)
}

func TestRequiredPairs(t *testing.T) {
	eachKind(t, func(t *testing.T, suite keyring.Suite, key Action) {
		m := record(t)
		table := newTable(t, required{m}, simple(suite, key))
		out, err := table.Encrypt(t.Context(), simpleItem())
		require.NoError(t, err)
		back, err := table.Decrypt(t.Context(), out)
		require.NoError(t, err)
		assert.Equal(t, simpleItem(), back)
		assert.NotContains(t, string(m.stored[0]), "purpose")
		_, err = newTable(t, m, table.config).Decrypt(t.Context(), out)
		require.ErrorIs(t, err, envelope.ErrContextMismatch)
	})
}

func TestStoredPairs(t *testing.T) {
	eachKind(t, func(t *testing.T, suite keyring.Suite, key Action) {
		m := record(t)
		table := newTable(t, extra{m}, simple(suite, key))
		out, err := table.Encrypt(t.Context(), simpleItem())
		require.NoError(t, err)
		back, err := table.Decrypt(t.Context(), out)
		require.NoError(t, err)
		assert.Equal(t, simpleItem(), back)
		req := keyring.DecryptionRequest{Stored: m.stored[0]}
		stored, keys, err := req.Parse()
		require.NoError(t, err)
		assert.Len(t, keys, 1)
		assert.Equal(t, "42", stored["tenant"])
		assert.Equal(t, "b", stored["a"])
		want := 2
		if suite == signed {
			want = 3
		}
		assert.Len(t, stored, want)
	})
}

// TestSeveralKeys has items wrapped by three keys: the reader with any of them opens them.
func TestSeveralKeys(t *testing.T) {
	eachKind(t, func(t *testing.T, suite keyring.Suite, key Action) {
		var all []keyring.Keyring
		for i := range 3 {
			all = append(all, rawAES(t, "ns", fmt.Sprint("key", i), slices.Repeat([]byte{byte(i)}, 32)))
		}
		multi, err := keyring.NewMulti(all[0], all[1:]...)
		require.NoError(t, err)
		out, err := newTable(t, manager(t, multi), simple(suite, key)).Encrypt(t.Context(), simpleItem())
		require.NoError(t, err)
		foot, err := binaryOf(footAttribute, out[footAttribute])
		require.NoError(t, err)
		for i, kr := range all {
			table := newTable(t, manager(t, kr), simple(suite, key))
			back, err := table.Decrypt(t.Context(), out)
			require.NoError(t, err)
			assert.Equal(t, simpleItem(), back)

			// Its own tag must verify, whatever the others are.
			foot[i*tagLen] ^= 1
			_, err = table.Decrypt(t.Context(), out)
			require.ErrorIs(t, err, envelope.ErrAuthentication)
			foot[i*tagLen] ^= 1
		}
		few := simple(suite, key)
		few.MaxEncryptedDataKeys = 2
		table := newTable(t, manager(t, multi), few)
		_, err = table.Decrypt(t.Context(), out)
		require.ErrorIs(t, err, envelope.ErrLimit)
		_, err = table.Encrypt(t.Context(), simpleItem())
		require.ErrorIs(t, err, envelope.ErrLimit)
	})
}

func TestConcurrentUse(t *testing.T) {
	table := newTable(t, manager(t, rawAES(t, "ns", "key", make([]byte, 32))), broad(hmacOnly, SignAndIncludeInContext))
	in := broadItem(table.config)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				out, err := table.Encrypt(t.Context(), in)
				if !assert.NoError(t, err) {
					return
				}
				back, err := table.Decrypt(t.Context(), out)
				assert.NoError(t, err)
				assert.Equal(t, in, back)
			}
		})
	}
	wg.Wait()
}

// TestCached reads an item twice with one call of the keyring.
func TestCached(t *testing.T) {
	kr := rawAES(t, "ns", "key", make([]byte, 32))
	cached, err := cache.New(kr, cache.Limits{MaxAge: 3600e9})
	require.NoError(t, err)
	defer cached.Close()
	table := newTable(t, cached, simple(0, SignOnly))
	for range 2 {
		out, err := table.Encrypt(t.Context(), simpleItem())
		require.NoError(t, err)
		for range 2 {
			back, err := table.Decrypt(t.Context(), out)
			require.NoError(t, err)
			assert.Equal(t, simpleItem(), back)
		}
	}
}

// wrappedOf returns the wrapped keys of an encrypted item.
func wrappedOf(t *testing.T, it item) []byte {
	b, err := binaryOf(headAttribute, it[headAttribute])
	require.NoError(t, err)
	h, err := parseHead(b, maxDataKeys)
	require.NoError(t, err)
	return h.keys
}

// TestCachedBytes has a cache count what items encrypt under one data key: their values
// and the types of these.
func TestCachedBytes(t *testing.T) {
	const item = int64(len("plaintext-1") + 2 + len("plaintext-2") + 2)
	cached, err := cache.New(rawAES(t, "ns", "key", make([]byte, 32)), cache.Limits{MaxAge: 3600e9, MaxBytes: 3 * item})
	require.NoError(t, err)
	defer cached.Close()
	table := newTable(t, cached, simple(0, SignOnly))
	var all [][]byte
	for range 4 {
		out, err := table.Encrypt(t.Context(), simpleItem())
		require.NoError(t, err)
		all = append(all, wrappedOf(t, out))
	}
	assert.Equal(t, all[0], all[1])
	assert.Equal(t, all[0], all[2])
	assert.NotEqual(t, all[0], all[3])

	r := record(t)
	_, err = newTable(t, r, simple(0, SignOnly)).Encrypt(t.Context(), simpleItem())
	require.NoError(t, err)
	assert.Equal(t, []int64{item}, r.lengths)
}

// TestSameKeyForSeveral encrypts several items under one data key, as a cache lets them:
// nothing of their ciphertexts is the same.
func TestSameKeyForSeveral(t *testing.T) {
	cached, err := cache.New(rawAES(t, "ns", "key", make([]byte, 32)), cache.Limits{MaxAge: 3600e9})
	require.NoError(t, err)
	defer cached.Close()
	eachKind(t, func(t *testing.T, suite keyring.Suite, key Action) {
		table := newTable(t, cached, simple(suite, key))
		in := with(with(simpleItem(), "other", bin(strings.Repeat("x", 64))), "secret", bin(strings.Repeat("x", 64)))
		seen := map[string]bool{}
		var wrapped []byte
		for range 3 {
			out, err := table.Encrypt(t.Context(), in)
			require.NoError(t, err)
			b, err := binaryOf(headAttribute, out[headAttribute])
			require.NoError(t, err)
			h, err := parseHead(b, 1)
			require.NoError(t, err)
			if wrapped == nil {
				wrapped = h.keys
			}
			require.Equal(t, wrapped, h.keys, "not from the cache")
			for _, part := range []string{string(h.messageID), string(h.commitment)} {
				require.False(t, seen[part])
				seen[part] = true
			}
			// Blocks of one key stream would be the same in all: the values are of one byte.
			for _, name := range []string{"secret", "other"} {
				b, err := binaryOf(name, out[name])
				require.NoError(t, err)
				for b := b[2:66]; len(b) > 0; b = b[16:] {
					require.False(t, seen[string(b[:16])], "a key stream twice")
					seen[string(b[:16])] = true
				}
			}
		}
	})
}

// TestReleaseClears looks at what a call leaves behind for the next one.
func TestReleaseClears(t *testing.T) {
	w := &work{derivation: *newDerivation()}
	w.add("a", str("x"), &attribute{path: []byte("path")})
	w.startField(&w.item[0], nil)
	w.fields = append(w.fields, "plaintext of an attribute"...)
	w.finishField(&w.item[0])
	require.NoError(t, w.derive(slices.Repeat([]byte{1}, 32)))
	require.NoError(t, w.fieldKeys(2))
	w.mac(w.result[:0], w.sha512, w.commitKey[:], []byte("message"))
	secret := map[string][]byte{
		"fields": w.fields, "commit key": w.commitKey[:], "root key": w.rootKey[:], "stream": w.stream, "block": w.block[:], "sum": w.sum,
		"inner": w.behindInner, "outer": w.behindOut, "result": w.result[:],
	}
	for name, b := range secret {
		require.NotEqual(t, make([]byte, len(b)), b, name)
	}
	items := w.item
	w.release()
	for name, b := range secret {
		assert.Equal(t, make([]byte, len(b)), b, name)
	}
	assert.Equal(t, field{}, items[0])
	assert.Equal(t, freshSHA512, save(nil, w.sha512))
	assert.Equal(t, freshSHA384, save(nil, w.sha384))
}

// TestCallsRelease looks at what calls leave in the pool, those too that fail.
func TestCallsRelease(t *testing.T) {
	var made []*work
	before := works.New
	works.New = func() any {
		w := before().(*work)
		made = append(made, w)
		return w
	}
	defer func() { works.New = before }()

	table := newTable(t, record(t), simple(0, SignOnly))
	var out item
	for name, call := range map[string]func(){
		"encrypt":        func() { out, _ = table.Encrypt(t.Context(), simpleItem()) },
		"refuse":         func() { table.Encrypt(t.Context(), with(simpleItem(), "secret", num("x"))) },
		"decrypt":        func() { table.Decrypt(t.Context(), out) },
		"refuse a tag":   func() { table.Decrypt(t.Context(), with(out, "seen", str("x"))) },
		"refuse a value": func() { table.Decrypt(t.Context(), with(out, "seen", nil)) },
	} {
		var err error
		out, err = table.Encrypt(t.Context(), simpleItem())
		require.NoError(t, err)
		for made = nil; made == nil; {
			works.Get() // until none is left of earlier calls
		}
		works.Put(made[0])
		call()
		for _, w := range made {
			assert.Empty(t, w.item, name)
			assert.Empty(t, w.fields, name)
			assert.Zero(t, w.rootKey, name)
			assert.Zero(t, w.commitKey, name)
			for _, b := range [][]byte{w.fields, w.stream, w.sum} {
				assert.Zero(t, bytes.Trim(b[:cap(b)], "\x00"), name)
			}
		}
	}
}

// TestReleaseDropsLargeBuffers has an item of many attributes not cost every later item the
// clearing of what it needed.
func TestReleaseDropsLargeBuffers(t *testing.T) {
	w := &work{derivation: *newDerivation()}
	for range 2000 {
		w.add("a", nil, nil)
	}
	w.fields, w.head, w.legend = make([]byte, 70<<10), make([]byte, 70<<10), make([]byte, 70<<10)
	require.NoError(t, w.fieldKeys(2000))
	stream := w.stream
	w.release()
	assert.Equal(t, make([]byte, len(stream)), stream)
	for name, n := range map[string]int{
		"item": cap(w.item), "fields": cap(w.fields), "head": cap(w.head), "legend": cap(w.legend), "stream": cap(w.stream),
	} {
		assert.Zero(t, n, name)
	}
	small := &work{derivation: *newDerivation()}
	small.add("a", nil, nil)
	require.NoError(t, small.fieldKeys(20))
	small.release()
	assert.NotZero(t, cap(small.item))
	assert.NotZero(t, cap(small.stream))
	assert.Empty(t, small.item)
}

func TestContextDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := record(t)
	table := newTable(t, r, simple(0, SignOnly))
	_, err := table.Encrypt(ctx, simpleItem())
	require.ErrorIs(t, err, context.Canceled)
	_, err = table.Decrypt(ctx, simpleItem())
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, r.encrypts+r.decrypts)
}
