package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faulttest"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

// The tests of faults have all that the package is given by others fail, in each way: a source
// and a destination at each byte, a keyring and a fetch at each call. Whatever happens, what
// comes out is right, or an error that can be told from others, and the client works on.

var errFault = faulttest.Err

// A fault is a way of a source and a destination to fail.
type fault struct {
	name string

	// read is a call of a source with p, which would give the byte next; write is one of a
	// destination that has taken the beginning of what it was given, all but p.
	read  func(f *faulty, p []byte, next []byte) (int, error)
	write func(f *faulty, p []byte) (int, error)

	// is is the error that the library must return then. Errors of a source that ends early
	// depend on what reads it.
	is  error
	end bool // the source ends, or seems to

	panics bool // with errFault
	lies   bool // about what was read or written
}

func reads(n int, err error) func(*faulty, []byte, []byte) (int, error) {
	return func(*faulty, []byte, []byte) (int, error) { return n, err }
}

func writes(n int, err error) func(*faulty, []byte) (int, error) {
	return func(*faulty, []byte) (int, error) { return n, err }
}

var faults = []fault{
	{name: "error", read: reads(0, errFault), write: writes(0, errFault), is: errFault},
	{name: "error with a byte", is: errFault, read: func(_ *faulty, p, next []byte) (int, error) {
		return copy(p, next), errFault
	}, write: func(f *faulty, p []byte) (int, error) {
		f.took.Write(p[:1])
		return 1, errFault
	}},
	{name: "unexpected end", read: reads(0, io.ErrUnexpectedEOF), write: writes(0, io.ErrUnexpectedEOF), is: io.ErrUnexpectedEOF},
	{name: "end", read: reads(0, io.EOF), write: writes(0, io.EOF), is: io.EOF, end: true},
	{name: "end with a byte", is: io.EOF, end: true, read: func(_ *faulty, p, next []byte) (int, error) {
		return copy(p, next), io.EOF
	}, write: writes(0, fmt.Errorf("closed: %w", io.EOF))},
	{name: "nothing", read: reads(0, nil), write: writes(0, nil)},
	{name: "too many", lies: true, is: envelope.ErrInvalidArgument, read: func(_ *faulty, p, _ []byte) (int, error) {
		return len(p) + 1, nil
	}, write: func(_ *faulty, p []byte) (int, error) { return len(p) + 1, nil }},
	{name: "too many and an error", lies: true, read: func(_ *faulty, p, _ []byte) (int, error) {
		return len(p) + 1, errFault
	}, write: func(_ *faulty, p []byte) (int, error) { return len(p) + 1, errFault }},
	{name: "fewer than none", lies: true, read: reads(-1, nil), write: writes(math.MinInt, nil), is: envelope.ErrInvalidArgument},
	{name: "panic", panics: true, read: func(*faulty, []byte, []byte) (int, error) { panic(errFault) },
		write: func(*faulty, []byte) (int, error) { panic(errFault) }},
	{name: "cancel", is: context.Canceled, read: func(f *faulty, p, next []byte) (int, error) {
		f.cancel()
		return copy(p, next), nil
	}, write: func(f *faulty, p []byte) (int, error) {
		f.cancel()
		return f.took.Write(p)
	}},
	{name: "deadline", read: reads(0, context.DeadlineExceeded), write: writes(0, context.DeadlineExceeded), is: context.DeadlineExceeded},
}

// A faulty is a source or a destination that is sound for n bytes.
type faulty struct {
	fault
	n      int
	source []byte
	took   bytes.Buffer
	cancel func()
	hit    bool // the fault was met
}

func (f *faulty) Read(p []byte) (int, error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case f.n == 0:
		f.hit = true
		next := f.source[:min(1, len(f.source))]
		if f.name == "cancel" && len(next) == 0 {
			f.cancel()
			return 0, io.EOF
		}
		n, err := f.read(f, p, next)
		f.source = f.source[max(0, min(n, len(next))):]
		return n, err
	case len(f.source) == 0:
		return 0, io.EOF
	}
	n := copy(p, f.source[:min(f.n, len(f.source))])
	f.source = f.source[n:]
	f.n -= n
	return n, nil
}

func (f *faulty) Write(p []byte) (int, error) {
	took := min(len(p), f.n)
	f.took.Write(p[:took])
	f.n -= took
	if took == len(p) {
		return took, nil
	}
	f.hit = true
	n, err := f.write(f, p[took:])
	return took + n, err
}

