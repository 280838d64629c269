// Package keyringtest is a conformance suite for keyrings: what clients and
// other keyrings rely on, whoever wrote the keyring. It works on materials alone.
//
//	func TestMyKeyring(t *testing.T) {
//		kr := mykeyring.New(...)
//		keyringtest.Run(t, keyringtest.Keyring{Encrypter: kr, Decrypter: kr, ContextBound: true})
//	}
package keyringtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// A Keyring is what to test.
type Keyring struct {
	// Encrypter and Decrypter are the two halves, often the same value. With
	// one of them nil, the cases that need it are left out.
	Encrypter keyring.Encrypter
	Decrypter keyring.Decrypter

	// Stranger is a Decrypter of the same kind that holds other keys under
	// other names. It must find nothing to unwrap. May be nil.
	Stranger keyring.Decrypter

	// ContextBound says that wrapped keys are bound to the encryption context,
	// so that they do not unwrap in another.
	ContextBound bool

	// Malleable says that an altered wrapped key may unwrap to another key, as
	// under PKCS #1 v1.5 now and then one does.
	Malleable bool

	// LooseInfo says that different provider infos can name one key, as the ARNs
	// of a multi-Region key's replicas do. An altered one may then unwrap, to
	// the right key.
	LooseInfo bool

	// Suites are the algorithm suites of messages to test with; nil means all. Those of
	// items are tested where the committing ones, which sign alike, are among them.
	Suites []keyring.Suite

	// MaxAlterations bounds how many bytes of each wrapped key are altered, one
	// at a time, where unwrapping is slow or costs money. Zero means all.
	MaxAlterations int
}

// Run tests k in subtests of t.
func Run(t *testing.T, k Keyring) {
	if k.Encrypter == nil && k.Decrypter == nil {
		t.Fatal("keyringtest: neither Encrypter nor Decrypter is set")
	}
	if k.Suites == nil {
		k.Suites = suite.IDs[keyring.Suite]()
	}
	type testCase struct {
		name             string
		encrypt, decrypt bool // the halves it needs
		run              func(*testing.T, Keyring)
	}
	for _, c := range []testCase{
		{"Generate", true, false, testGenerate},
		{"WrapGiven", true, false, testWrapGiven},
		{"EncryptCancelled", true, false, testEncryptCancelled},
		{"RoundTrip", true, true, testRoundTrip},
		{"Items", true, true, testItems},
		{"Concurrent", true, true, testConcurrent},
		{"WrongContext", true, true, testWrongContext},
		{"WrongLength", true, true, testWrongLength},
		{"Altered", true, true, testAltered},
		{"AmongOthers", true, true, testAmongOthers},
		{"Stranger", true, false, testStranger},
		{"NoKeys", false, true, testNoKeys},
		{"AlreadyUnwrapped", false, true, testAlreadyUnwrapped},
		{"DecryptCancelled", false, true, testDecryptCancelled},
	} {
		if c.encrypt && k.Encrypter == nil || c.decrypt && k.Decrypter == nil {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.run(t, k) })
	}
}

var contexts = map[string]keyring.EncryptionContext{
	"none":    nil,
	"pair":    {"tenant": "42"},
	"several": {"tenant": "42", "table": "patients", "empty": "", "π": "ключ", "\U0001F511": "～"},
}

// wrapNew has the keyring generate and wrap a data key.
func wrapNew(t *testing.T, k Keyring, s keyring.Suite, ec keyring.EncryptionContext) *keyring.EncryptionMaterials {
	t.Helper()
	m := &keyring.EncryptionMaterials{Suite: s, Context: maps.Clone(ec)}
	if err := k.Encrypter.OnEncrypt(t.Context(), m); err != nil {
		t.Fatalf("OnEncrypt: %v", err)
	}
	return m
}

