package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// TestIdentity has pairs of requests that must not share.
func TestIdentity(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{}, nil)
	misses := func(t *testing.T, ask func()) {
		before := m.loads.Load()
		ask()
		assert.Equal(t, before+1, m.loads.Load(), "shared with another request")
		ask()
		assert.Equal(t, before+1, m.loads.Load(), "not shared with itself")
	}
	for name, req := range map[string]keyring.EncryptionRequest{
		"base":            request("42"),
		"suite":           {Suite: signed, Context: request("42").Context},
		"suite named":     {Suite: unsigned, Context: request("42").Context},
		"policy":          {CommitmentPolicy: keyring.RequireEncryptAllowDecrypt, Context: request("42").Context},
		"no context":      {},
		"another value":   request("43"),
		"another key":     {Context: keyring.EncryptionContext{"tenan": "t42"}},
		"shifted":         {Context: keyring.EncryptionContext{"tenant4": "2"}},
		"more":            {Context: keyring.EncryptionContext{"tenant": "42", "": ""}},
		"required":        {Context: request("42").Context, RequiredKeys: []string{"tenant"}},
		"committing less": {CommitmentPolicy: keyring.ForbidEncryptAllowDecrypt, Context: request("42").Context},
	} {
		t.Run("encrypt: "+name, func(t *testing.T) {
			misses(t, func() { encrypt(t, c, req) })
		})
	}
	t.Run("partitions", func(t *testing.T) {
		for _, name := range []string{"a", "b", "ab"} {
			misses(t, func() { encrypt(t, c.Partition(name), request("42")) })
		}
		misses(t, func() { encrypt(t, c.Partition("x"), request("x")) })
	})
	t.Run("order of required keys", func(t *testing.T) {
		req := keyring.EncryptionRequest{Context: keyring.EncryptionContext{"a": "", "b": ""}, RequiredKeys: []string{"a", "b"}}
		misses(t, func() { encrypt(t, c, req) })
		before := m.loads.Load()
		req.RequiredKeys = []string{"b", "a"}
		encrypt(t, c, req)
		assert.Equal(t, before, m.loads.Load())
	})

	aes, err := keyring.NewRawAES("test", "kek", make([]byte, 32))
	require.NoError(t, err)
	e := encrypt(t, m, request("42"))
	again := &keyring.EncryptionMaterials{Suite: e.Suite, Context: e.Context, DataKey: e.DataKey}
	require.NoError(t, aes.OnEncrypt(t.Context(), again))
	base := toDecrypt(e)
	stored := func(ec keyring.EncryptionContext, keys []keyring.EncryptedDataKey) []byte {
		return toDecrypt(&keyring.EncryptionMaterials{Context: ec, EncryptedDataKeys: keys}).Stored
	}
	for name, change := range map[string]func(*keyring.DecryptionRequest){
		"base":   func(*keyring.DecryptionRequest) {},
		"policy": func(r *keyring.DecryptionRequest) { r.CommitmentPolicy = keyring.RequireEncryptAllowDecrypt },
		"not stored": func(r *keyring.DecryptionRequest) {
			r.Reproduced, r.Stored = e.Context, stored(nil, e.EncryptedDataKeys)
		},
		"wrapped key": func(r *keyring.DecryptionRequest) { r.Stored = stored(e.Context, again.EncryptedDataKeys) },
		"wrapped keys": func(r *keyring.DecryptionRequest) {
			r.Stored = stored(e.Context, append(e.EncryptedDataKeys[:1:1], again.EncryptedDataKeys...))
		},
	} {
		t.Run("decrypt: "+name, func(t *testing.T) {
			req := base
			change(&req)
			misses(t, func() { decrypt(t, c, req) })
		})
	}
	t.Run("decrypt: pairs that confirm what is stored", func(t *testing.T) {
		req := base
		req.Reproduced = e.Context
		before := m.loads.Load()
		decrypt(t, c, req)
		assert.Equal(t, before, m.loads.Load())

		// What contradicts it is no hit, and never was.
		req.Reproduced = keyring.EncryptionContext{"tenant": "43"}
		_, err := c.DecryptionMaterials(t.Context(), req)
		require.ErrorIs(t, err, keyring.ErrContextMismatch)
	})
	t.Run("partition of decrypts", func(t *testing.T) {
		misses(t, func() { decrypt(t, c.Partition("a"), base) })
	})
	t.Run("another cache", func(t *testing.T) {
		other := newTestCache(t, m, Limits{}, nil)
		misses(t, func() { encrypt(t, other, request("42")) })
	})
}

// parts takes an identity that was not hashed apart, by code that shares nothing with what
// made it: so what makes different parts makes different identities.
type parts struct {
	kind, policy byte
	suite        uint64
	partition    string
	rest         []string
}

