package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// A tally counts the cells of a group.
type tally struct {
	passed, failed, named int
	spent                 time.Duration
}

func (t tally) String() string { return fmt.Sprintf("%d/%d/%d", t.passed, t.failed, t.named) }

// groupRelease is the group of what is asked of a peer itself.
const groupRelease = "release and limits"

// A result is what came of a peer's cells.
type result struct {
	peer     string
	groups   map[string]*tally
	named    map[string]int // cells in which a limit shows
	failures []string
	spent    time.Duration // of which the peer took
	calls    int
}

func (r *result) group(name string) *tally {
	if r.groups[name] == nil {
		r.groups[name] = &tally{}
	}
	return r.groups[name]
}

func (r *result) fail(group, format string, args ...any) {
	r.group(group).failed++
	r.failures = append(r.failures, r.peer+": "+fmt.Sprintf(format, args...))
}

func (r *result) total() (t tally) {
	for _, g := range r.groups {
		t.passed, t.failed, t.named = t.passed+g.passed, t.failed+g.failed, t.named+g.named
	}
	return t
}

// runCells runs cells against a peer. If they are all, each of its limits must show in one.
// It tells progress of each group that is done.
func runCells(ctx context.Context, t *table, version string, limits []limit, cells []*cell, all bool, progress func(string)) *result {
	r := &result{peer: t.name, groups: map[string]*tally{}, named: map[string]int{}}
	about, err := t.peer.about(ctx)
	switch {
	case err != nil:
		r.fail(groupRelease, "%v", err)
		return r
	case about.Version != version:
		r.fail(groupRelease, "it is version %q, and its limits were seen with %s", about.Version, version)
	default:
		r.group(groupRelease).passed++
	}
	r.peer = about.Name + " " + about.Version
	for i, c := range cells {
		start := time.Now()
		r.count(c, t.run(ctx, c), limits)
		g := r.group(c.group)
		g.spent += time.Since(start)
		if i == len(cells)-1 || cells[i+1].group != c.group {
			progress(fmt.Sprintf("%s: %s: %v in %.1fs", t.name, c.group, g, g.spent.Seconds()))
		}
	}
	for _, l := range limits {
		if all && r.named[l.name] == 0 && !l.sometimes {
			r.fail(groupRelease, "no cell shows that it %s", l.name)
		}
	}
	r.spent, r.calls = t.peer.spent, t.peer.calls
	for _, name := range keysOf(about.Also) {
		r.peer += fmt.Sprintf(" (%s %s)", name, about.Also[name])
	}
	return r
}

// count counts a cell that ended with an error, or with none.
func (r *result) count(c *cell, err error, limits []limit) {
	var holds []string
	for _, l := range limits {
		if l.shows(c, err) {
			r.group(c.group).named++
			r.named[l.name]++
			return
		}
		if l.holds(c) && !l.sometimes {
			holds = append(holds, l.name)
		}
	}
	switch {
	case err != nil:
		r.fail(c.group, "%v: %v", c, err)
	case len(holds) > 0:
		r.fail(c.group, "%v: the limit that it %s no longer shows", c, strings.Join(holds, ", "))
	default:
		r.group(c.group).passed++
	}
}

// report prints what came of all cells, and returns the sum.
func report(to io.Writer, results []*result, seed uint64) (sum tally) {
	const width = 22
	fmt.Fprintln(to, "\ncells: passed/failed/named")
	fmt.Fprintf(to, "%-*s", width, "")
	for i := range results {
		fmt.Fprintf(to, " %18s", fmt.Sprintf("[%d]", i+1))
	}
	fmt.Fprintln(to)
	for _, g := range append([]string{groupRelease}, groups...) {
		ran := false
		line := fmt.Sprintf("%-*s", width, g)
		for _, r := range results {
			shown := "-"
			if t := r.groups[g]; t != nil {
				shown, ran = t.String(), true
			}
			line += fmt.Sprintf(" %18s", shown)
		}
		if ran {
			fmt.Fprintln(to, line)
		}
	}
	line := fmt.Sprintf("%-*s", width, "all")
	for _, r := range results {
		line += fmt.Sprintf(" %18s", r.total())
	}
	fmt.Fprintln(to, line)
	for i, r := range results {
		t := r.total()
		sum.passed, sum.failed, sum.named = sum.passed+t.passed, sum.failed+t.failed, sum.named+t.named
		fmt.Fprintf(to, "\n[%d] %s: %d calls, %.1fs\n", i+1, r.peer, r.calls, r.spent.Seconds())
		for _, name := range slices.Sorted(maps.Keys(r.named)) {
			fmt.Fprintf(to, "    %4d named: it %s\n", r.named[name], name)
		}
	}
	failures := 0
	for _, r := range results {
		for _, f := range r.failures {
			if failures == 0 {
				fmt.Fprintf(to, "\nFailures, of seed %d:\n", seed)
			}
			failures++
			fmt.Fprintf(to, "  %s\n", f)
		}
	}
	return sum
}
