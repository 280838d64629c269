package kmstest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/go-sealring/sealring/internal/testhttp"
)

// Client returns a new HTTP client for the URLs of the regions, to be the HTTPClient of an
// SDK client. A server without a network, as [Config.NoNetwork] makes it, is reached by it
// alone; any client reaches one on a network.
//
// Without a network a call is answered in the goroutine that makes it, and fails as on a
// network: when its context ends, and when the region refuses connections, goes down by
// [Refuse] or is closed meanwhile. It is for SDK clients, which send short requests, and the
// whole answer is in memory when it returns.
func (s *Server) Client() *http.Client {
	if s.noNetwork {
		return &http.Client{Transport: inMemory{s}}
	}
	return testhttp.New()
}

// inMemory is a transport that hands requests to the regions.
type inMemory struct{ server *Server }

func (m inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	r := m.server.regionAt(req.URL.Host)
	if r == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: req.URL.Host, IsNotFound: true}}
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	up := r.enter()
	if up == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	defer r.conns.Done()
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	defer context.AfterFunc(up, cancel)()

	received := req.Clone(ctx)
	if received.Body == nil {
		received.Body = http.NoBody
	}
	if received.URL.Path == "" {
		received.URL.Path = "/"
	}
	sent := &response{status: http.StatusOK, header: http.Header{}}
	r.handle(sent, received)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if up.Err() != nil {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", sent.status, http.StatusText(sent.status)),
		StatusCode: sent.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: sent.header, Body: io.NopCloser(&sent.body), ContentLength: int64(sent.body.Len()), Request: req,
	}, nil
}

// response is an answer in memory.
type response struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *response) Header() http.Header         { return w.header }
func (w *response) WriteHeader(status int)      { w.status = status }
func (w *response) Write(b []byte) (int, error) { return w.body.Write(b) }
