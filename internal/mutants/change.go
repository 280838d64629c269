package main

import (
	"go/ast"
	"go/format"
	"go/token"
	"reflect"
	"strconv"
	"strings"
)

// A change makes one mutant: do changes the syntax tree, and undo takes that back.
type change struct {
	pos      token.Pos
	text     string
	do, undo func()
}

// changes returns all changes of the tree under n.
func changes(fset *token.FileSet, n ast.Node) []change {
	f := &finder{fset: fset}
	ast.Walk(f, n)
	return f.found
}

type finder struct {
	fset  *token.FileSet
	found []change
}

func (f *finder) add(n ast.Node, text string, do, undo func()) {
	f.found = append(f.found, change{n.Pos(), text, do, undo})
}

// set adds the change of one field of a node.
func set[T any](f *finder, n ast.Node, text string, field *T, to T) {
	was := *field
	f.add(n, text, func() { *field = to }, func() { *field = was })
}

// swap adds the change of an expression into others.
func (f *finder) swap(field *ast.Expr, to ...ast.Expr) {
	for _, e := range to {
		set(f, *field, f.source(*field)+" -> "+f.source(e), field, e)
	}
}

func (f *finder) source(n ast.Node) string {
	var b strings.Builder
	format.Node(&b, f.fset, n)
	text := strings.Join(strings.Fields(b.String()), " ")
	if len(text) > 70 {
		text = text[:67] + "..."
	}
	return text
}

var others = map[token.Token][]token.Token{
	token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL},
	token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS, token.GTR},
	token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR, token.LSS},
	token.ADD: {token.SUB}, token.SUB: {token.ADD},
	token.MUL: {token.QUO}, token.QUO: {token.MUL}, token.REM: {token.MUL},
	token.SHL: {token.SHR}, token.SHR: {token.SHL},
	token.AND: {token.OR}, token.OR: {token.AND}, token.XOR: {token.AND},
	token.INC: {token.DEC}, token.DEC: {token.INC},
	token.ADD_ASSIGN: {token.SUB_ASSIGN}, token.SUB_ASSIGN: {token.ADD_ASSIGN},
}

// Visit implements [ast.Visitor].
func (f *finder) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		for _, op := range others[n.Op] {
			set(f, n, f.source(n)+": "+op.String(), &n.Op, op)
		}
	case *ast.IncDecStmt:
		set(f, n, f.source(n)+": "+others[n.Tok][0].String(), &n.Tok, others[n.Tok][0])
	case *ast.AssignStmt:
		for _, op := range others[n.Tok] {
			set(f, n, f.source(n)+": "+op.String(), &n.Tok, op)
		}
	case *ast.BranchStmt:
		if n.Label == nil && n.Tok == token.BREAK {
			set(f, n, "break -> continue", &n.Tok, token.CONTINUE)
		} else if n.Label == nil && n.Tok == token.CONTINUE {
			set(f, n, "continue -> break", &n.Tok, token.BREAK)
		}
	case *ast.BasicLit:
		f.literal(n)
	case *ast.SliceExpr:
		f.slice(n)
	case *ast.IfStmt:
		f.condition(&n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil { // one that always holds would only take time
			set[ast.Expr](f, n.Cond, f.source(n.Cond)+" -> false", &n.Cond,
				&ast.BinaryExpr{X: &ast.ParenExpr{X: n.Cond}, Op: token.LAND, Y: ast.NewIdent("false")})
		}
	case *ast.SwitchStmt:
		for _, s := range n.Body.List {
			if c := s.(*ast.CaseClause); n.Tag == nil {
				for i := range c.List {
					f.condition(&c.List[i])
				}
			}
		}
	case *ast.CaseClause:
		if len(n.Body) > 0 {
			set(f, n, f.source(&ast.CaseClause{List: n.List})+" with nothing to do", &n.Body, nil)
		}
		f.statements(n.Body)
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.ReturnStmt:
		f.results(n)
	}
	f.fields(n)
	return f
}

// condition has a condition always or never hold. It is evaluated all the same, so that the
// variables in it are in use. What negates it is among the other operators, but for single
// values.
func (f *finder) condition(field *ast.Expr) {
	paren := &ast.ParenExpr{X: *field}
	text := f.source(*field)
	set[ast.Expr](f, *field, text+" -> true", field, &ast.BinaryExpr{X: paren, Op: token.LOR, Y: ast.NewIdent("true")})
	set[ast.Expr](f, *field, text+" -> false", field, &ast.BinaryExpr{X: paren, Op: token.LAND, Y: ast.NewIdent("false")})
	switch e := (*field).(type) {
	case *ast.UnaryExpr, *ast.BinaryExpr:
	default:
		f.swap(field, &ast.UnaryExpr{Op: token.NOT, X: &ast.ParenExpr{X: e}})
	}
}

