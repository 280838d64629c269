package sqlstoretest

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// mariadb is a MariaDB server that ends with the test binary.
type mariadb struct {
	dir string
	cmd *exec.Cmd
	dsn string
}

var errNoMariaDB = errors.New("MariaDB is not installed, and SEALRING_TEST_MYSQL is not set")

// startMariaDB starts a server once. It listens on a socket in a temporary directory alone.
var startMariaDB = sync.OnceValues(func() (*mariadb, error) {
	path := os.Getenv("PATH") + string(os.PathListSeparator) + "/usr/sbin"
	find := func(name string) string {
		for _, dir := range filepath.SplitList(path) {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return filepath.Join(dir, name)
			}
		}
		return ""
	}
	server, install := find("mariadbd"), find("mariadb-install-db")
	if server == "" || install == "" {
		return nil, errNoMariaDB
	}
	dir, err := os.MkdirTemp("", "mariadb")
	if err != nil {
		return nil, err
	}
	m := &mariadb{dir: dir}
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "s")
	options := []string{"--no-defaults", "--datadir=" + data}
	if os.Getuid() == 0 {
		options = append(options, "--user=root")
	}
	if out, err := exec.Command(install, append(options, "--auth-root-authentication-method=normal")...).CombinedOutput(); err != nil {
		m.end()
		return nil, fmt.Errorf("%s: %w: %s", install, err, out)
	}
	m.cmd = exec.Command(server, append(options, "--socket="+socket, "--skip-networking", "--pid-file="+filepath.Join(dir, "pid"))...)
	if err := m.cmd.Start(); err != nil {
		m.end()
		return nil, err
	}
	m.dsn = "root@unix(" + socket + ")/"
	db, err := sql.Open("mysql", m.dsn)
	if err != nil {
		m.end()
		return nil, err
	}
	defer db.Close()
	for range 3000 { // five minutes, on a machine that is busy
		if err = db.Ping(); err == nil {
			_, err = db.Exec("CREATE DATABASE sqlstoretest")
			m.dsn += "sqlstoretest"
			return m, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	m.end()
	return nil, err
})

func (m *mariadb) end() {
	if m.cmd != nil && m.cmd.Process != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
	}
	_ = os.RemoveAll(m.dir)
}

var mariadbUsed bool

// mysqlDSN returns how to connect to a database of MySQL or MariaDB, or skips the test.
func mysqlDSN(t *testing.T) string {
	if dsn := os.Getenv("SEALRING_TEST_MYSQL"); dsn != "" {
		return dsn
	}
	m, err := startMariaDB()
	if errors.Is(err, errNoMariaDB) && os.Getenv("CI") != "true" && os.Getenv("SEALRING_MARIADB") != "required" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	mariadbUsed = true
	return m.dsn
}

func TestMain(m *testing.M) {
	code := m.Run()
	if mariadbUsed {
		if server, err := startMariaDB(); err == nil {
			server.end()
		}
	}
	os.Exit(code)
}
