// Command requirements holds the verdicts on the requirements of the AWS Encryption SDK's
// specification: which the library meets, by what code and as which tests show, and
// which not, and why. From the directory of the module,
//
//	go run ./internal/requirements -spec DIR
//
// takes all sentences with a requirement from the specification, which is in DIR: a
// checkout, or a git directory, of which it reads the commit that -commit names. It exits
// with 1 and a line for each
//   - requirement without a verdict,
//   - verdict on a sentence that is not there, or no longer in these words,
//   - function, type or test that a verdict names and that does not exist.
//
// Without -spec it does all but the first two, and needs nothing but this module. With -write
// it writes REPORT.md; else it is an error if that is not what it would write.
//
// A sentence is named by a part of a hash over its file, its section and its words, so that
// none of the specification's text is kept here.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// commit is that of the specification which the verdicts are on.
const commit = "167041bbc054173e2c008e66bf2f5f424a8f3fe2"

const home = "internal/requirements"

func main() {
	spec := flag.String("spec", "", "compare with the specification in the `directory`")
	at := flag.String("commit", commit, "the `commit` to read of a git directory")
	write := flag.Bool("write", false, "write the report")
	flag.Parse()
	problems, err := run(".", *spec, *at, *write)
	for _, p := range problems {
		fmt.Println(p)
	}
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("%d problems", len(problems))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "requirements:", err)
		os.Exit(1)
	}
}

// run checks the verdicts of the module at root, and returns what is wrong with them.
func run(root, spec, at string, write bool) (problems []string, err error) {
	v, err := readVerdicts(filepath.Join(root, home, "verdicts"))
	if err != nil {
		return nil, err
	}
	if len(v.all) == 0 {
		return nil, errors.New("there are no verdicts")
	}
	problems = v.problems(newReferences(root))
	if spec != "" {
		requirements, err := readSpec(spec, at)
		if err != nil {
			return nil, err
		}
		if len(requirements) == 0 {
			return nil, fmt.Errorf("no requirement in %s", spec)
		}
		problems = append(problems, v.compare(requirements)...)
	}
	name := filepath.Join(root, home, "REPORT.md")
	report := v.report()
	if write {
		return problems, os.WriteFile(name, []byte(report), 0o644)
	}
	is, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if string(is) != report {
		problems = append(problems, "REPORT.md is not up to date: run with -write")
	}
	return problems, nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
