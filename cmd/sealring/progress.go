package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A progress shows on a terminal how far a command is. One that is nil shows nothing.
type progress struct{ bar *progressbar.ProgressBar }

// progress begins to show how much of size bytes, or of an unknown number if it is negative,
// was read. It shows nothing unless standard error is a terminal, and not that which the
// output goes to.
func (f *outputFlags) progress(what string, size int64) *progress {
	toTerminal := (f.name == "" || f.name == "-") && term.IsTerminal(int(os.Stdout.Fd()))
	if f.quiet || toTerminal || !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	return &progress{progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetRenderBlankState(true),
		progressbar.OptionClearOnFinish(),
	)}
}

// reader returns src, whose reads are shown.
func (p *progress) reader(src io.Reader) io.Reader {
	if p == nil {
		return struct{ io.Reader }{src}
	}
	return struct{ io.Reader }{io.TeeReader(src, p)}
}

// Write shows that b was read. It never fails: the bar does, if an input is longer than it
// said, as files that grow and those in /proc are.
func (p *progress) Write(b []byte) (int, error) {
	_ = p.bar.Add(len(b))
	return len(b), nil
}

// end removes the bar, so that what is written next has the line for itself.
func (p *progress) end() {
	if p != nil {
		_ = p.bar.Clear() // a terminal that is gone shows nothing
	}
}
