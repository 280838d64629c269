package dynamoitem

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/faulttest"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

var errFault = faulttest.Err

// A fault is a way to fail of what others give.
type fault struct {
	name string

	// fails is called with the error of the work that was done, and returns that of the call.
	fails func(f *faulty, err error) error

	is     error // that the library must return then
	after  bool  // it fails when the work has been done
	late   bool  // the call itself does not fail
	panics bool  // with errFault
}

// kinds are the faults that there are, each before the work is done and behind it.
func kinds() (all []fault) {
	throttled := &types.ProvisionedThroughputExceededException{Message: aws.String("slow down")}
	for _, k := range []fault{
		{name: "error", is: errFault},
		{name: "end", is: io.EOF},
		{name: "deadline", is: context.DeadlineExceeded},
		{name: "unavailable", is: keyring.ErrUnavailable},
		{name: "throttled", is: throttled},
		{name: "cancel", is: context.Canceled, fails: func(f *faulty, _ error) error {
			f.cancel()
			return context.Canceled
		}},
		{name: "panic", is: errFault, panics: true, fails: func(*faulty, error) error { panic(errFault) }},
	} {
		if k.fails == nil {
			k.fails = func(*faulty, error) error { return k.is }
		}
		all = append(all, k)
		k.name, k.after = k.name+", when it was done", true
		all = append(all, k)
	}
	return append(all, fault{name: "cancel behind it", is: context.Canceled, after: true, late: true, fails: func(f *faulty, err error) error {
		f.cancel()
		return err
	}})
}

// What fails.
const (
	atDynamoDB = "DynamoDB"
	atEncrypt  = "a data key to encrypt with"
	atDecrypt  = "a data key to decrypt with"
	atBeacon   = "a beacon key"
)

// A faulty is all that a table and a client are given by others: DynamoDB, a keyring, a manager
// and beacon keys. It fails at one call, and works before and after it.
type faulty struct {
	fault
	db      *dynamo
	keyring keyring.Keyring
	manager keyring.MaterialsManager // over the faulty as keyring
	beacons BeaconKeys
	cancel  func()

	mu      sync.Mutex
	left    int    // calls before
	at      string // what has failed
	keys    [][]byte
	derives []*branchkey.BeaconKey
}

func (f *faulty) call(ctx context.Context, at string, work func() error) error {
	f.mu.Lock()
	f.left--
	hit := f.left == -1
	if hit {
		f.at = at
	}
	f.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !hit:
		return work()
	case f.after:
		return f.fails(f, work())
	}
	return f.fails(f, nil)
}

// keep remembers keys that must have been cleared when an operation has ended.
func (f *faulty) keep(keys ...[]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = append(f.keys, keys...)
}

func (f *faulty) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	defer func() { f.keep(m.DataKey) }()
	return f.call(ctx, atEncrypt, func() error { return f.keyring.OnEncrypt(ctx, m) })
}

func (f *faulty) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	defer func() { f.keep(m.DataKey) }()
	return f.call(ctx, atDecrypt, func() error { return f.keyring.OnDecrypt(ctx, m, keys) })
}

func (f *faulty) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (m *keyring.EncryptionMaterials, err error) {
	failed := true
	defer func() {
		if failed && m != nil {
			m.Clear()
		}
	}()
	err = f.call(ctx, atEncrypt, func() error { m, err = f.manager.EncryptionMaterials(ctx, req); return err })
	if err != nil {
		return nil, err
	}
	failed = false
	f.keep(append(m.SymmetricSigningKeys, m.DataKey)...)
	return m, nil
}

func (f *faulty) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (m *keyring.DecryptionMaterials, err error) {
	failed := true
	defer func() {
		if failed && m != nil {
			m.Clear()
		}
	}()
	err = f.call(ctx, atDecrypt, func() error { m, err = f.manager.DecryptionMaterials(ctx, req); return err })
	if err != nil {
		return nil, err
	}
	failed = false
	f.keep(m.SymmetricSigningKey, m.DataKey)
	return m, nil
}

func (f *faulty) Beacon(ctx context.Context, id string) (key *branchkey.BeaconKey, err error) {
	err = f.call(ctx, atBeacon, func() error { key, err = f.beacons.Beacon(ctx, id); return err })
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.derives = append(f.derives, key)
	return key, nil
}

