package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/suite"
)

// These tests hold the edges that a reader of the code takes for granted: each was found by a
// change of the code that no other test noticed.

func TestRegularFrames(t *testing.T) {
	for _, c := range [][3]int64{{0, 10, 0}, {1, 10, 0}, {10, 10, 0}, {11, 10, 1}, {20, 10, 1}, {21, 10, 2}, {5, 1, 4}, {0, 1, 0}, {1, 1, 0}, {2, 1, 1}} {
		assert.Equal(t, c[2], RegularFrames(c[0], c[1]), "%d bytes in frames of %d", c[0], c[1])
	}
}

func TestConstants(t *testing.T) {
	assert.Equal(t, 20, NonFramedPrefix)
	assert.Equal(t, 65535, MaxContextLen)
	assert.Equal(t, int64(math.MaxUint32), int64(EndMarker))
	assert.Equal(t, int64(math.MaxUint32), int64(MaxFrames))
	assert.Equal(t, int64(68_719_476_704), int64(MaxNonFramed))
}

func TestHeaderLen(t *testing.T) {
	eachSuite(t, func(t *testing.T, h *Header, wire []byte) {
		unparsed := &Header{Suite: h.Suite}
		stored, err := AppendStored(nil, h.Context, h.EncryptedDataKeys)
		require.NoError(t, err)
		unparsed.Stored = stored
		assert.Equal(t, len(wire), unparsed.Len())
	})
}

// TestHeaderAliases checks that nothing of a parsed header can be appended to over what comes
// after it in the message.
func TestHeaderAliases(t *testing.T) {
	eachSuite(t, func(t *testing.T, _ *Header, wire []byte) {
		msg := append(slices.Clone(wire), "body"...)
		h, err := ParseHeader(msg, wide)
		require.NoError(t, err)
		for name, part := range map[string][]byte{"Raw": h.Raw, "Stored": h.Stored, "MessageID": h.MessageID, "Commitment": h.Commitment, "Tag": h.Tag} {
			assert.Equal(t, len(part), cap(part), name)
		}
		p, ok := ParseFramePrefix(append(AppendRegularPrefix(nil, 7, make([]byte, suite.IVLen)), "content"...))
		require.True(t, ok)
		assert.Len(t, p.IV, suite.IVLen)
	})
}

// TestLimitsAreInclusive has headers that are as long as a limit allows, and one byte longer.
func TestLimitsAreInclusive(t *testing.T) {
	eachSuite(t, func(t *testing.T, h *Header, wire []byte) {
		exact := Limits{len(h.EncryptedDataKeys), len(wire), h.FrameLength}
		_, err := ParseHeader(wire, exact)
		require.NoError(t, err)
		for _, less := range []Limits{
			{exact.EncryptedDataKeys - 1, exact.HeaderLen, exact.FrameLength},
			{exact.EncryptedDataKeys, exact.HeaderLen - 1, exact.FrameLength},
			{exact.EncryptedDataKeys, exact.HeaderLen, exact.FrameLength - 1},
		} {
			_, err := ParseHeader(wire, less)
			require.ErrorIs(t, err, ErrLimit)
		}
	})
}

func TestNothingIsEmpty(t *testing.T) {
	_, err := ParseHeader(nil, wide)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.EqualError(t, err, errEmpty.Error())
	_, err = ReadHeader(bytes.NewReader(nil), wide)
	require.EqualError(t, err, errEmpty.Error())
	for _, parse := range []func() (*Header, error){
		func() (*Header, error) { return ParseHeader([]byte{2}, wide) },
		func() (*Header, error) { return ReadHeader(bytes.NewReader([]byte{2}), wide) },
	} {
		_, err := parse()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.NotContains(t, err.Error(), "the message is empty")
	}
}

