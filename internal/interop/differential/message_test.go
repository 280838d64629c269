package differential

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scripts returns scripts of one step for a mutation, the same ones each time.
func scripts(which, n int) [][]byte {
	rng := rand.New(rand.NewPCG(16, uint64(which)))
	var all [][]byte
	for range n {
		b := make([]byte, shapeLen+stepLen)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		// Seldom long, and not contradicting what the caller expects.
		if int(b[2])%len(frameLens) == longFrames && rng.IntN(8) > 0 {
			b[2]++
		}
		b[7] &= 0x1f
		b[shapeLen] = byte(which)
		all = append(all, b)
	}
	return all
}

// FuzzMessages has scripts change messages, and both sides open them. They must agree, or
// their difference be a known one.
func FuzzMessages(f *testing.F) {
	r := newReaders(f, startPeer(f))
	for i := range mutations {
		for _, script := range scripts(i, 8) {
			f.Add(script)
		}
	}
	f.Fuzz(func(t *testing.T, script []byte) { r.judge(t, play(script)) })
}

// TestMutations holds that FuzzMessages is not vacuous: of each mutation there are messages
// that open and messages that do not, or none that opens where none may.
func TestMutations(t *testing.T) {
	require.LessOrEqual(t, len(mutations), 256, "a byte names a mutation")
	r := newReaders(t, startPeer(t))
	found := map[string]int{}
	var accepted, refused int
	for i, m := range mutations {
		var yes, no int
		for _, script := range scripts(i, 60) {
			v := r.judge(t, play(script))
			if v.accepted {
				yes++
			} else {
				no++
			}
			if v.difference != "" {
				found[v.difference]++
			}
		}
		t.Logf("%3d accepted, %3d refused: %s", yes, no, m.name)
		accepted, refused = accepted+yes, refused+no
		assert.NotZero(t, no, "%s: nothing is refused", m.name)
		switch {
		case m.never:
			assert.Zero(t, yes, m.name)
		case m.stage <= head:
			assert.NotZero(t, yes, "%s: nothing is accepted", m.name)
		}
	}
	t.Logf("%d accepted, %d refused", accepted, refused)
	showDifferences(t, found)
}