func (f *faulty) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return through(ctx, f, in, f.db.getItem)
}
func (f *faulty) PutItem(ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return through(ctx, f, in, f.db.putItem)
}
func (f *faulty) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return through(ctx, f, in, f.db.updateItem)
}
func (f *faulty) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	return through(ctx, f, in, f.db.deleteItem)
}
func (f *faulty) Query(ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return through(ctx, f, in, f.db.query)
}
func (f *faulty) Scan(ctx context.Context, in *dynamodb.ScanInput, _ ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	return through(ctx, f, in, f.db.scan)
}
func (f *faulty) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	return through(ctx, f, in, f.db.batchGetItem)
}
func (f *faulty) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	return through(ctx, f, in, f.db.batchWriteItem)
}
func (f *faulty) TransactGetItems(ctx context.Context, in *dynamodb.TransactGetItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactGetItemsOutput, error) {
	return through(ctx, f, in, f.db.transactGetItems)
}
func (f *faulty) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return through(ctx, f, in, f.db.transactWriteItems)
}

func through[I, O any](ctx context.Context, f *faulty, in *I, work func(*I) (*O, error)) (out *O, err error) {
	if ctx.Err() == nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		f.db.sent = append(f.db.sent, string(text))
	}
	err = f.call(ctx, atDynamoDB, func() error { out, err = work(in); return err })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// A dynamo is a table in memory, as far as the operations below need one. It refuses what has a
// condition.
type dynamo struct {
	items map[string]item // by id, as they were put
	sent  []string
	wrote bool
}

func (d *dynamo) getItem(in *dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
	return &dynamodb.GetItemOutput{Item: d.items[idOf(in.Key)]}, nil
}

func (d *dynamo) refusal(condition *string, id string) error {
	if condition == nil {
		return nil
	}
	return &types.ConditionalCheckFailedException{Item: maps.Clone(d.items[id])}
}

func (d *dynamo) putItem(in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
	id := idOf(in.Item)
	if err := d.refusal(in.ConditionExpression, id); err != nil {
		return nil, err
	}
	old := d.items[id]
	d.items[id], d.wrote = in.Item, true
	return &dynamodb.PutItemOutput{Attributes: old}, nil
}

func (d *dynamo) deleteItem(in *dynamodb.DeleteItemInput) (*dynamodb.DeleteItemOutput, error) {
	id := idOf(in.Key)
	if err := d.refusal(in.ConditionExpression, id); err != nil {
		return nil, err
	}
	old := d.items[id]
	delete(d.items, id)
	d.wrote = true
	return &dynamodb.DeleteItemOutput{Attributes: old}, nil
}

// updateItem does SET hits = :v.
func (d *dynamo) updateItem(in *dynamodb.UpdateItemInput) (*dynamodb.UpdateItemOutput, error) {
	id := idOf(in.Key)
	if in.ReturnValuesOnConditionCheckFailure != "" { // the library always has a condition
		return nil, d.refusal(in.ConditionExpression, id)
	}
	d.update(id, in.ExpressionAttributeValues)
	return &dynamodb.UpdateItemOutput{Attributes: d.items[id]}, nil
}

func (d *dynamo) update(id string, values item) {
	it := maps.Clone(d.items[id])
	it["hits"] = values[":v"]
	d.items[id], d.wrote = it, true
}

func (d *dynamo) all() (all []item) {
	for _, id := range slices.Sorted(maps.Keys(d.items)) {
		all = append(all, d.items[id])
	}
	return all
}

// query has all items, in pages of Limit.
func (d *dynamo) query(in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
	items := d.all()
	if in.ExclusiveStartKey != nil {
		items = items[1+slices.IndexFunc(items, func(it item) bool { return idOf(it) == idOf(in.ExclusiveStartKey) }):]
	}
	out := &dynamodb.QueryOutput{Items: items}
	if in.Limit != nil && len(items) > int(*in.Limit) {
		out.Items = items[:*in.Limit]
		last := out.Items[len(out.Items)-1]
		out.LastEvaluatedKey = item{"id": last["id"], "visit": last["visit"]}
	}
	return out, nil
}

