package sqlstoretest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/internal/pgtest"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
	"github.com/go-sealring/sealring/keyring/branchkey/sqlstore"
)

// A database is one to test on.
type database struct {
	dialect     sqlstore.Dialect
	driver, dsn string // as sql.Open takes them
}

func (d database) open(t *testing.T) *sql.DB {
	db, err := sql.Open(d.driver, d.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(16)
	return db
}

// eachDatabase runs a test on each kind of database that is here.
func eachDatabase(t *testing.T, run func(t *testing.T, d database)) {
	t.Run("SQLite", func(t *testing.T) { run(t, sqlite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		run(t, database{sqlstore.PostgreSQL, "pgx", pgtest.Database(t)})
	})
	t.Run("MySQL", func(t *testing.T) {
		run(t, database{sqlstore.MySQL, "mysql", mysqlDSN(t)})
	})
}

func sqlite(t *testing.T) database {
	path := filepath.Join(t.TempDir(), "keys.db")
	return database{sqlstore.SQLite, "sqlite", path + "?_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)"}
}

var tables struct {
	sync.Mutex
	n int
}

// newTable returns the name of a table that nobody else has.
func newTable() string {
	tables.Lock()
	defer tables.Unlock()
	tables.n++
	return fmt.Sprintf("keys_%d_%d", time.Now().UnixNano(), tables.n)
}

func newStore(t *testing.T, d database, table string) *sqlstore.Store {
	s, err := sqlstore.New(sqlstore.Config{DB: d.open(t), Dialect: d.dialect, Table: table})
	require.NoError(t, err)
	return s
}

func migrated(t *testing.T, d database) *sqlstore.Store {
	s := newStore(t, d, newTable())
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

func TestConformance(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		branchkeytest.TestStore(t, func(t *testing.T) branchkey.Store { return migrated(t, d) })
	})
}

// TestConformanceWithoutBusyTimeout has SQLite report at once that another writes.
func TestConformanceWithoutBusyTimeout(t *testing.T) {
	s := migrated(t, database{sqlstore.SQLite, "sqlite", filepath.Join(t.TempDir(), "keys.db")})
	old := branchkey.Item{ID: "a", Type: "branch:ACTIVE", Enc: []byte("old")}
	require.NoError(t, s.Put(t.Context(), branchkey.Put{Item: old}))
	var wg sync.WaitGroup
	won := make(chan int, 4)
	for i := range 4 {
		wg.Go(func() {
			next := old
			next.Enc = fmt.Append(nil, i)
			err := s.Put(t.Context(), branchkey.Put{Item: next, Replaces: old.Enc})
			if err == nil {
				won <- i
			} else if !errors.Is(err, branchkey.ErrConflict) {
				assert.ErrorContains(t, err, "locked")
			}
		})
	}
	wg.Wait()
	require.Len(t, won, 1)
	got, err := s.Get(t.Context(), "a", "branch:ACTIVE")
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprint(<-won), string(got.Enc))
}

// TestSeveralProcesses has stores with connections of their own race.
func TestSeveralProcesses(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		table := newTable()
		stores := make([]*sqlstore.Store, 4)
		var wg sync.WaitGroup
		for i := range stores {
			stores[i] = newStore(t, d, table)
			wg.Go(func() { assert.NoError(t, stores[i].Migrate(t.Context())) })
		}
		wg.Wait()
		require.NoError(t, stores[0].Migrate(t.Context()), "again")
		for round := range 20 {
			id := fmt.Sprint("tenant", round)
			var mu sync.Mutex
			var won []int
			for i, s := range stores {
				wg.Go(func() {
					enc := fmt.Append(nil, i)
					err := s.Put(t.Context(),
						branchkey.Put{Item: branchkey.Item{ID: id, Type: fmt.Sprint("branch:version:", i), Enc: enc}},
						branchkey.Put{Item: branchkey.Item{ID: id, Type: "branch:ACTIVE", Enc: enc}},
						branchkey.Put{Item: branchkey.Item{ID: id, Type: "beacon:ACTIVE", Enc: enc}})
					if err == nil {
						mu.Lock()
						defer mu.Unlock()
						won = append(won, i)
						return
					}
					assert.ErrorIs(t, err, branchkey.ErrConflict)
				})
			}
			wg.Wait()
			require.Len(t, won, 1)
			items, err := stores[1].List(t.Context(), id)
			require.NoError(t, err)
			require.Len(t, items, 3)
			for _, it := range items {
				assert.Equal(t, fmt.Sprint(won[0]), string(it.Enc))
			}
		}
	})
}

