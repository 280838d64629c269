package differential

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	_ "crypto/sha1"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/byhand"
	"github.com/go-sealring/sealring/keyring"
)

// An unwrapper is a keyring of both sides that unwraps, and what a wrapped key for it is
// planned as.
type unwrapper struct {
	name string // also the peer's
	ours keyring.Decrypter
	plan func(b *[shapeLen]byte) *wrapPlan
	most int // wrapped keys that ours tries; 0 is all

	discovery elliptic.Curve // of a keyring that takes any sender
}

// A wrapPlan is a wrapped key in the making. It has what the kinds of keyrings need.
type wrapPlan struct {
	provider string
	name     string
	dataKey  []byte
	bound    []pair // what is authenticated

	// AES
	wrapping       []byte
	tagBits, ivLen uint32
	iv             []byte

	// RSA
	public      *rsa.PublicKey
	hash, mgf   crypto.Hash // zero: PKCS #1 v1.5
	label       []byte
	lead        byte
	blockType   byte
	separator   byte
	padding     int // bytes of padding; below zero: as many as there must be
	zeroPadding bool
	wraps       int // how often the modulus is added
	rsaCut      bool

	// ECDH
	curve             elliptic.Curve
	curveName         string
	version           byte
	private           *ecdh.PrivateKey // of the sender
	peer              *ecdh.PublicKey
	recipient, sender []byte // as written
	swapped           bool   // in the derivation's input
	secretTail        []byte
	salt              []byte

	// Behind all that.
	infoFields, secretFields []field
}

func fieldsBytes(fields []field) []byte {
	var out []byte
	for _, f := range fields {
		out = append(out, f.b...)
	}
	return out
}

// write makes the fields of the plan.
func (w *wrapPlan) write() {
	context := byhand.Serialize(byhand.Sorted(w.bound))
	switch {
	case w.wrapping != nil:
		w.infoFields = []field{{"name", []byte(w.name)}, {"tag length", byhand.U32(w.tagBits)}, {"IV length", byhand.U32(w.ivLen)}, {"IV", w.iv}}
		sealed := byhand.Seal(w.wrapping, w.iv, w.dataKey, context)
		n := len(sealed) - 16
		w.secretFields = []field{{"data key", sealed[:n]}, {"tag", sealed[n:]}}
	case w.public != nil:
		w.infoFields = []field{{"name", []byte(w.name)}}
		w.secretFields = []field{{"data key", w.rsa()}}
	default:
		w.infoFields = []field{
			{"version", []byte{w.version}}, {"recipient length", byhand.U32(uint32(len(w.recipient)))}, {"recipient", w.recipient},
			{"sender length", byhand.U32(uint32(len(w.sender)))}, {"sender", w.sender},
		}
		first, second := w.sender, w.recipient
		if w.swapped {
			first, second = second, first
		}
		fixed := slices.Concat([]byte("ecdh-key-derivation\x00"+w.curveName+"\x00HMAC_SHA384\x00"), first, second, []byte{0, w.version, 0}, context)
		secret, err := w.private.ECDH(w.peer)
		must(err)
		var out []byte
		for i := uint32(1); len(out) < 64; i++ {
			mac := hmac.New(sha512.New384, append(secret, w.secretTail...))
			mac.Write(slices.Concat(byhand.U32(i), fixed, []byte{0}, w.salt, byhand.U32(512)))
			out = mac.Sum(out)
		}
		sealed := byhand.Seal(out[32:64], make([]byte, 12), w.dataKey, fixed)
		n := len(sealed) - 16
		w.secretFields = []field{{"salt", w.salt}, {"commitment", out[:32]}, {"data key", sealed[:n]}, {"tag", sealed[n:]}}
	}
}

