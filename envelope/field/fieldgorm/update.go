package fieldgorm

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/go-sealring/sealring/envelope/field"
)

// ownSet marks a statement to which the plugin has added SET.
const ownSet = "sealring:set"

// beforeUpdate seals what is about to be updated. What that is, GORM's own function says,
// for all of its ways to write an update; what it returns is put in its place.
func (b *bound) beforeUpdate(db *gorm.DB) {
	stmt := db.Statement
	c := b.columnsIn(stmt)
	b.checkConditions(db)
	if db.Error != nil || c == nil || stmt.SQL.Len() > 0 {
		return
	}
	u := &update{stmt: stmt, columns: c}
	set, given := stmt.Clauses["SET"].Expression.(clause.Set)
	maps := mapsIn(stmt.Dest)
	u.fromMap = maps != nil
	for _, m := range maps {
		// Before GORM puts the values into the model.
		if db.AddError(u.checkMap(m)) != nil {
			return
		}
	}
	if stmt.Schema == nil {
		return
	}
	u.remember()
	if !given {
		set = callbacks.ConvertToAssignments(stmt)
	}
	if db.Error != nil || len(set) == 0 {
		return
	}
	set, err := u.seal(slices.Clone(set))
	if db.AddError(err) != nil {
		return
	}
	if !given {
		stmt.Settings.Store(ownSet, true)
	}
	stmt.Clauses["SET"] = clause.Clause{Name: "SET", Expression: set}
}

// afterUpdate leaves a statement as GORM would.
func (b *bound) afterUpdate(db *gorm.DB) {
	if _, ok := db.Statement.Settings.LoadAndDelete(ownSet); ok {
		delete(db.Statement.Clauses, "SET")
	}
	b.openReturned(db)
}

// An update is one statement that updates a model with sealed columns.
type update struct {
	*columns
	stmt    *gorm.Statement
	fromMap bool

	// known are the parts of the row's key and of the context, as the statement's model
	// and conditions have them, by DBName.
	known map[string]any
}

// checkMap says what in a map cannot be written.
func (u *update) checkMap(m map[string]any) error {
	for name, v := range m {
		switch one, isIndex := u.find(unquote(name)); {
		case one == nil && u.stmt.Schema == nil && u.findBound(unquote(name)) != nil:
			return u.moved(name)
		case one == nil:
		case u.stmt.Schema == nil:
			return u.fail(name, field.ErrUnsealed, "nothing is sealed without a model: use Model(&%v{…})", u.schema.ModelType)
		case isIndex && u.model != nil:
			return u.fail(name, field.ErrInvalidArgument, "it is an index, which is written when %s is: leave it out", one.DBName)
		case !isIndex && v != nil && reflect.TypeOf(v) != one.FieldType:
			return u.fail(name, field.ErrUnsealed, "give it a %v, as field.New makes it, not a %T", one.FieldType, v)
		}
	}
	return nil
}

// remember finds what is known of the row before GORM changes the model.
func (u *update) remember() {
	u.known = map[string]any{}
	var where []clause.Expression
	if w, ok := u.stmt.Clauses["WHERE"].Expression.(clause.Where); ok {
		where = w.Exprs
	}
	for name, v := range u.equalities(where) {
		if f := u.findBound(name); f != nil {
			u.known[f.DBName] = v
		}
	}
	if v := u.stmt.ReflectValue; v.Kind() == reflect.Struct && v.Type() == u.schema.ModelType {
		for _, f := range u.bound {
			if v, zero := f.ValueOf(u.stmt.Context, v); !zero {
				u.known[f.DBName] = v
			}
		}
	}
}

// seal seals the values of the assignments. It adds their indexes, and removes others.
func (u *update) seal(set clause.Set) (clause.Set, error) {
	var written []*sealedColumn
	for _, a := range set {
		one := u.byName[a.Column.Name]
		if one == nil {
			continue
		}
		if a.Value != nil && reflect.TypeOf(a.Value) != one.FieldType {
			return nil, u.fail(a.Column.Name, field.ErrUnsealed, "give it a %v, as field.New makes it, not a %T", one.FieldType, a.Value)
		}
		if u.model == nil && a.Value != nil {
			if err := u.writable(one, a.Value); err != nil {
				return nil, err
			}
		}
		written = append(written, one)
	}
	if u.model == nil {
		return set, nil
	}
	set, err := u.withoutIndexes(set, written)
	if err != nil {
		return nil, err
	}
	if len(written) < len(u.sealed) {
		if err := u.checkMoved(set); err != nil {
			return nil, err
		}
	}
	if len(written) == 0 {
		return set, nil
	}
	record, err := u.sealRecord(set)
	if err != nil {
		return nil, err
	}
	for i, a := range set {
		if one := u.byName[a.Column.Name]; one != nil {
			v, _ := one.ValueOf(u.stmt.Context, record)
			if err := u.writable(one, v); err != nil {
				return nil, err
			}
			set[i].Value = v
		}
	}
	for _, one := range written {
		value, _ := one.ValueOf(u.stmt.Context, record)
		for _, x := range one.indexes {
			v, zero := x.ValueOf(u.stmt.Context, record)
			if zero && isClosed(value) {
				continue // it was not read, and is right
			}
			set = append(set, clause.Assignment{Column: clause.Column{Name: x.DBName}, Value: v})
		}
	}
	u.giveBack(record, written)
	return set, nil
}

