package main

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
)

// unchecked returns the schema without its CHECKs: as a database that lets everything in.
func unchecked(t *testing.T) string {
	var kept []string
	for line := range strings.Lines(schema + rotationSchema) {
		if before, _, ok := strings.Cut(line, " CHECK "); ok {
			line = before + ",\n"
		}
		kept = append(kept, line)
	}
	without := strings.Join(kept, "")
	require.Equal(t, 3, strings.Count(schema, "CHECK"))
	require.NotContains(t, without, "CHECK")
	return without
}

// Whoever can write to the database exchanges what was sealed. The statements touch
// patients 3 and 4 of tenants of their own, 13 of the tenant of 3, and 5, all beside
// others.
func TestTampering(t *testing.T) {
	for name, c := range map[string]struct {
		sql  string
		args func(t *testing.T, db database) []any
		want error
	}{
		"row swap": {
			sql:  "UPDATE patients SET notes = (SELECT notes FROM patients WHERE id = 'p000013') WHERE id = 'p000003'",
			want: field.ErrBinding,
		},
		"column swap": {
			sql:  "UPDATE patients SET notes = diagnosis WHERE id = 'p000003'",
			want: field.ErrBinding,
		},
		"table swap": {
			sql:  "UPDATE patients SET notes = (SELECT notes FROM former WHERE id = 'p000003') WHERE id = 'p000003'",
			want: envelope.ErrContextMismatch,
		},
		"row of another tenant": {
			sql:  "UPDATE patients SET notes = (SELECT notes FROM patients WHERE id = 'p000004') WHERE id = 'p000003'",
			want: envelope.ErrContextMismatch,
		},
		"given to another tenant": {
			sql:  "UPDATE patients SET tenant = 'clinic-4' WHERE id = 'p000003'",
			want: envelope.ErrContextMismatch,
		},
		"given another ID": {
			sql:  "UPDATE patients SET id = 'p000003x' WHERE id = 'p000003'",
			want: field.ErrBinding,
		},
		"empty": {
			sql:  "UPDATE patients SET notes = $1 WHERE id = 'p000003'",
			args: func(*testing.T, database) []any { return []any{[]byte{}} },
			want: field.ErrNoMessage,
		},
		"plaintext": {
			sql:  "UPDATE patients SET notes = $1 WHERE id = 'p000003'",
			args: func(*testing.T, database) []any { return []any{[]byte("in plaintext")} },
			want: field.ErrNoMessage,
		},
		"truncated": {
			sql:  "UPDATE patients SET notes = substr(notes, 1, length(notes) - 1) WHERE id = 'p000003'",
			want: io.ErrUnexpectedEOF,
		},
		"altered": {
			sql: "UPDATE patients SET notes = $1 WHERE id = 'p000003'",
			args: func(t *testing.T, db database) []any {
				b := db.bytes(t, "SELECT notes FROM patients WHERE id = 'p000003'")
				b[len(b)-1] ^= 1
				return []any{b}
			},
			want: envelope.ErrAuthentication,
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, db database) {
				db.exec(t, unchecked(t))
				keys := testKey(t, "key-1")
				indexKeys, err := newIndexKeys(t.Context(), keys)
				require.NoError(t, err)
				s := start(t, db, keys, indexKeys)
				require.NoError(t, s.Add(t.Context(), madeMany(20)...))
				fillFormer(t, db, s)

				var args []any
				if c.args != nil {
					args = c.args(t, db)
				}
				result, err := db.ExecContext(t.Context(), c.sql, args...)
				require.NoError(t, err)
				changed, err := result.RowsAffected()
				require.NoError(t, err)
				require.EqualValues(t, 1, changed)

				all, err := s.All(t.Context())
				require.ErrorIs(t, err, c.want)
				require.Len(t, all, 20)
				var each field.Errors
				require.ErrorAs(t, err, &each)
				for _, e := range each {
					assert.Equal(t, 3, e.Index)
					assert.NotContains(t, e.Error(), "sleeps", "the error holds plaintext")
				}
				_, err = all[3].Notes.Plaintext()
				assert.ErrorIs(t, err, field.ErrNotOpened)
				for i, p := range all {
					if i != 3 {
						requireMade(t, i, p) // one bad row spoils no other
					}
				}
			})
		})
	}
}

// fillFormer makes a second table whose rows have the keys of the first.
func fillFormer(t *testing.T, db database, s *Service) {
	former, err := field.NewTable[formerPatient](s.cache, "former", nil)
	require.NoError(t, err)
	_, notes, _ := madeValues(3)
	p := &formerPatient{ID: madeID(3), Tenant: madeTenant(3), Notes: field.New(notes)}
	require.NoError(t, former.Seal(t.Context(), p))
	db.exec(t, "CREATE TABLE former (id TEXT PRIMARY KEY, notes BYTES)")
	db.exec(t, "INSERT INTO former (id, notes) VALUES ($1, $2)", p.ID, p.Notes)
}

type formerPatient struct {
	ID     string               `seal:",row"`
	Tenant string               `seal:",context=tenant"`
	Notes  field.Sealed[string] `seal:"notes"`
}

// A value that is removed cannot be told from one that never was.
func TestRemovedValueIsNull(t *testing.T) {
	onEach(t, func(t *testing.T, db database) {
		s := startNew(t, db)
		require.NoError(t, s.Add(t.Context(), made(3)))
		db.exec(t, "UPDATE patients SET notes = NULL")
		all, err := s.All(t.Context())
		require.NoError(t, err)
		assert.True(t, all[0].Notes.IsNull())
		assert.Equal(t, "K03.3", plaintext(t, all[0].Diagnosis))
	})
}

func TestCheckRefusesPlaintext(t *testing.T) {
	onEach(t, func(t *testing.T, db database) {
		s := startNew(t, db)
		require.NoError(t, s.Add(t.Context(), made(3), &Patient{ID: "e", Tenant: "c", Notes: field.New(""), SSN: field.New(""), Diagnosis: field.New("")}))
		long := strings.Repeat("a long story ", 50)
		for _, column := range []string{"ssn", "notes", "diagnosis"} {
			for name, value := range map[string]any{
				"plaintext":                        []byte(long),
				"plaintext, as text":               long,
				"nothing":                          []byte{},
				"no more than a message's start":   []byte("\x02\x04\x78"),
				"short, with a message's start":    []byte("\x02\x04\x78 in plaintext"),
				"a message with something before":  append([]byte(" "), db.bytes(t, "SELECT notes FROM patients WHERE id = 'p000003'")...),
				"a message in base64":              "AgR4" + strings.Repeat("A", 400),
				"a message's start in hexadecimal": "020478" + strings.Repeat("0", 400),
			} {
				_, err := db.ExecContext(t.Context(), "UPDATE patients SET "+column+" = $1 WHERE id = 'p000003'", value)
				if assert.Error(t, err, "%s in %s", name, column) && name != "plaintext, as text" {
					assert.Contains(t, strings.ToLower(err.Error()), "check", "%s in %s", name, column)
				}
			}
		}
		all, err := s.All(t.Context())
		require.NoError(t, err)
		requireMade(t, 3, all[1])
	})
}
