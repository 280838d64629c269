package dynamoitem

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

func TestEncryptRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(item)
		attribute string
		says      string
	}{
		"no partition key":     {func(it item) { delete(it, "pk") }, "pk", "lacks the partition key"},
		"no sort key":          {func(it item) { delete(it, "sk") }, "sk", "lacks the sort key"},
		"no attribute for it":  {func(it item) { delete(it, "seen") }, "seen", "lacks it, and its action is SIGN_AND_INCLUDE"},
		"unknown":              {func(it item) { it["x"] = str("x") }, "x", "Config.Actions has no action for it, and"},
		"several unknown":      {func(it item) { it["x"], it["b"], it["z"] = str("x"), str("x"), str("x") }, "b", "(nor for 2 others)"},
		"empty name":           {func(it item) { it[""] = str("x") }, "", "the name is not UTF-8 of 1 to"},
		"name not UTF-8":       {func(it item) { it["free\xff"] = str("x") }, "free\xff", "the name is not UTF-8"},
		"long name":            {func(it item) { it["free"+strings.Repeat("x", 1<<16)] = str("x") }, "free" + strings.Repeat("x", 1<<16), "of 1 to 65535 bytes"},
		"encrypted twice":      {func(it item) { it[headAttribute] = bin("x") }, headAttribute, "cannot be encrypted twice"},
		"foot":                 {func(it item) { it[footAttribute] = bin("x") }, footAttribute, "cannot be encrypted twice"},
		"beacon":               {func(it item) { it["aws_dbe_b_secret"] = str("0f") }, "aws_dbe_b_secret", "nor bring its own"},
		"nil":                  {func(it item) { it["secret"] = nil }, "secret", "the value is nil"},
		"nil signed":           {func(it item) { it["seen"] = (*types.AttributeValueMemberS)(nil) }, "seen", "the value is nil"},
		"number":               {func(it item) { it["secret"] = num("plaintext-1") }, "secret", "not a number"},
		"39 digits":            {func(it item) { it["secret"] = num(strings.Repeat("1", 39)) }, "secret", "38 significant digits"},
		"key of 39 digits":     {func(it item) { it["sk"] = num(strings.Repeat("1", 39)) }, "sk", "38 significant digits"},
		"deep":                 {func(it item) { it["secret"] = nested(33) }, "secret", "32 levels"},
		"deep map":             {func(it item) { it["secret"] = object(item{"m": nested(32)}) }, "secret", "32 levels"},
		"member twice":         {func(it item) { it["secret"] = strs("plaintext-1", "plaintext-1") }, "secret", "a member twice"},
		"number twice":         {func(it item) { it["secret"] = nums("1", "1.0") }, "secret", "a member twice"},
		"not UTF-8":            {func(it item) { it["secret"] = str("plaintext-1\xff") }, "secret", "not UTF-8"},
		"unknown type":         {func(it item) { it["secret"] = &types.UnknownUnionMember{Tag: "Q", Value: []byte("plaintext-1")} }, "secret", "none of DynamoDB's"},
		"key of another type":  {func(it item) { it["pk"] = boolean(true) }, "pk", "a string, a number or binary"},
		"empty key":            {func(it item) { it["pk"] = str("") }, "pk", "not empty"},
		"empty binary key":     {func(it item) { it["sk"] = bin("") }, "sk", "not empty"},
		"context is too long":  {func(it item) { it["seen"] = str(strings.Repeat("x", 1<<16)) }, "", "encryption context"},
		"several: first of it": {func(it item) { it["secret"], it["sk"] = nil, nil }, "sk", "the value is nil"},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t)
			config := simple(0, SignAndIncludeInContext)
			config.Actions["seen"] = SignAndIncludeInContext
			config.UnsignedPrefix = "free"
			table := newTable(t, r, config)
			it := simpleItem()
			c.change(it)
			before := maps.Clone(it)
			out, err := table.Encrypt(t.Context(), it)
			assert.Nil(t, out)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			require.ErrorContains(t, err, c.says)
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, "encrypt", e.Op)
			assert.Equal(t, c.attribute, e.Attribute)
			assert.Equal(t, before, it)
			assert.NotContains(t, err.Error(), "plaintext-1")
			assert.Less(t, len(err.Error()), 500)
			assert.Zero(t, r.encrypts, "a key was made for it")
		})
	}
}

