package dynamoitem

import (
	"context"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/keyring/branchkey"
)

// A Beacon is a short keyed hash of encrypted values that is stored beside them, so that
// items can be found by value: see "Beacons" in the package's documentation. It is a
// standard beacon, of one encrypted attribute, or with Parts a compound one.
type Beacon struct {
	// Attribute is the encrypted attribute that the beacon is of. Empty is the one that is
	// called as the beacon. No two beacons are of the same.
	Attribute string

	// Bits is the beacon's length, 1 to 63. Fewer bits tell less to who reads the table,
	// and have queries read more rows: see [BeaconBits]. It cannot be changed while there
	// are items with the beacon.
	Bits int

	// Set makes the beacon a set: the beacons of the members of the attribute, which must
	// then be a set in every item. An index has no sets in its key, so that it serves
	// filter expressions: contains(aws_dbe_b_NAME, :beacon).
	Set bool

	// PartOnly keeps the beacon itself out of items: it is a part of compound beacons and
	// nothing else, which tells less to who reads the table.
	PartOnly bool

	// Parts, if there are any, make a compound beacon of several attributes, in this order.
	// Its text is for each part the prefix and the beacon, or the readable value; Split
	// stands between them: "Y_1984.N_7d9bfa40". All fields above are zero then.
	//
	// Items that lack an attribute of a part that is not optional do not have the beacon.
	Parts []BeaconPart

	// Split is the one character that separates Parts. No value of a part may have it:
	// items with one that does are not written.
	Split rune
}

// A BeaconPart is a part of a compound beacon. In the attribute that it is of, it takes
// text, numbers, booleans and null. Numbers are written as DynamoDB would write them.
type BeaconPart struct {
	// Name is that of a standard beacon, or of an attribute that is signed and not
	// encrypted: its value becomes part of the beacon as it is. At least one part is a
	// beacon.
	Name string

	// Prefix stands before the part. None begins with another one of the same beacon.
	Prefix string

	// Optional leaves the part away in items that lack its attribute. At least one part is
	// not optional.
	Optional bool
}

// BeaconKeys has the keys of beacons. A [*branchkey.Keyring] keeps them for its
// Limits.MaxAge, as it keeps branch keys, with what was derived from them, and is what
// services use. A [*branchkey.KeyStore] keeps none: it reads its table and asks KMS once for
// each item and query.
type BeaconKeys interface {
	// Beacon returns the beacon key of a branch key, for the caller to clear.
	Beacon(ctx context.Context, id string) (*branchkey.BeaconKey, error)
}

const (
	beaconPrefix = reservedPrefix + "b_"

	// beaconVersion is a mark in items with beacons of the format's only version.
	beaconVersion     = reservedPrefix + "v_1"
	beaconVersionMark = " "

	maxBeaconBits = 63
)

// beacon is a Beacon as it is used.
type beacon struct {
	name     string
	stored   string // the name of its attribute in encrypted items
	of       string // the encrypted attribute, of a standard one
	bits     int
	set      bool
	partOnly bool
	parts    []part // of a compound one
	split    string
}

type part struct {
	prefix   string
	of       string  // the attribute
	beacon   *beacon // nil if it is readable
	optional bool
}

