package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// A mutant is the program with one change.
type mutant struct {
	File     string
	Line     int
	Function string
	Change   string

	id     int
	source string // of the changed function; of the whole file if it is not in a function
	whole  bool
}

// key tells a mutant from all others, also after lines were added to its file.
func (m *mutant) key() string { return m.File + "\t" + m.Function + "\t" + m.Change }

// A function is one that has mutants.
type function struct {
	decl    *ast.FuncDecl
	mutants []*mutant
}

// A file is a source file with its mutants.
type file struct {
	path      string
	src       []byte
	fset      *token.FileSet
	tree      *ast.File
	functions []function
	constants []*mutant // of the declarations outside functions
}

// parse reads a file and makes its mutants. They are numbered from next on.
func parse(path string, src []byte, next *int) (*file, error) {
	f := &file{path: path, src: src, fset: token.NewFileSet()}
	var err error
	if f.tree, err = parser.ParseFile(f.fset, path, src, parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	twice := map[string]int{}
	mutants := func(name string, n ast.Node, print func(id int) string) (all []*mutant) {
		for _, c := range changes(f.fset, n) {
			c.do()
			m := &mutant{File: path, Line: f.fset.Position(c.pos).Line, Function: name, Change: c.text, id: *next}
			m.source = print(m.id)
			c.undo()
			twice[m.key()]++
			if n := twice[m.key()]; n > 1 {
				m.Change += fmt.Sprintf(" (%d)", n)
			}
			*next++
			all = append(all, m)
		}
		return all
	}
	for _, d := range f.tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body == nil || d.Name.Name == "init" || d.Name.Name == "_" {
				continue
			}
			name := d.Name.Name
			all := mutants(funcName(d), d.Body, func(id int) string {
				d.Name.Name = fmt.Sprintf("%s_%d", name, id)
				defer func() { d.Name.Name = name }()
				return f.print(&ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: d.Type, Body: d.Body})
			})
			all = slices.DeleteFunc(all, func(m *mutant) bool { return strings.HasPrefix(m.Change, `"`) }) // texts of errors
			f.functions = append(f.functions, function{d, all})
		case *ast.GenDecl:
			if d.Tok == token.CONST || d.Tok == token.VAR {
				all := mutants("", d, func(int) string { return f.print(f.tree) })
				for _, m := range all {
					m.whole = true
				}
				f.constants = append(f.constants, all...)
			}
		}
	}
	return f, nil
}

func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if s, ok := t.(*ast.StarExpr); ok {
		t = s.X
	}
	return fmt.Sprint(t) + "." + d.Name.Name
}

func (f *file) print(n ast.Node) string {
	var b bytes.Buffer
	if err := format.Node(&b, f.fset, n); err != nil {
		panic(err) // a tree that was parsed
	}
	return b.String()
}

// overlay returns the file with all mutants of its functions in it: each function calls the
// one whose number the program was started with. It returns in which lines each mutant
// stands, too.
func (f *file) overlay() (src string, lines map[int]*mutant) {
	var b strings.Builder
	at := 0
	for _, fn := range f.functions {
		if len(fn.mutants) > 0 {
			end := f.fset.Position(fn.decl.Name.End()).Offset
			b.Write(f.src[at:end])
			b.WriteString("_0")
			at = end
		}
	}
	b.Write(f.src[at:])
	b.WriteString("\n")
	lines = map[int]*mutant{}
	line := strings.Count(b.String(), "\n") + 1
	for _, fn := range f.functions {
		if len(fn.mutants) == 0 {
			continue
		}
		for _, m := range fn.mutants {
			text := m.source + "\n"
			b.WriteString(text)
			for range strings.Count(text, "\n") {
				lines[line] = m
				line++
			}
		}
		text := f.chooser(fn)
		b.WriteString(text)
		line += strings.Count(text, "\n")
	}
	return b.String(), lines
}

// chooser returns the function that calls the right mutant.
func (f *file) chooser(fn function) string {
	d := fn.decl
	var params, args []string
	for _, p := range d.Type.Params.List {
		for range max(1, len(p.Names)) {
			name := fmt.Sprintf("p%d", len(params))
			params = append(params, name+" "+f.print(p.Type))
			if _, ok := p.Type.(*ast.Ellipsis); ok {
				name += "..."
			}
			args = append(args, name)
		}
	}
	var results []string
	if d.Type.Results != nil {
		for _, r := range d.Type.Results.List {
			for range max(1, len(r.Names)) {
				results = append(results, f.print(r.Type))
			}
		}
	}
	head, callee, typeParams := "", d.Name.Name, ""
	if d.Recv != nil {
		head, callee = "(recv "+f.print(d.Recv.List[0].Type)+") ", "recv."+callee
	}
	if d.Type.TypeParams != nil {
		var all, names []string
		for _, p := range d.Type.TypeParams.List {
			for _, n := range p.Names {
				all = append(all, n.Name+" "+f.print(p.Type))
				names = append(names, n.Name)
			}
		}
		typeParams = "[" + strings.Join(all, ", ") + "]"
		callee += "%s[" + strings.Join(names, ", ") + "]"
	} else {
		callee += "%s"
	}
	call := func(id int) string {
		text := fmt.Sprintf(callee, fmt.Sprintf("_%d", id)) + "(" + strings.Join(args, ", ") + ")"
		if len(results) > 0 {
			return "return " + text
		}
		return text + "; return"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "func %s%s%s(%s) (%s) {\nswitch mutant {\n", head, d.Name.Name, typeParams, strings.Join(params, ", "), strings.Join(results, ", "))
	fmt.Fprintf(&b, "case -1: mutantReached(%d)\n", fn.mutants[0].id)
	for _, m := range fn.mutants {
		fmt.Fprintf(&b, "case %d: %s\n", m.id, call(m.id))
	}
	fmt.Fprintf(&b, "}\n%s\n}\n", call(0))
	return b.String()
}

// chosen is the source that each package with mutants gets.
const chosen = `package %s

import (
	"fmt"
	"os"
	"strconv"
	"sync"
)

var mutant, _ = strconv.Atoi(os.Getenv("MUTANT"))

var mutantsReached sync.Map

func mutantReached(id int) {
	if _, twice := mutantsReached.LoadOrStore(id, true); !twice {
		f, err := os.OpenFile(os.Getenv("MUTANT_TRACE"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintln(f, id)
			f.Close()
		}
	}
}
`