func testGenerate(t *testing.T, k Keyring) {
	for _, s := range k.Suites {
		a, b := wrapNew(t, k, s, contexts["pair"]), wrapNew(t, k, s, contexts["pair"])
		if len(a.DataKey) != s.DataKeyLen() {
			t.Errorf("suite %v: data key is %d bytes, want %d", s, len(a.DataKey), s.DataKeyLen())
		}
		if bytes.Equal(a.DataKey, b.DataKey) {
			t.Errorf("suite %v: the same data key twice", s)
		}
		if len(a.EncryptedDataKeys) == 0 {
			t.Errorf("suite %v: no encrypted data key", s)
		}
		for i, edk := range a.EncryptedDataKeys {
			if edk.ProviderID == "" || !utf8.ValidString(edk.ProviderID) {
				t.Errorf("suite %v: provider ID %q is empty or not UTF-8", s, edk.ProviderID)
			}
			if max(len(edk.ProviderID), len(edk.ProviderInfo), len(edk.Ciphertext)) > 1<<16-1 {
				t.Errorf("suite %v: encrypted data key %d has a field that does not fit the format", s, i)
			}
			if bytes.Contains(edk.Ciphertext, a.DataKey) {
				t.Errorf("suite %v: encrypted data key %d contains the plaintext data key", s, i)
			}
		}
		if !maps.Equal(a.Context, contexts["pair"]) || a.Suite != s {
			t.Errorf("suite %v: OnEncrypt changed the context or the suite", s)
		}
	}
}

// testItems has the default manager serve suites of items by the keyring.
func testItems(t *testing.T, k Keyring) {
	for item, message := range map[keyring.Suite]keyring.Suite{
		keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384:          keyring.SuiteAES256GCMHKDFSHA512Commit,
		keyring.SuiteDBEAES256GCMHKDFSHA512CommitECDSAP384HMACSHA384: keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384,
	} {
		if !slices.Contains(k.Suites, message) {
			continue
		}
		encrypter, err := keyring.NewEncryptionManager(k.Encrypter)
		if err != nil {
			t.Fatal(err)
		}
		decrypter, err := keyring.NewDecryptionManager(k.Decrypter)
		if err != nil {
			t.Fatal(err)
		}
		e, err := encrypter.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Suite: item, Context: contexts["several"], PlaintextLength: -1})
		if err != nil {
			t.Fatalf("suite %v: %v", item, err)
		}
		stored, err := e.Stored()
		if err != nil {
			t.Fatalf("suite %v: %v", item, err)
		}
		d, err := decrypter.DecryptionMaterials(t.Context(), keyring.DecryptionRequest{Suite: item, Stored: stored})
		if err != nil {
			t.Fatalf("suite %v: %v", item, err)
		}
		if !bytes.Equal(d.DataKey, e.DataKey) {
			t.Errorf("suite %v: unwrapped to another data key", item)
		}
		if !slices.ContainsFunc(e.SymmetricSigningKeys, func(key []byte) bool { return bytes.Equal(key, d.SymmetricSigningKey) }) {
			t.Errorf("suite %v: another symmetric signing key than was made", item)
		}
	}
}

// testWrapGiven is skipped for keyrings that must generate, such as a
// multi-keyring with a generator; they must say so and change nothing.
func testWrapGiven(t *testing.T, k Keyring) {
	for _, s := range k.Suites {
		m := &keyring.EncryptionMaterials{Suite: s, Context: contexts["pair"]}
		m.GenerateDataKey()
		dataKey := bytes.Clone(m.DataKey)
		other := keyring.EncryptedDataKey{ProviderID: "other", ProviderInfo: []byte("info"), Ciphertext: []byte("wrapped")}
		m.EncryptedDataKeys = []keyring.EncryptedDataKey{other}

		err := k.Encrypter.OnEncrypt(t.Context(), m)
		if !bytes.Equal(m.DataKey, dataKey) {
			t.Fatalf("suite %v: OnEncrypt changed the data key that was there", s)
		}
		if len(m.EncryptedDataKeys) == 0 || !equalKeys(m.EncryptedDataKeys[:1], []keyring.EncryptedDataKey{other}) {
			t.Fatalf("suite %v: OnEncrypt changed an encrypted data key that was there", s)
		}
		if err != nil {
			if len(m.EncryptedDataKeys) != 1 {
				t.Fatalf("suite %v: OnEncrypt failed (%v) and yet changed the materials", s, err)
			}
			t.Skipf("keyring only generates: %v", err)
		}
		if len(m.EncryptedDataKeys) < 2 {
			t.Fatalf("suite %v: OnEncrypt added no encrypted data key", s)
		}
		if k.Decrypter != nil {
			checkUnwraps(t, k, m, m.EncryptedDataKeys)
		}
	}
}

