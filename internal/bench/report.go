package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// writeReport writes the table and, if the streams that it shows were measured,
// the chart.
func writeReport(dir string, outcomes []outcome) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	chart, err := drawChart(outcomes)
	if err != nil {
		return err
	}
	if chart != nil {
		if err := os.WriteFile(filepath.Join(dir, "chart.svg"), chart, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "RESULTS.md"), markdown(outcomes, chart != nil), 0o644)
}

func markdown(outcomes []outcome, chart bool) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Measurements\n\n")
	fmt.Fprintf(&b, "Made by `go -C internal/bench run .`, which says in its documentation what is compared.\n\n")
	fmt.Fprintf(&b, "%s, %d cores used, %s/%s, %s.\n\n", cpuModel(), cores(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	for _, v := range versions() {
		fmt.Fprintf(&b, "- %s\n", v)
	}
	if chart {
		fmt.Fprintf(&b, "\n![Throughput of streams of 16 MiB](chart.svg)\n")
	}
	fmt.Fprintf(&b, "\n## Ratios\n\n")
	fmt.Fprintf(&b, "Throughput: ours over the other's. `small-*` and `range-*`: our time over the bound's.\n")
	fmt.Fprintf(&b, "`*-allocs`: allocations. `memory-*`: MiB.\n\n")
	fmt.Fprintf(&b, "`stream-*`: over a loop of AES-GCM that seals or opens into as much memory as we write\n")
	fmt.Fprintf(&b, "at once, %d KiB or one frame if that is longer. With `-of-one-frame`: over one that does\n", writeLen>>10)
	fmt.Fprintf(&b, "so into the same room for each frame, and so stays in the first-level cache, which no\n")
	fmt.Fprintf(&b, "writer can.\n\n")
	fmt.Fprintf(&b, "Ratios and throughputs are medians of %d processes.\n\n", processes)
	fmt.Fprintf(&b, "| | | target |\n| --- | ---: | --- |\n")
	for _, o := range outcomes {
		for _, f := range o.figures {
			want := f.want.String()
			if !f.want.met(f.value) {
				want += ", short"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", f.name, decimal(f.value), want)
		}
	}
	fmt.Fprintf(&b, "\n## Medians\n")
	for _, o := range outcomes {
		if len(o.speeds) > 0 {
			medianTable(&b, o)
		}
	}
	return b.Bytes()
}

// medianTable writes a row for each entrant's name and a column for each of what
// they do.
func medianTable(b *bytes.Buffer, o outcome) {
	var names, ops []string
	for _, s := range o.speeds {
		if !slices.Contains(names, s.who) {
			names = append(names, s.who)
		}
		if !slices.Contains(ops, s.op) {
			ops = append(ops, s.op)
		}
	}
	fmt.Fprintf(b, "\n### %s\n\n| | %s |\n| ---%s |\n", o.group, strings.Join(ops, " | "), strings.Repeat(" | ---:", len(ops)))
	for _, who := range names {
		fmt.Fprintf(b, "| %s |", who)
		for _, op := range ops {
			cell := ""
			if s := o.find(key{who, op}); s != nil {
				cell = s.String()
			}
			fmt.Fprintf(b, " %s |", cell)
		}
		fmt.Fprintln(b)
	}
}

// megabytes returns the throughput in MB/s.
func (s speed) megabytes() float64 {
	return float64(s.bytes) / s.seconds / 1e6
}

func (s speed) String() string {
	if s.bytes > 0 {
		return fmt.Sprintf("%.0f MB/s", s.megabytes())
	}
	return fmt.Sprintf("%.2f µs", s.seconds*1e6)
}

// versions returns what is compared, with versions.
func versions() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var lines []string
	for _, module := range []string{awsModule, tinkModule, ageModule, sioModule} {
		for _, dep := range info.Deps {
			if dep.Path == module {
				lines = append(lines, dep.Path+" "+dep.Version)
			}
		}
	}
	return lines
}

// cpuModel returns the processor's name, as far as the system tells it.
func cpuModel() string {
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	if out, err := exec.Command("sysctl", "-n", "machdep.cpu.brand_string").Output(); err == nil && len(out) > 0 {
		return strings.TrimSpace(string(out))
	}
	return "unknown processor"
}
