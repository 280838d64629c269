package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const dir = "../../envelope/testdata/refused"

// TestWritesWhatIsThere makes all messages anew. It compares bytes, since one key and one
// nonce give the same ones everywhere.
func TestWritesWhatIsThere(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(dir, "messages.json"))
	require.NoError(t, err)
	var got bytes.Buffer
	require.NoError(t, write(&got, entries()))
	assert.True(t, bytes.Equal(want, got.Bytes()), "go run ./internal/refused > envelope/testdata/refused/messages.json")
}

// TestCasesDiffer holds that each case says what is wrong and is unlike every other.
func TestCasesDiffer(t *testing.T) {
	ids, contents, faults := map[string]bool{}, map[string]string{}, map[string]bool{}
	count := map[string]int{}
	for _, e := range entries() {
		assert.False(t, ids[e.ID], "%s stands twice", e.ID)
		ids[e.ID] = true
		count[e.Verdict]++
		assert.NotEmpty(t, e.Fault, e.ID)
		assert.Contains(t, wrapping, e.Key, e.ID)
		if e.Verdict == "refuse" {
			_, name, _ := strings.Cut(e.ID, "/")
			faults[name] = true
			assert.NotEmpty(t, e.Kind, e.ID)
			assert.NotEmpty(t, e.Spec, e.ID)
		}
		id := e.ID
		e.ID, e.Fault, e.Kind, e.Spec, e.Verdict, e.Plaintext = "", "", "", "", "", ""
		content, err := json.Marshal(e)
		require.NoError(t, err)
		assert.Empty(t, contents[string(content)], "%s is the same", id)
		contents[string(content)] = id
	}
	assert.Len(t, count, 3)
	assert.GreaterOrEqual(t, len(faults), 300, "each with one fault, and all different")
	assert.NotZero(t, count["open"], "a reader that refuses everything must fail")
}

// TestTable holds that the README has the table of the results.
func TestTable(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	text, err := table(filepath.Join(dir, "readers.json"), entries())
	require.NoError(t, err)
	assert.Contains(t, string(readme), "\n\n"+text, "go run ./internal/refused -table envelope/testdata/refused/readers.json")
}