// TestHeadRefuses changes the parts of a head, each to what no writer writes.
func TestHeadRefuses(t *testing.T) {
	r := newRefuser(t, manager(t, rawAES(t, "ns", "key", make([]byte, 32))), simple(signed, SignAndIncludeInContext))
	out, err := r.table.Encrypt(t.Context(), simpleItem())
	require.NoError(t, err)
	head, err := binaryOf(headAttribute, out[headAttribute])
	require.NoError(t, err)
	const legendAt = 2 + messageIDLen
	const contextAt = legendAt + 2 + 5
	pair := 2 + int(binary.BigEndian.Uint16(head[contextAt+2:]))
	pair += 2 + int(binary.BigEndian.Uint16(head[contextAt+2+pair:]))
	keysAt := contextAt + 2 + pair
	bodyLen := len(head) - commitmentLen
	replace := func(from, to int, by ...byte) []byte { return slices.Concat(head[:from], by, head[to:]) }
	for name, c := range map[string]struct {
		head []byte
		err  error
		says string
	}{
		"empty":                {[]byte{}, envelope.ErrMalformed, "cut short"},
		"version 0":            {replace(0, 1, 0), envelope.ErrMalformed, "version"},
		"version 3":            {replace(0, 1, 3), envelope.ErrMalformed, "version"},
		"flavor 2":             {replace(1, 2, 2), envelope.ErrMalformed, "algorithm suite"},
		"flavor 0":             {replace(1, 2, 0), envelope.ErrMalformed, "aws-crypto-public-key"},
		"legend letter":        {replace(legendAt+2, legendAt+3, 'x'), envelope.ErrMalformed, "legend has a letter"},
		"legend shorter":       {replace(legendAt, contextAt, 0, 4, 'c', 'c', 's', 'e'), envelope.ErrAuthentication, "the legend is of 4 signed attributes, and the item has 5"},
		"legend longer":        {replace(legendAt, contextAt, 0, 6, 'c', 'c', 's', 'e', 'e', 'e'), envelope.ErrAuthentication, "the legend is of 6"},
		"no legend":            {replace(legendAt, contextAt, 0, 0), envelope.ErrAuthentication, "the legend is of 0"},
		"legend past the end":  {replace(legendAt, contextAt, 0xff, 0xff), envelope.ErrMalformed, "cut short"},
		"key encrypted":        {replace(legendAt+2, legendAt+3, 'e'), envelope.ErrMalformed, "another action for it than a key has"},
		"key only signed":      {replace(legendAt+2, legendAt+3, 's'), envelope.ErrMalformed, "another action for it than a key has"},
		"context in version 1": {slices.Concat([]byte{1}, head[1:legendAt+2], []byte("ssc"), head[legendAt+5:]), envelope.ErrMalformed, "version 1 does not know"},
		"encrypted, not B":     {replace(legendAt+4, legendAt+5, 'e'), envelope.ErrMalformed, "not binary"},
		"pairs past the end":   {replace(contextAt, contextAt+2, 0xff, 0xff), envelope.ErrMalformed, ""},
		"key twice":            {replace(contextAt, keysAt, slices.Concat([]byte{0, 2}, head[contextAt+2:keysAt], head[contextAt+2:keysAt])...), envelope.ErrMalformed, "not in order"},
		"pairs not in order":   {replace(contextAt, keysAt, append([]byte{0, 2}, "\x00\x01b\x00\x01x\x00\x01a\x00\x01x"...)...), envelope.ErrMalformed, "not in order"},
		"pair not UTF-8":       {replace(contextAt, keysAt, append([]byte{0, 1}, "\x00\x01\xff\x00\x01x"...)...), envelope.ErrMalformed, "not UTF-8"},
		"value not UTF-8":      {replace(contextAt, keysAt, append([]byte{0, 1}, "\x00\x01x\x00\x01\xff"...)...), envelope.ErrMalformed, "not UTF-8"},
		"no pair":              {replace(contextAt, keysAt, 0, 0), envelope.ErrMalformed, "aws-crypto-public-key"},
		"no wrapped key":       {replace(keysAt, bodyLen, 0), envelope.ErrMalformed, "no encrypted data key"},
		"65 wrapped keys":      {replace(keysAt, keysAt+1, 65), envelope.ErrLimit, "65 encrypted data keys"},
		"two, of which one":    {replace(keysAt, keysAt+1, 2), envelope.ErrMalformed, ""},
		"provider not UTF-8":   {replace(keysAt+3, keysAt+4, 0xff), envelope.ErrMalformed, "provider ID of encrypted data key 1 is not UTF-8"},
		"key without wrapping": {replace(keysAt, bodyLen, append([]byte{1}, "\x00\x02ns\x00\x00\x00\x00"...)...), envelope.ErrMalformed, "encrypted data key 1"},
		"no commitment":        {head[:bodyLen], envelope.ErrMalformed, "commitment"},
		"bytes at the end":     {append(slices.Clone(head), 0), envelope.ErrMalformed, "33 bytes stand where the 32 of the commitment should"},
	} {
		t.Run(name, func(t *testing.T) {
			err := r.refuses(t, with(out, headAttribute, &types.AttributeValueMemberB{Value: c.head}), "%s", name)
			require.ErrorIs(t, err, c.err)
			require.ErrorContains(t, err, c.says)
		})
	}
	for n := range head {
		err := r.refuses(t, with(out, headAttribute, &types.AttributeValueMemberB{Value: head[:n]}), "%d bytes of the head", n)
		require.ErrorIs(t, err, envelope.ErrMalformed)
	}
	foot, err := binaryOf(footAttribute, out[footAttribute])
	require.NoError(t, err)
	for n := range foot {
		err := r.refuses(t, with(out, footAttribute, &types.AttributeValueMemberB{Value: foot[:n]}), "%d bytes of the foot", n)
		if n <= tagLen {
			require.ErrorIs(t, err, envelope.ErrMalformed)
			require.ErrorContains(t, err, "cut short")
		}
	}
	for n := range 2 + 16 {
		v := out["secret"].(*types.AttributeValueMemberB).Value[:n]
		err := r.refuses(t, with(out, "secret", &types.AttributeValueMemberB{Value: v}), "%d bytes of an attribute", n)
		require.ErrorIs(t, err, envelope.ErrMalformed)
		require.ErrorContains(t, err, `attribute "secret"`)
	}
	// More pairs than a message's header holds, which managers are given.
	many := binary.BigEndian.AppendUint16(nil, 2)
	for _, key := range []string{"a", "b"} {
		many = append(append(many, 0, 1), key...)
		many = append(binary.BigEndian.AppendUint16(many, 40000), strings.Repeat("x", 40000)...)
	}
	err = r.refuses(t, with(out, headAttribute, &types.AttributeValueMemberB{Value: replace(contextAt, keysAt, many...)}), "many pairs")
	require.ErrorIs(t, err, envelope.ErrLimit)
	require.ErrorContains(t, err, "longer than 65535 bytes")
	// A signature that is right, in another form than DER's.
	long := slices.Concat(foot[:tagLen+1], []byte{0x81}, foot[tagLen+1:])
	require.ErrorIs(t, r.refuses(t, with(out, footAttribute, &types.AttributeValueMemberB{Value: long}), "BER"), envelope.ErrSignature)
}

