// Command bench measures sealring beside other libraries and beside the bounds
// that its speed has:
//
//	go -C internal/bench run .          # all of it; writes RESULTS.md and chart.svg
//	go -C internal/bench run . -quick   # fewer rounds, within two minutes
//	go -C internal/bench run . -quick -only 'stream-.*core' -check
//
// The others are AWS's Encryption SDK for Go, Tink, age and sio. The bounds are
// what no program in Go can beat with the standard library's ciphers: a loop of
// AES-GCM over the same bytes in the same frames, on one goroutine or on one for
// each core; SHA-384 over the same bytes, for signed messages; and for a small
// message the fewest calls that make a whole one.
//
// The loop is measured with two buffers. One is as long as what sealring writes at
// once: targets are held against that. The other has room for one frame, so that
// it stays in the first-level cache, which no writer can: on some processors
// it reads 15 % high with frames of 4096 bytes.
//
// Whatever is compared takes turns in one process, so that a machine that slows
// down slows all of it, and the process's ratio is the median of what each round
// gave. All rounds of a process can be 15 % off: so the program starts itself
// again, three times for each group, and takes the median of their ratios. Nothing is timed before its output has been decrypted and compared.
//
// It prints a line "ratio NAME VALUE" for each figure:
//
//   - stream, signed, aws, tink, age, sio: our throughput over the other's; for
//     stream that is the loop with the long buffer, with -of-one-frame the other,
//     with -of-aad the one that authenticates what the format says of each frame
//   - small, range: our time over the bound's
//   - allocs: allocations; for a field those of one call, for streams by how many
//     one of 64 MiB has more than one of 8 MiB, in both directions together
//   - memory: MiB that encrypting and decrypting a long stream adds to a process,
//     with the default concurrency, with one goroutine and with sixteen
//
// A figure that misses its target has "short" and the target behind it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	quick := flag.Bool("quick", false, "fewer rounds and a shorter stream for memory; writes files only with -out")
	only := flag.String("only", "", "measure only ratios or groups whose name matches this `regexp`")
	out := flag.String("out", "", "`directory` for RESULTS.md and chart.svg (default: the current one)")
	check := flag.Bool("check", false, "exit with an error if a ratio misses its target")
	memoryJob := flag.String("memory-child", "", "for bench itself: what to do while memory is watched")
	timed := flag.String("group-child", "", "for bench itself: the `group` to time")
	flag.Parse()
	switch {
	case *memoryJob != "":
		return runMemoryChild(*memoryJob)
	case *timed != "":
		return runGroupChild(*timed, *quick)
	}
	s := settings{quick: *quick}
	var err error
	if s.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	outcomes, err := s.measureAll(os.Stdout, os.Stderr)
	if err != nil {
		return err
	}
	if *out == "" && !*quick {
		*out = "."
	}
	if *out != "" {
		if err := writeReport(*out, outcomes); err != nil {
			return err
		}
	}
	if *check && missed(outcomes) {
		return errors.New("a ratio misses its target")
	}
	return nil
}

// settings are what the flags say about measuring.
type settings struct {
	quick bool
	only  *regexp.Regexp
}

// measureAll measures one group after the other, so that only one has its
// buffers in memory, and prints each group's ratios as they are known.
func (s settings) measureAll(ratios, progress io.Writer) ([]outcome, error) {
	start := time.Now()
	var outcomes []outcome
	for _, g := range groups(s.quick) {
		if !s.selects(g) {
			continue
		}
		fmt.Fprintf(progress, "%4.0fs %s\n", time.Since(start).Seconds(), g.name)
		o, err := g.measure(func(name string) ([]timing, error) { return groupChild(name, s.quick) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		if !s.only.MatchString(g.name) {
			o.figures = s.selected(o.figures)
		}
		for _, f := range o.figures {
			fmt.Fprintln(ratios, f)
		}
		outcomes = append(outcomes, o)
	}
	if len(outcomes) == 0 {
		return nil, errors.New("no group or ratio has a name that -only matches")
	}
	fmt.Fprintf(progress, "%4.0fs done\n", time.Since(start).Seconds())
	return outcomes, nil
}

func (s settings) selects(g group) bool {
	if s.only.MatchString(g.name) {
		return true
	}
	for _, r := range g.ratios {
		if s.only.MatchString(r.name) {
			return true
		}
	}
	for _, c := range g.counts {
		if s.only.MatchString(c.name) {
			return true
		}
	}
	return false
}

func (s settings) selected(all []figure) []figure {
	var some []figure
	for _, f := range all {
		if s.only.MatchString(f.name) {
			some = append(some, f)
		}
	}
	return some
}

func missed(outcomes []outcome) bool {
	for _, o := range outcomes {
		for _, f := range o.figures {
			if !f.want.met(f.value) {
				return true
			}
		}
	}
	return false
}
