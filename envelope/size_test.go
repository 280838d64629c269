package envelope_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// exact says by integers without bounds where the parts of a message of size bytes
// lie.
type exact struct {
	start, wire, frame, final *big.Int // of the header's end, a regular frame, its content, the final frame's number
	end, plaintext            *big.Int
}

func number(n int64) *big.Int { return big.NewInt(n) }

// exactly returns nil if no message with the header is size bytes long.
func exactly(h *envelope.Header, size int64) *exact {
	const regularOverhead, finalOverhead, nonFramedOverhead = 4 + 12 + 16, 4 + 4 + 12 + 4 + 16, 12 + 8 + 16
	e := &exact{start: number(int64(h.Length)), frame: number(int64(h.FrameLength)), end: number(size)}
	if h.Suite.Signs() {
		e.end.Sub(e.end, number(2+103))
	}
	body := new(big.Int).Sub(e.end, e.start)
	if h.FrameLength == 0 {
		e.plaintext = body.Sub(body, number(nonFramedOverhead))
		if e.plaintext.Sign() < 0 {
			return nil
		}
		return e
	}
	body.Sub(body, number(finalOverhead))
	if body.Sign() < 0 {
		return nil
	}
	e.wire = new(big.Int).Add(e.frame, number(regularOverhead))
	var last *big.Int
	e.final, last = new(big.Int).DivMod(body, e.wire, new(big.Int))
	if e.final.Cmp(number(math.MaxUint32)) >= 0 || last.Cmp(e.frame) > 0 {
		return nil
	}
	e.plaintext = new(big.Int).Mul(e.final, e.frame)
	e.plaintext.Add(e.plaintext, last)
	return e
}

// part returns where the frames with n bytes of plaintext from off on lie.
func (e *exact) part(off, n int64) (start, length *big.Int) {
	from, to := number(off), new(big.Int).Add(number(off), number(n))
	if from.Cmp(e.plaintext) > 0 {
		from.Set(e.plaintext)
	}
	if to.Cmp(e.plaintext) > 0 {
		to.Set(e.plaintext)
	}
	if from.Cmp(to) >= 0 {
		return e.start, number(0)
	}
	first := new(big.Int).Div(from, e.frame)
	last := to.Div(to.Sub(to, number(1)), e.frame)
	start = first.Add(first.Mul(first, e.wire), e.start)
	end := e.end
	if last.Cmp(e.final) < 0 {
		end = last.Add(last.Mul(last.Add(last, number(1)), e.wire), e.start)
	}
	return start, new(big.Int).Sub(end, start)
}

func checkSizes(t *testing.T, h *envelope.Header, off, n, size int64) {
	t.Helper()
	e := exactly(h, size)
	plaintext, err := h.PlaintextSize(size)
	start, length, errRange := h.MessageRange(off, n, size)
	if e == nil {
		require.ErrorIs(t, err, envelope.ErrMalformed, "%d bytes: %d of plaintext", size, plaintext)
		require.ErrorIs(t, errRange, envelope.ErrMalformed, "%d bytes", size)
		return
	}
	require.NoError(t, err, "%d bytes", size)
	require.Equal(t, e.plaintext.String(), number(plaintext).String(), "plaintext of %d bytes", size)
	if off < 0 || n < 0 || h.FrameLength == 0 {
		require.ErrorIs(t, errRange, envelope.ErrLimit)
		return
	}
	require.NoError(t, errRange)
	wantStart, wantLength := e.part(off, n)
	require.Equal(t, wantStart.String(), number(start).String(), "range of %d at %d in %d", n, off, size)
	require.Equal(t, wantLength.String(), number(length).String(), "range of %d at %d in %d", n, off, size)

	// There and back, if the final frame is as this package writes it.
	if again, err := h.MessageSize(plaintext); err == nil && again != size {
		require.Zero(t, plaintext%int64(h.FrameLength), "plaintext of %d bytes makes %d", plaintext, again)
	}
}

// longestFrame is the format's, or what an int holds.
const longestFrame = min(math.MaxUint32, math.MaxInt)

var extremes = []int64{
	math.MinInt64, math.MinInt64 + 1, math.MinInt64 + 40, math.MinInt64 + 1000, math.MinInt64 / 2, -1 << 32, -1000, -1, 0, 1, 40,
	1000, 1 << 32, math.MaxInt64 / 2, math.MaxInt64 - 1000, math.MaxInt64 - 40, math.MaxInt64 - 1, math.MaxInt64,
}

// TestSizesAtTheExtremes compares with integers that do not overflow.
func TestSizesAtTheExtremes(t *testing.T) {
	for _, suite := range []keyring.Suite{unsigned, signed} {
		for _, frameLen := range []int{0, 1, 4096, longestFrame} {
			for _, length := range []int{100, 1000, 256 << 10} {
				h := &envelope.Header{Version: 2, Suite: suite, FrameLength: frameLen, Length: length}
				for _, size := range extremes {
					for _, off := range extremes {
						for _, n := range extremes {
							checkSizes(t, h, off, n, size)
						}
					}
				}
			}
		}
	}
}

func TestSizesAtRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	// anywhere is near an extreme, or of any magnitude.
	anywhere := func() int64 {
		if random.IntN(2) == 0 {
			return extremes[random.IntN(len(extremes))] + random.Int64N(2000) // may wrap to the other end
		}
		return int64(random.Uint64()) >> random.IntN(64)
	}
	for range 50_000 {
		h := &envelope.Header{Version: 2, Suite: unsigned, Length: 100 + random.IntN(10_000), FrameLength: int(min(int64(random.Uint32()>>random.IntN(32)), math.MaxInt))}
		switch random.IntN(4) {
		case 0:
			h.FrameLength = longestFrame - random.IntN(100)
		case 1:
			h.Suite = signed
		}
		checkSizes(t, h, anywhere(), anywhere(), anywhere())
	}
}
