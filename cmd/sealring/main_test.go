package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/mototest"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sealring": main,
		// sealring where no file can do without a name until it is whole.
		"sealring-named": func() {
			openUnnamed = func(string) *os.File { return nil }
			main()
		},
		// sealring where no file is replaced that is open, as in Windows. It runs in Linux.
		"sealring-strict": func() {
			rename = renameClosed
			main()
		},
	})
}

func renameClosed(from, to string) error {
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return err
	}
	for _, fd := range open {
		if name, err := os.Readlink(fd); err == nil && filepath.Base(name) == filepath.Base(to) {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: errors.New("it is open")}
		}
	}
	return os.Rename(from, to)
}

const region = "us-east-1"

// TestScripts runs testdata/script. Beside what package testscript has, scripts have these
// commands:
//
//	fails CODE PROGRAM...        PROGRAM ends with that exit code, and wrote nothing to standard output
//	fails-late CODE PROGRAM...   the same, and there may be output
//	size FILE BYTES              FILE, or stdout, is that long
//	begins FILE WHOLE            FILE, or stdout, is how WHOLE begins, and not all of it
//	random FILE BYTES            makes a file
//	alter FILE OFFSET            changes a byte; a negative offset counts from the end
//	cut FILE BYTES               cuts a file short by so many
//	holds DIR NAME...            DIR has these entries, hidden ones too, and no others
//	ended SIGNAL BYTES PROGRAM...
//	                             sends SIGNAL once PROGRAM has read about BYTES of an input that goes on
//	killed-at-end INPUT WHOLE PROGRAM...
//	                             kills PROGRAM when it was given all of INPUT, and sees that its -o
//	                             is not there, or as long as WHOLE
//	kms                          starts a KMS with a key, $KMS_KEY
//	kms-deny OPERATION           has it refuse, and kms-down has it gone
//	moto                         starts moto for DynamoDB, or skips the script
//	s3                           starts an S3 with the buckets one and two
//	s3-answers STATUS CODE       has S3 answer each request so
//	s3-cuts FILE BYTES           has S3 send so much of FILE for each object, and no more
//	proxy                        has the go command find this repository's modules
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails":         fails,
			"fails-late":    failsLate,
			"size":          size,
			"begins":        begins,
			"random":        random,
			"alter":         alter,
			"cut":           cut,
			"holds":         holds,
			"ended":         ended,
			"killed-at-end": killedAtEnd,
			"kms":           startKMS,
			"kms-deny":      denyKMS,
			"kms-down":      downKMS,
			"moto":          startMoto,
			"proxy":         serveModules,
			"s3":            startS3,
			"s3-answers":    s3Answers,
			"s3-cuts":       s3Cuts,
		},
	})
}

// A world is what belongs to one script.
type world struct {
	t   testscript.T
	kms *kmstest.Server
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// setup makes two keys, $KEY, which is the one that $SEALRING_KEY names, and $OTHER.
func setup(e *testscript.Env) error {
	e.Values[worldKey{}] = &world{t: e.T()}
	for _, name := range []string{"key", "other"} {
		key := make([]byte, 32)
		rand.Read(key)
		path := filepath.Join(e.WorkDir, ".keys", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600); err != nil {
			return err
		}
		e.Setenv(strings.ToUpper(name), "raw-aes:?namespace=tests&name="+name+"&file="+filepath.ToSlash(path))
	}
	e.Setenv("SEALRING_KEY", e.Getenv("KEY"))
	manual, err := filepath.Abs("sealring.1")
	if err != nil {
		return err
	}
	e.Setenv("MANUAL", manual)
	e.Setenv("ESC", "\x1b") // a script cannot write it
	e.Setenv("CSI", "\u009b")
	e.Setenv("AWS_ACCESS_KEY_ID", "example")
	e.Setenv("AWS_SECRET_ACCESS_KEY", "example")
	e.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	e.Setenv("AWS_MAX_ATTEMPTS", "1")
	return nil
}

func fails(ts *testscript.TestScript, neg bool, args []string) {
	failsLate(ts, neg, args)
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("standard output has %d bytes", len(out))
	}
}

