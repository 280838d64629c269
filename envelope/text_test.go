package envelope_test

import (
	"context"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

func TestText(t *testing.T) {
	c := newClient(t, nil)
	for n := range 50 {
		plaintext := randomBytes(n)
		text, err := c.EncryptText(t.Context(), plaintext, testContext)
		require.NoError(t, err)
		require.Regexp(t, "^[A-Za-z0-9_-]+$", text)
		msg, err := base64.RawURLEncoding.DecodeString(text)
		require.NoError(t, err)
		decryptsTo(t, c, msg, plaintext, testContext)
		for _, end := range []string{"", "\n", "\r\n"} {
			got, err := c.DecryptText(t.Context(), text+end, testContext)
			require.NoError(t, err)
			require.Equal(t, string(plaintext), string(got))
		}
	}
	_, err := c.EncryptText(t.Context(), nil, keyring.EncryptionContext{"aws-crypto-": ""})
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
}

func TestTextRefuses(t *testing.T) {
	c := newClient(t, nil)
	text, err := c.EncryptText(t.Context(), make([]byte, 50), testContext)
	require.NoError(t, err)
	msg, err := base64.RawURLEncoding.DecodeString(text)
	require.NoError(t, err)
	const about = "envelope: decrypt: malformed message: the text is not unpadded base64url: "
	for name, test := range map[string]struct{ text, err string }{
		"padded":            {text + "=", about + "it seems to be standard base64, which has + / and = where this has - _ and nothing"},
		"standard base64":   {base64.StdEncoding.EncodeToString(append(msg, 0xff, 0xff)), about + "it seems to be standard base64, which has + / and = where this has - _ and nothing"},
		"two ends of lines": {text + "\n\n", about + "there is white space in it"},
		"a line break":      {text[:40] + "\n" + text[40:], about + "there is white space in it"},
		"space before":      {" " + text, about + "there is white space in it"},
		"plaintext":         {"hunter2!", about + "it is cut short, or no message"},
		"a prefix":          {"x" + text[:4], about + "it is cut short, or no message"},
		"base64 of nothing": {"aGVsbG8", "envelope: decrypt: malformed message: header: no message of this format begins like this: " +
			"it may be plaintext that was never encrypted, or base64 that must be decoded first"},
		"empty":       {"", "envelope: decrypt: the message is empty: unexpected EOF"},
		"end of line": {"\n", "envelope: decrypt: the message is empty: unexpected EOF"},
	} {
		_, err := c.DecryptText(t.Context(), test.text, testContext)
		require.EqualError(t, err, test.err, name)
	}
	_, err = c.DecryptText(t.Context(), text, keyring.EncryptionContext{"tenant": "43"})
	require.ErrorIs(t, err, envelope.ErrContextMismatch)
	for at := range text {
		altered := []byte(text)
		altered[at] = map[bool]byte{true: 'B', false: 'A'}[altered[at] == 'A']
		_, err := c.DecryptText(t.Context(), string(altered), testContext)
		require.Error(t, err, "character %d", at)
	}
}

// oneKMSKey wraps data keys in as many bytes as KMS does.
type oneKMSKey struct{}

func (oneKMSKey) OnEncrypt(_ context.Context, m *keyring.EncryptionMaterials) error {
	m.GenerateDataKey()
	m.EncryptedDataKeys = append(m.EncryptedDataKeys, keyring.EncryptedDataKey{
		ProviderID:   "aws-kms",
		ProviderInfo: []byte("arn:aws:kms:eu-central-1:111122223333:key/01234567-89ab-cdef-0123-456789abcdef"),
		Ciphertext:   make([]byte, 184),
	})
	return nil
}

// TestTextFits holds what EncryptText's comment says of lengths.
func TestTextFits(t *testing.T) {
	for _, test := range []struct{ characters, plaintext int }{
		{4096, 2600}, {8192, 5600}, {64 << 10, 48_000}, {128<<10 - len("DATABASE_PASSWORD=\x00"), 96_000},
	} {
		for _, sign := range []bool{false, true} {
			e, err := envelope.NewEncrypter(oneKMSKey{}, &envelope.Options{Sign: sign})
			require.NoError(t, err)
			n := test.plaintext
			if sign {
				n -= 300
			}
			text, err := e.EncryptText(t.Context(), make([]byte, n), testContext)
			require.NoError(t, err)
			assert.LessOrEqual(t, len(text), test.characters, "%d bytes, signed: %v", n, sign)
			// The figure is no further off than that.
			text, err = e.EncryptText(t.Context(), make([]byte, n+n/40+100), testContext)
			require.NoError(t, err)
			assert.Greater(t, len(text), test.characters, "%d bytes, signed: %v", n, sign)
		}
	}
}
