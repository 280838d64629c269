package differential

import (
	"crypto/ecdh"
	"crypto/rsa"
	"math/big"

	"github.com/go-sealring/sealring/internal/byhand"
)

// A WrappingKey is an AES key that wraps data keys.
type WrappingKey struct {
	Namespace, Name string
	Key             []byte
}

// WrappingKeys are those that the data key of a message may be wrapped by. A reader has the
// first, or the second too.
var WrappingKeys = []WrappingKey{
	{"interop", "right", byhand.BytesOf("right", 32)},
	{"interop", "second", byhand.BytesOf("second", 16)},
	{"interop", "right", byhand.BytesOf("another key of that name", 32)},
	{"interop", "nobody's", byhand.BytesOf("nobody's", 24)},
	{"other", "right", byhand.BytesOf("right", 32)},
}

// Orders says which of WrappingKeys a reader has, by Request.Reader.
var Orders = [][]int{{0}, {0, 1}, {1, 0}}

// AESKeys are the keys of unwrappers, one of each length.
var AESKeys = []WrappingKey{
	{"interop", "aes", byhand.BytesOf("16", 16)}, {"interop", "aes", byhand.BytesOf("24", 24)}, {"interop", "aes", byhand.BytesOf("32", 32)},
}

// FixedRSA makes a key that is the same each time.
func FixedRSA() (*rsa.PrivateKey, error) {
	prime := func(label string) *big.Int {
		b := byhand.BytesOf(label, 128)
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
	b := byhand.BytesOf(label, map[ecdh.Curve]int{ecdh.P256(): 32, ecdh.P384(): 48, ecdh.P521(): 66}[c])
	b[0] = 0 // below the curve's order
	return c.NewPrivateKey(b)
}
