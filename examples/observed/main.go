// Command observed runs a service under load through an outage of KMS, and shows what its
// metrics say meanwhile. KMS is inside its own process, with two regions.
//
//	go -C examples/observed run .
//
// The metrics are at /metrics, in Prometheus' text format. To look at them with Prometheus
// and Grafana, let the load go on after the outage, or repeat the whole:
//
//	go -C examples/observed run . -listen 127.0.0.1:9464 -for 1h
//	go -C examples/observed run . -listen 127.0.0.1:9464 -repeat 1h
//
// alerts.yml has rules for Prometheus: for degradation, for a region that is down, for data
// keys that not all regions can unwrap, for refusals, and for a cache that is too small.
// dashboard.json is a dashboard for Grafana, to be imported there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

const usage = `usage:
  observed [-listen ADDRESS] [-for DURATION | -repeat DURATION]
    -listen   where /metrics is served; any free port of this machine if not given
    -for      how long the load goes on when the story has ended
    -repeat   how long the story is repeated`

type options struct {
	listen     string
	rest, loop time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "observed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err := fmt.Fprintln(out, usage)
		return err
	case err != nil:
		return fmt.Errorf("%w\n%s", err, usage)
	}
	s, err := newService(ctx)
	if err != nil {
		return err
	}
	defer s.close()

	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener)
	defer server.Close()
	url := "http://" + listener.Addr().String() + "/metrics"
	fmt.Fprintf(out, "metrics at %s\n\n", url)

	stop := s.load(ctx)
	defer stop()
	begun := time.Now()
	for {
		if _, err := tell(ctx, out, s, url); err != nil {
			return err
		}
		if time.Since(begun) >= o.loop {
			break
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(o.rest):
	}
	return nil
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("observed", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run says what is wrong
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "")
	flags.DurationVar(&o.rest, "for", 0, "")
	flags.DurationVar(&o.loop, "repeat", 0, "")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.rest > 0 && o.loop > 0:
		return o, errors.New("both -for and -repeat")
	}
	return o, nil
}
