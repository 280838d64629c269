package envelope_test

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

//go:embed testdata/python/messages.json
var pythonMessages []byte

// TestPython decrypts what AWS's Encryption SDK for Python wrote.
func TestPython(t *testing.T) {
	var messages []struct {
		Name            string                    `json:"name"`
		Suite           keyring.Suite             `json:"suite"`
		FrameLength     int                       `json:"frame_length"`
		PlaintextLength int                       `json:"plaintext_length"`
		Context         keyring.EncryptionContext `json:"context"`
		Required        []string                  `json:"required"`
		Message         []byte                    `json:"message"`
	}
	require.NoError(t, json.Unmarshal(pythonMessages, &messages))
	require.Len(t, messages, 5*11+3*3)
	for _, m := range messages {
		t.Run(fmt.Sprintf("%04X %s", uint16(m.Suite), m.Name), func(t *testing.T) {
			plaintext := make([]byte, m.PlaintextLength)
			for i := range plaintext {
				plaintext[i] = byte(i % 251)
			}
			c := newClient(t, optionsFor(m.Suite, 4096))
			decryptsTo(t, c, m.Message, plaintext, m.Context)

			h, err := envelope.ParseHeader(bytes.NewReader(m.Message), nil)
			require.NoError(t, err)
			assert.Equal(t, m.Suite, h.Suite)
			assert.Equal(t, m.FrameLength, h.FrameLength)
			stored := maps.Clone(m.Context)
			for _, k := range m.Required {
				delete(stored, k)
			}
			delete(h.Context, "aws-crypto-public-key")
			assert.Equal(t, len(stored), len(h.Context))
			for k, v := range stored {
				assert.Equal(t, v, h.Context[k])
			}

			if len(m.Required) > 0 {
				decryptFails(t, c, m.Message, plaintext, nil, envelope.ErrAuthentication, keyring.ErrNoMatchingKey)
			}
			for k, v := range m.Context {
				wrong := maps.Clone(m.Context)
				wrong[k] = v + "x"
				decryptFails(t, c, m.Message, plaintext, wrong, keyring.ErrContextMismatch)
			}
		})
	}
}
