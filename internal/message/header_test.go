package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/suite"
)

var wide = Limits{EncryptedDataKeys: 1<<16 - 1, HeaderLen: math.MaxInt, FrameLength: math.MaxUint32}

// newHeader returns a header of suite s with every field set to something.
func newHeader(s *suite.Suite) *Header {
	h := &Header{
		Suite:     s,
		MessageID: bytes.Repeat([]byte{0xa5}, s.MessageIDLen()),
		Context:   map[string]string{"tenant": "42", "table": "patients"},
		EncryptedDataKeys: []EncryptedDataKey{
			{ProviderID: "aws-kms", ProviderInfo: []byte("arn:aws:kms:…"), Ciphertext: []byte("wrapped")},
			{},
		},
		FrameLength: 4096,
		IV:          make([]byte, suite.IVLen),
		Tag:         []byte("0123456789abcdef"),
	}
	if s.Version == 1 {
		h.IV = []byte("nonce of v1.")
	}
	if s.Commits {
		h.Commitment = bytes.Repeat([]byte{0xc0}, suite.CommitmentLen)
	}
	return h
}

func marshal(t testing.TB, h *Header) []byte {
	t.Helper()
	b, err := h.AppendBody(nil)
	require.NoError(t, err)
	return h.AppendAuth(b)
}

