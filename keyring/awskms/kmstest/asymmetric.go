package kmstest

import (
	"crypto/ecdsa"
	"crypto/x509"
)

func (o *operation) getPublicKey() (answer, error) {
	var k *key
	err := o.locked(func(v *vault) error {
		var err error
		if k, err = o.find(v, o.action(), "keyId", o.req.KeyId, true); err != nil {
			return err
		}
		if k.spec.symmetric() {
			return unsupported("%s is a symmetric key, which has no public key.", k.arn)
		}
		return k.usable()
	})
	if err != nil {
		return nil, err
	}
	var public any
	if k.rsa != nil {
		public = &k.rsa.PublicKey
	} else {
		public = k.ecdh.PublicKey()
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	out := answer{
		"CustomerMasterKeySpec": string(k.spec.name),
		"KeyId":                 k.arn,
		"KeySpec":               string(k.spec.name),
		"KeyUsage":              k.spec.usage,
		"PublicKey":             der,
	}
	k.algorithms(out)
	return out, nil
}

func (o *operation) deriveSharedSecret() (answer, error) {
	r := o.req
	switch {
	case r.KeyAgreementAlgorithm == "":
		return nil, missing("keyAgreementAlgorithm")
	case r.KeyAgreementAlgorithm != algECDH:
		return nil, notInEnum(r.KeyAgreementAlgorithm, "keyAgreementAlgorithm", algECDH)
	case r.PublicKey == nil:
		return nil, missing("publicKey")
	}
	if err := checkLength("publicKey", len(r.PublicKey), 1, maxPublicKey); err != nil {
		return nil, err
	}
	k, err := o.use(o.action(), "keyId", r.KeyId, keyAgreement)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(r.PublicKey)
	if err != nil {
		return nil, validation("The public key is not a DER-encoded SubjectPublicKeyInfo.")
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, validation("The public key is not on the curve of key spec %s.", k.spec.name)
	}
	peer, err := public.ECDH()
	if err != nil || peer.Curve() != k.spec.curve {
		return nil, validation("The public key is not on the curve of key spec %s.", k.spec.name)
	}
	secret, err := k.ecdh.ECDH(peer)
	if err != nil {
		return nil, validation("The public key is not valid.")
	}
	if err := o.dryRun(); err != nil {
		return nil, err
	}
	return answer{
		"KeyAgreementAlgorithm": algECDH,
		"KeyId":                 k.arn,
		"KeyOrigin":             "AWS_KMS",
		"SharedSecret":          secret,
	}, nil
}
