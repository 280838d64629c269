package dynamoitem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
)

// An indexed is a table in memory, with indexes, as far as Find needs one. It has the items
// in one order for each index, and pages of Limit rows.
type indexed struct {
	API
	items   map[string]item      // by ID, as they were put
	indexes map[string][2]string // the attributes of their keys; the sort key may be empty
	queries []*dynamodb.QueryInput
	fail    func() error // what the next query returns, if not nil
}

func (x *indexed) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	x.items[idOf(in.Item)] = in.Item
	return &dynamodb.PutItemOutput{}, nil
}

func (x *indexed) DeleteItem(_ context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	delete(x.items, idOf(in.Key))
	return &dynamodb.DeleteItemOutput{}, nil
}

// UpdateItem does SET hits = :v.
func (x *indexed) UpdateItem(_ context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	if old, has := x.items[idOf(in.Key)]; has {
		it := maps.Clone(old)
		it["hits"] = in.ExpressionAttributeValues[":v"]
		x.items[idOf(in.Key)] = it
	}
	return &dynamodb.UpdateItemOutput{}, nil
}

func (x *indexed) Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	return &dynamodb.ScanOutput{Items: slices.Collect(maps.Values(x.items))}, nil
}

func (x *indexed) Query(ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	if x.fail != nil {
		if err := x.fail(); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	kept := *in
	x.queries = append(x.queries, &kept)
	key, known := x.indexes[*in.IndexName]
	if !known {
		return nil, errors.New("no such index")
	}
	names, values := in.ExpressionAttributeNames, in.ExpressionAttributeValues
	condition, isOn := strings.CutPrefix(*in.KeyConditionExpression, "#aws_dbe_p = :aws_dbe_p")
	if !isOn || names["#aws_dbe_p"] != key[0] {
		return nil, fmt.Errorf("%s: not on the index's partition key", *in.KeyConditionExpression)
	}
	matches := func(it item) bool { return true }
	switch condition {
	case "":
	case " AND #aws_dbe_s = :aws_dbe_s":
		matches = func(it item) bool { return same(it[key[1]], values[":aws_dbe_s"]) }
	case " AND begins_with(#aws_dbe_s, :aws_dbe_s)":
		matches = func(it item) bool { return strings.HasPrefix(textOf(it[key[1]]), textOf(values[":aws_dbe_s"])) }
	case " AND #y < :y": // of years, which have as many digits
		matches = func(it item) bool { return textOf(it[names["#y"]]) < textOf(values[":y"]) }
	default:
		return nil, fmt.Errorf("%s is not understood", condition)
	}
	if in.FilterExpression != nil && *in.FilterExpression != "hits = :hits" {
		return nil, fmt.Errorf("%s is not understood", *in.FilterExpression)
	}
	order := func(a, b item) int {
		return cmp.Or(strings.Compare(textOf(a[key[1]]), textOf(b[key[1]])), strings.Compare(idOf(a), idOf(b)))
	}
	if !*in.ScanIndexForward {
		forward := order
		order = func(a, b item) int { return forward(b, a) }
	}
	var rows []item
	for _, it := range x.items {
		_, hasPartition := it[key[0]]
		_, hasSort := it[key[1]]
		if hasPartition && (hasSort || key[1] == "") && same(it[key[0]], values[":aws_dbe_p"]) && matches(it) {
			rows = append(rows, it)
		}
	}
	slices.SortFunc(rows, order)
	if in.ExclusiveStartKey != nil {
		rows = slices.DeleteFunc(rows, func(it item) bool { return order(it, in.ExclusiveStartKey) <= 0 })
	}
	out := &dynamodb.QueryOutput{}
	if in.Limit != nil && len(rows) >= int(*in.Limit) { // also if no row follows, as DynamoDB does
		rows = rows[:*in.Limit]
		last := rows[len(rows)-1]
		out.LastEvaluatedKey = item{"id": last["id"]}
		for _, attribute := range key {
			if attribute != "" {
				out.LastEvaluatedKey[attribute] = last[attribute]
			}
		}
	}
	for _, it := range rows {
		if in.FilterExpression == nil || same(it["hits"], values[":hits"]) {
			out.Items = append(out.Items, it)
		}
	}
	return out, nil
}

func idOf(it item) string { return textOf(it["id"]) }

// textOf returns a string, or a number of four digits.
func textOf(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return strings.TrimSuffix(v.Value, ".0")
	}
	return ""
}