func partsOf(t *testing.T, id []byte, withKeys bool) parts {
	number := func() uint64 {
		require.GreaterOrEqual(t, len(id), 8)
		n := binary.BigEndian.Uint64(id)
		id = id[8:]
		return n
	}
	part := func() string {
		n := number()
		require.LessOrEqual(t, n, uint64(len(id)))
		s := string(id[:n])
		id = id[n:]
		return s
	}
	p := parts{kind: id[0], policy: id[1]}
	id = id[2:]
	p.suite, p.partition = number(), part()
	p.rest = append(p.rest, part())
	if withKeys {
		for range number() {
			p.rest = append(p.rest, part())
		}
	} else {
		p.rest = append(p.rest, part())
	}
	require.Empty(t, id)
	return p
}

func TestIdentityHasAllParts(t *testing.T) {
	ec := keyring.EncryptionContext{"tenant": "42", "table": "t"}
	serialized, err := ec.AppendBinary(nil)
	require.NoError(t, err)
	for _, req := range []keyring.EncryptionRequest{
		{},
		{Context: ec},
		{Context: ec, RequiredKeys: []string{"tenant"}},
		{Context: ec, RequiredKeys: []string{"tenant", "table"}},
		{Context: ec, Suite: signed, CommitmentPolicy: keyring.ForbidEncryptAllowDecrypt},
	} {
		want := parts{kind: 1, policy: byte(req.CommitmentPolicy), suite: uint64(req.Suite), partition: "p", rest: []string{""}}
		if req.Context != nil {
			want.rest[0] = string(serialized)
		}
		want.rest = append(want.rest, slices.Sorted(slices.Values(req.RequiredKeys))...)
		id, err := encryptionIdentity(nil, &req, "p")
		require.NoError(t, err)
		assert.Equal(t, want, partsOf(t, id, true))
	}
	for _, reproduced := range []bool{false, true} {
		req := keyring.DecryptionRequest{Suite: unsigned, CommitmentPolicy: keyring.RequireEncryptAllowDecrypt, Stored: []byte("stored"), Reproduced: ec}
		want := parts{kind: 2, policy: byte(req.CommitmentPolicy), suite: uint64(unsigned), partition: "p", rest: []string{"stored", ""}}
		if reproduced {
			want.rest[1] = string(serialized)
		}
		id, err := decryptionIdentity(nil, &req, "p", reproduced)
		require.NoError(t, err)
		assert.Equal(t, want, partsOf(t, id, false))
	}
}

// TestLongIdentity has identities around the length from which they are hashed.
func TestLongIdentity(t *testing.T) {
	req := keyring.DecryptionRequest{Suite: unsigned, Stored: []byte("x")}
	identity := func(n int) []byte {
		req.Stored = bytes.Repeat([]byte{'x'}, n)
		id, err := decryptionIdentity(make([]byte, 0, 16), &req, "p", false)
		require.NoError(t, err)
		return id
	}
	const beside = 2 + 8 + 8 + 1 + 8 + 8
	longest := identity(maxIdentity - beside)
	require.Len(t, longest, maxIdentity)
	require.Equal(t, byte(forDecryption), longest[0])
	seen := map[string]bool{string(longest): true}
	for n := maxIdentity - beside + 1; n < maxIdentity+100; n++ {
		id := identity(n)
		require.Len(t, id, 1+sha256.Size)
		require.Equal(t, byte(hashed), id[0], "it could be that of a short one")
		require.False(t, seen[string(id)])
		seen[string(id)] = true
	}
}

// TestIdentityOfBadContext has contexts that have no serialized form. Without an error all of
// them would have one identity.
func TestIdentityOfBadContext(t *testing.T) {
	c := newTestCache(t, newManager(t), Limits{}, nil)
	bad := keyring.EncryptionContext{"tenant": "\xff"}
	_, err := c.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Context: bad})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	for _, reproduced := range []bool{false, true} {
		c.ignoresStoredPairs = !reproduced
		req := toDecrypt(encrypt(t, c, request("42")))
		req.Reproduced = bad
		_, err = c.DecryptionMaterials(t.Context(), req)
		require.ErrorIs(t, err, message.ErrMalformed)
		require.False(t, c.Holds(req))
	}
	_, err = encryptionIdentity(nil, &keyring.EncryptionRequest{Context: bad}, "")
	require.ErrorIs(t, err, message.ErrMalformed)
	_, err = decryptionIdentity(nil, &keyring.DecryptionRequest{Reproduced: bad}, "", true)
	require.ErrorIs(t, err, message.ErrMalformed)
}

