package envelope_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// tamperingManager changes what the default manager returns.
type tamperingManager struct {
	keyring.MaterialsManager
	encrypt func(*keyring.EncryptionMaterials)
	decrypt func(*keyring.DecryptionMaterials)
}

func (m tamperingManager) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	e, err := m.MaterialsManager.EncryptionMaterials(ctx, req)
	if err == nil && m.encrypt != nil {
		m.encrypt(e)
	}
	return e, err
}

func (m tamperingManager) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	d, err := m.MaterialsManager.DecryptionMaterials(ctx, req)
	if err == nil && m.decrypt != nil {
		m.decrypt(d)
	}
	return d, err
}

func otherSigningKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	return key
}

// TestMaterialsAreChecked has a manager return what it must not.
func TestMaterialsAreChecked(t *testing.T) {
	manager, err := keyring.NewManager(zeroKey(t))
	require.NoError(t, err)
	for name, tamper := range map[string]func(*keyring.EncryptionMaterials){
		"no data key":            func(m *keyring.EncryptionMaterials) { m.DataKey = nil },
		"short data key":         func(m *keyring.EncryptionMaterials) { m.DataKey = m.DataKey[:16] },
		"cleared data key":       func(m *keyring.EncryptionMaterials) { clear(m.DataKey) },
		"no wrapped key":         func(m *keyring.EncryptionMaterials) { m.EncryptedDataKeys = nil },
		"another suite":          func(m *keyring.EncryptionMaterials) { m.Suite = unsigned },
		"no suite":               func(m *keyring.EncryptionMaterials) { m.Suite = 0 },
		"no signing key":         func(m *keyring.EncryptionMaterials) { m.SigningKey = nil },
		"another signing key":    func(m *keyring.EncryptionMaterials) { m.SigningKey = otherSigningKey(t) },
		"no public key":          func(m *keyring.EncryptionMaterials) { delete(m.Context, "aws-crypto-public-key") },
		"public key not stored":  func(m *keyring.EncryptionMaterials) { m.RequiredKeys = []string{"aws-crypto-public-key"} },
		"a pair changed":         func(m *keyring.EncryptionMaterials) { m.Context["tenant"] = "43" },
		"a pair dropped":         func(m *keyring.EncryptionMaterials) { delete(m.Context, "tenant") },
		"required key not there": func(m *keyring.EncryptionMaterials) { m.RequiredKeys = []string{"row"} },
	} {
		t.Run("encrypt: "+name, func(t *testing.T) {
			e, err := envelope.NewEncrypterFromManager(tamperingManager{manager, tamper, nil}, &envelope.Options{Suite: signed})
			require.NoError(t, err)
			_, err = e.Encrypt(t.Context(), []byte("plaintext"), testContext)
			require.ErrorIs(t, err, envelope.ErrInvalidMaterials)
		})
	}

	c := newClient(t, &envelope.Options{Suite: signed})
	msg := encrypt(t, c, []byte("plaintext"))
	for name, tamper := range map[string]func(*keyring.DecryptionMaterials){
		"no data key":              func(m *keyring.DecryptionMaterials) { m.DataKey = nil },
		"short data key":           func(m *keyring.DecryptionMaterials) { m.DataKey = m.DataKey[:16] },
		"another suite":            func(m *keyring.DecryptionMaterials) { m.Suite = unsigned },
		"no verification key":      func(m *keyring.DecryptionMaterials) { m.VerificationKey = nil },
		"another verification key": func(m *keyring.DecryptionMaterials) { m.VerificationKey = &otherSigningKey(t).PublicKey },
		"a pair changed":           func(m *keyring.DecryptionMaterials) { m.Context["tenant"] = "43" },
		"required key not there":   func(m *keyring.DecryptionMaterials) { m.RequiredKeys = []string{"row"} },
	} {
		t.Run("decrypt: "+name, func(t *testing.T) {
			d, err := envelope.NewDecrypterFromManager(tamperingManager{manager, nil, tamper}, nil)
			require.NoError(t, err)
			decryptFails(t, &envelope.Client{Decrypter: d}, msg, []byte("plaintext"), testContext, envelope.ErrInvalidMaterials)
		})
	}
	// Sound materials, of a suite that was not asked for.
	t.Run("encrypt: sound, of another suite", func(t *testing.T) {
		e, err := envelope.NewEncrypterFromManager(signingManager{manager}, &envelope.Options{Suite: unsigned})
		require.NoError(t, err)
		_, err = e.Encrypt(t.Context(), []byte("plaintext"), testContext)
		require.ErrorIs(t, err, envelope.ErrInvalidMaterials)
		require.ErrorContains(t, err, "was asked for")
	})
	t.Run("decrypt: sound, of another suite", func(t *testing.T) {
		msg := encrypt(t, newClient(t, &envelope.Options{Suite: unsigned}), []byte("plaintext"))
		tamper := func(m *keyring.DecryptionMaterials) { m.Suite = keyring.SuiteAES256GCMHKDFSHA256 }
		d, err := envelope.NewDecrypterFromManager(tamperingManager{manager, nil, tamper},
			&envelope.Options{CommitmentPolicy: keyring.RequireEncryptAllowDecrypt})
		require.NoError(t, err)
		decryptFails(t, &envelope.Client{Decrypter: d}, msg, []byte("plaintext"), testContext, envelope.ErrInvalidMaterials)
	})

	t.Run("another data key", func(t *testing.T) {
		tamper := func(m *keyring.DecryptionMaterials) { m.DataKey[0] ^= 1 }
		d, err := envelope.NewDecrypterFromManager(tamperingManager{manager, nil, tamper}, nil)
		require.NoError(t, err)
		decryptFails(t, &envelope.Client{Decrypter: d}, msg, []byte("plaintext"), testContext, envelope.ErrCommitment)
	})
	t.Run("none", func(t *testing.T) {
		c, err := envelope.NewFromManager(emptyManager{}, nil)
		require.NoError(t, err)
		_, err = c.Encrypt(t.Context(), nil, nil)
		require.ErrorIs(t, err, envelope.ErrInvalidMaterials)
		_, err = c.Decrypt(t.Context(), encrypt(t, newClient(t, nil), nil), nil)
		require.ErrorIs(t, err, envelope.ErrInvalidMaterials)

		required, err := keyring.NewRequiredContextManager(emptyManager{}, "tenant")
		require.NoError(t, err)
		_, err = required.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Context: testContext})
		require.ErrorIs(t, err, envelope.ErrInvalidMaterials)
		_, err = required.DecryptionMaterials(t.Context(), keyring.DecryptionRequest{Reproduced: testContext})
		require.ErrorIs(t, err, envelope.ErrInvalidMaterials)
	})
}

