package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/mototest"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
	"github.com/go-sealring/sealring/keyring/branchkey/dynamostore"
)

const region = "us-east-1"

func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
}

func newClient(url string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: &url, Credentials: aws.CredentialsProviderFunc(credentials)})
}

func newStore(t *testing.T, client dynamostore.Client, table string) *dynamostore.Store {
	s, err := dynamostore.New(dynamostore.Config{Client: client, Table: table})
	require.NoError(t, err)
	return s
}

// oneAtATime has one call made after the other. moto writes the items of a transaction one by
// one, and undoes them by putting back a copy of the whole table: other calls meanwhile see what
// was never committed, and lose what they wrote. DynamoDB does neither.
type oneAtATime struct {
	*dynamodb.Client
	mu sync.Mutex
}

func (c *oneAtATime) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Client.GetItem(ctx, in, o...)
}

func (c *oneAtATime) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Client.Query(ctx, in, o...)
}

func (c *oneAtATime) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Client.TransactWriteItems(ctx, in, o...)
}

// TestMoto runs all that needs a DynamoDB on one server.
func TestMoto(t *testing.T) {
	client := newClient(mototest.Start(t))
	isolated := &oneAtATime{Client: client}
	tables := 0
	migrated := func(t *testing.T) *dynamostore.Store {
		tables++
		s := newStore(t, isolated, fmt.Sprint("keys", tables))
		require.NoError(t, s.CreateTable(t.Context()))
		return s
	}
	t.Run("Conformance", func(t *testing.T) {
		branchkeytest.TestStore(t, func(t *testing.T) branchkey.Store { return migrated(t) })
	})
	t.Run("CreateTable", func(t *testing.T) {
		s := migrated(t)
		require.NoError(t, s.CreateTable(t.Context()), "again")
		made, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(fmt.Sprint("keys", tables))})
		require.NoError(t, err)
		assert.True(t, aws.ToBool(made.Table.DeletionProtectionEnabled))
		assert.Equal(t, types.BillingModePayPerRequest, made.Table.BillingModeSummary.BillingMode)
		other := "other"
		_, err = client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: &other, BillingMode: types.BillingModePayPerRequest,
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		})
		require.NoError(t, err)
		err = newStore(t, client, other).CreateTable(t.Context())
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
		assert.ErrorContains(t, err, "another key than branch-key-id (S, hash) and type (S, range)")
	})
	t.Run("NoTable", func(t *testing.T) {
		s := newStore(t, client, "nowhere")
		_, getErr := s.Get(t.Context(), "a", "b")
		_, listErr := s.List(t.Context(), "a")
		putErr := s.Put(t.Context(), branchkey.Put{Item: branchkey.Item{ID: "a", Type: "b", Enc: []byte("c")}})
		for _, err := range []error{getErr, listErr, putErr, s.Delete(t.Context(), "a")} {
			require.ErrorIs(t, err, branchkey.ErrNoTable)
			assert.ErrorContains(t, err, "nowhere")
		}
	})
	t.Run("Layout", func(t *testing.T) { testLayout(t, client, migrated(t), fmt.Sprint("keys", tables)) })
	t.Run("ForeignItems", func(t *testing.T) { testForeignItems(t, client, migrated(t), fmt.Sprint("keys", tables)) })
}

