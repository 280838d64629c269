// Command mutants measures what the tests notice. It makes small changes to a program, one at
// a time, and runs the tests with each: a condition that never holds, another comparison, a
// statement that is left out, an error that is not returned, a number one too high, and so
// on. A change that no test notices shows a test that is missing, or code that does nothing.
//
//	go run ./internal/mutants -tests ./envelope,./envelope/field envelope/open.go envelope/derive.go
//
// The last line counts. What has survived stands before it, and in the file of -results;
// another run begins with that file, and tries only those that were not killed.
//
// All mutants are in one test binary, which an environment variable tells which one to be:
// so a mutant takes as long as its tests. Changes of declarations outside functions take a
// binary each. The tests of a mutant are those that reach its function, the quick ones
// first. The repository is not changed.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	tests   = flag.String("tests", "", "`packages` whose tests are run, in this order, with commas between")
	results = flag.String("results", "", "a `file` that keeps what was found")
	only    = flag.String("run", ".", "run only tests whose names match this `pattern`")
	slowest = flag.Duration("slowest", time.Minute, "leave out tests that take longer")
	until   = flag.Duration("for", 0, "stop after this time; another run with the same -results goes on")
	untried = flag.Bool("new", false, "try only mutants that are not in the file of -results")
	list    = flag.Bool("list", false, "print the mutants, and run none")
)