// rsa encrypts with padding of its own.
func (w *wrapPlan) rsa() []byte {
	size := w.public.Size()
	var em []byte
	if w.hash == 0 {
		n := w.padding
		if n < 0 {
			n = max(size-3-len(w.dataKey), 0)
		}
		ps := byhand.BytesOf("padding", n)
		for i := range ps {
			ps[i] |= 1
		}
		if w.zeroPadding && n > 0 {
			ps[n/2] = 0
		}
		em = slices.Concat([]byte{w.lead, w.blockType}, ps, []byte{w.separator}, w.dataKey)
	} else {
		h := w.hash.New()
		h.Write(w.label)
		n := max(size-2*w.hash.Size()-2-len(w.dataKey), 0)
		ps := make([]byte, n)
		if w.zeroPadding && n > 0 {
			ps[n/2] = 2 // which must be zero here
		}
		db := slices.Concat(h.Sum(nil), ps, []byte{w.separator}, w.dataKey)
		seed := byhand.BytesOf("seed", w.hash.Size())
		xorMGF(db, seed, w.mgf.New())
		xorMGF(seed, db, w.mgf.New())
		em = slices.Concat([]byte{w.lead}, seed, db)
	}
	m := new(big.Int).SetBytes(em)
	m.Mod(m, w.public.N)
	c := m.Exp(m, big.NewInt(int64(w.public.E)), w.public.N)
	for range w.wraps {
		c.Add(c, w.public.N)
	}
	out := c.Bytes()
	if !w.rsaCut && len(out) < size {
		out = c.FillBytes(make([]byte, size))
	}
	return out
}

func xorMGF(out, seed []byte, h hash.Hash) {
	var mask []byte
	for i := uint32(0); len(mask) < len(out); i++ {
		h.Reset()
		h.Write(seed)
		h.Write(byhand.U32(i))
		mask = h.Sum(mask)
	}
	for i := range out {
		out[i] ^= mask[i]
	}
}

func fixedECDH(c ecdh.Curve, label string) *ecdh.PrivateKey {
	k, err := FixedECDH(c, label)
	must(err)
	return k
}

// compress returns the compressed form of a point.
func compress(k *ecdh.PublicKey) []byte {
	point := k.Bytes() // 4, x, y
	x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
	return append([]byte{2 | y[len(y)-1]&1}, x...)
}

// newUnwrappers returns keyrings of all kinds that hold their keys themselves.
func newUnwrappers(t testing.TB) []unwrapper {
	var all []unwrapper
	for _, k := range AESKeys {
		o, err := keyring.NewRawAES(k.Namespace, k.Name, k.Key)
		require.NoError(t, err)
		all = append(all, unwrapper{fmt.Sprintf("AES %d", 8*len(k.Key)), o, func(*[shapeLen]byte) *wrapPlan {
			return &wrapPlan{provider: k.Namespace, name: k.Name, wrapping: k.Key, tagBits: 128, ivLen: 12, iv: byhand.BytesOf("iv", 12)}
		}, 0, nil})
	}

	private, err := FixedRSA()
	require.NoError(t, err)
	hashes := map[keyring.RSAPadding]crypto.Hash{
		keyring.RSAPKCS1: 0, keyring.RSAOAEPSHA1: crypto.SHA1, keyring.RSAOAEPSHA256: crypto.SHA256,
		keyring.RSAOAEPSHA384: crypto.SHA384, keyring.RSAOAEPSHA512: crypto.SHA512,
	}
	for _, padding := range slices.Sorted(maps.Keys(hashes)) {
		o, err := keyring.NewRawRSADecrypter("interop", "rsa", private, padding)
		require.NoError(t, err)
		all = append(all, unwrapper{"RSA " + padding.String(), o, func(*[shapeLen]byte) *wrapPlan {
			w := &wrapPlan{
				provider: "interop", name: "rsa", public: &private.PublicKey, hash: hashes[padding], mgf: hashes[padding],
				padding: -1, blockType: 2, separator: 1,
			}
			if w.hash == 0 {
				w.separator = 0
			}
			return w
		}, 10, nil})
	}

	for _, c := range []struct {
		curve    ecdh.Curve
		elliptic elliptic.Curve
		name     string
	}{
		{ecdh.P256(), elliptic.P256(), "p256"}, {ecdh.P384(), elliptic.P384(), "p384"}, {ecdh.P521(), elliptic.P521(), "p521"},
	} {
		alice, bob := fixedECDH(c.curve, "alice"), fixedECDH(c.curve, "bob")
		plan := func(b *[shapeLen]byte) *wrapPlan {
			w := &wrapPlan{
				provider: "raw-ecdh", curve: c.elliptic, curveName: c.name, version: 1, private: alice, peer: bob.PublicKey(), salt: byhand.BytesOf("salt", 32),
			}
			if b[5]&1 == 1 { // as the other party writes
				w.private, w.peer = bob, alice.PublicKey()
			}
			w.recipient, w.sender = compress(w.peer), compress(w.private.PublicKey())
			return w
		}
		o, err := keyring.NewRawECDH(bob, alice.PublicKey())
		require.NoError(t, err)
		all = append(all, unwrapper{"ECDH " + c.name, o, plan, 0, nil})
		d, err := keyring.NewRawECDHDecrypter(bob)
		require.NoError(t, err)
		all = append(all, unwrapper{"ECDH discovery " + c.name, d, plan, 10, c.elliptic})
	}
	return all
}

