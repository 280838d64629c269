package kmstest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"hash"
	"slices"
)

func (o *operation) generateDataKeyWithoutPlaintext() (answer, error) {
	out, err := o.generateDataKey()
	delete(out, "Plaintext")
	return out, err
}

func (o *operation) generateDataKey() (answer, error) {
	r := o.req
	var n int64
	switch {
	case (r.KeySpec == "") == (r.NumberOfBytes == nil):
		return nil, validation("Please specify either number of bytes or key spec.")
	case r.NumberOfBytes != nil:
		n = *r.NumberOfBytes
		if err := checkRange("numberOfBytes", n, 1, 1024); err != nil {
			return nil, err
		}
	case r.KeySpec == "AES_256":
		n = 32
	case r.KeySpec == "AES_128":
		n = 16
	default:
		return nil, notInEnum(r.KeySpec, "keySpec", "AES_256", "AES_128")
	}
	k, err := o.use(o.action(), "keyId", r.KeyId, encryptDecrypt)
	if err != nil {
		return nil, err
	}
	if !k.spec.symmetric() {
		return nil, invalidUsage(k.key, o.name)
	}
	if err := o.dryRun(); err != nil {
		return nil, err
	}
	plaintext := make([]byte, n)
	rand.Read(plaintext)
	return answer{
		"CiphertextBlob": seal(k.id, k.materials, plaintext, r.EncryptionContext),
		"KeyId":          k.arn,
		"KeyMaterialId":  k.materials[len(k.materials)-1].id,
		"Plaintext":      plaintext,
	}, nil
}

func (o *operation) encrypt() (answer, error) {
	r := o.req
	if r.Plaintext == nil {
		return nil, missing("plaintext")
	}
	if err := checkLength("plaintext", len(r.Plaintext), 1, maxPlaintext); err != nil {
		return nil, err
	}
	alg, err := algorithm(r.EncryptionAlgorithm, "encryptionAlgorithm")
	if err != nil {
		return nil, err
	}
	k, err := o.use(o.action(), "keyId", r.KeyId, encryptDecrypt)
	if err != nil {
		return nil, err
	}
	ciphertext, err := k.encrypt(alg, r.Plaintext, r.EncryptionContext)
	if err != nil {
		return nil, err
	}
	if err := o.dryRun(); err != nil {
		return nil, err
	}
	return answer{"CiphertextBlob": ciphertext, "EncryptionAlgorithm": alg, "KeyId": k.arn}, nil
}

func (o *operation) decrypt() (answer, error) {
	r := o.req
	d, err := o.open(o.action(), sealedInput{
		"keyId", r.KeyId, r.CiphertextBlob, "encryptionAlgorithm", r.EncryptionAlgorithm, r.EncryptionContext,
	})
	if err != nil {
		return nil, err
	}
	if err := o.dryRun(); err != nil {
		return nil, err
	}
	out := answer{"EncryptionAlgorithm": d.algorithm, "KeyId": d.key.arn, "Plaintext": d.plaintext}
	if d.material != nil {
		out["KeyMaterialId"] = d.material.id
	}
	return out, nil
}

func (o *operation) reEncrypt() (answer, error) {
	r := o.req
	alg, err := algorithm(r.DestinationEncryptionAlgorithm, "destinationEncryptionAlgorithm")
	if err != nil {
		return nil, err
	}
	if r.DestinationKeyId == "" {
		return nil, missing("destinationKeyId")
	}
	d, err := o.open("kms:ReEncryptFrom", sealedInput{
		"sourceKeyId", r.SourceKeyId, r.CiphertextBlob, "sourceEncryptionAlgorithm", r.SourceEncryptionAlgorithm, r.SourceEncryptionContext,
	})
	if err != nil {
		return nil, err
	}
	k, err := o.use("kms:ReEncryptTo", "destinationKeyId", r.DestinationKeyId, encryptDecrypt)
	if err != nil {
		return nil, err
	}
	ciphertext, err := k.encrypt(alg, d.plaintext, r.DestinationEncryptionContext)
	if err != nil {
		return nil, err
	}
	if err := o.dryRun(); err != nil {
		return nil, err
	}
	out := answer{
		"CiphertextBlob":                 ciphertext,
		"DestinationEncryptionAlgorithm": alg,
		"KeyId":                          k.arn,
		"SourceEncryptionAlgorithm":      d.algorithm,
		"SourceKeyId":                    d.key.arn,
	}
	if d.material != nil {
		out["SourceKeyMaterialId"] = d.material.id
	}
	if k.spec.symmetric() {
		out["DestinationKeyMaterialId"] = k.materials[len(k.materials)-1].id
	}
	return out, nil
}

