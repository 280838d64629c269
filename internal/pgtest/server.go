package pgtest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const superuser = "tester"

// A server is a running PostgreSQL.
type server struct {
	bin      string // the directory of the programs
	dir      string // all that the server writes
	port     int
	password string
	uid, gid int // of the user that it runs as, or -1 for our own

	alive io.Closer     // the server ends when it is closed, by us or by our end
	ended chan struct{} // closed when it has ended and dir is gone
}

// supervise runs the server until its standard input ends, as it does with the process
// that holds the other end, and removes what the server wrote. It ends as well when the
// server does. The arguments are the directory and the server's command. The signals that
// a terminal sends to all of a test run are left to the others.
const supervise = `
trap '' INT QUIT HUP
dir=$1
shift
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r _ <&3; kill -INT $server; } >/dev/null 2>&1 &
wait $server
kill $! 2>/dev/null
cd / && rm -rf "$dir"
`

// start returns a server that accepts connections.
func start() (*server, error) {
	bin, err := find(os.Getenv("PATH"), "/usr/lib/postgresql/*/bin")
	if err != nil {
		return nil, err
	}
	// Another program can take the port between its choice and its use.
	for range 3 {
		var s *server
		if s, err = startOnce(bin); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func startOnce(bin string) (*server, error) {
	s := &server{bin: bin, uid: -1, gid: -1, password: rand.Text(), ended: make(chan struct{})}
	var err error
	if os.Geteuid() == 0 { // whom PostgreSQL refuses to run as
		if s.uid, s.gid, err = unprivileged(); err != nil {
			return nil, err
		}
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "sealring-pgtest-"); err != nil {
		return nil, err
	}
	if err := s.initialise(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.run(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.waitUntilReady(); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		s.stop()
		return nil, fmt.Errorf("%w: %s", err, log)
	}
	return s, nil
}

// unprivileged returns the user and group to run the server as.
func unprivileged() (uid, gid int, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return uid, gid, nil
		}
	}
	return 0, 0, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

// initialise writes the directory that the server runs on.
func (s *server) initialise() error {
	if err := os.WriteFile(s.path("password"), []byte(s.password), 0o600); err != nil {
		return err
	}
	if s.uid >= 0 {
		for _, p := range []string{s.path("password"), s.dir} {
			if err := os.Chown(p, s.uid, s.gid); err != nil {
				return err
			}
		}
	}
	initdb := s.asUser(exec.Command(filepath.Join(s.bin, "initdb"),
		"--pgdata", s.path("data"), "--username", superuser, "--pwfile", s.path("password"),
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"))
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// run starts the server and what watches over it.
func (s *server) run() error {
	log, err := os.Create(s.path("log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := s.asUser(exec.Command("/bin/sh", "-c", supervise, "sh", s.dir,
		filepath.Join(s.bin, "postgres"), "-D", s.path("data"), "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"))
	cmd.Stdout, cmd.Stderr = log, log
	if s.alive, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(s.ended)
		_ = cmd.Wait() // the log says more
	}()
	return nil
}

// asUser has a command run as the server's user, in the server's directory, without the
// variables that PostgreSQL's programs obey.
func (s *server) asUser(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	if s.uid >= 0 {
		setUser(cmd, s.uid, s.gid)
	}
	return cmd
}

// command returns a call of a client program on the server.
func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(s.port),
		"PGUSER=" + superuser, "PGPASSWORD=" + s.password, "PGCONNECT_TIMEOUT=120",
	}
	return cmd
}

func (s *server) url(database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", superuser, s.password, s.port, database)
}

func (s *server) waitUntilReady() error {
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.ended:
			return errors.New("the server ended")
		default:
		}
		// The data directory tells that it is ours who answers on the port.
		pid, _ := os.ReadFile(s.path("data/postmaster.pid"))
		if bytes.Contains(pid, []byte("ready")) && s.command("pg_isready", "--quiet").Run() == nil {
			return nil
		}
		if time.Now().After(end) {
			return errors.New("the server was not ready within five minutes")
		}
	}
}

// stop ends the server and returns when it is gone.
func (s *server) stop() {
	_ = s.alive.Close()
	<-s.ended
}

// newestFirst sorts directories such as /usr/lib/postgresql/15/bin.
func newestFirst(dirs []string) []string {
	version := func(dir string) float64 {
		v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(dir)), 64) // 9.6 and before have a dot
		return v
	}
	slices.SortFunc(dirs, func(a, b string) int {
		switch va, vb := version(a), version(b); {
		case va > vb:
			return -1
		case va < vb:
			return 1
		}
		return strings.Compare(a, b)
	})
	return dirs
}

func stderrOf(err error) []byte {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.Stderr
	}
	return nil
}
