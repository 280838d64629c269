package differential

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
)

// A difference is one that is known between the library and AWS's Go release. What it
// holds for is as narrow as can be: a difference of another kind is a failure. doc.go says
// more of each.
type difference struct {
	name  string
	shown string // the test that shows it

	// without returns what both sides come to without the difference, if it is one.
	without func(t testing.TB, r *readers, s *scene, ours, theirs opened) (opened, opened, bool)
}

var differences = []difference{
	{"a limit of ours: with a greater one, both agree", "TestMutations", func(t testing.TB, r *readers, s *scene, ours, theirs opened) (opened, opened, bool) {
		if !errors.Is(ours.err, envelope.ErrLimit) {
			return ours, theirs, false
		}
		return r.open(t, s, s.msg, true), theirs, true
	}},
	{"AWS tries a header as release 4.0.0 for .NET wrote it, unless told not to: then both agree", "TestMutations", func(t testing.TB, r *readers, s *scene, ours, theirs opened) (opened, opened, bool) {
		if !errors.Is(ours.err, envelope.ErrAuthentication) || !strings.Contains(ours.err.Error(), "header: ") {
			return ours, theirs, false
		}
		return ours, r.openAWS(t, s, s.msg, true), true
	}},
	{"AWS takes an expected pair that is not stored though its key is reserved", "TestContextSeeds", func(_ testing.TB, _ *readers, s *scene, ours, theirs opened) (opened, opened, bool) {
		stored := contextOf(s.draft.stored)
		for k := range s.reproduced {
			if _, ok := stored[k]; !ok && strings.HasPrefix(k, "aws-crypto-") && errors.Is(ours.err, envelope.ErrContextMismatch) {
				return ours, opened{err: ours.err}, true
			}
		}
		return ours, theirs, false
	}},
}

// agree says whether both sides came to the same. A panic is none of ours.
func agree(a, b opened) bool {
	if _, stopped := b.err.(panicked); stopped {
		return false
	}
	if a.err != nil || b.err != nil {
		return a.err != nil && b.err != nil
	}
	return string(a.plaintext) == string(b.plaintext) && equalContexts(a.context, b.context)
}

func equalContexts(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if got, ok := b[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// A verdict is what became of a scene.
type verdict struct {
	accepted   bool   // by us
	difference string // empty if both agree
}

// judge has both sides open a scene's message, and fails if they differ in a way that is
// not known.
func (r *readers) judge(t testing.TB, s *scene) verdict {
	ours := r.open(t, s, s.msg, false)
	theirs := r.openAWS(t, s, s.msg, false)

	// Nothing that was changed behind a tag may open, on either side.
	if s.asMade != nil && string(s.asMade) != string(s.msg) && (ours.err == nil || theirs.err == nil) {
		require.Error(t, r.open(t, s, s.asMade, false).err,
			"%q: opened though it was changed (ours: %s, AWS: %s)", s.names(), firstLine(ours.err), firstLine(theirs.err))
	}
	v := verdict{accepted: ours.err == nil}
	if agree(ours, theirs) {
		return v
	}
	// One may hide another.
	first, second := ours, theirs
	for _, d := range differences {
		if theirs.err != nil {
			break // all that are known are of messages that they open
		}
		var is bool
		if ours, theirs, is = d.without(t, r, s, ours, theirs); is && agree(ours, theirs) {
			v.difference = d.name
			return v
		}
	}
	ours, theirs = first, second
	require.Fail(t, "the two sides differ", "mutations: %q\nsuite %v, framed %t, policy %v, expected %q, required %q\nsealring: %s, %d bytes, context %q\nAWS: %s, %d bytes, context %q",
		s.names(), s.draft.suite.Name, s.draft.framed, s.policy, s.reproduced, s.required,
		firstLine(ours.err), len(ours.plaintext), ours.context, firstLine(theirs.err), len(theirs.plaintext), theirs.context)
	return v
}

// showDifferences tells how often each was found, and fails if one was not that the test is
// to show.
func showDifferences(t *testing.T, found map[string]int) {
	for _, d := range differences {
		if n := found[d.name]; n > 0 || d.shown == t.Name() {
			t.Logf("%d: %s", n, d.name)
			assert.NotZero(t, n, "nothing shows that this is a difference: %s", d.name)
		}
	}
}