// eachSuite runs a test over a header of every suite.
func eachSuite(t *testing.T, test func(t *testing.T, h *Header, wire []byte)) {
	for _, s := range suite.All() {
		t.Run(fmt.Sprintf("%04x", s.ID), func(t *testing.T) {
			h := newHeader(s)
			test(t, h, marshal(t, h))
		})
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	eachSuite(t, func(t *testing.T, h *Header, wire []byte) {
		for name, parse := range map[string]func() (*Header, error){
			"bytes":  func() (*Header, error) { return ParseHeader(append(slices.Clone(wire), "body"...), wide) },
			"reader": func() (*Header, error) { return ReadHeader(iotest.OneByteReader(bytes.NewReader(wire)), wide) },
			"half":   func() (*Header, error) { return ReadHeader(iotest.HalfReader(bytes.NewReader(wire)), wide) },
			"eof":    func() (*Header, error) { return ReadHeader(iotest.DataErrReader(bytes.NewReader(wire)), wide) },
		} {
			got, err := parse()
			require.NoError(t, err, name)
			assert.Equal(t, wire, got.Raw, name)
			assert.Equal(t, wire, marshal(t, got), name)
			stored, err := AppendStored([]byte("before"), got.Context, got.EncryptedDataKeys)
			require.NoError(t, err)
			assert.Equal(t, "before"+string(got.Stored), string(stored))
			got.Stored = nil
			assert.Equal(t, wire, marshal(t, got), name)
			body, err := h.AppendBody(nil)
			require.NoError(t, err)
			assert.Equal(t, len(body), got.BodyLen, name)

			want := *h
			want.Raw, want.BodyLen = got.Raw, got.BodyLen
			want.EncryptedDataKeys = got.EncryptedDataKeys // nil and empty differ
			assert.Equal(t, &want, got, name)
			assert.Equal(t, "wrapped", string(got.EncryptedDataKeys[0].Ciphertext))
		}
	})
}

// TestHeaderKnown parses the header of the specification's example as far as it
// is given there, with a second key and the rest filled in.
func TestHeaderKnown(t *testing.T) {
	wire := "\x01\x80\x03\x78" + "\xb8\x92\x9b\x01\x75\x3d\x4a\x45\xc0\x21\x7f\x39\x40\x4f\x70\xff" +
		"\x00\x8e\x00\x04" +
		"\x00\x050This\x00\x02is" + "\x00\x031an\x00\x0aencryption" + "\x00\x082context\x00\x07example" +
		"\x00\x15aws-crypto-public-key\x00\x44AsG8gG9InLPu16YKlqXTOD+nykG8YqHAhqecj8aXfD2e5B4gtVE73dZkyClA+rAMOQ==" +
		"\x00\x01" + "\x00\x07aws-kms" + "\x00\x04arn:" + "\x00\x02ek" +
		"\x02" + "\x00\x00\x00\x00" + "\x0c" + "\x00\x00\x10\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "tagtagtagtagtag!"
	h, err := ParseHeader([]byte(wire), wide)
	require.NoError(t, err)
	assert.EqualValues(t, 0x0378, h.Suite.ID)
	assert.EqualValues(t, 4096, h.FrameLength)
	assert.Len(t, h.Context, 4)
	assert.Equal(t, "encryption", h.Context["1an"])
	assert.Equal(t, wire, string(marshal(t, h)))
}

func TestHeaderPrefixes(t *testing.T) {
	eachSuite(t, func(t *testing.T, _ *Header, wire []byte) {
		for n := range wire {
			_, err := ParseHeader(wire[:n], wide)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d bytes", n)
			_, err = ReadHeader(iotest.OneByteReader(bytes.NewReader(wire[:n])), wide)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d bytes from a reader", n)
		}
	})
}

func TestHeaderReaderErrors(t *testing.T) {
	broken := errors.New("connection reset")
	eachSuite(t, func(t *testing.T, _ *Header, wire []byte) {
		for n := range wire {
			_, err := ReadHeader(io.MultiReader(bytes.NewReader(wire[:n]), iotest.ErrReader(broken)), wide)
			require.ErrorIs(t, err, broken, "after %d bytes", n)
			require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	})
}

// TestReadHeaderReadsNoMore checks that the body is left to whoever reads next.
func TestReadHeaderReadsNoMore(t *testing.T) {
	eachSuite(t, func(t *testing.T, _ *Header, wire []byte) {
		r := bytes.NewReader(append(slices.Clone(wire), "body"...))
		_, err := ReadHeader(r, wide)
		require.NoError(t, err)
		rest, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, "body", string(rest))
	})
}

func TestHeaderBadInput(t *testing.T) {
	v1, v2 := suite.ByID(0x0178), suite.ByID(0x0478)
	for name, c := range map[string]struct {
		suite  *suite.Suite
		header func(*Header)         // before marshalling
		wire   func(b []byte) []byte // after
		limits Limits
		is     error
		says   string
	}{
		"version 0":          {v1, nil, set(0, 0), wide, ErrMalformed, "never encrypted"},
		"version 3":          {v2, nil, set(0, 3), wide, ErrMalformed, "never encrypted"},
		"base64":             {v1, nil, func(b []byte) []byte { return []byte("AYADeHJ4") }, wide, ErrMalformed, "base64"},
		"type":               {v1, nil, set(1, 0x81), wide, ErrMalformed, "unknown message type"},
		"suite":              {v2, nil, set(2, 0x79), wide, ErrMalformed, "unknown algorithm suite"},
		"suite 0":            {v1, nil, set(2, 0, 0), wide, ErrMalformed, "unknown algorithm suite"},
		"v1 with a v2 suite": {v1, nil, set(2, 4, 0x78), wide, ErrMalformed, "does not belong in a version 1"},
		"v2 with a v1 suite": {v2, nil, set(1, 1, 0x78), wide, ErrMalformed, "does not belong in a version 2"},
		"no keys":            {v2, noKeys, cutKeys, wide, ErrMalformed, "no encrypted data key"},
		"too many keys":      {v2, nil, nil, Limits{1, math.MaxInt, math.MaxUint32}, ErrLimit, "2 encrypted data keys, this client reads 1"},
		"long header":        {v2, nil, nil, Limits{9, 100, math.MaxUint32}, ErrLimit, "past 100 bytes"},
		"long frames":        {v2, nil, nil, Limits{9, math.MaxInt, 4095}, ErrLimit, "frame length is 4096 bytes, this client reads 4095"},
		"framed, frame length 0": {v2, func(h *Header) { h.FrameLength = 0 }, func(b []byte) []byte {
			b[contentTypeAt(b)] = contentFramed
			return b
		}, wide, ErrMalformed, "frame length is zero"},
		"non-framed, frame length 1": {v2, func(h *Header) { h.FrameLength = 1 }, func(b []byte) []byte {
			b[contentTypeAt(b)] = contentNonFramed
			return b
		}, wide, ErrMalformed, "frame length is 1 in a non-framed"},
		"content type 0": {v2, nil, func(b []byte) []byte {
			b[contentTypeAt(b)] = 0
			return b
		}, wide, ErrMalformed, "unknown content type 0x00"},
		"content type 3": {v1, nil, func(b []byte) []byte {
			b[contentTypeAt(b)] = 3
			return b
		}, wide, ErrMalformed, "unknown content type 0x03"},
		"reserved": {v1, nil, func(b []byte) []byte {
			b[contentTypeAt(b)+4] = 1
			return b
		}, wide, ErrMalformed, "reserved bytes"},
		"IV length": {v1, nil, func(b []byte) []byte {
			b[contentTypeAt(b)+5] = 16
			return b
		}, wide, ErrMalformed, "IV length is 16"},
		"provider not UTF-8": {v2, nil, func(b []byte) []byte {
			return bytes.Replace(b, []byte("aws-kms"), []byte("aws-km\xff"), 1)
		}, wide, ErrMalformed, "provider ID of encrypted data key 1"},
		"context not UTF-8": {v2, nil, func(b []byte) []byte {
			return bytes.Replace(b, []byte("patients"), []byte("patient\xff"), 1)
		}, wide, ErrMalformed, `value of key "table"`},
		"duplicate context key": {v2, func(h *Header) { h.Context = map[string]string{"k1": "a", "k2": "b"} }, func(b []byte) []byte {
			return bytes.Replace(b, []byte("k2"), []byte("k1"), 1)
		}, wide, ErrMalformed, `key "k1" stands twice`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHeader(c.suite)
			if c.header != nil {
				c.header(h)
			}
			wire := marshal(t, h)
			if c.wire != nil {
				wire = c.wire(wire)
			}
			for _, parse := range []func() (*Header, error){
				func() (*Header, error) { return ParseHeader(wire, c.limits) },
				func() (*Header, error) { return ReadHeader(bytes.NewReader(wire), c.limits) },
			} {
				got, err := parse()
				require.ErrorIs(t, err, c.is)
				assert.ErrorContains(t, err, c.says)
				assert.Nil(t, got)
			}
		})
	}
}

