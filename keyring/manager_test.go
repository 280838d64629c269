package keyring_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// failing is a keyring that does nothing but return err, nil included.
type failing struct{ err error }

func (f failing) OnEncrypt(context.Context, *keyring.EncryptionMaterials) error { return f.err }
func (f failing) OnDecrypt(context.Context, *keyring.DecryptionMaterials, []keyring.EncryptedDataKey) error {
	return f.err
}

const publicKeyPair = "aws-crypto-public-key"

func newManager(t *testing.T, k keyring.Keyring) keyring.MaterialsManager {
	m, err := keyring.NewManager(k)
	require.NoError(t, err)
	return m
}

// encryptionPolicy returns the policy under which s may be written.
func encryptionPolicy(s keyring.Suite) keyring.CommitmentPolicy {
	if s.Commits() {
		return keyring.RequireEncryptAllowDecrypt
	}
	return keyring.ForbidEncryptAllowDecrypt
}

func TestPolicy(t *testing.T) {
	for _, c := range []struct {
		policy                          keyring.CommitmentPolicy
		encrypts, encryptsPlain         bool // with and without commitment
		decrypts, decryptsUncommmitting bool
	}{
		{keyring.RequireEncryptRequireDecrypt, true, false, true, false},
		{keyring.RequireEncryptAllowDecrypt, true, false, true, true},
		{keyring.ForbidEncryptAllowDecrypt, false, true, true, true},
	} {
		for _, s := range suite.IDs[keyring.Suite]() {
			encrypts, decrypts := c.encrypts, c.decrypts
			if !s.Commits() {
				encrypts, decrypts = c.encryptsPlain, c.decryptsUncommmitting
			}
			check := func(err error, allowed bool) {
				if allowed {
					assert.NoError(t, err)
				} else {
					assert.ErrorIs(t, err, keyring.ErrPolicy)
				}
			}
			check(c.policy.CheckEncrypt(s), encrypts)
			check(c.policy.CheckDecrypt(s), decrypts)
		}
		assert.NoError(t, c.policy.CheckEncrypt(c.policy.DefaultSuite()))
	}
}

// TestCheckPolicy has sound materials, of a suite that the policy refuses, answer requests
// that leave the suite to the policy, or have that suite themselves.
func TestCheckPolicy(t *testing.T) {
	m := newManager(t, newRawAES(t, "kek", 256))
	e, err := m.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{CommitmentPolicy: keyring.ForbidEncryptAllowDecrypt})
	require.NoError(t, err)
	require.NoError(t, e.Check(keyring.EncryptionRequest{CommitmentPolicy: keyring.ForbidEncryptAllowDecrypt}))
	for _, policy := range []keyring.CommitmentPolicy{keyring.RequireEncryptRequireDecrypt, keyring.RequireEncryptAllowDecrypt} {
		require.ErrorIs(t, e.Check(keyring.EncryptionRequest{CommitmentPolicy: policy}), keyring.ErrPolicy)
	}
	req := keyring.DecryptionRequest{
		Suite: e.Suite, CommitmentPolicy: keyring.RequireEncryptAllowDecrypt, Stored: stored(t, e.Context, e.EncryptedDataKeys),
	}
	d, err := m.DecryptionMaterials(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, d.Check(req))
	req.CommitmentPolicy = keyring.RequireEncryptRequireDecrypt
	require.ErrorIs(t, d.Check(req), keyring.ErrPolicy)
}

