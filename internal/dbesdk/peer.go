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

// startPeer compiles the program and starts the JVM.
func startPeer(ctx context.Context, project, classPath string) (*peer, error) {
	classes := filepath.Join(project, "target", "classes")
	sources, err := filepath.Glob(filepath.Join(project, "src", "main", "java", "*.java"))
	if err != nil {
		return nil, err
	}
	javac := exec.CommandContext(ctx, "javac", append([]string{"-encoding", "UTF-8", "-d", classes, "-cp", classPath}, sources...)...)
	if out, err := javac.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("javac: %w\n%s", err, out)
	}
	c := exec.CommandContext(ctx, "java", "-Dfile.encoding=UTF-8", "-Xmx2g", "-cp", classes+string(filepath.ListSeparator)+classPath, "Peer")
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
	Op       string            `json:"op"`
	Config   *javaConfig       `json:"config,omitempty"`
	Item     jsonItem          `json:"item,omitzero"`
	Find     *javaFind         `json:"find,omitempty"`
	Services *javaServices     `json:"services,omitempty"`
	ID       string            `json:"id,omitempty"` // of a branch key
	Context  map[string]string `json:"context,omitempty"`
}

// A javaConfig is how a request names what AWS's encryptor, or its client for a table, is
// made with.
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
	Branch    *javaBranch       `json:"branch,omitempty"`
	Physical  string            `json:"physical,omitempty"` // the name of the table in DynamoDB
	Beacons   *javaBeacons      `json:"beacons,omitempty"`
}

type javaServices struct {
	Dynamo string `json:"dynamodb"`
	KMS    string `json:"kms"`
	KeyARN string `json:"keyArn"`
	Table  string `json:"table"`
	Name   string `json:"name"`
}

type javaBranch struct {
	ID     string `json:"id,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	Prefix string `json:"prefix"`
	Fresh  int    `json:"fresh"` // a config with another number is another one
}

type javaBeacons struct {
	Keys javaBranch   `json:"keys"`
	All  []javaBeacon `json:"all"`
}

type javaBeacon struct {
	Name      string     `json:"name"`
	Attribute string     `json:"attribute,omitempty"`
	Bits      int        `json:"bits,omitempty"`
	Set       bool       `json:"set,omitempty"`
	PartOnly  bool       `json:"partOnly,omitempty"`
	Split     string     `json:"split,omitempty"`
	Parts     []javaPart `json:"parts,omitempty"`
}

type javaPart struct {
	Name     string `json:"name"`
	Prefix   string `json:"prefix"`
	Optional bool   `json:"optional"`
	Signed   bool   `json:"signed"`
}

type javaFind struct {
	Index     string            `json:"index,omitempty"`
	Condition string            `json:"condition"`
	Filter    string            `json:"filter,omitempty"`
	Names     map[string]string `json:"names"`
	Values    jsonItem          `json:"values"`
}

// A wrappingKey is a raw AES key.
type wrappingKey struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Key       []byte `json:"key"`
}

// A refusal is an error that AWS's library returned, or KMS to it.
type refusal struct{ class, message string }

func (r *refusal) Error() string {
	return fmt.Sprintf("%s: %.300s", r.class[strings.LastIndex(r.class, ".")+1:], r.message)
}

// callLimit is far more than any call takes.
const callLimit = 3 * time.Minute

// errBroken is for everything else that goes wrong with the peer: it refuses nothing.
var errBroken = errors.New("the Java program failed")

func (p *peer) call(r request) ([]item, error) {
	line, err := json.Marshal(r)
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

// one is call for a request whose answer is an item.
func (p *peer) one(r request) (item, error) {
	all, err := p.call(r)
	switch {
	case err != nil:
		return nil, err
	case len(all) != 1:
		return nil, fmt.Errorf("%w: it answered with %d items", errBroken, len(all))
	}
	return all[0], nil
}

func parseAnswer(line []byte) ([]item, error) {
	var answer struct {
		Items        []jsonItem
		Error, Class string
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, fmt.Errorf("%w: its answer: %w", errBroken, err)
	}
	switch {
	case answer.Class == "" && answer.Items != nil:
		all := make([]item, len(answer.Items))
		for i, it := range answer.Items {
			all[i] = it.item()
		}
		return all, nil
	case strings.HasPrefix(answer.Class, "software.amazon.cryptography."), strings.HasPrefix(answer.Class, "software.amazon.awssdk.services.kms.model."):
		return nil, &refusal{answer.Class, answer.Error}
	}
	return nil, fmt.Errorf("%w: %s: %s", errBroken, answer.Class, answer.Error)
}
