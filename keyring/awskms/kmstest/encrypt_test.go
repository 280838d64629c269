package kmstest_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"hash"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

func TestEncryptDecrypt(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	alias := s.Alias("app", arn)
	ec := map[string]string{"tenant": "42", "table": "patients"}

	for name, id := range map[string]string{
		"ARN": arn, "ID": arn[strings.Index(arn, "key/")+4:], "alias": "alias/app", "alias ARN": alias,
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 4096} {
				plaintext := bytes.Repeat([]byte{7}, n)
				sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &id, Plaintext: plaintext, EncryptionContext: ec})
				require.NoError(t, err)
				assert.Equal(t, arn, *sealed.KeyId)
				assert.Equal(t, types.EncryptionAlgorithmSpecSymmetricDefault, sealed.EncryptionAlgorithm)

				for _, with := range []*string{nil, &id} {
					opened, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: with, CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: ec})
					require.NoError(t, err)
					assert.Equal(t, plaintext, opened.Plaintext)
					assert.Equal(t, arn, *opened.KeyId)
					assert.Equal(t, types.EncryptionAlgorithmSpecSymmetricDefault, opened.EncryptionAlgorithm)
					assert.Len(t, *opened.KeyMaterialId, 64)
				}
			}
		})
	}
}

func TestDecryptRefuses(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	arn, other := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)
	ec := map[string]string{"a": "b", "c": ""}
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("secret"), EncryptionContext: ec})
	require.NoError(t, err)

	decrypt := func(id *string, blob []byte, ec map[string]string) error {
		_, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: id, CiphertextBlob: blob, EncryptionContext: ec})
		return err
	}
	for name, wrong := range map[string]map[string]string{
		"none":  nil,
		"fewer": {"a": "b"},
		"more":  {"a": "b", "c": "", "d": ""},
		"value": {"a": "B", "c": ""},
		"moved": {"ab": "", "c": ""},
	} {
		t.Run("context "+name, func(t *testing.T) {
			requireCode(t, decrypt(&arn, sealed.CiphertextBlob, wrong), "InvalidCiphertextException")
			requireCode(t, decrypt(nil, sealed.CiphertextBlob, wrong), "InvalidCiphertextException")
		})
	}
	t.Run("altered", func(t *testing.T) {
		for i := range sealed.CiphertextBlob {
			altered := slices.Clone(sealed.CiphertextBlob)
			altered[i] ^= 1
			requireCode(t, decrypt(&arn, altered, ec), "InvalidCiphertextException")
			requireCode(t, decrypt(nil, altered, ec), "InvalidCiphertextException")
		}
	})
	t.Run("cut", func(t *testing.T) {
		for i := 1; i < len(sealed.CiphertextBlob); i++ {
			requireCode(t, decrypt(nil, sealed.CiphertextBlob[:i], ec), "InvalidCiphertextException")
		}
	})
	t.Run("another key", func(t *testing.T) {
		e := requireCode(t, decrypt(&other, sealed.CiphertextBlob, ec), "IncorrectKeyException")
		assert.Equal(t, "The key ID in the request does not identify a CMK that can perform this operation.", e.ErrorMessage())
	})
	t.Run("key of another server", func(t *testing.T) {
		foreign := newClient(t, kmstest.Start(t), east)
		_, err := foreign.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: ec})
		e := requireCode(t, err, "AccessDeniedException")
		assert.Contains(t, e.ErrorMessage(), "refers to a customer master key that does not exist")
	})
	t.Run("too long", func(t *testing.T) {
		requireCode(t, decrypt(nil, make([]byte, 6145), nil), "ValidationException")
	})
	t.Run("unknown algorithm", func(t *testing.T) {
		_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionAlgorithm: "ROT13"})
		requireCode(t, err, "ValidationException")
	})
	t.Run("RSA without key", func(t *testing.T) {
		_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha1})
		requireCode(t, err, "ValidationException")
	})
}

func TestEncryptLimits(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: make([]byte, 4097)})
	e := requireCode(t, err, "ValidationException")
	assert.Equal(t, "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096", e.ErrorMessage())
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte{}})
	requireCode(t, err, "ValidationException")
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte{1}, EncryptionContext: map[string]string{"k": strings.Repeat("v", 8192)}})
	requireCode(t, err, "ValidationException")
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte{1}, GrantTokens: make([]string, 11)})
	requireCode(t, err, "ValidationException")
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte{1}, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
	requireCode(t, err, "InvalidKeyUsageException")
}

