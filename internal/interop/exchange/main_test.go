package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/peerkey"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// fakeMode is the environment variable that makes the test's binary a peer.
const fakeMode = "SEALRING_FAKE_PEER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(fakeMode); mode != "" {
		fake(mode, os.Stdin, os.Stdout)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A fake peer is this library, or does one thing wrong.
const (
	right          = "right"
	otherPlaintext = "decrypts to another plaintext"
	otherContext   = "returns another context"
	noContext      = "returns no context"
	opensAll       = "opens what it must refuse"
	writesAll      = "writes what it must refuse"
	refusesReading = "refuses to read"
	refusesWriting = "refuses to write"
	otherFrames    = "writes frames of another length"
	otherSuite     = "writes under another suite"
	otherStored    = "writes another context"
	extraKey       = "writes a wrapped key too many"
	brokenMessage  = "writes what nobody can read"
	dying          = "dies when it shall read"
	silent         = "is silent"
	garbage        = "answers with no JSON"
	wrongID        = "answers another request"
	empty          = "answers with nothing"
	hasNothing     = "has nothing"

	overlooksEnd    = "opens a message with a byte behind it"
	otherAltered    = "opens what was altered as something else"
	releasesAltered = "releases more than was authentic"
	releasesMore    = "releases more than there is"
	releasesOther   = "releases another plaintext"
	releasesNothing = "releases nothing before its error"
	releasesUntold  = "does not say what it released"
)

func fake(mode string, in io.Reader, out io.Writer) {
	library := newOurs()
	defer library.close()
	lines := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			panic(err)
		}
		answer := map[string]any{"id": r.ID}
		if r.Op == "about" {
			answer["name"], answer["version"] = "Fake", "1"
		} else {
			fakeAnswer(library, mode, &r, answer)
		}
		b, err := json.Marshal(answer)
		if err != nil {
			panic(err)
		}
		if _, err := out.Write(append(b, '\n')); err != nil {
			return
		}
	}
}

func fakeAnswer(library *ours, mode string, r *request, answer map[string]any) {
	ctx := context.Background()
	x := &exchange{
		suite: keyring.Suite(r.Suite), context: r.Context, reproduced: r.Context, required: r.Required, writes: r.Keyring, reads: r.Keyring,
	}
	for p, name := range policies {
		if name == r.Policy {
			x.writerPolicy, x.readerPolicy = p, p
		}
	}
	switch mode {
	case dying:
		if r.Op == "decrypt" {
			fmt.Fprintln(os.Stderr, "its last words")
			os.Exit(1)
		}
	case silent:
		select {}
	case garbage:
		fmt.Println("no JSON")
		return
	case wrongID:
		answer["id"] = r.ID + 1
	case empty:
		return
	case hasNothing:
		answer["unsupported"] = "anything"
		return
	}
	if r.Op == "encrypt" {
		fakeEncrypt(ctx, library, mode, r, x, answer)
		return
	}
	d, err := library.decrypter(ctx, x)
	if err != nil {
		panic(err)
	}
	got, err := inMemory.read(ctx, d, r.Data, x.reproduced)
	if h, bad := header(r.Data); bad == nil && r.MaxKeys > 0 && len(h.EncryptedDataKeys) > r.MaxKeys {
		err = errors.New("too many wrapped keys")
	}
	switch {
	case err != nil && mode == overlooksEnd:
		if got, err = inMemory.read(ctx, d, r.Data[:max(len(r.Data)-1, 0)], x.reproduced); err != nil {
			fakeRefusal(ctx, d, mode, r, answer)
			return
		}
	case err != nil && mode == otherAltered:
		got = []byte("something else")
	case mode == refusesReading, err != nil && mode != opensAll:
		fakeRefusal(ctx, d, mode, r, answer)
		return
	case mode == otherPlaintext:
		got = append(got, 0)
	}
	if got == nil {
		got = []byte{}
	}
	lastOpened = got
	answer["data"], answer["context"] = got, fakeContext(mode, r.Data)
}

// lastOpened is what the fake last decrypted. Messages are read as they were first.
var lastOpened []byte

