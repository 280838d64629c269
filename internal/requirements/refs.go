package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-sealring/sealring/internal/declared"
)

// references finds what verdicts name in the source below root.
type references struct {
	root     string
	files    map[string]map[string]bool // what each file declares
	packages map[string]map[string]bool // the tests of each directory
}

func newReferences(root string) *references {
	return &references{root, map[string]map[string]bool{}, map[string]map[string]bool{}}
}

// checkCode returns an error unless there is what is named by a file, a colon, and the name
// of a function, a type, a variable or a constant, or of a type with a method or a field.
func (r *references) checkCode(ref string) error {
	file, name, _ := strings.Cut(ref, ":")
	if strings.HasSuffix(file, "_test.go") {
		return fmt.Errorf("%s is a test", ref)
	}
	names, ok := r.files[file]
	if !ok {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(r.root, file), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		names = namesIn(parsed)
		r.files[file] = names
	}
	if !names[name] {
		return fmt.Errorf("%s does not declare %s", file, name)
	}
	return nil
}

// checkTest returns an error unless there is the test that is named by a directory, a dot
// and the name of a function.
func (r *references) checkTest(ref string) error {
	at := strings.LastIndex(ref, ".")
	if at < 0 {
		return fmt.Errorf("%q names no test", ref)
	}
	dir, name := ref[:at], ref[at+1:]
	if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") {
		return fmt.Errorf("%s is no test", ref)
	}
	tests, ok := r.packages[dir]
	if !ok {
		tests = map[string]bool{}
		entries, err := os.ReadDir(filepath.Join(r.root, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(r.root, dir, e.Name()), nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			maps.Copy(tests, namesIn(parsed))
		}
		r.packages[dir] = tests
	}
	if !tests[name] {
		return fmt.Errorf("%s has no test %s", dir, name)
	}
	return nil
}

// namesIn returns the names that a file declares at its top level.
func namesIn(file *ast.File) map[string]bool {
	names := map[string]bool{}
	declared.Each(file, func(name string, _ ...*ast.CommentGroup) { names[name] = true })
	return names
}
