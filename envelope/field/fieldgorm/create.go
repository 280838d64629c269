package fieldgorm

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/go-sealring/sealring/envelope/field"
)

// beforeCreate seals what is about to be inserted.
func (b *bound) beforeCreate(db *gorm.DB) {
	stmt := db.Statement
	c := b.columnsIn(stmt)
	if db.Error != nil || c == nil || stmt.SQL.Len() > 0 {
		return
	}
	if maps := mapsIn(stmt.Dest); maps != nil {
		db.AddError(c.checkInserted(maps))
		return
	}
	if recordType(stmt.ReflectValue) != c.schema.ModelType {
		return
	}
	// GORM takes a struct by value too. It reads from here.
	stmt.ReflectValue = addressable(stmt.ReflectValue)
	all := records(stmt.ReflectValue)
	if c.model != nil {
		db.AddError(c.model.seal(stmt.Context, all))
	}
	if db.Error == nil {
		db.AddError(c.checkWritable(stmt.Context, all))
	}
	if db.Error == nil && c.model != nil {
		db.AddError(c.selectIndexes(stmt))
		db.AddError(b.completeConflict(stmt, c))
	}
}

// mapsIn returns the maps from which GORM would make rows, nil if dest is something else.
func mapsIn(dest any) []map[string]any {
	switch d := dest.(type) {
	case map[string]any:
		return []map[string]any{d}
	case *map[string]any:
		return []map[string]any{*d}
	case []map[string]any:
		return slices.Concat([]map[string]any{}, d)
	case *[]map[string]any:
		return slices.Concat([]map[string]any{}, *d)
	}
	return nil
}

// checkInserted says what is wrong with rows that are maps, in which nothing can be sealed.
func (c *columns) checkInserted(rows []map[string]any) error {
	for i, row := range rows {
		for name, v := range row {
			one, _ := c.find(unquote(name))
			if one == nil || v == nil || c.model == nil && isCiphertext(v) {
				continue
			}
			return c.fail(name, field.ErrUnsealed, "row %d: a map cannot be sealed: create from a %v", i, c.schema.ModelType)
		}
	}
	return nil
}

// checkWritable returns an error if a sealed column of a record cannot be written, and so
// would fail in the driver, which does not say where.
func (c *columns) checkWritable(ctx context.Context, all []reflect.Value) error {
	for i, r := range all {
		if r.IsNil() {
			continue // GORM's error
		}
		for _, one := range c.sealed {
			v, _ := one.ValueOf(ctx, r)
			if err := c.writable(one, v); err != nil {
				var e *Error
				if errors.As(err, &e) {
					e.Err = fmt.Errorf("record %d: %w", i, e.Err)
				}
				return err
			}
		}
	}
	return nil
}

// writable returns an error if a sealed column cannot be written with a value.
func (c *columns) writable(one *sealedColumn, v any) error {
	s, ok := v.(driver.Valuer)
	if !ok {
		return nil // of a struct that is nil
	}
	_, err := s.Value()
	if err != nil && c.model == nil {
		err = fmt.Errorf("%w; fieldgorm.New was not given a fieldgorm.Table of %v", err, c.schema.ModelType)
	}
	if err != nil {
		return &Error{Model: c.schema.ModelType.String(), Column: one.DBName, Err: err}
	}
	return nil
}

// selectIndexes has a statement insert the indexes of the sealed columns that it inserts, and
// no others.
func (c *columns) selectIndexes(stmt *gorm.Statement) error {
	selected, restricted := stmt.SelectAndOmitColumns(true, false)
	for _, one := range c.sealed {
		for _, x := range one.indexes {
			switch written := isWritten(selected, restricted, one.Field); {
			case written == isWritten(selected, restricted, x):
			case !written:
				stmt.Omits = append(slices.Clone(stmt.Omits), x.DBName)
			case slices.ContainsFunc(stmt.Omits, func(o string) bool { return o == x.DBName || o == x.Name }) || !x.Creatable:
				return c.fail(x.DBName, field.ErrInvalidArgument, "the index is written together with %s: do not omit it", one.DBName)
			default:
				stmt.Selects = append(slices.Clone(stmt.Selects), x.DBName)
			}
		}
	}
	return nil
}

// isWritten says whether a column is among those that a statement writes.
func isWritten(selected map[string]bool, restricted bool, f *schema.Field) bool {
	v, ok := selected[f.DBName]
	return ok && v || !ok && !restricted
}

// completeConflict has an upsert update the indexes together with the sealed columns, and
// returns an error if it could write a value into another row than it was sealed for.
func (b *bound) completeConflict(stmt *gorm.Statement, c *columns) error {
	on, ok := stmt.Clauses["ON CONFLICT"].Expression.(clause.OnConflict)
	if !ok || on.DoNothing {
		return nil
	}
	if err := b.check(stmt, c, on.Where, on.TargetWhere); err != nil {
		return err
	}
	updates := slices.Clone(on.DoUpdates)
	updated := func(name string) bool {
		return slices.ContainsFunc(updates, func(a clause.Assignment) bool { return strings.EqualFold(a.Column.Name, name) })
	}
	var first *sealedColumn
	for _, a := range on.DoUpdates {
		one, isIndex := c.find(a.Column.Name)
		switch {
		case one == nil:
			continue
		case isIndex && !updated(one.DBName):
			return c.fail(a.Column.Name, field.ErrInvalidArgument, "an index is updated together with its column: update %s", one.DBName)
		case a.Value != nil && !isExcluded(a):
			return c.fail(a.Column.Name, field.ErrUnsealed, "update it from the record: clause.AssignmentColumns([]string{%q})", one.DBName)
		case isIndex:
			continue
		}
		first = one
		for _, x := range one.indexes {
			if updated(x.DBName) {
				continue
			}
			index := clause.Assignment{Column: clause.Column{Name: x.DBName}}
			if a.Value != nil {
				index.Value = clause.Column{Table: "excluded", Name: x.DBName}
			}
			updates = append(updates, index)
		}
	}
	if on.UpdateAll {
		first = c.sealed[0]
	}
	if first == nil {
		return nil
	}
	for _, f := range c.row {
		if !isTarget(stmt, on, f) && !updated(f.DBName) && (!on.UpdateAll || f.PrimaryKey) {
			return c.fail(first.DBName, field.ErrInvalidArgument, "the row that is there may have another %s than the value is sealed for: "+
				"let the conflict be on %[1]s, or update it too", f.DBName)
		}
	}
	on.DoUpdates = updates
	stmt.Clauses["ON CONFLICT"] = clause.Clause{Name: "ON CONFLICT", Expression: on}
	return nil
}

// isExcluded says whether an assignment takes the value of the row that was not inserted.
func isExcluded(a clause.Assignment) bool {
	v, ok := a.Value.(clause.Column)
	return ok && v.Table == "excluded" && strings.EqualFold(v.Name, a.Column.Name)
}

// isTarget says whether rows conflict only if they have the same value in a column.
func isTarget(stmt *gorm.Statement, on clause.OnConflict, f *schema.Field) bool {
	switch {
	case on.OnConstraint != "":
		return false // the columns of which are not known here
	case len(on.Columns) > 0:
		return slices.ContainsFunc(on.Columns, func(c clause.Column) bool { return strings.EqualFold(c.Name, f.DBName) })
	}
	return f.PrimaryKey
}
