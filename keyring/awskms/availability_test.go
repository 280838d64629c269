package awskms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// newQuotaClient returns a client with the SDK's default retries and quota.
func newQuotaClient(s *kmstest.Server, region string) *kms.Client {
	return kms.New(newClient(s, region).Options(), func(o *kms.Options) {
		o.RetryMaxAttempts, o.Retryer = 0, retry.NewStandard()
	})
}

// drain makes failing calls until the retry quota of a client is spent.
func drain(t *testing.T, client *kms.Client, key string) {
	for range 200 {
		_, err := client.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &key, NumberOfBytes: aws.Int32(32)})
		require.Error(t, err)
		var spent ratelimit.QuotaExceededError
		if errors.As(err, &spent) {
			return
		}
	}
	require.Fail(t, "the quota is not spent")
}

// TestSpentQuota has the SDK give up without a retry, since earlier ones failed.
func TestSpentQuota(t *testing.T) {
	for name, outage := range outages {
		if outage == kmstest.Hang {
			continue // no answer, and so no retry
		}
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *kmstest.Server) {
				client := newQuotaClient(s, east)
				key := s.CreateKey(east, kmstest.SymmetricDefault)
				k, err := awskms.New(awskms.Config{Client: client, KeyID: key})
				require.NoError(t, err)
				good := wrapNew(t, k)
				s.Outage(east, outage)
				drain(t, client, key)
				err = refuses(t, k, good.EncryptedDataKeys)
				require.ErrorIs(t, err, keyring.ErrUnavailable)
				var e *awskms.Error
				require.ErrorAs(t, err, &e)
				assert.True(t, e.Unavailable())
				assert.False(t, e.Refused())
				assert.NotContains(t, err.Error(), "\n")
				require.ErrorIs(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}), keyring.ErrUnavailable)
			})
		})
	}
}

// TestSpentQuotaOfOneRegion has another keyring spend the quota of a client that
// both share. The other region serves all the same.
func TestSpentQuotaOfOneRegion(t *testing.T) {
	for name, arns := range map[string]func(*kmstest.Server) []string{"replicas": replicas, "independent": independent} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *kmstest.Server) {
				client := newQuotaClient(s, east)
				keys := arns(s)
				k := newMultiRegion(t, s, keys, func(c *awskms.MultiRegionConfig) {
					c.Regions[0].Client, c.MinRegions, c.Cooldown = client, 1, time.Nanosecond
				})
				s.Outage(east, kmstest.InternalError)
				drain(t, client, keys[0])
				for range 300 {
					time.Sleep(time.Nanosecond) // the cooldown
					m := wrapNew(t, k)
					time.Sleep(time.Nanosecond)
					unwraps(t, k, m)
				}
			})
		})
	}
}

// TestUnreadableAnswers has something between the client and KMS answer. None of
// it is a refusal.
func TestUnreadableAnswers(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"HTML 200":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>log in</html>")) },
		"HTML 403":       func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>no</html>", http.StatusForbidden) },
		"empty 404":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"empty 502":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"JSON of no key": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) },
		"aborted":        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			proxy := httptest.NewServer(handler)
			defer proxy.Close()
			s := newServer(t)
			key := s.CreateKey(east, kmstest.SymmetricDefault)
			direct, err := awskms.New(awskms.Config{Client: newClient(s, east), KeyID: key})
			require.NoError(t, err)
			k, err := awskms.New(awskms.Config{KeyID: key, Client: kms.New(newClient(s, east).Options(), func(o *kms.Options) {
				o.BaseEndpoint = &proxy.URL
			})})
			require.NoError(t, err)
			for _, err := range []error{
				refuses(t, k, wrapNew(t, direct).EncryptedDataKeys),
				k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}),
			} {
				var e *awskms.Error
				require.ErrorAs(t, err, &e)
				assert.False(t, e.Refused(), "%v", err)
				assert.True(t, e.Unavailable(), "%v", err)
				require.ErrorIs(t, err, keyring.ErrUnavailable)
				assert.NotContains(t, err.Error(), "\n")
			}
		})
	}
}

