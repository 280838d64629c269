package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/go-sealring/sealring/internal/peerkey"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// The groups of cells, in the order in which they are run and printed.
const (
	groupSuites     = "suites"
	groupFrames     = "frames"
	groupKeyrings   = "keyrings"
	groupContexts   = "contexts"
	groupReproduced = "reproduced contexts"
	groupRequired   = "required contexts"
	groupPolicies   = "policies"
	groupWrongKeys  = "wrong keys"
	groupMaster     = "master keys"
	groupSorting    = "sorted by locale"
	groupAltered    = "altered"
	groupRandom     = "random"
	groupKMS        = "KMS"
	groupBranchKeys = "branch keys"
)

var groups = []string{
	groupSuites, groupFrames, groupKeyrings, groupContexts, groupReproduced, groupRequired, groupPolicies, groupWrongKeys,
	groupMaster, groupSorting, groupAltered, groupRandom, groupKMS, groupBranchKeys,
}

const (
	legacy   = keyring.SuiteAES256GCMHKDFSHA256
	unsigned = keyring.SuiteAES256GCMHKDFSHA512Commit
	signed   = keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384
)

var allSuites = suite.IDs[keyring.Suite]()

var two = keyring.EncryptionContext{"tenant": "42", "table": "patients"}

// unicode has keys whose order in UTF-8 is another in UTF-16: U+FF5E and U+1F511.
var unicode = keyring.EncryptionContext{
	"～": "fullwidth tilde", "🔑": "key", "é": "ü", "ключ": "значение", "z": "𝄞", "a": "ascii",
}

// A maker makes the cells for one peer.
type maker struct {
	services *services
	seed     uint64
	quick    bool   // fewer of each
	ways     []cell // in which what is streamed is asked
	cells    []*cell
}

// cellsFor returns the cells for a peer. Keys are new each time.
func cellsFor(s *services, seed uint64, quick, pushes bool) []*cell {
	m := &maker{services: s, seed: seed, quick: quick, ways: streamed}
	if pushes {
		m.ways = pushed
	}
	key := aesSpec("interop", "aes", 32)
	m.suites(key)
	m.frames(key)
	m.keyrings()
	m.contexts(key)
	m.reproduced(key)
	m.required(key)
	m.policies(key)
	m.wrongKeys()
	m.masterKeys()
	m.sorting()
	m.altered()
	m.random()
	m.kms()
	if s.moto != "" {
		m.branchKeys()
	}
	return m.cells
}

func (m *maker) add(group, name string, x exchange) {
	m.cells = append(m.cells, directions(group, name, x, whole)...)
}

func (m *maker) addStreamed(group, name string, x exchange) {
	m.cells = append(m.cells, directions(group, name, x, m.ways)...)
}

// some returns all suites, or with -quick three.
func (m *maker) some() []keyring.Suite {
	if m.quick {
		return []keyring.Suite{legacy, unsigned, signed}
	}
	return allSuites
}

// around returns sizes around the boundaries of frames.
func around(frame int) []int {
	sizes := []int{0, 1, 15, 16, 17, frame - 1, frame, frame + 1, 2*frame - 1, 2 * frame, 2*frame + 1, 3*frame + 7}
	slices.Sort(sizes)
	sizes = slices.Compact(sizes)
	return slices.DeleteFunc(sizes, func(n int) bool { return n > 3<<20 })
}

func (m *maker) suites(key *peerkey.Spec) {
	for _, s := range allSuites {
		x := newExchange(s, key)
		x.frame = 128
		sizes := around(128)
		if m.quick {
			sizes = []int{0, 1, 128, 391}
		}
		for _, x.size = range sizes {
			m.addStreamed(groupSuites, fmt.Sprintf("%v, %d bytes", s, x.size), x)
		}
		x.frame = 0
		for _, x.size = range []int{0, 1, 519} {
			m.addStreamed(groupSuites, fmt.Sprintf("%v, %d bytes, not framed", s, x.size), x)
		}
	}
}