func (d *dynamo) scan(*dynamodb.ScanInput) (*dynamodb.ScanOutput, error) {
	return &dynamodb.ScanOutput{Items: d.all()}, nil
}

func (d *dynamo) batchGetItem(in *dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error) {
	out := &dynamodb.BatchGetItemOutput{Responses: map[string][]item{}}
	for name, keys := range in.RequestItems {
		for _, key := range keys.Keys {
			out.Responses[name] = append(out.Responses[name], d.items[idOf(key)])
		}
	}
	return out, nil
}

// batchWriteItem does all but the last.
func (d *dynamo) batchWriteItem(in *dynamodb.BatchWriteItemInput) (*dynamodb.BatchWriteItemOutput, error) {
	out := &dynamodb.BatchWriteItemOutput{UnprocessedItems: map[string][]types.WriteRequest{}}
	for name, writes := range in.RequestItems {
		last := len(writes) - 1
		for _, w := range writes[:last] {
			if w.PutRequest != nil {
				d.items[idOf(w.PutRequest.Item)] = w.PutRequest.Item
			} else {
				delete(d.items, idOf(w.DeleteRequest.Key))
			}
		}
		d.wrote = true
		out.UnprocessedItems[name] = writes[last:]
	}
	return out, nil
}

func (d *dynamo) transactGetItems(in *dynamodb.TransactGetItemsInput) (*dynamodb.TransactGetItemsOutput, error) {
	out := &dynamodb.TransactGetItemsOutput{}
	for _, one := range in.TransactItems {
		out.Responses = append(out.Responses, types.ItemResponse{Item: d.items[idOf(one.Get.Key)]})
	}
	return out, nil
}

// transactWriteItems refuses what checks a condition, and returns the items that were to be
// written.
func (d *dynamo) transactWriteItems(in *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
	refused := &types.TransactionCanceledException{}
	for _, one := range in.TransactItems {
		_, key, err := targetOf(&one)
		if err != nil {
			return nil, err
		}
		refused.CancellationReasons = append(refused.CancellationReasons, types.CancellationReason{Item: d.items[idOf(key)]})
	}
	if slices.ContainsFunc(in.TransactItems, func(one types.TransactWriteItem) bool { return one.ConditionCheck != nil }) {
		return nil, refused
	}
	for _, one := range in.TransactItems {
		switch {
		case one.Put != nil:
			d.items[idOf(one.Put.Item)] = one.Put.Item
		case one.Delete != nil:
			delete(d.items, idOf(one.Delete.Key))
		case one.Update != nil:
			d.update(idOf(one.Update.Key), one.Update.ExpressionAttributeValues)
		}
	}
	d.wrote = true
	return &dynamodb.TransactWriteItemsOutput{}, nil
}

// An attempt is an operation with its input.
type attempt struct {
	in any
	do func(ctx context.Context) ([]item, error)
}

// An operation is one that faults are tried with.
type operation struct {
	prepare func() attempt
	want    []item              // what comes of it
	writes  func(items itemsBy) // what it does to the table
	keeps   bool                // an output is returned, though an item in it cannot be decrypted
	ends    bool                // a context that is done ends it
}

type itemsBy = map[string]item

// request is an operation of a Client. Items are those in an output, and in an error for a
// condition, which then is what must come.
func request[I, O any](c *Client, call func(*Client, context.Context, *I, ...func(*dynamodb.Options)) (*O, error), input func() *I, items func(*O) []item) func() attempt {
	return func() attempt {
		in := input()
		return attempt{in, func(ctx context.Context) ([]item, error) {
			out, err := call(c, ctx, in)
			if out != nil {
				return items(out), err
			}
			var got []item
			var one *types.ConditionalCheckFailedException
			var many *types.TransactionCanceledException
			switch {
			case errors.As(err, &one):
				got = []item{one.Item}
			case errors.As(err, &many):
				for _, reason := range many.CancellationReasons {
					got = append(got, reason.Item)
				}
			default:
				return nil, err
			}
			var failed *Error
			if !errors.As(err, &failed) {
				err = nil
			}
			return got, err
		}}
	}
}

