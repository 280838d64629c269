package branchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

// A visit is a row whose encryption context no other row has.
type visit struct {
	ID     int64                `seal:",row"`
	Tenant string               `seal:",context=tenant"`
	Ticket string               `seal:",context=ticket"`
	Name   field.Sealed[string] `seal:"name"`
	Notes  field.Sealed[string] `seal:"notes"`
	NameIx field.Index          `seal:"index=name"`
}

const visitTenants = 50

// newVisits returns rows, as many for each tenant.
func newVisits() []*visit {
	n := 40 * visitTenants
	if branchkey.RaceDetector {
		n = 5 * visitTenants
	}
	var all []*visit
	for i := range n {
		v := &visit{ID: int64(i + 1), Tenant: fmt.Sprint("tenant ", i%visitTenants), Ticket: fmt.Sprint("ticket ", i)}
		v.Name.Set(fmt.Sprint("name ", i/visitTenants))
		v.Notes.Set(fmt.Sprint("notes ", i))
		all = append(all, v)
	}
	return all
}

// stored returns rows as another process reads them.
func stored(t testing.TB, rows []*visit) []*visit {
	var all []*visit
	for _, r := range rows {
		c := &visit{ID: r.ID, Tenant: r.Tenant, Ticket: r.Ticket, NameIx: bytes.Clone(r.NameIx)}
		require.NoError(t, c.Name.Scan(sealedBytes(t, &r.Name)))
		require.NoError(t, c.Notes.Scan(sealedBytes(t, &r.Notes)))
		all = append(all, c)
	}
	return all
}

func sealedBytes(t testing.TB, s *field.Sealed[string]) []byte {
	v, err := s.Value()
	require.NoError(t, err)
	return v.([]byte)
}

// versionOfField returns the version of the branch key that a field is under.
func versionOfField(t testing.TB, s *field.Sealed[string]) string {
	h, err := envelope.ParseHeader(bytes.NewReader(sealedBytes(t, s)), nil)
	require.NoError(t, err)
	require.Len(t, h.EncryptedDataKeys, 1)
	return versionOf(&keyring.EncryptionMaterials{EncryptedDataKeys: h.EncryptedDataKeys})
}

// A visitProcess is what one process has: a key store and a keyring, and a cache of data
// keys before it or none.
type visitProcess struct {
	keys    *branchkey.KeyStore
	keyring *branchkey.Keyring
	cache   *cache.Cache // may be nil
	table   *field.Table[visit]
}

func newVisitProcess(t *testing.T, w *world, indexKeys *field.IndexKeys, cached bool) *visitProcess {
	p := &visitProcess{keys: w.keyStore(t, nil)}
	p.keyring = w.keyring(t, func(c *branchkey.Config) { by(c); c.KeyStore = p.keys })
	var m keyring.MaterialsManager
	var err error
	if cached {
		p.cache, err = cache.New(p.keyring, cache.Limits{MaxAge: time.Hour})
		require.NoError(t, err)
		t.Cleanup(func() { _ = p.cache.Close() })
		m = p.cache
	} else {
		m, err = keyring.NewManager(p.keyring)
		require.NoError(t, err)
	}
	p.table, err = field.NewTable[visit](m, "visits", &field.Options{IndexKeys: indexKeys})
	require.NoError(t, err)
	return p
}

// forget drops a branch key and the data keys under it, as the times to live would.
func (p *visitProcess) forget(id string) {
	p.keyring.Purge(id)
	if p.cache != nil {
		p.cache.PurgeKey(id)
	}
}

// TestFields has rows of many tenants sealed, opened, resealed and shredded, each row with an
// encryption context of its own. A process calls KMS once for each tenant, however many rows
// and columns there are.
func TestFields(t *testing.T) {
	for name, cached := range map[string]bool{"default manager": false, "cache": true} {
		t.Run(name, func(t *testing.T) { testFields(t, cached) })
	}
}

