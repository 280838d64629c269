package envelope_test

import (
	_ "embed"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

//go:embed testdata/refused/messages.json
var refusedMessages []byte

// TestRefused opens messages of which each has one fault. testdata/refused/README.md says
// what their fields mean.
func TestRefused(t *testing.T) {
	var manifest struct {
		Keys map[string]struct {
			Namespace, Name string
			Key             []byte
		}
		Cases []struct {
			ID, Verdict, Kind, Key, Policy, Plaintext string
			Context                                   keyring.EncryptionContext
			MaxKeys                                   int `json:"max_keys"`
			Message                                   []byte
		}
	}
	require.NoError(t, json.Unmarshal(refusedMessages, &manifest))
	policies := map[string]keyring.CommitmentPolicy{"require": keyring.RequireEncryptRequireDecrypt, "allow": keyring.RequireEncryptAllowDecrypt}
	for _, c := range manifest.Cases {
		t.Run(c.ID, func(t *testing.T) {
			key, policy := manifest.Keys[c.Key], policies[c.Policy]
			k, err := keyring.NewRawAES(key.Namespace, key.Name, key.Key)
			require.NoError(t, err)
			d, err := envelope.NewDecrypter(k, &envelope.Options{CommitmentPolicy: policy, MaxEncryptedDataKeys: c.MaxKeys})
			require.NoError(t, err)
			for way, decrypt := range decryptWays {
				plaintext, err := decrypt(t.Context(), d, c.Message, c.Context)
				switch {
				case c.Verdict == "refuse", c.Verdict == "either" && err != nil:
					assert.Equal(t, c.Kind, envelope.ErrorKind(err), "%s: %v", way, err)
				case assert.NoError(t, err, way):
					assert.Equal(t, c.Plaintext, string(plaintext), way)
				}
			}
		})
	}
}