// TestEntryKeepsItsRequest has callers change what they have asked with: it is asked with
// again when the entry is replaced.
func TestEntryKeepsItsRequest(t *testing.T) {
	encryption := keyring.EncryptionRequest{Context: keyring.EncryptionContext{"tenant": "42"}, RequiredKeys: []string{"tenant"}, PlaintextLength: 7}
	e := newEncryptionEntry("id", "p", encryption)
	encryption.Context["tenant"], encryption.RequiredKeys[0] = "43", "x"
	want := &keyring.EncryptionRequest{Context: keyring.EncryptionContext{"tenant": "42"}, RequiredKeys: []string{"tenant"}, PlaintextLength: -1}
	assert.Equal(t, want, e.encryptReq)
	decryption := keyring.DecryptionRequest{Stored: []byte("stored"), Reproduced: keyring.EncryptionContext{"tenant": "42"}}
	d := newDecryptionEntry("id", "p", decryption)
	decryption.Reproduced["tenant"], decryption.Stored[0] = "43", 'x'
	assert.Equal(t, &keyring.DecryptionRequest{Stored: []byte("stored"), Reproduced: keyring.EncryptionContext{"tenant": "42"}}, d.decryptReq)
	for _, made := range []*entry{e, d} {
		again := made.again()
		assert.Equal(t, &entry{id: "id", partition: "p", encryptReq: made.encryptReq, decryptReq: made.decryptReq}, again)
	}
}

// TestCopiesShareNoKey has a caller clear what it was given, as every client does.
func TestCopiesShareNoKey(t *testing.T) {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
	e := &entry{encrypt: &keyring.EncryptionMaterials{DataKey: key(1), SymmetricSigningKeys: [][]byte{key(2), key(3)}}}
	d := &entry{decrypt: &keyring.DecryptionMaterials{DataKey: key(4), SymmetricSigningKey: key(5)}}
	for range 2 {
		one, other := e.copy(), d.copy()
		require.Equal(t, e.encrypt, one.e)
		require.Equal(t, d.decrypt, other.d)
		one.clear()
		other.clear()
		for _, cleared := range [][]byte{one.e.DataKey, other.d.DataKey} {
			require.NotContains(t, [][]byte{key(1), key(4)}, cleared)
		}
	}
	require.Equal(t, &keyring.EncryptionMaterials{DataKey: key(1), SymmetricSigningKeys: [][]byte{key(2), key(3)}}, e.encrypt)
	require.Equal(t, &keyring.DecryptionMaterials{DataKey: key(4), SymmetricSigningKey: key(5)}, d.decrypt)
}

// TestSpending has an entry at the edges of its limits.
func TestSpending(t *testing.T) {
	limits := &Limits{MaxMessages: 3, MaxBytes: 10}
	e := &entry{encrypt: &keyring.EncryptionMaterials{}}
	require.True(t, e.holds(10, limits))
	require.False(t, e.holds(11, limits))
	require.True(t, e.spend(4, limits))
	require.True(t, e.holds(6, limits))
	require.False(t, e.holds(7, limits))
	require.False(t, e.spend(7, limits), "more bytes than are left")
	require.True(t, e.spend(6, limits))
	require.True(t, e.holds(0, limits))
	require.True(t, e.spend(0, limits))
	require.False(t, e.holds(0, limits), "no message is left")
	require.False(t, e.spend(0, limits))

	unlimited := &Limits{MaxMessages: 3}
	e = &entry{encrypt: &keyring.EncryptionMaterials{}}
	require.True(t, e.holds(1<<40, unlimited))
	require.True(t, e.spend(1<<40, unlimited))
	least := &Limits{MaxMessages: 3, MaxBytes: 1}
	require.True(t, e.spend(1, least))
	require.False(t, e.spend(1, least))
	d := &entry{decrypt: &keyring.DecryptionMaterials{}}
	require.True(t, d.holds(1<<40, limits))
	require.True(t, d.spend(1<<40, limits))
	require.False(t, d.nearlySpent(limits))

	for _, c := range []struct {
		limits          Limits
		messages, bytes int64
		nearly          bool
	}{
		{Limits{MaxMessages: 16}, 14, 0, false},
		{Limits{MaxMessages: 16}, 15, 0, true},
		{Limits{MaxMessages: 15}, 15, 0, false}, // so few that it would be at once
		{Limits{MaxMessages: 800}, 700, 0, false},
		{Limits{MaxMessages: 800}, 701, 0, true},
		{Limits{MaxMessages: 1 << 30, MaxBytes: 16}, 1, 14, false},
		{Limits{MaxMessages: 1 << 30, MaxBytes: 16}, 1, 15, true},
		{Limits{MaxMessages: 1 << 30, MaxBytes: 15}, 1, 15, false},
		{Limits{MaxMessages: 1 << 30, MaxBytes: 800}, 1, 700, false},
		{Limits{MaxMessages: 1 << 30, MaxBytes: 800}, 1, 701, true},
	} {
		e := &entry{encrypt: &keyring.EncryptionMaterials{}}
		e.messages.Store(c.messages)
		e.bytes.Store(c.bytes)
		require.Equal(t, c.nearly, e.nearlySpent(&c.limits), "%+v", c.limits)
	}
}

