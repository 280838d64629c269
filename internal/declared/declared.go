// Package declared lists what a file of Go code declares.
package declared

import "go/ast"

// Each calls do for each name that a file declares at its top level, with the comments that
// document it, of which any may be nil: constants, variables, functions and types by their
// names, and methods, fields of structs and methods of interfaces as "Type.Name".
func Each(file *ast.File, do func(name string, docs ...*ast.CommentGroup)) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			do(receiver(d)+d.Name.Name, d.Doc)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.ValueSpec:
					for _, n := range s.Names {
						do(n.Name, d.Doc, s.Doc)
					}
				case *ast.TypeSpec:
					do(s.Name.Name, d.Doc, s.Doc)
					for _, m := range members(s.Type) {
						for _, n := range m.Names {
							do(s.Name.Name+"."+n.Name, m.Doc)
						}
					}
				}
			}
		}
	}
}

// receiver returns the type of a method with a dot behind it, and nothing for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	for t := d.Recv.List[0].Type; ; {
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