// withoutIndexes removes the assignments of indexes: those of columns that are written are
// made anew, and others do not change.
func (u *update) withoutIndexes(set clause.Set, written []*sealedColumn) (clause.Set, error) {
	var err error
	set = slices.DeleteFunc(set, func(a clause.Assignment) bool {
		one := u.indexed[a.Column.Name]
		if one != nil && !slices.Contains(written, one) && slices.ContainsFunc(u.stmt.Selects, func(s string) bool {
			f := u.schema.LookUpField(s)
			return f != nil && f.DBName == a.Column.Name
		}) {
			err = u.fail(a.Column.Name, field.ErrInvalidArgument, "it is an index, which is written when %s is: select that", one.DBName)
		}
		return one != nil
	})
	return set, err
}

// checkMoved returns an error if the row's key or its context changes, and not all that is
// sealed for it is sealed anew: that could not be opened any more.
func (u *update) checkMoved(set clause.Set) error {
	if u.isModel() {
		return nil // what it was before is not known here
	}
	for _, a := range set {
		f := u.findBound(a.Column.Name)
		if f == nil {
			continue
		}
		if v, ok := u.known[f.DBName]; ok && fmt.Sprint(v) != fmt.Sprint(a.Value) || !ok && u.fromMap {
			return u.moved(a.Column.Name)
		}
	}
	return nil
}

func (u *update) moved(name string) error {
	return u.fail(name, field.ErrInvalidArgument, "the sealed columns of the row are bound to it: read the record, change it, and Save it")
}

// isModel says whether the values come from the model itself.
func (u *update) isModel() bool {
	dest := reflect.Indirect(reflect.ValueOf(u.stmt.Dest))
	model := u.stmt.ReflectValue
	return dest.CanAddr() && model.Kind() == reflect.Struct && model.CanAddr() && dest.Type() == model.Type() && dest.Addr().Pointer() == model.Addr().Pointer()
}

// sealRecord returns a pointer to a record with the columns of the set, sealed: the model,
// or one that has only them, and what is known of the row.
func (u *update) sealRecord(set clause.Set) (reflect.Value, error) {
	ctx := u.stmt.Context
	if u.isModel() {
		record := u.stmt.ReflectValue.Addr()
		return record, u.model.seal(ctx, []reflect.Value{record})
	}
	record := reflect.New(u.schema.ModelType)
	put := func(f *schema.Field, v any) error {
		if err := f.Set(ctx, record, v); err != nil {
			// GORM's error has the value.
			return u.fail(f.DBName, field.ErrInvalidArgument, "a %T cannot be put into a %v", v, f.FieldType)
		}
		return nil
	}
	for _, f := range u.bound {
		if v, ok := u.known[f.DBName]; ok {
			if err := put(f, v); err != nil {
				return record, err
			}
		}
	}
	for _, a := range set {
		f := u.schema.FieldsByDBName[a.Column.Name]
		if f == nil || u.byName[f.DBName] == nil && !slices.Contains(u.bound, f) {
			continue
		}
		if err := put(f, a.Value); err != nil {
			return record, err
		}
	}
	err := u.model.seal(ctx, []reflect.Value{record})
	if err == nil {
		return record, nil
	}
	for _, f := range u.bound {
		if _, zero := f.ValueOf(ctx, record); zero {
			return record, &Error{Model: u.schema.ModelType.String(), Err: fmt.Errorf(
				"%w; it must be known which one row is updated: give %s in the model, as in Model(&%v{…}), or in the struct", err, f.Name, u.schema.ModelType)}
		}
	}
	return record, err
}

// giveBack puts what was sealed where the caller sees it.
func (u *update) giveBack(record reflect.Value, written []*sealedColumn) {
	if u.isModel() {
		return
	}
	ctx := u.stmt.Context
	to := []reflect.Value{reflect.ValueOf(u.stmt.Dest)}
	if recordType(u.stmt.ReflectValue) == u.schema.ModelType {
		to = append(to, records(u.stmt.ReflectValue)...)
	}
	for _, r := range to {
		if r.Kind() != reflect.Pointer || r.IsNil() || r.Type().Elem() != u.schema.ModelType {
			continue
		}
		for _, one := range written {
			for _, f := range append([]*schema.Field{one.Field}, one.indexes...) {
				f.ReflectValueOf(ctx, r).Set(f.ReflectValueOf(ctx, record))
			}
		}
	}
}

// equalities returns the columns that conditions, all of which must hold, compare with one
// value.
func (u *update) equalities(exprs []clause.Expression) map[string]any {
	found := map[string]any{}
	for _, e := range exprs {
		switch e := e.(type) {
		case clause.AndConditions:
			for name, v := range u.equalities(e.Exprs) {
				found[name] = v
			}
		case clause.OrConditions:
			return nil // a single one joins what is before it
		case clause.Eq:
			if table, name, ok := columnName(e.Column); ok && u.isOwn(table) {
				found[name] = e.Value
			}
		case clause.Expr:
			if t := tokens(e.SQL); len(e.Vars) == 1 {
				if table, name, ok := equalsArgument(t); ok && u.isOwn(table) {
					found[name] = e.Vars[0]
				}
			}
		}
	}
	return found
}

// isOwn says whether a column of a table with this name is the model's.
func (u *update) isOwn(table string) bool {
	return table == "" || table == clause.CurrentTable || strings.EqualFold(table, u.stmt.Table)
}
