package main

import (
	"database/sql"
	"fmt"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"
)

// A dialect is what differs between the databases in this program's SQL.
type dialect struct {
	bytes   string // the type of a column of bytes
	message string // the first bytes of every sealed value: version 2, suite 0478
}

var (
	postgreSQL = dialect{bytes: "BYTEA", message: `'\x020478'::bytea`}
	sqlite     = dialect{bytes: "BLOB", message: `x'020478'`}
)

// open opens PostgreSQL if the DSN is one of its URLs, and the file of that name with
// SQLite if not.
func open(dsn string) (*sql.DB, dialect, error) {
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		db, err := sql.Open("pgx", dsn)
		return db, postgreSQL, err
	}
	// A second process waits for the first, and reads while that writes.
	db, err := sql.Open("sqlite", "file:"+dsn+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(60000)&_txlock=immediate")
	if err == nil {
		db.SetMaxOpenConns(1) // SQLite has one writer at a time
	}
	return db, sqlite, err
}

// sql replaces the words BYTES and MESSAGE.
func (d dialect) sql(text string) string {
	return strings.NewReplacer("BYTES", d.bytes, "MESSAGE", d.message).Replace(text)
}

// placeholders returns "$from, $from+1, ..." for n arguments.
func placeholders(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", from+i)
	}
	return b.String()
}

// rowsPerInsert saves most of the ways to PostgreSQL. SQLite's driver takes a time for each
// statement that grows with the square of its arguments.
const rowsPerInsert = 20

// insert returns an INSERT of n rows with as many columns as are named.
func insert(table, columns string, n int) string {
	width := strings.Count(columns, ",") + 1
	rows := make([]string, n)
	for i := range rows {
		rows[i] = "(" + placeholders(1+i*width, width) + ")"
	}
	return "INSERT INTO " + table + " (" + columns + ") VALUES " + strings.Join(rows, ", ")
}
