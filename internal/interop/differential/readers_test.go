package differential

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// An opened is what came of a message.
type opened struct {
	err       error
	plaintext []byte
	context   map[string]string // stored pairs, and those that were reproduced
}

// The readers are clients of both sides, made once for all messages of a test.
type readers struct {
	keyrings []keyring.Keyring // by scene.reader
	clients  map[string]*envelope.Decrypter
	peer     *peer
}

// newReaders returns readers with a peer, or without if nil is enough.
func newReaders(t testing.TB, p *peer) *readers {
	r := &readers{clients: map[string]*envelope.Decrypter{}, peer: p}
	for _, order := range Orders {
		var all []keyring.Keyring
		for _, i := range order {
			k := WrappingKeys[i]
			o, err := keyring.NewRawAES(k.Namespace, k.Name, k.Key)
			require.NoError(t, err)
			all = append(all, o)
		}
		multi, err := keyring.NewMulti(all[0], all[1:]...)
		require.NoError(t, err)
		r.keyrings = append(r.keyrings, multi)
	}
	return r
}

// A peer is AWS's release, in a process of its own.
type peer struct {
	out *gob.Encoder
	in  *gob.Decoder
}

// startPeer starts awspeer, the program that SEALRING_AWSPEER names or one that it builds. It
// ends when the test does.
func startPeer(t testing.TB) *peer {
	program := os.Getenv("SEALRING_AWSPEER")
	if program == "" {
		program = filepath.Join(t.TempDir(), "awspeer")
		if runtime.GOOS == "windows" {
			program += ".exe"
		}
		out, err := exec.Command("go", "build", "-o", program, "../awspeer").CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	c := exec.Command(program)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	require.NoError(t, err)
	answers, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		assert.NoError(t, in.Close())
		assert.NoError(t, c.Wait())
	})
	return &peer{gob.NewEncoder(in), gob.NewDecoder(answers)}
}

// ask has the peer do something.
func (p *peer) ask(t testing.TB, req Request) opened {
	var a Answer
	require.NoError(t, p.out.Encode(&req), "awspeer")
	require.NoError(t, p.in.Decode(&a), "awspeer")
	switch {
	case a.Panicked:
		return opened{err: panicked{a.Refused}}
	case a.Refused != "":
		return opened{err: errors.New(a.Refused)}
	}
	return opened{plaintext: a.Plaintext, context: a.Context}
}

// client returns ours for a scene, with the default limits or with the greatest.
func (r *readers) client(t testing.TB, s *scene, concurrency int, unlimited bool) *envelope.Decrypter {
	name := fmt.Sprint(s.policy, s.reader, s.required, concurrency, unlimited)
	if c, ok := r.clients[name]; ok {
		return c
	}
	m, err := keyring.NewManager(r.keyrings[s.reader])
	require.NoError(t, err)
	manager := keyring.MaterialsManager(m)
	if len(s.required) > 0 {
		manager, err = keyring.NewRequiredContextManager(m, s.required...)
		require.NoError(t, err)
	}
	opts := &envelope.Options{CommitmentPolicy: s.policy, Concurrency: concurrency}
	if unlimited {
		opts.MaxEncryptedDataKeys, opts.MaxHeaderLength, opts.MaxFrameLength = math.MaxUint16, math.MaxInt32, math.MaxUint32
	}
	c, err := envelope.NewDecrypterFromManager(manager, opts)
	require.NoError(t, err)
	r.clients[name] = c
	return c
}

