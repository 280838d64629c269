package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	esdktypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

const refusedDir = "../../envelope/testdata/refused"

// A refusedCase is one of the messages in refusedDir.
type refusedCase struct {
	ID, Verdict, Key, Policy, Plaintext string
	Context                             map[string]string
	MaxKeys                             int `json:"max_keys"`
	Message                             []byte
}

type refusedKey struct {
	Namespace, Name string
	Key             []byte
}

var refusedPolicies = map[string]keyring.CommitmentPolicy{"require": keyring.RequireEncryptRequireDecrypt, "allow": keyring.RequireEncryptAllowDecrypt}

// TestRefused holds that readers.json tells the truth of this library and of AWS's Go
// release.
func TestRefused(t *testing.T) {
	var manifest struct {
		Keys  map[string]refusedKey
		Cases []refusedCase
	}
	readJSON(t, "messages.json", &manifest)
	type found struct {
		Opens   []string `json:"opens"`
		Refuses []string `json:"refuses"`
	}
	var published map[string]found
	readJSON(t, "readers.json", &published)

	for name, open := range map[string]func(*testing.T, refusedCase, refusedKey) ([]byte, error){
		"sealring": ourOpen, "AWS Go 0.4.0": theirOpen,
	} {
		t.Run(name, func(t *testing.T) {
			got := found{[]string{}, []string{}}
			for _, c := range manifest.Cases {
				plaintext, err := open(t, c, manifest.Keys[c.Key])
				switch {
				case err != nil && c.Verdict == "open":
					got.Refuses = append(got.Refuses, c.ID)
					t.Log(c.ID, err)
				case err == nil && c.Verdict != "open":
					got.Opens = append(got.Opens, c.ID)
				}
				if err == nil && c.Verdict != "refuse" {
					assert.Equal(t, c.Plaintext, string(plaintext), c.ID)
				}
			}
			line, err := json.Marshal(got)
			require.NoError(t, err)
			assert.Equal(t, published[name], got, "readers.json should have %q: %s", name, line)
		})
	}
}

func readJSON(t *testing.T, name string, v any) {
	b, err := os.ReadFile(filepath.Join(refusedDir, name))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, v))
}

func ourOpen(t *testing.T, c refusedCase, key refusedKey) ([]byte, error) {
	k, err := keyring.NewRawAES(key.Namespace, key.Name, key.Key)
	require.NoError(t, err)
	d, err := envelope.NewDecrypter(k, &envelope.Options{CommitmentPolicy: refusedPolicies[c.Policy], MaxEncryptedDataKeys: c.MaxKeys})
	require.NoError(t, err)
	return d.Decrypt(t.Context(), c.Message, c.Context)
}

// theirOpen takes a panic for a refusal: their SDK has some.
func theirOpen(t *testing.T, c refusedCase, key refusedKey) (plaintext []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			t.Logf("%s: panic: %.100v", c.ID, p)
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	alg := mpltypes.AesWrappingAlgAlgAes256GcmIv12Tag16
	if len(key.Key) == 16 {
		alg = mpltypes.AesWrappingAlgAlgAes128GcmIv12Tag16
	}
	k, err := awsProviders(t).CreateRawAesKeyring(t.Context(), mpltypes.CreateRawAesKeyringInput{
		KeyNamespace: key.Namespace, KeyName: key.Name, WrappingKey: key.Key, WrappingAlg: alg,
	})
	require.NoError(t, err)
	policy := awsPolicies[refusedPolicies[c.Policy]]
	config := esdktypes.AwsEncryptionSdkConfig{CommitmentPolicy: &policy}
	if c.MaxKeys > 0 {
		most := int64(c.MaxKeys)
		config.MaxEncryptedDataKeys = &most
	}
	client, err := esdk.NewClient(config)
	require.NoError(t, err)
	out, err := client.Decrypt(t.Context(), esdktypes.DecryptInput{Ciphertext: c.Message, EncryptionContext: c.Context, Keyring: k})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}
