//go:build cgo

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/keyuri"
)

// needSoftHSM skips where SoftHSM is not installed, unless it must be.
func needSoftHSM(t *testing.T) {
	t.Helper()
	_, err := findSoftHSM("")
	if errors.Is(err, errNoSoftHSM) && os.Getenv("CI") != "true" && os.Getenv("SEALRING_SOFTHSM") != "required" {
		t.Skip(err)
	}
	require.NoError(t, err)
}

// softKey returns the key of a new token.
func softKey(t *testing.T) keyuri.URI {
	t.Helper()
	needSoftHSM(t)
	module, err := findSoftHSM("")
	require.NoError(t, err)
	token, err := newSoftToken(module)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, token.close()) })
	return token.uri
}

// replaced returns a URI with a part of its text replaced.
func replaced(t *testing.T, uri keyuri.URI, from, to string) keyuri.URI {
	t.Helper()
	require.Contains(t, uri.String(), from)
	u, err := keyuri.Parse(strings.Replace(uri.String(), from, to, 1))
	require.NoError(t, err)
	return u
}

func TestSoftHSM(t *testing.T) {
	needSoftHSM(t)
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv(configVariable, "/as/before")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))

	// SoftHSM after 2.6.1 has more hashes. What OpenSSL 3.2 and later answer to a wrong
	// padding of PKCS #1 v1.5 is no error.
	for _, row := range []string{
		`oaep-sha256  yes    (no       pkcs11: 0x7: CKR_ARGUMENTS_BAD|yes      to a wrong padding: pkcs11: .*)`,
		`oaep-sha384  yes    (no       pkcs11: 0x7: CKR_ARGUMENTS_BAD|yes      to a wrong padding: pkcs11: .*)`,
		`oaep-sha512  yes    (no       pkcs11: 0x7: CKR_ARGUMENTS_BAD|yes      to a wrong padding: pkcs11: .*)`,
		`oaep-sha1    yes    yes      to a wrong padding: pkcs11: .*`,
		`pkcs1        yes    yes      to a wrong padding: (pkcs11: .*|no error, and some other bytes)`,
		`  oaep-sha1: ready`,
		`encrypted with a cache                        0  .*`,
		`encrypted without                             0  .*`,
		`decrypted without a cache                   100  .*`,
		`decrypted with a cache                        1  .*`,
		`decrypted with it, if encrypted without     100  .*`,
	} {
		assert.Regexp(t, "(?m)^"+row+"$", out.String())
	}
	// Check finds what the table has.
	_, checks, ok := strings.Cut(out.String(), "Client.Check at the start\n")
	require.True(t, ok)
	found := regexp.MustCompile(`(?m)^  (oaep-sha\d+): envelope: check: the client encrypts, and cannot decrypt .* pkcs11: 0x7: CKR_ARGUMENTS_BAD$`).FindStringSubmatch(checks)
	if regexp.MustCompile(`(?m)^\S+ +yes +no `).MatchString(out.String()) {
		require.NotNil(t, found)
		assert.Regexp(t, "(?m)^"+found[1]+" +yes +no ", out.String())
	} else {
		assert.Nil(t, found)
	}

	assert.Equal(t, "/as/before", os.Getenv(configVariable))
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Empty(t, left, "the token's folder is still there")
}

func TestKeyFlag(t *testing.T) {
	uri := softKey(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-key", replaced(t, uri, "=oaep-sha1", "=pkcs1").String()}))
	assert.Contains(t, out.String(), "\n  pkcs1: ready\n")

	t.Run("padding that the token cannot undo", func(t *testing.T) {
		if !strings.Contains(out.String(), "oaep-sha512  yes    no ") {
			t.Skip("this SoftHSM can undo them all")
		}
		var out bytes.Buffer
		err := run(t.Context(), &out, []string{"-key", replaced(t, uri, "=oaep-sha1", "=oaep-sha512").String()})
		var failed *envelope.CheckError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, "decrypt", failed.Op)
		require.ErrorContains(t, err, "paddings that the token can undo: oaep-sha1, pkcs1")
		assert.NotContains(t, out.String(), "encrypted with", "data was written")
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, run(ctx, io.Discard, []string{"-key", uri.String()}), context.Canceled)
	})
}