// changed is a patient who was written anew.
func changed(id string) item {
	it := patient(id)
	it["notes"] = str("secret and new")
	return it
}

// hit is a patient whose hits were set to 2.
func hit(id string) item {
	it := patient(id)
	it["hits"] = num("2")
	return it
}

type visit struct {
	ID    string `dynamodbav:"id" seal:"partition"`
	Visit int    `dynamodbav:"visit" seal:"sort"`
	SSN   string `dynamodbav:"ssn"`
}

func (v *visit) item() item {
	return item{"id": str(v.ID), "visit": num(fmt.Sprint(v.Visit)), "ssn": str(v.SSN)}
}

// operationsOf returns all that a client, its table and records do. Sound reads what they wrote.
func operationsOf(t *testing.T, c *Client, table, sound *Table, records, soundRecords *Records[visit]) map[string]operation {
	a, b, all := []item{patient("a")}, []item{patient("b")}, []item{patient("a"), patient("b"), patient("c")}
	keys := []item{keyOf("a"), keyOf("b"), keyOf("c")}
	condition, update, values := aws.String("attribute_not_exists(id)"), aws.String("SET hits = :v"), item{":v": num("2")}
	encrypted := encrypt(t, sound, patient("a"))
	one := &visit{"a", 1, "secret"}
	sealed, err := soundRecords.Encrypt(t.Context(), one)
	require.NoError(t, err)
	_, beacon, err := sound.Beacon(t.Context(), "ssn", item{"ssn": str("secret a")})
	require.NoError(t, err)
	none := []item{}

	return map[string]operation{
		"GetItem": {want: a, prepare: request(c, (*Client).GetItem, func() *dynamodb.GetItemInput {
			return &dynamodb.GetItemInput{TableName: patientsName, Key: keyOf("a")}
		}, func(out *dynamodb.GetItemOutput) []item { return []item{out.Item} })},

		"PutItem": {want: a, keeps: true, writes: func(items itemsBy) { items["a"] = changed("a") }, prepare: request(c, (*Client).PutItem, func() *dynamodb.PutItemInput {
			return &dynamodb.PutItemInput{TableName: patientsName, Item: changed("a"), ReturnValues: types.ReturnValueAllOld}
		}, func(out *dynamodb.PutItemOutput) []item { return []item{out.Attributes} })},

		"PutItem, refused": {want: a, keeps: true, prepare: request(c, (*Client).PutItem, func() *dynamodb.PutItemInput {
			return &dynamodb.PutItemInput{TableName: patientsName, Item: changed("a"), ConditionExpression: condition}
		}, func(*dynamodb.PutItemOutput) []item { return none })},

		"UpdateItem": {want: []item{hit("b")}, keeps: true, writes: func(items itemsBy) { items["b"] = hit("b") }, prepare: request(c, (*Client).UpdateItem, func() *dynamodb.UpdateItemInput {
			return &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("b"), UpdateExpression: update, ExpressionAttributeValues: values, ReturnValues: types.ReturnValueAllNew}
		}, func(out *dynamodb.UpdateItemOutput) []item { return []item{out.Attributes} })},

		"UpdateItem, refused": {want: b, keeps: true, prepare: request(c, (*Client).UpdateItem, func() *dynamodb.UpdateItemInput {
			return &dynamodb.UpdateItemInput{TableName: patientsName, Key: keyOf("b"), UpdateExpression: update, ExpressionAttributeValues: values, ConditionExpression: condition,
				ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}
		}, func(*dynamodb.UpdateItemOutput) []item { return none })},

		"DeleteItem": {want: b, keeps: true, writes: func(items itemsBy) { delete(items, "b") }, prepare: request(c, (*Client).DeleteItem, func() *dynamodb.DeleteItemInput {
			return &dynamodb.DeleteItemInput{TableName: patientsName, Key: keyOf("b"), ReturnValues: types.ReturnValueAllOld}
		}, func(out *dynamodb.DeleteItemOutput) []item { return []item{out.Attributes} })},

		"DeleteItem, refused": {want: b, keeps: true, prepare: request(c, (*Client).DeleteItem, func() *dynamodb.DeleteItemInput {
			return &dynamodb.DeleteItemInput{TableName: patientsName, Key: keyOf("b"), ConditionExpression: condition}
		}, func(*dynamodb.DeleteItemOutput) []item { return none })},

		"Query": {want: all, keeps: true, prepare: request(c, (*Client).Query, func() *dynamodb.QueryInput {
			return &dynamodb.QueryInput{TableName: patientsName, KeyConditionExpression: aws.String("id = :v"), ExpressionAttributeValues: values}
		}, func(out *dynamodb.QueryOutput) []item { return out.Items })},

		"Scan": {want: all, keeps: true, prepare: request(c, (*Client).Scan, func() *dynamodb.ScanInput {
			return &dynamodb.ScanInput{TableName: patientsName}
		}, func(out *dynamodb.ScanOutput) []item { return out.Items })},

		"BatchGetItem": {want: all, keeps: true, prepare: request(c, (*Client).BatchGetItem, func() *dynamodb.BatchGetItemInput {
			return &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{"patients": {Keys: keys}}}
		}, func(out *dynamodb.BatchGetItemOutput) []item { return out.Responses["patients"] })},

		"BatchWriteItem": {want: []item{changed("d")}, writes: func(items itemsBy) {
			items["a"], items["e"] = changed("a"), changed("e")
			delete(items, "b")
		}, prepare: request(c, (*Client).BatchWriteItem, func() *dynamodb.BatchWriteItemInput {
			return &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"patients": {
				{PutRequest: &types.PutRequest{Item: changed("a")}}, {DeleteRequest: &types.DeleteRequest{Key: keyOf("b")}},
				{PutRequest: &types.PutRequest{Item: changed("e")}}, {PutRequest: &types.PutRequest{Item: changed("d")}}}}}
		}, func(out *dynamodb.BatchWriteItemOutput) (again []item) {
			for _, w := range out.UnprocessedItems["patients"] {
				again = append(again, w.PutRequest.Item)
			}
			return again
		})},

		"TransactGetItems": {want: all, keeps: true, prepare: request(c, (*Client).TransactGetItems, func() *dynamodb.TransactGetItemsInput {
			in := &dynamodb.TransactGetItemsInput{}
			for _, key := range keys {
				in.TransactItems = append(in.TransactItems, types.TransactGetItem{Get: &types.Get{TableName: patientsName, Key: key}})
			}
			return in
		}, func(out *dynamodb.TransactGetItemsOutput) (items []item) {
			for _, r := range out.Responses {
				items = append(items, r.Item)
			}
			return items
		})},

		"TransactWriteItems": {want: none, writes: func(items itemsBy) {
			items["a"], items["d"], items["c"] = changed("a"), changed("d"), hit("c")
			delete(items, "b")
		}, prepare: request(c, (*Client).TransactWriteItems, func() *dynamodb.TransactWriteItemsInput {
			return &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{TableName: patientsName, Item: changed("a")}}, {Delete: &types.Delete{TableName: patientsName, Key: keyOf("b")}},
				{Put: &types.Put{TableName: patientsName, Item: changed("d")}},
				{Update: &types.Update{TableName: patientsName, Key: keyOf("c"), UpdateExpression: update, ExpressionAttributeValues: values}}}}
		}, func(*dynamodb.TransactWriteItemsOutput) []item { return none })},

		"TransactWriteItems, refused": {want: []item{patient("a"), patient("b")}, keeps: true, prepare: request(c, (*Client).TransactWriteItems, func() *dynamodb.TransactWriteItemsInput {
			return &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{TableName: patientsName, Item: changed("a")}},
				{ConditionCheck: &types.ConditionCheck{TableName: patientsName, Key: keyOf("b"), ConditionExpression: condition}}}}
		}, func(*dynamodb.TransactWriteItemsOutput) []item { return none })},

		// Of the others, nothing comes unless they cannot be decrypted.
		"Find": {want: []item{patient("a"), {}, {}}, keeps: true, ends: true, prepare: func() attempt {
			in := &FindInput{TableName: "patients", IndexName: "by ssn", PartitionKey: "ssn", Want: item{"ssn": str("secret a")}, PageSize: 2}
			return attempt{in, func(ctx context.Context) ([]item, error) {
				got, failed := []item{{}, {}, {}}, error(nil)
				for it, err := range c.Find(ctx, in) {
					var row *ItemError
					switch {
					case errors.As(err, &row):
						got[row.Index], failed = nil, row
					case err != nil:
						return nil, err
					default:
						got[0] = it
					}
				}
				return got, failed
			}}
		}},

		"Table.Encrypt": {want: a, prepare: func() attempt {
			in := patient("a")
			return attempt{in, func(ctx context.Context) ([]item, error) {
				out, err := table.Encrypt(ctx, in)
				if err != nil {
					return asList(out), err
				}
				opened, err := sound.Decrypt(t.Context(), out)
				return []item{opened}, err
			}}
		}},

		"Table.Decrypt": {want: a, prepare: func() attempt {
			in := maps.Clone(encrypted)
			return attempt{in, func(ctx context.Context) ([]item, error) {
				out, err := table.Decrypt(ctx, in)
				return asList(out), err
			}}
		}},

		"Table.Beacon": {want: []item{{"beacon": beacon}}, prepare: func() attempt {
			in := item{"ssn": str("secret a")}
			return attempt{in, func(ctx context.Context) ([]item, error) {
				stored, value, err := table.Beacon(ctx, "ssn", in)
				if stored == "" && value == nil {
					return nil, err
				}
				return []item{{"beacon": value}}, err
			}}
		}},

		"Records.Encrypt": {want: []item{one.item()}, prepare: func() attempt {
			in := *one
			return attempt{&in, func(ctx context.Context) ([]item, error) {
				out, err := records.Encrypt(ctx, &in)
				if err != nil {
					return asList(out), err
				}
				opened, err := soundRecords.Table().Decrypt(t.Context(), out)
				return []item{opened}, err
			}}
		}},

		"Records.Decrypt": {want: []item{one.item()}, prepare: func() attempt {
			in := maps.Clone(sealed)
			return attempt{in, func(ctx context.Context) ([]item, error) {
				out, err := records.Decrypt(ctx, in)
				if out == nil {
					return nil, err
				}
				return []item{out.item()}, err
			}}
		}},
	}
}

