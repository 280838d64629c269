package pgtest

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startHere starts a server that the test itself stops.
func startHere(t *testing.T) *server {
	t.Helper()
	s, err := start()
	if err != nil {
		giveUp(t, err)
	}
	return s
}

func (s *server) query(t *testing.T, database, sql string) string {
	t.Helper()
	out, err := s.command("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", sql, s.url(database)).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

func assertGone(t *testing.T, dir, address string) {
	t.Helper()
	assert.NoDirExists(t, dir)
	_, err := net.Dial("tcp", address)
	assert.Error(t, err, "a server is listening")
}

func TestServer(t *testing.T) {
	s := startHere(t)
	assert.Equal(t, "1", s.query(t, "postgres", "SELECT 1"))
	for setting, want := range map[string]string{
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "server_encoding": "UTF8", "fsync": "off",
	} {
		assert.Equal(t, want, s.query(t, "postgres", "SHOW "+setting), setting)
	}
	wrong := s.command("psql", "--no-password", "--command", "SELECT 1", s.url("postgres"))
	wrong.Args[len(wrong.Args)-1] = strings.Replace(s.url("postgres"), s.password, "wrong", 1)
	out, err := wrong.CombinedOutput()
	require.Error(t, err, "a wrong password is let in")
	assert.Contains(t, string(out), "password authentication failed")

	s.stop()
	assertGone(t, s.dir, fmt.Sprintf("127.0.0.1:%d", s.port))
}

func TestDatabase(t *testing.T) {
	a, b := Database(t), Database(t)
	assert.NotEqual(t, a, b)
	_, name, _ := strings.Cut(a, "@")
	name, _, _ = strings.Cut(name[strings.Index(name, "/")+1:], "?")
	shared.query(t, name, "CREATE TABLE words (word text); INSERT INTO words VALUES ('plainly here')")
	assert.Contains(t, string(Dump(t, a)), "plainly here")
	assert.NotContains(t, string(Dump(t, b)), "words", "databases share a table")
}

const childVariable = "SEALRING_PGTEST_CHILD"

// TestChild is the process that TestServerEndsWithProcess kills.
func TestChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("not a child")
	}
	fmt.Printf("url %s %s\n", Database(t), shared.dir)
	time.Sleep(time.Hour)
}

// A server whose tests panicked, timed out or were killed ends all the same.
func TestServerEndsWithProcess(t *testing.T) {
	Database(t) // skips where there is nothing to test
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), childVariable+"=1")
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	var address, dir string
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "url" {
			u, err := url.Parse(fields[1])
			require.NoError(t, err)
			address, dir = u.Host, fields[2]
		}
	}
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	require.NotEmpty(t, dir, "the child started no server")
	require.Eventually(t, func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) }, 5*time.Minute, 20*time.Millisecond)
	assertGone(t, dir, address)
}

func TestFind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("PostgreSQL is not looked for on Windows")
	}
	root := t.TempDir()
	install := func(version string, names ...string) string {
		dir := filepath.Join(root, version, "bin")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		for _, name := range names {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o755))
		}
		return dir
	}
	pattern := filepath.Join(root, "*", "bin")

	_, err := find("", pattern)
	require.ErrorIs(t, err, errNotInstalled)

	install("9.6", programs...)
	newest := install("15", programs...)
	install("17", "psql", "pg_dump") // clients alone
	dir, err := find("", pattern)
	require.NoError(t, err)
	assert.Equal(t, newest, dir)

	elsewhere := install("elsewhere/local", programs...)
	links := filepath.Join(root, "links")
	require.NoError(t, os.Mkdir(links, 0o755))
	require.NoError(t, os.Symlink(filepath.Join(elsewhere, "postgres"), filepath.Join(links, "postgres")))
	dir, err = find(links, pattern)
	require.NoError(t, err)
	want, err := filepath.EvalSymlinks(elsewhere) // where the temporary directory is a link
	require.NoError(t, err)
	assert.Equal(t, want, dir, "that in PATH comes first")
}

// recorder is a test that notes how it was given up.
type recorder struct{ skipped, failed string }

func (r *recorder) Helper()                      {}
func (r *recorder) Name() string                 { return "recorder" }
func (r *recorder) Skip(args ...any)             { r.skipped = fmt.Sprint(args...) }
func (r *recorder) Fatalf(f string, args ...any) { r.failed = fmt.Sprintf(f, args...) }

func TestGiveUp(t *testing.T) {
	for name, c := range map[string]struct {
		ci, want      string
		err           error
		skips, failed bool
	}{
		"not installed":                  {err: errNotInstalled, skips: true},
		"not installed, in CI":           {err: errNotInstalled, ci: "true", failed: true},
		"not installed, though required": {err: errNotInstalled, want: "required", failed: true},
		"does not start":                 {err: assert.AnError, failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CI", c.ci)
			t.Setenv("SEALRING_POSTGRES", c.want)
			var r recorder
			giveUp(&r, c.err)
			assert.Equal(t, c.skips, r.skipped == "PostgreSQL is not installed", r.skipped)
			assert.Equal(t, c.failed, r.failed != "", r.failed)
		})
	}
}
