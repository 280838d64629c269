package dynamoitem

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// The legend of a head has one letter for each signed attribute.
const (
	legendEncrypted = 'e'
	legendSigned    = 's'
	legendContext   = 'c'
)

const (
	version1 = 1 // no attribute in the encryption context but the keys
	version2 = 2

	messageIDLen  = 32
	commitmentLen = 32
	tagLen        = 48

	// suiteFamily is the first byte of the suites' IDs. A head has the second.
	suiteFamily = 0x67

	// maxDataKeys is the most wrapped keys that a head can count.
	maxDataKeys = 1<<8 - 1
)

// noPairs is the stored context of a head without pairs: a count nonetheless.
var noPairs = []byte{0, 0}

// A head is the parsed value of aws_dbe_head. Its fields refer to it.
type head struct {
	version    byte
	suite      keyring.Suite
	messageID  []byte
	legend     []byte
	context    []byte // the stored pairs behind their count
	keys       []byte // the wrapped keys
	keyCount   int
	body       []byte // all before the commitment
	commitment []byte
}

// appendHead appends what a head has before its commitment. The fields that are not written
// may be zero.
func appendHead(dst []byte, h *head) []byte {
	dst = append(dst, h.version, byte(h.suite))
	dst = append(dst, h.messageID...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.legend)))
	dst = append(dst, h.legend...)
	dst = append(dst, h.context...)
	dst = append(dst, byte(h.keyCount))
	return append(dst, h.keys...)
}

// appendDataKeys appends wrapped keys without their count.
func appendDataKeys(dst []byte, keys []keyring.EncryptedDataKey) ([]byte, error) {
	for i := range keys {
		k := &keys[i]
		if max(len(k.ProviderID), len(k.ProviderInfo), len(k.Ciphertext)) > 1<<16-1 {
			return dst, fmt.Errorf("%w: a field of encrypted data key %d is longer than 65535 bytes", envelope.ErrLimit, i+1)
		}
		dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(k.ProviderID))), k.ProviderID...)
		dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(k.ProviderInfo))), k.ProviderInfo...)
		dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(k.Ciphertext))), k.Ciphertext...)
	}
	return dst, nil
}

// parseHead parses all of b, which it may refer to, and stops at the first wrapped key past
// the limit.
func parseHead(b []byte, maxKeys int) (head, error) {
	var h head
	in := cryptobyte.String(b)
	var flavor uint8
	var legend cryptobyte.String
	if !in.ReadUint8(&h.version) || !in.ReadUint8(&flavor) {
		return h, malformed("it is cut short")
	}
	if h.version != version1 && h.version != version2 {
		return h, malformed("it has a version that this library does not know")
	}
	h.suite = keyring.Suite(suiteFamily<<8 | uint16(flavor))
	if !h.suite.SignsSymmetrically() {
		return h, malformed("it has an algorithm suite that this library does not know")
	}
	if !in.ReadBytes(&h.messageID, messageIDLen) || !in.ReadUint16LengthPrefixed(&legend) {
		return h, malformed("it is cut short in the message ID or the legend")
	}
	h.legend = legend
	for _, letter := range h.legend {
		if letter != legendEncrypted && letter != legendSigned && letter != legendContext {
			return h, malformed("the legend has a letter that is none of the format's")
		}
	}

	from := len(b) - len(in)
	if err := skipContext(&in); err != nil {
		return h, err
	}
	to := len(b) - len(in)
	h.context = b[from:to:to]

	var count uint8
	if !in.ReadUint8(&count) {
		return h, malformed("it is cut short before the count of encrypted data keys")
	}
	h.keyCount = int(count)
	switch {
	case count == 0:
		return h, malformed("it has no encrypted data key")
	case h.keyCount > maxKeys:
		return h, fmt.Errorf("%w: %d encrypted data keys, and this table reads %d", envelope.ErrLimit, count, maxKeys)
	}
	from = len(b) - len(in)
	for i := range h.keyCount {
		var provider, info, ciphertext cryptobyte.String
		if !in.ReadUint16LengthPrefixed(&provider) || !in.ReadUint16LengthPrefixed(&info) || !in.ReadUint16LengthPrefixed(&ciphertext) {
			return h, malformed("it is cut short in encrypted data key %d", i+1)
		}
		if !utf8.Valid(provider) {
			return h, malformed("the provider ID of encrypted data key %d is not UTF-8", i+1)
		}
	}
	to = len(b) - len(in)
	h.keys = b[from:to:to]
	h.body = b[:to:to]
	if !in.ReadBytes(&h.commitment, commitmentLen) || !in.Empty() {
		return h, malformed("%d bytes stand where the %d of the commitment should", len(b)-to, commitmentLen)
	}
	return h, nil
}

// skipContext goes past the stored pairs, which must be in order.
func skipContext(in *cryptobyte.String) error {
	var count uint16
	if !in.ReadUint16(&count) {
		return malformed("it is cut short before the encryption context")
	}
	var last cryptobyte.String
	for i := range count {
		var key, value cryptobyte.String
		if !in.ReadUint16LengthPrefixed(&key) || !in.ReadUint16LengthPrefixed(&value) {
			return malformed("it is cut short in pair %d of the encryption context", i+1)
		}
		switch {
		case !utf8.Valid(key) || !utf8.Valid(value):
			return malformed("pair %d of the encryption context is not UTF-8", i+1)
		case i > 0 && string(last) >= string(key):
			return malformed("the pairs of the encryption context are not in order, or a key stands twice")
		}
		last = key
	}
	return nil
}

// stored returns the stored pairs and the wrapped keys as materials managers take them: as
// they stand in the header of a message.
func (h *head) stored() ([]byte, error) {
	context := h.context
	if bytes.Equal(context, noPairs) {
		context = nil // a message has no count of no pairs
	}
	if len(context) > 1<<16-1 {
		return nil, fmt.Errorf("%w: the encryption context is longer than 65535 bytes", envelope.ErrLimit)
	}
	b := make([]byte, 0, 2+len(context)+2+len(h.keys))
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(context))), context...)
	return append(binary.BigEndian.AppendUint16(b, uint16(h.keyCount)), h.keys...), nil
}