// A keyMutation changes the plan of a wrapped key, or its fields.
type keyMutation struct {
	name  string
	late  bool
	apply func(w *wrapPlan, a told)
}

var keyMutations = []keyMutation{
	{"provider", false, func(w *wrapPlan, a told) {
		w.provider = change(w.provider, a[1], a[2], a[3])
		if a[4]&1 == 1 {
			w.provider = []string{"aws-kms", "aws-kms-rsa", "raw-ecdh", "aws-kms-ecdh", "aws-kms-hierarchy"}[a.pick(5, 5)]
		}
	}},
	{"name", false, func(w *wrapPlan, a told) { w.name = change(w.name, a[1], a[2], a[3]) }},
	{"data key", false, func(w *wrapPlan, a told) {
		w.dataKey = byhand.BytesOf(string(a[2:]), []int{16, 24, 32, len(w.dataKey), len(w.dataKey), 0, 1, 31, 33, 64, 190, 214, 245, 246}[a.pick(1, 14)])
		if a[2]&7 == 1 {
			clear(w.dataKey)
		}
	}},
	{"context", false, func(w *wrapPlan, a told) {
		if p := at(w.bound, a, 0); p != nil {
			w.bound = slices.Clone(w.bound)
			p = at(w.bound, a, 0)
			p[1] = change(p[1], a[1], a[2], a[3])
		}
	}},
	{"AES: lengths and IV", false, func(w *wrapPlan, a told) {
		switch a.pick(0, 3) {
		case 0:
			w.tagBits = a.anyNumber()
		case 1:
			w.ivLen = a.anyNumber()
		case 2:
			w.iv = byhand.BytesOf(string(a[3:]), []int{12, 12, 0, 1, 11, 13, 16}[a.pick(1, 7)])
			if a[2]&1 == 1 {
				w.ivLen = uint32(len(w.iv))
			}
		}
	}},
	{"AES: another key", false, func(w *wrapPlan, a told) {
		if w.wrapping != nil {
			w.wrapping = byhand.BytesOf([]string{"16", "24", "32", "other"}[a.pick(0, 4)], []int{16, 24, 32}[a.pick(1, 3)])
		}
	}},
	{"RSA: hashes", false, func(w *wrapPlan, a told) {
		all := []crypto.Hash{0, crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512}
		if w.hash != 0 {
			w.mgf = all[1+a.pick(1, 4)]
		}
		if a[2]&1 == 1 {
			w.hash, w.mgf = all[a.pick(0, 5)], all[1+a.pick(1, 4)]
		}
	}},
	{"RSA: padding", false, func(w *wrapPlan, a told) {
		switch a.pick(0, 6) {
		case 0:
			w.label = a[1 : 1+a.pick(1, 4)]
		case 1:
			w.lead = a[1]
		case 2:
			w.blockType = a[1]
		case 3:
			w.separator = a[1] % 4
		case 4:
			w.padding = a.pick(1, 240)
		default:
			w.zeroPadding = true
		}
	}},
	{"RSA: number", false, func(w *wrapPlan, a told) { w.wraps, w.rsaCut = a.pick(0, 3), a[1]&1 == 1 }},
	{"ECDH: version and labels", false, func(w *wrapPlan, a told) {
		switch a.pick(0, 4) {
		case 0:
			w.version = a[1] % 4
		case 1:
			w.curveName = []string{"p256", "p384", "p521", "P256", "P384", "secp384r1", ""}[a.pick(1, 7)]
		case 2:
			w.swapped = true
		default:
			w.secretTail = []byte{a[1]}
		}
	}},
	{"ECDH: salt", false, func(w *wrapPlan, a told) {
		w.salt = byhand.BytesOf(string(a[2:]), []int{32, 32, 32, 0, 31, 33}[a.pick(1, 6)])
	}},
	{"ECDH: another sender", false, func(w *wrapPlan, a told) {
		if w.curve == nil {
			return
		}
		w.private = fixedECDH(w.private.Curve(), string(a[3:]))
		if a[1]&3 != 0 {
			w.sender = compress(w.private.PublicKey())
		}
		if a[1]&12 == 12 {
			w.peer = fixedECDH(w.private.Curve(), "carol").PublicKey()
			w.recipient = compress(w.peer)
		}
	}},
	{"ECDH: points in other forms", false, func(w *wrapPlan, a told) {
		if w.curve == nil {
			return
		}
		of := &w.sender
		key := w.private.PublicKey()
		if a[0]&1 == 1 {
			of, key = &w.recipient, w.peer
		}
		b := slices.Clone(*of)
		if len(b) < 2 {
			return // an earlier step made it so
		}
		switch a.pick(1, 7) {
		case 0:
			b = key.Bytes()
		case 1:
			b[0] ^= 1
		case 2:
			b[0] = a[2]
		case 3:
			b = []byte{0}
		case 4:
			b = append(b, a[2])
		case 5:
			b[1+a.pick(2, len(b)-1)] ^= a[3]
		default: // x plus the field's order, or as much as fits
			x := new(big.Int).SetBytes(b[1:])
			x.Add(x, w.curve.Params().P)
			if x.BitLen() <= 8*(len(b)-1) {
				b = append(b[:1], x.FillBytes(make([]byte, len(b)-1))...)
			} else {
				b = append(b[:1], x.Bytes()...)
			}
		}
		*of = b
	}},
	{"bit of a field flipped", true, lateField(func(f *field, a told) {
		if len(f.b) > 0 {
			f.b[a.pick(1, len(f.b))] ^= 1 << (a[2] % 8)
		}
	})},
	{"byte of a field set", true, lateField(func(f *field, a told) {
		if len(f.b) > 0 {
			f.b[a.pick(1, len(f.b))] = a[2]
		}
	})},
	{"field cut", true, lateField(func(f *field, a told) { f.b = f.b[:a.pick(1, len(f.b)+1)] })},
	{"field extended", true, lateField(func(f *field, a told) { f.b = append(f.b, bytes.Repeat(a[2:3], 1+a.pick(1, 20))...) })},
	{"field emptied", true, lateField(func(f *field, a told) { f.b = nil })},
	{"field doubled", true, lateField(func(f *field, a told) { f.b = append(f.b, f.b...) })},
}

