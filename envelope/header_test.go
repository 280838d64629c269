package envelope_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

func TestHeaderString(t *testing.T) {
	c := newClient(t, nil)
	msg, err := c.Encrypt(t.Context(), nil, keyring.EncryptionContext{"tenant": "secret value", "a\nb": "secret value"})
	require.NoError(t, err)
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)
	assert.Equal(t, `message of version 2, suite `+unsigned.String()+`, frames of 4096 bytes, wrapped by "test"/"zero", context with "a\nb", "tenant"`, h.String())
	assert.Equal(t, h.String(), fmt.Sprint(h))

	h.FrameLength, h.Context = 0, nil
	h.EncryptedDataKeys = make([]keyring.EncryptedDataKey, 10)
	assert.Equal(t, `message of version 2, suite `+unsigned.String()+`, non-framed, wrapped by ""/"", ""/"", ""/"", ""/"", ""/"", ""/"", ""/"", ""/"" and 2 more`, h.String())
	assert.NotEmpty(t, (&envelope.Header{}).String())

	long := string(bytes.Repeat([]byte{0}, 60_000))
	for i := range h.EncryptedDataKeys {
		h.EncryptedDataKeys[i] = keyring.EncryptedDataKey{ProviderID: long, ProviderInfo: []byte(long)}
	}
	h.Context = keyring.EncryptionContext{long: ""}
	assert.Less(t, len(h.String()), 20_000)
}

func TestWrappedBy(t *testing.T) {
	kms := func(arn string) keyring.EncryptedDataKey {
		return keyring.EncryptedDataKey{ProviderID: "aws-kms", ProviderInfo: []byte(arn)}
	}
	version := make([]byte, 16+12+16+32+16)
	branch := keyring.EncryptedDataKey{ProviderID: "aws-kms-hierarchy", ProviderInfo: []byte("tenant-7"), Ciphertext: version}
	for name, test := range map[string]struct {
		header []keyring.EncryptedDataKey
		keys   []string
		want   bool
	}{
		"that key":         {[]keyring.EncryptedDataKey{kms("a")}, []string{"a"}, true},
		"another":          {[]keyring.EncryptedDataKey{kms("a")}, []string{"b"}, false},
		"both":             {[]keyring.EncryptedDataKey{kms("a"), kms("b")}, []string{"b", "a"}, true},
		"one more":         {[]keyring.EncryptedDataKey{kms("a"), kms("b")}, []string{"a"}, false},
		"one less":         {[]keyring.EncryptedDataKey{kms("a")}, []string{"a", "b"}, false},
		"no key given":     {[]keyring.EncryptedDataKey{kms("a")}, nil, false},
		"twice":            {[]keyring.EncryptedDataKey{kms("a"), kms("a")}, []string{"a"}, true},
		"branch key":       {[]keyring.EncryptedDataKey{branch}, []string{"tenant-7"}, true},
		"its version":      {[]keyring.EncryptedDataKey{branch}, []string{"00000000-0000-0000-0000-000000000000"}, true},
		"another version":  {[]keyring.EncryptedDataKey{branch}, []string{"00000000-0000-0000-0000-000000000001"}, false},
		"no name, no name": {[]keyring.EncryptedDataKey{kms("a")}, []string{""}, false},
	} {
		h := &envelope.Header{EncryptedDataKeys: test.header}
		assert.Equal(t, test.want, h.WrappedBy(test.keys...), name)
	}
}
