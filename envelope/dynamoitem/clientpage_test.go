package dynamoitem

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/internal/testhttp"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
)

// A page of 100 items of 3 tenants, each with a branch key, costs 3 calls to KMS, though all
// items are decrypted at once.
func TestClientPageUnderBranchKeys(t *testing.T) {
	server := kmstest.Start(t, kmstest.Config{})
	region := "us-east-1"
	client := kms.New(kms.Options{Region: region, BaseEndpoint: aws.String(server.URL(region)), HTTPClient: testhttp.New(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})})
	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: branchkeytest.NewMemoryStore(), Name: "keys", Client: client, KeyARN: server.CreateKey(region, kmstest.SymmetricDefault)})
	require.NoError(t, err)
	// tenants returns a table of a program that has just begun.
	tenants := func() *Table {
		kr, err := branchkey.New(branchkey.Config{KeyStore: keys, Limits: cache.Limits{MaxAge: time.Hour},
			Supplier: func(ec keyring.EncryptionContext) (string, error) { return ec["aws-crypto-attr.tenant"], nil }})
		require.NoError(t, err)
		t.Cleanup(func() { kr.Close() })
		return newTable(t, manager(t, kr), Config{Table: "patients", PartitionKey: "id", Actions: map[string]Action{
			"id": SignAndIncludeInContext, "tenant": SignAndIncludeInContext, "ssn": EncryptAndSign}})
	}
	var page, want []map[string]types.AttributeValue
	writer := tenants()
	for i := range 100 {
		tenant := fmt.Sprint("tenant ", i%3)
		if i < 3 {
			_, err := keys.Create(t.Context(), tenant, keyring.EncryptionContext{"tenant": tenant})
			require.NoError(t, err)
		}
		it := item{"id": str(fmt.Sprint(i)), "tenant": str(tenant), "ssn": str("secret")}
		page, want = append(page, encrypt(t, writer, it)), append(want, it)
	}
	f := &fake{answer: func(any) (any, error) { return &dynamodb.ScanOutput{Items: page}, nil }}
	c := newClient(t, f, ClientConfig{Tables: map[string]*Table{"patients": tenants()}, Concurrency: 100})
	server.ResetCalls()
	for range 2 {
		out, err := c.Scan(t.Context(), &dynamodb.ScanInput{TableName: patientsName})
		require.NoError(t, err)
		assert.Equal(t, want, out.Items)
	}
	assert.Equal(t, 3, server.Calls(kmstest.Match{}))
}

// A page of 100 items of 1 KiB against one item after another, the two in turns: x-share is
// how many times as long it takes as its share of the cores (1.3 at most). The heap is as
// large as a service's: in a tiny one the collector runs all the time, on the core that one
// item after another leaves free, and the share is too small (some 1.45 then under HMAC).
func BenchmarkPage(b *testing.B) {
	heap := make([]byte, 64<<20)
	defer runtime.KeepAlive(heap)
	for name, suite := range map[string]keyring.Suite{
		"HMAC":  keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384,
		"ECDSA": keyring.SuiteDBEAES256GCMHKDFSHA512CommitECDSAP384HMACSHA384,
	} {
		table := patientTable(b, func(c *Config) { c.Suite = suite })
		var page []map[string]types.AttributeValue
		for i := range 100 {
			it := patient(fmt.Sprint(i))
			it["notes"] = str(strings.Repeat("x", 900))
			page = append(page, encrypt(b, table, it))
		}
		f := &fake{answer: func(any) (any, error) { return &dynamodb.ScanOutput{Items: page}, nil }}
		c := newClient(b, f, ClientConfig{Tables: map[string]*Table{"patients": table}})
		b.Run(name, func(b *testing.B) {
			var single, whole measured
			for b.Loop() {
				single.add(1, func() {
					for _, it := range page {
						_, err := table.Decrypt(b.Context(), it)
						must(err)
					}
				})
				whole.add(1, func() {
					_, err := c.Scan(b.Context(), &dynamodb.ScanInput{TableName: patientsName})
					must(err)
				})
				f.sent = nil
			}
			share := float64(single.time) / float64(runtime.GOMAXPROCS(0))
			b.ReportMetric(float64(whole.time)/float64(whole.calls), "ns/page")
			b.ReportMetric(float64(whole.time)/share, "x-share")
		})
	}
}