// signingManager always signs.
type signingManager struct{ keyring.MaterialsManager }

func (m signingManager) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	req.Suite = signed
	return m.MaterialsManager.EncryptionMaterials(ctx, req)
}

type emptyManager struct{}

func (emptyManager) EncryptionMaterials(context.Context, keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	return nil, nil
}

func (emptyManager) DecryptionMaterials(context.Context, keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	return nil, nil
}

// believingManager takes a message's word for everything.
type believingManager struct{ keyring keyring.Decrypter }

func (m believingManager) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	ec, keys, err := req.Parse()
	if err != nil {
		return nil, err
	}
	d := &keyring.DecryptionMaterials{Suite: req.Suite, Context: ec}
	return d, m.keyring.OnDecrypt(ctx, d, keys)
}

// TestSignatureCannotBeStripped has somebody who can decrypt a signed message
// write another under its data key that is not signed.
func TestSignatureCannotBeStripped(t *testing.T) {
	msg := encrypt(t, newClient(t, &envelope.Options{Suite: signed}), []byte("plaintext"))
	h, err := message.ParseHeader(msg, message.Limits{EncryptedDataKeys: 1, HeaderLen: 10_000, FrameLength: 4096})
	require.NoError(t, err)
	m := &keyring.DecryptionMaterials{Suite: signed, Context: h.Context}
	keys := []keyring.EncryptedDataKey{keyring.EncryptedDataKey(h.EncryptedDataKeys[0])}
	require.NoError(t, zeroKey(t).OnDecrypt(t.Context(), m, keys))

	f := newForger(t, unsigned, 4096)
	f.dataKey = m.DataKey
	f.header.Context, f.header.EncryptedDataKeys = h.Context, h.EncryptedDataKeys
	f.writeHeader().final(1, []byte("forged"))
	for name, manager := range map[string]keyring.DecryptionManager{
		"default": func() keyring.DecryptionManager {
			d, err := keyring.NewDecryptionManager(zeroKey(t))
			require.NoError(t, err)
			return d
		}(),
		"a user's": believingManager{zeroKey(t)},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := envelope.NewDecrypterFromManager(manager, nil)
			require.NoError(t, err)
			decryptFails(t, &envelope.Client{Decrypter: d}, f.msg, []byte("forged"), nil, envelope.ErrMalformed)
		})
	}
}

// TestMaterialsAreCleared checks that the client leaves no data key behind.
func TestMaterialsAreCleared(t *testing.T) {
	manager, err := keyring.NewManager(zeroKey(t))
	require.NoError(t, err)
	var kept [][]byte
	tampering := tamperingManager{manager,
		func(m *keyring.EncryptionMaterials) { kept = append(kept, m.DataKey) },
		func(m *keyring.DecryptionMaterials) { kept = append(kept, m.DataKey) }}
	c, err := envelope.NewFromManager(tampering, nil)
	require.NoError(t, err)
	for _, encrypt := range encryptWays {
		msg, err := encrypt(t.Context(), c.Encrypter, []byte("plaintext"), nil)
		require.NoError(t, err)
		decryptsTo(t, c, msg, []byte("plaintext"), nil)
	}
	require.Len(t, kept, len(encryptWays)*(1+len(decryptWays)))
	for _, key := range kept {
		assert.Equal(t, make([]byte, 32), key)
	}
}