// kinds are the errors that callers can tell from others, beside errFault.
var kinds = []error{
	envelope.ErrMalformed, envelope.ErrAuthentication, envelope.ErrCommitment, envelope.ErrSignature, envelope.ErrLimit,
	envelope.ErrSourceChanged, envelope.ErrContextMismatch, envelope.ErrUnavailable, envelope.ErrNoMatchingKey,
	envelope.ErrPolicy, envelope.ErrInvalidArgument, envelope.ErrInvalidMaterials,
	io.ErrUnexpectedEOF, io.ErrNoProgress, io.ErrShortWrite, io.EOF, context.Canceled, context.DeadlineExceeded,
}

func isTyped(err error) bool {
	for _, kind := range append(kinds, errFault) {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// outcome calls do, and turns a panic that was injected into an error.
func outcome(do func() ([]byte, error)) (got []byte, err error, panicked bool) {
	err, panicked = faulttest.Outcome(func() (err error) { got, err = do(); return err })
	return got, err, panicked
}

// failsRight checks how something has failed, if it has.
func failsRight(t *testing.T, f *faulty, err error, panicked bool, where string) {
	t.Helper()
	switch {
	case err == nil:
		return
	case panicked != f.panics:
		require.Equal(t, f.panics, panicked, "%s: panicked", where)
	case !isTyped(err):
		require.Failf(t, "an error of no kind", "%s: %v", where, err)
	}
	require.True(t, f.hit, "%s: failed without a fault: %v", where, err)
}

// faultClients are the clients that faults are tried with.
func faultClients(t *testing.T, each func(t *testing.T, c *envelope.Client, stride int)) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 70)
	for _, concurrency := range []int{1, 3} {
		t.Run(fmt.Sprintf("unsigned/%d", concurrency), func(t *testing.T) {
			each(t, withConcurrency(t, unsigned, 16, concurrency), 1)
		})
		// A signature takes as long as a hundred frames.
		t.Run(fmt.Sprintf("signed/%d", concurrency), func(t *testing.T) {
			each(t, withConcurrency(t, signed, 16, concurrency), 97)
		})
	}
}

// works checks that the client works after what has happened.
func works(t *testing.T, c *envelope.Client) {
	t.Helper()
	plaintext := randomBytes(50)
	msg, err := c.Encrypt(t.Context(), plaintext, testContext)
	require.NoError(t, err)
	got, err := c.Decrypt(t.Context(), msg, testContext)
	require.NoError(t, err)
	require.Equal(t, plaintext, got)
}

// eachFault calls try with each fault after each stride of bytes up to n.
func eachFault(t *testing.T, c *envelope.Client, source []byte, n, stride int, try func(ctx context.Context, f *faulty, at int, where string)) {
	if testing.Short() {
		stride *= 7
	}
	for _, fault := range faults {
		for at := 0; at <= n; at += stride {
			ctx, cancel := context.WithCancel(t.Context())
			try(ctx, &faulty{fault: fault, n: at, source: source, cancel: cancel}, at, fmt.Sprintf("%s after %d bytes", fault.name, at))
			cancel()
		}
		works(t, c)
	}
}

// TestFaultsOfPlaintextSources has the source of a plaintext fail.
func TestFaultsOfPlaintextSources(t *testing.T) {
	plaintext := randomBytes(100)
	for name, encrypt := range map[string]func(ctx context.Context, c *envelope.Client, src io.Reader) ([]byte, error){
		"ReadFrom": func(ctx context.Context, c *envelope.Client, src io.Reader) ([]byte, error) {
			var dst bytes.Buffer
			w, err := c.NewWriter(ctx, &dst, testContext)
			if err != nil {
				return nil, err
			}
			// Whoever defers Close must not make a message of a part.
			defer func() {
				if errClose := w.Close(); err == nil && errClose != nil {
					err = errClose
				}
			}()
			if _, err = w.ReadFrom(src); err != nil {
				return dst.Bytes(), err
			}
			err = w.Close()
			return dst.Bytes(), err
		},
		"EncryptReader": func(ctx context.Context, c *envelope.Client, src io.Reader) ([]byte, error) {
			r, err := c.NewEncryptReader(ctx, src, int64(len(plaintext)), testContext)
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return io.ReadAll(r)
		},
		"EncryptReader.WriteTo": func(ctx context.Context, c *envelope.Client, src io.Reader) ([]byte, error) {
			r, err := c.NewEncryptReader(ctx, src, int64(len(plaintext)), testContext)
			if err != nil {
				return nil, err
			}
			defer r.Close()
			var dst bytes.Buffer
			_, err = r.WriteTo(&dst)
			return dst.Bytes(), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			faultClients(t, func(t *testing.T, c *envelope.Client, stride int) {
				eachFault(t, c, plaintext, len(plaintext), stride, func(ctx context.Context, f *faulty, at int, where string) {
					msg, err, panicked := outcome(func() ([]byte, error) { return encrypt(ctx, c, f) })
					failsRight(t, f, err, panicked, where)
					got, errDecrypt := c.Decrypt(t.Context(), msg, testContext)
					if err != nil {
						require.ErrorIs(t, errDecrypt, io.ErrUnexpectedEOF, where)
						if f.is != nil && !f.end {
							require.ErrorIs(t, err, f.is, where)
						}
						return
					}
					require.NoError(t, errDecrypt, where)
					whole := at == len(plaintext) || f.name == "cancel"
					if f.name == "end with a byte" {
						at = min(at+1, len(plaintext))
					}
					switch {
					case f.end && name == "ReadFrom":
						require.Equal(t, plaintext[:at], got, where)
					default:
						require.True(t, whole || f.end && at == len(plaintext), "%s was not noticed", where)
						require.Equal(t, plaintext, got, where)
					}
				})
			})
		})
	}
}

