package field

import (
	"database/sql"
	"database/sql/driver"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