func TestManagerRoundTrip(t *testing.T) {
	m := newManager(t, newRawAES(t, "kek", 256))
	ec := keyring.EncryptionContext{"tenant": "42"}
	for _, s := range suite.IDs[keyring.Suite]() {
		t.Run(s.String(), func(t *testing.T) {
			policy := encryptionPolicy(s)
			e, err := m.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{
				Suite: s, CommitmentPolicy: policy, Context: ec, PlaintextLength: -1,
			})
			require.NoError(t, err)
			assert.Equal(t, keyring.EncryptionContext{"tenant": "42"}, ec, "the caller's context changed")
			assert.Equal(t, s.Signs(), e.SigningKey != nil)
			assert.Equal(t, s.Signs(), e.Context[publicKeyPair] != "")

			d, err := m.DecryptionMaterials(t.Context(), keyring.DecryptionRequest{
				Suite: s, CommitmentPolicy: policy, Reproduced: ec, Stored: stored(t, e.Context, e.EncryptedDataKeys),
			})
			require.NoError(t, err)
			assert.Equal(t, e.DataKey, d.DataKey)
			if s.Signs() {
				assert.True(t, e.SigningKey.PublicKey.Equal(d.VerificationKey))
			}
			kept := e.DataKey
			e.Clear()
			assert.Equal(t, make([]byte, s.DataKeyLen()), kept)
			assert.Nil(t, e.DataKey)
			assert.Nil(t, e.SigningKey)
		})
	}
}

// stored returns what a header stores of a context and wrapped keys.
func stored(t testing.TB, ec keyring.EncryptionContext, keys []keyring.EncryptedDataKey) []byte {
	b, err := message.AppendStored(nil, ec, keys)
	require.NoError(t, err)
	return b
}

