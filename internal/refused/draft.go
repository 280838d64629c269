package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/go-sealring/sealring/internal/byhand"
)

// Nothing here is of the library: messages are put together from the specification alone,
// so that an error of the library is not an error of theirs too.

// A suite is an algorithm suite.
type suite struct {
	id      uint16
	version byte
	keyLen  int
	hash    func() hash.Hash // of the derivation; nil: the data key is the message key
	curve   elliptic.Curve   // nil: no signature
	sigHash crypto.Hash
}

var suites = []suite{
	{0x0014, 1, 16, nil, nil, 0},
	{0x0046, 1, 24, nil, nil, 0},
	{0x0078, 1, 32, nil, nil, 0},
	{0x0114, 1, 16, sha256.New, nil, 0},
	{0x0146, 1, 24, sha256.New, nil, 0},
	{0x0178, 1, 32, sha256.New, nil, 0},
	{0x0214, 1, 16, sha256.New, elliptic.P256(), crypto.SHA256},
	{0x0346, 1, 24, sha512.New384, elliptic.P384(), crypto.SHA384},
	{0x0378, 1, 32, sha512.New384, elliptic.P384(), crypto.SHA384},
	{0x0478, 2, 32, sha512.New, nil, 0},
	{0x0578, 2, 32, sha512.New, elliptic.P384(), crypto.SHA384},
}

func suiteOf(id uint16) suite {
	return suites[slices.IndexFunc(suites, func(s suite) bool { return s.id == id })]
}

// idLen is the length of a message ID in a version of the format.
func idLen(version byte) int { return map[byte]int{1: 16, 2: 32}[version] }

type pair = byhand.Pair

const publicKey = "aws-crypto-public-key"

// A wrapped key is made when the plan is complete.
type wrapped struct {
	namespace, name string
	tagBits, ivLen  uint32
	iv              []byte
	wrapping        []byte // the AES key
	dataKey         []byte
	bound           []pair
}

// A part is a frame, or the body that has none.
type part struct {
	name   string
	marker []byte // of the final frame
	seq    []byte // none if there are no frames
	iv     []byte
	length []byte // none in a regular frame
	text   string
	key    []byte // nil is the message key

	// What the additional data says.
	id     []byte // nil is the message ID
	kind   string
	number uint32
	n      uint64
}

// A field is some bytes of a message, with their name.
type field struct {
	name string
	b    []byte
}

// A draft is a message in the making. A fault changes the plan before anything is made of
// it, or the fields, of which there are more with each step.
type draft struct {
	name      string
	suite     suite
	framed    bool
	plaintext string

	// The plan.
	version    byte
	id         []byte
	dataKey    []byte
	key        []byte // the message key; nil: as the suite derives it
	commitment []byte // nil: as the suite derives it; empty: none
	stored     []pair
	hidden     []pair // authenticated, and not stored
	keys       []wrapped
	frameLen   uint32
	headerKey  []byte // nil is the message key
	headerIV   []byte // what the tag is made with
	headerData func(body []byte) []byte
	parts      []part
	signer     *ecdsa.PrivateKey
	sign       func(d *draft) []byte

	fields []field
}

const frameLen = 8

// keys are those that the manifest has. Those of one name differ in nothing else.
var wrapping = map[string]wrappingKey{
	"right":           {"refused", "right", byhand.BytesOf("right", 32)},
	"another":         {"refused", "right", byhand.BytesOf("another", 32)},
	"shorter":         {"refused", "right", byhand.BytesOf("right", 16)},
	"other name":      {"refused", "other", byhand.BytesOf("right", 32)},
	"other namespace": {"other", "right", byhand.BytesOf("right", 32)},
}

type wrappingKey struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Key       []byte `json:"key"`
}

