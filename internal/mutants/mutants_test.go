package main

import (
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sample = `package sample

const most = 7

func shorten[T string | []byte](b T, n int) (T, error) {
	if len(b) > most && n >= 0 {
		b = b[:n]
	}
	return b, check(n)
}

func (s *sample) add(p ...int) { s.all = append(s.all, p...) }
`

func TestMutants(t *testing.T) {
	next := 1
	f, err := parse("sample.go", []byte(sample), &next)
	require.NoError(t, err)
	var found []string
	for _, fn := range f.functions {
		for _, m := range fn.mutants {
			found = append(found, m.Function+": "+m.Change)
		}
	}
	for _, want := range []string{
		"shorten: len(b) > most && n >= 0 -> true", "shorten: len(b) > most && n >= 0: ||", "shorten: len(b) > most: >=",
		"shorten: n >= 0: <", "shorten: 0 -> 1", "shorten: b[:n] to the end", "shorten: without b = b[:n]", "shorten: check(n) -> nil",
		"sample.add: append(s.all, p...) -> s.all", "sample.add: without s.all = append(s.all, p...)",
	} {
		assert.Contains(t, found, want)
	}
	require.Len(t, f.constants, 2)
	assert.Equal(t, "7 -> 0", f.constants[0].Change)
	assert.Contains(t, f.constants[0].source, "most = 0")

	// All of them in one file, which is Go, and the lines where they are.
	src, lines := f.overlay()
	_, err = parser.ParseFile(token.NewFileSet(), "overlay.go", src, 0)
	require.NoError(t, err)
	assert.Contains(t, src, "func shorten_0[T string | []byte](b T, n int)")
	assert.Contains(t, src, "recv.add_0(p0...); return")
	text := strings.Split(src, "\n")
	for _, fn := range f.functions {
		require.NotEmpty(t, fn.mutants)
		for _, m := range fn.mutants {
			head := strings.Split(m.source, "\n")[0]
			line := slices.Index(text, head) + 1
			assert.Equal(t, m, lines[line], head)
		}
	}
	assert.Equal(t, sample, f.print(f.tree), "a change was not taken back")
}
