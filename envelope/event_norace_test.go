//go:build !race

package envelope_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// TestNobodyListens holds that events take no allocation, whether or not somebody hears of
// them. The race detector adds some of its own.
func TestNobodyListens(t *testing.T) {
	ec := keyring.EncryptionContext{"tenant": "42"}
	plaintext := make([]byte, 64)
	count := func(o *envelope.Options) (seal, open float64) {
		c, err := envelope.NewFromManager(newTestManager(t), o)
		require.NoError(t, err)
		msg, err := c.Encrypt(t.Context(), plaintext, ec)
		require.NoError(t, err)
		dst := make([]byte, 0, 1024)
		return testing.AllocsPerRun(100, func() { c.AppendEncrypt(t.Context(), dst, plaintext, ec) }),
			testing.AllocsPerRun(100, func() { c.AppendDecrypt(t.Context(), dst, msg, ec) })
	}
	seal, open := count(nil)
	sealTold, openTold := count(&envelope.Options{OnEvent: func(context.Context, envelope.Event) {}})
	assert.Equal(t, seal, sealTold, "an event is no allocation either")
	assert.Equal(t, open, openTold)
}
