package dynamoitem

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
)

// awsKey is the beacon key of AWS's tests, 5 bytes long, where that of a branch key is 32.
type awsKey struct{}

func (awsKey) AppendMAC(b []byte, name string, value []byte) ([]byte, error) {
	key, err := hkdf.Key(sha512.New, []byte{1, 2, 3, 4, 5}, nil, "AWS_DBE_SCAN_BEACON"+name, 64)
	if err != nil {
		return nil, err
	}
	return oneKey(key).AppendMAC(b, name, value)
}

// oneKey is the key of every beacon.
type oneKey []byte

func (k oneKey) AppendMAC(b []byte, _ string, value []byte) ([]byte, error) {
	mac := hmac.New(sha512.New384, k)
	mac.Write(value)
	return mac.Sum(b), nil
}

func underAWSKey() *macs { return &macs{key: awsKey{}} }

// What AWS's tests expect under awsKey. Source, in this block and in the tests below:
// DynamoDbEncryption/dafny/DynamoDbEncryption/test of
// github.com/aws/aws-database-encryption-sdk-dynamodb at commit b69c6db; this block is of
// BeaconTestFixtures.dfy.
const (
	std2Beacon       = "ac6f5d"
	nameBeacon       = "7d9bfa40"
	titleBeacon      = "e4feb833"
	std4Beacon       = "0e9064"
	std6Beacon       = "2d99222"
	nameTitleBeacon  = "4c577d7"
	emptyNameBeacon  = "e0e88994"
	emptyTitleBeacon = "af34f26f"
)

// awsConfig is the configuration of BeaconTestFixtures.dfy, as far as it can be had here.
// Its virtual field and its beacon of a list's member are attributes of their own, since
// what is hashed is the same; of Mixed it has the first constructor.
func awsConfig() Config {
	return Config{
		Table: "Foo", PartitionKey: "foo", BeaconKeys: noKeys{}, BeaconKeyID: "foo",
		Actions: map[string]Action{
			"foo": SignOnly, "std2": EncryptAndSign, "std4": EncryptAndSign, "std6": EncryptAndSign, "Name": EncryptAndSign,
			"Title": EncryptAndSign, "NameTitleField": EncryptAndSign, "Year": SignOnly,
		},
		Beacons: map[string]Beacon{
			"std2": {Bits: 24}, "std4": {Bits: 24, Attribute: "std4"}, "std6": {Bits: 26},
			"NameTitleField": {Bits: 28}, "Name": {Bits: 32}, "Title": {Bits: 32},
			"NameTitle": {Split: '.', Parts: []BeaconPart{{Name: "Name", Prefix: "N_"}, {Name: "Title", Prefix: "T_"}}},
			"YearName":  {Split: '.', Parts: []BeaconPart{{Name: "Year", Prefix: "Y_"}, {Name: "Name", Prefix: "N_"}}},
			"Mixed":     {Split: '.', Parts: []BeaconPart{{Name: "Name", Prefix: "N_"}, {Name: "Year", Prefix: "Y_"}}},
		},
	}
}

// awsItem is SimpleItem of BeaconTestFixtures.dfy.
func awsItem() item {
	return item{
		"std2": num("1.23"), "std4": str("abc"), "std6": str("666"), "Year": num("1984"),
		"Name": str("MyName"), "Title": str("MyTitle"), "NameTitleField": str("MyName__mytitle"),
	}
}

func beaconOf(t *testing.T, table *Table, name string) *beacon {
	for _, b := range table.beacons {
		if b.name == name {
			return b
		}
	}
	require.Fail(t, "no beacon "+name)
	return nil
}

// noKeys is where no beacon key is asked for.
type noKeys struct{}

func (noKeys) Beacon(context.Context, string) (*branchkey.BeaconKey, error) {
	return nil, errors.New("no key")
}

// TestAWSBeaconsOfAnItem: TestBeaconValues of Beacon.dfy.
func TestAWSBeaconsOfAnItem(t *testing.T) {
	table := newTable(t, record(t), awsConfig())
	added, err := table.beaconsUnder(underAWSKey(), awsItem())
	require.NoError(t, err)
	assert.Equal(t, item{
		"aws_dbe_v_1":              str(" "),
		"aws_dbe_b_Mixed":          str("N_" + nameBeacon + ".Y_1984"),
		"aws_dbe_b_Name":           str(nameBeacon),
		"aws_dbe_b_NameTitle":      str("N_" + nameBeacon + ".T_" + titleBeacon),
		"aws_dbe_b_NameTitleField": str(nameTitleBeacon),
		"aws_dbe_b_std2":           str(std2Beacon),
		"aws_dbe_b_Title":          str(titleBeacon),
		"aws_dbe_b_std6":           str(std6Beacon),
		"aws_dbe_b_std4":           str(std4Beacon),
		"aws_dbe_b_YearName":       str("Y_1984.N_" + nameBeacon),
	}, added)
}