// testLayout holds what a key store writes, as DynamoDB's kinds of attributes.
func testLayout(t *testing.T, client *dynamodb.Client, s *dynamostore.Store, table string) {
	server := kmstest.Start(t)
	kmsClient := kms.New(kms.Options{Region: region, BaseEndpoint: aws.String(server.URL(region)), Credentials: aws.CredentialsProviderFunc(credentials)})
	keyARN := server.CreateKey(region, kmstest.SymmetricDefault)
	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{Store: s, Name: "name", Client: kmsClient, KeyARN: keyARN})
	require.NoError(t, err)
	_, err = keys.Create(t.Context(), "a", keyring.EncryptionContext{"tenant": "42"})
	require.NoError(t, err)
	_, err = keys.Create(t.Context(), "a", keyring.EncryptionContext{"tenant": "42"})
	require.ErrorIs(t, err, branchkey.ErrExists)
	version, err := keys.Version(t.Context(), "a")
	require.NoError(t, err)
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: map[string]types.AttributeValue{
		"branch-key-id": &types.AttributeValueMemberS{Value: "a"}, "type": &types.AttributeValueMemberS{Value: "branch:ACTIVE"},
	}})
	require.NoError(t, err)
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	assert.IsType(t, &types.AttributeValueMemberB{}, out.Item["enc"])
	assert.Regexp(t, `Z$`, out.Item["create-time"].(*types.AttributeValueMemberS).Value)
	delete(out.Item, "enc")
	delete(out.Item, "create-time")
	assert.Equal(t, map[string]types.AttributeValue{
		"branch-key-id": text("a"), "type": text("branch:ACTIVE"), "version": text("branch:version:" + version), "kms-arn": text(keyARN),
		"hierarchy-version": &types.AttributeValueMemberN{Value: "1"}, "aws-crypto-ec:tenant": text("42"),
	}, out.Item)

	kr, err := branchkey.New(branchkey.Config{KeyStore: keys, ID: "a", Limits: cache.Limits{MaxAge: time.Hour}})
	require.NoError(t, err)
	defer kr.Close()
	m := &keyring.EncryptionMaterials{Suite: keyring.SuiteAES256GCMHKDFSHA512Commit}
	require.NoError(t, kr.OnEncrypt(t.Context(), m))
	read := &keyring.DecryptionMaterials{Suite: m.Suite}
	require.NoError(t, kr.OnDecrypt(t.Context(), read, m.EncryptedDataKeys))
	assert.Equal(t, m.DataKey, read.DataKey)
	require.NoError(t, keys.Destroy(t.Context(), "a", "a"))
	_, err = keys.Active(t.Context(), "a")
	require.ErrorIs(t, err, branchkey.ErrNotFound)
}

// testForeignItems has attributes of kinds that no item has.
func testForeignItems(t *testing.T, client *dynamodb.Client, s *dynamostore.Store, table string) {
	for name, value := range map[string]types.AttributeValue{
		"enc":               &types.AttributeValueMemberS{Value: "secret?"},
		"hierarchy-version": &types.AttributeValueMemberS{Value: "1"},
		"number":            &types.AttributeValueMemberN{Value: "1"},
		"bytes":             &types.AttributeValueMemberB{Value: []byte("secret?")},
		"map":               &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{}},
		"null":              &types.AttributeValueMemberNULL{Value: true},
		"boolean":           &types.AttributeValueMemberBOOL{Value: true},
	} {
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
			"branch-key-id": &types.AttributeValueMemberS{Value: name}, "type": &types.AttributeValueMemberS{Value: "t"}, name: value,
		}})
		require.NoError(t, err)
		_, getErr := s.Get(t.Context(), name, "t")
		_, listErr := s.List(t.Context(), name)
		for _, err := range []error{getErr, listErr} {
			require.ErrorIs(t, err, branchkey.ErrForeignItem)
			assert.ErrorContains(t, err, name)
			assert.NotContains(t, err.Error(), "secret")
		}
	}
}

// fails is a client whose calls fail.
type fails struct {
	dynamostore.Client
	errs []error // of TransactWriteItems, one after another
	err  error
}

func (f *fails) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return nil, f.err
}

func (f *fails) TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	if len(f.errs) == 0 {
		return &dynamodb.TransactWriteItemsOutput{}, nil
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}