// TestDeleteWhileVersion has a new version be committed while Delete waits for the active
// item. Delete takes the new version with it, which its first look did not show.
func TestDeleteWhileVersion(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		table := newTable()
		s := newStore(t, d, table)
		require.NoError(t, s.Migrate(t.Context()))
		old := branchkey.Item{ID: "a", Type: "branch:ACTIVE", Enc: []byte("old")}
		require.NoError(t, s.Put(t.Context(), branchkey.Put{Item: old}))

		tx, err := d.open(t).BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer tx.Rollback()
		for _, statement := range []string{
			"UPDATE " + table + " SET attributes = '{}' WHERE branch_key_id = 'a' AND type = 'branch:ACTIVE'",
			"INSERT INTO " + table + " (branch_key_id, type, enc, attributes) VALUES ('a', 'branch:version:1', 'new', '{}')",
		} {
			_, err := tx.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		deleted := make(chan error)
		go func() { deleted <- s.Delete(t.Context(), "a") }()
		// It holds whenever Delete begins; this has it wait for the active item.
		time.Sleep(200 * time.Millisecond)
		require.NoError(t, tx.Commit())
		require.NoError(t, <-deleted)
		items, err := s.List(t.Context(), "a")
		require.NoError(t, err)
		assert.Empty(t, items)
	})
}

func TestNoTable(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := newStore(t, d, newTable())
		_, getErr := s.Get(t.Context(), "a", "b")
		_, listErr := s.List(t.Context(), "a")
		putErr := s.Put(t.Context(), branchkey.Put{Item: branchkey.Item{ID: "a", Type: "b", Enc: []byte("c")}})
		for _, err := range []error{getErr, listErr, putErr, s.Delete(t.Context(), "a")} {
			require.ErrorIs(t, err, branchkey.ErrNoTable)
			assert.ErrorContains(t, err, "table keys_")
		}
	})
}

// TestHostileRows has rows that somebody else has written.
func TestHostileRows(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		table := newTable()
		s := newStore(t, d, table)
		require.NoError(t, s.Migrate(t.Context()))
		db := d.open(t)
		for name, attributes := range map[string]string{
			"no JSON":  "secret?",
			"a list":   `["secret?"]`,
			"a number": `{"hierarchy-version": 1}`,
			"nested":   `{"a": {"b": "secret?"}}`,
			"cut off":  `{"a": "secret?`,
			"huge":     `{"a": "` + strings.Repeat("secret?", 1<<20) + `"}`,
		} {
			t.Run(name, func(t *testing.T) {
				statement := fmt.Sprintf("INSERT INTO %s (branch_key_id, type, enc, attributes) VALUES (?, ?, ?, ?)", table)
				if d.dialect == sqlstore.PostgreSQL {
					statement = fmt.Sprintf("INSERT INTO %s (branch_key_id, type, enc, attributes) VALUES ($1, $2, $3, $4)", table)
				}
				_, err := db.ExecContext(t.Context(), statement, name, "t", []byte("enc"), attributes)
				require.NoError(t, err)
				_, getErr := s.Get(t.Context(), name, "t")
				_, listErr := s.List(t.Context(), name)
				for _, err := range []error{getErr, listErr} {
					require.ErrorIs(t, err, branchkey.ErrForeignItem)
					assert.NotContains(t, err.Error(), "secret")
				}
			})
		}
	})
}

// TestHugeEnc has a row whose wrapped key is longer than any: it is not read into memory, and
// MySQL does not hold it.
func TestHugeEnc(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		table := newTable()
		s := newStore(t, d, table)
		require.NoError(t, s.Migrate(t.Context()))
		length := map[sqlstore.Dialect]string{
			sqlstore.SQLite: "zeroblob(%d)", sqlstore.PostgreSQL: "decode(repeat('00', %d), 'hex')", sqlstore.MySQL: "repeat('x', %d)",
		}[d.dialect]
		insert := func(itemType string, n int) error {
			_, err := d.open(t).ExecContext(t.Context(), fmt.Sprintf(
				"INSERT INTO %s (branch_key_id, type, enc, attributes) VALUES ('a', '%s', "+length+", '{}')", table, itemType, n))
			return err
		}
		require.NoError(t, insert("longest", 6144))
		it, err := s.Get(t.Context(), "a", "longest")
		require.NoError(t, err)
		assert.Len(t, it.Enc, 6144)
		err = insert("longer", 6145)
		if d.dialect == sqlstore.MySQL {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		_, getErr := s.Get(t.Context(), "a", "longer")
		_, listErr := s.List(t.Context(), "a")
		for _, err := range []error{getErr, listErr} {
			require.ErrorIs(t, err, branchkey.ErrForeignItem)
			assert.ErrorContains(t, err, "longer than any")
		}
		require.NoError(t, s.Delete(t.Context(), "a"), "what cannot be read can be deleted")
	})
}