// TestAWSBeaconOfAValue: TestOneBeaconValue, TestNumbersNormalize and the queries of
// TestQueryBeacons, TestCompoundQueries and TestShareSameBeacon of Beacon.dfy.
func TestAWSBeaconOfAValue(t *testing.T) {
	table := newTable(t, record(t), awsConfig())
	for name, c := range map[string]struct {
		beacon string
		want   item
		is     string
	}{
		"number":            {"std2", item{"std2": num("1.23")}, std2Beacon},
		"number with zeros": {"std2", item{"std2": num("000001.23000000")}, std2Beacon},
		"number as text":    {"std2", item{"std2": str("1.23")}, std2Beacon},
		"foo":               {"std2", item{"std2": str("foo")}, "4379a7"},
		"abc":               {"std2", item{"std2": str("abc")}, "51e1da"},
		"def":               {"std2", item{"std2": str("def")}, "39ef85"}, // of TestSharedSet
		"ghi":               {"std2", item{"std2": str("ghi")}, "3ff06a"},
		"26 bits":           {"std6", item{"std6": str("666")}, std6Beacon},
		"28 bits":           {"NameTitleField", item{"NameTitleField": str("MyName__mytitle")}, nameTitleBeacon},
		"empty":             {"Name", item{"Name": str("")}, emptyNameBeacon},
		"empty too":         {"Title", item{"Title": str("")}, emptyTitleBeacon},
		"compound":          {"Mixed", item{"Name": str("MyName"), "Year": num("1984")}, "N_" + nameBeacon + ".Y_1984"},
		"its first part":    {"Mixed", item{"Name": str("MyName")}, "N_" + nameBeacon},
		"its last part":     {"Mixed", item{"Year": num("1984")}, "Y_1984"},
		"two beacons":       {"NameTitle", item{"Name": str("MyName"), "Title": str("MyTitle")}, "N_" + nameBeacon + ".T_" + titleBeacon},
		"the second":        {"NameTitle", item{"Title": str("MyTitle")}, "T_" + titleBeacon},
		"signed first":      {"YearName", item{"Name": str("MyName"), "Year": num("1984")}, "Y_1984.N_" + nameBeacon},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := table.findBeacon(c.beacon, c.want)
			require.NoError(t, err)
			v, err := underAWSKey().queried(b, c.want)
			require.NoError(t, err)
			assert.Equal(t, str(c.is), v)
		})
	}
}

// TestBeaconKeyIsOfItsName has a beacon with another name than its attribute: the key is of
// the beacon's name, as keyName in src/Beacon.dfy has it.
func TestBeaconKeyIsOfItsName(t *testing.T) {
	config := awsConfig()
	config.Actions["other"] = EncryptAndSign
	config.Beacons = map[string]Beacon{"Name": {Attribute: "other", Bits: 32}}
	added, err := newTable(t, record(t), config).beaconsUnder(underAWSKey(), item{"other": str("MyName"), "Name": str("x")})
	require.NoError(t, err)
	assert.Equal(t, item{"aws_dbe_v_1": str(" "), "aws_dbe_b_Name": str(nameBeacon)}, added)
}

// TestAWSSetBeacons: TestBeaconSetQuery and TestSetNotSet of Beacon.dfy.
func TestAWSSetBeacons(t *testing.T) {
	for name, c := range map[string]struct{ of []string }{
		"setAttr":  {[]string{"43c4d8", "2f3278", "f1972e"}},
		"partOnly": {[]string{"928d9b", "405a51", "9c6c2e"}},
	} {
		config := awsConfig()
		config.Actions[name] = EncryptAndSign
		config.Beacons[name] = Beacon{Bits: 24, Set: true}
		table := newTable(t, record(t), config)
		added, err := table.beaconsUnder(underAWSKey(), item{name: strs("abc", "def", "ghi")})
		require.NoError(t, err)
		slices.Sort(c.of)
		assert.Equal(t, item{"aws_dbe_v_1": str(" "), "aws_dbe_b_" + name: strs(c.of...)}, added)
	}
}

// TestAWSPartOnly: TestPartOnlyNotStored of Beacon.dfy.
func TestAWSPartOnly(t *testing.T) {
	for bits, expected := range map[int]item{
		24: {"aws_dbe_v_1": str(" "), "aws_dbe_b_std2": str("51e1da"), "aws_dbe_b_partOnly": str("405a51"), "aws_dbe_b_compoundPart": str("S_405a51")},
		23: {"aws_dbe_v_1": str(" "), "aws_dbe_b_std2": str("51e1da"), "aws_dbe_b_compoundPart": str("S_405a51")},
	} {
		config := awsConfig()
		config.Actions["partOnly"] = EncryptAndSign
		config.Beacons["partOnly"] = Beacon{Bits: bits, PartOnly: bits == 23}
		config.Beacons["compoundPart"] = Beacon{Split: '.', Parts: []BeaconPart{{Name: "partOnly", Prefix: "S_"}}}
		table := newTable(t, record(t), config)
		added, err := table.beaconsUnder(underAWSKey(), item{"std2": str("abc"), "partOnly": str("def")})
		require.NoError(t, err)
		assert.Equal(t, expected, added)
	}
}

// TestAWSTruncation: TestBeacon and CheckBytesToHex of Beacon.dfy.
func TestAWSTruncation(t *testing.T) {
	for bits, expected := range map[int]string{1: "1", 2: "3", 3: "7", 4: "7", 5: "17", 6: "37", 7: "37", 8: "b7"} {
		assert.Equal(t, expected, truncated(0x01020304050607b7, bits))
	}
	for value, expected := range map[string]string{"\x01\x02\x03": "7e", "": "80", "123": "61"} {
		m := &macs{key: oneKey{1, 2}}
		got, err := m.hash(&beacon{name: "foo", bits: 8}, []byte(value))
		require.NoError(t, err)
		assert.Equal(t, expected, got)
	}
	mac := hmac.New(sha512.New384, []byte{1, 2})
	mac.Write([]byte{1, 2, 3})
	assert.Equal(t, uint64(0x2793938b26e9527e), binary.BigEndian.Uint64(mac.Sum(nil)))
	assert.Equal(t, "2793938b26e9527e", truncated(0x2793938b26e9527e, 63))
	assert.Equal(t, "7fffffffffffffff", truncated(math.MaxUint64, 63))
	assert.Equal(t, "000001", truncated(1, 21))
}