// reseal makes the tag of an item anew, as whoever has its data key can, and returns the
// item. The item is one of hmacOnly.
func reseal(t *testing.T, keys [][]byte, table *Table, it item, context keyring.EncryptionContext) item {
	head, err := binaryOf(headAttribute, it[headAttribute])
	require.NoError(t, err)
	h, err := parseHead(head, 1)
	require.NoError(t, err)
	w := &work{derivation: *newDerivation()}
	require.NoError(t, table.gatherSigned(w, it))
	require.NoError(t, table.take(w, &h))
	require.NoError(t, w.hash(head, context))
	foot := w.mac(nil, w.sha384, keys[1], w.digest[:])
	return with(it, footAttribute, &types.AttributeValueMemberB{Value: foot})
}

// keeper is a manager that keeps copies of the keys that it gives.
type keeper struct {
	keyring.MaterialsManager
	keys [][]byte
}

func (k *keeper) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	m, err := k.MaterialsManager.EncryptionMaterials(ctx, req)
	if err == nil {
		k.keys = [][]byte{slices.Clone(m.DataKey), slices.Clone(m.SymmetricSigningKeys[0])}
	}
	return m, err
}

// TestForged opens items that are authentic, and wrong: whoever has a data key wrote them.
func TestForged(t *testing.T) {
	r := record(t)
	k := &keeper{MaterialsManager: r}
	c := simple(hmacOnly, SignOnly)
	table := newTable(t, k, c)
	seal := func(in item, change func(item)) item {
		out, err := table.Encrypt(t.Context(), in)
		require.NoError(t, err)
		change(out)
		return reseal(t, k.keys, table, out, r.contexts[len(r.contexts)-1])
	}
	opens := seal(simpleItem(), func(item) {})
	back, err := table.Decrypt(t.Context(), opens)
	require.NoError(t, err, "the forger's own items must be right")
	require.Equal(t, simpleItem(), back)

	typeOfSecret := func(id uint16) func(item) {
		return func(it item) { binary.BigEndian.PutUint16(it["secret"].(*types.AttributeValueMemberB).Value, id) }
	}
	for name, c := range map[string]struct {
		forged item
		err    error
		says   string
	}{
		"unknown type ID":    {seal(simpleItem(), typeOfSecret(3)), envelope.ErrMalformed, "type ID 0x0003"},
		"another type ID":    {seal(simpleItem(), typeOfSecret(uint16(typeNumber))), envelope.ErrMalformed, "not a number"},
		"a set's type ID":    {seal(simpleItem(), typeOfSecret(uint16(typeStringSet))), envelope.ErrMalformed, "cut short"},
		"sealed with others": {seal(simpleItem(), func(it item) { it["secret"].(*types.AttributeValueMemberB).Value[5] ^= 1 }), envelope.ErrAuthentication, ""},
		"exchanged":          {seal(simpleItem(), func(it item) { it["secret"], it["other"] = it["other"], it["secret"] }), envelope.ErrAuthentication, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := table.Decrypt(t.Context(), c.forged)
			assert.Nil(t, got)
			require.ErrorIs(t, err, c.err)
			require.ErrorContains(t, err, c.says)
			assert.NotContains(t, err.Error(), "plaintext-")
		})
	}
}