// TestFind holds that all attributes of a URI must fit, and what the errors say.
func TestFind(t *testing.T) {
	uri := softKey(t)
	text := uri.String()
	pinFile, err := url.PathUnescape(text[strings.Index(text, "&pin-source=file:")+len("&pin-source=file:"):])
	require.NoError(t, err)
	pin, err := os.ReadFile(pinFile)
	require.NoError(t, err)
	t.Setenv("RIGHT_PIN", string(pin))
	const wrongPIN = "4321-wrong"
	t.Setenv("WRONG_PIN", wrongPIN)
	fromFile := text[strings.Index(text, "&pin-source="):]

	const token = "token=sealring-example"
	for name, c := range map[string]struct{ from, to, err string }{
		"PIN from a variable":          {fromFile, "&pin-source=env:RIGHT_PIN", ""},
		"more of the token":            {token, token + ";manufacturer=SoftHSM%20project;model=SoftHSM%20v2;library-manufacturer=SoftHSM;slot-manufacturer=SoftHSM%20project", ""},
		"key by its ID":                {"object=orders", "id=%01", ""},
		"key by both":                  {"object=orders", "object=orders;id=%01;type=private", ""},
		"no such token":                {token, "token=other", "slots has a token with these attributes"},
		"another manufacturer":         {token, token + ";manufacturer=other", "slots has a token with these attributes"},
		"another library":              {token, token + ";library-version=99", "slots has a token with these attributes"},
		"another slot":                 {token, token + ";slot-id=1", "slots has a token with these attributes"},
		"no such object":               {"object=orders", "object=other", "no RSA key pair has this object and id"},
		"object with another ID":       {"object=orders", "object=orders;id=%02", "no RSA key pair has this object and id"},
		"no PIN":                       {fromFile, "", "without pin-source there is no login"},
		"wrong PIN":                    {fromFile, "&pin-source=env:WRONG_PIN", "CKR_PIN_INCORRECT"},
		"no module":                    {"&module-path=", "&module-name=", "module-path is missing"},
		"module that is not there":     {"libsofthsm2.so", "libother.so", "libother.so cannot be loaded"},
		"module that is another thing": {regexp.MustCompile(`module-path=[^&]+`).FindString(text), "module-path=" + url.PathEscape(pinFile), "cannot be loaded"},
	} {
		t.Run(name, func(t *testing.T) {
			var keys tokens
			defer func() { require.NoError(t, keys.close()) }()
			o := &keyuri.Opener{PKCS11: keys.find}
			kr, err := o.Open(t.Context(), replaced(t, uri, c.from, c.to))
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				assert.NotContains(t, err.Error(), wrongPIN)
				assert.NotContains(t, err.Error(), string(pin))
				return
			}
			require.NoError(t, err)
			client, err := envelope.New(kr, nil)
			require.NoError(t, err)
			require.NoError(t, client.Check(t.Context(), fieldContext()))
		})
	}
}

// TestFindWantsOne holds that no token or key is taken for another.
func TestFindWantsOne(t *testing.T) {
	uri := softKey(t)
	module, err := findSoftHSM("")
	require.NoError(t, err)
	// SoftHSM has a slot for the next token.
	_, err = findSlot(module, map[string]string{"manufacturer": "SoftHSM project"})
	require.ErrorContains(t, err, "2 tokens have these attributes: add serial")

	var keys tokens
	defer func() { require.NoError(t, keys.close()) }()
	o := &keyuri.Opener{PKCS11: func(ctx context.Context, key keyuri.PKCS11Key) (crypto.Decrypter, error) {
		pin, ok := key.PIN()
		require.True(t, ok)
		require.NoError(t, makeKey(module, pin))
		return keys.find(ctx, key)
	}}
	_, err = o.Open(t.Context(), uri)
	require.ErrorContains(t, err, "2 RSA key pairs have this object or id")
}

// TestFindTwice finds keys in a module that is in use.
func TestFindTwice(t *testing.T) {
	uri := softKey(t)
	var keys tokens
	defer func() { require.NoError(t, keys.close()) }()
	o := &keyuri.Opener{PKCS11: keys.find}
	kr, err := o.Open(t.Context(), uri, replaced(t, uri, "=oaep-sha1", "=pkcs1"))
	require.NoError(t, err)
	client, err := envelope.New(kr, nil)
	require.NoError(t, err)
	require.NoError(t, client.Check(t.Context(), fieldContext()))
}

func TestMatches(t *testing.T) {
	for name, c := range map[string]struct {
		wanted map[string]string
		want   bool
	}{
		"all":                {map[string]string{"token": "a", "library-version": "2.0"}, true},
		"major version only": {map[string]string{"library-version": "2"}, true},
		"other version":      {map[string]string{"library-version": "2.1"}, false},
		"other token":        {map[string]string{"token": "b", "library-version": "2.0"}, false},
		"the key's":          {map[string]string{"token": "a", "object": "o"}, true},
	} {
		assert.Equal(t, c.want, matches(c.wanted, map[string]string{"token": "a", "library-version": "2.0"}), name)
	}
}

