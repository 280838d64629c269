package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

var errBroken = errors.New("connection reset")

// countingKeyring counts what it is asked for.
type countingKeyring struct {
	keyring.Keyring
	encrypts, decrypts atomic.Int64
}

func (k *countingKeyring) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	k.encrypts.Add(1)
	return k.Keyring.OnEncrypt(ctx, m)
}

func (k *countingKeyring) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	k.decrypts.Add(1)
	return k.Keyring.OnDecrypt(ctx, m, keys)
}

// limitedWriter takes n bytes and then fails, or takes less than it was given.
type limitedWriter struct {
	n    int
	err  error
	dst  bytes.Buffer
	over int // writes after the failure
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.n == 0 {
		w.over++
	}
	take := min(len(p), w.n)
	w.n -= take
	w.dst.Write(p[:take])
	if take < len(p) {
		return take, w.err
	}
	return take, nil
}

func TestWriterDestinationFails(t *testing.T) {
	const frameLen = 4096
	plaintext := randomBytes(3 * envelope.BatchLen)
	for _, s := range []keyring.Suite{unsigned, signed} {
		c := newClient(t, optionsFor(s, frameLen))
		whole := encrypt(t, c, plaintext)
		for _, n := range []int{0, 1, 100, envelope.BatchLen, 2*envelope.BatchLen + 1, len(whole) - 1} {
			for _, fails := range []struct{ err, is error }{{errBroken, errBroken}, {nil, io.ErrShortWrite}} {
				dst := &limitedWriter{n: n, err: fails.err}
				w, err := c.NewWriter(t.Context(), dst, testContext)
				require.NoError(t, err)
				written, err := w.Write(plaintext)
				if err == nil {
					err = w.Close()
				} else {
					assert.Less(t, written, len(plaintext))
				}
				require.ErrorIs(t, err, fails.is)

				_, again := w.Write([]byte("more"))
				require.Equal(t, err, again, "the error did not stick")
				_, again = w.ReadFrom(bytes.NewReader(plaintext))
				require.Equal(t, err, again)
				require.Equal(t, err, w.Close())
				assert.LessOrEqual(t, dst.over, 1, "written to again after it failed")
				decryptFails(t, c, dst.dst.Bytes(), plaintext, testContext, io.ErrUnexpectedEOF)
			}
		}
	}
}

func TestWriterSourceFails(t *testing.T) {
	c := newClient(t, nil)
	plaintext := randomBytes(2 * envelope.BatchLen)
	var dst bytes.Buffer
	w, err := c.NewWriter(t.Context(), &dst, testContext)
	require.NoError(t, err)
	n, err := io.Copy(w, io.MultiReader(bytes.NewReader(plaintext), iotest.ErrReader(errBroken)))
	require.ErrorIs(t, err, errBroken)
	assert.EqualValues(t, len(plaintext), n)
	// Closing must not pass off what there was as the whole.
	require.ErrorIs(t, w.Close(), errBroken)
	decryptFails(t, c, dst.Bytes(), plaintext, testContext, io.ErrUnexpectedEOF)
}

func TestWriterNeverClosed(t *testing.T) {
	c := newClient(t, nil)
	for _, n := range []int{0, 1, 4096, 2*envelope.BatchLen + 1} {
		var dst bytes.Buffer
		w, err := c.NewWriter(t.Context(), &dst, testContext)
		require.NoError(t, err)
		plaintext := randomBytes(n)
		_, err = w.Write(plaintext)
		require.NoError(t, err)
		if n > 0 {
			decryptFails(t, c, dst.Bytes(), plaintext, testContext, io.ErrUnexpectedEOF)
		} else {
			assert.Zero(t, dst.Len())
		}
	}
}

