package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
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
		names = declared(parsed)
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
			for name := range declared(parsed) {
				tests[name] = true
			}
		}
		r.packages[dir] = tests
	}
	if !tests[name] {
		return fmt.Errorf("%s has no test %s", dir, name)
	}
	return nil
}

// declared returns the names that a file declares at its top level.
func declared(file *ast.File) map[string]bool {
	names := map[string]bool{}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names[receiver(d)+d.Name.Name] = true
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.ValueSpec:
					for _, n := range s.Names {
						names[n.Name] = true
					}
				case *ast.TypeSpec:
					names[s.Name.Name] = true
					for _, f := range members(s.Type) {
						for _, n := range f.Names {
							names[s.Name.Name+"."+n.Name] = true
						}
					}
				}
			}
		}
	}
	return names
}

// receiver returns the type of a method with a dot behind it, and nothing for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	t := d.Recv.List[0].Type
	for {
		switch of := t.(type) {
		case *ast.StarExpr:
			t = of.X
		case *ast.IndexExpr:
			t = of.X
		case *ast.IndexListExpr:
			t = of.X
		case *ast.Ident:
			return of.Name + "."
		default:
			return ""
		}
	}
}

// members returns the fields of a struct, or the methods of an interface.
func members(t ast.Expr) []*ast.Field {
	switch t := t.(type) {
	case *ast.StructType:
		return t.Fields.List
	case *ast.InterfaceType:
		return t.Methods.List
	}
	return nil
}