// beaconStore has one branch key, t1, in the clear.
func beaconStore(t testing.TB) *branchkey.KeyStore {
	store := branchkeytest.NewPlaintextStoreForTests()
	require.NoError(t, store.Add("t1", "00000000-0000-4000-8000-000000000001", make([]byte, 32), []byte(strings.Repeat("beacon! ", 4))))
	return store.KeyStore()
}

// people is a configuration with beacons of all kinds.
func people(t testing.TB) Config {
	return Config{
		Table: "people", PartitionKey: "id", BeaconKeys: beaconStore(t), BeaconKeyID: "t1",
		Actions: map[string]Action{
			"id": SignOnly, "year": SignOnly, "ssn": EncryptAndSign, "zip": EncryptAndSign, "langs": EncryptAndSign, "city": EncryptAndSign, "vip": EncryptAndSign,
		},
		Beacons: map[string]Beacon{
			"ssn": {Bits: 20}, "by zip": {Attribute: "zip", Bits: 1}, "langs": {Bits: 30, Set: true}, "city": {Bits: 17, PartOnly: true},
			"place": {Split: '|', Parts: []BeaconPart{
				{Name: "year", Prefix: "Y-"}, {Name: "city", Prefix: "C-", Optional: true}, {Name: "by zip", Prefix: "Z-"},
			}},
		},
	}
}

func person() item {
	return item{"id": str("p1"), "year": num("1984"), "ssn": str("123-45-6789"), "zip": num("12345"), "langs": strs("de", "en"), "city": str("Ulm"), "vip": boolean(true)}
}

func TestBeaconsRoundTrip(t *testing.T) {
	for _, suite := range []keyring.Suite{0, keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384} {
		config := people(t)
		config.Suite = suite
		table := newTable(t, record(t), config)
		it := person()
		out, err := table.Encrypt(t.Context(), it)
		require.NoError(t, err)
		assert.Equal(t, person(), it)
		assert.ElementsMatch(t, slices.Concat(slices.Collect(maps.Keys(it)), []string{
			"aws_dbe_head", "aws_dbe_foot", "aws_dbe_v_1", "aws_dbe_b_ssn", "aws_dbe_b_by zip", "aws_dbe_b_langs", "aws_dbe_b_place",
		}), slices.Collect(maps.Keys(out)))

		for name, want := range map[string]item{
			"ssn": {"ssn": it["ssn"]}, "by zip": {"zip": it["zip"]}, "langs": {"langs": strs("en", "de")},
			"place": {"year": num("1984.0"), "city": it["city"], "zip": it["zip"]},
		} {
			attribute, value, err := table.Beacon(t.Context(), name, want)
			require.NoError(t, err)
			assert.Equal(t, out[attribute], value, name)
		}
		// For contains and begins_with.
		attribute, value, err := table.Beacon(t.Context(), "langs", item{"langs": str("de")})
		require.NoError(t, err)
		assert.Contains(t, out[attribute].(*types.AttributeValueMemberSS).Value, value.(*types.AttributeValueMemberS).Value)
		whole := out["aws_dbe_b_place"].(*types.AttributeValueMemberS).Value
		for _, want := range []item{{"year": num("1984")}, {"year": num("1984"), "city": str("Ulm")}} {
			_, value, err = table.Beacon(t.Context(), "place", want)
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(whole, value.(*types.AttributeValueMemberS).Value+"|"))
		}
		_, value, err = table.Beacon(t.Context(), "place", item{"zip": num("12345")})
		require.NoError(t, err)
		assert.True(t, strings.HasSuffix(whole, "|"+value.(*types.AttributeValueMemberS).Value))

		back, err := table.Decrypt(t.Context(), out)
		require.NoError(t, err)
		assert.Equal(t, person(), back)

		// A table that has no beacons, or others, reads it too.
		config.Beacons, config.BeaconKeys, config.BeaconKeyID = nil, nil, ""
		back, err = newTable(t, table.manager, config).Decrypt(t.Context(), out)
		require.NoError(t, err)
		assert.Equal(t, person(), back)
	}
}

// TestBeaconsThatAreMissing has items that lack attributes.
func TestBeaconsThatAreMissing(t *testing.T) {
	table := newTable(t, record(t), people(t))
	for name, c := range map[string]struct {
		without []string
		beacons []string
	}{
		"optional":          {[]string{"city"}, []string{"by zip", "langs", "place", "ssn"}},
		"of a beacon":       {[]string{"ssn"}, []string{"by zip", "langs", "place"}},
		"of two":            {[]string{"zip"}, []string{"langs", "ssn"}},
		"readable part":     {[]string{"year"}, []string{"by zip", "langs", "ssn"}},
		"all but the key's": {[]string{"year", "zip", "city", "langs", "ssn"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			it := person()
			for _, a := range c.without {
				delete(it, a)
			}
			out, err := table.Encrypt(t.Context(), it)
			require.NoError(t, err)
			var beacons []string
			for _, a := range slices.Sorted(maps.Keys(out)) {
				if b, is := strings.CutPrefix(a, "aws_dbe_b_"); is {
					beacons = append(beacons, b)
				}
			}
			assert.Equal(t, c.beacons, beacons)
			assert.Equal(t, str(" "), out["aws_dbe_v_1"])
		})
	}
	it := person()
	delete(it, "city")
	out, err := table.Encrypt(t.Context(), it)
	require.NoError(t, err)
	assert.Regexp(t, `^Y-1984\|Z-[01]$`, out["aws_dbe_b_place"].(*types.AttributeValueMemberS).Value)
	it["langs"] = strs()
	out, err = table.Encrypt(t.Context(), it)
	require.NoError(t, err)
	assert.NotContains(t, out, "aws_dbe_b_langs", "DynamoDB holds no empty set")
}

