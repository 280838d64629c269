package awskms_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// kmsKeyring is a keyring and how it is tested with answers that lie.
type kmsKeyring struct {
	keyring.Encrypter
	keyring.Decrypter
	generates bool // asks KMS when it encrypts
	operation string
}

// everyKeyring returns one keyring of each kind, on keys of the server's.
func everyKeyring(t *testing.T, s *kmstest.Server) map[string]kmsKeyring {
	client := newClient(s, east)
	key, mrk := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	strict, err := awskms.New(awskms.Config{Client: client, KeyID: key, GrantTokens: []string{"grant"}})
	require.NoError(t, err)
	aware, err := awskms.New(awskms.Config{Client: client, KeyID: mrk, MRKAware: true, GrantTokens: []string{"grant"}})
	require.NoError(t, err)
	config := awskms.DiscoveryConfig{Client: client, Accounts: []string{"111122223333"}, GrantTokens: []string{"grant"}}
	discovery, err := awskms.NewDiscovery(config)
	require.NoError(t, err)
	config.MRKAware = true
	mrkDiscovery, err := awskms.NewDiscovery(config)
	require.NoError(t, err)
	regions, err := awskms.NewMultiRegion(awskms.MultiRegionConfig{
		AttemptTimeout: time.Hour, // no stall counts as an outage
		Regions:        []awskms.RegionKey{{Client: client, KeyARN: key, GrantTokens: []string{"grant"}}},
	})
	require.NoError(t, err)
	rsaKey := s.CreateKey(east, kmstest.RSA2048)
	rsa, err := awskms.NewRSA(awskms.RSAConfig{
		Client: client, KeyARN: rsaKey, PublicKey: rsaPublicKey(t, s, rsaKey), GrantTokens: []string{"grant"},
	})
	require.NoError(t, err)
	mine, theirs := s.CreateKey(east, kmstest.ECCP256), s.CreateKey(east, kmstest.ECCP256)
	ecdh, err := awskms.NewECDH(t.Context(), awskms.ECDHConfig{
		Client: client, KeyID: mine, Peer: ecdhPublicKey(t, s, theirs), GrantTokens: []string{"grant"},
	})
	require.NoError(t, err)
	ecdhDecrypter, err := awskms.NewECDHDecrypter(t.Context(), awskms.ECDHConfig{
		Client: client, KeyID: theirs, GrantTokens: []string{"grant"},
	})
	require.NoError(t, err)
	return map[string]kmsKeyring{
		"key":                    {strict, strict, true, "Decrypt"},
		"multi-Region key":       {aware, aware, true, "Decrypt"},
		"discovery":              {strict, discovery, true, "Decrypt"},
		"multi-Region discovery": {aware, mrkDiscovery, true, "Decrypt"},
		"regions":                {regions, regions, true, "Decrypt"},
		"RSA":                    {rsa, rsa, false, "Decrypt"},
		"ECDH":                   {ecdh, ecdh, true, "DeriveSharedSecret"},
		"ECDH discovery":         {ecdh, ecdhDecrypter, true, "DeriveSharedSecret"},
	}
}

// TestRequests checks what every request must carry.
func TestRequests(t *testing.T) {
	s := newServer(t)
	for name, k := range everyKeyring(t, s) {
		t.Run(name, func(t *testing.T) {
			s.ResetCalls()
			unwraps(t, k.Decrypter, wrapNew(t, k.Encrypter))
			log := s.Log(kmstest.Match{})
			require.NotEmpty(t, log)
			for _, call := range log {
				assert.NotEmpty(t, call.KeyID, "%s names no key", call.Operation)
				assert.Equal(t, []string{"grant"}, call.GrantTokens, call.Operation)
				assert.Contains(t, call.UserAgent, "sealring", call.Operation)
				if call.Operation != "DeriveSharedSecret" && name != "RSA" {
					assert.Equal(t, map[string]string(testContext), call.EncryptionContext)
				}
			}
			assert.Equal(t, 1, s.Calls(kmstest.Match{Operation: k.operation})-map[bool]int{true: 1}[k.operation == "DeriveSharedSecret"])
		})
	}
}

