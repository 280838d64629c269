package dynamoitem

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

const fipsEnv = "DYNAMOITEM_FIPS"

// TestFIPS runs in processes with the settings of FIPS 140-3 that Go has: one
// works, the other is answered with an error that says what to do.
func TestFIPS(t *testing.T) {
	for _, setting := range []string{"on", "only"} {
		t.Run(setting, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestUnderFIPS$", "-test.v")
			cmd.Env = append(os.Environ(), "GODEBUG=fips140="+setting, fipsEnv+"="+setting)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "--- PASS: TestUnderFIPS")
		})
	}
}

// handOut is a manager whose data keys nothing wraps.
type handOut struct{ keyring.MaterialsManager }

func (handOut) EncryptionMaterials(_ context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	key := slices.Repeat([]byte{1}, 32)
	return &keyring.EncryptionMaterials{
		Suite: req.Suite, Context: req.Context, DataKey: key,
		EncryptedDataKeys: []keyring.EncryptedDataKey{{ProviderID: "none"}}, SymmetricSigningKeys: [][]byte{slices.Clone(key)},
	}, nil
}

// TestUnderFIPS is what TestFIPS starts.
func TestUnderFIPS(t *testing.T) {
	switch os.Getenv(fipsEnv) {
	case "":
		t.Skip("runs only in the processes that TestFIPS starts")
	case "only":
		// A keyring that does not use AES-GCM itself gets as far as the attributes.
		_, err := newTable(t, handOut{}, simple(hmacOnly, SignOnly)).Encrypt(t.Context(), simpleItem())
		require.ErrorContains(t, err, "fips140=on does")
		return
	}
	eachKind(t, func(t *testing.T, suite keyring.Suite, key Action) {
		table := newTable(t, record(t), broad(suite, key))
		in := broadItem(table.config)
		out, err := table.Encrypt(t.Context(), in)
		require.NoError(t, err)
		back, err := table.Decrypt(t.Context(), out)
		require.NoError(t, err)
		assert.Equal(t, in, back)
	})
	t.Run("stored", TestStoredItems)
}
