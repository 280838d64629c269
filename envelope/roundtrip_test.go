package envelope_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// sizes are the plaintext lengths around every boundary of frames of n bytes.
func sizes(n int) []int {
	all := []int{0, 1, n - 1, n, n + 1, 2*n - 1, 2 * n, 2*n + 1, 10*n + 3}
	for _, batch := range []int{envelope.BatchLen / (n + 32) * n, envelope.BatchLen / n * n} {
		all = append(all, batch-n, batch-1, batch, batch+1, batch+n, 2*batch+n)
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	for _, frameLen := range []int{1, 7, 100, 4096, 65536, envelope.BatchLen, envelope.BatchLen + 1} {
		t.Run(fmt.Sprint(frameLen), func(t *testing.T) {
			t.Parallel()
			client := newClient(t, &envelope.Options{FrameLength: frameLen})
			ec := keyring.EncryptionContext{"tenant": "42"}
			for _, n := range sizes(frameLen) {
				if n < 0 || frameLen < 100 && n > 10_000 {
					continue
				}
				plaintext := randomBytes(n)
				for way, encrypt := range encryptWays {
					msg, err := encrypt(t.Context(), client.Encrypter, plaintext, ec)
					require.NoError(t, err, "%s %d", way, n)
					decryptsTo(t, client, msg, plaintext, ec)

					h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
					require.NoError(t, err)
					size, err := h.MessageSize(int64(n))
					require.NoError(t, err)
					require.EqualValues(t, len(msg), size, "%s %d", way, n)
					size, err = h.PlaintextSize(int64(len(msg)))
					require.NoError(t, err)
					require.EqualValues(t, n, size)
				}
			}
		})
	}
}

func TestRoundTripSuites(t *testing.T) {
	eachSuite(t, 100, func(t *testing.T, c *envelope.Client) {
		for _, n := range []int{0, 1, 99, 100, 101, 1000, 10_050} {
			plaintext := randomBytes(n)
			for way, encrypt := range encryptWays {
				msg, err := encrypt(t.Context(), c.Encrypter, plaintext, keyring.EncryptionContext{"a": "b", "c": "d"})
				require.NoError(t, err, way)
				decryptsTo(t, c, msg, plaintext, keyring.EncryptionContext{"a": "b"})
			}
		}
	})
}

func TestNilAndEmpty(t *testing.T) {
	c := newClient(t, nil)
	for _, plaintext := range [][]byte{nil, {}} {
		for _, ec := range []keyring.EncryptionContext{nil, {}} {
			msg, err := c.Encrypt(t.Context(), plaintext, ec)
			require.NoError(t, err)
			decryptsTo(t, c, msg, nil, ec)
		}
	}
}

func TestReaderIsAReader(t *testing.T) {
	for _, s := range []keyring.Suite{unsigned, signed} {
		for _, n := range []int{0, 1, 99, 100, 101, 1000, 150_000} {
			c := newClient(t, optionsFor(s, 100))
			plaintext := randomBytes(n)
			msg, err := c.Encrypt(t.Context(), plaintext, nil)
			require.NoError(t, err)
			r, err := c.NewReader(t.Context(), bytes.NewReader(msg), nil)
			require.NoError(t, err)
			require.NoError(t, iotest.TestReader(r, plaintext))
		}
	}
}

func TestMessagesDiffer(t *testing.T) {
	c := newClient(t, nil)
	a, err := c.Encrypt(t.Context(), []byte("plaintext"), nil)
	require.NoError(t, err)
	b, err := c.Encrypt(t.Context(), []byte("plaintext"), nil)
	require.NoError(t, err)
	assert.NotEqual(t, a, b)
	assert.NotContains(t, string(a), "plaintext")
}

func TestAppend(t *testing.T) {
	c := newClient(t, nil)
	plaintext := randomBytes(10_000)
	dst := append(make([]byte, 0, 100_000), "before"...)
	msg, err := c.AppendEncrypt(t.Context(), dst, plaintext, nil)
	require.NoError(t, err)
	require.Equal(t, "before", string(msg[:6]))
	assert.Same(t, &dst[0], &msg[0], "spare capacity was not used")
	decryptsTo(t, c, msg[6:], plaintext, nil)

	dst = append(make([]byte, 0, 100_000), "before"...)
	out, err := c.AppendDecrypt(t.Context(), dst, msg[6:], nil)
	require.NoError(t, err)
	assert.Equal(t, append([]byte("before"), plaintext...), out)
	assert.Same(t, &dst[0], &out[0], "spare capacity was not used")
	kept := bytes.Clone(msg)

	// What was opened before the failure must not be left in dst.
	msg[len(msg)-1] ^= 1
	dst = append(make([]byte, 0, 100_000), "before"...)
	out, err = c.AppendDecrypt(t.Context(), dst, msg[6:], nil)
	require.ErrorIs(t, err, envelope.ErrAuthentication)
	assert.Nil(t, out)
	assert.Equal(t, append([]byte("before"), make([]byte, 99_994)...), dst[:cap(dst)])
	msg[len(msg)-1] ^= 1
	assert.Equal(t, kept, msg, "the message was changed")
}

func TestHeader(t *testing.T) {
	ec := keyring.EncryptionContext{"tenant": "42", "table": "patients"}
	eachSuite(t, 512, func(t *testing.T, c *envelope.Client) {
		var dst bytes.Buffer
		w, err := c.NewWriter(t.Context(), &dst, ec)
		require.NoError(t, err)
		_, err = io.WriteString(w, "plaintext")
		require.NoError(t, err)
		assert.Zero(t, dst.Len(), "written before there was a batch")
		require.NoError(t, w.Close())
		msg := dst.Bytes()

		r := bytes.NewReader(msg)
		parsed, err := envelope.ParseHeader(r, nil)
		require.NoError(t, err)
		assert.EqualValues(t, parsed.Length, len(msg)-r.Len(), "read past the header")
		assert.Equal(t, w.Header(), parsed)

		reader, err := c.NewReader(t.Context(), bytes.NewReader(msg), ec)
		require.NoError(t, err)
		assert.Equal(t, reader.Header(), parsed)

		assert.Equal(t, 512, parsed.FrameLength)
		assert.Equal(t, map[bool]int{true: 2, false: 1}[parsed.Suite.Commits()], parsed.Version)
		assert.Len(t, parsed.MessageID, 16*parsed.Version)
		for k, v := range ec {
			assert.Equal(t, v, parsed.Context[k])
		}
		assert.Equal(t, parsed.Suite.Signs(), parsed.Context["aws-crypto-public-key"] != "")
		require.Len(t, parsed.EncryptedDataKeys, 1)
		assert.Equal(t, "test", parsed.EncryptedDataKeys[0].ProviderID)
		assert.Equal(t, "zero", parsed.EncryptedDataKeys[0].KeyName())

		// The copy is the caller's.
		clear(parsed.MessageID)
		clear(parsed.Context)
		assert.NotEqual(t, w.Header(), parsed)
	})
}

// TestRequiredContext keeps a pair out of the message and binds it all the same.
func TestRequiredContext(t *testing.T) {
	for _, s := range suite.IDs[keyring.Suite]() {
		t.Run(s.String(), func(t *testing.T) {
			manager, err := keyring.NewManager(zeroKey(t))
			require.NoError(t, err)
			required, err := keyring.NewRequiredContextManager(manager, "row")
			require.NoError(t, err)
			c, err := envelope.NewFromManager(required, optionsFor(s, 100))
			require.NoError(t, err)
			plain, err := envelope.NewFromManager(manager, optionsFor(s, 100))
			require.NoError(t, err)

			plaintext := randomBytes(250)
			ec := keyring.EncryptionContext{"tenant": "42", "row": "secret-row-7"}
			msg, err := c.Encrypt(t.Context(), plaintext, ec)
			require.NoError(t, err)
			assert.NotContains(t, string(msg), "secret-row-7")
			decryptsTo(t, c, msg, plaintext, ec)
			decryptsTo(t, c, msg, plaintext, keyring.EncryptionContext{"row": "secret-row-7"})
			decryptsTo(t, plain, msg, plaintext, ec)

			decryptFails(t, c, msg, plaintext, nil, envelope.ErrContextMismatch)
			decryptFails(t, c, msg, plaintext, keyring.EncryptionContext{"row": "8"}, envelope.ErrContextMismatch)
			decryptFails(t, plain, msg, plaintext, nil, envelope.ErrNoMatchingKey)
			decryptFails(t, plain, msg, plaintext, keyring.EncryptionContext{"row": "8"}, envelope.ErrContextMismatch)
		})
	}
}

// TestContextBoundByHeader uses a keyring that binds no context, so that the
// header's tag alone has to.
func TestContextBoundByHeader(t *testing.T) {
	manager, err := keyring.NewManager(unbound{zeroKey(t)})
	require.NoError(t, err)
	required, err := keyring.NewRequiredContextManager(manager, "row")
	require.NoError(t, err)
	for _, s := range suite.IDs[keyring.Suite]() {
		c, err := envelope.NewFromManager(required, optionsFor(s, 100))
		require.NoError(t, err)
		plain, err := envelope.NewFromManager(manager, optionsFor(s, 100))
		require.NoError(t, err)
		plaintext := []byte("plaintext")
		ec := keyring.EncryptionContext{"tenant": "42", "row": "7"}
		msg, err := c.Encrypt(t.Context(), plaintext, ec)
		require.NoError(t, err)
		decryptsTo(t, c, msg, plaintext, ec)
		decryptFails(t, plain, msg, plaintext, nil, envelope.ErrAuthentication)
		for _, wrong := range []keyring.EncryptionContext{
			{"row": "8"}, {"ro": "w7"}, {"row": "7", "more": ""},
		} {
			decryptFails(t, plain, msg, plaintext, wrong, envelope.ErrAuthentication)
			decryptFails(t, plain, msg, plaintext, wrong, envelope.ErrContextMismatch)
		}
	}
}

// unbound is a keyring that wraps without the encryption context.
type unbound struct{ keyring.Keyring }

func (u unbound) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	ec := m.Context
	m.Context = nil
	defer func() { m.Context = ec }()
	return u.Keyring.OnEncrypt(ctx, m)
}

