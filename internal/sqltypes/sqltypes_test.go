// Package sqltypes holds code as sqlc and ent generate it with the types of
// envelope/field, and the test that it compiles and works.
package sqltypes

import (
	"database/sql"
	"os"
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/internal/pgtest"
	"github.com/go-sealring/sealring/internal/sqltypes/column"
	"github.com/go-sealring/sealring/internal/sqltypes/ent"
	"github.com/go-sealring/sealring/internal/sqltypes/ent/patient"
	"github.com/go-sealring/sealring/internal/sqltypes/sqlc"
	"github.com/go-sealring/sealring/keyring"
)

var clinic = keyring.EncryptionContext{"tenant": "clinic-1"}

// newTable returns the table of a type that a generator made.
func newTable[T any](t *testing.T, keys *field.IndexKeys) *field.Table[T] {
	t.Helper()
	kr, err := keyring.NewRawAES("test", "key", make([]byte, 32))
	require.NoError(t, err)
	m, err := keyring.NewManager(kr)
	require.NoError(t, err)
	table, err := field.NewTable[T](m, "patients", &field.Options{IndexKeys: keys})
	require.NoError(t, err)
	return table
}

// The tags are in sqlc's configuration, and so in the models and in the parameters: both
// can be sealed and opened as they are.
func TestSqlc(t *testing.T) {
	keys := field.NewIndexKeys()
	toAdd, patients := newTable[sqlc.AddPatientParams](t, keys), newTable[sqlc.Patient](t, keys)
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(t.Context()) })
	schema, err := os.ReadFile("sqlc/schema.sql")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), string(schema))
	require.NoError(t, err)
	queries := sqlc.New(conn)

	add := sqlc.AddPatientParams{ID: "p1", Tenant: "clinic-1", Ssn: field.New("078-05-1120")}
	require.NoError(t, toAdd.Seal(t.Context(), &add))
	require.NoError(t, queries.AddPatient(t.Context(), add))

	got, err := queries.GetPatient(t.Context(), "p1")
	require.NoError(t, err)
	require.NoError(t, patients.Open(t.Context(), &got))
	ssn, err := got.Ssn.Plaintext()
	require.NoError(t, err)
	assert.Equal(t, "078-05-1120", ssn)
	assert.True(t, got.Notes.IsNull())

	terms, err := patients.Terms("ssn", "078 05 1120", clinic)
	require.NoError(t, err)
	found, err := queries.PatientsBySSN(t.Context(), sqlc.PatientsBySSNParams{Tenant: "clinic-1", Terms: terms})
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, "p1", found[0].ID)
}

// ent's entities have the tags that the schema gives. What a builder is given must be
// sealed before: a record is filled and sealed, and its fields handed on.
func TestEnt(t *testing.T) {
	patients := newTable[ent.Patient](t, field.NewIndexKeys())
	db, err := sql.Open("pgx", pgtest.Database(t))
	require.NoError(t, err)
	client := ent.NewClient(ent.Driver(entsql.OpenDB(dialect.Postgres, db)))
	t.Cleanup(func() { client.Close() })
	require.NoError(t, client.Schema.Create(t.Context()))

	add := ent.Patient{ID: "p1", Tenant: "clinic-1", Ssn: column.New("078-05-1120")}
	require.NoError(t, patients.Seal(t.Context(), &add))
	_, err = client.Patient.Create().SetID(add.ID).SetTenant(add.Tenant).SetSsn(add.Ssn).SetNotes(add.Notes).SetSsnIndex(add.SsnIndex).Save(t.Context())
	require.NoError(t, err)

	got, err := client.Patient.Get(t.Context(), "p1")
	require.NoError(t, err)
	require.NoError(t, patients.Open(t.Context(), got))
	ssn, err := got.Ssn.Plaintext()
	require.NoError(t, err)
	assert.Equal(t, "078-05-1120", ssn)
	assert.True(t, got.Notes.IsNull())
	assert.NotContains(t, got.String(), "078")

	terms, err := patients.Terms("ssn", "078 05 1120", clinic)
	require.NoError(t, err)
	var values []column.Index
	for _, term := range terms {
		values = append(values, term)
	}
	found, err := client.Patient.Query().Where(patient.Tenant("clinic-1"), patient.SsnIndexIn(values...)).All(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)

	_, err = client.Patient.Create().SetID("p2").SetTenant("clinic-1").SetSsn(column.New("not sealed")).Save(t.Context())
	require.ErrorIs(t, err, field.ErrUnsealed)
}
