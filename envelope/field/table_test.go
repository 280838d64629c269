package field_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

type patient struct {
	ID     string               `seal:",row"`
	Tenant string               `seal:",context=tenant"`
	SSN    field.Sealed[string] `seal:"ssn"`
	Notes  field.Sealed[string] `seal:"notes"`
	SSNIdx field.Index          `seal:"index=ssn,normalize=digits"`
}

func rawKeyring(t testing.TB, name string) keyring.Keyring {
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("test", name, key)
	require.NoError(t, err)
	return kr
}

func cached(t testing.TB, kr keyring.Keyring) *cache.Cache {
	c, err := cache.New(kr, cache.Limits{MaxAge: time.Hour})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func newTable[T any](t testing.TB, m keyring.MaterialsManager, name string, o *field.Options) *field.Table[T] {
	table, err := field.NewTable[T](m, name, o)
	require.NoError(t, err)
	return table
}

// reread returns a record as a database would give it back: with what Value returns.
func reread(t testing.TB, p *patient) *patient {
	got := &patient{ID: p.ID, Tenant: p.Tenant, SSNIdx: p.SSNIdx}
	v, err := p.SSN.Value()
	require.NoError(t, err)
	require.NoError(t, got.SSN.Scan(v))
	v, err = p.Notes.Value()
	require.NoError(t, err)
	require.NoError(t, got.Notes.Scan(v))
	return got
}

func TestSealAndOpen(t *testing.T) {
	table := newTable[patient](t, cached(t, rawKeyring(t, "a")), "patients", &field.Options{IndexKeys: field.NewIndexKeys()})
	for _, n := range []int{1, 2, 3, 100, 1000} {
		var records, got []*patient
		for i := range n {
			records = append(records, &patient{ID: fmt.Sprint("p", i), Tenant: fmt.Sprint("t", i%7),
				SSN: field.New(fmt.Sprintf("078-05-%04d", i))})
		}
		require.NoError(t, table.Seal(t.Context(), records...))
		for _, p := range records {
			got = append(got, reread(t, p))
		}
		require.NoError(t, table.Open(t.Context(), got...))
		for i, p := range got {
			ssn, err := p.SSN.Plaintext()
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintf("078-05-%04d", i), ssn)
			_, err = p.Notes.Plaintext()
			assert.ErrorIs(t, err, field.ErrNull)
			terms, err := table.Terms("ssn", fmt.Sprintf("07805%04d", i), keyring.EncryptionContext{"tenant": p.Tenant})
			require.NoError(t, err)
			assert.Equal(t, [][]byte{p.SSNIdx}, terms)
		}
	}
}

type one struct {
	ID  string               `seal:",row"`
	SSN field.Sealed[string] `seal:"ssn"`
}
