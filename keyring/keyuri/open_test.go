package keyuri_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
	"github.com/go-sealring/sealring/keyring/keyuri"
)

const (
	east = "us-east-1"
	west = "us-west-2"
)

var tenant = keyring.EncryptionContext{"tenant": "42"}

func newServer(t testing.TB) *kmstest.Server {
	return kmstest.Start(t, kmstest.Config{Regions: []string{east, west}, Account: "111122223333", NoNetwork: true})
}

// newClient returns the SDK's client for a region, which tries every call once.
func newClient(s *kmstest.Server, region string) *kms.Client {
	return kms.New(kms.Options{
		Region: region, BaseEndpoint: aws.String(s.URL(region)), RetryMaxAttempts: 1,
		HTTPClient: s.Client(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

// newOpener returns an opener for a server.
func newOpener(t testing.TB, s *kmstest.Server) *keyuri.Opener {
	o := &keyuri.Opener{
		KMS:      func(_ context.Context, region string) (keyuri.KMSClient, error) { return newClient(s, region), nil },
		Observer: awskms.Observer{OnEvent: func(context.Context, awskms.Event) {}},
	}
	t.Cleanup(func() { assert.NoError(t, o.Close()) })
	return o
}

func parse(t testing.TB, texts ...string) []keyuri.URI {
	t.Helper()
	uris := make([]keyuri.URI, len(texts))
	for i, text := range texts {
		var err error
		uris[i], err = keyuri.Parse(text)
		require.NoError(t, err, text)
	}
	return uris
}

func open(t testing.TB, o *keyuri.Opener, texts ...string) *envelope.Client {
	t.Helper()
	k, err := o.Open(t.Context(), parse(t, texts...)...)
	require.NoError(t, err)
	client, err := envelope.New(k, nil)
	require.NoError(t, err)
	return client
}

func openDecrypter(t testing.TB, o *keyuri.Opener, texts ...string) *envelope.Decrypter {
	t.Helper()
	k, err := o.OpenDecrypter(t.Context(), parse(t, texts...)...)
	require.NoError(t, err)
	d, err := envelope.NewDecrypter(k, nil)
	require.NoError(t, err)
	return d
}

// writes returns a message by a client that can read it.
func writes(t testing.TB, c *envelope.Client) []byte {
	t.Helper()
	require.NoError(t, c.Check(t.Context(), tenant))
	msg, err := c.Encrypt(t.Context(), []byte("order"), tenant)
	require.NoError(t, err)
	return msg
}

func reads(t testing.TB, d *envelope.Decrypter, msg []byte) {
	t.Helper()
	got, err := d.Decrypt(t.Context(), msg, tenant)
	require.NoError(t, err)
	assert.Equal(t, "order", string(got))
}

func readsNot(t testing.TB, d *envelope.Decrypter, msg []byte) {
	t.Helper()
	_, err := d.Decrypt(t.Context(), msg, tenant)
	require.ErrorIs(t, err, envelope.ErrNoMatchingKey)
}

func TestKMSKey(t *testing.T) {
	s := newServer(t)
	o := newOpener(t, s)
	key, old := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)
	_, id, _ := strings.Cut(key, "/")
	aliasARN := s.Alias("alias/orders", key)
	byOld := writes(t, open(t, o, old))
	byNew := writes(t, open(t, o, key))
	for _, text := range []string{
		key, "aws-kms:" + key, "aws-kms:" + id + "?region=" + east, "aws-kms:alias/orders?region=" + east, aliasARN,
	} {
		t.Run(text, func(t *testing.T) {
			client := open(t, o, text)
			reads(t, client.Decrypter, byNew)
			readsNot(t, client.Decrypter, byOld)
			reads(t, openDecrypter(t, o, key), writes(t, client))

			question := "?"
			if strings.Contains(text, "?") {
				question = "&"
			}
			if strings.HasPrefix(text, "arn:") {
				text = "aws-kms:" + text
			}
			client = open(t, o, text+question+"previous="+old)
			reads(t, client.Decrypter, byOld)
			reads(t, client.Decrypter, byNew)
		})
	}

	// An alias takes a call to decrypt, and none to encrypt.
	uri := parse(t, aliasARN)
	s.ResetCalls()
	_, err := o.OpenEncrypter(t.Context(), uri...)
	require.NoError(t, err)
	assert.Zero(t, s.Calls(kmstest.Match{}))
	_, err = o.OpenDecrypter(t.Context(), uri...)
	require.NoError(t, err)
	assert.Equal(t, 1, s.Calls(kmstest.Match{Operation: "DescribeKey"}))
	defer s.Deny("kms:DescribeKey", key)()
	_, err = o.Open(t.Context(), uri...)
	var kmsErr *awskms.Error
	require.ErrorAs(t, err, &kmsErr)
	assert.True(t, kmsErr.Refused())
}

func TestMultiRegionKey(t *testing.T) {
	faketime.Test(t, func(t *testing.T) { // so that no stall is an outage
		s := newServer(t)
		o := newOpener(t, s)
		primary := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
		replica := s.Replicate(primary, west)
		inEast, inWest := writes(t, open(t, o, "aws-kms-mrk:"+primary)), writes(t, open(t, o, "aws-kms-mrk:"+replica))
		reads(t, openDecrypter(t, o, "aws-kms-mrk:"+primary), inWest)
		reads(t, openDecrypter(t, o, "aws-kms-mrk:"+replica), inEast)
		readsNot(t, openDecrypter(t, o, "aws-kms:"+primary), inWest)

		both := open(t, o, "aws-kms-mrk:"+primary+"?regions="+west+","+east)
		s.ResetCalls()
		msg := writes(t, both)
		assert.Zero(t, s.Calls(kmstest.Match{Region: east}), "the nearest comes first")
		reads(t, both.Decrypter, inEast)
		s.Outage(west, kmstest.Refuse)
		reads(t, both.Decrypter, msg)
		reads(t, both.Decrypter, writes(t, both))
	})
}

func TestKeysInRegions(t *testing.T) {
	faketime.Test(t, func(t *testing.T) { // so that no stall is an outage
		s := newServer(t)
		o := newOpener(t, s)
		keys := s.CreateKey(east, kmstest.SymmetricDefault) + "," + s.CreateKey(west, kmstest.SymmetricDefault)
		all, any := open(t, o, "aws-kms-regions:"+keys), open(t, o, "aws-kms-regions:"+keys+"?min-regions=1")
		msg := writes(t, all)
		s.Outage(east, kmstest.Refuse)
		reads(t, all.Decrypter, msg)
		_, err := all.Encrypt(t.Context(), nil, nil)
		require.ErrorIs(t, err, envelope.ErrUnavailable)
		reads(t, all.Decrypter, writes(t, any))

		o.Observer.OnEvent = nil
		_, err = o.Open(t.Context(), parse(t, "aws-kms-regions:"+keys+"?min-regions=1")...)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
		assert.Contains(t, err.Error(), "Opener.Observer.OnEvent is nil")
	})
}

func TestDiscovery(t *testing.T) {
	s := newServer(t)
	o := newOpener(t, s)
	inEast := writes(t, open(t, o, s.CreateKey(east, kmstest.SymmetricDefault)))
	inWest := writes(t, open(t, o, s.CreateKey(west, kmstest.SymmetricDefault)))
	primary := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	s.Replicate(primary, west)
	byPrimary := writes(t, open(t, o, "aws-kms-mrk:"+primary))

	d := openDecrypter(t, o, "aws-kms-discovery:?regions=us-east-1&accounts=111122223333")
	reads(t, d, inEast)
	readsNot(t, d, inWest)
	d = openDecrypter(t, o, "aws-kms-discovery:?regions=us-east-1,us-west-2&accounts=444455556666,111122223333")
	reads(t, d, inEast)
	reads(t, d, inWest)
	d = openDecrypter(t, o, "aws-kms-discovery:?regions=us-east-1&accounts=444455556666")
	readsNot(t, d, inEast)
	d = openDecrypter(t, o, "aws-kms-discovery:?regions=us-east-1&accounts=any")
	reads(t, d, inEast)
	d = openDecrypter(t, o, "aws-kms-discovery:?regions=us-east-1&accounts=any&partition=aws-cn")
	readsNot(t, d, inEast)
	readsNot(t, openDecrypter(t, o, "aws-kms-discovery:?regions=us-west-2&accounts=any"), byPrimary)
	reads(t, openDecrypter(t, o, "aws-kms-mrk-discovery:?regions=us-west-2&accounts=any"), byPrimary)

	for _, opens := range []func() error{
		func() error {
			_, err := o.Open(t.Context(), parse(t, "aws-kms-discovery:?regions=us-east-1&accounts=any")...)
			return err
		},
		func() error {
			_, err := o.OpenEncrypter(t.Context(), parse(t, "aws-kms-discovery:?regions=us-east-1&accounts=any")...)
			return err
		},
	} {
		err := opens()
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
		assert.Contains(t, err.Error(), "it only decrypts")
	}
}

func TestBranchKeys(t *testing.T) {
	leaktest.AtEnd(t, "sealring/cache.(*Cache)")
	s := newServer(t)
	o := newOpener(t, s)
	key := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	replica := s.Replicate(key, west)
	store := branchkeytest.NewMemoryStore()
	var asked []string
	o.BranchKeyStore = func(_ context.Context, table, region string) (branchkey.Store, error) {
		asked = append(asked, table+" "+region)
		return store, nil
	}
	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{Store: store, Name: "tenant keys", Client: newClient(s, east), KeyARN: key})
	require.NoError(t, err)
	_, err = keys.Create(t.Context(), "42", tenant)
	require.NoError(t, err)

	const end = "table=t&name=tenant%20keys&max-age=5m&kms"
	one := open(t, o, "branch-keys:42?"+end+"="+key)
	msg := writes(t, one)
	byContext := open(t, o, "branch-keys:?id-from=tenant&stale-for=1h&"+end+"="+key)
	reads(t, byContext.Decrypter, msg)
	reads(t, one.Decrypter, writes(t, byContext))
	_, err = byContext.Encrypt(t.Context(), nil, nil)
	require.ErrorContains(t, err, `the encryption context has no pair "tenant"`)
	reads(t, openDecrypter(t, o, "branch-keys:42?"+end+"-mrk="+replica), msg)
	assert.Equal(t, []string{"t " + east, "t " + east, "t " + west}, asked)

	// Close ends all, and a keyring that was opened in vain is ended at once.
	_, err = o.Open(t.Context(), parse(t, "branch-keys:42?"+end+"="+key, aes+"env=KEYURI_TEST_NOT_SET")...)
	require.ErrorContains(t, err, "URI 2 of 2: raw-aes: ")
	require.NoError(t, o.Close())
	_, err = one.Encrypt(t.Context(), nil, nil)
	require.ErrorIs(t, err, cache.ErrClosed)
	_, err = byContext.Encrypt(t.Context(), nil, tenant)
	require.ErrorIs(t, err, cache.ErrClosed)

	broken := errors.New("broken")
	o.BranchKeyStore = func(context.Context, string, string) (branchkey.Store, error) { return nil, broken }
	_, err = o.Open(t.Context(), parse(t, "branch-keys:42?"+end+"="+key)...)
	require.ErrorIs(t, err, broken)
	o.BranchKeyStore = func(context.Context, string, string) (branchkey.Store, error) { return nil, nil }
	_, err = o.Open(t.Context(), parse(t, "branch-keys:42?"+end+"="+key)...)
	require.ErrorContains(t, err, "Opener.BranchKeyStore returned nil")
}

// write writes a file that nobody else may read, and returns its path.
func write(t testing.TB, content string) string {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestRawAES(t *testing.T) {
	o := &keyuri.Opener{}
	key := make([]byte, 32)
	rand.Read(key)
	want, err := keyring.NewRawAES("n", "k", key)
	require.NoError(t, err)
	same, err := envelope.New(want, nil)
	require.NoError(t, err)
	text := base64.StdEncoding.EncodeToString(key)
	for name, content := range map[string]string{"bare": text, "with a line break": text + "\n", "with another": text + "\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KEYURI_TEST", content)
			for _, from := range []string{"file=" + write(t, content), "env=KEYURI_TEST"} {
				client := open(t, o, aes+from)
				reads(t, same.Decrypter, writes(t, client))
				reads(t, client.Decrypter, writes(t, same))
			}
		})
	}
	for name, content := range map[string]string{
		"empty":                   "",
		"a line break":            "\n",
		"two line breaks":         text + "\n\n",
		"a line break within":     text[:20] + "\n" + text[20:],
		"a space":                 text + " ",
		"raw bytes":               string(key),
		"hexadecimal":             hex.EncodeToString(key),
		"hexadecimal of 16 bytes": hex.EncodeToString(key[:16]),
		"another alphabet":        base64.URLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 32))),
		"no padding":              strings.TrimRight(text, "="),
		"trailing bits":           text[:42] + "/=",
		"a short key":             base64.StdEncoding.EncodeToString(key[:20]),
		"a long key":              base64.StdEncoding.EncodeToString(append(key, key...)),
		"too long":                strings.Repeat("A", 2000),
		"quotes":                  `"` + text + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			froms := []string{"file=" + write(t, content)}
			if !strings.Contains(content, "\x00") {
				t.Setenv("KEYURI_TEST", content)
				froms = append(froms, "env=KEYURI_TEST")
			}
			for _, from := range froms {
				_, err := o.Open(t.Context(), parse(t, aes+from)...)
				require.ErrorIs(t, err, keyring.ErrInvalidArgument)
				if len(content) > 3 {
					assert.NotContains(t, err.Error(), content)
				}
				assert.NotContains(t, err.Error(), text[:20])
			}
		})
	}
}

