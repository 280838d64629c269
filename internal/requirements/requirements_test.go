package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestVerdicts holds that each verdict names code and tests that there are, and has a reason
// where it needs one, and that the report is up to date. Whether each requirement has a
// verdict takes the specification: see the package comment.
func TestVerdicts(t *testing.T) {
	problems, err := run("../..", "", "", false)
	require.NoError(t, err)
	assert.Empty(t, strings.Join(problems, "\n"))
}

func TestExtract(t *testing.T) {
	const text = `# A Title

## Version

1.2

### Changelog

- 1.2

  - It MUST NOT count: this is history.

## Definitions

The key words "MUST", "MAY"
are to be interpreted.

## Some [Linked](other.md#anchor) Section

The ` + "`field`" + ` MUST be
[big-endian](other.md). It is read, e.g. SHOULD it be there. A note.

The value MUST be one of:

- first
- second

  A part of it.

- The third, which MAY be left out.

## Some Linked Section

| Field | What it is |
|---|---|
| a | It MUST be **1**. |
| b | It is REQUIRED. |

` + "```" + `
This MUST NOT count.
` + "```" + `

It MUST be 1. It MUST be 1.
`
	type short struct{ anchor, level, text string }
	var got []short
	ids := map[string]bool{}
	for _, r := range extract("folder/file", text) {
		assert.Equal(t, "folder/file", r.file)
		assert.Regexp(t, "^[0-9a-f]{8}$", r.id)
		assert.False(t, ids[r.id], "two sentences have one ID")
		ids[r.id] = true
		got = append(got, short{r.anchor, r.level, r.text})
	}
	assert.Equal(t, []short{
		{"some-linked-section", "MUST", "The field MUST be big-endian."},
		{"some-linked-section", "SHOULD", "It is read, e.g. SHOULD it be there."},
		{"some-linked-section", "MUST", "The value MUST be one of: first second A part of it."},
		{"some-linked-section", "MAY", "The third, which MAY be left out."},
		{"some-linked-section-1", "MUST", "| a | It MUST be 1. |"},
		{"some-linked-section-1", "MUST", "| b | It is REQUIRED. |"},
		{"some-linked-section-1", "MUST", "It MUST be 1."},
		{"some-linked-section-1", "MUST", "It MUST be 1."},
	}, got)
}

// TestIDs holds what changes the ID of a sentence.
func TestIDs(t *testing.T) {
	id := func(file, text string) string {
		all := extract(file, text)
		require.Len(t, all, 1)
		return all[0].id
	}
	base := id("a", "## S\n\nIt MUST be [so](x.md).\n")
	for what, c := range map[string]struct {
		file, text string
		same       bool
	}{
		"nothing":         {"a", "## S\n\nIt MUST be [so](x.md).\n", true},
		"a line break":    {"a", "## S\n\nIt MUST\nbe [so](x.md).\n", true},
		"a link's target": {"a", "## S\n\nIt MUST be [so](y.md).\n", true},
		"code":            {"a", "## S\n\nIt `MUST` be so.\n", true},
		"a word":          {"a", "## S\n\nIt MUST NOT be so.\n", false},
		"the section":     {"a", "## T\n\nIt MUST be so.\n", false},
		"the file":        {"b", "## S\n\nIt MUST be so.\n", false},
		"what it lists":   {"a", "## S\n\nIt MUST be so:\n\n- one\n", false},
	} {
		assert.Equal(t, c.same, id(c.file, c.text) == base, what)
	}
	assert.NotEqual(t, id("a", "It MUST be:\n\n- one\n"), id("a", "It MUST be:\n\n- two\n"))
}

const specText = "## S\n\nIt MUST be so. It SHOULD be so.\n"