func same(a, b types.AttributeValue) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && textOf(a) == textOf(b)
}

// residents is a configuration with short beacons, so that many values share one.
func residents(t testing.TB) Config {
	return Config{
		Table: "residents", PartitionKey: "id", Unsigned: []string{"hits"}, Suite: keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384,
		BeaconKeys: beaconStore(t), BeaconKeyID: "t1",
		Actions: map[string]Action{
			"id": SignOnly, "tenant": SignOnly, "year": SignOnly, "ssn": EncryptAndSign, "zip": EncryptAndSign, "city": EncryptAndSign, "langs": EncryptAndSign,
		},
		Beacons: map[string]Beacon{
			"ssn": {Bits: 2}, "by zip": {Attribute: "zip", Bits: 1}, "city": {Bits: 1, PartOnly: true}, "langs": {Bits: 2, Set: true},
			"place": {Split: '|', Parts: []BeaconPart{{Name: "year", Prefix: "Y-"}, {Name: "city", Prefix: "C-", Optional: true}, {Name: "by zip", Prefix: "Z-"}}},
			"home":  {Split: '|', Parts: []BeaconPart{{Name: "city", Prefix: "C-"}, {Name: "tenant", Prefix: "T-", Optional: true}, {Name: "year", Prefix: "Y-", Optional: true}}},
		},
	}
}

// residentIndexes has the names of what the indexes' keys are, as FindInput has them.
var residentIndexes = map[string][2]string{
	"ssn": {"ssn", ""}, "ssn year": {"ssn", "year"}, "tenant ssn": {"tenant", "ssn"}, "place": {"place", ""},
	"tenant place": {"tenant", "place"}, "zip place": {"by zip", "place"}, "ssn home": {"ssn", "home"}, "home ssn": {"home", "ssn"},
}

func newIndexed() *indexed {
	x := &indexed{items: map[string]item{}, indexes: map[string][2]string{}}
	for name, key := range residentIndexes {
		for i, k := range key {
			if k != "" && k != "tenant" && k != "year" {
				key[i] = "aws_dbe_b_" + k
			}
		}
		x.indexes[name] = key
	}
	return x
}

func residentClient(t testing.TB, api API, change ...func(*Config)) *Client {
	config := residents(t)
	for _, f := range change {
		f(&config)
	}
	table := newTable(t, manager(t, rawAES(t, "test", "key", make([]byte, 32))), config)
	return newClient(t, api, ClientConfig{Tables: map[string]*Table{"residents": table}})
}

var residentsName = aws.String("residents")

// randomValue returns one of the few values that an attribute has here.
func randomValue(r *rand.Rand, attribute string) types.AttributeValue {
	n := fmt.Sprint(r.IntN(8))
	switch attribute {
	case "tenant":
		return str(fmt.Sprint("t", 1+r.IntN(2)))
	case "year":
		return num([]string{"1980", "1981", "1981.0", "1982"}[r.IntN(4)])
	case "zip": // the number and the text have the same beacon
		return []types.AttributeValue{num(n), str(n)}[r.IntN(2)]
	}
	return str(n)
}

