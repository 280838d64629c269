// A table of patients in SQLite. The column ssn is encrypted, and rows are found by it.
package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"time"

	_ "modernc.org/sqlite"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// The CHECK refuses plaintext, whoever writes it. It lets NULL pass: NOT NULL refuses that.
const schema = `
CREATE TABLE patients (
	id      TEXT PRIMARY KEY,
	tenant  TEXT NOT NULL,
	ssn     BLOB CHECK (substr(ssn, 1, 3) = x'020478'),
	ssn_idx BLOB
);
CREATE INDEX patients_ssn ON patients (tenant, ssn_idx);`

type Patient struct {
	ID     string               `seal:",row"`            // ssn opens in this row only
	Tenant string               `seal:",context=tenant"` // and for this tenant only
	SSN    field.Sealed[string] `seal:"ssn"`
	SSNIdx field.Index          `seal:"index=ssn,normalize=digits"` // 078-05-1120 and 078051120 are one
}

type store struct {
	db       *sql.DB
	patients *field.Table[Patient]
}

func (s *store) insert(ctx context.Context, all ...*Patient) error {
	if err := s.patients.Seal(ctx, all...); err != nil { // fills SSNIdx too
		return err
	}
	for _, p := range all {
		_, err := s.db.ExecContext(ctx, `INSERT INTO patients (id, tenant, ssn, ssn_idx) VALUES (?, ?, ?, ?)`,
			p.ID, p.Tenant, p.SSN, p.SSNIdx)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *store) bySSN(ctx context.Context, tenant, ssn string) (found []*Patient, err error) {
	terms, err := s.patients.Terms("ssn", ssn, keyring.EncryptionContext{"tenant": tenant})
	if err != nil {
		return nil, err
	}
	for _, term := range terms { // one, and two while index keys rotate
		rows, err := s.db.QueryContext(ctx, `SELECT id, tenant, ssn FROM patients WHERE tenant = ? AND ssn_idx = ?`, tenant, term)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var p Patient
			if err := rows.Scan(&p.ID, &p.Tenant, &p.SSN); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			found = append(found, &p)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return found, s.patients.Open(ctx, found...) // once, for all of them
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	key := make([]byte, 32)
	rand.Read(key)                                       // With KMS, without these two lines:
	kr, err := keyring.NewRawAES("clinic", "kek-1", key) // awskms.New(awskms.Config{…})
	if err != nil {
		return err
	}
	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
	if err != nil {
		return err
	}
	defer cached.Close()

	// Once in the table's life: make index keys. Keep what Seal returns.
	kept, err := field.NewIndexKeys().Seal(ctx, cached)
	if err != nil {
		return err
	}
	// At each start: open them.
	indexKeys, err := field.OpenIndexKeys(ctx, cached, kept)
	if err != nil {
		return err
	}
	patients, err := field.NewTable[Patient](cached, "patients", &field.Options{IndexKeys: indexKeys})
	if err != nil {
		return err
	}

	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is another database
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}

	s := &store{db, patients}
	err = s.insert(ctx,
		&Patient{ID: "p-17", Tenant: "42", SSN: field.New("078-05-1120")},
		&Patient{ID: "p-18", Tenant: "42", SSN: field.New("219-09-9999")},
	)
	if err != nil {
		return err
	}
	found, err := s.bySSN(ctx, "42", "078051120")
	if err != nil {
		return err
	}
	for _, p := range found {
		ssn, err := p.SSN.Plaintext()
		if err != nil {
			return err
		}
		fmt.Println("found:", p.ID, ssn)
	}

	// Whoever has the database, and not the keys, copies one patient's number to another.
	if _, err := db.ExecContext(ctx, `UPDATE patients SET ssn = (SELECT ssn FROM patients WHERE id = 'p-18') WHERE id = 'p-17'`); err != nil {
		return err
	}
	_, err = s.bySSN(ctx, "42", "078-05-1120")
	fmt.Println("moved:", err)

	_, err = db.ExecContext(ctx, `UPDATE patients SET ssn = '078-05-1120'`)
	fmt.Println("plaintext refused:", err != nil)
	return nil
}
