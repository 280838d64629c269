package dynamoitem_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/dynamoitem"
	"github.com/go-sealring/sealring/keyring"
)

type address struct {
	Street string   `dynamodbav:"street"`
	Lines  []string `dynamodbav:"lines"`
}

type audit struct {
	Author string `dynamodbav:"author" seal:"sign"`
	Seen   int64  `dynamodbav:":seen" seal:"unsigned"`
}

type order struct {
	Customer string  `dynamodbav:"customer" seal:"partition"`
	Number   int     `dynamodbav:"order" seal:"sort"`
	Address  address `dynamodbav:"address"`
	Total    float64 `seal:"encrypt"`
	Note     *string `dynamodbav:"note,omitempty"`
	Local    string  `dynamodbav:"-"`
	audit
	cached string
}

func recordsManager(t testing.TB) keyring.MaterialsManager {
	k, err := keyring.NewRawAES("ns", "kek", make([]byte, 32))
	require.NoError(t, err)
	m, err := keyring.NewManager(k)
	require.NoError(t, err)
	return m
}

func newRecords[T any](t testing.TB) *dynamoitem.Records[T] {
	r, err := dynamoitem.NewRecords[T](recordsManager(t), dynamoitem.Config{Table: "orders"})
	require.NoError(t, err)
	return r
}

func newOrder() *order {
	note := "ring twice"
	return &order{
		Customer: "c-17", Number: 4, Address: address{"Main Street", []string{"a", "b"}}, Total: 12.5, Note: &note,
		Local: "stays here", audit: audit{"kim", 99}, cached: "stays here",
	}
}

// TestRecords has a struct with all kinds of tags go through a table and back.
func TestRecords(t *testing.T) {
	r := newRecords[order](t)
	want := newOrder()
	item, err := r.Encrypt(t.Context(), want)
	require.NoError(t, err)
	assert.Equal(t, newOrder(), want, "Encrypt changed the record")

	type is = map[string]string
	shown := is{}
	for name, v := range item {
		shown[name] = strings.TrimPrefix(reflect.TypeOf(v).Elem().Name(), "AttributeValueMember")
	}
	assert.Equal(t, is{
		"customer": "S", "order": "N", "author": "S", ":seen": "N", "address": "B", "Total": "B", "note": "B",
		"aws_dbe_head": "B", "aws_dbe_foot": "B",
	}, shown)

	got, err := r.Decrypt(t.Context(), item)
	require.NoError(t, err)
	want.Local, want.cached = "", ""
	assert.Equal(t, want, got)

	// Unsigned means that others may change it, and nothing else may be.
	item[":seen"] = &types.AttributeValueMemberN{Value: "100"}
	got, err = r.Decrypt(t.Context(), item)
	require.NoError(t, err)
	assert.EqualValues(t, 100, got.Seen)
	item["author"] = &types.AttributeValueMemberS{Value: "lee"}
	_, err = r.Decrypt(t.Context(), item)
	require.ErrorIs(t, err, envelope.ErrAuthentication)
}

// TestRecordsAndTable has the same items be read as maps, by a table with the config that the
// tags say.
func TestRecordsAndTable(t *testing.T) {
	table, err := dynamoitem.NewTable(recordsManager(t), dynamoitem.Config{
		Table: "orders", PartitionKey: "customer", SortKey: "order", Unsigned: []string{":seen"},
		Actions: map[string]dynamoitem.Action{
			"customer": dynamoitem.SignOnly, "order": dynamoitem.SignOnly, "author": dynamoitem.SignOnly,
			"address": dynamoitem.EncryptAndSign, "Total": dynamoitem.EncryptAndSign, "note": dynamoitem.EncryptAndSign,
			":seen": dynamoitem.DoNothing,
		},
	})
	require.NoError(t, err)
	r := newRecords[order](t)
	item, err := r.Encrypt(t.Context(), newOrder())
	require.NoError(t, err)
	for _, table := range []*dynamoitem.Table{table, r.Table()} {
		opened, err := table.Decrypt(t.Context(), item)
		require.NoError(t, err)
		want, err := attributevalue.MarshalMap(newOrder())
		require.NoError(t, err)
		assert.Equal(t, want, opened)
		again, err := table.Encrypt(t.Context(), opened)
		require.NoError(t, err)
		_, err = r.Decrypt(t.Context(), again)
		require.NoError(t, err)
	}
}

