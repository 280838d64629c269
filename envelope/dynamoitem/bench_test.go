package dynamoitem

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

// atHand is a manager with materials at hand: it gives the same ones again, into one place,
// so that what it costs is not counted.
type atHand struct {
	encryption      keyring.EncryptionMaterials
	decryption      keyring.DecryptionMaterials
	dataKey, symKey []byte

	encrypt keyring.EncryptionMaterials
	decrypt keyring.DecryptionMaterials
	key     [32]byte
	sym     [32]byte
	syms    [1][]byte
}

func (a *atHand) EncryptionMaterials(_ context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	a.encrypt = a.encryption
	copy(a.key[:], a.dataKey)
	copy(a.sym[:], a.symKey)
	a.syms[0] = a.sym[:]
	a.encrypt.DataKey, a.encrypt.SymmetricSigningKeys = a.key[:], a.syms[:]
	return &a.encrypt, nil
}

func (a *atHand) DecryptionMaterials(_ context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	a.decrypt = a.decryption
	copy(a.key[:], a.dataKey)
	copy(a.sym[:], a.symKey)
	a.decrypt.DataKey, a.decrypt.SymmetricSigningKey = a.key[:], a.sym[:]
	return &a.decrypt, nil
}

// capture keeps copies of materials as they go by.
type capture struct {
	keyring.MaterialsManager
	hand *atHand
}

func (c capture) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	m, err := c.MaterialsManager.EncryptionMaterials(ctx, req)
	if err == nil {
		c.hand.encryption = *m
		c.hand.dataKey, c.hand.symKey = bytes.Clone(m.DataKey), bytes.Clone(m.SymmetricSigningKeys[0])
	}
	return m, err
}

func (c capture) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	m, err := c.MaterialsManager.DecryptionMaterials(ctx, req)
	if err == nil {
		c.hand.decryption = *m
	}
	return m, err
}

// bare is what the format needs for an item, and nothing else, by the calls of the standard
// library: two expansions of HKDF, a commitment, the keys and AES-GCM of each attribute,
// the hash, a tag, and a signature.
type bare struct {
	dataKey, symKey []byte
	messageID       []byte
	head            []byte // before the commitment
	context         []byte
	paths           [][]byte // of the encrypted ones
	values          [][]byte // in the clear, or sealed
	signed          []byte   // what is hashed of the others, and around them
	signing         *ecdsa.PrivateKey
	verification    *ecdsa.PublicKey
	signature       []byte
	record          []byte
}

func (w *bare) keys() (commit, root []byte) {
	prk, err := hkdf.Extract(sha512.New, w.dataKey, nil)
	must(err)
	commit, err = hkdf.Expand(sha512.New, prk, commitInfo+string(w.messageID), 32)
	must(err)
	root, err = hkdf.Expand(sha512.New, prk, deriveInfo+string(w.messageID), 32)
	must(err)
	return commit, root
}

func (w *bare) fields(root []byte, do func(i int, aead cipher.AEAD, nonce []byte)) {
	block, err := aes.NewCipher(root)
	must(err)
	stream := make([]byte, fieldStep*len(w.values))
	cipher.NewCTR(block, fieldIV).XORKeyStream(stream, stream)
	for i := range w.values {
		block, err := aes.NewCipher(stream[i*fieldStep:][:32])
		must(err)
		aead, err := cipher.NewGCM(block)
		must(err)
		do(i, aead, stream[i*fieldStep+32:][:12])
	}
}

func (w *bare) encrypt() {
	rand.Read(w.messageID)
	commit, root := w.keys()
	m := hmac.New(sha512.New, commit)
	m.Write(w.head)
	record := append(m.Sum(append(w.record[:0], w.head...))[:len(w.head)+32], w.context...)
	w.fields(root, func(i int, aead cipher.AEAD, nonce []byte) {
		record = append(record, w.paths[i]...)
		record = aead.Seal(record, nonce, w.values[i], w.paths[i])
	})
	record = append(record, w.signed...)
	hash := sha512.Sum384(record)
	m = hmac.New(sha512.New384, w.symKey)
	m.Write(hash[:])
	m.Sum(nil)
	if w.signing != nil {
		_, err := sign(w.signing, hash[:])
		must(err)
	}
}

