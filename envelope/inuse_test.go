package envelope_test

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/leaktest"
)

// A gate holds up calls, from the nth on, until it is opened.
type gate struct {
	nth     int
	reached chan struct{} // closed when a call is held up
	opened  chan struct{}
}

func newGate(nth int) *gate { return &gate{nth, make(chan struct{}), make(chan struct{})} }

func (g *gate) pass() {
	if g.nth--; g.nth == 0 {
		close(g.reached)
		<-g.opened
	}
}

// await waits until a call is held up, for the answer to a request.
func (g *gate) await(req *http.Request) {
	select {
	case <-g.reached:
	case <-req.Context().Done():
	}
}

func (g *gate) open() { close(g.opened) }

// A gatedSource is a source that can seek, whose reads a gate holds up.
type gatedSource struct {
	io.ReadSeeker
	*gate
}

func (s gatedSource) Read(p []byte) (int, error) {
	s.pass()
	return s.ReadSeeker.Read(p)
}

// A gatedWriter is a destination whose writes a gate holds up. It looks whether what it holds
// stays as it is meanwhile.
type gatedWriter struct {
	bytes.Buffer
	*gate
	altered bool
}

func (w *gatedWriter) Write(p []byte) (int, error) {
	was := bytes.Clone(p)
	w.pass()
	w.altered = w.altered || !bytes.Equal(was, p)
	return w.Buffer.Write(was)
}

// TestEncryptReaderClosedMeanwhile closes a reader while it reads its source, as an
// http.Client does that speaks HTTP/2 when a request is aborted.
func TestEncryptReaderClosedMeanwhile(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 100)
	plaintext := randomBytes(1000)
	for _, concurrency := range []int{1, 3} {
		c := withConcurrency(t, unsigned, 10, concurrency)
		for way, read := range map[string]func(*envelope.EncryptReader) error{
			"Read":    func(r *envelope.EncryptReader) error { _, err := io.ReadAll(onlyReader{r}); return err },
			"WriteTo": func(r *envelope.EncryptReader) error { _, err := r.WriteTo(io.Discard); return err },
		} {
			for nth := 1; nth < 3; nth++ {
				g := newGate(nth)
				src := gatedSource{onlySeeker{&slowSeeker{bytes.NewReader(plaintext)}}, g}
				r := newEncryptReader(t, c, src, len(plaintext))
				ended := make(chan error, 1)
				go func() { ended <- read(r) }()
				<-g.reached
				require.NoError(t, r.Close(), way)
				require.NoError(t, r.Close(), way)
				g.open()
				require.ErrorIs(t, <-ended, fs.ErrClosed, way)
				_, err := r.Read(make([]byte, 1))
				require.ErrorIs(t, err, fs.ErrClosed, way)
			}
		}
	}
}

// TestEncryptReaderInUse has a destination hold what it was given, while others call the
// reader: what it holds stays as it is, and they get an error which does not stick.
func TestEncryptReaderInUse(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 100)
	plaintext := randomBytes(1000)
	for _, concurrency := range []int{1, 3} {
		c := withConcurrency(t, unsigned, 10, concurrency)
		for nth := 1; nth < 10; nth++ {
			for name, call := range map[string]func(*envelope.EncryptReader) error{
				"Seek":    func(r *envelope.EncryptReader) error { _, err := r.Seek(0, io.SeekStart); return err },
				"Read":    func(r *envelope.EncryptReader) error { _, err := r.Read(make([]byte, 500)); return err },
				"WriteTo": func(r *envelope.EncryptReader) error { _, err := r.WriteTo(io.Discard); return err },
			} {
				r := newEncryptReader(t, c, onlySeeker{bytes.NewReader(plaintext)}, len(plaintext))
				dst := &gatedWriter{gate: newGate(nth)}
				ended := make(chan error, 1)
				go func() { _, err := r.WriteTo(dst); ended <- err }()
				<-dst.reached
				require.ErrorContains(t, call(r), "in use", name)
				dst.open()
				require.NoError(t, <-ended, name)
				decryptsTo(t, c, dst.Bytes(), plaintext, testContext)
				_, err := r.Seek(0, io.SeekStart)
				require.NoError(t, err)
				again, err := io.ReadAll(r)
				require.NoError(t, err)
				require.Equal(t, dst.Bytes(), again)
			}

			r := newEncryptReader(t, c, onlySeeker{bytes.NewReader(plaintext)}, len(plaintext))
			dst := &gatedWriter{gate: newGate(nth)}
			ended := make(chan error, 1)
			go func() { _, err := r.WriteTo(dst); ended <- err }()
			<-dst.reached
			require.NoError(t, r.Close())
			dst.open()
			require.ErrorIs(t, <-ended, fs.ErrClosed)
			require.False(t, dst.altered, "what the destination held was altered by Close")
			decryptFails(t, c, dst.Bytes(), plaintext, testContext, io.ErrUnexpectedEOF)
		}
	}
}