// TestCallerInAHurry has one caller with less time than a healthy region needs.
// That says nothing of the region.
func TestCallerInAHurry(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		var seen events
		k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) {
			c.AttemptTimeout, c.OnEvent = 5*time.Second, seen.add
		})
		m := wrapNew(t, k)
		s.Latency(east, 20*time.Millisecond)
		for _, patience := range []time.Duration{30 * time.Millisecond, 10 * time.Millisecond, time.Nanosecond} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_ = k.OnDecrypt(ctx, &keyring.DecryptionMaterials{Suite: suite, Context: testContext}, m.EncryptedDataKeys)
			_ = k.OnEncrypt(ctx, &keyring.EncryptionMaterials{Suite: suite, Context: testContext})
			cancel()
		}
		s.ResetCalls()
		for range 20 {
			unwraps(t, k, wrapNew(t, k))
		}
		assert.Equal(t, 20, s.Calls(kmstest.Match{Region: east, Operation: "Decrypt"}))
		assert.Zero(t, s.Calls(kmstest.Match{Region: west, Operation: "Decrypt"}))
		assert.Empty(t, seen.of(awskms.RegionDown))
	})
}

// TestHedgeAgainstAHostileHeader has headers list junk for the first region, so
// that it answers many times while the hedge is quick.
func TestHedgeAgainstAHostileHeader(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		var seen events
		k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) {
			c.AttemptTimeout, c.HedgeAfter, c.OnEvent = 5*time.Second, 200*time.Millisecond, seen.add
		})
		good := wrapNew(t, k).EncryptedDataKeys
		junk := good[0]
		junk.Ciphertext = slices.Clone(junk.Ciphertext)
		junk.Ciphertext[len(junk.Ciphertext)-1] ^= 1
		s.Latency(east, 50*time.Millisecond)
		for range 6 {
			_, err := unwrap(t, k, append(slices.Repeat([]keyring.EncryptedDataKey{junk}, 9), good[1]))
			require.NoError(t, err)
		}
		for range 20 {
			wrapNew(t, k)
		}
		assert.Empty(t, seen.of(awskms.RegionDown))
	})
}

// TestHedgeAgainstASlowRegion has the hedge win every race. The region is asked
// last then, and still where a data key must be for it.
func TestHedgeAgainstASlowRegion(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		var seen events
		k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) {
			c.AttemptTimeout, c.HedgeAfter, c.OnEvent = 10*time.Second, time.Millisecond, seen.add
		})
		m := wrapNew(t, k)
		s.Latency(east, 400*time.Millisecond)
		s.Latency(south, time.Second)
		for range 3 {
			unwraps(t, k, m)
		}
		require.Len(t, seen.of(awskms.RegionDown), 1)
		assert.Len(t, wrapNew(t, k).EncryptedDataKeys, 3)
	})
}

// countingClient decorates a client, as for metrics.
type countingClient struct {
	awskms.Client
	calls int
}

func (c *countingClient) GenerateDataKey(ctx context.Context, in *kms.GenerateDataKeyInput, options ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error) {
	c.calls++
	return c.Client.GenerateDataKey(ctx, in, options...)
}

// regionClient also tells its region.
type regionClient struct{ *countingClient }

func (regionClient) Region() string { return west }

