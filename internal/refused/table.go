package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A reading says in which cases a reader does not do what it should: those that it opens
// though they are not to be opened, or need not be, and those that it refuses though they
// are to be opened.
type reading struct {
	Opens   []string `json:"opens"`
	Refuses []string `json:"refuses"`
}

// readers are the columns of the table.
var readers = []string{"sealring", "AWS Go 0.4.0", "AWS Python 4.0.7", "AWS JavaScript 5.0.2", "AWS Java 3.0.2", "AWS Java 3.0.2, streams", "AWS Rust 1.2.4"}

// table returns who opens what as a table in Markdown, from the results in a file. It has a
// row for each fault with which some reader opens a message, and for each verdict a sum.
func table(file string, all []entry) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var results map[string]reading
	if err := json.Unmarshal(b, &results); err != nil {
		return "", err
	}

	type row struct {
		text   string
		cases  int
		opened [8]int // by reader
	}
	var rows, sums []*row
	find := func(in *[]*row, text string) *row {
		for _, r := range *in {
			if r.text == text {
				return r
			}
		}
		*in = append(*in, &row{text: text})
		return (*in)[len(*in)-1]
	}
	for _, e := range all {
		_, name, _ := strings.Cut(e.ID, "/")
		sum := find(&sums, map[string]string{"open": "**to be opened**", "either": "**may be opened**", "refuse": "**to be refused**"}[e.Verdict])
		r := find(&rows, fmt.Sprintf("`%s`: %s", name, e.Fault))
		for _, r := range []*row{sum, r} {
			r.cases++
			for i, reader := range readers {
				if (e.Verdict == "open") != slices.Contains(append(results[reader].Opens, results[reader].Refuses...), e.ID) {
					r.opened[i]++
				}
			}
		}
		if e.Verdict == "open" {
			r.cases = 0 // of these, the sum says enough
		}
	}

	var out strings.Builder
	fmt.Fprintf(&out, "| messages opened | of | %s |\n|---|---|%s\n", strings.Join(readers, " | "), strings.Repeat("---|", len(readers)))
	for _, r := range append(sums, rows...) {
		if r.cases == 0 || r.opened == [8]int{} && !slices.Contains(sums, r) {
			continue
		}
		fmt.Fprintf(&out, "| %s | %d |", r.text, r.cases)
		for i := range readers {
			fmt.Fprintf(&out, " %d |", r.opened[i])
		}
		out.WriteByte('\n')
	}
	return out.String(), nil
}