// fakeRefusal is an error, after what a stream released.
func fakeRefusal(ctx context.Context, d *envelope.Decrypter, mode string, r *request, answer map[string]any) {
	answer["error"] = "it does"
	if !r.Stream || mode == releasesUntold {
		return
	}
	released := []byte{}
	if s, err := d.NewReader(ctx, bytes.NewReader(r.Data), r.Context); err == nil {
		released, _ = io.ReadAll(s)
	}
	switch {
	case mode == releasesAltered:
		released = lastOpened // no more than what the message had before it was altered
	case mode == releasesMore:
		released = append(released, "more than that"...)
	case mode == releasesNothing:
		released = []byte{}
	case mode == releasesOther && len(released) > 0:
		released[0] ^= 1
	}
	answer["released"] = released
}

func fakeContext(mode string, msg []byte) keyring.EncryptionContext {
	h, err := header(msg)
	if err != nil || mode == noContext {
		return nil
	}
	for k := range h.Context {
		if mode == otherContext && k != publicKey {
			h.Context[k] += "x"
		}
	}
	return h.Context
}

func fakeEncrypt(ctx context.Context, library *ours, mode string, r *request, x *exchange, answer map[string]any) {
	x.frame = *r.Frame
	if x.frame == 0 {
		answer["unsupported"] = "non-framed"
		return
	}
	msg, err := library.encrypt(ctx, x, r.Data, false)
	if mode == refusesWriting || err != nil && mode != writesAll {
		answer["error"] = "it does"
		return
	}
	switch mode {
	case writesAll:
		if err != nil {
			msg = []byte("message")
		}
		answer["data"] = msg
		return
	case brokenMessage:
		msg[len(msg)-1] ^= 1
		answer["data"] = msg
		return
	case otherFrames:
		x.frame++
	case otherSuite:
		if x.suite == unsigned {
			x.suite = signed
		} else {
			x.suite = unsigned
		}
		x.writerPolicy = keyring.RequireEncryptAllowDecrypt
	case otherStored:
		x.context = keyring.EncryptionContext{"other": "pair"}
		x.required = nil
	case extraKey:
		x.writes = &peerkey.Spec{Kind: "multi", Generator: x.writes, Children: []*peerkey.Spec{aesSpec("extra", "key", 32)}}
	}
	if msg, err = library.encrypt(ctx, x, r.Data, false); err != nil {
		panic(err)
	}
	answer["data"] = msg
}

// fakeLimits are those that the fake has when it is right.
var fakeLimits = []limit{{name: "writes no messages without frames", kind: lacks, lack: "non-framed"}}

func quiet(string) {}

func fakePeer(t *testing.T, mode string) *peer {
	p := newPeer(".", os.Args[0])
	p.env = append(os.Environ(), fakeMode+"="+mode)
	t.Cleanup(p.stop)
	return p
}

func testServices(t *testing.T) *services {
	s := &services{kms: kmstest.Start(t, kmstest.Config{Regions: []string{here, there}})}
	s.branchARN = s.kms.CreateKey(here, kmstest.SymmetricDefault)
	return s
}

func testTable(t *testing.T, mode string) *table {
	library := newOurs()
	t.Cleanup(library.close)
	return &table{ours: library, peer: fakePeer(t, mode), name: "fake", seed: 1}
}

// TestRightPeer has this library on both sides, so that what cells ask of it is known to hold
// where no peer is installed.
func TestRightPeer(t *testing.T) {
	cells := cellsFor(testServices(t), 1, true, true)
	r := runCells(t.Context(), testTable(t, right), "1", fakeLimits, cells, true, quiet)
	assert.Empty(t, r.failures)
	sum := r.total()
	assert.Equal(t, len(cells)+1, sum.passed+sum.named)
	assert.Greater(t, sum.passed, 1000)
	for _, g := range groups {
		if g != groupBranchKeys {
			assert.NotZero(t, r.groups[g].passed, g)
		}
	}
}