func (u unbound) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	ec := m.Context
	m.Context = nil
	defer func() { m.Context = ec }()
	return u.Keyring.OnDecrypt(ctx, m, keys)
}

func TestHalves(t *testing.T) {
	e, err := envelope.NewEncrypter(zeroKey(t), nil)
	require.NoError(t, err)
	d, err := envelope.NewDecrypter(zeroKey(t), nil)
	require.NoError(t, err)
	msg, err := e.Encrypt(t.Context(), []byte("plaintext"), nil)
	require.NoError(t, err)
	got, err := d.Decrypt(t.Context(), msg, nil)
	require.NoError(t, err)
	assert.Equal(t, "plaintext", string(got))
}

func TestConcurrentUse(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 100})
	ec := keyring.EncryptionContext{"tenant": "42"}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 20 {
				plaintext := []byte(strings.Repeat("x", i*100+n))
				msg, err := c.Encrypt(t.Context(), plaintext, ec)
				if !assert.NoError(t, err) {
					return
				}
				for name, decrypt := range decryptWays {
					got, err := decrypt(t.Context(), c.Decrypter, msg, ec)
					assert.NoError(t, err, name)
					assert.True(t, bytes.Equal(plaintext, got), name)
				}
			}
		})
	}
	wg.Wait()
	assert.True(t, maps.Equal(keyring.EncryptionContext{"tenant": "42"}, ec))
}

