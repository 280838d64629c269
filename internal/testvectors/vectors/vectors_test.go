package vectors

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// writeFiles lays files under a directory of the test's.
func writeFiles(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return filepath.Join(dir, "manifest.json")
}

// TestManifestForms runs what the vectors at hand have not: the older versions'
// ways to name results, and keys that are left out.
func TestManifestForms(t *testing.T) {
	key := make([]byte, 32)
	aes, err := keyring.NewRawAES("ns", "aes-id", key)
	require.NoError(t, err)
	seal := func(s keyring.Suite) string {
		client, err := envelope.New(aes, &envelope.Options{Suite: s})
		require.NoError(t, err)
		msg, err := client.Encrypt(t.Context(), []byte("plaintext"), nil)
		require.NoError(t, err)
		return string(msg)
	}
	const raw = `{"type":"raw","key":"k","provider-id":"ns","encryption-algorithm":"aes"}`
	const kms = `{"type":"aws-kms","key":"arn"}`
	files := map[string]string{
		"keys.json": `{"keys":{"k":{"key-id":"aes-id","encoding":"base64","material":["` +
			base64.StdEncoding.EncodeToString(key[:15]) + `","` + base64.StdEncoding.EncodeToString(key[15:]) + `"],"line-separator":""}}}`,
		"signed":    seal(keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384),
		"unsigned":  seal(keyring.SuiteAES256GCMHKDFSHA512Commit),
		"broken":    "\x02\x04\x78",
		"plaintext": "plaintext",
		"other":     "other",
	}
	for name, c := range map[string]struct {
		version string
		test    string
		want    Totals
		says    string
	}{
		"v1 plaintext": {"1", `"ciphertext":"file://unsigned","plaintext":"file://plaintext","master-keys":[` + raw + `]`, Totals{Passed: 1}, ""},
		"v1 wrong":     {"1", `"ciphertext":"file://unsigned","plaintext":"file://other","master-keys":[` + raw + `]`, Totals{Failed: 1}, "not the 5"},
		"v2 error": {"2", `"ciphertext":"file://broken","result":{"error":{"error-description":"x"}},"master-keys":[` + raw + `]`,
			Totals{Passed: 1}, ""},
		"v2 error that is none": {"2", `"ciphertext":"file://signed","result":{"error":{"error-description":"x"}},"master-keys":[` + raw + `]`,
			Totals{Failed: 1}, "wants an error"},
		"v2 output": {"2", `"ciphertext":"file://signed","result":{"output":{"plaintext":"file://plaintext"}},"master-keys":[` + raw + `]`,
			Totals{Passed: 1}, ""},
		"v3 unsigned only": {"3", `"ciphertext":"file://unsigned","decryption-method":"streaming-unsigned-only",` +
			`"result":{"output":{"plaintext":"file://plaintext"}},"master-keys":[` + raw + `]`, Totals{Passed: 1}, ""},
		"v3 unsigned only, signed": {"3", `"ciphertext":"file://signed","decryption-method":"streaming-unsigned-only",` +
			`"result":{"error":{"error-description":"signed"}},"master-keys":[` + raw + `]`, Totals{Passed: 1}, ""},
		"KMS key among others": {"1", `"ciphertext":"file://unsigned","plaintext":"file://plaintext","master-keys":[` + kms + `,` + raw + `]`,
			Totals{Passed: 1}, ""},
		"KMS key alone": {"1", `"ciphertext":"file://unsigned","plaintext":"file://plaintext","master-keys":[` + kms + `]`,
			Totals{Skipped: map[string]int{"aws-kms": 1}}, ""},
		"v5 negative": {"5", `"decryption-scenario":{"type":"negative-esdk","ciphertext":"file://broken","decryptKeyDescription":` + raw + `}`,
			Totals{Passed: 1}, ""},
		"truncated": {"1", `"ciphertext":"file://broken","plaintext":"file://plaintext","master-keys":[` + raw + `]`,
			Totals{Failed: 1}, "unexpected EOF"},
		"missing file": {"1", `"ciphertext":"file://nowhere","plaintext":"file://plaintext","master-keys":[` + raw + `]`,
			Totals{Failed: 1}, "nowhere"},
		"unknown key type": {"1", `"ciphertext":"file://broken","plaintext":"file://plaintext","master-keys":[{"type":"quantum"}]`,
			Totals{Failed: 1}, "quantum"},
	} {
		t.Run(name, func(t *testing.T) {
			files["manifest.json"] = `{"manifest":{"type":"awses-decrypt","version":` + c.version +
				`},"keys":"file://keys.json","tests":{"t":{` + c.test + `}}}`
			got := NewTotals()
			var out bytes.Buffer
			require.NoError(t, Run(t.Context(), &out, got, writeFiles(t, files), false, nil))
			if c.want.Skipped == nil {
				c.want.Skipped = map[string]int{}
			}
			assert.Equal(t, &c.want, got, out.String())
			assert.Contains(t, out.String(), c.says)
			assert.Equal(t, c.want.Failed == 0 && c.want.Passed > 0, got.OK())
		})
	}
}

