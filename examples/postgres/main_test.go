package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func requireDemo(t *testing.T, args ...string) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, args))
	for _, says := range []string{
		"found by number\n  p1: allergic to penicillin",
		"{p1 clinic-42 surgery [sealed] [sealed] [sealed]",
		"check constraint",
		"record 0: column notes: the value was sealed for another row or column",
		"rotated\n  read 3, sealed 3, failed 0",
	} {
		assert.Contains(t, string(bytes.ReplaceAll(out.Bytes(), []byte("CHECK"), []byte("check"))), says)
	}
}

func TestDemo(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		t.Setenv("PATIENTS_DSN", "")
		requireDemo(t)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		db := databases["PostgreSQL"](t)
		requireDemo(t, "-dsn", db.dsn)
		t.Setenv("PATIENTS_DSN", db.dsn)
		requireDemo(t) // nothing was left
	})
	t.Run("tables that exist", func(t *testing.T) {
		db := databases["SQLite"](t)
		db.exec(t, "CREATE TABLE patients (id TEXT); INSERT INTO patients VALUES ('precious')")
		require.ErrorContains(t, run(t.Context(), &bytes.Buffer{}, []string{"-dsn", db.dsn}), "already exists")
		assert.Equal(t, "precious", string(db.bytes(t, "SELECT id FROM patients")))
	})
}

func TestFlags(t *testing.T) {
	for name, args := range map[string][]string{
		"an unknown flag": {"-database", "x"},
		"an argument":     {"x"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, run(t.Context(), &bytes.Buffer{}, args), "usage:")
		})
	}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-h"}))
	assert.Contains(t, out.String(), "usage:")
}