// TestLooseIDs has tables that somebody made by hand, and that compare IDs without regard to
// case or to spaces at the end. One tenant's items are not another's, above all not to delete.
func TestLooseIDs(t *testing.T) {
	id := map[sqlstore.Dialect]string{
		sqlstore.SQLite: "TEXT COLLATE NOCASE", sqlstore.MySQL: "VARCHAR(255) COLLATE utf8mb4_general_ci",
	}
	others := map[sqlstore.Dialect][]string{sqlstore.SQLite: {"A"}, sqlstore.MySQL: {"A", "a ", "\u00e1"}}
	eachDatabase(t, func(t *testing.T, d database) {
		if id[d.dialect] == "" {
			t.Skip("its collations compare by byte unless they are made otherwise")
		}
		table := newTable()
		s := newStore(t, d, table)
		_, err := d.open(t).ExecContext(t.Context(), fmt.Sprintf(
			"CREATE TABLE %s (branch_key_id %s NOT NULL, type VARCHAR(255) NOT NULL, enc BLOB NOT NULL, attributes TEXT NOT NULL, PRIMARY KEY (branch_key_id, type))",
			table, id[d.dialect]))
		require.NoError(t, err)
		it := branchkey.Item{ID: "a", Type: "t", Enc: []byte("enc"), Attributes: map[string]string{}}
		require.NoError(t, s.Put(t.Context(), branchkey.Put{Item: it}))
		for _, other := range others[d.dialect] {
			_, getErr := s.Get(t.Context(), other, "t")
			_, listErr := s.List(t.Context(), other)
			for _, err := range []error{getErr, listErr, s.Delete(t.Context(), other)} {
				require.ErrorIs(t, err, branchkey.ErrForeignItem)
				assert.ErrorContains(t, err, "compares IDs")
			}
		}
		got, err := s.Get(t.Context(), "a", "t")
		require.NoError(t, err)
		assert.Equal(t, it, got)
		require.NoError(t, s.Delete(t.Context(), "a"))
	})
}

// TestTooLong has items that the table is not to hold.
func TestTooLong(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := migrated(t, d)
		long := strings.Repeat("x", 70_000)
		for _, it := range []branchkey.Item{
			{ID: long, Type: "t"}, {ID: "a", Type: long}, {ID: "a", Type: "t", Enc: []byte(long)},
			{ID: "a", Type: "t", Enc: []byte("e"), Attributes: map[string]string{"a": long}},
			{ID: "\xff", Type: "t"}, {ID: "a", Type: "\xff"},
			{ID: "a", Type: "t", Enc: []byte("e"), Attributes: map[string]string{"a": "\xff"}},
			{ID: "a", Type: "t", Enc: []byte("e"), Attributes: map[string]string{"\xff": "a"}},
		} {
			require.ErrorIs(t, s.Put(t.Context(), branchkey.Put{Item: it}), keyring.ErrInvalidArgument)
		}
	})
}

// TestDenied has a user of PostgreSQL who may not read the table.
func TestDenied(t *testing.T) {
	admin := database{sqlstore.PostgreSQL, "pgx", pgtest.Database(t)}.open(t)
	s, err := sqlstore.New(sqlstore.Config{DB: admin, Dialect: sqlstore.PostgreSQL, Table: "denied_keys"})
	require.NoError(t, err)
	require.NoError(t, s.Migrate(t.Context()))
	role := fmt.Sprintf("nobody_%d", time.Now().UnixNano())
	_, err = admin.ExecContext(t.Context(), "CREATE ROLE "+role)
	require.NoError(t, err)
	admin.SetMaxOpenConns(1)
	_, err = admin.ExecContext(t.Context(), "SET ROLE "+role)
	require.NoError(t, err)
	_, err = s.Get(t.Context(), "a", "b")
	var r interface{ Refused() bool }
	require.ErrorAs(t, err, &r)
	assert.True(t, r.Refused())
	assert.ErrorContains(t, err, "access denied: grant")
	keys := keyStore(s)
	_, err = keys.Active(t.Context(), "a")
	require.ErrorAs(t, err, &r)
	assert.NotErrorIs(t, err, keyring.ErrUnavailable)
}

