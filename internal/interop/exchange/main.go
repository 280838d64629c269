// Command exchange exchanges messages between this library and AWS's releases of the
// Encryption SDK in other languages: each reads what the other wrote, and refuses what it
// must. In internal/interop:
//
//	go run ./exchange                                   # all but Rust
//	go run ./exchange -peer rust -within 30m            # which takes long to build
//	go run ./exchange -peer python -quick               # fewer cells
//	go run ./exchange -peer python -only 'KMS.*P-384'   # cells that match
//
// The releases are installed from their registries into folders of peers/ when they are
// first asked for, in the versions that are pinned there. A program in the peer's language
// answers one request at a time (see request). Peers are asked side by side.
//
// A cell is one message: who writes it and who reads it, under which keyring, suite, frame
// length and context. This library writes in memory or by its Writer, and reads in every way
// that it has. KMS is an embedded one that both sides ask, and branch keys are in moto's
// DynamoDB; without moto_server there are none.
//
// Messages that are altered at one byte, cut short or longer by a byte must be refused: by this
// library in every way that it reads, and by a peer in memory and by its streams. What a stream
// released before its error must be plaintext of the frames in front of what was altered. With
// -quick, streams are asked only at the edges of each field.
//
// Where a peer is known to be limited, cells say so by name and do not count (limits.go). A
// limit that does not show any more is a failure.
//
// It prints a table of the cells, and last "N passed, N failed". It exits with 1 if a cell
// failed, and with 3 if a peer or moto is not to be had; the others are exchanged all the
// same.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-sealring/sealring/internal/mototest"
)

func main() {
	err := run(context.Background(), os.Args[1:], os.Stdout)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, errNoPeer), errors.Is(err, mototest.ErrNotInstalled):
		fmt.Fprintln(os.Stderr, "exchange:", err)
		os.Exit(3)
	}
	fmt.Fprintln(os.Stderr, "exchange:", err)
	os.Exit(1)
}

// options are those of the command line.
type options struct {
	peers  []recipe
	dir    string
	within time.Duration
	only   *regexp.Regexp
	quick  bool
	seed   uint64
	write  string
	faulty string
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("exchange", flag.ContinueOnError)
	names := flags.String("peer", "python,javascript,java", "peers by their `names`, with commas between")
	flags.StringVar(&o.dir, "dir", "peers", "`directory` of the peers' programs")
	flags.DurationVar(&o.within, "within", 5*time.Minute, "how long the installation of a peer may take")
	only := flags.String("only", "", "only cells whose names match this `regexp`")
	flags.BoolVar(&o.quick, "quick", false, "fewer cells, for a minute or two")
	flags.Uint64Var(&o.seed, "seed", 1, "of plaintexts, and of what is exchanged at random")
	flags.StringVar(&o.write, "write", "", "write messages of the peers into this `directory`, and do nothing else")
	flags.StringVar(&o.faulty, "refused", "", "print which messages in this `file` the peers open, as readers.json has it, and do nothing else")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, err
	}
	for _, name := range strings.Split(*names, ",") {
		r, err := recipeOf(name)
		if err != nil {
			return o, err
		}
		o.peers = append(o.peers, r)
	}
	return o, nil
}

func run(ctx context.Context, args []string, to io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	start := time.Now()
	installed, missing, err := install(ctx, o)
	if err != nil {
		return err
	}
	for _, p := range installed {
		defer p.stop()
	}
	fmt.Fprintf(to, "%d of %d peers are here after %.1fs\n", len(installed), len(o.peers), time.Since(start).Seconds())
	if o.write != "" {
		for _, r := range o.peers {
			if p := installed[r.name]; p != nil {
				t := &table{ours: newOurs(), peer: p, name: r.name, seed: o.seed}
				missing = errors.Join(missing, writeMessages(ctx, t, r, o.write))
			}
		}
		return missing
	}
	if o.faulty != "" {
		for _, r := range o.peers {
			if p := installed[r.name]; p != nil {
				if err := readFaulty(ctx, to, o.faulty, p, r.pushes); err != nil {
					return fmt.Errorf("%s: %w", r.name, err)
				}
			}
		}
		return missing
	}
	s, stop, err := startServices(ctx)
	if err != nil {
		return err
	}
	defer stop()
	library := newOurs()
	defer library.close()
	if s.moto == "" {
		fmt.Fprintf(to, "left out: %s: %v\n", groupBranchKeys, mototest.ErrNotInstalled)
		missing = errors.Join(missing, mototest.ErrNotInstalled)
	}
	fmt.Fprintf(to, "seed %d\n", o.seed)

	start = time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	progress := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(to, line)
	}
	results := make([]*result, 0, len(installed))
	for _, r := range o.peers {
		p := installed[r.name]
		if p == nil {
			continue
		}
		i := len(results)
		results = append(results, nil)
		wg.Go(func() {
			all := cellsFor(s, o.seed, o.quick, r.pushes)
			cells := selected(all, o.only)
			t := &table{ours: library, peer: p, name: r.name, seed: o.seed}
			results[i] = runCells(ctx, t, r.version, r.limits, cells, !o.quick && len(cells) == len(all), progress)
		})
	}
	wg.Wait()
	sum := report(to, results, o.seed)
	fmt.Fprintf(to, "\n%.1fs; %d cells are named above, and not counted\n", time.Since(start).Seconds(), sum.named)
	fmt.Fprintf(to, "%d passed, %d failed\n", sum.passed, sum.failed)
	switch {
	case sum.failed > 0:
		return errors.New("not all cells passed")
	case missing != nil:
		return missing
	case sum.passed == 0:
		return errors.New("no cell passed")
	}
	return nil
}

// install installs the peers, all at once, and returns those that are there by their names.
// Missing says why others are not.
func install(ctx context.Context, o options) (installed map[string]*peer, missing, err error) {
	peers, errs := make([]*peer, len(o.peers)), make([]error, len(o.peers))
	var wg sync.WaitGroup
	for i, r := range o.peers {
		wg.Go(func() { peers[i], errs[i] = r.install(ctx, filepath.Join(o.dir, r.name), o.within) })
	}
	wg.Wait()
	installed = map[string]*peer{}
	for i, r := range o.peers {
		switch {
		case errors.Is(errs[i], errNoPeer):
			missing = errors.Join(missing, errs[i])
		case errs[i] != nil:
			return nil, nil, errs[i]
		default:
			installed[r.name] = peers[i]
		}
	}
	return installed, missing, nil
}

// selected returns the cells whose names match.
func selected(cells []*cell, only *regexp.Regexp) []*cell {
	var some []*cell
	for _, c := range cells {
		if only.MatchString(c.String()) {
			some = append(some, c)
		}
	}
	return some
}