// attributesOf returns the attributes that an item must have to be in an index, and those that
// its key can be made of in addition.
func attributesOf(config *Config, key [2]string) (required, optional []string) {
	for _, name := range key {
		b, isBeacon := config.Beacons[name]
		switch {
		case name == "":
		case !isBeacon:
			required = append(required, name)
		case b.Parts == nil:
			required = append(required, b.of(name))
		}
		for _, p := range b.Parts {
			of := p.Name
			if other, isBeacon := config.Beacons[of]; isBeacon {
				of = other.of(of)
			}
			if p.Optional {
				optional = append(optional, of)
			} else {
				required = append(required, of)
			}
		}
	}
	return required, optional
}

// TestFindIsAScan writes items at random, and finds the same ones in an index as among all
// items, whatever is wanted.
func TestFindIsAScan(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"one beacon key":           func(*Config) {},
		"a beacon key of a tenant": tenants(t),
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			x := newIndexed()
			c := residentClient(t, x, change)
			config := residents(t)
			found, shared := 0, 0
			for range 600 {
				mutate(t, r, c)
				if r.IntN(3) > 0 {
					continue
				}
				all := scanAll(t, c)
				in := randomFind(r, &config, all)
				x.queries = nil
				got := findAll(t, c, &in)
				assert.Equal(t, wantedOf(all, &config, &in), got, "%+v", in)
				found += len(got)
				for _, q := range x.queries {
					q.ExclusiveStartKey, q.Limit = nil, nil
				}
				rows, err := x.Query(t.Context(), x.queries[0])
				require.NoError(t, err)
				shared += len(rows.Items) - len(got)
			}
			assert.Greater(t, found, 100)
			assert.Greater(t, shared, 100, "nothing was left out")
		})
	}
}

// tenants gives each tenant a beacon key.
func tenants(t testing.TB) func(*Config) {
	store := branchkeytest.NewPlaintextStoreForTests()
	for _, id := range []string{"t1", "t2"} {
		require.NoError(t, store.Add(id, "00000000-0000-4000-8000-000000000001", make([]byte, 32), []byte(strings.Repeat(id+"______", 4))))
	}
	return func(c *Config) {
		c.BeaconKeys, c.BeaconKeyID = store.KeyStore(), ""
		c.BeaconKeySupplier = func(it item) (string, error) {
			if _, has := it["tenant"]; !has {
				return "", errNoTenant
			}
			return textOf(it["tenant"]), nil
		}
	}
}

var errNoTenant = errors.New("no tenant")

// mutate puts, updates or deletes an item.
func mutate(t *testing.T, r *rand.Rand, c *Client) {
	key := item{"id": str(fmt.Sprint("p", r.IntN(60)))}
	switch r.IntN(8) {
	case 0:
		_, err := c.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: residentsName, Key: key})
		require.NoError(t, err)
	case 1:
		_, err := c.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: residentsName, Key: key,
			UpdateExpression: aws.String("SET hits = :v"), ExpressionAttributeValues: item{":v": num(fmt.Sprint(r.IntN(2)))}})
		var missing *types.ConditionalCheckFailedException
		if !errors.As(err, &missing) {
			require.NoError(t, err)
		}
	default:
		it := item{"id": key["id"], "tenant": randomValue(r, "tenant"), "hits": num("0")}
		for _, attribute := range []string{"year", "ssn", "zip", "city"} {
			if r.IntN(6) > 0 {
				it[attribute] = randomValue(r, attribute)
			}
		}
		_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: residentsName, Item: it})
		require.NoError(t, err)
	}
}

