package apitext

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what is exported into the directory api")

const module = "github.com/go-sealring/sealring/"

var (
	root   = filepath.Join("..", "..")
	apiDir = filepath.Join(root, "api")
)

type listed struct {
	ImportPath, Name, Dir, Export string
	GoFiles                       []string
}

// public reports whether other modules are meant to import it. Modules within this
// one are never listed.
func (l listed) public() bool {
	path, ours := strings.CutPrefix(l.ImportPath, module)
	if !ours || l.Name == "main" || strings.HasPrefix(path, "examples/") {
		return false
	}
	return !slices.Contains(strings.Split(path, "/"), "internal")
}

// file is where what it exports is kept.
func (l listed) file() string {
	return strings.ReplaceAll(strings.TrimPrefix(l.ImportPath, module), "/", "_") + ".txt"
}

func (l listed) deprecated(t *testing.T) map[string]bool {
	var files []*ast.File
	for _, name := range l.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(l.Dir, name), nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, f)
	}
	return deprecatedNames(files)
}

// list returns this module's packages and all that they import, compiled.
func list(t *testing.T) []listed {
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Name,Dir,Export,GoFiles", "./...")
	cmd.Dir = root
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		err := d.Decode(&l)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, l)
	}
}

// exported returns the contents of each file that belongs into the directory api.
func exported(t *testing.T) map[string]string {
	all := list(t)
	compiled := map[string]string{}
	for _, l := range all {
		compiled[l.ImportPath] = l.Export
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(compiled[path])
	})
	files := map[string]string{}
	for _, l := range all {
		if !l.public() {
			continue
		}
		p, err := imp.Import(l.ImportPath)
		require.NoError(t, err)
		files[l.file()] = strings.Join(lines(p, l.deprecated(t)), "\n") + "\n"
	}
	return files
}

// difference returns the lines that only one of the texts has.
func difference(was, is string) string {
	before, after := strings.Split(was, "\n"), strings.Split(is, "\n")
	var b strings.Builder
	for _, line := range before {
		if !slices.Contains(after, line) {
			fmt.Fprintf(&b, "- %s\n", line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			fmt.Fprintf(&b, "+ %s\n", line)
		}
	}
	return b.String()
}

// watch opens the module's directories: go test repeats an old result until something
// that the test has opened changes, and does not know what go list reads.
func watch(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && path != root && strings.HasPrefix(e.Name(), ".") {
			return fs.SkipDir
		}
		return err
	})
	require.NoError(t, err)
}

func TestAPI(t *testing.T) {
	watch(t)
	files := exported(t)
	require.Contains(t, files, "envelope.txt")
	require.Contains(t, files, "keyring_awskms.txt")
	if *update {
		require.NoError(t, os.RemoveAll(apiDir))
		require.NoError(t, os.Mkdir(apiDir, 0o777))
		for name, is := range files {
			require.NoError(t, os.WriteFile(filepath.Join(apiDir, name), []byte(is), 0o666))
		}
	}
	kept, err := os.ReadDir(apiDir)
	require.NoError(t, err)
	var changed strings.Builder
	for _, f := range kept {
		was, err := os.ReadFile(filepath.Join(apiDir, f.Name()))
		require.NoError(t, err)
		is, found := files[f.Name()]
		delete(files, f.Name())
		switch {
		case !found:
			fmt.Fprintf(&changed, "api/%s: there is no such package any more\n", f.Name())
		case is != string(was):
			fmt.Fprintf(&changed, "api/%s:\n%s", f.Name(), difference(string(was), is))
		}
	}
	for name, is := range files {
		fmt.Fprintf(&changed, "api/%s: is missing\n%s", name, difference("", is))
	}
	if changed.Len() > 0 {
		t.Errorf("what is exported differs from the files in api:\n%sIf it should (COMPATIBILITY.md says what may change):\n\tgo test ./internal/apitext -update", &changed)
	}
}

func TestAPILines(t *testing.T) {
	const source = `package p

const A = 1 << 3
const (
	B Kind = iota
	C
)
const d = 1

// Deprecated: use V.
var W, X int
var V = []string{}
var (
	// Y is old.
	//
	// Deprecated: use V.
	Y int
	// Z is not Deprecated: it says so.
	Z int
)

type Kind uint8
func (Kind) String() string { return "" }

type Alias = Kind
type Func func(x int, more ...string) error

type inner struct{}
func (*inner) Inner() {}

type Outer struct{}
func (*Outer) Close() error { return nil }

type Struct struct {
	*Outer
	inner
	Field, Other map[Kind]*Outer
	hidden       int
	// Deprecated: use Field.
	Old int
}
func (s *Struct) Do(a, b int, c ...[]byte) (n int, err error) { return }
func (s Struct) Value(f func(Kind) bool) {}
// Deprecated: use Do.
func (s *Struct) Did() {}
func (s *Struct) undo() {}

// Deprecated: it is old.
type Gone struct{ Field int }

type Reader interface{ Read(p []byte) (int, error) }
type ReadCloser interface {
	Reader
	Close() error
	seal()
}
type Number interface{ ~int | ~string }

type Box[T any] struct{ Value T }
func (b *Box[T]) Get() T { return b.Value }
// Deprecated: use Get.
func (b *Box[T]) Old() T { return b.Value }

func New[T Number, U any](t T) *Box[T] { return nil }
func hidden() {}
`
	want := []string{
		"const A untyped int = 8",
		"const B Kind = 0",
		"const C Kind = 1",
		"func New[T Number, U any](T) *Box[T]",
		"method (*Box) Get() T",
		"method (*Outer) Close() error",
		"method (*Struct) Do(int, int, ...[]byte) (int, error)",
		"method (*Struct) Inner()",
		"method (Kind) String() string",
		"method (Struct) Value(func(Kind) bool)",
		"type Alias = Kind",
		"type Box[T any] struct",
		"type Box[T any] struct, Value T",
		"type Func func(x int, more ...string) error",
		"type Kind uint8",
		"type Number interface",
		"type Number interface, interface{~int | ~string}",
		"type Outer struct",
		"type ReadCloser interface",
		"type ReadCloser interface, Close() error",
		"type ReadCloser interface, Read([]byte) (int, error)",
		"type ReadCloser interface, has methods that are not exported",
		"type Reader interface",
		"type Reader interface, Read([]byte) (int, error)",
		"type Struct struct",
		"type Struct struct, Field map[Kind]*Outer",
		"type Struct struct, Other map[Kind]*Outer",
		"type Struct struct, embeds *Outer",
		"var V []string",
		"var Z int",
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", source, parser.ParseComments)
	require.NoError(t, err)
	p, err := new(types.Config).Check("p", fset, []*ast.File{f}, nil)
	require.NoError(t, err)
	assert.Equal(t, want, lines(p, deprecatedNames([]*ast.File{f})))
}

func TestAPIPublic(t *testing.T) {
	for path, want := range map[string]bool{
		module + "envelope":               true,
		module + "keyring/awskms/kmstest": true,
		module + "internal/suite":         false,
		module + "keyring/internal/x":     false,
		module + "examples/shared":        false,
		"golang.org/x/crypto/cryptobyte":  false,
	} {
		assert.Equal(t, want, listed{ImportPath: path, Name: "p"}.public(), path)
	}
	assert.False(t, listed{ImportPath: module + "cmd/sealring", Name: "main"}.public())
}

func TestAPIDifference(t *testing.T) {
	assert.Equal(t, "- b\n+ c\n", difference("a\nb\n", "a\nc\n"))
	assert.Empty(t, difference("a\n", "a\n"))
}
