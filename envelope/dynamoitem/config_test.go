package dynamoitem

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

func TestConfigRefuses(t *testing.T) {
	m := record(t)
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"no table":              {func(c *Config) { c.Table = "" }, "Config.Table is empty"},
		"table not UTF-8":       {func(c *Config) { c.Table = "\xff" }, "Config.Table is not UTF-8"},
		"long table":            {func(c *Config) { c.Table = strings.Repeat("t", 1<<16) }, "do not fit in an encryption context"},
		"no partition key":      {func(c *Config) { c.PartitionKey = "" }, "Config.PartitionKey is empty"},
		"long partition key":    {func(c *Config) { c.PartitionKey = strings.Repeat("k", 256) }, "at most 255"},
		"long sort key":         {func(c *Config) { c.SortKey = strings.Repeat("k", 256) }, "at most 255"},
		"keys the same":         {func(c *Config) { c.SortKey = "pk" }, "is the partition key"},
		"key without action":    {func(c *Config) { delete(c.Actions, "pk") }, `Config.PartitionKey: "pk" is not in Actions, where it must be SIGN_ONLY`},
		"key encrypted":         {func(c *Config) { c.Actions["pk"] = EncryptAndSign }, `"pk" is ENCRYPT_AND_SIGN, and a key must be SIGN_ONLY`},
		"sort key encrypted":    {func(c *Config) { c.Actions["sk"] = EncryptAndSign }, `Config.SortKey: "sk" is ENCRYPT_AND_SIGN`},
		"key unsigned":          {func(c *Config) { c.Actions["pk"] = DoNothing; c.Unsigned = []string{"pk"} }, `"pk" is DO_NOTHING`},
		"key among unsigned":    {func(c *Config) { c.Unsigned = []string{"pk"} }, `Config.Actions["pk"] is SIGN_ONLY, yet the attribute is among Unsigned`},
		"key with prefix":       {func(c *Config) { c.UnsignedPrefix = "p" }, `Config.Actions["pk"] is SIGN_ONLY, yet`},
		"key unsigned alone":    {func(c *Config) { delete(c.Actions, "pk"); c.Unsigned = []string{"pk"} }, "must be signed"},
		"only one key in it":    {func(c *Config) { c.Actions["pk"] = SignAndIncludeInContext }, `Config.SortKey: "sk" is SIGN_ONLY, and a key must be SIGN_AND_INCLUDE_IN_ENCRYPTION_CONTEXT, since another attribute is`},
		"an attribute in it":    {func(c *Config) { c.Actions["seen"] = SignAndIncludeInContext }, `Config.PartitionKey: "pk" is SIGN_ONLY`},
		"nothing, not unsigned": {func(c *Config) { c.Actions["x"] = DoNothing }, `Config.Actions["x"] is DO_NOTHING: then it must be among Unsigned`},
		"in both lists":         {func(c *Config) { c.Unsigned = []string{"secret"} }, `Config.Actions["secret"] is ENCRYPT_AND_SIGN, yet`},
		"in context, unsigned":  {func(c *Config) { c.Actions["s"] = SignAndIncludeInContext; c.UnsignedPrefix = "s" }, `Config.Actions["s"] is SIGN_AND_INCLUDE_IN_ENCRYPTION_CONTEXT, yet`},
		"no such action":        {func(c *Config) { c.Actions["x"] = 4 }, "there is no Action(4)"},
		"empty name":            {func(c *Config) { c.Actions[""] = SignOnly }, "the name is empty"},
		"name not UTF-8":        {func(c *Config) { c.Actions["\xff"] = SignOnly }, "the name is not UTF-8"},
		"long name":             {func(c *Config) { c.Actions[strings.Repeat("n", 1<<16)] = SignOnly }, "the name is 65536 bytes"},
		"head":                  {func(c *Config) { c.Actions["aws_dbe_head"] = SignOnly }, "are reserved"},
		"beacon":                {func(c *Config) { c.Actions["aws_dbe_b_x"] = EncryptAndSign }, "are reserved"},
		"pair":                  {func(c *Config) { c.Actions["aws-crypto-x"] = EncryptAndSign }, "are reserved"},
		"unsigned empty":        {func(c *Config) { c.Unsigned = []string{"a", ""} }, "Config.Unsigned[1]: the name is empty"},
		"unsigned twice":        {func(c *Config) { c.Unsigned = []string{"a", "b", "a"} }, "Config.Unsigned[2] is there twice"},
		"unsigned reserved":     {func(c *Config) { c.Unsigned = []string{"aws_dbe_foot"} }, "Config.Unsigned[0]: names that begin"},
		"prefix not UTF-8":      {func(c *Config) { c.UnsignedPrefix = "\xff" }, "Config.UnsignedPrefix is not UTF-8"},
		"long prefix":           {func(c *Config) { c.UnsignedPrefix = strings.Repeat("n", 1<<16) }, "Config.UnsignedPrefix is 65536 bytes"},
		"prefix reserved":       {func(c *Config) { c.UnsignedPrefix = "aws_dbe_" }, "Config.UnsignedPrefix begins with"},
		"suite of messages":     {func(c *Config) { c.Suite = keyring.SuiteAES256GCMHKDFSHA512Commit }, "is none for items"},
		"policy":                {func(c *Config) { c.Plaintext = 3 }, "there is no policy 3"},
		"signature, no suite": {func(c *Config) {
			c.RequireSignature, c.Suite = true, keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384
		}, "Config.RequireSignature is set, and items with Suite"},
		"signature, in clear": {func(c *Config) { c.RequireSignature, c.Plaintext = true, AllowPlaintextRead }, "Config.RequireSignature is set, and Plaintext"},
		"no keys":             {func(c *Config) { c.MaxEncryptedDataKeys = -1 }, "must be 1 to 255"},
		"many keys":           {func(c *Config) { c.MaxEncryptedDataKeys = 256 }, "must be 1 to 255"},
	} {
		t.Run(name, func(t *testing.T) {
			config := simple(0, SignOnly)
			c.change(&config)
			table, err := NewTable(m, config)
			assert.Nil(t, table)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.ErrorContains(t, err, c.says)
			assert.Less(t, len(err.Error()), 1000)
		})
	}
	_, err := NewTable(nil, simple(0, SignOnly))
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	require.ErrorContains(t, err, "the materials manager is nil")
}

