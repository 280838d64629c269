package differential

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"slices"
	"strings"

	"github.com/go-sealring/sealring/internal/byhand"
	"github.com/go-sealring/sealring/internal/suite"
)

// Messages here are put together from the specification by code of their own, so that
// they can be what no writer makes, and everything around a change still be right: lengths,
// commitment, tags, signature. Of the library it takes the table of suites alone.

type pair = byhand.Pair

const publicKeyPair = "aws-crypto-public-key"

// A wrapped is a data key to be wrapped.
type wrapped struct {
	namespace, name string
	tagBits, ivLen  uint32
	iv              []byte
	wrapping        []byte
	dataKey         []byte
	bound           []pair // nil: as the message has them
	infoTail        []byte
	secretTail      []byte
}

// A part is a frame, or the body that has none. What its additional data says stands beside
// what the message says.
type part struct {
	final    bool
	marker   uint32
	seq      uint32
	iv       []byte
	text     []byte
	length   uint64 // as written; regular frames write none
	aadID    []byte // nil: the message ID
	aadKind  string
	aadSeq   uint32
	aadLen   uint64
	otherKey bool
}

// A field is some bytes of a message, with their name.
type field struct {
	name string
	b    []byte
}

// A draft is a message in the making.
type draft struct {
	suite  *suite.Suite
	framed bool

	version, kind byte
	id            []byte
	suiteID       uint16
	dataKey       []byte
	stored        []pair
	hidden        []pair // authenticated, and not stored
	keys          []wrapped
	contentType   byte
	reserved      uint32
	ivLen         byte
	frameLen      uint32
	commitment    []byte // what is put over the one that the suite derives, by exclusive or
	noCommitment  bool
	messageKey    []byte // nil: as the suite derives it
	headerIV      []byte
	headerTail    []byte // behind the header's additional data
	net400        bool   // as release 4.0.0 of AWS's library for .NET wrote
	parts         []part
	signer        *ecdsa.PrivateKey
	sign          func(d *draft, signed []byte) []byte
	footers       int

	key    []byte // of the message, once the header is there
	fields []field
}

// newDraft returns the plan of a message without a fault.
func newDraft(s *suite.Suite, framed bool, frameLen int, text []byte, context, hidden []pair) *draft {
	d := &draft{
		suite: s, framed: framed, version: s.Version, kind: 0x80, suiteID: s.ID, ivLen: 12, headerIV: make([]byte, 12),
		id: byhand.BytesOf("id", s.MessageIDLen()), dataKey: byhand.BytesOf("data key", s.KeyLen), contentType: 1,
		stored: slices.Clone(context), hidden: slices.Clone(hidden), sign: rightSignature,
	}
	if s.Signs() {
		d.signer = byhand.SigningKey(s.Curve, "signing key")
		d.stored = append(d.stored, pair{publicKeyPair, byhand.EncodePoint(&d.signer.PublicKey)})
		d.footers = 1
	}
	d.stored = byhand.Sorted(d.stored)
	if framed {
		d.contentType, d.frameLen = 2, uint32(frameLen)
	}
	d.divide(text, frameLen)
	return d
}

// addKey has the data key wrapped by one of the keys.
func (d *draft) addKey(i int) {
	k := WrappingKeys[i]
	d.keys = append(d.keys, wrapped{
		namespace: k.Namespace, name: k.Name, tagBits: 128, ivLen: 12, wrapping: k.Key, iv: byhand.BytesOf("iv"+k.Name, 12), dataKey: d.dataKey,
	})
}

// divide makes the parts of the body.
func (d *draft) divide(text []byte, frameLen int) {
	d.parts = nil
	if !d.framed {
		d.parts = []part{newPart(1, text, true)}
		d.parts[0].aadKind = singleBlock
		return
	}
	seq := uint32(1)
	for ; len(text) > frameLen; text = text[frameLen:] {
		d.parts = append(d.parts, newPart(seq, text[:frameLen], false))
		seq++
	}
	d.parts = append(d.parts, newPart(seq, text, true))
}

const (
	regularFrame = "AWSKMSEncryptionClient Frame"
	finalFrame   = "AWSKMSEncryptionClient Final Frame"
	singleBlock  = "AWSKMSEncryptionClient Single Block"
)

func newPart(seq uint32, text []byte, final bool) part {
	p := part{marker: 1<<32 - 1}
	p.setText(text)
	p.setSeq(seq)
	p.setFinal(final)
	return p
}

func (p *part) setText(text []byte) {
	p.text = slices.Clone(text)
	p.length, p.aadLen = uint64(len(text)), uint64(len(text))
}

func (p *part) setSeq(seq uint32) {
	p.seq, p.aadSeq, p.iv = seq, seq, append(make([]byte, 8), byhand.U32(seq)...)
}

func (p *part) setFinal(final bool) {
	p.final, p.aadKind = final, regularFrame
	if final {
		p.aadKind = finalFrame
	}
}

// plaintext is what the parts hold.
func (d *draft) plaintext() []byte {
	var out []byte
	for i := range d.parts {
		out = append(out, d.parts[i].text...)
	}
	return out
}

