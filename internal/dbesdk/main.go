// Command dbesdk exchanges items between this repository's envelope/dynamoitem and AWS's
// Java release of its Database Encryption SDK for DynamoDB: what one writes the other reads,
// and what was altered both refuse. It does so under raw AES keys, and under branch keys in
// moto's DynamoDB, wrapped by an AWS KMS in memory, where each makes branch keys and versions
// of them. Both put items with beacons into moto, of the same configuration: the beacons must
// be equal, and each finds by them what the other put.
//
//	go -C internal/dbesdk run .                            # all cells
//	go -C internal/dbesdk run . -only 'numbers|beacons'    # rows that match
//	go -C internal/dbesdk run . -items ../../envelope/dynamoitem/testdata/java.json
//
// The last one writes the items of Java's that the tests of envelope/dynamoitem read.
//
// Maven fetches the release the first time: some 60 MB, which takes one or two minutes. The
// program in java/ is compiled each time, and one JVM serves all cells.
//
// It prints a table: a line for each case, a cell for each suite, version of the head and
// direction. Where the two are known to differ in beacons, cells say so and do not count. Its
// last line is "N passed, N failed". It exits with 1 if a cell failed, and with 3 if something
// is not to be had: Maven, Java or moto is not installed, or the registry is not reached.
// Without moto it exchanges items under raw keys all the same.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/go-sealring/sealring/internal/mototest"
)

func main() {
	err := run()
	switch {
	case errors.Is(err, errNoPeer), errors.Is(err, mototest.ErrNotInstalled):
		fmt.Fprintln(os.Stderr, "dbesdk:", err)
		os.Exit(3)
	case err != nil:
		fmt.Fprintln(os.Stderr, "dbesdk:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	project := flag.String("java", "java", "`directory` of the Maven project")
	within := flag.Duration("within", 10*time.Minute, "how long Maven may take")
	only := flag.String("only", "", "only rows whose group and name match this `regexp`")
	items := flag.String("items", "", "write items of Java's to this `file`, and do nothing else")
	flag.Uint64Var(&seed, "seed", seed, "of the random items")
	flag.Parse()
	selected, err := regexp.Compile(*only)
	if err != nil {
		return err
	}

	ctx := context.Background()
	start := time.Now()
	classPath, err := fetchPeer(ctx, *project, *within)
	if err != nil {
		return err
	}
	fmt.Printf("the release is here after %.1fs\n", time.Since(start).Seconds())
	p, err := startPeer(ctx, *project, classPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if *items != "" {
		return writeItems(ctx, theirs{p}, *items)
	}

	s, stop, err := startServices(ctx)
	missing := errors.Is(err, mototest.ErrNotInstalled)
	switch {
	case missing: // the rest goes on without
	case err != nil:
		return err
	default:
		defer stop()
		if _, err := p.call(request{Op: "services", Services: &s.java}); err != nil {
			return err
		}
	}

	start = time.Now()
	var all []row
	for _, r := range rows(s) {
		if selected.MatchString(r.group + ": " + r.name) {
			all = append(all, r)
		}
	}
	t := runRows(ctx, os.Stdout, all, ours{}, theirs{p})
	fmt.Printf("\n%.1fs, of which Java took %.1fs for %d calls\n", time.Since(start).Seconds(), p.spent.Seconds(), p.calls)
	if t.differ > 0 {
		fmt.Printf("%d cells differ as said above, and are not counted\n", t.differ)
	}
	fmt.Printf("%d passed, %d failed\n", t.passed, t.failed)
	switch {
	case t.failed > 0:
		return errors.New("not all cells passed")
	case missing:
		return fmt.Errorf("%w; branch keys and beacons were not exchanged", mototest.ErrNotInstalled)
	case t.passed == 0:
		return errors.New("no cell passed")
	}
	return nil
}

type totals struct{ passed, failed, differ int }

// leftOut are kinds of beacons and of tables that this repository does not have.
var leftOut = []string{
	"beacons of a place inside a map or a list, and of virtual fields",
	"signed beacons, which have no encrypted part",
	"beacons that are shared, alone or as a set: the key is that of another beacon",
	"compound beacons of several constructors",
}

// runRows runs rows and prints them.
func runRows(ctx context.Context, to io.Writer, rows []row, a, b side) (t totals) {
	const width = 58
	fmt.Fprintf(to, "\n> %v writes, %v reads   < the other way   - does not apply   diff known, not counted\n", a, b)
	fmt.Fprintf(to, "%-*s", width, "")
	for _, k := range kinds {
		fmt.Fprintf(to, "  %-11v", k)
	}
	fmt.Fprintf(to, "\n%-*s", width, "")
	for range kinds {
		fmt.Fprintf(to, "  %-5s %-5s", ">", "<")
	}
	fmt.Fprintln(to)
	var failures, reasons []string
	group := ""
	for _, r := range rows {
		if r.group != group {
			group = r.group
			fmt.Fprintln(to, group)
		}
		fmt.Fprintf(to, "  %-*s", width-2, r.name)
		start := time.Now()
		for _, k := range kinds {
			fmt.Fprint(to, " ")
			for _, d := range []direction{{a, b}, {b, a}} {
				cell := "ok"
				switch err := r.run(ctx, k, d); {
				case errors.Is(err, errNone):
					cell = "-"
				case errors.Is(err, errDiffers):
					cell = "diff"
					t.differ++
				case err != nil:
					cell = "FAIL"
					t.failed++
					failures = append(failures, fmt.Sprintf("%s: %s: %v, %v: %v", r.group, r.name, k, d, err))
				default:
					t.passed++
				}
				fmt.Fprintf(to, " %-5s", cell)
			}
		}
		fmt.Fprintf(to, " %5.1fs\n", time.Since(start).Seconds())
		if r.reason != "" {
			reasons = append(reasons, fmt.Sprintf("%s: %s", r.name, r.reason))
		}
	}
	for _, part := range []struct {
		title string
		lines []string
	}{{"Where the two differ, and why", reasons}, {"Left out, since only Java has it", leftOut}, {"Failures", failures}} {
		if len(part.lines) > 0 {
			fmt.Fprintf(to, "\n%s:\n  %s\n", part.title, strings.Join(part.lines, "\n  "))
		}
	}
	return t
}
