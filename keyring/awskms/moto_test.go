package awskms_test

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

	"github.com/stretchr/testify/require"
)

// motoCommand runs the KMS that the tests over moto need.
const motoCommand = "moto_server"

// motoListens is what moto_server prints about where it listens.
var motoListens = regexp.MustCompile(`Running on (http://127\.0\.0\.1:[0-9]+)`)

// startMoto runs moto_server for as long as the test and returns its URL. It
// skips the test where moto_server is not installed.
func startMoto(t *testing.T) string {
	path, err := exec.LookPath(motoCommand)
	if err != nil {
		t.Skipf("%s is not installed; get it with: pip install 'moto[server]'", motoCommand)
	}
	// The context ends before the test's cleanup functions run, failed or not.
	// The timeout is for a test that hangs: one that go test gives up on does not
	// clean up, and must not leave the server behind.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)

	// On port 0 the server looks for a free port itself. One found here could be
	// taken by another program before the server is up.
	cmd := exec.CommandContext(ctx, path, "-H", "127.0.0.1", "-p", "0")
	cmd.Env = append(os.Environ(), "PYTHONUNBUFFERED=1", "NO_COLOR=1")
	output, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
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
			if m := motoListens.FindStringSubmatch(lines.Text()); m != nil {
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
		require.NotEmpty(t, url, "%s did not start:\n%s", motoCommand, &started)
	case <-time.After(time.Minute):
		t.Fatalf("%s does not say where it listens", motoCommand)
	}

	client := http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	answer, err := client.Get(url + "/moto-api/data.json")
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode, "what listens at %s is not moto", url)
	return url
}
