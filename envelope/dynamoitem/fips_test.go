package dynamoitem

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

const fipsEnv = "DYNAMOITEM_FIPS"

// TestFIPS writes and reads items in a process where FIPS 140-3 is asked for.
func TestFIPS(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestUnderFIPS$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=on", fipsEnv+"=on")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestUnderFIPS")
}

// TestUnderFIPS is what TestFIPS starts.
func TestUnderFIPS(t *testing.T) {
	if os.Getenv(fipsEnv) == "" {
		t.Skip("runs only in the process that TestFIPS starts")
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