// set returns a change of the bytes from at on.
func set(at int, values ...byte) func([]byte) []byte {
	return func(b []byte) []byte {
		copy(b[at:], values)
		return b
	}
}

// noKeys leaves one empty key, since none does not marshal; cutKeys takes it out.
func noKeys(h *Header) {
	h.Context = nil
	h.EncryptedDataKeys = []EncryptedDataKey{{}}
}

func cutKeys(b []byte) []byte {
	const at = 1 + 2 + 32 + 2 // version, suite, message ID, empty context
	return slices.Concat(b[:at], []byte{0, 0}, b[at+2+6:])
}

func contentTypeAt(b []byte) int {
	h, err := ParseHeader(b, wide)
	if err == nil && h.Suite.Version == 1 {
		return h.BodyLen - 4 - 1 - 4 - 1
	}
	return len(b) - suite.TagLen - suite.CommitmentLen - 4 - 1
}

func TestHeaderMarshalBadInput(t *testing.T) {
	s := suite.ByID(0x0478)
	for name, c := range map[string]struct {
		change func(*Header)
		is     error
	}{
		"no keys":            {func(h *Header) { h.EncryptedDataKeys = nil }, ErrLimit},
		"too many keys":      {func(h *Header) { h.EncryptedDataKeys = make([]EncryptedDataKey, 1<<16) }, ErrLimit},
		"long provider":      {func(h *Header) { h.EncryptedDataKeys[0].ProviderID = strings.Repeat("x", 1<<16) }, ErrLimit},
		"long info":          {func(h *Header) { h.EncryptedDataKeys[0].ProviderInfo = make([]byte, 1<<16) }, ErrLimit},
		"long ciphertext":    {func(h *Header) { h.EncryptedDataKeys[1].Ciphertext = make([]byte, 1<<16) }, ErrLimit},
		"provider not UTF-8": {func(h *Header) { h.EncryptedDataKeys[0].ProviderID = "\xff" }, ErrMalformed},
		"long context":       {func(h *Header) { h.Context["k"] = strings.Repeat("x", 1<<16) }, ErrLimit},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHeader(s)
			c.change(h)
			got, err := h.AppendBody([]byte("before"))
			require.ErrorIs(t, err, c.is)
			assert.Equal(t, "before", string(got))
		})
	}
}

// hostileReader sends a header that claims the most keys of the greatest length,
// slowly, and counts what is taken.
type hostileReader struct {
	head []byte
	sent int
}

func (r *hostileReader) Read(p []byte) (int, error) {
	n := min(len(p), 7)
	for i := range p[:n] {
		p[i] = 0xff // each length 65,535, and content that is not text
		if r.sent < len(r.head) {
			p[i] = r.head[r.sent]
		}
		r.sent++
	}
	return n, nil
}

