package keyringtest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/keyringtest"
)

// A defective keyring is a sound one with one thing wrong.
type defective struct {
	keyring.Keyring
	encrypt func(context.Context, keyring.Keyring, *keyring.EncryptionMaterials) error
	decrypt func(context.Context, keyring.Keyring, *keyring.DecryptionMaterials, []keyring.EncryptedDataKey) error
}

func (d defective) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	if d.encrypt == nil {
		return d.Keyring.OnEncrypt(ctx, m)
	}
	return d.encrypt(ctx, d.Keyring, m)
}

func (d defective) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	if d.decrypt == nil {
		return d.Keyring.OnDecrypt(ctx, m, keys)
	}
	return d.decrypt(ctx, d.Keyring, m, keys)
}

// defects maps the subtest that must find a defect to the defective keyring.
var defects = map[string]defective{
	"none": {},
	"Generate": {encrypt: func(ctx context.Context, k keyring.Keyring, m *keyring.EncryptionMaterials) error {
		if m.DataKey == nil {
			m.DataKey = make([]byte, m.Suite.DataKeyLen()) // the same each time
		}
		return k.OnEncrypt(ctx, m)
	}},
	"WrapGiven": {encrypt: func(ctx context.Context, k keyring.Keyring, m *keyring.EncryptionMaterials) error {
		m.DataKey = nil // generates although there is one
		return k.OnEncrypt(ctx, m)
	}},
	"EncryptCancelled": {encrypt: func(ctx context.Context, k keyring.Keyring, m *keyring.EncryptionMaterials) error {
		return k.OnEncrypt(context.WithoutCancel(ctx), m)
	}},
	"DecryptCancelled": {decrypt: func(ctx context.Context, k keyring.Keyring, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
		return k.OnDecrypt(context.WithoutCancel(ctx), m, keys)
	}},
	"WrongContext": {
		encrypt: func(ctx context.Context, k keyring.Keyring, m *keyring.EncryptionMaterials) error {
			context := m.Context
			m.Context = nil
			defer func() { m.Context = context }()
			return k.OnEncrypt(ctx, m)
		},
		decrypt: func(ctx context.Context, k keyring.Keyring, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
			m.Context = nil
			return k.OnDecrypt(ctx, m, keys)
		},
	},
	"WrongLength": {decrypt: func(ctx context.Context, k keyring.Keyring, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
		s := m.Suite
		defer func() { m.Suite = s }()
		var err error
		for _, m.Suite = range []keyring.Suite{keyring.SuiteAES128GCM, keyring.SuiteAES192GCM, keyring.SuiteAES256GCM} {
			if err = k.OnDecrypt(ctx, m, keys); err == nil {
				return nil
			}
		}
		return err
	}},
	"Altered": {decrypt: func(ctx context.Context, k keyring.Keyring, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
		err := k.OnDecrypt(ctx, m, keys)
		if err != nil && m.DataKey == nil && len(keys) > 0 {
			m.DataKey = make([]byte, m.Suite.DataKeyLen()) // left behind on failure
		}
		return err
	}},
	"AmongOthers": {decrypt: func(ctx context.Context, k keyring.Keyring, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
		return k.OnDecrypt(ctx, m, keys[:min(1, len(keys))]) // looks at the first only
	}},
	"NoKeys": {decrypt: func(ctx context.Context, k keyring.Keyring, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
		if err := k.OnDecrypt(ctx, m, keys); errors.Is(err, keyring.ErrNoMatchingKey) {
			return errors.New("no key") // not the error that callers test for
		} else {
			return err
		}
	}},
	"AlreadyUnwrapped": {decrypt: func(ctx context.Context, k keyring.Keyring, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
		m.DataKey = nil
		return k.OnDecrypt(ctx, m, keys)
	}},
}

const defectEnv = "KEYRINGTEST_DEFECT"

// TestDefects runs the suite on defective keyrings, each in a process of its
// own since a failed subtest fails all, and expects it to find the defect.
func TestDefects(t *testing.T) {
	for name := range defects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestDefective$", "-test.v")
			cmd.Env = append(os.Environ(), defectEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if name == "none" {
				require.NoError(t, err, "%s", out)
				return
			}
			require.Error(t, err, "the suite found nothing:\n%s", out)
			assert.Contains(t, string(out), "--- FAIL: TestDefective/"+name)
		})
	}
}

// TestDefective is what TestDefects starts.
func TestDefective(t *testing.T) {
	d, ok := defects[os.Getenv(defectEnv)]
	if !ok {
		t.Skip("runs only in the processes that TestDefects starts")
	}
	var err error
	d.Keyring, err = keyring.NewRawAES("ns", "name", make([]byte, 32))
	require.NoError(t, err)
	keyringtest.Run(t, keyringtest.Keyring{Encrypter: d, Decrypter: d, ContextBound: true})
}
