package field_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/field"
)

// echo is a database that answers a query with one row, its arguments.
type echo struct{}

func (echo) Connect(context.Context) (driver.Conn, error) { return echo{}, nil }
func (echo) Driver() driver.Driver                        { return nil }
func (echo) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (echo) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (echo) Close() error                                 { return nil }

func (echo) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return &echoed{row: args}, nil
}

type echoed struct {
	row  []driver.NamedValue
	done bool
}

func (e *echoed) Columns() []string { return make([]string, len(e.row)) }
func (e *echoed) Close() error      { return nil }

func (e *echoed) Next(dst []driver.Value) error {
	if e.done {
		return io.EOF
	}
	for i, arg := range e.row {
		dst[i] = arg.Value
	}
	e.done = true
	return nil
}

// TestDatabaseSQL passes fields and indexes through database/sql, which stores NULL only
// in types that say how.
func TestDatabaseSQL(t *testing.T) {
	db := sql.OpenDB(echo{})
	defer db.Close()
	keys := field.NewIndexKeys()
	table := newTable[patient](t, cached(t, rawKeyring(t, "a")), "patients", &field.Options{IndexKeys: keys})
	p := patient{ID: "p-17", Tenant: "42", SSN: field.New("078-05-1120")}
	require.NoError(t, table.Seal(t.Context(), &p))

	var got patient
	row := db.QueryRowContext(t.Context(), "", p.ID, p.Tenant, p.SSN, p.Notes, p.SSNIdx)
	require.NoError(t, row.Scan(&got.ID, &got.Tenant, &got.SSN, &got.Notes, &got.SSNIdx))
	require.NoError(t, table.Open(t.Context(), &got))
	ssn, err := got.SSN.Plaintext()
	require.NoError(t, err)
	assert.Equal(t, "078-05-1120", ssn)
	assert.True(t, got.Notes.IsNull())
	assert.Equal(t, p.SSNIdx, got.SSNIdx)

	var null any
	require.NoError(t, db.QueryRowContext(t.Context(), "", field.Index(nil)).Scan(&null))
	assert.Nil(t, null)
	require.NoError(t, db.QueryRowContext(t.Context(), "", nil).Scan(&got.SSNIdx))
	assert.Nil(t, got.SSNIdx)
	assert.Error(t, db.QueryRowContext(t.Context(), "", int64(1)).Scan(&got.SSNIdx))
}
