package fieldgorm

import (
	"database/sql/driver"
	"errors"
	"reflect"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/go-sealring/sealring/envelope/field"
)

// columns are what of a GORM schema is sealed.
type columns struct {
	schema *schema.Schema
	model  *Model // nil if the type is not registered

	sealed  []*sealedColumn
	bound   []*schema.Field // of the row's key and of the context
	row     []*schema.Field
	byName  map[string]*sealedColumn // by DBName
	indexed map[string]*sealedColumn // by the DBName of an index
}

// A sealedColumn is a field.Sealed of a model, with its indexes.
type sealedColumn struct {
	*schema.Field
	indexes []*schema.Field
}

var (
	sealedType = reflect.TypeFor[field.Sealed[string]]()
	indexType  = reflect.TypeFor[field.Index]()
)

// isSealed says whether t is a field.Sealed.
func isSealed(t reflect.Type) bool {
	return t != nil && t.PkgPath() == sealedType.PkgPath() && strings.HasPrefix(t.Name(), "Sealed[")
}

// newColumns reads the tags of a schema, which field.NewTable has checked if there is a
// model. It returns nil if nothing is sealed.
func newColumns(s *schema.Schema, m *Model) *columns {
	c := &columns{schema: s, model: m, byName: map[string]*sealedColumn{}, indexed: map[string]*sealedColumn{}}
	named := map[string]*sealedColumn{} // as tags name them
	var indexes []*schema.Field
	for _, f := range s.Fields {
		name, options, prefix := tagOf(f)
		if f.DBName == "" || name == "-" {
			continue
		}
		_, isRow := options["row"]
		_, isContext := options["context"]
		switch {
		case isSealed(f.FieldType):
			one := &sealedColumn{Field: f}
			c.sealed = append(c.sealed, one)
			c.byName[f.DBName], named[prefix+name] = one, one
		case f.FieldType == indexType:
			indexes = append(indexes, f)
		case isRow || isContext:
			c.bound = append(c.bound, f)
			if isRow {
				c.row = append(c.row, f)
			}
		}
	}
	for _, f := range indexes {
		_, options, prefix := tagOf(f)
		if one := named[prefix+options["index"]]; one != nil {
			one.indexes = append(one.indexes, f)
			c.indexed[f.DBName] = one
		}
	}
	if len(c.sealed) == 0 {
		return nil
	}
	return c
}

// tagOf reads the seal tag of a field, and the prefixes of the structs that it is in. The
// name is "-" if it or one of them is left out.
func tagOf(f *schema.Field) (name string, options map[string]string, prefix string) {
	t, path := f.Schema.ModelType, f.StructField.Index
	for i, n := range path {
		if n < 0 { // through a pointer, as GORM has it
			n = -n - 1
		}
		inner := t.Field(n)
		name, options = parseTag(inner.Tag.Get("seal"))
		if name == "-" {
			return name, nil, ""
		}
		if i == len(path)-1 {
			break
		}
		prefix += options["prefix"]
		if t = inner.Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	return name, options, prefix
}

func parseTag(text string) (name string, options map[string]string) {
	options = map[string]string{}
	for i, item := range strings.Split(text, ",") {
		if key, value, ok := strings.Cut(item, "="); i == 0 && !ok {
			name = item
		} else {
			options[key] = value
		}
	}
	return name, options
}

// find returns the sealed column of a name, or that whose index it is. Names of Go's fields
// are found too, since GORM takes them, and any case, since databases do.
func (c *columns) find(name string) (one *sealedColumn, isIndex bool) {
	named := func(f *schema.Field) bool {
		return strings.EqualFold(name, f.DBName) || strings.EqualFold(name, f.Name)
	}
	for _, one := range c.sealed {
		if named(one.Field) {
			return one, false
		}
		for _, x := range one.indexes {
			if named(x) {
				return one, true
			}
		}
	}
	return nil, false
}

// findBound returns the part of the row's key or of the context that has a name.
func (c *columns) findBound(name string) *schema.Field {
	for _, f := range c.bound {
		if strings.EqualFold(name, f.DBName) || strings.EqualFold(name, f.Name) {
			return f
		}
	}
	return nil
}

// isCiphertext says whether v is NULL, or a sealed value in any form in which a column may
// hold it.
func isCiphertext(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []byte, string:
		var s field.Sealed[string]
		if s.Scan(v) != nil {
			return false
		}
		_, err := s.Value()
		return err == nil
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer {
		return rv.IsNil() || isCiphertext(rv.Elem().Interface())
	}
	if !isSealed(rv.Type()) {
		return false
	}
	_, err := v.(driver.Valuer).Value()
	return err == nil
}

// isClosed says whether v is a sealed value that was not opened, of which there is no index.
func isClosed(v any) bool {
	if v == nil {
		return false // of a struct that is nil
	}
	err, _ := reflect.ValueOf(v).MethodByName("Plaintext").Call(nil)[1].Interface().(error)
	return errors.Is(err, field.ErrNotOpened)
}

// isTerm says whether v may be a term of an index: bytes, or what a driver makes of several.
func isTerm(v any) bool {
	if v == nil {
		return true
	}
	t := reflect.TypeOf(v)
	if _, ok := v.(driver.Valuer); ok {
		return !isSealed(t)
	}
	return (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && t.Elem().Kind() == reflect.Uint8
}

// isOpaque says whether v is SQL, into which the plugin does not look.
func isOpaque(v any) bool {
	switch v.(type) {
	case *gorm.DB, clause.Expression, clause.Column, gorm.Valuer:
		return true
	}
	return false
}

// records returns pointers to the records in v: a struct, or a slice or an array of structs
// or of pointers to them. It returns nil if there are none, or if they cannot be changed.
func records(v reflect.Value) []reflect.Value {
	switch v.Kind() {
	case reflect.Struct:
		if v.CanAddr() {
			return []reflect.Value{v.Addr()}
		}
	case reflect.Slice, reflect.Array:
		var all []reflect.Value
		for i := range v.Len() {
			switch e := v.Index(i); {
			case e.Kind() == reflect.Pointer && e.Type().Elem().Kind() == reflect.Struct:
				all = append(all, e)
			case e.Kind() == reflect.Struct && e.CanAddr():
				all = append(all, e.Addr())
			default:
				return nil
			}
		}
		return all
	}
	return nil
}

// recordType returns the type of the records in v, nil if it has none.
func recordType(v reflect.Value) reflect.Type {
	if !v.IsValid() {
		return nil
	}
	t := v.Type()
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		t = t.Elem()
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// addressable returns v, or a copy of it that can be changed.
func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() || v.Kind() == reflect.Slice {
		return v
	}
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	return c
}