// TestDecoratedClientOfAnotherRegion has a client that asks another region than
// the key's, and hides it.
func TestDecoratedClientOfAnotherRegion(t *testing.T) {
	s := newServer(t)
	key := s.CreateKey(east, kmstest.SymmetricDefault)
	decorated := &countingClient{Client: newClient(s, west)}
	_, err := awskms.New(awskms.Config{Client: regionClient{decorated}, KeyID: key})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	assert.ErrorContains(t, err, "the client asks us-west-2, and the key is in us-east-1")

	k, err := awskms.New(awskms.Config{Client: decorated, KeyID: key})
	require.NoError(t, err)
	s.ResetCalls()
	err = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
	var e *awskms.Error
	require.ErrorAs(t, err, &e)
	assert.False(t, e.Unavailable())
	assert.ErrorContains(t, err, "the client asks us-west-2, and the key is in us-east-1")
	assert.Equal(t, 1, decorated.calls)
	assert.Zero(t, s.Calls(kmstest.Match{}), "a request was sent to a region that does not have the key")

	regions := awskms.MultiRegionConfig{Regions: []awskms.RegionKey{{Client: regionClient{decorated}, KeyARN: key}}}
	_, err = awskms.NewMultiRegion(regions)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	_, err = awskms.NewDiscovery(awskms.DiscoveryConfig{Client: regionClient{decorated}, Region: east, AnyAccount: true})
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
}

// TestDecryptKeys rotates to a new key and reads what both have wrapped.
func TestDecryptKeys(t *testing.T) {
	s := newServer(t)
	client := newClient(s, east)
	before, now := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)
	old, err := awskms.New(awskms.Config{Client: client, KeyID: before})
	require.NoError(t, err)
	m := wrapNew(t, old)
	for name, id := range map[string]string{"ARN": now, "ID": keyID(now)} {
		t.Run(name, func(t *testing.T) {
			alone, err := awskms.New(awskms.Config{Client: client, KeyID: id})
			require.NoError(t, err)
			err = refuses(t, alone, m.EncryptedDataKeys)
			assert.ErrorContains(t, err, before, "the key that wrapped it is not named")
			assert.ErrorContains(t, err, "DecryptKeys")

			k, err := awskms.New(awskms.Config{Client: client, KeyID: id, DecryptKeys: []string{before}})
			require.NoError(t, err)
			unwraps(t, k, wrapNew(t, k))
			unwraps(t, k, m)
		})
	}
	far := s.CreateKey(west, kmstest.SymmetricDefault)
	for name, c := range map[string]awskms.Config{
		"client tells":          {Client: client, KeyID: "alias/orders", DecryptKeys: []string{far}},
		"KeyID tells":           {Client: struct{ awskms.Client }{client}, KeyID: now, DecryptKeys: []string{far}},
		"only DecryptKeys tell": {Client: struct{ awskms.Client }{client}, KeyID: "alias/orders", DecryptKeys: []string{now, far}},
	} {
		t.Run("another region, "+name, func(t *testing.T) {
			_, err := awskms.New(c)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.ErrorContains(t, err, far)
			assert.ErrorContains(t, err, "is not in "+east)
		})
	}
}

// TestEncrypterRefusesWhatDecrypts checks the configuration of what only encrypts.
func TestEncrypterRefusesWhatDecrypts(t *testing.T) {
	s := newServer(t)
	key := s.CreateKey(east, kmstest.SymmetricDefault)
	for _, c := range []awskms.Config{{DecryptKeys: []string{key}}, {MaxCalls: 5}, {MRKAware: true}} {
		c.Client, c.KeyID = newClient(s, east), key
		_, err := awskms.NewEncrypter(c)
		require.ErrorIs(t, err, keyring.ErrInvalidArgument)
		assert.ErrorContains(t, err, "decrypt")
	}
}

// TestUnavailableEverywhere has the error of an outage say so through every
// keyring that passes it on.
func TestUnavailableEverywhere(t *testing.T) {
	s := newServer(t)
	for name, k := range everyKeyring(t, s) {
		t.Run(name, func(t *testing.T) {
			good := wrapNew(t, k.Encrypter)
			for _, region := range []string{east, west, south} {
				s.Outage(region, kmstest.InternalError)
				defer s.Restore(region)
			}
			other, err := keyring.NewRawAES("local", "key", make([]byte, 32))
			require.NoError(t, err)
			several, err := keyring.NewMultiDecrypter(other, k.Decrypter)
			require.NoError(t, err)
			for _, d := range []keyring.Decrypter{k.Decrypter, several} {
				err := refuses(t, d, good.EncryptedDataKeys)
				require.ErrorIs(t, err, keyring.ErrUnavailable)
				assert.NotContains(t, err.Error(), "\n")
				for _, edk := range good.EncryptedDataKeys {
					if name := edk.KeyName(); strings.HasPrefix(name, "arn:") {
						assert.LessOrEqual(t, strings.Count(err.Error(), name), 1, "%v", err)
					}
				}
			}
			if k.generates {
				require.ErrorIs(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}), keyring.ErrUnavailable)
			}
		})
	}
}