// TestAnswersAreChecked has KMS answer with what it was not asked for.
func TestAnswersAreChecked(t *testing.T) {
	s := newServer(t)
	another := s.CreateKey(east, kmstest.SymmetricDefault)
	set := func(field string, value any) func(map[string]any) {
		return func(answer map[string]any) {
			if _, ok := answer[field]; ok {
				answer[field] = value
			}
		}
	}
	drop := func(field string) func(map[string]any) {
		return func(answer map[string]any) { delete(answer, field) }
	}
	resize := func(field string, n int) func(map[string]any) {
		return func(answer map[string]any) {
			if b, ok := answer[field].([]byte); ok {
				answer[field] = append(bytes.Clone(b), make([]byte, 64)...)[:max(0, len(b)+n)]
			}
		}
	}
	for name, k := range everyKeyring(t, s) {
		good := wrapNew(t, k.Encrypter)
		for what, lie := range map[string]func(map[string]any){
			"another key":           set("KeyId", another),
			"no key":                drop("KeyId"),
			"a key that is none":    set("KeyId", "alias/orders"),
			"plaintext short":       resize("Plaintext", -1),
			"plaintext long":        resize("Plaintext", 1),
			"no plaintext":          drop("Plaintext"),
			"shared secret short":   resize("SharedSecret", -1),
			"no shared secret":      drop("SharedSecret"),
			"no ciphertext":         drop("CiphertextBlob"),
			"ciphertext of nothing": set("CiphertextBlob", []byte{}),
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				touched := map[string]bool{}
				s.Tamper(func(op string, answer map[string]any) {
					before := fmt.Sprint(answer)
					lie(answer)
					touched[op] = fmt.Sprint(answer) != before
				})
				defer s.Tamper(nil)

				m := &keyring.EncryptionMaterials{Suite: suite, Context: testContext}
				err := k.OnEncrypt(t.Context(), m)
				if touched["GenerateDataKey"] || touched["DeriveSharedSecret"] {
					require.Error(t, err)
					assert.Nil(t, m.DataKey)
					assert.Empty(t, m.EncryptedDataKeys)
				}
				clear(touched)
				got, err := unwrap(t, k.Decrypter, good.EncryptedDataKeys)
				if !touched[k.operation] {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
				require.Nil(t, got)
				var e *awskms.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, "InvalidAnswer", e.Code)
				assert.False(t, e.Refused())
				// Whoever may wrap with the key can have wrapped what is none. All
				// else is not the message's fault.
				assert.Equal(t, !strings.Contains(what, "plaintext"), e.Unavailable())
				assert.Equal(t, e.Unavailable(), errors.Is(err, keyring.ErrUnavailable))
				assert.ErrorContains(t, err, "the answer is of no use")
			})
		}
	}
}

// TestManyKeys has a hostile header list 500 wrapped keys that all seem to be
// the keyring's.
func TestManyKeys(t *testing.T) {
	s := newServer(t)
	for name, k := range everyKeyring(t, s) {
		t.Run(name, func(t *testing.T) {
			good := wrapNew(t, k.Encrypter).EncryptedDataKeys[0]
			broken := good
			broken.Ciphertext = bytes.Clone(good.Ciphertext)
			broken.Ciphertext[len(broken.Ciphertext)-1] ^= 1
			s.ResetCalls()
			err := refuses(t, k.Decrypter, append(slices.Repeat([]keyring.EncryptedDataKey{broken}, 500), good))
			assert.Equal(t, 10, s.Calls(kmstest.Match{}))
			assert.ErrorContains(t, err, "MaxCalls")
			assert.Less(t, len(err.Error()), 10_000)
			if name != "regions" { // whose reasons are those of regions
				var noMatch *keyring.NoMatchError
				require.ErrorAs(t, err, &noMatch)
				assert.Len(t, noMatch.Reasons, 1+10, "what was not tried, and the reason of each key that was")
			}

			// Other providers' keys cost nothing, however many.
			foreign := keyring.EncryptedDataKey{ProviderID: "other", ProviderInfo: good.ProviderInfo, Ciphertext: good.Ciphertext}
			s.ResetCalls()
			err = refuses(t, k.Decrypter, slices.Repeat([]keyring.EncryptedDataKey{foreign}, 500))
			assert.Zero(t, s.Calls(kmstest.Match{}))
			assert.ErrorContains(t, err, "was not wrapped by this key")
			_, err = unwrap(t, k.Decrypter, append(slices.Repeat([]keyring.EncryptedDataKey{foreign}, 500), good))
			require.NoError(t, err)
		})
	}
}

