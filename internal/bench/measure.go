package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

// An entrant is one of the things that are timed in turns.
type entrant struct {
	key
	bytes int64 // of plaintext in one run; zero where the time of a call is what counts
	calls int   // that one run makes; zero is one
	run   func() error
}

// A key names an entrant within its group.
type key struct{ who, op string }

// A timing is what a call of an entrant took in each round of one process. Fields
// are exported for the way between processes.
type timing struct {
	Who, Op string
	Bytes   int64 // the entrant's
	Seconds []float64
}

func (t timing) key() key { return key{t.Who, t.Op} }

// A plan says how long to measure.
type plan struct {
	rounds int
	sample time.Duration // a run that takes less is repeated
}

// measure times the entrants in turns. Each round begins with another one, so
// that none always comes after the same.
func (p plan) measure(entrants []entrant) ([]timing, error) {
	timings := make([]timing, len(entrants))
	repeats := make([]int, len(entrants))
	for i, e := range entrants {
		timings[i] = timing{Who: e.who, Op: e.op, Bytes: e.bytes}
		var err error
		if repeats[i], err = p.calibrate(e); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", e.who, e.op, err)
		}
	}
	for round := range p.rounds {
		for turn := range entrants {
			i := (round + turn) % len(entrants)
			e := entrants[i]
			took, err := sample(e.run, repeats[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", e.who, e.op, err)
			}
			perCall := took.Seconds() / float64(repeats[i]*max(1, e.calls))
			timings[i].Seconds = append(timings[i].Seconds, perCall)
		}
	}
	return timings, nil
}

// calibrate returns how many runs make a sample. It is the warm-up too.
func (p plan) calibrate(e entrant) (int, error) {
	if err := e.run(); err != nil {
		return 0, err
	}
	for n := 1; ; n *= 2 {
		took, err := sample(e.run, n)
		if err != nil {
			return 0, err
		}
		if took >= p.sample {
			return n, nil
		}
		if took > p.sample/8 {
			return int(float64(n)*float64(p.sample)/float64(took)) + 1, nil
		}
	}
}

// sample times n runs. It begins with an empty heap, so that each entrant pays
// for the garbage it makes itself, and for no other's. That empties pools as
// well: where runs are short, one that is not timed fills them again.
func sample(run func() error, n int) (time.Duration, error) {
	runtime.GC()
	if n > 1 {
		if err := run(); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	for range n {
		if err := run(); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// median returns the middle of values, which may not be empty.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// medianRatio returns the median of the ratios that each round gave: what the
// machine did between rounds is in none of them.
func medianRatio(num, den []float64) float64 {
	ratios := make([]float64, len(num))
	for i := range num {
		ratios[i] = num[i] / den[i]
	}
	return median(ratios)
}
