package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// errNoPeer says that a peer is not to be had here.
var errNoPeer = errors.New("not to be had")

// A recipe says how a peer is installed and started.
type recipe struct {
	name    string
	version string // of AWS's release, which the limits were seen with
	tools   []string

	// pins are the files that say what is installed. What is there is used as long as
	// they are the same.
	pins []string

	// steps install it into a folder, which they make.
	into  string
	steps [][]string

	// command starts it. Its first part is looked for in the peer's folder if it has a
	// slash.
	command []string

	// pushes says that the peer has streams to write to, beside those to read from.
	pushes bool

	limits []limit
}

var recipes = []recipe{
	{
		name: "python", version: "4.0.7", tools: []string{"python3"},
		pins: []string{"requirements.txt"}, into: ".venv",
		steps: [][]string{
			{"python3", "-m", "venv", ".venv"},
			{".venv/bin/pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", "--requirement", "requirements.txt"},
		},
		command: []string{".venv/bin/python", "peer.py"},
		limits:  pythonLimits,
	},
	{
		name: "javascript", version: "5.0.2", tools: []string{"node", "npm"},
		pins: []string{"package.json", "package-lock.json"}, into: "node_modules",
		steps:   [][]string{{"npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"}},
		command: []string{"node", "peer.js"},
		limits:  javascriptLimits,
	},
	{
		name: "java", version: "3.0.2", tools: []string{"mvn", "java", "javac"},
		pins: []string{
			"pom.xml", "src/main/java/Client.java", "src/main/java/Clients.java", "src/main/java/Keyrings.java",
			"src/main/java/MasterKeys.java", "src/main/java/Peer.java",
		},
		into: "target",
		steps: [][]string{
			{
				// Maven waits half an hour for a silent server of its own accord.
				"mvn", "--batch-mode", "--quiet", "-Dmaven.wagon.http.connectionTimeout=20000", "-Dmaven.wagon.rto=60000",
				"org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies", "-DoutputDirectory=target/lib",
			},
			{"javac", "-encoding", "UTF-8", "-cp", "target/lib/*", "-sourcepath", "src/main/java", "-d", "target/classes", "src/main/java/Peer.java"},
		},
		command: []string{"java", "-Xmx2g", "-cp", "target/classes:target/lib/*", "Peer"},
		pushes:  true,
		limits:  javaLimits,
	},
	{
		name: "rust", version: "1.2.4", tools: []string{"cargo", "cmake"},
		// Cargo knows itself what in target is still good.
		pins: []string{"Cargo.toml", "Cargo.lock"}, into: "target/pinned",
		steps:   [][]string{{"cargo", "build", "--quiet", "--locked"}, {"mkdir", "-p", "target/pinned"}},
		command: []string{"cargo", "run", "--quiet", "--locked"},
		limits:  rustLimits,
	},
}

// recipeOf returns the recipe of a name.
func recipeOf(name string) (recipe, error) {
	for _, r := range recipes {
		if r.name == name {
			return r, nil
		}
	}
	return recipe{}, fmt.Errorf("there is no peer %q", name)
}

// stamp is the name of the file, where a peer is installed, that says from which pins.
const stamp = ".installed"

// install installs the peer in dir, if it is not there, and returns it.
func (r recipe) install(ctx context.Context, dir string, within time.Duration) (*peer, error) {
	for _, tool := range r.tools {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s: %w: %s is not installed", r.name, errNoPeer, tool)
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	pinned, err := r.pinned(dir)
	if err != nil {
		return nil, err
	}
	done := filepath.Join(dir, r.into, stamp)
	if b, err := os.ReadFile(done); err != nil || string(b) != pinned {
		if err := r.fetch(ctx, dir, within); err != nil {
			return nil, err
		}
		if err := os.WriteFile(done, []byte(pinned), 0o666); err != nil {
			return nil, err
		}
	}
	return newPeer(dir, r.command...), nil
}

// pinned returns a hash of the pins.
func (r recipe) pinned(dir string) (string, error) {
	h := sha256.New()
	for _, pin := range r.pins {
		b, err := os.ReadFile(filepath.Join(dir, pin))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", pin, len(b), b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (r recipe) fetch(ctx context.Context, dir string, within time.Duration) error {
	if err := os.RemoveAll(filepath.Join(dir, r.into)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for _, step := range r.steps {
		c := exec.CommandContext(ctx, step[0], step[1:]...)
		c.Dir, c.WaitDelay = dir, 5*time.Second
		out, err := c.CombinedOutput()
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w: %s had not installed it within %v", r.name, errNoPeer, step[0], within)
		case err != nil:
			return fmt.Errorf("%s: %w: %s: %w\n%.2000s", r.name, errNoPeer, step[0], err, out)
		}
	}
	return nil
}