// statements leaves one of the statements out.
func (f *finder) statements(list []ast.Stmt) {
	for i, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt, *ast.BranchStmt:
		default:
			continue
		}
		set[ast.Stmt](f, s, "without "+f.source(s), &list[i], &ast.EmptyStmt{Semicolon: s.Pos()})
	}
}

// results has a function return no error, and the other truth.
func (f *finder) results(n *ast.ReturnStmt) {
	for i, e := range n.Results {
		if id, ok := e.(*ast.Ident); ok && (id.Name == "true" || id.Name == "false") {
			f.swap(&n.Results[i], ast.NewIdent(map[string]string{"true": "false", "false": "true"}[id.Name]))
		}
	}
	if len(n.Results) == 0 {
		return
	}
	last := &n.Results[len(n.Results)-1]
	switch e := (*last).(type) {
	case *ast.Ident:
		if e.Name == "nil" || e.Name == "true" || e.Name == "false" {
			return
		}
	case *ast.CallExpr, *ast.SelectorExpr:
	default:
		return
	}
	f.swap(last, ast.NewIdent("nil"))
}

// literal changes a number, or a text that is not the text of an error.
func (f *finder) literal(n *ast.BasicLit) {
	switch n.Kind {
	case token.INT:
		v, err := strconv.ParseUint(n.Value, 0, 63)
		if err != nil {
			return
		}
		for _, to := range []uint64{0, v + 1} {
			if to != v {
				set(f, n, n.Value+" -> "+strconv.FormatUint(to, 10), &n.Value, strconv.FormatUint(to, 10))
			}
		}
	case token.STRING:
		if s, err := strconv.Unquote(n.Value); err == nil && s != "" {
			to := strconv.Quote(string(s[0]^1) + s[1:])
			set(f, n, n.Value+" -> "+to, &n.Value, to)
		}
	}
}

func (f *finder) slice(n *ast.SliceExpr) {
	if n.Slice3 {
		high, most := n.High, n.Max
		f.add(n, f.source(n)+" with its capacity", func() { n.Slice3, n.Max = false, nil }, func() { n.High, n.Max, n.Slice3 = high, most, true })
		return
	}
	if n.Low != nil {
		set(f, n, f.source(n)+" from 0", &n.Low, nil)
	}
	if n.High != nil {
		set(f, n, f.source(n)+" to the end", &n.High, nil)
	}
}

// fields changes the expressions that a node holds, where a call or a negation can be
// replaced by what it is given.
func (f *finder) fields(n ast.Node) {
	v := reflect.ValueOf(n)
	if n == nil || v.Kind() != reflect.Pointer {
		return
	}
	v = v.Elem()
	for i := range v.NumField() {
		switch field := v.Field(i).Addr().Interface().(type) {
		case *ast.Expr:
			f.expression(field)
		case *[]ast.Expr:
			for i := range *field {
				f.expression(&(*field)[i])
			}
		}
	}
}

func (f *finder) expression(field *ast.Expr) {
	switch e := (*field).(type) {
	case *ast.UnaryExpr:
		if e.Op == token.NOT || e.Op == token.SUB {
			f.swap(field, e.X)
		}
	case *ast.CallExpr:
		name := ""
		switch fun := e.Fun.(type) {
		case *ast.Ident:
			name = fun.Name
		case *ast.SelectorExpr:
			name = fun.Sel.Name
		}
		switch {
		case name == "min":
			set[ast.Expr](f, e, f.source(e)+": max", &e.Fun, ast.NewIdent("max"))
		case name == "max":
			set[ast.Expr](f, e, f.source(e)+": min", &e.Fun, ast.NewIdent("min"))
		case strings.HasPrefix(strings.ToLower(name), "append") && len(e.Args) > 1:
			f.swap(field, e.Args[0])
			for i := 1; name == "append" && len(e.Args) > 2 && i < len(e.Args); i++ {
				fewer := append(append([]ast.Expr{}, e.Args[:i]...), e.Args[i+1:]...)
				set(f, e, f.source(e)+" without "+f.source(e.Args[i]), &e.Args, fewer)
			}
		}
	}
}
