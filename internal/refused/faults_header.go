package main

import (
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/go-sealring/sealring/internal/byhand"
)

// Sections of github.com/awslabs/aws-encryption-sdk-specification.
const (
	specVersion     = "data-format/message-header.md#version"
	specType        = "data-format/message-header.md#type"
	specSuite       = "data-format/message-header.md#algorithm-suite-id"
	specAAD         = "data-format/message-header.md#aad"
	specPairsLength = "data-format/message-header.md#key-value-pairs-length"
	specKeys        = "data-format/message-header.md#encrypted-data-keys"
	specContent     = "data-format/message-header.md#content-type"
	specSuiteData   = "data-format/message-header.md#algorithm-suite-data"
	specReserved    = "data-format/message-header.md#reserved"
	specIVLength    = "data-format/message-header.md#iv-length"
	specFrameLength = "data-format/message-header.md#frame-length"
	specFramed      = "client-apis/encrypt.md#frame-length"
	specPairs       = "framework/structures.md#key-value-pair-entries"
	specPairCount   = "framework/structures.md#key-value-pair-count"
	specContext     = "framework/structures.md#encryption-context"
	specManager     = "framework/default-cmm.md#decrypt-materials"
	specVerifyKey   = "framework/structures.md#verification-key"
	specRawAES      = "framework/raw-aes-keyring.md#ondecrypt"
	specDataKey     = "framework/structures.md#plaintext-data-key"
	specReproduced  = "framework/cmm-interface.md#decrypt-materials"
	specPolicy      = "framework/commitment-policy.md"
	specMaterials   = "client-apis/decrypt.md#get-the-decryption-materials"
	specVerify      = "client-apis/decrypt.md#verify-the-header"
	specParse       = "client-apis/decrypt.md#parse-the-header"
	specBase64      = "client-apis/decrypt.md#encrypted-message-format"
	specBehavior    = "client-apis/decrypt.md#behavior"
)

const (
	allSuites  = "0014 0046 0078 0114 0146 0178 0214 0346 0378 0478 0578"
	noCommit   = "0014 0046 0078 0114 0146 0178 0214 0346 0378"
	bothCurves = "0214 0578"
	signing    = "0214 0346 0378 0578"
	two        = "0178 0578"
	four       = "0178 0378 0478 0578"
	version1   = "0178 0378"
	version2   = "0478 0578"
)

// controls have no fault.
var controls = []fault{
	{id: "framed", text: "none: frames", shapes: allSuites},
	{id: "nonframed", text: "none: a body without frames", shapes: "0014n 0178n 0378n 0478n 0578n"},
	{id: "empty", text: "none: an empty plaintext", shapes: four, plan: func(d *draft) {
		d.plaintext, d.parts = "", d.divide("", 1)
	}},
	{id: "full-final-frame", text: "none: the final frame is as long as the others", shapes: four, plan: func(d *draft) {
		d.plaintext = d.plaintext[:2*frameLen]
		d.parts = d.divide(d.plaintext, 1)
	}},
	{id: "empty-final-frame", text: "none: the final frame is empty and follows a full one", shapes: four, plan: func(d *draft) {
		d.plaintext = d.plaintext[:frameLen]
		d.parts = []part{regular(1, d.plaintext), final(2, "")}
	}},
	{id: "no-context", text: "none: an empty encryption context", shapes: "0178 0478", plan: func(d *draft) {
		d.stored = nil
		d.bind()
	}, open: func(_ *draft, e *entry) { e.Context = map[string]string{} }},
	{id: "second-key", text: "none: the first wrapped key is of another wrapping key, the second is the right one", shapes: four, plan: func(d *draft) {
		d.keys = []wrapped{d.wrap("other name"), d.wrap("right")}
	}},
	{id: "key-after-wrong-one", text: "none: the first wrapped key has the right name and does not open, the second does", shapes: four, plan: func(d *draft) {
		d.keys = []wrapped{d.wrap("another"), d.wrap("right")}
	}},
	{id: "required-context", text: "none: a pair is authenticated and not stored", shapes: four, plan: hide, open: expectHidden},
	{id: "no-limit-on-keys", text: "none: as many wrapped keys as the client's limit", shapes: "0178 0478", plan: func(d *draft) {
		d.keys = []wrapped{d.wrap("other name"), d.wrap("other namespace"), d.wrap("right")}
	}, open: func(_ *draft, e *entry) { e.MaxKeys = 3 }},
	{id: "text-beyond-ascii", text: "none: a context with text beyond ASCII, in the order of its bytes in UTF-8", shapes: "0178 0478", plan: func(d *draft) {
		d.stored = []pair{{"tenant", "42"}, {"é", "ü"}, {"～", "fullwidth"}, {"🔑", "key"}}
		d.bind(d.stored...)
	}},

	// What writers may not do and some did: to refuse it is allowed, to open it too.
	{id: "empty-context-with-count", text: "the empty context has a length of 2 and a count of zero", either: true, kind: "malformed", spec: specPairsLength,
		shapes: "0178 0478", plan: func(d *draft) {
			d.stored = nil
			d.bind()
		}, head: func(d *draft) {
			d.extend("context length", 0, 0)
			d.set("context length", 0, 2, 0, 0)
		}, open: func(_ *draft, e *entry) { e.Context = map[string]string{} }},
	{id: "context-out-of-order", text: "the pairs of the context are not in the order of their keys", either: true, kind: "malformed", spec: specPairs,
		shapes: four, plan: func(d *draft) { slices.Reverse(d.stored) }},
	{id: "header-iv", text: "the header's IV is not zero", either: true, kind: "authentication", spec: specVerify,
		shapes: version1, plan: func(d *draft) { d.headerIV = frameIV(1 << 31) }},
	{id: "frame-ivs-not-numbers", text: "the IVs of the frames are not their sequence numbers", either: true, kind: "authentication",
		spec: "client-apis/decrypt.md#decrypt-the-message-body", shapes: "0178 0378 0478 0578 0178n 0478n", plan: func(d *draft) {
			for i := range d.parts {
				d.parts[i].iv = byhand.BytesOf(d.name+d.parts[i].name, 12)
			}
		}},
	{id: "iv-twice", text: "two frames have the same IV", either: true, kind: "malformed", spec: "data-format/message-body.md#regular-frame",
		shapes: "0178 0478", plan: func(d *draft) { d.parts[1].iv = d.parts[0].iv }},
	{id: "longest-frames", text: "a frame length of 2^32-1, with one short frame", either: true, kind: "limit", spec: specFrameLength,
		shapes: "0178 0478", plan: func(d *draft) {
			d.frameLen = 1<<32 - 1
			d.parts = []part{final(1, d.plaintext)}
		}},
}

