package field_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

//go:embed README.md
var readme string

// inReadme checks that a line stands in README.md.
func inReadme(t *testing.T, line string) {
	t.Helper()
	assert.True(t, slices.Contains(strings.Split(readme, "\n"), line), "README.md does not have this line:\n%s", line)
}

func kmsClient(s *kmstest.Server, region string) *kms.Client {
	return kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String(s.URL(region)),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

// sized is a record with one field as it is and one that is padded.
type sized struct {
	ID     string               `seal:",row"`
	Tenant string               `seal:",context=tenant"`
	SSN    field.Sealed[string] `seal:"ssn"`
	Padded field.Sealed[string] `seal:"padded,pad=64"`
}

// longerInAWS returns how much longer a message is if AWS KMS made it. The ciphertexts of
// kmstest's symmetric keys are shorter than those of the service, which in AWS's test
// vectors have 167 bytes, or 184 under a multi-Region key.
func longerInAWS(t *testing.T, message []byte) (n int) {
	h, err := envelope.ParseHeader(bytes.NewReader(message), nil)
	require.NoError(t, err)
	for _, k := range h.EncryptedDataKeys {
		if k.ProviderID != "aws-kms" {
			continue
		}
		switch arn := k.KeyName(); {
		case len(k.Ciphertext) >= 256: // of an RSA key
		case strings.Contains(arn, "key/mrk-"):
			n += 184 - len(k.Ciphertext)
		default:
			n += 167 - len(k.Ciphertext)
		}
	}
	return n
}

// TestSizes holds the table of README.md, and its formula.
func TestSizes(t *testing.T) {
	const east, west, south = "us-east-1", "us-west-2", "sa-east-1"
	s := kmstest.Start(t, kmstest.Config{Regions: []string{east, west, south}})
	rawECDH := func(curve ecdh.Curve) keyring.Keyring {
		key, err := curve.GenerateKey(rand.Reader)
		require.NoError(t, err)
		kr, err := keyring.NewRawECDH(key, key.PublicKey())
		require.NoError(t, err)
		return kr
	}
	// The server keeps the private halves, so that the raw keyrings only encrypt.
	type rsaOnly struct {
		keyring.Encrypter
		keyring.Decrypter
	}
	var rawRSA, kmsRSA []keyring.Keyring
	for _, spec := range []kmstest.KeySpec{kmstest.RSA2048, kmstest.RSA3072, kmstest.RSA4096} {
		arn := s.CreateKey(east, spec)
		parsed, err := x509.ParsePKIXPublicKey(s.PublicKey(arn))
		require.NoError(t, err)
		public := parsed.(*rsa.PublicKey)
		kr, err := awskms.NewRSA(awskms.RSAConfig{Client: kmsClient(s, east), KeyARN: arn, PublicKey: public})
		require.NoError(t, err)
		raw, err := keyring.NewRawRSAEncrypter("app", "kek-2026", public, keyring.RSAOAEPSHA256)
		require.NoError(t, err)
		rawRSA, kmsRSA = append(rawRSA, rsaOnly{raw, kr}), append(kmsRSA, kr)
	}
	kmsECDH := func(spec kmstest.KeySpec) keyring.Keyring {
		arn := s.CreateKey(east, spec)
		parsed, err := x509.ParsePKIXPublicKey(s.PublicKey(arn))
		require.NoError(t, err)
		public, err := parsed.(*ecdsa.PublicKey).ECDH()
		require.NoError(t, err)
		kr, err := awskms.NewECDH(t.Context(), awskms.ECDHConfig{Client: kmsClient(s, east), KeyID: arn, PublicKey: public, Peer: public})
		require.NoError(t, err)
		return kr
	}
	rawAES, err := keyring.NewRawAES("app", "kek-2026", make([]byte, 32))
	require.NoError(t, err)
	oneKMS, err := awskms.New(awskms.Config{Client: kmsClient(s, east), KeyID: s.CreateKey(east, kmstest.SymmetricDefault)})
	require.NoError(t, err)
	mrkARN := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	mrk, err := awskms.NewMultiRegion(awskms.MultiRegionConfig{Regions: []awskms.RegionKey{
		{Client: kmsClient(s, east), KeyARN: mrkARN},
		{Client: kmsClient(s, west), KeyARN: s.Replicate(mrkARN, west)},
	}, AttemptTimeout: time.Hour}) // no stall counts as an outage
	require.NoError(t, err)
	regions := func(names ...string) keyring.Keyring {
		var keys []awskms.RegionKey
		for _, r := range names {
			keys = append(keys, awskms.RegionKey{Client: kmsClient(s, r), KeyARN: s.CreateKey(r, kmstest.SymmetricDefault)})
		}
		kr, err := awskms.NewMultiRegion(awskms.MultiRegionConfig{Regions: keys, AttemptTimeout: time.Hour})
		require.NoError(t, err)
		return kr
	}
	for _, c := range []struct {
		name     string
		keyrings []keyring.Keyring
	}{
		{"raw AES", []keyring.Keyring{rawAES}},
		{"raw RSA 2048, 3072, 4096", rawRSA},
		{"raw ECDH P-256, P-384, P-521", []keyring.Keyring{rawECDH(ecdh.P256()), rawECDH(ecdh.P384()), rawECDH(ecdh.P521())}},
		{"KMS", []keyring.Keyring{oneKMS}},
		{"KMS, multi-Region key", []keyring.Keyring{mrk}},
		{"KMS in 2 regions", []keyring.Keyring{regions(east, west)}},
		{"KMS in 3 regions", []keyring.Keyring{regions(east, west, south)}},
		{"KMS RSA 2048, 3072, 4096", kmsRSA},
		{"KMS ECDH P-256, P-384, P-521", []keyring.Keyring{kmsECDH(kmstest.ECCP256), kmsECDH(kmstest.ECCP384), kmsECDH(kmstest.ECCP521)}},
	} {
		line := "| " + c.name
		sizes := make([][]string, 4)
		for _, kr := range c.keyrings {
			table := newTable[sized](t, cached(t, kr), "patients", nil)
			size := func(id, tenant, ssn string) (plain, padded int) {
				p := sized{ID: id, Tenant: tenant, SSN: field.New(ssn), Padded: field.New(ssn)}
				require.NoError(t, table.Seal(t.Context(), &p))
				a, err := p.SSN.MarshalBinary()
				require.NoError(t, err)
				b, err := p.Padded.MarshalBinary()
				require.NoError(t, err)
				return len(a) + longerInAWS(t, a), len(b) + longerInAWS(t, b)
			}
			plain, padded := size("p-17", "42", "078-05-1120")
			// 19 for table=patients and 12 for tenant=42, as README.md counts them.
			fixed := plain - 19 - 12 - 11
			for i, n := range []int{fixed, plain, base64.RawURLEncoding.EncodedLen(plain), padded} {
				sizes[i] = append(sizes[i], fmt.Sprint(n))
			}

			longer, again := size("another row", "a longer tenant", strings.Repeat("x", 63))
			assert.Equal(t, fixed+19+10+len("a longer tenant")+63, longer)
			assert.Equal(t, fixed+19+10+len("a longer tenant")+64, again, "63 bytes and the one that padding needs")
			_, again = size("p-17", "42", strings.Repeat("x", 64))
			assert.Equal(t, padded+64, again)
			frames, _ := size("p-17", "42", strings.Repeat("x", 3*4096))
			assert.Equal(t, fixed+19+12+3*4096+3*32, frames)
		}
		for _, column := range sizes {
			line += " | " + strings.Join(column, ", ")
		}
		inReadme(t, line+" |")
	}
}

// TestNoFieldIsShort holds the length in the CHECKs of README.md's schema.
func TestNoFieldIsShort(t *testing.T) {
	kr, err := keyring.NewRawAES("n", "k", make([]byte, 32))
	require.NoError(t, err)
	type shortest struct {
		ID     string               `seal:",row"`
		Sealed field.Sealed[string] `seal:"s"`
	}
	p := shortest{ID: "i", Sealed: field.New("")}
	require.NoError(t, newTable[shortest](t, cached(t, kr), "t", nil).Seal(t.Context(), &p))
	b, err := p.Sealed.MarshalBinary()
	require.NoError(t, err)
	assert.Equal(t, "020478", hex.EncodeToString(b[:3]))
	assert.GreaterOrEqual(t, len(b), 200)
	text, err := p.Sealed.MarshalText()
	require.NoError(t, err)
	assert.Equal(t, "AgR4", string(text[:4]))
}

// In TestCalls, 200 rows of 10 tenants have two sealed fields each.
const callsRows, callsTenants = 200, 10

type callsPlain struct {
	ID     string               `seal:",row"`
	Tenant string               `seal:"-"`
	A      field.Sealed[string] `seal:"a"`
	B      field.Sealed[string] `seal:"b"`
}

type callsTenant struct {
	ID     string               `seal:",row"`
	Tenant string               `seal:",context=tenant"`
	A      field.Sealed[string] `seal:"a"`
	B      field.Sealed[string] `seal:"b"`
}

type callsRow struct {
	ID     string               `seal:",row,context=row"`
	Tenant string               `seal:"-"`
	A      field.Sealed[string] `seal:"a"`
	B      field.Sealed[string] `seal:"b"`
}

// TestCalls holds README.md's table of calls to KMS.
func TestCalls(t *testing.T) {
	const region = "us-east-1"
	s := kmstest.Start(t, kmstest.Config{Regions: []string{region}})
	kr, err := awskms.New(awskms.Config{Client: kmsClient(s, region), KeyID: s.CreateKey(region, kmstest.SymmetricDefault)})
	require.NoError(t, err)
	uncached := func(t *testing.T) keyring.MaterialsManager {
		m, err := keyring.NewManager(kr)
		require.NoError(t, err)
		return m
	}
	limited := func(l cache.Limits) func(t *testing.T) keyring.MaterialsManager {
		return func(t *testing.T) keyring.MaterialsManager {
			l.MaxAge, l.NoRefresh = time.Hour, true
			c, err := cache.New(kr, l)
			require.NoError(t, err)
			t.Cleanup(func() { c.Close() })
			return c
		}
	}
	for _, c := range []struct {
		name    string
		manager func(t *testing.T) keyring.MaterialsManager
		calls   func(t *testing.T, s *kmstest.Server, manager func(t *testing.T) keyring.MaterialsManager, line string)
	}{
		{"the table alone", limited(cache.Limits{}), countCalls[callsPlain]},
		{"table and tenant", limited(cache.Limits{}), countCalls[callsTenant]},
		{"table and tenant, a data key for every 10 fields", limited(cache.Limits{MaxMessages: 10}), countCalls[callsTenant]},
		{"table and tenant, no cache", uncached, countCalls[callsTenant]},
		{"table and row", limited(cache.Limits{}), countCalls[callsRow]},
	} {
		t.Run(c.name, func(t *testing.T) { c.calls(t, s, c.manager, c.name) })
	}
}

// countCalls writes and reads rows as two programs would, each with a manager of its own.
func countCalls[T callsPlain | callsTenant | callsRow](t *testing.T, s *kmstest.Server, manager func(t *testing.T) keyring.MaterialsManager, line string) {
	var rows []*T
	for i := range callsRows {
		row := T(callsPlain{ID: fmt.Sprint(i), Tenant: fmt.Sprint("t", i%callsTenants), A: field.New("a"), B: field.New("b")})
		rows = append(rows, &row)
	}
	s.ResetCalls()
	require.NoError(t, newTable[T](t, manager(t), "patients", nil).Seal(t.Context(), rows...))
	written := s.Calls(kmstest.Match{})
	for _, row := range rows {
		closeFields(t, row)
	}
	s.ResetCalls()
	require.NoError(t, newTable[T](t, manager(t), "patients", nil).Open(t.Context(), rows...))
	inReadme(t, fmt.Sprintf("| %s | %d | %d |", line, written, s.Calls(kmstest.Match{})))
}

// closeFields makes a record's fields what they would be if they were read.
func closeFields[T callsPlain | callsTenant | callsRow](t *testing.T, row *T) {
	p := callsPlain(*row)
	for _, f := range []*field.Sealed[string]{&p.A, &p.B} {
		v, err := f.Value()
		require.NoError(t, err)
		require.NoError(t, f.Scan(v))
	}
	*row = T(p)
}

// TestTruncation holds what README.md says of indexes that are truncated.
func TestTruncation(t *testing.T) {
	for _, rows := range []float64{1e4, 1e6, 1e8} {
		line := fmt.Sprintf("| %.0f |", rows)
		for _, n := range []float64{2, 3, 4, 8} {
			line += fmt.Sprintf(" %s |", about(rows/math.Pow(256, n)))
		}
		inReadme(t, line)
	}

	type indexed struct {
		ID  string               `seal:",row"`
		SSN field.Sealed[string] `seal:"ssn"`
		Idx field.Index          `seal:"index=ssn,bytes=2"`
	}
	table := newTable[indexed](t, cached(t, rawKeyring(t, "a")), "patients", &field.Options{IndexKeys: field.NewIndexKeys()})
	const n = 10_000
	rows := make([]*indexed, n)
	for i := range rows {
		rows[i] = &indexed{ID: fmt.Sprint("p", i), SSN: field.New(fmt.Sprint(i))}
	}
	require.NoError(t, table.Seal(t.Context(), rows...))
	byTerm := map[string]int{}
	for _, p := range rows {
		require.Len(t, p.Idx, 1+2)
		byTerm[string(p.Idx)]++
	}
	found := 0
	for _, p := range rows {
		found += byTerm[string(p.Idx)] - 1
	}
	// Of n(n-1)/2 pairs of rows one in 65536 is expected to meet by chance: 763, give or
	// take 28. Another ten times that is out of the question.
	assert.InDelta(t, float64(n)*(n-1)/65536, found, 2*280)
}

// about writes a number with two digits, or says that it is next to nothing.
func about(x float64) string {
	switch {
	case x < 0.001:
		return "0"
	case x >= 10:
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.2g", x)
}
