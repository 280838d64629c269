package fieldgorm

import (
	"database/sql"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// checkConditions returns an error if a statement compares a sealed column with plaintext,
// which would find nothing.
func (b *bound) checkConditions(db *gorm.DB) {
	stmt := db.Statement
	if db.Error != nil || stmt.SQL.Len() > 0 {
		return
	}
	var exprs []clause.Expression
	if w := stmt.Clauses["WHERE"].Expression; w != nil {
		exprs = append(exprs, w)
	}
	if g, ok := stmt.Clauses["GROUP BY"].Expression.(clause.GroupBy); ok {
		exprs = append(exprs, g.Having...)
	}
	if f, ok := stmt.Clauses["FROM"].Expression.(clause.From); ok {
		for _, j := range f.Joins {
			exprs = append(exprs, j.ON)
		}
	}
	for _, j := range stmt.Joins {
		switch rel := relation(stmt.Schema, strings.Split(j.Name, ".")); {
		case rel == nil:
			exprs = append(exprs, clause.NamedExpr{SQL: j.Name, Vars: j.Conds})
		case j.On != nil:
			// In it, the table without a name is the one that is joined.
			db.AddError(b.check(stmt, b.columnsOf(rel), *j.On))
		}
	}
	if len(exprs) > 0 {
		db.AddError(b.check(stmt, b.columnsIn(stmt), exprs...))
	}
}

// relation returns the schema to which a path of relations leads, nil if it is none.
func relation(s *schema.Schema, path []string) *schema.Schema {
	for _, name := range path {
		if s == nil || s.Relationships.Relations[name] == nil {
			return nil
		}
		s = s.Relationships.Relations[name].FieldSchema
	}
	return s
}

// check returns the first error in conditions of a statement.
func (b *bound) check(stmt *gorm.Statement, c *columns, exprs ...clause.Expression) error {
	k := &checker{bound: b, stmt: stmt, own: c}
	for _, e := range exprs {
		k.expression(e)
	}
	return k.err
}

// A checker goes through conditions. It keeps the first error.
type checker struct {
	*bound
	stmt *gorm.Statement
	own  *columns // of the statement's table, nil if nothing is sealed
	err  error
}

func (k *checker) expressions(all []clause.Expression) {
	for _, e := range all {
		k.expression(e)
	}
}

func (k *checker) expression(e clause.Expression) {
	switch e := e.(type) {
	case clause.Where:
		k.expressions(e.Exprs)
	case clause.AndConditions:
		k.expressions(e.Exprs)
	case clause.OrConditions:
		k.expressions(e.Exprs)
	case clause.NotConditions:
		k.expressions(e.Exprs)
	case clause.Eq:
		k.compared(e.Column, e.Value)
	case clause.Neq:
		k.compared(e.Column, e.Value)
	case clause.Gt:
		k.compared(e.Column, e.Value)
	case clause.Gte:
		k.compared(e.Column, e.Value)
	case clause.Lt:
		k.compared(e.Column, e.Value)
	case clause.Lte:
		k.compared(e.Column, e.Value)
	case clause.Like:
		k.compared(e.Column, e.Value)
	case clause.IN:
		k.compared(e.Column, e.Values)
	case clause.Expr:
		k.sql(e.SQL, e.Vars)
	case clause.NamedExpr:
		k.sql(e.SQL, e.Vars)
	}
}

// compared takes in that a column, as GORM has it, is compared with a value.
func (k *checker) compared(column, value any) {
	if table, name, ok := columnName(column); ok {
		k.value(table, name, value)
	}
}

// value takes in that a column is compared with a value, or with each of a slice.
func (k *checker) value(table, name string, v any) {
	c := k.columns(table)
	if k.err != nil || c == nil {
		return
	}
	one, isIndex := c.find(name)
	if one == nil || isOpaque(v) {
		return
	}
	if isIndex {
		for _, v := range each(v) {
			if !isTerm(v) {
				k.err = c.fail(name, ErrCondition, "it is an index of %s: compare it with what Table.Terms returns", one.DBName)
				return
			}
		}
		return
	}
	for _, v := range each(v) {
		if isCiphertext(v) {
			continue
		}
		instead := "it has no index"
		if len(one.indexes) > 0 {
			instead = "query by " + one.indexes[0].DBName + ", with what Table.Terms returns"
		}
		k.err = c.fail(name, ErrCondition, "the same value is sealed differently each time: %s", instead)
		return
	}
}

// each returns the elements of a slice, but for a slice of bytes, or v.
func each(v any) []any {
	rv := reflect.ValueOf(v)
	if k := rv.Kind(); k != reflect.Slice && k != reflect.Array || rv.Type().Elem().Kind() == reflect.Uint8 {
		return []any{v}
	}
	var all []any
	for i := range rv.Len() {
		all = append(all, rv.Index(i).Interface())
	}
	return all
}

// columns returns those of the table that a qualifier names: the statement's own, a
// relation that is joined, or another registered table.
func (k *checker) columns(table string) *columns {
	if table == "" || table == clause.CurrentTable || strings.EqualFold(table, k.stmt.Table) {
		return k.own
	}
	if s := relation(k.stmt.Schema, strings.Split(table, "__")); s != nil { // as GORM names what is joined
		return k.columnsOf(s)
	}
	return k.tables[table]
}

// columnName returns the parts of a column in a condition of GORM's.
func columnName(column any) (table, name string, ok bool) {
	switch c := column.(type) {
	case string:
		t := tokens(c)
		switch {
		case len(t) == 1 && t[0].kind == identifier:
			return "", t[0].text, true
		case len(t) == 3 && t[1].text == "." && t[2].kind == identifier:
			return t[0].text, t[2].text, true
		}
	case clause.Column:
		return c.Table, unquote(c.Name), true
	}
	return "", "", false
}

// unquote returns a column's name without its table and quotes.
func unquote(name string) string {
	if _, plain, ok := columnName(name); ok {
		return plain
	}
	return name
}

// A token is a piece of SQL.
type token struct {
	kind     kind
	text     string
	argument int // of a ?, counted from 0
}

type kind uint8

const (
	identifier  kind = iota
	literal          // a text or a number
	placeholder      // ?, or @name
	operator         // such as = or <>
	other            // a character
)

// tokens takes SQL apart, as far as is needed to see what a column is compared with.
func tokens(sql string) []token {
	var all []token
	arguments := 0
	for i := 0; i < len(sql); {
		start := i
		span := func(in func(c byte) bool) string {
			for i < len(sql) && in(sql[i]) {
				i++
			}
			return sql[start:i]
		}
		switch c := sql[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '\'' || c == '"' || c == '`' || c == '[' && isBracketed(sql[i+1:]):
			end := c
			if c == '[' {
				end = ']'
			}
			for i++; i < len(sql) && sql[i] != end; {
				i++
			}
			t := token{kind: identifier, text: sql[start+1 : i]}
			if c == '\'' {
				t = token{kind: literal}
			}
			all = append(all, t)
			i++
		case c == '?':
			all = append(all, token{kind: placeholder, text: "?", argument: arguments})
			arguments++
			i++
		case c == '@' && i+1 < len(sql) && isWord(sql[i+1]):
			i++ // span takes it in
			all = append(all, token{kind: placeholder, text: span(isWord)[1:]})
		case c >= '0' && c <= '9':
			all = append(all, token{kind: literal, text: span(func(c byte) bool { return isWord(c) || c == '.' })})
		case isWord(c):
			all = append(all, token{kind: identifier, text: span(isWord)})
		case strings.IndexByte("=<>!~", c) >= 0:
			all = append(all, token{kind: operator, text: span(func(c byte) bool { return strings.IndexByte("=<>!~*", c) >= 0 })})
		default:
			all = append(all, token{kind: other, text: sql[i : i+1]})
			i++
		}
	}
	return all
}

// isBracketed says whether SQL begins with a name and a bracket that closes. It is an array
// otherwise.
func isBracketed(sql string) bool {
	n := 0
	for n < len(sql) && isWord(sql[n]) {
		n++
	}
	return n > 0 && n < len(sql) && sql[n] == ']' && (sql[0] < '0' || sql[0] > '9')
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// equalsArgument returns the column of a condition such as id = ?.
func equalsArgument(t []token) (table, name string, ok bool) {
	if len(t) >= 3 && t[0].kind == identifier && t[1].text == "." {
		table, t = t[0].text, t[2:]
	}
	ok = len(t) == 3 && t[0].kind == identifier && t[1].text == "=" && t[2].kind == placeholder
	if !ok {
		return "", "", false
	}
	return table, t[0].text, true
}

// sql takes in a condition that is SQL: it looks at what is beside each sealed column.
func (k *checker) sql(text string, vars []any) {
	t := tokens(text)
	for i := range t {
		if t[i].kind != identifier {
			continue
		}
		from, to, table := i, i+1, ""
		if i >= 2 && t[i-1].text == "." && t[i-2].kind == identifier {
			from, table = i-2, t[i-2].text
		}
		// What does not change what is compared.
		if from >= 2 && t[from-1].text == "(" && isOneOf(t[from-2], "lower", "upper", "trim") && to < len(t) && t[to].text == ")" {
			from, to = from-2, to+1
		}
		if to+2 < len(t) && t[to].text == ":" && t[to+1].text == ":" { // a cast
			to += 3
		}
		for _, operand := range operands(t, from, to) {
			if operand.kind == literal {
				k.value(table, t[i].text, literalValue{})
			} else if v, ok := argument(operand, vars); ok {
				k.value(table, t[i].text, v)
			}
		}
	}
}

// literalValue stands for a value that is in the SQL itself.
type literalValue struct{}

func isOneOf(t token, words ...string) bool {
	return t.kind == identifier && slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, t.text) })
}

