package main

import (
	"crypto"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/go-sealring/sealring/internal/byhand"
)

const (
	specBody       = "data-format/message-body.md"
	specFrame      = "data-format/message-body.md#regular-frame"
	specFinal      = "data-format/message-body.md#final-frame"
	specNonFramed  = "data-format/message-body.md#non-framed-data"
	specBodyAAD    = "data-format/message-body-aad.md#structure"
	specDecrypt    = "client-apis/decrypt.md#decrypt-the-message-body"
	specFooter     = "data-format/message-footer.md#structure"
	specSignature  = "client-apis/decrypt.md#verify-the-signature"
	specMessage    = "data-format/message.md#structure"
	specBodyLength = "data-format/message-body.md#encrypted-content-length"
)

// nonFramedShapes are those of a body without frames.
const nonFramedShapes = "0178n 0578n"

// planned returns a fault of the frames that were sealed, each as it should be.
func planned(id, text, kind, spec string, change func(p []part) []part) fault {
	return fault{id: id, text: text, kind: kind, spec: spec, shapes: two, plan: func(d *draft) { d.parts = change(d.parts) }}
}

// altered returns a fault of the body after it was sealed, that a signature covers.
func altered(id, text, kind, spec string, change func(d *draft)) fault {
	return fault{id: id, text: text, kind: kind, spec: spec, shapes: two, sealed: change}
}

// authenticating returns a fault of a frame's additional data.
func authenticating(id, text string, change func(d *draft, p *part)) fault {
	return fault{id: id, text: text, kind: "authentication", spec: specBodyAAD, shapes: "0178 0478", plan: func(d *draft) {
		at := 0
		switch {
		case strings.HasPrefix(id, "frame-2"):
			at = 1
		case strings.HasPrefix(id, "final"):
			at = len(d.parts) - 1
		}
		change(d, &d.parts[at])
	}}
}