// TestSetBeaconHasEachOnce has more members than there are beacons.
func TestSetBeaconHasEachOnce(t *testing.T) {
	config := people(t)
	config.Beacons["langs"] = Beacon{Bits: 1, Set: true}
	table := newTable(t, record(t), config)
	for _, set := range []types.AttributeValue{
		strs("a", "b", "c", "d", "e", "f", "g", "h", "i", "j"), nums("1", "2", "3", "4", "5", "6", "7", "8", "9"), bins("1", "2", "3", "4", "5", "6", "7", "8", "9"),
	} {
		it := person()
		it["langs"] = set
		out, err := table.Encrypt(t.Context(), it)
		require.NoError(t, err)
		assert.Equal(t, strs("0", "1"), out["aws_dbe_b_langs"])
	}
}

func TestEncryptRefusesForBeacons(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(item)
		attribute string
		says      string
	}{
		"a beacon that the caller wrote": {func(it item) { it["aws_dbe_b_ssn"] = str("0f") }, "aws_dbe_b_ssn", "nor bring its own"},
		"the mark":                       {func(it item) { it["aws_dbe_v_1"] = str(" ") }, "aws_dbe_v_1", "nor bring its own"},
		"no set":                         {func(it item) { it["langs"] = str("plaintext") }, "langs", `it is not a set, as beacon "langs" says`},
		"split in a readable part":       {func(it item) { it["year"] = str("plain|text") }, "year", `beacon "place": the value has the character "|"`},
		"split in a hashed part":         {func(it item) { it["zip"] = str("plain|text") }, "zip", `beacon "place": the value has the character "|"`},
		"binary part":                    {func(it item) { it["zip"] = bin("plaintext") }, "zip", "text, a number, a boolean or null"},
		"nil":                            {func(it item) { it["ssn"] = nil }, "ssn", "the value is nil"},
		"name of a beacon":               {func(it item) { it["by zip"] = str("x") }, "by zip", "Config.Actions has no action for it"},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t)
			table := newTable(t, r, people(t))
			it := person()
			c.change(it)
			out, err := table.Encrypt(t.Context(), it)
			assert.Nil(t, out)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			require.ErrorContains(t, err, c.says)
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, c.attribute, e.Attribute)
			assert.NotContains(t, err.Error(), "plain|text")
			assert.NotContains(t, err.Error(), "plaintext")
			assert.Zero(t, r.encrypts, "a key was made for it")
		})
	}
}

// TestBeaconKeyFails has no beacon key, where nothing is written without beacons.
func TestBeaconKeyFails(t *testing.T) {
	r := record(t)
	config := people(t)
	config.BeaconKeyID = "t2"
	table := newTable(t, r, config)
	_, err := table.Encrypt(t.Context(), person())
	require.ErrorIs(t, err, branchkey.ErrNotFound)
	assert.Zero(t, r.encrypts)
	_, _, err = table.Beacon(t.Context(), "ssn", item{"ssn": str("x")})
	require.ErrorIs(t, err, branchkey.ErrNotFound)
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "beacon", e.Op)
}

// TestBeaconsCount has beacons make an item too large.
func TestBeaconsCount(t *testing.T) {
	config := people(t)
	table := newTable(t, record(t), config)
	config.Beacons, config.BeaconKeys, config.BeaconKeyID = nil, nil, ""
	without := newTable(t, record(t), config)
	it := person()
	it["vip"] = bin("")
	out, err := without.Encrypt(t.Context(), it)
	require.NoError(t, err)
	it["vip"] = bin(strings.Repeat("x", MaxItemSize-sizeOfItem(out)))
	_, err = without.Encrypt(t.Context(), it)
	require.NoError(t, err, "it just fits")
	_, err = table.Encrypt(t.Context(), it)
	require.ErrorIs(t, err, envelope.ErrLimit)
	delete(it, "vip")
	it["vip"] = bin("")
	out, err = table.Encrypt(t.Context(), it)
	require.NoError(t, err)
	it["vip"] = bin(strings.Repeat("x", MaxItemSize-sizeOfItem(out)))
	_, err = table.Encrypt(t.Context(), it)
	require.NoError(t, err)
	it["vip"] = bin(strings.Repeat("x", MaxItemSize-sizeOfItem(out)+1))
	_, err = table.Encrypt(t.Context(), it)
	require.ErrorIs(t, err, envelope.ErrLimit)
}

func sizeOfItem(it item) (n int) {
	for name, v := range it {
		n += len(name) + sizeOf(v)
	}
	return n
}

