// Command kmstest serves an AWS KMS in memory, for trying out programs without an
// AWS account.
//
//	kmstest -listen 127.0.0.1:4566 -region us-east-1,eu-west-1 -create
//
// The first region listens on the given address, the others on the ports that
// follow it, or on free ones if the address leaves the port open. With -create it
// makes a symmetric key in each region, and a multi-region key in the first with
// replicas in the others, and prints their ARNs. Once all regions answer it prints
// a line that begins with "ready" and has the endpoint of each. It stops on an
// interrupt. Keys are gone then.
//
// Any credentials will do, since none are checked: whoever reaches the port may
// use every key.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "kmstest:", err)
		os.Exit(1)
	}
}

// regionList is a flag that may be repeated and may hold a list.
type regionList []string

func (l *regionList) String() string { return strings.Join(*l, ",") }

func (l *regionList) Set(s string) error {
	for _, name := range strings.Split(s, ",") {
		if slices.Contains(*l, name) {
			return fmt.Errorf("region %s is named twice", name)
		}
		*l = append(*l, name)
	}
	return nil
}

// run serves until ctx is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var regions regionList
	flags := flag.NewFlagSet("kmstest", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "127.0.0.1:0", "`address` of the first region")
	create := flags.Bool("create", false, "make keys, and print their ARNs")
	flags.Var(&regions, "region", "`name` of a region, or names with commas between (default us-east-1)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if len(regions) == 0 {
		regions = regionList{"us-east-1"}
	}
	addresses, err := assign(*listen, regions)
	if err != nil {
		return err
	}
	s, err := kmstest.New(kmstest.Config{Regions: regions, Listen: addresses})
	if err != nil {
		return err
	}
	defer s.Close()

	if *create {
		for _, name := range regions {
			fmt.Fprintln(stdout, "key", s.CreateKey(name, kmstest.SymmetricDefault))
		}
		primary := s.CreateMultiRegionKey(regions[0], kmstest.SymmetricDefault)
		fmt.Fprintln(stdout, "multi-region key", primary)
		for _, name := range regions[1:] {
			fmt.Fprintln(stdout, "replica", s.Replicate(primary, name))
		}
	}
	endpoints := make([]string, 0, len(regions))
	for _, name := range regions {
		endpoints = append(endpoints, name+"="+s.URL(name))
	}
	if _, err := fmt.Fprintln(stdout, "ready", strings.Join(endpoints, " ")); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// assign gives each region an address: the one given, and the ports that follow.
func assign(listen string, regions []string) (map[string]string, error) {
	host, service, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("-listen: %w", err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port > 0 && int(port)+len(regions)-1 > 65535 {
		return nil, fmt.Errorf("-listen: no ports for %d regions from %q", len(regions), service)
	}
	addresses := map[string]string{}
	for i, name := range regions {
		p := 0
		if port > 0 {
			p = int(port) + i
		}
		addresses[name] = net.JoinHostPort(host, strconv.Itoa(p))
	}
	return addresses, nil
}