// TestBranchKeysOfRightPeer needs moto.
func TestBranchKeysOfRightPeer(t *testing.T) {
	s, stop, err := startServices(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	if s.moto == "" {
		t.Skip("moto_server is not installed")
	}
	cells := selected(cellsFor(s, 1, true, false), regexp.MustCompile("^branch keys"))
	r := runCells(t.Context(), testTable(t, right), "1", fakeLimits, cells, false, quiet)
	assert.Empty(t, r.failures)
	assert.Equal(t, len(cells)+1, r.total().passed)
}

// few returns cells of each sort.
func few(t *testing.T) []*cell {
	all := cellsFor(testServices(t), 1, true, false)
	var some []*cell
	for _, c := range all {
		plain := c.group == groupSuites && c.frame > 0 && c.size == 391
		altered := c.group == groupAltered && c.suite == unsigned && c.frame > 0
		refused := c.group == groupWrongKeys && strings.HasPrefix(c.name, "AES") || c.group == groupRequired || c.group == groupReproduced
		if plain || altered || refused || c.group == groupPolicies {
			some = append(some, c)
		}
	}
	return some
}

// TestWrongPeers has a peer do one thing wrong, and cells of which it follows that they fail
// do fail, all of them.
func TestWrongPeers(t *testing.T) {
	cells := few(t)
	reads := func(c *cell) bool { return !c.theirs && !c.writerRefuses }
	opens := func(c *cell) bool { return reads(c) && !c.readerRefuses }
	writes := func(c *cell) bool { return c.theirs && !c.writerRefuses }
	stores := func(c *cell) bool { return len(c.stored()) > 0 }
	for mode, fails := range map[string]func(c *cell) bool{
		otherPlaintext:  opens,
		otherContext:    func(c *cell) bool { return opens(c) && stores(c) },
		noContext:       func(c *cell) bool { return opens(c) && stores(c) },
		opensAll:        func(c *cell) bool { return reads(c) && (c.readerRefuses || c.part != "") },
		overlooksEnd:    func(c *cell) bool { return reads(c) && c.part == partBehind },
		otherAltered:    func(c *cell) bool { return reads(c) && (c.readerRefuses || c.part != "") },
		releasesAltered: func(c *cell) bool { return reads(c) && c.stream && c.part != "" && c.part != partBehind },
		releasesMore:    func(c *cell) bool { return reads(c) && c.stream && c.part != "" },
		releasesOther: func(c *cell) bool {
			return reads(c) && c.stream && c.part != "" && c.part != partHeader && c.part != partNothing
		},
		releasesNothing: func(c *cell) bool {
			return reads(c) && c.stream && c.part != "" && c.part != partHeader && c.part != partNothing
		},
		releasesUntold: func(c *cell) bool { return reads(c) && c.stream && c.part != "" },
		writesAll:      func(c *cell) bool { return c.theirs && c.writerRefuses },
		refusesReading: opens,
		refusesWriting: writes,
		otherFrames:    writes,
		otherSuite:     writes,
		otherStored:    writes,
		extraKey:       writes,
		brokenMessage:  func(c *cell) bool { return writes(c) && !c.readerRefuses },
		dying:          reads,
		garbage:        func(c *cell) bool { return reads(c) || c.theirs },
		wrongID:        func(c *cell) bool { return reads(c) || c.theirs },
		empty:          func(c *cell) bool { return reads(c) || c.theirs },
		hasNothing:     func(c *cell) bool { return reads(c) || c.theirs },
	} {
		t.Run(mode, func(t *testing.T) {
			table := testTable(t, mode)
			n := 0
			for _, c := range cells {
				err := table.run(t.Context(), c)
				if fails(c) {
					n++
					assert.Error(t, err, "%v", c)
				} else {
					assert.NoError(t, err, "%v", c)
				}
				if n > 20 && (mode == dying || mode == garbage || mode == wrongID || mode == empty) {
					break // it is started again each time
				}
			}
			assert.NotZero(t, n)
		})
	}
}

// TestSilentPeer waits a moment for a peer that will never answer.
func TestSilentPeer(t *testing.T) {
	table := testTable(t, silent)
	_, err := table.peer.about(t.Context())
	require.NoError(t, err)
	table.peer.limit = time.Millisecond
	x := newExchange(unsigned, aesSpec("n", "k", 32))
	err = table.run(t.Context(), &cell{exchange: x})
	require.ErrorIs(t, err, errBroken)
	require.ErrorContains(t, err, "it had not answered after 1ms")
	assert.Equal(t, dies, kindOf(err))
}

// TestPeerThatDies says what it said last, and is started again.
func TestPeerThatDies(t *testing.T) {
	table := testTable(t, dying)
	x := newExchange(unsigned, aesSpec("n", "k", 32))
	for range 2 {
		err := table.run(t.Context(), &cell{exchange: x})
		require.ErrorContains(t, err, "it ended; it said: its last words")
		assert.Equal(t, dies, kindOf(err))
		require.NoError(t, table.run(t.Context(), &cell{exchange: x, theirs: true}))
	}
}

// TestOursIsBlamed has this library fail: not to write, not to read, and to read what it must
// refuse. All of it counts, whatever limits the peer has.
func TestOursIsBlamed(t *testing.T) {
	table := testTable(t, right)
	bad := newExchange(unsigned, aesSpec("n", "k", 32))
	bad.writes = &peerkey.Spec{Kind: "raw-aes", Key: "AAAA"}
	reads := newExchange(unsigned, aesSpec("n", "k", 32))
	reads.reads = aesSpec("n", "k", 32)
	opened := newExchange(unsigned, aesSpec("n", "k", 32))
	opened.readerRefuses = true
	written := newExchange(unsigned, aesSpec("n", "k", 32))
	written.writerRefuses = true
	for _, c := range []struct {
		cell
		kind kind
	}{
		{cell{exchange: bad}, fails},
		{cell{exchange: reads, theirs: true}, unread},
		{cell{exchange: opened, theirs: true}, fails},
		{cell{exchange: written}, fails},
	} {
		err := table.run(t.Context(), &c.cell)
		require.Error(t, err)
		assert.Equal(t, c.kind, kindOf(err), "%v", err)
	}
}

func TestCount(t *testing.T) {
	limits := []limit{
		{name: "refuses some", kind: refuses, applies: func(c *cell) bool { return c.name == "limited" }},
		{name: "may refuse", kind: refuses, sometimes: true, applies: func(c *cell) bool { return c.name == "perhaps" }},
		{name: "has no wheel", kind: lacks, lack: "wheel"},
	}
	for _, c := range []struct {
		cell string
		err  error
		want tally
	}{
		{"any", nil, tally{passed: 1}},
		{"any", errors.New("an error of no kind"), tally{failed: 1}},
		{"any", &fault{refuses, refusal("no")}, tally{failed: 1}},
		{"limited", &fault{refuses, refusal("no")}, tally{named: 1}},
		{"limited", fmt.Errorf("as it was: %w", &fault{refuses, refusal("no")}), tally{named: 1}},
		{"limited", nil, tally{failed: 1}},
		{"limited", &fault{dies, errBroken}, tally{failed: 1}},
		{"limited", &fault{opens, errBroken}, tally{failed: 1}},
		{"limited", &fault{fails, errBroken}, tally{failed: 1}},
		{"perhaps", nil, tally{passed: 1}},
		{"perhaps", &fault{refuses, refusal("no")}, tally{named: 1}},
		{"perhaps", &fault{unread, errBroken}, tally{failed: 1}},
		{"any", &fault{lacks, lack("wheel")}, tally{named: 1}},
		{"any", &fault{lacks, lack("tyre")}, tally{failed: 1}},
	} {
		r := &result{peer: "fake", groups: map[string]*tally{}, named: map[string]int{}}
		r.count(&cell{group: "g", name: c.cell}, c.err, limits)
		assert.Equal(t, c.want, r.total(), "%s: %v", c.cell, c.err)
		assert.Equal(t, c.want.failed, len(r.failures))
	}
}

// TestLimitsAreShown has a limit that no cell shows, a peer of another version, and one that
// does not start.
func TestLimitsAreShown(t *testing.T) {
	x := newExchange(unsigned, aesSpec("n", "k", 32))
	cells := []*cell{{group: groupSuites, exchange: x}}
	never := []limit{{name: "never shows", kind: lacks, lack: "wheel"}}
	r := runCells(t.Context(), testTable(t, right), "1", never, cells, false, quiet)
	assert.Equal(t, tally{passed: 2}, r.total())
	r = runCells(t.Context(), testTable(t, right), "1", never, cells, true, quiet)
	assert.Equal(t, tally{passed: 2, failed: 1}, r.total())
	assert.Contains(t, r.failures[0], "no cell shows that it never shows")
	r = runCells(t.Context(), testTable(t, right), "2", nil, cells, true, quiet)
	assert.Equal(t, tally{passed: 1, failed: 1}, r.total())
	assert.Contains(t, r.failures[0], `it is version "1"`)

	table := testTable(t, right)
	table.peer.command = []string{filepath.Join(t.TempDir(), "none")}
	r = runCells(t.Context(), table, "1", nil, cells, true, quiet)
	assert.Equal(t, tally{failed: 1}, r.total())
}

func TestReport(t *testing.T) {
	a := &result{peer: "A 1", groups: map[string]*tally{groupSuites: {passed: 3, named: 1}, groupRelease: {passed: 1}}, named: map[string]int{"is lame": 1}}
	b := &result{peer: "B 2", groups: map[string]*tally{groupSuites: {passed: 2, failed: 1}}, named: map[string]int{}, failures: []string{"B: suites: why"}}
	var out bytes.Buffer
	sum := report(&out, []*result{a, b}, 17)
	assert.Equal(t, tally{passed: 6, failed: 1, named: 1}, sum)
	for _, want := range []string{"3/0/1              2/1/0", "4/0/1              2/1/0", "1 named: it is lame", "Failures, of seed 17:\n  B: suites: why"} {
		assert.Contains(t, out.String(), want)
	}
	assert.NotContains(t, out.String(), groupFrames)
}

// TestFaultsOfStreams has a peer do with altered messages what it must not, by a stream: no
// limit on what it opens is to hide what is worse.
func TestFaultsOfStreams(t *testing.T) {
	x := newExchange(unsigned, aesSpec("n", "k", 16))
	x.frame, x.size = 4, 10
	for _, c := range []struct {
		mode, part string
		kind       kind
		says       string
	}{
		{overlooksEnd, partBehind, opens, "a zero behind it: it opens it"},
		{otherAltered, partTag, misreads, "it opens it, and reads another plaintext, of 14 bytes"},
		{otherAltered, partNothing, misreads, "nothing of it: it opens it, and reads another plaintext, of 14 bytes"},
		{releasesAltered, partHeader, releases, "its stream released 10 bytes, and 0 are in frames that are authentic"},
		{releasesAltered, partEnd, releases, "its stream released 10 bytes, and 8 are in frames that are authentic"},
		{releasesMore, partHeader, fails, "its stream released what is no plaintext"},
		{releasesOther, partIV, fails, "its stream released what is no plaintext"},
		{releasesNothing, partPrefixes, fails, "its stream released nothing of two frames and more that are authentic"},
		{releasesUntold, partHeader, dies, "it does not say what its stream released"},
	} {
		t.Run(c.mode+", "+c.part, func(t *testing.T) {
			err := testTable(t, c.mode).run(t.Context(), &cell{exchange: x, stream: true, part: c.part})
			require.ErrorContains(t, err, c.says)
			assert.Equal(t, c.kind, kindOf(err))
		})
	}
}

// TestSplit holds that every byte of a message is altered once, and that it is cut in front of
// each. What is authentic ends with the last frame in front of that.
func TestSplit(t *testing.T) {
	library := newOurs()
	for _, s := range allSuites {
		x := newExchange(s, aesSpec("n", "k", 16))
		x.frame, x.size = 4, 10
		msg, err := library.encrypt(t.Context(), &x, make([]byte, x.size), false)
		require.NoError(t, err)
		h, err := header(msg)
		require.NoError(t, err)
		whole := func(at int) int {
			switch frame := 4 + 12 + 4 + 16; {
			case at >= h.Length+2*frame+4+4+12+4+2+16:
				return 10
			case at < h.Length:
				return 0
			default:
				return min((at-h.Length)/frame, 2) * 4
			}
		}
		seen, cut := map[int]bool{}, map[int]bool{}
		for _, part := range partsOf(&x) {
			all, err := alter(msg, part, false)
			require.NoError(t, err, part)
			edges, err := alter(msg, part, true)
			require.NoError(t, err, part)
			require.Subset(t, all, edges, part)
			if len(all) > 8 {
				assert.Less(t, len(edges), len(all), part)
			}
			for _, a := range all {
				require.NotEqual(t, msg, a.message)
				at := min(len(a.message), len(msg))
				if bytes.Equal(a.message[:at], msg[:at]) {
					require.False(t, cut[at], part)
					cut[at] = true
				} else {
					for at = 0; a.message[at] == msg[at]; at++ {
					}
					require.Equal(t, msg[at+1:], a.message[at+1:], part)
					require.False(t, seen[at], part)
					seen[at] = true
				}
				require.Equal(t, whole(at), a.whole, "%s: %s", part, a.what)
			}
		}
		assert.Len(t, seen, len(msg), "%v", s)
		assert.Len(t, cut, len(msg)+1, "%v", s)
	}
}

// TestSameCells holds that names are not given twice, and that a seed makes the same cells.
func TestSameCells(t *testing.T) {
	s := testServices(t)
	names := func(seed uint64, quick bool) (all []string) {
		seen := map[string]bool{}
		for _, c := range cellsFor(s, seed, quick, false) {
			assert.False(t, seen[c.String()], "%v", c)
			seen[c.String()] = true
			all = append(all, c.String())
		}
		return all
	}
	assert.Equal(t, names(1, true), names(1, true))
	assert.NotEqual(t, names(1, true), names(2, true))
	assert.Greater(t, len(names(1, false)), 2*len(names(1, true)))
}

// TestFailureTellsNoKey holds that what is printed has no key.
func TestFailureTellsNoKey(t *testing.T) {
	table := testTable(t, refusesReading)
	key := aesSpec("n", "k", 32)
	r := runCells(t.Context(), table, "1", nil, []*cell{{group: groupSuites, name: "one", exchange: newExchange(unsigned, key)}}, false, quiet)
	require.Len(t, r.failures, 1)
	assert.NotContains(t, r.failures[0], key.Key)
	assert.Contains(t, r.failures[0], "suites: one: ours to theirs: it refuses: it does")
}

func TestInstall(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	t.Setenv("PATH", bin)
	r := recipe{
		name: "test", tools: []string{"tool"}, pins: []string{"pin"}, into: "here",
		steps: [][]string{{"tool", "step"}}, command: []string{"here/peer"},
	}
	tool := func(script string) {
		require.NoError(t, os.WriteFile(filepath.Join(bin, "tool"), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	pin := func(text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "pin"), []byte(text), 0o644))
	}
	pin("1.0")
	_, err := r.install(t.Context(), dir, time.Minute)
	require.ErrorIs(t, err, errNoPeer)
	require.ErrorContains(t, err, "test: not to be had: tool is not installed")

	tool("echo the registry is not reached; exit 1")
	_, err = r.install(t.Context(), dir, time.Minute)
	require.ErrorIs(t, err, errNoPeer)
	require.ErrorContains(t, err, "the registry is not reached")

	tool("while :; do :; done")
	_, err = r.install(t.Context(), dir, time.Millisecond)
	require.ErrorIs(t, err, errNoPeer)
	require.ErrorContains(t, err, "within 1ms")

	// It is installed once, and again when what is pinned changed.
	make := `/bin/mkdir here && echo made >>log`
	made := func() string {
		b, err := os.ReadFile(filepath.Join(dir, "log"))
		require.NoError(t, err)
		return string(b)
	}
	tool(make)
	for range 2 {
		p, err := r.install(t.Context(), dir, time.Minute)
		require.NoError(t, err)
		assert.Equal(t, []string{"here/peer"}, p.command)
		assert.Equal(t, "made\n", made())
	}
	pin("1.1")
	_, err = r.install(t.Context(), dir, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, "made\nmade\n", made())

	// Installed in part is not installed.
	pin("1.2")
	tool("/bin/mkdir here && exit 1")
	_, err = r.install(t.Context(), dir, time.Minute)
	require.ErrorIs(t, err, errNoPeer)
	tool(make)
	_, err = r.install(t.Context(), dir, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, "made\nmade\nmade\n", made())
}

func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{{"-peer", "cobol"}, {"-peer", ""}, {"-only", "("}, {"-nothing"}, {"-seed", "x"}} {
		err := run(t.Context(), args, io.Discard)
		require.Error(t, err, "%v", args)
		assert.NotErrorIs(t, err, errNoPeer)
	}
	t.Setenv("PATH", t.TempDir())
	var out bytes.Buffer
	err := run(t.Context(), []string{"-dir", "../peers"}, &out)
	require.ErrorIs(t, err, errNoPeer)
	require.ErrorContains(t, err, "python: not to be had")
	require.ErrorContains(t, err, "javascript: not to be had")
	assert.Contains(t, out.String(), "0 passed, 0 failed\n")
}

func TestReadFaulty(t *testing.T) {
	const dir = "../../../envelope/testdata/refused/"
	read := func(t *testing.T, mode string) (string, error) {
		var out strings.Builder
		err := readFaulty(t.Context(), &out, dir+"messages.json", fakePeer(t, mode), false)
		return out.String(), err
	}
	b, err := os.ReadFile(dir + "readers.json")
	require.NoError(t, err)
	var published map[string]reading
	require.NoError(t, json.Unmarshal(b, &published))
	out, err := read(t, right)
	require.NoError(t, err)
	want, err := json.Marshal(published["sealring"])
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("\"AWS Fake 1\": %s\n\"AWS Fake 1, streams\": %s\n", want, want), out)

	out, err = read(t, hasNothing)
	require.NoError(t, err)
	assert.Empty(t, out)

	_, err = read(t, dying)
	require.ErrorIs(t, err, errBroken)
	_, err = read(t, otherPlaintext)
	require.ErrorContains(t, err, "another plaintext")
}
