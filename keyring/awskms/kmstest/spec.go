package kmstest

import (
	"crypto/ecdh"
	"slices"
)

// A KeySpec says what kind of key to make. Each kind has one usage here:
// ENCRYPT_DECRYPT for symmetric and RSA keys, KEY_AGREEMENT for elliptic curves.
type KeySpec string

// The kinds of keys that a [Server] makes, by the service's names.
const (
	SymmetricDefault KeySpec = "SYMMETRIC_DEFAULT"
	RSA2048          KeySpec = "RSA_2048"
	RSA3072          KeySpec = "RSA_3072"
	RSA4096          KeySpec = "RSA_4096"
	ECCP256          KeySpec = "ECC_NIST_P256"
	ECCP384          KeySpec = "ECC_NIST_P384"
	ECCP521          KeySpec = "ECC_NIST_P521"
)

const (
	encryptDecrypt = "ENCRYPT_DECRYPT"
	keyAgreement   = "KEY_AGREEMENT"

	algSymmetric  = "SYMMETRIC_DEFAULT"
	algOAEPSHA1   = "RSAES_OAEP_SHA_1"
	algOAEPSHA256 = "RSAES_OAEP_SHA_256"
	algECDH       = "ECDH"
)

// A keySpec is one row of the kinds of keys.
type keySpec struct {
	name       KeySpec
	usage      string
	algorithms []string   // of encryption, or of key agreement
	rsaBits    int        // RSA only
	curve      ecdh.Curve // elliptic curves only
}

func (s *keySpec) symmetric() bool { return s.name == SymmetricDefault }

var keySpecs = []*keySpec{
	{name: SymmetricDefault, usage: encryptDecrypt, algorithms: []string{algSymmetric}},
	{name: RSA2048, usage: encryptDecrypt, algorithms: []string{algOAEPSHA1, algOAEPSHA256}, rsaBits: 2048},
	{name: RSA3072, usage: encryptDecrypt, algorithms: []string{algOAEPSHA1, algOAEPSHA256}, rsaBits: 3072},
	{name: RSA4096, usage: encryptDecrypt, algorithms: []string{algOAEPSHA1, algOAEPSHA256}, rsaBits: 4096},
	{name: ECCP256, usage: keyAgreement, algorithms: []string{algECDH}, curve: ecdh.P256()},
	{name: ECCP384, usage: keyAgreement, algorithms: []string{algECDH}, curve: ecdh.P384()},
	{name: ECCP521, usage: keyAgreement, algorithms: []string{algECDH}, curve: ecdh.P521()},
}

// What the service has and this server does not.
var (
	otherSpecs  = []string{"ECC_SECG_P256K1", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512", "SM2"}
	otherUsages = []string{"SIGN_VERIFY", "GENERATE_VERIFY_MAC"}
)

// chooseSpec returns the row for what CreateKey asks for, empty meaning the
// service's default.
func chooseSpec(name, usage string) (*keySpec, error) {
	if name == "" {
		name = string(SymmetricDefault)
	}
	if slices.Contains(otherSpecs, name) {
		return nil, unsupported("KeySpec %s is not supported", name)
	}
	i := slices.IndexFunc(keySpecs, func(s *keySpec) bool { return string(s.name) == name })
	if i < 0 {
		allowed := slices.Clone(otherSpecs)
		for _, s := range keySpecs {
			allowed = append(allowed, string(s.name))
		}
		return nil, notInEnum(name, "keySpec", allowed...)
	}
	spec := keySpecs[i]
	switch {
	case usage == spec.usage || usage == "" && spec.symmetric():
		return spec, nil
	case usage == "":
		return nil, validation("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	case usage != encryptDecrypt && usage != keyAgreement && !slices.Contains(otherUsages, usage):
		return nil, notInEnum(usage, "keyUsage", append([]string{encryptDecrypt, keyAgreement}, otherUsages...)...)
	case usage == "SIGN_VERIFY" && !spec.symmetric():
		return nil, unsupported("KeyUsage %s is not supported", usage)
	default:
		return nil, validation("KeyUsage %s is not compatible with KeySpec %s", usage, name)
	}
}
