package envelope_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
)

// A script is what is to happen, byte by byte. At its end it is all zeros.
type script []byte

func (s *script) next(n int) int {
	if len(*s) == 0 {
		return 0
	}
	b := int((*s)[0]) % n
	*s = (*s)[1:]
	return b
}

// A badSource does what a script says, in its own methods too.
type badSource struct {
	*script
	content []byte
	at      int64
	meek    bool                    // does no more harm
	reader  *envelope.EncryptReader // whose source it is
	inside  error                   // what a call from inside has returned that it must not
}

var errScripted = errors.New("as the script says")

func (s *badSource) Read(p []byte) (n int, err error) {
	n = copy(p, s.content[min(max(s.at, 0), int64(len(s.content))):])
	if n == 0 {
		err = io.EOF
	}
	if s.meek {
		s.at += int64(n)
		return n, err
	}
	switch what := s.next(60); what {
	case 1:
		return 0, errScripted
	case 2:
		panic(errScripted)
	case 3:
		runtime.Goexit()
	case 4, 5, 6:
		return 0, nil
	case 7, 8, 9, 10, 11, 12:
		n = min(n, what-6)
	case 13:
		// Data, and an error with it.
		err = errScripted
	case 14:
		if s.at += int64(n); s.at >= int64(len(s.content)) {
			err = io.EOF
		}
		return n, err
	case 15:
		// Another byte than is stored.
		if n > 0 {
			p[n-1] ^= 0x80
		}
	case 16:
		// What is stored is another, from now on.
		if len(s.content) > 0 {
			s.content[s.next(len(s.content))] ^= 0x40
		}
	case 17:
		// The bytes behind those that count are the reader's to write to.
		clear(p[n:])
	case 18:
		return len(p) + 1, nil
	case 19:
		return -1, nil
	case 20:
		s.content = append(s.content, 'x')
	case 21:
		s.content = s.content[:max(0, len(s.content)-1)]
	case 22, 23, 24:
		s.callBack(what)
	}
	s.at += int64(n)
	return n, err
}

// callBack calls the reader, which waits for this source.
func (s *badSource) callBack(what int) {
	var n int
	var err error
	switch what {
	case 22:
		n, err = s.reader.Read(make([]byte, 10))
	case 23:
		_, err = s.reader.Seek(0, io.SeekStart)
	default:
		_, err = s.reader.WriteTo(io.Discard)
	}
	if n > 0 || err == nil {
		s.inside = fmt.Errorf("a call of the source's own returned %d, %v", n, err)
	}
}

func (s *badSource) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent {
		offset += s.at
	}
	s.at = offset
	if s.meek || s.reader == nil {
		return offset, nil
	}
	switch s.next(30) {
	case 1:
		return 0, errScripted
	case 2:
		s.at++ // and says that it is where it was told to be
	case 3:
		s.at = 0
	case 4:
		s.at++
		return s.at, nil
	case 5:
		panic(errScripted)
	}
	return offset, nil
}

// FuzzEncryptReader has a script say how a reader is used, and how badly its source behaves.
// No byte is ever released with two values, and nothing after an error. All bytes together
// are a message, whatever the order in which they were read.
func FuzzEncryptReader(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		b := make([]byte, 20+random.IntN(200))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		f.Add(b)
	}
	shortBatches(f, 100)
	const frameLen = 10
	f.Fuzz(func(t *testing.T, b []byte) {
		s := script(b)
		n := s.next(256)
		if s.next(4) == 0 {
			n = n / frameLen * frameLen
		}
		suite := unsigned
		if s.next(8) == 7 {
			suite = signed
		}
		c := withConcurrency(t, suite, frameLen, 1+s.next(3))
		src := &badSource{script: &s, content: randomBytes(n)}
		var r *envelope.EncryptReader
		if s.next(5) == 4 {
			r = newEncryptReader(t, c, onlyReader{src}, n)
		} else {
			r = newEncryptReader(t, c, src, n)
		}
		src.reader = r
		src.meek = s.next(4) == 0
		seen := &released{make([]byte, r.Size()), make([]bool, r.Size())}
		var failed error // what sticks
		pos := int64(0)
		// call makes one, which may panic or end its goroutine. What it has released before is
		// in out.
		call := func(do func() error) (err error, returned bool) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { _ = recover() }()
				err = do()
				returned = true
			}()
			<-done
			return err, returned
		}
		for len(s) > 0 {
			var out []byte
			var err error
			returned := true
			at := pos
			switch what := s.next(16); what {
			case 0, 1, 2, 3, 4:
				p := make([]byte, s.next(256))
				err, returned = call(func() error {
					m, err := r.Read(p)
					out = p[:m]
					require.LessOrEqual(t, m, len(p))
					return err
				})
				if err == io.EOF {
					require.GreaterOrEqual(t, pos, r.Size())
					err = nil
				}
			case 5, 6, 7:
				var dst bytes.Buffer
				limit := s.next(256)
				bad := s.next(4)
				err, returned = call(func() error {
					m, err := r.WriteTo(writerFunc(func(p []byte) (int, error) {
						n := min(len(p), max(0, limit-dst.Len()))
						dst.Write(p[:n])
						switch {
						case n == len(p):
							return n, nil
						case bad == 1:
							return n, nil
						case bad == 2:
							panic(errScripted)
						}
						return n, errBroken
					}))
					require.EqualValues(t, dst.Len(), m)
					return err
				})
				out = dst.Bytes()
				if errors.Is(err, errBroken) || err == io.ErrShortWrite {
					err = nil
				}
			case 8, 9, 10, 11, 12:
				to := int64(s.next(256)) * (r.Size() + 5) / 255
				var got int64
				got, err = r.Seek(to, io.SeekStart)
				if err == nil {
					require.Equal(t, to, got)
					at, pos = to, to
				} else if errors.Is(err, errors.ErrUnsupported) {
					err = nil
				}
			case 13:
				if len(src.content) > 0 && s.next(3) == 0 {
					src.content[s.next(len(src.content))] ^= 1
				}
			case 14:
				src.meek = !src.meek
			case 15:
				if s.next(10) == 9 {
					require.NoError(t, r.Close())
					if failed == nil {
						_, failed = r.Seek(0, io.SeekStart)
						require.ErrorIs(t, failed, fs.ErrClosed)
					}
				}
			}
			require.NoError(t, src.inside)
			if failed != nil {
				require.Empty(t, out, "released after an error")
				if err != nil {
					require.Equal(t, failed, err)
				}
			}
			require.NoError(t, seen.add(at, out))
			pos += int64(len(out))
			switch {
			case failed != nil:
			case !returned:
				_, failed = r.Seek(0, io.SeekStart)
				require.Error(t, failed, "a call that did not return")
			default:
				failed = err
			}
		}
		if failed != nil {
			return
		}
		// What is missing, the source may give now.
		src.meek = true
		for at := int64(0); at < r.Size(); at++ {
			if seen.known[at] {
				continue
			}
			if _, err := r.Seek(at, io.SeekStart); err != nil {
				return
			}
			p := make([]byte, 50)
			m, err := r.Read(p)
			require.NoError(t, seen.add(at, p[:m]))
			if err != nil {
				require.NotEqual(t, io.EOF, err)
				return // it is another source, or had an error with the last data
			}
		}
		got, err := c.Decrypt(t.Context(), seen.bytes, testContext)
		require.NoError(t, err, "what was read in parts is no message")
		require.Len(t, got, n)
	})
}