// checkBeacons checks what a config says of beacons.
func (c *Config) checkBeacons(wrong func(string, ...any)) {
	if len(c.Beacons) == 0 {
		if c.BeaconKeys != nil || c.BeaconKeyID != "" || c.BeaconKeySupplier != nil {
			wrong("Config.Beacons is empty, and BeaconKeys, BeaconKeyID or BeaconKeySupplier is set")
		}
		return
	}
	if c.BeaconKeys == nil {
		wrong("Config.BeaconKeys is nil, and Beacons need it")
	}
	if (c.BeaconKeyID == "") == (c.BeaconKeySupplier == nil) {
		wrong("Config.BeaconKeyID or BeaconKeySupplier must be set for Beacons, and not both")
	}
	used := make(map[string]bool)       // beacons that are parts
	beaconOf := make(map[string]string) // by attribute
	for _, name := range slices.Sorted(maps.Keys(c.Beacons)) {
		b := c.Beacons[name]
		what := fmt.Sprintf("Config.Beacons[%q]", clip(name))
		checkName(wrong, what, name)
		if len(beaconPrefix)+len(name) > maxNameLen && len(name) <= maxNameLen {
			wrong("%s: the name is %d bytes, and those of beacons have at most %d", what, len(name), maxNameLen-len(beaconPrefix))
		}
		if action, has := c.Actions[name]; has && action != EncryptAndSign {
			wrong("%s: an attribute of that name is %v, and a beacon's name is free or that of an encrypted one", what, action)
		} else if c.isUnsigned(name) {
			wrong("%s: the name is among Unsigned, or begins with UnsignedPrefix", what)
		}
		if b.Parts != nil {
			c.checkCompound(wrong, what, b, used)
			continue
		}
		of := b.of(name)
		switch action, has := c.Actions[of]; {
		case !has:
			wrong("%s: the attribute %q is not in Actions", what, clip(of))
		case action != EncryptAndSign:
			wrong("%s: the attribute %q is %v, and beacons are of encrypted ones", what, clip(of), action)
		}
		checkNotPath(wrong, what, of)
		if other, has := beaconOf[of]; has {
			wrong("%s: the attribute %q has the beacon %q already", what, clip(of), clip(other))
		}
		beaconOf[of] = name
		if b.Bits < 1 || b.Bits > maxBeaconBits {
			wrong("%s.Bits is %d: it must be 1 to %d", what, b.Bits, maxBeaconBits)
		}
		if b.Split != 0 {
			wrong("%s.Split is for beacons with Parts", what)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Beacons)) {
		if b := c.Beacons[name]; b.PartOnly && b.Parts == nil && !used[name] {
			wrong("Config.Beacons[%q] is PartOnly, and part of no compound beacon", clip(name))
		}
	}
}

// checkCompound checks a compound beacon, and marks the beacons that it has as parts.
func (c *Config) checkCompound(wrong func(string, ...any), what string, b Beacon, used map[string]bool) {
	if b.Attribute != "" || b.Bits != 0 || b.Set || b.PartOnly {
		wrong("%s has Parts: then Attribute, Bits, Set and PartOnly must be zero", what)
	}
	switch {
	case b.Split == 0:
		wrong("%s.Split is not set", what)
	case !utf8.ValidRune(b.Split) || b.Split > 0xffff:
		// AWS's releases take one unit of UTF-16.
		wrong("%s.Split is not a character up to U+FFFF", what)
	case unicode.Is(unicode.ASCII_Hex_Digit, b.Split):
		wrong("%s.Split %q: beacons are written in hexadecimal digits", what, b.Split)
	}
	encrypted, required := false, false
	for i, p := range b.Parts {
		part := fmt.Sprintf("%s.Parts[%d]", what, i)
		required = required || !p.Optional
		other, isBeacon := c.Beacons[p.Name]
		action, has := c.Actions[p.Name]
		switch {
		case isBeacon && other.Parts != nil:
			wrong("%s: %q is a compound beacon", part, clip(p.Name))
		case isBeacon && other.Set:
			wrong("%s: the beacon %q is a set", part, clip(p.Name))
		case isBeacon:
			encrypted, used[p.Name] = true, true
		case has && (action == SignOnly || action == SignAndIncludeInContext):
			checkNotPath(wrong, part, p.Name)
		default:
			wrong("%s: %q is neither a beacon nor an attribute that is signed and not encrypted", part, clip(p.Name))
		}
		switch {
		case p.Prefix == "":
			wrong("%s.Prefix is empty", part)
		case !utf8.ValidString(p.Prefix):
			wrong("%s.Prefix is not UTF-8", part)
		case b.Split != 0 && strings.ContainsRune(p.Prefix, b.Split):
			wrong("%s.Prefix has the character Split", part)
		}
		for j, other := range b.Parts[:i] {
			if other.Name == p.Name {
				wrong("%s: %q is there twice", part, clip(p.Name))
			}
			if p.Prefix != "" && other.Prefix != "" && (strings.HasPrefix(p.Prefix, other.Prefix) || strings.HasPrefix(other.Prefix, p.Prefix)) {
				wrong("%s.Prefix and that of Parts[%d]: one begins with the other", part, j)
			}
		}
	}
	switch {
	case len(b.Parts) == 0:
		wrong("%s.Parts is empty", what)
	case !encrypted:
		wrong("%s: at least one part must be a beacon", what)
	case !required:
		wrong("%s: all parts are optional", what)
	}
}

