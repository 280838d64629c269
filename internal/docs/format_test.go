package docs

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// The messages of docs/format.md were made once, by makeMessage, and are in testdata in
// hexadecimal. The page shows what annotate makes of them.
const (
	formatPlaintext = "attack at dawn"
	formatKey       = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

var formatContext = keyring.EncryptionContext{"tenant": "42"}

// TestAnnotatedMessages holds that what docs/format.md says of each byte is so: annotate
// takes the messages apart, derives their keys and opens them with the standard library
// alone, and fails on a byte that is left over. The page has its text by TestBlocks.
func TestAnnotatedMessages(t *testing.T) {
	key, err := hex.DecodeString(formatKey)
	require.NoError(t, err)
	for name, o := range map[string]envelope.Options{
		"version2": {FrameLength: 8},
		"version1": {CommitmentPolicy: keyring.ForbidEncryptAllowDecrypt, Suite: keyring.SuiteAES256GCMHKDFSHA384ECDSAP384},
	} {
		t.Run(name, func(t *testing.T) {
			kr, err := keyring.NewRawAES("app", "kek-2026", key)
			require.NoError(t, err)
			client, err := envelope.New(kr, &o)
			require.NoError(t, err)

			msg := readMessage(t, client, filepath.Join("testdata", name+".hex"))
			plaintext, err := client.Decrypt(t.Context(), msg, formatContext)
			require.NoError(t, err)
			require.Equal(t, formatPlaintext, string(plaintext))

			got := annotate(t, msg, key)
			path := filepath.Join("testdata", name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(got), 0o666))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
		})
	}
}

// readMessage returns the message of a file. With -update it makes the message if there is
// no file.
func readMessage(t *testing.T, client *envelope.Client, path string) []byte {
	if _, err := os.Stat(path); *update && errors.Is(err, fs.ErrNotExist) {
		msg, err := client.Encrypt(t.Context(), []byte(formatPlaintext), formatContext)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, []byte(hex.EncodeToString(msg)+"\n"), 0o666))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	msg, err := hex.DecodeString(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return msg
}

// A walk goes through a message and writes down what each byte is.
type walk struct {
	t   *testing.T
	msg []byte
	off int
	out strings.Builder
}

// note writes a line without bytes.
func (w *walk) note(format string, args ...any) {
	fmt.Fprintf(&w.out, format+"\n", args...)
}

// take writes the next n bytes, eight to a line, and what they are.
func (w *walk) take(n int, format string, args ...any) []byte {
	require.LessOrEqual(w.t, w.off+n, len(w.msg), "the message ends before: "+format)
	field := w.msg[w.off : w.off+n]
	text := fmt.Sprintf(format, args...)
	for i := 0; i < n; i += 8 {
		line := fmt.Sprintf("%04x  %-23x  %s", w.off+i, spaced(field[i:min(i+8, n)]), text)
		w.note("%s", strings.TrimRight(line, " "))
		text = ""
	}
	w.off += n
	return field
}

type spaced []byte

// Format writes two digits for each byte, with a space between bytes.
func (s spaced) Format(f fmt.State, _ rune) {
	text := strings.TrimSpace(fmt.Sprintf("% x", []byte(s)))
	width, _ := f.Width()
	fmt.Fprintf(f, "%-*s", width, text)
}

func (w *walk) peek(n int) uint64 {
	var b [8]byte
	copy(b[8-n:], w.msg[w.off:w.off+n])
	return binary.BigEndian.Uint64(b[:])
}

// count takes a length or a number of n bytes.
func (w *walk) count(n int, what string) int {
	v := w.peek(n)
	w.take(n, "%s: %d", what, v)
	return int(v)
}

// text takes a length of two bytes and a text.
func (w *walk) text(what string) string {
	n := w.count(2, "length")
	value, more := w.msg[w.off:w.off+n], ""
	if n > 32 {
		value, more = value[:12], " …"
	}
	return string(w.take(n, "%s: %q%s", what, value, more))
}