func TestBeaconRefuses(t *testing.T) {
	config := people(t)
	config.BeaconKeys = noKeys{}
	table := newTable(t, record(t), config)
	for name, c := range map[string]struct {
		beacon    string
		want      item
		attribute string
		says      string
		filter    bool // refuses it too
	}{
		"no such beacon": {"zip", item{"zip": num("1")}, "", `there is no beacon "zip"`, true},
		"nothing wanted": {"ssn", item{}, "", `beacon "ssn": no attribute is wanted that it is of`, true},
		"of another":     {"ssn", item{"zip": num("1")}, "", "no attribute is wanted that it is of", true},
		"of no part":     {"place", item{"ssn": str("1")}, "", "no attribute is wanted that it is of", true},
		"unknown":        {"ssn", item{"ssn": str("1"), "zi": num("1")}, "zi", "Config.Actions has no action for it", true},
		"by the beacon":  {"place", item{"year": num("1"), "by zip": num("1")}, "by zip", "Config.Actions has no action for it", true},
		"no value":       {"ssn", item{"ssn": nil}, "ssn", "the value is nil", true},
		"no number":      {"by zip", item{"zip": num("plaintext")}, "zip", "not a number", true},
		"part alone":     {"city", item{"city": str("Ulm")}, "", `beacon "city" is PartOnly`, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := table.Beacon(t.Context(), c.beacon, c.want)
			checkRefused(t, err, "beacon", c.attribute, c.says)
			found, err := table.Filter(c.beacon, []item{person()}, c.want)
			if c.filter {
				assert.Nil(t, found)
				checkRefused(t, err, "filter", c.attribute, c.says)
			} else {
				require.NoError(t, err)
			}
		})
	}

	config = people(t)
	config.Actions["last"] = SignOnly
	place := config.Beacons["place"]
	place.Parts = append(place.Parts, BeaconPart{Name: "last", Prefix: "L-"})
	config.Beacons["place"] = place
	table = newTable(t, record(t), config)
	for name, c := range map[string]struct {
		beacon    string
		want      item
		attribute string
		says      string
	}{
		"gap":       {"place", item{"year": num("1"), "last": num("1")}, "zip", "needs it between the others that are wanted"},
		"later gap": {"place", item{"city": str("1"), "last": num("1")}, "zip", "needs it between"},
		"split":     {"place", item{"year": str("plain|text")}, "year", "which separates parts"},
		"binary":    {"place", item{"year": bin("plaintext")}, "year", "text, a number, a boolean or null"},
		"empty set": {"langs", item{"langs": strs()}, "langs", "an empty set has none"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := table.Beacon(t.Context(), c.beacon, c.want)
			checkRefused(t, err, "beacon", c.attribute, c.says)
		})
	}
	_, value, err := table.Beacon(t.Context(), "place", item{"year": num("1"), "zip": num("1")})
	require.NoError(t, err, "an optional part may be missing between")
	assert.Regexp(t, `^Y-1\|Z-[01]$`, value.(*types.AttributeValueMemberS).Value)
}

func checkRefused(t *testing.T, err error, op, attribute, says string) {
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	require.ErrorContains(t, err, says)
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, op, e.Op)
	assert.Equal(t, attribute, e.Attribute)
	assert.NotContains(t, err.Error(), "plaintext")
}

// TestPartsAsText has values of a compound beacon's parts that are no text.
func TestPartsAsText(t *testing.T) {
	table := newTable(t, record(t), awsConfig())
	for text, v := range map[string]types.AttributeValue{
		"true": boolean(true), "false": boolean(false), "null": null(), "1000": num("1e3"), "7": num("+07.0"), "": str(""),
	} {
		for _, want := range []item{{"Year": v}, {"Name": v}} {
			got, err := underAWSKey().queried(beaconOf(t, table, "Mixed"), want)
			require.NoError(t, err)
			expected := "Y_" + text
			if want["Name"] != nil {
				of, err := underAWSKey().queried(beaconOf(t, table, "Name"), item{"Name": str(text)})
				require.NoError(t, err)
				expected = "N_" + of.(*types.AttributeValueMemberS).Value
			}
			assert.Equal(t, str(expected), got)
		}
	}
}

// TestFilter has rows that share a beacon of one bit, of which Filter leaves those that
// were wanted.
func TestFilter(t *testing.T) {
	table := newTable(t, record(t), people(t))
	at := func(id string, change item) item {
		it := person()
		it["id"] = str(id)
		maps.Copy(it, change)
		return it
	}
	rows := []item{
		at("a", nil), at("b", item{"zip": num("2")}), at("c", item{"zip": str("12345")}), at("d", item{"zip": num("12345.0")}),
		at("e", item{"langs": strs("fr", "de")}), at("f", item{"langs": str("de")}), at("g", item{"langs": nums("1", "2")}), at("h", item{"city": str("Bonn")}),
	}
	rows = append(rows, item{"id": str("i")}, at("j", item{"zip": nums("12345")}), at("k", item{"zip": nil}))
	for name, c := range map[string]struct {
		beacon string
		want   item
		found  string
	}{
		"number":          {"by zip", item{"zip": num("12345")}, "adefgh"},
		"as text":         {"by zip", item{"zip": str("12345")}, "c"},
		"none":            {"by zip", item{"zip": num("3")}, ""},
		"set":             {"langs", item{"langs": strs("en", "de")}, "abcdhjk"},
		"member":          {"langs", item{"langs": str("de")}, "abcdefhjk"},
		"another member":  {"langs", item{"langs": str("fr")}, "e"},
		"number member":   {"langs", item{"langs": num("2.0")}, "g"},
		"parts":           {"place", item{"city": str("Ulm"), "zip": num("12345")}, "adefg"},
		"one part":        {"place", item{"city": str("Bonn")}, "h"},
		"what is no part": {"by zip", item{"zip": num("12345"), "langs": strs("de", "en"), "vip": boolean(true)}, "adh"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := table.Filter(c.beacon, rows, c.want)
			require.NoError(t, err)
			ids := ""
			for _, it := range found {
				ids += it["id"].(*types.AttributeValueMemberS).Value
			}
			assert.Equal(t, c.found, ids)
		})
	}
}

