package dynamoitem

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A FindInput says which items [Client.Find] is to find, and in which index. The first five
// fields must be set, SortKey excepted.
type FindInput struct {
	// TableName is the table's name as requests give it, and IndexName that of the index.
	TableName, IndexName string

	// PartitionKey and SortKey say what the attributes of the index's key are: each is the
	// name of a beacon of the table, or of a readable attribute. At least one is a beacon,
	// and none is a set. SortKey is empty if the index has no sort key, or if that is not
	// asked for, or by KeyConditionExpression alone.
	PartitionKey, SortKey string

	// Want are the values that items must have, in the clear. The partition key needs the
	// attribute that it is, or is of. A compound beacon needs those of all parts there,
	// while for the sort key the first one does, or some from the first one on. What else is
	// here is looked at after decrypting, and Config.BeaconKeySupplier sees it: it needs
	// what tells the tenant.
	Want map[string]types.AttributeValue

	// Without are attributes that items must not have. In a compound beacon they are as
	// good as wanted ones: of an optional part, one says what is wanted, and the other
	// that the part is not there.
	Without []string

	// KeyConditionExpression, if not empty, is joined to what Find writes, by AND: a
	// condition for the index's sort key, if that is a readable attribute. SortKey is
	// empty then.
	KeyConditionExpression string

	// FilterExpression, if not empty, has DynamoDB leave out rows. It sees readable
	// attributes alone.
	FilterExpression string

	// ExpressionAttributeNames and ExpressionAttributeValues are for both expressions.
	// Names that begin with #aws_dbe_ and :aws_dbe_ are reserved.
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]types.AttributeValue

	// PageSize is how many rows DynamoDB reads at most for one page, those of other values
	// that have the same beacon among them. Zero is up to DynamoDB: 1 MB of them.
	PageSize int32

	// Descending turns the order of the index's sort key around.
	Descending bool

	// ConsistentRead has DynamoDB read what was just written, which it does in local
	// indexes alone: a global one lags behind the table.
	ConsistentRead bool
}

// findPlaceholder begins the names of what Find adds to a request.
const findPlaceholder = "aws_dbe_"

