// Package pgtest gives tests a PostgreSQL server of their own.
//
// The server listens on a free port of 127.0.0.1, keeps its data in a temporary
// directory, and is started by the first call of [Database] in a test binary. It ends
// with the test binary, also with one that is killed, and the directory goes with it.
// Nothing is written with care for a crash: it is no place for data.
//
// Where PostgreSQL is not installed the test is skipped, unless the environment has
// CI=true or SEALRING_POSTGRES=required: then it fails. PostgreSQL is looked for in PATH
// and in /usr/lib/postgresql; on Windows it is not looked for.
package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// TB is what the package needs of a testing.TB.
type TB interface {
	Fatalf(format string, args ...any)
	Helper()
	Name() string
	Skip(args ...any)
}

var errNotInstalled = errors.New("PostgreSQL is not installed")

// shared is the server of this test binary.
var shared struct {
	sync.Mutex
	*server
	err   error
	count int // databases made
}

// Database returns how to connect to a new and empty database: a URL that pgx, lib/pq
// and psql take, with the name and the password of a superuser. Its encoding is UTF-8,
// its locale C. It is not dropped before the server ends. Database may be called from
// several tests at once.
func Database(t TB) (url string) {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = start()
	}
	if shared.err != nil {
		giveUp(t, shared.err)
		return ""
	}
	shared.count++
	name := fmt.Sprintf("test%d", shared.count)
	if out, err := shared.command("createdb", name).CombinedOutput(); err != nil {
		t.Fatalf("createdb for %s: %v: %s", t.Name(), err, out)
	}
	return shared.url(name)
}

// Dump returns what pg_dump writes of a database, as SQL. The options are pg_dump's,
// such as --inserts.
func Dump(t TB, url string, options ...string) []byte {
	t.Helper()
	shared.Lock()
	s := shared.server
	shared.Unlock()
	if s == nil {
		t.Fatalf("Dump before Database")
		return nil
	}
	out, err := s.command("pg_dump", append(options, url)...).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v: %s", err, stderrOf(err))
	}
	return out
}

func giveUp(t TB, err error) {
	t.Helper()
	if errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true" && os.Getenv("SEALRING_POSTGRES") != "required" {
		t.Skip(err)
		return
	}
	t.Fatalf("a PostgreSQL server for tests: %v", err)
}

// programs are those that a directory must have to be of use.
var programs = []string{"initdb", "postgres", "createdb", "pg_dump", "pg_isready"}

// find returns the directory of PostgreSQL's programs: that of the first postgres in
// the directories of path, or the newest in those that match pattern.
func find(path, pattern string) (string, error) {
	if runtime.GOOS == "windows" { // no shell to watch over the server
		return "", errNotInstalled
	}
	var dirs []string
	for _, dir := range filepath.SplitList(path) {
		// Where a link is in the path, the other programs are beside what it points at.
		if at, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil {
			dirs = append(dirs, filepath.Dir(at))
		}
	}
	installed, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	for _, dir := range append(dirs, newestFirst(installed)...) {
		if complete(dir) {
			return dir, nil
		}
	}
	return "", errNotInstalled
}

func complete(dir string) bool {
	for _, name := range programs {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}