// TestDeniedByMySQL has users of MariaDB who may not read the table, or not log in.
func TestDeniedByMySQL(t *testing.T) {
	dsn := mysqlDSN(t)
	d := database{sqlstore.MySQL, "mysql", dsn}
	admin := d.open(t)
	table := newTable()
	require.NoError(t, newStore(t, d, table).Migrate(t.Context()))
	config, err := mysql.ParseDSN(dsn)
	require.NoError(t, err)
	host := "%"
	if config.Net == "unix" {
		host = "localhost"
	}
	for name, c := range map[string]struct{ password, grant string }{
		"no right to the table":    {"good", "GRANT CREATE ON *.* TO %s"},
		"no right to the database": {"good", "GRANT USAGE ON *.* TO %s"},
		"another password":         {"other", "GRANT ALL ON *.* TO %s"},
		"locked":                   {"good", "ALTER USER %s ACCOUNT LOCK"},
	} {
		t.Run(name, func(t *testing.T) {
			user := fmt.Sprintf("u%d", time.Now().UnixNano())
			for _, statement := range []string{"CREATE USER %s IDENTIFIED BY 'good'", c.grant} {
				_, err := admin.ExecContext(t.Context(), fmt.Sprintf(statement, "'"+user+"'@'"+host+"'"))
				require.NoError(t, err)
			}
			theirs := config.Clone()
			theirs.User, theirs.Passwd = user, c.password
			db := database{sqlstore.MySQL, "mysql", theirs.FormatDSN()}.open(t)
			s, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: sqlstore.MySQL, Table: table})
			require.NoError(t, err)
			_, err = keyStore(s).Active(t.Context(), "a")
			var r interface{ Refused() bool }
			require.ErrorAs(t, err, &r, "%v", err)
			assert.True(t, r.Refused())
			assert.NotErrorIs(t, err, keyring.ErrUnavailable)
		})
	}
}

func TestOutage(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		db := d.open(t)
		s, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: d.dialect})
		require.NoError(t, err)
		require.NoError(t, db.Close())
		_, err = keyStore(s).Active(t.Context(), "a")
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = keyStore(s).Active(ctx, "a")
		require.ErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, keyring.ErrUnavailable)
	})
}

func keyStore(s branchkey.Store) *branchkey.KeyStore {
	return branchkeytest.PlaintextKeyStoreForTests(s)
}

// TestKeyStore has a branch key's whole life in each database.
func TestKeyStore(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		keys := keyStore(migrated(t, d))
		_, err := keys.Create(t.Context(), "42", keyring.EncryptionContext{"tenant": "42 'π' \x00"})
		require.NoError(t, err)
		_, err = keys.Create(t.Context(), "42", keyring.EncryptionContext{"tenant": "42"})
		require.ErrorIs(t, err, branchkey.ErrExists)
		kr, err := branchkey.New(branchkey.Config{KeyStore: keys, ID: "42", Limits: cache.Limits{MaxAge: time.Hour}})
		require.NoError(t, err)
		defer kr.Close()
		m := &keyring.EncryptionMaterials{Suite: keyring.SuiteAES256GCMHKDFSHA512Commit}
		require.NoError(t, kr.OnEncrypt(t.Context(), m))
		_, err = keys.Version(t.Context(), "42")
		require.NoError(t, err)
		read := &keyring.DecryptionMaterials{Suite: m.Suite}
		require.NoError(t, kr.OnDecrypt(t.Context(), read, m.EncryptedDataKeys))
		assert.Equal(t, m.DataKey, read.DataKey)
		_, err = keys.Beacon(t.Context(), "42")
		require.NoError(t, err)
		infos, err := keys.List(t.Context(), "42")
		require.NoError(t, err)
		assert.Len(t, infos, 2)
		assert.Equal(t, "42 'π' \x00", infos[0].Context["tenant"])
		require.NoError(t, keys.Destroy(t.Context(), "42", "42"))
		read = &keyring.DecryptionMaterials{Suite: m.Suite}
		require.ErrorIs(t, kr.OnDecrypt(t.Context(), read, m.EncryptedDataKeys), branchkey.ErrNotFound)
	})
}
