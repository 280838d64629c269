package docs

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// TestCodeInReadmeCompiles holds that the Go code in envelope/field/README.md is in this
// file, line for line. The first is a program, which .ci/run runs. pgx is not in this
// module: examples/postgres uses it.
func TestCodeInReadmeCompiles(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "envelope", "field", "README.md"))
	require.NoError(t, err)
	this, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	compiled := "\n" + trimLines(string(this))
	blocks := goBlock.FindAllStringSubmatch(string(readme), -1)
	require.Len(t, blocks, 6)
	assert.True(t, strings.HasPrefix(blocks[0][1], "package main\n"))
	for _, b := range blocks[1:] {
		if strings.Contains(b[1], "pgx.") {
			continue
		}
		assert.True(t, strings.Contains(compiled, "\n"+trimLines(b[1])), "not in this file:\n%s", b[1])
	}
}

// trimLines takes the white space from both ends of each line.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

// What follows is only compiled. examples/postgres runs programs like it.

type Patient struct {
	ID     string               `seal:",row"`
	Tenant string               `seal:",context=tenant"`
	SSN    field.Sealed[string] `seal:"ssn"`
	Notes  field.Sealed[string] `seal:"notes"`
	SSNIdx field.Index          `seal:"index=ssn"`
}

var (
	_ = insert
	_ = bySSN
	_ = writePage
)

var (
	db       *sql.DB
	patients *field.Table[Patient]
)

func insert(ctx context.Context, db *sql.DB, p *Patient) error {
	if err := patients.Seal(ctx, p); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, `INSERT INTO patients (id, tenant, ssn, notes, ssn_idx) VALUES ($1, $2, $3, $4, $5)`,
		p.ID, p.Tenant, p.SSN, p.Notes, p.SSNIdx)
	return err
}

func find(ctx context.Context, db *sql.DB, where string, args ...any) ([]*Patient, error) {
	rows, err := db.QueryContext(ctx, `SELECT id, tenant, ssn, notes FROM patients WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*Patient
	for rows.Next() { // SELECT id, tenant, ssn, notes FROM patients WHERE …
		var p Patient
		if err := rows.Scan(&p.ID, &p.Tenant, &p.SSN, &p.Notes); err != nil {
			return nil, err
		}
		all = append(all, &p)
	}
	return all, errors.Join(rows.Err(), patients.Open(ctx, all...)) // once, for all of them
}

func bySSN(ctx context.Context, tenant string) ([]*Patient, error) {
	terms, err := patients.Terms("ssn", "078-05-1120", keyring.EncryptionContext{"tenant": tenant})
	if err != nil {
		return nil, err
	}
	return find(ctx, db, `tenant = $1 AND ssn_idx = ANY ($2)`, tenant, terms) // elsewhere IN ($2, $3)
}

func writePage(ctx context.Context, page []field.Resealed[Patient]) (lost int, err error) {
	for _, p := range page {
		done, err := db.ExecContext(ctx, `UPDATE patients SET ssn = $1, notes = $2, ssn_idx = $3
			WHERE id = $4 AND ssn IS NOT DISTINCT FROM $5 AND notes IS NOT DISTINCT FROM $6`,
			p.Record.SSN, p.Record.Notes, p.Record.SSNIdx, p.Record.ID, p.Before.SSN, p.Before.Notes)
		if err != nil {
			return lost, err
		}
		if n, err := done.RowsAffected(); err != nil {
			return lost, err
		} else if n == 0 {
			lost++ // another wrote the row meanwhile, and what it wrote stays
		}
	}
	return lost, nil
}
