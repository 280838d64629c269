package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

func TestEmbedded(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	for _, says := range []string{
		"wrapped key  by arn:aws:kms:us-east-1:111122223333:key/",
		"16777216 bytes to",
		"the wrapped key was made with another encryption context",
		"must allow kms:Decrypt on this key",
		"the key is disabled",
		"list in Config.DecryptKeys",
		"a message of the old key\n  decrypted  equal",
		"Decrypt          8, 3 of them refused",
		"DescribeKey      1\n",
		"GenerateDataKey  4\n",
	} {
		assert.Contains(t, out.String(), says)
	}
}

// useServer has AWS's default configuration lead to a server instead, and takes
// nothing from the machine that the test runs on.
func useServer(t *testing.T, url string) {
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS":                url,
		"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "",
		"AWS_ACCESS_KEY_ID":                   "test",
		"AWS_SECRET_ACCESS_KEY":               "test",
		"AWS_SESSION_TOKEN":                   "",
		"AWS_PROFILE":                         "",
		"AWS_CONFIG_FILE":                     none,
		"AWS_SHARED_CREDENTIALS_FILE":         none,
	} {
		t.Setenv(name, value)
	}
}

func TestKeyFlag(t *testing.T) {
	const region = "eu-central-1"
	server := kmstest.Start(t, kmstest.Config{Regions: []string{region}})
	useServer(t, server.URL(region))
	arn := server.CreateKey(region, kmstest.SymmetricDefault)

	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-key", arn}))
	assert.Contains(t, out.String(), "by "+arn)
	assert.Contains(t, out.String(), "the wrapped key was made with another encryption context")
	assert.Equal(t, 2, server.Calls(kmstest.Match{Operation: "GenerateDataKey"}))
	assert.Equal(t, 3, server.Calls(kmstest.Match{Operation: "Decrypt"}))
	assert.Equal(t, 5, server.Calls(kmstest.Match{}))

	server.Disable(arn)
	err := run(t.Context(), io.Discard, []string{"-key", arn, "-region", region})
	var e *awskms.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "DisabledException", e.Code)
}

func TestRegionFlag(t *testing.T) {
	const arn = "arn:aws:kms:us-east-1:111122223333:key/0123"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-key", arn}, "us-east-1"},
		{[]string{"-key", arn, "-region", "eu-west-1"}, "eu-west-1"},
	} {
		key, region, err := parse(c.args)
		require.NoError(t, err)
		assert.Equal(t, arn, key)
		assert.Equal(t, c.want, region)
	}
}

func TestBadFlags(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown flag":        {"-fast"},
		"argument":            {"file"},
		"no value":            {"-key"},
		"empty key":           {"-key", ""},
		"no ARN":              {"-key", "alias/patients"},
		"ARN of an alias":     {"-key", "arn:aws:kms:us-east-1:111122223333:alias/patients"},
		"ARN of another kind": {"-key", "arn:aws:s3:us-east-1:111122223333:key/0123"},
		"region alone":        {"-region", "us-east-1"},
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
	require.ErrorIs(t, run(ctx, io.Discard, nil), context.Canceled)
}
