package cache

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
)

// likeKMS is a keyring whose wrapped keys are as long as those of AWS KMS. It does
// not wrap.
type likeKMS struct{ keys int }

const (
	arn           = "arn:aws:kms:eu-central-1:123456789012:key/2f0d4b8e-6a55-4a3c-9d3e-0b1c2d3e4f50"
	kmsWrappedLen = 184
)

func (k likeKMS) OnEncrypt(_ context.Context, m *keyring.EncryptionMaterials) error {
	m.GenerateDataKey()
	for range k.keys {
		wrapped := make([]byte, kmsWrappedLen)
		rand.Read(wrapped)
		m.EncryptedDataKeys = append(m.EncryptedDataKeys, keyring.EncryptedDataKey{
			ProviderID: "aws-kms", ProviderInfo: []byte(arn), Ciphertext: wrapped,
		})
	}
	return nil
}

func (k likeKMS) OnDecrypt(_ context.Context, m *keyring.DecryptionMaterials, _ []keyring.EncryptedDataKey) error {
	m.DataKey = make([]byte, m.Suite.DataKeyLen())
	rand.Read(m.DataKey)
	return nil
}

// usual is a context as services have them.
func usual(tenant int) keyring.EncryptionContext {
	return keyring.EncryptionContext{
		"tenant": fmt.Sprintf("6f9619ff-8b86-d011-b42d-%012d", tenant), "table": "patients", "purpose": "field-encryption",
	}
}

// both asks for a data key to encrypt under a context, and for the one to decrypt
// what is written so.
func both(t testing.TB, m keyring.MaterialsManager, s keyring.Suite, ec keyring.EncryptionContext) {
	e, err := m.EncryptionMaterials(t.Context(), keyring.EncryptionRequest{Suite: s, Context: ec})
	require.NoError(t, err)
	_, err = m.DecryptionMaterials(t.Context(), toDecrypt(e))
	require.NoError(t, err)
}

// TestTenThousandTenants has them encrypt and decrypt within the default limits.
func TestTenThousandTenants(t *testing.T) {
	m, err := keyring.NewManager(likeKMS{keys: 1})
	require.NoError(t, err)
	c := newTestCache(t, m, Limits{}, nil)
	for range 2 {
		for i := range 10_000 {
			both(t, c, 0, usual(i))
		}
	}
	stats := c.Stats()
	t.Logf("%d entries, %d bytes each", stats.Entries, stats.Bytes/int64(stats.Entries))
	assert.Equal(t, 20_000, stats.Entries)
	assert.EqualValues(t, 20_000, stats.Hits)
	assert.Zero(t, stats.CapacityMisses)
	for cause, n := range stats.Evicted {
		assert.Zero(t, n, cause)
	}
}

// TestBytesAreHonest compares the estimate of a full cache with what the heap says.
func TestBytesAreHonest(t *testing.T) {
	if testing.Short() {
		t.Skip("measures memory")
	}
	heap := func() int64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC() // the first leaves what pools hold
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	for name, test := range map[string]struct {
		suite   keyring.Suite
		keys    int
		context func(int) keyring.EncryptionContext
	}{
		"no context but a tenant": {0, 1, func(i int) keyring.EncryptionContext { return request(fmt.Sprint(i)).Context }},
		"usual":                   {0, 1, usual},
		"signed":                  {signed, 1, usual},
		"three keys":              {0, 3, usual},
		"many pairs": {0, 1, func(i int) keyring.EncryptionContext {
			ec := usual(i)
			for n := range 30 {
				ec[fmt.Sprint("key ", i, n)] = fmt.Sprint("value ", i, n)
			}
			return ec
		}},
		"long": {0, 1, func(i int) keyring.EncryptionContext {
			return keyring.EncryptionContext{"tenant": fmt.Sprint(i), "long": strings.Repeat("x", 10_000+i%10)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := keyring.NewManager(likeKMS{keys: test.keys})
			require.NoError(t, err)
			leaktest.None(t, cacheFuncs) // they hold what caches before this one had
			before := heap()
			c := newTestCache(t, m, Limits{MaxMemory: 8 << 20}, nil)
			// Twice as many again as fit, so that the history is full too.
			for i := 0; i == 0 || c.Stats().Evicted[Memory] < 3*uint64(c.Stats().Entries); i++ {
				both(t, c, test.suite, test.context(i))
			}
			took, stats := heap()-before, c.Stats()
			ratio := float64(took) / float64(stats.Bytes)
			t.Logf("%d entries of %d bytes take %d each", stats.Entries, stats.Bytes/int64(stats.Entries), took/int64(stats.Entries))
			assert.Less(t, ratio, 1.1, "takes more than it says")
			assert.Greater(t, ratio, 0.6, "takes much less than it says")
			runtime.KeepAlive(c)
			require.NoError(t, c.Close())
		})
	}
}