// randomFind returns what can be asked of a random index: some values are those of one of the
// items.
func randomFind(r *rand.Rand, config *Config, all []item) FindInput {
	var like item
	if len(all) > 0 && r.IntN(4) > 0 {
		like = all[r.IntN(len(all))]
	}
	names := slices.Sorted(maps.Keys(residentIndexes))
	index := names[r.IntN(len(names))]
	key := residentIndexes[index]
	in := FindInput{
		TableName: "residents", IndexName: index, PartitionKey: key[0], SortKey: key[1],
		Want: item{}, PageSize: int32(r.IntN(4)), Descending: r.IntN(2) == 0,
	}
	ask := func(attribute string, optional bool) {
		if _, has := in.Want[attribute]; has || slices.Contains(in.Without, attribute) {
			return
		}
		v, has := like[attribute]
		switch {
		case optional && !has && (like != nil || r.IntN(2) == 0):
			in.Without = append(in.Without, attribute)
		case has:
			in.Want[attribute] = v
		default:
			in.Want[attribute] = randomValue(r, attribute)
		}
	}
	ask("tenant", false)
	switch {
	case index == "ssn year" && r.IntN(2) == 0:
		in.SortKey, in.KeyConditionExpression = "", "#y < :y"
		in.ExpressionAttributeNames, in.ExpressionAttributeValues = map[string]string{"#y": "year"}, item{":y": num("1982")}
	case r.IntN(4) == 0:
		in.FilterExpression, in.ExpressionAttributeValues = "hits = :hits", item{":hits": num("1")}
	}
	required, _ := attributesOf(config, [2]string{in.PartitionKey})
	for _, attribute := range required {
		ask(attribute, false)
	}
	_, optional := attributesOf(config, [2]string{in.PartitionKey})
	for _, attribute := range optional {
		ask(attribute, true)
	}
	if sort, isBeacon := config.Beacons[in.SortKey]; isBeacon && sort.Parts != nil {
		parts := sort.Parts[:1+r.IntN(len(sort.Parts))]
		if r.IntN(4) == 0 { // of any, but with the first
			parts = []BeaconPart{parts[0], sort.Parts[len(sort.Parts)-1]}
		}
		for _, p := range parts {
			of, _ := attributesOf(config, [2]string{p.Name})
			ask(of[0], p.Optional)
		}
	} else {
		required, _ := attributesOf(config, [2]string{in.SortKey})
		for _, attribute := range required {
			ask(attribute, false)
		}
	}
	if r.IntN(4) == 0 {
		ask([]string{"ssn", "zip", "city"}[r.IntN(3)], true)
	}
	return in
}

// findAll returns the IDs of what Find finds, sorted.
func findAll(t *testing.T, c *Client, in *FindInput) []string {
	ids := []string{}
	for it, err := range c.Find(t.Context(), in) {
		require.NoError(t, err, "%+v", in)
		ids = append(ids, idOf(it))
	}
	slices.Sort(ids)
	return ids
}

// scanAll returns all items, decrypted.
func scanAll(t *testing.T, c *Client) []item {
	out, err := c.Scan(t.Context(), &dynamodb.ScanInput{TableName: residentsName})
	require.NoError(t, err)
	slices.SortFunc(out.Items, func(a, b item) int { return strings.Compare(idOf(a), idOf(b)) })
	return out.Items
}

// wantedOf returns the IDs of those items that are in the index, and are what is wanted.
func wantedOf(all []item, config *Config, in *FindInput) []string {
	ids := []string{}
	required, _ := attributesOf(config, residentIndexes[in.IndexName])
	for _, it := range all {
		found := !slices.ContainsFunc(required, func(attribute string) bool { return it[attribute] == nil }) &&
			!slices.ContainsFunc(in.Without, func(attribute string) bool { return it[attribute] != nil })
		for attribute, v := range in.Want {
			found = found && same(it[attribute], v)
		}
		switch {
		case in.KeyConditionExpression != "":
			found = found && textOf(it["year"]) < "1982"
		case in.FilterExpression != "":
			found = found && same(it["hits"], num("1"))
		}
		if found {
			ids = append(ids, idOf(it))
		}
	}
	slices.Sort(ids)
	return ids
}

// put puts residents p00, p01 and so on with the given social security numbers.
func put(t *testing.T, c *Client, ssn ...string) {
	for i, n := range ssn {
		it := item{"id": str(fmt.Sprintf("p%02d", i)), "tenant": str("t1"), "year": num("1980"), "ssn": str(n)}
		_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: residentsName, Item: it})
		require.NoError(t, err)
	}
}

