package envelope_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

const (
	unsigned = keyring.SuiteAES256GCMHKDFSHA512Commit
	signed   = keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384
)

// envelopeFuncs is in the names of the functions that the package's goroutines run.
const envelopeFuncs = "sealring/envelope."

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// zeroKey is a keyring under a key that is the same in every process, so that
// fuzzing's messages keep decrypting.
func zeroKey(t testing.TB) keyring.Keyring {
	k, err := keyring.NewRawAES("test", "zero", make([]byte, 32))
	require.NoError(t, err)
	return k
}

// optionsFor returns options under which messages of suite s are written and
// read.
func optionsFor(s keyring.Suite, frameLen int) *envelope.Options {
	o := &envelope.Options{Suite: s, FrameLength: frameLen, CommitmentPolicy: keyring.RequireEncryptAllowDecrypt}
	if !s.Commits() {
		o.CommitmentPolicy = keyring.ForbidEncryptAllowDecrypt
	}
	return o
}

func newClient(t testing.TB, o *envelope.Options) *envelope.Client {
	c, err := envelope.New(zeroKey(t), o)
	require.NoError(t, err)
	return c
}

// eachSuite runs a test with a client for every suite.
func eachSuite(t *testing.T, frameLen int, test func(t *testing.T, c *envelope.Client)) {
	for _, s := range suite.IDs[keyring.Suite]() {
		t.Run(fmt.Sprintf("%04X", uint16(s)), func(t *testing.T) {
			test(t, newClient(t, optionsFor(s, frameLen)))
		})
	}
}

// encryptWays and decryptWays are all the ways through the client: whatever
// holds for one must hold for the others.
var encryptWays = map[string]func(context.Context, *envelope.Encrypter, []byte, keyring.EncryptionContext) ([]byte, error){
	"Encrypt": func(ctx context.Context, e *envelope.Encrypter, pt []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return e.Encrypt(ctx, pt, ec)
	},
	"Write": func(ctx context.Context, e *envelope.Encrypter, pt []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return written(ctx, e, ec, func(w *envelope.Writer) error {
			_, err := w.Write(pt)
			return err
		})
	},
	"Write in pieces": func(ctx context.Context, e *envelope.Encrypter, pt []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return written(ctx, e, ec, func(w *envelope.Writer) error {
			for n := 1; len(pt) > 0; n = n*3%101 + 1 {
				piece := pt[:min(n, len(pt))]
				if _, err := w.Write(piece); err != nil {
					return err
				}
				pt = pt[len(piece):]
			}
			return nil
		})
	},
	"ReadFrom": func(ctx context.Context, e *envelope.Encrypter, pt []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return written(ctx, e, ec, func(w *envelope.Writer) error {
			_, err := w.ReadFrom(iotest.DataErrReader(bytes.NewReader(pt)))
			return err
		})
	},
	"ReadFrom ahead": func(ctx context.Context, e *envelope.Encrypter, pt []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return written(ctx, e, ec, func(w *envelope.Writer) error {
			_, err := w.ReadFrom(onlyReader{bytes.NewReader(pt)})
			return err
		})
	},
	"Write and ReadFrom": func(ctx context.Context, e *envelope.Encrypter, pt []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return written(ctx, e, ec, func(w *envelope.Writer) error {
			n := len(pt) / 3
			if _, err := w.Write(pt[:n]); err != nil {
				return err
			}
			if _, err := w.ReadFrom(bytes.NewReader(pt[n : 2*n])); err != nil {
				return err
			}
			_, err := w.ReadFrom(onlyReader{bytes.NewReader(pt[2*n:])})
			return err
		})
	},
	"ReadFrom halves": func(ctx context.Context, e *envelope.Encrypter, pt []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return written(ctx, e, ec, func(w *envelope.Writer) error {
			_, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(pt)))
			return err
		})
	},
	"EncryptReader": func(ctx context.Context, e *envelope.Encrypter, pt []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return pulled(ctx, e, bytes.NewReader(pt), len(pt), ec, func(r *envelope.EncryptReader) ([]byte, error) { return io.ReadAll(r) })
	},
	"EncryptReader WriteTo": func(ctx context.Context, e *envelope.Encrypter, pt []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return pulled(ctx, e, onlyReader{bytes.NewReader(pt)}, len(pt), ec, func(r *envelope.EncryptReader) ([]byte, error) {
			var dst bytes.Buffer
			_, err := r.WriteTo(&dst)
			return dst.Bytes(), err
		})
	},
	"EncryptReader in pieces": func(ctx context.Context, e *envelope.Encrypter, pt []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return pulled(ctx, e, iotest.HalfReader(bytes.NewReader(pt)), len(pt), ec, func(r *envelope.EncryptReader) ([]byte, error) {
			var dst bytes.Buffer
			_, err := io.CopyN(&dst, iotest.HalfReader(r), r.Size()/3)
			if err == nil {
				_, err = r.WriteTo(&dst)
			}
			return dst.Bytes(), err
		})
	},
	"EncryptReader again": func(ctx context.Context, e *envelope.Encrypter, pt []byte, ec keyring.EncryptionContext) ([]byte, error) {
		src := io.NewSectionReader(bytes.NewReader(pt), 0, int64(len(pt)))
		return pulled(ctx, e, src, len(pt), ec, func(r *envelope.EncryptReader) ([]byte, error) {
			first, err := io.ReadAll(r)
			if err != nil {
				return nil, err
			}
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				return nil, err
			}
			var again bytes.Buffer
			_, err = r.WriteTo(&again)
			if err == nil && !bytes.Equal(first, again.Bytes()) {
				err = errors.New("the second reading is another message")
			}
			return again.Bytes(), err
		})
	},
}