// rewriteHead returns an item with its head changed, under the commitment that a data key
// gives, if there is one, and a tag under a symmetric signing key before the old signature.
func rewriteHead(t *testing.T, table *Table, it item, keys [][]byte, context keyring.EncryptionContext, change func(*head)) item {
	b, err := binaryOf(headAttribute, it[headAttribute])
	require.NoError(t, err)
	foot, err := binaryOf(footAttribute, it[footAttribute])
	require.NoError(t, err)
	h, err := parseHead(b, 1)
	require.NoError(t, err)
	change(&h)
	b = appendHead(nil, &h)
	if keys == nil {
		return with(it, headAttribute, &types.AttributeValueMemberB{Value: append(b, h.commitment...)})
	}
	w := &work{derivation: *newDerivation()}
	copy(w.messageID[:], h.messageID)
	require.NoError(t, w.derive(keys[0]))
	b = w.appendCommitment(b, b)
	require.NoError(t, table.gatherSigned(w, it))
	require.NoError(t, table.take(w, &h))
	require.NoError(t, w.hash(b, context))
	foot = append(w.mac(nil, w.sha384, keys[1], w.digest[:]), foot[tagLen:]...)
	return with(with(it, headAttribute, &types.AttributeValueMemberB{Value: b}), footAttribute, &types.AttributeValueMemberB{Value: foot})
}

