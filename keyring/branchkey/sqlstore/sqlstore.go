// Package sqlstore keeps branch keys in a table of PostgreSQL, MySQL, MariaDB or SQLite,
// through database/sql. It needs no driver of its own: the program chooses one.
//
//	store, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: sqlstore.PostgreSQL})
//	if err != nil {
//		log.Fatal(err)
//	}
//	if err := store.Migrate(ctx); err != nil { // or run what sqlstore.Schema returns
//		log.Fatal(err)
//	}
package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

// DefaultTable is the name of the table where Config.Table is empty.
const DefaultTable = "branch_keys"

// Config says where the table is.
type Config struct {
	// DB is the database. Every connection must be one to the primary: a replica that lags
	// behind is not strongly consistent. A DB for SQLite should have a busy timeout.
	DB *sql.DB

	// Dialect is the kind of database.
	Dialect Dialect

	// Table is the table's name, with a schema before it and a point if need be: letters,
	// digits and underscores. Empty is [DefaultTable].
	Table string
}

// A Store is a [branchkey.Store] in a table of an SQL database. It is safe for concurrent
// use.
type Store struct {
	db      *sql.DB
	dialect Dialect
	table   string

	get, list, ids, lock, insert, update, delete string // statements
}

var _ branchkey.Store = (*Store)(nil)

// New returns a store. It makes no call, and the table need not be there yet.
func New(c Config) (*Store, error) {
	if c.DB == nil {
		return nil, invalid("Config.DB is nil")
	}
	if c.Table == "" {
		c.Table = DefaultTable
	}
	if err := check(c.Dialect, c.Table); err != nil {
		return nil, err
	}
	d := c.Dialect.row()
	// What is too long to be an item's is not read into memory.
	fits := fmt.Sprintf("%s <= %d AND %s <= %d", d.length("enc"), maxEnc, d.length("attributes"), maxAttributes)
	sel := fmt.Sprintf("SELECT branch_key_id, type, CASE WHEN %s THEN enc END, CASE WHEN %s THEN attributes END FROM %s WHERE branch_key_id = ", fits, fits, c.Table)
	s := &Store{
		db: c.DB, dialect: c.Dialect, table: c.Table,
		get:    sel + "? AND type = ?",
		list:   sel + "?",
		ids:    "SELECT branch_key_id FROM " + c.Table + " WHERE branch_key_id = ?",
		lock:   "SELECT enc FROM " + c.Table + " WHERE branch_key_id = ? AND type = ?" + d.forUpdate,
		insert: "INSERT INTO " + c.Table + " (branch_key_id, type, enc, attributes) VALUES (?, ?, ?, ?)",
		update: "UPDATE " + c.Table + " SET enc = ?, attributes = ? WHERE branch_key_id = ? AND type = ?",
		delete: "DELETE FROM " + c.Table + " WHERE branch_key_id = ?",
	}
	for _, statement := range []*string{&s.get, &s.list, &s.ids, &s.lock, &s.insert, &s.update, &s.delete} {
		*statement = d.numbered(*statement)
	}
	return s, nil
}

const (
	maxEnc        = 6144     // bytes; KMS's longest ciphertext
	maxAttributes = 64 << 10 // bytes; 8,192 at their longest as JSON
	maxKey        = 2048     // bytes of an ID
	maxType       = 255      // bytes
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("sqlstore: %w: %s", keyring.ErrInvalidArgument, fmt.Sprintf(format, args...))
}