func testEncryptCancelled(t *testing.T, k Keyring) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := &keyring.EncryptionMaterials{Suite: k.Suites[0]}
	err := k.Encrypter.OnEncrypt(ctx, m)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("OnEncrypt with a cancelled context returned %v", err)
	}
	if m.DataKey != nil || len(m.EncryptedDataKeys) > 0 {
		t.Error("OnEncrypt failed and yet changed the materials")
	}
}

func unwrap(ctx context.Context, k Keyring, s keyring.Suite, ec keyring.EncryptionContext, keys []keyring.EncryptedDataKey) (*keyring.DecryptionMaterials, error) {
	m := &keyring.DecryptionMaterials{Suite: s, Context: maps.Clone(ec)}
	return m, k.Decrypter.OnDecrypt(ctx, m, keys)
}

// checkUnwraps reports whether keys unwrap to the data key of m.
func checkUnwraps(t *testing.T, k Keyring, m *keyring.EncryptionMaterials, keys []keyring.EncryptedDataKey) {
	t.Helper()
	before := cloneKeys(keys)
	got, err := unwrap(t.Context(), k, m.Suite, m.Context, keys)
	if err != nil {
		t.Errorf("suite %v: OnDecrypt: %v", m.Suite, err)
		return
	}
	if !bytes.Equal(got.DataKey, m.DataKey) {
		t.Errorf("suite %v: OnDecrypt unwrapped another data key", m.Suite)
	}
	if !equalKeys(keys, before) || !maps.Equal(got.Context, m.Context) {
		t.Errorf("suite %v: OnDecrypt changed the encrypted data keys or the context", m.Suite)
	}
	// The materials' owner clears the key, which must not reach into others.
	got.Clear()
	if !equalKeys(keys, before) {
		t.Errorf("suite %v: the unwrapped data key shares memory with the wrapped ones", m.Suite)
	}
}

// checkNoMatch reports whether unwrapping failed as it should.
func checkNoMatch(t *testing.T, what string, m *keyring.DecryptionMaterials, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: OnDecrypt succeeded", what)
		return
	}
	if !errors.Is(err, keyring.ErrNoMatchingKey) {
		t.Errorf("%s: the error does not wrap ErrNoMatchingKey: %v", what, err)
	}
	if m.DataKey != nil {
		t.Errorf("%s: OnDecrypt failed and yet set a data key", what)
	}
}

func testRoundTrip(t *testing.T, k Keyring) {
	for _, s := range k.Suites {
		for name, ec := range contexts {
			t.Run(fmt.Sprintf("%04X/%s", uint16(s), name), func(t *testing.T) {
				m := wrapNew(t, k, s, ec)
				checkUnwraps(t, k, m, m.EncryptedDataKeys)
			})
		}
	}
}

func testConcurrent(t *testing.T, k Keyring) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := k.Suites[i%len(k.Suites)]
			ec := keyring.EncryptionContext{"goroutine": fmt.Sprint(i)}
			m := &keyring.EncryptionMaterials{Suite: s, Context: ec}
			if err := k.Encrypter.OnEncrypt(t.Context(), m); err != nil {
				t.Errorf("OnEncrypt: %v", err)
				return
			}
			checkUnwraps(t, k, m, m.EncryptedDataKeys)
		})
	}
	wg.Wait()
}

