package simulation

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// TestTenMinuteOutage has tenants, 200 of them where SEALRING_SIM is set, go through ten minutes of each fault, each
// encrypting and decrypting every few seconds under KMS clients that all share. With
// data keys that may be used past their age nobody fails; nor does anybody when a
// second region is up.
func TestTenMinuteOutage(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	tenants := 20
	if os.Getenv(lengthEnv) != "" {
		tenants = 200
	}
	one := account{regions: 1, minRegions: 1, staleFor: time.Hour, tenants: tenants}
	for name, c := range map[string]struct {
		account
		timeLimit time.Duration
		until     time.Duration // when the last may fail, from the fault on
	}{
		"one region": {one, time.Minute, 0},
		// Until the outage is known, callers who have less time than a load may take fail.
		"one region, hurried":  {one, 2 * time.Second, maxAge + loadTimeout*9/8 + 10*time.Second},
		"replicas":             {account{regions: 2, minRegions: 1, replicas: true, tenants: tenants}, time.Minute, 0},
		"independent keys":     {account{regions: 2, minRegions: 1, tenants: tenants}, time.Minute, 0},
		"independent, hedging": {account{regions: 2, minRegions: 1, hedgeAfter: 500 * time.Millisecond, tenants: tenants}, time.Minute, 0},
	} {
		for f := slow; f < faultCount; f++ {
			if f == slow && c.until > 0 {
				continue // slower than its callers have time is no outage
			}
			t.Run(name+"/"+f.String(), func(t *testing.T) {
				k, err := kmstest.New(kmstest.Config{Regions: regions})
				require.NoError(t, err)
				defer k.Close()
				faketime.Test(t, func(t *testing.T) {
					w, err := newWorld(k, history{accounts: []account{c.account}}, sabotage{})
					require.NoError(t, err)
					round := func() {
						for tenant := range tenants {
							for _, kind := range []kind{encrypting, decrypting} {
								require.NoError(t, w.take(step{kind: kind, tenant: tenant, times: 1, timeLimit: c.timeLimit}))
							}
						}
					}
					round()
					w.calls.Wait()
					w.service.set(regions[0], f)
					before, since := w.service.count(regions[0]), w.journal.now()
					for range 60 {
						time.Sleep(10 * time.Second)
						round()
					}
					w.calls.Wait()
					calls := w.service.count(regions[0]) - before
					w.close()
					for _, call := range w.journal.calls {
						if call.began >= since+c.until || call.began < since {
							require.NoError(t, call.err, "%v after the fault began", call.began-since)
						}
						require.False(t, call.wrong)
					}
					require.Len(t, w.journal.calls, 61*2*tenants)
					// Each of a tenant's two data keys is asked for some times a minute,
					// with the SDK's retries.
					assert.LessOrEqual(t, calls, 2*tenants*10*8*3)
					require.NoError(t, w.left())
				})
			})
		}
	}
}

// TestOutageOverHTTP has twenty tenants go through a short outage of a region behind
// real HTTP, in real time.
func TestOutageOverHTTP(t *testing.T) {
	const tenants = 20
	k := kmstest.Start(t, kmstest.Config{Regions: regions})
	overHTTP := func(region string) *kms.Client {
		return kms.New(kms.Options{
			Region: region, BaseEndpoint: aws.String(k.URL(region)),
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
			}),
			Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond }),
		})
	}
	mrk := k.CreateMultiRegionKey(regions[0], kmstest.SymmetricDefault)
	one, err := awskms.New(awskms.Config{Client: overHTTP(regions[0]), KeyID: mrk})
	require.NoError(t, err)
	two, err := awskms.NewMultiRegion(awskms.MultiRegionConfig{
		Regions: []awskms.RegionKey{
			{Client: overHTTP(regions[0]), KeyARN: mrk},
			{Client: overHTTP(regions[1]), KeyARN: k.Replicate(mrk, regions[1])},
		},
		MinRegions: 1, Observer: awskms.Observer{OnEvent: func(context.Context, awskms.Event) {}},
	})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		keyring  keyring.Keyring
		staleFor time.Duration
	}{
		"one region, past the age": {one, time.Hour},
		"second region":            {two, 0},
	} {
		for _, o := range []kmstest.Outage{kmstest.Refuse, kmstest.InternalError, kmstest.DependencyTimeout} {
			t.Run(fmt.Sprintf("%s/%v", name, o), func(t *testing.T) {
				cached, err := cache.New(c.keyring, cache.Limits{MaxAge: 50 * time.Millisecond, StaleFor: c.staleFor})
				require.NoError(t, err)
				defer cached.Close()
				client, err := envelope.NewFromManager(cached, options())
				require.NoError(t, err)
				var written [tenants][]byte
				use := func(tenant int) {
					msg, err := client.Encrypt(t.Context(), plaintext(tenant), contextOf(tenant))
					assert.NoError(t, err)
					if written[tenant] == nil {
						written[tenant] = msg
					}
					got, err := client.Decrypt(t.Context(), written[tenant], contextOf(tenant))
					assert.NoError(t, err)
					assert.Equal(t, plaintext(tenant), got)
				}
				for tenant := range tenants {
					use(tenant)
				}
				k.Outage(regions[0], o)
				defer k.Restore(regions[0])
				var all sync.WaitGroup
				for tenant := range tenants {
					all.Go(func() {
						for range 10 {
							time.Sleep(20 * time.Millisecond)
							use(tenant)
						}
					})
				}
				all.Wait()
			})
		}
	}
}
