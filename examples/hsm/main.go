//go:build cgo

// Command hsm encrypts under data keys that an RSA key in a token protects, over PKCS #11.
// It finds which paddings the token can undo, has Client.Check find it too, and counts what
// the token is asked with a cache and without.
//
// Without flags it runs on a token that it makes in a temporary folder with SoftHSM, which
// must be installed (apt-get install softhsm2):
//
//	go -C examples/hsm run . [-softhsm PATH]
//
// PATH is that of SoftHSM's library where it is in none of the usual places. With a URI it
// runs on the token that it names, in the form of package keyuri:
//
//	go -C examples/hsm run . -key 'pkcs11:token=TOKEN;object=OBJECT?namespace=NAMESPACE&name=NAME&padding=oaep-sha256&module-path=PATH&pin-source=file:PATH'
//
// There it logs in once and decrypts some 210 times. Nothing is written to the token.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/go-sealring/sealring/keyring/keyuri"
)

const usage = `usage:
  hsm [-softhsm PATH]   on a token that SoftHSM makes; PATH is that of libsofthsm2.so
  hsm -key URI          on the token that the URI names:
    pkcs11:token=TOKEN;object=OBJECT?namespace=NAMESPACE&name=NAME&padding=PADDING&module-path=PATH&pin-source=file:PATH
    with PADDING oaep-sha256, oaep-sha384, oaep-sha512, oaep-sha1 or pkcs1`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a token that hangs heeds none: a second interrupt ends the program
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hsm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	uri, softHSM, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err := fmt.Fprintln(out, usage)
		return err
	case err != nil:
		return fmt.Errorf("%w\n%s", err, usage)
	case uri == keyuri.URI{}:
		return onSoftHSM(ctx, out, softHSM)
	default:
		return onToken(ctx, out, uri)
	}
}

func parse(args []string) (uri keyuri.URI, softHSM string, err error) {
	flags := flag.NewFlagSet("hsm", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run says what is wrong
	text := flags.String("key", "", "")
	flags.StringVar(&softHSM, "softhsm", "", "")
	if err := flags.Parse(args); err != nil {
		return uri, "", err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case flags.NArg() > 0:
		// Not quoted: a URI without its flag may have a PIN in it.
		return uri, "", errors.New("there is an argument that is no flag")
	case given["key"] && given["softhsm"]:
		return uri, "", errors.New("-softhsm is for a token of the program's own: with -key the URI has module-path")
	case given["softhsm"] && softHSM == "":
		return uri, "", errors.New("-softhsm is empty")
	case given["key"]:
		if uri, err = keyuri.Parse(*text); err != nil {
			return uri, "", fmt.Errorf("-key: %w", err)
		}
		if !isPKCS11(uri) {
			return keyuri.URI{}, "", errors.New("-key: the URI does not begin with pkcs11")
		}
	}
	return uri, softHSM, nil
}

// onSoftHSM runs on a token that is made for it.
func onSoftHSM(ctx context.Context, out io.Writer, module string) (err error) {
	if module, err = findSoftHSM(module); err != nil {
		return err
	}
	t, err := newSoftToken(module)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	return onToken(ctx, out, t.uri)
}

// onToken runs on the key that a URI names.
func onToken(ctx context.Context, out io.Writer, uri keyuri.URI) (err error) {
	var t tokens
	defer func() { err = errors.Join(err, t.close()) }()
	d := &demo{out: out, uri: uri, find: t.find}
	return d.run(ctx)
}
