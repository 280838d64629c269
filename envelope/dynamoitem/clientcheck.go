package dynamoitem

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/suite"
)

// What follows tells, from a table's config, whether a request means with encrypted items what
// it says.

// actionOf returns what is done with an attribute, and whether that is known.
func (t *Table) actionOf(name string) (Action, bool) {
	if a := t.attributes[name]; a != nil {
		return a.action, true
	}
	return DoNothing, t.config.isUnsigned(name)
}

// keyNames returns the names of the attributes of the table's key.
func (t *Table) keyNames() []string {
	if t.config.SortKey == "" {
		return []string{t.config.PartitionKey}
	}
	return []string{t.config.PartitionKey, t.config.SortKey}
}

// failedAt is t.failed for an error that may be nil.
func failedAt(t *Table, op string, err error) error {
	if err == nil {
		return nil
	}
	return t.failed(op, err)
}

// first returns the first error that is one.
func first(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkKey returns an error for a key with an attribute that is none of the table's key: its
// value would be sent in the clear.
func (t *Table) checkKey(key map[string]types.AttributeValue) error {
	for _, name := range slices.Sorted(maps.Keys(key)) {
		if !t.isKey(name) {
			return at(name, invalid("Key: it is not part of the table's key"))
		}
	}
	return nil
}

// checkStart returns an error for a key to start a page at that has an encrypted attribute in
// the clear: it was not made of what DynamoDB returned as LastEvaluatedKey, and would be sent.
func (t *Table) checkStart(key map[string]types.AttributeValue) error {
	if t.config.Plaintext != ForbidPlaintext {
		return nil // an index then has values in the clear too
	}
	for _, name := range slices.Sorted(maps.Keys(key)) {
		if a := t.attributes[name]; a == nil || a.action != EncryptAndSign {
			continue
		}
		if b, ok := key[name].(*types.AttributeValueMemberB); !ok || b == nil || len(b.Value) < typeIDLen+suite.TagLen {
			return at(name, invalid("ExclusiveStartKey: it is encrypted, and this is in the clear: use the LastEvaluatedKey of a page as it is"))
		}
	}
	return nil
}

// checkCompared returns an error for an attribute that DynamoDB is to compare and cannot.
func (t *Table) checkCompared(parameter, name string) error {
	if strings.HasPrefix(name, reservedPrefix) {
		return nil // a head is there or not, and beacons are there to be compared
	}
	action, known := t.actionOf(name)
	switch {
	case !known:
		return at(name, invalid("%s: Config.Actions has no action for it, and it is not unsigned: an encrypted item has no such attribute", parameter))
	case action == EncryptAndSign:
		return at(name, invalid("%s: it is encrypted, and DynamoDB sees ciphertext: look at it after reading, find it by a beacon (Config.Beacons), or give it the action %v", parameter, SignOnly))
	}
	return nil
}

// checkExpression checks a condition, filter or key condition expression.
func (t *Table) checkExpression(parameter string, expression *string, names map[string]string) error {
	if expression == nil {
		return nil
	}
	paths, err := conditionPaths(*expression, names)
	if err != nil {
		return notUnderstood(parameter, err)
	}
	for _, p := range paths {
		if err := t.checkCompared(parameter, p.name); err != nil {
			return err
		}
	}
	return nil
}

func notUnderstood(parameter string, err error) error {
	return invalid("%s: it may name an encrypted attribute, and cannot be read: %v", parameter, err)
}

// checkLegacy checks conditions of the kind that was there before expressions.
func checkLegacy[T any](t *Table, parameter string, conditions map[string]T) error {
	for _, name := range slices.Sorted(maps.Keys(conditions)) {
		if err := t.checkCompared(parameter, name); err != nil {
			return err
		}
	}
	return nil
}

// checkConditions checks the conditions of a write.
func (t *Table) checkConditions(expression *string, names map[string]string, expected map[string]types.ExpectedAttributeValue) error {
	return first(t.checkExpression("ConditionExpression", expression, names), checkLegacy(t, "Expected", expected))
}

// checkGet checks a read of one item.
func (t *Table) checkGet(key map[string]types.AttributeValue, projection *string, names map[string]string, toGet []string) error {
	return first(t.checkKey(key), t.checkProjection(projection, names, toGet))
}

// checkProjection returns an error for a projection without which an item cannot be verified.
func (t *Table) checkProjection(projection *string, names map[string]string, toGet []string) error {
	if projection == nil && len(toGet) == 0 {
		return nil
	}
	parameter, all := "AttributesToGet", map[string]bool{}
	for _, name := range toGet {
		all[name] = true
	}
	if projection != nil {
		parameter = "ProjectionExpression"
		paths, err := projectionPaths(*projection, names)
		if err != nil {
			return notUnderstood(parameter, err)
		}
		for _, p := range paths {
			all[p.name] = all[p.name] || p.whole
		}
	}
	for _, name := range append(slices.Sorted(maps.Keys(t.attributes)), headAttribute, footAttribute) {
		if a := t.attributes[name]; (a == nil || a.action != DoNothing) && !all[name] {
			return at(name, invalid("%s: an item cannot be verified without all of it: read whole items, which costs no more", parameter))
		}
	}
	return nil
}

// checkUpdated returns an error for an attribute that an update must not touch.
func (t *Table) checkUpdated(parameter, name string) error {
	if action, known := t.actionOf(name); known && action == DoNothing {
		return nil
	}
	return at(name, invalid("%s: it is not unsigned, and an update would leave the item with a signature that does not fit: "+
		"read the item, and write it whole with PutItem, on condition that it has not changed", parameter))
}

// checkUpdate checks an update expression.
func (t *Table) checkUpdate(expression *string, names map[string]string) error {
	if expression == nil {
		return nil
	}
	const parameter = "UpdateExpression"
	paths, err := updatePaths(*expression, names)
	if err != nil {
		return notUnderstood(parameter, err)
	}
	for _, p := range paths {
		if err := t.checkUpdated(parameter, p.name); err != nil {
			return err
		}
	}
	return nil
}

// keyPlaceholder stands for the partition key in a condition that is added.
const keyPlaceholder = "#aws_dbe_key"

// ifThere adds to a condition that there is an item. Otherwise an update would make one that
// is not encrypted.
func (t *Table) ifThere(condition **string, names *map[string]string) error {
	if t.config.Plaintext == ForcePlaintextWrite {
		return nil
	}
	if _, taken := (*names)[keyPlaceholder]; taken {
		return invalid("ExpressionAttributeNames: %s is reserved", keyPlaceholder)
	}
	there := "attribute_exists(" + keyPlaceholder + ")"
	if *condition != nil {
		there = bothConditions(there, **condition, *names)
	}
	more := maps.Clone(*names)
	if more == nil {
		more = map[string]string{}
	}
	more[keyPlaceholder] = t.config.PartitionKey
	*condition, *names = &there, more
	return nil
}

// checkUpdateItem checks an UpdateItem request, and adds to its condition that there is an item.
func (t *Table) checkUpdateItem(in *dynamodb.UpdateItemInput) error {
	err := first(
		t.checkKey(in.Key),
		t.checkUpdate(in.UpdateExpression, in.ExpressionAttributeNames),
		t.checkConditions(in.ConditionExpression, in.ExpressionAttributeNames, in.Expected),
	)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(in.AttributeUpdates)) {
		if err := t.checkUpdated("AttributeUpdates", name); err != nil {
			return err
		}
	}
	if len(in.AttributeUpdates) == 0 && len(in.Expected) == 0 {
		return t.ifThere(&in.ConditionExpression, &in.ExpressionAttributeNames)
	}
	// DynamoDB takes no expression beside these.
	if t.config.Plaintext == ForcePlaintextWrite {
		return nil
	}
	key := t.config.PartitionKey
	if _, has := in.Expected[key]; has || in.ConditionalOperator == types.ConditionalOperatorOr {
		return at(key, invalid("Expected: that the item is there cannot be added to this condition: use ConditionExpression and UpdateExpression"))
	}
	expected := map[string]types.ExpectedAttributeValue{key: {ComparisonOperator: types.ComparisonOperatorNotNull}}
	maps.Copy(expected, in.Expected)
	in.Expected = expected
	return nil
}

