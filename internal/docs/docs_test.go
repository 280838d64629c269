// Package docs holds the tests that code in package comments and in READMEs compiles.
package docs

import (
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCodeInPackageCommentsIsRun holds that each piece of code in a package comment is
// part of an example of that package whose output is checked, line for line.
func TestCodeInPackageCommentsIsRun(t *testing.T) {
	for _, dir := range []string{
		"cache", "envelope", "envelope/field", "envelope/field/fieldgorm", "envelope/tinkaead",
		"keyring", "keyring/awskms", "keyring/awskms/kmstest", "keyring/branchkey", "keyring/keyuri", "keyring/tinkkeyring",
		"sealringotel",
	} {
		t.Run(dir, func(t *testing.T) {
			code, examples := read(t, filepath.Join("..", "..", dir))
			require.NotEmpty(t, code, "the package comment has no code")
			for _, c := range code {
				inAny := false
				for _, e := range examples {
					inAny = inAny || strings.Contains(e, c)
				}
				assert.True(t, inAny, "no example has these lines:\n%s", c)
			}
		})
	}
}

// read returns the code in a package's comment, and the source of its examples without
// their indentation.
func read(t *testing.T, dir string) (code, examples []string) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	fset := token.NewFileSet()
	for _, path := range paths {
		src, err := os.ReadFile(path)
		require.NoError(t, err)
		file, err := parser.ParseFile(fset, path, src, parser.ParseComments)
		require.NoError(t, err)
		if !strings.HasSuffix(path, "_test.go") {
			code = append(code, codeIn(file.Doc)...)
			continue
		}
		for _, e := range doc.Examples(file) {
			if e.Output == "" {
				continue // only compiled
			}
			body := string(src[fset.Position(e.Code.Pos()).Offset:fset.Position(e.Code.End()).Offset])
			examples = append(examples, strings.ReplaceAll(body, "\n\t", "\n"))
		}
	}
	return code, examples
}

// codeIn returns the indented blocks that are Go, and not a table or a policy.
func codeIn(group *ast.CommentGroup) (code []string) {
	var p comment.Parser
	for _, block := range p.Parse(group.Text()).Content {
		c, ok := block.(*comment.Code)
		if !ok {
			continue
		}
		_, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+c.Text+"\n}", 0)
		if err == nil {
			code = append(code, c.Text)
		}
	}
	return code
}
