package envelope_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// TestSignatureHasASecondForm keeps SECURITY.md true: ECDSA's other signature over the
// same bytes, which takes no key to make, opens the message too.
func TestSignatureHasASecondForm(t *testing.T) {
	curves := map[keyring.Suite]elliptic.Curve{
		0x0214: elliptic.P256(), 0x0346: elliptic.P384(), 0x0378: elliptic.P384(), signed: elliptic.P384(),
	}
	for _, s := range suite.IDs[keyring.Suite]() {
		if !s.Signs() {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			curve := curves[s]
			require.NotNil(t, curve)
			c := newClient(t, optionsFor(s, 100))
			plaintext := randomBytes(250)
			msg := encrypt(t, c, plaintext)
			size := map[elliptic.Curve]int{elliptic.P256(): 71, elliptic.P384(): 103}[curve]
			body, footer := msg[:len(msg)-message.FooterPrefix-size], msg[len(msg)-size:]

			var sig struct{ R, S *big.Int }
			rest, err := asn1.Unmarshal(footer, &sig)
			require.NoError(t, err)
			require.Empty(t, rest)
			sig.S.Sub(curve.Params().N, sig.S)
			other, err := asn1.Marshal(sig)
			require.NoError(t, err)
			second := message.AppendFooter(slices.Clone(body), other)
			require.NotEqual(t, msg, second)
			decryptsTo(t, c, second, plaintext, testContext)

			// And no other number.
			sig.S.Add(sig.S, big.NewInt(1))
			wrong, err := asn1.Marshal(sig)
			require.NoError(t, err)
			decryptFails(t, c, message.AppendFooter(slices.Clone(body), wrong), plaintext, testContext, envelope.ErrSignature)
		})
	}
}

// TestOptionSign chooses the suite that signs by the policy alone.
func TestOptionSign(t *testing.T) {
	for policy, want := range map[keyring.CommitmentPolicy]keyring.Suite{
		keyring.RequireEncryptRequireDecrypt: keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384,
		keyring.RequireEncryptAllowDecrypt:   keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384,
		keyring.ForbidEncryptAllowDecrypt:    keyring.SuiteAES256GCMHKDFSHA384ECDSAP384,
	} {
		c := newClient(t, &envelope.Options{Sign: true, CommitmentPolicy: policy})
		msg, err := c.Encrypt(t.Context(), []byte("plaintext"), testContext)
		require.NoError(t, err)
		h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
		require.NoError(t, err)
		assert.Equal(t, want, h.Suite)
		got, err := c.Decrypt(t.Context(), msg, testContext)
		require.NoError(t, err)
		assert.Equal(t, "plaintext", string(got))
	}
	_, err := envelope.New(zeroKey(t), &envelope.Options{Sign: true, Suite: keyring.SuiteAES256GCMHKDFSHA512Commit})
	require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	require.ErrorContains(t, err, "Options.Sign")
}
