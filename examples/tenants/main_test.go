package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

func TestOutput(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-tenants", "4", "-rows", "5"}))
	for _, says := range []string{
		"4 tenants, 5 rows of each, with three sealed fields\n",
		"made once: 12 calls to KMS, $0.0000\n",
		"  branch keys                           4        4   $0.0000\n",
		"  branch keys, data-key cache           4        4   $0.0000\n",
		"  KMS keyring *                        60       60   $0.0004\n",
		"  KMS keyring, data-key cache *        20       20   $0.0001\n",
		"  iban                                 20         358          431\n",
		"under the new one  25 rows, none failed\n",
		"tenant-000001 has its key destroyed\n  its rows     5, none opens\n",
		`branch key "tenant-000001", item branch:ACTIVE`,
		"no such branch key, or no such version\n",
		"all this took 80 calls to KMS, $0.0002\n",
	} {
		assert.Contains(t, out.String(), says)
	}
}

// made returns a demo whose tenants have branch keys.
func made(t *testing.T, tenants, rows int) *demo {
	t.Helper()
	d, err := newDemo(t.Context(), io.Discard, filepath.Join(t.TempDir(), "tenants.db"), options{tenants: tenants, rows: rows})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.close(t.Context())) })
	require.NoError(t, d.createKeys(t.Context()))
	return d
}

// onBoth runs a test without and with a data-key cache.
func onBoth(t *testing.T, test func(t *testing.T, cached bool)) {
	t.Run("branch keys", func(t *testing.T) { test(t, false) })
	t.Run("data-key cache", func(t *testing.T) { test(t, true) })
}

func start(t *testing.T, d *demo, cached bool) *Service {
	t.Helper()
	s, err := NewService(d.db, d.keys, cached)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// KMS is asked once for each tenant to write and once to read, however many rows there are.
func TestCallsToKMS(t *testing.T) {
	const tenants = 6
	for name, rows := range map[string]int{"one row": 1, "many rows": 40} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, cached bool) {
				d := made(t, tenants, rows)
				d.server.ResetCalls()
				write, read, err := d.writeAndRead(t.Context(), cached)
				require.NoError(t, err)
				assert.Equal(t, tenants, write)
				assert.Equal(t, tenants, read)
				assert.Equal(t, 2*tenants, d.server.Calls(kmstest.Match{Operation: "Decrypt"}), "and no other operation")
			})
		})
	}
}

// Each row has a context of its own, or the counts of calls would say little.
func TestContextDiffersForEachRow(t *testing.T) {
	d := made(t, 2, 3)
	s := start(t, d, true)
	rows := d.accounts(0)
	require.NoError(t, s.Add(t.Context(), rows...))
	_, err := d.db.ExecContext(t.Context(), "UPDATE accounts SET iban = (SELECT iban FROM accounts WHERE id = $1) WHERE id = $2", rows[0].ID, rows[1].ID)
	require.NoError(t, err)
	_, err = s.OfTenant(t.Context(), tenantName(0))
	require.ErrorIs(t, err, envelope.ErrContextMismatch) // which is field.ErrBinding if contexts are equal
}

func TestShredding(t *testing.T) {
	onBoth(t, func(t *testing.T, cached bool) {
		const tenants, rows, destroyed = 5, 4, 3
		d := made(t, tenants, rows)
		s := start(t, d, cached)
		for i := range tenants {
			require.NoError(t, s.Add(t.Context(), d.accounts(i)...))
		}
		all, err := s.All(t.Context())
		require.NoError(t, err)
		require.NoError(t, checkAll(all, tenants*rows))

		tenant := tenantName(destroyed)
		require.NoError(t, d.keys.Destroy(t.Context(), tenant, tenant))
		s.Forget(tenant)
		for name, s := range map[string]*Service{"same service": s, "new service": start(t, d, cached)} {
			all, err := s.All(t.Context())
			var failed field.Errors
			require.ErrorAs(t, err, &failed, name)
			require.Len(t, failed, 3*rows, "%s: each field of the tenant", name)
			for _, e := range failed {
				assert.Equal(t, tenant, all[e.Index].Tenant, name)
				assert.ErrorIs(t, e, branchkey.ErrNotFound, name)
				assert.ErrorContains(t, e, `branch key "`+tenant+`", item branch:ACTIVE`, name)
			}
			require.Len(t, all, tenants*rows)
			for _, a := range all {
				if a.Tenant != tenant {
					assert.NoError(t, check(a), name)
				} else {
					assert.ErrorIs(t, check(a), field.ErrNotOpened, name)
				}
			}
			err = s.Add(t.Context(), newAccount(tenant, "row-new"))
			assert.ErrorIs(t, err, branchkey.ErrNotFound, "%s: to write", name)
			assert.ErrorContains(t, err, `branch key "`+tenant+`"`, name)
		}
	})
}

// That a service forgets is needed: else it reads what it has data keys for.
func TestDataKeysOutliveABranchKey(t *testing.T) {
	d := made(t, 2, 1)
	s := start(t, d, true)
	require.NoError(t, s.Add(t.Context(), d.accounts(1)...))
	tenant := tenantName(1)
	_, err := s.OfTenant(t.Context(), tenant)
	require.NoError(t, err)
	require.NoError(t, d.keys.Destroy(t.Context(), tenant, tenant))
	_, err = s.OfTenant(t.Context(), tenant)
	require.NoError(t, err)
	s.Forget(tenant)
	_, err = s.OfTenant(t.Context(), tenant)
	require.ErrorIs(t, err, branchkey.ErrNotFound)
}

func TestNewVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, cached bool) {
		d := made(t, 2, 2)
		s := start(t, d, cached)
		tenant := tenantName(0)
		require.NoError(t, s.Add(t.Context(), newAccount(tenant, "a")))
		version, err := d.keys.Version(t.Context(), tenant)
		require.NoError(t, err)
		s.Forget(tenant)
		require.NoError(t, s.Add(t.Context(), newAccount(tenant, "b")))

		found, err := start(t, d, cached).OfTenant(t.Context(), tenant)
		require.NoError(t, err)
		require.NoError(t, checkAll(found, 2))
		before, err := versionOf(found[0].IBAN)
		require.NoError(t, err)
		after, err := versionOf(found[1].IBAN)
		require.NoError(t, err)
		assert.NotEqual(t, version, before)
		assert.Equal(t, version, after)
	})
}

func TestNoTenant(t *testing.T) {
	_, err := byTenant(keyring.EncryptionContext{"row": "a"})
	require.ErrorContains(t, err, "the encryption context has no tenant")
	d := made(t, 2, 1)
	require.ErrorIs(t, start(t, d, false).Add(t.Context(), newAccount("", "a")), field.ErrInvalidArgument)
}

func TestFlags(t *testing.T) {
	const arn = "arn:aws:kms:eu-west-1:111122223333:key/0123"
	for _, c := range []struct {
		args []string
		want options
	}{
		{nil, options{tenants: 1000, rows: 10}},
		{[]string{"-key", arn}, options{tenants: 10, rows: 10, keyARN: arn, region: "eu-west-1"}},
		{[]string{"-key", arn, "-region", "eu-west-1"}, options{tenants: 10, rows: 10, keyARN: arn, region: "eu-west-1"}},
		{[]string{"-table", "keys", "-tenants", "1000"}, options{tenants: 1000, rows: 10, table: "keys"}},
		{[]string{"-table", "keys", "-region", "eu-west-1"}, options{tenants: 10, rows: 10, table: "keys", region: "eu-west-1"}},
		{[]string{"-table", "keys", "-endpoint", "http://localhost:8000"}, options{tenants: 10, rows: 10, table: "keys", endpoint: "http://localhost:8000"}},
	} {
		got, err := parse(c.args)
		require.NoError(t, err, c.args)
		assert.Equal(t, c.want, got)
	}

	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unknown flag":          {[]string{"-dynamodb"}, "-dynamodb"},
		"argument":              {[]string{"x"}, `unexpected argument "x"`},
		"one tenant":            {[]string{"-tenants", "1"}, "-tenants must be from 2"},
		"no tenants, on AWS":    {[]string{"-tenants", "0", "-key", arn}, "-tenants must be from 2"},
		"too many":              {[]string{"-tenants", "100001"}, "-tenants must be from 2 to 100000"},
		"no rows":               {[]string{"-rows", "0"}, "-rows must be from 1"},
		"too many rows":         {[]string{"-rows", "10001"}, "-rows must be from 1 to 10000"},
		"no number":             {[]string{"-rows", "few"}, "-rows"},
		"empty key":             {[]string{"-key", ""}, "-key is empty"},
		"no ARN":                {[]string{"-key", "alias/patients"}, `-key "alias/patients" is not the ARN of a KMS key`},
		"ARN of an alias":       {[]string{"-key", "arn:aws:kms:us-east-1:111122223333:alias/patients"}, "is not the ARN of a KMS key"},
		"ARN of another kind":   {[]string{"-key", "arn:aws:s3:us-east-1:111122223333:key/0123"}, "is not the ARN of a KMS key"},
		"other region":          {[]string{"-key", arn, "-region", "us-east-1"}, "-region us-east-1 is not that of the key, eu-west-1"},
		"empty table":           {[]string{"-table", ""}, "-table is empty"},
		"short name":            {[]string{"-table", "ab"}, `-table "ab" is not 3 to 255 letters`},
		"ARN of a table":        {[]string{"-table", "arn:aws:dynamodb:us-east-1:111122223333:table/keys"}, "is not 3 to 255 letters"},
		"endpoint alone":        {[]string{"-endpoint", "http://localhost:8000"}, "-endpoint needs -table"},
		"endpoint without http": {[]string{"-table", "keys", "-endpoint", "localhost:8000"}, `-endpoint "localhost:8000" is not a URL`},
		"region alone":          {[]string{"-region", "us-east-1"}, "-region is for AWS"},
		"region of an emulator": {[]string{"-table", "keys", "-endpoint", "http://localhost:8000", "-region", "us-east-1"}, "-region is for AWS"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), &out, c.args)
		require.ErrorContains(t, err, "usage:", name)
		before, _, _ := strings.Cut(err.Error(), "usage:")
		assert.Contains(t, before, c.says, name)
		assert.Empty(t, out.String(), name)
	}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-h"}))
	assert.Contains(t, out.String(), "usage:")
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, io.Discard, nil), context.Canceled)
}