// The plaintext has three frames and a final one.
var frameFaults = slices.Concat([]fault{
	planned("frames-swapped", "frames 1 and 2 were swapped", "malformed", specFrame, func(p []part) []part { p[0], p[1] = p[1], p[0]; return p }),
	planned("frames-in-reverse", "the frames are in reverse order, the final one at the end", "malformed", specFrame, func(p []part) []part { slices.Reverse(p[:3]); return p }),
	planned("frame-twice", "a frame stands twice", "malformed", specFrame, func(p []part) []part { return slices.Insert(p, 1, p[0]) }),
	planned("frame-missing", "a frame is missing", "malformed", specFrame, func(p []part) []part { return slices.Delete(p, 1, 2) }),
	planned("first-frame-missing", "the first frame is missing", "malformed", specFrame, func(p []part) []part { return p[1:] }),
	planned("last-frame-missing", "the frame before the final one is missing", "malformed", specFinal, func(p []part) []part { return slices.Delete(p, 2, 3) }),
	planned("only-final-frame", "all but the final frame is missing", "malformed", specFinal, func(p []part) []part { return p[3:] }),
	planned("numbers-from-0", "the sequence numbers begin at 0", "malformed", specFrame, func([]part) []part { return renumbered(0, 1, 2, 3) }),
	planned("numbers-from-2", "the sequence numbers begin at 2", "malformed", specFrame, func([]part) []part { return renumbered(2, 3, 4, 5) }),
	planned("numbers-by-two", "the sequence numbers go up by two", "malformed", specFrame, func([]part) []part { return renumbered(1, 3, 5, 7) }),
	planned("numbers-down", "the sequence numbers go down", "malformed", specFrame, func([]part) []part { return renumbered(4, 3, 2, 1) }),
	planned("number-twice", "two frames have the same sequence number, and the next the one after", "malformed", specFrame, func([]part) []part { return renumbered(1, 2, 2, 3) }),
	planned("number-left-out", "a sequence number is left out", "malformed", specFrame, func([]part) []part { return renumbered(1, 2, 4, 5) }),
	planned("number-in-other-order", "the sequence numbers are in the other byte order", "malformed", specFrame, func([]part) []part { return renumbered(1<<24, 2<<24, 3<<24, 4<<24) }),
	planned("final-number-zero", "the final frame's sequence number is 0", "malformed", specFinal, func([]part) []part { return renumbered(1, 2, 3, 0) }),
	planned("final-number-one", "the final frame's sequence number is 1", "malformed", specFinal, func([]part) []part { return renumbered(1, 2, 3, 1) }),
	planned("final-number-twice", "the final frame's sequence number is that of the frame before it", "malformed", specFinal, func([]part) []part { return renumbered(1, 2, 3, 3) }),
	planned("final-number-left-out", "the final frame's sequence number is one too large", "malformed", specFinal, func([]part) []part { return renumbered(1, 2, 3, 5) }),
	planned("final-number-end-marker", "the final frame's sequence number is the end marker", "malformed", specFinal, func([]part) []part { return renumbered(1, 2, 3, 1<<32-1) }),
	planned("final-too-long", "the final frame is one byte longer than the frame length", "malformed", specFinal, func(p []part) []part {
		return append(p[:3], final(4, "nine byte"))
	}),
	planned("only-frame-too-long", "the only frame is final, and longer than the frame length", "malformed", specFinal, func([]part) []part {
		return []part{final(1, "a plaintext of 25 letters")}
	}),
	planned("final-frame-twice", "the final frame stands twice", "malformed", specFinal, func(p []part) []part { return append(p, p[3]) }).whenSigned("truncated"),
	planned("second-final-frame", "a second final frame follows, with the next sequence number", "malformed", specFinal, func(p []part) []part { return append(p, final(5, "more")) }).whenSigned("truncated"),
	planned("frame-after-final", "a regular frame follows the final one", "malformed", specFinal, func(p []part) []part { return append(p, regular(5, "eight by")) }).whenSigned("signature"),
	planned("final-in-the-middle", "the second frame is a final one, and others follow", "malformed", specFinal, func(p []part) []part {
		p[1] = final(2, p[1].text)
		return p
	}).whenSigned("signature"),
	planned("no-final-frame", "there is no final frame: the last frame is a regular one", "truncated", specFinal, func(p []part) []part { return p[:3] }).whenSigned("malformed"),
	planned("no-frame", "there is no frame", "truncated", specFinal, func([]part) []part { return nil }).whenSigned("malformed"),
	planned("frame-too-short", "a regular frame is shorter than the frame length", "authentication", specFrame, func(p []part) []part {
		p[1] = regular(2, "seven b")
		return p
	}),
	planned("frame-too-long", "a regular frame is longer than the frame length", "authentication", specFrame, func(p []part) []part {
		p[1] = regular(2, "nine byte")
		return p
	}),
	planned("iv-of-11-bytes", "a frame's IV is 11 bytes", "authentication", specFrame, func(p []part) []part { p[0].iv = p[0].iv[:11]; return p }),
	planned("iv-of-16-bytes", "a frame's IV is 16 bytes", "authentication", specFrame, func(p []part) []part { p[0].iv = byhand.BytesOf("16", 16); return p }),

	altered("contents-swapped", "the contents and tags of frames 1 and 2 were swapped, not their numbers and IVs", "authentication", specDecrypt, func(d *draft) { swap(d, "content", "tag") }),
	altered("frames-swapped-and-renumbered", "frames 1 and 2 were swapped, and their numbers changed to be in order", "authentication", specDecrypt, func(d *draft) { swap(d, "IV", "content", "tag") }),
	altered("frame-from-another-place", "frame 2 is a copy of frame 1 with another number", "authentication", specDecrypt, func(d *draft) {
		for _, name := range []string{"IV", "content", "tag"} {
			d.set("frame 2 "+name, d.get("frame 1 "+name)...)
		}
	}),
	altered("final-made-regular", "the final frame was cut off, and the frame before it made final", "authentication", specDecrypt, func(d *draft) {
		from, _ := d.frame("final frame")
		d.fields = d.fields[:from]
		d.extend("frame 3 sequence number", byhand.U32(3)...)
		d.set("frame 3 sequence number", append(byhand.U32(1<<32-1), byhand.U32(3)...)...)
		d.extend("frame 3 IV", byhand.U32(8)...)
	}),
	altered("end-marker-fffffffe", "the final frame begins with FFFFFFFE", "malformed", specFinal, func(d *draft) { d.flip("final frame end marker", -1) }),
	altered("end-marker-missing", "the final frame does not begin with the end marker", "truncated", specFinal, func(d *draft) { d.remove("final frame end marker") }).whenSigned("authentication"),
	altered("end-marker-of-two-bytes", "the final frame begins with FFFF", "malformed", specFinal, func(d *draft) { d.set("final frame end marker", 0xff, 0xff) }),
	altered("end-marker-before-regular", "a regular frame begins with the end marker", "malformed", specFinal, func(d *draft) {
		d.set("frame 2 sequence number", append(byhand.U32(1<<32-1), d.get("frame 2 sequence number")...)...)
	}),
	altered("final-length-too-small", "the final frame's length is one less than its content", "authentication", specFinal, func(d *draft) { d.set("final frame length", 0, 0, 0, 0) }),
	altered("final-length-too-large", "the final frame's length is one more than its content", "truncated", specFinal, func(d *draft) { d.set("final frame length", 0, 0, 0, 2) }).whenSigned("authentication"),
	altered("final-length-largest", "the final frame's length is 2^32-1", "malformed", specFinal, func(d *draft) { d.set("final frame length", 0xff, 0xff, 0xff, 0xff) }),
	altered("final-length-of-8-bytes", "the final frame's length has 8 bytes, as that of a body without frames", "authentication", specFinal, func(d *draft) {
		d.set("final frame length", byhand.U64(1)...)
	}),
	altered("frame-with-length", "a regular frame has a length, as the final one", "authentication", specFrame, func(d *draft) { d.extend("frame 1 IV", byhand.U32(8)...) }),
	altered("frame-without-tag", "a regular frame has no tag", "authentication", specFrame, func(d *draft) { d.remove("frame 1 tag") }),
	altered("final-without-tag", "the final frame has no tag", "truncated", specFinal, func(d *draft) { d.remove("final frame tag") }).whenSigned("authentication"),
	altered("final-tag-of-zeros", "the final frame's tag is all zeros", "authentication", specDecrypt, func(d *draft) { clear(d.get("final frame tag")) }),
	altered("frame-number-changed", "a frame's sequence number was changed, though its IV was not", "malformed", specFrame, func(d *draft) { d.set("frame 2 sequence number", byhand.U32(3)...) }),
	altered("frames-not-encrypted", "the content of a frame is plaintext", "authentication", specDecrypt, func(d *draft) { d.set("frame 1 content", []byte(d.plaintext)[:frameLen]...) }),
},
	flips("frame 1", "frame 3", "final frame"),
	[]fault{
		authenticating("frame-1-bound-to-other-number", "a frame's additional data has another sequence number", func(_ *draft, p *part) { p.number = 2 }),
		authenticating("frame-1-bound-to-number-zero", "a frame's additional data counts from zero", func(_ *draft, p *part) { p.number = 0 }),
		authenticating("frame-1-bound-as-final", "a regular frame's additional data says that it is final", func(_ *draft, p *part) { p.kind = "AWSKMSEncryptionClient Final Frame" }),
		authenticating("frame-1-bound-as-body", "a regular frame's additional data says that there are no frames", func(_ *draft, p *part) { p.kind = "AWSKMSEncryptionClient Single Block" }),
		authenticating("frame-1-bound-to-no-kind", "a frame's additional data does not say what it is", func(_ *draft, p *part) { p.kind = "" }),
		authenticating("frame-1-bound-to-other-length", "a frame's additional data has the length of the plaintext", func(d *draft, p *part) { p.n = uint64(len(d.plaintext)) }),
		authenticating("frame-1-bound-to-no-length", "a frame's additional data has a length of zero", func(_ *draft, p *part) { p.n = 0 }),
		authenticating("frame-1-bound-to-no-message", "a frame's additional data lacks the message ID", func(_ *draft, p *part) { p.id = []byte{} }),
		authenticating("frame-2-of-another-message", "a frame belongs to another message under the same key", func(d *draft, p *part) { p.id = byhand.BytesOf("another id", len(d.id)) }),
		authenticating("final-of-another-message", "the final frame belongs to another message under the same key", func(d *draft, p *part) { p.id = byhand.BytesOf("another id", len(d.id)) }),
		authenticating("final-bound-as-regular", "the final frame's additional data says that it is a regular one", func(_ *draft, p *part) { p.kind = "AWSKMSEncryptionClient Frame" }),
		authenticating("final-bound-to-other-number", "the final frame's additional data has the end marker as sequence number", func(_ *draft, p *part) { p.number = 1<<32 - 1 }),
		authenticating("final-bound-to-frame-length", "the final frame's additional data has the frame length", func(_ *draft, p *part) { p.n = frameLen }),
		authenticating("frame-1-under-data-key", "a frame is encrypted under the data key", func(d *draft, p *part) { p.key = d.dataKey }),
		authenticating("frame-2-under-another-key", "a frame is encrypted under another message's key", func(d *draft, p *part) {
			p.key = messageKey(d.suite, d.version, d.dataKey, byhand.BytesOf("another id", len(d.id)))
		}),
		authenticating("final-under-another-key", "the final frame is encrypted under another message's key", func(d *draft, p *part) {
			p.key = messageKey(d.suite, d.version, d.dataKey, byhand.BytesOf("another id", len(d.id)))
		}),
		{id: "frames-of-another-message", text: "all frames are those of another message under the same data key, which does not derive keys", kind: "authentication", spec: specBodyAAD,
			shapes: "0014 0046 0078", plan: func(d *draft) {
				for i := range d.parts {
					d.parts[i].id = byhand.BytesOf("another id", len(d.id))
				}
			}},
		{id: "body-of-another-message", text: "the body is that of another message under the same data key, which does not derive keys", kind: "authentication", spec: specBodyAAD,
			shapes: "0014n 0078n", plan: func(d *draft) { d.parts[0].id = byhand.BytesOf("another id", len(d.id)) }},
	},
)

