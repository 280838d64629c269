package dynamoitem

import (
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/keyring"
)

// BranchKeySupplier returns a function for branchkey.Config.Supplier, which has id choose the
// branch key of an item, as AWS's DynamoDbKeyBranchKeyIdSupplier does. So a table has one
// branch key for each tenant. The same id serves as Config.BeaconKeySupplier.
//
// Id is given those attributes of the item that its encryption context has: the partition
// and sort key, or, where any attribute has SignAndIncludeInContext, all that have it. It may
// keep them, and is called by several goroutines at once. Its errors are returned as they
// are. An encryption context that is not of an item is keyring.ErrInvalidArgument.
func BranchKeySupplier(id func(item map[string]types.AttributeValue) (string, error)) func(keyring.EncryptionContext) (string, error) {
	return func(ec keyring.EncryptionContext) (string, error) {
		item, err := attributesIn(ec)
		if err != nil {
			return "", err
		}
		return id(item)
	}
}

// attributesIn returns the attributes that contextOf has put into an encryption context.
func attributesIn(ec keyring.EncryptionContext) (map[string]types.AttributeValue, error) {
	letters, version2 := ec[legendPair]
	item := map[string]types.AttributeValue{}
	for _, pair := range slices.Sorted(maps.Keys(ec)) {
		name, is := strings.CutPrefix(pair, attrPair)
		if !is {
			continue
		}
		letter := byte('B') // in version 1 all are as binary values are in version 2
		if version2 {
			if letters == "" {
				return nil, invalid("the encryption context has attribute %q, and no type for it: it is not of an item", clip(name))
			}
			letter, letters = letters[0], letters[1:]
		}
		value, err := valueOf(letter, ec[pair])
		if err != nil {
			return nil, invalid("attribute %q in the encryption context: %v", clip(name), err)
		}
		item[name] = value
	}
	switch {
	case letters != "":
		return nil, invalid("the encryption context has types of more attributes than it has: it is not of an item")
	case len(item) == 0:
		return nil, invalid("the encryption context has no attribute: it is not of an item")
	}
	return item, nil
}

var errNotInContext = errors.New("it is not as items have it")

// valueOf returns the value that a pair has as text, of the type that a letter of the legend
// stands for.
func valueOf(letter byte, text string) (types.AttributeValue, error) {
	switch letter {
	case 'S':
		return &types.AttributeValueMemberS{Value: text}, nil
	case 'N':
		return parseValue(typeNumber, []byte(text), 1)
	case 'L':
		switch text {
		case "null":
			return &types.AttributeValueMemberNULL{Value: true}, nil
		case "true", "false":
			return &types.AttributeValueMemberBOOL{Value: text == "true"}, nil
		}
	case 'B':
		typed, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, errNotInContext // and not the text, which is data
		}
		return parseTyped(typed)
	}
	return nil, errNotInContext
}