func TestPrivateHalfStaysInToken(t *testing.T) {
	uri := softKey(t)
	var keys tokens
	defer func() { require.NoError(t, keys.close()) }()
	o := &keyuri.Opener{PKCS11: func(ctx context.Context, key keyuri.PKCS11Key) (crypto.Decrypter, error) {
		found, err := keys.find(ctx, key)
		if err != nil {
			return nil, err
		}
		for attribute, want := range map[crypto11.AttributeType]byte{
			crypto11.CkaSensitive:   1,
			crypto11.CkaExtractable: 0,
			crypto11.CkaDecrypt:     1,
			crypto11.CkaSign:        0,
		} {
			got, err := keys.open[0].GetAttribute(found, attribute)
			require.NoError(t, err)
			assert.Equal(t, []byte{want}, got.Value, "attribute %d", attribute)
		}
		_, err = keys.open[0].GetAttribute(found, crypto11.CkaPrivateExponent)
		require.ErrorContains(t, err, "CKR_ATTRIBUTE_SENSITIVE")
		return found, nil
	}}
	_, err := o.Open(t.Context(), uri)
	require.NoError(t, err)
}

// TestConcurrent has more callers than sessions.
func TestConcurrent(t *testing.T) {
	uri := softKey(t)
	var keys tokens
	defer func() { require.NoError(t, keys.close()) }()
	o := &keyuri.Opener{PKCS11: keys.find}
	kr, err := o.Open(t.Context(), uri)
	require.NoError(t, err)
	client, err := envelope.New(kr, nil)
	require.NoError(t, err)
	msg, err := client.Encrypt(t.Context(), []byte(field), fieldContext())
	require.NoError(t, err)

	var group sync.WaitGroup
	for range 4 * maxSessions {
		group.Go(func() {
			for range 5 {
				got, err := client.Decrypt(t.Context(), msg, fieldContext())
				assert.NoError(t, err)
				assert.Equal(t, field, string(got))
			}
		})
	}
	group.Wait()
}

var softwareKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// implicit answers a wrong padding of PKCS #1 v1.5 with other bytes, as OpenSSL 3.2 and
// later do.
type implicit struct{ *rsa.PrivateKey }

func (k implicit) Decrypt(random io.Reader, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	got, err := k.PrivateKey.Decrypt(random, ciphertext, opts)
	if _, ok := opts.(*rsa.PKCS1v15DecryptOptions); ok && err != nil {
		return make([]byte, 17), nil
	}
	return got, err
}

// TestTableSaysWhatTokenDoes is on keys in memory, which can undo all paddings.
func TestTableSaysWhatTokenDoes(t *testing.T) {
	uri, err := keyuri.Parse("pkcs11:token=t;object=o?namespace=n&name=k&padding=oaep-sha512")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		key  crypto.Decrypter
		want string
	}{
		"error":    {softwareKey(), "to a wrong padding: crypto/rsa: decryption error"},
		"no error": {implicit{softwareKey()}, "to a wrong padding: no error, and some other bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			found := 0
			d := &demo{out: &out, uri: uri, find: func(context.Context, keyuri.PKCS11Key) (crypto.Decrypter, error) {
				found++
				return c.key, nil
			}}
			require.NoError(t, d.run(t.Context()))
			assert.Equal(t, allPaddings, d.can)
			assert.Regexp(t, "(?m)^pkcs1        yes    yes      "+c.want+"$", out.String())
			assert.Contains(t, out.String(), "Client.Check at the start\n  oaep-sha512: ready\n\n")
			assert.Equal(t, 1, found, "logins")
		})
	}
}

// A lost token does not say which paddings it can undo.
func TestLostToken(t *testing.T) {
	uri, err := keyuri.Parse("pkcs11:token=t;object=o?namespace=n&name=k&padding=oaep-sha1")
	require.NoError(t, err)
	lost := errors.New("lost")
	d := &demo{out: io.Discard, uri: uri, find: func(context.Context, keyuri.PKCS11Key) (crypto.Decrypter, error) {
		return failing{softwareKey(), lost}, nil
	}}
	require.ErrorIs(t, d.run(t.Context()), lost)
	assert.Empty(t, d.cannot)
}

type failing struct {
	*rsa.PrivateKey
	err error
}

func (k failing) Decrypt(io.Reader, []byte, crypto.DecrypterOpts) ([]byte, error) { return nil, k.err }