// lateField is a mutation of one field.
func lateField(f func(f *field, a told)) func(w *wrapPlan, a told) {
	return func(w *wrapPlan, a told) {
		i := a.pick(0, len(w.infoFields)+len(w.secretFields))
		if i < len(w.infoFields) {
			f(&w.infoFields[i], a)
		} else {
			f(&w.secretFields[i-len(w.infoFields)], a)
		}
	}
}

var keySuites = []keyring.Suite{
	keyring.SuiteAES256GCMHKDFSHA512Commit, keyring.SuiteAES128GCM, keyring.SuiteAES192GCMHKDFSHA256, keyring.SuiteAES256GCMHKDFSHA256,
}

// A keyScene is a list of wrapped keys, and who unwraps it.
type keyScene struct {
	by      *unwrapper
	suite   keyring.Suite
	context map[string]string
	keys    []keyring.EncryptedDataKey
	played  []int
}

// playKeys does what a script says. Its first bytes choose the keyring, the suite, the context
// and how many keys there are; each step changes one of them.
func playKeys(all []unwrapper, script []byte) *keyScene {
	var shape [shapeLen]byte
	steps := script[copy(shape[:], script):]
	s := &keyScene{by: &all[int(shape[0])%len(all)], suite: keySuites[int(shape[1])%len(keySuites)]}
	pairs := contexts[int(shape[2])%len(contexts)]
	s.context = contextOf(pairs)
	plans := make([]*wrapPlan, 1+int(shape[3])%3)
	for i := range plans {
		plans[i] = s.by.plan(&shape)
		plans[i].dataKey, plans[i].bound = byhand.BytesOf("data key", s.suite.DataKeyLen()), pairs
		if i < int(shape[4])%3 { // such as to be passed over
			plans[i].provider = "nobody"
		}
	}
	type step struct {
		which int
		of    *wrapPlan
		a     told
	}
	var todo []step
	for len(steps) > 0 && len(todo) < maxSteps {
		var b [stepLen + 1]byte
		steps = steps[copy(b[:], steps):]
		todo = append(todo, step{int(b[0]) % len(keyMutations), plans[int(b[1])%len(plans)], told(b[2:])})
	}
	for _, late := range []bool{false, true} {
		for _, t := range todo {
			if m := keyMutations[t.which]; m.late == late {
				m.apply(t.of, t.a)
			}
		}
		if !late {
			for _, w := range plans {
				w.write()
			}
		}
	}
	for _, t := range todo {
		s.played = append(s.played, t.which)
	}
	for _, w := range plans {
		// What is no text, no header has: FuzzMessages tries it there.
		provider := strings.ToValidUTF8(w.provider, "")
		s.keys = append(s.keys, keyring.EncryptedDataKey{ProviderID: provider, ProviderInfo: fieldsBytes(w.infoFields), Ciphertext: fieldsBytes(w.secretFields)})
	}
	// The order, and how many.
	if shape[6]&1 == 1 {
		slices.Reverse(s.keys)
	}
	if shape[6]&14 == 14 {
		for range 4 + shape[7]%12 {
			s.keys = slices.Insert(s.keys, 0, s.keys[0])
		}
	}
	return s
}

