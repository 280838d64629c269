package dynamoitem

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/keyring"
)

// Records encrypts and decrypts the items of a table from and to structs of type T, as
// package attributevalue of the SDK marshals them. It is made once, and is safe for
// concurrent use.
//
// Attributes have the names that package attributevalue gives them. What is done with each
// is in a tag:
//
//	type Order struct {
//		Customer string `dynamodbav:"customer" seal:"partition"`
//		Number   int    `dynamodbav:"order" seal:"sort"`
//		Address  string `dynamodbav:"address"` // encrypted
//		Status   string `dynamodbav:"status" seal:"sign"`
//		Seen     int64  `dynamodbav:":seen" seal:"unsigned"`
//	}
//
// The words of a tag, with commas between them:
//
//	encrypt    EncryptAndSign, as without a tag
//	sign       SignOnly
//	context    SignAndIncludeInContext
//	unsigned   DoNothing
//	partition  the partition key: signed, and in the encryption context if anything is
//	sort       the sort key, likewise
//
// They say what is done with attributes, which are the fields of T and of structs embedded in
// it. A struct that is a field is one attribute, and must have none of these words in it.
type Records[T any] struct {
	table *Table
	byTag bool // whether items have what the tags say, and not what T's own methods do
}

// NewRecords returns records of T, a struct. Actions, PartitionKey and SortKey of the config
// are empty: they come from T's tags. Attributes that are unsigned by tag join Unsigned.
//
// All that is wrong with the tags is in one error, and so is all that is wrong with the
// config. Both are keyring.ErrInvalidArgument.
func NewRecords[T any](m keyring.MaterialsManager, c Config) (*Records[T], error) {
	if err := c.fromTags(reflect.TypeFor[T]()); err != nil {
		return nil, fmt.Errorf("dynamoitem: table %q: %w: %w", clip(c.Table), keyring.ErrInvalidArgument, err)
	}
	t, err := NewTable(m, c)
	if err != nil {
		return nil, err
	}
	_, own := any(new(T)).(attributevalue.Unmarshaler)
	return &Records[T]{t, !own}, nil
}

// Table returns the table, which encrypts and decrypts the same items as maps, and is what a
// [Client] takes.
func (r *Records[T]) Table() *Table { return r.table }

// Encrypt returns the item of a record, encrypted as by [Table.Encrypt]. The record is not
// changed. One that cannot be marshaled is keyring.ErrInvalidArgument; the reason, which may
// quote a value, is reachable by errors.As alone.
func (r *Records[T]) Encrypt(ctx context.Context, record *T) (map[string]types.AttributeValue, error) {
	if record == nil {
		return nil, r.table.failed("encrypt", invalid("the record is nil"))
	}
	item, err := attributevalue.MarshalMap(record)
	if err != nil {
		return nil, r.table.failed("encrypt", &silent{fmt.Sprintf("package attributevalue does not marshal the %T", *record), err})
	}
	return r.table.Encrypt(ctx, item)
}

// Decrypt returns the record of an encrypted item, which is verified and decrypted as by
// [Table.Decrypt]. Attributes that T has no field for are left out, unsigned ones too, and
// would be lost if the record was written back: where items may have such, change the item as
// a map. Names must be the same in upper and lower case, unlike in package attributevalue:
// otherwise an unsigned attribute could take the place of another.
//
// One that does not fit its field is keyring.ErrInvalidArgument; the reason, which may quote a
// value, is reachable by errors.As alone.
func (r *Records[T]) Decrypt(ctx context.Context, item map[string]types.AttributeValue) (*T, error) {
	item, err := r.table.Decrypt(ctx, item)
	if err != nil {
		return nil, err
	}
	if r.byTag {
		maps.DeleteFunc(item, func(name string, _ types.AttributeValue) bool { return r.table.attributes[name] == nil })
	}
	record := new(T)
	if err := attributevalue.UnmarshalMap(item, record); err != nil {
		return nil, r.table.failed("decrypt", misfit[T](item, err))
	}
	return record, nil
}

// misfit returns the error for an item that package attributevalue does not unmarshal. It
// names the first attribute that is to blame.
func misfit[T any](item map[string]types.AttributeValue, err error) error {
	for _, name := range slices.Sorted(maps.Keys(item)) {
		if err := attributevalue.UnmarshalMap(map[string]types.AttributeValue{name: item[name]}, new(T)); err != nil {
			return at(name, &silent{fmt.Sprintf("it does not fit its field of %T", *new(T)), err})
		}
	}
	return &silent{fmt.Sprintf("it does not fit the %T", *new(T)), err}
}

// silent is an error that does not show its reason, since that may quote a value.
type silent struct {
	text   string
	reason error
}

func (e *silent) Error() string { return keyring.ErrInvalidArgument.Error() + ": " + e.text }

