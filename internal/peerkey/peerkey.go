// Package peerkey describes keyrings in JSON, so that programs in other languages make the
// same ones as this library. They are for tests: their keys stand in the description.
package peerkey

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-sealring/sealring/keyring"
)

// A Spec says which keyring to make. Kind says which, and which of the other fields are used:
//
//	raw-aes     Namespace, Name, Key (base64; its length says which AES)
//	raw-rsa     Namespace, Name, Padding, Public and Private (PEM; Private may be empty)
//	raw-ecdh    Schema, Curve, Private (PEM), Public (base64 of DER: the recipient's)
//	multi       Generator (may be nil), Children
//	kms, kms-mrk                      Key (ARN), Region, Endpoint
//	kms-discovery, kms-mrk-discovery  Partition, Accounts, Region, Endpoint
//	kms-rsa     Key, Region, Endpoint, Algorithm, Public (PEM)
//	kms-ecdh    Schema, Curve, Key, Sender and Recipient (base64 of DER), Region, Endpoint
//	branch-key  Table, Logical, KMSKey, BranchKey, Region, KMS and DynamoDB (endpoints)
//	master-key  Of: a kind above that AWS's older master key providers have too
type Spec struct {
	Kind string `json:"kind"`
	Of   string `json:"of,omitempty"`

	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Key       string `json:"key,omitempty"`
	Padding   string `json:"padding,omitempty"` // a key of Paddings
	Schema    string `json:"schema,omitempty"`  // static, ephemeral or discovery
	Curve     string `json:"curve,omitempty"`   // a key of Curves
	Public    string `json:"public,omitempty"`
	Private   string `json:"private,omitempty"`

	Generator *Spec   `json:"generator,omitempty"`
	Children  []*Spec `json:"children,omitempty"`

	Region    string   `json:"region,omitempty"`
	Endpoint  string   `json:"endpoint,omitempty"`
	Partition string   `json:"partition,omitempty"`
	Accounts  []string `json:"accounts,omitempty"`
	Algorithm string   `json:"algorithm,omitempty"`
	Sender    string   `json:"sender,omitempty"`
	Recipient string   `json:"recipient,omitempty"`

	Table     string `json:"table,omitempty"`
	Logical   string `json:"logical,omitempty"`
	KMSKey    string `json:"kmsKey,omitempty"`
	BranchKey string `json:"branchKey,omitempty"`
	KMS       string `json:"kms,omitempty"`
	DynamoDB  string `json:"dynamodb,omitempty"`

	// LocaleSorting has a raw AES keyring sort the context as AWS's JavaScript does by
	// default. This library has no such thing, and takes no notice.
	LocaleSorting bool `json:"localeSorting,omitempty"`
}

// Paddings are those of RSA by their names in a Spec.
var Paddings = map[string]keyring.RSAPadding{
	"PKCS1":       keyring.RSAPKCS1,
	"OAEP-SHA1":   keyring.RSAOAEPSHA1,
	"OAEP-SHA256": keyring.RSAOAEPSHA256,
	"OAEP-SHA384": keyring.RSAOAEPSHA384,
	"OAEP-SHA512": keyring.RSAOAEPSHA512,
}

// Curves are those of ECDH by their names in a Spec.
var Curves = map[string]ecdh.Curve{"P-256": ecdh.P256(), "P-384": ecdh.P384(), "P-521": ecdh.P521()}

// A Keyring is the halves of one. One of them is nil where there is no such half.
type Keyring struct {
	keyring.Encrypter
	keyring.Decrypter
}

// Both returns a keyring of which both halves are there.
func Both(k keyring.Keyring, err error) (Keyring, error) { return Keyring{k, k}, err }

// Open makes the keyring. It asks others for those of the kinds kms and branch-key; others
// is nil where there are none.
func (s *Spec) Open(others func(*Spec) (Keyring, error)) (k Keyring, err error) {
	kind := s.Kind
	if kind == "master-key" {
		kind = s.Of
	}
	switch kind {
	case "raw-aes":
		key, err := base64.StdEncoding.DecodeString(s.Key)
		if err != nil {
			return k, err
		}
		return Both(keyring.NewRawAES(s.Namespace, s.Name, key))
	case "raw-rsa":
		return s.rsa()
	case "raw-ecdh":
		return s.ecdh()
	case "multi":
		return s.multi(others)
	}
	if others == nil {
		return k, fmt.Errorf("a keyring of kind %q is not to be had here", s.Kind)
	}
	return others(s)
}

