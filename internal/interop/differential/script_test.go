package differential

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"

	"github.com/go-sealring/sealring/internal/byhand"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// A script is what a fuzzer changes: the bytes of a shape, then steps of stepLen bytes,
// each of which is the number of a mutation and what it is told. Every string of bytes is a
// script; bytes that are missing are zero.
const (
	shapeLen = 8
	stepLen  = 7
	maxSteps = 8
)

// A told is the arguments of a mutation.
type told [stepLen - 1]byte

// pick returns argument i as one of n.
func (a told) pick(i, n int) int { return int(a[i]) % max(n, 1) }

// number returns arguments 2 to 5.
func (a told) number() uint32 {
	return uint32(a[2])<<24 | uint32(a[3])<<16 | uint32(a[4])<<8 | uint32(a[5])
}

// A stage is when a mutation is made. All that comes later is made of what it leaves: a tag
// over the header as it is then, frames under its message ID, a signature over all.
type stage int

const (
	plan   stage = iota // before anything is made
	head                // the header's body is there
	tagged              // its tag too
	sealed              // the body too
	signed              // all is there
	stages
)

var stageNames = [stages]string{"plan", "before the header's tag", "behind the header's tag", "behind the body's tags", "behind the signature"}

// A mutation changes a draft in one way.
type mutation struct {
	name  string
	stage stage
	apply func(d *draft, a told)
	never bool // a message that it has changed is always refused
}

// mutations are all there are. Scripts name them by their place.
var mutations = slices.Concat(planned, fieldMutations(), byteMutations)

// frameLens has one for which a body is divided among goroutines.
var frameLens = [...]int{1, 2, 7, 16, 30, 100, 4096, 4096}

const longFrames = len(frameLens) - 1

var contexts = [...][]pair{
	nil,
	{{"table", "patients"}, {"tenant", "42"}},
	{{"tenant", "42"}, {"～", "tilde"}, {"🔑", "key"}, {"ключ", "значение"}},
	{{"", "empty key"}, {"empty value", ""}},
}

var hiddenPairs = [...][]pair{nil, nil, {{"row", "7"}}, {{"row", "7"}, {"å", ""}}}

// A scene is a message, and how it is to be opened.
type scene struct {
	draft      *draft
	msg        []byte
	asMade     []byte // the message before changes that no tag was made for; nil: there were none
	policy     keyring.CommitmentPolicy
	reproduced map[string]string
	required   []string
	reader     int // of Orders: 0 has the first, 1 both, 2 both the other way round
	played     []int
}

// play does what a script says.
func play(script []byte) *scene {
	var shape [shapeLen]byte
	steps := script[copy(shape[:], script):]
	type step struct {
		which int
		a     told
	}
	var todo []step
	for len(steps) > 0 && len(todo) < maxSteps {
		var b [stepLen]byte
		steps = steps[copy(b[:], steps):]
		todo = append(todo, step{int(b[0]) % len(mutations), told(b[1:])})
	}
	s := &scene{}
	for _, t := range todo {
		s.played = append(s.played, t.which)
	}

	build := func(until stage) *draft {
		d := s.shape(shape)
		for at := plan; at <= until; at++ {
			switch at {
			case head:
				d.writeHeader()
			case tagged:
				d.writeTag()
			case sealed:
				d.writeBody()
			case signed:
				d.writeFooter()
			}
			for _, t := range todo {
				if m := mutations[t.which]; m.stage == at {
					m.apply(d, t.a)
				}
			}
		}
		return d
	}
	late := func(stage stage) bool {
		return slices.ContainsFunc(todo, func(t step) bool { return mutations[t.which].stage == stage })
	}
	s.draft = build(signed)
	s.msg = s.draft.bytes()
	if late(tagged) || late(sealed) || late(signed) {
		// The same once more without them.
		todo = slices.DeleteFunc(todo, func(t step) bool { return mutations[t.which].stage > head })
		s.asMade = build(signed).bytes()
	}
	return s
}

