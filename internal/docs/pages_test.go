package docs

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "copy files that pages show in whole into the pages, and dumps into testdata")

// root is the repository, from here.
var root = filepath.Join("..", "..")

// TestBlocks holds that all code in docs is tested: the comment before each block names a
// file with the block's lines. These files are compiled and run:
//
//   - examples and tests of packages, by go test;
//   - programs under internal/docs/howto, by the tests there;
//   - testdata here, by the tests that write it;
//   - .ci/run and what it calls.
//
// A block "whole" is all of its file: -update copies it. Of a block "from", leading and
// trailing space of lines do not matter, and … stands for what is left out. A block "run" is
// what a command of .ci/run has printed once; nothing compares it.
func TestBlocks(t *testing.T) {
	for _, page := range pages(t) {
		t.Run(filepath.Base(page), func(t *testing.T) {
			text := read1(t, page)
			if *update {
				text = updateWholes(t, text)
				require.NoError(t, os.WriteFile(page, []byte(text), 0o666))
			}
			for _, b := range blocks(t, text) {
				switch b.kind {
				case "whole":
					file := read1(t, filepath.Join(root, filepath.FromSlash(b.of)))
					assert.Equal(t, file, b.code, "%s: run go test ./internal/docs -update", b.of)
				case "from":
					file := "\n" + trimLines(read1(t, filepath.Join(root, filepath.FromSlash(b.of))))
					for _, part := range strings.Split(b.code, "…\n") {
						part = trimLines(part)
						assert.True(t, strings.Contains(file, "\n"+part), "%s does not have these lines:\n%s", b.of, part)
					}
				case "run":
					assert.Contains(t, read1(t, filepath.Join(root, ".ci", "run")), "\n"+b.of+"\n")
				}
			}
		})
	}
}

func pages(t *testing.T) []string {
	all, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}

func read1(t *testing.T, path string) string {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

type block struct {
	kind string // whole, from or run
	of   string // the file, or the command
	code string
}

var (
	fence   = regexp.MustCompile("(?m)^```")
	blockRE = regexp.MustCompile("(?ms)^<!-- (whole|from|run): ([^\n]+) -->\n\n?```[a-z]+\n(.*?)^```$")
)

// blocks returns the blocks of code in a page, and fails if one does not say its file.
func blocks(t *testing.T, text string) (all []block) {
	for _, m := range blockRE.FindAllStringSubmatch(text, -1) {
		all = append(all, block{m[1], m[2], m[3]})
	}
	assert.Len(t, fence.FindAllString(text, -1), 2*len(all), "each block has a language, and before it <!-- whole: FILE -->, <!-- from: FILE --> or <!-- run: COMMAND -->")
	return all
}

func updateWholes(t *testing.T, text string) string {
	return blockRE.ReplaceAllStringFunc(text, func(s string) string {
		m := blockRE.FindStringSubmatch(s)
		if m[1] != "whole" {
			return s
		}
		return strings.TrimSuffix(s, m[3]+"```") + read1(t, filepath.Join(root, filepath.FromSlash(m[2]))) + "```"
	})
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	code    = regexp.MustCompile("(?ms)^```.*?^```$|`[^`\n]+`")
)

const repository = "https://github.com/go-sealring/sealring/"

// TestLinks holds that links within the repository lead somewhere, headings included.
func TestLinks(t *testing.T) {
	for _, page := range append(pages(t), filepath.Join(root, "README.md"), filepath.Join(root, "SECURITY.md"), filepath.Join(root, "envelope", "field", "README.md")) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(read1(t, page), ""), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(page), filepath.FromSlash(path))
			switch {
			case strings.HasPrefix(path, repository):
				_, path, _ = strings.Cut(strings.TrimPrefix(path, repository), "/main/")
				target = filepath.Join(root, filepath.FromSlash(path))
			case strings.Contains(path, "://"):
				continue
			case path == "":
				target = page
			}
			if _, err := os.Stat(target); !assert.NoError(t, err, "%s: %s", page, m[1]) || anchor == "" {
				continue
			}
			assert.Contains(t, anchors(read1(t, target)), anchor, "%s: %s", page, m[1])
		}
	}
}

var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// anchors returns the headings of a page as GitHub links to them.
func anchors(text string) (all []string) {
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		s := notInAnchors.ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(s, " ", "-"))
	}
	return all
}