// lengthKnown says whether the way is told how long the plaintext is.
func lengthKnown(way string) bool {
	return way == "Encrypt" || strings.HasPrefix(way, "EncryptReader")
}

func pulled(ctx context.Context, e *envelope.Encrypter, src io.Reader, size int, ec keyring.EncryptionContext, read func(*envelope.EncryptReader) ([]byte, error)) ([]byte, error) {
	r, err := e.NewEncryptReader(ctx, src, int64(size), ec)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	msg, err := read(r)
	if err == nil && int64(len(msg)) != r.Size() {
		err = fmt.Errorf("Size says %d, and %d bytes were read", r.Size(), len(msg))
	}
	return msg, err
}

// onlyReader hides all but Read.
type onlyReader struct{ io.Reader }

func written(ctx context.Context, e *envelope.Encrypter, ec keyring.EncryptionContext, write func(*envelope.Writer) error) ([]byte, error) {
	var dst bytes.Buffer
	w, err := e.NewWriter(ctx, &dst, ec)
	if err != nil {
		return nil, err
	}
	if err := write(w); err != nil {
		return nil, err
	}
	err = w.Close()
	return dst.Bytes(), err
}

// Each decryptWay returns what was released, also when it fails.
var decryptWays = map[string]func(context.Context, *envelope.Decrypter, []byte, keyring.EncryptionContext) ([]byte, error){
	"Decrypt": func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return d.Decrypt(ctx, msg, ec)
	},
	"Read long": func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return readAll(ctx, d, bytes.NewReader(msg), ec, func(r *envelope.Reader) ([]byte, error) {
			var out []byte
			for buf := make([]byte, len(msg)); ; {
				n, err := r.Read(buf)
				out = append(out, buf[:n]...)
				if err != nil {
					return out, stuck(r, err)
				}
			}
		})
	},
	"Read bytes": func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
		// Byte by byte takes too long for long messages.
		slow := iotest.OneByteReader
		if len(msg) > 10_000 {
			slow = iotest.HalfReader
		}
		return readAll(ctx, d, slow(bytes.NewReader(msg)), ec, func(r *envelope.Reader) ([]byte, error) {
			out, err := io.ReadAll(slow(r))
			if err == nil {
				err = io.EOF
			}
			return out, stuck(r, err)
		})
	},
	"Read ahead": func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return readAll(ctx, d, onlyReader{bytes.NewReader(msg)}, ec, func(r *envelope.Reader) ([]byte, error) {
			// A piece of each kind, and then the rest.
			var out bytes.Buffer
			_, err := io.CopyN(&out, r, int64(len(msg)/5))
			if err == nil {
				_, err = io.CopyN(&out, onlyReader{r}, int64(len(msg)/5))
			}
			if err == nil {
				_, err = r.WriteTo(&out)
			}
			if err == nil {
				err = io.EOF
			}
			return out.Bytes(), stuck(r, err)
		})
	},
	"WriteTo in place": func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return readAll(ctx, d, bytes.NewReader(msg), ec, func(r *envelope.Reader) ([]byte, error) {
			var out bytes.Buffer
			_, err := r.WriteTo(&out)
			if err == nil {
				err = io.EOF
			}
			return out.Bytes(), stuck(r, err)
		})
	},
	"WriteTo": func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return readAll(ctx, d, iotest.DataErrReader(bytes.NewReader(msg)), ec, func(r *envelope.Reader) ([]byte, error) {
			var out bytes.Buffer
			_, err := r.WriteTo(&out)
			if err == nil {
				err = io.EOF
			}
			return out.Bytes(), stuck(r, err)
		})
	},
}