// bySSN returns what finds residents by number in pages of two rows.
func bySSN(ssn string) *FindInput {
	return &FindInput{TableName: "residents", IndexName: "ssn", PartitionKey: "ssn", Want: item{"ssn": str(ssn)}, PageSize: 2}
}

// TestFindReadsPagesAsNeeded ends after the first item, and goes on in another search.
func TestFindReadsPagesAsNeeded(t *testing.T) {
	x := newIndexed()
	counter := &keyCounter{BeaconKeys: residents(t).BeaconKeys}
	c := residentClient(t, x, func(c *Config) { c.BeaconKeys = counter })
	put(t, c, "1", "1", "1", "1", "1")
	counter.asked = nil
	in := bySSN("1")
	before := *in
	search := c.Find(t.Context(), in)
	assert.Empty(t, x.queries, "it began before it was used")
	assert.Empty(t, counter.asked)
	for it, err := range search {
		require.NoError(t, err)
		assert.Equal(t, "p00", idOf(it))
		assert.Equal(t, item{"id": str("p00"), "tenant": str("t1"), "year": num("1980"), "ssn": str("1")}, it)
		break
	}
	assert.Len(t, x.queries, 1)
	var ids []string
	for it, err := range search {
		require.NoError(t, err)
		ids = append(ids, idOf(it))
		assert.Len(t, x.queries, 1+(len(ids)+1)/2, "a page was read before it was needed, or twice")
	}
	assert.Equal(t, []string{"p00", "p01", "p02", "p03", "p04"}, ids)
	assert.Len(t, x.queries, 4)
	assert.Len(t, counter.asked, 2, "one key for each search")
	assert.Equal(t, before, *in)
	for _, q := range x.queries {
		assert.Equal(t, types.SelectAllAttributes, q.Select)
		assert.Equal(t, int32(2), *q.Limit)
		assert.Nil(t, q.ConsistentRead)
	}

	in.Descending, in.ConsistentRead, in.PageSize = true, true, 0
	x.queries, ids = nil, nil
	for it, err := range c.Find(t.Context(), in) {
		require.NoError(t, err)
		ids = append(ids, idOf(it))
	}
	assert.Equal(t, []string{"p04", "p03", "p02", "p01", "p00"}, ids)
	assert.True(t, *x.queries[0].ConsistentRead)
	assert.Nil(t, x.queries[0].Limit)
}

// TestFindYieldsBadRows has rows that do not verify on two pages, of which one is altered to
// look as what is not wanted.
func TestFindYieldsBadRows(t *testing.T) {
	x := newIndexed()
	c := residentClient(t, x)
	put(t, c, "1", "1", "1", "1", "1")
	x.items["p01"]["year"] = num("1981")
	x.items["p04"]["tenant"] = str("t2")
	var ids, bad []string
	for it, err := range c.Find(t.Context(), bySSN("1")) {
		if err == nil {
			ids = append(ids, idOf(it))
			continue
		}
		assert.Nil(t, it)
		var one *ItemError
		require.ErrorAs(t, err, &one)
		require.ErrorIs(t, err, envelope.ErrAuthentication)
		assert.Equal(t, "residents", one.Table)
		bad = append(bad, fmt.Sprint(one.Index))
	}
	assert.Equal(t, []string{"p00", "p02", "p03"}, ids)
	assert.Equal(t, []string{"1", "4"}, bad)

	// A caller that ends at the first of them ends.
	x.queries = nil
	for _, err := range c.Find(t.Context(), bySSN("1")) {
		if err != nil {
			break
		}
	}
	assert.Len(t, x.queries, 1)
}

