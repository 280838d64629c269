package branchkey

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
)

// one is a store and a KMS with one branch key.
type one struct {
	Store
	Client
	key byte // of which the branch key's bytes are
}

const oneARN = "arn:aws:kms:us-east-1:111122223333:key/01234567-89ab-4cde-8f01-23456789abcd"

func (one) Get(_ context.Context, id, itemType string) (Item, error) {
	it := Item{ID: id, Type: itemType, Enc: []byte("enc"), Attributes: map[string]string{
		hierarchyAttribute: "1", kmsAttribute: oneARN, createdAttribute: "2026-01-02T03:04:05.678901Z",
	}}
	if itemType == typeActive {
		it.Attributes[versionAttribute] = versionPrefix + "01234567-89ab-4cde-8f01-23456789abcd"
	}
	return it, nil
}

func (o one) Decrypt(_ context.Context, in *kms.DecryptInput, _ ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	return &kms.DecryptOutput{KeyId: in.KeyId, Plaintext: bytes.Repeat([]byte{o.key}, keyLen)}, nil
}

func benchKeyring(b testing.TB) *Keyring {
	keys, err := NewKeyStore(KeyStoreConfig{Store: one{}, Name: "name", Client: one{}, KeyARN: oneARN})
	require.NoError(b, err)
	k, err := New(Config{KeyStore: keys, ID: "tenant-42", Limits: cache.Limits{MaxAge: time.Hour}})
	require.NoError(b, err)
	b.Cleanup(func() { _ = k.Close() })
	return k
}

// inTurns measures do and the bare calls in turns, since the machine's speed drifts, and
// reports the median of their ratios.
func inTurns(b *testing.B, do, bare func()) {
	const n = 200
	timed := func(f func()) time.Duration {
		start := time.Now()
		for range n {
			f()
		}
		return time.Since(start)
	}
	var ratios []float64
	var mine time.Duration
	for b.Loop() {
		d := timed(do)
		mine += d
		ratios = append(ratios, float64(d)/float64(timed(bare)))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(float64(mine)/float64(len(ratios)*n), "ns/key")
	b.ReportMetric(0, "ns/op")
}