func main() {
	flag.Parse()
	if err := run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// A verdict is what became of a mutant.
type verdict string

const (
	killed     verdict = "killed"
	survived   verdict = "survived"
	notReached verdict = "not reached" // by any test
	noProgram  verdict = "no program"  // it does not compile, and does not count
)

// A result is a line of the results' file.
type result struct {
	File, Function, Change string
	Line                   int
	Verdict                verdict
	By                     string `json:",omitempty"` // the tests that killed it, or how
}

type session struct {
	dir     string // for what is built
	files   []*file
	bins    []*testBinary
	known   map[string]result
	skipped map[*mutant]bool // they do not compile

	replaced map[string]string // files, by those that took their place
	out      *os.File
}

func run(paths []string) error {
	s := &session{known: map[string]result{}, skipped: map[*mutant]bool{}, replaced: map[string]string{}}
	var err error
	if s.dir, err = os.MkdirTemp("", "mutants"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	next := 1
	for _, path := range paths {
		path, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parse(path, src, &next)
		if err != nil {
			return err
		}
		s.files = append(s.files, f)
	}
	if *list {
		for _, m := range s.all() {
			fmt.Printf("%s:%d: %s: %s\n", short(m.File), m.Line, m.Function, m.Change)
		}
		return nil
	}
	if *tests == "" {
		return errors.New("-tests is missing")
	}
	if err := s.load(); err != nil {
		return err
	}
	if err := s.dropUncompilable(); err != nil {
		return err
	}
	if err := s.trace(); err != nil {
		return err
	}
	deadline := time.Now().Add(1000 * time.Hour)
	if *until > 0 {
		deadline = time.Now().Add(*until)
	}
	for _, m := range s.all() {
		switch was, tried := s.known[m.key()]; {
		case was.Verdict == killed, was.Verdict == noProgram, tried && *untried:
			continue
		}
		if time.Now().After(deadline) {
			fmt.Println("out of time")
			break
		}
		v, by, err := s.try(m)
		if err != nil {
			return err
		}
		if err := s.tell(m, v, by); err != nil {
			return err
		}
	}
	s.report()
	return nil
}

// all returns the mutants, those that take a binary of their own last.
func (s *session) all() []*mutant {
	var all, constants []*mutant
	for _, f := range s.files {
		for _, fn := range f.functions {
			all = append(all, fn.mutants...)
		}
		constants = append(constants, f.constants...)
	}
	return append(all, constants...)
}

func short(path string) string {
	wd, _ := os.Getwd()
	if rel, err := filepath.Rel(wd, path); err == nil {
		return rel
	}
	return path
}

// load reads the results of earlier runs.
func (s *session) load() (err error) {
	if *results == "" {
		return nil
	}
	if s.out, err = os.OpenFile(*results, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666); err != nil {
		return err
	}
	for in := bufio.NewScanner(s.out); in.Scan(); {
		var r result
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			return err
		}
		path, err := filepath.Abs(r.File)
		if err != nil {
			return err
		}
		s.known[(&mutant{File: path, Function: r.Function, Change: r.Change}).key()] = r
	}
	return nil
}

func (s *session) tell(m *mutant, v verdict, by string) error {
	r := result{short(m.File), m.Function, m.Change, m.Line, v, by}
	s.known[m.key()] = r
	if s.out == nil {
		return nil
	}
	line, err := json.Marshal(r)
	if err == nil {
		_, err = s.out.Write(append(line, '\n'))
	}
	return err
}

func (s *session) report() {
	type counts map[verdict]int
	byFile := map[string]counts{}
	for _, m := range s.all() {
		r, ok := s.known[m.key()]
		if !ok {
			r.Verdict = "not tried"
		}
		f := short(m.File)
		if byFile[f] == nil {
			byFile[f] = counts{}
		}
		byFile[f][r.Verdict]++
		if r.Verdict != killed && r.Verdict != noProgram {
			fmt.Printf("%s:%d: %s: %s: %s\n", f, m.Line, m.Function, m.Change, r.Verdict)
		}
	}
	for _, f := range slices.Sorted(maps.Keys(byFile)) {
		c := byFile[f]
		total := 0
		for v, n := range c {
			if v != noProgram {
				total += n
			}
		}
		fmt.Printf("%-32s %4d mutants, %4d killed, %3d survived, %3d not reached, %3d not tried\n",
			f, total, c[killed], c[survived], c[notReached], c["not tried"])
	}
}

// overlay writes files that take the place of others, and returns the flag that says so.
func (s *session) overlay(replace map[string]string) (string, error) {
	dir, err := os.MkdirTemp(s.dir, "overlay")
	if err != nil {
		return "", err
	}
	paths := map[string]string{}
	for path, src := range replace {
		to := filepath.Join(dir, strconv.Itoa(len(paths))+".go")
		if err := os.WriteFile(to, []byte(src), 0o600); err != nil {
			return "", err
		}
		paths[path] = to
		s.replaced[to] = path
	}
	text, err := json.Marshal(map[string]any{"Replace": paths})
	if err != nil {
		return "", err
	}
	at := filepath.Join(dir, "overlay.json")
	return "-overlay=" + at, os.WriteFile(at, text, 0o600)
}

// inAll returns the overlay that has all mutants of functions, and where they are.
func (s *session) inAll() (flag string, lines map[string]map[int]*mutant, err error) {
	replace, lines := map[string]string{}, map[string]map[int]*mutant{}
	for _, f := range s.files {
		for i := range f.functions {
			fn := &f.functions[i]
			fn.mutants = slices.DeleteFunc(fn.mutants, func(m *mutant) bool { return s.skipped[m] })
		}
		replace[f.path], lines[f.path] = f.overlay()
		gen := filepath.Join(filepath.Dir(f.path), "mutant_chosen.go")
		replace[gen] = fmt.Sprintf(chosen, f.tree.Name.Name)
	}
	flag, err = s.overlay(replace)
	return flag, lines, err
}

var compileError = regexp.MustCompile(`(?m)^([^\s:]+\.go):(\d+):\d+: (.*)$`)

// dropUncompilable takes out the mutants that are no programs.
func (s *session) dropUncompilable() error {
	var dirs []string
	for _, f := range s.files {
		dirs = append(dirs, filepath.Dir(f.path))
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	for range 20 {
		flag, lines, err := s.inAll()
		if err != nil {
			return err
		}
		args := append([]string{"build", flag, "-gcflags=-e"}, dirs...)
		out, err := exec.Command("go", args...).CombinedOutput()
		if err == nil {
			return nil
		}
		before := len(s.skipped)
		for _, e := range compileError.FindAllSubmatch(out, -1) {
			path, err := filepath.Abs(string(e[1])) // go build shortens those near by
			if err != nil {
				return err
			}
			line, _ := strconv.Atoi(string(e[2]))
			if m := lines[s.replaced[path]][line]; m != nil && !s.skipped[m] {
				s.skipped[m] = true
				if s.known[m.key()].Verdict == noProgram {
					continue
				}
				if err := s.tell(m, noProgram, string(e[3])); err != nil {
					return err
				}
			}
		}
		if len(s.skipped) == before {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	return errors.New("there are always more mutants that do not compile")
}

// A testBinary has the tests of a package.
type testBinary struct {
	pkg, dir, path string
	tests          []test
}

// A test is a function of a test binary that succeeds if nothing is changed.
type test struct {
	name    string
	took    time.Duration
	reaches map[int]bool // by the first mutant of a function
}

func (s *session) build(pkg, overlay string) (*testBinary, error) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", pkg, err)
	}
	b := &testBinary{pkg: pkg, dir: strings.TrimSpace(string(out))}
	f, err := os.CreateTemp(s.dir, "*.test")
	if err != nil {
		return nil, err
	}
	f.Close()
	b.path = f.Name()
	if out, err := exec.Command("go", "test", "-c", "-vet=off", "-o", b.path, overlay, pkg).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go test -c %s: %w\n%s", pkg, err, out)
	}
	return b, nil
}

// run runs tests as a mutant, and says whether all succeed.
func (b *testBinary) run(id int, trace string, tests []string, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// A mutant may want memory without end.
	cmd := exec.CommandContext(ctx, "sh", "-c", `ulimit -v 8000000; exec "$@"`, "sh",
		b.path, "-test.short", "-test.failfast", "-test.run", "^("+strings.Join(tests, "|")+")$")
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "MUTANT="+strconv.Itoa(id), "MUTANT_TRACE="+trace)
	cmd.WaitDelay = time.Second
	return cmd.Run() == nil
}

