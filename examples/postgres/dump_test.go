package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/pgtest"
)

// forms returns in which forms a dump holds a text: as it is, in hexadecimal, in base64,
// and in what the dump's bytea columns hold, again in each form.
func forms(dump []byte, text string) []string {
	var found []string
	look := func(where string, in []byte) {
		if bytes.Contains(in, []byte(text)) {
			found = append(found, where+"text")
		}
		if bytes.Contains(bytes.ToLower(in), []byte(hex.EncodeToString([]byte(text)))) {
			found = append(found, where+"hex")
		}
		for _, run := range base64Run.FindAll(in, -1) {
			// A text within begins at any of four letters.
			for from := range 4 {
				b, _ := base64.RawStdEncoding.DecodeString(standard.Replace(string(run[from : from+(len(run)-from)/4*4])))
				if bytes.Contains(b, []byte(text)) {
					found = append(found, where+"base64")
					break
				}
			}
		}
	}
	look("", dump)
	for _, m := range byteaValue.FindAllSubmatch(dump, -1) {
		b := make([]byte, len(m[1])/2)
		if _, err := hex.Decode(b, m[1]); err == nil {
			look("bytea, ", b)
		}
	}
	return found
}

var (
	base64Run  = regexp.MustCompile(`[A-Za-z0-9+/_-]{8,}`)
	byteaValue = regexp.MustCompile(`\\x([0-9a-f]+)`)
	standard   = strings.NewReplacer("-", "+", "_", "/")
)

// A dump of the database holds no plaintext of what is sealed. That the search would find
// it is shown by columns that hold as much in plaintext, in each form.
func TestDump(t *testing.T) {
	const control = "a word in plaintext"
	dumps := map[string]func(t *testing.T, db database) []byte{
		"PostgreSQL": func(t *testing.T, db database) []byte { return pgtest.Dump(t, db.dsn) },
		"SQLite": func(t *testing.T, db database) []byte {
			db.exec(t, "PRAGMA wal_checkpoint(TRUNCATE)") // all into the one file
			b, err := os.ReadFile(db.dsn)
			require.NoError(t, err)
			return b
		},
	}
	wants := map[string][]string{
		"PostgreSQL": {"text", "hex", "base64", "bytea, text", "bytea, base64"},
		"SQLite":     {"text", "hex", "base64"},
	}
	for name, dump := range dumps {
		t.Run(name, func(t *testing.T) {
			db := databases[name](t)
			s := startNew(t, db)
			require.NoError(t, s.Add(t.Context(), madeMany(50)...))
			db.exec(t, "CREATE TABLE controls (word TEXT, hex TEXT, encoded TEXT, raw BYTES, raw_encoded BYTES)")
			encoded := base64.RawURLEncoding.EncodeToString([]byte("; " + control + " ;"))
			db.exec(t, "INSERT INTO controls VALUES ($1, $2, $3, $4, $5)",
				control, hex.EncodeToString([]byte(control)), "x"+encoded, []byte(control), []byte(encoded))

			b := dump(t, db)
			found := forms(b, control)
			for _, form := range wants[name] {
				assert.Contains(t, found, form, "the search is blind for the control")
			}
			assert.Contains(t, forms(b, "ward 7"), "text", "a column that is not sealed")
			assert.Contains(t, forms(b, madeID(49)), "text")

			for i := 0; i < 50; i += 7 {
				ssn, notes, _ := madeValues(i)
				for _, secret := range []string{ssn, strings.ReplaceAll(ssn, "-", ""), notes, "sleeps well", "window to be open"} {
					require.Empty(t, forms(b, secret), secret)
				}
			}
		})
	}
}