// open has the library open a message in every way that it knows. All must agree.
func (r *readers) open(t testing.TB, s *scene, msg []byte, unlimited bool) opened {
	ctx := context.Background()
	one, three := r.client(t, s, 1, unlimited), r.client(t, s, 3, unlimited)
	kept := bytes.Clone(msg)

	var want opened
	want.plaintext, want.err = one.Decrypt(ctx, msg, s.reproduced)
	if want.err != nil {
		require.Nil(t, want.plaintext)
	}
	agree := func(way string, plaintext []byte, err error) {
		if want.err == nil {
			require.NoError(t, err, way)
			require.True(t, bytes.Equal(want.plaintext, plaintext), "%s: another plaintext", way)
			return
		}
		// A stream parses the pairs as it reads the header; from memory, a message is first
		// refused for what costs less to find.
		if errors.Is(err, envelope.ErrMalformed) && (errors.Is(want.err, envelope.ErrPolicy) || errors.Is(want.err, envelope.ErrContextMismatch)) {
			return
		}
		// Of several pairs that are to blame, any is named.
		for _, kind := range []error{envelope.ErrContextMismatch, keyring.ErrInvalidArgument} {
			if errors.Is(err, kind) && errors.Is(want.err, kind) {
				return
			}
		}
		require.EqualError(t, err, want.err.Error(), way)
	}

	before := []byte("before")
	got, err := three.AppendDecrypt(ctx, before, msg, s.reproduced)
	agree("AppendDecrypt on three cores", bytes.TrimPrefix(got, before), err)

	var released []byte // of a message that fails
	stream := func(way string, d *envelope.Decrypter, src io.Reader, read func(r *envelope.Reader) ([]byte, error)) {
		var plaintext []byte
		stream, err := d.NewReader(ctx, src, s.reproduced)
		if err == nil {
			plaintext, err = read(stream)
			want.context = maps.Clone(map[string]string(stream.Header().Context))
		}
		agree(way, plaintext, err)
		if err != nil {
			n := min(len(released), len(plaintext))
			require.True(t, bytes.Equal(released[:n], plaintext[:n]), "%s: other plaintext before the error", way)
			if len(plaintext) > n {
				released = plaintext
			}
		}
	}
	readAll := func(r *envelope.Reader) ([]byte, error) { return io.ReadAll(r) }
	inPieces := func(r *envelope.Reader) ([]byte, error) {
		var out []byte
		p := make([]byte, 61)
		for {
			n, err := r.Read(p)
			out = append(out, p[:n]...)
			if err == io.EOF {
				return out, nil
			}
			if err != nil {
				return out, err
			}
		}
	}
	writeTo := func(r *envelope.Reader) ([]byte, error) {
		var out bytes.Buffer
		_, err := r.WriteTo(&out)
		return out.Bytes(), err
	}
	stream("Reader of a part at a time", one, iotest.HalfReader(bytes.NewReader(msg)), readAll)
	stream("Reader of memory on three cores", three, bytes.NewReader(msg), writeTo)
	stream("Reader, with an error beside the last bytes", three, iotest.DataErrReader(bytes.NewReader(msg)), writeTo)
	if len(msg) < 4096 {
		stream("Reader of bytes, read in pieces", one, iotest.OneByteReader(bytes.NewReader(msg)), inPieces)
		stream("Reader of memory, read in pieces", three, bytes.NewReader(msg), inPieces)
	}

	item := envelope.Sealed{Message: msg, Context: s.reproduced}
	for _, o := range three.DecryptBatch(ctx, []envelope.Sealed{item, item}) {
		agree("DecryptBatch", o.Plaintext, o.Err)
	}

	// Ranges tell of what they touch alone. All of it is the whole message.
	whole, err := readWhole(ctx, three, msg, s.reproduced)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case want.err == nil:
		require.NoError(t, err, "ReaderAt")
		require.True(t, bytes.Equal(want.plaintext, whole), "ReaderAt: another plaintext")
	default:
		require.Error(t, err, "ReaderAt")
	}

	require.True(t, bytes.Equal(kept, msg), "the message was changed")
	if want.err != nil {
		want.context = nil
	} else {
		if want.context == nil {
			want.context = map[string]string{}
		}
		maps.Copy(want.context, s.reproduced)
	}
	return want
}

// readWhole reads a message through a ReaderAt.
func readWhole(ctx context.Context, d *envelope.Decrypter, msg []byte, ec map[string]string) ([]byte, error) {
	r, err := d.NewReaderAt(ctx, bytes.NewReader(msg), int64(len(msg)), ec)
	if err != nil {
		return nil, err
	}
	out := make([]byte, r.Size())
	_, err = r.ReadAt(out, 0)
	if err == io.EOF {
		err = nil
	}
	return out, err
}

// openAWS has AWS's release open a message.
func (r *readers) openAWS(t testing.TB, s *scene, msg []byte, strictHeaders bool) opened {
	return r.peer.ask(t, Request{
		Policy: uint8(s.policy), Reader: s.reader, Required: s.required, Expected: s.reproduced, Message: msg, StrictHeaders: strictHeaders,
	})
}

// A panicked is a panic of the peer's.
type panicked struct{ text string }

func (p panicked) Error() string { return "panic: " + p.text }

// firstLine is enough of an error to tell.
func firstLine(err error) string {
	if err == nil {
		return "opened"
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Sprintf("%.200s", line)
}

// names are those of the mutations that a scene was played with.
func (s *scene) names() []string {
	var names []string
	for _, i := range s.played {
		names = append(names, mutations[i].name)
	}
	return slices.Compact(names)
}