func TestFiles(t *testing.T) {
	o := &keyuri.Opener{}
	key := base64.StdEncoding.EncodeToString(make([]byte, 31)) + "\n" // no key, so that what is read shows
	path := write(t, key)
	openAt := func(path string) error {
		_, err := o.Open(t.Context(), parse(t, aes+"file="+path)...)
		return err
	}
	require.ErrorContains(t, openAt(path), "is no key")

	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(path, link))
	require.ErrorContains(t, openAt(link), "is no key")

	err := openAt(filepath.Join(t.TempDir(), "absent"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.Contains(t, err.Error(), "absent")
	require.ErrorContains(t, openAt(t.TempDir()), "is no regular file")

	if runtime.GOOS == "windows" {
		t.Skip("no modes and no devices")
	}
	require.ErrorContains(t, openAt("/dev/zero"), "is no regular file")
	for mode, problem := range map[fs.FileMode]string{
		0o600: "is no key", 0o400: "is no key", 0o440: "is no key", 0o640: "is no key",
		0o644: "may be read by all users (its mode is 0644)", 0o444: "may be read by all users",
		0o660: "may be written by others than its owner (its mode is 0660)", 0o602: "may be written by others",
		0o601: "may be read by all users",
	} {
		require.NoError(t, os.Chmod(path, mode))
		require.ErrorContains(t, openAt(path), problem, "%04o", mode)
	}
}

func TestVariableThatIsNotSet(t *testing.T) {
	_, err := (&keyuri.Opener{}).Open(t.Context(), parse(t, aes+"env=KEYURI_TEST_NOT_SET")...)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	assert.Contains(t, err.Error(), "KEYURI_TEST_NOT_SET is not set")
}

func encodePEM(kind string, der []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestRawRSA(t *testing.T) {
	o := &keyuri.Opener{}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	privatePEM := encodePEM("PRIVATE KEY", pkcs8, err)
	pkix, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	publicPEM := encodePEM("PUBLIC KEY", pkix, err)
	pkcs1 := encodePEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private), nil)
	publicPKCS1 := encodePEM("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&private.PublicKey), nil)
	for _, padding := range []string{"oaep-sha256", "oaep-sha384", "oaep-sha512", "oaep-sha1", "pkcs1"} {
		t.Run(padding, func(t *testing.T) {
			t.Setenv("KEYURI_TEST", privatePEM)
			start := "raw-rsa:?namespace=n&name=k&padding=" + padding + "&"
			client := open(t, o, start+"env=KEYURI_TEST")
			msg := writes(t, client)
			for _, content := range []string{pkcs1, privatePEM, "\n" + privatePEM + "\n"} {
				reads(t, openDecrypter(t, o, start+"file="+write(t, content)), msg)
			}
			for _, content := range []string{publicPEM, publicPKCS1} {
				public := parse(t, start+"file="+write(t, content))
				k, err := o.OpenEncrypter(t.Context(), public...)
				require.NoError(t, err)
				e, err := envelope.NewEncrypter(k, nil)
				require.NoError(t, err)
				msg, err := e.Encrypt(t.Context(), []byte("order"), tenant)
				require.NoError(t, err)
				reads(t, client.Decrypter, msg)

				_, err = o.OpenDecrypter(t.Context(), public...)
				require.ErrorContains(t, err, "it has a public key, which encrypts only")
				_, err = o.Open(t.Context(), public...)
				require.ErrorContains(t, err, "what was named only encrypts")
			}
		})
	}

	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ec, err := x509.MarshalPKCS8PrivateKey(curve)
	ecPEM := encodePEM("PRIVATE KEY", ec, err)
	smallPEM := encodePEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small), nil)
	legacy := strings.Replace(pkcs1, "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1)
	for name, c := range map[string]struct{ content, problem string }{
		"empty":             {"", "is not one block of PEM"},
		"two blocks":        {privatePEM + publicPEM, "is not one block of PEM"},
		"text before":       {"Key:\n" + privatePEM, "is not one block of PEM"},
		"text after":        {privatePEM + "x", "is not one block of PEM"},
		"cut short":         {privatePEM[:len(privatePEM)/2], "is not one block of PEM"},
		"base64 alone":      {base64.StdEncoding.EncodeToString(pkcs8), "is not one block of PEM"},
		"another content":   {encodePEM("PRIVATE KEY", pkix, nil), "has PEM that cannot be parsed"},
		"encrypted":         {encodePEM("ENCRYPTED PRIVATE KEY", pkcs8, nil), "is an encrypted private key"},
		"encrypted, PKCS 1": {legacy, "is an encrypted private key"},
		"certificate":       {encodePEM("CERTIFICATE", pkix, nil), "is a certificate"},
		"another kind":      {encodePEM("DH PARAMETERS", pkix, nil), "is PEM of another kind"},
		"another algorithm": {ecPEM, "is no RSA key but *ecdsa.PrivateKey"},
		"too small":         {smallPEM, "the least is 2048"},
		"too long":          {strings.Repeat("A", 70_000), "is longer than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := o.Open(t.Context(), parse(t, rsaURI+"file="+write(t, c.content))...)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.Contains(t, err.Error(), c.problem)
			assert.NotContains(t, err.Error(), "MII")
		})
	}

	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	// All may read a public key, and nobody else may write it.
	path := write(t, publicPEM)
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = o.OpenEncrypter(t.Context(), parse(t, rsaURI+"file="+path)...)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, 0o646))
	_, err = o.OpenEncrypter(t.Context(), parse(t, rsaURI+"file="+path)...)
	require.ErrorContains(t, err, "may be written by others")
	path = write(t, privatePEM)
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = o.OpenEncrypter(t.Context(), parse(t, rsaURI+"file="+path)...)
	require.ErrorContains(t, err, "may be read by all users")
}

