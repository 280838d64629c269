package interop

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// An exchange is one message, and how it is written and read.
type exchange struct {
	suite                      keyring.Suite
	writerPolicy, readerPolicy keyring.CommitmentPolicy
	frameLen                   int
	context, reproduced        keyring.EncryptionContext
	required                   []string // for the managers of both
}

// newExchange returns one that must succeed.
func newExchange(s keyring.Suite) exchange {
	p := keyring.RequireEncryptRequireDecrypt
	if !s.Commits() {
		p = keyring.ForbidEncryptAllowDecrypt
	}
	return exchange{suite: s, writerPolicy: p, readerPolicy: p, frameLen: 512, context: two}
}

type side interface {
	encrypt(t *testing.T, c exchange, plaintext []byte) ([]byte, error)
	decrypt(t *testing.T, c exchange, msg []byte) ([]byte, error)
}

// A direction is who writes and who reads.
type direction struct{ writer, reader side }

func (d direction) String() string { return fmt.Sprintf("%v to %v", d.writer, d.reader) }

func (k keyPair) directions() []direction {
	return []direction{
		{ours{k.oursWrites, false}, theirs{k.theirsReads}},
		{ours{k.oursWrites, true}, theirs{k.theirsReads}},
		{theirs{k.theirsWrites}, ours{k.oursReads, false}},
		{theirs{k.theirsWrites}, ours{k.oursReads, true}},
	}
}

// passes has a message of so many bytes read.
func (d direction) passes(t *testing.T, c exchange, size int, what string) {
	t.Helper()
	plaintext := make([]byte, size)
	rand.Read(plaintext)
	msg, err := d.writer.encrypt(t, c, plaintext)
	require.NoError(t, err, "%s: %v", what, d)
	got, err := d.reader.decrypt(t, c, msg)
	require.NoError(t, err, "%s: %v", what, d)
	require.True(t, string(plaintext) == string(got), "%s: %v: another plaintext", what, d)
}

// fails has a message refused.
func (d direction) fails(t *testing.T, c exchange, what string) {
	t.Helper()
	msg, err := d.writer.encrypt(t, c, []byte("plaintext"))
	require.NoError(t, err, "%s: %v", what, d)
	got, err := d.reader.decrypt(t, c, msg)
	assert.Error(t, err, "%s: %v", what, d)
	assert.Empty(t, got, "%s: %v", what, d)
}

var two = keyring.EncryptionContext{"tenant": "42", "table": "patients"}

// unicode has keys whose order in UTF-8 is another in UTF-16: U+FF5E and U+1F511.
var unicode = keyring.EncryptionContext{
	"～": "fullwidth tilde", "🔑": "key", "é": "ü", "ключ": "значение", "z": "𝄞", "a": "ascii",
}

func TestBodies(t *testing.T) {
	pair := aesPair(t, "interop", "aes", 32)
	for _, s := range suite.IDs[keyring.Suite]() {
		t.Run(s.String(), func(t *testing.T) {
			for _, frameLen := range []int{1, 512, 4096} {
				c := newExchange(s)
				c.frameLen = frameLen
				for _, size := range []int{0, 1, frameLen - 1, frameLen, frameLen + 1, 3*frameLen + 7} {
					for _, d := range pair.directions() {
						d.passes(t, c, size, fmt.Sprintf("%d bytes in frames of %d", size, frameLen))
					}
				}
			}
		})
	}
	t.Run("long", func(t *testing.T) {
		c := newExchange(keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384)
		for _, d := range pair.directions() {
			d.passes(t, c, 1<<20, "1 MiB")
		}
	})
}

func TestKeyrings(t *testing.T) {
	for _, k := range allKeyPairs(t) {
		t.Run(k.name, func(t *testing.T) {
			for _, s := range suite.IDs[keyring.Suite]() {
				c := newExchange(s)
				c.reproduced = c.context
				for _, d := range k.directions() {
					d.passes(t, c, 519, s.String())
				}
			}
		})
	}
}

