package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/keyring"
)

// secondManager takes a second for each request, so that durations can be told apart.
type secondManager struct {
	keyring.MaterialsManager
	err error
}

func (m secondManager) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	time.Sleep(time.Second)
	if m.err != nil {
		return nil, m.err
	}
	return m.MaterialsManager.EncryptionMaterials(ctx, req)
}

func (m secondManager) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	time.Sleep(time.Second)
	if m.err != nil {
		return nil, m.err
	}
	return m.MaterialsManager.DecryptionMaterials(ctx, req)
}

// told is what an event says that can be compared.
type told struct {
	op    envelope.Operation
	suite keyring.Suite
	bytes int64
	took  time.Duration
	kind  string
}

// TestEvents checks what is told of each operation, in time that stands still but for the
// manager.
func TestEvents(t *testing.T) {
	const s = keyring.SuiteAES256GCMHKDFSHA512Commit
	ec := keyring.EncryptionContext{"tenant": "42"}
	plaintext := bytes.Repeat([]byte("p"), 10_000)
	newKey := told{envelope.OpNewKey, s, 0, time.Second, ""}
	unwrapKey := told{envelope.OpUnwrapKey, s, 0, time.Second, ""}
	failing := io.MultiReader(bytes.NewReader(plaintext), iotest.ErrReader(errors.New("source")))
	type call func(ctx context.Context, c *envelope.Client, msg []byte) error
	read := func(ctx context.Context, c *envelope.Client, src io.Reader) error {
		r, err := c.NewReader(ctx, src, ec)
		if err == nil {
			time.Sleep(time.Minute) // the caller's own time counts
			_, err = io.Copy(io.Discard, r)
		}
		return err
	}
	for name, c := range map[string]struct {
		fails error // of the manager
		call  call
		want  []told
	}{
		"encrypt": {nil, func(ctx context.Context, c *envelope.Client, _ []byte) error {
			_, err := c.AppendEncrypt(ctx, []byte("before"), plaintext, ec)
			return err
		}, []told{newKey, {envelope.OpEncrypt, s, 10_000, time.Second, ""}}},
		"encrypt, no key": {keyring.ErrUnavailable, func(ctx context.Context, c *envelope.Client, _ []byte) error {
			_, err := c.Encrypt(ctx, plaintext, ec)
			return err
		}, []told{{envelope.OpNewKey, s, 0, time.Second, "unavailable"}, {envelope.OpEncrypt, s, 0, time.Second, "unavailable"}}},
		"decrypt": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			_, err := c.AppendDecrypt(ctx, []byte("before"), msg, ec)
			return err
		}, []told{unwrapKey, {envelope.OpDecrypt, s, 10_000, time.Second, ""}}},
		"decrypt, altered": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			_, err := c.Decrypt(ctx, append(msg[:len(msg)-1:len(msg)-1], ^msg[len(msg)-1]), ec)
			return err
		}, []told{unwrapKey, {envelope.OpDecrypt, s, 0, time.Second, "authentication"}}},
		"decrypt, no message": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			_, err := c.Decrypt(ctx, []byte("no message"), ec)
			return err
		}, []told{{envelope.OpDecrypt, 0, 0, 0, "malformed"}}},
		"batch": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			opened := c.DecryptBatch(ctx, []envelope.Sealed{{Message: msg, Context: ec}, {Message: []byte("no message")}, {Message: msg, Context: ec}})
			return opened[1].Err
		}, []told{unwrapKey, {envelope.OpDecrypt, s, 10_000, time.Second, ""}, {envelope.OpDecrypt, 0, 0, 0, "malformed"}, {envelope.OpDecrypt, s, 10_000, time.Second, ""}}},
		"writer": {nil, func(ctx context.Context, c *envelope.Client, _ []byte) error {
			w, err := c.NewWriter(ctx, io.Discard, ec)
			if err != nil {
				return err
			}
			w.Write(plaintext)
			time.Sleep(time.Minute)
			return errors.Join(w.Close(), w.Close())
		}, []told{newKey, {envelope.OpWriter, s, 10_000, 61 * time.Second, ""}}},
		"writer, of nothing": {nil, func(ctx context.Context, c *envelope.Client, _ []byte) error {
			w, err := c.NewWriter(ctx, io.Discard, ec)
			if err != nil {
				return err
			}
			return w.Close()
		}, []told{newKey, {envelope.OpWriter, s, 0, time.Second, ""}}},
		"writer, source fails": {nil, func(ctx context.Context, c *envelope.Client, _ []byte) error {
			w, err := c.NewWriter(ctx, io.Discard, ec)
			if err != nil {
				return err
			}
			_, err = w.ReadFrom(failing)
			w.Close()
			return err
		}, []told{newKey, {envelope.OpWriter, s, 0, time.Second, "other"}}},
		"writer, no key": {context.Canceled, func(ctx context.Context, c *envelope.Client, _ []byte) error {
			_, err := c.NewWriter(ctx, io.Discard, ec)
			return err
		}, []told{{envelope.OpNewKey, s, 0, time.Second, "canceled"}, {envelope.OpWriter, s, 0, time.Second, "canceled"}}},
		"reader": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			return read(ctx, c, bytes.NewReader(msg))
		}, []told{unwrapKey, {envelope.OpReader, s, 10_000, 61 * time.Second, ""}}},
		"reader, truncated": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			return read(ctx, c, iotest.OneByteReader(bytes.NewReader(msg[:len(msg)-1])))
		}, []told{unwrapKey, {envelope.OpReader, s, 0, 61 * time.Second, "truncated"}}},
		"reader, no key": {keyring.ErrNoMatchingKey, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			return read(ctx, c, bytes.NewReader(msg))
		}, []told{{envelope.OpUnwrapKey, s, 0, time.Second, "no_matching_key"}, {envelope.OpReader, s, 0, time.Second, "no_matching_key"}}},
		"reader at": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			r, err := c.NewReaderAt(ctx, bytes.NewReader(msg), int64(len(msg)), ec)
			if err != nil {
				return err
			}
			_, err = r.ReadAt(make([]byte, 100), 9_990)
			if err == io.EOF {
				err = nil
			}
			r.ReadAt(make([]byte, 1), 10_000) // at the end, where nothing is decrypted
			return err
		}, []told{unwrapKey, {envelope.OpOpen, s, 0, time.Second, ""}, {envelope.OpReadAt, s, 10, 0, ""}}},
		"reader at, altered": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			r, err := c.NewReaderAt(ctx, bytes.NewReader(append(bytes.Clone(msg[:len(msg)-3000]), make([]byte, 3000)...)), int64(len(msg)), ec)
			assert.Nil(t, r)
			return err
		}, []told{unwrapKey, {envelope.OpOpen, s, 0, time.Second, "malformed"}}},
		"encrypt reader": {nil, func(ctx context.Context, c *envelope.Client, _ []byte) error {
			r, err := c.NewEncryptReader(ctx, bytes.NewReader(plaintext), 10_000, ec)
			if err != nil {
				return err
			}
			defer r.Close()
			time.Sleep(time.Minute)
			for range 2 { // the second time is told of no more
				if _, err := io.Copy(io.Discard, r); err != nil {
					return err
				}
				if _, err := r.Seek(0, io.SeekStart); err != nil {
					return err
				}
			}
			return nil
		}, []told{newKey, {envelope.OpEncryptReader, s, 10_000, 61 * time.Second, ""}}},
		"encrypt reader, too short": {nil, func(ctx context.Context, c *envelope.Client, _ []byte) error {
			r, err := c.NewEncryptReader(ctx, bytes.NewReader(plaintext), 10_001, ec)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			return err
		}, []told{newKey, {envelope.OpEncryptReader, s, 0, time.Second, "truncated"}}},
		"encrypt reader, dropped": {nil, func(ctx context.Context, c *envelope.Client, _ []byte) error {
			r, err := c.NewEncryptReader(ctx, bytes.NewReader(plaintext), 10_000, ec)
			if err != nil {
				return err
			}
			return r.Close()
		}, []told{newKey}},
		"encrypt reader, no key": {keyring.ErrUnavailable, func(ctx context.Context, c *envelope.Client, _ []byte) error {
			_, err := c.NewEncryptReader(ctx, bytes.NewReader(plaintext), 10_000, ec)
			return err
		}, []told{{envelope.OpNewKey, s, 0, time.Second, "unavailable"}, {envelope.OpEncryptReader, s, 0, time.Second, "unavailable"}}},
		"range reader": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			r, err := c.NewRangeReader(ctx, fetchFrom(msg), ec)
			if err != nil {
				return err
			}
			if _, err = r.ReadAt(make([]byte, 5000), 100); err != nil {
				return err
			}
			section := r.NewSectionReader(ctx, 0, r.Size())
			io.ReadFull(section, make([]byte, 10))
			time.Sleep(time.Minute)
			return section.Close()
		}, []told{unwrapKey, {envelope.OpOpen, s, 0, time.Second, ""}, {envelope.OpReadAt, s, 5000, 0, ""}, {envelope.OpReadAt, s, 10, time.Minute, ""}}},
		"range reader, altered": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			altered := bytes.Clone(msg)
			altered[len(msg)/2] ^= 1
			r, err := c.NewRangeReader(ctx, fetchFrom(altered), ec)
			if err != nil {
				return err
			}
			_, err = r.ReadAt(make([]byte, 5000), 0)
			return err
		}, []told{unwrapKey, {envelope.OpOpen, s, 0, time.Second, ""}, {envelope.OpReadAt, s, 0, 0, "authentication"}}},
		"range reader, gone": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			_, err := c.NewRangeReader(ctx, func(context.Context, envelope.FetchRequest) (*envelope.FetchResult, error) {
				return nil, io.ErrClosedPipe
			}, ec)
			return err
		}, []told{{envelope.OpOpen, 0, 0, 0, "other"}}},
		"check": {nil, func(ctx context.Context, c *envelope.Client, _ []byte) error {
			return c.Check(ctx, ec)
		}, []told{newKey, unwrapKey}},
		"range, altered": {nil, func(ctx context.Context, c *envelope.Client, msg []byte) error {
			altered := bytes.Clone(msg)
			altered[len(msg)/2] ^= 1
			r, err := c.NewReaderAt(ctx, bytes.NewReader(altered), int64(len(msg)), ec)
			if err != nil {
				return err
			}
			_, err = r.ReadAt(make([]byte, 5000), 0)
			return err
		}, []told{unwrapKey, {envelope.OpOpen, s, 0, time.Second, ""}, {envelope.OpReadAt, s, 0, 0, "authentication"}}},
	} {
		t.Run(name, func(t *testing.T) {
			faketime.Test(t, func(t *testing.T) {
				type who struct{}
				var got []told
				var last error
				manager := secondManager{MaterialsManager: newTestManager(t)}
				client, err := envelope.NewFromManager(manager, nil)
				require.NoError(t, err)
				msg, err := client.Encrypt(t.Context(), plaintext, ec)
				require.NoError(t, err)

				manager.err = c.fails
				client, err = envelope.NewFromManager(manager, &envelope.Options{OnEvent: func(ctx context.Context, e envelope.Event) {
					assert.Equal(t, "me", ctx.Value(who{}))
					got = append(got, told{e.Operation, e.Suite, e.Bytes, e.Duration, envelope.ErrorKind(e.Err)})
					if e.Err != nil {
						last = e.Err
					}
				}})
				require.NoError(t, err)
				err = c.call(context.WithValue(t.Context(), who{}, "me"), client, msg)
				assert.Equal(t, c.want, got)
				assert.Equal(t, err, last, "what is told is the error of the call")
			})
		})
	}
}

