package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What a verdict can say.
const (
	met          = "met"          // by the code, as the tests show
	untested     = "untested"     // met by the code, and no test would notice if not
	deviates     = "deviates"     // on purpose
	unmet        = "unmet"        // and ought to be met
	inapplicable = "inapplicable" // to this library
)

var kinds = []string{met, untested, deviates, unmet, inapplicable}

// A verdict says how the library stands to one requirement.
type verdict struct {
	at                      string // where it is written, for errors
	file, anchor, level, id string // of the requirement
	kind                    string
	code, tests             []string
	text                    string // the requirement in other words
	why                     string // or the name of a shared reason, behind an @
}

// verdicts are all verdicts, and the reasons that they share.
type verdicts struct {
	all     []verdict
	reasons map[string]string
}

// reasonsFile has the shared reasons: a name, a colon and a text in each line.
const reasonsFile = "reasons.txt"

// readVerdicts reads the files in a directory. One file is for one file of the
// specification:
//
//	file data-format/message-header
//
//	## message-id
//	MUST 96a3f2ec met envelope/seal.go:sealer.appendHeader envelope.TestMessageIDs
//		Each message has an ID of its own.
//	MUST 1c33d12b deviates envelope/x.go:f envelope.TestF
//		What is required.
//		because And why that is not done.
//
// A verdict is a line with level, ID, kind, and where the code and the tests are; then what
// the requirement says, in other words than its own, and a reason.
func readVerdicts(dir string) (*verdicts, error) {
	v := &verdicts{reasons: map[string]string{}}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if rel == reasonsFile {
			return v.parseReasons(text)
		}
		return v.parse(filepath.ToSlash(rel), text)
	})
	return v, err
}

func (v *verdicts) parseReasons(text []byte) error {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, ": ")
		if _, twice := v.reasons[name]; !ok || twice {
			return fmt.Errorf("%s: not a new name and a reason: %q", reasonsFile, line)
		}
		v.reasons[name] = reason
	}
	return nil
}

func (v *verdicts) parse(name string, text []byte) error {
	var file, anchor string
	var last *verdict
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		at := fmt.Sprintf("%s:%d", name, n)
		switch {
		case strings.TrimSpace(line) == "":
		case strings.HasPrefix(line, "file "):
			file = strings.TrimPrefix(line, "file ")
			if name != file+".txt" {
				return fmt.Errorf("%s: these are the verdicts on %s", at, file)
			}
		case strings.HasPrefix(line, "## "):
			anchor = strings.TrimPrefix(line, "## ")
		case strings.HasPrefix(line, "\t") && last == nil:
			return fmt.Errorf("%s: no verdict before it", at)
		case strings.HasPrefix(line, "\tbecause "):
			last.why = strings.TrimPrefix(line, "\tbecause ")
		case strings.HasPrefix(line, "\t"):
			last.text = strings.TrimPrefix(line, "\t")
		default:
			words := strings.Fields(line)
			if len(words) < 3 {
				return fmt.Errorf("%s: not level, ID and verdict: %q", at, line)
			}
			v.all = append(v.all, verdict{at: at, file: file, anchor: anchor, level: words[0], id: words[1], kind: words[2]})
			last = &v.all[len(v.all)-1]
			for _, ref := range words[3:] {
				if strings.Contains(ref, ":") {
					last.code = append(last.code, ref)
				} else {
					last.tests = append(last.tests, ref)
				}
			}
		}
	}
	return lines.Err()
}

// reason returns why a verdict is what it is.
func (v *verdicts) reason(of verdict) string {
	if name, shared := strings.CutPrefix(of.why, "@"); shared {
		return v.reasons[name]
	}
	return of.why
}

// problems returns what is wrong with the verdicts, whatever the specification says.
func (v *verdicts) problems(refs *references) (all []string) {
	ids := map[string]string{}
	used := map[string]bool{}
	for _, d := range v.all {
		wrong := func(format string, args ...any) {
			all = append(all, d.at+": "+fmt.Sprintf(format, args...))
		}
		if other, twice := ids[d.id]; twice {
			wrong("there is a verdict on %s at %s already", d.id, other)
		}
		ids[d.id] = d.at
		switch {
		case !slices.Contains(kinds, d.kind):
			wrong("unknown verdict %q", d.kind)
		case d.kind == inapplicable && len(d.code)+len(d.tests) > 0:
			wrong("what does not apply has no code")
		case (d.kind == met || d.kind == untested || d.kind == deviates) && len(d.code) == 0:
			wrong("no code is named")
		case (d.kind == met || d.kind == deviates) && len(d.tests) == 0:
			wrong("no test is named")
		case d.kind == untested && len(d.tests) > 0:
			wrong("a test is named")
		case d.kind != inapplicable && d.text == "":
			wrong("it does not say what is required")
		}
		hasReason := v.reason(d) != ""
		needs := d.kind == deviates || d.kind == unmet || d.kind == inapplicable
		if hasReason != needs {
			wrong("a reason is given: %t; a verdict %q needs one: %t", hasReason, d.kind, needs)
		}
		if name, shared := strings.CutPrefix(d.why, "@"); shared {
			used[name] = true
		}
		for _, ref := range d.code {
			if err := refs.checkCode(ref); err != nil {
				wrong("%v", err)
			}
		}
		for _, ref := range d.tests {
			if err := refs.checkTest(ref); err != nil {
				wrong("%v", err)
			}
		}
	}
	for _, name := range sortedKeys(v.reasons) {
		if !used[name] {
			all = append(all, fmt.Sprintf("%s: nobody gives the reason %q", reasonsFile, name))
		}
	}
	return all
}

// compare returns what the verdicts lack of the requirements, and have too much.
func (v *verdicts) compare(requirements []requirement) (all []string) {
	given := map[string]verdict{}
	for _, d := range v.all {
		given[d.id] = d
	}
	for _, r := range requirements {
		d, ok := given[r.id]
		delete(given, r.id)
		switch {
		case !ok:
			all = append(all, fmt.Sprintf("%s#%s: no verdict: %s %s %s", r.file, r.anchor, r.level, r.id, r.text))
		case d.file != r.file || d.anchor != r.anchor || d.level != r.level:
			all = append(all, fmt.Sprintf("%s: %s is a %s of %s#%s", d.at, d.id, r.level, r.file, r.anchor))
		}
	}
	for _, d := range v.all {
		if _, stale := given[d.id]; stale {
			all = append(all, fmt.Sprintf("%s: the specification has no sentence %s", d.at, d.id))
		}
	}
	return all
}