// TestFindIsNotFooled has a row with the beacon of another one, written by somebody who can
// write to the table, and one whose beacon was taken away.
func TestFindIsNotFooled(t *testing.T) {
	x := newIndexed()
	c := residentClient(t, x, func(c *Config) { c.Beacons["ssn"] = Beacon{Bits: 60} })
	put(t, c, "1", "2", "1")
	x.items["p01"]["aws_dbe_b_ssn"] = x.items["p00"]["aws_dbe_b_ssn"]
	delete(x.items["p02"], "aws_dbe_b_ssn")
	assert.Equal(t, []string{"p00"}, findAll(t, c, bySSN("1")))
	assert.Len(t, x.items, 3)
}

// TestFindEndsWithErrors has errors that end a search, at once or on a later page.
func TestFindEndsWithErrors(t *testing.T) {
	errThrottled := &types.ProvisionedThroughputExceededException{Message: aws.String("slow down")}
	// search returns how many items came before the one error.
	search := func(t *testing.T, ctx context.Context, c *Client, each func()) (n int, ended error) {
		for it, err := range c.Find(ctx, bySSN("1")) {
			require.NoError(t, ended, "it went on after an error")
			if ended = err; err != nil {
				assert.Nil(t, it)
				continue
			}
			n++
			each()
		}
		return n, ended
	}
	setUp := func(t *testing.T) (*indexed, *Client) {
		x := newIndexed()
		c := residentClient(t, x)
		put(t, c, "1", "1", "1", "1", "1")
		return x, c
	}
	t.Run("DynamoDB's on the second page", func(t *testing.T) {
		x, c := setUp(t)
		x.fail = func() error {
			if len(x.queries) > 0 {
				return errThrottled
			}
			return nil
		}
		n, err := search(t, t.Context(), c, func() {})
		assert.Equal(t, 2, n)
		assert.Same(t, errThrottled, err)
	})
	t.Run("done before", func(t *testing.T) {
		x, c := setUp(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n, err := search(t, ctx, c, func() {})
		assert.Zero(t, n)
		require.ErrorIs(t, err, context.Canceled)
		assert.Empty(t, x.queries)
	})
	t.Run("done within a page", func(t *testing.T) {
		x, c := setUp(t)
		ctx, cancel := context.WithCancel(t.Context())
		n, err := search(t, ctx, c, cancel)
		assert.Equal(t, 1, n)
		assert.Equal(t, context.Canceled, err)
		assert.Len(t, x.queries, 1)
	})
	t.Run("done while a page is decrypted", func(t *testing.T) {
		x := newIndexed()
		put(t, residentClient(t, x), "1", "1", "1")
		ctx, cancel := context.WithCancel(t.Context())
		config := residents(t)
		slow := newTable(t, untilDone{manager(t, rawAES(t, "test", "key", make([]byte, 32))), cancel}, config)
		c := newClient(t, x, ClientConfig{Tables: map[string]*Table{"residents": slow}})
		n, err := search(t, ctx, c, func() {})
		assert.Zero(t, n)
		assert.Equal(t, context.Canceled, err, "not an error for each row")
	})
	t.Run("no beacon key", func(t *testing.T) {
		x := newIndexed()
		c := residentClient(t, x, func(c *Config) { c.BeaconKeys = noKeys{} })
		n, err := search(t, t.Context(), c, func() {})
		assert.Zero(t, n)
		var e *Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "Find", e.Op)
		require.ErrorContains(t, err, "no key")
		assert.Empty(t, x.queries)
	})
	t.Run("no tenant", func(t *testing.T) {
		c := residentClient(t, newIndexed(), tenants(t))
		_, err := search(t, t.Context(), c, func() {})
		require.ErrorIs(t, err, errNoTenant)
	})
}

// untilDone is a manager that ends ctx, and fails for it.
type untilDone struct {
	keyring.MaterialsManager
	cancel func()
}