// hide has a pair be authenticated without being stored.
func hide(d *draft) {
	d.hidden = []pair{{"required", "pair"}}
	d.bind(append(slices.Clone(d.stored), d.hidden...)...)
}

func expectHidden(_ *draft, e *entry) { e.Context["required"] = "pair" }

// otherVersion has the plan made for the other version of the format. The suite stays, and
// with it the derivation, but for the commitment.
func otherVersion(d *draft) {
	d.version = 3 - d.version
	d.id = byhand.BytesOf("id "+d.name, idLen(d.version))
	d.commitment = []byte{}
}

// versionFaults are those of the fields that say what a message is.
var versionFaults = slices.Concat(
	setting("version", "the version of the format is unknown", specVersion, "0178 0478", 0x00, 0x03, 0x80, 0xff),
	setting("type", "the type of the message is unknown", specType, "0178 0378", 0x00, 0x7f, 0x81, 0xff),
	[]fault{
		{id: "version-of-the-other-layout", text: "the version is that of the other layout, which the rest does not follow", kind: "malformed", spec: specVersion,
			shapes: four, head: func(d *draft) { d.set("version", 3-d.version) }},
		{id: "suite-of-the-other-version", text: "the suite does not belong to the version, whose layout the message follows", kind: "malformed", spec: specSuite,
			shapes: allSuites, plan: otherVersion},
		{id: "type-in-version-2", text: "a version 2 message has the type field of version 1", kind: "malformed", spec: "data-format/message-header.md#header-body-version-20",
			shapes: "0478", head: func(d *draft) { d.extend("version", 0x80) }},
		{id: "no-type-in-version-1", text: "a version 1 message has no type field", kind: "malformed", spec: "data-format/message-header.md#header-body-version-10",
			shapes: "0178", head: func(d *draft) { d.remove("type") }},
		unknownSuite(0x0000, "zero", "0178 0478"),
		unknownSuite(0xffff, "all ones", "0178 0478"),
		unknownSuite(0x0015, "next to a known one", "0014 0178"),
		unknownSuite(0x0278, "a combination that is no suite", "0178 0378"),
		unknownSuite(0x0314, "a combination that is no suite", "0378"),
		unknownSuite(0x0414, "a combination that is no suite", "0478"),
		unknownSuite(0x7804, "a known one in the other byte order", "0478"),
		unknownSuite(0x6700, "of the Database Encryption SDK", "0478"),
		unknownSuite(0x6701, "of the Database Encryption SDK", "0578"),
		{id: "signature-stripped", text: "a signed message is made unsigned: the suite is one without signature, and all but the context follows it",
			kind: "malformed", spec: specManager, shapes: signing, plan: func(d *draft) {
				d.suite = suiteOf(map[uint16]uint16{0x0214: 0x0114, 0x0346: 0x0146, 0x0378: 0x0178, 0x0578: 0x0478}[d.suite.id])
				d.signer = nil
			}},
		{id: "signature-key-missing", text: "a signed message does not have the public key in its context", kind: "malformed", spec: specManager,
			shapes: signing, plan: func(d *draft) {
				d.stored = d.stored[1:]
				d.bind(d.stored...)
			}},
		{id: "signature-key-in-unsigned", text: "an unsigned message has a public key in its context", kind: "malformed", spec: specManager,
			shapes: "0014 0178 0478", plan: func(d *draft) {
				key := byhand.SigningKey(elliptic.P384(), "stray")
				d.stored = append([]pair{{publicKey, byhand.EncodePoint(&key.PublicKey)}}, d.stored...)
				d.bind(d.stored...)
			}},
		swappedSuite("0078", 0x0178, "authentication", "which derives a key, for one that does not"),
		swappedSuite("0178", 0x0078, "authentication", "which derives no key, for one that does"),
		swappedSuite("0146", 0x0046, "authentication", "which derives no key, for one that does"),
		swappedSuite("0114", 0x0014, "authentication", "which derives no key, for one that does"),
		swappedSuite("0178", 0x0114, "no_matching_key", "with shorter data keys"),
		swappedSuite("0114", 0x0178, "no_matching_key", "with longer data keys"),
		swappedSuite("0178", 0x0378, "malformed", "which signs"),
		swappedSuite("0378", 0x0178, "malformed", "which does not sign"),
		swappedSuite("0378", 0x0346, "no_matching_key", "with shorter data keys"),
		swappedSuite("0478", 0x0578, "malformed", "which signs"),
		swappedSuite("0578", 0x0478, "malformed", "which does not sign"),
	},
)

// setting returns faults that set the one byte of a field.
func setting(name, text, spec, shapes string, values ...byte) (all []fault) {
	for _, v := range values {
		all = append(all, fault{
			id: fmt.Sprintf("%s-%02x", strings.ReplaceAll(strings.ToLower(name), " ", "-"), v), text: fmt.Sprintf("%s: %02x", text, v),
			kind: "malformed", spec: spec, shapes: shapes, head: func(d *draft) { d.set(name, v) },
		})
	}
	return all
}

func unknownSuite(id uint16, text, shapes string) fault {
	return fault{
		id: fmt.Sprintf("suite-%04x", id), text: fmt.Sprintf("the suite does not exist: %04x, %s", id, text), kind: "malformed", spec: specSuite,
		shapes: shapes, head: func(d *draft) { d.set("suite", byhand.U16(int(id))...) },
	}
}

// swappedSuite changes the suite and nothing else.
func swappedSuite(shape string, to uint16, kind, text string) fault {
	return fault{
		id: fmt.Sprintf("suite-changed-to-%04x", to), text: fmt.Sprintf("the suite was changed afterwards to %04x, %s", to, text), kind: kind, spec: specVerify,
		shapes: shape, signed: func(d *draft) { d.set("suite", byhand.U16(int(to))...) },
	}
}

// contextBytes has the header store bytes as its context, and authenticates them.
func contextBytes(d *draft, b []byte) {
	d.set("context length", byhand.U16(len(b))...)
	d.set("context", b...)
}

// storing returns a fault of which the context has the given pairs before the others,
// where wrapped keys are bound to what a reader may take them for.
func storing(id, text, spec string, add []pair, taken ...pair) fault {
	return fault{id: id, text: text, kind: "malformed", spec: spec, shapes: "0178 0478", plan: func(d *draft) {
		rest := d.stored
		d.stored = append(slices.Clone(add), rest...)
		d.bind(append(slices.Clone(taken), rest...)...)
	}}
}

