// Package imports holds the test of which package may import which.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/go-sealring/sealring/"

type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

func list(t *testing.T, args ...string) []pkg {
	var stderr bytes.Buffer
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,Deps"}, args...)...)
	cmd.Dir = "../.."
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, p)
	}
}

// layers ranks packages by the longest prefix that matches: a package imports
// only packages of lower layers, or below itself.
var layers = []struct {
	prefix string
	layer  int
}{
	{"internal/erase", 0},
	{"internal/byhand", 0},
	{"internal/declared", 0},
	{"internal/suite", 0},
	{"internal/ecdhwrap", 1},
	{"internal/message", 1},
	{"internal/kmscall", 1},
	{"internal/testhttp", 1}, // the client of a KMS for tests
	{"keyring", 2},
	{"keyring/", 3},
	{"cache", 3},
	{"envelope", 3},
	{"keyring/branchkey", 4},  // keeps branch keys in a cache, and calls KMS as awskms does
	{"keyring/branchkey/", 5}, // its stores
	{"keyring/keyuri", 5},     // opens them all
	{"envelope/", 4},
	{"internal/testvectors/vectors", 4},   // run by tests of envelope, and so without the AWS SDK
	{"internal/testvectors/hierarchy", 6}, // those that need branch keys
	{"internal/", 7},                      // programs, and what only tests import
	{"examples/", 7},
}

func layer(t *testing.T, path string) int {
	if strings.Contains(path, "/cmd/") {
		return 7 // a program, wherever it lies
	}
	best, length := -1, -1
	for _, l := range layers {
		matches := path == l.prefix || strings.HasSuffix(l.prefix, "/") && strings.HasPrefix(path, l.prefix)
		if matches && len(l.prefix) > length {
			best, length = l.layer, len(l.prefix)
		}
	}
	require.NotEqual(t, -1, best, "package %s has no place in the layers", path)
	return best
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range list(t, "./...") {
		path := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			imported, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			assert.Less(t, layer(t, imported), layer(t, path), "%s imports %s", path, imported)
			if strings.HasPrefix(path, "keyring/") {
				assert.False(t, strings.HasPrefix(imported, "envelope"), "%s imports %s", path, imported)
			}
		}
	}
}

// TestPlainGo holds that no package needs cgo, and that only one uses unsafe: to see whether
// two slices overlap.
func TestPlainGo(t *testing.T) {
	for _, p := range list(t, "./...") {
		assert.NotContains(t, p.Imports, "C", p.ImportPath)
		if p.ImportPath != module+"envelope" {
			assert.NotContains(t, p.Imports, "unsafe", p.ImportPath)
		}
	}
}

// TestFewDependencies holds what the core is built with.
func TestFewDependencies(t *testing.T) {
	core := []string{"./envelope", "./envelope/field", "./keyring", "./cache"}
	for _, p := range list(t, append([]string{"-deps"}, core...)...) {
		if p.Standard || strings.HasPrefix(p.ImportPath, module) {
			continue
		}
		assert.True(t, strings.HasPrefix(p.ImportPath, "golang.org/x/crypto/"), "the core depends on %s", p.ImportPath)
	}
}