// TestRegionIsBackForAll has a region come back while many callers need it: not only
// the one that tries it again is served.
func TestRegionIsBackForAll(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) {
			c.AttemptTimeout, c.Cooldown = time.Second, 50*time.Millisecond
		})
		s.Outage(west, kmstest.Hang)
		require.ErrorIs(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}), keyring.ErrUnavailable)
		s.Restore(west)
		s.Latency(west, 100*time.Millisecond)
		time.Sleep(60 * time.Millisecond)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				assert.NoError(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}))
			})
		}
		all.Wait()
	})
}

// TestHedgeThatLoses has two healthy regions race. The one that was asked later and did
// not win is not slow.
func TestHedgeThatLoses(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		var seen events
		k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) {
			c.AttemptTimeout, c.HedgeAfter, c.OnEvent, c.MinRegions = 10*time.Second, 50*time.Millisecond, seen.add, 1
		})
		m := wrapNew(t, k)
		s.Latency(east, 80*time.Millisecond)
		s.Latency(west, 5*time.Second)
		s.Latency(south, 5*time.Second)
		for range 4 {
			unwraps(t, k, m)
		}
		s.Latency(west, 0)
		s.Latency(south, 0)
		assert.Empty(t, seen.of(awskms.RegionDown))
		assert.Len(t, wrapNew(t, k).EncryptedDataKeys, 3)
	})
}

// TestDeadlinesFindAnOutage has all callers have less time than a region may take. One
// that answers none of them is down once they have waited as long in all.
func TestDeadlinesFindAnOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		var seen events
		k := newMultiRegion(t, s, replicas(s), func(c *awskms.MultiRegionConfig) {
			c.Regions, c.AttemptTimeout, c.OnEvent = c.Regions[:2], 200*time.Millisecond, seen.add
		})
		m := wrapNew(t, k)
		s.Outage(east, kmstest.Hang)
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 390*time.Millisecond)
			got := &keyring.DecryptionMaterials{Suite: suite, Context: testContext}
			require.NoError(t, k.OnDecrypt(ctx, got, m.EncryptedDataKeys))
			cancel()
		}
		assert.Equal(t, 2, s.Calls(kmstest.Match{Region: east, Operation: "Decrypt"}))
		assert.Len(t, seen.of(awskms.RegionDown), 1)
	})
}

// between is a transport with something in between that answers requests with a body for
// which it says so.
type between struct {
	http.RoundTripper
	answers func(body []byte) (status int, answer string)
}

func (b between) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if status, answer := b.answers(body); status != 0 {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = w.WriteString(answer)
		return w.Result(), nil
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return b.RoundTripper.RoundTrip(r)
}

// newClientBehind returns a client of east with something in between.
func newClientBehind(s *kmstest.Server, answers func(body []byte) (status int, answer string)) *kms.Client {
	return kms.New(newClient(s, east).Options(), func(o *kms.Options) {
		o.HTTPClient = &http.Client{Transport: between{s.Client().Transport, answers}}
	})
}