func asList(it item) []item {
	if it == nil {
		return nil
	}
	return []item{it}
}

// TestFaults has each call of DynamoDB, of a keyring, of a manager and for a beacon key fail, in
// each way, before its work is done or behind it, in every operation. What fails has a kind,
// says which items are left out, and has written all or nothing; no input is changed, and
// nothing is sent in the clear; no key is left; and what comes after it works.
func TestFaults(t *testing.T) {
	for _, concurrency := range []int{1, 3} {
		t.Run(fmt.Sprint("concurrency ", concurrency), func(t *testing.T) {
			leaktest.AtEnd(t, "dynamoitem.(*Client)")
			raw := rawAES(t, "test", "key", make([]byte, 32))
			f := &faulty{keyring: raw, beacons: beaconStore(t), db: &dynamo{}}
			f.manager = manager(t, f)
			config := patients()
			config.Suite = keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384
			config.BeaconKeyID, config.Beacons = "t1", map[string]Beacon{"ssn": {Bits: 20}}
			config.BeaconKeys = f.beacons
			sound := newTable(t, manager(t, raw), config)
			config.BeaconKeys = f
			table := newTable(t, f, config)
			c := newClient(t, f, ClientConfig{Tables: map[string]*Table{"patients": table}, Concurrency: concurrency})
			config = Config{Table: "visits", Suite: config.Suite}
			records, err := NewRecords[visit](f, config)
			require.NoError(t, err)
			soundRecords, err := NewRecords[visit](manager(t, raw), config)
			require.NoError(t, err)

			stored, old := itemsBy{}, itemsBy{}
			for _, id := range []string{"a", "b", "c"} {
				stored[id], old[id] = encrypt(t, sound, patient(id)), patient(id)
			}
			w := &faultWorld{t, f, sound, stored, old}
			for name, op := range operationsOf(t, c, table, sound, records, soundRecords) {
				for i, kind := range kinds() {
					if testing.Short() && i%2 != 0 { // those after the work
						continue
					}
					// One more than there are, so that nothing fails at last.
					for left, failed := 0, true; failed; left++ {
						where := fmt.Sprintf("%s at call %d of %s", kind.name, left, name)
						failed = w.try(op, kind, left, where)
						require.True(t, failed || left > 0, where)
						w.try(op, kind, -1, where+", then again")
					}
				}
			}
		})
	}
}