func TestErrors(t *testing.T) {
	item := branchkey.Put{Item: branchkey.Item{ID: "a", Type: "b", Enc: []byte("c")}}
	cancelled := func(code string) error {
		return &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{{Code: aws.String("None")}, {Code: &code}}}
	}
	for name, c := range map[string]struct {
		errs []error
		want error
	}{
		"another transaction once": {[]error{cancelled("TransactionConflict")}, nil},
		"condition":                {[]error{cancelled("ConditionalCheckFailed")}, branchkey.ErrConflict},
		"both in turn":             {[]error{cancelled("TransactionConflict"), cancelled("ConditionalCheckFailed")}, branchkey.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fails{errs: c.errs}
			require.ErrorIs(t, newStore(t, f, "keys").Put(t.Context(), item), c.want)
			assert.Empty(t, f.errs)
		})
	}

	// Credentials that were withdrawn end the use of branch keys too. Those that have run out
	// are to be had again.
	for code, refused := range map[string]bool{
		"AccessDeniedException": true, "AccessDenied": true, "UnrecognizedClientException": true, "InvalidClientTokenId": true,
		"InvalidSignatureException": true, "MissingAuthenticationTokenException": true, "IncompleteSignatureException": true,
		"ExpiredTokenException": false, "ThrottlingException": false, "InternalServerError": false,
	} {
		t.Run(code, func(t *testing.T) {
			client := &fails{err: &smithy.GenericAPIError{Code: code, Message: "says no"}}
			_, err := branchkeytest.PlaintextKeyStoreForTests(newStore(t, client, "keys")).Active(t.Context(), "a")
			require.ErrorIs(t, err, client.err)
			assert.Equal(t, !refused, errors.Is(err, keyring.ErrUnavailable))
			var r interface{ Refused() bool }
			assert.Equal(t, refused, errors.As(err, &r) && r.Refused())
			if refused {
				assert.ErrorContains(t, err, "dynamodb:GetItem on table keys denied")
			}
		})
	}

	down := errors.New("connection refused")
	keys := branchkeytest.PlaintextKeyStoreForTests(newStore(t, &fails{err: down}, "keys"))
	_, err := keys.Active(t.Context(), "a")
	require.ErrorIs(t, err, down)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
}

// pages is a client with the items of one ID, a few on each page.
type pages struct {
	dynamostore.Client
	types      []string // in order
	late       []string // come when the first transaction is over
	inOne      []int    // how many each transaction deletes
	consistent bool     // every read was
	broken     int      // transactions after this many fail, if not zero
}

const perPage = 60

func (p *pages) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	p.consistent = p.consistent && aws.ToBool(in.ConsistentRead)
	start := 0
	if in.ExclusiveStartKey != nil {
		start = 1 + slices.Index(p.types, in.ExclusiveStartKey["type"].(*types.AttributeValueMemberS).Value)
	}
	out := &dynamodb.QueryOutput{}
	for _, itemType := range p.types[start:min(start+perPage, len(p.types))] {
		out.Items = append(out.Items, map[string]types.AttributeValue{
			"branch-key-id": &types.AttributeValueMemberS{Value: "a"}, "type": &types.AttributeValueMemberS{Value: itemType},
		})
	}
	if start+perPage < len(p.types) {
		out.LastEvaluatedKey = out.Items[len(out.Items)-1]
	}
	return out, nil
}

func (p *pages) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	p.consistent = p.consistent && aws.ToBool(in.ConsistentRead)
	return &dynamodb.GetItemOutput{}, nil
}

func (p *pages) TransactWriteItems(_ context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	if p.broken > 0 && len(p.inOne) == p.broken {
		return nil, errors.New("connection reset")
	}
	p.inOne = append(p.inOne, len(in.TransactItems))
	for _, it := range in.TransactItems {
		itemType := it.Delete.Key["type"].(*types.AttributeValueMemberS).Value
		p.types = slices.DeleteFunc(p.types, func(t string) bool { return t == itemType })
	}
	p.types = append(p.types, p.late...)
	p.late = nil
	return &dynamodb.TransactWriteItemsOutput{}, nil
}