// trace builds the tests, and finds which functions each of them reaches.
func (s *session) trace() error {
	flag, _, err := s.inAll()
	if err != nil {
		return err
	}
	for _, pkg := range strings.Split(*tests, ",") {
		b, err := s.build(pkg, flag)
		if err != nil {
			return err
		}
		cmd := exec.Command(b.path, "-test.list", *only)
		cmd.Dir = b.dir
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: %w", pkg, err)
		}
		for _, name := range strings.Fields(string(out)) {
			if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") && !strings.HasPrefix(name, "Example") {
				continue
			}
			at := filepath.Join(s.dir, "trace")
			began := time.Now()
			ok := b.run(-1, at, []string{name}, *slowest)
			took := time.Since(began)
			text, err := os.ReadFile(at)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			os.Remove(at)
			if !ok {
				fmt.Fprintf(os.Stderr, "left out: %s of %s, which failed or took too long (%v)\n", name, pkg, took.Round(time.Millisecond))
				continue
			}
			t := test{name, took, map[int]bool{}}
			for _, id := range bytes.Fields(text) {
				n, _ := strconv.Atoi(string(id))
				t.reaches[n] = true
			}
			b.tests = append(b.tests, t)
		}
		slices.SortFunc(b.tests, func(a, b test) int { return cmp.Compare(a.took, b.took) })
		s.bins = append(s.bins, b)
	}
	return nil
}

// try runs the tests that reach a mutant until one fails.
func (s *session) try(m *mutant) (verdict, string, error) {
	bins := s.bins
	id := m.id
	first := 0
	if m.whole {
		flag, err := s.overlay(map[string]string{m.File: m.source})
		if err != nil {
			return "", "", err
		}
		bins, id = nil, 0
		for _, b := range s.bins {
			one, err := s.build(b.pkg, flag)
			if err != nil && len(bins) == 0 {
				return noProgram, "", nil
			} else if err != nil {
				return "", "", err
			}
			one.tests = b.tests
			bins = append(bins, one)
			defer os.Remove(one.path)
		}
	} else {
		for _, f := range s.files {
			for _, fn := range f.functions {
				if slices.Contains(fn.mutants, m) {
					first = fn.mutants[0].id
				}
			}
		}
	}
	// All quick tests of all packages before the slow ones of any.
	type batch struct {
		bin   *testBinary
		names []string
		took  time.Duration
	}
	var batches []batch
	for _, b := range bins {
		var now batch
		now.bin = b
		for _, t := range b.tests {
			if !m.whole && !t.reaches[first] {
				continue
			}
			if len(now.names) > 0 && now.took+t.took > 2*now.took+time.Second {
				batches = append(batches, now)
				now = batch{bin: b}
			}
			now.names = append(now.names, t.name)
			now.took += t.took
		}
		if len(now.names) > 0 {
			batches = append(batches, now)
		}
	}
	if len(batches) == 0 {
		return notReached, "", nil
	}
	slices.SortStableFunc(batches, func(a, b batch) int { return cmp.Compare(a.took, b.took) })
	for _, b := range batches {
		if !b.bin.run(id, "/dev/null", b.names, 15*time.Second+5*b.took) {
			return killed, fmt.Sprintf("%d tests of %s, with %s", len(b.names), b.bin.pkg, b.names[0]), nil
		}
	}
	return survived, "", nil
}
