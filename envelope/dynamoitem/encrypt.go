package dynamoitem

import (
	"context"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// signatureLen is the length of the signatures that are written. DER signatures vary in
// length, so writers sign again until they have this one, which AWS's readers want.
const signatureLen = 103

// Encrypt returns an item encrypted, to be written to the table: attributes that are to be
// encrypted are binary, and aws_dbe_head, aws_dbe_foot and the beacons of the [Config] are
// added. The argument is not changed. Values that are not encrypted are the same ones in
// both, so change neither.
//
// The item must have the attributes of the table's key, and those that
// [SignAndIncludeInContext] is for, and no others than those that the [Config] names.
//
// The error is an [*Error]. What the caller can mend is keyring.ErrInvalidArgument: an
// attribute that must be there or must not, or a value that DynamoDB does not hold. An item
// that would be too large is a [*SizeError], and found before it is sent.
func (t *Table) Encrypt(ctx context.Context, item map[string]types.AttributeValue) (map[string]types.AttributeValue, error) {
	out, err := t.encrypt(ctx, item)
	if err != nil {
		return nil, t.failed("encrypt", err)
	}
	return out, nil
}

func (t *Table) encrypt(ctx context.Context, item map[string]types.AttributeValue) (map[string]types.AttributeValue, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := t.checkKeys(item); err != nil {
		return nil, err
	}
	for _, name := range t.context {
		if _, ok := item[name]; !ok {
			return nil, at(name, invalid("the item lacks it, and its action is %v", SignAndIncludeInContext))
		}
	}
	for name := range item {
		if strings.HasPrefix(name, reservedPrefix) {
			return nil, at(name, invalid("names that begin with %q belong to encrypted items: an item cannot be encrypted twice, nor bring its own", reservedPrefix))
		}
	}
	if t.config.Plaintext == ForcePlaintextWrite {
		return maps.Clone(item), nil
	}
	w := works.Get().(*work)
	defer w.release()
	size, err := t.prepare(w, item)
	if err != nil {
		return nil, err
	}
	beacons, err := t.beaconsFor(ctx, item)
	if err != nil {
		return nil, err
	}
	for name, v := range beacons {
		size += len(name) + sizeOf(v)
	}
	ec, err := t.contextOf(w, t.version)
	if err != nil {
		return nil, invalid("%v", err)
	}
	req := keyring.EncryptionRequest{Suite: t.suite, Context: ec, PlaintextLength: w.plaintextLen()}
	pairs := len(ec)
	m, err := t.manager.EncryptionMaterials(ctx, req)
	if err != nil {
		return nil, err
	}
	defer m.Clear()
	if err := m.Check(req); err != nil {
		return nil, err
	}
	if len(ec) != pairs {
		// What is in ec is not stored, and nobody could read the item without what was added.
		return nil, fmt.Errorf("%w: the materials manager changed the request's encryption context", keyring.ErrInvalidMaterials)
	}
	if n := len(m.EncryptedDataKeys); n > t.maxKeys {
		return nil, fmt.Errorf("%w: %d encrypted data keys, and this table writes and reads %d", envelope.ErrLimit, n, t.maxKeys)
	}
	if err := t.appendHead(w, m, ec); err != nil {
		return nil, at(headAttribute, err)
	}
	if size += len(headAttribute) + len(w.head) + len(footAttribute) + footLen(m); size > MaxItemSize {
		return nil, &SizeError{size}
	}
	if err := w.seal(); err != nil {
		return nil, err
	}
	return w.assemble(item, beacons, m)
}

// prepare appends all signed attributes of an item to w.fields, in canonical order, and
// their letters to w.legend. It returns the size that the item will have without head and
// foot.
func (t *Table) prepare(w *work, item map[string]types.AttributeValue) (size int, err error) {
	if size, err = t.gather(w, item); err != nil {
		return 0, err
	}
	w.sort()
	for i := range w.item {
		f := &w.item[i]
		if err := t.serialize(w, f); err != nil {
			return 0, at(f.name, invalid("%v", err))
		}
		w.legend = append(w.legend, f.letter)
		if f.letter == legendEncrypted {
			w.sealed++
			size += f.end - f.typeAt
		} else {
			size += sizeOf(f.value)
		}
	}
	switch {
	case len(w.legend) > 1<<16-1:
		return 0, fmt.Errorf("%w: %d signed attributes, and the format holds 65535", envelope.ErrLimit, len(w.legend))
	case size > MaxItemSize:
		return 0, &SizeError{size}
	}
	return size, nil
}

// plaintextLen returns how many bytes are going to be encrypted, as AWS's clients count
// them: the values' types too.
func (w *work) plaintextLen() (n int64) {
	for i := range w.item {
		if f := &w.item[i]; f.letter == legendEncrypted {
			n += int64(f.end - f.typeAt - suite.TagLen)
		}
	}
	return n
}

// footLen returns the length of the foot that is written with some materials.
func footLen(m *keyring.EncryptionMaterials) int {
	n := tagLen * len(m.EncryptedDataKeys)
	if m.SigningKey != nil {
		n += signatureLen
	}
	return n
}

// assemble returns the encrypted item: that of the caller with what is in w, whose
// attributes are sealed, with its beacons, and with a foot.
func (w *work) assemble(item, beacons map[string]types.AttributeValue, m *keyring.EncryptionMaterials) (map[string]types.AttributeValue, error) {
	// One array for all that is new, which the work does not keep.
	total := len(w.head) + footLen(m)
	for i := range w.item {
		if f := &w.item[i]; f.letter == legendEncrypted {
			total += f.end - f.typeAt
		}
	}
	buf := make([]byte, 0, total)
	last := func(n int) *types.AttributeValueMemberB {
		return &types.AttributeValueMemberB{Value: buf[len(buf)-n : len(buf) : len(buf)]}
	}

	out := make(map[string]types.AttributeValue, len(item)+len(beacons)+2)
	maps.Copy(out, item)
	maps.Copy(out, beacons)
	for i := range w.item {
		if f := &w.item[i]; f.letter == legendEncrypted {
			buf = append(buf, w.typed(f)...)
			out[f.name] = last(f.end - f.typeAt)
		}
	}
	head := len(buf)
	buf = append(buf, w.head...)
	out[headAttribute] = last(len(w.head))

	if err := w.hash(buf[head:], m.Context); err != nil {
		return nil, at(headAttribute, err)
	}
	for _, key := range m.SymmetricSigningKeys {
		buf = w.mac(buf, w.sha384, key, w.digest[:])
	}
	if m.SigningKey != nil {
		sig, err := sign(m.SigningKey, w.digest[:])
		if err != nil {
			return nil, at(footAttribute, err)
		}
		buf = append(buf, sig...)
	}
	out[footAttribute] = last(footLen(m))
	return out, nil
}

// gather adds the signed attributes of an item to w. It returns the size of the names of
// all, and of the others with their values.
func (t *Table) gather(w *work, item map[string]types.AttributeValue) (size int, err error) {
	var unknown []string
	for name, v := range item {
		size += len(name)
		if a := t.attributes[name]; a != nil && a.action != DoNothing {
			w.add(name, v, a)
			continue
		}
		switch {
		case !utf8.ValidString(name) || name == "" || len(name) > maxNameLen:
			return 0, at(name, invalid("the name is not UTF-8 of 1 to %d bytes", maxNameLen))
		case !t.config.isUnsigned(name):
			unknown = append(unknown, name)
			continue
		}
		if err := checkDepth(v, 1); err != nil {
			return 0, at(name, invalid("%v", err))
		}
		size += sizeOf(v)
	}
	if unknown != nil {
		slices.Sort(unknown)
		more := ""
		if len(unknown) > 1 {
			more = fmt.Sprintf(" (nor for %d others)", len(unknown)-1)
		}
		return 0, at(unknown[0], invalid("Config.Actions has no action for it%s, and it is not unsigned", more))
	}
	return size, nil
}

// serialize appends an attribute to w.fields, with room for the tag behind a value that is
// to be encrypted.
func (t *Table) serialize(w *work, f *field) error {
	w.startField(f, t.prefix)
	var err error
	if w.fields, err = appendTyped(w.fields, f.value); err != nil {
		return err
	}
	if t.isKey(f.name) {
		switch id, _ := typeOf(f.value); {
		case id != typeString && id != typeNumber && id != typeBinary:
			return errors.New("a key of DynamoDB's is a string, a number or binary")
		case len(w.fields) == f.typeAt+typeIDLen:
			return errors.New("a key of DynamoDB's is not empty")
		}
	}
	if f.letter == legendEncrypted {
		w.fields = append(w.fields, make([]byte, suite.TagLen)...)
	}
	w.finishField(f)
	return nil
}

// appendHead sets w.head to the head of an item, and derives the item's keys. The pairs of
// ec are not stored.
func (t *Table) appendHead(w *work, m *keyring.EncryptionMaterials, ec keyring.EncryptionContext) error {
	rand.Read(w.messageID[:])
	if err := w.derive(m.DataKey); err != nil {
		return err
	}
	var stored map[string]string
	for k, v := range m.Context {
		if _, ours := ec[k]; !ours && !slices.Contains(m.RequiredKeys, k) {
			if stored == nil {
				stored = make(map[string]string, 1)
			}
			stored[k] = v
		}
	}
	context := noPairs
	if stored != nil {
		var err error
		if context, err = message.AppendContext(nil, stored); err != nil {
			return err
		}
	}
	w.head = appendHead(w.head[:0], &head{version: t.version, suite: t.suite, messageID: w.messageID[:],
		legend: w.legend, context: context, keyCount: len(m.EncryptedDataKeys)})
	var err error
	if w.head, err = appendDataKeys(w.head, m.EncryptedDataKeys); err != nil {
		return err
	}
	w.head = w.appendCommitment(w.head, w.head)
	return nil
}

// seal encrypts the attributes that are to be, in place.
func (w *work) seal() error {
	return w.eachEncrypted(func(f *field, aead cipher.AEAD, nonce []byte) error {
		value := w.fields[f.typeAt+typeIDLen : f.end-suite.TagLen]
		erase.After(func() { aead.Seal(value[:0], nonce, value, w.pathOf(f)) })
		return nil
	})
}

// sign returns a signature over a hash of the length that the format fixes. What the format
// signs is the hash as a message, and so hashed again.
func sign(key *ecdsa.PrivateKey, hash []byte) ([]byte, error) {
	digest := signedDigest(hash)
	// Every second signature has the length; that none of so many has means that something
	// is broken.
	for range 256 {
		var sig []byte
		var err error
		erase.After(func() { sig, err = ecdsa.SignASN1(rand.Reader, key, digest[:]) })
		if err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
		if len(sig) == signatureLen {
			return sig, nil
		}
	}
	return nil, errors.New("signature: none has the format's length")
}
