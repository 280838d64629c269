package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
)

// files is a directory with a key and a file to encrypt.
type files struct{ dir, key, plain, sealed, opened string }

func newFiles(t *testing.T, size int) files {
	dir := t.TempDir()
	f := files{dir, filepath.Join(dir, "key"), filepath.Join(dir, "plain"), filepath.Join(dir, "sealed"), filepath.Join(dir, "opened")}
	require.NoError(t, run(t.Context(), []string{"keygen", f.key}, io.Discard))
	content := make([]byte, size)
	rand.Read(content)
	require.NoError(t, os.WriteFile(f.plain, content, 0o600))
	return f
}

// names returns what is in the directory.
func (f files) names(t *testing.T) []string {
	entries, err := os.ReadDir(f.dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, 1 << 20} {
		f := newFiles(t, size)
		require.NoError(t, run(t.Context(), []string{"encrypt", "-key", f.key, "-context", "a=b=c", f.plain, f.sealed}, io.Discard))
		require.NoError(t, run(t.Context(), []string{"decrypt", "-key", f.key, "-context", "a=b=c", f.sealed, f.opened}, io.Discard))
		want, err := os.ReadFile(f.plain)
		require.NoError(t, err)
		got, err := os.ReadFile(f.opened)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got))
		assert.Equal(t, []string{"key", "opened", "plain", "sealed"}, f.names(t))
	}
}

func TestKeyFromEnvironment(t *testing.T) {
	f := newFiles(t, 1000)
	key, err := os.ReadFile(f.key)
	require.NoError(t, err)
	t.Setenv(keyEnv, string(key))
	require.NoError(t, run(t.Context(), []string{"encrypt", f.plain, f.sealed}, io.Discard))
	require.NoError(t, run(t.Context(), []string{"decrypt", "-key", f.key, f.sealed, f.opened}, io.Discard))
}

func TestFailuresLeaveNothing(t *testing.T) {
	f := newFiles(t, 1<<20)
	require.NoError(t, run(t.Context(), []string{"encrypt", "-key", f.key, "-context", "a=b", f.plain, f.sealed}, io.Discard))
	sealed, err := os.ReadFile(f.sealed)
	require.NoError(t, err)
	before := f.names(t)

	decrypt := []string{"decrypt", "-key", f.key, f.sealed, f.opened}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(cancelled, decrypt, io.Discard), context.Canceled)
	require.ErrorIs(t, run(t.Context(), []string{"decrypt", "-key", f.key, "-context", "a=c", f.sealed, f.opened}, io.Discard),
		envelope.ErrContextMismatch)

	require.NoError(t, os.WriteFile(f.sealed, sealed[:len(sealed)-1], 0o600))
	require.ErrorIs(t, run(t.Context(), decrypt, io.Discard), io.ErrUnexpectedEOF)
	sealed[len(sealed)/2] ^= 1
	require.NoError(t, os.WriteFile(f.sealed, sealed, 0o600))
	require.ErrorIs(t, run(t.Context(), decrypt, io.Discard), envelope.ErrAuthentication)
	require.ErrorIs(t, run(t.Context(), []string{"decrypt", "-key", f.key, f.dir + "/none", f.opened}, io.Discard), fs.ErrNotExist)
	assert.Equal(t, before, f.names(t))
}

func TestDoesNotReplace(t *testing.T) {
	f := newFiles(t, 1000)
	encrypt := []string{"encrypt", "-key", f.key, f.plain, f.sealed}
	require.NoError(t, run(t.Context(), encrypt, io.Discard))
	require.ErrorIs(t, run(t.Context(), encrypt, io.Discard), fs.ErrExist)
	require.NoError(t, run(t.Context(), append([]string{"encrypt", "-force"}, encrypt[1:]...), io.Discard))
	require.ErrorIs(t, run(t.Context(), []string{"keygen", f.key}, io.Discard), fs.ErrExist)
}

func TestBadArguments(t *testing.T) {
	f := newFiles(t, 10)
	bad := filepath.Join(f.dir, "bad")
	secret := base64.StdEncoding.EncodeToString([]byte("a secret that is too short"))
	require.NoError(t, os.WriteFile(bad, []byte(secret), 0o600))
	for name, args := range map[string][]string{
		"unknown command":   {"compress"},
		"keygen, no file":   {"keygen"},
		"no files":          {"encrypt", "-key", f.key},
		"three files":       {"encrypt", "-key", f.key, f.plain, f.sealed, "c"},
		"unknown flag":      {"encrypt", "-fast", f.plain, f.sealed},
		"context, no value": {"encrypt", "-key", f.key, "-context", "a", f.plain, f.sealed},
		"context twice":     {"encrypt", "-key", f.key, "-context", "a=1", "-context", "a=2", f.plain, f.sealed},
		"no key":            {"encrypt", f.plain, f.sealed},
		"missing key file":  {"encrypt", "-key", f.dir + "/none", f.plain, f.sealed},
		"bad key":           {"encrypt", "-key", bad, f.plain, f.sealed},
	} {
		err := run(t.Context(), args, io.Discard)
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), secret)
	}
}

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("the demo encrypts 256 MiB")
	}
	var out bytes.Buffer
	require.NoError(t, demo(t.Context(), &out, io.Discard))
	assert.Contains(t, out.String(), "equal")
}