// TestBeaconsAreNotSigned has what somebody who can write to the table can do: the item
// opens as before, so that only Filter tells that it is no answer.
func TestBeaconsAreNotSigned(t *testing.T) {
	table := newTable(t, record(t), people(t))
	other := person()
	other["ssn"] = str("999-99-9999")
	out, err := table.Encrypt(t.Context(), other)
	require.NoError(t, err)
	want := item{"ssn": str("123-45-6789")}
	attribute, value, err := table.Beacon(t.Context(), "ssn", want)
	require.NoError(t, err)
	require.NotEqual(t, value, out[attribute])
	out[attribute] = value
	back, err := table.Decrypt(t.Context(), out)
	require.NoError(t, err)
	assert.Equal(t, other, back)
	found, err := table.Filter("ssn", []item{back}, want)
	require.NoError(t, err)
	assert.Empty(t, found)
	delete(out, attribute)
	_, err = table.Decrypt(t.Context(), out)
	require.NoError(t, err)
}

func TestBeaconConfigRefuses(t *testing.T) {
	set := func(name string, change func(*Beacon)) func(*Config) {
		return func(c *Config) {
			b := c.Beacons[name]
			b.Parts = slices.Clone(b.Parts)
			change(&b)
			c.Beacons[name] = b
		}
	}
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"no keys":              {func(c *Config) { c.BeaconKeys = nil }, "Config.BeaconKeys is nil"},
		"no ID":                {func(c *Config) { c.BeaconKeyID = "" }, "Config.BeaconKeyID or BeaconKeySupplier must be set"},
		"no beacons":           {func(c *Config) { c.Beacons = nil }, "Config.Beacons is empty, and BeaconKeys,"},
		"no bits":              {set("ssn", func(b *Beacon) { b.Bits = 0 }), `Config.Beacons["ssn"].Bits is 0: it must be 1 to 63`},
		"64 bits":              {set("ssn", func(b *Beacon) { b.Bits = 64 }), "Bits is 64"},
		"less than no bits":    {set("ssn", func(b *Beacon) { b.Bits = -1 }), "Bits is -1"},
		"no attribute":         {set("ssn", func(b *Beacon) { b.Attribute = "other" }), `the attribute "other" is not in Actions`},
		"own name is none":     {func(c *Config) { c.Beacons["x"] = Beacon{Bits: 9} }, `Config.Beacons["x"]: the attribute "x" is not in Actions`},
		"not encrypted":        {set("ssn", func(b *Beacon) { b.Attribute = "year" }), `the attribute "year" is SIGN_ONLY, and beacons are of encrypted ones`},
		"name of signed":       {func(c *Config) { c.Beacons["year"] = Beacon{Attribute: "vip", Bits: 9} }, `Config.Beacons["year"]: an attribute of that name is SIGN_ONLY`},
		"name of unsigned":     {func(c *Config) { c.Unsigned = []string{"place"} }, "the name is among Unsigned"},
		"name with prefix":     {func(c *Config) { c.UnsignedPrefix = "by" }, "or begins with UnsignedPrefix"},
		"reserved name":        {func(c *Config) { c.Beacons["aws_dbe_x"] = Beacon{Attribute: "vip", Bits: 9} }, `Config.Beacons["aws_dbe_x"]: names that begin`},
		"empty name":           {func(c *Config) { c.Beacons[""] = Beacon{Attribute: "vip", Bits: 9} }, `Config.Beacons[""]: the name is empty`},
		"name not UTF-8":       {func(c *Config) { c.Beacons["\xff"] = Beacon{Attribute: "vip", Bits: 9} }, "the name is not UTF-8"},
		"long name":            {func(c *Config) { c.Beacons[strings.Repeat("n", 65526)] = Beacon{Attribute: "vip", Bits: 9} }, "65526 bytes, and those of beacons have at most 65525"},
		"attribute twice":      {func(c *Config) { c.Beacons["x"] = Beacon{Attribute: "ssn", Bits: 9} }, `Config.Beacons["x"]: the attribute "ssn" has the beacon "ssn" already`},
		"attribute with a dot": {func(c *Config) { c.Actions["a.b"] = EncryptAndSign; c.Beacons["x"] = Beacon{Attribute: "a.b", Bits: 9} }, "take for a path"},
		"split of no parts":    {set("ssn", func(b *Beacon) { b.Split = '.' }), "Split is for beacons with Parts"},
		"part of none":         {func(c *Config) { delete(c.Beacons, "place") }, `Config.Beacons["city"] is PartOnly, and part of no compound beacon`},
		"ID and supplier":      {func(c *Config) { c.BeaconKeySupplier = func(item) (string, error) { return "", nil } }, "and not both"},
		"supplier alone": {func(c *Config) {
			*c = simple(0, SignOnly)
			c.BeaconKeySupplier = func(item) (string, error) { return "", nil }
		}, "Config.Beacons is empty"},
		"both":               {set("place", func(b *Beacon) { b.Bits = 9 }), "has Parts: then Attribute, Bits, Set and PartOnly must be zero"},
		"no split":           {set("place", func(b *Beacon) { b.Split = 0 }), "Split is not set"},
		"split of two units": {set("place", func(b *Beacon) { b.Split = '😀' }), "not a character up to U+FFFF"},
		"split of half":      {set("place", func(b *Beacon) { b.Split = 0xd800 }), "not a character up to U+FFFF"},
		"split of a digit":   {set("place", func(b *Beacon) { b.Split = 'f' }), "hexadecimal digits"},
		"empty parts":        {set("place", func(b *Beacon) { b.Parts = []BeaconPart{} }), "Parts is empty"},
		"no beacon in it":    {set("place", func(b *Beacon) { b.Parts = b.Parts[:1] }), "at least one part must be a beacon"},
		"all optional":       {set("place", func(b *Beacon) { b.Parts = b.Parts[1:2] }), "all parts are optional"},
		"part of nothing":    {set("place", func(b *Beacon) { b.Parts[2].Name = "zip" }), `Parts[2]: "zip" is neither a beacon nor an attribute that is signed and not encrypted`},
		"part that is a set": {set("place", func(b *Beacon) { b.Parts[2].Name = "langs" }), `Parts[2]: the beacon "langs" is a set`},
		"part of itself":     {set("place", func(b *Beacon) { b.Parts[2].Name = "place" }), `Parts[2]: "place" is a compound beacon`},
		"part twice":         {set("place", func(b *Beacon) { b.Parts[2].Name = "city" }), `Parts[2]: "city" is there twice`},
		"part with a dot": {func(c *Config) {
			c.Actions["a[0]"] = SignOnly
			set("place", func(b *Beacon) { b.Parts[0].Name = "a[0]" })(c)
		}, "take for a path"},
		"no prefix":          {set("place", func(b *Beacon) { b.Parts[1].Prefix = "" }), "Parts[1].Prefix is empty"},
		"prefix not UTF-8":   {set("place", func(b *Beacon) { b.Parts[1].Prefix = "\xff" }), "Parts[1].Prefix is not UTF-8"},
		"prefix with split":  {set("place", func(b *Beacon) { b.Parts[1].Prefix = "C|" }), "Parts[1].Prefix has the character Split"},
		"prefix twice":       {set("place", func(b *Beacon) { b.Parts[1].Prefix = "Y-" }), "Parts[1].Prefix and that of Parts[0]: one begins with the other"},
		"prefix begins":      {set("place", func(b *Beacon) { b.Parts[2].Prefix = "C" }), "Parts[2].Prefix and that of Parts[1]"},
		"prefix begins with": {set("place", func(b *Beacon) { b.Parts[2].Prefix = "C-Z" }), "Parts[2].Prefix and that of Parts[1]"},
	} {
		t.Run(name, func(t *testing.T) {
			config := people(t)
			c.change(&config)
			table, err := NewTable(record(t), config)
			assert.Nil(t, table)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.ErrorContains(t, err, c.says)
			assert.Less(t, len(err.Error()), 1000)
		})
	}
}

