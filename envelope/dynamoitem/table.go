package dynamoitem

import (
	"crypto/cipher"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// A Table encrypts and decrypts the items of one table. It is made once, and is safe for
// concurrent use.
type Table struct {
	name    string
	manager keyring.MaterialsManager
	config  Config
	version byte
	suite   keyring.Suite
	maxKeys int

	prefix     []byte                // of canonical paths
	attributes map[string]*attribute // those with an action
	beacons    []*beacon
	context    []string // names of those in the encryption context in version 2

	// onOpen, if not nil, is called before an attribute is opened. Tests set it.
	onOpen func(name string)
}

// An attribute is what can be told of one before there is an item.
type attribute struct {
	action Action
	units  int    // of the name's UTF-16 form
	path   []byte // canonical
	pair   string // the key of its pair of the encryption context
}

// NewTable returns a table. Materials come from m. The config is copied.
//
// All that is wrong with the config is in one error, which is keyring.ErrInvalidArgument.
func NewTable(m keyring.MaterialsManager, c Config) (*Table, error) {
	wrong := c.check()
	if m == nil {
		wrong = append(wrong, errors.New("the materials manager is nil"))
	}
	if wrong != nil {
		return nil, fmt.Errorf("dynamoitem: table %q: %w: %w", clip(c.Table), keyring.ErrInvalidArgument, errors.Join(wrong...))
	}
	c.Actions, c.Unsigned = maps.Clone(c.Actions), slices.Clone(c.Unsigned)
	t := &Table{
		name: c.Table, manager: m, config: c, version: c.version(), suite: c.Suite, maxKeys: c.MaxEncryptedDataKeys,
		prefix: pathPrefix(c.Table), attributes: make(map[string]*attribute, len(c.Actions)),
		beacons: newBeacons(&c),
	}
	if t.suite == 0 {
		t.suite = keyring.SuiteDBEAES256GCMHKDFSHA512CommitECDSAP384HMACSHA384
	}
	if t.maxKeys == 0 {
		t.maxKeys = defaultMaxDataKeys
	}
	for name, action := range c.Actions {
		units := utf16Len(name)
		t.attributes[name] = &attribute{action, units, appendPath(nil, t.prefix, name, units), attrPair + name}
		if action == SignAndIncludeInContext {
			t.context = append(t.context, name)
		}
	}
	slices.Sort(t.context)
	return t, nil
}

// isKey says whether an attribute is the partition key or the sort key.
func (t *Table) isKey(name string) bool {
	return name == t.config.PartitionKey || t.config.SortKey != "" && name == t.config.SortKey
}

// checkKeys returns an error for an item that lacks an attribute of the table's key.
func (t *Table) checkKeys(item map[string]types.AttributeValue) error {
	if _, ok := item[t.config.PartitionKey]; !ok {
		return at(t.config.PartitionKey, invalid("the item lacks the partition key"))
	}
	if _, ok := item[t.config.SortKey]; !ok && t.config.SortKey != "" {
		return at(t.config.SortKey, invalid("the item lacks the sort key"))
	}
	return nil
}

// A field is a signed attribute of an item that is worked on.
type field struct {
	name   string
	value  types.AttributeValue
	known  *attribute // nil if it has no action
	units  int
	letter byte // in the legend

	pathAt, typeAt, end int // where in work.fields
}

// A work is what one call needs, kept for the next one.
type work struct {
	item   []field // the signed attributes, in canonical order
	fields []byte  // what is hashed of them
	head   []byte  // what is hashed before them
	legend []byte
	sealed int                  // how many of the attributes are, or will be, encrypted
	digest [sha512.Size384]byte // of both: what tags and signature are over
	derivation
}

var works = sync.Pool{New: func() any { return &work{derivation: *newDerivation()} }}

// release clears a work, which may hold plaintext and keys, and gives it back. It keeps no
// buffer that an unusual item has made large.
func (w *work) release() {
	clear(w.item)
	clear(w.fields)
	w.derivation.clear()
	const most = 64 << 10 // bytes
	w.item = reuse(w.item, most/128)
	w.fields, w.head, w.legend, w.stream = reuse(w.fields, most), reuse(w.head, most), reuse(w.legend, most), reuse(w.stream, most)
	w.sealed = 0
	works.Put(w)
}

// reuse returns a buffer emptied, or nil if it has more than the given room.
func reuse[T any](s []T, most int) []T {
	if cap(s) > most {
		return nil
	}
	return s[:0]
}

// add adds a signed attribute.
func (w *work) add(name string, value types.AttributeValue, a *attribute) {
	f := field{name: name, value: value, known: a}
	if a != nil {
		f.units, f.letter = a.units, a.action.letter()
	} else {
		f.units = utf16Len(name)
	}
	w.item = append(w.item, f)
}

func (w *work) sort() {
	slices.SortFunc(w.item, func(a, b field) int { return comparePaths(&a, &b) })
}

// letter returns what stands for a signed attribute in the legend.
func (a Action) letter() byte {
	switch a {
	case EncryptAndSign:
		return legendEncrypted
	case SignAndIncludeInContext:
		return legendContext
	}
	return legendSigned
}

// pathOf returns the canonical path of an attribute.
func (w *work) pathOf(f *field) []byte { return w.fields[f.pathAt : f.typeAt-8-len(plaintext)] }

// typed returns the value of an attribute behind its type, as it is hashed.
func (w *work) typed(f *field) []byte { return w.fields[f.typeAt:f.end] }

// What is hashed of an attribute says whether it is encrypted.
const (
	plaintext = "PLAINTEXT"
	encrypted = "ENCRYPTED"
)

// startField appends what is hashed of an attribute before its type. finishField fills in
// the length.
func (w *work) startField(f *field, prefix []byte) {
	f.pathAt = len(w.fields)
	if f.known != nil {
		w.fields = append(w.fields, f.known.path...)
	} else {
		w.fields = appendPath(w.fields, prefix, f.name, f.units)
	}
	w.fields = append(w.fields, 0, 0, 0, 0, 0, 0, 0, 0)
	if f.letter == legendEncrypted {
		w.fields = append(w.fields, encrypted...)
	} else {
		w.fields = append(w.fields, plaintext...)
	}
	f.typeAt = len(w.fields)
}

// finishField fills in the length of what was appended of an attribute since startField.
func (w *work) finishField(f *field) {
	f.end = len(w.fields)
	at := f.typeAt - len(plaintext) - 8
	binary.BigEndian.PutUint64(w.fields[at:], uint64(f.end-f.typeAt-typeIDLen))
}

// eachEncrypted calls do for each attribute that is, or will be, encrypted, with its cipher
// and nonce.
func (w *work) eachEncrypted(do func(f *field, aead cipher.AEAD, nonce []byte) error) error {
	if w.sealed == 0 {
		return nil
	}
	if err := w.fieldKeys(w.sealed); err != nil {
		return err
	}
	next := 0
	for i := range w.item {
		f := &w.item[i]
		if f.letter != legendEncrypted {
			continue
		}
		key, nonce := w.field(next)
		next++
		var aead cipher.AEAD
		var err error
		erase.After(func() { aead, err = suite.NewAEAD(key) })
		if err == nil {
			err = do(f, aead, nonce)
		}
		if err != nil {
			return at(f.name, err)
		}
	}
	return nil
}

// hash sets w.digest for an item with a head, in a context.
func (w *work) hash(head []byte, context keyring.EncryptionContext) (err error) {
	w.head = append(w.head[:0], head...)
	at := len(w.head)
	w.head = append(w.head, 0, 0, 0, 0, 0, 0, 0, 0)
	if w.head, err = context.AppendBinary(w.head); err != nil {
		return err
	}
	binary.BigEndian.PutUint64(w.head[at:], uint64(len(w.head)-at-8))
	w.sha384.Reset()
	w.sha384.Write(w.head)
	w.sha384.Write(w.fields)
	w.sha384.Sum(w.digest[:0])
	return nil
}