// renumbered returns the frames of the usual plaintext with other sequence numbers, which
// they are sealed with.
func renumbered(first, second, third, last uint32) []part {
	p := []part{regular(first, "a plaint"), regular(second, "ext of 2"), regular(third, "5 letter"), final(last, "s")}
	for i := range p {
		// The IVs differ all the same.
		p[i].name, p[i].iv = fmt.Sprint("part ", i), frameIV(uint32(i+1))
	}
	return p
}

// swap swaps fields of frames 1 and 2.
func swap(d *draft, names ...string) {
	for _, name := range names {
		a, b := d.get("frame 1 "+name), d.get("frame 2 "+name)
		d.set("frame 1 "+name, b...)
		d.set("frame 2 "+name, a...)
	}
}

// flips returns faults of frames of which one bit was changed.
func flips(frames ...string) (all []fault) {
	for _, frame := range frames {
		for _, name := range []string{"IV", "content", "tag"} {
			all = append(all, altered(
				strings.ReplaceAll(strings.ToLower(frame+" "+name), " ", "-")+"-changed", fmt.Sprintf("the %s of the %s was changed", name, frame),
				"authentication", specDecrypt, func(d *draft) { d.flip(frame+" "+name, 0) }))
		}
	}
	return all
}

// ofBody returns a fault of a body without frames.
func ofBody(id, text, kind, spec string, plan, sealed func(d *draft)) fault {
	return fault{id: id, text: text, kind: kind, spec: spec, shapes: nonFramedShapes, plan: plan, sealed: sealed}
}