// resized returns a fault that changes a number of two bytes within the context. The number
// is behind the text before it.
func resized(id, text, kind, before string, by int) fault {
	return fault{id: id, text: text, kind: kind, spec: specAAD, shapes: four, head: func(d *draft) {
		b := d.get("context")
		at := strings.Index(string(b), before) + len(before)
		copy(b[at:], byhand.U16(int(b[at])<<8+int(b[at+1])+by))
	}}
}

// publicKeyAs returns a fault of which the context has something else as the public key.
func publicKeyAs(id, text, shapes string, value func(d *draft) string) fault {
	return fault{id: "public-key-" + id, text: "the public key in the context is " + text, kind: "malformed", spec: specVerifyKey, shapes: shapes, plan: func(d *draft) {
		d.stored[0][1] = value(d)
		d.bind(d.stored...)
	}}
}

// point returns the right public key's bytes.
func point(d *draft) []byte {
	return elliptic.MarshalCompressed(d.suite.curve, d.signer.X, d.signer.Y)
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// contextFaults are those of the encryption context.
var contextFaults = []fault{
	{id: "context-length-too-short", text: "the length of the context is one less than it takes", kind: "limit", spec: specPairsLength,
		shapes: two, head: func(d *draft) { d.set("context length", byhand.U16(len(d.get("context"))-1)...) }},
	{id: "context-length-too-long", text: "the length of the context reaches into the wrapped keys' count", kind: "limit", spec: specPairsLength,
		shapes: two, head: func(d *draft) { d.set("context length", byhand.U16(len(d.get("context"))+1)...) }},
	{id: "context-length-past-the-end", text: "the length of the context is past the end of the message", kind: "truncated", spec: specPairsLength,
		shapes: two, head: func(d *draft) { d.set("context length", 0xff, 0xff) }},
	{id: "context-length-zero", text: "the length of the context is zero, and there is one", kind: "truncated", spec: specPairsLength,
		shapes: two, head: func(d *draft) { d.set("context length", 0, 0) }},
	{id: "context-byte-after", text: "a byte follows the last pair of the context", kind: "malformed", spec: specPairs,
		shapes: two, head: func(d *draft) { contextBytes(d, append(d.get("context"), 0)) }},
	{id: "context-empty-pair-after", text: "an empty pair that is not counted follows the last one of the context", kind: "malformed", spec: specPairs,
		shapes: two, head: func(d *draft) { contextBytes(d, append(d.get("context"), 0, 0, 0, 0)) }},
	{id: "context-pair-after", text: "a pair that is not counted follows the last one of the context", kind: "malformed", spec: specPairs,
		shapes: two, head: func(d *draft) {
			contextBytes(d, append(d.get("context"), byhand.Serialize([]pair{{"user", "root"}})[2:]...))
		}},
	{id: "context-of-one-byte", text: "the context is one byte", kind: "malformed", spec: specAAD,
		shapes: "0178 0478", plan: func(d *draft) { d.bind() }, head: func(d *draft) { contextBytes(d, []byte{0}) }},
	{id: "context-count-too-small", text: "the count of pairs is one less than there are", kind: "malformed", spec: specPairCount,
		shapes: two, head: func(d *draft) { d.get("context")[1]-- }},
	{id: "context-count-too-large", text: "the count of pairs is one more than there are", kind: "malformed", spec: specPairCount,
		shapes: two, head: func(d *draft) { d.get("context")[1]++ }},
	{id: "context-count-zero", text: "the count of pairs is zero, and there are some", kind: "malformed", spec: specPairCount,
		shapes: two, head: func(d *draft) { d.get("context")[1] = 0 }},
	{id: "context-count-largest", text: "the count of pairs is 65535", kind: "malformed", spec: specPairCount,
		shapes: two, head: func(d *draft) { copy(d.get("context"), byhand.U16(0xffff)) }},
	resized("context-key-too-long", "the length of a key reaches into its value", "malformed", "patients", 1),
	resized("context-key-past-the-end", "the length of a key is past the end of the context", "malformed", "patients", 1000),
	resized("context-value-too-long", "the length of the last value is one past the end of the context", "malformed", "tenant", 1),
	resized("context-value-too-short", "the length of the last value is one less than it takes", "malformed", "tenant", -1),
	resized("context-value-past-the-end", "the length of a value is past the end of the context", "malformed", "table", 1000),

	storing("context-key-twice", "a key of the context stands twice, with the same value", specPairs, []pair{{"table", "patients"}}),
	storing("context-key-twice-last-counts", "a key of the context stands twice, and data keys are bound to the last value", specPairs, []pair{{"table", "doctors"}}),
	{id: "context-key-twice-first-counts", text: "a key of the context stands twice, and data keys are bound to the first value", kind: "malformed", spec: specPairs,
		shapes: "0178 0478", plan: func(d *draft) {
			d.bind(d.stored...)
			d.stored = append(slices.Clone(d.stored), pair{"tenant", "43"})
		}},
	{id: "public-key-twice-last-counts", text: "the public key stands twice in the context: another's, then the right one", kind: "malformed", spec: specPairs,
		shapes: signing, plan: func(d *draft) {
			other := byhand.SigningKey(d.suite.curve, "other")
			d.stored = append([]pair{{publicKey, byhand.EncodePoint(&other.PublicKey)}}, d.stored...)
		}},
	{id: "public-key-twice-first-counts", text: "the public key stands twice in the context: the right one, then another's", kind: "malformed", spec: specPairs,
		shapes: signing, plan: func(d *draft) {
			other := byhand.SigningKey(d.suite.curve, "other")
			d.stored = slices.Insert(slices.Clone(d.stored), 1, pair{publicKey, byhand.EncodePoint(&other.PublicKey)})
		}},
	storing("context-key-not-utf8", "a key of the context is not UTF-8: ff", specContext, []pair{{"\xff", "x"}}, pair{"\xff", "x"}),
	storing("context-value-not-utf8", "a value of the context is not UTF-8: ff", specContext, []pair{{"a", "\xff"}}, pair{"a", "\xff"}),
	storing("context-value-cut-utf8", "a value of the context ends within a character", specContext, []pair{{"a", "x\xc3"}}, pair{"a", "x\xc3"}),
	storing("context-value-overlong-utf8", "a value of the context has a character in more bytes than it takes", specContext, []pair{{"a", "\xc1\x81"}}, pair{"a", "\xc1\x81"}),
	storing("context-value-surrogates", "a value of the context has a character as two surrogates (CESU-8)", specContext,
		[]pair{{"a", "\xed\xa0\xbd\xed\xb4\x91"}}, pair{"a", "\xed\xa0\xbd\xed\xb4\x91"}),
	storing("context-key-lone-surrogate", "a key of the context is half a character", specContext, []pair{{"\xed\xa0\x80", "x"}}, pair{"\xed\xa0\x80", "x"}),
	storing("context-value-beyond-unicode", "a value of the context has a character past U+10FFFF", specContext, []pair{{"a", "\xf4\x90\x80\x80"}}, pair{"a", "\xf4\x90\x80\x80"}),

	publicKeyAs("empty", "empty", bothCurves, func(*draft) string { return "" }),
	publicKeyAs("not-base64", "not base64", bothCurves, func(d *draft) string { return "!" + d.stored[0][1][1:] }),
	publicKeyAs("without-padding", "base64 without its padding", "0378 0578", func(d *draft) string { return strings.TrimRight(d.stored[0][1], "=") }),
	publicKeyAs("for-urls", "base64 in the alphabet of URLs", "0578", func(d *draft) string {
		for i := 0; !strings.ContainsAny(d.stored[0][1], "+/"); i++ {
			d.signer = byhand.SigningKey(d.suite.curve, fmt.Sprint("for URLs ", i))
			d.stored[0][1] = byhand.EncodePoint(&d.signer.PublicKey)
		}
		return base64.URLEncoding.EncodeToString(point(d))
	}),
	publicKeyAs("base64-of-two-lines", "base64 with a line break", bothCurves, func(d *draft) string {
		return d.stored[0][1][:20] + "\n" + d.stored[0][1][20:]
	}),
	publicKeyAs("base64-with-spare-bits", "base64 whose last bits, which stand for nothing, are not zero", "0378 0578", func(d *draft) string {
		text := []byte(d.stored[0][1])
		text[len(text)-3]++ // its last four bits are spare and zero, so that this is the next letter
		return string(text)
	}),
	publicKeyAs("uncompressed", "a point that is not compressed", bothCurves, func(d *draft) string {
		b, err := d.signer.PublicKey.Bytes()
		if err != nil {
			panic(err)
		}
		return b64(b)
	}),
	publicKeyAs("of-unknown-form", "a point that begins with 05", bothCurves, func(d *draft) string { return b64(append([]byte{5}, point(d)[1:]...)) }),
	publicKeyAs("infinity", "the point at infinity", bothCurves, func(*draft) string { return b64([]byte{0}) }),
	publicKeyAs("cut-short", "a point that lacks its last byte", bothCurves, func(d *draft) string { p := point(d); return b64(p[:len(p)-1]) }),
	publicKeyAs("too-long", "a point with a byte after it", bothCurves, func(d *draft) string { return b64(append(point(d), 0)) }),
	publicKeyAs("not-on-the-curve", "no point of the curve", bothCurves, func(d *draft) string {
		p := point(d)
		for {
			p[len(p)-1]++
			if x, _ := elliptic.UnmarshalCompressed(d.suite.curve, p); x == nil {
				return b64(p)
			}
		}
	}),
	publicKeyAs("beyond-the-field", "a point whose coordinate is past the curve's field", bothCurves, func(d *draft) string {
		return b64(append([]byte{2}, slices.Repeat([]byte{0xff}, d.suite.curve.Params().BitSize/8)...))
	}),
	publicKeyAs("of-another-curve", "a point of another curve", bothCurves, func(d *draft) string {
		other := byhand.SigningKey(map[bool]elliptic.Curve{true: elliptic.P384(), false: elliptic.P256()}[d.suite.curve == elliptic.P256()], "other curve")
		return byhand.EncodePoint(&other.PublicKey)
	}),
	{id: "public-key-of-another", text: "the public key in the context is another's, who signed", kind: "no_matching_key", spec: specRawAES,
		shapes: signing, plan: func(d *draft) {
			d.signer = byhand.SigningKey(d.suite.curve, "another signer")
			d.bind(d.stored...)
			d.stored = slices.Clone(d.stored)
			d.stored[0][1] = byhand.EncodePoint(&d.signer.PublicKey)
		}},

	{id: "context-value-changed", text: "a value of the context was changed, and all but the wrapped key was made anew", kind: "no_matching_key", spec: specRawAES,
		shapes: two, head: func(d *draft) { d.flip("context", -2) }, open: expectNothing},
	{id: "context-key-changed", text: "a key of the context was changed, and all but the wrapped key was made anew", kind: "no_matching_key", spec: specRawAES,
		shapes: two, head: func(d *draft) {
			contextBytes(d, []byte(strings.Replace(string(d.get("context")), "table", "tablf", 1)))
		}},
	{id: "context-pair-added", text: "a pair was added to the context, and all but the wrapped key was made anew", kind: "no_matching_key", spec: specRawAES,
		shapes: two, plan: func(d *draft) { d.bind(d.stored...); d.stored = append(slices.Clone(d.stored), pair{"user", "root"}) }},
	{id: "context-pair-removed", text: "a pair was removed from the context, and all but the wrapped key was made anew", kind: "no_matching_key", spec: specRawAES,
		shapes: two, plan: func(d *draft) {
			d.bind(d.stored...)
			d.stored = slices.DeleteFunc(slices.Clone(d.stored), func(p pair) bool { return p[0] == "table" })
		}},
	{id: "context-value-changed-after", text: "a value of the context was changed, and the wrapped key made anew, but not the header's tag", kind: "authentication", spec: specVerify,
		shapes: two, plan: func(d *draft) {
			d.bind(append(slices.Clone(d.stored[:len(d.stored)-1]), pair{"tenant", "52"})...)
		}, tagged: func(d *draft) { d.get("context")[len(d.get("context"))-2] = '5' }, open: expectNothing},
	{id: "context-pairs-swapped-after", text: "two pairs of the context were swapped, and the header's tag not made anew", kind: "authentication", spec: specVerify,
		shapes: two, tagged: func(d *draft) {
			swapped := slices.Clone(d.stored)
			slices.Reverse(swapped)
			contextBytes(d, byhand.Serialize(swapped))
		}},
}

func expectNothing(_ *draft, e *entry) { e.Context = map[string]string{} }

// keyFaults are those of the wrapped keys.
var keyFaults = []fault{
	{id: "no-key", text: "there is no wrapped key", kind: "malformed", spec: specKeys, shapes: two, plan: func(d *draft) { d.keys = nil }},
	{id: "key-count-zero", text: "the count of wrapped keys is zero, and there is one", kind: "malformed", spec: specKeys,
		shapes: two, head: func(d *draft) { d.set("key count", 0, 0) }},
	{id: "key-count-too-large", text: "the count of wrapped keys is one more than there are", kind: "truncated", spec: specKeys,
		shapes: "0178 0478", head: func(d *draft) { d.set("key count", 0, 2) }},
	{id: "key-count-too-small", text: "the count of wrapped keys is one less than there are", kind: "malformed", spec: specKeys,
		shapes: two, plan: func(d *draft) { d.keys = append(d.keys, d.wrap("other name")) }, head: func(d *draft) { d.set("key count", 0, 1) }},
	{id: "key-count-largest", text: "the count of wrapped keys is 65535, and there is one", kind: "limit", spec: specKeys,
		shapes: two, head: func(d *draft) { d.set("key count", 0xff, 0xff) }},
	{id: "keys-past-the-limit", text: "there are more wrapped keys than the client's limit", kind: "limit", spec: "client-apis/client.md#maximum-number-of-encrypted-data-keys",
		shapes: two, plan: func(d *draft) {
			d.keys = []wrapped{d.wrap("right"), d.wrap("other name"), d.wrap("other namespace"), d.wrap("another")}
		}, open: func(_ *draft, e *entry) { e.MaxKeys = 3 }},
	keyLength("provider ID", 0xffff, "past-the-end", "is past the end of the message", "truncated", two),
	keyLength("provider info", 0xffff, "past-the-end", "is past the end of the message", "truncated", two),
	keyLength("wrapped key", 0xffff, "past-the-end", "is past the end of the message", "truncated", two),
	keyLength("provider ID", 8, "too-long", "is one more than it takes", "truncated", "0178 0478"),
	keyLength("provider info", 26, "too-long", "is one more than it takes", "truncated", "0178 0478"),
	keyLength("wrapped key", 49, "too-long", "is one more than it takes", "malformed", "0178 0478"),
	keyLength("wrapped key", 47, "too-short", "is one less than it takes", "malformed", "0178 0478"),
	{id: "key-provider-not-utf8", text: "a wrapped key, beside the right one, has a provider ID that is not UTF-8", kind: "malformed", spec: "data-format/message-header.md#encrypted-data-key-entries",
		shapes: "0178 0478", plan: func(d *draft) {
			d.keys = append(d.keys, d.wrap("other namespace"))
			d.keys[1].namespace = "\xff\xfe"
		}},
	wrongKey("provider-of-another", "the provider ID is another's", func(k *wrapped) { k.namespace = "refuser" }),
	wrongKey("provider-empty", "the provider ID is empty", func(k *wrapped) { k.namespace = "" }),
	wrongKey("provider-in-capitals", "the provider ID is written in capitals", func(k *wrapped) { k.namespace = "REFUSED" }),
	wrongKey("name-of-another", "the name is another's", func(k *wrapped) { k.name = "wrong" }),
	wrongKey("name-empty", "the name is empty", func(k *wrapped) { k.name = "" }),
	wrongKey("name-too-long", "the name begins with the right one", func(k *wrapped) { k.name = "right one" }),
	wrongKey("name-too-short", "the name is the beginning of the right one", func(k *wrapped) { k.name = "righ" }),
	wrongKey("tag-length-zero", "the tag length is zero", func(k *wrapped) { k.tagBits = 0 }),
	wrongKey("tag-length-in-bytes", "the tag length is in bytes", func(k *wrapped) { k.tagBits = 16 }),
	wrongKey("tag-length-96", "the tag length is 96 bits", func(k *wrapped) { k.tagBits = 96 }),
	wrongKey("iv-length-zero", "the IV length is zero", func(k *wrapped) { k.ivLen = 0 }),
	wrongKey("iv-length-in-bits", "the IV length is in bits", func(k *wrapped) { k.ivLen = 96 }),
	wrongKey("iv-of-16-bytes", "the IV is 16 bytes, and its length says so", func(k *wrapped) { k.iv, k.ivLen = byhand.BytesOf("16", 16), 16 }),
	wrongKey("iv-of-16-bytes-as-12", "the IV is 16 bytes, and its length says 12", func(k *wrapped) { k.iv = byhand.BytesOf("16", 16) }),
	wrongKey("iv-of-11-bytes", "the IV is 11 bytes, and its length says 12", func(k *wrapped) { k.iv = k.iv[:11] }),
	wrongKey("under-another-key", "it is wrapped under another key of the same name", func(k *wrapped) { k.wrapping = wrapping["another"].Key }),
	wrongKey("bound-to-nothing", "it is not bound to the context", func(k *wrapped) { k.bound = nil }),
	wrongKey("bound-out-of-order", "it is bound to the context with the pairs out of order", nil),
	wrongKey("bound-with-length", "it is bound to the context with its length before it", nil),
	alteredKey("key-wrapped-first-byte", "the wrapped key's first byte was changed", func(d *draft) { d.flip("key 1 wrapped key", 0) }),
	alteredKey("key-wrapped-tag", "the tag of the wrapped key was changed", func(d *draft) { d.flip("key 1 wrapped key", -1) }),
	alteredKey("key-wrapped-iv", "the IV of the wrapped key was changed", func(d *draft) { d.flip("key 1 provider info", -1) }),
	alteredKey("key-wrapped-empty", "the wrapped key is empty", func(d *draft) {
		d.set("key 1 wrapped key length", 0, 0)
		d.set("key 1 wrapped key")
	}),
	alteredKey("key-wrapped-shorter-than-a-tag", "the wrapped key is shorter than a tag", func(d *draft) {
		d.set("key 1 wrapped key length", 0, 15)
		d.set("key 1 wrapped key", d.get("key 1 wrapped key")[:15]...)
	}),
	alteredKey("key-wrapped-without-tag", "the wrapped key has no tag", func(d *draft) {
		d.set("key 1 wrapped key length", 0, 32)
		d.set("key 1 wrapped key", d.get("key 1 wrapped key")[:32]...)
	}),
	alteredKey("key-wrapped-with-byte-after", "a byte follows the wrapped key's tag", func(d *draft) {
		d.set("key 1 wrapped key length", 0, 49)
		d.extend("key 1 wrapped key", 0)
	}),
	alteredKey("key-info-empty", "the provider information is empty", func(d *draft) {
		d.set("key 1 provider info length", 0, 0)
		d.set("key 1 provider info")
	}),
	alteredKey("key-info-name-alone", "the provider information is the name alone", func(d *draft) {
		d.set("key 1 provider info length", 0, 5)
		d.set("key 1 provider info", d.get("key 1 provider info")[:5]...)
	}),
	alteredKey("key-info-byte-after", "a byte follows the provider information's IV", func(d *draft) {
		d.set("key 1 provider info length", 0, 26)
		d.extend("key 1 provider info", 0)
	}),
	dataKeyOf(0, "0178 0478"), dataKeyOf(16, "0046 0078 0178 0378 0478 0578"), dataKeyOf(24, "0014 0114 0214 0178 0478"),
	dataKeyOf(31, "0178 0478"), dataKeyOf(32, "0014 0046 0114 0214 0346"), dataKeyOf(33, "0178 0478"), dataKeyOf(64, "0178 0478"),
	{id: "key-of-another-message", text: "the wrapped key holds another data key", kind: "authentication", kindV2: "commitment", spec: specMaterials,
		shapes: allSuites, plan: func(d *draft) { d.keys[0].dataKey = byhand.BytesOf("another data key", d.suite.keyLen) }},
	{id: "first-key-of-another-message", text: "the first of two wrapped keys that open holds another data key", kind: "authentication", kindV2: "commitment", spec: specMaterials,
		shapes: two, plan: func(d *draft) {
			d.keys = append(d.keys, d.wrap("right"))
			d.keys[0].dataKey = byhand.BytesOf("another data key", d.suite.keyLen)
		}},
	{id: "keys-swapped-after", text: "two wrapped keys were swapped, and the header's tag not made anew", kind: "authentication", spec: specVerify,
		shapes: two, plan: func(d *draft) { d.keys = append(d.keys, d.wrap("other name")) }, tagged: func(d *draft) {
			first, second := d.at("key 1 provider ID length"), d.at("key 2 provider ID length")
			for i := range 6 {
				d.fields[first+i], d.fields[second+i] = d.fields[second+i], d.fields[first+i]
			}
		}},
	{id: "key-added-after", text: "a wrapped key was added, and the header's tag not made anew", kind: "authentication", spec: specVerify,
		shapes: two, tagged: func(d *draft) {
			d.set("key count", 0, 2)
			at := d.at("key 1 provider ID length")
			d.fields = slices.Insert(d.fields, at+6, slices.Clone(d.fields[at:at+6])...)
		}},
	{id: "key-removed-after", text: "a wrapped key was removed, and the header's tag not made anew", kind: "authentication", spec: specVerify,
		shapes: two, plan: func(d *draft) { d.keys = append(d.keys, d.wrap("other name")) }, tagged: func(d *draft) {
			d.set("key count", 0, 1)
			at := d.at("key 2 provider ID length")
			d.fields = slices.Delete(d.fields, at, at+6)
		}},
}

func keyLength(name string, n int, id, text, kind, shapes string) fault {
	return fault{
		id:   fmt.Sprintf("key-%s-length-%s", strings.ReplaceAll(strings.ToLower(name), " ", "-"), id),
		text: fmt.Sprintf("the length of the %s %s", name, text), kind: kind, spec: specKeys, shapes: shapes,
		head: func(d *draft) { d.set("key 1 "+name+" length", byhand.U16(n)...) },
	}
}

// wrongKey returns a fault of the only wrapped key, with which the rest goes.
func wrongKey(id, text string, change func(*wrapped)) fault {
	f := fault{id: "key-" + id, text: "the only wrapped key does not fit: " + text, kind: "no_matching_key", spec: specRawAES, shapes: "0178 0478"}
	if change != nil {
		f.plan = func(d *draft) { change(&d.keys[0]) }
		return f
	}
	f.head = func(d *draft) {
		context := byhand.Serialize(byhand.Sorted(d.stored))
		if id == "bound-with-length" {
			context = append(byhand.U16(len(context)), context...)
		} else {
			reversed := slices.Clone(d.stored)
			slices.Reverse(reversed)
			context = byhand.Serialize(reversed)
		}
		d.set("key 1 wrapped key", byhand.Seal(d.keys[0].wrapping, d.keys[0].iv, d.dataKey, context)...)
	}
	return f
}

// alteredKey returns a fault of the only wrapped key, that came before the header's tag.
func alteredKey(id, text string, change func(*draft)) fault {
	return fault{id: id, text: text, kind: "no_matching_key", spec: specRawAES, shapes: "0178 0478", head: change}
}

// dataKeyOf returns a fault of which the data key has another length than the suite's, and
// all is derived from it, or encrypted under the part of it that is there.
func dataKeyOf(n int, shapes string) fault {
	return fault{
		id: fmt.Sprintf("data-key-of-%d-bytes", n), text: fmt.Sprintf("the wrapped key holds a data key of %d bytes", n), kind: "no_matching_key", spec: specDataKey,
		shapes: shapes, plan: func(d *draft) {
			d.dataKey = byhand.BytesOf("data key of other length", n)
			if d.suite.hash == nil {
				d.key = byhand.BytesOf("data key of other length", max(n, d.suite.keyLen))[:d.suite.keyLen]
			}
			d.keys[0].dataKey = d.dataKey
		},
	}
}

// headerFaults are those of the header's other fields, and of its tag.
var headerFaults = slices.Concat(
	setting("content type", "the content type is unknown", specContent, two, 0x00, 0x03),
	setting("content type", "the content type is unknown", specContent, "0178 0478", 0x80, 0xff),
	setting("IV length", "the IV length is not that of the suite", specIVLength, version1, 0, 11, 13, 16, 0xff),
	[]fault{
		{id: "content-type-of-the-other-body", text: "the content type says that there are no frames, and there are, with their length", kind: "malformed", spec: specFrameLength,
			shapes: two, head: func(d *draft) { d.set("content type", 1) }},
		{id: "content-type-of-the-other-body", text: "the content type says that there are frames, and there are none, and no frame length", kind: "malformed", spec: specContent,
			shapes: "0178n 0578n", head: func(d *draft) { d.set("content type", 2) }},
		{id: "frames-in-nonframed", text: "content type and frame length are those of a body without frames, and there are frames", kind: "limit", spec: specContent,
			shapes: two, head: func(d *draft) { d.set("content type", 1); d.set("frame length", 0, 0, 0, 0) }},
		{id: "no-frames-in-framed", text: "content type and frame length are those of frames, and there are none", kind: "malformed", spec: specContent,
			shapes: "0178n 0578n", head: func(d *draft) { d.set("content type", 2); d.set("frame length", 0, 0, 0, 8) }},
		{id: "frame-length-in-nonframed", text: "the frame length is not zero in a message without frames", kind: "malformed", spec: specFrameLength,
			shapes: "0014n 0178n 0378n 0478n 0578n", plan: func(d *draft) { d.frameLen = 4096 }},
		{id: "frame-length-zero", text: "the frame length is zero in a message with frames", kind: "malformed", spec: specFramed,
			shapes: two, plan: func(d *draft) { d.frameLen = 0 }},
		{id: "frame-length-zero-and-empty", text: "the frame length is zero in a message with frames, whose only frame is empty", kind: "malformed", spec: specFramed,
			shapes: "0178 0478", plan: func(d *draft) { d.frameLen, d.parts = 0, []part{final(1, "")} }},
		{id: "frame-length-too-small", text: "the frame length is one less than that of the frames", kind: "authentication", spec: specFrameLength,
			shapes: two, plan: func(d *draft) { d.frameLen-- }},
		{id: "frame-length-too-large", text: "the frame length is one more than that of the frames", kind: "authentication", spec: specFrameLength,
			shapes: two, plan: func(d *draft) { d.frameLen++ }},
		{id: "frame-length-changed", text: "the frame length was changed, and the header's tag not made anew", kind: "authentication", spec: specVerify,
			shapes: two, tagged: func(d *draft) { d.flip("frame length", 2) }},
		{id: "message-id-first-byte", text: "the message ID's first byte was changed", kind: "authentication", kindV2: "commitment", spec: specVerify,
			shapes: allSuites, signed: func(d *draft) { d.flip("message ID", 0) }},
		{id: "message-id-last-byte", text: "the message ID's last byte was changed", kind: "authentication", kindV2: "commitment", spec: specVerify,
			shapes: two, signed: func(d *draft) { d.flip("message ID", -1) }},
		{id: "message-id-of-zeros", text: "the message ID was replaced by zeros", kind: "authentication", kindV2: "commitment", spec: specVerify,
			shapes: two, signed: func(d *draft) { clear(d.get("message ID")) }},
	},
	reservedFaults(),
	commitmentFaults,
	tagFaults,
)

func reservedFaults() (all []fault) {
	for i := range 4 {
		all = append(all, fault{
			id: fmt.Sprintf("reserved-byte-%d", i+1), text: fmt.Sprintf("reserved byte %d of 4 is not zero", i+1), kind: "malformed", spec: specReserved,
			shapes: version1, head: func(d *draft) { d.get("reserved")[i] = 1 },
		})
	}
	return all
}

// committing returns a fault of which the commitment is another, with a valid tag over it.
func committing(id, text string, other func(d *draft) []byte) fault {
	return fault{id: "commitment-" + id, text: "the commitment is " + text, kind: "commitment", spec: specMaterials, shapes: version2,
		head: func(d *draft) { d.set("commitment", other(d)...) }}
}

var commitmentFaults = []fault{
	committing("first-byte", "wrong in its first byte", func(d *draft) []byte { d.flip("commitment", 0); return d.commitment2() }),
	committing("middle-byte", "wrong in byte 17", func(d *draft) []byte { d.flip("commitment", 16); return d.commitment2() }),
	committing("last-byte", "wrong in its last byte", func(d *draft) []byte { d.flip("commitment", -1); return d.commitment2() }),
	committing("of-zeros", "all zeros", func(*draft) []byte { return make([]byte, 32) }),
	committing("of-the-other-half", "rotated by half", func(d *draft) []byte { c := d.commitment; return slices.Concat(c[16:], c[:16]) }),
	committing("of-another-key", "that of another data key", func(d *draft) []byte {
		return byhand.Derive(sha512.New, byhand.BytesOf("another data key", 32), d.id, []byte("COMMITKEY"), 32)
	}),
	committing("of-another-message", "that of another message ID", func(d *draft) []byte {
		return byhand.Derive(sha512.New, d.dataKey, byhand.BytesOf("another id", 32), []byte("COMMITKEY"), 32)
	}),
	committing("without-salt", "derived without the message ID", func(d *draft) []byte { return byhand.Derive(sha512.New, d.dataKey, nil, []byte("COMMITKEY"), 32) }),
	committing("with-sha-256", "derived with SHA-256", func(d *draft) []byte { return byhand.Derive(sha256.New, d.dataKey, d.id, []byte("COMMITKEY"), 32) }),
	committing("with-sha-384", "derived with SHA-384", func(d *draft) []byte { return byhand.Derive(sha512.New384, d.dataKey, d.id, []byte("COMMITKEY"), 32) }),
	committing("with-the-suite", "derived with the suite's ID before its label", func(d *draft) []byte {
		return byhand.Derive(sha512.New, d.dataKey, d.id, append(byhand.U16(int(d.suite.id)), "COMMITKEY"...), 32)
	}),
	committing("with-another-label", "derived with the label in lower case", func(d *draft) []byte { return byhand.Derive(sha512.New, d.dataKey, d.id, []byte("commitkey"), 32) }),
	committing("that-is-the-message-key", "the message key itself", func(d *draft) []byte { return messageKey(d.suite, 2, d.dataKey, d.id) }),
	{id: "commitment-missing", text: "there is no commitment", kind: "commitment", spec: specSuiteData, shapes: version2,
		plan: func(d *draft) { d.commitment = []byte{} }},
	{id: "commitment-cut-short", text: "the commitment lacks its last byte", kind: "commitment", spec: specSuiteData, shapes: version2,
		head: func(d *draft) { d.set("commitment", d.commitment[:31]...) }},
	{id: "commitment-too-long", text: "the commitment has a byte more, of what is derived", kind: "authentication", spec: specSuiteData, shapes: version2,
		head: func(d *draft) {
			d.set("commitment", byhand.Derive(sha512.New, d.dataKey, d.id, []byte("COMMITKEY"), 33)...)
		}},
	{id: "commitment-in-version-1", text: "a suite without commitment has one", kind: "authentication", spec: specSuiteData, shapes: version1,
		plan: func(d *draft) { d.commitment = byhand.BytesOf("commitment", 32) }},
}

// commitment2 returns the commitment as it was changed.
func (d *draft) commitment2() []byte { return d.get("commitment") }

// tagAltered returns a fault of the header's tag after it was made.
func tagAltered(id, text, shapes string, change func(d *draft)) fault {
	return fault{id: "header-tag-" + id, text: "the header's tag " + text, kind: "authentication", spec: specVerify, shapes: shapes, tagged: change}
}

// tagMade returns a fault of how the header's tag is made.
func tagMade(id, text, shapes string, change func(d *draft)) fault {
	return fault{id: "header-tag-" + id, text: "the header's tag is " + text, kind: "authentication", spec: specVerify, shapes: shapes, plan: change}
}

// keyMade returns a fault of how the message key is derived. Header and body are encrypted
// under it, and the commitment is right.
func keyMade(id, text, shapes string, key func(d *draft) []byte) fault {
	return fault{id: "key-derived-" + id, text: "the message key is derived " + text, kind: "authentication",
		spec: "framework/algorithm-suites.md#algorithm-suites-encryption-key-derivation-settings", shapes: shapes, plan: func(d *draft) { d.key = key(d) }}
}

func info(d *draft) []byte {
	if d.version == 1 {
		return append(byhand.U16(int(d.suite.id)), d.id...)
	}
	return append(byhand.U16(int(d.suite.id)), "DERIVEKEY"...)
}

func salt(d *draft) []byte {
	if d.version == 1 {
		return nil
	}
	return d.id
}

var tagFaults = []fault{
	tagAltered("first-byte", "was changed in its first byte", allSuites, func(d *draft) { d.flip("header tag", 0) }),
	tagAltered("last-byte", "was changed in its last byte", two, func(d *draft) { d.flip("header tag", -1) }),
	tagAltered("of-zeros", "is all zeros", two, func(d *draft) { clear(d.get("header tag")) }),
	tagMade("over-nothing", "made over nothing", two, func(d *draft) { d.headerData = func([]byte) []byte { return nil } }),
	tagMade("without-version", "not over the first byte", two, func(d *draft) { d.headerData = func(b []byte) []byte { return b[1:] } }),
	tagMade("without-end", "not over the header's last byte", two, func(d *draft) { d.headerData = func(b []byte) []byte { return b[:len(b)-1] } }),
	tagMade("over-context-alone", "made over the context alone", "0178 0478", func(d *draft) { d.headerData = func([]byte) []byte { return byhand.Serialize(d.stored) } }),
	tagMade("over-context-again", "made over the header and the context, which is stored", "0178 0478", func(d *draft) {
		d.headerData = func(b []byte) []byte { return append(b, byhand.Serialize(d.stored)...) }
	}),
	tagMade("without-commitment", "not over the commitment", version2, func(d *draft) { d.headerData = func(b []byte) []byte { return b[:len(b)-32] } }),
	tagMade("under-data-key", "made under the data key", "0178 0378 0478 0578", func(d *draft) { d.headerKey = d.dataKey }),
	tagMade("under-commitment", "made under the commitment", version2, func(d *draft) {
		d.headerKey = byhand.Derive(d.suite.hash, d.dataKey, d.id, []byte("COMMITKEY"), 32)
	}),
	{id: "header-iv-changed", text: "the header's IV was changed after its tag was made", kind: "authentication", spec: specVerify, shapes: version1,
		tagged: func(d *draft) { d.flip("header IV", -1) }},
	tagMade("under-another-iv", "made with an IV that is not zero", version2, func(d *draft) { d.headerIV = frameIV(1 << 31) }),
	{id: "header-iv-in-version-2", text: "a version 2 header has the IV of version 1", kind: "authentication", spec: "data-format/message-header.md#header-authentication-version-20",
		shapes: version2, tagged: func(d *draft) {
			d.fields = slices.Insert(d.fields, d.at("header tag"), field{"header IV", make([]byte, 12)})
		}},
	{id: "header-iv-missing", text: "a version 1 header has no IV", kind: "authentication", spec: "data-format/message-header.md#header-authentication-version-10",
		shapes: version1, tagged: func(d *draft) { d.remove("header IV") }},
	{id: "header-tag-missing", text: "the header has no tag", kind: "authentication", spec: specVerify, shapes: two, tagged: func(d *draft) { d.remove("header tag") }},
	{id: "header-tag-of-12-bytes", text: "the header's tag is 12 bytes", kind: "authentication", spec: specVerify, shapes: two,
		tagged: func(d *draft) { d.set("header tag", d.get("header tag")[:12]...) }},
	{id: "hidden-pair-not-authenticated", text: "a pair that is not stored is bound to the wrapped key, and not to the header", kind: "context_mismatch", spec: specVerify,
		shapes: two, plan: hide, open: expectHidden, head: func(d *draft) { d.hidden = nil }},
	{id: "hidden-pair-not-bound", text: "a pair that is not stored is bound to the header, and not to the wrapped key", kind: "context_mismatch", spec: specRawAES,
		shapes: two, plan: func(d *draft) { hide(d); d.bind(d.stored...) }, open: expectHidden},

	keyMade("without-suite", "without the suite's ID", "0114 0178 0378 0478 0578", func(d *draft) []byte {
		return byhand.Derive(d.suite.hash, d.dataKey, salt(d), info(d)[2:], d.suite.keyLen)
	}),
	keyMade("with-another-suite", "with the ID of another suite", "0114 0178 0378 0478 0578", func(d *draft) []byte {
		return byhand.Derive(d.suite.hash, d.dataKey, salt(d), append([]byte{9, 9}, info(d)[2:]...), d.suite.keyLen)
	}),
	keyMade("with-suite-in-other-order", "with the suite's ID in the other byte order", "0178 0478", func(d *draft) []byte {
		i := info(d)
		i[0], i[1] = i[1], i[0]
		return byhand.Derive(d.suite.hash, d.dataKey, salt(d), i, d.suite.keyLen)
	}),
	keyMade("without-info", "without information", "0178 0478", func(d *draft) []byte { return byhand.Derive(d.suite.hash, d.dataKey, salt(d), nil, d.suite.keyLen) }),
	keyMade("without-message-id", "without the message ID", "0178 0378", func(d *draft) []byte { return byhand.Derive(d.suite.hash, d.dataKey, nil, info(d)[:2], d.suite.keyLen) }),
	keyMade("with-salt", "with the message ID as salt", version1, func(d *draft) []byte { return byhand.Derive(d.suite.hash, d.dataKey, d.id, info(d), d.suite.keyLen) }),
	keyMade("without-salt", "without salt", version2, func(d *draft) []byte { return byhand.Derive(d.suite.hash, d.dataKey, nil, info(d), 32) }),
	keyMade("without-label", "without its label", version2, func(d *draft) []byte { return byhand.Derive(d.suite.hash, d.dataKey, d.id, info(d)[:2], 32) }),
	keyMade("as-the-commitment", "as the commitment is", version2, func(d *draft) []byte { return byhand.Derive(d.suite.hash, d.dataKey, d.id, []byte("COMMITKEY"), 32) }),
	keyMade("as-in-version-1", "as in version 1", version2, func(d *draft) []byte { return messageKey(d.suite, 1, d.dataKey, d.id) }),
	keyMade("as-in-version-2", "as in version 2", version1, func(d *draft) []byte { return messageKey(d.suite, 2, d.dataKey, d.id) }),
	keyMade("with-another-hash", "with another hash", "0114 0146 0178 0214 0346 0378 0478 0578", func(d *draft) []byte {
		h := sha512.New384
		if d.suite.hash().Size() == 48 {
			h = sha256.New
		}
		return byhand.Derive(h, d.dataKey, salt(d), info(d), d.suite.keyLen)
	}),
	keyMade("not-at-all", "not at all: it is the data key", "0114 0146 0178 0214 0346 0378 0478 0578", func(d *draft) []byte { return d.dataKey }),
	keyMade("though-it-is-not", "in a suite in which it is the data key", "0014 0046 0078", func(d *draft) []byte {
		return byhand.Derive(sha256.New, d.dataKey, nil, append(byhand.U16(int(d.suite.id)), d.id...), d.suite.keyLen)
	}),
}
