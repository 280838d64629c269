package fieldgorm

import (
	"reflect"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// afterQuery opens what GORM has read, with what it has joined.
func (b *bound) afterQuery(db *gorm.DB) {
	stmt := db.Statement
	if db.Error != nil || db.DryRun || db.RowsAffected == 0 {
		return
	}
	b.open(db, recordType(stmt.ReflectValue), records(stmt.ReflectValue))
	if stmt.Schema == nil || recordType(stmt.ReflectValue) != stmt.Schema.ModelType {
		return
	}
	for _, join := range stmt.Joins {
		b.openJoined(db, join.Name)
	}
}

// openReturned opens what a statement that writes has read back, as clause.Returning does.
func (b *bound) openReturned(db *gorm.DB) {
	if _, ok := db.Statement.Clauses["RETURNING"]; ok && db.Error == nil && !db.DryRun {
		b.open(db, recordType(db.Statement.ReflectValue), records(db.Statement.ReflectValue))
	}
}

// open opens records, if their type is registered.
func (b *bound) open(db *gorm.DB, t reflect.Type, all []reflect.Value) {
	if m := b.models[t]; m != nil && len(all) > 0 {
		db.AddError(m.open(db.Statement.Context, all))
	}
}

// openJoined opens the records along a join's path, such as Doctor.Clinic. A name that is
// no path is SQL, and fills no records.
func (b *bound) openJoined(db *gorm.DB, path string) {
	s, from := db.Statement.Schema, records(db.Statement.ReflectValue)
	for _, name := range strings.Split(path, ".") {
		rel := s.Relationships.Relations[name]
		if rel == nil {
			return
		}
		s, from = rel.FieldSchema, joined(db, rel, from)
		b.open(db, s.ModelType, from)
	}
}

// joined returns pointers to the records that a relation leads to from others.
func joined(db *gorm.DB, rel *schema.Relationship, from []reflect.Value) []reflect.Value {
	var all []reflect.Value
	for _, r := range from {
		v := rel.Field.ReflectValueOf(db.Statement.Context, r)
		if v.Kind() != reflect.Pointer {
			v = v.Addr()
		}
		if !v.IsNil() {
			all = append(all, v)
		}
	}
	return all
}
