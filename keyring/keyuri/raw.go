package keyuri

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/go-sealring/sealring/keyring"
)

var (
	rawAESScheme = &scheme{
		name:   "raw-aes",
		form:   "raw-aes:?namespace=NAMESPACE&name=NAME&file=PATH, or with env=VARIABLE in place of file",
		params: []string{"namespace", "name", "file", "env"},
		read:   readRawAES,
	}
	rawRSAScheme = &scheme{
		name:   "raw-rsa",
		form:   "raw-rsa:?namespace=NAMESPACE&name=NAME&padding=oaep-sha256&file=PATH, or with env=VARIABLE in place of file",
		params: []string{"namespace", "name", "padding", "file", "env"},
		read:   readRawRSA,
	}
)

const (
	maxAESText = 1 << 10
	maxPEM     = 64 << 10
)

// names returns the namespace and the name of a raw key.
func (p *parts) names() (namespace, name string, err error) {
	if namespace, err = p.must("namespace"); err != nil {
		return "", "", err
	}
	if strings.HasPrefix(namespace, "aws-kms") {
		return "", "", p.scheme.bad("parameter namespace", "begins with aws-kms, as those of keys in AWS KMS do")
	}
	name, err = p.must("name")
	return namespace, name, err
}

var paddings = []struct {
	name    string
	padding keyring.RSAPadding
}{
	{"oaep-sha256", keyring.RSAOAEPSHA256},
	{"oaep-sha384", keyring.RSAOAEPSHA384},
	{"oaep-sha512", keyring.RSAOAEPSHA512},
	{"oaep-sha1", keyring.RSAOAEPSHA1},
	{"pkcs1", keyring.RSAPKCS1},
}

func (p *parts) padding() (keyring.RSAPadding, error) {
	value, err := p.must("padding")
	if err != nil {
		return 0, err
	}
	for _, known := range paddings {
		if known.name == value {
			return known.padding, nil
		}
	}
	return 0, p.scheme.bad("parameter padding", "is none of oaep-sha256, oaep-sha384, oaep-sha512, oaep-sha1 and pkcs1")
}

// A rawAES is an AES key in a file or variable.
type rawAES struct {
	namespace, name string
	from            source
}

func readRawAES(p *parts) (opens, error) {
	if err := p.noPath(); err != nil {
		return nil, err
	}
	k := &rawAES{}
	var err error
	if k.namespace, k.name, err = p.names(); err != nil {
		return nil, err
	}
	k.from, err = p.source()
	return k, err
}

func (k *rawAES) open(context.Context, *opening, half) (opened, error) {
	text, err := k.from.read(maxAESText)
	if err != nil {
		return opened{}, err
	}
	defer clear(text)
	key, err := decodeKey(text)
	if err != nil {
		return opened{}, k.from.problem(err)
	}
	defer clear(key)
	kr, err := keyring.NewRawAES(k.namespace, k.name, key)
	if err != nil {
		return opened{}, err
	}
	return wholly(kr), nil
}

// decodeKey returns the key that is in base64 in text, without its line break. Errors do
// not quote it.
func decodeKey(text []byte) ([]byte, error) {
	const remedy = "it must be base64 of 16, 24 or 32 bytes, in one line, as openssl rand -base64 32 writes it"
	if len(text) == 0 {
		return nil, fmt.Errorf("is empty: %s", remedy)
	}
	// 32 hexadecimal digits are base64 too, of 24 bytes that nobody meant.
	if !bytes.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) }) {
		return nil, fmt.Errorf("looks like hexadecimal: %s; xxd -r -p | base64 converts it", remedy)
	}
	// The decoder would pass over line breaks.
	key := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(key, text)
	if err == nil && !bytes.ContainsAny(text, "\r\n") && (n == 16 || n == 24 || n == 32) {
		return key[:n], nil
	}
	clear(key)
	return nil, fmt.Errorf("is no key: %s", remedy)
}

// A rawRSA is an RSA key in a file or variable.
type rawRSA struct {
	namespace, name string
	padding         keyring.RSAPadding
	from            source
}

func readRawRSA(p *parts) (opens, error) {
	if err := p.noPath(); err != nil {
		return nil, err
	}
	k := &rawRSA{}
	var err error
	if k.namespace, k.name, err = p.names(); err != nil {
		return nil, err
	}
	if k.padding, err = p.padding(); err != nil {
		return nil, err
	}
	k.from, err = p.source()
	return k, err
}

func (k *rawRSA) open(context.Context, *opening, half) (opened, error) {
	private, public, err := k.from.readRSA()
	switch {
	case err != nil:
		return opened{}, err
	case private != nil:
		kr, err := keyring.NewRawRSA(k.namespace, k.name, &private.PublicKey, private, k.padding)
		if err != nil {
			return opened{}, k.from.problem(err)
		}
		return wholly(kr), nil
	default:
		e, err := keyring.NewRawRSAEncrypter(k.namespace, k.name, public, k.padding)
		if err != nil {
			return opened{}, k.from.problem(err)
		}
		return opened{encrypter: e}, nil
	}
}

// readRSA returns the private or the public key in a source.
func (s source) readRSA() (*rsa.PrivateKey, *rsa.PublicKey, error) {
	text, mode, err := s.readAny(maxPEM)
	if err != nil {
		return nil, nil, err
	}
	defer clear(text)
	private, public, err := decodePEM(text)
	if err == nil {
		err = mode.check(private == nil)
	}
	if err != nil {
		return nil, nil, s.problem(err)
	}
	return private, public, nil
}

// decodePEM returns the RSA key in text. Errors do not quote it, and neither those of
// package x509.
func decodePEM(text []byte) (*rsa.PrivateKey, *rsa.PublicKey, error) {
	const remedy = "it must be one RSA key in PEM, a private one not encrypted, as openssl genpkey and openssl pkey -pubout write it"
	text = bytes.TrimSpace(text)
	block, rest := pem.Decode(text)
	if block == nil || !bytes.HasPrefix(text, []byte("-----BEGIN ")) || len(rest) > 0 {
		return nil, nil, fmt.Errorf("is not one block of PEM: %s", remedy)
	}
	defer clear(block.Bytes)
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, nil, fmt.Errorf("is an encrypted private key: %s", remedy)
		}
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, nil, fmt.Errorf("is an encrypted private key: %s", remedy)
	case "CERTIFICATE":
		return nil, nil, fmt.Errorf("is a certificate, which is not verified here: take the key out of it with openssl x509 -pubkey -noout")
	default:
		return nil, nil, fmt.Errorf("is PEM of another kind: %s", remedy)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("has PEM that cannot be parsed: %s", remedy)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil, nil
	case *rsa.PublicKey:
		return nil, key, nil
	}
	return nil, nil, fmt.Errorf("is no RSA key but %T", key)
}