// TestSpendingAtOnce has many spend bytes at the same time: each byte is counted.
func TestSpendingAtOnce(t *testing.T) {
	limits := &Limits{MaxMessages: 1 << 40, MaxBytes: 1 << 23} // long enough that they meet
	e := &entry{encrypt: &keyring.EncryptionMaterials{}}
	var spent atomic.Int64
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			var mine int64
			for e.spend(1, limits) {
				mine++
			}
			spent.Add(mine)
		})
	}
	done.Wait()
	require.Equal(t, limits.MaxBytes, spent.Load())
}

// TestMeasure has each part of an entry grow by bytes, or by an empty item, and looks how much
// more is measured. What is encrypted with keeps contexts and keys twice: as they are, and
// serialized.
func TestMeasure(t *testing.T) {
	const more = 1000
	long := strings.Repeat("x", more)
	fresh := func() (e, d *entry) {
		key := keyring.EncryptedDataKey{ProviderID: "p", ProviderInfo: []byte("i"), Ciphertext: []byte("c")}
		context := keyring.EncryptionContext{"k": "v"}
		e = newEncryptionEntry("id", "p", keyring.EncryptionRequest{Context: context})
		e.encrypt = &keyring.EncryptionMaterials{Context: context, EncryptedDataKeys: []keyring.EncryptedDataKey{key}}
		d = newDecryptionEntry("id", "p", keyring.DecryptionRequest{Reproduced: context})
		d.decrypt = &keyring.DecryptionMaterials{Context: maps.Clone(context)}
		return e, d
	}
	base, baseOfDecrypting := fresh()
	require.Positive(t, base.measure())
	for name, c := range map[string]struct {
		change     func(e, d *entry)
		more, most int64 // that it grows by
		decrypting bool
	}{
		"partition":         {func(e, _ *entry) { e.partition += long }, more, more, false},
		"identity":          {func(e, _ *entry) { e.id += identity(long) }, more, more, false},
		"key of a context":  {func(e, _ *entry) { e.encrypt.Context[long] = "" }, 2 * more, 2*more + 100, false},
		"context":           {func(e, _ *entry) { e.encrypt.Context["k"] += long }, 2 * more, 2 * more, false},
		"pair":              {func(e, _ *entry) { e.encrypt.Context[""] = "" }, 4 + 32, 4 + 128, false},
		"pair of a request": {func(e, _ *entry) { e.encryptReq.Context[""] = "" }, 32, 128, false},
		"provider":          {func(e, _ *entry) { e.encrypt.EncryptedDataKeys[0].ProviderID += long }, 2 * more, 2 * more, false},
		"info":              {func(e, _ *entry) { e.encrypt.EncryptedDataKeys[0].ProviderInfo = []byte("i" + long) }, 2 * more, 2 * more, false},
		"ciphertext":        {func(e, _ *entry) { e.encrypt.EncryptedDataKeys[0].Ciphertext = []byte("c" + long) }, 2 * more, 2 * more, false},
		"another key": {func(e, _ *entry) {
			e.encrypt.EncryptedDataKeys = append(e.encrypt.EncryptedDataKeys, keyring.EncryptedDataKey{})
		}, 6 + 64, 6 + 128, false},
		"signing keys":        {func(e, _ *entry) { e.encrypt.SymmetricSigningKeys = [][]byte{[]byte(long)} }, more + 16, more + 48, false},
		"stored":              {func(_, d *entry) { d.decryptReq.Stored = []byte(long) }, more, more, true},
		"signing key":         {func(_, d *entry) { d.decrypt.SymmetricSigningKey = []byte(long) }, more, more, true},
		"reproduced":          {func(_, d *entry) { d.decryptReq.Reproduced["k"] += long }, more, more, true},
		"decrypting":          {func(_, d *entry) { d.decrypt.Context["k"] += long }, more, more, true},
		"pair, decrypting":    {func(_, d *entry) { d.decrypt.Context[""] = "" }, 32, 128, true},
		"nothing":             {func(_, _ *entry) {}, 0, 0, false},
		"nothing, decrypting": {func(_, _ *entry) {}, 0, 0, true},
	} {
		e, d := fresh()
		c.change(e, d)
		grown := e.measure() - base.measure()
		if c.decrypting {
			grown = d.measure() - baseOfDecrypting.measure()
		}
		require.GreaterOrEqual(t, grown, c.more, name)
		require.LessOrEqual(t, grown, c.most, name)
	}
}
