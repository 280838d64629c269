// Command testvectors runs decrypt manifests of AWS's test vector framework,
// versions 1 to 5, through the public API.
//
//	go run ./internal/testvectors [-want-error] MANIFEST...
//
// It prints a line for each vector that fails, a count of those skipped by kind
// of key, and last the totals. It exits with 1 if a vector failed or none ran.
// Keys that live in AWS KMS are left out; a vector that has no other is skipped. Public
// keys are left out too; a vector that has no other fails.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

func main() {
	wantError := flag.Bool("want-error", false, "vectors pass when decryption fails with an authentication error")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: testvectors [-want-error] MANIFEST...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	t := &totals{skipped: map[string]int{}}
	for _, path := range flag.Args() {
		if err := runManifest(context.Background(), os.Stdout, t, path, *wantError); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	t.print(os.Stdout)
	if !t.ok() {
		os.Exit(1)
	}
}

// totals counts over all manifests.
type totals struct {
	passed, failed int
	skipped        map[string]int // by kind of key
}

func (t *totals) ok() bool { return t.failed == 0 && t.passed > 0 }

func (t *totals) print(w io.Writer) {
	var skipped int
	for _, kind := range slices.Sorted(maps.Keys(t.skipped)) {
		fmt.Fprintf(w, "skipped %d of %s\n", t.skipped[kind], kind)
		skipped += t.skipped[kind]
	}
	fmt.Fprintf(w, "%d passed, %d failed", t.passed, t.failed)
	if skipped > 0 {
		fmt.Fprintf(w, ", %d skipped", skipped)
	}
	fmt.Fprintln(w)
}

func runManifest(ctx context.Context, w io.Writer, t *totals, path string, wantError bool) error {
	vectors, err := loadManifest(path)
	if err != nil {
		return err
	}
	for _, v := range vectors {
		skip, err := v.run(ctx, wantError)
		switch {
		case skip != "":
			t.skipped[skip]++
		case err != nil:
			t.failed++
			fmt.Fprintf(w, "FAIL %s %s: %v\n", path, v.name, err)
		default:
			t.passed++
		}
	}
	return nil
}