// pairsOf serializes stored pairs with their count.
func pairsOf(t *testing.T, ec keyring.EncryptionContext) []byte {
	if len(ec) == 0 {
		return noPairs
	}
	b, err := ec.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

// TestContextsDoNotMix says in a head that other pairs of the encryption context are stored
// than are, so that the whole context stays as it was and the data key can be unwrapped.
// Without the data key the commitment is wrong, and with it the signature.
func TestContextsDoNotMix(t *testing.T) {
	r := record(t)
	k := &keeper{MaterialsManager: r}
	table := newTable(t, k, simple(signed, SignAndIncludeInContext))
	// Keys that are binary have the same pair in both versions.
	in := with(with(simpleItem(), "pk", bin("customer-17")), "sk", bin("7"))
	out, err := table.Encrypt(t.Context(), in)
	require.NoError(t, err)
	_, err = table.Decrypt(t.Context(), out)
	require.NoError(t, err)
	req := keyring.DecryptionRequest{Stored: r.stored[0]}
	stored, _, err := req.Parse()
	require.NoError(t, err)
	whole := maps.Clone(r.contexts[1])
	maps.Copy(whole, stored)
	require.Equal(t, "BB", whole[legendPair])
	store := func(keys ...string) []byte {
		more := maps.Clone(stored)
		for _, key := range keys {
			more[key] = whole[key]
		}
		return pairsOf(t, more)
	}
	refuser := newRefuser(t, r, table.config)
	for name, c := range map[string]struct {
		change      func(*head)
		without     error // the data key
		withDataKey error
	}{
		"nothing":             {func(*head) {}, nil, nil},
		"version 1":           {func(h *head) { h.version, h.legend, h.context = 1, []byte("sssee"), store(legendPair) }, envelope.ErrCommitment, envelope.ErrSignature},
		"the table's name":    {func(h *head) { h.context = store(tablePair) }, envelope.ErrCommitment, envelope.ErrSignature},
		"all pairs":           {func(h *head) { h.context = pairsOf(t, whole) }, envelope.ErrCommitment, envelope.ErrSignature},
		"another message ID":  {func(h *head) { h.messageID = make([]byte, messageIDLen) }, envelope.ErrCommitment, envelope.ErrSignature},
		"signed, encrypted":   {func(h *head) { h.legend = []byte("ccees") }, envelope.ErrMalformed, envelope.ErrMalformed},
		"encrypted, signed":   {func(h *head) { h.legend = []byte("ccsss") }, envelope.ErrCommitment, envelope.ErrSignature},
		"in the context":      {func(h *head) { h.legend = []byte("cccee") }, envelope.ErrContextMismatch, envelope.ErrContextMismatch},
		"without a signature": {func(h *head) { h.suite = hmacOnly }, envelope.ErrMalformed, envelope.ErrMalformed},
		"nor its key":         {func(h *head) { h.suite, h.context = hmacOnly, noPairs }, envelope.ErrContextMismatch, envelope.ErrContextMismatch},
		"a pair more": {func(h *head) {
			h.context = pairsOf(t, keyring.EncryptionContext{publicKeyPair: stored[publicKeyPair], "z": ""})
		}, envelope.ErrContextMismatch, envelope.ErrContextMismatch},
		"another table's name": {func(h *head) {
			h.context = pairsOf(t, keyring.EncryptionContext{publicKeyPair: stored[publicKeyPair], tablePair: "x"})
		}, envelope.ErrContextMismatch, envelope.ErrContextMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			outsider := rewriteHead(t, table, out, nil, nil, c.change)
			if c.without == nil {
				_, err := table.Decrypt(t.Context(), rewriteHead(t, table, out, k.keys, whole, c.change))
				require.NoError(t, err, "the forger's work must be right")
				_, err = table.Decrypt(t.Context(), outsider)
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, refuser.refuses(t, outsider, "%s", name), c.without)
			if c.without == envelope.ErrMalformed && c.withDataKey == envelope.ErrMalformed {
				return // no forger comes as far as a tag
			}
			require.ErrorIs(t, refuser.refuses(t, rewriteHead(t, table, out, k.keys, whole, c.change), "%s", name), c.withDataKey)
		})
	}
}

const publicKeyPair = "aws-crypto-public-key"

// wrong is a manager whose materials are spoiled.
type wrong struct {
	keyring.MaterialsManager
	encryption func(*keyring.EncryptionMaterials)
	decryption func(*keyring.DecryptionMaterials)
}

func (w wrong) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	m, err := w.MaterialsManager.EncryptionMaterials(ctx, req)
	if err == nil && w.encryption != nil {
		w.encryption(m)
	}
	return m, err
}

func (w wrong) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	m, err := w.MaterialsManager.DecryptionMaterials(ctx, req)
	if err == nil && w.decryption != nil {
		w.decryption(m)
	}
	return m, err
}

// inPlace is a manager that adds a pair to the request's own context, which it must not.
type inPlace struct{ keyring.MaterialsManager }

func (i inPlace) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	req.Context["tenant"] = "42"
	return i.MaterialsManager.EncryptionMaterials(ctx, req)
}