// operands returns the literals and placeholders with which what is at t[from:to] is
// compared.
func operands(t []token, from, to int) []token {
	var all []token
	if from >= 2 && t[from-1].kind == operator {
		all = append(all, t[from-2])
	}
	compares := false
	for to < len(t) && (t[to].kind == operator || isOneOf(t[to], "is", "not", "in", "like", "ilike", "glob", "between", "any", "some", "all", "distinct", "from")) {
		compares = true
		to++
	}
	if compares && to < len(t) {
		switch {
		case t[to].text == "(":
			for depth := 0; to < len(t); to++ {
				if t[to].text == "(" {
					depth++
				} else if t[to].text == ")" {
					depth--
				}
				if depth == 0 {
					break
				}
				all = append(all, t[to])
			}
		default:
			all = append(all, t[to])
			if to+2 < len(t) && isOneOf(t[to-1], "between") && isOneOf(t[to+1], "and") {
				all = append(all, t[to+2])
			}
		}
	}
	return slices.DeleteFunc(all, func(t token) bool { return t.kind != literal && t.kind != placeholder })
}

// argument returns the value of a placeholder.
func argument(t token, vars []any) (any, bool) {
	if t.text == "?" {
		if t.argument < len(vars) {
			return vars[t.argument], true
		}
		return nil, false
	}
	for _, v := range vars {
		switch v := v.(type) {
		case sql.NamedArg:
			if v.Name == t.text {
				return v.Value, true
			}
		case map[string]any:
			if value, ok := v[t.text]; ok {
				return value, true
			}
		default:
			s := reflect.Indirect(reflect.ValueOf(v))
			if s.Kind() != reflect.Struct {
				continue
			}
			if f, ok := s.Type().FieldByName(t.text); ok && f.IsExported() {
				return s.FieldByIndex(f.Index).Interface(), true
			}
		}
	}
	return nil, false
}