// notRSA is a private key of another kind.
type notRSA struct{ crypto.Decrypter }

func (notRSA) Public() crypto.PublicKey { return &ecdsa.PublicKey{} }

func TestPKCS11(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	var got keyuri.PKCS11Key
	var handle crypto.Decrypter = private
	failed := errors.New("CKR_PIN_INCORRECT")
	o := &keyuri.Opener{PKCS11: func(_ context.Context, key keyuri.PKCS11Key) (crypto.Decrypter, error) {
		got = key
		if pin, ok := key.PIN(); ok && pin != "12345" {
			return nil, failed
		}
		return handle, nil
	}}
	client := open(t, o, "pkcs11:token=my%20token;id=%00%ff;type=private?namespace=n&name=k&padding=oaep-sha1&module-path=/lib/x.so&pin-source=file:"+write(t, "12345\n"))
	assert.Equal(t, map[string]string{"token": "my token", "id": "\x00\xff", "type": "private"}, got.Attributes)
	assert.Equal(t, "/lib/x.so", got.ModulePath)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.NotContains(t, fmt.Sprintf(verb, got), "12345")
	}
	msg := writes(t, client)
	h, err := envelope.ParseHeader(strings.NewReader(string(msg)), nil)
	require.NoError(t, err)
	assert.Equal(t, "n", h.EncryptedDataKeys[0].ProviderID)
	assert.Equal(t, "k", h.EncryptedDataKeys[0].KeyName())

	open(t, o, token)
	_, has := got.PIN()
	assert.False(t, has)

	t.Setenv("KEYURI_TEST_PIN", "54321")
	_, err = o.Open(t.Context(), parse(t, token+"&pin-source=env:KEYURI_TEST_PIN")...)
	require.ErrorIs(t, err, failed)
	assert.NotContains(t, err.Error(), "54321")
	for _, pin := range []string{"", "1\n2"} {
		t.Setenv("KEYURI_TEST_PIN", pin)
		_, err = o.Open(t.Context(), parse(t, token+"&pin-source=env:KEYURI_TEST_PIN")...)
		require.ErrorContains(t, err, "must have the PIN, in one line")
	}
	handle = notRSA{private}
	_, err = o.Open(t.Context(), parse(t, token)...)
	require.ErrorContains(t, err, "is no RSA key")
	handle = nil
	_, err = o.Open(t.Context(), parse(t, token)...)
	require.ErrorContains(t, err, "Opener.PKCS11 returned nil")
}

