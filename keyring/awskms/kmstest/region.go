package kmstest

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// A region is one listener and the HTTP server on it, or without a network neither.
type region struct {
	server *Server
	name   string
	addr   string // with the port, from the first opening on
	url    string

	// The test's changes of outage, one at a time. Taken before life.
	control sync.Mutex

	// Openings and closings, one at a time.
	life sync.Mutex
	gone bool               // closed for good
	http *http.Server       // nil without a network
	stop context.CancelFunc // ends the calls; nil while the region is shut
	done chan struct{}      // closed when http no longer accepts
	// One for each connection, which has one goroutine. Without a network, one for each
	// call.
	conns sync.WaitGroup

	mu      sync.Mutex
	up      context.Context // ends when the region is shut, and is nil then
	outage  Outage          // 0: none
	changed chan struct{}
	latency time.Duration
}

func newRegion(s *Server, name string) *region {
	return &region{server: s, name: name, changed: make(chan struct{})}
}

// open listens on addr and serves. Without a network it lets calls enter.
func (r *region) open(addr string) error {
	r.life.Lock()
	defer r.life.Unlock()
	if r.stop != nil || r.gone {
		return nil
	}
	var l net.Listener
	if !r.server.noNetwork {
		var err error
		if l, err = net.Listen("tcp", addr); err != nil {
			return fmt.Errorf("kmstest: region %s: %w", r.name, err)
		}
		addr = l.Addr().String()
	}
	if r.addr == "" {
		r.addr = addr
		r.url = "http://" + addr
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.mu.Lock()
	r.up = ctx
	r.mu.Unlock()
	if l != nil {
		r.serve(ctx, l)
	}
	return nil
}

// enter begins a call without a network. It returns a context that ends when the region is
// shut, or nil if it is. The caller reports the end of the call to r.conns.
func (r *region) enter() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up != nil {
		r.conns.Add(1)
	}
	return r.up
}

func (r *region) serve(ctx context.Context, l net.Listener) {
	done := make(chan struct{})
	srv := &http.Server{
		Handler:           http.HandlerFunc(r.handle),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		// A client that goes away is not news in a test.
		ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				r.conns.Add(1)
			case http.StateClosed:
				r.conns.Done()
			}
		},
	}
	r.http, r.done = srv, done
	go func() {
		defer close(done)
		_ = srv.Serve(l) // it fails when it is closed, and has nothing to say
	}()
}

// reopen listens on the region's port again. Another process may have been given
// it for a moment, as its own end of a connection: hence the patience.
func (r *region) reopen() error {
	var err error
	for range 100 {
		if err = r.open(r.addr); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// shut closes the listener and all connections, and waits for their goroutines. Without a
// network it waits for the calls.
func (r *region) shut() {
	r.life.Lock()
	defer r.life.Unlock()
	if r.stop == nil {
		return
	}
	r.mu.Lock()
	r.up = nil // no call enters past here
	r.mu.Unlock()
	if r.http != nil {
		_ = r.http.Close()
		<-r.done // no connection is accepted past here
	}
	r.stop()
	r.conns.Wait()
	r.http, r.stop, r.done = nil, nil, nil
}

// close shuts the region for good.
func (r *region) close() {
	r.shut()
	r.life.Lock()
	r.gone = true
	r.life.Unlock()
	// An opening may have come between the two.
	r.shut()
}

func (r *region) setOutage(o Outage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outage = o
	close(r.changed) // calls that hang look again
	r.changed = make(chan struct{})
}

func (r *region) setLatency(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latency = d
}

// await holds a call up as the test wants, and returns the error of an outage.
// It reports false if the client went away, or the region did, and there is
// nobody to answer.
func (r *region) await(ctx context.Context) (*apiError, bool) {
	r.mu.Lock()
	latency := r.latency
	r.mu.Unlock()
	if latency > 0 {
		t := time.NewTimer(latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, false
		}
	}
	for {
		r.mu.Lock()
		outage, changed := r.outage, r.changed
		r.mu.Unlock()
		switch outage {
		case InternalError:
			return internalError(), true
		case DependencyTimeout:
			return dependencyTimeout(), true
		case Hang, Refuse:
			// A call of the moment before the listener closed is cut off.
			select {
			case <-changed:
			case <-ctx.Done():
				return nil, false
			}
		default:
			return nil, true
		}
	}
}
