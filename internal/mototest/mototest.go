// Package mototest runs moto, Python's AWS emulator, for tests.
package mototest

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Command is the program that must be installed.
const Command = "moto_server"

// listens is what moto_server prints about where it listens.
var listens = regexp.MustCompile(`Running on (http://127\.0\.0\.1:[0-9]+)`)

// Start runs moto_server for as long as the test and returns its URL. It
// skips the test where moto_server is not installed.
func Start(t *testing.T) string {
	fail := func(err error) {
		if err != nil {
			t.Fatalf("%s: %v", Command, err)
		}
	}
	path, err := exec.LookPath(Command)
	if err != nil {
		t.Skipf("%s is not installed; get it with: pip install 'moto[server]'", Command)
	}
	// The context ends before the test's cleanup functions run, failed or not.
	// The timeout is for a test that hangs: one that go test gives up on does not
	// clean up, and must not leave the server behind.
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	t.Cleanup(cancel)

	// On port 0 the server looks for a free port itself. One found here could be
	// taken by another program before the server is up.
	cmd := exec.CommandContext(ctx, path, "-H", "127.0.0.1", "-p", "0")
	cmd.Env = append(os.Environ(), "PYTHONUNBUFFERED=1", "NO_COLOR=1")
	output, err := cmd.StderrPipe()
	fail(err)
	fail(cmd.Start())
	found, read := make(chan string, 1), make(chan struct{})
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // says that it was killed, and closes output
		<-read
	})
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

	var url string
	select {
	case url = <-found:
		// Empty if the server ended, and then nobody writes to started any more.
		if url == "" {
			t.Fatalf("%s did not start:\n%s", Command, &started)
		}
	case <-time.After(5 * time.Minute):
		t.Fatalf("%s does not say where it listens", Command)
	}

	client := http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	answer, err := client.Get(url + "/moto-api/data.json")
	fail(err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("what listens at %s is not moto", url)
	}
	return url
}
