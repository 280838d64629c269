package dynamoitem

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// An Action says what is done with an attribute. The zero value protects the most.
type Action uint8

const (
	// EncryptAndSign encrypts the attribute's value, and signs it.
	EncryptAndSign Action = iota

	// SignOnly leaves the attribute readable, and signs it.
	SignOnly

	// SignAndIncludeInContext is SignOnly, and puts the value into the encryption context
	// as well, where key policies and suppliers of branch keys see it. Every item must have
	// the attribute. Where one attribute has this action, the partition key and the sort
	// key must have it too.
	SignAndIncludeInContext

	// DoNothing leaves the attribute readable, and anybody who can write to the table can
	// change it. It must be among Config.Unsigned, or begin with Config.UnsignedPrefix.
	DoNothing
)

// String returns AWS's name for the action.
func (a Action) String() string {
	switch a {
	case EncryptAndSign:
		return "ENCRYPT_AND_SIGN"
	case SignOnly:
		return "SIGN_ONLY"
	case SignAndIncludeInContext:
		return "SIGN_AND_INCLUDE_IN_ENCRYPTION_CONTEXT"
	case DoNothing:
		return "DO_NOTHING"
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// A PlaintextPolicy says whether items in the clear are read and written, while a table is
// being moved to or from encryption.
type PlaintextPolicy uint8

const (
	// ForbidPlaintext encrypts what is written, and refuses to read an item that is not
	// encrypted: AWS's FORBID_PLAINTEXT_WRITE_FORBID_PLAINTEXT_READ.
	ForbidPlaintext PlaintextPolicy = iota

	// AllowPlaintextRead encrypts what is written, and reads items that are not encrypted
	// as they are: AWS's FORBID_PLAINTEXT_WRITE_ALLOW_PLAINTEXT_READ. Whoever can write to
	// the table can then put in any item.
	AllowPlaintextRead

	// ForcePlaintextWrite writes items as they are, and reads both kinds: AWS's
	// FORCE_PLAINTEXT_WRITE_ALLOW_PLAINTEXT_READ.
	ForcePlaintextWrite
)

// A Config says how the items of a table are protected. Every program that uses the table
// must have the same, but for actions that are being changed: see [Table.Decrypt].
type Config struct {
	// Table is the table's logical name. It is bound into every item for good: keep it when
	// the table is restored under another name.
	Table string

	// PartitionKey and SortKey are the names of the table's key attributes. SortKey is
	// empty if the table has none.
	PartitionKey, SortKey string

	// Actions says what is done with each attribute that an item may have. An item with an
	// attribute that is neither here nor unsigned is not written. The keys must be here:
	// with SignOnly, or with SignAndIncludeInContext if any attribute has that.
	Actions map[string]Action

	// Unsigned are the names of attributes that are neither encrypted nor signed. A name
	// cannot join or leave them once items were written that have it: those items would
	// not verify. So use UnsignedPrefix, or a name here, for attributes to come.
	Unsigned []string

	// UnsignedPrefix, if not empty, makes attributes unsigned whose names begin with it.
	UnsignedPrefix string

	// Beacons are what items are found by whose attributes are encrypted, by name. Every
	// program that writes the table must have the same ones.
	Beacons map[string]Beacon

	// BeaconKeys has the keys that Beacons are made under. It is asked once for each item
	// that is written, each [Table.Beacon] and each search by [Client.Find]. It and the next
	// two are for tables with Beacons alone.
	BeaconKeys BeaconKeys

	// BeaconKeyID is the ID of the branch key whose beacon key is used. It is empty with
	// BeaconKeySupplier.
	BeaconKeyID string

	// BeaconKeySupplier, if not nil, returns that ID for an item, where each tenant has a
	// branch key: the one that wraps the item's data key, if AWS's releases are to find
	// the item. It is called for each item that is written and, with what is wanted, by
	// [Table.Beacon] and [Client.Find], by several goroutines at once. It must not change
	// the item.
	BeaconKeySupplier func(item map[string]types.AttributeValue) (string, error)

	// Suite is the algorithm suite to encrypt with. Zero is the one with an ECDSA signature,
	// which is AWS's default too: whoever can only decrypt cannot write items that look like
	// yours. The other one spares the signature, which takes by far the most time of an
	// item. Both are read, as by AWS's releases, unless RequireSignature is set.
	Suite keyring.Suite

	// RequireSignature refuses to read items without an ECDSA signature, with
	// envelope.ErrPolicy, before a key is unwrapped. Set it once all writers sign and what
	// was written before them is written again: where an item was once written without a
	// signature, whoever has that one and can decrypt it could otherwise write others under
	// its key, however the table is written now.
	RequireSignature bool

	// Plaintext says whether items in the clear are read and written. Zero is
	// ForbidPlaintext.
	Plaintext PlaintextPolicy

	// MaxEncryptedDataKeys is the most wrapped data keys an item may have, and so bounds
	// the keyring's work. It holds for writing too. Zero is 64. The format allows 255.
	MaxEncryptedDataKeys int
}

const (
	// reservedPrefix begins the names of attributes that encryption adds.
	reservedPrefix = "aws_dbe_"

	headAttribute = reservedPrefix + "head"
	footAttribute = reservedPrefix + "foot"

	// reservedPair begins the keys of pairs of the encryption context that encryption adds.
	reservedPair = "aws-crypto-"

	maxKeyNameLen      = 255 // of the attributes of a table's key, in bytes
	defaultMaxDataKeys = 64
)

// version returns the version of the heads that a config writes.
func (c *Config) version() byte {
	for _, action := range c.Actions {
		if action == SignAndIncludeInContext {
			return version2
		}
	}
	return version1
}

// isUnsigned says whether an attribute of the caller's is outside what signatures cover. What
// encryption adds is not, even if the prefix is as short as "a".
func (c *Config) isUnsigned(name string) bool {
	return c.UnsignedPrefix != "" && strings.HasPrefix(name, c.UnsignedPrefix) && !strings.HasPrefix(name, reservedPrefix) ||
		slices.Contains(c.Unsigned, name)
}

// check returns all that is wrong with a config.
func (c *Config) check() (all []error) {
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }

	switch {
	case c.Table == "":
		wrong("Config.Table is empty")
	case !utf8.ValidString(c.Table):
		wrong("Config.Table is not UTF-8")
	}
	c.checkKey(wrong, "PartitionKey", c.PartitionKey)
	if c.SortKey != "" {
		c.checkKey(wrong, "SortKey", c.SortKey)
		if c.SortKey == c.PartitionKey {
			wrong("Config.SortKey %q is the partition key", clip(c.SortKey))
		}
	}
	if err := message.CheckContext(map[string]string{tablePair: c.Table, partitionPair: c.PartitionKey, sortPair: c.SortKey}); err != nil {
		wrong("Config: the names of table and keys do not fit in an encryption context")
	}

	for _, name := range slices.Sorted(maps.Keys(c.Actions)) {
		action := c.Actions[name]
		checkName(wrong, fmt.Sprintf("Config.Actions[%q]", clip(name)), name)
		switch {
		case action > DoNothing:
			wrong("Config.Actions[%q]: there is no %v", clip(name), action)
		case action == DoNothing && !c.isUnsigned(name):
			wrong("Config.Actions[%q] is %v: then it must be among Unsigned, or begin with UnsignedPrefix", clip(name), action)
		case action != DoNothing && c.isUnsigned(name):
			wrong("Config.Actions[%q] is %v, yet the attribute is among Unsigned, or begins with UnsignedPrefix", clip(name), action)
		}
	}
	for i, name := range c.Unsigned {
		checkName(wrong, fmt.Sprintf("Config.Unsigned[%d]", i), name)
		if slices.Contains(c.Unsigned[:i], name) {
			wrong("Config.Unsigned[%d] is there twice", i)
		}
	}
	for _, key := range []string{c.PartitionKey, c.SortKey} {
		// Those in Actions were found above.
		if _, has := c.Actions[key]; !has && key != "" && c.isUnsigned(key) {
			wrong("Config: the key attribute %q is among Unsigned, or begins with UnsignedPrefix, and must be signed", clip(key))
		}
	}
	switch {
	case !utf8.ValidString(c.UnsignedPrefix):
		wrong("Config.UnsignedPrefix is not UTF-8")
	case len(c.UnsignedPrefix) > maxNameLen:
		wrong("Config.UnsignedPrefix is %d bytes, and names have at most %d", len(c.UnsignedPrefix), maxNameLen)
	case strings.HasPrefix(c.UnsignedPrefix, reservedPrefix):
		wrong("Config.UnsignedPrefix begins with %q, which is reserved", reservedPrefix)
	}

	c.checkBeacons(wrong)

	if c.Suite != 0 && !c.Suite.SignsSymmetrically() {
		wrong("Config.Suite %v is none for items", c.Suite)
	}
	if c.Plaintext > ForcePlaintextWrite {
		wrong("Config.Plaintext: there is no policy %d", c.Plaintext)
	}
	if c.RequireSignature {
		if c.Suite.SignsSymmetrically() && !c.Suite.Signs() {
			wrong("Config.RequireSignature is set, and items with Suite %v have no signature", c.Suite)
		}
		if c.Plaintext != ForbidPlaintext {
			wrong("Config.RequireSignature is set, and Plaintext lets items pass that have no signature")
		}
	}
	if c.MaxEncryptedDataKeys < 0 || c.MaxEncryptedDataKeys > maxDataKeys {
		wrong("Config.MaxEncryptedDataKeys %d: it must be 1 to %d", c.MaxEncryptedDataKeys, maxDataKeys)
	}
	return all
}

// checkKey checks a key attribute: its name, and that it has the action it must.
func (c *Config) checkKey(wrong func(string, ...any), what, name string) {
	if name == "" {
		wrong("Config.%s is empty", what)
		return
	}
	if len(name) > maxKeyNameLen {
		wrong("Config.%s is %d bytes, and the names of DynamoDB's key attributes have at most %d", what, len(name), maxKeyNameLen)
	}
	want := SignOnly
	if c.version() == version2 {
		want = SignAndIncludeInContext
	}
	action, has := c.Actions[name]
	switch {
	case !has:
		wrong("Config.%s: %q is not in Actions, where it must be %v", what, clip(name), want)
	case action == want:
	case want == SignOnly:
		wrong("Config.%s: %q is %v, and a key must be %v", what, clip(name), action, want)
	default:
		wrong("Config.%s: %q is %v, and a key must be %v, since another attribute is", what, clip(name), action, want)
	}
}

func checkName(wrong func(string, ...any), what, name string) {
	switch {
	case name == "":
		wrong("%s: the name is empty", what)
	case !utf8.ValidString(name):
		wrong("%s: the name is not UTF-8", what)
	case len(name) > maxNameLen:
		wrong("%s: the name is %d bytes, and DynamoDB's have at most %d", what, len(name), maxNameLen)
	case strings.HasPrefix(name, reservedPrefix) || strings.HasPrefix(name, reservedPair):
		wrong("%s: names that begin with %q or %q are reserved", what, reservedPrefix, reservedPair)
	}
}