// bodyFaults are those of bodies without frames.
var bodyFaults = []fault{
	ofBody("body-iv-changed", "the body's IV was changed", "authentication", specDecrypt, nil, func(d *draft) { d.flip("body IV", -1) }),
	ofBody("body-first-byte", "the body's first byte was changed", "authentication", specDecrypt, nil, func(d *draft) { d.flip("body content", 0) }),
	ofBody("body-last-byte", "the body's last byte was changed", "authentication", specDecrypt, nil, func(d *draft) { d.flip("body content", -1) }),
	ofBody("body-tag-changed", "the body's tag was changed", "authentication", specDecrypt, nil, func(d *draft) { d.flip("body tag", 0) }),
	ofBody("body-tag-of-zeros", "the body's tag is all zeros", "authentication", specDecrypt, nil, func(d *draft) { clear(d.get("body tag")) }),
	ofBody("body-tag-missing", "the body has no tag", "truncated", specNonFramed, nil, func(d *draft) { d.remove("body tag") }).whenSigned("authentication"),
	ofBody("body-not-encrypted", "the body is plaintext", "authentication", specDecrypt, nil, func(d *draft) { d.set("body content", []byte(d.plaintext)...) }),
	ofBody("body-length-too-small", "the body's length is one less than its content", "authentication", specBodyLength, nil, func(d *draft) { d.set("body length", byhand.U64(24)...) }),
	ofBody("body-length-too-large", "the body's length is one more than its content", "truncated", specBodyLength, nil, func(d *draft) { d.set("body length", byhand.U64(26)...) }).whenSigned("authentication"),
	ofBody("body-length-zero", "the body's length is zero", "authentication", specBodyLength, nil, func(d *draft) { d.set("body length", byhand.U64(0)...) }),
	ofBody("body-length-past-the-format", "the body's length is 2^36-31, one more than the format holds", "limit", specBodyLength, nil, func(d *draft) { d.set("body length", byhand.U64(1<<36-31)...) }),
	ofBody("body-length-largest", "the body's length is 2^64-1", "limit", specBodyLength, nil, func(d *draft) { d.set("body length", byhand.U64(1<<64-1)...) }),
	ofBody("body-length-negative", "the body's length has its highest bit set, beside the right ones", "limit", specBodyLength, nil, func(d *draft) { d.set("body length", byhand.U64(1<<63|25)...) }),
	ofBody("body-length-in-other-order", "the body's length is in the other byte order", "limit", specBodyLength, nil, func(d *draft) { d.set("body length", byhand.U64(25<<56)...) }),
	ofBody("body-length-of-4-bytes", "the body's length has 4 bytes, as that of a final frame", "limit", specNonFramed, nil, func(d *draft) { d.set("body length", byhand.U32(25)...) }),
	ofBody("body-missing", "there is no body", "truncated", specMessage, func(d *draft) { d.parts = nil }, nil).whenSigned("limit"),
	ofBody("body-twice", "the body stands twice", "malformed", specNonFramed, func(d *draft) { d.parts = append(d.parts, d.parts[0]) }, nil).whenSigned("signature"),
	ofBody("body-bound-to-number-zero", "the body's additional data has sequence number 0", "authentication", specBodyAAD, func(d *draft) { d.parts[0].number = 0 }, nil),
	ofBody("body-bound-to-number-two", "the body's additional data has sequence number 2", "authentication", specBodyAAD, func(d *draft) { d.parts[0].number = 2 }, nil),
	ofBody("body-bound-as-frame", "the body's additional data says that it is a frame", "authentication", specBodyAAD, func(d *draft) { d.parts[0].kind = "AWSKMSEncryptionClient Frame" }, nil),
	ofBody("body-bound-as-final-frame", "the body's additional data says that it is the final frame", "authentication", specBodyAAD, func(d *draft) { d.parts[0].kind = "AWSKMSEncryptionClient Final Frame" }, nil),
	ofBody("body-bound-to-other-length", "the body's additional data has another length", "authentication", specBodyAAD, func(d *draft) { d.parts[0].n-- }, nil),
	ofBody("body-bound-to-no-message", "the body's additional data lacks the message ID", "authentication", specBodyAAD, func(d *draft) { d.parts[0].id = []byte{} }, nil),
	ofBody("body-bound-to-another-message", "the body's additional data has the ID of another message", "authentication", specBodyAAD, func(d *draft) { d.parts[0].id = byhand.BytesOf("another id", len(d.id)) }, nil),
	ofBody("body-under-data-key", "the body is encrypted under the data key", "authentication", specDecrypt, func(d *draft) { d.parts[0].key = d.dataKey }, nil),
}