// shape plans the message that a script begins with, and decides how it is opened.
func (s *scene) shape(b [shapeLen]byte) *draft {
	row := suite.All()[int(b[0])%len(suite.All())]
	frameLen := int(b[2]) % len(frameLens)
	n := int(b[3]) % 8 * frameLens[frameLen]
	switch b[3] / 8 % 4 {
	case 0:
		n = max(n-1, 0)
	case 1:
		n++
	}
	if frameLen == longFrames {
		n += 160 << 10
	}
	context, hidden := contexts[b[4]%4], hiddenPairs[b[4]/4%4]
	d := newDraft(row, b[1]&1 == 0, frameLens[frameLen], byhand.BytesOf("plaintext", n), context, hidden)

	d.addKey(int(b[5]) % 2)
	for i := range int(b[5]) / 2 % 4 {
		d.addKey((i + int(b[5])/8) % len(WrappingKeys))
	}

	s.policy = []keyring.CommitmentPolicy{keyring.RequireEncryptAllowDecrypt, keyring.RequireEncryptRequireDecrypt, keyring.ForbidEncryptAllowDecrypt}[b[6]%3]
	if !row.Commits && b[6]%3 == 1 && b[6]/3%4 != 0 {
		s.policy = keyring.RequireEncryptAllowDecrypt // more often, since nothing is read otherwise
	}
	s.reader = int(b[6]) / 12 % 3
	// What the caller expects: the hidden pairs, as it must, and perhaps some of the others.
	s.reproduced, s.required = map[string]string{}, nil
	for i, p := range slices.Concat(hidden, context) {
		if i < len(hidden) || b[7]>>(i%4)&1 == 1 {
			s.reproduced[p[0]] = p[1]
		}
	}
	switch b[7] >> 4 % 8 {
	case 1:
		s.required = []string{"row"}
	case 2:
		s.required = []string{"tenant"}
	case 3:
		s.reproduced["tenant"] = "43"
	case 4:
		delete(s.reproduced, "row")
	case 5:
		s.reproduced = nil
	}
	return d
}

// words are keys and values of pairs. Some are of no use for that.
var words = []string{
	"", "a", "tenant", "table", "row", "42", "7", "patients", "é", "e\u0301", "🔑", "～", "\ue000", "\uffff", "\U0010ffff", "\x00", "\ufeff", "\ufffd",
	"aws-crypto-x", "aws-crypto-", publicKeyPair, "AWS-CRYPTO-X", "aws:x",
	"\xff", "\xc0\x80", "\xed\xa0\x80", "\xed\xa0\x80\xed\xb0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\xf0\x82\x82\xac",
}

// change changes a string in one of some ways.
func change(s string, how byte, a, b byte) string {
	switch how % 6 {
	case 0:
		if s == "" {
			return string([]byte{a})
		}
		out := []byte(s)
		out[int(a)%len(out)] ^= 1 << (b % 8)
		return string(out)
	case 1:
		return words[int(a)%len(words)]
	case 2:
		return s + words[int(a)%len(words)]
	case 3:
		return s[:int(a)%(len(s)+1)]
	case 4:
		return strings.ToUpper(s)
	default:
		return words[int(a)%len(words)] + s
	}
}

// at returns a pointer to the element of s that an argument chooses, or nil.
func at[T any](s []T, a told, i int) *T {
	if len(s) == 0 {
		return nil
	}
	return &s[a.pick(i, len(s))]
}

// on is a mutation of one element.
func on[T any](of func(d *draft) []T, f func(d *draft, x *T, a told)) func(d *draft, a told) {
	return func(d *draft, a told) {
		if x := at(of(d), a, 0); x != nil {
			f(d, x, a)
		}
	}
}

func storedOf(d *draft) []pair  { return d.stored }
func keysOf(d *draft) []wrapped { return d.keys }
func partsOf(d *draft) []part   { return d.parts }

// double, drop and swap change the order and number of elements.
func double[T any](s []T, a told) []T {
	if len(s) == 0 {
		return s
	}
	x := s[a.pick(0, len(s))]
	return slices.Insert(s, a.pick(1, len(s)+1), x)
}

func drop[T any](s []T, a told) []T {
	if len(s) == 0 {
		return s
	}
	i := a.pick(0, len(s))
	return slices.Delete(s, i, i+1)
}

func swap[T any](s []T, a told) {
	if len(s) > 0 {
		i, j := a.pick(0, len(s)), a.pick(1, len(s))
		s[i], s[j] = s[j], s[i]
	}
}