func (u untilDone) DecryptionMaterials(ctx context.Context, _ keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	u.cancel()
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestFindRefuses(t *testing.T) {
	x := newIndexed()
	config := residents(t)
	config.BeaconKeys = noKeys{}
	table := newTable(t, manager(t, rawAES(t, "test", "key", make([]byte, 32))), config)
	c := newClient(t, x, ClientConfig{Tables: map[string]*Table{"residents": table}, Unencrypted: []string{"logs"}})
	place := func(want item) func(*FindInput) {
		return func(in *FindInput) { in.PartitionKey, in.Want = "place", want }
	}
	under := func(sort string, want item) func(*FindInput) {
		return func(in *FindInput) {
			in.SortKey = sort
			maps.Copy(in.Want, want)
		}
	}
	for name, c2 := range map[string]struct {
		change    func(*FindInput)
		attribute string
		says      string
	}{
		"no table":            {func(in *FindInput) { in.TableName = "" }, "", "names no table"},
		"unknown table":       {func(in *FindInput) { in.TableName = "resident" }, "", "the client does not know it"},
		"unencrypted":         {func(in *FindInput) { in.TableName = "logs" }, "", "it has no beacons"},
		"no index":            {func(in *FindInput) { in.IndexName = "" }, "", "FindInput.IndexName is empty"},
		"no partition key":    {func(in *FindInput) { in.PartitionKey = "" }, "", "FindInput.PartitionKey is empty"},
		"one key twice":       {under("ssn", nil), "", "FindInput.SortKey is PartitionKey"},
		"page of less than 0": {func(in *FindInput) { in.PageSize = -1 }, "", "FindInput.PageSize is -1"},
		"two sort keys": {func(in *FindInput) {
			in.SortKey, in.Want["year"], in.KeyConditionExpression = "year", num("1980"), "#y < :y"
		}, "", "both for the index's sort key"},
		"reserved name":     {func(in *FindInput) { in.ExpressionAttributeNames = map[string]string{"#aws_dbe_p": "year"} }, "", "names that begin with #aws_dbe_ are reserved"},
		"reserved value":    {func(in *FindInput) { in.ExpressionAttributeValues = item{":aws_dbe_p": str("x")} }, "", "names that begin with :aws_dbe_ are reserved"},
		"nothing wanted":    {func(in *FindInput) { in.Want = nil }, "ssn", "FindInput.Want must have it, since FindInput.PartitionKey is, or is of"},
		"nil wanted":        {func(in *FindInput) { in.Want["ssn"] = nil }, "ssn", "the value is nil"},
		"unknown wanted":    {func(in *FindInput) { in.Want["sn"] = str("plaintext") }, "sn", "Config.Actions has no action for it"},
		"unknown without":   {func(in *FindInput) { in.Without = []string{"sn"} }, "sn", "Config.Actions has no action for it"},
		"wanted and not":    {func(in *FindInput) { in.Without = []string{"ssn"} }, "ssn", "in FindInput.Want and in Without"},
		"no such beacon":    {func(in *FindInput) { in.PartitionKey = "sn" }, "sn", "FindInput.PartitionKey: it is neither a beacon nor an attribute"},
		"encrypted":         {func(in *FindInput) { in.PartitionKey = "zip" }, "zip", "give the name of its beacon"},
		"encrypted sort":    {under("zip", item{"zip": str("plaintext")}), "zip", "FindInput.SortKey: it is encrypted"},
		"part only":         {func(in *FindInput) { in.PartitionKey, in.Want = "city", item{"city": str("plaintext")} }, "", `beacon "city" is PartOnly`},
		"set":               {func(in *FindInput) { in.PartitionKey, in.Want = "langs", item{"langs": str("plaintext")} }, "", "a filter of contains() and the value that Table.Beacon returns"},
		"readable, unasked": {under("year", nil), "year", "since FindInput.SortKey is, or is of"},
		"no beacon": {func(in *FindInput) {
			in.PartitionKey, in.SortKey, in.Want = "tenant", "year", item{"tenant": str("t1"), "year": num("1980")}
		}, "", "neither PartitionKey nor SortKey is a beacon: use Query"},
		"part missing":           {place(item{"year": num("1980"), "city": str("plaintext")}), "zip", "FindInput.Want must have it"},
		"optional part open":     {place(item{"year": num("1980"), "zip": str("plaintext")}), "city", `beacon "place" is compared as a whole: the attribute must be in Want, or in Without`},
		"first part missing":     {under("place", item{"zip": str("plaintext")}), "year", `beacon "place" is compared from its beginning: the attribute must be in Want`},
		"without a needed part":  {func(in *FindInput) { in.SortKey, in.Without = "place", []string{"year"} }, "year", `items without it do not have the beacon "place"`},
		"encrypted in a filter":  {func(in *FindInput) { in.FilterExpression = "zip = :z" }, "zip", "FilterExpression: it is encrypted"},
		"encrypted in condition": {func(in *FindInput) { in.KeyConditionExpression = "zip = :z" }, "zip", "KeyConditionExpression: it is encrypted"},
		"unread condition":       {func(in *FindInput) { in.KeyConditionExpression = "year = 'plaintext'" }, "", "cannot be read: at byte 7"},
		"split in a value":       {under("place", item{"year": str("plain|text")}), "year", "which separates parts"},
		"binary part":            {under("place", item{"year": bin("plaintext")}), "year", "text, a number, a boolean or null"},
	} {
		t.Run(name, func(t *testing.T) {
			in := &FindInput{TableName: "residents", IndexName: "ssn", PartitionKey: "ssn", Want: item{"ssn": str("1")}}
			c2.change(in)
			finder := c
			if name == "split in a value" || name == "binary part" { // found with a key at hand
				finder = residentClient(t, x)
			}
			n := 0
			for it, err := range finder.Find(t.Context(), in) {
				n++
				assert.Nil(t, it)
				require.ErrorIs(t, err, keyring.ErrInvalidArgument)
				require.ErrorContains(t, err, c2.says)
				var e *Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, "Find", e.Op)
				assert.Equal(t, c2.attribute, e.Attribute)
				assert.NotContains(t, err.Error(), "plaintext")
				assert.NotContains(t, err.Error(), "plain|text")
			}
			assert.Equal(t, 1, n)
			assert.Empty(t, x.queries)
		})
	}
	for _, err := range c.Find(t.Context(), nil) {
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	}
}