func testWrongContext(t *testing.T, k Keyring) {
	if !k.ContextBound {
		t.Skip("wrapped keys are not bound to the encryption context")
	}
	m := wrapNew(t, k, k.Suites[0], contexts["pair"])
	for name, ec := range map[string]keyring.EncryptionContext{
		"none":          nil,
		"another value": {"tenant": "43"},
		"another key":   {"tenanT": "42"},
		"one more pair": {"tenant": "42", "table": "patients"},
		"shifted":       {"tenant4": "2"},
	} {
		got, err := unwrap(t.Context(), k, m.Suite, ec, m.EncryptedDataKeys)
		checkNoMatch(t, name, got, err)
	}
}

// testWrongLength unwraps a key of one suite for another with longer keys.
func testWrongLength(t *testing.T, k Keyring) {
	for _, s := range k.Suites {
		for _, other := range k.Suites {
			if s.DataKeyLen() != other.DataKeyLen() {
				m := wrapNew(t, k, s, nil)
				got, err := unwrap(t.Context(), k, other, nil, m.EncryptedDataKeys)
				checkNoMatch(t, fmt.Sprintf("key of %d bytes for suite %v", s.DataKeyLen(), other), got, err)
				return
			}
		}
	}
	t.Skip("the suites to test with have keys of one length")
}

func testAltered(t *testing.T, k Keyring) {
	m := wrapNew(t, k, k.Suites[len(k.Suites)-1], contexts["pair"])
	for i := range m.EncryptedDataKeys {
		// Alone, so that no other key serves in its place.
		key := m.EncryptedDataKeys[i : i+1]
		try := func(what string, change func(*keyring.EncryptedDataKey)) {
			altered := cloneKeys(key)
			change(&altered[0])
			got, err := unwrap(t.Context(), k, m.Suite, m.Context, altered)
			if err == nil && k.Malleable && !bytes.Equal(got.DataKey, m.DataKey) {
				return
			}
			if err == nil && k.LooseInfo && !bytes.Equal(altered[0].ProviderInfo, key[0].ProviderInfo) && bytes.Equal(got.DataKey, m.DataKey) {
				return
			}
			checkNoMatch(t, what, got, err)
		}
		n := len(key[0].Ciphertext)
		step := 1
		if k.MaxAlterations > 0 {
			step = max(1, (n+k.MaxAlterations-1)/k.MaxAlterations)
		}
		for at := 0; at < n; at += step {
			try(fmt.Sprintf("wrapped key with byte %d altered", at), func(e *keyring.EncryptedDataKey) { e.Ciphertext[at] ^= 1 })
		}
		for _, keep := range []int{0, 1, n / 2, n - 1} {
			try(fmt.Sprintf("wrapped key cut to %d bytes", keep), func(e *keyring.EncryptedDataKey) { e.Ciphertext = e.Ciphertext[:keep] })
		}
		try("wrapped key with a byte more", func(e *keyring.EncryptedDataKey) { e.Ciphertext = append(e.Ciphertext, 0) })
		try("another provider ID", func(e *keyring.EncryptedDataKey) { e.ProviderID += "x" })
		try("no provider ID", func(e *keyring.EncryptedDataKey) { e.ProviderID = "" })
		try("no provider info", func(e *keyring.EncryptedDataKey) { e.ProviderInfo = nil })
		if len(key[0].ProviderInfo) > 0 {
			try("provider info cut", func(e *keyring.EncryptedDataKey) { e.ProviderInfo = e.ProviderInfo[:len(e.ProviderInfo)-1] })
			try("provider info with a byte more", func(e *keyring.EncryptedDataKey) { e.ProviderInfo = append(e.ProviderInfo, 0) })
			for at := range key[0].ProviderInfo {
				try(fmt.Sprintf("provider info with byte %d altered", at), func(e *keyring.EncryptedDataKey) { e.ProviderInfo[at] ^= 1 })
			}
		}
	}
}