func TestManagerRefusesToEncrypt(t *testing.T) {
	down := errors.New("down")
	aes := newRawAES(t, "kek", 256)
	for name, c := range map[string]struct {
		keyring keyring.Keyring
		req     keyring.EncryptionRequest
		is      error
	}{
		"unknown suite":        {aes, keyring.EncryptionRequest{Suite: 0x9999}, keyring.ErrInvalidArgument},
		"policy":               {aes, keyring.EncryptionRequest{Suite: keyring.SuiteAES256GCM}, keyring.ErrPolicy},
		"reserved key":         {aes, keyring.EncryptionRequest{Context: keyring.EncryptionContext{"aws-crypto-x": ""}}, keyring.ErrInvalidArgument},
		"not UTF-8":            {aes, keyring.EncryptionRequest{Context: keyring.EncryptionContext{"a": "\xff"}}, keyring.ErrInvalidArgument},
		"long context":         {aes, keyring.EncryptionRequest{Context: keyring.EncryptionContext{"a": strings.Repeat("x", 1<<16)}}, keyring.ErrInvalidArgument},
		"required, missing":    {aes, keyring.EncryptionRequest{RequiredKeys: []string{"a"}}, keyring.ErrInvalidArgument},
		"keyring fails":        {failing{down}, keyring.EncryptionRequest{}, down},
		"keyring does nothing": {failing{nil}, keyring.EncryptionRequest{}, keyring.ErrInvalidMaterials},
		"no room for the public key": {aes, keyring.EncryptionRequest{
			Suite:   keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384,
			Context: keyring.EncryptionContext{"a": strings.Repeat("x", 65528)},
		}, keyring.ErrInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newManager(t, c.keyring).EncryptionMaterials(t.Context(), c.req)
			require.ErrorIs(t, err, c.is)
			assert.Nil(t, got)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newManager(t, aes).EncryptionMaterials(ctx, keyring.EncryptionRequest{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestManagerRefusesToDecrypt(t *testing.T) {
	aes := newRawAES(t, "kek", 256)
	ec := keyring.EncryptionContext{"tenant": "42"}
	unsigned, err := newManager(t, aes).EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Context: ec})
	require.NoError(t, err)
	const signed = keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384
	base := keyring.DecryptionRequest{Suite: commit, Stored: stored(t, ec, unsigned.EncryptedDataKeys)}
	with := func(change func(*keyring.DecryptionRequest)) keyring.DecryptionRequest {
		req := base
		change(&req)
		return req
	}
	point := func(b ...byte) keyring.EncryptionContext {
		return keyring.EncryptionContext{publicKeyPair: base64.StdEncoding.EncodeToString(b)}
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	encoded := point(elliptic.MarshalCompressed(key.Curve, key.X, key.Y)...)[publicKeyPair]
	require.True(t, strings.HasSuffix(encoded, "=="))
	named := func(publicKey string) keyring.DecryptionRequest {
		return with(func(r *keyring.DecryptionRequest) {
			r.Suite, r.Stored = signed, stored(t, keyring.EncryptionContext{publicKeyPair: publicKey}, unsigned.EncryptedDataKeys)
		})
	}
	spare := []byte(encoded)
	spare[len(spare)-3]++ // the lowest four bits of this letter stand for nothing, and are zero
	for name, c := range map[string]struct {
		req keyring.DecryptionRequest
		is  []error
	}{
		"unknown suite": {with(func(r *keyring.DecryptionRequest) { r.Suite = 1 }), []error{keyring.ErrInvalidArgument}},
		"policy":        {with(func(r *keyring.DecryptionRequest) { r.Suite = keyring.SuiteAES256GCM }), []error{keyring.ErrPolicy}},
		"another value": {with(func(r *keyring.DecryptionRequest) {
			r.Reproduced = keyring.EncryptionContext{"tenant": "43"}
		}), []error{keyring.ErrContextMismatch}},
		"pair that was not bound": {with(func(r *keyring.DecryptionRequest) {
			r.Reproduced = keyring.EncryptionContext{"row": "7"}
		}), []error{keyring.ErrContextMismatch, keyring.ErrNoMatchingKey}},
		"reserved pair that is not stored": {with(func(r *keyring.DecryptionRequest) {
			r.Reproduced = point(2)
		}), []error{keyring.ErrContextMismatch}},
		"reproduced context too long": {with(func(r *keyring.DecryptionRequest) {
			r.Reproduced = keyring.EncryptionContext{"row": strings.Repeat("x", 1<<16)}
		}), []error{keyring.ErrInvalidArgument}},
		"signed, without public key": {with(func(r *keyring.DecryptionRequest) {
			r.Suite = signed
		}), []error{message.ErrMalformed}},
		"unsigned, with public key": {with(func(r *keyring.DecryptionRequest) {
			r.Stored = stored(t, point(2), unsigned.EncryptedDataKeys)
		}), []error{message.ErrMalformed}},
		"public key not base64": {with(func(r *keyring.DecryptionRequest) {
			r.Suite, r.Stored = signed, stored(t, keyring.EncryptionContext{publicKeyPair: "*"}, unsigned.EncryptedDataKeys)
		}), []error{message.ErrMalformed}},
		"public key not a point": {with(func(r *keyring.DecryptionRequest) {
			r.Suite, r.Stored = signed, stored(t, point(append([]byte{2}, make([]byte, 31)...)...), unsigned.EncryptedDataKeys)
		}), []error{message.ErrMalformed}},
		"public key over two lines":   {named(encoded[:9] + "\n" + encoded[9:]), []error{message.ErrMalformed}},
		"public key with spare bits":  {named(string(spare)), []error{message.ErrMalformed}},
		"public key, another message": {named(encoded), []error{keyring.ErrNoMatchingKey}},
		"no keys":                     {with(func(r *keyring.DecryptionRequest) { r.Stored = make([]byte, 4) }), []error{keyring.ErrNoMatchingKey}},
		"nothing stored":              {with(func(r *keyring.DecryptionRequest) { r.Stored = nil }), []error{io.ErrUnexpectedEOF}},
		"cut":                         {with(func(r *keyring.DecryptionRequest) { r.Stored = r.Stored[:len(r.Stored)-1] }), []error{io.ErrUnexpectedEOF}},
		"more than stored":            {with(func(r *keyring.DecryptionRequest) { r.Stored = append(slices.Clone(r.Stored), 0) }), []error{message.ErrMalformed}},
		"a count of keys":             {with(func(r *keyring.DecryptionRequest) { r.Stored = []byte{0, 0, 0xff, 0xff} }), []error{io.ErrUnexpectedEOF}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newManager(t, aes).DecryptionMaterials(t.Context(), c.req)
			for _, is := range c.is {
				require.ErrorIs(t, err, is)
			}
			assert.Nil(t, got)
		})
	}
	_, err = newManager(t, failing{nil}).DecryptionMaterials(t.Context(), base)
	require.ErrorIs(t, err, keyring.ErrInvalidMaterials)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = newManager(t, aes).DecryptionMaterials(ctx, base)
	require.ErrorIs(t, err, context.Canceled)
}

func TestManagerWithoutKeyring(t *testing.T) {
	_, err := keyring.NewManager(nil)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = keyring.NewEncryptionManager(nil)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = keyring.NewDecryptionManager(nil)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
}

func TestRequiredContextManager(t *testing.T) {
	aes := newRawAES(t, "kek", 256)
	m, err := keyring.NewRequiredContextManager(newManager(t, aes), "row", "column")
	require.NoError(t, err)
	ec := keyring.EncryptionContext{"tenant": "42", "row": "7", "column": "ssn"}

	e, err := m.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Context: ec})
	require.NoError(t, err)
	split, authenticated := message.SplitContext(e.Context, e.RequiredKeys)
	assert.Equal(t, keyring.EncryptionContext{"tenant": "42"}, split)
	assert.Equal(t, keyring.EncryptionContext{"row": "7", "column": "ssn"}, authenticated)

	req := keyring.DecryptionRequest{Suite: commit, Reproduced: ec, Stored: stored(t, split, e.EncryptedDataKeys)}
	d, err := m.DecryptionMaterials(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, e.DataKey, d.DataKey)
	_, again := message.SplitContext(d.Context, d.RequiredKeys)
	assert.Equal(t, authenticated, again)

	delete(ec, "row")
	_, err = m.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Context: ec})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	require.ErrorContains(t, err, `"row"`)
	_, err = m.DecryptionMaterials(t.Context(), req)
	require.ErrorIs(t, err, keyring.ErrContextMismatch)
	require.ErrorContains(t, err, `"row"`)

	for name, keys := range map[string][]string{
		"none": nil, "twice": {"a", "a"}, "reserved": {publicKeyPair}, "not text": {"\xff"},
	} {
		_, err := keyring.NewRequiredContextManager(newManager(t, aes), keys...)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument, name)
	}
	_, err = keyring.NewRequiredContextManager(nil, "a")
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
}

