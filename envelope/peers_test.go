package envelope_test

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/peerkey"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// Messages that AWS's other SDKs wrote. See testdata/peers/README.md.
//
//go:embed testdata/peers/*.json
var peerFiles embed.FS

// peerMessages is a file of them.
type peerMessages struct {
	Peer, Version string
	Keys          map[string]*peerkey.Spec
	Messages      []peerMessage
}

type peerMessage struct {
	Name                 string
	Suite                keyring.Suite
	Frame, Size, Wrapped int
	Context              keyring.EncryptionContext
	Required             []string
	Key                  string
	Message              []byte
}

// plaintext is what is in the message: bytes that count up and begin again after 250.
func (m peerMessage) plaintext() []byte {
	b := make([]byte, m.Size)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// TestPeers decrypts what AWS's SDKs in other languages wrote, and refuses what was altered.
func TestPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("verifies hundreds of signatures")
	}
	files, err := peerFiles.ReadDir("testdata/peers")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		b, err := peerFiles.ReadFile("testdata/peers/" + f.Name())
		require.NoError(t, err)
		var peer peerMessages
		require.NoError(t, json.Unmarshal(b, &peer))
		t.Run(peer.Peer+" "+peer.Version, func(t *testing.T) {
			require.Greater(t, len(peer.Messages), 90)
			keys, suites := map[string]keyring.Decrypter{}, map[keyring.Suite]bool{}
			for name, k := range peer.Keys {
				keys[name], err = k.Open(nil)
				require.NoError(t, err)
			}
			for i, m := range peer.Messages {
				suites[m.Suite] = true
				d, err := envelope.NewDecrypter(keys[m.Key], optionsFor(m.Suite, 0))
				require.NoError(t, err)
				t.Run(fmt.Sprintf("%d %04X %s, %s", i, uint16(m.Suite), m.Name, m.Key), func(t *testing.T) {
					m.check(t, &envelope.Client{Decrypter: d})
					if i%15 == 0 && peer.Keys[m.Key].Kind != "raw-rsa" { // which takes long
						m.alter(t, d)
					}
				})
			}
			assert.Len(t, suites, len(suite.All()), "not all suites")
		})
	}
}

// check reads a message, and its header.
func (m peerMessage) check(t *testing.T, c *envelope.Client) {
	decryptsTo(t, c, m.Message, m.plaintext(), m.Context)
	if m.Frame > 0 && !m.Suite.Signs() {
		r, err := c.NewReaderAt(t.Context(), bytes.NewReader(m.Message), int64(len(m.Message)), m.Context)
		require.NoError(t, err)
		got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		require.NoError(t, err)
		require.True(t, bytes.Equal(m.plaintext(), got), "ReaderAt")
	}

	h, err := envelope.ParseHeader(bytes.NewReader(m.Message), nil)
	require.NoError(t, err)
	assert.Equal(t, m.Suite, h.Suite)
	assert.Equal(t, m.Frame, h.FrameLength)
	assert.Len(t, h.EncryptedDataKeys, m.Wrapped)
	stored := maps.Clone(m.Context)
	for _, k := range m.Required {
		delete(stored, k)
	}
	assert.Equal(t, m.Suite.Signs(), h.Context["aws-crypto-public-key"] != "")
	delete(h.Context, "aws-crypto-public-key")
	assert.True(t, maps.Equal(stored, h.Context), "another context is stored")

	if len(m.Required) > 0 {
		decryptFails(t, c, m.Message, m.plaintext(), nil, envelope.ErrAuthentication, keyring.ErrNoMatchingKey)
	}
	for k, v := range m.Context {
		wrong := maps.Clone(m.Context)
		wrong[k] = v + "x"
		decryptFails(t, c, m.Message, m.plaintext(), wrong, keyring.ErrContextMismatch)
		break // one will do
	}
}

// alter has each beginning of a message refused, and the message with a bit of each byte
// changed, or with a byte behind it.
func (m peerMessage) alter(t *testing.T, d *envelope.Decrypter) {
	refused := func(msg []byte, what string, i int) {
		for _, way := range []string{"Decrypt", "WriteTo"} {
			got, err := decryptWays[way](t.Context(), d, msg, m.Context)
			require.Error(t, err, "%s, %d: %s", what, i, way)
			require.NotEqual(t, "other", envelope.ErrorKind(err), "%s, %d: %s: %v", what, i, way, err)
			require.True(t, bytes.HasPrefix(m.plaintext(), got), "%s, %d: %s released something else", what, i, way)
		}
	}
	refused(append(bytes.Clone(m.Message), 0), "longer", 1)
	for i := range m.Message {
		refused(m.Message[:i], "cut short", i)
		altered := bytes.Clone(m.Message)
		altered[i] ^= 1 << (i % 8)
		refused(altered, "altered", i)
	}
}