func TestWriterAfterClose(t *testing.T) {
	c := newClient(t, nil)
	var dst bytes.Buffer
	w, err := c.NewWriter(t.Context(), &dst, testContext)
	require.NoError(t, err)
	_, err = w.Write([]byte("plaintext"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	msg := bytes.Clone(dst.Bytes())

	require.NoError(t, w.Close(), "a second Close")
	_, err = w.Write([]byte("more"))
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = w.ReadFrom(bytes.NewReader([]byte("more")))
	require.ErrorIs(t, err, fs.ErrClosed)
	require.NoError(t, w.Close(), "a third Close")
	assert.Equal(t, msg, dst.Bytes(), "written to after Close")
	decryptsTo(t, c, msg, []byte("plaintext"), testContext)
	assert.NotNil(t, w.Header())
}

func TestWriterKeepsInput(t *testing.T) {
	c := newClient(t, nil)
	plaintext := randomBytes(20_000)
	kept := bytes.Clone(plaintext)
	var dst bytes.Buffer
	w, err := c.NewWriter(t.Context(), &dst, nil)
	require.NoError(t, err)
	_, err = w.Write(plaintext)
	require.NoError(t, err)
	require.Equal(t, kept, plaintext, "the input was changed")
	clear(plaintext) // the caller may use its buffer again
	require.NoError(t, w.Close())
	decryptsTo(t, c, dst.Bytes(), kept, nil)
}

func TestCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	counting := &countingKeyring{Keyring: zeroKey(t)}
	c, err := envelope.New(counting, nil)
	require.NoError(t, err)
	msg := encrypt(t, newClient(t, nil), []byte("plaintext"))
	for name, encrypt := range encryptWays {
		_, err := encrypt(ctx, c.Encrypter, []byte("plaintext"), nil)
		require.ErrorIs(t, err, context.Canceled, name)
	}
	for name, decrypt := range decryptWays {
		_, err := decrypt(ctx, c.Decrypter, msg, nil)
		require.ErrorIs(t, err, context.Canceled, name)
	}
	_, err = c.NewReader(ctx, iotest.ErrReader(errBroken), nil)
	require.ErrorIs(t, err, context.Canceled, "the source was read first")
	assert.Zero(t, counting.encrypts.Load()+counting.decrypts.Load())
}

func TestCancelledMidStream(t *testing.T) {
	c := newClient(t, nil)
	plaintext := randomBytes(4 * envelope.BatchLen)

	ctx, cancel := context.WithCancel(t.Context())
	var dst bytes.Buffer
	w, err := c.NewWriter(ctx, &dst, testContext)
	require.NoError(t, err)
	_, err = w.Write(plaintext)
	require.NoError(t, err)
	cancel()
	_, err = w.Write(plaintext)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, w.Close(), context.Canceled)
	decryptFails(t, c, dst.Bytes(), append(plaintext, plaintext...), testContext, io.ErrUnexpectedEOF)

	msg := encrypt(t, c, plaintext)
	for name, read := range map[string]func(*envelope.Reader) error{
		"Read":    func(r *envelope.Reader) error { _, err := io.ReadAll(r); return err },
		"WriteTo": func(r *envelope.Reader) error { _, err := r.WriteTo(io.Discard); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := c.NewReader(ctx, bytes.NewReader(msg), testContext)
		require.NoError(t, err)
		_, err = io.ReadFull(r, make([]byte, 10_000))
		require.NoError(t, err)
		cancel()
		err = read(r)
		require.ErrorIs(t, err, context.Canceled, name)
		_, again := r.Read(make([]byte, 1))
		require.Equal(t, err, again, "the error did not stick")
	}
}

func TestCancelledInMemory(t *testing.T) {
	c := newClient(t, nil)
	plaintext := make([]byte, 8<<20)
	_, err := c.Encrypt(&cancelledAfter{Context: t.Context(), asks: 4}, plaintext, nil)
	require.ErrorIs(t, err, context.Canceled)

	msg := encrypt(t, c, plaintext)
	got, err := c.Decrypt(&cancelledAfter{Context: t.Context(), asks: 5}, msg, nil)
	require.ErrorIs(t, err, context.Canceled)
	assert.Nil(t, got)
}

// cancelledAfter is a context that is cancelled while it is being asked.
type cancelledAfter struct {
	context.Context
	asks int
}

func (c *cancelledAfter) Err() error {
	if c.asks--; c.asks < 0 {
		return context.Canceled
	}
	return nil
}

func TestReaderDestinationFails(t *testing.T) {
	c := newClient(t, nil)
	plaintext := randomBytes(2 * envelope.BatchLen)
	msg := encrypt(t, c, plaintext)
	for _, fails := range []struct{ err, is error }{{errBroken, errBroken}, {nil, io.ErrShortWrite}} {
		r, err := c.NewReader(t.Context(), bytes.NewReader(msg), testContext)
		require.NoError(t, err)
		dst := &limitedWriter{n: 5000, err: fails.err}
		n, err := r.WriteTo(dst)
		require.ErrorIs(t, err, fails.is)
		require.EqualValues(t, 5000, n)
		rest, err := io.ReadAll(r)
		require.NoError(t, err, "what the destination did not take is lost")
		assert.Equal(t, plaintext, append(dst.dst.Bytes(), rest...))
	}
}

// TestReaderDoesNotWait checks that frames are released as they arrive.
func TestReaderDoesNotWait(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 10})
	plaintext := randomBytes(25)
	msg := encrypt(t, c, plaintext)
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)

	src, dst := io.Pipe()
	go func() {
		dst.Write(msg[:h.Length+42]) // the header and one frame, and no more for now
	}()
	r, err := c.NewReader(t.Context(), src, testContext)
	require.NoError(t, err)
	got := make([]byte, 10)
	_, err = io.ReadFull(r, got)
	require.NoError(t, err)
	assert.Equal(t, plaintext[:10], got)

	go func() {
		dst.Write(msg[h.Length+42:])
		dst.Close()
	}()
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, plaintext[10:], rest)
}