// TestCodes has KMS, or what is before it, answer with codes that say different things
// of the key.
func TestCodes(t *testing.T) {
	for _, c := range []struct {
		code, message        string
		unavailable, refused bool
	}{
		{"AccessDeniedException", "", false, true},
		{"DisabledException", "", false, true},
		{"KMSInvalidStateException", "the key is pending deletion.", false, true},
		{"KMSInvalidStateException", "the external key store proxy did not respond", false, false},
		{"UnrecognizedClientException", "", false, false},
		{"SignatureDoesNotMatch", "", false, false},
		{"InvalidSignatureException", "", false, false},
		{"SerializationException", "", false, false},
		{"RequestTimeTooSkewed", "", true, false},
		{"RequestInTheFuture", "", true, false},
		{"RequestExpired", "", true, false},
		{"ExpiredTokenException", "", true, false},
		{"ThrottlingException", "", true, false},
		{"ProvisionedThroughputExceededException", "", true, false},
		{"EC2ThrottledException", "", true, false},
		{"BandwidthLimitExceeded", "", true, false},
		{"UnknownError", "", true, false},
	} {
		t.Run(c.code, func(t *testing.T) {
			s := newServer(t)
			client := newClientBehind(s, func([]byte) (int, string) {
				return http.StatusBadRequest, fmt.Sprintf(`{"__type":%q,"message":%q}`, c.code, c.message)
			})
			k, err := awskms.New(awskms.Config{KeyID: s.CreateKey(east, kmstest.SymmetricDefault), Client: client})
			require.NoError(t, err)
			err = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
			var e *awskms.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, c.unavailable, e.Unavailable(), "%v", err)
			assert.Equal(t, c.refused, e.Refused(), "%v", err)
			assert.NotContains(t, err.Error(), "UnknownError")
		})
	}
}

// TestBlame has decrypting fail for the message's fault, and for others'.
func TestBlame(t *testing.T) {
	s := newServer(t)
	key := s.CreateKey(east, kmstest.SymmetricDefault)
	var deny bool
	client := kms.New(newClient(s, east).Options(), func(o *kms.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			if deny {
				return aws.Credentials{}, &smithy.OperationError{
					ServiceID: "STS", OperationName: "AssumeRole", Err: &smithy.GenericAPIError{Code: "AccessDenied"},
				}
			}
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})
	})
	k, err := awskms.New(awskms.Config{Client: client, KeyID: key})
	require.NoError(t, err)
	discovery, err := awskms.NewDiscovery(awskms.DiscoveryConfig{Client: client, AnyAccount: true})
	require.NoError(t, err)
	good := wrapNew(t, k).EncryptedDataKeys
	altered := slices.Clone(good)
	altered[0].Ciphertext = slices.Clone(altered[0].Ciphertext)
	altered[0].Ciphertext[20] ^= 1
	long := slices.Clone(good)
	long[0].Ciphertext = make([]byte, 60_000)
	strange := slices.Clone(good)
	strange[0].ProviderInfo = []byte("arn:aws:kms:us-east-1:999999999999:key/11111111-2222-3333-4444-555555555555")
	for name, c := range map[string]struct {
		keyring keyring.Decrypter
		keys    []keyring.EncryptedDataKey
		deny    func() (allow func())
		blames  bool
	}{
		"altered":                    {k, altered, nil, true},
		"too long":                   {k, long, nil, true},
		"names a stranger's key":     {discovery, strange, nil, true},
		"denied":                     {k, good, func() func() { return s.Deny("", key) }, false},
		"credentials refused":        {k, good, func() func() { deny = true; return func() { deny = false } }, false},
		"KMS is out":                 {k, good, func() func() { s.Outage(east, kmstest.InternalError); return func() { s.Restore(east) } }, false},
		"KMS is out, header chooses": {discovery, good, func() func() { s.Outage(east, kmstest.InternalError); return func() { s.Restore(east) } }, false},
	} {
		t.Run(name, func(t *testing.T) {
			if c.deny != nil {
				defer c.deny()()
			}
			s.ResetCalls()
			err := refuses(t, c.keyring, c.keys)
			assert.Equal(t, c.blames, errors.Is(err, message.ErrBlamesMessage), "%v", err)
			if name == "too long" {
				assert.Zero(t, s.Calls(kmstest.Match{}), "KMS was asked for what it does not take")
			}
		})
	}
}