// checkTransaction checks a part of a transaction, and adds to the condition of an update that
// there is an item.
func (t *Table) checkTransaction(one *types.TransactWriteItem) error {
	switch {
	case one.Put != nil:
		return t.checkExpression("ConditionExpression", one.Put.ConditionExpression, one.Put.ExpressionAttributeNames)
	case one.Delete != nil:
		return first(t.checkKey(one.Delete.Key), t.checkExpression("ConditionExpression", one.Delete.ConditionExpression, one.Delete.ExpressionAttributeNames))
	case one.ConditionCheck != nil:
		c := one.ConditionCheck
		return first(t.checkKey(c.Key), t.checkExpression("ConditionExpression", c.ConditionExpression, c.ExpressionAttributeNames))
	}
	update := *one.Update
	one.Update = &update
	err := first(
		t.checkKey(update.Key),
		t.checkUpdate(update.UpdateExpression, update.ExpressionAttributeNames),
		t.checkExpression("ConditionExpression", update.ConditionExpression, update.ExpressionAttributeNames),
	)
	if err != nil {
		return err
	}
	return t.ifThere(&update.ConditionExpression, &update.ExpressionAttributeNames)
}

// A wanted is what an item may be that DynamoDB returns.
type wanted struct {
	table *Table          // nil if it is not encrypted
	keys  map[string]bool // as keyOf has them, or nil for any
}

