package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// published are this repository's modules that the program is built from, by their
// directories.
var published = map[string]string{
	"github.com/go-sealring/sealring/cmd/sealring":                  ".",
	"github.com/go-sealring/sealring":                               "../..",
	"github.com/go-sealring/sealring/envelope/s3object":             "../../envelope/s3object",
	"github.com/go-sealring/sealring/keyring/branchkey/dynamostore": "../../keyring/branchkey/dynamostore",
}

// serveModules has the go command of a script find this repository's modules in a proxy made
// of files, as they stand in the working tree. What they need from others is taken from the
// module cache, where the test's own build has put it.
func serveModules(ts *testscript.TestScript, _ bool, _ []string) {
	proxy := ts.MkAbs("proxy")
	for path, versions := range wantedVersions(ts) {
		for version := range versions {
			ts.Check(serve(proxy, module.Version{Path: path, Version: version}))
		}
	}
	out, err := exec.Command("go", "env", "-json", "GOCACHE", "GOMODCACHE", "GOPROXY").Output()
	ts.Check(err)
	var of struct{ GOCACHE, GOMODCACHE, GOPROXY string }
	ts.Check(json.Unmarshal(out, &of))
	for name, value := range map[string]string{
		"GOPROXY":    fileURL(proxy) + "," + fileURL(filepath.Join(of.GOMODCACHE, "cache", "download")) + "," + of.GOPROXY,
		"GOSUMDB":    "off", // go.sum has verified what is in the cache
		"GOMODCACHE": ts.MkAbs("modules"),
		"GOFLAGS":    "-modcacherw -trimpath",
		"GOCACHE":    of.GOCACHE,
		"GOBIN":      ts.MkAbs("bin"),
		"GOPATH":     ts.MkAbs("gopath"),
	} {
		ts.Setenv(name, value)
	}
}

func fileURL(path string) string {
	return "file://" + "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")
}

// wantedVersions returns the versions of the modules that they need of each other.
func wantedVersions(ts *testscript.TestScript) map[string]map[string]bool {
	wanted := map[string]map[string]bool{"github.com/go-sealring/sealring/cmd/sealring": {"v0.0.0": true}}
	for _, dir := range published {
		name := filepath.Join(dir, "go.mod")
		text, err := os.ReadFile(name)
		ts.Check(err)
		mod, err := modfile.Parse(name, text, nil)
		ts.Check(err)
		for _, r := range mod.Require {
			if _, ours := published[r.Mod.Path]; !ours {
				continue
			}
			if wanted[r.Mod.Path] == nil {
				wanted[r.Mod.Path] = map[string]bool{}
			}
			wanted[r.Mod.Path][r.Mod.Version] = true
		}
	}
	return wanted
}

// serve adds a module to a proxy, in the layout that "go help goproxy" describes.
func serve(proxy string, m module.Version) error {
	source := published[m.Path]
	dir := filepath.Join(proxy, filepath.FromSlash(m.Path), "@v")
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return err
	}
	var content bytes.Buffer
	if err := zip.CreateFromDir(&content, m, source); err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		"list":              []byte(m.Version + "\n"),
		m.Version + ".info": []byte(`{"Version":"` + m.Version + `"}`),
		m.Version + ".mod":  mod,
		m.Version + ".zip":  content.Bytes(),
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
