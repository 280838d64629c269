package main

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

var lastLine = regexp.MustCompile(`^kms calls: (\d+) without, (\d+) with \((\d+\.\d+)% fewer\)$`)

// runLine runs the program, and returns its output and the numbers of its last
// line.
func runLine(t *testing.T, args ...string) (out string, without, with int, percent float64) {
	var b bytes.Buffer
	require.NoError(t, run(t.Context(), &b, args))
	out = b.String()
	require.True(t, strings.HasSuffix(out, "\n"))
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	m := lastLine.FindStringSubmatch(lines[len(lines)-1])
	require.NotNil(t, m, "last line: %q", lines[len(lines)-1])
	var err error
	without, err = strconv.Atoi(m[1])
	require.NoError(t, err)
	with, err = strconv.Atoi(m[2])
	require.NoError(t, err)
	percent, err = strconv.ParseFloat(m[3], 64)
	require.NoError(t, err)
	return out, without, with, percent
}

func TestSampled(t *testing.T) {
	out, without, with, percent := runLine(t, "-records", "5000", "-tenants", "4")
	assert.Equal(t, 10_000, without)
	assert.GreaterOrEqual(t, with, 8)
	assert.LessOrEqual(t, with, 10) // two that miss in turn may both load
	assert.InDelta(t, 100*(1-float64(with)/10_000), percent, 0.005)
	assert.GreaterOrEqual(t, percent, 99.9)
	for _, says := range []string{
		"records  5000,", "tenants  4\n",
		"without the cache, a sample of 1000 records\n  GenerateDataKey  1000\n  Decrypt          1000\n  price            $0.0060\n",
		"extrapolated from the sample to 5000 records\n  GenerateDataKey  5000\n  Decrypt          5000\n  price            $0.0300\n",
		"at most 100000 messages and 5m0s, all records\n",
		"records/s", "hits", "calls saved      99",
	} {
		assert.Contains(t, out, says)
	}
}

func TestSampleIsEvenOverTenants(t *testing.T) {
	out, without, with, _ := runLine(t, "-records", "3000", "-tenants", "300")
	assert.Contains(t, out, "a sample of 900 records")
	assert.Equal(t, 6000, without)
	assert.GreaterOrEqual(t, with, 600)
	assert.LessOrEqual(t, with, 620)
}

func TestFewRecordsAreAllMeasured(t *testing.T) {
	out, without, with, percent := runLine(t, "-records", "50", "-tenants", "50")
	assert.Contains(t, out, "without the cache, all records")
	assert.NotContains(t, out, "sample")
	assert.Equal(t, 100, without)
	assert.Equal(t, 100, with)
	assert.Zero(t, percent)
}

func TestFewer(t *testing.T) {
	for _, c := range []struct {
		a, b int
		want string
	}{
		{2_000_000, 200, "99.99"},
		{2_000_000, 100, "99.995"},
		{2_000_000, 217, "99.98915"},
		{2_000_000, 1, "99.99995"},
		{2_000_000, 0, "100.00"},
		{6000, 7, "99.88"},
		{2, 2, "0.00"},
		{2, 3, "-50.00"},
	} {
		assert.Equal(t, c.want, fewer(c.a, c.b), "%d and %d", c.a, c.b)
	}
}

func TestExtrapolate(t *testing.T) {
	assert.Equal(t, calls{1_000_000, 1_000_000}, calls{1000, 1000}.extrapolate(1000, 1_000_000))
	assert.Equal(t, calls{5, 7}, calls{2, 3}.extrapolate(3, 7))
}

func TestLeastKeys(t *testing.T) {
	assert.Equal(t, 100, leastKeys(1_000_000, 100))
	assert.Equal(t, 10, leastKeys(1_000_000, 1))
	assert.Equal(t, 11, leastKeys(1_000_001, 1))
	assert.Equal(t, 3, leastKeys(200_001, 2))
}

