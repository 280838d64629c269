package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// folders are those of the specification that have requirements on a library.
var folders = []string{"client-apis", "data-format", "framework"}

// A requirement is one sentence of the specification with a key word of RFC 2119.
type requirement struct {
	file   string // with slashes, without .md
	anchor string // of the section, as GitHub makes it
	level  string // MUST, SHOULD or MAY: the strongest in the sentence
	id     string // of the sentence: another one if a word changes, or the section
	text   string
}

// readSpec returns the requirements in the specification, file by file. The directory is a
// work tree, or else a git directory, of which the commit is read.
func readSpec(dir, commit string) ([]requirement, error) {
	files := map[string]string{}
	read := func(name string, text []byte) {
		if path.Ext(name) == ".md" {
			files[strings.TrimSuffix(name, ".md")] = string(text)
		}
	}
	err := readTree(dir, read)
	if errors.Is(err, fs.ErrNotExist) {
		err = readCommit(dir, commit, read)
	}
	if err != nil {
		return nil, err
	}
	var all []requirement
	for _, file := range sortedKeys(files) {
		all = append(all, extract(file, files[file])...)
	}
	return all, nil
}

func readTree(dir string, read func(name string, text []byte)) error {
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(dir, name)
			read(filepath.ToSlash(rel), text)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func readCommit(dir, commit string, read func(name string, text []byte)) error {
	var stderr bytes.Buffer
	cmd := exec.Command("git", append([]string{"-C", dir, "archive", "--format=tar", commit}, folders...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("git archive: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	for archive := tar.NewReader(bytes.NewReader(out)); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			return err
		}
		read(h.Name, text)
	}
}

// extract returns the requirements in one file. Code, the history of changes and the
// definition of the key words have none.
func extract(file, text string) []requirement {
	var all []requirement
	seen := map[string]int{}
	for _, b := range blocks(text) {
		for _, s := range b.sentences() {
			level := levelOf(s)
			if level == "" || strings.Contains(s, `key words "MUST"`) {
				continue
			}
			s = plain(s)
			name := file + "#" + b.anchor + "\n" + s
			seen[name]++ // the same words again are another requirement
			sum := sha256.Sum256([]byte(name + "\n" + strconv.Itoa(seen[name])))
			all = append(all, requirement{file, b.anchor, level, hex.EncodeToString(sum[:4]), s})
		}
	}
	return all
}

// A block is a paragraph, an item of a list or a row of a table.
type block struct {
	anchor, text string
	list         string // what follows a colon at the end of the text, and has no key word
}

var (
	heading = regexp.MustCompile(`^(#+)\s+(.*)$`)
	item    = regexp.MustCompile(`^\s*([-*+]|\d+[.)])\s+`)
)

// blocks cuts Markdown into blocks.
func blocks(text string) []block {
	var all []block
	var lines []string
	anchor, anchors := "", map[string]int{}
	inCode, history := false, 0 // history is the depth of the heading above the changes
	flush := func() {
		if len(lines) > 0 && history == 0 {
			all = append(all, block{anchor: anchor, text: strings.Join(lines, " ")})
		}
		lines = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \r\n")
		trimmed := strings.TrimSpace(line)
		fence := strings.HasPrefix(trimmed, "```")
		h := heading.FindStringSubmatch(line)
		switch {
		case fence:
			flush()
			inCode = !inCode
		case inCode:
		case h != nil:
			flush()
			anchor = slug(h[2])
			if n := anchors[anchor]; n > 0 {
				anchors[anchor]++
				anchor += "-" + strconv.Itoa(n)
			} else {
				anchors[anchor] = 1
			}
			if depth := len(h[1]); history == 0 && strings.EqualFold(h[2], "changelog") {
				history = depth
			} else if depth <= history {
				history = 0
			}
		case trimmed == "" || strings.HasPrefix(trimmed, "[//]:"):
			flush()
		default:
			if item.MatchString(line) || strings.HasPrefix(trimmed, "|") {
				flush()
			}
			lines = append(lines, strings.TrimSpace(item.ReplaceAllString(line, "")))
		}
	}
	flush()
	for i := range all {
		all[i].list = listBehind(all[i:])
	}
	return all
}

// listBehind returns the blocks behind the first that belong to its requirement.
func listBehind(all []block) string {
	if !strings.HasSuffix(all[0].text, ":") || levelOf(all[0].text) == "" {
		return ""
	}
	var list []string
	for _, b := range all[1:] {
		if b.anchor != all[0].anchor || levelOf(b.text) != "" {
			break
		}
		list = append(list, b.text)
	}
	return strings.Join(list, " ")
}

// slug returns the anchor that GitHub gives to a heading.
func slug(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, links.ReplaceAllString(title, "$1"))
}

var (
	links      = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	boundaries = regexp.MustCompile("[.!?][)*_`\"]*\\s+[A-Z\\[`*\"(_]")
	keyWords   = regexp.MustCompile(`\b(MUST|SHALL|REQUIRED|SHOULD|RECOMMENDED|MAY|OPTIONAL)\b`)
)

// sentences returns the block's sentences, the last one with the list. An abbreviation
// ends none.
func (b block) sentences() []string {
	var all []string
	from := 0
	for at := 0; ; {
		loc := boundaries.FindStringIndex(b.text[at:])
		if loc == nil {
			return append(all, strings.TrimSpace(b.text[from:]+" "+b.list))
		}
		stop, next := at+loc[0], at+loc[1]-1
		at = next
		ends := func(abbreviation string) bool { return strings.HasSuffix(b.text[from:stop], abbreviation) }
		if slices.ContainsFunc([]string{"e.g", "i.e", "etc", "vs"}, ends) {
			continue
		}
		all = append(all, strings.TrimSpace(b.text[from:next]))
		from = next
	}
}

// levelOf returns the strongest key word of a text, or nothing.
func levelOf(text string) string {
	level := ""
	for _, w := range keyWords.FindAllString(text, -1) {
		switch w {
		case "MUST", "SHALL", "REQUIRED":
			return "MUST"
		case "SHOULD", "RECOMMENDED":
			level = "SHOULD"
		default:
			if level == "" {
				level = "MAY"
			}
		}
	}
	return level
}

// plain removes what can change and leave the meaning: the targets of links, and how words
// are spaced and set.
func plain(s string) string {
	s = links.ReplaceAllString(s, "$1")
	s = strings.NewReplacer("`", "", "**", "", `\`, "").Replace(s)
	return strings.Join(strings.Fields(s), " ")
}