// renumber gives all parts their numbers, and makes the last one final alone, as told.
func (d *draft) renumber(a told) {
	if !d.framed {
		return
	}
	if a[5]&1 == 0 {
		for i := range d.parts {
			iv := d.parts[i].iv
			d.parts[i].setSeq(uint32(i) + 1)
			if a[5]&4 != 0 {
				d.parts[i].iv = iv
			}
		}
	}
	if a[5]&2 == 0 {
		for i := range d.parts {
			d.parts[i].setFinal(i == len(d.parts)-1)
		}
	}
}

// sizes are lengths that are near some bound.
var sizes = []int{0, 1, 2, 15, 16, 17, 255, 256, 1000, 32767, 32768, 60000, 65000, 65535}

// numbers are values of fields that are near some bound.
var numbers = []uint32{
	0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 30, 100, 255, 256, 4095, 4096, 4097, 65535, 65536, 16 << 20, 16<<20 + 1, 1<<31 - 1, 1 << 31, 1<<32 - 17, 1<<32 - 2, 1<<32 - 1,
}

func (a told) anyNumber() uint32 {
	if a[1]&1 == 0 {
		return numbers[a.pick(2, len(numbers))]
	}
	return a.number()
}

// planned are the mutations after which everything is made that stands around them.
var planned = []mutation{
	{"context: pair changed", plan, on(storedOf, func(_ *draft, p *pair, a told) {
		if a[1]&1 == 0 {
			p[1] = change(p[1], a[2], a[3], a[4])
		} else {
			p[0] = change(p[0], a[2], a[3], a[4])
		}
	}), false},
	{"context: pair added", plan, func(d *draft, a told) {
		p := pair{words[a.pick(1, len(words))], words[a.pick(2, len(words))]}
		d.stored = slices.Insert(d.stored, a.pick(0, len(d.stored)+1), p)
	}, false},
	{"context: pair doubled", plan, func(d *draft, a told) { d.stored = double(d.stored, a) }, false},
	{"context: pair deleted", plan, func(d *draft, a told) { d.stored = drop(d.stored, a) }, false},
	{"context: pairs swapped", plan, func(d *draft, a told) { swap(d.stored, a) }, false},
	{"context: pair stretched", plan, on(storedOf, func(_ *draft, p *pair, a told) {
		p[1] = strings.Repeat("v", sizes[a.pick(1, len(sizes))])
	}), false},
	{"context: pair hidden", plan, func(d *draft, a told) {
		if p := at(d.stored, a, 0); p != nil {
			d.hidden = append(d.hidden, *p)
			d.stored = drop(d.stored, a)
		}
	}, false},
	{"context: pair no longer hidden", plan, func(d *draft, a told) {
		if p := at(d.hidden, a, 0); p != nil {
			d.stored = append(d.stored, *p)
			d.hidden = drop(d.hidden, a)
		}
	}, false},
	{"keys: bound to the context as it is", plan, func(d *draft, a told) {
		for i := range d.keys {
			d.keys[i].bound = slices.Concat([]pair{}, d.stored, d.hidden)
		}
	}, false},

	{"keys: added", plan, func(d *draft, a told) {
		d.addKey(a.pick(0, len(WrappingKeys)))
		last := d.keys[len(d.keys)-1]
		d.keys = slices.Insert(d.keys[:len(d.keys)-1], a.pick(1, len(d.keys)), last)
	}, false},
	{"keys: doubled", plan, func(d *draft, a told) { d.keys = double(d.keys, a) }, false},
	{"keys: deleted", plan, func(d *draft, a told) { d.keys = drop(d.keys, a) }, false},
	{"keys: swapped", plan, func(d *draft, a told) { swap(d.keys, a) }, false},
	{"keys: many", plan, func(d *draft, a told) {
		for range a.pick(0, 80) {
			d.addKey(2 + a.pick(1, 3))
		}
	}, false},
	{"key: another data key", plan, on(keysOf, func(_ *draft, k *wrapped, a told) {
		k.dataKey = byhand.BytesOf("another data key", []int{len(k.dataKey), 0, 1, 16, 24, 31, 32, 33, 48}[a.pick(1, 9)])
		if a[2]&1 == 1 {
			clear(k.dataKey)
		}
	}), false},
	{"key: another wrapping key", plan, on(keysOf, func(_ *draft, k *wrapped, a told) {
		k.wrapping = WrappingKeys[a.pick(1, len(WrappingKeys))].Key
	}), false},
	{"key: provider changed", plan, on(keysOf, func(_ *draft, k *wrapped, a told) {
		k.namespace = change(k.namespace, a[1], a[2], a[3])
		if a[4]&7 == 1 {
			k.namespace = []string{"aws-kms", "aws-kms-rsa", "raw-ecdh", "aws-kms-ecdh", "aws-kms-hierarchy"}[a.pick(5, 5)]
		}
	}), false},
	{"key: name changed", plan, on(keysOf, func(_ *draft, k *wrapped, a told) { k.name = change(k.name, a[1], a[2], a[3]) }), false},
	{"key: tag length", plan, on(keysOf, func(_ *draft, k *wrapped, a told) { k.tagBits = a.anyNumber() }), false},
	{"key: IV length", plan, on(keysOf, func(_ *draft, k *wrapped, a told) { k.ivLen = a.anyNumber() }), false},
	{"key: IV", plan, on(keysOf, func(_ *draft, k *wrapped, a told) {
		k.iv = byhand.BytesOf(string(a[3:]), []int{12, 12, 0, 1, 11, 13, 16, 32}[a.pick(1, 8)])
		if a[2]&1 == 1 {
			k.ivLen = uint32(len(k.iv))
		}
	}), false},
	{"key: more information", plan, on(keysOf, func(_ *draft, k *wrapped, a told) { k.infoTail = byhand.BytesOf("tail", sizes[a.pick(1, len(sizes))]) }), false},
	{"key: longer", plan, on(keysOf, func(_ *draft, k *wrapped, a told) {
		k.secretTail = byhand.BytesOf("tail", sizes[a.pick(1, len(sizes))])
	}), false},

	{"header: version", plan, func(d *draft, a told) { d.version = []byte{0, 1, 2, 3, 0x41}[a.pick(0, 5)] }, false},
	{"header: type", plan, func(d *draft, a told) { d.kind = a[0] }, false},
	{"header: suite", plan, func(d *draft, a told) {
		d.suiteID = suite.All()[a.pick(0, len(suite.All()))].ID
		if a[1]&1 == 1 {
			d.suiteID = uint16(a.number())
		}
	}, false},
	{"header: suite, and all that follows from it", plan, func(d *draft, a told) {
		// The signature stays as it was, if there is one.
		s := suite.All()[a.pick(0, len(suite.All()))]
		d.suite, d.suiteID = s, s.ID
		if a[1]&1 == 0 {
			d.version = s.Version
			d.id = byhand.BytesOf("id", s.MessageIDLen())
		}
		if a[1]&2 == 0 {
			for i := range d.keys {
				d.keys[i].dataKey = byhand.BytesOf("data key", s.KeyLen)
			}
			d.dataKey = byhand.BytesOf("data key", s.KeyLen)
		}
	}, false},
	{"header: message ID", plan, func(d *draft, a told) { d.id = byhand.BytesOf(string(a[2:]), len(d.id)) }, false},
	{"header: message ID of another length", plan, func(d *draft, a told) {
		n := a.pick(0, 48)
		if n == d.suite.MessageIDLen() {
			n++
		}
		d.id = byhand.BytesOf("id", n)
	}, true},
	{"header: content type", plan, func(d *draft, a told) { d.contentType = a[0] % 5 }, false},
	{"header: framed or not", plan, func(d *draft, a told) {
		d.framed = !d.framed
		d.contentType, d.frameLen = 1, 0
		if d.framed {
			d.contentType, d.frameLen = 2, 64
		}
		if text := d.plaintext(); a[0]&1 == 0 {
			d.divide(text, 64)
		}
	}, false},
	{"header: reserved bytes", plan, func(d *draft, a told) { d.reserved = a.anyNumber() }, false},
	{"header: IV length", plan, func(d *draft, a told) { d.ivLen = a[0] % 20 }, false},
	{"header: frame length", plan, func(d *draft, a told) { d.frameLen = a.anyNumber() }, false},
	{"header: commitment", plan, func(d *draft, a told) { d.commitment = make([]byte, 32); d.commitment[a.pick(0, 32)] = a[1] }, false},
	{"header: no commitment", plan, func(d *draft, a told) { d.noCommitment = true }, false},
	{"header: IV", plan, func(d *draft, a told) {
		d.headerIV = byhand.BytesOf(string(a[2:]), []int{12, 12, 0, 11, 13, 16}[a.pick(0, 6)])
	}, false},
	{"header: other additional data", plan, func(d *draft, a told) { d.headerTail = make([]byte, 1+a.pick(0, 3)) }, true},
	{"header: another message key", plan, func(d *draft, a told) {
		d.messageKey = d.dataKey
		if a[0]&1 == 0 {
			d.messageKey = make([]byte, len(d.dataKey))
		}
	}, false},
	{"header: as .NET 4.0.0", plan, func(d *draft, _ told) { d.net400 = true }, false},

	{"frames: swapped", plan, func(d *draft, a told) { swap(d.parts, a); d.renumber(a) }, false},
	{"frames: doubled", plan, func(d *draft, a told) { d.parts = double(d.parts, a); d.renumber(a) }, false},
	{"frames: deleted", plan, func(d *draft, a told) { d.parts = drop(d.parts, a); d.renumber(a) }, false},
	{"frames: empty one added", plan, func(d *draft, a told) {
		d.parts = slices.Insert(d.parts, a.pick(0, len(d.parts)+1), newPart(uint32(len(d.parts))+1, nil, a[1]&1 == 0))
		d.renumber(a)
	}, false},
	{"frames: added", plan, func(d *draft, a told) {
		p := newPart(uint32(len(d.parts))+1, byhand.BytesOf("added", int(d.frameLen)%(1<<13)), a[1]&1 == 0)
		d.parts = slices.Insert(d.parts, a.pick(0, len(d.parts)+1), p)
		d.renumber(a)
	}, false},
	{"frames: divided anew", plan, func(d *draft, a told) {
		n := 1 + a.pick(0, 40)
		d.divide(d.plaintext(), max(n, len(d.plaintext())/100))
		if a[1]&1 == 0 && d.framed {
			d.frameLen = uint32(max(n, len(d.plaintext())/100))
		}
	}, false},
	{"frames: numbered from another on", plan, func(d *draft, a told) {
		first := a.anyNumber()
		for i := range d.parts {
			d.parts[i].setSeq(first + uint32(i))
		}
	}, false},
	{"frames: none", plan, func(d *draft, _ told) { d.parts = nil }, true},
	{"frame: number", plan, on(partsOf, func(_ *draft, p *part, a told) {
		n := a.anyNumber()
		if a[1]&2 == 0 {
			p.seq = n
		}
		if a[1]&4 == 0 {
			p.aadSeq = n
		}
	}), false},
	{"frame: IV", plan, on(partsOf, func(d *draft, p *part, a told) {
		p.iv = byhand.BytesOf(string(a[2:]), []int{12, 12, 12, 0, 11, 13, 16}[a.pick(1, 7)])
		if a[2]&7 == 1 && len(d.parts) > 0 {
			p.iv = slices.Clone(d.parts[a.pick(3, len(d.parts))].iv)
		}
	}), false},
	{"frame: text changed", plan, on(partsOf, func(_ *draft, p *part, a told) { p.setText([]byte(change(string(p.text), a[1], a[2], a[3]))) }), false},
	{"frame: length changed", plan, on(partsOf, func(_ *draft, p *part, a told) {
		n := uint64(a.anyNumber())
		if a[1]&2 == 0 {
			n = p.length + uint64(int64(int8(a[2])))
		}
		if a[1]&4 == 0 {
			p.length = n
		}
		if a[1]&8 == 0 {
			p.aadLen = n
		}
		if a[1]&48 == 48 {
			p.length += 1 << 32
		}
	}), false},
	{"frame: of another kind", plan, on(partsOf, func(_ *draft, p *part, a told) {
		p.aadKind = []string{regularFrame, finalFrame, singleBlock, ""}[a.pick(1, 4)]
	}), false},
	{"frame: final or not", plan, on(partsOf, func(_ *draft, p *part, a told) {
		kind := p.aadKind
		p.setFinal(!p.final)
		if a[1]&1 == 1 {
			p.aadKind = kind
		}
	}), false},
	{"frame: end marker", plan, on(partsOf, func(_ *draft, p *part, a told) { p.marker = a.anyNumber() }), false},
	{"frame: of another message", plan, on(partsOf, func(_ *draft, p *part, a told) {
		p.aadID = append([]byte{}, byhand.BytesOf("another id", a.pick(1, 3)*16)...)
	}), true},
	{"frame: under another key", plan, on(partsOf, func(_ *draft, p *part, _ told) { p.otherKey = true }), true},

	{"signature: of another key", plan, func(d *draft, a told) {
		if d.signer == nil {
			return
		}
		d.signer = byhand.SigningKey([]elliptic.Curve{d.signer.Curve, elliptic.P256(), elliptic.P384()}[a.pick(0, 3)], "another signing key")
		if a[1]&1 == 0 {
			for i := range d.stored {
				if d.stored[i][0] == publicKeyPair {
					d.stored[i][1] = byhand.EncodePoint(&d.signer.PublicKey)
				}
			}
		}
	}, false},
	{"signature: public key in other letters", plan, func(d *draft, a told) {
		for i := range d.stored {
			if d.stored[i][0] == publicKeyPair && d.signer != nil {
				d.stored[i][1] = spell(&d.signer.PublicKey, a)
			}
		}
	}, false},
	{"signature: of other bytes", plan, func(d *draft, a told) {
		d.sign = func(d *draft, b []byte) []byte {
			n := a.pick(0, 4)
			return rightSignature(d, b[min(a.pick(1, 4), len(b)):max(len(b)-n, min(a.pick(1, 4), len(b)))])
		}
	}, false},
	{"signature: in another form", plan, func(d *draft, a told) {
		d.sign = func(d *draft, b []byte) []byte { return reform(d, rightSignature(d, b), a) }
	}, false},
	{"signature: none, or several", plan, func(d *draft, a told) { d.footers = a.pick(0, 3) }, false},
}