// TestEncryptReaderCallsItself has sources and destinations call the reader that called them.
func TestEncryptReaderCallsItself(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 10})
	plaintext := randomBytes(100)
	src := onlyReader{bytes.NewReader(plaintext)}
	var r *envelope.EncryptReader
	inner := func() {
		_, err := r.Seek(0, io.SeekStart)
		require.ErrorContains(t, err, "in use")
		_, err = r.Read(make([]byte, 1))
		require.ErrorContains(t, err, "in use")
		_, err = r.WriteTo(io.Discard)
		require.ErrorContains(t, err, "in use")
	}
	calls := 0
	r = newEncryptReader(t, c, readerFunc(func(p []byte) (int, error) { calls++; inner(); return src.Read(p) }), len(plaintext))
	msg, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Positive(t, calls)
	decryptsTo(t, c, msg, plaintext, testContext)
}

// TestEncryptReaderAbortedUpload has a server answer before it has the body, in HTTP/2. Then
// the client closes the body in a goroutine of its own, while another reads it.
func TestEncryptReaderAbortedUpload(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	g := newGate(2)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		g.await(req)
		w.WriteHeader(http.StatusForbidden)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	c := newClient(t, nil)
	plaintext := randomBytes(5 * envelope.BatchLen)
	ended := make(chan struct{})
	r := newEncryptReader(t, c, gatedSource{bytes.NewReader(plaintext), g}, len(plaintext))
	body := &toldOfClose{EncryptReader: r, closed: make(chan struct{}), ended: ended}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.URL, body)
	require.NoError(t, err)
	req.ContentLength = r.Size()
	res, err := srv.Client().Do(req)
	require.NoError(t, err)
	require.Equal(t, 2, res.ProtoMajor)
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	require.NoError(t, res.Body.Close())
	<-body.closed
	g.open()
	<-ended
	_, err = r.Read(make([]byte, 1))
	require.ErrorIs(t, err, fs.ErrClosed)
}

// toldOfClose tells when it was closed, and when a read has failed.
type toldOfClose struct {
	*envelope.EncryptReader
	closed, ended chan struct{}
}

func (b *toldOfClose) Read(p []byte) (int, error) {
	n, err := b.EncryptReader.Read(p)
	if err != nil {
		close(b.ended)
	}
	return n, err
}

func (b *toldOfClose) Close() error {
	err := b.EncryptReader.Close()
	close(b.closed)
	return err
}

// TestEncryptReaderRedirected has a server redirect an upload before it has the body. The
// client has the next request's body while it still sends the first's, in HTTP/1.
func TestEncryptReaderRedirected(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	g := newGate(1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		g.await(req)
		http.Redirect(w, req, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	c := newClient(t, nil)
	plaintext := randomBytes(5 * envelope.BatchLen)
	r := newEncryptReader(t, c, gatedSource{bytes.NewReader(plaintext), g}, len(plaintext))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.URL, io.NopCloser(r))
	require.NoError(t, err)
	req.ContentLength = r.Size()
	req.GetBody = func() (io.ReadCloser, error) {
		_, err := r.Seek(0, io.SeekStart)
		return io.NopCloser(r), err
	}
	_, err = srv.Client().Do(req)
	require.ErrorContains(t, err, "in use")
	g.open()
}