// TestFaultsOfMessageSources has the source of a message fail.
func TestFaultsOfMessageSources(t *testing.T) {
	plaintext := randomBytes(100)
	for name, decrypt := range map[string]func(ctx context.Context, c *envelope.Client, src io.Reader) ([]byte, error){
		"Read": func(ctx context.Context, c *envelope.Client, src io.Reader) ([]byte, error) {
			r, err := c.NewReader(ctx, src, testContext)
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		},
		"WriteTo": func(ctx context.Context, c *envelope.Client, src io.Reader) ([]byte, error) {
			r, err := c.NewReader(ctx, src, testContext)
			if err != nil {
				return nil, err
			}
			var dst bytes.Buffer
			_, err = r.WriteTo(&dst)
			return dst.Bytes(), err
		},
		"Reencrypt": func(ctx context.Context, c *envelope.Client, src io.Reader) ([]byte, error) {
			var dst bytes.Buffer
			if err := c.Reencrypt(ctx, &dst, c.Decrypter, src, testContext); err != nil {
				if _, errDecrypt := c.Decrypt(context.Background(), dst.Bytes(), testContext); !errors.Is(errDecrypt, io.ErrUnexpectedEOF) {
					return nil, fmt.Errorf("what came of a part opens with %v after %w", errDecrypt, err)
				}
				return nil, err
			}
			return c.Decrypt(context.Background(), dst.Bytes(), testContext)
		},
		"ParseHeader": func(ctx context.Context, c *envelope.Client, src io.Reader) ([]byte, error) {
			_, err := envelope.ParseHeader(src, nil)
			return nil, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			faultClients(t, func(t *testing.T, c *envelope.Client, stride int) {
				msg := encrypt(t, c, plaintext)
				h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
				require.NoError(t, err)
				last := len(msg)
				if name == "ParseHeader" {
					last = h.Length
				}
				eachFault(t, c, msg, last, stride, func(ctx context.Context, f *faulty, at int, where string) {
					got, err, panicked := outcome(func() ([]byte, error) { return decrypt(ctx, c, f) })
					failsRight(t, f, err, panicked, where)
					if name == "ParseHeader" {
						require.True(t, err != nil || at >= h.Length-1 || f.name == "cancel", "%s was not noticed", where)
						return
					}
					require.True(t, bytes.HasPrefix(plaintext, got), where)
					if err != nil {
						require.Less(t, len(got), len(plaintext), where)
						switch {
						case f.end:
							require.ErrorIs(t, err, io.ErrUnexpectedEOF, where)
						case f.is != nil:
							require.ErrorIs(t, err, f.is, where)
						}
						return
					}
					require.Equal(t, plaintext, got, where)
					require.True(t, f.name == "cancel" || f.end && at >= len(msg)-1, "%s was not noticed", where)
				})
			})
		})
	}
}