type faultWorld struct {
	*testing.T
	*faulty
	sound       *Table
	stored, old itemsBy
}

// try does an operation with a fault behind left calls, and says whether that was met.
func (w *faultWorld) try(op operation, kind fault, left int, where string) (met bool) {
	t, f := w.T, w.faulty
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	*f.db = dynamo{items: maps.Clone(w.stored)}
	f.fault, f.left, f.cancel, f.at, f.keys, f.derives = kind, left, cancel, "", nil, nil
	now, same := op.prepare(), op.prepare()
	got, err, panicked := outcome(func() ([]item, error) { return now.do(ctx) })

	require.Equal(t, same.in, now.in, "%s: the input was changed", where)
	for _, sent := range f.db.sent {
		require.NotContains(t, sent, "secret", "%s: sent in the clear", where)
	}
	w.checkTable(op, where)
	for _, key := range f.keys {
		require.True(t, bytes.Equal(key, make([]byte, len(key))), "%s: a key is left", where)
	}
	for _, key := range f.derives {
		_, err := key.Derive("ssn")
		require.ErrorIs(t, err, keyring.ErrInvalidArgument, "%s: a beacon key is left", where)
	}
	if err == nil {
		require.True(t, f.at == "" || f.late, "%s: it was not noticed", where)
		require.Equal(t, op.want, got, where)
		return f.at != ""
	}
	require.NotEmpty(t, f.at, "%s: failed without a fault: %v", where, err)
	require.Equal(t, f.panics, panicked, where)
	require.ErrorIs(t, err, f.is, where)
	require.NotContains(t, err.Error(), "secret", where)
	var failed *Error
	if f.at == atDynamoDB && !f.late {
		require.Equal(t, f.is, err, "%s: DynamoDB's errors are returned as they are", where)
	} else if !panicked && !(f.late && f.at != atDecrypt || op.ends) {
		require.ErrorAs(t, err, &failed, where)
	}
	if f.at == atEncrypt || f.at == atBeacon {
		require.Empty(t, f.db.sent, "%s: it was sent", where)
	}
	w.checkItems(op, got, err, panicked, where)
	return true
}

