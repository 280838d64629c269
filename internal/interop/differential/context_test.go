package differential

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-sealring/sealring/internal/byhand"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// contextScene makes a message whose context has pairs that a fuzzer wrote, each as the
// length of the key in one byte, the key, and the same of the value. What how says:
//
//	bits 0 to 1    the order: as it should be, the reverse, as given
//	bits 2 to 4    what is wrong with the serialized pairs, if anything
//	bits 5 to 6    the suite
//	bits 7 to 8    how many pairs are hidden
//	bits 9 to 11   what the caller expects
//	bits 12 to 13  what it must give
//	bits 14 to 20  where, and by how much, something is wrong
func contextScene(written []byte, how uint32) *scene {
	bits := func(from, n int) int { return int(how>>from) & (1<<n - 1) }
	var pairs []pair
	next := func() string {
		if len(written) == 0 {
			return ""
		}
		n := min(int(written[0]), len(written)-1)
		text := written[1 : 1+n]
		written = written[1+n:]
		return string(text)
	}
	for len(written) > 0 && len(pairs) < 20 {
		pairs = append(pairs, pair{next(), next()})
	}
	hidden := pairs[:min(bits(7, 2), len(pairs))]
	stored := pairs[len(hidden):]

	row := suite.ByID([]uint16{0x0178, 0x0478, 0x0578, 0x0014}[bits(5, 2)])
	d := newDraft(row, true, 16, []byte("a plaintext"), stored, hidden)
	d.addKey(0)
	switch bits(0, 2) {
	case 1:
		slices.Reverse(d.stored)
	case 2:
		if row.Signs() {
			stored = append(slices.Clone(stored), pair{publicKeyPair, byhand.EncodePoint(&d.signer.PublicKey)})
		}
		d.stored = slices.Clone(stored)
	}
	d.writeHeader()
	of := func(name string) *field {
		all := d.hasPrefix(name)
		if len(all) == 0 {
			return &field{}
		}
		return &d.fields[all[bits(14, 4)%len(all)]]
	}
	add := func(name string) {
		if f := of(name); len(f.b) > 0 {
			f.b[len(f.b)-1] += byte(bits(18, 3) - 4)
		}
	}
	switch bits(2, 3) {
	case 1:
		add("context length")
	case 2:
		add("context count")
	case 3:
		add("context key length")
	case 4:
		add("context value length")
	case 5: // a count of no pairs, or bytes behind the last
		f := of("context length")
		f.b = byhand.U16(int(f.b[0])<<8 + int(f.b[1]) + 2)
		d.fields = slices.Insert(d.fields, d.hasPrefix("key count")[0], field{"context tail", []byte{0, 0}})
	}
	d.writeTag()
	d.writeBody()
	d.writeFooter()

	s := &scene{draft: d, msg: d.bytes(), policy: keyring.RequireEncryptAllowDecrypt, reproduced: contextOf(hidden)}
	switch bits(9, 3) {
	case 1:
		maps.Copy(s.reproduced, contextOf(stored))
	case 2:
		for i, p := range stored {
			if i%2 == 0 {
				s.reproduced[p[0]] = p[1]
			}
		}
	case 3:
		s.reproduced["tenant"] = "43"
	case 4:
		s.reproduced = nil
	case 5:
		for i, p := range hidden {
			if i == 0 {
				s.reproduced[p[0]] = p[1] + "x"
			}
		}
	}
	if bits(12, 2) == 1 {
		s.required = []string{"tenant"}
	}
	return s
}

// written is the pairs as contextScene takes them.
func written(pairs []pair) []byte {
	var b []byte
	for _, p := range pairs {
		for _, s := range []string{p[0], p[1]} {
			b = append(append(b, byte(len(s))), s...)
		}
	}
	return b
}

// contextSeeds are lists of pairs to begin with.
func contextSeeds() [][]pair {
	all := slices.Clone(contexts[:])
	all = append(all, []pair{{"\uffff", "1"}, {"\U00010000", "2"}, {"\ue000", "3"}, {"\U0010ffff", "4"}})
	all = append(all, []pair{{"a", "1"}, {"aa", "2"}, {"a\x00", "3"}, {"e\u0301", "4"}, {"é", "5"}})
	for _, w := range words {
		all = append(all, []pair{{w, "value"}}, []pair{{"tenant", w}, {"z", ""}})
	}
	for _, n := range []int{32, 33, 255} {
		all = append(all, []pair{{string(make([]byte, n)), ""}, {"tenant", string(make([]byte, n))}})
	}
	return all
}

// FuzzContexts has both sides read contexts: as they are stored, as they are bound to the
// wrapped key and to the header, and as the caller expects them.
func FuzzContexts(f *testing.F) {
	r := newReaders(f, startPeer(f))
	for i, pairs := range contextSeeds() {
		for j := range uint32(6) {
			f.Add(written(pairs), j<<2|uint32(i%3)|uint32(i%4)<<5|j%3<<7|uint32(i%6)<<9|j<<14)
		}
	}
	f.Fuzz(func(t *testing.T, pairs []byte, how uint32) { r.judge(t, contextScene(pairs, how)) })
}

// TestContextSeeds holds that FuzzContexts begins with contexts that are accepted and some
// that are not, whatever is done to them.
func TestContextSeeds(t *testing.T) {
	r := newReaders(t, startPeer(t))
	type count struct{ accepted, refused int }
	found, differ := map[string]*count{}, map[string]int{}
	names := []string{"as it should be", "length", "count", "length of a key", "length of a value", "bytes behind the last pair"}
	for i, pairs := range contextSeeds() {
		for wrong, name := range names {
			for j := range uint32(6) {
				v := r.judge(t, contextScene(written(pairs), j%3|uint32(wrong)<<2|uint32(i+int(j))%4<<5|j/2%3<<7|j<<9|(j*37+uint32(i))%128<<14))
				if v.difference != "" {
					differ[v.difference]++
				}
				c := cmp.Or(found[name], &count{})
				found[name] = c
				if v.accepted {
					c.accepted++
				} else {
					c.refused++
				}
			}
		}
	}
	for _, name := range names {
		t.Logf("%4d accepted, %4d refused: %s", found[name].accepted, found[name].refused, name)
		assert.NotZero(t, found[name].accepted, name)
		assert.NotZero(t, found[name].refused, name)
	}
	showDifferences(t, differ)
}