// TestForged checks that the forger, whose messages the other tests rely on to
// be wrong in one place, writes good ones too, and some unusual ones that other
// implementations write.
func TestForged(t *testing.T) {
	plaintext := randomBytes(200)
	any103 := func(n int) bool { return n == 103 }
	for name, c := range map[string]struct {
		suite    keyring.Suite
		frameLen uint32
		write    func(f *forger)
		want     []byte
	}{
		"framed": {unsigned, 100, func(f *forger) {
			f.writeHeader().regular(1, plaintext[:100]).final(2, plaintext[100:])
		}, plaintext},
		"empty final frame": {unsigned, 100, func(f *forger) {
			f.writeHeader().regular(1, plaintext[:100]).regular(2, plaintext[100:]).final(3, nil)
		}, plaintext},
		"non-framed":       {unsigned, 0, func(f *forger) { f.writeHeader().nonFramed(plaintext) }, plaintext},
		"non-framed empty": {unsigned, 0, func(f *forger) { f.writeHeader().nonFramed(nil) }, nil},
		"signed": {signed, 100, func(f *forger) {
			f.writeHeader().regular(1, plaintext[:100]).final(2, plaintext[100:]).footer(any103)
		}, plaintext},
		"signed non-framed": {signed, 0, func(f *forger) { f.writeHeader().nonFramed(plaintext).footer(any103) }, plaintext},
		"longer signature": {signed, 300, func(f *forger) {
			f.writeHeader().final(1, plaintext).footer(func(n int) bool { return n == 104 })
		}, plaintext},
		"shorter signature": {signed, 300, func(f *forger) {
			f.writeHeader().final(1, plaintext).footer(func(n int) bool { return n == 102 })
		}, plaintext},
		"context of zero pairs": {unsigned, 300, func(f *forger) {
			f.header.Context = nil
			f.writeHeader(func(body []byte) []byte {
				at := 1 + 2 + 32
				return append(append(append([]byte(nil), body[:at]...), 0, 2, 0, 0), body[at+2:]...)
			}).final(1, plaintext)
		}, plaintext},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForger(t, c.suite, c.frameLen)
			c.write(f)
			d, err := envelope.NewDecrypter(f, nil)
			require.NoError(t, err)
			decryptsTo(t, &envelope.Client{Decrypter: d}, f.msg, c.want, nil)
		})
	}
}

// TestAppendReuses has a buffer serve messages that become longer: it must not be
// made anew for each of them.
func TestAppendReuses(t *testing.T) {
	c := newClient(t, nil)
	var msg, plaintext []byte
	made := map[string]int{}
	for n := 1000; n < 60_000; n += 100 {
		before := cap(msg)
		var err error
		msg, err = c.AppendEncrypt(t.Context(), msg[:0], make([]byte, n), nil)
		require.NoError(t, err)
		if cap(msg) != before {
			made["message"]++
		}
		before = cap(plaintext)
		plaintext, err = c.AppendDecrypt(t.Context(), plaintext[:0], msg, nil)
		require.NoError(t, err)
		if cap(plaintext) != before {
			made["plaintext"]++
		}
	}
	require.Less(t, made["message"], 40)
	require.Less(t, made["plaintext"], 40)
}
