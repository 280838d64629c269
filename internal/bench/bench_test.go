package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
)

func TestContendersRoundTrip(t *testing.T) {
	t.Run("streams", func(t *testing.T) {
		for _, size := range []int{1, 4096, 200_000} {
			_, err := streamPeers(randomBytes(size))
			require.NoError(t, err, size)
		}
	})
	t.Run("in memory", func(t *testing.T) {
		for _, g := range []group{
			awsGroup(smallLen, 1, target{}), awsGroup(100_000, 1, target{}),
			envelopePeersGroup(smallLen), envelopePeersGroup(100_000),
		} {
			entrants, err := g.build()
			require.NoError(t, err, g.name)
			for _, e := range entrants {
				require.NoError(t, e.run(), g.name)
			}
		}
	})
}

func TestCheckRefuses(t *testing.T) {
	none := func(io.Writer, io.Reader) error { return nil }
	_, err := streamCipher{"broken", none, none}.check([]byte("x"))
	require.ErrorIs(t, err, errRoundTrip)

	same := func(_, b []byte) ([]byte, error) { return b[:0], nil }
	_, err = memoryCipher{"broken", same, same}.check([]byte("x"))
	require.ErrorIs(t, err, errRoundTrip)
}

func TestShortestIsAMessage(t *testing.T) {
	for _, leastTime := range []bool{false, true} {
		t.Run(fmt.Sprint(leastTime), func(t *testing.T) { testShortestIsAMessage(t, leastTime) })
	}
}

func testShortestIsAMessage(t *testing.T, leastTime bool) {
	s, err := newShortest(frameLen, leastTime)
	require.NoError(t, err)
	c, err := newClient(envelope.Options{})
	require.NoError(t, err)
	for range 3 { // the derivation's buffers are reused
		plaintext := randomBytes(smallLen)
		msg, err := s.encrypt([]byte("before"), plaintext)
		require.NoError(t, err)
		msg, found := bytes.CutPrefix(msg, []byte("before"))
		require.True(t, found)

		got, err := c.Decrypt(context.Background(), msg, encryptionContext())
		require.NoError(t, err)
		assert.Equal(t, plaintext, got)

		got, err = s.decrypt(nil, msg)
		require.NoError(t, err)
		assert.Equal(t, plaintext, got)

		ours, err := c.Encrypt(context.Background(), plaintext, encryptionContext())
		require.NoError(t, err)
		assert.Len(t, msg, len(ours), "the bound writes no less")
	}
}

func TestCipherLoops(t *testing.T) {
	loop, err := newCipherLoop(100)
	require.NoError(t, err)
	src := randomBytes(1234)
	for _, l := range []cipherLoop{loop, loop.oneFrame()} {
		for _, e := range append(l.entrants(oneCore, src), l.parallelEntrants(allCores, src)...) {
			require.NoError(t, e.run(), "%v", e.key)
		}
	}
	require.NoError(t, loop.openPairs(loop.frames(src), []int{1, 999, 1050}))

	frames := loop.frames(src)
	frames[700]++
	buf := loop.newBuffer()
	require.Error(t, loop.open(buf, frames, 0))
	require.Error(t, shares(frames, 100+tagLen, 1, func(_ int, share []byte, seq uint32) error {
		return loop.open(buf, share, seq)
	}))
}

// The loop that targets are held against uses all of its buffer, over and over, and
// the other one the room of one frame: neither has memory of its own beside it.
func TestCipherLoopsFillTheirBuffer(t *testing.T) {
	const frameLen, perWrite = 100, 3
	loop, err := newCipherLoop(frameLen)
	require.NoError(t, err)
	loop.perWrite = perWrite
	src := randomBytes(7*frameLen + 30) // twice round, and two frames
	frames := loop.frames(src)
	sealedLen := frameLen + tagLen

	buf := loop.newBuffer()
	require.Equal(t, perWrite*sealedLen, cap(buf))
	loop.seal(buf, src, 0)
	assert.Equal(t, frames[6*sealedLen:], buf[:sealedLen+30+tagLen], "the last two at the start")
	assert.Equal(t, frames[5*sealedLen:6*sealedLen], buf[2*sealedLen:3*sealedLen], "and behind them what was there")
	require.NoError(t, loop.open(buf, frames, 0))
	assert.Equal(t, src[6*frameLen:], buf[:frameLen+30])
	assert.Equal(t, src[5*frameLen:6*frameLen], buf[2*frameLen:3*frameLen])

	loop = loop.oneFrame()
	require.Equal(t, sealedLen, cap(loop.newBuffer()))
	untouched := make([]byte, 2*sealedLen)
	buf = append(buf[:sealedLen], untouched...)
	loop.seal(buf, src, 0)
	assert.Equal(t, frames[7*sealedLen:], buf[:30+tagLen])
	assert.Equal(t, untouched, buf[sealedLen:])
	require.NoError(t, loop.open(buf, frames, 0))
	assert.Equal(t, src[7*frameLen:], buf[:30])
	assert.Equal(t, untouched, buf[sealedLen:])
}

