package envelope_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

const fipsEnv = "ENVELOPE_FIPS"

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

// TestUnderFIPS is what TestFIPS starts.
func TestUnderFIPS(t *testing.T) {
	setting := os.Getenv(fipsEnv)
	if setting == "" {
		t.Skip("runs only in the processes that TestFIPS starts")
	}
	_, err := keyring.NewRawAES("test", "zero", make([]byte, 32))
	if setting == "only" {
		assert.ErrorContains(t, err, "fips140=on does")
		// A client under another keyring gets as far as the message key.
		c, err := envelope.NewEncrypter(handOut{}, nil)
		require.NoError(t, err)
		_, err = c.Encrypt(t.Context(), []byte("plaintext"), nil)
		require.ErrorContains(t, err, "fips140=on does")
		return
	}
	require.NoError(t, err)
	eachSuite(t, 10, func(t *testing.T, c *envelope.Client) {
		plaintext := randomBytes(35)
		decryptsTo(t, c, encrypt(t, c, plaintext), plaintext, testContext)
	})
}
