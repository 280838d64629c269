package main

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// kmsKeyring returns a keyring on a KMS of the test's own.
func kmsKeyring(t testing.TB) (keyring.Keyring, *kmstest.Server) {
	t.Helper()
	const region = "us-east-1"
	server := kmstest.Start(t)
	client := kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String(server.URL(region)),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	kr, err := awskms.New(awskms.Config{Client: client, KeyID: server.CreateKey(region, kmstest.SymmetricDefault)})
	require.NoError(t, err)
	return kr, server
}

// A process asks KMS once for each tenant to write all rows, and one that has just started
// once for each tenant to read them.
func TestCallsToKMS(t *testing.T) {
	const rows = 20_000
	onEach(t, func(t *testing.T, db database) {
		kr, server := kmsKeyring(t)
		db.exec(t, schema)
		indexKeys, err := newIndexKeys(t.Context(), kr)
		require.NoError(t, err)

		writer := start(t, db, kr, indexKeys)
		server.ResetCalls() // of the index keys
		require.NoError(t, writer.Add(t.Context(), madeMany(rows)...))
		assert.Equal(t, tenants, server.Calls(kmstest.Match{}), "calls to write")
		assert.Equal(t, tenants, server.Calls(kmstest.Match{Operation: "GenerateDataKey"}))

		reader := start(t, db, kr, indexKeys)
		server.ResetCalls()
		all, err := reader.All(t.Context())
		require.NoError(t, err)
		assert.Equal(t, tenants, server.Calls(kmstest.Match{}), "calls to read")
		assert.Equal(t, tenants, server.Calls(kmstest.Match{Operation: "Decrypt"}))
		require.Len(t, all, rows)
		requireMade(t, rows-1, all[rows-1])
	})
}
