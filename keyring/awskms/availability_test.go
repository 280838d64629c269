package awskms_test

import (
	"context"
	"errors"
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
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// newQuotaClient returns a client with the SDK's default retries and quota, which
// does not wait before it tries again.
func newQuotaClient(s *kmstest.Server, region string) *kms.Client {
	return kms.New(newClient(s, region).Options(), func(o *kms.Options) {
		o.RetryMaxAttempts = 0
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
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
			s := newServer(t)
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
	}
}

// TestSpentQuotaOfOneRegion has another keyring spend the quota of a client that
// both share. The other region serves all the same.
func TestSpentQuotaOfOneRegion(t *testing.T) {
	for name, arns := range map[string]func(*kmstest.Server) []string{"replicas": replicas, "independent": independent} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			client := newQuotaClient(s, east)
			keys := arns(s)
			k := newMultiRegion(t, s, keys, func(c *awskms.MultiRegionConfig) {
				c.Regions[0].Client, c.MinRegions, c.Cooldown = client, 1, time.Nanosecond
			})
			s.Outage(east, kmstest.InternalError)
			drain(t, client, keys[0])
			for range 300 {
				unwraps(t, k, wrapNew(t, k))
			}
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
	s := newServer(t)
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
}

// TestHedgeAgainstAHostileHeader has headers list junk for the first region, so
// that it answers many times while the hedge is quick.
func TestHedgeAgainstAHostileHeader(t *testing.T) {
	s := newServer(t)
	var seen events
	k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) {
		c.AttemptTimeout, c.HedgeAfter, c.OnEvent = 5*time.Second, 20*time.Millisecond, seen.add
	})
	good := wrapNew(t, k).EncryptedDataKeys
	junk := good[0]
	junk.Ciphertext = slices.Clone(junk.Ciphertext)
	junk.Ciphertext[len(junk.Ciphertext)-1] ^= 1
	s.Latency(east, 10*time.Millisecond)
	for range 6 {
		_, err := unwrap(t, k, append(slices.Repeat([]keyring.EncryptedDataKey{junk}, 9), good[1]))
		require.NoError(t, err)
	}
	for range 20 {
		wrapNew(t, k)
	}
	assert.Empty(t, seen.of(awskms.RegionDown))
}

// TestHedgeAgainstASlowRegion has the hedge win every race. The region is asked
// last then, and still where a data key must be for it.
func TestHedgeAgainstASlowRegion(t *testing.T) {
	s := newServer(t)
	var seen events
	k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) {
		c.AttemptTimeout, c.HedgeAfter, c.OnEvent = 10*time.Second, time.Millisecond, seen.add
	})
	m := wrapNew(t, k)
	s.Latency(east, 200*time.Millisecond)
	for range 3 {
		unwraps(t, k, m)
	}
	require.Len(t, seen.of(awskms.RegionDown), 1)
	assert.Len(t, wrapNew(t, k).EncryptedDataKeys, 3)
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
	for _, c := range []awskms.Config{{DecryptKeys: []string{key}}, {MaxCalls: 5}} {
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
	s := newServer(t)
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
}
