package interop

import (
	"bytes"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// ours is this module, in memory or with streams.
type ours struct {
	keyring keyring.Keyring
	streams bool
}

func (o ours) String() string {
	if o.streams {
		return "sealring's streams"
	}
	return "sealring"
}

func (o ours) client(t *testing.T, opts envelope.Options, required []string) *envelope.Client {
	m, err := keyring.NewManager(o.keyring)
	require.NoError(t, err)
	manager := keyring.MaterialsManager(m)
	if len(required) > 0 {
		manager, err = keyring.NewRequiredContextManager(m, required...)
		require.NoError(t, err)
	}
	c, err := envelope.NewFromManager(manager, &opts)
	require.NoError(t, err)
	return c
}

func (o ours) encrypt(t *testing.T, c exchange, plaintext []byte) ([]byte, error) {
	client := o.client(t, envelope.Options{Suite: c.suite, CommitmentPolicy: c.writerPolicy, FrameLength: c.frameLen}, c.required)
	if !o.streams {
		return client.Encrypt(t.Context(), plaintext, c.context)
	}
	var msg bytes.Buffer
	w, err := client.NewWriter(t.Context(), &msg, c.context)
	if err != nil {
		return nil, err
	}
	if _, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(plaintext))); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return msg.Bytes(), nil
}

func (o ours) decrypt(t *testing.T, c exchange, msg []byte) ([]byte, error) {
	client := o.client(t, envelope.Options{CommitmentPolicy: c.readerPolicy}, c.required)
	if !o.streams {
		return client.Decrypt(t.Context(), msg, c.reproduced)
	}
	r, err := client.NewReader(t.Context(), iotest.HalfReader(bytes.NewReader(msg)), c.reproduced)
	if err != nil {
		return nil, err
	}
	var plaintext bytes.Buffer
	if _, err := r.WriteTo(&plaintext); err != nil {
		return nil, err
	}
	return plaintext.Bytes(), nil
}
