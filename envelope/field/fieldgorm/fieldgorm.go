package fieldgorm

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/go-sealring/sealring/envelope/field"
)

// A Model is a type of records that a [Plugin] seals and opens. [Table] makes it.
type Model struct {
	record     reflect.Type
	seal, open func(ctx context.Context, records []reflect.Value) error // pointers to them
}

// Table returns the model of a table's records, for [New]. T is the type that GORM knows as
// the model.
func Table[T any](t *field.Table[T]) Model {
	m := Model{record: reflect.TypeFor[T]()}
	if t != nil {
		m.seal = func(ctx context.Context, records []reflect.Value) error { return t.Seal(ctx, typed[T](records)...) }
		m.open = func(ctx context.Context, records []reflect.Value) error { return t.Open(ctx, typed[T](records)...) }
	}
	return m
}

func typed[T any](records []reflect.Value) []*T {
	all := make([]*T, len(records))
	for i, r := range records {
		all[i] = r.Interface().(*T)
	}
	return all
}

// A Plugin is a GORM plugin, for gorm.DB.Use. It is not changed after New, and may be used
// by several databases and from several goroutines.
type Plugin struct{ models []Model }

// New returns a plugin for records of the given models, of which there is one for each type.
func New(models ...Model) *Plugin { return &Plugin{models} }

// Name implements gorm.Plugin. It is the name under which GORM keeps the plugin.
func (p *Plugin) Name() string { return "sealring" }

// Initialize implements gorm.Plugin; gorm.DB.Use calls it. The error is
// field.ErrInvalidArgument if a table is nil or there are two of one type, and GORM's own if
// it does not understand a type.
func (p *Plugin) Initialize(db *gorm.DB) error {
	b := &bound{models: map[reflect.Type]*Model{}, tables: map[string]*columns{}}
	for i := range p.models {
		m := &p.models[i]
		if m.seal == nil {
			return fmt.Errorf("fieldgorm: %w: models[%d] is not made by Table, or of a table that is nil", field.ErrInvalidArgument, i)
		}
		if b.models[m.record] != nil {
			return fmt.Errorf("fieldgorm: %w: there are two tables of %v", field.ErrInvalidArgument, m.record)
		}
		b.models[m.record] = m
		stmt := &gorm.Statement{DB: db}
		if err := stmt.Parse(reflect.New(m.record).Interface()); err != nil {
			return fmt.Errorf("fieldgorm: GORM cannot use %v; each field.Sealed needs a column type, as in `gorm:\"type:bytes\"`: %w", m.record, err)
		}
		b.tables[stmt.Schema.Table] = b.columnsOf(stmt.Schema)
	}
	return b.register(db)
}

// bound is a plugin in use by one database.
type bound struct {
	models map[reflect.Type]*Model
	tables map[string]*columns // of the models, by the table's name
	known  sync.Map            // *columns by *schema.Schema
}

// register puts the plugin's steps between those of GORM.
func (b *bound) register(db *gorm.DB) error {
	create, query, update, remove, row := db.Callback().Create(), db.Callback().Query(), db.Callback().Update(), db.Callback().Delete(), db.Callback().Row()
	for _, err := range []error{
		// After hooks and associations, which may set a row's key.
		create.Before("gorm:create").Register("sealring:before_create", b.beforeCreate),
		create.Before("gorm:save_after_associations").Register("sealring:after_create", b.openReturned),
		update.Before("gorm:update").Register("sealring:before_update", b.beforeUpdate),
		update.Before("gorm:save_after_associations").Register("sealring:after_update", b.afterUpdate),
		remove.Before("gorm:delete").Register("sealring:before_delete", b.checkConditions),
		remove.Before("gorm:after_delete").Register("sealring:after_delete", b.openReturned),
		row.Before("gorm:row").Register("sealring:before_row", b.checkConditions),
		query.Before("gorm:query").Register("sealring:before_query", b.checkConditions),
		// Before the hooks of AfterFind, which may read.
		query.Before("gorm:preload").Register("sealring:after_query", b.afterQuery),
	} {
		if err != nil {
			return fmt.Errorf("fieldgorm: %w", err)
		}
	}
	return nil
}

// columnsOf returns what is sealed of a schema, nil if there is nothing.
func (b *bound) columnsOf(s *schema.Schema) *columns {
	if s == nil {
		return nil
	}
	if c, ok := b.known.Load(s); ok {
		return c.(*columns)
	}
	c := newColumns(s, b.models[s.ModelType])
	b.known.Store(s, c)
	return c
}

// columnsIn returns what is sealed of the table that a statement is for.
func (b *bound) columnsIn(stmt *gorm.Statement) *columns {
	if stmt.Schema == nil {
		return b.tables[stmt.Table]
	}
	return b.columnsOf(stmt.Schema)
}