func TestGenerateDataKey(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	ec := map[string]string{"a": "b"}

	for name, tc := range map[string]struct {
		spec types.DataKeySpec
		n    *int32
		want int // 0: refused
	}{
		"AES_256":      {types.DataKeySpecAes256, nil, 32},
		"AES_128":      {types.DataKeySpecAes128, nil, 16},
		"1 byte":       {"", aws.Int32(1), 1},
		"1024 bytes":   {"", aws.Int32(1024), 1024},
		"0 bytes":      {"", aws.Int32(0), 0},
		"1025 bytes":   {"", aws.Int32(1025), 0},
		"both":         {types.DataKeySpecAes256, aws.Int32(32), 0},
		"neither":      {"", nil, 0},
		"unknown spec": {"AES_512", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			with, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: tc.spec, NumberOfBytes: tc.n, EncryptionContext: ec})
			without, err2 := c.GenerateDataKeyWithoutPlaintext(t.Context(), &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: &arn, KeySpec: tc.spec, NumberOfBytes: tc.n, EncryptionContext: ec})
			if tc.want == 0 {
				requireCode(t, err, "ValidationException")
				requireCode(t, err2, "ValidationException")
				return
			}
			require.NoError(t, err)
			require.NoError(t, err2)
			assert.Equal(t, arn, *with.KeyId)
			assert.Equal(t, arn, *without.KeyId)
			assert.Len(t, with.Plaintext, tc.want)
			assert.Nil(t, with.CiphertextForRecipient)
			assert.Equal(t, *with.KeyMaterialId, *without.KeyMaterialId)

			opened, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: with.CiphertextBlob, EncryptionContext: ec})
			require.NoError(t, err)
			assert.Equal(t, with.Plaintext, opened.Plaintext)
			opened, err = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: without.CiphertextBlob, EncryptionContext: ec})
			require.NoError(t, err)
			assert.Len(t, opened.Plaintext, tc.want)
		})
	}
}

func TestReEncrypt(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	from, to := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)
	public := s.CreateKey(east, kmstest.RSA2048)
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &from, Plaintext: []byte("secret"), EncryptionContext: map[string]string{"a": "1"}})
	require.NoError(t, err)
	in := func() *kms.ReEncryptInput {
		return &kms.ReEncryptInput{
			CiphertextBlob:               sealed.CiphertextBlob,
			SourceEncryptionContext:      map[string]string{"a": "1"},
			DestinationKeyId:             &to,
			DestinationEncryptionContext: map[string]string{"a": "2"},
		}
	}

	out, err := c.ReEncrypt(t.Context(), in())
	require.NoError(t, err)
	assert.Equal(t, from, *out.SourceKeyId)
	assert.Equal(t, to, *out.KeyId)
	assert.NotEqual(t, *out.SourceKeyMaterialId, *out.DestinationKeyMaterialId)
	assert.Equal(t, types.EncryptionAlgorithmSpecSymmetricDefault, out.SourceEncryptionAlgorithm)
	assert.Equal(t, types.EncryptionAlgorithmSpecSymmetricDefault, out.DestinationEncryptionAlgorithm)
	opened, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &to, CiphertextBlob: out.CiphertextBlob, EncryptionContext: map[string]string{"a": "2"}})
	require.NoError(t, err)
	assert.Equal(t, "secret", string(opened.Plaintext))
	assert.Equal(t, 1, s.Calls(kmstest.Match{Operation: "ReEncrypt", Key: from}))
	assert.Equal(t, 1, s.Calls(kmstest.Match{Operation: "ReEncrypt", Key: to}))
	last, _ := s.LastCall(kmstest.Match{Operation: "ReEncrypt"})
	assert.Equal(t, map[string]string{"a": "1"}, last.EncryptionContext)
	assert.Equal(t, map[string]string{"a": "2"}, last.DestinationContext)

	t.Run("to RSA and back", func(t *testing.T) {
		i := in()
		i.DestinationKeyId, i.DestinationEncryptionContext = &public, nil
		i.DestinationEncryptionAlgorithm = types.EncryptionAlgorithmSpecRsaesOaepSha256
		out, err := c.ReEncrypt(t.Context(), i)
		require.NoError(t, err)
		assert.Nil(t, out.DestinationKeyMaterialId)
		out, err = c.ReEncrypt(t.Context(), &kms.ReEncryptInput{
			CiphertextBlob: out.CiphertextBlob, SourceKeyId: &public, SourceEncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256, DestinationKeyId: &to,
		})
		require.NoError(t, err)
		assert.Equal(t, types.EncryptionAlgorithmSpecRsaesOaepSha256, out.SourceEncryptionAlgorithm)
		assert.Nil(t, out.SourceKeyMaterialId)
	})
	for name, tc := range map[string]struct {
		change func(*kms.ReEncryptInput)
		code   string
	}{
		"wrong source key":      {func(i *kms.ReEncryptInput) { i.SourceKeyId = &to }, "IncorrectKeyException"},
		"wrong context":         {func(i *kms.ReEncryptInput) { i.SourceEncryptionContext = nil }, "InvalidCiphertextException"},
		"no destination":        {func(i *kms.ReEncryptInput) { i.DestinationKeyId = aws.String("") }, "ValidationException"},
		"unknown destination":   {func(i *kms.ReEncryptInput) { i.DestinationKeyId = aws.String("alias/x") }, "NotFoundException"},
		"destination algorithm": {func(i *kms.ReEncryptInput) { i.DestinationKeyId = &public }, "InvalidKeyUsageException"},
		"unknown algorithm":     {func(i *kms.ReEncryptInput) { i.DestinationEncryptionAlgorithm = "X" }, "ValidationException"},
		"dry run":               {func(i *kms.ReEncryptInput) { i.DryRun = aws.Bool(true) }, "DryRunOperationException"},
	} {
		t.Run(name, func(t *testing.T) {
			i := in()
			tc.change(i)
			_, err := c.ReEncrypt(t.Context(), i)
			requireCode(t, err, tc.code)
		})
	}
	t.Run("denied", func(t *testing.T) {
		for action, key := range map[string]string{"kms:ReEncryptFrom": from, "kms:ReEncryptTo": to} {
			allow := s.Deny(action, key)
			_, err := c.ReEncrypt(t.Context(), in())
			assert.Contains(t, requireCode(t, err, "AccessDeniedException").ErrorMessage(), action)
			allow()
		}
	})
}

