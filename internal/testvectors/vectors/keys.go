package vectors

import (
	"cmp"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sealring/sealring/keyring"
)

// A keyDescription says which keyring or materials manager a test uses.
type keyDescription struct {
	Type       string
	Key        string
	ProviderID string `json:"provider-id"`
	Algorithm  string `json:"encryption-algorithm"`
	Padding    string `json:"padding-algorithm"`
	Hash       string `json:"padding-hash"`

	Schema    string // raw-ecdh
	Sender    string
	Recipient string

	Generator    *keyDescription  // multi-keyring
	Children     []keyDescription `json:"childKeyrings"`
	Underlying   *keyDescription  // required-encryption-context-cmm
	RequiredKeys []string         `json:"requiredEncryptionContextKeys"`
}

// keyMaterial is an entry of keys.json.
type keyMaterial struct {
	KeyID    string `json:"key-id"`
	Encoding string
	Material text // base64 or PEM, by encoding

	SenderMaterial     text `json:"sender-material"`
	SenderPublicKey    text `json:"sender-material-public-key"`
	RecipientMaterial  text `json:"recipient-material"`
	RecipientPublicKey text `json:"recipient-material-public-key"`

	LineSeparator string `json:"line-separator"`

	// A static branch key, in base64.
	BranchKeyVersion string `json:"branchKeyVersion"`
	BranchKey        []byte `json:"branchKey"`
	BeaconKey        []byte `json:"beaconKey"`
}

// text is a string or, in version 1, a list of lines.
type text []string

func (t *text) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = text{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

func (k keyMaterial) text(t text) string {
	separator := k.LineSeparator
	if separator == "" {
		separator = "\n"
	}
	return strings.Join(t, separator)
}

// needsService is the error for a key that cannot be had here; it is the kind.
type needsService string

func (e needsService) Error() string { return string(e) + " needs the service" }

// errPublic says that a key decrypts nothing.
var errPublic = errors.New("it is a public key alone, which can decrypt nothing")

// manager returns the materials manager that a description asks for.
func (v *vector) manager(d keyDescription) (keyring.DecryptionManager, error) {
	if d.Type == "required-encryption-context-cmm" {
		if d.Underlying == nil {
			return nil, fmt.Errorf("no underlying key")
		}
		underlying, err := v.manager(*d.Underlying)
		if err != nil {
			return nil, err
		}
		return keyring.NewRequiredContextManager(decryptOnly{DecryptionManager: underlying}, d.RequiredKeys...)
	}
	k, err := v.keyring(d)
	if err != nil {
		return nil, err
	}
	return keyring.NewDecryptionManager(k)
}

// decryptOnly stands where a whole manager is wanted: nothing is encrypted here.
type decryptOnly struct {
	keyring.EncryptionManager
	keyring.DecryptionManager
}

func (v *vector) keyring(d keyDescription) (keyring.Decrypter, error) {
	switch {
	case d.Type == "aws-kms-hierarchy":
		return v.branch(d)
	case strings.HasPrefix(d.Type, "aws-kms"):
		return nil, needsService(d.Type)
	case d.Type == "multi-keyring":
		return v.multi(d)
	case d.Type == "raw" && d.Algorithm == "aes":
		return v.rawAES(d)
	case d.Type == "raw" && d.Algorithm == "rsa":
		return v.rawRSA(d)
	case d.Type == "raw-ecdh":
		return v.rawECDH(d)
	default:
		return nil, fmt.Errorf("unknown key type %q %q", d.Type, d.Algorithm)
	}
}

// multi leaves out the keys that need the service, and those that can only encrypt,
// while another is left.
func (v *vector) multi(d keyDescription) (keyring.Decrypter, error) {
	all := d.Children
	if d.Generator != nil {
		all = append([]keyDescription{*d.Generator}, all...)
	}
	var keyrings []keyring.Decrypter
	var skipped, public error
	for _, one := range all {
		k, err := v.keyring(one)
		if _, skip := err.(needsService); skip {
			skipped = err
			continue
		}
		if errors.Is(err, errPublic) {
			public = err
			continue
		}
		if err != nil {
			return nil, err
		}
		keyrings = append(keyrings, k)
	}
	if err := cmp.Or(skipped, public); len(keyrings) == 0 && err != nil {
		return nil, err
	}
	return keyring.NewMultiDecrypter(keyrings...)
}

func (v *vector) material(name string) (keyMaterial, error) {
	m, ok := v.keys[name]
	if !ok {
		return m, fmt.Errorf("keys.json has no key %q", name)
	}
	return m, nil
}

func (v *vector) rawAES(d keyDescription) (keyring.Decrypter, error) {
	m, err := v.material(d.Key)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(m.text(m.Material))
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", d.Key, err)
	}
	return keyring.NewRawAES(d.ProviderID, m.KeyID, key)
}