func TestHeaderFormNonFramed(t *testing.T) {
	h := newHeader(suite.ByID(0x0478))
	for _, n := range []uint32{0, 1} {
		h.FrameLength = n
		body, err := h.AppendBody(nil)
		require.NoError(t, err)
		content := body[len(body)-4-1-suite.CommitmentLen]
		assert.Equal(t, map[uint32]byte{0: contentNonFramed, 1: contentFramed}[n], content)
	}
	// Stored is written in the place of what it was made of.
	h.Stored = []byte("stored")
	body, err := h.AppendBody(nil)
	require.NoError(t, err)
	require.Contains(t, string(body), "stored")
}

func TestParseStoredRefuses(t *testing.T) {
	h := newHeader(suite.ByID(0x0478))
	stored, err := AppendStored(nil, h.Context, h.EncryptedDataKeys)
	require.NoError(t, err)
	for n := range stored {
		_, _, err := ParseStored[EncryptedDataKey](stored[:n])
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d bytes", n)
	}
	_, _, err = ParseStored[EncryptedDataKey](append(slices.Clone(stored), 0))
	require.ErrorIs(t, err, ErrMalformed)
	bad := bytes.Replace(stored, []byte("patients"), []byte("patient\xff"), 1)
	_, _, err = ParseStored[EncryptedDataKey](bad)
	require.ErrorIs(t, err, ErrMalformed)
	require.ErrorContains(t, err, "encryption context")

	// The shortest keys that there are, and a count that is one too many.
	shortest, err := AppendStored(nil, nil, make([]EncryptedDataKey, 3))
	require.NoError(t, err)
	_, keys, err := ParseStored[EncryptedDataKey](shortest)
	require.NoError(t, err)
	require.Len(t, keys, 3)
	require.Equal(t, 3, cap(keys))
	shortest[3] = 4
	_, _, err = ParseStored[EncryptedDataKey](shortest)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "encrypted data keys", "not one by one: the count alone says it")
}

func TestAppendStoredEdges(t *testing.T) {
	keys := make([]EncryptedDataKey, math.MaxUint16)
	_, err := AppendStored(nil, nil, keys)
	require.NoError(t, err)
	_, err = AppendStored(nil, nil, append(keys, EncryptedDataKey{}))
	require.ErrorIs(t, err, ErrLimit)

	field := make([]byte, math.MaxUint16)
	longest := []EncryptedDataKey{{strings.Repeat("x", len(field)), field, field}}
	stored, err := AppendStored(nil, nil, longest)
	require.NoError(t, err)
	require.Len(t, stored, 4+3*(2+math.MaxUint16))
	for name, k := range map[string]EncryptedDataKey{
		"provider": {ProviderID: strings.Repeat("x", len(field)+1)}, "info": {ProviderInfo: append(field, 0)}, "ciphertext": {Ciphertext: append(field, 0)},
	} {
		_, err := AppendStored(nil, nil, []EncryptedDataKey{{}, k})
		require.ErrorIs(t, err, ErrLimit, name)
		require.ErrorContains(t, err, "key 2 ")
	}
	got, err := AppendStored([]byte("before"), nil, []EncryptedDataKey{{}, {ProviderID: "\xff"}})
	require.ErrorIs(t, err, ErrMalformed)
	require.ErrorContains(t, err, "key 2 ")
	require.Equal(t, "before", string(got))
	got, err = AppendStored([]byte("before"), map[string]string{"k": "\xff"}, longest)
	require.ErrorIs(t, err, ErrMalformed)
	require.Equal(t, "before", string(got))
}