func (e *silent) Unwrap() []error { return []error{keyring.ErrInvalidArgument, e.reason} }

// fromTags sets the keys and the actions of a config from the tags of a struct.
func (c *Config) fromTags(t reflect.Type) error {
	if len(c.Actions) > 0 || c.PartitionKey != "" || c.SortKey != "" {
		return errors.New("Config.Actions, PartitionKey and SortKey come from the tags of the struct, and must be empty")
	}
	if t.Kind() != reflect.Struct {
		return fmt.Errorf("%v is no struct", t)
	}
	tags := tagReader{config: c}
	c.Actions, c.Unsigned = map[string]Action{}, slices.Clone(c.Unsigned)
	tags.walk(t, nil)
	// A key without an action of its own has the one that keys must have.
	action := SignOnly
	if c.version() == version2 {
		action = SignAndIncludeInContext
	}
	for _, key := range tags.keys {
		c.Actions[key] = action
	}
	return errors.Join(tags.wrong...)
}

type tagReader struct {
	config *Config
	keys   []string // without an action of their own
	wrong  []error
}

// walk reads the tags of a struct. Outer are the structs that it is embedded in.
func (r *tagReader) walk(t reflect.Type, outer []reflect.Type) {
	if slices.Contains(outer, t) {
		r.wrong = append(r.wrong, fmt.Errorf("%v is embedded in itself", t))
		return
	}
	outer = append(outer, t)
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("dynamodbav"), ",")
		seal, tagged := f.Tag.Lookup("seal")
		embedded := f.Type
		if embedded.Kind() == reflect.Pointer {
			embedded = embedded.Elem()
		}
		switch {
		case f.Anonymous && name == "" && embedded.Kind() == reflect.Struct:
			if tagged {
				r.wrong = append(r.wrong, fmt.Errorf("field %s: an embedded struct has no action: its fields do", f.Name))
			}
			if !f.IsExported() && f.Type.Kind() == reflect.Pointer {
				r.wrong = append(r.wrong, fmt.Errorf("field %s: package attributevalue cannot set an embedded pointer to a type that is not exported", f.Name))
			}
			r.walk(embedded, outer)
		case !f.IsExported() || name == "-":
			if tagged {
				r.wrong = append(r.wrong, fmt.Errorf("field %s: it has an action, and is not in items", f.Name))
			}
		default:
			if name == "" {
				name = f.Name
			}
			r.field(f.Name, name, seal)
			r.within(f.Name, f.Type, map[reflect.Type]bool{})
		}
	}
}

// within finds tags in what is part of an attribute. They would be overlooked, and what they
// say is to be encrypted might not be.
func (r *tagReader) within(field string, t reflect.Type, seen map[reflect.Type]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		r.within(field, t.Elem(), seen)
	case reflect.Struct:
		if seen[t] {
			return
		}
		seen[t] = true
		for i := range t.NumField() {
			f := t.Field(i)
			for word := range strings.SplitSeq(f.Tag.Get("seal"), ",") {
				if slices.Contains(sealWords, word) {
					r.wrong = append(r.wrong, fmt.Errorf("field %s: it is one attribute, and field %s of %v has an action: embed the struct, or leave the tag out", field, f.Name, t))
				}
			}
			r.within(field, f.Type, seen)
		}
	}
}

var sealWords = []string{"encrypt", "sign", "context", "unsigned", "partition", "sort"}

// field reads the tag of one field.
func (r *tagReader) field(field, name, tag string) {
	wrong := func(format string, args ...any) {
		r.wrong = append(r.wrong, fmt.Errorf("field "+field+": "+format, args...))
	}
	c := r.config
	if _, twice := c.Actions[name]; twice {
		wrong("another field has the attribute %q too", clip(name))
		return
	}
	action, actions, key := EncryptAndSign, 0, false
	for word := range strings.SplitSeq(tag, ",") {
		role := &c.PartitionKey
		switch word {
		case "":
		case "encrypt":
			actions++
		case "sign":
			action, actions = SignOnly, actions+1
		case "context":
			action, actions = SignAndIncludeInContext, actions+1
		case "unsigned":
			action, actions = DoNothing, actions+1
		case "sort":
			role = &c.SortKey
			fallthrough
		case "partition":
			if *role != "" {
				wrong("there are two fields with %q, or it is there twice", word)
			}
			*role, key = name, true
		default:
			wrong("seal:%q: there is no word %q", clip(tag), clip(word))
		}
	}
	switch {
	case actions > 1:
		wrong("seal:%q has more than one action", clip(tag))
	case actions == 0 && key:
		r.keys = append(r.keys, name)
	}
	c.Actions[name] = action
	if action == DoNothing && !c.isUnsigned(name) {
		c.Unsigned = append(c.Unsigned, name)
	}
}
