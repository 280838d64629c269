package branchkey

import (
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
)

// The layout of a key store's table.
//
// Source: framework/branch-key-store.md of the AWS Encryption SDK specification, and
// the tables of AWS's releases.
const (
	typeActive    = "branch:ACTIVE"
	typeBeacon    = "beacon:ACTIVE"
	versionPrefix = "branch:version:" // of the type of a version, with its UUID behind it

	idAttribute        = "branch-key-id"
	typeAttribute      = "type"
	encAttribute       = "enc"
	versionAttribute   = "version" // of the active item: the type of the version's
	kmsAttribute       = "kms-arn"
	createdAttribute   = "create-time"
	hierarchyAttribute = "hierarchy-version"
	ownPrefix          = "aws-crypto-ec:" // of the caller's own pairs

	// tableAttribute is the pair of KMS's encryption context that has the key store's
	// logical name. It is no attribute.
	tableAttribute = "tablename"

	hierarchyVersion = "1"

	// timeLayout is how create-time is written. Only its text is authenticated, and
	// nobody parses it: one of AWS's releases writes local time with a Z.
	timeLayout = "2006-01-02T15:04:05.000000Z"
)

const (
	keyLen      = 32
	maxID       = 2048 // bytes; DynamoDB's longest partition key
	maxKMSPairs = 8192 // bytes; KMS's longest encryption context
)

// kmsContext returns the encryption context that the wrapped key of an item is bound to:
// all attributes but the wrapped key, and the key store's logical name.
func (s *KeyStore) kmsContext(it Item) map[string]string {
	ec := make(map[string]string, len(it.Attributes)+3)
	maps.Copy(ec, it.Attributes)
	ec[idAttribute] = it.ID
	ec[typeAttribute] = it.Type
	ec[tableAttribute] = s.name
	return ec
}

func contextSize(ec map[string]string) int {
	n := 0
	for k, v := range ec {
		n += len(k) + len(v)
	}
	return n
}

// check checks an item that the store has returned when it was asked for an ID and a type.
// KMS authenticates the item's attributes, and so only says that they belong together:
// that they are what was asked for is compared here, and so is what must not be
// sent to KMS.
func (s *KeyStore) check(it Item, id, itemType string) error {
	if it.ID != id || it.Type != itemType {
		return &Error{ID: id, Type: itemType, Attributes: []string{idAttribute, typeAttribute},
			err: fmt.Errorf("%w: the store has answered with item %q of %q", ErrForeignItem, kmscall.Clip(it.Type), kmscall.Clip(it.ID))}
	}
	total := len(it.ID) + len(it.Type)
	for name, value := range it.Attributes {
		total += len(name) + len(value)
		switch {
		case name == idAttribute || name == typeAttribute || name == encAttribute || name == tableAttribute || name == "":
			return foreign(it, name, "cannot be among the others")
		case !utf8.ValidString(name) || !utf8.ValidString(value):
			return foreign(it, strings.ToValidUTF8(name, "?"), "is not UTF-8")
		}
	}
	hierarchy, ok := it.Attributes[hierarchyAttribute]
	_, hasCreated := it.Attributes[createdAttribute]
	_, hasVersion := it.Attributes[versionAttribute]
	switch {
	case !ok:
		return foreign(it, hierarchyAttribute, "is missing")
	case hierarchy != hierarchyVersion:
		return &Error{ID: id, Type: itemType, Attributes: []string{hierarchyAttribute},
			err: fmt.Errorf("it is %q: %w", kmscall.Clip(hierarchy), ErrHierarchyVersion)}
	case !hasCreated:
		return foreign(it, createdAttribute, "is missing")
	case total > maxKMSPairs:
		return &Error{ID: id, Type: itemType,
			err: fmt.Errorf("%w: its attributes are %d bytes, KMS takes %d", ErrForeignItem, total, maxKMSPairs)}
	case len(it.Enc) == 0:
		return foreign(it, encAttribute, "is missing")
	case len(it.Enc) > kmscall.MaxCiphertext:
		return foreign(it, encAttribute, "is %d bytes, KMS takes %d", len(it.Enc), kmscall.MaxCiphertext)
	case hasVersion != (itemType == typeActive):
		if hasVersion {
			return foreign(it, versionAttribute, "belongs to %s alone", typeActive)
		}
		return foreign(it, versionAttribute, "is missing")
	}
	if hasVersion {
		if _, ok := versionOf(it.Attributes[versionAttribute]); !ok {
			return foreign(it, versionAttribute, "is %q, not %s and a UUID in lower case", kmscall.Clip(it.Attributes[versionAttribute]), versionPrefix)
		}
	}
	return nil
}

// versionOf returns the version that the type of an item names.
func versionOf(itemType string) (uuid, bool) {
	text, ok := strings.CutPrefix(itemType, versionPrefix)
	if !ok {
		return uuid{}, false
	}
	return parseUUID(text)
}

// ownPairs returns the caller's own pairs of an item.
func (it Item) ownPairs() keyring.EncryptionContext {
	ec := keyring.EncryptionContext{}
	for name, value := range it.Attributes {
		if own, ok := strings.CutPrefix(name, ownPrefix); ok {
			ec[own] = value
		}
	}
	return ec
}
