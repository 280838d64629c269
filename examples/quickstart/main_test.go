package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("line\n"), 10_000), 0o600))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, path))
	for _, says := range []string{
		"50000 bytes", "in memory", "as a stream", "equal", "key commitment", `key "key-1"`, "frame length  4096",
		"wrong context  envelope: decrypt:", "flipped byte   envelope: decrypt:", "truncated      envelope: decrypt:",
	} {
		assert.Contains(t, out.String(), says)
	}
}

func TestDefaultInput(t *testing.T) {
	path, err := inputPath(nil)
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err)
}

func TestNoSuchFile(t *testing.T) {
	require.ErrorIs(t, run(t.Context(), &bytes.Buffer{}, filepath.Join(t.TempDir(), "none")), os.ErrNotExist)
}