// checkTable checks that what is in the table is what was there, or what was written, whole.
func (w *faultWorld) checkTable(op operation, where string) {
	want, got := maps.Clone(w.old), itemsBy{}
	if w.db.wrote {
		require.NotNil(w.T, op.writes, where)
		op.writes(want)
	}
	for id, it := range w.db.items {
		opened, err := w.sound.Decrypt(w.T.Context(), it)
		require.NoError(w.T, err, where)
		got[id] = opened
	}
	require.Equal(w.T, want, got, "%s: what was written", where)
}

// checkItems checks which items came with an error.
func (w *faultWorld) checkItems(op operation, got []item, err error, panicked bool, where string) {
	t, f := w.T, w.faulty
	opening := f.at == atDecrypt || f.at == atDynamoDB && f.late
	ended := op.ends && errors.Is(err, context.Canceled)
	if !op.keeps || !opening || panicked || ended {
		require.Nil(t, got, where)
		return
	}
	require.Len(t, got, len(op.want), where)
	var missing, named []int
	for i, it := range got {
		if it == nil {
			missing = append(missing, i)
			continue
		}
		require.Equal(t, op.want[i], it, where)
	}
	require.NotEmpty(t, missing, "%s: nothing is left out, and yet: %v", where, err)
	if !errors.Is(err, context.Canceled) {
		require.Len(t, missing, 1, "%s: one fault took others with it", where)
	}
	var several ItemErrors
	if errors.As(err, &several) && !op.ends {
		for _, one := range several {
			named = append(named, one.Index)
		}
		require.Equal(t, missing, named, where)
	}
}

// outcome calls do, and turns a panic that was injected into an error.
func outcome(do func() ([]item, error)) (got []item, err error, panicked bool) {
	err, panicked = faulttest.Outcome(func() (err error) { got, err = do(); return err })
	return got, err, panicked
}