func TestRSA(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	for _, tc := range []struct {
		spec kmstest.KeySpec
		bits int
	}{{kmstest.RSA2048, 2048}, {kmstest.RSA3072, 3072}, {kmstest.RSA4096, 4096}} {
		t.Run(string(tc.spec), func(t *testing.T) {
			t.Parallel()
			arn := s.CreateKey(east, tc.spec)
			out, err := c.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: &arn})
			require.NoError(t, err)
			assert.Equal(t, arn, *out.KeyId)
			assert.Equal(t, types.KeySpec(tc.spec), out.KeySpec)
			assert.Equal(t, types.KeyUsageTypeEncryptDecrypt, out.KeyUsage)
			assert.Equal(t, []types.EncryptionAlgorithmSpec{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}, out.EncryptionAlgorithms)
			assert.Empty(t, out.KeyAgreementAlgorithms)
			assert.Equal(t, out.PublicKey, s.PublicKey(arn))
			parsed, err := x509.ParsePKIXPublicKey(out.PublicKey)
			require.NoError(t, err)
			public := parsed.(*rsa.PublicKey)
			require.Equal(t, tc.bits, public.N.BitLen())

			for alg, h := range map[types.EncryptionAlgorithmSpec]hash.Hash{
				types.EncryptionAlgorithmSpecRsaesOaepSha1:   sha1.New(),
				types.EncryptionAlgorithmSpecRsaesOaepSha256: sha256.New(),
			} {
				max := tc.bits/8 - 2*h.Size() - 2
				sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: make([]byte, max), EncryptionAlgorithm: alg})
				require.NoError(t, err)
				assert.Equal(t, alg, sealed.EncryptionAlgorithm)
				opened, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &arn, CiphertextBlob: sealed.CiphertextBlob, EncryptionAlgorithm: alg})
				require.NoError(t, err)
				assert.Equal(t, make([]byte, max), opened.Plaintext)
				assert.Equal(t, alg, opened.EncryptionAlgorithm)
				assert.Nil(t, opened.KeyMaterialId)

				_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: make([]byte, max+1), EncryptionAlgorithm: alg})
				e := requireCode(t, err, "ValidationException")
				assert.Equal(t, fmt.Sprintf("Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", alg, tc.spec, max), e.ErrorMessage())

				// What others encrypt with the public key.
				outside, err := rsa.EncryptOAEP(h, rand.Reader, public, []byte("from outside"), nil)
				require.NoError(t, err)
				opened, err = c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &arn, CiphertextBlob: outside, EncryptionAlgorithm: alg})
				require.NoError(t, err)
				assert.Equal(t, "from outside", string(opened.Plaintext))
				outside[0] ^= 1
				_, err = c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &arn, CiphertextBlob: outside, EncryptionAlgorithm: alg})
				requireCode(t, err, "InvalidCiphertextException")

				_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte{1}, EncryptionAlgorithm: alg, EncryptionContext: map[string]string{"a": "b"}})
				requireCode(t, err, "ValidationException")
			}
			_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte{1}})
			requireCode(t, err, "InvalidKeyUsageException")
			_, err = c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256})
			requireCode(t, err, "InvalidKeyUsageException")
		})
	}
}