// forgetful is a manager that loses what the required-context manager relies on.
type forgetful struct{ keyring.MaterialsManager }

func (f forgetful) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	m, err := f.MaterialsManager.EncryptionMaterials(ctx, req)
	if err == nil {
		m.RequiredKeys = nil
	}
	return m, err
}

func (f forgetful) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	m, err := f.MaterialsManager.DecryptionMaterials(ctx, req)
	if err == nil {
		m.RequiredKeys = nil
	}
	return m, err
}

func TestRequiredContextManagerDistrusts(t *testing.T) {
	manager := newManager(t, newRawAES(t, "kek", 256))
	honest, err := keyring.NewRequiredContextManager(manager, "row")
	require.NoError(t, err)
	m, err := keyring.NewRequiredContextManager(forgetful{manager}, "row")
	require.NoError(t, err)
	ec := keyring.EncryptionContext{"row": "7"}

	_, err = m.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Context: ec})
	require.ErrorIs(t, err, keyring.ErrInvalidMaterials)

	e, err := honest.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Context: ec})
	require.NoError(t, err)
	_, err = m.DecryptionMaterials(t.Context(), keyring.DecryptionRequest{
		Suite: commit, Reproduced: ec, Stored: stored(t, nil, e.EncryptedDataKeys),
	})
	require.ErrorIs(t, err, keyring.ErrInvalidMaterials)
}