func (w *bare) decrypt() {
	commit, root := w.keys()
	m := hmac.New(sha512.New, commit)
	m.Write(w.head)
	record := append(m.Sum(append(w.record[:0], w.head...))[:len(w.head)+32], w.context...)
	for i := range w.values {
		record = append(record, w.paths[i]...)
		record = append(record, w.values[i]...)
	}
	record = append(record, w.signed...)
	hash := sha512.Sum384(record)
	m = hmac.New(sha512.New384, w.symKey)
	m.Write(hash[:])
	subtle.ConstantTimeCompare(m.Sum(nil), m.Sum(nil))
	if w.verification != nil {
		digest := signedDigest(hash[:])
		ecdsa.VerifyASN1(w.verification, digest[:], w.signature)
	}
	w.fields(root, func(i int, aead cipher.AEAD, nonce []byte) {
		// It does not verify, which takes as long.
		_, _ = aead.Open(record[:0], nonce, w.values[i], w.paths[i])
	})
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// measured is what some calls cost together.
type measured struct {
	time   time.Duration
	allocs uint64
	calls  int
}

func (m *measured) add(n int, f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	for range n {
		f()
	}
	m.time += time.Since(start)
	runtime.ReadMemStats(&after)
	m.allocs += after.Mallocs - before.Mallocs
	m.calls += n
}

// One item of 1 KiB with three encrypted attributes and materials at hand, against the bare
// calls, the two in turns: x-bare is how many times as long it takes (1.5 at most), allocs
// how many allocations it makes (12, and 3 for each of its 5 attributes, at most: 27).
func BenchmarkItem(b *testing.B) {
	for name, suite := range map[string]keyring.Suite{
		"HMAC":  keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384,
		"ECDSA": keyring.SuiteDBEAES256GCMHKDFSHA512CommitECDSAP384HMACSHA384,
	} {
		c := Config{
			Table: "orders", PartitionKey: "pk", SortKey: "sk", Suite: suite,
			Actions: map[string]Action{"pk": SignOnly, "sk": SignOnly, "name": EncryptAndSign, "address": EncryptAndSign, "notes": EncryptAndSign},
		}
		clear := item{
			"pk": str("customer-17"), "sk": num("20261127"), "name": str(strings.Repeat("n", 64)),
			"address": str(strings.Repeat("a", 256)), "notes": str(strings.Repeat("o", 660)),
		}
		hand := &atHand{}
		kr := rawAES(b, "ns", "name", make([]byte, 32))
		first := newTable(b, capture{manager(b, kr), hand}, c)
		sealed, err := first.Encrypt(b.Context(), clear)
		require.NoError(b, err)
		_, err = first.Decrypt(b.Context(), sealed)
		require.NoError(b, err)
		table := newTable(b, hand, c)
		headBytes, err := binaryOf(headAttribute, sealed[headAttribute])
		require.NoError(b, err)
		h, err := parseHead(headBytes, 1)
		require.NoError(b, err)
		foot, err := binaryOf(footAttribute, sealed[footAttribute])
		require.NoError(b, err)
		ec, err := hand.decryption.Context.AppendBinary(nil)
		require.NoError(b, err)

		newBare := func(it item) *bare {
			w := &bare{dataKey: hand.dataKey, symKey: hand.symKey, messageID: bytes.Clone(h.messageID), head: h.body, context: ec,
				signing: hand.encryption.SigningKey, verification: hand.decryption.VerificationKey, signature: foot[tagLen:], record: make([]byte, 0, 8<<10)}
			for name, a := range table.attributes {
				v := []byte(serialized(b, it[name]))[typeIDLen:]
				if a.action == EncryptAndSign {
					w.paths = append(w.paths, a.path)
					w.values = append(w.values, v)
				} else {
					w.signed = append(append(w.signed, a.path...), v...)
				}
				w.signed = append(w.signed, make([]byte, 8+9+2)...) // length, word and type
			}
			return w
		}
		for _, way := range []struct {
			name       string
			item, bare func()
		}{
			{"Encrypt", func() { _, err := table.Encrypt(b.Context(), clear); must(err) }, newBare(clear).encrypt},
			{"Decrypt", func() { _, err := table.Decrypt(b.Context(), sealed); must(err) }, newBare(sealed).decrypt},
		} {
			b.Run(name+"/"+way.name, func(b *testing.B) {
				var ours, theirs measured
				for b.Loop() {
					theirs.add(100, way.bare)
					ours.add(100, way.item)
				}
				b.ReportMetric(float64(ours.time)/float64(theirs.time), "x-bare")
				b.ReportMetric(float64(ours.allocs)/float64(ours.calls), "allocs")
				b.ReportMetric(float64(theirs.allocs)/float64(theirs.calls), "allocs-bare")
				b.ReportMetric(float64(ours.time.Nanoseconds())/float64(ours.calls), "ns/item")
				b.ReportMetric(float64(theirs.time.Nanoseconds())/float64(theirs.calls), "ns/bare")
			})
		}
	}
}

// BenchmarkBeacons has what four beacons, one of them compound, add to an item, and the one
// of a query, against the bare HMACs under keys that were derived before, all in turns:
// x-bare is how many times as long it takes (1.5 at most). Beacon keys come from a keyring
// that holds them.
func BenchmarkBeacons(b *testing.B) {
	config := people(b)
	config.Suite = keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384
	kr, err := branchkey.New(branchkey.Config{KeyStore: beaconStore(b), ID: "t1", Limits: cache.Limits{MaxAge: time.Hour}})
	require.NoError(b, err)
	defer kr.Close()
	config.BeaconKeys = kr
	table := newTable(b, manager(b, rawAES(b, "ns", "key", make([]byte, 32))), config)
	key, value, sum := make([]byte, 64), []byte("123-45-6789"), make([]byte, 0, sha512.Size384)
	bare := func(n int) func() {
		return func() {
			for range n {
				mac := hmac.New(sha512.New384, key)
				mac.Write(value)
				mac.Sum(sum)
			}
		}
	}
	it, want := person(), item{"ssn": str("123-45-6789")}
	for _, c := range []struct {
		name  string
		ours  func()
		bares int // ssn, zip, two languages, and in place city and zip once more
	}{
		{"item", func() { _, err := table.beaconsFor(b.Context(), it); must(err) }, 6},
		{"query", func() { _, _, err := table.Beacon(b.Context(), "ssn", want); must(err) }, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			var ours, theirs measured
			for b.Loop() {
				theirs.add(100, bare(c.bares))
				ours.add(100, c.ours)
			}
			b.ReportMetric(float64(ours.time)/float64(theirs.time), "x-bare")
			b.ReportMetric(float64(ours.time.Nanoseconds())/float64(ours.calls), "ns/call")
			b.ReportMetric(float64(theirs.time.Nanoseconds())/float64(theirs.calls), "ns/bare")
			b.ReportMetric(float64(ours.allocs)/float64(ours.calls), "allocs")
			b.ReportMetric(float64(theirs.allocs)/float64(theirs.calls), "allocs-bare")
		})
	}
}
