package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withErrors are the packages whose errors callers see.
var withErrors = []string{
	"envelope", "keyring", "cache", "keyring/awskms", "keyring/branchkey", "keyring/keyuri", "keyring/tinkkeyring",
	"keyring/branchkey/sqlstore", "keyring/branchkey/dynamostore", "envelope/tinkaead",
	"envelope/field", "envelope/field/fieldgorm", "envelope/dynamoitem", "envelope/s3object",
}

// TestTroubleshootingNamesErrors holds that docs/troubleshooting.md names all exported errors,
// values and types, and none that is not there.
func TestTroubleshootingNamesErrors(t *testing.T) {
	exported := map[string]bool{}
	packages := map[string]bool{}
	for _, dir := range withErrors {
		for name := range errorsOf(t, dir) {
			exported[filepath.Base(dir)+"."+name] = true
		}
		packages[filepath.Base(dir)] = true
	}
	require.Contains(t, exported, "envelope.ErrMalformed")
	require.Contains(t, exported, "awskms.Error")
	require.Contains(t, exported, "field.Errors")

	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(([a-z0-9]+)\\.(?:Err[A-Z]\\w*|\\w*Errors?))`").FindAllStringSubmatch(read1(t, troubleshooting), -1) {
		if packages[m[2]] {
			named[m[1]] = true
		}
	}
	assert.Equal(t, slices.Sorted(maps.Keys(exported)), slices.Sorted(maps.Keys(named)))
}

var troubleshooting = filepath.Join(root, "docs", "troubleshooting.md")

// errorsOf returns the names of the exported errors of a package: variables whose names begin
// with Err, and types with a method Error.
func errorsOf(t *testing.T, dir string) map[string]bool {
	names := map[string]bool{}
	for _, file := range sources(t, dir) {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.VAR {
						for _, name := range v.Names {
							if strings.HasPrefix(name.Name, "Err") {
								names[name.Name] = true
							}
						}
					}
				}
			case *ast.FuncDecl:
				if d.Recv == nil || d.Name.Name != "Error" {
					continue
				}
				of := d.Recv.List[0].Type
				if p, ok := of.(*ast.StarExpr); ok {
					of = p.X
				}
				if name := of.(*ast.Ident); name.IsExported() {
					names[name.Name] = true
				}
			}
		}
	}
	return names
}

func sources(t *testing.T, dir string) (files []*ast.File) {
	paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.go"))
	require.NoError(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		files = append(files, file)
	}
	require.NotEmpty(t, files, dir)
	return files
}

// fromElsewhere are texts that are not of this library.
var fromElsewhere = []string{
	"unexpected EOF", "context canceled", "context deadline exceeded", // Go's
	"frame 3:", // an example
}

// TestTroubleshootingTexts holds that each text on the page is part of a text in the code.
func TestTroubleshootingTexts(t *testing.T) {
	var texts strings.Builder
	dirs := append(slices.Clone(withErrors), "internal/message", "internal/kmscall", "internal/ecdhwrap")
	for _, dir := range dirs {
		for _, file := range sources(t, dir) {
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := literal(n); ok {
					texts.WriteString(s + "\n")
					return false
				}
				return true
			})
		}
	}
	count := 0
	for _, line := range strings.Split(read1(t, troubleshooting), "\n") {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) != 2 {
			assert.False(t, strings.HasPrefix(line, "| `"), "not two cells: %s", line)
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[0], -1) {
			if slices.Contains(fromElsewhere, m[1]) {
				continue
			}
			count++
			for _, part := range strings.Split(m[1], "…") {
				assert.Contains(t, texts.String(), strings.TrimSpace(part), "no error has this text: %s", m[1])
			}
		}
	}
	assert.Greater(t, count, 100)
}

// literal returns the value of a text in the source, which may be put together of several.
func literal(n ast.Node) (string, bool) {
	switch e := n.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, err := strconv.Unquote(e.Value)
			return s, err == nil
		}
	case *ast.BinaryExpr:
		x, okX := literal(e.X)
		y, okY := literal(e.Y)
		return x + y, e.Op == token.ADD && okX && okY
	}
	return "", false
}