// TestSerialize checks that materials which were serialized store the same as ones
// which were not, also after a manager has replaced what they were made of.
func TestSerialize(t *testing.T) {
	key := keyring.EncryptedDataKey{ProviderID: "test", ProviderInfo: []byte("kek"), Ciphertext: []byte("wrapped")}
	fresh := func() *keyring.EncryptionMaterials {
		return &keyring.EncryptionMaterials{
			Suite:             keyring.SuiteAES256GCMHKDFSHA512Commit,
			Context:           keyring.EncryptionContext{"tenant": "42", "row": "7"},
			DataKey:           make([]byte, 32),
			EncryptedDataKeys: []keyring.EncryptedDataKey{key, key},
		}
	}
	for name, change := range map[string]func(*keyring.EncryptionMaterials){
		"nothing": func(*keyring.EncryptionMaterials) {},
		"context": func(m *keyring.EncryptionMaterials) {
			m.Context = keyring.EncryptionContext{"tenant": "43", "row": "7"}
		},
		"equal context": func(m *keyring.EncryptionMaterials) {
			m.Context = keyring.EncryptionContext{"tenant": "42", "row": "7"}
		},
		"no context": func(m *keyring.EncryptionMaterials) { m.Context = nil },
		"required":   func(m *keyring.EncryptionMaterials) { m.RequiredKeys = []string{"row"} },
		"fewer keys": func(m *keyring.EncryptionMaterials) { m.EncryptedDataKeys = m.EncryptedDataKeys[:1] },
		"more keys":  func(m *keyring.EncryptionMaterials) { m.EncryptedDataKeys = append(m.EncryptedDataKeys, key) },
		"another key": func(m *keyring.EncryptionMaterials) {
			m.EncryptedDataKeys = []keyring.EncryptedDataKey{key, {ProviderID: "x"}}
		},
		"no keys at all": func(m *keyring.EncryptionMaterials) { m.EncryptedDataKeys = nil },
	} {
		t.Run(name, func(t *testing.T) {
			plain, kept := fresh(), fresh()
			require.NoError(t, kept.Serialize())
			again, err := kept.Stored()
			require.NoError(t, err)
			once, err := plain.Stored()
			require.NoError(t, err)
			require.Equal(t, once, again)

			copied := *kept
			kept = &copied
			change(plain)
			change(kept)
			want, errWant := plain.Stored()
			got, err := kept.Stored()
			require.Equal(t, errWant, err)
			require.Equal(t, want, got)
		})
	}
	require.Error(t, (&keyring.EncryptionMaterials{}).Serialize())
}

// TestCheckSerialized has materials that were serialized answer requests: what Check
// knows of the bytes must not let through what it would find in the map.
func TestCheckSerialized(t *testing.T) {
	type ec = keyring.EncryptionContext
	aes := newRawAES(t, "kek", 256)
	for name, test := range map[string]struct {
		materials, request ec
		suite              keyring.Suite
		required           []string
		ok                 bool
	}{
		"equal":            {ec{"tenant": "42"}, ec{"tenant": "42"}, commit, nil, true},
		"none":             {nil, nil, commit, nil, true},
		"more":             {ec{"tenant": "42", "row": "7"}, ec{"tenant": "42"}, commit, nil, true},
		"fewer":            {ec{"tenant": "42"}, ec{"tenant": "42", "row": "7"}, commit, nil, false},
		"another value":    {ec{"tenant": "42"}, ec{"tenant": "43"}, commit, nil, false},
		"signed":           {ec{"tenant": "42"}, ec{"tenant": "42"}, keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384, nil, true},
		"required":         {ec{"tenant": "42", "row": "7"}, ec{"tenant": "42", "row": "7"}, commit, []string{"row"}, true},
		"required, stored": {ec{"tenant": "42"}, ec{"tenant": "42", "row": "7"}, commit, []string{"tenant"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			made := keyring.EncryptionRequest{Suite: test.suite, Context: test.materials, RequiredKeys: test.required}
			m, err := newManager(t, aes).EncryptionMaterials(t.Context(), made)
			require.NoError(t, err)
			require.NoError(t, m.Serialize())
			req := keyring.EncryptionRequest{Suite: test.suite, Context: test.request}
			if test.ok {
				require.NoError(t, m.Check(req))
			} else {
				require.ErrorIs(t, m.Check(req), keyring.ErrInvalidMaterials)
			}

			// What the caller requires is checked in any case.
			req.RequiredKeys = []string{"tenant", "row"}
			require.ErrorIs(t, m.Check(req), keyring.ErrInvalidMaterials)

			// A context that was put in the place of what was serialized counts.
			req.RequiredKeys = nil
			req.Context = ec{"other": "1"}
			require.ErrorIs(t, m.Check(req), keyring.ErrInvalidMaterials)
			req.Context = test.request
			m.Context = ec{"other": "1"}
			if len(test.request) > 0 {
				require.ErrorIs(t, m.Check(req), keyring.ErrInvalidMaterials)
			}
		})
	}
}
