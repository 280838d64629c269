// Package byhand has the pieces of messages that tests put together from the specification
// alone: what writes a message so that a reader of this library is tried with it must share
// nothing with the library, or an error of the library were an error of the test too.
//
// Its functions panic on what no test should ask of them.
package byhand

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"slices"
)

// BytesOf returns n bytes that the label decides, the same each time.
func BytesOf(label string, n int) []byte {
	var out []byte
	for i := byte(0); len(out) < n; i++ {
		sum := sha256.Sum256(append([]byte(label), i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// A Pair is a key of an encryption context and its value. Order and repetitions are the test's.
type Pair [2]string

// Serialize writes pairs in the order given. No pairs are no bytes.
func Serialize(pairs []Pair) []byte {
	if len(pairs) == 0 {
		return nil
	}
	out := U16(len(pairs))
	for _, p := range pairs {
		for _, s := range p {
			out = append(append(out, U16(len(s))...), s...)
		}
	}
	return out
}

// Sorted returns the pairs in the order that the specification gives them. Those of one key
// stay in theirs.
func Sorted(pairs []Pair) []Pair {
	return slices.SortedStableFunc(slices.Values(pairs), func(a, b Pair) int { return cmp.Compare(a[0], b[0]) })
}

// Derive returns n bytes of HKDF.
func Derive(h func() hash.Hash, dataKey, salt, info []byte, n int) []byte {
	return must(hkdf.Key(h, dataKey, salt, string(info), n))
}

// Seal returns text encrypted with AES-GCM, and the tag. The IV may have any length: none
// counts as one zero byte, since Go's GCM needs some.
func Seal(key, iv, text, data []byte) []byte {
	if len(iv) == 0 {
		iv = []byte{0}
	}
	aead := must(cipher.NewGCMWithNonceSize(must(aes.NewCipher(key)), len(iv)))
	return aead.Seal(nil, iv, text, data)
}

// SigningKey returns a key that the label decides, the same each time.
func SigningKey(c elliptic.Curve, label string) *ecdsa.PrivateKey {
	raw := BytesOf(label, c.Params().BitSize/8)
	raw[0] = 0 // below the curve's order
	return must(ecdsa.ParseRawPrivateKey(c, raw))
}

// EncodePoint returns a public key as a context stores it.
func EncodePoint(k *ecdsa.PublicKey) string {
	return base64.StdEncoding.EncodeToString(elliptic.MarshalCompressed(k.Curve, k.X, k.Y))
}

// U16 returns the two bytes of a number, U32 four, U64 eight: the first is the highest.
func U16(n int) []byte    { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func U32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func U64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