func readAll(ctx context.Context, d *envelope.Decrypter, src io.Reader, ec keyring.EncryptionContext, read func(*envelope.Reader) ([]byte, error)) ([]byte, error) {
	r, err := d.NewReader(ctx, src, ec)
	if err != nil {
		return nil, err
	}
	out, err := read(r)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return out, err
}

// stuck returns err if the reader keeps returning it, and a complaint if not.
func stuck(r *envelope.Reader, err error) error {
	for range 2 {
		n, again := r.Read(make([]byte, 10))
		if n != 0 || again != err {
			return fmt.Errorf("after %w, Read returned %d and %v", err, n, again)
		}
		if m, again := r.WriteTo(io.Discard); m != 0 || (again != err && (again != nil || err != io.EOF)) {
			return fmt.Errorf("after %w, WriteTo returned %d and %v", err, m, again)
		}
	}
	return err
}

// decryptFails checks that a message fails in every way, with one of the errors,
// having released nothing or, by a reader, a proper beginning of the plaintext.
func decryptFails(t *testing.T, c *envelope.Client, msg, plaintext []byte, ec keyring.EncryptionContext, is ...error) {
	t.Helper()
	for name, decrypt := range decryptWays {
		got, err := decrypt(t.Context(), c.Decrypter, msg, ec)
		require.Error(t, err, name)
		matches := false
		for _, target := range is {
			matches = matches || errors.Is(err, target)
		}
		require.True(t, matches, "%s: %v is none of %v", name, err, is)
		if name == "Decrypt" {
			require.Nil(t, got)
		}
		require.True(t, bytes.HasPrefix(plaintext, got), "%s released something else than the plaintext", name)
		require.Less(t, len(got), max(1, len(plaintext)), "%s released all of the plaintext", name)
	}
}

// decryptsTo checks that a message decrypts in every way.
func decryptsTo(t *testing.T, c *envelope.Client, msg, plaintext []byte, ec keyring.EncryptionContext) {
	t.Helper()
	for name, decrypt := range decryptWays {
		got, err := decrypt(t.Context(), c.Decrypter, msg, ec)
		require.NoError(t, err, name)
		require.True(t, bytes.Equal(plaintext, got), name)
	}
}

// handOut is a keyring that generates data keys and does not wrap them.
type handOut struct{}

func (handOut) OnEncrypt(_ context.Context, m *keyring.EncryptionMaterials) error {
	m.GenerateDataKey()
	m.EncryptedDataKeys = append(m.EncryptedDataKeys, keyring.EncryptedDataKey{ProviderID: "handed out"})
	return nil
}