func (m *maker) frames(key *peerkey.Spec) {
	lengths := []int{1, 2, 16, 127, 128, 129, 512, 1000, 4096, 65536, 65664, 1 << 20}
	if m.quick {
		lengths = []int{1, 128, 4096, 1 << 20}
	}
	for _, s := range []keyring.Suite{legacy, unsigned, signed} {
		for _, frame := range lengths {
			x := newExchange(s, key)
			x.frame = frame
			sizes := around(frame)
			if m.quick {
				sizes = []int{frame - 1, frame + 1}
			} else if s != unsigned && frame >= 65536 {
				sizes = []int{0, frame, frame + 1}
			}
			for _, x.size = range sizes {
				m.addStreamed(groupFrames, fmt.Sprintf("%v, %d bytes in frames of %d", s, x.size, frame), x)
			}
		}
		x := newExchange(s, key)
		x.size = 5<<20 + 1
		if !m.quick || s == signed {
			m.addStreamed(groupFrames, fmt.Sprintf("%v, %d bytes in frames of %d", s, x.size, x.frame), x)
		}
		if x.frame, x.size = 1, 20_000; !m.quick || s == unsigned {
			m.add(groupFrames, fmt.Sprintf("%v, %d frames", s, x.size), x)
		}
	}
}

func (m *maker) keyrings() {
	for _, k := range rawPairs() {
		for _, s := range m.some() {
			x := newExchange(s, k.writes)
			x.reads = k.reads
			m.add(groupKeyrings, fmt.Sprintf("%s, %v", k.name, s), x)
		}
	}
}

func (m *maker) contexts(key *peerkey.Spec) {
	many := keyring.EncryptionContext{}
	for i := range 500 {
		many[fmt.Sprintf("key %d", i)] = fmt.Sprint(i)
	}
	all := map[string]keyring.EncryptionContext{
		"none":                   nil,
		"unicode":                unicode,
		"empty value":            {"k": ""},
		"empty key":              {"": "v"},
		"empty key and value":    {"": ""},
		"private use and astral": {"\uffff": "1", "\U00010000": "2", "\ue000": "3", "\U0010ffff": "4", "😀": "🔑", "～": "5"},
		"prefixes":               {"a": "1", "aa": "2", "ab": "3", "a\u0301": "4", "á": "5"},
		"control characters":     {"a\x00b": "\x00", "\n": "\t", "\x7f": "\u2028", "\ufeff": "\ufeff"},
		"case":                   {"Key": "1", "key": "2", "KEY": "3"},
		"names of languages":     {"__proto__": "1", "constructor": "2", "toString": "3", "__class__": "4", "null": "null", "0": "1"},
		"value of 32766 bytes":   {"k": strings.Repeat("v", 32766)},
		"value of 32767 bytes":   {"k": strings.Repeat("v", 32767)},
		"key of 32767 bytes":     {strings.Repeat("k", 32767): "v"},
		"value of 65000 bytes":   {"k": strings.Repeat("é", 32500)},
		"500 pairs":              many,
	}
	for _, name := range keysOf(all) {
		for _, s := range []keyring.Suite{legacy, unsigned, signed} {
			x := newExchange(s, key)
			x.context, x.size = all[name], 10
			m.add(groupContexts, fmt.Sprintf("%s, %v", name, s), x)
		}
	}
}

func (m *maker) reproduced(key *peerkey.Spec) {
	for _, s := range m.some() {
		for name, reproduced := range inOrder(map[string]keyring.EncryptionContext{
			"all": unicode, "a part": {"～": "fullwidth tilde", "🔑": "key"}, "contradicted": {"🔑": "another"},
			"more": {"🔑": "key", "row": "7"}, "another case": {"A": "ascii"},
		}) {
			x := newExchange(s, key)
			x.context, x.reproduced, x.size = unicode, reproduced, 10
			x.readerRefuses = name != "all" && name != "a part"
			m.add(groupReproduced, fmt.Sprintf("%s, %v", name, s), x)
		}
	}
}