var tableName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}$`)

func check(d Dialect, table string) error {
	if d.row() == nil {
		return invalid("Dialect %d is none of PostgreSQL, MySQL and SQLite", int(d))
	}
	if !tableName.MatchString(table) {
		return invalid("table %.70q: a name is letters, digits and underscores, at most 63 of them, with a schema and a point before it if need be", table)
	}
	return nil
}

// Migrate makes the table if it is not there. It may be called again, and by several
// processes at once.
func (s *Store) Migrate(ctx context.Context) error {
	schema, err := Schema(s.dialect, s.table)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		if _, err = s.db.ExecContext(ctx, schema); err == nil {
			return nil
		}
		// Somebody else may be making it, which some databases report.
		if _, listErr := s.List(ctx, "-"); listErr == nil {
			return nil
		}
		if try == tries || pause(ctx, try) != nil {
			return s.failed("make the table", err)
		}
	}
}

// tries is how often something is tried that another process can get in the way of.
const tries = 8

// pause waits a moment before the next try, longer each time. It returns ctx's error.
func pause(ctx context.Context, try int) error {
	timer := time.NewTimer(rand.N(time.Duration(try) * 10 * time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Get implements [branchkey.Store].
func (s *Store) Get(ctx context.Context, id, itemType string) (branchkey.Item, error) {
	it, err := scan(id, s.db.QueryRowContext(ctx, s.get, id, itemType))
	if errors.Is(err, sql.ErrNoRows) {
		return branchkey.Item{}, branchkey.ErrNotFound
	}
	return it, s.failed("read", err)
}

// List implements [branchkey.Store].
func (s *Store) List(ctx context.Context, id string) ([]branchkey.Item, error) {
	rows, err := s.db.QueryContext(ctx, s.list, id)
	if err != nil {
		return nil, s.failed("list", err)
	}
	defer rows.Close()
	var all []branchkey.Item
	for rows.Next() {
		it, err := scan(id, rows)
		if err != nil {
			return nil, s.failed("list", err)
		}
		all = append(all, it)
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("list", err)
	}
	slices.SortFunc(all, func(a, b branchkey.Item) int { return strings.Compare(a.Type, b.Type) })
	return all, nil
}

// errComparesIDs is the error for a table that takes one ID for another. One made by Schema
// does not.
var errComparesIDs = fmt.Errorf("%w: the table compares IDs without regard to case, accents or spaces: make it as sqlstore.Schema says", branchkey.ErrForeignItem)

// scan reads an item of an ID from a row.
func scan(id string, row interface{ Scan(...any) error }) (branchkey.Item, error) {
	var it branchkey.Item
	var attributes []byte
	if err := row.Scan(&it.ID, &it.Type, &it.Enc, &attributes); err != nil {
		return it, err
	}
	if it.ID != id {
		return it, errComparesIDs
	}
	if it.Enc == nil || attributes == nil {
		return it, fmt.Errorf("%w: its enc or attributes are longer than any item's", branchkey.ErrForeignItem)
	}
	if err := json.Unmarshal(attributes, &it.Attributes); err != nil {
		// Of the error only that there is one, since it may quote what is there.
		return it, fmt.Errorf("%w: the column attributes is no JSON object whose values are strings", branchkey.ErrForeignItem)
	}
	return it, nil
}

// Put implements [branchkey.Store]. The items are written in one transaction.
func (s *Store) Put(ctx context.Context, puts ...branchkey.Put) error {
	encoded := make([]string, len(puts))
	for i, p := range puts {
		var err error
		if encoded[i], err = encode(p.Item); err != nil {
			return err
		}
	}
	// Transactions that get in each other's way fail with an error of the driver's own, such
	// as a deadlock. So after any error the table tells what has become of the items.
	for try := 1; ; try++ {
		err := s.transaction(ctx, puts, encoded)
		if err == nil || errors.Is(err, branchkey.ErrConflict) || ctx.Err() != nil {
			return s.failed("write", err)
		}
		written, possible, readErr := s.outcome(ctx, puts)
		switch {
		case readErr != nil:
			return s.failed("write", err)
		case written:
			return nil
		case !possible:
			return branchkey.ErrConflict
		case try == tries:
			return s.failed("write", err)
		}
		if err := pause(ctx, try); err != nil {
			return s.failed("write", err)
		}
	}
}

// encode returns the column attributes of an item.
func encode(it branchkey.Item) (string, error) {
	if len(it.ID) > maxKey || len(it.Type) > maxType || !utf8.ValidString(it.ID) || !utf8.ValidString(it.Type) || len(it.Enc) > maxEnc {
		return "", invalid("item %.50q: its ID, type or enc is too long, or not UTF-8", it.Type)
	}
	for name, value := range it.Attributes {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return "", invalid("item %.50q: attribute %.50q is not UTF-8", it.Type, name)
		}
	}
	b, err := json.Marshal(it.Attributes)
	if err != nil {
		return "", err
	}
	if len(b) > maxAttributes {
		return "", invalid("item %.50q: its attributes are too long", it.Type)
	}
	return string(b), nil
}

// transaction writes all items if all conditions hold.
func (s *Store) transaction(ctx context.Context, puts []branchkey.Put, encoded []string) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if before := s.dialect.row().beforeReading; before != "" {
		if _, err := tx.ExecContext(ctx, before+s.table+" WHERE 1 = 0"); err != nil {
			return err
		}
	}
	for i, p := range puts {
		var enc []byte
		err := tx.QueryRowContext(ctx, s.lock, p.Item.ID, p.Item.Type).Scan(&enc)
		missing := errors.Is(err, sql.ErrNoRows)
		if err != nil && !missing {
			return err
		}
		if missing != (p.Replaces == nil) || !missing && !bytes.Equal(enc, p.Replaces) {
			return branchkey.ErrConflict
		}
		if missing {
			_, err = tx.ExecContext(ctx, s.insert, p.Item.ID, p.Item.Type, p.Item.Enc, encoded[i])
		} else {
			_, err = tx.ExecContext(ctx, s.update, p.Item.Enc, encoded[i], p.Item.ID, p.Item.Type)
		}
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// outcome says, after a transaction that failed, whether the items were written all the
// same, and whether they still could be. KMS wraps a key differently each time, so that
// items with the same enc are the ones that were put.
func (s *Store) outcome(ctx context.Context, puts []branchkey.Put) (written, possible bool, err error) {
	written, possible = true, true
	for _, p := range puts {
		it, err := s.Get(ctx, p.Item.ID, p.Item.Type)
		missing := errors.Is(err, branchkey.ErrNotFound)
		if err != nil && !missing {
			return false, false, err
		}
		written = written && !missing && bytes.Equal(it.Enc, p.Item.Enc)
		possible = possible && missing == (p.Replaces == nil) && (missing || bytes.Equal(it.Enc, p.Replaces))
	}
	return written, possible, nil
}

// Delete implements [branchkey.Store]. The items that are there go in one statement.
func (s *Store) Delete(ctx context.Context, id string) error {
	found := false
	// Again until there is nothing: a statement does not see a new version that was
	// committed while it waited for the active item. None comes once that is gone. Nor does
	// a deadlock with a transaction that makes one keep the items.
	for try := 1; ; {
		there, err := s.has(ctx, id)
		switch {
		case err != nil:
			return s.failed("delete", err)
		case !there && !found:
			return branchkey.ErrNotFound
		case !there:
			return nil
		}
		found = true
		if _, err := s.db.ExecContext(ctx, s.delete, id); err != nil {
			if try == tries || pause(ctx, try) != nil {
				return s.failed("delete", err)
			}
			try++
		}
	}
}

// has says whether there are items of an ID.
func (s *Store) has(ctx context.Context, id string) (found bool, err error) {
	rows, err := s.db.QueryContext(ctx, s.ids, id)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		var got string
		if err := rows.Scan(&got); err != nil {
			return false, err
		}
		if got != id {
			return false, errComparesIDs
		}
		found = true
	}
	return found, rows.Err()
}
