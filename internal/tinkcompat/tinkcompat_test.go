package tinkcompat

import (
	"bytes"
	"encoding/base64"
	"os/exec"
	"strings"
	"testing"

	oldaead "github.com/google/tink/go/aead"
	oldclear "github.com/google/tink/go/insecurecleartextkeyset"
	oldkeyset "github.com/google/tink/go/keyset"
	oldmac "github.com/google/tink/go/mac"
	tinkpb "github.com/google/tink/go/proto/tink_go_proto"
	oldtink "github.com/google/tink/go/tink"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/tinkaead"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/keyringtest"
	"github.com/go-sealring/sealring/keyring/tinkkeyring"
)

var context = keyring.EncryptionContext{"tenant": "42"}

func newHandle(t *testing.T, template *tinkpb.KeyTemplate) *oldkeyset.Handle {
	handle, err := oldkeyset.NewHandle(template)
	require.NoError(t, err)
	return handle
}

func newAEAD(t *testing.T, handle *oldkeyset.Handle) oldtink.AEAD {
	a, err := oldaead.New(handle)
	require.NoError(t, err)
	return a
}

func newKeyring(t *testing.T, name string, a tinkkeyring.AEAD) *tinkkeyring.Keyring {
	k, err := tinkkeyring.New("payments", name, a)
	require.NoError(t, err)
	return k
}

func newClient(t *testing.T, a tinkkeyring.AEAD) *envelope.Client {
	c, err := envelope.New(newKeyring(t, "kek", a), nil)
	require.NoError(t, err)
	return c
}

func encrypt(t *testing.T, c *envelope.Client, plaintext string) []byte {
	msg, err := c.Encrypt(t.Context(), []byte(plaintext), context)
	require.NoError(t, err)
	return msg
}

func decryptsTo(t *testing.T, c *envelope.Client, msg []byte, plaintext string) {
	t.Helper()
	got, err := c.Decrypt(t.Context(), msg, context)
	require.NoError(t, err)
	require.Equal(t, plaintext, string(got))
}

func TestConformance(t *testing.T) {
	for name, template := range map[string]*tinkpb.KeyTemplate{
		"AES256GCM":         oldaead.AES256GCMKeyTemplate(),
		"AES256GCMNoPrefix": oldaead.AES256GCMNoPrefixKeyTemplate(),
		"AES256CTRHMAC":     oldaead.AES256CTRHMACSHA256KeyTemplate(),
		"XChaCha20Poly1305": oldaead.XChaCha20Poly1305KeyTemplate(),
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeyring(t, "kek", newAEAD(t, newHandle(t, template)))
			other := newKeyring(t, "other", newAEAD(t, newHandle(t, template)))
			keyringtest.Run(t, keyringtest.Keyring{Encrypter: k, Decrypter: k, Stranger: other, ContextBound: true})
		})
	}
}

func TestMessages(t *testing.T) {
	c := newClient(t, newAEAD(t, newHandle(t, oldaead.AES256GCMKeyTemplate())))
	msg := encrypt(t, c, "plaintext")
	decryptsTo(t, c, msg, "plaintext")
	_, err := c.Decrypt(t.Context(), msg, keyring.EncryptionContext{"tenant": "43"})
	require.ErrorIs(t, err, envelope.ErrContextMismatch)
	_, err = newClient(t, newAEAD(t, newHandle(t, oldaead.AES256GCMKeyTemplate()))).Decrypt(t.Context(), msg, context)
	require.ErrorIs(t, err, envelope.ErrNoMatchingKey)
}

// TestMovedKeyset gives a keyset of the archived library to the new one, in a
// process of its own: each reads what was written with the other.
func TestMovedKeyset(t *testing.T) {
	for name, template := range map[string]*tinkpb.KeyTemplate{
		"AES256GCM":         oldaead.AES256GCMKeyTemplate(),
		"XChaCha20Poly1305": oldaead.XChaCha20Poly1305KeyTemplate(),
	} {
		t.Run(name, func(t *testing.T) {
			handle := newHandle(t, template)
			var stored, stderr bytes.Buffer
			require.NoError(t, oldclear.Write(handle, oldkeyset.NewBinaryWriter(&stored)))
			c := newClient(t, newAEAD(t, handle))

			cmd := exec.CommandContext(t.Context(), "go", "run", "./tinkv2")
			cmd.Stdin = strings.NewReader(base64.StdEncoding.EncodeToString(stored.Bytes()) + "\n" +
				base64.StdEncoding.EncodeToString(encrypt(t, c, "plaintext")) + "\n")
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.NoError(t, err, stderr.String())
			msg, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(out)))
			require.NoError(t, err)
			decryptsTo(t, c, msg, "plaintext")
		})
	}
}

func TestRotation(t *testing.T) {
	before := newHandle(t, oldaead.AES256GCMKeyTemplate())
	old := encrypt(t, newClient(t, newAEAD(t, before)), "old")

	manager := oldkeyset.NewManagerFromHandle(before)
	oldID := before.KeysetInfo().GetPrimaryKeyId()
	newID, err := manager.Add(oldaead.XChaCha20Poly1305KeyTemplate())
	require.NoError(t, err)
	require.NoError(t, manager.SetPrimary(newID))
	handle, err := manager.Handle()
	require.NoError(t, err)
	rotated := newClient(t, newAEAD(t, handle))
	decryptsTo(t, rotated, old, "old")
	msg := encrypt(t, rotated, "new")

	require.NoError(t, manager.Delete(oldID))
	handle, err = manager.Handle()
	require.NoError(t, err)
	retired := newClient(t, newAEAD(t, handle))
	decryptsTo(t, retired, msg, "new")
	_, err = retired.Decrypt(t.Context(), old, context)
	require.ErrorIs(t, err, envelope.ErrNoMatchingKey)
}

// TestClientAsArchivedAEAD hands the client to the archived library.
func TestClientAsArchivedAEAD(t *testing.T) {
	kr, err := keyring.NewRawAES("payments", "kek", bytes.Repeat([]byte{1}, 32))
	require.NoError(t, err)
	var a oldtink.AEAD
	a, err = tinkaead.New(kr, nil)
	require.NoError(t, err)

	handle := newHandle(t, oldmac.HMACSHA256Tag256KeyTemplate())
	var stored bytes.Buffer
	require.NoError(t, handle.WriteWithAssociatedData(oldkeyset.NewBinaryWriter(&stored), a, []byte("mac")))
	read, err := oldkeyset.ReadWithAssociatedData(oldkeyset.NewBinaryReader(&stored), a, []byte("mac"))
	require.NoError(t, err)
	require.Equal(t, handle.String(), read.String())
}