func TestStoresKeys(t *testing.T) {
	keys := []EncryptedDataKey{{"p", []byte("i"), []byte("c")}, {"q", nil, []byte("d")}}
	stored, err := AppendStored(nil, map[string]string{"k": "v"}, keys)
	require.NoError(t, err)
	require.True(t, StoresKeys(stored, keys))
	for n := range stored {
		require.False(t, StoresKeys(stored[:n], keys))
	}
	require.False(t, StoresKeys(append(slices.Clone(stored), 0), keys))
	require.False(t, StoresKeys(stored, keys[:1]))
	require.False(t, StoresKeys(nil, keys[:0]))
	require.False(t, StoresKeys([]byte{0, 0, 0, 1}, keys[:0]), "a count without its keys")
	require.False(t, StoresKeys(stored, append(keys[:2:2], keys[0])))
	for name, change := range map[string]func(*EncryptedDataKey){
		"provider":   func(k *EncryptedDataKey) { k.ProviderID = "r" },
		"info":       func(k *EncryptedDataKey) { k.ProviderInfo = []byte("j") },
		"ciphertext": func(k *EncryptedDataKey) { k.Ciphertext = []byte("e") },
	} {
		for i := range keys {
			other := slices.Clone(keys)
			change(&other[i])
			require.False(t, StoresKeys(stored, other), "%s of %d", name, i)
		}
	}
}

// TestConfirmsCutShort has what is stored end early, as no header does that was parsed.
func TestConfirmsCutShort(t *testing.T) {
	pairs := map[string]string{"a": "1", "b": "2"}
	stored, err := AppendStored(nil, pairs, make([]EncryptedDataKey, 1))
	require.NoError(t, err)
	require.True(t, Stores(stored, pairs))
	end := 2 + 2 + 2*(2+1+2+1)
	for n := range end {
		require.False(t, Stores(stored[:n], pairs), "%d bytes", n)
	}
	// A count that is too high.
	stored[3] = 3
	require.True(t, Stores(stored, pairs))
	// One key that stands twice is not two.
	stored[3] = 2
	twice := bytes.Replace(stored, []byte("b\x00\x012"), []byte("a\x00\x011"), 1)
	require.False(t, Stores(twice, pairs))
	require.False(t, Stores(twice, map[string]string{"a": "1"}))
}

func TestNotStored(t *testing.T) {
	cause := errors.New("cause")
	var keys []string
	for i := 9; i > 0; i-- {
		keys = append(keys, fmt.Sprint("k", i))
	}
	given := slices.Clone(keys)
	err := NotStored(cause, keys)
	require.ErrorIs(t, err, cause)
	require.ErrorIs(t, err, ErrContextMismatch)
	require.ErrorContains(t, err, `["k1" "k2" "k3" "k4" "k5" "k6" "k7" "k8"] and 1 others`)
	require.Equal(t, given, keys, "the caller's were changed")
	err = NotStored(cause, keys[1:])
	require.ErrorContains(t, err, `"k8"], and`)
}

func TestClip(t *testing.T) {
	require.Equal(t, strings.Repeat("x", 64), clip(strings.Repeat("x", 64)))
	require.Equal(t, strings.Repeat("x", 64)+"...", clip(strings.Repeat("x", 65)))
}

// TestContextChecker checks that it finds what AppendContext finds, and no more.
func TestContextChecker(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		context map[string]string
		is      error
	}{
		"none":               {nil, nil},
		"one":                {map[string]string{"k": "v"}, nil},
		"longest key":        {map[string]string{long(MaxContextLen - 6): ""}, nil},
		"longest value":      {map[string]string{"": long(MaxContextLen - 6)}, nil},
		"longer key":         {map[string]string{long(MaxContextLen - 5): ""}, ErrLimit},
		"longer value":       {map[string]string{"": long(MaxContextLen - 5)}, ErrLimit},
		"longest of two":     {map[string]string{"a": long(30_000), "b": long(MaxContextLen - 2 - 30_000 - 4 - 1 - 4 - 1)}, nil},
		"longer of two":      {map[string]string{"a": long(30_000), "b": long(MaxContextLen - 2 - 30_000 - 4 - 1 - 4)}, ErrLimit},
		"key that is bad":    {map[string]string{"\xff": ""}, ErrMalformed},
		"value that is bad":  {map[string]string{"": "\xff"}, ErrMalformed},
		"both past 16 bits":  {map[string]string{long(MaxContextLen + 1): long(MaxContextLen + 1)}, ErrLimit},
		"one past 16 bits":   {map[string]string{"k": long(MaxContextLen + 1)}, ErrLimit},
		"other past 16 bits": {map[string]string{long(MaxContextLen + 1): "v"}, ErrLimit},
	} {
		_, err := AppendContext(nil, c.context)
		require.ErrorIs(t, err, c.is, name)
		require.Equal(t, err, CheckContext(c.context), name)
		var checker ContextChecker
		var last error
		for k, v := range c.context {
			if last == nil {
				last = checker.Add(k, v)
			}
		}
		require.Equal(t, err, last, name)
	}
}