// newDraft returns the plan of a message without a fault. Its shape is a suite, followed by
// an n if the body has no frames.
func newDraft(shape string) *draft {
	var id uint16
	if _, err := fmt.Sscanf(shape, "%04x", &id); err != nil {
		panic(err)
	}
	d := &draft{name: shape, suite: suiteOf(id), framed: !strings.HasSuffix(shape, "n"), plaintext: "a plaintext of 25 letters"}
	d.version = d.suite.version
	d.id = byhand.BytesOf("id "+shape, idLen(d.version))
	d.dataKey = byhand.BytesOf("data key "+shape, d.suite.keyLen)
	d.stored = []pair{{"table", "patients"}, {"tenant", "42"}}
	if d.suite.curve != nil {
		d.signer = byhand.SigningKey(d.suite.curve, "signing key "+shape)
		d.stored = slices.Insert(d.stored, 0, pair{publicKey, byhand.EncodePoint(&d.signer.PublicKey)})
	}
	d.headerIV = make([]byte, 12)
	d.headerData = func(body []byte) []byte { return body }
	d.sign = func(d *draft) []byte { return d.signature(d.signer, d.suite.sigHash, d.bytes()) }
	d.keys = []wrapped{d.wrap("right")}
	if d.framed {
		d.frameLen = frameLen
	}
	d.parts = d.divide(d.plaintext, 1)
	return d
}

// wrap returns the draft's data key, wrapped by one of the keys.
func (d *draft) wrap(key string) wrapped {
	k := wrapping[key]
	return wrapped{
		namespace: k.Namespace, name: k.Name, tagBits: 128, ivLen: 12, wrapping: k.Key,
		iv: byhand.BytesOf("iv "+d.name+key, 12), dataKey: d.dataKey, bound: slices.Concat(d.stored, d.hidden),
	}
}

// bind binds the wrapped keys to other pairs.
func (d *draft) bind(pairs ...pair) {
	for i := range d.keys {
		d.keys[i].bound = pairs
	}
}

// divide makes the parts of a body, whose frames are numbered from first on.
func (d *draft) divide(text string, first uint32) []part {
	if !d.framed {
		return []part{nonFramed(text)}
	}
	var parts []part
	for ; len(text) > frameLen; text = text[frameLen:] {
		parts = append(parts, regular(first, text[:frameLen]))
		first++
	}
	return append(parts, final(first, text))
}

func regular(seq uint32, text string) part {
	return part{
		name: fmt.Sprintf("frame %d", seq), seq: byhand.U32(seq), iv: frameIV(seq), text: text,
		kind: "AWSKMSEncryptionClient Frame", number: seq, n: uint64(len(text)),
	}
}

func final(seq uint32, text string) part {
	return part{
		name: "final frame", marker: byhand.U32(1<<32 - 1), seq: byhand.U32(seq), iv: frameIV(seq), length: byhand.U32(uint32(len(text))), text: text,
		kind: "AWSKMSEncryptionClient Final Frame", number: seq, n: uint64(len(text)),
	}
}

func nonFramed(text string) part {
	return part{
		name: "body", iv: frameIV(1), length: byhand.U64(uint64(len(text))), text: text,
		kind: "AWSKMSEncryptionClient Single Block", number: 1, n: uint64(len(text)),
	}
}

func frameIV(seq uint32) []byte { return append(make([]byte, 8), byhand.U32(seq)...) }

// writeHeader turns the plan into the fields of the header's body.
func (d *draft) writeHeader() {
	d.add("version", []byte{d.version})
	if d.version == 1 {
		d.add("type", []byte{0x80})
	}
	d.add("suite", byhand.U16(int(d.suite.id)))
	d.add("message ID", d.id)
	context := byhand.Serialize(d.stored)
	d.add("context length", byhand.U16(len(context)))
	if len(context) > 0 {
		d.add("context", context)
	}
	d.add("key count", byhand.U16(len(d.keys)))
	for i, k := range d.keys {
		info := slices.Concat([]byte(k.name), byhand.U32(k.tagBits), byhand.U32(k.ivLen), k.iv)
		secret := byhand.Seal(k.wrapping, k.iv, k.dataKey, byhand.Serialize(byhand.Sorted(k.bound)))
		for _, f := range []field{{"provider ID", []byte(k.namespace)}, {"provider info", info}, {"wrapped key", secret}} {
			d.add(fmt.Sprintf("key %d %s length", i+1, f.name), byhand.U16(len(f.b)))
			d.add(fmt.Sprintf("key %d %s", i+1, f.name), f.b)
		}
	}
	d.add("content type", []byte{map[bool]byte{false: 1, true: 2}[d.framed]})
	if d.version == 1 {
		d.add("reserved", make([]byte, 4))
		d.add("IV length", []byte{12})
	}
	d.add("frame length", byhand.U32(d.frameLen))
	if d.commitment == nil && d.version == 2 {
		d.commitment = byhand.Derive(d.suite.hash, d.dataKey, d.id, []byte("COMMITKEY"), 32)
	}
	if len(d.commitment) > 0 {
		d.add("commitment", d.commitment)
	}
}