func TestCountsThatDoNotAddUp(t *testing.T) {
	require.NoError(t, checkUncached(calls{10, 10}, 10))
	require.Error(t, checkUncached(calls{10, 11}, 10))
	require.Error(t, checkUncached(calls{9, 11}, 10))

	good := cache.Stats{Hits: 196, Misses: 4, Loads: 4, CallsSaved: 196}
	require.NoError(t, checkCached(calls{2, 2}, good, 100, 2))
	for name, c := range map[string]struct {
		calls  calls
		change func(*cache.Stats)
		want   string
	}{
		"a call that is no load": {calls{2, 3}, func(*cache.Stats) {}, "5 calls"},
		"a load that is no call": {calls{2, 1}, func(*cache.Stats) {}, "3 calls"},
		"a failure":              {calls{2, 2}, func(s *cache.Stats) { s.LoadsFailed++ }, "1 loads failed"},
		"a bypass":               {calls{2, 2}, func(s *cache.Stats) { s.Bypasses++ }, "went by"},
		"a request too few":      {calls{2, 2}, func(s *cache.Stats) { s.Hits-- }, "195 hits"},
		"a saving too many":      {calls{2, 2}, func(s *cache.Stats) { s.CallsSaved++ }, "197 calls saved"},
		"a tenant without a key": {calls{1, 3}, func(*cache.Stats) {}, "takes 2 data keys"},
	} {
		s := good
		c.change(&s)
		require.ErrorContains(t, checkCached(c.calls, s, 100, 2), c.want, name)
	}
}

func TestOtherOperationsAreNoticed(t *testing.T) {
	server := kmstest.Start(t)
	_, err := callsTo(server)
	require.NoError(t, err)
	client := kms.New(kms.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(server.URL("us-east-1")),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	_, err = awskms.ResolveKey(t.Context(), client, server.CreateKey("us-east-1", kmstest.SymmetricDefault))
	require.NoError(t, err)
	_, err = callsTo(server)
	require.ErrorContains(t, err, "1 calls of other operations")
}

// wrongKeys decrypts with another data key than was encrypted with.
type wrongKeys struct{ keyring.MaterialsManager }

func (m wrongKeys) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	got, err := m.MaterialsManager.DecryptionMaterials(ctx, req)
	if err == nil {
		got.DataKey[0] ^= 1
	}
	return got, err
}

func TestRecordThatDoesNotDecrypt(t *testing.T) {
	kr, err := keyring.NewRawAES("test", "key", make([]byte, 32))
	require.NoError(t, err)
	m, err := keyring.NewManager(kr)
	require.NoError(t, err)
	w := newWorkload(3, 2)
	client, err := envelope.NewFromManager(m, nil)
	require.NoError(t, err)
	require.NoError(t, w.do(t.Context(), client, 7))
	client, err = envelope.NewFromManager(wrongKeys{m}, nil)
	require.NoError(t, err)
	err = w.do(t.Context(), client, 7)
	require.ErrorIs(t, err, envelope.ErrCommitment)
	require.ErrorContains(t, err, "record ")
}

func TestRecordsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for i := range 10_000 {
		seen[string(appendRecord(nil, i))] = true
	}
	assert.Len(t, seen, 10_000)
}

func TestBadFlags(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown flag":              {"-key", "arn"},
		"argument":                  {"1000"},
		"no number":                 {"-records", "many"},
		"no records":                {"-records", "0"},
		"too many records":          {"-records", "3000000000"},
		"no tenants":                {"-tenants", "0"},
		"more tenants than records": {"-records", "10", "-tenants", "11"},
	} {
		var out bytes.Buffer
		require.ErrorContains(t, run(t.Context(), &out, args), "usage:", name)
		assert.Empty(t, out.String(), name)
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-h"}))
	assert.Contains(t, out.String(), "usage:")
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, io.Discard, []string{"-records", "1000"}), context.Canceled)
}