// A bound's buffer is as long as what we write at once. If that changes, so must it.
func TestBufferIsAsLongAsAWrite(t *testing.T) {
	for _, frameLen := range []int{4096, 65536} {
		for _, concurrency := range []int{1, 2} {
			c, err := newOurStream(ours, envelope.Options{FrameLength: frameLen, Concurrency: concurrency})
			require.NoError(t, err)
			src := randomBytes(4 << 20)
			var sealed, opened writeLens
			var msg bytes.Buffer
			require.NoError(t, c.encrypt(io.MultiWriter(&sealed, &msg), bytes.NewReader(src)))
			require.NoError(t, c.decrypt(&opened, bytes.NewReader(msg.Bytes())))

			frames := framesPerWrite(frameLen)
			assert.Equal(t, float64(frames*(frameLen+frameOverhead)), median(sealed), "%d, %d", frameLen, concurrency)
			assert.Equal(t, float64(frames*frameLen), median(opened), "%d, %d", frameLen, concurrency)
		}
	}
}

// writeLens are the lengths of the writes to it.
type writeLens []float64

func (l *writeLens) Write(p []byte) (int, error) {
	*l = append(*l, float64(len(p)))
	return len(p), nil
}

func TestSharesCoverAll(t *testing.T) {
	for _, n := range []int{0, 1, 10, 11, 99, 1000} {
		covered := make([]byte, n)
		called := make([]int, 3)
		require.NoError(t, shares(covered, 10, len(called), func(i int, share []byte, seq uint32) error {
			called[i]++
			for i := range share {
				share[i]++
			}
			return nil
		}))
		assert.Equal(t, bytes.Repeat([]byte{1}, n), covered)
		assert.Equal(t, []int{1, 1, 1}, called, "no two have a buffer in common")
	}
}

func TestMedian(t *testing.T) {
	assert.Equal(t, 3., median([]float64{9, 1, 3}))
	assert.Equal(t, 2.5, median([]float64{9, 1, 3, 2}))

	values := []float64{3, 2, 1}
	median(values)
	assert.Equal(t, []float64{3, 2, 1}, values, "rounds stay in order")
}

func TestMedianRatioPairsRounds(t *testing.T) {
	// The machine is half as fast in the second round, and the ratio is the same.
	assert.Equal(t, 2., medianRatio([]float64{2, 4, 2}, []float64{1, 2, 1}))
	assert.Equal(t, 3., medianRatio([]float64{1, 30, 3}, []float64{1, 1, 1}))
}

func TestMeasureTakesTurns(t *testing.T) {
	var order []string
	entrants := make([]entrant, 3)
	for i, name := range []string{"a", "b", "c"} {
		entrants[i] = entrant{key: key{name, "run"}, run: func() error {
			order = append(order, name)
			return nil
		}}
	}
	timings, err := plan{rounds: 3}.measure(entrants)
	require.NoError(t, err)
	require.Len(t, timings, 3)
	for _, timing := range timings {
		assert.Len(t, timing.Seconds, 3)
	}
	assert.Equal(t, "aabbccabcbcacab", strings.Join(order, ""), "two runs each to warm up, then rounds")
}

// In the first process the bound has bad luck, and in the last we have: neither is
// what counts.
func TestMeasureTakesTheMedianOfProcesses(t *testing.T) {
	a, b := key{"a", encrypt}, key{"b", encrypt}
	runs := [][]timing{
		{{"a", encrypt, 1e6, []float64{1, 1, 1}}, {"b", encrypt, 1e6, []float64{9, 2, 2}}},
		{{"a", encrypt, 1e6, []float64{2, 2, 8}}, {"b", encrypt, 1e6, []float64{2, 2, 8}}},
		{{"b", encrypt, 1e6, []float64{4, 4, 4}}, {"a", encrypt, 1e6, []float64{12, 12, 1}}},
	}
	g := group{
		name:   "g",
		build:  func() ([]entrant, error) { panic("not in this process") },
		ratios: []ratio{{"a-of-b", a, b, atMost(0.9)}, {"b-of-a", b, a, target{}}},
		counts: []count{{"count", target{}, func() (float64, error) { return 7, nil }}},
	}
	started := 0
	o, err := g.measure(func(name string) ([]timing, error) {
		started++
		assert.Equal(t, "g", name)
		return runs[started-1], nil
	})
	require.NoError(t, err)
	assert.Equal(t, processes, started)
	assert.Equal(t, []figure{{"a-of-b", 1, atMost(0.9)}, {"b-of-a", 1, target{}}, {"count", 7, target{}}}, o.figures)
	assert.Equal(t, []speed{{a, 1e6, 2}, {b, 1e6, 2}}, o.speeds)

	runs[2] = runs[2][:1]
	started = 0
	_, err = g.measure(func(string) ([]timing, error) { started++; return runs[started-1], nil })
	require.ErrorContains(t, err, "a: encrypt: was not measured")

	broken := errors.New("broken")
	_, err = g.measure(func(string) ([]timing, error) { return nil, broken })
	require.ErrorIs(t, err, broken)
}

