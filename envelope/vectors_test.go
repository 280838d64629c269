package envelope_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/testvectors/vectors"
	"github.com/go-sealring/sealring/keyring"
)

// vectorsDir is where the vectors lie beside a checkout: see the contributor
// notes in ARCHITECTURE.md.
const vectorsDir = "../../shared/vectors"

func vectorFile(t *testing.T, name string) string {
	if _, err := os.Stat(vectorsDir); errors.Is(err, os.ErrNotExist) {
		t.Skipf("AWS's test vectors are not at %s", vectorsDir)
	}
	return filepath.Join(vectorsDir, name)
}

// eachBatchLen runs a test as users run the package, and with batches so short
// that the vectors take the ways of long messages.
func eachBatchLen(t *testing.T, test func(t *testing.T)) {
	for _, n := range []int{envelope.BatchLen, 64} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			shortBatches(t, n)
			test(t)
		})
	}
}

func runVectors(t *testing.T, path string, wantError bool, want *vectors.Totals) {
	eachBatchLen(t, func(t *testing.T) {
		got := vectors.NewTotals()
		var out bytes.Buffer
		require.NoError(t, vectors.Run(t.Context(), &out, got, path, wantError, nil))
		assert.Empty(t, out.String())
		assert.Equal(t, want, got)
	})
}

func TestManifestV5(t *testing.T) {
	runVectors(t, vectorFile(t, "esdk-manifest-v5/manifest.json"), false, &vectors.Totals{
		// raw 40, raw-ecdh 41, multi-keyring 22, required-encryption-context-cmm 26
		Passed: 129,
		Skipped: map[string]int{
			"aws-kms": 9, "aws-kms-ecdh": 39, "aws-kms-hierarchy": 5, "aws-kms-mrk-aware": 25,
			"aws-kms-mrk-aware-discovery": 22, "aws-kms-rsa": 9,
		},
	})
}

func TestManifestV4(t *testing.T) {
	runVectors(t, vectorFile(t, "valid-Net-4.0.0/manifest.json"), false, &vectors.Totals{Passed: 5, Skipped: map[string]int{}})
}

func TestManifestInvalid(t *testing.T) {
	path := vectorFile(t, "invalid-Net-4.0.0/manifest.json")
	runVectors(t, path, true, &vectors.Totals{Passed: 28, Skipped: map[string]int{}})

	// The runner must be able to fail.
	totals := vectors.NewTotals()
	var out bytes.Buffer
	require.NoError(t, vectors.Run(t.Context(), &out, totals, path, false, nil))
	assert.Equal(t, 28, totals.Failed)
	assert.False(t, totals.OK())
	assert.Equal(t, 28, strings.Count(out.String(), "FAIL "))
	valid := vectorFile(t, "valid-Net-4.0.0/manifest.json")
	require.NoError(t, vectors.Run(t.Context(), &out, totals, valid, true, nil))
	assert.Equal(t, 33, totals.Failed)
}

// dataKey is a keyring that hands out one data key.
type dataKey []byte

func (k dataKey) OnDecrypt(_ context.Context, m *keyring.DecryptionMaterials, _ []keyring.EncryptedDataKey) error {
	m.DataKey = bytes.Clone(k)
	return nil
}

// TestCommitment runs the key-commitment cases, which come with their data keys.
func TestCommitment(t *testing.T) { eachBatchLen(t, testCommitment) }

func testCommitment(t *testing.T) {
	var file struct {
		Tests []struct {
			Comment    string
			Ciphertext []byte
			DataKey    []byte                    `json:"decrypted-dek"`
			Context    keyring.EncryptionContext `json:"encryption-context"`
			Frames     []string                  `json:"plaintext-frames"`
			Status     bool
		}
	}
	b, err := os.ReadFile(vectorFile(t, "commitment-test-vectors.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &file))
	require.Len(t, file.Tests, 46)
	var passed, nonFramed int
	for _, c := range file.Tests {
		t.Run(c.Comment, func(t *testing.T) {
			client, err := envelope.NewDecrypter(dataKey(c.DataKey), nil)
			require.NoError(t, err)
			h, err := envelope.ParseHeader(bytes.NewReader(c.Ciphertext), nil)
			require.NoError(t, err)
			if h.FrameLength == 0 {
				nonFramed++
			}
			if c.Status {
				passed++
			}
			for way, decrypt := range decryptWays {
				got, err := decrypt(t.Context(), client, c.Ciphertext, c.Context)
				if !c.Status {
					require.ErrorIs(t, err, envelope.ErrCommitment, way)
					require.Empty(t, got)
					continue
				}
				require.NoError(t, err, way)
				require.Equal(t, strings.Join(c.Frames, ""), string(got), way)
			}
		})
	}
	assert.Equal(t, 41, passed)
	assert.Equal(t, 7, nonFramed)
}
