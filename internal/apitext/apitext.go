// Package apitext says what a package exports, in lines of text. Its test compares
// them with the files in the directory api, so that a change of what this module
// exports is seen in review:
//
//	go test ./internal/apitext            # what differs
//	go test ./internal/apitext -update    # writes the files
//
// There is a line for each constant with its value, variable, function, type, exported
// field, and method. Names of parameters are left out, and whatever is deprecated.
package apitext

import (
	"fmt"
	"go/ast"
	"go/types"
	"slices"
	"strings"

	"github.com/go-sealring/sealring/internal/declared"
)

// lines returns what p exports, sorted, but for what deprecated names: "Name", or
// "Type.Name" for a field or a method.
func lines(p *types.Package, deprecated map[string]bool) []string {
	d := describer{pkg: p, deprecated: deprecated}
	for _, name := range p.Scope().Names() {
		if obj := p.Scope().Lookup(name); obj.Exported() && !deprecated[name] {
			d.object(obj)
		}
	}
	slices.Sort(d.lines)
	return d.lines
}

type describer struct {
	pkg        *types.Package
	deprecated map[string]bool
	lines      []string
}

func (d *describer) add(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// shows reports whether a field or a method of the type is a line.
func (d *describer) shows(typeName string, member types.Object) bool {
	return member.Exported() && !d.deprecated[typeName+"."+member.Name()]
}

func (d *describer) object(obj types.Object) {
	switch obj := obj.(type) {
	case *types.Const:
		d.add("const %s %s = %s", obj.Name(), d.text(obj.Type()), obj.Val().ExactString())
	case *types.Var:
		d.add("var %s %s", obj.Name(), d.text(obj.Type()))
	case *types.Func:
		sig := obj.Signature()
		d.add("func %s%s%s", obj.Name(), d.typeParams(sig.TypeParams()), d.signature(sig))
	case *types.TypeName:
		d.typeName(obj)
	}
}

func (d *describer) typeName(obj *types.TypeName) {
	named, ok := obj.Type().(*types.Named)
	if !ok || obj.IsAlias() {
		d.add("type %s = %s", obj.Name(), d.text(types.Unalias(obj.Type())))
		return
	}
	head := "type " + obj.Name() + d.typeParams(named.TypeParams())
	switch u := named.Underlying().(type) {
	case *types.Struct:
		d.add("%s struct", head)
		for f := range u.Fields() {
			switch {
			case !d.shows(obj.Name(), f):
			case f.Embedded():
				d.add("%s struct, embeds %s", head, d.text(f.Type()))
			default:
				d.add("%s struct, %s %s", head, f.Name(), d.text(f.Type()))
			}
		}
	case *types.Interface:
		d.interfaceType(head, obj.Name(), u)
		return // its methods are its type
	default:
		d.add("%s %s", head, d.text(u))
	}
	d.methods(named)
}

func (d *describer) interfaceType(head, name string, u *types.Interface) {
	d.add("%s interface", head)
	if !u.IsMethodSet() {
		d.add("%s interface, %s", head, d.text(u)) // a constraint
	}
	closed := false
	for m := range u.Methods() { // those of what it embeds too
		if d.shows(name, m) {
			d.add("%s interface, %s%s", head, m.Name(), d.signature(m.Signature()))
		}
		closed = closed || !m.Exported()
	}
	if closed {
		d.add("%s interface, has methods that are not exported", head)
	}
}

// methods adds what can be called on a value or a pointer, but for what an embedded
// field that is exported brings: that line says it.
func (d *describer) methods(named *types.Named) {
	name, values := named.Obj().Name(), types.NewMethodSet(named)
	for m := range types.NewMethodSet(types.NewPointer(named)).Methods() {
		if !d.shows(name, m.Obj()) || d.promoted(named, m) {
			continue
		}
		receiver := "*" + name
		if values.Lookup(d.pkg, m.Obj().Name()) != nil {
			receiver = name
		}
		d.add("method (%s) %s%s", receiver, m.Obj().Name(), d.signature(m.Type().(*types.Signature)))
	}
}

func (d *describer) promoted(named *types.Named, m *types.Selection) bool {
	if len(m.Index()) == 1 {
		return false
	}
	return named.Underlying().(*types.Struct).Field(m.Index()[0]).Exported()
}

func (d *describer) text(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == d.pkg {
			return ""
		}
		return p.Name()
	})
}

func (d *describer) typeParams(list *types.TypeParamList) string {
	var params []string
	for p := range list.TypeParams() {
		params = append(params, p.Obj().Name()+" "+d.text(p.Constraint()))
	}
	if params == nil {
		return ""
	}
	return "[" + strings.Join(params, ", ") + "]"
}

func (d *describer) signature(s *types.Signature) string {
	var params, results []string
	for v := range s.Params().Variables() {
		params = append(params, d.text(v.Type()))
	}
	for v := range s.Results().Variables() {
		results = append(results, d.text(v.Type()))
	}
	if s.Variadic() {
		last := len(params) - 1
		params[last] = "..." + strings.TrimPrefix(params[last], "[]")
	}
	text := "(" + strings.Join(params, ", ") + ")"
	switch len(results) {
	case 0:
		return text
	case 1:
		return text + " " + results[0]
	}
	return text + " (" + strings.Join(results, ", ") + ")"
}

// deprecatedNames returns the names whose documentation in the files has a paragraph
// that begins with "Deprecated:", in the form that lines takes.
func deprecatedNames(files []*ast.File) map[string]bool {
	names := map[string]bool{}
	for _, f := range files {
		declared.Each(f, func(name string, docs ...*ast.CommentGroup) {
			for _, doc := range docs {
				if strings.Contains("\n\n"+doc.Text(), "\n\nDeprecated:") {
					names[name] = true
				}
			}
		})
	}
	return names
}
