// Package mototest runs moto, Python's AWS emulator, for tests and examples.
package mototest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// Command is the program that must be installed.
const Command = "moto_server"

// ErrNotInstalled says that it is not, and how to get it.
var ErrNotInstalled = errors.New(Command + " is not installed; get it with: pip install 'moto[server]'")

// listens is what moto_server prints about where it listens.
var listens = regexp.MustCompile(`Running on (http://127\.0\.0\.1:[0-9]+)`)

// TB is what Start needs of a testing.T.
type TB interface {
	Context() context.Context
	Cleanup(func())
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Start runs moto_server for as long as the test and returns its URL. It
// skips the test where moto_server is not installed.
func Start(t TB) string {
	// The context ends before the test's cleanup functions run, failed or not.
	// The timeout is for a test that hangs: one that go test gives up on does not
	// clean up, and must not leave the server behind.
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	t.Cleanup(cancel)
	url, stop, err := Run(ctx)
	if errors.Is(err, ErrNotInstalled) {
		t.Skipf("%v", err)
	} else if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(stop)
	return url
}

// Run runs moto_server until the context is done or stop is called, and returns its URL.
// Stop returns when the server is gone. The error is ErrNotInstalled where there is none.
func Run(ctx context.Context) (url string, stop func(), err error) {
	path, err := exec.LookPath(Command)
	if err != nil {
		return "", nil, ErrNotInstalled
	}
	ctx, cancel := context.WithCancel(ctx)

	// On port 0 the server looks for a free port itself. One found here could be
	// taken by another program before the server is up.
	cmd := exec.CommandContext(ctx, path, "-H", "127.0.0.1", "-p", "0")
	cmd.Env = append(os.Environ(), "PYTHONUNBUFFERED=1", "NO_COLOR=1")
	output, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return "", nil, fmt.Errorf("%s: %w", Command, err)
	}
	found, read := make(chan string, 1), make(chan struct{})
	end := func() {
		cancel()
		_ = cmd.Wait() // says that it was killed, and closes output
		<-read
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	var started strings.Builder
	go func() {
		defer close(read)
		defer close(found)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			if m := listens.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
				break
			}
			started.WriteString(lines.Text() + "\n")
		}
		// It writes a line for each request, and would stop if nobody read them.
		_, _ = io.Copy(io.Discard, output)
	}()

	select {
	case url = <-found:
		// Empty if the server ended, and then nobody writes to started any more.
		if ctx.Err() != nil {
			return "", nil, ctx.Err()
		} else if url == "" {
			return "", nil, fmt.Errorf("%s did not start:\n%s", Command, &started)
		}
	case <-time.After(5 * time.Minute):
		return "", nil, fmt.Errorf("%s does not say where it listens", Command)
	}
	return url, end, check(ctx, url)
}

// check asks who listens at a URL.
func check(ctx context.Context, url string) error {
	client := http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/moto-api/data.json", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", Command, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("what listens at %s is not moto", url)
	}
	return nil
}