// A keyDifference is one that is known. Without what is to blame, which mend takes away or
// puts right, both sides do the same.
type keyDifference struct {
	name string
	mend func(s *keyScene) []keyring.EncryptedDataKey
}

var keyDifferences = []keyDifference{
	{"AWS refuses all wrapped keys if one that is ECDH's has information of a form that no curve has", func(s *keyScene) []keyring.EncryptedDataKey {
		return slices.DeleteFunc(slices.Clone(s.keys), func(k keyring.EncryptedDataKey) bool {
			// The lengths are those of three curves.
			n := len(k.ProviderInfo)
			return isECDH(k) && (n != 75 && n != 107 && n != 143 || k.ProviderInfo[0] != 1 || senderAt(k) < 0)
		})
	}},
	{"AWS does not look at the length of an ECDH sender's key", func(s *keyScene) []keyring.EncryptedDataKey {
		keys := slices.Clone(s.keys)
		for i, k := range keys {
			if n := senderAt(k); isECDH(k) && n > 0 {
				info := bytes.Clone(k.ProviderInfo)
				binary.BigEndian.PutUint32(info[n-4:], uint32(len(info)-n))
				keys[i].ProviderInfo = info
			}
		}
		return keys
	}},
	{"AWS panics if any sender is taken and an ECDH sender's key is no point", func(s *keyScene) []keyring.EncryptedDataKey {
		if s.by.discovery == nil {
			return s.keys
		}
		return slices.DeleteFunc(slices.Clone(s.keys), func(k keyring.EncryptedDataKey) bool {
			n := senderAt(k)
			if !isECDH(k) || n < 0 {
				return false
			}
			x, _ := elliptic.UnmarshalCompressed(s.by.discovery, k.ProviderInfo[n:])
			return x == nil
		})
	}},
	{"a limit of ours: of the keys that take a private key to try, ten", func(s *keyScene) []keyring.EncryptedDataKey {
		if s.by.most == 0 {
			return s.keys
		}
		return s.keys[max(len(s.keys)-s.by.most, 0):]
	}},
}

// senderAt returns where the sender's key is in the information of ECDH's, or -1 if there is
// no room for it behind the recipient's.
func senderAt(k keyring.EncryptedDataKey) int {
	if len(k.ProviderInfo) < 9 {
		return -1
	}
	n := uint64(binary.BigEndian.Uint32(k.ProviderInfo[1:])) + 9
	if n >= uint64(len(k.ProviderInfo)) {
		return -1
	}
	return int(n)
}

func isECDH(k keyring.EncryptedDataKey) bool {
	return k.ProviderID == "raw-ecdh" || k.ProviderID == "aws-kms-ecdh"
}

// unwrap has both sides unwrap. Both may do the same, or not.
func (s *keyScene) unwrap(t testing.TB, p *peer) (ours, theirs []byte, errOurs, errTheirs error) {
	m := &keyring.DecryptionMaterials{Suite: s.suite, Context: s.context}
	errOurs = s.by.ours.OnDecrypt(context.Background(), m, s.keys)
	if errOurs != nil {
		require.ErrorIs(t, errOurs, keyring.ErrNoMatchingKey)
		require.Nil(t, m.DataKey)
	}
	req := Request{Unwrapper: s.by.name, Suite: uint16(s.suite), Context: s.context}
	for _, k := range s.keys {
		req.Keys = append(req.Keys, WrappedKey{k.ProviderID, k.ProviderInfo, k.Ciphertext})
	}
	a := p.ask(t, req)
	return m.DataKey, a.plaintext, errOurs, a.err
}