func (s *Spec) rsa() (k Keyring, err error) {
	padding, has := Paddings[s.Padding]
	if !has {
		return k, fmt.Errorf("no padding %q", s.Padding)
	}
	public, err := s.PublicRSA()
	if err != nil {
		return k, err
	}
	if s.Private == "" {
		k.Encrypter, err = keyring.NewRawRSAEncrypter(s.Namespace, s.Name, public, padding)
		return k, err
	}
	private, err := fromPEM(s.Private, x509.ParsePKCS8PrivateKey)
	if err != nil {
		return k, err
	}
	d, ok := private.(crypto.Decrypter)
	if !ok {
		return k, errors.New("the private key is not RSA's")
	}
	return Both(keyring.NewRawRSA(s.Namespace, s.Name, public, d, padding))
}

func (s *Spec) ecdh() (k Keyring, err error) {
	var private *ecdh.PrivateKey
	var public *ecdh.PublicKey
	if s.Schema != "ephemeral" {
		key, err := fromPEM(s.Private, x509.ParsePKCS8PrivateKey)
		if err != nil {
			return k, err
		}
		p, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			return k, errors.New("the private key is not on a curve")
		}
		if private, err = p.ECDH(); err != nil {
			return k, err
		}
	}
	if s.Schema != "discovery" {
		if public, err = PublicECDH(s.Public); err != nil {
			return k, err
		}
	}
	switch s.Schema {
	case "static":
		return Both(keyring.NewRawECDH(private, public))
	case "ephemeral":
		k.Encrypter, err = keyring.NewRawECDHEncrypter(public)
		return k, err
	case "discovery":
		k.Decrypter, err = keyring.NewRawECDHDecrypter(private)
		return k, err
	}
	return k, fmt.Errorf("no schema %q", s.Schema)
}

// PublicECDH reads a public key in a Spec.
func PublicECDH(text string) (*ecdh.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	p, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("the public key is not on a curve")
	}
	return p.ECDH()
}

// PublicRSA reads the public key of a Spec.
func (s *Spec) PublicRSA() (*rsa.PublicKey, error) {
	key, err := fromPEM(s.Public, x509.ParsePKIXPublicKey)
	if err != nil {
		return nil, err
	}
	p, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the public key is not RSA's")
	}
	return p, nil
}

func (s *Spec) multi(others func(*Spec) (Keyring, error)) (k Keyring, err error) {
	var generator keyring.Encrypter
	var encrypters []keyring.Encrypter
	var decrypters []keyring.Decrypter
	for i, part := range s.Parts() {
		p, err := part.Open(others)
		if err != nil {
			return k, err
		}
		switch {
		case i == 0 && s.Generator != nil:
			generator = p.Encrypter
		case p.Encrypter != nil:
			encrypters = append(encrypters, p.Encrypter)
		}
		if p.Decrypter != nil {
			decrypters = append(decrypters, p.Decrypter)
		}
	}
	if generator != nil {
		if k.Encrypter, err = keyring.NewMultiEncrypter(generator, encrypters...); err != nil {
			return k, err
		}
	}
	if len(decrypters) > 0 {
		k.Decrypter, err = keyring.NewMultiDecrypter(decrypters...)
	}
	return k, err
}

// Parts returns the keyrings of a multi-keyring in their order, and of any other itself.
func (s *Spec) Parts() []*Spec {
	if s.Kind != "multi" {
		return []*Spec{s}
	}
	var parts []*Spec
	if s.Generator != nil {
		parts = append(parts, s.Generator)
	}
	return append(parts, s.Children...)
}

func fromPEM[K any](text string, parse func([]byte) (K, error)) (key K, err error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return key, errors.New("the key is not PEM")
	}
	return parse(block.Bytes)
}

// PrivatePEM returns a private key as PKCS #8 in PEM.
func PrivatePEM(key any) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
}

// PublicPEM returns a public key as SPKI in PEM.
func PublicPEM(key any) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), err
}

// PublicDER returns a public key as SPKI in base64.
func PublicDER(key any) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	return base64.StdEncoding.EncodeToString(der), err
}