// checkNotPath refuses names that AWS's releases would read as a path into an attribute.
func checkNotPath(wrong func(string, ...any), what, attribute string) {
	if strings.ContainsAny(attribute, ".[") {
		wrong("%s: the attribute %q has a dot or a bracket in its name, which AWS's releases take for a path", what, clip(attribute))
	}
}

// of returns the attribute of a standard beacon.
func (b *Beacon) of(name string) string {
	if b.Attribute != "" {
		return b.Attribute
	}
	return name
}

// newBeacons returns the beacons of a config that was checked, in the order of their names.
func newBeacons(c *Config) (all []*beacon) {
	standard := make(map[string]*beacon)
	for name, b := range c.Beacons {
		made := &beacon{name: name, stored: beaconPrefix + name}
		all = append(all, made)
		if b.Parts == nil {
			made.of, made.bits, made.set, made.partOnly = b.of(name), b.Bits, b.Set, b.PartOnly
			standard[name] = made
		}
	}
	slices.SortFunc(all, func(a, b *beacon) int { return strings.Compare(a.name, b.name) })
	for _, made := range all {
		b := c.Beacons[made.name]
		if b.Parts == nil {
			continue
		}
		made.split = string(b.Split)
		for _, p := range b.Parts {
			of := p.Name
			if s := standard[p.Name]; s != nil {
				of = s.of
			}
			made.parts = append(made.parts, part{p.Prefix, of, standard[p.Name], p.Optional})
		}
	}
	return all
}

// Beacon returns what finds items by value: the attribute of encrypted items that a beacon
// is stored in, and its value for the attributes in want, to be used in the condition of a
// query or in a filter expression. [Client.Find] does all of this for an index that has the
// beacon in its key. Beacon asks Config.BeaconKeys once. Rows that come back must
// be decrypted, and then given to [Table.Filter] with the same want: other values have the
// same beacon, and beacons are not signed.
//
// Name is the beacon's. For a standard beacon, want has its attribute. If the beacon is a
// set, that can be one member, and then the value is one, for contains(). What else is in
// want is for Config.BeaconKeySupplier and for Filter.
//
// For a compound beacon, want has attributes of parts that follow each other. With
// all parts that are not optional the value is for equality, and finds items that have
// just those of the optional ones. With the first part and some of the next it is for
// begins_with(), and with others for contains().
//
// The error is an [*Error]. What is wrong with an argument is keyring.ErrInvalidArgument.
func (t *Table) Beacon(ctx context.Context, name string, want map[string]types.AttributeValue) (attribute string, value types.AttributeValue, err error) {
	b, err := t.findBeacon(name, want)
	if err == nil && b.partOnly {
		err = invalid("beacon %q is PartOnly: it is not in items", clip(name))
	}
	if err == nil {
		err = t.withMACs(ctx, want, func(m *macs) error {
			value, err = m.queried(b, want)
			return err
		})
	}
	if err != nil {
		return "", nil, t.failed("beacon", err)
	}
	return b.stored, value, nil
}