// writeHeader turns the plan into the fields of the header's body.
func (d *draft) writeHeader() {
	d.add("version", []byte{d.version})
	if d.version == 1 {
		d.add("type", []byte{d.kind})
	}
	d.add("suite", byhand.U16(int(d.suiteID)))
	d.add("message ID", d.id)
	d.addContext()
	d.add("key count", byhand.U16(len(d.keys)))
	whole := byhand.Serialize(byhand.Sorted(slices.Concat(d.stored, d.hidden)))
	for _, k := range d.keys {
		bound := whole
		if k.bound != nil {
			bound = byhand.Serialize(byhand.Sorted(k.bound))
		}
		info := slices.Concat([]byte(k.name), byhand.U32(k.tagBits), byhand.U32(k.ivLen), k.iv, k.infoTail)
		secret := append(byhand.Seal(k.wrapping, k.iv, k.dataKey, bound), k.secretTail...)
		for _, f := range []field{{"provider ID", []byte(k.namespace)}, {"provider info", info}, {"wrapped key", secret}} {
			d.add("key "+f.name+" length", byhand.U16(len(f.b)))
			d.add("key "+f.name, f.b)
		}
	}
	d.add("content type", []byte{d.contentType})
	if d.version == 1 {
		d.add("reserved", byhand.U32(d.reserved))
		d.add("IV length", []byte{d.ivLen})
	}
	d.add("frame length", byhand.U32(d.frameLen))
	if d.suite.Commits && !d.noCommitment {
		c := byhand.Derive(d.suite.KDF.New, d.dataKey, d.id, []byte("COMMITKEY"), 32)
		for i := range d.commitment {
			c[i%len(c)] ^= d.commitment[i]
		}
		d.add("commitment", c)
	}
}

// addContext writes the stored pairs.
func (d *draft) addContext() {
	n := len(byhand.Serialize(d.stored))
	d.add("context length", byhand.U16(n))
	if n == 0 {
		return
	}
	d.add("context count", byhand.U16(len(d.stored)))
	for _, p := range d.stored {
		d.add("context key length", byhand.U16(len(p[0])))
		d.add("context key", []byte(p[0]))
		d.add("context value length", byhand.U16(len(p[1])))
		d.add("context value", []byte(p[1]))
	}
}

// writeTag authenticates the header as it stands.
func (d *draft) writeTag() {
	d.key = d.messageKey
	if d.key == nil {
		d.key = d.deriveKey()
	}
	data := append(d.bytes(), byhand.Serialize(byhand.Sorted(d.hidden))...)
	if d.net400 && len(d.hidden) == 0 {
		data = append(data, 0, 0)
	}
	tag := byhand.Seal(d.key, d.headerIV, nil, append(data, d.headerTail...))
	if d.version == 1 {
		d.add("header IV", d.headerIV)
	}
	d.add("header tag", tag)
}

// deriveKey is the derivation of all suites.
func (d *draft) deriveKey() []byte {
	switch s := d.suite; {
	case s.KDF == 0:
		return d.dataKey
	case s.Version == 1 && d.net400:
		return byhand.Derive(s.KDF.New, d.dataKey, nil, byhand.U16(int(s.ID)), s.KeyLen)
	case s.Version == 1:
		return byhand.Derive(s.KDF.New, d.dataKey, nil, append(byhand.U16(int(s.ID)), d.id...), s.KeyLen)
	default:
		return byhand.Derive(s.KDF.New, d.dataKey, d.id, append(byhand.U16(int(s.ID)), "DERIVEKEY"...), s.KeyLen)
	}
}

// writeBody encrypts the parts.
func (d *draft) writeBody() {
	for _, p := range d.parts {
		id, key := d.id, d.key
		if p.aadID != nil {
			id = p.aadID
		}
		if p.otherKey {
			key = byhand.BytesOf("another message key", len(key))
		}
		data := slices.Concat(id, []byte(p.aadKind), byhand.U32(p.aadSeq), byhand.U64(p.aadLen))
		sealed := byhand.Seal(key, p.iv, p.text, data)
		if d.framed {
			if p.final {
				d.add("frame end marker", byhand.U32(p.marker))
			}
			d.add("frame number", byhand.U32(p.seq))
		}
		d.add("frame IV", p.iv)
		switch {
		case !d.framed:
			d.add("frame length of content", byhand.U64(p.length))
		case p.final:
			d.add("frame length of content", byhand.U32(uint32(p.length)))
		}
		d.add("frame content", sealed[:len(p.text)])
		d.add("frame tag", sealed[len(p.text):])
	}
}

// writeFooter signs all that stands before it.
func (d *draft) writeFooter() {
	signed := d.bytes()
	for range d.footers {
		sig := d.sign(d, signed)
		d.add("footer length", byhand.U16(len(sig)))
		d.add("footer signature", sig)
	}
}

// rightSignature is deterministic, as in RFC 6979.
func rightSignature(d *draft, signed []byte) []byte {
	if d.signer == nil {
		return []byte("signature")
	}
	h := d.suite.SigHash
	if h == 0 {
		h = crypto.SHA384
	}
	digest := h.New()
	digest.Write(signed)
	sig, err := d.signer.Sign(nil, digest.Sum(nil), h)
	must(err)
	return sig
}

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

// hasPrefix returns where the fields are whose names begin with a prefix.
func (d *draft) hasPrefix(prefix string) (at []int) {
	for i, f := range d.fields {
		if strings.HasPrefix(f.name, prefix) {
			at = append(at, i)
		}
	}
	return at
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