// Find finds items by encrypted attributes. It makes the beacons of what is wanted, asks an
// index for them, decrypts the rows that come, and leaves out those that only have the same
// beacon. What it yields is what a look at all decrypted items of the index would find.
//
// Each use of the sequence is a new search. It asks Config.BeaconKeys once, and reads a page
// by [Client.Query] when the items of the one before are used up: a caller that has enough
// ends the loop, and nothing more is read. The input must not be changed meanwhile.
//
// With each item the error is nil. A row that cannot be decrypted, which may be one of those
// that are wanted or not, is yielded as a nil item with an [*ItemError], whose Index counts
// the rows of all pages, and the search goes on. Any other error ends it: ctx's once that is
// done, DynamoDB's as it is, and an [*Error] if the request cannot be served, with
// keyring.ErrInvalidArgument.
//
// That Find yields nothing does not prove that there is no such item. Who can write to the
// table can change or take away beacons, which nothing signs; DynamoDB says which rows there
// are; a global index lags behind; and items that were written in the clear, or before the
// beacon was configured, are not in the index.
//
// With a compound beacon as partition key, DynamoDB compares for equality. All of its parts
// must then be known: in Want, or Without. As sort key, its first parts are compared
// (begins_with), up to one that is not known. Parts behind that are looked at after
// decrypting.
//
// A beacon that is a set is in no index. For it use [Client.Scan] or [Client.Query] with a
// filter expression that has contains(), [Table.Beacon] for the value in it, and
// [Table.Filter] for what comes.
func (c *Client) Find(ctx context.Context, input *FindInput, optFns ...func(*dynamodb.Options)) iter.Seq2[map[string]types.AttributeValue, error] {
	return func(yield func(map[string]types.AttributeValue, error) bool) {
		f, err := c.newFinding(ctx, copied(input))
		if err != nil {
			yield(nil, err)
			return
		}
		for rows := 0; ; {
			// Before the page, since an answer that is at hand would not look.
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			out, err := c.Query(ctx, &f.query, optFns...)
			var failed ItemErrors
			if err != nil && (out == nil || !errors.As(err, &failed)) {
				yield(nil, err)
				return
			}
			for i, item := range out.Items {
				// Without this a page that was decrypted in part would seem to have many bad rows.
				if err := ctx.Err(); err != nil {
					yield(nil, err)
					return
				}
				if len(failed) > 0 && failed[0].Index == i {
					one := *failed[0]
					one.Index += rows
					failed = failed[1:]
					if !yield(nil, &one) {
						return
					}
				} else if f.matches(item) && !yield(item, nil) {
					return
				}
			}
			rows += len(out.Items)
			if len(out.LastEvaluatedKey) == 0 {
				return
			}
			f.query.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}

// A finding is what one use of Find needs.
type finding struct {
	query   dynamodb.QueryInput
	wanted  wantedValues
	without []string
}

func (f *finding) matches(item map[string]types.AttributeValue) bool {
	for _, attribute := range f.without {
		if _, has := item[attribute]; has {
			return false
		}
	}
	return f.wanted.in(item)
}

func (c *Client) newFinding(ctx context.Context, in FindInput) (*finding, error) {
	const op = "Find"
	t, err := c.table(op, &in.TableName)
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, &Error{Op: op, Table: in.TableName, Err: invalid("the table is among ClientConfig.Unencrypted: it has no beacons")}
	}
	f, err := t.newFinding(ctx, &in)
	if err != nil {
		return nil, t.failed(op, err)
	}
	return f, nil
}

func (t *Table) newFinding(ctx context.Context, in *FindInput) (*finding, error) {
	partition, sort, err := t.checkFind(in)
	if err != nil {
		return nil, err
	}
	f := &finding{wanted: newWanted(false, in.Want), without: in.Without}
	names, values := maps.Clone(in.ExpressionAttributeNames), maps.Clone(in.ExpressionAttributeValues)
	if names == nil {
		names = map[string]string{}
	}
	if values == nil {
		values = map[string]types.AttributeValue{}
	}
	err = t.withMACs(ctx, in.Want, func(m *macs) error {
		condition := "#aws_dbe_p = :aws_dbe_p"
		if names["#aws_dbe_p"], values[":aws_dbe_p"], _, err = m.keyed(partition, in); err != nil {
			return err
		}
		if in.SortKey != "" {
			var whole bool
			if names["#aws_dbe_s"], values[":aws_dbe_s"], whole, err = m.keyed(sort, in); err != nil {
				return err
			}
			if whole {
				condition += " AND #aws_dbe_s = :aws_dbe_s"
			} else {
				condition += " AND begins_with(#aws_dbe_s, :aws_dbe_s)"
			}
		}
		if in.KeyConditionExpression != "" {
			condition = bothConditions(condition, in.KeyConditionExpression, names)
		}
		forward := !in.Descending
		f.query = dynamodb.QueryInput{
			TableName: &in.TableName, IndexName: &in.IndexName, KeyConditionExpression: &condition,
			ExpressionAttributeNames: names, ExpressionAttributeValues: values, ScanIndexForward: &forward,
			FilterExpression: optional(in.FilterExpression),
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if in.PageSize != 0 {
		f.query.Limit = &in.PageSize
	}
	if in.ConsistentRead {
		f.query.ConsistentRead = &in.ConsistentRead
	}
	return f, nil
}

// An indexKey is an attribute of an index's key: a beacon, or a readable attribute.
type indexKey struct {
	attribute string  // as items are stored
	beacon    *beacon // nil if it is readable
	parts     []part  // of a compound beacon, those that the condition has
	whole     bool    // whether these are all that items have, so that equality is asked for
}

// checkFind checks what Find is to find, before there is a key.
func (t *Table) checkFind(in *FindInput) (partition, sort indexKey, err error) {
	switch {
	case in.IndexName == "":
		return partition, sort, invalid("FindInput.IndexName is empty: beacons are found in an index, and a table's own key has none")
	case in.PageSize < 0:
		return partition, sort, invalid("FindInput.PageSize is %d", in.PageSize)
	case in.SortKey != "" && in.KeyConditionExpression != "":
		return partition, sort, invalid("FindInput.SortKey and KeyConditionExpression are both for the index's sort key")
	case in.PartitionKey == "":
		return partition, sort, invalid("FindInput.PartitionKey is empty")
	case in.SortKey == in.PartitionKey:
		return partition, sort, invalid("FindInput.SortKey is PartitionKey")
	}
	for name := range in.ExpressionAttributeNames {
		if strings.HasPrefix(name, "#"+findPlaceholder) {
			return partition, sort, invalid("FindInput.ExpressionAttributeNames: names that begin with #%s are reserved", findPlaceholder)
		}
	}
	for name := range in.ExpressionAttributeValues {
		if strings.HasPrefix(name, ":"+findPlaceholder) {
			return partition, sort, invalid("FindInput.ExpressionAttributeValues: names that begin with :%s are reserved", findPlaceholder)
		}
	}
	if err := t.checkWant(in.Want); err != nil {
		return partition, sort, err
	}
	for _, attribute := range in.Without {
		if err := t.checkKnown(attribute); err != nil {
			return partition, sort, err
		}
		if _, wanted := in.Want[attribute]; wanted {
			return partition, sort, at(attribute, invalid("it is in FindInput.Want and in Without"))
		}
	}
	if partition, err = t.indexKey("PartitionKey", in.PartitionKey, in); err != nil {
		return partition, sort, err
	}
	if in.SortKey != "" {
		if sort, err = t.indexKey("SortKey", in.SortKey, in); err != nil {
			return partition, sort, err
		}
	}
	if partition.beacon == nil && sort.beacon == nil {
		return partition, sort, invalid("FindInput: neither PartitionKey nor SortKey is a beacon: use Query")
	}
	// By themselves, so that the error tells the byte in them.
	return partition, sort, first(
		t.checkExpression("KeyConditionExpression", optional(in.KeyConditionExpression), in.ExpressionAttributeNames),
		t.checkExpression("FilterExpression", optional(in.FilterExpression), in.ExpressionAttributeNames),
	)
}

// optional returns what stands for s in a request: nil if it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// indexKey returns what a field of the input says of the index's key, and checks that what
// is wanted goes with it.
func (t *Table) indexKey(field, name string, in *FindInput) (key indexKey, err error) {
	i := slices.IndexFunc(t.beacons, func(b *beacon) bool { return b.name == name })
	if i < 0 {
		switch action, known := t.actionOf(name); {
		case !known:
			return key, at(name, invalid("FindInput.%s: it is neither a beacon nor an attribute", field))
		case action == EncryptAndSign:
			return key, at(name, invalid("FindInput.%s: it is encrypted, and has no beacon of that name: give the name of its beacon", field))
		}
		if _, has := in.Want[name]; !has {
			return key, at(name, notWanted(field))
		}
		return indexKey{attribute: name, whole: true}, nil
	}
	b := t.beacons[i]
	key = indexKey{attribute: b.stored, beacon: b}
	switch {
	case b.partOnly:
		return key, invalid("FindInput.%s: beacon %q is PartOnly: it is not in items", field, clip(name))
	case b.set:
		return key, invalid("FindInput.%s: beacon %q is a set, and no index has that in its key: scan the table, or query it, "+
			"with a filter of contains() and the value that Table.Beacon returns, and give what comes to Table.Filter", field, clip(name))
	case b.parts == nil:
		if _, has := in.Want[b.of]; !has {
			return key, at(b.of, notWanted(field))
		}
		key.whole = true
		return key, nil
	}
	key.whole = true
	for _, p := range b.parts {
		if _, has := in.Want[p.of]; has {
			key.parts = append(key.parts, p)
			continue
		}
		if slices.Contains(in.Without, p.of) {
			if !p.optional {
				return key, at(p.of, invalid("FindInput.Without: items without it do not have the beacon %q", clip(name)))
			}
			continue
		}
		switch {
		case field == "PartitionKey" && p.optional:
			return key, at(p.of, invalid("FindInput.PartitionKey: beacon %q is compared as a whole: the attribute must be in Want, or in Without", clip(name)))
		case field == "PartitionKey":
			return key, at(p.of, notWanted(field))
		case len(key.parts) == 0:
			return key, at(p.of, invalid("FindInput.SortKey: beacon %q is compared from its beginning: the attribute must be in Want%s", clip(name), orWithout(p)))
		}
		key.whole = false
		break
	}
	if len(key.parts) == 0 {
		return key, invalid("FindInput.%s: beacon %q: no attribute is wanted that it is of", field, clip(name))
	}
	return key, nil
}

func orWithout(p part) string {
	if p.optional {
		return ", or in Without"
	}
	return ""
}

func notWanted(field string) error {
	return invalid("FindInput.Want must have it, since FindInput.%s is, or is of, this attribute", field)
}

// keyed returns the attribute of an index's key, the value that it is compared with, and
// whether for equality.
func (m *macs) keyed(key indexKey, in *FindInput) (attribute string, value types.AttributeValue, whole bool, err error) {
	switch b := key.beacon; {
	case b == nil:
		value = in.Want[key.attribute]
	case b.parts == nil:
		value, err = m.standard(b, in.Want[b.of])
	default:
		value, err = m.compound(b, key.parts, in.Want)
	}
	return key.attribute, value, key.whole, err
}
