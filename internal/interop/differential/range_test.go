package differential

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
)

// A window is a part of a plaintext that is read.
type window struct{ from, to int }

// rangeWays are the ways to read a part of a message, unless it does not open. Each returns
// what it read before an error.
func rangeWays(ctx context.Context, t testing.TB, d *envelope.Decrypter, msg []byte, ec map[string]string) (ways map[string]func(w window) ([]byte, error), size int64, err error) {
	at, errAt := d.NewReaderAt(ctx, bytes.NewReader(msg), int64(len(msg)), ec)
	fetch := func(_ context.Context, req envelope.FetchRequest) (*envelope.FetchResult, error) {
		from := min(req.Offset, int64(len(msg)))
		to := min(from+req.Length, int64(len(msg)))
		return &envelope.FetchResult{
			Body: io.NopCloser(iotest.HalfReader(bytes.NewReader(msg[from:to]))), Size: int64(len(msg)), Version: "1",
		}, nil
	}
	ranges, errRanges := d.NewRangeReader(ctx, fetch, ec)
	require.Equal(t, errAt == nil, errRanges == nil, "ReaderAt: %v, RangeReader: %v", errAt, errRanges)
	if errAt != nil {
		return nil, 0, errAt
	}
	readAt := func(r io.ReaderAt) func(w window) ([]byte, error) {
		return func(w window) ([]byte, error) {
			p := make([]byte, w.to-w.from)
			n, err := r.ReadAt(p, int64(w.from))
			if err == io.EOF {
				err = nil
			}
			return p[:n], err
		}
	}
	return map[string]func(w window) ([]byte, error){
		"ReaderAt":    readAt(at),
		"RangeReader": readAt(ranges),
		"SectionReader": func(w window) ([]byte, error) {
			s := ranges.NewSectionReader(ctx, int64(w.from), int64(w.to-w.from))
			defer s.Close()
			return io.ReadAll(iotest.HalfReader(s))
		},
		"SectionReader's WriteTo": func(w window) ([]byte, error) {
			s := ranges.NewSectionReader(ctx, int64(w.from), int64(w.to-w.from))
			defer s.Close()
			var out bytes.Buffer
			_, err := s.WriteTo(&out)
			return out.Bytes(), err
		},
		"SectionReader, from an end to the other": func(w window) ([]byte, error) {
			s := ranges.NewSectionReader(ctx, 0, at.Size())
			defer s.Close()
			if _, err := s.Seek(int64(w.from), io.SeekStart); err != nil {
				return nil, err
			}
			return io.ReadAll(io.LimitReader(s, int64(w.to-w.from)))
		},
	}, at.Size(), nil
}