func failsLate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails CODE PROGRAM...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); !errors.As(err, &exit) {
		ts.Fatalf("no exit code: %v", err)
	}
	if exit.ExitCode() != want {
		ts.Fatalf("exit code %d, want %d", exit.ExitCode(), want)
	}
}

func size(ts *testscript.TestScript, _ bool, args []string) {
	if n := strconv.Itoa(len(ts.ReadFile(args[0]))); n != args[1] {
		ts.Fatalf("%s has %s bytes", args[0], n)
	}
}

func begins(ts *testscript.TestScript, _ bool, args []string) {
	part, whole := ts.ReadFile(args[0]), ts.ReadFile(args[1])
	if len(part) == len(whole) || !strings.HasPrefix(whole, part) {
		ts.Fatalf("%d bytes are not how %d bytes begin", len(part), len(whole))
	}
}

func random(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := make([]byte, n)
	rand.Read(b)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

func alter(ts *testscript.TestScript, _ bool, args []string) {
	b := []byte(ts.ReadFile(args[0]))
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

func cut(ts *testscript.TestScript, _ bool, args []string) {
	b := ts.ReadFile(args[0])
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b[:len(b)-n]), 0o600))
}

func holds(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := slices.Sorted(slices.Values(args[1:])); !slices.Equal(names, want) {
		ts.Fatalf("%s holds %q, want %q", args[0], names, want)
	}
}

// command returns a program that runs as one of the script.
func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	path, err := exec.LookPath(args[0]) // testscript.Main has put it on the PATH
	ts.Check(err)
	c := exec.Command(path, args[1:]...)
	c.Dir = ts.MkAbs(".")
	c.Env = os.Environ()
	for _, name := range []string{"SEALRING_KEY", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		c.Env = append(c.Env, name+"="+ts.Getenv(name))
	}
	return c
}

var signals = map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}

func ended(ts *testscript.TestScript, _ bool, args []string) {
	signal := signals[args[0]]
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	c := command(ts, args[2:])
	stdin, err := c.StdinPipe()
	ts.Check(err)
	var said strings.Builder
	c.Stderr = &said
	ts.Check(c.Start())
	// The pipe holds 64 KiB in Linux, so that nearly all was read when this returns.
	_, err = stdin.Write(make([]byte, n))
	ts.Check(err)
	ts.Check(c.Process.Signal(signal))
	err = c.Wait()
	stdin.Close()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		ts.Fatalf("not ended by the signal: %v", err)
	}
	if code := exit.ExitCode(); n > 0 && signal != syscall.SIGKILL && code != 128+int(signal) {
		ts.Fatalf("exit code %d: %s", code, said.String())
	}
}

func killedAtEnd(ts *testscript.TestScript, _ bool, args []string) {
	input, whole := ts.ReadFile(args[0]), ts.ReadFile(args[1])
	for range 20 {
		dir, err := os.MkdirTemp(ts.MkAbs("."), "killed")
		ts.Check(err)
		out := filepath.Join(dir, "out")
		c := command(ts, append(slices.Clone(args[2:]), "-o", out))
		stdin, err := c.StdinPipe()
		ts.Check(err)
		ts.Check(c.Start())
		_, err = io.WriteString(stdin, input)
		ts.Check(err)
		ts.Check(stdin.Close())
		ts.Check(c.Process.Kill())
		_ = c.Wait() // it may have been done before
		switch info, err := os.Stat(out); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			ts.Fatalf("%v", err)
		case info.Size() != int64(len(whole)):
			ts.Fatalf("there is a part: %d bytes", info.Size())
		}
	}
}

