package dynamoitem

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/base64"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

// A javaOriginal is an item of Java's, its plaintext, and tables to open it with.
type javaOriginal struct {
	it, plain item
	table     *Table     // with the wrapping key
	forged    *Table     // with what forger answers
	keys      *keyKeeper // of the data key
	forger    *forger
}

// keyKeeper keeps copies of what the last item was opened with.
type keyKeeper struct {
	keyring.MaterialsManager
	dataKey, tagKey []byte
}

func (k *keyKeeper) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	m, err := k.MaterialsManager.DecryptionMaterials(ctx, req)
	if err == nil {
		k.dataKey, k.tagKey = slices.Clone(m.DataKey), slices.Clone(m.SymmetricSigningKey)
	}
	return m, err
}

// A forger is a manager that has the same data key for all items, whatever their context:
// as if whoever altered an item had wrapped the data key anew. It signs too.
type forger struct {
	keyring.MaterialsManager
	dataKey, tagKey []byte
	signer          *ecdsa.PrivateKey
}

func (f *forger) DecryptionMaterials(_ context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	ec, required, err := f.context(req)
	if err != nil {
		return nil, err
	}
	m := &keyring.DecryptionMaterials{
		Suite: req.Suite, Context: ec, RequiredKeys: required, DataKey: slices.Clone(f.dataKey), SymmetricSigningKey: slices.Clone(f.tagKey),
	}
	if req.Suite.Signs() {
		m.VerificationKey = &f.signer.PublicKey
	}
	return m, nil
}

// context is all pairs, and the keys of those that are not stored.
func (f *forger) context(req keyring.DecryptionRequest) (ec keyring.EncryptionContext, required []string, err error) {
	stored, _, err := req.Parse()
	if err != nil {
		return nil, nil, err
	}
	ec = maps.Clone(req.Reproduced)
	maps.Copy(ec, stored)
	for k := range req.Reproduced {
		if _, ok := stored[k]; !ok {
			required = append(required, k)
		}
	}
	slices.Sort(required)
	return ec, required, nil
}

const signerPair = "aws-crypto-public-key"

// reseal makes what vouches for an item anew: the commitment, a tag for each wrapped key and
// the signature. It leaves an item alone that has no form to do so.
func (f *forger) reseal(t testing.TB, table *Table, it item) item {
	b, err := binaryOf("", it[headAttribute])
	if err != nil {
		return it
	}
	h, err := parseHead(b, maxDataKeys)
	if err != nil {
		return it
	}
	stored, err := h.stored()
	if err != nil {
		return it
	}
	req := keyring.DecryptionRequest{Suite: h.suite, Stored: stored}
	pairs, _, err := req.Parse()
	if err != nil {
		return it
	}
	if was, ok := pairs[signerPair]; ok && was != "" {
		own := base64.StdEncoding.EncodeToString(elliptic.MarshalCompressed(f.signer.Curve, f.signer.X, f.signer.Y))
		h.context = bytes.Replace(h.context, []byte(was), []byte(own), 1)
		if len(was) != len(own) {
			return it
		}
		if req.Stored, err = h.stored(); err != nil {
			return it
		}
	}
	w := &work{derivation: *newDerivation()}
	copy(w.messageID[:], h.messageID)
	require.NoError(t, w.derive(f.dataKey))
	body := appendHead(nil, &h)
	head := w.appendCommitment(body, body)
	if table.gatherSigned(w, it) != nil || table.take(w, &h) != nil {
		return it
	}
	if req.Reproduced, err = table.contextOf(w, h.version); err != nil {
		return it
	}
	ec, _, err := f.context(req)
	if err != nil || w.hash(head, ec) != nil {
		return it
	}
	tag := w.mac(nil, w.sha384, f.tagKey, w.digest[:])
	foot := bytes.Repeat(tag, h.keyCount)
	if h.suite.Signs() {
		digest := signedDigest(w.digest[:])
		sig, err := f.signer.Sign(nil, digest[:], crypto.SHA384)
		require.NoError(t, err)
		foot = append(foot, sig...)
	}
	return with(with(it, headAttribute, &types.AttributeValueMemberB{Value: head}), footAttribute, &types.AttributeValueMemberB{Value: foot})
}

func javaOriginals(t testing.TB) (all []*javaOriginal) {
	raw := slices.Repeat([]byte{7}, 48)
	raw[0] = 0 // below the curve's order
	signer, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), raw)
	require.NoError(t, err)
	for _, j := range javaItems(t) {
		key := j.Keys[0]
		o := &javaOriginal{it: plain(j.Encrypted), plain: plain(j.Decrypted)}
		o.keys = &keyKeeper{MaterialsManager: manager(t, rawAES(t, key.Namespace, key.Name, key.Key))}
		o.table = newTable(t, o.keys, j.config())
		_, err := o.table.Decrypt(t.Context(), o.it)
		require.NoError(t, err)
		o.forger = &forger{o.keys, o.keys.dataKey, o.keys.tagKey, signer}
		o.forged = newTable(t, o.forger, j.config())
		all = append(all, o)
	}
	return all
}

