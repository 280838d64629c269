package fromtink

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// Each reads what it wrote, neither what the other did, and the third both.
func TestMoving(t *testing.T) {
	const region = "us-east-1"
	server := kmstest.Start(t, kmstest.Config{Regions: []string{region}})
	client := kms.New(kms.Options{
		Region: region, BaseEndpoint: aws.String(server.URL(region)),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	})
	key := server.CreateKey(region, kmstest.SymmetricDefault)

	old, err := newTink(t.Context(), client, key)
	require.NoError(t, err)
	messages, err := newSealring(client, key)
	require.NoError(t, err)
	both := moving{messages, old}

	plaintext, ad := []byte("IBAN"), []byte("tenant 42")
	seal := func(a tink.AEAD) []byte {
		ciphertext, err := a.Encrypt(plaintext, ad)
		require.NoError(t, err)
		return ciphertext
	}
	opens := func(a tink.AEAD, ciphertext []byte) {
		t.Helper()
		got, err := a.Decrypt(ciphertext, ad)
		require.NoError(t, err)
		require.Equal(t, plaintext, got)
		_, err = a.Decrypt(ciphertext, []byte("tenant 43"))
		require.Error(t, err)
	}
	opens(old, seal(old))
	opens(messages, seal(messages))
	opens(both, seal(old))
	opens(both, seal(messages))
	opens(messages, seal(both))

	_, err = messages.Decrypt(seal(old), ad)
	require.Error(t, err)
	_, err = old.Decrypt(seal(messages), ad)
	require.Error(t, err)

	// What page says of the context: Tink sends none to KMS.
	server.ResetCalls()
	seal(old)
	call, ok := server.LastCall(kmstest.Match{Operation: "Encrypt"})
	require.True(t, ok)
	require.Empty(t, call.EncryptionContext)
	seal(messages)
	call, ok = server.LastCall(kmstest.Match{Operation: "GenerateDataKey"})
	require.True(t, ok)
	require.Contains(t, call.EncryptionContext, "tink-associated-data")
}
