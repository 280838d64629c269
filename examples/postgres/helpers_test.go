package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/internal/pgtest"
	"github.com/go-sealring/sealring/keyring"
)

// A database is one that a test has for itself.
type database struct {
	*sql.DB
	dialect
	dsn string
}

// databases has how to make one of each kind.
var databases = map[string]func(t testing.TB) database{
	"SQLite":     func(t testing.TB) database { return connect(t, filepath.Join(t.TempDir(), "patients.db")) },
	"PostgreSQL": func(t testing.TB) database { return connect(t, pgtest.Database(t)) },
}

// connect opens the database that a DSN names, until the test ends.
func connect(t testing.TB, dsn string) database {
	t.Helper()
	db, dialect, err := open(dsn)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return database{db, dialect, dsn}
}

// onEach runs a test on each kind of database.
func onEach(t *testing.T, test func(t *testing.T, db database)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func (db database) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), db.dialect.sql(sql), args...)
	require.NoError(t, err)
}

// bytes returns what a query of one column of bytes finds.
func (db database) bytes(t testing.TB, sql string, args ...any) []byte {
	t.Helper()
	var b []byte
	require.NoError(t, db.QueryRowContext(t.Context(), sql, args...).Scan(&b))
	return b
}

// testKey returns a wrapping key that is the same in each process.
func testKey(t testing.TB, name string) keyring.Keyring {
	t.Helper()
	kr, err := keyring.NewRawAES("patients", name, bytes.Repeat([]byte(name)[len(name)-1:], 32))
	require.NoError(t, err)
	return kr
}

// start returns a service under a keyring, until the test ends.
func start(t testing.TB, db database, keys keyring.Keyring, indexKeys []byte) *Service {
	t.Helper()
	s, err := NewService(t.Context(), db.DB, keys, indexKeys)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// startNew makes the tables, and returns a service under key-1 with index keys of its own.
func startNew(t testing.TB, db database) *Service {
	t.Helper()
	db.exec(t, schema+rotationSchema)
	keys := testKey(t, "key-1")
	indexKeys, err := newIndexKeys(t.Context(), keys)
	require.NoError(t, err)
	return start(t, db, keys, indexKeys)
}

const tenants = 10

// made returns patient i of those that tests make. Tenant and number follow from i.
func made(i int) *Patient {
	ssn, notes, diagnosis := madeValues(i)
	return &Patient{
		ID: madeID(i), Tenant: madeTenant(i), Ward: "ward 7",
		SSN: field.New(ssn), Notes: field.New(notes), Diagnosis: field.New(diagnosis),
	}
}

func madeID(i int) string     { return fmt.Sprintf("p%06d", i) }
func madeTenant(i int) string { return fmt.Sprintf("clinic-%d", i%tenants) }

func madeValues(i int) (ssn, notes, diagnosis string) {
	n := 512345678 + i // no other number in a dump is like it
	return fmt.Sprintf("%03d-%02d-%04d", n/1000000, n/10000%100, n%10000),
		fmt.Sprintf("patient %d sleeps well, and asks for the window to be open at night", i),
		fmt.Sprintf("K%02d.%d", i%100, i%10)
}

func madeMany(n int) []*Patient {
	all := make([]*Patient, n)
	for i := range all {
		all[i] = made(i)
	}
	return all
}

// plaintext returns the value of an open field.
func plaintext(t testing.TB, s field.Sealed[string]) string {
	t.Helper()
	v, err := s.Plaintext()
	require.NoError(t, err)
	return v
}

// requireMade checks that a patient that was read has the values of patient i.
func requireMade(t testing.TB, i int, p *Patient) {
	t.Helper()
	ssn, notes, diagnosis := madeValues(i)
	require.Equal(t, []string{madeID(i), madeTenant(i), ssn, notes, diagnosis},
		[]string{p.ID, p.Tenant, plaintext(t, p.SSN), plaintext(t, p.Notes), plaintext(t, p.Diagnosis)})
}

// ids returns the IDs of patients.
func ids(patients []*Patient) string {
	var all []string
	for _, p := range patients {
		all = append(all, p.ID)
	}
	return strings.Join(all, " ")
}