// spell writes a public key in other ways than base64 of the compressed point.
func spell(k *ecdsa.PublicKey, a told) string {
	point := elliptic.MarshalCompressed(k.Curve, k.X, k.Y)
	std := base64.StdEncoding.EncodeToString(point)
	switch a.pick(0, 10) {
	case 0:
		whole, err := k.Bytes() // with y
		must(err)
		return base64.StdEncoding.EncodeToString(whole)
	case 1:
		return base64.RawStdEncoding.EncodeToString(point)
	case 2:
		return base64.URLEncoding.EncodeToString(point)
	case 3:
		return std + "\n"
	case 4:
		i := a.pick(1, len(std))
		return std[:i] + []string{"\n", "\r\n", " ", "=", "\x00"}[a.pick(2, 5)] + std[i:]
	case 5: // bits that stand for nothing
		if i := strings.IndexByte(std, '='); i > 0 {
			return std[:i-1] + string(std[i-1]+1) + std[i:]
		}
		return std
	case 6:
		point[0] ^= 1 // the point with the other y
		return base64.StdEncoding.EncodeToString(point)
	case 7:
		point[0] = a[1]
		return base64.StdEncoding.EncodeToString(point)
	case 8:
		return base64.StdEncoding.EncodeToString(append(point, a[1]))
	default:
		point[1+a.pick(1, len(point)-1)] ^= a[2]
		return base64.StdEncoding.EncodeToString(point)
	}
}