func TestKeyAgreement(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	curves := map[kmstest.KeySpec]ecdh.Curve{kmstest.ECCP256: ecdh.P256(), kmstest.ECCP384: ecdh.P384(), kmstest.ECCP521: ecdh.P521()}
	for spec, curve := range curves {
		t.Run(string(spec), func(t *testing.T) {
			arn := s.CreateKey(east, spec)
			public, err := c.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: &arn})
			require.NoError(t, err)
			assert.Equal(t, types.KeyUsageTypeKeyAgreement, public.KeyUsage)
			assert.Equal(t, []types.KeyAgreementAlgorithmSpec{"ECDH"}, public.KeyAgreementAlgorithms)
			assert.Empty(t, public.EncryptionAlgorithms)
			parsed, err := x509.ParsePKIXPublicKey(public.PublicKey)
			require.NoError(t, err)
			theirs, err := parsed.(*ecdsa.PublicKey).ECDH()
			require.NoError(t, err)

			mine, err := curve.GenerateKey(rand.Reader)
			require.NoError(t, err)
			der, err := x509.MarshalPKIXPublicKey(mine.PublicKey())
			require.NoError(t, err)
			in := &kms.DeriveSharedSecretInput{KeyId: &arn, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh, PublicKey: der}
			out, err := c.DeriveSharedSecret(t.Context(), in)
			require.NoError(t, err)
			want, err := mine.ECDH(theirs)
			require.NoError(t, err)
			assert.Equal(t, want, out.SharedSecret)
			assert.Equal(t, arn, *out.KeyId)
			assert.Equal(t, types.KeyAgreementAlgorithmSpecEcdh, out.KeyAgreementAlgorithm)
			assert.Equal(t, types.OriginTypeAwsKms, out.KeyOrigin)

			in.DryRun = aws.Bool(true)
			_, err = c.DeriveSharedSecret(t.Context(), in)
			requireCode(t, err, "DryRunOperationException")
			_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte{1}})
			e := requireCode(t, err, "InvalidKeyUsageException")
			assert.Equal(t, arn+" key usage is KEY_AGREEMENT which is not valid for Encrypt.", e.ErrorMessage())

			for other := range curves {
				if other == spec {
					continue
				}
				_, err = c.DeriveSharedSecret(t.Context(), &kms.DeriveSharedSecretInput{
					KeyId: &arn, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh, PublicKey: s.PublicKey(s.CreateKey(east, other)),
				})
				requireCode(t, err, "ValidationException")
			}
		})
	}
	symmetric, ecc := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.ECCP256)
	_, err := c.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: &symmetric})
	requireCode(t, err, "UnsupportedOperationException")
	_, err = c.DeriveSharedSecret(t.Context(), &kms.DeriveSharedSecretInput{KeyId: &symmetric, KeyAgreementAlgorithm: "ECDH", PublicKey: s.PublicKey(ecc)})
	requireCode(t, err, "InvalidKeyUsageException")
	_, err = c.DeriveSharedSecret(t.Context(), &kms.DeriveSharedSecretInput{KeyId: &ecc, KeyAgreementAlgorithm: "ECDH", PublicKey: []byte("nonsense")})
	requireCode(t, err, "ValidationException")
	_, err = c.DeriveSharedSecret(t.Context(), &kms.DeriveSharedSecretInput{KeyId: &ecc, KeyAgreementAlgorithm: "X", PublicKey: s.PublicKey(ecc)})
	requireCode(t, err, "ValidationException")
	_, err = c.DeriveSharedSecret(t.Context(), &kms.DeriveSharedSecretInput{KeyId: &ecc, KeyAgreementAlgorithm: "ECDH", PublicKey: s.PublicKey(s.CreateKey(east, kmstest.RSA2048))})
	requireCode(t, err, "ValidationException")
}

func TestDryRun(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x")})
	require.NoError(t, err)
	calls := func() map[string]error {
		errs := map[string]error{}
		_, errs["Encrypt"] = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x"), DryRun: aws.Bool(true)})
		_, errs["Decrypt"] = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, DryRun: aws.Bool(true)})
		_, errs["GenerateDataKey"] = c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, NumberOfBytes: aws.Int32(1), DryRun: aws.Bool(true)})
		_, errs["GenerateDataKeyWithoutPlaintext"] = c.GenerateDataKeyWithoutPlaintext(t.Context(), &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: &arn, NumberOfBytes: aws.Int32(1), DryRun: aws.Bool(true)})
		return errs
	}
	for name, err := range calls() {
		e := requireCode(t, err, "DryRunOperationException")
		assert.Equal(t, "The request would have succeeded, but the DryRun option is set.", e.ErrorMessage(), name)
	}
	s.Deny("", arn)
	for _, err := range calls() {
		requireCode(t, err, "AccessDeniedException")
	}
}