// lazyReader returns nothing, and no error, ever.
type lazyReader struct{}

func (lazyReader) Read([]byte) (int, error) { return 0, nil }

// liar returns counts that cannot be.
type liar int

func (l liar) Read([]byte) (int, error)  { return int(l), nil }
func (l liar) Write([]byte) (int, error) { return int(l), nil }

func TestOddSourcesAndDestinations(t *testing.T) {
	c := newClient(t, nil)
	_, err := c.NewReader(t.Context(), lazyReader{}, nil)
	require.ErrorIs(t, err, io.ErrNoProgress)
	for _, n := range []liar{-1, 1 << 30} {
		_, err = c.NewReader(t.Context(), n, nil)
		require.ErrorIs(t, err, envelope.ErrInvalidArgument)

		w, err := c.NewWriter(t.Context(), n, nil)
		require.NoError(t, err)
		require.Error(t, w.Close())

		r, err := c.NewReader(t.Context(), bytes.NewReader(encrypt(t, c, []byte("plaintext"))), nil)
		require.NoError(t, err)
		_, err = r.WriteTo(n)
		require.Error(t, err)
	}
	w, err := c.NewWriter(t.Context(), io.Discard, nil)
	require.NoError(t, err)
	_, err = w.ReadFrom(lazyReader{})
	require.ErrorIs(t, err, io.ErrNoProgress)
}

func TestReadNothing(t *testing.T) {
	c := newClient(t, nil)
	r, err := c.NewReader(t.Context(), bytes.NewReader(encrypt(t, c, []byte("plaintext"))), nil)
	require.NoError(t, err)
	n, err := r.Read(nil)
	require.NoError(t, err)
	assert.Zero(t, n)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "plaintext", string(got))
	_, err = r.Read(nil)
	require.ErrorIs(t, err, io.EOF)
}

// TestErrorThatWrapsEOF has a source end in an error that wraps io.EOF, as
// errors of transports do: that is no clean end.
func TestErrorThatWrapsEOF(t *testing.T) {
	lost := fmt.Errorf("connection lost: %w", io.EOF)
	c := newClient(t, nil)
	plaintext := randomBytes(10_000)
	var dst bytes.Buffer
	w, err := c.NewWriter(t.Context(), &dst, testContext)
	require.NoError(t, err)
	_, err = w.ReadFrom(io.MultiReader(bytes.NewReader(plaintext), iotest.ErrReader(lost)))
	require.ErrorIs(t, err, lost)
	require.ErrorIs(t, w.Close(), lost)

	msg := encrypt(t, c, plaintext)
	r, err := c.NewReader(t.Context(), io.MultiReader(bytes.NewReader(msg), iotest.ErrReader(lost)), testContext)
	require.NoError(t, err)
	_, err = r.WriteTo(io.Discard)
	require.ErrorIs(t, err, lost)
}