// reform writes a signature in another form. The first is one that proves as much.
func reform(d *draft, sig []byte, a told) []byte {
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		return sig
	}
	order := d.signer.Params().N
	encode := func(r, s []byte) []byte {
		body := slices.Concat([]byte{2, byte(len(r))}, r, []byte{2, byte(len(s))}, s)
		return slices.Concat([]byte{0x30, byte(len(body))}, body)
	}
	integer := func(n *big.Int) []byte {
		b, err := asn1.Marshal(n)
		must(err)
		return b[2:]
	}
	r, s := integer(rs.R), integer(rs.S)
	switch a.pick(0, 14) {
	case 0:
		return encode(r, integer(new(big.Int).Sub(order, rs.S)))
	case 1:
		return encode(append([]byte{0}, r...), s)
	case 2:
		return encode(r, append([]byte{0}, s...))
	case 3:
		return encode(r, integer(new(big.Int).Add(order, rs.S)))
	case 4:
		return encode(integer(new(big.Int).Neg(rs.R)), s)
	case 5:
		return encode(s, r)
	case 6:
		return append(sig, a[1:1+a.pick(1, 4)]...)
	case 7:
		return slices.Concat([]byte{0x30, 0x81, sig[1]}, sig[2:]) // the long form of a length
	case 8:
		return slices.Concat([]byte{0x30, 0x80}, sig[2:], []byte{0, 0}) // the form without one
	case 9:
		return nil
	case 10:
		return sig[:a.pick(1, len(sig))]
	case 11:
		return encode([]byte{0}, s)
	case 12:
		return encode(r, []byte{0})
	default: // as r and s alone
		size := (d.signer.Params().BitSize + 7) / 8
		return append(rs.R.FillBytes(make([]byte, size)), rs.S.FillBytes(make([]byte, size))...)
	}
}