// TestTokenAway holds what the README says of outages.
func TestTokenAway(t *testing.T) {
	removed := pkcs11.Error(pkcs11.CKR_DEVICE_REMOVED)
	for name, c := range map[string]struct {
		err    error
		outage bool
	}{
		"as the token says": {removed, false},
		"as an outage":      {fmt.Errorf("%w: %w", keyring.ErrUnavailable, removed), true},
	} {
		key := softwareKey()
		kr, err := keyring.NewRawRSA("n", "k", &key.PublicKey, failing{key, c.err}, keyring.RSAOAEPSHA256)
		require.NoError(t, err)
		cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
		require.NoError(t, err)
		client, err := envelope.NewFromManager(cached, nil)
		require.NoError(t, err)
		msg, err := client.Encrypt(t.Context(), []byte(field), fieldContext())
		require.NoError(t, err)
		_, err = client.Decrypt(t.Context(), msg, fieldContext())
		require.ErrorIs(t, err, removed, name)
		assert.Equal(t, c.outage, errors.Is(err, keyring.ErrUnavailable), name)
		require.NoError(t, cached.Close())
	}
}

// hanging answers when it is told to.
type hanging struct {
	*rsa.PrivateKey
	answer chan struct{}
}

func (k hanging) Decrypt(random io.Reader, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	<-k.answer
	return k.PrivateKey.Decrypt(random, ciphertext, opts)
}

// TestHangingToken holds what the README says of a caller whose context ends, and of one
// whose context does not.
func TestHangingToken(t *testing.T) {
	for name, c := range map[string]struct {
		cached, cancel bool
		returns        bool // before the token answers
		want           error
	}{
		"without a cache, cancelled": {cancel: true},
		"with a cache, cancelled":    {cached: true, cancel: true, returns: true, want: context.Canceled},
		"with a cache":               {cached: true, returns: true, want: keyring.ErrUnavailable},
		"without a cache":            {},
	} {
		t.Run(name, func(t *testing.T) {
			key := softwareKey()
			synctest.Test(t, func(t *testing.T) {
				token := hanging{key, make(chan struct{})}
				kr, err := keyring.NewRawRSA("n", "k", &key.PublicKey, token, keyring.RSAOAEPSHA256)
				require.NoError(t, err)
				client, err := envelope.New(kr, nil)
				require.NoError(t, err)
				msg, err := client.Encrypt(t.Context(), []byte(field), fieldContext())
				require.NoError(t, err)
				if c.cached {
					cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
					require.NoError(t, err)
					defer cached.Close()
					client, err = envelope.NewFromManager(cached, nil)
					require.NoError(t, err)
				}

				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				result := make(chan error, 1)
				go func() {
					_, err := client.Decrypt(ctx, msg, fieldContext())
					result <- err
				}()
				synctest.Wait() // for the token
				if c.cancel {
					cancel()
				}
				time.Sleep(time.Minute) // of the bubble: longer than LoadTimeout
				synctest.Wait()
				assert.Len(t, result, map[bool]int{true: 1}[c.returns])
				close(token.answer)
				if err := <-result; c.want == nil {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, c.want)
				}
			})
		})
	}
}

func TestNoSoftHSM(t *testing.T) {
	before := softHSMPaths
	t.Cleanup(func() { softHSMPaths = before })
	softHSMPaths = []string{t.TempDir() + "/*.so"}
	err := run(t.Context(), io.Discard, nil)
	require.ErrorIs(t, err, errNoSoftHSM)
	require.ErrorContains(t, err, "apt-get install softhsm2")

	err = run(t.Context(), io.Discard, []string{"-softhsm", "/nowhere/libsofthsm2.so"})
	require.ErrorContains(t, err, "/nowhere/libsofthsm2.so cannot be loaded")
}

func TestBadFlags(t *testing.T) {
	const pin = "8642-pin"
	const uri = "pkcs11:token=t;object=o?namespace=n&name=k&padding=pkcs1"
	for name, args := range map[string][]string{
		"unknown flag":       {"-fast"},
		"argument":           {uri + "&pin-value=" + pin},
		"no value":           {"-key"},
		"empty key":          {"-key", ""},
		"PIN in the URI":     {"-key", uri + "&pin-value=" + pin},
		"URI of another key": {"-key", "raw-rsa:?namespace=n&name=k&padding=pkcs1&env=A"},
		"both":               {"-key", uri, "-softhsm", "/lib.so"},
		"empty library":      {"-softhsm", ""},
	} {
		var out bytes.Buffer
		err := run(t.Context(), &out, args)
		require.ErrorContains(t, err, "usage:", name)
		assert.NotContains(t, err.Error(), pin, name)
		assert.Empty(t, out.String(), name)
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-h"}))
	assert.Contains(t, out.String(), "usage:")
}