// TestConfigAtOnce has several mistakes, which one error names.
func TestConfigAtOnce(t *testing.T) {
	_, err := NewTable(nil, Config{
		PartitionKey: "pk", SortKey: "pk", Suite: 1, Plaintext: 9, MaxEncryptedDataKeys: 1000, UnsignedPrefix: "aws_dbe_x",
		Actions: map[string]Action{"": SignOnly, "a": DoNothing, "b": 9, "aws_dbe_head": SignOnly}, Unsigned: []string{"", "x", "x"},
	})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	for _, says := range []string{
		"manager is nil", "Config.Table is empty", `"pk" is not in Actions`, "is the partition key", `[""]: the name is empty`, `["a"] is DO_NOTHING`,
		`["b"]: there is no Action(9)`, `["aws_dbe_head"]: names`, "Unsigned[0]: the name is empty", "Unsigned[2] is there twice",
		"UnsignedPrefix begins", "is none for items", "no policy 9", "MaxEncryptedDataKeys 1000",
	} {
		assert.ErrorContains(t, err, says)
	}
}

func TestActionNames(t *testing.T) {
	assert.Equal(t, "ENCRYPT_AND_SIGN", Action(0).String())
	assert.Equal(t, "Action(9)", Action(9).String())
}

// TestConfigIsCopied changes a config after a table was made with it.
func TestConfigIsCopied(t *testing.T) {
	c := simple(hmacOnly, SignOnly)
	c.Unsigned = []string{"free"}
	table := newTable(t, record(t), c)
	c.Unsigned[0] = "seen"
	c.Actions["pk"], c.Actions["secret"] = SignAndIncludeInContext, SignOnly
	in := with(simpleItem(), "free", str("x"))
	out, err := table.Encrypt(t.Context(), in)
	require.NoError(t, err)
	b, err := binaryOf(headAttribute, out[headAttribute])
	require.NoError(t, err)
	h, err := parseHead(b, 1)
	require.NoError(t, err)
	assert.Equal(t, "sssee", string(h.legend))
	back, err := table.Decrypt(t.Context(), out)
	require.NoError(t, err)
	assert.Equal(t, in, back)
}