// TestManagerChangesRequest has nothing written that could not be read: the pair would be
// taken for one that readers make from the item.
func TestManagerChangesRequest(t *testing.T) {
	out, err := newTable(t, inPlace{record(t)}, simple(0, SignOnly)).Encrypt(t.Context(), simpleItem())
	assert.Nil(t, out)
	require.ErrorIs(t, err, keyring.ErrInvalidMaterials)
	require.ErrorContains(t, err, "changed the request")
}

// panicking is a manager that panics.
type panicking struct{ keyring.MaterialsManager }

func (panicking) EncryptionMaterials(context.Context, keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	panic("broken")
}

func (panicking) DecryptionMaterials(context.Context, keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	panic("broken")
}

// TestAfterPanics has what a call leaves in the pool not reach the next one, when the first
// ended in the middle.
func TestAfterPanics(t *testing.T) {
	eachKind(t, func(t *testing.T, suite keyring.Suite, key Action) {
		r := record(t)
		good := newTable(t, r, simple(suite, key))
		out, err := good.Encrypt(t.Context(), simpleItem())
		require.NoError(t, err)
		for range 3 {
			bad := newTable(t, panicking{r}, simple(suite, key))
			require.Panics(t, func() { bad.Encrypt(t.Context(), simpleItem()) })
			require.Panics(t, func() { bad.Decrypt(t.Context(), out) })
			good.onOpen = func(string) { panic("broken") }
			require.Panics(t, func() { good.Decrypt(t.Context(), out) })
			good.onOpen = nil
			w := works.Get().(*work)
			require.Empty(t, w.item)
			require.Empty(t, w.fields)
			require.Zero(t, w.sealed)
			require.Zero(t, w.rootKey)
			works.Put(w)
			back, err := good.Decrypt(t.Context(), out)
			require.NoError(t, err)
			require.Equal(t, simpleItem(), back)
		}
		for _, key := range r.dataKeys {
			require.Equal(t, make([]byte, 32), key, "not cleared")
		}
	})
}

func TestMaterialsAreChecked(t *testing.T) {
	good := record(t)
	for name, spoil := range map[string]func(*keyring.EncryptionMaterials){
		"suite":            func(m *keyring.EncryptionMaterials) { m.Suite = hmacOnly },
		"data key":         func(m *keyring.EncryptionMaterials) { m.DataKey = m.DataKey[:16] },
		"no signing key":   func(m *keyring.EncryptionMaterials) { m.SigningKey = nil },
		"no symmetric key": func(m *keyring.EncryptionMaterials) { m.SymmetricSigningKeys = nil },
		"short key":        func(m *keyring.EncryptionMaterials) { m.SymmetricSigningKeys[0] = make([]byte, 31) },
		"no wrapped key":   func(m *keyring.EncryptionMaterials) { m.EncryptedDataKeys = nil },
		"a pair dropped":   func(m *keyring.EncryptionMaterials) { delete(m.Context, tablePair) },
	} {
		_, err := newTable(t, wrong{MaterialsManager: good, encryption: spoil}, simple(0, SignOnly)).Encrypt(t.Context(), simpleItem())
		require.ErrorIs(t, err, keyring.ErrInvalidMaterials, name)
	}
	out, err := newTable(t, good, simple(0, SignOnly)).Encrypt(t.Context(), simpleItem())
	require.NoError(t, err)
	for name, spoil := range map[string]func(*keyring.DecryptionMaterials){
		"suite":               func(m *keyring.DecryptionMaterials) { m.Suite = hmacOnly },
		"data key":            func(m *keyring.DecryptionMaterials) { m.DataKey = nil },
		"no verification key": func(m *keyring.DecryptionMaterials) { m.VerificationKey = nil },
		"no symmetric key":    func(m *keyring.DecryptionMaterials) { m.SymmetricSigningKey = nil },
		"a pair dropped":      func(m *keyring.DecryptionMaterials) { delete(m.Context, tablePair) },
		"not authenticated":   func(m *keyring.DecryptionMaterials) { m.RequiredKeys = nil },
	} {
		_, err := newTable(t, wrong{MaterialsManager: good, decryption: spoil}, simple(0, SignOnly)).Decrypt(t.Context(), out)
		require.ErrorIs(t, err, keyring.ErrInvalidMaterials, name)
	}
	for name, c := range map[string]struct {
		spoil func(*keyring.DecryptionMaterials)
		err   error
	}{
		"another data key":      {func(m *keyring.DecryptionMaterials) { m.DataKey[0] ^= 1 }, envelope.ErrCommitment},
		"another symmetric key": {func(m *keyring.DecryptionMaterials) { m.SymmetricSigningKey[0] ^= 1 }, envelope.ErrAuthentication},
		"a pair more":           {func(m *keyring.DecryptionMaterials) { m.Context["more"] = "x" }, envelope.ErrAuthentication},
	} {
		_, err := newTable(t, wrong{MaterialsManager: good, decryption: c.spoil}, simple(0, SignOnly)).Decrypt(t.Context(), out)
		require.ErrorIs(t, err, c.err, name)
	}
}