// fieldMutations are those of single fields, at each stage. Lengths and counts elsewhere
// stay as they were.
func fieldMutations() []mutation {
	verbs := []struct {
		name  string
		apply func(d *draft, f *field, a told)
	}{
		{"bit of a field flipped", func(_ *draft, f *field, a told) {
			if len(f.b) > 0 {
				f.b[a.pick(1, len(f.b))] ^= 1 << (a[2] % 8)
			}
		}},
		{"byte of a field set", func(_ *draft, f *field, a told) {
			if len(f.b) > 0 {
				f.b[a.pick(1, len(f.b))] = a[2]
			}
		}},
		{"number in a field changed", func(_ *draft, f *field, a told) {
			carry := int(int8(a[1]))
			for i := len(f.b) - 1; i >= 0; i-- {
				carry += int(f.b[i])
				f.b[i] = byte(carry)
				carry >>= 8
			}
		}},
		{"field cut", func(_ *draft, f *field, a told) { f.b = f.b[:a.pick(1, len(f.b)+1)] }},
		{"field extended", func(_ *draft, f *field, a told) { f.b = append(f.b, bytes.Repeat(a[2:3], 1+a.pick(1, 20))...) }},
		{"field deleted", func(d *draft, _ *field, a told) { d.fields = drop(d.fields, a) }},
		{"field doubled", func(d *draft, f *field, a told) {
			i := a.pick(0, len(d.fields))
			d.fields = slices.Insert(d.fields, i, field{f.name, bytes.Clone(f.b)})
		}},
		{"fields swapped", func(d *draft, f *field, a told) {
			g := &d.fields[a.pick(1, len(d.fields))]
			f.b, g.b = g.b, f.b
		}},
		{"field with the bytes of another", func(d *draft, f *field, a told) { f.b = bytes.Clone(d.fields[a.pick(1, len(d.fields))].b) }},
		{"fields of one kind swapped", func(d *draft, f *field, a told) {
			same := d.hasPrefix(f.name)
			g := &d.fields[same[a.pick(1, len(same))]]
			f.b, g.b = g.b, f.b
		}},
	}
	var all []mutation
	for s := head; s < stages; s++ {
		for _, v := range verbs {
			all = append(all, mutation{v.name + " " + stageNames[s], s, func(d *draft, a told) {
				if f := at(d.fields, a, 0); f != nil {
					v.apply(d, f, a)
				}
			}, v.name == "field extended"})
		}
	}
	return all
}

