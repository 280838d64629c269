package main

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// A Patient is a row. What stands in it in plaintext is what the database may search and
// sort by: the ward.
type Patient struct {
	ID        string `seal:",row"`
	Tenant    string `seal:",context=tenant"`
	Ward      string
	SSN       field.Sealed[string] `seal:"ssn"`
	Notes     field.Sealed[string] `seal:"notes"`
	Diagnosis field.Sealed[string] `seal:"diagnosis"`
	SSNIndex  field.Index          `seal:"index=ssn,normalize=digits"`
}

// The CHECKs refuse what was not sealed, whoever writes it. No sealed value is shorter.
const schema = `
CREATE TABLE patients (
	id        TEXT PRIMARY KEY,
	tenant    TEXT NOT NULL,
	ward      TEXT NOT NULL,
	ssn       BYTES CHECK (substr(ssn, 1, 3) = MESSAGE AND length(ssn) >= 200),
	notes     BYTES CHECK (substr(notes, 1, 3) = MESSAGE AND length(notes) >= 200),
	diagnosis BYTES CHECK (substr(diagnosis, 1, 3) = MESSAGE AND length(diagnosis) >= 200),
	ssn_index BYTES
);
CREATE INDEX patients_by_ssn ON patients (tenant, ssn_index);
`

const columns = "id, tenant, ward, ssn, notes, diagnosis, ssn_index"

// A Service keeps the patients of many tenants.
type Service struct {
	db       *sql.DB
	patients *field.Table[Patient]
	cache    *cache.Cache
}

// NewService returns a service on a database that has the schema. The index keys are
// sealed, as field.NewIndexKeys().Seal made them once; a program of yours has them in its
// configuration, or in a table.
func NewService(ctx context.Context, db *sql.DB, keys keyring.Keyring, indexKeys []byte) (*Service, error) {
	cached, err := cache.New(keys, cache.Limits{MaxAge: 5 * time.Minute})
	if err != nil {
		return nil, err
	}
	opened, err := field.OpenIndexKeys(ctx, cached, indexKeys)
	if err != nil {
		return nil, err
	}
	patients, err := field.NewTable[Patient](cached, "patients", &field.Options{IndexKeys: opened})
	if err != nil {
		return nil, err
	}
	return &Service{db, patients, cached}, nil
}

// Close drops the data keys.
func (s *Service) Close() { s.cache.Close() }

// Add stores new patients.
func (s *Service) Add(ctx context.Context, patients ...*Patient) error {
	if err := s.patients.Seal(ctx, patients...); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for some := range slices.Chunk(patients, rowsPerInsert) {
		var args []any
		for _, p := range some {
			args = append(args, p.ID, p.Tenant, p.Ward, p.SSN, p.Notes, p.Diagnosis, p.SSNIndex)
		}
		if _, err := tx.ExecContext(ctx, insert("patients", columns, len(some)), args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// SetNotes replaces a patient's notes, and writes no other column.
func (s *Service) SetNotes(ctx context.Context, tenant, id, notes string) error {
	p := &Patient{ID: id, Tenant: tenant, Notes: field.New(notes)}
	if err := s.patients.Seal(ctx, p); err != nil {
		return err
	}
	_, err := s.db.ExecContext(ctx, "UPDATE patients SET notes = $1 WHERE tenant = $2 AND id = $3", p.Notes, tenant, id)
	return err
}

// OfTenant returns the patients of a tenant, by ID.
func (s *Service) OfTenant(ctx context.Context, tenant string) ([]*Patient, error) {
	return s.find(ctx, "WHERE tenant = $1 ORDER BY id", tenant)
}

// All returns all patients, by ID.
func (s *Service) All(ctx context.Context) ([]*Patient, error) {
	return s.find(ctx, "ORDER BY id")
}

// BySSN returns the patients of a tenant that have this number, however it is spaced.
func (s *Service) BySSN(ctx context.Context, tenant, ssn string) ([]*Patient, error) {
	terms, err := s.patients.Terms("ssn", ssn, keyring.EncryptionContext{"tenant": tenant})
	if err != nil {
		return nil, err
	}
	args := []any{tenant}
	for _, term := range terms {
		args = append(args, term)
	}
	return s.find(ctx, "WHERE tenant = $1 AND ssn_index IN ("+placeholders(2, len(terms))+") ORDER BY id", args...)
}

// find returns the patients of a query. If some cannot be opened it returns all, and the
// error says which: the others are good.
func (s *Service) find(ctx context.Context, where string, args ...any) ([]*Patient, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT "+columns+" FROM patients "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*Patient
	for rows.Next() {
		var p Patient
		if err := rows.Scan(&p.ID, &p.Tenant, &p.Ward, &p.SSN, &p.Notes, &p.Diagnosis, &p.SSNIndex); err != nil {
			return nil, err
		}
		found = append(found, &p)
	}
	return found, errors.Join(rows.Err(), s.patients.Open(ctx, found...))
}