// TestFaultsOfMessageDestinations has the destination of a message fail.
func TestFaultsOfMessageDestinations(t *testing.T) {
	plaintext := randomBytes(100)
	write := func(ctx context.Context, c *envelope.Client, dst io.Writer, write func(w *envelope.Writer) error) error {
		w, err := c.NewWriter(ctx, dst, testContext)
		if err != nil {
			return err
		}
		defer w.Close()
		if err := write(w); err != nil {
			if again := w.Close(); again != err && !errors.Is(again, errors.Unwrap(err)) {
				return fmt.Errorf("Close said %v after %w", again, err)
			}
			return err
		}
		return w.Close()
	}
	for name, encrypt := range map[string]func(ctx context.Context, c *envelope.Client, dst io.Writer) error{
		"Write": func(ctx context.Context, c *envelope.Client, dst io.Writer) error {
			return write(ctx, c, dst, func(w *envelope.Writer) error {
				_, err := w.Write(plaintext)
				return err
			})
		},
		"Write in pieces": func(ctx context.Context, c *envelope.Client, dst io.Writer) error {
			return write(ctx, c, dst, func(w *envelope.Writer) error {
				for p := plaintext; len(p) > 0; p = p[min(len(p), 23):] {
					if _, err := w.Write(p[:min(len(p), 23)]); err != nil {
						return err
					}
				}
				return nil
			})
		},
		"ReadFrom": func(ctx context.Context, c *envelope.Client, dst io.Writer) error {
			return write(ctx, c, dst, func(w *envelope.Writer) error {
				_, err := w.ReadFrom(onlyReader{bytes.NewReader(plaintext)})
				return err
			})
		},
		"EncryptReader": func(ctx context.Context, c *envelope.Client, dst io.Writer) error {
			r, err := c.NewEncryptReader(ctx, onlyReader{bytes.NewReader(plaintext)}, int64(len(plaintext)), testContext)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = r.WriteTo(dst)
			return err
		},
		"Reencrypt": func(ctx context.Context, c *envelope.Client, dst io.Writer) error {
			msg, err := c.Encrypt(ctx, plaintext, testContext)
			if err != nil {
				return err
			}
			return c.Reencrypt(ctx, dst, c.Decrypter, onlyReader{bytes.NewReader(msg)}, testContext)
		},
	} {
		t.Run(name, func(t *testing.T) {
			faultClients(t, func(t *testing.T, c *envelope.Client, stride int) {
				size := len(encryptWith(t, "Write", c, plaintext)) // that of a stream
				if name == "Reencrypt" || name == "Write in pieces" {
					stride *= 5 // they are Writers too
				}
				eachFault(t, c, nil, size, stride, func(ctx context.Context, f *faulty, at int, where string) {
					_, err, panicked := outcome(func() ([]byte, error) { return nil, encrypt(ctx, c, f) })
					failsRight(t, f, err, panicked, where)
					got, errDecrypt := c.Decrypt(t.Context(), f.took.Bytes(), testContext)
					switch {
					case err != nil:
						if f.is != nil {
							require.ErrorIs(t, err, f.is, where)
						}
						if f.took.Len() < size {
							require.ErrorIs(t, errDecrypt, io.ErrUnexpectedEOF, where)
							break
						}
						require.NoError(t, errDecrypt, where)
						require.Equal(t, plaintext, got, where)
					default:
						require.True(t, !f.hit || f.name == "cancel", "%s was not noticed", where)
						require.NoError(t, errDecrypt, where)
						require.Equal(t, plaintext, got, where)
					}
				})
			})
		})
	}
}

// TestFaultsOfPlaintextDestinations has the destination of a plaintext fail. What it did not
// take can still be read.
func TestFaultsOfPlaintextDestinations(t *testing.T) {
	plaintext := randomBytes(100)
	type source interface {
		io.Reader
		io.WriterTo
	}
	for name, open := range map[string]func(ctx context.Context, c *envelope.Client, msg []byte) (source, error){
		"in memory": func(ctx context.Context, c *envelope.Client, msg []byte) (source, error) {
			return c.NewReader(ctx, bytes.NewReader(msg), testContext)
		},
		"stream": func(ctx context.Context, c *envelope.Client, msg []byte) (source, error) {
			return c.NewReader(ctx, onlyReader{bytes.NewReader(msg)}, testContext)
		},
		"section": func(ctx context.Context, c *envelope.Client, msg []byte) (source, error) {
			r, err := c.NewRangeReader(ctx, newShelf(t, msg).fetch, testContext)
			if err != nil {
				return nil, err
			}
			return r.NewSectionReader(ctx, 0, r.Size()), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			faultClients(t, func(t *testing.T, c *envelope.Client, stride int) {
				msg := encrypt(t, c, plaintext)
				if name == "section" && stride > 1 {
					return // of a signed message there are none
				}
				eachFault(t, c, nil, len(plaintext), stride, func(ctx context.Context, f *faulty, at int, where string) {
					r, err := open(ctx, c, msg)
					require.NoError(t, err)
					if s, ok := r.(*envelope.SectionReader); ok {
						defer s.Close()
					}
					_, err, panicked := outcome(func() ([]byte, error) {
						_, err := r.WriteTo(f)
						return nil, err
					})
					failsRight(t, f, err, panicked, where)
					if err == nil {
						require.True(t, !f.hit || f.name == "cancel", "%s was not noticed", where)
						require.Equal(t, plaintext, f.took.Bytes(), where)
						return
					}
					if f.is != nil {
						require.ErrorIs(t, err, f.is, where)
					}
					rest, err := io.ReadAll(r)
					switch whole := append(f.took.Bytes(), rest...); {
					case f.is == context.Canceled:
						require.ErrorIs(t, err, context.Canceled, where)
						require.True(t, bytes.HasPrefix(plaintext, whole), where)
					case f.panics || f.lies: // nobody knows how much it has taken
						require.True(t, bytes.HasSuffix(plaintext, rest), where)
					default:
						require.NoError(t, err, where)
						require.Equal(t, plaintext, whole, where)
					}
				})
			})
		})
	}
}