// after returns faults of which bytes follow the end of a message.
func after(id, text string, more func(msg []byte) []byte) fault {
	return fault{id: "after-the-end-" + id, text: text + " after the end of the message", kind: "malformed", spec: specBehavior, shapes: two + " 0178n 0478n",
		whole: func(msg []byte) []byte { return append(msg, more(msg)...) }}
}

// signedAs returns a fault of which the signature is made otherwise.
func signedAs(id, text string, sign func(d *draft) []byte) fault {
	return fault{id: "signature-" + id, text: "the signature " + text, kind: "signature", spec: specSignature, shapes: bothCurves,
		plan: func(d *draft) { d.sign = sign }}
}

// der encodes the numbers of a signature.
func der(r, s *big.Int) []byte { return marshal(struct{ R, S *big.Int }{r, s}) }

func marshal(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// rewritten returns a fault of which the numbers of the right signature are changed.
func rewritten(id, text string, change func(d *draft, r, s, order *big.Int) []byte) fault {
	return signedAs(id, text, func(d *draft) []byte {
		var sig struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(rightSignature(d), &sig); err != nil {
			panic(err)
		}
		return change(d, sig.R, sig.S, d.suite.curve.Params().N)
	})
}

func rightSignature(d *draft) []byte { return d.signature(d.signer, d.suite.sigHash, d.bytes()) }

// until returns the bytes of the fields before one.
func until(d *draft, name string) []byte { return bytesIn(d.fields[:d.at(name)]) }

func bytesIn(fields []field) []byte { return (&draft{fields: fields}).bytes() }

// footerFaults are those of the signature, and of what follows a message.
var footerFaults = []fault{
	after("zero", "a zero byte", func([]byte) []byte { return []byte{0} }),
	after("line-break", "a line break", func([]byte) []byte { return []byte("\n") }),
	after("zeros", "sixteen zeros", func([]byte) []byte { return make([]byte, 16) }),
	after("message", "the same message", func(msg []byte) []byte { return msg }),
	{id: "footer-on-unsigned", text: "an unsigned message has a footer with a signature", kind: "malformed", spec: specMessage, shapes: "0014 0178 0478 0178n 0478n",
		signed: func(d *draft) {
			d.suite.curve, d.suite.sigHash = suiteOf(0x0378).curve, suiteOf(0x0378).sigHash
			sig := d.signature(byhand.SigningKey(d.suite.curve, "stray"), crypto.SHA384, d.bytes())
			d.add("signature length", byhand.U16(len(sig)))
			d.add("signature", sig)
		}},
	{id: "footer-empty-on-unsigned", text: "an unsigned message has an empty footer", kind: "malformed", spec: specMessage, shapes: "0178 0478 0178n 0478n",
		signed: func(d *draft) { d.add("signature length", byhand.U16(0)) }},
	{id: "footer-missing", text: "a signed message has no footer", kind: "truncated", spec: specMessage, shapes: signing + " 0378n 0578n",
		signed: func(d *draft) { d.remove("signature length"); d.remove("signature") }},
	{id: "footer-empty", text: "the signature is empty", kind: "signature", spec: specSignature, shapes: signing + " 0378n 0578n",
		signed: func(d *draft) { d.set("signature length", 0, 0); d.remove("signature") }},
	{id: "footer-twice", text: "the footer stands twice", kind: "malformed", spec: specMessage, shapes: bothCurves,
		signed: func(d *draft) {
			sig := d.get("signature")
			d.add("second signature length", byhand.U16(len(sig)))
			d.add("second signature", sig)
		}},
	{id: "footer-length-missing", text: "the signature has no length before it", kind: "truncated", spec: specFooter, shapes: bothCurves,
		signed: func(d *draft) { d.remove("signature length") }},
	{id: "footer-length-too-long", text: "the signature's length is one more than it has", kind: "truncated", spec: specFooter, shapes: bothCurves,
		signed: func(d *draft) { d.set("signature length", byhand.U16(len(d.get("signature"))+1)...) }},
	{id: "footer-length-too-short", text: "the signature's length is one less than it has", kind: "signature", spec: specFooter, shapes: bothCurves,
		signed: func(d *draft) { d.set("signature length", byhand.U16(len(d.get("signature"))-1)...) }},
	{id: "footer-length-largest", text: "the signature's length is 65535", kind: "truncated", spec: specFooter, shapes: bothCurves,
		signed: func(d *draft) { d.set("signature length", 0xff, 0xff) }},
	{id: "footer-length-in-other-order", text: "the signature's length is in the other byte order", kind: "truncated", spec: specFooter, shapes: bothCurves,
		signed: func(d *draft) { b := d.get("signature length"); b[0], b[1] = b[1], b[0] }},
	signedAs("of-another", "is another's", func(d *draft) []byte {
		return d.signature(byhand.SigningKey(d.suite.curve, "another signer"), d.suite.sigHash, d.bytes())
	}),
	signedAs("over-nothing", "is over nothing", func(d *draft) []byte { return d.signature(d.signer, d.suite.sigHash, nil) }),
	signedAs("over-the-header", "is over the header alone", func(d *draft) []byte {
		return d.signature(d.signer, d.suite.sigHash, until(d, "frame 1 sequence number"))
	}),
	signedAs("over-the-body", "is over the body alone", func(d *draft) []byte {
		return d.signature(d.signer, d.suite.sigHash, bytesIn(d.fields[d.at("frame 1 sequence number"):]))
	}),
	signedAs("without-header-tag", "is not over the header's tag", func(d *draft) []byte {
		at := d.at("header tag")
		return d.signature(d.signer, d.suite.sigHash, append(bytesIn(d.fields[:at]), bytesIn(d.fields[at+1:])...))
	}),
	signedAs("without-final-frame", "is not over the final frame", func(d *draft) []byte {
		return d.signature(d.signer, d.suite.sigHash, until(d, "final frame end marker"))
	}),
	signedAs("without-final-tag", "is not over the last tag", func(d *draft) []byte {
		return d.signature(d.signer, d.suite.sigHash, until(d, "final frame tag"))
	}),
	signedAs("over-plaintext", "is over the plaintext", func(d *draft) []byte { return d.signature(d.signer, d.suite.sigHash, []byte(d.plaintext)) }),
	signedAs("over-a-digest", "is over the digest as if that were the message", func(d *draft) []byte {
		h := d.suite.sigHash.New()
		h.Write(d.bytes())
		return d.signature(d.signer, d.suite.sigHash, h.Sum(nil))
	}),
	signedAs("with-another-hash", "is made with SHA-512", func(d *draft) []byte { return d.signature(d.signer, crypto.SHA512, d.bytes()) }),
	signedAs("of-another-message", "is that of another message", func(d *draft) []byte { return d.signature(d.signer, d.suite.sigHash, append(d.bytes(), 0)) }),
	rewritten("not-der", "is its two numbers, without DER around them", func(d *draft, r, s, _ *big.Int) []byte {
		n := d.suite.curve.Params().BitSize / 8
		return append(r.FillBytes(make([]byte, n)), s.FillBytes(make([]byte, n))...)
	}),
	rewritten("numbers-swapped", "has its two numbers swapped", func(_ *draft, r, s, _ *big.Int) []byte { return der(s, r) }),
	rewritten("first-number-zero", "has 0 as its first number", func(_ *draft, _, s, _ *big.Int) []byte { return der(new(big.Int), s) }),
	rewritten("second-number-zero", "has 0 as its second number", func(_ *draft, r, _, _ *big.Int) []byte { return der(r, new(big.Int)) }),
	rewritten("of-zeros", "has 0 as both numbers", func(*draft, *big.Int, *big.Int, *big.Int) []byte { return der(new(big.Int), new(big.Int)) }),
	rewritten("of-ones", "has 1 as both numbers", func(*draft, *big.Int, *big.Int, *big.Int) []byte { return der(big.NewInt(1), big.NewInt(1)) }),
	rewritten("first-number-past-the-order", "has the curve's order added to its first number", func(_ *draft, r, s, n *big.Int) []byte { return der(new(big.Int).Add(r, n), s) }),
	rewritten("second-number-past-the-order", "has the curve's order added to its second number", func(_ *draft, r, s, n *big.Int) []byte { return der(r, new(big.Int).Add(s, n)) }),
	rewritten("of-the-order", "has the curve's order as both numbers", func(_ *draft, _, _, n *big.Int) []byte { return der(n, n) }),
	rewritten("first-number-negative", "has a first number below zero", func(_ *draft, r, s, n *big.Int) []byte { return der(new(big.Int).Sub(r, n), s) }),
	rewritten("second-number-negative", "has a second number below zero", func(_ *draft, r, s, _ *big.Int) []byte { return der(r, new(big.Int).Neg(s)) }),
	rewritten("of-one-number", "has one number", func(_ *draft, r, _, _ *big.Int) []byte {
		return marshal(struct{ R *big.Int }{r})
	}),
	rewritten("of-three-numbers", "has a third number", func(_ *draft, r, s, _ *big.Int) []byte {
		return marshal(struct{ R, S, T *big.Int }{r, s, big.NewInt(1)})
	}),
	signedAs("with-byte-after", "has a byte after its DER", func(d *draft) []byte { return append(rightSignature(d), 0) }),
	signedAs("with-byte-before", "has a byte before its DER", func(d *draft) []byte { return append([]byte{0}, rightSignature(d)...) }),
	signedAs("as-a-set", "is a DER set, not a sequence", func(d *draft) []byte { b := rightSignature(d); b[0] = 0x31; return b }),
	signedAs("in-base64", "is in base64", func(d *draft) []byte { return []byte(b64(rightSignature(d))) }),
	signedAs("first-number-changed", "has a first number that was changed", func(d *draft) []byte { b := rightSignature(d); b[8] ^= 1; return b }),
	signedAs("second-number-changed", "has a second number that was changed", func(d *draft) []byte { b := rightSignature(d); b[len(b)-1] ^= 1; return b }),
	{id: "body-changed-under-signature", text: "the frames were encrypted anew, and not signed", kind: "signature", spec: specSignature, shapes: bothCurves,
		signed: func(d *draft) {
			from, to := d.frame("frame 1")
			forged := &draft{id: d.id, key: d.key, parts: []part{regular(1, "a forged")}}
			forged.writeBody()
			copy(d.fields[from:to], forged.fields)
		}},
	{id: "header-changed-under-signature", text: "the header has a wrapped key more, with a valid tag, and was not signed anew", kind: "signature", spec: specSignature, shapes: bothCurves,
		plan: func(d *draft) { d.keys = append(d.keys, d.wrap("other name")) },
		signed: func(d *draft) {
			at := d.at("key 1 provider ID length")
			d.set("key count", 0, 1)
			d.fields = slices.Delete(d.fields, at+6, at+12)
			end := d.at("frame length")
			if d.version == 2 {
				end = d.at("commitment")
			}
			d.set("header tag", byhand.Seal(d.key, d.headerIV, nil, bytesIn(d.fields[:end+1]))...)
		}},
}

// openingFaults are those of what is given to open a message with, and of its form.
var openingFaults = []fault{
	opening("opened-with-another-key", "the wrapping key is another, of the same name", "no_matching_key", specRawAES, two, func(_ *draft, e *entry) { e.Key = "another" }),
	opening("opened-with-shorter-key", "the wrapping key is the half of the right one, of the same name", "no_matching_key", specRawAES, two, func(_ *draft, e *entry) { e.Key = "shorter" }),
	opening("opened-with-another-name", "the wrapping key has another name", "no_matching_key", specRawAES, "0178 0478", func(_ *draft, e *entry) { e.Key = "other name" }),
	opening("opened-with-another-namespace", "the wrapping key has another namespace", "no_matching_key", specRawAES, "0178 0478", func(_ *draft, e *entry) { e.Key = "other namespace" }),
	opening("policy", "the suite does not commit, and the policy requires it", "policy", specPolicy, noCommit, func(_ *draft, e *entry) { e.Policy = "require" }),
	opening("expected-other-value", "the caller expects another value of a pair", "context_mismatch", specReproduced, two, func(_ *draft, e *entry) { e.Context["tenant"] = "43" }),
	opening("expected-empty-value", "the caller expects an empty value of a pair", "context_mismatch", specReproduced, two, func(_ *draft, e *entry) { e.Context["tenant"] = "" }),
	opening("expected-another-pair", "the caller expects a pair that the message does not have", "context_mismatch", specVerify, two, func(_ *draft, e *entry) { e.Context["user"] = "root" }),
	opening("expected-key-in-capitals", "the caller expects a pair whose key is written otherwise", "context_mismatch", specVerify, two, func(_ *draft, e *entry) {
		e.Context = map[string]string{"Tenant": "42"}
	}),
	opening("expected-another-public-key", "the caller expects another public key", "context_mismatch", specReproduced, signing, func(d *draft, e *entry) {
		other := byhand.SigningKey(d.suite.curve, "other")
		e.Context[publicKey] = byhand.EncodePoint(&other.PublicKey)
	}),
	{id: "hidden-pair-not-given", text: "the caller does not give a pair that is authenticated and not stored", kind: "no_matching_key", spec: specRawAES,
		shapes: four, plan: hide},
	{id: "hidden-pair-of-other-value", text: "the caller gives another value of a pair that is authenticated and not stored", kind: "context_mismatch", spec: specRawAES,
		shapes: four, plan: hide, open: func(_ *draft, e *entry) { e.Context["required"] = "other" }},
	form("empty", "the message is empty", "truncated", specMessage, "0178", func([]byte) []byte { return []byte{} }),
	form("in-base64", "the message is in base64", "malformed", specBase64, "0178 0478", func(msg []byte) []byte { return []byte(b64(msg)) }),
	form("in-base64-for-urls", "the message is in base64 for URLs", "malformed", specBase64, "0378", func(msg []byte) []byte { return []byte(base64.RawURLEncoding.EncodeToString(msg)) }),
	form("in-hexadecimal", "the message is in hexadecimal", "malformed", specVersion, "0178 0478", func(msg []byte) []byte { return []byte(hex.EncodeToString(msg)) }),
	form("plaintext", "the message is plaintext", "malformed", specVersion, "0478", func([]byte) []byte { return []byte("a plaintext that was never encrypted") }),
	form("zeros", "the message is all zeros", "malformed", specVersion, "0478", func(msg []byte) []byte { return make([]byte, len(msg)) }),
	form("zero-before", "a zero byte is before the message", "malformed", specVersion, "0178 0478", func(msg []byte) []byte { return append([]byte{0}, msg...) }),
	form("byte-order-mark-before", "a byte order mark of UTF-8 is before the message", "malformed", specVersion, "0178 0478", func(msg []byte) []byte { return append([]byte("\xef\xbb\xbf"), msg...) }),
	form("backwards", "the message is backwards", "malformed", specVersion, "0578", func(msg []byte) []byte { slices.Reverse(msg); return msg }),
	form("first-byte-missing", "the message lacks its first byte", "malformed", specVersion, "0178 0478", func(msg []byte) []byte { return msg[1:] }),
	form("body-alone", "the message is a body without header", "malformed", specMessage, "0178", func(msg []byte) []byte { return msg[len(msg)-100:] }),
}

func opening(id, text, kind, spec, shapes string, open func(*draft, *entry)) fault {
	return fault{id: id, text: text, kind: kind, spec: spec, shapes: shapes, open: open}
}

func form(id, text, kind, spec, shapes string, whole func([]byte) []byte) fault {
	return fault{id: "form-" + id, text: text, kind: kind, spec: spec, shapes: shapes, whole: whole}
}

// cuts returns faults of messages that end within a field, one for each field of a signed
// message in frames of either version, and of a body without frames.
func cuts() (all []fault) {
	for _, shape := range []string{"0378", "0578", "0178n", "0478n"} {
		d := newDraft(shape)
		for _, write := range []func(){d.writeHeader, d.writeTag, d.writeBody, d.writeFooter} {
			write()
		}
		end := 0
		for _, f := range d.fields {
			end += len(f.b)
			if !d.framed && !strings.HasPrefix(f.name, "body ") || f.name == "version" {
				continue
			}
			all = append(all, form("cut-in-"+strings.ReplaceAll(strings.ToLower(f.name), " ", "-"), "the message ends within its "+f.name, "truncated", specBehavior, shape,
				func(at int) func([]byte) []byte { return func(msg []byte) []byte { return msg[:at] } }(end-1)))
		}
	}
	return all
}