func TestMalformedProviderInfo(t *testing.T) {
	s := newServer(t)
	k, err := awskms.New(awskms.Config{Client: newClient(s, east), KeyID: s.CreateKey(east, kmstest.SymmetricDefault)})
	require.NoError(t, err)
	good := wrapNew(t, k).EncryptedDataKeys[0]
	s.ResetCalls()
	for _, info := range []string{"", "arn", "alias/orders", "arn:aws:kms:us-east-1:111122223333:alias/orders", "arn:aws:kms:us-east-1:111122223333:key/a/b", "\xff\xfe", "arn:aws:kms:us-east-1:111122223333:key/a\nlevel=INFO", strings.Repeat("arn:", 10_000)} {
		malformed := keyring.EncryptedDataKey{ProviderID: "aws-kms", ProviderInfo: []byte(info), Ciphertext: []byte("x")}
		err := refuses(t, k, []keyring.EncryptedDataKey{malformed})
		assert.ErrorContains(t, err, "is not the ARN of a KMS key")
		assert.Less(t, len(err.Error()), 1000)
		assert.Zero(t, s.Calls(kmstest.Match{}))

		// The others are tried all the same.
		_, err = unwrap(t, k, []keyring.EncryptedDataKey{malformed, good})
		require.NoError(t, err)
		s.ResetCalls()
	}
}

func TestSignedSuitesRefusedByRSA(t *testing.T) {
	s := newServer(t)
	key := s.CreateKey(east, kmstest.RSA2048)
	k, err := awskms.NewRSA(awskms.RSAConfig{Client: newClient(s, east), KeyARN: key, PublicKey: rsaPublicKey(t, s, key)})
	require.NoError(t, err)
	err = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: signedSuite})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	err = k.OnDecrypt(t.Context(), &keyring.DecryptionMaterials{Suite: signedSuite}, wrapNew(t, k).EncryptedDataKeys)
	require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
	assert.ErrorContains(t, err, "which the RSA keyring does not serve")
}

