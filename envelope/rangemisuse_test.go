package envelope_test

import (
	"bytes"
	"io"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/leaktest"
)

// TestSectionReaderPanics has a destination and a body panic. What is read after that is of
// the place where it is said to be, or there is an error.
func TestSectionReaderPanics(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 100)
	plaintext := randomBytes(3000)
	for _, concurrency := range []int{1, 3} {
		c := withConcurrency(t, unsigned, 10, concurrency)
		s := newShelf(t, encrypt(t, c, plaintext))
		r := newRangeReader(t, c, s)
		for nth := 1; nth < 6; nth++ {
			check := func(section *envelope.SectionReader) {
				t.Helper()
				at, err := section.Seek(0, io.SeekCurrent)
				require.NoError(t, err)
				rest, err := io.ReadAll(section)
				require.NoError(t, err)
				require.True(t, bytes.Equal(plaintext[at:], rest), "read from %d on, after a panic", at)
				require.NoError(t, section.Close())
			}
			section := r.NewSectionReader(t.Context(), 0, r.Size())
			calls := 0
			require.Panics(t, func() {
				section.WriteTo(writerFunc(func(p []byte) (int, error) {
					if calls++; calls == nth {
						panic("destination")
					}
					return len(p), nil
				}))
			})
			_, err := section.Read(make([]byte, 1))
			require.ErrorContains(t, err, "panicked")
			check(section)

			s.body = func(b io.Reader) io.Reader {
				reads := 0
				return readerFunc(func(p []byte) (int, error) {
					if reads++; reads == nth {
						panic("body")
					}
					return b.Read(p[:min(len(p), 500)])
				})
			}
			for name, read := range map[string]func(s *envelope.SectionReader){
				"Read":    func(s *envelope.SectionReader) { io.Copy(io.Discard, onlyReader{s}) },
				"WriteTo": func(s *envelope.SectionReader) { s.WriteTo(io.Discard) },
			} {
				section := r.NewSectionReader(t.Context(), 0, r.Size())
				require.Panics(t, func() { read(section) }, name)
				_, err := section.Read(make([]byte, 1))
				require.ErrorContains(t, err, "panicked", name)
				body := s.body
				s.body = nil
				check(section)
				s.body = body
			}
			s.body = nil
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestRangeReaderReadsNoMore has bodies be longer than what was asked for: nothing of that is
// taken, and no read waits for it.
func TestRangeReaderReadsNoMore(t *testing.T) {
	for _, batch := range []int{100, 1000, 100_000} {
		shortBatches(t, batch)
		c := withConcurrency(t, unsigned, 10, 3)
		plaintext := randomBytes(3000)
		msg := encrypt(t, c, plaintext)
		s := newShelf(t, msg)
		s.lie = func(req envelope.FetchRequest, res *envelope.FetchResult) (*envelope.FetchResult, error) {
			left := int(req.Length)
			endless := msg[req.Offset:]
			res.Body.(*shelfBody).Reader = readerFunc(func(p []byte) (int, error) {
				if left == 0 {
					t.Error("read when all that was asked for was there")
					return 0, errBroken
				}
				n := copy(p, endless)
				endless = endless[n:]
				left -= n
				if left < 0 {
					t.Errorf("%d bytes more were taken than were asked for", -left)
				}
				return n, nil
			})
			return res, nil
		}
		r := newRangeReader(t, c, s)
		for n := int64(10); n < 2900; n += 10 {
			var dst bytes.Buffer
			section := r.NewSectionReader(t.Context(), 0, n)
			_, err := section.WriteTo(&dst)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plaintext[:n], dst.Bytes()))
			section = r.NewSectionReader(t.Context(), 0, n)
			got, err := io.ReadAll(section)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plaintext[:n], got))
			_, err = r.ReadAt(make([]byte, n), 2900-n)
			require.NoError(t, err)
		}
	}
}

// TestSectionReaderClosedMeanwhile closes a section while its body is read, and while a
// destination holds plaintext: that stays as it is.
func TestSectionReaderClosedMeanwhile(t *testing.T) {
	leaktest.AtEnd(t, envelopeFuncs)
	shortBatches(t, 100)
	plaintext := randomBytes(3000)
	for _, concurrency := range []int{1, 3} {
		c := withConcurrency(t, unsigned, 10, concurrency)
		s := newShelf(t, encrypt(t, c, plaintext))
		r := newRangeReader(t, c, s)
		for nth := 1; nth < 4; nth++ {
			g := newGate(nth)
			s.body = func(b io.Reader) io.Reader {
				return readerFunc(func(p []byte) (int, error) {
					g.pass()
					return b.Read(p[:min(len(p), 500)])
				})
			}
			section := r.NewSectionReader(t.Context(), 0, r.Size())
			ended := make(chan error, 1)
			go func() { _, err := io.ReadAll(onlyReader{section}); ended <- err }()
			<-g.reached
			_, err := section.Read(make([]byte, 1))
			require.ErrorContains(t, err, "in use")
			_, err = section.Seek(0, io.SeekStart)
			require.ErrorContains(t, err, "in use")
			require.NoError(t, section.Close())
			g.open()
			require.ErrorIs(t, <-ended, fs.ErrClosed)
			s.body = nil

			section = r.NewSectionReader(t.Context(), 0, r.Size())
			dst := &gatedWriter{gate: newGate(nth)}
			go func() { _, err := section.WriteTo(dst); ended <- err }()
			<-dst.reached
			_, err = section.WriteTo(io.Discard)
			require.ErrorContains(t, err, "in use")
			require.NoError(t, section.Close())
			dst.open()
			require.ErrorIs(t, <-ended, fs.ErrClosed)
			require.False(t, dst.altered, "what the destination held was altered by Close")
			require.True(t, bytes.HasPrefix(plaintext, dst.Bytes()))
			_, err = section.Seek(0, io.SeekStart)
			require.ErrorIs(t, err, fs.ErrClosed)
		}
	}
}