// TestReadSpec reads the specification from a work tree and from a git directory.
func TestReadSpec(t *testing.T) {
	dir := t.TempDir()
	for _, folder := range folders {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, folder, "deep"), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "framework/deep/one.md"), []byte(specText), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "client-apis/two.md"), []byte(specText), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data-format/picture.png"), []byte(specText), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte(specText), 0o644))
	want, err := readSpec(dir, "")
	require.NoError(t, err)
	require.Len(t, want, 4)
	assert.Equal(t, "client-apis/two", want[0].file)
	assert.Equal(t, "framework/deep/one", want[3].file)

	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not here")
	}
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-qm", "one")
	got, err := readSpec(filepath.Join(dir, ".git"), "HEAD")
	require.NoError(t, err)
	assert.Equal(t, want, got)

	_, err = readSpec(filepath.Join(dir, ".git"), commit)
	require.ErrorContains(t, err, "git archive")
}

// A module is a directory with some code and verdicts on it.
type module struct {
	t    *testing.T
	root string
}

func newModule(t *testing.T, verdicts string) module {
	m := module{t, t.TempDir()}
	m.write("p/p.go", `package p

import "embed"

const c, d = 1, 2

var v embed.FS

type T struct{ Field, Other int }

type I interface{ Method() }

type G[K any] struct{}

func (t *T) Method() {}

func (G[K]) Get() {}

func f() {}
`)
	m.write("p/p_test.go", "package p\n\nimport \"testing\"\n\nfunc TestF(t *testing.T) {}\n\nfunc FuzzF(f *testing.F) {}\n\nfunc helper() {}\n")
	m.write(home+"/verdicts/reasons.txt", "# The reasons.\n\nshared: It is shared.\n")
	m.write(home+"/verdicts/framework/one.txt", verdicts)
	return m
}

