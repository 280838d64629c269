package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/go-sealring/sealring/envelope"
)

// memoryGroup watches the memory of a long stream, in a process of its own.
func memoryGroup(quick bool) group {
	size := int64(4 << 30)
	if quick {
		size = 256 << 20
	}
	name := "memory-" + sizeName(size)
	most := atMost(16)
	return group{
		name: "memory",
		counts: []count{
			{name, most, func() (float64, error) { return streamMemory(size, 0) }},
			{name + "-1core", most, func() (float64, error) { return streamMemory(size, 1) }},
			{name + "-16", most, func() (float64, error) { return streamMemory(size, 16) }},
		},
	}
}

// streamMemory returns by how many MiB the peak of a process that encrypts and
// decrypts a stream is above that of one that does nothing.
func streamMemory(size int64, concurrency int) (float64, error) {
	idle, err := memoryChild("idle")
	if err != nil {
		return 0, err
	}
	peak, err := memoryChild(fmt.Sprintf("%d,%d", size, concurrency))
	return float64(peak-idle) / (1 << 20), err
}

// memoryChild runs this program again and returns the peak that it reports.
func memoryChild(job string) (int64, error) {
	out, err := runChild("-memory-child", job)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

// runMemoryChild does a job, "idle" or "SIZE,CONCURRENCY", and prints the peak
// of the memory in bytes.
func runMemoryChild(job string) error {
	// The packages that this program is linked with leave garbage when they
	// start. A stream that used that memory would look smaller than it is.
	debug.FreeOSMemory()
	resetPeak()
	if job != "idle" {
		var size int64
		var concurrency int
		if _, err := fmt.Sscanf(job, "%d,%d", &size, &concurrency); err != nil {
			return err
		}
		if err := pipeStream(size, concurrency); err != nil {
			return err
		}
	}
	fmt.Println(peakMemory())
	return nil
}

// pipeStream encrypts a stream of n bytes, and decrypts it at the same time.
func pipeStream(n int64, concurrency int) error {
	c, err := newClient(envelope.Options{FrameLength: frameLen, Concurrency: concurrency})
	if err != nil {
		return err
	}
	stream := ourStream(ours, c)
	src, dst := io.Pipe()
	go func() {
		dst.CloseWithError(stream.encrypt(dst, &repeated{block: randomBytes(64 << 10), left: n}))
	}()
	var got counter
	if err := stream.decrypt(&got, src); err != nil {
		return err
	}
	if int64(got) != n {
		return errRoundTrip
	}
	return nil
}

// A repeated is a source that gives one block over and over.
type repeated struct {
	block []byte
	at    int
	left  int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	r.left -= int64(n)
	return n, nil
}

// A counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// resetPeak makes Linux forget the peak so far. Where that fails, the peak of
// the process's start counts in both children.
func resetPeak() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// peakMemory returns the most memory that the process had resident, in bytes;
// elsewhere than on Linux, what the runtime has from the system.
func peakMemory() int64 {
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			var kib int64
			if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
				return kib << 10
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}

// allocsGroup counts the allocations of a long stream beyond those of a short
// one: none, if they do not come with each frame.
func allocsGroup() group {
	const short, long = 8 << 20, 64 << 20
	growth := func() (float64, error) {
		c, err := newOurStream(ours, envelope.Options{})
		if err != nil {
			return 0, err
		}
		var n [2]float64
		for i, size := range []int{short, long} {
			src := randomBytes(size)
			msg, err := c.check(src)
			if err != nil {
				return 0, err
			}
			for _, e := range c.entrants(src, msg, memory) {
				allocs, err := allocsPerRun(e.run)
				if err != nil {
					return 0, err
				}
				n[i] += allocs
			}
		}
		return n[1] - n[0], nil
	}
	return group{
		name:   "allocs",
		counts: []count{{"allocs-stream-growth", atMost(8), growth}},
	}
}

// allocsPerRun returns how often run allocates, on average and rounded down, so
// that what the runtime does now and then is not counted.
func allocsPerRun(run func() error) (float64, error) {
	const runs = 20
	var before, after runtime.MemStats
	errs := []error{run()}
	runtime.ReadMemStats(&before)
	for range runs {
		if err := run(); err != nil {
			errs = append(errs, err)
		}
	}
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / runs), errors.Join(errs...)
}