// TestPages holds what moto does not show: pages of a list, how many items a transaction may
// have, a version that comes while others are deleted, and that reads are strongly
// consistent.
func TestPages(t *testing.T) {
	client := &pages{consistent: true, late: []string{"branch:version:late"}}
	for i := range 250 {
		client.types = append(client.types, fmt.Sprintf("branch:version:%03d", i))
	}
	want := slices.Clone(client.types)
	s := newStore(t, client, "keys")
	items, err := s.List(t.Context(), "a")
	require.NoError(t, err)
	var got []string
	for _, it := range items {
		assert.Equal(t, "a", it.ID)
		got = append(got, it.Type)
	}
	assert.Equal(t, want, got)
	_, err = s.Get(t.Context(), "a", "b")
	require.ErrorIs(t, err, branchkey.ErrNotFound)
	require.NoError(t, s.Delete(t.Context(), "a"))
	assert.Empty(t, client.types)
	assert.Equal(t, []int{100, 100, 50, 1}, client.inOne)
	assert.True(t, client.consistent)
}

// TestDeleteInParts has a Delete fail in the middle. The active item is gone by then, so that
// nobody writes under the branch key, and another Delete takes the rest.
func TestDeleteInParts(t *testing.T) {
	client := &pages{types: []string{"beacon:ACTIVE", "branch:ACTIVE"}, broken: 1}
	for i := range 150 {
		client.types = append(client.types, fmt.Sprintf("branch:version:%03d", i))
	}
	s := newStore(t, client, "keys")
	err := s.Delete(t.Context(), "a")
	require.ErrorContains(t, err, "connection reset")
	assert.NotErrorIs(t, err, branchkey.ErrNotFound)
	assert.Len(t, client.types, 52)
	assert.NotContains(t, client.types, "branch:ACTIVE")
	client.broken = 0
	require.NoError(t, s.Delete(t.Context(), "a"))
	assert.Empty(t, client.types)
	require.ErrorIs(t, s.Delete(t.Context(), "a"), branchkey.ErrNotFound)
}

// statuses is a client of a table that is there, and whose status is one after another, and
// then that it is gone.
type statuses struct {
	dynamostore.Client
	status []types.TableStatus
}

func (s *statuses) CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error) {
	return nil, &types.ResourceInUseException{}
}

func (s *statuses) DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	if len(s.status) == 0 {
		return nil, &types.ResourceNotFoundException{}
	}
	status := s.status[0]
	s.status = s.status[1:]
	text := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
	}
	return &dynamodb.DescribeTableOutput{Table: &types.TableDescription{
		TableStatus: status, AttributeDefinitions: []types.AttributeDefinition{text("branch-key-id"), text("type")},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("branch-key-id"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("type"), KeyType: types.KeyTypeRange},
		},
	}}, nil
}

// TestCreateTableWaits has tables that come to be used, and others that never do: CreateTable
// does not wait for those.
func TestCreateTableWaits(t *testing.T) {
	for name, c := range map[string]struct {
		status []types.TableStatus
		says   string
	}{
		"being made":    {[]types.TableStatus{types.TableStatusCreating, types.TableStatusUpdating, types.TableStatusActive}, ""},
		"being deleted": {[]types.TableStatus{types.TableStatusDeleting}, "table keys is DELETING"},
		"no key":        {[]types.TableStatus{types.TableStatusInaccessibleEncryptionCredentials}, "table keys is INACCESSIBLE_ENCRYPTION_CREDENTIALS"},
		"archived":      {[]types.TableStatus{types.TableStatusArchived}, "table keys is ARCHIVED"},
	} {
		t.Run(name, func(t *testing.T) {
			faketime.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				client := &statuses{status: c.status}
				err := newStore(t, client, "keys").CreateTable(ctx)
				require.NotErrorIs(t, err, context.DeadlineExceeded)
				if c.says == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, c.says)
				}
				assert.Empty(t, client.status)
			})
		})
	}
}

func TestConfig(t *testing.T) {
	for says, c := range map[string]dynamostore.Config{
		"Client is nil":  {Table: "keys"},
		"Table is empty": {Client: &fails{}},
	} {
		_, err := dynamostore.New(c)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
		assert.ErrorContains(t, err, says)
	}
}