// TestRecordsInContext has keys follow an attribute that is in the encryption context.
func TestRecordsInContext(t *testing.T) {
	type row struct {
		ID     string `seal:"partition"`
		Tenant string `seal:"context"`
		Secret string
	}
	r := newRecords[row](t)
	item, err := r.Encrypt(t.Context(), &row{"1", "t", "s"})
	require.NoError(t, err)
	assert.EqualValues(t, 2, item["aws_dbe_head"].(*types.AttributeValueMemberB).Value[0], "the head's version")
	got, err := r.Decrypt(t.Context(), item)
	require.NoError(t, err)
	assert.Equal(t, &row{"1", "t", "s"}, got)
}

func wrongTags[T any](t *testing.T, c dynamoitem.Config, says ...string) {
	t.Helper()
	c.Table = "orders"
	_, err := dynamoitem.NewRecords[T](recordsManager(t), c)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	for _, text := range says {
		assert.ErrorContains(t, err, text)
	}
}

type loop struct{ *loop }

func TestWrongTags(t *testing.T) {
	none := dynamoitem.Config{}
	wrongTags[int](t, none, "int is no struct")
	wrongTags[*order](t, none, "is no struct")
	wrongTags[order](t, dynamoitem.Config{PartitionKey: "customer"}, "must be empty")
	wrongTags[order](t, dynamoitem.Config{SortKey: "order"}, "must be empty")
	wrongTags[order](t, dynamoitem.Config{Actions: map[string]dynamoitem.Action{"x": dynamoitem.SignOnly}}, "must be empty")
	wrongTags[struct{ A string }](t, none, "Config.PartitionKey is empty")
	wrongTags[struct {
		A string `seal:"partition,encrypt"`
	}](t, none, `Config.PartitionKey: "A" is ENCRYPT_AND_SIGN`)
	// All at once.
	wrongTags[struct {
		A     string `seal:"partition"`
		B     string `seal:"partition"`
		C     string `seal:"sign,encrypt"`
		D     string `seal:"hide"`
		E     string `dynamodbav:"C"`
		F     string `dynamodbav:"-" seal:"sign"`
		g     string `seal:"sign"`
		audit `seal:"sign"`
	}](t, none, `field B: there are two fields with "partition"`, "field C: seal:\"sign,encrypt\" has more than one action",
		`field D: seal:"hide": there is no word "hide"`, `field E: another field has the attribute "C" too`,
		"field F: it has an action, and is not in items", "field g: it has an action", "field audit: an embedded struct has no action")
	wrongTags[loop](t, none, "is embedded in itself")
}

// refusing does not marshal, and its reason quotes a value.
type refusing string

var errRefusing = errors.New("secret-value is refused")

func (refusing) MarshalDynamoDBAttributeValue() (types.AttributeValue, error) {
	return nil, errRefusing
}

// TestRecordsThatDoNotFit has reasons that quote values be kept out of what is printed.
func TestRecordsThatDoNotFit(t *testing.T) {
	type bad struct {
		ID     string `seal:"partition"`
		Secret refusing
	}
	_, err := newRecords[bad](t).Encrypt(t.Context(), &bad{ID: "1"})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	require.ErrorIs(t, err, errRefusing)
	assert.NotContains(t, err.Error(), "secret-value")
	_, err = newRecords[order](t).Encrypt(t.Context(), nil)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)

	type wide struct {
		ID     string `seal:"partition"`
		Number int64
	}
	type narrow struct {
		ID     string `seal:"partition"`
		Number int8
	}
	item, err := newRecords[wide](t).Encrypt(t.Context(), &wide{"1", 98765})
	require.NoError(t, err)
	_, err = newRecords[narrow](t).Decrypt(t.Context(), item)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	assert.NotContains(t, err.Error(), "98765")
	var e *dynamoitem.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "Number", e.Attribute)
	var reason *attributevalue.UnmarshalTypeError
	require.ErrorAs(t, err, &reason)
}

