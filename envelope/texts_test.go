package envelope_test

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// texts decrypts msg in all ways and checks that each fails with this text.
func texts(t *testing.T, c *envelope.Client, msg []byte, ec keyring.EncryptionContext, text string, is error) {
	t.Helper()
	for way, decrypt := range decryptWays {
		_, err := decrypt(t.Context(), c.Decrypter, msg, ec)
		require.EqualError(t, err, "envelope: decrypt: "+text, way)
		require.ErrorIs(t, err, is, way)
	}
}

// TestNoMessageText gives what is no message. What it is may be secret.
func TestNoMessageText(t *testing.T) {
	const text = "malformed message: header: no message of this format begins like this: " +
		"it may be plaintext that was never encrypted, or base64 that must be decoded first"
	c := newClient(t, nil)
	for _, plaintext := range []string{"7", "7 of hearts", "AYADeHJ4", "\x00", "\x03", "\xff"} {
		texts(t, c, []byte(plaintext), nil, text, envelope.ErrMalformed)
		_, err := envelope.ParseHeader(bytes.NewReader([]byte(plaintext)), nil)
		require.EqualError(t, err, "envelope: "+text)
		_, err = c.NewReaderAt(t.Context(), bytes.NewReader([]byte(plaintext)), int64(len(plaintext)), nil)
		require.EqualError(t, err, "envelope: decrypt: "+text)
	}
}

func TestEmptyMessageText(t *testing.T) {
	const text = "the message is empty: unexpected EOF"
	c := newClient(t, nil)
	texts(t, c, nil, nil, text, io.ErrUnexpectedEOF)
	_, err := envelope.ParseHeader(bytes.NewReader(nil), nil)
	require.EqualError(t, err, "envelope: "+text)
	_, err = c.NewReaderAt(t.Context(), bytes.NewReader(nil), 0, nil)
	require.EqualError(t, err, "envelope: decrypt: "+text)

	// A source that broke off is not empty, nor is a message of one byte.
	_, err = c.NewReader(t.Context(), iotest.ErrReader(io.ErrUnexpectedEOF), nil)
	require.EqualError(t, err, "envelope: decrypt: header: version: unexpected EOF")
	texts(t, c, []byte{2}, nil, "header: algorithm suite: unexpected EOF", io.ErrUnexpectedEOF)
}

func TestNotStoredText(t *testing.T) {
	const text = "authentication failed (perhaps an encryption context mismatch: the message does not store [\"row\"], " +
		"and what was given for these keys may not be what it was written with)"
	manager, err := keyring.NewManager(unbound{zeroKey(t)})
	require.NoError(t, err)
	c, err := envelope.NewFromManager(manager, nil)
	require.NoError(t, err)
	texts(t, c, encrypt(t, c, []byte("plaintext")), keyring.EncryptionContext{"row": "7"}, "header: "+text, envelope.ErrContextMismatch)
}

// TestPartTexts holds that an error of the body names the part, by its number.
func TestPartTexts(t *testing.T) {
	const (
		framed  = 8
		forged  = "authentication failed"
		short   = "unexpected EOF"
		ordered = ": frames are missing, repeated or out of order"
	)
	content := []byte("12345678")
	flip := func(f *forger) *forger { f.msg[len(f.msg)-1] ^= 1; return f }
	cut := func(f *forger) *forger { f.msg = f.msg[:len(f.msg)-1]; return f }
	for name, test := range map[string]struct {
		frameLen uint32
		write    func(f *forger) *forger
		text     string
		is       error
	}{
		"first frame forged":  {framed, func(f *forger) *forger { return flip(f.regular(1, content)).final(2, nil) }, "frame 1: " + forged, envelope.ErrAuthentication},
		"second frame forged": {framed, func(f *forger) *forger { return flip(f.regular(1, content).regular(2, content)).final(3, nil) }, "frame 2: " + forged, envelope.ErrAuthentication},
		"final frame forged":  {framed, func(f *forger) *forger { return flip(f.regular(1, content).final(2, content)) }, "final frame 2: " + forged, envelope.ErrAuthentication},
		"non-framed forged":   {0, func(f *forger) *forger { return flip(f.nonFramed(content)) }, "non-framed body: " + forged, envelope.ErrAuthentication},
		"frames swapped": {framed, func(f *forger) *forger {
			return f.regular(1, content).regular(3, content).regular(2, content).final(4, nil)
		}, "malformed message: frame 2 has sequence number 3" + ordered, envelope.ErrMalformed},
		"final frame repeated": {framed, func(f *forger) *forger { return f.regular(1, content).final(1, content) }, "malformed message: frame 2 has sequence number 1" + ordered, envelope.ErrMalformed},
		"cut in a frame":       {framed, func(f *forger) *forger { return cut(f.regular(1, content).regular(2, content)) }, "frame 2: " + short, io.ErrUnexpectedEOF},
		"cut in the final":     {framed, func(f *forger) *forger { return cut(f.regular(1, content).final(2, content)) }, "final frame 2: " + short, io.ErrUnexpectedEOF},
		"cut before the final": {framed, func(f *forger) *forger { return f.regular(1, content) }, "frame 2: " + short, io.ErrUnexpectedEOF},
		"non-framed cut":       {0, func(f *forger) *forger { return cut(f.nonFramed(content)) }, "non-framed body: " + short, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForger(t, keyring.SuiteAES256GCMHKDFSHA512Commit, test.frameLen)
			d, err := envelope.NewDecrypter(f, nil)
			require.NoError(t, err)
			texts(t, &envelope.Client{Decrypter: d}, test.write(f.writeHeader()).msg, nil, test.text, test.is)
		})
	}
}

// TestFinalFrameAmongOthersText has a source give a final frame where its length leaves room
// for regular ones alone.
func TestFinalFrameAmongOthersText(t *testing.T) {
	content := []byte("12345678")
	f := newForger(t, keyring.SuiteAES256GCMHKDFSHA512Commit, uint32(len(content)))
	// A final frame's prefix is eight bytes longer than another's.
	f.writeHeader().regular(1, content).final(2, nil).regular(3, content).final(4, nil)
	d, err := envelope.NewDecrypter(f, nil)
	require.NoError(t, err)
	const text = "envelope: decrypt: malformed message: frame 2 is a final frame, and others follow"

	r, err := d.NewReaderAt(t.Context(), bytes.NewReader(f.msg), int64(len(f.msg)), nil)
	require.NoError(t, err)
	_, err = r.ReadAt(make([]byte, 24), 0)
	require.EqualError(t, err, text)
	require.ErrorIs(t, err, envelope.ErrMalformed)
	_, err = io.ReadAll(io.NewSectionReader(r, 8, 8))
	require.EqualError(t, err, text)
}

// TestContextText has a context that only the manager parses, and which is a fault of the
// header and not of the data key.
func TestContextText(t *testing.T) {
	f := newForger(t, keyring.SuiteAES256GCMHKDFSHA512Commit, 8)
	f.header.Context = map[string]string{"a": "1", "b": "2"}
	f.writeHeader(func(body []byte) []byte { return bytes.Replace(body, []byte("\x00\x01b"), []byte("\x00\x01a"), 1) })
	d, err := envelope.NewDecrypter(f, nil)
	require.NoError(t, err)
	texts(t, &envelope.Client{Decrypter: d}, f.final(1, nil).msg, nil,
		"malformed message: encryption context: key \"a\" stands twice", envelope.ErrMalformed)
}