// A faultyAt is a source of ranges that fails at its n-th call, after at bytes of that.
type faultyAt struct {
	mu sync.Mutex // a ReaderAt reads in several goroutines
	*faulty
	msg   []byte
	calls int // before the one that fails
}

func (f *faultyAt) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	whole := bytes.NewReader(f.msg)
	if f.calls--; f.calls >= 0 || f.n >= len(p) || f.n >= len(f.msg)-int(off) {
		return whole.ReadAt(p, off)
	}
	f.hit = true
	if f.name == "cancel" {
		f.cancel()
		return whole.ReadAt(p, off)
	}
	n := copy(p[:f.n], f.msg[off:])
	got, err := f.read(f.faulty, p[n:], f.msg[int(off)+n:][:1])
	return n + got, err
}

// TestFaultsOfReaderAt has each read of a source of ranges fail, after each byte.
func TestFaultsOfReaderAt(t *testing.T) {
	plaintext := randomBytes(213)
	faultClients(t, func(t *testing.T, c *envelope.Client, stride int) {
		if stride > 1 {
			return // a signed message has no ranges
		}
		msg := encrypt(t, c, plaintext)
		for calls := range 12 {
			// The longest read is that of the header.
			eachFault(t, c, nil, len(msg), 1+calls*5, func(ctx context.Context, f *faulty, at int, where string) {
				src := &faultyAt{faulty: f, msg: msg, calls: calls}
				var r *envelope.ReaderAt
				_, err, panicked := outcome(func() (_ []byte, err error) {
					r, err = c.NewReaderAt(ctx, src, int64(len(msg)), testContext)
					return nil, err
				})
				rangesFail(t, f, r, err, panicked, plaintext, where)
			})
		}
	})
}

// rangesFail reads ranges of plaintext, and checks how that fails. With an error the reader
// could not be opened.
func rangesFail(t *testing.T, f *faulty, r io.ReaderAt, err error, panicked bool, plaintext []byte, where string) {
	t.Helper()
	failed := false
	defer func() {
		harmless := f.end || f.name == "cancel" || f.name == "error with a byte" || f.n > 0 // all that was needed had come
		require.True(t, failed || !f.hit || harmless, "%s was not noticed", where)
	}()
	check := func(err error, panicked bool) {
		failed = failed || err != nil
		failsRight(t, f, err, panicked, where)
		switch {
		case err == nil:
		case f.end:
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, where)
		case f.is != nil && !f.lies:
			require.ErrorIs(t, err, f.is, where)
		}
	}
	check(err, panicked)
	if err != nil {
		return
	}
	for _, section := range [][2]int{{0, 213}, {20, 100}, {3, 10}, {200, 13}} {
		p := make([]byte, section[1])
		want := plaintext[section[0]:][:section[1]]
		var n int
		_, err, panicked := outcome(func() (_ []byte, err error) {
			n, err = r.ReadAt(p, int64(section[0]))
			return nil, err
		})
		check(err, panicked)
		if !panicked {
			require.True(t, bytes.Equal(want[:n], p[:n]), where)
			require.True(t, err != nil || n == len(want), where)
		}
	}
}

