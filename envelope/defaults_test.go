package envelope_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

func TestDefaults(t *testing.T) {
	for name, o := range map[string]*envelope.Options{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, o)
			msg := encrypt(t, c, randomBytes(5000))
			h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
			require.NoError(t, err)
			assert.Equal(t, keyring.SuiteAES256GCMHKDFSHA512Commit, h.Suite)
			assert.Equal(t, 4096, h.FrameLength)

			older := encrypt(t, newClient(t, optionsFor(keyring.SuiteAES256GCMHKDFSHA256, 0)), nil)
			decryptFails(t, c, older, nil, nil, envelope.ErrPolicy)
		})
	}
	for policy, want := range map[keyring.CommitmentPolicy]keyring.Suite{
		keyring.RequireEncryptRequireDecrypt: keyring.SuiteAES256GCMHKDFSHA512Commit,
		keyring.RequireEncryptAllowDecrypt:   keyring.SuiteAES256GCMHKDFSHA512Commit,
		keyring.ForbidEncryptAllowDecrypt:    keyring.SuiteAES256GCMHKDFSHA256,
	} {
		msg := encrypt(t, newClient(t, &envelope.Options{CommitmentPolicy: policy}), nil)
		h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
		require.NoError(t, err)
		assert.Equal(t, want, h.Suite)
	}
	t.Run("encrypted data keys", func(t *testing.T) {
		aes := zeroKey(t)
		write := func(n, most int) []byte {
			many, err := keyring.NewMultiEncrypter(aes, slices.Repeat([]keyring.Encrypter{aes}, n-1)...)
			require.NoError(t, err)
			e, err := envelope.NewEncrypter(many, &envelope.Options{MaxEncryptedDataKeys: most})
			require.NoError(t, err)
			msg, err := e.Encrypt(t.Context(), []byte("plaintext"), testContext)
			require.NoError(t, err)
			return msg
		}
		// With the format's own limit there is no other.
		none := newClient(t, &envelope.Options{MaxEncryptedDataKeys: 1<<16 - 1})
		decryptsTo(t, newClient(t, nil), write(64, 0), []byte("plaintext"), testContext)
		more := write(65, 1<<16-1)
		decryptFails(t, newClient(t, nil), more, []byte("plaintext"), testContext, envelope.ErrLimit)
		decryptsTo(t, none, more, []byte("plaintext"), testContext)
	})
}

// TestOptionsAreCopied changes what a client was made with.
func TestOptionsAreCopied(t *testing.T) {
	o := &envelope.Options{FrameLength: 100}
	c := newClient(t, o)
	*o = envelope.Options{CommitmentPolicy: keyring.ForbidEncryptAllowDecrypt, FrameLength: 7, MaxEncryptedDataKeys: 1}
	msg := encrypt(t, c, nil)
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)
	assert.Equal(t, 100, h.FrameLength)
	assert.True(t, h.Suite.Commits())
	older := encrypt(t, newClient(t, optionsFor(keyring.SuiteAES256GCMHKDFSHA256, 0)), nil)
	decryptFails(t, c, older, nil, nil, envelope.ErrPolicy)
}

// TestMessageIDs has messages of each suite: no two have one ID.
func TestMessageIDs(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range suite.IDs[keyring.Suite]() {
		c := newClient(t, optionsFor(s, 0))
		for range 50 {
			h, err := envelope.ParseHeader(bytes.NewReader(encrypt(t, c, nil)), nil)
			require.NoError(t, err)
			require.Len(t, h.MessageID, 16*h.Version)
			// Of one with less chance in it, a part would come again.
			for part := range slices.Chunk(h.MessageID, 8) {
				require.False(t, seen[string(part)])
				seen[string(part)] = true
			}
		}
	}
}
