package main

import (
	"fmt"
	"slices"
	"strings"
)

const specification = "https://github.com/awslabs/aws-encryption-sdk-specification"

// report returns the verdicts as Markdown: counts, and what is not simply met.
func (v *verdicts) report() string {
	var b strings.Builder
	total := count(v.all)
	fmt.Fprintf(&b, `# The specification's requirements

[The AWS Encryption SDK's specification](%[1]s/tree/%[2]s), at commit %.10[2]s, has %[3]d
sentences with MUST, SHOULD or MAY in client-apis, data-format and framework. This says how
this library stands to each. The verdicts, with the code that meets a requirement and the
tests that show it, are in internal/requirements/verdicts, and this page is made of them by
internal/requirements, which also finds sentences without a verdict, and verdicts that name
what is no longer there.

`, specification, commit, len(v.all))
	b.WriteString("| File | Sentences | Met | Met, not tested | Deviates | Not met | Does not apply |\n|---|--:|--:|--:|--:|--:|--:|\n")
	row := func(name string, n map[string]int, sum int) {
		fmt.Fprintf(&b, "| %s | %d |", name, sum)
		for _, k := range kinds {
			fmt.Fprintf(&b, " %d |", n[k])
		}
		b.WriteByte('\n')
	}
	for _, of := range v.byFile() {
		row(fmt.Sprintf("[%s](%s)", of[0].file, link(of[0].file, "")), count(of), len(of))
	}
	row("All", total, len(v.all))

	v.table(&b, deviates, "Deviations", "On purpose, each with its reason. Requirements of one file that have the same reason share a line.")
	v.table(&b, unmet, "Not met", "")
	v.table(&b, untested, "Met, not tested", "The code was read; a test cannot see it.")
	v.outside(&b)
	return b.String()
}

func link(file, anchor string) string {
	l := specification + "/blob/" + commit + "/" + file + ".md"
	if anchor != "" {
		l += "#" + anchor
	}
	return l
}

func count(all []verdict) map[string]int {
	n := map[string]int{}
	for _, d := range all {
		n[d.kind]++
	}
	return n
}

// byFile returns the verdicts on each file of the specification.
func (v *verdicts) byFile() (files [][]verdict) {
	for i, d := range v.all {
		if i == 0 || d.file != v.all[i-1].file {
			files = append(files, nil)
		}
		last := len(files) - 1
		files[last] = append(files[last], d)
	}
	return files
}

// table writes the verdicts of one kind.
func (v *verdicts) table(b *strings.Builder, kind, title, intro string) {
	fmt.Fprintf(b, "\n## %s\n\n", title)
	if count(v.all)[kind] == 0 {
		b.WriteString("None.\n")
		return
	}
	b.WriteString(intro + "\n")
	for _, of := range v.byFile() {
		rows := v.rows(of, kind)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n### %s\n\n", of[0].file)
		if kind == untested {
			b.WriteString("| Section | Requirement | Code |\n|---|---|---|\n")
		} else {
			b.WriteString("| Section | Requirement | What is done, and why | Code and tests |\n|---|---|---|---|\n")
		}
		for _, row := range rows {
			v.writeRow(b, row)
		}
	}
}

// rows returns the verdicts of one kind, those with one reason together.
func (v *verdicts) rows(all []verdict, kind string) (rows [][]verdict) {
	for _, d := range all {
		if d.kind != kind {
			continue
		}
		at := slices.IndexFunc(rows, func(row []verdict) bool { return d.why != "" && row[0].why == d.why })
		if at < 0 {
			at, rows = len(rows), append(rows, nil)
		}
		rows[at] = append(rows[at], d)
	}
	return rows
}

func (v *verdicts) writeRow(b *strings.Builder, row []verdict) {
	var sections, texts, refs []string
	for _, d := range row {
		sections = addNew(sections, fmt.Sprintf("%s [%s](%s)", d.level, d.anchor, link(d.file, d.anchor)))
		texts = addNew(texts, cell(d.text))
		for _, r := range slices.Concat(d.code, d.tests) {
			refs = addNew(refs, "`"+r+"`")
		}
	}
	columns := [][]string{sections, texts, refs}
	if why := v.reason(row[0]); why != "" {
		columns = [][]string{sections, texts, {cell(why)}, refs}
	}
	for _, c := range columns {
		b.WriteString("| " + strings.Join(c, "<br>") + " ")
	}
	b.WriteString("|\n")
}

// outside writes what does not apply, by reason.
func (v *verdicts) outside(b *strings.Builder) {
	b.WriteString("\n## Does not apply\n\n| Reason | Sentences | Files |\n|---|--:|---|\n")
	n := map[string]int{}
	files := map[string][]string{}
	var reasons []string
	for _, d := range v.all {
		if d.kind == inapplicable {
			why := v.reason(d)
			n[why]++
			reasons = addNew(reasons, why)
			files[why] = addNew(files[why], d.file)
		}
	}
	for _, why := range reasons {
		fmt.Fprintf(b, "| %s | %d | %s |\n", cell(why), n[why], strings.Join(files[why], "<br>"))
	}
}

func addNew(all []string, s string) []string {
	if slices.Contains(all, s) {
		return all
	}
	return append(all, s)
}

// cell returns a text for a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
