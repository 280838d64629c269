package dynamoitem

import (
	"context"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// Decrypt returns an item in the clear that was read from the table, without the attributes
// that encryption added. Nothing is opened before all of the item has been verified. The
// argument is not changed. Values that were not encrypted are the same ones in both, so
// change neither. Encrypted numbers and sets come back as DynamoDB would have stored them:
// numbers without needless digits, sets in order.
//
// What was encrypted is told by the item's head, which is authenticated, and not by the
// [Config]: so an item that was written under other actions is read, as long as the same
// attributes are signed. The three actions that sign can be exchanged for each other, and
// attributes added and dropped, while there are items of both kinds and programs with both
// configurations. An attribute cannot become signed, or unsigned, while there are items that
// have it.
//
// Attributes that are unsigned by the Config are returned as they are, and vouched for by
// nobody.
//
// The error is an [*Error], which says which attribute is to blame where that can be told.
// An item that was altered is envelope.ErrAuthentication, ErrCommitment, ErrSignature or
// ErrMalformed. Where its key, or another attribute in the encryption context, was altered,
// or the item is from another table or another item's place, or the table's logical name has
// changed, no keyring can unwrap its data key: that is envelope.ErrNoMatchingKey and
// ErrContextMismatch. An item in the clear is [ErrNotEncrypted], unless Config.Plaintext lets
// it pass. One that Config.RequireSignature refuses is envelope.ErrPolicy.
//
// Of several wrapped keys, a reader verifies the tag of the one that it unwrapped. Nobody
// but the readers of the others can tell whether theirs was altered.
func (t *Table) Decrypt(ctx context.Context, item map[string]types.AttributeValue) (map[string]types.AttributeValue, error) {
	out, err := t.decrypt(ctx, item)
	if err != nil {
		return nil, t.failed("decrypt", err)
	}
	return out, nil
}

func (t *Table) decrypt(ctx context.Context, item map[string]types.AttributeValue) (map[string]types.AttributeValue, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := t.checkKeys(item); err != nil {
		return nil, err
	}
	headValue, hasHead := item[headAttribute]
	footValue, hasFoot := item[footAttribute]
	switch {
	case !hasHead && !hasFoot && t.config.Plaintext != ForbidPlaintext:
		return maps.Clone(item), nil
	case !hasHead && !hasFoot:
		return nil, ErrNotEncrypted
	case !hasHead:
		return nil, at(headAttribute, malformed("the item has a foot and no head"))
	case !hasFoot:
		return nil, at(footAttribute, malformed("the item has a head and no foot"))
	}
	headBytes, err := binaryOf(headAttribute, headValue)
	if err != nil {
		return nil, err
	}
	foot, err := binaryOf(footAttribute, footValue)
	if err != nil {
		return nil, err
	}
	h, err := parseHead(headBytes, t.maxKeys)
	if err != nil {
		return nil, at(headAttribute, err)
	}

	if t.config.RequireSignature && !h.suite.Signs() {
		return nil, at(headAttribute, fmt.Errorf("%w: Config.RequireSignature is set, and suite %v has no signature", envelope.ErrPolicy, h.suite))
	}

	w := works.Get().(*work)
	defer w.release()
	if err := t.gatherSigned(w, item); err != nil {
		return nil, err
	}
	if err := t.take(w, &h); err != nil {
		return nil, err
	}
	v, err := t.verify(ctx, w, &h, headBytes, foot)
	if err != nil {
		return nil, err
	}

	out := make(map[string]types.AttributeValue, len(item))
	for name, value := range item {
		if !strings.HasPrefix(name, reservedPrefix) {
			out[name] = value
		}
	}
	if err := v.open(t, out); err != nil {
		return nil, err
	}
	return out, nil
}

func binaryOf(name string, v types.AttributeValue) ([]byte, error) {
	if b, ok := v.(*types.AttributeValueMemberB); ok && b != nil {
		return b.Value, nil
	}
	return nil, at(name, malformed("it is not binary"))
}

// gatherSigned adds the attributes that must have been signed to w, in canonical order.
func (t *Table) gatherSigned(w *work, item map[string]types.AttributeValue) error {
	for name, v := range item {
		a := t.attributes[name]
		switch {
		case a != nil && a.action != DoNothing:
		case strings.HasPrefix(name, reservedPrefix) || t.config.isUnsigned(name):
			continue
		case !utf8.ValidString(name):
			return at(name, malformed("the name is not UTF-8"))
		}
		w.add(name, v, a)
	}
	w.sort()
	return nil
}

// take appends the attributes to w.fields as the legend says that they were signed.
func (t *Table) take(w *work, h *head) error {
	if len(h.legend) != len(w.item) {
		return at(headAttribute, fmt.Errorf("%w: the legend is of %d signed attributes, and the item has %d: "+
			"one was added or taken away, or Config.Unsigned and UnsignedPrefix were others when it was written",
			envelope.ErrAuthentication, len(h.legend), len(w.item)))
	}
	for i := range w.item {
		f := &w.item[i]
		f.letter = h.legend[i]
		keyLetter := byte(legendSigned)
		if h.version == version2 {
			keyLetter = legendContext
		}
		switch {
		case t.isKey(f.name) && f.letter != keyLetter:
			return at(f.name, malformed("the legend has another action for it than a key has in version %d", h.version))
		case f.letter == legendContext && h.version == version1:
			return at(f.name, malformed("the legend has it in the encryption context, which version 1 does not know"))
		}
		w.startField(f, t.prefix)
		if f.letter == legendEncrypted {
			w.sealed++
			b, err := binaryOf(f.name, f.value)
			if err != nil {
				return err
			}
			if len(b) < typeIDLen+suite.TagLen {
				return at(f.name, malformed("it is %d bytes, and an encrypted value has at least %d", len(b), typeIDLen+suite.TagLen))
			}
			w.fields = append(w.fields, b...)
		} else {
			var err error
			if w.fields, err = appendTyped(w.fields, f.value); err != nil {
				return at(f.name, malformed("%v", err))
			}
		}
		w.finishField(f)
	}
	return nil
}

// A verified item is one whose attributes may be opened: only verify makes it.
type verified struct{ work *work }

// verify verifies an item: that its head is under the data key, and that the keyring's own
// tag and the signature are over the item as it is.
func (t *Table) verify(ctx context.Context, w *work, h *head, headBytes, foot []byte) (verified, error) {
	var none verified
	ec, err := t.contextOf(w, h.version)
	if err != nil {
		return none, malformed("%v", err)
	}
	stored, err := h.stored()
	if err != nil {
		return none, at(headAttribute, err)
	}
	req := keyring.DecryptionRequest{Suite: h.suite, Stored: stored, Reproduced: ec}
	m, err := t.manager.DecryptionMaterials(ctx, req)
	if err != nil {
		return none, err
	}
	defer m.Clear()
	if err := m.Check(req); err != nil {
		return none, err
	}
	copy(w.messageID[:], h.messageID)
	if err := w.derive(m.DataKey); err != nil {
		return none, err
	}
	if subtle.ConstantTimeCompare(w.appendCommitment(w.result[:0], h.body), h.commitment) != 1 {
		return none, at(headAttribute, envelope.ErrCommitment)
	}
	if err := w.hash(headBytes, m.Context); err != nil {
		return none, at(headAttribute, err)
	}
	if err := w.checkFoot(foot, h.keyCount, m); err != nil {
		return none, at(footAttribute, err)
	}
	return verified{w}, nil
}

// checkFoot verifies the foot of an item.
func (w *work) checkFoot(foot []byte, keys int, m *keyring.DecryptionMaterials) error {
	n := keys * tagLen
	switch {
	case len(foot) < n || m.VerificationKey != nil && len(foot) == n:
		return malformed("it is cut short")
	case m.VerificationKey == nil && len(foot) > n:
		return malformed("it has bytes after its tags")
	}
	own := w.mac(w.result[:0], w.sha384, m.SymmetricSigningKey, w.digest[:])
	found := 0
	for i := range keys {
		found |= subtle.ConstantTimeCompare(own, foot[i*tagLen:][:tagLen])
	}
	if found != 1 {
		return fmt.Errorf("%w: the item was altered", envelope.ErrAuthentication)
	}
	if m.VerificationKey == nil {
		return nil
	}
	digest := signedDigest(w.digest[:])
	if !ecdsa.VerifyASN1(m.VerificationKey, digest[:], foot[n:]) {
		return envelope.ErrSignature
	}
	return nil
}

func signedDigest(hash []byte) [sha512.Size384]byte { return sha512.Sum384(hash) }

// open decrypts the attributes that were encrypted, and puts them into out.
func (v verified) open(t *Table, out map[string]types.AttributeValue) error {
	w := v.work
	return w.eachEncrypted(func(f *field, aead cipher.AEAD, nonce []byte) error {
		if t.onOpen != nil {
			t.onOpen(f.name)
		}
		sealed := w.fields[f.typeAt+typeIDLen : f.end]
		var err error
		erase.After(func() { _, err = aead.Open(sealed[:0], nonce, sealed, w.pathOf(f)) })
		if err != nil {
			return envelope.ErrAuthentication
		}
		value, err := parseTyped(w.fields[f.typeAt : f.end-suite.TagLen])
		if err != nil {
			return malformed("%v", err)
		}
		out[f.name] = value
		return nil
	})
}