func TestErrors(t *testing.T) {
	s := newServer(t)
	key := s.CreateKey(east, kmstest.SymmetricDefault)
	k, err := awskms.New(awskms.Config{Client: newClient(s, east), KeyID: key})
	require.NoError(t, err)
	good := wrapNew(t, k).EncryptedDataKeys
	for name, c := range map[string]struct {
		do          func() (undo func())
		context     keyring.EncryptionContext
		code        string
		says        []string
		is          any // the SDK's error
		unavailable bool
		refused     bool
	}{
		"denied": {func() func() { return s.Deny("kms:Decrypt", key) }, testContext, "AccessDeniedException",
			[]string{"kms:Decrypt on " + key, "denied", "IAM policy", "key's policy"}, nil, false, true},
		"disabled": {func() func() { s.Disable(key); return func() { s.Enable(key) } }, testContext, "DisabledException",
			[]string{"disabled", "kms:EnableKey"}, new(*types.DisabledException), false, true},
		"pending deletion": {func() func() {
			s.ScheduleDeletion(key, 7)
			return func() { s.CancelDeletion(key); s.Enable(key) }
		}, testContext, "KMSInvalidStateException", []string{"pending deletion", "kms:CancelKeyDeletion"}, new(*types.KMSInvalidStateException), false, true},
		"throttled": {func() func() { return s.Throttle(kmstest.Match{}, 0) }, testContext, "ThrottlingException",
			[]string{"throttled", "cache"}, nil, true, false},
		"wrong context": {func() func() { return func() {} }, keyring.EncryptionContext{"tenant": "43"}, "InvalidCiphertextException",
			[]string{"another encryption context"}, new(*types.InvalidCiphertextException), false, false},
		"failing": {func() func() {
			s.Outage(east, kmstest.InternalError)
			return func() { s.Restore(east) }
		}, testContext, "KMSInternalException", []string{"500", "KMSInternalException"}, new(*types.KMSInternalException), true, false},
		"dependency": {func() func() {
			s.Outage(east, kmstest.DependencyTimeout)
			return func() { s.Restore(east) }
		}, testContext, "DependencyTimeoutException", []string{"503"}, new(*types.DependencyTimeoutException), true, false},
		"unreachable": {func() func() {
			s.Outage(east, kmstest.Refuse)
			return func() { s.Restore(east) }
		}, testContext, "", []string{"cannot be reached"}, nil, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			defer c.do()()
			m := &keyring.DecryptionMaterials{Suite: suite, Context: c.context}
			err := k.OnDecrypt(t.Context(), m, good)
			require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
			var e *awskms.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, "Decrypt", e.Operation)
			assert.Equal(t, key, e.KeyID)
			assert.Equal(t, east, e.Region)
			assert.Equal(t, c.code, e.Code)
			assert.Equal(t, c.code != "", e.RequestID != "")
			assert.Equal(t, c.unavailable, e.Unavailable())
			assert.Equal(t, c.unavailable, errors.Is(err, keyring.ErrUnavailable))
			assert.Equal(t, c.refused, e.Refused())
			assert.Equal(t, 1, strings.Count(err.Error(), key), "the key is named once: %v", err)
			for _, says := range append(c.says, "in "+east) {
				assert.ErrorContains(t, err, says)
			}
			if c.is != nil {
				assert.ErrorAs(t, err, c.is)
			}
		})
	}
	t.Run("not found", func(t *testing.T) {
		gone, err := awskms.NewEncrypter(awskms.Config{Client: newClient(s, east), KeyID: "alias/none"})
		require.NoError(t, err)
		err = gone.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
		var e *awskms.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "NotFoundException", e.Code)
		assert.ErrorContains(t, err, "no such key or alias")
	})
	t.Run("incorrect key", func(t *testing.T) {
		other := s.CreateKey(east, kmstest.SymmetricDefault)
		k, err := awskms.New(awskms.Config{Client: newClient(s, east), KeyID: other})
		require.NoError(t, err)
		forged := good[0]
		forged.ProviderInfo = []byte(other)
		assert.ErrorContains(t, refuses(t, k, []keyring.EncryptedDataKey{forged}), "was not made by this key")
	})
	t.Run("usage", func(t *testing.T) {
		k, err := awskms.New(awskms.Config{Client: newClient(s, east), KeyID: s.CreateKey(east, kmstest.ECCP256)})
		require.NoError(t, err)
		err = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
		assert.ErrorContains(t, err, "another kind")
	})
	t.Run("several keys, all reasons", func(t *testing.T) {
		other := s.CreateKey(west, kmstest.SymmetricDefault)
		k, err := awskms.NewMulti(awskms.Config{Client: newClient(s, east), KeyID: key},
			awskms.Config{Client: newClient(s, west), KeyID: other})
		require.NoError(t, err)
		m := wrapNew(t, k)
		defer s.Deny("kms:Decrypt", key)()
		s.Disable(other)
		err = refuses(t, k, m.EncryptedDataKeys)
		assert.ErrorContains(t, err, "denied")
		assert.ErrorContains(t, err, "disabled")
		var disabled *types.DisabledException
		require.ErrorAs(t, err, &disabled)
	})
	t.Run("generate denied", func(t *testing.T) {
		defer s.Deny("kms:GenerateDataKey", key)()
		err := k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
		assert.ErrorContains(t, err, "must allow kms:GenerateDataKey on this key")
	})
}

// TestThrottlingThatEnds leaves it to the SDK, as New does, to try again.
func TestThrottlingThatEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		key := s.CreateKey(east, kmstest.SymmetricDefault)
		k, err := awskms.New(awskms.Config{Client: newRetryingClient(s, east, 3), KeyID: key})
		require.NoError(t, err)
		m := wrapNew(t, k)
		s.Throttle(kmstest.Match{}, 1)
		unwraps(t, k, m)
	})
}

// TestContextEnds cuts off calls that hang.
func TestContextEnds(t *testing.T) {
	const patience = 20 * time.Millisecond
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		for name, k := range everyKeyring(t, s) {
			good := wrapNew(t, k.Encrypter)
			s.Outage(east, kmstest.Hang)
			for what, c := range map[string]struct {
				ctx func() (context.Context, context.CancelFunc)
				is  error
			}{
				"cancelled": {func() (context.Context, context.CancelFunc) {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(patience, cancel)
					return ctx, cancel
				}, context.Canceled},
				"expired": {func() (context.Context, context.CancelFunc) {
					return context.WithTimeout(t.Context(), patience)
				}, context.DeadlineExceeded},
			} {
				ctx, cancel := c.ctx()
				m := &keyring.DecryptionMaterials{Suite: suite, Context: testContext}
				start := time.Now()
				err := k.OnDecrypt(ctx, m, good.EncryptedDataKeys)
				require.ErrorIs(t, err, c.is, "%s, %s", name, what)
				assert.Equal(t, patience, time.Since(start), "%s, %s", name, what)
				assert.Nil(t, m.DataKey)
				cancel()

				if k.generates {
					ctx, cancel = c.ctx()
					e := &keyring.EncryptionMaterials{Suite: suite, Context: testContext}
					err = k.OnEncrypt(ctx, e)
					require.ErrorIs(t, err, c.is, "%s, %s", name, what)
					assert.Nil(t, e.DataKey)
					cancel()
				}
			}
			s.Restore(east)
		}
	})
}