func TestOpenWithoutFunctions(t *testing.T) {
	o := &keyuri.Opener{}
	for text, missing := range map[string]string{
		keyARN:                  "Opener.KMS is nil",
		branch + "&max-age=5m":  "Opener.BranchKeyStore is nil",
		token:                   "Opener.PKCS11 is nil: this program is built without PKCS #11",
		"aws-kms-mrk:" + mrkARN: "Opener.KMS is nil",
		"aws-kms-regions:" + keyARN + "," + usARN: "Opener.KMS is nil",
	} {
		_, err := o.Open(t.Context(), parse(t, text)...)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
		assert.Contains(t, err.Error(), missing)
	}
	_, err := o.OpenDecrypter(t.Context(), parse(t, "aws-kms-discovery:?regions=eu-west-1&accounts=any")...)
	require.ErrorContains(t, err, "Opener.KMS is nil")

	broken := errors.New("broken")
	o.KMS = func(context.Context, string) (keyuri.KMSClient, error) { return nil, broken }
	_, err = o.Open(t.Context(), parse(t, keyARN)...)
	require.ErrorIs(t, err, broken)
	o.KMS = func(context.Context, string) (keyuri.KMSClient, error) { return nil, nil }
	_, err = o.Open(t.Context(), parse(t, keyARN)...)
	require.ErrorContains(t, err, "Opener.KMS returned nil")
}

