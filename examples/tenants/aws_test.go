package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/mototest"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey/dynamostore"
)

// useServer has AWS's default configuration lead to servers instead, and takes
// nothing from the machine that the test runs on.
func useServer(t *testing.T, kms, dynamodb string) {
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS":                kms,
		"AWS_ENDPOINT_URL_DYNAMODB":           dynamodb,
		"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "",
		"AWS_ACCESS_KEY_ID":                   "test",
		"AWS_SECRET_ACCESS_KEY":               "test",
		"AWS_SESSION_TOKEN":                   "",
		"AWS_PROFILE":                         "",
		"AWS_REGION":                          "",
		"AWS_DEFAULT_REGION":                  "",
		"AWS_CONFIG_FILE":                     none,
		"AWS_SHARED_CREDENTIALS_FILE":         none,
	} {
		t.Setenv(name, value)
	}
}

// What is said beforehand, what the client counts and what KMS got are the same.
func TestKeyFlag(t *testing.T) {
	const region = "eu-central-1"
	server := kmstest.Start(t, kmstest.Config{Regions: []string{region}})
	useServer(t, server.URL(region), "")
	arn := server.CreateKey(region, kmstest.SymmetricDefault)

	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-key", arn}))
	calls := server.Calls(kmstest.Match{})
	assert.Equal(t, 168, calls)
	assert.Regexp(t, `^KMS on AWS: this takes about 168 calls, \$0\.0005\n10 tenants, 10 rows of each`, out.String())
	assert.Contains(t, out.String(), "all this took 168 calls to KMS, $0.0005\n")
	assert.NotContains(t, out.String(), "DynamoDB")
}

// AWS asks a price for each request, and so for what the SDK tries again.
func TestRetriesAreCounted(t *testing.T) {
	d := made(t, 2, 1)
	d.server.ResetCalls()
	d.server.Throttle(kmstest.Match{}, 1)
	calls, err := d.calls(func() error {
		_, err := d.keys.Active(t.Context(), tenantName(0))
		return err
	})
	require.NoError(t, err)
	assert.Equal(t, 2, calls)
	assert.Equal(t, 2, d.server.Calls(kmstest.Match{}))
}

func TestNoRegion(t *testing.T) {
	useServer(t, "", "")
	var out bytes.Buffer
	err := run(t.Context(), &out, []string{"-table", "tenant-keys"})
	require.ErrorContains(t, err, "AWS's configuration has no region: say which with -region")
	assert.Contains(t, out.String(), "DynamoDB on AWS: this takes about 70 writes and 70 reads, $0.0001\n", "beforehand")
}

// TestMoto runs the program on moto's DynamoDB, with the embedded KMS and with moto's.
func TestMoto(t *testing.T) {
	url := mototest.Start(t)
	useServer(t, url, url)
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(emulatedRegion))
	require.NoError(t, err)
	client := dynamodb.NewFromConfig(cfg)
	tables := func(t *testing.T) []string {
		out, err := client.ListTables(t.Context(), &dynamodb.ListTablesInput{})
		require.NoError(t, err)
		return out.TableNames
	}
	key, err := kms.NewFromConfig(cfg).CreateKey(t.Context(), &kms.CreateKeyInput{})
	require.NoError(t, err)

	const name = "tenant-keys"
	for test, c := range map[string]struct {
		args  []string
		where string
	}{
		"DynamoDB":                 {[]string{"-endpoint", url}, url},
		"DynamoDB as on AWS":       {[]string{"-region", emulatedRegion}, emulatedRegion},
		"DynamoDB and KMS":         {[]string{"-key", *key.KeyMetadata.Arn, "-endpoint", url}, url},
		"DynamoDB and KMS, as AWS": {[]string{"-key", *key.KeyMetadata.Arn}, emulatedRegion},
	} {
		t.Run(test, func(t *testing.T) {
			var out bytes.Buffer
			require.NoError(t, run(t.Context(), &out, append(c.args, "-table", name, "-tenants", "4", "-rows", "5")))
			for _, says := range []string{
				fmt.Sprintf("table %s of DynamoDB is made, in %s, and deleted at the end\n", name, c.where),
				"made once: 12 calls to KMS, $0.0000\n",
				"  branch keys                           4        4   $0.0000\n",
				"  branch keys, data-key cache           4        4   $0.0000\n",
				"  KMS keyring *                        60       60   $0.0004\n",
				"under the new one  25 rows, none failed\n",
				"tenant-000001 has its key destroyed\n  its rows     5, none opens\n",
				"all this took 80 calls to KMS, $0.0002\n",
				"table " + name + " is deleted\n",
			} {
				assert.Contains(t, out.String(), says)
			}
			assert.Empty(t, tables(t))
		})
	}

	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := &interrupts{cancel: cancel, at: "made once"}
		require.ErrorIs(t, run(ctx, out, []string{"-table", name, "-endpoint", url}), context.Canceled)
		assert.Contains(t, out.String(), "table "+name+" is deleted\n")
		assert.Empty(t, tables(t))
	})

	t.Run("there already", func(t *testing.T) {
		store, err := dynamostore.New(dynamostore.Config{Client: client, Table: name})
		require.NoError(t, err)
		require.NoError(t, store.CreateTable(t.Context()))
		var out bytes.Buffer
		err = run(t.Context(), &out, []string{"-table", name, "-endpoint", url})
		require.ErrorContains(t, err, "table "+name+" is there already, and is left as it is")
		assert.Empty(t, out.String())
		assert.Equal(t, []string{name}, tables(t))
		found, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(name)})
		require.NoError(t, err)
		assert.True(t, *found.Table.DeletionProtectionEnabled)
	})
}

// interrupts is where the program writes to, and interrupts it at some text.
type interrupts struct {
	bytes.Buffer
	cancel context.CancelFunc
	at     string
}

func (i *interrupts) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(i.at)) {
		i.cancel()
	}
	return i.Buffer.Write(p)
}
