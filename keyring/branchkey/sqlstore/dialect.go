package sqlstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-sealring/sealring/keyring/branchkey"
)

// A Dialect is a kind of database.
type Dialect int

// The dialects. MySQL is that of MariaDB too.
const (
	PostgreSQL Dialect = iota + 1
	MySQL
	SQLite
)

// A dialect is one row of what the kinds of databases do differently.
type dialect struct {
	schema        string // %s is the table
	lengthOf      string // of a column in bytes; %s is the column
	forUpdate     string // locks the rows that a SELECT reads
	beforeReading string // begins a statement that locks the table for a transaction's writes
	dollars       bool   // parameters are $1 and so on
}

// In every schema, IDs and types are compared byte by byte, and attributes come back as
// they were put.
var dialects = map[Dialect]*dialect{
	PostgreSQL: {
		schema: `CREATE TABLE IF NOT EXISTS %s (
	branch_key_id text COLLATE "C" NOT NULL,
	type          text COLLATE "C" NOT NULL,
	enc           bytea NOT NULL,
	attributes    text NOT NULL, -- JSON; not jsonb, which changes the text
	PRIMARY KEY (branch_key_id, type)
)`,
		lengthOf:  "octet_length(%s)",
		forUpdate: " FOR UPDATE",
		dollars:   true,
	},
	MySQL: {
		schema: `CREATE TABLE IF NOT EXISTS %s (
	branch_key_id VARBINARY(2048) NOT NULL,
	type          VARBINARY(255) NOT NULL,
	enc           VARBINARY(6144) NOT NULL,
	attributes    MEDIUMBLOB NOT NULL, -- JSON in UTF-8
	PRIMARY KEY (branch_key_id, type)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC`,
		lengthOf:  "octet_length(%s)",
		forUpdate: " FOR UPDATE",
	},
	SQLite: {
		schema: `CREATE TABLE IF NOT EXISTS %s (
	branch_key_id TEXT NOT NULL,
	type          TEXT NOT NULL,
	enc           BLOB NOT NULL,
	attributes    TEXT NOT NULL, -- JSON
	PRIMARY KEY (branch_key_id, type)
) WITHOUT ROWID`,
		lengthOf: "length(CAST(%s AS BLOB))",
		// A transaction that reads first and writes then fails if another has written
		// meanwhile, without waiting for the busy timeout.
		beforeReading: "DELETE FROM ",
	},
}

// row returns what is known of a dialect, or nil.
func (d Dialect) row() *dialect { return dialects[d] }

// length returns the SQL for the length of a column in bytes.
func (d *dialect) length(column string) string { return fmt.Sprintf(d.lengthOf, column) }

// numbered returns a statement with the parameters in the dialect's form, given one with
// question marks.
func (d *dialect) numbered(statement string) string {
	if !d.dollars {
		return statement
	}
	parts := strings.Split(statement, "?")
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// Schema returns the SQL statement that makes a table if it is not there. With an empty
// name it is [DefaultTable]. The error is keyring.ErrInvalidArgument.
func Schema(d Dialect, table string) (string, error) {
	if table == "" {
		table = DefaultTable
	}
	if err := check(d, table); err != nil {
		return "", err
	}
	return fmt.Sprintf(d.row().schema, table), nil
}

// failed returns the error for a call of the database that failed, or nil for none.
func (s *Store) failed(doing string, err error) error {
	switch {
	case err == nil, errors.Is(err, branchkey.ErrConflict):
		return err
	case errors.Is(err, branchkey.ErrForeignItem):
		return fmt.Errorf("table %s: %w", s.table, err)
	case noTable(err):
		return fmt.Errorf("table %s: %w: %w", s.table, branchkey.ErrNoTable, err)
	case denied(err):
		return &deniedError{doing, s.table, err}
	}
	return fmt.Errorf("%s in table %s: %w", doing, s.table, err)
}

// sqlState returns an error's SQLSTATE, which drivers for PostgreSQL tell by a method.
func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

// says reports whether an error's text has one of some parts. Drivers for MySQL and SQLite
// have types of their own, which this package does not know.
func says(err error, parts ...string) bool {
	text := err.Error()
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func noTable(err error) bool {
	const undefinedTable, invalidSchema = "42P01", "3F000"
	state := sqlState(err)
	return state == undefinedTable || state == invalidSchema || state == "" && says(err, "no such table", "Error 1146")
}

// denied reports whether a database has refused access: rights that are missing, or a name
// or password that it does not take. MySQL's and MariaDB's numbers for an account that is
// locked are not the same.
func denied(err error) bool {
	const insufficientPrivilege, invalidAuthorization = "42501", "28"
	state := sqlState(err)
	return state == insufficientPrivilege || strings.HasPrefix(state, invalidAuthorization) ||
		state == "" && says(err, "Error 1044", "Error 1045", "Error 1142", "Error 1143", "Error 1698", "Error 3118", "Error 4151")
}

// A deniedError ends the use of branch keys that were read before.
type deniedError struct {
	doing, table string
	err          error
}

func (e *deniedError) Error() string {
	return fmt.Sprintf("%s in table %s: access denied: grant the user SELECT, and to make and destroy branch keys INSERT, UPDATE and DELETE: %v", e.doing, e.table, e.err)
}

func (e *deniedError) Unwrap() error { return e.err }

// Refused says that it is a refusal and no outage.
func (e *deniedError) Refused() bool { return true }