// judgeRange reads a part of a message that was altered in some of its frames. It returns
// whether the message opens as a whole when it is not altered, and whether the part then does.
func judgeRange(t testing.TB, r *readers, s *scene, from, length, altered uint16, how byte) (whole, part bool) {
	ctx := context.Background()
	d := r.client(t, s, 1+int(how>>7)*2, false)
	plaintext, err := d.Decrypt(ctx, s.msg, s.reproduced)
	if err != nil || s.asMade != nil {
		// All ways must say the same of what can be said.
		ways, size, err := rangeWays(ctx, t, d, s.msg, s.reproduced)
		if err != nil {
			return false, false
		}
		w := window{min(int(from), int(size)), min(int(from)+int(length), int(size))}
		want, errWant := ways["ReaderAt"](w)
		for name, read := range ways {
			got, err := read(w)
			require.Equal(t, errWant == nil, err == nil, name)
			n := min(len(got), len(want))
			require.True(t, bytes.Equal(want[:n], got[:n]), name)
		}
		return false, errWant == nil
	}
	if !s.draft.framed || s.draft.suite.Signs() {
		_, _, err := rangeWays(ctx, t, d, s.msg, s.reproduced)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		return true, false
	}

	// Alter frames: of the last 16, so that the final one is among them.
	frameLen, frames := int(s.draft.frameLen), len(s.draft.parts)
	wire := frameLen + 32
	body := len(s.msg) - (frames-1)*wire - (40 + len(s.draft.parts[frames-1].text))
	msg := bytes.Clone(s.msg)
	bad := map[int]bool{}
	for i := max(frames-16, 0); i < frames; i++ {
		if altered>>(i%16)&1 == 0 {
			continue
		}
		frame := msg[body+i*wire:]
		if i < frames-1 {
			frame = frame[:wire]
		}
		bad[i] = true
		switch how % 6 {
		case 0: // number
			frame[3] ^= 1
		case 1: // IV
			frame[8] ^= 1
		case 2: // tag
			frame[len(frame)-1] ^= 0x80
		case 3: // content, or the tag if there is none
			frame[len(frame)-17] ^= 1
		case 4: // another frame in its place
			if i >= frames-1 || i == 0 {
				frame[len(frame)-16] ^= 1
				break
			}
			copy(frame, msg[body:body+wire])
		default: // swapped with the one before
			if i >= frames-1 || i == 0 || bad[i-1] {
				frame[len(frame)-16] ^= 1
				break
			}
			before := msg[body+(i-1)*wire : body+i*wire]
			kept := bytes.Clone(before)
			copy(before, frame)
			copy(frame, kept)
			bad[i-1] = true
		}
	}
	_, err = d.Decrypt(ctx, msg, s.reproduced)
	require.Equal(t, len(bad) > 0, err != nil)

	ways, size, err := rangeWays(ctx, t, d, msg, s.reproduced)
	if bad[frames-1] {
		require.Error(t, err, "the final frame was altered")
		return true, false
	}
	require.NoError(t, err)
	require.EqualValues(t, len(plaintext), size)
	w := window{min(int(from), len(plaintext)), min(int(from)+int(length), len(plaintext))}
	if len(plaintext) > 1<<16 { // the last part of a long one
		w.from, w.to = w.from+len(plaintext)-1<<16, w.to+len(plaintext)-1<<16
		w.from, w.to = max(w.from, 0), min(max(w.to, 0), len(plaintext))
	}
	good := w.to // the end of what is sound
	for i := range bad {
		if i*frameLen < w.to && (i+1)*frameLen > w.from {
			good = min(good, max(i*frameLen, w.from))
		}
	}
	if w.from == w.to {
		good = w.to
	}
	for name, read := range ways {
		got, err := read(w)
		if good == w.to {
			require.NoError(t, err, "%s: %v touches no altered frame: %v", name, w, bad)
			require.True(t, bytes.Equal(plaintext[w.from:w.to], got), "%s: %v: other bytes", name, w)
			continue
		}
		require.Error(t, err, "%s: %v touches an altered frame: %v", name, w, bad)
		require.LessOrEqual(t, len(got), good-w.from, "%s: more than is sound", name)
		require.True(t, bytes.Equal(plaintext[w.from:w.from+len(got)], got), "%s: %v: other bytes", name, w)
	}
	return true, good == w.to
}

// FuzzRanges has parts of messages read whose frames were altered, after a script has changed
// the message by structure. A part opens if no altered frame has bytes of it, and then its
// bytes are those that the whole message has.
func FuzzRanges(f *testing.F) {
	r := newReaders(f, nil)
	for i := range mutations {
		for j, script := range scripts(i, 4) {
			if mutations[i].stage == plan {
				f.Add(script, uint16(i*j), uint16(7*j+i), uint16(1)<<(i%16)*uint16(j%2), byte(i+j))
			}
		}
	}
	f.Fuzz(func(t *testing.T, script []byte, from, length, altered uint16, how byte) {
		judgeRange(t, r, play(script), from, length, altered, how)
	})
}

// TestRanges goes through all windows of short messages with some frames altered.
func TestRanges(t *testing.T) {
	r := newReaders(t, nil)
	var opens, fails, unreadable int
	for _, frameLen := range []byte{1, 2, 3} {
		for how := range byte(6) {
			for _, altered := range []uint16{0, 1, 2, 4, 10, 0x8001} {
				s := play([]byte{9, 0, frameLen, 8 + 4 + byte(frameLen), 1, 0, 0, 0})
				n := len(s.draft.plaintext())
				for from := 0; from <= n; from += 1 + n/11 {
					for _, length := range []int{0, 1, 2, 5, n/2 + 1, n, n + 3} {
						whole, part := judgeRange(t, r, s, uint16(from), uint16(length), altered, how)
						switch {
						case part:
							opens++
						case whole:
							fails++
						default:
							unreadable++
						}
					}
				}
			}
		}
	}
	t.Logf("%d parts open, %d do not", opens, fails)
	assert.NotZero(t, opens)
	assert.NotZero(t, fails)
	assert.Zero(t, unreadable)

	// And after each mutation.
	opens, fails, unreadable = 0, 0, 0
	for i := range mutations {
		for j, script := range scripts(i, 20) {
			whole, part := judgeRange(t, r, play(script), uint16(i*j), uint16(7*j+i), uint16(j%3)<<(i%16), byte(i+j))
			switch {
			case part:
				opens++
			case whole:
				fails++
			default:
				unreadable++
			}
		}
	}
	t.Logf("after a mutation: %d parts open, %d do not, %d are of messages that do not open", opens, fails, unreadable)
	assert.NotZero(t, opens)
	assert.NotZero(t, fails)
}