const itemStep = 6

// An itemChange changes an item in one way. It may change what it is given, but no value that
// the original has.
type itemChange struct {
	name  string
	apply func(it item, a [itemStep - 1]byte) item
}

var someNames = []string{"new", ":new", "aws_dbe_b_x", "aws_dbe_v_1", "aws_dbe_other", "x", "é", "\U0001f511", "\uff5e", ""}

func someValue(a, b byte) types.AttributeValue {
	switch a % 9 {
	case 0:
		return str(string(rune(b)))
	case 1:
		return num(string('0' + b%10))
	case 2:
		return &types.AttributeValueMemberB{Value: bytes.Repeat([]byte{b}, int(a/9))}
	case 3:
		return boolean(b&1 == 1)
	case 4:
		return null()
	case 5:
		return list(str("a"), null())
	case 6:
		return object(item{"k": num("1")})
	case 7:
		return strs("a", string(rune(b)))
	default:
		return nil
	}
}

// nameOf chooses one of an item's attributes.
func nameOf(it item, a byte) string {
	names := slices.Sorted(maps.Keys(it))
	if len(names) == 0 {
		return ""
	}
	return names[int(a)%len(names)]
}

// onBytes is a change of a binary attribute.
func onBytes(name string, f func(b []byte, a [itemStep - 1]byte) []byte) func(it item, a [itemStep - 1]byte) item {
	return func(it item, a [itemStep - 1]byte) item {
		of := name
		if of == "" {
			of = nameOf(it, a[0])
		}
		if b, err := binaryOf("", it[of]); err == nil && len(b) > 0 {
			it[of] = &types.AttributeValueMemberB{Value: f(slices.Clone(b), a)}
		}
		return it
	}
}

// onHead is a change of a head that parses.
func onHead(f func(h *head, a [itemStep - 1]byte)) func(it item, a [itemStep - 1]byte) item {
	return onBytes(headAttribute, func(b []byte, a [itemStep - 1]byte) []byte {
		h, err := parseHead(b, maxDataKeys)
		if err != nil {
			return b
		}
		f(&h, a)
		return append(appendHead(nil, &h), h.commitment...)
	})
}

// onDataKeys is a change of the list of wrapped keys.
func onDataKeys(f func(keys []keyring.EncryptedDataKey, a [itemStep - 1]byte) []keyring.EncryptedDataKey) func(it item, a [itemStep - 1]byte) item {
	return onHead(func(h *head, a [itemStep - 1]byte) {
		stored, err := h.stored()
		if err != nil {
			return
		}
		req := keyring.DecryptionRequest{Stored: stored}
		if _, keys, err := req.Parse(); err == nil {
			keys = f(slices.Clone(keys), a)
			if b, err := appendDataKeys(nil, keys); err == nil {
				h.keys, h.keyCount = b, len(keys)
			}
		}
	})
}