// TestBeaconConfigAtOnce has several mistakes, which one error names.
func TestBeaconConfigAtOnce(t *testing.T) {
	config := people(t)
	config.BeaconKeys, config.BeaconKeyID = nil, ""
	config.Beacons = map[string]Beacon{
		"ssn": {}, "zip": {Attribute: "ssn", Bits: 99}, "year": {Bits: 1}, "city": {Bits: 1, PartOnly: true},
		"c": {Parts: []BeaconPart{{Name: "year"}, {Name: "year"}}},
	}
	_, err := NewTable(record(t), config)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	for _, says := range []string{
		"BeaconKeys is nil", "BeaconKeyID or BeaconKeySupplier must be set", `["ssn"].Bits is 0`, `["zip"].Bits is 99`, `"ssn" has the beacon "ssn" already`,
		`["year"]: an attribute of that name`, `["city"] is PartOnly`, "Split is not set", "is there twice", "Parts[0].Prefix is empty",
	} {
		assert.ErrorContains(t, err, says)
	}
}

// TestBeaconConfigIsCopied changes a configuration after a table was made of it.
func TestBeaconConfigIsCopied(t *testing.T) {
	config := people(t)
	table := newTable(t, record(t), config)
	before, err := table.Encrypt(t.Context(), person())
	require.NoError(t, err)
	config.Beacons["place"].Parts[0].Prefix = "X"
	delete(config.Beacons, "ssn")
	after, err := table.Encrypt(t.Context(), person())
	require.NoError(t, err)
	assert.Equal(t, before["aws_dbe_b_place"], after["aws_dbe_b_place"])
	assert.Equal(t, before["aws_dbe_b_ssn"], after["aws_dbe_b_ssn"])
}

// TestPlaintextHasNoBeacons: what is written in the clear has none, as with AWS's releases.
func TestPlaintextHasNoBeacons(t *testing.T) {
	config := people(t)
	config.Plaintext = ForcePlaintextWrite
	out, err := newTable(t, record(t), config).Encrypt(t.Context(), person())
	require.NoError(t, err)
	assert.Equal(t, person(), out)
}

// keyCounter counts the beacon keys that were asked for, and keeps them.
type keyCounter struct {
	BeaconKeys
	asked []*branchkey.BeaconKey
}

func (k *keyCounter) Beacon(ctx context.Context, id string) (*branchkey.BeaconKey, error) {
	key, err := k.BeaconKeys.Beacon(ctx, id)
	k.asked = append(k.asked, key)
	return key, err
}

// TestBeaconKeyIsCleared asks for one key for each call, and clears it.
func TestBeaconKeyIsCleared(t *testing.T) {
	config := people(t)
	counter := &keyCounter{BeaconKeys: config.BeaconKeys}
	config.BeaconKeys = counter
	table := newTable(t, record(t), config)
	_, err := table.Encrypt(t.Context(), person())
	require.NoError(t, err)
	_, _, err = table.Beacon(t.Context(), "place", item{"year": num("1984")})
	require.NoError(t, err)
	_, err = table.Filter("ssn", nil, item{"ssn": str("x")})
	require.NoError(t, err)
	require.Len(t, counter.asked, 2)
	for _, key := range counter.asked {
		_, err := key.Derive("ssn")
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	}
}

