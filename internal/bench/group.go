package main

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A group is what is timed in turns, and the figures that come of it.
type group struct {
	name   string
	rounds int                       // without -quick, about, in all processes together
	build  func() ([]entrant, error) // checks that what is timed is right; nil if nothing is
	ratios []ratio
	counts []count
}

// A ratio is the time of one entrant over that of another.
type ratio struct {
	name     string
	num, den key
	want     target
}

// A count is a figure that no clock is needed for.
type count struct {
	name  string
	want  target
	value func() (float64, error)
}

// A figure is a ratio or a count, measured.
type figure struct {
	name  string
	value float64
	want  target
}

func (f figure) String() string {
	line := fmt.Sprintf("ratio %s %s", f.name, decimal(f.value))
	if !f.want.met(f.value) {
		line += fmt.Sprintf("  short: target %s", f.want)
	}
	return line
}

// decimal shows three places of a ratio near one, and no more than is known of
// a large one.
func decimal(v float64) string {
	switch {
	case v >= 100 || v == float64(int(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

// A target is what a figure should reach. The zero target is none.
type target struct {
	sign  string
	value float64
}

func atLeast(v float64) target { return target{">=", v} }
func atMost(v float64) target  { return target{"<=", v} }

func (t target) met(v float64) bool {
	switch t.sign {
	case ">=":
		return v >= t.value
	case "<=":
		return v <= t.value
	default:
		return true
	}
}

func (t target) String() string {
	if t.sign == "" {
		return ""
	}
	return fmt.Sprintf("%s %v", t.sign, t.value)
}

// An outcome is what a group gave.
type outcome struct {
	group   string
	speeds  []speed
	figures []figure
}

// A speed is how fast an entrant is: the median of the processes, each of which
// gave the median of its rounds.
type speed struct {
	key
	bytes   int64   // of plaintext in a call; zero where the time of a call is what counts
	seconds float64 // of a call
}

const (
	// processes is how many measure a group, one after the other. A ratio can be 15 %
	// off in all rounds of one process: only another process shows that.
	processes = 3

	quickRounds = 9
)

// measure has child measure the entrants in each of the processes.
func (g group) measure(child func(group string) ([]timing, error)) (outcome, error) {
	o := outcome{group: g.name}
	if g.build != nil {
		runs := make([][]timing, processes)
		for i := range runs {
			var err error
			if runs[i], err = child(g.name); err != nil {
				return o, err
			}
		}
		var err error
		if o.speeds, err = speeds(runs); err != nil {
			return o, err
		}
		for _, r := range g.ratios {
			v, err := r.of(runs)
			if err != nil {
				return o, fmt.Errorf("%s: %w", r.name, err)
			}
			o.figures = append(o.figures, figure{r.name, v, r.want})
		}
	}
	for _, c := range g.counts {
		v, err := c.value()
		if err != nil {
			return o, fmt.Errorf("%s: %w", c.name, err)
		}
		o.figures = append(o.figures, figure{c.name, v, c.want})
	}
	return o, nil
}

// time builds the entrants and measures them in this process.
func (g group) time(quick bool) ([]timing, error) {
	if g.build == nil {
		return nil, errors.New("has nothing to time")
	}
	entrants, err := g.build()
	if err != nil {
		return nil, err
	}
	return g.plan(quick).measure(entrants)
}

// plan returns what one process does.
func (g group) plan(quick bool) plan {
	total, sample := g.rounds, 20*time.Millisecond
	if quick {
		total, sample = min(g.rounds, quickRounds), 10*time.Millisecond
	}
	return plan{rounds: (total + processes - 1) / processes, sample: sample}
}

// of returns the median of the ratios that the processes gave.
func (r ratio) of(runs [][]timing) (float64, error) {
	ratios := make([]float64, len(runs))
	for i, run := range runs {
		num, err := find(run, r.num)
		if err != nil {
			return 0, err
		}
		den, err := find(run, r.den)
		if err != nil {
			return 0, err
		}
		ratios[i] = medianRatio(num.Seconds, den.Seconds)
	}
	return median(ratios), nil
}

// speeds returns one for each entrant, in their order.
func speeds(runs [][]timing) ([]speed, error) {
	var all []speed
	for _, first := range runs[0] {
		medians := make([]float64, len(runs))
		for i, run := range runs {
			t, err := find(run, first.key())
			if err != nil {
				return nil, err
			}
			medians[i] = median(t.Seconds)
		}
		all = append(all, speed{first.key(), first.Bytes, median(medians)})
	}
	return all, nil
}

func find(run []timing, k key) (timing, error) {
	i := slices.IndexFunc(run, func(t timing) bool { return t.key() == k })
	if i < 0 {
		return timing{}, fmt.Errorf("%s: %s: was not measured", k.who, k.op)
	}
	return run[i], nil
}

func (o outcome) find(k key) *speed {
	i := slices.IndexFunc(o.speeds, func(s speed) bool { return s.key == k })
	if i < 0 {
		return nil
	}
	return &o.speeds[i]
}

// groups returns all there is to measure.
func groups(quick bool) []group {
	var all []group
	for _, n := range []int{4096, 65536} {
		all = append(all, oneCoreGroup(n))
	}
	for _, n := range []int{4096, 65536} {
		all = append(all, allCoresGroup(n)...)
	}
	all = append(all, signedGroup(), smallGroup(), rangeGroup(),
		awsGroup(16<<20, 7, atLeast(35)), // a run of AWS's takes long
		awsGroup(smallLen, 21, atLeast(50)))
	for _, size := range []int{64 << 10, 1 << 20, 16 << 20, 64 << 20} {
		all = append(all, streamPeersGroup(size))
	}
	for _, size := range []int{64, 64 << 10, 1 << 20, 16 << 20} {
		all = append(all, envelopePeersGroup(size))
	}
	return append(all, memoryGroup(quick), allocsGroup())
}
