// Command largefile encrypts and decrypts a file of any size, in constant memory
// and with a progress bar.
//
//	largefile keygen  KEYFILE
//	largefile encrypt [-key KEYFILE] [-context KEY=VALUE]... [-force] IN OUT
//	largefile decrypt [-key KEYFILE] [-context KEY=VALUE]... [-force] IN OUT
//
// The key is 32 bytes in base64, from KEYFILE or the environment variable
// LARGEFILE_KEY. OUT appears only when it is complete. Without arguments the
// command shows itself on a file that it makes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/go-sealring/sealring/keyring"
)

const usage = `usage:
  largefile keygen  KEYFILE
  largefile encrypt [-key KEYFILE] [-context KEY=VALUE]... [-force] IN OUT
  largefile decrypt [-key KEYFILE] [-context KEY=VALUE]... [-force] IN OUT
  largefile          shows itself on a file that it makes`

func main() {
	// An interrupt cancels the work, which then removes what it had written.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "largefile:", err)
		stop()
		os.Exit(1)
	}
}

var errUsage = errors.New(usage)

func run(ctx context.Context, args []string, progress io.Writer) error {
	if len(args) == 0 {
		return demo(ctx, os.Stdout, progress)
	}
	switch args[0] {
	case "keygen":
		if len(args) != 2 {
			return errUsage
		}
		return writeNewKey(args[1])
	case "encrypt", "decrypt":
		j, err := parseJob(args[0], args[1:])
		if err != nil {
			return err
		}
		j.progress = progress
		return j.run(ctx)
	default:
		return errUsage
	}
}

func parseJob(operation string, args []string) (*job, error) {
	j := &job{operation: operation, context: keyring.EncryptionContext{}}
	var keyFile string
	flags := flag.NewFlagSet(operation, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&keyFile, "key", "", "")
	flags.BoolVar(&j.force, "force", false, "")
	flags.Func("context", "", func(pair string) error {
		k, v, ok := strings.Cut(pair, "=")
		if _, twice := j.context[k]; !ok || twice {
			return fmt.Errorf("%q is not KEY=VALUE with a new key", pair)
		}
		j.context[k] = v
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, usage)
	}
	if flags.NArg() != 2 {
		return nil, errUsage
	}
	j.in, j.out = flags.Arg(0), flags.Arg(1)
	key, err := readKey(keyFile)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	j.keyring, err = keyring.NewRawAES("largefile", "key", key)
	return j, err
}