// Filter returns those of some items, decrypted, that have the attributes in want, whose
// types and values must be the same. It is for the rows that a query by [Table.Beacon]
// found, with the same name and want: of a beacon that is a set, one member can be wanted.
// The items are not copied.
//
// The error is an [*Error], and keyring.ErrInvalidArgument. Filter asks no key service.
func (t *Table) Filter(name string, items []map[string]types.AttributeValue, want map[string]types.AttributeValue) ([]map[string]types.AttributeValue, error) {
	b, err := t.findBeacon(name, want)
	if err != nil {
		return nil, t.failed("filter", err)
	}
	wanted := newWanted(b.set, want)
	var found []map[string]types.AttributeValue
	for _, item := range items {
		if wanted.in(item) {
			found = append(found, item)
		}
	}
	return found, nil
}

// A wantedValues is what items must have.
type wantedValues struct {
	values  map[string][]byte // serialized, by attribute
	members bool              // whether a member of a set is as good as its value
}

// newWanted returns what is wanted, which checkWant was called for.
func newWanted(members bool, want map[string]types.AttributeValue) wantedValues {
	w := wantedValues{make(map[string][]byte, len(want)), members}
	for attribute, v := range want {
		w.values[attribute], _ = appendTyped(nil, v)
	}
	return w
}

// in says whether an item has all that is wanted.
func (w wantedValues) in(item map[string]types.AttributeValue) bool {
	for attribute, wanted := range w.values {
		if !w.matches(item[attribute], wanted) {
			return false
		}
	}
	return true
}

// matches says whether a value is the wanted one, or has it as a member.
func (w wantedValues) matches(v types.AttributeValue, wanted []byte) bool {
	got, err := appendTyped(nil, v)
	if err != nil {
		return false // as an attribute that is missing
	}
	if string(got) == string(wanted) {
		return true
	}
	return w.members && slices.ContainsFunc(membersOf(v), func(v types.AttributeValue) bool {
		got, err = appendTyped(got[:0], v)
		return err == nil && string(got) == string(wanted)
	})
}

// findBeacon returns a beacon, and checks want: it must have an attribute that the beacon is
// of.
func (t *Table) findBeacon(name string, want map[string]types.AttributeValue) (*beacon, error) {
	i := slices.IndexFunc(t.beacons, func(b *beacon) bool { return b.name == name })
	if i < 0 {
		return nil, invalid("there is no beacon %q in Config.Beacons", clip(name))
	}
	b := t.beacons[i]
	if _, has := want[b.of]; !has && !slices.ContainsFunc(b.parts, func(p part) bool { _, has = want[p.of]; return has }) {
		return nil, invalid("beacon %q: no attribute is wanted that it is of", clip(name))
	}
	return b, t.checkWant(want)
}

// checkWant checks the attributes that items must have.
func (t *Table) checkWant(want map[string]types.AttributeValue) error {
	var small [16]string // is on the stack
	names := slices.AppendSeq(small[:0], maps.Keys(want))
	slices.Sort(names)
	for _, attribute := range names {
		if err := t.checkKnown(attribute); err != nil {
			return err
		}
		if _, err := appendTyped(nil, want[attribute]); err != nil {
			return at(attribute, invalid("%v", err))
		}
	}
	return nil
}

// checkKnown returns an error for an attribute that no item has.
func (t *Table) checkKnown(attribute string) error {
	if _, known := t.actionOf(attribute); !known {
		return at(attribute, invalid("Config.Actions has no action for it, and it is not unsigned"))
	}
	return nil
}

// BeaconBits returns the lengths in bits that AWS advises for the beacon of an attribute
// that has so many distinct values, about evenly spread: 2^bits is at least their square
// root, or else queries read much of the table, and less than half of them, or else a
// beacon is as good as a name for the value. Where most is less than least, no length is
// good: there are too few values.
func BeaconBits(distinct int) (least, most int) {
	log := bits.Len(uint(max(distinct, 1) - 1)) // to base 2, rounded up
	return max((log+1)/2, 1), max(log-2, 0)
}

// BeaconCollisions returns how many other values, of so many distinct ones, have the same
// beacon of some bits as a given one, on average: (distinct-1) / 2^bits. For each row that is
// wanted, where values are evenly spread, a query reads so many others.
func BeaconCollisions(distinct, bits int) float64 {
	return math.Ldexp(float64(max(distinct, 1)-1), -bits)
}

