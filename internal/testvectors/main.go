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
	"os"

	"github.com/go-sealring/sealring/internal/testvectors/hierarchy"
	"github.com/go-sealring/sealring/internal/testvectors/vectors"
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
	t := vectors.NewTotals()
	for _, path := range flag.Args() {
		if err := vectors.Run(context.Background(), os.Stdout, t, path, *wantError, hierarchy.New); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	t.Print(os.Stdout)
	if !t.OK() {
		os.Exit(1)
	}
}
