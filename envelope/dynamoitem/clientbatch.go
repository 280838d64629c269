package dynamoitem

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// An ItemError says what failed for one of several items. It never holds a value.
type ItemError struct {
	// Table is the table's name as the request, or the output, has it.
	Table string

	// Index is the item's place: in Items, in the requests for the table, in the responses of
	// the table, or in TransactItems. It is 0 for all of a table that was not in the request.
	Index int

	// Key are the names of the attributes of the table's key.
	Key []string

	Err error
}

func (e *ItemError) Error() string {
	return fmt.Sprintf("table %q (key %s): item %d: %v", clip(e.Table), strings.Join(e.Key, ", "), e.Index, e.Err)
}

// Unwrap returns Err.
func (e *ItemError) Unwrap() error { return e.Err }

// ItemErrors are the errors of one call, in the order of the tables' names, then of the items.
// All items that are not named in it are done. But if they were to be written, and no output
// is returned with it, nothing was sent.
type ItemErrors []*ItemError

// Error names the first three.
func (e ItemErrors) Error() string {
	var b strings.Builder
	for i, one := range e {
		if i == 3 {
			fmt.Fprintf(&b, "; and %d more", len(e)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(one.Error())
	}
	return b.String()
}

// Unwrap returns the single errors.
func (e ItemErrors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// add adds an error of an item, if it is one.
func (e *ItemErrors) add(t *Table, name string, index int, err error) {
	if err != nil {
		*e = append(*e, &ItemError{name, index, t.keyNames(), err})
	}
}

// err returns the errors as one, or nil.
func (e ItemErrors) err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// A job is an item to encrypt or decrypt.
type job struct {
	wanted
	name  string
	index int
	item  map[string]types.AttributeValue
	out   *map[string]types.AttributeValue // nil goes there if it fails
}

// errNotDone stays for an item, and for those that were to follow, if a manager that the caller
// has written calls runtime.Goexit.
var errNotDone = errors.New("the goroutine that works on it was ended")

// each does the jobs, several at once. All goroutines have ended when it returns. If a
// manager panics, each panics with the same value.
func (c *Client) each(ctx context.Context, jobs []job, do func(wanted, context.Context, map[string]types.AttributeValue) (map[string]types.AttributeValue, error)) error {
	var (
		wait     sync.WaitGroup
		next     atomic.Int64
		once     sync.Once
		panicked any
	)
	failures := make([]error, len(jobs))
	for i := range failures {
		failures[i] = errNotDone // until it is
	}
	work := func() {
		defer func() {
			if p := recover(); p != nil {
				once.Do(func() { panicked = p })
			}
		}()
		for {
			i := int(next.Add(1)) - 1
			if i >= len(jobs) {
				return
			}
			j := &jobs[i]
			*j.out, failures[i] = do(j.wanted, ctx, j.item)
		}
	}
	for range min(c.concurrency, len(jobs)) {
		wait.Go(work)
	}
	wait.Wait()
	if panicked != nil {
		panic(panicked)
	}
	var all ItemErrors
	for i := range jobs {
		all.add(jobs[i].table, jobs[i].name, jobs[i].index, failures[i])
	}
	return all.err()
}

// BatchGetItem reads items of several tables and decrypts them. UnprocessedKeys can be sent
// again as they are.
func (c *Client) BatchGetItem(ctx context.Context, input *dynamodb.BatchGetItemInput, optFns ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	const op = "BatchGetItem"
	in := copied(input)
	var all ItemErrors
	asked := map[*Table]wanted{} // not by names, since an answer might have one where the request had an ARN
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		t, err := c.table(op, &name)
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		keys := in.RequestItems[name]
		if err := t.checkProjection(keys.ProjectionExpression, keys.ExpressionAttributeNames, keys.AttributesToGet); err != nil {
			return nil, t.failed(op, err)
		}
		for i, key := range keys.Keys {
			all.add(t, name, i, failedAt(t, op, t.checkKey(key)))
		}
		w, more := asked[t], t.wants(keys.Keys...)
		maps.Copy(more.keys, w.keys)
		asked[t] = more
	}
	if err := all.err(); err != nil {
		return nil, err
	}
	out, err := c.api.BatchGetItem(ctx, &in, named(optFns)...)
	if err != nil || len(out.Responses) == 0 {
		return out, err
	}
	o := *out
	o.Responses = make(map[string][]map[string]types.AttributeValue, len(out.Responses))
	var jobs []job
	for _, name := range slices.Sorted(maps.Keys(out.Responses)) {
		requested, err := answered(name, in.RequestItems)
		if err != nil {
			return nil, &Error{Op: op, Table: name, Err: err}
		}
		t, err := c.table(op, &requested)
		if err != nil {
			return nil, err
		}
		items := out.Responses[name]
		if t != nil {
			w := asked[t]
			opened := make([]map[string]types.AttributeValue, len(items))
			for i, item := range items {
				jobs = append(jobs, job{w, name, i, item, &opened[i]})
			}
			items = opened
		}
		o.Responses[name] = items
	}
	return &o, c.each(ctx, jobs, wanted.decrypt)
}

// BatchWriteItem encrypts items of several tables and writes them, and deletes others.
// UnprocessedItems are the caller's own requests, in the clear, to be sent again. If DynamoDB
// returns some that were not sent, they are left out, and the output is returned with
// [ItemErrors].
func (c *Client) BatchWriteItem(ctx context.Context, input *dynamodb.BatchWriteItemInput, optFns ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	const op = "BatchWriteItem"
	in := copied(input)
	requests := in.RequestItems
	in.RequestItems = make(map[string][]types.WriteRequest, len(requests))
	var all ItemErrors
	var jobs []job
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		t, err := c.table(op, &name)
		if err != nil {
			return nil, err
		}
		writes := requests[name]
		if t != nil {
			writes = slices.Clone(writes)
			for i := range writes {
				w := &writes[i]
				if w.DeleteRequest != nil {
					all.add(t, name, i, failedAt(t, op, t.checkKey(w.DeleteRequest.Key)))
				}
				if w.PutRequest != nil {
					put := *w.PutRequest
					jobs = append(jobs, job{wanted{table: t}, name, i, put.Item, &put.Item})
					w.PutRequest = &put
				}
			}
		}
		in.RequestItems[name] = writes
	}
	if err := all.err(); err != nil {
		return nil, err
	}
	if err := c.each(ctx, jobs, wanted.encrypt); err != nil {
		return nil, err
	}
	// A head is of one item alone, so it tells which request came back. The key would too, if
	// DynamoDB left numbers as they were written.
	sent := make(map[sentItem]types.WriteRequest, len(jobs))
	for _, j := range jobs {
		if head, ok := headOf(*j.out); ok {
			sent[sentItem{j.table, head}] = requests[j.name][j.index]
		}
	}

	out, err := c.api.BatchWriteItem(ctx, &in, named(optFns)...)
	if err != nil || len(out.UnprocessedItems) == 0 {
		return out, err
	}
	o := *out
	o.UnprocessedItems = make(map[string][]types.WriteRequest, len(out.UnprocessedItems))
	for _, name := range slices.Sorted(maps.Keys(out.UnprocessedItems)) {
		requested, err := answered(name, requests)
		if err != nil {
			all = append(all, &ItemError{Table: name, Err: &Error{Op: op, Table: name, Err: err}})
			continue
		}
		t, err := c.table(op, &requested)
		if err != nil {
			return nil, err
		}
		writes := out.UnprocessedItems[name]
		if t != nil {
			var again []types.WriteRequest
			for i, w := range writes {
				if w.PutRequest != nil {
					request, err := t.unprocessed(w, sent)
					if err != nil {
						all.add(t, name, i, failedAt(t, op, err))
						continue
					}
					w = request
				}
				again = append(again, w)
			}
			writes = again
		}
		if len(writes) > 0 {
			o.UnprocessedItems[requested] = append(o.UnprocessedItems[requested], writes...)
		}
	}
	return &o, all.err()
}

// A sentItem tells an item that was sent from all others.
type sentItem struct {
	table *Table
	head  string
}

// unprocessed returns the caller's request for one that DynamoDB returned, once.
func (t *Table) unprocessed(w types.WriteRequest, sent map[sentItem]types.WriteRequest) (types.WriteRequest, error) {
	head, encrypted := headOf(w.PutRequest.Item)
	if !encrypted && t.config.Plaintext == ForcePlaintextWrite {
		return w, nil
	}
	request, ok := sent[sentItem{t, head}]
	if !encrypted || !ok {
		return w, malformed("DynamoDB returned an unprocessed item that was not sent to the table, or returned it twice")
	}
	delete(sent, sentItem{t, head})
	return request, nil
}

// answered returns the name in a request that an answer has as name: that one, or an ARN with
// it.
func answered[T any](name string, requests map[string]T) (string, error) {
	if _, ok := requests[name]; ok {
		return name, nil
	}
	for _, requested := range slices.Sorted(maps.Keys(requests)) {
		if nameIn(requested) == name {
			return requested, nil
		}
	}
	return "", malformed("DynamoDB answered for a table that was not in the request")
}

// headOf returns the head of an item.
func headOf(item map[string]types.AttributeValue) (string, bool) {
	b, ok := item[headAttribute].(*types.AttributeValueMemberB)
	if !ok {
		return "", false
	}
	return string(b.Value), true
}

// TransactGetItems reads items of several tables and decrypts them.
func (c *Client) TransactGetItems(ctx context.Context, input *dynamodb.TransactGetItemsInput, optFns ...func(*dynamodb.Options)) (*dynamodb.TransactGetItemsOutput, error) {
	const op = "TransactGetItems"
	in := copied(input)
	asked := make([]wanted, len(in.TransactItems))
	var all ItemErrors
	for i, one := range in.TransactItems {
		if one.Get == nil {
			return nil, &Error{Op: op, Err: invalid("TransactItems[%d] has no Get", i)}
		}
		t, err := c.table(op, one.Get.TableName)
		if err != nil {
			return nil, err
		}
		if asked[i] = t.wants(one.Get.Key); t != nil {
			err := t.checkGet(one.Get.Key, one.Get.ProjectionExpression, one.Get.ExpressionAttributeNames, nil)
			all.add(t, *one.Get.TableName, i, failedAt(t, op, err))
		}
	}
	if err := all.err(); err != nil {
		return nil, err
	}
	out, err := c.api.TransactGetItems(ctx, &in, named(optFns)...)
	if err != nil {
		return nil, openFailed(ctx, err, asked...)
	}
	if len(out.Responses) > len(asked) {
		return nil, &Error{Op: op, Err: malformed("DynamoDB returned %d items for %d", len(out.Responses), len(asked))}
	}
	o := *out
	o.Responses = slices.Clone(out.Responses)
	var jobs []job
	for i := range o.Responses {
		if r := &o.Responses[i]; asked[i].table != nil && len(r.Item) > 0 {
			jobs = append(jobs, job{asked[i], *in.TransactItems[i].Get.TableName, i, r.Item, &r.Item})
		}
	}
	return &o, c.each(ctx, jobs, wanted.decrypt)
}

// TransactWriteItems encrypts items of several tables and writes them, and deletes, updates
// and checks others, all or none. For updates the same holds as in [Client.UpdateItem].
func (c *Client) TransactWriteItems(ctx context.Context, input *dynamodb.TransactWriteItemsInput, optFns ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	const op = "TransactWriteItems"
	in := copied(input)
	in.TransactItems = slices.Clone(in.TransactItems)
	asked := make([]wanted, len(in.TransactItems))
	var all ItemErrors
	var jobs []job
	for i := range in.TransactItems {
		one := &in.TransactItems[i]
		name, key, err := targetOf(one)
		if err != nil {
			return nil, &Error{Op: op, Err: invalid("TransactItems[%d]: %v", i, err)}
		}
		t, err := c.table(op, name)
		if err != nil {
			return nil, err
		}
		if asked[i] = t.wants(key); t == nil {
			continue
		}
		if one.Put != nil {
			put := *one.Put
			one.Put = &put
			jobs = append(jobs, job{wanted{table: t}, *name, i, put.Item, &put.Item})
		}
		all.add(t, *name, i, failedAt(t, op, t.checkTransaction(one)))
	}
	if err := all.err(); err != nil {
		return nil, err
	}
	if err := c.each(ctx, jobs, wanted.encrypt); err != nil {
		return nil, err
	}
	out, err := c.api.TransactWriteItems(ctx, &in, named(optFns)...)
	if err != nil {
		return nil, openFailed(ctx, err, asked...)
	}
	return out, nil
}

// targetOf returns the table of a part of a transaction, and the item's key, or what has it.
// A part that does what is not known here cannot be checked.
func targetOf(one *types.TransactWriteItem) (table *string, key map[string]types.AttributeValue, err error) {
	n := 0
	if p := one.Put; p != nil {
		table, key, n = p.TableName, p.Item, n+1
	}
	if d := one.Delete; d != nil {
		table, key, n = d.TableName, d.Key, n+1
	}
	if u := one.Update; u != nil {
		table, key, n = u.TableName, u.Key, n+1
	}
	if c := one.ConditionCheck; c != nil {
		table, key, n = c.TableName, c.Key, n+1
	}
	if n != 1 {
		return nil, nil, errors.New("it must have one of Put, Delete, Update and ConditionCheck")
	}
	return table, key, nil
}
