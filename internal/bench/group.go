package main

import (
	"fmt"
	"slices"
	"time"
)

// A group is what is timed in turns, and the figures that come of it.
type group struct {
	name   string
	rounds int                       // without -quick
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
	timings []timing
	figures []figure
}

const quickRounds = 11

func (g group) measure(quick bool) (outcome, error) {
	o := outcome{group: g.name}
	if g.build != nil {
		entrants, err := g.build()
		if err != nil {
			return o, err
		}
		p := plan{rounds: g.rounds, sample: 20 * time.Millisecond}
		if quick {
			p = plan{rounds: min(g.rounds, quickRounds), sample: 10 * time.Millisecond}
		}
		if o.timings, err = p.measure(entrants); err != nil {
			return o, err
		}
	}
	for _, r := range g.ratios {
		num, den := o.find(r.num), o.find(r.den)
		if num == nil || den == nil {
			return o, fmt.Errorf("%s: %v or %v was not measured", r.name, r.num, r.den)
		}
		o.figures = append(o.figures, figure{r.name, medianRatio(num.seconds, den.seconds), r.want})
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

func (o outcome) find(k key) *timing {
	i := slices.IndexFunc(o.timings, func(t timing) bool { return t.key == k })
	if i < 0 {
		return nil
	}
	return &o.timings[i]
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