func TestDecryptRefuses(t *testing.T) {
	r := newRefuser(t, record(t), simple(0, SignOnly))
	out, err := r.table.Encrypt(t.Context(), simpleItem())
	require.NoError(t, err)
	for name, c := range map[string]struct {
		item item
		err  error
	}{
		"no partition key": {without(out, "pk"), keyring.ErrInvalidArgument},
		"no sort key":      {without(out, "sk"), keyring.ErrInvalidArgument},
		"no head":          {without(out, headAttribute), envelope.ErrMalformed},
		"no foot":          {without(out, footAttribute), envelope.ErrMalformed},
		"head is text":     {with(out, headAttribute, str("x")), envelope.ErrMalformed},
		"foot is nil":      {with(out, footAttribute, (*types.AttributeValueMemberB)(nil)), envelope.ErrMalformed},
		"name not UTF-8":   {with(out, "\xff", str("x")), envelope.ErrMalformed},
		"number":           {with(out, "seen", num("x")), envelope.ErrMalformed},
		"set":              {with(out, "seen", strs("a", "a")), envelope.ErrMalformed},
		"deep":             {with(out, "seen", nested(33)), envelope.ErrMalformed},
		"key of 70,000":    {with(out, "pk", str(strings.Repeat("x", 70000))), envelope.ErrMalformed},
	} {
		err := r.refuses(t, c.item, "%s", name)
		require.ErrorIs(t, err, c.err, name)
	}
	_, err = r.table.Decrypt(t.Context(), nil)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = r.table.Decrypt(t.Context(), simpleItem())
	require.ErrorIs(t, err, ErrNotEncrypted)
}

// TestManyKeys writes as many wrapped keys as a head can count.
func TestManyKeys(t *testing.T) {
	var all []keyring.Keyring
	for range maxDataKeys + 1 {
		all = append(all, rawAES(t, "ns", "key", make([]byte, 32)))
	}
	c := simple(hmacOnly, SignOnly)
	c.MaxEncryptedDataKeys = maxDataKeys
	encrypt := func(all []keyring.Keyring) (*Table, item, error) {
		multi, err := keyring.NewMulti(all[0], all[1:]...)
		require.NoError(t, err)
		table := newTable(t, manager(t, multi), c)
		out, err := table.Encrypt(t.Context(), simpleItem())
		return table, out, err
	}
	table, out, err := encrypt(all[:maxDataKeys])
	require.NoError(t, err)
	back, err := table.Decrypt(t.Context(), out)
	require.NoError(t, err)
	assert.Equal(t, simpleItem(), back)
	_, _, err = encrypt(all)
	require.ErrorIs(t, err, envelope.ErrLimit)
}

// TestManyAttributes has as many signed attributes as a legend can have, and one more.
func TestManyAttributes(t *testing.T) {
	r := record(t)
	c := Config{Table: "t", PartitionKey: "PK", Suite: hmacOnly, Actions: map[string]Action{"PK": SignOnly}}
	it := item{"PK": str("x")}
	for i := range 1<<16 - 2 {
		name := strconv.FormatInt(int64(i), 36)
		c.Actions[name], it[name] = SignOnly, null()
	}
	c.Actions["more"] = SignOnly
	table := newTable(t, r, c)
	out, err := table.Encrypt(t.Context(), it)
	require.NoError(t, err)
	back, err := table.Decrypt(t.Context(), out)
	require.NoError(t, err)
	assert.Len(t, back, 1<<16-1)
	_, err = table.Encrypt(t.Context(), with(it, "more", null()))
	require.ErrorIs(t, err, envelope.ErrLimit)
	require.ErrorContains(t, err, "65536 signed attributes, and the format holds 65535")
	assert.Equal(t, 1, r.encrypts)
}