// TestFindJoinsConditions has the conditions of which one is the caller's.
func TestFindJoinsConditions(t *testing.T) {
	var sent []*dynamodb.QueryInput
	f := &fake{answer: func(in any) (any, error) {
		sent = append(sent, in.(*dynamodb.QueryInput))
		return &dynamodb.QueryOutput{}, nil
	}}
	c := residentClient(t, f)
	in := bySSN("1")
	in.KeyConditionExpression, in.FilterExpression = "#y BETWEEN :from AND :to OR #y = :y", "hits > :from"
	in.ExpressionAttributeNames = map[string]string{"#y": "year"}
	in.ExpressionAttributeValues = item{":from": num("1"), ":to": num("2"), ":y": num("3")}
	assert.Empty(t, findAll(t, c, in))
	require.Len(t, sent, 1)
	q := sent[0]
	assert.Equal(t, "#aws_dbe_p = :aws_dbe_p AND (#y BETWEEN :from AND :to OR #y = :y)", *q.KeyConditionExpression)
	assert.Equal(t, "hits > :from", *q.FilterExpression)
	assert.Equal(t, map[string]string{"#y": "year", "#aws_dbe_p": "aws_dbe_b_ssn"}, q.ExpressionAttributeNames)
	assert.Len(t, q.ExpressionAttributeValues, 4)
	assert.Len(t, in.ExpressionAttributeNames, 1, "the caller's was changed")
	assert.Len(t, in.ExpressionAttributeValues, 3)
}
