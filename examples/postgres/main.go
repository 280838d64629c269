// Command postgres keeps patients in a database that cannot read their social security
// numbers, notes and diagnoses, finds them by number all the same, shows what the database
// refuses and what does not open, and rotates the key.
//
// Without flags it runs on SQLite, on a file that is removed afterwards:
//
//	go -C examples/postgres run .
//
// With a URL it runs on PostgreSQL, with tables that it makes and drops again:
//
//	go -C examples/postgres run . -dsn postgres://USER:PASSWORD@HOST/DATABASE
//
// The environment's PATIENTS_DSN is as good as the flag. The wrapping keys are made for
// the run; a program of yours has them in a key service, as in examples/kms.
//
// service.go is what a service of yours would have, rotate.go how its keys are changed
// while it runs.
package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

const usage = `usage:
  postgres             on SQLite
  postgres -dsn URL    on PostgreSQL; the tables patients and rotations must not exist`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "postgres:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	dsn, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := fmt.Fprintln(out, usage)
		return err
	} else if err != nil {
		return fmt.Errorf("%w\n%s", err, usage)
	}
	if dsn == "" {
		dir, err := os.MkdirTemp("", "patients-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		dsn = filepath.Join(dir, "patients.db")
	}
	db, dialect, err := open(dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, dialect.sql(schema+rotationSchema)); err != nil {
		return err
	}
	err = demo(ctx, out, db)
	_, dropErr := db.ExecContext(context.WithoutCancel(ctx), "DROP TABLE patients; DROP TABLE rotations")
	return errors.Join(err, dropErr)
}

func parse(args []string) (dsn string, err error) {
	flags := flag.NewFlagSet("postgres", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run says what is wrong
	flags.StringVar(&dsn, "dsn", os.Getenv("PATIENTS_DSN"), "")
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	if flags.NArg() > 0 {
		return "", fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return dsn, nil
}

// newKey makes a wrapping key.
func newKey(name string) (keyring.Keyring, error) {
	key := make([]byte, 32)
	rand.Read(key)
	return keyring.NewRawAES("patients", name, key)
}

// newIndexKeys makes the keys of blind indexes, once for each database. They are sealed
// by the keyring, and can be kept anywhere.
func newIndexKeys(ctx context.Context, keys keyring.Keyring) ([]byte, error) {
	m, err := keyring.NewManager(keys)
	if err != nil {
		return nil, err
	}
	return field.NewIndexKeys().Seal(ctx, m)
}

func demo(ctx context.Context, out io.Writer, db *sql.DB) error {
	oldKey, err := newKey("key-2025")
	if err != nil {
		return err
	}
	indexKeys, err := newIndexKeys(ctx, oldKey)
	if err != nil {
		return err
	}
	service, err := NewService(ctx, db, oldKey, indexKeys)
	if err != nil {
		return err
	}
	defer service.Close()
	if err := store(ctx, out, service); err != nil {
		return err
	}
	if err := find(ctx, out, service); err != nil {
		return err
	}
	if err := refused(ctx, out, db, service); err != nil {
		return err
	}
	return rotate(ctx, out, db, oldKey, indexKeys)
}

func store(ctx context.Context, out io.Writer, service *Service) error {
	patient := func(id, tenant, ssn, notes, diagnosis string) *Patient {
		return &Patient{ID: id, Tenant: tenant, Ward: "surgery", SSN: field.New(ssn), Notes: field.New(notes), Diagnosis: field.New(diagnosis)}
	}
	err := service.Add(ctx,
		patient("p1", "clinic-42", "078-05-1120", "allergic to penicillin", "K35.8"),
		patient("p2", "clinic-42", "219-09-9999", "walks with a stick", "M16.1"),
		patient("p3", "clinic-43", "078-05-1120", "came by train", "S52.5"),
	)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "three patients of two tenants\n")
	return nil
}

func find(ctx context.Context, out io.Writer, service *Service) error {
	found, err := service.BySSN(ctx, "clinic-42", "078 05 1120")
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("found %d patients by number, want 1", len(found))
	}
	notes, err := found[0].Notes.Plaintext()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nfound by number\n  %s: %s\n  as fmt prints it: %v\n", found[0].ID, notes, *found[0])
	return nil
}

// refused shows a write that the database refuses, and what does not open after somebody
// has written to the database past the service.
func refused(ctx context.Context, out io.Writer, db *sql.DB, service *Service) error {
	fmt.Fprint(out, "\nrefused\n")
	_, err := db.ExecContext(ctx, "UPDATE patients SET notes = $1 WHERE id = 'p1'", []byte("in plaintext"))
	if err == nil {
		return errors.New("plaintext got into the database")
	}
	fmt.Fprintf(out, "  plaintext:\n    %v\n", err)

	var notes []byte
	if err := db.QueryRowContext(ctx, "SELECT notes FROM patients WHERE id = 'p1'").Scan(&notes); err != nil {
		return err
	}
	const swap = "UPDATE patients SET notes = (SELECT notes FROM patients WHERE id = 'p2') WHERE id = 'p1'"
	if _, err := db.ExecContext(ctx, swap); err != nil {
		return err
	}
	_, err = service.OfTenant(ctx, "clinic-42")
	if !errors.Is(err, field.ErrBinding) {
		return fmt.Errorf("another patient's notes: got %v, want %v", err, field.ErrBinding)
	}
	fmt.Fprintf(out, "  another patient's notes:\n    %v\n", err)
	_, err = db.ExecContext(ctx, "UPDATE patients SET notes = $1 WHERE id = 'p1'", notes)
	return err
}

// rotate has everything under a new key, and then does without the old one.
func rotate(ctx context.Context, out io.Writer, db *sql.DB, oldKey keyring.Keyring, indexKeys []byte) error {
	newKey, err := newKey("key-2026")
	if err != nil {
		return err
	}
	both, err := successor(newKey, oldKey)
	if err != nil {
		return err
	}
	service, err := NewService(ctx, db, both, indexKeys)
	if err != nil {
		return err
	}
	defer service.Close()
	so, err := service.Rotate(ctx, "key-2026")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nrotated\n  read %d, sealed %d, failed %d\n", so.Read, so.Sealed, so.Failed)

	if indexKeys, err = resealIndexKeys(ctx, both, indexKeys); err != nil {
		return err
	}
	without, err := NewService(ctx, db, newKey, indexKeys)
	if err != nil {
		return err
	}
	defer without.Close()
	return find(ctx, out, without)
}

// successor returns a keyring that wraps with the new key alone, and unwraps with both.
func successor(newKey, oldKey keyring.Keyring) (keyring.Keyring, error) {
	reads, err := keyring.NewMultiDecrypter(newKey, oldKey)
	if err != nil {
		return nil, err
	}
	return struct {
		keyring.Encrypter
		keyring.Decrypter
	}{newKey, reads}, nil
}

// resealIndexKeys seals index keys by what the keyring wraps with now.
func resealIndexKeys(ctx context.Context, keys keyring.Keyring, indexKeys []byte) ([]byte, error) {
	m, err := keyring.NewManager(keys)
	if err != nil {
		return nil, err
	}
	opened, err := field.OpenIndexKeys(ctx, m, indexKeys)
	if err != nil {
		return nil, err
	}
	return opened.Seal(ctx, m)
}
