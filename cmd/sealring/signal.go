package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

var cleanups struct {
	sync.Mutex
	all []func()
}

// guarded calls do, and what that returns before a signal ends the program. No signal ends
// it in between.
func guarded(do func() (undo func(), err error)) error {
	cleanups.Lock()
	defer cleanups.Unlock()
	undo, err := do()
	if err == nil {
		cleanups.all = append(cleanups.all, undo)
	}
	return err
}

// interruptible has an interrupt and a termination end the program, with nothing left of an
// output that is not whole. It does not wait for the command: that may be in a read which
// never ends.
//
// Before it exits by itself, a program calls the function returned: it does not return if a
// signal came first.
func interruptible(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) { // as nohup has it
			signal.Notify(signals, s)
		}
	}
	go func() {
		s := <-signals
		cleanups.Lock() // and never unlocked: no output is opened any more
		cancel()
		for _, f := range cleanups.all {
			f()
		}
		fmt.Fprintln(os.Stderr, "sealring: error: ended by a signal:", s)
		code := exitFailed
		if n, ok := s.(syscall.Signal); ok {
			code = exitSignal + int(n)
		}
		os.Exit(code)
	}()
	return ctx, cleanups.Lock
}
