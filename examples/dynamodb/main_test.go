package main

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

func TestFlags(t *testing.T) {
	const key = "arn:aws:kms:eu-west-1:111122223333:key/mrk-0123"
	parsed, err := arn.Parse(key)
	require.NoError(t, err)
	for _, c := range []struct {
		args []string
		want options
	}{
		{nil, options{from: "us-east-1", to: "eu-west-1"}},
		{[]string{"-endpoint", "http://localhost:8000"}, options{endpoint: "http://localhost:8000", from: "us-east-1", to: "eu-west-1"}},
		{[]string{"-key", key, "-table", "orders", "-regions", "eu-west-1,sa-east-1"}, options{key: parsed, table: "orders", from: "eu-west-1", to: "sa-east-1"}},
	} {
		got, err := parse(c.args)
		require.NoError(t, err, c.args)
		assert.Equal(t, c.want, got)
	}

	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unknown flag":          {[]string{"-moto"}, "-moto"},
		"argument":              {[]string{"x"}, `unexpected argument "x"`},
		"empty key":             {[]string{"-key", ""}, "-key is empty"},
		"no ARN":                {[]string{"-key", "mrk-0123"}, `-key "mrk-0123" is not the ARN of a multi-Region key`},
		"key of one region":     {[]string{"-key", "arn:aws:kms:us-east-1:111122223333:key/0123"}, "is not the ARN of a multi-Region key"},
		"ARN of another kind":   {[]string{"-key", "arn:aws:s3:us-east-1:111122223333:key/mrk-0123"}, "is not the ARN of a multi-Region key"},
		"short name":            {[]string{"-table", "ab"}, `-table "ab" is not 3 to 255 letters`},
		"endpoint without http": {[]string{"-endpoint", "localhost:8000"}, `-endpoint "localhost:8000" is not a URL`},
		"one region":            {[]string{"-regions", "us-east-1"}, `-regions "us-east-1" is not two regions`},
		"the same region twice": {[]string{"-regions", "us-east-1,us-east-1"}, "is not two regions"},
		"three regions":         {[]string{"-regions", "us-east-1,eu-west-1,sa-east-1"}, "is not two regions"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), &out, c.args)
		require.ErrorContains(t, err, c.says, name)
		assert.ErrorContains(t, err, "\nusage:", name)
		assert.Empty(t, out.String(), name)
	}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-h"}))
	assert.Contains(t, out.String(), "usage:")
}

func TestNoMoto(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out bytes.Buffer
	err := run(t.Context(), &out, nil)
	require.EqualError(t, err, "moto_server is not installed; get it with: pip install 'moto[server]'\nor run another emulator of DynamoDB and name it with -endpoint")
	assert.Empty(t, out.String())
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, io.Discard, []string{"-endpoint", "http://127.0.0.1:1"}), context.Canceled)
}

// TestSealedOrder holds what package attributevalue makes of sealed fields.
func TestSealedOrder(t *testing.T) {
	kr, err := keyring.NewRawAES("examples", "orders", make([]byte, 32))
	require.NoError(t, err)
	manager, err := keyring.NewManager(kr)
	require.NoError(t, err)
	table, err := field.NewTable[SealedOrder](manager, logicalTable, nil)
	require.NoError(t, err)

	o := &SealedOrder{Customer: "c", ID: "1", Address: field.New("57 Rue Cuvier"), Status: "paid"}
	_, err = toItem(o)
	require.ErrorIs(t, err, field.ErrUnsealed)
	require.NoError(t, table.Seal(t.Context(), o))
	item, err := toItem(o)
	require.NoError(t, err)
	assert.IsType(t, &types.AttributeValueMemberS{}, item["address"])
	assert.Equal(t, &types.AttributeValueMemberS{}, item["phone"], "NULL")

	found, err := fromItems([]map[string]types.AttributeValue{item})
	require.NoError(t, err)
	require.NoError(t, table.Open(t.Context(), found...))
	address, err := found[0].Address.Plaintext()
	require.NoError(t, err)
	assert.Equal(t, "57 Rue Cuvier", address)
	assert.True(t, found[0].Phone.IsNull())

	// Why there is a toItem.
	lost, err := attributevalue.MarshalMap(o)
	require.NoError(t, err)
	assert.Equal(t, &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{}}, lost["address"])
}