// TestReencrypt copies from a Reader to a Writer. When the message that is read
// turns out bad, the one that is written must not become whole.
func TestReencrypt(t *testing.T) {
	for _, s := range []keyring.Suite{unsigned, signed} {
		c := newClient(t, optionsFor(s, 100))
		plaintext := randomBytes(1000)
		msg := encrypt(t, c, plaintext)
		reencrypt := func(msg []byte) ([]byte, error) {
			var dst bytes.Buffer
			r, err := c.NewReader(t.Context(), bytes.NewReader(msg), testContext)
			require.NoError(t, err)
			w, err := c.NewWriter(t.Context(), &dst, testContext)
			require.NoError(t, err)
			_, errCopy := io.Copy(w, r)
			errClose := w.Close()
			require.Equal(t, errCopy == nil, errClose == nil)
			return dst.Bytes(), errCopy
		}
		again, err := reencrypt(msg)
		require.NoError(t, err)
		require.NotEqual(t, msg, again)
		decryptsTo(t, c, again, plaintext, testContext)

		short, err := reencrypt(msg[:len(msg)-1])
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		decryptFails(t, c, short, plaintext, testContext, io.ErrUnexpectedEOF)
		msg[len(msg)-1] ^= 1
		short, err = reencrypt(msg)
		require.Error(t, err)
		decryptFails(t, c, short, plaintext, testContext, io.ErrUnexpectedEOF)
	}
}

// panicky is a destination that panics once.
type panicky struct{ done bool }

func (p *panicky) Write(b []byte) (int, error) {
	if !p.done {
		p.done = true
		panic("destination panicked")
	}
	return len(b), nil
}

func TestCloseAfterPanic(t *testing.T) {
	w, err := newClient(t, nil).NewWriter(t.Context(), &panicky{}, nil)
	require.NoError(t, err)
	require.Panics(t, func() { w.Close() })
	require.Error(t, w.Close(), "a second final frame")
}

func TestSlowInputOfLongFrames(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 4 << 20})
	plaintext := randomBytes(9 << 20)
	var dst bytes.Buffer
	w, err := c.NewWriter(t.Context(), &dst, testContext)
	require.NoError(t, err)
	for rest := plaintext; len(rest) > 0; {
		n := min(len(rest), 1000)
		_, err := w.Write(rest[:n])
		require.NoError(t, err)
		rest = rest[n:]
	}
	require.NoError(t, w.Close())
	got, err := c.Decrypt(t.Context(), dst.Bytes(), testContext)
	require.NoError(t, err)
	require.True(t, bytes.Equal(plaintext, got))
	r, err := c.NewReader(t.Context(), iotest.HalfReader(&dst), testContext)
	require.NoError(t, err)
	got, err = io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(plaintext, got))
}

func TestMaxStreamLength(t *testing.T) {
	c := newClient(t, &envelope.Options{MaxStreamLength: 10_000})
	for _, n := range []int{0, 9_999, 10_000} {
		plaintext := randomBytes(n)
		for way, encrypt := range encryptWays {
			msg, err := encrypt(t.Context(), c.Encrypter, plaintext, nil)
			require.NoError(t, err, way)
			decryptsTo(t, c, msg, plaintext, nil)
		}
	}
	for way, encrypt := range encryptWays {
		_, err := encrypt(t.Context(), c.Encrypter, randomBytes(10_001), nil)
		if lengthKnown(way) {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, envelope.ErrLimit, way)
		}
	}

	// The manager hears of it.
	manager, err := keyring.NewManager(zeroKey(t))
	require.NoError(t, err)
	asked := &askedManager{MaterialsManager: manager}
	for bound, want := range map[int64]int64{0: -1, 500: 500} {
		c, err := envelope.NewFromManager(asked, &envelope.Options{MaxStreamLength: bound})
		require.NoError(t, err)
		_, err = c.NewWriter(t.Context(), io.Discard, nil)
		require.NoError(t, err)
		assert.Equal(t, want, asked.length)
		_, err = c.Encrypt(t.Context(), make([]byte, 7), nil)
		require.NoError(t, err)
		assert.EqualValues(t, 7, asked.length)
	}
}

// askedManager remembers what length it was asked for.
type askedManager struct {
	keyring.MaterialsManager
	length int64
}

func (m *askedManager) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	m.length = req.PlaintextLength
	return m.MaterialsManager.EncryptionMaterials(ctx, req)
}
