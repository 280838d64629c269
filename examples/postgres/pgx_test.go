package main

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// pgx's own interface takes and gives the types as database/sql does, in each of its ways
// to write and read, in binary and in text.
func TestPgx(t *testing.T) {
	db := databases["PostgreSQL"](t)
	s := startNew(t, db)
	conn, err := pgx.Connect(t.Context(), db.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(t.Context()) })

	patients := madeMany(40)
	patients[7].Diagnosis.SetNull()
	patients[8].SSN.SetNull()
	require.NoError(t, s.patients.Seal(t.Context(), patients...))
	values := func(p *Patient) []any {
		return []any{p.ID, p.Tenant, p.Ward, p.SSN, p.Notes, p.Diagnosis, p.SSNIndex}
	}

	one := insert("patients", columns, 1)
	_, err = conn.Exec(t.Context(), one, values(patients[0])...)
	require.NoError(t, err)
	for i, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		_, err = conn.Exec(t.Context(), one, append([]any{mode}, values(patients[1+i])...)...)
		require.NoError(t, err, mode)
	}
	var batch pgx.Batch
	for _, p := range patients[6:20] {
		batch.Queue(one, values(p)...)
	}
	require.NoError(t, conn.SendBatch(t.Context(), &batch).Close())
	n, err := conn.CopyFrom(t.Context(), pgx.Identifier{"patients"},
		[]string{"id", "tenant", "ward", "ssn", "notes", "diagnosis", "ssn_index"},
		pgx.CopyFromSlice(20, func(i int) ([]any, error) { return values(patients[20+i]), nil }))
	require.NoError(t, err)
	require.EqualValues(t, 20, n)

	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		rows, err := conn.Query(t.Context(), "SELECT "+columns+" FROM patients ORDER BY id", mode)
		require.NoError(t, err)
		read, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[Patient])
		require.NoError(t, err, mode)
		require.NoError(t, s.patients.Open(t.Context(), read...))
		require.Len(t, read, 40)
		for i, p := range read {
			assert.Equal(t, i == 7, p.Diagnosis.IsNull())
			assert.Equal(t, i == 8, p.SSN.IsNull())
			assert.Equal(t, i == 8, p.SSNIndex == nil)
			if i != 7 && i != 8 {
				requireMade(t, i, p)
			}
		}
	}

	ssn, _, _ := madeValues(13)
	terms, err := s.patients.Terms("ssn", strings.ReplaceAll(ssn, "-", " "), keyring.EncryptionContext{"tenant": madeTenant(13)})
	require.NoError(t, err)
	var id string
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT id FROM patients WHERE ssn_index = ANY ($1)", terms).Scan(&id))
	assert.Equal(t, madeID(13), id)

	_, err = conn.Exec(t.Context(), "UPDATE patients SET notes = $1", field.New("goes home"))
	require.ErrorIs(t, err, field.ErrUnsealed)
	assert.NotContains(t, err.Error(), "goes home")
}