// A beaconKey computes HMACs under keys of beacons by name: a *branchkey.BeaconKey.
type beaconKey interface {
	AppendMAC(b []byte, name string, value []byte) ([]byte, error)
}

// macs computes beacons under one beacon key.
type macs struct {
	key beaconKey
	buf []byte // of a value, in the clear
	sum [sha512.Size384]byte

	small [128]byte // which buf begins with
}

// withMACs calls do with what computes the beacons of an item, and clears it.
func (t *Table) withMACs(ctx context.Context, item map[string]types.AttributeValue, do func(*macs) error) error {
	id := t.config.BeaconKeyID
	if t.config.BeaconKeySupplier != nil {
		var err error
		if id, err = t.config.BeaconKeySupplier(item); err != nil {
			return fmt.Errorf("Config.BeaconKeySupplier: %w", err)
		}
	}
	key, err := t.config.BeaconKeys.Beacon(ctx, id)
	if err != nil {
		return fmt.Errorf("beacon key: %w", err)
	}
	defer key.Clear()
	m := &macs{key: key}
	m.buf = m.small[:0]
	defer func() {
		clear(m.small[:])
		clear(m.buf[:cap(m.buf)])
	}()
	return do(m)
}

// beaconsFor returns the attributes that beacons add to an item.
func (t *Table) beaconsFor(ctx context.Context, item map[string]types.AttributeValue) (added map[string]types.AttributeValue, err error) {
	if len(t.beacons) == 0 {
		return nil, nil
	}
	err = t.withMACs(ctx, item, func(m *macs) error {
		added, err = t.beaconsUnder(m, item)
		return err
	})
	return added, err
}

func (t *Table) beaconsUnder(m *macs, item map[string]types.AttributeValue) (map[string]types.AttributeValue, error) {
	added := make(map[string]types.AttributeValue, len(t.beacons)+1)
	added[beaconVersion] = &types.AttributeValueMemberS{Value: beaconVersionMark}
	for _, b := range t.beacons {
		if b.partOnly {
			continue
		}
		v, err := m.stored(b, item)
		if err != nil {
			return nil, err
		}
		if v != nil {
			added[b.stored] = v
		}
	}
	return added, nil
}

// stored returns the value of a beacon for an item, or nil if the item has none.
func (m *macs) stored(b *beacon, item map[string]types.AttributeValue) (types.AttributeValue, error) {
	if b.parts != nil {
		for _, p := range b.parts {
			if _, has := item[p.of]; !has && !p.optional {
				return nil, nil
			}
		}
		return m.compound(b, b.parts, item)
	}
	v, has := item[b.of]
	switch {
	case !has:
		return nil, nil
	case b.set && !isSet(v):
		return nil, at(b.of, invalid("it is not a set, as beacon %q says", clip(b.name)))
	}
	return m.standard(b, v)
}

// queried returns the value of a beacon for what a query wants.
func (m *macs) queried(b *beacon, want map[string]types.AttributeValue) (types.AttributeValue, error) {
	if b.parts == nil {
		v, err := m.standard(b, want[b.of])
		if err == nil && v == nil {
			err = at(b.of, invalid("beacon %q: an empty set has none", clip(b.name)))
		}
		return v, err
	}
	begun, missing := false, "" // a part that is missing behind others
	for _, p := range b.parts {
		_, has := want[p.of]
		switch {
		case has && missing != "":
			return nil, at(missing, invalid("beacon %q needs it between the others that are wanted", clip(b.name)))
		case has:
			begun = true
		case begun && !p.optional:
			missing = p.of
		}
	}
	return m.compound(b, b.parts, want)
}

