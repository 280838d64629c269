package sqlstore_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey/sqlstore"
)

// The tests on databases are in internal/sqlstoretest.

func TestConfig(t *testing.T) {
	db := &sql.DB{}
	for says, c := range map[string]sqlstore.Config{
		"DB is nil":         {Dialect: sqlstore.SQLite},
		"Dialect 0 is none": {DB: db},
		"Dialect 9 is none": {DB: db, Dialect: 9},
		`"a b": a name`:     {DB: db, Dialect: sqlstore.SQLite, Table: "a b"},
		`"a;": a name`:      {DB: db, Dialect: sqlstore.SQLite, Table: "a;"},
		`"a.b.c": a name`:   {DB: db, Dialect: sqlstore.SQLite, Table: "a.b.c"},
		`"a\n": a name`:     {DB: db, Dialect: sqlstore.SQLite, Table: "a\n"},
		`".": a name`:       {DB: db, Dialect: sqlstore.SQLite, Table: "."},
		`"1a": a name`:      {DB: db, Dialect: sqlstore.SQLite, Table: "1a"},
		`at most 63`:        {DB: db, Dialect: sqlstore.SQLite, Table: strings.Repeat("a", 64)},
	} {
		_, err := sqlstore.New(c)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument, says)
		assert.ErrorContains(t, err, says)
	}
	_, err := sqlstore.Schema(sqlstore.PostgreSQL, "a-b")
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	for _, d := range []sqlstore.Dialect{sqlstore.PostgreSQL, sqlstore.MySQL, sqlstore.SQLite} {
		schema, err := sqlstore.Schema(d, "")
		require.NoError(t, err)
		assert.Contains(t, schema, "CREATE TABLE IF NOT EXISTS branch_keys (")
		schema, err = sqlstore.Schema(d, "app.tenant_keys")
		require.NoError(t, err)
		assert.Contains(t, schema, "CREATE TABLE IF NOT EXISTS app.tenant_keys (")
	}
}
