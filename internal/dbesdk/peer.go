package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// errNoPeer says that AWS's release is not to be had here.
var errNoPeer = errors.New("AWS's Java release is not to be had")

// A peer is a JVM with AWS's release, which answers one request at a time.
type peer struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	spent   time.Duration
	calls   int
}

// fetchPeer has Maven fetch the release, if it has not yet, and returns the class path.
func fetchPeer(ctx context.Context, project string, within time.Duration) (string, error) {
	for _, tool := range []string{"mvn", "java", "javac"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%w: %s is not installed", errNoPeer, tool)
		}
	}
	file, err := filepath.Abs(filepath.Join(project, "target", "classpath"))
	if err != nil {
		return "", err
	}
	if classPath, ok := fetched(filepath.Join(project, "pom.xml"), file); ok {
		return classPath, nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	// Maven waits half an hour for a silent server of its own accord.
	c := exec.CommandContext(ctx, "mvn", "--batch-mode", "--quiet", "-Dmaven.wagon.http.connectionTimeout=20000", "-Dmaven.wagon.rto=60000",
		"org.apache.maven.plugins:maven-dependency-plugin:build-classpath", "-Dmdep.outputFile="+file)
	c.Dir = project
	c.WaitDelay = 5 * time.Second
	out, err := c.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%w: Maven had not fetched it within %v", errNoPeer, within)
	case err != nil:
		return "", fmt.Errorf("%w: Maven could not fetch it: %w\n%.2000s", errNoPeer, err, out)
	}
	b, err := os.ReadFile(file)
	return strings.TrimSpace(string(b)), err
}

// fetched returns the class path that Maven wrote, if it did since the project was changed,
// and all in it is still there.
func fetched(pom, file string) (string, bool) {
	p, err := os.Stat(pom)
	if err != nil {
		return "", false
	}
	f, err := os.Stat(file)
	if err != nil || f.ModTime().Before(p.ModTime()) {
		return "", false
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", false
	}
	classPath := strings.TrimSpace(string(b))
	for _, jar := range filepath.SplitList(classPath) {
		if _, err := os.Stat(jar); err != nil {
			return "", false
		}
	}
	return classPath, classPath != ""
}

// startPeer starts the JVM, which compiles the program first.
func startPeer(ctx context.Context, project, classPath string) (*peer, error) {
	c := exec.CommandContext(ctx, "java", "-Dfile.encoding=UTF-8", "-Xmx2g", "-cp", classPath,
		filepath.Join(project, "src", "main", "java", "Peer.java"))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return &peer{command: c, in: in, out: bufio.NewReaderSize(out, 1<<20)}, nil
}

// stop ends the JVM.
func (p *peer) stop() error {
	p.in.Close()
	return p.command.Wait()
}

type request struct {
	Op     string      `json:"op"`
	Config *javaConfig `json:"config"`
	Item   jsonItem    `json:"item"`
}

// A javaConfig is how a request names what AWS's encryptor is made with.
type javaConfig struct {
	Table     string            `json:"table"`
	Partition string            `json:"partition"`
	Sort      string            `json:"sort,omitempty"`
	Actions   map[string]string `json:"actions"`
	Unsigned  []string          `json:"unsigned,omitempty"`
	Prefix    string            `json:"prefix,omitempty"`
	Suite     string            `json:"suite"`
	Plaintext string            `json:"plaintext,omitempty"`
	Keys      []wrappingKey     `json:"keys"`
}

// A wrappingKey is a raw AES key.
type wrappingKey struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Key       []byte `json:"key"`
}

// A refusal is an error that AWS's library returned.
type refusal struct{ class, message string }

func (r *refusal) Error() string {
	return fmt.Sprintf("%s: %.300s", r.class[strings.LastIndex(r.class, ".")+1:], r.message)
}

// callLimit is far more than any call takes.
const callLimit = 3 * time.Minute

// errBroken is for everything else that goes wrong with the peer: it refuses nothing.
var errBroken = errors.New("the Java program failed")

func (p *peer) call(op string, c *javaConfig, it item) (item, error) {
	line, err := json.Marshal(request{op, c, toJSON(it)})
	if err != nil {
		return nil, err
	}
	start := time.Now()
	hung := time.AfterFunc(callLimit, func() { _ = p.command.Process.Kill() })
	defer hung.Stop()
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	if line, err = p.out.ReadBytes('\n'); err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	p.spent += time.Since(start)
	p.calls++
	return parseAnswer(line)
}

func parseAnswer(line []byte) (item, error) {
	var answer struct {
		Item         jsonItem
		Error, Class string
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, fmt.Errorf("%w: its answer: %w", errBroken, err)
	}
	switch {
	case answer.Class == "" && answer.Item != nil:
		return answer.Item.item(), nil
	case strings.HasPrefix(answer.Class, "software.amazon.cryptography."):
		return nil, &refusal{answer.Class, answer.Error}
	}
	return nil, fmt.Errorf("%w: %s: %s", errBroken, answer.Class, answer.Error)
}
