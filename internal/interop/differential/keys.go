package differential

import (
	"crypto/ecdh"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
)

// BytesOf returns n bytes that the label decides.
func BytesOf(label string, n int) []byte {
	var out []byte
	for i := byte(0); len(out) < n; i++ {
		sum := sha256.Sum256(append([]byte(label), i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// A WrappingKey is an AES key that wraps data keys.
type WrappingKey struct {
	Namespace, Name string
	Key             []byte
}

// WrappingKeys are those that the data key of a message may be wrapped by. A reader has the
// first, or the second too.
var WrappingKeys = []WrappingKey{
	{"interop", "right", BytesOf("right", 32)},
	{"interop", "second", BytesOf("second", 16)},
	{"interop", "right", BytesOf("another key of that name", 32)},
	{"interop", "nobody's", BytesOf("nobody's", 24)},
	{"other", "right", BytesOf("right", 32)},
}

// Orders says which of WrappingKeys a reader has, by Request.Reader.
var Orders = [][]int{{0}, {0, 1}, {1, 0}}

// AESKeys are the keys of unwrappers, one of each length.
var AESKeys = []WrappingKey{
	{"interop", "aes", BytesOf("16", 16)}, {"interop", "aes", BytesOf("24", 24)}, {"interop", "aes", BytesOf("32", 32)},
}

// FixedRSA makes a key that is the same each time.
func FixedRSA() (*rsa.PrivateKey, error) {
	prime := func(label string) *big.Int {
		b := BytesOf(label, 128)
		b[0] |= 0xc0
		b[127] |= 1
		for n := new(big.Int).SetBytes(b); ; n.Add(n, big.NewInt(2)) {
			if n.ProbablyPrime(10) && new(big.Int).Mod(n, big.NewInt(65537)).Int64() != 1 {
				return n
			}
		}
	}
	p, q := prime("p"), prime("q")
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
		D:         new(big.Int).ModInverse(big.NewInt(65537), phi),
		Primes:    []*big.Int{p, q},
	}
	k.Precompute()
	return k, k.Validate()
}

// FixedECDH makes a key that the label decides.
func FixedECDH(c ecdh.Curve, label string) (*ecdh.PrivateKey, error) {
	b := BytesOf(label, map[ecdh.Curve]int{ecdh.P256(): 32, ecdh.P384(): 48, ecdh.P521(): 66}[c])
	b[0] = 0 // below the curve's order
	return c.NewPrivateKey(b)
}