// brokenTransport fails as a proxy or a resolver does.
type brokenTransport struct{}

func (brokenTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("lookup kms: no such host")
}

func TestNoCredentials(t *testing.T) {
	missing := errors.New("no credentials")
	client := kms.New(kms.Options{Region: east, BaseEndpoint: aws.String("http://127.0.0.1:1"), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, missing })})
	k, err := awskms.NewEncrypter(awskms.Config{Client: client, KeyID: "alias/orders"})
	require.NoError(t, err)
	err = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
	require.ErrorIs(t, err, missing)
	var e *awskms.Error
	require.ErrorAs(t, err, &e)
	assert.True(t, e.Unavailable(), "nobody said no")
	require.ErrorIs(t, err, keyring.ErrUnavailable)

	client = kms.New(client.Options(), func(o *kms.Options) {
		o.HTTPClient = &http.Client{Transport: brokenTransport{}}
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		})
	})
	k, err = awskms.NewEncrypter(awskms.Config{Client: client, KeyID: "alias/orders"})
	require.NoError(t, err)
	err = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
	require.ErrorAs(t, err, &e)
	assert.True(t, e.Unavailable())
	assert.ErrorContains(t, err, "no such host")
}

// cutTransport lets answers be cut in the middle.
type cutTransport struct{ cut bool }

func (c *cutTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && c.cut {
		body, readErr := io.ReadAll(answer.Body)
		if readErr != nil {
			return nil, readErr
		}
		answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)-3]), iotest.ErrReader(io.ErrUnexpectedEOF)))
	}
	return answer, err
}

// TestAnswerCutShort cuts an answer that holds a data key: it is an outage, and
// the key must not be left in the error.
func TestAnswerCutShort(t *testing.T) {
	s := newServer(t)
	key := s.CreateKey(east, kmstest.SymmetricDefault)
	transport := &cutTransport{}
	client := kms.New(newClient(s, east).Options(), func(o *kms.Options) { o.HTTPClient = &http.Client{Transport: transport} })
	k, err := awskms.New(awskms.Config{Client: client, KeyID: key})
	require.NoError(t, err)
	m := wrapNew(t, k)
	var secret string
	s.Tamper(func(_ string, answer map[string]any) {
		secret = base64.StdEncoding.EncodeToString(answer["Plaintext"].([]byte))
	})
	transport.cut = true
	for _, err := range []error{
		k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}),
		refuses(t, k, m.EncryptedDataKeys),
	} {
		var e *awskms.Error
		require.ErrorAs(t, err, &e)
		assert.True(t, e.Unavailable())
		var unparsed *smithy.DeserializationError
		require.ErrorAs(t, err, &unparsed)
		require.NotEmpty(t, secret)
		assert.NotContains(t, string(unparsed.Snapshot), secret)
		assert.NotContains(t, fmt.Sprintf("%+v %#v", err, unparsed), secret)
	}
}

// TestCredentialsOfAnotherService has the credentials come from a service that
// fails, or refuses: that says nothing about the key.
func TestCredentialsOfAnotherService(t *testing.T) {
	for _, c := range []struct {
		cause       error
		unavailable bool
	}{
		{&smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not this role"}, false},
		{&smithy.GenericAPIError{Code: "ExpiredTokenException"}, true},
		{&smithyhttp.RequestSendError{Err: errors.New("no route to host")}, true},
	} {
		client := kms.New(kms.Options{Region: east, BaseEndpoint: aws.String("http://127.0.0.1:1"), RetryMaxAttempts: 1,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, &smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole", Err: c.cause}
			})})
		k, err := awskms.NewEncrypter(awskms.Config{Client: client, KeyID: "alias/orders"})
		require.NoError(t, err)
		err = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
		var e *awskms.Error
		require.ErrorAs(t, err, &e)
		assert.Empty(t, e.Code)
		assert.False(t, e.Refused())
		assert.Equal(t, c.unavailable, e.Unavailable())
		assert.ErrorContains(t, err, "for want of credentials")
	}
}