// TestFaultsOfFetches has each fetch of a RangeReader fail: at once, and after each byte of its
// body.
func TestFaultsOfFetches(t *testing.T) {
	plaintext := randomBytes(213)
	faultClients(t, func(t *testing.T, c *envelope.Client, stride int) {
		if stride > 1 {
			return
		}
		msg := encrypt(t, c, plaintext)
		h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
		require.NoError(t, err)
		// The first fetch is of a batch: with one that is shorter than the message, all ranges
		// are fetched.
		require.Less(t, envelope.BatchLenNow(), h.Length)
		for calls := range 8 {
			eachFault(t, c, nil, 300, 1+calls*5, func(ctx context.Context, f *faulty, at int, where string) {
				shelf := newShelf(t, msg)
				left := calls
				shelf.lie = func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
					if left--; left == -1 {
						body := res.Body.(*shelfBody)
						f.source, _ = io.ReadAll(body.Reader)
						body.Reader = f
					}
					return res, nil
				}
				var r *envelope.RangeReader
				_, err, panicked := outcome(func() (_ []byte, err error) {
					r, err = c.NewRangeReader(ctx, shelf.fetch, testContext)
					return nil, err
				})
				rangesFail(t, f, r, err, panicked, plaintext, where)
				require.Zero(t, shelf.open.Load(), "%s: a body is open", where)
			})
			for name, fails := range map[string]func(res *envelope.FetchResult, cancel func()) (*envelope.FetchResult, error, error){
				"error": func(*envelope.FetchResult, func()) (*envelope.FetchResult, error, error) {
					return nil, errFault, errFault
				},
				"end": func(*envelope.FetchResult, func()) (*envelope.FetchResult, error, error) {
					return nil, io.EOF, io.EOF
				},
				"deadline": func(*envelope.FetchResult, func()) (*envelope.FetchResult, error, error) {
					return nil, context.DeadlineExceeded, context.DeadlineExceeded
				},
				"cancel": func(_ *envelope.FetchResult, cancel func()) (*envelope.FetchResult, error, error) {
					cancel()
					return nil, context.Canceled, context.Canceled
				},
				"panic": func(*envelope.FetchResult, func()) (*envelope.FetchResult, error, error) { panic(errFault) },
				"nothing": func(*envelope.FetchResult, func()) (*envelope.FetchResult, error, error) {
					return nil, nil, envelope.ErrInvalidArgument
				},
				"another version": func(res *envelope.FetchResult, _ func()) (*envelope.FetchResult, error, error) {
					res.Version += "x"
					return res, nil, envelope.ErrSourceChanged
				},
				"longer": func(res *envelope.FetchResult, _ func()) (*envelope.FetchResult, error, error) {
					res.Size++
					return res, nil, nil
				},
				"shorter": func(res *envelope.FetchResult, _ func()) (*envelope.FetchResult, error, error) {
					res.Size--
					return res, nil, nil
				},
				"no size": func(res *envelope.FetchResult, _ func()) (*envelope.FetchResult, error, error) {
					res.Size = -1
					return res, nil, nil
				},
			} {
				ctx, cancel := context.WithCancel(t.Context())
				f := &faulty{fault: fault{name: name, panics: name == "panic"}}
				shelf := newShelf(t, msg)
				left := calls
				shelf.lie = func(_ envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
					if left--; left >= 0 {
						return res, nil
					}
					body := res.Body
					var err error
					if name != "another version" || calls > 0 { // of the first fetch it is the version
						f.hit = true
						defer func() {
							if res == nil || err != nil {
								body.Close()
							}
						}()
						res, err, f.is = fails(res, cancel)
					}
					return res, err
				}
				var r *envelope.RangeReader
				_, err, panicked := outcome(func() (_ []byte, err error) {
					r, err = c.NewRangeReader(ctx, shelf.fetch, testContext)
					return nil, err
				})
				if panicked {
					shelf.open.Store(0) // the fetch did not give its body away
				}
				where := fmt.Sprintf("%s at fetch %d", name, calls)
				if f.is == io.EOF {
					f.is = nil
				}
				rangesFail(t, f, r, err, panicked, plaintext, where)
				if name == "panic" {
					shelf.open.Store(0)
				}
				require.Zero(t, shelf.open.Load(), "%s: a body is open", where)
				cancel()
			}
			works(t, c)
		}
	})
}

// A faultyKeyring fails at one call, and works before and after it.
type faultyKeyring struct {
	keyring.Keyring
	fails func(ctx context.Context) error // instead of its work
	spoil func(m any)                     // what it has done
	left  int                             // calls before
	hit   bool
}

func (k *faultyKeyring) call(ctx context.Context, m any, work func() error) error {
	k.left--
	if k.left != -1 {
		return work()
	}
	k.hit = true
	if k.fails != nil {
		return k.fails(ctx)
	}
	err := work()
	k.spoil(m)
	return err
}

func (k *faultyKeyring) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	return k.call(ctx, m, func() error { return k.Keyring.OnEncrypt(ctx, m) })
}

func (k *faultyKeyring) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	return k.call(ctx, m, func() error { return k.Keyring.OnDecrypt(ctx, m, keys) })
}