// writeTag authenticates the header as it stands.
func (d *draft) writeTag() {
	if d.key == nil {
		d.key = messageKey(d.suite, d.version, d.dataKey, d.id)
	}
	data := append(d.bytes(), byhand.Serialize(byhand.Sorted(d.hidden))...)
	tag := byhand.Seal(orElse(d.headerKey, d.key), d.headerIV, nil, d.headerData(data))
	if d.version == 1 {
		d.add("header IV", d.headerIV)
	}
	d.add("header tag", tag)
}

// writeBody encrypts the parts.
func (d *draft) writeBody() {
	for _, p := range d.parts {
		data := slices.Concat(orElse(p.id, d.id), []byte(p.kind), byhand.U32(p.number), byhand.U64(p.n))
		iv := p.iv
		sealed := byhand.Seal(orElse(p.key, d.key), iv, []byte(p.text), data)
		for _, f := range []field{
			{"end marker", p.marker}, {"sequence number", p.seq}, {"IV", p.iv}, {"length", p.length},
			{"content", sealed[:len(p.text)]}, {"tag", sealed[len(p.text):]},
		} {
			if len(f.b) > 0 {
				d.add(p.name+" "+f.name, f.b)
			}
		}
	}
}

// writeFooter signs all that stands before it.
func (d *draft) writeFooter() {
	if d.signer == nil {
		return
	}
	sig := d.sign(d)
	d.add("signature length", byhand.U16(len(sig)))
	d.add("signature", sig)
}

// signature is deterministic, as in RFC 6979.
func (d *draft) signature(key *ecdsa.PrivateKey, h crypto.Hash, b []byte) []byte {
	digest := h.New()
	digest.Write(b)
	sig, err := key.Sign(nil, digest.Sum(nil), h)
	if err != nil {
		panic(err)
	}
	return sig
}

// add appends a field, which is the draft's own.
func (d *draft) add(name string, b []byte) {
	d.fields = append(d.fields, field{name, bytes.Clone(b)})
}

// bytes returns the message as far as it goes.
func (d *draft) bytes() []byte {
	var out []byte
	for _, f := range d.fields {
		out = append(out, f.b...)
	}
	return out
}

// at returns where a field is.
func (d *draft) at(name string) int {
	i := slices.IndexFunc(d.fields, func(f field) bool { return f.name == name })
	if i < 0 {
		panic(d.name + " has no field " + name)
	}
	return i
}

func (d *draft) get(name string) []byte        { return d.fields[d.at(name)].b }
func (d *draft) set(name string, b ...byte)    { d.fields[d.at(name)].b = b }
func (d *draft) remove(name string)            { i := d.at(name); d.fields = slices.Delete(d.fields, i, i+1) }
func (d *draft) extend(name string, b ...byte) { d.set(name, append(d.get(name), b...)...) }

// flip inverts a bit of a field's byte; one of -1 is the last.
func (d *draft) flip(name string, at int) {
	b := d.get(name)
	b[(at+len(b))%len(b)] ^= 1
}

// frame returns the bounds of the fields of a part.
func (d *draft) frame(name string) (from, to int) {
	from = slices.IndexFunc(d.fields, func(f field) bool { return strings.HasPrefix(f.name, name+" ") })
	for to = from; to < len(d.fields) && strings.HasPrefix(d.fields[to].name, name+" "); to++ {
	}
	return from, to
}

// messageKey is the derivation of all suites.
func messageKey(s suite, version byte, dataKey, id []byte) []byte {
	switch {
	case s.hash == nil:
		return dataKey
	case version == 1:
		return byhand.Derive(s.hash, dataKey, nil, append(byhand.U16(int(s.id)), id...), s.keyLen)
	default:
		return byhand.Derive(s.hash, dataKey, id, append(byhand.U16(int(s.id)), "DERIVEKEY"...), s.keyLen)
	}
}

func orElse(b, otherwise []byte) []byte {
	if b == nil {
		return otherwise
	}
	return b
}
