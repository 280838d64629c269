package sqlstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-sealring/sealring/keyring/branchkey"
)

// state is an error of a driver for PostgreSQL.
type state string

func (s state) Error() string    { return "state " + string(s) }
func (s state) SQLState() string { return string(s) }

// TestFailed holds which errors of databases are a refusal, which say that there is no table,
// and which are neither, and so an outage.
func TestFailed(t *testing.T) {
	const refused, noTable, outage = "refused", "no table", "outage"
	for _, c := range []struct {
		err  error
		want string
	}{
		{state("42501"), refused},
		{state("28000"), refused},
		{state("28P01"), refused},
		{state("42P01"), noTable},
		{state("3F000"), noTable},
		{state("57P03"), outage}, // starting up
		{state("53300"), outage}, // too many connections
		{state("40001"), outage},
		{state("02800"), outage},
		// What a driver says by a code, it does not say by its text.
		{fmt.Errorf("no such table: %w", state("57P03")), outage},
		{fmt.Errorf("Error 1045 (28000): %w", state("57P03")), outage},
		{errors.New("Error 1044 (42000): Access denied for user"), refused},
		{errors.New("Error 1045 (28000): Access denied for user"), refused},
		{errors.New("Error 1142 (42000): SELECT command denied"), refused},
		{errors.New("Error 1143 (42000): SELECT command denied"), refused},
		{errors.New("Error 1698 (28000): Access denied for user"), refused},
		{errors.New("Error 3118 (HY000): Access denied for user. Account is locked."), refused},
		{errors.New("Error 4151 (HY000): Access denied, this account is locked"), refused},
		{errors.New("Error 1146 (42S02): Table 'a.b' doesn't exist"), noTable},
		{errors.New("SQL logic error: no such table: branch_keys (1)"), noTable},
		{errors.New("Error 1040 (08004): Too many connections"), outage},
		{errors.New("database is locked (5) (SQLITE_BUSY)"), outage},
		{errors.New("dial tcp 127.0.0.1:5432: connect: connection refused"), outage},
	} {
		err := (&Store{table: "keys"}).failed("read", fmt.Errorf("wrapped: %w", c.err))
		assert.ErrorIs(t, err, c.err)
		var r interface{ Refused() bool }
		assert.Equal(t, c.want == refused, errors.As(err, &r) && r.Refused(), "%v", c.err)
		assert.Equal(t, c.want == noTable, errors.Is(err, branchkey.ErrNoTable), "%v", c.err)
	}
}