// byteMutations take the message as bytes.
var byteMutations = []mutation{
	{"message cut", signed, whole(func(b []byte, at int, a told) []byte { return b[:at] }), true},
	{"message extended", signed, whole(func(b []byte, _ int, a told) []byte { return append(b, a[:1+a.pick(2, 6)]...) }), true},
	{"message twice", signed, whole(func(b []byte, _ int, _ told) []byte { return append(b, b...) }), true},
	{"bytes deleted", signed, whole(func(b []byte, at int, a told) []byte { return slices.Delete(b, at, min(at+1+a.pick(2, 40), len(b))) }), true},
	{"bytes doubled", signed, whole(func(b []byte, at int, a told) []byte {
		return slices.Insert(b, at, slices.Clone(b[at:min(at+1+a.pick(2, 40), len(b))])...)
	}), true},
	{"bytes inserted", signed, whole(func(b []byte, at int, a told) []byte { return slices.Insert(b, at, a[2:3+a.pick(2, 4)]...) }), true},
}

// whole is a mutation of the whole message, from some byte on.
func whole(f func(b []byte, at int, a told) []byte) func(d *draft, a told) {
	return func(d *draft, a told) {
		if b := d.bytes(); len(b) > 0 {
			// By two bytes, so that all of a long message can be reached, the end as well.
			at := (int(a[0])<<8 | int(a[1])) % len(b)
			d.fields = []field{{"message", f(b, at, a)}}
		}
	}
}

// contextOf is the pairs as a map, of which the last of a key counts.
func contextOf(pairs []pair) map[string]string {
	m := map[string]string{}
	for _, p := range pairs {
		m[p[0]] = p[1]
	}
	return m
}