// TestFaultsOfKeyrings has each call of a keyring fail, in everything that makes one.
func TestFaultsOfKeyrings(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 70)
	plaintext := randomBytes(213)
	type way struct {
		name  string
		reads bool // of the calls
		do    func(ctx context.Context, c *envelope.Client, msg []byte) ([]byte, error)
	}
	var ways []way
	for name, encrypt := range encryptWays {
		ways = append(ways, way{name, false, func(ctx context.Context, c *envelope.Client, _ []byte) ([]byte, error) {
			msg, err := encrypt(ctx, c.Encrypter, plaintext, testContext)
			if err != nil {
				return msg, err
			}
			return newClient(t, optionsFor(unsigned, 16)).Decrypt(context.Background(), msg, testContext)
		}})
	}
	for name, decrypt := range decryptWays {
		ways = append(ways, way{name, true, func(ctx context.Context, c *envelope.Client, msg []byte) ([]byte, error) {
			return decrypt(ctx, c.Decrypter, msg, testContext)
		}})
	}
	ways = append(ways, way{"text", true, func(ctx context.Context, c *envelope.Client, _ []byte) ([]byte, error) {
		text, err := c.EncryptText(ctx, plaintext, testContext)
		if err != nil {
			return nil, err
		}
		return c.DecryptText(ctx, text, testContext)
	}}, way{"Reencrypt", true, func(ctx context.Context, c *envelope.Client, msg []byte) ([]byte, error) {
		var dst bytes.Buffer
		if err := c.Reencrypt(ctx, &dst, c.Decrypter, bytes.NewReader(msg), testContext); err != nil {
			return nil, err
		}
		return c.Decrypt(ctx, dst.Bytes(), testContext)
	}}, way{"batch", true, func(ctx context.Context, c *envelope.Client, msg []byte) ([]byte, error) {
		other, err := c.Encrypt(ctx, []byte("another"), testContext)
		if err != nil {
			return nil, err
		}
		got := c.DecryptBatch(ctx, []envelope.Sealed{{Message: msg, Context: testContext}, {Message: other, Context: testContext}})
		if err := got[1].Err; err != nil {
			return nil, err
		}
		if string(got[1].Plaintext) != "another" {
			return got[1].Plaintext, nil
		}
		return got[0].Plaintext, got[0].Err
	}}, way{"ReaderAt", true, func(ctx context.Context, c *envelope.Client, msg []byte) ([]byte, error) {
		r, err := c.NewReaderAt(ctx, bytes.NewReader(msg), int64(len(msg)), testContext)
		if err != nil {
			return nil, err
		}
		p := make([]byte, len(plaintext))
		n, err := r.ReadAt(p, 0)
		return p[:n], err
	}}, way{"RangeReader", true, func(ctx context.Context, c *envelope.Client, msg []byte) ([]byte, error) {
		r, err := c.NewRangeReader(ctx, newShelf(t, msg).fetch, testContext)
		if err != nil {
			return nil, err
		}
		p := make([]byte, len(plaintext))
		n, err := r.ReadAt(p, 0)
		return p[:n], err
	}}, way{"Check", true, func(ctx context.Context, c *envelope.Client, _ []byte) ([]byte, error) {
		if err := c.Check(ctx, testContext); err != nil {
			return nil, err
		}
		return plaintext, nil
	}}, way{"CheckKeys", true, func(ctx context.Context, c *envelope.Client, _ []byte) ([]byte, error) {
		if _, err := c.CheckKeys(ctx, testContext); err != nil {
			return nil, err
		}
		return plaintext, nil
	}})

	msg := encrypt(t, newClient(t, optionsFor(unsigned, 16)), plaintext)
	for name, fault := range map[string]struct {
		fails func(ctx context.Context, cancel func()) error
		spoil func(m any)
		is    error
	}{
		"error":    {fails: func(context.Context, func()) error { return errFault }, is: errFault},
		"deadline": {fails: func(context.Context, func()) error { return context.DeadlineExceeded }, is: context.DeadlineExceeded},
		"end":      {fails: func(context.Context, func()) error { return io.EOF }, is: io.EOF},
		"cancel": {fails: func(ctx context.Context, cancel func()) error {
			cancel()
			return ctx.Err()
		}, is: context.Canceled},
		"panic":        {fails: func(context.Context, func()) error { panic(errFault) }},
		"done nothing": {fails: func(context.Context, func()) error { return nil }},
		"short data key": {spoil: func(m any) {
			switch m := m.(type) {
			case *keyring.EncryptionMaterials:
				m.DataKey = m.DataKey[:31]
			case *keyring.DecryptionMaterials:
				m.DataKey = m.DataKey[:31]
			}
		}, is: envelope.ErrInvalidMaterials},
		"no data key": {spoil: func(m any) {
			switch m := m.(type) {
			case *keyring.EncryptionMaterials:
				m.DataKey = nil
			case *keyring.DecryptionMaterials:
				m.DataKey = nil
			}
		}},
		"another suite": {spoil: func(m any) {
			switch m := m.(type) {
			case *keyring.EncryptionMaterials:
				m.Suite = keyring.SuiteAES256GCMHKDFSHA256
			case *keyring.DecryptionMaterials:
				m.Suite = keyring.SuiteAES256GCMHKDFSHA256
			}
		}},
		"a long wrapped key": {spoil: func(m any) {
			switch m := m.(type) {
			case *keyring.EncryptionMaterials:
				m.EncryptedDataKeys[0].Ciphertext = make([]byte, 1<<16)
			case *keyring.DecryptionMaterials:
				m.DataKey[0] ^= 1
			}
		}},
	} {
		for _, way := range ways {
			for calls := range 6 {
				ctx, cancel := context.WithCancel(t.Context())
				k := &faultyKeyring{Keyring: zeroKey(t), spoil: fault.spoil, left: calls}
				if fault.fails != nil {
					k.fails = func(ctx context.Context) error { return fault.fails(ctx, cancel) }
				}
				o := optionsFor(unsigned, 16)
				o.Concurrency, o.MaxUnwraps = 1+calls%3, 1
				c, err := envelope.New(k, o)
				require.NoError(t, err)
				where := fmt.Sprintf("%s at call %d of %s", name, calls, way.name)
				got, err, panicked := outcome(func() ([]byte, error) { return way.do(ctx, c, bytes.Clone(msg)) })
				require.Equal(t, k.hit, err != nil, "%s: %v", where, err)
				if err == nil {
					require.True(t, bytes.Equal(plaintext, got), where)
					require.Positive(t, calls, where)
				} else {
					require.Empty(t, got, where)
					require.Equal(t, name == "panic", panicked, where)
					require.True(t, isTyped(err), "%s: %v", where, err)
					if fault.is != nil {
						require.ErrorIs(t, err, fault.is, where)
					}
				}
				k.left = -1
				works(t, c)
				cancel()
			}
		}
	}
}