func testAmongOthers(t *testing.T, k Keyring) {
	m := wrapNew(t, k, k.Suites[0], contexts["several"])
	broken := cloneKeys(m.EncryptedDataKeys)
	for i := range broken {
		broken[i].Ciphertext = make([]byte, len(broken[i].Ciphertext))
	}
	others := []keyring.EncryptedDataKey{
		{ProviderID: "aws-kms", ProviderInfo: []byte("arn:aws:kms:us-west-2:111122223333:key/of-another"), Ciphertext: make([]byte, 184)},
		{ProviderID: "somebody", ProviderInfo: []byte("else"), Ciphertext: []byte("wrapped")},
		{},
	}
	checkUnwraps(t, k, m, slices.Concat(others, m.EncryptedDataKeys))
	checkUnwraps(t, k, m, slices.Concat(m.EncryptedDataKeys, others))
	if !k.Malleable {
		checkUnwraps(t, k, m, slices.Concat(broken, m.EncryptedDataKeys))
	}
	if k.Decrypter != nil {
		got, err := unwrap(t.Context(), k, m.Suite, m.Context, others)
		checkNoMatch(t, "only others' keys", got, err)
	}
}

func testStranger(t *testing.T, k Keyring) {
	if k.Stranger == nil {
		t.Skip("no Stranger to test with")
	}
	k.Decrypter = k.Stranger
	m := wrapNew(t, k, k.Suites[0], contexts["pair"])
	got, err := unwrap(t.Context(), k, m.Suite, m.Context, m.EncryptedDataKeys)
	checkNoMatch(t, "another keyring's keys", got, err)
}

func testNoKeys(t *testing.T, k Keyring) {
	for _, keys := range [][]keyring.EncryptedDataKey{nil, {}, {{}}} {
		got, err := unwrap(t.Context(), k, k.Suites[0], nil, keys)
		checkNoMatch(t, fmt.Sprintf("%d keys", len(keys)), got, err)
	}
}

func testAlreadyUnwrapped(t *testing.T, k Keyring) {
	dataKey := make([]byte, k.Suites[0].DataKeyLen())
	rand.Read(dataKey)
	m := &keyring.DecryptionMaterials{Suite: k.Suites[0], DataKey: bytes.Clone(dataKey)}
	var keys []keyring.EncryptedDataKey
	if k.Encrypter != nil {
		keys = wrapNew(t, k, k.Suites[0], nil).EncryptedDataKeys
	}
	if err := k.Decrypter.OnDecrypt(t.Context(), m, keys); err == nil {
		t.Error("OnDecrypt succeeded on materials that already have a data key")
	}
	if !bytes.Equal(m.DataKey, dataKey) {
		t.Error("OnDecrypt changed the data key that was there")
	}
}

func testDecryptCancelled(t *testing.T, k Keyring) {
	var keys []keyring.EncryptedDataKey
	if k.Encrypter != nil {
		keys = wrapNew(t, k, k.Suites[0], nil).EncryptedDataKeys
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m, err := unwrap(ctx, k, k.Suites[0], nil, keys)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("OnDecrypt with a cancelled context returned %v", err)
	}
	if m.DataKey != nil {
		t.Error("OnDecrypt failed and yet set a data key")
	}
}

func cloneKeys(keys []keyring.EncryptedDataKey) []keyring.EncryptedDataKey {
	clone := slices.Clone(keys)
	for i := range clone {
		clone[i].ProviderInfo = bytes.Clone(clone[i].ProviderInfo)
		clone[i].Ciphertext = bytes.Clone(clone[i].Ciphertext)
	}
	return clone
}

func equalKeys(a, b []keyring.EncryptedDataKey) bool {
	return slices.EqualFunc(a, b, func(x, y keyring.EncryptedDataKey) bool {
		return x.ProviderID == y.ProviderID && bytes.Equal(x.ProviderInfo, y.ProviderInfo) && bytes.Equal(x.Ciphertext, y.Ciphertext)
	})
}
