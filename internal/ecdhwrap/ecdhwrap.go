// Package ecdhwrap wraps data keys under a secret that two parties agreed on
// with ECDH. Keyrings that hold the private key and those that leave it in KMS
// write the same bytes.
//
// Source: framework/raw-ecdh-keyring.md and framework/key-agreement-schemas.md
// of github.com/awslabs/aws-encryption-sdk-specification. Where they leave the
// encoding open, this follows the messages of AWS's own implementation: labels
// and curve names in the case used here, the KDF's fixed info alone as AAD.
package ecdhwrap

import (
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"github.com/go-sealring/sealring/internal/erase"
	"github.com/go-sealring/sealring/internal/suite"
)

// The provider IDs of encrypted data keys that are wrapped this way.
const (
	RawProviderID = "raw-ecdh"
	KMSProviderID = "aws-kms-ecdh"
)

const (
	infoVersion   = 1
	saltLen       = 32
	commitmentLen = 32
)

// A Curve is a NIST curve with the name that the fixed info uses.
type Curve struct {
	Name     string
	ECDH     ecdh.Curve
	elliptic elliptic.Curve
}

var curves = [...]Curve{
	{"p256", ecdh.P256(), elliptic.P256()},
	{"p384", ecdh.P384(), elliptic.P384()},
	{"p521", ecdh.P521(), elliptic.P521()},
}

// CurveOf returns the row for c, or an error if c is not a NIST curve.
func CurveOf(c ecdh.Curve) (*Curve, error) {
	for i := range curves {
		if curves[i].ECDH == c {
			return &curves[i], nil
		}
	}
	return nil, fmt.Errorf("curve %v is none of P-256, P-384 and P-521", c)
}

// Compress returns the compressed form of a public key on a NIST curve.
func Compress(k *ecdh.PublicKey) []byte {
	point := k.Bytes() // 4, X, Y
	x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
	return append([]byte{2 | y[len(y)-1]&1}, x...)
}

// Decompress returns the public key whose compressed form is given.
func (c *Curve) Decompress(compressed []byte) (*ecdh.PublicKey, error) {
	x, y := elliptic.UnmarshalCompressed(c.elliptic, compressed)
	if x == nil {
		return nil, fmt.Errorf("not a compressed point on %s", c.Name)
	}
	size := (c.elliptic.Params().BitSize + 7) / 8
	point := make([]byte, 1+2*size)
	point[0] = 4
	x.FillBytes(point[1 : 1+size])
	y.FillBytes(point[1+size:])
	return c.ECDH.NewPublicKey(point)
}

// Info is an encrypted data key's provider info: the two public keys, compressed.
type Info struct {
	Recipient, Sender []byte
}

// Append appends the serialized info to dst.
func (i Info) Append(dst []byte) []byte {
	dst = append(dst, infoVersion)
	for _, key := range [][]byte{i.Recipient, i.Sender} {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(key)))
		dst = append(dst, key...)
	}
	return dst
}

// ParseInfo parses a serialized info. The result refers to b.
func ParseInfo(b []byte) (Info, error) {
	var version uint8
	var recipient, sender []byte
	in := cryptobyte.String(b)
	if !in.ReadUint8(&version) || version != infoVersion ||
		!readBytes32(&in, &recipient) || !readBytes32(&in, &sender) || !in.Empty() {
		return Info{}, errors.New("provider info does not parse")
	}
	return Info{Recipient: recipient, Sender: sender}, nil
}

func readBytes32(in *cryptobyte.String, out *[]byte) bool {
	var n uint32
	return in.ReadUint32(&n) && uint64(n) <= uint64(len(*in)) && in.ReadBytes(out, int(n))
}

// Wrap wraps dataKey under the agreed secret and returns the encrypted data
// key's ciphertext. The context is the serialized encryption context.
func (c *Curve) Wrap(secret []byte, info Info, context, dataKey []byte) ([]byte, error) {
	// The salt makes the wrapping key unique, which is what allows the zero IV.
	out := make([]byte, saltLen, saltLen+commitmentLen+len(dataKey)+suite.TagLen)
	rand.Read(out)
	fixed := c.fixedInfo(info, context)
	var err error
	erase.After(func() {
		var commitment []byte
		var aead cipher.AEAD
		if commitment, aead, err = derive(secret, out, fixed); err == nil {
			out = append(out, commitment...)
			out = aead.Seal(out, make([]byte, aead.NonceSize()), dataKey, fixed)
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Unwrap returns the data key that Wrap was given.
func (c *Curve) Unwrap(secret []byte, info Info, context, ciphertext []byte) (dataKey []byte, err error) {
	erase.After(func() { dataKey, err = c.unwrap(secret, info, context, ciphertext) })
	return dataKey, err
}

func (c *Curve) unwrap(secret []byte, info Info, context, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < saltLen+commitmentLen+suite.TagLen {
		return nil, fmt.Errorf("wrapped key of %d bytes is too short", len(ciphertext))
	}
	salt, rest := ciphertext[:saltLen], ciphertext[saltLen:]
	fixed := c.fixedInfo(info, context)
	commitment, aead, err := derive(secret, salt, fixed)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(commitment, rest[:commitmentLen]) != 1 {
		return nil, errors.New("key commitment does not match: wrapped under other keys or for another encryption context")
	}
	dataKey, err := aead.Open(nil, make([]byte, aead.NonceSize()), rest[commitmentLen:], fixed)
	if err != nil {
		return nil, errors.New("wrapped key does not authenticate")
	}
	return dataKey, nil
}

// fixedInfo is both the label of the KDF and the AAD of the wrapping.
func (c *Curve) fixedInfo(info Info, context []byte) []byte {
	fixed := []byte("ecdh-key-derivation\x00" + c.Name + "\x00HMAC_SHA384\x00")
	fixed = append(fixed, info.Sender...)
	fixed = append(fixed, info.Recipient...)
	fixed = append(fixed, 0, infoVersion, 0)
	return append(fixed, context...)
}

// derive returns the commitment and the AEAD under the wrapping key: two halves
// of one output of the counter-mode KDF of NIST SP 800-108 with HMAC-SHA384.
func derive(secret, salt, fixed []byte) (commitment []byte, aead cipher.AEAD, err error) {
	const outLen = commitmentLen + 32
	out := make([]byte, 0, 2*sha512.Size384) // so that no piece of it is left elsewhere
	mac := hmac.New(sha512.New384, secret)
	for i := uint32(1); len(out) < outLen; i++ {
		mac.Reset()
		mac.Write(binary.BigEndian.AppendUint32(nil, i))
		mac.Write(fixed)
		mac.Write([]byte{0})
		mac.Write(salt)
		mac.Write(binary.BigEndian.AppendUint32(nil, 8*outLen))
		out = mac.Sum(out)
	}
	defer clear(out[commitmentLen:])
	aead, err = suite.NewAEAD(out[commitmentLen:outLen])
	return out[:commitmentLen:commitmentLen], aead, err
}