func testFields(t *testing.T, cached bool) {
	w := newWorld(t)
	for i := range visitTenants {
		w.create(t, fmt.Sprint("tenant ", i))
	}
	calls := func(want int, what string) {
		t.Helper()
		require.Equal(t, want, w.kms.Calls(kmstest.Match{}), what)
		w.kms.ResetCalls()
	}
	w.kms.ResetCalls()
	indexKeys := field.NewIndexKeys()
	writer, reader := newVisitProcess(t, w, indexKeys, cached), newVisitProcess(t, w, indexKeys, cached)

	rows := newVisits()
	require.NoError(t, writer.table.Seal(t.Context(), rows...))
	calls(visitTenants, "sealing")
	rows = stored(t, rows)
	opens := func(p *visitProcess, but string) {
		t.Helper()
		all := stored(t, rows)
		err := p.table.Open(t.Context(), all...)
		failed := map[int]int{} // columns, by the index of their row
		var errs field.Errors
		if errors.As(err, &errs) {
			for _, e := range errs {
				failed[e.Index]++
				require.ErrorIs(t, e, branchkey.ErrNotFound)
				require.ErrorIs(t, e, envelope.ErrNoMatchingKey)
			}
		} else {
			require.NoError(t, err)
		}
		for i, v := range all {
			if v.Tenant == but {
				require.Equal(t, 2, failed[i], "row %d", i)
				continue
			}
			require.Zero(t, failed[i], "row %d", i)
			name, err := v.Name.Plaintext()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("name ", i/visitTenants), name)
			notes, err := v.Notes.Plaintext()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("notes ", i), notes)
		}
	}
	opens(reader, "")
	calls(visitTenants, "opening in another process")
	opens(reader, "")
	opens(writer, "")
	calls(0, "opening again, and by the writer")

	// Terms belong to the whole context, and so find no other row of the tenant's.
	terms, err := reader.table.Terms("name", "name 0", keyring.EncryptionContext{"tenant": "tenant 7", "ticket": "ticket 7"})
	require.NoError(t, err)
	for i, v := range rows {
		require.Equal(t, i == 7, bytes.Equal(terms[0], v.NameIx), "row %d", i)
	}

	const versioned = "tenant 7"
	var its []*visit
	for _, v := range rows {
		if v.Tenant == versioned {
			its = append(its, v)
		}
	}
	old := versionOfField(t, &its[0].Name)
	next, err := w.keys.Version(t.Context(), versioned)
	require.NoError(t, err)
	calls(3, "a new version")
	under := func(version string) (n int) {
		for _, v := range its {
			for _, s := range []*field.Sealed[string]{&v.Name, &v.Notes} {
				if versionOfField(t, s) == version {
					n++
				}
			}
		}
		return n
	}
	require.Equal(t, 2*len(its), under(old))

	// By the branch key's ID no row is stale for a new version, and by that all others are.
	for _, v := range rows {
		require.False(t, writer.table.Stale(v, v.Tenant))
		require.True(t, writer.table.Stale(v, "another"))
		require.True(t, writer.table.Stale(v, next))
	}
	require.False(t, writer.table.Stale(its[0], old))
	rotate := func(keys ...string) field.Progress {
		so, err := writer.table.Rotate(t.Context(), field.Rotation[visit]{
			Keys: keys,
			Read: func(_ context.Context, after string) ([]*visit, string, error) {
				from, _ := strconv.Atoi(after)
				to := min(from+7, len(its))
				return stored(t, its[from:to]), strconv.Itoa(to), nil
			},
			Write: func(_ context.Context, page []field.Resealed[visit]) (int, error) {
				for _, r := range page {
					*rows[r.Record.ID-1] = *stored(t, []*visit{r.Record})[0] // which its shares
				}
				return 0, nil
			},
			Failed: func(_ *visit, err error) { assert.NoError(t, err) },
		}, "")
		require.NoError(t, err)
		return so
	}
	n := int64(len(its))
	assert.Equal(t, field.Progress{Read: n, Fresh: n}, rotate(versioned))
	calls(0, "a rotation that finds nothing stale")

	// Until the time to live is over the process seals under what it takes to be the active
	// version. The rotation says so: it never comes to an end at which nothing is Sealed.
	for range 2 {
		assert.Equal(t, field.Progress{Read: n, Sealed: n}, rotate(next))
	}
	calls(0, "a rotation within the time to live")
	assert.Equal(t, 2*len(its), under(old))
	writer.forget(versioned)
	assert.Equal(t, field.Progress{Read: n, Sealed: n}, rotate(next))
	calls(2, "a rotation, of the old version and the new one")
	assert.Equal(t, 2*len(its), under(next))
	assert.Equal(t, field.Progress{Read: n, Fresh: n}, rotate(next))
	calls(0, "a rotation that finds all done")
	opens(reader, "")
	calls(1, "opening what is under a version that the process did not have")

	const destroyed = "tenant 13"
	require.NoError(t, reader.keys.Destroy(t.Context(), destroyed, destroyed))
	if cached {
		// The key store knows its keyrings, and no data keys that others keep.
		opens(reader, "")
		reader.cache.PurgeKey(destroyed)
	}
	opens(reader, destroyed)
	opens(writer, "") // until its time to live is over
	writer.forget(destroyed)
	opens(writer, destroyed)
	calls(0, "shredding a tenant, and opening all others")
	gone := stored(t, rows[13:14])
	gone[0].Notes.Set("more")
	require.ErrorIs(t, writer.table.Seal(t.Context(), gone...), branchkey.ErrNotFound)
	opens(newVisitProcess(t, w, indexKeys, cached), destroyed)
	calls(visitTenants-1, "opening in a process that never had the tenant's key")
}