var itemChanges = []itemChange{
	{"attribute dropped", func(it item, a [itemStep - 1]byte) item { return without(it, nameOf(it, a[0])) }},
	{"attributes exchanged", func(it item, a [itemStep - 1]byte) item {
		x, y := nameOf(it, a[0]), nameOf(it, a[1])
		it[x], it[y] = it[y], it[x]
		return it
	}},
	{"attribute copied over another", func(it item, a [itemStep - 1]byte) item {
		it[nameOf(it, a[0])] = it[nameOf(it, a[1])]
		return it
	}},
	{"attribute renamed", func(it item, a [itemStep - 1]byte) item {
		name := nameOf(it, a[0])
		v := it[name]
		return with(without(it, name), name+someNames[int(a[1])%len(someNames)], v)
	}},
	{"attribute added", func(it item, a [itemStep - 1]byte) item {
		it[someNames[int(a[0])%len(someNames)]] = someValue(a[1], a[2])
		return it
	}},
	{"value replaced", func(it item, a [itemStep - 1]byte) item {
		it[nameOf(it, a[0])] = someValue(a[1], a[2])
		return it
	}},
	{"bit of a binary value flipped", onBytes("", func(b []byte, a [itemStep - 1]byte) []byte {
		b[(int(a[1])<<8|int(a[2]))%len(b)] ^= 1 << (a[3] % 8)
		return b
	})},
	{"binary value cut", onBytes("", func(b []byte, a [itemStep - 1]byte) []byte { return b[:(int(a[1])<<8|int(a[2]))%len(b)] })},
	{"binary value extended", onBytes("", func(b []byte, a [itemStep - 1]byte) []byte { return append(b, a[1:1+1+a[1]%4]...) })},

	{"head: bit flipped", onBytes(headAttribute, func(b []byte, a [itemStep - 1]byte) []byte {
		b[(int(a[1])<<8|int(a[2]))%len(b)] ^= 1 << (a[3] % 8)
		return b
	})},
	{"head: version", onHead(func(h *head, a [itemStep - 1]byte) { h.version = a[0] % 4 })},
	{"head: suite", onHead(func(h *head, a [itemStep - 1]byte) { h.suite = h.suite&^0xff | keyring.Suite(a[0]%3) })},
	{"head: message ID", onHead(func(h *head, a [itemStep - 1]byte) { h.messageID[int(a[0])%messageIDLen] ^= a[1] | 1 })},
	{"head: letter of the legend", onHead(func(h *head, a [itemStep - 1]byte) {
		if len(h.legend) > 0 {
			h.legend[int(a[0])%len(h.legend)] = "escx"[a[1]%4]
		}
	})},
	{"head: legend longer or shorter", onHead(func(h *head, a [itemStep - 1]byte) {
		if i := int(a[0]) % (len(h.legend) + 1); a[1]&1 == 0 || i == len(h.legend) {
			h.legend = slices.Insert(slices.Clone(h.legend), i, "esc"[a[2]%3])
		} else {
			h.legend = slices.Delete(slices.Clone(h.legend), i, i+1)
		}
	})},
	{"head: stored pairs", onHead(func(h *head, a [itemStep - 1]byte) {
		stored, err := h.stored()
		if err != nil {
			return
		}
		req := keyring.DecryptionRequest{Stored: stored}
		ec, _, err := req.Parse()
		if err != nil {
			return
		}
		if ec == nil {
			ec = keyring.EncryptionContext{}
		}
		switch keys := slices.Sorted(maps.Keys(ec)); {
		case a[0]%3 == 0 || len(keys) == 0:
			ec[[]string{"tenant", reservedPair + "table-name", attrPair + "x", signerPair, ""}[a[1]%5]] = "value"
		case a[0]%3 == 1:
			delete(ec, keys[int(a[1])%len(keys)])
		default:
			ec[keys[int(a[1])%len(keys)]] += "x"
		}
		h.context = noPairs
		if b, err := ec.AppendBinary(nil); err == nil && len(ec) > 0 {
			h.context = b
		}
	})},
	{"head: wrapped keys doubled", onDataKeys(func(keys []keyring.EncryptedDataKey, a [itemStep - 1]byte) []keyring.EncryptedDataKey {
		i := int(a[0]) % len(keys)
		return slices.Insert(keys, i, keys[i])
	})},
	{"head: wrapped keys fewer", onDataKeys(func(keys []keyring.EncryptedDataKey, a [itemStep - 1]byte) []keyring.EncryptedDataKey {
		i := int(a[0]) % len(keys)
		return slices.Delete(keys, i, i+1)
	})},
	{"head: wrapped keys swapped", onDataKeys(func(keys []keyring.EncryptedDataKey, a [itemStep - 1]byte) []keyring.EncryptedDataKey {
		i, j := int(a[0])%len(keys), int(a[1])%len(keys)
		keys[i], keys[j] = keys[j], keys[i]
		return keys
	})},
	{"foot: bit flipped", onBytes(footAttribute, func(b []byte, a [itemStep - 1]byte) []byte {
		b[(int(a[1])<<8|int(a[2]))%len(b)] ^= 1 << (a[3] % 8)
		return b
	})},
	{"foot: tags swapped, repeated, dropped", onBytes(footAttribute, func(b []byte, a [itemStep - 1]byte) []byte {
		n := len(b) / tagLen
		if n == 0 {
			return b
		}
		i, j := int(a[0])%n*tagLen, int(a[1])%n*tagLen
		switch a[2] % 3 {
		case 0:
			tag := slices.Clone(b[i:][:tagLen])
			copy(b[i:], b[j:][:tagLen])
			copy(b[j:], tag)
		case 1:
			b = slices.Insert(b, i, slices.Clone(b[j:][:tagLen])...)
		default:
			b = slices.Delete(b, i, i+tagLen)
		}
		return b
	})},
	{"foot: the signature's twin", onBytes(footAttribute, func(b []byte, a [itemStep - 1]byte) []byte {
		// Who has a signature (r, s) has (r, -s) as well.
		for n := tagLen; n < len(b); n += tagLen {
			var rs struct{ R, S *big.Int }
			if rest, err := asn1.Unmarshal(b[n:], &rs); err == nil && len(rest) == 0 {
				rs.S.Sub(elliptic.P384().Params().N, rs.S)
				if sig, err := asn1.Marshal(rs); err == nil {
					return append(b[:n], sig...)
				}
			}
		}
		return b
	})},
}