func TestSplitContext(t *testing.T) {
	context := map[string]string{"a": "1", "b": "2", "c": ""}
	kept := map[string]string{"a": "1", "b": "2", "c": ""}
	stored, authenticated := SplitContext(context, nil)
	require.Equal(t, kept, stored)
	require.Nil(t, authenticated)
	for _, c := range []struct {
		required              []string
		stored, authenticated map[string]string
	}{
		{[]string{"b"}, map[string]string{"a": "1", "c": ""}, map[string]string{"b": "2"}},
		{[]string{"c"}, map[string]string{"a": "1", "b": "2"}, map[string]string{"c": ""}},
		{[]string{"x"}, kept, map[string]string{}},
		{[]string{"a", "b", "c"}, map[string]string{}, kept},
	} {
		stored, authenticated := SplitContext(context, c.required)
		require.Equal(t, c.stored, stored)
		require.Equal(t, c.authenticated, authenticated)
		require.Equal(t, kept, context, "the caller's was changed")
	}
}

// TestStoredCutShort looks into what ends early, as no header does that was parsed.
func TestStoredCutShort(t *testing.T) {
	pairs := map[string]string{"a": "1", "b": "2"}
	stored, err := AppendStored(nil, pairs, make([]EncryptedDataKey, 1))
	require.NoError(t, err)
	end := 2 + 2 + 2*(2+1+2+1)
	require.True(t, StoresJust(stored, pairs))
	for n := range end {
		require.False(t, StoresJust(stored[:n], pairs), "%d bytes", n)
		_, ok := FindPair(stored[:n], "b")
		require.False(t, ok, "%d bytes", n)
	}
	// The pairs end before their count.
	short := slices.Clone(stored)
	short[1] -= 6
	require.False(t, StoresJust(short[:end-6], pairs))
	_, ok := FindPair(short[:end-6], "b")
	require.False(t, ok)
	require.False(t, Stores(short[:end-6], pairs))
}

// TestLongFieldsReadNoMore has fields that are read in several steps.
func TestLongFieldsReadNoMore(t *testing.T) {
	for _, n := range []int{511, 512, 513, 1000, 1537, 5000, math.MaxUint16} {
		h := newHeader(suite.ByID(0x0478))
		h.EncryptedDataKeys[0].Ciphertext = make([]byte, n)
		wire := marshal(t, h)
		r := bytes.NewReader(append(slices.Clone(wire), make([]byte, 100_000)...))
		got, err := ReadHeader(r, wide)
		require.NoError(t, err)
		require.Equal(t, wire, got.Raw)
		require.Equal(t, 100_000, r.Len(), "a field of %d bytes", n)
	}
}

func TestStoresEmptyKey(t *testing.T) {
	pairs := map[string]string{"": "1", "b": ""}
	stored, err := AppendStored(nil, pairs, make([]EncryptedDataKey, 1))
	require.NoError(t, err)
	require.True(t, Stores(stored, pairs))
	require.True(t, StoresJust(stored, pairs))
	v, ok := FindPair(stored, "")
	require.True(t, ok)
	require.Equal(t, "1", string(v))
}
