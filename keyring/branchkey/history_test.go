package branchkey_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
)

// openKMS is a KMS that wraps a key as what it is, and fails as a test says. It works in
// simulated time, which a server on a port does not.
type openKMS struct {
	takes time.Duration
	err   func() error
}

const openKMSKey = "arn:aws:kms:us-east-1:111122223333:key/01234567-89ab-4cde-8f01-23456789abcd"

func (k *openKMS) GenerateDataKeyWithoutPlaintext(_ context.Context, in *kms.GenerateDataKeyWithoutPlaintextInput, _ ...func(*kms.Options)) (*kms.GenerateDataKeyWithoutPlaintextOutput, error) {
	key := make([]byte, *in.NumberOfBytes)
	rand.Read(key)
	return &kms.GenerateDataKeyWithoutPlaintextOutput{KeyId: in.KeyId, CiphertextBlob: key}, nil
}

func (k *openKMS) ReEncrypt(_ context.Context, in *kms.ReEncryptInput, _ ...func(*kms.Options)) (*kms.ReEncryptOutput, error) {
	return &kms.ReEncryptOutput{SourceKeyId: in.SourceKeyId, KeyId: in.DestinationKeyId, CiphertextBlob: in.CiphertextBlob}, nil
}

func (k *openKMS) Decrypt(_ context.Context, in *kms.DecryptInput, _ ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	time.Sleep(k.takes)
	if err := k.err(); err != nil {
		return nil, err
	}
	return &kms.DecryptOutput{KeyId: in.KeyId, Plaintext: bytes.Clone(in.CiphertextBlob)}, nil
}

// since is when something became so, or the zero time if it is not so.
type since struct{ at time.Time }

func (s *since) set(now bool) {
	if !now {
		s.at = time.Time{}
	} else if s.at.IsZero() {
		s.at = time.Now()
	}
}

// longer says whether it has been so for longer than d.
func (s *since) longer(d time.Duration) bool { return !s.at.IsZero() && time.Since(s.at) > d }

// TestRandomHistories makes the table and KMS fail, KMS deny, and new versions, at random in
// simulated time, while a keyring writes and reads. It holds that
//   - when all is well, everything succeeds;
//   - no outage is felt of a branch key in use before StaleFor is over;
//   - after a denial everything fails within the time to live;
//   - what is written is read, whatever is out, while others are written under the same
//     version, and within the time to live is under the last version.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			faketime.Test(t, func(t *testing.T) { history(t, mathrand.New(mathrand.NewPCG(seed, 0))) })
		})
	}
}

func history(t *testing.T, random *mathrand.Rand) {
	const (
		maxAge   = 10 * time.Minute
		staleFor = time.Hour
		step     = 5 * time.Second // shorter than what a cache remembers of an outage
		settles  = time.Minute
	)
	// What the loads see, which run in other goroutines.
	var tableErr, kmsErr atomic.Value // of failure
	type failure struct{ err error }
	fails := func(v *atomic.Value) func() error {
		v.Store(failure{})
		return func() error { return v.Load().(failure).err }
	}
	service, store := &openKMS{20 * time.Millisecond, fails(&kmsErr)}, &testStore{Store: branchkeytest.NewMemoryStore()}
	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: store, Name: "name", Client: service, KeyARN: openKMSKey,
	})
	require.NoError(t, err)
	_, err = keys.Create(t.Context(), "a", tenant)
	require.NoError(t, err)
	store.gets = fails(&tableErr)
	k, err := branchkey.New(branchkey.Config{KeyStore: keys, ID: "a", Limits: cache.Limits{MaxAge: maxAge, StaleFor: staleFor}})
	require.NoError(t, err)
	defer synctest.Wait()
	defer k.Close()

	down := errors.New("connection refused")
	var tableDown, kmsDown, denied bool
	var well, out, no, current since
	wellBefore := false // when the outage began, all had been well for long enough
	var last *keyring.EncryptionMaterials
	version := ""
	for range 4000 {
		switch random.IntN(400) {
		case 0:
			tableDown = !tableDown
		case 1:
			kmsDown = !kmsDown
		case 2:
			denied = random.IntN(4) == 0
		case 3:
			tableDown, kmsDown, denied = false, false, false
		case 4:
			if !tableDown {
				version, err = keys.Version(t.Context(), "a")
				require.NoError(t, err)
				current = since{}
			}
		case 5:
			time.Sleep(time.Duration(random.IntN(20)) * time.Minute) // nobody asks meanwhile
			well, out, no, current = since{}, since{}, since{}, since{}
			wellBefore = false
		}
		tableErr.Store(failure{})
		kmsErr.Store(failure{})
		if tableDown {
			tableErr.Store(failure{down})
		}
		switch {
		case kmsDown:
			kmsErr.Store(failure{down})
		case denied:
			kmsErr.Store(failure{&types.DisabledException{}})
		}
		if isOut := tableDown || kmsDown; isOut && out.at.IsZero() {
			wellBefore = well.longer(settles)
		}
		well.set(!tableDown && !kmsDown && !denied)
		out.set(tableDown || kmsDown)
		no.set(denied && !kmsDown && !tableDown)
		current.set(!tableDown && !kmsDown && !denied)

		m := &keyring.EncryptionMaterials{Suite: suite}
		writeErr := k.OnEncrypt(t.Context(), m)
		var readErr error
		if last != nil {
			d := &keyring.DecryptionMaterials{Suite: suite}
			if readErr = k.OnDecrypt(t.Context(), d, last.EncryptedDataKeys); readErr == nil {
				require.Equal(t, last.DataKey, d.DataKey)
			}
		}
		both := errors.Join(writeErr, readErr)
		state := fmt.Sprintf("table down %t, KMS down %t, denied %t: %v", tableDown, kmsDown, denied, both)
		switch {
		case well.longer(settles):
			require.NoError(t, both, state)
		case no.longer(maxAge):
			require.Error(t, writeErr, state)
		case out.longer(0) && wellBefore && !out.longer(staleFor) && !denied:
			require.NoError(t, writeErr, state)
		}
		if writeErr == nil {
			if last != nil && versionOf(last) == versionOf(m) {
				require.NoError(t, readErr, state)
			}
			last = m
			if current.longer(maxAge+settles) && version != "" {
				require.Equal(t, version, versionOf(m), state)
			}
		}
		time.Sleep(step)
	}
}

// versionOf returns the version that a data key is wrapped under.
func versionOf(m *keyring.EncryptionMaterials) string {
	v := m.EncryptedDataKeys[0].Ciphertext[28:44]
	return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
}