func (v *vector) rawRSA(d keyDescription) (keyring.Decrypter, error) {
	m, err := v.material(d.Key)
	if err != nil {
		return nil, err
	}
	key, err := privateKey(m.text(m.Material))
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", d.Key, err)
	}
	decrypter, ok := key.(crypto.Decrypter)
	if !ok {
		return nil, fmt.Errorf("key %q is a %T", d.Key, key)
	}
	padding, ok := map[string]keyring.RSAPadding{
		"pkcs1 ":           keyring.RSAPKCS1,
		"oaep-mgf1 sha1":   keyring.RSAOAEPSHA1,
		"oaep-mgf1 sha256": keyring.RSAOAEPSHA256,
		"oaep-mgf1 sha384": keyring.RSAOAEPSHA384,
		"oaep-mgf1 sha512": keyring.RSAOAEPSHA512,
	}[d.Padding+" "+d.oaepHash()]
	if !ok {
		return nil, fmt.Errorf("unknown padding %q %q", d.Padding, d.Hash)
	}
	return keyring.NewRawRSADecrypter(d.ProviderID, m.KeyID, decrypter, padding)
}

// oaepHash is the padding's hash: PKCS #1 v1.5 has none, whatever is written.
func (d keyDescription) oaepHash() string {
	if d.Padding == "pkcs1" {
		return ""
	}
	return d.Hash
}

// A Hierarchy makes the keyring for a version of a branch key, and returns what ends it.
type Hierarchy func(id, version string, branchKey, beaconKey []byte) (k keyring.Decrypter, end func() error, err error)

// branch returns a keyring for a branch key that keys.json has in the clear.
func (v *vector) branch(d keyDescription) (keyring.Decrypter, error) {
	m, err := v.material(d.Key)
	if err != nil {
		return nil, err
	}
	if m.BranchKey == nil || v.hierarchy == nil {
		return nil, needsService(d.Type)
	}
	k, end, err := v.hierarchy(m.KeyID, m.BranchKeyVersion, m.BranchKey, m.BeaconKey)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", d.Key, err)
	}
	v.close = append(v.close, end)
	return k, nil
}

func (v *vector) rawECDH(d keyDescription) (keyring.Decrypter, error) {
	recipient, err := v.material(d.Recipient)
	if err != nil {
		return nil, err
	}
	switch d.Schema {
	case "discovery", "ephemeral":
		key, err := ecdhPrivate(recipient.text(recipient.RecipientMaterial))
		if err != nil {
			return nil, err
		}
		return keyring.NewRawECDHDecrypter(key)
	case "static":
		sender, err := v.material(d.Sender)
		if err != nil {
			return nil, err
		}
		private, err := ecdhPrivate(sender.text(sender.SenderMaterial))
		if err != nil {
			return nil, err
		}
		public, err := ecdhPublic(recipient.text(recipient.RecipientPublicKey))
		if err != nil {
			return nil, err
		}
		return keyring.NewRawECDH(private, public)
	default:
		return nil, fmt.Errorf("unknown schema %q", d.Schema)
	}
}

func ecdhPrivate(text string) (*ecdh.PrivateKey, error) {
	key, err := privateKey(text)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("elliptic curve key is a %T", key)
	}
	return ec.ECDH()
}

func ecdhPublic(text string) (*ecdh.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("elliptic curve key is a %T", key)
	}
	return ec.ECDH()
}

func privateKey(text string) (any, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("private key is not PEM")
	}
	switch block.Type {
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return nil, errPublic
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	}
}