// A givingManager counts the requests to decrypt, and remembers the data key it has given.
type givingManager struct {
	keyring.MaterialsManager
	asked int
	given []byte
	spoil func(*keyring.DecryptionMaterials)
}

func (m *givingManager) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	m.asked++
	d, err := m.MaterialsManager.DecryptionMaterials(ctx, req)
	if err == nil {
		m.given = d.DataKey
		m.spoil(d)
	}
	return d, err
}

// TestRefusedBeforeTheKeyIsAsked has messages that are refused whatever their key is: no
// manager is asked for them, though it may keep no policy itself.
func TestRefusedBeforeTheKeyIsAsked(t *testing.T) {
	for name, refused := range map[string]struct {
		suite keyring.Suite
		o     *envelope.Options
	}{
		"policy": {keyring.SuiteAES256GCMHKDFSHA256, nil},
		"signed": {signed, &envelope.Options{RefuseSigned: true}},
	} {
		inner, err := keyring.NewManager(zeroKey(t))
		require.NoError(t, err)
		m := &givingManager{MaterialsManager: inner}
		c, err := envelope.NewFromManager(m, refused.o)
		require.NoError(t, err)
		msg := encrypt(t, newClient(t, optionsFor(refused.suite, 16)), []byte("plaintext"))
		_, err = c.Decrypt(t.Context(), msg, testContext)
		require.ErrorIs(t, err, envelope.ErrPolicy, name)
		require.Zero(t, m.asked, name)
	}
}

// TestRefusedMaterialsAreCleared has a manager give materials that cannot be used.
func TestRefusedMaterialsAreCleared(t *testing.T) {
	inner, err := keyring.NewManager(zeroKey(t))
	require.NoError(t, err)
	m := &givingManager{MaterialsManager: inner, spoil: func(d *keyring.DecryptionMaterials) { d.Suite = signed }}
	c, err := envelope.NewFromManager(m, nil)
	require.NoError(t, err)
	_, err = c.Decrypt(t.Context(), encrypt(t, newClient(t, nil), []byte("plaintext")), testContext)
	require.ErrorIs(t, err, envelope.ErrInvalidMaterials)
	require.Len(t, m.given, 32)
	require.Equal(t, make([]byte, 32), m.given)
}

// TestAlteredHeaderBlamesNoContext has a header that was altered, of a message that stores all
// pairs: the encryption context has nothing to do with it.
func TestAlteredHeaderBlamesNoContext(t *testing.T) {
	c := newClient(t, nil)
	msg := encrypt(t, c, []byte("plaintext"))
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)
	msg[h.Length-1] ^= 1
	_, err = c.Decrypt(t.Context(), msg, testContext)
	require.ErrorIs(t, err, envelope.ErrAuthentication)
	require.NotErrorIs(t, err, envelope.ErrContextMismatch)
}
