package hierarchy

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/testvectors/vectors"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
)

const version = "01234567-89ab-4cde-8f01-23456789abcd"

func run(t *testing.T, path string) (*vectors.Totals, string) {
	totals := vectors.NewTotals()
	var out bytes.Buffer
	require.NoError(t, vectors.Run(t.Context(), &out, totals, path, false, New))
	return totals, out.String()
}

// TestAWS opens AWS's messages, 5 of which are under a branch key.
func TestAWS(t *testing.T) {
	path := "../../../../shared/vectors/esdk-manifest-v5/manifest.json"
	if _, err := os.Stat(path); err != nil {
		t.Skipf("AWS's test vectors are not here: %v", err)
	}
	totals, out := run(t, path)
	assert.Empty(t, out)
	assert.Equal(t, &vectors.Totals{Passed: 134, Skipped: map[string]int{
		"aws-kms": 9, "aws-kms-ecdh": 39, "aws-kms-mrk-aware": 25, "aws-kms-mrk-aware-discovery": 22, "aws-kms-rsa": 9,
	}}, totals)
}

// TestManifest has a message of our own, and other branch keys than wrapped it.
func TestManifest(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	store := branchkeytest.NewPlaintextStoreForTests()
	require.NoError(t, store.Add("id", version, key, nil))
	k, err := branchkey.New(branchkey.Config{KeyStore: store.KeyStore(), ID: "id", Limits: cache.Limits{MaxAge: time.Hour}})
	require.NoError(t, err)
	defer k.Close()
	client, err := envelope.New(k, nil)
	require.NoError(t, err)
	msg, err := client.Encrypt(t.Context(), []byte("plaintext"), nil)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		key  string
		want vectors.Totals
		says string
	}{
		"branch key":      {`"key-id":"id","branchKeyVersion":"` + version + `","branchKey":"` + base64.StdEncoding.EncodeToString(key) + `"`, vectors.Totals{Passed: 1}, ""},
		"another ID":      {`"key-id":"other","branchKeyVersion":"` + version + `","branchKey":"` + base64.StdEncoding.EncodeToString(key) + `"`, vectors.Totals{Failed: 1}, "not wrapped by this key"},
		"another version": {`"key-id":"id","branchKeyVersion":"1` + version[1:] + `","branchKey":"` + base64.StdEncoding.EncodeToString(key) + `"`, vectors.Totals{Failed: 1}, "no such version"},
		"another key":     {`"key-id":"id","branchKeyVersion":"` + version + `","branchKey":"` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `"`, vectors.Totals{Failed: 1}, "does not authenticate"},
		"in a table":      {`"key-id":"id"`, vectors.Totals{Skipped: map[string]int{"aws-kms-hierarchy": 1}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range map[string]string{
				"keys.json": `{"keys":{"k":{` + c.key + `}}}`, "msg": string(msg), "plaintext": "plaintext",
				"manifest.json": `{"manifest":{"type":"awses-decrypt","version":5},"keys":"file://keys.json","tests":{"t":{"decryption-scenario":` +
					`{"type":"positive-esdk","ciphertext":"file://msg","result":"file://plaintext","decryptKeyDescription":{"type":"aws-kms-hierarchy","key":"k"}}}}}`,
			} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644))
			}
			totals, out := run(t, filepath.Join(dir, "manifest.json"))
			if c.want.Skipped == nil {
				c.want.Skipped = map[string]int{}
			}
			assert.Equal(t, &c.want, totals, out)
			assert.Contains(t, out, c.says)
		})
	}
}
