package main

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// What service.go would be without encryption. TestGlue counts the lines that it takes
// more, and benchmarks compare the two.

type plainPatient struct {
	ID        string
	Tenant    string
	Ward      string
	SSN       string
	Notes     string
	Diagnosis string
}

const plainSchema = `
CREATE TABLE patients (
	id        TEXT PRIMARY KEY,
	tenant    TEXT NOT NULL,
	ward      TEXT NOT NULL,
	ssn       TEXT,
	notes     TEXT,
	diagnosis TEXT
);
CREATE INDEX patients_by_ssn ON patients (tenant, ssn);
`

const plainColumns = "id, tenant, ward, ssn, notes, diagnosis"

type plainService struct {
	db *sql.DB
}

func newPlainService(db *sql.DB) *plainService {
	return &plainService{db}
}

func (s *plainService) Add(ctx context.Context, patients ...*plainPatient) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for some := range slices.Chunk(patients, rowsPerInsert) {
		var args []any
		for _, p := range some {
			args = append(args, p.ID, p.Tenant, p.Ward, p.SSN, p.Notes, p.Diagnosis)
		}
		if _, err := tx.ExecContext(ctx, insert("patients", plainColumns, len(some)), args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (s *plainService) SetNotes(ctx context.Context, tenant, id, notes string) error {
	_, err := s.db.ExecContext(ctx, "UPDATE patients SET notes = $1 WHERE tenant = $2 AND id = $3", notes, tenant, id)
	return err
}

func (s *plainService) OfTenant(ctx context.Context, tenant string) ([]*plainPatient, error) {
	return s.find(ctx, "WHERE tenant = $1 ORDER BY id", tenant)
}

func (s *plainService) All(ctx context.Context) ([]*plainPatient, error) {
	return s.find(ctx, "ORDER BY id")
}

func (s *plainService) BySSN(ctx context.Context, tenant, ssn string) ([]*plainPatient, error) {
	digits := strings.ReplaceAll(ssn, " ", "")
	return s.find(ctx, "WHERE tenant = $1 AND ssn = $2 ORDER BY id", tenant, digits)
}

func (s *plainService) find(ctx context.Context, where string, args ...any) ([]*plainPatient, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT "+plainColumns+" FROM patients "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*plainPatient
	for rows.Next() {
		var p plainPatient
		if err := rows.Scan(&p.ID, &p.Tenant, &p.Ward, &p.SSN, &p.Notes, &p.Diagnosis); err != nil {
			return nil, err
		}
		found = append(found, &p)
	}
	return found, rows.Err()
}