// TestRecordsTakeExactNames has nobody who can write to the table set a field by an unsigned
// attribute whose name differs in its case alone, as package attributevalue would let them.
func TestRecordsTakeExactNames(t *testing.T) {
	type row struct {
		ID     string `seal:"partition"`
		Secret string `dynamodbav:"x_secret"`
		Gone   string `dynamodbav:"x_gone,omitempty" seal:"sign"`
	}
	r, err := dynamoitem.NewRecords[row](recordsManager(t), dynamoitem.Config{Table: "rows", UnsignedPrefix: "X_"})
	require.NoError(t, err)
	item, err := r.Encrypt(t.Context(), &row{ID: "1", Secret: "s"})
	require.NoError(t, err)
	for _, name := range []string{"X_secret", "X_SECRET", "X_gone"} {
		item[name] = &types.AttributeValueMemberS{Value: "forged"}
	}
	for range 20 { // the order of maps is another each time
		got, err := r.Decrypt(t.Context(), item)
		require.NoError(t, err)
		require.Equal(t, &row{ID: "1", Secret: "s"}, got)
	}

	// One that does not fit is not to blame either.
	type number struct {
		ID string `seal:"partition"`
		N  int    `dynamodbav:"x_n"`
	}
	numbers, err := dynamoitem.NewRecords[number](recordsManager(t), dynamoitem.Config{Table: "rows", UnsignedPrefix: "X_"})
	require.NoError(t, err)
	item, err = numbers.Encrypt(t.Context(), &number{"1", 2})
	require.NoError(t, err)
	item["X_n"] = &types.AttributeValueMemberS{Value: "forged"}
	got, err := numbers.Decrypt(t.Context(), item)
	require.NoError(t, err)
	assert.Equal(t, &number{"1", 2}, got)
}

// whole marshals itself, as an item that its tags do not tell.
type whole struct {
	ID   string `seal:"partition"`
	Rest map[string]string
}

func (w whole) MarshalDynamoDBAttributeValue() (types.AttributeValue, error) {
	m := map[string]types.AttributeValue{"ID": &types.AttributeValueMemberS{Value: w.ID}}
	for name, s := range w.Rest {
		m[name] = &types.AttributeValueMemberS{Value: s}
	}
	return &types.AttributeValueMemberM{Value: m}, nil
}

func (w *whole) UnmarshalDynamoDBAttributeValue(v types.AttributeValue) error {
	w.Rest = map[string]string{}
	for name, v := range v.(*types.AttributeValueMemberM).Value {
		if s := v.(*types.AttributeValueMemberS).Value; name == "ID" {
			w.ID = s
		} else {
			w.Rest[name] = s
		}
	}
	return nil
}

// TestRecordsThatUnmarshalThemselves has all attributes be given to a T that does so.
func TestRecordsThatUnmarshalThemselves(t *testing.T) {
	r, err := dynamoitem.NewRecords[whole](recordsManager(t), dynamoitem.Config{Table: "rows", UnsignedPrefix: ":"})
	require.NoError(t, err)
	want := &whole{"1", map[string]string{"Rest": "s", ":a": "b"}}
	item, err := r.Encrypt(t.Context(), want)
	require.NoError(t, err)
	got, err := r.Decrypt(t.Context(), item)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

type hidden struct{ Note string }

// TestWrongPointers has structs refused that package attributevalue panics at.
func TestWrongPointers(t *testing.T) {
	wrongTags[struct {
		ID string `seal:"partition"`
		*hidden
	}](t, dynamoitem.Config{}, "field hidden: package attributevalue cannot set")
}

type person struct {
	Name string `seal:"sign"`
	SSN  string `dynamodbav:"ssn" seal:"encrypt"`
}

type tree struct {
	Leaf     person
	Branches []tree
}

// TestWrongTagsWithin has no tag be overlooked, so that a field is not written in the clear
// that one says is to be encrypted.
func TestWrongTagsWithin(t *testing.T) {
	const says = "field A: it is one attribute, and field SSN of dynamoitem_test.person has an action"
	wrongTags[struct {
		ID string `seal:"partition"`
		A  person `seal:"sign"`
	}](t, dynamoitem.Config{}, says, "field Name of")
	wrongTags[struct {
		ID string `seal:"partition"`
		A  map[string][]*[2]person
	}](t, dynamoitem.Config{}, says)
	wrongTags[struct {
		ID string `seal:"partition"`
		A  *tree  `seal:"unsigned"`
	}](t, dynamoitem.Config{}, says)

	// A tag of another package's is none of these.
	newRecords[struct {
		ID string `seal:"partition"`
		A  struct {
			Row string `seal:",row"`
			B   string `seal:"b"`
		}
	}](t)
}