// annotate returns a dump of a message with the meaning of each byte. It knows messages of
// suites 0x0478 and 0x0378 whose data key is wrapped by a raw AES key.
func annotate(t *testing.T, msg, wrappingKey []byte) string {
	w := &walk{t: t, msg: msg}

	w.note("--- header: body")
	version := w.count(1, "version")
	if version == 1 {
		require.Equal(t, byte(0x80), w.take(1, "type: customer authenticated encrypted data")[0])
	}
	suiteID := w.peek(2)
	suite := w.take(2, "suite 0x%04x", suiteID)
	require.Contains(t, []uint64{0x0478, 0x0378}, suiteID)
	idLen := map[int]int{1: 16, 2: 32}[version]
	messageID := w.take(idLen, "message ID: random")

	w.note("--- encryption context")
	contextLen := w.count(2, "length of the context")
	context := msg[w.off : w.off+contextLen]
	publicKey := ""
	for range w.count(2, "pairs") {
		key, value := w.text("key"), w.text("value")
		if key == "aws-crypto-public-key" {
			publicKey = value
		}
	}

	w.note("--- encrypted data keys")
	require.Equal(t, 1, w.count(2, "encrypted data keys"))
	w.text("provider ID")
	w.count(2, "length of the provider info")
	w.take(len("kek-2026"), "key's name: %q", "kek-2026")
	require.Equal(t, 128, w.count(4, "tag length in bits"))
	ivLen := w.count(4, "IV length in bytes")
	wrapIV := w.take(ivLen, "IV")
	wrapped := w.take(w.count(2, "length of the wrapped data key"), "data key, encrypted, and tag")

	w.note("--- body's form")
	w.take(1, "content type: framed")
	if version == 1 {
		w.take(4, "reserved")
		w.take(1, "IV length: 12")
	}
	frameLen := w.count(4, "frame length")

	// The keys.
	dataKey, err := gcm(t, wrappingKey).Open(nil, wrapIV, wrapped, context)
	require.NoError(t, err, "the data key")
	var messageKey []byte
	if version == 2 {
		messageKey = derive(t, sha512.New, dataKey, messageID, string(suite)+"DERIVEKEY")
		commitment := w.take(32, "commitment to the data key")
		assert.Equal(t, derive(t, sha512.New, dataKey, messageID, "COMMITKEY"), commitment)
	} else {
		messageKey = derive(t, sha512.New384, dataKey, nil, string(suite)+string(messageID))
	}
	headerBody := msg[:w.off]

	w.note("--- header: authentication")
	headerIV := make([]byte, 12)
	if version == 1 {
		headerIV = w.take(12, "IV: zero")
	}
	tag := w.take(16, "tag over the header's body")
	_, err = gcm(t, messageKey).Open(nil, headerIV, tag, headerBody)
	require.NoError(t, err, "the header")

	var plaintext []byte
	for number, final := 1, false; !final; number++ {
		final = w.peek(4) == 0xffffffff
		kind, n := "AWSKMSEncryptionClient Frame", frameLen
		if final {
			w.note("--- final frame")
			kind = "AWSKMSEncryptionClient Final Frame"
			w.take(4, "mark of the final frame")
		} else {
			w.note("--- frame")
		}
		require.Equal(t, number, w.count(4, "sequence number"))
		iv := w.take(12, "IV: the sequence number")
		if final {
			n = w.count(4, "length of the content")
		}
		// The content's text is known once the tag behind it has been checked.
		sealed := msg[w.off : w.off+n+16]
		aad := append(bytes.Clone(messageID), kind...)
		aad = binary.BigEndian.AppendUint32(aad, uint32(number))
		aad = binary.BigEndian.AppendUint64(aad, uint64(n))
		content, err := gcm(t, messageKey).Open(nil, iv, sealed, aad)
		require.NoError(t, err, "frame %d", number)
		w.take(n, "content: %q, encrypted", content)
		w.take(16, "tag")
		plaintext = append(plaintext, content...)
	}
	assert.Equal(t, formatPlaintext, string(plaintext))

	if publicKey != "" {
		signed := sha512.Sum384(msg[:w.off])
		w.note("--- footer")
		signature := w.take(w.count(2, "length of the signature"), "ECDSA signature, DER")
		point, err := base64.StdEncoding.DecodeString(publicKey)
		require.NoError(t, err)
		x, y := elliptic.UnmarshalCompressed(elliptic.P384(), point)
		require.NotNil(t, x)
		assert.True(t, ecdsa.VerifyASN1(&ecdsa.PublicKey{Curve: elliptic.P384(), X: x, Y: y}, signed[:], signature))
	}
	require.Equal(t, len(msg), w.off, "bytes after the message")
	w.note("%04x", w.off)
	return w.out.String()
}

func derive(t *testing.T, h func() hash.Hash, dataKey, salt []byte, info string) []byte {
	key, err := hkdf.Key(h, dataKey, salt, info, 32)
	require.NoError(t, err)
	return key
}

func gcm(t *testing.T, key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	return aead
}