// TestBeaconBits compares with the advice as it is worded.
func TestBeaconBits(t *testing.T) {
	for n := 0; n < 5000; n++ {
		least, most := BeaconBits(n)
		good := func(length int) (enough, few bool) {
			return math.Sqrt(float64(n)) <= math.Ldexp(1, length), math.Ldexp(1, length) < float64(n)/2
		}
		for b := 1; b <= 63; b++ {
			enough, few := good(b)
			require.Equal(t, enough, b >= least, "%d values, %d bits", n, b)
			require.Equal(t, few, b <= most, "%d values, %d bits", n, b)
		}
	}
	least, most := BeaconBits(100_000) // the specification's example, a ZIP code of 5 digits
	assert.Equal(t, []int{9, 15}, []int{least, most})
	least, most = BeaconBits(math.MaxInt)
	assert.Equal(t, []int{bits.UintSize / 2, bits.UintSize - 3}, []int{least, most})
	least, most = BeaconBits(-1)
	assert.Less(t, most, least)
	assert.InDelta(t, 99_999.0/65_536, BeaconCollisions(100_000, 16), 1e-9)
	assert.Zero(t, BeaconCollisions(1, 1))
	assert.Zero(t, BeaconCollisions(-5, 1))
}

// TestBeaconCollisions counts the values that share a beacon of 4 bits.
func TestBeaconCollisions(t *testing.T) {
	table := newTable(t, record(t), awsConfig())
	b := *beaconOf(t, table, "std2")
	b.bits = 4
	const n = 4000
	count := map[string]int{}
	m := underAWSKey()
	for i := range n {
		s, err := m.hash(&b, binary.BigEndian.AppendUint32(nil, uint32(i)))
		require.NoError(t, err)
		count[s]++
	}
	others := 0.0
	for _, c := range count {
		others += float64(c) * float64(c-1)
	}
	assert.InEpsilon(t, BeaconCollisions(n, 4), others/n, 0.05)
}

// TestBranchKeySupplierRefuses gives it contexts that no item has.
func TestBranchKeySupplierRefuses(t *testing.T) {
	supplier := BranchKeySupplier(func(item) (string, error) { return "never", nil })
	for name, ec := range map[string]keyring.EncryptionContext{
		"none":                   nil,
		"of a message":           {"tenant": "t1"},
		"no base64":              {"aws-crypto-attr.pk": "t1 secret"},
		"base64 with other bits": {"aws-crypto-attr.pk": "AAF="},
		"no type":                {"aws-crypto-attr.pk": "AA=="},
		"unknown type":           {"aws-crypto-attr.pk": "EhI="},
		"fewer types":            {"aws-crypto-attr.pk": "a", "aws-crypto-attr.sk": "b", "aws-crypto-legend": "S"},
		"more types":             {"aws-crypto-attr.pk": "a", "aws-crypto-legend": "SS"},
		"unknown letter":         {"aws-crypto-attr.pk": "a", "aws-crypto-legend": "X"},
		"no number":              {"aws-crypto-attr.pk": "a secret", "aws-crypto-legend": "N"},
		"number as none is":      {"aws-crypto-attr.pk": "1.0", "aws-crypto-legend": "N"},
		"no literal":             {"aws-crypto-attr.pk": "TRUE", "aws-crypto-legend": "L"},
		"empty binary":           {"aws-crypto-attr.pk": "", "aws-crypto-legend": "B"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := supplier(ec)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.Empty(t, id)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

// TestBeaconKeySupplier has a branch key for each tenant, both for data keys and for
// beacons, in one keyring that keeps them.
func TestBeaconKeySupplier(t *testing.T) {
	store := branchkeytest.NewPlaintextStoreForTests()
	for _, id := range []string{"t1", "t2"} {
		require.NoError(t, store.Add(id, "00000000-0000-4000-8000-000000000001", make([]byte, 32), []byte(strings.Repeat(id+"______", 4))))
	}
	errNone := errors.New("no tenant")
	tenant := func(it item) (string, error) {
		if s, ok := it["tenant"].(*types.AttributeValueMemberS); ok {
			return s.Value, nil
		}
		return "", errNone
	}
	kr, err := branchkey.New(branchkey.Config{
		KeyStore: store.KeyStore(), Limits: cache.Limits{MaxAge: time.Hour}, Supplier: BranchKeySupplier(tenant),
	})
	require.NoError(t, err)
	defer kr.Close()
	config := people(t)
	config.Actions["id"], config.Actions["tenant"] = SignAndIncludeInContext, SignAndIncludeInContext
	config.BeaconKeys, config.BeaconKeyID = kr, ""
	config.BeaconKeySupplier = tenant
	table := newTable(t, manager(t, kr), config)
	stored := map[string]types.AttributeValue{}
	for range 3 {
		for _, tenant := range []string{"t1", "t2"} {
			it := person()
			it["tenant"] = str(tenant)
			out, err := table.Encrypt(t.Context(), it)
			require.NoError(t, err)
			want := item{"ssn": it["ssn"], "tenant": str(tenant)}
			attribute, value, err := table.Beacon(t.Context(), "ssn", want)
			require.NoError(t, err)
			assert.Equal(t, out[attribute], value)
			stored[tenant] = value
			back, err := table.Decrypt(t.Context(), out)
			require.NoError(t, err)
			found, err := table.Filter("ssn", []item{back}, want)
			require.NoError(t, err)
			assert.Len(t, found, 1)
		}
	}
	assert.NotEqual(t, stored["t1"], stored["t2"])
	assert.EqualValues(t, 4, kr.Stats().Loads, "a branch key and a beacon key for each tenant")

	_, _, err = table.Beacon(t.Context(), "ssn", item{"ssn": str("x")})
	require.ErrorIs(t, err, errNone)
	_, _, err = table.Beacon(t.Context(), "ssn", item{"ssn": str("x"), "tenant": str("t3")})
	require.ErrorIs(t, err, branchkey.ErrNotFound)
}