func TestRoundsAreSharedByProcesses(t *testing.T) {
	g := group{rounds: 31}
	assert.Equal(t, 11, g.plan(false).rounds)
	assert.Equal(t, 3, g.plan(true).rounds)
	g.rounds = 7
	assert.Equal(t, 3, g.plan(false).rounds)
	assert.Equal(t, 3, g.plan(true).rounds)
}

// The tests' program is the child here: TestMain passes such calls on.
func TestGroupChild(t *testing.T) {
	want, err := smallGroup().build()
	require.NoError(t, err)
	got, err := groupChild("small", true)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for i, timing := range got {
		assert.Equal(t, want[i].key, timing.key())
		assert.Equal(t, want[i].bytes, timing.Bytes)
		require.Len(t, timing.Seconds, smallGroup().plan(true).rounds)
		for _, s := range timing.Seconds {
			assert.Positive(t, s)
		}
	}

	_, err = groupChild("no such group", true)
	require.ErrorContains(t, err, "child process")
}

func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-group-child") {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestShortRunsAreRepeated(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		runs := 0
		e := entrant{calls: 10, run: func() error { runs++; time.Sleep(time.Microsecond); return nil }}
		timings, err := plan{rounds: 1, sample: 20 * time.Millisecond}.measure([]entrant{e})
		require.NoError(t, err)
		assert.Greater(t, runs, 20_000)
		assert.InDelta(t, 1e-7, timings[0].Seconds[0], 1e-12, "of one call")
	})
}

func TestFigures(t *testing.T) {
	assert.Equal(t, "ratio x 0.940", figure{"x", 0.94, atLeast(0.93)}.String())
	assert.Equal(t, "ratio x 0.920  short: target >= 0.93", figure{"x", 0.92, atLeast(0.93)}.String())
	assert.Equal(t, "ratio x 9  short: target <= 8", figure{"x", 9, atMost(8)}.String())
	assert.Equal(t, "ratio x 51.2", figure{"x", 51.2345, target{}}.String())
	assert.False(t, missed([]outcome{{figures: []figure{{"x", 0.93, atLeast(0.93)}}}}))
	assert.True(t, missed([]outcome{{figures: []figure{{"x", math.NaN(), atLeast(0.93)}}}}))
}

func TestRatioNamesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups(false) {
		for _, r := range g.ratios {
			assert.False(t, seen[r.name], r.name)
			seen[r.name] = true
		}
		for _, c := range g.counts {
			assert.False(t, seen[c.name], c.name)
			seen[c.name] = true
		}
	}
	for _, name := range []string{
		"stream-encrypt-1core-4096", "stream-decrypt-1core-65536", "stream-decrypt-1core-4096-of-seal",
		"stream-encrypt-1core-4096-from-reader", "stream-encrypt-1core-4096-of-one-frame", "signed-encrypt", "signed-decrypt", "small-encrypt",
		"small-decrypt-allocs", "range-4k", "aws-16MiB-encrypt", "aws-64B-decrypt", "aws-64B-encrypt-cached",
		"tink-stream-encrypt-1MiB", "age-stream-decrypt-64KiB", "sio-stream-encrypt-64MiB",
		"tink-envelope-encrypt-64B", "memory-4GiB", "allocs-stream-growth",
	} {
		assert.True(t, seen[name], name)
	}
}

func TestReport(t *testing.T) {
	var o []outcome
	for _, g := range []string{chartStreams, chartAWS} {
		who := map[string]string{chartStreams: ours, chartAWS: awsName}[g]
		o = append(o, outcome{
			group: g,
			speeds: []speed{
				{key{who, encrypt}, 1e6, 0.5},
				{key{who, decrypt}, 1e6, 0.25},
			},
			figures: []figure{{"some-ratio", 0.5, atLeast(0.9)}},
		})
	}
	table := string(markdown(o, true))
	assert.Contains(t, table, "| some-ratio | 0.500 | >= 0.9, short |")
	assert.Contains(t, table, "| sealring | 2 MB/s | 4 MB/s |")
	assert.Contains(t, table, "at once, 64 KiB or one frame")
	assert.Contains(t, table, "medians of 3 processes")

	svg, err := drawChart(o)
	require.NoError(t, err)
	assert.Contains(t, string(svg), "<svg")
	assert.Contains(t, string(svg), awsName)

	svg, err = drawChart(o[1:])
	require.NoError(t, err)
	assert.Nil(t, svg, "no streams, no chart")
}

func TestRepeated(t *testing.T) {
	got, err := io.ReadAll(&repeated{block: []byte("abc"), left: 10})
	require.NoError(t, err)
	assert.Equal(t, "abcabcabca", string(got))
}

func TestSizeName(t *testing.T) {
	for n, want := range map[int64]string{64: "64B", 64 << 10: "64KiB", 1 << 20: "1MiB", 4 << 30: "4GiB", 1025: "1025B"} {
		assert.Equal(t, want, sizeName(n))
	}
}