// wants returns what was asked for: the items with these keys.
func (t *Table) wants(keys ...map[string]types.AttributeValue) wanted {
	if t == nil {
		return wanted{}
	}
	w := wanted{t, make(map[string]bool, len(keys))}
	for _, key := range keys {
		if k, err := t.keyOf(key); err == nil { // if not, DynamoDB refuses it
			w.keys[k] = true
		}
	}
	return w
}

// keyOf returns the key of an item in a form that is the same for equal keys.
func (t *Table) keyOf(item map[string]types.AttributeValue) (string, error) {
	var b []byte
	for _, name := range t.keyNames() {
		from := len(b)
		var err error
		if b, err = appendTyped(append(b, 0, 0, 0, 0), item[name]); err != nil {
			return "", at(name, malformed("%v", err))
		}
		binary.BigEndian.PutUint32(b[from:], uint32(len(b)-from))
	}
	return string(b), nil
}

// encrypt is Table.Encrypt.
func (w wanted) encrypt(ctx context.Context, item map[string]types.AttributeValue) (map[string]types.AttributeValue, error) {
	return w.table.Encrypt(ctx, item)
}

// decrypt is Table.Decrypt for an item that must be one of those that were asked for.
func (w wanted) decrypt(ctx context.Context, item map[string]types.AttributeValue) (map[string]types.AttributeValue, error) {
	if w.keys != nil {
		key, err := w.table.keyOf(item)
		if err == nil && !w.keys[key] {
			err = fmt.Errorf("%w: the item's key is not the one that was asked for", envelope.ErrContextMismatch)
		}
		if err != nil {
			return nil, w.table.failed("decrypt", err)
		}
	}
	return w.table.Decrypt(ctx, item)
}

// openFailed decrypts the items that DynamoDB's error for a condition has, of which asked says
// what they may be, in place: no copy of the error could keep ciphertext from who takes the
// wrapped errors apart.
func openFailed(ctx context.Context, err error, asked ...wanted) error {
	open := func(i int, item *map[string]types.AttributeValue) {
		switch {
		case len(*item) == 0:
		case i >= len(asked):
			*item = nil
		case asked[i].table != nil:
			opened, failed := asked[i].decrypt(ctx, *item)
			if *item = opened; failed != nil {
				err = fmt.Errorf("%w; and the item that it returned cannot be decrypted: %w", err, failed)
			}
		}
	}
	var one *types.ConditionalCheckFailedException
	if errors.As(err, &one) {
		open(0, &one.Item)
	}
	var many *types.TransactionCanceledException
	if errors.As(err, &many) {
		for i := range many.CancellationReasons {
			open(i, &many.CancellationReasons[i].Item)
		}
	}
	return err
}
