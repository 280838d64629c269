// Package schema is a schema of ent with sealed fields. ent v0.14.5 made the files of the
// directory above: go run entgo.io/ent/cmd/ent generate ./ent/schema
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect"
	"entgo.io/ent/schema/field"

	"github.com/go-sealring/sealring/internal/sqltypes/column"
)

// A Patient has sealed fields and a blind index.
type Patient struct{ ent.Schema }

// Fields returns the columns.
func (Patient) Fields() []ent.Field {
	types := map[string]string{dialect.Postgres: "bytea", dialect.SQLite: "blob"}
	return []ent.Field{
		field.String("id").StructTag(`json:"id,omitempty" seal:",row"`),
		field.String("tenant").StructTag(`json:"tenant,omitempty" seal:",context=tenant"`),
		field.Other("ssn", column.Text{}).SchemaType(types).Optional().StructTag(`json:"ssn,omitempty" seal:"ssn"`),
		field.Other("notes", column.Text{}).SchemaType(types).Optional().StructTag(`json:"notes,omitempty" seal:"notes"`),
		field.Bytes("ssn_index").GoType(column.Index{}).Optional().StructTag(`json:"ssn_index,omitempty" seal:"index=ssn,normalize=digits"`),
	}
}