// standard returns a standard beacon of a value: of each member, if it is a set and the
// beacon too. It is nil for an empty set, since DynamoDB holds none.
func (m *macs) standard(b *beacon, v types.AttributeValue) (types.AttributeValue, error) {
	if !b.set || !isSet(v) {
		s, err := m.ofValue(b, v)
		if err != nil {
			return nil, err
		}
		return &types.AttributeValueMemberS{Value: s}, nil
	}
	var all []string
	for _, member := range membersOf(v) {
		s, err := m.ofValue(b, member)
		if err != nil {
			return nil, err
		}
		// Truncated, those of several members can be the same, and a set has each once.
		all = append(all, s)
	}
	if all == nil {
		return nil, nil
	}
	slices.Sort(all)
	return &types.AttributeValueMemberSS{Value: slices.Compact(all)}, nil
}

// compound returns a compound beacon of those of its parts that values has.
func (m *macs) compound(b *beacon, parts []part, values map[string]types.AttributeValue) (types.AttributeValue, error) {
	var s strings.Builder
	for _, p := range parts {
		v, has := values[p.of]
		if !has {
			continue
		}
		text, err := partText(v)
		switch {
		case err != nil:
			return nil, at(p.of, invalid("beacon %q: %v", clip(b.name), err))
		case strings.Contains(text, b.split):
			return nil, at(p.of, invalid("beacon %q: the value has the character %q, which separates parts", clip(b.name), b.split))
		}
		if s.Len() > 0 {
			s.WriteString(b.split)
		}
		s.WriteString(p.prefix)
		if p.beacon == nil {
			s.WriteString(text)
			continue
		}
		m.buf = append(m.buf[:0], text...)
		hashed, err := m.hash(p.beacon, m.buf)
		if err != nil {
			return nil, err
		}
		s.WriteString(hashed)
	}
	return &types.AttributeValueMemberS{Value: s.String()}, nil
}

// ofValue returns the standard beacon of a value.
func (m *macs) ofValue(b *beacon, v types.AttributeValue) (string, error) {
	// Without its type: the string "1" and the number 1 have the same beacon.
	var err error
	if m.buf, err = appendValue(m.buf[:0], v, 1); err != nil {
		return "", at(b.of, invalid("%v", err))
	}
	return m.hash(b, m.buf)
}

// hash returns a beacon: the last bits of the first 8 bytes of an HMAC, in hexadecimal.
func (m *macs) hash(b *beacon, value []byte) (string, error) {
	sum, err := m.key.AppendMAC(m.sum[:0], b.name, value)
	if err != nil {
		return "", err
	}
	return truncated(binary.BigEndian.Uint64(sum), b.bits), nil
}

// truncated returns the last bits of v.
func truncated(v uint64, bits int) string {
	v &= 1<<bits - 1
	var digits [(maxBeaconBits + 3) / 4]byte
	for i := range digits {
		digits[len(digits)-1-i] = "0123456789abcdef"[v>>(4*i)&0xf]
	}
	return string(digits[len(digits)-(bits+3)/4:])
}

var errPartType = errors.New("a part of it is text, a number, a boolean or null")

// partText returns a value as it stands in a compound beacon, or is hashed for it.
func partText(v types.AttributeValue) (string, error) {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value, nil
	case *types.AttributeValueMemberN:
		return normalized(v.Value)
	case *types.AttributeValueMemberBOOL:
		if v.Value {
			return "true", nil
		}
		return "false", nil
	case *types.AttributeValueMemberNULL:
		return "null", nil
	}
	return "", errPartType
}

func isSet(v types.AttributeValue) bool {
	switch v.(type) {
	case *types.AttributeValueMemberSS, *types.AttributeValueMemberNS, *types.AttributeValueMemberBS:
		return true
	}
	return false
}

// membersOf returns the members of a set, and nil for what is none.
func membersOf(v types.AttributeValue) (all []types.AttributeValue) {
	switch v := v.(type) {
	case *types.AttributeValueMemberSS:
		for _, s := range v.Value {
			all = append(all, &types.AttributeValueMemberS{Value: s})
		}
	case *types.AttributeValueMemberNS:
		for _, s := range v.Value {
			all = append(all, &types.AttributeValueMemberN{Value: s})
		}
	case *types.AttributeValueMemberBS:
		for _, b := range v.Value {
			all = append(all, &types.AttributeValueMemberB{Value: b})
		}
	}
	return all
}