// TestClientOfAnotherRegion holds that a function which does not look at the region is
// noticed.
func TestClientOfAnotherRegion(t *testing.T) {
	s := newServer(t)
	o := &keyuri.Opener{KMS: func(context.Context, string) (keyuri.KMSClient, error) { return newClient(s, east), nil }}
	_, err := o.Open(t.Context(), parse(t, s.CreateKey(west, kmstest.SymmetricDefault))...)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
}

func TestSeveral(t *testing.T) {
	s := newServer(t)
	o := newOpener(t, s)
	first, second := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(west, kmstest.SymmetricDefault)
	t.Setenv("KEYURI_TEST_A", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	pkix, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	require.NoError(t, err)
	t.Setenv("KEYURI_TEST_PUBLIC", encodePEM("PUBLIC KEY", pkix, nil))
	t.Setenv("KEYURI_TEST_PRIVATE", encodePEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private), nil))
	const discovery = "aws-kms-discovery:?regions=us-east-1,us-west-2&accounts=any"
	const local, public, own = aes + "env=KEYURI_TEST_A", rsaURI + "env=KEYURI_TEST_PUBLIC", rsaURI + "env=KEYURI_TEST_PRIVATE"

	names := func(msg []byte) (names []string) {
		h, err := envelope.ParseHeader(strings.NewReader(string(msg)), nil)
		require.NoError(t, err)
		for _, k := range h.EncryptedDataKeys {
			names = append(names, k.KeyName())
		}
		return names
	}
	for name, c := range map[string]struct {
		uris  []string
		names []string
		reads []string // each of which reads what was written
	}{
		"two keys":                         {[]string{first, second}, []string{first, second}, []string{first, second}},
		"another order":                    {[]string{second, local, first}, []string{second, "k", first}, []string{first, local}},
		"one that decrypts, at the end":    {[]string{first, discovery}, []string{first}, []string{first, discovery}},
		"one that decrypts, in the middle": {[]string{local, discovery, first}, []string{"k", first}, []string{first, local}},
		"one that encrypts":                {[]string{first, public}, []string{first, "k"}, []string{first, own}},
		"one that encrypts, first":         {[]string{public, own}, []string{"k", "k"}, []string{own}},
		"each half":                        {[]string{public, discovery, first}, []string{"k", first}, []string{first, own}},
	} {
		t.Run(name, func(t *testing.T) {
			client := open(t, o, c.uris...)
			msg := writes(t, client)
			assert.Equal(t, c.names, names(msg))
			for _, uri := range c.reads {
				reads(t, openDecrypter(t, o, uri), msg)
			}
		})
	}

	// What only decrypts reads what others wrote.
	client := open(t, o, local, discovery)
	reads(t, client.Decrypter, writes(t, open(t, o, first)))
	reads(t, openDecrypter(t, o, local, discovery), writes(t, open(t, o, second)))
	k, err := o.OpenEncrypter(t.Context(), parse(t, first, local)...)
	require.NoError(t, err)
	e, err := envelope.NewEncrypter(k, nil)
	require.NoError(t, err)
	msg, err := e.Encrypt(t.Context(), []byte("order"), tenant)
	require.NoError(t, err)
	assert.Equal(t, []string{first, "k"}, names(msg))

	mrk := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	for name, c := range map[string]struct {
		uris    []string
		problem string
	}{
		"none":                      {nil, "no URI"},
		"one twice":                 {[]string{first, local, "aws-kms:" + first}, "URI 3 of 3: aws-kms: invalid argument: it is the same as URI 1"},
		"replicas of one key":       {[]string{"aws-kms-mrk:" + mrk, "aws-kms-mrk:" + s.Replicate(mrk, west)}, "another URI names a replica of the same key"},
		"the first only decrypts":   {[]string{discovery, first}, "URI 1 of 2: aws-kms-discovery: invalid argument: it only decrypts"},
		"all only encrypt":          {[]string{public}, "what was named only encrypts"},
		"the last cannot be opened": {[]string{first, aes + "env=KEYURI_TEST_NOT_SET"}, "URI 2 of 2: raw-aes:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := o.Open(t.Context(), parse(t, c.uris...)...)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.Contains(t, err.Error(), c.problem)
		})
	}
	_, err = o.Open(t.Context(), keyuri.URI{})
	require.ErrorContains(t, err, "the URI is the zero value")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = o.Open(ctx, parse(t, first)...)
	require.ErrorIs(t, err, context.Canceled)
}

// TestItemsUnderSeveral holds that each key of several has an intermediate key of its own
// under the suites of items, as a multi-keyring promises: also with one that only decrypts.
func TestItemsUnderSeveral(t *testing.T) {
	t.Setenv("KEYURI_TEST_A", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	t.Setenv("KEYURI_TEST_B", base64.StdEncoding.EncodeToString(append(make([]byte, 31), 1)))
	s := newServer(t)
	o := newOpener(t, s)
	k, err := o.Open(t.Context(), parse(t, "raw-aes:?namespace=n&name=a&env=KEYURI_TEST_A",
		"aws-kms-discovery:?regions=us-east-1&accounts=any", "raw-aes:?namespace=n&name=b&env=KEYURI_TEST_B")...)
	require.NoError(t, err)
	m, err := keyring.NewManager(k)
	require.NoError(t, err)
	materials, err := m.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{
		Suite: keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384, Context: tenant,
	})
	require.NoError(t, err)
	require.Len(t, materials.SymmetricSigningKeys, 2)
	assert.NotEqual(t, materials.SymmetricSigningKeys[0], materials.SymmetricSigningKeys[1])
}