func TestOtherKeyringsRefuse(t *testing.T) {
	key, other := aesPair(t, "interop", "aes", 32), aesPair(t, "interop", "aes", 32)
	key.oursReads, key.theirsReads = other.oursReads, other.theirsReads
	for _, d := range key.directions() {
		d.fails(t, newExchange(keyring.SuiteAES256GCMHKDFSHA512Commit), "another key of that name")
	}
}

func TestContexts(t *testing.T) {
	pair := aesPair(t, "interop", "aes", 32)
	for name, context := range map[string]keyring.EncryptionContext{
		"none":                   nil,
		"unicode":                unicode,
		"empty value":            {"k": ""},
		"empty key":              {"": "v"},
		"private use and astral": {"\uffff": "1", "\U00010000": "2", "\ue000": "3", "\U0010ffff": "4"},
		"prefixes":               {"a": "1", "aa": "2", "ab": "3", "a\u0301": "4", "á": "5"},
		"control characters":     {"a\x00b": "\x00", "\n": "\t", "\x7f": "\u2028"},
		"case":                   {"Key": "1", "key": "2", "KEY": "3"},
		"long":                   {"k": strings.Repeat("v", 60_000)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range []keyring.Suite{
				keyring.SuiteAES256GCMHKDFSHA256, keyring.SuiteAES256GCMHKDFSHA512Commit, keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384,
			} {
				c := newExchange(s)
				c.context = context
				for _, d := range pair.directions() {
					d.passes(t, c, 10, s.String())
					c := c
					c.reproduced = context
					d.passes(t, c, 10, s.String()+", reproduced")
				}
			}
		})
	}
}

func TestContradictedContexts(t *testing.T) {
	pair := aesPair(t, "interop", "aes", 32)
	for _, s := range suite.IDs[keyring.Suite]() {
		c := newExchange(s)
		for _, reproduced := range []keyring.EncryptionContext{{"tenant": "43"}, {"tenant": "42", "row": "7"}} {
			c.reproduced = reproduced
			for _, d := range pair.directions() {
				d.fails(t, c, s.String())
			}
		}
	}
}

// TestRequiredContexts has pairs that are authenticated and not stored.
func TestRequiredContexts(t *testing.T) {
	pair := aesPair(t, "interop", "aes", 32)
	for _, s := range suite.IDs[keyring.Suite]() {
		t.Run(s.String(), func(t *testing.T) {
			for _, required := range [][]string{{"🔑", "～"}, {"z", "é", "ключ"}, slices.Sorted(maps.Keys(unicode))} {
				c := newExchange(s)
				c.context, c.required = unicode, required
				only := keyring.EncryptionContext{}
				for _, k := range required {
					only[k] = unicode[k]
				}
				wrong, missing := maps.Clone(unicode), maps.Clone(unicode)
				wrong[required[0]] = "wrong"
				delete(missing, required[0])
				for _, d := range pair.directions() {
					for what, reproduced := range map[string]keyring.EncryptionContext{"all": unicode, "those required": only} {
						c := c
						c.reproduced = reproduced
						d.passes(t, c, 10, what)
					}
					for what, reproduced := range map[string]keyring.EncryptionContext{"wrong": wrong, "missing": missing, "none": nil} {
						c := c
						c.reproduced = reproduced
						d.fails(t, c, what)
					}
				}
			}
		})
	}
}

func TestPolicies(t *testing.T) {
	pair := aesPair(t, "interop", "aes", 32)
	for _, s := range suite.IDs[keyring.Suite]() {
		for p := range awsPolicies {
			c := newExchange(s)
			c.readerPolicy = p
			for _, d := range pair.directions() {
				if !s.Commits() && p == keyring.RequireEncryptRequireDecrypt {
					d.fails(t, c, s.String())
				} else {
					d.passes(t, c, 10, s.String())
				}
			}
		}
	}
}
