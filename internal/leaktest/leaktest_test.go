package leaktest

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorder is a TB that keeps what it was told.
type recorder struct {
	cleanups []func()
	errors   []string
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Helper()          {}
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// wait has t's checks look n times more.
func wait(t *testing.T, n int) {
	before := patience
	patience = n
	t.Cleanup(func() { patience = before })
}

func waits(begun *sync.WaitGroup, until <-chan struct{}) {
	begun.Done()
	<-until
}

const (
	waiting = "leaktest.waits"
	starter = "created by github.com/go-sealring/sealring/internal/leaktest.start"
)

// start starts n goroutines in waits, which end with the test, or with end.
func start(t *testing.T, n int) (end func()) {
	until := make(chan struct{})
	end = sync.OnceFunc(func() { close(until) })
	var begun sync.WaitGroup
	begun.Add(n)
	for range n {
		go waits(&begun, until)
	}
	begun.Wait()
	t.Cleanup(func() {
		end()
		for len(left([]string{waiting})) > 0 {
			time.Sleep(time.Millisecond)
		}
	})
	return end
}

func TestLeft(t *testing.T) {
	wait(t, 0)
	for name, c := range map[string]struct {
		parts []string
		n     int
	}{
		"function":           {[]string{waiting}, 3},
		"what started it":    {[]string{starter}, 3},
		"one of two":         {[]string{"leaktest.nothing", waiting}, 3},
		"both":               {[]string{waiting, starter}, 3},
		"another function":   {[]string{"leaktest.nothing"}, 0},
		"another's function": {[]string{"other/leaktest.waits"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			start(t, 3)
			assert.Len(t, left(c.parts), c.n)
		})
	}
}

// TestLeftAmongMany has stacks that are longer together than the first buffer.
func TestLeftAmongMany(t *testing.T) {
	wait(t, 0)
	start(t, 10_000)
	assert.Len(t, left([]string{waiting}), 10_000)
}

func TestLeftWaits(t *testing.T) {
	wait(t, math.MaxInt)
	end := start(t, 1)
	time.AfterFunc(20*time.Millisecond, end)
	assert.Empty(t, left([]string{waiting}))
}

func TestNone(t *testing.T) {
	var r recorder
	None(&r, waiting)
	require.Empty(t, r.errors)

	wait(t, 0)
	start(t, 2)
	None(&r, waiting)
	require.Len(t, r.errors, 1)
	assert.Contains(t, r.errors[0], "2 goroutines left")
	assert.Contains(t, r.errors[0], waiting)
}

func TestAtEnd(t *testing.T) {
	var r recorder
	wait(t, 0)
	start(t, 1)
	AtEnd(&r, waiting)
	require.Empty(t, r.errors, "before the end")
	require.Len(t, r.cleanups, 1)
	r.cleanups[0]()
	assert.Len(t, r.errors, 1)
}