// judgeItem does to one of the items what a script says: which item, whether it is sealed anew
// then, and steps. It returns whether the item opens.
func judgeItem(t testing.TB, all []*javaOriginal, script []byte) bool {
	next := func(n int) []byte {
		b := make([]byte, n)
		script = script[copy(b, script):]
		return b
	}
	first := next(2)
	o := all[int(first[0])%len(all)]
	resealed := first[1]&1 == 1
	it := maps.Clone(o.it)
	for steps := 0; len(script) > 0 && steps < 6; steps++ {
		b := next(itemStep)
		it = itemChanges[int(b[0])%len(itemChanges)].apply(it, [itemStep - 1]byte(b[1:]))
	}
	table := o.table
	if resealed {
		table = o.forged
		it = o.forger.reseal(t, table, it)
	}
	opened := 0
	table.onOpen = func(string) { opened++ }
	got, err := table.Decrypt(context.Background(), it)
	if err != nil {
		require.Nil(t, got)
		if !resealed {
			require.Zero(t, opened, "opened before it was verified")
		}
		return false
	}
	_, hasHead := it[headAttribute]
	require.True(t, hasHead, "an item in the clear is not encrypted")
	b, err := binaryOf("", it[headAttribute])
	require.NoError(t, err)
	h, err := parseHead(b, maxDataKeys)
	require.NoError(t, err)
	w := &work{derivation: *newDerivation()}
	require.NoError(t, table.gatherSigned(w, it))
	letters := map[string]byte{}
	for i := range w.item {
		letters[w.item[i].name] = h.legend[i]
	}

	var names []string
	for name, v := range it {
		if strings.HasPrefix(name, reservedPrefix) {
			continue
		}
		names = append(names, name)
		if letters[name] != legendEncrypted {
			require.Equal(t, serializedOr(v), serializedOr(got[name]), "%q is not what the item has", name)
			continue
		}
		// What was encrypted opens where it was, and nowhere else.
		require.Equal(t, serializedOr(o.it[name]), serializedOr(v), "%q opened though it was altered", name)
		require.Equal(t, serialized(t, o.plain[name]), serialized(t, got[name]), name)
	}
	require.ElementsMatch(t, names, slices.Collect(maps.Keys(got)))
	if resealed {
		return true
	}
	// All that is signed is as it was.
	require.Equal(t, o.it[headAttribute], it[headAttribute])
	for name := range o.it {
		if !table.config.isUnsigned(name) && !strings.HasPrefix(name, reservedPrefix) {
			require.Contains(t, it, name)
			require.Equal(t, serializedOr(o.it[name]), serializedOr(it[name]), name)
		}
	}
	for name := range letters {
		require.Contains(t, o.it, name)
	}
	return true
}

func itemScripts(which, n int) (all [][]byte) {
	rng := rand.New(rand.NewPCG(18, uint64(which)))
	for i := range n {
		b := make([]byte, 2+itemStep)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		b[0], b[1], b[2] = byte(i), byte(i/10), byte(which)
		all = append(all, b)
	}
	return all
}

// FuzzJavaItems has scripts change items that AWS's Java release wrote, with all that vouches
// for them made anew or not. An item opens only if all that is signed is as it was; one that
// was sealed anew opens to what the forger has put into it, and what was encrypted opens only
// where it was.
func FuzzJavaItems(f *testing.F) {
	all := javaOriginals(f)
	for i := range itemChanges {
		for _, script := range itemScripts(i, 20) {
			f.Add(script)
		}
	}
	f.Fuzz(func(t *testing.T, script []byte) { judgeItem(t, all, script) })
}

// TestItemChanges holds that FuzzJavaItems is not vacuous: after each change there are items
// that open, and such that do not, but for three that say why.
func TestItemChanges(t *testing.T) {
	all := javaOriginals(t)
	for i := range all {
		assert.True(t, judgeItem(t, all, []byte{byte(i), 0}), "item %d as it was", i)
		assert.True(t, judgeItem(t, all, []byte{byte(i), 1}), "item %d sealed anew", i)
	}
	for i, c := range itemChanges {
		var opens, refused int
		for _, script := range itemScripts(i, 200) {
			if judgeItem(t, all, script) {
				opens++
			} else {
				refused++
			}
		}
		t.Logf("%3d open, %3d refused: %s", opens, refused, c.name)
		switch c.name {
		case "head: legend longer or shorter", // alone it fits no item
			"head: message ID": // of which the keys of encrypted attributes come
			assert.Zero(t, opens, c.name)
		case "foot: the signature's twin": // it proves as much
			assert.Zero(t, refused, c.name)
		default:
			assert.NotZero(t, refused, c.name)
			assert.NotZero(t, opens, c.name)
		}
	}
}