// inOrder goes through a map in the order of its keys.
func inOrder[V any](m map[string]V) func(func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, k := range keysOf(m) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

func (m *maker) required(key *peerkey.Spec) {
	sets := map[string][]string{"two of six": {"🔑", "～"}, "three of six": {"z", "é", "ключ"}, "all": keysOf(unicode)}
	if m.quick {
		sets = map[string][]string{"two of six": {"🔑", "～"}}
	}
	for _, s := range m.some() {
		for set, required := range inOrder(sets) {
			only := keyring.EncryptionContext{}
			for _, k := range required {
				only[k] = unicode[k]
			}
			wrong, missing := maps.Clone(unicode), maps.Clone(unicode)
			wrong[required[0]] = "wrong"
			delete(missing, required[0])
			for what, reproduced := range inOrder(map[string]keyring.EncryptionContext{
				"all given": unicode, "those given": only, "one wrong": wrong, "one missing": missing, "none given": nil,
			}) {
				x := newExchange(s, key)
				x.context, x.required, x.reproduced, x.size = unicode, required, reproduced, 10
				x.readerRefuses = what != "all given" && what != "those given"
				m.add(groupRequired, fmt.Sprintf("%s, %s, %v", set, what, s), x)
			}
			x := newExchange(s, key)
			x.required, x.writerRefuses = required, true
			m.add(groupRequired, fmt.Sprintf("%s, the writer lacks them, %v", set, s), x)
		}
	}
}

func (m *maker) policies(key *peerkey.Spec) {
	for _, s := range allSuites {
		for _, p := range slices.Sorted(maps.Keys(policies)) {
			name := policies[p]
			x := newExchange(s, key)
			x.readerPolicy, x.size = p, 10
			x.readerRefuses = !s.Commits() && p == keyring.RequireEncryptRequireDecrypt
			m.add(groupPolicies, fmt.Sprintf("read under %s, %v", name, s), x)
			x = newExchange(s, key)
			x.writerPolicy, x.size = p, 10
			x.readerPolicy = keyring.RequireEncryptAllowDecrypt
			x.writerRefuses = s.Commits() == (p == keyring.ForbidEncryptAllowDecrypt)
			m.add(groupPolicies, fmt.Sprintf("written under %s, %v", name, s), x)
		}
	}
}

func (m *maker) wrongKeys() {
	named := *aesSpec("interop", "aes", 32)
	renamed := func(namespace, name string) *peerkey.Spec {
		s := named
		s.Namespace, s.Name = namespace, name
		return &s
	}
	oaep := rsaSpec("OAEP-SHA256", rsaKeys()[0])
	p256, other := ecdhPairs("P-256"), ecdhPairs("P-256")
	several := multiPairs("", []keyPair{same("", aesSpec("interop", "1", 32)), same("", aesSpec("interop", "2", 16)), same("", oaep)})[0].writes
	for _, k := range []keyPair{
		{"AES, another key of that name", &named, aesSpec("interop", "aes", 32)},
		{"AES, another size of that name", &named, aesSpec("interop", "aes", 16)},
		{"AES, another name", &named, renamed("interop", "aes2")},
		{"AES, another namespace", &named, renamed("Interop", "aes")},
		{"RSA, another key", oaep, rsaSpec("OAEP-SHA256", rsaKeys()[1])},
		{"RSA, another padding", oaep, rsaSpec("OAEP-SHA1", rsaKeys()[0])},
		{"RSA for AES", oaep, &named},
		{"ECDH, another recipient", p256[3].writes, other[3].reads},
		{"ECDH, another sender", p256[0].writes, other[0].reads},
		{"multi, none of them", several, aesSpec("interop", "1", 32)},
		{"multi, none of several", several, multiPairs("", []keyPair{same("", aesSpec("interop", "1", 32)), same("", rsaSpec("OAEP-SHA256", rsaKeys()[1]))})[0].writes},
	} {
		for _, s := range []keyring.Suite{legacy, unsigned, signed} {
			x := newExchange(s, k.writes)
			x.reads, x.readerRefuses, x.size = k.reads, true, 10
			m.add(groupWrongKeys, fmt.Sprintf("%s, %v", k.name, s), x)
		}
	}
}

// masterKeys are what older releases had in place of keyrings.
func (m *maker) masterKeys() {
	master := func(s *peerkey.Spec) *peerkey.Spec {
		k := *s
		k.Kind, k.Of = "master-key", s.Kind
		return &k
	}
	key := m.services.symmetric("kms")
	mrk, replica := m.services.multiRegion()
	pairs := []keyPair{
		same("KMS", master(key)),
		{"KMS discovery", master(key), master(m.services.discovery("kms-discovery", here, account(key.Key)))},
		{"KMS multi-Region", master(mrk), master(replica)},
	}
	for _, size := range []int{16, 24, 32} {
		pairs = append(pairs, same(fmt.Sprintf("AES-%d", 8*size), master(aesSpec("interop", "aes", size))))
	}
	for _, padding := range keysOf(peerkey.Paddings) {
		pairs = append(pairs, same("RSA "+padding, master(rsaSpec(padding, rsaKeys()[0]))))
	}
	for _, k := range pairs {
		for _, s := range m.some() {
			x := newExchange(s, k.writes)
			x.reads = k.reads
			m.add(groupMaster, fmt.Sprintf("%s, %v", k.name, s), x)
		}
	}
	x := newExchange(unsigned, master(aesSpec("interop", "aes", 32)))
	x.context, x.size = keyring.EncryptionContext{"a": strings.Repeat("v", 20_000), "b": strings.Repeat("v", 20_000)}, 10
	m.add(groupMaster, "AES-256, a context of 40 KB", x)
}

// sorting has a keyring of a peer sort the context in another order than the message, which is
// no order of the format.
func (m *maker) sorting() {
	key := *aesSpec("interop", "aes", 32)
	key.LocaleSorting = true
	for _, s := range []keyring.Suite{legacy, unsigned, signed} {
		for name, ec := range inOrder(map[string]keyring.EncryptionContext{"lower case": two, "both cases": {"Table": "patients", "tenant": "42", "b": "1", "A": "2"}}) {
			x := newExchange(s, &key)
			x.context, x.size = ec, 10
			m.add(groupSorting, fmt.Sprintf("%s, %v", name, s), x)
		}
	}
}

func (m *maker) altered() {
	key := aesSpec("n", "k", 16)
	suites := []keyring.Suite{keyring.SuiteAES128GCM, legacy, keyring.SuiteAES256GCMHKDFSHA384ECDSAP384, unsigned, signed}
	if m.quick {
		suites = []keyring.Suite{unsigned, signed}
	}
	for _, s := range suites {
		for _, theirs := range []bool{false, true} {
			for _, framed := range []bool{true, false} {
				if !framed && !theirs {
					continue
				}
				x := newExchange(s, key)
				x.context = keyring.EncryptionContext{"t": "42"}
				name := s.String()
				switch {
				case !framed:
					x.frame, x.size, name = 0, 20, name+", not framed"
				case theirs: // Python's frames are no shorter
					x.frame, x.size = 128, 133
				default:
					x.frame, x.size = 4, 10
				}
				ways := m.ways
				if theirs { // and this library reads in all its ways
					ways = whole
				}
				for _, part := range partsOf(&x) {
					for _, w := range ways {
						m.cells = append(m.cells, &cell{
							group: groupAltered, name: name + ": " + part, exchange: x, theirs: theirs,
							stream: w.stream, push: w.push, part: part, edges: m.quick && w.stream,
						})
					}
				}
			}
		}
	}
}

// random are exchanges at random, the same each time for a seed, but for their keys.
func (m *maker) random() {
	n := 400
	if m.quick {
		n = 40
	}
	var pairs []keyPair
	for _, k := range rawPairs() {
		if !strings.Contains(k.name, "ECDH") { // which not all have
			pairs = append(pairs, k)
		}
	}
	r := rand.New(rand.NewPCG(m.seed, 0))
	for i := range n {
		k := pairs[r.IntN(len(pairs))]
		x := newExchange(allSuites[r.IntN(len(allSuites))], k.writes)
		x.reads, x.frame, x.context = k.reads, 128<<r.IntN(8), keyring.EncryptionContext{}
		x.size = r.IntN(5 * x.frame)
		for range r.IntN(8) {
			x.context[randomText(r, 1)] = randomText(r, 1)
		}
		m.addStreamed(groupRandom, fmt.Sprintf("number %d, %v, %s, %d bytes in frames of %d", i, x.suite, k.name, x.size, x.frame), x)
	}
}

// randomText returns text of some planes, of so many characters or more.
func randomText(r *rand.Rand, least int) string {
	var b strings.Builder
	for range least + r.IntN(12) {
		switch r.IntN(5) {
		case 0:
			b.WriteRune(rune(0x20 + r.IntN(0x5f)))
		case 1:
			b.WriteRune(rune(0xa0 + r.IntN(0x400)))
		case 2:
			b.WriteRune(rune(0x3000 + r.IntN(0xa000)))
		case 3:
			b.WriteRune(rune(0xe000 + r.IntN(0x2000)))
		default:
			b.WriteRune(rune(0x10000 + r.IntN(0x100000)))
		}
	}
	return b.String()
}

func (m *maker) kms() {
	s := m.services
	for _, k := range s.kmsPairs() {
		for _, id := range m.some() {
			x := newExchange(id, k.writes)
			x.reads = k.reads
			// Whoever has an RSA key's public half can write: a signature would prove
			// nothing, and the specification forbids it.
			x.writerRefuses = k.writes.Kind == "kms-rsa" && id.Signs()
			m.add(groupKMS, fmt.Sprintf("%s, %v", k.name, id), x)
		}
	}
	key, other := s.symmetric("kms"), s.symmetric("kms")
	mrk, replica := s.multiRegion()
	otherMRK, _ := s.multiRegion()
	plain := *replica
	plain.Kind = "kms"
	for _, k := range []keyPair{
		{"another key", key, other},
		{"discovery for another account", key, s.discovery("kms-discovery", here, "999999999999")},
		{"discovery in another region", key, s.discovery("kms-discovery", there, account(key.Key))},
		{"another multi-Region key", mrk, otherMRK},
		{"replica that is not told to be one", mrk, &plain},
		{"multi-Region discovery for another account", mrk, s.discovery("kms-mrk-discovery", there, "999999999999")},
	} {
		x := newExchange(unsigned, k.writes)
		x.reads, x.readerRefuses, x.size = k.reads, true, 10
		m.add(groupKMS, k.name, x)
	}
}

func (m *maker) branchKeys() {
	s := m.services
	id := fmt.Sprintf("tenant %d ～😀", rand.Uint64())
	s.createBranchKey(id)
	other := id + " other"
	s.createBranchKey(other)
	key := s.branchKey(id)
	for _, suite := range m.some() {
		for name, ec := range inOrder(map[string]keyring.EncryptionContext{"no context": nil, "two pairs": two, "unicode": unicode}) {
			x := newExchange(suite, key)
			x.context = ec
			m.add(groupBranchKeys, fmt.Sprintf("%s, %v", name, suite), x)
		}
	}
	x := newExchange(unsigned, key)
	x.reads, x.readerRefuses, x.size = s.branchKey(other), true, 10
	m.add(groupBranchKeys, "another branch key", x)

	// Messages of both under one version are read, and more are written, under the next.
	for _, suite := range []keyring.Suite{unsigned, signed} {
		id := fmt.Sprintf("versions %d", rand.Uint64())
		s.createBranchKey(id)
		c := &cell{group: groupBranchKeys, name: fmt.Sprintf("a new version, %v", suite), exchange: newExchange(suite, s.branchKey(id))}
		c.special = func(ctx context.Context, t *table) error { return t.rotate(ctx, c, id, s) }
		m.cells = append(m.cells, c)
	}
}

// rotate has both write before and after a branch key gets a new version, and read all.
func (t *table) rotate(ctx context.Context, c *cell, id string, s *services) error {
	type written struct {
		cell      cell
		plaintext []byte
		msg       []byte
	}
	var all []written
	for round := range 3 {
		for _, theirs := range []bool{false, true} {
			w := written{cell: *c}
			w.cell.special, w.cell.theirs = nil, theirs
			w.plaintext = bytes.Repeat([]byte{byte(round)}, 20)
			var err error
			if w.msg, err = t.write(ctx, &w.cell, w.plaintext); err != nil {
				return err
			}
			all = append(all, w)
		}
		for _, w := range all {
			if err := t.read(ctx, &w.cell, w.plaintext, w.msg); err != nil {
				return err
			}
		}
		store, err := keyStore(here, s.moto, s.kms.URL(here), s.branchARN)
		if err == nil {
			_, err = store.Version(ctx, id)
		}
		if err != nil {
			return &fault{fails, err}
		}
	}
	return nil
}
