package awskms_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// halves is a keyring that encrypts with one and decrypts with another.
type halves struct {
	keyring.Encrypter
	keyring.Decrypter
}

// failedHalf returns which half a check says has failed, or "".
func failedHalf(t testing.TB, err error) string {
	if err == nil {
		return ""
	}
	var failed *envelope.CheckError
	require.ErrorAs(t, err, &failed)
	return failed.Op
}

func TestCheck(t *testing.T) {
	s := newServer(t)
	eastKey, westKey := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(west, kmstest.SymmetricDefault)
	mrk := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	replica := s.Replicate(mrk, west)
	of := func(region, arn string) *awskms.Keyring {
		k, err := awskms.New(awskms.Config{Client: newClient(s, region), KeyID: arn})
		require.NoError(t, err)
		return k
	}
	for name, c := range map[string]struct {
		keyring keyring.Keyring
		before  func() (undo func())
		op      string
		code    string // KMS's, if it was asked
		calls   int
	}{
		"works": {keyring: of(east, eastKey), calls: 2},
		"no permission to decrypt": {keyring: of(east, eastKey), before: func() func() { return s.Deny("kms:Decrypt", eastKey) },
			op: "decrypt", code: "AccessDeniedException", calls: 2},
		"no permission to encrypt": {keyring: of(east, eastKey), before: func() func() { return s.Deny("kms:GenerateDataKey", eastKey) },
			op: "encrypt", code: "AccessDeniedException", calls: 1},
		"disabled key": {keyring: of(east, eastKey), before: func() func() { s.Disable(eastKey); return func() { s.Enable(eastKey) } },
			op: "encrypt", code: "DisabledException", calls: 1},
		"another region's key":     {keyring: halves{of(east, eastKey), of(west, westKey)}, op: "decrypt", calls: 1},
		"another region's replica": {keyring: halves{of(east, mrk), of(west, replica)}, op: "decrypt", calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			if c.before != nil {
				defer c.before()()
			}
			client, err := envelope.New(c.keyring, nil)
			require.NoError(t, err)
			s.ResetCalls()
			err = client.Check(t.Context(), testContext)
			assert.Equal(t, c.op, failedHalf(t, err))
			assert.Equal(t, c.calls, s.Calls(kmstest.Match{}))
			var kmsErr *awskms.Error
			if c.code != "" {
				require.ErrorAs(t, err, &kmsErr)
				assert.Equal(t, c.code, kmsErr.Code)
			} else if c.op != "" {
				require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
			}
		})
	}
}

// TestCheckKeys holds that a key which is of no use is found though another would do, and
// how many calls that takes.
func TestCheckKeys(t *testing.T) {
	s := newServer(t)
	eastKey, westKey := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(west, kmstest.SymmetricDefault)
	multi, err := awskms.NewMulti(
		awskms.Config{Client: newClient(s, east), KeyID: eastKey},
		awskms.Config{Client: newClient(s, west), KeyID: westKey},
	)
	require.NoError(t, err)
	regions, err := awskms.NewMultiRegion(awskms.MultiRegionConfig{Regions: []awskms.RegionKey{
		{Client: newClient(s, east), KeyARN: eastKey},
		{Client: newClient(s, west), KeyARN: westKey},
	}, AttemptTimeout: time.Hour}) // no stall counts as an outage
	require.NoError(t, err)
	for name, k := range map[string]keyring.Keyring{"multi-keyring": multi, "multi-region": regions} {
		t.Run(name, func(t *testing.T) {
			client, err := envelope.New(k, nil)
			require.NoError(t, err)
			s.ResetCalls()
			checks, err := client.CheckKeys(t.Context(), testContext)
			require.NoError(t, err)
			require.Len(t, checks, 2)
			assert.Equal(t, 2, s.Calls(kmstest.Match{Operation: "Decrypt"}))

			defer s.Deny("kms:Decrypt", westKey)()
			require.NoError(t, client.Check(t.Context(), testContext))
			checks, err = client.CheckKeys(t.Context(), testContext)
			require.Error(t, err)
			require.Len(t, checks, 2)
			assert.Equal(t, awskms.ProviderID, checks[0].ProviderID)
			assert.Equal(t, eastKey, checks[0].Name)
			require.NoError(t, checks[0].Err)
			assert.Equal(t, westKey, checks[1].Name)
			assert.Equal(t, "decrypt", failedHalf(t, checks[1].Err))
			var kmsErr *awskms.Error
			require.ErrorAs(t, err, &kmsErr)
			assert.Equal(t, west, kmsErr.Region)
			assert.True(t, kmsErr.Refused())
		})
	}
}

// TestCheckInOutage holds that an outage can be told from what needs somebody to act.
func TestCheckInOutage(t *testing.T) {
	s := newServer(t)
	k, err := awskms.New(awskms.Config{Client: newClient(s, east), KeyID: s.CreateKey(east, kmstest.SymmetricDefault)})
	require.NoError(t, err)
	client, err := envelope.New(k, nil)
	require.NoError(t, err)
	s.Outage(east, kmstest.InternalError)
	require.ErrorIs(t, client.Check(t.Context(), testContext), envelope.ErrUnavailable)
}