func TestHeaderHostileClaims(t *testing.T) {
	head := newHeader(suite.ByID(0x0478))
	head.Context = nil
	wire := marshal(t, head)
	keysAt := 1 + 2 + 32 + 2
	wire = append(wire[:keysAt], 0xff, 0xff)

	t.Run("count past the limit", func(t *testing.T) {
		r := &hostileReader{head: wire}
		_, err := ReadHeader(r, Limits{EncryptedDataKeys: 64, HeaderLen: math.MaxInt, FrameLength: 1})
		require.ErrorIs(t, err, ErrLimit)
		assert.LessOrEqual(t, r.sent, len(wire), "read on after the count")
	})
	t.Run("header past the limit", func(t *testing.T) {
		// Provider IDs of no bytes, so that only the lengths bound it.
		key := append([]byte{0, 0, 0, 0}, 0xff, 0xff)
		key = append(key, make([]byte, 1<<16-1)...)
		r := &hostileReader{head: slices.Concat(wire, bytes.Repeat(key, 8))}
		const limit = 256 << 10
		_, err := ReadHeader(r, Limits{EncryptedDataKeys: 1<<16 - 1, HeaderLen: limit, FrameLength: 1})
		require.ErrorIs(t, err, ErrLimit)
		assert.LessOrEqual(t, r.sent, limit)
	})
	t.Run("allocations follow what arrives", func(t *testing.T) {
		// A claim of 64 KiB of context, and then silence.
		short := append(slices.Clone(wire[:keysAt-2]), 0xff, 0xff)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const times = 100
		for range times {
			_, err := ReadHeader(bytes.NewReader(short), wide)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
		runtime.ReadMemStats(&after)
		assert.Less(t, (after.TotalAlloc-before.TotalAlloc)/times, uint64(8<<10))
	})
}

func TestFramePrefix(t *testing.T) {
	iv := []byte("nonce bytes!")
	regular := AppendRegularPrefix(nil, 7, iv)
	require.Len(t, regular, RegularPrefix)
	p, ok := ParseFramePrefix(regular)
	require.True(t, ok)
	assert.Equal(t, FramePrefix{Seq: 7, IV: iv, Len: RegularPrefix}, p)

	final := AppendFinalPrefix(nil, 8, iv, 99)
	require.Len(t, final, FinalPrefix)
	p, ok = ParseFramePrefix(final)
	require.True(t, ok)
	assert.Equal(t, FramePrefix{Final: true, Seq: 8, IV: iv, Len: FinalPrefix, N: 99}, p)

	for n := range regular {
		_, ok := ParseFramePrefix(regular[:n])
		assert.False(t, ok)
	}
	for n := range final {
		_, ok := ParseFramePrefix(final[:n])
		assert.False(t, ok)
	}
}

func TestBodyAAD(t *testing.T) {
	for _, id := range []string{strings.Repeat("i", 16), strings.Repeat("i", 32)} {
		aad := NewBodyAAD([]byte(id))
		assert.Equal(t, id+"AWSKMSEncryptionClient Frame\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x10\x00", string(aad.Regular(7, 4096)))
		assert.Equal(t, id+"AWSKMSEncryptionClient Final Frame\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00", string(aad.Final(8, 0)))
		assert.Equal(t, id+"AWSKMSEncryptionClient Single Block\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00", string(NonFramedAAD([]byte(id), 1<<32)))
	}
}

func TestFooter(t *testing.T) {
	sig := bytes.Repeat([]byte{9}, 103)
	got := AppendFooter(nil, sig)
	assert.EqualValues(t, 103, binary.BigEndian.Uint16(got))
	assert.Equal(t, sig, got[FooterPrefix:])
}

// FuzzHeader checks that what parses marshals to the same bytes, but for a
// context that is not in canonical form, and the same from a reader.
func FuzzHeader(f *testing.F) {
	for _, s := range suite.All() {
		h := newHeader(s)
		f.Add(marshal(f, h))
		h.Context, h.FrameLength = nil, 0
		f.Add(marshal(f, h))
	}
	limits := Limits{EncryptedDataKeys: 64, HeaderLen: 256 << 10, FrameLength: 16 << 20}
	f.Fuzz(func(t *testing.T, wire []byte) {
		h, err := ParseHeader(wire, limits)
		fromReader, errReader := ReadHeader(iotest.HalfReader(bytes.NewReader(wire)), limits)
		if err != nil {
			require.EqualError(t, errReader, err.Error())
			require.True(t, errors.Is(err, ErrMalformed) || errors.Is(err, ErrLimit) || errors.Is(err, io.ErrUnexpectedEOF), "%v", err)
			return
		}
		require.NoError(t, errReader)
		require.Equal(t, h.Raw, fromReader.Raw)
		require.Equal(t, wire[:len(h.Raw)], h.Raw)

		require.Equal(t, h.Raw, marshal(t, h))
		h.Stored = nil
		again := marshal(t, h)
		canonical, err := AppendContext(nil, h.Context)
		require.NoError(t, err)
		at := map[byte]int{1: 4 + 16, 2: 3 + 32}[h.Suite.Version]
		n := int(binary.BigEndian.Uint16(wire[at:]))
		if bytes.Equal(canonical, wire[at+2:at+2+n]) {
			require.Equal(t, h.Raw, again)
			return
		}
		back, err := ParseHeader(again, limits)
		require.NoError(t, err)
		back.Raw, back.BodyLen, back.Stored, h.Raw, h.BodyLen = nil, 0, nil, nil, 0
		require.Equal(t, h, back)
	})
}
