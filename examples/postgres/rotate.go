package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/go-sealring/sealring/envelope/field"
)

// The place that a rotation has come to survives the process.
const rotationSchema = `
CREATE TABLE rotations (name TEXT PRIMARY KEY, place TEXT NOT NULL);
`

const pageSize = 500

// Rotate seals anew what is not wrapped by exactly the keys named, or has an index of an
// old version. After a crash it goes on where it was. All processes must write under the
// new keys before it begins.
//
// A patient whose notes were written while his page was worked on is left for later: his
// other columns are still under the old keys. So may be the columns of one that a process
// read before the rotation came by and wrote back after: write the columns that changed
// and no others, as SetNotes does. Rotate again before the old keys go, until nothing is
// sealed any more: what is fresh is only read.
func (s *Service) Rotate(ctx context.Context, keys ...string) (field.Progress, error) {
	var from string
	err := s.db.QueryRowContext(ctx, "SELECT place FROM rotations WHERE name = 'patients'").Scan(&from)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return field.Progress{}, err
	}
	so, err := s.patients.Rotate(ctx, s.rotation(keys), from)
	if err != nil {
		return so, err
	}
	_, err = s.db.ExecContext(ctx, "DELETE FROM rotations WHERE name = 'patients'")
	return so, err
}

func (s *Service) rotation(keys []string) field.Rotation[Patient] {
	return field.Rotation[Patient]{Keys: keys, Read: s.readPage, Write: s.writePage, Checkpoint: s.checkpoint}
}

func (s *Service) readPage(ctx context.Context, after string) ([]*Patient, string, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, tenant, ssn, notes, diagnosis, ssn_index FROM patients WHERE id > $1 ORDER BY id LIMIT $2", after, pageSize)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	var page []*Patient
	for rows.Next() {
		var p Patient
		if err := rows.Scan(&p.ID, &p.Tenant, &p.SSN, &p.Notes, &p.Diagnosis, &p.SSNIndex); err != nil {
			return nil, "", err
		}
		page, after = append(page, &p), p.ID
	}
	return page, after, rows.Err()
}

// writePage leaves a row alone that is no longer as it was read.
func (s *Service) writePage(ctx context.Context, page []field.Resealed[Patient]) (lost int, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	update, err := tx.PrepareContext(ctx, `
		UPDATE patients SET ssn = $1, notes = $2, diagnosis = $3, ssn_index = $4
		WHERE id = $5 AND ssn IS NOT DISTINCT FROM $6 AND notes IS NOT DISTINCT FROM $7 AND diagnosis IS NOT DISTINCT FROM $8`)
	if err != nil {
		return 0, err
	}
	defer update.Close()
	for _, p := range page {
		was, is := &p.Before, p.Record
		result, err := update.ExecContext(ctx, is.SSN, is.Notes, is.Diagnosis, is.SSNIndex, is.ID, was.SSN, was.Notes, was.Diagnosis)
		if err != nil {
			return 0, err
		}
		written, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		lost += 1 - int(written)
	}
	return lost, tx.Commit()
}

func (s *Service) checkpoint(ctx context.Context, at string, _ field.Progress) error {
	_, err := s.db.ExecContext(ctx, `
		INSERT INTO rotations (name, place) VALUES ('patients', $1)
		ON CONFLICT (name) DO UPDATE SET place = excluded.place`, at)
	return err
}
