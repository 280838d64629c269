package dynamoitem

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// The pairs of the encryption context that an item's head does not store: whoever decrypts
// makes them from the item and the table again.
const (
	tablePair     = reservedPair + "table-name"
	partitionPair = reservedPair + "partition-name"
	sortPair      = reservedPair + "sort-name"
	legendPair    = reservedPair + "legend"
	attrPair      = reservedPair + "attr." // before an attribute's name
)

// contextOf returns those pairs for an item whose attributes are in w.
func (t *Table) contextOf(w *work, version byte) (keyring.EncryptionContext, error) {
	ec := make(keyring.EncryptionContext, 8)
	ec[tablePair] = t.name
	ec[partitionPair] = t.config.PartitionKey
	if t.config.SortKey != "" {
		ec[sortPair] = t.config.SortKey
	}
	if version == version1 {
		for i := range w.item {
			if f := &w.item[i]; t.isKey(f.name) {
				ec[f.pair()] = encodeTyped(w.typed(f))
			}
		}
	} else {
		t.addAttributes(ec, w)
	}
	if err := message.CheckContext(ec); err != nil {
		return nil, err
	}
	return ec, nil
}

// addAttributes adds the pairs of all attributes that the legend says are in the context,
// and the types of their values in the order of their names.
func (t *Table) addAttributes(ec keyring.EncryptionContext, w *work) {
	var array [8]*field
	fields := array[:0]
	for i := range w.item {
		if f := &w.item[i]; f.letter == legendContext {
			fields = append(fields, f)
		}
	}
	slices.SortFunc(fields, func(a, b *field) int { return strings.Compare(a.name, b.name) })
	letters := make([]byte, 0, 16)
	for _, f := range fields {
		b := w.typed(f)
		value := b[typeIDLen:]
		switch typeID(b[0])<<8 | typeID(b[1]) {
		case typeString:
			ec[f.pair()] = string(value)
			letters = append(letters, 'S')
		case typeNumber:
			ec[f.pair()] = string(value)
			letters = append(letters, 'N')
		case typeNull:
			ec[f.pair()] = "null"
			letters = append(letters, 'L')
		case typeBool:
			ec[f.pair()] = "false"
			if value[0] == 1 {
				ec[f.pair()] = "true"
			}
			letters = append(letters, 'L')
		default:
			ec[f.pair()] = encodeTyped(b)
			letters = append(letters, 'B')
		}
	}
	ec[legendPair] = string(letters)
}

// pair returns the key of an attribute's pair.
func (f *field) pair() string {
	if f.known != nil {
		return f.known.pair
	}
	return attrPair + f.name
}

// encodeTyped returns a value behind its type as text.
func encodeTyped(b []byte) string {
	var array [128]byte
	return string(base64.StdEncoding.AppendEncode(array[:0], b))
}