// TestManifestPublicKeys has keys of a multi-keyring that can only encrypt, as those
// of AWS's .NET vectors have.
func TestManifestPublicKeys(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	pemText := func(kind string, der []byte, err error) string {
		require.NoError(t, err)
		text, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
		require.NoError(t, err)
		return string(text)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	privateText := pemText("PRIVATE KEY", private, err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	publicText := pemText("PUBLIC KEY", public, err)
	oldText := pemText("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey), nil)

	wrapping, err := keyring.NewRawRSAEncrypter("ns", "rsa-id", &key.PublicKey, keyring.RSAOAEPSHA256)
	require.NoError(t, err)
	client, err := envelope.NewEncrypter(wrapping, nil)
	require.NoError(t, err)
	msg, err := client.Encrypt(t.Context(), []byte("plaintext"), nil)
	require.NoError(t, err)
	files := map[string]string{
		"keys.json": `{"keys":{` +
			`"private":{"key-id":"rsa-id","encoding":"pem","material":` + privateText + `},` +
			`"public":{"key-id":"rsa-id","encoding":"pem","material":` + publicText + `},` +
			`"old":{"key-id":"rsa-id","encoding":"pem","material":` + oldText + `},` +
			`"broken":{"key-id":"rsa-id","encoding":"pem","material":"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"}}}`,
		"msg":       string(msg),
		"plaintext": "plaintext",
	}
	rsaKey := func(name string) string {
		return `{"type":"raw","key":"` + name + `","provider-id":"ns","encryption-algorithm":"rsa",` +
			`"padding-algorithm":"oaep-mgf1","padding-hash":"sha256"}`
	}
	const kms = `{"type":"aws-kms","key":"arn"}`
	multi := func(generator string, children ...string) string {
		return `{"type":"multi-keyring","generator":` + generator + `,"childKeyrings":[` + strings.Join(children, ",") + `]}`
	}
	for name, c := range map[string]struct {
		key  string
		want Totals
		says string
	}{
		"private":               {rsaKey("private"), Totals{Passed: 1}, ""},
		"public child":          {multi(rsaKey("private"), rsaKey("public")), Totals{Passed: 1}, ""},
		"public generator":      {multi(rsaKey("public"), rsaKey("private")), Totals{Passed: 1}, ""},
		"older form":            {multi(rsaKey("old"), rsaKey("private")), Totals{Passed: 1}, ""},
		"nested":                {multi(multi(rsaKey("public"), rsaKey("old")), rsaKey("private")), Totals{Passed: 1}, ""},
		"public alone":          {rsaKey("public"), Totals{Failed: 1}, `key "public": it is a public key alone, which can decrypt nothing`},
		"public in multi alone": {multi(rsaKey("public"), rsaKey("old")), Totals{Failed: 1}, `key "old": it is a public key alone, which can decrypt nothing`},
		"public and KMS":        {multi(rsaKey("public"), kms), Totals{Skipped: map[string]int{"aws-kms": 1}}, ""},
		"broken child":          {multi(rsaKey("private"), rsaKey("broken")), Totals{Failed: 1}, "asn1"},
	} {
		t.Run(name, func(t *testing.T) {
			files["manifest.json"] = `{"manifest":{"type":"awses-decrypt","version":5},"keys":"file://keys.json","tests":{"t":{"decryption-scenario":` +
				`{"type":"positive-esdk","ciphertext":"file://msg","result":"file://plaintext","decryptKeyDescription":` + c.key + `}}}}`
			got := NewTotals()
			var out bytes.Buffer
			require.NoError(t, Run(t.Context(), &out, got, writeFiles(t, files), false, nil))
			if c.want.Skipped == nil {
				c.want.Skipped = map[string]int{}
			}
			assert.Equal(t, &c.want, got, out.String())
			assert.Contains(t, out.String(), c.says)
		})
	}
}

func TestManifestRefused(t *testing.T) {
	for name, manifest := range map[string]string{
		"not JSON":        `{`,
		"another type":    `{"manifest":{"type":"awses-encrypt","version":3}}`,
		"unknown version": `{"manifest":{"type":"awses-decrypt","version":6}}`,
		"keys elsewhere":  `{"manifest":{"type":"awses-decrypt","version":1},"keys":"file://../keys.json"}`,
		"no keys":         `{"manifest":{"type":"awses-decrypt","version":1},"keys":"file://keys.json"}`,
	} {
		t.Run(name, func(t *testing.T) {
			err := Run(t.Context(), &bytes.Buffer{}, &Totals{}, writeFiles(t, map[string]string{"manifest.json": manifest}), false, nil)
			require.Error(t, err)
		})
	}
}

func TestTotals(t *testing.T) {
	for want, c := range map[string]Totals{
		"3 passed, 0 failed\n": {Passed: 3},
		"skipped 1 of a\nskipped 2 of b\n0 passed, 1 failed, 3 skipped\n": {Failed: 1, Skipped: map[string]int{"b": 2, "a": 1}},
	} {
		var out bytes.Buffer
		c.Print(&out)
		assert.Equal(t, want, out.String())
	}
	assert.False(t, (&Totals{}).OK(), "nothing ran")
}
