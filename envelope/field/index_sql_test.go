package field

import (
	"database/sql"
	"database/sql/driver"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

var (
	_ driver.Valuer = Index{}
	_ sql.Scanner   = &Index{}
)

func TestIndexInAColumn(t *testing.T) {
	column := []byte{1, 2, 3}
	var x Index
	require.NoError(t, x.Scan(column))
	column[0] = 9 // drivers use their memory again
	assert.Equal(t, Index{1, 2, 3}, x)
	v, err := x.Value()
	require.NoError(t, err)
	assert.Equal(t, []byte{1, 2, 3}, v)

	require.NoError(t, x.Scan(nil))
	assert.Nil(t, x)
	v, err = x.Value()
	require.NoError(t, err)
	assert.Nil(t, v, "NULL is an untyped nil")

	assert.ErrorContains(t, x.Scan(int64(1)), "the column gave a int64")
}

func TestIndexOfAnotherType(t *testing.T) {
	type term []byte
	type record struct {
		ID     string         `seal:",row"`
		SSN    Sealed[string] `seal:"ssn"`
		Plain  []byte         `seal:"index=ssn"`
		Named  term           `seal:"index=ssn,normalize=digits"`
		Scan   []byte         // no index
		Notes  Sealed[string] `seal:"notes"`
		NotesI Index          `seal:"index=notes"`
	}
	kr, err := keyring.NewRawAES("test", "key", make([]byte, 32))
	require.NoError(t, err)
	m, err := keyring.NewManager(kr)
	require.NoError(t, err)
	table, err := NewTable[record](m, "records", &Options{IndexKeys: NewIndexKeys()})
	require.NoError(t, err)
	r := record{ID: "1", SSN: New("078-05-1120"), Notes: New("none")}
	require.NoError(t, table.Seal(t.Context(), &r))
	for name, got := range map[string][]byte{"ssn.Plain": r.Plain, "ssn.Named": r.Named, "notes": r.NotesI} {
		value := "078-05-1120"
		if name == "notes" {
			value = "none"
		}
		terms, err := table.Terms(name, value, nil)
		require.NoError(t, err, name)
		assert.Equal(t, terms[0], got, name)
	}
	assert.Nil(t, r.Scan)
}
