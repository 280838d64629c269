package main

import (
	"go/scanner"
	"go/token"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/field"
)

func TestService(t *testing.T) {
	onEach(t, func(t *testing.T, db database) {
		s := startNew(t, db)
		require.NoError(t, s.Add(t.Context(), madeMany(250)...))

		all, err := s.All(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 250)
		for i, p := range all {
			requireMade(t, i, p)
		}
		some, err := s.OfTenant(t.Context(), madeTenant(3))
		require.NoError(t, err)
		require.Len(t, some, 250/tenants)
		requireMade(t, 13, some[1])

		require.NoError(t, s.SetNotes(t.Context(), madeTenant(13), madeID(13), "goes home"))
		some, err = s.OfTenant(t.Context(), madeTenant(3))
		require.NoError(t, err)
		assert.Equal(t, "goes home", plaintext(t, some[1].Notes))
	})
}

func TestBySSN(t *testing.T) {
	onEach(t, func(t *testing.T, db database) {
		s := startNew(t, db)
		require.NoError(t, s.Add(t.Context(),
			&Patient{ID: "a", Tenant: "clinic-1", SSN: field.New("078-05-1120")},
			&Patient{ID: "b", Tenant: "clinic-1", SSN: field.New("219-09-9999")},
			&Patient{ID: "c", Tenant: "clinic-2", SSN: field.New("078-05-1120")},
			&Patient{ID: "d", Tenant: "clinic-1", SSN: field.New("078051120")},
			&Patient{ID: "e", Tenant: "clinic-1"}, // whose number is not known
		))
		for name, c := range map[string]struct{ tenant, ssn, want string }{
			"spaced in any way": {"clinic-1", "078 05 1120", "a d"},
			"another tenant":    {"clinic-2", "078-05-1120", "c"},
			"another number":    {"clinic-1", "219-09-9999", "b"},
			"nobody":            {"clinic-1", "219-09-9998", ""},
			"no such tenant":    {"clinic-3", "078-05-1120", ""},
		} {
			t.Run(name, func(t *testing.T) {
				found, err := s.BySSN(t.Context(), c.tenant, c.ssn)
				require.NoError(t, err)
				assert.Equal(t, c.want, ids(found))
			})
		}
		_, err := s.BySSN(t.Context(), "", "078-05-1120")
		assert.ErrorIs(t, err, field.ErrInvalidArgument, "no tenant")

		terms := db.bytes(t, "SELECT COUNT(DISTINCT ssn_index) FROM patients")
		assert.Equal(t, "3", string(terms), "a term is for one number of one tenant, and NULL for none")
	})
}

func TestNullAndEmpty(t *testing.T) {
	onEach(t, func(t *testing.T, db database) {
		s := startNew(t, db)
		require.NoError(t, s.Add(t.Context(), &Patient{ID: "a", Tenant: "clinic-1", Notes: field.New("")}))
		all, err := s.All(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 1)
		assert.Equal(t, "", plaintext(t, all[0].Notes))
		assert.True(t, all[0].SSN.IsNull())
		assert.Nil(t, []byte(all[0].SSNIndex))
		_, err = all[0].SSN.Plaintext()
		assert.ErrorIs(t, err, field.ErrNull)

		one := string(db.bytes(t, "SELECT COUNT(*) FROM patients WHERE ssn IS NULL AND ssn_index IS NULL AND diagnosis IS NULL AND notes IS NOT NULL"))
		assert.Equal(t, "1", one, "NULL is NULL in the database")
	})
}

// What a caller forgot to seal does not get into the database.
func TestUnsealedIsNotWritten(t *testing.T) {
	onEach(t, func(t *testing.T, db database) {
		startNew(t, db)
		_, err := db.ExecContext(t.Context(), "INSERT INTO patients (id, tenant, ward, ssn) VALUES ('a', 'clinic-1', '', $1)", field.New("078-05-1120"))
		require.ErrorIs(t, err, field.ErrUnsealed)
		assert.NotContains(t, err.Error(), "078")
		assert.Equal(t, "0", string(db.bytes(t, "SELECT COUNT(*) FROM patients")))
	})
}

// glue is how many lines of code a service may have more than without encryption. Four
// more make its keyring: a call, and what becomes of its error.
const glue = 40 - 4

func TestGlue(t *testing.T) {
	sealed, plain := lines(t, "service.go"), lines(t, "plain_test.go")
	t.Logf("%d lines of code, and %d without encryption", sealed, plain)
	assert.LessOrEqual(t, sealed-plain, glue)
}

// lines counts the lines of a file that hold more than a comment.
func lines(t *testing.T, name string) int {
	src, err := os.ReadFile(name)
	require.NoError(t, err)
	file := token.NewFileSet().AddFile(name, -1, len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, 0)
	with := map[int]bool{}
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return len(with)
		}
		if tok == token.SEMICOLON && text == "\n" {
			continue
		}
		for line, n := file.Line(pos), 0; ; n++ { // of the schema, which is one token
			with[line] = true
			if n == len(text) {
				break
			}
			if text[n] == '\n' {
				line++
			}
		}
	}
}