// fetchFrom fetches from a message in memory.
func fetchFrom(msg []byte) envelope.FetchFunc {
	return func(_ context.Context, req envelope.FetchRequest) (*envelope.FetchResult, error) {
		body := msg[req.Offset:min(req.Offset+req.Length, int64(len(msg)))]
		return &envelope.FetchResult{Body: io.NopCloser(bytes.NewReader(body)), Size: int64(len(msg))}, nil
	}
}

func newTestManager(t *testing.T) keyring.MaterialsManager {
	k, err := keyring.NewRawAES("test", "kek", make([]byte, 32))
	require.NoError(t, err)
	m, err := keyring.NewManager(k)
	require.NoError(t, err)
	return m
}

// answer is an error of a key service.
type answer bool

func (a answer) Error() string { return fmt.Sprint("refused: ", bool(a)) }
func (a answer) Refused() bool { return bool(a) }

func TestErrorKind(t *testing.T) {
	for want, err := range map[string]error{
		"":                  nil,
		"unavailable":       errors.Join(keyring.ErrNoMatchingKey, context.DeadlineExceeded, keyring.ErrUnavailable),
		"refused":           &keyring.NoMatchError{Reasons: []error{answer(false), fmt.Errorf("no: %w", answer(true))}},
		"canceled":          fmt.Errorf("source: %w", context.Canceled),
		"deadline_exceeded": context.DeadlineExceeded,
		"context_mismatch":  errors.Join(envelope.ErrAuthentication, envelope.ErrContextMismatch),
		"policy":            envelope.ErrPolicy,
		"invalid_argument":  envelope.ErrInvalidArgument,
		"invalid_materials": envelope.ErrInvalidMaterials,
		"no_matching_key":   &keyring.NoMatchError{Reasons: []error{answer(false)}},
		"commitment":        envelope.ErrCommitment,
		"signature":         envelope.ErrSignature,
		"authentication":    envelope.ErrAuthentication,
		"limit":             envelope.ErrLimit,
		"malformed":         envelope.ErrMalformed,
		"truncated":         io.ErrUnexpectedEOF,
		"source_changed":    envelope.ErrSourceChanged,
		"other":             io.ErrClosedPipe,
	} {
		assert.Equal(t, want, envelope.ErrorKind(err))
	}
}

func TestOperationNames(t *testing.T) {
	for op, want := range map[envelope.Operation]string{
		envelope.OpEncrypt: "encrypt", envelope.OpDecrypt: "decrypt", envelope.OpWriter: "writer", envelope.OpReader: "reader",
		envelope.OpEncryptReader: "encrypt_reader", envelope.OpOpen: "open", envelope.OpReadAt: "read_at", envelope.OpNewKey: "new_key", envelope.OpUnwrapKey: "unwrap_key", 99: "Operation(99)",
	} {
		assert.Equal(t, want, op.String())
	}
}