// TestLongRequestsSayNothingOfARegion has something before KMS refuse long requests.
func TestLongRequestsSayNothingOfARegion(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		var seen events
		client := newClientBehind(s, func(body []byte) (int, string) {
			if len(body) > 5000 {
				return http.StatusRequestEntityTooLarge, ""
			}
			return 0, ""
		})
		k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) {
			c.Regions[0].Client, c.OnEvent, c.MinRegions = client, seen.add, 1
		})
		junk := wrapNew(t, k).EncryptedDataKeys[:1]
		junk[0].Ciphertext = make([]byte, 6000)
		for range 3 {
			err := refuses(t, k, junk)
			assert.NotErrorIs(t, err, keyring.ErrUnavailable)
		}
		assert.Empty(t, seen.of(awskms.RegionDown))
	})
}

// TestCredentialsSayNothingOfARegion has the metadata service be silent for a moment.
func TestCredentialsSayNothingOfARegion(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		var silent bool
		credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			if silent {
				return aws.Credentials{}, errors.New("the metadata service does not answer")
			}
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})
		var seen events
		k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) {
			for i, r := range c.Regions {
				c.Regions[i].Client = kms.New(r.Client.(*kms.Client).Options(), func(o *kms.Options) { o.Credentials = credentials })
			}
			c.OnEvent, c.MinRegions = seen.add, 1
		})
		silent = true
		for range 3 {
			err := k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
			require.ErrorIs(t, err, keyring.ErrUnavailable)
			assert.ErrorContains(t, err, "for want of credentials")
		}
		silent = false
		assert.Empty(t, seen.of(awskms.RegionDown))
		assert.Len(t, wrapNew(t, k).EncryptedDataKeys, 3)
	})
}

// TestOutageOfOneKey has one key's material not be there for a moment. The other key of
// the message serves.
func TestOutageOfOneKey(t *testing.T) {
	s := newServer(t)
	a, b := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)
	both, err := awskms.NewMulti(awskms.Config{Client: newClient(s, east), KeyID: a}, awskms.Config{Client: newClient(s, east), KeyID: b})
	require.NoError(t, err)
	m := wrapNew(t, both)
	client := newClientBehind(s, func(body []byte) (int, string) {
		if bytes.Contains(body, []byte(a)) {
			return http.StatusInternalServerError, `{"__type":"KeyUnavailableException"}`
		}
		return 0, ""
	})
	k, err := awskms.New(awskms.Config{KeyID: a, DecryptKeys: []string{b}, Client: client})
	require.NoError(t, err)
	unwraps(t, k, m)
	s.ResetCalls()
	only := slices.Repeat(m.EncryptedDataKeys[:1], 5)
	require.ErrorIs(t, refuses(t, k, only), keyring.ErrUnavailable)
	assert.Zero(t, s.Calls(kmstest.Match{}))
}

// TestWhatIsNotSentSaysNothing has a header without a ciphertext, which the SDK does
// not send, for a region that is down.
func TestWhatIsNotSentSaysNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		var seen events
		k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) { c.OnEvent, c.MinRegions = seen.add, 1 })
		good := wrapNew(t, k).EncryptedDataKeys
		s.Outage(east, kmstest.Hang)
		_, err := unwrap(t, k, good)
		require.NoError(t, err)
		require.Len(t, seen.of(awskms.RegionDown), 1)
		junk := slices.Clone(good[:1])
		junk[0].Ciphertext = nil
		refuses(t, k, junk)
		assert.Empty(t, seen.of(awskms.RegionUp))
	})
}

// TestFIPSRegions has a client ask for FIPS endpoints by its region's name.
func TestFIPSRegions(t *testing.T) {
	for _, region := range []string{"fips-us-east-1", "us-east-1-fips"} {
		_, err := awskms.New(awskms.Config{
			Client: kms.New(kms.Options{Region: region}), KeyID: "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555",
		})
		require.NoError(t, err)
	}
}