// algorithm returns the algorithm that a request names, or the default.
func algorithm(name, member string) (string, error) {
	switch name {
	case "":
		return algSymmetric, nil
	case algSymmetric, algOAEPSHA1, algOAEPSHA256:
		return name, nil
	}
	return "", notInEnum(name, member, algSymmetric, algOAEPSHA1, algOAEPSHA256, "SM2PKE")
}

// supports reports an algorithm, or a context, that the key's kind does not have.
func (k *key) supports(alg string, ec map[string]string) error {
	if !slices.Contains(k.spec.algorithms, alg) {
		return fault("InvalidKeyUsageException", "Algorithm %s is not valid for %s with key spec %s.", alg, k.arn, k.spec.name)
	}
	if !k.spec.symmetric() && len(ec) > 0 {
		return validation("EncryptionContext is not supported with asymmetric keys")
	}
	return nil
}

func (k view) encrypt(alg string, plaintext []byte, ec map[string]string) ([]byte, error) {
	if err := k.supports(alg, ec); err != nil {
		return nil, err
	}
	if k.spec.symmetric() {
		return seal(k.id, k.materials, plaintext, ec), nil
	}
	h := oaepHash(alg)
	if max := k.rsa.Size() - 2*h.Size() - 2; len(plaintext) > max {
		return nil, validation("Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", alg, k.spec.name, max)
	}
	return rsa.EncryptOAEP(h, rand.Reader, &k.rsa.PublicKey, plaintext, nil)
}

func oaepHash(alg string) hash.Hash {
	if alg == algOAEPSHA1 {
		return sha1.New()
	}
	return sha256.New()
}

// A sealedInput is a ciphertext to open and how a request says to open it.
type sealedInput struct {
	keyMember, key string
	ciphertext     []byte
	algMember, alg string
	context        map[string]string
}

// An opened is what came out of it.
type opened struct {
	key       *key
	algorithm string
	plaintext []byte
	material  *material // symmetric only
}

func (o *operation) open(action string, in sealedInput) (opened, error) {
	if in.ciphertext == nil {
		return opened{}, missing("ciphertextBlob")
	}
	if err := checkLength("ciphertextBlob", len(in.ciphertext), 1, maxCiphertext); err != nil {
		return opened{}, err
	}
	alg, err := algorithm(in.alg, in.algMember)
	if err != nil {
		return opened{}, err
	}
	if in.key == "" && alg == algSymmetric {
		return o.openUnnamed(action, in)
	}
	k, err := o.use(action, in.keyMember, in.key, encryptDecrypt)
	if err != nil {
		return opened{}, err
	}
	if err := k.supports(alg, in.context); err != nil {
		return opened{}, err
	}
	if !k.spec.symmetric() {
		plaintext, err := rsa.DecryptOAEP(oaepHash(alg), nil, k.rsa, in.ciphertext, nil)
		if err != nil {
			return opened{}, invalidCiphertext()
		}
		return opened{k.key, alg, plaintext, nil}, nil
	}
	b, ok := parseBlob(in.ciphertext)
	if !ok {
		return opened{}, invalidCiphertext()
	}
	if b.keyID != k.id {
		return opened{}, fault("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	}
	plaintext, m, err := b.open(k.materials, in.context)
	return opened{k.key, alg, plaintext, m}, err
}

// openUnnamed opens a ciphertext with the key that it names itself.
func (o *operation) openUnnamed(action string, in sealedInput) (opened, error) {
	b, ok := parseBlob(in.ciphertext)
	if !ok {
		return opened{}, invalidCiphertext()
	}
	var k view
	err := o.locked(func(v *vault) error {
		found := v.keys[b.keyID]
		if found == nil || !found.spec.symmetric() {
			return fault("AccessDeniedException", "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
		}
		if err := o.authorize(action, found.arn); err != nil {
			return err
		}
		var err error
		k, err = o.ready(found, encryptDecrypt)
		return err
	})
	if err != nil {
		return opened{}, err
	}
	plaintext, m, err := b.open(k.materials, in.context)
	return opened{k.key, algSymmetric, plaintext, m}, err
}