func startKMS(ts *testscript.TestScript, _ bool, _ []string) {
	s, err := kmstest.New(kmstest.Config{Regions: []string{region}})
	ts.Check(err)
	ts.Defer(s.Close)
	ts.Setenv("KMS_KEY", s.CreateKey(region, kmstest.SymmetricDefault))
	ts.Setenv("MRK_KEY", s.CreateMultiRegionKey(region, kmstest.SymmetricDefault))
	ts.Setenv("AWS_ENDPOINT_URL_KMS", s.URL(region))
	worldOf(ts).kms = s
}

func denyKMS(ts *testscript.TestScript, _ bool, args []string) {
	worldOf(ts).kms.Deny("kms:"+args[0], ts.Getenv("KMS_KEY"))
}

func downKMS(ts *testscript.TestScript, _ bool, _ []string) {
	worldOf(ts).kms.Outage(region, kmstest.Refuse)
}

func startS3(ts *testscript.TestScript, _ bool, _ []string) {
	backend := s3mem.New()
	ts.Check(backend.CreateBucket("one"))
	ts.Check(backend.CreateBucket("two"))
	server := httptest.NewServer(gofakes3.New(backend).Server())
	ts.Defer(server.Close)
	ts.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
	ts.Setenv("AWS_REGION", region)
}

func s3Answers(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	replaceS3(ts, func(w http.ResponseWriter) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", args[1])
	})
}

func s3Cuts(ts *testscript.TestScript, _ bool, args []string) {
	whole := ts.ReadFile(args[0])
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	replaceS3(ts, func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
		_, _ = io.WriteString(w, whole[:n]) // the server closes the connection, since that is less
	})
}

// replaceS3 has all requests to S3 answered so.
func replaceS3(ts *testscript.TestScript, answer func(http.ResponseWriter)) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the client's write may fail first
		answer(w)
	}))
	ts.Defer(server.Close)
	ts.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
}

func startMoto(ts *testscript.TestScript, _ bool, _ []string) {
	url, stop, err := mototest.Run(context.Background())
	if errors.Is(err, mototest.ErrNotInstalled) {
		worldOf(ts).t.Skip(err)
	}
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
}

// TestScriptsAreComplete holds that each command has a script of its name, which uses each
// of its flags, and that there is one for each exit code.
func TestScriptsAreComplete(t *testing.T) {
	started := false
	root := newRoot(&started)
	root.InitDefaultCompletionCmd()
	var all strings.Builder
	paths, err := filepath.Glob("testdata/script/*.txtar")
	require.NoError(t, err)
	for _, path := range paths {
		script, err := os.ReadFile(path)
		require.NoError(t, err)
		all.Write(script)
	}
	lines := strings.Split(all.String(), "\n")
	used := func(command, flag string) bool {
		return slices.ContainsFunc(lines, func(line string) bool {
			words := strings.Fields(line)
			return strings.Contains(line, command+" ") && slices.ContainsFunc(words, func(w string) bool {
				return w == flag || strings.HasPrefix(w, flag+"=")
			})
		})
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.RunE != nil {
			assert.Contains(t, all.String(), c.CommandPath(), "no script runs it")
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			assert.True(t, used(c.CommandPath(), "--"+f.Name), "no script uses --%s of %s", f.Name, c.CommandPath())
			if f.Shorthand != "" {
				assert.True(t, used(c.CommandPath(), "-"+f.Shorthand), "no script uses -%s of %s", f.Shorthand, c.CommandPath())
			}
		})
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(root)
	for code := exitFailed; code <= exitRefused; code++ {
		assert.Regexp(t, fmt.Sprintf(`(?m)^fails(-late)? %d `, code), all.String(), "no script ends with it")
	}
	for _, signal := range []string{"INT", "TERM", "KILL"} {
		assert.Contains(t, all.String(), "ended "+signal+" ")
	}
	assert.Len(t, exitCodes, exitRefused+2)
}
