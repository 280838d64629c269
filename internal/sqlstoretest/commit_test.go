package sqlstoretest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/sqlstore"
)

// A connector makes connections whose commits end as a test says.
type connector struct {
	driver driver.Driver
	name   string
	commit atomic.Pointer[func(driver.Tx) error] // of the next commit, if not nil
}

func (c *connector) Driver() driver.Driver { return c.driver }

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.name)
	return connection{conn, c}, err
}

type connection struct {
	driver.Conn
	c *connector
}

func (c connection) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	return transaction{tx, c.c}, err
}

type transaction struct {
	driver.Tx
	c *connector
}

func (t transaction) Commit() error {
	if commit := t.c.commit.Swap(nil); commit != nil {
		return (*commit)(t.Tx)
	}
	return t.Tx.Commit()
}

// TestCommitWithoutAnswer has the connection break while a transaction is committed. The table
// tells what has become of it.
func TestCommitWithoutAnswer(t *testing.T) {
	broken := errors.New("connection reset")
	old := branchkey.Item{ID: "a", Type: "branch:ACTIVE", Enc: []byte("old"), Attributes: map[string]string{}}
	next, other := old, old
	next.Enc, other.Enc = []byte("next"), []byte("other")
	eachDatabase(t, func(t *testing.T, d database) {
		for name, c := range map[string]struct {
			commit func(tx driver.Tx, s *sqlstore.Store) error
			want   error
			has    branchkey.Item
		}{
			"it was done": {func(tx driver.Tx, _ *sqlstore.Store) error {
				assert.NoError(t, tx.Commit())
				return broken
			}, nil, next},
			"it was not": {func(tx driver.Tx, _ *sqlstore.Store) error {
				assert.NoError(t, tx.Rollback())
				return broken
			}, nil, next},
			"somebody else was first": {func(tx driver.Tx, s *sqlstore.Store) error {
				assert.NoError(t, tx.Rollback())
				assert.NoError(t, s.Put(context.Background(), branchkey.Put{Item: other, Replaces: old.Enc}))
				return broken
			}, branchkey.ErrConflict, other},
		} {
			t.Run(name, func(t *testing.T) {
				table := newTable()
				s := newStore(t, d, table)
				require.NoError(t, s.Migrate(t.Context()))
				require.NoError(t, s.Put(t.Context(), branchkey.Put{Item: old}))
				c2 := &connector{driver: d.open(t).Driver(), name: d.dsn}
				commit := func(tx driver.Tx) error { return c.commit(tx, s) }
				c2.commit.Store(&commit)
				db := sql.OpenDB(c2)
				defer db.Close()
				breaking, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: d.dialect, Table: table})
				require.NoError(t, err)
				err = breaking.Put(t.Context(), branchkey.Put{Item: next, Replaces: old.Enc})
				require.ErrorIs(t, err, c.want)
				got, err := s.Get(t.Context(), "a", "branch:ACTIVE")
				require.NoError(t, err)
				assert.Equal(t, c.has, got)
				assert.Nil(t, c2.commit.Load(), "nothing was committed")
			})
		}
	})
}