// agreeOnKeys says whether both sides came to the same. A panic is none of ours.
func agreeOnKeys(ours, theirs []byte, errOurs, errTheirs error) bool {
	_, stopped := errTheirs.(panicked)
	return !stopped && (errOurs == nil) == (errTheirs == nil) && bytes.Equal(ours, theirs)
}

// judgeKeys has both sides unwrap. It returns whether ours did, and what known difference
// there is.
func judgeKeys(t testing.TB, p *peer, s *keyScene) (accepted bool, known string) {
	ours, theirs, errOurs, errTheirs := s.unwrap(t, p)
	if agreeOnKeys(ours, theirs, errOurs, errTheirs) {
		return errOurs == nil, ""
	}
	// One difference, or several at once.
	for which := 1; which < 1<<len(keyDifferences); which++ {
		mended, name := *s, ""
		for i, d := range keyDifferences {
			if which>>i&1 == 1 {
				mended.keys = d.mend(&mended)
				name = d.name
			}
		}
		ours, theirs, errOurs, errTheirs := mended.unwrap(t, p)
		if agreeOnKeys(ours, theirs, errOurs, errTheirs) {
			return errOurs == nil, name
		}
	}
	var names []string
	for _, i := range s.played {
		names = append(names, keyMutations[i].name)
	}
	require.Fail(t, "the two sides differ", "%s, %v, mutations %q, %d keys\nsealring: %d bytes, %s\nAWS: %d bytes, %s\n%x",
		s.by.name, s.suite, names, len(s.keys), len(ours), firstLine(errOurs), len(theirs), firstLine(errTheirs), s.keys)
	return false, ""
}

func keyScripts(which, n int) [][]byte {
	rng := rand.New(rand.NewPCG(17, uint64(which)))
	var all [][]byte
	for i := range n {
		b := make([]byte, shapeLen+stepLen+1)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		b[0], b[shapeLen] = byte(i), byte(which)
		if i%4 > 0 {
			b[3], b[4], b[6] = 0, 0, 0 // one key alone
		}
		all = append(all, b)
	}
	if keyMutations[which].name == "data key" {
		// Many that hold no data key of the suite, and behind them one that does.
		for i := range 14 {
			all = append(all, []byte{byte(i), 0, 1, 1, 0, 0, 14, 9, byte(which), 0, 0, 5, 0, 0, 0, 0})
		}
	}
	return all
}

// FuzzKeys has scripts change wrapped keys, and keyrings of both sides unwrap them. Both
// must, and to the same data key, or neither.
func FuzzKeys(f *testing.F) {
	all, p := newUnwrappers(f), startPeer(f)
	for i := range keyMutations {
		for _, script := range keyScripts(i, len(all)) {
			f.Add(script)
		}
	}
	f.Fuzz(func(t *testing.T, script []byte) { judgeKeys(t, p, playKeys(all, script)) })
}

// TestKeyMutations holds that FuzzKeys is not vacuous: with each mutation some keys are
// unwrapped and some not, and with none all are.
func TestKeyMutations(t *testing.T) {
	all, p := newUnwrappers(t), startPeer(t)
	for i := range all {
		for suiteAt := range keySuites {
			accepted, _ := judgeKeys(t, p, playKeys(all, []byte{byte(i), byte(suiteAt), byte(i)}))
			assert.True(t, accepted, all[i].name)
		}
	}
	found := map[string]int{}
	var yes, no int
	for i, m := range keyMutations {
		var accepted, refused int
		for _, script := range keyScripts(i, 6*len(all)) {
			ok, known := judgeKeys(t, p, playKeys(all, script))
			if ok {
				accepted++
			} else {
				refused++
			}
			if known != "" {
				found[known]++
			}
		}
		t.Logf("%3d accepted, %3d refused: %s", accepted, refused, m.name)
		assert.NotZero(t, accepted, "%s: nothing is accepted", m.name)
		assert.NotZero(t, refused, "%s: nothing is refused", m.name)
		yes, no = yes+accepted, no+refused
	}
	t.Logf("%d accepted, %d refused", yes, no)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		t.Logf("%d: %s", found[name], name)
	}
	for _, d := range keyDifferences {
		assert.NotZero(t, found[d.name], "nothing shows that this is a difference: %s", d.name)
	}
}