func (m module) write(name, text string) {
	name = filepath.Join(m.root, name)
	require.NoError(m.t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(m.t, os.WriteFile(name, []byte(text), 0o644))
}

// spec writes a specification, and returns its directory.
func (m module) spec(text string) string {
	for _, folder := range folders {
		m.write("spec/"+folder+"/empty.md", "")
	}
	m.write("spec/framework/one.md", text)
	return filepath.Join(m.root, "spec")
}

const soundVerdicts = `file framework/one

## s
MUST 00000001 met p/p.go:f p/p.go:T.Method p/p.go:T.Other p/p.go:I.Method p/p.go:G.Get p/p.go:d p/p.go:v p/p.go:G p.TestF p.FuzzF
	It is so.
SHOULD 00000002 deviates p/p.go:T p.TestF
	It is so.
	because @shared
MAY 00000003 inapplicable
	because It is not ours.
MUST 00000004 untested p/p.go:c
	It is so.
MUST 00000005 unmet
	It is so | and so.
	because Nobody has done it.
`

func TestSoundVerdicts(t *testing.T) {
	m := newModule(t, soundVerdicts)
	problems, err := run(m.root, "", "", false)
	require.NoError(t, err)
	assert.Equal(t, []string{"REPORT.md is not up to date: run with -write"}, problems)
	problems, err = run(m.root, "", "", true)
	require.NoError(t, err)
	assert.Empty(t, problems)
	problems, err = run(m.root, "", "", false)
	require.NoError(t, err)
	assert.Empty(t, problems)

	b, err := os.ReadFile(filepath.Join(m.root, home, "REPORT.md"))
	require.NoError(t, err)
	report := string(b)
	for _, has := range []string{
		"| All | 5 | 1 | 1 | 1 | 1 | 1 |\n",
		"\n## Deviations\n", "| It is so. | It is shared. | `p/p.go:T`<br>`p.TestF` |\n",
		"\n## Not met\n", `| It is so \| and so. | Nobody has done it. |`,
		"\n## Met, not tested\n", "| It is so. | `p/p.go:c` |\n",
		"\n## Does not apply\n", "| It is not ours. | 1 | framework/one |\n",
		"framework/one.md#s)",
	} {
		assert.Contains(t, report, has)
	}
}

func TestProblems(t *testing.T) {
	for says, change := range map[string][2]string{
		"p/p.go does not declare g":                           {"p/p.go:f ", "p/p.go:g "},
		"p/p.go does not declare T.Missing":                   {"p/p.go:T.Other", "p/p.go:T.Missing"},
		"q.go: no such file":                                  {"p/p.go:f ", "p/q.go:f "},
		"p/p_test.go:TestF is a test":                         {"p/p.go:f ", "p/p_test.go:TestF "},
		"p has no test TestG":                                 {"p.TestF p.FuzzF", "p.TestG"},
		"p.helper is no test":                                 {"p.TestF p.FuzzF", "p.helper"},
		"\"TestF\" names no test":                             {"p.TestF p.FuzzF", "TestF"},
		"q: no such file":                                     {"p.TestF p.FuzzF", "q.TestF"},
		"no test is named":                                    {"p/p.go:T p.TestF", "p/p.go:T"},
		"no code is named":                                    {"untested p/p.go:c", "untested"},
		"a test is named":                                     {"untested p/p.go:c", "untested p/p.go:c p.TestF"},
		"what does not apply has no code":                     {"inapplicable", "inapplicable p/p.go:c"},
		"unknown verdict \"fine\"":                            {"deviates", "fine"},
		"it does not say what is required":                    {"c\n\tIt is so.", "c"},
		"a verdict \"deviates\" needs one":                    {"\tbecause @shared\n", ""},
		"a reason is given: true; a verdict \"untested\"":     {"c\n\tIt is so.", "c\n\tIt is so.\n\tbecause I say so."},
		"there is a verdict on 00000002 at framework/one.txt": {"00000003", "00000002"},
		"nobody gives the reason \"shared\"":                  {"@shared", "It is not."},
		"a reason is given: false":                            {"@shared", "@other"},
	} {
		t.Run(says, func(t *testing.T) {
			changed := strings.Replace(soundVerdicts, change[0], change[1], 1)
			require.NotEqual(t, soundVerdicts, changed)
			problems, err := run(newModule(t, changed).root, "", "", true)
			require.NoError(t, err)
			assert.Contains(t, strings.Join(problems, "\n"), says)
		})
	}
	for says, verdicts := range map[string]string{
		"these are the verdicts on": "file framework/two\n",
		"no verdict before it":      "file framework/one\n\tIt is so.\n",
		"not level, ID and verdict": "file framework/one\nMUST 00000001\n",
		"there are no verdicts":     "file framework/one\n",
	} {
		_, err := run(newModule(t, verdicts).root, "", "", true)
		require.ErrorContains(t, err, says)
	}
	m := newModule(t, soundVerdicts)
	m.write(home+"/verdicts/reasons.txt", "shared: It is.\nshared: It is.\n")
	_, err := run(m.root, "", "", true)
	require.ErrorContains(t, err, "not a new name and a reason")
}

// TestCompare finds what has no verdict, and verdicts on what is not there.
func TestCompare(t *testing.T) {
	base := extract("framework/one", "## S\n\nIt MUST be so.\n")[0]
	verdicts := "file framework/one\n\n## s\nMUST " + base.id + " met p/p.go:f p.TestF\n\tIt is so.\n" +
		"MAY 00000003 inapplicable\n\tbecause @shared\n"
	m := newModule(t, verdicts)
	problems, err := run(m.root, m.spec("## S\n\nIt MUST be so. It MAY be more.\n"), "", true)
	require.NoError(t, err)
	more := extract("framework/one", "## S\n\nIt MAY be more.\n")[0]
	assert.Equal(t, []string{
		"framework/one#s: no verdict: MAY " + more.id + " It MAY be more.",
		"framework/one.txt:6: the specification has no sentence 00000003",
	}, problems)

	for what, change := range map[string][2]string{
		"level": {"MUST ", "MAY "}, "anchor": {"## s", "## t"},
	} {
		m := newModule(t, strings.Replace(verdicts, change[0], change[1], 1))
		problems, err := run(m.root, m.spec("## S\n\nIt MUST be so.\n"), "", true)
		require.NoError(t, err)
		assert.Equal(t, "framework/one.txt:4: "+base.id+" is a MUST of framework/one#s", problems[0], what)
	}
	_, err = run(m.root, m.spec(""), "", true)
	require.ErrorContains(t, err, "no requirement")
}
